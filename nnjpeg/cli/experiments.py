"""The commands that run the paper's experiments: each is one dataclass of `nnjpeg.paper.specs` and its `run`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from nnjpeg.cli import _options
from nnjpeg.paper import specs
from nnjpeg.paper.specs import Machine


@dataclass(frozen=True)
class _Command:
    """A command: its experiment, its texts, and the options of `Machine` that it has."""

    spec: type[specs.Spec]
    help: str
    description: str
    machine: tuple[str, ...]
    out: str | None = None


_JUDGES, _TRAINS = ("device", "batch"), ("device", "workers", "save_every")

_COMMANDS = (
    _Command(
        specs.Reproduce,
        "run all experiments of the paper in one folder, and write a report",
        "Run every stage of the paper, and write report.html. Stages are model, analyze, design, train, control, "
        "figure6, table1 and evaluate, each in a subfolder (photos-full has train-2 and train-3 as well, imagenet "
        "table1-eps4, train-v4 and evaluate-v4). The later stages use the table that design finds. A "
        "finished stage is repeated only if its inputs have changed (its earlier results are kept as NAME.before1); a "
        "stopped stage resumes. Under torchrun the processes share each stage.",
        (*_TRAINS, "batch"),
    ),
    _Command(
        specs.Analyze,
        "measure the deviations of the DCT coefficients of images and perturbations, and the order of the bands",
        "Measure the standard deviation of each DCT coefficient, for images and for adversarial perturbations. Writes "
        "deviations.csv, order.json, the statistics themselves and the figures into the run folder.",
        _JUDGES,
    ),
    _Command(
        specs.Design,
        "search for a quantization table (Algorithm 1 of the paper): the best defence at little loss of accuracy",
        "Search for the table with the best defence among those that cost little benign accuracy (Algorithm 1). "
        "Writes cells.csv (every table of the search), front.csv (the tables that no other one beats), verdict.json, "
        "the figures and, if a table qualifies, table.json into the run folder; if none qualifies, the exit status is "
        "1. A stopped search resumes; torchrun splits it over processes.",
        _JUDGES,
    ),
    _Command(
        specs.Learn,
        "learn quantization tables by gradient descent: few bits, or a good defence, at little loss for a network",
        "Learn quantization tables by gradient descent: minimise the bits per pixel plus lambda times the loss of a "
        "network, with one table for each lambda. Judge the tables on other images, and compare them with JPEG's "
        "tables and others. With --objective adversary the cross-entropy on adversarial images takes the place of the "
        "bits, and the learned tables are compared with tables of two steps, as in Algorithm 1. The defaults are a "
        "smoke test on patches of photographs; real images come with --data. Writes table-LAMBDA.json and .txt (for "
        "cjpeg -qtables), learned.csv, saved.csv and accuracy.png into the run folder; with --objective adversary "
        "defence.csv, equal.csv and defence.png. A stopped run resumes; under torchrun tables are judged by all "
        "processes.",
        _JUDGES,
    ),
    _Command(
        specs.Train,
        "train a chain of models with noise, and make their ensemble; also the methods it is compared with",
        "Train the chain M -> M90 -> ... -> M30 with noise, and make an ensemble of M and the models of --members. M "
        "is the model of --arch, or the small model of photos. Writes a checkpoint for each model (safetensors), "
        "train.0.jsonl, ensemble.json and results.csv into the run folder. A stopped run resumes; torchrun trains on "
        "several devices, with the same results to rounding.",
        _TRAINS,
    ),
    _Command(
        specs.Evaluate,
        "attack defences in gray-box, in black-box, and in white-box, where the attacker knows the whole defence",
        "Attack defences in gray-box, black-box and white-box; measure accuracy under attack and benign accuracy. "
        "Writes cells.csv (every defence under every attack, with intervals), further tables, checklist.json, the "
        "figures and the adversarial images into the run folder. A stopped run resumes; torchrun "
        "splits it over processes.",
        _JUDGES,
    ),
    _Command(
        specs.Certify,
        "certify accuracy by randomized smoothing, with and without NN-JPEG",
        "Train networks on images plus Gaussian noise, with and without NN-JPEG between the noise and the network, and "
        "certify them by randomized smoothing: no perturbation with an L2 norm below the image's radius changes its "
        "class. Writes certified.csv (a row for each sigma, classifier and radius), images.csv and the "
        "networks into the run folder. A stopped run resumes; torchrun splits it over processes.",
        (*_TRAINS, "batch"),
    ),
    _Command(
        specs.Table1,
        "compare this method with Fast and Free adversarial training: accuracy, robustness, time",
        "Train this method, Fast AT and Free AT, and attack each with PGD that knows the whole method: accuracy, "
        "robustness and time. Writes all models, table1.csv, table1.json and table1.png into the run folder. A stopped "
        "run resumes; torchrun trains on several devices.",
        (*_TRAINS, "batch"),
    ),
    _Command(
        specs.Figure6,
        "judge every model of a chain on images of every quality, benign and attacked",
        "Judge every model of a run of nnjpeg train behind NN-JPEG of every quality: on benign images, under an "
        "attack that knows only M, the first model of the chain, as in the paper, and under one that knows the model "
        "and the compression. Writes figure6.csv, figure6.json and figure6.png.",
        _JUDGES,
        out="figure6 within --models",
    ),
)


def add_parsers(commands: Any) -> None:
    """Declare the commands and their options."""
    for one in _COMMANDS:
        _options.command(
            commands, one.spec, partial(run, one.spec.__name__.lower()), help=one.help, description=one.description,
            machine=one.machine, out=one.out,
        )  # fmt: skip


def run(name: str, spec: specs.Spec, machine: Machine, out: Path | None) -> int:
    """Run an experiment by the name of its module; return the exit status."""
    from nnjpeg.paper.subject import execute

    if out is None and isinstance(spec, specs.Figure6):
        out = spec.models / "figure6"
    tables = execute(import_module(f"nnjpeg.paper.{name}").run, spec, machine, out)
    # A search that chooses no table has done its work, and yet a script must not go on as if there were one.
    return 1 if isinstance(spec, specs.Design) and not len(tables["chosen"]) else 0
