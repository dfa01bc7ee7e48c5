"""The settings that a JPEG file was coded with, as arguments for the codec."""

from __future__ import annotations

from typing import NamedTuple

from nnjpeg._arguments import SUBSAMPLINGS, Colorspace, Subsampling
from nnjpeg.headers import START, Headers, Source, opened, read_headers
from nnjpeg.qtable import QTable

__all__ = ["Settings", "settings_of"]


class Settings(NamedTuple):
    """The settings of a JPEG file; ``roundtrip(image, **settings._asdict())`` codes another image by them."""

    qtable: tuple[QTable, ...]
    """Three tables, one a component; one where the file is grey."""
    colorspace: Colorspace
    """Grey files have "ycbcr", of which they are Y alone."""
    subsampling: Subsampling


def settings_of(file: Source) -> Settings:
    """Read the settings of a JPEG file: its tables, its colour space and its chroma subsampling.

    If libjpeg wrote a file from pixels x, ``encode(x, **settings_of(file)._asdict())`` holds the same samples. The
    colour space is read as libjpeg does (``default_decompress_parms`` in its jdapimin.c): from the JFIF marker, else
    from the Adobe marker, else from the identifiers of the components.

    Parameters
    ----------
    file : bytes, path or binary file object
        A JPEG file: baseline or progressive, with Huffman or arithmetic coding. Only its headers are read. A file
        object is read from its position to the first scan; call ``file.seek(0)`` before another reader uses it.

    Returns
    -------
    Settings
        A named tuple of ``qtable``, ``colorspace`` and ``subsampling``.

    Raises
    ------
    TypeError
        If `file` is none of these.
    FileNotFoundError, OSError
        If it cannot be read.
    ValueError
        If it is not a JPEG file, its headers are cut off or damaged, or this package has no such coding: lossless and
        hierarchical files, 12 bits a sample, CMYK, steps above 255, other sampling factors (4:1:1), RGB with
        subsampling.
    """
    with opened("file", file) as (name, source):
        try:
            if source.read(len(START)) != START:
                raise ValueError("not a JPEG image")
            return _settings(read_headers(source))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


def _settings(headers: Headers) -> Settings:
    if headers.bits != 8:
        raise ValueError(f"JPEG image of {headers.bits} bits a sample, accepted are 8")
    count = len(headers.components)
    if count not in (1, 3):
        colours = {4: " (CMYK)"}.get(count, "")
        raise ValueError(f"JPEG image of {count} components{colours}, accepted are grey, RGB and YCbCr")
    colorspace, subsampling = _colorspace(headers), _subsampling(headers)
    if colorspace == "rgb" and subsampling != "4:4:4":
        raise ValueError(f"JPEG image in RGB with subsampling {subsampling}, accepted is 4:4:4 where it is RGB")
    tables = tuple(QTable.from_zigzag(component.steps) for component in headers.components)
    return Settings(tables, colorspace, subsampling)


def _colorspace(headers: Headers) -> Colorspace:
    if len(headers.components) == 1 or headers.is_jfif:
        return "ycbcr"
    if headers.adobe_transform is not None:
        return "rgb" if headers.adobe_transform == 0 else "ycbcr"
    identifiers = bytes(component.identifier for component in headers.components)
    return "rgb" if identifiers == b"RGB" else "ycbcr"


def _subsampling(headers: Headers) -> Subsampling:
    """From the ratio of the sampling factors of luma and chroma."""
    if len(headers.components) == 1:
        return "4:4:4"
    luma, *chroma = (component.sampling for component in headers.components)
    for name, (h, v) in SUBSAMPLINGS.items():
        if all(luma == (h * columns, v * rows) for columns, rows in chroma):
            return name  # type: ignore[return-value]
    factors = ", ".join(f"{columns}x{rows}" for columns, rows in (luma, *chroma))
    raise ValueError(f"JPEG image with sampling factors {factors}, accepted are those of {', '.join(SUBSAMPLINGS)}")
