"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import BinaryIO

__all__ = ["opened", "write"]


def write(path: str | PathLike[str], data: bytes, *, overwrite: bool = True) -> None:
    """Write `data` to `path`, as `opened` does."""
    with opened(path, overwrite=overwrite) as file:
        file.write(data)


@contextlib.contextmanager
def opened(path: str | PathLike[str], *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """A file under a temporary name beside `path`, which is renamed to it when the block ends, unless by an error.

    Raises
    ------
    FileExistsError
        If `path` exists and `overwrite` is false; also if it came into being meanwhile.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        if overwrite:
            os.replace(temporary, path)
        else:
            _rename_to_new(temporary, path)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # a full disk, which does not say whose
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _rename_to_new(temporary: str, path: Path) -> None:
    try:
        os.link(temporary, path)  # fails where path exists, without a moment in between
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(f"{path} exists") from None
        os.replace(temporary, path)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
