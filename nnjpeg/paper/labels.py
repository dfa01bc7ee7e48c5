"""How attacks are called in tables and figures: made from the columns of the results, and read by nobody."""

from __future__ import annotations

from typing import Any

import pandas

__all__ = ["METHODS", "SCENARIOS", "attack_labels"]

METHODS = {
    "benign": "benign", "worst case": "worst case", "fgsm": "FGSM", "ifgsm": "I-FGSM", "pgd": "PGD",
    "tifgsm": "TI-FGSM", "difgsm": "DI-FGSM", "bpda": "BPDA", "deepfool": "DeepFool", "c&w": "C&W",
    "apgd-ce": "APGD-CE", "apgd-dlr": "APGD-DLR", "apgd-t": "APGD-T", "fab-t": "FAB-T", "square": "Square",
}  # fmt: skip
"""By the column ``attack``."""

SCENARIOS = {
    "gray-box": "Gray-box (Table 2)",
    "black-box": "Black-box (Table 2)",
    "white-box": "White-box",
    "random": "White-box, random defences",
    "optimiser": "BPDA as published, and PGD (Table 3)",
    "colors": "Table or colour space (Figure 5)",
    "convergence": "Has the attack converged?",
}
"""By the column ``scenario``."""

_WORDS = {
    "target": lambda value: f"on {value}",
    "gradient": lambda value: {"none": ""}.get(value, value),
    "loss": str,
    "view": lambda value: {"output": ""}.get(value, value),
    "eps": lambda value: f"eps {255 * value:g}/255",
    "steps": lambda value: f"{value:g} steps",
    "step": lambda value: f"step {255 * value:.3g}/255",
    "restarts": lambda value: f"{value:g} restarts",
    "samples": lambda value: f"{value:g} draws",
    "queries": lambda value: f"{value:g} queries",
    "form": str,
}


def attack_labels(frame: pandas.DataFrame) -> list[str]:
    """A label for each row: the method, and those of its parameters in which rows of that method differ."""
    differing = {
        method: [axis for axis in _WORDS if axis in part and part[axis].nunique(dropna=False) > 1]
        for method, part in frame.groupby("attack", sort=False)
    }
    return [_label(row, differing[row["attack"]]) for row in frame.to_dict("records")]


def _label(row: dict[str, Any], axes: list[str]) -> str:
    words = [_WORDS[axis](row[axis]) for axis in axes if row[axis] is not None and row[axis] == row[axis]]
    return ", ".join([METHODS.get(row["attack"], row["attack"]), *(word for word in words if word)])
