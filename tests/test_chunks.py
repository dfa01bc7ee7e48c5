"""Image arrays stored as NN-JPEG: what is read back is what the transform gives."""

import io

import numpy as np
import pytest
from PIL import Image

import nnjpeg
from nnjpeg import NN_TABLE, QTable
from nnjpeg.chunks import Chunks

numcodecs = pytest.importorskip("numcodecs")
zarr = pytest.importorskip("zarr", minversion="3.0.8")

TABLES = [QTable.standard_luminance(), *[QTable.standard_chrominance()] * 2]
LAYOUTS = {"HW": (40, 52), "HWC": (40, 52, 3), "CHW": (3, 40, 52), "NHWC": (5, 40, 52, 3), "NCHW": (5, 1, 40, 52)}


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def chunk_of(layout):
    return noise(*LAYOUTS[layout])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("colorspace", ["rgb", "ycbcr"])
def test_a_chunk_reads_back_as_the_transform_gives_it(layout, colorspace):
    chunk = chunk_of(layout)
    chunks = Chunks(colorspace=colorspace, layout=layout, quality=70.5)
    expected = nnjpeg.roundtrip(chunk, NN_TABLE.at_quality(70.5), colorspace=colorspace, layout=layout)
    np.testing.assert_array_equal(chunks.decode(chunks.encode(chunk)), expected)
    again = Chunks(**chunks.config())
    assert again.encode(chunk) == chunks.encode(chunk)


@pytest.mark.parametrize("subsampling", ["4:2:2", "4:2:0"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_chunk_with_chroma_subsampling(layout, subsampling):
    """Also grey ones, which have none."""
    chunk = chunk_of(layout)
    tables = TABLES if 3 in chunk.shape else TABLES[:1]
    coding = {"colorspace": "ycbcr", "subsampling": subsampling, "layout": layout}
    chunks = Chunks(tables, **coding)
    np.testing.assert_array_equal(chunks.decode(chunks.encode(chunk)), nnjpeg.roundtrip(chunk, tables, **coding))
    assert chunks.config()["subsampling"] == subsampling
    assert Chunks(**chunks.config()) == chunks != Chunks(chunks.tables, layout=layout, colorspace="ycbcr")


def test_without_subsampling_the_configuration_is_that_of_version_0_1_0():
    assert list(Chunks(subsampling="4:4:4").config()) == ["qtable", "colorspace", "layout"]


def test_chunks_are_coded_as_a_file_was():
    file = nnjpeg.encode(chunk_of("HWC"), TABLES, colorspace="ycbcr", subsampling="4:2:0")
    chunks = Chunks(**nnjpeg.settings_of(file)._asdict(), layout="HWC")
    assert chunks.encode(chunk_of("HWC")) == file


def test_a_chunk_of_one_image_is_a_jpeg_file():
    image = chunk_of("HWC")
    for chunks, chunk in ((Chunks(layout="HWC"), image), (Chunks(), image[None])):
        with Image.open(io.BytesIO(chunks.encode(chunk))) as file:
            assert file.format == "JPEG"
            np.testing.assert_array_equal(np.asarray(file), nnjpeg.roundtrip(image, NN_TABLE))


def test_a_damaged_chunk_is_an_error():
    chunks = Chunks()
    data = chunks.encode(chunk_of("NHWC"))
    for cut in (0, 3, 5, 8, 20, 30, 200, len(data) // 2, len(data) - 1):
        with pytest.raises(ValueError, match="chunk"):
            chunks.decode(data[:cut])
    with pytest.raises(ValueError, match=r"must have .* bytes by its header"):
        chunks.decode(data + b"x")
    with pytest.raises(ValueError, match="holds 5 images, where layout HWC has one"):
        Chunks(layout="HWC").decode(data)
    small, large = (Chunks().encode(noise(2, side, side, 3)) for side in (8, 16))
    lengths = [int.from_bytes(data[8:12], "little") for data in (small, large)]
    mixed = b"NNJC" + np.array([2, *lengths], "<u4").tobytes()
    mixed += small[16 : 16 + lengths[0]] + large[16 : 16 + lengths[1]]
    with pytest.raises(ValueError, match="images of different shapes"):
        chunks.decode(mixed)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Chunks(layout="WHC"), ValueError, "layout must be one of"),
        (lambda: Chunks(colorspace="lab"), ValueError, "colorspace must be"),
        (lambda: Chunks(subsampling="4:2:0"), ValueError, "subsampling '4:2:0' needs colorspace 'ycbcr', got 'rgb'"),
        (lambda: Chunks(colorspace="ycbcr", subsampling="420"), ValueError, "subsampling must be one of .* got '420'"),
        (lambda: Chunks(colorspace="ycbcr", subsampling="4:4:0"), ValueError, "Pillow cannot write '4:4:0'"),
        (lambda: Chunks(quality=0), ValueError, r"quality must be a number in 1\.\.100, got 0"),
        (lambda: Chunks(np.zeros((8, 8))), ValueError, r"1\.\.255, got 0"),
        (lambda: Chunks().encode(chunk_of("HWC")), ValueError, "NHWC must have 4 dimensions"),
        (lambda: Chunks().encode(chunk_of("NHWC")[..., :2]), ValueError, "1 or 3 components .* got 2"),
        (lambda: Chunks().encode(chunk_of("NHWC") / 255), TypeError, "chunk must have dtype uint8, got float64"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("each", [1, 6])
@pytest.mark.parametrize("given", [np.ascontiguousarray, np.asfortranarray])
def test_zarr_2_keeps_both_orders_of_memory(order, each, given, tmp_path):
    from nnjpeg.numcodecs import NNJpegCodec

    images = noise(6, 37, 51, 3)
    array = zarr.create_array(
        tmp_path / "images.zarr",
        shape=images.shape,
        chunks=(each, 37, 51, 3),
        dtype="uint8",
        zarr_format=2,
        order=order,
        compressors=NNJpegCodec(),
    )
    array[:] = given(images)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "images.zarr")[:], nnjpeg.roundtrip(images, NN_TABLE))


def test_a_transpose_before_the_codec_is_refused(tmp_path):
    from zarr.codecs import TransposeCodec

    from nnjpeg.zarr import NNJpegCodec

    def create(name, shape, order, layout):
        return zarr.create_array(
            tmp_path / name,
            shape=shape,
            chunks=shape,
            dtype="uint8",
            filters=[TransposeCodec(order=order)],
            serializer=NNJpegCodec(layout=layout),
            compressors=None,
        )

    with pytest.raises(ValueError, match=r"layout must be that of the array itself, .* without a TransposeCodec"):
        create("a.zarr", (4, 64, 48, 3), (0, 3, 1, 2), "NCHW")
    array = create("b.zarr", (4, 64, 48, 3), (0, 3, 1, 2), "NHWC")
    with pytest.raises(ValueError, match="a TransposeCodec must not come before this codec"):
        array[:] = noise(4, 64, 48, 3)


def test_codecs_are_values():
    """Equal where their arguments are, with a repr that makes them again."""
    from nnjpeg.numcodecs import NNJpegCodec as Codec2
    from nnjpeg.zarr import NNJpegCodec as Codec3

    for kind in (Chunks, Codec2, Codec3):
        made = kind(QTable.nn(3), quality=30, layout="HWC")
        assert kind() == kind()
        assert hash(kind()) == hash(kind())
        assert made == eval(repr(made), {kind.__name__: kind})
        subsampled = kind(QTable.nn(3), quality=30, colorspace="ycbcr", subsampling="4:2:0", layout="HWC")
        assert subsampled == eval(repr(subsampled), {kind.__name__: kind})
        ycbcr = kind(QTable.nn(3), quality=30, colorspace="ycbcr", layout="HWC")
        assert subsampled != ycbcr
        for other in (kind(), kind(QTable.nn(3), layout="HWC"), kind(QTable.nn(3), quality=30), ycbcr, object()):
            assert made != other


def test_numcodecs_finds_the_codec():
    codec = numcodecs.get_codec({"id": "nnjpeg", "quality": 30, "layout": "HWC"})
    image = chunk_of("HWC")
    expected = nnjpeg.roundtrip(image, NN_TABLE.at_quality(30))
    np.testing.assert_array_equal(codec.decode(codec.encode(image)), expected)
    out = np.empty_like(image)
    codec.decode(codec.encode(image), out=out)
    np.testing.assert_array_equal(out, expected)
    twin = numcodecs.get_codec(codec.get_config())
    assert twin == codec
    assert twin.encode(image) == codec.encode(image)


def stored(zarr_format, path, shape, chunks, **options):
    """An array of images in a store on disk."""
    if zarr_format == 2:
        from nnjpeg.numcodecs import NNJpegCodec

        codec = {"compressors": NNJpegCodec(**options)}
    else:
        from nnjpeg.zarr import NNJpegCodec

        codec = {"serializer": NNJpegCodec(**options), "compressors": None}
    return zarr.create_array(path, shape=shape, chunks=chunks, dtype="uint8", zarr_format=zarr_format, **codec)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("each", [1, 2, 6])
def test_a_zarr_array_holds_what_the_transform_gives(zarr_format, each, tmp_path):
    images = noise(6, 37, 51, 3)
    array = stored(zarr_format, tmp_path / "images.zarr", images.shape, (each, 37, 51, 3), quality=80)
    array[:] = images
    expected = nnjpeg.roundtrip(images, NN_TABLE.at_quality(80))
    opened = zarr.open_array(tmp_path / "images.zarr", mode="r")
    np.testing.assert_array_equal(opened[:], expected)
    np.testing.assert_array_equal(opened[3, 5:20], expected[3, 5:20])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("components", [1, 3])
def test_a_zarr_array_with_chroma_subsampling(zarr_format, components, tmp_path):
    """Of grey images, too: they are Y alone."""
    images = noise(4, 37, 51, components)
    path = tmp_path / "images.zarr"
    options = {"qtable": TABLES[:components], "quality": 80, "colorspace": "ycbcr", "subsampling": "4:2:0"}
    array = stored(zarr_format, path, images.shape, (2, 37, 51, components), **options)
    array[:] = images
    metadata = (path / {2: ".zarray", 3: "zarr.json"}[zarr_format]).read_text()
    assert '"subsampling": "4:2:0"' in metadata
    tables = [table.at_quality(80) for table in TABLES[:components]]
    expected = nnjpeg.roundtrip(images, tables, colorspace="ycbcr", subsampling="4:2:0")
    np.testing.assert_array_equal(zarr.open_array(path, mode="r")[:], expected)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_chunks_within_an_image_hold_it_too(zarr_format, tmp_path):
    image = noise(64, 96)
    array = stored(zarr_format, tmp_path / "image.zarr", image.shape, (16, 32), layout="HW")
    array[:] = image
    np.testing.assert_array_equal(array[:], nnjpeg.roundtrip(image, NN_TABLE))


def test_zarr_in_shards_with_tables_for_each_component(tmp_path):
    from nnjpeg.zarr import NNJpegCodec

    images = noise(8, 32, 32, 3)
    array = zarr.create_array(
        tmp_path / "images.zarr",
        shape=images.shape,
        chunks=(1, 32, 32, 3),
        shards=(4, 32, 32, 3),
        dtype="uint8",
        serializer=NNJpegCodec(TABLES, colorspace="ycbcr"),
        compressors=None,
    )
    array[:] = images
    expected = nnjpeg.roundtrip(images, TABLES, colorspace="ycbcr")
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "images.zarr")[:], expected)


@pytest.mark.parametrize(
    ("shape", "dtype", "error", "message"),
    [
        ((4, 16, 16, 3), "uint16", TypeError, "dtype must be uint8 .* got uint16"),
        ((16, 16, 3), "uint8", ValueError, "layout NHWC must have 4 dimensions, .* whose shape is"),
        ((4, 16, 16, 4), "uint8", ValueError, "1 or 3 components .* got 4"),
        ((4, 16, 16, 2), "uint8", ValueError, "1 or 3 components .* got 2"),
    ],
)
def test_zarr_refuses_what_cannot_be_stored(shape, dtype, error, message, tmp_path):
    from nnjpeg.zarr import NNJpegCodec

    codec = NNJpegCodec(colorspace="ycbcr")
    with pytest.raises(error, match=message):
        zarr.create_array(tmp_path / "x.zarr", shape=shape, chunks=shape, dtype=dtype, serializer=codec)


def test_zarr_judges_the_chunk_and_not_the_array(tmp_path):
    from nnjpeg.zarr import NNJpegCodec

    options = {"dtype": "uint8", "serializer": NNJpegCodec(), "compressors": None}
    with pytest.raises(ValueError, match=r"chunk must have 1 or 3 components .* got 2, .* \(4, 16, 16, 2\)"):
        zarr.create_array(tmp_path / "x.zarr", shape=(4, 16, 16, 3), chunks=(4, 16, 16, 2), **options)
    array = zarr.create_array(tmp_path / "y.zarr", shape=(4, 16, 16, 5), chunks=(2, 16, 16, 1), **options)
    images = noise(4, 16, 16, 5)
    array[:] = images
    np.testing.assert_array_equal(array[:], nnjpeg.roundtrip(images, NN_TABLE, layout="NHWC"))
