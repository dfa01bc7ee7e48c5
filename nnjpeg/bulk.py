"""Many images to JPEG files, one by one or in tar files: what `nnjpeg compress` does with what it finds.

What goes wrong with one image is that image's alone. What goes wrong with writing (a full disk, a closed pipe) ends the
run; what has been written by then is whole.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from nnjpeg import atomic, shards
from nnjpeg._arguments import Colorspace, Subsampling
from nnjpeg.files import decode, encode
from nnjpeg.pictures import Rules, read
from nnjpeg.qtable import QTable
from nnjpeg.sources import Source

__all__ = ["Coder", "Listener", "Result", "to_files", "to_tar"]


class Result(NamedTuple):
    """An image as a file, and what is to be known about it."""

    data: bytes
    size: tuple[int, int]
    """Width and height."""
    psnr: float
    """Of all samples, in dB; infinite where they are equal."""
    left_out: tuple[str, ...]
    warnings: tuple[str, ...]


class Coder(NamedTuple):
    """How images become files."""

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
        data = encode(
            pixels,
            self.qtables,
            colorspace=self.colorspace,
            subsampling=self.subsampling,
            exif=picture.exif,
            icc_profile=picture.icc_profile,
        )
        with warnings.catch_warnings():  # what is to be said of a large image was said when it was read
            warnings.simplefilter("ignore")
            psnr = _psnr(pixels, decode(data))
        return Result(data, (pixels.shape[1], pixels.shape[0]), psnr, picture.left_out, picture.warnings)

    def description(self) -> dict[str, Any]:
        """What it does, as JSON can hold it; that of version 0.1.0 where it could do the same."""
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


def _psnr(image: npt.NDArray[np.uint8], decoded: npt.NDArray[np.uint8]) -> float:
    difference = np.subtract(image, decoded, dtype=np.int32)
    total = np.square(difference, out=difference).sum(dtype=np.int64)
    return float(10 * np.log10(255**2 * image.size / total)) if total else np.inf


class Listener(Protocol):
    """Who is told of each image; what it raises ends the run."""

    def done(self, result: Result, target: object) -> None:
        """An image was encoded, for a file or a member of a tar file."""

    def skipped(self, path: Path, error: Exception) -> None:
        """An image could not be read, encoded or written."""

    def passed(self, line: str, images: int) -> None:
        """`images` needed nothing; `line` says why."""


# Files

_OF_ONE_NAME = (
    errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ELOOP,
)  # fmt: skip
"""Errors of writing that have to do with the file's name: others will be written."""


def to_files(
    images: Iterable[tuple[Source, Path]], coder: Coder, listener: Listener, *, overwrite: bool = False
) -> None:
    """Write each image to the path that stands beside it; its folder is made.

    Raises
    ------
    OSError
        If files cannot be written at all.
    """
    written: set[Path] = set()
    for source, target in images:
        try:
            if target in written:
                raise FileExistsError(f"another image of this run was written to {target}")
            if not overwrite and target.exists():
                raise FileExistsError(f"{target} exists; --force overwrites it")
            result = coder(source.path)
        except Exception as error:
            listener.skipped(source.path, error)
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(target, result.data, overwrite=overwrite)
        except OSError as error:
            if error.errno not in _OF_ONE_NAME:
                raise
            listener.skipped(source.path, error)
            continue
        written.add(target)
        listener.done(result, target)


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

    A tar file that is there is not made again, but what failed then is tried again.

    Raises
    ------
    FileExistsError
        If one is there that holds something else, and `overwrite` is false.
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
            raise FileExistsError(f"{wrong[0]} exists and holds something else; --force overwrites it")
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
    """A tar file, and the images that belong in it."""

    def __init__(self, path: Path, sources: Sequence[Source], coder: Coder) -> None:
        self.path, self._sources, self._coder = path, sources, coder
        names = "\n".join(source.name.as_posix() for source in sources)
        self._description = {
            **coder.description(),
            "images": len(sources),
            "names": hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest(),
        }

    def is_there(self) -> bool:
        """Whether the tar file holds these images, or those of them that did not fail."""
        found = shards.description_of(self.path)
        return found is not None and {**found, "failed": 0} == {**self._description, "failed": 0}

    def make(self, listener: Listener, overwrite: bool) -> int:
        """Write it; returns how many images are in it. Without any it is not written."""
        return self._write(self._members(listener, frozenset()), overwrite)

    def complete(self, listener: Listener) -> None:
        """Try again what failed when it was written, and put in what does not fail now."""
        failed = (shards.description_of(self.path) or {}).get("failed")
        there = frozenset() if failed == 0 else shards.names_of(self.path)
        if failed == 0 or len(there) == len(self._sources):  # version 0.1.0 did not count failures
            listener.passed(f"{self.path}: done before", len(self._sources))
            return
        members = list(self._members(listener, there))
        new = sum(member is not None and member[1] is not None for member in members)
        if new:
            self._write(members, overwrite=True)
            listener.passed(f"{self.path}: {len(there)} images done before, {new} put in that failed then", len(there))
        else:
            listener.passed(f"{self.path}: done before, but for {members.count(None)} images", len(there))

    def _members(self, listener: Listener, there: AbstractSet[str]) -> Iterator[_Member | None]:
        """The member of each image: without contents where it is `there`, None where it fails."""
        taken: set[str] = set()
        for source in self._sources:
            name = f"{shards.key_of(source.name)}.jpg"
            try:
                if name in taken:
                    raise FileExistsError(f"another image of this run is {name} in {self.path}")
                result = None if name in there else self._coder(source.path)
            except Exception as error:
                listener.skipped(source.path, error)
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
