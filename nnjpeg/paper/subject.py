"""What the experiments have in common: a run, a model, and images that fit it."""

from __future__ import annotations

import ctypes
import datetime
import hashlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from nnjpeg._progress import stage
from nnjpeg.paper.fields import files_of, identity
from nnjpeg.paper.specs import Machine, Subject
from nnjpeg.robust import data as datasets
from nnjpeg.robust import models
from nnjpeg.robust.models import Classifier
from nnjpeg.robust.record import checkpoints, distributed
from nnjpeg.robust.record.run import Run
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
    "subject_of",
    "trainee",
]

_Spec = TypeVar("_Spec")
_Result = TypeVar("_Result")

_PREPARED = ("M.safetensors", "adversarial.safetensors", "model.safetensors", "other.safetensors")
"""What an experiment may leave in its folder before its first result."""


def execute(
    function: Callable[[_Spec, Run, Machine], _Result], spec: _Spec, machine: Machine, out: Path | None
) -> _Result:
    """Run an experiment in its folder; if it fails before it has a result, the folder is free again.

    Parameters
    ----------
    function : callable
        The `run` of a module of this package, whose name is that of the command.
    spec : Spec
        What the run is known by.
    machine : Machine
        Where it is computed.
    out : path or None
        The run folder; by default a new one, named by the command and the time. If it holds the same run, that goes on.

    Raises
    ------
    ValueError
        If `out` holds another run, or is not given where there are several processes.
    """
    command = command_of(spec)
    _check_files(spec)
    _keep_freed_memory()
    distributed.start()
    if out is None:
        if distributed.world_size() > 1:
            raise ValueError("out: several processes need a folder that they agree on; give --out")
        out = Path("runs") / f"{command}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    run = Run(out, command, asked_of(spec))
    try:
        with stage(f"nnjpeg {command}", quiet=not distributed.is_main()):
            return function(spec, run, machine)
    except Exception:
        run.let_go(_PREPARED)
        raise


def _check_files(spec: Any) -> None:
    """Refuse what is not there before anything is computed.

    Raises
    ------
    FileNotFoundError
        Names the first option whose file or folder is missing.
    """
    for name, value in files_of(spec):
        if not value.exists():
            raise FileNotFoundError(f"{name}: there is no {value}")


def asked_of(spec: Any) -> dict[str, Any]:
    """What a run is known by: its `identity`, and the code of a model of the user's own."""
    return identity(spec) | _code_of(spec)


def _code_of(spec: Any) -> dict[str, str]:
    """A digest of the file that makes a model of the user's own: other code is another run."""
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


def _keep_freed_memory() -> None:
    """Let glibc keep what it was given: torch asks for the same large blocks again in each step.

    Else each is new memory, which the system clears page by page.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # musl has none
        mmap_max, trim_threshold, top_pad = -4, -1, -2  # of malloc.h
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**26)


def device_of(name: str) -> torch.device:
    """The device that `name` means; "auto" is a GPU where there is one."""
    if name == "auto":
        name = f"cuda:{distributed.rank() % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: {name!r} is not to be had ({str(error).splitlines()[0]})") from None


# Models and images to judge by


def model_of(path: Path, subject: Subject, seed: int, engine: Accelerator | None = None) -> Classifier:
    """The model of a subject; that of photos is trained into `path`, unless it is there."""
    if subject.model is not None:
        return models.given(subject.model, 64 if subject.data == "photos" else subject.size)
    if subject.data == "photos":
        if subject.weights is not None:
            return models.load("preact", subject.weights, classes=len(datasets.PHOTOS))
        return photos_model(path, seed=seed, engine=engine)
    assert subject.arch is not None  # see Subject.check_model
    return models.load(
        subject.arch, subject.weights, mean=subject.mean, std=subject.std, size=subject.size, **subject.model_options
    )


def subject_of(
    run: Run, subject: Subject, count: int, *, at_least: int | None = None, seed: int, device: torch.device
) -> tuple[Classifier, datasets.Images]:
    """The model on its device, and `count` images, or at least so many as will do."""
    model = model_of(run / "model.safetensors", subject, seed).to(device)
    if subject.data == "photos":
        return model, datasets.photos("test", count, seed=seed)
    images = datasets.folder(
        subject.data, count, model.preprocess(), at_least=at_least, outputs=model.outputs(), seed=seed
    )
    return model, images


def benign_images(data: str, val: str | None, model: Classifier, count: int, seed: int) -> datasets.Images | None:
    """Images that nothing was trained on; None for a folder of training images without one for validation."""
    if data == "photos":
        return datasets.photos("test", count, seed=seed)
    if val is None:
        return None
    return datasets.folder(val, count, model.preprocess(), at_least=1, outputs=model.outputs(), seed=seed)


# What is trained


@dataclass(frozen=True)
class Trainee:
    """See `chain.run_stages`."""

    fresh: Callable[[], Classifier]
    loaders: Callable[[int, int | None], DataLoader[Any]]
    augment: Augment | None


def trainee(run: Run, subject: Subject, engine: Accelerator, *, patches: int, workers: int, seed: int) -> Trainee:
    """Put M into the run folder, unless it is there, and say how to train what starts from it."""
    first = run / "M.safetensors"
    if not first.exists():
        model = model_of(first, subject, seed, engine)
        if engine.is_main_process and not first.exists():
            checkpoints.save_model(first, model, {})
    engine.wait_for_everyone()
    if subject.data == "photos":
        images = datasets.photos("train", patches, seed=seed)
        return Trainee(
            lambda: checkpoints.untrained(first, seed), lambda batch, _: in_memory(images, batch), photos_augment
        )
    kept = checkpoints.read(first)[1]["model"]

    def loaders(batch: int, side: int | None) -> DataLoader[Any]:
        crops = datasets.crops(subject.data, side or kept["size"], outputs=kept["outputs"])
        pinned = torch.cuda.is_available()
        return DataLoader(crops, batch, shuffle=True, drop_last=True, num_workers=workers, pin_memory=pinned)

    return Trainee(lambda: checkpoints.untrained(first, seed), loaders, None)
