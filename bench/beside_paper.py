"""Print the paper's Tables 1 to 3 with this package's figures beside the paper's, as Markdown.

    python bench/beside_paper.py docs/results/cifar10

reads PREFIX-cells.csv and PREFIX-optimiser.csv (of ``nnjpeg evaluate``) and PREFIX-table1.csv (of ``nnjpeg table1``),
as far as they are there. The paper's figures are of ImageNet. Each cell is "paper / here", percent right; "-": not
printed there, or not measured here. Here attacks begin with images that the undefended model labels right, and those
that it mislabels count as lost, so that both are shares of all images; "benign" is of the same images.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from tables import markdown

from nnjpeg.paper.labels import METHODS, defence_label
from nnjpeg.robust.judge.statistics import fraction, read_table

_EPS = {
    "gray-box": {"fgsm": (2, 4, 8), "ifgsm": (2, 3, 4), "deepfool": (None,), "c&w": (None,)},
    "black-box": {"fgsm": (2, 4, 8), "ifgsm": (2, 3, 4), "tifgsm": (2, 4), "difgsm": (2, 4)},
}
"""The columns of Table 2 after "benign": attacks, and their bounds in units of 1/255."""

TABLE_2 = {
    "gray-box": {
        "none": (65.4, 17.5, 14.4, 13.2, 15.1, 12.4, 9.5, 9.7, 9.3),
        "jpeg": (60.5, 41.1, 29.4, 21.1, 57.1, 51.6, 50.0, 60.0, 60.3),
        "feature-distillation": (59.5, 44.1, 30.5, 21.4, 56.5, 54.4, 53.3, 58.8, 58.7),
        "tvm": (58.2, 44.7, 33.7, 22.7, 55.1, 51.9, 48.8, 57.6, 58.8),
        "ensemble": (66.5, 56.4, 43.1, 28.2, 68.0, 65.2, 64.8, 67.1, 65.4),
    },
    "black-box": {
        "none": (65.4, 45.0, 34.6, 25.3, 53.5, 55.8, 54.7, 56.1, 48.4, 45.6, 38.4),
        "jpeg": (60.5, 50.9, 40.1, 28.7, 55.8, 56.8, 56.2, 52.9, 47.0, 51.4, 42.3),
        "feature-distillation": (59.5, 50.9, 41.2, 28.5, 56.5, 56.7, 55.6, 51.3, 46.9, 50.4, 44.1),
        "tvm": (58.2, 59.3, 42.9, 32.6, 52.3, 55.7, 55.7, 51.5, 47.0, 52.1, 45.1),
        "ensemble": (None,) * 11,
    },
}
"""Of the proposed method in black-box the paper's row is not at hand."""

TABLE_3 = {
    "none": (78, 0), "jpeg": (74, 1), "feature-distillation": (73, 2), "tvm": (74, 0), "ensemble": (78, 60),
}  # fmt: skip
"""Without an attack, and under BPDA in white-box."""

TABLE_1 = {
    2: {
        "fast": (60.90, 43.46, 43.43, 12.14),
        "free": (64.37, 43.31, 43.28, 52.20),
        "noisy": (65.10, 40.06, 40.01, 11.51),
    },
    4: {
        "fast": (55.45, 30.28, 30.18, None),
        "free": (60.42, 31.22, 31.08, None),
        "noisy": (64.02, 28.43, 28.40, None),
    },
}
"""By eps: without an attack, under PGD with 1 and with 10 restarts, and hours; the proposed method with 14 epochs."""


def table_2(cells: pandas.DataFrame, scenario: str) -> str:
    """Gray-box or black-box."""
    columns: list[tuple[str, float | None]] = [("benign", None)]
    columns += [(attack, eps) for attack, several in _EPS[scenario].items() for eps in several]
    head = ["", *(METHODS[attack] + (f", eps {eps:g}" if eps else "") for attack, eps in columns)]
    rows = []
    for defence, printed in TABLE_2[scenario].items():
        found = [_measured(cells, defence, scenario, attack, eps) for attack, eps in columns]
        rows.append([defence_label(defence), *map(_pair, printed, found)])
    return markdown(head, rows)


def table_3(optimiser: pandas.DataFrame) -> str:
    """BPDA as published, as the paper attacks, through one transform; and what the paper did not do."""
    head = ["", "benign", "BPDA through one transform", "BPDA through all", "PGD through all"]
    rows = []
    for defence, (benign, attacked) in TABLE_3.items():
        part = optimiser[optimiser["defence"] == defence]
        one, whole = (part[part["target"] == target] for target in ("one transform", "whole"))
        found = [
            _benign(part), _of_all(one[one["attack"] == "bpda"]),
            _of_all(whole[whole["attack"] == "bpda"]), _of_all(whole[whole["attack"] == "pgd"]),
        ]  # fmt: skip
        rows.append([defence_label(defence), *map(_pair, (benign, attacked, None, None), found)])
    return markdown(head, rows)


def table_1(frame: pandas.DataFrame, eps: int) -> str:
    """Adversarial training and noisy training; here PGD sees the whole, by the identity."""
    head = ["", "benign", "PGD, 1 restart", "PGD, 10 restarts", "hours"]
    rows = []
    for method, printed in TABLE_1[eps].items():
        part = frame[frame["defence"] == method]
        pgd = part[(part["attack"] == "pgd") & (part["target"] == "whole") & (part["gradient"] == "identity")]
        seconds = part["seconds"].max() / 3600 if len(part) else np.nan
        found = [_benign(part), *(_of_all(pgd[pgd["restarts"] == n]) for n in (1, 10))]
        line = [*map(_pair, printed[:3], found), _pair(printed[3], None if seconds != seconds else seconds, "{:.2f}")]
        rows.append([defence_label(method), *line])
    return markdown(head, rows)


def _measured(cells: pandas.DataFrame, defence: str, scenario: str, attack: str, eps: float | None) -> float | None:
    part = cells[cells["defence"] == defence]
    if attack == "benign":
        return _benign(part)
    # The paper does not round what attacks give; of those that look for the least change that decides.
    form = "float" if eps is None else "8-bit"
    part = part[(part["attack"] == attack) & (part["scenario"] == scenario) & (part["form"] == form)]
    return _of_all(part if eps is None else part[np.isclose(part["eps"].astype(float), eps / 255)])


def _benign(part: pandas.DataFrame) -> float | None:
    """Of a defence's rows: the share of the images that were considered for attack, which are the first ones."""
    hits, attacked = part[part["attack"] == "benign"]["hits"], part[part["attack"] != "benign"]["considered"]
    if not len(hits) or not len(attacked):
        return None
    return 100 * fraction(hits.iloc[0][: int(attacked.iloc[0])])


def _of_all(part: pandas.DataFrame) -> float | None:
    return 100 * float(part["of_all"].iloc[0]) if len(part) else None


def _pair(printed: float | None, found: float | None, form: str = "{:.0f}") -> str:
    return f"{'-' if printed is None else f'{printed:g}'} / {'-' if found is None else form.format(found)}"


def _frame(prefix: str, name: str) -> Any:
    path = Path(f"{prefix}-{name}.csv")
    return read_table(path) if path.exists() else None


def main() -> None:
    """All tables that there are figures of."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", help="what the names of the files begin with")
    prefix = parser.parse_args().prefix
    cells, optimiser, table1 = (_frame(prefix, name) for name in ("cells", "optimiser", "table1"))
    if table1 is not None:
        for eps in TABLE_1:
            print(f"Table 1, the paper's of eps {eps}:\n\n{table_1(table1, eps)}\n")
    if cells is not None:
        for scenario in TABLE_2:
            print(f"Table 2, {scenario}:\n\n{table_2(cells, scenario)}\n")
    if optimiser is not None:
        print(f"Table 3:\n\n{table_3(optimiser)}\n")


if __name__ == "__main__":
    main()
