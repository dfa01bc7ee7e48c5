"""Instructions per 8x8 pixels of three components, by stage: the same on every run, whatever else the machine does.

    python bench/instructions.py -o bench/results/NAME.json

Four ways of coding a 224x224 image are counted with valgrind's callgrind: RGB from planes, RGB from interleaved pixels,
YCbCr 4:4:4 and 4:2:0 from interleaved pixels. What one way does more than another is a stage. Needs gcc and valgrind;
valgrind does not know AVX-512, so these are the counts of generic C and AVX2.
"""

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path

from machine import facts

from nnjpeg import atomic

ROOT = Path(__file__).resolve().parent.parent
PATCHES = (224 // 8) ** 2
WAYS = ("planes", "pixels", "444", "420")


def build(folder):
    """The core for generic C and AVX2, with setup.py's flags."""
    flags = ["gcc", "-O3", "-std=c99", f"-I{ROOT / 'csrc'}"]
    avx2 = str(folder / "avx2.o")
    isa_flags = json.loads((ROOT / "csrc/isas.json").read_text())["x86_64"]["avx2"]["gcc"]
    subprocess.run([*flags, *isa_flags, "-c", str(ROOT / "csrc/isa_avx2.c"), "-o", avx2], check=True)
    sources = [str(p) for p in (ROOT / "csrc").glob("*.c") if not p.name.startswith("isa_")]
    sources += [str(ROOT / "csrc/isa_generic.c"), str(ROOT / "bench/instructions.c"), avx2]
    program = str(folder / "instructions")
    subprocess.run([*flags, "-DNJ_WITH_AVX2", *sources, "-o", program], check=True)
    return program


def count(program, isa, times, way, folder):
    callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder / 'out'}"]
    command = [*callgrind, program, isa, str(times), way]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(re.search(r"Collected : (\d+)", result.stderr).group(1))


def stages(program, isa, folder):
    planes, pixels, ycbcr, subsampled = (
        (count(program, isa, 3, way, folder) - count(program, isa, 1, way, folder)) / (2 * PATCHES) for way in WAYS
    )
    return {
        "transform and quantization of three blocks": planes,
        "interleaved pixels to planes and back": pixels - planes,
        "RGB to YCbCr and back": ycbcr - pixels,
        "4:4:4 in all": ycbcr,
        "4:2:0 in all": subsampled,
        "4:2:0 without the transform of its one and a half blocks": subsampled - planes / 2,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON to write")
    options = parser.parse_args()
    result = facts()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = build(folder)
        result["instructions_per_patch"] = {isa: stages(program, isa, folder) for isa in ("generic", "avx2")}
    print(json.dumps(result["instructions_per_patch"], indent=1))
    atomic.write(options.output, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
