"""The training engine: any objective, model and loader, on Hugging Face Accelerate, with or without torchrun.

Random numbers and the learning rate are functions of the seed and the number of the step. So a checkpoint holds the
weights, the optimizer's state, an objective's own tensors and the step, and nothing else is needed to resume. A run
that was killed and resumed ends with the same bits as an uninterrupted one, on the same machine.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nnjpeg._progress import Progress
from nnjpeg.robust.record import checkpoints
from nnjpeg.robust.train.objectives import Draws, Objective

__all__ = ["Exponential", "OneCycle", "Optimization", "Piecewise", "accelerator", "fit"]

_Model = TypeVar("_Model", bound=nn.Module)
Augment = Callable[[Tensor, Draws], Tensor]
"""From a batch (B, 3, H, W), as the loader gives it, to one of the same shape, uint8 or float in [0, 1]."""


class Schedule(Protocol):
    """A learning rate for each moment, in epochs."""

    def __call__(self, epoch: float, epochs: float) -> float:
        """The rate after `epoch` of `epochs` epochs."""
        ...


@dataclass(frozen=True)
class Exponential:
    """`rate`, multiplied by `decay` after each epoch; the paper's, 0.005 and 0.94."""

    rate: float = 0.005
    decay: float = 0.94

    def __call__(self, epoch: float, epochs: float) -> float:
        """The rate after `epoch` epochs."""
        return self.rate * self.decay ** math.floor(epoch)


@dataclass(frozen=True)
class Piecewise:
    """Straight lines between knots (epoch, rate)."""

    knots: tuple[tuple[float, float], ...]

    def __call__(self, epoch: float, epochs: float) -> float:
        """The rate after `epoch` epochs; beyond the knots, that of the nearest."""
        for (start, low), (end, high) in itertools.pairwise(self.knots):
            if start <= epoch < end:
                return low + (high - low) * (epoch - start) / (end - start)
        return self.knots[0][1] if epoch < self.knots[0][0] else self.knots[-1][1]


@dataclass(frozen=True)
class OneCycle:
    """Rises to `rate` in the first 30% of the epochs and falls to 0, along cosines (Smith and Topin, 2018)."""

    rate: float = 0.1

    def __call__(self, epoch: float, epochs: float) -> float:
        """The rate after `epoch` of `epochs` epochs."""
        share = epoch / epochs
        rising = share / 0.3 if share < 0.3 else (1 - share) / 0.7
        return self.rate * (1 - math.cos(math.pi * rising)) / 2


@dataclass(frozen=True)
class Optimization:
    """SGD, its parameters and its number of epochs.

    The paper gives SGD, 0.005 and 0.94; momentum and weight decay are our choice.
    """

    epochs: float
    schedule: Schedule = Exponential()
    momentum: float = 0.9
    weight_decay: float = 1e-4
    nesterov: bool = False

    def facts(self) -> dict[str, Any]:
        """All parameters, for the record."""
        return {**asdict(self), "schedule_of": type(self.schedule).__name__}


def accelerator(
    device: torch.device | str = "cpu", *, mixed_precision: str = "no", accumulate: int = 1, seed: int = 0
) -> Accelerator:
    """An Accelerator for `fit`: processes share the loader's batches, in a seeded order.

    Parameters
    ----------
    device : torch.device
        Under torchrun each process has its own.
    mixed_precision : {"no", "bf16", "fp16"}
        The precision that is mixed with single precision.
    accumulate : int
        Batches whose gradients make one step of the weights.
    seed : int
        Seed of the order of the samples.
    """
    return Accelerator(
        cpu=torch.device(device).type == "cpu",
        mixed_precision=mixed_precision,
        gradient_accumulation_steps=accumulate,
        dataloader_config=DataLoaderConfiguration(split_batches=True, use_seedable_sampler=True, data_seed=seed),
    )


def fit(
    model: _Model,
    objective: Objective,
    loader: Iterable[Any],
    optimization: Optimization,
    engine: Accelerator | None = None,
    *,
    batches: int | None = None,
    seed: tuple[int, ...] = (0,),
    augment: Augment | None = None,
    state: Path | None = None,
    save_every: int = 100,
    log: Callable[[dict[str, Any]], None] | None = None,
    log_every: int = 10,
    description: str = "training",
) -> _Model:
    """Train a model.

    Several processes end with the same weights as one process with the same batches, up to rounding: losses are means
    over the whole batch, batch norm takes its statistics over all processes, and random numbers are drawn for the whole
    batch. Random numbers that a loader or a layer (dropout) draws by itself are not shared in this way.

    Parameters
    ----------
    model : Module
        From float images in [0, 1] to logits. Trained in place.
    objective : Objective
        The objective to minimise.
    loader : DataLoader or iterable
        Of (images, labels): uint8 or float in [0, 1], (B, 3, H, W); int64 (B,). It must drop an incomplete last batch.
        Batches are those of all processes together; what is no DataLoader of torch gives each process its own share.
    optimization : Optimization
        SGD and its schedule.
    engine : Accelerator, optional
        See `accelerator`; by default one in float32, on the GPU where there is one.
    batches : int, optional
        How many of them are an epoch, where the loader has no length. By default they are counted, by going through
        the loader once.
    seed : tuple of int
        Of all that the objective and `augment` draw.
    augment : callable, optional
        From (images, draws) to images, on the device.
    state : Path, optional
        A checkpoint that is read if it is there and written every `save_every` steps of the weights. After a resume
        the batches of the current epoch that were seen before are loaded once more, and left.
    save_every, log_every : int
        In steps of the weights.
    log : callable, optional
        Gets a dict for every `log_every` steps, in the main process.
    description : str
        What progress is reported of.

    Returns
    -------
    Module
        `model`, in evaluation mode.

    Raises
    ------
    ValueError
        If the loader will not do, the epochs are too short for a step, the checkpoint is damaged or of another
        training, or the loss is not finite.
    """
    if engine is None:
        engine = accelerator("cuda" if torch.cuda.is_available() else "cpu")
    batches = _check_loader(loader, engine, batches)
    if objective.updates > 1 and engine.gradient_accumulation_steps > 1:
        raise ValueError(f"accumulate must be 1 where a batch is replayed, got {engine.gradient_accumulation_steps}")
    total = round(optimization.epochs * batches)
    if total < 1:
        raise ValueError(f"epochs: {optimization.epochs:g} of {batches} batches are less than one step ({description})")
    facts = {"of": description, "batches": batches, "seed": seed, "optimization": optimization.facts()}
    facts |= objective.facts()
    model = _synchronized(model, engine).train()
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=optimization.schedule(0, optimization.epochs),
        momentum=optimization.momentum,
        weight_decay=optimization.weight_decay,
        nesterov=optimization.nesterov,
    )
    share, shares = engine.process_index, engine.num_processes
    done, seconds = 0, 0.0
    if state is not None and state.exists():
        done, seconds = _restore(state, model, optimizer, objective, engine, facts)
    prepared, optimizer, shared = engine.prepare(model, optimizer, loader)
    batch_norm = _SharedBatchNorm() if shares > 1 and engine.device.type == "cpu" else nullcontext()
    meter = _Meter(engine, log, log_every, total, seconds)
    progress = Progress(description, total, "step", done=done, quiet=not engine.is_main_process)
    with progress, batch_norm:
        for step, (images, labels) in _batches(shared, batches, done, total, seed):
            images, labels = images.to(engine.device), labels.to(engine.device)
            draws = Draws((*seed, step), engine.device, share, shares)
            images = images if augment is None else augment(images, draws)
            images = images / 255 if images.dtype == torch.uint8 else images
            rate = optimization.schedule(step / batches, optimization.epochs)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with engine.accumulate(prepared):
                for loss in objective.losses(prepared, images, labels, draws):
                    engine.backward(loss)
                    optimizer.step()
                    optimizer.zero_grad()
            meter.add(step + 1, loss.detach(), step / batches, rate, len(images) * shares)
            progress.update()
            whole = engine.sync_gradients  # no gradients wait for more
            if state is not None and whole and (step + 1) % save_every == 0 and step + 1 < total:
                _save(
                    state, prepared, optimizer, objective, engine, {**facts, "done": step + 1, "seconds": meter.seconds}
                )
    engine.free_memory(prepared, optimizer, shared)
    return model.eval()


def _check_loader(loader: Iterable[Any], engine: Accelerator, batches: int | None) -> int:
    """The number of batches of an epoch."""
    size = getattr(loader, "batch_size", None)
    if not getattr(loader, "drop_last", True) or not getattr(getattr(loader, "batch_sampler", 0), "drop_last", True):
        raise ValueError("loader must leave out an incomplete last batch (drop_last=True)")
    if size is not None and size % engine.num_processes:
        raise ValueError(f"batch must be a multiple of the {engine.num_processes} processes, got {size}")
    try:
        length = len(loader)  # type: ignore[arg-type]
    except TypeError:
        length = sum(1 for _ in loader) if batches is None else batches
    else:
        if batches not in (None, length):
            raise ValueError(f"batches must be the loader's length, {length}, got {batches}")
    if length < 1:
        raise ValueError(f"loader gives no batch: fewer images than one, which has {size}")
    return length


def _batches(
    loader: Any, batches: int, done: int, total: int, seed: tuple[int, ...]
) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
    """All steps from `done` on with their batches; each batch is loaded with the same random state in every run."""
    for epoch in range(done // batches, math.ceil(total / batches)):
        if hasattr(loader, "set_epoch"):
            loader.set_epoch(epoch)
        _seed(*seed, epoch * batches)
        iterator = iter(loader)
        for step in range(epoch * batches, min((epoch + 1) * batches, total)):
            _seed(*seed, step)
            batch = next(iterator, None)
            if batch is None:
                given = step - epoch * batches
                raise ValueError(f"loader gave {given} batches in epoch {epoch}, where {batches} are an epoch")
            if step >= done:
                yield step, batch


def _seed(*numbers: int) -> None:
    """Seed the global generators of Python, NumPy and torch, from which loaders and layers draw."""
    set_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]), device_specific=True)


class _Meter:
    """Mean losses, read from the device no more often than they are logged."""

    def __init__(
        self,
        engine: Accelerator,
        log: Callable[[dict[str, Any]], None] | None,
        every: int,
        total: int,
        seconds: float,
    ) -> None:
        self._engine, self._log, self._every, self._total = engine, log, every, total
        self._losses: list[Tensor] = []
        self._images, self._began = 0, time.perf_counter() - seconds
        self._logged = seconds

    @property
    def seconds(self) -> float:
        """Seconds of training so far, including those before a resume."""
        return time.perf_counter() - self._began

    def add(self, step: int, loss: Tensor, epoch: float, rate: float, images: int) -> None:
        """Add the losses of a step that was made at `epoch` with `rate`."""
        self._losses.append(loss)
        self._images += images
        if step % self._every and step != self._total:
            return
        mean = self._engine.reduce(torch.stack(self._losses).mean(), "mean").item()
        if not math.isfinite(mean):
            raise ValueError(f"the loss is {mean} at step {step}, learning rate {rate:g}: training has diverged")
        now = self.seconds
        if self._log is not None and self._engine.is_main_process:
            line = {"step": step, "epoch": epoch, "rate": rate, "loss": mean, "seconds": round(now, 2)}
            self._log({**line, "images_per_second": round(self._images / (now - self._logged), 1)})
        self._losses, self._images, self._logged = [], 0, now


def _save(
    path: Path, model: nn.Module, optimizer: Any, objective: Objective, engine: Accelerator, facts: dict[str, Any]
) -> None:
    tensors = {f"model/{name}": value for name, value in engine.unwrap_model(model).state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": value for name, value in values.items() if value is not None}
    for name, value in objective.state().items():
        tensors[f"objective/{name}"] = engine.gather(value)
    if engine.is_main_process:
        scaler = None if engine.scaler is None else engine.scaler.state_dict()
        checkpoints.write(path, tensors, {**facts, "scaler": scaler})
    engine.wait_for_everyone()


def _restore(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    objective: Objective,
    engine: Accelerator,
    facts: dict[str, Any],
) -> tuple[int, float]:
    """Restore a checkpoint; return the number of steps done and their seconds."""
    tensors, found = checkpoints.read(path)
    for name, value in json.loads(json.dumps(facts)).items():
        if found.get(name) != value:
            raise ValueError(f"{path}: a training with {name} = {found.get(name)!r}, this one has {value!r}")
    model.load_state_dict(_part(tensors, "model/"))
    values: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(tensors, "optimizer/").items():
        index, _, key = name.partition("/")
        values.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": values, "param_groups": optimizer.state_dict()["param_groups"]})
    share, shares = engine.process_index, engine.num_processes
    own = _part(tensors, "objective/")
    objective.restore({name: value.chunk(shares)[share].to(engine.device) for name, value in own.items()})
    if engine.scaler is not None and found["scaler"] is not None:
        engine.scaler.load_state_dict(found["scaler"])
    return int(found["done"]), float(found["seconds"])


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _synchronized(model: _Model, engine: Accelerator) -> _Model:
    """Batch norm over all processes by torch, which has it on accelerators."""
    if engine.num_processes == 1 or engine.device.type == "cpu":
        return model
    from timm.layers.norm_act import convert_sync_batchnorm

    return convert_sync_batchnorm(model)


class _SharedBatchNorm(TorchFunctionMode):
    """Batch norm over all processes on the CPU, where torch has none; it replaces the function, not the layers."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is nn.functional.batch_norm and kwargs.get("training"):
            return _shared_batch_norm(*args, **kwargs)
        return func(*args, **kwargs)


def _shared_batch_norm(
    images: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` with the statistics of all processes, which have equal shares.

    As in torch, half precision is summed in single precision.
    """
    count = images.numel() // images.shape[1] * dist.get_world_size()
    dims = [0, *range(2, images.ndim)]
    shape = (1, -1, *(1,) * (images.ndim - 2))
    dtype = images.dtype
    images = images.float() if dtype in (torch.float16, torch.bfloat16) else images
    mean = _Sum.apply(images.sum(dims)) / count
    centred = images - mean.view(shape)
    variance = _Sum.apply(centred.square().sum(dims)) / count
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * count / (count - 1), momentum)
    normal = centred * torch.rsqrt(variance + eps).view(shape)
    normal = normal if weight is None else normal * weight.view(shape)
    return (normal if bias is None else normal + bias.view(shape)).to(dtype)


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, share: Tensor) -> Tensor:
        return _summed(share)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _summed(grad)


def _summed(share: Tensor) -> Tensor:
    total = share.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
