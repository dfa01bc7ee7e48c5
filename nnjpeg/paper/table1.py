"""The method beside Fast and Free adversarial training (Table 1 of the paper)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas
import torch

from nnjpeg.paper import figures
from nnjpeg.paper.labels import attack_labels
from nnjpeg.paper.specs import Machine, Table1
from nnjpeg.paper.subject import SMALL, benign_images, device_of, table_of, trainee
from nnjpeg.robust.attack.attack import Attack, Gradient
from nnjpeg.robust.defend.ensemble import MEMBERS, Ensemble
from nnjpeg.robust.defend.transforms import has_smooth
from nnjpeg.robust.judge.assess import UNDEFENDED, assess, worst_case
from nnjpeg.robust.judge.statistics import find_well_labelled
from nnjpeg.robust.record import checkpoints, distributed
from nnjpeg.robust.record.run import Run
from nnjpeg.robust.record.store import Journal
from nnjpeg.robust.train import chain
from nnjpeg.robust.train.chain import Stage
from nnjpeg.robust.train.engine import Optimization, accelerator

__all__ = ["run"]

_GIVEN = "noisy"
"""The ensemble of `models_of`."""


def run(spec: Table1, run: Run, machine: Machine) -> dict[str, pandas.DataFrame]:
    """Train this method, Fast AT and Free AT, and attack each with PGD: accuracy, robustness and time.

    Attacks see the whole defence: every member of an ensemble, through every compression by the identity and by a
    smooth rounding. One sees M alone, which is what the paper's attacks on its method see. Writes all models,
    table1.csv, table1.json and table1.png into the run folder; resumable, and under torchrun as training.

    Returns
    -------
    dict of str to DataFrame
        "table1": as of `assess`, where ``epochs`` and ``seconds`` are those of the training.
    """
    engine = accelerator(device_of(machine.device), mixed_precision=spec.mixed_precision, seed=spec.seed)
    noisy = {f"noisy-{total:g}": stages for total, stages in _noisy(spec).items()}
    one = trainee(run, spec.subject, spec.preparation, engine, patches=spec.patches, machine=machine, seed=spec.seed)
    undefended = checkpoints.load(run / "M.safetensors")[0].to(engine.device)
    adversarial = _adversarial(spec, undefended.size)
    benign = benign_images(spec.subject, spec.val, undefended, spec.images, spec.seed)
    if benign is None:
        raise ValueError("val: give images to judge by with --val")
    every = [stage for stages in (*adversarial.values(), *noisy.values()) for stage in stages]
    chain.run_stages(
        run, every, one.fresh, one.loaders, engine, seed=spec.seed, augment=one.augment, save_every=machine.save_every
    )
    defences: dict[str, torch.nn.Module] = {UNDEFENDED: undefended}
    for name, stages in adversarial.items():
        defences[name] = checkpoints.load(run / f"{stages[-1].name}.safetensors")[0].to(engine.device)
    for name, stages in noisy.items():
        names = {_quality_of(stage): stage.name for stage in stages}
        members = ["M", *(names[member] for member in MEMBERS if member in names)]
        defences[name] = Ensemble.load(run.folder, members).to(engine.device)
    if spec.models_of is not None:
        defences[_GIVEN] = Ensemble.load(spec.models_of).to(engine.device)
    originals, considered = find_well_labelled(undefended, benign, spec.attacked, machine.batch)
    attacks = {name: _attacks(spec, has_smooth(defence)) for name, defence in defences.items()}
    frame = worst_case(
        assess(
            defences, benign, originals, attacks, {"M": undefended}, Journal(run, "cells"), considered=considered,
            seed=spec.seed, batch=machine.batch,
        ),
        originals.sources,
    )  # fmt: skip
    facts = _facts(run, {**adversarial, **noisy}, spec.models_of)
    lengths = {name: sum(one["stage"]["optimization"]["epochs"] for one in stages) for name, stages in facts.items()}
    seconds = {name: sum(one["seconds"] for one in stages) for name, stages in facts.items()}
    frame["epochs"], frame["seconds"] = frame["defence"].map(lengths), frame["defence"].map(seconds)
    if distributed.is_main():
        _write(run, spec, frame)
    distributed.barrier()
    return {"table1": frame}


def _adversarial(spec: Table1, size: int) -> dict[str, list[Stage]]:
    eps, batch, phases = spec.threat.eps / 255, spec.train_batch, size > SMALL
    length: dict[str, Any] = {} if spec.adversarial_epochs is None else {"epochs": spec.adversarial_epochs}
    return {
        "fast": chain.fast(eps, batch=8 * batch if phases else batch, phases=phases, **length),
        "free": chain.free(eps, batch=4 * batch if phases else batch, **length),
    }


def _noisy(spec: Table1) -> dict[float, list[Stage]]:
    """The chain for each length, by its epochs in all."""
    table = table_of(spec.table, {"models_of": () if spec.models_of is None else (spec.models_of,)})
    found = {}
    for each in spec.epochs:
        total = each * len(chain.QUALITIES)
        found[total] = chain.noisy(
            noise=spec.threat.eps / 255, table=table, optimization=Optimization(each), batch=spec.train_batch,
            prefix=f"{total:g}-",
        )  # fmt: skip
    return found


def _quality_of(stage: Stage) -> str:
    """The name of an ensemble's member of the stage's quality."""
    return f"M{stage.facts()['quality']}"


def _attacks(spec: Table1, smooth: bool) -> list[Attack]:
    eps = spec.threat.eps / 255
    pgd: dict[str, Any] = {"loss": "cross-entropy", "view": "output", "steps": spec.steps, "step": 1 / 255}
    gradients: tuple[Gradient, ...] = ("identity", "smooth") if smooth else ("identity",)
    whole = [
        Attack("pgd", eps, gradient=gradient, restarts=count, **pgd)
        for count in spec.restarts
        for gradient in gradients
    ]
    return [Attack("pgd", eps, target="M", restarts=spec.restarts[0], **pgd), *whole]


def _facts(run: Run, methods: dict[str, list[Stage]], models_of: Path | None) -> dict[str, list[dict[str, Any]]]:
    """Of every training of every method."""
    facts = {
        name: [checkpoints.read(run / f"{stage.name}.safetensors")[1] for stage in stages]
        for name, stages in methods.items()
    }
    if models_of is not None:
        chained = [checkpoints.read(path)[1] for path in sorted(models_of.glob("M[0-9]*.safetensors"))]
        facts[_GIVEN] = [one for one in chained if "stage" in one]
    return facts


def _write(run: Run, spec: Table1, frame: pandas.DataFrame) -> None:
    run.write_csv("table1.csv", frame)
    run.write_json("table1.json", {"eps": spec.threat.eps / 255, "rows": frame.to_dict("records")})
    shown = frame[frame["gradient"] != "smooth"]  # not every defence has those; they are in the worst case
    figures.bars(shown, run / "table1.png")
    labelled = shown.assign(label=attack_labels(shown))
    table = labelled.pivot_table(index="defence", columns="label", values="accuracy", sort=False)
    training = frame.drop_duplicates("defence").set_index("defence")[["epochs", "seconds"]]
    print(f"percent right, eps {spec.threat.eps:g}/255\n{(100 * table).round(1).join(training).to_string(na_rep='-')}")
    print(f"in {run.folder}: table1.csv, table1.json, table1.png, and the models")
