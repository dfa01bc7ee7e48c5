"""NN-JPEG as a numcodecs codec, for Zarr's format 2 and whatever else takes numcodecs.

It is registered by its entry point: ``numcodecs.get_codec({"id": "nnjpeg"})`` finds it once nnjpeg is installed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numcodecs.abc import Codec
from numcodecs.compat import ensure_bytes, ndarray_copy

from nnjpeg.chunks import Chunks

__all__ = ["NNJpegCodec"]


class NNJpegCodec(Chunks, Codec):
    """Store chunks of images as JPEG files with tables of your own: lossy, read back as `nnjpeg.roundtrip` gives them.

    Its parameters, and its errors, are those of `nnjpeg.chunks.Chunks`; a damaged chunk is a ValueError.

    Notes
    -----
    A chunk is compressed by itself. It is what the transform makes of whole images where chunks hold whole images, or
    where their sides are multiples of 8 that divide the images' sides: Zarr fills a chunk that reaches beyond the array
    with its fill value, not with the last row and column.
    """

    codec_id = "nnjpeg"

    def encode(self, buf: npt.NDArray[np.uint8]) -> bytes:
        """A chunk, an array of uint8 of the codec's layout, as bytes."""
        return super().encode(np.asarray(buf))

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The array of a chunk; in `out`, where that is given."""
        return ndarray_copy(super().decode(ensure_bytes(buf)), out)

    def get_config(self) -> dict[str, Any]:
        """Tables are given as they are used, at their quality."""
        return {"id": self.codec_id, **self.config()}
