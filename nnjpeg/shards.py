"""Tar files of images as webdataset reads them: members ``KEY.jpg``, the same bytes for the same images each time."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nnjpeg import atomic

__all__ = ["description_of", "key_of", "shard_name", "write"]

_HEADER = "NNJPEG.description"


def key_of(name: Path) -> str:
    """The key of an image by its relative path: its folders and its name without the suffix.

    webdataset takes what follows the first dot of a name for the suffix, so other dots become underscores.
    """
    return (name.parent / re.sub(r"\.", "_", name.stem)).as_posix()


def shard_name(path: Path, number: int | None) -> Path:
    """``set.tar`` is ``set-000007.tar`` as shard 7."""
    return path if number is None else path.with_name(f"{path.stem}-{number:06d}{path.suffix}")


def write(
    path: Path, members: Iterable[tuple[str, bytes]], description: dict[str, Any], *, overwrite: bool = False
) -> int:
    """Write members (name, contents) to a tar file, there whole or not at all; return how many there were.

    Parameters
    ----------
    path : Path
        Where to.
    members : iterable of (str, bytes)
        As they are to be read.
    description : dict
        What is in it, as JSON can hold it; `description_of` reads it. It stands in the tar file's global header.
    overwrite : bool
        Whether `path` may exist.

    Raises
    ------
    FileExistsError
        If it exists and must not.
    """
    count = 0
    headers = {_HEADER: json.dumps(description, sort_keys=True)}
    with (
        atomic.opened(path, overwrite=overwrite) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, pax_headers=headers) as tar,
    ):
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
            count += 1
    return count


def description_of(path: Path) -> dict[str, Any] | None:
    """The description of a tar file that `write` wrote; None if another wrote it, or it is no tar file."""
    try:
        with tarfile.open(path) as tar:
            return json.loads(tar.pax_headers[_HEADER])
    except (KeyError, ValueError, tarfile.TarError):
        return None
