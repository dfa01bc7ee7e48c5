"""What a JPEG file was coded with, as arguments: "compress as that file was"."""

from __future__ import annotations

from typing import NamedTuple

from nnjpeg._arguments import SUBSAMPLINGS, Colorspace, Subsampling
from nnjpeg.headers import START, Headers, Source, opened, read_headers
from nnjpeg.qtable import QTable

__all__ = ["Settings", "settings_of"]


class Settings(NamedTuple):
    """What a JPEG file was coded with; ``roundtrip(image, **settings._asdict())`` codes another image so."""

    qtable: tuple[QTable, ...]
    """Three tables, one a component; one where the file is grey."""
    colorspace: Colorspace
    """Grey files have "ycbcr", of which they are Y alone."""
    subsampling: Subsampling


def settings_of(file: Source) -> Settings:
    """Read what a JPEG file was coded with: its tables, its colour space and its chroma subsampling.

    If libjpeg wrote a file from pixels x, ``encode(x, **settings_of(file)._asdict())`` holds the same samples. What a
    file says of its colours is understood as libjpeg does (``default_decompress_parms`` in its jdapimin.c): by the JFIF
    marker, else the Adobe marker, else the identifiers of the components.

    Parameters
    ----------
    file : bytes, path or binary file object
        A JPEG file: baseline or progressive, by Huffman or arithmetic coding. Only its headers are read; of a file
        object, from where it stands up to the first scan; ``file.seek(0)`` goes back for another reader.

    Returns
    -------
    Settings
        A named tuple of ``qtable``, ``colorspace`` and ``subsampling``.

    Raises
    ------
    TypeError
        If `file` is nothing of the kind.
    FileNotFoundError, OSError
        If it cannot be read.
    ValueError
        If it is no JPEG file, its headers are cut off or damaged, or nothing here codes as it does: lossless and
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
    """By what chroma's sampling is to luma's: that of a component alone means nothing."""
    if len(headers.components) == 1:
        return "4:4:4"
    luma, *chroma = (component.sampling for component in headers.components)
    for name, (h, v) in SUBSAMPLINGS.items():
        if all(luma == (h * columns, v * rows) for columns, rows in chroma):
            return name  # type: ignore[return-value]
    factors = ", ".join(f"{columns}x{rows}" for columns, rows in (luma, *chroma))
    raise ValueError(f"JPEG image with sampling factors {factors}, accepted are those of {', '.join(SUBSAMPLINGS)}")
