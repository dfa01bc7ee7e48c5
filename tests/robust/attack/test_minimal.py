"""Attacks that look for the least perturbation, and what 8 bits leave of it."""

import torch

from nnjpeg.robust.attack import gradients as attacks
from nnjpeg.robust.attack import minimal


def test_they_break_the_undefended_model(model, originals, left):
    x, y = originals.pixels[:8] / 255, originals.labels[:8]
    assert left(model, x, y) == 1
    assert left(model, minimal.deepfool(model, x, y), y) == 0
    assert left(model, minimal.carlini_wagner(model, x, y, steps=60), y) == 0


def test_rounding_undoes_minimal_perturbations_and_scaling_brings_them_back(model, originals, left):
    x, y = originals.pixels[:24] / 255, originals.labels[:24]
    adversarial = minimal.deepfool(model, x, y)
    rounded = attacks.to_bytes(adversarial)
    scaled = minimal.survive_rounding(model, x, adversarial, y)
    assert scaled.dtype == torch.uint8
    assert left(model, adversarial, y) <= left(model, rounded / 255, y)
    assert left(model, scaled / 255, y) == 0
    already = model(rounded / 255).argmax(1) != y
    assert torch.equal(scaled[already], rounded[already])
