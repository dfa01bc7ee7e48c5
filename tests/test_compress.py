"""nnjpeg compress: what is written for images and folders of them, and where.

What goes into tar files: test_compress_tar.py; what goes wrong: test_compress_failures.py; the rules of reading:
test_pictures.py.
"""

import itertools
import stat
import sys
import tarfile
import threading
import time
import warnings
from pathlib import Path

import compressing
import numpy as np
import pytest
from PIL import Image

import nnjpeg
from nnjpeg import NN_TABLE, QTable, bulk, sources
from nnjpeg.cli import main

folder, classes = compressing.folder, compressing.classes  # fixtures


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


@pytest.mark.parametrize(("text", "quality"), [("80", 80), ("30.5", 30.5)])
def test_compress_options(folder, photos, text, quality):
    QTable.standard_luminance().save(folder / "table.txt")
    arguments = ["compress", str(folder / "cat.png"), "-o", str(folder), "-t", str(folder / "table.txt")]
    assert main([*arguments, "-q", text, "--colorspace", "ycbcr"]) == 0
    expected = nnjpeg.encode(photos["chelsea"], QTable.standard_luminance().at_quality(quality), colorspace="ycbcr")
    assert (folder / "cat.jpg").read_bytes() == expected


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_compress_with_chroma_subsampling(folder, photos, subsampling, capsys):
    arguments = ["compress", str(folder), "-o", str(folder / "out"), "--colorspace", "ycbcr"]
    assert main([*arguments, "--subsampling", subsampling]) == 0
    coding = {"colorspace": "ycbcr", "subsampling": subsampling}
    data = (folder / "out" / "cat.jpg").read_bytes()
    assert data == nnjpeg.encode(photos["chelsea"], NN_TABLE, **coding)
    assert nnjpeg.settings_of(data) == ((NN_TABLE,) * 3, "ycbcr", subsampling)
    assert (folder / "out" / "grey.jpg").read_bytes() == nnjpeg.encode(photos["chelsea"][..., 0], NN_TABLE)
    mse = ((nnjpeg.decode(data).astype(float) - photos["chelsea"]) ** 2).mean()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "cat.jpg" in line]
    assert float(line.split()[3]) == pytest.approx(10 * np.log10(255**2 / mse), abs=5e-3)


LUMA, CHROMA = (QTable.standard_luminance().at_quality(75), QTable.standard_chrominance().at_quality(75))


@pytest.mark.parametrize("form", ["photo.jpg", "two.txt", "three.txt"])
def test_compress_as_ordinary_jpeg(folder, photos, form):
    """Tables of another JPEG file, or a text of luma and chroma: the files are those that Pillow writes."""
    colour = Image.fromarray(photos["chelsea"])
    colour.save(folder / "photo.jpg", quality=75)
    colour.save(folder / "wanted.jpg", quality=75)
    colour.getchannel(0).save(folder / "wanted-grey.jpg", quality=75)
    texts = ["\n".join(" ".join(map(str, row)) for row in table.to_list()) for table in (LUMA, CHROMA, CHROMA)]
    (folder / "two.txt").write_text("\n\n".join(texts[:2]))
    (folder / "three.txt").write_text("\n\n".join(texts))
    images = [str(folder / "cat.png"), str(folder / "grey.png")]
    coding = ["-t", str(folder / form), "--colorspace", "ycbcr", "--subsampling", "4:2:0"]
    assert main(["compress", *images, "-o", str(folder / "out"), *coding]) == 0
    for name, wanted in (("cat.jpg", "wanted.jpg"), ("grey.jpg", "wanted-grey.jpg")):
        found = (folder / "out" / name).read_bytes()
        np.testing.assert_array_equal(nnjpeg.decode(found), nnjpeg.decode(folder / wanted))
        assert nnjpeg.settings_of(found) == nnjpeg.settings_of(folder / wanted)


def test_more_tables_than_components_are_refused(folder, capsys):
    (folder / "four.txt").write_text("7 " * 256)
    with pytest.raises(SystemExit, match="2"):
        main(["compress", str(folder), "-o", str(folder / "out"), "-t", str(folder / "four.txt")])
    assert "holds 4 tables, accepted are 1 to 3" in capsys.readouterr().err


def test_compress_refuses_subsampling_in_rgb_before_anything_is_done(folder, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["compress", str(folder), "-o", str(folder / "out"), "--subsampling", "4:2:0"])
    assert "--subsampling 4:2:0 goes with --colorspace ycbcr" in capsys.readouterr().err
    assert not (folder / "out").exists()


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


# Done before


@pytest.fixture
def finished(classes, tmp_path, capsys):
    """A command that has run, and its twelve files."""
    command = ["compress", str(classes), "-o", str(tmp_path / "out")]
    assert main(command) == 0
    capsys.readouterr()
    return command, sorted((tmp_path / "out").rglob("*.jpg"))


def stamps(files):
    return [(path.stat().st_ino, path.stat().st_mtime_ns) for path in files]


def test_the_same_command_writes_what_is_missing(finished, capsys):
    command, files = finished
    before, data = stamps(files), [path.read_bytes() for path in files]
    for path in files[2:9:3]:
        path.unlink()
    assert main(command) == 0
    said, errors = capsys.readouterr()
    assert errors == "nnjpeg: 9 of 12 images done before\n"
    lines = said.splitlines()[1:]
    assert [line.endswith(": done before") for line in lines] == [k not in (2, 5, 8) for k in range(12)]
    assert [path.read_bytes() for path in files] == data
    after = stamps(files)
    assert [k for k in range(12) if after[k] != before[k]] == [2, 5, 8], "finished files are not written again"


def test_other_settings_are_something_else(finished, capsys):
    command, files = finished
    before = stamps(files)
    for other in (["-q", "80"], ["--colorspace", "ycbcr"]):
        assert main([*command, *other]) == 1
        errors = capsys.readouterr().err
        assert errors.count("exists and holds something else; --force overwrites it") == 12
        assert "12 of 12 images skipped" in errors
        assert stamps(files) == before
    assert main([*command, "-q", "80", "--force"]) == 0
    assert main([*command, "-q", "80"]) == 0
    assert "12 of 12 images done before" in capsys.readouterr().err


def test_an_image_that_has_changed_is_not_done(finished, classes, capsys):
    command, files = finished
    before = stamps(files)
    Image.new("RGB", (50, 40), "red").save(classes / "coffee" / "1.v1.png")
    foreign = next(path for path in files if path.parent.name == "rocket")
    foreign.write_bytes(bytes(foreign.stat().st_size))
    assert main(command) == 1
    errors = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2].partition(" exists")[0] for line in errors if "exists and holds" in line] == [
        f"skipped {classes / 'coffee' / '1.v1.png'}: {files[0].parent.parent / 'coffee' / '1.v1.jpg'}",
        f"skipped {classes / 'rocket' / '0.v1.png'}: {foreign}",
    ]
    assert errors[-2:] == ["nnjpeg: 10 of 12 images done before", "nnjpeg: 2 of 12 images skipped"]
    assert foreign.read_bytes() == bytes(foreign.stat().st_size)
    assert main([*command, "--force"]) == 0
    assert not [path for path, one in zip(files, before, strict=True) if path.stat().st_mtime_ns == one[1]]
    assert main(command) == 0


def test_an_image_whose_name_another_has_is_never_done(folder, capsys):
    """Whether the bytes of the two differ or not."""
    (folder / "other").mkdir()
    for image in (Image.new("L", (8, 8)), Image.open(folder / "cat.png")):
        image.save(folder / "other" / "cat.png")
        command = ["compress", str(folder / "cat.png"), str(folder / "other" / "cat.png"), "-o", str(folder / "out")]
        for _ in range(2):
            assert main(command) == 1
            assert f"another image of this run is {folder / 'out' / 'cat.jpg'}" in capsys.readouterr().err


def test_what_is_no_file_is_something_else(folder, capsys):
    (folder / "out" / "cat.jpg").mkdir(parents=True)
    assert main(["compress", str(folder / "cat.png"), "-o", str(folder / "out")]) == 1
    assert "cat.jpg exists and holds something else" in capsys.readouterr().err


def test_compress_leaves_ordinary_permissions(folder):
    assert main(["compress", str(folder / "grey.png"), "-o", str(folder)]) == 0
    (folder / "reference").touch()
    mode = stat.S_IMODE((folder / "reference").stat().st_mode)
    assert stat.S_IMODE((folder / "grey.jpg").stat().st_mode) == mode


# Folders


def test_compress_keeps_the_folders_of_a_folder(classes, tmp_path, photos):
    assert main(["compress", str(classes), "-o", str(tmp_path / "out")]) == 0
    files = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.jpg"))
    assert files == sorted(f"{name}/{k}.v1.jpg" for name in photos for k in range(3))
    found = nnjpeg.decode(tmp_path / "out/coffee/2.v1.jpg")
    np.testing.assert_array_equal(found, nnjpeg.roundtrip(photos["coffee"][2:42, :50], NN_TABLE))


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


def test_a_folder_without_images_is_an_error(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["compress", str(tmp_path / "empty"), "-o", str(tmp_path / "out")]) == 1
    assert "no images in this folder" in capsys.readouterr().err


# Threads


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.setattr(bulk, "available_cpus", lambda: 2)


@pytest.mark.parametrize("where", [["-o", "out"], ["--tar", "set.tar"]])
def test_images_are_coded_at_once_and_written_in_their_order(tmp_path, monkeypatch, capsys, two_threads, where):
    """The first image is not read before the second is: in one thread it would wait for ever."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    names = [f"{k}.png" for k in range(5)]
    for name in names:
        Image.new("L", (8, 8)).save(tmp_path / "set" / name)
    (tmp_path / "set" / "3.png").write_text("words")
    read, second = bulk.read, threading.Event()

    def waiting(path, rules):
        if path.name == "1.png":
            second.set()
        assert path.name != "0.png" or second.wait(60)
        return read(path, rules)

    monkeypatch.setattr(bulk, "read", waiting)
    errors = sys.stderr
    monkeypatch.setattr(sys, "stderr", sys.stdout)
    assert main(["compress", "set", *where]) == 1
    monkeypatch.setattr(sys, "stderr", errors)
    lines = capsys.readouterr().out.splitlines()
    assert [next(k for k in range(5) if f"{k}.jpg" in line or f"{k}.png" in line) for line in lines[1:6]] == [*range(5)]
    if "--tar" in where:
        with tarfile.open("set.tar") as tar:
            assert tar.getnames() == [f"{k}.jpg" for k in (0, 1, 2, 4)]


def test_warnings_of_pillow_name_the_file_where_two_are_read_at_once(tmp_path, capsys, monkeypatch, two_threads):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    for k in (8, 9):
        Image.new("L", (8, k)).save(tmp_path / f"{k}.png")
    opened, meeting = Image.open, threading.Barrier(2)

    def meet(*arguments, **options):
        meeting.wait(60)
        image = opened(*arguments, **options)
        meeting.wait(60)
        return image

    monkeypatch.setattr(Image, "open", meet)
    filters = list(warnings.filters)
    assert main(["compress", str(tmp_path), "-o", str(tmp_path / "out")]) == 0
    assert warnings.filters == filters
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("out")[2][1:] for line in lines] == [
        f"{k}.jpg: Image size ({8 * k} pixels) exceeds limit of 50 pixels, could be decompression bomb DOS attack."
        for k in (8, 9)
    ]


def test_no_more_is_read_ahead_than_memory_is_meant_for(monkeypatch, two_threads):
    monkeypatch.setattr(bulk._Ahead, "_MOST_BYTES", 1000)
    asked = []

    def items():
        for k in itertools.count():
            asked.append(k)
            yield k

    def code(k):
        return bulk.Result(bytes(100), (1000, 1000), 0.0, (), ())

    with bulk._Ahead(code, items()) as ahead:
        taken = [item for item, _ in ahead.take(50)]
        while len(taken) < 300:
            taken += [item for item, _ in ahead.take(50)]
            assert len(asked) - len(taken) < bulk._Ahead._MOST + bulk._Ahead._MOST_IN_A_ROW
        deadline = time.monotonic() + 60
        while ahead._bytes < 1000 and time.monotonic() < deadline:
            ahead._fill()
        before = len(asked)
        ahead._fill()
        assert len(asked) == before, "results of so many bytes wait to be taken"
    assert taken == list(range(len(taken)))


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
        (["cat.png"], "there.jpg", "there.jpg exists and holds something else; --force overwrites it"),
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


# What is kept and what is not


def test_compress_turns_photographs_upright(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to show
    Image.fromarray(pixels).save(folder / "phone.png", exif=exif)
    assert main(["compress", str(folder / "phone.png"), "-o", str(folder)]) == 0
    upright = np.ascontiguousarray(np.rot90(pixels, -1))
    np.testing.assert_array_equal(nnjpeg.decode(folder / "phone.jpg"), nnjpeg.roundtrip(upright, NN_TABLE))


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
