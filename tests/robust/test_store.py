"""Tensors are kept by what they are of; a model of the user's own is one of many."""

import subprocess
import sys

import pytest
import torch

from nnjpeg.robust import models
from nnjpeg.robust.record.run import Run
from nnjpeg.robust.record.store import digest, keep


def test_tensors_are_made_once(tmp_path):
    path, made = tmp_path / "a" / "t.safetensors", []

    def make():
        made.append(1)
        return {"x": torch.arange(3)}

    for _ in range(2):
        assert keep(path, {"seed": 1}, make)["x"].tolist() == [0, 1, 2]
    assert len(made) == 1
    assert keep(None, {"seed": 1}, make)["x"].tolist() == [0, 1, 2]
    assert len(made) == 2
    with pytest.raises(ValueError, match=r"t.safetensors: of something else: \{\"seed\": 1\}"):
        keep(path, {"seed": 2}, make)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"t.safetensors: damaged"):
        keep(path, {"seed": 1}, make)


def test_one_process_at_a_time_works_in_a_run_folder(tmp_path):
    run = Run(tmp_path / "run", "train", {})
    again = (
        "import sys\n"
        "from nnjpeg.robust.record.run import Run\n"
        "with Run(sys.argv[1], 'train', {}).hold():\n"
        "    print('held')\n"
    )
    command = [sys.executable, "-c", again, str(run.folder)]
    with run.hold():
        other = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert other.returncode == 1
        assert "out: another process is at work in" in other.stderr
    other = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert other.stdout == "held\n"
    run.let_go()
    assert not run.folder.exists()


def test_a_digest_is_of_values_types_and_shapes():
    one = torch.arange(4.0)
    others = (one + 1, one.double(), one.reshape(2, 2), one.bfloat16(), one[:2])
    digests = {digest(one), *map(digest, others)}
    assert len(digests) == 6
    assert digest(one) == digest(one.clone())
    assert digest(torch.tensor(3)) != digest(torch.tensor(4))


def test_a_model_of_the_users_own(tmp_path, monkeypatch):
    (tmp_path / "ours.py").write_text(
        "import torch\n"
        "def net():\n"
        "    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 7))\n"
        "def small():\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 7))\n"
        "def number():\n"
        "    return 3\n"
        "def broken():\n"
        "    import nowhere_to_be_found\n"
    )
    monkeypatch.chdir(tmp_path)
    model = models.given("ours:net", 64)
    assert not model.training
    assert model.outputs() == 7
    assert model.size == 64
    assert models.given("ours:small", 32).outputs() == 7
    with pytest.raises(ValueError, match=r"the model does not take images of 224x224 pixels \(.*\); --size gives it"):
        models.given("ours:small").outputs()
    with pytest.raises(TypeError, match="model: ours:number must return a torch module, got a int"):
        models.given("ours:number")
    for place in ("ours:other", "theirs:net", "ours:broken"):
        with pytest.raises(ValueError, match=f"model: {place} cannot be called"):
            models.given(place)
