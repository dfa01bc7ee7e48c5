"""Code many images as JPEG files or as members of tar files: the work of `nnjpeg compress`.

Threads read and code images ahead of the thread that writes and reports them in order (`_Ahead`). A failure of one
image is reported and does not stop the others. A failure of writing (a full disk, a closed pipe) ends the run; the
files written by then are complete.
"""

from __future__ import annotations

import contextlib
import contextvars
import errno
import hashlib
import itertools
import math
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from nnjpeg import atomic, shards
from nnjpeg._arguments import Colorspace, Subsampling
from nnjpeg._threads import available_cpus
from nnjpeg._words import counted
from nnjpeg.codec import roundtrip
from nnjpeg.files import encode
from nnjpeg.pictures import Rules, listening, read
from nnjpeg.qtable import QTable
from nnjpeg.sources import Source

__all__ = ["Coder", "Listener", "Result", "to_files", "to_tar"]


class Result(NamedTuple):
    """A coded image, with its size, PSNR, warnings and what was left out."""

    data: bytes
    size: tuple[int, int]
    """Width and height."""
    psnr: float
    """Of all samples, in dB; infinite where they are equal."""
    left_out: tuple[str, ...]
    warnings: tuple[str, ...]


class Coder(NamedTuple):
    """The settings by which images are coded."""

    qtables: tuple[QTable, ...]
    """One for all components, or one for each; of a grey image that is coded in YCbCr the first."""
    colorspace: Colorspace
    subsampling: Subsampling
    rules: Rules

    def __call__(self, path: Path) -> Result:
        """Read an image and encode it, with its EXIF data and ICC profile.

        Raises
        ------
        Exception
            As `pictures.read` and `nnjpeg.encode`.
        """
        picture = read(path, self.rules)
        pixels = picture.pixels
        coding: dict[str, Any] = {"colorspace": self.colorspace, "subsampling": self.subsampling}
        data = encode(pixels, self.qtables, exif=picture.exif, icc_profile=picture.icc_profile, **coding)
        # What a reader of `data` gets, computed faster than by reading.
        decoded = roundtrip(pixels, self.qtables, num_threads=1, **coding)
        psnr = _psnr(pixels, decoded)
        return Result(data, (pixels.shape[1], pixels.shape[0]), psnr, picture.left_out, picture.warnings)

    def description(self) -> dict[str, Any]:
        """The settings in a form that JSON can hold; that of version 0.1.0 where it suffices."""
        tables = [table.to_list() for table in self.qtables]
        description: dict[str, Any] = {
            "qtable": tables[0] if len(tables) == 1 else tables, "colorspace": self.colorspace,
        }  # fmt: skip
        if self.subsampling != "4:4:4":
            description["subsampling"] = self.subsampling
        if self.rules.background is not None:
            description["background"] = list(self.rules.background)
        if self.rules.convert:
            description["convert"] = True
        return description


_STRIP = 1 << 16  # samples, whose differences stay in the cache


def _psnr(image: npt.NDArray[np.uint8], decoded: npt.NDArray[np.uint8]) -> float:
    before, after = image.reshape(-1), decoded.reshape(-1)
    total = 0.0
    for begin in range(0, before.size, _STRIP):
        a, b = before[begin : begin + _STRIP], after[begin : begin + _STRIP]
        differences = (np.maximum(a, b) - np.minimum(a, b)).astype(np.float32)
        total += float(np.einsum("i,i", differences, differences))  # not by BLAS, which has threads of its own
    return float(10 * np.log10(255**2 * image.size / total)) if total else np.inf


Item = TypeVar("Item")
Made = TypeVar("Made", bound=Result | None)


class _Ahead(Generic[Item, Made]):
    """Results that threads compute ahead, returned in the order of the items; a context manager.

    If an item raises, the exception is its result. Results that were not taken when the block ends are dropped.
    """

    _MOST, _MOST_BYTES = 128, 1 << 26  # that wait to be taken
    # Each time one thread takes over from another costs as much as coding a small image does: so a thread does some of
    # those in a row. Of very small ones most of the time is Python's, and a second thread would wait for the first.
    _PIXELS_IN_A_ROW, _MOST_IN_A_ROW, _VERY_SMALL = 1 << 18, 16, 1 << 13

    def __init__(self, code: Callable[[Item], Made], items: Iterable[Item]) -> None:
        self._code, self._items = code, iter(items)
        self._done: deque[tuple[Item, Made | Exception]] = deque()
        self._waiting: deque[Future[list[tuple[Item, Made | Exception]]]] = deque()
        self._count, self._lock, self._bytes = 0, threading.Lock(), 0
        self._in_a_row, self._by_one = 1, False

    def __enter__(self) -> _Ahead[Item, Made]:
        self._listening = listening()
        self._listening.__enter__()
        self._one, self._all = ThreadPoolExecutor(1), ThreadPoolExecutor(available_cpus())
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for threads in (self._one, self._all):
                threads.shutdown(wait=False, cancel_futures=True)
            for threads in (self._one, self._all):
                threads.shutdown()
        finally:
            self._listening.__exit__(None, None, None)

    def take(self, most: int = 1) -> list[tuple[Item, Made | Exception]]:
        """The next result, and as many as are ready, up to `most` in all; an empty list at the end."""
        taken: list[tuple[Item, Made | Exception]] = []
        self._fill()
        while len(taken) < most:
            if not self._done:
                if not self._waiting or (taken and not self._waiting[0].done()):
                    break
                self._done.extend(self._waiting.popleft().result())
            taken.append(self._done.popleft())
        self._count -= len(taken)
        results = [result for _, result in taken if isinstance(result, Result)]
        self._hold(-sum(len(result.data) for result in results))
        if results:
            pixels = math.prod(results[-1].size)
            self._in_a_row = max(1, min(self._PIXELS_IN_A_ROW // pixels, self._MOST_IN_A_ROW))
            self._by_one = _HAS_GIL and pixels < self._VERY_SMALL
        self._fill()
        return taken

    def _fill(self) -> None:
        while self._count < self._MOST and self._bytes < self._MOST_BYTES:
            items = list(itertools.islice(self._items, self._in_a_row))
            if not items:
                return
            self._count += len(items)
            run = contextvars.copy_context().run  # `listening` may be of the context
            threads = self._one if self._by_one else self._all
            self._waiting.append(threads.submit(run, self._outcomes, items))

    def _outcomes(self, items: list[Item]) -> list[tuple[Item, Made | Exception]]:
        outcomes: list[tuple[Item, Made | Exception]] = []
        for item in items:
            try:
                made = self._code(item)
            except Exception as error:
                outcomes.append((item, error))
            else:
                outcomes.append((item, made))
                self._hold(0 if made is None else len(made.data))
        return outcomes

    def _hold(self, more: int) -> None:
        with self._lock:
            self._bytes += more


_HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()


class Listener(Protocol):
    """Receives a call for each image; an exception that it raises ends the run."""

    def done(self, result: Result, target: object) -> None:
        """An image was encoded, for a file or a member of a tar file."""

    def skipped(self, path: Path, error: Exception) -> None:
        """An image could not be read, encoded or written."""

    def passed(self, line: str, images: int) -> None:
        """`images` images were already done; `line` says why."""


# Files

_OF_ONE_NAME = (
    errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ELOOP,
)  # fmt: skip
"""Errors of writing that have to do with the file's name: others will be written."""


_MOST_AT_ONCE = 64
"""Files that wait for the disk together."""


def to_files(
    images: Iterable[tuple[Source, Path]], coder: Coder, listener: Listener, *, overwrite: bool = False
) -> None:
    """Write each image to its path; folders are made.

    A file that exists is compared with what would be written: if the bytes are equal, the image was done before. Any
    other file is left as it is, and its image skipped, unless `overwrite` is true.

    Raises
    ------
    OSError
        If files cannot be written.
    """
    taken: set[Path] = set()
    group: dict[Path, tuple[Source, Result | Exception | None]] = {}

    def code(image: tuple[Source, Path]) -> Result | None:
        source, target = image
        there = not overwrite and target.exists()
        if there and not target.is_file():
            raise _something_else(target)
        result = coder(source.path)
        if not there:
            return result
        if target.read_bytes() != result.data:
            raise _something_else(target)
        return None

    def write() -> None:
        files = [(target, result.data) for target, (_, result) in group.items() if isinstance(result, Result)]
        with contextlib.closing(atomic.write_many(files, overwrite=overwrite)) as errors:
            for target, (source, result) in group.items():
                if isinstance(result, Exception):
                    listener.skipped(source.path, result)
                    continue
                error = None if result is None else next(errors)
                if error is None:
                    taken.add(target)
                    if result is None:
                        listener.passed(f"{target}: done before", 1)
                    else:
                        listener.done(result, target)
                elif error.errno in _OF_ONE_NAME:
                    listener.skipped(source.path, error)
                else:
                    raise error
        group.clear()

    most = 1  # so that the first is there at once
    with _Ahead(code, images) as ahead:
        while results := ahead.take(most):
            for (source, target), result in results:
                if target in group:
                    write()
                if target in taken:
                    result = FileExistsError(f"another image of this run is {target}")
                group[target] = source, result
            write()
            most = min(2 * most, _MOST_AT_ONCE)


def _something_else(path: Path) -> FileExistsError:
    return FileExistsError(f"{path} exists and holds something else; --force overwrites it")


# Tar files

_Member = tuple[str, bytes | None]


def to_tar(
    sources: Sequence[Source],
    tar: Path,
    images_each: int | None,
    coder: Coder,
    listener: Listener,
    *,
    overwrite: bool = False,
) -> None:
    """Write a member for each image, to one tar file or to several of `images_each` images.

    A tar file that exists is not made again, but images that failed in it are tried again.

    Raises
    ------
    FileExistsError
        If one exists with other contents, and `overwrite` is false.
    OSError
        If tar files cannot be written.
    """
    each = images_each or max(len(sources), 1)
    parts = [
        _Shard(shards.shard_name(tar, number if images_each else None), sources[begin : begin + each], coder)
        for number, begin in enumerate(range(0, len(sources), each))
    ]
    others = shards.stale(tar, [shard.path for shard in parts]) if images_each else []
    stale = [path for path in others if shards.description_of(path) is not None]
    if not overwrite:
        wrong = [shard.path for shard in parts if shard.path.exists() and not shard.is_there()]
        if wrong:
            raise _something_else(wrong[0])
        if stale:
            raise FileExistsError(f"{stale[0]} exists and holds none of these images; --force removes it")
    atomic.sweep(tar.parent)
    for shard in parts:
        if not overwrite and shard.path.exists():
            shard.complete(listener)
        elif not shard.make(listener, overwrite):
            listener.passed(f"{shard.path}: not written, all of its images failed", 0)
            stale += [shard.path] if shard.path.exists() else []
    for path in stale:
        path.unlink()
        listener.passed(f"{path}: removed, it held none of these images", 0)


class _Shard:
    """A tar file and the images that belong into it."""

    def __init__(self, path: Path, sources: Sequence[Source], coder: Coder) -> None:
        self.path, self._sources, self._coder = path, sources, coder
        names = "\n".join(source.name.as_posix() for source in sources)
        self._description = {
            **coder.description(),
            "images": len(sources),
            "names": hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest(),
        }

    def is_there(self) -> bool:
        """Whether the tar file exists and holds these images, except for those that failed."""
        found = shards.description_of(self.path)
        return found is not None and {**found, "failed": 0} == {**self._description, "failed": 0}

    def make(self, listener: Listener, overwrite: bool) -> int:
        """Write it; returns how many images are in it. Without any it is not written."""
        with contextlib.closing(self._members(listener, frozenset())) as members:
            return self._write(members, overwrite)

    def complete(self, listener: Listener) -> None:
        """Try again the images that failed before, and add those that succeed now."""
        failed = (shards.description_of(self.path) or {}).get("failed")
        there = frozenset() if failed == 0 else shards.names_of(self.path)
        if failed == 0 or len(there) == len(self._sources):  # version 0.1.0 did not count failures
            listener.passed(f"{self.path}: done before", len(self._sources))
            return
        members = list(self._members(listener, there))
        new = sum(member is not None and member[1] is not None for member in members)
        if new:
            self._write(members, overwrite=True)
            before = counted(len(there), "image")
            listener.passed(f"{self.path}: {before} done before, {new} put in that failed then", len(there))
        else:
            listener.passed(f"{self.path}: done before, but for {counted(members.count(None), 'image')}", len(there))

    def _members(self, listener: Listener, there: AbstractSet[str]) -> Generator[_Member | None]:
        """The member of each image: without contents where it is `there`, None where it fails."""
        taken: set[str] = set()

        def code(image: tuple[Source, str]) -> Result | None:
            source, name = image
            return None if name in there else self._coder(source.path)

        named = ((source, f"{shards.key_of(source.name)}.jpg") for source in self._sources)
        with _Ahead(code, named) as ahead:
            while results := ahead.take():
                (((source, name), result),) = results
                if name in taken:
                    result = FileExistsError(f"another image of this run is {name} in {self.path}")
                if isinstance(result, Exception):
                    listener.skipped(source.path, result)
                    yield None
                    continue
                taken.add(name)
                if result is not None:
                    listener.done(result, f"{self.path}:{name}")
                yield name, None if result is None else result.data

    def _write(self, members: Iterable[_Member | None], overwrite: bool) -> int:
        return shards.write(self.path, self._with_contents(members), self._description, overwrite=overwrite)

    def _with_contents(self, members: Iterable[_Member | None]) -> Iterator[tuple[str, bytes] | None]:
        """Those without contents have what is in the tar file that is there."""
        with contextlib.ExitStack() as stack:
            before: Callable[[str], bytes] | None = None
            for member in members:
                if member is None:
                    yield None
                    continue
                name, data = member
                if data is None:
                    before = before or stack.enter_context(shards.contents(self.path))
                    data = before(name)
                yield name, data
