"""EXIF data of a picture that was turned upright.

Only the entries that have become wrong are changed. (If Pillow wrote the data again, text beyond ASCII would become
question marks, and makers' notes, which hold offsets into the data, would be moved.)
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["PREFIX", "is_exif", "upright"]

PREFIX = b"Exif\0\0"
"""What stands before the data in a JPEG file."""

_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION, _SUB_IFD, _WIDTH, _HEIGHT, _THUMBNAIL_AT, _THUMBNAIL_LENGTH = 0x112, 0x8769, 0xA002, 0xA003, 0x201, 0x202
_SHORT, _LONG = 3, 4


class _Entry(NamedTuple):
    place: int
    tag: int
    kind: int
    value: int
    """If it is one number."""


def is_exif(data: bytes) -> bool:
    """Whether `data` begins as EXIF data does, with or without `PREFIX`."""
    return data.removeprefix(PREFIX)[:4] in _ORDERS


def upright(data: bytes, size: tuple[int, int]) -> bytes:
    """EXIF data with the orientation 1, the size of the upright picture, and no thumbnail.

    Parameters
    ----------
    data : bytes
        With or without `PREFIX`.
    size : (width, height)
        Of the upright picture.

    Returns
    -------
    bytes
        With `PREFIX`, as long as `data` less a thumbnail at its end (a thumbnail elsewhere is blanked).

    Raises
    ------
    ValueError
        If it is damaged.
    """
    body = bytearray(data.removeprefix(PREFIX))
    order = _ORDERS.get(bytes(body[:4]))
    if order is None:
        raise ValueError("EXIF data must begin with a TIFF header")
    try:
        (first,) = struct.unpack_from(f"{order}I", body, 4)
        for entry in _entries(body, order, first):
            if entry.tag == _ORIENTATION:
                _set(body, order, entry, 1)
            elif entry.tag == _SUB_IFD:
                for inner in _entries(body, order, entry.value):
                    if inner.tag in (_WIDTH, _HEIGHT):
                        _set(body, order, inner, size[inner.tag == _HEIGHT])
        _remove_thumbnail(body, order, first)
    except struct.error:
        raise ValueError("EXIF data is damaged") from None
    return PREFIX + bytes(body)


def _entries(body: bytearray, order: str, directory: int) -> Iterator[_Entry]:
    (count,) = struct.unpack_from(f"{order}H", body, directory)
    for place in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", body, place)
        (value,) = struct.unpack_from(f"{order}H" if kind == _SHORT else f"{order}I", body, place + 8)
        yield _Entry(place, tag, kind, value)


def _set(body: bytearray, order: str, entry: _Entry, value: int) -> None:
    if entry.kind == _SHORT and value < 2**16:
        struct.pack_into(f"{order}HHIHH", body, entry.place, entry.tag, _SHORT, 1, value, 0)
    else:
        struct.pack_into(f"{order}HHII", body, entry.place, entry.tag, _LONG, 1, value)


def _remove_thumbnail(body: bytearray, order: str, first: int) -> None:
    """Remove the thumbnail, which shows the picture before it was compressed and turned."""
    (count,) = struct.unpack_from(f"{order}H", body, first)
    link = first + 2 + 12 * count
    if link + 4 > len(body):
        return
    (directory,) = struct.unpack_from(f"{order}I", body, link)
    struct.pack_into(f"{order}I", body, link, 0)
    found = {}
    with contextlib.suppress(struct.error):
        found = {entry.tag: entry.value for entry in _entries(body, order, directory)} if directory else {}
    begin, length = found.get(_THUMBNAIL_AT, 0), found.get(_THUMBNAIL_LENGTH, 0)
    if begin > directory:  # elsewhere it would lie in what is kept
        end = min(begin + length, len(body))
        body[begin:end] = b"" if end == len(body) else bytes(end - begin)
