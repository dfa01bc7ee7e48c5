"""`JPEG` and `jpeg` beside torchvision's: the same bits, the same draws, the same inputs of a sample."""

import copy
import io
import pickle

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from tensors import noise, uniform
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from nnjpeg import ops
from nnjpeg.transforms import JPEG, NNJpeg, jpeg

# torchvision 0.29 deprecates what its own JPEG calls.
pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision")

X = noise(3, 37, 50)
SIZES = [(1, 1), (1, 2), (2, 3), (3, 4), (4, 5), (8, 8), (15, 17), (16, 16), (33, 31), (37, 50), (64, 96)]


def picture(planes):
    return Image.fromarray(planes[0].numpy() if len(planes) == 1 else planes.permute(1, 2, 0).contiguous().numpy())


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 95, 100])
@pytest.mark.parametrize("components", [1, 3])
def test_the_bits_of_torchvision(isa, quality, components):
    for number, size in enumerate(SIZES):
        image = noise(components, *size, seed=number)
        expected = F.jpeg(image, quality)
        assert torch.equal(jpeg(image, quality), expected)
        assert torch.equal(JPEG(quality)(image), expected)
        found = np.asarray(JPEG(quality)(picture(image)))
        np.testing.assert_array_equal(found, np.asarray(F.jpeg(picture(image), quality)))
        file = io.BytesIO()
        picture(image).save(file, "JPEG", quality=quality)
        np.testing.assert_array_equal(found, np.asarray(Image.open(file)))
        floats = JPEG(quality)(image / 255)
        assert torch.equal(floats, expected / 255)


@pytest.mark.parametrize("quality", [10, 75, 90])
def test_the_bits_of_opencv(quality):
    for number, size in enumerate(SIZES):
        image = noise(3, *size, seed=number)
        pixels = image.permute(1, 2, 0).contiguous().numpy()
        _, file = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1]
        np.testing.assert_array_equal(jpeg(pixels, quality), decoded)
        np.testing.assert_array_equal(JPEG(quality)(pixels), decoded)


@pytest.mark.parametrize("shape", [(2, 3, 20, 30), (2, 2, 1, 20, 30), (0, 3, 8, 8)])
@pytest.mark.parametrize("kind", [torch.Tensor, tv_tensors.Image, tv_tensors.Video])
def test_batches_and_tv_tensors(shape, kind):
    image = noise(*shape).as_subclass(kind)
    ours, theirs = JPEG(60)(image), v2.JPEG(60)(image)
    assert type(ours) is type(theirs)
    assert torch.equal(ours.as_subclass(torch.Tensor), theirs.as_subclass(torch.Tensor))


@pytest.mark.parametrize("quality", [75, (20, 90), [1, 100]])
def test_draws_are_torchvisions(quality):
    ours, theirs = JPEG(quality), v2.JPEG(quality)
    flip = v2.RandomHorizontalFlip()
    results = []
    for transform in (ours, theirs):
        torch.manual_seed(5)
        pipeline = v2.Compose([transform, flip])
        results.append([pipeline(x) for x in (X, picture(X), tv_tensors.Image(X), X.expand(3, 3, 37, 50))] * 2)
        results[-1].append(torch.rand(1))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("quality", [75, (20, 90)])
def test_a_quality_for_each_image_is_drawn_as_by_one_call_for_each(quality):
    batch = noise(20, 3, 24, 17)
    torch.manual_seed(3)
    expected = torch.stack([v2.JPEG(quality)(image) for image in batch])
    after = torch.rand(1)
    for image, scale in ((batch, 1), (batch / 255, 255)):
        torch.manual_seed(3)
        result = JPEG(quality, per_image=True)(image)
        assert torch.equal((result * scale).round().to(torch.uint8), expected)
        assert torch.equal(torch.rand(1), after)
    torch.manual_seed(3)
    assert len({image.numpy().tobytes() for image in JPEG((20, 90))(X.expand(20, 3, 37, 50))}) == 1


def test_clips_have_a_quality_each():
    video = tv_tensors.Video(noise(3, 16, 16).expand(10, 5, 3, 16, 16))
    result = JPEG((5, 95), per_image=True)(video).as_subclass(torch.Tensor)
    assert all(torch.equal(frame, clip[0]) for clip in result for frame in clip)
    assert len({frame.numpy().tobytes() for frame in result[:, 0]}) > 3


def test_a_real_range():
    torch.manual_seed(0)
    layer = JPEG((20, 90.0), per_image=True)
    draws = layer.make_params([X.expand(9, 3, 37, 50)])["quality"]
    assert len(set(draws)) == 9
    assert ((draws >= 20) & (draws <= 90) & (draws != np.floor(draws))).all()
    torch.manual_seed(0)
    assert torch.equal(layer(X.expand(9, 3, 37, 50)), jpeg(X.expand(9, 3, 37, 50), draws))


def test_a_quality_for_each_image():
    batch, qualities = noise(4, 3, 37, 50), [3, 40, 75, 99]
    expected = torch.stack([F.jpeg(image, q) for image, q in zip(batch, qualities, strict=True)])
    for quality in (np.array(qualities), torch.tensor(qualities), torch.tensor(qualities).double()):
        assert torch.equal(jpeg(batch, quality), expected)
        assert torch.equal(jpeg(batch / 255, quality), expected / 255)
    arrays = batch.permute(0, 2, 3, 1).contiguous().numpy()
    result = jpeg(arrays, np.array(qualities))
    np.testing.assert_array_equal(result, expected.permute(0, 2, 3, 1).numpy())


def sample(make):
    image = noise(3, 24, 24)
    return {
        "image": make(image),
        "boxes": tv_tensors.BoundingBoxes(torch.tensor([[1, 2, 3, 4]]), format="XYXY", canvas_size=(24, 24)),
        "mask": tv_tensors.Mask(noise(24, 24)),
        "nested": [make(noise(3, 8, 8)), {"tensor": noise(3, 9, 9), "label": 7}],
        "array": np.zeros((24, 24), np.uint8),
        "name": "cat",
    }


@pytest.mark.parametrize("make", [tv_tensors.Image, picture, lambda image: image], ids=["tv_tensor", "PIL", "tensor"])
def test_the_inputs_of_a_sample_that_torchvision_transforms(make):
    given = sample(make)
    ours, theirs = JPEG(40)(given), v2.JPEG(40)(given)

    def same(a, b):
        assert type(a) is type(b)
        if isinstance(a, dict):
            assert a.keys() == b.keys()
            return all(same(a[key], b[key]) for key in a)
        if isinstance(a, list):
            return all(same(x, y) for x, y in zip(a, b, strict=True))
        return bool(np.array_equal(np.asarray(a), np.asarray(b)))

    assert same(ours, theirs)
    assert not same(ours, given)
    for key in ("boxes", "mask", "array", "name"):
        assert ours[key] is given[key]
    first, second = JPEG(40)(given["image"], given["mask"])
    assert same(first, theirs["image"])
    assert second is given["mask"]


def test_an_array_is_an_image_where_nothing_else_is():
    array = np.asarray(X.permute(1, 2, 0))
    result = JPEG(40)({"image": array, "label": 3})
    np.testing.assert_array_equal(result["image"], F.jpeg(X, 40).permute(1, 2, 0).numpy())
    points, image = np.zeros((24, 24), np.uint8), noise(3, 24, 24)
    result = JPEG(40)({"points": points, "image": image})
    assert result["points"] is points
    assert torch.equal(result["image"], F.jpeg(image, 40))


@pytest.mark.parametrize("gradient", ["straight-through", "cubic", "none"])
def test_gradients(gradient):
    image = uniform(2, 3, 21, 34).requires_grad_()
    result = JPEG(50, gradient=gradient)(image)
    assert torch.equal(result, F.jpeg((image.detach() * 255 + 0.5).byte(), 50) / 255)
    if gradient == "none":
        assert not result.requires_grad
        return
    (found,) = torch.autograd.grad(result.sum(), image)
    if gradient == "straight-through":
        assert torch.equal(found, torch.ones_like(image))
    else:
        assert 0 < found.abs().max() < torch.inf


@pytest.mark.parametrize("image", [noise(2, 3, 21, 34), uniform(2, 1, 21, 34)])
def test_the_way_of_accelerators(image, monkeypatch):
    """With the tables as a tensor, by the operator."""
    expected = JPEG(30)(image), jpeg(image, 30)
    monkeypatch.setattr(ops, "is_at_hand", lambda image: False)
    assert torch.equal(JPEG(30)(image), expected[0])
    assert torch.equal(jpeg(image, 30), expected[1])
    torch.manual_seed(0)
    drawn = JPEG((10, 90), per_image=True)(image)
    monkeypatch.undo()
    torch.manual_seed(0)
    assert torch.equal(drawn, JPEG((10, 90), per_image=True)(image))


def test_a_value():
    layer = JPEG((20, 80), per_image=True, gradient="cubic")
    assert repr(layer) == "JPEG(quality=(20, 80), per_image=True, gradient='cubic', precision='uint8')"
    for twin in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
        assert repr(twin) == repr(layer)
        torch.manual_seed(1)
        a = layer(X)
        torch.manual_seed(1)
        assert torch.equal(a, twin(X))
    assert isinstance(layer, v2.Transform)
    assert not isinstance(layer, NNJpeg)
    assert layer.state_dict() == {}
    with pytest.raises(AttributeError, match=r"JPEG\.quality is fixed"):
        layer.quality = 3


def test_a_layer_that_was_empty_has_its_tables():
    emptied = JPEG(30).to("meta").to_empty(device="cpu")
    assert torch.equal(emptied.steps, JPEG(30).steps)
    with torch.device("meta"):
        result = JPEG((30, 30))(uniform(2, 3, 16, 16, seed=1))
    assert torch.equal(result, JPEG(30)(uniform(2, 3, 16, 16, seed=1)))
