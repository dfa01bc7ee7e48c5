"""Images to try things on: `photos`, which scikit-image's wheel brings, and any folder of images by class."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from nnjpeg._progress import Progress
from nnjpeg.robust.record import distributed

__all__ = ["PHOTOS", "Images", "class_map", "crops", "folder", "photos"]

PHOTOS = (
    "astronaut", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry", "retina", "rocket",
)  # fmt: skip
"""The colour photographs that scikit-image's wheel contains: the classes of `photos`."""

_STRIPE = 100  # photographs are cut into upright stripes at least this wide; of each three, the second is for the test


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
        Files that were not usable, and why.
    sources : Tensor, optional
        int64 (N,): which photograph, or group of files, an image comes from. None where each image is its own source.
    """

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    sources: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor | slice) -> Images:
        """Some of them."""
        sources = None if self.sources is None else self.sources[index]
        return Images(self.pixels[index], self.labels[index], self.classes, self.skipped, sources)


def photos(split: str, count: int, *, size: int = 64, seed: int = 0) -> Images:
    """Patches of photographs; the class is the photograph.

    A photograph is cut into upright stripes of 100 pixels or a little more. Of each three, the second is for the test,
    and a patch lies within one: training and test patches never overlap.

    Parameters
    ----------
    split : {"train", "test"}
        Which region.
    count : int
        How many patches, by turns from each photograph.
    size : int
        The side of a patch, 8 to 100 pixels.
    seed : int
        Of the places.

    Returns
    -------
    Images
        The `sources` are the photographs too: patches of one overlap, and stand or fall together.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    if not 8 <= size <= _STRIPE:
        raise ValueError(f"size must be in 8..{_STRIPE}, got {size}")
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    stripes = [_stripes(name, split) for name in PHOTOS]
    rng = np.random.default_rng([seed, split == "test"])
    labels = np.arange(count) % len(PHOTOS)
    pixels = np.empty((count, size, size, 3), np.uint8)
    for k, label in enumerate(labels):
        stripe = stripes[label][rng.integers(len(stripes[label]))]
        y, x = (rng.integers(0, side - size + 1) for side in stripe.shape[:2])
        pixels[k] = stripe[y : y + size, x : x + size]
    order = rng.permutation(count)
    chosen = torch.from_numpy(labels[order])
    return Images(torch.from_numpy(pixels[order]).permute(0, 3, 1, 2).contiguous(), chosen, PHOTOS, sources=chosen)


def _stripes(name: str, split: str) -> list[npt.NDArray[np.uint8]]:
    from skimage import data

    photo = getattr(data, name)()[..., :3]
    stripes = np.array_split(photo, photo.shape[1] // _STRIPE, axis=1)
    return [stripe for k, stripe in enumerate(stripes) if (k % 3 == 1) == (split == "test")]


def folder(
    root: str | Path,
    count: int | None,
    preprocess: Callable[[Image.Image], Tensor],
    *,
    at_least: int | None = None,
    outputs: int | None = None,
    seed: int = 0,
) -> Images:
    """Images from a folder with a subfolder for each class, in a random order.

    Grey, CMYK and other images become RGB. Files that cannot be read, and images smaller than 8 pixels, are skipped,
    named and counted. Classes named by WordNet ids, as ImageNet's are, get ImageNet's numbers where the model has 1000
    outputs.

    Parameters
    ----------
    root : path
        The folder.
    count : int, optional
        How many images; by default all.
    preprocess : callable
        From a PIL image in mode RGB to a uint8 tensor (3, H, W), the same for all.
    at_least : int, optional
        Fewer than `count` will do, but not fewer than this; by default they will not.
    outputs : int, optional
        Outputs of the model, to which labels must fit.
    seed : int
        Of the order.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it holds no images, one class alone, too few usable images, or more classes than `outputs`.
    """
    found = _image_folder(root)
    mapping = class_map(found.classes, outputs)
    wanted = len(found.samples) if count is None else count
    pixels: list[Tensor] = []
    labels: list[int] = []
    skipped: list[str] = []
    order = torch.randperm(len(found.samples), generator=torch.Generator().manual_seed(seed)).tolist()
    with Progress("images", min(wanted, len(order)), "image", quiet=not distributed.is_main()) as progress:
        for index in order:
            if len(pixels) == wanted:
                break
            path, label = found.samples[index]
            try:
                with Image.open(path) as image:
                    if min(image.size) < 8:
                        raise ValueError(f"{image.size[0]}x{image.size[1]} pixels, less than 8")
                    coloured = image.convert("RGB")
            except Exception as error:  # Pillow's readers raise all sorts
                skipped.append(f"{path}: {error}")
                progress.write(f"skipped {skipped[-1]}")
                continue
            pixels.append(preprocess(coloured))
            labels.append(mapping[label])
            progress.update()
    needed = wanted if at_least is None else at_least
    if len(pixels) < needed or not pixels:
        also = f"; {len(skipped)} were skipped" if skipped else ""
        raise ValueError(f"data: {needed} images are asked of {root}, which has {len(pixels)} usable ones{also}")
    return Images(torch.stack(pixels), torch.tensor(labels), tuple(found.classes), tuple(skipped))


def crops(root: str | Path, size: int, *, outputs: int | None = None) -> ImageFolder:
    """Images of a folder for training, read as they are asked for: random crops, mirrored at random.

    Parameters
    ----------
    root : path
        With a folder for each class; see `class_map`.
    size : int
        The side of the crops; of 8% to 100% of the image, as is usual for ImageNet.
    outputs : int, optional
        Number of the model's outputs, which the classes must fit.

    Returns
    -------
    ImageFolder
        Of uint8 (3, size, size) and labels.

    Raises
    ------
    FileNotFoundError, ValueError
        As `folder`.
    """
    found = _image_folder(root)
    mapping = class_map(found.classes, outputs)
    found.transform = v2.Compose([v2.RandomResizedCrop(size), v2.RandomHorizontalFlip(), v2.PILToTensor()])
    found.target_transform = mapping.__getitem__
    return found


def _image_folder(root: str | Path) -> ImageFolder:
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"data: there is no folder {root}")
    try:
        found = ImageFolder(str(root), allow_empty=True)
    except FileNotFoundError:
        raise ValueError(f"data: {root} holds no folders of images, one for each class") from None
    if not found.samples:
        raise ValueError(f"data: {root} holds no images (in a folder for each class)")
    if len(found.classes) < 2:
        raise ValueError(f"data: {root} holds one class alone ({found.classes[0]}); at least two are wanted")
    return found


def class_map(classes: Sequence[str], outputs: int | None) -> list[int]:
    """The label of each class of a folder: its place, or ImageNet's number where names are WordNet ids.

    Raises
    ------
    ValueError
        If there are more classes than outputs, or an id is not ImageNet's.
    """
    if outputs == 1000 and all(re.fullmatch(r"n\d{8}", name) for name in classes):
        ids = _wordnet_ids()
        unknown = [name for name in classes if name not in ids]
        if unknown:
            raise ValueError(f"data: {unknown[0]} is no class of ImageNet's 1000")
        return [ids[name] for name in classes]
    if outputs is not None and len(classes) > outputs:
        raise ValueError(f"data: {len(classes)} classes for a model of {outputs} outputs")
    return list(range(len(classes)))


def _wordnet_ids() -> dict[str, int]:
    info = import_module("timm.data").ImageNetInfo()
    return {name: index for index, name in enumerate(info.label_names())}
