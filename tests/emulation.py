"""The CUDA kernels on the host: csrc/cuda compiled by g++ with tests/c/emulation for CUDA's headers, and a driver and a
compiler that stand for CUDA's, so that `nnjpeg._launch` runs as it would with a GPU."""

import ctypes
import subprocess
from pathlib import Path
from typing import NamedTuple

import torch

from nnjpeg import _core
from nnjpeg._launch import Driver, Operators
from nnjpeg._nvrtc import Image

ROOT = Path(__file__).parent.parent
UINT8, FLOAT, FLOAT_CUBIC = range(3)  # nnjpeg_precision


def compile_kernel(folder):
    flags = ["-std=c++17", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
    sanitize = ["-fsanitize=undefined", "-fno-sanitize-recover=all"]
    includes = ["-include", "cuda_runtime.h", "-I", str(ROOT / "tests/c/emulation"), "-I", str(ROOT / "csrc")]
    sources = ["-x", "c++", *map(str, sorted((ROOT / "csrc/cuda").glob("*.cu")))]
    library = str(folder / "emulated.so")
    subprocess.run(["g++", *flags, *sanitize, "-fPIC", "-shared", *includes, *sources, "-o", library], check=True)


def load_kernel(folder):
    return ctypes.CDLL(str(folder / "emulated.so"))


class CLaunch(ctypes.Structure):
    """nnjpeg_cuda_launch."""

    _fields_ = [("kernel", ctypes.c_int), ("type", ctypes.c_int), ("blocks", ctypes.c_uint)]


class Launch(NamedTuple):
    """What cuLaunchKernel was given, and in which context."""

    context: int
    kernel: int
    type: int
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared: int
    stream: int
    job: bytes


class FakeCuda:
    """CUDA's driver, as far as it is called: it records launches and runs each on the host, from what it has recorded.

    library: the emulated kernels. A module is what `FakeNvrtc` makes: the numbers of kernel, type and architecture.
    """

    def __init__(self, library):
        self.library = library
        self.launches, self.modules, self.contexts, self.functions = [], [], [], []
        self.mode = 0

    def cuInit(self, flags):
        return 0

    def cuDeviceGet(self, handle, ordinal):
        handle._obj.value = 100 + ordinal
        return 0

    def cuDevicePrimaryCtxRetain(self, context, handle):
        context._obj.value = 1000 + handle.value
        return 0

    def cuCtxPushCurrent_v2(self, context):
        self.contexts.append(context.value)
        return 0

    def cuCtxPopCurrent_v2(self, context):
        self.contexts.pop()
        return 0

    def cuThreadExchangeStreamCaptureMode(self, mode):
        self.mode, mode._obj.value = mode._obj.value, self.mode
        return 0

    def cuModuleLoadData(self, module, code):
        assert self.mode == 2  # relaxed: loading is allowed while a graph is captured
        self.modules.append((self.contexts[-1], code.decode()))
        module._obj.value = len(self.modules)
        return 0

    def cuModuleGetFunction(self, function, module, symbol):
        context, code = self.modules[module.value - 1]
        assert context == self.contexts[-1]
        kernel, type, _ = map(int, code.split())
        assert symbol.decode() == f"kernel_{kernel}"
        self.functions.append((context, kernel, type))
        function._obj.value = len(self.functions)
        return 0

    def cuLaunchKernel(self, function, *arguments):
        gx, gy, gz, bx, by, bz, shared, stream, parameters, extra = arguments
        assert extra is None
        context, kernel, type = self.functions[function.value - 1]
        assert context == self.contexts[-1]
        job = ctypes.string_at(parameters[0], _core.CUDA_JOB_BYTES)
        self.launches.append(Launch(context, kernel, type, (gx, gy, gz), (bx, by, bz), shared, stream.value, job))
        return self.library.nnjpeg_cuda_launch_kernel(ctypes.byref(CLaunch(kernel, type, gx)), job, None)


class FakeNvrtc:
    """Compiles nothing: a module is its numbers."""

    version = "0.0"

    def target(self, gpu):
        return f"sm_{gpu}"

    def image(self, target, kernel, type):
        return Image(f"kernel_{kernel}", f"{kernel} {type} {target[3:]}".encode())


class EmulatedDriver(Driver):
    """A driver whose GPUs have architecture 90, and whose current stream has a number for each device."""

    def __init__(self, cuda):
        super().__init__(cuda)
        self.cuda = cuda

    def architecture(self, device):
        return 90

    def stream(self, device):
        return 7000 + device


class Emulated:
    """The operators by the kernels on the host, with what they have launched in `cuda`."""

    def __init__(self, library):
        self.cuda = FakeCuda(library)
        self.operators = Operators(FakeNvrtc(), EmulatedDriver(self.cuda))

    def __call__(self, image, qtable, ycbcr, h, v, precision, grad=None, by_table=False):
        before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True)  # fills new memory with junk
        try:
            if by_table:
                return self.operators.table_backward(grad, image, qtable, ycbcr, h, v, precision == FLOAT_CUBIC)
            if grad is not None:
                return self.operators.cubic_backward(grad, image, qtable, ycbcr, h, v)
            return self.operators.roundtrip(image, qtable, ycbcr, h, v, precision == UINT8, precision == FLOAT_CUBIC)
        finally:
            torch.use_deterministic_algorithms(before)
