"""Labels of attacks and defences for tables and figures: made from the columns of the results; no code reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas

from nnjpeg._words import counted

__all__ = ["DEFENCES", "FAMILIES", "METHODS", "SCENARIOS", "attack_labels", "defence_label"]

METHODS = {
    "benign": "benign", "worst case": "worst case", "fgsm": "FGSM", "ifgsm": "I-FGSM", "pgd": "PGD",
    "tifgsm": "TI-FGSM", "difgsm": "DI-FGSM", "bpda": "BPDA", "deepfool": "DeepFool", "c&w": "C&W",
    "apgd-ce": "APGD-CE", "apgd-dlr": "APGD-DLR", "apgd-t": "APGD-T", "fab-t": "FAB-T", "square": "Square",
}  # fmt: skip
"""By the column ``attack``."""

DEFENCES = {
    "none": "none", "jpeg": "JPEG 75, 4:2:0", "jpeg-444": "JPEG 75, 4:4:4",
    "feature-distillation": "Feature Distillation", "tvm": "TVM", "shield": "SHIELD SLQ", "bit-depth": "3 bits",
    "nn-jpeg": "NN-JPEG", "deepn": "DeepN-JPEG", "quilting": "image quilting", "crop-rescale": "crop-rescale",
    "random-tables": "NN-JPEG, random quality", "random-tables-held": "NN-JPEG, random quality, draws held",
    "five-tables": "M behind five tables", "plain-training": "plain training as long", "noisy-alone": "noisy training",
    "nn-jpeg-noisy": "NN-JPEG, noisy training", "ensemble": "ensemble", "ensemble-bare": "ensemble, no compression",
    "ensemble-2": "ensemble, second seed", "ensemble-3": "ensemble, third seed",
    "shield-held": "SHIELD SLQ, draws held",
    "tvm-held": "TVM, draws held", "quilting-held": "image quilting, draws held", "fast": "Fast AT", "free": "Free AT",
    "pgd": "PGD AT", "nn-jpeg-fast": "NN-JPEG, Fast AT", "nn-jpeg-free": "NN-JPEG, Free AT",
    "nn-jpeg-pgd": "NN-JPEG, PGD AT",
    "noisy": "noisy training, ensemble", "jpeg-table-ycbcr": "JPEG's tables, YCbCr",
    "jpeg-table-rgb": "JPEG's luminance table, RGB", "nn-table-ycbcr": "NN-JPEG's table, YCbCr",
    "nn-table-rgb": "NN-JPEG's table, RGB",
}  # fmt: skip
"""By the column ``defence``; others are called as they stand there."""

FAMILIES = {
    "jpeg": "JPEG, 4:2:0", "nn-jpeg": "NN-JPEG, RGB", "nn-jpeg-ycbcr": "NN-JPEG, YCbCr", "learned": "learned",
    "jpeg 4:2:0": "JPEG, 4:2:0", "jpeg 4:4:4": "JPEG, 4:4:4", "jpeg 4:2:2": "JPEG, 4:2:2",
    "jpeg rgb": "JPEG's luminance table, RGB", "deepn": "DeepN-JPEG", "two steps": "two steps",
}  # fmt: skip
"""By the column ``family``."""

SCENARIOS = {
    "gray-box": "Gray-box (Table 2)",
    "black-box": "Black-box (Table 2)",
    "white-box": "White-box",
    "random": "White-box, random defences",
    "optimiser": "BPDA as published, and PGD (Table 3)",
    "colors": "Table or colour space (Figure 5)",
    "convergence": "Has the attack converged?",
    "autoattack": "AutoAttack, of all images",
}
"""By the column ``scenario``."""

_WORDS: dict[str, Callable[[Any], str]] = {
    "target": lambda value: f"on {value}",
    "gradient": lambda value: {"none": ""}.get(value, value),
    "loss": str,
    "view": lambda value: {"output": ""}.get(value, value),
    "eps": lambda value: f"eps {255 * value:g}/255",
    "steps": lambda value: counted(value, "step"),
    "step": lambda value: f"step {255 * value:.3g}/255",
    "restarts": lambda value: counted(value, "restart"),
    "samples": lambda value: counted(value, "draw"),
    "queries": lambda value: f"{value:g} queries",
    "form": str,
}


def defence_label(name: Any) -> str:
    """The label of a defence, from its name in the results."""
    method, through, quality = str(name).partition("-through-")
    if through and method in DEFENCES:
        return f"{DEFENCES[method]} through NN-JPEG{' ' if quality.isdigit() else ', '}{quality}"
    return DEFENCES.get(str(name), str(name))


def attack_labels(frame: pandas.DataFrame) -> pandas.Series:
    """A label for each row: the method, and those of its parameters in which rows of that method differ."""
    differing = {
        method: [axis for axis in _WORDS if axis in part and part[axis].nunique(dropna=False) > 1]
        for method, part in frame.groupby("attack", sort=False)
    }
    labels = [_label(row, differing[row["attack"]]) for row in frame.to_dict("records")]
    return pandas.Series(labels, frame.index, dtype=object)


def _label(row: dict[str, Any], axes: list[str]) -> str:
    words = [_WORDS[axis](row[axis]) for axis in axes if row[axis] is not None and row[axis] == row[axis]]
    return ", ".join([METHODS.get(row["attack"], row["attack"]), *(word for word in words if word)])
