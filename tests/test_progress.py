"""Progress: a bar on a terminal, else a line every few seconds."""

import io
import os
import re
import sys
import threading
import time
from pathlib import Path

import pytest

from nnjpeg import _progress
from nnjpeg._progress import Progress, stage
from nnjpeg.cli import main


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """A reporter of its own, that writes a line every tenth of a second."""
    monkeypatch.setattr(_progress, "_PERIOD", 0.1)
    monkeypatch.setattr(_progress, "_reporter", _progress._Reporter())


def wait(lines, capsys, found=""):
    """Until so many lines came."""
    deadline = time.monotonic() + 30
    while found.count("\n") < lines:
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
        found += capsys.readouterr().err
    return found


def test_lines_say_what_how_many_of_how_many_and_the_time_left(capsys):
    with stage("nnjpeg train"), Progress("M50", 400, "step", done=100) as progress:
        first = wait(1, capsys)
        progress.update(150)
        last = wait(2, capsys).splitlines()[-1]
    assert re.search(r"^nnjpeg train: \d:\d\d so far; M50: 100 of 400 steps, \d:\d\d so far$", first, re.M)
    assert re.fullmatch(r"nnjpeg train: \d:\d\d so far; M50: 250 of 400 steps, \d:\d\d left", last)


def test_the_time_left_is_that_of_the_pace_so_far(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    progress = Progress("cells", 20, "cell", done=10)
    progress.done = 15
    clock[0] += 3600
    assert str(progress) == "cells: 15 of 20 cells, 1:00:00 left"
    assert str(Progress("looking", None, "image")) == "looking: 0 images, 0:00 so far"
    assert str(Progress("pgd", 1, "batch")) == "pgd: 0 of 1 batches, 0:00 so far"


def test_a_single_long_step_gives_lines_too(capsys):
    with stage("nnjpeg design"):
        found = wait(3, capsys)
    assert re.search(r"^nnjpeg design: \d:\d\d so far$", found, re.M)


def test_what_is_short_says_nothing_and_leaves_no_thread(capsys, monkeypatch):
    monkeypatch.setattr(_progress, "_PERIOD", 60.0)
    with stage("outer"), Progress("inner", 3, "step") as progress:
        progress.update(3)
        assert any(thread.name == "nnjpeg progress" for thread in threading.enumerate())
    assert not any(thread.name == "nnjpeg progress" for thread in threading.enumerate())
    assert capsys.readouterr() == ("", "")


def test_many_short_ones_in_a_row_give_a_line_now_and_then(capsys):
    deadline = time.monotonic() + 30
    found = ""
    while not found:
        with Progress("attack", 1, "batch") as progress:
            time.sleep(0.02)
            progress.update()
        found = capsys.readouterr().err
        assert time.monotonic() < deadline
    assert "attack: " in found


def test_the_time_between_is_not_counted(capsys, monkeypatch):
    monkeypatch.setattr(_progress, "_PERIOD", 60.0)
    _progress._reporter._line = _progress._reporter._idle = time.monotonic() - 100
    with Progress("second", 1, "step"):
        time.sleep(0.05)
    assert capsys.readouterr().err == ""


def test_an_error_ends_it(capsys):
    with pytest.raises(ValueError, match="broken"), Progress("first", 1, "step"):
        raise ValueError("broken")
    time.sleep(0.25)
    assert capsys.readouterr().err == ""


def test_quiet_says_nothing(capsys):
    with stage("nnjpeg train", quiet=True), Progress("M50", 4, "step", quiet=True):
        time.sleep(0.25)
    assert capsys.readouterr().err == ""


def test_a_closed_stderr_ends_nothing(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    with Progress("first", 2, "step") as progress:
        file.close()
        time.sleep(0.25)
        progress.update()
    assert progress.done == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_forks(capsys):
    """A child has no thread and nothing to report; its own progress works, and so does the parent's."""
    with Progress("parent", 2, "step") as progress:
        wait(1, capsys)
        child = os.fork()
        if child == 0:
            try:
                quiet = not _progress._reporter._going_on and threading.active_count() == 1
                progress.update()
                with Progress("child", 1, "step"):
                    alive = any(thread.name == "nnjpeg progress" for thread in threading.enumerate())
                os._exit(0 if quiet and alive else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        progress.update()
        capsys.readouterr()
        assert "parent: 1 of 2 steps" in wait(1, capsys)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_there_is_a_bar(monkeypatch):
    pytest.importorskip("tqdm")
    file, out = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    with stage("nnjpeg train"), Progress("outer", 2, "step") as outer:
        with Progress("inner", 3, "batch") as inner:
            inner.update(3)
        outer.write("words", out)
        outer.update(2)
        time.sleep(0.25)
    text = file.getvalue()
    assert "outer: 100%" in text
    assert "inner: " in text
    assert "so far" not in text, "bars, no lines"
    assert out.getvalue() == "words\n"


def test_on_a_terminal_without_tqdm_there_are_lines(monkeypatch):
    file = Terminal()
    monkeypatch.setattr(sys, "stderr", file)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with Progress("outer", 2, "step"):
        deadline = time.monotonic() + 30
        while "outer: 0 of 2 steps" not in file.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_command_of_the_method_shows_that_it_lives(monkeypatch, tmp_path, capsys):
    pytest.importorskip("accelerate")
    from nnjpeg.paper import analyze
    from nnjpeg.robust.record import distributed

    monkeypatch.setattr(analyze, "run", lambda spec, run, machine: time.sleep(0.5))
    assert main(["analyze", "--out", str(tmp_path / "a")]) == 0
    assert re.search(r"^nnjpeg analyze: \d:\d\d so far$", capsys.readouterr().err, re.M)
    monkeypatch.setattr(distributed, "is_main", lambda: False)
    assert main(["analyze", "--out", str(tmp_path / "a")]) == 0
    assert capsys.readouterr().err == "", "of torchrun's processes, one talks"


def test_tqdm_is_used_in_one_place():
    files = Path(_progress.__file__).parent.rglob("*.py")
    assert [path.name for path in files if "import tqdm" in path.read_text("utf-8")] == ["_progress.py"]
