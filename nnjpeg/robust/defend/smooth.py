"""Compressions with a gradient, for attacks: as they are, but that the rounding of coefficients is a smooth one.

Float images (B, 3, H, W) in [0, 1] to the same. A coefficient of u steps counts as round(u) + (u - round(u))^3 (Shin
and Song, 2017), as in `nnjpeg.ops.roundtrip`; samples are not rounded.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
import torch
from torch import Tensor
from torch.nn import functional

from nnjpeg.ops import roundtrip
from nnjpeg.qtable import QTable

__all__ = ["feature_distillation", "jpeg_420"]


def jpeg_420(images: Tensor, quality: int) -> Tensor:
    """Ordinary JPEG with chroma at half the resolution: averaged, and enlarged again by libjpeg's triangle filter."""
    height, width = images.shape[2:]
    luma, chroma = _to_ycbcr(images)
    halved = functional.avg_pool2d(chroma, 2, ceil_mode=True)
    luma = _rounded(luma, QTable.standard_luminance().at_quality(quality))
    halved = _rounded(halved, QTable.standard_chrominance().at_quality(quality))
    chroma = functional.interpolate(halved, scale_factor=2, mode="bilinear", align_corners=False)
    return _to_rgb(luma, chroma[..., :height, :width]).clamp(0, 1)


def _rounded(planes: Tensor, table: QTable) -> Tensor:
    return roundtrip(planes, table, gradient="cubic", precision="float")


_ZERO = 128 / 255  # chroma of grey

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114


def _to_ycbcr(images: Tensor) -> tuple[Tensor, Tensor]:
    """Luma (B, 1, H, W) and chroma (B, 2, H, W), as JFIF has them."""
    red, green, blue = images.split(1, 1)
    luma = _RED * red + _GREEN * green + _BLUE * blue
    chroma = [(blue - luma) / (2 * (1 - _BLUE)), (red - luma) / (2 * (1 - _RED))]
    return luma, torch.cat(chroma, 1) + _ZERO


def _to_rgb(luma: Tensor, chroma: Tensor) -> Tensor:
    cb, cr = (chroma - _ZERO).split(1, 1)
    red, blue = luma + 2 * (1 - _RED) * cr, luma + 2 * (1 - _BLUE) * cb
    return torch.cat([red, (luma - _RED * red - _BLUE * blue) / _GREEN, blue], 1)


def feature_distillation(images: Tensor) -> Tensor:
    """`transforms.feature_distillation`: each of R, G and B by itself, without level shift."""
    height, width = images.shape[2:]
    planes = functional.pad(images * 255, (0, -width % 8, 0, -height % 8), mode="replicate")
    matrix = scipy.fft.dct(np.eye(8), axis=0, norm="ortho")
    # The 64 functions of the transform as filters: those of one plane at a time, at every eighth sample.
    basis = torch.from_numpy(np.einsum("vy,ux->vuyx", matrix, matrix).reshape(64, 1, 8, 8)).to(images)
    steps = torch.from_numpy(QTable.feature_distillation().steps.reshape(1, 64, 1, 1).astype(np.float64)).to(images)
    u = functional.conv2d(planes.flatten(0, 1)[:, None], basis, stride=8) / steps
    nearest = u.round().detach()
    rounded = (nearest + (u - nearest) ** 3) * steps
    samples = functional.conv_transpose2d(rounded, basis, stride=8).reshape(planes.shape)
    return (samples[..., :height, :width] / 255).clamp(0, 1)
