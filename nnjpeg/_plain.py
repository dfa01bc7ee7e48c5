"""The round trip in plain torch operations: for devices without a kernel, for double precision, and as an oracle.

Slow, but exact in integers, and differentiable in floats. Images are (B, C, H, W), tables (B or 1, C or 1, 8, 8): a
`qtable` is rounded to whole steps here, `steps` are used as they are. h and v are how many times as fine luma is as
chroma, along columns and along rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from nnjpeg import reference

__all__ = ["roundtrip_float", "roundtrip_uint8", "steps_of", "straight_steps", "tangent", "zeros_with_gradient_of"]


def _to_blocks(planes: Tensor) -> Tensor:
    """Blocks (8, 8, B, C, rows, columns), the last column and row of the planes repeated to fill them.

    Samples at the same place of all blocks lie side by side, so that each operation is one over all blocks.
    """
    b, c, h, w = planes.shape
    rows, columns = reference.groups(h, 8), reference.groups(w, 8)
    whole = reference.extend(planes, 8 * rows, 8 * columns).reshape(b, c, rows, 8, columns, 8)
    return whole.permute(3, 5, 0, 1, 2, 4).contiguous()


def _from_blocks(blocks: Tensor) -> Tensor:
    """Blocks as planes, (B, C, 8 rows, 8 columns)."""
    b, c, rows, columns = blocks.shape[2:]
    return blocks.permute(2, 3, 4, 0, 5, 1).reshape(b, c, 8 * rows, 8 * columns)


def _by_block(steps: Tensor) -> Tensor:
    """Tables as they are multiplied with blocks: (8, 8, B or 1, C or 1, 1, 1)."""
    return steps.permute(2, 3, 0, 1)[..., None, None]


def _transformed(matrix: Tensor, blocks: Tensor) -> Tensor:
    """The matrix times each block times the matrix transposed."""
    return _product(matrix, _product(matrix, blocks, 1), 0)


def _product(matrix: Tensor, blocks: Tensor, axis: int) -> Tensor:
    """The matrix times what lies along an axis of blocks: their columns (0) or their rows (1)."""
    return (matrix @ blocks.flatten(axis + 1)).reshape(blocks.shape)


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


def has_derivative(x: Tensor) -> bool:
    """Whether torch may ask for a derivative along `x`, in forward mode or in reverse mode."""
    forward_mode = not torch.compiler.is_compiling() and forward_ad._current_level >= 0
    return x.requires_grad or forward_mode


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

    In int32; for ONNX, whose shifts are of unsigned numbers, in doubles that hold integers, far below 2^53.
    """
    working, coded = (torch.float64, _coded_for_onnx) if is_for_onnx() else (torch.int32, _coded)
    samples = image.to(working)
    if ycbcr:
        samples = _colour(samples, reference.RGB_TO_YCBCR)
    planes = _parts(samples, h, v)
    planes[1:] = [reference.downsample(plane, h, v) for plane in planes[1:]]
    tables = _parts(steps_of(qtable).to(working), h, v)
    decoded = [coded(plane, steps) for plane, steps in zip(planes, tables, strict=True)]
    size = image.shape[2], image.shape[3]
    decoded[1:] = [reference.upsample(plane, size, h, v) for plane in decoded[1:]]
    result = torch.cat([plane[..., : size[0], : size[1]] for plane in decoded], 1)
    if ycbcr:
        result = reference.range_limit(_colour(result, reference.YCBCR_TO_RGB))
    return _laid_out(result, image)


# The matrices of what both passes of a transform sum up: to get output k, input j is multiplied with [j][k].
_FDCT, _IDCT = (sums(np.eye(8, dtype=np.int64)).tolist() for sums in (reference.fdct_sums, reference.idct_sums))


def _coded(planes: Tensor, steps: Tensor) -> Tensor:
    """Planes (B, C, H, W) of samples in int32, compressed and decompressed, in whole blocks."""
    x, steps = _to_blocks(planes), _by_block(steps)
    first, second = reference.FDCT_SHIFTS
    x = _fdct_pass(_fdct_pass(x, 1, first, level=128), 0, second)
    magnitudes = x.abs().add_(4 * steps).floor_divide_(8 * steps)
    x.sign_().mul_(steps).mul_(magnitudes)
    first, second = reference.IDCT_SHIFTS
    return _from_blocks(_idct_pass(_idct_pass(x, 0, first), 1, second, level=128).clamp_(0, 255))


def _fdct_pass(x: Tensor, axis: int, shift: int, level: int = 0) -> Tensor:
    """One pass of `reference.fdct` along an axis of 8, with `level` subtracted from samples."""
    d = x.unbind(axis)
    folded = [d[j] + d[7 - j] for j in range(4)], [d[j] - d[7 - j] for j in range(4)]  # for even and odd outputs
    outputs = []
    for k in range(8):
        factors = [_FDCT[j][k] for j in range(8)]
        constant = (1 << (shift - 1)) - level * sum(factors)
        outputs.append(_sum(folded[k % 2], factors[:4], constant).bitwise_right_shift_(shift))
    return torch.stack(outputs, axis)


def _idct_pass(x: Tensor, axis: int, shift: int, level: int = 0) -> Tensor:
    """One pass of `reference.idct` along an axis of 8, with `level` added to samples."""
    d, half = x.unbind(axis), 1 << (shift - 1)
    outputs = [x] * 8
    for k in range(4):
        even = _sum(d[0::2], [_IDCT[j][k] for j in range(0, 8, 2)], half + (level << shift))
        odd = _sum(d[1::2], [_IDCT[j][k] for j in range(1, 8, 2)], 0)
        outputs[k] = (even + odd).bitwise_right_shift_(shift)
        outputs[7 - k] = even.sub_(odd).bitwise_right_shift_(shift)
    return torch.stack(outputs, axis)


def _sum(parts: Sequence[Tensor], factors: Sequence[int], constant: int) -> Tensor:
    """The sum of parts times their factors, and of a constant; an operation for each part."""
    (first, factor), *others = [(part, factor) for part, factor in zip(parts, factors, strict=True) if factor]
    total = torch.rsub(first, constant, alpha=-factor)
    for part, factor in others:
        total.add_(part, alpha=factor)
    return total


def _colour(pixels: Tensor, matrix: Sequence[Sequence[int]]) -> Tensor:
    """Another colour space, by one of the matrices of `reference`; not clamped."""
    components = pixels.unbind(1)
    if is_for_onnx():
        sums = [a * x + b * y + c * z + d for a, b, c, d in matrix for x, y, z in [components]]
        return reference.shift_right(torch.stack(sums, 1), 16)
    sums = [_sum(components, factors, constant) for *factors, constant in matrix]
    return torch.stack([total.bitwise_right_shift_(16) for total in sums], 1)


def _coded_for_onnx(planes: Tensor, steps: Tensor) -> Tensor:
    """The same in doubles, with the transforms as products of matrices: few nodes, and fast ones.

    Blocks are in the last two axes here: the export of subsampled chroma fails on products that are reshaped.
    """
    blocks, steps = _to_blocks(planes).permute(2, 3, 4, 5, 0, 1), steps[:, :, None, None]
    fdct, idct = (torch.tensor(m, dtype=torch.float64, device=planes.device) for m in (_FDCT, _IDCT))
    first, second = reference.FDCT_SHIFTS
    coefficients = reference.descale((blocks - 128) @ fdct, first)
    quantized = reference.quantize(reference.descale(fdct.T @ coefficients, second), steps)
    first, second = reference.IDCT_SHIFTS
    columns = reference.descale(idct.T @ reference.dequantize(quantized, steps), first)
    decoded = reference.range_limit(reference.descale(columns @ idct, second) + 128)
    return _from_blocks(decoded.permute(4, 5, 0, 1, 2, 3))


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
    if not has_derivative(x):
        return x.clamp(low, high)
    return x.masked_fill(x < low, low).masked_fill(x > high, high)


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
        elif has_derivative(u):
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
    """Steps part by part, for blocks."""
    return [_by_block(part) for part in _parts(steps.to(dtype), h, v)]


def _in_steps(samples: Tensor, steps: Tensor, ycbcr: bool, h: int, v: int) -> list[Tensor]:
    """Coefficients of level-shifted samples in units of their steps, part by part: a linear map."""
    planes = _parts(_rgb_to_ycbcr(samples) if ycbcr else samples, h, v)
    planes[1:] = [_downsample(plane, h, v) for plane in planes[1:]]
    dct = _dct_matrix(samples)
    return [
        _transformed(dct, _to_blocks(plane)) * (_TIE / step)
        for plane, step in zip(planes, _each_step(steps, dct.dtype, h, v), strict=True)
    ]


def _from_steps(coefficients: list[Tensor], steps: Tensor, h: int, v: int) -> list[Tensor]:
    """Planes of level-shifted samples, not limited, in whole blocks: a linear map."""
    dct = _dct_matrix(coefficients[0])
    return [
        _from_blocks(_transformed(dct.T, u * step))
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
