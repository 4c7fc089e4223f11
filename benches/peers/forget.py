#!/usr/bin/env python3
"""l1-sparse unlearning of a class of CIFAR-10, end to end: the program beside PyTorch, over seeds.

Needs a release build (`cargo build --release`), Python 3.11, torch, numpy and safetensors (pip install
torch numpy safetensors), and the small CIFAR-10 that `--data` names (small_train.bin.xz, small_test.bin.xz).

    UNLEARN_DATA=DIR benches/peers/forget.py --out /tmp/forget
    UNLEARN_DATA=DIR benches/peers/forget.py --out /tmp/forget --seeds 1 --epochs 1 --train-epochs 1

For each seed a ResNet-20 is trained and pruned to 95 % by one-shot magnitude, with the words of
benches/forgetting.py, whose --out may be given: what is there is taken. Then both sides forget class 0
from the same sparse network: batch 128, rate 0.05 down a cosine, momentum 0.9, decay 5e-4, l1 subgradient over
all parameters from 1e-4 linearly down, crops and flips, on what is retained. Seconds are wall clock of
a process from its start to its end: imports, reading the same files, learning, writing the model, measuring UA, RA and
TA of the model before and of the one that was written. The program measures MIA too, which PyTorch here
does not. PyTorch's network came through `unlearn export`; it is dense with zeros, and its mask is applied once a step, to
all gradients in one call, which is less than a mask on every weight costs. It augments whole batches at a
time. Its fastest variant counts; torch.compile is left out, because compiling takes longer than it saves.
"""

import argparse
import json
import lzma
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import common

sys.path.insert(0, str(common.ROOT / "benches"))
import forgetting  # noqa: E402  the recipe, which must stay one

SCENARIO = "class=0"
SETTINGS = forgetting.SETTINGS["cifar"]
BATCH, DECAY, MOMENTUM = 128, 5e-4, 0.9
PADDING = 4
METRICS = ["ua", "ra", "ta"]
VARIANTS = ["eager", "channels_last"]


def folder_of(data):
    """The folder that `--data` means, as the program finds it."""
    looked_at = [pathlib.Path(data), pathlib.Path(os.environ.get("UNLEARN_DATA", ".")) / data]
    for folder in looked_at:
        if (folder / "small_train.bin.xz").is_file():
            return folder
    raise SystemExit(f"no small_train.bin.xz in {' or '.join(map(str, looked_at))}: set UNLEARN_DATA, or give --data")


def read(folder, part):
    """Pictures as bytes [N, 3, 32, 32], and labels."""
    import numpy
    import torch

    records = numpy.frombuffer(lzma.open(folder / f"small_{part}.bin.xz").read(), numpy.uint8).reshape(-1, 3073)
    return torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).copy()), torch.from_numpy(records[:, 0].astype("int64"))


def parameters_by_name(network):
    """The network's tensors under the names that `unlearn export` gives them."""
    from torch import nn

    tensors = {}
    for key, layer in zip(network.keys, network.layers):
        layer = layer[1] if isinstance(layer, nn.Sequential) else layer
        for name, tensor in layer.state_dict(keep_vars=True).items():
            if name != "num_batches_tracked":
                tensors[f"{key}.{name}"] = tensor
    return tensors


def varied(pictures, generator):
    """Each picture cut from a random place of itself with zeros around, half of them mirrored."""
    import torch

    side = pictures.shape[-1]
    padded = torch.nn.functional.pad(pictures, [PADDING] * 4)
    reach = 2 * PADDING + 1
    down = torch.randint(0, reach, (len(pictures), 1), generator=generator) + torch.arange(side)
    right = torch.randint(0, reach, (len(pictures), 1), generator=generator) + torch.arange(side)
    flip = torch.rand(len(pictures), 1, generator=generator) < 0.5
    right = torch.where(flip, right.flip(1), right)
    each = torch.arange(len(pictures))[:, None, None]
    # Pictures last: an index into three of four dimensions puts what it chose first.
    return padded.permute(0, 2, 3, 1)[each, down[:, :, None], right[:, None, :]].permute(0, 3, 1, 2)


def right_percent(network, pictures, labels, turned):
    import torch

    network.eval()
    right = 0
    with torch.inference_mode():
        for at in range(0, len(labels), 500):
            batch = turned(pictures[at:at + 500].float() / 255)
            right += (network(batch).argmax(1) == labels[at:at + 500]).sum().item()
    return 100 * right / len(labels)


def peer(args):
    """The whole of PyTorch's side, in a process of its own; prints JSON."""
    import torch
    from safetensors.torch import load_file, save_file

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    marks = {"imports": time.time()}
    folder = folder_of(args.data)
    (pictures, labels), (tests, truths) = read(folder, "train"), read(folder, "test")
    kept = labels != 0
    sets = {"ua": (pictures[~kept], labels[~kept]), "ra": (pictures[kept], labels[kept]),
            "ta": (tests[truths != 0], truths[truths != 0])}
    network = common.network("resnet20", 10)
    given, own = load_file(args.peer), parameters_by_name(network)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(given[name].reshape(tensor.shape))
    turned = lambda x: x
    if args.variant == "channels_last":
        network = network.to(memory_format=torch.channels_last)
        turned = lambda x: x.contiguous(memory_format=torch.channels_last)
    masked = [(own[name], given[f"{name}.mask"].float()) for name in own if f"{name}.mask" in given]
    thinned, masks = zip(*masked)
    marks["loading"] = time.time()

    def measured():
        figures = {name: right_percent(network, *part, turned) for name, part in sets.items()}
        return figures | {"ua": 100 - figures["ua"]}

    everything = list(network.parameters())
    rate, alpha = setting("--rate"), float(SETTINGS["alpha"][SCENARIO])
    optimiser = torch.optim.SGD(everything, rate, momentum=MOMENTUM, weight_decay=DECAY, fused=True)
    loss = torch.nn.CrossEntropyLoss()
    pictures, labels = sets["ra"]
    for epoch in range(args.epochs):
        network.train()
        optimiser.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * epoch / args.epochs))
        gamma = alpha * (1 - epoch / args.epochs)
        for batch in torch.randperm(len(labels), generator=generator).split(BATCH):
            inputs = turned(varied(pictures[batch], generator).float() / 255)
            optimiser.zero_grad(set_to_none=True)
            loss(network(inputs), labels[batch]).backward()
            with torch.no_grad():
                gradients = [parameter.grad for parameter in everything]
                torch._foreach_add_(gradients, torch._foreach_sign(everything), alpha=gamma)
                # What is masked starts at 0 and its gradient stays 0, so it stays 0.
                torch._foreach_mul_([parameter.grad for parameter in thinned], list(masks))
            optimiser.step()
    marks["forgetting"] = time.time()
    out = {name: tensor.detach().contiguous() for name, tensor in own.items()}
    save_file(out, args.written)
    after = measured()
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(given[name].reshape(tensor.shape))
    before = measured()
    revived = sum(int((out[name] != 0)[given[f"{name}.mask"] == 0].sum()) for name in out if f"{name}.mask" in given)
    marks["writing and measuring"] = time.time()
    print(json.dumps({"before": before, "after": after, "marks": marks, "revived": revived}))


def setting(word):
    """A number among the words of benches/forgetting.py."""
    words = SETTINGS["forget"][SCENARIO]
    return float(words[words.index(word) + 1])


def timed(line, environment=None):
    """What a process prints as JSON, and the seconds from its start to its end."""
    start, began = time.perf_counter(), time.time()
    done = subprocess.run([str(word) for word in line], capture_output=True, text=True, env=environment)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(str(word) for word in line)}\nended with {done.returncode}: {done.stderr}")
    told = json.loads(done.stdout.splitlines()[-1] if "marks" in done.stdout else done.stdout)
    if "marks" in told:
        ends = [began, *told["marks"].values()]
        told["phases"] = {name: end - start for name, start, end in zip(told["marks"], ends, ends[1:])}
    return told, seconds


def our_side(args, sparse, seed, folder):
    words = SETTINGS["forget"][SCENARIO]
    words = [str(args.epochs) if before == "--epochs" else word for before, word in zip(["", *words], words)]
    line = [args.program, "forget", "--model", sparse, "--data", args.data, "--scenario", SCENARIO, "--seed", seed,
            "--method", "l1-sparse", "--alpha", SETTINGS["alpha"][SCENARIO], *words, "--threads", args.threads,
            "--out", folder / "ours.esm", "--json"]
    told, seconds = timed(line)
    rows = {model["name"]: [model["report"][metric]["value"] for metric in METRICS] for model in told["models"]}
    return {"seconds": seconds, "learning": told["rte_seconds"], **rows}


def their_side(args, exported, seed, folder, variant):
    line = [sys.executable, __file__, "--peer", exported, "--written", folder / "theirs.safetensors", "--variant", variant,
            "--seed", seed, "--epochs", args.epochs, "--data", args.data, "--threads", args.threads]
    told, seconds = timed(line)
    if told["revived"]:
        raise SystemExit(f"{told['revived']} masked weights came back: the peer does something else")
    rows = {name: [told[name][metric] for metric in METRICS] for name in ["before", "after"]}
    return {"seconds": seconds, "learning": told["phases"]["forgetting"], "phases": told["phases"], **rows}


def row(name, taken):
    cells = [forgetting.told([run[key] for run in taken]) for key in ["seconds", "learning"]]
    return [name, *cells, *(forgetting.told(values) for values in zip(*[run["after"] for run in taken]))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, help="folder for the networks (default: one that is removed)")
    parser.add_argument("--data", default="cifar10", help="as the program takes it (default cifar10)")
    parser.add_argument("--seeds", default="1,2,3", help="comma-separated (default 1,2,3)")
    parser.add_argument("--epochs", type=int, default=int(setting("--epochs")), help="of forgetting (default 4)")
    parser.add_argument("--train-epochs", type=int, help="of the dense network and the pruned one, for a quick try")
    parser.add_argument("--variants", default=",".join(VARIANTS), help=f"of PyTorch (default {','.join(VARIANTS)})")
    for hidden in ["--peer", "--written", "--variant"]:
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    common.arguments(parser)
    # A seed is a round.
    parser.set_defaults(rounds=1)
    args = parser.parse_args()
    if args.peer:
        return peer(args)
    common.checked(args)
    common.needs("torch", "numpy", "safetensors")
    folder_of(args.data)
    with tempfile.TemporaryDirectory() as scratch:
        compare(args, pathlib.Path(scratch))


def compare(args, scratch):
    out = args.out or scratch / "networks"
    out.mkdir(parents=True, exist_ok=True)
    runs = forgetting.Runs(args.program, out, args.data, args.threads)
    train, prune = list(SETTINGS["train"]), list(SETTINGS["prune"])
    if args.train_epochs:
        train[train.index("--epochs") + 1] = str(args.train_epochs)
        prune += ["--epochs", str(args.train_epochs + 1)]
    variants = args.variants.split(",")
    sides = {name: [] for name in ["unlearn", *(f"PyTorch {variant}" for variant in variants)]}
    seeds = [int(seed) for seed in args.seeds.split(",")]
    for seed in seeds:
        runs.run(f"base-{seed}", "train", *train, "--seed", seed)
        runs.run(f"sparse-{seed}", "prune", "--model", out / f"base-{seed}.esm", *prune)
        sparse, exported = out / f"sparse-{seed}.esm", scratch / f"sparse-{seed}.safetensors"
        common.call(args.program, "export", "--model", sparse, "--out", exported)
        sides["unlearn"].append(our_side(args, sparse, seed, scratch))
        for variant in variants:
            sides[f"PyTorch {variant}"].append(their_side(args, exported, seed, scratch, variant))
    told(args, seeds, sides)


def told(args, seeds, sides):
    import torch

    mean = {name: statistics.mean(run["seconds"] for run in taken) for name, taken in sides.items()}
    fastest = min((name for name in mean if name != "unlearn"), key=mean.get)
    # Both measure the same file before anything is learnt: another figure there is another network.
    apart = max(abs(a - b) for ours, theirs in zip(sides["unlearn"], sides[fastest])
                for a, b in zip(ours["before"], theirs["before"]))
    ratios = [theirs["seconds"] / ours["seconds"] for ours, theirs in zip(sides["unlearn"], sides[fastest])]
    head = ["ResNet-20, 95 %, class 0", "end to end, s", "of it learning, s", "UA %", "RA %", "TA %"]
    text = (f"{args.epochs} epochs, seeds {', '.join(map(str, seeds))}, {args.threads} threads, torch {torch.__version__}, "
            f"{common.machine()}; mean ± sample standard deviation\n\n"
            + common.table(head, [row(name, taken) for name, taken in sides.items()])
            + f"\n\nPyTorch's fastest ({fastest.removeprefix('PyTorch ')}) takes {mean[fastest] / mean['unlearn']:.2f} times unlearn's "
            f"time (by seed: {', '.join(f'{ratio:.2f}' for ratio in ratios)}).\n"
            f"Before forgetting, both sides' UA, RA and TA differ by at most {apart:.2f} points.")
    common.finish(args, text, {"seeds": seeds, "sides": sides, "fastest": fastest, "ratios": ratios})


if __name__ == "__main__":
    main()
