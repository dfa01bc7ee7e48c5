"""Accuracy with its uncertainty: which images are labelled right, intervals, and tests between two defences."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import special
from torch import Tensor, nn

from nnjpeg.robust.data import Images
from nnjpeg.robust.models import device_of

__all__ = [
    "accuracy", "as_hits", "at_equal_accuracy", "find_well_labelled", "fraction", "hits_of", "interval",
    "labelled_right", "labels_by", "mcnemar", "read_table", "right", "share", "share_of", "well_labelled", "wilson",
]  # fmt: skip

_Z = 1.959964  # of the normal distribution, 95% lie within so many standard deviations
_DRAWS = 2000  # of the bootstrap: the ends of its interval scatter by about a thirtieth of its width

# ------------------------------------------------------------------------------------------------ which are right


@torch.no_grad()
def labels_by(model: nn.Module, images: Tensor) -> Tensor:
    """The labels that a model gives to a batch.

    Parameters
    ----------
    model : Module
        From float images in [0, 1] to logits.
    images : Tensor
        float (B, 3, H, W), on any device.

    Returns
    -------
    Tensor
        int64 (B,), on the model's device.

    Raises
    ------
    ValueError
        If a logit is NaN: such an image has no label.
    """
    logits = model(images.to(device_of(model)))
    broken = int(logits.isnan().any(1).sum())
    if broken:
        raise ValueError(f"a model returned NaN for {broken} of {len(images)} images, which have no label then")
    return logits.argmax(1)


def labelled_right(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Which images of a batch get their label, by `labels_by`: bool (B,), on the device of `labels`."""
    return labels_by(model, images).to(labels.device) == labels


def right(
    model: nn.Module, images: Images, *, transform: Callable[[Tensor], Tensor] | None = None, batch: int = 64
) -> npt.NDArray[np.bool_]:
    """Which images the model labels right.

    Parameters
    ----------
    model : Module
        From float images in [0, 1] to logits, on its device.
    images : Images
        With labels.
    transform : callable, optional
        From bytes to bytes, uint8 (B, 3, H, W) on the CPU, before the model.
    batch : int
        Images at a time.

    Returns
    -------
    ndarray
        bool (N,).
    """
    return np.concatenate(list(_right_by_batch(model, images, transform, batch)))


def accuracy(model: nn.Module, images: Images, batch: int = 64) -> float:
    """The share of images that the model labels right, in 0..1."""
    return float(right(model, images, batch=batch).mean())


def well_labelled(model: nn.Module, images: Images, count: int, batch: int = 64) -> Images:
    """The first `count` images that the model labels right, which are then attacked.

    Raises
    ------
    ValueError
        If there are fewer.
    """
    return find_well_labelled(model, images, count, batch)[0]


def find_well_labelled(model: nn.Module, images: Images, count: int, batch: int = 64) -> tuple[Images, int]:
    """The first `count` images that the model labels right, and how many images were considered to find them.

    A share of the images found is a share of those that the model labels right. Multiplied by ``count / considered`` it
    is the share of all images, where those that the model mislabels count as failures.

    Parameters
    ----------
    model : Module
        From float images in [0, 1] to logits, on its device.
    images : Images
        To choose from, in their order.
    count : int
        How many to find, at least 1.
    batch : int
        Images at a time; those after the last that is wanted are not looked at.

    Returns
    -------
    found : Images
        `count` of them.
    considered : int
        The place of the last one found, counted from 1.

    Raises
    ------
    ValueError
        If there are fewer.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    judged = np.zeros(0, np.bool_)
    for hits in _right_by_batch(model, images, None, batch):
        judged = np.concatenate([judged, hits])
        if judged.sum() >= count:
            break
    chosen = np.flatnonzero(judged)[:count]
    if len(chosen) < count:
        raise ValueError(
            f"images: {count} are needed, but the model labels {len(chosen)} of {len(images)} images right"
        )
    return images.take(torch.from_numpy(chosen)), int(chosen[-1]) + 1


def _right_by_batch(
    model: nn.Module, images: Images, transform: Callable[[Tensor], Tensor] | None, batch: int
) -> Iterator[npt.NDArray[np.bool_]]:
    device = device_of(model)
    for x, y in zip(images.pixels.split(batch), images.labels.split(batch), strict=True):
        x = x if transform is None else transform(x)
        yield labelled_right(model, x.to(device) / 255, y).numpy()


# ---------------------------------------------------------------------------------------------- columns of tables


def as_hits(hits: str | npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which images are labelled right, from a column ``hits`` ("1" for those that are, "0" for others) or from bools.

    Returns
    -------
    ndarray
        bool (N,), N at least 1.

    Raises
    ------
    ValueError
        If there are none, or they are not a string of 0 and 1 or bool (N,).
    """
    if isinstance(hits, str):
        if not hits or set(hits) - {"0", "1"}:
            raise ValueError(f"hits must be a string of 0 and 1, got {hits[:40]!r}")
        return np.frombuffer(hits.encode(), np.uint8) == ord("1")
    array = np.asarray(hits)
    if array.dtype != np.bool_ or array.ndim != 1 or not len(array):
        raise ValueError(f"hits must be bool (N,), N at least 1, got {array.dtype} {array.shape}")
    return array


def hits_of(right: npt.ArrayLike) -> str:
    """Booleans (N,) as the column ``hits`` has them: a "1" for each image that is labelled right, a "0" for others."""
    return "".join("01"[int(hit)] for hit in np.asarray(right))


def share(right: int, images: int) -> dict[str, Any]:
    """Columns of a table: ``right``, ``images``, ``accuracy`` in 0..1 and its 95% interval, ``low`` and ``high``.

    The images are assumed to be independent; for images that share sources, see `share_of`.
    """
    low, high = wilson(right, images)
    return {"right": right, "images": images, "accuracy": right / images, "low": low, "high": high}


def fraction(hits: str) -> float:
    """The fraction of hits, in 0..1."""
    return hits.count("1") / len(hits)


def share_of(hits: str | npt.ArrayLike, sources: npt.ArrayLike | None = None) -> dict[str, Any]:
    """The columns of `share` from hits, with the interval of `interval`."""
    judged = as_hits(hits)
    low, high = interval(judged, sources)
    return share(int(judged.sum()), len(judged)) | {"low": low, "high": high}


def read_table(path: str | PathLike[str]) -> Any:
    """Read a table of a run as a pandas frame: its CSV, or the journal (.jsonl) of an evaluation that has not ended.

    A journal has no sources, so its intervals are Wilson's.
    """
    import pandas

    if Path(path).suffix != ".jsonl":
        return pandas.read_csv(path, keep_default_na=False, na_values=[""], dtype={"hits": str})
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return pandas.DataFrame([line | share_of(line["hits"]) for line in lines])


# ------------------------------------------------------------------------------------------------------- the error


def wilson(right: int, total: int) -> tuple[float, float]:
    """Wilson's 95% interval of a proportion of independent trials.

    From E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
    Statistical Association 22, 1927. It stays within 0..1, and its width is not 0 if all trials have the same result.

    Parameters
    ----------
    right, total : int
        Successes and trials; `total` at least 1.

    Returns
    -------
    low, high : float
        In 0..1.
    """
    p = right / total
    center, spread = p + _Z * _Z / (2 * total), _Z * math.sqrt(p * (1 - p) / total + _Z * _Z / (4 * total * total))
    scale = 1 + _Z * _Z / total
    # At 0 and at 1 the exact end is the share itself, which rounding may miss.
    return min(max((center - spread) / scale, 0.0), p), max(min((center + spread) / scale, 1.0), p)


def interval(hits: str | npt.ArrayLike, sources: npt.ArrayLike | None = None) -> tuple[float, float]:
    """The 95% interval of the share of images that are labelled right.

    If each image has its own source, it is Wilson's interval. If images share sources, as patches of one photograph do,
    they are not independent, and whole sources are resampled with replacement (the cluster bootstrap: C. A.
    Field and A. H. Welsh, "Bootstrapping clustered data", Journal of the Royal Statistical Society B 69, 2007): the
    interval is then between percentiles of the share over 2,000 resamples, always the same ones.

    With S sources these are not the 2.5th and 97.5th but farther out, since the scatter of a few sources is
    underestimated in proportion to sqrt((S - 1) / S), and by the normal distribution where Student's with S - 1 degrees
    of freedom holds (the expanded percentile interval: T. Hesterberg, "What teachers should know about the bootstrap",
    arXiv 1411.5279). It is never narrower than Wilson's, and of one source it is all of 0..1.

    **What few sources are worth.** Of seven photographs, whatever the number of patches, the interval says little: it
    is wide, a share that one photograph carries reaches from nearly 0 to nearly twice itself, and yet it is often too
    narrow, for a kind of image that is not among the seven is not in any resample. Where all images end alike, nothing
    is left to resample and Wilson's interval stands, as if they were independent. Where simulated sources differ much,
    it holds the truth in 88 to 95 of 100 cases of seven sources (plain percentiles in 82 to 89, Wilson's in 27 to 63),
    and in 95 of 100 of 30 sources.

    Parameters
    ----------
    hits : str or array_like
        Which images are labelled right: a string of "0" and "1", or bool (N,).
    sources : array_like, optional
        int (N,), equal for images of one source; by default each image is its own.

    Returns
    -------
    low, high : float
        In 0..1, with the share between them.

    Raises
    ------
    ValueError
        If `hits` is neither, or `sources` has another shape.
    """
    judged = as_hits(hits)
    low, high = wilson(int(judged.sum()), len(judged))
    if sources is None:
        return low, high
    if np.shape(sources) != judged.shape:
        raise ValueError(f"sources must have the shape of hits, {judged.shape}, got {np.shape(sources)}")
    found, source = np.unique(np.asarray(sources), return_inverse=True)
    if len(found) == len(judged):
        return low, high
    if len(found) == 1:
        return 0.0, 1.0
    sampled = _resampled(np.bincount(source, judged), np.bincount(source))
    tail = float(special.ndtr(-_spread_of_few(len(found))))
    ends = np.quantile(sampled, [tail, 1 - tail])
    return min(low, float(ends[0])), max(high, float(ends[1]))


def _resampled(right: npt.NDArray[Any], images: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The share right over draws of as many sources as there are, from their counts."""
    drawn = np.random.default_rng(0).integers(len(images), size=(_DRAWS, len(images)))
    return np.asarray(right[drawn].sum(1) / images[drawn].sum(1))


def _spread_of_few(sources: int) -> float:
    """The number of the bootstrap's standard deviations in a 95% interval."""
    student = float(special.stdtrit(sources - 1, 0.975))
    return student * math.sqrt(sources / (sources - 1))


def mcnemar(hits_a: str | npt.ArrayLike, hits_b: str | npt.ArrayLike) -> tuple[int, int, float]:
    """Whether two defences, or two attacks, differ on the same images: the exact, two-sided test of McNemar.

    Only images that exactly one of the two labels right distinguish them; if both were equal, each of these would be a
    coin toss (Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12, 1947; here by the binomial distribution, not its approximation). Images are taken to be
    independent: where they share sources, p is too small.

    Parameters
    ----------
    hits_a, hits_b : str or array_like
        Which images each labels right, in the same order: strings of "0" and "1", or bool (N,).

    Returns
    -------
    only_a, only_b : int
        How many images the one labels right and the other does not.
    p : float
        How probable so uneven a split is if they are alike, in 0..1; 1 where no image tells them apart. Fewer than six
        such images never give less than 0.05.

    Raises
    ------
    ValueError
        If they are not of as many images.
    """
    a, b = as_hits(hits_a), as_hits(hits_b)
    if len(a) != len(b):
        raise ValueError(f"hits_a and hits_b must be of the same images, got {len(a)} and {len(b)}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return only_a, only_b, min(1.0, 2 * float(special.bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def at_equal_accuracy(curve: Sequence[tuple[float, float]], benign: float) -> float | None:
    """The robust accuracy that a family of defences has where its benign accuracy is a given one.

    A family is one defence in several strengths, such as plain JPEG in its qualities. Who picks from it takes no
    strength that another beats in both: so at each benign accuracy the family is worth the most that any of its
    strengths of at least this benign accuracy leaves, and between strengths a straight line. This falls, or stays, as
    benign accuracy rises, in whatever order measurement errors put the strengths; and it favours the family, never the
    defence that is compared with it.

    Parameters
    ----------
    curve : sequence of (float, float)
        Of each strength the benign and the robust accuracy, in 0..1, in any order.
    benign : float
        Where to read it, in 0..1.

    Returns
    -------
    float or None
        None where no strength has so high, or none so low, a benign accuracy.
    """
    reached: dict[float, float] = {}
    most = -math.inf
    for at, robust in sorted(curve, reverse=True):
        most = max(most, robust)
        reached[at] = most
    if not reached or not min(reached) <= benign <= max(reached):
        return None
    xs = sorted(reached)
    return float(np.interp(benign, xs, [reached[x] for x in xs]))
