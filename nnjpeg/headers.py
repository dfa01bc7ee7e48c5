"""The headers of JPEG files, up to the first scan, read as libjpeg reads them (its jdmarker.c).

No pixel is decoded, and nothing after the headers is read. Any bytes that are not valid headers raise ValueError.
"""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterator
from os import PathLike
from typing import BinaryIO, NamedTuple

__all__ = ["START", "Component", "Headers", "Source", "opened", "read_headers", "sample_bits"]

Source = bytes | str | PathLike[str] | BinaryIO
"""What is read: bytes, a path or a binary file object."""

START = b"\xff\xd8"
"""The first two bytes of every JPEG file."""

_END, _SCAN, _TABLES, _APP0, _APP14 = 0xD9, 0xDA, 0xDB, 0xE0, 0xEE
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_DCT_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})  # baseline, extended, progressive; the last two arithmetic
_WITHOUT_SEGMENT = frozenset({0x01, *range(0xD0, 0xD8)})


class Component(NamedTuple):
    """A component, as the frame header has it."""

    identifier: int
    sampling: tuple[int, int]
    """Along columns and along rows, 1..4."""
    steps: tuple[int, ...]
    """Its quantization table, 64 numbers 0..65535 in zigzag order, as it stands before the first scan."""


class Headers(NamedTuple):
    """The contents of the headers of a JPEG file."""

    bits: int
    """Of a sample."""
    components: tuple[Component, ...]
    is_jfif: bool
    """Whether there is a JFIF marker."""
    adobe_transform: int | None
    """Of the Adobe marker, if there is one."""


@contextlib.contextmanager
def opened(argument: str, source: Source) -> Iterator[tuple[str, BinaryIO]]:
    """The name of a source for errors, and the source as a binary file; a file object is read from its position.

    Raises
    ------
    TypeError
        If it is none of these; the error calls it `argument`.
    OSError
        If the file cannot be opened.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield argument, io.BytesIO(source)
        return
    if isinstance(source, (str, PathLike)):
        with open(source, "rb") as file:
            yield str(source), file
        return
    accepted = f"{argument} must be bytes, a path or a binary file object"
    if not hasattr(source, "read"):
        raise TypeError(f"{accepted}, got {type(source).__name__}")
    nothing = source.read(0)
    if not isinstance(nothing, bytes):
        raise TypeError(f"{accepted}, got one that gives {type(nothing).__name__}")
    name = getattr(source, "name", None)
    yield name if isinstance(name, str) else argument, source


def read_headers(file: BinaryIO) -> Headers:
    """Read the headers of a JPEG file after its first bytes, `START`, were read.

    Raises
    ------
    ValueError
        If it is cut off or damaged in its headers, or not coded by the DCT at once (lossless, hierarchical).
    """
    frame: tuple[int, list[tuple[int, tuple[int, int], int]]] | None = None
    tables: dict[int, tuple[int, ...]] = {}
    is_jfif, adobe_transform = False, None
    for marker, body in _segments(file):
        if marker in _FRAMES:
            if frame is not None:
                raise ValueError("damaged JPEG image (two frame headers)")
            frame = _frame(marker, body)
        elif marker == _TABLES:
            tables.update(_tables(body))
        elif marker == _APP0 and len(body) >= 14 and body.startswith(b"JFIF\0"):
            is_jfif = True
        elif marker == _APP14 and len(body) >= 12 and body.startswith(b"Adobe"):
            adobe_transform = body[11]
    if frame is None:
        raise ValueError("damaged JPEG image (no frame header before the first scan)")
    bits, components = frame
    for identifier, _, number in components:
        if number not in tables:
            raise ValueError(f"damaged JPEG image (component {identifier} is without its table, {number})")
    return Headers(
        bits,
        tuple(Component(identifier, sampling, tables[number]) for identifier, sampling, number in components),
        is_jfif,
        adobe_transform,
    )


def sample_bits(data: bytes) -> int | None:
    """Bits a sample, as the frame header of a JPEG image says; None if there is none."""
    file = io.BytesIO(data)
    if file.read(len(START)) == START:
        with contextlib.suppress(ValueError):
            for marker, body in _segments(file):
                if marker in _FRAMES and body:
                    return body[0]
    return None


def _segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The markers before the first scan, and what their segments hold."""
    while True:
        marker = _marker(file)
        if marker == _SCAN:
            return
        if marker == _END:
            raise ValueError("damaged JPEG image (it ends before its first scan)")
        if marker not in _WITHOUT_SEGMENT:
            length = int.from_bytes(_exactly(file, 2), "big")
            yield marker, _exactly(file, max(length - 2, 0))


def _marker(file: BinaryIO) -> int:
    """The next marker; other bytes before it are skipped, as libjpeg does with a warning."""
    before = 0
    while True:
        (byte,) = _exactly(file, 1)
        if before == 0xFF and byte not in (0x00, 0xFF):
            return byte
        before = byte


def _exactly(file: BinaryIO, length: int) -> bytes:
    """Read a number of bytes, also from a file object that returns fewer at a time."""
    found = b""
    while len(found) < length:
        part = file.read(length - len(found))
        if not part:
            raise ValueError("damaged JPEG image (its headers are cut off)")
        found += part
    return found


def _frame(marker: int, body: bytes) -> tuple[int, list[tuple[int, tuple[int, int], int]]]:
    """Bits a sample; and of each component its identifier, its sampling and the number of its table."""
    if marker not in _DCT_FRAMES:
        raise ValueError("JPEG image that is lossless or hierarchical, accepted are baseline and progressive ones")
    if len(body) < 9 or len(body) != 6 + 3 * body[5]:
        raise ValueError("damaged JPEG image (a frame header of a wrong length)")
    components = [
        (identifier, (sampling >> 4, sampling & 15), number)
        for identifier, sampling, number in struct.iter_unpack("3B", body[6:])
    ]
    for identifier, sampling, _ in components:
        if not all(1 <= factor <= 4 for factor in sampling):
            factors = "x".join(map(str, sampling))
            raise ValueError(f"damaged JPEG image (component {identifier} has sampling factors {factors})")
    return body[0], components


def _tables(body: bytes) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Quantization tables in zigzag order, by their numbers."""
    place = 0
    while place < len(body):
        number, kind = body[place] & 15, "H" if body[place] >> 4 else "B"
        end = place + 1 + struct.calcsize(f">64{kind}")
        if number > 3 or end > len(body):
            raise ValueError("damaged JPEG image (a quantization table of a wrong number or length)")
        yield number, struct.unpack(f">64{kind}", body[place + 1 : end])
        place = end
