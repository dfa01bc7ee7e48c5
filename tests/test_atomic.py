import errno
import itertools
import os
import subprocess
import sys
import threading

import pytest

from nnjpeg import atomic


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        atomic.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("links", [True, False])
def test_an_existing_file_is_kept_if_asked(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(atomic.os, "link", lambda *_: (_ for _ in ()).throw(PermissionError()))
    path = tmp_path / "file"
    atomic.write(path, b"first", overwrite=False)
    with pytest.raises(FileExistsError):
        atomic.write(path, b"second", overwrite=False)
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]
    atomic.write(path, b"third")
    assert path.read_bytes() == b"third"


def leave_behind(folder):
    """What a process leaves that was killed while it wrote: a file that nobody holds."""
    path = folder / ".left.nnjpeg-part"
    path.write_bytes(b"half")
    return path


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """As in a process that has not looked into any folder."""
    monkeypatch.setattr(atomic, "_swept", set())


def test_what_dead_processes_left_goes_with_the_next_write(tmp_path):
    left, mine = leave_behind(tmp_path), tmp_path / ".precious"
    mine.write_text("words")
    other = tmp_path / "other" / left.name
    other.parent.mkdir()
    other.write_bytes(b"half")
    atomic.write(tmp_path / "file", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".precious", "file", "other"]
    assert other.exists(), "another folder"


WRITES = """
import sys, time
from nnjpeg import atomic
with atomic.opened(sys.argv[1]) as file:
    file.write(b"whole")
    file.flush()
    print("writing", flush=True)
    sys.stdin.readline()
print("done", flush=True)
"""


def test_what_a_living_process_writes_is_left_alone(tmp_path):
    """Two runs at once in a folder: neither takes the other's file for a dead one's."""
    command = [sys.executable, "-c", WRITES, str(tmp_path / "theirs")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=tmp_path) as process:
        assert process.stdout.readline() == "writing\n"
        (temporary,) = tmp_path.iterdir()
        for name in ("mine", "mine too"):
            atomic._swept.clear()
            atomic.write(tmp_path / name, b"new")
        assert temporary.exists()
        process.stdin.write("\n")
        process.stdin.close()
        assert process.stdout.readline() == "done\n"
    assert (tmp_path / "theirs").read_bytes() == b"whole"
    assert not temporary.exists()


def test_what_a_thread_writes_is_left_alone_by_another(tmp_path):
    with atomic.opened(tmp_path / "slow") as file:
        file.write(b"whole")
        atomic._swept.clear()
        atomic.write(tmp_path / "quick", b"new")
    assert (tmp_path / "slow").read_bytes() == b"whole"


@pytest.mark.skipif(atomic.fcntl is None, reason="locks of POSIX")
def test_a_killed_process_is_cleaned_up_after(tmp_path):
    command = [sys.executable, "-c", WRITES, str(tmp_path / "theirs")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=tmp_path) as process:
        assert process.stdout.readline() == "writing\n"
        process.kill()
    assert [path.name for path in tmp_path.iterdir()] != ["theirs"]
    atomic.write(tmp_path / "mine", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.skipif(atomic.fcntl is None, reason="locks of POSIX")
def test_where_there_are_no_locks_nothing_is_swept(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    left = leave_behind(tmp_path)
    monkeypatch.setattr(atomic.fcntl, "flock", no_locks)
    atomic.write(tmp_path / "file", b"new")
    assert left.exists()
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.skipif(atomic.fcntl is None, reason="locks of POSIX")
def test_a_file_that_is_swept_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    """Between the making of a file and its lock another process may look."""
    lock, calls = atomic.fcntl.flock, []

    def swept(handle, how):
        if not calls:
            (path,) = tmp_path.iterdir()
            path.unlink()
        calls.append(handle)
        lock(handle, how)

    monkeypatch.setattr(atomic.fcntl, "flock", swept)
    atomic.write(tmp_path / "file", b"new")
    assert len(calls) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def interrupted_at(line):
    """A trace function that raises at the `line`-th line of the module that is run."""
    lines = iter(range(line + 1))

    def trace(frame, event, _):
        if frame.f_code.co_filename != atomic.__file__:
            return None
        if event == "line" and next(lines, None) == line:
            raise KeyboardInterrupt
        return trace

    return trace


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_an_interrupt_at_any_moment_leaves_nothing(tmp_path):
    """Ctrl-C at every line of the module in turn: what remains goes at the end of the process, if not at once."""
    for line in itertools.count():
        atomic._swept.clear()
        sys.settrace(interrupted_at(line))
        try:
            atomic.write(tmp_path / "file", b"new")
            break
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        atomic.discard()  # as atexit does
        assert {path.name for path in tmp_path.iterdir()} <= {"file"}, f"after line {line}"
    assert line > 20
    assert (tmp_path / "file").read_bytes() == b"new"


def test_names_as_long_as_names_may_be(tmp_path):
    path = tmp_path / ("x" * 255)
    atomic.write(path, b"new", overwrite=False)
    assert path.read_bytes() == b"new"


def test_the_end_of_a_forked_child_removes_nothing(tmp_path):
    code = WRITES.replace(
        "    print(", "    import os\n    if not (pid := os.fork()): sys.exit()\n    os.waitpid(pid, 0)\n    print(", 1
    )
    if not hasattr(os, "fork"):
        pytest.skip("no fork")
    command = [sys.executable, "-c", code, str(tmp_path / "file")]
    result = subprocess.run(command, input="\n", text=True, timeout=60, cwd=tmp_path)
    assert result.returncode == 0
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_the_lock_lasts_until_the_file_has_its_name(tmp_path, monkeypatch):
    replace = os.replace

    def swept(*paths):
        atomic._swept.clear()
        atomic.sweep(tmp_path)
        replace(*paths)

    monkeypatch.setattr(os, "replace", swept)
    atomic.write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


# Many files


def test_many_files_wait_for_the_disk_at_once(tmp_path, monkeypatch):
    """Each sync here lasts until another one has begun; they come from several threads, whose errors are the files'."""
    meeting, sync = threading.Barrier(2), os.fsync

    def both(handle):
        meeting.wait(60)
        sync(handle)

    monkeypatch.setattr(os, "fsync", both)
    paths = [tmp_path / "new" / name for name in "abcd"]
    assert list(atomic.write_many([(path, path.name.encode()) for path in paths])) == [None] * 4
    assert [path.read_text() for path in sorted((tmp_path / "new").iterdir())] == list("abcd")


def test_what_is_wrong_with_one_of_many_files_is_that_files_alone(tmp_path, monkeypatch):
    sync = os.fsync

    def full(handle):
        if os.fstat(handle).st_size == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    (tmp_path / "there").write_bytes(b"old")
    names = {"a": b"1", "there": b"22", "x" * 256: b"1", "full": b"333", "there/b": b"1", "z": b"4444"}
    files = [(tmp_path / name, data) for name, data in names.items()]
    found = list(atomic.write_many(files, overwrite=False))
    assert [error and error.errno for error in found] == [
        None, errno.EEXIST, errno.ENAMETOOLONG, errno.ENOSPC, errno.EEXIST, None
    ]  # fmt: skip
    for (path, _), error in zip(files, found, strict=True):
        assert error is None or str(path.parent if path.name == "b" else path) in str(error)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"1", "there": b"old", "z": b"4444"}


def test_of_many_files_those_that_are_given_up_are_not_written(tmp_path):
    writing = atomic.write_many([(tmp_path / name, b"new") for name in "abc"])
    assert next(writing) is None
    writing.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
