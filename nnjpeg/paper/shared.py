"""What several experiments share: checks of options, the model and the images, the attacker, the machine.

As `nnjpeg.paper.specs`, without torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nnjpeg.paper.fields import one_of, option

__all__ = [
    "Machine", "Preparation", "Subject", "Threat", "above", "at_most", "check_other", "choice",
    "distinct", "not_empty", "within",
]  # fmt: skip

Dataset = Literal["cifar10", "cifar100", "fashion-mnist", "mnist", "stl10", "svhn"]
Augmentation = Literal["auto", "shift", "crop", "none"]

# Checks; None is for options that are not given, and a list is checked by element


def _values(spec: Any, name: str) -> Sequence[Any]:
    value = getattr(spec, name)
    return () if value is None else value if isinstance(value, tuple) else (value,)


def within(spec: Any, low: float, high: float | None, *names: str) -> None:
    """That numbers are in a range; no end where `high` is None."""
    for name in names:
        for value in _values(spec, name):
            if not (low <= value and (high is None or value <= high)):  # so that NaN is outside
                accepted = f"at least {low}" if high is None else f"in {low}..{high}"
                raise ValueError(f"{name} must be {accepted}, got {value:g}")


def above(spec: Any, low: float, *names: str) -> None:
    """That numbers are above one."""
    for name in names:
        for value in _values(spec, name):
            if not value > low:
                raise ValueError(f"{name} must be above {low}, got {value:g}")


def at_most(spec: Any, name: str, bound: str) -> None:
    """That one option is at most another."""
    if getattr(spec, name) > getattr(spec, bound):
        raise ValueError(f"{name} must be at most {bound} ({getattr(spec, bound)}), got {getattr(spec, name)}")


def not_empty(spec: Any, *names: str) -> None:
    """That lists have elements."""
    for name in names:
        if not getattr(spec, name):
            raise ValueError(f"{name} must not be empty")


def distinct(spec: Any, *names: str) -> None:
    """That lists name nothing twice, as files and rows are named by them."""
    for name in names:
        texts = [f"{value:g}" for value in _values(spec, name)]
        for number, text in enumerate(texts):
            if text in texts[:number]:
                raise ValueError(f"{name} must not hold a number twice, got {text} twice in {' '.join(texts)}")


def choice(spec: Any, name: str, choices: Any) -> None:
    """That an option is one of the words of a Literal."""
    one_of(name, getattr(spec, name), choices)


def check_other(spec: Any) -> None:
    """That the options of a second network fit the subject."""
    if spec.subject.data == "photos" and spec.other_weights is None and spec.other not in (None, "preact", "plain"):
        raise ValueError(f"other: without other_weights, photos have preact and plain; got {spec.other!r}")
    if spec.other is None and spec.other_weights is not None:
        raise ValueError("other: give the name of the architecture of other_weights")


# What several experiments share


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The model and the images."""

    data: str = option(
        "photos",
        '"photos": patches of the photographs in scikit-image, with a small model of their own (a folder of this name '
        "is ./photos); or images of your own: a folder with a subfolder for each class, or with such folders in train "
        "and in test or val; an .npz file of x_train, y_train, x_test and y_test; webdataset shards (.tar, or a "
        "pattern in quotes); a folder that datasets.save_to_disk wrote, or hf:NAME of Hugging Face's hub; with "
        "--dataset, the folder in which torchvision keeps the data set. If training and test images are stored "
        "separately, training uses the former and everything else the latter",
        folder=("photos",),
    )
    dataset: Dataset | None = option(None, "the data set that torchvision reads from the folder that --data names")
    download: bool = option(
        False, "fetch the data set into the folder that --data names, unless it is there", identity=False
    )
    arch: str | None = option(
        None,
        "the model, which is called M: resnet20 (the package has its weights for CIFAR-10), resnet32, resnet44, "
        "resnet56, or a model of timm or torchvision; --data photos has a small model of its own",
    )
    model: str | None = option(
        None,
        "in place of --arch, a model of your own, as MODULE:FUNCTION: the function takes no arguments and returns a "
        "module from float images (B, 3, H, W) in [0, 1] to logits; the working directory is searched first",
    )
    weights: Path | None = option(
        None,
        "a file of the model's weights, written by safetensors or by torch; by default those of the hub or of the "
        "package; the small model of photos is trained first",
    )
    classes: int | None = option(None, "how many classes the model has; by default as many as its architecture has")
    mean: tuple[float, ...] | None = option(
        None,
        "means of R, G, B in [0, 1], by which images are normalised; by default the model's own",
        example=(0.485, 0.456, 0.406),
    )
    std: tuple[float, ...] | None = option(
        None,
        "standard deviations of R, G, B in [0, 1], by which images are normalised; by default the model's own",
        example=(0.229, 0.224, 0.225),
    )
    size: int | None = option(
        None,
        "the side of the model's images, in pixels; by default the model's own, but that of the images of an .npz file "
        "or of torchvision's data sets where these are small squares (CIFAR's 32)",
    )
    resize: int | None = option(
        None,
        "what an image's shorter side is resized to, before its centre is cut out; by default the model's own; "
        "such small squares stay as they are",
    )
    model_options: Mapping[str, Any] = option(
        {}, 'further arguments of the model\'s constructor, such as \'{"pad_type": "same"}\''
    )

    def __post_init__(self) -> None:
        if not self.data:
            raise ValueError("data must be 'photos' or a folder, got ''")
        if self.model is not None:
            self._check_function(self.model)
        if self.data == "photos" and self.arch not in (None, "preact"):
            raise ValueError(f"arch: photos come with a model of their own, preact; got {self.arch!r}")
        for name in ("mean", "std"):
            value = getattr(self, name)
            if value is not None and len(value) != 3:
                raise ValueError(f"{name} must be three numbers, got {list(value)}")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError(f"std must be above 0, got {list(self.std)}")
        for name in ("classes", "mean", "std", "size", "resize"):
            if name in self.model_options:
                raise ValueError(f"model_options: {name} is an option of its own, --{name}")
        within(self, 8, None, "size", "resize")
        within(self, 2, None, "classes")
        if self.dataset is not None:
            choice(self, "dataset", Dataset)
        if self.dataset is not None and self.data == "photos":
            raise ValueError(f"data: give the folder that holds {self.dataset}, or is to hold it, with --data")
        if self.download and self.dataset is None:
            raise ValueError("download: give the name of the data set with --dataset")
        if self.resize is not None and self.size is not None and self.resize < self.size:
            raise ValueError(f"resize must be at least size ({self.size}), got {self.resize}")

    def _check_function(self, model: str) -> None:
        module, _, function = model.partition(":")
        if not module or not function:
            raise ValueError(f"model must be MODULE:FUNCTION, got {model!r}")
        for name in ("arch", "weights", "classes", "mean", "std", "model_options"):
            if getattr(self, name):
                raise ValueError(f"{name}: model gives the whole model, its weights and its normalisation included")

    def check_model(self) -> None:
        """Refuse a subject that names no model.

        Raises
        ------
        ValueError
            If a folder of images comes without an architecture.
        """
        if self.data != "photos" and self.arch is None and self.model is None:
            raise ValueError("arch: give the name of a model of timm or torchvision with --arch, or --model")

    def check_trainable(self) -> None:
        """Refuse a subject that nothing can be trained from.

        Raises
        ------
        ValueError
            If its model is a function, which cannot be saved with what it takes to make it again.
        """
        self.check_model()
        if self.model is not None:
            raise ValueError("model is for analyze, design and evaluate: training starts from arch and weights")


@dataclass(frozen=True, kw_only=True)
class Threat:
    """What an attacker may change."""

    eps: float = option(8.0, "the L-infinity bound of each change, in units of 1/255")

    def __post_init__(self) -> None:
        above(self, 0, "eps")
        within(self, 0, 255, "eps")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and how it is computed; no part of what a run is known by."""

    device: str = option("auto", '"auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", ...')
    workers: int = option(4, "processes that read images, for each process that trains")
    save_every: int = option(100, "steps between checkpoints within a training")
    batch: int = option(64, "images at a time in attacks and judging; another number gives other random starts")

    def __post_init__(self) -> None:
        within(self, 0, None, "workers")
        within(self, 1, None, "save_every", "batch")


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What training starts from, and how its images are varied."""

    scratch: float | None = option(
        None,
        "first train M from random weights for this number of epochs (one cycle of the learning rate, up to 0.1); by "
        "default M has weights",
    )
    augment: Augmentation = option(
        "auto",
        '"shift": shifted by up to --padding pixels and mirrored at random; "crop": a random part of the image, '
        'resized and mirrored at random; "none"; "auto": shift for models of up to 96 pixels, else crop. The images of '
        "photos have an augmentation of their own",
    )
    padding: int = option(4, "the largest shift, in pixels")
    scale: tuple[float, ...] = option((0.08, 1.0), "the smallest and the largest share of an image's area in a crop")

    def __post_init__(self) -> None:
        above(self, 0, "scratch")
        choice(self, "augment", Augmentation)
        within(self, 0, None, "padding")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale must be two numbers in 0..1, the second not below the first, got {self.scale}")

    def check(self, subject: Subject) -> None:
        """Refuse a subject that nothing can be trained from, or that this does not fit.

        Raises
        ------
        ValueError
            See `Subject.check_trainable`; or if M is to be trained, and has weights.
        """
        subject.check_trainable()
        if self.scratch is not None and (subject.data == "photos" or subject.weights is not None):
            raise ValueError("scratch is for an arch without weights; photos train M by themselves")
