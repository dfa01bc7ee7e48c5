"""Files of weights that do not fit, and runs that an earlier version began."""

import json

import pytest
import torch
from torch import nn

from nnjpeg.robust import models
from nnjpeg.robust.record import checkpoints
from nnjpeg.robust.record.run import Run


@pytest.fixture
def weights(tmp_path):
    """Of a small network of ours."""
    network, _ = models.create("preact", False, 7, {})
    torch.save(network.state_dict(), tmp_path / "w.pt")
    return tmp_path / "w.pt"


@pytest.mark.parametrize(
    ("arch", "classes", "message"),
    [
        ("plain", 7, "does not fit plain: layers.0.weight is missing"),
        ("resnet18", None, "does not fit resnet18: conv1.weight is missing"),
        ("preact", 9, "does not fit preact: head.weight is (7, 96), where (9, 96) is wanted"),
    ],
)
def test_weights_of_another_architecture(weights, arch, classes, message):
    """One line, with the file, the architecture and the first tensor: not one for each."""
    with pytest.raises(ValueError, match="does not fit") as error:
        models.load(arch, weights, classes=classes)
    assert str(error.value) == f"{weights}: {message}"


def test_weights_with_more_than_there_is_place_for(weights):
    state = torch.load(weights)
    torch.save({**state, "more": torch.zeros(1), "and more": torch.zeros(1)}, weights)
    with pytest.raises(ValueError, match=r"does not fit preact: there is no place for more$"):
        models.load("preact", weights, classes=7)


def test_weights_of_a_checkpoint(tmp_path):
    model = models.load("preact", classes=7)
    checkpoints.save_model(tmp_path / "m.safetensors", model, {})
    tensors, facts = checkpoints.read(tmp_path / "m.safetensors")
    del tensors["head.bias"], tensors["head.weight"]
    checkpoints.write(tmp_path / "m.safetensors", tensors, facts)
    with pytest.raises(ValueError, match=r"does not fit preact: head.weight is missing$"):
        checkpoints.load(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        ([1, 2], "not a file of weights (it holds a list, no state dict)"),
        (nn.Linear(2, 2), "not a file of weights (it holds more than tensors, or is damaged)"),
    ],
)
def test_files_of_something_else(tmp_path, thing, message):
    torch.save(thing, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="not a file of weights") as error:
        models.load("preact", tmp_path / "w.pt")
    assert str(error.value) == f"{tmp_path / 'w.pt'}: {message}"


def test_a_run_of_version_0_1_0_does_not_go_on(tmp_path):
    """It judged otherwise: half of its results beside half of these would be neither."""
    old = {"run": "train", "parameters": {"eps": 8.0}, "versions": {"nnjpeg": "0.1.0"}}
    (tmp_path / "config.json").write_text(json.dumps(old))
    with pytest.raises(ValueError, match=r"out: .* holds a run that nnjpeg 0.1.0 began; give another folder"):
        Run(tmp_path, "train", {"eps": 8.0})
    assert json.loads((tmp_path / "config.json").read_text()) == old, "what it was begun with is not rewritten"
