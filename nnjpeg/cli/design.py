"""nnjpeg design: Algorithm 1, the search for a table, and the front that one cell hides (section 3.2 of the paper)."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Literal

import torch

from nnjpeg import atomic
from nnjpeg.cli.subject import device_of, open_run, subject
from nnjpeg.robust import design as search
from nnjpeg.robust import distributed
from nnjpeg.robust.data import Images
from nnjpeg.robust.frequency import FrequencyStatistics, band_order
from nnjpeg.robust.runs import Journal


def design(
    data: str = "photos",
    arch: str | None = None,
    weights: Path | None = None,
    mean: list[float] | None = None,
    std: list[float] | None = None,
    size: int | None = None,
    model_options: dict[str, Any] = {},  # noqa: B006 (jsonargparse reads the default, nobody writes it)
    benign: int = 1000,
    adversarial: int = 200,
    attack: str = "fgsm",
    eps: float = 8.0,
    diagonals: list[int] = list(range(1, 15)),  # noqa: B006
    steps: list[int] = list(search.QS_AF),  # noqa: B006
    qs_of: int | Literal["eps"] = 16,
    measured: list[int] = [],  # noqa: B006
    max_loss: float = 1.0,
    min_defence: float = 50.0,
    figure4: bool = True,
    batch: int = 64,
    seed: int = 0,
    device: str = "auto",
    out: Path | None = None,
) -> int:
    """Search the table with the best defence among those that cost little benign accuracy (Algorithm 1).

    Writes cells.csv, front.csv, verdict.json, the figures and, if a cell qualifies, table.json into the run folder. A
    stopped search goes on where it was when it is started again with the same parameters and folder; torchrun splits
    it over processes.

    Args:
        data: "photos", patches of scikit-image's photographs with a small model of their own; or a folder of images
            with a subfolder for each class.
        arch: a model of timm or torchvision.
        weights: a file of its weights, safetensors or torch's; by default those of the hub.
        mean: of R, G, B in [0, 1], by which images are normalised; by default the model's own.
        std: likewise, their deviations.
        size: the side of the model's images; by default the model's own.
        model_options: more for the model's constructor, such as '{"pad_type": "same"}'.
        benign: how many images benign accuracy is measured on.
        adversarial: how many of them, labelled right before the attack, the defence is measured on.
        attack: fgsm, ifgsm or pgd.
        eps: the L-infinity bound, in units of 1/255.
        diagonals: numbers k of anti-diagonals that are original-favoured.
        steps: QS_AF, steps of the adversarial-favoured bands.
        qs_of: QS_OF, the step of the original-favoured bands; "eps" is 16 times eps.
        measured: numbers of bands that are original-favoured by the measured order of delta', beside the diagonals.
        max_loss: points of benign accuracy that a table may cost.
        min_defence: percent of adversarial images that must be labelled right for a table to be called useful.
        figure4: also sweep one step for all bands, in RGB and in YCbCr.
        batch: images at a time.
        seed: of the choice of images, of the small model and of PGD.
        device: "auto", "cpu", "cuda", ...
        out: the run folder; by default runs/design-TIME.
    """
    parameters = {key: value for key, value in locals().items() if key not in ("out", "device")}
    if not diagonals or not steps:
        raise ValueError("diagonals and steps must not be empty")
    distributed.start()
    run = open_run("design", out, parameters)
    model, images = subject(
        run, benign, data=data, arch=arch, weights=weights, mean=mean, std=std, size=size,
        model_options=model_options, seed=seed, device=device_of(device),
    )  # fmt: skip
    attacked, originals = _attacked(run, model, images, adversarial, attack, eps / 255, seed, batch)
    order = None
    if measured:
        ours, theirs = FrequencyStatistics(), FrequencyStatistics()
        ours.update(originals.pixels)
        theirs.update(attacked.pixels, minus=originals.pixels)
        order = band_order(ours, theirs)
    step = search.qs_of_eps(eps / 255) if qs_of == "eps" else qs_of
    journal = Journal(run, "cells")

    def evaluate(cells: list[search.Cell], description: str) -> Any:
        results = search.evaluate_cells(
            cells, model, images, attacked, journal, order=order, batch=batch, description=description
        )
        return search.frame(results)

    others = evaluate(search.references(), "references")
    none = others.iloc[0].to_dict()
    cells = evaluate(search.grid(diagonals, steps, step, measured), "cells")
    verdict = search.choose(cells, none, max_loss=max_loss / 100, min_defence=min_defence / 100)
    best = search.pareto_front(cells)
    names = ["partition", "n", "qs_of", "qs_af"]
    twins = evaluate(
        [search.Cell(**row, colorspace="ycbcr") for row in best[names].to_dict("records")], "front in YCbCr"
    )
    flat = evaluate(search.flat_sweep(steps), "one step for all") if figure4 else None
    if distributed.is_main():
        _write(run, cells, best, twins, others, flat, verdict, none, order, parameters, images.skipped)
    distributed.barrier()  # torchrun ends all processes when one of them fails: not before the results are written
    return 0 if verdict.cell is not None else 1


def _attacked(
    run: Any, model: torch.nn.Module, images: Images, count: int, attack: str, eps: float, seed: int, batch: int
) -> tuple[Images, Images]:
    """The attacked images, kept in the run folder: a search that goes on sees the same ones."""
    path = run / "adversarial.pt"
    if not path.exists():
        pair = search.attack_set(model, images, count, attack=attack, eps=eps, seed=seed, batch=batch)
        if distributed.is_main():
            buffer = io.BytesIO()
            torch.save([(one.pixels, one.labels) for one in pair], buffer)
            atomic.write(path, buffer.getvalue())
    distributed.barrier()
    attacked, originals = (
        Images(pixels, labels, images.classes) for pixels, labels in torch.load(path, weights_only=True)
    )
    return attacked, originals


def _write(
    run: Any,
    cells: Any,
    best: Any,
    twins: Any,
    others: Any,
    flat: Any,
    verdict: search.Verdict,
    none: dict[str, Any],
    order: Any,
    parameters: dict[str, Any],
    skipped: tuple[str, ...],
) -> None:
    import pandas

    from nnjpeg.robust import figures

    run.write_csv("cells.csv", pandas.concat([others, cells, twins]))
    run.write_csv("front.csv", best)
    figures.heat_map(cells, run / "heat_map.png")
    figures.front(cells, best, twins, others, verdict.cell, run / "front.png")
    if flat is not None:
        run.write_csv("figure4.csv", flat)
        figures.sweep(flat, none, run / "figure4.png")
    run.write_json(
        "verdict.json",
        {"text": verdict.text, "useful": verdict.useful, "cell": verdict.cell, "none": none, "skipped": list(skipped)},
    )
    if verdict.cell is not None:
        fields = ("partition", "n", "qs_of", "qs_af", "colorspace")
        table = search.table_of(search.Cell(**{name: verdict.cell[name] for name in fields}), order)
        assert table is not None
        provenance = {"run": "design", "parameters": parameters, "cell": verdict.cell, "verdict": verdict.text}
        table.save(run / "table.json", provenance=json.loads(json.dumps(provenance, default=str)))
    print(verdict.text)
    for row in others.to_dict("records"):
        name = "no defence" if row["partition"] == "none" else f"JPEG {row['n']}"
        print(f"  {name}: benign {row['accuracy']:.1%}, adversarial {row['defence']:.1%}")
    for row, twin in zip(best.to_dict("records"), twins.to_dict("records"), strict=True):
        print(
            f"  front: {row['partition']} {row['n']}, {row['qs_of']}/{row['qs_af']}: benign {row['accuracy']:.1%}, "
            f"adversarial {row['defence']:.1%}; in YCbCr {twin['accuracy']:.1%}, {twin['defence']:.1%}"
        )
    print(f"in {run.folder}: cells.csv, front.csv, verdict.json, table.json if a cell qualifies, and the figures")
