"""The ensemble, and accuracy under attack."""

import json

import pandas
import pytest
import torch
from torch import nn
from torch.nn import functional

from nnjpeg import NN_TABLE
from nnjpeg.cli import main
from nnjpeg.robust import attacks, checkpoints, data, fitting
from nnjpeg.robust.ensemble import MEMBERS, Ensemble
from nnjpeg.robust.evaluation import Attack, assess, attempts, behind
from nnjpeg.transforms import NNJpeg, nn_jpeg


class Given(nn.Module):
    """The same logits for every image."""

    def __init__(self, *logits):
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(logits))

    def forward(self, images):
        return self.rows.expand(len(images), -1) + 0 * images.mean((1, 2, 3))[:, None]


@pytest.fixture(scope="module")
def images():
    return data.photos("test", 12).pixels / 255


@pytest.fixture(scope="module")
def members():
    """Untrained, but not alike, and none of them indifferent."""
    models = [fitting.untrained(seed).eval() for seed in range(3)]
    return [(model, NNJpeg(quality=q, precision="uint8")) for model, q in zip(models, (90, 50, 30), strict=True)]


def test_the_label_with_the_highest_mean_softmax(images):
    # One member is sure of 0; two prefer 1, hardly.
    judges = [Given(9.0, 0.0, 0.0), Given(0.0, 0.4, 0.0), Given(0.0, 0.4, 0.0)]
    mean, majority = (Ensemble([(judge, None) for judge in judges], rule=rule) for rule in ("mean", "majority"))
    expected = torch.stack([judge(images).softmax(1) for judge in judges]).mean(0)
    torch.testing.assert_close(mean(images).exp(), expected)
    assert mean(images).argmax(1).tolist() == [0] * len(images)
    assert majority(images).argmax(1).tolist() == [1] * len(images)
    # Votes are even: the mean decides.
    even = Ensemble([(Given(9.0, 0.0), None), (Given(0.0, 0.1), None)], rule="majority")
    assert even(images).argmax(1).tolist() == [0] * len(images)
    labels = torch.zeros(len(images), dtype=torch.long)
    torch.testing.assert_close(functional.cross_entropy(mean(images), labels), -expected[:, 0].log().mean())


def test_each_member_sees_its_own_image(members, images):
    ensemble = Ensemble(members)
    pixels = (images * 255).round().to(torch.uint8)
    expected = [
        model(nn_jpeg(pixels, NN_TABLE, quality=q) / 255) for (model, _), q in zip(members, (90, 50, 30), strict=True)
    ]
    torch.testing.assert_close(ensemble.logits(images), torch.stack(expected))


def test_gradients_go_through_every_member(members, images):
    leaf = images.clone().requires_grad_()
    total = Ensemble(members)(leaf)[:, 0].sum()
    (gradient,) = torch.autograd.grad(total, leaf)
    weights, parts = [], []
    for model, transform in members:
        alone = images.clone().requires_grad_()
        p = model(transform(alone)).softmax(1)[:, 0]
        weights.append(p.detach())
        parts.append(torch.autograd.grad(p.sum(), alone)[0])
    expected = sum(parts) / sum(weights)[:, None, None, None]
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-8)
    assert all(part.abs().sum() > 0 for part in parts)


def test_batched_is_the_same(members, images):
    one, batched = Ensemble(members), Ensemble(members, batched=True)
    leaf = images.clone().requires_grad_()
    torch.testing.assert_close(batched(leaf), one(leaf), rtol=1e-4, atol=1e-5)
    (a,), (b,) = (torch.autograd.grad(e(leaf)[:, 1].sum(), leaf) for e in (one, batched))
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-7)
    plain = [(Given(1.0, 2.0), None), (Given(3.0, 1.0), None)]
    torch.testing.assert_close(Ensemble(plain, batched=True)(images), Ensemble(plain)(images))


@pytest.mark.slow(2)
@pytest.mark.parametrize("rule", ["mean", "majority"])
def test_export(members, images, tmp_path, rule):
    ensemble = Ensemble(members, rule=rule).eval()
    ensemble.export(tmp_path / "e.pt2")
    again = torch.export.load(tmp_path / "e.pt2").module()
    for count in (1, 5):
        torch.testing.assert_close(again(images[:count]), ensemble(images[:count]))
    with pytest.raises(ValueError, match="only an ensemble that is not batched"):
        Ensemble(members, batched=True).export(tmp_path / "b.pt2")
    with pytest.raises(ValueError, match="size must be given"):
        Ensemble([(Given(1.0, 2.0), None)]).export(tmp_path / "b.pt2")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda m: Ensemble([]), ValueError, "members must not be empty"),
        (lambda m: Ensemble([("M90", None)]), TypeError, "pairs of modules, got a str"),
        (lambda m: Ensemble(m, rule="dictator"), ValueError, "rule must be one of mean, majority, got 'dictator'"),
        (lambda m: Ensemble(m, names=["a"]), ValueError, "names must be one for each of 3 members, got 1"),
        (lambda m: Ensemble([*m, (Given(1.0), None)], batched=True), ValueError, "normalise their images differently"),
        (lambda m: Ensemble([(Given(1.0), None), (nn.Flatten(), None)], batched=True), ValueError, "one architecture"),
    ],
)
def test_ensembles_that_will_not_do(members, make, error, message):
    with pytest.raises(error, match=message):
        make(members)


def test_members_that_disagree_on_classes(images, tmp_path):
    pairs = [(Given(1.0, 2.0), None), (Given(1.0, 2.0, 3.0), None)]
    with pytest.raises(ValueError, match=r"members disagree on the number of classes: {'a': 2, 'b': 3}"):
        Ensemble(pairs, names=["a", "b"])(images)
    from nnjpeg.robust import models

    for name, classes in (("M", 7), ("M90", 5)):
        checkpoints.save_model(tmp_path / f"{name}.safetensors", models.load("preact", classes=classes), {})
    with pytest.raises(ValueError, match=r"members disagree on the number of classes: {'M': 7, 'M90': 5}"):
        Ensemble.load(tmp_path, ["M", "M90"])
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint .*M70"):
        Ensemble.load(tmp_path)  # the paper's five


def test_loaded_members_see_what_they_were_trained_with(tmp_path):
    steps = NN_TABLE.to_list()
    for name, quality in zip(MEMBERS, (None, 90, 70, 50, 30), strict=True):
        stage = {"objective": "noisy", "quality": quality, "table": steps} if quality else {}
        checkpoints.save_model(tmp_path / f"{name}.safetensors", fitting.untrained(quality or 0), {"stage": stage})
    ensemble = Ensemble.load(tmp_path, gradient="cubic")
    assert ensemble.names == MEMBERS
    assert isinstance(ensemble.transforms[0], nn.Identity)
    for transform, quality in zip(list(ensemble.transforms)[1:], (90, 70, 50, 30), strict=True):
        assert (transform.quality, transform.gradient, transform.precision) == (quality, "cubic", "uint8")
    assert not ensemble.training
    (tmp_path / "ensemble.json").write_text(json.dumps({"members": ["M", "M50"]}))
    assert Ensemble.load(tmp_path).names == ("M", "M50")


# Attacks and tables


class Sure(nn.Module):
    """A linear model whose cross-entropy has no gradient in single precision: it is far too sure."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, images):
        score = images.mean((1, 2, 3)) - 0.5
        return self.scale * torch.stack([score, -score], 1)


@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_a_model_that_is_too_sure_is_attacked_all_the_same(scale):
    images, labels = torch.full((4, 3, 8, 8), 0.52), torch.zeros(4, dtype=torch.long)
    for attack in attacks.ATTACKS.values():
        adversarial = attack(Sure(scale), images, labels, 0.05)
        assert Sure(scale)(adversarial).argmax(1).tolist() == [1] * 4


def test_restarts_keep_what_they_have():
    """A model that only one corner of the ball fools: more restarts find it more often, and none loses it."""

    def model(x):
        lucky = (x[:, 0, 0, 0] > 0.5).float()
        return torch.stack([1 - lucky, lucky], 1) + 0 * x.sum((1, 2, 3))[:, None]

    images, labels = torch.full((256, 3, 8, 8), 0.5), torch.zeros(256, dtype=torch.long)
    fooled = {}
    for restarts in (1, 4):
        generator = torch.Generator().manual_seed(0)
        x = attacks.pgd(model, images, labels, 0.1, steps=1, step=0, restarts=restarts, generator=generator)
        assert (x - images).abs().max() <= 0.1 + 1e-6
        fooled[restarts] = model(x).argmax(1) == 1
    assert 0.4 < fooled[1].float().mean() < 0.6
    assert fooled[4].float().mean() > 0.85
    assert fooled[4][fooled[1]].all()


def test_margin():
    logits = torch.tensor([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0]])
    assert attacks.margin(logits, torch.tensor([1, 0])).tolist() == [-1, 2]


def test_assess_counts_what_it_says():
    pixels = torch.tensor([100, 120, 140, 160]).to(torch.uint8)[:, None, None, None].expand(4, 3, 8, 8)
    images = data.Images(pixels, torch.tensor([1, 1, 0, 0]), ("bright", "dark"))
    eps = 25 / 255
    options = (("step", eps), ("steps", 2))
    kinds = [Attack("gray", "pgd", eps, options, target="M"), Attack("white", "pgd", eps, options)]

    class Dimmed(nn.Module):
        """The same judge behind a dimmed image: what fools it differs."""

        def forward(self, x):
            return Sure(10.0)(x - 0.06)

    frame = assess({"none": Sure(10.0), "dimmed": Dimmed()}, images, images, kinds, {"M": Sure(10.0)})
    rights = {(row.defence, row.attack): row.right for row in frame.itertuples()}
    assert rights["none", "benign"] == 4
    assert rights["none", "gray"] == rights["none", "white"] == 2  # 120 and 140 lie within eps of 127.5
    assert rights["dimmed", "benign"] == 3  # 140 - 15.3 is dark
    assert rights["dimmed", "white"] == 1  # 100 alone: 120 up to 145, 160 down to 135
    assert list(frame["images"]) == [4] * 6


def test_behind_is_the_deployed_transform(images):
    model = fitting.untrained().eval()
    pixels = (images * 255).round().to(torch.uint8)
    torch.testing.assert_close(behind(model, 40)(images), model(nn_jpeg(pixels, quality=40) / 255))
    assert behind(model, None) is model
    attack = attempts(10, 4 / 255, target="M")
    assert (attack.name, dict(attack.options)) == ("gray PGD-50-10", {"restarts": 10, "step": 1 / 255, "steps": 50})


# Table 1 and Figure 6


@pytest.mark.slow
def test_table_1(weights, tmp_path, capsys):
    sizes = ["--patches", "64", "--batch", "16", "--images", "60", "--attacked", "10", "--steps", "3"]
    command = [
        "table1", "--weights", str(weights), *sizes, "--epochs", "[0.25,0.5]", "--adversarial-epochs", "0.5",
        "--restarts", "[1,2]", "--out", str(tmp_path),
    ]  # fmt: skip
    assert main(command) == 0, capsys.readouterr().err
    frame = pandas.read_csv(tmp_path / "table1.csv")
    assert list(dict.fromkeys(frame["defence"])) == ["none (M)", "Fast AT", "Free AT", "noisy 1.75", "noisy 3.5"]
    assert list(dict.fromkeys(frame["attack"])) == ["benign", "gray PGD-3-1", "PGD-3-1", "PGD-3-2"]
    shares = frame.pivot_table(index="defence", columns="attack", values="accuracy")
    assert (shares["PGD-3-2"] <= shares["PGD-3-1"]).all()
    assert shares.loc["none (M)", "gray PGD-3-1"] == shares.loc["none (M)", "PGD-3-1"]
    assert frame[frame["defence"] != "none (M)"]["seconds"].gt(0).all()
    assert {"table1.json", "table1.png", "fast.safetensors", "3.5-M30.safetensors"} <= {
        p.name for p in tmp_path.iterdir()
    }
    before = (tmp_path / "table1.csv").read_text()
    assert main(command) == 0
    assert (tmp_path / "table1.csv").read_text() == before


@pytest.mark.slow(3)
def test_figure_6(weights, tmp_path, capsys):
    assert main([
        "train", "--weights", str(weights), "--patches", "64", "--batch", "16", "--images", "40", "--epochs", "0.5",
        "--qualities", "[90,30]", "--members", "[30]", "--out", str(tmp_path),
    ]) == 0  # fmt: skip
    command = ["figure6", "--models", str(tmp_path), "--images", "60", "--attacked", "8", "--steps", "2"]
    assert main(command) == 0, capsys.readouterr().err
    frame = pandas.read_csv(tmp_path / "figure6" / "figure6.csv", keep_default_na=False)
    cells = [(row.model, str(row.quality), row.attack) for row in frame.itertuples()]
    expected = {
        (m, q, a) for m in ("M", "M90", "M30") for q in ("none", "90", "30") for a in ("benign", "gray", "white")
    }
    assert set(cells) == expected
    assert len(cells) == len(expected)
    assert (tmp_path / "figure6" / "figure6.png").stat().st_size > 1000
    assert main(["figure6", "--models", str(tmp_path / "figure6" / "nothing")]) == 1
    assert "is no run of nnjpeg train" in capsys.readouterr().err
