"""Files that are written completely or not at all.

A file is written under a temporary name in the same folder and then renamed. If the process ends before that, the
temporary file is removed: at once on errors, Ctrl-C and SIGTERM (where `discard` is called), otherwise the next time
that this module writes into the same folder. The writer holds a lock on the temporary file, which the system releases
when the process ends, so the file of a running process is never removed.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import secrets
import sys
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import BinaryIO, NamedTuple

if sys.platform == "win32":  # where a file that is open cannot be removed, which serves as well as a lock
    fcntl = None
else:
    import fcntl

__all__ = ["discard", "opened", "sweep", "write", "write_many"]

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
    """Open a file under a temporary name beside `path`; it is renamed to `path` when the block ends without an error.

    Raises
    ------
    FileExistsError
        If `path` exists and `overwrite` is false, even if it was made in the meantime.
    """
    path = Path(path)
    with _naming(path), _draft(path) as draft:
        yield draft.file
        draft.file.flush()
        os.fsync(draft.file.fileno())
        _publish(draft, overwrite)


def write_many(files: Iterable[tuple[Path, bytes]], *, overwrite: bool = True) -> Generator[OSError | None]:
    """Write files, each as `write` does; yield for each, in order, None once it exists, or the error.

    Folders are made. All files wait for the disk together, since a file system commits many at once. If the iterator is
    closed early, the remaining files are not written.
    """
    with contextlib.ExitStack() as stack:
        drafts = [_written(stack, path, data) for path, data in files]
        failures = _sync([draft for draft in drafts if isinstance(draft, _Draft)])
        for draft in drafts:
            if isinstance(draft, OSError):
                yield draft
            else:
                yield failures.get(draft) or _published(draft, overwrite)


def _published(draft: _Draft, overwrite: bool) -> OSError | None:
    try:
        with _naming(draft.path):
            _publish(draft, overwrite)
    except OSError as error:
        return error
    return None


def _written(stack: contextlib.ExitStack, path: Path, data: bytes) -> _Draft | OSError:
    """A draft of `path` that lasts as long as `stack`."""
    try:
        with _naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = stack.enter_context(_draft(path))
            try:
                draft.file.write(data)
                draft.file.flush()
            except OSError:
                with contextlib.suppress(OSError):  # what could not be written now cannot be when it is closed
                    draft.file.close()
                raise
    except OSError as error:
        return error
    return draft


def sweep(folder: str | PathLike[str]) -> None:
    """Remove the temporary files of ended processes from a folder; done once for each process and folder."""
    folder = os.path.abspath(folder)
    if folder in _swept:
        return
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        left = [entry.path for entry in entries if entry.name.endswith(_SUFFIX)]
        _swept.add(folder)
        for path in left:
            _remove_if_dead(path)


def discard() -> None:
    """Remove the temporary files of this process; called at its end, and never raises."""
    for path in list(_temporary):
        _remove(path)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Make errors name `path`: a full disk names no file, and other errors name the temporary one."""
    try:
        yield
    except OSError as error:
        named = error.filename is not None and not str(error.filename).endswith(_SUFFIX)
        if error.errno is not None and not named:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


class _Draft(NamedTuple):
    """A file that does not have its name yet."""

    path: Path
    temporary: str
    file: BinaryIO


@contextlib.contextmanager
def _draft(path: Path) -> Iterator[_Draft]:
    """A new file beside `path`, locked; under its temporary name it goes when the block ends."""
    sweep(path.parent)
    temporary = ""
    try:
        temporary, handle = _create(path.parent)
        with _locked(handle), os.fdopen(handle, "wb") as file:
            yield _Draft(path, temporary, file)
    finally:
        _remove(temporary)


def _publish(draft: _Draft, overwrite: bool) -> None:
    draft.file.close()  # Windows does not rename what is open
    if overwrite:
        os.replace(draft.temporary, draft.path)
    else:
        _rename_to_new(draft.temporary, draft.path)


_SYNCING = 16
"""How many threads wait for the disk at once."""


def _sync(drafts: Sequence[_Draft]) -> dict[_Draft, OSError]:
    """Wait until all are on the disk; return the errors of those that failed."""
    failures: dict[_Draft, OSError] = {}
    waiting = list(reversed(drafts))

    def work() -> None:
        while True:
            try:
                draft = waiting.pop()
            except IndexError:
                return
            try:
                with _naming(draft.path):
                    os.fsync(draft.file.fileno())
            except OSError as error:
                failures[draft] = error

    # The process's end does not wait for them: they may be waiting for a disk that does not answer.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(_SYNCING, len(drafts)) - 1)]
    try:
        for thread in threads:
            thread.start()
        work()
        for thread in threads:
            thread.join()
    finally:
        waiting.clear()
    return failures


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
    """Take the lock; False if another process has it. True on file systems without locks, where nothing is swept."""
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
    """Hold the lock of a file until the block ends, even if `handle` is closed before the file is renamed.

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
