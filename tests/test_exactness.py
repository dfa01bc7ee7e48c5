"""The first promise: the same samples as libjpeg-turbo, in every sample."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nnjpeg
from nnjpeg import NN_TABLE, QTable, reference

# Every test below runs on every instruction set.
pytestmark = pytest.mark.usefixtures("isa")

KINDS = ("noise", "binary", "flat", "near-limits", "smooth")
TABLES = ("ones", "255", "nn", "random", "fine", "scaled")


def assert_same(image, tables, colorspace, pillow_roundtrip, huffman_refusal):
    """True if compared, False if libjpeg cannot write the file."""
    try:
        expected = pillow_roundtrip(image, tables, colorspace)
    except huffman_refusal:
        return False
    np.testing.assert_array_equal(nnjpeg.roundtrip(image, tables, colorspace=colorspace), expected)
    return True


@pytest.mark.parametrize("colorspace", ["rgb", "ycbcr"])
@pytest.mark.parametrize("height", range(1, 25))
def test_every_small_size(height, colorspace, make_image, make_table, pillow_roundtrip, huffman_refusal):
    rng = np.random.default_rng([height, colorspace == "rgb"])
    compared = 0
    for width in range(1, 25):
        for kind, table in ((rng.choice(KINDS), rng.choice(TABLES)), ("noise", "nn")):
            image = make_image(kind, height, width, 3, rng)
            compared += assert_same(image, make_table(table, rng), colorspace, pillow_roundtrip, huffman_refusal)
    assert compared >= 40


@pytest.mark.parametrize("colorspace", ["rgb", "ycbcr"])
@pytest.mark.parametrize(("kind", "table"), list(itertools.product(KINDS, TABLES)))
def test_every_kind_and_table(kind, table, colorspace, make_image, make_table, pillow_roundtrip, huffman_refusal):
    rng = np.random.default_rng(1)
    compared = 0
    for _ in range(12):
        height, width = rng.integers(25, 120, 2)
        image = make_image(kind, height, width, 3, rng)
        compared += assert_same(image, make_table(table, rng), colorspace, pillow_roundtrip, huffman_refusal)
    assert compared


@pytest.mark.parametrize("size", [(1, 2000), (2000, 1), (511, 513), (1023, 769), (299, 299)])
@pytest.mark.parametrize("components", [1, 3])
def test_large_odd_sizes(size, components, make_image, pillow_roundtrip):
    image = make_image("noise", *size, components, np.random.default_rng(2))
    image = image[..., 0] if components == 1 else image
    np.testing.assert_array_equal(nnjpeg.roundtrip(image, NN_TABLE), pillow_roundtrip(image, NN_TABLE))


@pytest.mark.parametrize("colorspace", ["rgb", "ycbcr"])
@pytest.mark.parametrize("quality", [1, 10, 25, 50, 75, 90, 100])
def test_photographs(quality, colorspace, photos, pillow_roundtrip):
    for photo in photos.values():
        table = NN_TABLE.at_quality(quality)
        expected = pillow_roundtrip(photo, table, colorspace)
        np.testing.assert_array_equal(nnjpeg.roundtrip(photo, table, colorspace=colorspace), expected)


@pytest.mark.parametrize("colorspace", ["rgb", "ycbcr"])
def test_one_table_for_each_component(colorspace, make_image, pillow_roundtrip):
    rng = np.random.default_rng(3)
    for _ in range(20):
        image = make_image("noise", *rng.integers(1, 60, 2), 3, rng)
        tables = [QTable(rng.integers(8, 256, (8, 8))) for _ in range(3)]
        result = nnjpeg.roundtrip(image, tables, colorspace=colorspace)
        np.testing.assert_array_equal(result, pillow_roundtrip(image, tables, colorspace))
        np.testing.assert_array_equal(result, nnjpeg.roundtrip(image, np.array(tables), colorspace=colorspace))


@settings(
    max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_any_image_and_table(data, pillow_roundtrip, huffman_refusal):
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    components = data.draw(st.sampled_from([(), (3,)]))
    image = data.draw(hnp.arrays(np.uint8, shape + components))
    table = data.draw(hnp.arrays(np.int64, (8, 8), elements=st.integers(1, 255)))
    colorspace = data.draw(st.sampled_from(["rgb", "ycbcr"])) if components else "rgb"
    assert_same(image, table, colorspace, pillow_roundtrip, huffman_refusal)


def range_limit_cases():
    cases = json.loads(Path(__file__).with_name("range_limit_blocks.json").read_text())
    assert len(cases) >= 10
    return cases


def test_blocks_beyond_the_range_limit(pillow_roundtrip):
    signs = set()
    for case in range_limit_cases():
        block = np.array(case["samples"], np.uint8)
        steps = np.full((8, 8), case["step"])
        quantized = reference.quantize(reference.fdct(block.astype(np.int64) - 128), steps)
        unlimited = reference.idct(reference.dequantize(quantized, steps))
        beyond = unlimited[(unlimited < -512) | (unlimited > 511)]
        assert beyond.size, "the case does not test what it is for"
        signs |= set(np.sign(beyond))
        image = np.ascontiguousarray(np.broadcast_to(block[:, None, :, None], (8, 3, 8, 3)).reshape(8, 24, 3))
        np.testing.assert_array_equal(nnjpeg.roundtrip(image, steps), pillow_roundtrip(image, steps))
    assert signs == {-1, 1}


@pytest.mark.parametrize("colorspace", ["rgb", "ycbcr"])
def test_reference_is_libjpeg_too(colorspace, make_image, make_table, pillow_roundtrip, huffman_refusal):
    rng = np.random.default_rng(4)
    for kind, table in itertools.product(KINDS, TABLES):
        image, steps = make_image(kind, *rng.integers(1, 50, 2), 3, rng), make_table(table, rng)
        result = reference.roundtrip(image, steps, colorspace=colorspace)
        np.testing.assert_array_equal(nnjpeg.roundtrip(image, steps, colorspace=colorspace), result)
        try:
            np.testing.assert_array_equal(pillow_roundtrip(image, steps, colorspace), result)
        except huffman_refusal:
            continue


def test_colours_of_constant_blocks(pillow_roundtrip):
    """Constant blocks under a table of ones leave nothing but the colour transform and its inverse."""
    colours = np.random.default_rng(5).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    colours[0, :27] = np.array(list(itertools.product((0, 128, 255), repeat=3)))
    image = colours.repeat(8, axis=0).repeat(8, axis=1)
    result = nnjpeg.roundtrip(image, np.ones((8, 8), int), colorspace="ycbcr")
    np.testing.assert_array_equal(result[::8, ::8], reference.ycbcr_to_rgb(reference.rgb_to_ycbcr(colours)))
    np.testing.assert_array_equal(result, pillow_roundtrip(image, np.ones((8, 8), int), "ycbcr"))
