"""Objectives of training: noisy training (section 3.4 of the paper), and those that it is compared with.

An objective gives one or more losses for a batch; after each loss the weights are updated. A loss may read the
gradients that the previous one left. Images are float (B, 3, H, W) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from nnjpeg._arguments import integer
from nnjpeg.qtable import NN_TABLE, QTable
from nnjpeg.robust.attack.gradients import descend, project, to_bytes
from nnjpeg.robust.defend.transforms import plain_jpeg
from nnjpeg.transforms import NNJpeg

__all__ = ["Adversarial", "Draws", "Free", "Gaussian", "Noisy", "Objective", "Plain", "Through", "Vaccination"]


class Draws:
    """The random numbers of a step for this process's share of the batch, whatever the number of processes.

    Parameters
    ----------
    seed : sequence of int
        Seed of this step.
    device : torch.device
        Device that draws; another kind of device draws other numbers.
    share, shares : int
        Number of this process, and number of processes; shares are equal and in order.
    """

    def __init__(self, seed: tuple[int, ...], device: torch.device | str = "cpu", share: int = 0, shares: int = 1):
        state = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
        self._generator = torch.Generator(device).manual_seed(state)
        self._share, self._shares = share, shares

    def uniform(self, *shape: int) -> Tensor:
        """float32 in [0, 1)."""
        return self._mine(torch.rand, shape)

    def normal(self, *shape: int) -> Tensor:
        """float32 of mean 0 and deviation 1."""
        return self._mine(torch.randn, shape)

    def _mine(self, draw: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        whole = draw(shape[0] * self._shares, *shape[1:], generator=self._generator, device=self._generator.device)
        return whole[self._share * shape[0] : (self._share + 1) * shape[0]]


@runtime_checkable
class Objective(Protocol):
    """The interface of an objective for `engine.fit`.

    `facts` has the parameters in a form that JSON can hold. `updates` is the number of losses for a batch.
    """

    updates: int

    def facts(self) -> dict[str, Any]:
        """Parameters for the record."""
        ...

    def losses(self, model: nn.Module, images: Tensor, labels: Tensor, draws: Draws) -> Iterator[Tensor]:
        """Yield the losses, scalars; the weights are updated after each."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Tensors that outlive a batch: this process's share, along the first dimension."""
        ...

    def restore(self, state: dict[str, Tensor]) -> None:
        """Restore a `state`."""
        ...


class Plain:
    """J(x): cross-entropy on the images as they are."""

    updates = 1

    def facts(self) -> dict[str, Any]:
        """Parameters for the record."""
        return {"objective": type(self).__name__.lower()}

    def losses(self, model: nn.Module, images: Tensor, labels: Tensor, draws: Draws) -> Iterator[Tensor]:
        """One loss."""
        yield functional.cross_entropy(model(images), labels)

    def state(self) -> dict[str, Tensor]:
        """Nothing outlives a batch."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Nothing to restore."""


class Vaccination(Plain):
    """J(x_q) alone, x_q the images after ordinary JPEG of one quality (Das et al., 2018).

    Parameters
    ----------
    quality : int
        1..100. The standard tables in YCbCr, 4:2:0.
    """

    def __init__(self, quality: int) -> None:
        self.quality = integer("quality", quality, 1, 100)
        self.transform = plain_jpeg(self.quality)

    def facts(self) -> dict[str, Any]:
        """Parameters for the record."""
        return {**super().facts(), "quality": self.quality}

    def losses(self, model: nn.Module, images: Tensor, labels: Tensor, draws: Draws) -> Iterator[Tensor]:
        """One loss."""
        yield functional.cross_entropy(model(self.transform(to_bytes(images)) / 255), labels)


class Noisy(Plain):
    """J' = xi J(x) + (1 - xi) J(x_q) (Eq. 9): x_q is x through NN-JPEG at one quality, plus Gaussian noise.

    x and x_q go through the model as one batch, so batch norm sees the statistics of both together, and its running
    averages serve benign and compressed images. x_q is clamped to [0, 1]. Both are our choices: the paper does not
    mention them.

    Parameters
    ----------
    quality : int
        1..100, of x_q.
    noise : float
        Standard deviation of the noise, in units of 1; the paper does not give it. The eps of the attack is a natural
        choice: it is the deviation of a perturbation of sign eps.
    xi : float
        Weight of the uncompressed images, 0..1.
    table : QTable
        At quality 50.
    """

    def __init__(self, quality: int, noise: float, xi: float = 0.9, table: QTable = NN_TABLE) -> None:
        if not 0 <= xi <= 1:
            raise ValueError(f"xi must be in 0..1, got {xi}")
        if not noise >= 0:
            raise ValueError(f"noise must be at least 0, got {noise}")
        self.quality, self.noise, self.xi, self.table = integer("quality", quality, 1, 100), noise, xi, table
        self.transform = NNJpeg(table, quality=self.quality)

    def facts(self) -> dict[str, Any]:
        """Parameters for the record."""
        return {
            **super().facts(),
            "quality": self.quality,
            "noise": self.noise,
            "xi": self.xi,
            "table": self.table.to_list(),
        }

    def losses(self, model: nn.Module, images: Tensor, labels: Tensor, draws: Draws) -> Iterator[Tensor]:
        """One loss."""
        compressed = self.transform(to_bytes(images)) / 255
        if self.noise:
            compressed = (compressed + self.noise * draws.normal(*images.shape)).clamp_(0, 1)
        clean, noisy = model(torch.cat([images, compressed])).chunk(2)
        yield self.xi * functional.cross_entropy(clean, labels) + (1 - self.xi) * functional.cross_entropy(
            noisy, labels
        )


class Through:
    """NN-JPEG in front of a model in training: exact bits, with the gradient of the smooth rounding.

    Parameters
    ----------
    quality : int
        1..100; at 50 the table is used as it is.
    table : QTable
        At quality 50.
    """

    def __init__(self, quality: int = 50, table: QTable = NN_TABLE) -> None:
        self.quality, self.table = integer("quality", quality, 1, 100), table
        self.transform = NNJpeg(table, quality=self.quality, gradient="cubic")

    def facts(self) -> dict[str, Any]:
        """The facts from which `defend.ensemble.input_transform` makes the transform."""
        return {"quality": self.quality, "table": self.table.to_list()}

    def before(self, model: nn.Module) -> nn.Sequential:
        """The model behind NN-JPEG, for float images of any range, which are clamped to [0, 1]."""
        return nn.Sequential(_Limited(), self.transform, model)


class _Limited(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        # The gradient of clamp is 0 at 0 and at 1 as well, where many pixels are.
        limited = images.detach().clamp(0, 1)
        return torch.where(limited == images, images, limited)


def _facts_of(through: Through | None) -> dict[str, Any]:
    return {} if through is None else through.facts()


def _behind(model: nn.Module, through: Through | None) -> nn.Module:
    return model if through is None else through.before(model)


class Gaussian(Plain):
    """J(x + noise): the base classifier of randomized smoothing (Cohen et al., 2019).

    The noise is added to images in [0, 1] and not clamped, as in certification (`judge.certify`).

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise, in units of 1; above 0.
    through : Through, optional
        NN-JPEG between the noise and the model.
    """

    def __init__(self, sigma: float, through: Through | None = None) -> None:
        if not sigma > 0:
            raise ValueError(f"sigma must be above 0, got {sigma}")
        self.sigma, self.through = sigma, through

    def facts(self) -> dict[str, Any]:
        """Parameters for the record."""
        return {**super().facts(), "sigma": self.sigma, **_facts_of(self.through)}

    def losses(self, model: nn.Module, images: Tensor, labels: Tensor, draws: Draws) -> Iterator[Tensor]:
        """One loss."""
        noisy = images + self.sigma * draws.normal(*images.shape)
        yield functional.cross_entropy(_behind(model, self.through)(noisy), labels)


class Adversarial(Plain):
    """J at the end of an attack: Fast AT with one step of 1.25 eps (Wong et al., 2020), PGD AT with several.

    The attack sees the model in training mode, batch norm included, as in the original.

    Parameters
    ----------
    eps, step : float
        In units of 1.
    steps : int
        From a random point of the ball.
    through : Through, optional
        NN-JPEG in front of the model; the attack goes through it by a smooth rounding.
    """

    def __init__(self, eps: float, step: float, steps: int, through: Through | None = None) -> None:
        self.eps, self.step, self.steps, self.through = eps, step, steps, through

    @classmethod
    def fast(cls, eps: float, through: Through | None = None) -> Adversarial:
        """Fast AT."""
        return cls(eps, 1.25 * eps, 1, through)

    @classmethod
    def pgd(cls, eps: float, through: Through | None = None) -> Adversarial:
        """PGD AT as for CIFAR-10: 7 steps, a quarter of eps each (Madry et al., 2018)."""
        return cls(eps, eps / 4, 7, through)

    def facts(self) -> dict[str, Any]:
        """Parameters for the record."""
        return {**super().facts(), "eps": self.eps, "step": self.step, "steps": self.steps, **_facts_of(self.through)}

    def losses(self, model: nn.Module, images: Tensor, labels: Tensor, draws: Draws) -> Iterator[Tensor]:
        """One loss."""
        start = project(images + self.eps * (2 * draws.uniform(*images.shape) - 1), images, self.eps)
        # Not through the wrapper that synchronises gradients: this one is no step of the weights.
        bare = _behind(model.module if isinstance(model, DistributedDataParallel) else model, self.through)
        attacked = descend(bare, start, images, labels, self.eps, self.step, self.steps, never_still=False)
        yield functional.cross_entropy(_behind(model, self.through)(attacked), labels)


class Free(Plain):
    """Free AT (Shafahi et al., 2019): a batch is used `replays` times, and each time the perturbation is updated too.

    The perturbation is kept from batch to batch, and moves by a step of eps in the sign of its gradient.

    Parameters
    ----------
    eps : float
        In units of 1.
    replays : int
        m, at least 1.
    through : Through, optional
        As for `Adversarial`.
    """

    def __init__(self, eps: float, replays: int = 4, through: Through | None = None) -> None:
        self.eps, self.updates, self.through = eps, integer("replays", replays, 1, 1000), through
        self._delta: Tensor | None = None

    def facts(self) -> dict[str, Any]:
        """Parameters for the record."""
        return {**super().facts(), "eps": self.eps, "replays": self.updates, **_facts_of(self.through)}

    def losses(self, model: nn.Module, images: Tensor, labels: Tensor, draws: Draws) -> Iterator[Tensor]:
        """A loss for each replay."""
        if self._delta is None or self._delta.shape != images.shape:
            self._delta = torch.zeros_like(images)
        seen = _behind(model, self.through)
        for _ in range(self.updates):
            delta = self._delta.detach().requires_grad_()
            yield functional.cross_entropy(seen((images + delta).clamp(0, 1)), labels)
            assert delta.grad is not None
            self._delta = (delta.detach() + self.eps * delta.grad.sign()).clamp(-self.eps, self.eps)

    def state(self) -> dict[str, Tensor]:
        """The perturbation."""
        return {} if self._delta is None else {"delta": self._delta}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Restore a `state`."""
        self._delta = state.get("delta")
