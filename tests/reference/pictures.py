"""Makes tests/reference/pictures/: a small JPEG in colour and one in grey, and what Pillow reads there.

Run: python tests/reference/pictures.py
"""

import json
import pathlib

import numpy as np
from PIL import Image

folder = pathlib.Path(__file__).parent / "pictures"
y, x = np.mgrid[0:12, 0:20]
colour = np.stack([x * 12, y * 20, 255 - x * 6 - y * 5], 2).astype(np.uint8)
expected = {}
for name, pixels, options in [
    ("colour.jpg", colour, dict(quality=90)),
    ("progressive.jpg", colour, dict(quality=80, progressive=True)),
    ("grey.jpg", colour[..., 0], dict(quality=90)),
]:
    Image.fromarray(pixels).save(folder / name, **options)
    read = np.asarray(Image.open(folder / name))
    planes = read[None] if read.ndim == 2 else read.transpose(2, 0, 1)
    expected[name] = dict(shape=planes.shape, values=planes.ravel().tolist())
(folder / "expected.json").write_text(json.dumps(expected) + "\n")
