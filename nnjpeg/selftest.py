"""The self-test: does this installation give libjpeg-turbo's bits on this machine, on every path?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
from PIL import features

from nnjpeg import _core, reference
from nnjpeg._arguments import SUBSAMPLINGS, Colorspace, Subsampling
from nnjpeg.codec import forward, inverse, roundtrip
from nnjpeg.files import decode, encode
from nnjpeg.qtable import NN_TABLE, QTable

__all__ = ["Check", "checks"]

Pixels = npt.NDArray[np.uint8]


class Coding(TypedDict):
    """How an image is coded, as the functions of the package take it."""

    colorspace: Colorspace
    subsampling: Subsampling


Case = tuple[Pixels, QTable, Coding]
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
        subsampling: Any = tuple(SUBSAMPLINGS)[k // 2 % 4]
        coding: Coding = (
            {"colorspace": "rgb", "subsampling": "4:4:4"}
            if k % 2
            else {"colorspace": "ycbcr", "subsampling": subsampling}
        )
        yield image.astype(np.uint8), table, coding


def _expected(image: Pixels, table: QTable, coding: Coding) -> Pixels:
    """The result of libjpeg-turbo; of the reference if Pillow has no libjpeg-turbo or cannot write such a file."""
    if not features.check("libjpeg_turbo"):
        return _reference(image, table, coding)
    try:
        return decode(encode(image, table, **coding))
    except ValueError:  # libjpeg's Huffman coder has no code for a coefficient, or 4:4:0
        return _reference(image, table, coding)


def _reference(image: Pixels, table: QTable, coding: Coding) -> Pixels:
    return reference.roundtrip(image, table, **coding)


def _same(found: Pixels, expected: Pixels, what: str) -> None:
    wrong = int((found != expected).sum())
    if wrong:
        raise AssertionError(f"{wrong} of {expected.size} samples differ in {what}")


def _against(oracle: Callable[[Pixels, QTable, Coding], Pixels], cases: list[Case]) -> int:
    for number, (image, table, coding) in enumerate(cases):
        found = roundtrip(image, table, **coding)
        what = f"case {number}, {image.shape}, {coding['colorspace']} {coding['subsampling']}"
        _same(found, oracle(image, table, coding), what)
    return len(cases)


def _stages(cases: list[Case]) -> int:
    for number, (image, table, coding) in enumerate(cases):
        expected = roundtrip(image, table, **coding)
        coefficients = forward(image, table, **coding)
        found = inverse(coefficients, table, size=image.shape[:2], **coding)
        _same(found, expected, f"case {number}, by stages")
        planes = np.ascontiguousarray(image.transpose(2, 0, 1))
        roundtrip(planes, table, layout="CHW", out=planes, **coding)
        _same(planes.transpose(1, 2, 0), expected, f"case {number}, in place and by planes")
    return len(cases)


def _files(cases: list[Case]) -> int:
    compared = 0
    for number, (image, table, coding) in enumerate(cases):
        try:
            data = encode(image, table, **coding)
        except ValueError:  # libjpeg's Huffman coder has no code for a coefficient, or 4:4:0
            continue
        _same(decode(data), roundtrip(image, table, **coding), f"case {number}, from a file")
        compared += 1
    return compared


def _threads() -> int:
    image = np.random.default_rng(1).integers(0, 256, (*_LARGE, 3), dtype=np.uint8)
    codings: list[Coding] = [
        {"colorspace": "rgb", "subsampling": "4:4:4"},
        {"colorspace": "ycbcr", "subsampling": "4:2:0"},
    ]
    for coding in codings:
        expected = roundtrip(image, NN_TABLE, num_threads=1, **coding)
        for threads in (2, 3, 8):
            found = roundtrip(image, NN_TABLE, num_threads=threads, **coding)
            _same(found, expected, f"an image on {threads} threads")
    return 6


def _torch(cases: list[Case]) -> Iterator[Check]:
    import torch

    from nnjpeg import ops

    def compare(device: str) -> int:
        for number, (image, table, coding) in enumerate(cases[::3]):
            expected = roundtrip(image, table, **coding)
            tensor = torch.from_numpy(image).permute(2, 0, 1)[None].to(device)
            for x, scale in ((tensor, 1), (tensor / 255, 255)):
                y = ops.roundtrip(x, table, precision="uint8", **coding)
                found = (y * scale).round().to(torch.uint8)[0].permute(1, 2, 0).cpu().numpy()
                _same(found, expected, f"case {3 * number}, {x.dtype} on {device}")
        return 2 * len(cases[::3])

    yield f"torch {torch.__version__} on the CPU", lambda: compare("cpu")
    if torch.cuda.is_available():
        from nnjpeg import cuda

        yield f"torch on {torch.cuda.get_device_name()} ({cuda.state()})", lambda: compare("cuda")
