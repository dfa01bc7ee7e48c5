"""The operators on CUDA tensors, by kernels that NVRTC compiles (`nnjpeg._nvrtc`) and CUDA's driver launches.

What a call launches, and with what, csrc/cuda/plan.c says, as it does to the library that nvcc builds.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from nnjpeg import _core
from nnjpeg._arguments import FACTORS
from nnjpeg._nvrtc import Image, Nvrtc, load_library
from nnjpeg._operands import check_operands

__all__ = ["Driver", "Operators"]

_TYPES = {getattr(torch, name): number for number, name in enumerate(_core.cuda_types())}
_RELAXED = 2  # CU_STREAM_CAPTURE_MODE_RELAXED


class Driver:
    """The functions of CUDA's driver that launches take, by ctypes.

    Parameters
    ----------
    library : optional
        What has the functions: by default the driver that is installed.

    Raises
    ------
    RuntimeError
        If there is no driver, or a call fails.
    """

    def __init__(self, library: Any = None) -> None:
        self._library = library or load_library("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        self._contexts: dict[int, ctypes.c_void_p] = {}
        self._call("cuInit", 0)

    def _call(self, name: str, *arguments: Any) -> None:
        result = getattr(self._library, name)(*arguments)
        if result:
            text = ctypes.c_char_p()
            self._library.cuGetErrorString(result, ctypes.byref(text))
            raise RuntimeError(f"CUDA: {name}: {(text.value or b'an unknown error').decode()}")

    @contextlib.contextmanager
    def _current(self, device: int) -> Iterator[None]:
        """Within, the context of a device that torch uses is the thread's: a thread that is new has none yet."""
        context = self._contexts.get(device)
        if context is None:
            handle, context = ctypes.c_int(), ctypes.c_void_p()
            self._call("cuDeviceGet", ctypes.byref(handle), device)
            self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), handle)
            self._contexts[device] = context
        self._call("cuCtxPushCurrent_v2", context)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def architecture(self, device: int) -> int:
        """As in 90 for sm_90."""
        major, minor = torch.cuda.get_device_capability(device)
        return 10 * major + minor

    def stream(self, device: int) -> int:
        """The handle of the stream that torch uses now."""
        return torch.cuda.current_stream(device).cuda_stream

    def load(self, device: int, image: Image) -> ctypes.c_void_p:
        """The function of an image on a device. Allowed also while a CUDA graph is captured."""
        module, function, mode = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_int(_RELAXED)
        with self._current(device):
            self._call("cuThreadExchangeStreamCaptureMode", ctypes.byref(mode))
            try:
                self._call("cuModuleLoadData", ctypes.byref(module), image.code)
                self._call("cuModuleGetFunction", ctypes.byref(function), module, image.symbol.encode())
            finally:
                self._call("cuThreadExchangeStreamCaptureMode", ctypes.byref(mode))
        return function

    def launch(self, device: int, function: ctypes.c_void_p, blocks: int, stream: int, job: int) -> None:
        """Put a kernel on a stream; job: the address of its parameter, which is copied."""
        parameters = (ctypes.c_void_p * 1)(job)
        with self._current(device):
            size = (blocks, 1, 1, _core.CUDA_THREADS, 1, 1, 0)
            self._call("cuLaunchKernel", function, *size, ctypes.c_void_p(stream), parameters, None)


class Operators:
    """``torch.ops.nnjpeg`` for CUDA."""

    def __init__(self, nvrtc: Nvrtc, driver: Driver) -> None:
        self._nvrtc, self._driver = nvrtc, driver
        self._functions: dict[tuple[int, int, int], ctypes.c_void_p] = {}
        self._lock = threading.Lock()

    def register(self) -> torch.library.Library:
        """Make torch call them, as long as the result lives."""
        library = torch.library.Library("nnjpeg", "IMPL")
        library.impl("roundtrip", self.roundtrip, "CUDA")
        library.impl("cubic_backward", self.cubic_backward, "CUDA")
        library.impl("table_backward", self.table_backward, "CUDA")
        return library

    def roundtrip(self, image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int, exact: bool, cubic: bool) -> Tensor:
        """See `nnjpeg.ops` for the schemas."""
        check_operands(image, qtable, ycbcr, h, v)
        return self._run(None, image, qtable, ycbcr, FACTORS.index((h, v)), exact, cubic)

    def cubic_backward(self, grad: Tensor, image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int) -> Tensor:
        """See `nnjpeg.ops` for the schemas."""
        check_operands(image, qtable, ycbcr, h, v, grad)
        return self._run(grad, image, qtable, ycbcr, FACTORS.index((h, v)), False, True)

    def table_backward(
        self, grad: Tensor, image: Tensor, qtable: Tensor, ycbcr: bool, h: int, v: int, cubic: bool
    ) -> Tensor:
        """See `nnjpeg.ops` for the schemas."""
        check_operands(image, qtable, ycbcr, h, v, grad)
        return self._run(grad, image, qtable, ycbcr, FACTORS.index((h, v)), False, cubic, by_table=True)

    def function(self, device: int, kernel: int, type: int) -> ctypes.c_void_p:
        """A kernel for a type on a device, compiled if there is none yet."""
        key = device, kernel, type
        function = self._functions.get(key)
        if function is None:
            with self._lock:
                function = self._functions.get(key)
                if function is None:
                    target = self._nvrtc.target(self._driver.architecture(device))
                    function = self._driver.load(device, self._nvrtc.image(target, kernel, type))
                    self._functions[key] = function
        return function

    def _run(
        self,
        grad: Tensor | None,
        image: Tensor,
        qtable: Tensor,
        ycbcr: bool,
        subsampling: int,
        exact: bool,
        cubic: bool,
        by_table: bool = False,
    ) -> Tensor:
        blocks = image.shape[0] * image.shape[1] * -(-image.shape[2] // 8) * -(-image.shape[3] // 8)
        if blocks >= 2**31:
            raise ValueError(f"image must have fewer than 2^31 blocks of 8x8 samples, got {blocks}")
        result = (
            torch.zeros(qtable.shape, dtype=torch.float32, device=image.device) if by_table else torch.empty_like(image)
        )
        if image.numel() == 0:
            return result
        table = qtable.contiguous()
        if table.data_ptr() % 16:
            table = table.clone()
        images, components = table.shape[:2]
        strides = 64 * components if images > 1 else 0, 64 if components > 1 else 0
        plan = _core.CudaPlan(
            _TYPES[image.dtype],
            tuple(image.shape),
            _view(image),
            None if grad is None else _view(grad),
            None if by_table else _view(result),
            (_TYPES[table.dtype], table.data_ptr(), *strides),
            ycbcr,
            subsampling,
            exact,
            cubic,
            result.data_ptr() if by_table else 0,
        )
        if plan.workspace:
            workspace = torch.empty(plan.workspace, dtype=torch.uint8, device=image.device)
            plan.use_workspace(workspace.data_ptr())
        device = image.get_device()
        stream = self._driver.stream(device)
        for kernel, type, count in plan.launches:
            self._driver.launch(device, self.function(device, kernel, type), count, stream, plan.job)
        return result


def _view(tensor: Tensor) -> tuple[int, tuple[int, ...]]:
    return tensor.data_ptr(), tensor.stride()
