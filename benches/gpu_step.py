#!/usr/bin/env python3
"""A training step in PyTorch on one GPU, in every way that its users have: for `benches/gpu.py`, or alone.

Needs Python 3.11 and torch with CUDA (pip install torch); torch.compile needs a C++ compiler and Triton.

    benches/gpu_step.py --result step.json
    benches/gpu_step.py --batch 16,64,256 --precision tf32,bf16 --compile none
    benches/gpu_step.py --device cpu --model cnn16 --batch 4 --precision f32 --mode eager --steps 3 --warm-up 1

The network is that of models/NAME.toml, with training batch norm; the loss is cross-entropy; the update SGD with
momentum 0.9 and weight decay 5e-4, one fused call. A way is named PRECISION MODE LAYOUT MASKS:

  precision  f32 (no TF32), tf32, bf16 and f16 (autocast; f16 with a GradScaler)
  mode       eager; graph (eager, the whole step recorded into one CUDA graph); compiled (torch.compile,
             max-autotune)
  layout     nchw or channels_last
  masks      plain (dense, nothing to apply) or masked: torch.nn.utils.prune on each convolution, as in the
             paper's code, so that a weight is multiplied by its mask in each forward pass

Samples lie on the device already; --copy counts their copying from pinned memory too. Seconds of a step lie between
two CUDA events, host and device not waiting for each other between steps; beside them stands wall clock, where each
step is waited for. Bytes are of tensors; peak_bytes is what the allocator gave out at the fullest moment of the timed
steps above what it had given out before the network was made, or what it still holds afterwards if that is more:
what a CUDA graph works in is held and not given out. The driver's own memory is in neither. A way that fails is
told, and the rest goes on; once --budget seconds are spent, what is left is told as left out.
"""

import argparse
import gc
import itertools
import json
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "peers"))
import common  # noqa: E402  the same network in PyTorch

PRECISIONS, MODES = ["tf32", "bf16", "f16", "f32"], ["eager", "graph", "compiled"]
LAYOUTS, MASKS = ["channels_last", "nchw"], ["plain", "masked"]
RATE, MOMENTUM, DECAY = 0.01, 0.9, 5e-4


def nbytes(tensors):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class Step:
    """One way of doing the step."""

    def __init__(self, args, batch, precision, mode, layout, masks):
        import torch

        self.torch, self.device, self.precision, self.copy = torch, args.device, precision, args.copy
        self.cuda = args.device.startswith("cuda")
        torch.manual_seed(1)
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
        network = common.network(args.model, args.classes)
        shape = network.shape
        network = network.to(args.device).train()
        if masks == "masked":
            self.mask(network, args.sparsity)
        form = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        network = network.to(memory_format=form)
        self.network = network
        self.there = torch.rand(batch, *shape), torch.randint(0, args.classes, (batch,))
        self.there = self.there[0].contiguous(memory_format=form), self.there[1]
        if self.cuda and self.copy:
            self.there = tuple(tensor.pin_memory() for tensor in self.there)
        self.here = tuple(tensor.to(args.device, copy=True) for tensor in self.there)
        self.optimiser = torch.optim.SGD(network.parameters(), RATE, momentum=MOMENTUM, weight_decay=DECAY, fused=True)
        self.scaler = torch.amp.GradScaler(args.device.split(":")[0], enabled=precision == "f16")
        self.forward = torch.compile(network, mode="max-autotune") if mode == "compiled" else network
        self.loss = torch.nn.CrossEntropyLoss()
        self.run = self.step
        if mode == "graph":
            self.record(args.warm_up)

    def mask(self, network, sparsity):
        """Random masks of one sparsity in each convolution: which weights they are makes no difference to dense
        kernels."""
        from torch.nn.utils import prune

        for layer in network.modules():
            if isinstance(layer, self.torch.nn.Conv2d):
                keep = (self.torch.rand_like(layer.weight) >= sparsity).float()
                prune.custom_from_mask(layer, "weight", keep)

    def step(self):
        torch = self.torch
        if self.copy:
            for here, there in zip(self.here, self.there):
                here.copy_(there, non_blocking=True)
        self.optimiser.zero_grad(set_to_none=True)
        kind = {"bf16": torch.bfloat16, "f16": torch.float16}.get(self.precision)
        with torch.autocast(self.device.split(":")[0], kind, enabled=kind is not None):
            value = self.loss(self.forward(self.here[0]), self.here[1])
        self.scaler.scale(value).backward()
        self.scaler.step(self.optimiser)
        self.scaler.update()

    def record(self, warm_up):
        """The whole step as one CUDA graph, as PyTorch's notes on CUDA graphs tell it."""
        torch = self.torch
        if not self.cuda:
            raise RuntimeError("graphs are of CUDA devices")
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(max(3, warm_up)):
                self.step()
        torch.cuda.current_stream().wait_stream(side)
        self.optimiser.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        self.run = graph.replay

    def wait(self):
        if self.cuda:
            self.torch.cuda.synchronize()

    def wall(self, steps):
        """Seconds of each step by the host's clock, each waited for."""
        taken = []
        for _ in range(steps):
            self.wait()
            start = time.perf_counter()
            self.run()
            self.wait()
            taken.append(time.perf_counter() - start)
        return taken

    def events(self, steps):
        """Seconds of each step between two events of the device."""
        if not self.cuda:
            return self.wall(steps)
        event = self.torch.cuda.Event
        marks = [event(enable_timing=True) for _ in range(steps + 1)]
        self.wait()
        marks[0].record()
        for mark in marks[1:]:
            self.run()
            mark.record()
        self.wait()
        return [1e-3 * a.elapsed_time(b) for a, b in itertools.pairwise(marks)]

    def bytes(self):
        parameters = list(self.network.parameters())
        masks = [tensor for name, tensor in self.network.named_buffers() if name.endswith("_mask")]
        others = [tensor for name, tensor in self.network.named_buffers() if not name.endswith("_mask")]
        state = [value for of in self.optimiser.state.values() for value in of.values()
                 if self.torch.is_tensor(value)]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        return {"weights": nbytes(parameters) + nbytes(others), "masks": nbytes(masks), "gradient": nbytes(gradients),
                "state": nbytes(state)}


def measure(args, batch, *way):
    """Seconds and bytes of one way, as a row of the result."""
    import torch

    cuda, start = args.device.startswith("cuda"), time.perf_counter()
    torch.compiler.reset()
    gc.collect()
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.synchronize()
    before = (torch.cuda.memory_allocated(), torch.cuda.memory_reserved()) if cuda else (0, 0)
    step = Step(args, batch, *way)
    for _ in range(args.warm_up):
        step.run()
    step.wait()
    ready = time.perf_counter() - start
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    taken = step.events(args.steps)
    given = torch.cuda.max_memory_allocated() - before[0] if cuda else None
    wall, kinds = step.wall(args.steps), step.bytes()
    if cuda:
        torch.cuda.empty_cache()
    held = torch.cuda.memory_reserved() - before[1] if cuda else None
    return {"step_seconds": statistics.median(taken), "step_seconds_min": min(taken), "step_seconds_max": max(taken),
            "wall_seconds": statistics.median(wall), "ready_seconds": ready, "bytes": kinds,
            "allocated_bytes": given, "held_bytes": held, "peak_bytes": max(given, held) if cuda else None}


def told(fault):
    """The first line of what went wrong."""
    return f"{type(fault).__name__}: {(str(fault).splitlines() or [''])[0]}"[:300]


def rows(args):
    """Each way of each batch; ways that are quick to prepare first, so that a budget leaves out the others."""
    began, made = time.perf_counter(), json.loads(args.earlier.read_text())["rows"] if args.earlier else []
    batches, words = args.batch, [args.precision, args.layout, args.masks]
    ways = [(batch, precision, mode, layout, masks) for mode in args.mode for batch in batches
            for precision, layout, masks in itertools.product(*words)]
    for batch, precision, mode, layout, masks in ways:
        row = {"batch": batch, "precision": precision, "mode": mode, "layout": layout, "masks": masks}
        if args.compile == "fastest" and mode == "compiled" and not leads(made, row):
            row["left_out"] = "not the fastest eager way of this precision and batch (--compile fastest)"
        elif args.budget and time.perf_counter() - began > args.budget:
            row["left_out"] = f"--budget of {args.budget:g} s was spent"
        else:
            try:
                row |= measure(args, batch, precision, mode, layout, masks)
            except Exception as fault:  # told in the result: a way that fails is not passed over
                row["failed"] = told(fault)
        said = row.get("failed") or row.get("left_out") or f"{1e3 * row['step_seconds']:.3f} ms"
        print(f"batch {batch} {precision} {mode} {layout} {masks}: {said}", file=sys.stderr, flush=True)
        made.append(row)
        if args.result:
            # Each row is kept at once: whoever stops this has what was measured.
            args.result.write_text(json.dumps(figures(args, made), indent=1) + "\n")
    return made


def leads(made, row):
    """Whether eager was fastest in this row's layout and masks, for its precision and batch; so too if none ran."""
    same = [one for one in made if one["mode"] == "eager" and "step_seconds" in one
            and all(one[key] == row[key] for key in ["batch", "precision"])]
    first = min(same, key=lambda one: one["step_seconds"], default=row)
    return all(first[key] == row[key] for key in ["layout", "masks"])


def figures(args, made):
    import torch

    cuda = args.device.startswith("cuda")
    return {"what": "step of PyTorch: cross-entropy, SGD, momentum 0.9, weight decay 5e-4; training batch norm",
            "model": args.model, "classes": args.classes, "device": args.device, "copy": args.copy,
            "card": torch.cuda.get_device_name() if cuda else common.machine(), "torch": torch.__version__,
            "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version() if cuda else None,
            "sparsity_of_masks": args.sparsity, "warm_up": args.warm_up, "steps": args.steps,
            "command": " ".join(sys.argv), "rows": made}


def words(known):
    def parse(text):
        found = [word.strip() for word in text.split(",")]
        if unknown := [word for word in found if word not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} not known; there are {', '.join(known)}")
        return found
    return parse


def numbers(text):
    found = [int(word) for word in text.split(",")]
    if min(found) < 1:
        raise argparse.ArgumentTypeError("numbers of 1 or more")
    return found


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cuda:0", help="cuda:N, or cpu to try the script (default cuda:0)")
    parser.add_argument("--model", default="resnet18", help="a compiled-in network or a TOML file")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--batch", type=numbers, default=[16, 64, 256], help="default 16,64,256")
    for name, known in [("precision", PRECISIONS), ("mode", MODES), ("layout", LAYOUTS), ("masks", MASKS)]:
        parser.add_argument(f"--{name}", type=words(known), default=known, help=f"default {','.join(known)}")
    parser.add_argument("--compile", choices=["all", "fastest"], default="all",
                        help="what is compiled: all layouts and masks, or those of the fastest eager way only")
    parser.add_argument("--sparsity", type=float, default=0.95, help="of the masks (default 0.95)")
    parser.add_argument("--steps", type=int, default=50, help="timed, of each way (default 50)")
    parser.add_argument("--warm-up", type=int, default=10, help="before them (default 10)")
    parser.add_argument("--copy", action="store_true", help="count copying the samples to the device")
    parser.add_argument("--budget", type=float, help="seconds after which no further way is begun")
    parser.add_argument("--earlier", type=pathlib.Path, help="the result of other modes, to go on from")
    parser.add_argument("--result", type=pathlib.Path, help="also write the figures there as JSON")
    args = parser.parse_args()
    if args.steps < 1 or args.warm_up < 0:
        parser.error("--steps is 1 or more, --warm-up 0 or more")
    return args


def main():
    args = arguments()
    common.needs("torch")
    import torch

    if args.device.startswith("cuda"):
        if not torch.cuda.is_available():
            print("no CUDA device that PyTorch can use: nothing was measured (--device cpu tries the script)",
                  file=sys.stderr)
            raise SystemExit(2)
        torch.cuda.set_device(args.device)
        # The libraries' own workspace is there before anything is counted.
        side = torch.rand(64, 64, device=args.device)
        (side @ side).sum().item()
    print(json.dumps(figures(args, rows(args))))


if __name__ == "__main__":
    main()
