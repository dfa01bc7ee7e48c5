"""Tables that are learned by gradient, for fewer bytes or against adversarial images, and judged on other images."""

from __future__ import annotations

from typing import Any

import pandas
from torch import nn

from nnjpeg.paper import learn_adversary, learn_bytes
from nnjpeg.paper.fields import identity
from nnjpeg.paper.specs import Learn, Machine
from nnjpeg.paper.subject import device_of, model_of, other_of, source_of, test_images
from nnjpeg.qtable import QTable
from nnjpeg.robust import data as datasets
from nnjpeg.robust.data import Images
from nnjpeg.robust.models import Classifier
from nnjpeg.robust.record import distributed
from nnjpeg.robust.record.run import Run
from nnjpeg.robust.record.store import Journal, shared
from nnjpeg.robust.train.tables import learn

__all__ = ["run"]


def run(spec: Learn, run: Run, machine: Machine) -> dict[str, pandas.DataFrame]:
    """Learn a table for each lambda, and judge all on images that none was learned from.

    Writes table-LAMBDA.json and .txt into the run folder, and what `learn_bytes.judge` or `learn_adversary.judge`
    writes, by the objective. A stopped run resumes, within a table too.

    Returns
    -------
    dict of str to DataFrame
        Of `learn_bytes.judge`, or of `learn_adversary.judge`.
    """
    device = device_of(machine.device)
    model = model_of(run / "model.safetensors", spec.subject, spec.seed).to(device).eval()
    learned_from, held_out, judged_on = _images(spec, model)
    if spec.objective == "adversary":
        sets = learn_adversary.attacked(run, spec, model, learned_from, held_out, judged_on, machine.batch)
        tables = _learned(run, spec, model, (sets.learned_from, sets.held_out), sets.attacked)
        frames = learn_adversary.judge(run, spec, model, tables, sets.judged_on, machine.batch)
    else:
        other = other_of(run, spec)
        networks: dict[str, nn.Module] = {"M": model}
        if other is not None:
            networks["other"] = other.to(device).eval()
        tables = _learned(run, spec, model, (learned_from, held_out), None)
        frames = learn_bytes.judge(run, spec, networks, tables, learned_from, judged_on, machine.batch)
    distributed.barrier()
    return frames


def _images(spec: Learn, model: Classifier) -> tuple[Images, Images, Images]:
    """To learn from, to see the end by, and to judge by: no image is in two of them."""
    first = spec.learned + spec.held_out
    if spec.subject.data == "photos":
        every, judged_on = (
            datasets.photos("train", first, seed=spec.seed),
            datasets.photos("test", spec.images, seed=spec.seed),
        )
    elif datasets.has_splits(spec.subject.data, spec.subject.dataset):
        source = source_of(spec.subject, "train")
        every = datasets.sample(source, first, model.preprocess(), outputs=model.outputs(), seed=spec.seed)
        judged_on = test_images(spec.subject, model, spec.images, None, spec.seed)
    else:
        both = test_images(spec.subject, model, first + spec.images, None, spec.seed)
        judged_on, every = both.take(slice(0, spec.images)), both.take(slice(spec.images, None))
    return every.take(slice(0, spec.learned)), every.take(slice(spec.learned, None)), judged_on


def _learned(
    run: Run,
    spec: Learn,
    model: nn.Module,
    images: tuple[Images, Images],
    attacked: tuple[Images, Images] | None,
) -> dict[float, tuple[QTable, ...]]:
    """By lambda, and written; what is done is in the journal, what is not yet in a file for each."""

    def work(keys: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = []
        for key in keys:
            path = run / f"learning-{key['weight']:g}-{key['start']}.safetensors"
            result = learn(
                model, *images, weight=key["weight"], attacked=attacked, loss=spec.loss, tables=spec.tables,
                colorspace=spec.colorspace, subsampling=spec.subsampling, optimize=spec.optimize, start=key["start"],
                gradient=spec.gradient, lr=spec.lr, epochs=spec.epochs, patience=spec.patience,
                batch=spec.train_batch, seed=spec.seed, path=path,
            )  # fmt: skip
            found.append({"tables": [table.to_list() for table in result.tables], "history": result.history})
        return found

    keys = [{"weight": float(weight), "start": start} for weight in spec.lambdas for start in spec.starts]
    lines = shared(keys, work, Journal(run, "tables"), description="tables", unit="table")
    tables = {}
    for weight in dict.fromkeys(key["weight"] for key in keys):
        best = min((line for line in lines if line["weight"] == weight), key=_objective)
        tables[weight] = tuple(QTable(table) for table in best["tables"])
        if distributed.is_main():
            _write(run, spec, weight, best["start"], tables[weight])
    return tables


def _objective(line: dict[str, Any]) -> float:
    """The least that was reached on the held-out images."""
    return min(row["objective"] for row in line["history"])


def _write(run: Run, spec: Learn, weight: float, start: int, tables: tuple[QTable, ...]) -> None:
    provenance = {"run": "learn", "parameters": identity(spec), "lambda": weight, "started_from": start}
    if spec.tables == "luma-chroma":  # as cjpeg and nnjpeg compress read two
        tables = tables[:2]
    QTable.save_all(tables, run / f"table-{weight:g}.json", provenance=provenance)
    QTable.save_all(tables, run / f"table-{weight:g}.txt")
