"""The whole paper in one folder, from the frequencies to the last table, and a report of it."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import pandas

from nnjpeg._progress import Progress
from nnjpeg.paper import analyze, design, evaluate, figure6, presets, report, table1, train
from nnjpeg.paper.fields import changed, files_of
from nnjpeg.paper.specs import (
    Analyze,
    Design,
    Evaluate,
    Figure6,
    Machine,
    Reproduce,
    Table1,
    Train,
)
from nnjpeg.paper.subject import asked_of, command_of, execute
from nnjpeg.robust.design import in_words
from nnjpeg.robust.record import distributed
from nnjpeg.robust.record.run import Run, difference
from nnjpeg.robust.record.store import Journal

__all__ = ["run"]

_RUN: dict[type, Callable[[Any, Run, Machine], dict[str, pandas.DataFrame]]] = {
    Analyze: analyze.run,
    Design: design.run,
    Evaluate: evaluate.run,
    Figure6: figure6.run,
    Table1: table1.run,
    Train: train.run,
}


def run(spec: Reproduce, run: Run, machine: Machine) -> dict[str, pandas.DataFrame]:
    """Run every stage of the paper, each in a subfolder, and write report.html.

    The order is: M, the frequencies, the search for a table, and then training and evaluation with that table. A
    finished stage is repeated only if its inputs have changed (its former results are kept as NAME.before1). A stopped
    stage resumes. Under torchrun the processes share each stage.

    Returns
    -------
    dict of str to DataFrame
        "stages": name and seconds of each; empty in all processes but the first.
    """
    journal, every = Journal(run, "stages"), presets.stages(spec, run.folder)
    for stage in every:
        for name, path in files_of(stage.spec):
            if not path.is_relative_to(run.folder) and not path.exists():
                raise FileNotFoundError(f"options: {stage.name}: {name}: there is no {path}")
    with Progress("stages", len(every), "stage", quiet=not distributed.is_main()) as progress:
        for stage in every:
            _do(run, stage, machine, journal)
            if isinstance(stage.spec, Design) and distributed.is_main():
                print(f"table: {_table_in_words(run)}", flush=True)
            progress.update()
    done = pandas.DataFrame()
    if distributed.is_main():
        report.write(run)
        print(f"in {run.folder}: report.html, and a folder for each stage")
        seconds = {line["stage"]: line["seconds"] for line in journal}
        done = pandas.DataFrame({"stage": list(seconds), "seconds": list(seconds.values())})
    distributed.barrier()
    return {"stages": done}


def _table_in_words(run: Run) -> str:
    if not (run / presets.TABLE).exists():
        return "the paper's 16 / 50, since no table of the search qualifies"
    cell = json.loads((run / "design/verdict.json").read_text())["cell"]
    return f"Algorithm 1's: {in_words(cell)}; all that follows has it"


def _do(run: Run, stage: presets.Stage, machine: Machine, journal: Journal) -> None:
    """Run a stage, unless it is finished with the same inputs; results of other inputs are kept beside it."""
    name, spec = stage.name, stage.spec
    if stage.designed and (run / presets.TABLE).exists() and getattr(spec, "table", "") is None:
        spec = changed(spec, {"table": run / presets.TABLE})
    inputs = asked_of(spec)
    asked = {"stage": name, "inputs": inputs}
    done = any(all(line[key] == value for key, value in asked.items()) for line in journal)
    distributed.barrier()
    if distributed.is_main() and difference(run / name, command_of(spec), inputs):
        number = next(k for k in itertools.count(1) if not (run / f"{name}.before{k}").exists())
        (run / name).rename(run / f"{name}.before{number}")
    distributed.barrier()
    if done and (run / name).exists():
        if distributed.is_main():
            print(f"== {name}: done before", flush=True)
        return
    if distributed.is_main():
        print(f"== {name}", flush=True)
    began = time.perf_counter()
    execute(_RUN[type(spec)], spec, changed(machine, stage.machine), run / name)
    if distributed.is_main():
        journal.append({**asked, "seconds": round(time.perf_counter() - began, 1)})
    distributed.barrier()
