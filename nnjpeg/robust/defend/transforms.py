"""Defences to compare: transforms of an image before a model sees it.

A defence's transform is a function from bytes to bytes, uint8 (B, 3, H, W) to the same, or a layer of float images;
`Defended` puts it in front of a model. A user's own defence is one such function. An attack goes through a function as
BPDA does: the transform itself forward, the identity backward. Through a compression it can also go by the gradient of
a smooth rounding: `with_gradient` switches every compression of a defence, whose results stay what they are.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nnjpeg import codec, ops
from nnjpeg.qtable import NN_TABLE, QTable
from nnjpeg.robust.attack.gradients import to_bytes
from nnjpeg.robust.defend import smooth as smoothed
from nnjpeg.robust.defend.quilting import Quilting
from nnjpeg.robust.frequency import FrequencyStatistics
from nnjpeg.robust.record.store import digest
from nnjpeg.transforms import JPEG, NNJpeg

__all__ = [
    "ByteTransform", "CropRescale", "Defended", "Gradient", "Held", "LocalQuantization", "Quilting", "Transform",
    "behind", "bit_depth", "deepn_table", "feature_distillation", "has_smooth", "identity_of", "jpeg", "named",
    "plain_jpeg", "tvm", "with_gradient",
]  # fmt: skip

Transform = Callable[[Tensor], Tensor]

Gradient = Literal["identity", "smooth", "none"]
"""How a gradient goes through a transform that has none of its own: as if it were not there, by a smooth one in its
place, or not at all."""

_OF_LAYERS: dict[Gradient, ops.Gradient] = {"identity": "straight-through", "smooth": "cubic", "none": "none"}


# Transforms before models


class ByteTransform(nn.Module):
    """A transform of bytes as a layer of float images, with a selectable gradient.

    Its result is always that of the transform, as n / 255; the attribute `gradient` decides about the gradient alone,
    and may be changed at any time (see `with_gradient`).

    Parameters
    ----------
    transform : callable
        From uint8 (B, 3, H, W) on the CPU to the same.
    smooth : callable, optional
        What is differentiated in its place with ``gradient="smooth"``: from float images (B, 3, H, W) in [0, 1] to the
        same, in differentiable operations. What it draws from torch's generator of the CPU is what `transform` drew.
    gradient : {"identity", "smooth", "none"}
        "identity": that of the result goes on to the images as it is (BPDA). "smooth": the exact one of `smooth` at
        the images.

    Raises
    ------
    TypeError
        When called, if images are not float, or the transform returns something else than it was given.
    ValueError
        If `gradient` is none of these, or there is no `smooth` for it; the latter also when called.
    """

    def __init__(
        self, transform: Transform, smooth: Transform | None = None, *, gradient: Gradient = "identity"
    ) -> None:
        super().__init__()
        _check(gradient)
        self.transform, self.smooth, self.gradient = transform, smooth, gradient
        if gradient == "smooth":
            self._differentiable()

    def forward(self, images: Tensor) -> Tensor:
        """Round float images in [0, 1] to bytes and transform them."""
        if not images.is_floating_point():
            raise TypeError(f"images must be float in [0, 1], got {images.dtype}")
        before = torch.get_rng_state()
        pixels = self.transform(to_bytes(images.detach()).cpu())
        if not isinstance(pixels, Tensor) or pixels.dtype != torch.uint8 or pixels.shape != images.shape:
            what = f"{pixels.dtype} {tuple(pixels.shape)}" if isinstance(pixels, Tensor) else type(pixels).__name__
            raise TypeError(f"transform must return uint8 {tuple(images.shape)}, as it was given, got {what}")
        result = pixels.to(images.device, images.dtype) / 255
        if self.gradient == "none" or not (torch.is_grad_enabled() and images.requires_grad):
            return result
        if self.gradient == "identity":
            return _InPlaceOf.apply(images, result)
        # What comes after draws the same whether there is a gradient or not.
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(before)
            return _InPlaceOf.apply(self._differentiable()(images), result)

    def _differentiable(self) -> Transform:
        if self.smooth is None:
            raise ValueError("gradient must be 'identity' or 'none' without smooth, got 'smooth'")
        return self.smooth


class _InPlaceOf(torch.autograd.Function):
    """Returns the second argument, with the gradient of the first."""

    @staticmethod
    def forward(ctx: Any, differentiable: Tensor, result: Tensor) -> Tensor:
        return result.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class Defended(nn.Module):
    """A model that sees its images through a transform.

    Parameters
    ----------
    model : Module
        From float images in [0, 1], (B, 3, H, W), to logits.
    transform : callable, optional
        A function from uint8 (B, 3, H, W) on the CPU to the same, whose gradient is the identity. Or a module from
        float images in [0, 1] to the same, which has its own: `NNJpeg`, `ByteTransform`, or any other.

    Raises
    ------
    TypeError
        When called, if a function returns something else.
    """

    def __init__(self, model: nn.Module, transform: Transform | None = None) -> None:
        super().__init__()
        self.model = model
        if not (transform is None or isinstance(transform, nn.Module)):
            transform = ByteTransform(transform)
        self.transform = transform

    def forward(self, images: Tensor) -> Tensor:
        """Map float images in [0, 1] to logits; a transform that is a function gets them rounded to 8 bits."""
        return self.model(images if self.transform is None else self.transform(images))


def behind(model: nn.Module, quality: int | None, table: QTable = NN_TABLE) -> nn.Module:
    """A model behind NN-JPEG of a quality, on bytes; the model itself if the quality is None."""
    return model if quality is None else nn.Sequential(NNJpeg(table, quality=quality), model)


@contextlib.contextmanager
def with_gradient(model: nn.Module, gradient: Gradient) -> Iterator[None]:
    """Context in which gradients pass all transforms of a model in one way; its results stay the same.

    Parameters
    ----------
    model : Module
        Every `NNJpeg`, `JPEG` and `ByteTransform` in it is switched, and put back in the end.
    gradient : {"identity", "smooth", "none"}
        As for `ByteTransform`; "identity" is the "straight-through" of `NNJpeg` and `JPEG`, "smooth" their "cubic".
        With "smooth", transforms that have no smooth rounding take the identity.

    Raises
    ------
    ValueError
        If `gradient` is none of these.
    """
    _check(gradient)
    layers = [layer for layer in model.modules() if isinstance(layer, (NNJpeg, JPEG, ByteTransform))]
    before = [layer.gradient for layer in layers]
    try:
        for layer in layers:
            if isinstance(layer, (NNJpeg, JPEG)):
                layer.gradient = _OF_LAYERS[gradient]
            else:
                layer.gradient = "identity" if gradient == "smooth" and layer.smooth is None else gradient
        yield
    finally:
        for layer, kept in zip(layers, before, strict=True):
            layer.gradient = kept


def has_smooth(model: nn.Module) -> bool:
    """Whether a model has transforms with a smooth rounding, so that `with_gradient` changes its gradients."""
    return any(
        isinstance(layer, (NNJpeg, JPEG)) or (isinstance(layer, ByteTransform) and layer.smooth is not None)
        for layer in model.modules()
    )


def identity_of(model: nn.Module) -> str:
    """A digest of what results of a defence depend on: its weights, and the arguments of `NNJpeg` and `JPEG` in it."""
    weights = digest(*model.state_dict().values())
    layers = [repr(layer) for layer in model.modules() if isinstance(layer, (NNJpeg, JPEG))]
    return hashlib.sha256(json.dumps([weights, *layers]).encode()).hexdigest() if layers else weights


def _check(gradient: str) -> None:
    if gradient not in get_args(Gradient):
        raise ValueError(f"gradient must be one of {', '.join(map(repr, get_args(Gradient)))}, got {gradient!r}")


class Held(nn.Module):
    """A random defence with its draws held fixed: shows how much robustness depends on unknown draws.

    Parameters
    ----------
    model : Module
        It draws from torch's own generators, of the CPU and of the images' device, which are put back afterwards.
    seed : int
        Of the draws.
    """

    def __init__(self, model: nn.Module, seed: int = 0) -> None:
        super().__init__()
        self.model, self.seed = model, seed

    def forward(self, images: Tensor) -> Tensor:
        """As the model's."""
        with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
            torch.manual_seed(self.seed)
            return self.model(images)


class CropRescale(nn.Module):
    """The mean softmax over random crops, each rescaled to the whole (Guo et al., ICLR 2018): 30 of 90 from 224.

    Parameters
    ----------
    model : Module
        From float images in [0, 1] to logits.
    crops : int
        How many.
    share : float
        The side of a crop, as a share of the image's.
    """

    def __init__(self, model: nn.Module, crops: int = 30, share: float = 90 / 224) -> None:
        super().__init__()
        self.model, self.crops, self.share = model, crops, share

    def forward(self, images: Tensor) -> Tensor:
        """The logarithm of the mean softmax."""
        height, width = images.shape[2:]
        sides = [max(round(extent * self.share), 1) for extent in (height, width)]
        total: list[Tensor] = []
        for _ in range(self.crops):
            y, x = (
                int(torch.randint(extent - side + 1, ())) for extent, side in zip((height, width), sides, strict=True)
            )
            crop = images[:, :, y : y + sides[0], x : x + sides[1]]
            total.append(self.model(functional.interpolate(crop, (height, width), mode="bilinear")).log_softmax(1))
        return torch.stack(total).logsumexp(0) - float(np.log(self.crops))


# The transforms


def jpeg(quality: int, **options: Any) -> NNJpeg:
    """Ordinary JPEG, 4:4:4: the standard tables in YCbCr. `options` are `NNJpeg`'s."""
    luma, chroma = QTable.standard_luminance(), QTable.standard_chrominance()
    return NNJpeg([luma, chroma, chroma], quality=quality, colorspace="ycbcr", **options)


def plain_jpeg(quality: int, **options: Any) -> NNJpeg:
    """Ordinary JPEG as on the web, 4:2:0. (`JPEG` has the same result, but draws a random number in each call.)"""
    return jpeg(quality, subsampling="4:2:0", **options)


def feature_distillation(pixels: Tensor) -> Tensor:
    """Feature Distillation (Liu et al., CVPR 2019), as in the released code.

    The orthonormal DCT of each of R, G and B in 0..255, without level shift, with steps of 25 in the top left 4x4 and
    of 30 elsewhere. The result is rounded to 8 bits, which the released code does not do.
    """
    steps = np.asarray(QTable.feature_distillation(), dtype=np.float32)
    coefficients = np.rint(codec.dct(pixels.numpy(), layout="NCHW") / steps) * steps
    samples = codec.idct(coefficients, size=(pixels.shape[2], pixels.shape[3]), layout="NCHW")
    return torch.from_numpy((samples.clip(0, 255) + 0.5).astype(np.uint8))


def deepn_table(
    statistics: FrequencyStatistics,
    steps: Sequence[float] = (5, 20, 60, 100),
    bands: Sequence[int] = (0, 6, 28, 63),
) -> QTable:
    """A table in the manner of DeepN-JPEG (Liu et al., DAC 2018): steps that fall with a band's deviation.

    The step of a band is piecewise linear in the logarithm of the deviation of its coefficients. The authors did not
    release their constants; these knots are ours.

    Parameters
    ----------
    statistics : FrequencyStatistics
        Of benign images; luma counts.
    steps : sequence of float
        At the knots, from the band that deviates most to the one that deviates least.
    bands : sequence of int
        Where the knots are: ranks of bands by falling deviation, from 0 to 63.
    """
    deviation = np.log(statistics.deviations[3].clip(1e-6))
    knots = np.sort(deviation.ravel())[::-1][list(bands)]
    step = np.interp(deviation, knots[::-1], list(steps)[::-1])
    return QTable(np.rint(step).astype(int).clip(1, 255))


def tvm(
    pixels: Tensor, weight: float = 0.03, keep: float = 0.5, rounds: int = 4, generator: torch.Generator | None = None
) -> Tensor:
    """Total variation minimisation on randomly chosen pixels (Guo et al., ICLR 2018), by scikit-image.

    Minimises ``|kept * (z - x)|^2 / 2 + weight TV(z)``, isotropic, over images of 0..1. The masked problem is solved by
    repeated denoising with dropped pixels filled from the last result, at first from the kept ones around them; the
    authors' own solver takes the mask directly, with 0.03 and at most 100 iterations.

    Parameters
    ----------
    pixels : Tensor
        uint8 (B, 3, H, W).
    weight : float
        Of the total variation.
    keep : float
        The probability that a pixel is kept.
    rounds : int
        Of denoising, at most 25 iterations each: with 4, no more than theirs.
    generator : torch.Generator, optional
        Of the mask; by default torch's.
    """
    from skimage.filters import gaussian
    from skimage.restoration import denoise_tv_chambolle

    results = []
    for image in pixels:
        x = image.permute(1, 2, 0).numpy() / 255
        kept = (torch.rand(x.shape[:2], generator=generator) < keep).numpy()[..., None]
        near, around = (gaussian(y, 1, channel_axis=-1) for y in (kept.astype(float), x * kept))
        z = around / near.clip(1e-9)
        for _ in range(rounds):
            z = denoise_tv_chambolle(np.where(kept, x, z), weight=weight, max_num_iter=25, channel_axis=-1)
        results.append(to_bytes(torch.from_numpy(z).permute(2, 0, 1)))
    return torch.stack(results)


class LocalQuantization(nn.Module):
    """SHIELD's stochastic local quantization (Das et al., 2018): each 8x8 patch has JPEG of a randomly drawn quality.

    JPEG here is 4:4:4, theirs 4:2:0. Draws are from torch's generator of the CPU. The gradient is that of each patch's
    own compression.

    Parameters
    ----------
    qualities : sequence of int
        1..100, equally likely.

    Raises
    ------
    ValueError
        If there are none, or one is out of range.
    """

    def __init__(self, qualities: Sequence[int] = (20, 40, 60, 80)) -> None:
        super().__init__()
        if not qualities:
            raise ValueError("qualities must not be empty")
        self.layers = nn.ModuleList(jpeg(quality) for quality in qualities)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W), float in [0, 1] or uint8, to the same."""
        choices = torch.stack([layer(images) for layer in self.layers])
        count, _, height, width = images.shape
        drawn = torch.randint(len(self.layers), (count, 1, -(-height // 8), -(-width // 8))).to(images.device)
        drawn = drawn.repeat_interleave(8, 2).repeat_interleave(8, 3)[..., :height, :width]
        return choices.gather(0, drawn.expand_as(images)[None])[0]


def bit_depth(pixels: Tensor, bits: int = 3) -> Tensor:
    """Samples of fewer bits (Guo et al., ICLR 2018; 3 bits), spread over 0..255."""
    levels = 2**bits - 1
    return to_bytes((pixels / 255 * levels).round() / levels)


# What the report compares


def named(
    benign: Tensor | None = None, table: QTable = NN_TABLE, donors: Tensor | None = None
) -> dict[str, Transform | None]:
    """The transforms that the report compares, by name, each as `Defended` takes it; None is no transform.

    Compressions are modules, whose gradient `with_gradient` switches; the others are functions of bytes.

    Parameters
    ----------
    benign : Tensor, optional
        uint8 (N, 3, H, W): images that DeepN-JPEG's table is made from; without them it is left out.
    table : QTable
        NN-JPEG's.
    donors : Tensor, optional
        Other images, uint8 (N, 3, H, W), that image quilting takes its patches from; without them it is left out.
    """
    found: dict[str, Transform | None] = {
        "none": None,
        "jpeg": plain_jpeg(75),
        "jpeg-444": jpeg(75),
        "feature-distillation": ByteTransform(feature_distillation, smoothed.feature_distillation),
        "tvm": tvm,
        "shield": LocalQuantization(),
        "bit-depth": bit_depth,
        "nn-jpeg": NNJpeg(table),
    }
    if benign is not None:
        found["deepn"] = NNJpeg(deepn_table(FrequencyStatistics.of([benign])), colorspace="ycbcr")
    if donors is not None:
        found["quilting"] = Quilting(donors)
    return found
