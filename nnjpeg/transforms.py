"""The codec as torchvision transforms."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import is_pure_tensor

from nnjpeg import _plain, ops
from nnjpeg._arguments import Colorspace, Subsampling, coding_of, flag, number
from nnjpeg._images import Image, Options, Qualities, code, code_bytes
from nnjpeg._operands import values_are_hidden
from nnjpeg.ops import Gradient, Precision
from nnjpeg.qtable import NN_TABLE, QTable, QTables, as_tables

__all__ = ["JPEG", "NNJpeg", "jpeg", "nn_jpeg"]

# For torch.onnx.export's second try at a model, by torch.compile's frontend. Not in ops: it would import all of that.
torch.compiler.assume_constant_result(_plain.is_for_onnx)

_IJG = (QTable.standard_luminance(), QTable.standard_chrominance(), QTable.standard_chrominance())


def nn_jpeg(
    image: Image,
    qtable: QTables | Tensor = NN_TABLE,
    *,
    quality: Qualities | None = None,
    colorspace: Colorspace = "rgb",
    subsampling: Subsampling = "4:4:4",
    gradient: Gradient = "straight-through",
    precision: Precision = "uint8",
    components: int | None = None,
) -> Image:
    """Compress and decompress an image or a batch of images.

    Parameters
    ----------
    image : PIL image, tensor or uint8 ndarray
        A PIL image in mode L or RGB; a tensor or `tv_tensors.Image` of shape (..., C, H, W), a `tv_tensors.Video` of
        shape (..., T, C, H, W), on any device, uint8 or float in [0, 1]; an array of layout HW, HWC or NHWC with at
        most 4 components. Bytes are 0..255.
    qtable : QTable, array_like, sequence of these, or tensor
        8x8 tables: one for all, one for each component, one for each image of a batch, or both; see
        `nnjpeg.ops.roundtrip`. PIL images and arrays take no tensor and no table for each image.
    quality : number, or array or tensor of numbers, optional
        1..100, whole or not: scales the tables by `QTable.at_quality`. One dimension holds one quality for each image
        of the batch (for each clip of a video). By default the tables are used as they are. A tensor on an accelerator
        is not read back: what is out of range there counts as the nearer end. So it does in a tensor that requires a
        gradient: an optimizer may have moved it there. Such a tensor gets the gradient of the steps, through the rule
        of `QTable.at_quality` without its roundings and straight through both clamps; of a float `image` it is that of
        a table of `nnjpeg.ops.roundtrip`. (A list or tuple with one for each image is deprecated: in `NNJpeg` a pair is
        a range to draw from.)
    colorspace, subsampling
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
    if isinstance(quality, (list, tuple)):
        if not torch.compiler.is_compiling():
            warnings.warn(
                f"quality={quality!r} as one for each image is deprecated, since in NNJpeg a pair is a range to draw "
                f"from: use numpy.array({list(quality)})",
                DeprecationWarning,
                stacklevel=2,
            )
        quality = np.array([number("quality", q, 1, 100) for q in quality])
    return code(image, qtable, quality, Options(colorspace, subsampling, gradient, precision, components))


def jpeg(
    image: Image, quality: Qualities, *, gradient: Gradient = "straight-through", precision: Precision = "uint8"
) -> Image:
    """Compress and decompress an image or a batch of images as ordinary JPEG.

    The bits of `torchvision.transforms.v2.functional.jpeg`, without the file: YCbCr 4:2:0 with the tables of ITU-T T.81
    scaled by the Independent JPEG Group's rule (for grey, the first of them), which is the default of Pillow, OpenCV
    and libjpeg itself.

    Parameters
    ----------
    image : PIL image, tensor or uint8 ndarray
        As for `nn_jpeg`, of 3 components or 1.
    quality : number, or array or tensor of numbers
        1..100, whole or not; one dimension holds one for each image of a batch. As for `nn_jpeg`, with a gradient too.
    gradient, precision
        For float tensors; as for `nnjpeg.ops.roundtrip`.

    Returns
    -------
    Of the type of `image`
        New, with the same shape, dtype, device and memory format.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    """
    if quality is None or isinstance(quality, (list, tuple)):
        accepted = "a number in 1..100, or an array or tensor with one for each image"
        raise TypeError(f"quality must be {accepted}, got {quality!r}")
    tables = _IJG[:1] if _is_grey(image) else _IJG
    return code(image, tables, quality, Options("ycbcr", "4:2:0", gradient, precision))


def _is_grey(image: Any) -> bool:
    if isinstance(image, PIL.Image.Image):
        return image.mode == "L"
    if isinstance(image, Tensor):
        return image.ndim > 2 and image.shape[-3] == 1
    return isinstance(image, np.ndarray) and (image.ndim == 2 or image.shape[-1:] == (1,))


class _Transform(v2.Transform):
    """What `NNJpeg` and `JPEG` have in common: which inputs are images, and where the tables are kept.

    Of a sample, PIL images, `tv_tensors.Image` and `tv_tensors.Video` are transformed. As everywhere in v2, a plain
    tensor is an image only if the sample has none of these, and then only the first one.
    """

    # Everything that may be an image; make_params narrows it down.
    _transformed_types = (is_pure_tensor, tv_tensors.Image, tv_tensors.Video, PIL.Image.Image, np.ndarray)
    _fixed: tuple[str, ...] = ("quality",)

    quality: Any
    colorspace: Colorspace
    subsampling: Subsampling
    gradient: Gradient
    precision: Precision
    components: int | None = None
    learn: bool = False

    steps: Tensor
    """The tables, at the quality if that is fixed: (1, C or 1, 8, 8). If they learn, a parameter, float32; else uint8,
    not part of the state dict, and made again from the arguments whenever the module moves."""

    def _set_up(self, tables: Sequence[QTable], quality: Any, gradient: Gradient, precision: Precision) -> None:
        ops.check_choice("gradient", gradient, Gradient)
        ops.check_choice("precision", precision, Precision)
        self.quality, self.gradient, self.precision = quality, gradient, precision
        self._tables = self._tables_of(tables, quality)
        if self.learn:
            default = torch.empty(0).device  # where torch makes parameters
            self.steps = torch.nn.Parameter(self._steps().to(default, torch.float32))
        else:
            self.register_buffer("steps", self._steps(), persistent=False)

    @staticmethod
    def _tables_of(tables: QTable | Sequence[QTable], quality: Any) -> tuple[QTable, ...]:
        tables = as_tables(tables)
        return tuple(table.at_quality(quality) if isinstance(quality, (int, float)) else table for table in tables)

    def _steps(self) -> Tensor:
        return ops.steps_of([self._tables], torch.device("cpu"))

    def reset_parameters(self) -> None:
        """Write the tables into `steps` again, where its memory is new (as after `to_empty`)."""
        if not values_are_hidden():
            with torch.no_grad():
                self.steps.copy_(self._steps())

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        if not self.learn:
            self.reset_parameters()
        return self

    def _present(self) -> tuple[QTable, ...]:
        """The tables as they are now, at the quality if that is fixed."""
        if not self.learn:
            return self._tables
        self._check_made()
        steps = self.steps.detach()[0].float().cpu().round().clamp(1, 255)
        return tuple(QTable(table) for table in steps.numpy())

    def _check_made(self) -> None:
        """That tables which learn have numbers."""
        if self.steps.device.type == "meta":
            raise ValueError(
                f"the steps of {type(self).__name__} are on the meta device, where they have no numbers: use "
                "to_empty(device=...) and then reset_parameters(), or load_state_dict(..., assign=True)"
            )

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._fixed and name in self.__dict__:
            kind = type(self).__name__
            raise AttributeError(f"{kind}.{name} is fixed, since tables are made of it: make another {kind}")
        super().__setattr__(name, value)

    # Not *inputs, as v2 has it: torch.export describes arguments by the names of the signature.
    def forward(self, image: Any, *others: Any) -> Any:
        """Transform a sample, or an image: the common case, without the search for what is one."""
        if not others and type(image) is Tensor and self.components is None and ops.is_at_hand(image):
            quality = self._draw([image], hidden=False)
            return code_bytes(image, self._present(), quality, self.colorspace, self.subsampling)
        if not others and (
            type(image) is Tensor
            or isinstance(image, (PIL.Image.Image, tv_tensors.Image, tv_tensors.Video, np.ndarray))
            or is_pure_tensor(image)
        ):
            return self._coded(image, self._draw([image]))
        if any(isinstance(one, torch.fx.Proxy) for one in (image, *others)):
            kind = type(self).__name__
            raise TypeError(
                f"torch.fx can't trace through {kind}, and would leave it out: make it a leaf (leaf_modules=[{kind}] "
                "in torchvision's create_feature_extractor, is_leaf_module of a Tracer)"
            )
        return super().forward(image, *others)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the qualities of one call, and find which input without a type of its own is the image."""
        if len(flat_inputs) == 1:
            untyped, images = flat_inputs[0], flat_inputs
        else:
            typed = any(isinstance(i, (PIL.Image.Image, tv_tensors.Image, tv_tensors.Video)) for i in flat_inputs)
            untyped = None if typed else self._first_untyped(flat_inputs)
            images = [i for i in flat_inputs if not _is_untyped(i) or i is untyped]
        return {"untyped": untyped, "quality": self._draw(images)}

    def _first_untyped(self, flat_inputs: list[Any]) -> Any:
        return next((i for i in flat_inputs if _is_untyped(i)), None)

    def _draw(self, images: list[Any], hidden: bool | None = None) -> Any:
        """Qualities for the images of one call; None where the tables are at theirs. `hidden`, if it is known: whether
        values are (`_operands.values_are_hidden`).
        """
        raise NotImplementedError

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Transform one input."""
        if inpt is not params["untyped"] and _is_untyped(inpt):
            return inpt
        return self._coded(inpt, params["quality"])

    def _coded(self, inpt: Any, quality: Any) -> Any:
        if isinstance(quality, (np.ndarray, Tensor)):
            quality = quality[: _count(inpt)]
            if isinstance(quality, Tensor) and not isinstance(inpt, Tensor):
                quality = quality.cpu().numpy()
        options = Options(self.colorspace, self.subsampling, self.gradient, self.precision, self.components)
        steps = self.steps if isinstance(inpt, Tensor) else None
        grey = self.colorspace == "ycbcr" and _is_grey(inpt)  # which has luma alone
        if steps is not None and grey:
            steps = steps[:, :1]
        if steps is not None and self.learn:
            if inpt.device.type != "meta":
                self._check_made()
            return code(inpt, steps, quality, options)
        tables = self._present()
        return code(inpt, tables[:1] if grey else tables, quality, options, steps)


def _is_untyped(value: Any) -> bool:
    return isinstance(value, np.ndarray) or is_pure_tensor(value)


class NNJpeg(_Transform):
    """Compress and decompress images: NN-JPEG (section 3.2 of the paper), or JPEG with any tables.

    A torchvision transform that composes with `torchvision.transforms` and `torchvision.transforms.v2`, and a module
    that can be a model's first layer: its table moves with ``.to(device)``, and gradients go through it. Of a sample,
    it transforms PIL images (L, RGB), `tv_tensors.Image` and `tv_tensors.Video`; boxes, masks, labels and all else pass
    through. As everywhere in v2, a plain tensor is an image only if the sample has none of these, and then only the
    first one; here the same goes for an ndarray.

    Parameters
    ----------
    qtable : QTable, array_like, sequence of these, or integer tensor
        One 8x8 table for all components, or one for each; with "ycbcr" a grey image takes the first. By default
        `NN_TABLE`, the paper's 16 / 50.
    quality : number or (low, high), optional
        1..100: scales the tables by `QTable.at_quality`. A pair draws from torch's generator for the image's device:
        whole numbers, both ends included, or real ones if an end is a float. One is drawn for each image of a batch,
        one for each clip of a video; several images of one sample share their draws. By default the tables are used as
        they are. (One quality for each image, of your choice: `nn_jpeg`.)
    colorspace : {"rgb", "ycbcr"}
        "rgb" keeps the components as they are, as the paper does; "ycbcr" codes in JFIF YCbCr.
    subsampling : {"4:4:4", "4:2:2", "4:2:0", "4:4:0"}
        Of chroma, with "ycbcr"; see `nnjpeg.roundtrip`.
    gradient : {"straight-through", "cubic", "none"}
        Of float tensors; see `nnjpeg.ops.roundtrip`.
    precision : {"uint8", "float"}
        Of float tensors; see `nnjpeg.ops.roundtrip`.
    components : int, optional
        Needed where images have more than 4; see `nnjpeg.ops.roundtrip`.
    learn : bool
        Whether the tables, at the quality if that is a number, are where a parameter starts: `steps`, float32 of shape
        (1, 1, 8, 8), or (1, C, 8, 8) for several tables, on torch's default device. Float tensors give it a gradient,
        as they give it to a table of `nnjpeg.ops.roundtrip`: a step is rounded and clamped to 1..255 whenever it is
        used, and its gradient passes through both; `table` has what is used. By default there is no parameter, and the
        state dict is empty.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; when called, as `nn_jpeg`.

    Examples
    --------
    >>> v2.Compose([v2.CenterCrop(224), NNJpeg(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    >>> defended = torch.nn.Sequential(NNJpeg(), v2.Normalize(mean, std), model)
    >>> learning = NNJpeg(QTable.standard_luminance(), learn=True)
    >>> optimizer = torch.optim.Adam(learning.parameters(), lr=1)
    """

    _fixed = ("qtable", "quality", "learn")

    def __init__(
        self,
        qtable: QTables | Tensor = NN_TABLE,
        *,
        quality: float | tuple[float, float] | None = None,
        colorspace: Colorspace = "rgb",
        subsampling: Subsampling = "4:4:4",
        gradient: Gradient = "straight-through",
        precision: Precision = "uint8",
        components: int | None = None,
        learn: bool = False,
    ) -> None:
        super().__init__()
        learn, qtable = flag("learn", learn), ops.stacked(qtable)
        if isinstance(qtable, Tensor) and qtable.requires_grad and not learn:
            raise ValueError(
                "qtable requires a gradient, which it would not get, since NNJpeg copies it: give learn=True for a "
                "parameter of the layer, or qtable.detach(); nn_jpeg takes a tensor as it is"
            )
        coding_of(colorspace, subsampling, 3)
        self.learn = learn
        self.colorspace, self.subsampling, self.components = colorspace, subsampling, components
        tables = as_tables(qtable.detach().cpu().numpy() if isinstance(qtable, Tensor) else qtable)
        self.qtable: QTable | tuple[QTable, ...] = tables[0] if len(tables) == 1 else tuple(tables)
        checked = None if quality is None else _check_quality(quality, "nn_jpeg")
        self._set_up(tables, checked, gradient, precision)

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "subsampling" not in state:  # of version 0.1.0
            state = state | {"subsampling": "4:4:4", "_tables": self._tables_of(state["qtable"], state["quality"])}
            del state["_at_quality"]
        super().__setstate__(state)

    def _draw(self, images: list[Any], hidden: bool | None = None) -> Any:
        if not isinstance(self.quality, tuple):
            return None
        device = [*(i.device for i in images if isinstance(i, Tensor)), torch.device("cpu")][0]
        draws = _drawn(self.quality, (max([_count(i) for i in images], default=0),), device)
        # As an array where they may be had without waiting.
        return draws if device.type != "cpu" or values_are_hidden() else draws.numpy()

    def table(self) -> QTable | tuple[QTable, ...]:
        """The table that is used now, or the tables, one for each component, at the quality if that is a number.

        Returns
        -------
        QTable or tuple of QTable

        Raises
        ------
        ValueError
            If the parameter holds NaN.
        """
        tables = self._present()
        return tables[0] if len(tables) == 1 else tables

    def extra_repr(self) -> str:
        """One argument a line, so that the table stays a grid."""
        return (
            f"qtable={self.qtable!r},\nquality={self.quality!r}, colorspace={self.colorspace!r}, "
            f"subsampling={self.subsampling!r}, gradient={self.gradient!r}, precision={self.precision!r}"
            + (f", components={self.components}" if self.components is not None else "")
            + (", learn=True" if self.learn else "")
        )


class JPEG(_Transform):
    """Compress and decompress images as ordinary JPEG.

    The bits of `torchvision.transforms.v2.JPEG`, without the file: YCbCr 4:2:0 with the tables of ITU-T T.81 scaled by
    the Independent JPEG Group's rule, which is the default of Pillow, OpenCV and libjpeg itself. Besides what
    torchvision's transforms, it takes tensors on any device, floats in [0, 1] with a gradient, and, where a sample has
    neither a typed image nor a plain tensor, an ndarray; it can be a model's layer. PIL images are L or RGB: CMYK and
    bilevel ones, which torchvision codes too, are refused. Draws are torchvision's too: from torch's generator for the
    CPU, one in each call, even if the quality is fixed, so that a transform after it draws what it would draw there.
    (Under `torch.compile`, where random numbers are the compiler's own, a fixed quality draws nothing.)

    Parameters
    ----------
    quality : number or (low, high)
        1..100. A pair is a range to draw from: whole numbers, both ends included, or real ones if an end is a float.
    per_image : bool
        Draw one quality for each image of a batch (each clip of a video), as if torchvision's were called for each. By
        default all images of a call share one.
    gradient : {"straight-through", "cubic", "none"}
        Of float tensors; see `nnjpeg.ops.roundtrip`.
    precision : {"uint8", "float"}
        Of float tensors; see `nnjpeg.ops.roundtrip`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; when called, as `jpeg`.

    Examples
    --------
    >>> v2.Compose([v2.RandomResizedCrop(224), JPEG((30, 95)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    """

    colorspace, subsampling = "ycbcr", "4:2:0"

    def __init__(
        self,
        quality: float | tuple[float, float],
        per_image: bool = False,
        *,
        gradient: Gradient = "straight-through",
        precision: Precision = "uint8",
    ) -> None:
        super().__init__()
        self.per_image = flag("per_image", per_image)
        self._set_up(_IJG, _check_quality(quality, "jpeg"), gradient, precision)

    def _first_untyped(self, flat_inputs: list[Any]) -> Any:
        tensor = next((i for i in flat_inputs if is_pure_tensor(i)), None)
        return super()._first_untyped(flat_inputs) if tensor is None else tensor

    def _draw(self, images: list[Any], hidden: bool | None = None) -> Any:
        hidden, between = values_are_hidden() if hidden is None else hidden, self.quality
        fixed = not isinstance(between, tuple)
        if fixed and hidden:
            return None
        if fixed and not self.per_image:
            _THROWN_AWAY.random_(1, 2)  # as `_drawn` draws, into memory that is there
            return None
        shape = (max([_count(i) for i in images], default=0),) if self.per_image else ()
        draws = _drawn((1, 1) if fixed else between, shape, _CPU)
        if fixed:
            return None
        if self.per_image:
            return draws if hidden else draws.numpy()
        return draws.reshape(1) if hidden else draws.item()

    def extra_repr(self) -> str:
        """The arguments."""
        per_image = ", per_image=True" if self.per_image else ""
        return f"quality={self.quality!r}{per_image}, gradient={self.gradient!r}, precision={self.precision!r}"


_CPU = torch.device("cpu")
with torch.inference_mode(False):  # or nobody could write to it outside of that mode
    _THROWN_AWAY = torch.zeros((), dtype=torch.int64, device=_CPU)


def _drawn(between: tuple[float, float], shape: tuple[int, ...], device: torch.device) -> Tensor:
    low, high = between
    if isinstance(low, int) and isinstance(high, int):
        return torch.randint(low, high + 1, shape, device=device)
    if ops.is_exported_to_onnx():  # which has a node for this, but none for the other
        return low + (high - low) * torch.rand(shape, device=device)
    return torch.empty(shape, dtype=torch.float32, device=device).uniform_(low, high)


def _check_quality(quality: Any, function: str) -> float | tuple[float, float]:
    """A quality or a range; `function` takes one for each image."""
    accepted = "quality must be a number in 1..100, or a pair (low, high) of these to draw from"
    if isinstance(quality, (np.ndarray, Tensor)) and quality.ndim:
        raise TypeError(f"{accepted}, got {quality!r}; nnjpeg.transforms.{function} takes one for each image")
    if not isinstance(quality, (tuple, list)):
        return number("quality", quality, 1, 100)
    if len(quality) != 2:
        raise ValueError(
            f"{accepted}, got {quality!r}; nnjpeg.transforms.{function} takes one for each image, as an array"
        )
    low, high = (number("quality", q, 1, 100) for q in quality)
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
