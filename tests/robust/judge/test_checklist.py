"""The checklist: a thorough evaluation meets every point, and each point fails for a reason of its own."""

import copy

import numpy as np
import pandas
import pytest

from nnjpeg.robust.attack.attack import AXES, WHOLE
from nnjpeg.robust.judge import checklist as module
from nnjpeg.robust.judge.assess import BENIGN, WORST
from nnjpeg.robust.judge.checklist import checklist
from nnjpeg.robust.judge.statistics import read_table, share_of

EPS = 8 / 255
LOSSES = ("cross-entropy", "margin", "dlr")
POINTS = list(module._POINTS)


def row(scenario, defence, attack, right, images=100, **fields):
    """A row of results; the first `right` images are labelled right."""
    judged = share_of("1" * right + "0" * (images - right))
    empty = dict.fromkeys((name for name in AXES if name != "method"), None)
    return {
        "scenario": scenario, "defence": defence, "attack": attack, **empty,
        "bounded": fields.get("eps") is not None, "hits": "1" * right + "0" * (images - right), **judged,
        "l2": 1.0, "linf": fields.get("eps"), **fields,
    }  # fmt: skip


def attacked(scenario, defence, attack, right, images=100, **fields):
    common = {"eps": EPS, "target": WHOLE, "gradient": "identity", "loss": "", "view": "", "form": "8-bit"}
    return row(scenario, defence, attack, right, images, **{**common, **fields})


def on_all_of(scenario, defence, right, gradient="identity", **fields):
    """PGD by every loss, and APGD."""
    length = {"steps": 100, "restarts": 5, "gradient": gradient, **fields}
    pgd = [attacked(scenario, defence, "pgd", right, loss=loss, step=EPS / 4, **length) for loss in LOSSES]
    return [*pgd, attacked(scenario, defence, "apgd-ce", right, **length)]


def with_worst(rows):
    """And the worst case by image of each scenario and defence, counted anew."""
    frame = pandas.DataFrame([one for one in rows if one["attack"] not in (BENIGN, WORST)])
    found = [one for one in rows if one["attack"] != WORST]
    for (scenario, defence), part in frame.groupby(["scenario", "defence"]):
        right = min(one.count("1") for one in part["hits"])
        found.append(row(scenario, defence, WORST, right, len(part["hits"].iloc[0]), eps=EPS))
    return found


def thorough():
    """An evaluation that meets every point: no defence, one that rounds, a part of it, and one that draws."""
    cells = [row("gray-box", name, BENIGN, 180, 200) for name in ("none", "rounds", "part", "draws")]
    cells += [attacked("gray-box", name, "pgd", 60, target="M", steps=20) for name in ("rounds", "part", "draws")]
    cells.append(attacked("gray-box", "none", "pgd", 1, target="M", steps=20))
    cells += on_all_of("white-box", "none", 0)
    for name in ("rounds", "part"):
        cells += on_all_of("white-box", name, 37) + on_all_of("white-box", name, 12, gradient="smooth")
    for name in ("none", "rounds", "part"):
        cells.append(attacked("white-box", name, "square", 45, gradient="none", queries=1000))
    for samples, right in ((1, 30), (8, 20), (16, 19)):
        cells += on_all_of("random", "draws", right, samples=samples)
    settled = [row("convergence", name, BENIGN, 180, 200) for name in ("none", "rounds")]
    for name, right in (("none", 0), ("rounds", 12)):
        for steps, restarts, size in ((100, 1, 1), (200, 1, 1), (100, 3, 1), (100, 1, 0.5), (100, 1, 2)):
            length = {"steps": steps, "restarts": restarts, "step": size * EPS / 4}
            settled.append(attacked("convergence", name, "pgd", right, loss="margin", **length))
    curve = [row("curve", "rounds", BENIGN, 180, 200)]
    for eps, one_step, many in ((EPS, 50, 12), (64 / 255, 20, 1)):
        curve.append(attacked("curve", "rounds", "fgsm", one_step, eps=eps))
        curve.append(attacked("curve", "rounds", "pgd", many, eps=eps, steps=20, loss="cross-entropy"))
    return {
        "cells": with_worst(cells), "curve": curve, "settled": settled, "classes": 10, "smooth": ("rounds", "part"),
        "random": ("draws",), "sources": 60, "parts": {"rounds": ("part",)},
    }  # fmt: skip


def states(evaluation):
    given = {
        name: pandas.DataFrame(value) if name in ("cells", "curve", "settled") and value is not None else value
        for name, value in evaluation.items()
    }
    points = checklist(given.pop("cells"), **given)
    assert [one["point"] for one in points] == POINTS
    assert all(one["why"] for one in points)
    return {one["point"]: one["state"] for one in points}


def change(evaluation, frame="cells", where=lambda one: True, **fields):
    """Set columns of the rows that are met; the hits of all benign and attacked rows may be given by their number."""
    right = fields.pop("right", None)
    changed = 0
    for one in evaluation[frame]:
        if where(one):
            changed += 1
            one.update(fields)
            if right is not None:
                hits = "1" * right + "0" * (len(one["hits"]) - right)
                one.update(hits=hits, **share_of(hits))
    assert changed
    if frame == "cells" and right is not None:
        evaluation["cells"] = with_worst(evaluation["cells"])


def drop(evaluation, frame="cells", where=lambda one: True):
    kept = [one for one in evaluation[frame] if not where(one)]
    assert len(kept) < len(evaluation[frame])
    evaluation[frame] = kept


def fewer_images(evaluation, count):
    for frame in ("cells", "curve", "settled"):
        for one in evaluation[frame]:
            if one["attack"] != BENIGN:
                one["hits"] = one["hits"][:count]
                one.update(share_of(one["hits"]))


def whole(one):
    return one["target"] == WHOLE


def of(**fields):
    return lambda one: all(one[name] == value for name, value in fields.items())


def test_a_thorough_evaluation_meets_every_point():
    assert states(thorough()) == dict.fromkeys(POINTS, "met")


# For each point, changes of a thorough evaluation after which it is not met.
FAILS = [
    ("threat model", lambda e: change(e, where=of(attack="square"), eps=None)),
    ("threat model", lambda e: change(e, where=of(attack="square"), linf=None)),
    ("threat model", lambda e: change(e, where=of(attack="square"), scenario=None)),
    ("threat model", lambda e: change(e, where=of(attack="square"), linf=9 / 255)),
    ("benign accuracy", lambda e: drop(e, where=of(attack=BENIGN, defence="rounds"))),
    ("benign accuracy", lambda e: change(e, where=of(attack=BENIGN, defence="rounds"), low=None)),
    ("benign accuracy", lambda e: change(e, where=of(attack=BENIGN, defence="rounds"), low=0.9, high=0.9)),
    ("benign accuracy", lambda e: change(e, where=of(attack=BENIGN, defence="rounds"), images=50)),
    ("accurate", lambda e: change(e, where=of(attack=BENIGN, defence="none"), right=108)),
    ("images are attacked", lambda e: fewer_images(e, 99)),
    ("sources", lambda e: e.update(sources=7)),
    ("whole defence", lambda e: change(e, where=lambda one: whole(one) and one["defence"] == "part", target="half")),
    ("whole defence", lambda e: drop(e, where=lambda one: one["defence"] == "part" and one["gradient"] != "none"
                                     and one["scenario"] == "white-box")),
    ("roundings", lambda e: drop(e, where=of(defence="part", gradient="smooth"))),
    ("roundings", lambda e: drop(e, where=of(defence="part", gradient="identity", target=WHOLE))),
    ("every loss", lambda e: drop(e, where=of(defence="part", gradient="smooth", loss="dlr"))),
    ("every loss", lambda e: drop(e, where=of(defence="none", loss="margin"))),
    ("APGD", lambda e: drop(e, where=of(defence="draws", attack="apgd-ce"))),
    ("expectation", lambda e: drop(e, where=lambda one: (one["samples"] or 1) > 1)),
    ("more draws", lambda e: change(e, where=of(samples=16), right=10)),
    ("more draws", lambda e: e.update(random=("draws", "part"))),
    ("steps", lambda e: change(e, where=of(defence="part", gradient="smooth"), steps=99)),
    ("restarts", lambda e: change(e, where=of(defence="part", gradient="smooth"), restarts=None)),
    ("queries", lambda e: change(e, where=of(defence="part", attack="square"), queries=999)),
    ("twice the steps", lambda e: change(e, "settled", of(defence="rounds", steps=200), right=6)),
    ("more restarts change", lambda e: change(e, "settled", of(defence="rounds", restarts=3), right=6)),
    ("size of steps", lambda e: change(e, "settled", of(defence="rounds", step=EPS / 2), right=6)),
    ("size of steps", lambda e: change(e, "settled", of(defence="rounds", step=EPS / 8), right=6)),
    ("undefended", lambda e: change(e, where=lambda one: one["defence"] == "none" and whole(one), right=6)),
    ("masked", lambda e: change(e, where=of(defence="rounds", target="M"), right=6)),
    ("by queries beats", lambda e: change(e, where=of(defence="rounds", attack="square"), right=6)),
    ("large eps", lambda e: change(e, "curve", of(attack="pgd", eps=64 / 255), right=6)),
    ("single one", lambda e: change(e, "curve", of(attack="fgsm", eps=EPS), right=6)),
    ("single one", lambda e: change(e, "curve", right=50)),
    ("worst case", lambda e: drop(e, where=of(attack=WORST, defence="rounds", scenario="white-box"))),
    ("worst case", lambda e: change(e, where=of(attack=WORST, defence="rounds"), hits="1" * 100)),
    ("alone", lambda e: e.update(parts={"rounds": ("part", "another")})),
    # Too few images to say that nothing is left or nothing changes.
    *(
        (words, lambda e: fewer_images(e, 59))
        for words in (
            "more draws", "twice the steps", "more restarts change", "size of steps", "undefended", "masked",
            "by queries beats", "large eps", "single one", "whole defence", "roundings", "every loss", "APGD",
            "expectation",
        )
    ),
    # Too few steps to be an attack.
    *(
        (words, lambda e: change(e, where=of(target=WHOLE, gradient="identity"), steps=9))
        for words in ("roundings", "every loss", "APGD", "expectation")
    ),
    ("whole defence", lambda e: change(e, where=of(target=WHOLE), steps=9)),
]  # fmt: skip

# Changes after which nothing is left to tell by.
NOT_MEASURED = [
    ("threat model", lambda e: drop(e, where=of(bounded=True))),
    ("benign accuracy", lambda e: e.update(cells=pandas.DataFrame(e["cells"]).iloc[:0])),
    ("accurate", lambda e: drop(e, where=of(attack=BENIGN))),
    ("images are attacked", lambda e: drop(e, where=of(bounded=True))),
    ("sources", lambda e: drop(e, where=of(bounded=True))),
    *(
        (words, lambda e: drop(e, where=lambda one: one["scenario"] != "gray-box"))
        for words in (
            "whole defence",
            "roundings",
            "every loss",
            "APGD",
            "enough steps",
            "enough restarts",
            "queries",
            "masked",
            "alone",
        )
    ),
    ("expectation", lambda e: e.update(random=())),
    ("more draws", lambda e: drop(e, where=lambda one: one["samples"] in (1, 8))),
    ("twice the steps", lambda e: drop(e, "settled", of(steps=200))),
    ("more restarts change", lambda e: drop(e, "settled", of(restarts=3))),
    ("size of steps", lambda e: drop(e, "settled", lambda one: one["step"] != EPS / 4)),
    ("twice the steps", lambda e: e.update(settled=None)),
    ("undefended", lambda e: drop(e, where=of(defence="none"))),
    ("by queries beats", lambda e: drop(e, where=of(attack="square"))),
    ("large eps", lambda e: drop(e, "curve", of(eps=64 / 255))),
    ("large eps", lambda e: e.update(curve=None)),
    ("single one", lambda e: drop(e, "curve", of(attack="fgsm"))),
    ("worst case", lambda e: drop(e, where=of(attack=WORST))),
    ("alone", lambda e: e.update(parts=None)),
]


def point(words):
    """The point that has these words; of several, the first."""
    return next(one for one in POINTS if words in one)


@pytest.mark.parametrize(("words", "changed"), FAILS)
def test_each_point_fails(words, changed):
    evaluation = thorough()
    changed(evaluation)
    assert states(evaluation)[point(words)] == "not met"


@pytest.mark.parametrize(("words", "changed"), NOT_MEASURED)
def test_each_point_is_not_measured_without_its_rows(words, changed):
    evaluation = thorough()
    changed(evaluation)
    assert states(evaluation)[point(words)] == "not measured"


def test_no_point_is_left_out_here():
    assert {point(words) for words, _ in FAILS} == set(POINTS)
    assert {point(words) for words, _ in NOT_MEASURED} == set(POINTS)


def test_nothing_measured_meets_nothing():
    empty = pandas.DataFrame(thorough()["cells"]).iloc[:0]
    facts = {"classes": 10, "smooth": ("rounds",), "random": ("draws",), "sources": None}
    assert {one["state"] for one in checklist(empty, **facts)} == {"not measured"}


def test_a_poor_evaluation_meets_next_to_nothing():
    """A model of 10% accuracy, six images, four steps and ten queries, though by every gradient and loss there is."""
    length = {"steps": 4, "restarts": 1}
    cells = []
    for name, gradients in (("none", ("identity",)), ("rounds", ("identity", "smooth")), ("draws", ("identity",))):
        cells.append(row("gray-box", name, BENIGN, 2, 20))
        cells.append(attacked("gray-box", name, "pgd", 4, 6, target="M", steps=4, loss="cross-entropy"))
        cells.append(attacked("white-box", name, "square", 6, 6, gradient="none", queries=10))
        for gradient in gradients:
            for loss in LOSSES:
                cells.append(
                    attacked("white-box", name, "pgd", 4, 6, gradient=gradient, loss=loss, samples=2, **length)
                )
            cells.append(attacked("white-box", name, "apgd-ce", 4, 6, gradient=gradient, samples=4, **length))
    settled = [
        attacked("convergence", "rounds", "pgd", 4, 6, steps=steps, restarts=restarts, step=step, loss="margin")
        for steps, restarts, step in ((4, 1, 1), (8, 1, 1), (4, 3, 1), (4, 1, 2))
    ]
    curve = [
        attacked("curve", "rounds", method, right, 6, eps=eps, steps=steps)
        for eps in (EPS, 32 / 255)
        for method, right, steps in (("fgsm", 5, None), ("pgd", 4, 4))
    ]
    found = states(
        {
            "cells": with_worst(cells), "settled": settled, "curve": curve, "classes": 7, "smooth": ("rounds",),
            "random": ("draws",), "sources": 3,
        }
    )  # fmt: skip
    # What is left says how the figures are given, not that they are worth anything.
    assert [name for name, state in found.items() if state == "met"] == [point("threat model"), point("worst case")]
    assert [name for name, state in found.items() if state == "not measured"] == [point("more draws"), point("alone")]


def test_convergence_stands_in_for_steps_and_restarts():
    evaluation = thorough()
    change(evaluation, where=of(defence="rounds", target=WHOLE), steps=20, restarts=1)
    found = states(evaluation)
    assert (found[point("enough steps")], found[point("enough restarts")]) == ("met", "met")
    unsettled = copy.deepcopy(evaluation)
    change(unsettled, "settled", of(defence="rounds", steps=200), right=6)
    found = states(unsettled)
    assert (found[point("enough steps")], found[point("enough restarts")]) == ("not met", "met")


def test_images_that_flip_are_counted_not_points():
    """Five images that fall are chance, six are not; and a share that stays may hide as many as one likes."""
    evaluation = thorough()
    change(evaluation, "settled", of(defence="rounds", steps=200), right=7)
    assert states(evaluation)[point("twice the steps")] == "met"
    twice = next(one for one in evaluation["settled"] if one["steps"] == 200 and one["defence"] == "rounds")
    twice["hits"] = "".join(np.roll(list("1" * 12 + "0" * 88), 12))
    assert states(evaluation)[point("twice the steps")] == "met"
    twice["hits"] = "".join(np.roll(list("1" * 1 + "0" * 99), 12))
    assert states(evaluation)[point("twice the steps")] == "not met"


def test_bounds_are_not_mixed():
    """A transferred attack that may change more is no sign of masked gradients."""
    evaluation = thorough()
    evaluation["cells"].append(attacked("gray-box", "rounds", "pgd", 0, eps=16 / 255, target="M", steps=20))
    assert states(evaluation)[point("masked")] == "met"


def test_images_that_are_not_bytes_do_not_count():
    """A defence gets bytes: what an attack reaches by floats is no figure of it."""
    evaluation = thorough()
    evaluation["cells"].append(attacked("white-box", "rounds", "pgd", 0, form="float", steps=100))
    assert states(evaluation) == dict.fromkeys(POINTS, "met")


def test_two_classes_have_no_dlr():
    evaluation = thorough()
    drop(evaluation, where=of(loss="dlr"))
    assert states(evaluation)[point("every loss")] == "not met"
    assert states({**evaluation, "classes": 2})[point("every loss")] == "met"
    with pytest.raises(ValueError, match="classes must be at least 2, got 1"):
        states({**evaluation, "classes": 1})


def test_why_has_the_numbers():
    evaluation = thorough()
    change(evaluation, "settled", of(defence="rounds", steps=200), right=5)
    frames = {name: pandas.DataFrame(evaluation.pop(name)) for name in ("cells", "curve", "settled")}
    why = {one["point"]: one["why"] for one in checklist(**frames, **evaluation)}
    assert why[point("twice the steps")] == (
        "rounds: of 100 images 7 fall to twice the steps alone, 0 to the usual steps alone (p = 0.016)"
    )
    assert why[point("sources")] == "60 sources are behind 100 attacked images; it takes 30"
    assert why[point("accurate")] == "the undefended model labels 90% right; half way from chance to all is 55%"


def test_tables_from_files_give_the_same(tmp_path):
    evaluation = thorough()
    expected = checklist(**{
        name: pandas.DataFrame(value) if name in ("cells", "curve", "settled") else value
        for name, value in evaluation.items()
    })  # fmt: skip
    for name in ("cells", "curve", "settled"):
        pandas.DataFrame(evaluation[name]).to_csv(tmp_path / f"{name}.csv", index=False)
        evaluation[name] = read_table(tmp_path / f"{name}.csv")
    assert checklist(**evaluation) == expected


def test_names_of_defences_mean_nothing():
    """The same evaluation under other names, and without order, has the same states."""
    renamed = {"none": "worst case", "rounds": "benign", "part": "square", "draws": "M, pgd"}
    evaluation = thorough()
    expected = states(evaluation)
    for frame in ("cells", "curve", "settled"):
        for one in evaluation[frame]:
            one["defence"] = renamed[one["defence"]]
        evaluation[frame] = evaluation[frame][::-1]
    evaluation |= {"smooth": ("benign", "square"), "random": ("M, pgd",), "parts": {"benign": ("square",)}}
    assert states({**evaluation, "undefended": "worst case"}) == expected


def test_rows_of_other_images_are_refused():
    evaluation = thorough()
    change(evaluation, where=of(defence="rounds", target="M"), hits="1" * 80)
    with pytest.raises(ValueError, match="must be of the same images, got 100 and 80"):
        states(evaluation)
