"""The command nnjpeg learn: tables, what they are judged by, and that a stopped run goes on."""

import pandas
import pytest

from nnjpeg import QTable
from nnjpeg.cli import main
from nnjpeg.paper import learn
from nnjpeg.robust import data


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
    assert set(saved["points_lost"]) == set(learn.LOST)
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
    found = learn._saved(results).set_index(["family", "points_lost"])
    assert found["bytes"]["jpeg 4:2:0", 0] == 1000
    assert found["bytes"]["jpeg 4:2:0", 2] == pytest.approx(800)
    assert found["bytes"]["learned", 0] == pytest.approx(700)
    assert found["saved"]["learned", 0] == pytest.approx(0.3)
    assert found["setting"]["learned", 0] == 1
    assert found["saved_by_setting"]["learned", 0] == pytest.approx(0.1)
    assert (found["only_reference_right"]["learned", 2], found["only_this_right"]["learned", 2]) == (2, 0)
    assert found["setting"]["learned", 2] == 2


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
