"""The round trip's halves, and the layouts that pipelines hand over, as ratios to the round trip of plain HWC.

    python bench/layouts.py -o bench/results/NAME.json

Medians of paired repeats with their quartiles, on one thread, for each instruction set, size and coding. Images of four
components are compared sample by sample: three quarters of their time. The halves make a new array in each call, and
so does the round trip that they are compared with.
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
from nnjpeg import NN_TABLE, _core, atomic

SIZES = (224, 512)
CODINGS = {
    "RGB": {},
    "YCbCr 4:4:4": {"colorspace": "ycbcr"},
    "YCbCr 4:2:0": {"colorspace": "ycbcr", "subsampling": "4:2:0"},
}
CALLS = 20


def jobs(image, coding):
    """Name, call, the call that it is compared with, and the share of its time that counts."""
    four = np.concatenate([image, image[..., :1]], axis=2)
    planes = np.ascontiguousarray(image.transpose(2, 0, 1))
    views = {
        "BGR": (image[..., ::-1], np.empty_like(image)[..., ::-1]),
        "flipped from left to right": (image[:, ::-1], np.empty_like(image)[:, ::-1]),
        "flipped, to plain HWC": (image[:, ::-1], np.empty_like(image)),
        "upside down": (image[::-1], np.empty_like(image)[::-1]),
        "x4[..., :3]": (four[..., :3], np.empty_like(image)),
        "x4[..., :3], to the same": (four[..., :3], np.empty_like(four)[..., :3]),
        "CHW": (planes.transpose(1, 2, 0), np.empty_like(planes).transpose(1, 2, 0)),
    }
    if not coding:
        views["HWC of four components"] = (four, np.empty_like(four))
    options = {"layout": "HWC", "num_threads": 1, **coding}
    plain = functools.partial(nnjpeg.roundtrip, image, NN_TABLE, out=np.empty_like(image), **options)
    for name, (source, out) in views.items():
        yield (
            name,
            functools.partial(nnjpeg.roundtrip, source, NN_TABLE, out=out, **options),
            plain,
            3 / source.shape[2],
        )
    plain = functools.partial(nnjpeg.roundtrip, image, NN_TABLE, **options)
    yield "forward", functools.partial(nnjpeg.forward, image, NN_TABLE, **options), plain, 1
    coefficients = nnjpeg.forward(image, NN_TABLE, **options)
    size = image.shape[:2]
    yield "inverse", functools.partial(nnjpeg.inverse, coefficients, NN_TABLE, size=size, **options), plain, 1


def seconds(call):
    start = time.perf_counter()
    for _ in range(CALLS):
        call()
    return time.perf_counter() - start


def measured(image, coding, repeats):
    plain_times, rows = [], []
    for name, call, plain, share in jobs(image, coding):
        seconds(call)
        pairs = np.array([(seconds(plain), share * seconds(call)) for _ in range(repeats)])
        plain_times += list(pairs[:, 0])
        low, median, high = np.percentile(pairs[:, 1] / pairs[:, 0], [25, 50, 75])
        rows.append({"job": name, "ratio": median, "quartiles": [low, high]})
    return {"plain_microseconds": 1e6 * float(np.median(plain_times)) / CALLS, "rows": rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    isas = [isa for isa, supported in _core.compiled_isas().items() if supported]
    settings = [(isa, size, name) for isa in isas for size in SIZES for name in CODINGS]
    found = []
    for isa, size, name in tqdm(settings, disable=None):
        _core.use_isa(isa)
        [image] = crops((size, size), 1)
        row = {"isa": isa, "size": size, "coding": name, **measured(image, CODINGS[name], options.repeats)}
        found.append(row)
        cells = ", ".join(f"{one['job']} {one['ratio']:.2f}" for one in row["rows"])
        tqdm.write(f"{isa} {size}x{size} {name}, {row['plain_microseconds']:.1f} µs: {cells}")
    atomic.write(options.output, (json.dumps({**facts(), "layouts": found}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
