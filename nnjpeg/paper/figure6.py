"""Every model of the chain on images of every quality (Figure 6 of the paper)."""

from __future__ import annotations

from typing import Any

import pandas
from torch import nn

from nnjpeg.paper import figures
from nnjpeg.paper.labels import attack_labels
from nnjpeg.paper.specs import Figure6, Machine, Subject
from nnjpeg.paper.subject import benign_images, device_of, table_of, training_of
from nnjpeg.robust.attack.attack import Attack
from nnjpeg.robust.defend.transforms import behind
from nnjpeg.robust.judge.assess import BENIGN, WORST, assess, worst_case
from nnjpeg.robust.judge.statistics import find_well_labelled
from nnjpeg.robust.models import Classifier
from nnjpeg.robust.record import checkpoints, distributed
from nnjpeg.robust.record.run import Run
from nnjpeg.robust.record.store import Journal

__all__ = ["run"]


def run(spec: Figure6, run: Run, machine: Machine) -> dict[str, pandas.DataFrame]:
    """Attack every pair of a model and a quality: with M known, as in the paper, and with the whole pair known.

    Writes figure6.csv, figure6.json and figure6.png into the run folder.

    Returns
    -------
    dict of str to DataFrame
        "figure6": as of `assess`, with the columns ``model`` and ``quality`` ("none": images as they are).
    """
    trained = training_of("models", spec.models)
    on = device_of(machine.device)
    networks: dict[str, Classifier] = {}
    for name in ("M", *(f"M{quality}" for quality in trained["qualities"])):
        networks[name] = checkpoints.load(spec.models / f"{name}.safetensors")[0].to(on)
    table = table_of(None, {"models": [spec.models]})
    pairs = {
        f"{name} {quality or 'none'}": (name, quality) for name in networks for quality in (None, *trained["qualities"])
    }
    defences: dict[str, nn.Module] = {
        pair: behind(networks[name], quality, table).to(on) for pair, (name, quality) in pairs.items()
    }
    subject = Subject(data=trained["data"], dataset=trained.get("dataset"))
    benign = benign_images(subject, trained["val"], networks["M"], spec.images, trained["seed"])
    if benign is None:
        raise ValueError(f"models: {spec.models} was trained without images to judge by (val)")
    originals, considered = find_well_labelled(networks["M"], benign, spec.attacked, machine.batch)
    frame = worst_case(
        assess(
            defences, benign, originals, _attacks(spec), networks, Journal(run, "cells"), considered=considered,
            seed=trained["seed"], batch=machine.batch,
        ),
        originals.sources,
    )  # fmt: skip
    frame["model"] = frame["defence"].map(lambda pair: pairs[pair][0])
    frame["quality"] = frame["defence"].map(lambda pair: str(pairs[pair][1] or "none"))
    if distributed.is_main():
        _write(run, frame)
    distributed.barrier()
    return {"figure6": frame}


def _attacks(spec: Figure6) -> list[Attack]:
    eps = spec.threat.eps / 255
    length: dict[str, Any] = {"steps": spec.steps, "step": eps}
    if spec.attack == "pgd":
        length |= {"step": eps / 4, "loss": "cross-entropy"}
    return [
        Attack(spec.attack, eps, target="M", **length),
        Attack(spec.attack, eps, gradient="identity", **length),
        Attack(spec.attack, eps, gradient="smooth", **length),
    ]


def _write(run: Run, frame: pandas.DataFrame) -> None:
    run.write_csv("figure6.csv", frame)
    run.write_json("figure6.json", {"cells": frame.to_dict("records")})
    shown = frame[frame["attack"].isin([BENIGN, WORST]) | (frame["target"] == "M")]
    figures.matrices(shown, run / "figure6.png")
    for label, part in shown.groupby(attack_labels(shown), sort=False):
        table = part.pivot_table(index="model", columns="quality", values="accuracy", sort=False)
        print(f"{label}, {part['images'].iloc[0]} images, percent right; columns: quality\n{(100 * table).round(1)}")
    print(f"in {run.folder}: figure6.csv, figure6.json, figure6.png")
