"""Images a second, and how time grows: with the size of an image, the number of images, and threads.

    python bench/throughput.py -o bench/results/NAME.json

Images a second are those of the transform "compression" as the albumentations project's benchmark has it: photographs
of 500x375 in the form that each library takes, JPEG of quality 75 in 4:2:0, on one thread; and an epoch of a DataLoader
of two workers over JPEG files (decode, transform, centre crop, batch). Libraries take turns; medians of the repeats.
Growth is the time for each block of 8x8x3 samples: of one image of 32x32 to 8192x8192, of batches of 1 to 1024 images
of 32x32, and of one image of 4096x4096 on 1, 2, ... threads.
"""

import argparse
import importlib.metadata
import io
import json
import os
import tempfile
import time
from pathlib import Path

# Before any library starts its threads; the last part gives the number of threads with each call.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import torch
from machine import facts
from photos import crops
from PIL import Image
from pipeline import in_turn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from tqdm import tqdm

import nnjpeg
from nnjpeg import NN_TABLE, atomic
from nnjpeg._threads import available_cpus
from nnjpeg.transforms import JPEG, NNJpeg

SIZE, QUALITY, CROP = (375, 500), 75, 256


def tensor(image):
    return torch.from_numpy(image).permute(2, 0, 1).contiguous()


def pillow(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    with Image.open(file) as read:
        read.load()
        return read


def libraries():
    """By name: from an array HWC to what the library takes, and its transform."""
    found = {
        "nnjpeg JPEG(75), array": (np.asarray, JPEG(QUALITY)),
        "nnjpeg JPEG(75), tensor": (tensor, JPEG(QUALITY)),
        "nnjpeg JPEG(75), PIL": (Image.fromarray, JPEG(QUALITY)),
        "nnjpeg NNJpeg(), array": (np.asarray, NNJpeg()),
        "Pillow": (Image.fromarray, pillow),
        "torchvision v2.JPEG": (tensor, v2.JPEG(QUALITY)),
    }
    try:
        import albumentations
        import cv2

        from nnjpeg.compat.albumentations import ImageCompression

        cv2.setNumThreads(1)
        for name, kind in (("albumentations", albumentations.ImageCompression), ("nnjpeg.compat", ImageCompression)):
            one = kind(compression_type="jpeg", quality_range=(QUALITY, QUALITY), p=1)
            found[f"{name} ImageCompression"] = np.asarray, lambda image, one=one: one(image=image)["image"]
    except ImportError:
        pass
    try:
        from kornia.augmentation import RandomJPEG

        soft = RandomJPEG(jpeg_quality=(QUALITY, QUALITY), p=1.0)
        found["kornia RandomJPEG"] = lambda image: tensor(image)[None] / 255, soft
    except ImportError:
        pass
    return found


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def one_thread(repeats, count=24):
    torch.set_num_threads(1)
    images = crops(SIZE, count)
    jobs = {name: ([take(image) for image in images], transform) for name, (take, transform) in libraries().items()}
    times = {name: [] for name in jobs}
    for k in tqdm(range(repeats + 1), desc="one thread", disable=None):
        for name in in_turn(jobs, k):
            prepared, transform = jobs[name]
            took = seconds(lambda transform=transform, prepared=prepared: [transform(image) for image in prepared])
            if k:  # the first warms up
                times[name].append(took)
    return {name: count / float(np.median(values)) for name, values in times.items()}


class Files(Dataset):
    """Decode, transform, crop: a sample as a tensor of bytes."""

    def __init__(self, paths, take, transform):
        self.paths, self.take, self.transform = paths, take, transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        with Image.open(self.paths[index]) as image:
            pixels = np.array(image.convert("RGB"))
        result = pixels if self.transform is None else self.transform(self.take(pixels))
        if isinstance(result, torch.Tensor):
            result = (result[0] * 255).byte() if result.ndim == 4 else result
        else:
            result = tensor(np.array(result))
        return v2.functional.center_crop(result, [CROP, CROP])


def data_loader(repeats, count=256, workers=2):
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{k:05d}.jpg" for k in range(count)]
        for path, image in zip(paths, crops(SIZE, count), strict=True):
            Image.fromarray(image).save(path, quality=90)
        every = {"decoding alone": (None, None), **libraries()}
        loaders = {
            name: DataLoader(Files(paths, *pair), batch_size=32, num_workers=workers, persistent_workers=True)
            for name, pair in every.items()
        }
        times = {name: [] for name in loaders}
        for k in tqdm(range(repeats + 1), desc="DataLoader", disable=None):
            for name in in_turn(loaders, k):
                took = seconds(lambda loader=loaders[name]: [None for _ in loader])
                if k:
                    times[name].append(took)
    return {name: count / float(np.median(values)) for name, values in times.items()}


def growth(jobs, repeats):
    """Of each job (blocks, function), nanoseconds a block."""
    times = {name: [] for name in jobs}
    for _ in tqdm(range(repeats), desc="growth", disable=None):
        for name, (blocks, function) in jobs.items():
            passes = max(1, 4000 // blocks)
            took = seconds(lambda function=function, passes=passes: [function() for _ in range(passes)])
            times[name].append(1e9 * took / passes / blocks)
    return {name: float(np.median(values)) for name, values in times.items()}


def by_size(repeats):
    jobs = {}
    for side in (32, 64, 128, 224, 512, 1024, 2048, 4096, 8192):
        (image,) = crops((side, side), 1)
        out = np.empty_like(image)
        jobs[str(side)] = (
            (side // 8) ** 2,
            lambda image=image, out=out: nnjpeg.roundtrip(image, NN_TABLE, out=out, num_threads=1),
        )
    return growth(jobs, repeats)


def by_batch(repeats):
    images = np.stack(crops((32, 32), 1024))
    jobs = {}
    for count in (1, 4, 16, 64, 256, 1024):
        batch, out = images[:count].copy(), np.empty_like(images[:count])
        jobs[str(count)] = (
            16 * count,
            lambda batch=batch, out=out: nnjpeg.roundtrip(batch, NN_TABLE, out=out, num_threads=1),
        )
    return growth(jobs, repeats)


def by_threads(repeats):
    (image,) = crops((4096, 4096), 1)
    out = np.empty_like(image)
    counts = sorted({1, 2, *(2**k for k in range(2, 9) if 2**k <= available_cpus()), available_cpus()})
    jobs = {
        str(count): (512 * 512, lambda count=count: nnjpeg.roundtrip(image, NN_TABLE, out=out, num_threads=count))
        for count in counts
        if count <= available_cpus()
    }
    return growth(jobs, repeats)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    result = facts()
    result["versions"]["albumentations"] = next(
        (one.version for one in importlib.metadata.distributions() if one.metadata["Name"] == "albumentations"), None
    )
    result["images_a_second"] = one_thread(options.repeats)
    result["images_a_second_data_loader"] = data_loader(options.repeats)
    result["nanoseconds_a_block"] = {
        "by side": by_size(options.repeats),
        "by images of 32x32": by_batch(options.repeats),
        "by threads, of 4096x4096": by_threads(options.repeats),
    }
    print(json.dumps({name: value for name, value in result.items() if "_a_" in name}, indent=1))
    atomic.write(options.output, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
