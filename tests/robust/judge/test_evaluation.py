"""Tables of defences under attack, the commands that make them, and the report of it all."""

import json
import re
from pathlib import Path

import numpy as np
import pandas
import pytest
import safetensors.torch
import torch
from torch import nn

from nnjpeg import NN_TABLE, QTable
from nnjpeg.cli import main
from nnjpeg.robust.attack import gradients as attacks
from nnjpeg.robust.judge.assess import Attack, assess, behind, beside, gray_box, worst_case
from nnjpeg.robust.judge.checklist import checklist
from nnjpeg.robust.judge.statistics import accuracy, right


def test_worst_case_is_image_by_image():
    kinds = (("benign", "1111", False), ("a", "1100", True), ("b", "0110", True), ("c", "0000", False))
    rows = [
        {"scenario": "s", "defence": "d", "attack": attack, "hits": hits, "bounded": bounded, "right": 0, "images": 4}
        for attack, hits, bounded in kinds
    ]  # fmt: skip
    last = worst_case(pandas.DataFrame(rows)).iloc[-1]
    assert (last["attack"], last["hits"], last["right"], last["accuracy"]) == ("worst case", "0100", 1, 0.25)


def test_forms_of_an_attack_share_their_images(model, benign, originals):
    few = originals.take(slice(0, 12))
    kinds = [one for one in gray_box(8 / 255, "M", cw_steps=20) if one.method == "deepfool"]
    frame = assess({"none": model}, benign, few, kinds, {"M": model})
    shares = frame.set_index("attack")["accuracy"]
    assert shares["DeepFool, float"] <= shares["DeepFool, 8-bit"]
    assert shares["DeepFool, scaled"] == 0
    norms = frame.set_index("attack")["l2"]
    assert norms["DeepFool, float"] <= norms["DeepFool, scaled"] * 1.05
    with pytest.raises(ValueError, match="DeepFool, float has the target 'M', not among"):
        assess({"none": model}, benign, few, kinds, {})


def test_gradients_are_put_back(model, benign, originals):
    defended = behind(model, 50)
    few = originals.take(slice(0, 6))
    cubic = Attack("c", "fgsm", 4 / 255, gradient="cubic")
    assess({"d": defended}, benign.take(slice(0, 6)), few, [cubic])
    assert defended[0].gradient == "straight-through"


def test_adversarial_images_are_kept_and_found_again(model, benign, originals, tmp_path, monkeypatch):
    few, targets = originals.take(slice(0, 6)), {"M": model}
    kinds = [one for one in gray_box(8 / 255, "M", cw_steps=5) if one.method in ("pgd", "deepfool")]
    first = assess({"none": model}, benign, few, kinds, targets, kept=tmp_path)
    files = sorted(tmp_path.iterdir())
    assert [path.name.split("-on-")[0] for path in files] == ["deepfool", "pgd"]
    found = safetensors.torch.load(files[1].read_bytes())
    assert (found["float"] - few.pixels / 255).abs().max() <= 8 / 255 + 1e-6
    assert torch.equal(found["bytes"], attacks.to_bytes(found["float"]))
    with monkeypatch.context() as patch:
        patch.setattr("nnjpeg.robust.judge.assess._attacked", None)  # they are not made again
        again = assess({"none": model}, benign, few, kinds, targets, kept=tmp_path)
    pandas.testing.assert_frame_equal(first, again)
    with pytest.raises(ValueError, match="holds other images"):
        assess({"none": model}, benign, originals.take(slice(6, 12)), kinds, targets, kept=tmp_path)


def test_what_is_known_is_not_done_again(model, benign, originals):
    asked = []

    class Counting(nn.Module):
        def forward(self, images):
            asked.append(len(images))
            return model(images)

    defences, known, few = {"mine": Counting()}, {}, originals.take(slice(0, 6))
    one = [Attack("I-FGSM", "ifgsm", 8 / 255, (("steps", 2),))]
    first = assess(defences, benign, few, one, scenario="a", known=known)
    count = len(asked)
    same = [Attack("by another name", "ifgsm", 8 / 255, (("steps", 2),))]
    again = assess(defences, benign, few, same, scenario="b", known=known)
    assert len(asked) == count
    assert list(first["hits"]) == list(again["hits"])
    assert set(again["scenario"]) == {"b"}
    assess(defences, benign, few, [Attack("I-FGSM", "ifgsm", 4 / 255, (("steps", 2),))], known=known)
    assert len(asked) > count


def test_images_of_attacks_on_whole_defences_are_kept_if_asked(model, benign, originals, tmp_path):
    few = originals.take(slice(0, 6))
    defences = {"none": model, "NN-JPEG": behind(model, 50)}
    attack = [Attack("FGSM", "fgsm", 8 / 255)]
    assess(defences, benign, few, attack, kept=tmp_path)
    assert not list(tmp_path.iterdir())
    assess(defences, benign, few, attack, kept=tmp_path, keep_whole=True)
    files = sorted(path.name.rpartition("-")[0] for path in tmp_path.iterdir())
    assert files == ["fgsm-on-all-of-NN-JPEG", "fgsm-on-all-of-none"]
    for path in tmp_path.iterdir():
        kept = safetensors.torch.load_file(path)
        assert torch.equal(kept["bytes"], attacks.to_bytes(kept["float"]))
        assert (kept["float"] - few.pixels / 255).abs().max() <= 8 / 255 + 1e-6


def test_defences_beside_others_of_equal_benign_accuracy():
    def row(defence, attack, hits):
        return {"defence": defence, "attack": attack, "hits": hits, "accuracy": hits.count("1") / len(hits)}

    frame = pandas.DataFrame([row("d", "benign", "1111100000"), row("d", "PGD", "1100")])
    swept = pandas.DataFrame(
        [
            row("JPEG 90", "benign", "1111111100"), row("JPEG 90", "PGD", "0000"),
            row("JPEG 50", "benign", "1111110000"), row("JPEG 50", "PGD", "0111"),
        ]
    )  # fmt: skip
    (found,) = beside(frame, swept).to_dict("records")
    assert found == {
        "defence": "d", "benign": 0.5, "accuracy": 0.5, "other": "JPEG 50", "other_benign": 0.6,
        "other_accuracy": 0.75, "only_this": 1, "only_other": 2,
    }  # fmt: skip


@pytest.mark.slow(15)
def test_a_users_own_model_and_defence(model, benign):
    """The README's example, run."""
    readme = Path(__file__).parent.parent / "README.md"
    if not readme.exists():
        pytest.skip("the README is not here")
    (block,) = re.findall(
        r"^```python\n((?:(?!^```).)*from nnjpeg.robust.judge.assess.*?)^```$", readme.read_text(), re.S | re.M
    )
    assert len([line for line in block.splitlines() if line.strip()]) < 15
    names = {"MODEL": model}
    exec(block.replace("photos_model()", "MODEL"), names)
    frame = names["frame"]
    assert {"gray-box", "white-box"} == set(frame["scenario"])
    assert {"none", "mine"} == set(frame["defence"])
    shares = frame.pivot_table(index=["scenario", "defence"], columns="attack", values="accuracy")
    for _, row in shares.iterrows():
        assert row["worst case"] <= row[[name for name in row.index if "GSM" in name or "PGD" in name]].min() + 1e-9


def test_the_checklist_says_what_was_missed():
    def rows(scenario, shares):
        return [
            {"scenario": scenario, "defence": "d", "attack": attack, "accuracy": share, "images": 100}
            for attack, share in shares.items()
        ]

    white = {"PGD, whole": 0.5, "PGD, whole, cubic": 0.4, "PGD, whole, margin": 0.5, "Square": 0.2}
    cells = pandas.DataFrame(rows("white-box", white) + rows("gray-box", {"FGSM": 0.6}))
    curve = pandas.DataFrame(
        [{"defence": "d", "method": m, "eps": e, "accuracy": a}
         for m, e, a in (("PGD", "8", 0.4), ("FGSM", "8", 0.5), ("PGD", "32", 0.3), ("FGSM", "32", 0.2))]
    )  # fmt: skip
    settled = pandas.DataFrame(rows("convergence", {"benign": 0.9, "PGD": 0.4, "twice the steps": 0.3}))
    states = {one["point"]: (one["state"], one["why"]) for one in checklist(cells, curve, settled, {"eps": 8.0})}
    convergence = next(value for point, value in states.items() if "convergence" in point)
    assert convergence == ("missed", "at most, in points: twice the steps +10")
    masked = next(value for point, value in states.items() if "masked" in point)
    assert masked == ("missed", "beaten for: d")
    large = next(value for point, value in states.items() if "large eps" in point)
    assert large[0] == "missed"
    assert "d 30%" in large[1]
    assert "behind FGSM in 1 cells" in large[1]


OPTIONS = {
    "train": {"patches": 64, "batch": 16, "epochs": 0.25, "images": 40, "mixed_precision": "no"},
    "analyze": {"images": 4},
    "design": {"benign": 40, "adversarial": 4, "diagonals": [2], "steps": [50], "figure4": False},
    "figure6": {"images": 14, "attacked": 3, "steps": 1},
    "table1": {
        "patches": 64, "batch": 16, "images": 20, "attacked": 3, "epochs": [], "adversarial_epochs": 0.25,
        "restarts": [1], "steps": 1,
    },
    "evaluate": {
        "images": 14, "attacked": 3, "steps": 2, "restarts": 1, "cw_steps": 2, "bpda_steps": 2, "queries": 3,
        "samples": 2, "curve": [8], "other": "plain", "other_options": {"classes": 7},
    },
}  # fmt: skip


@pytest.mark.slow(45)
def test_reproduce_from_the_first_stage_to_the_report(weights, other_weights, tmp_path, capsys):
    options = json.loads(json.dumps(OPTIONS))
    options["train"]["weights"] = str(weights)
    options["evaluate"]["other_weights"] = str(other_weights)

    def command(out):
        return ["reproduce", "--options", json.dumps(options), "--out", str(tmp_path / out)]

    assert main(command("a")) == 0, capsys.readouterr().err
    page = (tmp_path / "a" / "report.html").read_text()
    for title in (
        "Frequencies",
        "The table",
        "Noisy training",
        "Table 1",
        "gray-box",
        "black-box",
        "Table 3",
        "Figure 5",
        "random defences",
        "converged",
    ):
        assert title in page, title
    assert "only JPEG" in page
    assert list((tmp_path / "a" / "evaluate" / "adversarial").glob("pgd-on-all-of-*"))
    assert page.count("data:image/png;base64,") >= 7
    compared = pandas.read_csv(tmp_path / "a" / "table1" / "table1.csv").drop_duplicates("defence").set_index("defence")
    assert list(compared.index) == ["none (M)", "Fast AT", "Free AT", "noisy"]
    assert compared["epochs"]["noisy"] == 7 * 0.25
    assert compared["seconds"]["noisy"] > 0
    assert "http://" not in page
    assert "https://" not in page
    for scenario in ("BPDA, one transform", "PGD, whole, cubic", "worst case"):
        assert scenario in page
    # The same again: nothing is done twice.
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*.csv")}
    capsys.readouterr()
    assert main(command("a")) == 0
    assert capsys.readouterr().out.count("done before") == 6
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*.csv")}
    # The same evaluation elsewhere: the same tables.
    given = options["evaluate"] | {"models-of": str(tmp_path / "a" / "train")}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
    words = [word for key, text in texts.items() for word in (f"--{key}", text)]
    assert main(["evaluate", *words, "--out", str(tmp_path / "b")]) == 0
    for name in (
        "cells.csv",
        "figure5.csv",
        "equal.csv",
        "beside.csv",
        "curve.csv",
        "convergence.csv",
        "checklist.json",
    ):
        assert (tmp_path / "b" / name).read_text() == (tmp_path / "a" / "evaluate" / name).read_text(), name
    # Other inputs of one stage: that stage alone, and what it gave before is kept.
    options["figure6"]["images"] = 10
    options["evaluate"]["curve"] = [8]
    assert main(command("a")) == 0
    assert capsys.readouterr().out.count("done before") == 5
    assert (tmp_path / "a" / "figure6.before1" / "figure6.csv").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["reproduce", "--preset", "imagenet"], "data: give a folder with train and val"),
        (["reproduce", "--options", '{"bake": {}}'], "options must be by stage, .* got 'bake'"),
        (["evaluate", "--data", "nowhere"], "give the name of a model"),
        (["evaluate", "--models-of", "nowhere"], "there is no checkpoint nowhere"),
    ],
)
def test_commands_refuse(command, message, tmp_path, capsys):
    assert main([*command, "--out", str(tmp_path / "run")]) == 1
    assert re.search(message, capsys.readouterr().err)


def test_right_is_by_image(model, benign):
    hits = right(model, benign, batch=33)
    assert hits.shape == (280,)
    assert hits.mean() == accuracy(model, benign)
    assert QTable(np.asarray(NN_TABLE)) == NN_TABLE
