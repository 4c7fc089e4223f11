#!/usr/bin/env python3
"""A step of l1-sparse unlearning: the program beside PyTorch, in one run.

Needs a release build (`cargo build --release`), Python 3.11 and torch (pip install torch); torch.compile
needs a C++ compiler. With --candle, a Rust toolchain too: candle's own masked dense step is a bench of
this crate.

    benches/peers/step.py --model resnet18 --batch 64 --sparsity 0.95
    benches/peers/step.py --model resnet18 --batch 64 --allocation omp95.esm
    benches/peers/step.py --model resnet20 --batch 64 --sparsity 0.95 --candle --memory

Both sides: the same network, batch and threads, cross-entropy + l1 subgradient over all parameters,
SGD with momentum 0.9 and weight decay 5e-4, training batch norm. PyTorch's network is dense and has no
mask to apply, which is in its favour; its l1 term and its SGD are single fused calls. Its fastest variant
counts. bf16 is another arithmetic: it is told, and does not count. Sides take turns, round by round; each
figure is the median of the rounds' medians, with the range of the rounds behind it; beside it stands the
least of all steps.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

import common

VARIANTS = ["eager", "channels_last", "compiled", "compiled channels_last", "bf16"]
GAMMA, RATE = 1e-4, 0.01


def make_step(variant, model, classes, batch):
    """A function that does one step in PyTorch."""
    import torch

    torch.manual_seed(1)
    network = common.network(model, classes)
    samples, labels = torch.rand(batch, *network.shape), torch.randint(0, classes, (batch,))
    if "channels_last" in variant or variant == "bf16":
        network = network.to(memory_format=torch.channels_last)
        samples = samples.to(memory_format=torch.channels_last)
    parameters = list(network.parameters())
    optimiser = torch.optim.SGD(parameters, RATE, momentum=0.9, weight_decay=5e-4, fused=True)
    forward = torch.compile(network) if "compiled" in variant else network
    loss = torch.nn.CrossEntropyLoss()

    def step():
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=variant == "bf16"):
            value = loss(forward(samples), labels)
        value.backward()
        # The subgradient of the l1 term, in fewer passes than autograd would take.
        with torch.no_grad():
            signs = torch._foreach_sign(parameters)
            torch._foreach_add_([p.grad for p in parameters], signs, alpha=GAMMA)
        optimiser.step()

    return step


def resident(key):
    """Bytes that Linux tells of this process."""
    path = pathlib.Path("/proc/self/status")
    lines = path.read_text().splitlines() if path.exists() else []
    found = [line.split()[1] for line in lines if line.startswith(key)]
    return 1024 * int(found[0]) if found else None


def one_peak(args):
    """Peak above what the imports took, in a process of its own; printed for the caller."""
    import torch

    torch.set_num_threads(args.threads)
    # A first backward pass loads what every program has loaded by then.
    torch.nn.Linear(2, 2)(torch.zeros(1, 2)).sum().backward()
    before = resident("VmRSS")
    step = make_step(args.peak, args.model, args.classes, args.batch)
    for _ in range(3):
        step()
    peak = resident("VmHWM")
    print(json.dumps(peak and peak - before))


def torch_peak(args, variant):
    line = [sys.executable, __file__, "--peak", variant, "--model", args.model, "--batch", str(args.batch),
            "--threads", str(args.threads), "--classes", str(args.classes)]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(line)}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def candle_seconds(args):
    line = ["cargo", "bench", "--quiet", "--bench", "candle_step", "--", "--model", args.model, "--batch",
            str(args.batch), "--classes", str(args.classes), "--repetitions", "3"]
    line += ["--sparsity", str(args.sparsity)] if args.sparsity else []
    done = subprocess.run(line, capture_output=True, text=True, cwd=common.ROOT,
                          env=os.environ | {"RAYON_NUM_THREADS": str(args.threads)})
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(line)}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])["step_seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="resnet18", help="a compiled-in network or a TOML file")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--sparsity", type=float, help="share of the prunable weights that do not exist")
    parser.add_argument("--allocation", default="uniform", help="uniform, erk, global or a model file")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--variants", default="eager,channels_last,compiled,compiled channels_last",
                        help=f"comma-separated, of: {', '.join(VARIANTS)}")
    parser.add_argument("--steps", type=int, default=3, help="timed in each round, of each side (default 3)")
    parser.add_argument("--candle", action="store_true", help="also time candle's masked dense step")
    parser.add_argument("--recompute", action="store_true", help="what `bench step --recompute` does: less memory for one more pass")
    parser.add_argument("--memory", action="store_true", help="also compare peaks in memory (Linux)")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    common.arguments(parser)
    args = parser.parse_args()
    common.needs("torch")
    if args.peak:
        return one_peak(args)
    common.checked(args)
    variants = [variant.strip() for variant in args.variants.split(",")]
    if unknown := [variant for variant in variants if variant not in VARIANTS]:
        raise SystemExit(f"--variants: {', '.join(unknown)} not known; there are {', '.join(VARIANTS)}")

    import torch

    torch.set_num_threads(args.threads)
    words = ["bench", "step", "--model", args.model, "--batch", args.batch, "--threads", args.threads,
             "--allocation", args.allocation, "--warm-up", 2, "--repetitions", args.steps]
    words += ["--recompute"] if args.recompute else []
    words += ["--classes", args.classes] if not str(args.model).endswith(".esm") else []
    words += ["--sparsity", args.sparsity] if args.sparsity is not None else []
    seen = {}

    def ours():
        seen.update(common.call(args.program, *words))
        return seen["step_seconds"], seen["step_seconds_min"]

    sides, failed = {"unlearn": ours}, {}
    for variant in variants:
        try:
            step = make_step(variant, args.model, args.classes, args.batch)
            for _ in range(3):
                step()
        except Exception as fault:  # told in the table: a variant that fails is not passed over
            failed[variant] = f"{type(fault).__name__}: {str(fault).splitlines()[0]}"
            continue
        sides[f"PyTorch {variant}"] = lambda step=step: common.seconds(step, args.steps)
    taken, least = common.alternate(args.rounds, sides)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    counted = [name for name in medians if name.startswith("PyTorch") and "bf16" not in name]
    if not counted:
        raise SystemExit(f"no variant of PyTorch ran: {failed}")
    fastest = min(counted, key=medians.get)
    ratio = medians[fastest] / medians["unlearn"]
    if args.candle:
        name = "candle, masked dense"
        taken[name] = [candle_seconds(args)]
        medians[name] = least[name] = taken[name][0]
    rows = [[name, common.spread(values, 1e3), f"{medians[name] / medians['unlearn']:.2f}",
             f"{1e3 * least[name]:.1f}", f"{least[name] / least['unlearn']:.2f}", "counts" if name == fastest else ""] for name, values in taken.items()]
    rows += [[f"PyTorch {name}", f"failed: {fault}", "", "", "", ""] for name, fault in failed.items()]
    text = (f"{seen['model']}, batch {args.batch}, {seen['sparsity_percent']:.2f} % sparse ({seen['allocation']}), "
            f"{100 * seen['macs'] / seen['macs_dense']:.2f} % of the MACs, {args.threads} threads, {seen['plan']}, "
            f"torch {torch.__version__}, {common.machine()}\n\n"
            + common.table(["a step", "ms", "times unlearn's", "least, ms", "times unlearn's least", ""], rows)
            + f"\n\nPyTorch's fastest takes {ratio:.2f} times unlearn's time.")
    figures = {"seconds": taken, "fastest": fastest, "ratio": ratio, "least_seconds": least, "failed": failed, "unlearn": seen,
               "torch": torch.__version__}
    if args.memory:
        theirs = torch_peak(args, fastest.removeprefix("PyTorch "))
        mine = seen["measured_peak_bytes"]
        if theirs and mine:
            text += (f"\nPeak above the start: unlearn {mine / 1e6:.0f} MB ({seen['peak_bytes'] / 1e6:.0f} planned), "
                     f"{fastest} {theirs / 1e6:.0f} MB, {mine / theirs:.2f} of it.")
        else:
            text += "\nSKIPPED: peaks in memory, which only Linux tells."
        figures |= {"peak_bytes": {"unlearn": mine, fastest: theirs}}
    common.finish(args, text, figures)


if __name__ == "__main__":
    main()
