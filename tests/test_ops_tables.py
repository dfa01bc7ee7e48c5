"""Gradients by quantization tables and by the quality."""

import numpy as np
import pytest
import torch
from tensors import CODINGS, FLOATS, NN, away_from_ties, compiles, noise, some_tables, uniform
from torch.library import opcheck

from nnjpeg import NN_TABLE, QTable, _plain, _roundtrip, ops
from nnjpeg._arguments import SUBSAMPLINGS
from nnjpeg.transforms import NNJpeg, jpeg, nn_jpeg

# What torch itself imports for forward-mode differentiation.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")

SHARING = [(1, 1), (1, 3), (2, 1), (2, 3)]
GRADIENTS = ["straight-through", "cubic"]


def flags_of(coding):
    return coding["colorspace"] == "ycbcr", *SUBSAMPLINGS[coding.get("subsampling", "4:4:4")]


def float_tables(*leading, seed=0, low=1.0, high=60.0):
    return uniform(*leading, 8, 8, seed=seed, low=low, high=high)


def frozen_residuals(image, steps, ycbcr, h, v):
    """What the straight-through gradient is the derivative of: round(u) is u and what it was away from that, at the
    steps which are given; a function of others."""
    samples = 255 * image - 128
    residuals = [torch.round(u) - u for u in _plain._in_steps(samples, steps, ycbcr, h, v)]

    def function(others):
        u = _plain._in_steps(samples, others, ycbcr, h, v)
        decoded = _plain._from_steps([a + b for a, b in zip(u, residuals, strict=True)], others, h, v)
        if ycbcr:
            decoded = [plane.clamp(-128, 127) for plane in decoded]
        return ((_plain._joined(decoded, image, ycbcr, h, v) + 128) / 255).clamp(0, 1)

    return function


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("sharing", SHARING)
def test_gradcheck_of_the_surrogates(coding, sharing):
    """In double precision, of black and white, which coarse steps clip."""
    image = (uniform(2, 3, 5, 11, seed=3) > 0.5).double()
    steps = float_tables(*sharing, seed=4, high=250.0).double().requires_grad_()
    flags = flags_of(coding)

    def cubic(t):
        return _plain.roundtrip_float(image, t, *flags, cubic=True)

    assert (cubic(steps) == 0).any()
    assert torch.autograd.gradcheck(cubic, steps, eps=1e-7, atol=1e-4, fast_mode=sharing != (1, 1))

    surrogate = frozen_residuals(image, steps.detach(), *flags)
    straight = _plain.roundtrip_float(image, steps, *flags, cubic=False)
    torch.testing.assert_close(surrogate(steps), straight)
    assert torch.autograd.gradcheck(surrogate, steps, eps=1e-7, atol=1e-4, fast_mode=sharing != (1, 1))
    grad = uniform(*image.shape, low=-1, seed=5).double()
    (expected,) = torch.autograd.grad(surrogate(steps), steps, grad)
    torch.testing.assert_close(torch.autograd.grad(straight, steps, grad)[0], expected)


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("coding", CODINGS)
def test_tangent_is_the_transpose(coding, gradient):
    image, steps = uniform(2, 3, 13, 7).double(), float_tables(2, 3, seed=1, high=250.0).double()
    flags, cubic = flags_of(coding), gradient == "cubic"

    def function(t):
        return _plain.roundtrip_float(image, t, *flags, cubic)

    direction = uniform(2, 3, 8, 8, low=-1, seed=2).double()
    along = torch.func.jvp(function, (steps,), (direction,))[1]
    found = _plain.tangent(image, steps, torch.zeros_like(image), direction, *flags, cubic)
    torch.testing.assert_close(found, along)


def gradient_in_double(grad, image, tables, flags, cubic):
    steps = _plain.steps_of(tables).double().requires_grad_()
    result = _plain.roundtrip_float(image.double(), steps, *flags, cubic)
    return torch.autograd.grad(result, steps, grad.double())[0]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [(8, 8), (32, 48), (13, 21), (1, 3), (40, 70)])
@pytest.mark.parametrize("cubic", [False, True])
def test_operator_has_the_gradient_of_double_precision(isa, dtype, coding, size, cubic):
    """Of all pixels that no coefficient reaches which is half way between two multiples of its step."""
    flags = flags_of(coding)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        image = uniform(2, 3, *size, low=-0.1, high=1.1).to(dtype).contiguous(memory_format=memory_format)
        table = float_tables(2, 3, seed=2)
        for b, c in SHARING:
            tables = table[:b, :c]
            clear = away_from_ties(image, _plain.steps_of(tables), *flags)
            grad = uniform(2, 3, *size, low=-1, seed=1).to(dtype) * clear
            found = torch.ops.nnjpeg.table_backward(grad, image, tables, *flags, cubic)
            expected = gradient_in_double(grad, image, tables, flags, cubic)
            assert found.dtype == torch.float32
            assert found.shape == tables.shape
            torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())
            assert expected.abs().max() > 1e-3 or size != (40, 70)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("cubic", [False, True])
def test_plain_torch_has_the_gradient(coding, cubic):
    """Which devices without a kernel run, where the dispatcher has put autograd aside."""
    image, grad = uniform(2, 3, 13, 21, low=-0.1, high=1.1), uniform(2, 3, 13, 21, low=-1, seed=1)
    tables, flags = float_tables(2, 3, seed=2), flags_of(coding)
    with torch._C._AutoDispatchBelowAutograd():
        found = _roundtrip._table_backward_elsewhere(grad, image, tables, *flags, cubic)
    expected = gradient_in_double(grad, image, tables, flags, cubic)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


def test_an_empty_batch_has_the_gradient_zero():
    table = float_tables().requires_grad_()
    ops.roundtrip(torch.empty(0, 3, 16, 16), table).sum().backward()
    assert torch.equal(table.grad, torch.zeros(8, 8))


def test_gradient_of_a_large_batch_on_several_threads():
    """Tables of each image, whose rows several threads share."""
    image, grad, tables = uniform(5, 3, 520, 640), uniform(5, 3, 520, 640, low=-1, seed=1), float_tables(5, 3)
    for flags in ((False, 1, 1), (True, 1, 1), (True, 2, 2)):
        together = torch.ops.nnjpeg.table_backward(grad, image, tables, *flags, False)
        alone = [
            torch.ops.nnjpeg.table_backward(grad[i : i + 1], image[i : i + 1], tables[i : i + 1], *flags, False)
            for i in range(5)
        ]
        torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("precision", ["uint8", "float"])
@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("dtype", [*FLOATS, torch.float64])
def test_bits_and_gradient_of_a_call(dtype, coding, gradient, precision):
    """The bits are those of whole steps; the gradient is the operator's, added up over what shares a table."""
    image, weight = uniform(2, 3, 13, 21).to(dtype), uniform(2, 3, 13, 21, seed=1).to(dtype)
    options = {**coding, "gradient": gradient, "precision": precision}
    for shape in [(8, 8), (3, 8, 8), (1, 3, 8, 8), (2, 1, 8, 8), (2, 3, 8, 8)]:
        table = float_tables(*shape[:-2]).requires_grad_()
        result = ops.roundtrip(image, table, **options)
        assert result.dtype == dtype
        assert torch.equal(result, ops.roundtrip(image, table.detach().round().to(torch.uint8), **options))
        (found,) = torch.autograd.grad((result * weight).sum(), table)
        leading = (1,) * (4 - table.ndim)
        flags = *flags_of(coding), gradient == "cubic"
        expected = torch.ops.nnjpeg.table_backward(
            weight.float(), image.float(), table.detach().view(*leading, *shape), *flags
        )
        torch.testing.assert_close(found, expected.view(shape), rtol=1e-3, atol=1e-3)


def test_the_gradient_by_the_image_stays():
    image, table = uniform(2, 3, 16, 24).requires_grad_(), float_tables(3).requires_grad_()
    for gradient in GRADIENTS:
        both = torch.autograd.grad(ops.roundtrip(image, table, gradient=gradient).square().sum(), (image, table))
        result = ops.roundtrip(image, table.detach(), gradient=gradient)
        assert torch.equal(both[0], torch.autograd.grad(result.square().sum(), image)[0])
        result = ops.roundtrip(image.detach(), table, gradient=gradient)
        assert torch.equal(both[1], torch.autograd.grad(result.square().sum(), table)[0])


def test_steps_beyond_the_ends_keep_their_gradient():
    """So that they can come back; what they are used as is the nearer end."""
    image, table = uniform(1, 1, 32, 32, low=0.2, high=0.8), torch.full((8, 8), 9.0)
    for beyond, end in ((-7.0, 1.0), (0.4, 1.0), (300.0, 255.0)):
        gradients = []
        for step in (beyond, end):
            leaf = table.clone()
            leaf[0, 1] = step
            leaf.requires_grad_()
            result = ops.roundtrip(image, leaf)
            gradients.append(torch.autograd.grad(result.square().sum(), leaf)[0])
        assert torch.equal(gradients[0], gradients[1])
        assert gradients[0][0, 1] != 0


def test_no_gradient():
    table = float_tables().requires_grad_()
    image = uniform(1, 3, 16, 16)
    assert not ops.roundtrip(image, table, gradient="none").requires_grad
    assert not ops.roundtrip((image * 255).byte(), table).requires_grad
    assert torch.equal(
        ops.roundtrip((image * 255).byte(), table), ops.roundtrip((image * 255).byte(), table.detach().round().byte())
    )
    with torch.no_grad():
        assert not ops.roundtrip(image, table).requires_grad


def test_descent_lowers_a_loss():
    """From steps that are too coarse, to what they may cost."""
    image, table = uniform(4, 3, 32, 32), torch.full((8, 8), 120.0, requires_grad=True)
    optimizer = torch.optim.Adam([table], lr=4)
    losses = []
    for _ in range(20):
        loss = (ops.roundtrip(image, table) - image).square().mean() - 1e-6 * table.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:4:0"])
def test_second_derivatives_are_those_of_double_precision_alone(subsampling):
    coding = {"colorspace": "ycbcr", "subsampling": subsampling, "gradient": "cubic", "precision": "float"}
    image, table = uniform(1, 3, 8, 8).requires_grad_(), float_tables(1, 3).requires_grad_()
    result = ops.roundtrip(image, table, **coding).square().sum()
    (gradient,) = torch.autograd.grad(result, table, create_graph=True)
    with pytest.raises(NotImplementedError, match="no derivative here; that of a float64 image has"):
        gradient.sum().backward()
    result = ops.roundtrip(image.double(), table, **coding).square().sum()
    (gradient,) = torch.autograd.grad(result, table, create_graph=True)
    gradient.sum().backward()
    assert table.grad.abs().max() > 0


# The quality


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("frames", [None, 2])
def test_gradient_of_the_quality(dtype, frames):
    """By the chain rule through the steps t s / 100, with s = 5000 / q below 50, else 200 - 2 q."""
    image, weight = uniform(4, 3, 16, 24).to(dtype), uniform(4, 3, 16, 24, low=-1, seed=1).to(dtype)
    numbers = torch.tensor([10.0, 49.5, 50.0, 97.3], dtype=torch.float64)
    base = torch.tensor(np.stack([QTable.standard_luminance(), *[QTable.standard_chrominance()] * 2])).double()
    for q in (numbers[:1].reshape(()), numbers[1:2], numbers):
        leaf = q.clone().requires_grad_()
        result = jpeg(image, leaf)
        assert torch.equal(result, jpeg(image, q))
        (found,) = torch.autograd.grad(result, leaf, weight)
        steps = ops.at_quality(base[None].byte(), q.reshape(-1)).to(torch.float32).requires_grad_()
        result = ops.roundtrip(image, steps, colorspace="ycbcr", subsampling="4:2:0")
        (of_steps,) = torch.autograd.grad(result, steps, weight)
        slope = torch.where(q < 50, -5000 / q**2, -2.0).reshape(-1)
        expected = (of_steps * base / 100 * slope[:, None, None, None]).sum((1, 2, 3))
        torch.testing.assert_close(found.reshape(-1), expected, rtol=1e-4, atol=1e-4)
        assert (expected.abs() > 1e-3).all()


def test_a_quality_and_tables_together():
    image, weight = uniform(2, 3, 16, 24), uniform(2, 3, 16, 24, low=-1, seed=1)
    table, quality = float_tables(3).requires_grad_(), torch.tensor([30.0, 80.0], requires_grad=True)
    result = nn_jpeg(image, table, quality=quality)
    assert torch.equal(result, nn_jpeg(image, table.detach().round().byte(), quality=quality.detach()))
    of_table, of_quality = torch.autograd.grad(result, (table, quality), weight)
    whole = table.detach().round().requires_grad_()
    steps = ops.at_quality(whole[None], quality)
    of_steps = torch.autograd.grad(ops.roundtrip(image, steps), steps, weight)[0]
    scale = torch.tensor([5000 / 30, 200 - 2 * 80.0])[:, None, None, None]
    torch.testing.assert_close(of_table, (of_steps * scale / 100).sum(0))
    alone = torch.autograd.grad(nn_jpeg(image, whole.detach().byte(), quality=quality), quality, weight)[0]
    torch.testing.assert_close(of_quality, alone)


def test_a_quality_beyond_the_ends_counts_as_the_nearer_end():
    """As a step that an optimizer has moved there; a number is refused as ever."""
    image = uniform(1, 3, 16, 24)
    for beyond, end in ((-3.0, 1.0), (104.5, 100.0)):
        leaf = torch.tensor(beyond, requires_grad=True)
        result = nn_jpeg(image, quality=leaf)
        assert torch.equal(result, nn_jpeg(image, quality=end))
        (gradient,) = torch.autograd.grad((result - image).square().sum(), leaf)
        assert gradient.isfinite()
        assert gradient != 0 or end == 100  # where the steps are 1
        with torch.no_grad():
            assert torch.equal(nn_jpeg(image, quality=leaf), result)
        with pytest.raises(ValueError, match=r"1\.\.100"):
            nn_jpeg(image, quality=leaf.detach())
    with pytest.raises(ValueError, match=r"1\.\.100, got nan"):
        nn_jpeg(image, quality=torch.tensor(torch.nan, requires_grad=True))


def test_a_quality_of_bytes_has_no_gradient():
    image, quality = noise(2, 3, 16, 24), torch.tensor([30.0, 80.5], requires_grad=True)
    result = jpeg(image, quality)
    assert not result.requires_grad
    assert torch.equal(result, jpeg(image, quality.detach()))


# What torch does with them


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # opcheck's own
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize("factors", [(1, 1), (2, 2)])
def test_opcheck(dtype, cubic, factors):
    image, grad = uniform(2, 3, 13, 21).to(dtype), uniform(2, 3, 13, 21, seed=1).to(dtype)
    for b, c in SHARING:
        tables = float_tables(b, c)
        opcheck(torch.ops.nnjpeg.table_backward, (grad, image, tables, True, *factors, cubic))
        for leaf in (image, image.clone().requires_grad_()):
            operands = leaf, tables.clone().requires_grad_(), True, *factors, True, cubic
            opcheck(torch.ops.nnjpeg.roundtrip, operands)
    opcheck(torch.ops.nnjpeg.roundtrip, (noise(2, 3, 13, 21), tables.requires_grad_(), True, *factors, True, cubic))


@pytest.mark.slow
@compiles
@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("precision", ["float", "uint8"])
def test_compile_without_a_graph_break(gradient, precision):
    image, table = uniform(2, 3, 16, 24), float_tables(3).requires_grad_()
    quality = torch.tensor([30.0, 80.5], requires_grad=True)

    def function(x, t, q):
        by_table = ops.roundtrip(x, t, gradient=gradient, precision=precision, colorspace="ycbcr", subsampling="4:2:0")
        return by_table + jpeg(x, q, gradient=gradient, precision=precision)

    torch.compiler.reset()
    results = [one(image, table, quality) for one in (function, torch.compile(function, fullgraph=True))]
    torch.testing.assert_close(results[1], results[0])
    expected, found = (torch.autograd.grad(result.square().sum(), (table, quality)) for result in results)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("coding", CODINGS)
def test_gradients_of_each_sample(gradient, coding):
    """By a table that all share, and by one for each: not added up over what is mapped."""
    images, weight = uniform(3, 2, 3, 16, 24), uniform(2, 3, 16, 24, low=-1, seed=1)

    def loss(table, x):
        return (ops.roundtrip(x, table, gradient=gradient, **coding) * weight).sum()

    for shape in [(8, 8), (1, 3, 8, 8), (2, 1, 8, 8), (2, 3, 8, 8)]:
        shared, own = float_tables(*shape[:-2]), float_tables(3, *shape[:-2], seed=3)
        for tables, in_dims in ((shared, (None, 0)), (own, (0, 0)), (own.movedim(0, -1), (-1, 0))):
            found = torch.func.vmap(torch.func.grad(loss), in_dims)(tables, images)
            for i, image in enumerate(images):
                table = shared if in_dims[0] is None else own[i]
                leaf = table.clone().requires_grad_()
                loss(leaf, image).backward()
                torch.testing.assert_close(found[i], leaf.grad)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_gradient_of_a_vmap(gradient):
    """By tables and a quality, over a map of each of them and of images."""
    images, tables, qualities = uniform(3, 3, 16, 24), float_tables(3), torch.tensor([20.0, 60.0, 90.0])

    def loss(t, q, x):
        by_table = torch.func.vmap(lambda t, x: ops.roundtrip(x, t, gradient=gradient))(t, x)
        return (by_table + torch.func.vmap(lambda q, x: jpeg(x, q, gradient=gradient))(q, x)).square().sum()

    found = torch.func.grad(loss, (0, 1))(tables, qualities, images)
    leaves = tables.clone().requires_grad_(), qualities.clone().requires_grad_()
    by_table = ops.roundtrip(images, leaves[0].unsqueeze(1), gradient=gradient)
    (by_table + jpeg(images, leaves[1], gradient=gradient)).square().sum().backward()
    torch.testing.assert_close(found, tuple(leaf.grad for leaf in leaves))


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_jacobians(coding, gradient, dtype):
    """Forward and backward, by the table and by the image and the table."""
    image, table = uniform(1, 3, 5, 4).to(dtype), float_tables()

    def function(t, x):
        return ops.roundtrip(x, t, gradient=gradient, **coding)

    for argnums in (0, (0, 1)):
        forward = torch.func.jacfwd(function, argnums)(table, image)
        backward = torch.func.jacrev(function, argnums)(table, image)
        torch.testing.assert_close(forward, backward, rtol=1e-4, atol=1e-5, check_dtype=False)
    with torch.autograd.forward_ad.dual_level():
        dual = function(torch.autograd.forward_ad.make_dual(table, torch.ones(8, 8)), image)
        along = torch.autograd.forward_ad.unpack_dual(dual).tangent
    jacobian = torch.func.jacfwd(function)(table, image)
    torch.testing.assert_close(along, jacobian.sum((-1, -2)), rtol=1e-4, atol=1e-5, check_dtype=False)


def test_jacobian_by_the_quality():
    image, quality = uniform(2, 3, 8, 8), torch.tensor([30.0, 80.0])
    forward = torch.func.jacfwd(lambda q: nn_jpeg(image, NN, quality=q))(quality)
    backward = torch.func.jacrev(lambda q: nn_jpeg(image, NN_TABLE, quality=q))(quality)
    torch.testing.assert_close(forward, backward, rtol=1e-4, atol=1e-6)
    assert forward.abs().max() > 0


def test_export():
    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Parameter(float_tables(3))

        def forward(self, x):
            return ops.roundtrip(x, self.table)

    layer, image = Layer(), uniform(2, 3, 16, 16)
    exported = torch.export.export(layer, (image,)).module()
    assert torch.equal(exported(image), layer(image))


def test_a_list_of_tensors_is_a_table_for_each_component():
    """Each keeps its gradient, and may stand beside a QTable."""
    image = uniform(3, 3, 16, 24)  # as many images as components, so that a tensor (3, 8, 8) could mean both
    whole = float_tables(1, 3).requires_grad_()
    several = [table.detach().clone().requires_grad_() for table in whole[0]]
    for function in (ops.roundtrip, ops.rate, nn_jpeg):
        expected, found = function(image, whole), function(image, several)
        assert torch.equal(found, expected)
        (by_whole,) = torch.autograd.grad(expected.square().sum(), whole)
        torch.testing.assert_close(torch.stack(torch.autograd.grad(found.square().sum(), several)), by_whole[0])
        assert torch.equal(
            function(image, [NN_TABLE, *several[1:]]),
            function(image, torch.stack([torch.tensor(NN_TABLE.to_list()), *whole[0, 1:]])[None]),
        )
    grey = image[:, :1]
    assert torch.equal(ops.rate(grey, several, colorspace="ycbcr"), ops.rate(grey, several[0]))
    assert torch.equal(nn_jpeg(image, several, quality=30), nn_jpeg(image, whole, quality=30))
    layer = NNJpeg([table.detach().round() for table in several], learn=True)
    assert torch.equal(layer.steps, whole.detach().round())
    with pytest.raises(ValueError, match=r"qtable\[1\] must have shape \(8, 8\), got \(1, 8, 8\)"):
        ops.rate(image, [several[0], several[1][None], several[2]])
    with pytest.raises(ValueError, match=r"where B is 3 and C is 3, got \(1, 2, 8, 8\)"):
        ops.roundtrip(image, several[:2])
    with pytest.raises(ValueError, match="qtable requires a gradient"):
        NNJpeg(several)


@compiles
def test_steps_that_are_not_read_are_not_checked():
    """NaN is refused in eager mode; where a graph is made, which reads no numbers, it counts as 1."""
    image, table = uniform(2, 3, 16, 16), float_tables(1, 1)
    wrong, fine = table.clone(), table.clone()
    wrong[0, 0, 2, 3], fine[0, 0, 2, 3] = torch.nan, 1
    for function in (ops.roundtrip, ops.rate):
        with pytest.raises(ValueError, match="qtable must hold numbers, got nan"):
            function(image, wrong)
        torch.compiler.reset()
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(image, wrong), function(image, fine))
        assert torch.equal(torch.func.vmap(function, (0, None))(image, wrong), function(image, fine))


@pytest.mark.parametrize(
    ("operands", "message"),
    [
        ((uniform(2, 3, 8, 8), uniform(1, 3, 8, 8), some_tables(1, 1)), "grad must have the shape, dtype and device"),
        ((uniform(1, 3, 8, 8), uniform(1, 3, 8, 8), some_tables(1, 2)), "qtable must be a tensor of uint8 or float32"),
    ],
)
def test_bad_operands(operands, message):
    with pytest.raises(ValueError, match=message):
        torch.ops.nnjpeg.table_backward(*operands, False, 1, 1, False)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_gradients_do_not_depend_on_the_default_dtype(dtype):
    image, table = uniform(1, 3, 16, 16), float_tables(3)

    def gradient():
        own = table.clone().requires_grad_()
        return torch.autograd.grad(ops.roundtrip(image, own).sum(), own)[0]

    expected, before = gradient(), torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        assert torch.equal(gradient(), expected)
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("dtype", [torch.uint16, torch.int8, torch.int16, torch.int64])
def test_tables_of_any_integers(dtype):
    image, steps = uniform(1, 3, 16, 16), torch.full((8, 8), 17)
    assert torch.equal(ops.roundtrip(image, steps.to(dtype)), ops.roundtrip(image, steps.to(torch.uint8)))
    with pytest.raises(ValueError, match=r"qtable entries must be integers in 1\.\.255, got 0"):
        ops.roundtrip(image, torch.zeros(8, 8, dtype=dtype))
