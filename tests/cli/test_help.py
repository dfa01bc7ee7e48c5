"""The command line is thin: help without torch, options with dashes, files and flags that agree."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import nnjpeg.cli
from nnjpeg.cli import experiments, main
from nnjpeg.cli._help import is_list
from nnjpeg.paper.fields import make, options_of
from nnjpeg.paper.specs import Machine

FOLDER = Path(nnjpeg.cli.__file__).parent
LONG = {"compress.py", "demo.py"}
COMMANDS = ("compress", "demo", "selftest", "reproduce", "analyze", "design", "train", "evaluate", "table1", "figure6")


def imported(tree):
    """Modules that a file imports when it is imported: all but those within functions."""
    todo, found = [tree], []
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            todo += ast.iter_child_nodes(node)
    return found


def heavy(names):
    return [name for name in names if re.match(r"(torch|torchvision|nnjpeg\.robust)(\.|$)", name)]


def test_the_test_finds_heavy_imports():
    text = "import torch.nn\nif True:\n    from nnjpeg import robust\nclass A:\n    import torchvision\n"
    assert len(heavy(imported(ast.parse(text)))) == 3
    assert not heavy(imported(ast.parse("def f():\n    import torch\nimport torches\n")))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_files_are_thin(path):
    text = path.read_text()
    assert not heavy(imported(ast.parse(text)))
    assert path.name in LONG or len(text.splitlines()) <= 140


HELP = """
import contextlib, io, sys
from nnjpeg.cli import main
text = io.StringIO()
with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
    main([*sys.argv[1:], "--help"])
heavy = ("torch", "torchvision", "nnjpeg.robust", "pandas", "matplotlib", "skimage", "scipy", "tqdm")
print([name for name in heavy if name in sys.modules])
print(text.getvalue())
"""


def of_children():
    """Seconds of processors that ended processes have taken: unlike the time of day, they know of no other load."""
    times = os.times()
    return times.children_user + times.children_system


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=" ".join)
def test_help_is_quick_and_without_torch(command, tmp_path):
    seconds = []
    for _ in range(5):
        began = of_children()
        asked = [sys.executable, "-c", HELP, *command]
        result = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=tmp_path)
        seconds.append(of_children() - began)
        if seconds[-1] < 1:
            break
    modules, _, text = result.stdout.partition("\n")
    assert modules == "[]"
    assert " ".join(["usage: nnjpeg", *command, "[-h]"]) in text
    assert not re.search(r"--[a-z0-9]+_", text)
    assert min(seconds) < 1


def test_help_shows_defaults_and_how_lists_are_written(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "a list, such as --qualities 90 80 70 60 (default: 90 80 70 60 50 40 30)" in text
    assert "--mixed-precision {no,bf16,fp16}" in text
    assert "--save-every N steps between checkpoints within a training (default: 100)" in text


@pytest.fixture
def asked(monkeypatch):
    """What a command was asked for, in place of running it."""
    found = []
    monkeypatch.setattr(experiments, "run", lambda name, *given: found.append(given) or 0)
    return found


def test_a_file_and_the_command_line_agree(asked, tmp_path):
    from nnjpeg.paper.specs import Train

    config = tmp_path / "train.yaml"
    config.write_text(
        "qualities: [90, 50]\nmembers: [50]\nmixed-precision: no\nsave_every: 7\nmodel_options: {width: 8}\nlr: 1e-3\n"
        "out: there\n"
    )
    words = ["--qualities", "90", "50", "--members", "50", "--mixed-precision", "no", "--save-every", "7", "--lr=1e-3"]
    assert main(["train", "--config", str(config)]) == 0
    assert main(["train", *words, "--model-options", '{"width": 8}', "--out", "there"]) == 0
    assert asked[0] == asked[1]
    given = {"qualities": [90, 50], "members": [50], "lr": 1e-3, "model_options": {"width": 8}}
    assert asked[0] == (make(Train, given), Machine(save_every=7), Path("there"))
    # The command line goes before the file, which goes before defaults.
    assert main(["train", "--config", str(config), "--members", "90", "--out", "here"]) == 0
    assert asked[2] == (make(Train, given | {"members": [90]}), Machine(save_every=7), Path("here"))


def test_lists_may_be_empty_and_switches_off(asked):
    assert main(["design", "--measured", "--no-figure4", "--qs-of", "16"]) == 0
    spec = asked[0][0]
    assert (spec.measured, spec.figure4, spec.qs_of) == ((), False, 16)


WITH = ([], ["--method", "fast"], ["--models-of", "run"], ["--objective", "adversary"])
"""An example may need one of these."""


@pytest.mark.parametrize("spec", [one.spec for one in experiments._COMMANDS], ids=lambda spec: spec.__name__)
def test_examples_in_the_help_are_accepted(asked, spec, capsys):
    name = spec.__name__.lower()
    with pytest.raises(SystemExit):
        main([name, "--help"])
    examples = re.findall(
        r"a list, such as (--[a-z0-9-]+ [^()]+?) ?(?:\(|--|$)", " ".join(capsys.readouterr().out.split())
    )
    lists = [one for one in options_of(spec) if is_list(one.hint)]
    assert len(examples) == len(lists)
    for example in examples:
        words = [name, *(["--models", "run"] if name == "figure6" else []), *example.split()]
        assert any(accepted([*words, *more]) for more in WITH), (example, capsys.readouterr().err)


def accepted(words):
    try:
        return main(words) == 0
    except SystemExit:
        return False


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["design", "--attack", "foo"], "attack must be one of fgsm, ifgsm, pgd, got 'foo'"),
        (["design", "--steps", "1", "x"], "steps must be a whole number, got 'x'"),
        (["design", "--save_every", "3"], "unrecognized arguments: --save_every 3"),
        (["train", "--batch", "16"], "unrecognized arguments: --batch 16"),
        (["train", "--qual", "90"], "unrecognized arguments: --qual 90"),
        (["figure6"], "models must be given"),
        (["train", "--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_runs(asked, command, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(command)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
    assert not asked


@pytest.mark.parametrize("form", ["flag", "file"])
def test_photos_is_refused_where_a_folder_has_that_name(asked, tmp_path, monkeypatch, form, capsys):
    """Built-in images in the place of the user's would not be noticed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text("data: photos\n")
    words = ["analyze", *(["--data", "photos"] if form == "flag" else ["--config", "c.yaml"])]
    assert main(words) == 0
    (tmp_path / "photos").mkdir()
    with pytest.raises(SystemExit):
        main(words)
    said = " ".join(capsys.readouterr().err.split())
    assert "give ./photos for the folder, or leave --data out for the built-in images" in said
    assert main(["analyze"]) == 0
    assert main(["analyze", "--data", "./photos", "--arch", "resnet20"]) == 0
    assert [spec.subject.data for spec, *_ in asked] == ["photos", "photos", "./photos"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("qualites: [90]\n", "has 'qualites', which is no option of this command"),
        ("save-every: 1\nsave_every: 2\n", "has 'save_every' twice"),
        ("[1, 2]\n", "must hold names and values, got list"),
        ("a: [\n", "is not a YAML file"),
        ("xi: [0.9]\n", "xi must be a number, got [0.9]"),
    ],
)
def test_files_that_are_refused(asked, tmp_path, text, message, capsys):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(SystemExit):
        main(["train", "--config", str(tmp_path / "c.yaml")])
    assert message in capsys.readouterr().err
    assert not asked


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An untrained model is right now and then: enough for a search to go through its motions."""
    import torch

    from nnjpeg.robust.train.photos import untrained

    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(untrained().network.state_dict(), path)
    return str(path)


def test_a_run_that_failed_leaves_its_folder_free(weights, tmp_path, capsys):
    """Whatever it failed on: a path, an architecture, too few images that the model labels right."""
    out = tmp_path / "new" / "run"
    command = ["design", "--benign", "40", "--adversarial", "2", "--diagonals", "2", "--steps", "50", "--no-figure4"]
    command += ["--max-loss", "100", "--out", str(out)]
    for wrong in (
        ["--weights", "nowhere.pt"],
        ["--data", "nowhere", "--arch", "nonsense"],
        ["--weights", weights, "--adversarial", "40"],
        ["--weights", weights, "--device", "abacus"],
    ):
        assert main([*command, *wrong]) == 1
        assert not (tmp_path / "new").exists(), capsys.readouterr().err
    assert main([*command, "--weights", weights]) == 0
    assert json.loads((out / "config.json").read_text())["parameters"]["adversarial"] == 2
    # What has a result keeps its folder, and a failure later on takes nothing from it.
    before = sorted(out.iterdir())
    assert main([*command, "--weights", weights, "--device", "abacus"]) == 1
    assert sorted(out.iterdir()) == before


@pytest.mark.parametrize(
    ("classes", "more", "message"),
    [
        (7, [], "size: the model does not take images of 224x224 pixels (mat1 and mat2 shapes cannot be multiplied"),
        (7, ["--data", "photos"], "size: the model does not take images of 64x64 pixels"),
        (1, ["--size", "32"], "data: 2 classes for a model of 1 outputs"),
    ],
)
def test_a_model_that_does_not_fit_the_images_is_one_line(tmp_path, monkeypatch, classes, more, message, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        f"from torch import nn\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, {classes}))\n"
    )
    for name in ("cat", "dog"):
        Path("set", name).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(f"set/{name}/1.png")
    command = ["analyze", "--data", "set", "--model", "mine:net", "--images", "1", "--out", "run", *more]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_files_of_others_stay(weights, tmp_path):
    """Of a folder that was there before, a failed run takes what it has made itself."""
    kept = tmp_path / "model.safetensors"
    kept.write_bytes(Path(weights).read_bytes())
    assert main(["design", "--weights", str(kept), "--device", "abacus", "--out", str(tmp_path)]) == 1
    assert list(tmp_path.iterdir()) == [kept]
