"""Accuracy under attack: the tables of section 4, each with the attack that knows the whole defence beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from nnjpeg.qtable import NN_TABLE, QTable
from nnjpeg.robust.attacks import attack_images
from nnjpeg.robust.data import Images
from nnjpeg.robust.runs import Journal, shared
from nnjpeg.robust.scores import right, wilson
from nnjpeg.transforms import NNJpeg

__all__ = ["Attack", "assess", "attempts", "behind"]


@dataclass(frozen=True)
class Attack:
    """An attack and what it knows.

    Parameters
    ----------
    name : str
        Of the column.
    method : str
        One of `attacks.ATTACKS`.
    eps : float
        In units of 1.
    options : tuple of (str, value)
        Handed on to the attack.
    gray : bool
        Whether it sees the model without any defence (`assess`'s `undefended`) instead of the defence as a whole.
    """

    name: str
    method: str
    eps: float
    options: tuple[tuple[str, Any], ...] = ()
    gray: bool = False


def behind(model: nn.Module, quality: int | None, table: QTable = NN_TABLE) -> nn.Module:
    """A model that sees its images through NN-JPEG of a quality, in bytes, gradients straight through; or as is."""
    if quality is None:
        return model
    return nn.Sequential(NNJpeg(table, quality=quality, precision="uint8"), model)


def attempts(restarts: int, eps: float, *, steps: int = 50, step: float = 1 / 255, gray: bool = False) -> Attack:
    """PGD as Fast AT's authors test with it: PGD-`steps`-`restarts`."""
    name = f"{'gray ' if gray else ''}PGD-{steps}-{restarts}"
    return Attack(name, "pgd", eps, (("restarts", restarts), ("step", step), ("steps", steps)), gray)


def assess(
    defences: dict[str, nn.Module],
    benign: Images,
    originals: Images,
    attacks: Sequence[Attack],
    undefended: nn.Module,
    journal: Journal | None = None,
    *,
    seed: int = 0,
    batch: int = 64,
) -> Any:
    """How often each defence is right: on benign images and under each attack.

    An attack sees all of a defence (every member and every transform, straight through the quantizer), unless it is
    gray. What it gives is rounded to 8 bits before it is judged: that is what a defence gets.

    Parameters
    ----------
    defences : dict of str to Module
        From float images in [0, 1] to logits.
    benign : Images
        For accuracy without an attack.
    originals : Images
        To be attacked. Where they are those that `undefended` labels right, the share that it keeps is that of the
        attack alone.
    attacks : sequence of Attack
        See there.
    undefended : Module
        What a gray attack sees.
    journal : Journal, optional
        Where results are kept as they come.
    seed, batch
        As for `attacks.attack_images`.

    Returns
    -------
    DataFrame
        A row for each defence and attack (None for benign): ``defence``, ``attack``, ``right``, ``images``, and the
        share with its 95% interval, ``accuracy``, ``low``, ``high``.
    """
    import pandas

    by_name = {attack.name: attack for attack in attacks}
    gray: dict[str, Images] = {}

    def count(key: dict[str, Any]) -> dict[str, Any]:
        defence, attack = defences[key["defence"]], by_name.get(key["attack"])
        if attack is None:
            images = benign
        else:
            target = undefended if attack.gray else defence
            images = gray.get(attack.name) or attack_images(
                target, originals, attack.method, attack.eps, seed=seed, batch=batch, **dict(attack.options)
            )
            if attack.gray:
                gray[attack.name] = images
        return {"right": int(right(defence, images, batch=batch).sum()), "images": len(images)}

    keys = [{"defence": defence, "attack": attack} for defence in defences for attack in (None, *by_name)]
    rows = shared(keys, count, journal, description="tables", unit="cell")
    for row in rows:
        row["low"], row["high"] = wilson(row["right"], row["images"])
        row["accuracy"] = row["right"] / row["images"]
    return pandas.DataFrame(rows)
