"""NN-JPEG as a codec of Zarr's format 3, from array to bytes: ``zarr.create_array(..., serializer=NNJpegCodec())``.

It is registered by its entry point, so that arrays are read without an import. For format 2 see `nnjpeg.numcodecs`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer

from nnjpeg._arguments import UINT8, Colorspace, Layout, Subsampling
from nnjpeg.chunks import Chunks
from nnjpeg.qtable import NN_TABLE, QTables

__all__ = ["NNJpegCodec"]


@dataclass(frozen=True, init=False, repr=False)
class NNJpegCodec(ArrayBytesCodec):
    """Store chunks of images as JPEG files (lossy); parameters and notes are those of `nnjpeg.numcodecs.NNJpegCodec`.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, the array's dtype is not uint8, or its dimensions do not fit the layout.

    See Also
    --------
    nnjpeg.numcodecs.NNJpegCodec : the parameters, and when a chunk equals the transform of an image.
    """

    is_fixed_size = False

    chunks: Chunks

    def __init__(
        self,
        qtable: QTables = NN_TABLE,
        quality: float | None = None,
        colorspace: Colorspace = "rgb",
        subsampling: Subsampling = "4:4:4",
        layout: Layout = "NHWC",
    ) -> None:
        chunks = Chunks(qtable, quality=quality, colorspace=colorspace, subsampling=subsampling, layout=layout)
        object.__setattr__(self, "chunks", chunks)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> NNJpegCodec:
        """Make the codec from an array's metadata."""
        return cls(**data.get("configuration", {}))

    def to_dict(self) -> dict[str, Any]:
        """The codec as an array's metadata."""
        return {"name": "nnjpeg", "configuration": self.chunks.config()}

    def __repr__(self) -> str:
        return repr(self.chunks).replace(type(self.chunks).__name__, type(self).__name__, 1)

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Refuse arrays that the codec cannot store.

        Zarr passes the axes of the array itself, so an array that a TransposeCodec would turn into the codec's layout
        is refused: give the layout of the array, and no TransposeCodec.
        """
        native = dtype.to_native_dtype() if hasattr(dtype, "to_native_dtype") else np.dtype(dtype)
        if native != UINT8:
            raise TypeError(f"dtype must be uint8 to be stored as JPEG, got {native}")
        try:
            self.chunks.check_shape(tuple(getattr(chunk_grid, "chunk_shape", shape)))
        except ValueError as error:
            raise ValueError(
                f"{error}; layout must be that of the array itself, whose shape is {shape}, without a TransposeCodec"
            ) from None

    async def _encode_single(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        array = chunk_array.as_numpy_array()
        try:
            self.chunks.check_shape(array.shape)
        except ValueError as error:
            raise ValueError(f"{error}; a TransposeCodec must not come before this codec") from None
        data = await asyncio.to_thread(self.chunks.encode, array)
        return chunk_spec.prototype.buffer.from_bytes(data)

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        array = await asyncio.to_thread(self.chunks.decode, chunk_bytes.to_bytes())
        if array.shape != tuple(chunk_spec.shape):
            raise ValueError(f"chunk holds an array of shape {array.shape}, its metadata say {tuple(chunk_spec.shape)}")
        return chunk_spec.prototype.nd_buffer.from_numpy_array(array)

    def compute_encoded_size(self, input_byte_length: int, _chunk_spec: ArraySpec) -> int:
        """Not known beforehand."""
        raise NotImplementedError
