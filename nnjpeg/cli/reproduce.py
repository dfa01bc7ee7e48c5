"""nnjpeg reproduce: the whole paper in one folder, from the frequencies to the last table, and a report of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nnjpeg.cli import _options
from nnjpeg.paper.specs import Machine, Reproduce

_HELP = "the whole paper in one folder, from the frequencies to the last table, and a report of it"
_DESCRIPTION = (
    "Run every stage of the paper, and write report.html. Stages are model, analyze, design, train, figure6, table1 "
    "and evaluate, each in a subfolder; the table that design finds goes on into all that follows. One that is done "
    "is not done again unless its inputs have changed (then what it gave before is kept beside it, as "
    "NAME.before1); one that was stopped goes on where it was. Under torchrun stages are shared by the processes."
)


def add_parser(commands: Any) -> None:
    """Declare the command's options."""
    _options.command(
        commands,
        Reproduce,
        run,
        help=_HELP,
        description=_DESCRIPTION,
        machine=("device", "workers", "save_every", "batch"),
    )


def run(spec: Reproduce, machine: Machine, out: Path | None) -> int:
    """Run it; return the exit status."""
    from nnjpeg.paper import reproduce
    from nnjpeg.paper.subject import execute

    execute(reproduce.run, spec, machine, out)
    return 0
