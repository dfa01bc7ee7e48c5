"""nnjpeg compress: images to real JPEG files, one by one or in tar files."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from nnjpeg import NN_TABLE, QTable, atomic, decode, encode, shards
from nnjpeg._arguments import integer

Source = tuple[Path, Path]
"""A file, and its name relative to the folder that was given (a file by itself: its name)."""


def add_parser(commands: Any) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "compress",
        help="write images as JPEG files with one table for all components",
        description="Write each image as DIR/NAME.jpg, or as a member of a tar file that webdataset reads: a baseline "
        "JPEG file in RGB, without subsampling. Prints size, bits per pixel and PSNR. Images that cannot be read or "
        "written are reported and skipped; the exit status is then 1.",
    )
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE",
        help="image in any format that Pillow reads, or a folder of these, whose folders are kept",
    )  # fmt: skip
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder; made if missing")
    target.add_argument("--tar", type=Path, metavar="TAR", help="tar file with a member KEY.jpg for each image")
    parser.add_argument(
        "--shard", type=_count, metavar="N",
        help="N images a tar file: TAR-000000, ...; those that are there are not made again",
    )  # fmt: skip
    parser.add_argument(
        "-t", "--qtable", type=_qtable, default=NN_TABLE, metavar="FILE",
        help="table as JSON or in the format of cjpeg -qtables (default: 16 / 50 on four diagonals)",
    )  # fmt: skip
    parser.add_argument(
        "-q", "--quality", type=_quality, metavar="Q", help="scale the table to quality 1..100 (50: as it is)"
    )
    parser.add_argument(
        "--colorspace", choices=["rgb", "ycbcr"], default="rgb", help="how colours are coded (default: %(default)s)"
    )
    parser.add_argument("-f", "--force", action="store_true", help="overwrite files")
    parser.set_defaults(run=run)


def _qtable(path: str) -> QTable:
    try:
        return QTable.load(path)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _quality(text: str) -> int:
    return _integer("quality", text, 100)


def _count(text: str) -> int:
    return _integer("shard", text, 10**9)


def _integer(name: str, text: str, most: int) -> int:
    try:
        return integer(name, int(text), 1, most)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{name} must be an integer in 1..{most}, got {text!r}") from None


def run(options: argparse.Namespace) -> int:
    """Compress every file; return 1 if one was skipped."""
    from tqdm import tqdm

    if options.shard is not None and options.tar is None:
        raise ValueError("--shard goes with --tar")
    sources = list(_sources(options.files))
    qtable = options.qtable if options.quality is None else options.qtable.at_quality(options.quality)
    print(f"{'size':>11} {'bytes':>9} {'bits/pixel':>10} {'PSNR/dB':>8}  file")
    with tqdm(total=len(sources), unit="image", disable=None) as bar:
        job = _Job(qtable, options.colorspace, options.force, bar)
        if options.tar is None:
            job.to_folder(sources, options.output)
        else:
            job.to_tar(sources, options.tar, options.shard)
    if job.failures:
        print(f"nnjpeg: {job.failures} of {len(sources)} images skipped", file=sys.stderr)
    return 1 if job.failures else 0


def _sources(given: Iterable[Path]) -> Iterator[Source]:
    """Files as they are; of folders, all files with a suffix that Pillow knows, in the order of their names."""
    known = Image.registered_extensions()
    for path in given:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in known and file.is_file())
            if not inside:
                raise ValueError(f"{path}: no images in this folder")
            yield from ((file, file.relative_to(path)) for file in inside)
        else:
            yield path, Path(path.name)


class _Job:
    """What all images of one run have in common."""

    def __init__(self, qtable: QTable, colorspace: Any, force: bool, bar: Any) -> None:
        self.qtable, self.colorspace, self.force, self.bar = qtable, colorspace, force, bar
        self.failures = 0

    def to_folder(self, sources: list[Source], folder: Path) -> None:
        """A file for each image."""
        folder.mkdir(parents=True, exist_ok=True)
        written: set[Path] = set()
        for source, name in sources:
            target = folder / name.with_suffix(".jpg")
            with self._reporting(source):
                if target in written:
                    raise FileExistsError(f"another image of this run was written to {target}")
                if target.exists() and not self.force:
                    raise FileExistsError(f"{target} exists; --force overwrites it")
                data = self._compress(source, target)
                target.parent.mkdir(parents=True, exist_ok=True)
                atomic.write(target, data, overwrite=self.force)
                written.add(target)

    def to_tar(self, sources: list[Source], tar: Path, images_each: int | None) -> None:
        """A member for each image, in one tar file or in several."""
        tar.parent.mkdir(parents=True, exist_ok=True)
        each = images_each or max(len(sources), 1)
        for begin in range(0, len(sources), each):
            part = sources[begin : begin + each]
            path = shards.shard_name(tar, begin // each if images_each else None)
            description = self._description(part)
            if path.exists() and not self.force:
                if shards.description_of(path) != description:
                    raise FileExistsError(f"{path} exists and holds something else; --force overwrites it")
                self.bar.write(f"{path}: done before", file=sys.stdout)
                self.bar.update(len(part))
                continue
            shards.write(path, self._members(part, path), description, overwrite=self.force)

    def _description(self, part: list[Source]) -> dict[str, Any]:
        names = "\n".join(name.as_posix() for _, name in part)
        return {
            "qtable": self.qtable.to_list(),
            "colorspace": self.colorspace,
            "images": len(part),
            "names": hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest(),
        }

    def _members(self, part: list[Source], path: Path) -> Iterator[tuple[str, bytes]]:
        keys: set[str] = set()
        for source, name in part:
            member, data = f"{shards.key_of(name)}.jpg", None
            with self._reporting(source):
                if member in keys:
                    raise FileExistsError(f"another image of this run is {member} in {path}")
                data = self._compress(source, f"{path}:{member}")
            if data is not None:
                keys.add(member)
                yield member, data

    @contextlib.contextmanager
    def _reporting(self, source: Path) -> Iterator[None]:
        """Around the work of one image: what goes wrong with it is reported, and others go on."""
        try:
            yield
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            self.failures += 1
            self.bar.write(f"nnjpeg: skipped {source}: {error}", file=sys.stderr)
        finally:
            self.bar.update()

    def _compress(self, source: Path, target: object) -> bytes:
        from skimage.metrics import peak_signal_noise_ratio

        image = read_image(source)
        data = encode(image, self.qtable, colorspace=self.colorspace if image.ndim == 3 else "rgb")
        height, width = image.shape[:2]
        decoded = decode(data)
        psnr = np.inf if np.array_equal(decoded, image) else peak_signal_noise_ratio(image, decoded)
        line = f"{width:5d}x{height:<5d} {len(data):9d} {8 * len(data) / (height * width):10.3f} {psnr:8.2f}  {target}"
        self.bar.write(line, file=sys.stdout)
        return data


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Read an image file, upright by its orientation tag, as uint8 (h, w) or (h, w, 3).

    Raises
    ------
    ValueError
        If its pixels would not survive as 8-bit grey or RGB: transparency, CMYK, more bits.
    """
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode in ("1", "P") and not upright.has_transparency_data:
            upright = upright.convert("L" if upright.mode == "1" else "RGB")
        if upright.mode not in ("L", "RGB") or upright.has_transparency_data:
            detail = "transparency" if upright.has_transparency_data else f"pixels of mode {upright.mode}"
            raise ValueError(f"{detail} cannot be kept in this JPEG; accepted are 8-bit grey and RGB")
        return np.array(upright)
