"""The whole paper in one folder, from the frequencies to the last table, and a report of it."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas

from nnjpeg.paper import analyze, design, evaluate, figure6, report, table1, train
from nnjpeg.paper.specs import (
    Analyze,
    Design,
    Evaluate,
    Figure6,
    Machine,
    Reproduce,
    Spec,
    Subject,
    Table1,
    Threat,
    Train,
    changed,
    identity,
    options_of,
)
from nnjpeg.paper.subject import execute
from nnjpeg.robust.record import distributed
from nnjpeg.robust.record.run import Run

__all__ = ["PRESETS", "Stage", "run", "stages"]

_RUN: dict[type, Callable[[Any, Run, Machine], dict[str, pandas.DataFrame]]] = {
    Analyze: analyze.run,
    Design: design.run,
    Evaluate: evaluate.run,
    Figure6: figure6.run,
    Table1: table1.run,
    Train: train.run,
}
_COMMON = "common"
"""The place in the options for what is for all stages."""


@dataclass(frozen=True)
class Stage:
    """One experiment of a preset.

    Parameters
    ----------
    name : str
        Of its folder.
    spec : Spec
        All that decides about its results, but for the table that an earlier stage finds.
    needs : tuple of str
        Patterns of files of other stages that it reads.
    machine : dict
        Options of `Machine` that differ.
    """

    name: str
    spec: Spec
    needs: tuple[str, ...] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)


# Presets: lists of stages, in an order in which each comes after those that it reads from

_M, _TABLE = "model/M.safetensors", "design/table.json"
_TRAINED = ("train/M*.safetensors", "train/ensemble.json")


def _photos(folder: Path, data: Path | None, seed: int) -> list[Stage]:
    """Sizes for two cores and a short while."""
    given: dict[str, Any] = {"threat": Threat(eps=8.0), "seed": seed}
    model = Subject(weights=folder / _M)
    steps = (1, 11, 21, 31, 50, 71, 91, 121)
    return [
        Stage("model", Train(method="none", images=350, **given)),
        Stage("analyze", Analyze(subject=model, images=500, **given), (_M,)),
        Stage("design", Design(subject=model, benign=350, adversarial=100, steps=steps, **given), (_M,)),
        Stage("train", Train(subject=model, **given), (_M, _TABLE)),
        Stage("figure6", Figure6(models=folder / "train", images=350, attacked=50), ("train/M*.safetensors",)),
        Stage(
            "table1",
            Table1(
                subject=model, models_of=folder / "train", epochs=(), adversarial_epochs=3.0, restarts=(1,),
                attacked=30, **given,
            ),
            (_M, *_TRAINED, _TABLE),
        ),
        Stage(
            "evaluate",
            Evaluate(
                models_of=folder / "train", images=350, attacked=40, restarts=1, cw_steps=30, bpda_steps=40,
                queries=100, samples=2, curve=(2.0, 8.0, 32.0), keep="all", **given,
            ),
            (*_TRAINED, _TABLE),
        ),
    ]  # fmt: skip


def _photos_full(folder: Path, data: Path | None, seed: int) -> list[Stage]:
    """The sizes that each command has by default."""
    given: dict[str, Any] = {"threat": Threat(eps=8.0), "seed": seed}
    model = Subject(weights=folder / _M)
    models = folder / "train"
    return [
        Stage("model", Train(method="none", **given)),
        Stage("analyze", Analyze(subject=model, **given), (_M,)),
        Stage("design", Design(subject=model, **given), (_M,)),
        Stage("train", Train(subject=model, **given), (_M, _TABLE)),
        Stage("figure6", Figure6(models=models), ("train/M*.safetensors",)),
        Stage("table1", Table1(subject=model, models_of=models, epochs=(4.0,), **given), (_M, *_TRAINED, _TABLE)),
        Stage("evaluate", Evaluate(models_of=models, **given), (*_TRAINED, _TABLE)),
    ]


def _imagenet(folder: Path, data: Path | None, seed: int) -> list[Stage]:
    """The paper's: its attacks' lengths, its epochs, its models."""
    assert data is not None  # see Reproduce
    given: dict[str, Any] = {"threat": Threat(eps=2.0), "seed": seed}
    arch, models, val = "resnetv2_50.a1h_in1k", folder / "train", str(data / "val")
    judged, trained = (Subject(data=str(data / part), arch=arch, weights=folder / _M) for part in ("val", "train"))
    training: dict[str, Any] = {"val": val, "mixed_precision": "bf16", **given}
    workers = {"workers": 12}
    return [
        Stage("model", Train(subject=Subject(data=str(data / "train"), arch=arch), method="none", **training)),
        Stage("analyze", Analyze(subject=judged, **given), (_M,)),
        Stage("design", Design(subject=judged, benign=5000, adversarial=1000, **given), (_M,)),
        Stage("train", Train(subject=trained, **training), (_M, _TABLE), workers),
        Stage("figure6", Figure6(models=models, images=5000, attacked=1000), ("train/M*.safetensors",)),
        Stage(
            "table1",
            Table1(subject=trained, models_of=models, images=50000, attacked=1000, epochs=(4.0,), **training),
            (_M, *_TRAINED, _TABLE),
            workers,
        ),
        Stage(
            "evaluate",
            Evaluate(
                subject=judged, models_of=models, other="inception_v4.tf_in1k", images=5000, attacked=1000, restarts=5,
                **given,
            ),
            (*_TRAINED, _TABLE),
        ),
    ]  # fmt: skip


PRESETS: dict[str, Callable[[Path, Path | None, int], list[Stage]]] = {
    "photos": _photos,
    "photos-full": _photos_full,
    "imagenet": _imagenet,
}
"""From the run folder, the folder of images and the seed to stages, by the name of the preset."""


def stages(spec: Reproduce, folder: Path) -> list[Stage]:
    """The stages of a preset with the options that differ from it.

    Raises
    ------
    ValueError
        If the options name what is no stage, or no option of it, or have a value that is not accepted.
    """
    preset = PRESETS[spec.preset](folder, spec.data, spec.seed)
    names = [stage.name for stage in preset]
    for name, own in spec.options.items():
        if name not in (_COMMON, *names):
            raise ValueError(f"options must be by stage, of {', '.join((_COMMON, *names))}; got {name!r}")
        if not isinstance(own, Mapping):
            raise ValueError(f"options: {name} must have an object of names and values, got {own!r}")
    common = dict(spec.options.get(_COMMON, {}))
    known = {
        stage.name: {one.name for one in (*options_of(type(stage.spec)), *options_of(Machine))} for stage in preset
    }
    for name in common:
        if not any(name in own for own in known.values()):
            raise ValueError(f"options: {name} of {_COMMON} is an option of no stage")
    return [
        _differing(
            stage, {k: v for k, v in common.items() if k in known[stage.name]} | dict(spec.options.get(stage.name, {}))
        )
        for stage in preset
    ]


def _differing(stage: Stage, values: dict[str, Any]) -> Stage:
    """A stage with other values of options, of its experiment or of the machine."""
    machine = {name: values.pop(name) for name in [one.name for one in options_of(Machine)] if name in values}
    try:
        changed(Machine(), machine)
        return Stage(stage.name, changed(stage.spec, values), stage.needs, {**stage.machine, **machine})
    except ValueError as error:
        raise ValueError(f"options: {stage.name}: {error}") from None


# Running them


def run(spec: Reproduce, run: Run, machine: Machine) -> dict[str, pandas.DataFrame]:
    """Run every stage of the paper, each in a subfolder, and write report.html.

    M comes first, then the frequencies and the search for a table, then all that is trained and judged with the table
    that was found. A stage that is done is not done again unless its inputs have changed (then what it gave before is
    kept beside it, as NAME.before1); one that was stopped goes on where it was. Under torchrun stages are shared by
    the processes.

    Returns
    -------
    dict of str to DataFrame
        "stages": name and seconds of each; empty in all processes but the first.
    """
    for stage in stages(spec, run.folder):
        _do(run, stage, machine)
        if isinstance(stage.spec, Design) and distributed.is_main():
            print(f"table: {_table_in_words(run)}", flush=True)
    done = pandas.DataFrame()
    if distributed.is_main():
        report.write(run)
        print(f"in {run.folder}: report.html, and a folder for each stage")
        files = sorted(run.folder.glob("*/done.json"))
        seconds = {path.parent.name: json.loads(path.read_text())["seconds"] for path in files}
        done = pandas.DataFrame({"stage": list(seconds), "seconds": list(seconds.values())})
    distributed.barrier()
    return {"stages": done}


def _table_in_words(run: Run) -> str:
    if not (run / _TABLE).exists():
        return "the paper's 16 / 50, since no cell of the search qualifies"
    cell = json.loads((run / "design/verdict.json").read_text())["cell"]
    bands = {"diagonal": "anti-diagonals", "measured": "measured bands"}[cell["partition"]]
    return (
        f"Algorithm 1's: {cell['n']} {bands} at {cell['qs_of']}, the rest at {cell['qs_af']}; all that follows has it"
    )


def _do(run: Run, stage: Stage, machine: Machine) -> None:
    """Run a stage, unless it is done with the same inputs; what other inputs gave is kept beside it."""
    name, done, spec = stage.name, run / stage.name / "done.json", stage.spec
    if _TABLE in stage.needs and (run / _TABLE).exists() and getattr(spec, "table", "") is None:
        spec = changed(spec, {"table": run / _TABLE})
    inputs = _inputs(run, stage, spec)
    begun = run / f"{name}.inputs.json"
    same = begun.exists() and json.loads(begun.read_text())["inputs"] == inputs
    distributed.barrier()
    if distributed.is_main():
        if (run / name).exists() and not same:
            number = next(k for k in itertools.count(1) if not (run / f"{name}.before{k}").exists())
            (run / name).rename(run / f"{name}.before{number}")
        if not same:
            run.write_json(begun.name, {"inputs": inputs})
    distributed.barrier()
    if done.exists():
        if distributed.is_main():
            print(f"== {name}: done before", flush=True)
        return
    if distributed.is_main():
        print(f"== {name}", flush=True)
    began = time.perf_counter()
    try:
        execute(_RUN[type(spec)], spec, changed(machine, stage.machine), run / name)
    except Exception:
        if distributed.is_main() and not (run / name).exists():
            begun.unlink()
        raise
    if distributed.is_main():
        run.write_json(f"{name}/done.json", {"seconds": round(time.perf_counter() - began, 1)})
    distributed.barrier()


def _inputs(run: Run, stage: Stage, spec: Spec) -> str:
    """A digest of what is asked, and of the files that it is asked of; where the folder lies does not matter."""
    asked = {name: _within(run.folder, value) for name, value in identity(spec).items()}
    files = [path for need in stage.needs for path in sorted(run.folder.glob(need))]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return hashlib.sha256(json.dumps([asked, digests]).encode()).hexdigest()


def _within(folder: Path, value: Any) -> Any:
    """A path in the run folder as one from there."""
    if isinstance(value, str) and value and Path(value).is_relative_to(folder):
        return f"./{Path(value).relative_to(folder)}"
    return value
