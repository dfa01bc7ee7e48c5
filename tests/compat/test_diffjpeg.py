import io

import numpy as np
import pytest
import torch
from PIL import Image

from nnjpeg.compat.diffjpeg import DiffJPEG
from nnjpeg.transforms import jpeg

X = torch.rand(3, 3, 37, 50, generator=torch.Generator().manual_seed(0))


def test_as_real_esrgan_calls_it():
    """A quality for each image, drawn into a tensor of the batch's type."""
    qualities = X.new_zeros(3).uniform_(30, 95)
    kept = qualities.clone()
    result = DiffJPEG(differentiable=False)(X, quality=qualities)
    assert torch.equal(qualities, kept)
    assert not result.requires_grad
    for image, quality, expected in zip(X, kept, result, strict=True):
        assert torch.equal(jpeg(image, quality.item()), expected)


@pytest.mark.parametrize("differentiable", [True, False])
def test_the_bits_of_pillow(differentiable):
    pictures = (255 * X).round()
    found = 255 * DiffJPEG(differentiable)(pictures / 255, quality=torch.tensor([30, 75, 95]))
    for picture, quality, result in zip(pictures, (30, 75, 95), found, strict=True):
        file = io.BytesIO()
        Image.fromarray(picture.permute(1, 2, 0).byte().numpy()).save(file, "JPEG", quality=quality)
        np.testing.assert_array_equal(result.round().permute(1, 2, 0).byte().numpy(), np.asarray(Image.open(file)))


@pytest.mark.parametrize("quality", [50, 73.5, torch.tensor(50), torch.tensor([20.0, 50.0, 90.0])])
def test_gradients(quality):
    x = X.clone().requires_grad_()
    assert not DiffJPEG(differentiable=False)(x, quality).requires_grad
    (found,) = torch.autograd.grad(DiffJPEG()(x, quality).square().sum(), x)
    (expected,) = torch.autograd.grad(jpeg(x, quality, gradient="cubic").square().sum(), x)
    assert torch.equal(found, expected)
    assert found.abs().sum() > 0


@pytest.mark.parametrize(
    ("args", "kwargs"), [((224, 224), {}), ((), {"height": 224, "width": 224}), ((True, True, 80), {}), ((1,), {})]
)
def test_the_older_class_is_refused(args, kwargs):
    with pytest.raises(
        TypeError, match=r"DiffJPEG takes differentiable, True or False, got .*DiffJPEG\(\)\(x, quality=75\)"
    ):
        DiffJPEG(*args, **kwargs)


def test_it_is_a_module():
    assert "differentiable=True" in repr(DiffJPEG())
    assert not DiffJPEG().state_dict()
