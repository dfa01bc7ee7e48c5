"""NN-JPEG as a numcodecs codec, for Zarr's format 2 and everything else that takes numcodecs.

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

_FORTRAN = b"NNJF"


class NNJpegCodec(Chunks, Codec):
    """Store chunks of images as JPEG files (lossy); reading gives what `nnjpeg.roundtrip` gives.

    Parameters and errors are those of `nnjpeg.chunks.Chunks`; a damaged chunk raises ValueError.

    Notes
    -----
    Each chunk is compressed by itself. Its images equal what the transform gives if chunks hold whole images, or if
    their sides are multiples of 8 that divide the images' sides: Zarr fills a chunk that reaches beyond the array with
    the fill value, not with the last row and column.

    In Zarr's format 2, an array with ``order="F"`` is passed in Fortran order, and must be returned so. The bytes of
    such a chunk begin with ``NNJF``; the rest is as usual.
    """

    codec_id = "nnjpeg"

    def encode(self, buf: npt.NDArray[np.uint8]) -> bytes:
        """A chunk, an array of uint8 of the codec's layout, as bytes."""
        chunk = np.asarray(buf)
        is_fortran = chunk.flags.f_contiguous and not chunk.flags.c_contiguous
        return (_FORTRAN if is_fortran else b"") + super().encode(chunk)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The array of a chunk, in the order in memory that `encode` was given; in `out`, where that is given."""
        data = ensure_bytes(buf)
        if data.startswith(_FORTRAN):
            chunk = np.asfortranarray(super().decode(data[len(_FORTRAN) :]))
        else:
            chunk = super().decode(data)
        return ndarray_copy(chunk, out)

    def get_config(self) -> dict[str, Any]:
        """Tables are given as they are used, at their quality."""
        return {"id": self.codec_id, **self.config()}
