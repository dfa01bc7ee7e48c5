"""Attacks on a classifier of images in [0, 1], on sign gradients in the L-infinity ball.

Each takes `model`, which maps float images (B, 3, H, W) to logits, float images and their labels, and returns
adversarial images in [0, 1] within `eps` of the originals. eps and step are in units of 1, not of 1 / 255.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from nnjpeg.robust import distributed
from nnjpeg.robust.data import Images

__all__ = ["ATTACKS", "attack_images", "descend", "fgsm", "ifgsm", "margin", "pgd", "project", "to_bytes"]

Model = Callable[[Tensor], Tensor]


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """By how much the best wrong class leads: above 0 where the label is wrong. Shape (B,)."""
    of_label = logits.gather(1, labels[:, None])[:, 0]
    return logits.scatter(1, labels[:, None], -torch.inf).amax(1) - of_label


def _sign_gradient(model: Model, images: Tensor, labels: Tensor, never_still: bool) -> Tensor:
    gradient = _gradient(model, images, lambda logits: functional.cross_entropy(logits, labels, reduction="sum"))
    if never_still:
        where = (gradient == 0).flatten(1).all(1).nonzero()[:, 0]
        if not len(where):
            return gradient.sign()
        gradient = gradient.clone()
        gradient[where] = _gradient(model, images[where], lambda logits: margin(logits, labels[where]).sum())
    return gradient.sign()


def _gradient(model: Model, images: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    leaf = images.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(loss(model(leaf)), leaf)[0]


def project(adversarial: Tensor, images: Tensor, eps: float) -> Tensor:
    """The nearest point of the ball around `images`, and of [0, 1]."""
    return torch.minimum(torch.maximum(adversarial, images - eps), images + eps).clamp(0, 1)


def fgsm(model: Model, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """One step of eps along the sign of the gradient (Goodfellow et al., 2015)."""
    return descend(model, images, images, labels, eps, eps, 1)


def ifgsm(model: Model, images: Tensor, labels: Tensor, eps: float, steps: int = 10) -> Tensor:
    """The basic iterative method (Kurakin et al., 2017): `steps` steps of eps / steps."""
    return descend(model, images, images, labels, eps, eps / steps, steps)


def pgd(
    model: Model,
    images: Tensor,
    labels: Tensor,
    eps: float,
    steps: int = 50,
    step: float = 1 / 255,
    restarts: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """From a random point of the ball (Madry et al., 2018); by default the steps of Fast AT's test.

    Of several restarts each attacks the images that are still labelled right, and what it gives is kept.
    """
    adversarial = images.clone()
    todo = torch.arange(len(images), device=images.device)
    for _ in range(restarts):
        x, y = images[todo], labels[todo]
        noise = torch.rand(x.shape, generator=generator).to(x) * 2 - 1
        adversarial[todo] = descend(model, project(x + eps * noise, x, eps), x, y, eps, step, steps)
        if restarts > 1:
            with torch.no_grad():
                todo = todo[model(adversarial[todo]).argmax(1) == y]
            if not len(todo):
                break
    return adversarial


def descend(
    model: Model,
    start: Tensor,
    images: Tensor,
    labels: Tensor,
    eps: float,
    step: float,
    steps: int,
    *,
    never_still: bool = True,
) -> Tensor:
    """From `start`, `steps` steps along the sign of the cross-entropy's gradient, each projected onto the ball.

    Where a model is so sure that this gradient is exactly 0 in its precision, that of the margin takes its place,
    unless `never_still` is false: there an attack would stand still, and the model would look robust.
    """
    adversarial = start
    for _ in range(steps):
        gradient = _sign_gradient(model, adversarial, labels, never_still)
        adversarial = project(adversarial + step * gradient, images, eps)
    return adversarial


ATTACKS: dict[str, Callable[..., Any]] = {"fgsm": fgsm, "ifgsm": ifgsm, "pgd": pgd}


def attack_images(
    model: nn.Module,
    images: Images,
    attack: str,
    eps: float,
    *,
    seed: int = 0,
    batch: int = 64,
    **options: Any,
) -> Images:
    """Adversarial images in 8 bits, as a defence gets them: those of an attack, rounded.

    Parameters
    ----------
    model : Module
        Attacked as it is: from float images in [0, 1] to logits, on its device.
    images : Images
        The originals.
    attack : {"fgsm", "ifgsm", "pgd"}
        One of `ATTACKS`.
    eps : float
        In units of 1.
    seed : int
        Of PGD's random starts.
    batch : int
        Images at a time.
    **options
        Handed on to the attack.

    Raises
    ------
    ValueError
        If `attack` is not known.
    """
    if attack not in ATTACKS:
        raise ValueError(f"attack must be one of {', '.join(ATTACKS)}, got {attack!r}")
    if attack == "pgd":
        options["generator"] = torch.Generator().manual_seed(seed)
    device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), None)
    parts = []
    pairs = list(zip(images.pixels.split(batch), images.labels.split(batch), strict=True))
    quiet = None if distributed.is_main() else True
    for x, y in tqdm(pairs, desc=attack, unit="batch", disable=quiet, leave=False):
        adversarial = ATTACKS[attack](model, (x / 255).to(device), y.to(device), eps, **options)
        parts.append(to_bytes(adversarial.cpu()))
    return Images(torch.cat(parts), images.labels, images.classes)


def to_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8, to the nearest."""
    return (images.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
