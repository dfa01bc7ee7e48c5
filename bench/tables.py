"""Print what ``nnjpeg evaluate`` wrote as Markdown, one table for each scenario.

From cells.csv, beside.csv and the like, or from the cells.*.jsonl of a run that has not ended.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas

from nnjpeg.robust.judge.statistics import read_table


def by_attack(frame: pandas.DataFrame) -> str:
    """Defences by attacks: percent right, with the 95% interval of each."""
    columns = list(dict.fromkeys(frame["attack"]))
    counts = {name: int(part["images"].iloc[0]) for name, part in frame.groupby("attack", sort=False)}
    rows = []
    for defence, part in frame.groupby("defence", sort=False):
        cells = {
            row.attack: f"{100 * row.accuracy:.0f} ({100 * row.low:.0f} to {100 * row.high:.0f})"
            for row in part.itertuples()
        }
        rows.append([str(defence), *(cells.get(name, "-") for name in columns)])
    return markdown(["", *(f"{name} ({counts[name]})" for name in columns)], rows)


def beside(frame: pandas.DataFrame) -> str:
    """Each defence, and what has about its own benign accuracy."""
    attack = frame["attack"].iloc[0]
    rows = [
        [row.defence, f"{100 * row.benign:.1f}", f"{100 * row.accuracy:.1f}", row.other,
         f"{100 * row.other_benign:.1f}", f"{100 * row.other_accuracy:.1f}", str(row.only_this), str(row.only_other)]
        for row in frame.itertuples()
    ]  # fmt: skip
    return markdown(["", "benign", attack, "beside it", "benign", attack, "only this", "only JPEG"], rows)


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """For each file, all its scenarios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    for path in parser.parse_args().files:
        frame = read_table(path)
        for scenario, part in frame.groupby("scenario", sort=False):
            print(f"### {scenario}\n\n{beside(part) if 'other' in part else by_attack(part)}\n")


if __name__ == "__main__":
    main()
