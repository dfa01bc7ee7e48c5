"""Labelled images in memory, sampled from a source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from nnjpeg._progress import Progress
from nnjpeg.robust.data.sources import Source
from nnjpeg.robust.record import distributed

__all__ = ["Images", "sample"]


@dataclass(frozen=True)
class Images:
    """Images with their labels, in memory.

    Parameters
    ----------
    pixels : Tensor
        uint8 (N, 3, H, W).
    labels : Tensor
        int64 (N,).
    classes : tuple of str
        The names of the labels.
    skipped : tuple of str
        Files that could not be used, and why.
    sources : Tensor, optional
        int64 (N,): the photograph or group of files that an image comes from. None if each image is its own source.

    Raises
    ------
    TypeError
        If pixels are not uint8, or labels not int64.
    ValueError
        If shapes do not fit.
    """

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    sources: Tensor | None = None

    def __post_init__(self) -> None:
        if self.pixels.dtype != torch.uint8 or self.labels.dtype != torch.int64:
            raise TypeError(f"pixels must be uint8 and labels int64, got {self.pixels.dtype} and {self.labels.dtype}")
        if self.pixels.ndim != 4 or self.pixels.shape[1] != 3:
            raise ValueError(f"pixels must be of shape (N, 3, H, W), got {tuple(self.pixels.shape)}")
        for name, values in (("labels", self.labels), ("sources", self.sources)):
            if values is not None and values.shape != self.pixels.shape[:1]:
                raise ValueError(f"{name} must be of shape ({len(self.pixels)},), got {tuple(values.shape)}")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor | slice) -> Images:
        """A selection of the images."""
        sources = None if self.sources is None else self.sources[index]
        return Images(self.pixels[index], self.labels[index], self.classes, self.skipped, sources)


def sample(
    source: Source,
    count: int | None,
    preprocess: Callable[[Image.Image], Tensor],
    *,
    at_least: int | None = None,
    outputs: int | None = None,
    seed: int | None = 0,
) -> Images:
    """Take images from a source in a random order.

    Grey, CMYK and other images become RGB. Images that cannot be read, and those smaller than 8 pixels, are skipped,
    named and counted; of images that `preprocess` enlarges a line tells how many they are. Classes named by WordNet
    ids, as ImageNet's are, get ImageNet's numbers where the model has 1000 outputs.

    Parameters
    ----------
    source : Source
        Of `data.opened`.
    count : int, optional
        Number of images; by default all.
    preprocess : callable
        From a PIL image in mode RGB to a uint8 tensor (3, H, W), the same for all.
    at_least : int, optional
        Smallest number that is accepted in place of `count`; by default `count`.
    outputs : int, optional
        Number of outputs of the model, which labels must not exceed.
    seed : int or None
        Of the order; None: the source's own.

    Raises
    ------
    ValueError
        If there are too few usable images, or more classes than `outputs`.
    """
    mapping = source.labels_for(outputs)
    wanted = len(source) if count is None else count
    pixels: list[Tensor] = []
    labels: list[int] = []
    skipped: list[str] = []
    enlarged = 0
    order = list(range(len(source)))
    if seed is not None:
        order = torch.randperm(len(source), generator=torch.Generator().manual_seed(seed)).tolist()
    with Progress("images", min(wanted, len(order)), "image", quiet=not distributed.is_main()) as progress:
        for index in order:
            if len(pixels) == wanted:
                break
            try:
                image, label = source.read(index)
            except Exception as error:  # Pillow's readers raise all sorts
                skipped.append(f"{source.place(index)}: {error}")
                progress.write(f"skipped {skipped[-1]}")
                continue
            pixels.append(preprocess(image))
            enlarged += min(image.size) < min(pixels[-1].shape[1:])
            labels.append(mapping[label])
            progress.update()
        if enlarged and distributed.is_main():
            height, width = pixels[0].shape[1:]
            progress.write(
                f"data: {enlarged} of {len(pixels)} images are smaller than the model's {width}x{height} pixels and "
                "were enlarged; size and resize give it another size"
            )
    needed = wanted if at_least is None else at_least
    if len(pixels) < needed or not pixels:
        also = f"; {len(skipped)} were skipped" if skipped else ""
        raise ValueError(
            f"data: {needed} images are needed of {source.name}, which has {len(pixels)} usable ones{also}"
        )
    return Images(torch.stack(pixels), torch.tensor(labels), source.classes, tuple(skipped))
