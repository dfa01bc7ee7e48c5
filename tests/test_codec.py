"""Layouts, strides, in-place work, and the stages one by one."""

import functools
import itertools

import numpy as np
import pytest
import scipy.fft
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nnjpeg
from nnjpeg import NN_TABLE, QTable, codec, reference
from nnjpeg._arguments import SUBSAMPLINGS

# Every test below runs on every instruction set.
pytestmark = pytest.mark.usefixtures("isa")

LAYOUTS = ["HW", "HWC", "CHW", "NHWC", "NCHW"]
SUBSAMPLED = ["4:2:2", "4:2:0", "4:4:0"]
RGB = {"colorspace": "rgb"}
CODINGS = [RGB, {"colorspace": "ycbcr"}, *({"colorspace": "ycbcr", "subsampling": name} for name in SUBSAMPLED)]
LAYOUTS_AND_CODINGS = [("HW", RGB), *itertools.product(LAYOUTS[1:], CODINGS)]


def to_layout(batch, layout):
    """A batch (n, h, w, c) in another layout; its first image or component where the layout has no axis for them."""
    array = batch if "N" in layout else batch[0]
    array = array if "C" in layout else array[..., 0]
    source = ("N" if "N" in layout else "") + "HW" + ("C" if "C" in layout else "")
    return array.transpose([source.index(letter) for letter in layout])


@pytest.fixture(scope="module")
def batch():
    return np.random.default_rng(6).integers(0, 256, (3, 43, 70, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def expected(batch):
    """From a coding to what the definition makes of the batch."""
    return functools.cache(
        lambda colorspace, subsampling="4:4:4": np.stack(
            [reference.roundtrip(x, NN_TABLE, colorspace=colorspace, subsampling=subsampling) for x in batch]
        )
    )


@pytest.mark.parametrize("contiguous", [True, False])
@pytest.mark.parametrize(("layout", "coding"), LAYOUTS_AND_CODINGS)
def test_layouts(layout, coding, contiguous, batch, expected):
    image = to_layout(batch, layout)
    image = np.ascontiguousarray(image) if contiguous else image
    result = nnjpeg.roundtrip(image, NN_TABLE, layout=layout, **coding)
    np.testing.assert_array_equal(result, to_layout(expected(**coding), layout))
    assert result.dtype == np.uint8
    assert result.flags.owndata
    assert np.argsort(result.strides).tolist() == np.argsort(image.strides).tolist()


def test_default_layouts_are_channels_last(batch, expected):
    expected = expected(**RGB)
    np.testing.assert_array_equal(nnjpeg.roundtrip(batch, NN_TABLE), expected)
    np.testing.assert_array_equal(nnjpeg.roundtrip(batch[1], NN_TABLE), expected[1])
    np.testing.assert_array_equal(nnjpeg.roundtrip(batch[1, :, :, 0], NN_TABLE), expected[1, :, :, 0])


@pytest.mark.parametrize("components", [1, 2, 3, 4, 5, 17])
@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_any_number_of_components(components, layout):
    image = np.random.default_rng(7).integers(0, 256, (19, 33, components), dtype=np.uint8)
    expected = reference.roundtrip(image, NN_TABLE)
    image = image if layout == "HWC" else image.transpose(2, 0, 1)
    result = nnjpeg.roundtrip(image, NN_TABLE, layout=layout)
    np.testing.assert_array_equal(result if layout == "HWC" else result.transpose(1, 2, 0), expected)


steps = st.sampled_from([-3, -2, -1, 1, 2, 3])


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    size=st.tuples(st.integers(1, 45), st.integers(1, 45)),
    components=st.integers(1, 4),
    source=st.tuples(steps, steps, steps),
    target=st.none() | st.tuples(steps, steps, steps),
    axes=st.permutations([0, 1, 2]),
    coding=st.sampled_from(CODINGS),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_strides(size, components, source, target, axes, coding, seed):
    """Sliced, reversed and permuted views, in and out; what lies between the elements of `out` stays as it is."""
    components = 3 if coding["colorspace"] == "ycbcr" else components
    shape = (*size, components)
    rng = np.random.default_rng(seed)

    def view(slices):
        """A view of `shape` into a larger array, and that array."""
        permuted = tuple(shape[a] * abs(slices[a]) for a in axes)
        base = rng.integers(0, 256, permuted, dtype=np.uint8)
        return base, base.transpose(np.argsort(axes))[tuple(slice(None, None, s) for s in slices)]

    _, image = view(source)
    assert image.shape == shape
    expected = reference.roundtrip(image, NN_TABLE, **coding)
    if target is None:
        np.testing.assert_array_equal(nnjpeg.roundtrip(image, NN_TABLE, layout="HWC", **coding), expected)
        return
    base, out = view(target)
    surroundings = base.copy()
    assert nnjpeg.roundtrip(image, NN_TABLE, layout="HWC", out=out, **coding) is out
    np.testing.assert_array_equal(out, expected)
    out[...] = 0
    surroundings.transpose(np.argsort(axes))[tuple(slice(None, None, s) for s in target)] = 0
    np.testing.assert_array_equal(base, surroundings)


@pytest.mark.parametrize(("layout", "coding"), LAYOUTS_AND_CODINGS)
@pytest.mark.parametrize("same_object", [True, False])
def test_in_place(layout, coding, same_object, batch, expected):
    image = np.array(to_layout(batch, layout))
    out = image if same_object else image[...]
    assert nnjpeg.roundtrip(image, NN_TABLE, layout=layout, out=out, **coding) is out
    np.testing.assert_array_equal(image, to_layout(expected(**coding), layout))


def test_out_may_interleave_with_the_image_without_sharing():
    both = np.random.default_rng(8).integers(0, 256, (30, 40, 2), dtype=np.uint8)
    expected = reference.roundtrip(both[..., :1].copy(), NN_TABLE)
    nnjpeg.roundtrip(both[..., 0], NN_TABLE, out=both[..., 1])
    np.testing.assert_array_equal(both[..., 1], expected[..., 0])


def test_empty_batch():
    empty = np.empty((0, 3, 8, 8), np.uint8)
    assert nnjpeg.roundtrip(empty, NN_TABLE, layout="NCHW").shape == empty.shape
    coefficients = nnjpeg.forward(empty, NN_TABLE, layout="NCHW")
    assert coefficients.shape == (0, 3, 1, 1, 8, 8)
    assert nnjpeg.inverse(coefficients, NN_TABLE, layout="NCHW").shape == empty.shape
    coding = {"layout": "NCHW", "colorspace": "ycbcr", "subsampling": "4:2:0"}
    parts = nnjpeg.forward(empty, NN_TABLE, **coding)
    assert [part.shape for part in parts] == [(0, 1, 1, 8, 8)] * 3
    assert nnjpeg.inverse(parts, NN_TABLE, **coding).shape == empty.shape


def test_input_is_not_changed(image):
    before = image.copy()
    image.flags.writeable = False
    nnjpeg.roundtrip(image, NN_TABLE)
    np.testing.assert_array_equal(image, before)


def test_broadcast_input_is_read_as_it_is():
    image = np.broadcast_to(np.arange(40, dtype=np.uint8)[:, None], (20, 40, 3))
    np.testing.assert_array_equal(nnjpeg.roundtrip(image, NN_TABLE), reference.roundtrip(image, NN_TABLE))


def test_table_as_list_array_and_qtable_agree(image):
    grid = NN_TABLE.to_list()
    for table in (grid, np.array(grid), np.array(grid, np.float32), [NN_TABLE], [NN_TABLE] * 3, [grid] * 3):
        np.testing.assert_array_equal(nnjpeg.roundtrip(image, table), nnjpeg.roundtrip(image, NN_TABLE))


def test_an_array_as_table_is_what_it_holds_in_each_call(image):
    """Tables are remembered by what arrays hold: not by the array, and not of another type or shape."""
    table = np.full((8, 8), 16, ">u2")
    expected = {step: nnjpeg.roundtrip(image, QTable(np.full((8, 8), step))) for step in (16, 50)}
    for step in (16, 50, 16):
        table[:] = step
        np.testing.assert_array_equal(nnjpeg.roundtrip(image, table), expected[step])
    table[7, 7] = 0
    for _ in range(2):
        with pytest.raises(ValueError, match=r"got 0 at \[7, 7\]"):
            nnjpeg.roundtrip(image, table)
    other = np.full((8, 8), 16, ">u2").view("<u2")
    with pytest.raises(ValueError, match="got 4096"):
        nnjpeg.roundtrip(image, other)
    several = np.stack([np.full((8, 8), step) for step in (16, 50, 50)])
    assert (nnjpeg.roundtrip(image, several)[..., 1:] == expected[50][..., 1:]).all()
    with pytest.raises(ValueError, match="one for each of 1 components"):
        nnjpeg.roundtrip(image[..., 0], several)


def test_not_all_tables_are_remembered(image):
    for k in range(300):
        nnjpeg.roundtrip(image[:8, :8], np.full((8, 8), 1 + k % 255) + (np.indices((8, 8))[0] == 7) * (k > 254))
    kept = codec._quantizers_of_bytes.cache_info()
    assert kept.currsize <= 256 < kept.misses


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("num_threads", [None, *range(1, 9)])
def test_threads_change_nothing(num_threads, layout, coding):
    """Those of one image share its rows; in place, each must have read what the next one writes over."""
    rng = np.random.default_rng(9)
    for count, height, width in ((1, 517, 330), (9, 270, 130)):
        batch = to_layout(rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8), layout)
        options = {"layout": layout, **coding}
        expected = nnjpeg.roundtrip(batch, NN_TABLE, num_threads=1, **options)
        options["num_threads"] = num_threads
        np.testing.assert_array_equal(nnjpeg.roundtrip(batch, NN_TABLE, **options), expected)
        coefficients = nnjpeg.forward(batch, NN_TABLE, **options)
        alone = nnjpeg.forward(batch, NN_TABLE, **{**options, "num_threads": 1})
        for one, other in zip(coefficients, alone, strict=True):
            np.testing.assert_array_equal(one, other)
        result = nnjpeg.inverse(coefficients, NN_TABLE, size=(height, width), **options)
        np.testing.assert_array_equal(result, expected)
        nnjpeg.roundtrip(batch, NN_TABLE, out=batch, **options)
        np.testing.assert_array_equal(batch, expected)


# forward and inverse


@pytest.mark.parametrize("colorspace", ["rgb", "ycbcr"])
@pytest.mark.parametrize("size", [(1, 1), (8, 16), (21, 35)])
def test_forward_is_the_reference(size, colorspace, make_image):
    image = make_image("noise", *size, 3, np.random.default_rng(10))
    components = reference.rgb_to_ycbcr(image) if colorspace == "ycbcr" else image
    coefficients = nnjpeg.forward(image, NN_TABLE, colorspace=colorspace)
    assert coefficients.dtype == np.int16
    assert coefficients.shape == (-(-size[0] // 8), -(-size[1] // 8), 3, 8, 8)
    for c in range(3):
        blocks = reference.fdct(reference.to_blocks(components[..., c]) - 128)
        np.testing.assert_array_equal(coefficients[:, :, c], reference.quantize(blocks, np.asarray(NN_TABLE)))


@pytest.mark.parametrize("colorspace", ["rgb", "ycbcr"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_inverse_of_forward_is_the_roundtrip(layout, colorspace, batch):
    if colorspace == "ycbcr" and layout == "HW":
        pytest.skip("YCbCr has three components")
    image = to_layout(batch, layout)
    coefficients = nnjpeg.forward(image, NN_TABLE, layout=layout, colorspace=colorspace)
    result = nnjpeg.inverse(coefficients, NN_TABLE, size=(43, 70), layout=layout, colorspace=colorspace)
    np.testing.assert_array_equal(result, nnjpeg.roundtrip(image, NN_TABLE, layout=layout, colorspace=colorspace))


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
@pytest.mark.parametrize("size", [(1, 1), (8, 16), (17, 33), (21, 35), (9, 70)])
def test_forward_of_each_component_is_the_reference(size, subsampling, make_image):
    rng = np.random.default_rng(10)
    image = make_image("noise", *size, 3, rng)
    tables = [QTable(rng.integers(1, 256, (8, 8))) for _ in range(3)]
    coding = {"colorspace": "ycbcr", "subsampling": subsampling}
    coefficients = nnjpeg.forward(image, tables, **coding)
    assert isinstance(coefficients, tuple)
    expected = reference.forward(image, tables, **coding)
    for one, other in zip(coefficients, expected, strict=True):
        assert one.dtype == np.int16
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        nnjpeg.inverse(coefficients, tables, size=size, **coding), reference.roundtrip(image, tables, **coding)
    )
    whole = nnjpeg.inverse(coefficients, tables, **coding)
    assert whole.shape == (*(-(-length // 8) * 8 for length in size), 3)
    np.testing.assert_array_equal(whole, reference.inverse(expected, tables, whole.shape[:2], **coding))


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
@pytest.mark.parametrize("layout", ["HWC", "CHW", "NHWC", "NCHW"])
def test_inverse_of_subsampled_forward_is_the_roundtrip(layout, subsampling, batch):
    image = to_layout(batch, layout)
    coding = {"layout": layout, "colorspace": "ycbcr", "subsampling": subsampling}
    parts = nnjpeg.forward(image, NN_TABLE, **coding)
    leading = (3,) if "N" in layout else ()
    h, v = SUBSAMPLINGS[subsampling]
    chroma = (*leading, -(-43 // (8 * v)), -(-70 // (8 * h)), 8, 8)
    assert [part.shape for part in parts] == [(*leading, 6, 9, 8, 8), chroma, chroma]
    expected = nnjpeg.roundtrip(image, NN_TABLE, **coding)
    np.testing.assert_array_equal(nnjpeg.inverse(parts, NN_TABLE, size=(43, 70), **coding), expected)
    strided = [np.repeat(part, 2, axis=-1)[..., ::2] for part in parts]
    np.testing.assert_array_equal(nnjpeg.inverse(strided, NN_TABLE, size=(43, 70), **coding), expected)
    if layout[-1] == "C":
        del coding["layout"]
        np.testing.assert_array_equal(nnjpeg.inverse(parts, NN_TABLE, size=(43, 70), **coding), expected)


@pytest.mark.parametrize("shape", [(19, 30), (19, 30, 1), (2, 19, 30, 1)])
def test_grey_has_the_first_of_the_tables_of_a_colour_image(shape):
    grey = np.random.default_rng(17).integers(0, 256, shape, dtype=np.uint8)
    luma, chroma = QTable.standard_luminance(), QTable.standard_chrominance()
    tables, coding = (luma, chroma, chroma), {"colorspace": "ycbcr", "subsampling": "4:2:0"}
    expected = nnjpeg.roundtrip(grey, luma)
    coefficients = nnjpeg.forward(grey, tables, **coding)
    np.testing.assert_array_equal(coefficients, nnjpeg.forward(grey, luma))
    np.testing.assert_array_equal(nnjpeg.roundtrip(grey, tables, **coding), expected)
    np.testing.assert_array_equal(nnjpeg.inverse(coefficients, tables, size=(19, 30), **coding), expected)
    if len(shape) < 4:
        assert nnjpeg.encode(grey, tables, **coding) == nnjpeg.encode(grey, luma)
    with pytest.raises(ValueError, match="one for each of 1 components, got 3"):
        nnjpeg.roundtrip(grey, tables)


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
def test_grey_has_no_subsampling(subsampling, batch):
    coding = {"colorspace": "ycbcr", "subsampling": subsampling}
    for grey in (batch[0, ..., 0], batch[0, ..., :1]):
        np.testing.assert_array_equal(nnjpeg.roundtrip(grey, NN_TABLE, **coding), nnjpeg.roundtrip(grey, NN_TABLE))
        coefficients = nnjpeg.forward(grey, NN_TABLE, **coding)
        np.testing.assert_array_equal(coefficients, nnjpeg.forward(grey, NN_TABLE))
        result = nnjpeg.inverse(coefficients, NN_TABLE, size=(43, 70), **coding)
        np.testing.assert_array_equal(result, nnjpeg.roundtrip(grey, NN_TABLE))


def test_inverse_takes_any_coefficients():
    """Far beyond what an 8-bit image gives, the result is that of unbounded integers, clamped."""
    rng = np.random.default_rng(11)
    table = QTable(rng.integers(1, 256, (8, 8)))
    coefficients = rng.integers(-32768, 32768, (40, 5, 8, 8)).astype(np.int16)
    coefficients[0, 0] = -32768
    coefficients[0, 1] = 32767
    exact = reference.idct(reference.dequantize(coefficients.astype(np.int64), np.asarray(table)))
    expected = reference.from_blocks(reference.range_limit(exact + 128), (320, 40))
    np.testing.assert_array_equal(nnjpeg.inverse(coefficients, table), expected)
    cropped = reference.from_blocks(reference.range_limit(exact[::-1, ::2] + 128), (315, 17))
    np.testing.assert_array_equal(nnjpeg.inverse(coefficients[::-1, ::2], table, size=(315, 17)), cropped)


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
def test_inverse_takes_any_coefficients_with_subsampling(subsampling):
    rng = np.random.default_rng(16)
    h, v = SUBSAMPLINGS[subsampling]
    coding = {"colorspace": "ycbcr", "subsampling": subsampling}
    for size in ((1, 1), (13, 70), (64, 33)):
        tables = [QTable(rng.integers(1, 256, (8, 8))) for _ in range(3)]
        grids = [(-(-size[0] // (8 * y)), -(-size[1] // (8 * x)), 8, 8) for x, y in ((1, 1), (h, v), (h, v))]
        parts = tuple(rng.integers(-32768, 32768, grid).astype(np.int16) for grid in grids)
        expected = reference.inverse([part.astype(np.int64) for part in parts], tables, size, **coding)
        np.testing.assert_array_equal(nnjpeg.inverse(parts, tables, size=size, **coding), expected)


# dct and idct


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("size", [(8, 8), (43, 70), (1, 9)])
def test_dct_is_scipys(dtype, size):
    image = np.random.default_rng(12).uniform(0, 255, (*size, 3)).astype(dtype)
    padded = np.pad(image, ((0, -size[0] % 8), (0, -size[1] % 8), (0, 0)), mode="edge").astype(np.float64)
    blocks = padded.reshape(padded.shape[0] // 8, 8, -1, 8, 3).transpose(0, 2, 4, 1, 3)
    expected = scipy.fft.dctn(blocks, axes=(3, 4), norm="ortho")
    result = nnjpeg.dct(image)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=2e-4)


def test_idct_inverts_dct():
    image = np.random.default_rng(13).normal(0, 100, (2, 3, 43, 70)).astype(np.float32)
    result = nnjpeg.idct(nnjpeg.dct(image, layout="NCHW"), size=(43, 70), layout="NCHW")
    np.testing.assert_allclose(result, image, atol=2e-4)


def test_dct_is_linear():
    a, b = np.random.default_rng(14).integers(0, 256, (2, 30, 30, 3), dtype=np.uint8)
    difference = a.astype(np.float32) - b
    np.testing.assert_allclose(nnjpeg.dct(a) - nnjpeg.dct(b), nnjpeg.dct(difference), atol=1e-3)


def test_dct_reads_any_strides_and_unaligned_floats():
    image = np.random.default_rng(15).normal(size=(30, 44, 3)).astype(np.float32)
    packed = np.zeros(image.shape, np.dtype([("pad", np.uint8), ("value", np.float32)]))
    packed["value"] = image
    np.testing.assert_array_equal(nnjpeg.dct(packed["value"]), nnjpeg.dct(image))
    np.testing.assert_array_equal(nnjpeg.dct(image[::-2, ::3]), nnjpeg.dct(image[::-2, ::3].copy()))


def test_default_table_is_explained_by_its_figures(photos):
    """The share of AC energy that the documentation of NN_TABLE gives."""
    coefficients = np.concatenate([nnjpeg.dct(photo).reshape(-1, 8, 8) for photo in photos.values()])
    energy = (coefficients.astype(np.float64) ** 2).mean(axis=0)
    energy[0, 0] = 0
    share = energy[np.asarray(NN_TABLE) == 16].sum() / energy.sum()
    assert round(100 * share) == 77
