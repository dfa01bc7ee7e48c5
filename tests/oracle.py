"""What Pillow's libjpeg-turbo makes of images, and the images and tables that it is asked about."""

import io

import numpy as np
from PIL import Image

from nnjpeg import NN_TABLE, QTable


class HuffmanRefusal(Exception):
    """libjpeg has no code for a coefficient of this image: there is no file to compare with."""


def pillow_roundtrip(image, tables, colorspace="rgb", subsampling="4:4:4"):
    """What libjpeg-turbo makes of a uint8 image (h, w) or (h, w, 3), written and read by Pillow."""
    pixels = Image.fromarray(image)
    tables = [tables] if isinstance(tables, (QTable, np.ndarray)) else tables
    keep_rgb = {"keep_rgb": True} if pixels.mode == "RGB" and colorspace == "rgb" else {}
    numbers = [np.ravel(table).tolist() for table in tables]
    file = io.BytesIO()
    try:
        pixels.save(file, "JPEG", qtables=numbers, subsampling=subsampling, **keep_rgb)
    except OSError as error:
        raise HuffmanRefusal from error
    return np.asarray(Image.open(file))


def make_image(kind, height, width, components, rng):
    shape = (height, width, components)
    if kind == "noise":
        image = rng.integers(0, 256, shape)
    elif kind == "binary":
        image = 255 * rng.integers(0, 2, shape)
    elif kind == "flat":
        image = np.broadcast_to(rng.integers(0, 256, components), shape)
    elif kind == "near-limits":
        image = np.where(rng.random(shape) < 0.5, rng.integers(0, 4, shape), rng.integers(252, 256, shape))
    else:
        assert kind == "smooth"
        y, x = np.mgrid[:height, :width][..., None]
        a, b, c = rng.uniform(-0.3, 0.3, (3, components))
        image = np.clip(127.5 + 127.5 * np.sin(a * x + b * y + 20 * c), 0, 255)
    return np.ascontiguousarray(image, dtype=np.uint8)


def make_table(kind, rng):
    if kind == "ones":
        return QTable(np.ones((8, 8), int))
    if kind == "255":
        return QTable(np.full((8, 8), 255))
    if kind == "nn":
        return NN_TABLE
    if kind == "random":
        return QTable(rng.integers(1, 256, (8, 8)))
    if kind == "fine":
        return QTable(rng.integers(1, 11, (8, 8)))
    assert kind == "scaled"
    return QTable.standard_luminance().at_quality(int(rng.integers(1, 101)))
