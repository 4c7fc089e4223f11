"""What the peer scripts share: the program, the same network in PyTorch, alternating rounds, tables.

The PyTorch network is built from the program's own description (models/NAME.toml, or the TOML file that
was named), operation by operation, so that both sides compute the same thing.
"""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def needs(*modules):
    """Imports what a script needs, or says what to install."""
    missing = []
    for module in modules:
        try:
            __import__(module)
        except ImportError:
            missing.append(module)
    if missing:
        raise SystemExit(f"missing {', '.join(missing)}: pip install {' '.join(missing)}")


def arguments(parser):
    parser.add_argument("--threads", type=int, default=2, help="of both sides (default 2)")
    parser.add_argument("--rounds", type=int, default=5, help="each measures both sides (default 5)")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/unlearn")
    parser.add_argument("--result", type=pathlib.Path, help="also write the figures there as JSON")


def checked(args):
    if args.rounds < 1 or args.threads < 1:
        raise SystemExit("--rounds and --threads are 1 or more")
    if not args.program.is_file():
        raise SystemExit(f"{args.program} is not there: cargo build --release, or give --program")
    return args


def call(program, *words):
    """What the program prints as JSON."""
    line = [str(word) for word in [program, *words, "--json"]]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(line)}\nended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def description(model):
    """The description of a compiled-in network, or of a TOML file."""
    path = pathlib.Path(model)
    path = path if path.suffix == ".toml" else ROOT / "models" / f"{model}.toml"
    if not path.is_file():
        raise SystemExit(f"{path} is not there: --model takes a compiled-in network or a TOML file")
    return tomllib.loads(path.read_text())


def network(model, classes):
    """The same network in PyTorch, with PyTorch's own initial weights."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    def pair(value):
        return tuple(value) if isinstance(value, list) else (value, value)

    class PadShortcut(nn.Module):
        def __init__(self, channels, before, stride):
            super().__init__()
            self.side, self.stride = (channels - before) // 2, stride

        def forward(self, x):
            x = x[:, :, :: self.stride[0], :: self.stride[1]]
            return F.pad(x, (0, 0, 0, 0, self.side, self.side))

    class Add(nn.Module):
        def forward(self, a, b):
            return a + b

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            told = description(model)
            shape = told["input"]["shape"]
            self.shape = shape
            for name in ["mean", "std"]:
                values = torch.tensor(told["input"][name]).reshape(1, -1, 1, 1)
                self.register_buffer(f"input_{name}", values)
            self.layers, self.reads, self.keys = nn.ModuleList(), [], []
            shapes, last = {"input": (shape[0], *shape[1:])}, "input"
            readers = {}
            for op in told["op"]:
                source = op.get("from", last)
                source = source if isinstance(source, list) else [source]
                for name in source:
                    readers[name] = readers.get(name, 0) + 1
                last = op["name"]
            last = "input"
            for op in told["op"]:
                source = op.get("from", last)
                source = source if isinstance(source, list) else [source]
                layer, shapes[op["name"]] = self.layer(op, shapes[source[0]], readers[source[0]] == 1)
                self.layers.append(layer)
                self.reads.append(source)
                self.keys.append(op["name"])
                last = op["name"]

        def layer(self, op, shape, alone):
            channels, height, width = shape
            kind = op["kind"]
            if kind == "conv":
                kernel, stride = pair(op["kernel"]), pair(op.get("stride", 1))
                padding, filters = pair(op.get("padding", 0)), op["filters"]
                side = [(s + 2 * p - k) // t + 1 for s, k, t, p in zip((height, width), kernel, stride, padding)]
                layer = nn.Conv2d(channels, filters, kernel, stride, padding,
                                  groups=op.get("groups", 1), bias=op.get("bias", False))
                return layer, (filters, *side)
            if kind == "linear":
                outputs = classes if op["outputs"] == "classes" else op["outputs"]
                layer = nn.Linear(channels * height * width, outputs, bias=op.get("bias", True))
                return nn.Sequential(nn.Flatten(), layer), (outputs, 1, 1)
            if kind == "batch-norm":
                return nn.BatchNorm2d(channels, op.get("epsilon", 1e-5), op.get("momentum", 0.1)), shape
            if kind == "relu":
                return nn.ReLU(inplace=alone), shape
            if kind == "add":
                return Add(), shape
            if kind in ("max-pool", "avg-pool"):
                kernel = pair(op["kernel"])
                stride, padding = pair(op.get("stride", op["kernel"])), pair(op.get("padding", 0))
                side = [(s + 2 * p - k) // t + 1 for s, k, t, p in zip((height, width), kernel, stride, padding)]
                pool = nn.MaxPool2d(kernel, stride, padding) if kind == "max-pool" else nn.AvgPool2d(kernel, stride)
                return pool, (channels, *side)
            if kind == "global-avg-pool":
                return nn.AdaptiveAvgPool2d(1), (channels, 1, 1)
            if kind == "pad-shortcut":
                stride = pair(op.get("stride", 1))
                side = [-(-s // t) for s, t in zip((height, width), stride)]
                return PadShortcut(op["channels"], channels, stride), (op["channels"], *side)
            raise SystemExit(f"operation `{kind}` is not known here: add it to {__file__}")

        def forward(self, x):
            given = {"input": (x - self.input_mean) / self.input_std}
            for layer, reads, key in zip(self.layers, self.reads, self.keys):
                # Batch norm of a flat vector: a linear layer gives [batch, outputs].
                inputs = [given[name] for name in reads]
                if isinstance(layer, nn.BatchNorm2d) and inputs[0].dim() == 2:
                    inputs = [inputs[0][:, :, None, None]]
                given[key] = layer(*inputs)
            return given[key].flatten(1)

    return Network()


def seconds(work, times):
    """Median and least duration of `times` calls."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken), min(taken)


def alternate(rounds, sides):
    """Medians of each side by round, and its least duration; measured in turn, so that what else the
    machine does hinders all."""
    taken, least = {name: [] for name in sides}, {}
    for _ in range(rounds):
        for name, measure in sides.items():
            median, fastest = measure()
            taken[name].append(median)
            least[name] = min(fastest, least.get(name, fastest))
    return taken, least


def table(head, rows):
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join(lines + [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows])


def spread(values, scale=1.0, digits=1):
    """Median, and the range it lies in."""
    low, middle, high = min(values) * scale, statistics.median(values) * scale, max(values) * scale
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def machine():
    names = [line for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line] \
        if pathlib.Path("/proc/cpuinfo").exists() else []
    return names[0].split(":")[1].strip() if names else platform.processor() or platform.machine()


def busy():
    """What else the machine did, if it did: runnable processes over the last minute, and cores."""
    try:
        load, cores = os.getloadavg()[0], os.cpu_count() or 1
    except OSError:
        return None, ""
    # The measurement itself keeps all its threads running.
    if load <= cores + 0.5:
        return load, ""
    return load, (f"\n\nBUSY: {load:.1f} processes wanted to run on {cores} cores. Whoever waits at barriers (PyTorch's "
                  "threads) suffers more from that than whoever does not: these ratios say little,\nthe least durations a little more. Repeat on a quiet machine.")


def finish(args, text, figures):
    load, warning = busy()
    text += warning
    figures = {"command": " ".join(sys.argv), "machine": machine(), "threads": args.threads,
               "rounds": args.rounds, "load_average": load, **figures}
    print(text)
    print()
    print(json.dumps(figures))
    if args.result:
        args.result.write_text(json.dumps(figures, indent=1) + "\n")
