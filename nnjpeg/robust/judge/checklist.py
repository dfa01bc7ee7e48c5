"""A checklist for robustness figures, computed from the results of an evaluation.

After Carlini et al., "On evaluating adversarial robustness" (arXiv 1902.06705), Tramer et al., "On adaptive attacks to
adversarial example defenses" (arXiv 2002.08347), and the documentation of RobustBench and AutoAttack. Every point is
computed from the columns of the results.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from nnjpeg.robust.attack.attack import AXES, WHOLE
from nnjpeg.robust.judge.assess import WORST
from nnjpeg.robust.judge.evidence import (
    WITH_ROUNDINGS,
    Answer,
    Evidence,
    Pair,
    Row,
    attacks_among,
    budget,
    gradient_attacks,
    lacking,
    none_lower,
    nothing_left,
    rows_of,
    saying_what_counts,
    settled_defences,
    together,
    variants,
)
from nnjpeg.robust.judge.statistics import as_hits

__all__ = ["checklist"]

STEPS = 100
"""Of attacks by gradient: AutoAttack's number."""

RESTARTS = 5
"""Of attacks by gradient: those of AutoAttack's longer version, "plus"."""

QUERIES = 1000
"""Of attacks by queries: a fifth of AutoAttack's, by when Square has done most of its work."""

IMAGES = 100
"""Of benign and of attacked ones: the standard error of a share is then at most 5 points."""

SOURCES = 30
"""Behind the images: of fewer, the bootstrap's intervals are too narrow."""

_HALF_A_BYTE = 0.5 / 255 + 1e-6  # by which rounding to 8 bits may leave a bound that is no whole number of bytes

_LOSSES = ("cross-entropy", "margin", "dlr")
_APGD = "apgd-ce"


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
    evidence = Evidence(
        rows_of(cells), attacks_among(rows_of(curve)), attacks_among(rows_of(settled)), classes, tuple(smooth),
        tuple(random), sources, undefended, parts or {},
    )  # fmt: skip
    states = {True: "met", False: "not met", None: "not measured"}
    answers = {point: judge(evidence) for point, judge in _POINTS.items()}
    return [{"point": point, "state": states[met], "why": why} for point, (met, why) in answers.items()]


# ------------------------------------------------------------------------------------- what is measured, and of what


def _threat_model(evidence: Evidence) -> Answer:
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


def _benign_accuracy(evidence: Evidence) -> Answer:
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
    return lacking(defences, lacks, f"{len(defences)} defences on at least {images} images", "no defences")


def _accurate_model(evidence: Evidence) -> Answer:
    row = evidence.benign().get(evidence.undefended)
    if row is None:
        return None, f"{evidence.undefended} has no benign accuracy"
    least = (1 + 1 / evidence.classes) / 2
    return row["accuracy"] >= least, (
        f"the undefended model labels {row['accuracy']:.0%} right; half way from chance to all is {least:.0%}"
    )


def _images(evidence: Evidence) -> Answer:
    if not evidence.bounded:
        return None, "no attack has a bound"
    fewest = min(row["images"] for row in evidence.bounded)
    return fewest >= IMAGES, f"{fewest} images are attacked; it takes {IMAGES}"


def _sources(evidence: Evidence) -> Answer:
    if not evidence.bounded:
        return None, "no attack has a bound"
    images = min(row["images"] for row in evidence.bounded)
    sources = images if evidence.sources is None else evidence.sources
    return sources >= SOURCES, f"{sources} sources are behind {images} attacked images; it takes {SOURCES}"


# --------------------------------------------------------------------------------------------- what the attacker does


def _whole_defence(evidence: Evidence) -> Answer:
    return saying_what_counts(
        lacking(
            evidence.claimed,
            lambda name: "" if evidence.tried(name) else "no attack by gradient sees the whole of it",
            f"all {len(evidence.claimed)} defences of white-box are attacked through every part of them",
            "no defence is attacked in white-box",
        )
    )


def _both_gradients(evidence: Evidence) -> Answer:
    def lacks(defence: str) -> str:
        present = {row["gradient"] for row in evidence.tried(defence)}
        return ", ".join(f"not by {gradient}" for gradient in WITH_ROUNDINGS if gradient not in present)

    if not any(evidence.on(name) for name in evidence.smooth):
        return None, "no defence that rounds coefficients is attacked as a whole"
    return saying_what_counts(lacking(evidence.smooth, lacks, f"both for {', '.join(evidence.smooth)}", ""))


def _every_loss(evidence: Evidence) -> Answer:
    losses = [loss for loss in _LOSSES if evidence.classes > 2 or loss != "dlr"]  # which takes a third class

    def lacks(defence: str) -> str:
        present = {(row["gradient"], row["loss"]) for row in evidence.tried(defence)}
        gradients = WITH_ROUNDINGS if defence in evidence.smooth else WITH_ROUNDINGS[:1]
        missing = [f"{loss} by {one}" for one in gradients for loss in losses if (one, loss) not in present]
        return f"without {', '.join(missing)}" if missing else ""

    enough = f"{', '.join(losses)} through each gradient of {len(evidence.claimed)} defences"
    return saying_what_counts(lacking(evidence.claimed, lacks, enough, "no defence is attacked in white-box"))


def _autoattack(evidence: Evidence) -> Answer:
    return saying_what_counts(
        lacking(
            evidence.claimed,
            lambda name: "" if any(row["attack"] == _APGD for row in evidence.tried(name)) else f"without {_APGD}",
            f"{_APGD} on all {len(evidence.claimed)} defences of white-box",
            "no defence is attacked in white-box",
        )
    )


def _expectation(evidence: Evidence) -> Answer:
    def lacks(defence: str) -> str:
        most = max((int(row["samples"] or 1) for row in evidence.tried(defence)), default=0)
        return "" if most > 1 else f"{most} draws for a gradient"

    if not any(evidence.on(name) for name in evidence.random):
        return None, "no random defence is attacked as a whole"
    return saying_what_counts(
        lacking(evidence.random, lacks, f"the mean over draws for {', '.join(evidence.random)}", "")
    )


def _more_draws(evidence: Evidence) -> Answer:
    same = ("attack", *(name for name in AXES if name not in ("method", "samples")))
    pairs, once = [], []
    for defence in evidence.random:
        by_draws: dict[tuple[Any, ...], dict[int, Row]] = {}
        for row in gradient_attacks(evidence.on(defence)):
            by_draws.setdefault(tuple(row[name] for name in same), {})[int(row["samples"] or 1)] = row
        numbers = [(sorted(rows), rows) for rows in by_draws.values() if len(rows) > 1]
        once += [] if numbers else [defence]
        pairs += [
            Pair(defence, as_hits(rows[few]["hits"]), as_hits(rows[most]["hits"])) for (*_, few, most), rows in numbers
        ]
    answer, why = none_lower(pairs, "fewer draws", "the most draws", "no attack has several numbers of draws")
    return (False, f"one number of draws alone for {', '.join(once)}") if once and answer else (answer, why)


def _steps(evidence: Evidence) -> Answer:
    return budget(evidence, "steps", STEPS, settled_defences(evidence, "steps"))


def _restarts(evidence: Evidence) -> Answer:
    return budget(evidence, "restarts", RESTARTS, settled_defences(evidence, "restarts"))


def _queries(evidence: Evidence) -> Answer:
    def lacks(defence: str) -> str:
        most = max((int(row["queries"] or 0) for row in evidence.on(defence)), default=0)
        return "" if most >= QUERIES else f"{most} (it takes {QUERIES})"

    defences = [name for name in evidence.claimed if name not in evidence.random]
    return lacking(defences, lacks, f"at least {QUERIES} for each defence", "no defence is attacked in white-box")


# -------------------------------------------------------------------------------------- whether the attacks succeed


def _twice_the_steps(evidence: Evidence) -> Answer:
    pairs = variants(evidence.settled, "steps")
    return none_lower(pairs, "the usual steps", "twice the steps", "no attack was run with twice its steps")


def _more_restarts(evidence: Evidence) -> Answer:
    pairs = variants(evidence.settled, "restarts")
    return none_lower(pairs, "the usual starts", "more restarts", "no attack was run with more restarts")


def _step_sizes(evidence: Evidence) -> Answer:
    pairs = variants(evidence.settled, "step")
    return none_lower(pairs, "the usual size", "another size", "no attack was run with steps of another size")


def _undefended_falls(evidence: Evidence) -> Answer:
    rows = evidence.on(evidence.undefended)
    if not rows:
        return None, f"no bounded attack is on the whole of {evidence.undefended}"
    return nothing_left({evidence.undefended: together(rows)}, "the worst of all attacks in white-box")


def _no_transfer_is_better(evidence: Evidence) -> Answer:
    pairs = []
    for defence in evidence.claimed:
        for eps in sorted({row["eps"] for row in evidence.on(defence)}):
            here = [row for row in evidence.bounded if row["defence"] == defence and row["eps"] == eps]
            white = [row for row in here if row["target"] == WHOLE]
            transferred = [row for row in here if row["target"] != WHOLE]
            if transferred:
                pairs.append(Pair(defence, together(white), together(transferred)))
    nothing = "no defence is attacked both as a whole and by transfer, within the same bound"
    return none_lower(pairs, "white-box", "transfer", nothing)


def _no_query_is_better(evidence: Evidence) -> Answer:
    pairs = []
    for defence in evidence.claimed:
        for eps in sorted({row["eps"] for row in evidence.on(defence)}):
            here = [row for row in evidence.on(defence) if row["eps"] == eps]
            asking, gradients = [row for row in here if row["queries"]], gradient_attacks(here)
            if asking and gradients:
                pairs.append(Pair(defence, together(gradients), together(asking)))
    nothing = "no defence is attacked both by gradient and by queries, within the same bound"
    return none_lower(pairs, "gradients", "queries", nothing)


def _curve_falls(evidence: Evidence) -> Answer:
    by_defence: dict[str, dict[float, list[Row]]] = {}
    for row in evidence.curve:
        by_defence.setdefault(row["defence"], {}).setdefault(row["eps"], []).append(row)
    curves = {name: rows for name, rows in by_defence.items() if len(rows) > 1}
    if not curves:
        return None, "no defence is attacked within several bounds"
    largest = max(max(rows) for rows in curves.values())
    return nothing_left(
        {name: together(rows[max(rows)]) for name, rows in curves.items()}, f"eps {255 * largest:g}/255"
    )


def _iterations_win(evidence: Evidence) -> Answer:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in gradient_attacks(evidence.curve):
        groups.setdefault((row["defence"], row["eps"], row["gradient"]), []).append(row)
    pairs = []
    for (defence, eps, _), rows in groups.items():
        single = [row for row in rows if (row["steps"] or 1) == 1]
        several = [row for row in rows if row not in single]
        if single and several:
            pairs.append(Pair(f"{defence} at {255 * eps:g}/255", together(several), together(single)))
    answer, why = none_lower(pairs, "many steps", "a single step", "nothing is attacked by one step and by many")
    many, one = (sum(int(getattr(pair, side).sum()) for pair in pairs) for side in ("first", "second"))
    if answer and many >= one > 0:
        return False, f"many steps leave {many} images right in all, a single step {one}"
    return answer, why


def _worst_case(evidence: Evidence) -> Answer:
    def key(row: Row) -> tuple[Any, ...]:
        return row["scenario"], row["defence"], row["eps"]

    given = {key(row): row["hits"] for row in evidence.cells if row["attack"] == WORST and row["hits"]}
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in evidence.bounded:
        groups.setdefault(key(row), []).append(row)
    for (_, defence, eps), rows in groups.items():
        if any(row["target"] == WHOLE for row in rows):  # who knows all can do what others do
            rows[:] = [row for row in evidence.bounded if (row["defence"], row["eps"]) == (defence, eps)]
    if not given:
        return None, "no row gives a worst case"
    missing = [one for one in groups if one not in given]
    wrong = [
        one for one, rows in groups.items() if one in given and not np.array_equal(as_hits(given[one]), together(rows))
    ]
    if missing or wrong:
        named = "; ".join(f"{defence} in {scenario}" for scenario, defence, _ in (*missing, *wrong))
        return False, f"{len(missing)} missing, {len(wrong)} that are not the worst by image: {named}"
    return True, f"given for all {len(groups)} of scenario, defence and eps, and as their rows have it"


def _parts_alone(evidence: Evidence) -> Answer:
    if not any(evidence.on(name) for name in evidence.parts):
        return None, "no defence whose parts are named is attacked as a whole"

    def lacks(defence: str) -> str:
        missing = [name for name in (defence, *evidence.parts[defence]) if not evidence.on(name)]
        return f"not attacked as a whole: {', '.join(missing)}" if missing else ""

    def left(defence: str) -> str:
        return f"{defence} {together(evidence.on(defence)).mean():.0%}"

    answer, why = lacking(list(evidence.parts), lacks, "", "")
    if not answer:
        return answer, why
    return True, "; ".join(
        f"{left(name)}, of its parts {', '.join(map(left, parts))}" for name, parts in evidence.parts.items()
    )


_POINTS: dict[str, Callable[[Evidence], Answer]] = {
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
