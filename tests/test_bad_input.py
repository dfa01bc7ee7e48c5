"""Bad input to the array functions: each error names the argument, the value and what is accepted."""

import io
import re

import numpy as np
import pytest
from PIL import Image

import nnjpeg
from nnjpeg import NN_TABLE, QTable, _core
from nnjpeg._arguments import LAYOUTS

X = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)


YCBCR = {"colorspace": "ycbcr"}
X420 = {**YCBCR, "subsampling": "4:2:0"}


def parts():
    return nnjpeg.forward(X, NN_TABLE, **X420)


def read_only(array):
    array.flags.writeable = False
    return array


def overlapping():
    base = np.zeros((17, 24, 3), np.uint8)
    return nnjpeg.roundtrip(base[:-1], NN_TABLE, out=base[1:])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nnjpeg.roundtrip(X / 255, NN_TABLE), TypeError, "image must have dtype uint8, got float64; a float"),
        (lambda: nnjpeg.roundtrip(X.astype(np.int64), NN_TABLE), TypeError, "dtype uint8, got int64"),
        (lambda: nnjpeg.roundtrip(X.astype(np.int8), NN_TABLE), TypeError, "dtype uint8, got int8"),
        (lambda: nnjpeg.roundtrip(X.astype(bool), NN_TABLE), TypeError, "dtype uint8, got bool"),
        (lambda: nnjpeg.roundtrip(X.astype(object), NN_TABLE), TypeError, "dtype uint8, got object"),
        (lambda: nnjpeg.roundtrip(X.tolist(), NN_TABLE), TypeError, "numpy.ndarray, got list"),
        (lambda: nnjpeg.roundtrip(None, NN_TABLE), TypeError, "numpy.ndarray, got NoneType"),
        (lambda: nnjpeg.roundtrip(Image.new("RGB", (8, 8)), NN_TABLE), TypeError, "Image; .*nn_jpeg takes PIL images"),
        (lambda: nnjpeg.roundtrip(X, 75), ValueError, r"got 75; if that is a quality, .* QTable.at_quality"),
        (lambda: nnjpeg.roundtrip(X, {0: [1] * 64}), TypeError, r"got a dict; .* image.quantization.values\(\)"),
        (lambda: nnjpeg.roundtrip(X[0, 0], NN_TABLE), ValueError, r"2 \(HW\), 3 .* got shape \(3,\)"),
        (lambda: nnjpeg.roundtrip(X[None, None], NN_TABLE), ValueError, r"got shape \(1, 1, 16, 24, 3\)"),
        (lambda: nnjpeg.roundtrip(np.uint8(1)[...], NN_TABLE), (ValueError, TypeError), "image must"),
        (lambda: nnjpeg.roundtrip(X[:0], NN_TABLE), ValueError, r"at least 1, got shape \(0, 24, 3\)"),
        (lambda: nnjpeg.roundtrip(X[:, :, :0], NN_TABLE), ValueError, "at least 1, got shape"),
        (lambda: nnjpeg.roundtrip(X.transpose(2, 0, 1), NN_TABLE), ValueError, "has 24 components if .* layout="),
        (lambda: nnjpeg.roundtrip(X, NN_TABLE, layout="WHC"), ValueError, "layout must be one of .* got 'WHC'"),
        (lambda: nnjpeg.roundtrip(X, NN_TABLE, layout="NCHW"), ValueError, "NCHW must have 4 dimensions"),
        (lambda: nnjpeg.roundtrip(X, NN_TABLE, colorspace="yuv"), ValueError, "colorspace must be .* got 'yuv'"),
        (lambda: nnjpeg.roundtrip(X[..., :2], NN_TABLE, colorspace="ycbcr"), ValueError, r"or 1 \(grey\), .* got 2"),
        (lambda: nnjpeg.roundtrip(X, NN_TABLE, subsampling="4:2:0"), ValueError, "needs colorspace 'ycbcr', got 'rgb'"),
        (lambda: nnjpeg.forward(X, NN_TABLE, subsampling="4:2:0"), ValueError, "needs colorspace 'ycbcr', got 'rgb'"),
        (lambda: nnjpeg.roundtrip(X, NN_TABLE, subsampling="4:1:1", **YCBCR), ValueError, "'4:4:0', got '4:1:1'"),
        (lambda: nnjpeg.roundtrip(X, NN_TABLE, subsampling=420, **YCBCR), ValueError, "'4:4:0', got 420"),
        (lambda: nnjpeg.forward(X, NN_TABLE, num_threads=0), ValueError, r"num_threads must be .* got 0"),
        (lambda: nnjpeg.inverse(parts(), NN_TABLE), TypeError, "one array for subsampling '4:4:4', .* got a tuple"),
        (lambda: nnjpeg.inverse(nnjpeg.forward(X, NN_TABLE), NN_TABLE, **X420), TypeError, "three arrays .* '4:2:0'"),
        (lambda: nnjpeg.inverse(parts()[:2], NN_TABLE, **X420), ValueError, "one for each of Y, Cb and Cr, got 2"),
        (lambda: nnjpeg.inverse((X, *parts()[1:]), NN_TABLE, **X420), TypeError, "dtype int16, got uint8"),
        (
            lambda: nnjpeg.inverse(parts()[::-1], NN_TABLE, **X420),
            ValueError,
            r"\(1, 2, 8, 8\), \(1, 1, 8, 8\), .*, got",
        ),
        (lambda: nnjpeg.inverse(parts(), NN_TABLE, layout="HW", **X420), ValueError, "three components, got 'HW'"),
        (lambda: nnjpeg.inverse(parts(), NN_TABLE, layout="NHWC", **X420), ValueError, "must have 4 dimensions"),
        (lambda: nnjpeg.inverse(parts(), NN_TABLE, size=(17, 24), **X420), ValueError, r"9\.\.16 .* got 17 x 24"),
        (lambda: nnjpeg.roundtrip(X, np.arange(1, 65)), ValueError, "64 numbers in one row"),
        (lambda: nnjpeg.roundtrip(X, [NN_TABLE] * 2), ValueError, "each of 3 components, got 2"),
        (lambda: nnjpeg.roundtrip(X, np.ones((4, 8, 8), int)), ValueError, "each of 3 components, got 4"),
        (lambda: nnjpeg.roundtrip(X, np.ones((0, 8, 8), int)), ValueError, "each of 3 components, got 0"),
        (lambda: nnjpeg.roundtrip(X, [NN_TABLE, None, NN_TABLE]), TypeError, "must hold integers"),
        (lambda: nnjpeg.roundtrip(X, NN_TABLE, num_threads=0), ValueError, r"num_threads must be .* got 0"),
        (lambda: nnjpeg.roundtrip(X, NN_TABLE, num_threads=1.5), TypeError, "num_threads must be .* got 1.5"),
        (lambda: nnjpeg.encode(X, NN_TABLE, optimize=1), TypeError, "optimize must be True or False, got 1"),
        (lambda: nnjpeg.coded_size(X, NN_TABLE, optimize="no"), TypeError, "optimize must be True or False, got 'no'"),
        (lambda: nnjpeg.roundtrip(X, NN_TABLE, out=X[:8].copy()), ValueError, r"shape of image, \(16, 24, 3\), got"),
        (lambda: nnjpeg.roundtrip(X, NN_TABLE, out=np.zeros(X.shape)), TypeError, "out must have dtype uint8"),
        (lambda: nnjpeg.roundtrip(X, NN_TABLE, out=[1]), TypeError, "out must be a numpy.ndarray"),
        (lambda: nnjpeg.roundtrip(X, NN_TABLE, out=read_only(X.copy())), ValueError, "out must be writable"),
        (lambda: nnjpeg.roundtrip(y := read_only(X.copy()), NN_TABLE, out=y), ValueError, "out must be writable"),
        (overlapping, ValueError, "partly overlapping"),
        (lambda: nnjpeg.roundtrip(y := X.copy(), NN_TABLE, out=y[::-1]), ValueError, "partly overlapping"),
        (lambda: nnjpeg.forward(X / 255, NN_TABLE), TypeError, "image must have dtype uint8"),
        (lambda: nnjpeg.forward(X[..., :2], NN_TABLE, colorspace="ycbcr"), ValueError, r"\(grey\), .* got 2"),
        (lambda: nnjpeg.inverse(X, NN_TABLE), TypeError, "coefficients must have dtype int16, got uint8"),
        (lambda: nnjpeg.inverse(np.zeros((2, 2, 8), np.int16), NN_TABLE), ValueError, r"end in two axes of length 8"),
        (lambda: nnjpeg.inverse(np.zeros((8, 8), np.int16), NN_TABLE), ValueError, "coefficients .* dimensions"),
        (lambda: nnjpeg.dct(X.astype(np.float64)), TypeError, "uint8 or float32, got float64"),
        (lambda: nnjpeg.dct(X.astype(">f4")), TypeError, "uint8 or float32, got >f4"),
        (lambda: nnjpeg.idct(np.zeros((1, 1, 8, 8))), TypeError, "float32, got float64"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("size", [(8, 16), (17, 24), (16, 25), (0, 24), (16, 16)])
def test_size_must_fit_the_blocks(size):
    coefficients = nnjpeg.forward(X, NN_TABLE)
    with pytest.raises(ValueError, match=rf"size must have a height in 9\.\.16 .* got {size[0]} x {size[1]}"):
        nnjpeg.inverse(coefficients, NN_TABLE, size=size)


@pytest.mark.parametrize("size", [16, (16,), (16, 24, 3), ("16", 24)])
def test_size_must_be_a_pair(size):
    with pytest.raises(TypeError, match="size must be a pair of integers"):
        nnjpeg.inverse(nnjpeg.forward(X, NN_TABLE), NN_TABLE, size=size)


def test_out_must_not_be_broadcast():
    out = np.lib.stride_tricks.as_strided(np.zeros(3, np.uint8), X.shape, (0, 0, 1), writeable=True)
    with pytest.raises(ValueError, match="element of its own"):
        nnjpeg.roundtrip(X, NN_TABLE, out=out)


def test_a_failed_call_leaves_out_alone():
    out = np.full_like(X, 7)
    with pytest.raises(ValueError, match="each of 3 components"):
        nnjpeg.roundtrip(X, [QTable.nn(4)] * 2, out=out)
    assert (out == 7).all()


def test_tables_of_a_picture_by_the_advice_of_the_error():
    """Pillow's lists are in natural order, and so is what the error says to do with them."""
    table = QTable(np.arange(1, 65).reshape(8, 8))
    file = io.BytesIO(nnjpeg.encode(X, table))
    with Image.open(file) as image:
        numbers = image.quantization[0]
    with pytest.raises(ValueError, match="Pillow image's quantization") as caught:
        nnjpeg.roundtrip(X, numbers)
    advice = re.search(r"use (numpy\.reshape\(.*?\)\))", str(caught.value)).group(1)
    assert QTable(eval(advice, {"numpy": np, "numbers": numbers})) == table


# The binding trusts nobody with its memory.


def quantizers(*shape):
    return _core.Quantizers(np.full(shape, 16, np.uint16))


@pytest.mark.parametrize(
    "function", ["roundtrip", "roundtrip_f32", "cubic_backward_f32", "forward", "inverse", "dct", "idct"]
)
def test_the_binding_takes_no_none(function):
    arguments = {
        "roundtrip": (None, None, LAYOUTS["HWC"], quantizers(1, 1, 64), False, 1),
        "roundtrip_f32": (None, None, LAYOUTS["HWC"], quantizers(1, 1, 64), False, False, False, 1),
        "cubic_backward_f32": (None, None, None, LAYOUTS["HWC"], quantizers(1, 1, 64), False, 1),
        "forward": (None, (None,), LAYOUTS["HWC"], quantizers(1, 1, 64), False, 1),
        "inverse": ((None,), None, LAYOUTS["HWC"], quantizers(1, 1, 64), False, 1),
        "dct": (None, None, LAYOUTS["HWC"]),
        "idct": (None, None, LAYOUTS["HWC"]),
    }[function]
    with pytest.raises(TypeError, match="NoneType"):
        getattr(_core, function)(*arguments)
    with pytest.raises(TypeError, match="NoneType"):
        _core.roundtrip(X, None, None, quantizers(1, 1, 64), False, 1)
    with pytest.raises(TypeError, match="NoneType"):
        _core.roundtrip(X, None, LAYOUTS["HWC"], None, False, 1)


@pytest.mark.parametrize("shape", [(0, 1, 64), (1, 0, 64), (1, 1, 63), (1, 1, 0)])
def test_the_binding_takes_no_missing_tables(shape):
    with pytest.raises(ValueError, match="at least one table"):
        quantizers(*shape)


@pytest.mark.parametrize("shape", [(2, 1, 64), (1, 2, 64), (3, 3, 64)])
def test_the_binding_takes_as_many_tables_as_fit(shape):
    with pytest.raises(ValueError, match=f"{shape[0]} x {shape[1]} tables do not fit 1 images of 3 components"):
        _core.roundtrip(X, None, LAYOUTS["HWC"], quantizers(*shape), False, 1)
