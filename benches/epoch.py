#!/usr/bin/env python3
"""Where the time of an epoch goes, from opening the data to the measured file.

Needs a release build (`cargo build --release`) and Python 3; no package, no profiler: `unlearn train`
tells the seconds of its phases under `phase_seconds`, of the run and of each epoch.

    UNLEARN_DATA=DIR benches/epoch.py
    UNLEARN_DATA=DIR benches/epoch.py --model resnet20 --data cifar10 --epochs 2 --sparse sparse.esm

trains with crops and flips, and once without: the difference in loading is what varying costs. With --sparse
it forgets class 0 with that network too, whose steps are shorter, so that loading weighs more.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PHASES = ["load", "forward", "backward", "update"]


def call(*words):
    line = [str(word) for word in [*words, "--json"]]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(line)}\nended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def mean_epoch(epochs):
    """Mean seconds of each phase of an epoch; the rest is order, labels and checks."""
    sums = {phase: sum(epoch["phase_seconds"][phase] for epoch in epochs) / len(epochs) for phase in PHASES}
    whole = sum(epoch["seconds"] for epoch in epochs) / len(epochs)
    return sums | {"rest": whole - sum(sums.values())}, whole


def table(title, rows, whole):
    print(f"\n| {title} | s | % |\n|---|---|---|")
    for name, seconds in rows:
        print(f"| {name} | {seconds:.3f} | {100 * seconds / whole:.1f} |")


def epoch_rows(epochs, plain):
    """Rows of an epoch, loading parted by what it takes where nothing is varied."""
    spent, whole = mean_epoch(epochs)
    rows = [(name, spent[name]) for name in ["load", "forward", "backward", "update", "rest"]]
    if plain:
        least = min(mean_epoch(plain)[0]["load"], spent["load"])
        rows[0:1] = [("load: read and lay out", least), ("load: crops and flips", spent["load"] - least)]
    return rows + [("the epoch", whole)], whole


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--epochs", type=int, default=2, help="means are over these (default 2)")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sparse", type=pathlib.Path, help="a pruned network of these classes, to forget class 0")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/unlearn")
    args = parser.parse_args()
    common = ["--data", args.data, "--epochs", args.epochs, "--batch", args.batch, "--threads", args.threads]
    varied, still = ["--crop", 4, "--flip", "yes"], ["--crop", 0, "--flip", "no"]
    with tempfile.TemporaryDirectory() as folder:
        out = ["--out", pathlib.Path(folder) / "out.esm"]
        train = call(args.program, "train", "--model", args.model, *common, *varied, *out)
        plain = call(args.program, "train", "--model", args.model, *common, *still, *out)
        spent = train["phase_seconds"]
        epochs = sum(epoch["seconds"] for epoch in train["epochs"])
        rows = [("opening the data", spent["open"]), (f"{args.epochs} epochs", epochs),
                ("checkpoints", spent["learn"] - epochs), ("evaluation of the test set", spent["evaluate"])]
        whole = sum(seconds for _, seconds in rows)
        print(f"{args.model} on {args.data}, batch {args.batch}, {args.threads} threads, {train['plan']}")
        table("train", [*rows, ("the run", whole)], whole)
        table("an epoch, dense", *epoch_rows(train["epochs"], plain["epochs"]))
        if args.sparse:
            words = ["--model", args.sparse, "--scenario", "class=0", "--no-measure"]
            forget = [call(args.program, "forget", *words, *common, *how, *out) for how in [varied, still]]
            sparse = epoch_rows(*(result["epochs"] for result in forget))
            table("an epoch of forget, sparse", *sparse)


if __name__ == "__main__":
    main()
