"""nnjpeg design: Algorithm 1: the table with the best defence at little loss, with every cell and the front."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nnjpeg.cli import _options
from nnjpeg.paper.specs import Design, Machine

_HELP = "Algorithm 1: the table with the best defence at little loss, with every cell and the front"
_DESCRIPTION = (
    "Search the table with the best defence among those that cost little benign accuracy (Algorithm 1). Writes "
    "cells.csv, front.csv, verdict.json, the figures and, if a cell qualifies, table.json into the run folder; else "
    "the exit status is 1. A stopped search goes on where it was; torchrun splits it over processes."
)


def add_parser(commands: Any) -> None:
    """Declare the command's options."""
    _options.command(
        commands,
        Design,
        run,
        help=_HELP,
        description=_DESCRIPTION,
        machine=("device", "batch"),
    )


def run(spec: Design, machine: Machine, out: Path | None) -> int:
    """Run it; return the exit status."""
    from nnjpeg.paper import design
    from nnjpeg.paper.subject import execute

    tables = execute(design.run, spec, machine, out)
    return 0 if len(tables["chosen"]) else 1
