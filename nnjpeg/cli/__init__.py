"""The command line: ``nnjpeg COMMAND``. One file a command, each thin over the package."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

import nnjpeg


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (by default the process's) name; return the exit status.

    0: done. 1: something failed and was reported. 2: the arguments are wrong. 130: interrupted.
    """
    from nnjpeg.cli import compress, demo

    parser = argparse.ArgumentParser(prog="nnjpeg", description="JPEG with tables of your own.")
    parser.add_argument("--version", action="version", version=f"nnjpeg {nnjpeg.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (compress, demo):
        command.add_parser(commands)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("matplotlib", "skimage", "tqdm"):
            raise
        print(f"nnjpeg: {error.name} is not installed: pip install 'nnjpeg[cli]'", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"nnjpeg: {error}", file=sys.stderr)
        return 1
