"""Registers, stack and spills of every CUDA kernel, as NVRTC's ptxas counts them; needs no GPU.

python bench/registers.py sm_90 -o bench/results/registers-sm_90.json
"""

import argparse
import json
import re
from pathlib import Path

from machine import facts
from tqdm import tqdm

from nnjpeg import _core, _nvrtc, atomic

COUNTS = {
    "registers": r"Used (\d+) registers",
    "stack": r"(\d+) bytes stack frame",
    "spill_stores": r"(\d+) bytes spill stores",
    "spill_loads": r"(\d+) bytes spill loads",
}


def measure(architecture):
    """A row for each kernel and type of samples; all but registers in bytes."""
    nvrtc, rows = _nvrtc.Nvrtc(), []
    kernels = [(file, name, type) for file, name, types in _core.cuda_kernels() for type in types]
    for file, name, type in tqdm(kernels, desc="registers", unit="kernel", disable=None):
        _, messages = nvrtc.compile(*_nvrtc.instance(file, name, type), architecture, "--ptxas-options=-v")
        counts = {key: int(re.search(pattern, messages)[1]) for key, pattern in COUNTS.items()}
        rows.append({"kernel": name, "type": _core.cuda_types()[type], **counts})
    return {"nvrtc": nvrtc.version, "architecture": architecture, "rows": rows}


def show(result):
    print(f"{'kernel':18s} {'type':10s} {' '.join(f'{key:>12s}' for key in COUNTS)}")
    for row in result["rows"]:
        print(f"{row['kernel']:18s} {row['type']:10s} {' '.join(f'{row[key]:12d}' for key in COUNTS)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architecture", help="as in sm_90")
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    options = parser.parse_args()
    result = measure(options.architecture)
    show(result)
    if options.output:
        atomic.write(options.output, (json.dumps({**facts(), **result}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
