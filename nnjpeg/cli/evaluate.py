"""nnjpeg evaluate: defences under attack: gray-box, black-box, white-box, with attacks that know all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nnjpeg.cli import _options
from nnjpeg.paper.specs import Evaluate, Machine

_HELP = "defences under attack: gray-box, black-box, white-box, with attacks that know all of them"
_DESCRIPTION = (
    "Attack defences in gray-box, black-box and white-box, and tell who holds, against whom, and at what cost. "
    "Writes cells.csv (every defence under every attack, with intervals), further tables, checklist.json, the "
    "figures and the adversarial images into the run folder. A stopped run goes on where it was; torchrun splits it "
    "over processes."
)


def add_parser(commands: Any) -> None:
    """Declare the command's options."""
    _options.command(
        commands,
        Evaluate,
        run,
        help=_HELP,
        description=_DESCRIPTION,
        machine=("device", "batch"),
    )


def run(spec: Evaluate, machine: Machine, out: Path | None) -> int:
    """Run it; return the exit status."""
    from nnjpeg.paper import evaluate
    from nnjpeg.paper.subject import execute

    execute(evaluate.run, spec, machine, out)
    return 0
