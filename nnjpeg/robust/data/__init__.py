"""Labelled images, for training and for judging.

Read `sources` first: the forms of ``--data`` (folders, arrays, shards, known data sets) as one type. `images` samples
from a source into memory, `training` reads one as training does, with augmentation, and `photos` makes patches of the
photographs of scikit-image.
"""

from nnjpeg.robust.data.images import Images, sample
from nnjpeg.robust.data.photos import PHOTOS, photos
from nnjpeg.robust.data.sources import DATASETS, Source, class_map, has_splits, opened
from nnjpeg.robust.data.training import Training, random_crops, shifted_and_mirrored

__all__ = [
    "DATASETS", "PHOTOS", "Images", "Source", "Training", "class_map", "has_splits", "opened", "photos",
    "random_crops", "sample", "shifted_and_mirrored",
]  # fmt: skip
