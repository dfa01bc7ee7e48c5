"""The paper's experiments as values: all that decides about their results, each option with its help.

Neither torch nor `nnjpeg.robust` is needed to make one; `nnjpeg.paper.fields` turns names and texts into them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from nnjpeg.paper.fields import option, options_of
from nnjpeg.paper.shared import (
    Machine,
    Preparation,
    Subject,
    Threat,
    above,
    at_most,
    check_other,
    choice,
    distinct,
    not_empty,
    within,
)

__all__ = [
    "ADVERSARIAL", "CHAINS", "Analyze", "Certify", "Design", "Evaluate", "Figure6", "Learn", "Machine", "Preparation",
    "Reproduce", "Scenario", "Spec", "Subject", "Table1", "Threat", "Train",
]  # fmt: skip

Search = Literal["fgsm", "ifgsm", "pgd"]
Method = Literal["noisy", "vaccination", "plain", "fast", "free", "pgd", "none"]
Precision = Literal["no", "bf16", "fp16"]
Preset = Literal["photos", "photos-full", "cifar10", "cifar10-hour", "imagenet"]
Scenario = Literal[
    "gray-box", "black-box", "white-box", "random", "optimiser", "colors", "equal", "curve", "convergence",
    "autoattack",
]  # fmt: skip

CHAINS = ("noisy", "vaccination")
"""Methods of training that give a model for each quality."""

ADVERSARIAL = ("fast", "free", "pgd")
"""Methods of adversarial training."""

_VAL = (
    "other images to measure accuracy on, in any form that --data takes; not needed for photos, and not if --data has "
    "test images"
)
_TABLE = "a file of a quantization table, such as nnjpeg design writes; by default the paper's 16 / 50"
_TABLE_OF_MODELS = (
    "a file of a quantization table, such as nnjpeg design writes; by default the one that the given models were "
    "trained with, else the paper's 16 / 50; models that were trained with another table are refused"
)
_MIXED = '"no": float32; "bf16" or "fp16": mixed precision'
_PATCHES = "how many patches of photos to train on"


@dataclass(frozen=True, kw_only=True)
class Analyze:
    """Measure the standard deviation of each DCT coefficient, for images and for adversarial perturbations."""

    subject: Subject = Subject()
    threat: Threat = Threat()
    images: int = option(1000, "how many images to attack; only images that the model labels right are used")
    attack: Search = option("fgsm", "the attack that makes the perturbations")
    seed: int = option(0, "the seed of the choice of images, of the small model and of PGD")

    def __post_init__(self) -> None:
        self.subject.check_model()
        choice(self, "attack", Search)
        within(self, 1, None, "images")
        within(self, 0, None, "seed")


@dataclass(frozen=True, kw_only=True)
class Design:
    """Search for the table with the best defence among those that cost little benign accuracy (Algorithm 1)."""

    subject: Subject = Subject()
    threat: Threat = Threat()
    benign: int = option(1000, "how many images benign accuracy is measured on")
    adversarial: int = option(200, "how many of them, labelled right before the attack, the defence is measured on")
    attack: Search = option("fgsm", "the attack, which does not know the table")
    diagonals: tuple[int, ...] = option(
        tuple(range(1, 15)),
        "numbers of anti-diagonals, from the lowest frequency on, that get the step QS_OF (original-favoured bands: "
        "those that are strong in natural images)",
    )
    steps: tuple[int, ...] = option(
        (*range(1, 50, 5), 50, *range(51, 122, 5)),
        "QS_AF, the steps of all other bands (adversarial-favoured); by default Algorithm 1's, and the 50 that the "
        "paper adopts",
    )
    qs_of: int | Literal["eps"] = option(
        "eps", 'QS_OF, the step of the original-favoured bands; "eps" means 16 times --eps; the paper adopts 16'
    )
    measured: tuple[int, ...] = option(
        (),
        "also try tables whose original-favoured bands are the first N bands in the measured order of delta', the "
        "ratio of the deviation of perturbations to that of images",
    )
    max_loss: float = option(1.0, "how many percentage points of benign accuracy a table may cost")
    min_defence: float = option(
        50.0, "percent of adversarial images that must be labelled right for a table to be called useful"
    )
    figure4: bool = option(True, "also try tables with one step for all bands, in RGB and in YCbCr (Figure 4)")
    seed: int = option(0, "the seed of the choice of images, of the small model and of PGD")

    def __post_init__(self) -> None:
        self.subject.check_model()
        choice(self, "attack", Search)
        within(self, 1, None, "benign", "adversarial")
        at_most(self, "adversarial", "benign")
        not_empty(self, "diagonals", "steps")
        within(self, 1, 14, "diagonals")
        within(self, 1, 255, "steps")
        within(self, 1, 64, "measured")
        if isinstance(self.qs_of, str):
            choice(self, "qs_of", Literal["eps"])
        else:
            within(self, 1, 255, "qs_of")
        within(self, 0, 100, "max_loss", "min_defence")
        within(self, 0, None, "seed")


@dataclass(frozen=True, kw_only=True)
class Learn:
    """Learn quantization tables by gradient descent: few bits, or a good defence, at little loss for a network."""

    subject: Subject = Subject()
    objective: Literal["bytes", "adversary"] = option(
        "bytes",
        'what tables are learned for. "bytes": few bits per pixel; "adversary": that adversarial images, which were '
        "made without a table, are labelled right (gray-box, the objective of Algorithm 1)",
    )
    tables: Literal["one", "luma-chroma", "component"] = option(
        "luma-chroma", "how many tables: one for all components; one of luma and one of chroma; or one for each"
    )
    colorspace: Literal["rgb", "ycbcr"] = option("ycbcr", "what is coded")
    subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = option("4:2:0", "the subsampling of chroma, where YCbCr is coded")
    optimize: bool = option(
        False, "for bytes: whether all files have Huffman tables of their own in place of the standard ones"
    )
    loss: Literal["divergence", "cross-entropy"] = option(
        "divergence",
        "what the network loses on benign images: the Kullback-Leibler divergence of its outputs on compressed images "
        "from those on the originals, which needs no labels; or the cross-entropy with the labels",
    )
    lambdas: tuple[float, ...] = option(
        (1.0, 3.0, 10.0, 30.0, 100.0, 300.0),
        "the weights of this loss; a table is learned for each. For bytes, how many bits per pixel one unit (nat) of "
        "the loss is worth; for adversary, how many nats of the cross-entropy on adversarial images",
    )
    start: tuple[int, ...] | None = option(
        None,
        "qualities of JPEG's standard tables. Learning starts from each, and the table that is best on the held-out "
        "images is kept; by default 50, and for adversary 20 and 80",
    )
    gradient: Literal["straight-through", "cubic"] = option(
        "straight-through", "the gradient of the rounding of coefficients"
    )
    lr: float = option(0.1, "the learning rate of Adam, on the logarithms of the steps; it falls to 0 by a cosine")
    epochs: int = option(10, "the largest number of passes over the images that are learned from")
    patience: int = option(3, "learning stops after this many passes without a better table on the held-out images")
    learned: int = option(420, "how many images are learned from")
    held_out: int = option(140, "how many other images decide when to stop")
    images: int = option(700, "how many further images the tables are judged on")
    train_batch: int = option(32, "images at a time in learning")
    qualities: tuple[int, ...] = option(
        (10, 20, 30, 40, 50, 60, 75, 85, 90, 95),
        "qualities of the standard tables, with which the learned tables are compared",
        example=(50, 75, 90),
    )
    other: str | None = option(
        None, 'for bytes: another architecture, on which the tables are judged as well; for photos "plain" by default'
    )
    other_weights: Path | None = option(None, "a file of its weights")
    other_options: Mapping[str, Any] = option({}, "further arguments of its constructor")
    threat: Threat = Threat()
    attack: Search = option(
        "fgsm",
        "for adversary: the attack that makes the images which are learned from; tables are judged by it, FGSM and PGD",
    )
    attacked: int = option(
        100, "for adversary: how many of the images that are judged on, labelled right before, are attacked"
    )
    diagonals: tuple[int, ...] = option(
        (2, 4, 6, 8, 11),
        "for adversary: numbers of anti-diagonals that get QS_OF in the tables of two steps, with which the learned "
        "tables are compared",
    )
    qs_of: tuple[int, ...] = option((1, 16), "for adversary: QS_OF, the step of these anti-diagonals")
    steps: tuple[int, ...] = option((21, 31, 50, 81, 121), "for adversary: QS_AF, the step of the other bands")
    seed: int = option(0, "the seed of the choice and order of images, of the small model and of PGD")

    def __post_init__(self) -> None:
        self.subject.check_model()
        check_other(self)
        choice(self, "objective", Literal["bytes", "adversary"])
        self._check_objective()
        choice(self, "tables", Literal["one", "luma-chroma", "component"])
        choice(self, "colorspace", Literal["rgb", "ycbcr"])
        choice(self, "subsampling", Literal["4:4:4", "4:2:2", "4:2:0"])
        choice(self, "loss", Literal["divergence", "cross-entropy"])
        choice(self, "gradient", Literal["straight-through", "cubic"])
        if self.colorspace == "rgb" and self.subsampling != "4:4:4":
            raise ValueError(f"subsampling must be 4:4:4 where RGB is coded, got {self.subsampling}")
        if self.colorspace == "rgb" and self.tables == "luma-chroma":
            raise ValueError("tables must be one or component where RGB is coded, got luma-chroma")
        choice(self, "attack", Search)
        not_empty(self, "lambdas", "qualities", "diagonals", "qs_of", "steps")
        if self.start is not None:
            not_empty(self, "start")
        distinct(self, "lambdas", "qualities", "start", "diagonals", "qs_of", "steps")
        above(self, 0, "lambdas", "lr")
        for name, values in (("lambdas", self.lambdas), ("lr", (self.lr,))):
            if not all(map(math.isfinite, values)):
                raise ValueError(f"{name} must be finite, got {values if name == 'lambdas' else self.lr}")
        within(self, 1, 100, "start", "qualities")
        if self.objective == "bytes" and 75 not in self.qualities:
            raise ValueError(f"qualities must hold 75, which bytes are compared with, got {list(self.qualities)}")
        within(self, 1, None, "epochs", "patience", "learned", "held_out", "images", "train_batch", "attacked")
        if self.objective == "adversary":
            at_most(self, "attacked", "images")
        within(self, 1, 14, "diagonals")
        within(self, 1, 255, "qs_of", "steps")
        within(self, 0, None, "seed")

    def _check_objective(self) -> None:
        """Refuse what the other objective alone has.

        Raises
        ------
        ValueError
            Names the first option that does not fit.
        """
        owners = {
            "bytes": ("optimize", "other", "other_weights", "other_options"),
            "adversary": ("attack", "attacked", "diagonals", "qs_of", "steps"),
        }
        (other,) = set(owners) - {self.objective}
        defaults = {one.name: one.default for one in options_of(type(self))}
        changed = [name for name in owners[other] if getattr(self, name) != defaults[name]]
        if self.objective == "bytes" and self.threat != Threat():
            changed.append("eps")
        if changed:
            raise ValueError(f"{changed[0]} is for objective {other}; objective is {self.objective}")

    @property
    def starts(self) -> tuple[int, ...]:
        """`start`, or what it is by default."""
        return self.start or ((50,) if self.objective == "bytes" else (20, 80))


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train the chain M -> M90 -> ... -> M30 with noise, and put M, M90, M70, M50 and M30 together as an ensemble."""

    subject: Subject = Subject()
    preparation: Preparation = Preparation()
    threat: Threat = Threat()
    val: str | None = option(None, _VAL, folder=(None,))
    method: Method = option(
        "noisy",
        '"noisy" is the paper\'s. The others are what it is compared with: "vaccination" (the same chain on JPEG '
        'images alone), "plain" (M trained further), "fast", "free" or "pgd" (adversarial training), "none" (only M)',
    )
    start: Literal["random", "M"] = option(
        "random", "what adversarial training starts from: random weights, as its authors do, or M"
    )
    through: tuple[int, ...] = option(
        (),
        "qualities of NN-JPEG. For each, adversarial training trains a model on images compressed at this quality (50: "
        "the table unchanged); the attack uses the gradient of a smooth rounding. Several models also form an ensemble",
        example=(90, 50),
    )
    qualities: tuple[int, ...] = option(
        (90, 80, 70, 60, 50, 40, 30), "the qualities of the chain, from the highest down"
    )
    members: tuple[int, ...] = option((90, 70, 50, 30), "qualities of the models that form the ensemble with M")
    table: Path | None = option(None, _TABLE)
    xi: float = option(0.9, "the weight of the unchanged images in the loss of noisy training")
    noise: float | None = option(None, "the standard deviation of the noise, in units of 1/255; by default --eps")
    epochs: float | None = option(
        None,
        "epochs; for a chain, of each quality (by default 2, so 14 in all); for plain training, of all of it (by "
        "default 14); for adversarial training, of all of it (by default as many as its authors take)",
    )
    lr: float | None = option(
        None,
        "the first learning rate of a chain and of plain training (by default 0.005); the highest learning rate of "
        "adversarial training (by default that of its authors)",
    )
    decay: float = option(0.94, "the factor of the learning rate with each epoch, for chains and plain training")
    momentum: float = option(0.9, "the momentum of SGD, for chains and plain training")
    weight_decay: float = option(1e-4, "the weight decay of SGD, for chains and plain training")
    train_batch: int = option(64, "images at a time in training, of all processes together")
    accumulate: int = option(1, "batches whose gradients are added up for one step of the weights")
    mixed_precision: Precision = option("no", _MIXED)
    images: int = option(1000, "how many images accuracy is measured on")
    patches: int = option(4200, _PATCHES)
    seed: int = option(0, "the seed of the order of images, of the small model and of all random numbers")

    def __post_init__(self) -> None:
        self.preparation.check(self.subject)
        choice(self, "method", Method)
        choice(self, "mixed_precision", Precision)
        not_empty(self, "qualities")
        within(self, 1, 100, "qualities")
        if any(a <= b for a, b in pairwise(self.qualities)):
            raise ValueError(f"qualities must fall from one model of the chain to the next, got {list(self.qualities)}")
        outside = [quality for quality in self.members if quality not in self.qualities]
        if self.method in CHAINS and outside:
            raise ValueError(f"members must be qualities of the chain, {list(self.qualities)}; got {outside[0]}")
        choice(self, "start", Literal["random", "M"])
        within(self, 1, 100, "through")
        distinct(self, "through")
        for name in ("start", "through"):
            if self.method not in ADVERSARIAL and getattr(self, name) not in ("random", ()):
                raise ValueError(
                    f"{name} is for adversarial training: {', '.join(ADVERSARIAL)}; method is {self.method}"
                )
        within(self, 0, 1, "xi", "decay", "momentum")
        within(self, 0, None, "noise", "weight_decay", "seed")
        above(self, 0, "epochs", "lr")
        within(self, 1, None, "train_batch", "accumulate", "images", "patches")


@dataclass(frozen=True, kw_only=True)
class Figure6:
    """Judge every model that nnjpeg train has left behind NN-JPEG of every quality, benign and attacked."""

    models: Path = option(help="the run folder of nnjpeg train")
    # The paper's, in units of 1: 0.008.
    threat: Threat = Threat(eps=2.04)
    images: int = option(700, "how many benign images")
    attacked: int = option(100, "how many of them, labelled right by M, are attacked")
    attack: Literal["ifgsm", "pgd"] = option("ifgsm", '"ifgsm" has steps of size eps, "pgd" of size eps / 4')
    steps: int = option(10, "steps of the attack")

    def __post_init__(self) -> None:
        choice(self, "attack", Literal["ifgsm", "pgd"])
        within(self, 1, None, "images", "attacked", "steps")
        at_most(self, "attacked", "images")


@dataclass(frozen=True, kw_only=True)
class Table1:
    """Train this method, Fast AT and Free AT, and attack each with PGD: accuracy, robustness and time."""

    subject: Subject = Subject()
    preparation: Preparation = Preparation()
    threat: Threat = Threat()
    val: str | None = option(None, _VAL, folder=(None,))
    models_of: Path | None = option(
        None,
        "the run folder of nnjpeg train: its ensemble is judged too, and the table has the seconds of its training",
    )
    table: Path | None = option(None, _TABLE_OF_MODELS)
    epochs: tuple[float, ...] = option(
        (2.0, 4.0),
        "epochs of this method for each of the seven qualities: 2 and 4 make the paper's 14 and 28; with --models-of "
        "the list may be empty",
    )
    adversarial_epochs: float | None = option(
        None, "epochs of Fast AT and of Free AT; by default 15 and 22.5, as their authors take"
    )
    restarts: tuple[int, ...] = option((1, 10), "numbers of restarts of PGD; the table has a column for each")
    steps: int = option(50, "steps of PGD, each of size 1/255")
    images: int = option(700, "how many benign images")
    attacked: int = option(100, "how many of them, labelled right by M, are attacked")
    train_batch: int = option(
        64,
        "images at a time in training; for models of more than 96 pixels the first phase of Fast AT uses eight times "
        "as many, and Free AT four times as many, as their authors do",
    )
    mixed_precision: Precision = option("no", _MIXED)
    patches: int = option(4200, _PATCHES)
    seed: int = option(0, "the seed of all random numbers")

    def __post_init__(self) -> None:
        self.preparation.check(self.subject)
        choice(self, "mixed_precision", Precision)
        if not self.epochs and self.models_of is None:
            raise ValueError("epochs must not be empty without models_of: nothing of this method would be judged")
        above(self, 0, "epochs", "adversarial_epochs")
        not_empty(self, "restarts")
        within(self, 1, None, "restarts", "steps", "images", "attacked", "train_batch", "patches")
        at_most(self, "attacked", "images")
        within(self, 0, None, "seed")


@dataclass(frozen=True, kw_only=True)
class Certify:
    """Certify networks by randomized smoothing, with and without NN-JPEG between the noise and the network."""

    subject: Subject = Subject()
    preparation: Preparation = Preparation()
    val: str | None = option(None, _VAL, folder=(None,))
    sigmas: tuple[float, ...] = option((0.12, 0.25, 0.5), "standard deviations of the noise, for images in [0, 1]")
    radii: tuple[float, ...] = option((0.0, 0.25, 0.5, 0.75, 1.0), "L2 norms to certify, for images in [0, 1]")
    n0: int = option(100, "draws of the noise that choose a class")
    n: int = option(
        10_000, "draws that estimate the probability of that class; with more draws larger radii can be certified"
    )
    alpha: float = option(0.001, "the probability, for each image, that its certificate is wrong")
    images: int = option(200, "how many images are certified")
    table: Path | None = option(None, _TABLE)
    quality: int = option(50, "the quality of NN-JPEG; at 50 the table is unchanged")
    mixed_precision: Precision = option("no", f"{_MIXED}, in training and in the networks that are certified")
    epochs: float = option(2.0, "epochs of the training with noise, which starts from M, for each network")
    lr: float = option(0.005, "the first learning rate")
    decay: float = option(0.94, "the factor of the learning rate with each epoch")
    train_batch: int = option(64, "images at a time in training, of all processes together")
    patches: int = option(4200, _PATCHES)
    seed: int = option(0, "the seed of all random numbers")

    def __post_init__(self) -> None:
        self.preparation.check(self.subject)
        choice(self, "mixed_precision", Precision)
        not_empty(self, "sigmas", "radii")
        above(self, 0, "sigmas", "alpha", "epochs", "lr")
        within(self, 0, None, "radii", "seed")
        if math.inf in self.sigmas:
            raise ValueError("sigmas must be finite, got inf")
        distinct(self, "sigmas", "radii")
        within(self, 0, 1, "decay")
        if self.alpha >= 1:
            raise ValueError(f"alpha must be below 1, got {self.alpha:g}")
        within(self, 1, 100, "quality")
        within(self, 1, None, "n0", "n", "images", "train_batch", "patches")


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Attack defences in gray-box, black-box and white-box, and tell who holds, against whom, and at what cost."""

    subject: Subject = Subject()
    threat: Threat = Threat()
    scenarios: tuple[Scenario, ...] = option(
        get_args(Scenario),
        "which tables to make. gray-box: the attacker knows M; black-box: the attacker knows another network; "
        "white-box: the attacker knows the whole defence; random: the same for defences that draw at random; "
        "optimiser: BPDA beside PGD; colors: Figure 5; equal: defences at equal benign accuracy; curve: accuracy at "
        "several eps; convergence: whether the attacks have converged; autoattack: the standard version of AutoAttack "
        "on the first images, as many as --attacked, whether labelled right or not",
    )
    thorough: bool = option(
        True,
        "attack every defence in white-box, by every loss, by every view of an ensemble and by all of AutoAttack; "
        "with --no-thorough only no defence, NN-JPEG and the ensemble, by cross-entropy, margin, APGD-CE and Square",
    )
    defences: tuple[str, ...] = option(
        (),
        "judge these defences alone, named as in the column defence of the tables; with --no-thorough too, all of them "
        "that draw nothing are attacked in white-box; by default all defences",
        example=("none", "nn-jpeg", "ensemble"),
    )
    models_of: Path | None = option(
        None, "the run folder of nnjpeg train from which M, the models of noisy training and the ensemble are taken"
    )
    replicas: tuple[Path, ...] = option(
        (), "run folders of nnjpeg train with other seeds, whose ensembles are judged too"
    )
    control: Path | None = option(
        None, "the run folder of nnjpeg train --method plain: the model after as many epochs without noise"
    )
    adversarial: tuple[Path, ...] = option(
        (),
        "run folders of nnjpeg train with adversarial training, whose models are judged too, alone and behind NN-JPEG",
    )
    other: str | None = option(
        None, 'another architecture, which the attacks of black-box are made on; for photos "plain" by default'
    )
    other_weights: Path | None = option(None, "a file of its weights")
    other_options: Mapping[str, Any] = option({}, "further arguments of its constructor")
    table: Path | None = option(None, _TABLE_OF_MODELS)
    more_eps: tuple[float, ...] = option(
        (), "further bounds for the attacks of gray-box and black-box, in units of 1/255 (Table 2 has three)"
    )
    images: int = option(700, "how many benign images")
    attacked: int = option(100, "how many of them, labelled right by M, are attacked")
    curve: tuple[float, ...] = option(
        (1.0, 2.0, 4.0, 8.0, 16.0, 32.0), "the eps of the scenario curve, in units of 1/255"
    )
    steps: int = option(
        100,
        "steps of PGD, APGD and FAB in white-box; a fifth of this for random defences and where many defences are "
        "attacked, a tenth for I-FGSM and DI-FGSM",
    )
    restarts: int = option(1, "restarts of PGD and APGD-CE in white-box")
    cw_steps: int = option(1000, "steps of C&W in each of its five rounds of binary search")
    bpda_steps: int = option(1000, "steps of BPDA; its authors take 1000")
    queries: int = option(
        1000, "queries of the Square attack; the scenario autoattack takes five times as many, as its authors do"
    )
    samples: int = option(
        8,
        "draws of a defence for each gradient in the scenario random; the number is doubled until the accuracy no "
        "longer falls, up to 64",
    )
    keep: Literal["transferred", "all"] = option(
        "transferred",
        'which adversarial images to keep. "transferred": those that several defences share; "all": also those of each '
        "attack on a whole defence (15 bytes per pixel of each image, for about a hundred attacks)",
    )
    seed: int = option(0, "the seed of all random numbers")

    def __post_init__(self) -> None:
        if self.models_of is None:
            self.subject.check_model()
        check_other(self)
        choice(self, "keep", Literal["transferred", "all"])
        not_empty(self, "scenarios", "curve")
        compared = {"gray-box", "black-box", *(["white-box"] if self.thorough else [])}
        if "equal" in self.scenarios and not compared & {*self.scenarios}:
            raise ValueError(
                f"scenarios: equal compares defences in another scenario; add one of {', '.join(sorted(compared))}"
            )
        above(self, 0, "curve", "more_eps")
        within(self, 0, 255, "curve", "more_eps")
        if self.replicas and self.models_of is None:
            raise ValueError("replicas: give the first of the run folders with models_of")
        within(self, 1, None, "images", "attacked", "steps", "restarts", "cw_steps", "bpda_steps", "queries", "samples")
        at_most(self, "attacked", "images")
        within(self, 0, None, "seed")


@dataclass(frozen=True, kw_only=True)
class Reproduce:
    """Run every stage of the paper, and write report.html."""

    preset: Preset = option(
        "photos",
        '"photos": a smoke test, eight minutes on two cores; "photos-full": the same with the default sizes of each '
        'command; "cifar10": ResNet-20 with its published weights, a night or two on two cores; "cifar10-hour": every '
        'table of "cifar10" with smaller sizes, in about an hour; "imagenet": the sizes and models of the paper',
    )
    data: Path | None = option(
        None,
        "for the presets of CIFAR-10, its images in any form that nnjpeg train takes; for imagenet, a folder with "
        "train and val in it, each with a folder for each class",
    )
    download: bool = option(
        False, "fetch CIFAR-10 into the folder that --data names, unless it is there", identity=False
    )
    options: Mapping[str, Any] = option(
        {},
        'options that replace those of the preset, for each stage, such as \'{"evaluate": {"attacked": 200}}\'; '
        '"common" is for all stages that have the option',
        identity=False,
    )
    seed: int = option(0, "the seed of all random numbers")

    def __post_init__(self) -> None:
        choice(self, "preset", Preset)
        if self.preset == "imagenet" and self.data is None:
            raise ValueError("data: give a folder with train and val in it with --data")
        if self.preset.startswith("cifar10") and self.data is None:
            raise ValueError("data: say with --data where CIFAR-10 is, or with --download as well where it is to be")
        if self.download and not self.preset.startswith("cifar10"):
            raise ValueError(f"download is for CIFAR-10; the preset is {self.preset}")
        if self.preset.startswith("photos") and self.data is not None:
            raise ValueError(f"data: the preset {self.preset} has images of its own; got {str(self.data)!r}")
        within(self, 0, None, "seed")
        from nnjpeg.paper import presets  # which is made of these classes

        presets.stages(self, Path())  # a wrong option is refused at once, and not when its stage's turn has come


Spec = Analyze | Certify | Design | Learn | Train | Figure6 | Table1 | Evaluate | Reproduce
