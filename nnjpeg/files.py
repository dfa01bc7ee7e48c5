"""JPEG files, written and read by Pillow's libjpeg-turbo, with exactly the samples that the codec computes."""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any, BinaryIO, Literal, overload

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

from nnjpeg import _core
from nnjpeg import exif as _exif
from nnjpeg._arguments import (
    SUBSAMPLINGS,
    UINT8,
    Axes,
    Colorspace,
    Layout,
    Subsampling,
    axes_of,
    check_array,
    check_subsampling,
    coding_of,
    components_of,
    flag,
    is_ycbcr,
)
from nnjpeg._threads import thread_limit
from nnjpeg.codec import quantizers_for
from nnjpeg.headers import Source, opened, sample_bits
from nnjpeg.qtable import QTables, tables_for

__all__ = [
    "check_exif",
    "check_icc_profile",
    "check_storable",
    "coded_size",
    "decode",
    "decode_bytes",
    "encode",
    "writable_subsampling",
]

_WRITABLE = ("4:4:4", "4:2:2", "4:2:0")
"""The subsamplings that Pillow writes; it numbers them in this order."""

_MOST_PIXELS = 65500  # of a side: libjpeg's JPEG_MAX_DIMENSION
_MOST_BYTES_A_SAMPLE = 7  # in a file: a code of 16 bits with 11 more, and a zero stuffed after each byte
_MOST_BUFFER = (1 << 31) - 1  # Pillow hands its size on as an int
_SEGMENT = 65533  # bytes of data in a segment, whose length has 16 bits and counts itself
_ICC_SEGMENTS, _ICC_OVERHEAD = 255, 14  # a profile's segments are numbered by a byte, and have a name


def encode(
    image: npt.NDArray[np.uint8],
    qtable: QTables,
    *,
    colorspace: Colorspace = "rgb",
    subsampling: Subsampling = "4:4:4",
    layout: Layout | None = None,
    exif: bytes | None = None,
    icc_profile: bytes | None = None,
    optimize: bool = False,
) -> bytes:
    r"""Encode an image as a baseline JPEG file: ``decode(encode(x, t))`` equals ``roundtrip(x, t)``.

    Components are stored as R, G, B without subsampling (an Adobe marker says so), as YCbCr, or as grey: every decoder
    reads them.

    Parameters
    ----------
    image : ndarray of uint8
        One image: layout HW, HWC or CHW, of 1 or 3 components, sides up to 65500, which is libjpeg's limit.
    qtable, colorspace
        As for `roundtrip`.
    subsampling : {"4:4:4", "4:2:2", "4:2:0"}
        As for `roundtrip`, but for "4:4:0", which Pillow does not write. Grey images have none.
    layout : {"HW", "HWC", "CHW"}, optional
        By default HW or HWC.
    exif : bytes, optional
        EXIF data to put into the file as it is, with or without the leading ``Exif\0\0``; up to 65533 bytes with
        it. Its orientation should be 1, since the pixels are stored as they are.
    icc_profile : bytes, optional
        ICC profile: of RGB for 3 components, of grey for 1; up to 16,707,345 bytes.
    optimize : bool
        Whether the Huffman tables are made for this image (ITU-T T.81, annex K.2) in place of the standard ones (annex
        K.3): a smaller file of the same samples.

    Returns
    -------
    bytes

    Raises
    ------
    TypeError, ValueError
        As `roundtrip`; a ValueError also if `exif` or `icc_profile` is not as above, or if libjpeg fails: with
        `optimize`, where the Huffman tree has more than 32 levels, which takes millions of coefficients.
    """
    check_array("image", image, UINT8)
    optimize = flag("optimize", optimize)
    axes = axes_of("image", image.shape, layout)
    if axes[0] >= 0:
        raise ValueError(f"image must be one image (HW, HWC or CHW), got a batch of shape {image.shape}")
    check_storable("image", image.shape, axes)
    components = components_of(image.shape, axes)
    keep_rgb = not is_ycbcr(colorspace, components) and components == 3
    subsampling = writable_subsampling(subsampling, colorspace, components)
    height, width = image.shape[axes[2]], image.shape[axes[3]]
    metadata: dict[str, bytes] = {}
    if exif is not None:
        check_exif(exif)
        metadata["exif"] = _exif.PREFIX + exif.removeprefix(_exif.PREFIX)
    if icc_profile is not None:
        check_icc_profile(icc_profile, components)
        metadata["icc_profile"] = icc_profile
    tables = tables_for(qtable, components, colorspace)
    pixels = image.transpose(axes[2], axes[3], axes[1]) if axes[1] >= 0 else image
    if components == 1:
        pixels = pixels.reshape(height, width)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    options = {
        "qtables": [list(table.entries) for table in tables],
        "subsampling": _WRITABLE.index(subsampling),
        **({"keep_rgb": True} if keep_rgb else {}),
        **metadata,
    }
    with _file(height * width) as file:
        try:
            if optimize:
                _save_optimized(picture, file, options)
            else:
                picture.save(file, "JPEG", **options)
        except OSError as error:
            raise ValueError(f"libjpeg could not code the image with this qtable: {error}") from error
        file.seek(0)
        return file.read()


def _file(pixels: int) -> BinaryIO:
    """A file in memory for an image of so many pixels.

    If the file has a descriptor, Pillow codes without the GIL, so that several threads can code. For small images that
    is not worth the system calls.
    """
    if pixels >= _LARGE and hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):  # too many are open, or a sandbox has none
            return open(os.memfd_create("nnjpeg", os.MFD_CLOEXEC), "w+b", buffering=0)
    return io.BytesIO()


_LARGE = 1 << 15


@overload
def coded_size(
    image: npt.NDArray[np.uint8],
    qtable: QTables,
    *,
    colorspace: Colorspace = "rgb",
    subsampling: Subsampling = "4:4:4",
    optimize: bool = False,
    layout: Literal["HW", "HWC", "CHW"],
    num_threads: int | None = None,
) -> int: ...


@overload
def coded_size(
    image: npt.NDArray[np.uint8],
    qtable: QTables,
    *,
    colorspace: Colorspace = "rgb",
    subsampling: Subsampling = "4:4:4",
    optimize: bool = False,
    layout: Literal["NHWC", "NCHW"],
    num_threads: int | None = None,
) -> npt.NDArray[np.int64]: ...


@overload
def coded_size(
    image: npt.NDArray[np.uint8],
    qtable: QTables,
    *,
    colorspace: Colorspace = "rgb",
    subsampling: Subsampling = "4:4:4",
    optimize: bool = False,
    layout: Layout | None = None,
    num_threads: int | None = None,
) -> int | npt.NDArray[np.int64]: ...


def coded_size(
    image: npt.NDArray[np.uint8],
    qtable: QTables,
    *,
    colorspace: Colorspace = "rgb",
    subsampling: Subsampling = "4:4:4",
    optimize: bool = False,
    layout: Layout | None = None,
    num_threads: int | None = None,
) -> int | npt.NDArray[np.int64]:
    """Compute the size of a JPEG file without making it: ``len(encode(image, qtable))``, 2 to 20 times as fast.

    Parameters
    ----------
    image : ndarray of uint8
        One image or a batch, of 1 or 3 components, sides up to 65500.
    qtable, colorspace, num_threads
        As for `roundtrip`. Threads share the images of a batch.
    subsampling, optimize
        As for `encode`.
    layout : {"HW", "HWC", "CHW", "NHWC", "NCHW"}, optional
        By default the channels-last layout of the array's number of dimensions.

    Returns
    -------
    int, or ndarray of int64 of shape (N,) for a batch
        Bytes of the whole file: headers, tables, Huffman codes of the quantized coefficients (ITU-T T.81, annex F.1.2,
        with the tables of annex K.3, or with `optimize` of K.2), and the zero bytes stuffed into them.

    Raises
    ------
    TypeError, ValueError
        As `encode`.
    """
    check_array("image", image, UINT8)
    axes = axes_of("image", image.shape, layout)
    check_storable("image", image.shape, axes)
    components = components_of(image.shape, axes)
    coding = coding_of(colorspace, writable_subsampling(subsampling, colorspace, components), components)
    quantizers, threads = quantizers_for(qtable, components, colorspace), thread_limit(num_threads)
    sizes = np.empty(image.shape[0] if axes[0] >= 0 else 1, np.int64)
    _core.coded_size(image, sizes, axes, quantizers, coding[0], threads, coding[1], flag("optimize", optimize))
    return sizes if axes[0] >= 0 else int(sizes[0])


class _Prepared(Exception):
    """Pillow has made its options ready for the encoder."""


class _Unopened(io.BytesIO):
    """What Pillow asks for its descriptor right before it encodes."""

    def fileno(self) -> int:
        raise _Prepared


def _save_optimized(picture: Image.Image, file: BinaryIO, options: dict[str, Any]) -> None:
    """``picture.save(file, "JPEG", optimize=True, **options)`` with a buffer for the largest file there is.

    libjpeg needs the whole of an optimized file in one buffer. Pillow's buffer has two bytes a pixel, and noise with
    small steps needs more. ``PIL.ImageFile.MAXBLOCK`` would enlarge it for the whole process.
    """
    with contextlib.suppress(_Prepared):
        picture.save(_Unopened(), "JPEG", optimize=True, **options)
    width, height = picture.size
    samples = len(picture.getbands()) * (-(-width // 16) * 16) * (-(-height // 16) * 16)
    metadata = sum(len(value) for value in options.values() if isinstance(value, bytes))
    bytes_ = _MOST_BYTES_A_SAMPLE * samples + 2 * metadata + _SEGMENT
    tile = ("jpeg", (0, 0, width, height), 0, picture.mode)
    ImageFile._save(picture, file, [tile], min(bytes_, _MOST_BUFFER))  # type: ignore[list-item]


def check_storable(name: str, shape: tuple[int, ...], axes: Axes) -> None:
    """Whether JPEG files can hold images of this shape.

    Raises
    ------
    ValueError
        If they have other than 1 or 3 components, or sides beyond libjpeg's limit.
    """
    components, height, width = components_of(shape, axes), shape[axes[2]], shape[axes[3]]
    if components not in (1, 3):
        raise ValueError(f"{name} must have 1 or 3 components to be a JPEG file, got {components}")
    if max(height, width) > _MOST_PIXELS:
        raise ValueError(f"{name} must have sides of at most {_MOST_PIXELS} to be a JPEG file, got {height} x {width}")


def writable_subsampling(subsampling: str, colorspace: str, components: int) -> Subsampling:
    """The subsampling of an image's JPEG file; a grey image has none.

    Raises
    ------
    ValueError
        If there is no such subsampling, it needs another colour space, or Pillow does not write it.
    """
    if subsampling in SUBSAMPLINGS:
        subsampling = check_subsampling(subsampling, colorspace, components)
    if subsampling not in _WRITABLE:
        accepted = ", ".join(map(repr, _WRITABLE))
        why = f": Pillow cannot write {subsampling!r}" if subsampling in SUBSAMPLINGS else f", got {subsampling!r}"
        raise ValueError(f"subsampling must be one of {accepted} for a JPEG file{why}")
    return subsampling  # type: ignore[return-value]


def check_exif(exif: bytes) -> None:
    """Whether a JPEG file can hold this EXIF data.

    Raises
    ------
    TypeError, ValueError
        If it is not EXIF data, or too long.
    """
    if not isinstance(exif, bytes):
        raise TypeError(f"exif must be bytes, got {type(exif).__name__}")
    if not _exif.is_exif(exif):
        raise ValueError(f"exif must begin with Exif\\0\\0 or a TIFF header, got {exif[:10]!r}")
    length = len(_exif.PREFIX) + len(exif.removeprefix(_exif.PREFIX))
    if length > _SEGMENT:
        raise ValueError(f"exif must have at most {_SEGMENT} bytes with its leading Exif\\0\\0, got {length}")


def check_icc_profile(profile: bytes, components: int) -> None:
    """Whether a JPEG file of 1 or 3 components can hold this ICC profile.

    Raises
    ------
    TypeError, ValueError
        If it is not an ICC profile, belongs to other colours, or is too long.
    """
    if not isinstance(profile, bytes):
        raise TypeError(f"icc_profile must be bytes, got {type(profile).__name__}")
    if len(profile) < 128 or profile[36:40] != b"acsp":  # the header and its signature
        raise ValueError(f"icc_profile must be an ICC profile, got {len(profile)} bytes that are none")
    most = _ICC_SEGMENTS * (_SEGMENT - _ICC_OVERHEAD)
    if len(profile) > most:
        raise ValueError(f"icc_profile must have at most {most} bytes, got {len(profile)}")
    wanted, found = {1: "GRAY", 3: "RGB"}[components], profile[16:20].decode("latin-1").strip()
    if found != wanted:
        raise ValueError(f"icc_profile must be of {wanted} for {components} components, got one of {found}")


def decode(source: Source, *, layout: Layout | None = None) -> npt.NDArray[np.uint8]:
    """Read a JPEG file of any kind in grey, RGB or YCbCr.

    The pixels are returned as stored: the orientation in the metadata is not applied.

    Parameters
    ----------
    source : bytes, path or binary file object
        An object with a method ``read`` is read to its end.
    layout : {"HW", "HWC", "CHW"}, optional
        Layout of the result. By default HW for a grey image and HWC for one in colour.

    Returns
    -------
    ndarray of uint8
        Grey or R, G, B.

    Raises
    ------
    TypeError
        If `source` is none of these.
    FileNotFoundError, OSError
        If the file cannot be read.
    ValueError
        If it is not a JPEG image, is cut off or damaged, has 12 bits a sample or other colours (CMYK), or so many
        pixels that Pillow refuses it (``PIL.Image.MAX_IMAGE_PIXELS``).
    """
    with opened("source", source) as (name, file):
        data = file.read()
    return decode_bytes(name, data, layout)


def decode_bytes(name: str, data: bytes, layout: Layout | None) -> npt.NDArray[np.uint8]:
    """`decode` for bytes; `name` is what errors call them."""
    bits = sample_bits(data)
    if bits not in (None, 8):
        raise ValueError(f"{name}: JPEG image of {bits} bits a sample, accepted are 8")
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            mode = image.mode
            if mode in ("L", "RGB"):
                pixels = np.array(image)
    except UnidentifiedImageError:
        raise ValueError(f"{name}: not a JPEG image") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"{name}: JPEG image of more pixels than Pillow trusts ({error})") from None
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{name}: damaged JPEG image ({error})") from None
    if mode not in ("L", "RGB"):
        raise ValueError(f"{name}: JPEG image in {mode}, accepted are grey, RGB and YCbCr")
    return _in_layout(pixels, layout)


def _in_layout(pixels: npt.NDArray[np.uint8], layout: str | None) -> npt.NDArray[np.uint8]:
    if layout is None:
        return pixels
    if layout not in ("CHW", "HW", "HWC"):
        raise ValueError(f"layout must be one of ['CHW', 'HW', 'HWC'], got {layout!r}")
    if layout == "HW":
        if pixels.ndim != 2:
            raise ValueError("layout 'HW' is for grey images, got one in RGB")
        return pixels
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)) if layout == "CHW" else pixels
