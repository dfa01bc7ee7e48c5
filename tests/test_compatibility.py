"""What an earlier version left on disks still opens, and gives what that version gave (made by fixtures/make.py)."""

import io
import json
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import nnjpeg
from nnjpeg import QTable
from nnjpeg.chunks import Chunks
from nnjpeg.cli import main
from nnjpeg.transforms import NNJpeg

FOLDER = Path(__file__).with_name("fixtures") / "v0.1.0"
PROTOCOLS = (2, 4, 5)
LUMINANCE = QTable.standard_luminance()
YCBCR = (LUMINANCE, QTable.standard_chrominance(), QTable.standard_chrominance())

ARRAYS = {
    "nhwc": {"qtable": nnjpeg.NN_TABLE, "colorspace": "rgb", "layout": "NHWC"},
    "nchw": {"qtable": [table.at_quality(75) for table in YCBCR], "colorspace": "ycbcr", "layout": "NCHW"},
    "hw": {"qtable": LUMINANCE, "colorspace": "rgb", "layout": "HW"},
}

# What each pickled transform was made with; 0.1.0 took floats in single precision unless it was told otherwise.
TRANSFORMS = {
    "default": (nnjpeg.NN_TABLE, None, "rgb", "straight-through", "float"),
    "quality": (LUMINANCE, 75, "rgb", "straight-through", "float"),
    "pair": (nnjpeg.NN_TABLE, (60, 62), "rgb", "straight-through", "float"),
    "ycbcr": (YCBCR, 75, "ycbcr", "straight-through", "float"),
    "floats": (QTable.nn(5), None, "rgb", "cubic", "uint8"),
    "no-gradient": (nnjpeg.NN_TABLE, None, "rgb", "none", "float"),
}


def unpickled(name, protocol):
    return pickle.loads((FOLDER / "pickles" / f"{name}-{protocol}.pickle").read_bytes())


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("name", ARRAYS)
def test_zarr_arrays_are_read_and_written_on(name, zarr_format, tmp_path):
    zarr = pytest.importorskip("zarr", minversion="3.0.8")
    path = shutil.copytree(FOLDER / "arrays" / f"{name}-format{zarr_format}.zarr", tmp_path / "array.zarr")
    array = zarr.open_array(path, mode="r+")
    np.testing.assert_array_equal(array[:], np.load(FOLDER / "arrays" / f"{name}.npy"))
    first = tuple(slice(side) for side in array.chunks)
    chunk = np.random.default_rng(0).integers(0, 256, array.chunks, dtype=np.uint8)
    array[first] = chunk
    np.testing.assert_array_equal(zarr.open_array(path, mode="r")[first], nnjpeg.roundtrip(chunk, **ARRAYS[name]))


@pytest.mark.parametrize("name", ["plain.json", "provenance.json", "cjpeg.txt"])
def test_table_files(name):
    expected = json.loads((FOLDER / "tables" / "expected.json").read_text())
    assert QTable.load(FOLDER / "tables" / name).to_list() == expected


@pytest.mark.parametrize("name", ["rgb", "ycbcr"])
def test_chunks_of_several_images(name):
    data = (FOLDER / "chunks" / f"{name}.nnjc").read_bytes()
    assert data.startswith(b"NNJC")
    np.testing.assert_array_equal(Chunks().decode(data), np.load(FOLDER / "chunks" / f"{name}.npy"))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickled_tables(protocol):
    table = unpickled("qtable", protocol)
    assert table.to_list() == json.loads((FOLDER / "pickles" / "qtable.json").read_text())
    assert table == LUMINANCE
    assert hash(table) == hash(LUMINANCE)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("package", ["numcodecs", "zarr"])
def test_pickled_codecs(package, protocol):
    pytest.importorskip(package)
    codec = unpickled(package, protocol)
    made = type(codec)(**ARRAYS["nchw"])
    assert codec == made
    assert hash(codec) == hash(made)
    assert getattr(codec, "chunks", codec).subsampling == "4:4:4"
    saved = np.load(FOLDER / "pickles" / "codecs.npz")
    if package == "zarr":
        assert codec.to_dict() == made.to_dict()
        codec = codec.chunks
    else:
        assert codec.get_config() == made.get_config()
    np.testing.assert_array_equal(codec.decode(codec.encode(saved["chunk"])), saved["decoded"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_pickled_transforms(name, protocol):
    transform = unpickled(f"NNJpeg-{name}", protocol)
    assert_made_with(transform, TRANSFORMS[name])
    for module in (transform, pickle.loads(pickle.dumps(transform)), transform.to("cpu")):
        assert_gives(module, np.load(FOLDER / "pickles" / f"NNJpeg-{name}.npz"))


def assert_made_with(transform, arguments):
    names = ("qtable", "quality", "colorspace", "gradient", "precision")
    assert tuple(getattr(transform, name) for name in names) == arguments
    qtable, quality, colorspace, gradient, precision = arguments
    made = NNJpeg(qtable, quality=quality, colorspace=colorspace, gradient=gradient, precision=precision)
    assert repr(transform) == repr(made)


def assert_gives(transform, saved):
    """That a transform gives what is saved, for bytes, floats and gradients; each image at one of its qualities."""
    images = torch.from_numpy(saved["images"])
    assert_images_among(transform(images), [value for name, value in saved.items() if name.startswith("bytes")])
    picture = np.array(transform(Image.fromarray(images[0].permute(1, 2, 0).numpy())))
    first = [value[:1] for name, value in saved.items() if name.startswith("bytes")]
    assert_images_among(torch.from_numpy(picture).permute(2, 0, 1)[None], first)

    floats = (images[..., :8, :8] / 255).requires_grad_()
    output = transform(floats)
    assert_images_among(output.detach(), [value for name, value in saved.items() if name.startswith("floats")])
    gradients = [value for name, value in saved.items() if name.startswith("gradient")]
    assert output.requires_grad == bool(gradients)
    if gradients:
        (output * torch.linspace(-1, 1, 8)).sum().backward()
        assert_images_among(floats.grad, gradients)


def assert_images_among(found, saved):
    for i, image in enumerate(found):
        tolerance = 0 if image.dtype == torch.uint8 else 1e-5  # single precision on another machine
        assert any(np.allclose(image.numpy(), values[i], rtol=0, atol=tolerance) for values in saved)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickled_pair_of_qualities_still_draws(protocol):
    transform = unpickled("NNJpeg-pair", protocol)
    saved = np.load(FOLDER / "pickles" / "NNJpeg-pair.npz")
    image = torch.from_numpy(saved["images"][:1])
    drawn = {transform(image).numpy().tobytes() for _ in range(60)}  # misses one in 10^10 times
    assert drawn == {saved[f"bytes-{quality}"][:1].tobytes() for quality in (60, 61, 62)}


def test_a_module_of_torch_save():
    transform = torch.load(FOLDER / "torch_files" / "module.pt", weights_only=False)
    assert_made_with(transform, TRANSFORMS["ycbcr"])
    assert_gives(transform, np.load(FOLDER / "pickles" / "NNJpeg-ycbcr.npz"))


def test_the_weights_of_a_model_that_begins_with_the_transform():
    saved = np.load(FOLDER / "torch_files" / "state.npz")
    model = torch.nn.Sequential(NNJpeg(quality=75, precision="float"), torch.nn.Conv2d(3, 2, 3))
    assert model.load_state_dict(torch.load(FOLDER / "torch_files" / "state.pt")).missing_keys == []
    with torch.no_grad():
        output = model(torch.from_numpy(saved["images"]) / 255)
    np.testing.assert_allclose(output.numpy(), saved["output"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["all.tar", "shard-000000.tar"])
def test_archives(name):
    with tarfile.open(FOLDER / "archives" / name) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}
    assert sorted(members) == ["cats/1.jpg", "grey.jpg"]
    for member, saved in (("cats/1.jpg", "cats-1"), ("grey.jpg", "grey")):
        expected = np.load(FOLDER / "archives" / f"{saved}.npy")
        np.testing.assert_array_equal(nnjpeg.decode(members[member]), expected)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(members[member]))), expected)


@pytest.mark.parametrize(("name", "options"), [("all.tar", []), ("shard-000000.tar", ["--shard", "2"])])
def test_compress_leaves_an_earlier_archive_as_it_is(name, options, tmp_path, capsys):
    """The same command is done at once, since the archive is whole; another set of images is refused."""
    archives = shutil.copytree(FOLDER / "archives", tmp_path / "archives")
    before = (archives / name).read_bytes()
    target = archives / name.replace("-000000", "")
    command = ["compress", "--tar", str(target), *options, "--quality"]
    photos = str(archives / "photos")
    assert main([*command, "80", photos]) == 0
    assert "done before" in capsys.readouterr().out
    assert main([*command, "70", photos]) == 1
    assert "--force" in capsys.readouterr().err
    (archives / "photos" / "new.png").write_bytes((archives / "photos" / "grey.png").read_bytes())
    if not options:
        assert main([*command, "80", photos]) == 1
        assert "--force" in capsys.readouterr().err
    assert (archives / name).read_bytes() == before
