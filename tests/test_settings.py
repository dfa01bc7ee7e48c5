"""What a JPEG file was coded with, read from its headers: against Pillow and libjpeg-turbo's own programs."""

import contextlib
import io
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import nnjpeg
from nnjpeg import NN_TABLE, QTable, reference, settings_of

LUMINANCE, CHROMINANCE = QTable.standard_luminance(), QTable.standard_chrominance()
WRITABLE = ("4:4:4", "4:2:2", "4:2:0")
X = np.random.default_rng(0).integers(0, 256, (21, 35, 3), dtype=np.uint8)


def saved(pixels=X, **options):
    """A file by Pillow."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


def segment(marker, body):
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def frame(*components, bits=8, marker=0xC0):
    """A frame header; a component is its identifier, its sampling factors and the number of its table."""
    fields = [number for identifier, h, v, table in components for number in (identifier, 16 * h + v, table)]
    return segment(marker, bytes([bits, 0, 8, 0, 8, len(components), *fields]))


def tables(*steps, wide=False):
    """Tables 0, 1, ... of one step each."""
    return segment(
        0xDB,
        b"".join(
            bytes([16 * wide + number]) + np.full(64, step, ">u2" if wide else "u1").tobytes()
            for number, step in enumerate(steps)
        ),
    )


SOI, SOS, EOI = b"\xff\xd8", segment(0xDA, bytes(10)), b"\xff\xd9"
JFIF = segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\0\0")
COLOURS = (1, 2, 2, 0), (2, 1, 1, 1), (3, 1, 1, 1)
GREY = (1, 1, 1, 0)
PLAIN = SOI + tables(7, 9) + frame(*COLOURS) + SOS


# Files of others


@pytest.mark.parametrize("subsampling", WRITABLE)
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("quality", [1, 30, 75, 96, 100])
def test_a_file_of_pillow(subsampling, progressive, quality, photos):
    image = photos["chelsea"][:61, :83]
    data = saved(image, quality=quality, subsampling=subsampling, progressive=progressive)
    found = settings_of(data)
    chroma = CHROMINANCE.at_quality(quality)
    assert found == ((LUMINANCE.at_quality(quality), chroma, chroma), "ycbcr", subsampling)
    np.testing.assert_array_equal(nnjpeg.roundtrip(image, **found._asdict()), nnjpeg.decode(data))
    again = nnjpeg.encode(image, **found._asdict())
    np.testing.assert_array_equal(nnjpeg.decode(again), nnjpeg.decode(data))
    assert settings_of(again) == found


def test_a_file_in_rgb_and_one_in_grey():
    assert settings_of(saved(keep_rgb=True, subsampling=0, qtables=[[5] * 64]))[1:] == ("rgb", "4:4:4")
    data = saved(X[..., 0], quality=40)
    found = settings_of(data)
    assert found == ((LUMINANCE.at_quality(40),), "ycbcr", "4:4:4")
    np.testing.assert_array_equal(nnjpeg.decode(nnjpeg.encode(X[..., 0], **found._asdict())), nnjpeg.decode(data))
    np.testing.assert_array_equal(nnjpeg.roundtrip(X[..., 0], **found._asdict()), nnjpeg.decode(data))


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(st.lists(st.integers(4, 255), min_size=64, max_size=64), min_size=3, max_size=3),
    colorspace=st.sampled_from(["rgb", "ycbcr"]),
    subsampling=st.sampled_from(WRITABLE),
    is_grey=st.booleans(),
)
def test_a_file_of_encode(steps, colorspace, subsampling, is_grey):
    qtable = tuple(QTable(np.reshape(table, (8, 8))) for table in steps)[: 1 if is_grey else 3]
    subsampling = "4:4:4" if is_grey or colorspace == "rgb" else subsampling
    colorspace = "ycbcr" if is_grey else colorspace
    image = X[..., 0] if is_grey else X
    data = nnjpeg.encode(image, qtable, colorspace=colorspace, subsampling=subsampling)
    assert settings_of(data) == (qtable, colorspace, subsampling)
    assert QTable.load_all(data) == qtable


cjpeg = pytest.mark.skipif(shutil.which("cjpeg") is None, reason="cjpeg is not installed")


def by_cjpeg(*arguments, pixels=X, folder=None):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PPM")
    return subprocess.run(
        ["cjpeg", *arguments], input=file.getvalue(), capture_output=True, check=True, cwd=folder
    ).stdout


@cjpeg
@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("1x1", "4:4:4"), ("2x1", "4:2:2"), ("2x2", "4:2:0"), ("1x2", "4:4:0"), ("2x1,2x1,2x1", "4:4:4"),
        ("2x2,1x2,1x2", "4:2:2"), ("2x2,2x1,2x1", "4:4:0"), ("4x1,2x1,2x1", "4:2:2"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("coding", [[], ["-progressive"]])
def test_sampling_factors(sample, expected, coding, photos):
    """What they are to each other counts; the samples are those of the round trip under these settings."""
    image = photos["coffee"][:37, :45]
    data = by_cjpeg("-quality", "80", "-sample", sample, *coding, pixels=image)
    found = settings_of(data)
    assert found.subsampling == expected
    np.testing.assert_array_equal(nnjpeg.roundtrip(image, **found._asdict()), nnjpeg.decode(data))


@cjpeg
def test_a_components_table_is_the_one_its_frame_header_names(tmp_path):
    three = [QTable(np.arange(k, k + 64).reshape(8, 8)) for k in (10, 90, 150)]
    rows = "\n".join(" ".join(map(str, np.ravel(table))) for table in three)
    (tmp_path / "tables.txt").write_text(rows)
    for slots in ([2, 0, 1], [1, 1, 0], [0, 1, 2]):
        arguments = "-qtables", "tables.txt", "-qslots", ",".join(map(str, slots)), "-sample", "1x1"
        data = by_cjpeg(*arguments, folder=tmp_path)
        expected = tuple(three[slot] for slot in slots)
        assert settings_of(data).qtable == expected
        assert QTable.load_all(data) == expected
        with Image.open(io.BytesIO(data)) as image:
            found = [image.quantization[component[3]] for component in image.layer]
        assert [QTable(np.reshape(table, (8, 8))) for table in found] == list(expected)


@cjpeg
@pytest.mark.parametrize("options", [["-arithmetic"], ["-arithmetic", "-progressive"]])
def test_arithmetic_coding(options):
    try:
        data = by_cjpeg("-quality", "60", *options)
    except subprocess.CalledProcessError:
        pytest.skip("this cjpeg has no arithmetic coding")
    chroma = CHROMINANCE.at_quality(60)
    assert settings_of(data) == ((LUMINANCE.at_quality(60), chroma, chroma), "ycbcr", "4:2:0")


# Colours


def identified(data, *identifiers):
    """A file in three components, with other identifiers."""
    data = bytearray(data)
    first = data.index(b"\xff\xc0") + 10
    scan = data.index(b"\xff\xda") + 5
    for k, identifier in enumerate(identifiers):
        data[first + 3 * k] = data[scan + 2 * k] = identifier
    return bytes(data)


def adobe(transform, length=12):
    return segment(0xEE, (b"Adobe\0\x64\0\0\0\0" + bytes([transform])).ljust(length, b"\0")[:length])


@pytest.mark.parametrize(
    ("before", "identifiers", "expected"),
    [
        (JFIF, (1, 2, 3), "ycbcr"),
        (JFIF, (82, 71, 66), "ycbcr"),
        (JFIF + adobe(0), (1, 2, 3), "ycbcr"),
        (adobe(0) + JFIF, (1, 2, 3), "ycbcr"),
        (adobe(0), (1, 2, 3), "rgb"),
        (adobe(1), (82, 71, 66), "ycbcr"),
        (adobe(2), (1, 2, 3), "ycbcr"),
        (adobe(1) + adobe(0), (1, 2, 3), "rgb"),
        (adobe(0) + adobe(1), (1, 2, 3), "ycbcr"),
        (adobe(0, 20), (1, 2, 3), "rgb"),
        (adobe(0, 11), (1, 2, 3), "ycbcr"),
        (segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\0"), (82, 71, 66), "rgb"),
        (segment(0xE0, b"JFXX\0\1\2\0\0\1\0\1\0\0"), (82, 71, 66), "rgb"),
        (segment(0xE1, JFIF[4:]), (82, 71, 66), "rgb"),
        (b"", (1, 2, 3), "ycbcr"),
        (b"", (82, 71, 66), "rgb"),
        (b"", (114, 103, 98), "ycbcr"),
        (b"", (0, 1, 2), "ycbcr"),
    ],
)
def test_colours_are_what_libjpeg_takes_them_for(before, identifiers, expected):
    """Of one scan, decoded as R, G, B and as YCbCr, by what stands before it."""
    data = nnjpeg.encode(X, NN_TABLE)
    marker = data.index(b"\xff\xee")
    end = marker + 2 + int.from_bytes(data[marker + 2 : marker + 4], "big")
    data = identified(data[:2] + before + data[2:marker] + data[end:], *identifiers)
    assert settings_of(data).colorspace == expected
    components = nnjpeg.roundtrip(X, NN_TABLE)
    as_ycbcr = reference.ycbcr_to_rgb(components.astype(np.int64))
    np.testing.assert_array_equal(nnjpeg.decode(data), components if expected == "rgb" else as_ycbcr)


# What is read


def test_where_a_file_comes_from(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(b"head" + PLAIN)
    with open(path, "rb") as file:
        file.seek(4)
        assert settings_of(file) == settings_of(PLAIN)
        assert file.tell() == 4 + len(PLAIN) - len(SOS) + 2, "nothing after the headers was read"
        file.seek(4)
        assert QTable.load_all(file) == settings_of(PLAIN).qtable
    path.write_bytes(PLAIN)
    for source in (path, str(path), bytearray(PLAIN), memoryview(PLAIN), io.BytesIO(PLAIN)):
        assert settings_of(source) == settings_of(PLAIN)
    assert QTable.load_all(path) == QTable.load_all(PLAIN) == settings_of(PLAIN).qtable


def test_a_file_object_that_gives_less_than_is_asked():
    class Slow(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 2))

    assert settings_of(Slow(PLAIN)) == settings_of(PLAIN)


def test_between_markers():
    """Filling bytes, what is no marker, markers without a segment, empty segments, tables one at a time or again."""
    for extra in (b"\xff\xff\xff", b"words\xff\0more", b"\xff\xd0\xff\x01", segment(0xFE, b""), b"\xff\xfe\0\0"):
        assert settings_of(SOI + extra + PLAIN[2:]) == settings_of(PLAIN)
    parts = SOI + frame(*COLOURS) + tables(3, 9) + tables(7) + SOS
    assert settings_of(parts) == settings_of(PLAIN)
    assert settings_of(SOI + tables(7, 9, wide=True) + PLAIN[len(SOI + tables(7, 9)) :]) == settings_of(PLAIN)


def test_load_reads_the_table_of_a_grey_file(tmp_path):
    (tmp_path / "x.jpg").write_bytes(nnjpeg.encode(X[..., 0], NN_TABLE))
    assert QTable.load(tmp_path / "x.jpg") == NN_TABLE
    (tmp_path / "y.jpg").write_bytes(PLAIN)
    with pytest.raises(ValueError, match=r"y\.jpg: holds 3 tables where one is wanted"):
        QTable.load(tmp_path / "y.jpg")


def test_load_all_reads_the_tables_of_files_that_settings_do_not_know():
    cmyk = [(k, 1, 1, k % 2) for k in range(1, 5)]
    assert len(QTable.load_all(SOI + tables(7, 9) + frame(*cmyk) + SOS)) == 4
    assert len(QTable.load_all(SOI + tables(7, 9) + frame((1, 4, 1, 0), *COLOURS[1:]) + SOS)) == 3


# What is refused

NOT_TAKEN = [
    (b"", "not a JPEG image"),
    (b"\xff", "not a JPEG image"),
    (b"words", "not a JPEG image"),
    (SOI + EOI, "it ends before its first scan"),
    (SOI + SOS, "no frame header before the first scan"),
    (SOI + tables(7, 9) + 2 * frame(*COLOURS) + SOS, "two frame headers"),
    (SOI + frame(*COLOURS) + SOS, r"component 1 is without its table, 0\)"),
    (SOI + tables(7) + frame(*COLOURS) + SOS, r"component 2 is without its table, 1\)"),
    (SOI + segment(0xDB, bytes([4, *[1] * 64])) + frame(GREY) + SOS, "a quantization table of a wrong number"),
    (SOI + segment(0xDB, bytes([0, *[1] * 63])) + frame(GREY) + SOS, "table of a wrong number or length"),
    (SOI + segment(0xDB, bytes([16, *[1] * 64])) + frame(GREY) + SOS, "table of a wrong number or length"),
    (SOI + tables(0) + frame(GREY) + SOS, r"integers in 1\.\.255, got 0"),
    (SOI + tables(256, wide=True) + frame(GREY) + SOS, r"integers in 1\.\.255, got 256"),
    (SOI + tables(7) + frame() + SOS, "a frame header of a wrong length"),
    (SOI + tables(7) + segment(0xC0, bytes([8, 0, 8, 0, 8, 2, 1, 17, 0])) + SOS, "a frame header of a wrong length"),
    (SOI + tables(7) + frame((1, 0, 1, 0)) + SOS, "component 1 has sampling factors 0x1"),
    (SOI + tables(7) + frame((1, 1, 5, 0)) + SOS, "component 1 has sampling factors 1x5"),
    (SOI + tables(7) + frame(GREY, marker=0xC3) + SOS, "lossless or hierarchical"),
    (SOI + tables(7) + frame(GREY, marker=0xC5) + SOS, "lossless or hierarchical"),
    (PLAIN[:40], "its headers are cut off"),
    (PLAIN[: -len(SOS)], "its headers are cut off"),
]
WITHOUT_AN_EQUAL = [
    (SOI + tables(7) + frame(GREY, bits=12, marker=0xC1) + SOS, "12 bits a sample, accepted are 8"),
    (SOI + tables(7) + frame(GREY, GREY) + SOS, "2 components, accepted are grey, RGB and YCbCr"),
    (SOI + tables(7) + frame(*[GREY] * 4) + SOS, r"4 components \(CMYK\), accepted are grey, RGB and YCbCr"),
    (SOI + tables(7, 9) + frame((1, 4, 1, 0), *COLOURS[1:]) + SOS, r"factors 4x1, 1x1, 1x1, accepted are .*4:2:0"),
    (SOI + tables(7, 9) + frame((1, 1, 1, 0), (2, 2, 2, 1), (3, 2, 2, 1)) + SOS, "factors 1x1, 2x2, 2x2"),
    (SOI + tables(7, 9) + frame((1, 2, 2, 0), (2, 2, 1, 1), (3, 1, 1, 1)) + SOS, "factors 2x2, 2x1, 1x1"),
    (SOI + tables(7, 9) + frame((1, 3, 1, 0), (2, 2, 1, 1), (3, 2, 1, 1)) + SOS, "factors 3x1, 2x1, 2x1"),
    (SOI + adobe(0) + PLAIN[2:], "in RGB with subsampling 4:2:0"),
]


@pytest.mark.parametrize(("data", "message"), NOT_TAKEN + WITHOUT_AN_EQUAL)
def test_files_that_are_refused(data, message, tmp_path):
    with pytest.raises(ValueError, match=f"^file: .*{message}"):
        settings_of(data)
    (tmp_path / "x.jpg").write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        settings_of(tmp_path / "x.jpg")
    assert str(error.value).startswith(f"{tmp_path / 'x.jpg'}: ")


@pytest.mark.parametrize(("data", "message"), [one for one in NOT_TAKEN if one[0].startswith(SOI)])
def test_tables_that_are_refused(data, message):
    with pytest.raises(ValueError, match=f"^file: .*{message}"):
        QTable.load_all(data)


@pytest.mark.parametrize("read", [settings_of, QTable.load_all])
@pytest.mark.parametrize("source", [None, 3, ["x.jpg"], io.StringIO("words"), X])
def test_what_is_no_file(read, source, tmp_path):
    with pytest.raises(TypeError, match="file must be bytes, a path or a binary file object, got"):
        read(source)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.jpg")


def test_every_cut_is_an_error():
    data = saved(quality=50)
    end = data.index(b"\xff\xda") + 2
    for cut in range(end):
        with pytest.raises(ValueError, match=r"^file: "):
            settings_of(data[:cut])
    assert settings_of(data[:end]) == settings_of(data)


HEADS = [PLAIN, saved()[:700], saved(keep_rgb=True)[:700], saved(progressive=True, subsampling=0)[:700]]


@settings(max_examples=1000, deadline=None)
@given(
    head=st.sampled_from(HEADS),
    changes=st.lists(st.tuples(st.integers(0, 699), st.binary(max_size=4), st.integers(0, 4)), max_size=6),
    cut=st.integers(0, 800),
)
def test_damaged_headers_give_settings_or_a_value_error(head, changes, cut):
    data = bytearray(head)
    for place, new, removed in changes:
        data[place : place + removed] = new
    for read in (settings_of, QTable.load_all, nnjpeg.decode):
        try:
            found = read(bytes(data[:cut]))
        except ValueError:
            continue
        if read is settings_of:
            nnjpeg.roundtrip(X[..., 0] if len(found.qtable) == 1 else X, **found._asdict())


@settings(max_examples=1000, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=8),
            st.builds(segment, st.integers(0, 255), st.binary(max_size=140)),
            st.builds(tables, *[st.integers(0, 255)] * 2, wide=st.booleans()),
            st.builds(lambda *them, bits: frame(*them, bits=bits), *[st.tuples(*[st.integers(0, 15)] * 4)] * 3,
                      bits=st.sampled_from([8, 8, 8, 12])),
        ),
        max_size=8,
    )
)  # fmt: skip
def test_made_up_headers_give_settings_or_a_value_error(parts):
    for read in (settings_of, QTable.load_all):
        with contextlib.suppress(ValueError):
            read(SOI + b"".join(parts) + SOS)
