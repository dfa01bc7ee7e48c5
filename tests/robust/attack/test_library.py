"""AutoAttack through our functions: its authors' attacks as they are; around them, what would overstate."""

import importlib
import sys

import pytest
import torch
from torch import nn

from nnjpeg import QTable
from nnjpeg.robust.attack import gradients, library
from nnjpeg.robust.defend.ensemble import Ensemble

EPS = 5 / 255
NAMES = ("apgd_ce", "apgd_dlr", "apgd_t", "fab_t", "square")
BY_GRADIENT = NAMES[:4]


def run(name, *args, eps=EPS, length=10, **options):
    length = {"queries": 10 * length} if name == "square" else {"steps": length}
    return getattr(library, name)(*args, eps, **length, **options)


def theirs(name, model, x, y, steps=10, eps=EPS, seed=3, **options):
    """The package's own attack, and nothing around it."""
    kind, module, common = {
        "apgd_ce": ("APGDAttack", "autopgd_base", {"n_iter": steps, "loss": "ce"}),
        "apgd_dlr": ("APGDAttack", "autopgd_base", {"n_iter": steps, "loss": "dlr"}),
        "apgd_t": ("APGDAttack_targeted", "autopgd_base", {"n_iter": steps, "n_target_classes": 4}),
        "fab_t": ("FABAttack_PT", "fab_pt", {"n_iter": steps, "targeted": True, "n_target_classes": 4}),
        "square": ("SquareAttack", "square", {"n_queries": 10 * steps, "resc_schedule": False}),
    }[name]
    attack = getattr(importlib.import_module(f"pyautoattack.{module}"), kind)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        found = attack(model, eps=eps, seed=seed, **{**common, **options}).perturb(x.clone(), y)
    model.zero_grad()  # FAB leaves gradients
    return found


class Logits(nn.Module):
    """A linear model of `classes`, whose weights have gradients of their own."""

    def __init__(self, classes):
        super().__init__()
        generator = torch.Generator().manual_seed(classes)
        self.weight = nn.Parameter(torch.randn(48, classes, generator=generator))

    def forward(self, x):
        return (x - 0.5).flatten(1) @ self.weight


def labelled(model, count=24):
    """Random images with the labels that the model gives them."""
    x = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return x, model(x).argmax(1)


@pytest.mark.parametrize("name", NAMES)
def test_they_are_the_packages_own(textured, name):
    """With the same seed the same images, bit by bit but for FAB's last."""
    model, x, y = textured
    expected = theirs(name, model, x, y)
    assert (expected != x).any()
    assert (expected[:, 0, 0, 0] == x[:, 0, 0, 0]).any()
    torch.testing.assert_close(run(name, model, x, y, seed=3), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["apgd_ce", "apgd_dlr", "apgd_t"])
def test_restarts_and_samples_are_the_packages_own(textured, name):
    """The model is asked as often as by the package itself, with which the images agree; beforehand more often."""
    model, x, y = textured
    followed = Counted(model)
    expected = theirs(name, followed, x, y, steps=2, n_restarts=3, eot_iter=4)
    asked, followed.calls = followed.calls, 0
    found = run(name, followed, x, y, length=2, seed=3, restarts=3, samples=4)
    assert followed.calls == asked
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


class Counted(nn.Module):
    """It counts how often it is asked for a gradient."""

    def __init__(self, model):
        super().__init__()
        self.model, self.calls = model, 0

    def forward(self, x):
        self.calls += torch.is_grad_enabled()
        return self.model(x)


@pytest.mark.parametrize("name", NAMES)
def test_they_keep_to_their_bounds_and_to_themselves(textured, capsys, name):
    """In the ball and in [0, 1], float32; the random state, the weights and the images are as they were; no output."""
    model, x, y = textured
    x = x.clone()
    x[:30, :, :8] = torch.arange(30)[:, None, None, None] % 2  # samples on the bounds
    before, state = x.clone(), torch.get_rng_state()
    learning = [parameter.requires_grad for parameter in model.parameters()]
    found = run(name, model, x, y)
    assert (found - x).abs().max() <= EPS + 1e-7
    assert 0 <= found.min() <= found.max() <= 1
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [parameter.requires_grad for parameter in model.parameters()] == learning
    assert any(learning)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", NAMES)
def test_an_image_that_is_not_fooled_comes_back(textured, name):
    """Also what is labelled wrong already, alone or with others, and no image at all."""
    model, x, y = textured
    y = y.clone()
    y[:10] = (y[:10] + 1) % 5
    found = run(name, model, x, y)
    changed = (found != x).flatten(1).any(1)
    with torch.no_grad():
        right, fooled = model(x).argmax(1) == y, model(found).argmax(1) != y
    assert changed.any()
    assert not changed[~right].any()
    assert torch.equal(changed, right & fooled)
    assert torch.equal(run(name, model, x[:10], y[:10]), x[:10])
    assert run(name, model, x[:0], y[:0]).shape == (0, 3, 32, 32)
    assert run(name, model, x[20:21], y[20:21]).shape == (1, 3, 32, 32)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides(textured, name):
    model, x, y = textured
    options = {"eps": 24 / 255, "length": 3}
    first = run(name, model, x, y, **options)
    torch.rand(5)
    assert torch.equal(run(name, model, x, y, **options), first)
    if name != "fab_t":  # it begins at the image
        assert not torch.equal(run(name, model, x, y, seed=1, **options), first)


@pytest.mark.parametrize("name", NAMES)
def test_in_every_mode(textured, name):
    """What the caller says about gradients changes nothing, and stays."""
    model, x, y = textured
    expected = run(name, model, x, y)
    with torch.inference_mode():
        assert torch.equal(run(name, model, x.clone(), y.clone()), expected)
        assert torch.is_inference_mode_enabled()
    with torch.no_grad():
        assert torch.equal(run(name, model, x, y), expected)
    torch.testing.assert_close(run(name, model, x.double(), y), expected)


def test_they_break_an_undefended_model(textured, left):
    """To nothing at eps 8/255."""
    model, x, y = textured
    assert left(model, x, y) >= 0.9
    for name in ("apgd_ce", "apgd_t", "fab_t"):
        assert left(model, run(name, model, x, y, eps=8 / 255, length=40), y) <= 0.07
    assert left(model, run("square", model, x, y, eps=24 / 255, length=30), y) <= 0.3


def test_on_photographs_they_leave_no_more_than_pgd(model, originals, left):
    """Where half withstand because their colours tell them apart, all agree on which."""
    x, y = originals.pixels / 255, originals.labels
    pgd = left(model, gradients.pgd(model, x, y, 8 / 255, steps=20, step=2 / 255), y)
    assert pgd < 0.7
    assert left(model, run("apgd_ce", model, x, y, eps=8 / 255, length=20), y) <= pgd + 0.02
    assert left(model, run("apgd_ce", model, x, y, eps=32 / 255, length=20), y) == 0


def test_the_smooth_gradient_unmasks_a_coarse_table(textured, left, behind):
    """Behind the table that Algorithm 1 picks, APGD through the identity leaves what it finds through the cubic."""
    model, x, y = textured
    table = QTable.nn(1, 16, 121)
    remaining = {
        gradient: left(
            behind(model, table), run("apgd_ce", behind(model, table, gradient), x, y, eps=8 / 255, length=30), y
        )
        for gradient in ("straight-through", "cubic")
    }
    assert remaining["straight-through"] >= 0.2
    assert remaining["cubic"] <= remaining["straight-through"] / 2


def test_square_finds_more_than_with_shrinking_squares(textured, left):
    """At equal queries, at least as much as the package's class by its own defaults, whose squares shrink faster."""
    model, x, y = textured
    for steps in (5, 20):
        own = left(model, theirs("square", model, x, y, steps=steps, resc_schedule=True), y)
        assert left(model, run("square", model, x, y, length=steps), y) <= own


def test_square_goes_on_at_ties():
    """A lead of 0 is no success where the label still comes first: the package stops there, or asks about nothing."""

    class Coarse(Logits):
        def forward(self, x):
            assert len(x)
            return (super().forward(x) / 4).round()

    coarse = Coarse(3)
    x, y = labelled(coarse, 200)
    with torch.no_grad():
        scores = coarse(x).sort(1).values
    assert ((scores[:, -1] == scores[:, -2]).sum()) > 10
    found = library.square(coarse, x, y, 0.2, queries=60)
    own = theirs("square", coarse, x, y, steps=6, eps=0.2, seed=0)
    with torch.no_grad():
        assert (coarse(found).argmax(1) != y).sum() > (coarse(own).argmax(1) != y).sum() + 10


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [2, 3, 4, 10, 12])
def test_any_number_of_classes(name, classes):
    """They all find what a linear model cannot withstand, with fewer classes than their losses were made for too."""
    model = Logits(classes)
    x, y = labelled(model)
    found = run(name, model, x, y, eps=0.25, length=20)
    with torch.no_grad():
        assert (model(found).argmax(1) == y).float().mean() <= 0.1


@pytest.mark.parametrize("name", ["apgd_t", "fab_t"])
@pytest.mark.parametrize(("classes", "expected"), [(2, 1), (3, 2), (5, 4), (10, 9), (14, 9)])
def test_targets_are_all_other_classes_or_the_nine_likeliest(monkeypatch, name, classes, expected):
    made = []
    monkeypatch.setattr(library, "_of_package", lambda kind, model, **options: made.append(options) or Unmoved())
    model = Logits(classes)
    run(name, model, *labelled(model))
    assert made[0]["n_target_classes"] == expected


class Unmoved:
    def perturb(self, x, y):
        return x


@pytest.fixture
def committee(textured):
    """Two members that disagree: one sure, one not; with images that both label right."""
    model, x, y = textured
    generator = torch.Generator().manual_seed(0)
    other = nn.Sequential(nn.Conv2d(3, 3, 1), model)
    with torch.no_grad():
        other[0].weight.copy_(torch.eye(3)[:, :, None, None] + torch.randn(3, 3, 1, 1, generator=generator) / 2)
        other[0].bias.zero_()
        ensemble = Ensemble([(model, None), (Sure(other), None)]).eval()
        right = ensemble(x).argmax(1) == y
    return ensemble, x[right], y[right]


class Sure(nn.Sequential):
    def forward(self, x):
        return 4 * super().forward(x)


@pytest.mark.parametrize("name", BY_GRADIENT)
@pytest.mark.parametrize("view", ["output", "logits", "members"])
def test_every_view(committee, left, name, view):
    """Each fools the ensemble's output, by which alone it is judged."""
    ensemble, x, y = committee
    found = run(name, ensemble, x, y, eps=8 / 255, length=20, view=view)
    assert left(ensemble, found, y) <= 0.4
    changed = (found != x).flatten(1).any(1)
    with torch.no_grad():
        assert torch.equal(changed, ensemble(found).argmax(1) != y)


@pytest.mark.parametrize("view", ["logits", "members"])
def test_a_view_changes_what_is_followed(committee, view):
    """APGD of no length ends where its loss is highest: the mean of the members', which is not that of their mean."""
    ensemble, x, y = committee
    seen = []

    def spy(images):
        out = gradients.viewed(ensemble, view)(images)
        if out.requires_grad:
            out.register_hook(lambda slope: seen.append(slope.clone()))
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "viewed", lambda model, name: spy)
        library.apgd_ce(ensemble, x, y, 8 / 255, steps=1, view=view)
    ones = nn.functional.one_hot(y, 5).float()
    if view == "members":
        assert torch.equal(seen[0], -ones)  # the likelihood itself, without a second softmax
    else:
        assert ((seen[0] + ones) >= 0).all()
        torch.testing.assert_close(seen[0].sum(1), torch.zeros(len(y)), rtol=0, atol=1e-5)


def test_a_view_needs_members(textured):
    model, x, y = textured
    for name in BY_GRADIENT:
        with pytest.raises(TypeError, match="view 'members' is for an Ensemble, not for a _Textured"):
            run(name, model, x, y, view="members")
        with pytest.raises(ValueError, match="view must be 'output', 'logits' or 'members', got 'all'"):
            run(name, model, x, y, view="all")


class Wavering(nn.Module):
    """A random model: noise on its logits makes it label now and then wrong."""

    def __init__(self, model, scale):
        super().__init__()
        self.model, self.scale = model, scale

    def forward(self, x):
        logits = self.model(x)
        return logits + self.scale * torch.randn_like(logits)


def test_random_models_are_attacked_by_their_mean(textured):
    """By one draw many images are wrong already, and so are not attacked; by the mean of several few are."""
    model, x, y = textured
    with torch.no_grad():
        random = Wavering(model, -gradients.margin(model(x), y).median())
    attacked = []
    for samples in (1, 40):
        found = library.apgd_ce(random, x, y, 16 / 255, steps=5, samples=samples)
        attacked.append(int((found != x).flatten(1).any(1).sum()))
    with torch.no_grad():
        right = sum(float((random(x).argmax(1) == y).sum()) for _ in range(40)) / 40
    assert abs(attacked[0] - right) <= 8  # asked once, not twice
    assert attacked[1] >= right + 6


def test_a_random_models_label_is_no_target(monkeypatch, textured):
    """Where one draw ranks the classes, the label is among the targets, and that descent stands still."""
    from pyautoattack import autopgd_base

    model, x, y = textured
    with torch.no_grad():
        random = Wavering(model, -gradients.margin(model(x), y).median())
    targets = []

    def record(attack, images, labels):
        targets.append(float((attack.y_target == labels).float().mean()))
        return images, torch.ones_like(labels), labels, images

    monkeypatch.setattr(autopgd_base.APGDAttack_targeted, "attack_single_run", record)
    library.apgd_t(random, x, y, EPS)
    by_one_draw = max(targets)
    assert by_one_draw > 0.1
    targets.clear()
    library.apgd_t(random, x, y, EPS, samples=40)
    assert max(targets) < by_one_draw / 3


def test_random_models_are_decided_by_the_seed(textured):
    model, x, y = textured
    random = Wavering(model, 1.0)
    first = library.apgd_ce(random, x, y, EPS, steps=3, samples=2)
    torch.rand(5)
    assert torch.equal(library.apgd_ce(random, x, y, EPS, steps=3, samples=2), first)


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_zero_and_broken_gradients(name):
    """No warning, no NaN, and what is not fooled comes back."""

    class Flat(Logits):
        def forward(self, x):
            return super().forward(x).detach() + 0 * x.sum()

    class Broken(Logits):
        def forward(self, x):
            return super().forward(x) + 0 * (x - x.detach()).sqrt().sum()  # the root's gradient at 0 is infinite

    for model in (Flat(5), Broken(5)):
        x, y = labelled(model)
        found = run(name, model, x, y, eps=0.01)
        assert found.isfinite().all()
        assert (found - x).abs().max() <= 0.01 + 1e-7


@pytest.mark.parametrize(("option", "value"), [("steps", 0), ("restarts", 0), ("samples", 0), ("steps", 1.5)])
def test_options_are_checked(textured, option, value):
    with pytest.raises((TypeError, ValueError), match=f"{option} must be an integer in 1"):
        library.apgd_ce(*textured, EPS, **{option: value})


def test_queries_are_checked(textured):
    with pytest.raises(ValueError, match="queries must be an integer in 1"):
        library.square(*textured, EPS, queries=0)


def test_a_missing_package_is_named(monkeypatch, textured):
    monkeypatch.setitem(sys.modules, "pyautoattack", None)
    for module in ("autopgd_base", "fab_pt", "square"):
        monkeypatch.delitem(sys.modules, f"pyautoattack.{module}", raising=False)
    for name in NAMES:
        with pytest.raises(ImportError, match=r"pip install 'nnjpeg\[robust\]'"):
            run(name, *textured)
