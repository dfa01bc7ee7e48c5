"""One thread beside everyone: ratios to Pillow (or another library) doing the equal job, on photographs, in one run.

    python bench/speed.py -o bench/results/NAME.json
    python bench/speed.py --against bench/results/NAME.json    # which of our rows got slower beyond noise?

In each repeat, the other is timed right before each job, and the ratio taken of the two; what is reported is the median
of the repeats' ratios with their quartiles. The process is pinned to one CPU.

With --against, what seems slower is measured again by other processes, and named only if it is slower in each; the exit
status is then 1. Ratios are compared, not times, so that a machine that is slow today is no finding; another machine is
one, though.
"""

import argparse
import dataclasses
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
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
from regression import changes, differences, rows_of
from tqdm import tqdm

from nnjpeg import _core, atomic

# That measure again what seems slower. Where memory lies stays as it is in each, and may cost a fifth.
PROCESSES = 3


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


def measured_again(names, with_peers, repeats, at_least):
    """The rows of these names."""
    torch.set_num_threads(1)
    found = []
    for load in workloads(with_peers)[0]:
        jobs = [job for job in load.jobs if (load.name, load.baseline.name, job.name) in names]
        if jobs:
            found.append(measure(dataclasses.replace(load, jobs=jobs), repeats, at_least))
    return {"workloads": found}


def against(before, result, *arguments):
    """Print what changed; how many rows got slower."""
    for difference in differences(before, result):
        print(f"not the same: {difference}", file=sys.stderr)
    found = {change.row: change for change in changes(before, result)}
    for _ in range(PROCESSES):
        suspects = {row for row, change in found.items() if change.verdict == "slower"}
        if suspects:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                again = process.submit(measured_again, suspects, *arguments).result()
            found.update({change.row: change for change in changes(before, again)})
    for change in sorted(found.values(), key=lambda change: -change.factor):
        print(change)
    slower = sum(change.verdict == "slower" for change in found.values())
    unmeasured = len(rows_of(before)) - len(found)
    print(f"{len(found)} rows compared, {slower} slower beyond noise; {unmeasured} earlier rows were not measured now")
    return slower


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    parser.add_argument("--against", type=Path, metavar="JSON", help="an earlier result: say which row got slower")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--at-least", type=float, default=0.05, help="seconds that each timing takes at least")
    parser.add_argument("--only-ours", action="store_true", help="without the peers")
    options = parser.parse_args()
    if options.output is None and options.against is None:
        parser.error("one of -o and --against is needed")
    before = None if options.against is None else json.loads(options.against.read_text())
    torch.set_num_threads(1)
    torch.manual_seed(0)
    ours_alone = options.only_ours or options.output is None
    loads, missing = workloads(with_peers=not ours_alone)
    for name in missing:
        print(f"not installed, left out: {name}", file=sys.stderr)
    result = {**facts(), "repeats": options.repeats, "missing": missing}
    result["workloads"] = [measure(load, options.repeats, options.at_least) for load in loads]
    if options.output is not None:
        atomic.write(options.output, (json.dumps(result, indent=1) + "\n").encode())
    if before is None:
        return 0
    return int(against(before, result, not ours_alone, options.repeats, options.at_least) > 0)


if __name__ == "__main__":
    sys.exit(main())
