"""Classifiers of images in [0, 1], each with its own preprocessing.

Read `loading` first: models by name (timm, torchvision, ours), from a file of weights, or from a function of the user.
`networks` has the architectures of our own, `weights/` the published weights of ResNet-20 for CIFAR-10. `modules` has
what is done with any module.
"""

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
from nnjpeg.robust.models.modules import device_of, frozen
from nnjpeg.robust.models.networks import NETWORKS, CifarResNet, PlainNet, PreActResNet

__all__ = [
    "NETWORKS", "CifarResNet", "Classifier", "Origin", "PlainNet", "PreActResNet", "create", "device_of",
    "from_here", "frozen", "given", "has_weights", "load", "put_weights", "untrained",
]  # fmt: skip
