"""`nnjpeg compress` on folders of images, beside `cjpeg` in a shell's loop and `mogrify`, where these are installed.

    python bench/compress.py -o bench/results/NAME.json

Images are PPM files, which all three read. By turns in each repeat, every command compresses the same folder with
JPEG's tables of quality 75 in 4:2:0, from its start to its end: nnjpeg to files and to a tar file, on one CPU and on
all. nnjpeg also decodes each image for its PSNR and syncs its files to the disk, which the others do not. Reported are
medians, of time and CPU time an image, and of the ratio to nnjpeg to files on all CPUs in the same repeat.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import facts
from photos import crops
from PIL import Image
from tqdm import tqdm

from nnjpeg import QTable, atomic
from nnjpeg._threads import available_cpus

SETS = {"32x32": ((32, 32), 2000), "224x224": ((224, 224), 400), "1620x1080": ((1080, 1620), 24)}
QUALITY = "75"
LOOP = f'mkdir out && for f in set/*.ppm; do n=${{f##*/}}; cjpeg -quality {QUALITY} "$f" > "out/${{n%.ppm}}.jpg"; done'


def commands():
    """Name to (command, on how many CPUs), in a folder that holds `set` and `tables.txt`."""
    coding = ["--qtable", "tables.txt", "--colorspace", "ycbcr", "--subsampling", "4:2:0"]
    nnjpeg = [sys.executable, "-m", "nnjpeg", "compress", "set", *coding]
    found = {}
    for cpus in sorted({available_cpus(), 1}, reverse=True):
        for name, where in (("files", ["-o", "out"]), ("tar", ["--tar", "out/set.tar"])):
            found[f"nnjpeg compress, {name}, {cpus} CPUs"] = ([*nnjpeg, *where], cpus)
    missing = [program for program in ("cjpeg", "mogrify") if shutil.which(program) is None]
    if "cjpeg" not in missing:
        found["cjpeg, a loop"] = (["sh", "-c", LOOP], available_cpus())
    if "mogrify" not in missing:
        command = f"mkdir out && mogrify -path out -format jpg -quality {QUALITY} set/*.ppm"
        found["mogrify"] = (["sh", "-c", command], available_cpus())
    return found, missing


def measured(command, cpus, folder):
    """Seconds, and seconds of all CPUs."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    allowed = sorted(os.sched_getaffinity(0))[:cpus] if hasattr(os, "sched_setaffinity") else None
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        command,
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        preexec_fn=None if allowed is None else lambda: os.sched_setaffinity(0, allowed),
    )
    elapsed, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(size, count, repeats):
    jobs, _ = commands()
    times = {name: [] for name in jobs}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # a disk, which /tmp may not be
        folder = Path(folder)
        (folder / "set").mkdir()
        tables = [QTable.standard_luminance(), QTable.standard_chrominance()]
        QTable.save_all([table.at_quality(int(QUALITY)) for table in tables], folder / "tables.txt")
        for k, image in enumerate(crops(size, count)):
            Image.fromarray(image).save(folder / "set" / f"{k:05d}.ppm")
        for _ in tqdm(range(repeats), desc=f"{size[1]}x{size[0]}", disable=None):
            for name, (command, cpus) in jobs.items():
                times[name].append(measured(command, cpus, folder))
    first = np.array(next(iter(times.values())))
    return {name: summary(np.array(pairs), first, count) for name, pairs in times.items()}


def summary(pairs, first, count):
    low, median, high = np.percentile(pairs[:, 0] / first[:, 0], [25, 50, 75])
    wall, cpu = 1e3 * np.median(pairs, axis=0) / count
    return {"milliseconds": wall, "cpu_milliseconds": cpu, "ratio": median, "quartiles": [low, high]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--share", type=float, default=1, help="of the images, for a shorter run")
    options = parser.parse_args()
    _, missing = commands()
    for program in missing:
        print(f"not installed, left out: {program}", file=sys.stderr)
    found = {}
    for name, (size, most) in SETS.items():
        count = max(1, round(options.share * most))
        found[name] = {"images": count, "commands": compare(size, count, options.repeats)}
        for command, row in found[name]["commands"].items():
            times = f"{row['milliseconds']:.2f} ms an image ({row['cpu_milliseconds']:.2f} of CPU)"
            print(f"{name}, {command}: {times}, {row['ratio']:.2f} of the first")
    result = {**facts(), "repeats": options.repeats, "missing": missing, "sets": found}
    atomic.write(options.output, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
