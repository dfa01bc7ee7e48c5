"""The CUDA kernel: its recipe, and how a process comes by it.

`load` takes, once, the first of these that it can have: the library that the package was built with
(``NNJPEG_CUDA=1 pip install --no-build-isolation .``), or one that it builds now with nvcc, and that torch keeps for
the next process. Without either, CUDA tensors take the way of `nnjpeg._plain`, after one warning.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import warnings
from importlib.metadata import version
from pathlib import Path

import torch

__all__ = ["build", "load", "state"]

NAME = "nnjpeg_cuda"
_PACKAGE = Path(__file__).resolve().parent
PREBUILT = _PACKAGE / f"{NAME}.so"
_OLDEST_TORCH = (2, 10)  # whose stable ABI the binding uses
_STABLE_ABI = "0x020a000000000000"  # the same, as torch's headers want it

_lock = threading.Lock()
_loaded: bool | None = None
_state = "not loaded: no CUDA tensor has come yet"


def _folder_of_sources() -> Path:
    """csrc: inside an installed package, beside it in a source tree."""
    for folder in (_PACKAGE / "csrc", _PACKAGE.parent / "csrc"):
        if (folder / "cuda" / "plan.c").is_file():
            return folder
    raise RuntimeError("the kernel's sources are not installed")


def _nvidia(pattern: str) -> list[Path]:
    """What torch's requirements bring of CUDA."""
    return sorted((Path(torch.__file__).resolve().parent.parent / "nvidia").glob(pattern))


def _headers(cuda_home: Path) -> list[str]:
    """Where cuda_runtime.h is, if not with nvcc."""
    if (cuda_home / "include" / "cuda_runtime.h").is_file():
        return []
    found = _nvidia("*/include/cuda_runtime.h")
    if not found:
        raise RuntimeError(f"cuda_runtime.h was not found, neither in {cuda_home} nor among torch's requirements")
    return [str(header.parent) for header in found]


def _libraries(cuda_home: Path, folder: Path) -> list[str]:
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


def _check_torch() -> None:
    if torch.version.cuda is None:
        raise RuntimeError(f"torch {torch.__version__} is built without CUDA")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < _OLDEST_TORCH:
        raise RuntimeError(f"the kernel needs torch 2.10 or newer, this is {torch.__version__}")


def build(folder: str | os.PathLike[str] | None = None, *, verbose: bool = False) -> Path:
    """Compile the kernel with nvcc, and load it into this process.

    It is compiled for the architectures in ``TORCH_CUDA_ARCH_LIST``; without that, for the GPUs of this machine.

    Parameters
    ----------
    folder : path, optional
        Where to build. By default torch's cache of extensions (``TORCH_EXTENSIONS_DIR``), where what an earlier process
        built is used again if nothing has changed.
    verbose : bool
        Print what the compilers do.

    Returns
    -------
    Path
        The library.

    Raises
    ------
    RuntimeError, OSError
        If torch is older than 2.10 or has no CUDA, nvcc, ninja or the CUDA headers are missing, or a compiler fails.
    """
    _check_torch()
    from torch.utils import cpp_extension

    if cpp_extension.CUDA_HOME is None:
        raise RuntimeError("nvcc was not found: it is not on the PATH, and CUDA_HOME is not set")
    sources, home = _folder_of_sources(), Path(cpp_extension.CUDA_HOME)
    folder = Path(folder or _default_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return Path(
        cpp_extension.load(
            name=NAME,
            sources=[str(path) for ending in ("cu", "c", "cpp") for path in sorted(sources.glob(f"cuda/*.{ending}"))],
            extra_include_paths=[str(sources), *_headers(home)],
            extra_cflags=["-O2", "-DUSE_CUDA", f"-DTORCH_TARGET_VERSION={_STABLE_ABI}"],
            # No product may be fused with a sum unasked: floats become bytes by two roundings on every device.
            extra_cuda_cflags=["-O3", "-fmad=false"],
            extra_ldflags=_libraries(home, folder),
            build_directory=str(folder),
            is_python_module=False,
            verbose=verbose,
        )
    )


def _default_folder() -> str:
    from torch.utils import cpp_extension

    root = os.environ.get("TORCH_EXTENSIONS_DIR") or cpp_extension.get_default_build_root()
    return os.path.join(root, f"{NAME}_{version('nnjpeg')}_cu{torch.version.cuda}")


def load() -> bool:
    """Have the kernel, if it is to be had; after the first call, a question of nanoseconds.

    Returns
    -------
    bool
        Whether ``torch.ops.nnjpeg`` now has a kernel for CUDA.
    """
    global _loaded
    if _loaded is None:
        with _lock:
            if _loaded is None:
                _loaded = _load()
    return _loaded


def _load_prebuilt() -> Path | None:
    if not PREBUILT.is_file():
        return None
    _check_torch()
    torch.ops.load_library(PREBUILT)
    return PREBUILT


def _load() -> bool:
    global _state
    reasons = []
    for source, get in (("prebuilt", _load_prebuilt), ("built with nvcc", build)):
        try:
            if get() is not None:
                _state = source
                return True
        except (ImportError, OSError, RuntimeError) as error:
            reasons.append((str(error).splitlines() or [repr(error)])[0])
    reason = "; ".join(dict.fromkeys(reasons))
    _state = f"none, plain torch operations: {reason}"
    warnings.warn(
        f"nnjpeg has no CUDA kernel here and works with plain torch operations, exact but slow: {reason}. With "
        "torch 2.10 or newer, nvcc and ninja on the PATH it is compiled at first use; or build it in with "
        "NNJPEG_CUDA=1 pip install --no-build-isolation .",
        RuntimeWarning,
        stacklevel=2,
    )
    return False


def state() -> str:
    """Where the kernel came from, or why there is none."""
    return _state
