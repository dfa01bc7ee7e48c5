"""Gradients of the torch operator, backward and forward."""

import itertools

import pytest
import torch
from tensors import CODINGS, FLOATS, TOLERANCE, away_from_ties, compiles, some_tables, uniform

from nnjpeg import _plain, _roundtrip, ops
from nnjpeg._arguments import SUBSAMPLINGS
from nnjpeg.transforms import NNJpeg

# What torch itself imports for forward-mode differentiation.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")


@pytest.mark.parametrize("precision", ["float", "uint8"])
@pytest.mark.parametrize("dtype", [*FLOATS, torch.float64])
def test_straight_through_is_the_identity(precision, dtype):
    image = uniform(2, 3, 13, 21).to(dtype).requires_grad_()
    grad = uniform(2, 3, 13, 21, seed=1).to(dtype)
    result = ops.roundtrip(image, precision=precision)
    assert torch.equal(torch.autograd.grad(result, image, grad)[0], grad)
    assert torch.equal(result, ops.roundtrip(image.detach(), precision=precision))


@pytest.mark.parametrize("coding", CODINGS)
def test_straight_through_is_the_identity_with_subsampling(coding):
    image, grad = uniform(2, 3, 13, 21).requires_grad_(), uniform(2, 3, 13, 21, seed=1)
    assert torch.equal(torch.autograd.grad(ops.roundtrip(image, **coding), image, grad)[0], grad)


def test_none_has_no_gradient():
    image = uniform(1, 3, 8, 8).requires_grad_()
    assert not ops.roundtrip(image, gradient="none").requires_grad
    assert not NNJpeg(gradient="none")(image).requires_grad


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [(5, 11), (7, 4)])
def test_gradcheck_of_the_cubic(coding, size):
    """In double precision, whose second derivative there is too; with samples beyond the range, and coarse steps that
    clip the result."""
    image = uniform(1, 3, *size, low=-0.3, high=1.3, seed=3).double().requires_grad_()
    table = some_tables(1, 3, seed=4)

    def function(x):
        return ops.roundtrip(x, table, **coding, gradient="cubic", precision="float")

    clipped = function(image)
    assert ((clipped == 0) | (clipped == 1)).any()
    assert torch.autograd.gradcheck(function, image, eps=1e-7, atol=1e-4)
    assert torch.autograd.gradgradcheck(function, image, eps=1e-7, atol=1e-3, fast_mode=True)
    tangent = uniform(1, 3, *size, low=-1, seed=5).double()
    along = torch.func.jvp(function, (image.detach(),), (tangent,))[1]
    flags = coding["colorspace"] == "ycbcr", *SUBSAMPLINGS[coding.get("subsampling", "4:4:4")]
    torch.testing.assert_close(
        _plain.tangent(image.detach(), table, tangent, torch.zeros(1, 3, 8, 8), *flags, cubic=True), along
    )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [(8, 8), (32, 48), (13, 21), (1, 3), (40, 70)])
@pytest.mark.parametrize("precision", ["float", "uint8"])
def test_cubic_gradient_is_that_of_double_precision(isa, dtype, coding, size, precision):
    image = uniform(2, 3, *size, low=-0.1, high=1.1).to(dtype)
    image[0, 0, 0, :2] = torch.tensor([0.0, 1.0])[: size[1]]  # on the bounds the gradient passes
    table, grad = some_tables(2, 1, seed=1), uniform(2, 3, *size, seed=2, low=-1).to(dtype)
    options = {**coding, "gradient": "cubic"}
    leaf, double = image.clone().requires_grad_(), image.double().requires_grad_()
    (gradient,) = torch.autograd.grad(ops.roundtrip(leaf, table, precision=precision, **options), leaf, grad)
    (expected,) = torch.autograd.grad(ops.roundtrip(double, table, **options), double, grad.double())
    factors = SUBSAMPLINGS[coding.get("subsampling", "4:4:4")]
    clear = away_from_ties(image, table.expand(2, 3, 8, 8), coding["colorspace"] == "ycbcr", *factors)
    # Where decoded samples end up on a bound, the mask is decided by rounding errors: few of them.
    off = (gradient.double() - expected).abs() > 4 * TOLERANCE[dtype] * expected.abs().max()
    assert off[clear].float().mean() < 0.02
    assert expected[clear].abs().max() > 0.1


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [(13, 21), (4, 4)])
def test_plain_torch_has_the_cubic_gradient(coding, size):
    """Which devices without a kernel run, where the dispatcher has put autograd aside."""
    image, grad = uniform(2, 3, *size, low=-0.1, high=1.1), uniform(2, 3, *size, low=-1, seed=1)
    table, double = some_tables(2, 3, seed=2), image.double().requires_grad_()
    flags = coding["colorspace"] == "ycbcr", *SUBSAMPLINGS[coding.get("subsampling", "4:4:4")]
    with torch._C._AutoDispatchBelowAutograd():
        gradient = _roundtrip._cubic_backward_elsewhere(grad, image, table, *flags)
    result = ops.roundtrip(double, table, gradient="cubic", precision="float", **coding)
    (expected,) = torch.autograd.grad(result, double, grad.double())
    torch.testing.assert_close(gradient.double(), expected, rtol=1e-4, atol=1e-5)


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


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("gradient", ["straight-through", "cubic"])
def test_gradient_for_each_sample(gradient, coding):
    images = uniform(3, 3, 16, 16)
    weight = uniform(3, 16, 16, seed=1)

    def loss(x):
        return (ops.roundtrip(x, gradient=gradient, **coding) * weight).sum()

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
    for gradient, coding in itertools.product(("straight-through", "cubic"), CODINGS):

        def function(x, gradient=gradient, coding=coding):
            return ops.roundtrip(x, table, gradient=gradient, **coding, precision=precision)

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
