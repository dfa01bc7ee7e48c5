"""An attack as a value: its method, its target, and the form in which its images are judged.

The fields of an attack are columns of the results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from nnjpeg.robust.attack import gradients, library, minimal
from nnjpeg.robust.defend.transforms import Gradient

__all__ = [
    "AXES", "WHOLE", "Attack", "Gradient", "Loss", "View", "black_box", "convergence", "curve", "expectation",
    "gray_box", "white_box",
]  # fmt: skip

WHOLE = "whole"
"""The target of attacks that see all of a defence: every member and every transform."""

Loss = Literal["cross-entropy", "margin", "dlr", "targeted", ""]
View = Literal["output", "logits", "members", ""]
Form = Literal["8-bit", "float", "scaled"]

# Each method's function, from (model, images, labels) and its options to adversarial images; and which fields of an
# Attack are its options.
_METHODS: dict[str, tuple[Callable[..., Tensor], tuple[str, ...]]] = {
    "fgsm": (gradients.fgsm, ("eps",)),
    "ifgsm": (gradients.ifgsm, ("eps", "steps", "step")),
    "pgd": (gradients.pgd, ("eps", "steps", "step", "restarts", "loss", "view", "samples", "stop", "generator")),
    "tifgsm": (gradients.tifgsm, ("eps",)),
    "difgsm": (gradients.difgsm, ("eps", "steps", "generator")),
    "bpda": (gradients.bpda, ("steps",)),
    "deepfool": (minimal.deepfool, ()),
    "c&w": (minimal.carlini_wagner, ("steps",)),
    "apgd-ce": (library.apgd_ce, ("eps", "steps", "restarts", "view", "samples", "seed")),
    "apgd-dlr": (library.apgd_dlr, ("eps", "steps", "restarts", "view", "samples", "seed")),
    "apgd-t": (library.apgd_t, ("eps", "steps", "view", "samples", "seed")),
    "fab-t": (library.fab_t, ("eps", "steps", "view", "seed")),
    "square": (library.square, ("eps", "queries", "seed")),
}


@dataclass(frozen=True)
class Attack:
    """An attack: its method, what it knows, and the form in which its images are judged.

    Parameters
    ----------
    method : str
        Name of the method: fgsm, ifgsm, pgd, tifgsm, difgsm, bpda, deepfool, c&w; AutoAttack's apgd-ce, apgd-dlr,
        apgd-t, fab-t, square.
    eps : float or None
        L-infinity bound, in units of 1, 0..1; None if the method has a bound of its own, or looks for the smallest
        perturbation.
    target : str
        The model that the attack sees: `WHOLE`, the whole defence, or the name of another model.
    gradient : {"identity", "smooth", "none"}
        Gradient through the roundings of JPEG coefficients: of the identity, of a smooth rounding, or none at all.
    loss : {"cross-entropy", "margin", "dlr", "targeted", ""}
        What it makes large, where the method leaves a choice.
    view : {"output", "logits", "members", ""}
        What of an ensemble it follows: its output, which is the mean softmax; the mean of the members' logits; the mean
        of their losses.
    steps, restarts, samples, queries : int or None
        Its length; `samples`: draws of a random defence for each gradient.
    step : float or None
        The size of a step, in units of 1.
    form : {"8-bit", "float", "scaled"}
        "8-bit": rounded to bytes, which is what a defence gets. "float": as the attack gives them. "scaled": of
        minimal perturbations, made larger until they fool the target in 8 bits.
    """

    method: str
    eps: float | None = None
    target: str = WHOLE
    gradient: Gradient = "identity"
    loss: Loss = ""
    view: View = ""
    steps: int | None = None
    step: float | None = None
    restarts: int | None = None
    samples: int | None = None
    queries: int | None = None
    form: Form = "8-bit"

    def __post_init__(self) -> None:
        if self.method not in _METHODS:
            raise ValueError(f"method must be one of {', '.join(_METHODS)}, got {self.method!r}")
        for name, choices in (("gradient", Gradient), ("loss", Loss), ("view", View), ("form", Form)):
            if getattr(self, name) not in get_args(choices):
                accepted = ", ".join(map(repr, get_args(choices)))
                raise ValueError(f"{name} must be one of {accepted}, got {getattr(self, name)!r}")
        if self.eps is not None and not 0 <= self.eps <= 1:
            raise ValueError(f"eps must be in 0..1, such as 8 / 255, got {self.eps}")
        for name in ("steps", "restarts", "samples", "queries"):
            value = getattr(self, name)
            if not (value is None or value >= 1):
                raise ValueError(f"{name} must be at least 1, got {value}")

    @property
    def bounded(self) -> bool:
        """Whether the images stay within a given L-infinity bound."""
        return self.eps is not None

    def run(self, model: nn.Module, images: Tensor, labels: Tensor, seed: int) -> Tensor:
        """Attack `model` with images (B, 3, H, W) in [0, 1] on its device; return adversarial images in [0, 1].

        PGD on the whole of a deterministic defence stops changing an image that is labelled wrong in 8 bits.
        """
        function, names = _METHODS[self.method]
        given = {**{name: getattr(self, name, None) for name in names}, "seed": seed}
        given["generator"] = torch.Generator().manual_seed(seed)
        given["stop"] = self.target == WHOLE and self.samples is None
        options = {name: given[name] for name in names if given[name] not in (None, "")}
        return function(model, images, labels, **options)


AXES = tuple(field.name for field in fields(Attack))
"""The columns that say which attack a result is of."""


def gray_box(eps: float, target: str, *, steps: int = 10, cw_steps: int = 1000) -> list[Attack]:
    """Table 2's attacks on one model that is not the defence; eps in units of 1."""
    return [*black_box(eps, target, steps=steps), *_minimal(target, cw_steps)]


def black_box(eps: float, target: str, *, steps: int = 10) -> list[Attack]:
    """The attacks of `gray_box` that are bounded by eps, to be transferred from another model.

    I-FGSM's step is eps, as in the paper's Eq. 2.
    """
    common: dict[str, Any] = {"eps": eps, "target": target}
    return [
        Attack("fgsm", **common),
        Attack("ifgsm", steps=steps, step=eps, **common),
        Attack("pgd", loss="cross-entropy", steps=2 * steps, step=eps / 4, **common),
        Attack("tifgsm", **common),
        Attack("difgsm", steps=steps, **common),
    ]


def _minimal(target: str, cw_steps: int) -> list[Attack]:
    forms: tuple[Form, ...] = ("float", "8-bit", "scaled")
    return [
        Attack(method, target=target, steps=steps, form=form)
        for method, steps in (("deepfool", None), ("c&w", cw_steps))
        for form in forms
    ]


def white_box(
    eps: float,
    *,
    steps: int = 100,
    restarts: int = 1,
    queries: int = 1000,
    smooth: bool = True,
    ensemble: bool = False,
    thorough: bool = True,
) -> list[Attack]:
    """Attacks on the whole of a deterministic defence: every gradient through it, every loss, and queries.

    Parameters
    ----------
    eps : float
        L-infinity, in units of 1.
    steps, restarts : int
        Of PGD and of AutoAttack's attacks.
    queries : int
        Queries of Square.
    smooth : bool
        Whether the defence rounds coefficients, so that the gradient is a choice.
    ensemble : bool
        Whether the defence is an ensemble: then attacks follow its members' logits and losses too.
    thorough : bool
        Whether to return all attacks. Otherwise PGD with cross-entropy and the margin, APGD with cross-entropy, and
        Square.
    """
    pgd: dict[str, Any] = {"eps": eps, "steps": steps, "step": _step(eps), "restarts": restarts}
    followed: list[tuple[Loss, View]] = [("cross-entropy", "output"), ("margin", "output")]
    autoattack = ["apgd-ce"]
    if thorough:
        followed.append(("dlr", "output"))
        autoattack += ["apgd-t", "fab-t"]
        if ensemble:
            followed += [("cross-entropy", "logits"), ("cross-entropy", "members")]
    found = []
    for gradient in _gradients(smooth):
        found += [Attack("pgd", gradient=gradient, loss=loss, view=view, **pgd) for loss, view in followed]
        found += [
            # Towards each class as often as in AutoAttack: once.
            Attack(method, eps, gradient=gradient, steps=steps, restarts=restarts if method == "apgd-ce" else None)
            for method in autoattack
        ]
    return [*found, Attack("square", eps, gradient="none", queries=queries)]


def _gradients(smooth: bool) -> tuple[Gradient, ...]:
    return ("identity", "smooth") if smooth else ("identity",)


def _step(eps: float) -> float:
    return max(eps / 4, 1 / 255 / 4)


def expectation(eps: float, samples: int, *, steps: int = 20, smooth: bool = False) -> list[Attack]:
    """Attacks on the whole of a random defence, by the mean gradient over its draws."""
    common: dict[str, Any] = {"eps": eps, "steps": steps, "samples": samples}
    found = []
    for gradient in _gradients(smooth):
        found += [
            Attack("pgd", gradient=gradient, loss=loss, view="output", step=_step(eps), **common)
            for loss in ("cross-entropy", "margin", "dlr")
        ]
        found.append(Attack("apgd-ce", gradient=gradient, **common))
    return found


def convergence(eps: float, *, steps: int = 100, gradient: Gradient = "smooth") -> list[Attack]:
    """PGD, and PGD with twice the steps, three restarts, or steps of half or twice the size; none should do better."""

    def variant(times: int = 1, restarts: int = 1, size: float = 1 / 4) -> Attack:
        step = max(eps * size, 1 / 255 / 8)
        return Attack(
            "pgd", eps, gradient=gradient, loss="margin", view="output", steps=steps * times, step=step,
            restarts=restarts,
        )  # fmt: skip

    return [variant(), variant(times=2), variant(restarts=3), variant(size=1 / 8), variant(size=1 / 2)]


def curve(bounds: Sequence[float], *, steps: int = 20, smooth: bool = True) -> list[Attack]:
    """An attack of one step and one of many, for each bound, in units of 1."""
    return [
        attack
        for eps in bounds
        for gradient in _gradients(smooth)
        for attack in (
            Attack("fgsm", eps, gradient=gradient),
            Attack("pgd", eps, gradient=gradient, loss="cross-entropy", steps=steps, step=_step(eps)),
        )
    ]
