"""`albumentations.ImageCompression`, for albumentations and AlbumentationsX."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import albumentations
import numpy as np
import numpy.typing as npt

from nnjpeg.codec import roundtrip
from nnjpeg.qtable import QTable

__all__ = ["ImageCompression"]


class ImageCompression(albumentations.ImageCompression):
    """Decrease image quality by JPEG or WebP, as the class of the same name in albumentations.

    It has the same parameters, draws and bits, and writes no file for JPEG of uint8 images with 3 channels or 1.
    Everything else (WebP, float32, other numbers of channels) is passed to albumentations.

    Parameters
    ----------
    *args, **kwargs
        Those of the installed `albumentations.ImageCompression`.

    Notes
    -----
    albumentations hands its RGB images to OpenCV, which takes them for BGR. So red is coded as if it were blue and blue
    as if it were red, here too; the result is not that of Pillow.
    """

    def apply(self, img: npt.NDArray[Any], quality: int, image_type: str, **params: Any) -> npt.NDArray[Any]:
        """Compress and decompress one image.

        Parameters
        ----------
        img : ndarray
            Shape (H, W, C).
        quality : int
            1..100.
        image_type : {".jpg", ".webp"}
            The kind of file.
        **params
            Further arguments of the installed albumentations.

        Returns
        -------
        ndarray
            As `img`.
        """
        if image_type != ".jpg" or img.dtype != np.uint8 or img.ndim != 3 or img.shape[-1] not in (1, 3):
            return super().apply(img, quality=quality, image_type=image_type, **params)
        tables, result = _tables(quality), np.empty(img.shape, np.uint8)
        if img.shape[-1] == 1:
            return roundtrip(img, tables[0], out=result)
        roundtrip(img[..., ::-1], tables, colorspace="ycbcr", subsampling="4:2:0", out=result[..., ::-1])
        return result


@lru_cache(maxsize=100)
def _tables(quality: int) -> tuple[QTable, QTable, QTable]:
    chrominance = QTable.standard_chrominance().at_quality(quality)
    return QTable.standard_luminance().at_quality(quality), chrominance, chrominance
