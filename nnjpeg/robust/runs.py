"""A run folder: what was asked, of which versions, and all that came out; the same command again goes on in it."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import nnjpeg
from nnjpeg import atomic
from nnjpeg._progress import Progress
from nnjpeg.robust import distributed

__all__ = ["Journal", "Run", "as_before", "shared", "versions"]

_PACKAGES = ("numpy", "pillow", "torch", "torchvision", "timm", "accelerate", "safetensors", "scikit-image", "pandas")


_NAMES_BEFORE = {"mixed_precision": "precision"}
"""Parameters that version 0.1.0 knew by another name: a run that it began goes on."""


def as_before(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters by the names that version 0.1.0 knew them by."""
    return {_NAMES_BEFORE.get(name, name): value for name, value in parameters.items()}


class Run:
    """A folder with ``config.json``: parameters, seed, versions, git commit, date and command.

    Parameters
    ----------
    folder : path
        Made if it is not there. If it holds a run with the same command and parameters, that is continued.
    command : str
        The command's name.
    parameters : dict
        Its parameters, as JSON can hold them.

    Raises
    ------
    ValueError
        If the folder holds a run of something else; names the first difference.
    """

    def __init__(self, folder: str | Path, command: str, parameters: dict[str, Any]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "config.json"
        asked = json.loads(json.dumps({"run": command, "parameters": parameters}, default=str))
        if path.exists():
            before = json.loads(path.read_text())
            if before.get("run") != command:
                raise ValueError(f"out: {self.folder} holds a run of {before.get('run')}, not of {command}")
            now = {name: new for new, name in _NAMES_BEFORE.items()}
            parameters = {now.get(name, name): value for name, value in before["parameters"].items()}
            for name in sorted({*asked["parameters"], *parameters}):
                old, new = parameters.get(name), asked["parameters"].get(name)
                if old != new:
                    raise ValueError(f"out: {self.folder} holds a run with {name} = {old!r}, this one has {new!r}")
        distributed.barrier()
        if not path.exists() and distributed.is_main():
            self.write_json("config.json", {**asked, **_facts()})
        distributed.barrier()

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def write_json(self, name: str, data: Any) -> Path:
        """Write a JSON file, atomically; numbers that JSON does not have become null."""
        path = self.folder / name
        atomic.write(path, (json.dumps(_finite(data), indent=1) + "\n").encode())
        return path

    def write_csv(self, name: str, frame: Any) -> Path:
        """Write a pandas frame, atomically."""
        path = self.folder / name
        atomic.write(path, frame.to_csv(index=False).encode())
        return path


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def versions() -> dict[str, str]:
    """Of nnjpeg, Python and the packages that results may depend on."""
    found = {"nnjpeg": nnjpeg.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _facts() -> dict[str, Any]:
    return {
        "versions": versions(),
        "git_commit": _git_commit(),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name.replace("__main__.py", "nnjpeg"), *sys.argv[1:]],
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _git_commit() -> str | None:
    """Of the source tree that the package lies in, if it lies in one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None if result.returncode == 0 else None


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
    work: Callable[[dict[str, Any]], dict[str, Any]],
    journal: Journal | None = None,
    *,
    description: str = "results",
    unit: str = "result",
) -> list[dict[str, Any]]:
    """The result of every key, from the journal or by `work`; under torchrun each process does its share.

    Parameters
    ----------
    keys : sequence of dict
        What identifies a result, as JSON can hold it; all with the same names.
    work : callable
        From a key to what is to be known about it.
    journal : Journal, optional
        Where results are kept as they come. Several processes need one.
    description, unit : str
        What progress is reported of.

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
    todo = [json.loads(one) for one in dict.fromkeys(map(name, keys)) if one not in known]
    mine = todo[distributed.rank() :: distributed.world_size()]
    distributed.barrier()  # nobody adds to the journal before all have read the same, else their shares do not fit
    with Progress(description, len(mine), unit, quiet=not distributed.is_main()) as progress:
        for key in mine:
            known[name(key)] = line = {**key, **work(key)}
            if journal is not None:
                journal.append(line)
            progress.update()
    distributed.barrier()
    if distributed.world_size() > 1:
        known = {name(line): line for line in journal or ()}
    return [known[name(key)] for key in keys]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            yield json.loads(line)
