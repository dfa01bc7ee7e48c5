"""The corruption "jpeg_compression" of ImageNet-C (Hendrycks and Dietterich, 2019)."""

from __future__ import annotations

import PIL.Image

from nnjpeg.transforms import jpeg

__all__ = ["jpeg_compression"]

QUALITIES = (25, 18, 15, 10, 7)
"""By severity, 1..5."""


def jpeg_compression(image: PIL.Image.Image, severity: int = 1) -> PIL.Image.Image:
    """Compress and decompress an image at the quality of a severity.

    The bits that Pillow gives, as the benchmark's own function makes them, without the file.

    Parameters
    ----------
    image : PIL image
        Mode RGB or L.
    severity : int
        1..5.

    Returns
    -------
    PIL image
        New, of the mode and size of `image`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    """
    if not isinstance(image, PIL.Image.Image):
        raise TypeError(f"image must be a PIL image, got {type(image).__name__}")
    if isinstance(severity, bool) or severity not in range(1, 6):
        raise ValueError(f"severity must be an integer in 1..5, got {severity!r}")
    return jpeg(image, QUALITIES[severity - 1])
