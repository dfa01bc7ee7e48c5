"""nnjpeg analyze: deviations of the DCT coefficients of images and perturbations, and the order of the bands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nnjpeg.cli import _options
from nnjpeg.paper.specs import Analyze, Machine

_HELP = "deviations of the DCT coefficients of images and perturbations, and the order of the bands"
_DESCRIPTION = (
    "Measure the standard deviation of each DCT coefficient, for images and for adversarial perturbations. Writes "
    "deviations.csv, order.json, the statistics themselves and the figures into the run folder."
)


def add_parser(commands: Any) -> None:
    """Declare the command's options."""
    _options.command(
        commands,
        Analyze,
        run,
        help=_HELP,
        description=_DESCRIPTION,
        machine=("device", "batch"),
    )


def run(spec: Analyze, machine: Machine, out: Path | None) -> int:
    """Run it; return the exit status."""
    from nnjpeg.paper import analyze
    from nnjpeg.paper.subject import execute

    execute(analyze.run, spec, machine, out)
    return 0
