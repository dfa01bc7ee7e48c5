"""Defences to compare: what an image goes through before a model sees it.

A defence's transform is one function from bytes to bytes, uint8 (B, 3, H, W) to the same; `Defended` puts it before a
model. An attack goes through any of them as BPDA does: the transform itself forward, the identity backward. A user's
own defence is one such function.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from nnjpeg import codec
from nnjpeg.qtable import NN_TABLE, QTable
from nnjpeg.robust.attacks import to_bytes
from nnjpeg.robust.frequency import FrequencyStatistics
from nnjpeg.robust.objectives import jpeg
from nnjpeg.transforms import nn_jpeg

__all__ = [
    "CropRescale", "Defended", "Held", "Quilting", "Transform", "bit_depth", "deepn_table", "feature_distillation",
    "local_quantization", "named", "pillow_jpeg", "tvm",
]  # fmt: skip

Transform = Callable[[Tensor], Tensor]


class _Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, transform: Transform) -> Tensor:
        pixels = transform(to_bytes(images).cpu())
        if not isinstance(pixels, Tensor) or pixels.dtype != torch.uint8 or pixels.shape != images.shape:
            what = f"{pixels.dtype} {tuple(pixels.shape)}" if isinstance(pixels, Tensor) else type(pixels).__name__
            raise TypeError(f"transform must return uint8 {tuple(images.shape)}, as it was given, got {what}")
        return pixels.to(images.device) / 255

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class Defended(nn.Module):
    """A model that sees its images through a transform of bytes.

    Parameters
    ----------
    model : Module
        From float images in [0, 1], (B, 3, H, W), to logits.
    transform : callable, optional
        From uint8 (B, 3, H, W) on the CPU to the same.

    Raises
    ------
    TypeError
        When called, if the transform returns something else.
    """

    def __init__(self, model: nn.Module, transform: Transform | None = None) -> None:
        super().__init__()
        self.model, self.transform = model, transform

    def forward(self, images: Tensor) -> Tensor:
        """Float images in [0, 1] to logits; they are rounded to 8 bits where there is a transform."""
        return self.model(images if self.transform is None else _Straight.apply(images, self.transform))


def pillow_jpeg(pixels: Tensor, quality: int = 75) -> Tensor:
    """Libjpeg by Pillow: standard tables, YCbCr, 4:2:0."""
    results = []
    for image in pixels:
        file = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
        results.append(torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1))
    return torch.stack(results)


def feature_distillation(pixels: Tensor) -> Tensor:
    """Feature Distillation (Liu et al., CVPR 2019), as in the released code.

    On each of R, G and B the orthonormal DCT of samples in 0..255 without level shift, steps of 25 in the top left 4x4
    and of 30 elsewhere. Rounded to 8 bits at the end, which theirs is not.
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


def local_quantization(
    pixels: Tensor, qualities: Sequence[int] = (20, 40, 60, 80), generator: torch.Generator | None = None
) -> Tensor:
    """SHIELD's stochastic local quantization (Das et al., 2018): each 8x8 patch from JPEG of a quality drawn for it.

    JPEG here is 4:4:4, theirs 4:2:0.
    """
    choices = torch.stack([jpeg(quality)(pixels) for quality in qualities])
    count, _, height, width = pixels.shape
    drawn = torch.randint(len(qualities), (count, 1, -(-height // 8), -(-width // 8)), generator=generator)
    drawn = drawn.repeat_interleave(8, 2).repeat_interleave(8, 3)[..., :height, :width]
    return choices.gather(0, drawn.expand_as(pixels)[None])[0]


def bit_depth(pixels: Tensor, bits: int = 3) -> Tensor:
    """Samples of fewer bits (Guo et al., ICLR 2018; 3 bits), spread over 0..255."""
    levels = 2**bits - 1
    return to_bytes((pixels / 255 * levels).round() / levels)


_GROUP = 40  # patches that are first compared by their nearest alone


class Quilting:
    """Image quilting (Guo et al., ICLR 2018): an image made of patches of others.

    Each patch of a grid is replaced by one of those nearest to it, drawn at random (one of 10, as Athalye et al.,
    2018, have it); neighbours overlap, and are joined along the cheapest seam (Efros and Freeman, 2001).

    Parameters
    ----------
    photos : Tensor
        uint8 (N, 3, H, W): where patches are taken from, at random places. Not images that are to be defended, which
        would be put together again from their own.
    patches : int
        How many. The authors have a million.
    size, overlap : int
        Pixels.
    nearest : int
        Among how many one is drawn.
    generator : torch.Generator, optional
        Of that draw; by default torch's.
    seed : int
        Of the places.

    Raises
    ------
    ValueError
        If the images are smaller than a patch.
    """

    def __init__(
        self, photos: Tensor, patches: int = 10_000, *, size: int = 5, overlap: int = 2, nearest: int = 10,
        generator: torch.Generator | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        height, width = photos.shape[2:]
        if min(height, width) < size or not len(photos):
            raise ValueError(f"photos must be images of at least {size}x{size} pixels, got {tuple(photos.shape)}")
        places = torch.Generator().manual_seed(seed)
        of, y, x = (
            torch.randint(extent, (patches,), generator=places)
            for extent in (len(photos), height - size + 1, width - size + 1)
        )
        across = torch.arange(size)
        rows, columns = (y[:, None] + across)[:, :, None], (x[:, None] + across)[:, None, :]
        found = photos.permute(0, 2, 3, 1)[of[:, None, None], rows, columns]  # patches, y, x, component
        self.patches = found.permute(0, 3, 1, 2).reshape(patches, -1).contiguous()
        self.size, self.overlap, self.nearest, self.generator = size, overlap, min(nearest, patches), generator

    def __call__(self, pixels: Tensor) -> Tensor:
        """From uint8 (B, 3, H, W) to the same."""
        height, width = pixels.shape[2:]
        stride = self.size - self.overlap
        down, right = (
            self.size - extent if extent < self.size else (self.overlap - extent) % stride for extent in (height, width)
        )
        padded = functional.pad(pixels.float(), (0, right, 0, down), mode="replicate")
        wanted = functional.unfold(padded, self.size, stride=stride)  # B, 3 * size * size, places
        chosen = self.patches[self._near(wanted.transpose(1, 2).flatten(0, 1))].float()
        columns = (padded.shape[3] - self.overlap) // stride
        chosen = chosen.reshape(len(pixels), -1, columns, 3, self.size, self.size)
        return to_bytes(_quilt(chosen, self.overlap)[..., :height, :width] / 255)

    def _near(self, wanted: Tensor) -> Tensor:
        """For each row of `wanted`, the number of one of the nearest patches."""
        known = functional.pad(self.patches.float(), (0, 0, 0, -len(self.patches) % _GROUP))
        half = (known**2).sum(1) / 2
        half[len(self.patches) :] = torch.inf
        drawn = torch.randint(self.nearest, (len(wanted), 1), generator=self.generator)
        # The nearest are in the groups whose own nearest are nearest: a search of those alone.
        few = min(self.nearest, len(known) // _GROUP)
        found = []
        for part, k in zip(wanted.split(256), drawn.split(256), strict=True):
            distance = torch.addmm(half, part, known.T, alpha=-1).unflatten(1, (_GROUP, -1))
            groups = distance.amin(1).topk(few, largest=False, sorted=False).indices[:, None].expand(-1, _GROUP, -1)
            near = distance.gather(2, groups).flatten(1).topk(self.nearest, largest=False).indices.gather(1, k)
            group = groups[:, 0].gather(1, near % few)
            found.append(near // few * (len(known) // _GROUP) + group)
        return torch.cat(found)[:, 0]


def _quilt(patches: Tensor, overlap: int) -> Tensor:
    """Patches (B, rows, columns, 3, size, size), joined to images: each cuts into those above and to its left."""
    count, rows, columns, components, size, _ = patches.shape
    stride = size - overlap
    width = overlap + columns * stride
    canvas = patches.new_zeros(count, components, (overlap + rows * stride) * width)
    across = torch.arange(size)
    # Those of one front touch none of each other, and all that they are laid upon is there.
    for front in range(columns + 2 * rows - 2):
        row = torch.arange(max(0, (front - columns + 2) // 2), min(rows - 1, front // 2) + 1)
        column = front - 2 * row
        y, x = row[:, None] * stride + across, column[:, None] * stride + across
        place = y[:, :, None] * width + x[:, None, :]
        old, new = canvas[:, :, place], patches[:, row, column].transpose(1, 2)
        error = ((old - new) ** 2).sum(1)
        take = torch.ones_like(error, dtype=torch.bool)
        beside, below = _seam(error[..., :overlap].flatten(0, 1)), _seam(error[:, :, :overlap].mT.flatten(0, 1)).mT
        take[..., :overlap] &= beside.unflatten(0, error.shape[:2]) | (column == 0)[:, None, None]
        take[:, :, :overlap] &= below.unflatten(0, error.shape[:2]) | (row == 0)[:, None, None]
        canvas[:, :, place] = torch.where(take[:, None], new, old)
    return canvas.unflatten(2, (-1, width))


def _seam(error: Tensor) -> Tensor:
    """Where the new patch is taken: from the cheapest path down `error` (B, length, overlap) on, to the right."""
    costs = [error[:, 0]]
    for line in error.unbind(1)[1:]:
        before = functional.pad(costs[-1], (1, 1), value=torch.inf)
        costs.append(line + torch.stack([before[:, :-2], before[:, 1:-1], before[:, 2:]]).amin(0))
    at = costs[-1].argmin(1, keepdim=True)
    path = [at]
    places = torch.arange(error.shape[2], device=error.device)
    for cost in costs[-2::-1]:
        at = cost.masked_fill((places - at).abs() > 1, torch.inf).argmin(1, keepdim=True)
        path.append(at)
    return places >= torch.stack(path[::-1], 1)


class Held(nn.Module):
    """A random defence, drawing the same each time: what of its robustness is the draws being unknown.

    Parameters
    ----------
    model : Module
        It draws from torch's own generator of the CPU, which is put back afterwards.
    seed : int
        Of the draws.
    """

    def __init__(self, model: nn.Module, seed: int = 0) -> None:
        super().__init__()
        self.model, self.seed = model, seed

    def forward(self, images: Tensor) -> Tensor:
        """As the model's."""
        with torch.random.fork_rng(devices=[]):
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


def named(
    benign: Tensor | None = None, table: QTable = NN_TABLE, donors: Tensor | None = None
) -> dict[str, Transform | None]:
    """The transforms that the report compares, by name; None is no transform.

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
        "JPEG 75": pillow_jpeg,
        "JPEG 75, 4:4:4": jpeg(75),
        "Feature Distillation": feature_distillation,
        "TVM": tvm,
        "SHIELD SLQ": local_quantization,
        "bit depth 3": bit_depth,
        "NN-JPEG": lambda pixels: nn_jpeg(pixels, table),
    }
    if benign is not None:
        deepn = deepn_table(FrequencyStatistics.of([benign]))
        found["DeepN-JPEG"] = lambda pixels: nn_jpeg(pixels, deepn, colorspace="ycbcr")
    if donors is not None:
        found["image quilting"] = Quilting(donors)
    return found
