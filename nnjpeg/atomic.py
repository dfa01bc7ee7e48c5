"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from os import PathLike
from pathlib import Path

__all__ = ["write"]


def write(path: str | PathLike[str], data: bytes, *, overwrite: bool = True) -> None:
    """Write `data` to `path` under a temporary name beside it, then rename.

    Raises
    ------
    FileExistsError
        If `path` exists and `overwrite` is false; also if it came into being meanwhile.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
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
