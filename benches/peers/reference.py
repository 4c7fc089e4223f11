#!/usr/bin/env python3
"""The released code's checkpoint, fine-tuned by PyTorch in f32: what that gives when nothing is rounded to bf16.

Needs Python 3.11, torch, numpy and safetensors (pip install torch numpy safetensors), the small CIFAR-10 that
`--data` names, and the checkpoint and split of the reference runs that `--vectors` names (s1_dense.safetensors,
s1_split.npz, s1_dense_logits64.npy).

    UNLEARN_DATA=DIR UNLEARN_REFERENCE=DIR benches/peers/reference.py --seeds 1,2

Class 0 leaves the 9,000 training records; batch 128, rate 0.01, momentum 0.9, decay 5e-4, crops and flips; with
--alpha an l1 subgradient over all parameters, linearly down. UA, RA and TA after each epoch, in percent: the
released code's figures are those after the tenth, one seed, its passes in bf16. The logits of the checkpoint are
held against the recorded ones first.
"""

import argparse
import os
import pathlib
import statistics

import common
import forget

BATCH, RATE = 128, 0.01


def loaded(vectors, pictures):
    """The checkpoint, in a network that computes what the recorded one did."""
    import numpy
    import torch
    from safetensors.torch import load_file

    network = common.network("resnet20", 10)
    given = load_file(vectors / "s1_dense.safetensors")
    with torch.no_grad():
        for name, tensor in forget.parameters_by_name(network).items():
            tensor.copy_(given[name].reshape(tensor.shape))
    network.eval()
    recorded = torch.from_numpy(numpy.load(vectors / "s1_dense_logits64.npy"))
    with torch.inference_mode():
        off = (network(pictures[:64].float() / 255) - recorded).abs().max().item()
    if off > 1e-4:
        raise SystemExit(f"logits are {off} off the recorded ones: this is another network")
    return network


def measured(network, sets):
    figures = [forget.right_percent(network, *part, lambda x: x) for part in sets]
    return [100 - figures[0], *figures[1:]]


def run(args, seed, told):
    """UA, RA and TA after each epoch, the checkpoint's own first."""
    import numpy
    import torch

    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    (pictures, labels), (tests, truths) = (forget.read(args.folder, part) for part in ["train", "test"])
    network = loaded(args.vectors, tests).to(memory_format=torch.channels_last)
    training = torch.from_numpy(numpy.load(args.vectors / "s1_split.npz")["train"].astype("int64"))
    forgotten, kept = training[labels[training] == 0], training[labels[training] != 0]
    sets = [(pictures[forgotten], labels[forgotten]), (pictures[kept], labels[kept]), (tests[truths != 0], truths[truths != 0])]
    rows = [measured(network, sets)]
    told(seed, 0, rows[-1])
    everything = list(network.parameters())
    optimiser = torch.optim.SGD(everything, RATE, momentum=forget.MOMENTUM, weight_decay=forget.DECAY)
    loss = torch.nn.CrossEntropyLoss()
    for epoch in range(args.epochs):
        network.train()
        gamma = args.alpha * (1 - epoch / args.epochs)
        for batch in kept[torch.randperm(len(kept), generator=generator)].split(BATCH):
            inputs = forget.varied(pictures[batch], generator).float() / 255
            optimiser.zero_grad(set_to_none=True)
            loss(network(inputs.contiguous(memory_format=torch.channels_last)), labels[batch]).backward()
            if gamma:
                with torch.no_grad():
                    gradients = [parameter.grad for parameter in everything]
                    torch._foreach_add_(gradients, torch._foreach_sign(everything), alpha=gamma)
            optimiser.step()
        rows.append(measured(network, sets))
        told(seed, epoch + 1, rows[-1])
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--vectors", type=pathlib.Path, help="default: `vectors` below UNLEARN_REFERENCE")
    parser.add_argument("--data", default="cifar10", help="as the program takes it (default cifar10)")
    parser.add_argument("--seeds", default="1,2,3", help="comma-separated (default 1,2,3)")
    parser.add_argument("--epochs", type=int, default=10, help="default 10")
    parser.add_argument("--alpha", type=float, default=0.0, help="strength of l1 (default 0)")
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    args = parser.parse_args()
    common.needs("torch", "numpy", "safetensors")
    import torch

    torch.set_num_threads(args.threads)
    args.vectors = args.vectors or pathlib.Path(os.environ.get("UNLEARN_REFERENCE", ".")) / "vectors"
    if not (args.vectors / "s1_dense.safetensors").is_file():
        raise SystemExit(f"no s1_dense.safetensors in {args.vectors}: set UNLEARN_REFERENCE, or give --vectors")
    args.folder = forget.folder_of(args.data)
    print(common.table(["seed", "epoch", "UA %", "RA %", "TA %"], []))

    def told(seed, epoch, row):
        print(f"| {seed} | {epoch} | {' | '.join(f'{value:.2f}' for value in row)} |", flush=True)

    runs = [run(args, int(seed), told) for seed in args.seeds.split(",")]
    last = [[row[i] for rows in runs for row in rows[1:][-3:]] for i in range(3)]
    print("\nUA, RA, TA over the last three epochs of each seed: "
          + ", ".join(f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})" for values in last))


if __name__ == "__main__":
    main()
