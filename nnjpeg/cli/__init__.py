"""The command line: ``nnjpeg COMMAND``. The modules are thin and import neither torch nor `nnjpeg.robust`.

Read this file first: it builds the parser and turns exceptions into messages and an exit status. `compress`, `demo` and
`selftest` are commands of their own. `experiments` declares those of the paper, whose options `_options` makes from the
dataclasses of `nnjpeg.paper.specs`, with the help texts of `_help`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import nnjpeg
from nnjpeg import atomic


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (by default the process's) name; return the exit status.

    0: done. 1: something failed and was reported. 2: the arguments are wrong. 130: interrupted. 143: terminated.
    """
    with _clean_when_terminated():
        try:
            return _flushed(_run, sys.argv[1:] if arguments is None else list(arguments))
        except KeyboardInterrupt:
            _let_go_of_output()
            return 128 + signal.SIGINT
        except BrokenPipeError:
            return _failed("stopped: nobody reads the output any more")
        except ModuleNotFoundError as error:
            module = (error.name or "").partition(".")[0]
            extra = next((extra for extra, modules in _EXTRAS.items() if module in modules), None)
            if extra is None:
                raise
            return _failed(f"{error.name} is not installed: pip install 'nnjpeg[{extra}]'")
        except (OSError, TypeError, ValueError) as error:
            return _failed(str(error))


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line, from which the documentation is made too."""
    from nnjpeg.cli import compress, demo, experiments, selftest

    made = argparse.ArgumentParser(prog="nnjpeg", description="JPEG with quantization tables of your own.")
    made.add_argument("--version", action="version", version=f"nnjpeg {nnjpeg.__version__}")
    commands = made.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (compress, demo, selftest):
        command.add_parser(commands)
    experiments.add_parsers(commands)
    return made


def _run(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    return int(options.run(options))


def _flushed(function: Any, *arguments: Any) -> Any:
    """Call a function and write everything that it printed: errors of writing are the command's."""
    try:
        result = function(*arguments)
    except SystemExit:  # of a parser that has printed help
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return result


def _failed(message: str) -> int:
    with contextlib.suppress(OSError):  # stderr may be closed as well
        print(f"nnjpeg: {message}", file=sys.stderr, flush=True)
    _let_go_of_output()
    return 1


def _let_go_of_output() -> None:
    """Drop output that cannot be written: the interpreter would try again at its end and print an error."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def _clean_when_terminated() -> Iterator[None]:
    """On SIGTERM, remove half-written files and end the process at once.

    An exception in place of that might be raised where Python ignores it, in a destructor or during cleanup.
    """

    def end(number: int, _: object) -> None:
        atomic.discard()
        os._exit(128 + number)

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:  # whoever calls has plans of its own
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


_ROBUST = "accelerate foolbox pandas pyautoattack safetensors scipy timm torch torchvision yaml"
_EXTRAS = {"cli": ("matplotlib", "skimage"), "robust": tuple(_ROBUST.split())}
