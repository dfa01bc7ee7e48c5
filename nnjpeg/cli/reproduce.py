"""nnjpeg reproduce: the whole paper in one folder, from the frequencies to the last table, and a report of it."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from nnjpeg.cli.analyze import analyze
from nnjpeg.cli.design import design
from nnjpeg.cli.evaluate import evaluate
from nnjpeg.cli.figure6 import figure6
from nnjpeg.cli.subject import open_run
from nnjpeg.cli.table1 import table1
from nnjpeg.cli.train import train
from nnjpeg.robust import distributed, report
from nnjpeg.robust.runs import Run, as_before

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    # Sizes for two cores and a short while.
    "photos": {
        "common": {"eps": 8.0},
        "analyze": {"images": 500},
        "design": {"benign": 350, "adversarial": 100, "steps": [1, 11, 21, 31, 50, 71, 91, 121]},
        "train": {},
        "figure6": {"images": 350, "attacked": 50},
        "table1": {"images": 700, "attacked": 30, "epochs": [], "adversarial_epochs": 3.0, "restarts": [1]},
        "evaluate": {
            "images": 350, "attacked": 40, "restarts": 1, "cw_steps": 30, "bpda_steps": 40, "queries": 100,
            "samples": 2, "curve": [2.0, 8.0, 32.0], "keep": "all",
        },
    },
    # The paper's: its attacks' lengths, its epochs, its models.
    "imagenet": {
        "common": {"eps": 2.0, "arch": "resnetv2_50.a1h_in1k", "batch": 64},
        "analyze": {"images": 1000},
        "design": {"benign": 5000, "adversarial": 1000},
        "train": {"mixed_precision": "bf16", "workers": 12},
        "figure6": {"images": 5000, "attacked": 1000},
        "table1": {"images": 50000, "attacked": 1000, "epochs": [4], "mixed_precision": "bf16", "workers": 12},
        "evaluate": {"images": 5000, "attacked": 1000, "other": "inception_v4.tf_in1k", "steps": 50, "restarts": 5},
    },
}  # fmt: skip


_NEEDS: dict[str, list[str]] = {
    "train": [],
    "analyze": ["train/M.safetensors"],
    "design": ["train/M.safetensors"],
    "figure6": ["train/M*.safetensors"],
    "table1": ["train/M*.safetensors", "train/ensemble.json"],
    "evaluate": ["train/M*.safetensors", "train/ensemble.json"],
}
"""Which files of other stages each stage reads."""


def reproduce(
    preset: Literal["photos", "imagenet"] = "photos",
    data: Path | None = None,
    options: dict[str, dict[str, Any]] = {},  # noqa: B006 (jsonargparse reads the default, nobody writes it)
    seed: int = 0,
    device: str = "auto",
    out: Path | None = None,
) -> int:
    """Run every stage of the paper, and write report.html.

    Stages are train, analyze, design, figure6, table1 and evaluate, each in a subfolder. One that is done is not done
    again unless its inputs have changed (then what it gave before is kept beside it, as NAME.before1); one that was
    stopped goes on where it was. Under torchrun stages are shared by the processes.

    Args:
        preset: "photos", sizes for two cores and a short while; "imagenet", the paper's sizes and models.
        data: for imagenet, a folder with train and val in it, each with a folder for each class.
        options: what is to differ from the preset, by stage, such as '{"evaluate": {"attacked": 200}}'; "common" is
            for all stages.
        seed: of all that is drawn.
        device: "auto", "cpu", "cuda", ...
        out: the run folder; by default runs/reproduce-TIME.
    """
    unknown = sorted(set(options) - set(PRESETS[preset]))
    if unknown:
        raise ValueError(f"options must be by stage, of {', '.join(PRESETS[preset])}; got {unknown[0]!r}")
    if preset == "imagenet" and data is None:
        raise ValueError("data: give a folder with train and val in it with --data")
    distributed.start()
    run = open_run("reproduce", out, {"preset": preset, "data": data, "seed": seed})
    given = {stage: {**PRESETS[preset][stage], **options.get(stage, {})} for stage in PRESETS[preset]}
    for name, function in _stages(run, given, data, seed, device).items():
        _stage(run, name, {**given["common"], **given[name]}, _NEEDS[name], function)
    if distributed.is_main():
        report.write(run)
        print(f"in {run.folder}: report.html, and a folder for each stage")
    distributed.barrier()
    return 0


def _stages(
    run: Run, given: dict[str, dict[str, Any]], data: Path | None, seed: int, device: str
) -> dict[str, Callable[[], int]]:
    common = {**given["common"], "seed": seed, "device": device}
    arch: dict[str, Any] = {key: common[key] for key in ("arch",) if key in common}
    eps = common["eps"]
    place: dict[str, Any] = {"seed": seed, "device": device, "batch": common.get("batch", 64), **arch}
    trained: dict[str, Any] = {"data": str(data / "train"), "val": str(data / "val")} if data is not None else {}
    judged: dict[str, Any] = {"data": str(data / "val")} if data is not None else {}
    first: dict[str, Any] = {} if data is not None else {"weights": run / "train" / "M.safetensors"}

    def of(stage: str, **more: Any) -> dict[str, Any]:
        chosen = {"eps": eps, "out": run / stage, **more, **given[stage]}
        if chosen.get("mixed_precision") is False:  # what YAML makes of "no"
            chosen["mixed_precision"] = "no"
        return chosen

    return {
        "train": lambda: train(**of("train", **place, **trained)),
        "analyze": lambda: analyze(**of("analyze", **place, **judged, **first)),
        "design": lambda: design(**of("design", **place, **judged, **first)),
        "figure6": lambda: figure6(**of("figure6", models=run / "train", device=device)),
        "table1": lambda: table1(**of("table1", **place, **trained, **first, models_of=run / "train")),
        "evaluate": lambda: evaluate(**of("evaluate", **place, **judged, models_of=run / "train")),
    }


def _stage(run: Run, name: str, parameters: dict[str, Any], needs: list[str], function: Callable[[], int]) -> None:
    """Run a stage, unless it is done with the same inputs; what other inputs gave is kept beside it."""
    folder, done = run / name, run / name / "done.json"
    digests = [_digest(path) for need in needs for path in sorted(run.folder.glob(need))]
    inputs = hashlib.sha256(json.dumps([as_before(parameters), digests]).encode()).hexdigest()
    begun = run / f"{name}.inputs.json"
    same = begun.exists() and json.loads(begun.read_text())["inputs"] == inputs
    distributed.barrier()
    if distributed.is_main():
        if folder.exists() and not same:
            number = next(k for k in itertools.count(1) if not (run / f"{name}.before{k}").exists())
            folder.rename(run / f"{name}.before{number}")
        if not same:
            run.write_json(f"{name}.inputs.json", {"inputs": inputs})
    distributed.barrier()
    if done.exists():
        if distributed.is_main():
            print(f"== {name}: done before", flush=True)
        return
    if distributed.is_main():
        print(f"== {name}", flush=True)
    began = time.perf_counter()
    function()
    if distributed.is_main():
        run.write_json(f"{name}/done.json", {"seconds": round(time.perf_counter() - began, 1)})
    distributed.barrier()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
