"""A speed result as tables and a chart: a short table for the README, all of them for docs/speed.md.

    python bench/report.py bench/results/NAME.json [--readme README.md] [--page docs/speed.md] [--chart docs/speed.png]

Prints all tables. --readme and --page write between the two marks of a file.
"""

import argparse
import json
import textwrap
from pathlib import Path

BEGIN, END = "<!-- speed begin -->", "<!-- speed end -->"
SUMMARY = "224x224 4:2:0"
"""The workload of the README's table: what most people run."""
LIMIT = "numpy.copyto"
"""The job that shows the limit of the memory, and is no library's."""
MEANINGS = {
    "yes, of BGR": "the same, with the channels in OpenCV's order",
    "fast DCT": "libjpeg-turbo's less exact DCT",
    "other table": "with JPEG's standard quantization table",
    "float": "in floating point",
    "soft": "a differentiable approximation",
}
"""What the answers in the column "same arithmetic?" mean, other than "yes"."""


def summary(result):
    """Markdown: one workload, by time; of ours, the instruction set that this CPU chooses and portable C."""
    (rows,) = [load["rows"] for load in result["workloads"] if (load["workload"], load["over"]) == (SUMMARY, "Pillow")]
    ours = [f"nnjpeg, {isa}" for isa in (result["nnjpeg"]["instruction_set"], "generic")]
    shown = [row for row in rows if row["job"] in ours or not row["job"].startswith(("nnjpeg", LIMIT))]
    pillow = {"job": "Pillow", "same_maths": "yes", "ratio": 1}
    over = time(rows[0]["baseline_microseconds"])
    lines = [f"| one image of {SUMMARY}, quality 75 | same arithmetic? | time relative to Pillow ({over}) |"]
    lines.append("|---|---|---:|")
    for row in sorted([*shown, pillow], key=lambda row: row["ratio"]):
        lines.append(f"| {row['job']} | {row['same_maths']} | {row['ratio']:.2f} |")
    return "\n".join([*lines, "", wrapped(f"{meanings(shown)} {source(result)}")])


def meanings(rows):
    """What is behind the answers to "same arithmetic?" that these rows give."""
    given = {row["same_maths"] for row in rows}
    text = "; ".join(f'"{answer}": {meaning}' for answer, meaning in MEANINGS.items() if answer in given)
    return f"{text}."


def wrapped(text):
    return textwrap.fill(text, 120, break_on_hyphens=False)


def source(result):
    """When, where and how the result was made."""
    versions = result["versions"]
    return (
        f"{result['date']}, {result['cpu']}, one thread; Python {result['nnjpeg']['python']}, Pillow "
        f"{versions['pillow']} (libjpeg-turbo {result['libjpeg_turbo']}), torch {versions['torch']}, torchvision "
        f"{versions['torchvision']}; made by `{result['command']}`."
    )


def time(microseconds):
    """A time with its unit, three digits."""
    return f"{microseconds:.3g} µs" if microseconds < 1000 else f"{microseconds / 1000:.3g} ms"


def tables(result):
    """Markdown: our rows by workload, then all by size, RGB and 4:2:0."""
    loads = [(load, {row["job"]: row for row in load["rows"]}) for load in result["workloads"]]
    ours = [job for job in loads[0][1] if job.startswith("nnjpeg")]
    lines = [
        "| workload | compared with | " + " | ".join(ours) + " | time of that library |",
        "|---" * (len(ours) + 3) + "|",
    ]
    for load, rows in loads:
        cells = [f"{rows[job]['ratio']:.3f} ({time(rows[job]['microseconds'])})" for job in ours]
        over = time(rows[ours[0]]["baseline_microseconds"])
        lines.append(f"| {load['workload']} | {load['over']} | " + " | ".join(cells) + f" | {over} |")
    for peers in dict.fromkeys(load["peers"] for load, _ in loads if load["peers"]):
        columns = [(load["workload"], rows) for load, rows in loads if load["peers"] == peers]
        lines += ["", f"| {peers} | same arithmetic? | " + " | ".join(name for name, _ in columns) + " |"]
        lines.append("|---" * (len(columns) + 2) + "|")
        for job, row in columns[0][1].items():
            cells = [f"{rows[job]['ratio']:.3g}" for _, rows in columns]
            lines.append(f"| {job} | {row['same_maths']} | " + " | ".join(cells) + " |")
    shown = [row for load, rows in loads if load["peers"] for row in rows.values()]
    return "\n".join([*lines, "", wrapped(meanings(shown)), "", wrapped(source(result))])


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
        axes.axvline(1, color="black", linewidth=0.8, zorder=0)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.bar_label(bars, [f"{row['ratio']:.3g}" for row in rows], padding=3, bbox=box)
        axes.set_xscale("log")
        axes.margins(x=0.15)
        axes.set_title("RGB, the NN table" if name == "224x224" else "4:2:0, quality 75", loc="left")
    axes.set_xlabel("time, as a ratio to Pillow doing the equal job (224x224x3, one thread)")
    figure.savefig(path, format="png")


def put(path, text):
    """Write a text between the two marks of a file."""
    before, rest = path.read_text().split(BEGIN)
    _, after = rest.split(END)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path)
    parser.add_argument("--readme", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--chart", type=Path)
    options = parser.parse_args()
    result = json.loads(options.result.read_text())
    print(tables(result))
    if options.readme:
        put(options.readme, summary(result))
    if options.page:
        put(options.page, tables(result))
    if options.chart:
        chart(result, options.chart)


if __name__ == "__main__":
    main()
