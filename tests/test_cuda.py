"""The CUDA kernels: on the host, as far as they can be without a GPU; compiled; and on a GPU where there is one."""

import importlib.util
import itertools
import os
import shutil
import subprocess
import sys

import pytest
import torch
from emulation import FLOAT, FLOAT_CUBIC, ROOT, UINT8, compile_kernel, load_kernel
from emulation import run as run_emulated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensors import FLOATS, NN, TOLERANCE, away_from_ties, noise, some_tables, uniform

from nnjpeg import NN_TABLE, cuda, ops
from nnjpeg.transforms import NNJpeg, nn_jpeg

sources = pytest.mark.skipif(not (ROOT / "csrc").is_dir(), reason="the sources are not here")
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
FORMATS = [torch.contiguous_format, torch.channels_last]


# On the host


@pytest.fixture(scope="module")
def emulated(made_once):
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    library = load_kernel(made_once("emulated", compile_kernel))
    return lambda *arguments: run_emulated(library, *arguments)


def same_bits(kernel, image, table, ycbcr):
    result = kernel(image, table, ycbcr, UINT8)
    assert torch.equal(result, ops._roundtrip(image, table, ycbcr, True, False))


@sources
@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_emulated_kernel_has_the_cores_bits(emulated, drawn):
    b, h, w = (drawn.draw(st.integers(1, most)) for most in (3, 40, 40))
    ycbcr = drawn.draw(st.booleans())
    c = 3 if ycbcr else drawn.draw(st.integers(1, 4))
    dtype = drawn.draw(st.sampled_from([torch.uint8, *FLOATS]))
    seed = drawn.draw(st.integers(0, 99))
    image = noise(b, c, h, w, seed=seed) if dtype == torch.uint8 else uniform(b, c, h, w, seed=seed, low=-0.1).to(dtype)
    if drawn.draw(st.booleans()):
        image = image.contiguous(memory_format=torch.channels_last)
    if drawn.draw(st.booleans()):
        image = image[..., ::2]
    table = some_tables(drawn.draw(st.sampled_from([1, b])), drawn.draw(st.sampled_from([1, c])), seed=seed)
    same_bits(emulated, image, table, ycbcr)


@sources
@pytest.mark.parametrize("step", [*range(1, 256, 6), 255])
def test_emulated_quantizer_at_every_step(emulated, step):
    """Noise, and blocks of black and white, whose coefficients are the largest there are."""
    table = torch.full((1, 1, 8, 8), step, dtype=torch.uint8)
    batch = torch.cat([noise(8, 3, 32, 32, seed=step), noise(8, 3, 32, 32, seed=step) // 128 * 255])
    same_bits(emulated, batch, table, False)


def flat(values):
    return values.repeat_interleave(64).reshape(-1, 1, 8, 8)


@sources
def test_every_byte_survives_emulated_floats(emulated):
    """n / 255 in every type is the number nearest to it."""
    table, ramp = torch.ones(1, 1, 8, 8, dtype=torch.uint8), flat(torch.arange(256, dtype=torch.uint8))
    for dtype in FLOATS:
        result = emulated((ramp.float() / 255).to(dtype), table, False, UINT8)
        assert torch.equal(result, (ops._roundtrip(ramp, table, False, False, False).float() / 255).to(dtype))


@sources
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("ycbcr", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (16, 24), (13, 21), (1, 3)])
@pytest.mark.parametrize("memory_format", FORMATS)
def test_emulated_floats_and_gradients(emulated, dtype, ycbcr, size, memory_format):
    image = uniform(2, 3, *size, low=-0.1, high=1.1).to(dtype).contiguous(memory_format=memory_format)
    grad, table = uniform(2, 3, *size, seed=1).to(dtype), some_tables(2, 3, seed=2)
    clear = away_from_ties(image, table, ycbcr)
    for precision in (FLOAT, FLOAT_CUBIC):
        result = emulated(image, table, ycbcr, precision)
        expected = ops._roundtrip(image, table, ycbcr, False, precision == FLOAT_CUBIC)
        assert (result.double() - expected.double())[clear].abs().max() < TOLERANCE[dtype]
    result = emulated(image, table, ycbcr, FLOAT_CUBIC, grad)
    expected = ops._cubic_backward(grad, image, table, ycbcr)
    off = (result.double() - expected.double()).abs() > 4 * TOLERANCE[dtype] * expected.double().abs().max()
    assert off[clear].float().mean() < 0.02


@sources
def test_emulated_nan_and_a_step_of_zero(emulated):
    image = uniform(1, 1, 16, 16)
    image[0, 0, 0, 0] = torch.nan
    for precision in (FLOAT, FLOAT_CUBIC):
        result = emulated(image, NN[None, None], False, precision)
        assert result[0, 0, :8, :8].isnan().all()
        assert result.isnan().sum() == 64
    same_bits(emulated, image, NN[None, None], False)
    zeros, ones = torch.zeros(1, 1, 8, 8, dtype=torch.uint8), torch.ones(1, 1, 8, 8, dtype=torch.uint8)
    assert torch.equal(emulated(image, zeros, False, UINT8), emulated(image, ones, False, UINT8))


# Compiled


@pytest.mark.slow(60)
@sources
@pytest.mark.skipif(shutil.which("nvcc") is None or shutil.which("ninja") is None, reason="nvcc or ninja is missing")
@pytest.mark.skipif(torch.version.cuda is None, reason="torch is built without CUDA")
def test_the_kernel_compiles_loads_and_has_its_schema(tmp_path):
    """For three generations of GPUs; in a process of its own, since loading it is for good."""
    code = (
        "import sys, torch\n"
        "from nnjpeg import cuda, ops\n"
        "has = torch._C._dispatch_has_kernel_for_dispatch_key\n"
        "names = 'nnjpeg::roundtrip', 'nnjpeg::cubic_backward'\n"
        "assert not any(has(name, 'CUDA') for name in names)\n"
        "print(cuda.build(sys.argv[1]))\n"
        "assert all(has(name, 'CUDA') for name in names)\n"
        "image, table = torch.rand(1, 3, 8, 8), torch.full((1, 1, 8, 8), 16, dtype=torch.uint8)\n"
        "torch.ops.nnjpeg.roundtrip(image, table, False, False, False)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "build")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "TORCH_CUDA_ARCH_LIST": "8.0;9.0;10.0"},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.strip().endswith("nnjpeg_cuda.so")


@pytest.fixture
def recipe():
    """nnjpeg.cuda afresh: it remembers what it found."""
    spec = importlib.util.spec_from_file_location("nnjpeg_cuda_afresh", cuda.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_a_kernel_one_warning_says_how_to_get_it(recipe, monkeypatch):
    def build():
        raise RuntimeError("nvcc was not found: it is not on the PATH")

    monkeypatch.setattr(recipe, "build", build)
    monkeypatch.setattr(recipe, "PREBUILT", ROOT / "no such library")
    with pytest.warns(RuntimeWarning, match=r"exact but slow: nvcc was not found.*NNJPEG_CUDA=1 pip install"):
        assert not recipe.load()
    assert not recipe.load()  # a second warning would be an error
    assert recipe.state() == "none, plain torch operations: nvcc was not found: it is not on the PATH"


def test_a_damaged_prebuilt_library_is_not_the_end(recipe, monkeypatch, tmp_path):
    monkeypatch.setattr(recipe, "PREBUILT", tmp_path / "nnjpeg_cuda.so")
    recipe.PREBUILT.write_bytes(b"not a library")
    monkeypatch.setattr(recipe, "build", lambda: recipe.PREBUILT)
    monkeypatch.setattr(recipe, "_check_torch", lambda: None)
    assert recipe.load()
    assert recipe.state() == "built with nvcc"


# On a GPU


@gpu
def test_gpu_has_a_kernel():
    assert cuda.load()


@gpu
@pytest.mark.parametrize("dtype", [torch.uint8, *FLOATS])
@pytest.mark.parametrize("ycbcr", [False, True])
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (13, 21), (224, 224), (37, 300)])
def test_gpu_has_the_cpus_bits(dtype, ycbcr, memory_format, size):
    image = noise(3, 3, *size) if dtype == torch.uint8 else uniform(3, 3, *size, low=-0.1, high=1.1).to(dtype)
    image = image.contiguous(memory_format=memory_format)
    for leading in itertools.product((1, 3), repeat=2):
        table = some_tables(*leading)
        result = ops._roundtrip(image.cuda(), table.cuda(), ycbcr, True, False)
        assert result.stride() == image.stride()
        assert torch.equal(result.cpu(), ops._roundtrip(image, table, ycbcr, True, False))


@gpu
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("ycbcr", [False, True])
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("size", [(8, 8), (64, 96), (13, 21)])
def test_gpu_floats_and_gradients(dtype, ycbcr, memory_format, size):
    image = uniform(2, 3, *size, low=-0.1, high=1.1).to(dtype).contiguous(memory_format=memory_format)
    grad, table = uniform(2, 3, *size, seed=1).to(dtype), some_tables(2, 3, seed=2)
    clear = away_from_ties(image, table, ycbcr)
    for cubic in (False, True):
        result = ops._roundtrip(image.cuda(), table.cuda(), ycbcr, False, cubic).cpu()
        expected = ops._roundtrip(image, table, ycbcr, False, cubic)
        assert (result.double() - expected.double())[clear].abs().max() < TOLERANCE[dtype]
    result = ops._cubic_backward(grad.cuda(), image.cuda(), table.cuda(), ycbcr).cpu()
    expected = ops._cubic_backward(grad, image, table, ycbcr)
    off = (result.double() - expected.double()).abs() > 4 * TOLERANCE[dtype] * expected.double().abs().max()
    assert off[clear].float().mean() < 0.02


@gpu
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_gpu_opcheck(dtype):
    image = noise(2, 3, 13, 21) if dtype == torch.uint8 else uniform(2, 3, 13, 21)
    arguments = image.cuda(), some_tables(2, 3).cuda(), True, False
    torch.library.opcheck(torch.ops.nnjpeg.roundtrip, (*arguments, True))


@gpu
def test_gpu_layer_draws_compiles_and_never_waits():
    layer = torch.nn.Sequential(NNJpeg(quality=(30, 90), gradient="cubic"), torch.nn.Conv2d(3, 4, 3)).cuda()
    image = uniform(4, 3, 32, 32).cuda().requires_grad_()
    layer(image).sum().backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        layer(image).sum().backward()
        nn_jpeg(image, NN_TABLE, quality=torch.tensor([10, 20, 30, 40]))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.compile(layer, fullgraph=True)(image).sum().backward()


@gpu
def test_gpu_graphs_and_streams():
    image, table = uniform(4, 3, 32, 32).cuda(), some_tables(4, 1).cuda()
    expected = ops.roundtrip(image, table)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        ops.roundtrip(image, table)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    static = torch.zeros_like(image)
    with torch.cuda.graph(graph):
        result = ops.roundtrip(static, table)
    static.copy_(image)
    graph.replay()
    assert torch.equal(result, expected)


@gpu
def test_gpu_refuses_what_does_not_fit():
    image = uniform(2, 3, 16, 16).cuda()
    with pytest.raises(RuntimeError, match="qtable must be a contiguous uint8 tensor"):
        torch.ops.nnjpeg.roundtrip(image, NN[None, None], False, False, False)
    with pytest.raises(RuntimeError, match="grad must have the shape"):
        torch.ops.nnjpeg.cubic_backward(image[:1], image, NN[None, None].cuda(), False)


@gpu
def test_gpu_channels_of_any_number_and_empty_batches():
    for shape in [(0, 3, 8, 8), (2, 1, 9, 9), (1, 5, 17, 8)]:
        image = noise(*shape)
        assert torch.equal(ops.roundtrip(image.cuda()).cpu(), ops.roundtrip(image))
