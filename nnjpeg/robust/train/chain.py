"""Models trained one from another: the chain M -> M90 -> ... -> M30 of section 3.4, and other recipes.

A stage is one training; a recipe is a list of stages. Each finished stage leaves a checkpoint, from which the next one
starts. A stage whose checkpoint exists is not trained again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch.utils.data import DataLoader

from nnjpeg.qtable import NN_TABLE, QTable
from nnjpeg.robust.models import Classifier
from nnjpeg.robust.record import checkpoints
from nnjpeg.robust.record.run import Run, versions
from nnjpeg.robust.record.store import Journal
from nnjpeg.robust.train.engine import Augment, OneCycle, Optimization, Piecewise, Schedule, fit
from nnjpeg.robust.train.objectives import Adversarial, Free, Gaussian, Noisy, Objective, Plain, Through, Vaccination

__all__ = [
    "QUALITIES", "Stage", "fast", "free", "gaussian", "noisy", "pgd", "plain", "run_stages", "scratch", "vaccination",
]  # fmt: skip

QUALITIES = (90, 80, 70, 60, 50, 40, 30)
"""The paper's chain."""

_TWO_EPOCHS, _ALL_EPOCHS = Optimization(2), Optimization(14)  # of one quality, and of the whole chain


@dataclass(frozen=True)
class Stage:
    """One training.

    Parameters
    ----------
    name : str
        Name of its checkpoint, also in tables.
    start : str or None
        The name of the model that it starts from; None for random weights.
    objective : Objective
        The objective to minimise.
    optimization : Optimization
        SGD, its schedule and its epochs.
    batch : int
        Images at a time, of all processes together.
    size : int, optional
        The side of its images; by default the model's.
    """

    name: str
    start: str | None
    objective: Objective
    optimization: Optimization
    batch: int
    size: int | None = None

    def facts(self) -> dict[str, Any]:
        """All fields, in a form that JSON can hold."""
        own = {"name": self.name, "start": self.start, "batch": self.batch, "size": self.size}
        return json.loads(json.dumps({**own, "optimization": self.optimization.facts(), **self.objective.facts()}))


def noisy(
    qualities: Sequence[int] = QUALITIES,
    *,
    noise: float,
    xi: float = 0.9,
    table: QTable = NN_TABLE,
    optimization: Optimization = _TWO_EPOCHS,
    batch: int = 64,
    prefix: str = "",
) -> list[Stage]:
    """The paper's chain: a stage of noisy training for each quality, each from the previous one, the first from M.

    The paper's 14 or 28 epochs are those of the whole chain: 2 or 4 for each of 7 qualities (our reading). The
    learning rate starts again in each stage. `prefix` is put before the names M90, M80, ...
    """
    return _chain(qualities, lambda quality: Noisy(quality, noise, xi, table), optimization, batch, prefix)


def vaccination(
    qualities: Sequence[int] = QUALITIES, *, optimization: Optimization = _TWO_EPOCHS, batch: int = 64
) -> list[Stage]:
    """The same chain on images after ordinary JPEG, without noise (Das et al., 2018)."""
    return _chain(qualities, Vaccination, optimization, batch)


def _chain(
    qualities: Sequence[int],
    objective: Callable[[int], Objective],
    optimization: Optimization,
    batch: int,
    prefix: str = "",
) -> list[Stage]:
    if not qualities or any(a <= b for a, b in pairwise(qualities)):
        raise ValueError(f"qualities must fall from one model of the chain to the next, got {list(qualities)}")
    names = ["M", *(f"{prefix}M{quality}" for quality in qualities)]
    return [
        Stage(name, start, objective(quality), optimization, batch)
        for start, name, quality in zip(names, names[1:], qualities, strict=False)
    ]


def scratch(epochs: float, *, batch: int = 128) -> Stage:
    """M itself from random weights: one cycle of the learning rate, up to 0.1, weight decay 5e-4 (our choice)."""
    return Stage("M", None, Plain(), Optimization(epochs, OneCycle(0.1), weight_decay=5e-4, nesterov=True), batch)


def plain(*, optimization: Optimization = _ALL_EPOCHS, batch: int = 64) -> list[Stage]:
    """M trained further on the images as they are."""
    return [Stage("plain", "M", Plain(), optimization, batch)]


def gaussian(
    sigma: float,
    *,
    optimization: Optimization = _TWO_EPOCHS,
    batch: int = 64,
    through: Through | None = None,
    name: str = "gaussian",
) -> Stage:
    """M trained further on images plus Gaussian noise; see `Gaussian`."""
    return Stage(name, "M", Gaussian(sigma, through), optimization, batch)


def fast(
    eps: float,
    *,
    epochs: float = 15,
    rate: float | None = None,
    batch: int = 512,
    phases: bool = True,
    start: str | None = None,
    through: Through | None = None,
    name: str = "fast",
) -> list[Stage]:
    """Fast AT, from random weights as its authors do on ImageNet (Wong et al., 2020).

    Parameters
    ----------
    eps : float
        In units of 1.
    epochs : float
        Number of epochs; the original has 15.
    rate : float
        The highest learning rate; by default 0.4, without phases 0.2 (the authors' for ImageNet and CIFAR-10).
    batch : int
        Of the first phase.
    phases : bool
        Three phases: images of 128, 224 and 288 pixels, batches of 512, 224 and 128 (in proportion to `batch`),
        6, 6 and 3 of 15 epochs. Otherwise one, at the model's size.
    start : str, optional
        The name of the model that it starts from; None for random weights.
    through : Through, optional
        NN-JPEG in front of the model.
    name : str
        Of the last stage.
    """
    unit = epochs / 15
    rate = rate or (0.4 if phases else 0.2)
    if not phases:
        knots = ((0, 0), (6 * unit, rate), (15 * unit, 0))
        return [Stage(name, start, Adversarial.fast(eps, through), _steep(epochs, Piecewise(knots)), batch)]
    parts = (
        (f"{name}128", 6, 128, batch, ((0, 0), (3, rate), (6, rate / 10))),
        (f"{name}224", 6, 224, batch * 224 // 512, ((0, rate / 10), (6, rate / 100))),
        (name, 3, 288, batch // 4, ((0, rate / 100), (3, rate / 1000))),
    )
    return [
        Stage(
            one,
            before,
            Adversarial.fast(eps, through),
            _steep(length * unit, _stretched(knots, unit)),
            size_batch,
            size,
        )
        for (one, length, size, size_batch, knots), before in zip(
            parts, (start, f"{name}128", f"{name}224"), strict=True
        )
    ]


def free(
    eps: float,
    *,
    epochs: float = 22.5,
    rate: float = 0.1,
    batch: int = 256,
    replays: int = 4,
    start: str | None = None,
    through: Through | None = None,
    name: str = "free",
) -> list[Stage]:
    """Free AT (Shafahi et al., 2019): 90 / 4 epochs, a tenth of the rate after each third; otherwise as `fast`."""
    third = epochs / 3
    knots = ((0, rate), (third, rate), (third, rate / 10), (2 * third, rate / 10), (2 * third, rate / 100))
    return [Stage(name, start, Free(eps, replays, through), _steep(epochs, Piecewise(knots)), batch)]


def pgd(
    eps: float,
    *,
    epochs: float = 15,
    rate: float = 0.1,
    batch: int = 128,
    start: str | None = None,
    through: Through | None = None,
    name: str = "pgd",
) -> list[Stage]:
    """PGD AT, with Fast AT's schedule (our choice); otherwise as `fast`."""
    unit = epochs / 15
    schedule = Piecewise(((0, 0), (6 * unit, rate), (15 * unit, 0)))
    return [Stage(name, start, Adversarial.pgd(eps, through), _steep(epochs, schedule), batch)]


def _steep(epochs: float, schedule: Schedule) -> Optimization:
    return Optimization(epochs, schedule, momentum=0.9, weight_decay=1e-4)


def _stretched(knots: Sequence[tuple[float, float]], unit: float) -> Piecewise:
    return Piecewise(tuple((epoch * unit, rate) for epoch, rate in knots))


def run_stages(
    run: Run,
    stages: Sequence[Stage],
    fresh: Callable[[], Classifier],
    loaders: Callable[[int, int | None], DataLoader[Any]],
    engine: Accelerator,
    *,
    seed: int = 0,
    augment: Augment | None = None,
    save_every: int = 100,
    after: Callable[[str, Classifier], None] | None = None,
) -> None:
    """Train all stages into a run folder: NAME.safetensors for each, and a line of train.0.jsonl every 10 steps.

    Parameters
    ----------
    run : Run
        Holds M.safetensors if a stage starts from it. Stages that it holds are not trained again.
    stages : sequence of Stage
        In an order in which each comes after the one that it starts from.
    fresh : callable
        Makes the model with random weights.
    loaders : callable
        From batch and size to a loader; see `engine.fit`.
    engine : Accelerator
        See `engine.accelerator`.
    seed : int
        Of the order of the images and of all that is drawn.
    augment, save_every
        As for `engine.fit`.
    after : callable, optional
        Called with the name and the model of each stage that has been trained, and of those that were there.

    Raises
    ------
    ValueError
        If a checkpoint is damaged, of another model, or of another training.
    """
    journal = Journal(run, "train")
    for number, stage in enumerate(stages):
        path, state = run / f"{stage.name}.safetensors", run / f"{stage.name}.state.safetensors"
        if not path.exists():
            model, inherited = _start(run, stage, fresh)
            _go_on(journal, stage.name, state)
            last: dict[str, Any] = {}

            def log(line: dict[str, Any], name: str = stage.name, last: dict[str, Any] = last) -> None:
                last.update(line)
                journal.append({"stage": name, **line})

            trained = fit(
                model,
                stage.objective,
                loaders(stage.batch, stage.size),
                stage.optimization,
                engine,
                seed=(seed, number),
                augment=augment,
                state=state,
                save_every=save_every,
                log=log,
                description=stage.name,
            )
            if engine.is_main_process:
                facts = {"stage": stage.facts(), "seed": seed, "before": inherited, "versions": versions()}
                checkpoints.save_model(path, trained, {**facts, "seconds": last["seconds"], "loss": last["loss"]})
                state.unlink(missing_ok=True)
            engine.wait_for_everyone()
        model, facts = checkpoints.load(path)
        if facts["stage"] != stage.facts():
            raise ValueError(f"{path}: of another training: {facts['stage']}; this one is {stage.facts()}")
        if after is not None:
            after(stage.name, model)


def _start(run: Run, stage: Stage, fresh: Callable[[], Classifier]) -> tuple[Classifier, list[str]]:
    """The model that a stage starts from, and the names of all before it."""
    if stage.start is None:
        return fresh(), []
    expected = fresh()
    origin = expected.origin
    assert origin is not None
    model, facts = checkpoints.load(run / f"{stage.start}.safetensors", arch=origin.arch, outputs=expected.outputs())
    return model, [*facts.get("before", []), stage.start]


def _go_on(journal: Journal, name: str, state: Path) -> None:
    """Remove what was logged after the checkpoint from which training resumes."""
    done = checkpoints.read(state)[1]["done"] if state.exists() else 0
    journal.keep(lambda line: line["stage"] != name or line["step"] <= done)
