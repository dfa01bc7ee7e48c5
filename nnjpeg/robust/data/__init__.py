"""Images to train on and to judge by: `photos`, and whatever lies in folders, arrays, shards and known data sets."""

from nnjpeg.robust.data.images import Images, sample
from nnjpeg.robust.data.photos import PHOTOS, photos
from nnjpeg.robust.data.sources import DATASETS, Source, class_map, has_splits, opened
from nnjpeg.robust.data.training import Training, random_crops, shifted_and_mirrored

__all__ = [
    "DATASETS", "PHOTOS", "Images", "Source", "Training", "class_map", "has_splits", "opened", "photos",
    "random_crops", "sample", "shifted_and_mirrored",
]  # fmt: skip
