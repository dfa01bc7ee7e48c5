"""nnjpeg compress: write images as JPEG files, one by one or in tar files."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from PIL import Image, ImageColor

from nnjpeg import NN_TABLE, QTable, bulk
from nnjpeg._arguments import Subsampling, integer, number
from nnjpeg._memory import keep_freed_memory
from nnjpeg._progress import Progress
from nnjpeg._words import counted
from nnjpeg.files import writable_subsampling
from nnjpeg.pictures import Rules
from nnjpeg.sources import find

_EPILOG = """
The EXIF data of an image (without its thumbnail) is kept, and its ICC profile, if it fits grey or RGB pixels. The image
is turned upright, and its orientation is set to 1. Everything else in its file (other frames, XMP, comments) is left
out; a line at the end counts what was left out.

Every file is complete or absent, and the same command resumes a stopped run. With -o each image is encoded again, and a
file that already has these bytes is reported as done before. Another file of that name is not overwritten without
--force: its image is reported as skipped. With --tar, finished tar files are not made again, and images that failed are
tried again. With --force, tar files that --shard wrote for another set under the same name are removed.
"""


def add_parser(commands: Any) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "compress",
        help="write images as JPEG files with quantization tables of your own",
        description="Write each image as DIR/NAME.jpg, or as a member of a tar file that webdataset reads: a baseline "
        "JPEG file, by default in RGB. Prints size, bytes and bits per pixel (of the whole file) and PSNR. "
        "Images that cannot be read or written are reported and skipped; the exit status is then 1.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE",
        help="image in any format that Pillow reads, or a folder of images, whose subfolders are kept",
    )  # fmt: skip
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "-o", "--output", type=Path, metavar="DIR",
        help="folder for the files, made if missing; for one image it may be the file, NAME.jpg",
    )  # fmt: skip
    target.add_argument("--tar", type=Path, metavar="TAR", help="tar file, which gets a member KEY.jpg for each image")
    parser.add_argument("--shard", type=_count, metavar="N", help="N images for each tar file: set-000000.tar, ...")
    parser.add_argument(
        "-t", "--qtable", type=_qtables, default=(NN_TABLE,), metavar="FILE",
        help="file of quantization tables: JSON, the format of cjpeg -qtables, or a JPEG file; one table for all "
        "components, two for luma and chroma, or one for each component; with --colorspace ycbcr, grey images take "
        "the first (default: step 16 on the first four anti-diagonals, 50 elsewhere)",
    )  # fmt: skip
    parser.add_argument(
        "-q",
        "--quality",
        type=_quality,
        metavar="Q",
        help="scale the tables to a quality in 1..100, which may have decimals (50 leaves them unchanged)",
    )
    parser.add_argument(
        "--colorspace", choices=["rgb", "ycbcr"], default="rgb", help="how colours are coded (default: %(default)s)"
    )
    parser.add_argument(
        "--subsampling", type=_subsampling, default="4:4:4", metavar="J:A:B",
        help="chroma subsampling, with --colorspace ycbcr: 4:2:2, or 4:2:0, which nearly all JPEG files have (default: "
        "%(default)s, which is no subsampling)",
    )  # fmt: skip
    parser.add_argument(
        "--background", type=_background, metavar="COLOUR",
        help="colour behind transparent images, such as white or #ffffff; without this option they are refused",
    )  # fmt: skip
    parser.add_argument(
        "--convert", action="store_true",
        help="convert images with more than 8 bits (grey to the nearest value; RGB to the upper eight bits, as Pillow "
        "reads them), CMYK images (by the ICC profile, if there is one) and Lab images; without this option they are "
        "refused",
    )  # fmt: skip
    parser.add_argument("-f", "--force", action="store_true", help="overwrite files")
    parser.set_defaults(run=run, error=parser.error)


def _qtables(path: str) -> tuple[QTable, ...]:
    try:
        tables = QTable.load_all(path)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if len(tables) > 3:
        raise argparse.ArgumentTypeError(f"{path}: holds {len(tables)} tables, accepted are 1 to 3")
    return (*tables, tables[1]) if len(tables) == 2 else tables


def _quality(text: str) -> float:
    try:
        return number("quality", float(text), 1, 100)
    except ValueError:
        raise argparse.ArgumentTypeError(f"quality must be a number in 1..100, got {text!r}") from None


def _subsampling(text: str) -> Subsampling:
    try:
        return writable_subsampling(text, "ycbcr", 3)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    most = 10**9
    try:
        return integer("shard", int(text), 1, most)
    except ValueError:
        raise argparse.ArgumentTypeError(f"shard must be an integer in 1..{most}, got {text!r}") from None


def _background(text: str) -> tuple[int, int, int]:
    colour: tuple[int, ...]
    try:
        colour = ImageColor.getrgb(text)
    except ValueError:
        colour = ()
    if len(colour) != 3:  # four are those of a colour that is itself transparent
        message = f"background must be an opaque colour, such as white or #ffffff, got {text!r}"
        raise argparse.ArgumentTypeError(message)
    return colour[0], colour[1], colour[2]


def run(options: argparse.Namespace) -> int:
    """Compress every file; return 1 if one was skipped."""
    if options.shard is not None and options.tar is None:
        options.error("--shard goes with --tar")
    if options.subsampling != "4:4:4" and options.colorspace != "ycbcr":
        options.error(f"--subsampling {options.subsampling} goes with --colorspace ycbcr")
    file = _file(options)
    sources, unreadable = find(options.files)
    quality = options.quality
    qtables = tuple(table if quality is None else table.at_quality(quality) for table in options.qtable)
    rules = Rules(options.background, options.convert)
    coder = bulk.Coder(qtables, options.colorspace, options.subsampling, rules)
    keep_freed_memory()
    total = len(sources) + len(unreadable)
    with Progress("compress", total, "image") as progress:
        report = _Report(progress)
        for error in unreadable:
            report.skipped(error.filename, error)
        if options.tar is not None:
            bulk.to_tar(sources, options.tar, options.shard, coder, report, overwrite=options.force)
        else:
            images = ((one, file or options.output / one.name.with_suffix(".jpg")) for one in sources)
            bulk.to_files(images, coder, report, overwrite=options.force)
    report.summary(total)
    return 1 if report.failures else 0


def _file(options: argparse.Namespace) -> Path | None:
    """The file that --output names, if it names one."""
    output = options.output
    if output is None or output.is_dir():
        return None
    kind = Image.registered_extensions().get(output.suffix.lower())
    if kind is None and not output.exists():
        return None
    if kind != "JPEG" or (output.exists() and not output.is_file()):
        raise ValueError(f"-o {output} must be a folder, or for one image a file that ends in .jpg")
    if len(options.files) > 1 or options.files[0].is_dir():
        raise ValueError(f"-o {output} names one file; for several images give a folder")
    return output


class _Report:
    """The output of a run: a line for each image on stdout, errors on stderr, and a summary."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._left_out: Counter[str] = Counter()
        self.failures = self._before = 0
        if hasattr(sys.stdout, "reconfigure"):  # names that are no text are printed nevertheless
            sys.stdout.reconfigure(errors="backslashreplace")
        progress.write(f"{'size':>11} {'bytes':>9} {'bits/pixel':>10} {'PSNR/dB':>8}  file")

    def done(self, result: bulk.Result, target: object) -> None:
        width, height = result.size
        bits = 8 * len(result.data) / (height * width)
        self._progress.write(f"{width:5d}x{height:<5d} {len(result.data):9d} {bits:10.3f} {result.psnr:8.2f}  {target}")
        for warning in result.warnings:
            self._progress.write(f"nnjpeg: {target}: {warning}", sys.stderr)
        self._left_out.update(result.left_out)
        self._progress.update()

    def skipped(self, path: object, error: Exception) -> None:
        self.failures += 1
        message = " ".join(str(error).split())
        if not (message and isinstance(error, (OSError, ValueError))):  # which speak for themselves
            message = f"{type(error).__name__}: {message}"
        self._progress.write(f"nnjpeg: skipped {path}: {message}", sys.stderr)
        self._progress.update()

    def passed(self, line: str, images: int) -> None:
        self._before += images
        self._progress.write(line)
        self._progress.update(images)

    def summary(self, images: int) -> None:
        if self._left_out:
            parts = ", ".join(f"{what} ({count})" for what, count in sorted(self._left_out.items()))
            self._progress.write(f"nnjpeg: left out or converted, in how many images: {parts}", sys.stderr)
        if self._before:
            self._progress.write(f"nnjpeg: {self._before} of {counted(images, 'image')} done before", sys.stderr)
        if self.failures:
            self._progress.write(f"nnjpeg: {self.failures} of {counted(images, 'image')} skipped", sys.stderr)
