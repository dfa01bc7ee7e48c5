"""Models that vote together, each behind its own transform (section 3.4 of the paper)."""

from __future__ import annotations

import copy
import io
import json
import math
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from nnjpeg import atomic
from nnjpeg.ops import Gradient
from nnjpeg.qtable import QTable
from nnjpeg.robust.defend.transforms import plain_jpeg
from nnjpeg.robust.models import Classifier, device_of
from nnjpeg.robust.record import checkpoints
from nnjpeg.transforms import NNJpeg

__all__ = ["MEMBERS", "Ensemble", "input_transform"]

MEMBERS = ("M", "M90", "M70", "M50", "M30")
"""The paper's five."""

Rule = Literal["mean", "majority"]


class Ensemble(nn.Module):
    """Several models, each behind its own transform, that give one label together.

    It is a classifier: it maps images in [0, 1] to logits and is differentiable through every member, so an attack, a
    loss or another ensemble can use it as a model.

    Parameters
    ----------
    members : sequence of (Module, Module or None)
        Models from images in [0, 1], (B, 3, H, W), to logits, all with the same classes; and what each sees its
        images through, such as `NNJpeg`.
    rule : {"mean", "majority"}
        "mean": the label with the highest mean softmax, as the paper has it. "majority": the label that most members
        give, the mean softmax deciding between equals.
    batched : bool
        Run the models, which must be of one architecture, as one call. Their weights are copied: what is changed in
        them later is not seen, and they get no gradients; images do. Faster where a model alone does not fill the
        device.
    names : sequence of str, optional
        Of the members, for messages.

    Raises
    ------
    TypeError, ValueError
        If there are no members, they are not modules, or cannot be batched; when called, if they disagree on the
        number of classes.

    Notes
    -----
    An ensemble of members with the same weights behind different tables protects nothing that one of them does not:
    attack it as a whole.
    """

    def __init__(
        self,
        members: Sequence[tuple[nn.Module, nn.Module | None]],
        *,
        rule: Rule = "mean",
        batched: bool = False,
        names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        if rule not in get_args(Rule):
            raise ValueError(f"rule must be one of {', '.join(get_args(Rule))}, got {rule!r}")
        if not members:
            raise ValueError("members must not be empty")
        for model, transform in members:
            for part in (model, transform or nn.Identity()):
                if not isinstance(part, nn.Module):
                    raise TypeError(f"members must be pairs of modules, got a {type(part).__name__}")
        self.names = tuple(names) if names is not None else tuple(str(k) for k in range(len(members)))
        if len(self.names) != len(members):
            raise ValueError(f"names must be one for each of {len(members)} members, got {len(self.names)}")
        self.rule = rule
        self.transforms = nn.ModuleList(transform or nn.Identity() for _, transform in members)
        models = [model for model, _ in members]
        self.models: nn.ModuleList | _Batched = _Batched(models) if batched else nn.ModuleList(models)

    def forward(self, images: Tensor) -> Tensor:
        """The logarithm of the mean softmax, (B, classes): its own softmax is the mean, its cross-entropy J of it.

        With the rule "majority" it is the logarithm of the shares of votes, with the mean softmax as one more vote;
        gradients are those of the mean.
        """
        logits = self.logits(images)
        mean = logits.log_softmax(2).logsumexp(0) - math.log(len(logits))
        if self.rule == "mean":
            return mean
        votes = nn.functional.one_hot(logits.argmax(2), logits.shape[2]).sum(0)
        return ((votes + mean.exp()) / (len(logits) + 1)).log()

    def members(self, images: Tensor) -> Tensor:
        """The mean of the members' log softmax, (B, classes): minus that of a label is their mean cross-entropy."""
        return self.logits(images).log_softmax(2).mean(0)

    def logits(self, images: Tensor) -> Tensor:
        """The logits of every member, (members, B, classes)."""
        seen = [transform(images) for transform in self.transforms]
        if isinstance(self.models, _Batched):
            return self.models(torch.stack(seen))
        every = [model(x) for model, x in zip(self.models, seen, strict=True)]
        classes = {name: one.shape[1] for name, one in zip(self.names, every, strict=True)}
        if len(set(classes.values())) > 1:
            raise ValueError(f"members disagree on the number of classes: {classes}")
        return torch.stack(every)

    @classmethod
    def load(
        cls,
        folder: str | PathLike[str],
        members: Sequence[str] | None = None,
        *,
        rule: Rule = "mean",
        batched: bool = False,
        gradient: Gradient = "straight-through",
    ) -> Ensemble:
        """Load the models of a run folder of `nnjpeg train`.

        Each model sees images through the compression that it was trained with: M90 through NN-JPEG of quality 90, with
        the table of its checkpoint. M sees images without compression. (This is our choice: the paper does not say what
        its members see.)

        Parameters
        ----------
        folder : path
            With a NAME.safetensors for each member.
        members : sequence of str, optional
            Names; by default those in the folder's ensemble.json, else the paper's five.
        rule, batched
            As above.
        gradient : {"straight-through", "cubic", "none"}
            Of the transforms; see `nnjpeg.ops.roundtrip`.

        Raises
        ------
        FileNotFoundError
            If a checkpoint is missing.
        ValueError
            If one is damaged, or they disagree on the number of classes.
        """
        pairs: list[tuple[nn.Module, nn.Module | None]] = []
        outputs = {}
        if members is None:
            listed = Path(folder) / "ensemble.json"
            members = json.loads(listed.read_text())["members"] if listed.exists() else MEMBERS
        for name in members:
            model, facts = checkpoints.load(Path(folder) / f"{name}.safetensors")
            outputs[name] = facts["model"]["outputs"]
            pairs.append((model, input_transform(facts, gradient)))
        if len(set(outputs.values())) > 1:
            raise ValueError(f"members disagree on the number of classes: {outputs}")
        return cls(pairs, rule=rule, batched=batched, names=members).eval()

    def export(self, path: str | PathLike[str], size: int | None = None) -> None:
        """Export to one file for `torch.export.load` (after ``import nnjpeg.ops``), for any number of images.

        Parameters
        ----------
        path : path
            Of the ``.pt2`` file; written whole or not at all.
        size : int, optional
            The side of its images; by default the first model's.

        Raises
        ------
        ValueError
            If the ensemble is batched (torch cannot leave the number of images free there), or no size is known.
        """
        if isinstance(self.models, _Batched):
            raise ValueError("batched: only an ensemble that is not batched can be exported")
        first = self.models[0]
        if size is None:
            if not isinstance(first, Classifier):
                raise ValueError("size must be given: the first member does not know it")
            size = first.size
        example = torch.zeros(2, 3, size, size, device=device_of(self))
        plain = copy.deepcopy(self).to(memory_format=torch.contiguous_format).eval()
        with torch.no_grad():
            program = torch.export.export(
                plain, (example,), dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}}
            )
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        atomic.write(path, buffer.getvalue())


def input_transform(facts: dict[str, Any], gradient: Gradient = "straight-through") -> nn.Module | None:
    """The transform in front of a trained model: the compression that it was trained with, on bytes; or None.

    The facts of its training decide: a quality with a table means NN-JPEG, a quality alone ordinary JPEG.
    """
    stage = facts.get("stage", {})
    quality, table = stage.get("quality"), stage.get("table")
    if quality is None:
        return None
    if table is None:
        return plain_jpeg(quality, gradient=gradient)
    return NNJpeg(QTable(table), quality=quality, gradient=gradient)


class _Batched(nn.Module):
    """Models of one architecture as one call, in evaluation mode, on inputs (models, B, 3, H, W)."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        first = models[0]
        self.outer: Classifier | None = None  # what is around the networks, once for all of them
        networks = list(models)
        if isinstance(first, Classifier):
            alike = [isinstance(m, Classifier) and _same_inputs(m, first) for m in models]
            if not all(alike):
                raise ValueError("batched: the members normalise their images differently")
            networks = [m.network for m in models if isinstance(m, Classifier)]
            self.outer = Classifier(
                nn.Identity(), first.mean.flatten().tolist(), first.std.flatten().tolist(), first.size, first.resize
            )
        try:
            parameters, buffers = stack_module_state([network.eval() for network in networks])
        except (RuntimeError, ValueError, KeyError) as error:
            raise ValueError(f"batched: the members are not of one architecture ({error})") from None
        tensors = {**parameters, **buffers}
        self._names = list(tensors)
        for index, tensor in enumerate(tensors.values()):
            self.register_buffer(f"stacked{index}", tensor.detach(), persistent=False)
        # In a list, lest it become a part of this module: its code alone is run, its weights are empty.
        self._code = [copy.deepcopy(networks[0]).to("meta").eval()]

    def forward(self, images: Tensor) -> Tensor:
        """Logits (models, B, classes)."""
        state = {name: getattr(self, f"stacked{index}") for index, name in enumerate(self._names)}

        def call(own: dict[str, Tensor], x: Tensor) -> Tensor:
            return functional_call(self._code[0], own, (x,))

        logits = vmap(call)(state, images if self.outer is None else self.outer.normalize(images))
        if self.outer is not None:
            self.outer.check(logits.flatten(0, 1), images.flatten(0, 1))
        return logits


def _same_inputs(a: Classifier, b: Classifier) -> bool:
    return torch.equal(a.mean, b.mean) and torch.equal(a.std, b.std) and a.size == b.size
