#!/usr/bin/env python3
"""The first samples of an IDX data set (MNIST, Fashion-MNIST), as a data set of its own.

    benches/experiments/first.py DIR/fashion-mnist --train 20000 --test 5000 --out fashion-20000

For experiments that need many trainings on a small machine. Files of an IDX set are in no order of
their classes, and the first are taken as they stand; tables must name the numbers.
"""

import argparse
import gzip
import pathlib
import struct


def first(source, target, count):
    """Copies the header with its count changed, and that many records."""
    with gzip.open(source) as whole:
        magic = whole.read(4)
        sizes = [struct.unpack(">I", whole.read(4))[0] for _ in range(magic[3])]
        if count > sizes[0]:
            raise SystemExit(f"{source}: holds {sizes[0]} records, {count} were wanted")
        record = 1
        for size in sizes[1:]:
            record *= size
        body = whole.read(count * record)
    header = magic + struct.pack(f">{len(sizes)}I", count, *sizes[1:])
    # No time of day within, so that the same call gives the same bytes.
    with open(target, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as out:
        out.write(header + body)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("--train", type=int, required=True)
    parser.add_argument("--test", type=int, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for part, count in [("train", args.train), ("t10k", args.test)]:
        for kind in ["images-idx3", "labels-idx1"]:
            name = f"{part}-{kind}-ubyte.gz"
            first(args.source / name, args.out / name, count)


if __name__ == "__main__":
    main()
