"""The torch operator on the CPU: bits, floats, gradients, and what torch does with operators."""

import copy
import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from torch.library import opcheck

import nnjpeg
from nnjpeg import NN_TABLE, QTable, _plain, ops
from nnjpeg.transforms import NNJpeg, nn_jpeg

FLOATS = [torch.float32, torch.float16, torch.bfloat16]
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}
NN = torch.from_numpy(np.asarray(NN_TABLE)).to(torch.uint8)


def noise(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def uniform(*shape, seed=0, low=0.0, high=1.0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32))


def some_tables(*leading, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(1, 256, (*leading, 8, 8), dtype=np.uint8))


def one_by_one(batch, tables, **options):
    """What the NumPy API makes of each image with its tables, (B, C, 8, 8)."""
    images = [
        nnjpeg.roundtrip(image.numpy(), [np.asarray(t) for t in table], layout="CHW", **options)
        for image, table in zip(batch, tables, strict=True)
    ]
    return torch.from_numpy(np.stack(images))


def away_from_ties(image, tables, ycbcr=False):
    """Where no coefficient of a sample's block (of any component if `ycbcr`) is so close to half a step, or a decoded
    sample to the end of its range, that rounding errors decide: bool, shape of `image`."""
    samples = 255 * image.double().clamp(0, 1) - 128
    if ycbcr:
        samples = _plain._rgb_to_ycbcr(samples)
    dct, steps = _plain._dct_matrix(samples), tables.reshape((1, 1, 8, 8) if tables.ndim == 2 else tables.shape)
    u = dct @ _plain._to_blocks(samples) @ dct.T / steps[:, :, None, None]
    clear = ((u - u.floor() - 0.5).abs() > 1e-3).flatten(-2).all(-1)[..., None, None].expand(u.shape)
    clear = _plain._from_blocks(clear, image)
    return clear.all(1, keepdim=True).expand(image.shape) if ycbcr else clear


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


@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.int16, torch.uint8, "ndarray", "lists"])
def test_tables_of_any_kind(kind):
    batch, table = noise(4, 3, 16, 24), some_tables(3)
    same = table.numpy() if kind == "ndarray" else table.tolist() if kind == "lists" else table.to(kind)
    assert torch.equal(ops.roundtrip(batch, same), ops.roundtrip(batch, [QTable(t) for t in table.numpy()]))


@pytest.mark.parametrize("image", [noise(4, 3, 16, 24), uniform(4, 3, 16, 24)])
def test_a_quality_for_each_image_in_one_call(image):
    qualities = [1, 37, 50, 100]
    expected = torch.cat(
        [nn_jpeg(image[i : i + 1], NN_TABLE.at_quality(q), precision="uint8") for i, q in enumerate(qualities)]
    )
    for quality in (qualities, torch.tensor(qualities), torch.tensor(qualities, dtype=torch.uint8)):
        assert torch.equal(nn_jpeg(image, quality=quality, precision="uint8"), expected)
        assert torch.equal(nn_jpeg(image, NN, quality=quality, precision="uint8"), expected)


def test_scaling_on_tensors_is_that_of_tables():
    tables = [NN_TABLE, QTable.standard_luminance(), QTable.standard_chrominance()]
    for table in tables:
        steps = ops.steps_of([[table]], torch.device("cpu"))
        scaled = ops.at_quality(steps, torch.arange(1, 101))
        for quality in range(1, 101):
            assert np.array_equal(scaled[quality - 1, 0], np.asarray(table.at_quality(quality)))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_plain_torch_has_the_same_bits(drawn):
    """Which devices without a kernel run."""
    b, h, w = (drawn.draw(st.integers(1, most)) for most in (3, 40, 40))
    ycbcr = drawn.draw(st.booleans())
    c = 3 if ycbcr else drawn.draw(st.integers(1, 4))
    batch = noise(b, c, h, w, seed=drawn.draw(st.integers(0, 99)))
    if drawn.draw(st.booleans()):
        batch = batch // 128 * 255
    if drawn.draw(st.booleans()):
        batch = batch.contiguous(memory_format=torch.channels_last)
    table = some_tables(drawn.draw(st.sampled_from([1, b])), drawn.draw(st.sampled_from([1, c])))
    result = ops._roundtrip_elsewhere(batch, table, ycbcr, False, False)
    assert torch.equal(result, ops._roundtrip(batch, table, ycbcr, False, False))
    assert result.stride() == batch.stride()


# Floats


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("colorspace", ["rgb", "ycbcr"])
@pytest.mark.parametrize("size", [(8, 8), (32, 48), (13, 21), (1, 1), (40, 70)])
@pytest.mark.parametrize("gradient", ["straight-through", "cubic"])
def test_floats_are_the_same_maths_in_single_precision(isa, dtype, colorspace, size, gradient):
    image = uniform(2, 3, *size, low=-0.1, high=1.1).to(dtype)
    table = some_tables(2, 3, seed=1)
    result = ops.roundtrip(image, table, colorspace=colorspace, gradient=gradient)
    expected = ops.roundtrip(image.double(), table, colorspace=colorspace, gradient=gradient)
    assert result.dtype == dtype
    assert 0 <= result.min() <= result.max() <= 1
    clear = away_from_ties(image, table, colorspace == "ycbcr")
    assert clear.any()
    difference = (result.double() - expected).abs()
    assert difference[clear].max() < TOLERANCE[dtype]
    assert (difference > TOLERANCE[dtype]).float().mean() < 0.1


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_distance_of_floats_from_bytes(name):
    """The figure in the docstring of ops.roundtrip."""
    image = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)
    differ = (ops.roundtrip(image / 255) * 255).round() != ops.roundtrip(image)
    assert 0.03 < differ.float().mean() < 0.05


def test_flat_images_come_out_as_bytes_do(isa):
    """Every second flat block is half way between two steps: ties go away from zero, as in the integers."""
    grey = torch.arange(256, dtype=torch.uint8)[:, None, None, None].expand(256, 1, 8, 8)
    assert torch.equal((ops.roundtrip(grey / 255) * 255).round().to(torch.uint8), ops.roundtrip(grey))


@pytest.mark.parametrize("dtype", [*FLOATS, torch.float64])
@pytest.mark.parametrize("colorspace", ["rgb", "ycbcr"])
@pytest.mark.parametrize("size", [(8, 8), (37, 50), (64, 96)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_precision_uint8_has_the_bits_of_the_deployed_transform(isa, dtype, colorspace, size, memory_format):
    image = uniform(2, 3, *size, low=-0.2, high=1.2).to(dtype).contiguous(memory_format=memory_format)
    result = ops.roundtrip(image, colorspace=colorspace, precision="uint8")
    deployed = ops.roundtrip((image.float().clamp(0, 1) * 255 + 0.5).to(torch.uint8), colorspace=colorspace)
    assert torch.equal(result, (deployed.float() / 255).to(dtype))
    assert result.stride() == image.stride()


def test_every_byte_survives_the_way_through_floats():
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    ones = torch.ones(8, 8, dtype=torch.uint8)
    assert torch.equal(ops.roundtrip(ramp / 255, ones, precision="uint8"), ops.roundtrip(ramp, ones) / 255)


@pytest.mark.parametrize("function", [ops._roundtrip, ops._roundtrip_elsewhere])
def test_nan_and_infinities(isa, function):
    image = torch.full((1, 3, 16, 16), 0.5)
    image[0, 0, 0, 0], image[0, 0, 0, 8], image[0, 0, 8, 0] = torch.nan, torch.inf, -torch.inf
    limited = image.clone()
    limited[0, 0, 0, 8], limited[0, 0, 8, 0] = 1, 0
    table = NN[None, None]
    for cubic, ycbcr in itertools.product((False, True), repeat=2):
        result = function(image, table, ycbcr, False, cubic)
        block = torch.zeros(1, 3, 16, 16, dtype=torch.bool)
        block[0, : 3 if ycbcr else 1, :8, :8] = True
        assert torch.equal(result.isnan(), block)
        assert torch.equal(result[~block], function(limited, table, ycbcr, False, cubic)[~block])
    limited[0, 0, 0, 0] = 0
    assert torch.equal(function(image, table, False, True, False), function(limited, table, False, True, False))


# Gradients


@pytest.mark.parametrize("precision", ["float", "uint8"])
@pytest.mark.parametrize("dtype", [*FLOATS, torch.float64])
def test_straight_through_is_the_identity(precision, dtype):
    image = uniform(2, 3, 13, 21).to(dtype).requires_grad_()
    grad = uniform(2, 3, 13, 21, seed=1).to(dtype)
    result = ops.roundtrip(image, precision=precision)
    assert torch.equal(torch.autograd.grad(result, image, grad)[0], grad)
    assert torch.equal(result, ops.roundtrip(image.detach(), precision=precision))


def test_none_has_no_gradient():
    image = uniform(1, 3, 8, 8).requires_grad_()
    assert not ops.roundtrip(image, gradient="none").requires_grad
    assert not NNJpeg(gradient="none")(image).requires_grad


@pytest.mark.parametrize("colorspace", ["rgb", "ycbcr"])
@pytest.mark.parametrize("size", [(8, 8), (5, 11)])
def test_gradcheck_of_the_cubic(colorspace, size):
    """In double precision, whose second derivative there is too; with samples beyond the range, and coarse steps that
    clip the result."""
    image = uniform(1, 3, *size, low=-0.1, high=1.1, seed=3).double().requires_grad_()
    table = some_tables(1, 3, seed=4)

    def function(x):
        return ops.roundtrip(x, table, colorspace=colorspace, gradient="cubic")

    clipped = function(image)
    assert ((clipped == 0) | (clipped == 1)).any()
    assert torch.autograd.gradcheck(function, image, eps=1e-7, atol=1e-4)
    assert torch.autograd.gradgradcheck(function, image, eps=1e-7, atol=1e-3)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("colorspace", ["rgb", "ycbcr"])
@pytest.mark.parametrize("size", [(8, 8), (32, 48), (13, 21), (1, 3), (40, 70)])
@pytest.mark.parametrize("precision", ["float", "uint8"])
def test_cubic_gradient_is_that_of_double_precision(isa, dtype, colorspace, size, precision):
    image = uniform(2, 3, *size, low=-0.1, high=1.1).to(dtype)
    image[0, 0, 0, :2] = torch.tensor([0.0, 1.0])[: size[1]]  # on the bounds the gradient passes
    table, grad = some_tables(2, 1, seed=1), uniform(2, 3, *size, seed=2, low=-1).to(dtype)
    options = {"colorspace": colorspace, "gradient": "cubic"}
    leaf, double = image.clone().requires_grad_(), image.double().requires_grad_()
    (gradient,) = torch.autograd.grad(ops.roundtrip(leaf, table, precision=precision, **options), leaf, grad)
    (expected,) = torch.autograd.grad(ops.roundtrip(double, table, **options), double, grad.double())
    clear = away_from_ties(image, table.expand(2, 3, 8, 8), colorspace == "ycbcr")
    # Where decoded samples end up on a bound, the mask is decided by rounding errors: few of them.
    off = (gradient.double() - expected).abs() > 4 * TOLERANCE[dtype] * expected.abs().max()
    assert off[clear].float().mean() < 0.02
    assert expected[clear].abs().max() > 0.1


def test_gradients_of_expanded_results():
    """sum() hands back a gradient of strides 0."""
    for gradient in ("straight-through", "cubic"):
        image = uniform(2, 3, 16, 16).requires_grad_()
        ops.roundtrip(image, gradient=gradient).sum().backward()
        whole = uniform(2, 3, 16, 16).requires_grad_()
        ops.roundtrip(whole, gradient=gradient).backward(torch.ones(2, 3, 16, 16))
        assert torch.equal(image.grad, whole.grad)


def test_no_second_derivative_in_single_precision():
    image = uniform(1, 1, 8, 8).requires_grad_()
    result = ops.roundtrip(image, gradient="cubic").square().sum()
    (gradient,) = torch.autograd.grad(result, image, create_graph=True)
    with pytest.raises(NotImplementedError, match="no derivative here; that of a float64 image has"):
        gradient.sum().backward()


# What torch does with operators


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # opcheck's own
@pytest.mark.parametrize("dtype", [torch.uint8, *FLOATS])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("cubic", [False, True])
def test_opcheck(dtype, exact, cubic):
    image = noise(2, 3, 13, 21) if dtype == torch.uint8 else uniform(2, 3, 13, 21).to(dtype)
    leaf = image.clone().requires_grad_(dtype != torch.uint8)
    for batch in (leaf, image.contiguous(memory_format=torch.channels_last)):
        opcheck(torch.ops.nnjpeg.roundtrip, (batch, some_tables(2, 3), True, exact, cubic))


@pytest.mark.parametrize("dtype", FLOATS)
def test_opcheck_backward(dtype):
    image, grad = uniform(2, 3, 13, 21).to(dtype), uniform(2, 3, 13, 21, seed=1).to(dtype)
    opcheck(torch.ops.nnjpeg.cubic_backward, (grad, image, some_tables(2, 3), True))


def model(**options):
    torch.manual_seed(0)
    return torch.nn.Sequential(NNJpeg(**options), torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.LazyLinear(5))


# Old releases of torch.compile warn about themselves.
compiles = pytest.mark.filterwarnings("ignore:Skipping serialization of skipfiles")


@compiles
@pytest.mark.parametrize("gradient", ["straight-through", "cubic"])
@pytest.mark.parametrize("precision", ["float", "uint8"])
def test_compile_without_a_graph_break(gradient, precision):
    layer = model(gradient=gradient, precision=precision)
    image = uniform(2, 3, 16, 16)
    eager_input, compiled_input = image.clone().requires_grad_(), image.clone().requires_grad_()
    expected, result = layer(eager_input), torch.compile(layer, fullgraph=True)(compiled_input)
    torch.testing.assert_close(result, expected)
    expected.sum().backward()
    result.sum().backward()
    torch.testing.assert_close(compiled_input.grad, eager_input.grad)


@compiles
def test_compile_draws_qualities_and_takes_bytes():
    torch.manual_seed(0)
    batch = noise(1, 3, 16, 16).expand(20, 3, 16, 16).contiguous()
    result = torch.compile(NNJpeg(quality=(20, 21)), fullgraph=True)(batch)
    expected = [nn_jpeg(batch[0], quality=q) for q in (20, 21)]
    found = [[torch.equal(image, e) for e in expected] for image in result]
    assert all(sum(row) == 1 for row in found)
    assert {row[0] for row in found} == {True, False}


def test_export():
    layer, image = model(), uniform(2, 3, 16, 16)
    layer(image)
    exported = torch.export.export(layer, (image,)).module()
    torch.testing.assert_close(exported(image), layer(image))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_leaves_the_dtype_alone(dtype):
    image = uniform(1, 3, 16, 16)
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(NNJpeg()(image), ops.roundtrip(image))
        assert NNJpeg()(image.to(dtype)).dtype == dtype


@pytest.mark.parametrize("image", [noise(4, 2, 3, 16, 16), uniform(4, 2, 3, 16, 16)])
def test_vmap(image):
    flat = image.flatten(0, 1)
    options = {"gradient": "cubic"}
    for tables, in_dims, full in [
        (NN, (0, None), NN),
        (some_tables(4, 1, 1), (0, 0), some_tables(4, 1, 1).expand(4, 2, 1, 8, 8).reshape(8, 1, 8, 8)),
        (some_tables(2, 4, 3), (0, 1), some_tables(2, 4, 3).transpose(0, 1).reshape(8, 3, 8, 8)),
        (some_tables(2, 3), (0, None), some_tables(2, 3).repeat(4, 1, 1, 1)),
    ]:
        result = torch.func.vmap(lambda x, t: ops.roundtrip(x, t, **options), in_dims)(image, tables)
        assert torch.equal(result, ops.roundtrip(flat, full, **options).reshape(image.shape))
    moved = torch.func.vmap(ops.roundtrip, in_dims=2)(image.movedim(0, 2))
    assert torch.equal(moved, ops.roundtrip(flat).reshape(image.shape))


@pytest.mark.parametrize("gradient", ["straight-through", "cubic"])
def test_gradient_for_each_sample(gradient):
    images = uniform(3, 3, 16, 16)
    weight = uniform(3, 16, 16, seed=1)

    def loss(x):
        return (ops.roundtrip(x, gradient=gradient) * weight).sum()

    result = torch.func.vmap(torch.func.grad(loss))(images)
    for image, gradient_of_it in zip(images, result, strict=True):
        leaf = image.clone().requires_grad_()
        loss(leaf).backward()
        torch.testing.assert_close(gradient_of_it, leaf.grad)


# NNJpeg as a layer


def test_a_layer_whose_table_moves():
    layer = NNJpeg([NN_TABLE] * 3, quality=30)
    assert layer.to("meta").steps.device.type == "meta"
    assert NNJpeg().half().steps.dtype == torch.uint8
    assert NNJpeg().state_dict() == {}
    assert copy.deepcopy(NNJpeg(precision="uint8")).precision == "uint8"


def test_tables_given_as_tensors():
    table = some_tables(3)
    assert NNJpeg(table).qtable == tuple(QTable(t) for t in table.numpy())
    assert torch.equal(NNJpeg(table)(noise(3, 16, 16)), ops.roundtrip(noise(3, 16, 16), table))


def test_fixed_quality_of_floats():
    image = uniform(2, 3, 16, 16)
    assert torch.equal(NNJpeg(quality=30)(image), ops.roundtrip(image, NN_TABLE.at_quality(30)))


def test_an_attack_of_foolbox_goes_through_it_unmodified():
    """White-box PGD on a torchvision model behind the layer: a gradient arrives, and the attack finds something."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        foolbox = pytest.importorskip("foolbox")
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    network = squeezenet1_1(num_classes=10).eval()
    defended = torch.nn.Sequential(NNJpeg(precision="uint8"), network).eval()
    images = uniform(4, 3, 64, 64)
    attacked = foolbox.PyTorchModel(defended, bounds=(0, 1), device="cpu")
    labels = defended(images).argmax(1)
    attack = foolbox.attacks.LinfPGD(steps=10)
    _, adversarial, success = attack(attacked, images, labels, epsilons=16 / 255)
    assert success.all()
    assert (adversarial - images).abs().max() <= 16 / 255 + 1e-6
    assert (defended(adversarial).argmax(1) != labels).all()


# Bad input


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.roundtrip(np.zeros((3, 8, 8))), TypeError, "image must be a tensor, got ndarray"),
        (lambda: ops.roundtrip(noise(3, 8, 8).long()), TypeError, "torch.float64, got torch.int64"),
        (lambda: ops.roundtrip(noise(8, 8)), ValueError, r"shape \(\.\.\., C, H, W\), got \(8, 8\)"),
        (lambda: ops.roundtrip(noise(3, 0, 8)), ValueError, r"at least 1, got shape \(3, 0, 8\)"),
        (lambda: ops.roundtrip(noise(3, 8, 8), gradient="soft"), ValueError, "'straight-through', .* got 'soft'"),
        (lambda: ops.roundtrip(noise(3, 8, 8), precision="half"), ValueError, "'float', 'uint8', got 'half'"),
        (lambda: ops.roundtrip(noise(3, 8, 8), colorspace="hsv"), ValueError, "got 'hsv'"),
        (lambda: ops.roundtrip(noise(2, 8, 8), colorspace="ycbcr"), ValueError, "3 components, got 2"),
        (lambda: ops.roundtrip(noise(3, 8, 8), NN / 2), TypeError, "tensor of integers .* got torch.float32"),
        (lambda: ops.roundtrip(noise(3, 8, 8), NN[0]), ValueError, r"shape \(8, 8\), .* got \(8,\)"),
        (lambda: ops.roundtrip(noise(3, 8, 8), NN * 0), ValueError, r"1\.\.255, got 0"),
        (lambda: ops.roundtrip(noise(3, 8, 8), NN.int() * 100), ValueError, r"1\.\.255, got 5000"),
        (lambda: ops.roundtrip(noise(3, 8, 8), NN.int() - 16), ValueError, r"1\.\.255, got 0"),
        (lambda: ops.roundtrip(noise(4, 3, 8, 8), some_tables(5)), ValueError, r"B is 4 and C is 3, got \(5, 8, 8\)"),
        (lambda: ops.roundtrip(noise(4, 3, 8, 8), some_tables(3, 4)), ValueError, r"got \(3, 4, 8, 8\)"),
        (lambda: ops.roundtrip(noise(3, 3, 8, 8), some_tables(3)), ValueError, r"\(3, 1, 8, 8\) or \(1, 3, 8, 8\)"),
        (lambda: nn_jpeg(noise(3, 3, 8, 8), some_tables(3).numpy()), ValueError, r"could be one table for each"),
        (lambda: nn_jpeg(noise(2, 3, 8, 8), quality=torch.tensor([1, 2, 3])), ValueError, "each of 2 images, got 3"),
        (lambda: nn_jpeg(noise(2, 3, 8, 8), quality=torch.tensor([1.5, 2])), TypeError, "got a torch.float32 tensor"),
        (lambda: nn_jpeg(noise(2, 3, 8, 8), quality=torch.tensor([0, 50])), ValueError, r"1\.\.100, got 0"),
        (lambda: nn_jpeg(uniform(2, 3, 8, 8), quality=[1, 101]), ValueError, r"1\.\.100, got 101"),
        (lambda: nn_jpeg(np.zeros((8, 8), np.uint8), NN), TypeError, "may be tensors only where image is one"),
        (lambda: NNJpeg(gradient="soft"), ValueError, "gradient must be one of"),
        (lambda: NNJpeg(precision="soft"), ValueError, "precision must be one of"),
        (lambda: NNJpeg(some_tables(2, 3)), (ValueError, TypeError), "qtable"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
