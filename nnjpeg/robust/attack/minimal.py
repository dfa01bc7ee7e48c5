"""Attacks that look for the least perturbation, by foolbox; and what is left of them in 8 bits.

DeepFool and C&W end on the boundary, where rounding to bytes alone brings most images back. What a defence seems to
gain over them it may owe to the rounding; hence `survive_rounding`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from nnjpeg.robust.attack.gradients import to_bytes

__all__ = ["carlini_wagner", "deepfool", "survive_rounding"]


def deepfool(model: nn.Module, images: Tensor, labels: Tensor, steps: int = 50) -> Tensor:
    """DeepFool in L2 (Moosavi-Dezfooli et al., 2016): 10 candidate classes, overshoot 0.02, as in cleverhans.

    Parameters
    ----------
    model : Module
        From images in [0, 1], float32 (B, 3, H, W), to logits.
    images, labels : Tensor
        What to attack.
    steps : int
        At most.

    Returns
    -------
    Tensor
        As floats, of the shape of `images`.
    """
    candidates = min(10, _classes(model, images))
    return _run("L2DeepFoolAttack", model, images, labels, steps=steps, candidates=candidates, overshoot=0.02)


def carlini_wagner(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    steps: int = 1000,
    binary_search_steps: int = 5,
    step: float = 5e-3,
    initial_const: float = 1e-2,
) -> Tensor:
    """C&W in L2 (Carlini and Wagner, 2017): confidence 0; the other defaults are those of cleverhans.

    Parameters and result as for `deepfool`; an image on which it fails comes back as it was.
    """
    return _run(
        "L2CarliniWagnerAttack",
        model,
        images,
        labels,
        steps=steps,
        binary_search_steps=binary_search_steps,
        stepsize=step,
        confidence=0,
        initial_const=initial_const,
    )


def _run(name: str, model: nn.Module, images: Tensor, labels: Tensor, **options: Any) -> Tensor:
    foolbox = import_module("foolbox")
    wrapped = foolbox.PyTorchModel(model.eval(), bounds=(0, 1), device=images.device)
    _, adversarial, _ = getattr(foolbox.attacks, name)(**options)(wrapped, images, labels, epsilons=None)
    return adversarial.detach()


@torch.no_grad()
def _classes(model: nn.Module, images: Tensor) -> int:
    return model(images[:1]).shape[1]


@torch.no_grad()
def survive_rounding(
    model: nn.Module,
    images: Tensor,
    adversarial: Tensor,
    labels: Tensor,
    factors: tuple[float, ...] = (1, 1.25, 1.5, 2, 2.5, 3, 4, 6, 8),
) -> Tensor:
    """Perturbations made as large as they must be to fool the model in 8 bits too.

    Parameters
    ----------
    model : Module
        What they were made for.
    images, adversarial : Tensor
        Float (B, 3, H, W) in [0, 1].
    labels : Tensor
        The true ones.
    factors : tuple of float
        Tried in this order; an image that none of them saves gets the last.

    Returns
    -------
    Tensor
        uint8.
    """
    result = to_bytes(adversarial)
    for factor in factors:
        todo = (model(result / 255).argmax(1) == labels).nonzero()[:, 0]
        if not len(todo):
            break
        result[todo] = to_bytes(images[todo] + factor * (adversarial[todo] - images[todo]))
    return result
