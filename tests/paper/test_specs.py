"""Experiments as values: what is refused, what a run is known by, and that defaults are those of the library."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nnjpeg.paper import specs
from nnjpeg.paper.fields import changed, identity, make, options_of
from nnjpeg.paper.specs import (
    Analyze,
    Certify,
    Design,
    Evaluate,
    Figure6,
    Learn,
    Machine,
    Preparation,
    Reproduce,
    Subject,
    Table1,
    Threat,
    Train,
)

EXPERIMENTS = (Analyze, Certify, Design, Learn, Train, Figure6, Table1, Evaluate, Reproduce)


def test_neither_torch_nor_the_library_is_imported(tmp_path):
    code = "import sys, nnjpeg.paper.specs; print([m for m in sys.modules if m == 'torch' or 'nnjpeg.robust' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("cls", EXPERIMENTS)
def test_names_are_unique_and_have_help(cls):
    options = [*options_of(cls), *options_of(Machine)]
    names = [one.name for one in options]
    assert len(set(names)) == len(names)
    assert all(one.help for one in options)


def test_defaults_are_the_librarys():
    from nnjpeg.robust import design
    from nnjpeg.robust.defend import ensemble
    from nnjpeg.robust.train import chain

    assert Design().steps == design.QS_AF
    assert Train().qualities == chain.QUALITIES
    assert tuple(f"M{quality}" for quality in Train().members) == ensemble.MEMBERS[1:]


def test_figure_6_is_the_papers():
    spec = Figure6(models=Path("m"))
    assert spec.threat.eps / 255 == pytest.approx(0.008)
    assert spec.attack == "ifgsm"
    assert Design().qs_of == "eps"


@pytest.mark.parametrize(
    ("make_one", "message"),
    [
        (lambda: Design(attack="foo"), "attack must be one of fgsm, ifgsm, pgd, got 'foo'"),
        (lambda: Analyze(attack="foo"), "attack must be one of"),
        (lambda: Figure6(models=Path("m"), attack="fgsm"), "attack must be one of ifgsm, pgd, got 'fgsm'"),
        (lambda: Train(members=(75,)), r"members must be qualities of the chain, .*; got 75"),
        (lambda: Train(qualities=(30, 90)), "qualities must fall"),
        (lambda: Train(qualities=(101, 90)), r"qualities must be in 1\.\.100, got 101"),
        (lambda: Train(method="magic"), "method must be one of noisy"),
        (lambda: Train(mixed_precision="half"), "mixed_precision must be one of no, bf16, fp16, got 'half'"),
        (lambda: Train(xi=2.0), r"xi must be in 0\.\.1, got 2"),
        (lambda: Train(epochs=0.0), "epochs must be above 0, got 0"),
        (lambda: Train(subject=Subject(data="folder")), "arch: give the name of a model"),
        (lambda: Design(diagonals=()), "diagonals must not be empty"),
        (lambda: Design(steps=()), "steps must not be empty"),
        (lambda: Design(steps=(0,)), r"steps must be in 1\.\.255, got 0"),
        (lambda: Design(qs_of=300), r"qs_of must be in 1\.\.255, got 300"),
        (lambda: Design(qs_of="delta"), "qs_of must be one of eps, got 'delta'"),
        (lambda: Design(benign=10, adversarial=20), r"adversarial must be at most benign \(10\), got 20"),
        (lambda: Table1(restarts=()), "restarts must not be empty"),
        (lambda: Table1(epochs=()), "epochs must not be empty without models_of"),
        (lambda: Evaluate(curve=()), "curve must not be empty"),
        (lambda: Evaluate(attacked=0), "attacked must be at least 1, got 0"),
        (lambda: Evaluate(images=10, attacked=20), r"attacked must be at most images \(10\), got 20"),
        (lambda: Evaluate(keep="none"), "keep must be one of transferred, all"),
        (lambda: Evaluate(other="resnet18"), "photos have preact and plain; got 'resnet18'"),
        (lambda: Train(through=(50,)), "through is for adversarial training: fast, free, pgd; method is noisy"),
        (lambda: Train(start="M"), "start is for adversarial training"),
        (lambda: Train(method="fast", start="S"), "start must be one of random, M, got 'S'"),
        (lambda: Train(method="fast", through=(50, 50)), r"through must not hold a number twice, got 50 twice"),
        (lambda: Train(method="fast", through=(0,)), r"through must be in 1\.\.100, got 0"),
        (lambda: Certify(sigmas=()), "sigmas must not be empty"),
        (lambda: Learn(lambdas=(1.0, float("inf"))), "lambdas must be finite"),
        (lambda: Learn(lambdas=()), "lambdas must not be empty"),
        (lambda: Learn(lambdas=(0.0,)), "lambdas must be above 0, got 0"),
        (lambda: Learn(lambdas=(3.0, -1.0)), "lambdas must be above 0, got -1"),
        (
            lambda: Learn(lambdas=(1.0, 3.0, 1.0)),
            "lambdas must not hold a number twice, got 1 twice in 1 3 1",
        ),
        (lambda: Learn(lambdas=(1.0, 1.0000000001)), "lambdas must not hold a number twice, got 1 twice"),
        (lambda: Learn(qualities=(75, 75)), "qualities must not hold a number twice, got 75 twice in 75 75"),
        (lambda: Learn(colorspace="rgb"), "subsampling must be 4:4:4 where RGB is coded, got 4:2:0"),
        (lambda: Learn(colorspace="rgb", subsampling="4:4:4"), "got luma-chroma"),
        (lambda: Learn(qualities=(50,)), r"qualities must hold 75, which bytes are compared with, got \[50\]"),
        (lambda: Learn(start=(50, 0)), r"start must be in 1\.\.100, got 0"),
        (lambda: Learn(start=()), "start must not be empty"),
        (lambda: Learn(objective="both"), "objective must be one of bytes, adversary, got 'both'"),
        (lambda: Learn(attack="pgd"), "attack is for objective adversary; objective is bytes"),
        (lambda: Learn(threat=Threat(eps=2.0)), "eps is for objective adversary; objective is bytes"),
        (lambda: Learn(steps=(10, 20)), "steps is for objective adversary; objective is bytes"),
        (
            lambda: Learn(objective="adversary", optimize=True),
            "optimize is for objective bytes; objective is adversary",
        ),
        (lambda: Learn(objective="adversary", other="plain"), "other is for objective bytes; objective is adversary"),
        (lambda: Learn(objective="adversary", images=50), r"attacked must be at most images \(50\), got 100"),
        (lambda: Learn(objective="adversary", attack="bim"), "attack must be one of fgsm, ifgsm, pgd, got 'bim'"),
        (lambda: Learn(other="vgg"), "photos have preact and plain; got 'vgg'"),
        (lambda: Certify(sigmas=(0.0,)), "sigmas must be above 0, got 0"),
        (lambda: Certify(radii=(-1.0,)), "radii must be at least 0, got -1"),
        (lambda: Certify(alpha=1.0), "alpha must be below 1, got 1"),
        (lambda: Certify(alpha=float("nan")), "alpha must be above 0, got nan"),
        (lambda: Certify(sigmas=(0.25, 0.25)), "sigmas must not hold a number twice"),
        (lambda: Certify(sigmas=(float("inf"),)), "sigmas must be finite, got inf"),
        (lambda: Evaluate(scenarios=("equal", "curve")), "scenarios: equal compares .*add one of black-box, gray-box"),
        (lambda: Evaluate(scenarios=("equal", "white-box"), thorough=False), "scenarios: equal compares"),
        (lambda: Certify(n=0), "n must be at least 1, got 0"),
        (lambda: Subject(dataset="cifar10"), "data: give the folder that holds cifar10"),
        (lambda: Subject(data="d", dataset="imagenet"), "dataset must be one of cifar10, cifar100, fashion-mnist"),
        (lambda: Subject(data="d", download=True), "download: give the name of the data set with --dataset"),
        (lambda: Subject(size=32, resize=30), r"resize must be at least size \(32\), got 30"),
        (lambda: Subject(data="d", model_options={"classes": 2}), "model_options: classes is an option of its own"),
        (lambda: Subject(classes=1), "classes must be at least 2, got 1"),
        (lambda: Train(preparation=Preparation(scratch=2.0)), "scratch is for an arch without weights"),
        (lambda: Preparation(scratch=0.0), "scratch must be above 0, got 0"),
        (lambda: Preparation(augment="mixup"), "augment must be one of auto, shift, crop, none, got 'mixup'"),
        (lambda: Preparation(padding=-1), "padding must be at least 0, got -1"),
        (lambda: Preparation(scale=(0.5, 0.1)), r"scale must be two numbers in 0\.\.1, the second not below"),
        (lambda: Subject(arch="resnet18"), "photos come with a model of their own"),
        (lambda: Subject(std=(0.1, 0.0, 0.1)), "std must be above 0"),
        (lambda: Threat(eps=float("nan")), "eps must be above 0, got nan"),
        (lambda: Threat(eps=300.0), r"eps must be in 0\.\.255, got 300"),
        (lambda: Machine(batch=0), "batch must be at least 1, got 0"),
        (lambda: Reproduce(preset="cifar"), r"preset must be one of photos, photos-full, cifar10, .*, got 'cifar'"),
        (lambda: Reproduce(preset="imagenet"), "data: give a folder with train and val"),
    ],
)
def test_what_is_refused(make_one, message):
    with pytest.raises(ValueError, match=message):
        make_one()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"magic": 1}, "magic is no option of design; its options are data, "),
        ({"steps": "50"}, "steps must be a list, got '50'"),
        ({"steps": [1.5]}, "steps must be a whole number, got 1.5"),
        ({"benign": True}, "benign must be a whole number, got True"),
        ({"eps": "much"}, "eps must be a number, got 'much'"),
        ({"figure4": "no"}, "figure4 must be true or false, got 'no'"),
        ({"qs_of": "much"}, "qs_of must be a whole number, got 'much', nor 'eps'"),
        ({"model_options": "{"}, "model_options must be JSON"),
        ({"model_options": "[1]"}, "model_options must be an object"),
    ],
)
def test_values_that_are_refused_by_name(values, message):
    with pytest.raises(ValueError, match=message):
        make(Design, values)


def test_values_from_text_json_and_yaml():
    assert make(Design, {"steps": ["1", "50"], "qs_of": "16", "eps": "2"}) == Design(
        steps=(1, 50), qs_of=16, threat=Threat(eps=2.0)
    )
    assert make(Train, {"mixed_precision": False}) == Train()  # YAML's no
    assert make(Train, {"lr": "1e-3"}).lr == 1e-3  # a text to YAML
    spec = make(Train, {"weights": "w.pt", "mean": [0.5, 0.5, 0.5], "model_options": '{"a": 1}'})
    assert spec.subject == Subject(weights=Path("w.pt"), mean=(0.5, 0.5, 0.5), model_options={"a": 1})
    assert changed(spec, {"weights": None}).subject == Subject(mean=(0.5, 0.5, 0.5), model_options={"a": 1})
    with pytest.raises(ValueError, match="models must be given"):
        make(Figure6, {})


@pytest.mark.parametrize("cls", EXPERIMENTS)
def test_identity_is_json_and_makes_the_same(cls):
    spec = Figure6(models=Path("m")) if cls is Figure6 else cls()
    known = json.loads(json.dumps(identity(spec)))
    assert known == identity(spec)
    assert make(cls, known) == spec


def test_identity_is_all_that_decides():
    names = {one.name for cls in EXPERIMENTS for one in options_of(cls) if not one.identity}
    assert names == {"download", "options"}
    assert not {one.name for one in options_of(Machine)} & set(identity(Train()))
    assert identity(Train()) != identity(Train(threat=Threat(eps=4.0)))


def test_every_class_is_public():
    assert {cls.__name__ for cls in EXPERIMENTS} <= set(specs.__all__)
