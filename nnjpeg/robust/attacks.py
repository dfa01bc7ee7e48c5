"""Attacks on a classifier of images in [0, 1], on sign gradients in the L-infinity ball.

Each takes `model`, which maps float images (B, 3, H, W) to logits, float images and their labels, and returns
adversarial images in [0, 1] within `eps` of the originals. eps and step are in units of 1, not of 1 / 255.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["ATTACKS", "fgsm", "ifgsm", "pgd", "to_bytes"]

Model = Callable[[Tensor], Tensor]


def _sign_gradient(model: Model, images: Tensor, labels: Tensor) -> Tensor:
    leaf = images.detach().requires_grad_()
    with torch.enable_grad():
        loss = functional.cross_entropy(model(leaf), labels, reduction="sum")
    return torch.autograd.grad(loss, leaf)[0].sign()


def _project(adversarial: Tensor, images: Tensor, eps: float) -> Tensor:
    return torch.minimum(torch.maximum(adversarial, images - eps), images + eps).clamp(0, 1)


def fgsm(model: Model, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """One step of eps along the sign of the gradient (Goodfellow et al., 2015)."""
    return _project(images + eps * _sign_gradient(model, images, labels), images, eps)


def ifgsm(model: Model, images: Tensor, labels: Tensor, eps: float, steps: int = 10) -> Tensor:
    """The basic iterative method (Kurakin et al., 2017): `steps` steps of eps / steps."""
    return _descend(model, images, images, labels, eps, eps / steps, steps)


def pgd(
    model: Model,
    images: Tensor,
    labels: Tensor,
    eps: float,
    steps: int = 50,
    step: float = 1 / 255,
    generator: torch.Generator | None = None,
) -> Tensor:
    """From a random point of the ball (Madry et al., 2018); by default the steps of Fast AT's test."""
    noise = torch.rand(images.shape, generator=generator).to(images) * 2 - 1
    return _descend(model, _project(images + eps * noise, images, eps), images, labels, eps, step, steps)


def _descend(
    model: Model, start: Tensor, images: Tensor, labels: Tensor, eps: float, step: float, steps: int
) -> Tensor:
    adversarial = start
    for _ in range(steps):
        adversarial = _project(adversarial + step * _sign_gradient(model, adversarial, labels), images, eps)
    return adversarial


ATTACKS: dict[str, Callable[..., Any]] = {"fgsm": fgsm, "ifgsm": ifgsm, "pgd": pgd}


def to_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8, to the nearest."""
    return (images.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
