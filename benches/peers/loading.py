"""Reading data, side by side: this program and what people use today.

    python benches/peers/loading.py [--rows 100000] [--columns 64] [--times 5]

Each comparison is one function that yields rows `(what, who, best seconds)`; ours comes first. The
library is timed by `cargo bench --bench loading`, which opens a path and checks everything as the
program does. Every side reads the same file, from a warm page cache, in the same run; the best of
`--times` counts. A peer that is not installed is said to be missing, never skipped in silence.
Needs pandas and numpy; the engine pyarrow where it is installed.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def ours(path, times):
    """Best seconds of opening `path`, and how many samples were there."""
    command = ["cargo", "bench", "--quiet", "--bench", "loading", "--", str(path), str(times)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    return min(told["seconds"]), told["samples"]


def best(work, times):
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def csv_against_pandas(options, folder):
    """A table of floats with a label and a subject: to one array of 32-bit floats, and the labels."""
    import numpy
    import pandas

    rows, columns = options.rows, options.columns
    path = folder / "samples.csv"
    draw = numpy.random.default_rng(1)
    table = pandas.DataFrame(
        draw.standard_normal((rows, columns), dtype=numpy.float32),
        columns=[f"v{column}" for column in range(columns)],
    )
    table.insert(0, "label", draw.integers(0, 10, rows))
    table.insert(1, "subject", [f"s{number}" for number in draw.integers(0, 30, rows)])
    table.to_csv(path, index=False)
    what = f"CSV, {rows} x {columns}, {os.path.getsize(path) / 1e6:.0f} MB"

    seconds, samples = ours(path, options.times)
    assert samples == rows, f"{samples} samples of {rows}"
    yield what, "unlearn", seconds

    def read(engine):
        found = pandas.read_csv(path, engine=engine)
        found.iloc[:, 2:].to_numpy(dtype=numpy.float32)
        found["label"].to_numpy()

    for engine in ["c", "pyarrow"]:
        try:
            yield what, f"pandas {pandas.__version__}, {engine}", best(lambda: read(engine), options.times)
        except ImportError:
            yield what, f"pandas, {engine}: not installed", None


COMPARISONS = [csv_against_pandas]


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--rows", type=int, default=100_000)
    words.add_argument("--columns", type=int, default=64)
    words.add_argument("--times", type=int, default=5)
    options = words.parse_args()
    print("| data | reader | best seconds | times ours |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for comparison in COMPARISONS:
            first = None
            for what, who, seconds in comparison(options, pathlib.Path(folder)):
                first = first or seconds
                cells = "| – | – |" if seconds is None else f"| {seconds:.3f} | {seconds / first:.2f} |"
                print(f"| {what} | {who} {cells}", flush=True)


if __name__ == "__main__":
    main()
