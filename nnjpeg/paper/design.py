"""Algorithm 1, the search for a table, with all cells of the grid and their front (section 3.2 of the paper)."""

from __future__ import annotations

import pandas
import torch

from nnjpeg.paper import figures
from nnjpeg.paper.fields import identity
from nnjpeg.paper.specs import Design, Machine
from nnjpeg.paper.subject import device_of, subject_of
from nnjpeg.robust import design as search
from nnjpeg.robust.data import Images
from nnjpeg.robust.frequency import FrequencyStatistics, band_order
from nnjpeg.robust.record import distributed
from nnjpeg.robust.record.run import Run
from nnjpeg.robust.record.store import Journal, digest, kept_once

__all__ = ["run"]


def run(spec: Design, run: Run, machine: Machine) -> dict[str, pandas.DataFrame]:
    """Judge every table of the grid on the same images, and choose one.

    Writes cells.csv, front.csv, verdict.json, the figures and, if a table qualifies, table.json into the run folder. A
    stopped search resumes; torchrun splits it over processes.

    Returns
    -------
    dict of str to DataFrame
        "references", "cells", "front", "twins" (the front's tables in YCbCr), "flat" (Figure 4), and "chosen", which
        has one row, or none if no table qualifies.
    """
    batch, eps = machine.batch, spec.threat.eps / 255
    model, images = subject_of(run, spec.subject, spec.benign, seed=spec.seed, device=device_of(machine.device))
    attacked, originals = _attacked(run, spec, model, images, batch)
    order = None
    if spec.measured:
        ours, theirs = FrequencyStatistics(), FrequencyStatistics()
        ours.update(originals.pixels)
        theirs.update(attacked.pixels, minus=originals.pixels)
        order = band_order(ours, theirs)
    step = spec.qs_of if isinstance(spec.qs_of, int) else search.qs_of_eps(eps)
    if step >= max(spec.steps) and distributed.is_main():
        print(
            f"Warning: QS_OF, the step of the original-favoured bands, is {step}. The largest QS_AF, the step of the "
            f"other bands, is {max(spec.steps)}. Every table of this search therefore quantizes the original-favoured "
            "bands at least as coarsely as the others. Give a smaller QS_OF with --qs-of (the paper adopts 16) or "
            "larger steps with --steps."
        )
    journal = Journal(run, "cells")

    def evaluate(cells: list[search.Cell], description: str) -> pandas.DataFrame:
        found = search.evaluate_cells(
            cells, model, images, attacked, journal, order=order, batch=batch, description=description
        )
        return search.frame(found, images, attacked)

    others = evaluate(search.references(), "references")
    none = others.iloc[0].to_dict()
    cells = evaluate(search.grid(spec.diagonals, spec.steps, step, spec.measured), "cells")
    verdict = search.choose(cells, none, max_loss=spec.max_loss / 100, min_defence=spec.min_defence / 100)
    best = search.pareto_front(cells)
    names = ["partition", "n", "qs_of", "qs_af"]
    twins = evaluate(
        [search.Cell(**row, colorspace="ycbcr") for row in best[names].to_dict("records")], "front in YCbCr"
    )
    tables = {"references": others, "cells": cells, "front": best, "twins": twins}
    if spec.figure4:
        tables["flat"] = evaluate(search.flat_sweep(spec.steps), "one step for all")
    tables["chosen"] = pandas.DataFrame([] if verdict.cell is None else [verdict.cell])
    if distributed.is_main():
        _write(run, spec, tables, verdict, order, images.skipped)
    distributed.barrier()  # torchrun ends all processes when one of them fails: not before the results are written
    return tables


def _attacked(run: Run, spec: Design, model: torch.nn.Module, images: Images, batch: int) -> tuple[Images, Images]:
    """The attacked images, stored in the run folder, so that a resumed search uses the same ones."""

    def make() -> dict[str, torch.Tensor]:
        attacked, originals = search.attack_set(
            model, images, spec.adversarial, attack=spec.attack, eps=spec.threat.eps / 255, seed=spec.seed, batch=batch
        )
        sources = {} if originals.sources is None else {"sources": originals.sources}
        return {"attacked": attacked.pixels, "originals": originals.pixels, "labels": originals.labels, **sources}

    path, of = run / "adversarial.safetensors", {"images": digest(images.pixels, images.labels)}
    tensors = kept_once(path, of, make)
    attacked, originals = (
        Images(tensors[name], tensors["labels"], images.classes, images.skipped, tensors.get("sources"))
        for name in ("attacked", "originals")
    )
    return attacked, originals


def _write(
    run: Run,
    spec: Design,
    tables: dict[str, pandas.DataFrame],
    verdict: search.Verdict,
    order: list[tuple[int, int]] | None,
    skipped: tuple[str, ...],
) -> None:
    others, cells, best, twins = (tables[name] for name in ("references", "cells", "front", "twins"))
    none = others.iloc[0].to_dict()
    run.write_csv("cells.csv", pandas.concat([others, cells, twins]))
    run.write_csv("front.csv", best)
    figures.heat_map(cells, run / "heat_map.png")
    figures.front(cells, best, twins, others, verdict.cell, run / "front.png")
    if "flat" in tables:
        run.write_csv("figure4.csv", tables["flat"])
        figures.sweep(tables["flat"], none, run / "figure4.png")
    run.write_json(
        "verdict.json",
        {"text": verdict.text, "useful": verdict.useful, "cell": verdict.cell, "none": none, "skipped": list(skipped)},
    )
    if verdict.cell is not None:
        fields = ("partition", "n", "qs_of", "qs_af", "colorspace")
        table = search.table_of(search.Cell(**{name: verdict.cell[name] for name in fields}), order)
        assert table is not None
        provenance = {"run": "design", "parameters": identity(spec), "cell": verdict.cell, "verdict": verdict.text}
        table.save(run / "table.json", provenance=provenance)
    _print(run, others, best, twins, verdict)


def _print(
    run: Run, others: pandas.DataFrame, best: pandas.DataFrame, twins: pandas.DataFrame, verdict: search.Verdict
) -> None:
    print(verdict.text)
    for row in others.to_dict("records"):
        name = "no defence" if row["partition"] == "none" else f"JPEG {row['n']}"
        print(f"  {name}: benign {row['accuracy']:.1%}, adversarial {row['defence']:.1%}")
    for row, twin in zip(best.to_dict("records"), twins.to_dict("records"), strict=True):
        print(
            f"  front: {row['partition']} {row['n']}, {row['qs_of']}/{row['qs_af']}: benign {row['accuracy']:.1%}, "
            f"adversarial {row['defence']:.1%}; in YCbCr {twin['accuracy']:.1%}, {twin['defence']:.1%}"
        )
    print(f"in {run.folder}: cells.csv, front.csv, verdict.json, table.json if a table qualifies, and the figures")
