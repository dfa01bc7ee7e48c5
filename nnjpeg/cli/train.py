"""nnjpeg train: noisy training, the chain of models and their ensemble (section 3.4 of the paper), and baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from nnjpeg.cli.subject import device_of, open_run
from nnjpeg.cli.trainee import benign_images, trainee
from nnjpeg.qtable import NN_TABLE, QTable
from nnjpeg.robust import chain, checkpoints, distributed
from nnjpeg.robust.data import Images
from nnjpeg.robust.ensemble import Ensemble, input_transform
from nnjpeg.robust.runs import Run
from nnjpeg.robust.scores import right, share
from nnjpeg.robust.training import Exponential, Optimization, accelerator


def train(
    data: str = "photos",
    val: str | None = None,
    arch: str | None = None,
    weights: Path | None = None,
    mean: list[float] | None = None,
    std: list[float] | None = None,
    size: int | None = None,
    model_options: dict[str, Any] = {},  # noqa: B006 (jsonargparse reads the default, nobody writes it)
    method: Literal["noisy", "vaccination", "plain", "fast", "free", "pgd"] = "noisy",
    qualities: list[int] = list(chain.QUALITIES),  # noqa: B006
    members: list[int] = [90, 70, 50, 30],  # noqa: B006
    table: Path | None = None,
    xi: float = 0.9,
    eps: float = 8.0,
    noise: float | None = None,
    epochs: float | None = None,
    lr: float | None = None,
    decay: float = 0.94,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    batch: int = 64,
    accumulate: int = 1,
    mixed_precision: Literal["no", "bf16", "fp16"] = "no",
    images: int = 1000,
    patches: int = 4200,
    workers: int = 4,
    save_every: int = 100,
    seed: int = 0,
    device: str = "auto",
    out: Path | None = None,
) -> int:
    """Train the chain M -> M90 -> ... -> M30 with noise, and put M, M90, M70, M50 and M30 together as an ensemble.

    Writes a checkpoint for each model (safetensors), train.0.jsonl, ensemble.json and results.csv into the run folder.
    A stopped run goes on where it was when it is started again with the same parameters and folder; torchrun trains
    on several devices, with the same results to rounding.

    Args:
        data: "photos", patches of scikit-image's photographs with a small model of their own; or a folder of images
            with a subfolder for each class.
        val: a folder of other images, to judge by; photos need none.
        arch: a model of timm or torchvision.
        weights: a file of M's weights, safetensors or torch's; by default those of the hub, and for photos M is
            trained first.
        mean: of R, G, B in [0, 1], by which images are normalised; by default the model's own.
        std: likewise, their deviations.
        size: the side of the model's images; by default the model's own.
        model_options: more for the model's constructor, such as '{"pad_type": "same"}'.
        method: "noisy", the paper's; or what it is compared with: "vaccination" (the same chain on JPEG images alone),
            "plain" (M trained further), adversarial training from random weights: "fast", "free", "pgd".
        qualities: of the chain, falling.
        members: qualities of the models that judge beside M in the ensemble.
        table: a file of a quantization table, such as nnjpeg design writes; by default the paper's 16 / 50.
        xi: the weight of the images as they are in noisy training.
        eps: the L-infinity bound of adversarial training, in units of 1/255.
        noise: the deviation of the noise, in units of 1/255; by default eps.
        epochs: for each quality of a chain (by default 2, which makes 14), otherwise in all (plain 14, the others
            what their authors have).
        lr: the first learning rate of a chain and of plain (by default 0.005), the highest one of the others.
        decay: of the learning rate with each epoch, for chains and plain.
        momentum: of SGD, for chains and plain.
        weight_decay: of SGD, for chains and plain.
        batch: images at a time, of all processes together.
        accumulate: batches of gradients to one step of the weights.
        mixed_precision: "no" for float32 alone, or what it is mixed with: "bf16" or "fp16".
        images: how many images accuracy is measured on.
        patches: how many patches of photos to train on.
        workers: processes that read images, for each process that trains.
        save_every: steps between checkpoints within a training.
        seed: of the choice and order of images, of the small model and of all that is drawn.
        device: "auto", "cpu", "cuda", ...
        out: the run folder; by default runs/train-TIME.
    """
    parameters = {
        key: value for key, value in locals().items() if key not in ("out", "device", "workers", "save_every")
    }
    if any(quality not in qualities for quality in members):
        raise ValueError(f"members must be qualities of the chain, {qualities}; got {members}")
    noise = (eps if noise is None else noise) / 255
    rate: dict[str, Any] = {} if lr is None else {"rate": lr}
    length: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
    sgd = Optimization(
        epochs or (14 if method == "plain" else 2), Exponential(lr or 0.005, decay), momentum, weight_decay
    )
    stages = {
        "noisy": lambda: chain.noisy(
            qualities,
            noise=noise,
            xi=xi,
            table=NN_TABLE if table is None else QTable.load(table),
            optimization=sgd,
            batch=batch,
        ),
        "vaccination": lambda: chain.vaccination(qualities, optimization=sgd, batch=batch),
        "plain": lambda: chain.plain(optimization=sgd, batch=batch),
        "fast": lambda: chain.fast(eps / 255, batch=batch, phases=data != "photos", **length, **rate),
        "free": lambda: chain.free(eps / 255, batch=batch, **length, **rate),
        "pgd": lambda: chain.pgd(eps / 255, batch=batch, **length, **rate),
    }[method]()
    distributed.start()
    run = open_run("train", out, parameters)
    engine = accelerator(device_of(device), mixed_precision=mixed_precision, accumulate=accumulate, seed=seed)
    one = trainee(
        run, engine, data=data, arch=arch, weights=weights, mean=mean, std=std, size=size,
        model_options=model_options, patches=patches, workers=workers, seed=seed,
    )  # fmt: skip
    chain.run_stages(run, stages, one.fresh, one.loaders, engine, seed=seed, augment=one.augment, save_every=save_every)
    if distributed.is_main():
        together = ["M", *(f"M{quality}" for quality in members)] if method in ("noisy", "vaccination") else None
        if together is not None:
            run.write_json("ensemble.json", {"members": together, "rule": "mean"})
        test = benign_images(data, val, checkpoints.load(run / "M.safetensors")[0], images, seed)
        _judge(run, ["M", *(stage.name for stage in stages)], together, engine.device, test)
    distributed.barrier()
    return 0


def _judge(run: Run, names: list[str], together: list[str] | None, device: torch.device, test: Images | None) -> None:
    """Benign accuracy of each model, on images as they are and through its own compression, and of the ensemble."""
    import pandas

    judges: list[tuple[str, str, torch.nn.Module, dict[str, Any]]] = []
    for name in names:
        model, facts = checkpoints.load(run / f"{name}.safetensors")
        judges.append((name, "as it is", model, facts))
        transform = input_transform(facts)
        if transform is not None:
            judges.append((name, "compressed", torch.nn.Sequential(transform, model), facts))
    if together is not None:
        judges.append(("ensemble", "by member", Ensemble.load(run.folder, together), {}))
    rows = []
    for name, sees, judge, facts in judges:
        row = {"model": name, "image": sees, "seconds": facts.get("seconds"), "loss": facts.get("loss")}
        if test is not None:
            hits = right(judge.to(device), test)
            found = share(int(hits.sum()), len(hits))
            row |= found
            text = "{accuracy:.1%} right (95% interval {low:.1%} to {high:.1%})".format(**found)
            print(f"{name:>9}, image {sees}: {text}")
        rows.append(row)
    run.write_csv("results.csv", pandas.DataFrame(rows))
    print(f"in {run.folder}: a checkpoint for each model, results.csv, train.0.jsonl, ensemble.json if there is one")
