"""The command nnjpeg learn: tables, what they are judged by, and that a stopped run goes on."""

import json

import pandas
import pytest
import safetensors.torch

from nnjpeg import QTable
from nnjpeg.cli import main
from nnjpeg.paper import learn, learn_adversary, learn_bytes
from nnjpeg.robust import data
from nnjpeg.robust.judge.statistics import find_well_labelled, right
from nnjpeg.transforms import nn_jpeg


@pytest.fixture(scope="module")
def command(weights, other_weights):
    return [
        "learn", "--weights", str(weights), "--other", "plain", "--other-weights", str(other_weights),
        "--other-options", '{"classes": 7}', "--lambdas", "30", "0.1", "--epochs", "1", "--learned", "56",
        "--held-out", "28", "--images", "56", "--qualities", "30", "75", "95",
    ]  # fmt: skip


@pytest.mark.slow(15)
def test_learn(command, tmp_path, capsys):
    assert main([*command, "--out", str(tmp_path)]) == 0, capsys.readouterr().err
    rows = pandas.read_csv(tmp_path / "learned.csv", dtype={"hits": str})
    assert set(rows["network"]) == {"M", "other"}
    own = rows[rows["network"] == "M"].set_index(["family", "setting"])
    assert set(rows["family"]) == {"none", "jpeg 4:2:0", "nn-jpeg", "deepn", "learned"}
    assert (own["agreement"].loc["none"] == 1).all()
    assert (rows["low"] <= rows["accuracy"]).all()
    assert (rows["accuracy"] <= rows["high"]).all()
    assert own["bytes"]["learned", 0.1] < own["bytes"]["learned", 30.0]
    assert own["bits_a_pixel"]["learned", 0.1] == pytest.approx(8 * own["bytes"]["learned", 0.1] / (56 * 64 * 64))
    saved = pandas.read_csv(tmp_path / "saved.csv")
    assert set(saved["points_lost"]) == set(learn_bytes.LOST)
    jpeg = saved[(saved["family"] == "jpeg 4:2:0") & (saved["points_lost"] == 0)]
    assert (jpeg["saved"] >= 0).all()  # at its own accuracy at least itself
    assert ((saved["p"] >= 0) & (saved["p"] <= 1) | saved["p"].isna()).all()
    for name in ("table-30.json", "table-30.txt"):
        assert len(QTable.load_all(tmp_path / name)) == 2
    assert (tmp_path / "accuracy.png").stat().st_size > 1000
    before = (tmp_path / "learned.csv").read_text()
    assert main([*command, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "learned.csv").read_text() == before
    assert main([*command, "--seed", "1", "--out", str(tmp_path)]) == 1
    assert "with seed = 0" in capsys.readouterr().err


def test_bytes_where_as_much_accuracy_is_lost():
    def one(family, setting, right, size):
        cell = {"family": family, "setting": float(setting)}
        return {"network": "M", "cell": cell, "hits": "1" * right + "0" * (100 - right), "bytes": size}

    results = [one("none", 0, 95, None), one("jpeg 4:2:0", 75, 90, 1000), one("jpeg 4:2:0", 50, 86, 600)]
    results += [one("learned", 1, 92, 900), one("learned", 2, 88, 500)]
    found = learn_bytes._saved(results).set_index(["family", "points_lost"])
    assert found["bytes"]["jpeg 4:2:0", 0] == 1000
    assert found["bytes"]["jpeg 4:2:0", 2] == pytest.approx(800)
    assert found["bytes"]["learned", 0] == pytest.approx(700)
    assert found["saved"]["learned", 0] == pytest.approx(0.3)
    assert found["setting"]["learned", 0] == 1
    assert found["saved_by_setting"]["learned", 0] == pytest.approx(0.1)
    assert (found["only_reference_right"]["learned", 2], found["only_this_right"]["learned", 2]) == (2, 0)
    assert found["setting"]["learned", 2] == 2


@pytest.fixture(scope="module")
def adversary(weights):
    return [
        "learn", "--objective", "adversary", "--weights", str(weights), "--lambdas", "30", "0.3", "--epochs", "1",
        "--learned", "56", "--held-out", "28", "--images", "70", "--attacked", "40", "--qualities", "30", "90",
        "--colorspace", "rgb", "--subsampling", "4:4:4", "--tables", "one", "--start", "10", "90", "--qs-of", "1", "16",
        "--steps", "50", "121", "--diagonals", "1", "6",
    ]  # fmt: skip


@pytest.mark.slow(15)
def test_learn_against_an_adversary(adversary, model, tmp_path, capsys):
    assert main([*adversary, "--out", str(tmp_path)]) == 0, capsys.readouterr().err
    rows = pandas.read_csv(tmp_path / "defence.csv", dtype={"hits": str})
    assert rows["family"].value_counts().to_dict() == {"none": 3, "two steps": 24, "jpeg 4:2:0": 6, "learned": 6}
    assert rows.groupby("attack")["images"].unique().map(list).to_dict() == {"benign": [70], "fgsm": [40], "pgd": [40]}
    assert (rows["low"] <= rows["accuracy"]).all()
    assert (rows["accuracy"] <= rows["high"]).all()

    def hits(attack):
        return rows[(rows["family"] == "learned") & (rows["setting"] == 30) & (rows["attack"] == attack)]["hits"].item()

    # The tables in the folder, on images of the folder, by other code.
    (table,) = QTable.load_all(tmp_path / "table-30.json")
    assert QTable.load(tmp_path / "table-30.txt") == table
    stored = safetensors.torch.load_file(tmp_path / "adversarial.safetensors")
    images = data.photos("test", 70)
    originals, _ = find_well_labelled(model, images, 40)
    for attack, judged in (("benign", images), *((name, originals) for name in ("fgsm", "pgd"))):
        pixels = judged.pixels if attack == "benign" else stored[f"judged-{attack}"]
        of = data.Images(nn_jpeg(pixels, table), judged.labels, judged.classes)
        assert hits(attack) == "".join("01"[int(hit)] for hit in right(model, of))
        assert (pixels.int() - judged.pixels.int()).abs().max() == (0 if attack == "benign" else 8)
    # Of two starts the better one for the images held out.
    found = [json.loads(line) for line in (tmp_path / "tables.0.jsonl").read_text().splitlines()]
    least = {line["start"]: min(row["objective"] for row in line["history"]) for line in found if line["weight"] == 30}
    assert set(least) == {10, 90}
    provenance = json.loads((tmp_path / "table-30.json").read_text())["provenance"]
    assert provenance["started_from"] == min(least, key=least.get)
    equal = pandas.read_csv(tmp_path / "equal.csv")
    assert len(equal) == 2 * 2 * 2  # lambdas, attacks, families
    before = (tmp_path / "defence.csv").read_text()
    assert main([*adversary, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "defence.csv").read_text() == before
    assert main([*adversary, "--eps", "4", "--out", str(tmp_path)]) == 1
    assert "with eps = 8.0" in capsys.readouterr().err


def test_other_tables_at_the_benign_accuracy_of_a_learned_one():
    def one(family, setting, benign, robust, **steps):
        cell = {"family": family, "setting": setting, "n": None, "qs_of": None, "qs_af": None} | steps
        return {"cell": cell} | {
            name: "1" * count + "0" * (100 - count) for name, count in (("benign", benign), ("pgd", robust))
        }

    results = [one("none", None, 95, 0), one("two steps", None, 92, 20, n=2), one("two steps", None, 88, 40, n=4)]
    results += [one("jpeg 4:2:0", 75.0, 80, 50), one("learned", 3.0, 90, 35)]
    found = learn_adversary._equal(results, ["pgd"]).set_index("family")
    assert found["accuracy"].tolist() == [0.35, 0.35]
    assert found["at_equal_benign"]["two steps"] == pytest.approx(0.3)
    assert found["n"]["two steps"] == 2  # the one of at least 90%
    assert (found["only_learned_right"]["two steps"], found["only_other_right"]["two steps"]) == (15, 0)
    assert pandas.isna(found["at_equal_benign"]["jpeg 4:2:0"])  # no quality has 90%
    assert pandas.isna(found["p"]["jpeg 4:2:0"])


def test_no_image_is_learned_from_and_judged_on(tmp_path, model):
    """Of data without a test of its own, too."""
    from PIL import Image

    from nnjpeg.paper.specs import Learn, Subject

    for k, pixels in enumerate(data.photos("train", 60).pixels):
        folder = tmp_path / f"class{k % 7}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / f"{k}.png")
    spec = Learn(subject=Subject(data=str(tmp_path), arch="resnet20"), learned=30, held_out=10, images=20)
    sets = learn._images(spec, model)
    assert [len(one) for one in sets] == [30, 10, 20]
    seen = [image.numpy().tobytes() for one in sets for image in one.pixels]
    assert len(set(seen)) == len(seen)
