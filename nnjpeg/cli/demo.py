"""nnjpeg demo: what the NN table does to photographs, beside JPEG at quality 75."""

from __future__ import annotations

import argparse
import io
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, features

import nnjpeg
from nnjpeg import NN_TABLE, QTable, atomic
from nnjpeg._progress import Progress

Pixels = npt.NDArray[np.uint8]

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
"""Colour photographs that scikit-image's wheel contains."""


class Method(NamedTuple):
    """A way to write a file and read it back."""

    name: str
    encode: Callable[[Pixels], bytes]
    survivors: Callable[[Pixels], npt.NDArray[np.float64]]


def add_parser(commands: Any) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "demo",
        help="compare NN-JPEG with JPEG 75 on real photographs",
        description="On photographs that scikit-image ships: size, PSNR, SSIM, time per image beside Pillow's equal "
        "job, the check that both give the same samples, and a picture.",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("nnjpeg-demo.png"), metavar="FILE",
        help="the picture; replaced if it exists (default: %(default)s)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the tables, write the picture; return 1 if a sample differs from Pillow's."""
    from skimage import data
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    if not options.output.parent.is_dir():
        raise FileNotFoundError(f"no folder {options.output.parent} for the picture")
    luma, chroma = (t.at_quality(75) for t in (QTable.standard_luminance(), QTable.standard_chrominance()))
    jpeg = Method("JPEG 75", _jpeg75, lambda image: _survivors(image, [luma, chroma, chroma], "ycbcr"))
    nn = Method("NN-JPEG", _nn_jpeg, lambda image: _survivors(image, NN_TABLE, "rgb"))
    photos = {name: np.ascontiguousarray(getattr(data, name)()) for name in PHOTOS}

    print(
        f"nnjpeg {nnjpeg.__version__} ({nnjpeg._core.isa()}), Pillow {PIL.__version__}, "
        f"libjpeg-turbo {features.version('libjpeg_turbo')}, Python {platform.python_version()}, {platform.machine()}\n"
    )
    print(f"{'photo':10} {'size':>9}  {'method':8} {'bits/pixel':>10} {'PSNR/dB':>8} {'SSIM':>6}")
    timings, different, samples = [], 0, 0
    decoded = {}
    with Progress("demo", len(photos), "photo") as progress:
        for name, image in photos.items():
            height, width = image.shape[:2]
            for method in (jpeg, nn):
                file = method.encode(image)
                decoded[name, method.name] = result = nnjpeg.decode(file)
                psnr = peak_signal_noise_ratio(image, result)
                ssim = structural_similarity(image, result, channel_axis=-1)
                bits = 8 * len(file) / (height * width)
                line = f"{name:10} {width:4d}x{height:<4d}  {method.name:8} {bits:10.2f} {psnr:8.2f} {ssim:6.3f}"
                progress.write(line)
            different += int((nnjpeg.roundtrip(image, NN_TABLE) != decoded[name, nn.name]).sum())
            samples += image.size
            timings.append((name, *_milliseconds(image)))
            progress.update()

    print(f"\n{'photo':10} {'nnjpeg':>10} {'Pillow':>10} {'ratio':>6}   (ms per image, one thread, the equal job)")
    for name, ours, pillow in timings:
        print(f"{name:10} {ours:10.3f} {pillow:10.3f} {ours / pillow:6.3f}")
    print(f"\nroundtrip() beside Pillow's file, written and read: {different} of {samples} samples differ")

    atomic.write(options.output, _picture(photos["astronaut"], decoded, (jpeg, nn)))
    print(f"picture: {options.output}")
    if different:
        print("nnjpeg: the round trip is not exact on this machine; please report it", file=sys.stderr)
    return 1 if different else 0


def _jpeg75(image: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=75)
    return file.getvalue()


def _nn_jpeg(image: Pixels) -> bytes:
    return nnjpeg.encode(image, NN_TABLE)


def _milliseconds(image: Pixels, repeats: int = 15) -> tuple[float, float]:
    """Median times of our round trip and Pillow's, measured by turns."""
    out = np.empty_like(image)
    ours: list[float] = []
    pillow: list[float] = []
    for _ in range(repeats):
        for times, job in (
            (ours, lambda: nnjpeg.roundtrip(image, NN_TABLE, out=out, num_threads=1)),
            (pillow, lambda: nnjpeg.decode(_nn_jpeg(image))),
        ):
            start = time.perf_counter()
            job()
            times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(ours)), float(np.median(pillow))


def _survivors(image: Pixels, qtable: Any, colorspace: Any) -> npt.NDArray[np.float64]:
    """For each of the 64 bands, the share of blocks in which its coefficient is not zero, over all components.

    Chroma is not subsampled here, as it is in the file of JPEG 75.
    """
    coefficients = nnjpeg.forward(image, qtable, colorspace=colorspace)
    return np.asarray((coefficients != 0).mean(axis=(0, 1, 2)), np.float64)


def _picture(image: Pixels, decoded: dict[tuple[str, str], Pixels], methods: tuple[Method, ...]) -> bytes:
    """The photograph, its versions with a detail of each, and the coefficients that survive, as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    detail = np.s_[60:188, 150:278]
    figure = Figure(figsize=(11, 9.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 3)
    versions = {"original": image} | {method.name: decoded["astronaut", method.name] for method in methods}
    for column, (name, pixels) in enumerate(versions.items()):
        axes[0, column].imshow(pixels)
        axes[0, column].set_title(name)
        axes[1, column].imshow(pixels[detail], interpolation="nearest")
        for row in (0, 1):
            axes[row, column].set_axis_off()
    # An uncompressed image has no quantized coefficients: those of a table of ones stand for it.
    shares = [_survivors(image, np.ones((8, 8), int), "rgb"), *(method.survivors(image) for method in methods)]
    for axis, share in zip(axes[2], shares, strict=True):
        map_ = axis.imshow(100 * share, vmin=0, vmax=100, cmap="viridis")
        axis.set_title(f"{64 * share.mean():.1f} of 64 coefficients are not 0")
        axis.set_xlabel("horizontal frequency")
        axis.set_ylabel("vertical frequency")
    figure.colorbar(map_, ax=axes[2], label="% of blocks")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
