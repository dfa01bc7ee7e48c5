from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

_Axes: TypeAlias = tuple[int, int, int, int]

class Quantizers:
    @property
    def images(self) -> int: ...
    @property
    def components(self) -> int: ...
    def __init__(self, steps: npt.NDArray[np.uint16]) -> None: ...

def roundtrip(
    src: npt.NDArray[np.uint8],
    dst: npt.NDArray[np.uint8] | None,
    axes: _Axes,
    quantizers: Quantizers,
    ycbcr: bool,
    num_threads: int,
    padded: bool = False,
    subsampling: int = 0,
) -> npt.NDArray[np.uint8]: ...
def roundtrip_f32(
    src: npt.NDArray[np.float32],
    dst: npt.NDArray[np.float32],
    axes: _Axes,
    quantizers: Quantizers,
    ycbcr: bool,
    exact: bool,
    cubic: bool,
    num_threads: int,
    subsampling: int = 0,
) -> None: ...
def cubic_backward_f32(
    grad: npt.NDArray[np.float32],
    src: npt.NDArray[np.float32],
    dst: npt.NDArray[np.float32],
    axes: _Axes,
    quantizers: Quantizers,
    ycbcr: bool,
    num_threads: int,
    subsampling: int = 0,
) -> None: ...
def table_backward_f32(
    grad: npt.NDArray[np.float32],
    src: npt.NDArray[np.float32],
    dst: npt.NDArray[np.float32],
    axes: _Axes,
    quantizers: Quantizers,
    ycbcr: bool,
    cubic: bool,
    num_threads: int,
    subsampling: int = 0,
) -> None: ...
def forward(
    src: npt.NDArray[np.uint8],
    dsts: tuple[npt.NDArray[np.int16], ...],
    axes: _Axes,
    quantizers: Quantizers,
    ycbcr: bool,
    num_threads: int,
    subsampling: int = 0,
) -> None: ...
def inverse(
    srcs: tuple[npt.NDArray[np.int16], ...],
    dst: npt.NDArray[np.uint8],
    axes: _Axes,
    quantizers: Quantizers,
    ycbcr: bool,
    num_threads: int,
    subsampling: int = 0,
) -> None: ...
def coded_size(
    src: npt.NDArray[Any],
    sizes: npt.NDArray[np.int64],
    axes: _Axes,
    quantizers: Quantizers,
    ycbcr: bool,
    num_threads: int,
    subsampling: int = 0,
    optimize: bool = False,
    lengths: npt.NDArray[np.uint8] | None = None,
) -> None: ...
def rate_backward(
    src: npt.NDArray[Any],
    weights: npt.NDArray[np.float32],
    lengths: npt.NDArray[np.uint8],
    tables: npt.NDArray[np.float32],
    dst: npt.NDArray[np.float32] | None,
    axes: _Axes,
    quantizers: Quantizers,
    ycbcr: bool,
    num_threads: int,
    subsampling: int = 0,
) -> None: ...
def dct(src: npt.NDArray[Any], dst: npt.NDArray[np.float32], axes: _Axes) -> None: ...
def idct(src: npt.NDArray[np.float32], dst: npt.NDArray[np.float32], axes: _Axes) -> None: ...
def quantize(coefficients: npt.NDArray[np.int16], quantized: npt.NDArray[np.int16], step: int) -> None: ...
def arrow_pixels(capsule: object, height: int, width: int) -> npt.NDArray[np.uint8]: ...
def expect_writes(address: int, size: int) -> None: ...
def openmp_threads() -> int: ...
def isa() -> str | None: ...
def compiled_isas() -> dict[str, bool]: ...
def use_isa(name: str) -> None: ...

CUDA_THREADS: int
CUDA_JOB_BYTES: int

def cuda_types() -> list[str]: ...
def cuda_kernels() -> list[tuple[str, str, list[int]]]: ...

_View: TypeAlias = tuple[int, tuple[int, ...]]

class CudaPlan:
    def __init__(
        self,
        type: int,
        shape: tuple[int, ...],
        src: _View,
        grad: _View | None,
        dst: _View | None,
        tables: tuple[int, int, int, int],
        ycbcr: bool,
        subsampling: int,
        exact: bool,
        cubic: bool,
        steps_gradient: int = 0,
    ) -> None: ...
    @property
    def workspace(self) -> int: ...
    def use_workspace(self, address: int) -> None: ...
    @property
    def job(self) -> int: ...
    @property
    def launches(self) -> list[tuple[int, int, int]]: ...
