"""Photographs to measure on: crops of those that scikit-image ships."""

import numpy as np
from skimage import data

NAMES = ("astronaut", "coffee", "rocket", "chelsea", "hubble_deep_field", "retina")


def photos():
    return [np.ascontiguousarray(getattr(data, name)()[..., :3]) for name in NAMES]


def crops(size, count, seed=0):
    """`count` images of `size`: random crops, by turns from each photograph; mosaics where those are smaller."""
    rng = np.random.default_rng(seed)
    sources = [mosaic(photo, size) for photo in photos()]
    images = []
    for k in range(count):
        source = sources[k % len(sources)]
        y, x = (rng.integers(0, have - want + 1) for have, want in zip(source.shape, size, strict=False))
        images.append(np.ascontiguousarray(source[y : y + size[0], x : x + size[1]]))
    return images


def mosaic(photo, size):
    """The photograph beside and below itself, mirrored, until it is large enough."""
    while photo.shape[0] < size[0]:
        photo = np.concatenate([photo, photo[::-1]])
    while photo.shape[1] < size[1]:
        photo = np.concatenate([photo, photo[:, ::-1]], axis=1)
    return photo
