"""Transforms that are what they say, exact in every way, and attacked by every gradient there is through them."""

import io

import numpy as np
import pytest
import scipy.fft
import torch
from PIL import Image
from torch import nn

from nnjpeg import QTable
from nnjpeg.robust.attack import gradients as attacks
from nnjpeg.robust.defend import smooth
from nnjpeg.robust.defend import transforms as defences
from nnjpeg.robust.defend.ensemble import Ensemble
from nnjpeg.robust.defend.transforms import ByteTransform, Defended, Held, has_smooth, with_gradient
from nnjpeg.robust.frequency import FrequencyStatistics
from nnjpeg.robust.judge.statistics import accuracy
from nnjpeg.transforms import JPEG, NNJpeg, nn_jpeg

# Each transform alone


def by_pillow(pixels, quality):
    results = []
    for image in pixels:
        file = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
        results.append(torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1))
    return torch.stack(results)


def test_jpeg_is_pillows(originals):
    for size in (64, 59):
        pixels = originals.pixels[:4, :, :size, :size]
        assert torch.equal(defences.plain_jpeg(60)(pixels), by_pillow(pixels, 60))


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


def test_local_quantization_takes_each_patch_from_one_quality(originals):
    pixels = originals.pixels[:3, :, :60, :52]
    layer = defences.LocalQuantization((20, 80))
    torch.manual_seed(0)
    result = layer(pixels)
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
    assert not torch.equal(layer(pixels), result)  # drawn anew
    torch.manual_seed(0)
    assert torch.equal(layer(pixels / 255), result / 255)
    with pytest.raises(ValueError, match="qualities must not be empty"):
        defences.LocalQuantization(())


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


def test_behind_is_the_deployed_transform(model, originals):
    pixels = originals.pixels[:4]
    torch.testing.assert_close(defences.behind(model, 40)(pixels / 255), model(nn_jpeg(pixels, quality=40) / 255))
    assert defences.behind(model, None) is model


def test_crop_rescale_averages_crops(model, originals):
    x = originals.pixels[:3] / 255
    whole = defences.CropRescale(model, crops=2, share=1.0)
    torch.testing.assert_close(whole(x), model(x).log_softmax(1), rtol=1e-4, atol=1e-5)
    torch.manual_seed(0)
    a = defences.CropRescale(model)(x)
    torch.testing.assert_close(a.exp().sum(1), torch.ones(3))
    assert not torch.equal(a, defences.CropRescale(model)(x))


def test_the_named_defences_do_not_ruin_benign_images(model, benign):
    plain = accuracy(model, benign)
    for name, transform in defences.named(benign.pixels).items():
        share = accuracy(Defended(model, transform), benign.take(slice(0, 140)))
        assert share > plain - 0.25, name


# Gradients through them


def test_any_transform_of_bytes_is_attacked_straight_through(model, originals):
    x, y = originals.pixels[:8] / 255, originals.labels[:8]
    seen = []

    def darker(pixels):
        seen.append(pixels)
        return pixels // 2

    defended = Defended(model, darker)
    slope = attacks.gradient(defended, x, y)
    assert seen[0].dtype == torch.uint8
    assert torch.equal(seen[0], originals.pixels[:8])
    half = (originals.pixels[:8] // 2) / 255
    torch.testing.assert_close(slope, attacks.gradient(model, half, y))
    for wrong in (lambda pixels: pixels.float(), lambda pixels: pixels[..., 1:], lambda pixels: None):
        with pytest.raises(TypeError, match="transform must return uint8"):
            Defended(model, wrong)(x)


class _Doubled(nn.Module):
    """A module of float images has a gradient of its own."""

    def forward(self, images):
        return 2 * images


def test_a_module_is_attacked_by_its_own_gradient():
    x = torch.full((1, 3, 8, 8), 0.3, requires_grad=True)
    defended = Defended(nn.Identity(), _Doubled())
    assert torch.equal(defended(x), 2 * x)  # nothing is rounded
    assert torch.autograd.grad(defended(x).sum(), x)[0].unique().tolist() == [2]
    assert not has_smooth(defended)


def test_a_transform_of_ordinary_jpeg_is_switched_too(originals):
    layer, x = JPEG(30), (originals.pixels[:2, :, :24, :40] / 255).requires_grad_()
    assert has_smooth(layer)
    slopes = {}
    for gradient, name in (("identity", "straight-through"), ("smooth", "cubic")):
        with with_gradient(layer, gradient):
            slopes[gradient] = torch.autograd.grad(layer(x).square().sum(), x)[0]
        (expected,) = torch.autograd.grad(JPEG(30, gradient=name)(x).square().sum(), x)
        assert torch.equal(slopes[gradient], expected)
    assert not torch.equal(slopes["identity"], slopes["smooth"])
    assert layer.gradient == "straight-through"


SMOOTH = {
    "JPEG, 4:2:0": (
        lambda quality: defences.plain_jpeg(quality),
        lambda quality: lambda pixels: by_pillow(pixels, quality),
        lambda quality: defences.jpeg(quality, subsampling="4:2:0", gradient="cubic", precision="float"),
    ),
    "feature-distillation": (
        lambda _: defences.named()["feature-distillation"],
        lambda _: defences.feature_distillation,
        lambda _: smooth.feature_distillation,
    ),
}


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("quality", [20, 75])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (59, 46)])
def test_the_smooth_one_is_near_the_exact_one(originals, name, quality, height, width):
    """Nearer than the original is: what differs is the cubic, and roundings of samples."""
    pixels = originals.pixels[:16, :, :height, :width]
    _, exact, smoothed = (make(quality) for make in SMOOTH[name])
    compressed = exact(pixels).float()
    apart = (smoothed(pixels / 255) * 255 - compressed).abs().mean()
    assert apart < 1.3
    assert apart < 0.35 * (pixels - compressed).abs().mean()
    assert smoothed(pixels / 255).shape == pixels.shape


@pytest.mark.parametrize("name", SMOOTH)
def test_the_smooth_ones_gradient_is_its_derivative(originals, name, generator):
    """By finite differences in double precision; a step this small meets next to no tie."""
    _, _, smoothed = (make(50) for make in SMOOTH[name])
    x = (originals.pixels[:2, :, :27, :21].double() / 255).requires_grad_()
    along, by = (torch.randn(x.shape, generator=generator, dtype=torch.float64) for _ in range(2))
    (slope,) = torch.autograd.grad((smoothed(x) * by).sum(), x)
    step = 1e-7
    with torch.no_grad():
        difference = ((smoothed(x + step * along) - smoothed(x - step * along)) * by).sum() / (2 * step)
    assert (slope * along).sum().item() == pytest.approx(difference.item(), rel=1e-5)


@pytest.mark.parametrize("name", SMOOTH)
def test_exact_by_every_gradient(originals, name, generator):
    make, exact, smoothed = (of(60) for of in SMOOTH[name])
    layer, pixels = make, originals.pixels[:4, :, :50, :61]
    expected = exact(pixels) / 255
    x = (pixels / 255).requires_grad_()
    grad = torch.randn(x.shape, generator=generator)
    (of_smooth,) = torch.autograd.grad(smoothed(x), x, grad)
    for gradient, slope in (("identity", grad), ("smooth", of_smooth)):
        with with_gradient(layer, gradient):
            result = layer(x)
            assert torch.equal(result, expected)
            assert torch.equal(layer(x.detach()), expected)
        torch.testing.assert_close(torch.autograd.grad(result, x, grad)[0], slope, rtol=0, atol=0)
    assert (of_smooth - grad).abs().mean() > 0.1
    with with_gradient(layer, "none"):
        assert torch.equal(layer(x), expected)
        assert not layer(x).requires_grad


def test_every_compression_that_is_compared_has_both_gradients(benign, originals, generator):
    x = (originals.pixels[:3] / 255).requires_grad_()
    grad = torch.randn(x.shape, generator=generator)
    both = set()
    for name, transform in defences.named(benign.pixels, donors=benign.pixels[:2]).items():
        defended = Defended(nn.Identity(), transform)
        found = {}
        for gradient in ("identity", "smooth"):
            torch.manual_seed(0)
            with with_gradient(defended, gradient):
                result = defended(x)
            found[gradient] = result.detach(), torch.autograd.grad(result, x, grad)[0]
        (value, identity), (other_value, slope) = found.values()
        assert torch.equal(value, other_value), name
        assert torch.equal(identity, grad), name
        assert torch.equal(slope, grad) != has_smooth(defended), name
        both |= {name} if has_smooth(defended) else set()
    assert both == {
        "jpeg", "jpeg-444", "feature-distillation", "shield", "nn-jpeg", "deepn",
    }  # fmt: skip


def _gradients(model):
    return [one.gradient for one in model.modules() if isinstance(one, (NNJpeg, ByteTransform))]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda layer: Defended(nn.Identity(), layer),
        lambda layer: nn.Sequential(layer, nn.Identity()),
        lambda layer: Ensemble([(nn.Flatten(), layer), (nn.Flatten(), None)]),
        lambda layer: Held(Defended(nn.Identity(), layer)),
        lambda layer: defences.CropRescale(Defended(nn.Flatten(), layer)),
        lambda layer: Ensemble([(Held(nn.Sequential(layer, nn.Flatten())), defences.LocalQuantization((50,)))]),
    ],
)
@pytest.mark.parametrize("make", [lambda: NNJpeg(), lambda: defences.plain_jpeg(75)])
def test_every_compression_inside_is_switched_and_put_back(wrap, make):
    model = wrap(make())
    before = _gradients(model)
    names = {NNJpeg: {"identity": "straight-through", "smooth": "cubic", "none": "none"}}
    assert has_smooth(model)
    for gradient in ("smooth", "identity", "none"):
        with with_gradient(model, gradient):
            for one in model.modules():
                if isinstance(one, (NNJpeg, ByteTransform)):
                    assert one.gradient == names.get(type(one), {}).get(gradient, gradient)
        assert _gradients(model) == before
    with pytest.raises(KeyError), with_gradient(model, "smooth"):
        raise KeyError
    assert _gradients(model) == before


def test_each_is_put_back_to_what_it_was():
    model = nn.Sequential(
        NNJpeg(gradient="cubic"), NNJpeg(), ByteTransform(defences.bit_depth),
        ByteTransform(defences.bit_depth, nn.Identity(), gradient="smooth"),
    )  # fmt: skip
    before = _gradients(model)
    with with_gradient(model, "smooth"):
        assert _gradients(model) == ["cubic", "cubic", "identity", "smooth"]
        with with_gradient(model, "identity"):
            assert _gradients(model) == ["straight-through", "straight-through", "identity", "identity"]
        assert _gradients(model) == ["cubic", "cubic", "identity", "smooth"]
    assert _gradients(model) == before == ["cubic", "straight-through", "identity", "smooth"]


def test_what_has_no_such_gradient_says_so():
    accepted = "gradient must be one of 'identity', 'smooth', 'none', got 'cubic'"
    with pytest.raises(ValueError, match=accepted), with_gradient(NNJpeg(), "cubic"):
        pass
    with pytest.raises(ValueError, match=accepted):
        ByteTransform(defences.bit_depth, gradient="cubic")
    with pytest.raises(ValueError, match="'identity' or 'none' without smooth"):
        ByteTransform(defences.bit_depth, gradient="smooth")
    with pytest.raises(TypeError, match=r"images must be float in \[0, 1\], got torch.uint8"):
        ByteTransform(defences.bit_depth)(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="quality must be"):
        defences.plain_jpeg(0)
    assert not has_smooth(Defended(nn.Identity(), defences.bit_depth))
    assert not has_smooth(nn.Identity())


def test_what_is_defended_keeps_its_precision():
    x = torch.rand(1, 3, 8, 8)
    for dtype in (torch.float64, torch.bfloat16):
        assert defences.plain_jpeg(75)(x.to(dtype)).dtype == dtype


@pytest.mark.parametrize("make", [lambda: defences.plain_jpeg(50), lambda: NNJpeg(QTable.nn(1, 16, 121))])
def test_the_smooth_gradient_attacks_as_well(model, originals, make):
    """On a model that was trained a little and labels all of these right; by 5 images of 48 at most."""
    defended, left = Defended(model, make()), {}
    x, y, eps = originals.pixels / 255, originals.labels, 8 / 255
    for gradient in ("identity", "smooth"):
        start = torch.Generator().manual_seed(0)
        with with_gradient(defended, gradient):
            adversarial = attacks.pgd(defended, x, y, eps, steps=10, step=eps / 4, generator=start)
        adversarial = attacks.to_bytes(adversarial) / 255
        with torch.no_grad():
            left[gradient] = (defended(adversarial).argmax(1) == y).float().mean().item()
    assert left["smooth"] <= left["identity"] + 5 / 48
    assert left["smooth"] < 0.75


# Random ones


def test_held_draws_repeat(model, originals):
    x = originals.pixels[:4] / 255
    random = Defended(model, defences.LocalQuantization())
    held = Held(random, seed=3)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    a = held(x)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(a, held(x))
    assert not torch.equal(a, Held(random, seed=4)(x))
    assert not torch.equal(random(x), random(x))
    assert attacks.gradient(held, x, originals.labels[:4]).abs().sum() > 0


class _Dropping:
    """Random rows are lost: as bytes, and smoothly, each by draws of its own."""

    def __init__(self):
        self.drawn = []

    def __call__(self, images):
        keep = torch.rand(len(images), 1, images.shape[2], 1) < 0.5
        self.drawn.append(keep)
        return images * keep


def test_held_draws_are_those_of_the_smooth_gradient():
    dropping = _Dropping()
    random = Defended(nn.Identity(), nn.Sequential(ByteTransform(dropping, dropping), defences.LocalQuantization()))
    x = torch.rand(2, 3, 16, 16).requires_grad_()
    for model in (random, Held(random)):
        with with_gradient(model, "smooth"):
            torch.manual_seed(0)
            result = model(x)
            (slope,) = torch.autograd.grad(result[..., 0].sum(), x)
            exact, smoothed = dropping.drawn[-2:]
            assert torch.equal(exact, smoothed)
            assert slope[~exact.expand_as(slope)].abs().sum() == 0
            torch.manual_seed(0)
            with torch.no_grad():
                assert torch.equal(model(x), result)  # what comes after draws the same as well
            again = model(x)
            assert torch.equal(again, result) == isinstance(model, Held)
