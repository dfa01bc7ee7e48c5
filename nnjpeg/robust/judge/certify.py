"""Certified robustness by randomized smoothing (Cohen, Rosenfeld and Kolter, 2019), in L2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas
import torch
from torch import Tensor, nn

from nnjpeg._arguments import integer
from nnjpeg.robust.data import Images
from nnjpeg.robust.defend.transforms import identity_of
from nnjpeg.robust.judge.statistics import labels_by, share_of
from nnjpeg.robust.models import device_of
from nnjpeg.robust.models.modules import evaluating
from nnjpeg.robust.record.store import Journal, digest, shared

__all__ = ["ABSTAINS", "certified", "certify", "largest_radius", "lower_bound", "radius_of"]

ABSTAINS = -1
"""In place of a class, where the smoothed classifier gives none."""

_CHUNK = 100  # draws that come from one seed


def certify(
    model: nn.Module,
    images: Images,
    sigma: float,
    *,
    n0: int = 100,
    n: int = 10_000,
    alpha: float = 0.001,
    seed: int = 0,
    batch: int = 500,
    journal: Journal | None = None,
    name: str = "model",
) -> pandas.DataFrame:
    """Certify the smoothed classifier of a model: the class that it gives most often to an image plus Gaussian noise.

    Draws of one seed choose the class, those of another one count how often it comes. The count bounds its probability
    from below (Clopper and Pearson, 1934). No perturbation changes the class whose L2 norm is below sigma times the
    normal quantile of that bound (Cohen et al., theorem 1 and their algorithm Certify). Where the bound is not above
    1/2 the classifier abstains.

    The noise is added to images in [0, 1], and not clamped: what the model does with values outside, such as rounding
    to bytes, is a function of the noisy image, and so a part of the model. This holds for NN-JPEG before a network. It
    does not hold where a transform is applied before the noise, as in noisy training.

    Parameters
    ----------
    model : Module
        From float images (B, 3, H, W) to logits, the same for the same images: its transform included. It runs in
        evaluation mode.
    images : Images
        To certify; one at least.
    sigma : float
        The deviation of the noise, in units of 1; above 0, and finite.
    n0, n : int
        Draws that choose the class, and draws that count it.
    alpha : float
        The probability, for each image, that its certificate is wrong; above 0 and below 1.
    seed : int
        Of the noise. Each image has its own, whatever the batch and the number of processes.
    batch : int
        Draws at a time.
    journal : Journal, optional
        Where results are kept as they come; with the same name, weights, tables, images and noise they are found again.
    name : str
        Of the model: what it does to images besides its weights is known by it.

    Returns
    -------
    DataFrame
        A row for each image: ``image``, ``label``, ``class`` (`ABSTAINS` where the classifier does), ``chosen`` (the
        class that was counted), ``count`` (of `n`), ``bound`` and ``radius`` (0 where it abstains).

    Raises
    ------
    ValueError
        If an argument is out of range, there is no image, or a logit is NaN.
    """
    if not 0 < sigma < math.inf:
        raise ValueError(f"sigma must be above 0 and finite, got {sigma}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be above 0 and below 1, got {alpha}")
    n0, n, batch = integer("n0", n0, 1, 10**9), integer("n", n, 1, 10**9), integer("batch", batch, 1, 10**9)
    if not len(images):
        raise ValueError("images must hold at least one image, got none")
    device = device_of(model)
    of = identity_of(model)[:16]
    facts = {"model": name, "weights": of, "sigma": sigma, "n0": n0, "n": n, "alpha": alpha, "seed": seed}
    keys = [{"image": index, "pixels": digest(pixels)[:16], **facts} for index, pixels in enumerate(images.pixels)]

    def work(several: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [_of_one(model, images.pixels[key["image"]], key, batch, device) for key in several]

    with evaluating(model):
        rows = shared(keys, work, journal, description=f"certify {name}", unit="image")
    frame = pandas.DataFrame(rows)[["image", "chosen", "count"]]
    frame.insert(1, "label", images.labels.tolist())
    frame["bound"] = [lower_bound(count, n, alpha) for count in frame["count"]]
    frame["radius"] = [radius_of(bound, sigma) for bound in frame["bound"]]
    frame["class"] = np.where(frame["bound"] > 0.5, frame["chosen"], ABSTAINS)
    return frame


def _of_one(model: nn.Module, pixels: Tensor, key: dict[str, Any], batch: int, device: torch.device) -> dict[str, Any]:
    x = pixels.to(device) / 255
    chosen = int(_labels(model, x, key, "n0", batch).bincount().argmax())
    return {"chosen": chosen, "count": int((_labels(model, x, key, "n", batch) == chosen).sum())}


@torch.inference_mode()
def _labels(model: nn.Module, x: Tensor, key: dict[str, Any], which: str, batch: int) -> Tensor:
    """The labels that the model gives to an image in `key[which]` draws of the noise."""
    found: list[Tensor] = []
    draws = key[which]
    held: list[Tensor] = []
    for start in range(0, draws, _CHUNK):
        state = (key["seed"], key["image"], int(which == "n"), start // _CHUNK)
        generator = torch.Generator().manual_seed(int(np.random.SeedSequence(state).generate_state(1, np.uint64)[0]))
        held.append(torch.randn((min(_CHUNK, draws - start), *x.shape), generator=generator))
        waiting = sum(map(len, held))
        while waiting >= batch or (waiting and start + _CHUNK >= draws):
            together = torch.cat(held)
            now, held = together[:batch].to(x.device), [together[batch:]]
            found.append(labels_by(model, x + key["sigma"] * now))
            waiting = len(held[0])
    return torch.cat(found)


def lower_bound(count: int, n: int, alpha: float) -> float:
    """The one-sided bound of Clopper and Pearson (1934).

    If the probability is below the bound, `count` or more of `n` occur with a probability of at most `alpha`.
    """
    from scipy.stats import beta

    return float(beta.ppf(alpha, count, n - count + 1)) if count else 0.0


def radius_of(bound: float, sigma: float) -> float:
    """The certified radius of a probability; 0 where it is not above 1/2."""
    return sigma * NormalDist().inv_cdf(bound) if bound > 0.5 else 0.0


def largest_radius(sigma: float, n: int, alpha: float) -> float:
    """The radius of an image whose class comes in all of `n` draws: no image has a larger one.

    It is 0 where so few draws can't certify any class.
    """
    return radius_of(lower_bound(n, n, alpha), sigma)


def certified(
    frame: pandas.DataFrame,
    radii: Sequence[float],
    sources: Tensor | None = None,
    *,
    largest: float = float("inf"),
) -> pandas.DataFrame:
    """The share of images that are labelled right, and certified, at each radius.

    Parameters
    ----------
    frame : DataFrame
        Of `certify`.
    radii : sequence of float
        L2 norms, of images in [0, 1].
    sources : Tensor, optional
        Those of the images; see `judge.statistics.interval`.
    largest : float
        See `largest_radius`: if it is 0, no radius is reachable.

    Returns
    -------
    DataFrame
        A row for each radius: ``radius``, ``reachable`` (whether so many draws could certify it), ``right``,
        ``images``, ``accuracy`` with its 95% interval ``low`` and ``high``, and ``abstains`` (a share).
    """
    right = (frame["class"] == frame["label"]).to_numpy()
    rows = []
    for radius in radii:
        hits = right & (frame["radius"] >= radius).to_numpy()
        rows.append(
            {
                "radius": radius,
                "reachable": radius <= largest and largest > 0,
                **share_of(hits, None if sources is None else sources.numpy()),
                "abstains": float((frame["class"] == ABSTAINS).mean()),
            }
        )
    return pandas.DataFrame(rows)
