"""The Square attack: L-infinity, by queries alone (Andriushchenko et al., 2020).

It needs no gradient, so it finds out where a white-box attack failed because gradients were masked.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nnjpeg.robust.attacks import margin, project

__all__ = ["square"]

# The share of the image that a square covers, halved at these queries of 10,000.
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


def _share(query: int, queries: int, first: float) -> float:
    at = query / queries * 10_000
    return first / 2 ** sum(at > halving for halving in _HALVINGS)


@torch.no_grad()
def square(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    eps: float,
    queries: int = 1000,
    first: float = 0.05,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Change one random square at a time, and keep what makes the label less sure.

    Parameters
    ----------
    model : Module
        From images in [0, 1], (B, 3, H, W), to logits. A random one is asked anew each time.
    images, labels : Tensor
        What to attack, and the true labels.
    eps : float
        In units of 1.
    queries : int
        For each image.
    first : float
        The share of the image that the first squares cover (their p_init).
    generator : torch.Generator, optional
        On the CPU.

    Returns
    -------
    Tensor
        In [0, 1], within `eps`.
    """

    def draw(*shape: int, below: int = 2) -> Tensor:
        return torch.randint(below, shape, generator=generator).to(images.device)

    count, channels, height, width = images.shape
    stripes = 2.0 * draw(count, channels, 1, width) - 1
    best = project(images + eps * stripes, images, eps)
    loss = margin(model(best), labels)
    for query in range(queries - 1):
        todo = (loss <= 0).nonzero()[:, 0]
        if not len(todo):
            break
        side = max(round((_share(query, queries, first) * height * width) ** 0.5), 1)
        side = min(side, height - 1, width - 1)
        # One place for all images of a step: they do not know of one another.
        y, x = (int(draw(1, below=extent - side + 1)) for extent in (height, width))
        window = (slice(None), slice(None), slice(y, y + side), slice(x, x + side))
        candidate = best[todo]
        signs = 2.0 * draw(len(todo), channels, 1, 1) - 1
        candidate[window] = images[todo][window] + 2 * eps * signs
        candidate = project(candidate, images[todo], eps)
        new = margin(model(candidate), labels[todo])
        better = new > loss[todo]
        best[todo[better]], loss[todo[better]] = candidate[better], new[better]
    return best
