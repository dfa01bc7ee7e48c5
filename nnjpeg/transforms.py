"""The codec as a torchvision transform."""

from __future__ import annotations

import math
import warnings
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import is_pure_tensor

from nnjpeg import _core, ops
from nnjpeg._arguments import (
    UINT8,
    Colorspace,
    axes_of,
    check_array,
    check_components,
    components_of,
    default_layout,
    integer,
    is_ycbcr,
)
from nnjpeg._pil import roundtrip_image
from nnjpeg.codec import prepare, quantizers_for, roundtrip_with
from nnjpeg.ops import Gradient, Precision
from nnjpeg.qtable import NN_TABLE, QTable, QTables, as_tables

__all__ = ["NNJpeg", "nn_jpeg"]

_Image = TypeVar("_Image", Tensor, PIL.Image.Image, npt.NDArray[np.uint8])

Qualities = int | npt.NDArray[np.integer[Any]] | Tensor
"""One quality for all images, or an array or tensor of one dimension with one for each."""


def nn_jpeg(
    image: _Image,
    qtable: QTables | Tensor = NN_TABLE,
    *,
    quality: Qualities | None = None,
    colorspace: Colorspace = "rgb",
    gradient: Gradient = "straight-through",
    precision: Precision = "uint8",
    components: int | None = None,
) -> _Image:
    """Compress and decompress an image or a batch of images.

    Parameters
    ----------
    image : PIL image, tensor or uint8 ndarray
        A PIL image in mode L or RGB; a tensor or `tv_tensors.Image` of shape (..., C, H, W), a `tv_tensors.Video` of
        shape (..., T, C, H, W), on any device, uint8 or float in [0, 1]; an array of layout HW, HWC or NHWC with at
        most 4 components. Bytes are 0..255.
    qtable : QTable, array_like, sequence of these, or integer tensor
        8x8 tables: one for all, one for each component, one for each image of a batch, or both; see
        `nnjpeg.ops.roundtrip`. PIL images and arrays take no tensor and no table for each image.
    quality : int, or array or tensor of integers, optional
        1..100: scales the tables by `QTable.at_quality`. One dimension holds one quality for each image of the batch
        (for each clip of a video). By default the tables are used as they are. A tensor on an accelerator is not read
        back: what is out of range there counts as the nearer end. (A list or tuple with one for each image is
        deprecated: in `NNJpeg` a pair is a range to draw from.)
    colorspace : {"rgb", "ycbcr"}
        As for `nnjpeg.roundtrip`.
    gradient, precision
        For float tensors; as for `nnjpeg.ops.roundtrip`.
    components : int, optional
        Needed where `image` has more than 4; as for `nnjpeg.ops.roundtrip`.

    Returns
    -------
    Of the type of `image`
        New, with the same shape, dtype, device and memory format.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    """
    if isinstance(image, Tensor):
        if not (is_pure_tensor(image) or isinstance(image, (tv_tensors.Image, tv_tensors.Video))):
            raise TypeError(f"image must be a tensor, a tv_tensors Image or a Video, got {type(image).__name__}")
        return _nn_jpeg_tensor(image, qtable, quality, colorspace, gradient, precision, components)
    if isinstance(qtable, Tensor) or isinstance(quality, Tensor):
        raise TypeError(f"qtable and quality may be tensors only where image is one, got a {type(image).__name__}")
    if isinstance(image, PIL.Image.Image):
        _check_picture(image)
        bands = len(image.getbands())
        ycbcr = is_ycbcr(colorspace, bands)
        return roundtrip_image(image, _quantizers(qtable, bands, _checked(quality, 3), 1, 1), ycbcr)
    if isinstance(image, np.ndarray):
        return _nn_jpeg_array(image, None, qtable, _checked(quality, 3), 1, colorspace, components)
    raise TypeError(
        f"image must be a PIL image, a tensor, a tv_tensors Image or Video, or an ndarray, got {type(image).__name__}"
    )


def _check_picture(image: PIL.Image.Image) -> None:
    if 0 in image.size:
        raise ValueError(f"image must have width and height of at least 1, got {image.width} x {image.height}")
    if image.mode in ("L", "RGB"):
        return
    if image.mode.startswith("I;16"):
        advice = "; bring it to 8 bits by PIL.Image.fromarray(numpy.rint(numpy.asarray(image) / 257).astype('uint8'))"
    elif image.mode in ("I", "F"):
        advice = f"; scale its values, which now run from {image.getextrema()[0]} to {image.getextrema()[1]}, to 0..255"
    elif image.mode in ("La", "RGBa"):
        advice = f"; image.convert({image.mode.upper()!r}).convert('RGB') drops its transparency"
    elif image.has_transparency_data:
        advice = "; image.convert('RGB') drops its transparency, or paste it on a background"
    else:
        advice = f"; image.convert({'L' if image.mode == '1' else 'RGB'!r})"
    raise ValueError(f"image must be a PIL image in mode L or RGB, got {image.mode}{advice}")


def _checked(quality: int | npt.NDArray[Any] | None, stacklevel: int) -> int | list[int] | None:
    """One quality, or one for each image, whose values are in range; warnings point `stacklevel` calls up."""
    if quality is None:
        return None
    listed: Any = quality
    if isinstance(quality, np.ndarray):
        if quality.dtype.kind not in "iu" or quality.ndim > 1:
            raise _not_qualities(quality)
        listed = quality.tolist()
    elif isinstance(quality, (list, tuple)) and not torch.compiler.is_compiling():
        warnings.warn(
            f"quality={quality!r} as one for each image is deprecated, since in NNJpeg a pair is a range to draw from: "
            f"use numpy.array({list(quality)})",
            DeprecationWarning,
            stacklevel=stacklevel,
        )
    if isinstance(listed, (list, tuple)):
        return [integer("quality", q, 1, 100) for q in listed]
    return integer("quality", listed, 1, 100)


def _checked_tensor(quality: Tensor) -> list[int] | Tensor:
    """One quality for each image; a tensor where the values are not to be read."""
    if quality.dtype.is_floating_point or quality.dtype.is_complex or quality.dtype == torch.bool or quality.ndim > 1:
        raise _not_qualities(quality)
    if quality.device.type != "cpu" or ops.values_are_hidden():
        return quality.reshape(-1)
    return [integer("quality", q, 1, 100) for q in quality.reshape(-1).tolist()]


def _not_qualities(quality: npt.NDArray[Any] | Tensor) -> TypeError:
    return TypeError(
        "quality must be an integer, or an array or tensor of integers of at most one dimension, got "
        f"{quality.dtype} of shape {tuple(quality.shape)}"
    )


def _nn_jpeg_tensor(
    image: Tensor,
    qtable: QTables | Tensor,
    quality: Qualities | None,
    colorspace: Colorspace,
    gradient: Gradient,
    precision: Precision,
    components: int | None,
) -> Tensor:
    ycbcr = ops.check(image, colorspace, gradient, precision, components)
    if isinstance(quality, np.ndarray) and torch.compiler.is_compiling():
        quality = torch.from_numpy(quality)  # which is all that a graph knows of arrays
    qualities = _checked_tensor(quality) if isinstance(quality, Tensor) else _checked(quality, 4)
    pure = is_pure_tensor(image)
    plain = image if pure else image.as_subclass(Tensor)
    frames = image.shape[-4] if isinstance(image, tv_tensors.Video) and image.ndim > 3 else 1
    if ops.is_at_hand(plain) and isinstance(qtable, (QTable, list, tuple)) and not isinstance(qualities, Tensor):
        batch = plain if plain.ndim <= 4 else plain.reshape(math.prod(plain.shape[:-3]), *plain.shape[-3:])
        layout = "CHW" if batch.ndim == 3 else "NCHW"
        output = torch.from_numpy(_nn_jpeg_array(batch.numpy(), layout, qtable, qualities, frames, colorspace))
        output = output if plain.ndim <= 4 else output.reshape(plain.shape)
    else:
        tables = _tables(qtable, qualities, plain, frames)
        output = ops.apply(plain, tables, ycbcr, gradient, precision)
    return output if pure else tv_tensors.wrap(output, like=image)


def _tables(qtable: QTables | Tensor, quality: int | list[int] | Tensor | None, image: Tensor, frames: int) -> Tensor:
    """Tables at their quality as the operator wants them."""
    images, components = math.prod(image.shape[:-3]), image.shape[-3]
    if isinstance(quality, int) and not isinstance(qtable, Tensor):
        qtable = [table.at_quality(quality) for table in as_tables(qtable, components)]
        quality = None
    tables = ops.tables_tensor(qtable, images, components, image.device)
    if quality is None:
        return tables
    if not isinstance(quality, Tensor):
        quality = torch.tensor([quality] if isinstance(quality, int) else quality, device="cpu")
    qualities = quality.to(image.device, non_blocking=True)
    if qualities.shape[0] != 1:
        _check_count(qualities.shape[0], images // frames)
        qualities = qualities.repeat_interleave(frames) if frames > 1 else qualities
    return ops.at_quality(tables, qualities)


def _check_count(qualities: int, clips: int) -> None:
    if qualities != clips:
        raise ValueError(f"quality must be one for all, or one for each of {clips} images, got {qualities}")


def _nn_jpeg_array(
    pixels: npt.NDArray[np.uint8],
    layout: str | None,
    qtable: QTables,
    quality: int | list[int] | None,
    frames: int,
    colorspace: Colorspace,
    components: int | None = None,
) -> npt.NDArray[np.uint8]:
    """The round trip of `pixels`, whose images form clips of `frames` each."""
    check_array("image", pixels, UINT8)
    if layout is None:
        layout = default_layout("image", pixels.shape)
        reading = f"its layout is {layout}, that of arrays with {pixels.ndim} dimensions"
        check_components("image", pixels.shape, pixels.shape[-1] if pixels.ndim > 2 else 1, components, reading)
    axes = axes_of("image", pixels.shape, layout)
    count = components_of(pixels.shape, axes)
    ycbcr = is_ycbcr(colorspace, count)
    images = len(pixels) if axes[0] >= 0 else 1
    if images == 0:
        return pixels.copy()
    return roundtrip_with(pixels, axes, _quantizers(qtable, count, quality, images // frames, frames), ycbcr)


def _quantizers(
    qtable: QTables, components: int, quality: int | list[int] | None, clips: int, frames: int
) -> _core.Quantizers:
    """Tables at one quality, or at one for each clip, ready for the core."""
    if quality is None:
        return quantizers_for(qtable, components)
    tables = as_tables(qtable, components)
    if not isinstance(quality, list):
        quality = [quality]
    if len(quality) == 1:
        return prepare([[table.at_quality(quality[0]) for table in tables]])
    _check_count(len(quality), clips)
    return prepare([[table.at_quality(q) for table in tables] for q in quality for _ in range(frames)])


class NNJpeg(v2.Transform):
    """Compress and decompress images: NN-JPEG (section 3.2 of the paper), or JPEG with any tables.

    A torchvision transform that composes with `torchvision.transforms` and `torchvision.transforms.v2`, and a module
    that can be a model's first layer: its table moves with ``.to(device)``, and gradients go through it. Of a sample,
    it transforms PIL images (L, RGB), `tv_tensors.Image` and `tv_tensors.Video`; boxes, masks, labels and all else pass
    through. As everywhere in v2, a plain tensor is an image only if the sample has none of these, and then only the
    first one; here the same goes for an ndarray.

    Parameters
    ----------
    qtable : QTable, array_like, sequence of these, or integer tensor
        One 8x8 table for all components, or one for each. By default `NN_TABLE`, the paper's 16 / 50.
    quality : int or (int, int), optional
        1..100: scales the tables by `QTable.at_quality`. A pair (low, high) draws from torch's generator for the
        image's device, both ends included: one for each image of a batch, one for each clip of a video; several images
        of one sample share their draws. By default the tables are used as they are. (One quality for each image, of
        your choice: `nn_jpeg`.)
    colorspace : {"rgb", "ycbcr"}
        "rgb" keeps the components as they are, as the paper does; "ycbcr" codes in JFIF YCbCr 4:4:4.
    gradient : {"straight-through", "cubic", "none"}
        Of float tensors; see `nnjpeg.ops.roundtrip`.
    precision : {"uint8", "float"}
        Of float tensors; see `nnjpeg.ops.roundtrip`.
    components : int, optional
        Needed where images have more than 4; see `nnjpeg.ops.roundtrip`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; when called, as `nn_jpeg`.

    Examples
    --------
    >>> v2.Compose([v2.CenterCrop(224), NNJpeg(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    >>> defended = torch.nn.Sequential(NNJpeg(), v2.Normalize(mean, std), model)
    """

    # Everything that may be an image; make_params narrows it down.
    _transformed_types = (is_pure_tensor, tv_tensors.Image, tv_tensors.Video, PIL.Image.Image, np.ndarray)

    steps: Tensor
    """The tables, at the quality if that is fixed: uint8 (1, C or 1, 8, 8). Not part of the state dict, and made again
    from the arguments whenever the module moves."""

    components: int | None = None

    def __init__(
        self,
        qtable: QTables | Tensor = NN_TABLE,
        *,
        quality: int | tuple[int, int] | None = None,
        colorspace: Colorspace = "rgb",
        gradient: Gradient = "straight-through",
        precision: Precision = "uint8",
        components: int | None = None,
    ) -> None:
        super().__init__()
        is_ycbcr(colorspace, 3)
        ops.check_choice("gradient", gradient, Gradient)
        ops.check_choice("precision", precision, Precision)
        tables = as_tables(qtable.detach().cpu().numpy() if isinstance(qtable, Tensor) else qtable)
        self.qtable: QTable | tuple[QTable, ...] = tables[0] if len(tables) == 1 else tuple(tables)
        self.quality = _check_quality(quality)
        self.colorspace = colorspace
        self.gradient = gradient
        self.precision = precision
        self.components = components
        if isinstance(self.quality, int):
            tables = [table.at_quality(self.quality) for table in tables]
        self._at_quality = tables[0] if len(tables) == 1 else tuple(tables)
        self.register_buffer("steps", self._steps(), persistent=False)

    def _steps(self) -> Tensor:
        tables = [self._at_quality] if isinstance(self._at_quality, QTable) else self._at_quality
        return ops.steps_of([tables], torch.device("cpu"))

    def reset_parameters(self) -> None:
        """Write the tables into `steps` again, where its memory is new (as after `to_empty`)."""
        if not ops.values_are_hidden():
            self.steps.copy_(self._steps())

    def _apply(self, fn: Any, recurse: bool = True) -> NNJpeg:
        super()._apply(fn, recurse)
        self.reset_parameters()
        return self

    def forward(self, *inputs: Any) -> Any:
        """Transform a sample, or an image: the common case, without the search for what is one."""
        if len(inputs) == 1 and isinstance(inputs[0], (PIL.Image.Image, Tensor, np.ndarray)):
            (image,) = inputs
            if not isinstance(image, tv_tensors.TVTensor) or isinstance(image, (tv_tensors.Image, tv_tensors.Video)):
                return self.transform(image, self.make_params([image]))
        if any(isinstance(one, torch.fx.Proxy) for one in inputs):
            raise TypeError(
                "torch.fx can't trace through NNJpeg, and would leave it out: make it a leaf (leaf_modules=[NNJpeg] in "
                "torchvision's create_feature_extractor, is_leaf_module of a Tracer)"
            )
        return super().forward(*inputs)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("qtable", "quality") and name in self.__dict__:
            raise AttributeError(
                f"the {name} of an NNJpeg is fixed, since its tables are made of it: make another NNJpeg"
            )
        super().__setattr__(name, value)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the qualities of one call, and find which input without a type of its own is the image."""
        typed = any(isinstance(i, (PIL.Image.Image, tv_tensors.Image, tv_tensors.Video)) for i in flat_inputs)
        untyped = [i for i in flat_inputs if isinstance(i, np.ndarray) or is_pure_tensor(i)]
        params: dict[str, Any] = {"untyped": None if typed or not untyped else untyped[0], "quality": None}
        if isinstance(self.quality, tuple):
            low, high = self.quality
            images = [i for i in flat_inputs if not is_pure_tensor(i) or i is params["untyped"]]
            device = [*(i.device for i in images if isinstance(i, Tensor)), torch.device("cpu")][0]
            count = max([_count(i) for i in images], default=0)
            draws = torch.randint(low, high + 1, (count,), device=device)
            # As an array where they may be had without waiting.
            tensor = device.type != "cpu" or ops.values_are_hidden()
            params["quality"] = draws if tensor else draws.numpy()
        return params

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Transform one input."""
        if (isinstance(inpt, np.ndarray) or is_pure_tensor(inpt)) and inpt is not params["untyped"]:
            return inpt
        quality = params["quality"]
        qtable: QTables | Tensor = self._at_quality
        if quality is not None:
            quality = quality[: _count(inpt)]
        if isinstance(inpt, Tensor):
            if not ops.is_at_hand(inpt) and self.steps.device == inpt.device:
                qtable = self.steps
        elif isinstance(quality, Tensor):
            quality = quality.cpu().numpy()
        return nn_jpeg(
            inpt,
            qtable,
            quality=quality,
            colorspace=self.colorspace,
            gradient=self.gradient,
            precision=self.precision,
            components=self.components,
        )

    def extra_repr(self) -> str:
        """One argument a line, so that the table stays a grid."""
        return (
            f"qtable={self.qtable!r},\nquality={self.quality!r}, colorspace={self.colorspace!r}, "
            f"gradient={self.gradient!r}, precision={self.precision!r}"
            + (f", components={self.components}" if self.components is not None else "")
        )


def _check_quality(quality: Any) -> int | tuple[int, int] | None:
    if quality is None:
        return None
    accepted = "quality must be an integer in 1..100, or a pair (low, high) of these to draw from"
    if isinstance(quality, (np.ndarray, Tensor)) and quality.ndim:
        raise TypeError(f"{accepted}, got {quality!r}; nnjpeg.transforms.nn_jpeg takes one for each image")
    if not isinstance(quality, (tuple, list)):
        return integer("quality", quality, 1, 100)
    if len(quality) != 2:
        raise ValueError(
            f"{accepted}, got {quality!r}; nnjpeg.transforms.nn_jpeg takes one for each image, as an array"
        )
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
