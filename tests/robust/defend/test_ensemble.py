"""The ensemble."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional

from nnjpeg import NN_TABLE, QTable
from nnjpeg.robust import data
from nnjpeg.robust.defend.ensemble import MEMBERS, Ensemble, input_transform
from nnjpeg.robust.record import checkpoints
from nnjpeg.robust.train import photos as fitting
from nnjpeg.robust.train.objectives import Adversarial, Noisy, Plain, Vaccination
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
    return [(model, NNJpeg(quality=q)) for model, q in zip(models, (90, 50, 30), strict=True)]


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


@pytest.mark.parametrize("rule", [pytest.param("mean", marks=pytest.mark.slow(2)), "majority"])
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
        stage = {"objective": "noisy", "quality": quality, "table": steps} if quality else {"objective": "plain"}
        checkpoints.save_model(tmp_path / f"{name}.safetensors", fitting.untrained(quality or 0), {"stage": stage})
    ensemble = Ensemble.load(tmp_path, gradient="cubic")
    assert ensemble.names == MEMBERS
    assert isinstance(ensemble.transforms[0], nn.Identity)
    for transform, quality in zip(list(ensemble.transforms)[1:], (90, 70, 50, 30), strict=True):
        assert (transform.quality, transform.gradient, transform.precision) == (quality, "cubic", "uint8")
    assert not ensemble.training
    (tmp_path / "ensemble.json").write_text(json.dumps({"members": ["M", "M50"]}))
    assert Ensemble.load(tmp_path).names == ("M", "M50")


def test_what_a_model_sees_is_decided_by_how_it_was_trained_and_by_no_name():
    class Renamed(Noisy):
        """facts() has the name of the class."""

    table = QTable.nn(1, 16, 121)
    seen = input_transform({"stage": Renamed(70, 0.01, table=table).facts()})
    assert isinstance(seen, NNJpeg)
    assert (seen.qtable, seen.quality, seen.colorspace, seen.precision) == (table, 70, "rgb", "uint8")
    ordinary = input_transform({"stage": Vaccination(60).facts()}, "cubic")
    assert (ordinary.quality, ordinary.colorspace, ordinary.gradient) == (60, "ycbcr", "cubic")
    assert all(input_transform({"stage": one.facts()}) is None for one in (Plain(), Adversarial.fast(4 / 255)))
    assert input_transform({}) is None
