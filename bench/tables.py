"""Print the tables of a run as Markdown, one for each scenario.

From what ``nnjpeg evaluate`` and ``nnjpeg table1`` wrote: cells.csv, optimiser.csv, colors.csv, curve.csv,
convergence.csv, beside.csv, versus.csv, table1.csv; or from the cells.*.jsonl of a run that has not ended.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas

from nnjpeg.paper.labels import METHODS, SCENARIOS, attack_labels, defence_label
from nnjpeg.robust.judge.statistics import read_table


def by_attack(frame: pandas.DataFrame) -> str:
    """Defences and attacks, the more numerous ones as rows: percent right, with the 95% interval of each."""
    labels = attack_labels(frame) + " (" + frame["images"].astype(str) + ")"
    shares = [f"{100 * row.accuracy:.0f} ({100 * row.low:.0f} to {100 * row.high:.0f})" for row in frame.itertuples()]
    named = frame.assign(label=labels, share=shares, defence=frame["defence"].map(defence_label))
    table = named.pivot_table(index="defence", columns="label", values="share", aggfunc="first", sort=False)
    table = table if table.shape[0] >= table.shape[1] else table.T
    return markdown(["", *table.columns], [[str(name), *row] for name, *row in table.fillna("-").itertuples()])


def beside(frame: pandas.DataFrame) -> str:
    """Each defence, and plain JPEG at its own benign accuracy."""
    rows = [
        [defence_label(row.defence), f"{100 * row.benign:.1f}", f"{100 * row.accuracy:.1f}",
         "none" if row.beside != row.beside else f"{100 * row.beside:.1f}"]
        for row in frame.itertuples()
    ]  # fmt: skip
    return markdown(["", "benign", METHODS[frame["attack"].iloc[0]], "JPEG at this benign accuracy"], rows)


def versus(frame: pandas.DataFrame) -> str:
    """Each defence beside no defence, image by image."""
    rows = [
        [defence_label(row.defence), str(row.only_this), str(row.only_none), f"{row.p:.2g}"]
        for row in frame.itertuples()
    ]
    return markdown(["", "it alone is right", "no defence alone is right", "p (McNemar)"], rows)


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _scenarios(frame: pandas.DataFrame) -> pandas.Series:
    """Of each row; a journal knows what attacks see, but not what scenario they are of."""
    if "scenario" in frame:
        return frame["scenario"].astype(object).fillna("")
    known = {"M": "gray-box", "other": "black-box", "whole": "white-box", "one transform": "optimiser"}
    return frame["target"].map(known).fillna("gray-box")


def main() -> None:
    """For each file, all its scenarios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    for path in parser.parse_args().files:
        frame = read_table(path)
        scenarios = _scenarios(frame)
        draw = beside if "beside" in frame else versus if "only_this" in frame else by_attack
        for scenario, part in frame.groupby(scenarios, sort=False):
            print(f"### {path.stem}: {SCENARIOS.get(str(scenario), scenario)}\n\n{draw(part)}\n")


if __name__ == "__main__":
    main()
