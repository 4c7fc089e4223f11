#!/usr/bin/env python3
"""This program and PyTorch on one CUDA device, in one run: tests, steps, bytes, joules, and a table.

Needs Python 3.11 and a driver; for PyTorch's side, torch with CUDA (any interpreter's, by --python). Nothing is
installed. The program is that of $UNLEARN, or target/release/unlearn: it may have been built on another machine.

    UNLEARN=./unlearn benches/gpu.py --out gpu
    UNLEARN=./unlearn benches/gpu.py --out gpu --tests ./cuda-0123456789abcdef --tests ./cuda_card-0123456789abcdef
    UNLEARN=./unlearn benches/gpu.py --out gpu --parts ours --batch 16 --precision tf32
    benches/gpu.py --out gpu --parts table

Parts, in this order; a part that fails is told, and the rest goes on:

  tests     each --tests, or `cargo test --test cuda --test cuda_card` where there is cargo; told in tests.log
  memcheck  a step under compute-sanitizer, where there is one
  ours      `unlearn bench step` of each precision, sparsity and batch
  torch     benches/gpu_step.py of the same precisions and batches
  again     as `ours`: what the machine did meanwhile shows between the two
  passes    at the middle batch, ours with no pass sparse, with every one, and with each of the three alone: what the
            program's choice, a prediction, is to be held against
  joules    where nvidia-smi tells power.draw: watts over a long run of one step of ours and PyTorch's fastest
  table     gpu.json and gpu.md from what lies in --out, of earlier calls too

A ratio compares one precision on one card, and is refused where two cards made its sides. The step of `bench step`
is that of l1-sparse, which adds the l1 subgradient, and brings its samples from the host, and is timed by the host's
clock; PyTorch's adds none, finds its samples there (but for --copy), and is timed by events of the device. All of
that is in PyTorch's favour. Bytes are of the device's memory: ours as planned and allocated, PyTorch's as its
allocator counts.

Ends with 0, with 1 if a command failed, and with 2 if there is no card. A single way of PyTorch that fails is told
in the table.
"""

import argparse
import ctypes
import itertools
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PARTS = ["tests", "memcheck", "ours", "torch", "again", "passes", "joules", "table"]
PRECISIONS, MODES = ["tf32", "bf16", "f16", "f32"], ["eager", "graph", "compiled"]
# Which passes are sparse, as --device takes it.
PASSES = {"chosen": None, "none": "0", "all": "inf", "forward": "inf,0,0", "input gradient": "0,inf,0",
          "weight gradient": "0,0,inf"}


def card(ordinal):
    """What the driver tells of a device, or why there is none."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as fault:
        return None, f"no driver of CUDA: {fault}"
    if code := driver.cuInit(0):
        return None, f"the driver does not start: cuInit gave {code}"
    version, count, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    handle, total, major, minor = ctypes.c_int(), ctypes.c_size_t(), ctypes.c_int(), ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    driver.cuDeviceGetCount(ctypes.byref(count))
    if driver.cuDeviceGet(ctypes.byref(handle), ordinal):
        return None, f"there is no device {ordinal}: the driver has {count.value}"
    driver.cuDeviceGetName(name, len(name), handle)
    driver.cuDeviceTotalMem_v2(ctypes.byref(total), handle)
    driver.cuDeviceGetAttribute(ctypes.byref(major), 75, handle)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), 76, handle)
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    found = {"name": name.value.decode(), "capability": f"{major.value}.{minor.value}", "memory_bytes": total.value,
             "driver_cuda": cuda, "driver": smi(ordinal, "driver_version"),
             "power_limit_watts": smi(ordinal, "power.limit"), "clock_mhz": smi(ordinal, "clocks.max.sm")}
    return found, None


def smi(ordinal, what):
    """What nvidia-smi tells, or nothing."""
    line = ["nvidia-smi", "-i", str(ordinal), f"--query-gpu={what}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = done.stdout.strip()
    return said if done.returncode == 0 and said and not said.startswith("[") else None


class Work:
    """Runs commands, tells what failed, keeps results."""

    def __init__(self, args, found):
        self.args, self.card, self.failed = args, found, []

    def run(self, what, *line, timeout=None, **more):
        """What a command printed, or nothing if it failed, which is told and remembered."""
        line = [str(word) for word in line]
        try:
            done = subprocess.run(line, capture_output=True, text=True, timeout=timeout or self.args.timeout, **more)
        except (OSError, subprocess.TimeoutExpired) as fault:
            return self.fail(what, str(fault))
        if what.startswith("test"):
            with open(self.args.out / "tests.log", "a") as log:
                log.write(f"==== {what}\n{done.stdout}{done.stderr}\n")
        if done.returncode != 0:
            why = last(done.stderr or done.stdout)
            return self.fail(what, f"`{' '.join(line)}` ended with {done.returncode}: {why}")
        return done.stdout

    def fail(self, what, why):
        self.failed.append({"what": what, "why": why})
        print(f"FAILED {what}: {why}", file=sys.stderr, flush=True)

    def keep(self, name, rows):
        """A part's result, with the card that made it."""
        path = self.args.out / f"{name}.json"
        path.write_text(json.dumps({"card": self.card, "rows": rows}, indent=1) + "\n")

    def tests(self):
        given = [[str(path.resolve())] for path in self.args.tests]
        if not given and shutil.which("cargo"):
            given = [["cargo", "test", "--test", name] for name in ["cuda", "cuda_card"]]
        if not given:
            return self.fail("tests", "neither --tests nor cargo: none was run")
        rows = []
        for line in given:
            said = self.run(f"test {' '.join(line)}", *line, cwd=ROOT)
            result = [text for text in (said or "").splitlines() if text.startswith("test result")]
            rows.append({"test": " ".join(line), "passed": said is not None, "said": result})
            print(f"{' '.join(line)}: {'; '.join(result) or 'failed'}", flush=True)
        self.keep("tests", rows)

    def memcheck(self):
        checker = shutil.which("compute-sanitizer") or shutil.which("/usr/local/cuda/bin/compute-sanitizer")
        if not checker:
            return self.keep("memcheck", [{"said": "not run: no compute-sanitizer here"}])
        words = self.words("tf32", 0.95, 4, model="resnet20", warm_up=0, steps=1)
        said = self.run("memcheck", checker, "--tool", "memcheck", "--error-exitcode", 9, *words)
        self.keep("memcheck", [{"said": "no error" if said is not None else "failed"}])

    def words(self, precision, sparsity, batch, model=None, warm_up=None, steps=None, sparse=None):
        args = self.args
        return [args.program, "bench", "step", "--model", model or args.model, "--batch", batch, "--sparsity", sparsity,
                "--device", f"cuda:{args.device}/{precision}" + (f"/sparse={sparse}" if sparse else ""),
                "--warm-up", args.warm_up if warm_up is None else warm_up,
                "--repetitions", steps or args.steps, "--json"]

    def ours(self, name="ours"):
        rows, args = [], self.args
        for batch, precision, sparsity in itertools.product(args.batch, args.precision, args.sparsity):
            what = f"unlearn, batch {batch}, {precision}, sparsity {sparsity:g}"
            said = self.run(what, *self.words(precision, sparsity, batch))
            row = {"batch": batch, "precision": precision, "sparsity": sparsity}
            if said is None:
                row["failed"] = self.failed[-1]["why"]
            else:
                row |= json.loads(said)
                print(f"{what}: {1e3 * row['step_seconds']:.3f} ms", flush=True)
            rows.append(row)
            self.keep(name, rows)

    def again(self):
        self.ours("again")

    def passes(self):
        args, rows = self.args, []
        batch = args.batch[len(args.batch) // 2]
        thin = [sparsity for sparsity in args.sparsity if sparsity > 0]
        for precision, sparsity in itertools.product(args.precision, thin):
            row = {"batch": batch, "precision": precision, "sparsity": sparsity, "step_seconds": {}}
            for name, sparse in PASSES.items():
                said = self.run(f"sparse passes: {name}", *self.words(precision, sparsity, batch, sparse=sparse))
                row["step_seconds"][name] = said and json.loads(said)["step_seconds"]
            rows.append(row)
            self.keep("passes", rows)

    def torch(self):
        args, result = self.args, self.args.out / "gpu_step.json"
        result.unlink(missing_ok=True)
        line = [args.python, ROOT / "benches/gpu_step.py", "--device", f"cuda:{args.device}", "--model", args.model,
                "--batch", ",".join(map(str, args.batch)), "--precision", ",".join(args.precision),
                "--steps", args.steps, "--warm-up", args.warm_up, "--compile", args.compile, "--result", result]
        line += ["--copy"] if args.copy else []
        began = time.monotonic()
        # A process for each mode: a recording or a compiler that fails may take the device's context with it.
        for mode in MODES:
            left = max(1.0, args.torch_seconds - (time.monotonic() - began)) if args.torch_seconds else 7200.0
            more = ["--mode", mode, "--budget", f"{left:.0f}", *(["--earlier", result] if result.is_file() else [])]
            # What is being compiled when the budget ends still has its time.
            self.run(f"torch, {mode}", *line, *more, timeout=left + args.timeout)
        # Each row was written when it was there: what a stop left counts.
        if result.is_file():
            told = json.loads(result.read_text())
            self.keep("torch", told.pop("rows"))
            (args.out / "torch-about.json").write_text(json.dumps(told, indent=1) + "\n")

    def joules(self):
        """Watts over one long run of ours and of PyTorch's fastest, at the middle batch."""
        args = self.args
        if smi(args.device, "power.draw") is None:
            return self.keep("joules", [{"said": "not measured: nvidia-smi tells no power.draw here"}])
        batch, precision = args.batch[len(args.batch) // 2], args.precision[0]
        rows = [{"who": "nobody (idle)"} | self.watts(lambda: time.sleep(args.joule_seconds))]
        mine = {row["sparsity"]: row for row in read(args.out, "ours")
                if (row["batch"], row["precision"]) == (batch, precision) and "step_seconds" in row}
        for sparsity, row in mine.items():
            steps = max(args.steps, int(args.joule_seconds / row["step_seconds_min"]))
            words = self.words(precision, sparsity, batch, steps=steps)
            rows.append(self.joule(f"unlearn, sparsity {sparsity:g}", row, lambda: self.run("joules", *words)))
        if theirs := best(read(args.out, "torch"), batch, precision, MODES):
            steps = max(args.steps, int(args.joule_seconds / theirs["step_seconds_min"]))
            line = [args.python, ROOT / "benches/gpu_step.py", "--device", f"cuda:{args.device}", "--model", args.model,
                    "--batch", batch, "--steps", steps]
            line += [word for key in ["precision", "mode", "layout", "masks"] for word in (f"--{key}", theirs[key])]
            rows.append(self.joule(f"PyTorch {way(theirs)}", theirs, lambda: self.run("joules", *line)))
        self.keep("joules", [row | {"batch": batch, "precision": precision} for row in rows])

    def joule(self, who, row, work):
        watts = self.watts(work)
        each = watts["watts"] and watts["watts"] * row["step_seconds"]
        return {"who": who, "joules_a_step": each} | watts

    def watts(self, work):
        """The card's median watts while something is done, shortly before it ends: preparing is over by then."""
        samples, over, span = [], threading.Event(), 0.7 * self.args.joule_seconds

        def sample():
            while not over.is_set():
                told = smi(self.args.device, "power.draw")
                samples.extend([(time.monotonic(), float(told))] if told else [])
                over.wait(0.1)

        watcher = threading.Thread(target=sample)
        watcher.start()
        try:
            work()
        finally:
            end = time.monotonic() - 1.0
            over.set()
            watcher.join()
        settled = [watts for when, watts in samples if end - span <= when <= end]
        return {"watts": statistics.median(settled) if settled else None, "samples": len(settled)}

    def table(self):
        out = self.args.out
        made = {name: json.loads(path.read_text()) for name in PARTS if (path := out / f"{name}.json").is_file()}
        names = {part["card"]["name"] for part in made.values()}
        if len(names) > 1:
            return self.fail("table", f"made on several cards ({', '.join(sorted(names))}): choose another --out")
        if not names:
            return self.fail("table", f"{out} holds no part: run the others first")
        mine, theirs = read(out, "ours") + read(out, "again"), read(out, "torch")
        pairs = list(compared(mine, theirs))
        about = out / "torch-about.json"
        about = json.loads(about.read_text()) if about.is_file() else None
        head = next(iter(made.values()))["card"]
        figures = {"card": head, "torch": about, "compared": pairs, "failed": self.failed,
                   "parts": {name: part["rows"] for name, part in made.items()}}
        (out / "gpu.json").write_text(json.dumps(figures, indent=1) + "\n")
        text = page(head, about, pairs, made, theirs)
        (out / "gpu.md").write_text(text)
        print(text)


def last(text):
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "nothing said"


def read(out, name):
    path = out / f"{name}.json"
    return json.loads(path.read_text())["rows"] if path.is_file() else []


def way(row):
    return f"{row['mode']} {row['layout']} {row['masks']}"


def best(rows, batch, precision, modes):
    """PyTorch's fastest way, or nothing."""
    same = [row for row in rows if row["batch"] == batch and row["precision"] == precision and row["mode"] in modes
            and "step_seconds" in row]
    return min(same, key=lambda row: row["step_seconds"], default=None)


def compared(mine, theirs):
    """Ours and PyTorch's fastest of the same batch and precision: seconds, bytes, ratios (ours / theirs)."""
    keys = sorted({(row["batch"], row["precision"], row["sparsity"]) for row in mine},
                  key=lambda key: (key[0], PRECISIONS.index(key[1]), key[2]))
    for batch, precision, sparsity in keys:
        runs = [row for row in mine if (row["batch"], row["precision"], row["sparsity"]) == (batch, precision, sparsity)
                and "step_seconds" in row]
        if not runs:
            continue
        step = statistics.mean(row["step_seconds"] for row in runs)
        kinds = runs[0].get("device_bytes")
        pair = {"batch": batch, "precision": precision, "sparsity": sparsity, "step_seconds": step,
                "step_seconds_min": min(row["step_seconds_min"] for row in runs),
                "step_seconds_max": max(row["step_seconds_max"] for row in runs),
                "medians": [row["step_seconds"] for row in runs], "plan": runs[0].get("plan"), "device_bytes": kinds}
        for name, modes in [("eager", ["eager"]), ("graph", ["graph"]), ("compiled", ["compiled"]),
                            ("any", MODES)]:
            if other := best(theirs, batch, precision, modes):
                pair[name] = {"way": way(other), "step_seconds": other["step_seconds"],
                              "ratio": step / other["step_seconds"], **bytes_ratio(kinds, other)}
        yield pair


def bytes_ratio(kinds, other):
    """All bytes against PyTorch's peak, and what is kept between steps against its tensors."""
    if not kinds:
        return {}
    kept = sum(kinds[kind] for kind in ["weights", "gradient", "state"])
    theirs = sum(other["bytes"].values())
    ratios = {"kept_bytes": theirs, "kept_ratio": kept / theirs if theirs else None}
    if other["peak_bytes"]:
        ratios |= {"peak_bytes": other["peak_bytes"], "peak_ratio": sum(kinds.values()) / other["peak_bytes"]}
    return ratios


def cell(pair, name, key, form="{:.2f}"):
    value = pair.get(name, {}).get(key)
    return "–" if value is None else form.format(value)


def milliseconds(row):
    low, middle, high = (1e3 * row[f"step_seconds{what}"] for what in ["_min", "", "_max"])
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def table(head, rows):
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join(lines + [f"| {' | '.join(map(str, row))} |" for row in rows])


def page(head, about, pairs, made, theirs):
    """The tables, as Markdown."""
    driver = head["driver"] or "unknown"
    said = f"torch {about['torch']}, CUDA {about['cuda']}, cuDNN {about['cudnn']}" if about else "PyTorch not measured"
    parts = [f"{head['name']} (compute capability {head['capability']}, {head['memory_bytes'] / 1e9:.1f} GB), driver "
             f"{driver} (CUDA {head['driver_cuda']}); {said}. Ratios are ours / PyTorch's fastest of the column."]
    rows = [[p["batch"], p["precision"], f"{100 * p['sparsity']:g} %", milliseconds(p),
             *[cell(p, name, "ratio") for name in ["eager", "graph", "compiled", "any"]],
             p.get("any", {}).get("way", "–"),
             f"{sum(p['device_bytes'].values()) / 1e6:.1f}" if p["device_bytes"] else "–",
             cell(p, "eager", "peak_ratio"), cell(p, "eager", "kept_ratio")] for p in pairs]
    parts.append(table(["batch", "precision", "sparsity", "ms a step", "/ eager", "/ graph", "/ compiled", "/ any",
                        "PyTorch's fastest", "device MB", "/ eager's peak", "kept / eager's"], rows))
    rows = [[row["batch"], row["precision"], way(row), milliseconds(row),
             f"{row['peak_bytes'] / 1e6:.1f}" if row["peak_bytes"] else "–"]
            if "step_seconds" in row else
            [row["batch"], row["precision"], way(row), row.get("failed") or f"left out: {row['left_out']}", "–"]
            for row in theirs]
    parts.append(table(["batch", "precision", "PyTorch", "ms a step", "peak MB"], rows))
    if passes := made.get("passes"):
        rows = [[row["batch"], row["precision"], f"{100 * row['sparsity']:g} %",
                 *[f"{1e3 * seconds:.3f}" if seconds else "–" for seconds in row["step_seconds"].values()]]
                for row in passes["rows"]]
        parts.append(table(["sparse passes, batch", "precision", "sparsity", *[f"ms, {name}" for name in PASSES]], rows))
    if joules := made.get("joules"):
        rows = [[row.get("who", row.get("said")), row.get("batch", "–"), row.get("precision", "–"),
                 *[f"{row[key]:.3f}" if row.get(key) else "–" for key in ["watts", "joules_a_step"]]]
                for row in joules["rows"]]
        parts.append(table(["energy of the card", "batch", "precision", "W", "J a step"], rows))
    checks = [f"{row['test']}: {'; '.join(row['said']) or 'failed'}" for row in made.get("tests", {}).get("rows", [])]
    checks += [f"compute-sanitizer memcheck: {row['said']}" for row in made.get("memcheck", {}).get("rows", [])]
    return "\n\n".join(parts + ["\n".join(checks)] if checks else parts) + "\n"


def arguments():
    def words(known, kind=str):
        def parse(text):
            found = [kind(word) for word in text.split(",")]
            if known and (unknown := [word for word in found if word not in known]):
                raise argparse.ArgumentTypeError(f"{', '.join(unknown)} not known; there are {', '.join(known)}")
            return found
        return parse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    program = os.environ.get("UNLEARN", ROOT / "target/release/unlearn")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for results")
    parser.add_argument("--program", type=pathlib.Path, default=program, help="default $UNLEARN")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has torch (default this one)")
    parser.add_argument("--tests", type=pathlib.Path, action="append", default=[], help="a built test program")
    parser.add_argument("--parts", type=words(PARTS), default=PARTS, help=f"default {','.join(PARTS)}")
    parser.add_argument("--device", type=int, default=0, help="number of the CUDA device (default 0)")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--batch", type=words(None, int), default=[16, 64, 256])
    parser.add_argument("--precision", type=words(PRECISIONS), default=PRECISIONS)
    parser.add_argument("--sparsity", type=words(None, float), default=[0.0, 0.9, 0.95, 0.98])
    parser.add_argument("--steps", type=int, default=50, help="timed, of each side (default 50)")
    parser.add_argument("--warm-up", type=int, default=10)
    parser.add_argument("--compile", choices=["all", "fastest"], default="all", help="see gpu_step.py")
    parser.add_argument("--copy", action="store_true", help="count PyTorch's copying of samples too")
    parser.add_argument("--torch-seconds", type=float, help="after which PyTorch begins no further way")
    parser.add_argument("--joule-seconds", type=float, default=10.0, help="of each long run (default 10)")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds of one command (default 900)")
    return parser.parse_args()


def main():
    args = arguments()
    found, why = card(args.device)
    if found is None and args.parts != ["table"]:
        print(f"no card: {why}. Nothing was measured", file=sys.stderr)
        raise SystemExit(2)
    args.out.mkdir(parents=True, exist_ok=True)
    if found:
        print(f"{found['name']}, compute capability {found['capability']}, driver {found['driver'] or 'unknown'}, "
              f"CUDA {found['driver_cuda']}", flush=True)
    work = Work(args, found)
    for part in PARTS:
        if part in args.parts:
            # What an earlier call left must not pass for what this one made.
            (args.out / f"{part}.json").unlink(missing_ok=True)
            try:
                getattr(work, part)()
            except Exception as fault:  # told and remembered: one part must not take the others with it
                work.fail(part, f"{type(fault).__name__}: {fault}")
    raise SystemExit(1 if work.failed else 0)


if __name__ == "__main__":
    main()
