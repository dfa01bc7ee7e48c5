"""The CUDA kernels on the host: csrc/cuda compiled by g++ with tests/c/emulation for CUDA's headers."""

import ctypes
import subprocess
from pathlib import Path

import torch

from nnjpeg import _core
from nnjpeg._arguments import FACTORS

ROOT = Path(__file__).parent.parent
TYPES = {getattr(torch, name): number for number, name in enumerate(_core.cuda_types())}
UINT8, FLOAT, FLOAT_CUBIC = range(3)  # nnjpeg_precision


class Launch(ctypes.Structure):
    """nnjpeg_cuda_launch."""

    _fields_ = [("kernel", ctypes.c_int), ("type", ctypes.c_int), ("blocks", ctypes.c_uint)]


def compile_kernel(folder):
    flags = ["-std=c++17", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
    sanitize = ["-fsanitize=undefined", "-fno-sanitize-recover=all"]
    includes = ["-include", "cuda_runtime.h", "-I", str(ROOT / "tests/c/emulation"), "-I", str(ROOT / "csrc")]
    sources = ["-x", "c++", *map(str, sorted((ROOT / "csrc/cuda").glob("*.cu")))]
    library = str(folder / "emulated.so")
    subprocess.run(["g++", *flags, *sanitize, "-fPIC", "-shared", *includes, *sources, "-o", library], check=True)


def load_kernel(folder):
    return ctypes.CDLL(str(folder / "emulated.so"))


def run(library, image, qtable, ycbcr, h, v, precision, grad=None):
    """What csrc/cuda/torch_binding.cpp does, on tensors of the CPU."""
    result = torch.empty_like(image)
    images, components = qtable.shape[:2]
    strides = 64 * components if images > 1 else 0, 64 if components > 1 else 0
    plan = _core.CudaPlan(
        TYPES[image.dtype],
        tuple(image.shape),
        (image.data_ptr(), image.stride()),
        None if grad is None else (grad.data_ptr(), grad.stride()),
        (result.data_ptr(), result.stride()),
        (TYPES[qtable.dtype], qtable.data_ptr(), *strides),
        ycbcr,
        FACTORS.index((h, v)),
        precision == UINT8,
        precision == FLOAT_CUBIC,
    )
    workspace = torch.full((plan.workspace,), 0xFF, dtype=torch.uint8)  # junk: as floats, NaN
    plan.use_workspace(workspace.data_ptr())
    for launch in plan.launches:
        assert library.nnjpeg_cuda_launch_kernel(ctypes.byref(Launch(*launch)), ctypes.c_void_p(plan.job), None) == 0
    return result
