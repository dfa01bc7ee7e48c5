"""The codec on torch tensors, with gradients: `roundtrip`, and `rate`, what a file would weigh.

These functions check their arguments, and accept more forms of them than the operators do that they call
(`nnjpeg._roundtrip`, `nnjpeg._rate`).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from nnjpeg import _plain, _rate
from nnjpeg._arguments import FACTORS, Coding, Colorspace, Subsampling, check_components, coding_of, flag
from nnjpeg._operands import OPERATOR_DTYPES, has_tangent, in_functorch, values_are_hidden
from nnjpeg._roundtrip import differentiable, double, plain
from nnjpeg.files import check_storable, writable_subsampling
from nnjpeg.qtable import NN_TABLE, QTable, QTables, tables_for

__all__ = ["Gradient", "Precision", "rate", "roundtrip"]

Gradient = Literal["straight-through", "cubic", "none"]
Precision = Literal["uint8", "float"]

# Tables as tensors


@lru_cache(maxsize=256)
def _cached_tables(tables: tuple[QTable, ...], device: torch.device) -> Tensor:
    return steps_of([tables], device)


def steps_of(tables: Sequence[Sequence[QTable]], device: torch.device) -> Tensor:
    """Tables by image and component as the operator wants them, without waiting for the device."""
    entries = [[list(table.entries) for table in row] for row in tables]
    steps = torch.tensor(entries, dtype=torch.uint8, device="cpu").reshape(len(tables), -1, 8, 8)
    return steps.to(device, non_blocking=True)


def _has_derivative(*tensors: Tensor) -> bool:
    """Whether anybody may ask for the derivative by one of them."""
    return any(t.requires_grad for t in tensors) or in_functorch() or has_tangent(*tensors)


def at_quality(steps: Tensor, quality: Tensor) -> Tensor:
    """`QTable.at_quality` on tensors: steps (B or 1, C or 1, 8, 8), a quality for each image, or one, (B,).

    Of floats with a derivative, it passes straight through every rounding and clamp.
    """
    if not (quality.dtype.is_floating_point or steps.dtype.is_floating_point):
        q = quality.to(steps.device, torch.int32, non_blocking=True).clamp(1, 100)[:, None, None, None]
        scale = torch.where(q < 50, 5000 // q, 200 - 2 * q)
        return ((steps.to(torch.int32) * scale + 50) // 100).clamp(1, 255).to(torch.uint8)
    # In double precision, as in Python, but on mps, which does not have it.
    working = torch.float32 if steps.device.type == "mps" else torch.float64
    given = quality.to(working).to(steps.device, non_blocking=True)[:, None, None, None]
    whole, q = _plain.steps_of(steps).to(working), given.clamp(1, 100)
    scale = torch.where(q < 50, (5000 / q).floor(), 200 - 2 * q)
    scaled = ((whole * scale + 50) / 100).floor().clamp(1, 255)
    if not _has_derivative(steps, quality):
        return scaled.to(torch.uint8)
    q = q.detach() + _plain.zeros_with_gradient_of(given)
    smooth = _plain.straight_steps(steps) * torch.where(q < 50, 5000 / q, 200 - 2 * q) / 100
    return (scaled.detach() + _plain.zeros_with_gradient_of(smooth)).to(torch.float32)


def _tensor_tables(qtable: Tensor, images: int, components: int, device: torch.device) -> Tensor:
    """A tensor of tables as (B or 1, C or 1, 8, 8)."""
    if qtable.dtype.is_complex or qtable.dtype == torch.bool:
        raise TypeError(f"qtable must be a tensor of integers in 1..255, or of floats, got {qtable.dtype}")
    shape = tuple(qtable.shape)
    if shape[-2:] != (8, 8) or len(shape) > 4:
        raise ValueError(f"qtable must have shape (8, 8), (C, 8, 8), (B, 8, 8) or (B, C, 8, 8), got {shape}")
    leading = shape[:-2]
    if len(leading) == 1 and leading[0] == images == components > 1:
        raise ValueError(
            f"qtable of shape {shape} could be one table for each of {images} images or of {components} components: "
            f"give it shape ({images}, 1, 8, 8) or (1, {components}, 8, 8)"
        )
    if len(leading) == 1 and leading[0] != components:
        leading = (leading[0], 1)
    leading = (1,) * (2 - len(leading)) + leading
    if leading[0] not in (1, images) or leading[1] not in (1, components):
        raise ValueError(
            f"qtable must have shape (8, 8), (C, 8, 8), (B, 8, 8) or (B, C, 8, 8) where B is {images} and C is "
            f"{components}, got {shape}"
        )
    if qtable.dtype.is_floating_point:
        if qtable.device.type == "cpu" and not values_are_hidden() and qtable.isnan().any():
            raise ValueError("qtable must hold numbers, got nan")
        qtable = qtable.to(torch.float32)
    elif qtable.dtype != torch.uint8:
        qtable = qtable.to(torch.int64)  # torch has no minimum of uint16, and no clamp of int8 to 255
        if qtable.device.type == "cpu" and not values_are_hidden() and qtable.numel():
            low, high = qtable.min().item(), qtable.max().item()
            if low < 1 or high > 255:
                raise ValueError(f"qtable entries must be integers in 1..255, got {low if low < 1 else high}")
        qtable = qtable.clamp(1, 255).to(torch.uint8)
    return qtable.reshape(*leading, 8, 8).contiguous().to(device, non_blocking=True)


def stacked(qtable: Any) -> Any:
    """A list of tables with tensors among them as one tensor (C, 8, 8), on the first one's device; all else as it is.

    Thus a table in a list keeps its gradient.
    """
    if not isinstance(qtable, (list, tuple)):
        return qtable
    tensors = [table for table in qtable if isinstance(table, Tensor) and table.ndim > 1]
    if not tensors:
        return qtable
    for number, table in enumerate(qtable):
        if isinstance(table, Tensor) and table.shape != (8, 8):
            raise ValueError(f"qtable[{number}] must have shape (8, 8), got {tuple(table.shape)}")
    whole = [t if isinstance(t, Tensor) else torch.from_numpy(QTable(t).steps.astype(np.int64)) for t in qtable]
    return torch.stack([table.to(tensors[0].device) for table in whole])


def by_component(qtable: Any, colorspace: Colorspace, components: int) -> Any:
    """`stacked`, as (1, C, 8, 8), so that nobody takes tables of components for tables of images."""
    several = stacked(qtable)
    if several is qtable:
        return qtable
    grey = components == 1 and colorspace == "ycbcr"  # which has luma alone
    return several[None, :1] if grey else several[None]


def tables_tensor(
    qtable: QTables | Tensor, colorspace: Colorspace, images: int, components: int, device: torch.device
) -> Tensor:
    """Any kind of table argument as the operator wants it."""
    qtable = by_component(qtable, colorspace, components)
    if isinstance(qtable, Tensor):
        return _tensor_tables(qtable, images, components, device)
    if isinstance(qtable, np.ndarray) and qtable.ndim > 2:
        steps = np.asarray([QTable(table).steps for table in qtable.reshape(-1, *qtable.shape[-2:])], np.uint8)
        return _tensor_tables(torch.from_numpy(steps.reshape(qtable.shape)), images, components, device)
    tables = tuple(tables_for(qtable, components, colorspace))
    return steps_of([tables], device) if torch.compiler.is_compiling() else _cached_tables(tables, device)


def check_choice(name: str, value: Any, choices: Any) -> None:
    if value not in choices.__args__:
        accepted = ", ".join(map(repr, choices.__args__))
        raise ValueError(f"{name} must be one of {accepted}, got {value!r}")


def roundtrip(
    image: Tensor,
    qtable: QTables | Tensor = NN_TABLE,
    *,
    colorspace: Colorspace = "rgb",
    subsampling: Subsampling = "4:4:4",
    gradient: Gradient = "straight-through",
    precision: Precision = "uint8",
    components: int | None = None,
) -> Tensor:
    """Compress and decompress a tensor where it is, with a gradient.

    On a CUDA device the work is put on the current stream, and nothing waits for it. Works under `torch.compile`
    (``fullgraph=True``), `torch.export`, `torch.func` and autocast (which leaves the dtype alone); `torch.onnx.export`
    writes it as nodes of the standard.

    Parameters
    ----------
    image : Tensor
        Shape (..., C, H, W), any strides; height and width from 1. Either uint8, 0..255: the samples of
        `nnjpeg.roundtrip`, the same bits on every device. Or float32, float16, bfloat16 (computed in float32) or
        float64 (in plain torch operations, slow; for checks) in [0, 1]; see `precision`.
    qtable : QTable, array_like or tensor, or a sequence of these
        1..255, of shape (8, 8), (C, 8, 8), (B, 8, 8) or (B, C, 8, 8), where B counts the images of all leading
        dimensions. Where B equals C, a stack of three dimensions could mean both, and is refused. A sequence is one for
        each component, of which a grey image with "ycbcr" takes the first. Steps in a tensor are not read back from an
        accelerator, nor under `torch.compile` and `torch.func`, so they are not checked there: 0 and NaN count as 1,
        and integers wider than 8 bits are clamped to 1..255. Floats in a tensor are rounded to the nearest integer and
        clamped to 1..255 on every device, and may require a gradient; see `gradient` and the notes.
    colorspace, subsampling
        As for `nnjpeg.roundtrip`.
    gradient : {"straight-through", "cubic", "none"}
        Of a float image. "straight-through": the transform counts as the identity (BPDA; Athalye et al., 2018; the
        attacker of the paper's section 4.3). "cubic": the rounding of coefficients counts as
        u -> round(u) + (u - round(u))^3 (Shin and Song, 2017), and the gradient is the exact derivative of that,
        through the DCT, the clamps, the padding and the subsampling. "none": the result has none. Of tables of floats,
        for a coefficient c with step q that comes out as q r(c / q): the derivative by q is r - u r' at u = c / q, with
        r' = 1 for "straight-through", thus round(u) - u, and with the cubic r for "cubic". It meets the gradient of
        that coefficient, the exact transpose of decoding, clamps and subsampling included, and is added up over all
        blocks that share the step. With either precision u is of the samples as they are, in floating point: an image
        that is not on n / 255 is rounded for the result, but not for this gradient. It matters at steps below about 5.
    precision : {"uint8", "float"}
        For a float image. "uint8": samples are rounded to n / 255 (ties up), take the way of uint8 and come back as
        n / 255: the transform that is deployed, bit for bit, with the gradient that was asked for; this is what an
        attack should use. "float": the transform in single precision, its result not rounded, but clamped to [0, 1];
        with "cubic", coefficients are rounded by the cubic in the result too. How far the two are apart: with the
        default table, 4% of the samples of a photograph differ after rounding (3.6 to 4.4% on those that tests use),
        some by 20 levels, since a coefficient next to half a step falls the other way.
    components : int, optional
        C, needed where it is above 4: an image in channels-last order would seem to have so many.

    Returns
    -------
    Tensor
        Of the shape, dtype, device and memory format of `image`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    NotImplementedError
        If one of the notes' limits is met.

    Notes
    -----
    Samples outside [0, 1] count as the nearer end, infinities too; where they lie far outside, as in an image of 0..255
    or one that was normalized, a warning says so once (on the CPU; not every call is checked). NaN counts as 0 with
    ``precision="uint8"``; with ``"float"`` it makes its block (of all components that are coded together) NaN, and of
    subsampled chroma the samples beside the block as well.

    The gradient of a table passes straight through the rounding of its steps and through their clamp to 1..255, where
    the clamp is active too: the result does not change with such a step, but one that has reached an end can come back.
    An optimizer can also move it further away, from where it takes long to come back; `table.clamp_(1, 255)` under
    `torch.no_grad()` after each of its steps prevents that. The gradient of a batch of bytes is none, since the result
    is bytes.

    Forward-mode differentiation (`torch.func.jvp`, `jacfwd`, `hessian`, `torch.autograd.forward_ad`) works in eager
    mode. Under `torch.compile` it is an error.
    """
    coding = check(image, colorspace, subsampling, gradient, precision, components)
    tables = tables_tensor(qtable, colorspace, math.prod(image.shape[:-3]), image.shape[-3], image.device)
    return apply(image, tables, coding, gradient, precision)


def rate(
    image: Tensor,
    qtable: QTables | Tensor,
    *,
    colorspace: Colorspace = "rgb",
    subsampling: Subsampling = "4:4:4",
    optimize: bool = False,
) -> Tensor:
    """The size of the JPEG file of each image in bits, with a gradient: what `nnjpeg.encode` writes, counted exactly.

    Parameters
    ----------
    image : Tensor
        Shape (..., C, H, W) as for `roundtrip`, of 1 or 3 components, sides up to 65500: uint8, or floats in [0, 1],
        which are rounded to n / 255 first.
    qtable
        As for `roundtrip`. A tensor of floats may require a gradient.
    colorspace, subsampling, optimize
        As for `nnjpeg.encode`.

    Returns
    -------
    Tensor
        float32 of shape (...), on the image's device: 8 times `nnjpeg.coded_size`, headers and all; exact up to 2 MiB,
        rounded to 24 bits above. Differentiable once, by tables of floats and by images of floats.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or as `nnjpeg.encode`.

    Notes
    -----
    A size has no derivative, so the gradient is that of its mean where steps and samples vary a little. The number of
    bits jumps where a coefficient is rounded to another integer. A jump counts the bits of the coefficient's code and
    value, after less before; where the coefficient becomes 0, or stops being 0, it also counts the change of the next
    code or of the end of the block. The codes are those of the image: the standard ones, or with `optimize` those made
    for it. Each jump is spread over the coefficients near it. DC coefficients are coded as differences. Whole bytes and
    the stuffing of 0xFF are left out. Through the rounding of steps, their clamp to 1..255 and the rounding of samples
    the gradient passes straight. It predicts the change of a file's size for changes of a step by 10 to 25%; a single
    step that changes by 1 can change the size of one file in the other direction.

    Forward-mode differentiation works as for `roundtrip`.

    Files are counted on the CPU: an image on another device is copied there, and the call waits for it.
    """
    _check_tensor(image)
    check_shape(image.shape, None)
    leading, components = image.shape[:-3], image.shape[-3]
    check_storable("image", tuple(image.shape), (-1, image.ndim - 3, image.ndim - 2, image.ndim - 1))
    ycbcr, factors = coding_of(colorspace, writable_subsampling(subsampling, colorspace, components), components)
    if image.dtype != torch.uint8:
        if _range.is_due():
            _range.check(image)
        image = image.float()
    tables = tables_tensor(qtable, colorspace, math.prod(leading), components, image.device)
    batch = image.reshape(math.prod(leading), *image.shape[-3:])
    return _rate.rate(batch, tables, ycbcr, *FACTORS[factors], flag("optimize", optimize)).reshape(leading)


DTYPES = (*OPERATOR_DTYPES, torch.float64)


def check(
    image: Tensor,
    colorspace: Colorspace,
    subsampling: Subsampling,
    gradient: Gradient,
    precision: Precision,
    components: int | None,
) -> Coding:
    """The arguments of `roundtrip` but the tables; how components are coded."""
    _check_tensor(image)
    shape = image.shape
    check_shape(shape, components)
    check_choice("gradient", gradient, Gradient)
    check_choice("precision", precision, Precision)
    return coding_of(colorspace, subsampling, shape[-3])


def _check_tensor(image: Any) -> None:
    """That an image is a tensor, and that it can be differentiated as is asked."""
    if torch.compiler.is_compiling() and forward_ad._current_level >= 0:
        raise NotImplementedError(
            "forward-mode differentiation (torch.func.jvp, jacfwd, hessian, torch.autograd.forward_ad) through nnjpeg "
            "is available in eager mode, not under torch.compile"
        )
    if not isinstance(image, Tensor):
        raise TypeError(f"image must be a tensor, got {type(image).__name__}")
    if image.dtype not in DTYPES:
        accepted = ", ".join(map(str, DTYPES))
        raise TypeError(f"image must be a tensor of dtype {accepted}, got {image.dtype}")


def check_shape(shape: tuple[int, ...], components: int | None) -> None:
    if len(shape) < 3:
        raise ValueError(f"image must be a tensor of shape (..., C, H, W), got {tuple(shape)}")
    if not (shape[-1] and shape[-2] and shape[-3]):
        raise ValueError(f"image must have height, width and components of at least 1, got shape {tuple(shape)}")
    reading = "its axes are (..., C, H, W); if it is in channels-last order, permute it"
    check_components("image", shape, shape[-3], components, reading)


def is_exported_to_onnx() -> bool:
    """Whether `torch.onnx.export` looks on, which has no node for the operators, but for the plain operations."""
    return values_are_hidden() and _plain.is_for_onnx()


def is_at_hand(image: Tensor) -> bool:
    """Whether the C core may be called for `image` at once: bytes on the CPU, whose way nobody traces."""
    return image.dtype == torch.uint8 and image.is_cpu and not values_are_hidden()


def apply(image: Tensor, tables: Tensor, coding: Coding, gradient: Gradient, precision: Precision) -> Tensor:
    """`roundtrip` once its arguments are checked and the tables are (B or 1, C or 1, 8, 8) on the image's device."""
    if gradient == "none":
        image, tables = image.detach(), tables.detach()
    elif image.dtype == torch.uint8:  # whose result has no gradient either
        tables = tables.detach()
    if image.dtype != torch.uint8 and _range.is_due():
        _range.check(image)
    batch = image if image.ndim == 4 else image.reshape(math.prod(image.shape[:-3]), *image.shape[-3:])
    ycbcr, subsampling = coding
    function: Callable[..., Tensor] = double if image.dtype == torch.float64 else differentiable
    if is_exported_to_onnx():
        function = plain
    result = function(batch, tables, ycbcr, *FACTORS[subsampling], precision == "uint8", gradient == "cubic")
    return result if image.ndim == 4 else result.reshape(image.shape)


class _RangeCheck:
    """Looks for float images that are not in [0, 1], on the CPU, in calls 1, 2, 4, 8, ...: there is one warning."""

    # Beyond what noise or an attack adds; bytes as floats, and images after Normalize, lie outside of it.
    low, high = -0.5, 1.5

    def __init__(self) -> None:
        self.calls, self.warned = 0, False

    def is_due(self) -> bool:
        if self.warned or values_are_hidden():
            return False
        self.calls += 1
        return self.calls & (self.calls - 1) == 0

    def check(self, image: Tensor) -> None:
        if image.device.type != "cpu" or not image.numel():
            return
        low, high = (extreme.item() for extreme in image.detach().aminmax())
        if low < self.low or high > self.high:
            self.warned = True
            warnings.warn(
                f"nnjpeg expects float images in [0, 1], got samples from {low:.4g} to {high:.4g}: those outside count "
                "as the nearer end. Divide bytes by 255 (v2.ToDtype(torch.float32, scale=True)), and put NNJpeg before "
                "Normalize.",
                UserWarning,
                stacklevel=2,
            )


_range = _RangeCheck()
