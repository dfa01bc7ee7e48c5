"""nnjpeg demo: NN-JPEG beside ordinary JPEG of the same bytes, on photographs."""

from __future__ import annotations

import argparse
import base64
import bisect
import io
import json
import platform
import sys
import time
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, features

import nnjpeg
from nnjpeg import NN_TABLE, QTable, atomic
from nnjpeg._arguments import Colorspace, Subsampling
from nnjpeg._progress import Progress

Pixels = npt.NDArray[np.uint8]

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
"""Colour photographs that scikit-image's wheel contains."""


class Coding(NamedTuple):
    """Arguments of a codec call, under their names."""

    qtable: tuple[QTable, QTable, QTable]
    colorspace: Colorspace
    subsampling: Subsampling


class Version(NamedTuple):
    """A photograph after one of the methods."""

    name: str
    coding: Coding
    file: bytes
    pixels: Pixels
    psnr: float
    ssim: float

    @property
    def bits_per_pixel(self) -> float:
        """Bits per pixel of the whole file."""
        height, width = self.pixels.shape[:2]
        return 8 * len(self.file) / (height * width)


NN = Coding((NN_TABLE, NN_TABLE, NN_TABLE), "rgb", "4:4:4")


def add_parser(commands: Any) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "demo",
        help="compare NN-JPEG with JPEG files of the same size on photographs",
        description="Compress photographs of scikit-image by NN-JPEG, and by JPEG 4:2:0 at the quality whose file is "
        "nearest in bytes. Prints bytes, PSNR, SSIM, the time per image and that of Pillow for the same work, and how "
        "many samples differ from those of Pillow; the exit status is 1 if one differs. Writes a picture and, with "
        "--html, a page.",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("nnjpeg-demo.png"), metavar="FILE",
        help="the picture; replaced if it exists (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--html", type=Path, metavar="FILE",
        help="write a page with a slider to compare the versions by eye; it needs no network and no other file",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the tables, write the picture and the page; return 1 if a sample differs from Pillow's."""
    from skimage import data

    for path, what in ((options.output, "picture"), (options.html, "page")):
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(f"no folder {path.parent} for the {what}")
    photos = {name: np.ascontiguousarray(getattr(data, name)()) for name in PHOTOS}

    print(f"{_source()}\n")
    print(f"{'photo':10} {'size':>9}  {'method':15} {'bytes':>8} {'bits/pixel':>10} {'PSNR/dB':>8} {'SSIM':>6}")
    timings, different, samples = [], 0, 0
    found: dict[str, tuple[Version, ...]] = {}
    with Progress("demo", len(photos), "photo") as progress:
        for name, image in photos.items():
            found[name] = versions(image)
            height, width = image.shape[:2]
            for one in found[name]:
                progress.write(
                    f"{name:10} {width:4d}x{height:<4d}  {one.name:15} {len(one.file):8d} {one.bits_per_pixel:10.2f} "
                    f"{one.psnr:8.2f} {one.ssim:6.3f}"
                )
            different += sum(
                int((nnjpeg.roundtrip(image, **one.coding._asdict()) != one.pixels).sum()) for one in found[name]
            )
            samples += image.size * len(found[name])
            timings.append((name, *_milliseconds(image)))
            progress.update()

    print(f"\n{'photo':10} {'nnjpeg':>10} {'Pillow':>10} {'ratio':>6}   (ms per image, one thread, NN-JPEG)")
    for name, ours, pillow in timings:
        print(f"{name:10} {ours:10.3f} {pillow:10.3f} {ours / pillow:6.3f}")
    print(f"\nroundtrip() beside Pillow's files, written and read: {different} of {samples} samples differ")

    atomic.write(options.output, picture(photos["astronaut"], found["astronaut"]))
    print(f"picture: {options.output}")
    if options.html is not None:
        atomic.write(options.html, page(photos, found).encode())
        print(f"page: {options.html}")
    if different:
        print("nnjpeg: the round trip is not exact on this machine; please report it", file=sys.stderr)
    return 1 if different else 0


def versions(image: Pixels) -> tuple[Version, ...]:
    """JPEG 4:2:0 with a file of about as many bytes as NN-JPEG's, and NN-JPEG."""
    nn = _version("NN-JPEG", NN, image)
    quality = quality_of(image, len(nn.file))
    return _version(f"JPEG {quality}, 4:2:0", ordinary(quality), image), nn


def ordinary(quality: int) -> Coding:
    """JPEG as nearly everyone writes it."""
    luma, chroma = (t.at_quality(quality) for t in (QTable.standard_luminance(), QTable.standard_chrominance()))
    return Coding((luma, chroma, chroma), "ycbcr", "4:2:0")


def quality_of(image: Pixels, size: int) -> int:
    """The quality of JPEG 4:2:0 whose file is nearest to `size` bytes."""

    def bytes_at(quality: int) -> int:
        return int(nnjpeg.coded_size(image, **ordinary(quality)._asdict()))

    above = 1 + bisect.bisect_left(range(1, 100), size, key=bytes_at)
    return min((max(above - 1, 1), above), key=lambda quality: abs(bytes_at(quality) - size))


def _version(name: str, coding: Coding, image: Pixels) -> Version:
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    file = nnjpeg.encode(image, **coding._asdict())
    pixels = nnjpeg.decode(file)
    psnr = peak_signal_noise_ratio(image, pixels)
    return Version(name, coding, file, pixels, psnr, structural_similarity(image, pixels, channel_axis=-1))


def _source() -> str:
    return (
        f"nnjpeg {nnjpeg.__version__} ({nnjpeg._core.isa()}), Pillow {PIL.__version__}, "
        f"libjpeg-turbo {features.version('libjpeg_turbo')}, Python {platform.python_version()}, {platform.machine()}"
    )


def _milliseconds(image: Pixels, repeats: int = 15) -> tuple[float, float]:
    """Median times of our round trip and Pillow's, measured by turns."""
    out = np.empty_like(image)
    ours: list[float] = []
    pillow: list[float] = []
    for _ in range(repeats):
        for times, job in (
            (ours, lambda: nnjpeg.roundtrip(image, NN_TABLE, out=out, num_threads=1)),
            (pillow, lambda: nnjpeg.decode(nnjpeg.encode(image, NN_TABLE))),
        ):
            start = time.perf_counter()
            job()
            times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(ours)), float(np.median(pillow))


def page(photos: dict[str, Pixels], found: dict[str, tuple[Version, ...]]) -> str:
    """The page with the slider, self-contained."""

    def embedded(kind: str, file: bytes) -> str:
        return f"data:image/{kind};base64,{base64.b64encode(file).decode()}"

    described = []
    for name, image in photos.items():
        original = io.BytesIO()
        Image.fromarray(image).save(original, "PNG")
        shown = [{"name": "original", "image": embedded("png", original.getvalue()), "figures": ["", "24", "", ""]}]
        for one in found[name]:
            figures = [f"{len(one.file):,}", f"{one.bits_per_pixel:.2f}", f"{one.psnr:.2f}", f"{one.ssim:.3f}"]
            shown.append({"name": one.name, "image": embedded("jpeg", one.file), "figures": figures})
        described.append({"name": name, "width": image.shape[1], "versions": shown})
    template = Template((Path(__file__).parent / "demo.html").read_text(encoding="utf-8"))
    return template.substitute(source=_source(), photos=json.dumps(described))


def survivors(image: Pixels, coding: Coding) -> npt.NDArray[np.float64]:
    """For each of the 64 bands, the share of blocks, of all components, whose coefficient is not zero."""
    found = nnjpeg.forward(image, **coding._asdict())
    blocks = [component.reshape(-1, 8, 8) for component in (found if isinstance(found, tuple) else (found,))]
    return np.asarray((np.concatenate(blocks) != 0).mean(axis=0), np.float64)


def picture(image: Pixels, found: tuple[Version, ...]) -> bytes:
    """The photograph, its versions with a detail of each, and the coefficients that survive, as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    detail = np.s_[60:188, 150:278]
    figure = Figure(figsize=(11, 9.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 3)
    shown = [("original", image), *((f"{one.name}: {len(one.file):,} bytes", one.pixels) for one in found)]
    for column, (name, pixels) in enumerate(shown):
        axes[0, column].imshow(pixels)
        axes[0, column].set_title(name)
        axes[1, column].imshow(pixels[detail], interpolation="nearest")
        for row in (0, 1):
            axes[row, column].set_axis_off()
    # An uncompressed image has no quantized coefficients: those of a table of ones stand for it.
    ones = QTable(np.ones((8, 8), int))
    codings = [Coding((ones, ones, ones), "rgb", "4:4:4"), *(one.coding for one in found)]
    for axis, coding in zip(axes[2], codings, strict=True):
        share = survivors(image, coding)
        map_ = axis.imshow(100 * share, vmin=0, vmax=100, cmap="viridis")
        axis.set_title(f"{64 * share.mean():.1f} of 64 coefficients are not 0")
        axis.set_xlabel("horizontal frequency")
        axis.set_ylabel("vertical frequency")
    figure.colorbar(map_, ax=axes[2], label="% of blocks")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
