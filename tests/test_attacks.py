"""Attacks that do what they say: in their ball, as strong as those of a library, and stronger than weaker ones."""

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import torch
from torch import nn

from nnjpeg.robust import attacks, minimal
from nnjpeg.robust.ensemble import Ensemble
from nnjpeg.robust.evaluation import behind, with_gradient
from nnjpeg.robust.square import square


def left(model, adversarial, labels):
    with torch.no_grad():
        return (model(adversarial).argmax(1) == labels).float().mean().item()


LINF = {
    "fgsm": attacks.fgsm,
    "ifgsm": attacks.ifgsm,
    "pgd": lambda m, x, y, eps: attacks.pgd(m, x, y, eps, steps=20, step=eps / 5),
    "tifgsm": attacks.tifgsm,
    "difgsm": attacks.difgsm,
    "square": lambda m, x, y, eps: square(m, x, y, eps, queries=60),
}


@pytest.mark.parametrize("name", LINF)
@pytest.mark.parametrize("eps", [2 / 255, 16 / 255])
def test_attacks_stay_in_the_ball(model, originals, name, eps):
    x, y = originals.pixels[:12] / 255, originals.labels[:12]
    adversarial = LINF[name](model, x, y, eps)
    assert (adversarial - x).abs().max() <= eps + 1e-6
    assert 0 <= adversarial.min() <= adversarial.max() <= 1
    assert (adversarial != x).any()
    assert not adversarial.requires_grad


@pytest.mark.slow
def test_a_large_eps_breaks_the_undefended_model(model, originals):
    x, y = originals.pixels / 255, originals.labels
    assert left(model, x, y) == 1
    assert left(model, attacks.pgd(model, x, y, 64 / 255, steps=40, step=8 / 255), y) <= 0.03
    assert left(model, attacks.ifgsm(model, x, y, 64 / 255, steps=40), y) <= 0.05
    assert left(model, square(model, x[:24], y[:24], 64 / 255, queries=400), y[:24]) <= 0.6
    assert left(model, minimal.deepfool(model, x[:8], y[:8]), y[:8]) == 0
    assert left(model, minimal.carlini_wagner(model, x[:8], y[:8], steps=60), y[:8]) == 0
    assert left(model, attacks.bpda(model, x[:16], y[:16], eps=20.0, steps=150, rate=50.0), y[:16]) <= 0.1


@pytest.mark.slow(5)
def test_iterations_beat_a_single_step(model, originals):
    x, y = originals.pixels / 255, originals.labels
    for eps in (4 / 255, 8 / 255):
        one = left(model, attacks.fgsm(model, x, y, eps), y)
        many = left(model, attacks.pgd(model, x, y, eps, steps=20, step=eps / 5), y)
        assert many <= one
        assert left(model, attacks.pgd(model, x, y, eps, steps=20, step=eps / 5, loss="margin"), y) <= one + 0.05


@pytest.mark.slow(5)
def test_ours_agree_with_foolboxs(model, originals):
    """The same steps from the same start are the same attack; random starts differ by sampling error."""
    import foolbox

    x, y, eps = originals.pixels / 255, originals.labels, 6 / 255
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    theirs, _, _ = foolbox.attacks.LinfFastGradientAttack()(wrapped, x, y, epsilons=eps)
    ours = attacks.fgsm(model, x, y, eps)
    assert ((ours - theirs).abs() < 1e-6).float().mean() > 0.999
    bim = foolbox.attacks.LinfBasicIterativeAttack(abs_stepsize=eps / 10, steps=10, random_start=False)
    theirs, _, _ = bim(wrapped, x, y, epsilons=eps)
    assert abs(left(model, theirs, y) - left(model, attacks.ifgsm(model, x, y, eps), y)) <= 0.03
    pgd = foolbox.attacks.LinfPGD(abs_stepsize=eps / 5, steps=20)
    theirs, _, _ = pgd(wrapped, x, y, epsilons=eps)
    assert abs(left(model, theirs, y) - left(model, attacks.pgd(model, x, y, eps, 20, eps / 5), y)) <= 0.1


@pytest.mark.slow(2)
def test_targeted_attacks_go_where_they_are_told(model, originals):
    keep = originals.labels != 2
    x, y = originals.pixels[keep] / 255, originals.labels[keep]
    loss = attacks.towards(torch.tensor(2))
    adversarial = attacks.pgd(model, x, y, 32 / 255, steps=40, step=3 / 255, loss=loss)
    with torch.no_grad():
        assert (model(adversarial).argmax(1) == 2).float().mean() > 0.6


def test_the_smoothed_gradient_is_a_convolution(model, originals):
    x, y, eps = originals.pixels[:4] / 255, originals.labels[:4], 4 / 255
    kernel = attacks.gaussian(15, 3.0)
    assert kernel.sum().item() == pytest.approx(1)
    assert kernel[7, 7] / kernel[7, 10] == pytest.approx(np.exp(0.5), rel=1e-5)  # 3 pixels are one sigma
    slope = attacks.gradient(model, x, y).numpy()
    smooth = np.stack([[scipy.ndimage.convolve(c, kernel.numpy(), mode="constant") for c in image] for image in slope])
    step = (attacks.tifgsm(model, x, y, eps) - x).numpy()
    inside = (np.abs(step) > 0.99 * eps) & (np.abs(smooth) > 1e-3 * np.abs(smooth).max())
    assert inside.mean() > 0.5
    assert (np.sign(step) == np.sign(smooth))[inside].all()


def test_diverse_inputs_are_enlarged_and_padded(originals):
    seen = []

    def spy(images):
        seen.append(images.shape[-1])
        return images.mean((2, 3))

    x, y = originals.pixels[:2] / 255, torch.zeros(2, dtype=torch.long)
    attacks.difgsm(spy, x, y, 0.05, steps=60, generator=torch.Generator().manual_seed(0))
    assert set(seen) == {64, 71}  # 64 * 330 / 299
    assert 15 < seen.count(71) < 45


@pytest.mark.slow(3)
def test_bpda_beats_a_zero_gradient(model, originals):
    """Behind a step function the true gradient is 0, and an attack that follows it moves nowhere."""
    x, y = originals.pixels[:24] / 255, originals.labels[:24]
    open_ = behind(model, 50)
    eps = 16 / 255
    with with_gradient(open_, "none"), pytest.raises(RuntimeError):
        attacks.gradient(open_, x, y)  # there is none at all
    kept = left(open_, x, y)
    attacked = left(open_, attacks.pgd(open_, x, y, eps, steps=20, step=eps / 5), y)
    assert attacked < kept - 0.3
    with with_gradient(open_, "cubic"):
        cubic = attacks.pgd(open_, x, y, eps, steps=20, step=eps / 5)
    assert left(open_, cubic, y) < kept - 0.3
    published = attacks.bpda(open_, x, y, eps=10.0, steps=100, rate=2.0)
    assert (published - x).flatten(1).norm(dim=1).max() <= 10 + 1e-4
    assert left(open_, published, y) < kept - 0.3


def test_expectation_averages_over_draws():
    class Coin(nn.Module):
        """Half of the time its gradient points the other way, three times less steeply."""

        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            score = x.mean((1, 2, 3)) * (3.0 if self.calls % 2 else -1.0)
            return torch.stack([score, -score], 1)

    x, y = torch.full((1, 3, 8, 8), 0.5), torch.zeros(1, dtype=torch.long)
    coin = Coin()
    mean = attacks.gradient(coin, x, y, attacks.margin, samples=10)
    assert coin.calls == 10
    torch.testing.assert_close(mean, torch.full_like(x, -2 * (3 - 1) / 2 / 192))


def test_the_members_loss_is_the_mean_of_theirs(model, originals):
    members = [nn.Sequential(nn.Flatten(), nn.Linear(12, 3)) for _ in range(3)]
    together = Ensemble([(one, None) for one in members])
    x, y = torch.rand(2, 3, 2, 2), torch.tensor([0, 2])
    expected = torch.stack([attacks.cross_entropy(one(x), y) for one in members]).mean(0)
    torch.testing.assert_close(attacks.LOSSES["members"](together.members(x), y), expected)
    pixels, labels = originals.pixels[:12] / 255, originals.labels[:12]
    twice = Ensemble([(model, None), (behind(model, 50), None)])
    found = attacks.pgd(twice, pixels, labels, 16 / 255, 20, 4 / 255, restarts=2, loss="members")
    assert left(twice, found, labels) <= left(twice, pixels, labels) - 0.3
    with pytest.raises(TypeError, match="'members' is for an Ensemble"):
        attacks.pgd(model, pixels, labels, 16 / 255, loss="members")


def test_towards_the_next_class():
    logits, labels = torch.rand(4, 3), torch.tensor([0, 1, 2, 2])
    torch.testing.assert_close(
        attacks.LOSSES["targeted"](logits, labels), -attacks.cross_entropy(logits, torch.tensor([1, 2, 0, 0]))
    )


def test_rounding_undoes_minimal_perturbations_and_scaling_brings_them_back(model, originals):
    x, y = originals.pixels[:24] / 255, originals.labels[:24]
    adversarial = minimal.deepfool(model, x, y)
    rounded = attacks.to_bytes(adversarial)
    scaled = minimal.survive_rounding(model, x, adversarial, y)
    assert scaled.dtype == torch.uint8
    assert left(model, adversarial, y) <= left(model, rounded / 255, y)
    assert left(model, scaled / 255, y) == 0
    already = model(rounded / 255).argmax(1) != y
    assert torch.equal(scaled[already], rounded[already])
