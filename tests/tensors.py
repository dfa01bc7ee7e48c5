"""Tensors and tables that tests of the operator share, and what the NumPy API makes of them."""

import numpy as np
import pytest
import torch

import nnjpeg
from nnjpeg import NN_TABLE, _plain

FLOATS = [torch.float32, torch.float16, torch.bfloat16]
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}
CODINGS = [
    {"colorspace": "rgb"},
    {"colorspace": "ycbcr"},
    {"colorspace": "ycbcr", "subsampling": "4:2:2"},
    {"colorspace": "ycbcr", "subsampling": "4:2:0"},
    {"colorspace": "ycbcr", "subsampling": "4:4:0"},
]
NN = torch.from_numpy(np.asarray(NN_TABLE)).to(torch.uint8)


# Old releases of torch.compile warn about themselves.
compiles = pytest.mark.filterwarnings("ignore:Skipping serialization of skipfiles")


def noise(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def uniform(*shape, seed=0, low=0.0, high=1.0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32))


def some_tables(*leading, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(1, 256, (*leading, 8, 8), dtype=np.uint8))


def one_by_one(batch, tables, **options):
    """What the NumPy API makes of each image with its tables, (B, C, 8, 8)."""
    images = [
        nnjpeg.roundtrip(image.numpy(), [np.asarray(t) for t in table], layout="CHW", **options)
        for image, table in zip(batch, tables, strict=True)
    ]
    return torch.from_numpy(np.stack(images))


def away_from_ties(image, tables, ycbcr=False, h=1, v=1):
    """Where no coefficient of a sample's block (of any component if `ycbcr`) is so close to half a step that rounding
    errors decide: bool, shape of `image`. h, v: how many times as fine luma is as chroma."""
    samples = 255 * image.double().clamp(0, 1) - 128
    tables = tables.reshape((1, 1, 8, 8) if tables.ndim == 2 else tables.shape)
    close = []
    for u in _plain._in_steps(samples, tables, ycbcr, h, v):
        blocks = ((u - u.floor() - 0.5).abs() < 1e-3).flatten(0, 1).any(0).expand(u.shape)
        close.append(_plain._from_blocks(blocks.double()))
    height, width = image.shape[-2:]
    close[1:] = [_plain._upsample(plane, (height, width), h, v) for plane in close[1:]]
    clear = torch.cat([plane[..., :height, :width] for plane in close], 1) == 0
    return clear.all(1, keepdim=True).expand(image.shape) if ycbcr else clear
