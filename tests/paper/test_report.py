"""nnjpeg reproduce from the first stage to the report, and nnjpeg evaluate by itself."""

import json
import re
import shutil
from typing import get_args

import chromium
import pandas
import pytest

from nnjpeg import QTable
from nnjpeg.cli import main
from nnjpeg.paper import evaluate, labels, report
from nnjpeg.paper.fields import identity, make
from nnjpeg.paper.specs import Evaluate, Machine, Scenario
from nnjpeg.robust.judge.statistics import read_table
from nnjpeg.robust.record import checkpoints
from nnjpeg.robust.record.run import Run

OPTIONS = {
    "model": {"images": 40},
    "analyze": {"images": 4},
    "design": {"benign": 40, "adversarial": 4, "diagonals": [2], "steps": [50], "max_loss": 100, "figure4": False},
    "train": {"patches": 64, "train_batch": 16, "epochs": 0.25, "images": 40, "mixed_precision": "no"},
    "control": {"patches": 64, "train_batch": 16, "epochs": 0.25, "images": 40},
    "figure6": {"images": 40, "attacked": 3, "steps": 1},
    "table1": {
        "patches": 64, "train_batch": 16, "images": 40, "attacked": 3, "epochs": [], "adversarial_epochs": 0.25,
        "restarts": [1], "steps": 1,
    },
    "evaluate": {
        "images": 40, "attacked": 3, "steps": 2, "restarts": 1, "cw_steps": 2, "bpda_steps": 2, "queries": 3,
        "samples": 2, "curve": [8], "other": "plain", "other_options": {"classes": 7},
        "scenarios": list(get_args(Scenario)), "thorough": True, "more_eps": [4], "keep": "all",
    },
}  # fmt: skip

TABLES = ("cells.csv", "versus.csv", "optimiser.csv", "colors.csv", "equal.csv", "beside.csv", "curve.csv",
          "convergence.csv", "autoattack.csv", "checklist.json")  # fmt: skip


@pytest.fixture(scope="module")
def whole(weights, other_weights, tmp_path_factory):
    """The folder of a whole run at toy sizes, and its command."""
    options = json.loads(json.dumps(OPTIONS))
    options["model"]["weights"] = str(weights)
    options["evaluate"]["other_weights"] = str(other_weights)
    folder = tmp_path_factory.mktemp("whole") / "a"
    command = ["reproduce", "--options", json.dumps(options), "--out", str(folder)]
    assert main(command) == 0
    return folder, options


def again(folder, options):
    return main(["reproduce", "--options", json.dumps(options), "--out", str(folder)])


@pytest.mark.skipif(not chromium.found(), reason="no Chromium is installed")
def test_the_report_in_a_browser(whole):
    """Figures are there, and no line is wider than the window, of a phone or a desktop."""
    folder, _ = whole
    with chromium.opened(folder / "report.html") as page:
        images = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
        assert len(images) > 5
        assert min(images) > 100
        for width in (360, 1280):
            page.resize(width, 800)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        anchors = "[...document.querySelectorAll('nav a')].map((a) => !!document.querySelector(a.getAttribute('href')))"
        assert all(page.evaluate(anchors))
        assert page.errors == []


@pytest.mark.slow(60)
def test_the_report_has_all_of_it(whole):
    folder, _ = whole
    page = (folder / "report.html").read_text()
    titles = (
        "Can these figures be believed?", "What protects, and what does not", "Table 1", "Gray-box", "Black-box",
        "White-box", "random defences", "AutoAttack, of all images", "Table 3", "Figure 5", "converged",
        "equal benign accuracy", "against eps",
        "Frequencies", "The table", "Noisy training",
    )  # fmt: skip
    places = [page.index(title, page.index("<nav>")) for title in titles]
    assert places == sorted(places), "believed or not comes first, then what protects"
    assert page.index("This is a smoke test") < places[0]
    assert 'class="not-met">not met' in page
    assert page.count("data:image/png;base64,") >= 7
    assert "http://" not in page
    assert "https://" not in page
    compared = pandas.read_csv(folder / "table1" / "table1.csv").drop_duplicates("defence").set_index("defence")
    assert list(compared.index) == ["none", "fast", "free", "noisy"]
    assert compared["epochs"]["noisy"] == 4 * 0.25
    assert compared["seconds"]["noisy"] > 0


def test_the_table_of_the_search_is_the_one_that_trains_and_judges(whole):
    folder, _ = whole
    table = QTable.load(folder / "design" / "table.json")
    assert table == QTable.nn(2, 16, 50), "the presets of photos have the paper's QS_OF"
    assert checkpoints.read(folder / "train" / "M90.safetensors")[1]["stage"]["table"] == table.to_list()
    for stage in ("train", "table1", "evaluate"):
        config = json.loads((folder / stage / "config.json").read_text())
        assert config["parameters"]["table"].startswith("sha256:"), stage


def test_every_scenario_is_evaluated(whole):
    folder, _ = whole
    cells = read_table(folder / "evaluate" / "cells.csv")
    assert {"gray-box", "black-box", "white-box", "random"} == set(cells["scenario"])
    white = cells[cells["scenario"] == "white-box"]
    tried = {(row.gradient, row.loss) for row in white[white["defence"] == "ensemble"].itertuples()}
    assert {(g, one) for g in ("identity", "smooth") for one in ("cross-entropy", "margin", "dlr")} <= tried
    assert {"logits", "members"} <= set(white[white["defence"] == "ensemble"]["view"].dropna())
    assert {"apgd-ce", "apgd-t", "fab-t", "square"} <= set(white["attack"])
    # Plain JPEG, Feature Distillation and DeepN-JPEG have a smooth rounding too; SHIELD among the random ones.
    for defence in ("jpeg", "feature-distillation", "deepn"):
        assert "smooth" in set(white[white["defence"] == defence]["gradient"])
    random = cells[cells["scenario"] == "random"]
    assert "smooth" in set(random[random["defence"] == "shield"]["gradient"])
    assert random["samples"].max() >= 4
    # Two bounds of Table 2, each with its own worst case.
    worst = cells[(cells["scenario"] == "gray-box") & (cells["attack"] == "worst case")]
    assert sorted(round(255 * eps) for eps in set(worst["eps"])) == [4, 8]
    optimiser = read_table(folder / "evaluate" / "optimiser.csv")
    pairs = {(row.attack, row.target) for row in optimiser[optimiser["defence"] == "none"].itertuples()}
    assert pairs >= {(attack, target) for attack in ("bpda", "pgd") for target in ("one transform", "whole")}
    colors = read_table(folder / "evaluate" / "colors.csv")
    assert {"fgsm", "ifgsm", "deepfool", "c&w"} <= set(colors["attack"])
    assert list((folder / "evaluate" / "adversarial").glob("pgd-on-all-of-*"))


@pytest.mark.slow(10)
def test_nothing_is_done_twice(whole, capsys):
    folder, options = whole
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.csv")}
    assert again(folder, options) == 0
    assert capsys.readouterr().out.count("done before") == len(OPTIONS)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*.csv")}


@pytest.mark.slow(20)
def test_the_same_evaluation_by_itself_gives_the_same_rows(whole, tmp_path, capsys):
    folder, options = whole
    read = {"models_of": folder / "train", "control": folder / "control", "table": folder / "design" / "table.json"}
    given = {**read, **options["evaluate"]}
    some = ["gray-box", "curve", "convergence"]
    command = ["evaluate", *words_of(given | {"scenarios": some}), "--out", str(tmp_path / "b")]
    assert main(command) == 0, capsys.readouterr().err
    for name in ("cells", "curve", "convergence"):
        one, other = (
            read_table(path / f"{name}.csv").drop(columns="seconds") for path in (folder / "evaluate", tmp_path / "b")
        )
        one = one[one["scenario"].isin(some) & one["defence"].isin(other["defence"])].reset_index(drop=True)
        pandas.testing.assert_frame_equal(one, other, obj=name, check_dtype=False)


@pytest.mark.slow(10)
def test_defences_by_name(whole, tmp_path, capsys):
    """Those alone are judged, in white-box too, with the table of the models."""
    folder, options = whole
    named = ["jpeg", "nn-jpeg-noisy"]
    some = {"scenarios": ["gray-box", "white-box", "random", "autoattack"], "thorough": False, "defences": named}
    command = ["evaluate", *words_of({"models_of": folder / "train", **options["evaluate"], **some})]
    assert main([*command, "--out", str(tmp_path / "b")]) == 0
    assert "random: it attacks none of jpeg, nn-jpeg-noisy\n" in capsys.readouterr().out
    for name in ("cells", "autoattack"):
        one, other = (
            read_table(path / f"{name}.csv").drop(columns="seconds", errors="ignore")
            for path in (folder / "evaluate", tmp_path / "b")
        )
        assert list(dict.fromkeys(other["defence"])) == named
        gray = (one["scenario"] != "white-box") & one["scenario"].isin(other["scenario"]) & one["defence"].isin(named)
        one, other = one[gray].reset_index(drop=True), other[other["scenario"] != "white-box"].reset_index(drop=True)
        pandas.testing.assert_frame_equal(one, other, obj=name, check_dtype=False)
    assert QTable.load(tmp_path / "b" / "table.json") == QTable.nn(2, 16, 50)
    flag = command.index("--scenarios") + 1
    nothing = [*command[:flag], "random", *command[command.index("--no-thorough") :]]
    assert main([*nothing, "--out", str(tmp_path / "n")]) == 1
    assert "defences: no scenario attacks jpeg, nn-jpeg-noisy" in capsys.readouterr().err
    command[command.index("jpeg")] = "jpg"
    assert main([*command, "--out", str(tmp_path / "c")]) == 1
    assert re.search("defences must be of none, jpeg, .*; got 'jpg'", capsys.readouterr().err)


def words_of(options):
    """Options as the command line has them."""
    words = []
    for name, value in options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
            continue
        text = value if isinstance(value, list) else [json.dumps(value) if isinstance(value, dict) else value]
        words += [f"--{flag}", *map(str, text)]
    return words


def test_no_label_is_read(whole, other_weights, tmp_path, monkeypatch):
    """With every display label renamed, the numbers stay: nothing parses one, or looks for it."""
    folder, _ = whole
    copy = tmp_path / "a"
    shutil.copytree(folder, copy)
    before = {name: (copy / "evaluate" / name).read_bytes() for name in TABLES}
    numbers = numbers_of((folder / "report.html").read_text())
    every = (labels.METHODS, labels.DEFENCES, labels.FAMILIES, labels.SCENARIOS)
    for number, names in enumerate(every):
        for key in names:
            monkeypatch.setitem(names, key, f"label{number}{''.join(chr(97 + ord(c) % 26) for c in key)}")
    config = json.loads((copy / "evaluate" / "config.json").read_text())
    known = {key: value for key, value in config["parameters"].items() if not str(value).startswith("sha256:")}
    spec = make(
        Evaluate,
        {**known, "models_of": copy / "train", "control": copy / "control", "table": copy / "design" / "table.json",
         "other_weights": other_weights},
    )  # fmt: skip
    evaluate.run(spec, Run(copy / "evaluate", "evaluate", identity(spec)), Machine())
    assert before == {name: (copy / "evaluate" / name).read_bytes() for name in TABLES}
    report.write(Run(copy, "reproduce", json.loads((copy / "config.json").read_text())["parameters"]))
    page = (copy / "report.html").read_text()
    assert "label1" in page
    assert "Feature Distillation" not in page
    assert numbers_of(page) == numbers


def numbers_of(page):
    """The figures of all tables, in their order."""
    return re.findall(r"<td>[-+0-9. ]+<", page)


@pytest.mark.slow(5)
def test_any_model_is_evaluated(weights, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(
        f"from nnjpeg.robust.record import checkpoints\ndef net():\n    return checkpoints.load({str(weights)!r})[0]\n"
    )
    monkeypatch.chdir(tmp_path)
    sizes = {"images": 40, "attacked": 3, "steps": 2, "queries": 2, "cw_steps": 2, "curve": [8], "scenarios": ["curve"]}
    command = ["evaluate", "--model", "mine:net", *words_of(sizes), "--out", "run"]
    assert main(command) == 0, capsys.readouterr().err
    rows = read_table(tmp_path / "run" / "curve.csv")
    assert set(rows["defence"]) == {"none", "nn-jpeg"}
    # Other code is another run.
    with open(tmp_path / "mine.py", "a") as file:
        file.write("# changed\n")
    assert main(command) == 1
    assert "holds a run with model_code = 'sha256:" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["evaluate", "--model", "mine", "--out", "other"])
    assert "model must be MODULE:FUNCTION, got 'mine'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", "--model", "mine:net", "--out", "other"])
    assert "training starts from arch and weights" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["reproduce", "--preset", "imagenet"], "data: give a folder with train and val"),
        (["reproduce", "--options", '{"bake": {}}'], "options must be by stage, .* got 'bake'"),
        (["evaluate", "--data", "nowhere"], "give the name of a model"),
        (["evaluate", "--models-of", "nowhere"], "models_of: there is no nowhere"),
        (["evaluate", "--table", "nowhere.json"], "table: there is no nowhere.json"),
        (["evaluate", "--data", "nowhere", "--arch", "resnet18"], "data: there is no nowhere"),
    ],
)
def test_commands_refuse(command, message, tmp_path, capsys):
    """And claim no folder."""
    try:
        status = main([*command, "--out", str(tmp_path / "run")])
    except SystemExit as exit_:
        status = exit_.code
    assert status in (1, 2)
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "run").exists()
