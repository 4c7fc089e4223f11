"""Makes the seeds of the fuzz target open_tables: one sound input of each kind, a kilobyte at most.

    python fuzz/seeds/make_tables.py

Needs numpy. The seeds are committed, so that fuzzing needs no Python.
"""

import gzip
import io
import pathlib

import numpy

FOLDER = pathlib.Path(__file__).parent / "open_tables"
X = numpy.arange(8, dtype=numpy.float32).reshape(4, 2)
TABLE = b"label,subject,segment,a,b\n" + b"".join(b"%d,s%d,%d,%d.5,-1e-3\n" % (i % 2, i % 3, i, i) for i in range(8))


def file(save, *arrays, **named):
    out = io.BytesIO()
    save(out, *arrays, **named)
    return out.getvalue()


y = numpy.array([0, 1, 0, 1], dtype=numpy.uint8)
SEEDS = {
    "archive": bytes([0]) + file(numpy.savez, X=X, y=y, test=y == 1),
    "packed_archive": bytes([0]) + file(numpy.savez_compressed, X=X, y=y),
    "array": bytes([1]) + file(numpy.save, X),
    "table": bytes([2]) + TABLE,
    "packed_table": bytes([3]) + gzip.compress(TABLE, mtime=0),
    "settings": bytes([4]) + b'labels = "label"\nshape = [1, 2, 2]\nclasses = ["x", "y"]\n',
}
FOLDER.mkdir(exist_ok=True)
for name, seed in SEEDS.items():
    (FOLDER / name).write_bytes(seed)
