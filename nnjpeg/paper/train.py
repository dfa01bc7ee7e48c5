"""Noisy training, the chain of models and their ensemble (section 3.4 of the paper), and other training methods."""

from __future__ import annotations

from typing import Any

import pandas
import torch

from nnjpeg.paper.specs import ADVERSARIAL, CHAINS, Machine, Train
from nnjpeg.paper.subject import SMALL, benign_images, device_of, trainee
from nnjpeg.qtable import NN_TABLE, QTable
from nnjpeg.robust.data import Images
from nnjpeg.robust.defend.ensemble import Ensemble, input_transform
from nnjpeg.robust.judge.statistics import right, share_of
from nnjpeg.robust.record import checkpoints, distributed
from nnjpeg.robust.record.run import Run
from nnjpeg.robust.train import chain
from nnjpeg.robust.train.chain import Stage
from nnjpeg.robust.train.engine import Exponential, Optimization, accelerator
from nnjpeg.robust.train.objectives import Through

__all__ = ["run"]


def run(spec: Train, run: Run, machine: Machine) -> dict[str, pandas.DataFrame]:
    """Train all models of a method, and measure their benign accuracy.

    Writes a checkpoint for each model (safetensors), train.0.jsonl, ensemble.json and results.csv into the run folder.
    A stopped run resumes; torchrun trains on several devices, with the same results to rounding.

    Returns
    -------
    dict of str to DataFrame
        "results": a row for each model and each kind of image that it sees; empty in all processes but the first.
    """
    engine = accelerator(
        device_of(machine.device), mixed_precision=spec.mixed_precision, accumulate=spec.accumulate, seed=spec.seed
    )
    one = trainee(run, spec.subject, spec.preparation, engine, patches=spec.patches, machine=machine, seed=spec.seed)
    stages = _stages(spec, checkpoints.load(run / "M.safetensors")[0].size)
    chain.run_stages(
        run, stages, one.fresh, one.loaders, engine, seed=spec.seed, augment=one.augment,
        save_every=machine.save_every,
    )  # fmt: skip
    results = pandas.DataFrame()
    if distributed.is_main():
        together = _together(spec)
        if together is not None:
            run.write_json("ensemble.json", {"members": together, "rule": "mean"})
        first = checkpoints.load(run / "M.safetensors")[0]
        test = benign_images(spec.subject, spec.val, first, spec.images, spec.seed)
        results = _judge(run, ["M", *(stage.name for stage in stages)], together, engine.device, test)
    distributed.barrier()
    return {"results": results}


def _stages(spec: Train, size: int) -> list[Stage]:
    """size: the side of the model's images."""
    eps, batch = spec.threat.eps / 255, spec.train_batch
    noise = eps if spec.noise is None else spec.noise / 255
    table = NN_TABLE if spec.table is None else QTable.load(spec.table)
    rate: dict[str, Any] = {} if spec.lr is None else {"rate": spec.lr}
    length: dict[str, Any] = {} if spec.epochs is None else {"epochs": spec.epochs}
    sgd = Optimization(
        spec.epochs or (14 if spec.method == "plain" else 2),
        Exponential(spec.lr or 0.005, spec.decay),
        spec.momentum,
        spec.weight_decay,
    )
    if spec.method == "noisy":
        return chain.noisy(spec.qualities, noise=noise, xi=spec.xi, table=table, optimization=sgd, batch=batch)
    if spec.method == "vaccination":
        return chain.vaccination(spec.qualities, optimization=sgd, batch=batch)
    if spec.method == "plain":
        return chain.plain(optimization=sgd, batch=batch)
    if spec.method not in ADVERSARIAL:
        return []
    how: dict[str, Any] = {"batch": batch, "start": "M" if spec.start == "M" else None, **length, **rate}
    if spec.method == "fast":
        how["phases"] = size > SMALL
    make = {"fast": chain.fast, "free": chain.free, "pgd": chain.pgd}[spec.method]
    through: dict[str, Through | None] = {spec.method: None}
    if spec.through:
        through = {_through_name(spec, quality): Through(quality, table) for quality in spec.through}
    return [stage for name, one in through.items() for stage in make(eps, name=name, through=one, **how)]


def _through_name(spec: Train, quality: int) -> str:
    return f"{spec.method}-{quality}"


def _together(spec: Train) -> list[str] | None:
    """The names of the models of the ensemble; None if there is none."""
    if spec.method in CHAINS:
        return ["M", *(f"M{quality}" for quality in spec.members)]
    if len(spec.through) > 1:
        return [_through_name(spec, quality) for quality in spec.through]
    return None


def _judge(
    run: Run, names: list[str], together: list[str] | None, device: torch.device, test: Images | None
) -> pandas.DataFrame:
    """Benign accuracy of each model, with and without its own compression, and of the ensemble."""
    judges: list[tuple[str, str, torch.nn.Module, dict[str, Any]]] = []
    for name in names:
        model, facts = checkpoints.load(run / f"{name}.safetensors")
        judges.append((name, "as it is", model, facts))
        transform = input_transform(facts)
        if transform is not None:
            judges.append((name, "compressed", torch.nn.Sequential(transform, model), facts))
    if together is not None:
        judges.append(("ensemble", "by member", Ensemble.load(run.folder, together), {}))
    rows = []
    for name, sees, judge, facts in judges:
        row = {"model": name, "image": sees, "seconds": facts.get("seconds"), "loss": facts.get("loss")}
        if test is not None:
            hits = right(judge.to(device), test)
            found = share_of(hits, None if test.sources is None else test.sources.numpy())
            row |= found
            text = "{accuracy:.1%} right (95% interval {low:.1%} to {high:.1%})".format(**found)
            print(f"{name:>9}, image {sees}: {text}")
        rows.append(row)
    frame = pandas.DataFrame(rows)
    run.write_csv("results.csv", frame)
    print(f"in {run.folder}: a checkpoint for each model, results.csv, train.0.jsonl, ensemble.json if there is one")
    return frame
