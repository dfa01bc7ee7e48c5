"""A speed result as the table and the chart of the README.

    python bench/report.py bench/results/NAME.json [--readme README.md] [--chart docs/speed.png]

Prints the tables; with --readme, puts them between its two marks.
"""

import argparse
import json
from pathlib import Path

BEGIN, END = "<!-- speed begin -->", "<!-- speed end -->"


def tables(result):
    """Markdown: our rows by workload, then all by size."""
    loads = {load["workload"]: {row["job"]: row for row in load["rows"]} for load in result["workloads"]}
    ours = [job for job in next(iter(loads.values())) if job.startswith("nnjpeg")]
    lines = ["| workload | " + " | ".join(ours) + " | Pillow, µs |", "|---" * (len(ours) + 2) + "|"]
    for name, rows in loads.items():
        cells = [f"{rows[job]['ratio']:.3f} ({rows[job]['microseconds']:.3g} µs)" for job in ours]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {rows[ours[0]]['baseline_microseconds']:.3g} |")
    sizes = [name for name in loads if any(not job.startswith("nnjpeg") for job in loads[name])]
    jobs = list(dict.fromkeys(job for name in sizes for job in loads[name]))
    lines += ["", "| job | same maths? | " + " | ".join(sizes) + " |", "|---" * (len(sizes) + 2) + "|"]
    for job in jobs:
        rows = [loads[name].get(job) for name in sizes]
        same = next(row["same_maths"] for row in rows if row)
        cells = [f"{row['ratio']:.3g}" if row else "not measured" for row in rows]
        lines.append(f"| {job} | {same} | " + " | ".join(cells) + " |")
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

    rows = next(load["rows"] for load in result["workloads"] if load["workload"] == "224x224")
    rows = sorted(rows, key=lambda row: -row["ratio"])
    figure = Figure(figsize=(8, 4.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    colours = ["tab:orange" if row["job"].startswith("nnjpeg") else "tab:blue" for row in rows]
    bars = axes.barh([row["job"] for row in rows], [row["ratio"] for row in rows], color=colours)
    axes.bar_label(bars, [f"{row['ratio']:.3g}" for row in rows], padding=3)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.margins(x=0.15)
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
