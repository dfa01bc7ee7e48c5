"""Print one table of defences, strongest first, and one of certificates, as Markdown.

    python bench/headline.py docs/results/cifar10

reads PREFIX-autoattack.csv and PREFIX-cells.csv (of ``nnjpeg evaluate``), and PREFIX-certified.csv (of ``nnjpeg
certify``). "AutoAttack" is the share of all images that its standard version leaves. "Worst case" is the share of the
images labelled right by the undefended model that every attack of white-box leaves, transferred ones among them. "-":
not measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas
from tables import markdown

from nnjpeg.paper.labels import defence_label
from nnjpeg.robust.judge.assess import BENIGN, WORST
from nnjpeg.robust.judge.statistics import read_table


def _share(part: pandas.DataFrame) -> str:
    if not len(part):
        return "-"
    row = part.iloc[0]
    return f"{100 * row['accuracy']:.0f} ({100 * row['low']:.0f} to {100 * row['high']:.0f}; {row['images']})"


def defences(autoattack: pandas.DataFrame, cells: pandas.DataFrame) -> str:
    """Clean, AutoAttack of all images, worst case.

    Raises
    ------
    ValueError
        If a defence labels the same benign images otherwise in the two files: it had another table or other weights.
    """
    for name, hits in autoattack[autoattack["attack"] == BENIGN].set_index("defence")["hits"].items():
        for others in cells[(cells["attack"] == BENIGN) & (cells["defence"] == name)]["hits"]:
            if not others.startswith(hits):
                raise ValueError(f"{name} is not the same defence under AutoAttack and under the other attacks")
    last = autoattack[autoattack["attack"] == WORST]
    worst = cells[(cells["attack"] == WORST) & (cells["scenario"] == "white-box")]
    worst = worst[worst["eps"].astype(float) == last["eps"].astype(float).max()]
    found = {
        name: [frame[frame["defence"] == name] for frame in (cells[cells["attack"] == BENIGN], last, worst)]
        for name in dict.fromkeys([*worst["defence"], *last["defence"]])
    }

    def strength(name: str) -> float:
        _, standard, whole = found[name]
        return -float(standard["accuracy"].iloc[0] if len(standard) else whole["of_all"].iloc[0])

    rows = [[defence_label(name), *map(_share, found[name])] for name in sorted(found, key=strength)]
    return markdown(["", "clean", "AutoAttack", "worst case"], rows)


def certificates(certified: pandas.DataFrame) -> str:
    """Certified accuracy by L2 radius; what so many draws can't certify is marked."""
    shown = certified.assign(cell=[_share(certified.iloc[[k]]) for k in range(len(certified))])
    shown["cell"] = shown["cell"].where(certified["reachable"].astype(bool), "out of reach")
    names = ["sigma", "trained", "seen"]
    table = shown.pivot_table("cell", names, "radius", aggfunc="first", sort=False)
    head = ["sigma", "trained on", "sees", *(f"L2 {radius:g}" for radius in table.columns)]
    rows = [[f"{sigma:g}", trained, seen, *row] for (sigma, trained, seen), *row in table.itertuples()]
    return markdown(head, rows)


def main() -> None:
    """Both tables, as far as the files are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", help="what the names of the files begin with")
    prefix = parser.parse_args().prefix
    paths = {name: Path(f"{prefix}-{name}.csv") for name in ("autoattack", "cells", "certified")}
    if paths["autoattack"].exists() and paths["cells"].exists():
        print(defences(read_table(paths["autoattack"]), read_table(paths["cells"])), end="\n\n")
    if paths["certified"].exists():
        print(certificates(read_table(paths["certified"])))


if __name__ == "__main__":
    main()
