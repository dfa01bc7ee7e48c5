"""The codec on images of every type: PIL images, tensors, tv_tensors and arrays, with tables at a quality."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2.functional import is_pure_tensor

from nnjpeg import _core, ops
from nnjpeg._arguments import (
    LAYOUTS,
    UINT8,
    Axes,
    Coding,
    Colorspace,
    Subsampling,
    axes_of,
    check_array,
    check_components,
    coding_of,
    components_of,
    default_layout,
    number,
)
from nnjpeg._operands import values_are_hidden
from nnjpeg._pil import roundtrip_image
from nnjpeg._threads import tensor_threads
from nnjpeg.codec import prepare, roundtrip_with
from nnjpeg.ops import Gradient, Precision
from nnjpeg.qtable import QTable, QTables, steps_at, tables_for

__all__ = ["Image", "Options", "Qualities", "code", "code_bytes"]

Image = TypeVar("Image", Tensor, PIL.Image.Image, npt.NDArray[np.uint8])

Qualities = float | npt.NDArray[np.integer[Any]] | npt.NDArray[np.floating[Any]] | Tensor
"""One quality for all images, or an array or tensor of one dimension with one for each."""

_Known = float | npt.NDArray[np.float64] | None
"""Qualities that were read and are in range; None: tables are used as they are."""


class Options(NamedTuple):
    """The arguments of `nnjpeg.transforms.nn_jpeg` by the same names."""

    colorspace: Colorspace
    subsampling: Subsampling
    gradient: Gradient
    precision: Precision
    components: int | None = None


def code(
    image: Image,
    qtable: QTables | Tensor,
    quality: Qualities | None,
    options: Options,
    steps: Tensor | None = None,
) -> Image:
    """`nnjpeg.transforms.nn_jpeg`. `steps`: the tables as a tensor, for images that need one on its device."""
    if isinstance(image, Tensor):
        if not (is_pure_tensor(image) or isinstance(image, (tv_tensors.Image, tv_tensors.Video))):
            raise TypeError(f"image must be a tensor, a tv_tensors Image or a Video, got {type(image).__name__}")
        return _tensor(image, qtable, quality, options, steps)
    if isinstance(qtable, Tensor) or isinstance(quality, Tensor):
        name = "qtable" if isinstance(qtable, Tensor) else "quality"
        raise TypeError(f"{name} may be a tensor only where image is one, got a {type(image).__name__} as image")
    if isinstance(image, PIL.Image.Image):
        components = _check_picture(image)
        coding = coding_of(options.colorspace, options.subsampling, components)
        quantizers = _quantizers(qtable, components, options.colorspace, _known(quality), 1, 1)
        return roundtrip_image(image, quantizers, coding)
    if isinstance(image, np.ndarray):
        return _array(image, qtable, _known(quality), options)
    raise TypeError(
        f"image must be a PIL image, a tensor, a tv_tensors Image or Video, or an ndarray, got {type(image).__name__}"
    )


def code_bytes(
    image: Tensor, tables: tuple[QTable, ...], quality: Any, colorspace: Colorspace, subsampling: Subsampling
) -> Tensor:
    """`code` of a tensor that is at hand (`ops.is_at_hand`), by the shortest way where there is one."""
    axes, components, (ycbcr, number) = _plan(image.shape, colorspace, subsampling)
    if components == 1 and colorspace == "ycbcr":
        tables = tables[:1]
    if axes is None or len(tables) not in (1, components) or isinstance(quality, np.ndarray):
        return code(image, tables, quality, Options(colorspace, subsampling, "straight-through", "uint8"))
    quantizers = tables[0].quantizers if quality is None and len(tables) == 1 else _prepared(tables, quality)
    threads = tensor_threads(image.numel())
    return torch.from_numpy(_core.roundtrip(image.numpy(), None, axes, quantizers, ycbcr, threads, False, number))


@lru_cache(maxsize=1024)
def _plan(shape: tuple[int, ...], colorspace: Colorspace, subsampling: Subsampling) -> tuple[Axes | None, int, Coding]:
    """The axes of a tensor (None if it is empty or a batch of batches), its components and how they are coded."""
    ops.check_shape(shape, None)
    axes = LAYOUTS["CHW"] if len(shape) == 3 else LAYOUTS["NCHW"] if len(shape) == 4 and shape[0] else None
    return axes, shape[-3], coding_of(colorspace, subsampling, shape[-3])


def _check_picture(image: PIL.Image.Image) -> int:
    """The number of components of a PIL image, if it can be coded."""
    if 0 in image.size:
        raise ValueError(f"image must have width and height of at least 1, got {image.width} x {image.height}")
    if image.mode == "RGB":
        return 3
    if image.mode == "L":
        return 1
    if image.mode.startswith("I;16"):
        advice = "; bring it to 8 bits by PIL.Image.fromarray(numpy.rint(numpy.asarray(image) / 257).astype('uint8'))"
    elif image.mode in ("I", "F"):
        advice = f"; scale its values, which now run from {image.getextrema()[0]} to {image.getextrema()[1]}, to 0..255"
    elif image.mode in ("La", "RGBa"):
        advice = f"; image.convert({image.mode.upper()!r}).convert('RGB') drops its transparency"
    elif image.has_transparency_data:
        advice = "; image.convert('RGB') drops its transparency, or paste it on a background"
    else:
        advice = f"; image.convert({'L' if image.mode == '1' else 'RGB'!r})"
    raise ValueError(f"image must be a PIL image in mode L or RGB, got {image.mode}{advice}")


def _known(quality: float | npt.NDArray[Any] | None) -> _Known:
    if quality is None:
        return None
    if not isinstance(quality, np.ndarray):
        return number("quality", quality, 1, 100)
    if quality.dtype.kind not in "iuf" or quality.ndim > 1:
        raise _not_qualities(quality)
    wrong = quality[~((quality >= 1) & (quality <= 100))]  # True for NaN
    if wrong.size:
        raise ValueError(f"quality must be a number in 1..100, got {wrong.flat[0]}")
    return quality.astype(np.float64).reshape(-1)


def _maybe_known(quality: Tensor) -> _Known | Tensor:
    """A tensor where the values are not to be read."""
    if quality.dtype.is_complex or quality.dtype == torch.bool or quality.ndim > 1:
        raise _not_qualities(quality)
    if quality.device.type != "cpu" or values_are_hidden():
        return quality.reshape(-1)
    if quality.requires_grad:  # an optimizer may have moved it out of its range
        known = _known(quality.detach().double().clamp(1, 100).numpy())
        return quality.reshape(-1) if torch.is_grad_enabled() else known
    return _known((quality.double() if quality.is_floating_point() else quality).numpy())


def _not_qualities(quality: npt.NDArray[Any] | Tensor) -> TypeError:
    return TypeError(
        "quality must be a number, or an array or tensor of numbers of at most one dimension, got "
        f"{quality.dtype} of shape {tuple(quality.shape)}"
    )


def _check_count(qualities: int, clips: int) -> None:
    if qualities != clips:
        raise ValueError(f"quality must be one for all, or one for each of {clips} images, got {qualities}")


def _tensor(
    image: Tensor, qtable: QTables | Tensor, quality: Qualities | None, options: Options, steps: Tensor | None
) -> Tensor:
    coding = ops.check(image, *options)
    qtable = ops.by_component(qtable, options.colorspace, image.shape[-3])
    if isinstance(quality, np.ndarray) and torch.compiler.is_compiling():
        quality = torch.from_numpy(quality)  # which is all that a graph knows of arrays
    qualities = _maybe_known(quality) if isinstance(quality, Tensor) else _known(quality)
    pure = is_pure_tensor(image)
    plain = image if pure else image.as_subclass(Tensor)
    frames = image.shape[-4] if not pure and isinstance(image, tv_tensors.Video) and image.ndim > 3 else 1
    if ops.is_at_hand(plain) and isinstance(qtable, (QTable, list, tuple)) and not isinstance(qualities, Tensor):
        batch = plain if plain.ndim <= 4 else plain.reshape(math.prod(plain.shape[:-3]), *plain.shape[-3:])
        axes = LAYOUTS["CHW" if batch.ndim == 3 else "NCHW"]
        threads = tensor_threads(batch.numel())
        pixels = _pixels(batch.numpy(), axes, coding, qtable, options.colorspace, qualities, frames, threads)
        output = torch.from_numpy(pixels)
        output = output if plain.ndim <= 4 else output.reshape(plain.shape)
    else:
        if steps is not None and steps.device == image.device:
            qtable = steps
        tables = _tables(qtable, options.colorspace, qualities, plain, frames)
        output = ops.apply(plain, tables, coding, options.gradient, options.precision)
    return output if pure else tv_tensors.wrap(output, like=image)


def _tables(
    qtable: QTables | Tensor, colorspace: Colorspace, quality: _Known | Tensor, image: Tensor, frames: int
) -> Tensor:
    """Tables at their quality as the operator wants them."""
    images, components = math.prod(image.shape[:-3]), image.shape[-3]
    if isinstance(quality, (int, float)) and not isinstance(qtable, Tensor) and not torch.compiler.is_compiling():
        qtable = [table.at_quality(quality) for table in tables_for(qtable, components, colorspace)]
        quality = None
    tables = ops.tables_tensor(qtable, colorspace, images, components, image.device)
    if quality is None:
        return tables
    if not isinstance(quality, Tensor):
        quality = torch.from_numpy(np.atleast_1d(np.float64(quality)))
    if quality.shape[0] != 1:
        _check_count(quality.shape[0], images // frames)
        quality = quality.repeat_interleave(frames) if frames > 1 else quality
    return ops.at_quality(tables, quality)


def _array(pixels: npt.NDArray[np.uint8], qtable: QTables, quality: _Known, options: Options) -> npt.NDArray[np.uint8]:
    check_array("image", pixels, UINT8)
    layout = default_layout("image", pixels.shape)
    reading = f"its layout is {layout}, that of arrays with {pixels.ndim} dimensions"
    count = pixels.shape[-1] if pixels.ndim > 2 else 1
    check_components("image", pixels.shape, count, options.components, reading)
    axes = axes_of("image", pixels.shape, layout)
    coding = coding_of(options.colorspace, options.subsampling, count)
    return _pixels(pixels, axes, coding, qtable, options.colorspace, quality, 1)


def _pixels(
    pixels: npt.NDArray[np.uint8],
    axes: Axes,
    coding: Coding,
    qtable: QTables,
    colorspace: Colorspace,
    quality: _Known,
    frames: int,
    threads: int | None = None,
) -> npt.NDArray[np.uint8]:
    """The round trip of images that are checked and form clips of `frames` each."""
    images = len(pixels) if axes[0] >= 0 else 1
    if images == 0:
        return pixels.copy()
    components = components_of(pixels.shape, axes)
    quantizers = _quantizers(qtable, components, colorspace, quality, images // frames, frames)
    return roundtrip_with(pixels, axes, quantizers, coding, None, threads)


def _quantizers(
    qtable: QTables, components: int, colorspace: Colorspace, quality: _Known, clips: int, frames: int
) -> _core.Quantizers:
    """Tables at one quality, or at one for each clip, ready for the core."""
    if quality is None and isinstance(qtable, QTable):
        return qtable.quantizers
    ready = type(qtable) is tuple and len(qtable) == components and set(map(type, qtable)) == {QTable}
    tables: tuple[Any, ...] = qtable if ready else tuple(tables_for(qtable, components, colorspace))  # type: ignore[assignment]
    if isinstance(quality, np.ndarray):
        if len(quality) != 1:
            _check_count(len(quality), clips)
            steps = steps_at(np.stack([table.steps for table in tables]), quality[:, None, None, None])
            return _core.Quantizers(steps.reshape(len(quality), len(tables), 64).repeat(frames, axis=0))
        quality = float(quality[0])
    return _prepared(tables, quality)


@lru_cache(maxsize=256)
def _prepared(tables: tuple[QTable, ...], quality: float | None) -> _core.Quantizers:
    if quality is not None:
        tables = tuple(table.at_quality(quality) for table in tables)
    return tables[0].quantizers if len(tables) == 1 else prepare([tables])
