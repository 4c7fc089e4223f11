#!/usr/bin/env python3
"""Does a CUDA device learn what the processor learns? The same words and seed on both, epoch by epoch.

Needs a program ($UNLEARN, or target/release/unlearn) and a card; Python 3.11 and no package, no data.

    UNLEARN=./unlearn benches/gpu_learns.py
    UNLEARN=./unlearn benches/gpu_learns.py --devices cuda:0/f32,cuda:0/bf16 --epochs 4 --result learns.json
    UNLEARN=./unlearn benches/gpu_learns.py --model cnn16 --sparsity 0.9

trains ResNet-20 (its input made to fit: 16x16 grey) on made data for two epochs on the processor and on each
device, with --sparsity prunes what the processor trained and trains on, and compares the loss and the accuracy of
each epoch and the accuracy on the test set. Sums are rounded in another order on another device, and training lets
that grow; so one more run on the processor, whose rate is larger by one step of f32 (9e-8 of it), shows how far
rounding alone takes such a run.
A device must stay within these tolerances of the processor's run:

  f32               losses 3 %, accuracy of an epoch 3 points, of the test set 6 points
  tf32, f16, bf16   losses 6 %, accuracy of an epoch 4 points, of the test set 10 points

Where they are from, measured on a processor: that larger rate parted the losses of two epochs by 0.05 % and 0.6 %,
and the accuracy on the test set by 1.5 points; a rate larger by 2e-3, about what bf16 keeps of a number, by 0.5 %,
2.7 % and 4.0 points. At rate 0.1 rounding alone parted the first loss by 2.6 %: little could be told there.
Each device trains twice, and whether both files are the same bytes is told.

Ends with 0 if all are within, with 1 if one is not or fails, and with 2 if there is no card.
"""

import argparse
import json
import os
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "peers"))
import common  # noqa: E402
import gpu  # noqa: E402  whether there is a card

FULL, SHORT = {"loss": 3.0, "epoch": 3.0, "test": 6.0}, {"loss": 6.0, "epoch": 4.0, "test": 10.0}
RATE, NUDGED = "0.02", "0.020000001"


def tolerance(device):
    return FULL if device.endswith("/f32") or device.startswith("cpu") else SHORT


def small(model, folder):
    """A description whose input is that of the made population."""
    path = common.ROOT / "models" / f"{model}.toml"
    if not path.is_file():
        raise SystemExit(f"{path} is not there: --model takes a compiled-in network")
    text = path.read_text()
    for key, value in [("shape", "[1, 16, 16]"), ("mean", "[0.5]"), ("std", "[0.25]")]:
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, count=1, flags=re.MULTILINE)
    made = folder / f"{model}.toml"
    made.write_text(text)
    return made


class Learner:
    """Trains by single commands, and keeps what they said."""

    def __init__(self, args, folder):
        self.args, self.folder, self.model = args, folder, small(args.model, folder)

    def train(self, device, name, rate=RATE):
        args, out = self.args, self.folder / f"{name}.esm"
        how = ["--data", args.data, "--epochs", args.epochs, "--batch", args.batch, "--rate", rate,
               "--schedule", "cosine", "--seed", args.seed]
        # A program without devices knows no --device, and is asked for none.
        where = ["--device", device] if device.startswith("cuda") else []
        told = common.call(args.program, "train", "--model", self.model, *how, *where, "--out", out)
        rounds = [told]
        if args.sparsity:
            # From the processor's file: both sides then have the same masks.
            sparse, start = self.folder / f"{name}-sparse.esm", self.folder / "cpu.esm"
            rounds.append(common.call(args.program, "prune", "--model", start, *how, *where, "--rewind", "last",
                                      "--sparsity", args.sparsity, "--out", sparse))
        return {"device": device, "plan": told["plan"], "id": [one["id"] for one in rounds],
                "losses": [epoch["loss"] for one in rounds for epoch in one["epochs"]],
                "accuracies": [epoch["accuracy"] for one in rounds for epoch in one["epochs"]],
                "test": [one["test_accuracy"]["value"] for one in rounds],
                "seconds": [one["seconds"] for one in rounds]}


def apart(one, yard):
    """The largest distances: of losses in percent, of accuracies in points."""
    if len(one["losses"]) != len(yard["losses"]):
        raise SystemExit("the two trained for different numbers of epochs")
    pairs = {key: list(zip(one[key], yard[key])) for key in ["losses", "accuracies", "test"]}
    return {"loss": max(100 * abs(a - b) / b for a, b in pairs["losses"]),
            "epoch": max(abs(a - b) for a, b in pairs["accuracies"]),
            "test": max(abs(a - b) for a, b in pairs["test"])}


def compare(args, folder):
    learner = Learner(args, folder)
    yard = learner.train("cpu", "cpu")
    nudged = learner.train("cpu", "nudged", NUDGED)
    rows = [yard | {"who": "cpu"}, nudged | {"who": "cpu, nudged", "apart": apart(nudged, yard)}]
    for number, device in enumerate(args.devices):
        try:
            first, second = (learner.train(device, f"device-{number}-{again}") for again in (1, 2))
        except SystemExit as fault:  # told in the table: a device that fails is not passed over
            rows.append({"who": device, "failed": str(fault).splitlines()[-1]})
            continue
        distance, allowed = apart(first, yard), tolerance(device)
        within = all(distance[key] <= allowed[key] for key in allowed)
        on_it = first["plan"] != yard["plan"]
        rows.append(first | {"who": device, "apart": distance, "allowed": allowed, "within": within and on_it,
                             "same_bytes_twice": first["id"] == second["id"]})
    return rows


def line(row):
    if "failed" in row:
        return [row["who"], f"failed: {row['failed']}", *["–"] * 6]
    allowed = row.get("allowed")
    told = ["–"] * 3
    if "apart" in row:
        told = [f"{value:.2f}" + (f" of {allowed[key]:g}" if allowed else "") for key, value in row["apart"].items()]
    verdict = {True: "within", False: "NOT within", None: "–"}[row.get("within")]
    same = {True: "yes", False: "no", None: "–"}[row.get("same_bytes_twice")]
    return [row["who"], " ".join(f"{loss:.4f}" for loss in row["losses"]),
            " ".join(f"{value:.2f}" for value in row["test"]), *told, same, verdict]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path,
                        default=os.environ.get("UNLEARN", common.ROOT / "target/release/unlearn"))
    parser.add_argument("--devices", default="cuda:0/f32,cuda:0/tf32,cuda:0/bf16,cuda:0/f16", help="comma-separated")
    parser.add_argument("--model", default="resnet20", help="a compiled-in network of pictures")
    parser.add_argument("--data", default="made", help="made or made:SEED")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sparsity", type=float, help="also prune what the processor trained, and train on there")
    parser.add_argument("--result", type=pathlib.Path, help="also write the figures there as JSON")
    args = parser.parse_args()
    args.devices = [device for device in args.devices.split(",") if device]
    if any(device.startswith("cuda") for device in args.devices):
        found, why = gpu.card(0)
        if found is None:
            print(f"no card: {why}. Nothing was measured", file=sys.stderr)
            raise SystemExit(2)
        print(f"{found['name']}, {common.machine()}")
    with tempfile.TemporaryDirectory() as folder:
        rows = compare(args, pathlib.Path(folder))
    print(f"{args.model} on {args.data}, seed {args.seed}, batch {args.batch}, rate {RATE}, nudged {NUDGED}\n")
    print(common.table(["device", "losses", "test %", "losses apart %", "epochs' accuracy apart", "test apart",
                        "same bytes twice", ""], [line(row) for row in rows]))
    if args.result:
        args.result.write_text(json.dumps({"command": " ".join(sys.argv), "rows": rows}, indent=1) + "\n")
    if not all(row.get("within", "failed" not in row) for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
