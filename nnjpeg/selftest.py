"""Whether this installation keeps its promise on this machine: the same bits as libjpeg-turbo, from every way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
from PIL import features

from nnjpeg import _core, reference
from nnjpeg._arguments import Colorspace
from nnjpeg.codec import forward, inverse, roundtrip
from nnjpeg.files import decode, encode
from nnjpeg.qtable import NN_TABLE, QTable

__all__ = ["Check", "checks"]

Pixels = npt.NDArray[np.uint8]
Case = tuple[Pixels, QTable, Colorspace]
Check = tuple[str, Callable[[], int]]
"""What is checked, and a function that checks it: it returns how many images were compared, or raises."""

_CASES = 150
_LARGE = (640, 480)  # shared among threads


def checks() -> Iterator[Check]:
    """All checks that this installation allows: by instruction set, of threads, files, and torch's devices.

    Each raises an AssertionError that says what differed.
    """
    cases = list(_cases())
    before = _core.isa()
    yield f"the instruction set in use ({before or 'none'})", lambda: _against(_expected, cases[:1])
    try:
        for isa, supported in _core.compiled_isas().items():
            if supported:
                _core.use_isa(isa)
                yield f"{isa}: {_oracle()}", lambda: _against(_expected, cases)
                yield f"{isa}: the stages one at a time, and in place", lambda: _stages(cases)
    finally:
        if before is not None:
            _core.use_isa(before)
    yield "the reference, in NumPy", lambda: _against(_reference, cases[::5])
    yield "files, written and read again", lambda: _files(cases)
    yield "threads", _threads
    if find_spec("torch") is not None:
        yield from _torch(cases)


def _oracle() -> str:
    if features.check("libjpeg_turbo"):
        return f"libjpeg-turbo {features.version('libjpeg_turbo')}, by Pillow"
    return "the reference (this Pillow is not built on libjpeg-turbo)"


def _cases() -> Iterator[Case]:
    rng = np.random.default_rng(0)
    for k in range(_CASES):
        height, width = (int(side) for side in rng.integers(1, 70, 2))
        image = rng.integers(0, 256, (height, width, 3)) if k % 3 else 255 * rng.integers(0, 2, (height, width, 3))
        if k % 5 == 0:
            y, x = np.mgrid[:height, :width][..., None]
            image = 127.5 + 127.5 * np.sin(rng.uniform(-0.3, 0.3) * x + rng.uniform(-0.3, 0.3) * y + 2 * np.arange(3))
        random = QTable(rng.integers(1, 256, (8, 8)))
        table = (NN_TABLE, NN_TABLE.at_quality(int(rng.integers(1, 101))), random)[k % 3]
        yield image.astype(np.uint8), table, "rgb" if k % 2 else "ycbcr"


def _expected(image: Pixels, table: QTable, colorspace: Colorspace) -> Pixels:
    """What libjpeg-turbo makes of it; the reference where that is not here, or has no code for a coefficient."""
    if not features.check("libjpeg_turbo"):
        return _reference(image, table, colorspace)
    try:
        return decode(encode(image, table, colorspace=colorspace))
    except ValueError:
        return _reference(image, table, colorspace)


def _reference(image: Pixels, table: QTable, colorspace: Colorspace) -> Pixels:
    return reference.roundtrip(image, table, colorspace=colorspace)


def _same(found: Pixels, expected: Pixels, what: str) -> None:
    wrong = int((found != expected).sum())
    if wrong:
        raise AssertionError(f"{wrong} of {expected.size} samples differ in {what}")


def _against(oracle: Callable[[Pixels, QTable, Colorspace], Pixels], cases: list[Case]) -> int:
    for number, (image, table, colorspace) in enumerate(cases):
        found = roundtrip(image, table, colorspace=colorspace)
        _same(found, oracle(image, table, colorspace), f"case {number}, {image.shape}, {colorspace}")
    return len(cases)


def _stages(cases: list[Case]) -> int:
    for number, (image, table, colorspace) in enumerate(cases):
        expected = roundtrip(image, table, colorspace=colorspace)
        coefficients = forward(image, table, colorspace=colorspace)
        found = inverse(coefficients, table, size=image.shape[:2], colorspace=colorspace)
        _same(found, expected, f"case {number}, by stages")
        planes = np.ascontiguousarray(image.transpose(2, 0, 1))
        roundtrip(planes, table, colorspace=colorspace, layout="CHW", out=planes)
        _same(planes.transpose(1, 2, 0), expected, f"case {number}, in place and by planes")
    return len(cases)


def _files(cases: list[Case]) -> int:
    compared = 0
    for number, (image, table, colorspace) in enumerate(cases):
        try:
            data = encode(image, table, colorspace=colorspace)
        except ValueError:  # libjpeg's Huffman coder has no code for a coefficient
            continue
        _same(decode(data), roundtrip(image, table, colorspace=colorspace), f"case {number}, from a file")
        compared += 1
    return compared


def _threads() -> int:
    image = np.random.default_rng(1).integers(0, 256, (*_LARGE, 3), dtype=np.uint8)
    expected = roundtrip(image, NN_TABLE, num_threads=1)
    for threads in (2, 3, 8):
        _same(roundtrip(image, NN_TABLE, num_threads=threads), expected, f"an image on {threads} threads")
    return 3


def _torch(cases: list[Case]) -> Iterator[Check]:
    import torch

    from nnjpeg import ops

    def compare(device: str) -> int:
        for number, (image, table, colorspace) in enumerate(cases[::3]):
            expected = roundtrip(image, table, colorspace=colorspace)
            tensor = torch.from_numpy(image).permute(2, 0, 1)[None].to(device)
            for x, scale in ((tensor, 1), (tensor / 255, 255)):
                y = ops.roundtrip(x, table, colorspace=colorspace, precision="uint8")
                found = (y * scale).round().to(torch.uint8)[0].permute(1, 2, 0).cpu().numpy()
                _same(found, expected, f"case {3 * number}, {x.dtype} on {device}")
        return 2 * len(cases[::3])

    yield f"torch {torch.__version__} on the CPU", lambda: compare("cpu")
    if torch.cuda.is_available():
        from nnjpeg import cuda

        yield f"torch on {torch.cuda.get_device_name()} ({cuda.state()})", lambda: compare("cuda")
