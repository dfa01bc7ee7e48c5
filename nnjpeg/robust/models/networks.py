"""Architectures of our own: small networks for small images, and the ResNets for CIFAR of He et al. (2016).

Each takes normalised images (B, 3, H, W) to logits (B, classes).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnjpeg._arguments import integer

__all__ = ["NETWORKS", "CifarResNet", "Network", "PlainNet", "PreActResNet"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _Block(nn.Module):
    """Two 3x3 convolutions, each after batch norm and ReLU, beside the identity (He et al., 2016, ECCV)."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(out)
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        change = stride > 1 or channels != out
        self.shortcut = nn.Conv2d(channels, out, 1, stride, bias=False) if change else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        first = torch.relu(self.norm1(x))
        inner = self.conv2(torch.relu(self.norm2(self.conv1(first))))
        return inner + self.shortcut(first if isinstance(self.shortcut, nn.Conv2d) else x)


class PreActResNet(nn.Module):
    """A small pre-activation ResNet: a stem, and three stages of one block each, each of which halves the image.

    Parameters
    ----------
    classes : int
        Number of logits.
    width : int
        Channels of the stem and of the first stage; the second stage has twice as many, the third four times.
    stride : int
        Of the stem: 2 suits images of 64x64, 1 images of 32x32 (four times the work at the same width).
    """

    def __init__(self, classes: int, width: int = 24, stride: int = 2) -> None:
        super().__init__()
        width, stride = integer("width", width, 1, 2**12), integer("stride", stride, 1, 2)
        self.stem = nn.Conv2d(3, width, 5, stride, 2, bias=False)
        widths = [width, 2 * width, 4 * width]
        self.stages = nn.Sequential(*(_Block(a, b, 2) for a, b in zip([width, *widths[:-1]], widths, strict=True)))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images to logits."""
        x = torch.relu(self.norm(self.stages(self.stem(x))))
        return self.head(x.mean((2, 3)))


class PlainNet(nn.Module):
    """Another small network for 64x64 images: convolutions, batch norm and pooling alone, no short cuts."""

    def __init__(self, classes: int, width: int = 24) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for out in (width, 2 * width, 3 * width, 4 * width):
            layers += [nn.Conv2d(channels, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
            channels = out
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images to logits."""
        return self.head(self.layers(x).mean((2, 3)))


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm beside the identity; it pads channels with zeros where they grow."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.stride, self.padding = stride, (out - channels) // 2

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.padding:
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        return torch.relu(inner + x)


class CifarResNet(nn.Module):
    """The ResNet for images of 32x32 of He et al. (2016, CVPR, section 4.2), with short cuts of option A.

    Parameters
    ----------
    classes : int
        Number of logits.
    depth : int
        6n + 2 layers: three stages of n blocks, of 16, 32 and 64 channels.
    """

    def __init__(self, classes: int, depth: int) -> None:
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"depth must be 6n + 2, such as 20 or 56, got {depth}")
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, depth // 6)
        self.layer2 = self._stage(16, 32, depth // 6)
        self.layer3 = self._stage(32, 64, depth // 6)
        self.linear = nn.Linear(64, classes)

    @staticmethod
    def _stage(channels: int, out: int, blocks: int) -> nn.Sequential:
        first = _BasicBlock(channels, out, 1 if channels == out else 2)
        return nn.Sequential(first, *(_BasicBlock(out, out, 1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images to logits."""
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


_WEIGHTS = resources.files("nnjpeg.robust.models") / "weights"


@dataclass(frozen=True)
class Network:
    """How an architecture is made, and the size of its images.

    Parameters
    ----------
    make : callable
        From the number of classes and options to the module.
    size : int
        The side of its images.
    mean, std : tuple of 3 floats
        By which they are normalised, of R, G, B in [0, 1].
    weights : str, optional
        The name of the file that this package ships, for 10 classes: CIFAR-10's, in their usual order.
    """

    make: Callable[..., nn.Module]
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    weights: str | None = None

    def shipped(self) -> Path | None:
        """The file with the weights of the architecture, if the package has one."""
        return None if self.weights is None else Path(str(_WEIGHTS / self.weights))


def _cifar_resnet(depth: int, weights: str | None = None) -> Network:
    def make(classes: int, **options: Any) -> nn.Module:
        return CifarResNet(classes, depth, **options)

    return Network(make, 32, IMAGENET_MEAN, IMAGENET_STD, weights)


_GREY, _QUARTER = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

NETWORKS: dict[str, Network] = {
    "preact": Network(PreActResNet, 64, _GREY, _QUARTER),
    "plain": Network(PlainNet, 64, _GREY, _QUARTER),
    "resnet20": _cifar_resnet(20, "resnet20-cifar10.safetensors"),
    "resnet32": _cifar_resnet(32),
    "resnet44": _cifar_resnet(44),
    "resnet56": _cifar_resnet(56),
}
"""Architectures of our own, by the names that `models.load` knows."""
