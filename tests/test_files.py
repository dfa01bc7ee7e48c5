import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

import nnjpeg
from nnjpeg import NN_TABLE, QTable


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    image=hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]))),
    table=hnp.arrays(np.int64, (8, 8), elements=st.integers(4, 255)),
    colorspace=st.sampled_from(["rgb", "ycbcr"]),
)
def test_a_file_holds_what_the_roundtrip_gives(image, table, colorspace):
    colorspace = "rgb" if image.shape[2] == 1 else colorspace
    expected = nnjpeg.roundtrip(image, table, colorspace=colorspace)
    decoded = nnjpeg.decode(nnjpeg.encode(image, table, colorspace=colorspace))
    np.testing.assert_array_equal(decoded, expected if image.shape[2] == 3 else expected[..., 0])


@pytest.mark.parametrize("layout", ["HW", "HWC", "CHW"])
@pytest.mark.parametrize("components", [1, 3])
def test_layouts(layout, components, tmp_path):
    if layout == "HW" and components == 3:
        pytest.skip("HW has one component")
    image = np.random.default_rng(0).integers(0, 256, (21, 35, components), dtype=np.uint8)
    image = {"HW": image[..., 0], "HWC": image, "CHW": image.transpose(2, 0, 1)}[layout]
    path = tmp_path / "image.jpg"
    path.write_bytes(nnjpeg.encode(image, NN_TABLE, layout=layout))
    expected = nnjpeg.roundtrip(image, NN_TABLE, layout=layout)
    for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes())):
        np.testing.assert_array_equal(nnjpeg.decode(source, layout=layout), expected)


def test_the_file_is_a_baseline_jpeg_in_rgb_with_the_table(image):
    data = nnjpeg.encode(image, NN_TABLE)
    assert b"\xff\xc0" in data
    assert b"\xff\xc2" not in data
    with Image.open(io.BytesIO(data)) as file:
        assert file.info["adobe_transform"] == 0
        assert {tuple(table) for table in file.quantization.values()} == {tuple(np.ravel(NN_TABLE))}
        assert [component[1:3] for component in file.layer] == [(1, 1)] * 3


def test_one_table_for_each_component(image):
    tables = [QTable(np.full((8, 8), step)) for step in (10, 60, 200)]
    for colorspace in ("rgb", "ycbcr"):
        decoded = nnjpeg.decode(nnjpeg.encode(image, tables, colorspace=colorspace))
        np.testing.assert_array_equal(decoded, nnjpeg.roundtrip(image, tables, colorspace=colorspace))


def test_decode_reads_ordinary_jpegs(tmp_path, photos):
    Image.fromarray(photos["coffee"]).save(tmp_path / "x.jpg", quality=80, progressive=True)
    np.testing.assert_array_equal(nnjpeg.decode(tmp_path / "x.jpg"), np.asarray(Image.open(tmp_path / "x.jpg")))


def jpeg(mode="RGB", **options):
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, len(mode)), dtype=np.uint8)
    Image.fromarray(noise, mode=mode).save(file, "JPEG", **options) if mode != "CMYK" else Image.new(
        "CMYK", (64, 64)
    ).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a JPEG image"),
        (b"These are words, not pixels.", "not a JPEG image"),
        (jpeg()[:1500], "damaged JPEG image"),
        (jpeg()[:30], "JPEG image"),
        (jpeg("CMYK"), "CMYK, accepted are grey, RGB and YCbCr"),
    ],
)
def test_bad_files(data, message, tmp_path):
    path = tmp_path / "text.jpg"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        nnjpeg.decode(path)
    assert str(path) in str(error.value)
    with pytest.raises(ValueError, match=message):
        nnjpeg.decode(data)


def test_a_file_that_promises_too_many_pixels():
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\xff\xdc\xff\xdc"
    with pytest.raises(ValueError, match="more pixels than Pillow trusts"):
        nnjpeg.decode(bytes(data))


def test_a_png_is_not_a_jpeg(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "image.png")
    with pytest.raises(ValueError, match="not a JPEG image"):
        nnjpeg.decode(tmp_path / "image.png")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        nnjpeg.decode(tmp_path / "none.jpg")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: nnjpeg.encode(x[None], NN_TABLE), ValueError, "must be one image"),
        (lambda x: nnjpeg.encode(x[..., :2], NN_TABLE), ValueError, "1 or 3 components .* got 2"),
        (lambda x: nnjpeg.encode(x / 255, NN_TABLE), TypeError, "uint8, got float64"),
        (lambda x: nnjpeg.encode(x, [NN_TABLE] * 2), ValueError, "each of 3 components, got 2"),
        (lambda x: nnjpeg.encode(x[..., :1], NN_TABLE, colorspace="ycbcr"), ValueError, "needs 3 components, got 1"),
        (lambda x: nnjpeg.encode(x[..., 0], NN_TABLE, colorspace="cmyk"), ValueError, "colorspace must be"),
        (lambda x: nnjpeg.encode(np.zeros((1, 65536), np.uint8), NN_TABLE), ValueError, "at most 65535"),
        (lambda x: nnjpeg.decode(nnjpeg.encode(x, NN_TABLE), layout="HW"), ValueError, "for grey images"),
        (lambda x: nnjpeg.decode(nnjpeg.encode(x, NN_TABLE), layout="NHWC"), ValueError, "layout must be one of"),
    ],
)
def test_bad_arguments(call, error, message, image):
    with pytest.raises(error, match=message):
        call(image)
