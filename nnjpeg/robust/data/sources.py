"""Where labelled images come from: folders by class, arrays in .npz files, the data sets of torchvision, webdataset
shards, data sets of Hugging Face. Images are read one by one when they are used.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import glob
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from torchvision.datasets import ImageFolder

__all__ = ["DATASETS", "HUB", "Source", "Split", "class_map", "has_splits", "opened"]

Split = Literal["train", "test"]
HUB = "hf:"
"""What stands before the name of a data set on Hugging Face's hub."""

_LEAST = 8  # pixels of the shorter side
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

DATASETS: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "cifar10": ("CIFAR10", _CIFAR10),
    "cifar100": ("CIFAR100", None),
    "fashion-mnist": ("FashionMNIST", None),
    "mnist": ("MNIST", None),
    "stl10": ("STL10", None),
    "svhn": ("SVHN", None),
}
"""Data sets by name: the class of torchvision that reads them, and the names of their labels where arrays lack them."""


class Source(ABC):
    """Labelled images of one split.

    Parameters
    ----------
    name : str
        What messages call it.
    classes : sequence of str
        The names of the labels.
    side : int, optional
        Where all images are small squares of one size, that size.
    """

    def __init__(self, name: str, classes: Sequence[str], side: int | None = None) -> None:
        self.name, self.classes, self.side = name, tuple(classes), side

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _open(self, index: int) -> tuple[Image.Image, int]:
        """An image of any mode, and its label."""

    def read(self, index: int) -> tuple[Image.Image, int]:
        """An image in mode RGB, and its label.

        Raises
        ------
        ValueError
            If it is smaller than 8 pixels. Exceptions about damaged files are passed on.
        """
        image, label = self._open(index)
        if min(image.size) < _LEAST:
            raise ValueError(f"{image.size[0]}x{image.size[1]} pixels, less than {_LEAST}")
        return image.convert("RGB"), label

    def place(self, index: int) -> str:
        """The location of an image, for messages."""
        return f"image {index} of {self.name}"

    def labels_for(self, outputs: int | None) -> list[int]:
        """For each class the label that a model with this number of outputs uses; see `class_map`."""
        return class_map(self.classes, outputs)


class _Folder(Source):
    """A folder with a subfolder for each class."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise FileNotFoundError(f"data: there is no folder {root}")
        try:
            self._found = ImageFolder(str(root), allow_empty=True)
        except FileNotFoundError:
            raise ValueError(f"data: {root} holds no folders of images, one for each class") from None
        if not self._found.samples:
            raise ValueError(f"data: {root} holds no images (in a folder for each class)")
        if len(self._found.classes) < 2:
            raise ValueError(f"data: {root} holds one class alone ({self._found.classes[0]}); at least two are wanted")
        super().__init__(str(root), self._found.classes)

    def __len__(self) -> int:
        return len(self._found.samples)

    def _open(self, index: int) -> tuple[Image.Image, int]:
        path, label = self._found.samples[index]
        with Image.open(path) as image:
            image.load()
            return image, label

    def place(self, index: int) -> str:
        """The path."""
        return self._found.samples[index][0]


class _Arrays(Source):
    """uint8 (N, H, W, 3), (N, H, W) or (N, 3, H, W), with labels."""

    def __init__(
        self, name: str, pixels: npt.NDArray[Any], labels: npt.NDArray[Any], classes: Sequence[str] | None
    ) -> None:
        if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4):
            raise ValueError(
                f"data: images of {name} must be uint8 (N, H, W, 3), (N, 3, H, W) or (N, H, W), got {pixels.dtype} of "
                f"shape {pixels.shape}"
            )
        if pixels.ndim == 4 and pixels.shape[-1] != 3 and pixels.shape[1] == 3:
            pixels = pixels.transpose(0, 2, 3, 1)
        if pixels.ndim == 4 and pixels.shape[-1] != 3:
            raise ValueError(f"data: images of {name} must have 3 components, got shape {pixels.shape}")
        labels = np.asarray(labels).reshape(-1)
        if labels.dtype.kind not in "iu" or len(labels) != len(pixels) or not len(labels) or labels.min() < 0:
            raise ValueError(
                f"data: labels of {name} must be {len(pixels)} whole numbers from 0 on, got {labels.dtype} of shape "
                f"{labels.shape}"
            )
        count = int(labels.max()) + 1
        if classes is None or len(classes) < count:
            classes = [str(label) for label in range(max(count, 2))]
        height, width = pixels.shape[1:3]
        super().__init__(name, classes, height if height == width else None)
        self._pixels, self._labels = pixels, labels

    def __len__(self) -> int:
        return len(self._labels)

    def _open(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(np.ascontiguousarray(self._pixels[index])), int(self._labels[index])


def _npz(path: Path, split: Split | None, classes: Sequence[str] | None) -> Source:
    """x_train, y_train, x_test, y_test as Keras has them; or one array of images and one of labels."""
    with _arrays(path) as arrays:
        found = {name: arrays[name] for name in arrays.files if split is None or not _other(name, split)}
    names = found if split is None else [name for name in found if name.endswith(f"_{split}")]
    images = [name for name in names if name.partition("_")[0] in ("x", "images", "image", "data", "pixels")]
    labels = [name for name in names if name.partition("_")[0] in ("y", "labels", "label", "targets")]
    if len(images) != 1 or len(labels) != 1:
        raise ValueError(
            f"data: {path} must hold x_train, y_train, x_test and y_test, or x and y; it holds {', '.join(found)}"
        )
    return _Arrays(f"{path}" + (f", {split}" if split else ""), found[images[0]], found[labels[0]], classes)


@contextmanager
def _arrays(path: Path) -> Iterator[Any]:
    try:
        with np.load(path) as arrays:
            yield arrays
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, TypeError) as error:
        raise ValueError(f"data: {path} is not a file of arrays (.npz): {error}") from None


def _other(name: str, split: Split) -> bool:
    return name.endswith("_test" if split == "train" else "_train")


class _Torchvision(Source):
    """A data set of torchvision."""

    def __init__(self, root: Path, dataset: str, split: Split, download: bool) -> None:
        kind, names = DATASETS[dataset]
        make = getattr(import_module("torchvision.datasets"), kind)
        which: dict[str, Any] = {"split": split} if kind in ("STL10", "SVHN") else {"train": split == "train"}
        try:
            self._found = make(str(root), download=download, **which)
        except RuntimeError as error:
            raise FileNotFoundError(
                f"data: {root} does not hold {dataset} as torchvision keeps it; --download fetches it ({error})"
            ) from None
        classes = getattr(self._found, "classes", None) or names or [str(label) for label in range(10)]
        super().__init__(f"{dataset} in {root}, {split}", classes, self._found[0][0].size[0])

    def __len__(self) -> int:
        return len(self._found)

    def _open(self, index: int) -> tuple[Image.Image, int]:
        image, label = self._found[index]
        return image, int(label)


class _HuggingFace(Source):
    """A data set of Hugging Face, from its hub or from a folder that `save_to_disk` wrote."""

    def __init__(self, place: str, split: Split | None) -> None:
        self._rows = _rows(place, split)
        features = self._rows.features
        images = [name for name, one in features.items() if type(one).__name__ == "Image"]
        labels = [name for name, one in features.items() if type(one).__name__ == "ClassLabel"]
        if len(images) != 1 or not labels:
            raise ValueError(f"data: {place} must have a column of images and one of class labels, got {features}")
        self._image, self._label = images[0], labels[0]
        super().__init__(f"{place}" + (f", {split}" if split else ""), features[self._label].names)

    def __len__(self) -> int:
        return len(self._rows)

    def _open(self, index: int) -> tuple[Image.Image, int]:
        row = self._rows[index]
        return row[self._image], int(row[self._label])


def _rows(place: str, split: Split | None) -> Any:
    try:
        datasets = import_module("datasets")
    except ImportError:
        raise ValueError(f"data: {place} needs the package datasets of Hugging Face (pip install datasets)") from None
    if place.startswith(HUB):
        found = datasets.load_dataset(place.removeprefix(HUB))
    else:
        found = datasets.load_from_disk(place)
    if not isinstance(found, dict):
        return found
    accepted = {"train": ("train",), "test": ("test", "validation", "valid")}.get(split or "", tuple(found))
    names = [name for name in accepted if name in found]
    if not names:
        raise ValueError(f"data: {place} has no split {' or '.join(accepted)}, it has {', '.join(found)}")
    return found[names[0]]


class _Shards(Source):
    """Tar files as webdataset has them: KEY.jpg (or .png, ...) beside KEY.cls (a number) or KEY.json (with "label")."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._samples: list[tuple[Path, int, int, str, int]] = []  # file, offset, size, key, label
        known = Image.registered_extensions()
        for file in files:
            self._samples += _indexed(file, known)
        if not self._samples:
            raise ValueError(f"data: {files[0]} holds no images with labels (KEY.jpg beside KEY.cls)")
        count = max(sample[4] for sample in self._samples) + 1
        name = str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
        super().__init__(name, [str(label) for label in range(max(count, 2))])

    def __len__(self) -> int:
        return len(self._samples)

    def _open(self, index: int) -> tuple[Image.Image, int]:
        path, offset, size, _, label = self._samples[index]
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
        image = Image.open(io.BytesIO(data))
        image.load()
        return image, label

    def place(self, index: int) -> str:
        """The file, and the key within."""
        path, _, _, key, _ = self._samples[index]
        return f"{key} of {path}"


def _indexed(file: Path, known: dict[str, str]) -> list[tuple[Path, int, int, str, int]]:
    images: dict[str, tuple[int, int]] = {}
    labels: dict[str, int] = {}
    try:
        with tarfile.open(file, "r:") as archive:
            for member in archive:
                key, dot, kind = member.name.rpartition("/")[2].partition(".")
                key = member.name.removesuffix(dot + kind)
                if not member.isfile():
                    continue
                if f".{kind.lower()}" in known:
                    images[key] = member.offset_data, member.size
                elif kind in ("cls", "json"):
                    content = archive.extractfile(member)
                    assert content is not None
                    value = json.loads(content.read())
                    value = value.get("label") if isinstance(value, dict) else value
                    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                        labels[key] = value
    except (tarfile.TarError, OSError, ValueError) as error:
        raise ValueError(f"data: {file} is not a tar file of images and labels without compression: {error}") from None
    return [(file, *place, key, labels[key]) for key, place in images.items() if key in labels]


# Which of them


def has_splits(data: str | Path, dataset: str | None = None) -> bool:
    """Whether a place has separate images for training and for the test."""
    path = Path(data)
    if str(data).startswith(HUB) or (path / "dataset_dict.json").is_file():
        return True
    if path.suffix == ".npz":
        with _arrays(path) as arrays:
            return any(name.endswith("_train") for name in arrays.files)
    return dataset is not None or ((path / "train").is_dir() and _test_folder(path) is not None)


def opened(
    data: str | Path, split: Split | None = None, *, dataset: str | None = None, download: bool = False
) -> Source:
    """The images at a place, in any of the forms of ``--data``.

    Parameters
    ----------
    data : str or path
        A folder with a subfolder for each class; a folder with such folders in ``train`` and in ``test`` or ``val``; a
        file of arrays (.npz: ``x_train``, ``y_train``, ``x_test``, ``y_test``, or ``x`` and ``y``); webdataset shards
        (.tar, also a pattern such as ``train-*.tar``); a folder that ``datasets.save_to_disk`` wrote; ``hf:NAME``, a
        data set on Hugging Face's hub; with `dataset`, the folder in which torchvision keeps it.
    split : {"train", "test"}, optional
        Which images, where `has_splits`.
    dataset : str, optional
        One of `DATASETS`. If `data` is one of the others, its labels have this one's names.
    download : bool
        Fetch what torchvision does not find.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    ValueError
        If it is none of these.
    """
    if dataset is not None and dataset not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, got {dataset!r}")
    names = DATASETS[dataset][1] if dataset is not None else None
    path = Path(data)
    if str(data).startswith(HUB):
        return _HuggingFace(str(data), split)
    if path.suffix == ".npz" and (path.is_file() or dataset is None):
        if not path.is_file():
            raise FileNotFoundError(f"data: there is no {path}")
        return _npz(path, split if has_splits(path) else None, names)
    if path.suffix == ".tar":
        files = [Path(name) for name in sorted(glob(str(path)))]
        if not files:
            raise FileNotFoundError(f"data: there is no {path}")
        return _Shards(files)
    if (path / "dataset_dict.json").is_file() or (path / "dataset_info.json").is_file():
        return _HuggingFace(str(path), split)
    test = _test_folder(path)
    if (path / "train").is_dir() and test is not None:
        return _Folder(path / "train" if split == "train" else test)
    if dataset is not None:
        return _Torchvision(path, dataset, split or "test", download)
    return _Folder(path)


def _test_folder(path: Path) -> Path | None:
    return next((path / name for name in ("test", "val") if (path / name).is_dir()), None)


def class_map(classes: Sequence[str], outputs: int | None) -> list[int]:
    """The label of each class of a folder: its position, or ImageNet's number if the names are WordNet ids.

    Raises
    ------
    ValueError
        If there are more classes than outputs, or an id is not ImageNet's.
    """
    if outputs == 1000 and all(re.fullmatch(r"n\d{8}", name) for name in classes):
        ids = _wordnet_ids()
        unknown = [name for name in classes if name not in ids]
        if unknown:
            raise ValueError(f"data: {unknown[0]} is no class of ImageNet's 1000")
        return [ids[name] for name in classes]
    if outputs is not None and len(classes) > outputs:
        raise ValueError(f"data: {len(classes)} classes for a model of {outputs} outputs")
    return list(range(len(classes)))


def _wordnet_ids() -> dict[str, int]:
    info = import_module("timm.data").ImageNetInfo()
    return {name: index for index, name in enumerate(info.label_names())}
