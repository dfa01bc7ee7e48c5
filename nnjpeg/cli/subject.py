"""What the commands have in common: a run, a model, and images that fit it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from nnjpeg.robust import data as datasets
from nnjpeg.robust import distributed, models
from nnjpeg.robust.fitting import photos_model
from nnjpeg.robust.runs import Run

__all__ = ["device_of", "model_of", "open_run", "subject"]


def open_run(command: str, out: Path | None, parameters: dict[str, Any]) -> Run:
    """The run folder; by default a new one, named by the command and the time."""
    if out is None:
        if distributed.world_size() > 1:
            raise ValueError("out: several processes need a folder that they agree on; give --out")
        out = Path("runs") / f"{command}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    return Run(out, command, parameters)


def device_of(name: str) -> torch.device:
    """The device that `name` means; "auto" is a GPU where there is one."""
    if name == "auto":
        name = f"cuda:{distributed.rank() % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: {name!r} is not to be had ({str(error).splitlines()[0]})") from None


def subject(
    run: Run,
    count: int,
    *,
    at_least: int | None = None,
    data: str,
    arch: str | None,
    weights: Path | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    size: int | None,
    model_options: dict[str, Any],
    seed: int,
    device: torch.device,
) -> tuple[nn.Module, datasets.Images]:
    """The model on its device, and `count` images, or at least so many as will do."""
    if count < 1:
        raise ValueError(f"images must be at least 1, got {count}")
    model = model_of(
        run / "model.safetensors", data=data, arch=arch, weights=weights, mean=mean, std=std, size=size,
        model_options=model_options, seed=seed,
    ).to(device)  # fmt: skip
    if data == "photos":
        return model, datasets.photos("test", count, seed=seed)
    images = datasets.folder(data, count, model.preprocess(), at_least=at_least, outputs=model.outputs(), seed=seed)
    return model, images


def model_of(
    path: Path,
    *,
    data: str,
    arch: str | None,
    weights: Path | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    size: int | None,
    model_options: dict[str, Any],
    seed: int,
    engine: Accelerator | None = None,
) -> models.Classifier:
    """The model that a command's options name; that of photos is trained into `path`, unless it is there."""
    if data == "photos":
        if arch not in (None, "preact"):
            raise ValueError(f"arch: photos come with a model of their own, preact; got {arch!r}")
        if weights is not None:
            return models.load("preact", weights, classes=len(datasets.PHOTOS))
        return photos_model(path, seed=seed, engine=engine)
    if arch is None:
        raise ValueError("arch: give the name of a model of timm or torchvision with --arch")
    return models.load(arch, weights, mean=mean, std=std, size=size, **model_options)
