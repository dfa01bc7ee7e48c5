"""nnjpeg compress --tar: what tar files and their shards hold, and when they are made again, mended, or removed."""

import io
import json
import tarfile

import compressing
import numpy as np
import pytest

import nnjpeg
from nnjpeg import NN_TABLE, bulk, shards
from nnjpeg.cli import main

classes = compressing.classes  # a fixture


def members(path):
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


@pytest.fixture
def interrupted_at(monkeypatch):
    """A function after which Ctrl-C comes at the `number`-th reading of an image; it returns the list of readings."""

    def interrupted_at(number):
        read, calls = bulk.read, []

        def interrupted(*arguments):
            calls.append(arguments)
            if len(calls) == number:
                raise KeyboardInterrupt
            return read(*arguments)

        monkeypatch.setattr(bulk, "read", interrupted)
        return calls

    return interrupted_at


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


def test_shards_that_are_there_are_not_made_again(classes, tmp_path, capsys, interrupted_at):
    command = ["compress", str(classes), "--tar", str(tmp_path / "set.tar"), "--shard", "5"]
    read = interrupted_at(8)
    assert main(command) == 130
    assert sorted(path.name for path in tmp_path.glob("*tar*")) == ["set-000000.tar"]
    until_then = len(read)
    assert main(command) == 0
    assert len(read) - until_then == 7, "the first shard was made once"
    assert "set-000000.tar: done before" in capsys.readouterr().out
    assert [len(members(path)) for path in sorted(tmp_path.glob("*.tar"))] == [5, 5, 2]
    before = [path.read_bytes() for path in sorted(tmp_path.glob("*.tar"))]
    assert main([*command, "-q", "30"]) == 1
    assert "holds something else; --force overwrites it" in capsys.readouterr().err
    assert [path.read_bytes() for path in sorted(tmp_path.glob("*.tar"))] == before
    assert main([*command, "-q", "30", "--force"]) == 0
    assert [path.read_bytes() for path in sorted(tmp_path.glob("*.tar"))] != before


def test_a_tar_file_with_chroma_subsampling(classes, tmp_path, photos, capsys):
    tar = tmp_path / "set.tar"
    command = ["compress", str(classes), "--tar", str(tar), "--colorspace", "ycbcr", "--subsampling", "4:2:2"]
    assert main(command) == 0
    assert shards.description_of(tar)["subsampling"] == "4:2:2"
    for name, data in members(tar).items():
        folder, k = name.split("/")
        image = photos[folder][int(k[0]) : int(k[0]) + 40, :50]
        assert data == nnjpeg.encode(image, NN_TABLE, colorspace="ycbcr", subsampling="4:2:2")
    assert main(command) == 0
    assert "done before" in capsys.readouterr().out
    assert main([*command[:-1], "4:4:4", "--force"]) == 0
    assert "subsampling" not in shards.description_of(tar), "as version 0.1.0 describes it"


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
    assert status == 2
    assert message in capsys.readouterr().err


def test_what_does_not_fit_is_refused_before_anything_is_done(classes, tmp_path, capsys):
    command = ["compress", str(classes), "--tar", str(tmp_path / "set.tar"), "--shard", "5"]
    assert main([*command, "-q", "30"]) == 0
    (tmp_path / "set-000000.tar").unlink()
    assert main(command) == 1
    assert "set-000001.tar exists and holds something else" in capsys.readouterr().err
    assert not (tmp_path / "set-000000.tar").exists()


@pytest.mark.parametrize("more", [["--background", "red"], ["--convert"], ["--subsampling", "4:2:0"]])
def test_options_are_part_of_what_a_tar_file_holds(classes, tmp_path, capsys, more):
    command = ["compress", str(classes), "--tar", str(tmp_path / "set.tar"), "--colorspace", "ycbcr"]
    assert main(command) == 0
    assert main([*command, *more]) == 1
    assert "holds something else" in capsys.readouterr().err
    assert main([*command, *more, "--force"]) == 0
    assert main([*command, *more]) == 0


# Failed before


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
    assert "done before, but for 1 image" in capsys.readouterr().out
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


def test_stale_shards_stay_until_the_new_ones_are_whole(classes, tmp_path, interrupted_at):
    command = ["compress", str(classes), "--tar", str(tmp_path / "set.tar"), "--shard", "3", "--force"]
    assert main(command) == 0
    for path in sorted(classes.rglob("*.png"))[6:]:
        path.unlink()
    interrupted_at(5)
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
