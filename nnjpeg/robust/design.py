"""Table design: section 3.2 of the paper, Algorithm 1, and what it does not show.

A cell is a table: the bands of a partition's first part are original-favoured (OF), with step QS_OF, all others
adversarial-favoured (AF), with step QS_AF. Each cell is judged on the same images: benign ones, and adversarial ones
that were made without the defence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from nnjpeg._words import counted
from nnjpeg.qtable import QTable
from nnjpeg.robust.attack.gradients import attack_images
from nnjpeg.robust.data import Images
from nnjpeg.robust.defend.transforms import plain_jpeg
from nnjpeg.robust.judge.statistics import hits_of, right, share_of, well_labelled
from nnjpeg.robust.record.store import Journal, shared
from nnjpeg.transforms import nn_jpeg

__all__ = [
    "QS_AF",
    "Cell",
    "Verdict",
    "attack_set",
    "choose",
    "evaluate_cells",
    "frame",
    "grid",
    "in_words",
    "pareto_front",
    "references",
    "table_of",
]

QS_AF = (*range(1, 50, 5), 50, *range(51, 122, 5))
"""Algorithm 1's grid, 1 to 121 in steps of 5, and the 50 that the paper adopts, which is not in it."""


@dataclass(frozen=True)
class Cell:
    """One table to try.

    Parameters
    ----------
    partition : {"diagonal", "measured", "flat", "jpeg", "none"}
        "diagonal": the first `n` anti-diagonals are OF; "measured": the first `n` bands by rising delta'; "flat": all
        bands have `qs_af`; "jpeg": Pillow's JPEG of quality `n`, 4:2:0; "none": no transform.
    n : int
        See above.
    qs_of, qs_af : int
        Steps, 1..255.
    colorspace : {"rgb", "ycbcr"}
        What the table is applied in.
    """

    partition: Literal["diagonal", "measured", "flat", "jpeg", "none"]
    n: int = 0
    qs_of: int = 0
    qs_af: int = 0
    colorspace: Literal["rgb", "ycbcr"] = "rgb"


def grid(
    diagonals: Sequence[int] = tuple(range(1, 15)),
    steps: Sequence[int] = QS_AF,
    qs_of: int = 16,
    measured: Sequence[int] = (),
) -> list[Cell]:
    """Every table of Algorithm 1: k in 1..14 and each QS_AF; `measured` adds partitions by the measured order."""
    cells = [Cell("diagonal", k, qs_of, step) for k in diagonals for step in steps]
    return cells + [Cell("measured", n, qs_of, step) for n in measured for step in steps]


def qs_of_eps(eps: float) -> int:
    """QS_OF for a perturbation of `eps` (in units of 1): 16 x 255 eps, rounded, within 1..255."""
    return min(max(round(16 * 255 * eps), 1), 255)


def table_of(cell: Cell, order: Sequence[tuple[int, int]] | None = None) -> QTable | None:
    """The cell's table; None where it has none of ours. `order`: for a measured partition, `frequency.band_order`."""
    if cell.partition == "diagonal":
        return QTable.nn(cell.n, cell.qs_of, cell.qs_af)
    if cell.partition == "flat":
        return QTable(np.full((8, 8), cell.qs_af))
    if cell.partition == "measured":
        if order is None:
            raise ValueError("order must be given for a measured partition")
        steps = np.full((8, 8), cell.qs_af)
        for band in order[: cell.n]:
            steps[band] = cell.qs_of
        return QTable(steps)
    return None


def _transform(cell: Cell, order: Sequence[tuple[int, int]] | None) -> Callable[[Tensor], Tensor]:
    if cell.partition == "none":
        return lambda pixels: pixels
    if cell.partition == "jpeg":
        return plain_jpeg(cell.n)
    table = table_of(cell, order)
    assert table is not None
    return lambda pixels: nn_jpeg(pixels, table, colorspace=cell.colorspace)


def attack_set(
    model: nn.Module,
    images: Images,
    count: int,
    *,
    attack: str = "fgsm",
    eps: float = 2 / 255,
    seed: int = 0,
    batch: int = 32,
    **options: Any,
) -> tuple[Images, Images]:
    """Adversarial images for the search: of `count` images that the model labels right, attacked without a defence.

    They are rounded to bytes, since the transform takes bytes.

    Parameters
    ----------
    model : Module
        From images in [0, 1] to logits.
    images : Images
        Where to choose from: the first ones that are right.
    count : int
        How many.
    attack : {"fgsm", "ifgsm", "pgd"}
        One of `gradients.ATTACKS`.
    eps : float
        In units of 1.
    seed : int
        Of PGD's random starts.
    batch : int
        Images at a time.
    **options
        Handed on to the attack.

    Returns
    -------
    adversarial, originals : Images

    Raises
    ------
    ValueError
        If `attack` is not known, or the model labels fewer than `count` right.
    """
    originals = well_labelled(model, images, count, batch)
    return attack_images(model, originals, attack, eps, seed=seed, batch=batch, **options), originals


def evaluate_cells(
    cells: Sequence[Cell],
    model: nn.Module,
    benign: Images,
    adversarial: Images,
    journal: Journal | None = None,
    *,
    order: Sequence[tuple[int, int]] | None = None,
    batch: int = 64,
    description: str = "cells",
) -> list[dict[str, Any]]:
    """Count, for every cell, the benign and the adversarial images that are labelled right behind its table.

    Cells that the journal holds are not done again; under torchrun each process does its share, and all must have the
    same folder.

    Returns
    -------
    list of dict
        In the order of `cells`: the cell, and which images are labelled right ("1") and which not ("0"),
        ``benign_hits`` and ``defended_hits``.
    """

    def count(key: dict[str, Any]) -> dict[str, Any]:
        transform = _transform(Cell(**key["cell"]), order)
        both = (("benign_hits", benign), ("defended_hits", adversarial))
        return {name: hits_of(right(model, images, transform=transform, batch=batch)) for name, images in both}

    keys = [{"cell": asdict(cell)} for cell in cells]
    return shared(keys, lambda several: [count(key) for key in several], journal, description=description, unit="cell")


def references() -> list[Cell]:
    """What every search is shown beside: no defence, and plain JPEG at 75, 50 and 25."""
    return [Cell("none"), *(Cell("jpeg", quality) for quality in (75, 50, 25))]


def flat_sweep(steps: Sequence[int] = QS_AF) -> list[Cell]:
    """Figure 4: one step for all bands, in RGB and in YCbCr."""
    return [Cell("flat", 0, 0, step, space) for space in ("rgb", "ycbcr") for step in steps]


def frame(results: Sequence[dict[str, Any]], benign: Images, adversarial: Images) -> Any:
    """Results of `evaluate_cells` as a pandas frame: a row a cell, shares in 0..1 with their 95% intervals.

    The intervals are by source where images share one; see `statistics.interval`.
    """
    import pandas

    kinds = (("accuracy", "benign_hits", benign), ("defence", "defended_hits", adversarial))
    rows = []
    for result in results:
        row = dict(result["cell"])
        for name, hits, images in kinds:
            found = share_of(result[hits], None if images.sources is None else images.sources.numpy())
            row |= {name: found["accuracy"], f"{name}_low": found["low"], f"{name}_high": found["high"]}
        rows.append(row | {"benign": len(benign), "adversarial": len(adversarial)})
    return pandas.DataFrame(rows)


def pareto_front(cells: Any) -> Any:
    """The rows of `frame` that no other row beats in one of accuracy and defence without losing in the other."""
    ordered = cells.sort_values(["accuracy", "defence"], ascending=False, kind="stable")
    best = ordered["defence"].cummax().shift(fill_value=-1.0)
    return ordered[ordered["defence"] > best]


@dataclass(frozen=True)
class Verdict:
    """What a search came to.

    Parameters
    ----------
    cell : dict or None
        The row of the table that was chosen; None if no cell loses as little as was asked.
    useful : bool
        Whether it defends at least as well as was asked.
    text : str
        In words.
    """

    cell: dict[str, Any] | None
    useful: bool
    text: str


def choose(cells: Any, none: dict[str, Any], *, max_loss: float = 0.01, min_defence: float = 0.5) -> Verdict:
    """Algorithm 1's choice: the best defence among cells that lose at most `max_loss` of benign accuracy.

    Between equal defences the higher benign accuracy counts, then the earlier row.

    Parameters
    ----------
    cells : DataFrame
        Of `frame`.
    none : dict
        The row without a defence.
    max_loss : float
        Of benign accuracy, in units of 1 (0.01 is one point).
    min_defence : float
        The share of adversarial images to be labelled right for a table to be called useful; ours, not the paper's.

    Returns
    -------
    Verdict
    """
    undefended = f"without a defence, {none['defence']:.1%} of the adversarial images are labelled right"
    fit = cells[cells["accuracy"] >= none["accuracy"] - max_loss - 1e-9]
    if fit.empty:
        least = cells.sort_values("accuracy", ascending=False, kind="stable").iloc[0]
        text = (
            f"No table loses at most {counted(100 * max_loss, 'point')} of benign accuracy: the least loss is "
            f"{100 * (none['accuracy'] - least['accuracy']):.1f} points, of {_name(least)}, which defends "
            f"{least['defence']:.1%}; {undefended}. No table is chosen; allow a larger loss with max_loss."
        )
        return Verdict(None, False, text)
    best = fit.sort_values(["defence", "accuracy"], ascending=False, kind="stable").iloc[0].to_dict()
    useful = best["defence"] >= min_defence and best["defence_low"] > none["defence"]
    text = (
        f"{_name(best)} defends {best['defence']:.1%} (95% interval {best['defence_low']:.1%} to "
        f"{best['defence_high']:.1%}); benign accuracy changes by {100 * (best['accuracy'] - none['accuracy']):+.1f} "
        f"points, to {best['accuracy']:.1%}; {undefended}."
    )
    if not useful:
        low = best["defence"] < min_defence
        why = f"it stays below {min_defence:.0%}" if low else "its interval reaches down to no defence"
        text += f" This table is of little use: {why}. The front shows what more loss would buy."
    return Verdict(best, bool(useful), text)


def in_words(row: Any) -> str:
    """The table of a "diagonal" or "measured" cell, given as a row of `frame`: its bands and its two steps."""
    bands = counted(row["n"], {"diagonal": "anti-diagonal", "measured": "measured band"}[row["partition"]])
    return f"{bands} at {row['qs_of']}, the rest at {row['qs_af']}"


def _name(row: Any) -> str:
    return f"The table of {in_words(row)} ({row['colorspace']})"
