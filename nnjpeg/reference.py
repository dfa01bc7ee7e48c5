"""The definition of the codec: one function for each stage, over arrays or tensors of blocks (..., 8, 8).

It is slow and simple. The tests compare the core with it, and torch devices without a kernel run it (32 bits are
enough). It follows the text of libjpeg's jfdctint.c, jcdctmgr.c, jidctint.c (with their shared products), jcsample.c
and jdsample.c, so it and csrc/ are two derivations of the same numbers. float64 arrays of whole numbers give the same
numbers too, for runtimes without an arithmetic shift, such as ONNX.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nnjpeg._arguments import SUBSAMPLINGS, Colorspace, Subsampling, check_subsampling, is_ycbcr
from nnjpeg.qtable import QTables, tables_for

__all__ = [
    "RGB_TO_YCBCR",
    "YCBCR_TO_RGB",
    "dequantize",
    "descale",
    "downsample",
    "extend",
    "fdct",
    "fdct_sums",
    "forward",
    "from_blocks",
    "groups",
    "idct",
    "idct_sums",
    "interleave",
    "inverse",
    "quantize",
    "range_limit",
    "reach",
    "rgb_to_ycbcr",
    "roundtrip",
    "shift_right",
    "to_blocks",
    "triangle",
    "upsample",
    "ycbcr_to_rgb",
]

Ints = Any
"""A NumPy array or a torch tensor of int32 or int64, or of whole float64: what is done here, all understand."""

CONST_BITS = 13
PASS1_BITS = 2


def _fix(x: float) -> int:
    return round(x * (1 << CONST_BITS))


def _split(x: Ints) -> list[Ints]:
    if isinstance(x, np.ndarray):
        x = x.astype(np.int64)
    return [x[..., k] for k in range(x.shape[-1])]


def _join(parts: list[Ints]) -> Ints:
    if isinstance(parts[0], np.ndarray):
        return np.stack(parts, axis=-1)
    import torch

    return torch.stack(parts, dim=-1)


def shift_right(x: Ints, n: int) -> Ints:
    """X / 2^n, rounded down."""
    if isinstance(x, np.ndarray) or not x.is_floating_point():
        return x >> n
    return (x * 0.5**n).floor()


def descale(x: Ints, n: int) -> Ints:
    """X / 2^n, rounded half up."""
    return shift_right(x + (1 << (n - 1)), n)


_HALF, _CENTER = 1 << 15, 128 << 16

RGB_TO_YCBCR = (
    (19595, 38470, 7471, _HALF),
    (-11059, -21709, 32768, _CENTER + _HALF - 1),
    (32768, -27439, -5329, _CENTER + _HALF - 1),
)
"""JFIF's matrix in 16-bit fixed point (jccolor.c): factors of R, G, B, and what is added before the shift by 16."""

YCBCR_TO_RGB = (
    (1 << 16, 0, 91881, _HALF - 128 * 91881),
    (1 << 16, -22554, -46802, _HALF + 128 * (22554 + 46802)),
    (1 << 16, 116130, 0, _HALF - 128 * 116130),
)
"""The same the other way (jdcolor.c), on Cb and Cr as they are stored, 0..255."""


def rgb_to_ycbcr(rgb: Ints) -> Ints:
    """R, G, B to Y, Cb, Cr, 0..255, along the last axis."""
    return _colour(rgb, RGB_TO_YCBCR)


def ycbcr_to_rgb(ycbcr: Ints) -> Ints:
    """Y, Cb, Cr to R, G, B, 0..255, along the last axis."""
    return range_limit(_colour(ycbcr, YCBCR_TO_RGB))


def _colour(pixels: Ints, matrix: tuple[tuple[int, ...], ...]) -> Ints:
    a, b, c = _split(pixels)
    return _join([shift_right(p * a + q * b + r * c + constant, 16) for p, q, r, constant in matrix])


def groups(length: int, size: int) -> int:
    """The number of groups of a size; all are positive, since runtimes divide negative numbers differently."""
    return (length + size - 1) // size


def extend(x: Ints, height: int, width: int) -> Ints:
    """Planes (..., h, w), of integers or floats, their last column and row repeated up to a size."""
    if isinstance(x, np.ndarray):
        leading = [(0, 0)] * (x.ndim - 2)
        return np.pad(x, [*leading, (0, height - x.shape[-2]), (0, width - x.shape[-1])], mode="edge")
    import torch

    unknown = torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()  # lengths may be symbols in a graph
    for axis, length in ((-2, height), (-1, width)):
        if (unknown and x.is_floating_point()) or x.shape[axis] < length:
            places = torch.arange(length, device=x.device).clamp(max=x.shape[axis] - 1)
            x = x.index_select(axis, places)
    return x


def downsample(component: Ints, h: int, v: int) -> Ints:
    """Average full-size chroma (..., height, width) over h x v samples, and extend it to whole blocks (jcsample.c).

    Columns are extended before and rows after it: of an even height, the last row is not that of the extended image.
    """
    height, width = component.shape[-2:]
    rows, columns = groups(height, v), 8 * groups(width, 8 * h)
    full = extend(component, v * rows, h * columns)
    total = sum(full[..., i::v, j::h] for i in range(v) for j in range(h))
    if h == 2:
        total = interleave(total[..., ::2], total[..., 1::2] + 1)
    if v == 2:
        total = total + 1
    return extend(shift_right(total, h * v // 2), 8 * groups(rows, 8), columns)


def triangle(x: Ints, reach: int = 1) -> tuple[Ints, Ints]:
    """For samples along the last axis: three times each plus the one before, and three times each plus the one after.

    The first and the last sample are their own neighbours; with a reach of 0, all samples are.
    """
    last = x.shape[-1] - 1
    if isinstance(x, np.ndarray):
        places = np.arange(last + 1)
        return 3 * x + x[..., (places - reach).clip(0, last)], 3 * x + x[..., (places + reach).clip(0, last)]
    import torch

    i = torch.arange(last + 1, device=x.device)
    before, after = (x.index_select(-1, (i + by).clamp(0, last)) for by in (-reach, reach))
    return 3 * x + before, 3 * x + after


def reach(width: int, h: int) -> int:
    """The reach of the triangle filter: 1, or 0 (repetition) if h = 2 and there are at most 2 columns of chroma.

    Without a branch, so that it holds for widths that are not known yet.
    """
    return 1 - (h - 1) * (3 // (groups(width, h) + 1))


def interleave(even: Ints, odd: Ints) -> Ints:
    """Two arrays as one with twice as many elements along the last axis."""
    return _join([even, odd]).reshape(*even.shape[:-1], 2 * even.shape[-1])


def upsample(samples: Ints, size: tuple[int, int], h: int, v: int) -> Ints:
    """Chroma (..., rows, columns) at the full `size` of the image; surplus rows and columns are cropped.

    The "fancy" upsampling of jdsample.c, which is its default; it is plain repetition for the narrowest images.
    """
    height, width = size
    x = samples[..., : groups(height, v), : groups(width, h)]
    if v == 2:
        above, below = triangle(x.swapaxes(-1, -2), reach(width, h))
        if h == 1:
            above, below = shift_right(above + 1, 2), shift_right(below + 2, 2)
        x = interleave(above, below).swapaxes(-1, -2)
    if h == 2:
        before, after = triangle(x, reach(width, h))
        first, second, shift = (8, 7, 4) if v == 2 else (1, 2, 2)
        x = interleave(shift_right(before + first, shift), shift_right(after + second, shift))
    return x[..., :height, :width]


def to_blocks(component: npt.NDArray[Any]) -> Ints:
    """A component (h, w) as blocks (rows, columns, 8, 8), its last row and column repeated to fill them."""
    rows, columns = (groups(length, 8) for length in component.shape)
    return extend(component.astype(np.int64), 8 * rows, 8 * columns).reshape(rows, 8, columns, 8).swapaxes(1, 2)


def from_blocks(blocks: Ints, size: tuple[int, int]) -> Ints:
    """Blocks (rows, columns, 8, 8) as a component, cropped to `size`."""
    rows, columns = blocks.shape[:2]
    return blocks.swapaxes(1, 2).reshape(8 * rows, 8 * columns)[: size[0], : size[1]]


def fdct_sums(x: Ints) -> Ints:
    """What jfdctint.c's loop body rounds, along the last axis, in units of 2^-13: a linear map."""
    d = _split(x)
    tmp0, tmp7 = d[0] + d[7], d[0] - d[7]
    tmp1, tmp6 = d[1] + d[6], d[1] - d[6]
    tmp2, tmp5 = d[2] + d[5], d[2] - d[5]
    tmp3, tmp4 = d[3] + d[4], d[3] - d[4]

    tmp10, tmp13 = tmp0 + tmp3, tmp0 - tmp3
    tmp11, tmp12 = tmp1 + tmp2, tmp1 - tmp2
    out: list[Any] = [None] * 8
    out[0], out[4] = (tmp10 + tmp11) * (1 << CONST_BITS), (tmp10 - tmp11) * (1 << CONST_BITS)
    z1 = (tmp12 + tmp13) * _fix(0.541196100)
    out[2] = z1 + tmp13 * _fix(0.765366865)
    out[6] = z1 - tmp12 * _fix(1.847759065)

    z1, z2, z3, z4 = tmp4 + tmp7, tmp5 + tmp6, tmp4 + tmp6, tmp5 + tmp7
    z5 = (z3 + z4) * _fix(1.175875602)
    z1, z2 = -z1 * _fix(0.899976223), -z2 * _fix(2.562915447)
    z3, z4 = z5 - z3 * _fix(1.961570560), z5 - z4 * _fix(0.390180644)
    out[7] = tmp4 * _fix(0.298631336) + z1 + z3
    out[5] = tmp5 * _fix(2.053119869) + z2 + z4
    out[3] = tmp6 * _fix(3.072711026) + z2 + z3
    out[1] = tmp7 * _fix(1.501321110) + z1 + z4
    return _join(out)


FDCT_SHIFTS = CONST_BITS - PASS1_BITS, CONST_BITS + PASS1_BITS
"""How far the sums of both passes are shifted; the DC's, which jfdctint.c does not scale first, come to the same."""


def fdct(blocks: Ints) -> Ints:
    """Samples less 128 to coefficients, 8 times the orthonormal DCT: rows first, then columns."""
    rows = descale(fdct_sums(blocks), FDCT_SHIFTS[0])
    return descale(fdct_sums(rows.swapaxes(-1, -2)), FDCT_SHIFTS[1]).swapaxes(-1, -2)


def quantize(coefficients: Ints, steps: Ints) -> Ints:
    """C / 8q, rounded half away from zero."""
    magnitude = (abs(coefficients) + 4 * steps) // (8 * steps)
    return magnitude - 2 * magnitude * (coefficients < 0)


def dequantize(quantized: Ints, steps: Ints) -> Ints:
    """Multiply by q: coefficients at the scale of the orthonormal DCT."""
    return quantized * steps


def idct_sums(x: Ints) -> Ints:
    """The same as `fdct_sums` for jidctint.c."""
    d = _split(x)
    z1 = (d[2] + d[6]) * _fix(0.541196100)
    tmp2, tmp3 = z1 - d[6] * _fix(1.847759065), z1 + d[2] * _fix(0.765366865)
    tmp0, tmp1 = (d[0] + d[4]) * (1 << CONST_BITS), (d[0] - d[4]) * (1 << CONST_BITS)
    tmp10, tmp13 = tmp0 + tmp3, tmp0 - tmp3
    tmp11, tmp12 = tmp1 + tmp2, tmp1 - tmp2

    tmp0, tmp1, tmp2, tmp3 = d[7], d[5], d[3], d[1]
    z1, z2, z3, z4 = tmp0 + tmp3, tmp1 + tmp2, tmp0 + tmp2, tmp1 + tmp3
    z5 = (z3 + z4) * _fix(1.175875602)
    z1, z2 = -z1 * _fix(0.899976223), -z2 * _fix(2.562915447)
    z3, z4 = z5 - z3 * _fix(1.961570560), z5 - z4 * _fix(0.390180644)
    tmp0 = tmp0 * _fix(0.298631336) + z1 + z3
    tmp1 = tmp1 * _fix(2.053119869) + z2 + z4
    tmp2 = tmp2 * _fix(3.072711026) + z2 + z3
    tmp3 = tmp3 * _fix(1.501321110) + z1 + z4
    out = [tmp10 + tmp3, tmp11 + tmp2, tmp12 + tmp1, tmp13 + tmp0, tmp13 - tmp0, tmp12 - tmp1, tmp11 - tmp2]
    return _join([*out, tmp10 - tmp3])


IDCT_SHIFTS = CONST_BITS - PASS1_BITS, CONST_BITS + PASS1_BITS + 3


def idct(coefficients: Ints) -> Ints:
    """Dequantized coefficients to samples less 128, not clamped: columns first, then rows."""
    columns = descale(idct_sums(coefficients.swapaxes(-1, -2)), IDCT_SHIFTS[0]).swapaxes(-1, -2)
    return descale(idct_sums(columns), IDCT_SHIFTS[1])


def range_limit(samples: Ints) -> Ints:
    """Clamp to 0..255."""
    return samples.clip(0, 255)


def forward(
    image: npt.NDArray[np.uint8],
    qtable: QTables,
    *,
    colorspace: Colorspace = "rgb",
    subsampling: Subsampling = "4:4:4",
) -> list[npt.NDArray[np.int64]]:
    """The quantized coefficients of an image of layout HWC: for each component, blocks (rows, columns, 8, 8)."""
    components = image.shape[2]
    h, v = SUBSAMPLINGS[check_subsampling(subsampling, colorspace, components)]
    samples = image.astype(np.int64)
    if is_ycbcr(colorspace, components):
        samples = rgb_to_ycbcr(samples)
    coefficients = []
    for c, steps in enumerate(_steps(qtable, components, colorspace)):
        plane = samples[..., c] if c == 0 else downsample(samples[..., c], h, v)
        coefficients.append(quantize(fdct(to_blocks(plane) - 128), steps))
    return coefficients


def inverse(
    coefficients: list[npt.NDArray[np.int64]],
    qtable: QTables,
    size: tuple[int, int],
    *,
    colorspace: Colorspace = "rgb",
    subsampling: Subsampling = "4:4:4",
) -> npt.NDArray[np.uint8]:
    """Decode quantized coefficients to an image (height, width, components) of `size`."""
    components = len(coefficients)
    h, v = SUBSAMPLINGS[check_subsampling(subsampling, colorspace, components)]
    planes: list[npt.NDArray[np.int64]] = []
    for c, (quantized, steps) in enumerate(zip(coefficients, _steps(qtable, components, colorspace), strict=True)):
        rows, columns = quantized.shape[:2]
        decoded = range_limit(idct(dequantize(quantized, steps)) + 128)
        plane = from_blocks(decoded, (8 * rows, 8 * columns))
        planes.append(plane[: size[0], : size[1]] if c == 0 else upsample(plane, size, h, v))
    image = _join(planes)
    return (ycbcr_to_rgb(image) if is_ycbcr(colorspace, components) else image).astype(np.uint8)


def roundtrip(
    image: npt.NDArray[np.uint8],
    qtable: QTables,
    *,
    colorspace: Colorspace = "rgb",
    subsampling: Subsampling = "4:4:4",
) -> npt.NDArray[np.uint8]:
    """`nnjpeg.roundtrip` for one image of layout HWC."""
    coding: Any = {"colorspace": colorspace, "subsampling": subsampling}
    return inverse(forward(image, qtable, **coding), qtable, image.shape[:2], **coding)


def _steps(qtable: QTables, components: int, colorspace: str) -> list[npt.NDArray[np.int64]]:
    tables = [np.asarray(table) for table in tables_for(qtable, components, colorspace)]
    return tables * components if len(tables) == 1 else tables
