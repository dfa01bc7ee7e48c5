"""The torch operator on the CPU: bits, floats, gradients, and what torch does with operators."""

import contextlib
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
# What torch itself imports for forward-mode differentiation.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
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
    for quality in (np.array(qualities), torch.tensor(qualities), torch.tensor(qualities, dtype=torch.uint8)):
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
    options = {"colorspace": colorspace, "gradient": gradient, "precision": "float"}
    result = ops.roundtrip(image, table, **options)
    expected = ops.roundtrip(image.double(), table, **options)
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
    differ = (ops.roundtrip(image / 255, precision="float") * 255).round() != ops.roundtrip(image)
    assert 0.03 < differ.float().mean() < 0.05


def test_flat_images_come_out_as_bytes_do(isa):
    """Every second flat block is half way between two steps: ties go away from zero, as in the integers."""
    grey = torch.arange(256, dtype=torch.uint8)[:, None, None, None].expand(256, 1, 8, 8)
    floats = ops.roundtrip(grey / 255, precision="float")
    assert torch.equal((floats * 255).round().to(torch.uint8), ops.roundtrip(grey))


@pytest.mark.parametrize("dtype", [*FLOATS, torch.float64])
@pytest.mark.parametrize("colorspace", ["rgb", "ycbcr"])
@pytest.mark.parametrize("size", [(8, 8), (37, 50), (64, 96)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_floats_have_the_bits_of_the_deployed_transform(isa, dtype, colorspace, size, memory_format):
    """By default: the same bits everywhere."""
    image = uniform(2, 3, *size, low=-0.2, high=1.2).to(dtype).contiguous(memory_format=memory_format)
    result = ops.roundtrip(image, colorspace=colorspace)
    assert torch.equal(result, ops.roundtrip(image, colorspace=colorspace, precision="uint8"))
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
        return ops.roundtrip(x, table, colorspace=colorspace, gradient="cubic", precision="float")

    clipped = function(image)
    assert ((clipped == 0) | (clipped == 1)).any()
    assert torch.autograd.gradcheck(function, image, eps=1e-7, atol=1e-4)
    assert torch.autograd.gradgradcheck(function, image, eps=1e-7, atol=1e-3)
    tangent = uniform(1, 3, *size, low=-1, seed=5).double()
    along = torch.func.jvp(function, (image.detach(),), (tangent,))[1]
    torch.testing.assert_close(_plain.cubic_tangent(tangent, image.detach(), table, colorspace == "ycbcr"), along)


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


@pytest.mark.slow
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


@pytest.mark.slow
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
    options = {"gradient": "cubic", "precision": "float"}
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


@pytest.mark.parametrize("gradient", ["straight-through", "cubic"])
def test_gradient_of_a_vmap(gradient):
    images, weight = uniform(3, 2, 3, 16, 16), uniform(3, 2, 3, 16, 16, seed=1)

    def loss(x):
        return (torch.func.vmap(lambda image: ops.roundtrip(image, gradient=gradient))(x) * weight).sum()

    leaf = images.clone().requires_grad_()
    (ops.roundtrip(leaf, gradient=gradient) * weight).sum().backward()
    torch.testing.assert_close(torch.func.grad(loss)(images), leaf.grad)


@pytest.mark.parametrize("precision", ["float", "uint8"])
def test_forward_mode(precision):
    """Straight-through: the identity. Cubic: the derivative whose transpose backward mode takes."""
    image, tangent = uniform(2, 3, 13, 21), uniform(2, 3, 13, 21, low=-1, seed=1)
    table = some_tables(2, 3, seed=2)
    for gradient, colorspace in itertools.product(("straight-through", "cubic"), ("rgb", "ycbcr")):

        def function(x, gradient=gradient, colorspace=colorspace):
            return ops.roundtrip(x, table, gradient=gradient, colorspace=colorspace, precision=precision)

        value, along = torch.func.jvp(function, (image,), (tangent,))
        assert torch.equal(value, function(image))
        with torch.autograd.forward_ad.dual_level():
            dual = function(torch.autograd.forward_ad.make_dual(image, tangent))
            assert torch.equal(torch.autograd.forward_ad.unpack_dual(dual).tangent, along)
        if gradient == "straight-through":
            assert torch.equal(along, tangent)
        double = torch.func.jvp(function, (image.double(),), (tangent.double(),))[1]
        torch.testing.assert_close(along.double(), double, rtol=1e-4, atol=1e-5)


def test_jacobians_and_hessians():
    image = uniform(1, 1, 8, 8)
    for gradient in ("straight-through", "cubic"):

        def function(x, gradient=gradient):
            return ops.roundtrip(x, gradient=gradient)

        forward, backward = torch.func.jacfwd(function)(image), torch.func.jacrev(function)(image)
        torch.testing.assert_close(forward, backward, rtol=1e-4, atol=1e-5)
        if gradient == "straight-through":
            assert torch.equal(forward.reshape(64, 64), torch.eye(64))
            hessian = torch.func.hessian(lambda x: function(x).square().sum())(image)
            assert torch.equal(hessian.reshape(64, 64), 2 * torch.eye(64))
        else:
            with pytest.raises(NotImplementedError, match="no derivative here; that of a float64 image has"):
                torch.func.hessian(lambda x: function(x).square().sum())(image)


@pytest.mark.slow
@compiles
@pytest.mark.parametrize("mode", ["jvp", "dual"])
def test_forward_mode_in_a_compiled_graph_is_an_error(mode):
    image, tangent = uniform(1, 3, 16, 16), uniform(1, 3, 16, 16, seed=1)

    def with_jvp():
        torch.compile(lambda x, t: torch.func.jvp(ops.roundtrip, (x,), (t,)), fullgraph=True)(image, tangent)

    def with_dual_numbers():
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(image, tangent)
            torch.compile(ops.roundtrip, fullgraph=True)(dual)

    torch.compiler.reset()
    with pytest.raises(Exception, match=r"is available in eager mode, not under torch\.compile"):
        with_jvp() if mode == "jvp" else with_dual_numbers()
    torch.compiler.reset()
    assert torch.equal(torch.compile(ops.roundtrip, fullgraph=True)(image), ops.roundtrip(image))


# torch.jit says that it is old, and, of sizes that are checked, that it does not trace the checks.
traces = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::torch.jit.TracerWarning"
)


@traces
@pytest.mark.parametrize("options", [{}, {"quality": 30}, {"colorspace": "ycbcr"}])
@pytest.mark.parametrize("make", [noise, uniform])
def test_a_trace_takes_other_images(make, options):
    layer = NNJpeg(**options)
    traced = torch.jit.trace(layer, make(2, 3, 16, 24, seed=1))
    for shape in ((2, 3, 16, 24), (2, 3, 40, 33)):
        assert torch.equal(traced(make(*shape, seed=2)), layer(make(*shape, seed=2)))


@traces
def test_a_trace_draws_anew():
    image = noise(1, 3, 16, 16).expand(40, 3, 16, 16).contiguous()
    traced = torch.jit.trace(NNJpeg(quality=(20, 21)), image, check_trace=False)
    expected = [nn_jpeg(image[0], quality=q) for q in (20, 21)]
    found = [[torch.equal(one, e) for e in expected].index(True) for one in traced(image)]
    assert set(found) == {0, 1}


@pytest.mark.parametrize("quality", [None, 30, (20, 80)])
@pytest.mark.parametrize("make", [noise, uniform])
def test_export_with_a_dynamic_batch(make, quality):
    layer = NNJpeg(quality=quality)
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(layer, (make(4, 3, 16, 24),), dynamic_shapes=(({0: batch},),)).module()
    image = make(7, 3, 16, 24, seed=1)
    torch.manual_seed(0)
    result = exported(image)
    torch.manual_seed(0)
    assert torch.equal(result, layer(image))


@pytest.mark.parametrize("make", [noise, uniform])
def test_vmap_draws_for_each_image(make):
    image = make(3, 16, 16)
    result = torch.func.vmap(NNJpeg(quality=(20, 21)), randomness="different")(image.expand(40, 3, 16, 16))
    expected = [nn_jpeg(image, quality=q) for q in (20, 21)]
    assert {[torch.equal(one, e) for e in expected].index(True) for one in result} == {0, 1}


@pytest.mark.parametrize("make", [noise, uniform])
def test_vmap_over_qualities_and_wide_tables(make):
    image, qualities = make(3, 16, 16), torch.tensor([10, 50, 90])
    result = torch.func.vmap(lambda q: nn_jpeg(image, quality=q))(qualities)
    for one, quality in zip(result, qualities.tolist(), strict=True):
        assert torch.equal(one, nn_jpeg(image, quality=quality))
    tables = some_tables(4).long()
    result = torch.func.vmap(lambda t: ops.roundtrip(image, t))(tables)
    for one, table in zip(result, tables, strict=True):
        assert torch.equal(one, ops.roundtrip(image, table))


# The operators check their arguments, on every device and in the fake


def bad_operands():
    image, table = uniform(4, 3, 16, 16), some_tables(1, 1)
    bad_image = "image must have"
    return [
        ((image[0], table), bad_image),
        ((image[:, :2], table, True), "3 components to be coded as YCbCr, got 2"),
        ((image.double(), table), bad_image),
        ((image.long(), table), bad_image),
        ((image, some_tables(2, 1)), r"shape \(4 or 1, 3 or 1, 8, 8\)"),
        ((image, some_tables(1, 2)), "qtable must be"),
        ((image, some_tables()), "qtable must be"),
        ((image, some_tables(1, 1)[..., :7]), "qtable must be"),
        ((image, table.int()), "qtable must be"),
        ((image, some_tables(1, 3).transpose(2, 3)), "contiguous"),
        ((image, table.to("meta")), "on image's device"),
    ]


@pytest.mark.parametrize("device", ["cpu", "meta", "elsewhere", "fake"])
def test_operators_refuse_operands_that_do_not_fit(device):
    mode = (
        torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True) if device == "fake" else contextlib.nullcontext()
    )
    forward = ops._roundtrip_elsewhere if device == "elsewhere" else torch.ops.nnjpeg.roundtrip
    backward = ops._cubic_backward_elsewhere if device == "elsewhere" else torch.ops.nnjpeg.cubic_backward
    for (image, table, *ycbcr), message in bad_operands():
        if device == "meta":
            image, table = image.to("meta"), some_tables(1, 1) if table.is_meta else table.to("meta")
        with mode, pytest.raises((ValueError, TypeError), match=message):
            forward(image, table, bool(ycbcr), False, False)
        with mode, pytest.raises((ValueError, TypeError), match=message):
            backward(image, image, table, bool(ycbcr))
    image, table = uniform(4, 3, 16, 16), some_tables(1, 1)
    if device == "meta":
        image, table = image.to("meta"), table.to("meta")
    for grad in (image[:1], image[..., :8], image.half(), image[0]):
        with mode, pytest.raises(ValueError, match="grad must have the shape, dtype and device of image"):
            backward(grad, image, table, False)


# NNJpeg as a layer


def test_a_layer_that_was_empty_has_its_tables():
    """As large models are loaded: made without memory, which comes later."""
    image = uniform(2, 3, 16, 16)
    with torch.device("meta"):
        layer = torch.nn.Sequential(NNJpeg(quality=30))
    emptied = NNJpeg(quality=30).to("meta").to_empty(device="cpu")
    for made in (layer.to_empty(device="cpu"), torch.nn.Sequential(emptied)):
        assert torch.equal(made[0].steps, NNJpeg(quality=30).steps)
        assert torch.equal(made(image), NNJpeg(quality=30)(image))


def test_a_buffer_on_another_device_is_not_used():
    layer = NNJpeg(quality=30)
    layer.steps = layer.steps.to("meta")  # what loaders of large models do to buffers
    image = uniform(2, 3, 16, 16)
    assert torch.equal(layer(image), NNJpeg(quality=30)(image))


def test_fx_does_not_leave_it_out():
    """It would pass a Proxy through as it does what is no image: the model would lose its defence in silence."""
    defended = torch.nn.Sequential(NNJpeg(), torch.nn.Identity())
    with pytest.raises(TypeError, match="can't trace through NNJpeg, and would leave it out"):
        torch.fx.symbolic_trace(defended)

    class Leaf(torch.fx.Tracer):
        def is_leaf_module(self, module, name):
            return isinstance(module, NNJpeg) or super().is_leaf_module(module, name)

    image = uniform(2, 3, 16, 16)
    traced = torch.fx.GraphModule(defended, Leaf().trace(defended))
    assert torch.equal(traced(image), NNJpeg()(image))


@pytest.mark.parametrize(("name", "value"), [("quality", 10), ("qtable", QTable.nn(2))])
def test_what_tables_are_made_of_is_fixed(name, value):
    layer = NNJpeg(quality=90)
    with pytest.raises(AttributeError, match=f"the {name} of an NNJpeg is fixed"):
        setattr(layer, name, value)
    assert repr(layer) == repr(NNJpeg(quality=90))
    layer.gradient = "cubic"
    assert copy.deepcopy(layer).gradient == "cubic"


def test_garbage_in_the_buffer_is_written_over():
    layer = NNJpeg(quality=30)
    layer.steps.fill_(1)
    layer.reset_parameters()
    assert torch.equal(layer.steps, NNJpeg(quality=30).steps)


@pytest.fixture
def fresh_range_check(monkeypatch):
    monkeypatch.setattr(ops, "_range", ops._RangeCheck())


@pytest.mark.usefixtures("fresh_range_check")
@pytest.mark.parametrize("image", [uniform(3, 16, 16, high=255), uniform(3, 16, 16, low=-2, high=2.5)])
def test_floats_far_outside_their_range_are_warned_of_once(image):
    NNJpeg()(uniform(3, 16, 16))
    with pytest.warns(UserWarning, match=r"images in \[0, 1\], got samples from .* put NNJpeg before Normalize"):
        NNJpeg()(image)
    NNJpeg()(image)


@pytest.mark.usefixtures("fresh_range_check")
def test_floats_beside_their_range_are_not_warned_of():
    for image in (uniform(3, 16, 16, low=-0.3, high=1.3), torch.full((3, 16, 16), torch.nan), noise(3, 16, 16)):
        for _ in range(4):
            ops.roundtrip(image)
    ops.roundtrip(torch.empty(0, 3, 8, 8))


@pytest.mark.parametrize("shape", [(64, 64, 3), (1, 64, 64, 3), (5, 8, 8), (2, 5, 8, 8)])
def test_more_than_four_components_need_a_word(shape):
    components = shape[-3]
    for image in (noise(*shape), uniform(*shape)):
        for call in (ops.roundtrip, nn_jpeg, lambda x, **options: NNJpeg(**options)(x)):
            with pytest.raises(ValueError, match=rf"channels-last order, permute it; .* components={components}"):
                call(image)
            result = call(image, components=components)
            assert torch.equal(result[..., :1, :, :], ops.roundtrip(image[..., :1, :, :]))
            with pytest.raises(ValueError, match="must have 7 components, as components says"):
                call(image, components=7)


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
        (lambda: ops.roundtrip(noise(3, 8, 8), precision="half"), ValueError, "'uint8', 'float', got 'half'"),
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
        (
            lambda: nn_jpeg(noise(2, 3, 8, 8), quality=torch.tensor([1.5, 2])),
            TypeError,
            r"got torch.float32 of shape \(2,\)",
        ),
        (lambda: nn_jpeg(noise(2, 3, 8, 8), quality=torch.tensor([0, 50])), ValueError, r"1\.\.100, got 0"),
        (lambda: nn_jpeg(uniform(2, 3, 8, 8), quality=np.array([1, 101])), ValueError, r"1\.\.100, got 101"),
        (lambda: nn_jpeg(np.zeros((8, 8), np.uint8), NN), TypeError, "may be tensors only where image is one"),
        (lambda: NNJpeg(gradient="soft"), ValueError, "gradient must be one of"),
        (lambda: NNJpeg(precision="soft"), ValueError, "precision must be one of"),
        (lambda: NNJpeg(some_tables(2, 3)), (ValueError, TypeError), "qtable"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
