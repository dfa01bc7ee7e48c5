"""Attacks by gradients that do what they say: in their ball, as strong as a library's, stronger than weaker ones."""

import foolbox
import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import nn

from nnjpeg import QTable
from nnjpeg.robust.attack import gradients as attacks
from nnjpeg.robust.defend.ensemble import Ensemble

LINF = {
    "fgsm": attacks.fgsm,
    "ifgsm": attacks.ifgsm,
    "pgd": lambda m, x, y, eps: attacks.pgd(m, x, y, eps, steps=20, step=eps / 5),
    "tifgsm": attacks.tifgsm,
    "difgsm": attacks.difgsm,
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


def test_a_large_eps_breaks_the_undefended_model(model, originals, left):
    x, y = originals.pixels / 255, originals.labels
    assert left(model, x, y) == 1
    assert left(model, attacks.pgd(model, x, y, 64 / 255, steps=40, step=8 / 255), y) <= 0.03
    assert left(model, attacks.ifgsm(model, x, y, 64 / 255, steps=40), y) <= 0.05
    assert left(model, attacks.bpda(model, x[:16], y[:16], eps=20.0, steps=150, rate=50.0), y[:16]) <= 0.1


def test_iterations_beat_a_single_step(model, originals, left):
    x, y = originals.pixels / 255, originals.labels
    for eps in (4 / 255, 8 / 255):
        one = left(model, attacks.fgsm(model, x, y, eps), y)
        many = left(model, attacks.pgd(model, x, y, eps, steps=20, step=eps / 5), y)
        assert many <= one
        assert left(model, attacks.pgd(model, x, y, eps, steps=20, step=eps / 5, loss="margin"), y) <= one + 0.05


def test_ours_agree_with_foolboxs(model, originals, left):
    """The same steps from the same start are the same attack; random starts differ by sampling error."""
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


def test_bpda_beats_a_zero_gradient(model, originals, left, behind):
    """Behind a step function the true gradient is 0, and an attack that follows it moves nowhere."""
    x, y = originals.pixels[:24] / 255, originals.labels[:24]
    open_ = behind(model, quality=50)
    eps = 16 / 255
    assert not attacks.gradient(behind(model, quality=50, gradient="none"), x, y).any()  # there is none at all
    kept = left(open_, x, y)
    attacked = left(open_, attacks.pgd(open_, x, y, eps, steps=20, step=eps / 5), y)
    assert attacked < kept - 0.3
    cubic = attacks.pgd(behind(model, quality=50, gradient="cubic"), x, y, eps, steps=20, step=eps / 5)
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


@pytest.fixture
def committee():
    """An ensemble of three small networks that do not agree, with images and labels."""
    torch.manual_seed(0)
    members = [nn.Sequential(nn.Flatten(), nn.Linear(12, 3)) for _ in range(3)]
    for member in members:
        member[1].weight.data *= 9
    return Ensemble([(one, None) for one in members]), torch.rand(6, 3, 2, 2), torch.arange(6) % 3


def test_views_of_an_ensemble(committee):
    """Its output, the mean logits, and what makes the loss the mean of the members'."""
    ensemble, x, y = committee
    every = [model(x) for model in ensemble.models]
    assert attacks.viewed(ensemble, "output") is ensemble
    torch.testing.assert_close(attacks.viewed(ensemble, "logits")(x), sum(every) / 3)
    losses = torch.stack([attacks.cross_entropy(one, y) for one in every])
    torch.testing.assert_close(attacks.likelihood(attacks.viewed(ensemble, "members")(x), y), losses.mean(0))


@pytest.mark.parametrize("loss", ["cross-entropy", "targeted"])
@pytest.mark.parametrize("view", ["output", "logits", "members"])
def test_pgd_follows_what_it_is_told_to(committee, view, loss):
    """One step is along the sign of the gradient of that loss, written out here."""
    ensemble, x, y = committee
    found = attacks.pgd(ensemble, x, y, 0.1, 1, 1.0, loss=loss, view=view, generator=torch.Generator().manual_seed(0))
    start = x + 0.1 * (torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    leaf = start.clamp(0, 1).requires_grad_()
    wanted, sign = y, 1
    if loss == "targeted":  # the first target; an image that it fools stays
        wanted, sign = ensemble(x).scatter(1, y[:, None], -torch.inf).argmax(1), -1
    every = [model(leaf) for model in ensemble.models]
    value = {
        "output": lambda: nn.functional.nll_loss((sum(one.softmax(1) for one in every) / 3).log(), wanted),
        "logits": lambda: nn.functional.cross_entropy(sum(every) / 3, wanted),
        "members": lambda: sum(nn.functional.cross_entropy(one, wanted) for one in every),
    }[view]()
    expected = (x + 0.1 * sign * torch.autograd.grad(value, leaf)[0].sign()).clamp(0, 1)
    done = torch.ones(6, dtype=torch.bool) if loss != "targeted" else ensemble(expected).argmax(1) != y
    assert done.any()
    torch.testing.assert_close(found[done], expected[done])


def test_a_view_is_of_an_ensemble(textured):
    model, x, y = textured
    for view in ("logits", "members"):
        with pytest.raises(TypeError, match=f"view '{view}' is for an Ensemble, not for a _Textured"):
            attacks.pgd(model, x, y, 8 / 255, view=view)
    with pytest.raises(ValueError, match="view must be 'output', 'logits' or 'members', got 'all'"):
        attacks.pgd(model, x, y, 8 / 255, view="all")
    for loss in ("members", "foo"):
        with pytest.raises(ValueError, match=f"loss must be one of cross-entropy, margin, dlr, targeted, got '{loss}'"):
            attacks.pgd(model, x, y, 8 / 255, loss=loss)


def test_dlr():
    """A share of the lead of the first over the third, whatever the scale; of two classes, the margin."""
    logits = torch.tensor([[5.0, 1.0, 2.0, -7.0], [1.0, 5.0, 3.0, 0.0]])
    labels = torch.tensor([0, 2])
    torch.testing.assert_close(attacks.dlr(logits, labels), torch.tensor([-3 / 4, 2 / 4]))
    torch.testing.assert_close(attacks.dlr(100 * logits + 7, labels), attacks.dlr(logits, labels))
    torch.testing.assert_close(attacks.dlr(logits[:, :2], labels % 2), torch.tensor([-4.0, 4.0]))


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_targets_are_the_likeliest_wrong_classes(classes):
    """All others, or nine; one after another, for the images that are still labelled right."""
    asked = []

    class Stubborn(nn.Module):
        def forward(self, x):
            scores = torch.arange(float(classes)).expand(len(x), classes) + 0 * x.sum((1, 2, 3))[:, None]
            if x.requires_grad:
                scores.register_hook(lambda slope: asked.append(slope.argmax(1).tolist()))
            return scores

    x, y = torch.rand(2, 3, 4, 4), torch.full((2,), classes - 1)
    wrong = list(range(classes - 2, -1, -1))[:9]
    torch.testing.assert_close(attacks.likeliest_wrong(Stubborn(), x, y), torch.tensor(wrong)[:, None].expand(-1, 2))
    attacks.pgd(Stubborn(), x, y, 0.1, steps=1, restarts=2, loss="targeted")
    # The loss rises most with the target's logit; the second call of each pair is for gradients of 0, of the margin.
    assert asked[::2] == [[target] * 2 for target in wrong for _ in range(2)]


@pytest.mark.parametrize("loss", ["cross-entropy", "margin", "dlr", "targeted"])
def test_every_loss_breaks_an_undefended_model(textured, left, loss):
    model, x, y = textured
    assert left(model, x, y) >= 0.9
    options = {"steps": 20, "step": 4 / 255, "loss": loss}
    found = attacks.pgd(model, x, y, 16 / 255, generator=torch.Generator().manual_seed(0), **options)
    assert left(model, found, y) <= 0.05
    again = attacks.pgd(model, x, y, 16 / 255, generator=torch.Generator().manual_seed(0), **options)
    assert torch.equal(found, again)
    other = attacks.pgd(model, x, y, 16 / 255, generator=torch.Generator().manual_seed(1), **options)
    assert not torch.equal(found, other)


def test_targets_find_at_least_what_one_of_them_finds(textured, left):
    """What a target has fooled is not attacked again."""
    model, x, y = textured
    options = {"steps": 20, "step": 2 / 255}
    every = attacks.pgd(model, x, y, 5 / 255, loss="targeted", generator=torch.Generator().manual_seed(0), **options)
    first = attacks.towards(attacks.likeliest_wrong(model, x, y)[0])
    one = attacks.pgd(model, x, y, 5 / 255, loss=first, generator=torch.Generator().manual_seed(0), **options)
    with torch.no_grad():
        fooled = model(one).argmax(1) != y
    assert fooled.any()
    assert torch.equal(every[fooled], one[fooled])
    assert left(model, every, y) < left(model, one, y)


def test_the_gradient_through_a_coarse_table_is_masked(textured, left, behind):
    """Behind a coarse table the identity leaves what the smooth rounding finds."""
    model, x, y = textured
    remaining = {
        gradient: left(
            behind(model, QTable.nn(1, 16, 121)),
            attacks.pgd(
                behind(model, QTable.nn(1, 16, 121), gradient), x, y, 8 / 255, 30, 2 / 255,
                generator=torch.Generator().manual_seed(0),
            ),
            y,
        )
        for gradient in ("straight-through", "cubic")
    }  # fmt: skip
    assert remaining["cubic"] <= remaining["straight-through"] - 0.15


class Dithered(nn.Module):
    """A random model: it labels right three times of four, whatever the image."""

    def forward(self, x):
        sure = torch.rand(len(x)) < 0.75
        score = torch.where(sure, 1.0, -1.0) + 0 * x.sum((1, 2, 3))
        return torch.stack([score, -score], 1)


def test_a_lucky_draw_does_not_end_an_attack_on_a_random_model():
    """With one draw, restarts leave out what it happens to mislabel; the mean of several labels nearly all right."""
    x, y = torch.rand(400, 3, 2, 2), torch.zeros(400, dtype=torch.long)
    attacked = []

    def counting(logits, labels):
        attacked.append(len(labels))
        return attacks.cross_entropy(logits, labels)

    torch.manual_seed(0)
    for samples, least, most in ((1, 260, 340), (40, 396, 400)):
        attacked.clear()
        attacks.pgd(Dithered(), x, y, 0.1, steps=1, restarts=2, loss=counting, samples=samples)
        assert attacked[0] == 400
        assert least <= min(attacked[samples:]) <= most


def test_the_step_of_ifgsm(originals, model):
    """By default eps / steps; with the paper's, eps, the second step may go from one side of the ball to the other."""
    x, y, eps = originals.pixels[:4] / 255, originals.labels[:4], 8 / 255
    torch.testing.assert_close(
        attacks.ifgsm(model, x, y, eps, steps=4), attacks.ifgsm(model, x, y, eps, steps=4, step=eps / 4)
    )
    inside = (x > eps) & (x < 1 - eps)
    by_eps = (attacks.ifgsm(model, x, y, eps, steps=2, step=eps) - x)[inside].abs()
    assert ((by_eps < 1e-6) | (by_eps > 0.999 * eps)).all()


class Certain(nn.Module):
    """A linear model; with a large scale its cross-entropy has no gradient in single precision."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, images):
        score = images.mean((1, 2, 3)) - 0.5
        return self.scale * torch.stack([score, -score], 1)


@pytest.mark.parametrize("scale", [1.0, 1e5])
@pytest.mark.parametrize("name", LINF)
def test_a_model_that_is_too_sure_is_attacked_all_the_same(name, scale):
    images, labels = torch.full((4, 3, 8, 8), 0.52), torch.zeros(4, dtype=torch.long)
    adversarial = LINF[name](Certain(scale), images, labels, 0.05)
    assert Certain(scale)(adversarial).argmax(1).tolist() == [1] * 4


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


@pytest.mark.parametrize("loss", ["margin", "targeted"])
def test_stopping_early_loses_no_image(model, originals, behind, loss):
    """What is labelled wrong in 8 bits is left as it is, and asked no more; the others are attacked to the end."""
    asked = []

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = behind(model, quality=50)

        def forward(self, images):
            asked.append(len(images))
            return self.inner(images)

    x, y, eps = originals.pixels[:24] / 255, originals.labels[:24], 8 / 255
    left, count = {}, {}
    for stop in (False, True):
        asked.clear()
        options = {"steps": 15, "step": eps / 4, "loss": loss, "generator": torch.Generator().manual_seed(0)}
        found = attacks.pgd(Counting(), x, y, eps, stop=stop, **options)
        assert (found - x).abs().max() <= eps + 1e-6
        with torch.no_grad():
            left[stop] = int((Counting()(attacks.to_bytes(found) / 255).argmax(1) == y).sum())
        count[stop] = sum(asked)
    assert left[True] <= left[False] < 24
    assert loss == "targeted" or count[True] < count[False]


@pytest.mark.parametrize("size", [(40, 40), (24, 48), (48, 24)])
def test_diverse_inputs_of_models_of_one_size_and_of_other_proportions(size):
    seen = set()

    def any_size(images):
        seen.add(tuple(images.shape[2:]))
        return images.mean((2, 3))

    x, y, eps = torch.rand(3, 3, *size), torch.zeros(3, dtype=torch.long), 0.05
    generator = torch.Generator().manual_seed(0)
    assert (attacks.difgsm(any_size, x, y, eps, steps=20, generator=generator) - x).abs().max() <= eps + 1e-6
    (larger,) = seen - {size}
    assert larger[0] / size[0] == pytest.approx(330 / 299, rel=0.04)
    assert larger[1] / size[1] == pytest.approx(330 / 299, rel=0.04)

    one_size = nn.Sequential(nn.Flatten(), nn.Linear(3 * size[0] * size[1], 3))
    adversarial = attacks.difgsm(one_size, x, y, eps, steps=20, generator=generator)
    assert (adversarial - x).abs().max() <= eps + 1e-6
    with torch.no_grad():
        before, after = (nn.functional.cross_entropy(one_size(z), y) for z in (x, adversarial))
    assert after > before
