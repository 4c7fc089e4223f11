"""Writes tests/reference/svhn/: two files as SVHN has them, by scipy, one compressed and one not.

Run as: python3 tests/reference/svhn.py    (needs numpy and scipy)
Pixel (h, w) of channel c of sample n is (5 h + 3 w + 50 c + 11 n) mod 256.
"""

from pathlib import Path

import numpy as np
from scipy.io import savemat

FOLDER = Path(__file__).parent / "svhn"


def write(name, labels, packed):
    h, w, c, n = np.ogrid[:32, :32, :3, : len(labels)]
    pixels = ((5 * h + 3 * w + 50 * c + 11 * n) % 256).astype(np.uint8)
    arrays = {"X": pixels, "y": np.array(labels, np.uint8)[:, None]}
    savemat(FOLDER / name, arrays, do_compression=packed, oned_as="column")


FOLDER.mkdir(exist_ok=True)
write("train_32x32.mat", [1, 9, 10, 2, 3, 4, 5, 6, 7, 8, 10, 1], True)
write("test_32x32.mat", [10, 3], False)
