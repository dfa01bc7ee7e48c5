"""Table 1 and Figure 6, on a model that was trained a little."""

import pandas
import pytest

from nnjpeg.cli import main
from nnjpeg.robust.record import checkpoints
from nnjpeg.robust.train import photos as fitting


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A model that labels two photographs of seven right: enough to attack."""
    path = tmp_path_factory.mktemp("weights") / "m.safetensors"
    checkpoints.save_model(path, fitting.photos_model(patches=448, epochs=2), {})
    return str(path)


@pytest.mark.slow(6)
def test_table_1(weights, tmp_path, capsys):
    sizes = ["--patches", "64", "--train-batch", "16", "--images", "60", "--attacked", "10", "--steps", "3"]
    command = [
        "table1", "--weights", weights, *sizes, "--epochs", "0.25", "0.5", "--adversarial-epochs", "0.5",
        "--restarts", "1", "2", "--eps", "48", "--out", str(tmp_path),
    ]  # fmt: skip
    assert main(command) == 0, capsys.readouterr().err
    frame = pandas.read_csv(tmp_path / "table1.csv", dtype={"hits": str})
    assert list(dict.fromkeys(frame["defence"])) == ["none", "fast", "free", "noisy-1.75", "noisy-3.5"]
    assert list(dict.fromkeys(frame["attack"])) == ["benign", "pgd", "worst case"]
    whole = frame[(frame["attack"] == "pgd") & (frame["target"] == "whole")]
    shares = whole.set_index(["defence", "gradient", "restarts"])["accuracy"]
    gray = frame[frame["target"] == "M"].set_index("defence")["accuracy"]
    # Of M alone, the attack on M is that on all of it, but for random starts: as many images fall, give or take two.
    assert abs(gray["none"] - shares["none", "identity", 1]) <= 0.2 + 1e-9
    assert shares.min() < 1
    assert set(frame[frame["attack"] == "pgd"]["step"].round(9)) == {round(1 / 255, 9)}
    for defence in gray.index:
        gradients = set(shares[defence].index.get_level_values("gradient"))
        assert gradients == ({"identity", "smooth"} if defence.startswith("noisy") else {"identity"})
        for gradient in gradients:
            assert shares[defence, gradient, 2] <= shares[defence, gradient, 1] + 0.1 + 1e-9  # starts of their own
        worst = frame[(frame["defence"] == defence) & (frame["attack"] == "worst case")]["accuracy"].item()
        assert worst <= min(*shares[defence], gray[defence])
    assert frame[frame["defence"] != "none"]["seconds"].gt(0).all()
    assert dict(zip(frame["defence"], frame["epochs"], strict=True))["noisy-3.5"] == 3.5
    names = {path.name for path in tmp_path.iterdir()}
    assert {"table1.json", "table1.png", "fast.safetensors", "3.5-M30.safetensors"} <= names
    before = (tmp_path / "table1.csv").read_text()
    assert main(command) == 0
    assert (tmp_path / "table1.csv").read_text() == before


@pytest.mark.slow(3)
def test_figure_6(weights, tmp_path, capsys):
    assert main([
        "train", "--weights", weights, "--patches", "64", "--train-batch", "16", "--images", "40", "--epochs", "0.5",
        "--qualities", "90", "30", "--members", "30", "--out", str(tmp_path),
    ]) == 0  # fmt: skip
    command = ["figure6", "--models", str(tmp_path), "--images", "60", "--attacked", "8", "--steps", "2"]
    assert main(command) == 0, capsys.readouterr().err
    frame = pandas.read_csv(tmp_path / "figure6" / "figure6.csv", keep_default_na=False, dtype=str)
    cells = [tuple(row) for row in frame[["model", "quality", "attack", "target", "gradient"]].to_numpy()]
    attacks = [
        ("benign", "", ""), ("ifgsm", "M", "identity"), ("ifgsm", "whole", "identity"), ("ifgsm", "whole", "smooth"),
        ("worst case", "", ""),
    ]  # fmt: skip
    expected = {(m, q, *a) for m in ("M", "M90", "M30") for q in ("none", "90", "30") for a in attacks}
    assert set(cells) == expected
    assert len(cells) == len(expected)
    attacked = frame[frame["attack"] == "ifgsm"]
    assert set(attacked["eps"].astype(float).round(6)) == {0.008}
    assert (attacked["step"] == attacked["eps"]).all()  # Eq. 2
    assert (tmp_path / "figure6" / "figure6.png").stat().st_size > 1000


def test_figure_6_is_of_a_run_of_train(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for name, message in (("empty", "is no run of nnjpeg train"), ("nothing", "models: there is no")):
        assert main(["figure6", "--models", str(tmp_path / name)]) == 1
        assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]
