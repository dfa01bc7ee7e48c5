import io
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageFile

import nnjpeg
from nnjpeg import NN_TABLE, QTable, files


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    image=hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]))),
    table=hnp.arrays(np.int64, (8, 8), elements=st.integers(4, 255)),
    colorspace=st.sampled_from(["rgb", "ycbcr"]),
)
def test_a_file_holds_what_the_roundtrip_gives(image, table, colorspace):
    expected = nnjpeg.roundtrip(image, table, colorspace=colorspace)
    decoded = nnjpeg.decode(nnjpeg.encode(image, table, colorspace=colorspace))
    np.testing.assert_array_equal(decoded, expected if image.shape[2] == 3 else expected[..., 0])


@settings(max_examples=200, deadline=None)
@given(
    image=hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 3]))),
    tables=hnp.arrays(np.int64, (3, 8, 8), elements=st.integers(4, 255)),
    subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
)
def test_a_file_with_chroma_subsampling_holds_what_the_roundtrip_gives(image, tables, subsampling):
    coding = {"colorspace": "ycbcr", "subsampling": subsampling}
    expected = nnjpeg.roundtrip(image, tables[: image.shape[2]], **coding)
    data = nnjpeg.encode(image, tables[: image.shape[2]], **coding)
    np.testing.assert_array_equal(nnjpeg.decode(data, layout="HWC"), expected)
    if image.shape[2] == 3:
        with Image.open(io.BytesIO(data)) as file:
            factors = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}[subsampling]
            assert [component[1:3] for component in file.layer] == [factors, (1, 1), (1, 1)]


@pytest.mark.parametrize("length", [10, 60_000])
@pytest.mark.parametrize("steps", [1, 20])
def test_large_images_become_the_same_files_as_small_ones(monkeypatch, steps, length):
    """They are coded into another kind of file, without the GIL."""
    exif = Image.Exif()
    exif[0x010E] = "a" * length
    image = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    found = set()
    for large in (image[..., 0].size, image[..., 0].size + 1):
        monkeypatch.setattr(files, "_LARGE", large)
        found.add(nnjpeg.encode(image, np.full((8, 8), steps), exif=exif.tobytes()))
    monkeypatch.setattr(os, "memfd_create", lambda *_: os.open("", 0), raising=False)  # fails
    monkeypatch.setattr(files, "_LARGE", 0)
    found.add(nnjpeg.encode(image, np.full((8, 8), steps), exif=exif.tobytes()))
    assert len(found) == 1
    np.testing.assert_array_equal(nnjpeg.decode(found.pop()), nnjpeg.roundtrip(image, np.full((8, 8), steps)))


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:4:0"])
@pytest.mark.parametrize("colorspace", ["rgb", "ycbcr"])
def test_grey_is_coded_as_it_is(image, colorspace, subsampling):
    """It is Y alone, without chroma to subsample."""
    grey = image[..., 0]
    coded = nnjpeg.encode(grey, NN_TABLE, colorspace=colorspace, subsampling=subsampling)
    assert coded == nnjpeg.encode(grey, NN_TABLE) == nnjpeg.encode(grey[..., None], NN_TABLE, colorspace=colorspace)


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


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize("quality", [30, 75, 95])
def test_chroma_shares_its_table_as_in_pillows_file(photos, subsampling, quality):
    luma, chroma = QTable.standard_luminance(), QTable.standard_chrominance()
    tables = [table.at_quality(quality) for table in (luma, chroma, chroma)]
    expected = io.BytesIO()
    Image.fromarray(photos["coffee"]).save(expected, "JPEG", quality=quality, subsampling=subsampling)
    found = nnjpeg.encode(photos["coffee"], tables, colorspace="ycbcr", subsampling=subsampling)
    assert found == expected.getvalue()


@pytest.mark.parametrize(("steps", "written"), [((9, 9, 9), 1), ((9, 5, 5), 2), ((9, 5, 9), 3), ((9, 9, 5), 3)])
@pytest.mark.parametrize("colorspace", ["rgb", "ycbcr"])
def test_tables_that_the_last_components_share_are_written_once(image, colorspace, steps, written):
    tables = [QTable(np.full((8, 8), step)) for step in steps]
    data = nnjpeg.encode(image, tables, colorspace=colorspace)
    with Image.open(io.BytesIO(data)) as file:
        assert len(file.quantization) == written
    np.testing.assert_array_equal(nnjpeg.decode(data), nnjpeg.roundtrip(image, tables, colorspace=colorspace))


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


def twelve_bits(progressive=False):
    data = bytearray(jpeg(progressive=progressive))
    data[data.index(b"\xff\xc2" if progressive else b"\xff\xc0") + 4] = 12
    return bytes(data)


@pytest.mark.parametrize("progressive", [False, True])
def test_twelve_bits(progressive, tmp_path):
    path = tmp_path / "deep.jpg"
    path.write_bytes(twelve_bits(progressive))
    for source, name in ((path, str(path)), (path.read_bytes(), "source")):
        with pytest.raises(ValueError, match="JPEG image of 12 bits a sample, accepted are 8") as error:
            nnjpeg.decode(source)
        assert str(error.value).startswith(name)


def test_the_longest_side():
    image = np.zeros((1, 65500), np.uint8)
    assert nnjpeg.decode(nnjpeg.encode(image, NN_TABLE)).shape == image.shape


def test_decode_reads_binary_files(image, tmp_path):
    data = nnjpeg.encode(image, NN_TABLE)
    (tmp_path / "x.jpg").write_bytes(b"head" + data)
    np.testing.assert_array_equal(nnjpeg.decode(io.BytesIO(data)), nnjpeg.decode(data))
    with open(tmp_path / "x.jpg", "rb") as file:
        file.seek(4)
        np.testing.assert_array_equal(nnjpeg.decode(file, layout="HWC"), nnjpeg.decode(data))
        with pytest.raises(ValueError, match=r"x\.jpg: not a JPEG image"):
            nnjpeg.decode(file)


@pytest.mark.parametrize("source", [None, 3, ["x.jpg"], io.StringIO("words"), np.zeros((8, 8), np.uint8)])
def test_decode_says_what_it_reads(source):
    with pytest.raises(TypeError, match="source must be bytes, a path or a binary file object, got"):
        nnjpeg.decode(source)


EXIF = Image.Exif()
EXIF[0x010F] = "Maker"
EXIF = EXIF.tobytes()


def icc(kind, length=200):
    return b"\0" * 16 + kind.ljust(4) + b"\0" * 16 + b"acsp" + b"\1" * (length - 40)


@pytest.mark.parametrize("colorspace", ["rgb", "ycbcr", "grey"])
@pytest.mark.parametrize("prefix", [True, False])
def test_metadata(image, colorspace, prefix):
    """It is in the file as it was given, and the pixels are those of the file without it."""
    grey = colorspace == "grey"
    image, colorspace = (image[..., 0], "rgb") if grey else (image, colorspace)
    exif = EXIF if prefix else EXIF[6:]
    profile = icc(b"GRAY" if grey else b"RGB", 200_000)  # four segments
    data = nnjpeg.encode(image, NN_TABLE, colorspace=colorspace, exif=exif, icc_profile=profile)
    with Image.open(io.BytesIO(data)) as file:
        assert file.info["exif"] == EXIF
        assert file.getexif()[0x010F] == "Maker"
        assert file.info["icc_profile"] == profile
    plain = nnjpeg.encode(image, NN_TABLE, colorspace=colorspace)
    np.testing.assert_array_equal(nnjpeg.decode(data), nnjpeg.decode(plain))
    assert "exif" not in Image.open(io.BytesIO(plain)).info


@pytest.mark.parametrize("side", [1, 300])
def test_the_longest_metadata(side):
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    exif = EXIF + bytes(65533 - len(EXIF))
    profile = icc(b"RGB", 255 * 65519)
    data = nnjpeg.encode(image, NN_TABLE, exif=exif, icc_profile=profile)
    with Image.open(io.BytesIO(data)) as file:
        assert file.info["exif"] == exif
        assert file.info["icc_profile"] == profile
    np.testing.assert_array_equal(nnjpeg.decode(data), nnjpeg.roundtrip(image, NN_TABLE))


@pytest.mark.parametrize(
    ("metadata", "error", "message"),
    [
        ({"exif": "words"}, TypeError, "exif must be bytes, got str"),
        ({"exif": b"words"}, ValueError, "exif must begin with .* got b'words'"),
        ({"exif": EXIF + bytes(65534 - len(EXIF))}, ValueError, "exif must have at most 65533 bytes .* got 65534"),
        ({"exif": EXIF[6:] + bytes(65528)}, ValueError, "exif must have at most 65533 bytes"),
        ({"icc_profile": "words"}, TypeError, "icc_profile must be bytes, got str"),
        ({"icc_profile": b"words" * 99}, ValueError, "icc_profile must be an ICC profile, got 495 bytes"),
        ({"icc_profile": icc(b"GRAY")}, ValueError, "icc_profile must be of RGB for 3 components, got one of GRAY"),
        ({"icc_profile": icc(b"CMYK")}, ValueError, "got one of CMYK"),
        ({"icc_profile": icc(b"RGB", 255 * 65519 + 1)}, ValueError, "at most 16707345 bytes, got 16707346"),
    ],
)
def test_bad_metadata(image, metadata, error, message):
    with pytest.raises(error, match=message):
        nnjpeg.encode(image, NN_TABLE, **metadata)


def test_a_profile_of_rgb_is_not_for_grey(image):
    with pytest.raises(ValueError, match="icc_profile must be of GRAY for 1 components, got one of RGB"):
        nnjpeg.encode(image[..., 0], NN_TABLE, icc_profile=icc(b"RGB"))


@pytest.mark.parametrize("components", [1, 3])
def test_optimized_huffman_tables_are_pillows(photos, components):
    photo = photos["coffee"][:200, :301, :components]
    table, file = QTable.standard_luminance(), io.BytesIO()
    pixels = photo[..., 0] if components == 1 else photo
    options = {"qtables": [np.ravel(table).tolist()], "subsampling": 0, "exif": b"Exif\0\0II*\0"}
    Image.fromarray(pixels).save(file, "JPEG", optimize=True, **options)
    coded = nnjpeg.encode(photo, table, colorspace="ycbcr", optimize=True, exif=options["exif"])
    assert coded == file.getvalue()
    assert len(coded) < len(nnjpeg.encode(photo, table, colorspace="ycbcr", exif=options["exif"]))


@pytest.mark.parametrize("side", [1, 8, 70, 400])
@pytest.mark.parametrize(
    "coding", [{}, {"colorspace": "ycbcr"}, {"colorspace": "ycbcr", "subsampling": "4:2:0"}], ids=str
)
def test_noise_at_the_finest_steps_is_optimized_too(side, coding):
    """Its files are larger than the buffer that Pillow has for them."""
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    ones, profile = np.ones((8, 8), int), icc(b"RGB", 300_000)
    before = ImageFile.MAXBLOCK
    with ThreadPoolExecutor(4) as pool:
        coded = [
            pool.submit(nnjpeg.encode, image, ones, optimize=True, icc_profile=profile, **coding) for _ in range(4)
        ]
    assert len({one.result() for one in coded}) == 1
    np.testing.assert_array_equal(nnjpeg.decode(coded[0].result()), nnjpeg.roundtrip(image, ones, **coding))
    assert before == ImageFile.MAXBLOCK


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: nnjpeg.encode(x[None], NN_TABLE), ValueError, "must be one image"),
        (lambda x: nnjpeg.encode(x[..., :2], NN_TABLE), ValueError, "1 or 3 components .* got 2"),
        (lambda x: nnjpeg.encode(x / 255, NN_TABLE), TypeError, "uint8, got float64"),
        (lambda x: nnjpeg.encode(x, [NN_TABLE] * 2), ValueError, "each of 3 components, got 2"),
        (lambda x: nnjpeg.encode(x, NN_TABLE, subsampling="4:2:0"), ValueError, "needs colorspace 'ycbcr', got 'rgb'"),
        (
            lambda x: nnjpeg.encode(x, NN_TABLE, subsampling="420"),
            ValueError,
            "subsampling must be one of .* got '420'",
        ),
        (
            lambda x: nnjpeg.encode(x, NN_TABLE, colorspace="ycbcr", subsampling="4:4:0"),
            ValueError,
            "'4:4:4', '4:2:2', '4:2:0' for a JPEG file: Pillow cannot write '4:4:0'",
        ),
        (lambda x: nnjpeg.encode(x[..., 0], NN_TABLE, colorspace="cmyk"), ValueError, "colorspace must be"),
        (lambda x: nnjpeg.encode(np.zeros((1, 65501), np.uint8), NN_TABLE), ValueError, "at most 65500.* 1 x 65501"),
        (lambda x: nnjpeg.encode(np.zeros((65535, 1), np.uint8), NN_TABLE), ValueError, "at most 65500.* 65535 x 1"),
        (lambda x: nnjpeg.decode(nnjpeg.encode(x, NN_TABLE), layout="HW"), ValueError, "for grey images"),
        (lambda x: nnjpeg.decode(nnjpeg.encode(x, NN_TABLE), layout="NHWC"), ValueError, "layout must be one of"),
    ],
)
def test_bad_arguments(call, error, message, image):
    with pytest.raises(error, match=message):
        call(image)
