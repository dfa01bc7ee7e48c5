"""nnjpeg figure6: every model of the chain on images of every quality (Figure 6 of the paper)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nnjpeg.cli.subject import device_of
from nnjpeg.cli.trainee import benign_images
from nnjpeg.qtable import NN_TABLE, QTable
from nnjpeg.robust import checkpoints, distributed
from nnjpeg.robust.evaluation import Attack, assess, behind
from nnjpeg.robust.runs import Journal, Run
from nnjpeg.robust.scores import well_labelled


def figure6(
    models: Path,
    images: int = 700,
    attacked: int = 100,
    eps: float | None = None,
    steps: int = 10,
    batch: int = 64,
    device: str = "auto",
    out: Path | None = None,
) -> int:
    """Judge every model that nnjpeg train has left behind NN-JPEG of every quality, benign and attacked.

    Writes figure6.csv, figure6.json and figure6.png. "gray": PGD against M alone, which knows of no defence, as the
    paper attacks; "white": PGD against the very pair of model and compression, straight through the quantizer.

    Args:
        models: the run folder of nnjpeg train.
        images: how many benign images.
        attacked: how many of them, labelled right by M, are attacked.
        eps: the L-infinity bound, in units of 1/255; by default that of the training.
        steps: of PGD, a quarter of eps each.
        batch: images at a time.
        device: "auto", "cpu", "cuda", ...
        out: the run folder; by default figure6 within `models`.
    """
    parameters = {key: value for key, value in locals().items() if key not in ("out", "device")}
    if not (models / "config.json").exists():
        raise FileNotFoundError(f"models: {models} is no run of nnjpeg train")
    trained = json.loads((models / "config.json").read_text())["parameters"]
    qualities = trained["qualities"]
    eps = (trained["eps"] if eps is None else eps) / 255
    distributed.start()
    on = device_of(device)
    run = Run(out or models / "figure6", "figure6", parameters)
    table = NN_TABLE if trained["table"] is None else QTable.load(trained["table"])
    networks = {
        name: checkpoints.load(models / f"{name}.safetensors")[0].to(on)
        for name in ("M", *(f"M{quality}" for quality in qualities))
    }
    defences = {
        f"{name} {quality or 'none'}": behind(model, quality, table).to(on)
        for name, model in networks.items()
        for quality in (None, *qualities)
    }
    benign = benign_images(trained["data"], trained["val"], networks["M"], images, trained["seed"])
    if benign is None:
        raise ValueError(f"models: {models} was trained without images to judge by (val)")
    originals = well_labelled(networks["M"], benign, attacked)
    options = (("step", eps / 4), ("steps", steps))
    attacks = [Attack("gray", "pgd", eps, options, target="M"), Attack("white", "pgd", eps, options)]
    frame = assess(
        defences, benign, originals, attacks, networks, Journal(run, "cells"), seed=trained["seed"], batch=batch
    )
    if distributed.is_main():
        _write(run, frame, eps)
    distributed.barrier()
    return 0


def _write(run: Run, frame: Any, eps: float) -> None:
    from nnjpeg.robust import figures

    frame[["model", "quality"]] = frame.pop("defence").str.split(" ", expand=True).to_numpy()
    run.write_csv("figure6.csv", frame)
    run.write_json("figure6.json", {"eps": eps, "cells": frame.to_dict("records")})
    figures.matrices(frame, run / "figure6.png")
    for kind in ("benign", "gray", "white"):
        part = frame[frame["attack"] == kind]
        table = part.pivot_table(index="model", columns="quality", values="accuracy", sort=False)
        print(f"{kind}, {part['images'].iloc[0]} images, percent right; columns: quality\n{(100 * table).round(1)}")
    print(f"in {run.folder}: figure6.csv, figure6.json, figure6.png")
