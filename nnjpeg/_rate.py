"""The torch operators of a file's size: ``torch.ops.nnjpeg.rate`` and its gradient. `nnjpeg.ops.rate` calls them.

Both count on the CPU by the C core, also for images on other devices.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nnjpeg import _core
from nnjpeg._arguments import FACTORS, LAYOUTS
from nnjpeg._operands import check_operands, flatten, gradient_function, in_functorch, needs_function, quantizers_of
from nnjpeg._threads import tensor_threads

__all__ = ["rate"]

# image: (B, C, H, W), uint8 or float32, C 1 or 3; qtable, ycbcr, h, v: as of roundtrip. rate gives the bits of each
# file, float32 of shape (B,), and the lengths of its codes, uint8 of shape (B, 1024), as csrc/nnjpeg.h has them.
# rate_backward takes these lengths and the gradient by the bits, and gives the gradients by the image and by the table
# of each component of each image, (B, C, 8, 8); the first has no elements if by_image is false, or image is of bytes.

_library = torch.library.Library("nnjpeg", "FRAGMENT")
_library.define(
    "rate(Tensor image, Tensor qtable, bool ycbcr, int h, int v, bool optimize) -> (Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
_library.define(
    "rate_backward(Tensor grad, Tensor image, Tensor qtable, Tensor lengths, bool ycbcr, int h, int v, bool by_image)"
    " -> (Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
_rate = torch.ops.nnjpeg.rate.default
_rate_backward = torch.ops.nnjpeg.rate_backward.default

_CODE_LENGTHS = 1024  # NNJPEG_CODE_LENGTHS


def _check(image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int) -> None:
    check_operands(image, qtable, ycbcr, h, v)
    if image.dtype not in (torch.uint8, torch.float32):
        raise TypeError(f"image must have dtype torch.uint8 or torch.float32, got {image.dtype}")
    if image.shape[1] not in (1, 3):
        raise ValueError(f"image must have 1 or 3 components to be a JPEG file, got {image.shape[1]}")


def _check_backward(grad: Tensor, image: Tensor, lengths: Tensor) -> None:
    if grad.shape != image.shape[:1] or grad.dtype != torch.float32 or grad.device != image.device:
        raise ValueError(
            f"grad must be float32 of shape ({image.shape[0]},) on {image.device}, got {grad.dtype} of "
            f"shape {tuple(grad.shape)} on {grad.device}"
        )
    if lengths.shape != (image.shape[0], _CODE_LENGTHS) or lengths.dtype != torch.uint8:
        raise ValueError(
            f"lengths must be uint8 of shape ({image.shape[0]}, {_CODE_LENGTHS}), got {lengths.dtype} of "
            f"shape {tuple(lengths.shape)}"
        )


@torch.library.register_fake("nnjpeg::rate", lib=_library)
def _(image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int, optimize: bool) -> tuple[Tensor, Tensor]:
    _check(image, qtable, ycbcr, h, v)
    images = image.shape[0]
    return image.new_empty(images, dtype=torch.float32), image.new_empty((images, _CODE_LENGTHS), dtype=torch.uint8)


@torch.library.register_fake("nnjpeg::rate_backward", lib=_library)
def _(
    grad: Tensor, image: Tensor, qtable: Tensor, lengths: Tensor, ycbcr: bool, h: int, v: int, by_image: bool
) -> tuple[Tensor, Tensor]:
    _check(image, qtable, ycbcr, h, v)
    _check_backward(grad, image, lengths)
    return _gradients(image, by_image)


def _gradients(image: Tensor, by_image: bool) -> tuple[Tensor, Tensor]:
    """Memory for both gradients."""
    of_image = torch.empty_like(image) if by_image and image.dtype == torch.float32 else image.new_empty(0)
    return of_image, image.new_empty((*image.shape[:2], 8, 8), dtype=torch.float32)


def _rate_cpu(image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int, optimize: bool) -> tuple[Tensor, Tensor]:
    _check(image, qtable, ycbcr, h, v)
    sizes = np.empty(image.shape[0], np.int64)
    lengths = torch.empty((image.shape[0], _CODE_LENGTHS), dtype=torch.uint8)
    if image.shape[0]:
        _core.coded_size(
            image.numpy(),
            sizes,
            LAYOUTS["NCHW"],
            quantizers_of(qtable),
            ycbcr,
            tensor_threads(image.numel()),
            FACTORS.index((h, v)),
            optimize,
            lengths.numpy(),
        )
    return torch.from_numpy((8 * sizes).astype(np.float32)), lengths


def _rate_backward_cpu(
    grad: Tensor, image: Tensor, qtable: Tensor, lengths: Tensor, ycbcr: bool, h: int, v: int, by_image: bool
) -> tuple[Tensor, Tensor]:
    _check(image, qtable, ycbcr, h, v)
    _check_backward(grad, image, lengths)
    of_image, of_tables = _gradients(image, by_image)
    if image.shape[0]:
        _core.rate_backward(
            image.numpy(),
            grad.contiguous().numpy(),
            lengths.contiguous().numpy(),
            of_tables.flatten(2).numpy(),
            of_image.numpy() if of_image.numel() else None,
            LAYOUTS["NCHW"],
            quantizers_of(qtable),
            ycbcr,
            tensor_threads(image.numel()),
            FACTORS.index((h, v)),
        )
    return of_image, of_tables


def _rate_elsewhere(image: Tensor, qtable: Tensor, *flags: Any) -> tuple[Tensor, Tensor]:
    bits, lengths = _rate(image.cpu(), qtable.cpu(), *flags)
    return bits.to(image.device), lengths.to(image.device)


def _rate_backward_elsewhere(
    grad: Tensor, image: Tensor, qtable: Tensor, lengths: Tensor, *flags: Any
) -> tuple[Tensor, Tensor]:
    of_image, of_tables = _rate_backward(grad.cpu(), image.cpu(), qtable.cpu(), lengths.cpu(), *flags)
    return of_image.to(image.device), of_tables.to(image.device)


_library.impl("rate", _rate_cpu, "CPU")
_library.impl("rate_backward", _rate_backward_cpu, "CPU")
_library.impl("rate", _rate_elsewhere, "CompositeExplicitAutograd")
_library.impl("rate_backward", _rate_backward_elsewhere, "CompositeExplicitAutograd")

# Gradients and vmap, as of roundtrip: for torch.compile and autograd with the operators, for torch.func by Functions.


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    image, qtable, *ctx.coding, _ = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(image, qtable, output[1])


def _backward(ctx: Any, grad: Tensor, _: Tensor | None, backward: Any = _rate_backward) -> tuple[Tensor | None, ...]:
    image, qtable, lengths = ctx.saved_tensors
    of_image, of_tables = backward(grad, image, qtable, lengths, *ctx.coding, ctx.needs_input_grad[0])
    of_table = of_tables.sum_to_size(qtable.shape) if ctx.needs_input_grad[1] else None
    return of_image if ctx.needs_input_grad[0] else None, of_table, None, None, None, None


def _no_second_derivative(ctx: Any, *_: Any) -> Any:
    raise NotImplementedError("the gradient of a file's size has no derivative")


torch.library.register_autograd("nnjpeg::rate", _backward, setup_context=_setup_context, lib=_library)
torch.library.register_autograd("nnjpeg::rate_backward", _no_second_derivative, lib=_library)


def _rate_vmap(info: Any, in_dims: tuple[Any, ...], image: Tensor, qtable: Tensor, *flags: Any) -> Any:
    flat = flatten(info.batch_size, image, in_dims[0])
    images = flat.shape[0] // info.batch_size
    results = rate_and_lengths(flat, flatten(info.batch_size, qtable, in_dims[1], images), *flags)
    return tuple(result.unflatten(0, (info.batch_size, images)) for result in results), (0, 0)


def _rate_backward_vmap(
    info: Any, in_dims: tuple[Any, ...], grad: Tensor, image: Tensor, qtable: Tensor, lengths: Tensor, *flags: Any
) -> Any:
    flat = flatten(info.batch_size, image, in_dims[1])
    images = flat.shape[0] // info.batch_size
    tables = flatten(info.batch_size, qtable, in_dims[2], images)
    function = _RateBackward.apply if in_functorch() else _rate_backward
    of_image, of_tables = function(
        flatten(info.batch_size, grad, in_dims[0]), flat, tables, flatten(info.batch_size, lengths, in_dims[3]), *flags
    )
    count = (info.batch_size, images if of_image.numel() else 0)
    of_image = of_image.unflatten(0, count) if of_image.numel() else of_image.expand(info.batch_size, 0)
    return (of_image, of_tables.unflatten(0, (info.batch_size, images))), (0, 0)


torch.library.register_vmap("nnjpeg::rate", _rate_vmap, lib=_library)
torch.library.register_vmap("nnjpeg::rate_backward", _rate_backward_vmap, lib=_library)


class _Rate(torch.autograd.Function):
    """The operator for `torch.func`, and in forward mode."""

    vmap = staticmethod(_rate_vmap)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        _setup_context(ctx, inputs, output)
        ctx.save_for_forward(*inputs[:2], output[1])

    @staticmethod
    def forward(*arguments: Any) -> tuple[Tensor, Tensor]:
        return _rate(*arguments)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, of_lengths: Tensor | None) -> tuple[Tensor | None, ...]:
        return _backward(ctx, grad, of_lengths, _RateBackward.apply)

    @staticmethod
    def jvp(ctx: Any, of_image: Tensor | None, of_table: Tensor | None, *_: None) -> tuple[Tensor, None]:
        image, qtable, lengths = ctx.saved_tensors
        ones = torch.ones_like(lengths[:, 0], dtype=torch.float32)
        by_image, by_tables = _RateBackward.apply(ones, image, qtable, lengths, *ctx.coding, of_image is not None)
        pairs = ((by_image, of_image), (by_tables, of_table))
        changes = [(slope * tangent).sum((1, 2, 3)) for slope, tangent in pairs if tangent is not None]
        return torch.stack(changes).sum(0), None


_RateBackward = gradient_function(_rate_backward, _rate_backward_vmap, _no_second_derivative)


def rate_and_lengths(image: Tensor, qtable: Tensor, *flags: Any) -> tuple[Tensor, Tensor]:
    if needs_function(image, qtable):
        return _Rate.apply(image, qtable, *flags)
    return _rate(image, qtable, *flags)


def rate(image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int, optimize: bool) -> Tensor:
    """Bits of the file of each image, (B,); arguments are checked, tables (B or 1, C or 1, 8, 8)."""
    return rate_and_lengths(image, qtable, ycbcr, h, v, optimize)[0]
