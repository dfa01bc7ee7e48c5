"""The round trip in plain torch operations: for devices without a kernel, for double precision, and as an oracle.

Slow, but exact in integers, and differentiable in floats. Images are (B, C, H, W), tables (B or 1, C or 1, 8, 8): a
`qtable` is rounded to whole steps here, `steps` are used as they are. h and v are how many times as fine luma is as
chroma, along columns and along rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nnjpeg import reference

__all__ = ["roundtrip_float", "roundtrip_uint8", "steps_of", "straight_steps", "tangent", "zeros_with_gradient_of"]


def _to_blocks(planes: Tensor) -> Tensor:
    """Blocks (B, C, rows, columns, 8, 8), the last column and row of the planes repeated to fill them."""
    b, c, h, w = planes.shape
    rows, columns = reference.groups(h, 8), reference.groups(w, 8)
    return reference.extend(planes, 8 * rows, 8 * columns).reshape(b, c, rows, 8, columns, 8).transpose(3, 4)


def _from_blocks(blocks: Tensor) -> Tensor:
    """Blocks as planes, (B, C, 8 rows, 8 columns)."""
    b, c, rows, columns = blocks.shape[:4]
    return blocks.transpose(3, 4).reshape(b, c, 8 * rows, 8 * columns)


def _parts(x: Tensor, h: int, v: int) -> list[Tensor]:
    """What is coded at one size: all components, or luma and both of chroma. Of tables, the same parts."""
    return [x] if h == v == 1 else [x[:, :1], x[:, -2:]]


def is_for_onnx() -> bool:
    """Whether `torch.onnx.export` looks on.

    To torch.compile's frontend torch's own function is always false; this one is a constant (see `nnjpeg.transforms`).
    """
    return torch.onnx.is_in_onnx_export()


def _laid_out(result: Tensor, like: Tensor) -> Tensor:
    """`result` with the dtype of `like` and its axes in the same order in memory, of which ONNX knows nothing."""
    if is_for_onnx():
        return result.to(like.dtype)
    return torch.empty_like(like).copy_(result)


def steps_of(qtable: Tensor) -> Tensor:
    """The whole steps that a table stands for, in its dtype: 1..255; NaN counts as 1."""
    if qtable.dtype == torch.uint8:
        return qtable.clamp(min=1)
    return qtable.nan_to_num(nan=1.0).round().clamp(1, 255)


def zeros_with_gradient_of(x: Tensor) -> Tensor:
    """Zeros like `x`, to be added where the gradient is to be that of `x`; of what is not finite there is none."""
    finite = x.nan_to_num()
    return finite - finite.detach()


def straight_steps(qtable: Tensor) -> Tensor:
    """`steps_of`, with the gradient straight through the rounding and the clamp, in double precision where there is."""
    x = qtable.to(_working(qtable))
    return steps_of(x) + zeros_with_gradient_of(x)


def roundtrip_uint8(image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int) -> Tensor:
    """The bits of `nnjpeg.roundtrip`, of a uint8 tensor.

    For ONNX, whose shifts are of unsigned numbers, in doubles that hold integers, far below 2^53, with the DCTs as
    products of matrices: fewer nodes, and faster ones.
    """
    onnx = is_for_onnx()
    working = torch.float64 if onnx else torch.int32
    fdct, idct = (_fdct, _idct) if onnx else (reference.fdct, reference.idct)
    samples = image.to(working)
    if ycbcr:
        samples = reference.rgb_to_ycbcr(samples.movedim(1, 3)).movedim(3, 1)
    planes = _parts(samples, h, v)
    planes[1:] = [reference.downsample(plane, h, v) for plane in planes[1:]]
    decoded = []
    for plane, table in zip(planes, _parts(steps_of(qtable).to(working), h, v), strict=True):
        steps = table[:, :, None, None]
        quantized = reference.quantize(fdct(_to_blocks(plane) - 128), steps)
        blocks = reference.range_limit(idct(reference.dequantize(quantized, steps)) + 128)
        decoded.append(_from_blocks(blocks))
    size = image.shape[2], image.shape[3]
    decoded[1:] = [reference.upsample(plane, size, h, v) for plane in decoded[1:]]
    result = torch.cat([plane[..., : size[0], : size[1]] for plane in decoded], 1)
    if ycbcr:
        result = reference.ycbcr_to_rgb(result.movedim(1, 3)).movedim(3, 1)
    return _laid_out(result, image)


# The matrices that the sums of a pass are, for products from the right.
_FDCT, _IDCT = (sums(np.eye(8, dtype=np.int64)).tolist() for sums in (reference.fdct_sums, reference.idct_sums))


def _fdct(blocks: Tensor) -> Tensor:
    """`reference.fdct` of doubles."""
    first, second = reference.FDCT_SHIFTS
    matrix = torch.tensor(_FDCT, dtype=torch.float64, device=blocks.device)
    return reference.descale(matrix.T @ reference.descale(blocks @ matrix, first), second)


def _idct(coefficients: Tensor) -> Tensor:
    """`reference.idct` of doubles."""
    first, second = reference.IDCT_SHIFTS
    matrix = torch.tensor(_IDCT, dtype=torch.float64, device=coefficients.device)
    return reference.descale(reference.descale(matrix.T @ coefficients, first) @ matrix, second)


def _dct_matrix(like: Tensor) -> Tensor:
    """Row k is the k-th function of the orthonormal DCT-II on eight samples."""
    n = torch.arange(8, dtype=like.dtype, device=like.device)
    matrix = torch.cos((2 * n + 1) * n[:, None] * (torch.pi / 16)) / 2
    return torch.cat([matrix[:1] * 0.5**0.5, matrix[1:]])


def _rgb_to_ycbcr(x: Tensor) -> Tensor:
    r, g, b = x.unbind(1)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return torch.stack([y, (b - y) / 1.772, (r - y) / 1.402], 1)


def _ycbcr_to_rgb(x: Tensor) -> Tensor:
    y, cb, cr = x.unbind(1)
    return torch.stack([y + 1.402 * cr, y - 0.344136286 * cb - 0.714136286 * cr, y + 1.772 * cb], 1)


def _limit(x: Tensor, low: float, high: float) -> Tensor:
    """`clamp`, whose gradient on the bounds themselves has changed between releases of torch; here it passes."""
    return torch.where(x < low, low, torch.where(x > high, high, x))


def _downsample(planes: Tensor, h: int, v: int) -> Tensor:
    """The mean of h x v samples; as `reference.downsample`, without rounding, and linear."""
    height, width = planes.shape[-2:]
    rows, columns = reference.groups(height, v), 8 * reference.groups(width, 8 * h)
    full = reference.extend(planes, v * rows, h * columns)
    total: Any = sum(full[..., i::v, j::h] for i in range(v) for j in range(h))
    return reference.extend(total / (h * v), 8 * reference.groups(rows, 8), columns)


def _upsample(planes: Tensor, size: tuple[int, int], h: int, v: int) -> Tensor:
    """As `reference.upsample`, without rounding, and linear."""
    height, width = size
    x = planes[..., : reference.groups(height, v), : reference.groups(width, h)]
    for twice, axis in ((v == 2, -2), (h == 2, -1)):
        if twice:
            x = x.swapaxes(axis, -1)
            before, after = reference.triangle(x, reference.reach(width, h))
            x = reference.interleave(before / 4, after / 4).swapaxes(axis, -1)
    return x[..., :height, :width]


_TIE = 1 + 2**-16  # block_f32.h's NJ_TIE


def roundtrip_float(image: Tensor, steps: Tensor, ycbcr: bool, h: int, v: int, cubic: bool) -> Tensor:
    """Of a float tensor in [0, 1], without rounding samples, in double precision inside.

    Differentiable by `image` and by `steps`: of coefficients u in steps, the derivative is that of
    round(u) + (u - round(u))^3, to which they are rounded; if not `cubic`, it passes straight through the rounding.
    """
    samples = 255 * _limit(image.to(_working(image)), 0.0, 1.0) - 128
    rounded = []
    for u in _in_steps(samples, steps, ycbcr, h, v):
        nearest = torch.round(u).detach()
        if cubic:
            nearest = nearest + (u - nearest) ** 3
        elif not is_for_onnx():
            nearest = nearest + zeros_with_gradient_of(u)
        rounded.append(nearest)
    decoded = _from_steps(rounded, steps, h, v)
    if ycbcr:
        decoded = [_limit(plane, -128.0, 127.0) for plane in decoded]
    return _laid_out(_limit((_joined(decoded, image, ycbcr, h, v) + 128) / 255, 0.0, 1.0), image)


def tangent(
    image: Tensor,
    steps: Tensor,
    of_image: Tensor,
    of_steps: Tensor,
    ycbcr: bool,
    h: int,
    v: int,
    cubic: bool,
) -> Tensor:
    """The derivative of `roundtrip_float` along `of_image`, which is like `image`, and `of_steps`, like `steps`."""
    x = image.to(_working(image))
    samples = 255 * _limit(x, 0.0, 1.0) - 128
    of_samples = 255 * _within(x, 0.0, 1.0, of_image.to(x.dtype))
    rounded, moved = [], []
    for u, du, step, of_step in zip(
        _in_steps(samples, steps, ycbcr, h, v),
        _in_steps(of_samples, steps, ycbcr, h, v),
        _each_step(steps, x.dtype, h, v),
        _each_step(of_steps, x.dtype, h, v),
        strict=True,
    ):
        nearest = torch.round(u)
        offset = u - nearest
        value, slope = (nearest + offset**3, 3 * offset**2) if cubic else (nearest, 1.0)
        rounded.append(value)
        moved.append(slope * du + (value - slope * u) * (of_step / step))
    decoded, along = _from_steps(rounded, steps, h, v), _from_steps(moved, steps, h, v)
    if ycbcr:
        along = [_within(plane, -128.0, 127.0, d) for plane, d in zip(decoded, along, strict=True)]
        decoded = [_limit(plane, -128.0, 127.0) for plane in decoded]
    result = _joined(decoded, image, ycbcr, h, v)
    return _within((result + 128) / 255, 0.0, 1.0, _joined(along, image, ycbcr, h, v) / 255).to(image.dtype)


def _working(image: Tensor) -> torch.dtype:
    return torch.float32 if image.device.type == "mps" else torch.float64  # which that device does not have


def _each_step(steps: Tensor, dtype: torch.dtype, h: int, v: int) -> list[Tensor]:
    """Steps part by part, (B or 1, C or 1, 1, 1, 8, 8), for blocks."""
    return [part[:, :, None, None] for part in _parts(steps.to(dtype), h, v)]


def _in_steps(samples: Tensor, steps: Tensor, ycbcr: bool, h: int, v: int) -> list[Tensor]:
    """Coefficients of level-shifted samples in units of their steps, part by part: a linear map."""
    planes = _parts(_rgb_to_ycbcr(samples) if ycbcr else samples, h, v)
    planes[1:] = [_downsample(plane, h, v) for plane in planes[1:]]
    dct = _dct_matrix(samples)
    return [
        dct @ _to_blocks(plane) @ dct.T * (_TIE / step)
        for plane, step in zip(planes, _each_step(steps, dct.dtype, h, v), strict=True)
    ]


def _from_steps(coefficients: list[Tensor], steps: Tensor, h: int, v: int) -> list[Tensor]:
    """Planes of level-shifted samples, not limited, in whole blocks: a linear map."""
    dct = _dct_matrix(coefficients[0])
    return [
        _from_blocks(dct.T @ (u * step) @ dct)
        for u, step in zip(coefficients, _each_step(steps, dct.dtype, h, v), strict=True)
    ]


def _joined(planes: list[Tensor], image: Tensor, ycbcr: bool, h: int, v: int) -> Tensor:
    """Planes as an image of the size of `image`: a linear map."""
    size = image.shape[2], image.shape[3]
    planes = [planes[0][..., : size[0], : size[1]], *(_upsample(plane, size, h, v) for plane in planes[1:])]
    return _ycbcr_to_rgb(torch.cat(planes, 1)) if ycbcr else planes[0]


def _within(x: Tensor, low: float, high: float, tangent: Tensor) -> Tensor:
    """The derivative of `_limit` at `x` along `tangent`."""
    return torch.where((x < low) | (x > high), 0.0, tangent)
