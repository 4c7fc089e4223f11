"""Reading a folder of pictures, side by side with torchvision: ImageFolder over Pillow, to one array.

    python benches/peers/pictures.py CIFAR10_JPEG_TAR [--times 3] [--workers 2]

The archive (`{train,test}/CLASS/NAME.jpg`) is unpacked into a folder that all sides then read from a
warm page cache, in the same run; how long we take from the archive itself stands beside. Both sides end
with all pixels as bytes, `[samples, 3, height, width]`. `--ours` names a built `loading` bench, where
`cargo bench` is not to be run.
Needs torch, torchvision and Pillow.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tarfile
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCH = ["cargo", "bench", "--quiet", "--bench", "loading", "--"]


def ours(command, path, options):
    """Best seconds of opening `path` on as many threads as the others have workers."""
    threads = dict(os.environ, RAYON_NUM_THREADS=str(options.workers))
    command = [*command, str(path), str(options.times)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=threads)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    return min(told["seconds"]), told["samples"]


def planes(picture):
    import numpy

    return numpy.ascontiguousarray(numpy.asarray(picture.convert("RGB")).transpose(2, 0, 1))


def torchvision(path, workers):
    """All pictures of both parts by ImageFolder, in this process (0) or by `workers` others."""
    import torch
    from torchvision.datasets import ImageFolder

    def part(name):
        folder = ImageFolder(path / name, transform=planes)
        batches = torch.utils.data.DataLoader(folder, batch_size=512, num_workers=workers)
        return torch.cat([pixels for pixels, _ in batches])

    return sum(len(part(name)) for name in ["train", "test"])


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("archive", type=pathlib.Path)
    words.add_argument("--times", type=int, default=3)
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--ours", type=pathlib.Path)
    options = words.parse_args()
    command = [str(options.ours)] if options.ours else BENCH
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with tarfile.open(options.archive) as archive:
            archive.extractall(folder, filter="data")
        first, samples = ours(command, folder, options)
        packed, again = ours(command, options.archive, options)
        assert samples == again
        rows = [(f"unlearn, {options.workers} threads", first)]
        for workers in [0, options.workers]:
            seconds = []
            for _ in range(options.times):
                start = time.perf_counter()
                assert torchvision(folder, workers) == samples
                seconds.append(time.perf_counter() - start)
            rows.append((f"torchvision, {workers} workers beside its own process", min(seconds)))
        rows.append((f"unlearn, {options.workers} threads, from the archive", packed))
    print(f"| {samples} pictures | best seconds | times ours |\n|---|---|---|")
    for who, seconds in rows:
        print(f"| {who} | {seconds:.3f} | {seconds / first:.2f} |")


if __name__ == "__main__":
    main()
