"""Defences that are what they say."""

import io
import itertools

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import torch
from PIL import Image

from nnjpeg.robust import attacks, data, defences
from nnjpeg.robust.frequency import FrequencyStatistics
from nnjpeg.robust.scores import accuracy


def test_jpeg_is_pillows(originals):
    for pixels, ours in zip(originals.pixels[:4], defences.pillow_jpeg(originals.pixels[:4], 60), strict=True):
        file = io.BytesIO()
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=60)
        assert np.array_equal(ours.permute(1, 2, 0).numpy(), np.asarray(Image.open(file)))


def test_feature_distillation_is_its_formula(originals):
    pixels = originals.pixels[:3]
    steps = np.full((8, 8), 30.0)
    steps[:4, :4] = 25
    blocks = pixels.numpy().reshape(3, 3, 8, 8, 8, 8).astype(float)  # N, C, row, y, column, x
    coefficients = scipy.fft.dctn(blocks, axes=(3, 5), norm="ortho")
    quantized = np.rint(coefficients / steps[:, None, :]) * steps[:, None, :]
    expected = scipy.fft.idctn(quantized, axes=(3, 5), norm="ortho").reshape(3, 3, 64, 64).clip(0, 255)
    result = defences.feature_distillation(pixels).numpy()
    assert (np.abs(result - expected) <= 0.51).mean() > 0.98  # single precision takes some ties the other way
    assert defences.feature_distillation(pixels[..., :61, :50]).shape == (3, 3, 61, 50)


def test_local_quantization_takes_each_patch_from_one_quality(originals, generator):
    pixels = originals.pixels[:3, :, :60, :52]
    result = defences.local_quantization(pixels, (20, 80), generator)
    choices = [defences.jpeg(quality)(pixels) for quality in (20, 80)]
    taken = set()
    for n in range(3):
        for y in range(0, 60, 8):
            for x in range(0, 52, 8):
                patch = (n, slice(None), slice(y, y + 8), slice(x, x + 8))
                matches = [k for k, choice in enumerate(choices) if torch.equal(result[patch], choice[patch])]
                assert matches
                taken.update(matches if len(matches) == 1 else ())
    assert taken == {0, 1}


def test_bit_depth():
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    reduced = defences.bit_depth(ramp)
    assert reduced.unique().tolist() == [0, 36, 73, 109, 146, 182, 219, 255]
    assert (reduced.int() - ramp.int()).abs().max() <= 19
    assert torch.equal(defences.bit_depth(ramp, 8), ramp)


def test_deepn_steps_fall_with_deviation(benign):
    statistics = FrequencyStatistics.of([benign.pixels])
    table = np.asarray(defences.deepn_table(statistics))
    order = np.argsort(-statistics.deviations[3].ravel())
    steps = table.ravel()[order]
    assert (np.diff(steps) >= 0).all()
    assert (steps[0], steps[-1]) == (5, 100)


def test_tvm_smooths_and_keeps_what_it_knows(originals, generator):
    pixels = originals.pixels[:2]
    result = defences.tvm(pixels, generator=generator)

    def variation(x):
        x = x.float()
        return (x.diff(dim=2).abs().sum() + x.diff(dim=3).abs().sum()).item()

    assert variation(result) < 0.8 * variation(pixels)
    assert (result.int() - pixels.int()).abs().float().mean() < 20
    # What was dropped is near to what was kept: no pixel stays where it was first filled in.
    assert (result.int() - pixels.int()).abs().float().quantile(0.99) < 60
    faithful = defences.tvm(pixels, weight=1e-4, keep=1.0)
    assert (faithful.int() - pixels.int()).abs().max() <= 1


def test_quilting_takes_near_patches_of_others(originals, generator):
    photos = data.photos("train", 70).pixels
    quilting = defences.Quilting(photos, 5017, nearest=3, generator=generator)
    wanted = torch.rand(90, 75, generator=generator) * 255
    distance = ((wanted[:, None] - quilting.patches.float()) ** 2).sum(2)
    taken = distance.gather(1, quilting._near(wanted)[:, None])
    ranks = (distance < taken * (1 - 1e-4)).sum(1)
    assert ranks.bincount().min() > 10
    assert len(ranks.bincount()) == 3
    pixels = originals.pixels[:2, :, :61, :50]
    result = quilting(pixels)
    assert result.shape == pixels.shape
    assert 2 < (result.float() - pixels.float()).abs().mean() < 30
    # From its own patches an image is put together again; and every pixel is one of some patch's.
    own = defences.Quilting(pixels, 100_000, nearest=1)(pixels)
    assert (own.float() - pixels.float()).abs().mean() < 2
    flat = torch.full((1, 3, 9, 9), 7, dtype=torch.uint8)
    assert torch.equal(defences.Quilting(flat, 20)(originals.pixels[:1]).unique(), torch.tensor([7], dtype=torch.uint8))
    assert defences.Quilting(photos, 50)(pixels[..., :4, :3]).shape == (2, 3, 4, 3)
    with pytest.raises(ValueError, match="at least 5x5 pixels"):
        defences.Quilting(photos[..., :4])


def test_the_seam_is_the_cheapest(generator):
    error = torch.rand(20, 5, 3, generator=generator)
    taken = defences._seam(error)
    starts = 3 - taken.sum(2)
    assert (starts.diff(dim=1).abs() <= 1).all()
    cost = error.gather(2, starts[..., None]).sum((1, 2))
    paths = [p for p in itertools.product(range(3), repeat=5) if all(abs(a - b) <= 1 for a, b in itertools.pairwise(p))]
    every = torch.stack([error[:, range(5), list(path)].sum(1) for path in paths])
    torch.testing.assert_close(cost, every.amin(0))


def test_held_draws_repeat(model, originals):
    x = originals.pixels[:4] / 255
    random = defences.Defended(model, defences.local_quantization)
    held = defences.Held(random, seed=3)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    a = held(x)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(a, held(x))
    assert not torch.equal(a, defences.Held(random, seed=4)(x))
    assert attacks.gradient(held, x, originals.labels[:4]).abs().sum() > 0


def test_crop_rescale_averages_crops(model, originals):
    x = originals.pixels[:3] / 255
    whole = defences.CropRescale(model, crops=2, share=1.0)
    torch.testing.assert_close(whole(x), model(x).log_softmax(1), rtol=1e-4, atol=1e-5)
    torch.manual_seed(0)
    a = defences.CropRescale(model)(x)
    torch.testing.assert_close(a.exp().sum(1), torch.ones(3))
    assert not torch.equal(a, defences.CropRescale(model)(x))


def test_any_transform_of_bytes_is_attacked_straight_through(model, originals):
    x, y = originals.pixels[:8] / 255, originals.labels[:8]
    seen = []

    def darker(pixels):
        seen.append(pixels)
        return pixels // 2

    defended = defences.Defended(model, darker)
    slope = attacks.gradient(defended, x, y)
    assert seen[0].dtype == torch.uint8
    assert torch.equal(seen[0], originals.pixels[:8])
    half = (originals.pixels[:8] // 2) / 255
    torch.testing.assert_close(slope, attacks.gradient(model, half, y))
    for wrong in (lambda pixels: pixels.float(), lambda pixels: pixels[..., 1:], lambda pixels: None):
        with pytest.raises(TypeError, match="transform must return uint8"):
            defences.Defended(model, wrong)(x)


@pytest.mark.slow(4)
def test_the_named_defences_do_not_ruin_benign_images(model, benign):
    plain = accuracy(model, benign)
    for name, transform in defences.named(benign.pixels).items():
        share = accuracy(defences.Defended(model, transform), benign.take(slice(0, 140)))
        assert share > plain - 0.25, name
