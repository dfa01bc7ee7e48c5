"""All that wants a GPU, in one go: tests, bits of thousands of shapes, compute-sanitizer, times beside the limit; and
the registers of the kernels.

    python bench/gpu.py -o bench/results/NAME.json

Times are medians over repeats, each of as many calls between two CUDA events as take a few milliseconds; ratios are to
``x.clone()`` of the same tensor, which reads and writes every byte once.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from machine import facts
from peers import torch_matmul
from registers import measure as measure_registers
from registers import show as show_registers
from tqdm import tqdm

from nnjpeg import NN_TABLE, _plain, atomic, cuda, ops
from nnjpeg._arguments import SUBSAMPLINGS

ROOT = Path(__file__).parent.parent
DTYPES = (torch.uint8, torch.float32, torch.float16, torch.bfloat16)
RGB = (False, 1, 1)  # ycbcr, h, v
YCBCR = {name: (True, *factors) for name, factors in SUBSAMPLINGS.items()}


def run_tests():
    """The tests that need a GPU; what pytest says at the end."""
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "tests/test_cuda.py", "-k", "gpu"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(result.stdout[-3000:])
    return {"passed": result.returncode == 0, "summary": result.stdout.strip().splitlines()[-1]}


def compare_bits(shapes, seed=0):
    """Random shapes, codings, layouts, types and tables: which differ from the CPU's bits."""
    draw, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    differ = []
    for _ in tqdm(range(shapes), desc="bits", unit="shape", disable=None):
        coding, dtype = draw.choice([RGB, *YCBCR.values()]), draw.choice(DTYPES)
        b, c = draw.randint(1, 4), draw.randint(1, 4) if coding == RGB else 3
        h, w = (draw.choice([draw.randint(1, 80), 8 * draw.randint(1, 32)]) for _ in range(2))
        image = torch.randint(0, 256, (b, c, h, w), dtype=torch.uint8, generator=generator)
        if draw.random() < 0.3:
            image = image // 128 * 255
        image = image if dtype == torch.uint8 else (image / 255).to(dtype)
        if draw.random() < 0.5:
            image = image.contiguous(memory_format=torch.channels_last)
        if draw.random() < 0.2:
            image = image[..., draw.randint(0, w - 1) :]
        leading = draw.choice([1, b]), draw.choice([1, c])
        table = torch.randint(1, draw.choice([10, 256]), (*leading, 8, 8), dtype=torch.uint8, generator=generator)
        result = torch.ops.nnjpeg.roundtrip(image.cuda(), table.cuda(), *coding, True, False).cpu()
        if not torch.equal(result, torch.ops.nnjpeg.roundtrip(image, table, *coding, True, False)):
            differ.append([str(dtype), list(image.shape), list(leading), coding])
    return {"shapes": shapes, "differ": differ}


SANITIZED = """
import torch
import nnjpeg.ops
torch.manual_seed(0)
for size in [(1, 1), (3, 4), (8, 8), (13, 21), (40, 70)]:
    for coding in [(False, 1, 1), (True, 1, 1), (True, 2, 1), (True, 2, 2), (True, 1, 2)]:
        table = torch.randint(1, 256, (2, 3, 8, 8), dtype=torch.uint8).cuda()
        for form in (torch.contiguous_format, torch.channels_last):
            image = torch.zeros(2, 3, *size, dtype=torch.uint8).cuda().contiguous(memory_format=form)
            torch.ops.nnjpeg.roundtrip(image, table, *coding, True, False)
            torch.ops.nnjpeg.roundtrip(image, table.float(), *coding, True, False)
            for dtype in (torch.float32, torch.float16):
                image = torch.rand(2, 3, *size).to(dtype).cuda().contiguous(memory_format=form)
                for exact, cubic in ((True, False), (False, False), (False, True)):
                    torch.ops.nnjpeg.roundtrip(image, table, *coding, exact, cubic)
                torch.ops.nnjpeg.cubic_backward(image, image, table, *coding)
                for cubic in (False, True):
                    torch.ops.nnjpeg.table_backward(image, image, table, *coding, cubic)
torch.cuda.synchronize()
"""


def sanitize():
    """compute-sanitizer's memcheck and initcheck over every kernel."""
    if shutil.which("compute-sanitizer") is None:
        return "compute-sanitizer is not installed"
    results = {}
    for tool in ("memcheck", "initcheck"):
        command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9", sys.executable, "-c", SANITIZED]
        result = subprocess.run(command, capture_output=True, text=True)
        lines = [line for line in result.stdout.splitlines() if "ERROR SUMMARY" in line] or result.stdout.splitlines()[
            -3:
        ]
        results[tool] = {"exit": result.returncode, "summary": lines}
    return results


def microseconds(function, repeats=15):
    for _ in range(3):
        function()
    torch.cuda.synchronize()
    calls, times = 1, []
    while len(times) < repeats:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(calls):
            function()
        end.record()
        end.synchronize()
        elapsed = begin.elapsed_time(end)
        if elapsed < 5 and calls < 4096:
            calls *= 2
        else:
            times.append(1e3 * elapsed / calls)
    return sorted(times)[repeats // 2]


def jobs(batch):
    """(name, dtype, function of the tensor) for every job on a batch of `batch` images of 224x224."""
    table = ops.steps_of([[NN_TABLE]], torch.device("cuda"))
    several = table.expand(batch, 3, 8, 8).contiguous()
    for dtype in DTYPES:
        yield "clone", dtype, torch.clone
        for name, coding in {"rgb": RGB, **YCBCR}.items():
            yield (
                f"roundtrip, {name}",
                dtype,
                lambda x, c=coding: torch.ops.nnjpeg.roundtrip(x, table, *c, False, False),
            )
            if dtype != torch.uint8:
                yield (
                    f"roundtrip, {name}, precision uint8",
                    dtype,
                    lambda x, c=coding: torch.ops.nnjpeg.roundtrip(x, table, *c, True, False),
                )
                yield (
                    f"roundtrip, {name}, cubic",
                    dtype,
                    lambda x, c=coding: torch.ops.nnjpeg.roundtrip(x, table, *c, False, True),
                )
                yield (
                    f"backward, {name}, cubic",
                    dtype,
                    lambda x, c=coding: torch.ops.nnjpeg.cubic_backward(x, x, table, *c),
                )
                yield (
                    f"by tables, {name}",
                    dtype,
                    lambda x, c=coding: torch.ops.nnjpeg.table_backward(x, x, table, *c, False),
                )
        for name, coding in (("rgb", RGB), ("4:2:0", YCBCR["4:2:0"])):
            yield (
                f"roundtrip, {name}, a table for each image and component",
                dtype,
                lambda x, c=coding: torch.ops.nnjpeg.roundtrip(x, several, *c, False, False),
            )
    for name, coding in (("rgb", RGB), ("4:2:0", YCBCR["4:2:0"])):
        yield (
            f"plain torch operations, {name}",
            torch.uint8,
            lambda x, c=coding: _plain.roundtrip_uint8(x, table, *c),
        )
    yield "torch 64x64 matmul", torch.float32, torch_matmul
    try:
        from kornia.enhance import jpeg_codec_differentiable

        quality = torch.tensor([75.0], device="cuda")
        yield "kornia jpeg_codec_differentiable", torch.float32, lambda x: jpeg_codec_differentiable(x, quality)
    except ImportError:
        print("not installed, left out: kornia", file=sys.stderr)
    try:
        from torchvision.io import decode_jpeg, encode_jpeg

        def nvjpeg(x):
            return decode_jpeg([data.cpu() for data in encode_jpeg(list(x), quality=75)], device="cuda")

        nvjpeg(torch.zeros(1, 3, 16, 16, dtype=torch.uint8, device="cuda"))
        yield "torchvision, nvJPEG encode + decode", torch.uint8, nvjpeg
    except (ImportError, RuntimeError) as error:
        print(f"left out: torchvision's nvJPEG ({str(error).splitlines()[0]})", file=sys.stderr)


def measure(batch):
    rows, clones = [], {}
    for name, dtype, function in tqdm(list(jobs(batch)), desc="times", unit="job", disable=None):
        for layout in ("NCHW", "NHWC"):
            image = torch.randint(0, 256, (batch, 3, 224, 224), dtype=torch.uint8, device="cuda")
            image = image if dtype == torch.uint8 else (image / 255).to(dtype)
            if layout == "NHWC":
                image = image.contiguous(memory_format=torch.channels_last)
            try:
                time = microseconds(lambda x=image, f=function: f(x))
            except (RuntimeError, torch.cuda.OutOfMemoryError) as error:
                print(f"{name}, {layout}: {str(error).splitlines()[0]}", file=sys.stderr)
                continue
            if name == "clone":
                clones[dtype, layout] = time
            ratio = time / clones[dtype, layout]
            rows.append({"job": name, "dtype": str(dtype), "layout": layout, "microseconds": time, "ratio": ratio})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--shapes", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=256)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("there is no GPU here")
    loaded = cuda.load()
    result = {
        **facts(),
        "gpu": torch.cuda.get_device_name(),
        "cuda": torch.version.cuda,
        "kernel": cuda.state(),
        "batch": options.batch,
    }
    major, minor = torch.cuda.get_device_capability()
    stages = {
        "registers": lambda: measure_registers(f"sm_{major}{minor}"),
        "bits": lambda: compare_bits(options.shapes),
        "tests": run_tests,
        "times": lambda: measure(options.batch),
        "sanitizer": sanitize if loaded else lambda: None,
    }
    for name, stage in stages.items():
        result[name] = stage()
        atomic.write(options.output, (json.dumps(result, indent=1) + "\n").encode())
    show_registers(result["registers"])
    for row in result["times"]:
        print(f"{row['job']:50s} {row['dtype']:15s} {row['layout']} {row['microseconds']:10.1f} us {row['ratio']:8.2f}")
    print(json.dumps({key: result[key] for key in ("bits", "tests", "sanitizer")}, indent=1))
    if result["bits"]["differ"] or not result["tests"]["passed"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
