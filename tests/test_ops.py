"""The torch operator on the CPU: bits, floats, and what it refuses."""

import contextlib
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from tensors import CODINGS, FLOATS, NN, TOLERANCE, away_from_ties, noise, one_by_one, some_tables, uniform

from nnjpeg import NN_TABLE, QTable, _roundtrip, ops
from nnjpeg._arguments import SUBSAMPLINGS
from nnjpeg.transforms import NNJpeg, nn_jpeg

# Bytes


@pytest.mark.parametrize("leading", [(), (3,), (2,), (2, 3), (1, 3), (2, 1)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_tables_by_image_and_component(isa, leading, memory_format):
    batch = noise(2, 3, 37, 50).contiguous(memory_format=memory_format)
    table = some_tables(*leading)
    result = ops.roundtrip(batch, table)
    assert result.is_contiguous(memory_format=memory_format)
    full = table if len(leading) == 2 else table[:, None] if leading == (2,) else table
    assert torch.equal(result, one_by_one(batch, full.expand(2, 3, 8, 8)))
    assert torch.equal(nn_jpeg(batch, table), result)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [(1, 1), (3, 4), (16, 16), (37, 50), (33, 17)])
def test_colour_and_subsampling(isa, coding, size):
    batch, tables = noise(3, 3, *size), some_tables(3, 3)
    assert torch.equal(ops.roundtrip(batch, tables, **coding), one_by_one(batch, tables, **coding))
    channels_last = batch.contiguous(memory_format=torch.channels_last)
    assert torch.equal(ops.roundtrip(channels_last, tables, **coding), one_by_one(batch, tables, **coding))


def test_tables_at_any_strides():
    """torch.compile chooses strides of its own."""
    image, tables = uniform(2, 3, 16, 24), some_tables(2, 3)
    strided = tables.contiguous(memory_format=torch.channels_last)
    for function in (torch.ops.nnjpeg.roundtrip, _roundtrip._roundtrip_elsewhere):
        expected = function(image, tables, True, 2, 2, True, False)
        assert torch.equal(function(image, strided, True, 2, 2, True, False), expected)


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.float16])
def test_tables_of_floats_are_rounded(kind):
    batch = noise(2, 3, 16, 24)
    tables = uniform(2, 3, 8, 8, low=-3, high=300).to(kind)
    tables[0, 0, 0, :5] = torch.tensor([torch.inf, -torch.inf, 0.4, 254.6, 1.49])
    whole = tables.double().round().clamp(1, 255).to(torch.uint8)
    for image in (batch, batch / 255, batch.double() / 255):
        assert torch.equal(ops.roundtrip(image, tables), ops.roundtrip(image, whole))
    tables[1, 2, 0, 0], whole[1, 2, 0, 0] = torch.nan, 1
    direct = torch.ops.nnjpeg.roundtrip(batch, tables.float(), True, 2, 2, True, False)
    assert torch.equal(direct, _roundtrip._roundtrip_elsewhere(batch, tables.float(), True, 2, 2, True, False))
    assert torch.equal(direct, torch.ops.nnjpeg.roundtrip(batch, whole, True, 2, 2, True, False))


@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.int16, torch.uint8, "ndarray", "lists"])
def test_tables_of_any_kind(kind):
    batch, table = noise(4, 3, 16, 24), some_tables(3)
    same = table.numpy() if kind == "ndarray" else table.tolist() if kind == "lists" else table.to(kind)
    assert torch.equal(ops.roundtrip(batch, same), ops.roundtrip(batch, [QTable(t) for t in table.numpy()]))


@pytest.mark.parametrize("image", [noise(4, 3, 16, 24), uniform(4, 3, 16, 24)])
@pytest.mark.parametrize("qualities", [[1, 37, 50, 100], [1.5, 37.25, 49.99, 99.9]])
def test_a_quality_for_each_image_in_one_call(image, qualities):
    expected = torch.cat(
        [nn_jpeg(image[i : i + 1], NN_TABLE.at_quality(q), precision="uint8") for i, q in enumerate(qualities)]
    )
    kinds = [np.array(qualities), torch.tensor(qualities, dtype=torch.float64)]
    if isinstance(qualities[0], int):
        kinds += [torch.tensor(qualities), torch.tensor(qualities, dtype=torch.uint8), torch.tensor(qualities).float()]
    for quality in kinds:
        assert torch.equal(nn_jpeg(image, quality=quality, precision="uint8"), expected)
        assert torch.equal(nn_jpeg(image, NN, quality=quality, precision="uint8"), expected)


def test_scaling_on_tensors_is_that_of_tables():
    tables = [NN_TABLE, QTable.standard_luminance(), QTable.standard_chrominance()]
    for table in tables:
        steps = ops.steps_of([[table]], torch.device("cpu"))
        scaled = ops.at_quality(steps, torch.arange(1, 101))
        for quality in range(1, 101):
            assert np.array_equal(scaled[quality - 1, 0], np.asarray(table.at_quality(quality)))
        assert torch.equal(ops.at_quality(steps, torch.arange(1, 101).float()), scaled)
        assert torch.equal(ops.at_quality(steps.float(), torch.arange(1, 101)), scaled)
        real = np.random.default_rng(0).uniform(1, 100, 1000)
        for quality, steps_then in zip(real, ops.at_quality(steps, torch.from_numpy(real)), strict=True):
            assert np.array_equal(steps_then[0], np.asarray(table.at_quality(quality)))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_plain_torch_has_the_same_bits(drawn):
    """Which devices without a kernel run."""
    b, h, w = (drawn.draw(st.integers(1, most)) for most in (3, 40, 40))
    ycbcr = drawn.draw(st.booleans())
    factors = drawn.draw(st.sampled_from(list(SUBSAMPLINGS.values()))) if ycbcr else (1, 1)
    c = 3 if ycbcr else drawn.draw(st.integers(1, 4))
    batch = noise(b, c, h, w, seed=drawn.draw(st.integers(0, 99)))
    if drawn.draw(st.booleans()):
        batch = batch // 128 * 255
    if drawn.draw(st.booleans()):
        batch = batch.contiguous(memory_format=torch.channels_last)
    table = some_tables(drawn.draw(st.sampled_from([1, b])), drawn.draw(st.sampled_from([1, c])))
    result = _roundtrip._roundtrip_elsewhere(batch, table, ycbcr, *factors, False, False)
    assert torch.equal(result, torch.ops.nnjpeg.roundtrip(batch, table, ycbcr, *factors, False, False))
    assert result.stride() == batch.stride()


# Floats


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [(8, 8), (32, 48), (13, 21), (1, 1), (40, 70)])
@pytest.mark.parametrize("gradient", ["straight-through", "cubic"])
def test_floats_are_the_same_maths_in_single_precision(isa, dtype, coding, size, gradient):
    image = uniform(2, 3, *size, low=-0.1, high=1.1).to(dtype)
    table = some_tables(2, 3, seed=1)
    options = {**coding, "gradient": gradient, "precision": "float"}
    result = ops.roundtrip(image, table, **options)
    expected = ops.roundtrip(image.double(), table, **options)
    assert result.dtype == dtype
    assert 0 <= result.min() <= result.max() <= 1
    factors = SUBSAMPLINGS[coding.get("subsampling", "4:4:4")]
    clear = away_from_ties(image, table, coding["colorspace"] == "ycbcr", *factors)
    assert clear.any()
    difference = (result.double() - expected).abs()
    assert difference[clear].max() < TOLERANCE[dtype]
    assert (difference > TOLERANCE[dtype]).float().mean() < 0.1


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_distance_of_floats_from_bytes(name):
    """The figure in the docstring of ops.roundtrip."""
    image = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)
    differ = (ops.roundtrip(image / 255, precision="float") * 255).round() != ops.roundtrip(image)
    assert 0.03 < differ.float().mean() < 0.05


def test_flat_images_come_out_as_bytes_do(isa):
    """Every second flat block is half way between two steps: ties go away from zero, as in the integers."""
    grey = torch.arange(256, dtype=torch.uint8)[:, None, None, None].expand(256, 1, 8, 8)
    floats = ops.roundtrip(grey / 255, precision="float")
    assert torch.equal((floats * 255).round().to(torch.uint8), ops.roundtrip(grey))


@pytest.mark.parametrize("dtype", [*FLOATS, torch.float64])
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [(8, 8), (37, 50), (64, 96)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_floats_have_the_bits_of_the_deployed_transform(isa, dtype, coding, size, memory_format):
    """By default: the same bits everywhere."""
    image = uniform(2, 3, *size, low=-0.2, high=1.2).to(dtype).contiguous(memory_format=memory_format)
    result = ops.roundtrip(image, **coding)
    assert torch.equal(result, ops.roundtrip(image, **coding, precision="uint8"))
    deployed = ops.roundtrip((image.float().clamp(0, 1) * 255 + 0.5).to(torch.uint8), **coding)
    quotient = deployed.double() / 255 if dtype == torch.float64 else (deployed.float() / 255).to(dtype)
    assert torch.equal(result, quotient)
    assert result.stride() == image.stride()


def test_every_byte_survives_the_way_through_floats():
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    ones = torch.ones(8, 8, dtype=torch.uint8)
    assert torch.equal(ops.roundtrip(ramp / 255, ones, precision="uint8"), ops.roundtrip(ramp, ones) / 255)


@pytest.mark.parametrize("function", [torch.ops.nnjpeg.roundtrip, _roundtrip._roundtrip_elsewhere])
def test_nan_and_infinities(isa, function):
    image = torch.full((1, 3, 16, 16), 0.5)
    image[0, 0, 0, 0], image[0, 0, 0, 8], image[0, 0, 8, 0] = torch.nan, torch.inf, -torch.inf
    limited = image.clone()
    limited[0, 0, 0, 8], limited[0, 0, 8, 0] = 1, 0
    table = NN[None, None]
    for cubic, ycbcr in itertools.product((False, True), repeat=2):
        result = function(image, table, ycbcr, 1, 1, False, cubic)
        block = torch.zeros(1, 3, 16, 16, dtype=torch.bool)
        block[0, : 3 if ycbcr else 1, :8, :8] = True
        assert torch.equal(result.isnan(), block)
        assert torch.equal(result[~block], function(limited, table, ycbcr, 1, 1, False, cubic)[~block])
    limited[0, 0, 0, 0] = 0
    for coding in ((False, 1, 1), (True, 2, 2)):
        exact = function(image, table, *coding, True, False)
        assert torch.equal(exact, function(limited, table, *coding, True, False))


@pytest.mark.parametrize("function", [torch.ops.nnjpeg.roundtrip, _roundtrip._roundtrip_elsewhere])
def test_nan_with_subsampling(isa, function):
    """It stays in the block of luma, and in that of chroma and the samples beside it."""
    image = torch.full((1, 3, 48, 48), 0.5)
    image[0, 0, 0, 0] = torch.nan
    for cubic, (h, v) in itertools.product((False, True), list(SUBSAMPLINGS.values())[1:]):
        result = function(image, NN[None, None], True, h, v, False, cubic)
        rows, columns = (8 * factor + (factor == 2) for factor in (v, h))
        found = torch.zeros(48, 48, dtype=torch.bool)
        found[:rows, :columns] = True
        assert torch.equal(result.isnan()[0, 0], found)


# The operators check their arguments, on every device and in the fake


def bad_operands():
    image, table = uniform(4, 3, 16, 16), some_tables(1, 1)
    bad_image = "image must have"
    return [
        ((image[0], table), bad_image),
        ((image[:, :2], table, True), "3 components to be coded as YCbCr, got 2"),
        ((image, table, True, 4, 1), r"must be one of \(1, 1\), .*, got \(4, 1\)"),
        ((image, table, False, 2, 2), r"\(1, 1\) where YCbCr is not coded, got \(2, 2\)"),
        ((image.double(), table), bad_image),
        ((image.long(), table), bad_image),
        ((image, some_tables(2, 1)), r"shape \(4 or 1, 3 or 1, 8, 8\)"),
        ((image, some_tables(1, 2)), "qtable must be"),
        ((image, some_tables()), "qtable must be"),
        ((image, some_tables(1, 1)[..., :7]), "qtable must be"),
        ((image, table.int()), "qtable must be"),
        ((image, table.to("meta")), "on image's device"),
    ]


@pytest.mark.parametrize("device", ["cpu", "meta", "elsewhere", "fake"])
def test_operators_refuse_operands_that_do_not_fit(device):
    mode = (
        torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True) if device == "fake" else contextlib.nullcontext()
    )
    forward = _roundtrip._roundtrip_elsewhere if device == "elsewhere" else torch.ops.nnjpeg.roundtrip
    backward = _roundtrip._cubic_backward_elsewhere if device == "elsewhere" else torch.ops.nnjpeg.cubic_backward
    for (image, table, *coding), message in bad_operands():
        coding = (*coding, *(False, 1, 1)[len(coding) :])
        if device == "meta":
            image, table = image.to("meta"), some_tables(1, 1) if table.is_meta else table.to("meta")
        with mode, pytest.raises((ValueError, TypeError), match=message):
            forward(image, table, *coding, False, False)
        with mode, pytest.raises((ValueError, TypeError), match=message):
            backward(image, image, table, *coding)
    image, table = uniform(4, 3, 16, 16), some_tables(1, 1)
    if device == "meta":
        image, table = image.to("meta"), table.to("meta")
    for grad in (image[:1], image[..., :8], image.half(), image[0]):
        with mode, pytest.raises(ValueError, match="grad must have the shape, dtype and device of image"):
            backward(grad, image, table, False, 1, 1)


# Bad input


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.roundtrip(np.zeros((3, 8, 8))), TypeError, "image must be a tensor, got ndarray"),
        (lambda: ops.roundtrip(noise(3, 8, 8).long()), TypeError, "torch.float64, got torch.int64"),
        (lambda: ops.roundtrip(noise(8, 8)), ValueError, r"shape \(\.\.\., C, H, W\), got \(8, 8\)"),
        (lambda: ops.roundtrip(noise(3, 0, 8)), ValueError, r"at least 1, got shape \(3, 0, 8\)"),
        (lambda: ops.roundtrip(noise(3, 8, 8), gradient="soft"), ValueError, "'straight-through', .* got 'soft'"),
        (lambda: ops.roundtrip(noise(3, 8, 8), precision="half"), ValueError, "'uint8', 'float', got 'half'"),
        (lambda: ops.roundtrip(noise(3, 8, 8), colorspace="hsv"), ValueError, "got 'hsv'"),
        (
            lambda: ops.roundtrip(noise(2, 8, 8), colorspace="ycbcr"),
            ValueError,
            r"3 components, or 1 \(grey\), .* got 2",
        ),
        (lambda: ops.roundtrip(noise(3, 8, 8), subsampling="4:2:0"), ValueError, "needs colorspace 'ycbcr', got 'rgb'"),
        (
            lambda: ops.roundtrip(noise(3, 8, 8), colorspace="ycbcr", subsampling="4:1:1"),
            ValueError,
            "'4:4:4', '4:2:2', '4:2:0', '4:4:0', got '4:1:1'",
        ),
        (lambda: ops.roundtrip(noise(3, 8, 8), NN > 2), TypeError, "tensor of integers .* got torch.bool"),
        (lambda: ops.roundtrip(noise(3, 8, 8), NN[0]), ValueError, r"shape \(8, 8\), .* got \(8,\)"),
        (lambda: ops.roundtrip(noise(3, 8, 8), NN * 0), ValueError, r"1\.\.255, got 0"),
        (lambda: ops.roundtrip(noise(3, 8, 8), NN.int() * 100), ValueError, r"1\.\.255, got 5000"),
        (lambda: ops.roundtrip(noise(3, 8, 8), NN.int() - 16), ValueError, r"1\.\.255, got 0"),
        (lambda: ops.roundtrip(noise(3, 8, 8), NN * torch.nan), ValueError, "qtable must hold numbers, got nan"),
        (lambda: ops.roundtrip(uniform(3, 8, 8), NN + 1j), TypeError, "or of floats, got torch.complex64"),
        (lambda: ops.roundtrip(uniform(3, 8, 8), NN[:7] / 1), ValueError, r"shape \(8, 8\), .* got \(7, 8\)"),
        (lambda: ops.roundtrip(noise(4, 3, 8, 8), some_tables(5)), ValueError, r"B is 4 and C is 3, got \(5, 8, 8\)"),
        (lambda: ops.roundtrip(noise(4, 3, 8, 8), some_tables(3, 4)), ValueError, r"got \(3, 4, 8, 8\)"),
        (lambda: ops.roundtrip(noise(3, 3, 8, 8), some_tables(3)), ValueError, r"\(3, 1, 8, 8\) or \(1, 3, 8, 8\)"),
        (lambda: nn_jpeg(noise(3, 3, 8, 8), some_tables(3).numpy()), ValueError, r"could be one table for each"),
        (lambda: nn_jpeg(noise(2, 3, 8, 8), quality=torch.tensor([1, 2, 3])), ValueError, "each of 2 images, got 3"),
        (
            lambda: nn_jpeg(noise(2, 3, 8, 8), quality=torch.tensor([True, False])),
            TypeError,
            r"got torch.bool of shape \(2,\)",
        ),
        (lambda: nn_jpeg(noise(2, 3, 8, 8), quality=torch.tensor([0.5, 2])), ValueError, r"1\.\.100, got 0.5"),
        (lambda: nn_jpeg(noise(2, 3, 8, 8), quality=torch.tensor([torch.nan, 2])), ValueError, r"1\.\.100, got nan"),
        (lambda: nn_jpeg(noise(2, 3, 8, 8), quality=torch.tensor([0, 50])), ValueError, r"1\.\.100, got 0"),
        (lambda: nn_jpeg(uniform(2, 3, 8, 8), quality=np.array([1, 101])), ValueError, r"1\.\.100, got 101"),
        (lambda: nn_jpeg(np.zeros((8, 8), np.uint8), NN), TypeError, "qtable may be a tensor only where image is one"),
        (lambda: NNJpeg(gradient="soft"), ValueError, "gradient must be one of"),
        (lambda: NNJpeg(precision="soft"), ValueError, "precision must be one of"),
        (lambda: NNJpeg(some_tables(2, 3)), (ValueError, TypeError), "qtable"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
