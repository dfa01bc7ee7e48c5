"""Statistics of DCT coefficients, against scipy and NumPy in double precision."""

import numpy as np
import processes
import pytest
import scipy.fft
import torch
from torch.utils.data import DataLoader, TensorDataset

from nnjpeg.robust.frequency import COMPONENTS, FrequencyStatistics, band_order, deviation_ratio
from nnjpeg.robust.record import distributed

RNG = np.random.default_rng(0)
IMAGES = np.clip(RNG.normal(120, 30, (20, 3, 1, 1)) + RNG.normal(0, 25, (20, 3, 40, 56)), 0, 255).astype(np.uint8)
NOISE = RNG.integers(-3, 4, IMAGES.shape)
ADVERSARIAL = np.clip(IMAGES.astype(int) + NOISE, 0, 255).astype(np.uint8)


def planes(images, subsample):
    """R, G, B, Y, Cb, Cr of (B, 3, H, W), as JFIF defines them."""
    r, g, b = np.moveaxis(images.astype(np.float64), 1, 0)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    chroma = [(b - y) / 1.772, (r - y) / 1.402]
    if subsample:
        chroma = [(c[:, ::2, ::2] + c[:, 1::2, ::2] + c[:, ::2, 1::2] + c[:, 1::2, 1::2]) / 4 for c in chroma]
    return [r, g, b, y, *chroma]


def deviations_by_scipy(images, subsample=False):
    result = []
    for plane in planes(images, subsample):
        n, h, w = plane.shape
        blocks = plane.reshape(n, h // 8, 8, w // 8, 8).swapaxes(2, 3)
        result.append(scipy.fft.dctn(blocks, axes=(-2, -1), norm="ortho").reshape(-1, 8, 8).std(0))
    return np.stack(result)


@pytest.mark.parametrize("subsample", [False, True])
def test_deviations_are_scipys(subsample):
    statistics = FrequencyStatistics(subsample=subsample)
    statistics.update(IMAGES[:, :, :32, :48])
    expected = deviations_by_scipy(IMAGES[:, :, :32, :48], subsample)
    np.testing.assert_allclose(statistics.deviations, expected, rtol=1e-5)
    assert statistics.deviations.shape == (len(COMPONENTS), 8, 8)


def test_perturbations_are_differences():
    statistics = FrequencyStatistics()
    statistics.update(ADVERSARIAL, minus=IMAGES)
    difference = ADVERSARIAL.astype(float) - IMAGES
    np.testing.assert_allclose(statistics.deviations, deviations_by_scipy(difference), rtol=1e-5)


def test_arrays_tensors_floats_and_loaders_are_the_same():
    whole = FrequencyStatistics()
    whole.update(IMAGES)
    batches = DataLoader(TensorDataset(torch.from_numpy(IMAGES), torch.arange(20)), batch_size=7)
    for other in (
        FrequencyStatistics.of([IMAGES.transpose(0, 2, 3, 1)]),
        FrequencyStatistics.of([torch.from_numpy(IMAGES) / 255]),
        FrequencyStatistics.of(batches),
    ):
        np.testing.assert_allclose(other.deviations, whole.deviations, rtol=1e-5)
        assert (other.count == 20 * 5 * 7).all()


def test_halves_add_up_to_the_whole():
    whole, first, second = (FrequencyStatistics() for _ in range(3))
    whole.update(IMAGES)
    first.update(IMAGES[:7])
    second.update(IMAGES[7:])
    both = first + second
    np.testing.assert_allclose(both.deviations, whole.deviations, rtol=1e-9)
    np.testing.assert_array_equal(both.count, whole.count)


def test_incomplete_blocks_are_left_out():
    odd, even = FrequencyStatistics(), FrequencyStatistics()
    odd.update(IMAGES[:, :, :39, :55])
    even.update(IMAGES[:, :, :32, :48])
    np.testing.assert_array_equal(odd.total, even.total)


def test_a_file_brings_them_back(tmp_path):
    statistics = FrequencyStatistics(subsample=True)
    statistics.update(IMAGES[:, :, :32, :48])
    statistics.save(tmp_path / "statistics.npz")
    loaded = FrequencyStatistics.load(tmp_path / "statistics.npz")
    assert loaded.subsample
    np.testing.assert_array_equal(loaded.deviations, statistics.deviations)
    (tmp_path / "other.npz").write_bytes(b"not one")
    with pytest.raises(ValueError, match="not a file of frequency statistics"):
        FrequencyStatistics.load(tmp_path / "other.npz")


def statistics_of_a_share(folder):
    distributed.start()
    statistics = FrequencyStatistics.of([IMAGES[distributed.rank() :: distributed.world_size()]])
    statistics.all_reduce()
    statistics.save(folder / f"statistics.{distributed.rank()}.npz")


@pytest.mark.slow
def test_two_ranks_are_as_good_as_one(tmp_path):
    processes.together(statistics_of_a_share, tmp_path, folder=tmp_path)
    alone = FrequencyStatistics.of([IMAGES])
    for rank in range(2):
        together = FrequencyStatistics.load(tmp_path / f"statistics.{rank}.npz")
        np.testing.assert_allclose(together.deviations, alone.deviations, rtol=1e-9)
        np.testing.assert_array_equal(together.count, alone.count)


def test_the_order_of_bands_is_that_of_the_ratio():
    images, perturbations = FrequencyStatistics.of([IMAGES]), FrequencyStatistics()
    perturbations.update(ADVERSARIAL, minus=IMAGES)
    order = band_order(images, perturbations)
    assert sorted(order) == [(i, j) for i in range(8) for j in range(8)]
    assert order[0] == (0, 0)  # images differ most in brightness, noise does not
    pooled = [np.sqrt((s.deviations[:3] ** 2).mean(0)) for s in (perturbations, images)]
    ratios = [pooled[0][band] / pooled[1][band] for band in order]
    assert ratios == sorted(ratios)
    np.testing.assert_allclose(deviation_ratio(images, perturbations) * images.deviations, perturbations.deviations)


@pytest.mark.parametrize(
    ("images", "minus", "error", "message"),
    [
        ([1, 2], None, TypeError, "images must be a tensor or an ndarray, got list"),
        (IMAGES[0], None, ValueError, r"shape \(B, 3, H, W\).* got \(3, 40, 56\)"),
        (IMAGES[:, :2], None, ValueError, r"got \(20, 2, 40, 56\)"),
        (IMAGES.astype(int), None, TypeError, "got int64"),
        (IMAGES[:, :, :7], None, ValueError, r"at least 8 pixels .* got \(7, 56\)"),
        (IMAGES / np.nan, None, ValueError, "must be finite"),
        (IMAGES, IMAGES[:3], ValueError, r"minus must have the shape of images, \(20, 3, 40, 56\), got \(3, "),
    ],
)
def test_bad_input(images, minus, error, message):
    with pytest.raises(error, match=message):
        FrequencyStatistics().update(images, minus)


def test_nothing_added_and_unlike_statistics():
    with pytest.raises(ValueError, match="no images"):
        _ = FrequencyStatistics().deviations
    with pytest.raises(ValueError, match="with and without"):
        _ = FrequencyStatistics() + FrequencyStatistics(subsample=True)
