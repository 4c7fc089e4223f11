#!/usr/bin/env python3
"""One prediction: the program beside PyTorch and ONNX Runtime, in one run.

Needs a release build (`cargo build --release`), Python 3.11, and
pip install torch onnx onnxscript onnxruntime

    benches/peers/latency.py --model resnet18 --sparsity 0.95
    benches/peers/latency.py --model resnet18 --allocation omp95.esm

The peers run the same network dense, in evaluation mode, without gradients; ONNX Runtime gets the model
that PyTorch exports, with all its optimisations. Sides take turns, round by round; each figure is the
median of the rounds' medians, with the range of the rounds behind it; beside it stands the least of all
calls.
"""

import argparse
import pathlib
import statistics
import tempfile

import common


def exported(network, sample, folder, threads):
    """An ONNX Runtime session of the network."""
    import onnxruntime
    import torch

    path = pathlib.Path(folder) / "network.onnx"
    torch.onnx.export(network, (sample,), str(path), dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="resnet18", help="a compiled-in network or a TOML file")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--sparsity", type=float, help="share of the prunable weights that do not exist")
    parser.add_argument("--allocation", default="uniform", help="uniform, erk, global or a model file")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--calls", type=int, default=50, help="timed in each round, of each side (default 50)")
    common.arguments(parser)
    args = common.checked(parser.parse_args())
    common.needs("torch", "onnx", "onnxscript", "onnxruntime", "numpy")

    import onnxruntime
    import torch

    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    network = common.network(args.model, args.classes).eval()
    sample = torch.rand(args.batch, *network.shape)
    fast = common.network(args.model, args.classes).eval().to(memory_format=torch.channels_last)
    turned = sample.to(memory_format=torch.channels_last)
    words = ["bench", "latency", "--model", args.model, "--batch", args.batch, "--threads", args.threads,
             "--allocation", args.allocation, "--classes", args.classes, "--warm-up", 10, "--repetitions", args.calls]
    words += ["--sparsity", args.sparsity] if args.sparsity is not None else []
    seen, tails = {}, []

    def ours():
        seen.update(common.call(args.program, *words))
        tails.append(seen["p99_ns"] / 1e9)
        return seen["median_ns"] / 1e9, seen["min_ns"] / 1e9

    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        session = exported(network, sample, folder, args.threads)
        name, array = session.get_inputs()[0].name, sample.numpy()
        peers = {
            "PyTorch eager": lambda: network(sample),
            "PyTorch channels_last": lambda: fast(turned),
            "ONNX Runtime": lambda: session.run(None, {name: array}),
        }
        for peer in peers.values():
            common.seconds(peer, 10)
        sides = {"unlearn": ours}
        sides |= {name: lambda peer=peer: common.seconds(peer, args.calls) for name, peer in peers.items()}
        taken, least = common.alternate(args.rounds, sides)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    rows = [[name, common.spread(values, 1e3, 3), f"{medians[name] / medians['unlearn']:.2f}",
             f"{1e3 * least[name]:.3f}", f"{least[name] / least['unlearn']:.2f}"]
            for name, values in taken.items()]
    text = (f"{seen['model']}, batch {args.batch}, {seen['sparsity_percent']:.2f} % sparse ({seen['allocation']}), "
            f"{100 * seen['macs'] / seen['macs_dense']:.2f} % of the MACs, {args.threads} threads, {seen['plan']}, "
            f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}, {common.machine()}\n\n"
            + common.table(["a prediction", "ms", "times unlearn's", "least, ms", "times unlearn's least"], rows)
            + f"\n\nunlearn: 99 % of the calls within {1e3 * statistics.median(tails):.3f} ms (median of the rounds).")
    common.finish(args, text, {"seconds": taken, "least_seconds": least, "unlearn": seen, "torch": torch.__version__,
                               "onnxruntime": onnxruntime.__version__})


if __name__ == "__main__":
    main()
