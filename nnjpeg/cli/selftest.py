"""nnjpeg selftest: check that this installation gives libjpeg-turbo's bits on this machine."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from nnjpeg import show_config
from nnjpeg._words import counted
from nnjpeg.selftest import checks


def add_parser(commands: Any) -> None:
    """Declare the command, which takes no arguments."""
    parser = commands.add_parser(
        "selftest",
        help="check in a few seconds that this installation gives the bits of libjpeg-turbo on this machine",
        description="Compare the results of every instruction set of this CPU, of threads, of files and of the devices "
        "of torch with those of libjpeg-turbo. The exit status is 1 if one sample differs.",
    )
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Print the configuration and each check; return 1 if one failed."""
    show_config()
    failures, began = 0, time.perf_counter()
    for name, check in checks():
        try:
            compared = check()
        except Exception as error:  # the other checks may say more about its cause
            failures += 1
            print(f"FAILED   {name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        else:
            print(f"ok       {name}: {counted(compared, 'image')}", flush=True)
    if failures:
        print(f"nnjpeg: {counted(failures, 'check')} failed; please report this with the output above", file=sys.stderr)
        return 1
    print(f"all equal, {time.perf_counter() - began:.1f} s")
    return 0
