"""Classifiers: any of timm or torchvision with its own preprocessing, and those of our own."""

from nnjpeg.robust.models.loading import (
    Classifier,
    Origin,
    create,
    from_here,
    given,
    has_weights,
    load,
    put_weights,
    untrained,
)
from nnjpeg.robust.models.networks import NETWORKS, CifarResNet, PlainNet, PreActResNet

__all__ = [
    "NETWORKS", "CifarResNet", "Classifier", "Origin", "PlainNet", "PreActResNet", "create", "from_here", "given",
    "has_weights", "load", "put_weights", "untrained",
]  # fmt: skip
