"""A source as training reads it, and augmentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset
from torchvision.transforms import v2

from nnjpeg.robust.data.sources import Source

__all__ = ["Training", "random_crops", "shifted_and_mirrored"]


class Training(Dataset[tuple[Tensor, int]]):
    """The images of a source after a transform, read when they are used.

    Parameters
    ----------
    source : Source
        Of `data.opened`.
    transform : callable
        From a PIL image in mode RGB to a uint8 tensor (3, H, W), the same for all.
    outputs : int, optional
        Outputs of the model, to which labels must fit.
    """

    def __init__(self, source: Source, transform: Callable[[Image.Image], Tensor], outputs: int | None = None) -> None:
        self.source, self.transform, self._labels = source, transform, source.labels_for(outputs)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.source.read(index)
        return self.transform(image), self._labels[label]


def random_crops(size: int, scale: tuple[float, float] = (0.08, 1.0)) -> v2.Transform:
    """Random crops of a share of the area, resized and mirrored at random, as usual for photographs.

    Parameters
    ----------
    size : int
        Their side, in pixels.
    scale : tuple of 2 floats
        The least and the largest share, in 0..1.
    """
    return v2.Compose([v2.RandomResizedCrop(size, scale), v2.RandomHorizontalFlip(), v2.PILToTensor()])


def shifted_and_mirrored(padding: int = 4) -> Callable[[Tensor, Any], Tensor]:
    """Images shifted by up to `padding` pixels in each direction, with black at the edges, and mirrored, at random.

    The usual augmentation for images of 32x32 (He et al., 2016, section 4.2).

    Parameters
    ----------
    padding : int
        In pixels, at least 0.

    Returns
    -------
    callable
        See `train.engine.fit`: from uint8 (B, 3, H, W) and draws to float in [0, 1] of the same shape.
    """
    if padding < 0:
        raise ValueError(f"padding must be at least 0, got {padding}")

    def augment(images: Tensor, draws: Any) -> Tensor:
        count, _, height, width = images.shape
        places = (draws.uniform(count, 2) * (2 * padding + 1)).long()
        mirrored = draws.uniform(count) < 0.5
        rows = places[:, :1] + torch.arange(height, device=images.device)
        columns = places[:, 1:] + torch.arange(width, device=images.device)
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)
        padded = functional.pad(images, (padding,) * 4).permute(0, 2, 3, 1)
        index = torch.arange(count, device=images.device)[:, None, None]
        return padded[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2) / 255

    return augment
