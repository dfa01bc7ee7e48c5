"""How nvcc builds the CUDA kernels as a library of torch operators, for ``NNJPEG_CUDA=1``; without the package."""

import contextlib
import sys
from pathlib import Path

import torch

NAME = "nnjpeg_cuda"
_SOURCES = Path(__file__).resolve().parent.parent / "csrc"
_STABLE_ABI = (
    "0x020a000000000000"  # of torch 2.10, the first that has what the binding uses, as torch's headers want it
)


def _nvidia(pattern):
    """What torch's requirements bring of CUDA."""
    return sorted((Path(torch.__file__).resolve().parent.parent / "nvidia").glob(pattern))


def _headers(cuda_home):
    """Where cuda_runtime.h is, if not with nvcc."""
    if (cuda_home / "include" / "cuda_runtime.h").is_file():
        return []
    found = _nvidia("*/include/cuda_runtime.h")
    if not found:
        raise RuntimeError(f"cuda_runtime.h was not found, neither in {cuda_home} nor among torch's requirements")
    return [str(header.parent) for header in found]


def _libraries(cuda_home, folder):
    """How to find the CUDA runtime, if not with nvcc: torch's has no name to link by, so `folder` gets one."""
    if any((cuda_home / name / "libcudart.so").is_file() for name in ("lib64", "lib")) or sys.platform != "linux":
        return []
    found = _nvidia("*/lib/libcudart.so.*")
    if not found:
        raise RuntimeError(f"libcudart was not found, neither in {cuda_home} nor among torch's requirements")
    link = folder / "libcudart.so"
    if not link.exists():
        link.unlink(missing_ok=True)  # one that leads nowhere any more
        with contextlib.suppress(FileExistsError):  # another process was faster
            link.symlink_to(found[-1])
    return [f"-L{folder}"]


def build(folder):
    """Compile the kernels with nvcc, and load them into this process; returns the path of the library.

    They are compiled for the architectures in ``TORCH_CUDA_ARCH_LIST``; without that, for the GPUs of this machine.

    Raises
    ------
    RuntimeError, OSError
        If torch is older than 2.10 or has no CUDA, nvcc, ninja or the CUDA headers are missing, or a compiler fails.
    """
    from torch.utils import cpp_extension

    if torch.version.cuda is None:
        raise RuntimeError(f"torch {torch.__version__} is built without CUDA")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 10):
        raise RuntimeError(f"NNJPEG_CUDA=1 needs torch 2.10 or newer, this is {torch.__version__}")
    if cpp_extension.CUDA_HOME is None:
        raise RuntimeError("nvcc was not found: it is not on the PATH, and CUDA_HOME is not set")
    home, folder = Path(cpp_extension.CUDA_HOME), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return cpp_extension.load(
        name=NAME,
        sources=[str(path) for ending in ("cu", "c", "cpp") for path in sorted(_SOURCES.glob(f"cuda/*.{ending}"))],
        extra_include_paths=[str(_SOURCES), *_headers(home)],
        extra_cflags=["-O2", "-DUSE_CUDA", f"-DTORCH_TARGET_VERSION={_STABLE_ABI}"],
        # No product may be fused with a sum unasked: floats become bytes by two roundings on every device.
        extra_cuda_cflags=["-O3", "-fmad=false"],
        extra_ldflags=_libraries(home, folder),
        build_directory=str(folder),
        is_python_module=False,
        verbose=True,
    )
