#!/usr/bin/env python3
"""One person leaves a household, by each way, over seeds: the table of benches/RESULTS.md.

    cargo build --release
    python3 benches/household.py --data fsdd --model kws-cnn --household george,theo,lucas --leaves george
    python3 benches/household.py --data uci-har --model har-cnn --household 1,3,5,6 --leaves 1

For each seed: a base is trained and pruned without the household, packed with an anchor set, and
`unlearn bench erase` takes the household in, adapts, and erases one of them by each way. Prints mean and
standard deviation over the seeds. Needs nothing but Python's standard library.
"""

import argparse, json, pathlib, statistics, subprocess, sys, tempfile

FIGURES = [("UA", "ua"), ("RA", "ra"), ("TA", "ta"), ("MIA", "mia_efficacy")]


def run(program, *words):
    said = subprocess.run([program, *map(str, words), "--json"], capture_output=True, text=True)
    if said.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}: {said.stderr}")
    return json.loads(said.stdout)


def one(args, seed, folder):
    without = ["--without", f"subject={args.household}"]
    base, package = folder / "base.esm", folder / "package.esm"
    run(args.program, "train", "--model", args.model, "--data", args.data, *without,
        "--epochs", args.base_epochs, "--schedule", "cosine", "--rate", args.base_rate,
        "--seed", seed, "--out", base)
    run(args.program, "prune", "--model", base, "--data", args.data, *without,
        "--sparsity", args.sparsity, "--seed", seed, "--provenance", "population",
        "--anchor", args.anchor, "--out", package)
    return run(args.program, "bench", "erase", "--base", package, "--data", args.data,
               "--household", args.household, "--leaves", args.leaves, "--epochs", args.epochs,
               "--rate", args.rate, "--train", args.train, "--seed", seed, "--out", folder / "homes")


def told(values):
    mean = statistics.mean(values)
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{mean:.1f} ± {spread:.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--program", default="target/release/unlearn")
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--household", required=True)
    parser.add_argument("--leaves", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--anchor", type=int, default=400)
    parser.add_argument("--base-epochs", type=int, default=12)
    parser.add_argument("--base-rate", type=float, default=0.05)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--train", default="last=2")
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    runs = []
    for seed in range(1, args.seeds + 1):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(one(args, seed, pathlib.Path(folder)))
    if args.json:
        args.json.write_text(json.dumps(runs, indent=1))
    sizes = runs[0]["samples"]
    print(f"{args.leaves} leaves {args.household} on {args.data}, {args.model}, {args.seeds} seeds: "
          f"{sizes['forget']} samples to forget, {sizes['retain']} to keep, {sizes['test']} to test")
    print("| way | guarantee | UA % | RA % | TA % | MIA % | gap | planned s | learnt s | planned MB | receipt B |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for rows in zip(*(run["rows"] for run in runs)):
        cells = [rows[0]["way"], rows[0]["erased"]["guarantee"] if rows[0]["erased"] else "–"]
        cells += [told([row["report"][key]["value"] for row in rows]) for _, key in FIGURES]
        cells += [told([row["gap"]["average"] for row in rows])]
        if rows[0]["planned_bytes"]:
            cells += [f"{statistics.mean(row[key] for row in rows):.2f}"
                      for key in ("planned_seconds", "learnt_seconds")]
            cells += [f"{statistics.mean(row['planned_bytes'] for row in rows) / 1e6:.0f}"]
        else:
            cells += ["–"] * 3
        cells += [f"{rows[0]['receipt_bytes']}" if rows[0]["erased"] else "–"]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
