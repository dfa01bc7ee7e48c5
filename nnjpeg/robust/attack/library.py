"""AutoAttack (Croce and Hein, 2020; Square: Andriushchenko et al., 2020), by its authors' package `pyautoattack`.

Each takes `model`, which maps float images (B, 3, H, W) in [0, 1] to logits, images and their labels, and a bound `eps`
in L-infinity, in units of 1. It returns float32 images in [0, 1] within eps, on the device of the images: where the
model labels an image wrong already, or the attack fails, the image is returned unchanged. torch's random state, the
gradients of the model's parameters and the caller's gradient mode are unchanged.

The package's attacks are run as they are, one by one, with the same random numbers as by itself from the same seed.
Around them is mended what would overstate a defence:

- As targets they try all other classes, or the `TARGETS` likeliest where there are more; the package knows nine alone.
- The loss of APGD-DLR needs three classes and that of APGD-T four. Where there are fewer, the margin stands in for it.
- A random model's prediction before the attack, which decides what is attacked and the targets, is that of its mean
  softmax over `samples` draws: in the package one draw decides. An image counts as fooled by one draw in which it is.
- Square stops at ties, whatever the label is; here the label decides.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from nnjpeg._arguments import integer
from nnjpeg.robust.attack.gradients import TARGETS, Model, expected, likelihood, margin, project, viewed
from nnjpeg.robust.models import frozen

__all__ = ["apgd_ce", "apgd_dlr", "apgd_t", "fab_t", "square"]

# The package warns of gradients that are zero by a page of its own repository, once for each batch.
_QUIET = logging.Logger("pyautoattack", logging.CRITICAL)

_MODULES = {
    "APGDAttack": "autopgd_base", "APGDAttack_targeted": "autopgd_base", "FABAttack_PT": "fab_pt",
    "SquareAttack": "square",
}  # fmt: skip


def apgd_ce(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    eps: float,
    *,
    steps: int = 100,
    restarts: int = 1,
    view: str = "output",
    samples: int = 1,
    seed: int = 0,
) -> Tensor:
    """APGD on the cross-entropy.

    Parameters
    ----------
    model : Module
        From images to logits.
    images, labels : Tensor
        Float (B, 3, H, W) in [0, 1] and int64 (B,).
    eps : float
        L-infinity, in units of 1.
    steps, restarts : int
        Steps of each descent, and number of descents.
    view : {"output", "logits", "members"}
        The output of an ensemble that it follows; see `nnjpeg.robust.attack.gradients.viewed`. "members": the mean of
        their cross-entropies. Whether it has failed is decided by the model's output; what only the view labels wrong
        from the beginning is not attacked.
    samples : int
        Of a random model: draws for each gradient, whose mean is taken (expectation over transformation).
    seed : int
        Of the random starts; and of torch's random state, from which a random model may draw.

    Returns
    -------
    Tensor
        float32 (B, 3, H, W) in [0, 1], within eps.

    Raises
    ------
    ImportError
        If `pyautoattack` is not installed.
    TypeError, ValueError
        If steps, restarts or samples are not integers of at least 1; if `model` has no such `view`.
    """
    options = _apgd_options(eps, steps, restarts, samples, seed)

    def make(followed: Model, classes: int) -> Any:
        attack = _of_package("APGDAttack", followed, loss="ce", **options)
        if view == "members":
            # They have had their softmax. What the package calls DLR is a method of the attack: the place for a loss.
            attack.loss, attack.dlr_loss = "dlr", likelihood
        return attack

    return _perturbed(model, images, labels, eps, make, view=view, samples=samples, seed=seed)


def apgd_dlr(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    eps: float,
    *,
    steps: int = 100,
    restarts: int = 1,
    view: str = "output",
    samples: int = 1,
    seed: int = 0,
) -> Tensor:
    """APGD on the difference of logits ratio; with two classes, on the margin.

    Parameters, result and errors as for `apgd_ce`. The views "logits" and "members" are the same to it.
    """
    options = _apgd_options(eps, steps, restarts, samples, seed)

    def make(followed: Model, classes: int) -> Any:
        attack = _of_package("APGDAttack", followed, loss="dlr", **options)
        if classes < 3:
            attack.dlr_loss = margin
        return attack

    return _perturbed(model, images, labels, eps, make, view=view, samples=samples, seed=seed)


def apgd_t(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    eps: float,
    *,
    steps: int = 100,
    restarts: int = 1,
    view: str = "output",
    samples: int = 1,
    seed: int = 0,
) -> Tensor:
    """APGD on the targeted difference of logits ratio, towards one wrong class after another, the likeliest first.

    With two or three classes, on the margin to the target. Parameters, result and errors as for `apgd_ce`; steps and
    restarts are for each class. The views "logits" and "members" are the same to it.
    """
    options = _apgd_options(eps, steps, restarts, samples, seed)

    def make(followed: Model, classes: int) -> Any:
        targets = min(TARGETS, classes - 1)
        attack = _of_package("APGDAttack_targeted", followed, n_target_classes=targets, **options)
        if classes < 4:
            attack.dlr_loss_targeted = lambda logits, y: likelihood(logits, y) - likelihood(logits, attack.y_target)
        return attack

    return _perturbed(model, images, labels, eps, make, view=view, samples=samples, seed=seed)


def fab_t(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    eps: float,
    *,
    steps: int = 100,
    view: str = "output",
    seed: int = 0,
) -> Tensor:
    """FAB, which looks for the smallest perturbation towards one wrong class after another; those within eps are kept.

    It ends on the decision boundary, where rounding to bytes brings images back. It is not made for random models.
    Parameters, result and errors as for `apgd_ce`; steps are for each class. The views "logits" and "members" are the
    same to it.
    """
    steps = integer("steps", steps, 1, sys.maxsize)

    def make(followed: Model, classes: int) -> Any:
        targets = min(TARGETS, classes - 1)
        return _of_package(
            "FABAttack_PT", followed, n_iter=steps, eps=eps, seed=seed, targeted=True, n_target_classes=targets
        )

    return _perturbed(model, images, labels, eps, make, view=view, samples=1, seed=seed)


def square(
    model: nn.Module, images: Tensor, labels: Tensor, eps: float, *, queries: int = 5000, seed: int = 0
) -> Tensor:
    """Square, which takes no gradient: it changes one random square at a time, and keeps what lowers the margin.

    It succeeds where attacks by gradients fail because gradients are masked.

    Parameters
    ----------
    model, images, labels, eps, seed
        As for `apgd_ce`.
    queries : int
        For each image, at most, after the random stripes that it begins with. As in AutoAttack, the squares shrink at
        fixed queries, of which the last is the 8,000th: shrinking them within fewer finds less.

    Returns
    -------
    Tensor
        As for `apgd_ce`.

    Raises
    ------
    ImportError, TypeError, ValueError
        As for `apgd_ce`.
    """
    queries = integer("queries", queries, 1, sys.maxsize)

    def make(followed: Model, classes: int) -> Any:
        return _of_package(
            "SquareAttack", _without_ties(followed), n_queries=queries, eps=eps, seed=seed, resc_schedule=False
        )

    return _perturbed(model, images, labels, eps, make, view="output", samples=1, seed=seed)


def _apgd_options(eps: float, steps: int, restarts: int, samples: int, seed: int) -> dict[str, Any]:
    return {
        "n_iter": integer("steps", steps, 1, sys.maxsize),
        "n_restarts": integer("restarts", restarts, 1, sys.maxsize),
        "eot_iter": integer("samples", samples, 1, sys.maxsize),
        "eps": eps,
        "seed": seed,
        "logger": _QUIET,
    }


def _of_package(name: str, model: Model, **options: Any) -> Any:
    try:
        module = import_module(f"pyautoattack.{_MODULES[name]}")
    except ModuleNotFoundError as error:
        raise ImportError("AutoAttack needs the package pyautoattack: pip install 'nnjpeg[robust]'") from error
    return getattr(module, name)(model, norm="Linf", **options)


def _perturbed(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    eps: float,
    make: Callable[[Model, int], Any],
    *,
    view: str,
    samples: int,
    seed: int,
) -> Tensor:
    """Run the attack that `make` returns for a model and a number of classes."""
    followed = viewed(model, view)
    # Inference mode would keep the package from taking gradients; what it does apart from these needs no graph.
    with torch.inference_mode(False), torch.no_grad(), _seeded(seed), frozen(model):
        x, y = images.float().clone(), labels.clone()
        judged = expected(model, samples)
        logits = judged(x)
        right = (logits.argmax(1) == y).nonzero()[:, 0]
        if not len(right):
            return x
        known = logits[right] if view == "output" else None
        attack = make(_asked(followed, samples, known), logits.shape[1])
        start, y = x[right], y[right]
        found = project(attack.perturb(start.clone(), y), start, eps)
        if view != "output":
            found = torch.where((judged(found).argmax(1) != y)[:, None, None, None], found, start)
        x[right] = found
        return x


def _asked(model: Model, samples: int, known: Tensor | None) -> Model:
    """The model as the package sees it, in float32.

    Calls without a gradient ask for labels. The first one asks for the labels of the originals, which are `known`: so a
    random model is not asked a second time whether there is anything to attack.
    """
    mean = expected(model, samples)
    answers = [] if known is None else [known]

    def ask(images: Tensor) -> Tensor:
        if torch.is_grad_enabled():  # the package asks for a gradient, which is 0 where the model has none
            return model(images).float() + 0 * images.flatten(1).sum(1, keepdim=True)
        return (answers.pop() if answers else mean(images)).float()

    return ask


def _without_ties(model: Model) -> Model:
    """Make the first of equal largest logits a little larger, since Square takes a lead of 0 for a wrong label."""

    def ask(images: Tensor) -> Tensor:
        logits = model(images)
        largest = logits.amax(1, keepdim=True)
        tied = (logits == largest).sum(1, keepdim=True) > 1
        raised = torch.where(tied, largest.nextafter(largest.new_tensor(torch.inf)), largest)
        return logits.scatter(1, logits.argmax(1, keepdim=True), raised)

    return ask


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Context with all devices seeded, which restores torch's random state; the package seeds it too."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
