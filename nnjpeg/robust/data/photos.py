"""`photos`: patches of the colour photographs in scikit-image's wheel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from nnjpeg.robust.data.images import Images

__all__ = ["PHOTOS", "photos"]

PHOTOS = (
    "astronaut", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry", "retina", "rocket",
)  # fmt: skip
"""The colour photographs that scikit-image's wheel contains: the classes of `photos`."""

_STRIPE = 100  # photographs are cut into upright stripes at least this wide; of each three, the second is for the test


def photos(split: str, count: int, *, size: int = 64, seed: int = 0) -> Images:
    """Patches of photographs; the class is the photograph.

    A photograph is cut into vertical stripes of 100 pixels or a little more. Every third stripe is for the test, and
    each patch lies within one stripe, so training and test patches never overlap.

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
