"""What the experiments share: a run folder, a model, and images that fit it."""

from __future__ import annotations

import datetime
import hashlib
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from nnjpeg._memory import keep_freed_memory
from nnjpeg._progress import stage
from nnjpeg.paper.fields import files_of, identity
from nnjpeg.paper.specs import Machine, Preparation, Subject
from nnjpeg.qtable import NN_TABLE, QTable
from nnjpeg.robust import data as datasets
from nnjpeg.robust import models
from nnjpeg.robust.data.sources import HUB, Source, Split
from nnjpeg.robust.models import Classifier
from nnjpeg.robust.record import checkpoints, distributed
from nnjpeg.robust.record.run import Run
from nnjpeg.robust.train import chain
from nnjpeg.robust.train.engine import Augment
from nnjpeg.robust.train.photos import in_memory, photos_augment, photos_model

__all__ = [
    "Trainee",
    "asked_of",
    "benign_images",
    "command_of",
    "device_of",
    "execute",
    "model_of",
    "other_of",
    "source_of",
    "subject_of",
    "table_of",
    "trainee",
    "training_of",
]

_Spec = TypeVar("_Spec")
_Result = TypeVar("_Result")

_PREPARED = ("M.safetensors", "adversarial.safetensors", "model.safetensors", "other.safetensors")
"""What an experiment may leave in its folder before its first result."""

SMALL = 96
"""Images of at most this side are small: they keep their size, and are shifted rather than cropped in training."""

IN_MEMORY = 2**31
"""Bytes of training images that are kept in memory; more are read as they are asked for."""


def execute(
    function: Callable[[_Spec, Run, Machine], _Result], spec: _Spec, machine: Machine, out: Path | None
) -> _Result:
    """Run an experiment in its folder; if it fails before the first result, the folder is released.

    Parameters
    ----------
    function : callable
        The `run` of a module of this package, whose name is that of the command.
    spec : Spec
        The experiment, which gives the identity of the run.
    machine : Machine
        Where and how it is computed.
    out : path or None
        The run folder; by default a new one, named by the command and the time. If it holds the same run, that run
        resumes.

    Raises
    ------
    ValueError
        If `out` holds another run, another process is at work in it, or it is not given where there are several
        processes.
    """
    command = command_of(spec)
    _check_files(spec)
    keep_freed_memory()
    distributed.start()
    if out is None:
        if distributed.world_size() > 1:
            raise ValueError("out: several processes need a folder that they agree on; give --out")
        out = Path("runs") / f"{command}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    run = Run(out, command, asked_of(spec))
    held = run.hold()
    try:
        with held, stage(f"nnjpeg {command}", quiet=not distributed.is_main()):
            return function(spec, run, machine)
    except Exception:
        run.let_go(_PREPARED)
        raise


def _check_files(spec: Any) -> None:
    """Refuse missing files before anything is computed.

    Raises
    ------
    FileNotFoundError
        Names the first option whose file or folder is missing.
    """
    subject = getattr(spec, "subject", None)
    elsewhere = "data" if subject is not None and subject.download else None
    for name, value in files_of(spec):
        known = name == elsewhere or str(value).startswith(HUB) or any(letter in str(value) for letter in "*?[")
        if not known and not value.exists():
            raise FileNotFoundError(f"{name}: there is no {value}")


def asked_of(spec: Any) -> dict[str, Any]:
    """The identity of a run, including the code of a user's own model."""
    return identity(spec) | _code_of(spec)


def _code_of(spec: Any) -> dict[str, str]:
    """A digest of the file that makes a user's own model: other code is another run."""
    subject = getattr(spec, "subject", None)
    if subject is None or subject.model is None:
        return {}
    with models.from_here():
        found = importlib.util.find_spec(subject.model.partition(":")[0])
    if found is None or found.origin is None or not Path(found.origin).is_file():
        return {}
    return {"model_code": f"sha256:{hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()}"}


def command_of(spec: Any) -> str:
    """The name of the command that runs an experiment."""
    return type(spec).__name__.lower()


def device_of(name: str) -> torch.device:
    """The device of a name; "auto" is a GPU if there is one."""
    if name == "auto":
        name = f"cuda:{distributed.rank() % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: {name!r} is unavailable ({str(error).splitlines()[0]})") from None


# Models and images to judge by


def model_of(path: Path, subject: Subject, seed: int, engine: Accelerator | None = None) -> Classifier:
    """The model of a subject; the model for photos is trained and written to `path`, unless that exists."""
    if subject.data == "photos" and subject.model is None:
        if subject.weights is not None:
            return models.load("preact", subject.weights, classes=len(datasets.PHOTOS))
        return photos_model(path, seed=seed, engine=engine)
    size, resize = _sides(subject)
    if subject.model is not None:
        return models.given(subject.model, size)
    assert subject.arch is not None  # see Subject.check_model
    if subject.weights is None and not models.has_weights(subject.arch, subject.classes, dict(subject.model_options)):
        raise ValueError(
            f"arch: {subject.arch} has no weights of its own; give a file with --weights, or train it first (nnjpeg "
            "train --scratch)"
        )
    return models.load(
        subject.arch, subject.weights, classes=subject.classes, mean=subject.mean, std=subject.std, size=size,
        resize=resize, **subject.model_options,
    )  # fmt: skip


def other_of(run: Run, spec: Any) -> Classifier | None:
    """The second network of an experiment that has the options `other`, `other_weights` and `other_options`."""
    if spec.subject.data == "photos" and spec.other_weights is None:
        return photos_model(run / "other.safetensors", arch=spec.other or "plain", seed=spec.seed)
    return None if spec.other is None else models.load(spec.other, spec.other_weights, **spec.other_options)


def source_of(subject: Subject, split: Split) -> Source:
    """The images of a subject for training or for the test; all images, if they are not separate."""
    return _source(subject.data, split, subject.dataset, subject.download)


def _source(data: str, split: Split, dataset: str | None = None, download: bool = False) -> Source:
    apart = datasets.has_splits(data, dataset)
    return datasets.opened(data, split if apart else None, dataset=dataset, download=download)


def _sides(subject: Subject) -> tuple[int | None, int | None]:
    """The side of the model's images, and what they are resized to; None: the model's own."""
    if subject.data == "photos":
        return 64, None
    size, resize = subject.size, subject.resize
    if size is None and resize is None:
        native = source_of(subject, "test").side
        return (native, native) if native is not None and native <= SMALL else (None, None)
    size = size or resize
    return size, resize


def subject_of(
    run: Run, subject: Subject, count: int, *, at_least: int | None = None, seed: int, device: torch.device
) -> tuple[Classifier, datasets.Images]:
    """The model on its device, and `count` images or fewer, if fewer are accepted."""
    model = model_of(run / "model.safetensors", subject, seed).to(device)
    if subject.data == "photos":
        datasets.class_map(datasets.PHOTOS, model.outputs())  # raises an error if the model does not fit the patches
        return model, datasets.photos("test", count, seed=seed)
    return model, test_images(subject, model, count, at_least, seed)


def test_images(subject: Subject, model: Classifier, count: int, at_least: int | None, seed: int) -> datasets.Images:
    """Test images of a subject other than photos."""
    return _sampled(source_of(subject, "test"), model, count, at_least, seed)


def _sampled(source: Source, model: Classifier, count: int, at_least: int | None, seed: int) -> datasets.Images:
    return datasets.sample(source, count, model.preprocess(), at_least=at_least, outputs=model.outputs(), seed=seed)


def benign_images(
    subject: Subject, val: str | None, model: Classifier, count: int, seed: int
) -> datasets.Images | None:
    """Images that no model was trained on; None if there are none."""
    if subject.data == "photos":
        return datasets.photos("test", count, seed=seed)
    if val is not None:
        return _sampled(_source(val, "test"), model, count, 1, seed)
    if not datasets.has_splits(subject.data, subject.dataset):
        return None
    return test_images(subject, model, count, 1, seed)


def training_of(name: str, folder: Path) -> dict[str, Any]:
    """The options of `nnjpeg train` with which the models of a run folder were trained.

    Raises
    ------
    FileNotFoundError
        If it is not such a folder; `name` is the option that names it.
    """
    config = folder / "config.json"
    found = json.loads(config.read_text()) if config.exists() else {}
    if found.get("run") != "train":
        raise FileNotFoundError(f"{name}: {folder} is no run of nnjpeg train")
    return dict(found["parameters"])


def table_of(given: Path | None, models: Mapping[str, Sequence[Path]]) -> QTable:
    """The quantization table of NN-JPEG, at quality 50: a file's, or that of trained models, else the paper's.

    Parameters
    ----------
    given : Path, optional
        A file of a table.
    models : dict of str to sequence of Path
        Run folders of `nnjpeg train`, by the option that names them. Some models were trained without a table.

    Raises
    ------
    ValueError
        If two of the tables differ: one report would have two defences of the same name.
    """
    trained = [
        (f"{option}: {path}", checkpoints.facts_of(path).get("stage", {}))
        for option, folders in models.items()
        for folder in folders
        for path in sorted(folder.glob("*.safetensors"))
    ]
    tables = [] if given is None else [(f"table: {given}", QTable.load(given))]
    tables += [(place, QTable(facts["table"])) for place, facts in trained if facts.get("table") is not None]
    for place, table in tables:
        if table != tables[0][1]:
            raise ValueError(
                f"{place} was trained with another quantization table than that of {tables[0][0]}; models and NN-JPEG "
                "must have the same table in one report"
            )
    return tables[0][1] if tables else NN_TABLE


# What is trained


@dataclass(frozen=True)
class Trainee:
    """See `chain.run_stages`."""

    fresh: Callable[[], Classifier]
    loaders: Callable[[int, int | None], DataLoader[Any]]
    augment: Augment | None


def trainee(
    run: Run, subject: Subject, preparation: Preparation, engine: Accelerator, *, patches: int, machine: Machine,
    seed: int,
) -> Trainee:  # fmt: skip
    """Put M into the run folder, unless it is there, and return what its training needs."""
    first = run / "M.safetensors"
    if subject.data == "photos":
        if not first.exists():
            _keep(first, model_of(first, subject, seed, engine), engine)
        images = datasets.photos("train", patches, seed=seed)
        return Trainee(
            lambda: checkpoints.untrained(first, seed), lambda batch, _: in_memory(images, batch), photos_augment
        )
    scratch = preparation.scratch is not None
    model = _untrained(subject, seed) if scratch else None if first.exists() else model_of(first, subject, seed)
    if model is not None and not scratch:
        _keep(first, model, engine)
    engine.wait_for_everyone()
    model = model or checkpoints.load(first)[0]
    source, outputs, shifts = source_of(subject, "train"), model.outputs(), _shifts(preparation, model.size)
    memory: list[datasets.Images] = []

    def loaders(batch: int, side: int | None) -> DataLoader[Any]:
        crops = preparation.augment == "crop" or (preparation.augment == "auto" and not shifts)
        if not crops and 3 * model.size**2 * len(source) <= IN_MEMORY:
            if not memory:
                memory.append(datasets.sample(source, None, model.preprocess(), at_least=1, outputs=outputs, seed=None))
            return in_memory(memory[0], batch)
        least, most = preparation.scale
        transform = datasets.random_crops(side or model.size, (least, most)) if crops else model.preprocess()
        return DataLoader(
            datasets.Training(source, transform, outputs), batch, shuffle=True, drop_last=True,
            num_workers=machine.workers, pin_memory=torch.cuda.is_available(),
        )  # fmt: skip

    augment = datasets.shifted_and_mirrored(preparation.padding) if shifts else None
    if scratch and not first.exists():
        _from_scratch(run, model, preparation, loaders, augment, engine, machine, seed)
    return Trainee(lambda: checkpoints.untrained(first, seed), loaders, augment)


def _keep(path: Path, model: Classifier, engine: Accelerator) -> None:
    if engine.is_main_process and not path.exists():
        checkpoints.save_model(path, model, {})
    engine.wait_for_everyone()


def _shifts(preparation: Preparation, size: int) -> bool:
    return preparation.augment == "shift" or (preparation.augment == "auto" and size <= SMALL)


def _untrained(subject: Subject, seed: int) -> Classifier:
    """A model with random weights, for the classes of the data."""
    assert subject.arch is not None  # see Subject.check_model
    size, resize = _sides(subject)
    classes = subject.classes or len(source_of(subject, "train").classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return models.untrained(
            subject.arch, classes=classes, mean=subject.mean, std=subject.std, size=size, resize=resize,
            **subject.model_options,
        )  # fmt: skip


def _from_scratch(
    run: Run,
    model: Classifier,
    preparation: Preparation,
    loaders: Callable[[int, int | None], DataLoader[Any]],
    augment: Augment | None,
    engine: Accelerator,
    machine: Machine,
    seed: int,
) -> None:
    """Train M from random weights, resumable like any stage."""
    assert preparation.scratch is not None
    stage = chain.scratch(preparation.scratch)
    chain.run_stages(
        run, [stage], lambda: model, loaders, engine, seed=seed, augment=augment, save_every=machine.save_every
    )
