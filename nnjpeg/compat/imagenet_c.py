"""The corruption "jpeg_compression" of ImageNet-C (Hendrycks and Dietterich, 2019)."""

from __future__ import annotations

import io

import PIL.Image

from nnjpeg._arguments import integer
from nnjpeg.transforms import jpeg

__all__ = ["jpeg_compression"]

QUALITIES = (25, 18, 15, 10, 7)
"""By severity, 1..5."""


def jpeg_compression(image: PIL.Image.Image, severity: int = 1) -> PIL.Image.Image:
    """Compress and decompress an image at the quality of a severity.

    The result has the bits of Pillow, like the benchmark's own function; for the modes RGB and L no file is written.
    The qualities are those of ImageNet-C at 224x224; its kin (CIFAR-10-C, Tiny ImageNet-C) have others: for these, give
    `nnjpeg.transforms.jpeg` the quality.

    Parameters
    ----------
    image : PIL image
        Of a mode that Pillow writes as JPEG: RGB, L, or one of 1, CMYK, YCbCr and RGBX, which go through its file.
    severity : int
        1..5.

    Returns
    -------
    PIL image
        New, of the size of `image`, in the mode that Pillow reads: L for 1, RGB for YCbCr and RGBX, else as it was.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    OSError
        If Pillow does not write the mode as JPEG.
    """
    if not isinstance(image, PIL.Image.Image):
        raise TypeError(f"image must be a PIL image, got {type(image).__name__}")
    quality = QUALITIES[integer("severity", severity, 1, 5) - 1]
    if image.mode in ("RGB", "L"):
        return jpeg(image, quality)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return PIL.Image.open(file).copy()
