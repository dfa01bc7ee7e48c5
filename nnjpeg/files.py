"""Real JPEG files, made and read by Pillow's libjpeg-turbo, that hold exactly what the codec computes."""

from __future__ import annotations

import io
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from nnjpeg._arguments import UINT8, Colorspace, Layout, axes_of, check_array, components_of, is_ycbcr
from nnjpeg.qtable import QTables, as_tables

__all__ = ["decode", "encode"]


def encode(
    image: npt.NDArray[np.uint8], qtable: QTables, *, colorspace: Colorspace = "rgb", layout: Layout | None = None
) -> bytes:
    """A standard baseline JPEG file: ``decode(encode(x, t))`` is ``roundtrip(x, t)``.

    Components are stored as R, G, B without subsampling (an Adobe marker says so), or as YCbCr 4:4:4, or as grey: every
    decoder reads them.

    Parameters
    ----------
    image : ndarray of uint8
        One image: layout HW, HWC or CHW, of 1 or 3 components, sides up to 65535.
    qtable, colorspace
        As for `roundtrip`.
    layout : {"HW", "HWC", "CHW"}, optional
        By default HW or HWC.

    Returns
    -------
    bytes

    Raises
    ------
    TypeError, ValueError
        As `roundtrip`; a ValueError also if libjpeg refuses the image (its Huffman coder has no code for some
        coefficients of extreme images under very fine tables).
    """
    check_array("image", image, UINT8)
    axes = axes_of("image", image.shape, layout)
    if axes[0] >= 0:
        raise ValueError(f"image must be one image (HW, HWC or CHW), got a batch of shape {image.shape}")
    components = components_of(image.shape, axes)
    if components not in (1, 3):
        raise ValueError(f"image must have 1 or 3 components to be a JPEG file, got {components}")
    keep_rgb = not is_ycbcr(colorspace, components) and components == 3
    height, width = image.shape[axes[2]], image.shape[axes[3]]
    if max(height, width) > 65535:
        raise ValueError(f"image must have sides of at most 65535 to be a JPEG file, got {height} x {width}")
    tables = as_tables(qtable, components)
    pixels = image.transpose(axes[2], axes[3], axes[1]) if axes[1] >= 0 else image
    if components == 1:
        pixels = pixels.reshape(height, width)
    file = io.BytesIO()
    try:
        Image.fromarray(np.ascontiguousarray(pixels)).save(
            file,
            "JPEG",
            qtables=[[step for row in table.to_list() for step in row] for table in tables],
            subsampling=0,
            **({"keep_rgb": True} if keep_rgb else {}),
        )
    except OSError as error:
        raise ValueError(f"libjpeg could not code the image with this qtable: {error}") from error
    return file.getvalue()


def decode(source: bytes | str | PathLike[str], *, layout: Layout | None = None) -> npt.NDArray[np.uint8]:
    """Read a JPEG file of any kind in grey, RGB or YCbCr.

    Pixels as stored: an orientation in the metadata is not applied.

    Parameters
    ----------
    source : bytes or path
    layout : {"HW", "HWC", "CHW"}, optional
        Of the result. By default HW for a grey image and HWC for a coloured one.

    Returns
    -------
    ndarray of uint8
        Grey or R, G, B.

    Raises
    ------
    FileNotFoundError, OSError
        If the file cannot be read.
    ValueError
        If it is not a JPEG image, is cut off or damaged, has other colours (CMYK), or so many pixels that Pillow takes
        it for an attack (``PIL.Image.MAX_IMAGE_PIXELS``).
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        name, data = "source", bytes(source)
    else:
        name, data = str(source), Path(source).read_bytes()
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
