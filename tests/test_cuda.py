"""The CUDA kernels: on the host, as far as they can be without a GPU; compiled by nvcc; how a process comes by them;
and on a GPU where there is one. By NVRTC: test_nvrtc.py."""

import importlib.util
import itertools
import os
import shutil
import subprocess
import sys
import warnings

import pytest
import torch
from emulation import FLOAT, FLOAT_CUBIC, ROOT, UINT8, EmulatedDriver, FakeCuda, FakeNvrtc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensors import FLOATS, NN, TOLERANCE, away_from_ties, noise, some_tables, uniform

from nnjpeg import NN_TABLE, _launch, _nvrtc, _plain, _roundtrip, cuda, ops
from nnjpeg._arguments import FACTORS
from nnjpeg.transforms import NNJpeg, nn_jpeg

sources = pytest.mark.skipif(not (ROOT / "csrc").is_dir(), reason="the sources are not here")
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
FORMATS = [torch.contiguous_format, torch.channels_last]
CODINGS = [(False, 1, 1), *((True, *factors) for factors in FACTORS)]  # ycbcr, h, v
SUBSAMPLED = [coding for coding in CODINGS if coding[1:] != (1, 1)]


def image_of(dtype, *shape, seed=0):
    """Noise; floats also beyond 0..1."""
    return (
        noise(*shape, seed=seed) if dtype == torch.uint8 else uniform(*shape, seed=seed, low=-0.1, high=1.1).to(dtype)
    )


VIEWS = [
    lambda x: x[..., ::2],
    lambda x: x[:, :, 1::3, 5:],
    lambda x: x.mT,
    lambda x: x[::2, [2, 1, 0]],
    lambda x: x[:, :1].expand(-1, 3, -1, -1),
    lambda x: torch.cat([x, x[:, :1]], 1).contiguous(memory_format=torch.channels_last)[:, :3],
]


def float_tables(table, seed=0):
    """Floats that are rounded to `table`."""
    return table + uniform(*table.shape, seed=seed, low=-0.49, high=0.49)


def plain_gradient(grad, image, table, *coding):
    """That of the cubic rounding, by double autograd of the plain formula."""
    double = image.double().requires_grad_()
    return torch.autograd.grad(_plain.roundtrip_float(double, table, *coding, True), double, grad.double())[0]


def check_floats_and_gradients(roundtrip, backward, dtype, coding, size, memory_format):
    """Against double precision: the round trip in single precision, with either rounding, and the cubic's gradient."""
    image = image_of(dtype, 2, 3, *size).contiguous(memory_format=memory_format)
    grad, table = uniform(2, 3, *size, seed=1, low=-1).to(dtype), some_tables(2, 3, seed=2)
    clear = away_from_ties(image, table, *coding)
    assert clear.any()
    for cubic in (False, True):
        result = roundtrip(image, table, *coding, cubic)
        assert result.stride() == image.stride()
        off = (result.double() - _plain.roundtrip_float(image.double(), table, *coding, cubic)).abs()
        assert off[clear].max() < TOLERANCE[dtype]
    result, expected = backward(grad, image, table, *coding), plain_gradient(grad, image, table, *coding)
    assert torch.equal(result, backward(grad, image, table, *coding))
    # Where decoded samples end up on a bound, rounding errors decide whether the gradient passes: few of them.
    off = (result.double() - expected).abs() > 4 * TOLERANCE[dtype] * expected.abs().max()
    assert off[clear].float().mean() < 0.02


# On the host


def same_bits(kernel, image, table, coding):
    """The kernel's, the core's and the reference's."""
    result = kernel(image, table, *coding, UINT8)
    assert torch.equal(result, torch.ops.nnjpeg.roundtrip(image, table, *coding, True, False))
    assert torch.equal(result, _roundtrip.plain(image, table, *coding, True, False))


@sources
@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_emulated_kernel_has_the_cores_bits(emulated, drawn):
    b, h, w = (drawn.draw(st.integers(1, most)) for most in (3, 40, 40))
    coding = drawn.draw(st.sampled_from(CODINGS))
    c = 3 if coding[0] else drawn.draw(st.integers(1, 4))
    dtype = drawn.draw(st.sampled_from([torch.uint8, *FLOATS]))
    seed = drawn.draw(st.integers(0, 99))
    image = image_of(dtype, b, c, h, w, seed=seed)
    if drawn.draw(st.booleans()):
        image = image.contiguous(memory_format=torch.channels_last)
    if drawn.draw(st.booleans()):
        image = image[..., ::2]
    table = some_tables(drawn.draw(st.sampled_from([1, b])), drawn.draw(st.sampled_from([1, c])), seed=seed)
    same_bits(emulated, image, float_tables(table) if drawn.draw(st.booleans()) else table, coding)


@sources
@pytest.mark.parametrize("coding", SUBSAMPLED)
@pytest.mark.parametrize("width", range(1, 41))
def test_emulated_subsampling_at_every_width(emulated, coding, width):
    """With three heights each, so that all pairs of remainders of 16 come; extreme blocks."""
    for height in (width, 41 - width, 1 + 7 * width % 40):
        image = noise(2, 3, height, width, seed=width)
        image[1] = image[1] // 128 * 255
        same_bits(emulated, image, some_tables(2, 3, seed=width) // 4 + 1, coding)


@sources
@pytest.mark.parametrize("coding", CODINGS)
def test_emulated_views(emulated, coding):
    for view, dtype in itertools.product(VIEWS, (torch.uint8, torch.float32)):
        same_bits(emulated, view(image_of(dtype, 4, 3, 50, 67)), some_tables(1, 3), coding)


@sources
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("memory_format", FORMATS)
def test_emulated_batches_of_many_thread_blocks(emulated, coding, memory_format):
    for dtype in (torch.uint8, torch.float32):
        image = image_of(dtype, 5, 3, 67, 128).contiguous(memory_format=memory_format)
        same_bits(emulated, image, some_tables(5, 3), coding)


@sources
def test_emulated_tables_of_floats(emulated):
    """To the nearest in 1..255, ties to even, NaN to 1; zeros count as 1 in bytes too."""
    values = torch.tensor([0.0, -3.0, 0.5, 1.5, 2.5, 3.49, 254.5, 255.5, 1e9, torch.inf, -torch.inf, torch.nan, 17.0])
    table = values.repeat(6)[:64].reshape(1, 1, 8, 8)
    steps = _plain.steps_of(table).to(torch.uint8)
    assert steps.flatten()[:13].tolist() == [1, 1, 1, 2, 2, 3, 254, 255, 255, 255, 1, 1, 17]
    image = uniform(1, 3, 19, 21)
    for coding in CODINGS:
        same_bits(emulated, image, table, coding)
        assert torch.equal(emulated(image, table, *coding, UINT8), emulated(image, steps, *coding, UINT8))


@sources
@pytest.mark.parametrize("step", [*range(1, 256, 6), 255])
def test_emulated_quantizer_at_every_step(emulated, step):
    """Noise, and blocks of black and white, whose coefficients are the largest there are."""
    table = torch.full((1, 1, 8, 8), step, dtype=torch.uint8)
    batch = torch.cat([noise(8, 3, 32, 32, seed=step), noise(8, 3, 32, 32, seed=step) // 128 * 255])
    same_bits(emulated, batch, table, (False, 1, 1))


def flat(values):
    return values.repeat_interleave(64).reshape(-1, 1, 8, 8)


@sources
def test_every_byte_survives_emulated_floats(emulated):
    """n / 255 in every type is the number nearest to it."""
    table, ramp = torch.ones(1, 1, 8, 8, dtype=torch.uint8), flat(torch.arange(256, dtype=torch.uint8))
    for dtype in FLOATS:
        result = emulated((ramp.float() / 255).to(dtype), table, False, 1, 1, UINT8)
        assert torch.equal(
            result, (torch.ops.nnjpeg.roundtrip(ramp, table, False, 1, 1, False, False).float() / 255).to(dtype)
        )


@sources
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [(8, 8), (16, 24), (13, 21), (1, 3), (5, 34), (40, 17)])
@pytest.mark.parametrize("memory_format", FORMATS)
def test_emulated_floats_and_gradients(emulated, dtype, coding, size, memory_format):
    def roundtrip(image, table, ycbcr, h, v, cubic):
        return emulated(image, table, ycbcr, h, v, FLOAT_CUBIC if cubic else FLOAT)

    def backward(grad, image, table, *coding):
        return emulated(image, table, *coding, FLOAT_CUBIC, grad)

    check_floats_and_gradients(roundtrip, backward, dtype, coding, size, memory_format)


@sources
@pytest.mark.parametrize("coding", SUBSAMPLED)
def test_emulated_gradient_at_many_sizes(emulated, coding):
    """All but single samples next to a bound are those of double precision, borders too. On the bounds it passes."""
    for height in range(1, 41, 3):
        width = 1 + (7 * height + 5) % 40
        image, grad = image_of(torch.float32, 1, 3, height, width, seed=height), uniform(1, 3, height, width, low=-1)
        image[..., 0, 0], image[..., -1, -1] = 1.0, 0.0
        table = some_tables(1, 3, seed=height)
        result, expected = (
            emulated(image, table, *coding, FLOAT_CUBIC, grad),
            plain_gradient(grad, image, table, *coding),
        )
        off = (result - expected).abs() > 4e-5 * expected.abs().max()
        assert off[away_from_ties(image, table, *coding)].double().mean() < 0.01


def check_table_gradients(backward, dtype, coding, size, memory_format):
    """As in double precision, with either rounding and every shape of tables; and the same bits again."""
    image = image_of(dtype, 3, 3, *size).contiguous(memory_format=memory_format)
    for (b, c), cubic in itertools.product(itertools.product((1, 3), repeat=2), (False, True)):
        table = some_tables(b, c, seed=2) // 4 + 1
        clear = away_from_ties(image, table, *coding)
        grad = (uniform(3, 3, *size, seed=1, low=-1).to(dtype) * clear).contiguous(memory_format=memory_format)
        steps = table.double().requires_grad_()
        value = _plain.roundtrip_float(image.double(), steps, *coding, cubic)
        (expected,) = torch.autograd.grad(value, steps, grad.double())
        for tables in (table, float_tables(table)):
            found = backward(grad, image, tables, *coding, cubic)
            assert found.shape == table.shape
            assert torch.equal(found, backward(grad, image, tables, *coding, cubic))
            torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())


@sources
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [(8, 8), (13, 21), (1, 3), (40, 17), (64, 96)])
@pytest.mark.parametrize("memory_format", FORMATS)
def test_emulated_gradients_of_tables(emulated, dtype, coding, size, memory_format):
    def backward(grad, image, table, ycbcr, h, v, cubic):
        return emulated(image, table, ycbcr, h, v, FLOAT_CUBIC if cubic else FLOAT, grad, True)

    check_table_gradients(backward, dtype, coding, size, memory_format)


@sources
def test_emulated_nan_and_a_step_of_zero(emulated):
    image = uniform(1, 1, 16, 16)
    image[0, 0, 0, 0] = torch.nan
    for precision in (FLOAT, FLOAT_CUBIC):
        result = emulated(image, NN[None, None], False, 1, 1, precision)
        assert result[0, 0, :8, :8].isnan().all()
        assert result.isnan().sum() == 64
    same_bits(emulated, image, NN[None, None], (False, 1, 1))
    same_bits(emulated, image.expand(1, 3, 16, 16), NN[None, None], (True, 2, 2))
    zeros, ones = torch.zeros(1, 1, 8, 8, dtype=torch.uint8), torch.ones(1, 1, 8, 8, dtype=torch.uint8)
    for coding in CODINGS:
        image = uniform(1, 3, 16, 16)
        assert torch.equal(emulated(image, zeros, *coding, UINT8), emulated(image, ones, *coding, UINT8))


# Compiled


@pytest.mark.slow(60)
@sources
@pytest.mark.skipif(shutil.which("nvcc") is None or shutil.which("ninja") is None, reason="nvcc or ninja is missing")
@pytest.mark.skipif(torch.version.cuda is None, reason="torch is built without CUDA")
def test_the_kernel_compiles_loads_and_has_its_schema(tmp_path):
    """For three generations of GPUs; in a process of its own, since loading it is for good."""
    code = (
        "import sys, torch\n"
        "from nnjpeg import ops\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "import nvcc\n"
        "has = torch._C._dispatch_has_kernel_for_dispatch_key\n"
        "names = 'nnjpeg::roundtrip', 'nnjpeg::cubic_backward', 'nnjpeg::table_backward'\n"
        "assert not any(has(name, 'CUDA') for name in names)\n"
        "print(nvcc.build(sys.argv[2]))\n"
        "assert all(has(name, 'CUDA') for name in names)\n"
        "image, table = torch.rand(1, 3, 8, 8), torch.full((1, 1, 8, 8), 16, dtype=torch.uint8)\n"
        "torch.ops.nnjpeg.roundtrip(image, table, False, 1, 1, False, False)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "build_backend"), str(tmp_path / "build")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "TORCH_CUDA_ARCH_LIST": "8.0;9.0;10.0"},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.strip().endswith("nnjpeg_cuda.so")


# How a process comes by them


@pytest.fixture
def recipe(monkeypatch, tmp_path):
    """nnjpeg.cuda afresh, since it remembers what it found, and without a prebuilt library."""
    spec = importlib.util.spec_from_file_location("nnjpeg_cuda_afresh", cuda.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PREBUILT", tmp_path / "nnjpeg_cuda.so")
    return module


def test_without_a_kernel_one_warning_says_how_to_get_it(recipe, monkeypatch):
    def load_nvrtc():
        raise RuntimeError("libnvrtc.so.13 was not found\nin a second line")

    monkeypatch.setattr(recipe, "_load_nvrtc", load_nvrtc)
    reason = "not prebuilt: the package was built without NNJPEG_CUDA=1; not NVRTC: libnvrtc.so.13 was not found"
    assert recipe.state() == "not loaded: no CUDA tensor has come yet"
    advice = "Install the NVRTC of torch's CUDA .*NNJPEG_CUDA=1 pip install"
    with pytest.warns(RuntimeWarning, match=rf"exact but slow \({reason}\)\. {advice}"):
        assert not recipe.load()
    assert not recipe.load()  # a second warning would be an error
    assert recipe.state() == f"none, plain torch operations; {reason}"


@pytest.mark.parametrize("damaged", [False, True])
def test_nvrtc_comes_after_a_prebuilt_library_that_is_missing_or_damaged(recipe, monkeypatch, damaged):
    if damaged:
        recipe.PREBUILT.write_bytes(b"not a library")
    monkeypatch.setattr(recipe, "_load_nvrtc", lambda: "compiled by NVRTC 13.0")
    assert recipe.load()
    assert recipe.state().startswith("compiled by NVRTC 13.0; not prebuilt: ")
    assert ("NNJPEG_CUDA=1" in recipe.state()) != damaged


def test_by_nvrtc_the_smallest_kernel_is_tried_first(recipe, monkeypatch, emulated):
    driver = EmulatedDriver(FakeCuda(emulated.cuda.library))
    monkeypatch.setattr(_nvrtc, "Nvrtc", FakeNvrtc)
    monkeypatch.setattr(_launch, "Driver", lambda: driver)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
    assert recipe.load()
    recipe._registered._destroy()
    assert recipe.state().startswith("compiled by NVRTC 0.0, kept in ")
    assert [(context, code.split()[0]) for context, code in driver.cuda.modules] == [(1102, "0")]


def test_a_prebuilt_library_comes_first(recipe, monkeypatch):
    recipe.PREBUILT.write_bytes(b"a library")
    monkeypatch.setattr(torch.ops, "load_library", lambda path: None)
    monkeypatch.setattr(recipe, "_OLDEST_TORCH", (2, 0))
    assert recipe.load()
    assert recipe.state() == "prebuilt with nvcc"


@pytest.mark.skipif(torch.version.cuda is not None, reason="torch is built with CUDA")
def test_without_cuda_in_torch_nvrtc_says_so(recipe):
    with pytest.raises(RuntimeError, match="is built without CUDA"):
        recipe.compile("sm_90")


# On a GPU


@gpu
def test_gpu_has_a_kernel():
    assert cuda.load()


@gpu
@pytest.mark.parametrize("dtype", [torch.uint8, *FLOATS])
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (3, 4), (8, 8), (13, 21), (16, 16), (224, 224), (37, 300)])
def test_gpu_has_the_cpus_bits(dtype, coding, memory_format, size):
    image = image_of(dtype, 3, 3, *size).contiguous(memory_format=memory_format)
    for leading in itertools.product((1, 3), repeat=2):
        table = some_tables(*leading)
        expected = torch.ops.nnjpeg.roundtrip(image, table, *coding, True, False)
        for tables in (table, float_tables(table)):
            result = torch.ops.nnjpeg.roundtrip(image.cuda(), tables.cuda(), *coding, True, False)
            assert result.stride() == image.stride()
            assert torch.equal(result.cpu(), expected)


@gpu
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_gpu_has_the_cpus_bits_of_views(coding, dtype):
    batch, table = image_of(dtype, 4, 3, 50, 67), some_tables(1, 3)
    for view in VIEWS:
        result = torch.ops.nnjpeg.roundtrip(view(batch.cuda()), table.cuda(), *coding, True, False)
        assert torch.equal(result.cpu(), torch.ops.nnjpeg.roundtrip(view(batch), table, *coding, True, False))


@gpu
@pytest.mark.parametrize("coding", CODINGS)
def test_gpu_tables_of_any_strides(coding):
    """As torch.compile gives them: not contiguous, expanded, or not aligned."""
    image, table = noise(2, 3, 24, 40).cuda(), some_tables(2, 3).cuda()
    expected = torch.ops.nnjpeg.roundtrip(image, table, *coding, True, False)
    apart = torch.zeros(table.numel() + 1, dtype=torch.uint8, device="cuda")[1:].view(table.shape).copy_(table)
    for same in (table.mT.contiguous().mT, table.permute(1, 0, 2, 3).contiguous().permute(1, 0, 2, 3), apart):
        assert torch.equal(torch.ops.nnjpeg.roundtrip(image, same, *coding, True, False), expected)
        assert torch.equal(torch.ops.nnjpeg.roundtrip(image, same.float(), *coding, True, False), expected)
    one = torch.ops.nnjpeg.roundtrip(image, table[:1], *coding, True, False)
    assert torch.equal(torch.ops.nnjpeg.roundtrip(image, table[:1].expand(2, 3, 8, 8), *coding, True, False), one)


@gpu
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("size", [(8, 8), (64, 96), (13, 21), (1, 3), (5, 34), (40, 17)])
def test_gpu_floats_and_gradients(dtype, coding, memory_format, size):
    def roundtrip(image, table, *flags):
        *coding, cubic = flags
        return torch.ops.nnjpeg.roundtrip(image.cuda(), table.cuda(), *coding, False, cubic).cpu()

    def backward(grad, image, table, *coding):
        return torch.ops.nnjpeg.cubic_backward(grad.cuda(), image.cuda(), table.cuda(), *coding).cpu()

    check_floats_and_gradients(roundtrip, backward, dtype, coding, size, memory_format)


@gpu
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("size", [(8, 8), (64, 96), (13, 21), (1, 3), (40, 17)])
def test_gpu_gradients_of_tables(dtype, coding, memory_format, size):
    def backward(grad, image, table, *flags):
        return torch.ops.nnjpeg.table_backward(grad.cuda(), image.cuda(), table.cuda(), *flags).cpu()

    check_table_gradients(backward, dtype, coding, size, memory_format)


@gpu
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("factors", FACTORS)
def test_gpu_opcheck(dtype, factors):
    image = image_of(dtype, 2, 3, 13, 21)
    arguments = image.cuda(), some_tables(2, 3).cuda(), True, *factors, False
    torch.library.opcheck(torch.ops.nnjpeg.roundtrip, (*arguments, True))


@gpu
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # torch 2.11's own compiler
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_gpu_layer_draws_compiles_and_never_waits(subsampling):
    options = {"colorspace": "ycbcr", "subsampling": subsampling}
    layer = NNJpeg(quality=(30, 90), gradient="cubic", **options)
    model = torch.nn.Sequential(layer, torch.nn.Conv2d(3, 4, 3)).cuda()
    image = uniform(4, 3, 32, 32).cuda().requires_grad_()
    model(image).sum().backward()
    with warnings.catch_warnings(action="ignore"):  # a prototype, it says
        torch.cuda.set_sync_debug_mode("error")
    try:
        model(image).sum().backward()
        nn_jpeg(image, NN_TABLE, quality=torch.tensor([10, 20, 30, 40]), **options)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.compile(model, fullgraph=True)(image).sum().backward()


@gpu
@pytest.mark.parametrize("options", [{}, {"colorspace": "ycbcr", "subsampling": "4:2:0"}])
def test_gpu_graphs_and_streams(options):
    image, table = uniform(4, 3, 32, 32).cuda(), some_tables(4, 1).cuda()
    expected = ops.roundtrip(image, table, **options)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        ops.roundtrip(image, table, **options)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    static = torch.zeros_like(image)
    with torch.cuda.graph(graph):
        result = ops.roundtrip(static, table, **options)
    static.copy_(image)
    graph.replay()
    assert torch.equal(result, expected)


@gpu
def test_gpu_refuses_what_does_not_fit():
    image, table = uniform(2, 3, 16, 16).cuda(), NN[None, None].cuda()
    for wrong in (table.cpu(), table.short(), table[..., :4], table.expand(3, 1, 8, 8)):
        with pytest.raises((RuntimeError, ValueError), match="qtable must be a tensor of uint8 or float32 and shape"):
            torch.ops.nnjpeg.roundtrip(image, wrong, False, 1, 1, False, False)
    with pytest.raises((RuntimeError, ValueError), match="grad must have the shape"):
        torch.ops.nnjpeg.cubic_backward(image[:1], image, table, False, 1, 1)
    for coding in [(True, 4, 1), (True, 0, 1), (False, 2, 2)]:
        with pytest.raises((RuntimeError, ValueError), match=r"\(h, v\) must be one of"):
            torch.ops.nnjpeg.roundtrip(image, table, *coding, False, False)


@gpu
def test_gpu_channels_of_any_number_and_empty_batches():
    for shape in [(0, 3, 8, 8), (2, 1, 9, 9), (1, 5, 17, 8)]:
        image = noise(*shape)
        result = ops.roundtrip(image.cuda(), components=shape[1]).cpu()
        assert torch.equal(result, ops.roundtrip(image, components=shape[1]))
    for coding in SUBSAMPLED:
        empty = noise(0, 3, 8, 8).cuda()
        assert torch.ops.nnjpeg.roundtrip(empty, NN[None, None].cuda(), *coding, True, False).shape == empty.shape
