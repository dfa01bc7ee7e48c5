"""nnjpeg figure6: every model of a chain on images of every quality, benign and attacked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nnjpeg.cli import _options
from nnjpeg.paper.specs import Figure6, Machine

_HELP = "every model of a chain on images of every quality, benign and attacked"
_DESCRIPTION = (
    "Judge every model that nnjpeg train has left behind NN-JPEG of every quality: on benign images, attacked "
    "knowing M alone, as the paper attacks, and attacked knowing all of the pair. Writes figure6.csv, figure6.json "
    "and figure6.png."
)


def add_parser(commands: Any) -> None:
    """Declare the command's options."""
    _options.command(
        commands,
        Figure6,
        run,
        help=_HELP,
        description=_DESCRIPTION,
        machine=("device", "batch"),
        out="figure6 within --models",
    )


def run(spec: Figure6, machine: Machine, out: Path | None) -> int:
    """Run it; return the exit status."""
    from nnjpeg.paper import figure6
    from nnjpeg.paper.subject import execute

    execute(figure6.run, spec, machine, out or spec.models / "figure6")
    return 0
