"""The codec under load, for as long as you like: every result is compared with Pillow's libjpeg-turbo.

    python tests/soak.py load --minutes 5 --processes 4 --threads 8
    python tests/soak.py memory --calls 1000000

"load": processes (half of them forked after threads were used, half spawned) of Python threads, each call with OpenMP
threads of its own. "memory": one thread, every kind of call and of error; the process must not grow. Exit status 1 if a
sample differs, a process dies or memory grows.
"""

import argparse
import io
import multiprocessing
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import nnjpeg
from nnjpeg import NN_TABLE, QTable
from nnjpeg.chunks import Chunks
from nnjpeg.transforms import NNJpeg, nn_jpeg

MOST_GROWTH = 2**20  # bytes, of a process that has done all it does before
CODINGS = [
    {"colorspace": "rgb"},
    {"colorspace": "ycbcr"},
    {"colorspace": "ycbcr", "subsampling": "4:2:2"},
    {"colorspace": "ycbcr", "subsampling": "4:2:0"},
]


def cases(count, seed=0):
    """Images of many sizes, some large enough to be shared among threads; tables; and what libjpeg makes of them."""
    rng = np.random.default_rng(seed)
    found = []
    while len(found) < count:
        large = len(found) % 8 == 0
        height, width = (int(side) for side in rng.integers(300 if large else 1, 420 if large else 90, 2))
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        table = QTable(rng.integers(8, 256, (8, 8)))
        if len(found) % 2:
            table = NN_TABLE.at_quality(int(rng.integers(1, 95)))
        coding = CODINGS[rng.integers(len(CODINGS))]
        options = {"subsampling": coding.get("subsampling", "4:4:4"), "keep_rgb": coding["colorspace"] == "rgb"}
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", qtables=[np.ravel(table).tolist()], **options)
        found.append((image, table, coding, np.asarray(Image.open(file))))
    return found


def _plain(image, table, coding, threads):
    return nnjpeg.roundtrip(image, table, **coding, num_threads=threads)


def _in_place(image, table, coding, threads):
    copy = image.copy()
    nnjpeg.roundtrip(copy, table, **coding, out=copy, num_threads=threads)
    return copy


def _by_planes(image, table, coding, threads):
    planes = image.transpose(2, 0, 1)[None]
    result = nnjpeg.roundtrip(planes, table, **coding, layout="NCHW", num_threads=threads)
    return result[0].transpose(1, 2, 0)


def _stages(image, table, coding, _):
    coefficients = nnjpeg.forward(image, table, **coding)
    return nnjpeg.inverse(coefficients, table, size=image.shape[:2], **coding)


def _tensor(image, table, coding, _):
    tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return nn_jpeg(tensor, table, **coding).numpy().transpose(1, 2, 0)


def _floats(image, table, coding, _):
    layer = NNJpeg(table, **coding, precision="uint8")
    tensor = torch.from_numpy(image).permute(2, 0, 1) / 255
    return (layer(tensor) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def _picture(image, table, coding, _):
    return np.asarray(nn_jpeg(Image.fromarray(image), table, **coding))


def _file(image, table, coding, _):
    return nnjpeg.decode(nnjpeg.encode(image, table, **coding))


def _chunk(image, table, coding, _):
    chunks = Chunks(table, **coding)
    return chunks.decode(chunks.encode(image[None]))[0]


WAYS = [_plain, _in_place, _by_planes, _stages, _tensor, _floats, _picture, _file, _chunk]
"""From (image, table, coding, threads) to the round trip, each by another way."""


def work(pool, seconds, seed):
    """Random ways of random cases; return how many calls there were. Raises at the first sample that differs."""
    rng, calls, end = np.random.default_rng(seed), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        image, table, coding, expected = pool[rng.integers(len(pool))]
        way = WAYS[rng.integers(len(WAYS))]
        result = way(image, table, coding, int(rng.integers(1, 5)))
        if not np.array_equal(result, expected):
            raise AssertionError(f"{(result != expected).sum()} samples differ, {image.shape}, {coding}, {way}")
        calls += 1
    return calls


def process(pool, seconds, threads, seed, results):
    """All threads of one process; puts the number of calls, or what went wrong, into `results`."""
    found = []

    def run(number):
        try:
            found.append(work(pool, seconds, [seed, number]))
        except BaseException as error:
            found.append(repr(error))

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for one in running:
        one.start()
    for one in running:
        one.join()
    results.put(next((one for one in found if isinstance(one, str)), None) or sum(found))


def load(seconds, processes=4, threads=8):
    """Return how many calls were made and compared."""
    pool = cases(64)
    work(pool, 0.2, 0)  # threads before the fork
    results, running = multiprocessing.get_context("spawn").Queue(), []
    methods = [method for method in ("fork", "spawn") if method in multiprocessing.get_all_start_methods()]
    for number in range(processes):
        context = multiprocessing.get_context(methods[number % len(methods)])
        running.append(context.Process(target=process, args=(pool, seconds, threads, number, results)))
        running[-1].start()
    found = [results.get(timeout=seconds + 300) for _ in running]
    for one in running:
        one.join()
    wrong = [one for one in found if isinstance(one, str)] + [one.exitcode for one in running if one.exitcode]
    if wrong:
        raise AssertionError(f"under load: {wrong}")
    return sum(found)


def _refused(call):
    try:
        call()
    except (TypeError, ValueError):
        return
    raise AssertionError("an error was expected")


def memory(calls):
    """How much the process has grown over `calls` calls, in bytes, once it has done all it does before."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)
    damaged = nnjpeg.encode(image, NN_TABLE)[:200]

    def errors():
        _refused(lambda: nnjpeg.roundtrip(image, [NN_TABLE] * 2))
        _refused(lambda: nnjpeg.roundtrip(image, NN_TABLE, out=image[:8]))
        _refused(lambda: QTable(np.zeros((8, 8))))
        _refused(lambda: nnjpeg.decode(damaged))

    def run(count):
        for number in range(count):
            if number % 50 == 0:
                errors()
            way = WAYS[0] if number % 10 else WAYS[number // 10 % len(WAYS)]
            table = QTable(rng.integers(8, 256, (8, 8))) if number % 5 == 0 else NN_TABLE
            way(image, table, CODINGS[number // 100 % len(CODINGS)], 1)

    run(max(calls // 10, 2000))
    before = resident()
    run(calls)
    return resident() - before


def resident():
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main():
    """Run one of them, and print its figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    under_load = commands.add_parser("load")
    under_load.add_argument("--minutes", type=float, default=5)
    under_load.add_argument("--processes", type=int, default=4)
    under_load.add_argument("--threads", type=int, default=8)
    flat = commands.add_parser("memory")
    flat.add_argument("--calls", type=int, default=1_000_000)
    options = parser.parse_args()
    if options.command == "load":
        calls = load(60 * options.minutes, options.processes, options.threads)
        print(f"{calls} calls in {options.processes} processes of {options.threads} threads, all equal")
        return 0
    growth = memory(options.calls)
    print(f"{options.calls} calls: the process grew by {growth} bytes")
    return int(growth > MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
