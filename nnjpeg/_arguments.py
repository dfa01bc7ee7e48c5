"""Checks of what callers pass: every error names the argument, the value and what is accepted."""

from __future__ import annotations

import operator
import sys
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Axes = tuple[int, int, int, int]
Coding = tuple[bool, int]
"""Whether components are coded as YCbCr, and the subsampling, as its place in `SUBSAMPLINGS`."""
Colorspace = Literal["rgb", "ycbcr"]
Layout = Literal["HW", "HWC", "CHW", "NHWC", "NCHW"]
Subsampling = Literal["4:4:4", "4:2:2", "4:2:0", "4:4:0"]

# For images, components, rows and columns: the axis that holds it, or -1.
LAYOUTS: dict[str, Axes] = {
    "HW": (-1, -1, 0, 1),
    "HWC": (-1, 2, 0, 1),
    "CHW": (-1, 0, 1, 2),
    "NHWC": (0, 3, 1, 2),
    "NCHW": (0, 1, 2, 3),
}
# How many times as fine luma is as chroma, along columns and along rows; the core numbers them in this order.
SUBSAMPLINGS: dict[str, tuple[int, int]] = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2), "4:4:0": (1, 2)}
FACTORS = tuple(SUBSAMPLINGS.values())
# Compared with dtype objects, which is faster than with the types.
UINT8, INT16, FLOAT32 = np.dtype(np.uint8), np.dtype(np.int16), np.dtype(np.float32)

_DEFAULT_LAYOUTS = {2: "HW", 3: "HWC", 4: "NHWC"}
_MOST_COMPONENTS_BY_DEFAULT = 4


def integer(name: str, value: Any, low: int, high: int) -> int:
    """`value` as an int within low..high."""
    if type(value) is int and low <= value <= high:
        return value
    accepted = f"{name} must be an integer in {low}..{high}"
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{accepted}, got {value!r}") from None
    if not low <= number <= high:
        raise ValueError(f"{accepted}, got {number}")
    return number


def flag(name: str, value: Any) -> bool:
    """`value` as a bool, where it is one: 1, None or a text may be meant for another argument."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def number(name: str, value: Any, low: int, high: int) -> int | float:
    """`value` as an int or a float within low..high."""
    if type(value) is int and low <= value <= high:
        return value
    accepted = f"{name} must be a number in {low}..{high}"
    if isinstance(value, (float, np.floating)):
        found: int | float = float(value)
    else:
        try:
            if isinstance(value, (bool, np.bool_)):
                raise TypeError
            found = operator.index(value)
        except TypeError:
            raise TypeError(f"{accepted}, got {value!r}") from None
    if not low <= found <= high:
        raise ValueError(f"{accepted}, got {found}")
    return found


def check_array(name: str, array: Any, *dtypes: np.dtype[Any]) -> None:
    if not isinstance(array, np.ndarray):
        library = type(array).__module__.partition(".")[0]
        takers = {
            "PIL": "; nnjpeg.transforms.nn_jpeg takes PIL images",
            "torch": "; nnjpeg.transforms.nn_jpeg and nnjpeg.ops.roundtrip take tensors",
            "torchvision": "; nnjpeg.transforms.nn_jpeg takes tv_tensors",
        }
        hint = takers.get(library, "") if name == "image" else ""
        raise TypeError(f"{name} must be a numpy.ndarray, got {type(array).__name__}{hint}")
    if array.dtype not in dtypes:
        accepted = " or ".join(dtype.name for dtype in dtypes)
        hint = ""
        if array.dtype.kind == "f" and dtypes == (UINT8,):
            hint = "; a float image in [0, 1] becomes one by numpy.rint(255 * image).astype(numpy.uint8)"
        raise TypeError(f"{name} must have dtype {accepted}, got {array.dtype}{hint}")


def default_layout(name: str, shape: tuple[int, ...]) -> str:
    default = _DEFAULT_LAYOUTS.get(len(shape))
    if default is None:
        raise ValueError(f"{name} must have 2 (HW), 3 (HWC) or 4 (NHWC) dimensions, got shape {shape}")
    return default


def check_components(name: str, shape: tuple[int, ...], count: int, components: int | None, reading: str) -> None:
    """That an image has `components`, where a function takes them in place of a layout; by default at most four.

    `reading` says how `shape` was read to have `count` of them.
    """
    if components is None:
        if count > _MOST_COMPONENTS_BY_DEFAULT:
            raise ValueError(
                f"{name} of shape {tuple(shape)} has {count} components if {reading}; if it does have so many, give "
                f"components={count}"
            )
    elif integer("components", components, 1, sys.maxsize) != count:
        raise ValueError(
            f"{name} must have {components} components, as components says, got {count}: shape {tuple(shape)}"
        )


def axes_of(name: str, shape: tuple[int, ...], layout: str | None) -> Axes:
    if layout is None:
        default = default_layout(name, shape)
        if len(shape) > 2 and shape[-1] > _MOST_COMPONENTS_BY_DEFAULT:
            raise ValueError(
                f"{name} of shape {shape} has {shape[-1]} components if its layout is {default}, the default for "
                f"{len(shape)} dimensions; give layout={default!r} if that is meant, else one of {sorted(LAYOUTS)}"
            )
        axes = LAYOUTS[default]
    else:
        if layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {sorted(LAYOUTS)}, got {layout!r}")
        axes = LAYOUTS[layout]
        if len(shape) != len(layout):
            raise ValueError(f"{name} of layout {layout} must have {len(layout)} dimensions, got shape {shape}")
    if 0 in shape and any(shape[axis] == 0 for axis in axes[1:] if axis >= 0):
        raise ValueError(f"{name} must have height, width and components of at least 1, got shape {shape}")
    return axes


def components_of(shape: tuple[int, ...], axes: Axes) -> int:
    return shape[axes[1]] if axes[1] >= 0 else 1


def is_ycbcr(colorspace: str, components: int) -> bool:
    """Whether components are coded as YCbCr; grey, which is Y alone, is coded as it is."""
    if colorspace == "rgb":
        return False
    if colorspace != "ycbcr":
        raise ValueError(f"colorspace must be 'rgb' or 'ycbcr', got {colorspace!r}")
    if components not in (1, 3):
        raise ValueError(f"image must have 3 components, or 1 (grey), to be coded as YCbCr, got {components}")
    return components == 3


def check_subsampling(subsampling: str, colorspace: str, components: int) -> Subsampling:
    """The subsampling that an image is coded with: grey has none."""
    if subsampling not in SUBSAMPLINGS:
        raise ValueError(f"subsampling must be one of {', '.join(map(repr, SUBSAMPLINGS))}, got {subsampling!r}")
    if components == 1:
        return "4:4:4"
    if subsampling != "4:4:4" and colorspace != "ycbcr":
        raise ValueError(f"subsampling {subsampling!r} needs colorspace 'ycbcr', got {colorspace!r}")
    return subsampling  # type: ignore[return-value]


def coding_of(colorspace: str, subsampling: str, components: int) -> Coding:
    """How an image is coded."""
    ycbcr = is_ycbcr(colorspace, components)
    if subsampling == "4:4:4":
        return ycbcr, 0
    return ycbcr, FACTORS.index(SUBSAMPLINGS[check_subsampling(subsampling, colorspace, components)])


def plan(shape: tuple[int, ...], layout: str | None, colorspace: str, subsampling: str) -> tuple[Axes, int, Coding]:
    """The axes of an image, how many components it has, and how they are coded."""
    try:
        return _plan(shape, layout, colorspace, subsampling)
    except TypeError:  # what has no hash is no name either, and the error says which
        return _plan.__wrapped__(shape, layout, colorspace, subsampling)


@lru_cache(maxsize=1024)  # images of few shapes come again and again
def _plan(shape: tuple[int, ...], layout: str | None, colorspace: str, subsampling: str) -> tuple[Axes, int, Coding]:
    axes = axes_of("image", shape, layout)
    components = components_of(shape, axes)
    return axes, components, coding_of(colorspace, subsampling, components)


def check_out(out: Any, image: npt.NDArray[np.uint8]) -> None:
    check_array("out", out, UINT8)
    if out.shape != image.shape:
        raise ValueError(f"out must have the shape of image, {image.shape}, got {out.shape}")
    flags = out.flags
    if not flags.writeable:
        raise ValueError("out must be writable, got a read-only array")
    if 0 in out.strides and any(s == 0 and length > 1 for s, length in zip(out.strides, out.shape, strict=True)):
        raise ValueError("out must have an element of its own for each sample, got a broadcast array")
    if out is image or (flags.owndata and image.flags.owndata):
        return
    if np.may_share_memory(out, image):
        same = out.ctypes.data == image.ctypes.data and out.strides == image.strides
        if not same and _overlap(out, image):
            raise ValueError("out must be image itself or not overlap it, got a partly overlapping array")


def _overlap(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    try:
        return bool(np.shares_memory(a, b, max_work=100_000))  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def check_size(size: tuple[int, int] | None, rows: int, columns: int) -> tuple[int, int]:
    if size is None:
        return 8 * rows, 8 * columns
    try:
        height, width = (operator.index(length) for length in size)
    except (TypeError, ValueError):
        raise TypeError(f"size must be a pair of integers (height, width), got {size!r}") from None
    if not (8 * rows - 8 < height <= 8 * rows and 8 * columns - 8 < width <= 8 * columns):
        raise ValueError(
            f"size must have a height in {8 * rows - 7}..{8 * rows} and a width in {8 * columns - 7}..{8 * columns} "
            f"for {rows} x {columns} blocks, got {height} x {width}"
        )
    return height, width
