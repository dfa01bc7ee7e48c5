"""The codec on the memory of PIL images: Pillow stores RGB as 4-byte pixels and exposes them by the Arrow interface."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import PIL.Image

from nnjpeg import _core
from nnjpeg._arguments import LAYOUTS, Coding
from nnjpeg._threads import thread_limit
from nnjpeg.codec import roundtrip_with

__all__ = ["roundtrip_image"]


def roundtrip_image(image: PIL.Image.Image, quantizers: _core.Quantizers, coding: Coding) -> PIL.Image.Image:
    """The round trip of an image in mode L or RGB, as a new image."""
    if image.mode == "RGB":
        result = image.copy()
        pixels = _memory(result)
        if pixels is not None:
            ycbcr, subsampling = coding
            _core.roundtrip(pixels, pixels, LAYOUTS["HWC"], quantizers, ycbcr, thread_limit(None), True, subsampling)
            return result
    samples = np.asarray(image)
    axes = LAYOUTS["HWC" if samples.ndim == 3 else "HW"]
    result = PIL.Image.fromarray(roundtrip_with(samples, axes, quantizers, coding))
    result.info = image.info.copy()
    return result


def _memory(image: PIL.Image.Image) -> npt.NDArray[np.uint8] | None:
    """The pixels of an RGB image, (height, width, 4); None where Pillow is older than 11.2 or stores them in pieces."""
    export = getattr(image, "__arrow_c_array__", None)
    if export is None:
        return None
    try:
        _, capsule = export()
        return _core.arrow_pixels(capsule, image.height, image.width)
    except ValueError:
        return None
