"""The codec on NumPy arrays: the round trip, its two halves, and the plain DCT.

Every function takes images of layout HW, HWC, CHW, NHWC or NCHW, at any strides. Coefficients keep the place of the
axes and add two: an image of layout HWC and shape (h, w, c) has coefficients of shape (ceil(h / 8), ceil(w / 8), c, 8,
8). Those of an image with chroma subsampling are an array for each component, without the axis of components.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from nnjpeg import _core
from nnjpeg._arguments import (
    FACTORS,
    FLOAT32,
    INT16,
    LAYOUTS,
    UINT8,
    Axes,
    Coding,
    Colorspace,
    Layout,
    Subsampling,
    axes_of,
    check_array,
    check_out,
    check_size,
    coding_of,
    components_of,
    plan,
)
from nnjpeg._threads import thread_limit
from nnjpeg.qtable import QTable, QTables, tables_for

__all__ = ["dct", "forward", "idct", "inverse", "roundtrip"]


def roundtrip(
    image: npt.NDArray[np.uint8],
    qtable: QTables,
    *,
    colorspace: Colorspace = "rgb",
    subsampling: Subsampling = "4:4:4",
    layout: Layout | None = None,
    out: npt.NDArray[np.uint8] | None = None,
    num_threads: int | None = None,
) -> npt.NDArray[np.uint8]:
    """Compress and decompress an image: the samples that libjpeg-turbo returns, without a file.

    The result equals, in every sample, Pillow's ``save(file, "JPEG", qtables=[qtable], subsampling=0, keep_rgb=True)``
    followed by ``open`` (with ``colorspace="ycbcr"``: the same without ``keep_rgb``, and with the subsampling that is
    given), where Pillow is built on libjpeg-turbo. It never fails, not even on images for which libjpeg's Huffman coder
    fails.

    Parameters
    ----------
    image : ndarray of uint8
        Samples 0..255, any strides, height and width from 1. If they are no multiples of 8, the last column and row
        are repeated for the transform, as libjpeg does, and the result is cropped. An empty batch gives an empty
        result.
    qtable : QTable, array_like or sequence of these
        One 8x8 table for all components, or one for each component: ``[luma, chroma, chroma]``. With "ycbcr", a grey
        image takes the first of them.
    colorspace : {"rgb", "ycbcr"}
        "rgb" codes the components as they are, any number of them. "ycbcr" codes 3 components as JFIF YCbCr, and 1
        component, which is grey, as it is.
    subsampling : {"4:4:4", "4:2:2", "4:2:0", "4:4:0"}
        Chroma subsampling, with "ycbcr" alone: none, along rows, in both directions (as in nearly all JPEG files), or
        along columns. Grey images have none, whatever is given. Chroma is averaged, and interpolated as libjpeg-turbo
        does by default ("fancy upsampling"). "4:4:0", which Pillow cannot write, equals OpenCV's.
    layout : {"HW", "HWC", "CHW", "NHWC", "NCHW"}, optional
        By default the channels-last layout for the array's number of dimensions, with at most 4 components.
    out : ndarray of uint8, optional
        Array for the result: of the shape of `image`, writable. It may be `image` itself, but not overlap it in part.
    num_threads : int, optional
        At most this many threads; fewer where the image is too small to gain from them. By default as many as OpenMP,
        the process's affinity and its control group's quota allow, and one inside a worker of a torch DataLoader. A
        process forked after threads were used here always uses one.

    Returns
    -------
    ndarray of uint8
        `out`, or a new array of the shape and the memory order of `image`.

    Raises
    ------
    TypeError
        If `image` or `out` is not an array of uint8, or `qtable` does not hold numbers.
    ValueError
        If a shape, `layout`, `colorspace`, `subsampling`, `qtable` or `num_threads` is not as above, or `out` overlaps.
    """
    if type(image) is not np.ndarray or image.dtype != UINT8:
        check_array("image", image, UINT8)
    axes, components, coding = plan(image.shape, layout, colorspace, subsampling)
    return roundtrip_with(image, axes, quantizers_for(qtable, components, colorspace), coding, out, num_threads)


def roundtrip_with(
    image: npt.NDArray[np.uint8],
    axes: Axes,
    quantizers: _core.Quantizers,
    coding: Coding,
    out: npt.NDArray[np.uint8] | None = None,
    num_threads: int | None = None,
) -> npt.NDArray[np.uint8]:
    """`roundtrip` after `image` and the tables were checked and prepared; `nnjpeg.transforms` calls it."""
    if out is not None:
        check_out(out, image)
    ycbcr, subsampling = coding
    return _core.roundtrip(image, out, axes, quantizers, ycbcr, thread_limit(num_threads), False, subsampling)


Coefficients = npt.NDArray[np.int16] | tuple[npt.NDArray[np.int16], ...]
"""One array, or with chroma subsampling one for each component."""


@overload
def forward(
    image: npt.NDArray[np.uint8],
    qtable: QTables,
    *,
    colorspace: Colorspace = "rgb",
    subsampling: Literal["4:4:4"] = "4:4:4",
    layout: Layout | None = None,
    num_threads: int | None = None,
) -> npt.NDArray[np.int16]: ...


@overload
def forward(
    image: npt.NDArray[np.uint8],
    qtable: QTables,
    *,
    colorspace: Colorspace = "rgb",
    subsampling: Subsampling,
    layout: Layout | None = None,
    num_threads: int | None = None,
) -> Coefficients: ...


def forward(
    image: npt.NDArray[np.uint8],
    qtable: QTables,
    *,
    colorspace: Colorspace = "rgb",
    subsampling: Subsampling = "4:4:4",
    layout: Layout | None = None,
    num_threads: int | None = None,
) -> Coefficients:
    """Transform and quantize: the coefficients that a JPEG file would hold.

    Parameters
    ----------
    image, qtable, colorspace, subsampling, layout, num_threads
        As for `roundtrip`.

    Returns
    -------
    ndarray of int16, or a tuple of three
        Values in -1024..1024. The shape is that of `image` with height and width counted in blocks, and (8, 8) at the
        end: natural order, vertical frequency first. With chroma subsampling (and an image that is not grey) there is
        one array for each of Y, Cb and Cr, without the axis of components, its height and width counted in blocks of
        that component. Blocks that a file adds to fill its last MCUs are left out.
    """
    check_array("image", image, UINT8)
    axes, components, (ycbcr, number) = plan(image.shape, layout, colorspace, subsampling)
    quantizers, threads = quantizers_for(qtable, components, colorspace), thread_limit(num_threads)
    if number == 0:
        coefficients = np.empty(_coefficient_shape(image.shape, axes), np.int16)
        _core.forward(image, (coefficients,), axes, quantizers, ycbcr, threads)
        return coefficients
    grids = _grids(image.shape, axes, number)
    parts = tuple(np.empty((*grid, 8, 8), np.int16) for grid in grids)
    _core.forward(image, parts, axes, quantizers, ycbcr, threads, number)
    return parts


def inverse(
    coefficients: Coefficients,
    qtable: QTables,
    *,
    size: tuple[int, int] | None = None,
    colorspace: Colorspace = "rgb",
    subsampling: Subsampling = "4:4:4",
    layout: Layout | None = None,
    num_threads: int | None = None,
) -> npt.NDArray[np.uint8]:
    """The samples that libjpeg-turbo decodes from quantized coefficients: ``inverse(forward(x, t), t)`` is
    ``roundtrip(x, t)`` for sizes that are multiples of 8.

    Parameters
    ----------
    coefficients : ndarray of int16, or a tuple of three
        As `forward` returns them. Any values are accepted: for those that no 8-bit image has, and for which
        libjpeg-turbo's instruction sets differ from each other, nothing overflows and samples are clamped.
    qtable, colorspace, subsampling, num_threads
        As for `roundtrip`.
    size : (height, width), optional
        Size of the image, to which whole blocks are cropped. By default nothing is cropped.
    layout : {"HW", "HWC", "CHW", "NHWC", "NCHW"}, optional
        Of the image.

    Returns
    -------
    ndarray of uint8
    """
    if isinstance(coefficients, (tuple, list)):
        return _from_parts(coefficients, size, layout, qtable, colorspace, subsampling, num_threads)
    blocks, image, axes = _from_coefficients(coefficients, INT16, UINT8, size, layout)
    components = components_of(image.shape, axes)
    ycbcr, number = coding_of(colorspace, subsampling, components)
    if number:
        raise TypeError(
            f"coefficients must be a tuple of three arrays for subsampling {subsampling!r}, got an array of shape "
            f"{coefficients.shape}"
        )
    quantizers = quantizers_for(qtable, components, colorspace)
    _core.inverse((blocks,), image, axes, quantizers, ycbcr, thread_limit(num_threads))
    return image


def _from_parts(
    parts: Sequence[npt.NDArray[np.int16]],
    size: tuple[int, int] | None,
    layout: Layout | None,
    qtable: QTables,
    colorspace: Colorspace,
    subsampling: Subsampling,
    num_threads: int | None,
) -> npt.NDArray[np.uint8]:
    """`inverse` of one array for each component."""
    ycbcr, number = coding_of(colorspace, subsampling, 3)
    if number == 0:
        raise TypeError(
            f"coefficients must be one array for subsampling '4:4:4', the default, got a {type(parts).__name__}"
        )
    if len(parts) != 3:
        raise ValueError(f"coefficients must be three arrays, one for each of Y, Cb and Cr, got {len(parts)}")
    for part in parts:
        _check_coefficients(part, INT16)
    grid = list(parts[0].shape[:-2])
    if layout is None:
        axis = len(grid)
    else:
        axis = LAYOUTS.get(layout, (-1, -1, -1, -1))[1]
        if axis < 0:
            accepted = [name for name in LAYOUTS if "C" in name]
            raise ValueError(f"layout must be one of {accepted} for three components, got {layout!r}")
    grid.insert(axis, 3)
    axes = axes_of("coefficients (with an axis of 3 components, without their last two axes)", tuple(grid), layout)
    height, width = check_size(size, grid[axes[2]], grid[axes[3]])
    shape = _with_size(tuple(grid), axes, height, width)
    for part, wanted in zip(parts, _grids(shape, axes, number), strict=True):
        if part.shape[:-2] != wanted:
            raise ValueError(
                f"coefficients must have shapes {', '.join(str((*g, 8, 8)) for g in _grids(shape, axes, number))} for "
                f"subsampling {subsampling!r}, got {', '.join(str(p.shape) for p in parts)}"
            )
    image = np.empty(shape, np.uint8)
    blocks = tuple(np.ascontiguousarray(_aligned(part)) for part in parts)
    quantizers = quantizers_for(qtable, 3, colorspace)
    _core.inverse(blocks, image, axes, quantizers, ycbcr, thread_limit(num_threads), number)
    return image


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
    """The inverse of `dct`, neither rounded nor clamped.

    Parameters
    ----------
    coefficients : ndarray of float32
        As `dct` returns them.
    size : (height, width), optional
        Size of the image, to which whole blocks are cropped. By default nothing is cropped.
    layout : {"HW", "HWC", "CHW", "NHWC", "NCHW"}, optional
        Of the image.

    Returns
    -------
    ndarray of float32
    """
    blocks, image, axes = _from_coefficients(coefficients, FLOAT32, FLOAT32, size, layout)
    _core.idct(blocks, image, axes)
    return image


def _check_coefficients(coefficients: npt.NDArray[Any], dtype: np.dtype[Any]) -> None:
    check_array("coefficients", coefficients, dtype)
    if coefficients.shape[-2:] != (8, 8):
        raise ValueError(f"coefficients must end in two axes of length 8, got shape {coefficients.shape}")


def _from_coefficients(
    coefficients: npt.NDArray[Any],
    dtype: np.dtype[Any],
    sample_dtype: np.dtype[Any],
    size: tuple[int, int] | None,
    layout: Layout | None,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], Axes]:
    """Coefficients as the core takes them, in blocks of 64 consecutive aligned elements; an image for the samples; its
    axes.
    """
    _check_coefficients(coefficients, dtype)
    grid = coefficients.shape[:-2]
    axes = axes_of("coefficients (without their last two axes)", grid, layout)
    shape = _with_size(grid, axes, *check_size(size, grid[axes[2]], grid[axes[3]]))
    return np.ascontiguousarray(_aligned(coefficients)), np.empty(shape, sample_dtype), axes


def _with_size(shape: tuple[int, ...], axes: Axes, height: int, width: int) -> tuple[int, ...]:
    """`shape` with another height and width."""
    lengths = list(shape)
    lengths[axes[2]], lengths[axes[3]] = height, width
    return tuple(lengths)


def _aligned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`array`, or a copy if its elements are not aligned."""
    if array.flags.c_contiguous and array.flags.aligned:
        return array
    return np.require(array, requirements="A") if all(s % array.itemsize == 0 for s in array.strides) else array.copy()


def _coefficient_shape(shape: tuple[int, ...], axes: Axes) -> tuple[int, ...]:
    return (*_with_size(shape, axes, -(-shape[axes[2]] // 8), -(-shape[axes[3]] // 8)), 8, 8)


def _grids(shape: tuple[int, ...], axes: Axes, subsampling: int) -> list[tuple[int, ...]]:
    """For each component of a subsampled image, the shape without the axis of components, counted in its blocks."""
    grids = []
    for h, v in ((1, 1), FACTORS[subsampling], FACTORS[subsampling]):
        grid = list(_with_size(shape, axes, -(-shape[axes[2]] // (8 * v)), -(-shape[axes[3]] // (8 * h))))
        del grid[axes[1]]
        grids.append(tuple(grid))
    return grids


def quantizers_for(qtable: QTables, components: int, colorspace: str) -> _core.Quantizers:
    """A caller's tables, checked and prepared for the core."""
    if isinstance(qtable, QTable):
        return qtable.quantizers
    if type(qtable) is np.ndarray and 64 <= qtable.size <= 4 * 64:
        dtype = qtable.dtype
        if not dtype.hasobject:
            return _quantizers_of_bytes(qtable.tobytes(), dtype, qtable.shape, components, colorspace)
    return _quantizers(qtable, components, colorspace)


@lru_cache(maxsize=256)  # an array is often the same in every call, and to check it takes longer than a small image
def _quantizers_of_bytes(
    data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], components: int, colorspace: str
) -> _core.Quantizers:
    return _quantizers(np.frombuffer(data, dtype).reshape(shape), components, colorspace)


def _quantizers(qtable: QTables, components: int, colorspace: str) -> _core.Quantizers:
    tables = tables_for(qtable, components, colorspace)
    return tables[0].quantizers if len(tables) == 1 else prepare([tables])


def prepare(tables: Sequence[Sequence[QTable]]) -> _core.Quantizers:
    """Tables by image (or one for all) and component (or one for all), ready for the core."""
    entries = b"".join([table.entries for image in tables for table in image])
    return _core.Quantizers(np.frombuffer(entries, np.uint8).astype(np.uint16).reshape(len(tables), -1, 64))
