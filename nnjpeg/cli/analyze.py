"""nnjpeg analyze: in which bands images and perturbations live (section 3.1 of the paper)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from nnjpeg.cli.subject import device_of, open_run, subject
from nnjpeg.robust import distributed
from nnjpeg.robust.design import attack_set
from nnjpeg.robust.frequency import COMPONENTS, FrequencyStatistics, band_order, deviation_ratio


def analyze(
    data: str = "photos",
    arch: str | None = None,
    weights: Path | None = None,
    mean: list[float] | None = None,
    std: list[float] | None = None,
    size: int | None = None,
    model_options: dict[str, Any] = {},  # noqa: B006 (jsonargparse reads the default, nobody writes it)
    images: int = 1000,
    attack: str = "fgsm",
    eps: float = 8.0,
    batch: int = 32,
    seed: int = 0,
    device: str = "auto",
    out: Path | None = None,
) -> int:
    """Measure the standard deviation of each DCT coefficient, for images and for adversarial perturbations.

    Writes deviations.csv, order.json, the statistics themselves and the figures into the run folder.

    Args:
        data: "photos", patches of scikit-image's photographs with a small model of their own; or a folder of images
            with a subfolder for each class.
        arch: a model of timm or torchvision.
        weights: a file of its weights, safetensors or torch's; by default those of the hub.
        mean: of R, G, B in [0, 1], by which images are normalised; by default the model's own.
        std: likewise, their deviations.
        size: the side of the model's images; by default the model's own.
        model_options: more for the model's constructor, such as '{"pad_type": "same"}'.
        images: how many images the model must have labelled right, to be attacked.
        attack: fgsm, ifgsm or pgd.
        eps: the L-infinity bound, in units of 1/255.
        batch: images at a time.
        seed: of the choice of images, of the small model and of PGD.
        device: "auto", "cpu", "cuda", ...
        out: the run folder; by default runs/analyze-TIME.
    """
    parameters = {key: value for key, value in locals().items() if key not in ("out", "device")}
    distributed.start()
    run = open_run("analyze", out, parameters)
    on = device_of(device)
    # The model must label them right before the attack: of four times as many, any useful model does.
    model, available = subject(
        run, max(4 * images, 100), at_least=images,
        data=data, arch=arch, weights=weights, mean=mean, std=std, size=size, model_options=model_options,
        seed=seed, device=on,
    )  # fmt: skip
    adversarial, originals = attack_set(model, available, images, attack=attack, eps=eps / 255, seed=seed, batch=batch)
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
    if distributed.is_main():
        _write(run, statistics, available.skipped)
        print(f"in {run.folder}: deviations.csv, order.json, deviations_*.png, ratio.png, bands.png")
    return 0


def _write(run: Any, statistics: dict[str, FrequencyStatistics], skipped: tuple[str, ...]) -> None:
    import pandas

    from nnjpeg.robust import figures

    images, perturbations = statistics["images"], statistics["perturbations"]
    ratio, order = deviation_ratio(images, perturbations), band_order(images, perturbations)
    columns = {name: one.deviations.ravel() for name, one in statistics.items()}
    component, i, j = (a.ravel() for a in np.indices((6, 8, 8)))
    frame = pandas.DataFrame({"component": [COMPONENTS[c] for c in component], "i": i, "j": j, **columns})
    frame["ratio"] = ratio.ravel()
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
