"""`coded_size` against the length of the file that Pillow's libjpeg-turbo writes."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nnjpeg
from nnjpeg import NN_TABLE, QTable
from nnjpeg.qtable import ZIGZAG

EIGHTS = np.full((8, 8), 8)
CODINGS = [{}, *({"colorspace": "ycbcr", "subsampling": name} for name in ("4:4:4", "4:2:2", "4:2:0"))]
KINDS = ["noise", "binary", "flat", "near-limits", "smooth", "photograph", "dark"]
TABLES = ["ones", "255", "nn", "random", "fine", "scaled"]


@pytest.fixture(scope="module")
def make_any_image(make_image, photos):
    """`make_image` that knows photographs and dark images too."""
    sources = list(photos.values())

    def make(kind, height, width, components, rng):
        if kind == "photograph":
            photo = sources[int(rng.integers(len(sources)))]
            y, x = rng.integers(photo.shape[0] - height + 1), rng.integers(photo.shape[1] - width + 1)
            return photo[y : y + height, x : x + width, :components]
        if kind == "dark":
            return rng.integers(0, 9, (height, width, components)).astype(np.uint8)
        return make_image(kind, height, width, components, rng)

    return make


def lay_out(image, rng):
    """The same pixels, in any layout and with any strides: an array and the name of its layout."""
    components = image.shape[2]
    way = int(rng.integers(8))
    if way == 0:
        return np.ascontiguousarray(image[..., ::-1])[..., ::-1], "HWC"
    if way == 1:
        return np.ascontiguousarray(image[:, ::-1])[:, ::-1], "HWC"
    if way == 2:
        return np.ascontiguousarray(image[::-1])[::-1], "HWC"
    if way == 3:
        return np.concatenate([image, image[..., :1]], axis=2)[..., :components], "HWC"
    if way == 4:
        return np.repeat(image, 2, axis=1)[:, ::2], "HWC"
    if way == 5:
        return np.ascontiguousarray(image.transpose(2, 0, 1)), "CHW"
    if way == 6:
        return np.ascontiguousarray(image.transpose(1, 0, 2)).transpose(1, 0, 2), "HWC"
    return (image[..., 0], "HW") if components == 1 else (image.transpose(2, 0, 1), "CHW")


def make_tables(kind, components, rng, make):
    count = components if rng.random() < 0.3 else 1
    tables = [make(kind, rng) for _ in range(count)]
    if count > 1 and rng.random() < 0.5:  # components share them in any pattern
        tables = [tables[int(rng.integers(2))] for _ in range(count)]
    return tables if count > 1 else tables[0]


def check(image, tables, layout=None, **coding):
    for optimize in (False, True):
        size = nnjpeg.coded_size(image, tables, layout=layout, optimize=optimize, **coding)
        assert type(size) is int
        assert size == len(nnjpeg.encode(image, tables, layout=layout, optimize=optimize, **coding))


def test_images_of_all_kinds(make_any_image, make_table):
    rng = np.random.default_rng(0)
    for i in range(5000):
        height, width = rng.integers(1, 71, 2)
        components = 1 if i % 5 == 0 else 3
        image = make_any_image(KINDS[i % len(KINDS)], int(height), int(width), components, rng)
        tables = make_tables(TABLES[int(rng.integers(len(TABLES)))], components, rng, make_table)
        array, layout = lay_out(image, rng)
        check(array, tables, layout, **CODINGS[int(rng.integers(len(CODINGS)))])


def test_every_size(make_image):
    """Up to five MCUs, so that dummy blocks are where they can be."""
    rng = np.random.default_rng(1)
    for height in range(1, 41, 3):
        for width in range(1, 41):
            image = make_image("noise", height, width, 3, rng)
            check(image, NN_TABLE, colorspace="ycbcr", subsampling=["4:2:2", "4:2:0"][width % 2])


def test_every_instruction_set(isa, make_image, make_table):
    rng = np.random.default_rng(2)
    for i in range(60):
        image = make_image(["noise", "smooth"][i % 2], *(int(n) for n in rng.integers(1, 200, 2)), 3, rng)
        check(image, make_table("scaled", rng), **CODINGS[i % 4])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    image=hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 3]))),
    tables=hnp.arrays(np.int64, (3, 8, 8), elements=st.integers(1, 255)),
    coding=st.sampled_from(CODINGS),
)
def test_a_property(image, tables, coding):
    check(image, tables[: image.shape[2]], **coding)


@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_photographs(photos, coding):
    """Of several strips each, and of more blocks than an image may have to be transformed only once."""
    luma, chroma = QTable.standard_luminance(), QTable.standard_chrominance()
    for quality, photo in zip((20, 75, 95, 100), photos.values(), strict=True):
        check(photo, [luma.at_quality(quality), *[chroma.at_quality(quality)] * 2], **coding)


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_a_batch_has_a_size_for_each_image(photos, coding, layout, optimize):
    batch = np.stack([photos["coffee"][i : i + 150, i : i + 175] for i in range(0, 200, 16)])
    expected = [len(nnjpeg.encode(image, NN_TABLE, optimize=optimize, **coding)) for image in batch]
    array = batch if layout == "NHWC" else batch.transpose(0, 3, 1, 2)
    for num_threads in (1, 2, 5, None):
        sizes = nnjpeg.coded_size(array, NN_TABLE, layout=layout, optimize=optimize, num_threads=num_threads, **coding)
        assert sizes.dtype == np.int64
        assert sizes.tolist() == expected


def test_a_batch_of_none():
    sizes = nnjpeg.coded_size(np.empty((0, 8, 8, 3), np.uint8), NN_TABLE)
    assert (sizes.shape, sizes.dtype) == ((0,), np.int64)


def test_grey_has_no_subsampling(image):
    sizes = {
        nnjpeg.coded_size(image[..., 0], NN_TABLE, colorspace=colorspace, subsampling=subsampling)
        for colorspace, subsampling in [("rgb", "4:4:4"), ("ycbcr", "4:4:4"), ("ycbcr", "4:2:0"), ("ycbcr", "4:4:0")]
    }
    assert sizes == {len(nnjpeg.encode(image[..., 0], NN_TABLE))}


def test_the_longest_side():
    image = np.random.default_rng(0).integers(0, 256, (1, 65500), dtype=np.uint8)
    check(image, NN_TABLE)
    check(image.T, NN_TABLE)


def fibonacci_image(levels):
    """A grey image whose symbols are so rare that Huffman's tree has `levels` levels, the most of so many symbols.

    Each has the count of all that are rarer but one, which gives Fibonacci's numbers, or nearly so. The image's
    coefficients are multiples of 8.
    """
    counts, ties = [1, 1], True
    while len(counts) < levels:
        counts.append(1 + sum(counts[:-1]) + (not ties))  # the first 1 is the symbol's that is reserved
        if len(counts) == levels - 4:  # those of blocks, of which each has 18 other symbols or so, at their end
            side = int(counts[-1] ** 0.5)
            rows = -(-counts[-1] // side)
            counts[-1] = rows * side
            ties = False  # which this symbol, the smallest, would lose
    blocks = counts.pop(-5)
    symbols = np.array([(run, size) for run in range(16) for size in (1, 2, 3)], np.int32)[: len(counts)]
    rng = np.random.default_rng(0)
    run, size = rng.permutation(np.repeat(symbols, counts[::-1], axis=0)).T
    starts = np.linspace(0, len(run), blocks, endpoint=False).astype(np.int32)
    block = np.repeat(np.arange(blocks, dtype=np.int32), np.diff(starts, append=len(run)))
    ends = np.cumsum(run + 1, dtype=np.int32)
    places = ends - (ends - run - 1)[starts][block]
    assert places.max() < 63
    coefficients = np.zeros((blocks, 64), np.int16)
    coefficients[block, np.argsort(ZIGZAG.ravel())[places]] = rng.choice([-1, 1], len(run)) << (size - 1)
    grid = coefficients.reshape(rows, side, 8, 8)
    image = nnjpeg.inverse(grid, EIGHTS)
    np.testing.assert_array_equal(nnjpeg.forward(image, EIGHTS), grid)
    return image


@pytest.mark.parametrize("levels", [15, 16, 17, 18, 20, 23])
def test_codes_longer_than_sixteen_bits_are_shortened(levels):
    check(fibonacci_image(levels), EIGHTS)


@pytest.mark.slow(20)
def test_trees_of_more_than_32_levels_are_given_up():
    """By libjpeg too. There are standard tables for such an image."""
    check(fibonacci_image(32), EIGHTS)
    image = fibonacci_image(33)
    assert nnjpeg.coded_size(image, EIGHTS) == len(nnjpeg.encode(image, EIGHTS))
    with pytest.raises(ValueError, match="libjpeg could not code the image with this qtable"):
        nnjpeg.encode(image, EIGHTS, optimize=True)
    with pytest.raises(ValueError, match="libjpeg could not code an image with Huffman tables of its own"):
        nnjpeg.coded_size(image, EIGHTS, optimize=True)


def test_it_raises_as_encode_does(image):
    calls = [
        lambda f: f(image[..., :2], NN_TABLE),
        lambda f: f(image / 255, NN_TABLE),
        lambda f: f(image.tolist(), NN_TABLE),
        lambda f: f(image, [NN_TABLE] * 2),
        lambda f: f(image, 0 * EIGHTS),
        lambda f: f(image, NN_TABLE, subsampling="4:2:0"),
        lambda f: f(image, NN_TABLE, subsampling="420"),
        lambda f: f(image, NN_TABLE, colorspace="ycbcr", subsampling="4:4:0"),
        lambda f: f(image[..., 0], NN_TABLE, colorspace="cmyk"),
        lambda f: f(image, NN_TABLE, layout="CWH"),
        lambda f: f(image[0, 0], NN_TABLE),
        lambda f: f(image[:0], NN_TABLE),
        lambda f: f(np.zeros((1, 65501), np.uint8), NN_TABLE),
        lambda f: f(np.zeros((65535, 1), np.uint8), NN_TABLE),
    ]
    for call in calls:
        with pytest.raises((TypeError, ValueError)) as expected:
            call(nnjpeg.encode)
        with pytest.raises(type(expected.value)) as error:
            call(nnjpeg.coded_size)
        assert str(error.value) == str(expected.value)


@pytest.mark.parametrize("num_threads", [0, 1025])
def test_bad_numbers_of_threads(image, num_threads):
    with pytest.raises(ValueError, match="num_threads must be"):
        nnjpeg.coded_size(image, NN_TABLE, num_threads=num_threads)
