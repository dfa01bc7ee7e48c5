"""A speed result as the tables and the chart of the README.

    python bench/report.py bench/results/NAME.json [--readme README.md] [--chart docs/speed.png]

Prints the tables; with --readme, puts them between its two marks.
"""

import argparse
import json
from pathlib import Path

BEGIN, END = "<!-- speed begin -->", "<!-- speed end -->"


def tables(result):
    """Markdown: our rows by workload, then all by size, RGB and 4:2:0."""
    loads = [(load, {row["job"]: row for row in load["rows"]}) for load in result["workloads"]]
    ours = [job for job in loads[0][1] if job.startswith("nnjpeg")]
    lines = ["| workload | over | " + " | ".join(ours) + " | that, µs |", "|---" * (len(ours) + 3) + "|"]
    for load, rows in loads:
        cells = [f"{rows[job]['ratio']:.3f} ({rows[job]['microseconds']:.3g} µs)" for job in ours]
        over = rows[ours[0]]["baseline_microseconds"]
        lines.append(f"| {load['workload']} | {load['over']} | " + " | ".join(cells) + f" | {over:.3g} |")
    for peers in dict.fromkeys(load["peers"] for load, _ in loads if load["peers"]):
        columns = [(load["workload"], rows) for load, rows in loads if load["peers"] == peers]
        lines += ["", f"| {peers} | same maths? | " + " | ".join(name for name, _ in columns) + " |"]
        lines.append("|---" * (len(columns) + 2) + "|")
        for job, row in columns[0][1].items():
            cells = [f"{rows[job]['ratio']:.3g}" for _, rows in columns]
            lines.append(f"| {job} | {row['same_maths']} | " + " | ".join(cells) + " |")
    versions = result["versions"]
    lines += [
        "",
        f"{result['date']}, {result['cpu']}, one thread; Python {result['nnjpeg']['python']}, Pillow "
        f"{versions['pillow']} (libjpeg-turbo {result['libjpeg_turbo']}), torch {versions['torch']}, torchvision "
        f"{versions['torchvision']}; made by `{result['command']}`.",
    ]
    return "\n".join(lines)


def chart(result, path):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 7.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(2, sharex=True), ("224x224", "224x224 4:2:0"), strict=True):
        rows = next(load["rows"] for load in result["workloads"] if load["workload"] == name)
        rows = sorted(rows, key=lambda row: -row["ratio"])
        colours = ["tab:orange" if row["job"].startswith("nnjpeg") else "tab:blue" for row in rows]
        bars = axes.barh([row["job"] for row in rows], [row["ratio"] for row in rows], color=colours)
        axes.bar_label(bars, [f"{row['ratio']:.3g}" for row in rows], padding=3)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xscale("log")
        axes.margins(x=0.15)
        axes.set_title("RGB, the NN table" if name == "224x224" else "4:2:0, quality 75", loc="left")
    axes.set_xlabel("time, as a ratio to Pillow doing the equal job (224x224x3, one thread)")
    figure.savefig(path, format="png")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path)
    parser.add_argument("--readme", type=Path)
    parser.add_argument("--chart", type=Path)
    options = parser.parse_args()
    result = json.loads(options.result.read_text())
    print(tables(result))
    if options.readme:
        text = options.readme.read_text()
        before, rest = text.split(BEGIN)
        _, after = rest.split(END)
        options.readme.write_text(f"{before}{BEGIN}\n\n{tables(result)}\n\n{END}{after}")
    if options.chart:
        chart(result, options.chart)


if __name__ == "__main__":
    main()
