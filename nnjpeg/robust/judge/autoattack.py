"""AutoAttack as its authors run it (Croce and Hein, 2020): each attack gets the images that the previous ones left."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nnjpeg._arguments import integer
from nnjpeg.robust.attack.attack import Attack
from nnjpeg.robust.attack.gradients import to_bytes
from nnjpeg.robust.data import Images
from nnjpeg.robust.defend.transforms import has_smooth, identity_of, with_gradient
from nnjpeg.robust.judge.assess import BENIGN, WORST, columns_of
from nnjpeg.robust.judge.statistics import hits_of, labelled_right, share_of
from nnjpeg.robust.models import device_of
from nnjpeg.robust.record.store import Journal, digest, shared

__all__ = ["autoattack", "standard"]


def standard(eps: float, *, steps: int = 100, queries: int = 5000, smooth: bool = False) -> list[Attack]:
    """The attacks of AutoAttack's standard version, in its order, each with every gradient of the defence.

    Parameters
    ----------
    eps : float
        L-infinity, in units of 1.
    steps, queries : int
        Of APGD and FAB, and of Square; by default its authors'.
    smooth : bool
        Whether the defence has roundings of coefficients, through which there is a smooth gradient.
    """
    gradients = ("identity", "smooth") if smooth else ("identity",)
    by_gradient = [
        Attack(method, eps, gradient=gradient, steps=steps)  # type: ignore[arg-type]
        for method in ("apgd-ce", "apgd-t", "fab-t")
        for gradient in gradients
    ]
    return [*by_gradient, Attack("square", eps, gradient="none", queries=queries)]


def autoattack(
    defences: Mapping[str, nn.Module],
    images: Images,
    eps: float,
    *,
    steps: int = 100,
    queries: int = 5000,
    journal: Journal | None = None,
    seed: int = 0,
    batch: int = 64,
) -> Any:
    """Count the images, of all images, that AutoAttack leaves: the figure of RobustBench's boards.

    Each attack sees the whole defence, and gets the images that are still labelled right. An image fails if its
    adversarial version is mislabelled, as floats or rounded to 8 bits.

    Parameters
    ----------
    defences : dict of str to Module
        From float images in [0, 1] to logits, the same for the same images.
    images : Images
        All of them count, those that are mislabelled from the beginning too.
    eps : float
        L-infinity, in units of 1.
    steps, queries : int
        See `standard`.
    journal : Journal, optional
        Where results are kept as they come; with the same weights, tables, images and lengths they are found again.
    seed : int
        Of random starts and directions.
    batch : int
        Images at a time.

    Returns
    -------
    DataFrame
        For each defence a row "benign", one for each attack with what it and those before it have left, and "worst
        case", what all have left. Columns as of `assess`.
    """
    import pandas

    batch = integer("batch", batch, 1, 10**9)
    if not len(images):
        raise ValueError("images must hold at least one image, got none")
    chunks = list(zip(images.pixels.split(batch), images.labels.split(batch), strict=True))
    attacks = {
        name: standard(eps, steps=steps, queries=queries, smooth=has_smooth(one)) for name, one in defences.items()
    }
    weights = {name: identity_of(one)[:16] for name, one in defences.items()}
    lengths = {"eps": eps, "steps": steps, "queries": queries, "seed": seed}
    keys = [
        {"defence": name, "weights": weights[name], "images": digest(x, y)[:16], "chunk": number, **lengths}
        for name in defences
        for number, (x, y) in enumerate(chunks)
    ]

    def work(several: list[dict[str, Any]]) -> list[dict[str, Any]]:
        (key,) = several
        name, (x, y) = key["defence"], chunks[key["chunk"]]
        return [{"left": _left(defences[name], x, y, attacks[name], _seed(seed, key))}]

    found = shared(keys, work, journal, description="autoattack", unit="batch")
    left: dict[str, list[str]] = {}
    for line in found:
        before = left.setdefault(line["defence"], [""] * len(line["left"]))
        left[line["defence"]] = [a + b for a, b in zip(before, line["left"], strict=True)]
    sources = None if images.sources is None else images.sources.numpy()
    rows = []
    for name, hits in left.items():
        asked = [None, *attacks[name]]
        described = [columns_of(attack) for attack in asked] + [columns_of(None) | {"attack": WORST, "eps": eps}]
        for columns, one in zip(described, [*hits, hits[-1]], strict=True):
            rows.append(
                {"scenario": "autoattack", "defence": name, **columns, "bounded": columns["attack"] != BENIGN,
                 "hits": one, **share_of(one, sources)}
            )  # fmt: skip
    return pandas.DataFrame(rows)


def _seed(seed: int, key: dict[str, Any]) -> int:
    return zlib.crc32(f"{seed} {key['defence']} {key['chunk']}".encode())


def _left(defence: nn.Module, pixels: Tensor, labels: Tensor, attacks: list[Attack], seed: int) -> list[str]:
    """Which images are labelled right: before all attacks, and after each of them."""
    device = device_of(defence)
    x, y = (pixels / 255).to(device), labels.to(device)
    right = labelled_right(defence, x, y)
    found = [right]
    for attack in attacks:
        rest = right.nonzero()[:, 0]
        if len(rest):
            with with_gradient(defence, attack.gradient), torch.random.fork_rng(devices=[device] if x.is_cuda else []):
                torch.manual_seed(seed)
                adversarial = attack.run(defence, x[rest], y[rest], seed)
            right = right.clone()
            for form in _forms(adversarial):
                right[rest] &= labelled_right(defence, form, y[rest])
        found.append(right)
    return [hits_of(one) for one in found]


def _forms(adversarial: Tensor) -> Iterator[Tensor]:
    yield adversarial
    yield to_bytes(adversarial) / 255
