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

LAYOUTS = {"HW": (40, 52), "HWC": (40, 52, 3), "CHW": (3, 40, 52), "NHWC": (5, 40, 52, 3), "NCHW": (5, 1, 40, 52)}


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def chunk_of(layout):
    return noise(*LAYOUTS[layout])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("colorspace", ["rgb", "ycbcr"])
def test_a_chunk_reads_back_as_the_transform_gives_it(layout, colorspace):
    chunk = chunk_of(layout)
    if chunk.ndim < 3 or layout == "NCHW":
        colorspace = "rgb"
    chunks = Chunks(colorspace=colorspace, layout=layout, quality=70)
    expected = nnjpeg.roundtrip(chunk, NN_TABLE.at_quality(70), colorspace=colorspace, layout=layout)
    np.testing.assert_array_equal(chunks.decode(chunks.encode(chunk)), expected)
    again = Chunks(**chunks.config())
    assert again.encode(chunk) == chunks.encode(chunk)


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
        with pytest.raises(ValueError, match=r"chunk|JPEG"):
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
        (lambda: Chunks(quality=0), ValueError, r"quality must be an integer in 1\.\.100, got 0"),
        (lambda: Chunks(np.zeros((8, 8))), ValueError, r"1\.\.255, got 0"),
        (lambda: Chunks().encode(chunk_of("HWC")), ValueError, "NHWC must have 4 dimensions"),
        (lambda: Chunks().encode(chunk_of("NHWC")[..., :2]), ValueError, "1 or 3 components .* got 2"),
        (lambda: Chunks().encode(chunk_of("NHWC") / 255), TypeError, "chunk must have dtype uint8, got float64"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


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
def test_chunks_within_an_image_hold_it_too(zarr_format, tmp_path):
    image = noise(64, 96)
    array = stored(zarr_format, tmp_path / "image.zarr", image.shape, (16, 32), layout="HW")
    array[:] = image
    np.testing.assert_array_equal(array[:], nnjpeg.roundtrip(image, NN_TABLE))


def test_zarr_in_shards_with_tables_for_each_component(tmp_path):
    from nnjpeg.zarr import NNJpegCodec

    tables = [QTable.standard_luminance(), *[QTable.standard_chrominance()] * 2]
    images = noise(8, 32, 32, 3)
    array = zarr.create_array(
        tmp_path / "images.zarr",
        shape=images.shape,
        chunks=(1, 32, 32, 3),
        shards=(4, 32, 32, 3),
        dtype="uint8",
        serializer=NNJpegCodec(tables, colorspace="ycbcr"),
        compressors=None,
    )
    array[:] = images
    expected = nnjpeg.roundtrip(images, tables, colorspace="ycbcr")
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "images.zarr")[:], expected)


@pytest.mark.parametrize(
    ("shape", "dtype", "error", "message"),
    [
        ((4, 16, 16, 3), "uint16", TypeError, "dtype must be uint8 .* got uint16"),
        ((16, 16, 3), "uint8", ValueError, "dimensions of layout NHWC"),
        ((4, 16, 16, 4), "uint8", ValueError, "1 or 3 components .* got 4"),
    ],
)
def test_zarr_refuses_what_cannot_be_stored(shape, dtype, error, message, tmp_path):
    from nnjpeg.zarr import NNJpegCodec

    with pytest.raises(error, match=message):
        zarr.create_array(tmp_path / "x.zarr", shape=shape, chunks=shape, dtype=dtype, serializer=NNJpegCodec())
