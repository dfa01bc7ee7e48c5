"""Quantization tables by gradient: the fewest bits, or the best defence, for what a network loses.

The step of each band is learned by Adam on its logarithm, so that fine and coarse steps move alike. The bits are those
of the files (`nnjpeg.ops.rate`), the images those that the files hold (`nnjpeg.ops.roundtrip`): neither is a model of
JPEG, only their gradients are.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from nnjpeg import atomic, ops
from nnjpeg._arguments import Colorspace, Subsampling
from nnjpeg._progress import Progress
from nnjpeg.ops import Gradient
from nnjpeg.qtable import QTable
from nnjpeg.robust.data import Images
from nnjpeg.robust.models import device_of, frozen
from nnjpeg.robust.record import distributed
from nnjpeg.robust.record.store import digest

__all__ = ["Learned", "Loss", "Tables", "learn", "standard_tables"]

Loss = Literal["divergence", "cross-entropy"]
Tables = Literal["one", "luma-chroma", "component"]

_PLACES: dict[str, tuple[int, ...]] = {"one": (0,), "luma-chroma": (0, 1, 1), "component": (0, 1, 2)}
"""Which of the tables each component has; one for all stands alone, as it does in a file."""


@dataclass(frozen=True)
class Learned:
    """Tables, and how they were found.

    Parameters
    ----------
    tables : tuple of QTable
        One, or one for each of three components.
    history : list of dict
        Before the first pass over the images and after each, of the images that were held out: ``bits`` a pixel, or
        ``attacked``, the cross-entropy on adversarial images (nats); what is ``lost`` (nats); and the ``objective``,
        the first of them + weight x lost.
    """

    tables: tuple[QTable, ...]
    history: list[dict[str, float]]


def standard_tables(colorspace: Colorspace, quality: float) -> tuple[QTable, ...]:
    """JPEG's tables for a colour space: of luma and of chroma; for R, G, B luma's."""
    luma, chroma = (table.at_quality(quality) for table in (QTable.standard_luminance(), QTable.standard_chrominance()))
    return (luma,) if colorspace == "rgb" else (luma, chroma, chroma)


@dataclass(frozen=True)
class _Examples:
    """Images; what the outputs on them are compared with; adversarial images of the same originals, if any."""

    images: Images
    targets: Tensor
    attacked: Images | None

    def take(self, index: Tensor) -> _Examples:
        attacked = None if self.attacked is None else self.attacked.take(index)
        return _Examples(self.images.take(index), self.targets[index.to(self.targets.device)], attacked)


@dataclass(frozen=True)
class _Problem:
    """What is minimised."""

    model: nn.Module
    weight: float
    loss: Loss
    places: tuple[int, ...]
    coding: dict[str, Any]
    optimize: bool
    gradient: Gradient

    def of(self, logarithms: Tensor, batch: _Examples) -> tuple[Tensor, Tensor]:
        """Bits a pixel, or the cross-entropy on adversarial images; and what the network loses in nats: means."""
        table = logarithms.exp()[list(self.places)][None]
        pixels = batch.images.pixels.to(table.device)
        logits = self._outputs(pixels, table)
        if self.loss == "divergence":
            lost = functional.kl_div(logits.log_softmax(1), batch.targets, reduction="batchmean", log_target=True)
        else:
            lost = functional.cross_entropy(logits, batch.targets)
        if batch.attacked is not None:
            outputs = self._outputs(batch.attacked.pixels.to(table.device), table)
            return functional.cross_entropy(outputs, batch.attacked.labels.to(table.device)), lost
        bits = ops.rate(pixels, table, optimize=self.optimize, **self.coding).mean()
        return bits / (pixels.shape[2] * pixels.shape[3]), lost

    def _outputs(self, pixels: Tensor, table: Tensor) -> Tensor:
        """Logits of bytes behind the table."""
        logits: Tensor = self.model(ops.roundtrip(pixels / 255, table, gradient=self.gradient, **self.coding))
        if torch.is_grad_enabled() and not logits.requires_grad:
            raise ValueError("model: its outputs have no gradient by the image, so no table can be learned for it")
        return logits

    def examples(self, images: Images, attacked: Images | None, batch: int, device: torch.device) -> _Examples:
        """Images with what the outputs are compared with."""
        if self.loss == "cross-entropy":
            return _Examples(images, images.labels.to(device), attacked)
        with torch.no_grad():
            parts = [self.model(x.to(device) / 255).log_softmax(1) for x in images.pixels.split(batch)]
        return _Examples(images, torch.cat(parts), attacked)

    @torch.no_grad()
    def judged(self, logarithms: Tensor, examples: _Examples, batch: int) -> dict[str, float]:
        """The means over all images."""
        count, sums = len(examples.images), [0.0, 0.0]
        for index in torch.arange(count).split(batch):
            terms = self.of(logarithms, examples.take(index))
            sums = [total + len(index) * term.item() for total, term in zip(sums, terms, strict=True)]
        first, lost = (total / count for total in sums)
        name = "bits" if examples.attacked is None else "attacked"
        return {name: first, "lost": lost, "objective": first + self.weight * lost}


def learn(
    model: nn.Module,
    images: Images,
    held_out: Images,
    *,
    weight: float,
    attacked: tuple[Images, Images] | None = None,
    loss: Loss = "divergence",
    tables: Tables = "luma-chroma",
    colorspace: Colorspace = "ycbcr",
    subsampling: Subsampling = "4:2:0",
    optimize: bool = False,
    start: int = 50,
    gradient: Gradient = "straight-through",
    lr: float = 0.1,
    epochs: int = 10,
    patience: int = 3,
    batch: int = 32,
    seed: int = 0,
    path: Path | None = None,
) -> Learned:
    """The tables with the least bits a pixel + `weight` x what the network loses; or with the best defence for it.

    The defence is that of the paper's Algorithm 1: adversarial images that were made without a table are labelled right
    behind it. What is least is then their cross-entropy + `weight` x what the network loses on benign images.

    Parameters
    ----------
    model : Module
        From float images in [0, 1] to logits, on its device. Its weights stay.
    images : Images
        To learn from.
    held_out : Images
        Others, on which the best tables are found and the end is seen.
    weight : float
        Bits a pixel, or nats of the cross-entropy on adversarial images, that a nat of the loss is worth; above 0.
    attacked : (Images, Images), optional
        Adversarial images of all `images` and of all `held_out`, in their order, with the labels that they should get.
        By default tables are learned for the fewest bits.
    loss : {"divergence", "cross-entropy"}
        "divergence": the Kullback-Leibler divergence of the outputs on compressed images from those on the originals;
        "cross-entropy": with the labels.
    tables : {"one", "luma-chroma", "component"}
        One table for all components; one of luma and one of chroma; one for each.
    colorspace, subsampling, optimize
        As for `nnjpeg.encode`.
    start : int
        The quality of JPEG's standard tables that are learned from: 1..100. For one table, or RGB, luma's.
    gradient : {"straight-through", "cubic"}
        Of the rounding of coefficients; see `nnjpeg.ops.roundtrip`.
    lr : float
        Of Adam, on the natural logarithms of the steps; it falls to 0 over all epochs by a cosine.
    epochs : int
        At most so many passes over the images.
    patience : int
        Passes without a better objective on the held-out images, after which it ends.
    batch : int
        Images at a time.
    seed : int
        Of the order of images: the same seed gives the same tables on the same machine.
    path : Path, optional
        A file in which each pass leaves what the next one needs: a call with the same arguments goes on from it.

    Returns
    -------
    Learned
        The best tables for the held-out images, those of the start among them.

    Raises
    ------
    ValueError
        If `path` is of something else, `attacked` is not of as many images, or the model's outputs have no gradient.
    """
    for of_set, others in zip((images, held_out), attacked or (), strict=False):
        if len(of_set) != len(others):
            raise ValueError(f"attacked must have an image for each original, got {len(others)} for {len(of_set)}")
    device = device_of(model)
    coding = {"colorspace": colorspace, "subsampling": subsampling}
    problem = _Problem(model, weight, loss, _PLACES[tables], coding, optimize, gradient)
    of = {
        "weight": weight, "loss": loss, "tables": tables, **coding, "optimize": optimize, "start": start,
        "gradient": gradient, "lr": lr, "epochs": epochs, "patience": patience, "batch": batch, "seed": seed,
        "images": digest(images.pixels, images.labels), "held_out": digest(held_out.pixels, held_out.labels),
        "attacked": attacked and [digest(one.pixels, one.labels) for one in attacked],
        "model": digest(*model.state_dict().values()),
    }  # fmt: skip
    with frozen(model):
        of_images, of_held_out = attacked or (None, None)
        examples = problem.examples(images, of_images, batch, device)
        judged_by = problem.examples(held_out, of_held_out, batch, device)
        state = _State.read(path, of) or _State.begin(colorspace, tables, start)
        parameter = state.logarithms.to(device).requires_grad_()
        optimizer = torch.optim.Adam([parameter], lr=lr)
        state.give(optimizer, parameter)

        def judged() -> dict[str, float]:
            return problem.judged(parameter, judged_by, batch)

        if not state.history:
            state.add(judged(), parameter)
        steps = math.ceil(len(images) / batch)
        label = f"lambda {weight:g}, from quality {start}"
        with Progress(label, epochs, "round", done=state.epoch, quiet=not distributed.is_main()) as progress:
            while state.epoch < epochs and state.idle < patience:
                order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed * 1000 + state.epoch))
                for number, chosen in enumerate(order.split(batch)):
                    done = (state.epoch * steps + number) / (epochs * steps)
                    optimizer.param_groups[0]["lr"] = lr * (1 + math.cos(math.pi * done)) / 2
                    first, lost = problem.of(parameter, examples.take(chosen))
                    (parameter.grad,) = torch.autograd.grad(first + weight * lost, parameter)
                    optimizer.step()
                    with torch.no_grad():
                        parameter.clamp_(0, math.log(255))
                state.add(judged(), parameter)
                state.write(path, of, optimizer, parameter)
                progress.update()
    steps_found = state.best.exp().round().clamp(1, 255).to(torch.int64).cpu().numpy()
    return Learned(tuple(QTable(steps_found[place]) for place in _PLACES[tables]), state.history)


@dataclass
class _State:
    """Where learning stands after a pass."""

    logarithms: Tensor
    best: Tensor
    history: list[dict[str, float]]
    moments: tuple[Tensor, Tensor, Tensor] | None = None

    @classmethod
    def begin(cls, colorspace: Colorspace, tables: Tables, quality: int) -> _State:
        standard = standard_tables(colorspace, quality)
        given = [standard[min(place, len(standard) - 1)] for place in sorted(set(_PLACES[tables]))]
        logarithms = torch.stack([torch.tensor(table.to_list(), dtype=torch.float32) for table in given]).log()
        return cls(logarithms, logarithms.clone(), [])

    @property
    def epoch(self) -> int:
        """How many passes are done."""
        return max(len(self.history) - 1, 0)

    @property
    def idle(self) -> int:
        """Passes since the best."""
        objectives = [row["objective"] for row in self.history]
        return len(objectives) - 1 - objectives.index(min(objectives))

    def add(self, judged: dict[str, float], parameter: Tensor) -> None:
        self.history.append(judged)
        if self.idle == 0:
            self.best = parameter.detach().cpu().clone()

    def give(self, optimizer: torch.optim.Adam, parameter: Tensor) -> None:
        if self.moments is not None:
            step, mean, square = self.moments
            optimizer.state[parameter] = {
                "step": step, "exp_avg": mean.to(parameter.device), "exp_avg_sq": square.to(parameter.device)
            }  # fmt: skip

    def write(self, path: Path | None, of: dict[str, Any], optimizer: torch.optim.Adam, parameter: Tensor) -> None:
        if path is None:
            return
        adam = optimizer.state[parameter]
        tensors = {
            "logarithms": parameter.detach(), "best": self.best, "step": adam["step"], "mean": adam["exp_avg"],
            "square": adam["exp_avg_sq"],
        }  # fmt: skip
        metadata = {"of": json.dumps(of, sort_keys=True), "history": json.dumps(self.history)}
        tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        atomic.write(path, safetensors.torch.save(tensors, metadata))

    @classmethod
    def read(cls, path: Path | None, of: dict[str, Any]) -> _State | None:
        if path is None or not path.exists():
            return None
        try:
            with safetensors.safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except (safetensors.SafetensorError, OSError) as error:
            raise ValueError(f"path: {path} is damaged ({error})") from None
        if metadata.get("of") != json.dumps(of, sort_keys=True):
            raise ValueError(f"path: {path} is of something else: {metadata.get('of')}")
        moments = tensors["step"], tensors["mean"], tensors["square"]
        return cls(tensors["logarithms"], tensors["best"], json.loads(metadata["history"]), moments)
