"""nnjpeg reproduce: presets as lists of experiments, the table that goes on, what is done again and what is not."""

import json
import re
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch

from nnjpeg import QTable
from nnjpeg.cli import main
from nnjpeg.paper import presets, reproduce
from nnjpeg.paper.fields import identity
from nnjpeg.paper.specs import Design, Evaluate, Figure6, Machine, Reproduce, Table1, Train
from nnjpeg.robust import models
from nnjpeg.robust.record.run import Run

ORDER = ["model", "analyze", "design", "train", "control", "figure6", "table1", "evaluate"]
ORDERS = {
    "photos": ORDER,
    "photos-full": [*ORDER[:4], "train-2", "train-3", *ORDER[4:]],
    "cifar10": [*ORDER[:5], "fast", "free", "through", *ORDER[5:]],
    "cifar10-hour": [*ORDER[:5], "fast", "through", *ORDER[5:]],
    "imagenet": [*ORDER[:-1], "table1-eps4", "evaluate", "train-v4", "evaluate-v4"],
}


@pytest.mark.parametrize("preset", list(presets.PRESETS))
def test_a_preset_is_a_list_of_experiments(preset):
    spec = Reproduce(preset=preset, data=None if preset.startswith("photos") else Path("images"), seed=3)
    stages = presets.stages(spec, Path("out"))
    assert [stage.name for stage in stages] == ORDERS[preset]
    assert stages[0].spec.method == "none"
    seeds = {stage.name: identity(stage.spec).get("seed", 3) for stage in stages}
    assert {name: seed for name, seed in seeds.items() if seed != 3} == (
        {"train-2": 4, "train-3": 5} if preset == "photos-full" else {}
    )
    # Whatever compresses with a table takes the one that is designed, before it is needed.
    for number, stage in enumerate(stages):
        compresses = isinstance(stage.spec, (Table1, Evaluate)) or getattr(stage.spec, "method", "") == "noisy"
        compresses |= bool(getattr(stage.spec, "through", ()))
        assert stage.designed == compresses, stage.name
        assert not stage.designed or number > 2


def test_the_short_preset_has_enough_behind_its_headline_rows():
    evaluate = presets.stages(Reproduce(), Path("out"))[-1].spec
    assert evaluate.attacked >= 60
    assert evaluate.steps >= 100
    trained = {stage.name: stage.spec for stage in presets.stages(Reproduce(), Path("out"))}
    assert trained["control"].epochs == trained["train"].epochs * len(trained["train"].qualities)


def test_what_presets_of_images_need():
    for values, message in (
        ({"preset": "cifar10"}, "say with --data where CIFAR-10 is"),
        ({"preset": "photos", "data": Path("d")}, "has images of its own"),
        (
            {"preset": "imagenet", "data": Path("d"), "download": True},
            "download is for CIFAR-10; the preset is imagenet",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            Reproduce(**values)


@pytest.mark.slow(40)
def test_cifar10_from_end_to_end(tmp_path):
    """On 200 made images, with the labels that M gives them."""
    rng = np.random.default_rng(0)
    waves = 128 + 90 * np.sin(
        rng.uniform(0, 0.9, (200, 1, 1, 3)) * np.arange(32)[:, None, None] + np.arange(32)[:, None]
    )
    pixels = np.clip(waves + rng.normal(0, 12, (200, 32, 32, 3)), 0, 255).astype(np.uint8)
    with torch.inference_mode():
        labels = models.load("resnet20")(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255).argmax(1).numpy()
    np.savez(
        tmp_path / "made.npz", x_train=pixels[:128], y_train=labels[:128], x_test=pixels[128:], y_test=labels[128:]
    )
    options = {
        "common": {"images": 60, "attacked": 8, "train_batch": 32},
        "analyze": {"images": 20},
        "design": {"benign": 40, "adversarial": 8, "steps": [16, 50], "diagonals": [1, 4]},
        "train": {"epochs": 1},
        "fast": {"lr": 0.01},
        "figure6": {"steps": 2},
        "table1": {"steps": 2},
        "evaluate": {"steps": 10, "cw_steps": 2, "bpda_steps": 4, "queries": 10, "curve": [8]},
    }
    command = ["reproduce", "--preset", "cifar10-hour", "--data", str(tmp_path / "made.npz")]
    assert main([*command, "--options", json.dumps(options), "--out", str(tmp_path / "run")]) == 0
    assert {path.name for path in (tmp_path / "run").iterdir() if path.is_dir()} == set(ORDERS["cifar10-hour"])
    results = pandas.read_csv(tmp_path / "run/train/results.csv")
    assert results["accuracy"][0] == 1
    cells = pandas.read_csv(tmp_path / "run/evaluate/cells.csv")
    assert {"fast", "nn-jpeg-fast", "fast-through-50", "ensemble"} <= set(cells["defence"])
    through = cells[(cells["defence"] == "fast-through-50") & (cells["scenario"] == "white-box")]
    assert {"identity", "smooth"} <= set(through["gradient"])
    page = (tmp_path / "run/report.html").read_text()
    assert "Fast AT through NN-JPEG 50" in page
    assert "This is the short run" in page


def test_options_are_by_stage():
    spec = Reproduce(
        options={
            "common": {"eps": 4, "batch": 16}, "train": {"epochs": 1, "mixed_precision": False, "workers": 2},
            "figure6": {"eps": 1},
        }
    )  # fmt: skip
    stages = {stage.name: stage for stage in presets.stages(spec, Path("out"))}
    assert stages["train"].spec.epochs == 1.0
    assert stages["train"].machine == {"batch": 16, "workers": 2}
    assert stages["design"].spec.threat.eps == 4.0
    assert stages["figure6"].spec.threat.eps == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bake": {}}, r"options must be by stage, of common, model, .*; got 'bake'"),
        ({"train": 3}, "options: train must have an object"),
        ({"train": {"epoch": 3}}, "options: train: epoch is no option of train"),
        ({"design": {"attack": "foo"}}, "options: design: attack must be one of"),
        ({"train": {"workers": -1}}, "options: train: workers must be at least 0, got -1"),
        ({"common": {"heat": 3}}, "heat of common is an option of no stage"),
    ],
)
def test_options_that_are_refused(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        presets.stages(Reproduce(options=options), tmp_path)


def test_wrong_options_claim_no_folder(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["reproduce", "--options", '{"bake": {}}', "--out", str(tmp_path / "run")])
    assert "got 'bake'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_not_there_is_missed_before_anything_is_computed(tmp_path, capsys):
    options = json.dumps({"evaluate": {"control": str(tmp_path / "nowhere")}})
    assert main(["reproduce", "--options", options, "--out", str(tmp_path / "run")]) == 1
    assert re.search(r"options: evaluate: control: there is no .*nowhere", capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


# The stages in their order, with stand-ins for what they compute


class StandIn:
    """In place of every experiment: it leaves what later stages read, and knows what it was asked."""

    def __init__(self):
        self.asked, self.finds, self.fails = {}, True, None

    def __call__(self, spec, run, machine):
        name = run.folder.name
        self.asked[name] = spec
        if isinstance(spec, Design) and self.finds:
            QTable.nn(1, 16, 121).save(run / "table.json")
            cell = {"partition": "diagonal", "n": 1, "qs_of": 16, "qs_af": 121}
            run.write_json("verdict.json", {"cell": cell})
        if isinstance(spec, Train):
            files = (
                "M.safetensors",
                "plain.safetensors" if spec.method == "plain" else "M90.safetensors",
                "ensemble.json",
            )
            for file in files:
                text = "M" if spec.method == "none" else f"epochs {spec.epochs}"
                (run / file).write_text(text)
        if name == self.fails:
            raise ValueError("it fails")
        return {}


@pytest.fixture
def stand_in(monkeypatch):
    one = StandIn()
    monkeypatch.setattr(reproduce, "_RUN", dict.fromkeys(reproduce._RUN, one))
    monkeypatch.setattr(reproduce.report, "write", lambda run: None)
    return one


def go(folder, **options):
    spec = Reproduce(options=options)
    return reproduce.run(spec, Run(folder, "reproduce", identity(spec)), Machine())


def test_the_table_goes_on(stand_in, tmp_path, capsys):
    frame = go(tmp_path / "a")["stages"]
    assert list(stand_in.asked) == ORDER
    assert set(frame["stage"]) == set(ORDER)
    table = tmp_path / "a" / "design" / "table.json"
    assert stand_in.asked["train"].table == table
    assert stand_in.asked["evaluate"].table == table
    assert "table: Algorithm 1's: 1 anti-diagonal at 16, the rest at 121" in capsys.readouterr().out
    # Table 1 with training of its own
    go(tmp_path / "b", table1={"epochs": [1]})
    assert stand_in.asked["table1"].epochs == (1.0,)
    assert stand_in.asked["table1"].table == tmp_path / "b" / "design" / "table.json"


def test_the_papers_table_where_no_cell_qualifies(stand_in, tmp_path, capsys):
    stand_in.finds = False
    go(tmp_path / "a")
    assert stand_in.asked["train"].table is None
    assert stand_in.asked["evaluate"].table is None
    assert "table: the paper's 16 / 50, since no table of the search qualifies" in capsys.readouterr().out


def test_what_is_done_is_not_done_again(stand_in, tmp_path, capsys):
    go(tmp_path / "a")
    stand_in.asked.clear()
    capsys.readouterr()
    go(tmp_path / "a")
    assert not stand_in.asked
    assert capsys.readouterr().out.count("done before") == len(ORDER)
    # The folder may be moved.
    (tmp_path / "a").rename(tmp_path / "b")
    go(tmp_path / "b")
    assert not stand_in.asked
    # Other options of one stage: that stage, and those that read what it gives; what it gave before is kept.
    go(tmp_path / "b", figure6={"images": 300})
    assert list(stand_in.asked) == ["figure6"]
    assert (tmp_path / "b" / "figure6.before1" / "config.json").exists()
    stand_in.asked.clear()
    go(tmp_path / "b", figure6={"images": 300}, train={"epochs": 3})
    assert list(stand_in.asked) == ["train", "figure6", "table1", "evaluate"]


def test_a_stage_that_fails_is_done_when_it_can_be(stand_in, tmp_path):
    stand_in.fails = "analyze"
    with pytest.raises(ValueError, match="it fails"):
        go(tmp_path / "a")
    assert not (tmp_path / "a" / "analyze").exists()
    stand_in.fails = None
    stand_in.asked.clear()
    go(tmp_path / "a")
    assert list(stand_in.asked) == ORDER[1:]


def test_figure_6_has_the_papers_bound_in_every_preset():
    for preset in ("photos", "photos-full"):
        (spec,) = (s.spec for s in presets.stages(Reproduce(preset=preset), Path("a")) if isinstance(s.spec, Figure6))
        assert spec.threat.eps / 255 == pytest.approx(0.008)
