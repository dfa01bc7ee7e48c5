"""The CUDA kernels on the host: csrc/cuda compiled by g++ with tests/c/emulation for CUDA's headers."""

import ctypes
import subprocess
from pathlib import Path

import torch

from nnjpeg._arguments import FACTORS

ROOT = Path(__file__).parent.parent
TYPES = {torch.uint8: 0, torch.float32: 1, torch.float16: 2, torch.bfloat16: 3}  # nnjpeg_cuda_type
UINT8, FLOAT, FLOAT_CUBIC = range(3)  # nnjpeg_precision


class Shape(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ssize_t) for name in ("images", "components", "height", "width")]


class Strides(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ssize_t) for name in ("image", "component", "row", "column")]


class View(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("strides", Strides)]


class Tables(ctypes.Structure):
    _fields_ = [
        ("steps", ctypes.c_void_p),
        ("type", ctypes.c_int),
        ("image_stride", ctypes.c_ssize_t),
        ("component_stride", ctypes.c_ssize_t),
    ]


class Call(ctypes.Structure):
    """nnjpeg_cuda_call."""

    _fields_ = [
        ("shape", Shape),
        ("type", ctypes.c_int),
        ("src", View),
        ("grad", View),
        ("dst", View),
        ("tables", Tables),
        ("colorspace", ctypes.c_int),
        ("subsampling", ctypes.c_int),
        ("precision", ctypes.c_int),
        ("workspace", ctypes.c_void_p),
    ]


def compile_kernel(folder):
    flags = ["-std=c++17", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
    sanitize = ["-fsanitize=undefined", "-fno-sanitize-recover=all"]
    includes = ["-I", str(ROOT / "tests/c/emulation"), "-I", str(ROOT / "csrc"), "-I", str(ROOT / "csrc/cuda")]
    sources = ["-x", "c++", *map(str, sorted((ROOT / "csrc/cuda").glob("*.cu")))]
    library = str(folder / "emulated.so")
    subprocess.run(["g++", *flags, *sanitize, "-fPIC", "-shared", *includes, *sources, "-o", library], check=True)


def load_kernel(folder):
    library = ctypes.CDLL(str(folder / "emulated.so"))
    library.nnjpeg_cuda_workspace.restype = ctypes.c_size_t
    return library


def _view(tensor):
    return View() if tensor is None else View(tensor.data_ptr(), Strides(*tensor.stride()))


def run(library, image, qtable, ycbcr, h, v, precision, grad=None):
    """What csrc/cuda/torch_binding.cpp does, on tensors of the CPU."""
    result = torch.empty_like(image)
    images, components = qtable.shape[:2]
    strides = 64 * components if images > 1 else 0, 64 if components > 1 else 0
    tables = Tables(qtable.data_ptr(), TYPES[qtable.dtype], *strides)
    views = _view(image), _view(grad), _view(result)
    coding = ycbcr, FACTORS.index((h, v))
    call = Call(Shape(*image.shape), TYPES[image.dtype], *views, tables, *coding, precision)
    # Of junk: as floats, NaN.
    workspace = torch.full((library.nnjpeg_cuda_workspace(ctypes.byref(call)),), 0xFF, dtype=torch.uint8)
    call.workspace = workspace.data_ptr()
    assert library.nnjpeg_cuda_run(ctypes.byref(call), None) == 0
    return result
