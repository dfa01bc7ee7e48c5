"""The command line: ``nnjpeg COMMAND``. One file a command, each thin over the package."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import nnjpeg
from nnjpeg import atomic
from nnjpeg._progress import stage


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


def _run(arguments: list[str]) -> int:
    from nnjpeg.cli import compress, demo, selftest

    parser = argparse.ArgumentParser(prog="nnjpeg", description="JPEG with tables of your own.")
    parser.add_argument("--version", action="version", version=f"nnjpeg {nnjpeg.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (compress, demo, selftest):
        command.add_parser(commands)
    for name, text in _METHOD.items():
        commands.add_parser(name, help=text, add_help=False)
    if arguments and arguments[0] in _METHOD:
        return _run_method(arguments[0], arguments[1:])
    options = parser.parse_args(arguments)
    return int(options.run(options))


def _flushed(function: Any, *arguments: Any) -> Any:
    """What the function returns, once all that it has printed is written: an error of that is the command's."""
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
    """Where output can't be written, drop what waits to be: the interpreter's end would try it again, loudly."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def _clean_when_terminated() -> Iterator[None]:
    """SIGTERM ends the process at once, with what is half written removed.

    At once: an exception might be raised where Python ignores it, in a destructor or in the midst of clearing up.
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


# The commands of the method take their parameters from the signature of one function each, and from YAML.
_METHOD = {
    "reproduce": "the whole paper in one folder, from the frequencies to the last table, and a report of it",
    "analyze": "deviations of the DCT coefficients of images and perturbations, and the order of the bands",
    "design": "Algorithm 1: the table with the best defence at little loss, with every cell and the front",
    "train": "noisy training: the chain of models and their ensemble; and what they are compared with",
    "evaluate": "defences under attack: gray-box, black-box, white-box, with the attack that knows all of them",
    "table1": "this method beside Fast and Free adversarial training: accuracy, robustness, time",
    "figure6": "every model of a chain on images of every quality, benign and attacked",
}
_EXTRAS = {
    "cli": ("matplotlib", "skimage"),
    "robust": ("accelerate", "foolbox", "jsonargparse", "pandas", "safetensors", "timm", "yaml"),
}


def _run_method(name: str, arguments: list[str]) -> int:
    from importlib import import_module

    with stage(f"nnjpeg {name}", quiet=os.environ.get("RANK", "0") != "0"):  # of torchrun
        from jsonargparse import auto_cli

        _keep_freed_memory()
        spelled = [_with_underscores(argument) for argument in arguments]
        function = getattr(import_module(f"nnjpeg.cli.{name}"), name)
        return int(auto_cli(function, args=spelled, as_positional=False, prog=f"nnjpeg {name}"))


def _keep_freed_memory() -> None:
    """Let glibc keep what it was given: torch asks for the same large blocks again in each step.

    Else each is new memory, which the system clears page by page.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # musl has none
        mmap_max, trim_threshold, top_pad = -4, -1, -2  # of malloc.h
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**26)


def _with_underscores(argument: str) -> str:
    """An option's name as its parameter's: users may write dashes."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument[2:].partition("=")
    return "--" + name.replace("-", "_") + equals + value
