"""What this build of nnjpeg is and what it uses on this machine."""

from __future__ import annotations

import platform
from typing import Any

import nnjpeg
from nnjpeg import _core
from nnjpeg._threads import available_cpus, thread_limit

__all__ = ["config", "show_config"]


def config() -> dict[str, Any]:
    """The facts that `show_config` prints. Where there is a GPU, the CUDA kernels are loaded to say which."""
    openmp = _core.openmp_threads()
    return {
        "version": nnjpeg.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "instruction_set": _core.isa(),
        "compiled_instruction_sets": _core.compiled_isas(),
        "openmp": openmp > 0,
        "threads": thread_limit(None),
        "available_cpus": available_cpus(),
        "cuda": _cuda_state(),
    }


def show_config() -> None:
    """Print what this build is: instruction sets, OpenMP, threads, CUDA.

    The environment variable ``NNJPEG_FORCE_ISA`` forces one of the instruction sets that are listed.
    """
    facts = config()
    isas = ", ".join(
        name if supported else f"{name} (not on this CPU)"
        for name, supported in facts["compiled_instruction_sets"].items()
    )
    print(f"nnjpeg           {facts['version']}, Python {facts['python']}, {facts['machine']}")
    print(f"instruction set  {facts['instruction_set'] or 'none: NNJPEG_FORCE_ISA names one that is unavailable'}")
    print(f"compiled         {isas}")
    print(f"OpenMP           {'yes' if facts['openmp'] else 'no'}")
    print(f"threads          {facts['threads']} by default, {facts['available_cpus']} CPUs available")
    print(f"CUDA kernel      {facts['cuda']}")


def _cuda_state() -> str:
    try:
        import torch

        from nnjpeg import cuda
    except ImportError:
        return "none: torch is not installed"
    if torch.cuda.is_available():
        cuda.load()
    return cuda.state()
