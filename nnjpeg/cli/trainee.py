"""What train and table1 have in common: the model M, images to train on, and images to judge by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from nnjpeg.cli.subject import model_of
from nnjpeg.robust import checkpoints
from nnjpeg.robust import data as datasets
from nnjpeg.robust.fitting import in_memory, photos_augment
from nnjpeg.robust.models import Classifier
from nnjpeg.robust.runs import Run
from nnjpeg.robust.training import Augment

__all__ = ["Trainee", "benign_images", "trainee"]


@dataclass(frozen=True)
class Trainee:
    """See `chain.run_stages`."""

    fresh: Callable[[], Classifier]
    loaders: Callable[[int, int | None], DataLoader[Any]]
    augment: Augment | None


def trainee(
    run: Run,
    engine: Accelerator,
    *,
    data: str,
    arch: str | None,
    weights: Path | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    size: int | None,
    model_options: dict[str, Any],
    patches: int,
    workers: int,
    seed: int,
) -> Trainee:
    """Put M into the run folder, unless it is there, and say how to train what starts from it."""
    first = run / "M.safetensors"
    if not first.exists():
        model = model_of(
            first, data=data, arch=arch, weights=weights, mean=mean, std=std, size=size, model_options=model_options,
            seed=seed, engine=engine,
        )  # fmt: skip
        if engine.is_main_process and not first.exists():
            checkpoints.save_model(first, model, {})
    engine.wait_for_everyone()
    if data == "photos":
        images = datasets.photos("train", patches, seed=seed)
        return Trainee(
            lambda: checkpoints.untrained(first, seed), lambda batch, _: in_memory(images, batch), photos_augment
        )
    kept = checkpoints.read(first)[1]["model"]

    def loaders(batch: int, side: int | None) -> DataLoader[Any]:
        crops = datasets.crops(data, side or kept["size"], outputs=kept["outputs"])
        pinned = torch.cuda.is_available()
        return DataLoader(crops, batch, shuffle=True, drop_last=True, num_workers=workers, pin_memory=pinned)

    return Trainee(lambda: checkpoints.untrained(first, seed), loaders, None)


def benign_images(data: str, val: str | None, model: Classifier, count: int, seed: int) -> datasets.Images | None:
    """Images that nothing was trained on; None for a folder of training images without one for validation."""
    if count < 1:
        raise ValueError(f"images must be at least 1, got {count}")
    if data == "photos":
        return datasets.photos("test", count, seed=seed)
    if val is None:
        return None
    return datasets.folder(val, count, model.preprocess(), at_least=1, outputs=model.outputs(), seed=seed)
