"""Results that are stored as they are computed and shared by processes, so that a stopped run resumes.

A `Journal` stores results under their keys, and `keep` stores tensors with a description of what they belong to, both
in a run folder whose config.json has everything else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from nnjpeg import atomic
from nnjpeg._progress import Progress
from nnjpeg.robust.record import distributed
from nnjpeg.robust.record.run import Run

__all__ = ["Journal", "digest", "keep", "kept_once", "shared"]

_PART = 2**14  # bytes of a tensor that are digested at a time


class Journal:
    """Results as JSON lines, appended as they are computed; a run that is started again reads them.

    Each process of torchrun appends to its own file and reads all files. A line that was cut off by the end of a
    process is ignored.
    """

    def __init__(self, run: Run, name: str) -> None:
        self.run, self.name = run, name
        self.path = run / f"{name}.{distributed.rank()}.jsonl"

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for path in sorted(self.run.folder.glob(f"{self.name}.*.jsonl")):
            yield from _lines(path)

    def append(self, result: dict[str, Any]) -> None:
        """Append a result; it is in the file when this returns."""
        with open(self.path, "a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(json.dumps(result).encode() + b"\n")

    def keep(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Remove the lines of this process that are not wanted."""
        if self.path.exists():
            lines = [line for line in _lines(self.path) if wanted(line)]
            atomic.write(self.path, "".join(json.dumps(line) + "\n" for line in lines).encode())


def shared(
    keys: Sequence[dict[str, Any]],
    work: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
    journal: Journal | None = None,
    *,
    group: Callable[[dict[str, Any]], str] | None = None,
    description: str = "results",
    unit: str = "result",
) -> list[dict[str, Any]]:
    """Return the result of every key, from the journal or from `work`; under torchrun each process does its share.

    Parameters
    ----------
    keys : sequence of dict
        What identifies each result, in a form that JSON can hold; all with the same names.
    work : callable
        From the keys of one group to a result for each.
    journal : Journal, optional
        Where results are stored. Several processes need one.
    group : callable, optional
        From a key to the name of its group, whose results are computed together; by default each key is a group.
    description, unit : str
        Of the progress display.

    Returns
    -------
    list of dict
        For each key, one dict with the key and its result.
    """
    if not keys:
        return []

    def name(line: dict[str, Any]) -> str:
        return json.dumps({field: line.get(field) for field in keys[0]}, sort_keys=True)

    known = {name(line): line for line in journal or ()}
    todo = {name(key): key for key in keys if name(key) not in known}
    groups: dict[str, list[dict[str, Any]]] = {}
    for label, key in todo.items():
        groups.setdefault(group(key) if group else label, []).append(key)
    mine = list(groups.values())[distributed.rank() :: distributed.world_size()]
    distributed.barrier()  # nobody adds to the journal before all have read the same, else their shares do not fit
    with Progress(description, len(mine), unit, quiet=not distributed.is_main()) as progress:
        for several in mine:
            for key, result in zip(several, work(several), strict=True):
                known[name(key)] = line = {**key, **result}
                if journal is not None:
                    journal.append(line)
            progress.update()
    distributed.barrier()
    if distributed.world_size() > 1:
        known = {name(line): line for line in journal or ()}
    return [dict(known[name(key)]) for key in keys]


def digest(*tensors: Tensor) -> str:
    """A digest of the shapes, types and values of tensors."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        rows = tensor.detach().reshape(1) if tensor.ndim == 0 else tensor.detach()
        one = rows[:1].numel() * rows.element_size()
        for part in rows.split(max(_PART // max(one, 1), 1)):  # so that no copy of all of it is made
            found.update(part.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def keep(path: Path | None, of: dict[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Read tensors from their file, or make them and write the file.

    Parameters
    ----------
    path : Path, optional
        A safetensors file, written completely or not at all; None to store nothing.
    of : dict
        What the tensors belong to, in a form that JSON can hold.
    make : callable
        Makes the tensors, on the CPU.

    Raises
    ------
    ValueError
        If the file belongs to something else, or is damaged.
    """
    if path is None:
        return make()
    described = json.dumps(of, sort_keys=True)
    if not path.exists():
        tensors = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, safetensors.torch.save(tensors, {"of": described}))
        return tensors
    try:
        with safetensors.safe_open(path, "pt") as file:
            found = (file.metadata() or {}).get("of")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"{path}: damaged ({error})") from None
    if found != described:
        raise ValueError(f"{path}: of something else: {found}; this one is of {described}")
    return tensors


def kept_once(path: Path, of: dict[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """`keep`, but of several processes the first one alone makes the tensors, and all others read them."""
    tensors = keep(path, of, make) if distributed.is_main() else {}
    distributed.barrier()
    return tensors or keep(path, of, make)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            yield json.loads(line)
