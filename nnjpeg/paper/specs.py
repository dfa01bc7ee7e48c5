"""The paper's experiments as values: all that decides about their results, each option with its help.

What the command line offers, what a YAML file may hold and what a run folder is known by all come from these classes.
Neither torch nor `nnjpeg.robust` is needed to make one.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

__all__ = [
    "Analyze", "Design", "Evaluate", "Figure6", "Machine", "Option", "Reproduce", "Spec", "Subject", "Table1", "Threat",
    "Train", "changed", "identity", "make", "option", "options_of",
]  # fmt: skip

Search = Literal["fgsm", "ifgsm", "pgd"]
Method = Literal["noisy", "vaccination", "plain", "fast", "free", "pgd", "none"]
Precision = Literal["no", "bf16", "fp16"]

CHAINS = ("noisy", "vaccination")
"""Methods of training that give a model for each quality."""

_S = TypeVar("_S")


def option(default: Any = MISSING, help: str = "", *, identity: bool = True) -> Any:
    """A field that is an option of the command line.

    Parameters
    ----------
    default : Any
        None given: the option is required. A dict is copied for each instance.
    help : str
        What it is, with its unit.
    identity : bool
        Whether it decides about results, so that a run with another value is another run.
    """
    metadata = {"help": help, "identity": identity}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


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
    _one_of(name, getattr(spec, name), choices)


def _one_of(name: str, value: Any, choices: Any) -> Any:
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}, got {value!r}")
    return value


# What several experiments share


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The model and the images."""

    data: str = option(
        "photos",
        '"photos", patches of scikit-image\'s photographs with a small model of their own; or a folder of images with '
        "a subfolder for each class",
    )
    arch: str | None = option(None, "a model of timm or torchvision; photos have their own")
    weights: Path | None = option(
        None,
        "a file of the model's weights, safetensors or torch's; by default those of the hub, and for photos the model "
        "is trained first",
    )
    mean: tuple[float, ...] | None = option(
        None, "of R, G, B in [0, 1], by which images are normalised; by default the model's own"
    )
    std: tuple[float, ...] | None = option(None, "likewise, their deviations")
    size: int | None = option(None, "the side of the model's images, in pixels; by default the model's own")
    model_options: Mapping[str, Any] = option({}, 'more for the model\'s constructor, such as \'{"pad_type": "same"}\'')

    def __post_init__(self) -> None:
        if not self.data:
            raise ValueError("data must be 'photos' or a folder, got ''")
        if self.data == "photos" and self.arch not in (None, "preact"):
            raise ValueError(f"arch: photos come with a model of their own, preact; got {self.arch!r}")
        for name in ("mean", "std"):
            value = getattr(self, name)
            if value is not None and len(value) != 3:
                raise ValueError(f"{name} must be three numbers, got {list(value)}")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError(f"std must be above 0, got {list(self.std)}")
        if self.size is not None:
            _within(self, 8, None, "size")

    def check_model(self) -> None:
        """Refuse a subject that names no model.

        Raises
        ------
        ValueError
            If a folder of images comes without an architecture.
        """
        if self.data != "photos" and self.arch is None:
            raise ValueError("arch: give the name of a model of timm or torchvision with --arch")


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
    batch: int = option(64, "images at a time in attacks and judging")

    def __post_init__(self) -> None:
        _within(self, 0, None, "workers")
        _within(self, 1, None, "save_every", "batch")


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
    threat: Threat = Threat()
    val: str | None = option(None, "a folder of other images, to judge by; photos need none")
    method: Method = option(
        "noisy",
        '"noisy", the paper\'s; or what it is compared with: "vaccination" (the same chain on JPEG images alone), '
        '"plain" (M trained further), adversarial training from random weights: "fast", "free", "pgd"; or "none": M '
        "alone",
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
        self.subject.check_model()
        _choice(self, "method", Method)
        _choice(self, "mixed_precision", Precision)
        _not_empty(self, "qualities")
        _within(self, 1, 100, "qualities")
        if any(a <= b for a, b in pairwise(self.qualities)):
            raise ValueError(f"qualities must fall from one model of the chain to the next, got {list(self.qualities)}")
        outside = [quality for quality in self.members if quality not in self.qualities]
        if self.method in CHAINS and outside:
            raise ValueError(f"members must be qualities of the chain, {list(self.qualities)}; got {outside[0]}")
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
    threat: Threat = Threat()
    val: str | None = option(None, "a folder of other images, to judge by; photos need none")
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
        self.subject.check_model()
        if self.subject.data != "photos" and self.val is None:
            raise ValueError("val: give a folder of images to judge by with --val")
        _choice(self, "mixed_precision", Precision)
        if not self.epochs and self.models_of is None:
            raise ValueError("epochs must not be empty without models_of: nothing of this method would be judged")
        _above(self, 0, "epochs", "adversarial_epochs")
        _not_empty(self, "restarts")
        _within(self, 1, None, "restarts", "steps", "images", "attacked", "train_batch", "patches")
        _at_most(self, "attacked", "images")
        _within(self, 0, None, "seed")


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Attack defences in gray-box, black-box and white-box, and tell who holds, against whom, and at what cost."""

    subject: Subject = Subject()
    threat: Threat = Threat()
    models_of: Path | None = option(None, "the run folder of nnjpeg train, for M, noisy training and the ensemble")
    other: str | None = option(
        None, 'another architecture, from which attacks are transferred; for photos "plain" by default'
    )
    other_weights: Path | None = option(None, "a file of its weights")
    other_options: Mapping[str, Any] = option({}, "more for its constructor")
    table: Path | None = option(None, "a file of a quantization table; by default the paper's 16 / 50")
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
    restarts: int = option(1, "of PGD and APGD in white-box")
    cw_steps: int = option(1000, "of C&W, five times over")
    bpda_steps: int = option(1000, "of BPDA; its authors' are 1000")
    queries: int = option(1000, "of the Square attack")
    samples: int = option(8, "draws of a random defence for each gradient; and once more with twice as many")
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
        _not_empty(self, "curve")
        _above(self, 0, "curve")
        _within(self, 0, 255, "curve")
        _within(
            self, 1, None, "images", "attacked", "steps", "restarts", "cw_steps", "bpda_steps", "queries", "samples"
        )
        _at_most(self, "attacked", "images")
        _within(self, 0, None, "seed")


@dataclass(frozen=True, kw_only=True)
class Reproduce:
    """Run every stage of the paper, and write report.html."""

    preset: Literal["photos", "photos-full", "imagenet"] = option(
        "photos",
        '"photos", sizes for two cores and a short while; "photos-full", the same with the sizes of each command; '
        '"imagenet", the paper\'s sizes and models',
    )
    data: Path | None = option(
        None, "for imagenet, a folder with train and val in it, each with a folder for each class"
    )
    options: Mapping[str, Any] = option(
        {},
        'what is to differ from the preset, by stage, such as \'{"evaluate": {"attacked": 200}}\'; "common" is for all '
        "stages that have the option",
        identity=False,
    )
    seed: int = option(0, "of all that is drawn")

    def __post_init__(self) -> None:
        _choice(self, "preset", Literal["photos", "photos-full", "imagenet"])
        if self.preset == "imagenet" and self.data is None:
            raise ValueError("data: give a folder with train and val in it with --data")
        if self.preset != "imagenet" and self.data is not None:
            raise ValueError(f"data: the preset {self.preset} has images of its own; got {str(self.data)!r}")
        _within(self, 0, None, "seed")


Spec = Analyze | Design | Train | Figure6 | Table1 | Evaluate | Reproduce


# Values from and to names and plain data


@dataclass(frozen=True)
class Option:
    """One option of a class: its own field, or one of a class within it.

    Parameters
    ----------
    name : str
        The field's.
    hint : Any
        Its type.
    default : Any
        `dataclasses.MISSING` where it must be given.
    help : str
        In words.
    group : str
        What the class that it stands in is about; "" for the experiment's own.
    identity : bool
        See `option`.
    """

    name: str
    hint: Any
    default: Any
    help: str
    group: str = ""
    identity: bool = True


def options_of(cls: type) -> list[Option]:
    """All options of a class, those of classes within it among them; no name is there twice."""
    hints = typing.get_type_hints(cls)
    found: list[Option] = []
    for one in fields(cls):
        hint = hints[one.name]
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        if is_dataclass(hint):
            assert isinstance(hint, type)
            group = (hint.__doc__ or "").partition("\n")[0].rstrip(".")
            found += [replace(inner, default=getattr(default, inner.name), group=group) for inner in options_of(hint)]
        else:
            found.append(Option(one.name, hint, default, one.metadata["help"], identity=one.metadata["identity"]))
    return found


def make(cls: type[_S], values: Mapping[str, Any]) -> _S:
    """An instance from the names of its options, those of classes within it among them.

    Parameters
    ----------
    cls : type
        One of the classes here.
    values : mapping
        Of the names of options to values: as they are, as JSON or YAML can hold them, or as text.

    Raises
    ------
    ValueError
        If a name or a value is not accepted, or one is missing.
    """
    return _made(cls, None, values)


def changed(spec: _S, values: Mapping[str, Any]) -> _S:
    """The same with other values of some options; see `make`."""
    return _made(type(spec), spec, values)


def _made(cls: type[_S], before: Any, values: Mapping[str, Any]) -> _S:
    known = {one.name: one for one in options_of(cls)}
    for name in values:
        if name not in known:
            raise ValueError(f"{name} is no option of {cls.__name__.lower()}; its options are {', '.join(known)}")
    hints = typing.get_type_hints(cls)
    given: dict[str, Any] = {}
    for one in fields(cls):  # type: ignore[arg-type]
        hint = hints[one.name]
        if is_dataclass(hint):
            assert isinstance(hint, type)
            own = {inner.name: values[inner.name] for inner in options_of(hint) if inner.name in values}
            start = one.default if before is None else getattr(before, one.name)
            given[one.name] = _made(hint, start, own)
        elif one.name in values:
            given[one.name] = _converted(one.name, hint, values[one.name])
        elif before is not None:
            given[one.name] = getattr(before, one.name)
        elif known[one.name].default is MISSING:
            raise ValueError(f"{one.name} must be given")
    return cls(**given)


def _converted(name: str, hint: Any, value: Any) -> Any:
    """A value of a type, from what JSON, YAML or the command line have for it."""
    origin = get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _of_union(name, get_args(hint), value)
    if origin is Literal:
        # YAML takes the word no for false.
        return _one_of(name, "no" if value is False and "no" in get_args(hint) else value, hint)
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ValueError(f"{name} must be a list, got {value!r}")
        return tuple(_converted(name, get_args(hint)[0], one) for one in value)
    if hint is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be true or false, got {value!r}")
        return value
    if hint in (int, float):
        return _number(name, hint, value)
    if hint is Path:
        if not isinstance(value, (str, Path)) or not str(value):
            raise ValueError(f"{name} must be a path, got {value!r}")
        return Path(value)
    if hint is str:
        if not isinstance(value, (str, Path)):
            raise ValueError(f"{name} must be a text, got {value!r}")
        return str(value)
    return _mapping(name, value)


def _of_union(name: str, hints: tuple[Any, ...], value: Any) -> Any:
    if value is None and type(None) in hints:
        return None
    hints = tuple(hint for hint in hints if hint is not type(None))
    words = [word for hint in hints if get_origin(hint) is Literal for word in get_args(hint)]
    if value in words:
        return value
    (hint,) = (hint for hint in hints if get_origin(hint) is not Literal)
    try:
        return _converted(name, hint, value)
    except ValueError as error:
        if not words:
            raise
        raise ValueError(f"{error}, nor {' or '.join(map(repr, words))}") from None


def _number(name: str, hint: type, value: Any) -> int | float:
    words = {int: "a whole number", float: "a number"}
    try:
        if isinstance(value, bool):
            raise ValueError
        number = hint(value)
        if not isinstance(value, str) and number != value:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be {words[hint]}, got {value!r}") from None
    return number


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"{name} must be JSON, got {value!r} ({error})") from None
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be an object of names and values, got {value!r}")
    return dict(value)


def identity(spec: Any) -> dict[str, Any]:
    """What a run is known by: the value of each option that decides about results, as JSON can hold it."""
    found: dict[str, Any] = {}
    for one in fields(spec):
        value = getattr(spec, one.name)
        if is_dataclass(value):
            found |= identity(value)
        elif one.metadata["identity"]:
            found[one.name] = json.loads(json.dumps(value, default=str))
    return found
