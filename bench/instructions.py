"""Instructions per block, counted by valgrind's callgrind: the same on every run, whatever else the machine does.

    python bench/instructions.py -o bench/results/NAME.json

Needs gcc and valgrind; AVX-512 is beyond valgrind, so these are the counts of generic C and AVX2 (interleaved RGB).
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
BLOCKS = 3 * (224 // 8) ** 2


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


def count(program, isa, times, folder):
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder / 'out'}", program, isa, str(times)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(re.search(r"Collected : (\d+)", result.stderr).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON to write")
    options = parser.parse_args()
    result = facts()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = build(folder)
        result["instructions_per_block"] = {
            isa: (count(program, isa, 3, folder) - count(program, isa, 1, folder)) / (2 * BLOCKS)
            for isa in ("generic", "avx2")
        }
    print(result["instructions_per_block"])
    atomic.write(options.output, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
