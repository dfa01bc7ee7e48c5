"""The round trip as torch operators: ``torch.ops.nnjpeg.roundtrip``, and its gradients by the image and by the tables.

Here are the schemas, and what each device does: the CPU calls the C core, CUDA the kernels of csrc/cuda (see
`nnjpeg.cuda`), any other device, and CUDA without kernels, plain torch operations (`nnjpeg._plain`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nnjpeg import _core, _plain, _results, cuda
from nnjpeg._arguments import FACTORS, LAYOUTS
from nnjpeg._operands import check_operands, flatten, gradient_function, in_functorch, needs_function, quantizers_of
from nnjpeg._threads import tensor_threads

__all__ = ["differentiable", "double", "plain"]

# The operators. image: (B, C, H, W), uint8 or float, but not double; qtable: uint8, or float32 to be rounded to whole
# steps in 1..255, (B or 1, C or 1, 8, 8), on the image's device; h, v: how many times as fine luma is as chroma, along
# columns and along rows; grad: like image. exact: a float image takes the way of 8 bits; cubic: coefficients are
# rounded so that there is a derivative, else it passes straight through their rounding. table_backward gives float32 of
# qtable's shape, a sum over what shares a table. Every device checks its arguments: here, and CUDA's kernel in its
# binding.

_library = torch.library.Library("nnjpeg", "DEF")
_library.define(
    "roundtrip(Tensor image, Tensor qtable, bool ycbcr, int h, int v, bool exact, bool cubic) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)
_library.define(
    "cubic_backward(Tensor grad, Tensor image, Tensor qtable, bool ycbcr, int h, int v) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)
_library.define(
    "table_backward(Tensor grad, Tensor image, Tensor qtable, bool ycbcr, int h, int v, bool cubic) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)
_roundtrip = torch.ops.nnjpeg.roundtrip.default
_cubic_backward = torch.ops.nnjpeg.cubic_backward.default
_table_backward = torch.ops.nnjpeg.table_backward.default


@torch.library.register_fake("nnjpeg::roundtrip", lib=_library)
def _(image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int, exact: bool, cubic: bool) -> Tensor:
    check_operands(image, qtable, ycbcr, h, v)
    return torch.empty_like(image)


@torch.library.register_fake("nnjpeg::cubic_backward", lib=_library)
def _(grad: Tensor, image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int) -> Tensor:
    check_operands(image, qtable, ycbcr, h, v, grad)
    return torch.empty_like(image)


@torch.library.register_fake("nnjpeg::table_backward", lib=_library)
def _(grad: Tensor, image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int, cubic: bool) -> Tensor:
    check_operands(image, qtable, ycbcr, h, v, grad)
    return torch.empty(qtable.shape, dtype=torch.float32, device=qtable.device)


# The CPU


def _roundtrip_cpu(image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int, exact: bool, cubic: bool) -> Tensor:
    check_operands(image, qtable, ycbcr, h, v)
    result = _results.empty_like(image)
    if image.numel() == 0:
        return result
    axes, quantizers, number = LAYOUTS["NCHW"], quantizers_of(qtable), FACTORS.index((h, v))
    threads = tensor_threads(image.numel())
    if image.dtype == torch.uint8:
        _core.roundtrip(image.numpy(), result.numpy(), axes, quantizers, ycbcr, threads, subsampling=number)
        return result
    source, target = (image, result) if image.dtype == torch.float32 else (single := image.float(), single)
    _core.roundtrip_f32(source.numpy(), target.numpy(), axes, quantizers, ycbcr, exact, cubic, threads, number)
    return result if target is result else result.copy_(target)


def _cubic_backward_cpu(grad: Tensor, image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int) -> Tensor:
    check_operands(image, qtable, ycbcr, h, v, grad)
    result = _results.empty_like(image)
    if image.numel() == 0:
        return result
    single = result if image.dtype == torch.float32 else torch.empty_like(image, dtype=torch.float32)
    arguments = grad.float().numpy(), image.float().numpy(), single.numpy()
    quantizers, number = quantizers_of(qtable), FACTORS.index((h, v))
    _core.cubic_backward_f32(*arguments, LAYOUTS["NCHW"], quantizers, ycbcr, tensor_threads(image.numel()), number)
    return result if single is result else result.copy_(single)


def _table_backward_cpu(
    grad: Tensor, image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int, cubic: bool
) -> Tensor:
    check_operands(image, qtable, ycbcr, h, v, grad)
    result = torch.zeros(qtable.shape, dtype=torch.float32)
    if image.numel() == 0:
        return result
    arguments = grad.float().numpy(), image.float().numpy(), result.numpy().reshape(*qtable.shape[:2], 64)
    quantizers, number, threads = quantizers_of(qtable), FACTORS.index((h, v)), tensor_threads(image.numel())
    _core.table_backward_f32(*arguments, LAYOUTS["NCHW"], quantizers, ycbcr, cubic, threads, number)
    return result


_library.impl("roundtrip", _roundtrip_cpu, "CPU")
_library.impl("cubic_backward", _cubic_backward_cpu, "CPU")
_library.impl("table_backward", _table_backward_cpu, "CPU")

# Every other device. CUDA's kernel registers itself when it is loaded: then these are not called for CUDA any more.


def _bytes(image: Tensor) -> Tensor:
    """Floats in [0, 1] as bytes: to the nearest of n / 255, ties up, NaN to 0, by the roundings of the C core."""
    return (image.float().nan_to_num(nan=0.0).clamp(0, 1) * 255 + 0.5).to(torch.uint8)


def _roundtrip_elsewhere(
    image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int, exact: bool, cubic: bool
) -> Tensor:
    if image.is_cuda and cuda.load():
        return _roundtrip(image, qtable, ycbcr, h, v, exact, cubic)
    check_operands(image, qtable, ycbcr, h, v)
    return plain(image, qtable, ycbcr, h, v, exact, cubic)


def plain(image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int, exact: bool, cubic: bool) -> Tensor:
    """The operator in torch's own operations: for devices without a kernel, and for ONNX."""
    if image.dtype == torch.uint8:
        return _plain.roundtrip_uint8(image, qtable, ycbcr, h, v)
    if exact:
        pixels = _plain.roundtrip_uint8(_bytes(image), qtable, ycbcr, h, v)
        return pixels.double() / 255 if image.dtype == torch.float64 else (pixels / 255).to(image.dtype)
    return _plain.roundtrip_float(image, _plain.steps_of(qtable), ycbcr, h, v, cubic)


def _cubic_backward_elsewhere(grad: Tensor, image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int) -> Tensor:
    if image.is_cuda and cuda.load():
        return _cubic_backward(grad, image, qtable, ycbcr, h, v)
    check_operands(image, qtable, ycbcr, h, v, grad)
    steps = _plain.steps_of(qtable)
    # torch.func, since an operator is called where torch.autograd records nothing.
    pulled_back = torch.func.vjp(lambda x: _plain.roundtrip_float(x, steps, ycbcr, h, v, cubic=True), image)[1]
    return torch.empty_like(image).copy_(pulled_back(grad)[0])


def _table_backward_elsewhere(
    grad: Tensor, image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int, cubic: bool
) -> Tensor:
    if image.is_cuda and cuda.load():
        return _table_backward(grad, image, qtable, ycbcr, h, v, cubic)
    check_operands(image, qtable, ycbcr, h, v, grad)
    steps = _plain.steps_of(qtable).to(torch.float32)
    pulled_back = torch.func.vjp(lambda t: _plain.roundtrip_float(image, t, ycbcr, h, v, cubic), steps)[1]
    return pulled_back(grad)[0].contiguous()


_library.impl("roundtrip", _roundtrip_elsewhere, "CompositeExplicitAutograd")
_library.impl("cubic_backward", _cubic_backward_elsewhere, "CompositeExplicitAutograd")
_library.impl("table_backward", _table_backward_elsewhere, "CompositeExplicitAutograd")

# Gradients and vmap. torch.compile and autograd take those that are registered with the operators; torch.func and
# forward-mode differentiation take autograd Functions alone, which `_Roundtrip` and those after it are.


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    image, qtable, *ctx.coding, _, ctx.cubic = inputs
    ctx.by_image, ctx.by_table = ctx.needs_input_grad[:2]
    if (ctx.by_image and ctx.cubic) or ctx.by_table:
        ctx.save_for_backward(image, qtable)


def _backward(
    ctx: Any,
    grad: Tensor,
    cubic_backward: Callable[..., Tensor] = _cubic_backward,
    table_backward: Callable[..., Tensor] = _table_backward,
) -> tuple[Tensor | None, ...]:
    of_image, of_table = grad if ctx.by_image else None, None
    if (ctx.by_image and ctx.cubic) or ctx.by_table:
        image, qtable = ctx.saved_tensors
        if ctx.by_image and ctx.cubic:
            of_image = cubic_backward(grad, image, qtable, *ctx.coding)
        if ctx.by_table:
            of_table = table_backward(grad, image, qtable, *ctx.coding, ctx.cubic)
    return of_image, of_table, None, None, None, None, None


def _no_second_derivative(ctx: Any, *_: Any) -> Any:
    raise NotImplementedError("this gradient has no derivative here; that of a float64 image has")


torch.library.register_autograd("nnjpeg::roundtrip", _backward, setup_context=_setup_context, lib=_library)
torch.library.register_autograd("nnjpeg::cubic_backward", _no_second_derivative, lib=_library)
torch.library.register_autograd("nnjpeg::table_backward", _no_second_derivative, lib=_library)


def _roundtrip_vmap(info: Any, in_dims: tuple[Any, ...], image: Tensor, qtable: Tensor, *flags: Any) -> Any:
    flat = flatten(info.batch_size, image, in_dims[0])
    images = flat.shape[0] // info.batch_size
    result = differentiable(flat, flatten(info.batch_size, qtable, in_dims[1], images), *flags)
    return result.unflatten(0, (info.batch_size, images)), 0


def _cubic_backward_vmap(
    info: Any, in_dims: tuple[Any, ...], grad: Tensor, image: Tensor, qtable: Tensor, *coding: Any
) -> Any:
    flat = flatten(info.batch_size, image, in_dims[1])
    images = flat.shape[0] // info.batch_size
    tables = flatten(info.batch_size, qtable, in_dims[2], images)
    function = _CubicBackward.apply if in_functorch() else _cubic_backward
    result = function(flatten(info.batch_size, grad, in_dims[0]), flat, tables, *coding)
    return result.unflatten(0, (info.batch_size, images)), 0


def _table_backward_vmap(
    info: Any, in_dims: tuple[Any, ...], grad: Tensor, image: Tensor, qtable: Tensor, *flags: Any
) -> Any:
    flat = flatten(info.batch_size, image, in_dims[1])
    images = flat.shape[0] // info.batch_size
    # A table for each image, though all may be one: what vmap maps over is not to be added up.
    mapped = qtable.unsqueeze(0) if in_dims[2] is None else qtable.movedim(in_dims[2], 0)
    shared = mapped.shape[1] == 1
    tables = mapped.expand(info.batch_size, images, *mapped.shape[2:]).flatten(0, 1).contiguous()
    function = _TableBackward.apply if in_functorch() else _table_backward
    result = function(flatten(info.batch_size, grad, in_dims[0]), flat, tables, *flags)
    result = result.unflatten(0, (info.batch_size, images))
    return result.sum(1, keepdim=True) if shared else result, 0


torch.library.register_vmap("nnjpeg::roundtrip", _roundtrip_vmap, lib=_library)
torch.library.register_vmap("nnjpeg::cubic_backward", _cubic_backward_vmap, lib=_library)
torch.library.register_vmap("nnjpeg::table_backward", _table_backward_vmap, lib=_library)


class _Roundtrip(torch.autograd.Function):
    """The operator for `torch.func` and forward-mode differentiation."""

    vmap = staticmethod(_roundtrip_vmap)

    @staticmethod
    def forward(*arguments: Any) -> Tensor:
        return _roundtrip(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _setup_context(ctx, inputs, output)
        ctx.save_for_forward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _backward(ctx, grad, _CubicBackward.apply, _TableBackward.apply)

    @staticmethod
    def jvp(ctx: Any, of_image: Tensor | None, of_table: Tensor | None, *_: None) -> Tensor:
        if of_table is None and not ctx.cubic and of_image is not None:
            return of_image.clone()
        image, qtable = ctx.saved_tensors
        coding: tuple[bool, int, int] = tuple(ctx.coding)
        steps = _plain.steps_of(qtable)
        of_steps = torch.zeros_like(steps) if of_table is None else of_table
        if ctx.cubic:
            of_image = torch.zeros_like(image) if of_image is None else of_image
            return _plain.tangent(image, steps, of_image, of_steps, *coding, cubic=True)
        by_table = _plain.tangent(image, steps, torch.zeros_like(image), of_steps, *coding, cubic=False)
        return by_table if of_image is None else by_table + of_image


_CubicBackward = gradient_function(_cubic_backward, _cubic_backward_vmap, _no_second_derivative)
_TableBackward = gradient_function(_table_backward, _table_backward_vmap, _no_second_derivative)


def differentiable(image: Tensor, qtable: Tensor, *flags: Any) -> Tensor:
    """The operator, by the way that gives the derivatives which are asked for."""
    if needs_function(image, qtable):
        return _Roundtrip.apply(image, qtable, *flags)
    return _roundtrip(image, qtable, *flags)


def double(image: Tensor, tables: Tensor, ycbcr: bool, h: int, v: int, exact: bool, cubic: bool) -> Tensor:
    """Double precision, by torch's own operations and gradients."""
    steps = _plain.straight_steps(tables)
    if cubic:
        smooth = _plain.roundtrip_float(image, steps, ycbcr, h, v, cubic)
    else:
        by_steps = _plain.roundtrip_float(image.detach(), steps, ycbcr, h, v, cubic)
        smooth = by_steps + _plain.zeros_with_gradient_of(image)
    if not exact:
        return smooth
    return plain(image, tables, ycbcr, h, v, exact, cubic) + _plain.zeros_with_gradient_of(smooth)
