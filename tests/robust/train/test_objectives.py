"""What a training minimises: the losses of the paper and of what it is compared with."""

import pytest
import torch
from torch.nn import functional

from nnjpeg import NN_TABLE
from nnjpeg.robust import data
from nnjpeg.robust.attack import gradients as attacks
from nnjpeg.robust.defend.ensemble import input_transform
from nnjpeg.robust.defend.transforms import plain_jpeg
from nnjpeg.robust.train import chain
from nnjpeg.robust.train import photos as fitting
from nnjpeg.robust.train.objectives import Adversarial, Draws, Free, Noisy, Through, Vaccination
from nnjpeg.transforms import NNJpeg, nn_jpeg


@pytest.fixture(scope="module")
def batch():
    images = data.photos("train", 32)
    return images.pixels / 255, images.labels


@pytest.fixture
def model():
    return fitting.untrained(3).train()


def test_noisy_loss_is_equation_9(model, batch):
    images, labels = batch
    model.eval()  # so that the two terms do not see one another
    (loss,) = Noisy(30, noise=0.05, xi=0.7).losses(model, images, labels, Draws((1, 2)))
    compressed = nn_jpeg((images * 255).round().to(torch.uint8), NN_TABLE, quality=30) / 255
    noise = Draws((1, 2)).normal(*images.shape)
    assert abs(noise.std().item() - 1) < 0.01
    noisy = (compressed + 0.05 * noise).clamp(0, 1)
    expected = 0.7 * functional.cross_entropy(model(images), labels) + 0.3 * functional.cross_entropy(
        model(noisy), labels
    )
    torch.testing.assert_close(loss, expected)
    (without,) = Noisy(30, noise=0, xi=0).losses(model, images, labels, Draws((1, 2)))
    torch.testing.assert_close(without, functional.cross_entropy(model(compressed), labels))


def test_batch_norm_sees_both_terms_together(model, batch):
    images, labels = batch
    twin = fitting.untrained(3).train()
    list(Noisy(30, noise=0).losses(model, images, labels, Draws((0,))))
    compressed = nn_jpeg((images * 255).round().to(torch.uint8), NN_TABLE, quality=30) / 255
    twin(torch.cat([images, compressed]))
    for name, buffer in twin.named_buffers():
        assert torch.equal(model.get_buffer(name), buffer), name


def test_vaccination_sees_jpeg_alone(model, batch):
    images, labels = batch
    model.eval()
    (loss,) = Vaccination(40).losses(model, images, labels, Draws((0,)))
    pixels = plain_jpeg(40)((images * 255).round().to(torch.uint8))
    torch.testing.assert_close(loss, functional.cross_entropy(model(pixels / 255), labels))


@pytest.mark.parametrize("objective", [Adversarial.fast(8 / 255), Adversarial.pgd(8 / 255)], ids=["fast", "pgd"])
def test_adversarial_training_trains_on_an_attack(model, batch, objective):
    images, labels = batch
    seen = []
    model.eval().register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    (loss,) = objective.losses(model, images, labels, Draws((0,)))
    assert len(seen) == objective.steps + 1
    start, end = seen[0], seen[-1]
    for x in (start, end):
        assert (x - images).abs().max() <= 8 / 255 + 1e-6
        assert 0 <= x.min() <= x.max() <= 1
    assert loss > functional.cross_entropy(model(start), labels)
    assert loss.requires_grad


def test_fast_takes_one_step_of_five_quarters_of_eps(model, batch):
    images, labels = batch
    model.eval()
    seen = []
    model.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    list(Adversarial.fast(4 / 255).losses(model, images, labels, Draws((5,))))
    start = attacks.project(images + 4 / 255 * (2 * Draws((5,)).uniform(*images.shape) - 1), images, 4 / 255)
    torch.testing.assert_close(seen[0], start)
    leaf = start.clone().requires_grad_()
    gradient = torch.autograd.grad(functional.cross_entropy(model(leaf), labels), leaf)[0]
    expected = attacks.project(start + 5 / 255 * gradient.sign(), images, 4 / 255)
    assert ((seen[1] - expected).abs() < 1e-6).float().mean() > 0.999  # but for gradients that are 0 to rounding


def test_free_replays_with_a_growing_perturbation(model, batch):
    images, labels = batch
    eps, objective, seen = 4 / 255, Free(4 / 255, replays=3), []
    model.eval().register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    expected = torch.zeros_like(images)
    for turn, loss in enumerate(objective.losses(model, images, labels, Draws((0,)))):
        torch.testing.assert_close(seen[turn], (images + expected).clamp(0, 1))
        leaf = expected.clone().requires_grad_()
        gradient = torch.autograd.grad(
            functional.cross_entropy(fitting.untrained(3).eval()((images + leaf).clamp(0, 1)), labels), leaf
        )[0]
        expected = (expected + eps * gradient.sign()).clamp(-eps, eps)
        loss.backward()
    assert turn == 2
    kept = objective.state()["delta"]
    torch.testing.assert_close(kept, expected)
    assert kept.abs().max() <= eps
    next(objective.losses(model, images, labels, Draws((0,))))
    torch.testing.assert_close(seen[-1], (images + kept).clamp(0, 1))  # it goes on from batch to batch


def test_random_numbers_are_the_batchs_not_the_processs():
    whole = Draws((7, 1)).normal(8, 3)
    halves = [Draws((7, 1), share=share, shares=2).normal(4, 3) for share in range(2)]
    assert torch.equal(torch.cat(halves), whole)
    assert not torch.equal(Draws((7, 2)).normal(8, 3), whole)
    uniform = Draws((0,)).uniform(4096)
    assert 0 <= uniform.min() < 0.01 < 0.99 < uniform.max() < 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Noisy(0, 0.1), "quality must be an integer in 1..100, got 0"),
        (lambda: Noisy(50, -1), "noise must be at least 0, got -1"),
        (lambda: Noisy(50, 0.1, xi=1.5), r"xi must be in 0..1, got 1.5"),
        (lambda: Vaccination(101), "quality must be an integer in 1..100, got 101"),
        (lambda: Free(0.1, 0), "replays must be an integer in 1..1000, got 0"),
        (lambda: chain.noisy([30, 40], noise=0.1), r"qualities must fall .* got \[30, 40\]"),
        (lambda: chain.noisy([30, 30], noise=0.1), r"qualities must fall"),
        (lambda: chain.noisy([], noise=0.1), r"qualities must fall"),
    ],
)
def test_objectives_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("make", [Adversarial.fast, Free], ids=["fast", "free"])
def test_adversarial_training_through_nn_jpeg(make, model, batch):
    """The model sees exact bits, the attack a gradient through the smooth rounding."""
    images, labels = batch
    through = Through(30)
    objective = make(8 / 255, through=through)
    model.eval()
    seen, slopes = [], []

    def keep(module, inputs):
        seen.append(inputs[0].detach())

    model.register_forward_pre_hook(keep)
    for loss in objective.losses(model, images, labels, Draws((0,))):
        loss.backward()
    exact = [(255 * one).round() for one in seen]
    assert all(torch.allclose(255 * one, whole, atol=1e-3) for one, whole in zip(seen, exact, strict=True))
    # A second time through NN-JPEG changes next to nothing, of what has not been through it nearly everything.
    again = nn_jpeg(exact[0].byte(), quality=30).float()
    assert (again != exact[0]).float().mean() < 0.1
    assert (nn_jpeg((images * 255).byte(), quality=30).float() != images * 255).float().mean() > 0.3
    transform = input_transform({"stage": objective.facts()})
    assert torch.equal(transform(images), through.transform(images))
    x = images[:2].clone().requires_grad_()
    for gradient in ("cubic", "straight-through"):
        layer = NNJpeg(quality=30, gradient=gradient)
        slopes.append(torch.autograd.grad(functional.cross_entropy(model(layer(x)), labels[:2]), x)[0])
    attacked = through.before(model)
    found = torch.autograd.grad(functional.cross_entropy(attacked(x), labels[:2]), x)[0]
    scale = slopes[0].abs().max()
    assert (found - slopes[0]).abs().max() < 1e-3 * scale
    assert (found - slopes[1]).abs().max() > 0.1 * scale
