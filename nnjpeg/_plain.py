"""The round trip in plain torch operations: for devices without a kernel, for double precision, and as an oracle.

Slow, but exact in integers, and differentiable in floats. Images are (B, C, H, W), tables (B or 1, C or 1, 8, 8).
"""

from __future__ import annotations

import torch
from torch import Tensor

from nnjpeg import reference

__all__ = ["roundtrip_float", "roundtrip_uint8"]


def _to_blocks(image: Tensor) -> Tensor:
    """Blocks (B, C, rows, columns, 8, 8), the last row and column of the image repeated to fill them."""
    b, c, h, w = image.shape
    rows, columns = -(-h // 8), -(-w // 8)
    i = torch.arange(8 * rows, device=image.device).clamp(max=h - 1)
    j = torch.arange(8 * columns, device=image.device).clamp(max=w - 1)
    return image[:, :, i][..., j].reshape(b, c, rows, 8, columns, 8).transpose(3, 4)


def _from_blocks(blocks: Tensor, like: Tensor) -> Tensor:
    """Blocks as an image, cropped to the size of `like`."""
    b, c, rows, columns = blocks.shape[:4]
    image = blocks.transpose(3, 4).reshape(b, c, 8 * rows, 8 * columns)
    return image[..., : like.shape[2], : like.shape[3]]


def _laid_out(result: Tensor, like: Tensor) -> Tensor:
    """`result` with the dtype of `like` and its axes in the same order in memory."""
    return torch.empty_like(like).copy_(result)


def roundtrip_uint8(image: Tensor, qtable: Tensor, ycbcr: bool) -> Tensor:
    """The bits of `nnjpeg.roundtrip`, of a uint8 tensor."""
    steps = qtable[:, :, None, None].clamp(min=1).to(torch.int32)
    samples = image.to(torch.int32)
    if ycbcr:
        samples = reference.rgb_to_ycbcr(samples.movedim(1, -1)).movedim(-1, 1)
    quantized = reference.quantize(reference.fdct(_to_blocks(samples) - 128), steps)
    decoded = reference.range_limit(reference.idct(reference.dequantize(quantized, steps)) + 128)
    result = _from_blocks(decoded, image)
    if ycbcr:
        result = reference.ycbcr_to_rgb(result.movedim(1, -1)).movedim(-1, 1)
    return _laid_out(result, image)


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


_TIE = 1 + 2**-16  # block.h's NJ_TIE


def roundtrip_float(image: Tensor, qtable: Tensor, ycbcr: bool, cubic: bool) -> Tensor:
    """Of a float tensor in [0, 1], without rounding samples; differentiable if `cubic`, in double precision inside."""
    samples = 255 * _limit(image.to(_working(image)), 0.0, 1.0) - 128
    u, steps, dct = _in_steps(samples, qtable, ycbcr)
    nearest = torch.round(u).detach()
    rounded = nearest + (u - nearest) ** 3 if cubic else nearest
    decoded = _from_blocks(dct.T @ (rounded * steps) @ dct, image)
    if ycbcr:
        decoded = _ycbcr_to_rgb(_limit(decoded, -128.0, 127.0))
    return _laid_out(_limit((decoded + 128) / 255, 0.0, 1.0), image)


def cubic_tangent(tangent: Tensor, image: Tensor, qtable: Tensor, ycbcr: bool) -> Tensor:
    """The derivative of `roundtrip_float` with `cubic` along `tangent`, which is like `image`."""
    x = image.to(_working(image))
    u, steps, dct = _in_steps(255 * _limit(x, 0.0, 1.0) - 128, qtable, ycbcr)
    along, _, _ = _in_steps(255 * _within(x, 0.0, 1.0, tangent.to(x.dtype)), qtable, ycbcr)
    nearest = torch.round(u)
    decoded = _from_blocks(dct.T @ ((nearest + (u - nearest) ** 3) * steps) @ dct, image)
    along = _from_blocks(dct.T @ (3 * (u - nearest) ** 2 * along * steps) @ dct, image)
    if ycbcr:
        along = _ycbcr_to_rgb(_within(decoded, -128.0, 127.0, along))
        decoded = _ycbcr_to_rgb(_limit(decoded, -128.0, 127.0))
    return _within((decoded + 128) / 255, 0.0, 1.0, along / 255).to(image.dtype)


def _working(image: Tensor) -> torch.dtype:
    return torch.float32 if image.device.type == "mps" else torch.float64  # which that device does not have


def _in_steps(samples: Tensor, qtable: Tensor, ycbcr: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Coefficients of level-shifted samples in units of their steps, a linear map; the steps; the matrix of the DCT."""
    steps = qtable[:, :, None, None].clamp(min=1).to(samples.dtype)
    if ycbcr:
        samples = _rgb_to_ycbcr(samples)
    dct = _dct_matrix(samples)
    return dct @ _to_blocks(samples) @ dct.T * (_TIE / steps), steps, dct


def _within(x: Tensor, low: float, high: float, tangent: Tensor) -> Tensor:
    """The derivative of `_limit` at `x` along `tangent`."""
    return torch.where((x < low) | (x > high), 0.0, tangent)
