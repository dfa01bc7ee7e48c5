"""Chunks of image arrays as bytes: what the codecs for numcodecs and Zarr store.

A chunk of one image is an ordinary JPEG file, which any reader shows. A chunk of several images is a header
followed by their files: ``NNJC``, their number, and the length of each, as little-endian uint32.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from nnjpeg._arguments import (
    LAYOUTS,
    UINT8,
    Colorspace,
    Layout,
    Subsampling,
    axes_of,
    check_array,
    components_of,
    is_ycbcr,
)
from nnjpeg.files import check_storable, decode_bytes, encode, writable_subsampling
from nnjpeg.qtable import NN_TABLE, QTable, QTables, as_tables, tables_for

__all__ = ["Chunks"]

_MAGIC = b"NNJC"


class Chunks:
    """Conversion between the chunks of an array and bytes.

    Parameters
    ----------
    qtable, colorspace
        As for `nnjpeg.roundtrip`.
    quality : number, optional
        1..100, whole or not: scales the tables by `QTable.at_quality`.
    subsampling : {"4:4:4", "4:2:2", "4:2:0"}
        As for `nnjpeg.encode`.
    layout : {"HW", "HWC", "CHW", "NHWC", "NCHW"}
        Layout of a chunk, with 1 or 3 components.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    """

    def __init__(
        self,
        qtable: QTables = NN_TABLE,
        *,
        quality: float | None = None,
        colorspace: Colorspace = "rgb",
        subsampling: Subsampling = "4:4:4",
        layout: Layout = "NHWC",
    ) -> None:
        if layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {sorted(LAYOUTS)}, got {layout!r}")
        if colorspace not in ("rgb", "ycbcr"):
            raise ValueError(f"colorspace must be 'rgb' or 'ycbcr', got {colorspace!r}")
        writable_subsampling(subsampling, colorspace, 3)
        tables = as_tables(qtable)
        self.tables: tuple[QTable, ...] = tuple(t if quality is None else t.at_quality(quality) for t in tables)
        self.colorspace = colorspace
        self.subsampling = subsampling
        self.layout = layout

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Version 0.1.0 pickled a list of tables, and no subsampling."""
        self.__dict__.update({"subsampling": "4:4:4", **state, "tables": tuple(state["tables"])})

    def config(self) -> dict[str, Any]:
        """The arguments of the constructor, in a form that JSON can hold.

        Without subsampling they are those of version 0.1.0, which can read such chunks.
        """
        return {
            "qtable": [table.to_list() for table in self.tables],
            "colorspace": self.colorspace,
            **({} if self.subsampling == "4:4:4" else {"subsampling": self.subsampling}),
            "layout": self.layout,
        }

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._key() == self._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return self.tables, self.colorspace, self.subsampling, self.layout

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.config().items())
        return f"{type(self).__name__}({arguments})"

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """That a chunk of this shape can be stored.

        Raises
        ------
        ValueError
            If it does not have the layout, no JPEG file can hold its images, or its components do not fit the colour
            space             or the tables.
        """
        axes = axes_of("chunk", shape, self.layout)
        try:
            check_storable("chunk", shape, axes)
        except ValueError as error:
            raise ValueError(f"{error}, since its shape is {shape} and the codec's layout is {self.layout}") from None
        components = components_of(shape, axes)
        is_ycbcr(self.colorspace, components)
        tables_for(self.tables, components, self.colorspace)

    def encode(self, chunk: npt.NDArray[np.uint8]) -> bytes:
        """Encode a chunk as bytes, from which `decode` gives ``roundtrip(chunk)``.

        Raises
        ------
        TypeError, ValueError
            If it is not an array of uint8 of this layout with 1 or 3 components, or as `nnjpeg.encode`.
        """
        check_array("chunk", chunk, UINT8)
        self.check_shape(chunk.shape)
        if not self._batched():
            return self._encode_image(chunk)
        files = [self._encode_image(image) for image in chunk]
        if len(files) == 1:
            return files[0]
        return _MAGIC + struct.pack(f"<{len(files) + 1}I", len(files), *map(len, files)) + b"".join(files)

    def decode(self, data: bytes) -> npt.NDArray[np.uint8]:
        """Decode bytes that `encode` returned.

        Raises
        ------
        ValueError
            If `data` is not such a chunk, or is cut off or damaged.
        """
        files = _split(data)
        if not self._batched() and len(files) != 1:
            raise ValueError(f"chunk holds {len(files)} images, where layout {self.layout} has one")
        images = [decode_bytes("chunk", file, self._image_layout()) for file in files]
        if len({image.shape for image in images}) > 1:
            raise ValueError(f"chunk holds images of different shapes: {sorted({image.shape for image in images})}")
        return np.stack(images) if self._batched() else images[0]

    def _batched(self) -> bool:
        return LAYOUTS[self.layout][0] >= 0

    def _image_layout(self) -> Layout:
        return self.layout[1:] if self._batched() else self.layout  # type: ignore[return-value]

    def _encode_image(self, image: npt.NDArray[np.uint8]) -> bytes:
        coding: dict[str, Any] = {"colorspace": self.colorspace, "subsampling": self.subsampling}
        return encode(image, self.tables, **coding, layout=self._image_layout())


def _split(data: bytes) -> list[bytes]:
    """The files of a chunk."""
    if not data.startswith(_MAGIC):
        return [data]
    start = len(_MAGIC) + 4
    count = int.from_bytes(data[len(_MAGIC) : start], "little")
    begin = start + 4 * count
    if len(data) < begin:
        raise ValueError(f"chunk is cut off: {len(data)} bytes, too few for the lengths of {count} images")
    lengths = struct.unpack_from(f"<{count}I", data, start)
    if len(data) != begin + sum(lengths):
        raise ValueError(f"chunk must have {begin + sum(lengths)} bytes by its header, got {len(data)}")
    ends = np.cumsum(lengths, dtype=np.int64) + begin
    return [data[end - length : end] for end, length in zip(ends.tolist(), lengths, strict=True)]
