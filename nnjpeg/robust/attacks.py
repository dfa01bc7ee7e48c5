"""Attacks on a classifier of images in [0, 1] by its gradients.

Each takes `model`, which maps float images (B, 3, H, W) to logits, float images and their labels, and returns
adversarial images in [0, 1] within `eps` of the originals. eps and step are in units of 1, not of 1 / 255.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnjpeg._progress import Progress
from nnjpeg.robust import distributed
from nnjpeg.robust.data import Images

__all__ = [
    "ATTACKS", "LOSSES", "attack_images", "bpda", "descend", "difgsm", "fgsm", "gradient", "ifgsm", "margin", "pgd",
    "project", "tifgsm", "to_bytes", "towards",
]  # fmt: skip

Model = Callable[[Tensor], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
"""From logits (B, classes) and labels (B,) to losses (B,); an attack makes them large."""


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """By how much the best wrong class leads: above 0 where the label is wrong. Shape (B,)."""
    of_label = logits.gather(1, labels[:, None])[:, 0]
    return logits.scatter(1, labels[:, None], -torch.inf).amax(1) - of_label


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log softmax of the label. Shape (B,)."""
    return functional.cross_entropy(logits, labels, reduction="none")


def towards(targets: Tensor) -> Loss:
    """A loss for a targeted attack: how near the label is to `targets`, one for all images or one for each."""
    return lambda logits, labels: -cross_entropy(logits, targets.expand_as(labels))


def _next_class(logits: Tensor, labels: Tensor) -> Tensor:
    return towards((labels + 1) % logits.shape[1])(logits, labels)


def _likelihood(scores: Tensor, labels: Tensor) -> Tensor:
    return -scores.gather(1, labels[:, None])[:, 0]


LOSSES: dict[str, Loss] = {
    "cross-entropy": cross_entropy, "margin": margin, "targeted": _next_class, "members": _likelihood,
}  # fmt: skip
"""By name. "targeted": towards the class after the label. "members": the mean cross-entropy of an ensemble's members,
where "cross-entropy" is that of their mean softmax."""


def gradient(model: Model, images: Tensor, labels: Tensor, loss: Loss = cross_entropy, samples: int = 1) -> Tensor:
    """That of the loss at `images`; of a random model, the mean over `samples` draws (expectation over transformation).

    Parameters
    ----------
    model : callable
        From images to logits.
    images, labels : Tensor
        Float (B, 3, H, W) and int64 (B,).
    loss : callable
        See `Loss`.
    samples : int
        How often a random model is asked (Athalye et al., 2018, section 4.2).
    """
    total = torch.zeros_like(images)
    for _ in range(samples):
        leaf = images.detach().requires_grad_()
        with torch.enable_grad():
            total += torch.autograd.grad(loss(model(leaf), labels).sum(), leaf)[0]
    return total / samples


def _moving(model: Model, images: Tensor, labels: Tensor, loss: Loss = cross_entropy, samples: int = 1) -> Tensor:
    """The gradient; where a model is so sure that it is exactly 0 in its precision, that of the margin.

    There an attack would stand still, and the model would look robust.
    """
    slope = gradient(model, images, labels, loss, samples)
    still = (slope == 0).flatten(1).all(1).nonzero()[:, 0]
    if len(still):
        slope[still] = gradient(model, images[still], labels[still], margin, samples)
    return slope


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
    loss: Loss | str = "cross-entropy",
    samples: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """From a random point of the ball (Madry et al., 2018); by default the steps of Fast AT's test.

    Of several restarts each attacks the images that are still labelled right, and what it gives is kept. `loss` is
    one of `LOSSES` or a `Loss`, "members" for an `Ensemble` alone; `samples` as for `gradient`.
    """
    chosen = LOSSES[loss] if isinstance(loss, str) else loss
    followed: Model = model
    if loss == "members":
        if not hasattr(model, "members"):
            raise TypeError(f"loss: 'members' is for an Ensemble, not for a {type(model).__name__}")
        followed = model.members
    adversarial = images.clone()
    todo = torch.arange(len(images), device=images.device)
    for _ in range(restarts):
        x, y = images[todo], labels[todo]
        noise = torch.rand(x.shape, generator=generator).to(x) * 2 - 1
        start = project(x + eps * noise, x, eps)
        adversarial[todo] = descend(followed, start, x, y, eps, step, steps, loss=chosen, samples=samples)
        if restarts > 1:
            with torch.no_grad():
                todo = todo[model(adversarial[todo]).argmax(1) == y]
            if not len(todo):
                break
    return adversarial


def tifgsm(model: Model, images: Tensor, labels: Tensor, eps: float, size: int = 15, sigma: float = 3.0) -> Tensor:
    """FGSM along the gradient smoothed by a Gaussian of `size` pixels, so as to transfer (Dong et al., 2019)."""
    kernel = gaussian(size, sigma).to(images)
    smooth = functional.conv2d(
        _moving(model, images, labels), kernel.expand(3, 1, size, size), padding=size // 2, groups=3
    )
    return project(images + eps * smooth.sign(), images, eps)


def gaussian(size: int, sigma: float) -> Tensor:
    """A Gaussian kernel (size, size) of sum 1."""
    line = torch.exp(-((torch.arange(size) - (size - 1) / 2) ** 2) / (2 * sigma**2))
    return torch.outer(line, line) / line.sum() ** 2


def difgsm(
    model: Model,
    images: Tensor,
    labels: Tensor,
    eps: float,
    steps: int = 10,
    probability: float = 0.5,
    enlarged: float = 330 / 299,
    generator: torch.Generator | None = None,
) -> Tensor:
    """I-FGSM on images that are, with a probability, enlarged and padded at random (DI-FGSM, Xie et al., 2019).

    It transfers better. They are enlarged to a side between their own and `enlarged` times it, and padded with black
    to the latter; no momentum. The model must take images of that size.
    """

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    def diverse(x: Tensor) -> Tensor:
        if float(torch.rand((), generator=generator)) >= probability:
            return model(x)
        side = x.shape[-1]
        largest = max(round(side * enlarged), side + 1)
        chosen = draw(side, largest)
        left, top = draw(0, largest - chosen + 1), draw(0, largest - chosen + 1)
        x = functional.interpolate(x, (chosen, chosen), mode="nearest")
        return model(functional.pad(x, (left, largest - chosen - left, top, largest - chosen - top)))

    return descend(diverse, images, images, labels, eps, eps / steps, steps)


def bpda(
    model: Model,
    images: Tensor,
    labels: Tensor,
    eps: float | None = None,
    steps: int = 1000,
    rate: float = 0.1,
    penalty: float = 1e-6,
) -> Tensor:
    """BPDA as published with its name (Athalye et al., 2018), which the paper's white-box attack is.

    Gradient descent by the raw gradient, in L2: up the cross-entropy, with a penalty on what goes beyond eps; an image
    is kept as soon as its label is wrong within eps. Where a model is sure, raw gradients are small, and this attack
    hardly moves: `pgd` through the same approximation is the stronger one. What ends beyond eps is scaled back to it.


    Parameters
    ----------
    model : callable
        The defended model, whose transform lets gradients through.
    images, labels : Tensor
        What to attack.
    eps : float, optional
        In L2 over the image; by default 0.05 times its side, as published for 299.
    steps : int
        At most.
    rate, penalty : float
        Of the descent.
    """
    eps = 0.05 * images.shape[-1] if eps is None else eps
    current, result = images.clone(), images.clone()
    todo = torch.arange(len(images), device=images.device)
    for _ in range(steps):
        leaf = current[todo].detach().requires_grad_()
        with torch.enable_grad():
            logits = model(leaf)
            distance = (leaf - images[todo]).flatten(1).norm(dim=1)
            loss = cross_entropy(logits, labels[todo]) - penalty * (distance - eps).clamp(min=0)
            slope = torch.autograd.grad(loss.sum(), leaf)[0].nan_to_num()
        done = (logits.argmax(1) != labels[todo]) & (distance <= eps)
        result[todo] = leaf.detach()
        current[todo] = (leaf.detach() + rate * slope).clamp(0, 1)
        todo = todo[~done]
        if not len(todo):
            break
    beyond = (result - images).flatten(1).norm(dim=1) / eps
    return images + (result - images) / beyond.clamp(min=1)[:, None, None, None]


def descend(
    model: Model,
    start: Tensor,
    images: Tensor,
    labels: Tensor,
    eps: float,
    step: float,
    steps: int,
    *,
    loss: Loss = cross_entropy,
    samples: int = 1,
    never_still: bool = True,
) -> Tensor:
    """From `start`, `steps` steps along the sign of the loss's gradient, each projected onto the ball.

    Where that is exactly 0, the margin's takes its place, unless `never_still` is false.
    """
    adversarial = start
    for _ in range(steps):
        slope = (_moving if never_still else gradient)(model, adversarial, labels, loss, samples)
        adversarial = project(adversarial + step * slope.sign(), images, eps)
    return adversarial


ATTACKS: dict[str, Callable[..., Any]] = {
    "fgsm": fgsm, "ifgsm": ifgsm, "pgd": pgd, "tifgsm": tifgsm, "difgsm": difgsm,
}  # fmt: skip
"""Those in the L-infinity ball, which all take (model, images, labels, eps)."""


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
    attack : str
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
    if attack in ("pgd", "difgsm"):
        options["generator"] = torch.Generator().manual_seed(seed)
    device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), None)
    parts = []
    pairs = list(zip(images.pixels.split(batch), images.labels.split(batch), strict=True))
    with Progress(attack, len(pairs), "batch", quiet=not distributed.is_main()) as progress:
        for x, y in pairs:
            adversarial = ATTACKS[attack](model, (x / 255).to(device), y.to(device), eps, **options)
            parts.append(to_bytes(adversarial.cpu()))
            progress.update()
    return Images(torch.cat(parts), images.labels, images.classes)


def to_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8, to the nearest."""
    return (images.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
