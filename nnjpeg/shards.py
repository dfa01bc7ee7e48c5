"""Tar files of images as webdataset reads them: members ``KEY.jpg``, the same bytes for the same images each time."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from nnjpeg import atomic

__all__ = ["contents", "description_of", "key_of", "names_of", "shard_name", "stale", "write"]

_HEADER = "NNJPEG.description"
_DIGITS = 10  # enough for the number of failures


def key_of(name: Path) -> str:
    """The key of an image by its relative path: its folders and its name without the suffix.

    webdataset takes what follows the first dot of a name for the suffix, so other dots become underscores.
    """
    return (name.parent / re.sub(r"\.", "_", name.stem)).as_posix()


def shard_name(path: Path, number: int | None) -> Path:
    """The path of a shard: ``set.tar`` becomes ``set-000007.tar`` for shard 7."""
    return path if number is None else path.with_name(f"{path.stem}-{number:06d}{path.suffix}")


def stale(path: Path, kept: Collection[Path]) -> list[Path]:
    """Shards of `path` (``set-000007.tar``) that exist and are not among the `kept`."""
    name = re.compile(rf"{re.escape(path.stem)}-\d{{6,}}{re.escape(path.suffix)}")
    return sorted(one for one in path.parent.glob("*") if name.fullmatch(one.name) and one not in kept)


def write(
    path: Path, members: Iterable[tuple[str, bytes] | None], description: dict[str, Any], *, overwrite: bool = False
) -> int:
    """Write members (name, contents) to a tar file, complete or not at all; return their number.

    Parameters
    ----------
    path : Path
        The file to write. Its folder is made.
    members : iterable of (str, bytes) or None
        In the order of the file; None for each that failed. Without members, no file is made.
    description : dict
        Description of the contents, in a form that JSON can hold. It is written into the tar file's global header, with
        the number of failures as "failed"; `description_of` reads it.
    overwrite : bool
        Whether `path` may exist.

    Raises
    ------
    FileExistsError
        If `path` exists and `overwrite` is false.
    """
    failed = 0
    waiting = iter(members)
    for first in waiting:
        if first is not None:
            break
        failed += 1
    else:
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with atomic.opened(path, overwrite=overwrite) as file:
        file.write(_header(description, 0))
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for member in itertools.chain([first], waiting):
                if member is None:
                    failed += 1
                    continue
                entry = tarfile.TarInfo(member[0])
                entry.size = len(member[1])
                tar.addfile(entry, io.BytesIO(member[1]))
                count += 1
        file.seek(0)
        file.write(_header(description, failed))
    return count


def _header(description: dict[str, Any], failed: int) -> bytes:
    """The global header at the head of a tar file, of a length that does not depend on `failed`."""
    text = json.dumps({**description, "failed": failed}, sort_keys=True)
    padded = text + " " * (_DIGITS - len(str(failed)))
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, pax_headers={_HEADER: padded}):
        return file.getvalue()


def description_of(path: Path) -> dict[str, Any] | None:
    """The description of a tar file that `write` wrote; None for any other file.

    Version 0.1.0 did not record the number of failures.
    """
    try:
        with tarfile.open(path) as tar:
            return json.loads(tar.pax_headers[_HEADER])
    except (KeyError, ValueError, tarfile.TarError):
        return None


def names_of(path: Path) -> frozenset[str]:
    """The names of a tar file's members."""
    with tarfile.open(path) as tar:
        return frozenset(tar.getnames())


@contextlib.contextmanager
def contents(path: Path) -> Iterator[Callable[[str], bytes]]:
    """A context with a function that reads a member of a tar file by its name."""
    with tarfile.open(path) as tar:
        members = {member.name: member for member in tar}

        def read(name: str) -> bytes:
            file = tar.extractfile(members[name])
            assert file is not None  # it is a regular file
            return file.read()

        yield read
