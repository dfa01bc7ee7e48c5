"""Which images a defence labels right: benign images, and those of every attack on it.

Every figure names what the attacker knows. Gray-box: the model without any defence. Black-box: another architecture.
White-box: all of the defence, every member and every transform. Everything is computed in batches, so memory does not
grow with the number of images.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nnjpeg._arguments import integer
from nnjpeg.robust.attack import minimal
from nnjpeg.robust.attack.attack import AXES, WHOLE, Attack, expectation, gray_box, white_box
from nnjpeg.robust.attack.gradients import to_bytes
from nnjpeg.robust.data import Images
from nnjpeg.robust.defend.ensemble import Ensemble
from nnjpeg.robust.defend.transforms import has_smooth, identity_of, with_gradient
from nnjpeg.robust.judge.statistics import (
    as_hits,
    find_well_labelled,
    hits_of,
    labelled_right,
    share_of,
)
from nnjpeg.robust.models import device_of
from nnjpeg.robust.record.store import Journal, digest, keep, shared

__all__ = ["BENIGN", "UNDEFENDED", "WORST", "assess", "evaluate", "knowing_all", "worst_case"]

UNDEFENDED = "none"
"""The name of the model without a defence, in the column ``defence``."""

BENIGN, WORST = "benign", "worst case"
"""What stands in the column ``attack`` of rows without an attack, and of those over all attacks."""

Attacks = Sequence[Attack] | Mapping[str, Sequence[Attack]]


def assess(
    defences: Mapping[str, nn.Module],
    benign: Images,
    originals: Images,
    attacks: Attacks,
    targets: Mapping[str, nn.Module] | None = None,
    journal: Journal | None = None,
    *,
    scenario: str = "",
    considered: int | None = None,
    seed: int = 0,
    batch: int = 64,
    kept: Path | None = None,
    keep_whole: bool = False,
) -> Any:
    """Attack defences, and record which images each of them labels right.

    Parameters
    ----------
    defences : dict of str to Module
        From float images in [0, 1] to logits.
    benign : Images
        For accuracy without an attack.
    originals : Images
        To be attacked. Where they are those that the undefended model labels right, the share that a defence keeps is
        that of the attack alone.
    attacks : sequence of Attack, or dict of str to these
        The same for all defences, or by the name of the defence.
    targets : dict of str to Module, optional
        What attacks see whose `target` is not the whole defence.
    journal : Journal, optional
        Where results are kept as they come. What it has of the same weights, tables, images and seed is not done
        again, whatever the scenario.
    scenario : str
        A name for all these rows.
    considered : int, optional
        Of how many images `originals` are those that the undefended model labels right; by default all are.
    seed : int
        Of random starts and random defences.
    batch : int
        Images at a time.
    kept : path, optional
        A folder for the adversarial images of attacks with a `target` of their own: a folder for each attack, with a
        safetensors file for each batch: ``float`` (as the attack gives them), ``bytes`` (rounded), ``labels``. Those
        already there are not made again.
    keep_whole : bool
        Keep those of attacks on whole defences too.

    Returns
    -------
    DataFrame
        A row for each defence and attack: ``scenario``, ``defence``, ``attack`` (the method's name, "benign" for none),
        the other fields of `Attack`, ``bounded``, ``hits`` (a "1" for each image that is labelled right, a "0" for
        others), ``right``, ``images``, ``accuracy`` with its 95% interval ``low`` and ``high``, ``considered`` and
        ``of_all`` (the share of all images considered), the mean ``l2`` and ``linf`` norm of the perturbations, and
        ``seconds``.

    Raises
    ------
    ValueError
        If an attack's target is not among `targets`.
    """
    import pandas

    for one in _every(attacks):
        if one.target != WHOLE and one.target not in (targets or {}):
            raise ValueError(f"attacks: {one.method} has the target {one.target!r}, not among {list(targets or {})}")
    asked: list[tuple[str, Attack | None]] = [(name, None) for name in defences]
    if isinstance(attacks, Mapping):
        asked += [(name, attack) for name in defences for attack in attacks.get(name, ())]
    else:
        asked += [(name, attack) for attack in attacks for name in defences]
    weights = {name: identity_of(one) for name, one in (*defences.items(), *(targets or {}).items())}
    pixels = {True: digest(benign.pixels, benign.labels), False: digest(originals.pixels, originals.labels)}

    def of(name: str, attack: Attack | None) -> str:
        """What a result depends on: the defence and the attacked model, with weights and tables, and the images."""
        target = "" if attack is None or attack.target == WHOLE else weights[attack.target]
        return hashlib.sha256(f"{weights[name]} {target} {pixels[attack is None]} {seed}".encode()).hexdigest()[:16]

    keys = [{"defence": name, **columns_of(attack), "of": of(name, attack)} for name, attack in asked]
    by_key = {json.dumps(key): pair for key, pair in zip(keys, asked, strict=True)}

    def group(key: dict[str, Any]) -> str:
        """Keys that share adversarial images: the forms of an attack, and all defences that it does not know."""
        name, attack = by_key[json.dumps(key)]
        if attack is None:
            return json.dumps([name])
        return json.dumps([name if attack.target == WHOLE else "", asdict(replace(attack, form="8-bit"))])

    def work(several: list[dict[str, Any]]) -> list[dict[str, Any]]:
        pairs = [by_key[json.dumps(key)] for key in several]
        name, attack = pairs[0]
        began = time.perf_counter()
        if attack is None:
            judged = [{"hits": _hits(defences[name], benign, batch, _seed(seed, name))}]
        else:
            whole = attack.target == WHOLE
            target = defences[name] if whole else (targets or {})[attack.target]
            folder = None if kept is None or (whole and not keep_whole) else _folder(kept, attack, name)
            judged = _attacked(
                target, originals, attack, [(defences[one], form) for one, form in _forms(pairs)],
                _seed(seed, group(several[0])), batch, folder, weights[name if whole else attack.target],
            )  # fmt: skip
        seconds = (time.perf_counter() - began) / len(several)
        return [{**one, "seconds": round(seconds, 3)} for one in judged]

    rows = shared(keys, work, journal, group=group, description=scenario or "attacks", unit="attack")
    for row, (_, attack) in zip(rows, asked, strict=True):
        del row["of"]
        sources = (benign if attack is None else originals).sources
        whole_set = len(benign) if attack is None else considered or len(originals)
        row |= {"scenario": scenario, "bounded": attack is not None and attack.bounded}
        row |= _share(row["hits"], sources, whole_set)
    return pandas.DataFrame(rows)


def _every(attacks: Attacks) -> Iterator[Attack]:
    for several in attacks.values() if isinstance(attacks, Mapping) else [attacks]:
        yield from several


def columns_of(attack: Attack | None) -> dict[str, Any]:
    """An attack's fields as columns; "attack" is its method's name."""
    if attack is None:
        return {"attack": BENIGN, **{name: None for name in AXES if name != "method"}}
    fields = asdict(attack)
    return {"attack": fields.pop("method"), **fields}


def _share(hits: str, sources: Tensor | None, considered: int) -> dict[str, Any]:
    found = share_of(hits, None if sources is None else sources.numpy())
    return {**found, "considered": considered, "of_all": found["right"] / considered}


def _seed(seed: int, *parts: Any) -> int:
    return zlib.crc32(json.dumps([seed, *parts]).encode())


def _forms(pairs: Sequence[tuple[str, Attack | None]]) -> Iterator[tuple[str, str]]:
    for name, attack in pairs:
        assert attack is not None
        yield name, attack.form


def _batches(images: Images, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    yield from zip(images.pixels.split(batch), images.labels.split(batch), strict=True)


def _judged(defence: nn.Module, images: Tensor, labels: Tensor, seed: int) -> str:
    """The hits of a batch; the seed decides the draws of random defences."""
    device = device_of(defence)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        return hits_of(labelled_right(defence, images, labels))


def _hits(defence: nn.Module, images: Images, batch: int, seed: int) -> str:
    return "".join(_judged(defence, x / 255, y, seed + k) for k, (x, y) in enumerate(_batches(images, batch)))


def _attacked(
    target: nn.Module,
    originals: Images,
    attack: Attack,
    judges: Sequence[tuple[nn.Module, str]],
    seed: int,
    batch: int,
    folder: Path | None,
    weights: str,
) -> list[dict[str, Any]]:
    """For each defence and form, which images of one attack are labelled right, and the mean norms.

    `weights` is the digest of those of `target`.
    """
    device = device_of(target)
    of = {"attack": asdict(replace(attack, form="8-bit")), "target": weights}
    unforeseen = _seed(seed, "judged")  # with the attack's own seed it would know what a random defence draws
    hits, norms = [""] * len(judges), np.zeros((len(judges), 2))
    for number, (pixels, labels) in enumerate(_batches(originals, batch)):
        x, y = (pixels / 255).to(device), labels.to(device)
        path = folder and folder / f"{number:05d}.safetensors"
        adversarial = _made(target, x, y, attack, seed + number, path, of)
        forms: dict[str, Tensor] = {}
        for k, (defence, form) in enumerate(judges):
            if form not in forms:
                forms[form] = _in_form(form, target, x, y, adversarial, attack)
            hits[k] += _judged(defence, forms[form], labels, unforeseen + number)
            change = (forms[form] - x).flatten(1)
            norms[k] += float(change.norm(dim=1).sum()), float(change.abs().amax(1).sum())
    means = norms / len(originals)
    return [{"hits": one, "l2": l2, "linf": linf} for one, (l2, linf) in zip(hits, means.tolist(), strict=True)]


def _made(
    target: nn.Module, x: Tensor, y: Tensor, attack: Attack, seed: int, path: Path | None, of: dict[str, Any]
) -> Tensor:
    """Adversarial images of one batch, from their file if there is one."""

    def make() -> dict[str, Tensor]:
        with with_gradient(target, attack.gradient), torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
            torch.manual_seed(seed)
            adversarial = attack.run(target, x, y, seed)
        return {"float": adversarial.cpu().contiguous(), "bytes": to_bytes(adversarial).cpu(), "labels": y.cpu()}

    described = {} if path is None else {**of, "seed": seed, "images": digest(x, y)}
    return keep(path, described, make)["float"].to(x.device)


def _in_form(form: str, target: nn.Module, x: Tensor, y: Tensor, adversarial: Tensor, attack: Attack) -> Tensor:
    if form == "float":
        return adversarial
    if form == "8-bit":
        return to_bytes(adversarial) / 255
    return minimal.survive_rounding(target, x, adversarial, y) / 255


def _folder(kept: Path, attack: Attack, defence: str) -> Path:
    """The folder of one attack's images."""
    on = attack.target if attack.target != WHOLE else f"all of {defence}"
    described = json.dumps([asdict(replace(attack, form="8-bit")), on])
    return (
        kept / f"{re.sub(r'[^a-z0-9.]+', '-', f'{attack.method} on {on}'.lower())}-{zlib.crc32(described.encode()):08x}"
    )


def worst_case(frame: Any, sources: Tensor | None = None) -> Any:
    """Rows of `assess` with one more for each scenario, defence and eps: right under every attack that keeps within
    that bound, in 8 bits, image by image.

    An attacker who knows the whole defence can run every other attack too: in a scenario whose attacks see the whole
    defence, the attacks of all other scenarios count as well. So a defence gains nothing by hiding its gradients.

    Parameters
    ----------
    frame : DataFrame
        Of `assess`.
    sources : Tensor, optional
        Of the attacked images, as `Images` has them: for the interval.

    Returns
    -------
    DataFrame
        `frame` and the new rows, in whose column ``attack`` stands "worst case".
    """
    import pandas

    rows = []
    counted = frame[frame["bounded"].astype(bool) & (frame["form"] == "8-bit")]
    for (scenario, defence, eps), part in counted.groupby(["scenario", "defence", "eps"], sort=False):
        if (part["target"] == WHOLE).any():
            part = counted[(counted["defence"] == defence) & (counted["eps"] == eps)]
        hits = hits_of(np.logical_and.reduce([as_hits(one) for one in part["hits"]]))
        row = {"scenario": scenario, "defence": defence, "attack": WORST, "eps": eps, "bounded": True, "hits": hits}
        rows.append({**row, **_share(hits, sources, int(part["considered"].iloc[0]))})
    return pandas.concat([frame, pandas.DataFrame(rows)], ignore_index=True)


def knowing_all(
    defence: nn.Module,
    eps: float,
    *,
    steps: int = 100,
    restarts: int = 1,
    queries: int = 1000,
    draws: int = 0,
    thorough: bool = True,
) -> list[Attack]:
    """The white-box attacks for a defence, by its kind.

    Parameters
    ----------
    defence : Module
        Whether it has roundings of coefficients, and whether it is an ensemble, decides about gradients and views.
    eps : float
        L-infinity, in units of 1.
    steps, restarts, queries : int
        Their lengths.
    draws : int
        Of a random defence, for each gradient; 0: it is not random.
    thorough : bool
        See `white_box`.
    """
    if draws:
        return expectation(eps, draws, steps=steps, smooth=has_smooth(defence))
    return white_box(
        eps, steps=steps, restarts=restarts, queries=queries, smooth=has_smooth(defence),
        ensemble=isinstance(defence, Ensemble), thorough=thorough,
    )  # fmt: skip


@torch.no_grad()
def _check_draws(defences: Mapping[str, nn.Module], images: Images, draws: Mapping[str, int]) -> None:
    """Refuse draws for unknown defences, and random defences without draws, whose figures would be too high."""
    for name in draws:
        if name not in defences:
            raise ValueError(f"draws: {name!r} is no defence; there are {', '.join(defences)}")
        integer("draws", draws[name], 1, sys.maxsize)
    for name, defence in defences.items():
        if name not in draws:
            few = (images.pixels[:8] / 255).to(device_of(defence))
            if not torch.equal(defence(few), defence(few)):
                raise ValueError(
                    f"draws: {name} answers differently when it is asked twice; say how many draws an attacker "
                    f"averages over, as in draws={{{name!r}: 8}}"
                )


def evaluate(
    model: nn.Module,
    defences: Mapping[str, nn.Module],
    images: Images,
    *,
    eps: float,
    attacked: int = 100,
    steps: int = 100,
    queries: int = 1000,
    draws: Mapping[str, int] | None = None,
    journal: Journal | None = None,
    seed: int = 0,
    batch: int = 64,
) -> Any:
    """Evaluate defences in gray-box and in white-box with the strongest attacks of this package, and the worst case.

    Parameters
    ----------
    model : Module
        Without a defence; from float images in [0, 1] to logits. Its name in the result is "none".
    defences : dict of str to Module
        Likewise, behind whatever protects it: see `Defended`.
    images : Images
        Benign ones; the first `attacked` that `model` labels right are attacked.
    eps : float
        L-infinity, in units of 1.
    attacked : int
        How many.
    steps : int
        Of PGD and of AutoAttack's APGD and FAB in white-box.
    queries : int
        Of Square.
    draws : dict of str to int, optional
        Names of random defences, and how many draws an attacker averages over, at least 1.
    journal, seed, batch
        As for `assess`.

    Returns
    -------
    DataFrame
        As of `assess`, scenarios "gray-box" and "white-box", with a row "worst case" for each defence.

    Raises
    ------
    ValueError
        If a defence is called "none", `draws` names no defence, or a defence without draws answers differently when it
        is asked twice.
    """
    import pandas

    if UNDEFENDED in defences:
        raise ValueError(f"defences: {UNDEFENDED!r} is the name of the model without a defence; give it another")
    every = {UNDEFENDED: model, **defences}
    _check_draws(every, images, draws or {})
    originals, considered = find_well_labelled(model, images, attacked, batch)
    common: dict[str, Any] = {"seed": seed, "batch": batch, "considered": considered}
    transferred = [attack for attack in gray_box(eps, UNDEFENDED) if attack.bounded]
    gray = assess(every, images, originals, transferred, {UNDEFENDED: model}, journal, scenario="gray-box", **common)
    whole = {
        name: knowing_all(one, eps, steps=steps, queries=queries, draws=(draws or {}).get(name, 0))
        for name, one in every.items()
    }
    white = assess(every, images, originals, whole, None, journal, scenario="white-box", **common)
    return worst_case(pandas.concat([gray, white], ignore_index=True), originals.sources)
