"""What the checklist judges by: the rows of an evaluation, and comparisons of the images that attacks leave."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nnjpeg.robust.attack.attack import AXES, WHOLE
from nnjpeg.robust.judge.assess import BENIGN, WORST
from nnjpeg.robust.judge.statistics import as_hits, mcnemar

__all__ = [
    "NEAR_ZERO",
    "SIGNIFICANT",
    "TELLING",
    "TRIED",
    "WHITE_BOX",
    "WITH_ROUNDINGS",
    "Answer",
    "Evidence",
    "Hits",
    "Pair",
    "Row",
    "attacks_among",
    "budget",
    "gradient_attacks",
    "lacking",
    "none_lower",
    "nothing_left",
    "rows_of",
    "saying_what_counts",
    "settled_defences",
    "together",
    "variants",
]  # fmt: skip

WHITE_BOX = "white-box"
"""The scenario whose figures claim to hold against who knows everything."""

NEAR_ZERO = 0.05
"""What may be left where an attack is said to succeed: some images are far from every border."""

SIGNIFICANT = 0.05
"""Of McNemar's test, between attacks on the same images."""

TELLING = 60
"""Images, to say that nothing is left or that nothing changes: none of 60 right still means up to 6% (Wilson), and six
images, the fewest that McNemar's test tells from chance, are ten points of 60."""

TRIED = 10
"""Steps, for an attack by gradient to count as tried at all: those of I-FGSM in cleverhans."""

WITH_ROUNDINGS = ("identity", "smooth")
"""The gradients through roundings."""

Row = dict[str, Any]
Hits = npt.NDArray[np.bool_]
Answer = tuple[bool | None, str]
"""Met, not met, or not measured; and why."""


def rows_of(frame: Any) -> list[Row]:
    """The rows of a frame; empty cells are None, whether the frame comes from `assess` or from a file."""
    import pandas

    if frame is None:
        return []
    return [
        {name: None if pandas.isna(value) else value for name, value in row.items()} for row in frame.to_dict("records")
    ]


def attacks_among(rows: Iterable[Row]) -> list[Row]:
    """The rows of attacks: neither "benign" nor "worst case"."""
    return [row for row in rows if row["attack"] not in (BENIGN, WORST)]


@dataclass(frozen=True)
class Evidence:
    """The results, and what is known of the defences."""

    cells: list[Row]
    curve: list[Row]
    settled: list[Row]
    classes: int
    smooth: tuple[str, ...]
    random: tuple[str, ...]
    sources: int | None
    undefended: str
    parts: Mapping[str, Collection[str]]

    @cached_property
    def attacks(self) -> list[Row]:
        """All attacks on all defences."""
        return attacks_among(self.cells)

    @cached_property
    def bounded(self) -> list[Row]:
        """Bounded attacks whose images have 8 bits."""
        return [row for row in self.attacks if row["bounded"] and row["eps"] and row["form"] == "8-bit"]

    @cached_property
    def whole(self) -> list[Row]:
        """The bounded attacks that see the whole of a defence."""
        return [row for row in self.bounded if row["target"] == WHOLE]

    @cached_property
    def claimed(self) -> list[str]:
        """The defences with white-box figures, random ones included."""
        white = [row["defence"] for row in self.attacks if row["scenario"] == WHITE_BOX]
        drawing = [row["defence"] for row in self.whole if row["defence"] in self.random]
        return list(dict.fromkeys([*white, *drawing]))

    def on(self, defence: str) -> list[Row]:
        """The attacks on the whole of one defence."""
        return [row for row in self.whole if row["defence"] == defence]

    def tried(self, defence: str) -> list[Row]:
        """The gradient attacks on one defence that count as tried: of `TRIED` steps, on `TELLING` images.

        An attack that fools nothing while another fools many has failed, for example on infinite logits, and does not
        count.
        """
        rows = [
            row
            for row in gradient_attacks(self.on(defence))
            if (row["steps"] or 1) >= TRIED and len(row["hits"]) >= TELLING
        ]
        fooled = [row["hits"].count("0") for row in rows]
        many = bool(fooled) and max(fooled) >= TELLING / 10
        return [row for row, count in zip(rows, fooled, strict=True) if count or not many]

    def benign(self) -> dict[str, Row]:
        """The row without an attack, by defence."""
        return {row["defence"]: row for row in self.cells if row["attack"] == BENIGN}


def gradient_attacks(rows: Iterable[Row]) -> list[Row]:
    """The attacks that follow a gradient."""
    return [row for row in rows if row["gradient"] in WITH_ROUNDINGS]


def together(rows: Iterable[Row]) -> Hits:
    """Which images are labelled right under all of these attacks."""
    hits = [as_hits(row["hits"]) for row in rows]
    if len({len(one) for one in hits}) > 1:
        raise ValueError(f"hits: rows of one defence are of {sorted({len(one) for one in hits})} images")
    return np.logical_and.reduce(hits)


def lacking(defences: Collection[str], lacks: Callable[[str], str], enough: str, nothing: str) -> Answer:
    """Whether no defence lacks anything; `lacks` says what one of them lacks, or ""."""
    if not defences:
        return None, nothing
    missing: dict[str, list[str]] = {}
    for name in defences:
        missing.setdefault(lacks(name), []).append(name)
    missing.pop("", None)
    return not missing, "; ".join(f"{', '.join(names)}: {text}" for text, names in missing.items()) or enough


def saying_what_counts(answer: Answer) -> Answer:
    """An answer based on `Evidence.tried`; says so if the point is not met."""
    met, why = answer
    return met, why if met is not False else f"{why}; an attack counts from {TRIED} steps and {TELLING} images on"


@dataclass(frozen=True)
class Pair:
    """Two attacks on the same images of one defence; the second should leave at least as many images."""

    name: str
    first: Hits
    second: Hits

    @cached_property
    def flips(self) -> tuple[int, int, float]:
        """How many images fall to the second alone and to the first alone, and p; see `mcnemar`."""
        return mcnemar(self.first, self.second)

    @property
    def lower(self) -> bool:
        """Whether the second leaves significantly fewer images."""
        to_second, to_first, p = self.flips
        return to_second > to_first and p < SIGNIFICANT

    @property
    def telling(self) -> bool:
        """Whether there are enough images."""
        return len(self.first) >= TELLING


def none_lower(pairs: Collection[Pair], first: str, second: str, nothing: str) -> Answer:
    """Whether no second attack is stronger than the first, by the images that only one of them fools."""
    if not pairs:
        return None, nothing
    few = [pair for pair in pairs if not pair.telling]
    if few:
        return False, f"{len(few[0].first)} images are too few to tell; it takes {TELLING}"
    beaten = [pair for pair in pairs if pair.lower]
    shown = beaten or [max(pairs, key=lambda pair: pair.flips[0] - pair.flips[1])]
    text = "; ".join(
        f"{pair.name}: of {len(pair.first)} images {pair.flips[0]} fall to {second} alone, {pair.flips[1]} to {first} "
        f"alone (p = {pair.flips[2]:.2g})"
        for pair in shown
    )
    return not beaten, text if beaten else f"{len(pairs)} comparisons; the most that differs is {text}"


def nothing_left(left: Mapping[str, Hits], under: str) -> Answer:
    """Whether attacks leave about 0% of each."""
    few = [len(hits) for hits in left.values() if len(hits) < TELLING]
    if few:
        return False, f"{few[0]} images are too few to tell; it takes {TELLING}"
    shares = ", ".join(f"{name} {hits.mean():.0%}" for name, hits in left.items())
    met = all(float(hits.mean()) <= NEAR_ZERO for hits in left.values())
    return met, f"{under} leaves: {shares}; {NEAR_ZERO:.0%} would do"


def budget(evidence: Evidence, column: str, least: int, converged: Collection[str]) -> Answer:
    """Whether the attacks on each defence, by each gradient, are long enough, or more would change nothing."""

    def lacks(defence: str) -> str:
        rows = gradient_attacks(evidence.on(defence))
        by_gradient = {row["gradient"]: 0 for row in rows}
        for row in rows:
            by_gradient[row["gradient"]] = max(by_gradient[row["gradient"]], int(row[column] or 1))
        longest = min(by_gradient.values(), default=0)
        return "" if longest >= least or (rows and defence in converged) else str(longest)

    enough = f"at least {least} for each defence and gradient, or more change nothing"
    answer, why = lacking(evidence.claimed, lacks, enough, "no defence is attacked in white-box")
    return answer, why if answer is not False else f"{why}; it takes {least}, or that more change nothing"


def variants(settled: Iterable[Row], axis: str) -> list[Pair]:
    """Each attack and a variant with more steps (twice or more), more restarts, or steps of another size.

    The base attack has the most frequent steps, restarts and size; variants differ from it in one of these.
    """
    lengths = ("steps", "restarts", "step")
    same = ("defence", "attack", *(name for name in AXES if name not in ("method", *lengths)))
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in settled:
        groups.setdefault(tuple(row[name] for name in same), []).append({**row, "restarts": row["restarts"] or 1})
    pairs = []
    for rows in groups.values():
        usual = {name: _most_frequent([row[name] for row in rows]) for name in lengths}
        base = [row for row in rows if all(row[name] == usual[name] for name in lengths)]
        for row in rows:
            alike = all(row[name] == usual[name] for name in lengths if name != axis)
            if base and alike and _is_more(axis, row[axis], usual[axis]):
                pairs.append(Pair(row["defence"], as_hits(base[0]["hits"]), as_hits(row["hits"])))
    return pairs


def _most_frequent(values: list[Any]) -> Any:
    """The most frequent value; the smallest of several."""
    present = [value for value in values if value is not None]
    return min(present, key=lambda value: (-present.count(value), value), default=None)


def _is_more(axis: str, value: Any, usual: Any) -> bool:
    if value is None or usual is None:
        return False
    return bool(value != usual if axis == "step" else value >= 2 * usual)


def settled_defences(evidence: Evidence, axis: str) -> set[str]:
    """The defences that a stronger variant does not lower."""
    pairs = variants(evidence.settled, axis)
    return {pair.name for pair in pairs} - {pair.name for pair in pairs if pair.lower or not pair.telling}
