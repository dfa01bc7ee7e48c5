"""How often a model is right: on which images, and with what error."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nnjpeg.robust.data import Images

__all__ = ["accuracy", "read_table", "right", "share", "well_labelled", "wilson"]


@torch.inference_mode()
def right(
    model: nn.Module, images: Images, *, transform: Callable[[Tensor], Tensor] | None = None, batch: int = 64
) -> npt.NDArray[np.bool_]:
    """Which images the model labels right.

    Parameters
    ----------
    model : Module
        From float images in [0, 1] to logits, on its device.
    images : Images
        With labels.
    transform : callable, optional
        From bytes to bytes, uint8 (B, 3, H, W) on the CPU, before the model.
    batch : int
        Images at a time.

    Returns
    -------
    ndarray
        bool (N,).
    """
    tensor = next(model.parameters(), torch.empty(0))
    judged = []
    for x, y in zip(images.pixels.split(batch), images.labels.split(batch), strict=True):
        x = x if transform is None else transform(x)
        judged.append((model(x.to(tensor.device) / 255).argmax(1).cpu() == y).numpy())
    return np.concatenate(judged)


def accuracy(model: nn.Module, images: Images, batch: int = 64) -> float:
    """The share of images that the model labels right, in 0..1."""
    return float(right(model, images, batch=batch).mean())


def well_labelled(model: nn.Module, images: Images, count: int, batch: int = 64) -> Images:
    """The first `count` images that the model labels right: those that are worth an attack.

    Raises
    ------
    ValueError
        If there are fewer.
    """
    chosen = np.flatnonzero(right(model, images, batch=batch))[:count]
    if len(chosen) < count:
        raise ValueError(f"images: {count} are asked, but the model labels {len(chosen)} of {len(images)} images right")
    return images.take(torch.from_numpy(chosen))


def share(right: int, images: int) -> dict[str, Any]:
    """Columns of a table: ``right``, ``images``, ``accuracy`` in 0..1 and its 95% interval, ``low`` and ``high``."""
    low, high = wilson(right, images)
    return {"right": right, "images": images, "accuracy": right / images, "low": low, "high": high}


def read_table(path: str | PathLike[str]) -> Any:
    """A table of a run as a pandas frame: its CSV, or the journal (.jsonl) of a run that has not ended."""
    import pandas

    if Path(path).suffix != ".jsonl":
        return pandas.read_csv(path, keep_default_na=False, na_values=[""], dtype={"hits": str})
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return pandas.DataFrame([line | share(line["right"], line["images"]) for line in lines])


def wilson(right: int, total: int) -> tuple[float, float]:
    """Wilson's 95% interval of a proportion (Wilson, 1927)."""
    z, p = 1.959964, right / total
    center, spread = p + z * z / (2 * total), z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return (center - spread) / scale, (center + spread) / scale
