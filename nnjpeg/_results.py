"""Memory of large results, which is used again.

The C library gives blocks beyond 32 MB back to the system as soon as they are free, and the system fills the pages of
the next one with zeros: for a batch of floats that takes half as long as the transform. So when
the last tensor that uses such a block is gone, the block is kept for the next result of its size.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnjpeg import _core

__all__ = ["empty_like"]

_HUGE_PAGES = 1 << 22  # from where on NumPy asks for them for its arrays
_ALIGNMENT = 64  # as torch's own
_LEAST = 1 << 25
_MOST_KEPT = 1 << 27
"""Bytes of all blocks that wait."""

_DTYPES = {torch.float32: np.float32, torch.uint8: np.uint8}

_waiting: deque[npt.NDArray[np.uint8]] = deque()


def empty_like(image: Tensor) -> Tensor:
    """An uninitialised tensor like `image`, as `torch.empty_like` makes it."""
    size = image.nbytes
    if not _LEAST <= size <= _MOST_KEPT or image.dtype not in _DTYPES:
        result = torch.empty_like(image)
        if size >= _HUGE_PAGES:
            _core.expect_writes(result.data_ptr(), size)
        return result
    block = _block(size)
    strides = [image.itemsize * stride for stride in torch.empty_like(image, device="meta").stride()]
    view: npt.NDArray[Any] = np.ndarray(image.shape, _DTYPES[image.dtype], block, strides=strides)
    weakref.finalize(view, _keep, block).atexit = False  # torch has the only reference to it
    return torch.from_numpy(view)


def _block(size: int) -> npt.NDArray[np.uint8]:
    for _ in range(len(_waiting)):
        try:
            block = _waiting.popleft()
        except IndexError:  # another thread took it
            break
        if block.nbytes == size:
            return block
        _waiting.append(block)
    whole = np.empty(size + _ALIGNMENT, np.uint8)
    return whole[-whole.ctypes.data % _ALIGNMENT :][:size]


def _keep(block: npt.NDArray[np.uint8]) -> None:
    _waiting.append(block)
    while sum(one.nbytes for one in list(_waiting)) > _MOST_KEPT:
        _waiting.popleft()
