"""A defence's figure is not above what the strongest attack of others leaves."""

import numpy as np
import pytest
import torch
from pyautoattack.autopgd_base import APGDAttack
from torch import nn

from nnjpeg import QTable
from nnjpeg.robust import Defended, evaluate
from nnjpeg.transforms import NNJpeg


@pytest.mark.slow(15)
def test_the_worst_case_is_not_above_autoattacks_apgd_through_a_smooth_rounding(model, benign):
    """Behind the table that Algorithm 1 picks for photos, where the identity alone overstates."""
    table, eps, count = QTable.nn(1, 16, 121), 8 / 255, 16
    frame = evaluate(
        model, {"nn-jpeg": Defended(model, NNJpeg(table))}, benign, eps=eps, attacked=count, steps=12, queries=20
    )
    white = frame[(frame["scenario"] == "white-box") & (frame["defence"] == "nn-jpeg")]
    ours = white[white["attack"] == "worst case"]["hits"].item()

    with torch.no_grad():
        right = (model(benign.pixels / 255).argmax(1) == benign.labels).nonzero()[:count, 0]
    x, y = benign.pixels[right] / 255, benign.labels[right]
    attacked = nn.Sequential(NNJpeg(table, gradient="cubic"), model)
    theirs = APGDAttack(attacked, n_iter=12, norm="Linf", n_restarts=1, eps=eps, seed=0, loss="ce", device="cpu")
    adversarial = theirs.perturb(x.clone(), y)
    with torch.no_grad():
        left = (attacked((adversarial * 255).round() / 255).argmax(1) == y).sum().item()
    assert ours.count("1") <= left
    # The figure keeps its parts: what each attack alone would have claimed.
    parts = white[(white["form"] == "8-bit") & white["bounded"].astype(bool)]
    assert set(parts["gradient"]) >= {"identity", "smooth"}
    assert np.array_equal(
        np.min([[int(hit) for hit in one] for one in parts["hits"]], axis=0), [int(hit) for hit in ours]
    )
