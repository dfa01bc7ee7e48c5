"""Shares, their intervals, and comparisons on the same images: by scipy, by brute force, and by their properties."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from nnjpeg.robust import data
from nnjpeg.robust.data import Images
from nnjpeg.robust.judge.statistics import (
    accuracy,
    as_hits,
    at_equal_accuracy,
    find_well_labelled,
    hits_of,
    interval,
    mcnemar,
    right,
    share,
    share_of,
    well_labelled,
    wilson,
)

hits_and_sources = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=120).map(
    lambda pairs: (np.array([hit for hit, _ in pairs]), np.array([source for _, source in pairs]))
)


# Intervals


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(counts):
    low, high = wilson(*counts)
    expected = stats.binomtest(*counts).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert 0 <= low <= counts[0] / counts[1] <= high <= 1


@given(hits_and_sources)
def test_an_interval_holds_the_share_and_is_never_narrower_than_wilsons(drawn):
    hits, sources = drawn
    low, high = interval(hits, sources)
    plain_low, plain_high = interval(hits)
    assert (plain_low, plain_high) == wilson(int(hits.sum()), len(hits))
    assert 0 <= low <= plain_low <= hits.mean() <= plain_high <= high <= 1
    assert interval(hits, sources) == (low, high)  # no chance is left


@given(hits_and_sources, st.randoms(use_true_random=False))
def test_an_interval_depends_on_who_shares_a_source_alone(drawn, random):
    hits, sources = drawn
    names = np.array(random.sample(range(1000), 9))
    order = np.argsort(names[sources], kind="stable")
    mirrored = tuple(1 - end for end in interval(~hits, sources))
    assert interval(hits, sources) == pytest.approx(mirrored[::-1], abs=1e-9)
    assert interval(hits[order], np.sort(names[sources])) == interval(hits, names[sources])


@pytest.mark.parametrize("count", [3, 30, 70])
def test_images_of_their_own_have_wilsons_interval(count):
    """Given as sources of one image each it is Wilson's; of two alike images each, that of half as many images."""
    hits = np.arange(100) < count
    assert interval(hits, np.arange(100)) == interval(hits)
    low, high = interval(np.repeat(hits, 2), np.repeat(np.arange(100), 2))
    assert high - low == pytest.approx(np.subtract(*wilson(count, 100)[::-1]), rel=0.15)
    assert high - low > 1.2 * np.subtract(*wilson(2 * count, 200)[::-1])


def test_images_that_stand_and_fall_together_say_less():
    """15% are right: of one photograph nearly all, or of each of seven some."""
    sources = np.repeat(np.arange(7), 20)
    together, spread = sources == 3, np.tile(np.arange(20) < 3, 7)
    assert together.sum() == 20
    low, high = interval(together, sources)
    assert low < 0.01
    assert high > 0.4
    low, high = interval(spread, sources)  # as even as can be: the photographs' shares do not differ
    assert (low, high) == wilson(21, 140)


def test_the_resamples_are_those_of_whole_sources():
    """Beside all resamples of four sources, enumerated: the ends are the farthest, for so few sources."""
    sources = np.repeat(np.arange(4), 25)
    right_of = (2, 9, 13, 20)
    hits = np.concatenate([np.arange(25) < count for count in right_of])
    every = np.array([
        np.mean([right_of[k] for k in np.unravel_index(one, (4,) * 4)]) / 25 for one in range(4**4)
    ])  # fmt: skip
    # Student's t for three degrees of freedom, times sqrt(4/3), in tails of the normal distribution.
    tail = stats.norm.sf(stats.t.ppf(0.975, 3) * np.sqrt(4 / 3))
    low, high = interval(hits, sources)
    assert low == pytest.approx(np.quantile(every, tail), abs=0.03)
    assert high == pytest.approx(np.quantile(every, 1 - tail), abs=0.03)
    assert high - low > np.subtract(*np.quantile(every, [0.975, 0.025]))


def test_intervals_of_few_sources_hold_the_truth_more_often():
    """Photographs that differ: of 200 evaluations of seven, Wilson's interval holds the truth in a few."""
    rng = np.random.default_rng(0)
    sources, held, plain = np.repeat(np.arange(7), 40), 0, 0
    for _ in range(200):
        hits = rng.random(280) < rng.beta(1, 1, 7)[sources]
        (low, high), (narrow_low, narrow_high) = interval(hits, sources), interval(hits)
        held += low <= 0.5 <= high
        plain += narrow_low <= 0.5 <= narrow_high
    assert held >= 170
    assert plain <= 120


def test_one_source_says_nothing_of_others():
    assert interval("1111", [5, 5, 5, 5]) == (0, 1)
    assert interval("1", [5]) == wilson(1, 1)


@pytest.mark.parametrize(
    ("hits", "sources", "message"),
    [
        ("01x", None, "hits must be a string of 0 and 1, got '01x'"),
        ("", None, "hits must be a string of 0 and 1, got ''"),
        ([], None, r"hits must be bool \(N,\), N at least 1"),
        ([0, 1], None, r"hits must be bool \(N,\), N at least 1, got int64 \(2,\)"),
        ([[True]], None, r"got bool \(1, 1\)"),
        ("01", [1], r"sources must have the shape of hits, \(2,\), got \(1,\)"),
    ],
)
def test_intervals_refuse(hits, sources, message):
    with pytest.raises(ValueError, match=message):
        interval(hits, sources)


def test_columns():
    assert share(30, 100) == share_of("1" * 30 + "0" * 70)
    assert list(share(30, 100)) == ["right", "images", "accuracy", "low", "high"]
    hits, sources = np.arange(100) < 30, np.arange(100) // 20
    found = share_of(hits, sources)
    assert (found["right"], found["images"], found["accuracy"]) == (30, 100, 0.3)
    assert (found["low"], found["high"]) == interval(hits, sources)
    assert list(as_hits("0110")) == [False, True, True, False]


# Comparisons


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200))
def test_mcnemar_is_the_binomial_test_of_images_that_differ(pairs):
    a, b = np.array(pairs).T
    only_a, only_b, p = mcnemar(a, b)
    assert (only_a, only_b) == (pairs.count((True, False)), pairs.count((False, True)))
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1
    assert p == pytest.approx(expected, rel=1e-9)
    assert mcnemar(b, a) == (only_b, only_a, p)
    assert mcnemar("".join("01"[int(one)] for one in a), b) == (only_a, only_b, p)


def test_mcnemar_of_many_and_of_unlike_images():
    assert mcnemar("1" * 5 + "0" * 5, "0" * 10)[2] > 0.05
    assert mcnemar("1" * 6 + "0" * 4, "0" * 10)[2] < 0.05
    many = mcnemar(np.arange(6000) < 3100, np.arange(6000) >= 3100)
    assert many == (3100, 2900, pytest.approx(stats.binomtest(3100, 6000).pvalue))
    with pytest.raises(ValueError, match="must be of the same images, got 2 and 3"):
        mcnemar("01", "011")


shares = st.floats(0, 1)
curves = st.lists(st.tuples(shares, shares), min_size=1, max_size=9)


def test_equal_accuracy_lies_between_the_neighbours():
    curve = [(0.9, 0.1), (0.8, 0.3), (0.6, 0.5)]  # from the weakest to the strongest
    assert at_equal_accuracy(curve, 0.85) == pytest.approx(0.2)
    assert at_equal_accuracy(curve, 0.65) == pytest.approx(0.45)
    assert [at_equal_accuracy(curve, benign) for benign in (0.9, 0.8, 0.6)] == pytest.approx([0.1, 0.3, 0.5])
    assert [at_equal_accuracy(curve, benign) for benign in (0.91, 0.59)] == [None, None]
    assert at_equal_accuracy([], 0.5) is None


def test_a_strength_that_another_beats_counts_for_nothing():
    """Beyond the best strength a family costs more and gives less: nobody would take it."""
    curve = [(0.9, 0.1), (0.8, 0.5), (0.5, 0.2)]
    assert at_equal_accuracy(curve, 0.5) == 0.5
    assert at_equal_accuracy([*curve, (0.9, 0.05)], 0.9) == 0.1


@given(curves, shares, shares, st.randoms(use_true_random=False))
def test_equal_accuracy_is_monotone_and_favours_the_family(curve, one, other, random):
    shuffled = random.sample(curve, len(curve))
    low, high = sorted((one, other))
    at_low, at_high = at_equal_accuracy(curve, low), at_equal_accuracy(curve, high)
    assert at_low == at_equal_accuracy(shuffled, low)
    assert (at_low is None) == (not min(curve)[0] <= low <= max(curve)[0])
    if at_low is not None and at_high is not None:
        assert at_low >= at_high - 1e-12
    for benign, robust in curve:
        assert at_equal_accuracy(curve, benign) >= robust - 1e-12


# Which are right


class Bright(nn.Module):
    """Class 1 for bright images; counts the images that it sees."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def forward(self, images):
        self.seen += len(images)
        mean = images.mean((1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5], 1)


def bright_and_dark(labels):
    pixels = torch.full((len(labels), 3, 8, 8), 200, dtype=torch.uint8)
    return Images(pixels, torch.tensor(labels), ("dark", "bright"), sources=torch.arange(len(labels)) // 2)


def test_right_is_by_image():
    images = bright_and_dark([1, 0, 1, 1, 0])
    assert list(right(Bright(), images, batch=2)) == [True, False, True, True, False]
    assert accuracy(Bright(), images) == 0.6
    assert list(right(Bright(), images, transform=torch.zeros_like)) == [False, True, False, False, True]


def test_hits_are_written_and_read_again():
    for found in ([True], [False, True, True, False]):
        assert list(as_hits(hits_of(np.array(found)))) == found
        assert hits_of(torch.tensor(found)) == hits_of(found)


def test_an_image_without_a_label_is_refused():
    class Broken(Bright):
        def forward(self, x):
            return super().forward(x).masked_fill(x.mean((1, 2, 3))[:, None] < 0.5, torch.nan)

    with pytest.raises(ValueError, match="a model returned NaN for 2 of 3 images"):
        right(
            Broken(),
            Images(
                torch.tensor([9, 200, 9]).byte()[:, None, None, None].expand(3, 3, 8, 8),
                torch.tensor([0, 1, 0]),
                ("dark", "bright"),
            ),
        )


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_those_considered_are_counted(batch):
    images = bright_and_dark([0, 1, 0, 1, 1, 0, 1])
    found, considered = find_well_labelled(Bright(), images, 2, batch)
    assert considered == 4
    assert list(found.sources) == [0, 1]
    # The share of all images is that of the first `considered`, with the mislabelled ones lost.
    assert len(found) / considered == right(Bright(), images)[:considered].mean()
    assert torch.equal(well_labelled(Bright(), images, 2, batch).labels, found.labels)
    assert find_well_labelled(Bright(), images, 4, batch)[1] == 7


def test_no_more_images_are_looked_at_than_needed():
    model = Bright()
    find_well_labelled(model, bright_and_dark([1] * 1000), 3, batch=8)
    assert model.seen == 8


def test_too_few_well_labelled_images():
    images = bright_and_dark([0, 1, 0])
    with pytest.raises(ValueError, match="2 are needed, but the model labels 1 of 3 images right"):
        find_well_labelled(Bright(), images, 2)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        find_well_labelled(Bright(), images, 0)


def test_images_know_their_photograph():
    pytest.importorskip("skimage")
    images = data.photos("test", 21, size=16)
    assert torch.equal(images.sources, images.labels)
    few = images.take(slice(3, 9))
    assert torch.equal(few.sources, images.sources[3:9])
    assert torch.equal(images.take(torch.tensor([20, 1])).sources, images.sources[[20, 1]])
    plain = Images(images.pixels, images.labels, images.classes, ("a file",))
    assert plain.sources is None
    assert plain.take(slice(0, 2)).sources is None
