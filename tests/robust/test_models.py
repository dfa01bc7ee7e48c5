"""Classifiers: the ResNets for CIFAR, their published weights, and what `models.load` makes of names and files."""

import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from nnjpeg.robust import data, models
from nnjpeg.robust.models.networks import NETWORKS, CifarResNet


def waves():
    """Images of 32x32 in [0, 1] that need no file: (4, 3, 32, 32)."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    planes = [torch.sin(0.1 * (k + 1) * x + 0.07 * (k + 2) * y + k) for k in range(12)]
    return (0.5 + 0.4 * torch.stack(planes)).reshape(4, 3, 32, 32)


def plainly(weights, images, depth):
    """The logits by the text of He et al. (2016), section 4.2, in double precision: convolutions and sums alone."""
    w = {name: tensor.double() for name, tensor in weights.items()}

    def norm(x, name):
        scale = w[f"{name}.weight"] / (w[f"{name}.running_var"] + 1e-5).sqrt()
        return (x - w[f"{name}.running_mean"][:, None, None]) * scale[:, None, None] + w[f"{name}.bias"][:, None, None]

    mean, std = (torch.tensor(v).double()[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    x = norm(functional.conv2d((images.double() - mean) / std, w["conv1.weight"], padding=1), "bn1").relu()
    for stage in (1, 2, 3):
        for block in range((depth - 2) // 6):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            inner = norm(functional.conv2d(x, w[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.bn1")
            inner = norm(functional.conv2d(inner.relu(), w[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
            if stride == 2:
                x, grown = x[:, :, ::2, ::2], torch.zeros_like(inner)
                grown[:, x.shape[1] // 2 : x.shape[1] // 2 + x.shape[1]] = x
                x = grown
            x = (inner + x).relu()
    return x.mean((2, 3)) @ w["linear.weight"].T + w["linear.bias"]


def test_resnet20_comes_with_its_weights():
    model = models.load("resnet20")
    assert (model.size, model.resize, model.outputs()) == (32, 32, 10)
    expected = plainly(load_file(NETWORKS["resnet20"].shipped()), waves(), 20)
    with torch.inference_mode():
        torch.testing.assert_close(model(waves()).double(), expected, atol=1e-4, rtol=1e-4)
    # The two largest logits of each, so that another file of weights would be seen.
    found = expected.topk(2)
    np.testing.assert_array_equal(found.indices, LABELS)
    np.testing.assert_allclose(found.values, LOGITS, atol=1e-3)


LABELS = [[0, 9], [3, 1], [9, 1], [9, 1]]
LOGITS = [[9.9753, 4.7231], [11.8581, 9.3393], [25.8401, 22.4483], [24.8089, 23.3562]]


@pytest.mark.skipif("NNJPEG_CIFAR10" not in os.environ, reason="NNJPEG_CIFAR10 does not say where CIFAR-10 is")
def test_resnet20_has_its_published_accuracy():
    """NNJPEG_CIFAR10: a place that `data.opened` takes, such as an .npz file."""
    model = models.load("resnet20")
    test = data.sample(data.opened(os.environ["NNJPEG_CIFAR10"], "test"), None, model.preprocess(), outputs=10)
    with torch.inference_mode():
        labels = torch.cat([model(pixels / 255).argmax(1) for pixels in test.pixels.split(500)])
    assert (labels == test.labels).sum() == 9173


@pytest.mark.parametrize(
    ("arch", "parameters"), [("resnet20", 0.27), ("resnet32", 0.46), ("resnet44", 0.66), ("resnet56", 0.85)]
)
def test_the_sizes_of_the_paper(arch, parameters):
    """Millions of parameters, He et al. (2016), table 6."""
    network = models.untrained(arch).network
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == parameters
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_files_of_a_network_within_data_parallel(tmp_path):
    network = models.untrained("resnet32", classes=100).network
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state, "best_prec1": 92.63}, tmp_path / "resnet32.th")
    loaded = models.load("resnet32", tmp_path / "resnet32.th", classes=100)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), loaded.network.parameters(), strict=True))


def test_who_has_weights():
    assert models.has_weights("resnet20", None, {})
    assert models.has_weights("resnet20", 10, {})
    assert not models.has_weights("resnet20", 100, {})
    assert not models.has_weights("resnet56", None, {})
    assert not models.has_weights("preact", 10, {})
    assert models.has_weights("mobilenetv2_100", None, {})


@pytest.mark.parametrize("depth", [2, 18, 21])
def test_depths_that_there_are_none_of(depth):
    with pytest.raises(ValueError, match=rf"depth must be 6n \+ 2, such as 20 or 56, got {depth}"):
        CifarResNet(10, depth)


def test_the_small_network_at_the_size_of_the_images():
    """With a stem of stride 1 the stages see images twice as large, by the same weights."""
    coarse, fine = (models.untrained("preact", width=4, stride=stride).network for stride in (2, 1))
    assert {k: v.shape for k, v in coarse.state_dict().items()} == {k: v.shape for k, v in fine.state_dict().items()}
    sides = []
    for network in (coarse, fine):
        network.norm.register_forward_hook(lambda module, given, result: sides.append(result.shape[2:]))
        assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert sides == [(2, 2), (4, 4)]
    for options, message in (
        ({"stride": 3}, "stride must be an integer in 1..2, got 3"),
        ({"width": 0}, "width must be"),
    ):
        with pytest.raises(ValueError, match=message):
            models.untrained("preact", **options)
