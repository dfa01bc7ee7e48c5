"""The way of NVRTC, without a GPU: what it compiles, what is kept, what kernels are given, and what is launched."""

import ctypes
import io
import itertools
import math
import multiprocessing
import re
import shutil
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from emulation import FLOAT, FLOAT_CUBIC, UINT8
from tensors import FLOATS, noise, some_tables, uniform

from nnjpeg import _core, _nvrtc, cuda, ops
from nnjpeg._arguments import FACTORS

KERNELS = {name: (number, types) for number, (_, name, types) in enumerate(_core.cuda_kernels())}
TYPES = _core.cuda_types()
FIRST = KERNELS["round_tables"][0], TYPES.index("float32")  # the smallest kernel
CODINGS = [(False, 1, 1), *((True, *factors) for factors in FACTORS)]  # ycbcr, h, v


@pytest.fixture(scope="module")
def nvrtc():
    try:
        return _nvrtc.Nvrtc()
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and no compiler but NVRTC."""
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_HOME", raising=False)
    assert shutil.which("nvcc") is None
    return tmp_path / "cache" / "nnjpeg"


# What NVRTC compiles


def test_headers_are_told_apart_by_their_names_alone(nvrtc):
    csrc = Path(__file__).parent.parent / "csrc"
    if not csrc.is_dir():
        pytest.skip("the sources are not here")
    files = [*csrc.glob("*.h"), *csrc.glob("cuda/*.h"), *csrc.glob("cuda/nvrtc/*.h"), *csrc.glob("cuda/*.cu")]
    assert len(_nvrtc.sources()) == len(files)


@pytest.mark.slow(50)
def test_compile_has_every_kernel_for_every_type(nvrtc, cache):
    """As machine code, an ELF file each."""
    archive = zipfile.ZipFile(io.BytesIO(cuda.compile("sm_90")))
    expected = {f"{name}-{TYPES[type]}.cubin" for name, (_, types) in KERNELS.items() for type in types}
    assert set(archive.namelist()) == expected == {path.name.split("-sm_90")[0] + ".cubin" for path in cache.iterdir()}
    for name in archive.namelist():
        assert archive.read(name).startswith(b"\x7fELF")


def check_every_kernel(nvrtc, architecture):
    """Of bytes, or of single precision where there are none: other types differ in what is loaded and stored."""
    for kernel, types in KERNELS.values():
        assert nvrtc.image(f"sm_{architecture}", kernel, types[0]).code.startswith(b"\x7fELF")


@pytest.mark.slow(20)
def test_the_oldest_architecture_has_every_kernel(nvrtc, cache):
    """CUDA 13 begins with 75, CUDA 12 with 50."""
    check_every_kernel(nvrtc, nvrtc.architectures[0])


@pytest.mark.slow(200)
def test_every_architecture_that_nvrtc_knows_has_every_kernel(nvrtc, cache):
    for architecture in nvrtc.architectures[1:]:
        check_every_kernel(nvrtc, architecture)


def test_compile_refuses_what_nvrtc_does_not_know(nvrtc):
    for unknown in ("sm_1", "compute_90", "90"):
        with pytest.raises(ValueError, match=rf"architecture must be one of sm_.*got '{unknown}'"):
            cuda.compile(unknown)


def test_a_gpu_gets_its_own_machine_code_or_the_newest_ptx_before_it(nvrtc):
    for known in nvrtc.architectures:
        assert nvrtc.target(known) == f"sm_{known}"
    assert nvrtc.target(999) == f"compute_{nvrtc.architectures[-1]}"
    oldest = nvrtc.architectures[0]
    with pytest.raises(RuntimeError, match=f"compiles for GPUs from sm_{oldest} on, and this one is sm_{oldest - 1}"):
        nvrtc.target(oldest - 1)


def test_ptx_is_text_with_the_symbol(nvrtc, cache):
    image = nvrtc.image(nvrtc.target(999), *FIRST)
    assert f".entry {image.symbol}(".encode() in image.code
    assert f".target sm_{nvrtc.architectures[-1]}".encode() in image.code


def test_an_error_of_the_compiler_is_shown(nvrtc, cache, monkeypatch):
    monkeypatch.setattr(_nvrtc, "sources", lambda: {"plane.cu": "nonsense"})
    with pytest.raises(RuntimeError, match=r"does not compile nnjpeg_cuda::round_tables<.*>(?s:.)*nonsense"):
        nvrtc.image(f"sm_{nvrtc.architectures[-1]}", *FIRST)


# What is kept


@pytest.fixture
def compiled(nvrtc, monkeypatch):
    """How often the compiler has been asked: a list that grows."""
    calls, compile = [], nvrtc.compile
    monkeypatch.setattr(nvrtc, "compile", lambda *arguments: calls.append(arguments) or compile(*arguments))
    return calls


def image_of(nvrtc):
    return nvrtc.image(f"sm_{nvrtc.architectures[-1]}", *FIRST)


def test_an_image_is_compiled_once_and_kept(nvrtc, cache, compiled):
    image = image_of(nvrtc)
    (path,) = cache.iterdir()
    assert path.name.startswith("round_tables-float32-sm_")
    assert image_of(nvrtc) == image
    assert len(compiled) == 1


def test_what_an_image_depends_on_is_in_its_name(nvrtc, cache, compiled, monkeypatch):
    image_of(nvrtc)
    original = _nvrtc.sources()
    monkeypatch.setattr(_nvrtc, "sources", lambda: {**original, "block.h": original["block.h"] + "\n"})
    image_of(nvrtc)
    monkeypatch.setattr(_nvrtc, "_OPTIONS", (*_nvrtc._OPTIONS, "--ftz=false"))
    image_of(nvrtc)
    monkeypatch.setitem(nvrtc.__dict__, "version", "0.0")
    image_of(nvrtc)
    nvrtc.image(f"sm_{nvrtc.architectures[0]}", *FIRST)
    assert len(compiled) == len(list(cache.iterdir())) == 5


def test_a_damaged_image_is_compiled_again(nvrtc, cache, compiled):
    image = image_of(nvrtc)
    (path,) = cache.iterdir()
    for damaged in (b"", b"x", path.read_bytes()[:-1], path.read_bytes()[:-1] + b"x"):
        path.write_bytes(damaged)
        assert image_of(nvrtc).symbol == image.symbol
    assert len(compiled) == 5


def test_a_cache_that_cannot_be_used_is_no_error(nvrtc, cache, compiled, monkeypatch):
    cache.parent.write_text("a file where a folder should be")
    image_of(nvrtc)
    monkeypatch.setattr(_nvrtc, "cache_folder", lambda: None)
    image_of(nvrtc)
    assert len(compiled) == 2


def _image(architecture, results):
    nvrtc = _nvrtc.Nvrtc()
    results.put(nvrtc.image(f"sm_{architecture}", *FIRST))


@pytest.mark.slow(15)  # each process imports torch anew
def test_processes_may_compile_at_once(nvrtc, cache):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=_image, args=(nvrtc.architectures[-1], results)) for _ in range(2)]
    for process in processes:
        process.start()
    images = {results.get(timeout=120) for _ in processes}
    for process in processes:
        process.join()
    assert image_of(nvrtc) in images
    assert len(list(cache.iterdir())) == 1


# What the kernels are given

# Every field of nnjpeg_cuda_job, and how struct reads it.
VIEW = {"data": "Q", **{f"strides.{axis}": "q" for axis in ("image", "component", "row", "column")}}
TABLES = {"steps": "Q", "image_stride": "q", "component_stride": "q", "type": "i"}
PLANE = {"height": "q", "width": "q", "rows": "I", "columns": "I"}
FIELDS = {
    **{f"call.shape.{axis}": "q" for axis in ("images", "components", "height", "width")},
    **{f"call.{view}.{field}": kind for view in ("src", "grad", "dst") for field, kind in VIEW.items()},
    "call.steps_gradient": "Q",
    **{f"call.tables.{field}": kind for field, kind in TABLES.items()},
    "call.workspace": "Q",
    **dict.fromkeys(("call.type", "call.colorspace", "call.subsampling", "call.precision"), "i"),
    **{f"tables.{field}": kind for field, kind in TABLES.items()},
    **{f"{plane}.{field}": kind for plane in ("full", "chroma") for field, kind in PLANE.items()},
    **dict.fromkeys(("decoded_chroma", "chroma_slopes", "gradients", "products", "partials"), "Q"),
    "chunks": "I",
    "layout": "i",
    "units": "I",
    **dict.fromkeys(("units_first", "h", "v"), "i"),
}


@pytest.fixture(scope="module")
def offsets(nvrtc):
    """Where NVRTC puts each field, and how large the whole is."""
    places = ", ".join(f"&job.{field}" for field in FIELDS)
    source = f"""#include "job.h"
    __device__ nnjpeg_cuda_job job;
    extern "C" __device__ void *places[] = {{ {places}, &job + 1 }};
    template <int> __global__ void kernel() {{}}"""
    original = _nvrtc.sources()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_nvrtc, "sources", lambda: {**original, "places.cu": source})
        image, _ = nvrtc.compile("places.cu", "kernel<0>", f"compute_{nvrtc.architectures[-1]}")
    (listed,) = re.findall(r"places\[\d+\] = \{(.*)\};", image.code.decode())
    return [int(offset or 0) for offset in re.findall(r"generic\(job\)(?:\+(\d+))?", listed)]


def values(of, fields, numbers):
    return {f"{of}.{field}": number for field, number in zip(fields, numbers, strict=True)}


def test_a_job_lies_in_memory_as_nvrtc_has_it(offsets):
    """Each field is where NVRTC has it, and no byte but those of alignment belongs to none."""
    assert offsets[-1] == _core.CUDA_JOB_BYTES
    end = 0
    for offset, kind in zip(offsets, FIELDS.values(), strict=False):
        assert offset == end + -end % struct.calcsize(kind)
        end = offset + struct.calcsize(kind)
    strides = [(2000, 600, 20, 1), (2001, 601, 21, 2), (2002, 602, 22, 3)]
    plan = _core.CudaPlan(
        TYPES.index("float16"),
        (5, 3, 30, 20),
        *((1000 + i, stride) for i, stride in enumerate(strides)),
        (TYPES.index("float32"), 1600, 192, 64),
        True,
        FACTORS.index((2, 2)),
        False,
        True,
    )
    plan.use_workspace(4096)
    bytes_of_chroma, bytes_of_tables = 5 * 2 * 2 * 2 * 64 * 4, 5 * 3 * 64
    expected = {
        **values("call.shape", ("images", "components", "height", "width"), (5, 3, 30, 20)),
        **values("call.src", VIEW, (1000, *strides[0])),
        **values("call.grad", VIEW, (1001, *strides[1])),
        **values("call.dst", VIEW, (1002, *strides[2])),
        "call.steps_gradient": 0,
        **values("call.tables", TABLES, (1600, 192, 64, TYPES.index("float32"))),
        "call.workspace": 4096,
        "call.type": TYPES.index("float16"),
        "call.colorspace": 1,
        "call.subsampling": FACTORS.index((2, 2)),
        "call.precision": FLOAT_CUBIC,
        **values("tables", TABLES, (4096, 192, 64, TYPES.index("uint8"))),
        **values("full", PLANE, (30, 20, 4, 3)),
        **values("chroma", PLANE, (15, 10, 2, 2)),
        "decoded_chroma": 4096 + bytes_of_tables,
        "chroma_slopes": 4096 + bytes_of_tables + bytes_of_chroma,
        "gradients": 4096 + bytes_of_tables + 2 * bytes_of_chroma,
        "products": 0,
        "partials": 0,
        "chunks": 0,
        "layout": 0,
        "units": 1,
        "units_first": 0,
        "h": 2,
        "v": 2,
    }
    job = ctypes.string_at(plan.job, _core.CUDA_JOB_BYTES)
    found = {
        field: struct.unpack_from(kind, job, offset)[0]
        for (field, kind), offset in zip(FIELDS.items(), offsets, strict=False)
    }
    assert found == expected


# What is launched


def launches(emulated, *arguments):
    """The result of a call, the names of the kernels that it launched, and the launches."""
    emulated.cuda.launches.clear()
    result = emulated(*arguments)
    names = [_core.cuda_kernels()[launch.kernel][1] for launch in emulated.cuda.launches]
    return result, names, emulated.cuda.launches


LAYOUTS = {
    "NCHW": lambda x: x,
    "NHWC": lambda x: x.contiguous(memory_format=torch.channels_last),
    "strided": lambda x: torch.cat([x, x], 3)[..., ::2],
}


def expected_kernels(dtype, ycbcr, precision, backward, float_tables, by_table=False):
    exact = dtype == torch.uint8 or precision == UINT8
    if by_table:
        names = ["decode_chroma_by_steps", "luma_by_steps", "chroma_by_steps"] if ycbcr else ["by_steps_plane"]
        names += ["sum_blocks", "sum_chunks"]
    elif not ycbcr:
        names = ["backward_plane" if backward else "exact_plane" if exact else "float_plane"]
    elif backward:
        names = ["decode_chroma", "luma_gradient", "chroma_gradient", "pixel_gradient"]
    else:
        names = ["exact_chroma", "exact_luma"] if exact else ["float_chroma", "float_luma"]
    return ["round_tables", *names] if float_tables else names


def expected_blocks(name, shape, leading, h, v):
    """Thread blocks of 128 threads, a thread for a block of 8x8 samples; Cb and Cr have thread blocks of their own. For
    tables and their sums, a thread for a step, or for a part of its sum: as many parts as the root of the blocks."""
    images, components, height, width = shape
    steps = leading[0] * leading[1] * 64
    if name in ("round_tables", "sum_chunks"):
        return -(-steps // 128)
    if name == "sum_blocks":
        blocks = -(-height // 8) * -(-width // 8) + (components - 1) * -(-height // (8 * v)) * -(-width // (8 * h))
        return -(-steps * math.ceil(math.sqrt(blocks * (images if leading[0] == 1 else 1))) // 128)
    if "chroma" in name:
        return 2 * -(-images * -(-height // (8 * v)) * -(-width // (8 * h)) // 128)
    return -(-images * (components if "plane" in name else 1) * -(-height // 8) * -(-width // 8) // 128)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("dtype", [torch.uint8, *FLOATS])
def test_launches_of_every_layout_and_table_shape(emulated, dtype, coding):
    """Kernels, types, grids, blocks, streams and contexts; what they compute are the core's bits."""
    ycbcr, h, v = coding
    shape = 3, 3, 90, 152  # more blocks than a thread block has threads
    pixels = noise(*shape) if dtype == torch.uint8 else uniform(*shape, low=-0.1, high=1.1).to(dtype)
    for layout, leading, float_tables in itertools.product(
        LAYOUTS.values(), itertools.product((1, 3), repeat=2), (False, True)
    ):
        image, table = layout(pixels), some_tables(*leading)
        qtable = table.float() + 0.25 if float_tables else table
        result, names, recorded = launches(emulated, image, qtable, *coding, UINT8)
        assert torch.equal(result, torch.ops.nnjpeg.roundtrip(image, table, *coding, True, False))
        assert result.stride() == torch.empty_like(image).stride()
        check_launches(
            names, recorded, image, expected_kernels(dtype, ycbcr, UINT8, False, float_tables), leading, h, v
        )


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_launches_in_single_precision(emulated, dtype, coding, layout):
    """The float round trip and the gradient, whose values the tests of the emulated kernels compare."""
    ycbcr, h, v = coding
    image = LAYOUTS[layout](uniform(3, 3, 90, 152).to(dtype))
    for precision, grad in ((FLOAT, None), (FLOAT_CUBIC, None), (FLOAT_CUBIC, image)):
        _, names, recorded = launches(emulated, image, some_tables(3, 3), *coding, precision, grad)
        check_launches(
            names, recorded, image, expected_kernels(dtype, ycbcr, precision, grad is not None, False), (3, 3), h, v
        )


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("precision", [FLOAT, FLOAT_CUBIC])
def test_launches_of_the_gradient_of_tables(emulated, coding, precision):
    """Of every table shape; the values are compared by the tests of the emulated kernels."""
    ycbcr, h, v = coding
    image = uniform(3, 3, 90, 152)
    for leading, float_tables in itertools.product(itertools.product((1, 3), repeat=2), (False, True)):
        qtable = some_tables(*leading).float() if float_tables else some_tables(*leading)
        result, names, recorded = launches(emulated, image, qtable, *coding, precision, image, True)
        assert (result.shape, result.dtype) == (qtable.shape, torch.float32)
        kernels = expected_kernels(torch.float32, ycbcr, precision, True, float_tables, True)
        check_launches(names, recorded, image, kernels, leading, h, v)


def check_launches(names, recorded, image, kernels, leading, h, v):
    assert names == kernels
    for name, launch in zip(names, recorded, strict=True):
        of_floats = name in ("round_tables", "chroma_gradient", "chroma_by_steps", "sum_blocks", "sum_chunks")
        assert TYPES[launch.type] == ("float32" if of_floats else str(image.dtype).removeprefix("torch."))
        blocks = expected_blocks(name, image.shape, leading, h, v)
        assert (launch.grid, launch.block, launch.shared) == ((blocks, 1, 1), (128, 1, 1), 0)
        device = image.get_device()
        assert (launch.stream, launch.context) == (7000 + device, 1100 + device)
        assert launch.job == recorded[0].job


class OnDevice(torch.Tensor):
    """A tensor that says it is on another device."""

    def get_device(self):
        return 3


def test_launches_on_the_tensors_device(emulated):
    image, table = noise(1, 3, 8, 8).as_subclass(OnDevice), some_tables(1, 1)
    for _ in range(2):
        _, _, (launch,) = launches(emulated, image, table, False, 1, 1, UINT8)
        assert (launch.stream, launch.context) == (7003, 1103)
    assert emulated.cuda.contexts == []


def test_nothing_is_launched_for_an_empty_batch(emulated):
    result, names, _ = launches(emulated, noise(0, 3, 8, 8), some_tables(1, 1), True, 2, 2, UINT8)
    assert (result.shape, names) == ((0, 3, 8, 8), [])


def test_tables_that_are_not_aligned_are_copied(emulated):
    image, table = noise(2, 3, 24, 40), some_tables(2, 3)
    expected = torch.ops.nnjpeg.roundtrip(image, table, False, 1, 1, True, False)
    apart = torch.zeros(table.numel() + 1, dtype=torch.uint8)[1:].view(table.shape).copy_(table)
    for same in (apart, table.mT.contiguous().mT, table.permute(1, 0, 2, 3).contiguous().permute(1, 0, 2, 3)):
        assert torch.equal(emulated(image, same, False, 1, 1, UINT8), expected)


def test_operands_that_do_not_fit_are_refused(emulated):
    image, table = noise(2, 3, 16, 16), some_tables(1, 1)
    with pytest.raises(ValueError, match="qtable must be a tensor of uint8 or float32 and shape"):
        emulated(image, table.short(), False, 1, 1, UINT8)
    with pytest.raises(ValueError, match=r"\(h, v\) must be one of"):
        emulated(image, table, True, 4, 1, UINT8)
    huge = torch.zeros(1, 1, 1, 8, dtype=torch.uint8).expand(2**31, 1, 1, 8)
    with pytest.raises(ValueError, match=r"fewer than 2\^31 blocks of 8x8 samples, got 2147483648"):
        emulated(huge, table, False, 1, 1, UINT8)


def test_an_error_of_the_driver_is_named(emulated, monkeypatch):
    def cuGetErrorString(result, text):
        text._obj.value = b"too many resources"
        return 0

    monkeypatch.setattr(emulated.cuda, "cuLaunchKernel", lambda *arguments: 701)
    monkeypatch.setattr(emulated.cuda, "cuGetErrorString", cuGetErrorString, raising=False)
    with pytest.raises(RuntimeError, match="CUDA: cuLaunchKernel: too many resources"):
        emulated(noise(1, 3, 8, 8), some_tables(1, 1), False, 1, 1, UINT8)
    assert emulated.cuda.contexts == []


def test_operators_are_registered_for_cuda(emulated):
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    names = "nnjpeg::roundtrip", "nnjpeg::cubic_backward", "nnjpeg::table_backward"
    registered = emulated.operators.register()
    try:
        assert all(has(name, "CUDA") for name in names)
    finally:
        registered._destroy()
    assert torch.equal(ops.roundtrip(noise(3, 8, 8)), ops.roundtrip(noise(1, 3, 8, 8))[0])
