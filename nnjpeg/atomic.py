"""Files that are there whole or not at all.

A file is written under a temporary name beside its own and then renamed. Whatever ends the process, the temporary
file goes: at once on errors, Ctrl-C and SIGTERM (where `discard` is called), and else when anybody writes a file into
the same folder by this module again. Its writer holds a lock on it, which the system takes away with the process, so
that nobody takes the file of a running process for a dead one's.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import secrets
import sys
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import BinaryIO

if sys.platform == "win32":  # where a file that is open cannot be removed, which serves as well as a lock
    fcntl = None
else:
    import fcntl

__all__ = ["discard", "opened", "sweep", "write"]

_SUFFIX = ".nnjpeg-part"
_BINARY = getattr(os, "O_BINARY", 0)  # of Windows

_temporary: set[str] = set()
"""Those of this process: a name is here before its file is."""

_swept: set[str] = set()
"""Folders in which this process has looked for what others left."""


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
    sweep(path.parent)
    temporary = ""
    try:
        temporary, handle = _create(path.parent)
        with _locked(handle):
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if overwrite:
                os.replace(temporary, path)
            else:
                _rename_to_new(temporary, path)
    except OSError as error:
        named = error.filename is not None and not str(error.filename).endswith(_SUFFIX)
        if error.errno is not None and not named:  # a full disk does not say whose, others say the temporary name
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        _remove(temporary)


def sweep(folder: str | PathLike[str]) -> None:
    """Remove the temporary files that processes have left in a folder which are no more; once a process and folder."""
    folder = os.path.abspath(folder)
    if folder in _swept:
        return
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        left = [entry.path for entry in entries if entry.name.endswith(_SUFFIX)]
        _swept.add(folder)
        for path in left:
            _remove_if_dead(path)


def discard() -> None:
    """Remove the temporary files of this process: its end, which nothing can raise through."""
    for path in list(_temporary):
        _remove(path)


def _create(folder: Path) -> tuple[str, int]:
    """A new file, locked: its path and descriptor."""
    while True:
        path = os.path.join(folder, f".{secrets.token_hex(8)}{_SUFFIX}")
        _temporary.add(path)
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _BINARY, 0o666)
        # Between these two lines another process may have taken it for a dead one's, and removed it.
        if _lock(handle) and os.path.exists(path):
            return path, handle
        os.close(handle)
        _remove(path)


def _lock(handle: int) -> bool:
    """Whether nobody else has the lock; true, too, on file systems without locks, where nothing is swept either."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def _locked(handle: int) -> Iterator[None]:
    """Keeps the lock of a file when `handle` is closed, until the block ends: it must last until the file is renamed.

    Not on Windows, where an open file cannot be renamed.
    """
    if fcntl is None:
        yield
        return
    again = os.dup(handle)
    try:
        yield
    finally:
        os.close(again)


def _remove_if_dead(path: str) -> None:
    with contextlib.suppress(OSError):
        if fcntl is None:
            os.unlink(path)
            return
        handle = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
        finally:
            os.close(handle)


def _remove(path: str) -> None:
    if path in _temporary:
        with contextlib.suppress(OSError):
            os.unlink(path)
        _temporary.discard(path)


def _rename_to_new(temporary: str, path: Path) -> None:
    try:
        os.link(temporary, path)  # fails where path exists, without a moment in between
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(temporary, path)


atexit.register(discard)
if hasattr(os, "register_at_fork"):  # a child's end must not remove what its parent is writing
    os.register_at_fork(after_in_child=_temporary.clear)
