"""AutoAttack's standard version, one attack after another: against the authors' own, and what it counts."""

import itertools

import pytest
import torch
from torch import nn

from nnjpeg import QTable
from nnjpeg.robust.data import Images
from nnjpeg.robust.defend.transforms import behind
from nnjpeg.robust.judge.autoattack import autoattack, standard
from nnjpeg.robust.record.run import Run
from nnjpeg.robust.record.store import Journal

EPS = 8 / 255


@pytest.fixture(scope="module")
def case():
    """A small network, and images of which it labels most right."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 49, 10)).eval()
    pixels = torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8)
    with torch.no_grad():
        labels = model(pixels / 255).argmax(1)
    labels[::8] = (labels[::8] + 1) % 10
    return model, Images(pixels, labels, tuple("abcdefghij"))


def test_attacks_are_the_standard_version_s():
    plain = standard(EPS)
    assert [one.method for one in plain] == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert [one.steps for one in plain] == [100, 100, 100, None]
    assert plain[-1].queries == 5000
    assert {one.gradient for one in standard(EPS, smooth=True)} == {"identity", "smooth", "none"}


def test_it_leaves_what_the_authors_leave(case):
    from pyautoattack import AutoAttack

    model, images = case
    weak = EPS / 16  # which leaves some images
    frame = autoattack({"net": model}, images, weak, steps=20, queries=100)
    official = AutoAttack(model, eps=weak, version="standard", seed=0)
    for attack in (official.apgd, official.apgd_targeted, official.fab):
        attack.n_iter = 20
    official.square.n_queries = 100
    adversarial, _ = official.run_standard_evaluation(images.pixels / 255, images.labels)
    left = (model(adversarial).argmax(1) == images.labels).sum()
    found = frame.iloc[-1]["right"]
    assert 0 < found < 35
    assert found == pytest.approx(int(left), abs=1)


def test_each_attack_gets_what_the_others_have_left(case):
    model, images = case
    frame = autoattack({"net": model, "behind": behind(model, 50)}, images, EPS / 8, steps=5, queries=20, batch=16)
    for name, attacks in (("net", 4), ("behind", 7)):
        part = frame[frame["defence"] == name]
        assert len(part) == attacks + 2
        hits = [{i for i, hit in enumerate(one) if hit == "1"} for one in part["hits"]]
        assert all(len(one) == 40 for one in part["hits"])
        assert all(later <= earlier for earlier, later in itertools.pairwise(hits))
        assert hits[-1] == hits[-2]
        assert part.iloc[-1]["attack"] == "worst case"
    benign = frame[(frame["attack"] == "benign") & (frame["defence"] == "net")].iloc[0]
    assert benign["right"] == 35
    assert benign["hits"][::8] == "00000"


def test_a_large_bound_leaves_nothing(case):
    model, images = case
    assert autoattack({"net": model}, images, 0.5, steps=10, queries=10).iloc[-1]["right"] == 0


def test_it_resumes(case, tmp_path):
    model, images = case
    options = {"steps": 3, "queries": 5, "batch": 16}
    whole = autoattack({"net": model}, images, EPS, **options)
    journal = Journal(Run(tmp_path / "run", "test", {}), "autoattack")
    autoattack({"net": model}, images.take(slice(0, 16)), EPS, journal=journal, **options)
    assert len(list(journal)) == 1
    again = autoattack({"net": model}, images, EPS, journal=journal, **options)
    assert len(list(journal)) == 3
    assert again["hits"].tolist() == whole["hits"].tolist()
    other = nn.Sequential(*model[:3], nn.Linear(8 * 49, 10))
    autoattack({"net": other}, images, EPS, journal=journal, **options)
    assert len(list(journal)) == 6
    for number, table in enumerate((QTable.nn(8, 16, 1), QTable.nn(4, 16, 50)), 3):  # the same weights
        for _ in range(2):
            autoattack({"net": behind(model, 50, table)}, images, EPS, journal=journal, **options)
            assert len(list(journal)) == 3 * number


def test_what_is_refused(case):
    model, images = case
    for options, message in (
        ({"eps": -0.1}, r"eps must be in 0\.\.1, such as 8 / 255, got -0.1"),
        ({"eps": 8}, r"eps must be in 0\.\.1, such as 8 / 255, got 8"),
        ({"queries": 0}, "queries must be at least 1, got 0"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"batch": 0}, r"batch must be an integer in 1\.\..*, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            autoattack({"net": model}, images, **{"eps": EPS, **options})
    with pytest.raises(ValueError, match="images must hold at least one image, got none"):
        autoattack({"net": model}, images.take(slice(0, 0)), EPS)


def test_nan_has_no_label(case):
    model, images = case
    broken = nn.Sequential(model, nn.Linear(10, 10))
    nn.init.constant_(broken[1].weight, float("nan"))
    with pytest.raises(ValueError, match="a model returned NaN"):
        autoattack({"net": broken}, images, EPS)
