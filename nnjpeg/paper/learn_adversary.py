"""Tables that are judged by what they do to adversarial images, beside Algorithm 1's tables of two steps and JPEG's.

All adversarial images are made on the network without a table (gray-box), each set from images of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas
import torch
from torch import Tensor, nn

from nnjpeg.paper import figures
from nnjpeg.paper.specs import Learn
from nnjpeg.qtable import QTable
from nnjpeg.robust import design
from nnjpeg.robust.attack.gradients import attack_images
from nnjpeg.robust.data import Images
from nnjpeg.robust.judge.assess import BENIGN
from nnjpeg.robust.judge.statistics import at_equal_accuracy, fraction, hits_of, mcnemar, right, share_of, well_labelled
from nnjpeg.robust.record import distributed
from nnjpeg.robust.record.run import Run
from nnjpeg.robust.record.store import Journal, digest, kept_once, shared
from nnjpeg.robust.train.tables import standard_tables
from nnjpeg.transforms import nn_jpeg

__all__ = ["Sets", "attacked", "judge"]

LEARNED, TWO_STEPS, JPEG = "learned", "two steps", "jpeg 4:2:0"
"""Families of tables."""


@dataclass(frozen=True)
class Sets:
    """Images, and the adversarial ones that were made of them.

    Parameters
    ----------
    learned_from, held_out : Images
        The originals of `attacked`: those that the network labels right.
    attacked : (Images, Images)
        Of each, in its order.
    judged_on : dict of str to Images
        By attack; "benign": images as they are, whether the network labels them right or not.
    """

    learned_from: Images
    held_out: Images
    attacked: tuple[Images, Images]
    judged_on: dict[str, Images]


def attacked(
    run: Run, spec: Learn, model: nn.Module, learned_from: Images, held_out: Images, judged_on: Images, batch: int
) -> Sets:
    """Attack images of each set; the adversarial ones are stored in the run folder, so that a resumed run has the same.

    Raises
    ------
    ValueError
        If the network labels too few images right.
    """
    originals = {
        "learned": _right(model, learned_from, "learned", batch),
        "held_out": _right(model, held_out, "held_out", batch),
        "judged": well_labelled(model, judged_on, spec.attacked, batch),
    }
    makers = dict.fromkeys(("fgsm", "pgd", spec.attack))
    wanted = [("learned", spec.attack), ("held_out", spec.attack), *(("judged", attack) for attack in makers)]

    def make() -> dict[str, Tensor]:
        eps = spec.threat.eps / 255
        return {
            f"{name}-{attack}": attack_images(model, originals[name], attack, eps, seed=spec.seed, batch=batch).pixels
            for name, attack in wanted
        }

    of = {name: digest(images.pixels, images.labels) for name, images in originals.items()}
    pixels = kept_once(run / "adversarial.safetensors", of | {"model": digest(*model.state_dict().values())}, make)

    def found(name: str, attack: str) -> Images:
        images = originals[name]
        return Images(pixels[f"{name}-{attack}"], images.labels, images.classes, images.skipped, images.sources)

    return Sets(
        originals["learned"],
        originals["held_out"],
        (found("learned", spec.attack), found("held_out", spec.attack)),
        {BENIGN: judged_on} | {attack: found("judged", attack) for attack in makers},
    )


def _right(model: nn.Module, images: Images, name: str, batch: int) -> Images:
    """The images that the network labels right."""
    found = torch.from_numpy(right(model, images, batch=batch).nonzero()[0])
    if not len(found):
        raise ValueError(f"{name}: the network labels none of {len(images)} images right, so there is none to attack")
    return images.take(found)


def judge(
    run: Run,
    spec: Learn,
    model: nn.Module,
    tables: dict[float, tuple[QTable, ...]],
    sets: dict[str, Images],
    batch: int,
) -> dict[str, pandas.DataFrame]:
    """Judge learned tables, by their lambdas, and others on benign and adversarial images.

    Writes defence.csv, equal.csv and defence.png.

    Returns
    -------
    dict of str to DataFrame
        "defence": a row for each table and kind of images; "equal": for each learned table and attack what tables of
        two steps, and JPEG's, keep at the same benign accuracy.
    """
    cells = [
        *_references(spec),
        *(_cell(spec, LEARNED, several, setting=weight) for weight, several in tables.items()),
    ]
    results = _judge(run, model, sets, cells, batch)
    frames = {"defence": _frame(results, sets), "equal": _equal(results, [name for name in sets if name != BENIGN])}
    if distributed.is_main():
        run.write_csv("defence.csv", frames["defence"])
        run.write_csv("equal.csv", frames["equal"])
        figures.defences(frames["defence"], run / "defence.png")
        _print(run, frames["equal"])
    return frames


# Tables


def _cell(
    spec: Learn,
    family: str,
    tables: Sequence[QTable],
    *,
    setting: float | None = None,
    coding: tuple[str, str] | None = None,
    steps: tuple[int, int, int] | tuple[None, None, None] = (None, None, None),
) -> dict[str, Any]:
    """Tables and how they are used, as JSON can hold them; by default as the learned ones. No tables: no compression.

    `setting`: the lambda or the quality; `coding`: colour space and subsampling; `steps`: the number of anti-diagonals,
    QS_OF and QS_AF.
    """
    colorspace, subsampling = coding or (spec.colorspace, spec.subsampling)
    return {
        "family": family,
        "setting": setting,
        **dict(zip(("n", "qs_of", "qs_af"), steps, strict=True)),
        "colorspace": colorspace,
        "subsampling": subsampling,
        "tables": [table.to_list() for table in tables],
    }


def _references(spec: Learn) -> list[dict[str, Any]]:
    """No table; Algorithm 1's grid, used as the learned tables are; JPEG."""
    cells = [_cell(spec, "none", [])]
    for qs_of in spec.qs_of:
        for one in design.grid(spec.diagonals, spec.steps, qs_of):
            table = design.table_of(one)
            assert table is not None
            cells.append(_cell(spec, TWO_STEPS, [table], steps=(one.n, one.qs_of, one.qs_af)))
    return cells + [
        _cell(spec, JPEG, standard_tables("ycbcr", quality), setting=float(quality), coding=("ycbcr", "4:2:0"))
        for quality in spec.qualities
    ]


def _judge(
    run: Run, model: nn.Module, sets: dict[str, Images], cells: Sequence[dict[str, Any]], batch: int
) -> list[dict[str, Any]]:
    """For each cell and kind of images, which are right."""

    def work(keys: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {
                name: hits_of(right(model, images, transform=_transform(key["cell"]), batch=batch))
                for name, images in sets.items()
            }
            for key in keys
        ]

    keys = [{"cell": cell} for cell in cells]
    return shared(keys, work, Journal(run, "judged"), description="tables on other images", unit="table")


def _transform(cell: dict[str, Any]) -> Callable[[Tensor], Tensor] | None:
    if not cell["tables"]:
        return None
    tables = [QTable(table) for table in cell["tables"]]
    coding = {"colorspace": cell["colorspace"], "subsampling": cell["subsampling"]}
    return lambda pixels: nn_jpeg(pixels, tables if len(tables) > 1 else tables[0], **coding)


# Tables of results


def _frame(results: Sequence[dict[str, Any]], sets: dict[str, Images]) -> pandas.DataFrame:
    """A row for each table and kind of images: shares in 0..1 with their 95% intervals."""
    rows = []
    for result in results:
        cell = {name: value for name, value in result["cell"].items() if name != "tables"}
        for attack, images in sets.items():
            found = share_of(result[attack], None if images.sources is None else images.sources.numpy())
            rows.append({**cell, "attack": attack, **found, "hits": result[attack]})
    return pandas.DataFrame(rows)


def _equal(results: Sequence[dict[str, Any]], attacks: Sequence[str]) -> pandas.DataFrame:
    """For each learned table, attack and other family, what the family keeps at the benign accuracy of the table.

    Between the tables of a family it is interpolated (`statistics.at_equal_accuracy`). The paired test is of that one
    of them with at least this benign accuracy which keeps the most. It is found on the images that it is judged on,
    which favours the other family.
    """
    rows = []
    for one in results:
        if one["cell"]["family"] != LEARNED:
            continue
        benign = fraction(one[BENIGN])
        for attack in attacks:
            for family in (TWO_STEPS, JPEG):
                members = [other for other in results if other["cell"]["family"] == family]
                curve = [(fraction(other[BENIGN]), fraction(other[attack])) for other in members]
                row = {
                    "lambda": one["cell"]["setting"], "benign": benign, "attack": attack,
                    "accuracy": fraction(one[attack]), "family": family,
                    "at_equal_benign": at_equal_accuracy(curve, benign),
                }  # fmt: skip
                fit = [other for other in members if fraction(other[BENIGN]) >= benign - 1e-9]
                if fit:
                    best = max(fit, key=lambda other: (fraction(other[attack]), fraction(other[BENIGN])))
                    only_learned, only_other, p = mcnemar(one[attack], best[attack])
                    row |= {name: best["cell"][name] for name in ("setting", "n", "qs_of", "qs_af")}
                    row |= {
                        "its_benign": fraction(best[BENIGN]), "its_accuracy": fraction(best[attack]),
                        "only_learned_right": only_learned, "only_other_right": only_other, "p": p,
                    }  # fmt: skip
                rows.append(row)
    return pandas.DataFrame(rows)


def _print(run: Run, found: pandas.DataFrame) -> None:
    for row in found[found["family"] == TWO_STEPS].to_dict("records"):
        beside = "no table of two steps has this benign accuracy"
        if not pandas.isna(row["at_equal_benign"]):
            beside = f"two steps keep {row['at_equal_benign']:.1%} at this benign accuracy, p = {row['p']:.2g}"
        print(
            f"  lambda {row['lambda']:g}: benign {row['benign']:.1%}, {row['attack']} {row['accuracy']:.1%}; {beside}"
        )
    print(f"in {run.folder}: table-LAMBDA.json and .txt, defence.csv, equal.csv and defence.png")
