import math

import pytest
import torch
from torch import nn

from nnjpeg import NN_TABLE
from nnjpeg.transforms import NNJpeg


@pytest.fixture(scope="session")
def left():
    """The share of images that a model labels right."""

    def left(model, images, labels):
        with torch.no_grad():
            return (model(images).argmax(1) == labels).float().mean().item()

    return left


@pytest.fixture(scope="session")
def behind():
    """A function that puts a model behind NN-JPEG with a table, or with the paper's at a quality."""

    def behind(model, table=NN_TABLE, gradient="straight-through", quality=None):
        return nn.Sequential(NNJpeg(table, quality=quality, gradient=gradient), model)

    return behind


def _textures(count, generator, size=32, classes=5):
    """Faint waves on plain colours, with noise, in bytes as floats in [0, 1]: the class is their direction."""
    labels = torch.arange(count) % classes
    angle = (math.pi / classes * labels)[:, None, None]
    pixel = torch.arange(size)
    along = angle.cos() * pixel + angle.sin() * pixel[:, None]
    phase, strength = torch.rand(2, count, 1, 1, generator=generator)
    wave = (0.5 + strength) * torch.sin(2 * math.pi * (0.1 * along + phase))
    colour = 0.3 + 0.4 * torch.rand(count, 3, 1, 1, generator=generator)
    noise = torch.randn(count, 3, size, size, generator=generator)
    images = colour + 0.06 * wave[:, None] + 0.03 * noise
    return (images.clamp(0, 1) * 255).round() / 255, labels


class _Textured(nn.Sequential):
    def forward(self, images):
        return super().forward(images - 0.5)


@pytest.fixture(scope="session")
def textured():
    """A network that tells faint textures apart, with 60 images and their labels: it has nothing but these to go by."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _Textured(
            nn.Conv2d(3, 16, 5, 2, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 32, 3, 1, 1),
            nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5),
        )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(160):
        images, labels = _textures(60, generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    optimizer.zero_grad()
    return network.eval(), *_textures(60, torch.Generator().manual_seed(9))
