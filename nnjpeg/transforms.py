"""The codec as a torchvision transform."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import is_pure_tensor

from nnjpeg import _core
from nnjpeg._arguments import UINT8, Colorspace, axes_of, check_array, components_of, integer, is_ycbcr
from nnjpeg._pil import roundtrip_image
from nnjpeg.codec import prepare, quantizers_for, roundtrip_with
from nnjpeg.qtable import NN_TABLE, QTable, QTables, as_tables

__all__ = ["NNJpeg", "nn_jpeg"]

_Image = TypeVar("_Image", torch.Tensor, PIL.Image.Image, npt.NDArray[np.uint8])


def nn_jpeg(
    image: _Image,
    qtable: QTables = NN_TABLE,
    *,
    quality: int | Sequence[int] | None = None,
    colorspace: Colorspace = "rgb",
) -> _Image:
    """Compress and decompress an image or a batch of images.

    Parameters
    ----------
    image : PIL image, uint8 tensor or uint8 ndarray
        A PIL image in mode L or RGB; a tensor or `tv_tensors.Image` of shape (..., C, H, W), a `tv_tensors.Video` of
        shape (..., T, C, H, W); an array of layout HW, HWC or NHWC with at most 4 components. Values 0..255. A tensor
        on another device is copied to the CPU and back.
    qtable : QTable, array_like or sequence of these
        One 8x8 table for all components, or one for each.
    quality : int or sequence of int, optional
        1..100: scales the tables by `QTable.at_quality`. A sequence holds one for each image of the batch (for each
        clip of a video). By default the tables are used as they are.
    colorspace : {"rgb", "ycbcr"}
        As for `nnjpeg.roundtrip`.

    Returns
    -------
    Of the type of `image`
        New, with the same shape, dtype, device and memory format.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    """
    if isinstance(image, PIL.Image.Image):
        if image.mode not in ("L", "RGB"):
            raise ValueError(f"image must be a PIL image in mode L or RGB, got {image.mode}; image.convert('RGB')?")
        components = len(image.getbands())
        ycbcr = is_ycbcr(colorspace, components)
        return roundtrip_image(image, _quantizers(qtable, components, quality, 1, 1), ycbcr)
    if isinstance(image, np.ndarray):
        return _apply(image, None, qtable, quality, 1, colorspace)
    if not (is_pure_tensor(image) or isinstance(image, (tv_tensors.Image, tv_tensors.Video))):
        raise TypeError(
            "image must be a PIL image, a tensor, a tv_tensors Image or Video, or an ndarray, got "
            f"{type(image).__name__}"
        )
    if image.dtype != torch.uint8:
        raise TypeError(
            f"image must be a tensor of dtype torch.uint8, got {image.dtype}; a float image in [0, 1] becomes one by "
            "v2.ToDtype(torch.uint8, scale=True)"
        )
    if image.ndim < 3:
        raise ValueError(f"image must be a tensor of shape (..., C, H, W), got {tuple(image.shape)}")
    plain = image.as_subclass(torch.Tensor)
    frames = image.shape[-4] if isinstance(image, tv_tensors.Video) and image.ndim > 3 else 1
    batch = plain if plain.ndim <= 4 else plain.reshape(math.prod(plain.shape[:-3]), *plain.shape[-3:])
    pixels = batch.detach().cpu().numpy()
    result = _apply(pixels, "CHW" if pixels.ndim == 3 else "NCHW", qtable, quality, frames, colorspace)
    output = torch.from_numpy(result).to(plain.device).reshape(plain.shape)
    return output if is_pure_tensor(image) else tv_tensors.wrap(output, like=image)


def _apply(
    pixels: npt.NDArray[np.uint8],
    layout: str | None,
    qtable: QTables,
    quality: int | Sequence[int] | None,
    frames: int,
    colorspace: Colorspace,
) -> npt.NDArray[np.uint8]:
    """The round trip of `pixels`, whose images form clips of `frames` each."""
    check_array("image", pixels, UINT8)
    axes = axes_of("image", pixels.shape, layout)
    components = components_of(pixels.shape, axes)
    ycbcr = is_ycbcr(colorspace, components)
    images = len(pixels) if axes[0] >= 0 else 1
    if images == 0:
        return pixels.copy()
    return roundtrip_with(pixels, axes, _quantizers(qtable, components, quality, images // frames, frames), ycbcr)


def _quantizers(
    qtable: QTables, components: int, quality: int | Sequence[int] | None, clips: int, frames: int
) -> _core.Quantizers:
    """Tables at one quality, or at one for each clip, ready for the core."""
    if quality is None:
        return quantizers_for(qtable, components)
    tables = as_tables(qtable, components)
    if not isinstance(quality, Sequence):
        return prepare([[table.at_quality(quality) for table in tables]])
    if len(quality) != clips:
        raise ValueError(f"quality must be one for all, or one for each of {clips} images, got {len(quality)}")
    return prepare([[table.at_quality(q) for table in tables] for q in quality for _ in range(frames)])


class NNJpeg(v2.Transform):
    """Compress and decompress images, as a torchvision transform: NN-JPEG (section 3.2 of the paper), or JPEG with any
    tables.

    Composes with `torchvision.transforms` and `torchvision.transforms.v2`. Of a sample, it transforms PIL images (L,
    RGB), `tv_tensors.Image` and `tv_tensors.Video`; boxes, masks, labels and all else pass through. As everywhere in
    v2, a plain tensor is an image only if the sample has none of these, and then only the first one; here the same goes
    for an ndarray.

    Parameters
    ----------
    qtable : QTable, array_like or sequence of these
        One 8x8 table for all components, or one for each. By default `NN_TABLE`, the paper's 16 / 50.
    quality : int or (int, int), optional
        1..100: scales the tables by `QTable.at_quality`. A pair (low, high) draws from torch's generator, both ends
        included: one for each image of a batch, one for each clip of a video; several images of one sample share their
        draws. By default the tables are used as they are.
    colorspace : {"rgb", "ycbcr"}
        "rgb" keeps the components as they are, as the paper does; "ycbcr" codes in JFIF YCbCr 4:4:4.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; when called, as `nn_jpeg`.

    Examples
    --------
    >>> v2.Compose([v2.Resize(256), v2.CenterCrop(224), NNJpeg(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    """

    # Everything that may be an image; make_params narrows it down.
    _transformed_types = (is_pure_tensor, tv_tensors.Image, tv_tensors.Video, PIL.Image.Image, np.ndarray)

    def __init__(
        self,
        qtable: QTables = NN_TABLE,
        *,
        quality: int | tuple[int, int] | None = None,
        colorspace: Colorspace = "rgb",
    ) -> None:
        super().__init__()
        is_ycbcr(colorspace, 3)
        tables = as_tables(qtable)
        self.qtable: QTable | tuple[QTable, ...] = tables[0] if len(tables) == 1 else tuple(tables)
        self.quality = _check_quality(quality)
        self.colorspace = colorspace

    def forward(self, *inputs: Any) -> Any:
        """Transform a sample, or an image: the common case, without the search for what is one."""
        if len(inputs) == 1 and isinstance(inputs[0], (PIL.Image.Image, torch.Tensor, np.ndarray)):
            (image,) = inputs
            if not isinstance(image, tv_tensors.TVTensor) or isinstance(image, (tv_tensors.Image, tv_tensors.Video)):
                return self.transform(image, self.make_params([image]))
        return super().forward(*inputs)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the qualities of one call, and find which input without a type of its own is the image."""
        typed = any(isinstance(i, (PIL.Image.Image, tv_tensors.Image, tv_tensors.Video)) for i in flat_inputs)
        untyped = next((i for i in flat_inputs if isinstance(i, np.ndarray) or is_pure_tensor(i)), None)
        params: dict[str, Any] = {"untyped": None if typed else untyped, "quality": self.quality}
        if isinstance(self.quality, tuple):
            low, high = self.quality
            count = max((_count(i) for i in flat_inputs), default=0)
            params["quality"] = torch.randint(low, high + 1, (count,)).tolist()
        return params

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Transform one input."""
        if (isinstance(inpt, np.ndarray) or is_pure_tensor(inpt)) and inpt is not params["untyped"]:
            return inpt
        quality = params["quality"]
        if isinstance(quality, list):
            quality = quality[: _count(inpt)]
        return nn_jpeg(inpt, self.qtable, quality=quality, colorspace=self.colorspace)

    def extra_repr(self) -> str:
        """One argument a line, so that the table stays a grid."""
        return f"qtable={self.qtable!r},\nquality={self.quality!r}, colorspace={self.colorspace!r}"


def _check_quality(quality: Any) -> int | tuple[int, int] | None:
    if quality is None:
        return None
    if not isinstance(quality, (tuple, list)):
        return integer("quality", quality, 1, 100)
    if len(quality) != 2:
        raise ValueError(f"quality must be an integer or a pair (low, high), got {quality!r}")
    low, high = (integer("quality", q, 1, 100) for q in quality)
    if low > high:
        raise ValueError(f"quality must be a pair (low, high) with low <= high, got ({low}, {high})")
    return low, high


def _count(image: Any) -> int:
    """How many qualities an input takes: one for each image, or for each clip of a video."""
    if isinstance(image, torch.Tensor):
        return math.prod(image.shape[: -4 if isinstance(image, tv_tensors.Video) else -3])
    if isinstance(image, np.ndarray) and image.ndim == 4:
        return len(image)
    return 1
