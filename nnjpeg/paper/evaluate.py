"""Defences under attack in gray-box, black-box and white-box (section 4 of the paper), with the checklist."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas
import torch
from torch import nn

from nnjpeg.paper.specs import ADVERSARIAL, Evaluate, Machine
from nnjpeg.paper.subject import benign_images, device_of, model_of, other_of, table_of, test_images, training_of
from nnjpeg.qtable import QTable
from nnjpeg.robust.attack.attack import Attack, black_box, convergence, curve, expectation, gray_box
from nnjpeg.robust.data import PHOTOS, Images, photos
from nnjpeg.robust.defend.ensemble import Ensemble, input_transform
from nnjpeg.robust.defend.transforms import CropRescale, Defended, Held, behind, has_smooth, jpeg, named, plain_jpeg
from nnjpeg.robust.judge.assess import BENIGN, UNDEFENDED, WORST, assess, knowing_all, worst_case
from nnjpeg.robust.judge.autoattack import autoattack
from nnjpeg.robust.judge.checklist import checklist
from nnjpeg.robust.judge.statistics import at_equal_accuracy, find_well_labelled, mcnemar
from nnjpeg.robust.models import Classifier
from nnjpeg.robust.record import checkpoints, distributed
from nnjpeg.robust.record.run import Run
from nnjpeg.robust.record.store import Journal
from nnjpeg.transforms import NNJpeg

__all__ = ["run"]

_QUALITIES = (90, 75, 60, 50, 40, 30, 20, 10)
_DRAWN = (30, 90)  # the qualities of random tables: those of the chain
_MOST_DRAWS = 64
_DONORS = 100  # images of a folder that nothing is measured on: image quilting takes its patches from them


@dataclass(frozen=True)
class _Defence:
    """A defended model, and the attacks on it.

    Parameters
    ----------
    model : Module
        From float images in [0, 1] to logits.
    white : bool
        Whether it is attacked in white-box.
    random : bool
        Whether it is random: then the attacker averages over its draws, and attacks once more with fixed draws.
    headline : bool
        Whether an evaluation that is not thorough attacks it in white-box too, and the curve and the test of
        convergence are of it.
    table3 : bool
        Whether the comparison of optimisers is of it.
    again : bool
        Whether it is another's, from another seed: then it is never attacked thoroughly.
    parts : tuple of str
        The names of defences that are one part of it alone.
    """

    model: nn.Module
    white: bool = True
    random: bool = False
    headline: bool = False
    table3: bool = False
    again: bool = False
    parts: tuple[str, ...] = ()

    @property
    def in_white_box(self) -> bool:
        """Whether it belongs to the scenario white-box; random defences have their own scenario."""
        return self.white and not self.random


@dataclass(frozen=True)
class _Scene:
    """What all tables of one evaluation share."""

    spec: Evaluate
    network: Classifier
    table: QTable
    device: torch.device
    defences: Mapping[str, _Defence]
    originals: Images
    black_box: bool
    autoattack: Callable[[Mapping[str, nn.Module]], pandas.DataFrame]
    """From defences to rows; see `judge.autoattack`."""
    attack: Callable[..., pandas.DataFrame]
    """From a scenario, defences and attacks to rows; see `assess`."""

    @property
    def eps(self) -> float:
        """In units of 1."""
        return self.spec.threat.eps / 255

    @property
    def short(self) -> int:
        """Steps of PGD for many defences, or for random and slow ones."""
        return max(self.spec.steps // 5, 1)

    def some(self, scenario: str) -> dict[str, nn.Module]:
        """The models of the defences that a scenario attacks, by name."""
        wanted = _ATTACKED[scenario]
        return {name: one.model for name, one in self.defences.items() if wanted(one, self.spec)}

    @property
    def scenarios(self) -> list[str]:
        """Those that are asked for and attack one of the defences, or make defences of their own."""
        return [name for name in self.spec.scenarios if name not in _ATTACKED or self.some(name)]


def _chosen(one: _Defence, spec: Evaluate) -> bool:
    """Whether an evaluation is thorough, or a defence is a headline of those that are not."""
    return spec.thorough or one.headline


_ATTACKED: dict[str, Callable[[_Defence, Evaluate], bool]] = {
    "gray-box": lambda one, spec: True,
    "black-box": lambda one, spec: True,
    "white-box": lambda one, spec: one.in_white_box and (_chosen(one, spec) or one.again),
    "random": lambda one, spec: one.random,
    "optimiser": lambda one, spec: one.table3,
    "curve": lambda one, spec: one.headline,
    "convergence": lambda one, spec: one.headline,
    "autoattack": lambda one, spec: one.in_white_box and not one.again and _chosen(one, spec),
}
"""Which defences each scenario attacks; colors and equal make their own."""


def run(spec: Evaluate, run: Run, machine: Machine) -> dict[str, pandas.DataFrame]:
    """Attack every defence, and write accuracy by defence and attack, the cost in benign accuracy, and the checklist.

    Writes cells.csv (every defence under every attack, with intervals), a table for each further scenario,
    checklist.json, the quantization table of NN-JPEG (table.json), figures, and adversarial images (adversarial/).

    Returns
    -------
    dict of str to DataFrame
        The tables by name.
    """
    scene = _scene(spec, run, machine)
    for name in spec.scenarios:
        if name not in scene.scenarios and distributed.is_main():
            print(f"{name}: it attacks none of {', '.join(scene.defences)}")
    if not scene.scenarios:
        raise ValueError(f"defences: no scenario attacks {', '.join(scene.defences)}")
    knowing = [_KNOWING[name](scene) for name in _KNOWING if name in scene.scenarios]
    tables = {}
    if knowing:
        tables["cells"] = worst_case(pandas.concat(knowing, ignore_index=True), scene.originals.sources)
        tables["versus"] = _versus(tables["cells"])
    tables |= {name: make(scene) for name, make in _FURTHER.items() if name in scene.scenarios}
    if "equal" in tables:
        tables["beside"] = _beside(scene, tables["equal"])
    if distributed.is_main():
        points = checklist(
            tables.get("cells"), curve=tables.get("curve"), settled=tables.get("convergence"), **_facts(scene)
        )
        scene.table.save(run / "table.json")
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
    if spec.models_of is not None and spec.subject.data == "photos" and network.outputs() != len(PHOTOS):
        raise ValueError(
            f"data: the models of {spec.models_of} have {network.outputs()} classes, photos have {len(PHOTOS)}; give a "
            "folder of images with --data"
        )
    second = other_of(run, spec) if "black-box" in spec.scenarios else None
    given = () if spec.models_of is None else (spec.models_of,)
    table = table_of(spec.table, {"models_of": given, "replicas": spec.replicas, "adversarial": spec.adversarial})
    benign, donors = _images(spec, network)
    originals, considered = find_well_labelled(network, benign, spec.attacked, machine.batch)
    defences = _defences(spec, network, table, benign, donors)
    for one in defences.values():
        one.model.to(on)
    targets: dict[str, nn.Module] = {"M": network, "one transform": behind(network, 50, table).to(on)}
    if second is not None:
        targets["other"] = second.to(on)
    journal, kept = Journal(run, "cells"), run / "adversarial"

    def attack(scenario: str, some: Mapping[str, nn.Module], attacks: Any) -> pandas.DataFrame:
        return assess(
            some, benign, originals, attacks, targets, journal, scenario=scenario, considered=considered,
            seed=spec.seed, batch=machine.batch, kept=kept, keep_whole=spec.keep == "all",
        )  # fmt: skip

    def standard(some: Mapping[str, nn.Module]) -> pandas.DataFrame:
        return autoattack(
            some, benign.take(slice(0, spec.attacked)), spec.threat.eps / 255, steps=spec.steps,
            queries=5 * spec.queries, journal=Journal(run, "autoattack"), seed=spec.seed, batch=machine.batch,
        )  # fmt: skip

    return _Scene(spec, network, table, on, defences, originals, second is not None, standard, attack)


def _images(spec: Evaluate, network: Classifier) -> tuple[Images, Images]:
    """Images to measure on, and other images as a source of patches."""
    if spec.subject.data == "photos":
        benign = benign_images(spec.subject, None, network, spec.images, spec.seed)
        assert benign is not None
        return benign, photos("train", 7 * _DONORS, seed=spec.seed)
    every = test_images(spec.subject, network, spec.images + _DONORS, spec.attacked, spec.seed)
    return every.take(slice(0, spec.images)), every.take(slice(spec.images, None))


def _defences(
    spec: Evaluate, network: Classifier, table: QTable, benign: Images, donors: Images
) -> dict[str, _Defence]:
    """The defences by their names in the column ``defence``."""
    flags: dict[str, dict[str, Any]] = {
        UNDEFENDED: {"headline": True, "table3": True}, "nn-jpeg": {"headline": True, "table3": True},
        "jpeg": {"table3": True}, "feature-distillation": {"table3": True}, "jpeg-444": {"white": False},
        "bit-depth": {"white": False}, **{name: {"random": True} for name in ("shield", "tvm", "quilting")},
    }  # fmt: skip
    found = {
        name: _Defence(Defended(network, transform), **flags.get(name, {}))
        for name, transform in named(benign.pixels, table, donors.pixels if len(donors) else None).items()
    }
    found["crop-rescale"] = _Defence(CropRescale(network), random=True)
    drawn = NNJpeg(table, quality=_DRAWN)
    found["random-tables"] = _Defence(nn.Sequential(drawn, network).eval(), random=True)
    tables = [NNJpeg(table, quality=quality) for quality in (90, 70, 50, 30)]
    five = Ensemble([(network, None), *((network, layer) for layer in tables)]).eval()
    found["five-tables"] = _Defence(five, parts=(UNDEFENDED, "nn-jpeg"))
    if spec.control is not None:
        found["plain-training"] = _Defence(checkpoints.load(spec.control / "plain.safetensors")[0])
    if spec.models_of is not None:
        found |= _trained(spec.models_of, spec.replicas, table)
    for folder in spec.adversarial:
        more = _adversarial(folder, table)
        for name in found.keys() & more.keys():
            raise ValueError(f"adversarial: two of the folders have models named {name}")
        found |= more
    for name in spec.defences:
        if name not in found:
            raise ValueError(
                f"defences must be of {', '.join(found)}; got {name!r} (--models-of, --control and --adversarial add "
                "more)"
            )
    return {name: replace(found[name], headline=True) for name in found if name in spec.defences} or found


def _adversarial(folder: Path, table: QTable) -> dict[str, _Defence]:
    """Models of adversarial training; those that were trained without NN-JPEG are also judged behind it."""
    asked = training_of("adversarial", folder)
    method = asked["method"]
    if method not in ADVERSARIAL:
        raise ValueError(f"adversarial: {folder} is of --method {method}; accepted are {', '.join(ADVERSARIAL)}")
    if not asked["through"]:
        model = checkpoints.load(folder / f"{method}.safetensors")[0]
        return {
            method: _Defence(model, headline=True),
            f"nn-jpeg-{method}": _Defence(behind(model, 50, table), headline=True, parts=(method, "nn-jpeg")),
        }
    found = {}
    for quality in asked["through"]:
        model, facts = checkpoints.load(folder / f"{method}-{quality}.safetensors")
        transform = input_transform(facts)
        assert transform is not None
        found[f"{method}-through-{quality}"] = _Defence(nn.Sequential(transform, model).eval(), headline=True)
    if len(found) > 1:
        found[f"{method}-through-ensemble"] = _Defence(Ensemble.load(folder), headline=True, parts=tuple(found))
    return found


def _trained(folder: Path, replicas: tuple[Path, ...], table: QTable) -> dict[str, _Defence]:
    together = Ensemble.load(folder)
    last = together.names[-1]
    middle = "M50" if (folder / "M50.safetensors").exists() else last
    without = Ensemble([(model, None) for model in together.models]).eval()  # type: ignore[union-attr]
    found = {
        "noisy-alone": _Defence(checkpoints.load(folder / f"{last}.safetensors")[0]),
        "nn-jpeg-noisy": _Defence(
            behind(checkpoints.load(folder / f"{middle}.safetensors")[0], 50, table), parts=("noisy-alone", "nn-jpeg")
        ),
        "ensemble": _Defence(
            together, headline=True, table3=True, parts=("nn-jpeg-noisy", "ensemble-bare", "five-tables")
        ),
        "ensemble-bare": _Defence(without),
    }
    return found | {f"ensemble-{k}": _Defence(Ensemble.load(one), again=True) for k, one in enumerate(replicas, 2)}


# How it is attacked


def _gray(scene: _Scene, eps: float) -> list[Attack]:
    return gray_box(eps, "M", steps=max(scene.short // 2, 1), cw_steps=scene.spec.cw_steps)


def _transferred(scene: _Scene, eps: float) -> list[Attack]:
    return black_box(eps, "other", steps=max(scene.short // 2, 1))


def _gray_box(scene: _Scene) -> pandas.DataFrame:
    """Table 2: the attacker knows M."""
    further = [a for e in scene.spec.more_eps for a in _gray(scene, e / 255) if a.bounded]
    return scene.attack("gray-box", scene.some("gray-box"), [*_gray(scene, scene.eps), *further])


def _black_box(scene: _Scene) -> pandas.DataFrame:
    """Table 2: the attacker knows another architecture; no rows if none is given."""
    bounds = [scene.eps, *(e / 255 for e in scene.spec.more_eps)] if scene.black_box else []
    attacks = [attack for eps in bounds for attack in _transferred(scene, eps)]
    return scene.attack("black-box", scene.some("black-box") if scene.black_box else {}, attacks)


def _white_box(scene: _Scene) -> pandas.DataFrame:
    """The attacker knows the whole of a defence."""
    spec = scene.spec
    some = scene.some("white-box")
    attacks = {
        name: knowing_all(
            one, scene.eps, steps=spec.steps, restarts=spec.restarts, queries=spec.queries,
            thorough=spec.thorough and not scene.defences[name].again,
        )
        for name, one in some.items()
    }  # fmt: skip
    return scene.attack("white-box", some, attacks)


def _random(scene: _Scene) -> pandas.DataFrame:
    """White-box on random defences: the attacker averages over draws, and attacks once more with fixed draws.

    The number of draws is doubled, up to `_MOST_DRAWS`, until more draws do not lower the accuracy, or it is 0.
    """
    frames = []
    for name, one in scene.some("random").items():
        averaged = partial(expectation, scene.eps, steps=scene.short, smooth=has_smooth(one))
        frames.append(scene.attack("random", {name: one}, averaged(samples=1)))
        if isinstance(one, CropRescale):  # it is a mean over many draws already
            continue
        left, draws = _left(frames[-1]), scene.spec.samples
        while True:
            frames.append(scene.attack("random", {name: one}, averaged(samples=draws)))
            before, left = left, _left(frames[-1])
            if not left or draws >= _MOST_DRAWS or (draws > scene.spec.samples and left >= before):
                break
            draws *= 2
        frames.append(scene.attack("random", {f"{name}-held": Held(one)}, averaged(samples=1)))
    return pandas.concat(frames, ignore_index=True)


def _left(frame: pandas.DataFrame) -> int:
    """The number of images that are labelled right under all of the attacks."""
    return int(worst_case(frame).iloc[-1]["right"])


_KNOWING = {"gray-box": _gray_box, "black-box": _black_box, "white-box": _white_box, "random": _random}
"""Tables 2 and 3, by what the attacker knows."""


def _optimiser(scene: _Scene) -> pandas.DataFrame:
    """BPDA as published beside PGD, each through one transform and through all, to explain their difference."""
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
    return scene.attack("optimiser", scene.some("optimiser"), attacks)


def _curve(scene: _Scene) -> pandas.DataFrame:
    bounds = [eps / 255 for eps in scene.spec.curve]
    return _on_headlines(scene, "curve", lambda smooth: curve(bounds, steps=scene.short, smooth=smooth))


def _convergence(scene: _Scene) -> pandas.DataFrame:
    def attacks(smooth: bool) -> list[Attack]:
        return convergence(scene.eps, steps=scene.spec.steps, gradient="smooth" if smooth else "identity")

    return _on_headlines(scene, "convergence", attacks)


def _autoattack(scene: _Scene) -> pandas.DataFrame:
    """AutoAttack's standard version on the first images, whether they are labelled right or not."""
    return scene.autoattack(scene.some("autoattack"))


def _on_headlines(scene: _Scene, scenario: str, attacks: Callable[[bool], list[Attack]]) -> pandas.DataFrame:
    """The headline defences, attacked through a smooth rounding where they have one."""
    some = scene.some(scenario)
    return scene.attack(scenario, some, {name: attacks(has_smooth(one)) for name, one in some.items()})


def _colors(scene: _Scene) -> pandas.DataFrame:
    """Figure 5: the effects of the table and of the colour space, under the paper's four attacks."""
    standard = QTable.standard_luminance()
    layers = {
        "jpeg-table-ycbcr": jpeg(50),
        "jpeg-table-rgb": NNJpeg(standard),
        "nn-table-ycbcr": NNJpeg(scene.table, colorspace="ycbcr"),
        "nn-table-rgb": NNJpeg(scene.table),
    }
    swept = {name: nn.Sequential(layer, scene.network).to(scene.device) for name, layer in layers.items()}
    four = [a for a in _gray(scene, scene.eps) if a.method in _FIGURE_5 and a.form != "float"]
    return scene.attack("colors", swept, four)


_FIGURE_5 = ("fgsm", "ifgsm", "deepfool", "c&w")


# At equal benign accuracy

_PLAIN = "jpeg"


def _equal(scene: _Scene) -> pandas.DataFrame:
    """Compressions of many strengths under the same attacks; columns ``family`` and ``quality``."""
    families: dict[str, Callable[[int], nn.Module]] = {
        _PLAIN: plain_jpeg,
        "nn-jpeg": lambda quality: NNJpeg(scene.table, quality=quality),
        "nn-jpeg-ycbcr": lambda quality: NNJpeg(scene.table, quality=quality, colorspace="ycbcr"),
    }
    axes = {f"{family}-q{quality}": (family, quality) for family in families for quality in _QUALITIES}
    swept = {
        name: nn.Sequential(families[family](quality), scene.network).to(scene.device)
        for name, (family, quality) in axes.items()
    }
    frame = pandas.concat([_compared(scene, name, swept) for name in _comparable(scene)], ignore_index=True)
    frame["family"], frame["quality"] = zip(*frame["defence"].map(axes), strict=True)
    return frame


def _comparable(scene: _Scene) -> list[str]:
    """The scenarios in which defences are compared at equal benign accuracy."""
    wanted = ["gray-box", *(["black-box"] if scene.black_box else []), *(["white-box"] if scene.spec.thorough else [])]
    return [name for name in wanted if name in scene.scenarios]


def _compared(scene: _Scene, scenario: str, some: Mapping[str, nn.Module]) -> pandas.DataFrame:
    """Models under the attacks by which the defences of a scenario are compared, with their worst case.

    Every defence of the scenario is attacked by these, so their results are known already.
    """
    if scenario == "white-box":
        spec = scene.spec
        attacks: Any = {
            name: [
                attack
                for attack in knowing_all(one, scene.eps, steps=spec.steps, restarts=spec.restarts)
                if (attack.method, attack.loss, attack.view) == ("pgd", "margin", "output")
            ]
            for name, one in some.items()
        }
    else:
        every = (_gray if scenario == "gray-box" else _transferred)(scene, scene.eps)
        attacks = [attack for attack in every if attack.method == "pgd"]
    return worst_case(scene.attack(scenario, some, attacks), scene.originals.sources)


def _beside(scene: _Scene, equal: pandas.DataFrame) -> pandas.DataFrame:
    """Each defence beside plain JPEG at the same benign accuracy, interpolated between JPEG's qualities.

    ``beside`` is empty if JPEG's curve does not reach that accuracy.
    """
    rows = []
    for scenario, swept in equal[equal["family"] == _PLAIN].groupby("scenario", sort=False):
        benign = swept[swept["attack"] == BENIGN].set_index("quality")["accuracy"]
        points = [(benign[row.quality], row.accuracy) for row in swept[swept["attack"] == WORST].itertuples()]
        frame = _compared(scene, str(scenario), scene.some(str(scenario)))
        clean = frame[frame["attack"] == BENIGN].set_index("defence")["accuracy"]
        rows += [
            {
                "scenario": scenario, "defence": row.defence, "attack": "pgd", "benign": clean[row.defence],
                "accuracy": row.accuracy, "low": row.low, "high": row.high,
                "beside": at_equal_accuracy(points, float(clean[row.defence])),
            }
            for row in frame[frame["attack"] == WORST].itertuples()
        ]  # fmt: skip
    return pandas.DataFrame(rows)


def _versus(cells: pandas.DataFrame) -> pandas.DataFrame:
    """Each defence's worst case beside that of no defence on the same images, by McNemar's test."""
    rows = []
    for (scenario, eps), part in cells[cells["attack"] == WORST].groupby(["scenario", "eps"], sort=False):
        hits = dict(zip(part["defence"], part["hits"], strict=True))
        for name in hits if UNDEFENDED in hits else ():
            if name != UNDEFENDED:
                only, others, p = mcnemar(hits[name], hits[UNDEFENDED])
                found = {"only_this": only, "only_none": others, "p": p}
                rows.append({"scenario": scenario, "eps": eps, "defence": name, **found})
    return pandas.DataFrame(rows, columns=["scenario", "eps", "defence", "only_this", "only_none", "p"])


_FURTHER = {
    "optimiser": _optimiser,
    "colors": _colors,
    "equal": _equal,
    "curve": _curve,
    "convergence": _convergence,
    "autoattack": _autoattack,
}


# What is written


def _facts(scene: _Scene) -> dict[str, Any]:
    """What the checklist needs beside the results."""
    sources = scene.originals.sources
    white = {n: one for n, one in scene.defences.items() if one.white and _chosen(one, scene.spec)}
    return {
        "classes": scene.network.outputs(),
        "undefended": UNDEFENDED,
        "smooth": [name for name, one in white.items() if not one.random and has_smooth(one.model)],
        "random": [name for name, one in white.items() if one.random],
        "sources": None if sources is None else len(sources.unique()),
        "parts": {name: one.parts for name, one in scene.defences.items() if one.parts},
    }


def _write(run: Run, tables: Mapping[str, pandas.DataFrame], points: list[dict[str, str]]) -> None:
    from nnjpeg.paper import figures

    for name, frame in tables.items():
        run.write_csv(f"{name}.csv", frame)
    run.write_json("checklist.json", points)
    if "curve" in tables:
        figures.curves(tables["curve"], run / "curve.png")
    if "equal" in tables and len(tables["beside"]):
        figures.trade(tables["equal"], tables["beside"], run / "equal.png")
    _print(run, tables, points)


def _print(run: Run, tables: Mapping[str, pandas.DataFrame], points: list[dict[str, str]]) -> None:
    for cells in (tables[name] for name in ("cells", "autoattack") if name in tables):
        for scenario, part in cells[cells["attack"] == WORST].groupby("scenario", sort=False):
            print(f"{scenario}, worst case, percent right")
            for row in part.itertuples():
                print(f"  {100 * row.accuracy:5.1f} ({100 * row.low:.0f} to {100 * row.high:.0f})  {row.defence}")
    missed = [one for one in points if one["state"] != "met"]
    print(f"{len(points) - len(missed)} of {len(points)} points of the checklist are met")
    for one in missed:
        print(f"  {one['state']}: {one['point']} ({one['why']})")
    files = ", ".join(f"{name}.csv" for name in tables)
    print(f"in {run.folder}: {files}, checklist.json, table.json, adversarial images and figures, if there are any")
