"""Accuracy under attack: the tables of section 4, each with the attack that knows the whole defence beside it.

A figure here always stands with what the attacker knows. Gray-box: the model without any defence. Black-box: another
architecture. White-box: all of the defence, every member and every transform, or, as in the paper, a part of it.
"""

from __future__ import annotations

import contextlib
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from nnjpeg import atomic
from nnjpeg._progress import Progress
from nnjpeg.ops import Gradient
from nnjpeg.qtable import NN_TABLE, QTable
from nnjpeg.robust import attacks as gradients
from nnjpeg.robust import distributed, minimal
from nnjpeg.robust.attacks import to_bytes
from nnjpeg.robust.data import Images
from nnjpeg.robust.runs import Journal, shared
from nnjpeg.robust.scores import share
from nnjpeg.robust.square import square
from nnjpeg.transforms import NNJpeg

__all__ = [
    "METHODS", "RANDOM_BOX", "Attack", "assess", "attempts", "behind", "beside", "convergence", "evaluate", "gray_box",
    "of_members", "white_box", "with_gradient", "worst_case",
]  # fmt: skip

METHODS: dict[str, Callable[..., Tensor]] = {
    **gradients.ATTACKS,
    "bpda": gradients.bpda,
    "deepfool": minimal.deepfool,
    "c&w": minimal.carlini_wagner,
    "square": square,
}
"""From (model, images, labels, eps) to adversarial images; those that look for the least perturbation take no eps."""

RANDOM_BOX = "white-box, random defences"
"""The scenario of random defences, whose attackers know all but the draws."""

_DRAWING = ("pgd", "difgsm", "square")


@dataclass(frozen=True)
class Attack:
    """An attack, what it knows, and in what form its images are judged.

    Parameters
    ----------
    name : str
        Of the column.
    method : str
        One of `METHODS`.
    eps : float or None
        In units of 1; None for the attack's own.
    options : tuple of (str, value)
        Handed on to the attack.
    target : str or None
        The name of the model that it attacks; None for the whole defence.
    gradient : {"straight-through", "cubic"}
        How it goes through NN-JPEG's quantizers.
    form : {"8-bit", "float", "scaled"}
        "8-bit": rounded to bytes, which is what a defence gets. "float": as the attack gives them. "scaled": of
        minimal perturbations, made larger until they fool the target in 8 bits.
    """

    name: str
    method: str
    eps: float | None = None
    options: tuple[tuple[str, Any], ...] = ()
    target: str | None = None
    gradient: Literal["straight-through", "cubic"] = "straight-through"
    form: Literal["8-bit", "float", "scaled"] = "8-bit"


def behind(model: nn.Module, quality: int | None, table: QTable = NN_TABLE) -> nn.Module:
    """A model that sees its images through NN-JPEG of a quality, in bytes, gradients straight through; or as is."""
    if quality is None:
        return model
    return nn.Sequential(NNJpeg(table, quality=quality, precision="uint8"), model)


@contextlib.contextmanager
def with_gradient(model: nn.Module, gradient: Gradient) -> Iterator[None]:
    """For a while, let gradients go through the quantizers of a model in one way."""
    layers = [layer for layer in model.modules() if isinstance(layer, NNJpeg)]
    before = [layer.gradient for layer in layers]
    try:
        for layer in layers:
            layer.gradient = gradient
        yield
    finally:
        for layer, kept in zip(layers, before, strict=True):
            layer.gradient = kept


def attempts(restarts: int, eps: float, *, steps: int = 50, step: float = 1 / 255, target: str | None = None) -> Attack:
    """PGD as Fast AT's authors test with it: PGD-`steps`-`restarts`."""
    name = f"{'gray ' if target else ''}PGD-{steps}-{restarts}"
    return Attack(name, "pgd", eps, (("restarts", restarts), ("step", step), ("steps", steps)), target)


def gray_box(
    eps: float, target: str, *, steps: int = 10, minimal_norm: bool = True, cw_steps: int = 1000, prefix: str = ""
) -> list[Attack]:
    """Table 2's attacks on one model that is not the defence: eps in units of 1, names beginning with `prefix`."""
    found = [
        Attack("FGSM", "fgsm", eps),
        Attack("I-FGSM", "ifgsm", eps, (("steps", steps),)),
        Attack("PGD", "pgd", eps, (("step", eps / 4), ("steps", 2 * steps))),
        Attack("TI-FGSM", "tifgsm", eps),
        Attack("DI-FGSM", "difgsm", eps, (("steps", steps),)),
    ]
    if minimal_norm:
        for name, method, options in (("DeepFool", "deepfool", ()), ("C&W", "c&w", (("steps", cw_steps),))):
            for form in ("float", "8-bit", "scaled"):
                found.append(Attack(f"{name}, {form}", method, None, options, form=form))
    return [
        Attack(prefix + one.name, one.method, one.eps, one.options, target, one.gradient, one.form) for one in found
    ]


def white_box(
    eps: float, part: str, *, steps: int = 40, restarts: int = 2, queries: int = 1000,
    bpda_steps: int = 1000,
) -> list[Attack]:  # fmt: skip
    """Table 3's attack, through one transform as the paper has it, and those that know the whole defence.

    Parameters
    ----------
    eps : float
        L-infinity, in units of 1; the published BPDA has its own, in L2.
    part : str
        The name of the model behind one transform, the paper's target.
    steps, restarts : int
        Of PGD.
    queries : int
        Of the Square attack.
    bpda_steps : int
        Of BPDA as published.
    """
    pgd = _strong(eps, steps, restarts)
    return [
        Attack("BPDA, one transform", "bpda", None, (("steps", bpda_steps),), part),
        Attack("PGD, one transform", "pgd", eps, pgd, part),
        Attack("BPDA, whole", "bpda", None, (("steps", bpda_steps),)),
        Attack("PGD, whole", "pgd", eps, pgd),
        Attack("PGD, whole, cubic", "pgd", eps, pgd, gradient="cubic"),
        Attack("PGD, whole, margin", "pgd", eps, (*pgd, ("loss", "margin"))),
        Attack("PGD, whole, targeted", "pgd", eps, (*pgd, ("loss", "targeted"))),
        Attack("Square", "square", eps, (("queries", queries),)),
    ]


def of_members(eps: float, *, steps: int = 40, restarts: int = 2) -> Attack:
    """On the mean loss of an ensemble's members, where others follow the loss of their mean softmax."""
    return Attack("PGD, members' loss", "pgd", eps, (*_strong(eps, steps, restarts), ("loss", "members")))


def _strong(eps: float, steps: int, restarts: int) -> tuple[tuple[str, Any], ...]:
    """PGD's options in white-box."""
    return (("restarts", restarts), ("step", max(eps / 4, 1 / 255 / 4)), ("steps", steps))


def convergence(eps: float, *, steps: int = 40) -> list[Attack]:
    """PGD, and with twice the steps, three restarts, and steps of half and of twice the size: none should do better."""

    def variant(name: str, times: int = 1, restarts: int = 1, size: float = 1 / 4) -> Attack:
        options = (("restarts", restarts), ("step", max(eps * size, 1 / 255 / 8)), ("steps", steps * times))
        return Attack(name, "pgd", eps, options)

    return [
        variant("PGD"),
        variant("twice the steps", times=2),
        variant("three restarts", restarts=3),
        variant("half the step", size=1 / 8),
        variant("twice the step", size=1 / 2),
    ]


def assess(
    defences: Mapping[str, nn.Module],
    benign: Images,
    originals: Images,
    attacks: Sequence[Attack],
    targets: Mapping[str, nn.Module] | None = None,
    journal: Journal | None = None,
    *,
    seed: int = 0,
    batch: int = 64,
    scenario: str = "",
    kept: Path | None = None,
    keep_whole: bool = False,
    known: dict[Any, dict[str, Any]] | None = None,
) -> Any:
    """Which images each defence labels right: benign ones and those of each attack.

    Parameters
    ----------
    defences : dict of str to Module
        From float images in [0, 1] to logits.
    benign : Images
        For accuracy without an attack.
    originals : Images
        To be attacked. Where they are those that the undefended model labels right, the share that it keeps is that of
        the attack alone.
    attacks : sequence of Attack
        See there.
    targets : dict of str to Module, optional
        What attacks with a `target` see.
    journal : Journal, optional
        Where results are kept as they come.
    seed : int
        Of random starts and random defences.
    batch : int
        Images at a time.
    scenario : str
        A name for all these rows.
    kept : path, optional
        A folder for the adversarial images of attacks with a `target`, as safetensors: ``float`` (as the attack gives
        them), ``bytes`` (rounded), ``labels``. Those already there are not made again.
    keep_whole : bool
        Keep those of attacks on whole defences too: a file for each defence and attack.
    known : dict, optional
        Filled with what each defence makes of each attack, whatever the scenario and the attack's name; what is in it
        is not done again. To be shared by calls with the same images and seed.

    Returns
    -------
    DataFrame
        A row for each defence and attack ("benign" for none): ``scenario``, ``defence``, ``attack``, ``hits`` (a 1 for
        each image that is labelled right, a 0 for others), ``right``, ``images``, ``bounded`` (whether the attack keeps
        within a given eps), the mean L2 and L-infinity norm of
        the perturbations, and the share with its 95% interval, ``accuracy``, ``low``, ``high``.

    Raises
    ------
    ValueError
        If an attack's target is not among `targets`.
    """
    import pandas

    by_name = {attack.name: attack for attack in attacks}
    for attack in attacks:
        if attack.target is not None and attack.target not in (targets or {}):
            raise ValueError(
                f"attacks: {attack.name} has the target {attack.target!r}, not among {list(targets or {})}"
            )
    made: dict[tuple[Any, ...], Tensor] = {}
    found = {} if known is None else known

    def count(key: dict[str, Any]) -> dict[str, Any]:
        defence, attack = defences[key["defence"]], by_name.get(key["attack"])
        nameless = None if attack is None else replace(attack, name="")
        if (defence, nameless) not in found:
            # What random defences draw: the same, whichever scenario asks first.
            described = json.dumps([key["defence"], nameless and astuple(nameless), seed])
            torch.manual_seed(zlib.crc32(described.encode()))
            found[defence, nameless] = judge(key["defence"], defence, attack)
        return found[defence, nameless]

    def judge(name: str, defence: nn.Module, attack: Attack | None) -> dict[str, Any]:
        if attack is None:
            return _judge(defence, benign.pixels / 255, benign.labels, batch)
        whole = attack.target is None
        target = defence if attack.target is None else (targets or {})[attack.target]
        # The forms of one attack share their images, and so do all defences that it does not know.
        same = (attack.method, attack.eps, attack.options, attack.target or f"all of {name}", attack.gradient)
        if same not in made:
            folder = None if whole and not keep_whole else kept
            made[same] = _kept(
                folder, same, lambda: _attacked(target, originals, attack, seed, batch), originals.labels
            )
        adversarial = made[same] if attack.form == "float" else _bytes(target, originals, made[same], attack, batch)
        if whole:
            del made[same]
        change = (adversarial - originals.pixels / 255).flatten(1)
        norms = {"l2": float(change.norm(dim=1).mean()), "linf": float(change.abs().amax(1).mean())}
        return {**_judge(defence, adversarial, originals.labels, batch), **norms}

    bounded = {attack.name for attack in attacks if attack.eps is not None}
    keys = [
        {"scenario": scenario, "defence": defence, "attack": attack}
        for attack in ("benign", *by_name)
        for defence in defences
    ]
    rows = shared(keys, count, journal, description=scenario or "attacks", unit="cell")
    for row in rows:
        row |= share(row["right"], row["images"]) | {"bounded": row["attack"] in bounded}
    return pandas.DataFrame(rows)


def _kept(folder: Path | None, attack: tuple[Any, ...], make: Callable[[], Tensor], labels: Tensor) -> Tensor:
    """The images of an attack from its file, which is made if it is not there."""
    if folder is None:
        return make()
    described = json.dumps(attack)
    readable = re.sub(r"[^\w.]+", "-", f"{attack[0]} on {attack[3]}")
    path = folder / f"{readable}-{zlib.crc32(described.encode()):08x}.safetensors"
    if not path.exists():
        adversarial = make()
        tensors = {"float": adversarial.contiguous(), "bytes": to_bytes(adversarial), "labels": labels}
        folder.mkdir(parents=True, exist_ok=True)
        atomic.write(path, safetensors.torch.save(tensors, {"attack": described}))
    found = safetensors.torch.load(path.read_bytes())
    if not torch.equal(found["labels"], labels):
        raise ValueError(f"kept: {path} holds other images")
    return found["float"]


@torch.no_grad()
def _judge(defence: nn.Module, images: Tensor, labels: Tensor, batch: int) -> dict[str, Any]:
    device = _device(defence)
    right = [
        defence(x.to(device)).argmax(1).cpu() == y
        for x, y in zip(images.split(batch), labels.split(batch), strict=True)
    ]
    hits = torch.cat(right)
    return {"hits": "".join("01"[int(hit)] for hit in hits), "right": int(hits.sum()), "images": len(hits)}


def _device(model: nn.Module) -> torch.device:
    return next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))


def _attacked(target: nn.Module, originals: Images, attack: Attack, seed: int, batch: int) -> Tensor:
    """Adversarial images as floats, on the CPU."""
    options = dict(attack.options)
    if attack.eps is not None:
        options["eps"] = attack.eps
    if attack.method in _DRAWING:
        options["generator"] = torch.Generator().manual_seed(seed)
    device = _device(target)
    parts = []
    pairs = list(zip(originals.pixels.split(batch), originals.labels.split(batch), strict=True))
    progress = Progress(attack.name, len(pairs), "batch", quiet=not distributed.is_main())
    with with_gradient(target, attack.gradient), progress:
        for x, y in pairs:
            parts.append(METHODS[attack.method](target, (x / 255).to(device), y.to(device), **options).cpu())
            progress.update()
    return torch.cat(parts)


def _bytes(target: nn.Module, originals: Images, adversarial: Tensor, attack: Attack, batch: int) -> Tensor:
    if attack.form == "8-bit":
        return to_bytes(adversarial) / 255
    device = _device(target)
    parts = [
        minimal.survive_rounding(target, (x / 255).to(device), a.to(device), y.to(device)).cpu()
        for x, a, y in zip(
            originals.pixels.split(batch), adversarial.split(batch), originals.labels.split(batch), strict=True
        )
    ]
    return torch.cat(parts) / 255


def worst_case(frame: Any, name: str = "worst case") -> Any:
    """Rows of `assess` with one more for each defence: right under each attack that keeps within eps, by image."""
    import pandas

    rows = []
    for (scenario, defence), part in frame[frame["bounded"]].groupby(["scenario", "defence"], sort=False):
        hits = np.asarray(np.array([[hit == "1" for hit in one] for one in part["hits"]]).all(0))
        text = "".join("01"[int(hit)] for hit in hits)
        row = {"scenario": scenario, "defence": defence, "attack": name, "hits": text}
        rows.append(row | share(int(hits.sum()), len(hits)))
    return pandas.concat([frame, pandas.DataFrame(rows)], ignore_index=True)


def beside(frame: Any, swept: Any) -> Any:
    """Each defence, and what has the benign accuracy nearest to its own in a family of which there are many strengths.

    Defences that cost less on benign images may only seem to defend worse: these rows compare at equal cost, and on the
    same images.

    Parameters
    ----------
    frame : DataFrame
        Of `assess`: one scenario, one attack and "benign".
    swept : DataFrame
        Of `assess`, with the same images and the same attack; its defences are the family.

    Returns
    -------
    DataFrame
        For each defence of `frame`: ``defence``, ``benign``, ``accuracy``; ``other``, ``other_benign``,
        ``other_accuracy``; how many attacked images ``only_this`` and ``only_other`` labels right.
    """
    import pandas

    (attack,) = set(frame["attack"]) - {"benign"}
    family = {name: part.set_index("attack") for name, part in swept.groupby("defence", sort=False)}
    rows = []
    for defence, part in frame.groupby("defence", sort=False):
        mine = part.set_index("attack")
        benign = mine.loc["benign", "accuracy"]
        other = min(family, key=lambda name: abs(family[name].loc["benign", "accuracy"] - benign))
        theirs = family[other]
        pairs = list(zip(mine.loc[attack, "hits"], theirs.loc[attack, "hits"], strict=True))
        rows.append(
            {
                "defence": defence, "benign": benign, "accuracy": mine.loc[attack, "accuracy"], "other": other,
                "other_benign": theirs.loc["benign", "accuracy"], "other_accuracy": theirs.loc[attack, "accuracy"],
                "only_this": pairs.count(("1", "0")), "only_other": pairs.count(("0", "1")),
            }
        )  # fmt: skip
    return pandas.DataFrame(rows)


def evaluate(
    model: nn.Module,
    defences: Mapping[str, nn.Module],
    images: Images,
    *,
    eps: float,
    attacked: int = 100,
    journal: Journal | None = None,
    seed: int = 0,
    batch: int = 64,
) -> Any:
    """The short way: a model's own defences in gray-box and white-box, with the worst case.

    Parameters
    ----------
    model : Module
        Without a defence; from float images in [0, 1] to logits.
    defences : dict of str to Module
        Likewise, behind whatever protects it: see `defences.Defended`.
    images : Images
        Benign ones; the first `attacked` that `model` labels right are attacked.
    eps : float
        L-infinity, in units of 1.
    attacked : int
        How many.
    journal, seed, batch
        As for `assess`.

    Returns
    -------
    DataFrame
        As of `assess`, scenarios "gray-box" and "white-box".
    """
    import pandas

    from nnjpeg.robust.scores import well_labelled

    every = {"none": model, **defences}
    originals = well_labelled(model, images, attacked, batch)
    common: dict[str, Any] = {"seed": seed, "batch": batch}
    gray = assess(
        every, images, originals, gray_box(eps, "none", minimal_norm=False), {"none": model}, journal,
        scenario="gray-box", **common,
    )  # fmt: skip
    whole = [attack for attack in white_box(eps, "none", queries=200) if attack.target is None and attack.eps]
    white = assess(every, images, originals, whole, None, journal, scenario="white-box", **common)
    return worst_case(pandas.concat([gray, white], ignore_index=True))
