"""Weights in safetensors, with everything needed to use them and to know their origin.

A model's file holds the network's own state dict, so timm, torchvision and `models.load` read it too. Its header holds
one JSON text under ``nnjpeg``: architecture and preprocessing, the training's facts, versions, and a digest of the
tensors. Files are written completely or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from nnjpeg import atomic
from nnjpeg.robust.models import Classifier, Origin, create, put_weights

__all__ = ["facts_of", "load", "read", "save_model", "untrained", "write"]

_FORMAT = 1

_Found = TypeVar("_Found")


def write(path: str | PathLike[str], tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write tensors and facts, atomically.

    Parameters
    ----------
    path : path
        Replaced only once the new file is complete: on a full disk the one before stays.
    tensors : dict
        Tensors on any device, none of which share memory.
    facts : dict
        Values that JSON can hold.
    """
    here = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = json.dumps({"format": _FORMAT, "digest": _digest(here), **facts})
    atomic.write(path, save(here, {"nnjpeg": header}))


def read(path: str | PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of a file that `write` made.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is damaged or of something else.
    """
    tensors, facts = _opened(
        path, lambda file: {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    )  # fmt: skip
    if _digest(tensors) != facts["digest"]:
        raise ValueError(f"{path}: a damaged checkpoint: its tensors are not those that were written")
    return tensors, _of_caller(facts)


def facts_of(path: str | PathLike[str]) -> dict[str, Any]:
    """The facts of a file alone, whose tensors are not read; errors as of `read`."""
    return _of_caller(_opened(path, lambda file: None)[1])


def _opened(path: str | PathLike[str], get: Callable[[Any], _Found]) -> tuple[_Found, dict[str, Any]]:
    """What `get` takes from an open file, and all of the file's facts."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    try:
        with safetensors.safe_open(path, "pt") as file:
            header, found = (file.metadata() or {}).get("nnjpeg"), get(file)
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"{path}: a damaged checkpoint, or none at all ({error})") from None
    if header is None:
        raise ValueError(f"{path}: weights without the facts of training; give them as weights of an arch instead")
    facts = json.loads(header)
    if facts["format"] != _FORMAT:
        raise ValueError(f"{path}: a checkpoint of format {facts['format']}; this version reads {_FORMAT}")
    return found, facts


def _of_caller(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in ("format", "digest")}


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_model(path: str | PathLike[str], model: Classifier, facts: dict[str, Any]) -> None:
    """Write a model that `models.load` made, so that `load` makes it again.

    Raises
    ------
    ValueError
        If nobody knows how to make it: it was not made by `models.load`.
    """
    if model.origin is None:
        raise ValueError("model: only what models.load has made can be saved with its architecture")
    kept = {
        "arch": model.origin.arch,
        "classes": model.origin.classes,
        "outputs": model.outputs(),
        "options": model.origin.options,
        "mean": model.mean.flatten().tolist(),
        "std": model.std.flatten().tolist(),
        "size": model.size,
        "resize": model.resize,
    }
    write(path, model.network.state_dict(), {"model": kept, **facts})


def load(
    path: str | PathLike[str], *, arch: str | None = None, outputs: int | None = None
) -> tuple[Classifier, dict[str, Any]]:
    """A model, in evaluation mode, and the facts of its training.

    Parameters
    ----------
    path : path
        A file that `save_model` wrote.
    arch, outputs
        What it is expected to be, and how many classes it is expected to know.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is damaged, of something else, or not of the expected architecture or number of classes.
    """
    tensors, facts = read(path)
    kept = facts.get("model")
    if kept is None:
        raise ValueError(f"{path}: a state of training, not a model")
    if arch is not None and kept["arch"] != arch:
        raise ValueError(f"{path}: a model of architecture {kept['arch']}; {arch} is wanted")
    if outputs is not None and kept["outputs"] != outputs:
        raise ValueError(f"{path}: a model of {kept['outputs']} classes; {outputs} are wanted")
    model = _make(kept)
    put_weights(model.network, tensors, path, kept["arch"])
    return model.eval(), facts


def untrained(path: str | PathLike[str], seed: int = 0) -> Classifier:
    """The model of a file with random weights instead of its own."""
    kept = read(path)[1]["model"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _make(kept)


def _make(kept: dict[str, Any]) -> Classifier:
    network, _ = create(kept["arch"], False, kept["classes"], kept["options"])
    origin = Origin(kept["arch"], kept["classes"], kept["options"])
    return Classifier(network, kept["mean"], kept["std"], kept["size"], kept["resize"], origin)
