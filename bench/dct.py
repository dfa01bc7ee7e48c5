"""The plain DCT beside scipy's, on one thread: four images of 3x224x224, as many as the frequency statistics take at a
time (of more, the coefficients leave the cache, and the memory sets the pace).

    python bench/dct.py -o bench/results/NAME.json

Both take float32 planes; ours bytes too. The ratio is scipy's time over ours, the median of paired repeats.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import scipy.fft
from machine import facts
from photos import crops

import nnjpeg
from nnjpeg import _core, atomic


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--repeats", type=int, default=25)
    options = parser.parse_args()
    bytes_nhwc = np.stack(crops((224, 224), 4))
    bytes_nchw = np.ascontiguousarray(bytes_nhwc.transpose(0, 3, 1, 2))
    floats = bytes_nchw.astype(np.float32)
    blocks = floats.reshape(4, 3, 28, 8, 28, 8)

    def theirs():
        scipy.fft.dctn(blocks, axes=(3, 5), norm="ortho")

    inputs = (
        ("float32 NCHW", lambda: nnjpeg.dct(floats, layout="NCHW")),
        ("uint8 NCHW", lambda: nnjpeg.dct(bytes_nchw, layout="NCHW")),
        ("uint8 NHWC", lambda: nnjpeg.dct(bytes_nhwc)),
    )
    rows = []
    for isa in [isa for isa, supported in _core.compiled_isas().items() if supported]:
        _core.use_isa(isa)
        for name, ours in inputs:
            ours()
            ratios = [seconds(theirs) / seconds(ours) for _ in range(options.repeats)]
            low, median, high = np.percentile(ratios, [25, 50, 75])
            rows.append({"isa": isa, "input": name, "times_scipy": median, "quartiles": [low, high]})
            print(f"{isa:12s} {name:14s} {median:5.1f} times scipy's dctn ({low:.1f} to {high:.1f})")
    atomic.write(options.output, (json.dumps({**facts(), "rows": rows}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
