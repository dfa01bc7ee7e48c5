"""A run folder: parameters, versions and results; the same command resumes it."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import math
import platform
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import filelock

import nnjpeg
from nnjpeg import atomic
from nnjpeg.robust.record import distributed

__all__ = ["Run", "difference", "versions"]

_PACKAGES = ("numpy", "pillow", "torch", "torchvision", "timm", "accelerate", "safetensors", "scikit-image", "pandas")

_LOCK = ".lock"

_FORMAT = 2  # of a run folder: what its results are, and what config.json knows it by


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
        path = self.folder / "config.json"
        self._begins = not path.exists()
        self._new = [one for one in (self.folder, *self.folder.parents) if not one.exists()]
        self._others = set(self.folder.iterdir()) if self._begins and self.folder.is_dir() else set()
        asked = {"format": _FORMAT, "run": command, "parameters": json.loads(json.dumps(parameters, default=str))}
        different = difference(self.folder, command, asked["parameters"])
        if different:
            raise ValueError(f"out: {self.folder} holds a run {different}")
        distributed.barrier()
        if self._begins and distributed.is_main():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.write_json("config.json", {**asked, **_facts()})
        distributed.barrier()

    def hold(self) -> contextlib.AbstractContextManager[Any]:
        """Hold the folder against other processes until the context manager that is returned ends.

        Only the first process of a distributed run does; where the file system has no locks, nobody does.

        Raises
        ------
        ValueError
            If another process holds it.
        """
        if not distributed.is_main():
            return contextlib.nullcontext()
        try:
            return filelock.FileLock(self.folder / _LOCK).acquire(timeout=0)
        except filelock.Timeout:
            advice = "wait for it, stop it, or give another folder"
            raise ValueError(f"out: another process is at work in {self.folder}; {advice}") from None
        except (OSError, NotImplementedError):
            return contextlib.nullcontext()

    def let_go(self, prepared: Collection[str] = ()) -> None:
        """Release the folder for another run, if this run started in it and has no result yet.

        Parameters
        ----------
        prepared : collection of str
            Names of files that are not results: they are removed too, unless they existed before the run.
        """
        if not self._begins or not distributed.is_main():
            return
        made = set(self.folder.iterdir()) - self._others
        if any(path.name not in ("config.json", _LOCK, *prepared) for path in made):
            return
        for path in made:
            path.unlink()
        for folder in self._new:
            folder.rmdir()

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


def difference(folder: Path, command: str, parameters: dict[str, Any]) -> str:
    """The difference between the run in a folder and another run, in words; "" if there is none, or no run.

    Parameters
    ----------
    folder : Path
        Of a run.
    command : str
        The other's command.
    parameters : dict
        Its parameters, as JSON has them.
    """
    path = folder / "config.json"
    if not path.exists():
        return ""
    before = json.loads(path.read_text())
    if before.get("format") != _FORMAT:
        version = before.get("versions", {}).get("nnjpeg", "of an earlier version")
        return f"that nnjpeg {version} began; give another folder"
    if before.get("run") != command:
        return f"of {before.get('run')}, not of {command}"
    for name in sorted({*parameters, *before["parameters"]}):
        old, new = before["parameters"].get(name), parameters.get(name)
        if old != new:
            return f"with {name} = {old!r}, this one has {new!r}"
    return ""


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def versions() -> dict[str, str]:
    """Versions of nnjpeg, Python and the packages that results may depend on."""
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
    """The git commit of the source tree of the package, if there is one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None if result.returncode == 0 else None
