"""One thread beside everyone: ratios to Pillow (or another library) doing the equal job, on photographs, in one run.

    python bench/speed.py -o bench/results/NAME.json

In each repeat, the other is timed right before each job, and the ratio taken of the two; what is reported is the median
of the repeats' ratios with their quartiles. The process is pinned to one CPU.
"""

import argparse
import os
import sys
import time
from pathlib import Path

# Before any library starts its threads.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import json

import numpy as np
import torch
from machine import facts
from peers import workloads
from photos import crops
from tqdm import tqdm

from nnjpeg import _core, atomic


def seconds(job, images, at_least):
    """Time of one pass over the images, from as many passes as take `at_least` seconds."""
    passes, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < at_least or passes == 0:
        job.run(images)
        passes += 1
    return elapsed / passes if passes else elapsed


def measure(workload, repeats, at_least):
    images = crops(workload.size, workload.images)
    baseline_images = workload.baseline.prepare(images)
    rows = []
    for job in tqdm(workload.jobs, desc=workload.name, unit="job", disable=None):
        prepared = job.prepare(images)
        job.run(prepared)  # warm up
        workload.baseline.run(baseline_images)
        pairs = []
        for _ in range(repeats):
            base = seconds(workload.baseline, baseline_images, at_least)
            pairs.append((base, seconds(job, prepared, at_least)))
        ratios = [ours / base for base, ours in pairs]
        low, median, high = np.percentile(ratios, [25, 50, 75])
        rows.append(
            {
                "job": job.name,
                "same_maths": job.same,
                "ratio": median,
                "quartiles": [low, high],
                "microseconds": 1e6 * float(np.median([ours for _, ours in pairs])) / workload.images,
                "baseline_microseconds": 1e6 * float(np.median([base for base, _ in pairs])) / workload.images,
            }
        )
    _core.use_isa(next(isa for isa, supported in _core.compiled_isas().items() if supported))
    facts = {"workload": workload.name, "over": workload.baseline.name, "peers": workload.peers}
    return {**facts, "images": workload.images, "rows": rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--at-least", type=float, default=0.05, help="seconds that each timing takes at least")
    parser.add_argument("--only-ours", action="store_true", help="without the peers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    loads, missing = workloads(with_peers=not options.only_ours)
    for name in missing:
        print(f"not installed, left out: {name}", file=sys.stderr)
    result = {**facts(), "repeats": options.repeats, "missing": missing}
    result["workloads"] = [measure(load, options.repeats, options.at_least) for load in loads]
    atomic.write(options.output, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
