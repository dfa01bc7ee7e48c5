"""The comparison on a folder of images finds nothing where all is well, and each kind of fault that there may be."""

import json
import sys
from pathlib import Path

import numpy as np
import pillow_images
import pytest
from PIL import Image

import nnjpeg
from nnjpeg import _core
from nnjpeg.cli import main as nnjpeg_main

ISAS = sum(_core.compiled_isas().values())
RGB_SETTINGS, GREY_SETTINGS, WAYS = 2 * 5, 5, 4


@pytest.fixture
def folder(tmp_path):
    """Five images that can be compared, two of them by one name, and four that cannot."""
    path = tmp_path / "images"
    (path / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (21, 13, 3), dtype=np.uint8))
    grey = Image.fromarray(rng.integers(0, 256, (9, 16), dtype=np.uint8))
    colour.save(path / "colour.png")
    colour.quantize(16).save(path / "colour.gif")
    grey.save(path / "grey.png")
    grey.convert("1").save(path / "deep" / "bits.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    colour.save(path / "turned.jpg", exif=exif)
    Image.new("RGBA", (8, 8), (1, 2, 3, 4)).save(path / "transparent.png")
    colour.convert("CMYK").save(path / "cmyk.jpg")
    whole = (path / "colour.png").read_bytes()
    (path / "deep" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (path / "text.png").write_text("words")
    return path


def results(folder, capsys, tmp_path):
    """The exit status, the figures, and what is printed."""
    status = pillow_images.main([str(folder), "--json", str(tmp_path / "figures.json")])
    return status, json.loads((tmp_path / "figures.json").read_text()), capsys.readouterr().out


def test_all_is_well(folder, capsys, tmp_path):
    status, figures, printed = results(folder, capsys, tmp_path)
    assert (status, figures["errors"], figures["differing"]) == (0, [], [])
    assert (figures["files"], figures["images compared"]) == (9, 5)
    by_codec = (3 * RGB_SETTINGS + 2 * GREY_SETTINGS) * WAYS * ISAS
    refusals = figures["skipped"].get("a setting in which libjpeg refuses to code the image", 0)
    by_files = 1 + 5  # JPEG files in grey or RGB, and what is compressed
    assert figures["comparisons"] == by_codec - refusals * WAYS * ISAS + by_files
    assert refusals < 5
    for reason in ("transparency", "mode CMYK", "Pillow raises OSError", "Pillow raises UnidentifiedImageError"):
        assert figures["skipped"][reason] == 1
    assert figures["pillow"] == Image.__version__
    assert "        0  differing samples\n" in printed
    assert "        1  skipped: transparency\n" in printed


def one_sample_changed(function):
    def changed(*arguments, **options):
        samples = np.array(function(*arguments, **options))
        samples.flat[-1] ^= 1
        return samples

    return changed


@pytest.mark.parametrize("way", pillow_images.WAYS)
def test_a_changed_sample_is_found(way, folder, capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(pillow_images.WAYS, way, one_sample_changed(pillow_images.WAYS[way]))
    status, figures, printed = results(folder, capsys, tmp_path)
    assert (status, figures["errors"]) == (1, [])
    assert figures["differing samples"] == figures["differing comparisons"] == (figures["comparisons"] - 6) / WAYS
    assert f"differs in 1 samples: colour.png: {way}, NN, rgb, generic" in printed


def test_a_changed_sample_of_a_file_is_found(folder, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(nnjpeg, "decode", one_sample_changed(nnjpeg.decode))
    status, figures, _ = results(folder, capsys, tmp_path)
    assert (status, figures["differing samples"]) == (1, 6)


def test_an_exception_is_found(folder, capsys, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("broken")

    monkeypatch.setitem(pillow_images.WAYS, "tensor", fail)
    status, _, printed = results(folder, capsys, tmp_path)
    assert status == 1
    assert "error: grey.png: tensor, NN, rgb, generic: RuntimeError: broken" in printed


# Faults of the command: what it may do wrong after its work, given (input, output folder).


def _loses(_, out):
    (out / "grey.jpg").unlink(missing_ok=True)


def _writes_other_pixels(_, out):
    if (out / "grey.jpg").exists():
        Image.new("L", (16, 9), 7).save(out / "grey.jpg")


def _leaves_a_temporary_file(_, out):
    (out / ".grey.jpg.part").touch()


def _reports_what_it_wrote(given, out):
    if given.is_dir():
        print(f"nnjpeg: skipped {given / 'grey.png'}: no reason", file=sys.stderr)


def _reports_twice(given, out):
    if given.is_dir():
        print(f"nnjpeg: skipped {given / 'text.png'}: again", file=sys.stderr)


def _changes_its_input(given, out):
    if given.is_dir():
        (given / "grey.png").write_bytes(b"")


def _loses_one_of_a_name(given, out):
    if given.is_dir():
        (out / "colour.jpg").unlink()


def _ends(given, out):
    raise SyntaxError("of a reader")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (_loses, "grey.png is not written, and reported in 0 lines"),
        (_writes_other_pixels, "grey.png: compress"),
        (_leaves_a_temporary_file, "leaves .grey.jpg.part"),
        (_reports_what_it_wrote, "grey.png is written, and reported as skipped"),
        (_reports_twice, "text.png is not written, and reported in 2 lines"),
        (_changes_its_input, "changes grey.png"),
        (_loses_one_of_a_name, "of 2 images colour.jpg, 1 are reported"),
        (_ends, "SyntaxError: of a reader"),
    ],
)
def test_a_fault_of_compress_is_found(fault, message, folder, capsys, tmp_path, monkeypatch):
    def faulty(arguments):
        status = nnjpeg_main(arguments)
        fault(Path(arguments[1]), Path(arguments[3]))
        return status

    monkeypatch.setattr(pillow_images, "nnjpeg_main", faulty)
    monkeypatch.setattr(pillow_images, "WAYS", {})
    status, _, printed = results(folder, capsys, tmp_path)
    assert status == 1
    assert message in printed


@pytest.mark.parametrize("wrong", [0, 2])
def test_a_wrong_status_of_compress_is_found(wrong, folder, capsys, tmp_path, monkeypatch):
    def faulty(arguments):
        nnjpeg_main(arguments)
        return wrong

    monkeypatch.setattr(pillow_images, "nnjpeg_main", faulty)
    monkeypatch.setattr(pillow_images, "WAYS", {})
    status, _, printed = results(folder, capsys, tmp_path)
    assert status == 1
    assert f"{folder}: status {wrong} with 5 images reported as skipped" in printed


def test_arguments(folder, capsys):
    for arguments, status in ((["--help"], 0), ([], 2), ([str(folder / "none")], 2)):
        with pytest.raises(SystemExit) as exit_:
            pillow_images.main(arguments)
        assert exit_.value.code == status
    assert "none is not a folder" in capsys.readouterr().err
