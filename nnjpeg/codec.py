"""The codec on NumPy arrays: the round trip, its two halves, and the plain DCT.

Every function takes images of layout HW, HWC, CHW, NHWC or NCHW, at any strides. Coefficients keep the place of the
axes and add two: an image of layout HWC and shape (h, w, c) has coefficients of shape (ceil(h / 8), ceil(w / 8), c, 8,
8).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nnjpeg import _core
from nnjpeg._arguments import (
    FLOAT32,
    INT16,
    UINT8,
    Axes,
    Colorspace,
    Layout,
    axes_of,
    check_array,
    check_out,
    check_size,
    components_of,
    is_ycbcr,
)
from nnjpeg._threads import thread_limit
from nnjpeg.qtable import QTable, QTables, as_tables

__all__ = ["dct", "forward", "idct", "inverse", "roundtrip"]


def roundtrip(
    image: npt.NDArray[np.uint8],
    qtable: QTables,
    *,
    colorspace: Colorspace = "rgb",
    layout: Layout | None = None,
    out: npt.NDArray[np.uint8] | None = None,
    num_threads: int | None = None,
) -> npt.NDArray[np.uint8]:
    """Compress and decompress: the samples that libjpeg-turbo would return, without the file.

    The result equals, in every sample, Pillow's ``save(file, "JPEG", qtables=[qtable], subsampling=0, keep_rgb=True)``
    followed by ``open`` (with ``colorspace="ycbcr"``: the same without ``keep_rgb``), where Pillow is built on
    libjpeg-turbo. It is defined for every image, also where libjpeg's Huffman coder would give up.

    Parameters
    ----------
    image : ndarray of uint8
        Samples 0..255, any strides, height and width from 1. Not a multiple of 8: extended by its last column and row
        for the transform, as libjpeg does, and cropped. A batch of 0 images gives an empty result.
    qtable : QTable, array_like or sequence of these
        One 8x8 table for all components, or one for each component (``[luma, chroma, chroma]``).
    colorspace : {"rgb", "ycbcr"}
        "rgb" codes the components as they are, any number of them. "ycbcr" codes 3 components as JFIF YCbCr without
        chroma subsampling (4:4:4).
    layout : {"HW", "HWC", "CHW", "NHWC", "NCHW"}, optional
        By default the channels-last layout of the array's number of dimensions, of at most 4 components.
    out : ndarray of uint8, optional
        Where to put the result: shape of `image`, writable. May be `image` itself; must not overlap it otherwise.
    num_threads : int, optional
        At most this many threads; fewer where the image is too small to gain from them. By default as many as OpenMP,
        the process's affinity and its control group's quota allow, and one inside a worker of a torch DataLoader. A
        process forked after threads were used here always uses one.

    Returns
    -------
    ndarray of uint8
        `out`, or a new array of the shape of `image`, with its axes in the same order in memory.

    Raises
    ------
    TypeError
        If `image` or `out` is not an array of uint8, or `qtable` does not hold numbers.
    ValueError
        If a shape, `layout`, `colorspace`, `qtable` or `num_threads` is not as above, or `out` overlaps.
    """
    check_array("image", image, UINT8)
    axes = axes_of("image", image.shape, layout)
    components = components_of(image.shape, axes)
    ycbcr = is_ycbcr(colorspace, components)
    return roundtrip_with(image, axes, quantizers_for(qtable, components), ycbcr, out, num_threads)


def roundtrip_with(
    image: npt.NDArray[np.uint8],
    axes: Axes,
    quantizers: _core.Quantizers,
    ycbcr: bool,
    out: npt.NDArray[np.uint8] | None = None,
    num_threads: int | None = None,
) -> npt.NDArray[np.uint8]:
    """`roundtrip` once `image` and the tables are checked and prepared; `nnjpeg.transforms` joins here."""
    if out is not None:
        check_out(out, image)
    return _core.roundtrip(image, out, axes, quantizers, ycbcr, thread_limit(num_threads))


def forward(
    image: npt.NDArray[np.uint8],
    qtable: QTables,
    *,
    colorspace: Colorspace = "rgb",
    layout: Layout | None = None,
) -> npt.NDArray[np.int16]:
    """The quantized coefficients that a JPEG file would hold.

    Parameters
    ----------
    image, qtable, colorspace, layout
        As for `roundtrip`.

    Returns
    -------
    ndarray of int16
        -1024..1024. Shape of `image` with height and width counted in blocks, and (8, 8) at the end: natural order,
        vertical frequency first.
    """
    check_array("image", image, UINT8)
    axes = axes_of("image", image.shape, layout)
    components = components_of(image.shape, axes)
    ycbcr = is_ycbcr(colorspace, components)
    coefficients = np.empty(_coefficient_shape(image.shape, axes), np.int16)
    _core.forward(image, coefficients, axes, quantizers_for(qtable, components), ycbcr)
    return coefficients


def inverse(
    coefficients: npt.NDArray[np.int16],
    qtable: QTables,
    *,
    size: tuple[int, int] | None = None,
    colorspace: Colorspace = "rgb",
    layout: Layout | None = None,
) -> npt.NDArray[np.uint8]:
    """The samples that libjpeg-turbo decodes from quantized coefficients: ``inverse(forward(x, t), t)`` is
    ``roundtrip(x, t)`` for sizes that are multiples of 8.

    Parameters
    ----------
    coefficients : ndarray of int16
        As from `forward`. Any values: beyond what an 8-bit image can give, the arithmetic is carried out without
        overflow and the samples are clamped, where libjpeg-turbo's own instruction sets differ from each other.
    qtable, colorspace
        As for `roundtrip`.
    size : (height, width), optional
        Of the image, to crop to. By default whole blocks.
    layout : {"HW", "HWC", "CHW", "NHWC", "NCHW"}, optional
        Of the image.

    Returns
    -------
    ndarray of uint8
    """
    return _from_coefficients(coefficients, INT16, UINT8, size, layout, qtable, colorspace)


def dct(
    image: npt.NDArray[np.uint8] | npt.NDArray[np.float32], *, layout: Layout | None = None
) -> npt.NDArray[np.float32]:
    """The orthonormal type-II DCT of every 8x8 block, in single precision: for analysis.

    A linear map (no level shift by 128, no quantization): the DCT of a difference is the difference of the DCTs. Equal
    to ``scipy.fft.dctn(block, norm="ortho")`` up to rounding. Where height or width is not a multiple of 8 the last
    column and row are repeated.

    Parameters
    ----------
    image : ndarray of uint8 or float32
        Any range.
    layout : {"HW", "HWC", "CHW", "NHWC", "NCHW"}, optional

    Returns
    -------
    ndarray of float32
        Coefficients, in the units of the samples, of the shape that `forward` returns.
    """
    check_array("image", image, UINT8, FLOAT32)
    axes = axes_of("image", image.shape, layout)
    coefficients = np.empty(_coefficient_shape(image.shape, axes), np.float32)
    _core.dct(_aligned(image), coefficients, axes)
    return coefficients


def idct(
    coefficients: npt.NDArray[np.float32], *, size: tuple[int, int] | None = None, layout: Layout | None = None
) -> npt.NDArray[np.float32]:
    """The inverse of `dct`, not rounded, not clamped.

    Parameters
    ----------
    coefficients : ndarray of float32
        As from `dct`.
    size : (height, width), optional
        Of the image, to crop to. By default whole blocks.
    layout : {"HW", "HWC", "CHW", "NHWC", "NCHW"}, optional
        Of the image.

    Returns
    -------
    ndarray of float32
    """
    return _from_coefficients(coefficients, FLOAT32, FLOAT32, size, layout)


def _from_coefficients(
    coefficients: npt.NDArray[Any],
    dtype: np.dtype[Any],
    sample_dtype: np.dtype[Any],
    size: tuple[int, int] | None,
    layout: Layout | None,
    qtable: QTables | None = None,
    colorspace: Colorspace = "rgb",
) -> Any:
    check_array("coefficients", coefficients, dtype)
    if coefficients.shape[-2:] != (8, 8):
        raise ValueError(f"coefficients must end in two axes of length 8, got shape {coefficients.shape}")
    grid = coefficients.shape[:-2]
    axes = axes_of("coefficients (without their last two axes)", grid, layout)
    rows, columns = grid[axes[2]], grid[axes[3]]
    height, width = check_size(size, rows, columns)
    shape = list(grid)
    shape[axes[2]], shape[axes[3]] = height, width
    image: npt.NDArray[Any] = np.empty(shape, sample_dtype)
    # The core wants blocks of 64 consecutive aligned elements.
    blocks = np.ascontiguousarray(_aligned(coefficients))
    if qtable is None:
        _core.idct(blocks, image, axes)
    else:
        components = components_of(grid, axes)
        ycbcr = is_ycbcr(colorspace, components)
        _core.inverse(blocks, image, axes, quantizers_for(qtable, components), ycbcr)
    return image


def _aligned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`array`, or a copy if its elements do not lie at whole multiples of their size."""
    return np.require(array, requirements="A") if all(s % array.itemsize == 0 for s in array.strides) else array.copy()


def _coefficient_shape(shape: tuple[int, ...], axes: Axes) -> tuple[int, ...]:
    grid = list(shape)
    for axis in axes[2:]:
        grid[axis] = -(-grid[axis] // 8)
    return (*grid, 8, 8)


def quantizers_for(qtable: QTables, components: int) -> _core.Quantizers:
    """Tables as a caller gives them, checked and ready for the core."""
    if isinstance(qtable, QTable):
        return qtable.quantizers
    tables = as_tables(qtable, components)
    return tables[0].quantizers if len(tables) == 1 else prepare([tables])


def prepare(tables: Sequence[Sequence[QTable]]) -> _core.Quantizers:
    """Tables by image (or one for all) and component (or one for all), ready for the core."""
    return _core.Quantizers(np.array([[table.steps.reshape(64) for table in image] for image in tables]))
