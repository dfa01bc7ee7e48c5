"""Attacks that look for the smallest perturbation, by foolbox, and their perturbations in 8 bits.

DeepFool and C&W end on the decision boundary, where rounding to bytes alone brings most images back. A defence may seem
to help only because of this rounding; `survive_rounding` removes the effect.
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
        The images to attack.
    steps : int
        Largest number of steps.

    Returns
    -------
    Tensor
        Float images of the shape of `images`.
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

    Parameters and result as for `deepfool`; an image on which the attack fails is returned unchanged.
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
    """Scale perturbations until they fool the model in 8 bits too.

    Parameters
    ----------
    model : Module
        The model that was attacked.
    images, adversarial : Tensor
        Float (B, 3, H, W) in [0, 1].
    labels : Tensor
        The true labels.
    factors : tuple of float
        Factors, tried in this order; an image for which none succeeds gets the last one.

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
