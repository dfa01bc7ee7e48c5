"""Chroma subsampling: 4:2:2 and 4:2:0 are Pillow's in every sample; 4:4:0, which Pillow cannot write, the definition's.

What OpenCV, torchvision and albumentations make of it is in test_subsampling_peers.py; layouts, strides, threads, work
in place and the two halves are in test_codec.py, for every coding.
"""

import io
import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from test_exactness import KINDS, TABLES, range_limit_cases

import nnjpeg
from nnjpeg import NN_TABLE, QTable, reference
from nnjpeg._arguments import SUBSAMPLINGS

# Every test below runs on every instruction set.
pytestmark = pytest.mark.usefixtures("isa")

SUBSAMPLED = ["4:2:2", "4:2:0", "4:4:0"]
WRITABLE = ["4:2:2", "4:2:0"]


@pytest.fixture(scope="module")
def assert_same(pillow_roundtrip, huffman_refusal):
    """A function that compares an image; it returns False if libjpeg cannot write the file."""

    def assert_same(image, tables, subsampling):
        coding = {"colorspace": "ycbcr", "subsampling": subsampling}
        try:
            if subsampling in WRITABLE:
                expected = pillow_roundtrip(image, tables, **coding)
            else:
                expected = reference.roundtrip(image, tables, **coding)
        except huffman_refusal:
            return False
        np.testing.assert_array_equal(nnjpeg.roundtrip(image, tables, **coding), expected)
        return True

    return assert_same


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
@pytest.mark.parametrize("height", range(1, 41))
def test_every_small_size(height, subsampling, make_image, make_table, assert_same):
    rng = np.random.default_rng([height, SUBSAMPLED.index(subsampling)])
    compared = 0
    for width in range(1, 41):
        kind, table = ("noise", "nn") if width % 3 else (rng.choice(KINDS), rng.choice(TABLES))
        compared += assert_same(make_image(kind, height, width, 3, rng), make_table(table, rng), subsampling)
    assert compared >= 30


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
@pytest.mark.parametrize(("kind", "table"), list(itertools.product(KINDS, TABLES)))
def test_every_kind_and_table(kind, table, subsampling, make_image, make_table, assert_same):
    rng = np.random.default_rng(1)
    compared = 0
    for _ in range(6):
        image = make_image(kind, *rng.integers(41, 150, 2), 3, rng)
        compared += assert_same(image, make_table(table, rng), subsampling)
    assert compared


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
@pytest.mark.parametrize("size", [(1, 2000), (2, 1999), (2000, 1), (1999, 2), (3, 640), (511, 513), (1023, 769)])
def test_large_odd_sizes(size, subsampling, make_image, assert_same):
    assert assert_same(make_image("noise", *size, 3, np.random.default_rng(2)), NN_TABLE, subsampling)


@pytest.mark.parametrize("subsampling", WRITABLE)
@pytest.mark.parametrize("quality", [1, 5, 10, 25, 49, 50, 51, 75, 90, 95, 99, 100])
def test_pillows_qualities_on_photographs(quality, subsampling, photos):
    luma, chroma = (t.at_quality(quality) for t in (QTable.standard_luminance(), QTable.standard_chrominance()))
    for photo in photos.values():
        photo = photo[: 401 - quality, : 300 + quality]
        file = io.BytesIO()
        Image.fromarray(photo).save(file, "JPEG", quality=quality, subsampling=subsampling)
        result = nnjpeg.roundtrip(photo, [luma, chroma, chroma], colorspace="ycbcr", subsampling=subsampling)
        np.testing.assert_array_equal(result, np.asarray(Image.open(file)))


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
def test_one_table_for_each_component(subsampling, make_image, assert_same):
    rng = np.random.default_rng(3)
    for _ in range(20):
        image = make_image("noise", *rng.integers(1, 70, 2), 3, rng)
        assert assert_same(image, [QTable(rng.integers(8, 256, (8, 8))) for _ in range(3)], subsampling)


@settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_any_image_and_tables(data, assert_same):
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    image = data.draw(hnp.arrays(np.uint8, (*shape, 3)))
    tables = list(data.draw(hnp.arrays(np.int64, (3, 8, 8), elements=st.integers(1, 255))))
    assert_same(image, tables, data.draw(st.sampled_from(SUBSAMPLED)))


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
def test_luma_beyond_the_range_limit(subsampling, assert_same):
    for case in range_limit_cases():
        block = np.array(case["samples"], np.uint8)
        image = np.ascontiguousarray(np.tile(block, (3, 3))[..., None].repeat(3, axis=2))
        assert assert_same(image, np.full((8, 8), case["step"]), subsampling)


# Opposite corners of the cube of colours: between them Cb or Cr goes from one end to the other.
OPPOSITE = [((0, 0, 255), (255, 255, 0)), ((255, 0, 0), (0, 255, 255))]


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
@pytest.mark.parametrize("colours", OPPOSITE)
def test_extreme_blocks_of_chroma(colours, subsampling, assert_same):
    """Every sample of chroma at an end of its range, in the signs of one coefficient or another, coarsely quantized."""
    colours, compared = np.array(colours, np.uint8), 0
    horizontal, vertical = SUBSAMPLINGS[subsampling]
    for index in range(64):
        coefficient = np.zeros((1, 1, 8, 8), np.float32)
        coefficient.flat[index] = 1
        signs = (nnjpeg.idct(coefficient) > 0).astype(int)
        image = colours[signs.repeat(vertical, axis=0).repeat(horizontal, axis=1)]
        image = np.tile(image, (2, 2, 1))
        for step in (1, 100, 255):
            compared += assert_same(image, np.full((8, 8), step), subsampling)
    assert compared > 100


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
def test_flat_images_keep_their_colour(subsampling):
    """Up- and downsampling of a constant give it again: nothing is left but the colour transform and its inverse."""
    colours = np.random.default_rng(5).integers(0, 256, (60, 1, 1, 3), dtype=np.uint8)
    expected = reference.ycbcr_to_rgb(reference.rgb_to_ycbcr(colours))
    for colour, one in zip(colours, expected, strict=True):
        image = np.ascontiguousarray(np.broadcast_to(colour, (21, 19, 3)))
        result = nnjpeg.roundtrip(image, np.ones((8, 8), int), colorspace="ycbcr", subsampling=subsampling)
        np.testing.assert_array_equal(result, np.broadcast_to(one, image.shape))


@pytest.mark.parametrize("subsampling", WRITABLE)
def test_the_reference_is_libjpeg_too(subsampling, make_image, make_table, pillow_roundtrip, huffman_refusal):
    rng = np.random.default_rng(4)
    coding = {"colorspace": "ycbcr", "subsampling": subsampling}
    compared = 0
    for kind, table in itertools.product(KINDS, TABLES):
        for size in ((rng.integers(1, 6), rng.integers(1, 50)), rng.integers(6, 60, 2)):
            image, steps = make_image(kind, *size, 3, rng), make_table(table, rng)
            try:
                expected = pillow_roundtrip(image, steps, **coding)
            except huffman_refusal:
                continue
            np.testing.assert_array_equal(reference.roundtrip(image, steps, **coding), expected)
            compared += 1
    assert compared > 40


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
@pytest.mark.parametrize("value", [0, 255])
def test_neighbours_of_the_image_in_memory_do_not_matter(subsampling, value, make_image):
    """The last column and row are repeated: what lies beyond them in the array has no part."""
    rng = np.random.default_rng(6)
    coding = {"colorspace": "ycbcr", "subsampling": subsampling}
    for _ in range(20):
        height, width = rng.integers(1, 50, 2)
        surroundings = np.full((height + 20, width + 40, 3), value, np.uint8)
        view = surroundings[10:-10, 20:-20]
        view[...] = make_image("noise", height, width, 3, rng)
        expected = nnjpeg.roundtrip(view.copy(), NN_TABLE, **coding)
        np.testing.assert_array_equal(nnjpeg.roundtrip(view, NN_TABLE, **coding), expected)
