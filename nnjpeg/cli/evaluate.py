"""nnjpeg evaluate: defences under attack in gray-box, black-box and white-box (section 4 of the paper)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pandas
import torch
from torch import nn

from nnjpeg.cli.subject import device_of, model_of, open_run
from nnjpeg.cli.trainee import benign_images
from nnjpeg.qtable import NN_TABLE, QTable
from nnjpeg.robust import checkpoints, distributed, models
from nnjpeg.robust.checklist import checklist
from nnjpeg.robust.data import Images, photos
from nnjpeg.robust.data import folder as folder_of_images
from nnjpeg.robust.defences import CropRescale, Defended, Held, named, pillow_jpeg
from nnjpeg.robust.ensemble import Ensemble
from nnjpeg.robust.evaluation import (
    RANDOM_BOX,
    Attack,
    assess,
    behind,
    beside,
    convergence,
    gray_box,
    of_members,
    white_box,
    worst_case,
)
from nnjpeg.robust.fitting import photos_model
from nnjpeg.robust.models import Classifier
from nnjpeg.robust.objectives import jpeg
from nnjpeg.robust.runs import Journal, Run
from nnjpeg.robust.scores import well_labelled
from nnjpeg.transforms import NNJpeg, nn_jpeg

WHITE = ("none", "JPEG 75", "NN-JPEG", "NN-JPEG + noisy", "ensemble", "ensemble, no compression", "five tables")
"""The deterministic defences that are attacked with full knowledge of them."""

RANDOM = ("SHIELD SLQ", "TVM", "image quilting", "crop-rescale")
"""Those whose draws the attacker averages over; and that are attacked once more with their draws held fixed."""

COMPARED = {"gray-box": "I-FGSM", "black-box": "I-FGSM", "white-box": "PGD, whole"}
"""By which attack defences are compared at equal benign accuracy, in each scenario."""

_PLAIN = "JPEG, 4:2:0"
_DONORS = 100  # images of a folder that nothing is measured on: image quilting takes its patches from them


def evaluate(
    data: str = "photos",
    arch: str | None = None,
    weights: Path | None = None,
    mean: list[float] | None = None,
    std: list[float] | None = None,
    size: int | None = None,
    model_options: dict[str, Any] = {},  # noqa: B006 (jsonargparse reads the default, nobody writes it)
    models_of: Path | None = None,
    other: str | None = None,
    other_weights: Path | None = None,
    other_options: dict[str, Any] = {},  # noqa: B006
    table: Path | None = None,
    images: int = 700,
    attacked: int = 100,
    eps: float = 8.0,
    curve: list[float] = [1, 2, 4, 8, 16, 32],  # noqa: B006
    steps: int = 20,
    restarts: int = 2,
    cw_steps: int = 1000,
    bpda_steps: int = 1000,
    queries: int = 1000,
    samples: int = 8,
    keep: Literal["transferred", "all"] = "transferred",
    batch: int = 64,
    seed: int = 0,
    device: str = "auto",
    out: Path | None = None,
) -> int:
    """Attack defences in gray-box, black-box and white-box, and print who holds, against whom, and at what cost.

    Writes cells.csv (every defence under every attack, with intervals), figure5.csv, curve.csv, equal.csv,
    beside.csv, convergence.csv, checklist.json, figures, and the adversarial images in 8 bits and as floats
    (adversarial/) into the run folder; a stopped run goes on where it was, and torchrun splits it over processes.

    Args:
        data: "photos", patches of scikit-image's photographs with small models of their own; or a folder of images
            with a subfolder for each class.
        arch: a model of timm or torchvision, M.
        weights: a file of M's weights; by default those of the hub, and for photos M is trained first.
        mean: of R, G, B in [0, 1]; by default the model's own.
        std: likewise, their deviations.
        size: the side of the model's images; by default the model's own.
        model_options: more for the model's constructor, such as '{"pad_type": "same"}'.
        models_of: the run folder of nnjpeg train, for M, noisy training and the ensemble.
        other: another architecture, from which attacks are transferred; for photos "plain" by default.
        other_weights: a file of its weights.
        other_options: more for its constructor.
        table: a file of a quantization table; by default the paper's 16 / 50.
        images: how many benign images.
        attacked: how many of them, labelled right by M, are attacked.
        eps: the L-infinity bound, in units of 1/255.
        curve: bounds for the curve of accuracy.
        steps: of I-FGSM and DI-FGSM half, of PGD all.
        restarts: of PGD in white-box.
        cw_steps: of C&W, five times over.
        bpda_steps: of BPDA as published.
        queries: of the Square attack.
        samples: draws of a random defence for each gradient; crop-rescale has 30 of its own in each.
        keep: which adversarial images: "transferred", those that several defences share; "all", also those of each
            attack on a whole defence (15 bytes a pixel and image, some hundred such sets).
        batch: images at a time.
        seed: of all that is drawn.
        device: "auto", "cpu", "cuda", ...
        out: the run folder; by default runs/evaluate-TIME.
    """
    parameters = {key: value for key, value in locals().items() if key not in ("out", "device")}
    distributed.start()
    run, on = open_run("evaluate", out, parameters), device_of(device)
    if models_of is not None:
        network = checkpoints.load(models_of / "M.safetensors")[0].to(on)
    else:
        network = model_of(
            run / "M.safetensors", data=data, arch=arch, weights=weights, mean=mean, std=std, size=size,
            model_options=model_options, seed=seed,
        ).to(on)  # fmt: skip
    second = _other(run, data, other, other_weights, other_options, seed)
    benign, donors = _images(data, network, images, attacked, seed)
    originals = well_labelled(network, benign, attacked, batch)
    steps_of = NN_TABLE if table is None else QTable.load(table)
    every = {name: one.to(on) for name, one in _defences(network, models_of, steps_of, benign, donors).items()}
    targets: dict[str, nn.Module] = {"M": network, "one transform": behind(network, 50, steps_of).to(on)}
    if second is not None:
        targets["other"] = second.to(on)
    bound, half = eps / 255, max(steps // 2, 1)
    common: dict[str, Any] = {
        "targets": targets, "journal": Journal(run, "cells"), "seed": seed, "batch": batch, "kept": run / "adversarial",
        "keep_whole": keep == "all", "known": {},
    }  # fmt: skip

    def attack(scenario: str, defences: Mapping[str, nn.Module], attacks: list[Attack]) -> pandas.DataFrame:
        return assess(defences, benign, originals, attacks, scenario=scenario, **common)

    length = {"steps": steps, "restarts": restarts}
    attacks = {"gray-box": gray_box(bound, "M", steps=half, cw_steps=cw_steps)}
    if second is not None:
        attacks["black-box"] = gray_box(bound, "other", steps=half, minimal_norm=False)
    attacks["white-box"] = white_box(bound, "one transform", queries=queries, bpda_steps=bpda_steps, **length)
    white = {name: every[name] for name in WHITE if name in every}
    ensembles = {name: one for name, one in white.items() if isinstance(one, Ensemble)}
    frames = [attack(name, white if name == "white-box" else every, made) for name, made in attacks.items()]
    frames.append(attack("white-box", ensembles, [of_members(bound, **length)]))
    frames += [attack(RANDOM_BOX, one, [drawn]) for one, drawn in _random(every, bound, half, samples)]
    cells = pandas.concat(frames, ignore_index=True).drop_duplicates(["scenario", "defence", "attack"])
    cells = worst_case(cells)
    colors = attack("Figure 5", _figure5(network, steps_of, on), gray_box(bound, "M", steps=half)[:3])
    equal = _equal(attack, attacks, _swept(network, steps_of, on))
    besides = _beside(cells, equal)
    few: dict[str, nn.Module] = {
        name: white[name] for name in ("none", "NN-JPEG", "ensemble", "five tables") if name in white
    }
    bounds = attack("curve", few, _curve(curve, steps))
    bounds = bounds[bounds["attack"] != "benign"].reset_index(drop=True)
    bounds[["method", "eps"]] = bounds["attack"].str.split(" ", expand=True).to_numpy()
    settled = attack("convergence", few, convergence(bound, steps=steps))
    if distributed.is_main():
        frames_by_name = {
            "cells": cells, "figure5": colors, "equal": equal, "beside": besides, "curve": bounds,
            "convergence": settled,
        }  # fmt: skip
        _write(run, frames_by_name, checklist(cells, bounds, settled, parameters))
    distributed.barrier()
    return 0


def _other(
    run: Run, data: str, other: str | None, weights: Path | None, options: dict[str, Any], seed: int
) -> Classifier | None:
    if data == "photos" and weights is None:
        if other not in (None, *models.OURS):
            raise ValueError(f"other: without other_weights, photos have {', '.join(models.OURS)}; got {other!r}")
        return photos_model(run / "other.safetensors", arch=other or "plain", seed=seed)
    return None if other is None else models.load(other, weights, **options)


def _images(data: str, network: Classifier, count: int, at_least: int, seed: int) -> tuple[Images, Images]:
    """Images to measure on, and others to take patches from."""
    if data == "photos":
        benign = benign_images(data, None, network, count, seed)
        assert benign is not None
        return benign, photos("train", 7 * _DONORS, seed=seed)
    every = folder_of_images(
        data, count + _DONORS, network.preprocess(), at_least=at_least, outputs=network.outputs(), seed=seed
    )
    return every.take(slice(0, count)), every.take(slice(count, None))


def _defences(
    network: nn.Module, models_of: Path | None, table: QTable, benign: Images, donors: Images
) -> dict[str, nn.Module]:
    transforms = named(benign.pixels, table, donors.pixels if len(donors) else None)
    found: dict[str, nn.Module] = {name: Defended(network, transform) for name, transform in transforms.items()}
    found["NN-JPEG"] = behind(network, 50, table)
    found["crop-rescale"] = CropRescale(network)
    tables = [NNJpeg(table, quality=quality, precision="uint8") for quality in (90, 70, 50, 30)]
    found["five tables"] = Ensemble([(network, None), *((network, layer) for layer in tables)]).eval()
    if models_of is not None:
        together = Ensemble.load(models_of)
        last = together.names[-1]
        found[f"noisy alone ({last})"] = checkpoints.load(models_of / f"{last}.safetensors")[0]
        middle = "M50" if (models_of / "M50.safetensors").exists() else last
        found["NN-JPEG + noisy"] = behind(checkpoints.load(models_of / f"{middle}.safetensors")[0], 50, table)
        found["ensemble"] = together
        found["ensemble, no compression"] = Ensemble([(model, None) for model in together.models]).eval()  # type: ignore[union-attr]
    return found


def _random(
    defences: Mapping[str, nn.Module], eps: float, steps: int, samples: int
) -> Iterator[tuple[dict[str, nn.Module], Attack]]:
    """Random defences, each with PGD by the mean gradient over draws, by one draw, and with the draws held fixed."""
    pgd: tuple[tuple[str, Any], ...] = (("step", eps / 4), ("steps", steps))
    for name in RANDOM:
        if name in defences:
            one = defences[name]
            draws = 1 if isinstance(one, CropRescale) else samples
            yield (
                {name: one},
                Attack(f"PGD, {draws} draws" if draws > 1 else "PGD, one draw", "pgd", eps, (*pgd, ("samples", draws))),
            )
            if draws > 1:
                yield {name: one}, Attack("PGD, one draw", "pgd", eps, pgd)
            yield {f"{name}, draws held": Held(one)}, Attack("PGD, one draw", "pgd", eps, pgd)


def _figure5(network: nn.Module, table: QTable, device: torch.device) -> dict[str, nn.Module]:
    """The table against the colour space: which of the two does what."""
    standard = QTable.standard_luminance()
    layers = {
        "JPEG's tables, YCbCr": jpeg(50, precision="uint8"),
        "JPEG's luminance table, RGB": NNJpeg(standard, precision="uint8"),
        "NN-JPEG's table, YCbCr": NNJpeg(table, colorspace="ycbcr", precision="uint8"),
        "NN-JPEG's table, RGB": NNJpeg(table, precision="uint8"),
    }
    return {name: nn.Sequential(layer, network).to(device) for name, layer in layers.items()}


def _swept(network: nn.Module, table: QTable, device: torch.device) -> dict[str, nn.Module]:
    """Compressions of many strengths: those whose benign accuracy is nearest to that of NN-JPEG can be compared."""
    families = {
        _PLAIN: lambda quality: lambda pixels: pillow_jpeg(pixels, quality),
        "NN-JPEG, RGB": lambda quality: lambda pixels: nn_jpeg(pixels, table, quality=quality),
        "NN-JPEG, YCbCr": lambda quality: lambda pixels: nn_jpeg(pixels, table, quality=quality, colorspace="ycbcr"),
    }
    return {
        f"{family} {quality}": Defended(network, make(quality)).to(device)
        for family, make in families.items()
        for quality in (90, 75, 60, 50, 40, 30, 20, 10)
    }


def _equal(
    attack: Callable[..., pandas.DataFrame], attacks: dict[str, list[Attack]], swept: dict[str, nn.Module]
) -> pandas.DataFrame:
    """Compressions of many strengths under one attack of each scenario."""
    frames = [
        attack(f"equal benign accuracy, {scenario}", swept, [one for one in made if one.name == COMPARED[scenario]])
        for scenario, made in attacks.items()
    ]
    for frame, scenario in zip(frames, attacks, strict=True):
        frame["scenario"] = scenario
    equal = pandas.concat(frames, ignore_index=True)
    equal[["family", "quality"]] = equal["defence"].str.rsplit(" ", n=1, expand=True).to_numpy()
    return equal


def _beside(cells: pandas.DataFrame, equal: pandas.DataFrame) -> pandas.DataFrame:
    """Each scenario's defences beside plain JPEG at the benign accuracy nearest to their own."""
    frames = []
    for scenario, swept in equal[equal["family"] == _PLAIN].groupby("scenario", sort=False):
        attack = COMPARED[str(scenario)]
        part = cells[(cells["scenario"] == scenario) & cells["attack"].isin(["benign", attack])]
        frames.append(beside(part, swept).assign(scenario=scenario, attack=attack))
    return pandas.concat(frames, ignore_index=True)


def _curve(bounds: list[float], steps: int) -> list[Attack]:
    """One step and many, at each bound."""
    return [
        Attack(f"{name} {bound:g}", method, bound / 255, () if method == "fgsm" else pgd)
        for bound in bounds
        for pgd in [(("restarts", 1), ("step", max(bound / 4, 0.25) / 255), ("steps", steps))]
        for name, method in (("FGSM", "fgsm"), ("PGD", "pgd"))
    ]


def _write(run: Run, frames: Mapping[str, pandas.DataFrame], points: list[dict[str, str]]) -> None:
    from nnjpeg.robust import figures

    for name, frame in frames.items():
        run.write_csv(f"{name}.csv", frame)
    run.write_json("checklist.json", points)
    figures.curves(frames["curve"], run / "curve.png")
    figures.trade(frames["equal"], frames["beside"], run / "equal.png")
    for scenario, part in frames["cells"].groupby("scenario", sort=False):
        shares = part.pivot_table(index="defence", columns="attack", values="accuracy", sort=False)
        print(
            f"{scenario}, percent right of {part['images'].iloc[-1]}\n{(100 * shares).round(1).to_string(na_rep='-')}"
        )
    for point in points:
        print(f"[{point['state']}] {point['point']}: {point['why']}")
    print(f"in {run.folder}: {', '.join(f'{name}.csv' for name in frames)}, checklist.json, figures and adversarial/")
