"""nnjpeg compress: what goes wrong with an image is that image's alone, and what stops a run leaves whole files."""

import errno
import io
import os
import signal
import subprocess
import sys

import compressing
import pytest
from PIL import Image

import nnjpeg
from nnjpeg.cli import main

folder, classes = compressing.folder, compressing.classes  # fixtures


@pytest.fixture
def many(tmp_path):
    """More images than a pipe's buffer has room for lines of."""
    folder = tmp_path / "many"
    folder.mkdir()
    for k in range(300):
        Image.new("L", (8, 8), k % 256).save(folder / f"{k:03}.png")
    return folder


def run(command, folder, **options):
    """In a process of its own: (exit status, stdout, stderr)."""
    options = {"capture_output": True, "text": True, "timeout": 120, **options}
    result = subprocess.run([sys.executable, "-m", "nnjpeg", *map(str, command)], cwd=folder, **options)
    return result.returncode, result.stdout, result.stderr


def linked(link, target, **options):
    try:
        link.symlink_to(target, **options)
    except OSError:
        pytest.skip("links may not be made here")


# Images that cannot be read, one by one


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


@pytest.mark.parametrize("where", [["-o", "new"], ["--tar", "new/set.tar"], ["--tar", "new/set.tar", "--shard", "1"]])
def test_bad_files_alone_leave_nothing(tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    for name in ("a.png", "b.jpg"):
        (tmp_path / "set" / name).write_text("words")
    assert main(["compress", "set", *where]) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.png", "b.jpg", "set"]


# Names, links, pipes, and folders


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


# Runs that are stopped: nobody reads, no room, a signal


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


def test_the_same_command_resumes_a_killed_run(many, tmp_path):
    command = ["compress", "many", "-o", "out"]
    asked = [sys.executable, "-m", "nnjpeg", *command]
    with subprocess.Popen(asked, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        for _ in range(4):
            process.stdout.readline()
        process.kill()
        process.stdout.read()
    there = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.jpg")}
    assert len(there) >= 3
    status, said, errors = run(command, tmp_path)
    assert (status, errors) == (0, f"nnjpeg: {len(there)} of 300 images done before\n")
    assert said.count(": done before\n") == len(there)
    assert {path: path.stat().st_mtime_ns for path in there} == there
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{k:03}.jpg" for k in range(300)]


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
