"""The images that `nnjpeg compress` is given: files, and folders with everything in them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from nnjpeg._progress import Progress

__all__ = ["Found", "Source", "find"]


class Source(NamedTuple):
    """An image file. There may be millions, so paths are made only when they are used."""

    folder: Path
    """That was given; of a file that was given itself, its own."""
    text: str

    @property
    def path(self) -> Path:
        """Of the file."""
        return self.folder / self.text

    @property
    def name(self) -> Path:
        """Relative to the folder."""
        return Path(self.text)


class Found(NamedTuple):
    """The images that were found, and the folders that could not be read."""

    sources: list[Source]
    unreadable: list[OSError]
    """Of folders that could not be looked into."""


def find(given: Iterable[Path]) -> Found:
    """Find the images: each file as given, and in folders all files with a suffix that Pillow knows, ordered by name.

    Links to folders are followed, but not back into a folder that holds them.

    Raises
    ------
    ValueError
        If a folder holds no images.
    """
    sources: list[Source] = []
    unreadable: list[OSError] = []
    known = frozenset(Image.registered_extensions())
    with Progress("looking for images", unit="image") as progress:
        for path in given:
            if not path.is_dir():
                sources.append(Source(path.parent, path.name))
                continue
            failures, above = len(unreadable), len(os.path.join(path, ""))
            inside = []
            for file in _files(str(path), unreadable):
                if os.path.splitext(file)[1].lower() in known:
                    inside.append(file[above:])
                    progress.update()
            if not inside and len(unreadable) == failures:
                raise ValueError(f"{path}: no images in this folder")
            inside.sort(key=lambda text: text.replace(os.sep, "\0"))  # folder by folder, as paths are ordered
            sources += [Source(path, text) for text in inside]
    return Found(sources, unreadable)


def _files(top: str, unreadable: list[OSError]) -> Iterator[str]:
    """All that is no folder."""
    waiting: list[tuple[str, tuple[tuple[int, int], ...]]] = [(top, ())]
    while waiting:
        folder, above = waiting.pop()  # `above` are the folders on the way down, by device and number
        try:
            status = os.stat(folder)
            here = (status.st_dev, status.st_ino)
            if here in above:
                continue
            with os.scandir(folder) as entries:
                inside = list(entries)
        except OSError as error:
            unreadable.append(error)
            continue
        for entry in inside:
            if _is_folder(entry):
                waiting.append((entry.path, (*above, here)))
            else:
                yield entry.path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, for one: it is reported when it is read
        return False
