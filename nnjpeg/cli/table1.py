"""nnjpeg table1: this method beside Fast and Free adversarial training (Table 1 of the paper)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from nnjpeg.cli.subject import device_of, open_run
from nnjpeg.cli.trainee import benign_images, trainee
from nnjpeg.robust import chain, checkpoints, distributed
from nnjpeg.robust.chain import Stage
from nnjpeg.robust.ensemble import Ensemble
from nnjpeg.robust.evaluation import assess, attempts
from nnjpeg.robust.runs import Journal, Run
from nnjpeg.robust.scores import well_labelled
from nnjpeg.robust.training import Optimization, accelerator


def table1(
    data: str = "photos",
    val: str | None = None,
    arch: str | None = None,
    weights: Path | None = None,
    mean: list[float] | None = None,
    std: list[float] | None = None,
    size: int | None = None,
    model_options: dict[str, Any] = {},  # noqa: B006 (jsonargparse reads the default, nobody writes it)
    models_of: Path | None = None,
    eps: float = 8.0,
    epochs: list[float] = [2, 4],  # noqa: B006
    restarts: list[int] = [1, 10],  # noqa: B006
    steps: int = 50,
    images: int = 700,
    attacked: int = 100,
    adversarial_epochs: float | None = None,
    batch: int = 64,
    judged: int = 64,
    mixed_precision: Literal["no", "bf16", "fp16"] = "no",
    patches: int = 4200,
    workers: int = 4,
    save_every: int = 100,
    seed: int = 0,
    device: str = "auto",
    out: Path | None = None,
) -> int:
    """Train this method, Fast AT and Free AT, and attack each with PGD: accuracy, robustness and time.

    Writes all models, table1.csv, table1.json and table1.png into the run folder; resumable, and under torchrun as
    nnjpeg train. Attacks see the whole defence (every member of an ensemble, straight through every compression);
    those called "gray" see M alone, which is what the paper's attacks on its method see.

    Args:
        data: as for nnjpeg train.
        val: a folder of other images, to judge by; photos need none.
        arch: a model of timm or torchvision.
        weights: a file of M's weights.
        mean: of R, G, B in [0, 1]; by default the model's own.
        std: likewise, their deviations.
        size: the side of the model's images; by default the model's own.
        model_options: more for the model's constructor.
        models_of: the run folder of nnjpeg train: its ensemble is judged too, and its training's seconds are told.
        eps: the L-infinity bound, and the noise's deviation, in units of 1/255.
        epochs: of this method, for each of the seven qualities: 2 and 4 are the paper's 14 and 28; none with
            models_of will do.
        restarts: of PGD, a column each.
        steps: of PGD, 1/255 each.
        images: how many benign images.
        attacked: how many of them, labelled right by M, are attacked.
        adversarial_epochs: of Fast AT and of Free AT; by default 15 and 22.5, their authors'.
        batch: images at a time in training; for folders Fast AT's first phase has eight times, Free AT four times as
            many, as their authors do.
        judged: images at a time in judging.
        mixed_precision: "no" for float32 alone, or what it is mixed with: "bf16" or "fp16".
        patches: how many patches of photos to train on.
        workers: processes that read images, for each process that trains.
        save_every: steps between checkpoints within a training.
        seed: of all that is drawn.
        device: "auto", "cpu", "cuda", ...
        out: the run folder; by default runs/table1-TIME.
    """
    parameters = {
        key: value for key, value in locals().items() if key not in ("out", "device", "workers", "save_every", "judged")
    }
    folder = data != "photos"
    if folder and val is None:
        raise ValueError("val: give a folder of images to judge by")
    distributed.start()
    run = open_run("table1", out, parameters)
    engine = accelerator(device_of(device), mixed_precision=mixed_precision, seed=seed)
    one = trainee(
        run, engine, data=data, arch=arch, weights=weights, mean=mean, std=std, size=size,
        model_options=model_options, patches=patches, workers=workers, seed=seed,
    )  # fmt: skip
    length: dict[str, Any] = {} if adversarial_epochs is None else {"epochs": adversarial_epochs}
    methods: dict[str, list[Stage]] = {
        "Fast AT": chain.fast(eps / 255, batch=8 * batch if folder else batch, phases=folder, **length),
        "Free AT": chain.free(eps / 255, batch=4 * batch if folder else batch, **length),
    }
    for each in epochs:
        total = each * len(chain.QUALITIES)
        methods[f"noisy {total:g}"] = chain.noisy(
            noise=eps / 255, optimization=Optimization(each), batch=batch, prefix=f"{total:g}-"
        )
    every = [stage for stages in methods.values() for stage in stages]
    chain.run_stages(run, every, one.fresh, one.loaders, engine, seed=seed, augment=one.augment, save_every=save_every)

    undefended = checkpoints.load(run / "M.safetensors")[0].to(engine.device)
    benign = benign_images(data, val, undefended, images, seed)
    assert benign is not None
    defences: dict[str, torch.nn.Module] = {"none (M)": undefended}
    for name, stages in methods.items():
        prefix = stages[-1].name.removesuffix("M30") if name.startswith("noisy") else None
        if prefix is None:
            defences[name] = checkpoints.load(run / f"{stages[-1].name}.safetensors")[0]
        else:
            members = ["M", *(f"{prefix}M{quality}" for quality in (90, 70, 50, 30))]
            defences[name] = Ensemble.load(run.folder, members)
        defences[name].to(engine.device)
    if models_of is not None:
        defences["noisy"] = Ensemble.load(models_of).to(engine.device)
    attacks = [attempts(restarts[0], eps / 255, steps=steps, target="M")]
    attacks += [attempts(count, eps / 255, steps=steps) for count in restarts]
    frame = assess(
        defences, benign, well_labelled(undefended, benign, attacked), attacks, {"M": undefended},
        Journal(run, "cells"), seed=seed, batch=judged,
    )  # fmt: skip
    if distributed.is_main():
        _write(run, frame, methods, models_of, eps)
    distributed.barrier()
    return 0


def _write(run: Run, frame: Any, methods: dict[str, list[Stage]], models_of: Path | None, eps: float) -> None:
    from nnjpeg.robust import figures

    facts = {
        name: [checkpoints.read(run / f"{stage.name}.safetensors")[1] for stage in stages]
        for name, stages in methods.items()
    }
    if models_of is not None:
        chained = [checkpoints.read(path)[1] for path in sorted(models_of.glob("M[0-9]*.safetensors"))]
        facts["noisy"] = [one for one in chained if "stage" in one]
    seconds = {name: sum(one["seconds"] for one in stages) for name, stages in facts.items()}
    lengths = {name: sum(one["stage"]["optimization"]["epochs"] for one in stages) for name, stages in facts.items()}
    frame["epochs"], frame["seconds"] = frame["defence"].map(lengths), frame["defence"].map(seconds)
    run.write_csv("table1.csv", frame)
    run.write_json("table1.json", {"eps": eps / 255, "rows": frame.to_dict("records")})
    figures.bars(frame, run / "table1.png")
    table = frame.pivot_table(index="defence", columns="attack", values="accuracy", sort=False)
    table = (100 * table).round(1).assign(epochs=table.index.map(lengths), seconds=table.index.map(seconds))
    print(f"percent right, eps {eps:g}/255\n{table.to_string(na_rep='-')}")
    print(f"in {run.folder}: table1.csv, table1.json, table1.png, and the models")
