"""Certified accuracy by randomized smoothing: does NN-JPEG, between the noise and the network, help?"""

from __future__ import annotations

import pandas

from nnjpeg.paper.specs import Certify, Machine
from nnjpeg.paper.subject import benign_images, device_of, trainee
from nnjpeg.qtable import NN_TABLE, QTable
from nnjpeg.robust.judge.certify import certified, certify, largest_radius
from nnjpeg.robust.record import checkpoints, distributed
from nnjpeg.robust.record.run import Run
from nnjpeg.robust.record.store import Journal
from nnjpeg.robust.train import chain
from nnjpeg.robust.train.engine import Exponential, Optimization, accelerator
from nnjpeg.robust.train.objectives import Through

__all__ = ["run"]

_COLUMNS = ("sigma", "trained", "seen")


def run(spec: Certify, run: Run, machine: Machine) -> dict[str, pandas.DataFrame]:
    """Train two networks for each sigma, on noisy images with and without NN-JPEG, and certify them.

    Three classifiers are smoothed for each sigma: the first network, the same behind NN-JPEG, and the second behind
    NN-JPEG. Writes the models, certified.csv, images.csv and the quantization table (table.json) into the run
    folder; resumable, and under torchrun as training.

    Returns
    -------
    dict of str to DataFrame
        "certified": a row for each sigma, classifier and radius, as of `judge.certify.certified`, with ``sigma``,
        ``trained`` and ``seen`` ("noise" or "noise, NN-JPEG": what the network was trained on, and what it sees) and
        ``largest``, the largest radius that so many draws can certify. "images": a row for each image of each, as of
        `certify`.
    """
    engine = accelerator(device_of(machine.device), mixed_precision=spec.mixed_precision, seed=spec.seed)
    one = trainee(run, spec.subject, spec.preparation, engine, patches=spec.patches, machine=machine, seed=spec.seed)
    through = Through(spec.quality, NN_TABLE if spec.table is None else QTable.load(spec.table))
    sgd = Optimization(spec.epochs, Exponential(spec.lr, spec.decay))
    names = {
        (sigma, kind): f"{prefix}{sigma:g}"
        for sigma in spec.sigmas
        for kind, prefix in (("noise", "noise-"), ("noise, NN-JPEG", "noise-nn-jpeg-"))
    }
    stages = [
        chain.gaussian(
            sigma, optimization=sgd, batch=spec.train_batch, through=None if kind == "noise" else through, name=name
        )
        for (sigma, kind), name in names.items()
    ]
    chain.run_stages(
        run, stages, one.fresh, one.loaders, engine, seed=spec.seed, augment=one.augment, save_every=machine.save_every
    )
    first = checkpoints.load(run / "M.safetensors")[0]
    images = benign_images(spec.subject, spec.val, first, spec.images, spec.seed)
    if images is None:
        raise ValueError("val: give images to judge by with --val")
    journal = Journal(run, "certificates")
    frames: list[pandas.DataFrame] = []
    every: list[pandas.DataFrame] = []
    for sigma in spec.sigmas:
        largest = largest_radius(sigma, spec.n, spec.alpha)
        for trained, seen in (("noise", "noise"), ("noise", "noise, NN-JPEG"), ("noise, NN-JPEG", "noise, NN-JPEG")):
            network = checkpoints.load(run / f"{names[sigma, trained]}.safetensors")[0]
            model = network if seen == "noise" else through.before(network)
            with engine.autocast():
                frame = certify(
                    model.to(engine.device).eval(), images, sigma, n0=spec.n0, n=spec.n, alpha=spec.alpha,
                    seed=spec.seed, batch=8 * machine.batch, journal=journal,
                    name=f"sigma {sigma:g}, trained on {trained}, sees {seen}",
                )  # fmt: skip
            table = certified(frame, spec.radii, images.sources, largest=largest)
            for found, kept in ((table, frames), (frame, every)):
                for column, value in reversed(list(zip(_COLUMNS, (sigma, trained, seen), strict=True))):
                    found.insert(0, column, value)
                kept.append(found)
            table.insert(len(_COLUMNS) + 2, "largest", largest)
    tables = {"certified": pandas.concat(frames, ignore_index=True), "images": pandas.concat(every, ignore_index=True)}
    if distributed.is_main():
        through.table.save(run / "table.json")
        _write(run, tables, len(images))
    distributed.barrier()
    return tables


def _write(run: Run, tables: dict[str, pandas.DataFrame], count: int) -> None:
    for name, frame in tables.items():
        run.write_csv(f"{name}.csv", frame)
    shown = tables["certified"].assign(
        percent=lambda frame: (100 * frame["accuracy"]).round(1).astype(str).where(frame["reachable"], "out of reach")
    )
    print(f"certified accuracy in percent of {count} images; columns: L2 radius")
    print(shown.pivot_table("percent", list(_COLUMNS), "radius", aggfunc="first", sort=False).to_string())
    print(f"in {run.folder}: certified.csv, images.csv, table.json, the networks")
