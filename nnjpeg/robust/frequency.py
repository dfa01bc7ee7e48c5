"""Frequency statistics: section 3.1 of the paper, Figures 2 and 3.

The standard deviation of each of the 64 DCT coefficients, for images and for adversarial perturbations, in R, G, B, Y,
Cb and Cr. Their ratio, delta', is small where an image has more to say than a perturbation, and orders the bands.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnjpeg import atomic, codec
from nnjpeg.robust.record import distributed

__all__ = ["COMPONENTS", "FrequencyStatistics", "band_order", "deviation_ratio"]

COMPONENTS = ("R", "G", "B", "Y", "Cb", "Cr")

# JFIF, without its roundings: Y, Cb, Cr from R, G, B; the offset of chroma moves no deviation.
_TO_YCBCR = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.299 / 1.772, -0.587 / 1.772, (1 - 0.114) / 1.772],
        [(1 - 0.299) / 1.402, -0.587 / 1.402, -0.114 / 1.402],
    ]
)


_CHUNK = 4  # images


class FrequencyStatistics:
    """Count, sum and sum of squares of the DCT coefficients of a stream of images, or of differences of images.

    Coefficients are those of the orthonormal 8x8 DCT of samples in 0..255, by the C core in single precision; sums are
    kept in double precision. An image is cropped to whole blocks at its right and bottom. Statistics of parts of the
    data can be added.

    Parameters
    ----------
    subsample : bool
        Whether Cb and Cr are halved in both directions before the DCT (means of 2x2 pixels), as in 4:2:0 JPEG.
    """

    def __init__(self, *, subsample: bool = False) -> None:
        self.subsample = subsample
        self.count = np.zeros(len(COMPONENTS), np.int64)
        """Blocks seen, by component."""
        self.total = np.zeros((len(COMPONENTS), 8, 8))
        """Sums of coefficients."""
        self.squares = np.zeros((len(COMPONENTS), 8, 8))
        """Sums of their squares."""

    def update(self, images: Tensor | npt.NDArray[Any], minus: Tensor | npt.NDArray[Any] | None = None) -> None:
        """Add a batch of images, or of differences.

        Parameters
        ----------
        images : Tensor or ndarray
            Shape (B, 3, H, W), or (B, H, W, 3) for an array; uint8, or float in [0, 1]. H and W at least 8 (16 with
            `subsample`).
        minus : Tensor or ndarray, optional
            What to subtract first: the originals of adversarial images.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above, or not finite.
        """
        samples = _samples("images", images)
        originals = None if minus is None else _samples("minus", minus)
        if originals is not None and originals.shape != samples.shape:
            raise ValueError(f"minus must have the shape of images, {samples.shape}, got {originals.shape}")
        unit = 16 if self.subsample else 8
        if min(samples.shape[2:]) < unit:
            raise ValueError(f"images must be at least {unit} pixels high and wide, got {samples.shape[2:]}")
        # A few at a time: their coefficients then stay in the cache, which doubles the speed.
        for start in range(0, len(samples), _CHUNK):
            part = _in_bytes(samples[start : start + _CHUNK])
            if originals is not None:
                part = part - _in_bytes(originals[start : start + _CHUNK])
            self._update(part[:, :, : part.shape[2] // unit * unit, : part.shape[3] // unit * unit])

    def _update(self, samples: npt.NDArray[np.float32]) -> None:
        rgb = _coefficients(samples)
        chroma = rgb
        if self.subsample:
            n, c, height, width = samples.shape
            pooled = samples.reshape(n, c, height // 2, 2, width // 2, 2).mean((3, 5), dtype=np.float32)
            chroma = _coefficients(pooled)
        self._add(slice(0, 3), rgb)
        # The DCT is linear: that of Y is the mixture of those of R, G and B.
        self._add(slice(3, 4), np.einsum("yc,cnk->ynk", _TO_YCBCR[:1].astype(np.float32), rgb))
        self._add(slice(4, 6), np.einsum("yc,cnk->ynk", _TO_YCBCR[1:].astype(np.float32), chroma))

    def _add(self, components: slice, coefficients: npt.NDArray[np.float32]) -> None:
        """coefficients: (components, blocks, 64)."""
        self.count[components] += coefficients.shape[1]
        self.total[components] += coefficients.sum(1, dtype=np.float64).reshape(-1, 8, 8)
        squares = np.einsum("cnk,cnk->ck", coefficients, coefficients, dtype=np.float64)
        self.squares[components] += squares.reshape(-1, 8, 8)

    @property
    def deviations(self) -> npt.NDArray[np.float64]:
        """The standard deviation of each coefficient: (6, 8, 8), vertical frequency first; components as `COMPONENTS`.

        Raises
        ------
        ValueError
            If nothing has been added yet.
        """
        if not self.count.all():
            raise ValueError("no images have been added yet")
        n = self.count[:, None, None]
        return np.sqrt(np.maximum(self.squares / n - (self.total / n) ** 2, 0))

    def __add__(self, other: FrequencyStatistics) -> FrequencyStatistics:
        if not isinstance(other, FrequencyStatistics):
            return NotImplemented
        if self.subsample != other.subsample:
            raise ValueError("statistics with and without subsampled chroma cannot be added")
        result = FrequencyStatistics(subsample=self.subsample)
        for name in ("count", "total", "squares"):
            setattr(result, name, getattr(self, name) + getattr(other, name))
        return result

    def all_reduce(self) -> None:
        """Add up the statistics of all processes of torchrun, in each of them; nothing where there is one."""
        if distributed.world_size() == 1:
            return
        device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
        for array in (self.count, self.total, self.squares):
            tensor = torch.from_numpy(array).to(device)
            torch.distributed.all_reduce(tensor)
            array[...] = tensor.cpu().numpy()

    def save(self, path: str | PathLike[str]) -> None:
        """Write an .npz file, atomically."""
        buffer = io.BytesIO()
        np.savez(buffer, subsample=self.subsample, count=self.count, total=self.total, squares=self.squares)
        atomic.write(path, buffer.getvalue())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> FrequencyStatistics:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file is something else.
        """
        try:
            with np.load(path) as data:
                result = cls(subsample=bool(data["subsample"]))
                for name in ("count", "total", "squares"):
                    array = data[name]
                    if array.shape != getattr(result, name).shape:
                        raise ValueError(f"{name} of shape {array.shape}")
                    setattr(result, name, array)
        except (KeyError, ValueError, EOFError) as error:
            raise ValueError(f"{path}: not a file of frequency statistics ({error})") from None
        return result

    @classmethod
    def of(cls, batches: Iterable[Any], *, subsample: bool = False) -> FrequencyStatistics:
        """The statistics of all batches of an iterable, such as a DataLoader: images, or (images, ...)."""
        result = cls(subsample=subsample)
        for batch in batches:
            result.update(batch[0] if isinstance(batch, (tuple, list)) else batch)
        return result


def _samples(name: str, images: Tensor | npt.NDArray[Any]) -> npt.NDArray[Any]:
    """As an array (B, 3, H, W) of bytes, or of floats in [0, 1]."""
    if isinstance(images, Tensor):
        array = images.detach().cpu().numpy()
    elif isinstance(images, np.ndarray):
        array = images
        if images.ndim == 4 and images.shape[-1] == 3 != images.shape[1]:
            array = images.transpose(0, 3, 1, 2)
    else:
        raise TypeError(f"{name} must be a tensor or an ndarray, got {type(images).__name__}")
    if array.ndim != 4 or array.shape[1] != 3:
        raise ValueError(f"{name} must have shape (B, 3, H, W), or (B, H, W, 3) for an array, got {images.shape}")
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise TypeError(f"{name} must be uint8, or float in [0, 1], got {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return array


def _in_bytes(samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """As float32 in 0..255."""
    scaled = samples.astype(np.float32)
    return scaled if samples.dtype == np.uint8 else scaled * np.float32(255)


def _coefficients(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(B, C, H, W) to (C, blocks, 64)."""
    spectrum = codec.dct(np.ascontiguousarray(samples), layout="NCHW")
    return np.moveaxis(spectrum, 1, 0).reshape(samples.shape[1], -1, 64)


def deviation_ratio(images: FrequencyStatistics, perturbations: FrequencyStatistics) -> npt.NDArray[np.float64]:
    """delta': the deviations of perturbations over those of images, (6, 8, 8); infinite where an image never varies."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = perturbations.deviations / images.deviations
    return np.where(np.isnan(ratio), 0, ratio)


def band_order(images: FrequencyStatistics, perturbations: FrequencyStatistics) -> list[tuple[int, int]]:
    """The bands by rising delta' of R, G and B together, as one table serves them all.

    Returns
    -------
    list of (int, int)
        (vertical, horizontal) frequency: original-favoured bands first. Equal ratios stay in natural order.
    """
    pooled = [np.sqrt((s.deviations[:3] ** 2).mean(0)) for s in (perturbations, images)]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.nan_to_num(pooled[0] / pooled[1], nan=0, posinf=np.inf)
    return [(int(k) // 8, int(k) % 8) for k in np.argsort(ratio.ravel(), kind="stable")]
