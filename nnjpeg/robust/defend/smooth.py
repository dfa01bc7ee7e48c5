"""Compressions with a gradient, for attacks: the rounding of coefficients is replaced by a smooth one.

A coefficient of u steps counts as round(u) + (u - round(u))^3 (Shin and Song, 2017), as in `nnjpeg.ops.roundtrip`;
samples are not rounded. (For JPEG, the layers' own gradient "cubic" is used.)
"""

from __future__ import annotations

import numpy as np
import scipy.fft
import torch
from torch import Tensor
from torch.nn import functional

from nnjpeg.qtable import QTable

__all__ = ["feature_distillation"]


def feature_distillation(images: Tensor) -> Tensor:
    """`transforms.feature_distillation`, without level shift.

    Parameters
    ----------
    images : Tensor
        Float (B, 3, H, W) in [0, 1]; each of R, G and B goes by itself.

    Returns
    -------
    Tensor
        The same, differentiable.
    """
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
