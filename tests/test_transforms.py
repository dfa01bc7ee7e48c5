import copy
import multiprocessing
import pickle
import re

import numpy as np
import PIL
import pytest
import torch
from PIL import Image
from tensors import CODINGS, noise
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as v1
from torchvision import tv_tensors
from torchvision.transforms import v2

import nnjpeg
from nnjpeg import NN_TABLE, QTable
from nnjpeg.transforms import JPEG, NNJpeg, jpeg, nn_jpeg


def expected(image, table=NN_TABLE, **options):
    """The round trip of a tensor (C, H, W)."""
    return torch.from_numpy(nnjpeg.roundtrip(image.numpy(), table, layout="CHW", **options))


X = noise(3, 37, 50)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pil(mode):
    image = Image.fromarray(np.asarray(X.permute(1, 2, 0))).convert(mode)
    result = NNJpeg()(image)
    assert isinstance(result, Image.Image)
    assert result.mode == mode
    np.testing.assert_array_equal(np.asarray(result), nnjpeg.roundtrip(np.asarray(image), NN_TABLE))


def test_16_bits_by_the_advice_of_the_error():
    deep = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    with pytest.raises(ValueError, match="got I;16; bring it to 8 bits by") as caught:
        NNJpeg()(Image.fromarray(deep))
    advice = re.search(r"by (PIL.*)$", str(caught.value)).group(1)
    made = eval(advice, {"PIL": PIL, "numpy": np, "image": Image.fromarray(deep)})
    np.testing.assert_array_equal(np.asarray(made), np.rint(deep / 257))
    assert NNJpeg()(made).mode == "L"


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("arrow", [True, False])
def test_pil_images_keep_their_info(mode, arrow, monkeypatch):
    if not arrow:
        monkeypatch.setattr(Image.Image, "__arrow_c_array__", no_arrow, raising=False)
    image = Image.new(mode, (24, 16), "white")
    image.info = {"icc_profile": b"profile", "dpi": (300, 300), "exif": b"Exif\0\0"}
    result = NNJpeg()(image)
    assert result.info == image.info
    assert result.info is not image.info


def no_arrow(image):
    raise ValueError("Image rows are not contiguous in memory.")


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [(1, 1), (9, 7), (37, 50), (64, 64), (224, 224), (100, 333)])
@pytest.mark.parametrize("arrow", [True, False])
def test_pil_images_share_no_memory_and_stay_ordinary(size, coding, arrow, monkeypatch):
    """With the memory that Pillow hands out, and, as for its older versions and images in pieces, without."""
    if not arrow:
        monkeypatch.setattr(Image.Image, "__arrow_c_array__", no_arrow, raising=False)
    pixels = np.random.default_rng(2).integers(0, 256, (*size, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    result = NNJpeg(**coding)(image)
    expected = nnjpeg.roundtrip(pixels, NN_TABLE, **coding)
    np.testing.assert_array_equal(np.asarray(result), expected)
    np.testing.assert_array_equal(np.asarray(image), pixels)
    np.testing.assert_array_equal(np.asarray(result.convert("RGBA"))[..., 3], 255)
    del image
    result.putpixel((0, 0), (1, 2, 3))
    expected[0, 0] = 1, 2, 3
    np.testing.assert_array_equal(np.asarray(result.copy()), expected)


def test_pil_image_in_pieces():
    """Pillow stores images of more than 16 MiB in several blocks."""
    pixels = np.random.default_rng(3).integers(0, 256, (2100, 2100, 3), dtype=np.uint8)
    result = NNJpeg()(Image.fromarray(pixels))
    np.testing.assert_array_equal(np.asarray(result), nnjpeg.roundtrip(pixels, NN_TABLE))


@pytest.mark.parametrize("leading", [(), (1,), (4,), (2, 3), (2, 1, 2)])
@pytest.mark.parametrize("components", [1, 3, 5])
def test_tensors_of_any_leading_shape(leading, components):
    image = noise(*leading, components, 20, 30)
    result = NNJpeg(components=components)(image)
    assert type(result) is torch.Tensor
    assert result.shape == image.shape
    for one, original in zip(
        result.reshape(-1, components, 20, 30), image.reshape(-1, components, 20, 30), strict=True
    ):
        assert torch.equal(one, expected(original))


@pytest.mark.parametrize("kind", [tv_tensors.Image, tv_tensors.Video])
def test_tv_tensors(kind):
    image = kind(noise(4, 3, 20, 30))
    result = NNJpeg()(image)
    assert type(result) is kind
    assert torch.equal(result.as_subclass(torch.Tensor), NNJpeg()(image.as_subclass(torch.Tensor)))


@pytest.mark.parametrize("shape", [(37, 50), (37, 50, 3), (2, 37, 50, 3)])
def test_ndarrays(shape):
    image = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    result = NNJpeg()(image)
    assert isinstance(result, np.ndarray)
    np.testing.assert_array_equal(result, nnjpeg.roundtrip(image, NN_TABLE))


def test_input_is_left_alone():
    image, before = noise(2, 3, 20, 30), noise(2, 3, 20, 30)
    NNJpeg()(image)
    assert torch.equal(image, before)


def test_channels_last_stays_channels_last():
    image = noise(2, 3, 20, 30)
    result = NNJpeg()(image.contiguous(memory_format=torch.channels_last))
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(result, NNJpeg()(image))


def test_views():
    image = noise(2, 3, 40, 60)
    assert torch.equal(NNJpeg()(image[:, :, ::2, 5:]), NNJpeg()(image[:, :, ::2, 5:].contiguous()))
    assert torch.equal(NNJpeg()(X.expand(4, 3, 37, 50)), expected(X).expand(4, 3, 37, 50))


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (0, 2, 3, 8, 8), (2, 0, 3, 8, 8)])
@pytest.mark.parametrize("quality", [None, 50, (10, 90)])
def test_empty_batch(shape, quality):
    for kind in (torch.Tensor, tv_tensors.Image, tv_tensors.Video):
        empty = torch.empty(shape, dtype=torch.uint8).as_subclass(kind)
        assert NNJpeg(quality=quality)(empty).shape == shape


def test_ycbcr():
    assert torch.equal(NNJpeg(colorspace="ycbcr")(X), expected(X, colorspace="ycbcr"))
    assert not torch.equal(expected(X, colorspace="ycbcr"), expected(X))


def test_grey_takes_the_first_of_several_tables_where_it_would_be_luma():
    tables = QTable.standard_luminance(), *[QTable.standard_chrominance()] * 2
    for options in ({"subsampling": "4:2:0"}, {"quality": 30}):
        layer, grey = NNJpeg(tables, colorspace="ycbcr", **options), X[:1]
        quality = options.get("quality")
        result = nn_jpeg(grey, tables[0], quality=quality)
        assert torch.equal(layer(grey), result)
        assert torch.equal(layer(grey / 255), result / 255)
        assert np.array_equal(layer(Image.fromarray(grey[0].numpy())), result[0])
        assert torch.equal(nn_jpeg(grey, tables, quality=quality, colorspace="ycbcr"), result)
        assert torch.equal(nn_jpeg(grey / 255, tables, quality=quality, colorspace="ycbcr"), result / 255)
    with pytest.raises(ValueError, match="one for each of 1 components, got 3"):
        NNJpeg(tables)(X[:1])


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:4:0"])
def test_subsampling(subsampling):
    options = {"colorspace": "ycbcr", "subsampling": subsampling}
    assert torch.equal(NNJpeg(**options)(X), expected(X, **options))
    assert torch.equal(nn_jpeg(X / 255, **options), expected(X, **options) / 255)
    assert torch.equal(NNJpeg(**options)(X[:1]), expected(X[:1]))  # grey has no chroma
    assert f"subsampling='{subsampling}'" in repr(NNJpeg(**options))
    array = np.asarray(X.permute(1, 2, 0))
    np.testing.assert_array_equal(nn_jpeg(array, **options), nnjpeg.roundtrip(array, NN_TABLE, **options))


def test_one_table_for_each_component():
    tables = [QTable(np.full((8, 8), step)) for step in (5, 60, 200)]
    assert torch.equal(NNJpeg(tables)(X), expected(X, tables))
    scaled = [table.at_quality(30) for table in tables]
    assert torch.equal(NNJpeg(tables, quality=30)(X), expected(X, scaled))
    picture = NNJpeg(tables, quality=30)(Image.fromarray(np.asarray(X.permute(1, 2, 0))))
    np.testing.assert_array_equal(np.asarray(picture), expected(X, scaled).permute(1, 2, 0))


# What a sample holds besides


def test_all_else_passes_through():
    sample = {
        "image": tv_tensors.Image(X),
        "boxes": tv_tensors.BoundingBoxes(torch.tensor([[1, 2, 3, 4]]), format="XYXY", canvas_size=(37, 50)),
        "mask": tv_tensors.Mask(noise(37, 50)),
        "array": np.zeros((37, 50), np.uint8),
        "tensor": noise(3, 37, 50),
        "label": 7,
        "name": "cat",
    }
    result = v2.Compose([NNJpeg()])(sample)
    assert torch.equal(result["image"].as_subclass(torch.Tensor), expected(X))
    for key in sample.keys() - {"image"}:
        assert result[key] is sample[key]


def test_untyped_samples_the_first_is_the_image():
    label = torch.tensor([1, 2, 3])
    result, same = NNJpeg()(X, label)
    assert torch.equal(result, expected(X))
    assert same is label
    array, mask = np.asarray(X.permute(1, 2, 0)), np.ones((37, 50), np.uint8)
    result = NNJpeg()({"image": array, "mask": mask, "label": label})
    np.testing.assert_array_equal(result["image"], nnjpeg.roundtrip(array, NN_TABLE))
    assert result["mask"] is mask
    assert result["label"] is label


def test_inside_v1_and_v2_compose():
    image = Image.fromarray(np.asarray(X.permute(1, 2, 0)))
    old = v1.Compose([v1.CenterCrop(24), NNJpeg(), v1.PILToTensor()])(image)
    new = v2.Compose([v2.CenterCrop(24), NNJpeg(), v2.PILToTensor()])(image)
    assert torch.equal(old, expected(v1.functional.pil_to_tensor(v1.CenterCrop(24)(image))))
    assert torch.equal(old, new)


# Quality


def test_fixed_quality():
    assert torch.equal(NNJpeg(quality=30)(X), expected(X, NN_TABLE.at_quality(30)))
    assert torch.equal(NNJpeg(quality=50)(X), NNJpeg()(X))


@pytest.mark.parametrize("quality", [30.5, 1.0, 99.99, np.float32(75.25)])
def test_real_qualities(quality):
    assert torch.equal(NNJpeg(quality=quality)(X), expected(X, NN_TABLE.at_quality(quality)))
    assert torch.equal(nn_jpeg(X, quality=quality), NNJpeg(quality=quality)(X))
    picture = Image.fromarray(np.asarray(X.permute(1, 2, 0)))
    np.testing.assert_array_equal(np.asarray(nn_jpeg(picture, quality=quality)), _hwc(NNJpeg(quality=quality)(X)))
    for image in (X / 255, X.double() / 255):
        assert torch.equal((nn_jpeg(image, quality=quality) * 255).round().byte(), nn_jpeg(X, quality=quality))


def _hwc(planes):
    return np.asarray(planes.permute(1, 2, 0))


def test_a_real_range_draws_real_qualities():
    torch.manual_seed(0)
    batch = X.expand(40, 3, 37, 50)
    draws = NNJpeg(quality=(20, 21.0)).make_params([batch])["quality"]
    assert draws.shape == (40,)
    assert (draws >= 20).all()
    assert (draws <= 21).all()
    assert len(set(draws.tolist())) == 40
    torch.manual_seed(0)
    assert torch.equal(NNJpeg(quality=(20, 21.0))(batch), nn_jpeg(batch, quality=draws))


def qualities_of(result, original, table=NN_TABLE):
    return [q for q in range(1, 101) if torch.equal(result, expected(original, table.at_quality(q)))]


def test_a_range_is_drawn_from_torchs_generator_for_each_image():
    batch = X.expand(12, 3, 37, 50)
    torch.manual_seed(3)
    first = NNJpeg(quality=(40, 60))(batch)
    drawn = [qualities_of(image, X) for image in first]
    assert all(drawn)
    assert len({tuple(q) for q in drawn}) > 3
    assert all(q[0] >= 40 and q[-1] <= 60 for q in drawn)
    torch.manual_seed(3)
    assert torch.equal(NNJpeg(quality=(40, 60))(batch), first)
    torch.manual_seed(4)
    assert not torch.equal(NNJpeg(quality=(40, 60))(batch), first)


def test_both_ends_of_a_range_occur():
    results = NNJpeg(quality=(20, 21))(X.expand(40, 3, 37, 50))
    assert {tuple(qualities_of(image, X)) for image in results} == {
        tuple(qualities_of(expected(X, NN_TABLE.at_quality(q)), X)) for q in (20, 21)
    }


def test_a_clip_has_one_quality_and_clips_have_their_own():
    frame = noise(3, 16, 16)
    video = tv_tensors.Video(frame.expand(10, 5, 3, 16, 16))
    torch.manual_seed(0)
    result = NNJpeg(quality=(5, 95))(video).as_subclass(torch.Tensor)
    for clip in result:
        assert all(torch.equal(f, clip[0]) for f in clip)
    assert len({f.numpy().tobytes() for f in result[:, 0]}) > 3


def test_images_of_one_sample_share_their_draw():
    torch.manual_seed(0)
    for _ in range(5):
        left, right = NNJpeg(quality=(5, 95))(tv_tensors.Image(X), tv_tensors.Image(X))
        assert torch.equal(left, right)


def test_functional_takes_a_quality_for_each_image():
    batch = noise(3, 3, 16, 16)
    result = nn_jpeg(batch, quality=np.array([10, 50, 90]))
    for one, original, quality in zip(result, batch, (10, 50, 90), strict=True):
        assert torch.equal(one, expected(original, NN_TABLE.at_quality(quality)))
    assert torch.equal(nn_jpeg(batch, quality=20), NNJpeg(quality=20)(batch))
    arrays = batch.permute(0, 2, 3, 1).numpy()
    for quality in (np.array([10, 50, 90]), np.array([10, 50, 90], np.uint8)):
        np.testing.assert_array_equal(nn_jpeg(arrays, quality=quality), result.permute(0, 2, 3, 1).numpy())
    for one in (20, np.int64(20), np.array(20), np.array([20])):
        np.testing.assert_array_equal(nn_jpeg(arrays, quality=one), NNJpeg(quality=20)(arrays))


def test_a_pair_of_qualities_is_not_taken_for_a_range_in_silence():
    """A pair means a range in NNJpeg, and two images in nn_jpeg: the latter is deprecated."""
    batch = noise(2, 3, 16, 16)
    for pair in ((30, 90), [30, 90]):
        with pytest.warns(DeprecationWarning, match=r"a pair is a range to draw from: use numpy.array\(\[30, 90\]\)"):
            result = nn_jpeg(batch, quality=pair)
        assert torch.equal(result, nn_jpeg(batch, quality=np.array([30, 90])))


# A value


def test_pickle_copy_and_repr():
    transform = NNJpeg(QTable.nn(3, 8, 90), quality=(20, 80), colorspace="ycbcr")
    for twin in (pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)):
        assert repr(twin) == repr(transform)
        torch.manual_seed(1)
        a = transform(X)
        torch.manual_seed(1)
        assert torch.equal(a, twin(X))
    text = repr(transform)
    assert text.startswith("NNJpeg(")
    assert "quality=(20, 80)" in text
    assert "colorspace='ycbcr'" in text
    grid = re.search(r"QTable\(.*?\]\]\)", text, re.S).group()
    assert eval(grid) == QTable.nn(3, 8, 90)


class Photos(Dataset):
    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return self.transform(noise(3, 224, 224, seed=index)), index


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_dataloader_workers(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"{method} is not available here")
    nnjpeg.roundtrip(np.zeros((1024, 1024, 3), np.uint8), NN_TABLE, num_threads=2)  # threads before the fork
    loader = DataLoader(Photos(NNJpeg()), batch_size=4, num_workers=2, multiprocessing_context=method, timeout=120)
    seen = 0
    for batch, indices in loader:
        for image, index in zip(batch, indices, strict=True):
            assert torch.equal(image, expected(noise(3, 224, 224, seed=int(index))))
            seen += 1
    assert seen == 12


# Bad input


@pytest.mark.parametrize(
    ("quality", "error", "message"),
    [
        (0, ValueError, r"quality must be a number in 1\.\.100, got 0"),
        (101, ValueError, "got 101"),
        (0.5, ValueError, "got 0.5"),
        (float("nan"), ValueError, "got nan"),
        (True, TypeError, "got True"),
        ("75", TypeError, "got '75'"),
        ((90, 30), ValueError, r"low <= high, got \(90, 30\)"),
        ((0, 30), ValueError, "got 0"),
        ((10, 20, 30), ValueError, r"pair \(low, high\) .* got \(10, 20, 30\); .*nn_jpeg takes one for each image"),
        (np.array([10, 20]), TypeError, r"pair \(low, high\) .* got array\(\[10, 20\]\); .*nn_jpeg takes one for each"),
        (torch.tensor([10, 20]), TypeError, r"got tensor\(\[10, 20\]\); .*nn_jpeg takes one for each image"),
        ((10, None), TypeError, "got None"),
        ((1, 100.5), ValueError, "got 100.5"),
    ],
)
def test_bad_quality(quality, error, message):
    with pytest.raises(error, match=message):
        NNJpeg(quality=quality)
    with pytest.raises(error, match=message.replace("nn_jpeg", "jpeg")):
        JPEG(quality)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: NNJpeg(np.zeros((8, 8))), ValueError, r"1\.\.255, got 0"),
        (lambda: NNJpeg(range(64)), ValueError, "natural .* Pillow image's quantization, or QTable.from_zigzag"),
        (lambda: NNJpeg({0: range(64)}), TypeError, r"got a dict; .* image.quantization.values\(\)"),
        (lambda: NNJpeg(None), TypeError, "must hold integers"),
        (lambda: NNJpeg(75), ValueError, r"got 75; if that is a quality, NNJpeg and nn_jpeg take it as quality=75"),
        (lambda: NNJpeg((30, 90)), ValueError, r"got \(30, 90\); .* take it as quality=\(30, 90\)"),
        (lambda: NNJpeg([30, 90]), ValueError, r"got \(30, 90\); .* take it as quality=\(30, 90\)"),
        (lambda: NNJpeg(colorspace="hsv"), ValueError, "colorspace must be .* got 'hsv'"),
        (lambda: NNJpeg()(X > 7), TypeError, "torch.uint8, .* got torch.bool"),
        (lambda: NNJpeg()(X.long()), TypeError, "torch.uint8, .* got torch.int64"),
        (lambda: NNJpeg()(X[0]), ValueError, r"shape \(\.\.\., C, H, W\), got \(37, 50\)"),
        (lambda: NNJpeg()(X[:, :0]), ValueError, "at least 1, got shape"),
        (
            lambda: NNJpeg(colorspace="ycbcr")(X[:2]),
            ValueError,
            r"3 components, or 1 \(grey\), .* got 2",
        ),
        (lambda: NNJpeg(subsampling="4:2:0"), ValueError, "needs colorspace 'ycbcr', got 'rgb'"),
        (lambda: NNJpeg(colorspace="ycbcr", subsampling="420"), ValueError, "subsampling must be .* got '420'"),
        (lambda: NNJpeg([NN_TABLE] * 3)(X[:1]), ValueError, "each of 1 components, got 3"),
        (lambda: NNJpeg()(Image.new("CMYK", (8, 8))), ValueError, r"mode L or RGB, got CMYK; image.convert\('RGB'\)"),
        (lambda: NNJpeg()(Image.new("1", (8, 8))), ValueError, r"mode L or RGB, got 1; image.convert\('L'\)"),
        (lambda: NNJpeg()(Image.new("RGBA", (8, 8))), ValueError, "mode L or RGB, got RGBA; .* drops its transparency"),
        (
            lambda: NNJpeg()(Image.new("I", (8, 8), 70000)),
            ValueError,
            "got I; scale .* run from 70000 to 70000, to 0..255",
        ),
        (lambda: NNJpeg()(Image.new("F", (8, 8), 0.5)), ValueError, "got F; scale its values"),
        (lambda: NNJpeg()(Image.new("RGB", (0, 8))), ValueError, "at least 1, got 0 x 8"),
        (lambda: NNJpeg()(Image.new("L", (8, 0))), ValueError, "at least 1, got 8 x 0"),
        (lambda: NNJpeg()(np.zeros((8, 8, 3))), TypeError, "uint8, got float64"),
        (lambda: NNJpeg()(np.zeros((3, 8, 8), np.uint8)), ValueError, "8 components if its layout is HWC"),
        (lambda: nn_jpeg("image.png"), TypeError, "PIL image, a tensor, .* got str"),
        (lambda: nnjpeg.roundtrip(X, NN_TABLE), TypeError, "got Tensor; .*ops.roundtrip take tensors"),
        (lambda: nnjpeg.roundtrip(tv_tensors.Image(X), NN_TABLE), TypeError, "got Image; .*nn_jpeg takes tv_tensors"),
        (lambda: nn_jpeg(tv_tensors.Mask(X)), TypeError, "got Mask"),
        (lambda: nn_jpeg(X[None], quality=np.array([1, 2])), ValueError, "each of 1 images, got 2"),
        (lambda: nn_jpeg(X, quality="75"), TypeError, "got '75'"),
        (lambda: nn_jpeg(X, quality=np.array([True])), TypeError, r"got bool of shape \(1,\)"),
        (lambda: nn_jpeg(X, quality=np.array([np.nan])), ValueError, r"1\.\.100, got nan"),
        (lambda: nn_jpeg(X, quality=np.array([101])), ValueError, "got 101"),
        (
            lambda: nn_jpeg(X, quality=np.ones((2, 2), int)),
            TypeError,
            r"at most one dimension, got int64 of shape \(2, 2\)",
        ),
        (lambda: JPEG(None), TypeError, "got None"),
        (lambda: JPEG(75, per_image=1), TypeError, "per_image must be True or False, got 1"),
        (lambda: JPEG(75, gradient="soft"), ValueError, "gradient must be one of"),
        (lambda: JPEG(75, precision="soft"), ValueError, "precision must be one of"),
        (lambda: JPEG(75)(X[:2]), ValueError, r"3 components, or 1 \(grey\), .* got 2"),
        (lambda: JPEG(75)(), TypeError, "image"),
        (lambda: JPEG(75)(X.long()), TypeError, "torch.uint8, .* got torch.int64"),
        (lambda: JPEG(75)(Image.new("RGBA", (8, 8))), ValueError, "mode L or RGB, got RGBA; .* drops its transparency"),
        (lambda: jpeg(X, None), TypeError, "one for each image, got None"),
        (lambda: jpeg(X, [10, 20]), TypeError, r"array or tensor with one for each image, got \[10, 20\]"),
        (lambda: jpeg(X[None], np.array([1, 2])), ValueError, "each of 1 images, got 2"),
        (lambda: jpeg("image.png", 75), TypeError, "PIL image, a tensor, .* got str"),
        (lambda: nn_jpeg(np.zeros((8, 8, 5), np.uint8)), ValueError, "has 5 components if its layout is HWC"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
