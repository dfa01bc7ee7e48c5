"""Classifiers by name, from a file, or from a function, with their preprocessing."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from nnjpeg.robust.models.networks import IMAGENET_MEAN, IMAGENET_STD, NETWORKS

__all__ = [
    "Classifier", "Origin", "create", "from_here", "given", "has_weights", "load", "put_weights", "untrained",
]  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """The arguments of `load` that make a network, without its weights."""

    arch: str
    classes: int | None
    options: dict[str, Any]


class Classifier(nn.Module):
    """A network from images in [0, 1], (B, 3, H, W), to logits: it normalises its input and checks its output.

    Parameters
    ----------
    network : Module
        From normalised images to logits (B, classes). Its weights are laid out channels-last, for speed.
    mean, std : sequence of 3 floats
        Of R, G, B in [0, 1].
    size : int
        The side of the square images that it wants.
    resize : int
        What the shorter side of a photograph is resized to, before a square of `size` is cut from its centre.
    origin : Origin, optional
        How to make the network again; `load` gives it.

    Raises
    ------
    TypeError
        When called, if the network does not return one tensor of logits.
    ValueError
        If `mean` or `std` are not three numbers, deviations above 0; when called, if a logit is NaN.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        size: int = 224,
        resize: int = 256,
        origin: Origin | None = None,
    ) -> None:
        super().__init__()
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(f"mean and std must be three numbers, std above 0, got {list(mean)} and {list(std)}")
        self.network = network.to(memory_format=torch.channels_last)
        self.size, self.resize, self.origin = size, resize, origin
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images in [0, 1] to logits."""
        return self.check(self.network(self.normalize(images)), images)

    def normalize(self, images: Tensor) -> Tensor:
        """Normalise images in [0, 1] as the network expects."""
        return (images - self.mean) / self.std

    def check(self, logits: Any, images: Tensor) -> Tensor:
        """Return the network's output if it is logits; else raise an error."""
        if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[0] != images.shape[0]:
            what = f"a tensor of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
            raise TypeError(f"the model must return one tensor of logits (B, classes), got {what}")
        broken = logits.isnan().any(1)
        if not torch.compiler.is_compiling() and broken.any():
            raise ValueError(f"the model returned NaN for {int(broken.sum())} of {len(images)} images")
        return logits

    @torch.inference_mode()
    def outputs(self) -> int:
        """The number of logits, from a forward pass of a black image.

        Raises
        ------
        ValueError
            If the network does not take images of `size`.
        """
        training = self.training
        image = torch.zeros(1, 3, self.size, self.size, device=self.mean.device)
        try:
            logits = self.eval().network(self.normalize(image))
        except (AssertionError, RuntimeError, ValueError) as error:  # what layers raise about shapes
            raise ValueError(
                f"size: the model does not take images of {self.size}x{self.size} pixels ({error}); --size gives it "
                "images of another size"
            ) from error
        finally:
            self.train(training)
        return self.check(logits, image).shape[1]

    def preprocess(self) -> v2.Transform:
        """Convert a PIL image to the network's input, as bytes (3, size, size)."""
        interpolation = v2.InterpolationMode.BICUBIC
        return v2.Compose([v2.Resize(self.resize, interpolation), v2.CenterCrop(self.size), v2.PILToTensor()])


def load(
    arch: str,
    weights: str | PathLike[str] | None = None,
    *,
    classes: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | None = None,
    resize: int | None = None,
    **options: Any,
) -> Classifier:
    """Load a model by its name in timm or torchvision, as a classifier of images in [0, 1].

    Parameters
    ----------
    arch : str
        A name that `timm.create_model` or `torchvision.models.get_model` knows; or of `networks.NETWORKS`: "preact",
        "plain", "resnet20", "resnet32", "resnet44", "resnet56".
    weights : path, optional
        A file of weights, safetensors or torch's, also of a model within `DataParallel`. By default those of the hub;
        "resnet20" of 10 classes has CIFAR-10's with the package (91.7% of the test images; He et al., 2016), and the
        others of ours stay untrained: see `has_weights`.
    classes : int, optional
        Number of logits; by default the architecture's own, 10 for ours.
    mean, std : sequence of 3 floats, optional
        By default the model's own, else ImageNet's.
    size, resize : int, optional
        See `Classifier`. By default the model's own, else 224 and 256.
    **options
        Handed on to the constructor.

    Returns
    -------
    Classifier
        In evaluation mode.

    Raises
    ------
    ValueError
        If nobody knows `arch`, or `weights` do not fit it.
    """
    network, defaults = create(arch, weights is None, classes, options)
    if weights is not None:
        _load_weights(network, Path(weights), arch)
    return _classifier(network, defaults, Origin(arch, classes, options), mean, std, size, resize)


def untrained(
    arch: str,
    *,
    classes: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | None = None,
    resize: int | None = None,
    **options: Any,
) -> Classifier:
    """The same model with random weights from torch's generator; see `load`."""
    network, defaults = create(arch, False, classes, options)
    return _classifier(network, defaults, Origin(arch, classes, options), mean, std, size, resize)


def _classifier(
    network: nn.Module,
    defaults: dict[str, Any],
    origin: Origin,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    size: int | None,
    resize: int | None,
) -> Classifier:
    size = size or defaults["size"]
    resize = resize or round(size * defaults["scale"])
    return Classifier(network, mean or defaults["mean"], std or defaults["std"], size, resize, origin).eval()


def given(place: str, size: int | None = None) -> Classifier:
    """Load a user's model from a function that makes it.

    Parameters
    ----------
    place : str
        MODULE:FUNCTION. The function takes no arguments, and returns a module from float images (B, 3, H, W) in [0, 1]
        to logits, or a `Classifier`. The working directory is searched for the module first.
    size : int, optional
        The side of its images in pixels; by default that of a `Classifier`, else 224. Photographs are resized to 8/7 of
        it before the centre is cut out.

    Returns
    -------
    Classifier
        In evaluation mode.

    Raises
    ------
    ValueError
        If there is no such module or function, or it fails.
    TypeError
        If it does not return a module.
    """
    module, _, function = place.partition(":")
    with from_here():
        try:
            network = getattr(import_module(module), function)()
        except (ImportError, AttributeError) as error:
            raise ValueError(f"model: {place} cannot be called ({error})") from error
    if not isinstance(network, nn.Module):
        raise TypeError(f"model: {place} must return a torch module, got a {type(network).__name__}")
    if isinstance(network, Classifier):
        if size not in (None, network.size):
            raise ValueError(f"size: {place} has images of {network.size} pixels, got {size}")
        return network.eval()
    side = size or 224
    return Classifier(network, size=side, resize=round(side * 256 / 224)).eval()


@contextlib.contextmanager
def from_here() -> Iterator[None]:
    """Context in which modules are imported from the working directory first."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def create(
    arch: str, pretrained: bool, classes: int | None, options: dict[str, Any]
) -> tuple[nn.Module, dict[str, Any]]:
    """A network by its name, and the mean, std, size and scale of its preprocessing; see `load`."""
    if arch in NETWORKS:
        own = NETWORKS[arch]
        network = own.make(classes or 10, **options)
        if pretrained and (shipped := _shipped(arch, classes, options)) is not None:
            _load_weights(network, shipped, arch)
        return network, {"mean": own.mean, "std": own.std, "size": own.size, "scale": 1.0}
    timm: Any = None
    with contextlib.suppress(ImportError):
        timm = import_module("timm")
    if timm is not None and timm.is_model(arch.partition(".")[0]):
        extra = {} if classes is None else {"num_classes": classes}
        network = timm.create_model(arch, pretrained=pretrained, **extra, **options)
        cfg = timm.data.resolve_data_config({}, model=network)
        known = {"mean": cfg["mean"], "std": cfg["std"], "size": cfg["input_size"][-1], "scale": 1 / cfg["crop_pct"]}
        return network, known
    import torchvision

    if arch not in torchvision.models.list_models(module=torchvision.models):
        also = "" if timm is not None else " (timm is not installed)"
        raise ValueError(
            f"arch must be one of {', '.join(NETWORKS)} or a model of timm{also} or torchvision, got {arch!r}"
        )
    extra = {} if classes is None else {"num_classes": classes}
    network = torchvision.models.get_model(arch, weights="DEFAULT" if pretrained else None, **extra, **options)
    return network, {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "size": 224, "scale": 256 / 224}


def has_weights(arch: str, classes: int | None, options: dict[str, Any]) -> bool:
    """Whether `load` finds trained weights for an architecture without a file: on the hub, or in the package."""
    return arch not in NETWORKS or _shipped(arch, classes, options) is not None


def _shipped(arch: str, classes: int | None, options: dict[str, Any]) -> Path | None:
    return NETWORKS[arch].shipped() if classes in (None, 10) and not options else None


def _load_weights(network: nn.Module, path: Path, arch: str) -> None:
    state: Any
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if not isinstance(state, dict):
                raise TypeError(f"it holds a {type(state).__name__}, no state dict")
            state = state.get("state_dict", state)
            if all(str(name).startswith("module.") for name in state):
                state = {name.removeprefix("module."): value for name, value in state.items()}
    except FileNotFoundError:
        raise
    except pickle.UnpicklingError:  # whose text is a page
        raise ValueError(f"{path}: not a file of weights (it holds more than tensors, or is damaged)") from None
    except Exception as error:
        raise ValueError(f"{path}: not a file of weights ({error})") from None
    put_weights(network, state, path, arch)


def put_weights(network: nn.Module, state: dict[str, Any], path: str | PathLike[str], arch: str) -> None:
    """Load the weights that a file held into a network.

    Raises
    ------
    ValueError
        If they do not fit; names the file, the architecture and the first tensor that is wrong.
    """
    try:
        network.load_state_dict(state)
    except RuntimeError as error:  # which names every tensor
        wrong = _first_mismatch(network.state_dict(), state) or str(error).partition("\n")[0]
        raise ValueError(f"{path}: does not fit {arch}: {wrong}") from None


def _first_mismatch(wanted: dict[str, Any], found: dict[str, Any]) -> str | None:
    for name, tensor in wanted.items():
        if name not in found:
            return f"{name} is missing"
        if not isinstance(found[name], Tensor) or found[name].shape != tensor.shape:
            shape = tuple(found[name].shape) if isinstance(found[name], Tensor) else type(found[name]).__name__
            return f"{name} is {shape}, where {tuple(tensor.shape)} is wanted"
    return next((f"there is no place for {name}" for name in found if name not in wanted), None)
