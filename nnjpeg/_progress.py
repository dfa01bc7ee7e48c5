"""Progress: a bar on a terminal, where tqdm is installed; else a line on stderr every few seconds, for a log.

The line names everything that is in progress, the outermost first: ``nnjpeg train: 4:10 so far; M50: 130 of 400 steps,
1:20 left``. It comes from a thread, so it appears during a single long step too. Work that ends before the first line
is due prints nothing.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, TextIO, final

from nnjpeg._words import plural

__all__ = ["Progress", "stage"]

_PERIOD = 9.0  # seconds between lines: ten at most, also where the machine is busy


@final
class Progress:
    """The progress of a piece of work; a context manager.

    Parameters
    ----------
    what : str
        Name of the work.
    total : int, optional
        Number of units; None if it is unknown.
    unit : str
        Name of a unit, in the singular.
    done : int
        Number of units that were done before.
    quiet : bool
        Print nothing: for processes whose progress another process prints.
    """

    def __init__(
        self, what: str, total: int | None = None, unit: str = "", *, done: int = 0, quiet: bool = False
    ) -> None:
        self.what, self.total, self.unit, self.done = what, total, unit, done
        self._before, self._began, self._quiet = done, time.monotonic(), quiet
        self._bar: Any = None

    def __enter__(self) -> Progress:
        self._began = time.monotonic()
        if not self._quiet:
            tqdm = _tqdm()
            if tqdm is None:
                _reporter.add(self)
            else:  # leave=None: of nested bars the outermost stays
                self._bar = tqdm(total=self.total, initial=self.done, desc=self.what, unit=self.unit, leave=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        _reporter.remove(self)

    def update(self, count: int = 1) -> None:
        """`count` more are done."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
        else:
            _reporter.go_on()

    def write(self, line: str, file: TextIO | None = None) -> None:
        """Print a line at once, on stdout by default, above a bar if there is one."""
        file = file or sys.stdout
        with self._bar.external_write_mode(file=file) if self._bar is not None else contextlib.nullcontext():
            print(line, file=file, flush=True)

    def __str__(self) -> str:
        elapsed, new = time.monotonic() - self._began, self.done - self._before
        units = plural(self.unit) if self.unit else ""
        if self.total is None:
            count = f"{self.done} {units}, " if units else ""
            return f"{self.what}: {count}{_clock(elapsed)} so far"
        time_ = f"{_clock(elapsed / new * (self.total - self.done))} left" if new else f"{_clock(elapsed)} so far"
        return f"{self.what}: {self.done} of {self.total} {units}, {time_}"


@contextlib.contextmanager
def stage(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Context in which lines begin with `what` and its time; bars are unchanged."""
    with Progress(what, quiet=quiet or _tqdm() is not None):
        yield


def _tqdm() -> Any:
    """The class of tqdm's bars, if a terminal can show one."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class _Reporter:
    """Writes a line every `_PERIOD` seconds while work is in progress.

    Its thread ends with the work and does not survive a fork; the next update in the parent starts it again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._going_on: list[Progress] = []
        self._thread: threading.Thread | None = None
        self._line = self._idle = time.monotonic()  # when the last line came; since when nothing has been going on

    def add(self, progress: Progress) -> None:
        with self._lock:
            if not self._going_on:
                self._line += time.monotonic() - self._idle
            self._going_on.append(progress)
        self.go_on()

    def remove(self, progress: Progress) -> None:
        with self._lock:
            if progress not in self._going_on:
                return
            self._going_on.remove(progress)
            if self._going_on:
                return
            self._idle = time.monotonic()
        self.stop()

    def go_on(self) -> None:
        if self._thread is None and self._going_on:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="nnjpeg progress", daemon=True)
                    self._thread.start()

    def stop(self) -> None:
        with self._lock:
            thread, self._thread = self._thread, None
            self._wake.notify_all()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        me = threading.current_thread()
        with self._lock:
            while self._thread is me:
                wait = self._line + _PERIOD - time.monotonic()
                if wait > 0:
                    self._wake.wait(wait)
                    continue
                self._line = time.monotonic()
                with contextlib.suppress(OSError, ValueError):  # stderr is closed: no reason to end the work
                    print("; ".join(map(str, self._going_on)), file=sys.stderr, flush=True)


_reporter = _Reporter()


def _in_child() -> None:
    global _reporter
    _reporter = _Reporter()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=lambda: _reporter.stop(), after_in_child=_in_child)
