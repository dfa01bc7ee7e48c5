"""A model for `photos`, trained in a minute, and its augmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from nnjpeg.robust.data import PHOTOS, Images, photos
from nnjpeg.robust.models import Classifier, load
from nnjpeg.robust.record import checkpoints
from nnjpeg.robust.train import engine as training
from nnjpeg.robust.train.objectives import Draws, Plain

__all__ = ["in_memory", "photos_augment", "photos_model", "untrained"]


def photos_augment(images: Tensor, draws: Draws) -> Tensor:
    """Images mirrored, and each component made darker or brighter by up to 20%, at random.

    Otherwise colour alone distinguishes the photographs, and perturbations of fine detail would not matter.

    Parameters
    ----------
    images : Tensor
        uint8 (B, 3, H, W).
    draws : Draws
        The source of random numbers.

    Returns
    -------
    Tensor
        Float in [0, 1], of the same shape.
    """
    mirrored = draws.uniform(len(images), 1, 1, 1)
    gain = 0.8 + 0.4 * draws.uniform(len(images), 3, 1, 1)
    images = images / 255
    return (torch.where(mirrored < 0.5, images.flip(3), images) * gain).clamp(0, 1)


def in_memory(images: Images, batch: int) -> DataLoader[tuple[Tensor, ...]]:
    """A loader of images in memory, shuffled."""
    return DataLoader(TensorDataset(images.pixels, images.labels), batch, shuffle=True, drop_last=True)


def untrained(seed: int = 0, arch: str = "preact", **options: Any) -> Classifier:
    """A small network for `photos` with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return load(arch, classes=len(PHOTOS), **options)


def photos_model(
    path: Path | None = None,
    *,
    arch: str = "preact",
    seed: int = 0,
    patches: int = 4200,
    epochs: int = 10,
    batch: int = 64,
    engine: Accelerator | None = None,
) -> Classifier:
    """A small network for `photos`: "preact" labels about 90% of the patches of the test regions right.

    SGD with Nesterov momentum 0.9 and weight decay 5e-4; the learning rate rises to 0.05 and falls to 0.

    Parameters
    ----------
    path : Path, optional
        A checkpoint: read if it exists, else written.
    arch : {"preact", "plain"}
        One of `networks.NETWORKS` for 64x64 images.
    seed : int
        Seed of the weights, the patches and their order.
    patches, epochs, batch : int
        Number of patches and epochs, and size of a batch.
    engine : Accelerator, optional
        By default one on the CPU. Under torchrun all processes take part.

    Returns
    -------
    Classifier
        In evaluation mode.
    """
    if path is not None and path.exists():
        return checkpoints.load(path, arch=arch, outputs=len(PHOTOS))[0]
    engine = engine or training.accelerator(seed=seed)
    model = training.fit(
        untrained(seed, arch),
        Plain(),
        in_memory(photos("train", patches, seed=seed), batch),
        training.Optimization(epochs, training.OneCycle(0.05), weight_decay=5e-4, nesterov=True),
        engine,
        seed=(seed,),
        augment=photos_augment,
    )
    if path is not None:
        if engine.is_main_process:
            checkpoints.save_model(path, model, {"seed": seed, "epochs": epochs, "patches": patches, "batch": batch})
        engine.wait_for_everyone()
    return model
