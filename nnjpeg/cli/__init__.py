"""The command line: ``nnjpeg COMMAND``. One file a command, each thin over the package."""

from __future__ import annotations

import argparse
import ctypes
import signal
import sys
from collections.abc import Sequence

import nnjpeg


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (by default the process's) name; return the exit status.

    0: done. 1: something failed and was reported. 2: the arguments are wrong. 130: interrupted.
    """
    from nnjpeg.cli import compress, demo, selftest

    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="nnjpeg", description="JPEG with tables of your own.")
    parser.add_argument("--version", action="version", version=f"nnjpeg {nnjpeg.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (compress, demo, selftest):
        command.add_parser(commands)
    for name, text in _METHOD.items():
        commands.add_parser(name, help=text, add_help=False)
    try:
        if arguments and arguments[0] in _METHOD:
            return _run_method(arguments[0], arguments[1:])
        options = parser.parse_args(arguments)
        return int(options.run(options))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        extra = next((extra for extra, modules in _EXTRAS.items() if module in modules), None)
        if extra is None:
            raise
        print(f"nnjpeg: {error.name} is not installed: pip install 'nnjpeg[{extra}]'", file=sys.stderr)
        return 1
    except (OSError, TypeError, ValueError) as error:
        print(f"nnjpeg: {error}", file=sys.stderr)
        return 1


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
    "cli": ("matplotlib", "skimage", "tqdm"),
    "robust": ("accelerate", "foolbox", "jsonargparse", "pandas", "safetensors", "timm", "yaml"),
}


def _run_method(name: str, arguments: list[str]) -> int:
    from importlib import import_module

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
