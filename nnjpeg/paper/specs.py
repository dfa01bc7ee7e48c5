"""The paper's experiments as values: all that decides about their results, each option with its help.

Neither torch nor `nnjpeg.robust` is needed to make one; `nnjpeg.paper.fields` turns names and texts into them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from nnjpeg.paper.fields import one_of, option

__all__ = [
    "ADVERSARIAL", "CHAINS", "Analyze", "Certify", "Design", "Evaluate", "Figure6", "Machine", "Preparation",
    "Reproduce", "Scenario", "Spec", "Subject", "Table1", "Threat", "Train",
]  # fmt: skip

Search = Literal["fgsm", "ifgsm", "pgd"]
Method = Literal["noisy", "vaccination", "plain", "fast", "free", "pgd", "none"]
Precision = Literal["no", "bf16", "fp16"]
Dataset = Literal["cifar10", "cifar100", "fashion-mnist", "mnist", "stl10", "svhn"]
Preset = Literal["photos", "photos-full", "cifar10", "cifar10-hour", "imagenet"]
Augmentation = Literal["auto", "shift", "crop", "none"]
Scenario = Literal[
    "gray-box", "black-box", "white-box", "random", "optimiser", "colors", "equal", "curve", "convergence",
    "autoattack",
]  # fmt: skip

CHAINS = ("noisy", "vaccination")
"""Methods of training that give a model for each quality."""

ADVERSARIAL = ("fast", "free", "pgd")
"""Methods of adversarial training."""

# Checks; None is for options that are not given, and a list is checked by element


def _values(spec: Any, name: str) -> Sequence[Any]:
    value = getattr(spec, name)
    return () if value is None else value if isinstance(value, tuple) else (value,)


def _within(spec: Any, low: float, high: float | None, *names: str) -> None:
    for name in names:
        for value in _values(spec, name):
            if not (low <= value and (high is None or value <= high)):  # so that NaN is outside
                accepted = f"at least {low}" if high is None else f"in {low}..{high}"
                raise ValueError(f"{name} must be {accepted}, got {value:g}")


def _above(spec: Any, low: float, *names: str) -> None:
    for name in names:
        for value in _values(spec, name):
            if not value > low:
                raise ValueError(f"{name} must be above {low}, got {value:g}")


def _at_most(spec: Any, name: str, bound: str) -> None:
    if getattr(spec, name) > getattr(spec, bound):
        raise ValueError(f"{name} must be at most {bound} ({getattr(spec, bound)}), got {getattr(spec, name)}")


def _not_empty(spec: Any, *names: str) -> None:
    for name in names:
        if not getattr(spec, name):
            raise ValueError(f"{name} must not be empty")


def _choice(spec: Any, name: str, choices: Any) -> None:
    one_of(name, getattr(spec, name), choices)


# What several experiments share


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The model and the images."""

    data: str = option(
        "photos",
        '"photos", patches of scikit-image\'s photographs with a small model of their own; or images of your own: a '
        "folder with a subfolder for each class, or with such folders in train and in test or val; an .npz file of "
        "x_train, y_train, x_test and y_test; webdataset shards (.tar, or a pattern in quotes); a folder that "
        "datasets.save_to_disk wrote, or hf:NAME of Hugging Face's hub; with dataset, the folder in which torchvision "
        "keeps it. Where images for training and for the test lie apart, each is taken for its purpose",
        folder=("photos",),
    )
    dataset: Dataset | None = option(None, "the data set that torchvision reads from the folder data")
    download: bool = option(False, "fetch the data set into the folder data, unless it is there", identity=False)
    arch: str | None = option(
        None,
        "resnet20, which has weights for CIFAR-10 with the package, resnet32, resnet44 or resnet56; or a model of timm "
        "or torchvision; photos have their own",
    )
    model: str | None = option(
        None,
        "in place of arch, any model of your own, as MODULE:FUNCTION: the function takes no arguments and returns a "
        "module from float images (B, 3, H, W) in [0, 1] to logits; the working directory is searched first",
    )
    weights: Path | None = option(
        None,
        "a file of the model's weights, safetensors or torch's; by default those of the hub, and for photos the model "
        "is trained first",
    )
    classes: int | None = option(None, "how many classes the model knows; by default as many as its architecture has")
    mean: tuple[float, ...] | None = option(
        None, "means of R, G, B in [0, 1], by which images are normalised; by default the model's own"
    )
    std: tuple[float, ...] | None = option(
        None, "deviations of R, G, B in [0, 1], by which images are normalised; by default the model's own"
    )
    size: int | None = option(
        None,
        "the side of the model's images, in pixels; by default the model's own, but that of small images (CIFAR's 32) "
        "where the data has such",
    )
    resize: int | None = option(
        None,
        "what an image's shorter side is resized to, before its centre is cut out; by default the model's own; small "
        "images stay as they are",
    )
    model_options: Mapping[str, Any] = option({}, 'more for the model\'s constructor, such as \'{"pad_type": "same"}\'')

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
        _within(self, 8, None, "size", "resize")
        _within(self, 2, None, "classes")
        if self.dataset is not None:
            _choice(self, "dataset", Dataset)
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
        _above(self, 0, "eps")
        _within(self, 0, 255, "eps")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and how it is computed; no part of what a run is known by."""

    device: str = option("auto", '"auto", "cpu", "cuda", ...')
    workers: int = option(4, "processes that read images, for each process that trains")
    save_every: int = option(100, "steps between checkpoints within a training")
    batch: int = option(64, "images at a time in attacks and judging; random starts differ with it")

    def __post_init__(self) -> None:
        _within(self, 0, None, "workers")
        _within(self, 1, None, "save_every", "batch")


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What training starts from, and how its images are varied."""

    scratch: float | None = option(
        None,
        "train M from random weights first, for so many epochs (one cycle of the learning rate, up to 0.1); by default "
        "M has weights",
    )
    augment: Augmentation = option(
        "auto",
        '"shift", by up to padding pixels, and mirrored; "crop", a share of the area, resized and mirrored; "none"; '
        '"auto" is shift for models of up to 96 pixels, else crop; photos have their own',
    )
    padding: int = option(4, "pixels, of shift")
    scale: tuple[float, ...] = option((0.08, 1.0), "the least and the largest share, of crop")

    def __post_init__(self) -> None:
        _above(self, 0, "scratch")
        _choice(self, "augment", Augmentation)
        _within(self, 0, None, "padding")
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


# The experiments


@dataclass(frozen=True, kw_only=True)
class Analyze:
    """Measure the standard deviation of each DCT coefficient, for images and for adversarial perturbations."""

    subject: Subject = Subject()
    threat: Threat = Threat()
    images: int = option(1000, "how many images the model must have labelled right, to be attacked")
    attack: Search = option("fgsm", "the attack that makes the perturbations")
    seed: int = option(0, "of the choice of images, of the small model and of PGD")

    def __post_init__(self) -> None:
        self.subject.check_model()
        _choice(self, "attack", Search)
        _within(self, 1, None, "images")
        _within(self, 0, None, "seed")


@dataclass(frozen=True, kw_only=True)
class Design:
    """Search the table with the best defence among those that cost little benign accuracy (Algorithm 1)."""

    subject: Subject = Subject()
    threat: Threat = Threat()
    benign: int = option(1000, "how many images benign accuracy is measured on")
    adversarial: int = option(200, "how many of them, labelled right before the attack, the defence is measured on")
    attack: Search = option("fgsm", "the attack, which knows of no table")
    diagonals: tuple[int, ...] = option(tuple(range(1, 15)), "numbers k of anti-diagonals that are original-favoured")
    steps: tuple[int, ...] = option(
        (*range(1, 50, 5), 50, *range(51, 122, 5)),
        "QS_AF, steps of the adversarial-favoured bands; by default Algorithm 1's, and the 50 that the paper adopts",
    )
    qs_of: int | Literal["eps"] = option("eps", 'QS_OF, the step of the original-favoured bands; "eps" is 16 times eps')
    measured: tuple[int, ...] = option(
        (), "numbers of bands that are original-favoured by the measured order of delta', beside the diagonals"
    )
    max_loss: float = option(1.0, "points of benign accuracy that a table may cost")
    min_defence: float = option(
        50.0, "percent of adversarial images that must be labelled right for a table to be called useful"
    )
    figure4: bool = option(True, "also sweep one step for all bands, in RGB and in YCbCr")
    seed: int = option(0, "of the choice of images, of the small model and of PGD")

    def __post_init__(self) -> None:
        self.subject.check_model()
        _choice(self, "attack", Search)
        _within(self, 1, None, "benign", "adversarial")
        _at_most(self, "adversarial", "benign")
        _not_empty(self, "diagonals", "steps")
        _within(self, 1, 14, "diagonals")
        _within(self, 1, 255, "steps")
        _within(self, 1, 64, "measured")
        if isinstance(self.qs_of, str):
            _choice(self, "qs_of", Literal["eps"])
        else:
            _within(self, 1, 255, "qs_of")
        _within(self, 0, 100, "max_loss", "min_defence")
        _within(self, 0, None, "seed")


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train the chain M -> M90 -> ... -> M30 with noise, and put M, M90, M70, M50 and M30 together as an ensemble."""

    subject: Subject = Subject()
    preparation: Preparation = Preparation()
    threat: Threat = Threat()
    val: str | None = option(
        None,
        "other images, to judge by, in any form of data; not needed for photos, nor where data holds images for the "
        "test as well",
        folder=(None,),
    )
    method: Method = option(
        "noisy",
        '"noisy", the paper\'s; or what it is compared with: "vaccination" (the same chain on JPEG images alone), '
        '"plain" (M trained further), adversarial training: "fast", "free", "pgd"; or "none": M alone',
    )
    start: Literal["random", "M"] = option(
        "random", "what adversarial training starts from: random weights, as its authors do, or M"
    )
    through: tuple[int, ...] = option(
        (),
        "qualities of NN-JPEG: for each, adversarial training makes a model that sees its images through it, and is "
        "attacked through it by a smooth rounding (50: the table as it is); several judge as an ensemble too",
    )
    qualities: tuple[int, ...] = option((90, 80, 70, 60, 50, 40, 30), "of the chain, falling")
    members: tuple[int, ...] = option((90, 70, 50, 30), "qualities of the models that judge beside M in the ensemble")
    table: Path | None = option(
        None, "a file of a quantization table, such as nnjpeg design writes; by default the paper's 16 / 50"
    )
    xi: float = option(0.9, "the weight of the images as they are in noisy training")
    noise: float | None = option(None, "the deviation of the noise, in units of 1/255; by default eps")
    epochs: float | None = option(
        None,
        "for each quality of a chain (by default 2, which makes 14), otherwise in all (by default of plain 14, of the "
        "others what their authors have)",
    )
    lr: float | None = option(
        None, "the first learning rate of a chain and of plain (by default 0.005), the highest one of the others"
    )
    decay: float = option(0.94, "of the learning rate with each epoch, for chains and plain")
    momentum: float = option(0.9, "of SGD, for chains and plain")
    weight_decay: float = option(1e-4, "of SGD, for chains and plain")
    train_batch: int = option(64, "images at a time in training, of all processes together")
    accumulate: int = option(1, "batches of gradients to one step of the weights")
    mixed_precision: Precision = option("no", '"no" for float32, or mixed with bf16 or fp16')
    images: int = option(1000, "how many images accuracy is measured on")
    patches: int = option(4200, "how many patches of photos to train on")
    seed: int = option(0, "of the choice and order of images, of the small model and of all that is drawn")

    def __post_init__(self) -> None:
        self.preparation.check(self.subject)
        _choice(self, "method", Method)
        _choice(self, "mixed_precision", Precision)
        _not_empty(self, "qualities")
        _within(self, 1, 100, "qualities")
        if any(a <= b for a, b in pairwise(self.qualities)):
            raise ValueError(f"qualities must fall from one model of the chain to the next, got {list(self.qualities)}")
        outside = [quality for quality in self.members if quality not in self.qualities]
        if self.method in CHAINS and outside:
            raise ValueError(f"members must be qualities of the chain, {list(self.qualities)}; got {outside[0]}")
        _choice(self, "start", Literal["random", "M"])
        _within(self, 1, 100, "through")
        if len(set(self.through)) < len(self.through):
            raise ValueError(f"through must not name a quality twice, got {list(self.through)}")
        for name in ("start", "through"):
            if self.method not in ADVERSARIAL and getattr(self, name) not in ("random", ()):
                raise ValueError(
                    f"{name} is for adversarial training: {', '.join(ADVERSARIAL)}; method is {self.method}"
                )
        _within(self, 0, 1, "xi", "decay", "momentum")
        _within(self, 0, None, "noise", "weight_decay", "seed")
        _above(self, 0, "epochs", "lr")
        _within(self, 1, None, "train_batch", "accumulate", "images", "patches")


@dataclass(frozen=True, kw_only=True)
class Figure6:
    """Judge every model that nnjpeg train has left behind NN-JPEG of every quality, benign and attacked."""

    models: Path = option(help="the run folder of nnjpeg train")
    # The paper's, in units of 1: 0.008.
    threat: Threat = Threat(eps=2.04)
    images: int = option(700, "how many benign images")
    attacked: int = option(100, "how many of them, labelled right by M, are attacked")
    attack: Literal["ifgsm", "pgd"] = option("ifgsm", '"ifgsm" has steps of eps, "pgd" of a quarter of it')
    steps: int = option(10, "of the attack")

    def __post_init__(self) -> None:
        _choice(self, "attack", Literal["ifgsm", "pgd"])
        _within(self, 1, None, "images", "attacked", "steps")
        _at_most(self, "attacked", "images")


@dataclass(frozen=True, kw_only=True)
class Table1:
    """Train this method, Fast AT and Free AT, and attack each with PGD: accuracy, robustness and time."""

    subject: Subject = Subject()
    preparation: Preparation = Preparation()
    threat: Threat = Threat()
    val: str | None = option(
        None,
        "other images, to judge by, in any form of data; not needed for photos, nor where data holds images for the "
        "test as well",
        folder=(None,),
    )
    models_of: Path | None = option(
        None, "the run folder of nnjpeg train: its ensemble is judged too, and its training's seconds are told"
    )
    table: Path | None = option(
        None, "a file of a quantization table for this method's training; by default the paper's 16 / 50"
    )
    epochs: tuple[float, ...] = option(
        (2.0, 4.0),
        "of this method, for each of the seven qualities: 2 and 4 are the paper's 14 and 28; none with models_of "
        "will do",
    )
    adversarial_epochs: float | None = option(None, "of Fast AT and of Free AT; by default 15 and 22.5, their authors'")
    restarts: tuple[int, ...] = option((1, 10), "of PGD, a column each")
    steps: int = option(50, "of PGD, 1/255 each")
    images: int = option(700, "how many benign images")
    attacked: int = option(100, "how many of them, labelled right by M, are attacked")
    train_batch: int = option(
        64,
        "images at a time in training; for folders Fast AT's first phase has eight times, Free AT four times as many, "
        "as their authors do",
    )
    mixed_precision: Precision = option("no", '"no" for float32, or mixed with bf16 or fp16')
    patches: int = option(4200, "how many patches of photos to train on")
    seed: int = option(0, "of all that is drawn")

    def __post_init__(self) -> None:
        self.preparation.check(self.subject)
        _choice(self, "mixed_precision", Precision)
        if not self.epochs and self.models_of is None:
            raise ValueError("epochs must not be empty without models_of: nothing of this method would be judged")
        _above(self, 0, "epochs", "adversarial_epochs")
        _not_empty(self, "restarts")
        _within(self, 1, None, "restarts", "steps", "images", "attacked", "train_batch", "patches")
        _at_most(self, "attacked", "images")
        _within(self, 0, None, "seed")


@dataclass(frozen=True, kw_only=True)
class Certify:
    """Certify networks by randomized smoothing, with and without NN-JPEG between the noise and the network."""

    subject: Subject = Subject()
    preparation: Preparation = Preparation()
    val: str | None = option(
        None,
        "other images, to judge by, in any form of data; not needed for photos, and where data holds images for the "
        "test as well",
        folder=(None,),
    )
    sigmas: tuple[float, ...] = option((0.12, 0.25, 0.5), "deviations of the noise, for images in [0, 1]")
    radii: tuple[float, ...] = option((0.0, 0.25, 0.5, 0.75, 1.0), "L2 norms to certify, for images in [0, 1]")
    n0: int = option(100, "draws that choose a class")
    n: int = option(10_000, "draws that count it; the largest radius that can be certified grows with them")
    alpha: float = option(0.001, "the probability, for each image, that its certificate is wrong")
    images: int = option(200, "how many images are certified")
    table: Path | None = option(None, "a file of a quantization table; by default the paper's 16 / 50")
    quality: int = option(50, "of NN-JPEG; at 50 the table is used as it is")
    mixed_precision: Precision = option(
        "no", '"no" for float32, or mixed with bf16 or fp16: in training, and in the networks that are certified'
    )
    epochs: float = option(2.0, "of training with noise, for each network, from M")
    lr: float = option(0.005, "the first learning rate")
    decay: float = option(0.94, "of the learning rate with each epoch")
    train_batch: int = option(64, "images at a time in training, of all processes together")
    patches: int = option(4200, "how many patches of photos to train on")
    seed: int = option(0, "of all that is drawn")

    def __post_init__(self) -> None:
        self.preparation.check(self.subject)
        _choice(self, "mixed_precision", Precision)
        _not_empty(self, "sigmas", "radii")
        _above(self, 0, "sigmas", "alpha", "epochs", "lr")
        _within(self, 0, None, "radii", "seed")
        _within(self, 0, 1, "alpha", "decay")
        _within(self, 1, 100, "quality")
        _within(self, 1, None, "n0", "n", "images", "train_batch", "patches")


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Attack defences in gray-box, black-box and white-box, and tell who holds, against whom, and at what cost."""

    subject: Subject = Subject()
    threat: Threat = Threat()
    scenarios: tuple[Scenario, ...] = option(
        get_args(Scenario),
        "which tables to make: what the attacker knows (gray-box, black-box, white-box, random: white-box on random "
        "defences), BPDA beside PGD (optimiser), Figure 5 (colors), defences at equal benign accuracy (equal), "
        "accuracy by eps (curve), whether attacks have converged (convergence), and AutoAttack's standard version, of "
        "the first images, as many as `attacked` and labelled right or not (autoattack)",
    )
    thorough: bool = option(
        True,
        "attack every defence in white-box, by every loss, by every view of an ensemble and by all of AutoAttack; "
        "else only no defence, NN-JPEG and the ensemble, by cross-entropy, the margin, APGD-CE and Square",
    )
    models_of: Path | None = option(None, "the run folder of nnjpeg train, for M, noisy training and the ensemble")
    replicas: tuple[Path, ...] = option(
        (), "run folders of nnjpeg train with other seeds, whose ensembles are judged too"
    )
    control: Path | None = option(
        None, "the run folder of nnjpeg train --method plain: what as much training without noise gives"
    )
    adversarial: tuple[Path, ...] = option(
        (),
        "run folders of nnjpeg train with adversarial training, whose models are judged too, and behind NN-JPEG",
    )
    other: str | None = option(
        None, 'another architecture, from which attacks are transferred; for photos "plain" by default'
    )
    other_weights: Path | None = option(None, "a file of its weights")
    other_options: Mapping[str, Any] = option({}, "more for its constructor")
    table: Path | None = option(None, "a file of a quantization table; by default the paper's 16 / 50")
    more_eps: tuple[float, ...] = option(
        (), "further bounds for the attacks of gray-box and black-box, in units of 1/255 (Table 2 has three)"
    )
    images: int = option(700, "how many benign images")
    attacked: int = option(100, "how many of them, labelled right by M, are attacked")
    curve: tuple[float, ...] = option(
        (1.0, 2.0, 4.0, 8.0, 16.0, 32.0), "bounds for the curve of accuracy, in units of 1/255"
    )
    steps: int = option(
        100,
        "of PGD, APGD and FAB in white-box; a fifth of them where defences are random or many, a tenth for I-FGSM and "
        "DI-FGSM",
    )
    restarts: int = option(1, "of PGD and APGD-CE in white-box")
    cw_steps: int = option(1000, "steps of C&W in each of its five rounds of binary search")
    bpda_steps: int = option(1000, "of BPDA; its authors' are 1000")
    queries: int = option(1000, "of the Square attack; in autoattack five times as many, as its authors have")
    samples: int = option(
        8, "draws of a defence for each gradient in the scenario random; doubled, up to 64, until that changes nothing"
    )
    keep: Literal["transferred", "all"] = option(
        "transferred",
        'which adversarial images to keep: "transferred", those that several defences share; "all", also those of each '
        "attack on a whole defence (15 bytes a pixel and image, some hundred such sets)",
    )
    seed: int = option(0, "of all that is drawn")

    def __post_init__(self) -> None:
        if self.models_of is None:
            self.subject.check_model()
        if self.subject.data == "photos" and self.other_weights is None and self.other not in (None, "preact", "plain"):
            raise ValueError(f"other: without other_weights, photos have preact and plain; got {self.other!r}")
        if self.other is None and self.other_weights is not None:
            raise ValueError("other: give the name of the architecture of other_weights")
        _choice(self, "keep", Literal["transferred", "all"])
        _not_empty(self, "scenarios", "curve")
        _above(self, 0, "curve", "more_eps")
        _within(self, 0, 255, "curve", "more_eps")
        if self.replicas and self.models_of is None:
            raise ValueError("replicas: give the first of the run folders with models_of")
        _within(
            self, 1, None, "images", "attacked", "steps", "restarts", "cw_steps", "bpda_steps", "queries", "samples"
        )
        _at_most(self, "attacked", "images")
        _within(self, 0, None, "seed")


@dataclass(frozen=True, kw_only=True)
class Reproduce:
    """Run every stage of the paper, and write report.html."""

    preset: Preset = option(
        "photos",
        '"photos", sizes for two cores and a short while; "photos-full", the same with the sizes of each command; '
        '"cifar10", from ResNet-20 with its published weights, which takes two cores a night; "cifar10-hour", every '
        'table of it in about an hour; "imagenet", the paper\'s sizes and models',
    )
    data: Path | None = option(
        None,
        "for cifar10, its images in any form that nnjpeg train takes; for imagenet, a folder with train and val in it, "
        "each with a folder for each class",
    )
    download: bool = option(False, "fetch CIFAR-10 into the folder data, unless it is there", identity=False)
    options: Mapping[str, Any] = option(
        {},
        'what is to differ from the preset, by stage, such as \'{"evaluate": {"attacked": 200}}\'; "common" is for all '
        "stages that have the option",
        identity=False,
    )
    seed: int = option(0, "of all that is drawn")

    def __post_init__(self) -> None:
        _choice(self, "preset", Preset)
        if self.preset == "imagenet" and self.data is None:
            raise ValueError("data: give a folder with train and val in it with --data")
        if self.preset.startswith("cifar10") and self.data is None:
            raise ValueError("data: say with --data where CIFAR-10 is, or with --download as well where it is to be")
        if self.download and not self.preset.startswith("cifar10"):
            raise ValueError(f"download is for CIFAR-10; the preset is {self.preset}")
        if self.preset.startswith("photos") and self.data is not None:
            raise ValueError(f"data: the preset {self.preset} has images of its own; got {str(self.data)!r}")
        _within(self, 0, None, "seed")
        from nnjpeg.paper import presets  # which is made of these classes

        presets.stages(self, Path())  # a wrong option is refused at once, and not when its stage's turn has come


Spec = Analyze | Certify | Design | Train | Figure6 | Table1 | Evaluate | Reproduce
