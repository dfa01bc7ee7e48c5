"""Image files as 8-bit grey or RGB, with the metadata that a JPEG file can keep: what `nnjpeg compress` reads.

Conversions without loss are always made: a palette becomes colours, an opaque alpha channel is dropped. Conversions
with loss must be allowed by `Rules`. `Picture.left_out` names what is left out.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from nnjpeg import exif
from nnjpeg.files import check_exif, check_icc_profile
from nnjpeg.headers import sample_bits

__all__ = ["Picture", "Rules", "listening", "read"]


class Rules(NamedTuple):
    """The conversions that are allowed for images that 8-bit grey or RGB cannot hold."""

    background: tuple[int, int, int] | None = None
    """What is seen through transparent pixels, R, G, B; None refuses them."""
    convert: bool = False
    """Whether samples of more bits, CMYK and other colours may be converted."""


class Picture(NamedTuple):
    """An image that can be coded."""

    pixels: npt.NDArray[np.uint8]
    """(h, w) or (h, w, 3), upright."""
    exif: bytes | None
    icc_profile: bytes | None
    """It describes these pixels: grey ones, or RGB."""
    left_out: tuple[str, ...]
    """What the file holds beside that, and what was converted."""
    warnings: tuple[str, ...]
    """What Pillow said."""


_NO_RULES = Rules()


def read(path: str | PathLike[str], rules: Rules = _NO_RULES) -> Picture:
    """Read an image file, upright by its orientation tag; of an animation, the first frame.

    Parameters
    ----------
    path : path
        An image in any format that Pillow reads.
    rules : Rules
        With `convert`, grey samples v of 16 bits become the nearest to ``255 * v / 65535`` (of 12 bits, likewise). Of
        deep RGB, Pillow gives the upper eight bits alone (of PPM, the nearest). CMYK becomes sRGB by its ICC profile,
        or by Pillow's formula without one; Lab by its definition.

    Returns
    -------
    Picture

    Raises
    ------
    OSError
        If the file cannot be read, is damaged, or is not an image.
    ValueError
        If 8-bit grey or RGB cannot hold its pixels and `rules` do not allow the conversion.
    Exception
        Pillow's readers raise many other exceptions on damaged files.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe would be to wait for who writes to it
        raise ValueError("not a regular file")
    data = Path(path).read_bytes()
    if not data:
        raise ValueError("an empty file")
    with _warnings_of_this_thread() as said, _open(data, path) as image:
        picture = _picture(image, data, rules)
    return picture._replace(warnings=tuple(dict.fromkeys(said)))


_thread = threading.local()
"""Of a thread that reads a picture: `said`, what Pillow has warned of."""


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Context in which several threads may call `read`, each in a copy of this thread's context.

    How warnings are handled is set for the whole process (with context_aware_warnings, for the context), so threads
    cannot collect their own warnings separately.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for category in (UserWarning, RuntimeWarning):  # those about the file
            warnings.simplefilter("always", category)
        before, warnings.showwarning = warnings.showwarning, _heard
        try:
            yield
        finally:
            warnings.showwarning = before


def _heard(message: Warning | str, *_: Any, **__: Any) -> None:
    said: list[str] | None = getattr(_thread, "said", None)
    if said is not None:
        said.append(" ".join(str(message).split()))


@contextlib.contextmanager
def _warnings_of_this_thread() -> Iterator[list[str]]:
    with contextlib.nullcontext() if warnings.showwarning is _heard else listening():
        _thread.said = []
        try:
            yield _thread.said
        finally:
            del _thread.said


def _open(data: bytes, path: str | PathLike[str]) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        bits = sample_bits(data)
        if bits not in (None, 8):
            raise ValueError(f"JPEG image of {bits} bits a sample, accepted are 8") from None
        raise UnidentifiedImageError(f"cannot identify image file {os.fspath(path)!r}") from None


def _picture(image: Image.Image, data: bytes, rules: Rules) -> Picture:
    sample = _sample(image, data)  # before loading, which forgets it
    image.load()
    left_out: list[str] = []
    pixels = _eight_bits(_turned(image, left_out), sample, rules, left_out)
    samples, size = np.asarray(pixels), pixels.size  # now: what follows looks at other frames
    left_out += _other_content(image)
    kept = _exif(image, size, left_out)
    if kept is None and any(image.info.get("dpi", ())) and image.format != "TIFF":  # whose 1 dpi says nothing
        left_out.append("resolution")
    profile = image.info.get("icc_profile") or None
    if profile is not None and not _holds(check_icc_profile, profile, 1 if samples.ndim == 2 else 3):
        if not _is_of(profile, image):  # then it has done its work
            left_out.append("ICC profile that does not fit the pixels")
        profile = None
    return Picture(samples, kept, profile, tuple(dict.fromkeys(left_out)), ())


def _holds(check: Callable[..., None], *arguments: Any) -> bool:
    try:
        check(*arguments)
    except (TypeError, ValueError):
        return False
    return True


# Samples: Pillow reads deep colours as if they had 8 bits, so their number is looked up in the file.


class _Sample(NamedTuple):
    bits: int
    trouble: str = ""
    """Why it cannot be converted."""
    grey: bool = False
    """Whether it is grey and alpha where Pillow makes RGBA of it."""

    @property
    def most(self) -> int:
        """The largest value in Pillow's mode I or I;16, which it scales to 16 bits but for 12."""
        return 4095 if self.bits == 12 else 65535


_NO_RANGE = "whose range the file does not tell"


def _sample(image: Image.Image, data: bytes) -> _Sample:
    if image.format in _SAMPLES:
        return _SAMPLES[image.format](image, data)
    bits = 32 if image.mode in ("I", "F") else 16 if image.mode.startswith("I;16") else 8
    return _Sample(bits, _NO_RANGE if bits > 8 else "")


def _coding(image: Image.Image) -> list[Any]:
    """Of each tile of a file, the decoder's name and what it is told, such as Pillow's name of the raw mode."""
    words: list[Any] = []
    for decoder, _, _, arguments in getattr(image, "tile", ()):
        words += [decoder, *(arguments if isinstance(arguments, tuple) else (arguments,))]
    return words


def _has(image: Image.Image, *parts: str) -> bool:
    return any(isinstance(word, str) and part in word for word in _coding(image) for part in parts)


def _png_sample(image: Image.Image, _: bytes) -> _Sample:
    return _Sample(16 if _has(image, ";16B") else 8, grey=_has(image, "LA;16B"))


def _tiff_sample(image: Any, _: bytes) -> _Sample:
    bits = max(image.tag_v2.get(258, (1,)))
    trouble = ""
    if image.mode in ("I", "F"):
        trouble = _NO_RANGE
    elif bits > 8 and (image.tag_v2.get(262) == 0 or not _has(image, ";12", ";16")):
        trouble = "which Pillow does not read right (white is 0, or each colour is by itself)"
    return _Sample(bits, trouble)


def _ppm_sample(image: Image.Image, _: bytes) -> _Sample:
    if image.mode == "F":
        return _Sample(32, _NO_RANGE)
    most = max((word for word in _coding(image) if isinstance(word, int)), default=0)
    return _Sample(16 if image.mode == "I" or most > 255 else 8)


def _sgi_sample(image: Image.Image, _: bytes) -> _Sample:
    return _Sample(16 if _has(image, "SGI16", ";16B") else 8)


def _jpeg2000_sample(_: Image.Image, data: bytes) -> _Sample:
    sizes = data.find(b"\xff\x4f\xff\x51") + 4  # the marker segment at the head of the code stream
    (components,) = struct.unpack_from(">H", data, sizes + 36)
    bits = max((data[sizes + 38 + 3 * k] & 127) + 1 for k in range(components))
    return _Sample(16 if bits > 8 else 8)  # as Pillow scales them


def _avif_sample(_: Image.Image, data: bytes) -> _Sample:
    place = data.find(b"av1C\x81")
    return _Sample(10 if place >= 0 and data[place + 6] & 64 else 8)


def _dds_sample(image: Image.Image, _: bytes) -> _Sample:
    return _Sample(16 if _has(image, "BC6H") else 8)


_SAMPLES: dict[str | None, Callable[[Image.Image, bytes], _Sample]] = {
    "AVIF": _avif_sample,
    "DDS": _dds_sample,
    "JPEG2000": _jpeg2000_sample,
    "PNG": _png_sample,
    "PPM": _ppm_sample,
    "SGI": _sgi_sample,
    "TIFF": _tiff_sample,
}
"""By format; of others the mode tells."""


# Pixels


def _turned(image: Image.Image, left_out: list[str]) -> Image.Image:
    """The image turned upright. Damaged EXIF data is ignored."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        left_out.append(_DAMAGED_EXIF)
        orientation = 1
    if orientation not in range(2, 9):
        return image
    copy = image.copy()
    tag = Image.Exif()
    tag[ExifTags.Base.Orientation] = orientation
    copy.info = {**image.info, "exif": tag.tobytes()}
    return ImageOps.exif_transpose(copy)


def _eight_bits(image: Image.Image, sample: _Sample, rules: Rules, left_out: list[str]) -> Image.Image:
    """The image in mode L or RGB."""
    if sample.bits > 8:
        image = _shallow(image, sample, rules.convert, left_out)
    if image.has_transparency_data:
        image = _opaque(image, rules.background, left_out)
    if image.mode in ("1", "P"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    if image.mode not in ("L", "RGB"):
        if not rules.convert:
            raise ValueError(f"pixels of mode {image.mode} cannot be kept as they are; --convert makes RGB of them")
        left_out.append(f"colours of mode {image.mode}, made RGB")
        image = _rgb(image)
    return image


def _shallow(image: Image.Image, sample: _Sample, convert: bool, left_out: list[str]) -> Image.Image:
    what = f"samples of {sample.bits} bits"
    if not sample.trouble and "transparency" in image.info:
        sample = sample._replace(trouble="of which one colour is transparent")
    if sample.trouble:
        raise ValueError(f"{what}, {sample.trouble}; make 8 of them by another program")
    if not convert:
        raise ValueError(f"{what} cannot be kept as they are; --convert makes 8 of them")
    left_out.append("bits of samples beyond 8")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.uint32)
        return _like(image, Image.fromarray(((255 * values + sample.most // 2) // sample.most).astype(np.uint8)))
    if sample.grey:
        return _like(image, Image.merge("LA", (image.getchannel("R"), image.getchannel("A"))))
    return image


def _like(image: Image.Image, pixels: Image.Image) -> Image.Image:
    pixels.info = image.info
    return pixels


def _opaque(image: Image.Image, background: tuple[int, int, int] | None, left_out: list[str]) -> Image.Image:
    """Without its alpha channel, transparent palette entries or transparent colour."""
    grey = image.mode in ("1", "L", "LA")
    coloured = image.convert("RGBA")
    if coloured.getchannel("A").getextrema() != (255, 255):
        if background is None:
            raise ValueError("transparency cannot be kept; --background COLOUR is what is to be seen through it")
        left_out.append("transparency")
        coloured = Image.alpha_composite(Image.new("RGBA", image.size, background), coloured)
        grey = grey and len(set(background)) == 1
    return _like(image, coloured.convert("RGB").convert("L" if grey else "RGB"))


def _rgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile", b"")
    source: Any = None
    if image.mode == "LAB":
        source = ImageCms.createProfile("LAB")
    elif _is_of(profile, image):
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if source is None:
        return image.convert("RGB")
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None  # it would be, in place
    return converted


def _is_of(profile: bytes, image: Image.Image) -> bool:
    """Whether an ICC profile is of the colours, CMYK or Lab, that an image has."""
    return profile[16:20] == {"CMYK": b"CMYK", "LAB": b"Lab "}.get(image.mode)


# What is beside the pixels

_FRAMES = "other frames, pages or layers"
_DAMAGED_EXIF = "EXIF that is damaged or too long"
_LEFT_OUT = {
    "xmp": "XMP",
    "XML:com.adobe.xmp": "XMP",
    "photoshop": "Photoshop data",
    "comment": "comments",
}
"""Entries of an image's `info` that are not kept."""

_TIFF_KEPT = (270, 271, 272, 282, 283, 296, 305, 306, 315, 318, 319, 33432)
"""Of a TIFF file's tags, those that EXIF has for the image too; most others say how the file lies on the disk."""
_TIFF_LEFT_OUT = {33723: "IPTC", 34377: "Photoshop data", 33550: "georeference", 34735: "georeference"}


def _other_content(image: Image.Image) -> list[str]:
    """The contents of the file that are never kept."""
    found = [_FRAMES] if _has_frames(image) else []
    found += [name for key, name in _LEFT_OUT.items() if image.info.get(key)]
    if image.format == "PNG":
        texts = [key for key, value in image.info.items() if isinstance(value, str) and key not in _LEFT_OUT]
        found += ["comments" for key in texts if key != _RAW_EXIF]
        gamma = image.info.get("gamma", _SRGB_GAMMA)
        if not {"srgb", "icc_profile"} & image.info.keys() and abs(gamma - _SRGB_GAMMA) > 0.01:
            found.append("gamma")
    tags = getattr(image, "tag_v2", {})
    return found + [name for tag, name in _TIFF_LEFT_OUT.items() if tag in tags]


_SRGB_GAMMA = 1 / 2.2
_RAW_EXIF = "Raw profile type exif"  # how ImageMagick writes it into PNG files


def _has_frames(image: Image.Image) -> bool:
    if len(image.info.get("sizes", ())) > 1 or "mp" in image.info:  # of an icon; the gain map of an HDR photograph
        return True
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # there is a second frame, and it is damaged
        return True


def _exif(image: Image.Image, size: tuple[int, int], left_out: list[str]) -> bytes | None:
    """The image's EXIF data, corrected for the upright pixels."""
    try:
        data = _exif_of(image)
        if data is None:
            return None
        data = exif.upright(data, size)
        check_exif(data)
    except Exception:  # Pillow's reader of EXIF raises all sorts
        left_out.append(_DAMAGED_EXIF)
        return None
    return data


def _exif_of(image: Any) -> bytes | None:
    if image.format == "TIFF":
        return _exif_of_tiff(image)
    if _RAW_EXIF in image.info and "exif" not in image.info:
        return bytes.fromhex("".join(image.info[_RAW_EXIF].split("\n")[3:]))
    return image.info.get("exif") or None


def _exif_of_tiff(image: Any) -> bytes | None:
    found, kept = image.getexif(), Image.Exif()
    for tag in _TIFF_KEPT:
        if tag in found:
            # As bytes: Pillow writes text in ASCII, with question marks.
            kept[tag] = found[tag].encode("latin-1") if isinstance(found[tag], str) else found[tag]
    for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if found.get_ifd(tag):
            kept[tag] = dict(found.get_ifd(tag))
    return kept.tobytes() if len(kept) else None
