"""The frequency bands of images and of perturbations (section 3.1 of the paper)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas

from nnjpeg.paper import figures
from nnjpeg.paper.specs import Analyze, Machine
from nnjpeg.paper.subject import device_of, subject_of
from nnjpeg.robust.design import attack_set
from nnjpeg.robust.frequency import COMPONENTS, FrequencyStatistics, band_order, deviation_ratio
from nnjpeg.robust.record import distributed
from nnjpeg.robust.record.run import Run

__all__ = ["run"]


def run(spec: Analyze, run: Run, machine: Machine) -> dict[str, pandas.DataFrame]:
    """Measure the deviation of each DCT coefficient of images and of perturbations.

    Writes deviations.csv, order.json, the statistics themselves and the figures into the run folder.

    Returns
    -------
    dict of str to DataFrame
        "deviations": a row for each component and band.
    """
    batch = machine.batch
    # The model must label them right before the attack: of four times as many, any useful model does.
    model, available = subject_of(
        run, spec.subject, max(4 * spec.images, 100), at_least=spec.images, seed=spec.seed,
        device=device_of(machine.device),
    )  # fmt: skip
    adversarial, originals = attack_set(
        model, available, spec.images, attack=spec.attack, eps=spec.threat.eps / 255, seed=spec.seed, batch=batch
    )
    statistics = {}
    for suffix, subsample in (("", False), ("_420", True)):
        ours, theirs = FrequencyStatistics(subsample=subsample), FrequencyStatistics(subsample=subsample)
        share = slice(distributed.rank(), None, distributed.world_size())
        for x, original in zip(
            adversarial.pixels[share].split(batch), originals.pixels[share].split(batch), strict=True
        ):
            ours.update(original)
            theirs.update(x, minus=original)
        for kind, one in (("images", ours), ("perturbations", theirs)):
            one.all_reduce()
            statistics[kind + suffix] = one
    frame = _frame(statistics)
    if distributed.is_main():
        _write(run, frame, statistics, available.skipped)
    distributed.barrier()
    return {"deviations": frame}


def _frame(statistics: dict[str, FrequencyStatistics]) -> pandas.DataFrame:
    columns = {name: one.deviations.ravel() for name, one in statistics.items()}
    component, i, j = (a.ravel() for a in np.indices((6, 8, 8)))
    frame = pandas.DataFrame({"component": [COMPONENTS[c] for c in component], "i": i, "j": j, **columns})
    frame["ratio"] = deviation_ratio(statistics["images"], statistics["perturbations"]).ravel()
    return frame


def _write(
    run: Run, frame: pandas.DataFrame, statistics: dict[str, FrequencyStatistics], skipped: tuple[str, ...]
) -> None:
    images, perturbations = statistics["images"], statistics["perturbations"]
    ratio, order = deviation_ratio(images, perturbations), band_order(images, perturbations)
    run.write_csv("deviations.csv", frame)
    diagonals = [float(np.mean([ratio[:3, a, b] for a in range(8) for b in range(8) if a + b == d])) for d in range(15)]
    ac = {
        name: np.sqrt((one.deviations**2).sum((1, 2)) - one.deviations[:, 0, 0] ** 2)
        for name, one in statistics.items()
    }
    summary = {
        "order": order,
        "ratio_by_diagonal": diagonals,
        "ac_deviation": {name: dict(zip(COMPONENTS, map(float, value), strict=True)) for name, value in ac.items()},
        "blocks": int(images.count[0]),
        "skipped": list(skipped),
    }
    run.write_json("order.json", summary)
    for name, one in statistics.items():
        one.save(run / f"{name}.npz")
        if not name.endswith("_420"):
            figures.deviation_maps(one.deviations, f"standard deviation, {name}", run / f"deviations_{name}.png")
    figures.deviation_maps(ratio, "delta'", run / "ratio.png")
    figures.bands(images.deviations, perturbations.deviations, run / "bands.png")
    green = ac["images"][1]
    print("AC deviation of images, as a share of G's:")
    for suffix, words in (("", "4:4:4"), ("_420", "4:2:0")):
        shares = ac["images" + suffix] / green
        print(f"  {words}: " + ", ".join(f"{n} {s:.2f}" for n, s in zip(COMPONENTS, shares, strict=True)))
    rising = all(a < b for a, b in pairwise(diagonals))
    print(
        f"delta' by anti-diagonal, 0 to 14: {', '.join(f'{d:.3f}' for d in diagonals)}"
        f" ({'rises strictly' if rising else 'does not rise strictly'})"
    )
    print(f"in {run.folder}: deviations.csv, order.json, deviations_*.png, ratio.png, bands.png")
