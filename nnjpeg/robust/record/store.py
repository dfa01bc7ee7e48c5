"""Results that are kept as they come, and shared by processes; what a stopped run finds again."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nnjpeg import atomic
from nnjpeg._progress import Progress
from nnjpeg.robust.record import distributed
from nnjpeg.robust.record.run import Run

__all__ = ["Journal", "shared"]


class Journal:
    """Results that are kept as they come, one JSON line each: a process that was stopped finds them again.

    Each process of torchrun appends to a file of its own; all read all. A line cut short by the end of a process is
    not counted.
    """

    def __init__(self, run: Run, name: str) -> None:
        self.run, self.name = run, name
        self.path = run / f"{name}.{distributed.rank()}.jsonl"

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for path in sorted(self.run.folder.glob(f"{self.name}.*.jsonl")):
            yield from _lines(path)

    def append(self, result: dict[str, Any]) -> None:
        """Keep a result: after this returns, it is in the file."""
        with open(self.path, "a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(json.dumps(result).encode() + b"\n")

    def keep(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Leave out the lines of this process that are not wanted."""
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
    """The result of every key, from the journal or by `work`; under torchrun each process does its share.

    Parameters
    ----------
    keys : sequence of dict
        What identifies a result, as JSON can hold it; all with the same names.
    work : callable
        From keys of one group to what is to be known about each.
    journal : Journal, optional
        Where results are kept as they come. Several processes need one.
    group : callable, optional
        From a key to the name of its group, whose results are made together; by default each is its own.
    description, unit : str
        Of the progress.

    Returns
    -------
    list of dict
        For each key, the key and its result together.
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


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            yield json.loads(line)
