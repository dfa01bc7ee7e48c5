"""Print what ``nnjpeg evaluate`` wrote as Markdown, one table for each scenario.

From cells.csv and the like, or from the cells.*.jsonl of a run that has not ended.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas

from nnjpeg.robust.scores import wilson


def markdown(frame: pandas.DataFrame) -> str:
    """Defences by attacks: percent right, with the 95% interval of each."""
    columns = list(dict.fromkeys(frame["attack"]))
    counts = {name: int(part["images"].iloc[0]) for name, part in frame.groupby("attack", sort=False)}
    lines = [
        "| | " + " | ".join(f"{name} ({counts[name]})" for name in columns) + " |",
        "|---" * len(columns) + "|---|",
    ]
    for defence, part in frame.groupby("defence", sort=False):
        cells = {
            row.attack: f"{100 * row.accuracy:.0f} ({100 * row.low:.0f} to {100 * row.high:.0f})"
            for row in part.itertuples()
        }
        lines.append(f"| {defence} | " + " | ".join(cells.get(name, "-") for name in columns) + " |")
    return "\n".join(lines)


def main() -> None:
    """For each file, all its scenarios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    for path in parser.parse_args().files:
        if path.suffix == ".jsonl":
            frame = pandas.read_json(path, lines=True, dtype={"hits": str})
            frame["accuracy"] = frame["right"] / frame["images"]
            intervals = [wilson(row.right, row.images) for row in frame.itertuples()]
            frame["low"], frame["high"] = zip(*intervals, strict=True)
        else:
            frame = pandas.read_csv(path, keep_default_na=False, na_values=[""], dtype={"hits": str})
        for scenario, part in frame.groupby("scenario", sort=False):
            print(f"### {scenario}\n\n{markdown(part)}\n")


if __name__ == "__main__":
    main()
