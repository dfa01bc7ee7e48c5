"""The codec beside the libraries that people run: random images, each compared in every sample.

    python tests/same_bits.py --pillow 10000 --others 2000

For each of Pillow's 4:2:2 and 4:2:0, OpenCV's (4:4:0 too), torchvision's and albumentations' so many images: sizes of
1..70 in both directions, every twentieth larger; noise, extremes, flat colours, waves; qualities 1..100, and for Pillow
tables of one's own as well. Each on every instruction set of the machine. Exit status 1 if a sample differs.
"""

import argparse
import io
import sys
from typing import NamedTuple

import albumentations
import cv2
import numpy as np
import PIL
import torch
import torchvision
from oracle import HuffmanRefusal, make_image, pillow_roundtrip
from PIL import Image, features
from torchvision.transforms.v2 import functional as F
from tqdm import tqdm

import nnjpeg
from nnjpeg import QTable, _core

KINDS = ("noise", "binary", "flat", "near-limits", "smooth")
OPENCV_SAMPLING = {"4:4:4": 0x111111, "4:2:2": 0x211111, "4:2:0": 0x221111, "4:4:0": 0x121111}
LUMINANCE, CHROMINANCE = QTable.standard_luminance(), QTable.standard_chrominance()


class Case(NamedTuple):
    """An image, as RGB, with either a quality or a table for each component."""

    image: np.ndarray
    quality: int
    tables: list
    subsampling: str


def by_pillow(case):
    if case.tables is not None:
        return pillow_roundtrip(case.image, case.tables, "ycbcr", case.subsampling)
    file = io.BytesIO()
    try:
        Image.fromarray(case.image).save(file, "JPEG", quality=case.quality, subsampling=case.subsampling)
    except OSError as error:
        raise HuffmanRefusal from error
    return np.asarray(Image.open(file))


def by_opencv(case):
    options = [cv2.IMWRITE_JPEG_QUALITY, case.quality]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, OPENCV_SAMPLING[case.subsampling]]
    _, file = cv2.imencode(".jpg", case.image[..., ::-1], options)
    return cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1]


def by_torchvision(case):
    tensor = torch.from_numpy(case.image).permute(2, 0, 1)
    return F.jpeg(tensor, case.quality).permute(1, 2, 0).numpy()


def by_albumentations(case):
    """It hands RGB to OpenCV as if it were BGR: R and B are swapped before and after."""
    transform = albumentations.ImageCompression(quality_range=(case.quality, case.quality), p=1)
    return transform(image=np.ascontiguousarray(case.image[..., ::-1]))["image"][..., ::-1]


class Peer(NamedTuple):
    """A library and one kind of JPEG that it writes and reads."""

    name: str
    roundtrip: object
    subsampling: str
    takes_tables: bool = False


PEERS = [
    Peer("Pillow", by_pillow, "4:2:2", True),
    Peer("Pillow", by_pillow, "4:2:0", True),
    *(Peer("OpenCV", by_opencv, subsampling) for subsampling in OPENCV_SAMPLING),
    Peer("torchvision", by_torchvision, "4:2:0"),
    Peer("albumentations", by_albumentations, "4:2:0"),
]


def cases(peer, seed):
    """Without end."""
    rng = np.random.default_rng(seed)
    number = 0
    while True:
        number += 1
        size = rng.integers(71, 400, 2) if number % 20 == 0 else rng.integers(1, 71, 2)
        tables = None
        if peer.takes_tables and rng.random() < 0.5:
            finest = rng.choice([1, 8, 100])
            tables = [QTable(rng.integers(finest, 256, (8, 8))) for _ in range(3)]
        image = make_image(rng.choice(KINDS), *size, 3, rng)
        yield Case(image, int(rng.integers(1, 101)), tables, peer.subsampling)


def ours(case):
    tables = case.tables
    if tables is None:
        luma, chroma = LUMINANCE.at_quality(case.quality), CHROMINANCE.at_quality(case.quality)
        tables = [luma, chroma, chroma]
    return nnjpeg.roundtrip(case.image, tables, colorspace="ycbcr", subsampling=case.subsampling)


def compare(peer, images, seed=0, progress=None):
    """(comparisons, those that differ, images that libjpeg refuses) of so many images, on every instruction set."""
    isas = [isa for isa, supported in _core.compiled_isas().items() if supported]
    before, compared, differing, refused = _core.isa(), 0, 0, 0
    stream = cases(peer, seed)
    try:
        while compared < images * len(isas):
            case = next(stream)
            try:
                expected = peer.roundtrip(case)
            except HuffmanRefusal:
                refused += 1
                continue
            for isa in isas:
                _core.use_isa(isa)
                compared += 1
                differing += not np.array_equal(ours(case), expected)
            if progress is not None:
                progress.update()
    finally:
        _core.use_isa(before)
    return compared, differing, refused


def main():
    """Run all; print a line for each peer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pillow", type=int, default=10_000, metavar="IMAGES", help="for each subsampling of Pillow")
    parser.add_argument("--others", type=int, default=2_000, metavar="IMAGES", help="for each other library")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    isas = [isa for isa, supported in _core.compiled_isas().items() if supported]
    print(f"instruction sets: {', '.join(isas)}")
    print(
        f"Pillow {PIL.__version__} with libjpeg-turbo {features.version('libjpeg_turbo')}, OpenCV {cv2.__version__}, "
        f"torchvision {torchvision.__version__}, albumentations {albumentations.__version__}"
    )
    failed = False
    for peer in PEERS:
        images = options.pillow if peer.name == "Pillow" else options.others
        name = f"{peer.name} {peer.subsampling}"
        with tqdm(total=images, desc=name, leave=False) as progress:
            compared, differing, refused = compare(peer, images, options.seed, progress)
        print(f"{name}: {images} images, {compared} comparisons, {differing} differ; refused by libjpeg: {refused}")
        failed |= differing > 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
