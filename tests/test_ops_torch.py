"""What torch does with operators: compiles, exports, traces and maps them."""

import numpy as np
import pytest
import torch
from tensors import FLOATS, NN, compiles, noise, some_tables, uniform
from torch.library import opcheck

from nnjpeg import NN_TABLE, ops
from nnjpeg.transforms import JPEG, NNJpeg, jpeg, nn_jpeg


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # opcheck's own
@pytest.mark.parametrize("dtype", [torch.uint8, *FLOATS])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize("factors", [(1, 1), (2, 2)])
def test_opcheck(dtype, exact, cubic, factors):
    image = noise(2, 3, 13, 21) if dtype == torch.uint8 else uniform(2, 3, 13, 21).to(dtype)
    leaf = image.clone().requires_grad_(dtype != torch.uint8)
    for batch in (leaf, image.contiguous(memory_format=torch.channels_last)):
        for tables in (some_tables(2, 3), some_tables(2, 3).float()):
            opcheck(torch.ops.nnjpeg.roundtrip, (batch, tables, True, *factors, exact, cubic))


@pytest.mark.parametrize("dtype", FLOATS)
def test_opcheck_backward(dtype):
    image, grad = uniform(2, 3, 13, 21).to(dtype), uniform(2, 3, 13, 21, seed=1).to(dtype)
    for factors in ((1, 1), (2, 1)):
        opcheck(torch.ops.nnjpeg.cubic_backward, (grad, image, some_tables(2, 3), True, *factors))


def model(layer=NNJpeg, **options):
    torch.manual_seed(0)
    return torch.nn.Sequential(layer(**options), torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.LazyLinear(5))


@pytest.mark.slow
@compiles
@pytest.mark.parametrize("gradient", ["straight-through", "cubic"])
@pytest.mark.parametrize("precision", ["float", "uint8"])
@pytest.mark.parametrize("options", [{}, {"layer": JPEG, "quality": 75}])
def test_compile_without_a_graph_break(gradient, precision, options):
    layer = model(gradient=gradient, precision=precision, **options)
    image = uniform(2, 3, 16, 16)
    eager_input, compiled_input = image.clone().requires_grad_(), image.clone().requires_grad_()
    expected, result = layer(eager_input), torch.compile(layer, fullgraph=True)(compiled_input)
    torch.testing.assert_close(result, expected)
    expected.sum().backward()
    result.sum().backward()
    torch.testing.assert_close(compiled_input.grad, eager_input.grad)


@pytest.mark.slow
@compiles
@pytest.mark.parametrize(
    ("layer", "function"), [(NNJpeg(quality=(20, 21)), nn_jpeg), (JPEG((20, 21), per_image=True), jpeg)]
)
def test_compile_draws_qualities_and_takes_bytes(layer, function):
    torch.manual_seed(0)
    batch = noise(1, 3, 16, 16).expand(20, 3, 16, 16).contiguous()
    result = torch.compile(layer, fullgraph=True)(batch)
    expected = [function(batch[0], quality=q) for q in (20, 21)]
    found = [[torch.equal(image, e) for e in expected] for image in result]
    assert all(sum(row) == 1 for row in found)
    assert {row[0] for row in found} == {True, False}


@pytest.mark.slow
@compiles
def test_compile_draws_one_quality_for_a_batch():
    compiled = torch.compile(JPEG((20, 21)), fullgraph=True)
    batch = noise(1, 3, 16, 16).expand(4, 3, 16, 16).contiguous()
    expected = [jpeg(batch, q) for q in (20, 21)]
    torch.manual_seed(0)
    results = [compiled(batch) for _ in range(20)]
    assert {[torch.equal(result, e) for e in expected].index(True) for result in results} == {0, 1}


@pytest.mark.parametrize("options", [{}, {"layer": JPEG, "quality": 75}])
def test_export(options):
    layer, image = model(**options), uniform(2, 3, 16, 16)
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
    options = {"gradient": "cubic", "precision": "float", "colorspace": "ycbcr", "subsampling": "4:2:0"}
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


# torch.jit says that it is old, and, of sizes that are checked, that it does not trace the checks.
traces = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::torch.jit.TracerWarning"
)


@traces
@pytest.mark.parametrize("layer", [NNJpeg(), NNJpeg(quality=30), NNJpeg(colorspace="ycbcr"), JPEG(30)])
@pytest.mark.parametrize("make", [noise, uniform])
def test_a_trace_takes_other_images(make, layer):
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


@pytest.mark.parametrize(
    "layer",
    [
        NNJpeg(),
        NNJpeg(quality=30),
        NNJpeg(quality=(20, 80)),
        JPEG(30),
        JPEG((20, 80)),
        JPEG((20, 80), per_image=True),
        JPEG((20.0, 80.0), per_image=True),
    ],
)
@pytest.mark.parametrize("make", [noise, uniform])
def test_export_with_a_dynamic_batch(make, layer):
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(layer, (make(4, 3, 16, 24),), dynamic_shapes=({0: batch},)).module()
    image = make(7, 3, 16, 24, seed=1)
    torch.manual_seed(0)
    result = exported(image)
    torch.manual_seed(0)
    assert torch.equal(result, layer(image))


@pytest.mark.parametrize(("layer", "function"), [(NNJpeg(quality=(20, 21)), nn_jpeg), (JPEG((20, 21)), jpeg)])
@pytest.mark.parametrize("make", [noise, uniform])
def test_vmap_draws_for_each_image(make, layer, function):
    image = make(3, 16, 16)
    result = torch.func.vmap(layer, randomness="different")(image.expand(40, 3, 16, 16))
    expected = [function(image, quality=q) for q in (20, 21)]
    assert {[torch.equal(one, e) for e in expected].index(True) for one in result} == {0, 1}


@pytest.mark.parametrize("make", [noise, uniform])
def test_vmap_over_qualities_and_wide_tables(make):
    image = make(3, 16, 16)
    for qualities in (torch.tensor([10, 50, 90]), torch.tensor([9.5, 50, 90.125])):
        for function in (nn_jpeg, jpeg):
            result = torch.func.vmap(lambda q, function=function: function(image, quality=q))(qualities)
            for one, quality in zip(result, qualities.tolist(), strict=True):
                assert torch.equal(one, function(image, quality=quality))
    tables = some_tables(4).long()
    result = torch.func.vmap(lambda t: ops.roundtrip(image, t))(tables)
    for one, table in zip(result, tables, strict=True):
        assert torch.equal(one, ops.roundtrip(image, table))


@compiles
@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_compile_takes_a_quality_for_each_image(kind):
    """A list, which is deprecated, as well: there is no warning inside a graph."""
    for qualities in ([10, 50, 90], [10.5, 50.5, 90.5]):
        image = uniform(3, 3, 16, 16)
        compiled = torch.compile(lambda x, q=qualities: nn_jpeg(x, quality=kind(q)), fullgraph=True)
        assert torch.equal(compiled(image), nn_jpeg(image, quality=np.array(qualities)))


def test_compile_leaves_tables_immutable():
    """It takes an array's write protection away where it meets one."""
    image = uniform(1, 3, 16, 16)
    for quality in (None, 75, 75.5):
        compiled = torch.compile(lambda x, q=quality: nn_jpeg(x, quality=q), fullgraph=True)
        assert torch.equal(compiled(image), nn_jpeg(image, quality=quality))
        with pytest.raises(ValueError, match="read-only"):
            NN_TABLE.steps[0, 0] = 1
