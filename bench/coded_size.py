"""`nnjpeg.coded_size` as a ratio to the length of `nnjpeg.encode`'s files, on photographs, in the same run.

    python bench/coded_size.py [-o NAME.json]

Medians of paired repeats with their quartiles, of the CPU time of one thread, image by image and for a batch. Sizes are
checked to be equal.
"""

import argparse
import functools
import json
import time
from pathlib import Path

import numpy as np
from machine import facts
from photos import crops
from speed import measure  # noqa: F401  which pins the process to one CPU
from tqdm import tqdm

import nnjpeg
from nnjpeg import NN_TABLE, QTable, atomic

SIDES = {32: 64, 224: 16, 512: 4}  # and how many images a batch has
LUMA, CHROMA = QTable.standard_luminance(), QTable.standard_chrominance()
CODINGS = {
    "RGB, NN_TABLE": (NN_TABLE, {}),
    **{
        f"{subsampling}, quality {quality}": (
            [LUMA.at_quality(quality), *[CHROMA.at_quality(quality)] * 2],
            {"colorspace": "ycbcr", "subsampling": subsampling},
        )
        for subsampling, quality in [("4:2:0", 75), ("4:4:4", 90)]
    },
}


def seconds(call):
    start = time.thread_time()
    call()
    return time.thread_time() - start


def measured(batch, table, options, repeats):
    """A row for single images and one for all of them: microseconds of an image's file, and the ratio to it."""
    one = functools.partial(nnjpeg.coded_size, qtable=table, num_threads=1, **options)
    ways = {
        "encode": lambda: [len(nnjpeg.encode(image, table, **options)) for image in batch],
        "one by one": lambda: [one(image) for image in batch],
        "batch": lambda: one(batch).tolist(),
    }
    if not ways["encode"]() == ways["one by one"]() == ways["batch"]():
        raise RuntimeError("sizes differ from those of files")
    times = np.array([[seconds(call) for call in ways.values()] for _ in range(repeats)])
    for name, column in zip(("one by one", "batch"), times.T[1:], strict=True):
        low, median, high = np.percentile(column / times[:, 0], [25, 50, 75])
        microseconds = 1e6 * float(np.median(times[:, 0])) / len(batch)
        yield {"images": name, "encode_microseconds": microseconds, "ratio": median, "quartiles": [low, high]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    parser.add_argument("--repeats", type=int, default=21)
    arguments = parser.parse_args()
    rows = []
    settings = [(side, coding, optimize) for side in SIDES for coding in CODINGS for optimize in (False, True)]
    for side, coding, optimize in tqdm(settings, disable=None):
        batch = np.stack(crops((side, side), SIDES[side]))
        table, options = CODINGS[coding]
        found = list(measured(batch, table, {**options, "optimize": optimize}, arguments.repeats))
        rows += [{"side": side, "coding": coding, "optimize": optimize, **row} for row in found]
        cells = ", ".join(f"{row['images']} {row['ratio']:.2f}" for row in found)
        name = f"{side}x{side}, {coding}{', optimized' * optimize}"
        tqdm.write(f"{name}: {cells} of {found[0]['encode_microseconds']:.0f} µs")
    if arguments.output:
        atomic.write(arguments.output, (json.dumps({**facts(), "coded_size": rows}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
