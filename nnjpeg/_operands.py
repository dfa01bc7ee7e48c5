"""What the torch operators share: checks of their operands, tables for the core, and how vmap reaches them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from nnjpeg import _core, _plain
from nnjpeg._arguments import FACTORS

__all__ = [
    "OPERATOR_DTYPES", "check_operands", "flatten", "gradient_function", "has_tangent", "in_functorch",
    "needs_function", "quantizers_of", "values_are_hidden",
]  # fmt: skip

OPERATOR_DTYPES = (torch.uint8, torch.float32, torch.float16, torch.bfloat16)
TABLE_DTYPES = (torch.uint8, torch.float32)


def check_operands(image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int, grad: Tensor | None = None) -> None:
    """That the operands are as the schemas want them: what the core does with others is undefined."""
    if image.ndim != 4:
        raise ValueError(f"image must have shape (B, C, H, W), got {tuple(image.shape)}")
    if image.dtype not in OPERATOR_DTYPES:
        raise TypeError(f"image must have dtype {', '.join(map(str, OPERATOR_DTYPES))}, got {image.dtype}")
    if ycbcr and image.shape[1] != 3:
        raise ValueError(f"image must have 3 components to be coded as YCbCr, got {image.shape[1]}")
    if (h, v) not in FACTORS or (h * v > 1 and not ycbcr):
        accepted = ", ".join(map(str, FACTORS))
        raise ValueError(f"(h, v) must be one of {accepted}, and (1, 1) where YCbCr is not coded, got ({h}, {v})")
    if (
        qtable.dtype not in TABLE_DTYPES
        or qtable.ndim != 4
        or not (qtable.shape[0] == 1 or qtable.shape[0] == image.shape[0])
        or not (qtable.shape[1] == 1 or qtable.shape[1] == image.shape[1])
        or qtable.shape[2:] != (8, 8)
        or qtable.device != image.device
    ):
        raise ValueError(
            f"qtable must be a tensor of uint8 or float32 and shape ({image.shape[0]} or 1, "
            f"{image.shape[1]} or 1, 8, 8) on image's device, {image.device}, got {qtable.dtype} of shape "
            f"{tuple(qtable.shape)} with strides {qtable.stride()} on {qtable.device}"
        )
    if grad is not None and (grad.shape != image.shape or grad.dtype != image.dtype or grad.device != image.device):
        raise ValueError(
            f"grad must have the shape, dtype and device of image, {tuple(image.shape)}, {image.dtype} and "
            f"{image.device}, got {tuple(grad.shape)}, {grad.dtype} and {grad.device}"
        )


def quantizers_of(qtable: Tensor) -> _core.Quantizers:
    whole = qtable if qtable.dtype == torch.uint8 else _plain.steps_of(qtable)
    steps = whole.numpy().astype(np.uint16, order="C").reshape(*qtable.shape[:2], 64)
    try:
        return _core.Quantizers(steps)
    except ValueError:
        raise ValueError(f"qtable entries must be integers in 1..255, got {steps.min()}") from None


_tracing_state, _dispatch_modes = torch._C._get_tracing_state, torch._C._len_torch_dispatch_stack
_functorch_levels = torch._C._functorch.peek_interpreter_stack


def values_are_hidden() -> bool:
    """Whether this call is traced or transformed, so that what tensors hold may not decide what is done."""
    return (
        torch.compiler.is_compiling()
        or _tracing_state() is not None
        or bool(_dispatch_modes())
        or _functorch_levels() is not None
    )


def in_functorch() -> bool:
    return not torch.compiler.is_compiling() and _functorch_levels() is not None


def has_tangent(*tensors: Tensor) -> bool:
    """Whether forward-mode differentiation (`torch.autograd.forward_ad`) asks for a derivative by one of them."""
    return forward_ad._current_level >= 0 and any(forward_ad.unpack_dual(t).tangent is not None for t in tensors)


def needs_function(*tensors: Tensor) -> bool:
    """Whether an operator has to be called by its autograd Function: in `torch.func`, or in forward mode."""
    return not torch.compiler.is_compiling() and (in_functorch() or has_tangent(*tensors))


def gradient_function(
    operator: Callable[..., Any], vmapped: Callable[..., Any], no_derivative: Callable[..., Any]
) -> type[torch.autograd.Function]:
    """An operator that is a gradient itself, for `torch.func`; `no_derivative` raises the reason why it has none."""

    class Gradient(torch.autograd.Function):
        vmap = staticmethod(vmapped)
        backward = staticmethod(no_derivative)
        jvp = staticmethod(no_derivative)

        @staticmethod
        def forward(*arguments: Any) -> Any:
            return operator(*arguments)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            pass

    return Gradient


def flatten(count: int, tensor: Tensor, dim: int | None, images: int | None = None) -> Tensor:
    """The dimension that vmap added, joined with that of the images; `images`: for tables, which may share both."""
    tensor = tensor.unsqueeze(0) if dim is None else tensor.movedim(dim, 0)
    if images is None:
        tensor = tensor.expand(count, *tensor.shape[1:])
    elif tensor.shape[:2] == (1, 1):
        return tensor[0]
    else:
        tensor = tensor.expand(count, images, *tensor.shape[2:])
    return tensor.flatten(0, 1).contiguous() if images is not None else tensor.flatten(0, 1)
