"""Makes range_limit_blocks.json: blocks of samples that decode to values outside -512..511 before the range limit.

There libjpeg's scalar code, which masks to ten bits, and its SIMD code, which saturates, part ways. Such blocks need
coefficients that are all rounded the same way at one sample; simulated annealing finds them. Run by hand:
python tests/make_range_limit_blocks.py
"""

import json
from pathlib import Path

import numpy as np

from nnjpeg import reference

FILE = Path(__file__).with_name("range_limit_blocks.json")


def decoded(blocks, steps):
    """Samples less 128, before the range limit."""
    quantized = reference.quantize(reference.fdct(blocks), steps)
    return reference.idct(reference.dequantize(quantized, steps))


def anneal(step, sign, row, column, seed, iterations=2500, candidates=64):
    rng = np.random.default_rng(seed)
    steps = np.full((8, 8), step)
    block = np.where(rng.random((8, 8)) < 0.5, -128, 127)
    best, best_block, current = -np.inf, block, -np.inf
    for i in range(iterations):
        temperature = 40 * (1 - i / iterations) + 0.1
        trial = np.repeat(block[None], candidates, axis=0)
        for _ in range(rng.integers(1, 4)):
            at = np.arange(candidates), *rng.integers(0, 8, (2, candidates))
            flipped, random = -1 - trial[at], rng.integers(-128, 128, candidates)
            trial[at] = np.where(rng.random(candidates) < 0.8, flipped, random)
        values = sign * decoded(trial, steps)[:, row, column]
        k = int(np.argmax(values + temperature * rng.gumbel(size=candidates) / 2))
        if values[k] >= current or rng.random() < np.exp((values[k] - current) / temperature):
            block, current = trial[k], values[k]
        if current > best:
            best, best_block = current, block
    return best, best_block


def main():
    found = []
    for step in (190, 210, 230, 255):
        for sign in (1, -1):
            for seed in range(8):
                row, column = divmod(seed * 11 % 64, 8)
                best, block = anneal(step, sign, row, column, seed)
                if best > 512:
                    found.append({"step": step, "samples": (block + 128).tolist()})
                    print(f"step {step}: {sign * best:.0f} at [{row}, {column}]")
    FILE.write_text("[\n" + ",\n".join(json.dumps(entry) for entry in found) + "\n]\n")


if __name__ == "__main__":
    main()
