"""nnjpeg train: the chain of models, killed and resumed, on one process and on two."""

import json
import re

import numpy as np
import pandas
import processes
import pytest
import torch
from PIL import Image

from nnjpeg import NN_TABLE
from nnjpeg.cli import main
from nnjpeg.robust import data, models
from nnjpeg.robust.defend.ensemble import Ensemble
from nnjpeg.robust.record import checkpoints
from nnjpeg.robust.train import engine as training
from nnjpeg.robust.train import objectives
from nnjpeg.robust.train import photos as fitting


def tensors_of(path):
    return checkpoints.read(path)[0]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def arguments(weights, out, *more):
    sizes = ["--patches", "64", "--train-batch", "16", "--images", "40", "--save-every", "1", "--epochs", "1.5"]
    chain_of = ["--qualities", "90", "50", "30", "--members", "90", "30"]
    return ["train", "--weights", str(weights), *sizes, *chain_of, "--out", str(out), *more]


@pytest.fixture(scope="module")
def trained(weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert main(arguments(weights, folder)) == 0
    return folder


@pytest.mark.slow(3)
def test_the_chain(trained, weights, capsys):
    names = {path.name for path in trained.iterdir()}
    assert names == {
        ".lock", "config.json", "M.safetensors", "M90.safetensors", "M50.safetensors", "M30.safetensors",
        "train.0.jsonl", "ensemble.json", "results.csv",
    }  # fmt: skip
    _, facts = checkpoints.load(trained / "M30.safetensors", arch="preact", outputs=7)
    assert facts["before"] == ["M", "M90", "M50"]
    assert facts["stage"]["quality"] == 30
    assert facts["stage"]["xi"] == 0.9
    assert facts["stage"]["noise"] == pytest.approx(8 / 255)
    assert facts["stage"]["table"] == NN_TABLE.to_list()
    assert facts["stage"]["optimization"]["epochs"] == 1.5
    assert torch.__version__.startswith(facts["versions"]["torch"])
    lines = [json.loads(line) for line in (trained / "train.0.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["M90", "M50", "M30"]
    assert all(line["step"] == 6 for line in lines)
    results = pandas.read_csv(trained / "results.csv")
    assert list(results["model"]) == ["M", "M90", "M90", "M50", "M50", "M30", "M30", "ensemble"]
    assert ((results["low"] <= results["accuracy"]) & (results["accuracy"] <= results["high"])).all()
    # Each stage starts from the one before, not from M.
    assert not same(tensors_of(trained / "M50.safetensors"), tensors_of(trained / "M90.safetensors"))
    # Done is done: the same command again trains nothing.
    stamps = {path.name: path.stat().st_mtime_ns for path in trained.glob("*.safetensors")}
    assert main(arguments(weights, trained)) == 0
    assert stamps == {path.name: path.stat().st_mtime_ns for path in trained.glob("*.safetensors")}
    capsys.readouterr()
    assert main(arguments(weights, trained, "--xi", "0.5")) == 1
    assert "holds a run with xi = 0.9, this one has 0.5" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_in_mid_epoch_and_resumed(trained, weights, tmp_path):
    """SIGKILL, again and again: every model ends with the same bits."""
    folder = tmp_path / "killed"
    for name in ("M90", "M50"):
        state = folder / f"{name}.state.safetensors"
        processes.kill_when(processes.start(main, arguments(weights, folder), folder=tmp_path), state.exists)
        assert state.exists()
        assert not (folder / f"{name}.safetensors").exists()
        assert checkpoints.read(state)[1]["done"] < 6
    processes.alone(main, arguments(weights, folder), folder=tmp_path)
    for name in ("M90", "M50", "M30"):
        assert same(tensors_of(folder / f"{name}.safetensors"), tensors_of(trained / f"{name}.safetensors")), name
    steps = [
        (line["stage"], line["step"]) for line in map(json.loads, (folder / "train.0.jsonl").read_text().splitlines())
    ]
    assert steps == [("M90", 6), ("M50", 6), ("M30", 6)]
    assert not list(folder.glob("*.state.safetensors"))


OBJECTIVES = {
    "noisy": lambda: objectives.Noisy(30, 0.03),
    "free": lambda: objectives.Free(0.03),
    "fast": lambda: objectives.Adversarial.fast(0.03),
}


def train_in_double_precision(weights, path, name):
    engine = training.accelerator()
    model = checkpoints.load(weights)[0].double()
    training.fit(
        model, OBJECTIVES[name](), fitting.in_memory(data.photos("train", 64), 16), training.Optimization(2), engine,
        augment=lambda images, draws: fitting.photos_augment(images, draws).double(),
    )  # fmt: skip
    if engine.is_main_process:
        checkpoints.write(path, model.network.state_dict(), {"processes": engine.num_processes})


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTIVES)
def test_two_processes_end_as_one(weights, tmp_path, name):
    """gloo; in double precision, so that nothing hides behind rounding: batch norm, noise and order are shared."""
    for start in (processes.alone, processes.together):
        start(train_in_double_precision, weights, tmp_path / start.__name__, name, folder=tmp_path)
    (one, _), (two, facts) = (checkpoints.read(tmp_path / name) for name in ("alone", "together"))
    assert facts["processes"] == 2
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_two_processes_in_half_precision(trained, weights, tmp_path):
    """bf16 comes as near to single precision as its eight bits allow; batch norm is summed in single."""
    folder = tmp_path / "half"
    printed = processes.together(main, arguments(weights, folder, "--mixed-precision", "bf16"), folder=tmp_path)
    assert "FutureWarning" not in printed
    a, b = tensors_of(folder / "M90.safetensors"), tensors_of(trained / "M90.safetensors")
    changed = False
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0.1, atol=0.05)
        changed |= not torch.equal(a[name], b[name])
    assert changed


@pytest.mark.slow
def test_two_processes_go_on_where_one_was_killed(trained, weights, tmp_path):
    folder = tmp_path / "killed"
    process = processes.start(main, arguments(weights, folder), folder=tmp_path)
    processes.kill_when(process, (folder / "M50.state.safetensors").exists)
    processes.together(main, arguments(weights, folder), folder=tmp_path)
    a, b = tensors_of(folder / "M30.safetensors"), tensors_of(trained / "M30.safetensors")
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-2, atol=1e-3)


@pytest.mark.slow(5)
def test_a_folder_of_images_and_a_model_of_timm(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    for split in ("train", "photos"):  # of which --val has only one meaning
        for label in ("cat", "dog"):
            (tmp_path / split / label).mkdir(parents=True)
            for k in range(4):
                pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / label / f"{k}.png")
    options = ["--classes", "2", "--size", "104", "--train-batch", "4", "--workers", "2"]
    torch.manual_seed(0)
    network, _ = models.create("mobilenetv2_050", False, 2, {})
    torch.save(network.state_dict(), tmp_path / "w.pt")
    command = [
        "train", "--data", str(tmp_path / "train"), "--val", "photos", "--arch", "mobilenetv2_050",
        "--weights", str(tmp_path / "w.pt"), *options, "--qualities", "50", "--members", "50", "--epochs", "1",
    ]  # fmt: skip
    assert main([*command, "--out", str(tmp_path / "run")]) == 0, capsys.readouterr().err
    ensemble = Ensemble.load(tmp_path / "run")
    assert ensemble.names == ("M", "M50")
    assert ensemble(torch.rand(2, 3, 104, 104)).shape == (2, 2)
    fast = [*command, "--method", "fast", "--epochs", "3", "--train-batch", "8", "--out", str(tmp_path / "fast")]
    assert main(fast) == 0, capsys.readouterr().err
    assert checkpoints.read(tmp_path / "fast" / "fast.safetensors")[1]["before"] == ["fast128", "fast224"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--qualities", "30", "90"], r"qualities must fall from one model of the chain to the next, got \[30, 90\]"),
        (["--members", "75"], r"members must be qualities of the chain, \[90, 50, 30\]; got 75"),
        (["--train-batch", "1000"], "loader gives no batch"),
        (["--xi", "2"], r"xi must be in 0..1, got 2"),
        (["--table", "nowhere.json"], "nowhere.json"),
        (["--data", "nowhere"], "give the name of a model"),
        (["--data", ".", "--arch", "resnet18"], "does not fit resnet18"),
        (["--method", "magic"], "method must be one of noisy, .*, got 'magic'"),
    ],
)
def test_train_refuses(weights, tmp_path, capsys, more, message):
    """And its folder is free again: nothing is left where nothing was done."""
    try:
        status = main(arguments(weights, tmp_path / "runs" / "run", *more))
    except SystemExit as exit_:
        status = exit_.code
    assert status in (1, 2)
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "runs").exists()


def test_m_alone(weights, tmp_path):
    command = ["train", "--weights", str(weights), "--method", "none", "--images", "40", "--out", str(tmp_path / "run")]
    assert main(command) == 0
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        ".lock",
        "config.json",
        "M.safetensors",
        "results.csv",
    }
    assert same(tensors_of(tmp_path / "run" / "M.safetensors"), tensors_of(weights))
    assert list(pandas.read_csv(tmp_path / "run" / "results.csv")["model"]) == ["M"]


# Images of one's own


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """Noise of 32x32 around a colour for each of ten classes: for training 128, for the test 40."""
    path = tmp_path_factory.mktemp("data") / "made.npz"
    rng = np.random.default_rng(0)
    labels = np.arange(168) % 10
    colours = rng.integers(40, 216, (10, 1, 1, 3))
    pixels = np.clip(colours[labels] + rng.normal(0, 20, (168, 32, 32, 3)), 0, 255).astype(np.uint8)
    np.savez(path, x_train=pixels[:128], y_train=labels[:128], x_test=pixels[128:], y_test=labels[128:])
    return path


def on_arrays(arrays, out, *more):
    given = ["--data", str(arrays), "--arch", "resnet20", "--train-batch", "32", "--images", "40"]
    return ["train", *given, "--epochs", "0.5", "--out", str(out), *more]


@pytest.mark.slow
def test_a_chain_from_the_weights_of_the_package(arrays, tmp_path):
    """Trained on x_train, judged on x_test, at their own size."""
    assert main(on_arrays(arrays, tmp_path, "--dataset", "cifar10", "--qualities", "90", "30", "--members", "30")) == 0
    results = pandas.read_csv(tmp_path / "results.csv")
    assert set(results["model"]) == {"M", "M90", "M30", "ensemble"}
    assert set(results["images"]) == {40}
    model, facts = checkpoints.load(tmp_path / "M30.safetensors", arch="resnet20", outputs=10)
    assert (model.size, model.resize) == (32, 32)
    assert facts["before"] == ["M", "M90"]
    shipped = models.load("resnet20").network.state_dict()
    assert same(tensors_of(tmp_path / "M.safetensors"), shipped)


@pytest.mark.slow
def test_m_from_scratch_and_one_phase_of_fast_at(arrays, tmp_path, capsys):
    command = on_arrays(arrays, tmp_path / "run", "--method", "fast", "--arch", "plain")
    assert main(command) == 1
    assert "plain has no weights of its own; give a file with --weights, or train it first" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main([*command, "--scratch", "2"]) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "train.0.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in lines} == {"M", "fast"}
    _, facts = checkpoints.load(tmp_path / "run" / "M.safetensors", arch="plain", outputs=10)
    assert facts["stage"]["objective"] == "plain"
    assert facts["stage"]["optimization"]["epochs"] == 2
    assert main([*command, "--scratch", "2"]) == 0


@pytest.mark.slow(15)
def test_images_are_varied_as_asked(arrays, tmp_path):
    def trained(name, *more):
        command = on_arrays(arrays, tmp_path / name, "--method", "plain", "--workers", "0", *more)
        assert main(command) == 0
        return tensors_of(tmp_path / name / "plain.safetensors")

    found = {augment: trained(augment, "--augment", augment) for augment in ("auto", "shift", "crop", "none")}
    assert same(found["auto"], found["shift"])  # images of 32x32
    assert not same(found["shift"], found["none"])
    assert not same(found["crop"], found["none"])
    assert not same(found["crop"], trained("whole", "--augment", "crop", "--scale", "1", "1"))
    assert not same(found["shift"], trained("less", "--padding", "1"))


@pytest.mark.slow(12)
def test_adversarial_training_from_m_through_nn_jpeg(arrays, tmp_path):
    command = on_arrays(arrays, tmp_path / "run", "--method", "pgd", "--start", "M", "--through", "90", "30")
    assert main([*command, "--lr", "0.001", "--train-batch", "64"]) == 0
    results = pandas.read_csv(tmp_path / "run" / "results.csv")
    assert list(zip(results["model"], results["image"], strict=True)) == [
        ("M", "as it is"), ("pgd-90", "as it is"), ("pgd-90", "compressed"), ("pgd-30", "as it is"),
        ("pgd-30", "compressed"), ("ensemble", "by member"),
    ]  # fmt: skip
    together = Ensemble.load(tmp_path / "run")
    assert together.names == ("pgd-90", "pgd-30")
    _, facts = checkpoints.load(tmp_path / "run" / "pgd-30.safetensors")
    assert (facts["before"], facts["stage"]["quality"], facts["stage"]["steps"]) == (["M"], 30, 7)


@pytest.mark.slow(12)
def test_certify(arrays, tmp_path, capsys):
    command = [
        "certify", "--data", str(arrays), "--arch", "resnet20", "--train-batch", "64", "--epochs", "0.5",
        "--images", "4", "--sigmas", "0.25", "--radii", "0", "0.25", "2", "--n0", "10", "--n", "60",
        "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    assert main(command) == 0
    assert "out of reach" in capsys.readouterr().out
    table = pandas.read_csv(tmp_path / "run" / "certified.csv")
    assert list(table["radius"]) == [0, 0.25, 2] * 3
    assert list(table["reachable"]) == [True, True, False] * 3
    assert set(zip(table["trained"], table["seen"], strict=True)) == {
        ("noise", "noise"), ("noise", "noise, NN-JPEG"), ("noise, NN-JPEG", "noise, NN-JPEG"),
    }  # fmt: skip
    images = pandas.read_csv(tmp_path / "run" / "images.csv")
    assert len(images) == 12
    # Each classifier was asked by itself: the network behind NN-JPEG is not the bare one, though their weights are.
    assert len(list((tmp_path / "run").glob("certificates.*.jsonl"))) == 1
    assert len((tmp_path / "run" / "certificates.0.jsonl").read_text().splitlines()) == 12
    _, facts = checkpoints.load(tmp_path / "run" / "noise-nn-jpeg-0.25.safetensors")
    assert (facts["stage"]["sigma"], facts["stage"]["quality"], facts["before"]) == (0.25, 50, ["M"])
    before = (tmp_path / "run" / "certified.csv").read_bytes()
    assert main(command) == 0
    assert (tmp_path / "run" / "certified.csv").read_bytes() == before
