"""Randomized smoothing: against closed forms, by simulation, and under attack."""

import math
from statistics import NormalDist

import numpy as np
import pandas
import pytest
import scipy.stats
import torch
from torch import nn

from nnjpeg.robust.data import Images
from nnjpeg.robust.judge.certify import ABSTAINS, certified, certify, largest_radius, lower_bound, radius_of
from nnjpeg.robust.record.run import Run
from nnjpeg.robust.record.store import Journal
from nnjpeg.robust.train.objectives import Through


class Linear(nn.Module):
    """Class 1 where w x + b is above 0, else class 0."""

    def __init__(self, weights, bias):
        super().__init__()
        self.weights, self.bias = nn.Parameter(weights), bias

    def forward(self, images):
        score = (images * self.weights).sum((1, 2, 3)) + self.bias
        return torch.stack([-score, score], 1)

    def distances(self, pixels):
        """To the border between the classes, L2."""
        with torch.no_grad():
            return ((pixels / 255 * self.weights).sum((1, 2, 3)) + self.bias).abs() / self.weights.norm()


@pytest.fixture(scope="module")
def case():
    """A linear classifier, and images on both sides of its border."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (12, 3, 8, 8), generator=generator, dtype=torch.uint8)
    weights = torch.randn((3, 8, 8), generator=generator)
    scores = (pixels / 255 * weights).sum((1, 2, 3))
    model = Linear(weights, -scores.median().item() - 0.1)
    with torch.no_grad():
        labels = model(pixels / 255).argmax(1)
    assert len(labels.unique()) == 2
    return model, Images(pixels, labels, ("0", "1"))


def test_the_bound_is_clopper_and_pearsons():
    for count, n, alpha in [(0, 10, 0.05), (1, 10, 0.05), (7, 10, 0.001), (990, 1000, 0.01), (1000, 1000, 0.001)]:
        exact = scipy.stats.binomtest(count, n, alternative="greater").proportion_ci(1 - alpha, "exact")
        assert lower_bound(count, n, alpha) == pytest.approx(exact.low, abs=1e-12)
    assert lower_bound(100, 100, 0.001) == pytest.approx(0.001 ** (1 / 100))


def test_the_bound_holds_as_often_as_it_says():
    rng = np.random.default_rng(0)
    for p in (0.3, 0.6, 0.95):
        counts = rng.binomial(100, p, 4000)
        wrong = np.mean([lower_bound(int(count), 100, 0.05) > p for count in counts])
        assert wrong <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)


def test_the_radius_is_the_normal_quantile():
    assert radius_of(0.5, 0.25) == radius_of(0.2, 0.25) == 0
    assert radius_of(NormalDist().cdf(2), 0.25) == pytest.approx(0.5)
    assert largest_radius(0.5, 10_000, 0.001) == pytest.approx(0.5 * NormalDist().inv_cdf(0.001 ** (1 / 10_000)))


def test_a_linear_classifier_has_its_closed_form(case):
    """Its smoothed classifier is itself, and the certificate is the distance to the border."""
    model, images = case
    exact = model.distances(images.pixels).numpy()
    found = {n: certify(model, images, 0.5, n=n, alpha=0.001) for n in (500, 20_000)}
    for frame in found.values():
        sure = frame["class"] != ABSTAINS
        assert (frame["class"][sure] == frame["label"][sure]).all()
        assert (frame["radius"] <= exact + 1e-6).all()
        assert (frame["radius"][~sure] == 0).all()
    gaps = {n: np.mean(exact.clip(max=0.5 * 2.5) - frame["radius"].clip(upper=0.5 * 2.5)) for n, frame in found.items()}
    assert gaps[20_000] < 0.03 < gaps[500]


def test_where_classes_come_as_often_it_abstains(case):
    model, images = case
    pixels = images.pixels[:1].expand(6, -1, -1, -1)
    score = (pixels[0] / 255 * model.weights).sum().item()
    frame = certify(
        Linear(model.weights.detach(), -score), Images(pixels, images.labels[:1].expand(6), ("0", "1")), 0.5
    )
    assert (frame["class"] == ABSTAINS).all()
    table = certified(frame, [0.0, 0.5])
    assert list(table["accuracy"]) == [0, 0]
    assert list(table["abstains"]) == [1, 1]


class Bent(nn.Module):
    """A small network that is not linear."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.Tanh(), nn.Linear(16, 3))

    def forward(self, images):
        return self.layers(4 * (images - 0.5))


@pytest.mark.slow(10)
def test_no_attack_within_the_radius_changes_the_class(case):
    """PGD through the expectation over the noise, with NN-JPEG in the model, and a class by many draws."""
    _, images = case
    model, sigma = Through().before(Bent()).eval(), 0.3
    frame = certify(model, images, sigma, n=2000)
    assert (frame["radius"] > 0.05).sum() >= 6
    generator = torch.Generator().manual_seed(1)
    for row in frame[frame["radius"] > 0.05].to_dict("records"):
        x, target = images.pixels[row["image"]] / 255, torch.tensor([row["class"]])
        moved = torch.zeros_like(x)
        for _ in range(20):
            moved.requires_grad_()
            noise = sigma * torch.randn((64, *x.shape), generator=generator)
            mean = model(x + moved + noise).softmax(1).mean(0, keepdim=True)
            (slope,) = torch.autograd.grad(nn.functional.nll_loss(mean.log(), target), moved)
            moved = moved.detach() + 0.3 * row["radius"] * slope / slope.norm()
            moved = moved * min(1.0, 0.99 * row["radius"] / moved.norm().item())
        with torch.no_grad():
            noise = sigma * torch.randn((4000, *x.shape), generator=generator)
            counts = torch.bincount(model(x + moved + noise).argmax(1), minlength=3)
        assert counts.argmax() == row["class"]


def test_results_do_not_depend_on_the_batch(case):
    model, images = case
    frames = [certify(model, images, 0.5, n0=30, n=250, batch=batch) for batch in (1, 64, 1000)]
    for frame in frames[1:]:
        assert frame.equals(frames[0])
    other = certify(model, images, 0.5, n0=30, n=250, seed=1)
    assert not other["count"].equals(frames[0]["count"])


class Stop(Exception):
    pass


def test_a_stopped_run_goes_on(case, tmp_path):
    model, images = case
    run = Run(tmp_path / "run", "certify", {})
    expected = certify(model, images, 0.5, n0=30, n=250)
    calls = 0

    def stop(*_):
        nonlocal calls
        calls += 1
        if calls == 8:
            raise Stop

    handle = model.register_forward_hook(stop)
    with pytest.raises(Stop):
        certify(model, images, 0.5, n0=30, n=250, journal=Journal(run, "c"))
    handle.remove()
    done = len(list(Journal(run, "c")))
    assert 0 < done < len(images)
    calls = -(10**6)
    assert certify(model, images, 0.5, n0=30, n=250, journal=Journal(run, "c")).equals(expected)
    # What differs is not found: other noise, another model of the same weights.
    for options in ({"seed": 1}, {"name": "another"}):
        certify(model, images, 0.5, n0=30, n=250, journal=Journal(run, "c"), **options)
    assert len(list(Journal(run, "c"))) == 3 * len(images)


def test_radii_out_of_reach_are_marked(case):
    model, images = case
    frame = certify(model, images, 0.25, n0=30, n=100)
    largest = largest_radius(0.25, 100, 0.001)
    table = certified(frame, [0.0, 0.25, 0.5, 1.0], largest=largest)
    assert list(table["reachable"]) == [True, True, False, False]
    assert frame["radius"].max() <= largest
    assert list(table["accuracy"][2:]) == [0, 0]
    assert (table["accuracy"].diff()[1:] <= 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": 0.0}, "sigma must be above 0 and finite, got 0.0"),
        ({"sigma": float("nan")}, "sigma must be above 0 and finite, got nan"),
        ({"sigma": math.inf}, "sigma must be above 0 and finite, got inf"),
        ({"alpha": 0.0}, "alpha must be above 0 and below 1, got 0.0"),
        ({"alpha": 1.0}, "alpha must be above 0 and below 1, got 1.0"),
        ({"n": 0}, "n must be .*got 0"),
        ({"n0": 0}, "n0 must be .*got 0"),
        ({"batch": 0}, "batch must be .*got 0"),
    ],
)
def test_what_is_refused(case, options, message):
    model, images = case
    with pytest.raises(ValueError, match=message):
        certify(model, images, **{"sigma": 0.5, **options})


def test_nothing_is_certified_of_no_images_or_without_labels(case):
    model, images = case
    with pytest.raises(ValueError, match="images must hold at least one image, got none"):
        certify(model, images.take(slice(0, 0)), 0.5)
    broken = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    with torch.no_grad():
        broken[1].bias[1] = math.nan
    with pytest.raises(ValueError, match="a model returned NaN for 30 of 30 images, which have no label"):
        certify(broken, images, 0.5, n0=30, n=30)


def test_a_model_is_certified_in_evaluation_mode(case):
    _, images = case
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(), nn.Flatten(), nn.Linear(192, 2)).train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = certify(model, images, 0.5, n0=30, n=100)
    assert [module.training for module in model] == [True, False, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert certify(model.eval(), images, 0.5, n0=30, n=100).equals(first)


def test_too_few_draws_reach_no_radius():
    assert largest_radius(0.5, 9, 0.001) == 0
    assert largest_radius(0.5, 10, 0.001) > 0
    frame = pandas.DataFrame({"label": [0], "class": [ABSTAINS], "radius": [0.0]})
    assert not certified(frame, [0.0], largest=0.0)["reachable"].any()
    assert certified(frame, [0.0], largest=0.1)["reachable"].all()
