"""The CUDA kernels compiled by NVRTC, the compiler in a library that torch's requirements bring, and kept on disk.

A kernel is compiled for one type of samples and one architecture at a time, when it is first wanted, from the sources
in csrc/cuda. Headers that NVRTC lacks are in csrc/cuda/nvrtc.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import itertools
import os
import sys
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from nnjpeg import _core, atomic

__all__ = ["Image", "Nvrtc", "cache_folder", "instance", "load_library"]

_PACKAGE = Path(__file__).resolve().parent

# No product may be fused with a sum unasked: floats become bytes by two roundings on every device. The host's functions
# that headers declare are taken for the device's, since NVRTC knows no host.
_OPTIONS = ("--std=c++17", "--fmad=false", "--device-as-default-execution-space")


class Image(NamedTuple):
    """A kernel as the driver loads it."""

    symbol: str
    """The name of its function in `code`."""
    code: bytes
    """A cubin, or PTX."""


@lru_cache(maxsize=1)
def sources() -> dict[str, str]:
    """The device's sources: every header by the name that it is included by, and the files of kernels."""
    for csrc in (
        _PACKAGE / "csrc",
        _PACKAGE.parent / "csrc",
    ):  # inside an installed package, beside it in a source tree
        if (csrc / "cuda" / "job.h").is_file():
            patterns = ("*.h", "cuda/*.h", "cuda/*.cu", "cuda/nvrtc/*.h")
            return {path.name: path.read_text("utf-8") for pattern in patterns for path in sorted(csrc.glob(pattern))}
    raise RuntimeError("the sources of the CUDA kernels are not installed")


def load_library(*names: str) -> ctypes.CDLL:
    """The first library of these names that loads: beside torch, as its requirements bring it, or the system's."""
    site = Path(torch.__file__).resolve().parent
    folders = [*sorted(site.parent.glob("nvidia/*/lib")), *sorted(site.parent.glob("nvidia/*/bin")), site / "lib"]
    tried = [str(folder / name) for folder in folders for name in names if (folder / name).is_file()] + list(names)
    for name in tried:
        with contextlib.suppress(OSError):
            return ctypes.CDLL(name)
    raise RuntimeError(f"{' or '.join(names)} was not found, neither among torch's requirements nor by the system")


def _nvrtc_library() -> ctypes.CDLL:
    cuda = torch.version.cuda
    if cuda is None:
        raise RuntimeError(f"torch {torch.__version__} is built without CUDA")
    major = int(cuda.split(".")[0])
    windows = sys.platform == "win32"
    library = load_library(f"nvrtc64_{major}0_0.dll" if windows else f"libnvrtc.so.{major}")
    # NVRTC loads its own headers by name, which finds them only if they are loaded already.
    for path in sorted(
        Path(library._name).parent.glob("nvrtc-builtins64_*.dll" if windows else "libnvrtc-builtins.so.*")
    ):
        with contextlib.suppress(OSError):
            ctypes.CDLL(str(path))
    return library


class Nvrtc:
    """NVRTC itself.

    Raises
    ------
    RuntimeError
        If torch is built without CUDA, or the library is not there.
    """

    def __init__(self) -> None:
        self._library = _nvrtc_library()
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def _call(self, name: str, *arguments: Any) -> None:
        result = getattr(self._library, name)(*arguments)
        if result:
            raise RuntimeError(f"{name}: {self._library.nvrtcGetErrorString(result).decode()}")

    def _bytes(self, name: str, program: ctypes.c_void_p) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{name}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{name}", program, buffer)
        return buffer.raw

    @cached_property
    def version(self) -> str:
        """As in "13.0"."""
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        return f"{major.value}.{minor.value}"

    @cached_property
    def architectures(self) -> tuple[int, ...]:
        """The architectures that it knows, as in 90 for sm_90."""
        count = ctypes.c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        numbers = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", numbers)
        return tuple(sorted(numbers))

    def target(self, gpu: int) -> str:
        """What to compile for a GPU: itself, or, if NVRTC does not know it, PTX of the newest architecture before."""
        if gpu in self.architectures:
            return f"sm_{gpu}"
        before = [known for known in self.architectures if known < gpu]
        if not before:
            raise RuntimeError(
                f"NVRTC {self.version} compiles for GPUs from sm_{self.architectures[0]} on, and this one is sm_{gpu}"
            )
        return f"compute_{before[-1]}"

    def compile(self, source: str, kernel: str, target: str, *options: str) -> tuple[Image, str]:
        """The instance `kernel` of a template in a file of `sources`, and what the compiler says about it.

        Raises
        ------
        RuntimeError
            If the compiler finds an error, or cannot work; with its messages.
        """
        headers = {name: text for name, text in sources().items() if name.endswith(".h")}
        texts, names = ([item.encode() for item in items] for items in (headers.values(), headers))
        strings = ctypes.c_char_p * len(headers)
        flags = [option.encode() for option in (*_OPTIONS, f"--gpu-architecture={target}", *options)]
        program = ctypes.c_void_p()
        self._call(
            "nvrtcCreateProgram",
            ctypes.byref(program),
            sources()[source].encode(),
            source.encode(),
            len(headers),
            strings(*texts),
            strings(*names),
        )
        try:
            self._call("nvrtcAddNameExpression", program, kernel.encode())
            failed = self._library.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags))
            messages = self._bytes("ProgramLog", program).rstrip(b"\0").decode(errors="replace").strip()
            if failed:
                raise RuntimeError(f"NVRTC {self.version} does not compile {kernel} for {target}: {messages}")
            symbol = ctypes.c_char_p()
            self._call("nvrtcGetLoweredName", program, kernel.encode(), ctypes.byref(symbol))
            code = self._bytes("CUBIN" if target.startswith("sm_") else "PTX", program)
            return Image((symbol.value or b"").decode(), code), messages
        finally:
            self._call("nvrtcDestroyProgram", ctypes.byref(program))

    def image(self, target: str, kernel: int, type: int) -> Image:
        """A kernel for a type, by their numbers in csrc/cuda/job.h: from the cache, or compiled and, if possible, kept.

        Two compilations may differ in some bytes.
        """
        file, function, _ = _core.cuda_kernels()[kernel]
        what = instance(file, function, type)
        facts = (self.version, target, *what, *_OPTIONS)
        digest = hashlib.sha256()
        for part in itertools.chain(facts, *sources().items()):
            digest.update(f"{len(part)} {part}".encode())
        folder = cache_folder()
        name = f"{function}-{_core.cuda_types()[type]}-{target}-{digest.hexdigest()[:32]}"
        path = None if folder is None else folder / name
        image = None if path is None else _read(path)
        if image is None:
            image, _ = self.compile(*what, target)
            if path is not None:
                _keep(path, image)
        return image


def instance(file: str, function: str, type: int) -> tuple[str, str]:
    """A source, and the kernel in it for a type: what `Nvrtc.compile` takes."""
    return f"{file}.cu", f"nnjpeg_cuda::{function}<nnjpeg_cuda::{_core.cuda_types()[type]}>"


def cache_folder() -> Path | None:
    """Where compiled kernels are kept: nnjpeg in XDG_CACHE_HOME, ~/.cache or LOCALAPPDATA; None without a home."""
    base = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    with contextlib.suppress(RuntimeError):
        return Path(base or Path.home() / ".cache") / "nnjpeg"
    return None


def _read(path: Path) -> Image | None:
    """What was kept; None if there is nothing, or it is damaged."""
    with contextlib.suppress(OSError, ValueError):
        checksum, content = path.read_bytes().split(b"\n", 1)
        if hashlib.sha256(content).hexdigest().encode() == checksum:
            symbol, code = content.split(b"\n", 1)
            return Image(symbol.decode(), code)
    return None


def _keep(path: Path, image: Image) -> None:
    content = image.symbol.encode() + b"\n" + image.code
    with contextlib.suppress(OSError):  # a cache that cannot be written is none
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
