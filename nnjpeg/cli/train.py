"""nnjpeg train: noisy training: the chain of models and their ensemble; and what they are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nnjpeg.cli import _options
from nnjpeg.paper.specs import Machine, Train

_HELP = "noisy training: the chain of models and their ensemble; and what they are compared with"
_DESCRIPTION = (
    "Train the chain M -> M90 -> ... -> M30 with noise, and put M, M90, M70, M50 and M30 together as an ensemble. "
    "Writes a checkpoint for each model (safetensors), train.0.jsonl, ensemble.json and results.csv into the run "
    "folder. A stopped run goes on where it was; torchrun trains on several devices, with the same results to "
    "rounding."
)


def add_parser(commands: Any) -> None:
    """Declare the command's options."""
    _options.command(
        commands,
        Train,
        run,
        help=_HELP,
        description=_DESCRIPTION,
        machine=("device", "workers", "save_every"),
    )


def run(spec: Train, machine: Machine, out: Path | None) -> int:
    """Run it; return the exit status."""
    from nnjpeg.paper import train
    from nnjpeg.paper.subject import execute

    execute(train.run, spec, machine, out)
    return 0
