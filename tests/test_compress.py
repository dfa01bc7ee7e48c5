"""nnjpeg compress: images in folders and tar files, and what goes wrong with them."""

import errno
import io
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nnjpeg
from nnjpeg import NN_TABLE, QTable, bulk, shards, sources
from nnjpeg.cli import main


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
    (folder / "empty.png").touch()
    Image.new("RGBA", (9, 9)).save(folder / "alpha.png")
    Image.new("CMYK", (9, 9)).save(folder / "cmyk.tif")
    bad = ["text.png", "cut.png", "alpha.png", "cmyk.tif", "none.png", "empty.png"]
    out = folder / "out"
    files = [str(folder / name) for name in (*bad, "grey.png")]
    assert main(["compress", *files, "-o", str(out)]) == 1
    errors = capsys.readouterr().err
    for name in bad:
        assert f"skipped {folder / name}:" in errors
    assert "6 of 7 images skipped" in errors
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
    read, calls = bulk.read, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return read(*arguments)

    monkeypatch.setattr(bulk, "read", interrupted)
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


# What goes wrong


def run(command, folder, **options):
    """In a process of its own: (exit status, stdout, stderr)."""
    options = {"capture_output": True, "text": True, "timeout": 120, **options}
    result = subprocess.run([sys.executable, "-m", "nnjpeg", *map(str, command)], cwd=folder, **options)
    return result.returncode, result.stdout, result.stderr


@pytest.mark.parametrize(
    "error", [SyntaxError("no such chunk"), NotImplementedError("format 93"), MemoryError(), KeyError(3)]
)
def test_any_failure_of_a_reader_is_that_images_alone(classes, tmp_path, capsys, monkeypatch, error):
    opened = Image.open

    def broken(file, **options):
        if file.getvalue() == (classes / "coffee" / "1.v1.png").read_bytes():
            raise error
        return opened(file, **options)

    monkeypatch.setattr(Image, "open", broken)
    assert main(["compress", str(classes), "-o", str(tmp_path / "out")]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "skipped " + str(classes) in line]
    assert f"1.v1.png: {type(error).__name__}: " in line
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == 11


def test_a_reader_of_pillow_that_raises_what_it_should_not(tmp_path, capsys):
    """A PNG file whose second frame has no control chunk: Pillow raises a SyntaxError."""
    file = io.BytesIO()
    frames = [Image.new("L", (8, 8), value) for value in (0, 9)]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    data = file.getvalue()
    control = data.rindex(b"fcTL") - 4
    (tmp_path / "broken.png").write_bytes(data[:control] + data[control + 38 :])
    Image.new("L", (8, 8)).save(tmp_path / "good.png")
    assert main(["compress", str(tmp_path), "-o", str(tmp_path / "out")]) == 1
    assert "broken.png: SyntaxError: " in capsys.readouterr().err
    assert (tmp_path / "out" / "good.jpg").exists()


def test_failures_are_tried_again_until_they_are_repaired(classes, tmp_path, capsys):
    bad = classes / "coffee" / "1.v1.png"
    good = bad.read_bytes()
    whole, tar = tmp_path / "whole.tar", tmp_path / "set.tar"
    assert main(["compress", str(classes), "--tar", str(whole)]) == 0
    bad.write_text("words")
    command = ["compress", str(classes), "--tar", str(tar)]
    for _ in range(3):
        capsys.readouterr()
        assert main(command) == 1
        assert f"skipped {bad}: cannot identify" in capsys.readouterr().err
        assert len(members(tar)) == 11
        assert shards.description_of(tar)["failed"] == 1
    stamp = tar.stat().st_mtime_ns
    assert main(command) == 1
    assert "done before, but for 1 images" in capsys.readouterr().out
    assert tar.stat().st_mtime_ns == stamp, "nothing new, nothing written"
    bad.write_bytes(good)
    assert main(command) == 0
    assert "11 images done before, 1 put in that failed then" in capsys.readouterr().out
    assert members(tar) == members(whole)
    assert tar.read_bytes() == whole.read_bytes(), "the bytes do not tell by how many runs they came"
    assert main(command) == 0
    assert f"{tar}: done before\n" in capsys.readouterr().out


def test_what_is_done_is_kept_when_its_source_has_gone(classes, tmp_path):
    """The set is the same by name; an image that was read before and cannot be now stays in the tar file."""
    bad, other = classes / "coffee" / "1.v1.png", classes / "coffee" / "0.v1.png"
    good = bad.read_bytes()
    bad.write_text("words")
    command = ["compress", str(classes), "--tar", str(tmp_path / "set.tar")]
    assert main(command) == 1
    bad.write_bytes(good)
    other.write_text("words")
    assert main(command) == 0
    assert len(members(tmp_path / "set.tar")) == 12


@pytest.mark.parametrize("failed", [0, 1])
def test_tar_files_of_version_0_1_0_are_tried_again_where_members_are_missing(classes, tmp_path, capsys, failed):
    tar = tmp_path / "set.tar"
    command = ["compress", str(classes), "--tar", str(tar)]
    assert main(command) == 0
    found = members(tar)
    description = shards.description_of(tar)
    del description["failed"]
    headers = {"NNJPEG.description": json.dumps(description, sort_keys=True)}
    with tarfile.open(tar, "w", format=tarfile.PAX_FORMAT, pax_headers=headers) as old:
        for name, data in list(found.items())[failed:]:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            old.addfile(entry, io.BytesIO(data))
    capsys.readouterr()
    before = tar.read_bytes()
    assert main(command) == 0
    assert ("put in that failed then" in capsys.readouterr().out) == (failed > 0)
    assert (tar.read_bytes() == before) == (not failed)
    assert members(tar) == found


@pytest.mark.parametrize("where", [["-o", "new"], ["--tar", "new/set.tar"], ["--tar", "new/set.tar", "--shard", "1"]])
def test_bad_files_alone_leave_nothing(tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    for name in ("a.png", "b.jpg"):
        (tmp_path / "set" / name).write_text("words")
    assert main(["compress", "set", *where]) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.png", "b.jpg", "set"]


@pytest.fixture
def many(tmp_path):
    """More images than a pipe's buffer has room for lines of."""
    folder = tmp_path / "many"
    folder.mkdir()
    for k in range(300):
        Image.new("L", (8, 8), k % 256).save(folder / f"{k:03}.png")
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes of this kind")
@pytest.mark.parametrize("closed", ["stdout", "both"])
def test_a_closed_pipe_stops_the_run_at_once(many, tmp_path, closed):
    read, write = os.pipe()
    os.close(read)
    try:
        errors = write if closed == "both" else subprocess.PIPE
        streams = {"capture_output": False, "stdout": write, "stderr": errors}
        status, _, said = run(["compress", "many", "-o", "out"], tmp_path, **streams)
    finally:
        os.close(write)
    assert status == 1
    if closed == "stdout":
        assert said == "nnjpeg: stopped: nobody reads the output any more\n"
    assert len(list((tmp_path / "out").glob("*"))) <= 1 if (tmp_path / "out").exists() else True


def test_head_of_the_output(many, tmp_path):
    """As in a shell: what was written is whole, and there is no traceback when the interpreter ends."""
    command = [sys.executable, "-m", "nnjpeg", "compress", "many", "-o", "out"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 1
    assert said.count("\n") == 1
    assert "Traceback" not in said
    written = list((tmp_path / "out").glob("*"))
    assert len(written) < 300
    for path in written:
        assert nnjpeg.decode(path).shape == (8, 8)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize("where", [["-o", "out"], ["--tar", "out.tar"]])
def test_a_full_disk_stops_the_run_at_once(many, tmp_path, monkeypatch, capsys, number, where):
    monkeypatch.chdir(tmp_path)
    sync, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) > (3 if "-o" in where else 0):
            raise OSError(number, os.strerror(number))
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    assert main(["compress", "many", *where]) == 1
    said = capsys.readouterr().err
    assert os.strerror(number) in said
    assert said.count("\n") == 1
    assert "out" in said, "it names the file"
    left = sorted(path.name for path in tmp_path.rglob("*") if "many" not in path.parts)
    assert left == (["000.jpg", "001.jpg", "002.jpg", "out"] if "-o" in where else [])


def test_a_name_that_is_too_long_is_that_images_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set" / "deep").mkdir(parents=True)
    Image.new("L", (8, 8)).save(tmp_path / "set" / "deep" / "a.png")
    Image.new("L", (8, 8)).save(tmp_path / "set" / "b.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").write_text("no folder")
    assert main(["compress", "set", "-o", "out"]) == 1
    assert "a.png: [Errno" in capsys.readouterr().err
    assert (tmp_path / "out" / "b.jpg").exists()


def test_names_that_are_no_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    try:
        Image.new("L", (8, 8)).save(os.fsencode(tmp_path) + b"/set/\xff.png", "PNG")
    except OSError:
        pytest.skip("this file system wants text")
    environment = {**os.environ, "PYTHONUTF8": "1"}
    for where in (["-o", "out"], ["--tar", "set.tar"]):
        status, said, errors = run(["compress", "set", *where], tmp_path, env=environment)
        assert (status, errors) == (0, "")
        assert "\\udcff.jpg" in said
    assert os.listdir(os.fsencode(tmp_path) + b"/out") == [b"\xff.jpg"]


# Shards of another set


def test_stale_shards_are_removed_with_force_and_refused_without(classes, tmp_path, capsys):
    tar = tmp_path / "t" / "set.tar"
    command = ["compress", str(classes), "--tar", str(tar), "--shard", "5"]
    assert main(command) == 0
    other = tmp_path / "t" / "other-000002.tar"
    foreign = tmp_path / "t" / "set-000009.tar"
    other.write_bytes((tmp_path / "t" / "set-000002.tar").read_bytes())
    foreign.write_text("of somebody else")
    for path in sorted(classes.rglob("*.png"))[5:]:
        path.unlink()
    before = {path: path.read_bytes() for path in (tmp_path / "t").iterdir()}
    assert main(command) == 1
    assert "set-000001.tar exists and holds none of these images; --force removes it" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "t").iterdir()} == before
    assert main([*command, "--force"]) == 0
    said = capsys.readouterr().out
    for number in (1, 2):
        assert f"set-00000{number}.tar: removed" in said
    assert sorted((tmp_path / "t").iterdir()) == sorted([tar.with_name("set-000000.tar"), other, foreign])
    assert main(command) == 0


def test_stale_shards_stay_until_the_new_ones_are_whole(classes, tmp_path, monkeypatch):
    command = ["compress", str(classes), "--tar", str(tmp_path / "set.tar"), "--shard", "3", "--force"]
    assert main(command) == 0
    for path in sorted(classes.rglob("*.png"))[6:]:
        path.unlink()
    read, calls = bulk.read, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return read(*arguments)

    monkeypatch.setattr(bulk, "read", interrupted)
    assert main(command) == 130
    assert len(list(tmp_path.glob("*.tar"))) == 4


def test_with_force_a_shard_whose_images_are_all_bad_now_goes(classes, tmp_path, capsys):
    command = ["compress", str(classes), "--tar", str(tmp_path / "set.tar"), "--shard", "6"]
    assert main(command) == 0
    for path in sorted(classes.rglob("*.png"))[6:]:
        path.write_text("words")
    assert main([*command, "--force"]) == 1
    assert [path.name for path in tmp_path.glob("*.tar")] == ["set-000000.tar"]
    assert "set-000001.tar: removed" in capsys.readouterr().out


def test_what_does_not_fit_is_refused_before_anything_is_done(classes, tmp_path, capsys):
    command = ["compress", str(classes), "--tar", str(tmp_path / "set.tar"), "--shard", "5"]
    assert main([*command, "-q", "30"]) == 0
    (tmp_path / "set-000000.tar").unlink()
    assert main(command) == 1
    assert "set-000001.tar exists and holds something else" in capsys.readouterr().err
    assert not (tmp_path / "set-000000.tar").exists()


@pytest.mark.parametrize("more", [["--background", "red"], ["--convert"]])
def test_rules_are_part_of_what_a_tar_file_holds(classes, tmp_path, capsys, more):
    command = ["compress", str(classes), "--tar", str(tmp_path / "set.tar")]
    assert main(command) == 0
    assert main([*command, *more]) == 1
    assert "holds something else" in capsys.readouterr().err
    assert main([*command, *more, "--force"]) == 0
    assert main([*command, *more]) == 0


# Links


def linked(link, target, **options):
    try:
        link.symlink_to(target, **options)
    except OSError:
        pytest.skip("links may not be made here")


def test_linked_folders_are_followed_but_not_round_in_circles(tmp_path, capsys):
    (tmp_path / "set" / "cat").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deeper").mkdir(parents=True)
    Image.new("L", (8, 8)).save(tmp_path / "set" / "cat" / "1.png")
    Image.new("L", (8, 8), 9).save(tmp_path / "elsewhere" / "deeper" / "2.png")
    linked(tmp_path / "set" / "dog", tmp_path / "elsewhere")
    linked(tmp_path / "set" / "cat" / "self", tmp_path / "set")
    linked(tmp_path / "elsewhere" / "deeper" / "up", tmp_path / "elsewhere")
    linked(tmp_path / "elsewhere" / "deeper" / "across", tmp_path / "set" / "cat")
    linked(tmp_path / "set" / "one.png", tmp_path / "set" / "cat" / "1.png")
    assert main(["compress", str(tmp_path / "set"), "-o", str(tmp_path / "out")]) == 0
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.jpg"))
    assert found == ["cat/1.jpg", "dog/deeper/2.jpg", "dog/deeper/across/1.jpg", "one.jpg"]


@pytest.mark.parametrize("given", [".", "set", "set/", "./set/../set"])
def test_images_come_in_the_order_of_paths(tmp_path, monkeypatch, given):
    """Folder by folder, as in version 0.1.0: a tar file's description holds them in this order."""
    monkeypatch.chdir(tmp_path)
    for name in ("a/b/1.png", "a-b/1.png", "a.png", "a b.png", "a/b.png", "a/b-c/2.PNG", "Z.png", "é/1.jpg"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    folder = Path(given)
    found = sources.find([folder, Path("set/a/b/1.png"), Path("none.png")])
    expected = sorted(path for path in folder.rglob("*") if path.is_file())
    assert [source.path for source in found.sources] == [*expected, Path("set/a/b/1.png"), Path("none.png")]
    names = [path.relative_to(folder) for path in expected]
    assert [source.name for source in found.sources] == [*names, Path("1.png"), Path("none.png")]


def test_links_to_nothing_are_reported(tmp_path, capsys):
    Image.new("L", (8, 8)).save(tmp_path / "good.png")
    linked(tmp_path / "nothing.png", tmp_path / "none")
    linked(tmp_path / "round.png", tmp_path / "round.png")
    assert main(["compress", str(tmp_path), "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "nothing.png: [Errno" in said
    assert "round.png: [Errno" in said
    assert "2 of 3 images skipped" in said


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.png")
    assert main(["compress", str(tmp_path), "-o", str(tmp_path / "out")]) == 1
    assert "pipe.png: not a regular file" in capsys.readouterr().err


def test_a_folder_that_cannot_be_read_is_reported(classes, tmp_path, capsys, monkeypatch):
    scan = os.scandir

    def denied(path):
        if str(path).endswith("coffee"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)
    assert main(["compress", str(classes), "-o", str(tmp_path / "out")]) == 1
    assert f"skipped {classes / 'coffee'}: " in capsys.readouterr().err
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == 9


# Killed and started again


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("where", [["-o", "out"], ["--tar", "out/set.tar"]])
def test_what_a_signal_leaves(many, tmp_path, end, where):
    """Nothing half written after SIGTERM and Ctrl-C; after SIGKILL until the same command is run again."""
    for path in sorted(many.iterdir())[5:]:
        path.unlink()
    # A file is written slowly, so that the signal comes while one is.
    slow = (
        "import os, signal, sys, time\n"
        "from nnjpeg.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # which a shell's background jobs ignore
        "def wait(handle):\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n"
        "os.fsync = wait\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = ["compress", "many", *where]
    with subprocess.Popen(
        [sys.executable, "-c", slow, *command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        while process.stdout.readline() != "writing\n":
            pass
        process.send_signal(end)
        process.stdout.read()
    assert process.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}[end]
    left = list((tmp_path / "out").iterdir())
    assert len(left) == (end == signal.SIGKILL)
    assert run(command, tmp_path)[0] == 0
    assert not list((tmp_path / "out").glob(".*"))
    assert not [path for path in left if path.exists()]


# One file, and wrong targets


@pytest.mark.parametrize("name", ["y.jpg", "y.JPEG", "new/y.jpe"])
def test_output_may_be_a_file_for_one_image(folder, photos, name):
    assert main(["compress", str(folder / "cat.png"), "-o", str(folder / name)]) == 0
    assert (folder / name).read_bytes() == nnjpeg.encode(photos["chelsea"], NN_TABLE)


@pytest.mark.parametrize(
    ("files", "output", "message"),
    [
        (["cat.png", "grey.png"], "y.jpg", "-o y.jpg names one file; for several images give a folder"),
        (["."], "y.jpg", "-o y.jpg names one file; for several images give a folder"),
        (["cat.png"], "y.png", "-o y.png must be a folder, or for one image a file that ends in .jpg"),
        (["cat.png"], "grey.png", "-o grey.png must be a folder, or for one image a file that ends in .jpg"),
        (["cat.png"], "notes", "-o notes must be a folder, or for one image a file that ends in .jpg"),
        (["cat.png"], "there.jpg", "there.jpg exists; --force overwrites it"),
    ],
)
def test_wrong_outputs(folder, capsys, monkeypatch, files, output, message):
    monkeypatch.chdir(folder)
    (folder / "notes").write_text("words")
    (folder / "there.jpg").write_text("precious")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(["compress", *files, "-o", output]) == 1
    assert message in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_that_is_named_as_a_file_is_one(folder):
    (folder / "set.jpg").mkdir()
    assert main(["compress", str(folder / "cat.png"), "-o", str(folder / "set.jpg")]) == 0
    assert (folder / "set.jpg" / "cat.jpg").exists()


# What is kept and what is not (the rules of reading: test_pictures.py)


def test_metadata_is_kept_and_the_summary_counts_what_is_not(tmp_path, capsys):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    image = Image.new("RGB", (24, 16), "red")
    image.save(tmp_path / "a.png", exif=exif, icc_profile=profile)
    image.save(tmp_path / "b.gif", save_all=True, append_images=[Image.new("RGB", (24, 16), "blue")])
    image.save(tmp_path / "c.jpg", comment="words", xmp=b"<x/>")
    Image.new("RGBA", (24, 16), (0, 0, 0, 128)).save(tmp_path / "d.png")
    Image.new("CMYK", (24, 16)).save(tmp_path / "e.tif")
    command = ["compress", str(tmp_path), "-o", str(tmp_path / "out"), "--background", "white", "--convert"]
    assert main(command) == 0
    with Image.open(tmp_path / "out" / "a.jpg") as kept:
        assert kept.info["icc_profile"] == profile
        assert kept.getexif()[0x010F] == "Maker"
    (line,) = capsys.readouterr().err.splitlines()
    for part in (
        "XMP (1)", "comments (1)", "other frames, pages or layers (1)", "transparency (1)",
        "colours of mode CMYK, made RGB (1)",
    ):  # fmt: skip
        assert part in line


@pytest.mark.parametrize("colour", ["no colour", "#ffffff80", "rgba(1,2,3,4)"])
def test_backgrounds_that_are_none(colour, capsys):
    with pytest.raises(SystemExit) as error:
        main(["compress", "x.png", "-o", "out", "--background", colour])
    assert error.value.code == 2
    assert "background must be an opaque colour, such as white or #ffffff" in capsys.readouterr().err


def test_warnings_of_pillow_name_the_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    Image.new("L", (8, 8)).save(tmp_path / "large.png")
    assert main(["compress", str(tmp_path / "large.png"), "-o", str(tmp_path / "out")]) == 0
    assert "large.jpg: Image size (64 pixels) exceeds limit of 50 pixels" in capsys.readouterr().err
