"""A model for `photos`, trained in a minute."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from nnjpeg import atomic
from nnjpeg.robust import distributed
from nnjpeg.robust.data import PHOTOS, photos
from nnjpeg.robust.models import Classifier, load

__all__ = ["accuracy", "photos_model"]


@torch.inference_mode()
def accuracy(model: nn.Module, pixels: torch.Tensor, labels: torch.Tensor, batch: int = 128) -> float:
    """The share of uint8 images that the model, of images in [0, 1], labels right."""
    right = sum(
        int((model(x / 255).argmax(1) == y).sum())
        for x, y in zip(pixels.split(batch), labels.split(batch), strict=True)
    )
    return right / len(labels)


def photos_model(
    path: Path | None = None, *, seed: int = 0, patches: int = 4200, epochs: int = 10, batch: int = 64
) -> Classifier:
    """A small pre-activation ResNet for `photos`: at least 90% on patches of the test regions.

    SGD with Nesterov momentum 0.9 and weight decay 5e-4; the learning rate rises to 0.1 and falls to 0 (one cycle);
    patches are mirrored, and each of their components made darker or brighter by up to 20%, at random: without that,
    colour alone tells the photographs apart, and no perturbation of fine detail would matter.

    Parameters
    ----------
    path : Path, optional
        A file to keep the weights in: read if it is there, written if not.
    seed : int
        Of the weights, the patches and their order.
    patches, epochs, batch : int
        How much it sees.

    Returns
    -------
    Classifier
        In evaluation mode.
    """
    if path is not None and path.exists():
        return load("preact", path, classes=len(PHOTOS))
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = load("preact", classes=len(PHOTOS))
    train = photos("train", patches, seed=seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = epochs * (len(train) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=steps)
    model.train()
    with tqdm(total=steps, desc="training", unit="step", disable=None if distributed.is_main() else True) as progress:
        for _ in range(epochs):
            order = torch.randperm(len(train), generator=generator)
            for index in order[: len(order) // batch * batch].split(batch):
                images = train.pixels[index] / 255
                mirrored = torch.rand(batch, 1, 1, 1, generator=generator)
                gain = 0.8 + 0.4 * torch.rand(batch, 3, 1, 1, generator=generator)
                images = torch.where(mirrored < 0.5, images.flip(3), images) * gain
                loss = functional.cross_entropy(model(images.clamp(0, 1)), train.labels[index])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                progress.update()
                progress.set_postfix(loss=f"{loss.item():.2f}")
    if path is not None and distributed.is_main():
        buffer = io.BytesIO()
        torch.save(model.network.state_dict(), buffer)
        atomic.write(path, buffer.getvalue())
    return model.eval()
