import os
import stat
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

import nnjpeg
from nnjpeg import NN_TABLE, QTable
from nnjpeg.cli import compress, main


@pytest.fixture
def folder(tmp_path, photos):
    """Two good images and some that are not."""
    Image.fromarray(photos["chelsea"]).save(tmp_path / "cat.png")
    Image.fromarray(photos["chelsea"][..., 0]).save(tmp_path / "grey.png")
    return tmp_path


def test_compress_writes_what_encode_gives(folder, capsys, photos):
    out = folder / "new" / "out"
    assert main(["compress", str(folder / "cat.png"), str(folder / "grey.png"), "-o", str(out)]) == 0
    assert (out / "cat.jpg").read_bytes() == nnjpeg.encode(photos["chelsea"], NN_TABLE)
    np.testing.assert_array_equal(
        nnjpeg.decode(out / "grey.jpg"), nnjpeg.roundtrip(photos["chelsea"][..., 0], NN_TABLE)
    )
    assert sorted(path.name for path in out.iterdir()) == ["cat.jpg", "grey.jpg"]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    size, bytes_, bits, psnr, name = lines[1].split()
    assert size == "451x300"
    assert int(bytes_) == (out / "cat.jpg").stat().st_size
    assert float(bits) == pytest.approx(8 * int(bytes_) / (451 * 300), abs=5e-4)
    mse = ((nnjpeg.roundtrip(photos["chelsea"], NN_TABLE).astype(float) - photos["chelsea"]) ** 2).mean()
    assert float(psnr) == pytest.approx(10 * np.log10(255**2 / mse), abs=5e-3)
    assert name == str(out / "cat.jpg")


def test_compress_options(folder, photos):
    QTable.standard_luminance().save(folder / "table.txt")
    arguments = ["compress", str(folder / "cat.png"), "-o", str(folder), "-t", str(folder / "table.txt")]
    assert main([*arguments, "-q", "80", "--colorspace", "ycbcr"]) == 0
    expected = nnjpeg.encode(photos["chelsea"], QTable.standard_luminance().at_quality(80), colorspace="ycbcr")
    assert (folder / "cat.jpg").read_bytes() == expected


def test_compress_skips_reports_and_goes_on(folder, capsys):
    (folder / "text.png").write_text("words")
    whole = (folder / "cat.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGBA", (9, 9)).save(folder / "alpha.png")
    Image.new("CMYK", (9, 9)).save(folder / "cmyk.tif")
    bad = ["text.png", "cut.png", "alpha.png", "cmyk.tif", "none.png"]
    out = folder / "out"
    files = [str(folder / name) for name in (*bad, "grey.png")]
    assert main(["compress", *files, "-o", str(out)]) == 1
    errors = capsys.readouterr().err
    for name in bad:
        assert f"skipped {folder / name}:" in errors
    assert "5 of 6 images skipped" in errors
    assert [path.name for path in out.iterdir()] == ["grey.jpg"]


def test_compress_never_overwrites_without_force(folder, capsys):
    target = folder / "cat.jpg"
    target.write_bytes(b"precious")
    arguments = ["compress", str(folder / "cat.png"), "-o", str(folder)]
    assert main(arguments) == 1
    assert "--force" in capsys.readouterr().err
    assert target.read_bytes() == b"precious"
    assert main([*arguments, "--force"]) == 0
    assert nnjpeg.decode(target).shape == (300, 451, 3)


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_compress_does_not_lose_one_of_two_images_of_a_name(folder, capsys, force):
    (folder / "other").mkdir()
    Image.new("L", (8, 8)).save(folder / "other" / "cat.png")
    files = [str(folder / "cat.png"), str(folder / "other" / "cat.png")]
    assert main(["compress", *files, "-o", str(folder / "out"), *force]) == 1
    assert "another image of this run" in capsys.readouterr().err
    assert nnjpeg.decode(folder / "out" / "cat.jpg").shape == (300, 451, 3)


def test_compress_turns_photographs_upright(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to show
    Image.fromarray(pixels).save(folder / "phone.png", exif=exif)
    assert main(["compress", str(folder / "phone.png"), "-o", str(folder)]) == 0
    upright = np.ascontiguousarray(np.rot90(pixels, -1))
    np.testing.assert_array_equal(nnjpeg.decode(folder / "phone.jpg"), nnjpeg.roundtrip(upright, NN_TABLE))


def test_compress_leaves_ordinary_permissions(folder):
    assert main(["compress", str(folder / "grey.png"), "-o", str(folder)]) == 0
    (folder / "reference").touch()
    mode = stat.S_IMODE((folder / "reference").stat().st_mode)
    assert stat.S_IMODE((folder / "grey.jpg").stat().st_mode) == mode


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["compress", "x.png"], "-o"),
        (["compress", "x.png", "-o", "out", "-q", "0"], "integer in 1..100, got '0'"),
        (["compress", "x.png", "-o", "out", "-q", "high"], "got 'high'"),
        (["compress", "x.png", "-o", "out", "-t", "none.json"], "none.json"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_demo(tmp_path, capsys):
    path = tmp_path / "demo.png"
    assert main(["demo", "-o", str(path)]) == 0
    text = capsys.readouterr().out
    assert "0 of 2732172 samples differ" in text
    assert text.count("NN-JPEG") == text.count("JPEG 75") == 4
    with Image.open(path) as picture:
        assert picture.size[0] > 1000
    assert [p.name for p in tmp_path.iterdir()] == ["demo.png"]


def test_demo_into_a_missing_folder(tmp_path, capsys):
    assert main(["demo", "-o", str(tmp_path / "none" / "demo.png")]) == 1
    assert "no folder" in capsys.readouterr().err


def test_commands_run_as_installed(tmp_path):
    for command in ([sys.executable, "-m", "nnjpeg"], [os.path.join(os.path.dirname(sys.executable), "nnjpeg")]):
        result = subprocess.run([*command, "--version"], capture_output=True, text=True, cwd=tmp_path, timeout=60)
        assert result.stdout == f"nnjpeg {nnjpeg.__version__}\n"


# Folders and tar files


@pytest.fixture
def classes(tmp_path, photos):
    """Images in a folder for each class, with a name that has dots."""
    folder = tmp_path / "set"
    for name, image in photos.items():
        (folder / name).mkdir(parents=True)
        for k in range(3):
            Image.fromarray(image[k : k + 40, :50]).save(folder / name / f"{k}.v1.png")
    (folder / "notes.txt").write_text("no image")
    return folder


def members(path):
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def test_compress_keeps_the_folders_of_a_folder(classes, tmp_path, photos):
    assert main(["compress", str(classes), "-o", str(tmp_path / "out")]) == 0
    files = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.jpg"))
    assert files == sorted(f"{name}/{k}.v1.jpg" for name in photos for k in range(3))
    found = nnjpeg.decode(tmp_path / "out/coffee/2.v1.jpg")
    np.testing.assert_array_equal(found, nnjpeg.roundtrip(photos["coffee"][2:42, :50], NN_TABLE))


def test_a_tar_file_holds_what_the_transform_gives(classes, tmp_path, photos):
    tar = tmp_path / "new" / "set.tar"
    assert main(["compress", str(classes), "--tar", str(tar), "-q", "70"]) == 0
    found = members(tar)
    assert list(found) == [f"{name}/{k}_v1.jpg" for name in sorted(photos) for k in range(3)]
    for name, data in found.items():
        folder, k = name.split("/")
        image = photos[folder][int(k[0]) : int(k[0]) + 40, :50]
        np.testing.assert_array_equal(nnjpeg.decode(data), nnjpeg.roundtrip(image, NN_TABLE.at_quality(70)))
    first = tar.read_bytes()
    assert main(["compress", str(classes), "--tar", str(tar), "-q", "70", "--force"]) == 0
    assert tar.read_bytes() == first, "the same images give the same bytes"


def test_shards_that_are_there_are_not_made_again(classes, tmp_path, capsys, monkeypatch):
    command = ["compress", str(classes), "--tar", str(tmp_path / "set.tar"), "--shard", "5"]
    read, calls = compress.read_image, []

    def interrupted(path):
        calls.append(path)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(compress, "read_image", interrupted)
    assert main(command) == 130
    assert sorted(path.name for path in tmp_path.glob("*tar*")) == ["set-000000.tar"]
    assert main(command) == 0
    assert len(calls) == 8 + 7, "the first shard was made once"
    assert "set-000000.tar: done before" in capsys.readouterr().out
    assert [len(members(path)) for path in sorted(tmp_path.glob("*.tar"))] == [5, 5, 2]
    before = [path.read_bytes() for path in sorted(tmp_path.glob("*.tar"))]
    assert main([*command, "-q", "30"]) == 1
    assert "holds something else; --force overwrites it" in capsys.readouterr().err
    assert [path.read_bytes() for path in sorted(tmp_path.glob("*.tar"))] == before
    assert main([*command, "-q", "30", "--force"]) == 0
    assert [path.read_bytes() for path in sorted(tmp_path.glob("*.tar"))] != before


def test_a_tar_file_skips_reports_and_goes_on(classes, tmp_path, capsys):
    (classes / "coffee" / "bad.png").write_text("words")
    (classes / "coffee" / "0_v1.png").write_bytes((classes / "coffee" / "0.v1.png").read_bytes())
    tar = tmp_path / "set.tar"
    assert main(["compress", str(classes), "--tar", str(tar)]) == 1
    errors = capsys.readouterr().err
    assert "bad.png: cannot identify" in errors
    assert f"another image of this run is coffee/0_v1.jpg in {tar}" in errors
    assert "2 of 14 images skipped" in errors
    assert len(members(tar)) == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shard", "3", "-o", "out"], "--shard goes with --tar"),
        (["--shard", "0", "--tar", "x.tar"], r"shard must be an integer in 1..1000000000, got '0'"),
        ([], "one of the arguments -o/--output --tar is required"),
        (["-o", "out", "--tar", "x.tar"], "not allowed with"),
    ],
)
def test_bad_tar_options(arguments, message, classes, capsys, monkeypatch):
    monkeypatch.chdir(classes)
    try:
        status = main(["compress", str(classes), *arguments])
    except SystemExit as exit:
        status = exit.code
    assert status in (1, 2)
    assert message in capsys.readouterr().err


def test_a_folder_without_images_is_an_error(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["compress", str(tmp_path / "empty"), "-o", str(tmp_path / "out")]) == 1
    assert "no images in this folder" in capsys.readouterr().err
