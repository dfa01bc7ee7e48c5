"""Attacks on a classifier of images in [0, 1] by its gradients.

Each takes `model`, which maps float images (B, 3, H, W) to logits, float images and their labels, and returns
adversarial images in [0, 1] within `eps` of the originals. eps and step are in units of 1, not of 1 / 255.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnjpeg._progress import Progress
from nnjpeg.robust.data import Images
from nnjpeg.robust.models import device_of
from nnjpeg.robust.record import distributed

__all__ = [
    "ATTACKS", "LOSSES", "attack_images", "bpda", "descend", "difgsm", "dlr", "expected", "fgsm", "gradient", "ifgsm",
    "margin", "pgd", "project", "tifgsm", "to_bytes", "towards", "viewed",
]  # fmt: skip

Model = Callable[[Tensor], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
"""From logits (B, classes) and labels (B,) to losses (B,); an attack makes them large."""


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """The lead of the best wrong class over the label: above 0 if the image is labelled wrong. Shape (B,)."""
    of_label = logits.gather(1, labels[:, None])[:, 0]
    return logits.scatter(1, labels[:, None], -torch.inf).amax(1) - of_label


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log softmax of the label. Shape (B,)."""
    return functional.cross_entropy(logits, labels, reduction="none")


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """The margin as a share of the lead of the first class over the third (Croce and Hein, 2020). Shape (B,).

    Unlike cross-entropy it does not depend on the scale of the logits, so a confident model has gradients too. With two
    classes it is the margin.
    """
    if logits.shape[1] < 3:
        return margin(logits, labels)
    first, _, third = logits.topk(3, dim=1).values.unbind(1)
    return margin(logits, labels) / (first - third + 1e-12)


def likelihood(scores: Tensor, labels: Tensor) -> Tensor:
    """Minus the score of the label: the cross-entropy, if the scores are log softmax or a mean of log softmax."""
    return -scores.gather(1, labels[:, None])[:, 0]


def towards(targets: Tensor) -> Loss:
    """A loss for a targeted attack towards `targets`: one class for all images, or one for each."""
    return lambda logits, labels: -cross_entropy(logits, targets.expand_as(labels))


LOSSES: dict[str, Loss] = {"cross-entropy": cross_entropy, "margin": margin, "dlr": dlr}
"""By name."""

_LOOK = 5  # steps between looks at which images are done: a look is a third of a step

TARGETS = 9
"""How many wrong classes a targeted attack tries, the likeliest first; all of them where there are fewer."""


def viewed(model: Model, view: str) -> Model:
    """The output of a model that an attack follows.

    Parameters
    ----------
    model : callable
        From images (B, 3, H, W) to logits.
    view : {"output", "logits", "members"}
        "output": the model as it is; of an `Ensemble`, the logarithm of the mean softmax. "logits": the mean of its
        members' logits. "members": the mean of their log softmax, so that minus that of the label is the mean of their
        cross-entropies.

    Returns
    -------
    callable
        From images to (B, classes).

    Raises
    ------
    TypeError
        If `view` needs members, and `model` has none.
    ValueError
        If `view` is none of these.
    """
    if view == "output":
        return model
    if view not in ("logits", "members"):
        raise ValueError(f"view must be 'output', 'logits' or 'members', got {view!r}")
    followed = getattr(model, view, None)
    if not callable(followed):
        raise TypeError(f"view {view!r} is for an Ensemble, not for a {type(model).__name__}")
    return followed if view == "members" else lambda images: followed(images).mean(0)


def expected(model: Model, samples: int) -> Model:
    """The logarithm of the mean softmax over `samples` draws of a random model; for one draw, the model itself.

    An attack asks it whether an image is labelled wrong, so that a single lucky draw does not end the attack.
    """
    if samples == 1:
        return model
    return lambda images: (
        torch.stack([model(images).log_softmax(1) for _ in range(samples)]).logsumexp(0) - math.log(samples)
    )


@torch.no_grad()
def likeliest_wrong(model: Model, images: Tensor, labels: Tensor) -> Tensor:
    """The wrong classes that a targeted attack tries, (`TARGETS` or fewer, B), the likeliest first."""
    logits = model(images)
    wrong = logits.scatter(1, labels[:, None], -torch.inf)
    return wrong.topk(min(TARGETS, logits.shape[1] - 1), dim=1).indices.T


def gradient(model: Model, images: Tensor, labels: Tensor, loss: Loss = cross_entropy, samples: int = 1) -> Tensor:
    """The gradient of the loss at `images`; for a random model, its mean over `samples` draws (Athalye et al., 2018).

    Parameters
    ----------
    model : callable
        From images to logits.
    images, labels : Tensor
        Float (B, 3, H, W) and int64 (B,).
    loss : callable
        See `Loss`.
    samples : int
        Draws of a random model (Athalye et al., 2018, section 4.2).
    """
    total = torch.zeros_like(images)
    for _ in range(samples):
        leaf = images.detach().requires_grad_()
        with torch.enable_grad():
            total += slope_of(loss(model(leaf), labels).sum(), leaf)
    return total / samples


def slope_of(loss: Tensor, leaf: Tensor) -> Tensor:
    """The gradient of a loss at a leaf; 0 if the loss does not depend on it differentiably, as through an argmax."""
    if not loss.requires_grad:
        return torch.zeros_like(leaf)
    slope = torch.autograd.grad(loss, leaf, allow_unused=True)[0]
    return torch.zeros_like(leaf) if slope is None else slope


def _moving(model: Model, images: Tensor, labels: Tensor, loss: Loss = cross_entropy, samples: int = 1) -> Tensor:
    """The gradient; where it is exactly 0 because the model is very confident, the gradient of the margin.

    Otherwise the attack would not move there, and the model would look robust.
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


def ifgsm(
    model: Model, images: Tensor, labels: Tensor, eps: float, steps: int = 10, step: float | None = None
) -> Tensor:
    """The basic iterative method (Kurakin et al., 2017): `steps` steps of the size `step`.

    By default the size is eps / steps, so that the last step just reaches eps; in the paper's Eq. 2 it is eps.
    """
    return descend(model, images, images, labels, eps, eps / steps if step is None else step, steps)


def pgd(
    model: Model,
    images: Tensor,
    labels: Tensor,
    eps: float,
    steps: int = 50,
    step: float = 1 / 255,
    restarts: int = 1,
    loss: Loss | str = "cross-entropy",
    view: str = "output",
    samples: int = 1,
    stop: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """PGD from a random point of the ball (Madry et al., 2018); by default with the steps of Fast AT's test.

    Each restart attacks the images that are still labelled right.

    Parameters
    ----------
    model : callable
        From images to logits.
    images, labels : Tensor
        Float (B, 3, H, W) in [0, 1] and int64 (B,).
    eps, step : float
        In units of 1.
    steps, restarts : int
        Steps of each descent, and number of descents; with a targeted loss, for each target.
    loss : str or callable
        One of `LOSSES`, or a `Loss`; or "targeted": towards one wrong class after another, the likeliest first, up to
        `TARGETS` of them, each for the images that are still labelled right.
    view : {"output", "logits", "members"}
        What of an ensemble it follows; see `viewed`. What succeeds is decided by the model's output.
    samples : int
        As for `gradient`. A random model's labels are those of its mean softmax over as many draws.
    stop : bool
        Leave an image as it is once its rounding to 8 bits is labelled wrong, and go on with the others. This saves
        time and loses no image, if the model is not random and its own label is what counts; images that are to fool
        another model are better for all of the steps.
    generator : torch.Generator, optional
        Of the random starts, on the CPU.

    Raises
    ------
    TypeError
        If `model` has no such `view`.
    ValueError
        If `loss` or `view` is not known.
    """
    if isinstance(loss, str) and loss not in (*LOSSES, "targeted"):
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}, targeted, got {loss!r}")
    followed, judged = viewed(model, view), expected(model, samples)

    @torch.no_grad()
    def standing(x: Tensor, y: Tensor) -> Tensor:
        return judged(to_bytes(x) / 255 if stop else x).argmax(1) == y

    targets: Tensor | list[None] = [None]
    if loss == "targeted":
        targets = likeliest_wrong(judged, images, labels)
    adversarial = images.clone()
    todo = torch.arange(len(images), device=images.device)
    attempts = [target for target in targets for _ in range(restarts)]
    for target in attempts:
        noise = torch.rand(images[todo].shape, generator=generator).to(images) * 2 - 1
        adversarial[todo] = project(images[todo] + eps * noise, images[todo], eps)
        for length in _parts(steps) if stop else [steps]:
            adversarial[todo] = descend(
                followed, adversarial[todo], images[todo], labels[todo], eps, step, length,
                loss=_loss(loss, view, None if target is None else target[todo]), samples=samples,
            )  # fmt: skip
            if stop or len(attempts) > 1:
                todo = todo[standing(adversarial[todo], labels[todo])]
            if not len(todo):
                return adversarial
    return adversarial


def _parts(steps: int) -> list[int]:
    """Split a number of steps into parts; after each part the images that are done are left out."""
    return [min(_LOOK, steps - done) for done in range(0, steps, _LOOK)]


def _loss(loss: Loss | str, view: str, targets: Tensor | None) -> Loss:
    """The loss that a descent maximises; the view "members" returns log softmax already."""
    entropy = likelihood if view == "members" else cross_entropy
    if targets is not None:
        return lambda logits, _: -entropy(logits, targets)
    return entropy if loss == "cross-entropy" else LOSSES[loss] if isinstance(loss, str) else loss


def tifgsm(model: Model, images: Tensor, labels: Tensor, eps: float, size: int = 15, sigma: float = 3.0) -> Tensor:
    """FGSM with the gradient smoothed by a Gaussian of `size` pixels, for transfer (TI-FGSM, Dong et al., 2019)."""
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

    Such attacks transfer better. Images are enlarged to a random size of up to `enlarged` times their own, and padded
    with black to the largest; there is no momentum. If the model takes images of one size only, they are made smaller
    instead, and padded to their own size.
    """
    height, width = images.shape[2:]
    largest = max(round(width * enlarged), width + 1)
    smallest = width
    if not _takes(model, functional.pad(images[:1], (0, largest - width, 0, _in_proportion(largest, images) - height))):
        smallest, largest = min(round(width / enlarged), width - 1), width

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    def diverse(x: Tensor) -> Tensor:
        if float(torch.rand((), generator=generator)) >= probability:
            return model(x)
        chosen = draw(smallest, largest)
        tall, whole = _in_proportion(chosen, x), _in_proportion(largest, x)
        left, top = draw(0, largest - chosen + 1), draw(0, whole - tall + 1)
        x = functional.interpolate(x, (tall, chosen), mode="nearest")
        return model(functional.pad(x, (left, largest - chosen - left, top, whole - tall - top)))

    return descend(diverse, images, images, labels, eps, eps / steps, steps)


def _in_proportion(width: int, images: Tensor) -> int:
    """The height for a width that keeps the proportions of the images."""
    return round(width * images.shape[2] / images.shape[3])


@torch.no_grad()
def _takes(model: Model, images: Tensor) -> bool:
    """Whether a model takes images of this size."""
    try:
        model(images)
    except (RuntimeError, ValueError, IndexError):
        return False
    return True


def bpda(
    model: Model,
    images: Tensor,
    labels: Tensor,
    eps: float | None = None,
    steps: int = 1000,
    rate: float = 0.1,
    penalty: float = 1e-6,
) -> Tensor:
    """BPDA as published (Athalye et al., 2018), which is the white-box attack of the paper.

    Gradient descent with the raw gradient, in L2: it increases the cross-entropy, with a penalty beyond eps. An image
    is done as soon as it is labelled wrong within eps. If a model is confident, raw gradients are small, and this
    attack hardly moves: `pgd` through the same approximation is stronger. Perturbations that end beyond eps are scaled
    to it.

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
            slope = slope_of(loss.sum(), leaf).nan_to_num()
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
    """Take `steps` steps from `start` along the sign of the loss's gradient, each projected onto the ball.

    Where the gradient is exactly 0, that of the margin is used, unless `never_still` is false.
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
    """Adversarial images rounded to 8 bits, as a defence receives them.

    Parameters
    ----------
    model : Module
        The model to attack, from float images in [0, 1] to logits, on its device.
    images : Images
        The originals.
    attack : str
        One of `ATTACKS`.
    eps : float
        In units of 1.
    seed : int
        Seed of PGD's random starts.
    batch : int
        Images at a time.
    **options
        Passed to the attack.

    Raises
    ------
    ValueError
        If `attack` is not known.
    """
    if attack not in ATTACKS:
        raise ValueError(f"attack must be one of {', '.join(ATTACKS)}, got {attack!r}")
    if attack in ("pgd", "difgsm"):
        options["generator"] = torch.Generator().manual_seed(seed)
    device = device_of(model)
    parts = []
    pairs = list(zip(images.pixels.split(batch), images.labels.split(batch), strict=True))
    with Progress(attack, len(pairs), "batch", quiet=not distributed.is_main()) as progress:
        for x, y in pairs:
            adversarial = ATTACKS[attack](model, (x / 255).to(device), y.to(device), eps, **options)
            parts.append(to_bytes(adversarial.cpu()))
            progress.update()
    return Images(torch.cat(parts), images.labels, images.classes, images.skipped, images.sources)


def to_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8, to the nearest."""
    return (images.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
