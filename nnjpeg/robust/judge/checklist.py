"""A checklist for robustness figures, computed from the results of an evaluation.

After Carlini et al., "On evaluating adversarial robustness" (arXiv 1902.06705), Tramer et al., "On adaptive attacks to
adversarial example defenses" (arXiv 2002.08347), and the documentation of RobustBench and AutoAttack. Every point is
computed from the columns of the results.
"""

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

__all__ = ["checklist"]

WHITE_BOX = "white-box"
"""The scenario whose figures claim to hold against who knows everything."""

NEAR_ZERO = 0.05
"""What may be left where an attack is said to succeed: some images are far from every border."""

SIGNIFICANT = 0.05
"""Of McNemar's test, between attacks on the same images."""

STEPS = 100
"""Of attacks by gradient: AutoAttack's number."""

RESTARTS = 5
"""Of attacks by gradient: those of AutoAttack's longer version, "plus"."""

QUERIES = 1000
"""Of attacks by queries: a fifth of AutoAttack's, by when Square has done most of its work."""

IMAGES = 100
"""Of benign and of attacked ones: the standard error of a share is then at most 5 points."""

TELLING = 60
"""Images, to say that nothing is left or that nothing changes: none of 60 right still means up to 6% (Wilson), and six
images, the fewest that McNemar's test tells from chance, are ten points of 60."""

TRIED = 10
"""Steps, for an attack by gradient to count as tried at all: those of I-FGSM in cleverhans."""

SOURCES = 30
"""Behind the images: of fewer, the bootstrap's intervals are too narrow."""

_HALF_A_BYTE = 0.5 / 255 + 1e-6  # by which rounding to 8 bits may leave a bound that is no whole number of bytes

_LOSSES = ("cross-entropy", "margin", "dlr")
_WITH_ROUNDINGS = ("identity", "smooth")
_APGD = "apgd-ce"

_Row = dict[str, Any]
_Hits = npt.NDArray[np.bool_]
_Answer = tuple[bool | None, str]  # met, not met, or not measured; and why


def checklist(
    cells: Any,
    *,
    classes: int,
    smooth: Collection[str],
    random: Collection[str],
    sources: int | None,
    undefended: str = "none",
    parts: Mapping[str, Collection[str]] | None = None,
    curve: Any = None,
    settled: Any = None,
) -> list[dict[str, str]]:
    """Compute the state of each point from the results.

    Parameters
    ----------
    cells : DataFrame
        Of `assess` and `worst_case`: all scenarios, with their rows "benign" and "worst case".
    classes : int
        Among which the model chooses, at least 2.
    smooth : collection of str
        The defences that have roundings of coefficients: a gradient there is a choice.
    random : collection of str
        The defences that draw at random.
    sources : int or None
        How many the attacked images come from; None: each is its own.
    undefended : str
        The name of the model without a defence, among the defences.
    parts : dict of str to collection of str, optional
        Of defences that are made of several, the defences that are one part alone.
    curve : DataFrame, optional
        Of `assess`, with the attacks of `nnjpeg.robust.attack.attack.curve`.
    settled : DataFrame, optional
        Of `assess`, with the attacks of `nnjpeg.robust.attack.attack.convergence`.

    Returns
    -------
    list of dict
        ``point``, ``state`` and ``why``, a sentence with the numbers. The state is "met", "not met", or "not measured"
        where there are no rows to tell.

    Raises
    ------
    ValueError
        If `classes` is less than 2, or rows to be compared are not of the same images.
    """
    if classes < 2:
        raise ValueError(f"classes must be at least 2, got {classes}")
    evidence = _Evidence(
        _rows(cells), _attacks(_rows(curve)), _attacks(_rows(settled)), classes, tuple(smooth), tuple(random), sources,
        undefended, parts or {},
    )  # fmt: skip
    states = {True: "met", False: "not met", None: "not measured"}
    answers = {point: judge(evidence) for point, judge in _POINTS.items()}
    return [{"point": point, "state": states[met], "why": why} for point, (met, why) in answers.items()]


def _rows(frame: Any) -> list[_Row]:
    """The rows of a frame; empty cells are None, whether the frame comes from `assess` or from a file."""
    import pandas

    if frame is None:
        return []
    return [
        {name: None if pandas.isna(value) else value for name, value in row.items()} for row in frame.to_dict("records")
    ]


def _attacks(rows: Iterable[_Row]) -> list[_Row]:
    return [row for row in rows if row["attack"] not in (BENIGN, WORST)]


@dataclass(frozen=True)
class _Evidence:
    """The results, and what is known of the defences."""

    cells: list[_Row]
    curve: list[_Row]
    settled: list[_Row]
    classes: int
    smooth: tuple[str, ...]
    random: tuple[str, ...]
    sources: int | None
    undefended: str
    parts: Mapping[str, Collection[str]]

    @cached_property
    def attacks(self) -> list[_Row]:
        return _attacks(self.cells)

    @cached_property
    def bounded(self) -> list[_Row]:
        """Bounded attacks whose images have 8 bits."""
        return [row for row in self.attacks if row["bounded"] and row["eps"] and row["form"] == "8-bit"]

    @cached_property
    def whole(self) -> list[_Row]:
        """The bounded attacks that see the whole of a defence."""
        return [row for row in self.bounded if row["target"] == WHOLE]

    @cached_property
    def claimed(self) -> list[str]:
        """The defences with white-box figures, random ones included."""
        white = [row["defence"] for row in self.attacks if row["scenario"] == WHITE_BOX]
        drawing = [row["defence"] for row in self.whole if row["defence"] in self.random]
        return list(dict.fromkeys([*white, *drawing]))

    def on(self, defence: str) -> list[_Row]:
        """The attacks on the whole of one defence."""
        return [row for row in self.whole if row["defence"] == defence]

    def tried(self, defence: str) -> list[_Row]:
        """The gradient attacks on one defence that count as tried: of `TRIED` steps, on `TELLING` images.

        An attack that fools nothing while another fools many has failed, for example on infinite logits, and does not
        count.
        """
        rows = [
            row
            for row in _by_gradient(self.on(defence))
            if (row["steps"] or 1) >= TRIED and len(row["hits"]) >= TELLING
        ]
        fooled = [row["hits"].count("0") for row in rows]
        many = bool(fooled) and max(fooled) >= TELLING / 10
        return [row for row, count in zip(rows, fooled, strict=True) if count or not many]

    def benign(self) -> dict[str, _Row]:
        return {row["defence"]: row for row in self.cells if row["attack"] == BENIGN}


# ---------------------------------------------------------------------------------------------- what answers share


def _by_gradient(rows: Iterable[_Row]) -> list[_Row]:
    return [row for row in rows if row["gradient"] in _WITH_ROUNDINGS]


def _together(rows: Iterable[_Row]) -> _Hits:
    """Which images are labelled right under all of these attacks."""
    hits = [as_hits(row["hits"]) for row in rows]
    if len({len(one) for one in hits}) > 1:
        raise ValueError(f"hits: rows of one defence are of {sorted({len(one) for one in hits})} images")
    return np.logical_and.reduce(hits)


def _lacking(defences: Collection[str], lacks: Callable[[str], str], enough: str, nothing: str) -> _Answer:
    """Whether no defence lacks anything; `lacks` says what one of them lacks, or ""."""
    if not defences:
        return None, nothing
    missing: dict[str, list[str]] = {}
    for name in defences:
        missing.setdefault(lacks(name), []).append(name)
    missing.pop("", None)
    return not missing, "; ".join(f"{', '.join(names)}: {text}" for text, names in missing.items()) or enough


def _saying_what_counts(answer: _Answer) -> _Answer:
    """An answer based on `_Evidence.tried`; says so if the point is not met."""
    met, why = answer
    return met, why if met is not False else f"{why}; an attack counts from {TRIED} steps and {TELLING} images on"


@dataclass(frozen=True)
class _Pair:
    """Two attacks on the same images of one defence; the second should leave at least as many images."""

    name: str
    first: _Hits
    second: _Hits

    @cached_property
    def flips(self) -> tuple[int, int, float]:
        return mcnemar(self.first, self.second)

    @property
    def lower(self) -> bool:
        """Whether the second leaves significantly fewer images."""
        to_second, to_first, p = self.flips
        return to_second > to_first and p < SIGNIFICANT

    @property
    def telling(self) -> bool:
        return len(self.first) >= TELLING


def _none_lower(pairs: Collection[_Pair], first: str, second: str, nothing: str) -> _Answer:
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


def _nothing_left(left: Mapping[str, _Hits], under: str) -> _Answer:
    """Whether attacks leave about 0% of each."""
    few = [len(hits) for hits in left.values() if len(hits) < TELLING]
    if few:
        return False, f"{few[0]} images are too few to tell; it takes {TELLING}"
    shares = ", ".join(f"{name} {hits.mean():.0%}" for name, hits in left.items())
    met = all(float(hits.mean()) <= NEAR_ZERO for hits in left.values())
    return met, f"{under} leaves: {shares}; {NEAR_ZERO:.0%} would do"


def _budget(evidence: _Evidence, column: str, least: int, converged: Collection[str]) -> _Answer:
    """Whether the attacks on each defence, by each gradient, are long enough, or more would change nothing."""

    def lacks(defence: str) -> str:
        rows = _by_gradient(evidence.on(defence))
        by_gradient = {row["gradient"]: 0 for row in rows}
        for row in rows:
            by_gradient[row["gradient"]] = max(by_gradient[row["gradient"]], int(row[column] or 1))
        longest = min(by_gradient.values(), default=0)
        return "" if longest >= least or (rows and defence in converged) else str(longest)

    enough = f"at least {least} for each defence and gradient, or more change nothing"
    answer, why = _lacking(evidence.claimed, lacks, enough, "no defence is attacked in white-box")
    return answer, why if answer is not False else f"{why}; it takes {least}, or that more change nothing"


def _variants(settled: Iterable[_Row], axis: str) -> list[_Pair]:
    """Each attack and a variant with more steps (twice or more), more restarts, or steps of another size.

    The base attack has the most frequent steps, restarts and size; variants differ from it in one of these.
    """
    lengths = ("steps", "restarts", "step")
    same = ("defence", "attack", *(name for name in AXES if name not in ("method", *lengths)))
    groups: dict[tuple[Any, ...], list[_Row]] = {}
    for row in settled:
        groups.setdefault(tuple(row[name] for name in same), []).append({**row, "restarts": row["restarts"] or 1})
    pairs = []
    for rows in groups.values():
        usual = {name: _most_frequent([row[name] for row in rows]) for name in lengths}
        base = [row for row in rows if all(row[name] == usual[name] for name in lengths)]
        for row in rows:
            alike = all(row[name] == usual[name] for name in lengths if name != axis)
            if base and alike and _is_more(axis, row[axis], usual[axis]):
                pairs.append(_Pair(row["defence"], as_hits(base[0]["hits"]), as_hits(row["hits"])))
    return pairs


def _most_frequent(values: list[Any]) -> Any:
    """The most frequent value; the smallest of several."""
    present = [value for value in values if value is not None]
    return min(present, key=lambda value: (-present.count(value), value), default=None)


def _is_more(axis: str, value: Any, usual: Any) -> bool:
    if value is None or usual is None:
        return False
    return bool(value != usual if axis == "step" else value >= 2 * usual)


def _settled(evidence: _Evidence, axis: str) -> set[str]:
    """The defences that a stronger variant does not lower."""
    pairs = _variants(evidence.settled, axis)
    return {pair.name for pair in pairs} - {pair.name for pair in pairs if pair.lower or not pair.telling}


# ------------------------------------------------------------------------------------- what is measured, and of what


def _threat_model(evidence: _Evidence) -> _Answer:
    rows = [row for row in evidence.attacks if row["bounded"]]
    if not rows:
        return None, "no attack has a bound"
    stated = [row for row in rows if None not in (row["scenario"], row["target"], row["eps"], row["linf"])]
    outside = [row for row in stated if row["linf"] > row["eps"] + _HALF_A_BYTE]
    if len(stated) < len(rows) or outside:
        return False, (
            f"of {len(rows)} rows with a bound, {len(rows) - len(stated)} lack scenario, target, eps or the measured "
            f"norm, and {len(outside)} exceed eps"
        )
    bounds = ", ".join(f"{255 * eps:g}/255" for eps in sorted({row["eps"] for row in rows}))
    return True, f"scenario, target and L-infinity norm stand in all {len(rows)} rows with a bound; eps is {bounds}"


def _benign_accuracy(evidence: _Evidence) -> _Answer:
    benign = evidence.benign()

    def lacks(defence: str) -> str:
        row = benign.get(defence)
        if row is None or None in (row["accuracy"], row["low"], row["high"]):
            return "no benign accuracy or no interval"
        if not row["low"] <= row["accuracy"] <= row["high"] or row["low"] == row["high"]:
            return "an interval that cannot be"
        return "" if row["images"] >= IMAGES else f"{row['images']} benign images; it takes {IMAGES}"

    defences = list(dict.fromkeys(row["defence"] for row in evidence.cells))
    images = min((row["images"] for row in benign.values()), default=0)
    return _lacking(defences, lacks, f"{len(defences)} defences on at least {images} images", "no defences")


def _accurate_model(evidence: _Evidence) -> _Answer:
    row = evidence.benign().get(evidence.undefended)
    if row is None:
        return None, f"{evidence.undefended} has no benign accuracy"
    least = (1 + 1 / evidence.classes) / 2
    return row["accuracy"] >= least, (
        f"the undefended model labels {row['accuracy']:.0%} right; half way from chance to all is {least:.0%}"
    )


def _images(evidence: _Evidence) -> _Answer:
    if not evidence.bounded:
        return None, "no attack has a bound"
    fewest = min(row["images"] for row in evidence.bounded)
    return fewest >= IMAGES, f"{fewest} images are attacked; it takes {IMAGES}"


def _sources(evidence: _Evidence) -> _Answer:
    if not evidence.bounded:
        return None, "no attack has a bound"
    images = min(row["images"] for row in evidence.bounded)
    sources = images if evidence.sources is None else evidence.sources
    return sources >= SOURCES, f"{sources} sources are behind {images} attacked images; it takes {SOURCES}"


# --------------------------------------------------------------------------------------------- what the attacker does


def _whole_defence(evidence: _Evidence) -> _Answer:
    return _saying_what_counts(
        _lacking(
            evidence.claimed,
            lambda name: "" if evidence.tried(name) else "no attack by gradient sees the whole of it",
            f"all {len(evidence.claimed)} defences of white-box are attacked through every part of them",
            "no defence is attacked in white-box",
        )
    )


def _both_gradients(evidence: _Evidence) -> _Answer:
    def lacks(defence: str) -> str:
        present = {row["gradient"] for row in evidence.tried(defence)}
        return ", ".join(f"not by {gradient}" for gradient in _WITH_ROUNDINGS if gradient not in present)

    if not any(evidence.on(name) for name in evidence.smooth):
        return None, "no defence that rounds coefficients is attacked as a whole"
    return _saying_what_counts(_lacking(evidence.smooth, lacks, f"both for {', '.join(evidence.smooth)}", ""))


def _every_loss(evidence: _Evidence) -> _Answer:
    losses = [loss for loss in _LOSSES if evidence.classes > 2 or loss != "dlr"]  # which takes a third class

    def lacks(defence: str) -> str:
        present = {(row["gradient"], row["loss"]) for row in evidence.tried(defence)}
        gradients = _WITH_ROUNDINGS if defence in evidence.smooth else _WITH_ROUNDINGS[:1]
        missing = [f"{loss} by {one}" for one in gradients for loss in losses if (one, loss) not in present]
        return f"without {', '.join(missing)}" if missing else ""

    enough = f"{', '.join(losses)} through each gradient of {len(evidence.claimed)} defences"
    return _saying_what_counts(_lacking(evidence.claimed, lacks, enough, "no defence is attacked in white-box"))


def _autoattack(evidence: _Evidence) -> _Answer:
    return _saying_what_counts(
        _lacking(
            evidence.claimed,
            lambda name: "" if any(row["attack"] == _APGD for row in evidence.tried(name)) else f"without {_APGD}",
            f"{_APGD} on all {len(evidence.claimed)} defences of white-box",
            "no defence is attacked in white-box",
        )
    )


def _expectation(evidence: _Evidence) -> _Answer:
    def lacks(defence: str) -> str:
        most = max((int(row["samples"] or 1) for row in evidence.tried(defence)), default=0)
        return "" if most > 1 else f"{most} draws for a gradient"

    if not any(evidence.on(name) for name in evidence.random):
        return None, "no random defence is attacked as a whole"
    return _saying_what_counts(
        _lacking(evidence.random, lacks, f"the mean over draws for {', '.join(evidence.random)}", "")
    )


def _more_draws(evidence: _Evidence) -> _Answer:
    same = ("attack", *(name for name in AXES if name not in ("method", "samples")))
    pairs, once = [], []
    for defence in evidence.random:
        by_draws: dict[tuple[Any, ...], dict[int, _Row]] = {}
        for row in _by_gradient(evidence.on(defence)):
            by_draws.setdefault(tuple(row[name] for name in same), {})[int(row["samples"] or 1)] = row
        numbers = [(sorted(rows), rows) for rows in by_draws.values() if len(rows) > 1]
        once += [] if numbers else [defence]
        pairs += [
            _Pair(defence, as_hits(rows[few]["hits"]), as_hits(rows[most]["hits"])) for (*_, few, most), rows in numbers
        ]
    answer, why = _none_lower(pairs, "fewer draws", "the most draws", "no attack has several numbers of draws")
    return (False, f"one number of draws alone for {', '.join(once)}") if once and answer else (answer, why)


def _steps(evidence: _Evidence) -> _Answer:
    return _budget(evidence, "steps", STEPS, _settled(evidence, "steps"))


def _restarts(evidence: _Evidence) -> _Answer:
    return _budget(evidence, "restarts", RESTARTS, _settled(evidence, "restarts"))


def _queries(evidence: _Evidence) -> _Answer:
    def lacks(defence: str) -> str:
        most = max((int(row["queries"] or 0) for row in evidence.on(defence)), default=0)
        return "" if most >= QUERIES else f"{most} (it takes {QUERIES})"

    defences = [name for name in evidence.claimed if name not in evidence.random]
    return _lacking(defences, lacks, f"at least {QUERIES} for each defence", "no defence is attacked in white-box")


# -------------------------------------------------------------------------------------- whether the attacks succeed


def _twice_the_steps(evidence: _Evidence) -> _Answer:
    pairs = _variants(evidence.settled, "steps")
    return _none_lower(pairs, "the usual steps", "twice the steps", "no attack was run with twice its steps")


def _more_restarts(evidence: _Evidence) -> _Answer:
    pairs = _variants(evidence.settled, "restarts")
    return _none_lower(pairs, "the usual starts", "more restarts", "no attack was run with more restarts")


def _step_sizes(evidence: _Evidence) -> _Answer:
    pairs = _variants(evidence.settled, "step")
    return _none_lower(pairs, "the usual size", "another size", "no attack was run with steps of another size")


def _undefended_falls(evidence: _Evidence) -> _Answer:
    rows = evidence.on(evidence.undefended)
    if not rows:
        return None, f"no bounded attack is on the whole of {evidence.undefended}"
    return _nothing_left({evidence.undefended: _together(rows)}, "the worst of all attacks in white-box")


def _no_transfer_is_better(evidence: _Evidence) -> _Answer:
    pairs = []
    for defence in evidence.claimed:
        for eps in sorted({row["eps"] for row in evidence.on(defence)}):
            here = [row for row in evidence.bounded if row["defence"] == defence and row["eps"] == eps]
            white = [row for row in here if row["target"] == WHOLE]
            transferred = [row for row in here if row["target"] != WHOLE]
            if transferred:
                pairs.append(_Pair(defence, _together(white), _together(transferred)))
    nothing = "no defence is attacked both as a whole and by transfer, within the same bound"
    return _none_lower(pairs, "white-box", "transfer", nothing)


def _no_query_is_better(evidence: _Evidence) -> _Answer:
    pairs = []
    for defence in evidence.claimed:
        for eps in sorted({row["eps"] for row in evidence.on(defence)}):
            here = [row for row in evidence.on(defence) if row["eps"] == eps]
            asking, gradients = [row for row in here if row["queries"]], _by_gradient(here)
            if asking and gradients:
                pairs.append(_Pair(defence, _together(gradients), _together(asking)))
    nothing = "no defence is attacked both by gradient and by queries, within the same bound"
    return _none_lower(pairs, "gradients", "queries", nothing)


def _curve_falls(evidence: _Evidence) -> _Answer:
    by_defence: dict[str, dict[float, list[_Row]]] = {}
    for row in evidence.curve:
        by_defence.setdefault(row["defence"], {}).setdefault(row["eps"], []).append(row)
    curves = {name: rows for name, rows in by_defence.items() if len(rows) > 1}
    if not curves:
        return None, "no defence is attacked within several bounds"
    largest = max(max(rows) for rows in curves.values())
    return _nothing_left(
        {name: _together(rows[max(rows)]) for name, rows in curves.items()}, f"eps {255 * largest:g}/255"
    )


def _iterations_win(evidence: _Evidence) -> _Answer:
    groups: dict[tuple[Any, ...], list[_Row]] = {}
    for row in _by_gradient(evidence.curve):
        groups.setdefault((row["defence"], row["eps"], row["gradient"]), []).append(row)
    pairs = []
    for (defence, eps, _), rows in groups.items():
        single = [row for row in rows if (row["steps"] or 1) == 1]
        several = [row for row in rows if row not in single]
        if single and several:
            pairs.append(_Pair(f"{defence} at {255 * eps:g}/255", _together(several), _together(single)))
    answer, why = _none_lower(pairs, "many steps", "a single step", "nothing is attacked by one step and by many")
    many, one = (sum(int(getattr(pair, side).sum()) for pair in pairs) for side in ("first", "second"))
    if answer and many >= one > 0:
        return False, f"many steps leave {many} images right in all, a single step {one}"
    return answer, why


def _worst_case(evidence: _Evidence) -> _Answer:
    def key(row: _Row) -> tuple[Any, ...]:
        return row["scenario"], row["defence"], row["eps"]

    given = {key(row): row["hits"] for row in evidence.cells if row["attack"] == WORST and row["hits"]}
    groups: dict[tuple[Any, ...], list[_Row]] = {}
    for row in evidence.bounded:
        groups.setdefault(key(row), []).append(row)
    for (_, defence, eps), rows in groups.items():
        if any(row["target"] == WHOLE for row in rows):  # who knows all can do what others do
            rows[:] = [row for row in evidence.bounded if (row["defence"], row["eps"]) == (defence, eps)]
    if not given:
        return None, "no row gives a worst case"
    missing = [one for one in groups if one not in given]
    wrong = [
        one for one, rows in groups.items() if one in given and not np.array_equal(as_hits(given[one]), _together(rows))
    ]
    if missing or wrong:
        named = "; ".join(f"{defence} in {scenario}" for scenario, defence, _ in (*missing, *wrong))
        return False, f"{len(missing)} missing, {len(wrong)} that are not the worst by image: {named}"
    return True, f"given for all {len(groups)} of scenario, defence and eps, and as their rows have it"


def _parts_alone(evidence: _Evidence) -> _Answer:
    if not any(evidence.on(name) for name in evidence.parts):
        return None, "no defence whose parts are named is attacked as a whole"

    def lacks(defence: str) -> str:
        missing = [name for name in (defence, *evidence.parts[defence]) if not evidence.on(name)]
        return f"not attacked as a whole: {', '.join(missing)}" if missing else ""

    def left(defence: str) -> str:
        return f"{defence} {_together(evidence.on(defence)).mean():.0%}"

    answer, why = _lacking(list(evidence.parts), lacks, "", "")
    if not answer:
        return answer, why
    return True, "; ".join(
        f"{left(name)}, of its parts {', '.join(map(left, parts))}" for name, parts in evidence.parts.items()
    )


_POINTS: dict[str, Callable[[_Evidence], _Answer]] = {
    "the threat model, eps and norm stand in every row": _threat_model,
    "benign accuracy, with its interval, stands beside every defence": _benign_accuracy,
    "the model is accurate in the first place": _accurate_model,
    "enough images are attacked": _images,
    "enough sources are behind the images": _sources,
    "white-box attacks see the whole defence": _whole_defence,
    "gradients go through roundings by the identity and by a smooth rounding": _both_gradients,
    "every loss is tried through every gradient": _every_loss,
    "AutoAttack's APGD is among the attacks": _autoattack,
    "random defences are attacked by the expectation over their draws": _expectation,
    "more draws change nothing": _more_draws,
    "attacks have enough steps": _steps,
    "attacks have enough restarts": _restarts,
    "attacks have enough queries": _queries,
    "twice the steps change nothing": _twice_the_steps,
    "more restarts change nothing": _more_restarts,
    "another size of steps changes nothing": _step_sizes,
    "the undefended model falls to about 0": _undefended_falls,
    "no transferred attack beats white-box: gradients are not masked": _no_transfer_is_better,
    "no attack by queries beats those by gradient": _no_query_is_better,
    "accuracy falls to about 0 for a large eps": _curve_falls,
    "many steps beat a single one": _iterations_win,
    "the worst case is given image by image": _worst_case,
    "each part of a defence is attacked alone": _parts_alone,
}
