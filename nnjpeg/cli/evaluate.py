"""nnjpeg evaluate: defences under attack in gray-box, black-box and white-box (section 4 of the paper)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas
import torch
from torch import nn

from nnjpeg.cli.subject import device_of, model_of, open_run
from nnjpeg.cli.trainee import benign_images
from nnjpeg.qtable import NN_TABLE, QTable
from nnjpeg.robust import checkpoints, distributed, models
from nnjpeg.robust.checklist import checklist
from nnjpeg.robust.data import Images
from nnjpeg.robust.data import folder as folder_of_images
from nnjpeg.robust.defences import CropRescale, Defended, named, pillow_jpeg
from nnjpeg.robust.ensemble import Ensemble
from nnjpeg.robust.evaluation import Attack, assess, behind, gray_box, white_box, worst_case
from nnjpeg.robust.fitting import photos_model
from nnjpeg.robust.models import Classifier
from nnjpeg.robust.objectives import jpeg
from nnjpeg.robust.runs import Journal, Run
from nnjpeg.robust.scores import well_labelled
from nnjpeg.transforms import NNJpeg, nn_jpeg

WHITE = ("none", "JPEG 75", "NN-JPEG", "NN-JPEG + noisy", "ensemble", "ensemble, no compression", "five tables")
"""The defences that are attacked with full knowledge of them: deterministic ones. SLQ is, with its draws averaged."""


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
    batch: int = 64,
    seed: int = 0,
    device: str = "auto",
    out: Path | None = None,
) -> int:
    """Attack defences in gray-box, black-box and white-box, and print who holds, against whom, and at what cost.

    Writes cells.csv (every defence under every attack, with intervals), curve.csv, equal.csv, checklist.json and
    figures into the run folder; a stopped run goes on where it was, and torchrun splits it over processes.

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
        samples: draws of a random defence for each gradient.
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
    if data == "photos":
        benign = benign_images(data, None, network, images, seed)
        assert benign is not None
    else:
        benign = folder_of_images(
            data, images, network.preprocess(), at_least=attacked, outputs=network.outputs(), seed=seed
        )
    originals = well_labelled(network, benign, attacked, batch)
    steps_of = NN_TABLE if table is None else QTable.load(table)
    every = {name: defence.to(on) for name, defence in _defences(network, models_of, steps_of, benign).items()}
    targets: dict[str, nn.Module] = {"M": network, "one transform": behind(network, 50, steps_of).to(on)}
    journal, bound = Journal(run, "cells"), eps / 255
    common: dict[str, Any] = {"seed": seed, "batch": batch}
    half = max(steps // 2, 1)

    frames = [
        assess(
            every, benign, originals, gray_box(bound, "M", steps=half, cw_steps=cw_steps), targets, journal,
            scenario="gray-box", **common,
        )
    ]  # fmt: skip
    if second is not None:
        targets["other"] = second.to(on)
        frames.append(
            assess(
                every, benign, originals, gray_box(bound, "other", steps=half, minimal_norm=False), targets, journal,
                scenario="black-box", **common,
            )
        )  # fmt: skip
    white = {name: every[name] for name in WHITE if name in every}
    whole = white_box(bound, "one transform", steps=steps, restarts=restarts, queries=queries, bpda_steps=bpda_steps)
    frames.append(assess(white, benign, originals, whole, targets, journal, scenario="white-box", **common))
    drawing = white_box(bound, "one transform", steps=steps, restarts=1, samples=samples)[3:4]
    frames.append(
        assess(
            {"SHIELD SLQ": every["SHIELD SLQ"]}, benign, originals, drawing, targets, journal,
            scenario="white-box, expectation", **common,
        )
    )  # fmt: skip
    cells = worst_case(pandas.concat(frames, ignore_index=True))
    colors = assess(
        {name: defence.to(on) for name, defence in _figure5(network, steps_of).items()}, benign, originals,
        gray_box(bound, "M", steps=half, minimal_norm=False)[:3], targets, journal, scenario="Figure 5", **common,
    )  # fmt: skip
    equal = _equal_accuracy(network, benign, originals, targets, journal, bound, half, steps_of, on, common)
    bounds = _curve(white, benign, originals, targets, journal, curve, steps, common)
    if distributed.is_main():
        _write(run, cells, colors, equal, bounds, checklist(cells, bounds, parameters))
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


def _defences(network: nn.Module, models_of: Path | None, table: QTable, benign: Images) -> dict[str, nn.Module]:
    found: dict[str, nn.Module] = {
        name: Defended(network, transform) for name, transform in named(benign.pixels, table).items()
    }
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


def _figure5(network: nn.Module, table: QTable) -> dict[str, nn.Module]:
    """The table against the colour space: which of the two does what."""
    standard = QTable.standard_luminance()
    layers = {
        "JPEG's tables, YCbCr": jpeg(50, precision="uint8"),
        "JPEG's luminance table, RGB": NNJpeg(standard, precision="uint8"),
        "NN-JPEG's table, YCbCr": NNJpeg(table, colorspace="ycbcr", precision="uint8"),
        "NN-JPEG's table, RGB": NNJpeg(table, precision="uint8"),
    }
    return {name: nn.Sequential(layer, network) for name, layer in layers.items()}


def _equal_accuracy(
    network: nn.Module,
    benign: Images,
    originals: Images,
    targets: dict[str, nn.Module],
    journal: Journal,
    eps: float,
    steps: int,
    table: QTable,
    device: torch.device,
    common: dict[str, Any],
) -> pandas.DataFrame:
    """Compressions of many strengths: those whose benign accuracy is nearest to that of NN-JPEG can be compared."""
    families = {
        "JPEG, 4:2:0": lambda quality: lambda pixels: pillow_jpeg(pixels, quality),
        "NN-JPEG, RGB": lambda quality: lambda pixels: nn_jpeg(pixels, table, quality=quality),
        "NN-JPEG, YCbCr": lambda quality: lambda pixels: nn_jpeg(pixels, table, quality=quality, colorspace="ycbcr"),
    }
    swept: dict[str, nn.Module] = {
        f"{family} {quality}": Defended(network, make(quality)).to(device)
        for family, make in families.items()
        for quality in (90, 75, 60, 50, 40, 30, 20, 10)
    }
    attack = Attack("I-FGSM", "ifgsm", eps, (("steps", steps),), "M")
    frame = assess(swept, benign, originals, [attack], targets, journal, scenario="equal benign accuracy", **common)
    frame[["family", "quality"]] = frame["defence"].str.rsplit(" ", n=1, expand=True).to_numpy()
    return frame


def _curve(
    defences: dict[str, nn.Module],
    benign: Images,
    originals: Images,
    targets: dict[str, nn.Module],
    journal: Journal,
    curve: list[float],
    steps: int,
    common: dict[str, Any],
) -> pandas.DataFrame:
    attacks = [
        Attack(f"{name} {bound:g}", method, bound / 255, () if method == "fgsm" else pgd)
        for bound in curve
        for pgd in [(("step", max(bound / 4, 0.25) / 255), ("steps", steps))]
        for name, method in (("FGSM", "fgsm"), ("PGD", "pgd"))
    ]
    chosen: dict[str, nn.Module] = {
        name: defences[name] for name in ("none", "NN-JPEG", "ensemble", "five tables") if name in defences
    }
    frame = assess(chosen, benign, originals, attacks, targets, journal, scenario="curve", **common)
    frame = frame[frame["attack"] != "benign"].reset_index(drop=True)
    frame[["method", "eps"]] = frame["attack"].str.split(" ", expand=True).to_numpy()
    return frame


def _write(run: Run, cells: Any, colors: Any, equal: Any, bounds: Any, points: list[dict[str, str]]) -> None:
    from nnjpeg.robust import figures

    run.write_csv("cells.csv", cells)
    run.write_csv("figure5.csv", colors)
    run.write_csv("equal.csv", equal)
    run.write_csv("curve.csv", bounds)
    run.write_json("checklist.json", points)
    figures.curves(bounds, run / "curve.png")
    figures.trade(equal, run / "equal.png")
    for scenario, part in cells.groupby("scenario", sort=False):
        shares = part.pivot_table(index="defence", columns="attack", values="accuracy", sort=False)
        print(
            f"{scenario}, percent right of {part['images'].iloc[-1]}\n{(100 * shares).round(1).to_string(na_rep='-')}"
        )
    for point in points:
        print(f"[{point['state']}] {point['point']}: {point['why']}")
    print(f"in {run.folder}: cells.csv, figure5.csv, equal.csv, curve.csv, checklist.json and figures")
