"""nnjpeg compress: images to real JPEG files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from nnjpeg import NN_TABLE, QTable, atomic, decode, encode
from nnjpeg._arguments import integer


def add_parser(commands: Any) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "compress",
        help="write images as JPEG files with one table for all components",
        description="Write each image as DIR/NAME.jpg: a baseline JPEG file in RGB, without subsampling. Prints size, "
        "bits per pixel and PSNR. Images that cannot be read or written are reported and skipped; the exit status is "
        "then 1.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="image in any format that Pillow reads")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder; made if missing")
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
    try:
        return integer("quality", int(text), 1, 100)
    except ValueError:
        raise argparse.ArgumentTypeError(f"quality must be an integer in 1..100, got {text!r}") from None


def run(options: argparse.Namespace) -> int:
    """Compress every file; return 1 if one was skipped."""
    from tqdm import tqdm

    qtable = options.qtable if options.quality is None else options.qtable.at_quality(options.quality)
    options.output.mkdir(parents=True, exist_ok=True)
    written: set[Path] = set()
    failures = 0
    print(f"{'size':>11} {'bytes':>9} {'bits/pixel':>10} {'PSNR/dB':>8}  file")
    with tqdm(options.files, unit="image", disable=None) as bar:
        for source in bar:
            target = options.output / f"{source.stem}.jpg"
            try:
                if target in written:
                    raise FileExistsError(f"another image of this run was written to {target}")
                if target.exists() and not options.force:
                    raise FileExistsError(f"{target} exists; --force overwrites it")
                line = _compress(source, target, qtable, options.colorspace, overwrite=options.force)
                written.add(target)
                bar.write(line, file=sys.stdout)
            except (OSError, ValueError, Image.DecompressionBombError) as error:
                failures += 1
                bar.write(f"nnjpeg: skipped {source}: {error}", file=sys.stderr)
    if failures:
        print(f"nnjpeg: {failures} of {len(options.files)} images skipped", file=sys.stderr)
    return 1 if failures else 0


def _compress(source: Path, target: Path, qtable: QTable, colorspace: Any, *, overwrite: bool) -> str:
    from skimage.metrics import peak_signal_noise_ratio

    image = read_image(source)
    data = encode(image, qtable, colorspace=colorspace if image.ndim == 3 else "rgb")
    atomic.write(target, data, overwrite=overwrite)
    height, width = image.shape[:2]
    decoded = decode(data)
    psnr = np.inf if np.array_equal(decoded, image) else peak_signal_noise_ratio(image, decoded)
    return f"{width:5d}x{height:<5d} {len(data):9d} {8 * len(data) / (height * width):10.3f} {psnr:8.2f}  {target}"


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
