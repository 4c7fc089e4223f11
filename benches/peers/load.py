#!/usr/bin/env python3
"""From a path to a network that predicts: the program's sparse file beside safetensors, in one run.

Needs a release build (`cargo build --release`), Python 3.11, and pip install torch safetensors

    benches/peers/load.py --file sparse.esm

The peer loads the same network dense in f32, which is what safetensors can say of it, into a PyTorch
network that is already there, and computes no digest; the program verifies every byte, reads the masks
and plans its steps. Both files lie in the system's cache. Sides take turns, round by round; each figure is
the median of the rounds, with their range behind it.
"""

import argparse
import pathlib
import statistics
import tempfile
import time

import common


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--file", type=pathlib.Path, required=True, help="a model file of a compiled-in network")
    common.arguments(parser)
    args = common.checked(parser.parse_args())
    common.needs("torch", "safetensors")

    import safetensors
    import torch
    from safetensors.torch import load_file, save_file

    torch.set_num_threads(args.threads)
    told = common.call(args.program, "inspect", args.file)
    network = common.network(told["model"], len(told["classes"])).eval()
    sample = torch.rand(1, *network.shape)
    seen, firsts, theirs = {}, [], []

    def ours():
        words = ["bench", "load", "--model", args.file, "--threads", args.threads]
        seen.update(common.call(args.program, *words, "--warm-up", 1, "--repetitions", 5))
        firsts.append(seen["first_prediction_seconds"])
        return seen["load_seconds"], seen["load_seconds_min"]

    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path = pathlib.Path(folder) / "dense.safetensors"
        save_file(network.state_dict(), path)
        bytes_there = path.stat().st_size
        network(sample)

        def safe():
            loads = []
            for _ in range(5):
                start = time.perf_counter()
                network.load_state_dict(load_file(path))
                loads.append(time.perf_counter() - start)
                start = time.perf_counter()
                network(sample)
                theirs.append(time.perf_counter() - start)
            return statistics.median(loads), min(loads)

        taken, least = common.alternate(args.rounds, {"unlearn": ours, "safetensors + PyTorch": safe})
    medians = {name: statistics.median(values) for name, values in taken.items()}
    sizes = {"unlearn": told["file_bytes"], "safetensors + PyTorch": bytes_there}
    first = {"unlearn": firsts, "safetensors + PyTorch": theirs}
    rows = [[name, f"{sizes[name] / 1e3:.1f}", common.spread(values, 1e3, 2), common.spread(first[name], 1e3, 2),
             f"{medians[name] / medians['unlearn']:.2f}", f"{1e3 * least[name]:.2f}"] for name, values in taken.items()]
    text = (f"{told['model']}, {told['sparsity_percent']:.2f} % sparse, {args.threads} threads, safetensors "
            f"{safetensors.__version__}, torch {torch.__version__}, {common.machine()}\n\n"
            + common.table(["from path to ready", "file, kB", "load, ms", "first prediction, ms",
                            "load, times unlearn's", "least load, ms"], rows))
    common.finish(args, text, {"seconds": taken, "least_seconds": least, "file_bytes": sizes, "first_prediction_seconds": first,
                               "unlearn": seen})


if __name__ == "__main__":
    main()
