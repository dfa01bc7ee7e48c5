"""nnjpeg table1: this method beside Fast and Free adversarial training: accuracy, robustness, time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nnjpeg.cli import _options
from nnjpeg.paper.specs import Machine, Table1

_HELP = "this method beside Fast and Free adversarial training: accuracy, robustness, time"
_DESCRIPTION = (
    "Train this method, Fast AT and Free AT, and attack each with PGD that knows all of it: accuracy, robustness "
    "and time. Writes all models, table1.csv, table1.json and table1.png into the run folder; resumable, and under "
    "torchrun as nnjpeg train."
)


def add_parser(commands: Any) -> None:
    """Declare the command's options."""
    _options.command(
        commands,
        Table1,
        run,
        help=_HELP,
        description=_DESCRIPTION,
        machine=("device", "workers", "save_every", "batch"),
    )


def run(spec: Table1, machine: Machine, out: Path | None) -> int:
    """Run it; return the exit status."""
    from nnjpeg.paper import table1
    from nnjpeg.paper.subject import execute

    execute(table1.run, spec, machine, out)
    return 0
