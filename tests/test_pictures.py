"""Reading images for a JPEG file: what is kept, what is converted, what is refused."""

import io
import struct
import warnings
import zlib
from functools import cache

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, features

import nnjpeg
from nnjpeg import NN_TABLE, exif
from nnjpeg.cli import main
from nnjpeg.pictures import Rules, read

CONVERT = Rules(convert=True)
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (16, 24, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (16, 24, 3), dtype=np.uint16)
DEEP[0, :4] = [[0, 1, 128], [129, 255, 256], [65535, 65534, 32767], [65407, 65406, 257]]
NEAREST = np.rint(DEEP.astype(np.float64) * 255 / 65535).astype(np.uint8)  # no ties: 65535 is odd
UPPER = (DEEP >> 8).astype(np.uint8)

ORIENTATION, MAKER, ARTIST = 0x0112, 0x010F, 0x013B


@pytest.fixture
def write(tmp_path):
    """Write a file; returns its path."""

    def written(data, name="image", **options):
        path = tmp_path / name
        if isinstance(data, bytes):
            path.write_bytes(data)
        else:
            (data if isinstance(data, Image.Image) else Image.fromarray(data)).save(path, **options)
        return path

    return written


# Files with more than eight bits, by hand: Pillow does not write them in RGB.


def png(kind, samples):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8 * samples.itemsize, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(f">u{samples.itemsize}").tobytes() for row in samples)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(samples, order="<", photometric=2, bits=16, planes=False):
    height, width = samples.shape[:2]
    bands = samples.shape[2] if samples.ndim == 3 else 1
    data = (samples.transpose(2, 0, 1) if planes else samples).astype(f"{order}u2").tobytes()
    entries = [
        (256, 3, [width]), (257, 3, [height]), (258, 3, [bits] * bands), (259, 3, [1]), (262, 3, [photometric]),
        (273, 4, [0] * (bands if planes else 1)), (277, 3, [bands]), (278, 3, [height]),
        (279, 4, [2 * height * width] * bands if planes else [len(data)]), (284, 3, [2 if planes else 1]),
    ]  # fmt: skip
    start = 8 + 2 + 12 * len(entries) + 4
    extra = b""

    def value(kind, numbers):
        nonlocal extra
        packed = struct.pack(f"{order}{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
        if len(packed) <= 4:
            return packed.ljust(4, b"\0")
        extra += packed
        return struct.pack(f"{order}I", start + len(extra) - len(packed))

    def table(first):
        nonlocal extra
        extra = b""
        each = 2 * height * width
        found = struct.pack(f"{order}H", len(entries))
        for tag, kind, numbers in entries:
            numbers = [first + each * k for k in range(len(numbers))] if tag == 273 else numbers
            found += struct.pack(f"{order}HHI", tag, kind, len(numbers)) + value(kind, numbers)
        return found + bytes(4) + extra

    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return head + table(8 + len(table(0))) + data


def ppm(samples, most=65535):
    kind = b"P6" if samples.ndim == 3 else b"P5"
    size = f"{samples.shape[1]} {samples.shape[0]} {most}\n".encode()
    return kind + b"\n" + size + samples.astype(">u2").tobytes()


def sgi(samples):
    file = io.BytesIO()
    Image.fromarray((samples >> 8).astype(np.uint8)).save(file, "SGI", bpc=2)
    return file.getvalue()


DEEP_FILES = {
    "png, grey": (png(0, DEEP[..., 0]), NEAREST[..., 0]),
    "png, rgb": (png(2, DEEP), UPPER),
    "png, grey and alpha": (png(4, np.dstack([DEEP[..., 0], np.full_like(DEEP[..., 0], 65535)])), UPPER[..., 0]),
    "png, rgba": (png(6, np.dstack([DEEP, np.full_like(DEEP[..., 0], 65535)])), UPPER),
    "tiff, grey": (tiff(DEEP[..., 0], photometric=1), NEAREST[..., 0]),
    "tiff, grey, big-endian": (tiff(DEEP[..., 0], ">", photometric=1), NEAREST[..., 0]),
    "tiff, rgb": (tiff(DEEP), UPPER),
    "tiff, rgb, big-endian": (tiff(DEEP, ">"), UPPER),
    "ppm, grey": (ppm(DEEP[..., 0]), NEAREST[..., 0]),
    "ppm, rgb": (ppm(DEEP), NEAREST),
    "ppm, 10 bits": (ppm(DEEP[..., 0] >> 6, 1023), None),
    "ppm, rgb, 10 bits": (ppm(DEEP >> 6, 1023), np.rint((DEEP >> 6).astype(float) * 255 / 1023).astype(np.uint8)),
    "sgi, rgb": (sgi(DEEP), UPPER),
}


@pytest.mark.parametrize("name", DEEP_FILES)
def test_more_than_eight_bits_need_a_word(write, name):
    data, expected = DEEP_FILES[name]
    path = write(data)
    with pytest.raises(ValueError, match="samples of 16 bits cannot be kept as they are; --convert makes 8 of them"):
        read(path)
    picture = read(path, CONVERT)
    if expected is not None:
        np.testing.assert_array_equal(picture.pixels, expected)
    assert "bits of samples beyond 8" in picture.left_out


def test_the_command_line_refuses_and_converts(write, tmp_path, capsys):
    path = write(png(2, DEEP), "deep.png")
    command = ["compress", str(path), "-o", str(tmp_path / "out")]
    assert main(command) == 1
    assert (
        "deep.png: samples of 16 bits cannot be kept as they are; --convert makes 8 of them" in capsys.readouterr().err
    )
    assert main([*command, "--convert"]) == 0
    np.testing.assert_array_equal(nnjpeg.decode(tmp_path / "out" / "deep.jpg"), nnjpeg.roundtrip(UPPER, NN_TABLE))


def test_jpeg_2000_and_avif_of_more_than_eight_bits(write):
    """Both by encoders that are not Pillow's."""
    cv2 = pytest.importorskip("cv2")
    smooth = np.add.outer(np.arange(128), np.arange(160)).astype(np.uint16)
    deep = np.dstack([smooth * 3] * 3)
    for name, options in (
        ("x.jp2", [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]),
        ("x.avif", [cv2.IMWRITE_AVIF_DEPTH, 10]),
    ):
        if not features.check("jpg_2000" if name == "x.jp2" else "avif"):
            continue
        good, data = cv2.imencode(name[1:], deep, options)
        if not good:
            continue
        path = write(data.tobytes(), name)
        with pytest.raises(ValueError, match=r"samples of 1\d bits cannot be kept as they are"):
            read(path)
        assert read(path, CONVERT).pixels.shape == (128, 160, 3)
        shallow = write(cv2.imencode(name[1:], PIXELS.repeat(8, 0).repeat(8, 1))[1].tobytes(), f"y{name[1:]}")
        assert read(shallow).left_out in ((), ("comments",))


def test_twelve_bits_fill_eight():
    from nnjpeg.pictures import _Sample, _shallow

    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    found = _shallow(Image.fromarray(values), _Sample(12), True, [])
    np.testing.assert_array_equal(np.asarray(found), np.rint(values.astype(float) * 255 / 4095).astype(np.uint8))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (tiff(DEEP, planes=True), "samples of 16 bits, which Pillow does not read right"),
        (tiff(DEEP[..., 0], photometric=0), "samples of 16 bits, which Pillow does not read right"),
        (np.ones((8, 8), np.int32), "samples of 32 bits, whose range the file does not tell"),
        (np.ones((8, 8), np.float32), "samples of 32 bits, whose range the file does not tell"),
        (b"Pf\n1 1\n-1.0\n\0\0\0\0", "samples of 32 bits, whose range the file does not tell"),
    ],
)
def test_samples_that_nobody_can_convert(write, data, message):
    path = write(data, "image.tif")
    for rules in (Rules(), CONVERT):
        with pytest.raises(ValueError, match=message):
            read(path, rules)


def test_a_deep_transparent_colour_is_not_guessed(write):
    data = png(0, DEEP[..., 0])
    key = struct.pack(">I", 2) + b"tRNS" + struct.pack(">H", 9)
    place = data.index(b"IDAT") - 4
    path = write(data[:place] + key + struct.pack(">I", zlib.crc32(key[4:])) + data[place:])
    with pytest.raises(ValueError, match="of which one colour is transparent"):
        read(path, Rules((0, 0, 0), True))


# Modes and transparency


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_modes_that_eight_bits_hold(write, mode, suffix):
    image = Image.fromarray(PIXELS).convert(mode)
    picture = read(write(image, f"image.{suffix}"))
    expected = image.convert("L" if mode in ("1", "L") else "RGB")
    np.testing.assert_array_equal(picture.pixels, np.asarray(expected))
    assert picture.pixels.flags.c_contiguous
    assert set(picture.left_out) <= {"resolution"}


def see_through(mode):
    """An image with alpha 128 in its left half, and a colour that is grey where the mode is."""
    colour = Image.fromarray(PIXELS)
    alpha = Image.fromarray(np.where(np.arange(24) < 12, 128, 255).astype(np.uint8)[None].repeat(16, 0))
    if mode == "LA":
        return Image.merge("LA", (colour.convert("L"), alpha))
    image = colour.copy()
    image.putalpha(alpha)
    return image.quantize(64).convert("PA") if mode == "PA" else image


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("background", [(255, 255, 255), (0, 0, 0), (200, 100, 50)])
def test_transparency_needs_a_background(write, mode, background):
    path = write(see_through(mode), "image.png")
    for rules in (Rules(), CONVERT):
        with pytest.raises(ValueError, match="transparency cannot be kept; --background COLOUR"):
            read(path, rules)
    picture = read(path, Rules(background))
    assert picture.left_out == ("transparency",)
    grey = mode == "LA" and len(set(background)) == 1
    assert picture.pixels.ndim == (2 if grey else 3)
    rgba = np.asarray(see_through(mode).convert("RGBA")).astype(float)
    alpha = rgba[..., 3:] / 255
    expected = alpha * rgba[..., :3] + (1 - alpha) * background
    assert np.abs(expected[..., 0 if grey else slice(None)] - picture.pixels).max() <= 1
    np.testing.assert_array_equal(picture.pixels[:, 12:], rgba[:, 12:, 0 if grey else slice(0, 3)])


def opaque():
    grey, colour = Image.fromarray(PIXELS[..., 0]), Image.fromarray(PIXELS)
    palette = colour.quantize(200)
    yield "LA", grey.convert("LA"), {}
    yield "RGBA", colour.convert("RGBA"), {}
    yield "P with a transparent entry that no pixel has", palette, {"transparency": 255}
    yield "P with opaque entries", palette, {"transparency": bytes([255] * 200)}
    yield "L with a transparent level that no pixel has", Image.fromarray(PIXELS[..., 0] | 1), {"transparency": 0}
    yield "RGB with a transparent colour that no pixel has", Image.fromarray(PIXELS | 1), {"transparency": (0, 0, 0)}


@pytest.mark.parametrize(("image", "options"), [pytest.param(*one[1:], id=one[0]) for one in opaque()])
def test_opaque_alpha_is_no_loss(write, image, options):
    picture = read(write(image, "image.png", **options))
    grey = image.mode in ("L", "LA")
    np.testing.assert_array_equal(picture.pixels, np.asarray(image.convert("L" if grey else "RGB")))
    assert picture.left_out == ()


def test_a_transparent_colour_that_pixels_have(write):
    path = write(np.zeros((8, 8), np.uint8), "image.png", transparency=0)
    with pytest.raises(ValueError, match="transparency"):
        read(path)
    assert (read(path, Rules((7, 7, 7))).pixels == 7).all()


def test_cmyk_needs_a_word(write):
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    path = write(image, "image.tif")
    with pytest.raises(ValueError, match="pixels of mode CMYK cannot be kept as they are; --convert makes RGB of them"):
        read(path)
    picture = read(path, CONVERT)
    np.testing.assert_array_equal(picture.pixels, np.asarray(image.convert("RGB")))
    assert "colours of mode CMYK, made RGB" in picture.left_out


@pytest.mark.skipif(not features.check("littlecms2"), reason="Pillow without colour management")
def test_lab_is_converted(write):
    colour = Image.fromarray(np.full((8, 8, 3), (200, 30, 60), np.uint8))
    transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    path = write(ImageCms.applyTransform(colour, transform), "image.tif")
    with pytest.raises(ValueError, match="LAB"):
        read(path)
    assert np.abs(read(path, CONVERT).pixels.astype(int) - np.asarray(colour)).max() <= 4


# ICC profiles


@cache
def profile(kind):
    """An ICC profile of a kind of colours: sRGB, or a header that says so; made once, since it bears the time."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data[:16] + kind.ljust(4).encode() + data[20:]


@pytest.mark.parametrize(
    ("mode", "kind", "kept"),
    [
        ("RGB", "RGB", True), ("L", "GRAY", True), ("P", "RGB", True), ("1", "GRAY", True), ("RGBA", "RGB", True),
        ("LA", "GRAY", True), ("RGB", "GRAY", False), ("L", "RGB", False), ("RGB", "CMYK", False),
    ],
)  # fmt: skip
def test_icc_profiles_are_kept_where_they_fit(write, mode, kind, kept):
    path = write(Image.fromarray(PIXELS).convert(mode), "image.png", icc_profile=profile(kind))
    picture = read(path)
    assert picture.icc_profile == (profile(kind) if kept else None)
    assert picture.left_out == (() if kept else ("ICC profile that does not fit the pixels",))


def test_something_else_for_a_profile(write):
    picture = read(write(PIXELS, "image.png", icc_profile=b"words" * 40))
    assert picture.icc_profile is None
    assert picture.left_out == ("ICC profile that does not fit the pixels",)


def test_a_profile_of_cmyk_is_used_and_goes(write, monkeypatch):
    used = []

    def convert(image, source, target, outputMode):
        used.append(source.tobytes() if hasattr(source, "tobytes") else source)
        return image.convert(outputMode)

    monkeypatch.setattr(ImageCms, "ImageCmsProfile", lambda file: file.getvalue())
    monkeypatch.setattr(ImageCms, "profileToProfile", convert)
    data = b"x" * 16 + b"CMYK" + b"x" * 16 + b"acsp" + b"x" * 200
    picture = read(write(Image.new("CMYK", (8, 8)), "image.jpg", icc_profile=data), CONVERT)
    assert used == [data]
    assert picture.icc_profile is None
    assert "colours of mode CMYK, made RGB" in picture.left_out
    assert not any("ICC" in one for one in picture.left_out)


# EXIF


def with_exif(orientation=None, artist=None, size=None, thumbnail=b"", order="<"):
    """EXIF data by hand: orientation, artist, size, and a thumbnail at the end."""
    entries, extra = [], b""
    if artist is not None:
        entries.append((ARTIST, 2, artist + b"\0"))
    if orientation is not None:
        entries.append((ORIENTATION, 3, struct.pack(f"{order}H", orientation)))
    entries.append((0x8769, 4, b"later"))
    entries.sort()
    start = 8 + 2 + 12 * len(entries) + 4
    values = {}
    for tag, _, value in entries:
        if value != b"later" and len(value) > 4:
            values[tag] = start + len(extra)
            extra += value
    inner_at = start + len(extra)
    inner = struct.pack(f"{order}H", 3)
    inner += struct.pack(f"{order}HHI4s", 0x9000, 7, 4, b"0232")
    for tag, side in zip((0xA002, 0xA003), size or (1, 1), strict=True):
        inner += struct.pack(f"{order}HHII", tag, 4, 1, side)
    inner += bytes(4)
    second_at = inner_at + len(inner)
    second = struct.pack(f"{order}HHHIIHHIII", 2, 0x201, 4, 1, second_at + 30, 0x202, 4, 1, len(thumbnail), 0)
    body = struct.pack(f"{order}H", len(entries))
    for tag, kind, value in entries:
        unit = {2: 1, 3: 2, 4: 4}[kind]
        if value == b"later":
            body += struct.pack(f"{order}HHII", tag, kind, 1, inner_at)
        elif tag in values:
            body += struct.pack(f"{order}HHII", tag, kind, len(value) // unit, values[tag])
        else:
            body += struct.pack(f"{order}HHI", tag, kind, len(value) // unit) + value.ljust(4, b"\0")
    body += struct.pack(f"{order}I", second_at if thumbnail else 0)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return b"Exif\0\0" + head + body + extra + inner + (second + thumbnail if thumbnail else b"")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_orientation_is_applied_and_reset(write, orientation, order, suffix):
    data = with_exif(orientation, "Mül".encode(), (24, 16), order=order)
    options = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    path = write(PIXELS, f"image.{suffix}", exif=data, **options)
    with Image.open(path) as image:
        stored = np.asarray(Image.frombytes("RGB", image.size, image.tobytes()))
    picture = read(path)
    # Of TIFF, Pillow itself gives upright pixels.
    turned = {
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1], 5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1), 7: np.rot90(stored, 2).transpose(1, 0, 2), 8: np.rot90(stored),
    }  # fmt: skip
    np.testing.assert_array_equal(picture.pixels, stored if suffix == "tif" else turned[orientation])
    assert picture.pixels.shape[:2] == ((16, 24) if orientation < 5 else (24, 16))
    written = Image.open(io.BytesIO(nnjpeg.encode(picture.pixels, NN_TABLE, exif=picture.exif)))
    found = written.getexif()
    assert found.get(ORIENTATION, 1) == 1
    inner = found.get_ifd(ExifTags.IFD.Exif)
    if suffix != "tif":
        assert found[ORIENTATION] == 1
        assert (inner[0xA002], inner[0xA003]) == written.size
        assert picture.exif == with_exif(1, "Mül".encode(), written.size, order=order), "all else is as it was"
        assert found[ARTIST].encode("latin-1").decode() == "Mül"


def test_a_thumbnail_goes():
    thumbnail = b"\xff\xd8" + b"picture" * 100 + b"\xff\xd9"
    data = with_exif(6, b"Somebody", (24, 16), thumbnail)
    assert thumbnail in data
    found = exif.upright(data, (24, 16))
    assert b"picture" not in found
    assert len(found) == len(data) - len(thumbnail)
    assert Image.Exif().get_ifd(ExifTags.IFD.IFD1) == {}
    image = Image.open(io.BytesIO(nnjpeg.encode(PIXELS, NN_TABLE, exif=found)))
    assert image.getexif().get_ifd(ExifTags.IFD.IFD1) == {}
    assert image.getexif()[ARTIST] == "Somebody"
    middle = exif.upright(data + b"maker's note", (24, 16))
    assert b"picture" not in middle
    assert middle.endswith(b"maker's note")
    assert len(middle) == len(data) + 12


@pytest.mark.parametrize("cut", [6, 10, 14, 20, 40, 60])
def test_damaged_exif_is_left_out_and_said(write, cut):
    data = with_exif(1, b"Somebody by name", (24, 16))[:cut]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = write(PIXELS, "image.jpg", exif=data, quality=100, subsampling=0)
    picture = read(path)
    assert picture.exif is None
    assert any("EXIF" in one for one in picture.left_out)
    assert picture.pixels.shape == PIXELS.shape


@pytest.mark.parametrize(
    "junk", [b"", b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0words and words", b"MM\0*\0\0\0\x08\0\x05"]
)
def test_upright_refuses_what_is_damaged(junk):
    with pytest.raises(ValueError, match="EXIF data"):
        exif.upright(junk, (1, 1))


def test_any_bytes_for_exif():
    """Nothing but a ValueError, whatever the bytes are."""
    rng = np.random.default_rng(1)
    whole = with_exif(6, b"Somebody by name", (24, 16), b"thumb" * 9)
    for _ in range(3000):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), rng.integers(1, 6)):
            data[place] = rng.integers(256)
        try:
            found = exif.upright(bytes(data), (16, 24))
        except ValueError:
            continue
        assert len(found) <= len(data) + 6


def test_exif_that_is_too_long(write):
    exif_ = Image.Exif()
    exif_[MAKER] = "x" * 70_000
    picture = read(write(PIXELS, "image.png", exif=exif_.tobytes()))
    assert picture.exif is None
    assert picture.left_out == ("EXIF that is damaged or too long",)


def test_tags_of_tiff(write):
    """What describes the image is kept, what says how the file lies on the disk is not."""
    path = write(
        PIXELS, "image.tif", tiffinfo={270: "words", 271: "Maker", 33432: "Mül".encode(), 700: b"<x/>"}, dpi=(72, 72)
    )
    picture = read(path)
    found = Image.Exif()
    found.load(picture.exif)
    assert {tag for tag in found if tag not in (270, 271, 33432)} <= {282, 283, 296}
    assert (found[270], found[271]) == ("words", "Maker")
    assert found[33432].encode("latin-1").decode() == "Mül"
    assert "XMP" in picture.left_out


# What is left out


def test_what_is_left_out_is_named(write):
    from PIL.PngImagePlugin import PngInfo

    other = Image.new("RGB", (24, 16))
    image = Image.fromarray(PIXELS)
    text = PngInfo()
    text.add_text("Title", "words")
    text.add_itxt("XML:com.adobe.xmp", "<x/>")
    frames = {"save_all": True, "append_images": [other]}
    for name, options, expected in (
        ("a.gif", frames, ["other frames, pages or layers"]),
        ("a.webp", frames, ["other frames, pages or layers"]),
        ("a.png", frames, ["other frames, pages or layers"]),
        ("a.tif", frames, ["other frames, pages or layers"]),
        ("b.png", {"pnginfo": text}, ["XMP", "comments"]),
        ("b.jpg", {"comment": "words", "xmp": b"<x/>"}, ["XMP", "comments"]),
        ("c.ico", {}, ["other frames, pages or layers"]),
        ("d.png", {"dpi": (72, 72)}, ["resolution"]),
        ("e.png", {}, []),
        ("e.jpg", {}, []),
        ("e.webp", {}, []),
    ):
        big = image.resize((64, 64)) if name == "c.ico" else image
        assert sorted(set(read(write(big, name, **options)).left_out)) == expected, name


@pytest.mark.parametrize(("gamma", "said"), [(1.0, True), (1 / 2.2, False)])
def test_an_unusual_gamma_is_said(write, gamma, said):
    data = png(2, PIXELS)
    chunk = b"gAMA" + struct.pack(">I", round(100_000 * gamma))
    place = data.index(b"IDAT") - 4
    path = write(data[:place] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[place:])
    assert ("gamma" in read(path).left_out) == said


def test_a_second_frame_that_is_damaged_does_not_lose_the_first(write):
    file = io.BytesIO()
    frames = [Image.fromarray(PIXELS // k) for k in (1, 2, 3)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    picture = read(write(file.getvalue()[:-600], "image.gif"))
    assert "other frames, pages or layers" in picture.left_out
    assert picture.pixels.shape[:2] == (16, 24)


# Errors


def test_a_jpeg_of_twelve_bits(write):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG")
    data = bytearray(file.getvalue())
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(ValueError, match="JPEG image of 12 bits a sample, accepted are 8"):
        read(write(bytes(data), "image.jpg"))


@pytest.mark.parametrize(("data", "message"), [(b"", "an empty file"), (b"words", "cannot identify image file")])
def test_no_images(write, data, message):
    path = write(data, "image.png")
    with pytest.raises((OSError, ValueError), match=message) as error:
        read(path)
    assert data == b"" or str(path) in str(error.value)
