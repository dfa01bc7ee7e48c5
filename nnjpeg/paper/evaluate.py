"""Defences under attack in gray-box, black-box and white-box (section 4 of the paper), and whether to believe it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas
import torch
from torch import nn

from nnjpeg.paper.specs import Evaluate, Machine
from nnjpeg.paper.subject import benign_images, device_of, model_of
from nnjpeg.qtable import NN_TABLE, QTable
from nnjpeg.robust import models
from nnjpeg.robust.attack.attack import Attack, black_box, convergence, curve, expectation, gray_box
from nnjpeg.robust.data import Images, photos
from nnjpeg.robust.data import folder as folder_of_images
from nnjpeg.robust.defend.ensemble import Ensemble
from nnjpeg.robust.defend.transforms import CropRescale, Defended, Held, behind, has_smooth, jpeg, named, plain_jpeg
from nnjpeg.robust.judge.assess import BENIGN, assess, knowing_all, worst_case
from nnjpeg.robust.judge.checklist import checklist
from nnjpeg.robust.judge.statistics import at_equal_accuracy, find_well_labelled
from nnjpeg.robust.models import Classifier
from nnjpeg.robust.record import checkpoints, distributed
from nnjpeg.robust.record.run import Run
from nnjpeg.robust.record.store import Journal
from nnjpeg.robust.train.photos import photos_model
from nnjpeg.transforms import NNJpeg

__all__ = ["run"]

_WHITE = (
    "none", "JPEG 75", "Feature Distillation", "DeepN-JPEG", "NN-JPEG", "NN-JPEG + noisy", "ensemble",
    "ensemble, no compression", "five tables",
)  # fmt: skip
"""The deterministic defences that are attacked with full knowledge of them."""

_RANDOM = ("SHIELD SLQ", "TVM", "image quilting", "crop-rescale")
"""Those whose draws the attacker averages over; they are attacked once more with their draws held fixed."""

_HEADLINE = ("none", "NN-JPEG", "ensemble", "five tables")
"""Those that the curve, the comparison of optimisers and the test of convergence are of."""

_QUALITIES = (90, 75, 60, 50, 40, 30, 20, 10)
_DONORS = 100  # images of a folder that nothing is measured on: image quilting takes its patches from them


@dataclass(frozen=True)
class _Scene:
    """What all tables of one evaluation are of."""

    spec: Evaluate
    network: Classifier
    table: QTable
    device: torch.device
    defences: dict[str, nn.Module]
    originals: Images
    black_box: bool
    attack: Callable[..., pandas.DataFrame]
    """From a scenario, defences and attacks to rows; see `assess`."""

    @property
    def eps(self) -> float:
        """In units of 1."""
        return self.spec.threat.eps / 255

    def some(self, names: tuple[str, ...]) -> dict[str, nn.Module]:
        """Of the defences, those of these names that there are."""
        return {name: self.defences[name] for name in names if name in self.defences}


def run(spec: Evaluate, run: Run, machine: Machine) -> dict[str, pandas.DataFrame]:
    """Attack every defence, and write who holds, against whom, at what cost, and how far that is to be believed.

    Writes cells.csv (every defence under every attack, with intervals), optimiser.csv, colors.csv, equal.csv,
    beside.csv, curve.csv, convergence.csv, checklist.json, figures, and adversarial images (adversarial/).

    Returns
    -------
    dict of str to DataFrame
        The tables by name.
    """
    scene = _scene(spec, run, machine)
    cells = worst_case(pandas.concat(_scenarios(scene), ignore_index=True), scene.originals.sources)
    equal = _equal(scene)
    tables = {
        "cells": cells,
        "optimiser": _optimiser(scene),
        "colors": scene.attack("colors", _colors(scene), _gray(scene)),
        "equal": equal,
        "beside": _beside(cells, equal),
        "curve": _by_smoothness(
            scene, "curve", lambda smooth: curve([e / 255 for e in spec.curve], steps=_short(spec), smooth=smooth)
        ),
        "convergence": _by_smoothness(
            scene, "convergence",
            lambda smooth: convergence(scene.eps, steps=spec.steps, gradient="smooth" if smooth else "identity"),
        ),
    }  # fmt: skip
    if distributed.is_main():
        points = checklist(cells, curve=tables["curve"], settled=tables["convergence"], **_facts(scene))
        _write(run, tables, points)
    distributed.barrier()
    return tables


# What is attacked


def _scene(spec: Evaluate, run: Run, machine: Machine) -> _Scene:
    on = device_of(machine.device)
    if spec.models_of is not None:
        network = checkpoints.load(spec.models_of / "M.safetensors")[0].to(on)
    else:
        network = model_of(run / "M.safetensors", spec.subject, spec.seed).to(on)
    second = _other(spec, run)
    benign, donors = _images(spec, network)
    originals, considered = find_well_labelled(network, benign, spec.attacked, machine.batch)
    table = NN_TABLE if spec.table is None else QTable.load(spec.table)
    defences = {name: one.to(on) for name, one in _defences(spec, network, table, benign, donors).items()}
    targets: dict[str, nn.Module] = {"M": network, "one transform": behind(network, 50, table).to(on)}
    if second is not None:
        targets["other"] = second.to(on)
    journal, kept = Journal(run, "cells"), run / "adversarial"

    def attack(scenario: str, some: Mapping[str, nn.Module], attacks: Any) -> pandas.DataFrame:
        return assess(
            some, benign, originals, attacks, targets, journal, scenario=scenario, considered=considered,
            seed=spec.seed, batch=machine.batch, kept=kept, keep_whole=spec.keep == "all",
        )  # fmt: skip

    return _Scene(spec, network, table, on, defences, originals, second is not None, attack)


def _other(spec: Evaluate, run: Run) -> Classifier | None:
    if spec.subject.data == "photos" and spec.other_weights is None:
        return photos_model(run / "other.safetensors", arch=spec.other or "plain", seed=spec.seed)
    return None if spec.other is None else models.load(spec.other, spec.other_weights, **spec.other_options)


def _images(spec: Evaluate, network: Classifier) -> tuple[Images, Images]:
    """Images to measure on, and others to take patches from."""
    data = spec.subject.data
    if data == "photos":
        benign = benign_images(data, None, network, spec.images, spec.seed)
        assert benign is not None
        return benign, photos("train", 7 * _DONORS, seed=spec.seed)
    every = folder_of_images(
        data, spec.images + _DONORS, network.preprocess(), at_least=spec.attacked, outputs=network.outputs(),
        seed=spec.seed,
    )  # fmt: skip
    return every.take(slice(0, spec.images)), every.take(slice(spec.images, None))


def _defences(
    spec: Evaluate, network: Classifier, table: QTable, benign: Images, donors: Images
) -> dict[str, nn.Module]:
    transforms = named(benign.pixels, table, donors.pixels if len(donors) else None)
    found: dict[str, nn.Module] = {name: Defended(network, transform) for name, transform in transforms.items()}
    found["crop-rescale"] = CropRescale(network)
    tables = [NNJpeg(table, quality=quality) for quality in (90, 70, 50, 30)]
    found["five tables"] = Ensemble([(network, None), *((network, layer) for layer in tables)]).eval()
    if spec.models_of is not None:
        together = Ensemble.load(spec.models_of)
        last = together.names[-1]
        found[f"noisy alone ({last})"] = checkpoints.load(spec.models_of / f"{last}.safetensors")[0]
        middle = "M50" if (spec.models_of / "M50.safetensors").exists() else last
        found["NN-JPEG + noisy"] = behind(checkpoints.load(spec.models_of / f"{middle}.safetensors")[0], 50, table)
        found["ensemble"] = together
        found["ensemble, no compression"] = Ensemble([(model, None) for model in together.models]).eval()  # type: ignore[union-attr]
    return found


# How it is attacked


def _short(spec: Evaluate) -> int:
    """Steps of PGD where defences are many, or random and slow."""
    return max(spec.steps // 5, 1)


def _gray(scene: _Scene) -> list[Attack]:
    return gray_box(scene.eps, "M", steps=max(_short(scene.spec) // 2, 1), cw_steps=scene.spec.cw_steps)


def _scenarios(scene: _Scene) -> list[pandas.DataFrame]:
    """Tables 2 and 3: what the attacker knows."""
    spec, white = scene.spec, scene.some(_WHITE)
    knowing = partial(knowing_all, eps=scene.eps, steps=spec.steps, restarts=spec.restarts, queries=spec.queries)
    frames = [scene.attack("gray-box", scene.defences, _gray(scene))]
    if scene.black_box:
        transferred = black_box(scene.eps, "other", steps=max(_short(spec) // 2, 1))
        frames.append(scene.attack("black-box", scene.defences, transferred))
    frames.append(scene.attack("white-box", white, {name: knowing(one) for name, one in white.items()}))
    drawn = scene.some(_RANDOM)
    held = {f"{name}, draws held": Held(one) for name, one in drawn.items() if not isinstance(one, CropRescale)}
    averaged = partial(expectation, scene.eps, steps=_short(spec))
    for name, one in drawn.items():
        # Crop-rescale is a mean over many draws already.
        draws = (1,) if isinstance(one, CropRescale) else (1, spec.samples, 2 * spec.samples)
        attacks = [attack for count in draws for attack in averaged(samples=count, smooth=has_smooth(one))]
        frames.append(scene.attack("random", {name: one}, attacks))
    frames.append(
        scene.attack("random", held, {name: averaged(samples=1, smooth=has_smooth(one)) for name, one in held.items()})
    )
    return frames


def _optimiser(scene: _Scene) -> pandas.DataFrame:
    """BPDA as published beside PGD, each through one transform and through all: what explains their difference."""
    spec = scene.spec
    pgd: dict[str, Any] = {"loss": "cross-entropy", "steps": spec.steps, "step": scene.eps / 4}
    attacks = [
        attack
        for target in ("one transform", "whole")
        for attack in (
            Attack("bpda", target=target, steps=spec.bpda_steps),
            Attack("pgd", scene.eps, target=target, **pgd),
        )
    ]
    return scene.attack("optimiser", scene.some(_HEADLINE), attacks)


def _by_smoothness(scene: _Scene, scenario: str, attacks: Callable[[bool], list[Attack]]) -> pandas.DataFrame:
    """The headline defences, attacked through a smooth rounding where they have one."""
    some = scene.some(_HEADLINE)
    return scene.attack(scenario, some, {name: attacks(has_smooth(one)) for name, one in some.items()})


def _colors(scene: _Scene) -> dict[str, nn.Module]:
    """Figure 5, the table against the colour space: which of the two does what."""
    standard = QTable.standard_luminance()
    layers = {
        "JPEG's tables, YCbCr": jpeg(50),
        "JPEG's luminance table, RGB": NNJpeg(standard),
        "NN-JPEG's table, YCbCr": NNJpeg(scene.table, colorspace="ycbcr"),
        "NN-JPEG's table, RGB": NNJpeg(scene.table),
    }
    return {name: nn.Sequential(layer, scene.network).to(scene.device) for name, layer in layers.items()}


# At equal benign accuracy

_PLAIN = "JPEG, 4:2:0"


def _equal(scene: _Scene) -> pandas.DataFrame:
    """Compressions of many strengths under one attack of each scenario; columns ``family`` and ``quality``."""
    families: dict[str, Callable[[int], nn.Module]] = {
        _PLAIN: plain_jpeg,
        "NN-JPEG, RGB": lambda quality: NNJpeg(scene.table, quality=quality),
        "NN-JPEG, YCbCr": lambda quality: NNJpeg(scene.table, quality=quality, colorspace="ycbcr"),
    }
    axes = [(family, quality) for family in families for quality in _QUALITIES]
    layers = {f"{family} {quality}": families[family](quality) for family, quality in axes}
    swept = {name: nn.Sequential(layer, scene.network).to(scene.device) for name, layer in layers.items()}
    compared = _compared(scene)
    frames = []
    for scenario, attack in compared.items():
        frame = scene.attack(scenario, swept, [attack])
        columns = dict(zip(swept, axes, strict=True))
        frame["family"], frame["quality"] = zip(*frame["defence"].map(columns), strict=True)
        frames.append(frame)
    return pandas.concat(frames, ignore_index=True)


def _compared(scene: _Scene) -> dict[str, Attack]:
    """The attack by which defences are compared in each scenario: one that every defence meets in `_scenarios`."""
    gray = [attack for attack in _gray(scene) if attack.method == "pgd"]
    found = {"gray-box": gray[0]}
    if scene.black_box:
        (found["black-box"],) = (
            attack
            for attack in black_box(scene.eps, "other", steps=max(_short(scene.spec) // 2, 1))
            if attack.method == "pgd"
        )
    known = knowing_all(scene.defences["NN-JPEG"], scene.eps, steps=scene.spec.steps, restarts=scene.spec.restarts)
    (found["white-box"],) = (
        attack for attack in known if (attack.method, attack.gradient, attack.loss) == ("pgd", "identity", "margin")
    )
    return found


def _beside(cells: pandas.DataFrame, equal: pandas.DataFrame) -> pandas.DataFrame:
    """Each defence beside plain JPEG at the same benign accuracy, interpolated between JPEG's qualities.

    ``beside`` is empty where JPEG's curve does not reach that accuracy.
    """
    rows = []
    for scenario, swept in equal[equal["family"] == _PLAIN].groupby("scenario", sort=False):
        benign = swept[swept["attack"] == BENIGN].set_index("quality")["accuracy"]
        attacked = swept[swept["attack"] != BENIGN]
        points = [(benign[row.quality], row.accuracy) for row in attacked.itertuples()]
        same = attacked.iloc[0]
        axes = ("attack", "target", "gradient", "loss", "steps")
        here = cells[cells["scenario"] == scenario]
        for defence, part in here.groupby("defence", sort=False):
            mine = part[(part[list(axes)] == same[list(axes)]).all(axis=1)]
            clean = part[part["attack"] == BENIGN]
            if len(mine) and len(clean):
                row, accuracy = mine.iloc[0], float(clean["accuracy"].iloc[0])
                rows.append(
                    {
                        "scenario": scenario, "defence": defence, "attack": row["attack"], "benign": accuracy,
                        "accuracy": row["accuracy"], "low": row["low"], "high": row["high"],
                        "beside": at_equal_accuracy(points, accuracy),
                    }
                )  # fmt: skip
    return pandas.DataFrame(rows)


# What is written


def _facts(scene: _Scene) -> dict[str, Any]:
    """What the checklist has to know beside the results."""
    sources = scene.originals.sources
    return {
        "classes": scene.network.outputs() or len(scene.originals.classes),
        "undefended": "none",
        "smooth": [name for name, one in scene.some(_WHITE).items() if has_smooth(one)],
        "random": list(scene.some(_RANDOM)),
        "sources": None if sources is None else len(sources.unique()),
    }


def _write(run: Run, tables: Mapping[str, pandas.DataFrame], points: list[dict[str, str]]) -> None:
    from nnjpeg.paper import figures

    for name, frame in tables.items():
        run.write_csv(f"{name}.csv", frame)
    run.write_json("checklist.json", points)
    figures.curves(tables["curve"], run / "curve.png")
    figures.trade(tables["equal"], tables["beside"], run / "equal.png")
    cells = tables["cells"]
    for scenario, part in cells[cells["attack"] == "worst case"].groupby("scenario", sort=False):
        print(f"{scenario}, worst case, percent right")
        for row in part.itertuples():
            print(f"  {100 * row.accuracy:5.1f} ({100 * row.low:.0f} to {100 * row.high:.0f})  {row.defence}")
    missed = [one for one in points if one["state"] != "met"]
    print(f"{len(points) - len(missed)} of {len(points)} points of the checklist are met")
    for one in missed:
        print(f"  {one['state']}: {one['point']} ({one['why']})")
    print(f"in {run.folder}: cells.csv and the other tables, checklist.json, adversarial/ and the figures")
