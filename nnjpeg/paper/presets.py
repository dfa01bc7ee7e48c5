"""Presets of `nnjpeg reproduce`: lists of experiments, for machines of several sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from nnjpeg.paper.fields import changed, options_of
from nnjpeg.paper.specs import (
    Analyze,
    Design,
    Evaluate,
    Figure6,
    Machine,
    Reproduce,
    Scenario,
    Spec,
    Subject,
    Table1,
    Threat,
    Train,
)

__all__ = ["PRESETS", "TABLE", "Stage", "stages"]

_COMMON = "common"
"""The place in the options for what is for all stages."""


@dataclass(frozen=True)
class Stage:
    """One experiment of a preset.

    Parameters
    ----------
    name : str
        Name of its folder.
    spec : Spec
        The experiment, without the table that an earlier stage finds.
    designed : bool
        Whether it uses the table of the search, if the search found one.
    machine : dict
        Options of `Machine` that differ from the defaults.
    """

    name: str
    spec: Spec
    designed: bool = False
    machine: Mapping[str, Any] = field(default_factory=dict)


# Presets: lists of stages, in an order in which each comes after those that it reads from

_M, TABLE = "model/M.safetensors", "design/table.json"

_WITHOUT_OTHER = tuple(name for name in get_args(Scenario) if name != "black-box")
"""No second network comes with weights for CIFAR-10."""


def _photos(folder: Path, asked: Reproduce) -> list[Stage]:
    """A smoke test, for two cores and eight minutes: less training, fewer rows, few attacks of each kind.

    QS_OF is the 16 that the paper adopts: 16 times eps would be 128 here, more than any QS_AF of the grid.
    """
    given: dict[str, Any] = {"threat": Threat(eps=8.0), "seed": asked.seed}
    model = Subject(weights=folder / _M)
    models = folder / "train"
    qualities, steps = (90, 70, 50, 30), (1, 11, 21, 31, 50, 71, 91, 121)
    return [
        Stage("model", Train(method="none", images=350, **given)),
        Stage("analyze", Analyze(subject=model, images=250, **given)),
        Stage("design", Design(subject=model, benign=350, adversarial=100, steps=steps, qs_of=16, **given)),
        Stage("train", Train(subject=model, qualities=qualities, epochs=1.0, images=350, **given), designed=True),
        Stage("control", Train(subject=model, method="plain", epochs=4.0, images=350, **given)),
        Stage("figure6", Figure6(models=models, images=140, attacked=30)),
        Stage(
            "table1",
            Table1(
                subject=model, models_of=models, epochs=(), adversarial_epochs=3.0, restarts=(1,), images=350,
                attacked=30, **given,
            ),
            designed=True,
        ),
        Stage(
            "evaluate",
            Evaluate(
                models_of=models, control=folder / "control", scenarios=("gray-box", "white-box", "equal", "curve"),
                thorough=False, images=350, attacked=60, cw_steps=30, queries=200, curve=(2.0, 8.0, 32.0), **given,
            ),
            designed=True,
        ),
    ]  # fmt: skip


def _photos_full(folder: Path, asked: Reproduce) -> list[Stage]:
    """The sizes that each command has by default, and the training from three seeds."""
    seed = asked.seed
    given: dict[str, Any] = {"threat": Threat(eps=8.0), "seed": seed}
    model = Subject(weights=folder / _M)
    models, names = folder / "train", ("train-2", "train-3")
    others = [
        Stage(name, Train(subject=model, threat=Threat(eps=8.0), seed=seed + k), designed=True)
        for k, name in enumerate(names, 1)
    ]
    return [
        Stage("model", Train(method="none", **given)),
        Stage("analyze", Analyze(subject=model, **given)),
        Stage("design", Design(subject=model, qs_of=16, **given)),
        Stage("train", Train(subject=model, **given), designed=True),
        *others,
        Stage("control", Train(subject=model, method="plain", **given)),
        Stage("figure6", Figure6(models=models)),
        Stage("table1", Table1(subject=model, models_of=models, epochs=(4.0,), **given), designed=True),
        Stage(
            "evaluate",
            Evaluate(
                models_of=models, replicas=tuple(folder / name for name in names), control=folder / "control", **given
            ),
            designed=True,
        ),
    ]


def _cifar10(folder: Path, asked: Reproduce) -> list[Stage]:
    """The paper's setting on small images: published weights for M, fine-tuned for 14 epochs.

    QS_OF is the 16 that the paper adopts, as on `photos`.
    """
    given: dict[str, Any] = {"threat": Threat(eps=8.0), "seed": asked.seed}
    on, models = _on_cifar10(asked), folder / "train"
    model = replace(on, weights=folder / _M)
    training: dict[str, Any] = {"subject": model, "train_batch": 128, "images": 10_000, **given}
    return [
        Stage("model", Train(subject=on, method="none", images=10_000, **given)),
        Stage("analyze", Analyze(subject=model, **given)),
        Stage("design", Design(subject=model, qs_of=16, **given)),
        Stage("train", Train(**training), designed=True),
        Stage("control", Train(method="plain", **training)),
        *(Stage(name, Train(method=name, start="M", epochs=15.0, **training)) for name in ("fast", "free")),
        Stage("through", Train(method="fast", start="M", through=(90, 50), epochs=15.0, **training), designed=True),
        Stage("figure6", Figure6(models=models, images=1000, attacked=200)),
        Stage(
            "table1",
            Table1(models_of=models, epochs=(), **{**training, "images": 1000}, attacked=200),
            designed=True,
        ),
        Stage(
            "evaluate",
            Evaluate(
                subject=model, models_of=models, control=folder / "control",
                adversarial=tuple(folder / name for name in ("fast", "free", "through")), images=1000, attacked=200,
                scenarios=_WITHOUT_OTHER, more_eps=(2.0, 3.0, 4.0), **given,
            ),
            designed=True,
        ),
    ]  # fmt: skip


def _cifar10_hour(folder: Path, asked: Reproduce) -> list[Stage]:
    """The tables of `cifar10` in about an hour on two cores: one epoch for a chain of four qualities, few attacks."""
    given: dict[str, Any] = {"threat": Threat(eps=8.0), "seed": asked.seed}
    on, models = _on_cifar10(asked), folder / "train"
    model = replace(on, weights=folder / _M)
    training: dict[str, Any] = {"subject": model, "train_batch": 128, "images": 2000, **given}
    qualities, steps = (90, 70, 50, 30), (1, 11, 21, 31, 50, 71, 91, 121)
    return [
        Stage("model", Train(subject=on, method="none", images=10_000, **given)),
        Stage("analyze", Analyze(subject=model, images=250, **given)),
        Stage("design", Design(subject=model, benign=500, adversarial=100, steps=steps, qs_of=16, **given)),
        Stage("train", Train(qualities=qualities, epochs=0.25, **training), designed=True),
        Stage("control", Train(method="plain", epochs=1.0, **training)),
        Stage("fast", Train(method="fast", start="M", epochs=1.0, **training)),
        Stage("through", Train(method="fast", start="M", through=(50,), epochs=1.0, **training), designed=True),
        Stage("figure6", Figure6(models=models, images=200, attacked=30)),
        Stage(
            "table1",
            Table1(
                models_of=models, epochs=(), adversarial_epochs=1.0, restarts=(1,), attacked=60,
                **{**training, "images": 500},
            ),
            designed=True,
        ),
        Stage(
            "evaluate",
            Evaluate(
                subject=model, models_of=models, control=folder / "control",
                adversarial=(folder / "fast", folder / "through"),
                scenarios=("gray-box", "white-box", "equal", "curve"), thorough=False, images=500, attacked=60,
                cw_steps=30, queries=200, curve=(2.0, 8.0, 32.0), **given,
            ),
            designed=True,
        ),
    ]  # fmt: skip


def _on_cifar10(asked: Reproduce) -> Subject:
    return Subject(data=str(asked.data), dataset="cifar10", download=asked.download, arch="resnet20")


def _imagenet(folder: Path, asked: Reproduce) -> list[Stage]:
    """The paper's setting: its models, epochs and lengths of attacks; Table 3 with Inception-v4."""
    data, seed = asked.data, asked.seed
    assert data is not None  # see Reproduce
    given: dict[str, Any] = {"threat": Threat(eps=2.0), "seed": seed}
    arch, second, val = "resnetv2_50.a1h_in1k", "inception_v4.tf_in1k", str(data / "val")
    training: dict[str, Any] = {"val": val, "mixed_precision": "bf16", **given}
    workers = {"workers": 12}

    def on(part: str, arch: str, weights: Path | None = None) -> Subject:
        return Subject(data=str(data / part), arch=arch, weights=weights)

    judged, trained, models = on("val", arch, folder / _M), on("train", arch, folder / _M), folder / "train"
    v4 = folder / "train-v4"
    return [
        Stage("model", Train(subject=on("train", arch), method="none", **training)),
        Stage("analyze", Analyze(subject=judged, **given)),
        Stage("design", Design(subject=judged, benign=5000, adversarial=1000, **given)),
        Stage("train", Train(subject=trained, **training), designed=True, machine=workers),
        Stage("control", Train(subject=trained, method="plain", **training), machine=workers),
        Stage("figure6", Figure6(models=models, images=5000, attacked=1000)),
        Stage(
            "table1",
            Table1(subject=trained, models_of=models, images=50000, attacked=1000, epochs=(4.0,), **training),
            designed=True,
            machine=workers,
        ),
        Stage(
            "table1-eps4",
            Table1(subject=trained, images=50000, attacked=1000, **{**training, "threat": Threat(eps=4.0)}),
            designed=True,
            machine=workers,
        ),
        Stage(
            "evaluate",
            Evaluate(
                subject=judged, models_of=models, control=folder / "control", other="resnetv2_101.a1h_in1k",
                more_eps=(3.0, 4.0, 8.0), images=5000, attacked=1000, restarts=5, **given,
            ),
            designed=True,
        ),
        Stage("train-v4", Train(subject=on("train", second), **training), designed=True, machine=workers),
        Stage(
            "evaluate-v4",
            Evaluate(
                subject=on("val", second), models_of=v4, scenarios=("white-box", "random", "optimiser", "convergence"),
                images=5000, attacked=1000, restarts=5, **given,
            ),
            designed=True,
        ),
    ]  # fmt: skip


PRESETS: dict[str, Callable[[Path, Reproduce], list[Stage]]] = {
    "photos": _photos,
    "photos-full": _photos_full,
    "cifar10": _cifar10,
    "cifar10-hour": _cifar10_hour,
    "imagenet": _imagenet,
}
"""From the run folder and what is asked to stages, by the name of the preset."""


def stages(spec: Reproduce, folder: Path) -> list[Stage]:
    """The stages of a preset with the options that differ from it.

    Raises
    ------
    ValueError
        If the options name an unknown stage or option, or have a value that is not accepted.
    """
    preset = PRESETS[spec.preset](folder, spec)
    names = [stage.name for stage in preset]
    for name, own in spec.options.items():
        if name not in (_COMMON, *names):
            raise ValueError(f"options must be by stage, of {', '.join((_COMMON, *names))}; got {name!r}")
        if not isinstance(own, Mapping):
            raise ValueError(f"options: {name} must have an object of names and values, got {own!r}")
    common = dict(spec.options.get(_COMMON, {}))
    known = {
        stage.name: {one.name for one in (*options_of(type(stage.spec)), *options_of(Machine))} for stage in preset
    }
    for name in common:
        if not any(name in own for own in known.values()):
            raise ValueError(f"options: {name} of {_COMMON} is an option of no stage")
    return [
        _differing(
            stage, {k: v for k, v in common.items() if k in known[stage.name]} | dict(spec.options.get(stage.name, {}))
        )
        for stage in preset
    ]


def _differing(stage: Stage, values: dict[str, Any]) -> Stage:
    """A stage with other values of options, of its experiment or of the machine."""
    machine = {name: values.pop(name) for name in [one.name for one in options_of(Machine)] if name in values}
    try:
        changed(Machine(), machine)
        return Stage(stage.name, changed(stage.spec, values), stage.designed, {**stage.machine, **machine})
    except ValueError as error:
        raise ValueError(f"options: {stage.name}: {error}") from None
