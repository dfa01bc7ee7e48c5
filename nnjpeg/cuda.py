"""The CUDA kernels, and how a process comes by them.

`load` takes, once, the first of these that works: the library that nvcc built with the package
(``NNJPEG_CUDA=1 pip install --no-build-isolation .``), or NVRTC, which torch's requirements bring, and which compiles
each kernel when it is first used (`nnjpeg._nvrtc`). Without either, CUDA tensors take the way of `nnjpeg._plain`, after
one warning.
"""

from __future__ import annotations

import io
import threading
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

__all__ = ["compile", "load", "state"]

PREBUILT = Path(__file__).resolve().parent / "nnjpeg_cuda.so"
_OLDEST_TORCH = (2, 10)  # whose stable ABI the prebuilt library uses

_lock = threading.Lock()
_loaded: bool | None = None
_state = "not loaded: no CUDA tensor has come yet"
_registered: Any = None  # by Python: lives as long as the process


def load() -> bool:
    """Have the kernels, if they are to be had; after the first call, a question of nanoseconds.

    Returns
    -------
    bool
        Whether ``torch.ops.nnjpeg`` now has kernels for CUDA.
    """
    global _loaded
    if _loaded is None:
        with _lock:
            if _loaded is None:
                _loaded = _load()
    return _loaded


def state() -> str:
    """Which kernels are in use, and why not those that would come first; or why there are none."""
    return _state


def compile(architecture: str) -> bytes:
    """Compile all kernels for one architecture with NVRTC, without a GPU.

    They are kept in the cache as well: a process of the same user that has a GPU of this architecture, and the same
    versions of nnjpeg and NVRTC, starts without compiling.

    Parameters
    ----------
    architecture : str
        As in "sm_90": one that torch's NVRTC knows.

    Returns
    -------
    bytes
        A zip archive of cubins, named as in "exact_plane-uint8.cubin" by kernel and type of samples.

    Raises
    ------
    RuntimeError
        If torch is built without CUDA, or NVRTC is not there or fails.
    ValueError
        If NVRTC does not know the architecture.
    """
    from nnjpeg import _core, _nvrtc

    nvrtc = _nvrtc.Nvrtc()
    known = [f"sm_{number}" for number in nvrtc.architectures]
    if architecture not in known:
        raise ValueError(
            f"architecture must be one of {', '.join(known)} for NVRTC {nvrtc.version}, got {architecture!r}"
        )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for kernel, (_, name, types) in enumerate(_core.cuda_kernels()):
            for type in types:
                image = nvrtc.image(architecture, kernel, type)
                file.writestr(f"{name}-{_core.cuda_types()[type]}.cubin", image.code)
    return archive.getvalue()


def _load_prebuilt() -> str:
    if not PREBUILT.is_file():
        raise RuntimeError("the package was built without NNJPEG_CUDA=1")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < _OLDEST_TORCH:
        raise RuntimeError(f"it needs torch 2.10 or newer, this is {torch.__version__}")
    torch.ops.load_library(PREBUILT)
    return "prebuilt with nvcc"


def _load_nvrtc() -> str:
    """Register the operators, once the smallest kernel has been compiled and loaded."""
    global _registered
    from nnjpeg import _core, _launch, _nvrtc

    nvrtc = _nvrtc.Nvrtc()
    operators = _launch.Operators(nvrtc, _launch.Driver())
    names = [name for _, name, _ in _core.cuda_kernels()]
    operators.function(torch.cuda.current_device(), names.index("round_tables"), _core.cuda_types().index("float32"))
    _registered = operators.register()
    return f"compiled by NVRTC {nvrtc.version}, kept in {_nvrtc.cache_folder() or 'memory'}"


def _load() -> bool:
    global _state
    reasons: list[str] = []
    for way, get in (("prebuilt", _load_prebuilt), ("NVRTC", _load_nvrtc)):
        try:
            _state = "; ".join([get(), *reasons])
            return True
        except (AttributeError, ImportError, OSError, RuntimeError) as error:
            reasons.append(f"not {way}: {(str(error).splitlines() or [repr(error)])[0]}")
    reason = "; ".join(reasons)
    _state = f"none, plain torch operations; {reason}"
    warnings.warn(
        "nnjpeg has no CUDA kernels here and works with plain torch operations, exact but slow "
        f"({reason}). Install the NVRTC of torch's CUDA (pip install nvidia-cuda-nvrtc for CUDA 13, "
        "nvidia-cuda-nvrtc-cu12 for CUDA 12), or build the kernels in, with nvcc and ninja on the PATH: "
        "NNJPEG_CUDA=1 pip install --no-build-isolation .",
        RuntimeWarning,
        stacklevel=2,
    )
    return False
