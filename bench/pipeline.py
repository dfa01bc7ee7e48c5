"""What the transform costs where it is used: in threads, and in a DataLoader over JPEG files.

    python bench/pipeline.py -o bench/results/NAME.json

Thread scaling: a batch of 64 images, 224x224, on 1, 2, ... CPUs. DataLoader: an epoch over JPEG files on disk (decode,
RandomResizedCrop, to tensor) without, with NNJpeg, with JPEG(75) and with torchvision's, by turns, one worker a CPU.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from machine import facts
from photos import crops
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2
from tqdm import tqdm

import nnjpeg
from nnjpeg import NN_TABLE, _threads, atomic
from nnjpeg._threads import available_cpus
from nnjpeg.transforms import JPEG, NNJpeg

TRANSFORMS = {"without": [], "NNJpeg()": [NNJpeg()], "JPEG(75)": [JPEG(75)], "torchvision v2.JPEG(75)": [v2.JPEG(75)]}


def scaling(repeats):
    batch = np.stack(crops((224, 224), 64))
    out = np.empty_like(batch)
    counts = sorted({1, 2, *(2**k for k in range(1, 10) if 2**k <= available_cpus()), available_cpus()})
    times = {count: [] for count in counts if count <= available_cpus()}
    for _ in tqdm(range(repeats), desc="threads", disable=None):
        for count, measured in times.items():
            start = time.perf_counter()
            for _ in range(8):
                nnjpeg.roundtrip(batch, NN_TABLE, out=out, num_threads=count)
            measured.append((time.perf_counter() - start) / 8)
    one = np.array(times[1])
    return {
        str(count): {"seconds": float(np.median(t)), "speedup": float(np.median(one / np.array(t)))}
        for count, t in times.items()
    }


def epoch(loader):
    start = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - start


def data_loader(images, repeats):
    to_tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    with tempfile.TemporaryDirectory() as folder:
        for k, image in enumerate(crops((375, 500), images)):
            path = Path(folder) / f"class{k % 4}" / f"{k:05d}.jpg"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(image).save(path, quality=90)
        loaders = {}
        for name, transforms in TRANSFORMS.items():
            dataset = ImageFolder(folder, v2.Compose([v2.RandomResizedCrop(224), *transforms, *to_tensor]))
            loaders[name] = DataLoader(dataset, batch_size=64, num_workers=available_cpus(), persistent_workers=True)
            epoch(loaders[name])  # start the workers
        items = item_times({name: loader.dataset for name, loader in loaders.items()}, repeats)
        times = {name: [] for name in loaders}
        for k in tqdm(range(repeats), desc="epochs", disable=None):
            for name in in_turn(loaders, k):
                torch.manual_seed(k)  # the same crops in all
                times[name].append(epoch(loaders[name]))
    return {
        "images": images,
        "workers": available_cpus(),
        "seconds": {name: float(np.median(t)) for name, t in times.items()},
        "epochs": ratios(times),
        "items": ratios(items),
    }


def in_turn(names, k):
    """The names, begun with another one each time."""
    names = list(names)
    first = k % len(names)
    return names[first:] + names[:first]


def ratios(times):
    """Of each to what goes without: median and quartiles of pairs."""
    found = {}
    for name in list(times)[1:]:
        low, median, high = np.percentile(np.array(times[name]) / np.array(times["without"]), [25, 50, 75])
        found[name] = {"ratio": float(median), "quartiles": [float(low), float(high)]}
    return found


def item_times(datasets, repeats, count=16):
    """CPU time in one process, by turns every few images: less at the mercy of the machine's mood."""
    torch.set_num_threads(1)
    thread_limit_of_a_worker()
    times = {name: [] for name in datasets}
    for k in tqdm(range(20 * repeats), desc="items", disable=None):
        for name in in_turn(datasets, k):
            indices = [(k * count + n) % len(datasets[name]) for n in range(count)]
            torch.manual_seed(k)
            start = time.process_time()
            for index in indices:
                datasets[name][index]
            times[name].append(time.process_time() - start)
    return times


def thread_limit_of_a_worker():
    """From here on calls use one thread, as in a DataLoader's worker."""
    _threads._default = lambda: 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    result = facts()
    result["threads"] = scaling(3 * options.repeats)
    result["data_loader"] = data_loader(options.images, options.repeats)
    for count, row in result["threads"].items():
        print(f"{count} threads: {row['speedup']:.2f} times one")
    for kind in ("epochs", "items"):
        for name, row in result["data_loader"][kind].items():
            low, high = row["quartiles"]
            print(f"DataLoader, {kind}, {name}: {row['ratio']:.3f} of without, quartiles {low:.3f} and {high:.3f}")
    atomic.write(options.output, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
