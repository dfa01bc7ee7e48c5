"""The figures of the experiments, for print: captions take the place of titles."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from nnjpeg import atomic
from nnjpeg.paper.labels import FAMILIES, METHODS, attack_labels, defence_label
from nnjpeg.robust.frequency import COMPONENTS
from nnjpeg.robust.judge.assess import BENIGN, WORST

__all__ = [
    "bands", "bars", "curves", "defences", "deviation_maps", "front", "heat_map", "matrices", "rates", "sweep", "trade",
]  # fmt: skip

_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#000000", "#f0e442")
"""Colours that people with any form of colour blindness can distinguish (Okabe and Ito, 2008)."""


def _save(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, bbox_inches="tight")
    atomic.write(path, buffer.getvalue())


def deviation_maps(values: npt.NDArray[np.float64], label: str, path: Path) -> None:
    """Figure 2: (6, 8, 8) values as a map for each component, on one scale."""
    figure = Figure(figsize=(9, 6))
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    finite = values[np.isfinite(values) & (values > 0)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.1, 1.0)
    norm = matplotlib.colors.LogNorm(low, high)
    for ax, name, value in zip(axes.flat, COMPONENTS, values, strict=True):
        image = ax.imshow(np.clip(np.nan_to_num(value, posinf=high), low, high), norm=norm, cmap="viridis")
        ax.set_title(name)
        ax.set_xticks(range(8))
        ax.set_yticks(range(8))
    figure.supxlabel("horizontal frequency")
    figure.supylabel("vertical frequency")
    figure.colorbar(image, ax=axes, label=label, shrink=0.9)
    _save(figure, path)


def bands(images: npt.NDArray[np.float64], perturbations: npt.NDArray[np.float64], path: Path) -> None:
    """Figure 3: deviations and their ratio along the zigzag, for each component."""
    from nnjpeg.qtable import ZIGZAG

    figure = Figure(figsize=(9, 7))
    axes = figure.subplots(3, 1, sharex=True)
    order = np.argsort(ZIGZAG.ravel())
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = perturbations / images
    panels = ((images, "images"), (perturbations, "perturbations"), (ratio, "delta'"))
    for ax, (values, label) in zip(axes, panels, strict=True):
        for name, value in zip(COMPONENTS, values, strict=True):
            ax.plot(value.ravel()[order], label=name, linewidth=1.2)
        ax.set_yscale("log")
        ax.set_ylabel(label)
    axes[0].legend(ncols=6, fontsize="small")
    axes[-1].set_xlabel("band, along the zigzag")
    _save(figure, path)


def heat_map(cells: Any, path: Path) -> None:
    """Algorithm 1: benign accuracy and defence of every cell."""
    partitions = list(dict.fromkeys(cells["partition"]))
    figure = Figure(figsize=(11, 4 * len(partitions)))
    axes = np.atleast_2d(figure.subplots(len(partitions), 2, squeeze=False))
    for row, partition in zip(axes, partitions, strict=True):
        part = cells[cells["partition"] == partition]
        for ax, value in zip(row, ("accuracy", "defence"), strict=True):
            table = part.pivot_table(index="n", columns="qs_af", values=value)
            image = ax.imshow(table, aspect="auto", cmap="viridis")
            ax.set_xticks(range(len(table.columns)), table.columns, rotation=90, fontsize="small")
            ax.set_yticks(range(len(table.index)), table.index, fontsize="small")
            ax.set_xlabel("QS_AF")
            ax.set_ylabel("anti-diagonals" if partition == "diagonal" else "measured bands")
            figure.colorbar(image, ax=ax, label="benign accuracy" if value == "accuracy" else value)
    figure.tight_layout()
    _save(figure, path)


def front(cells: Any, best: Any, twins: Any, others: Any, chosen: dict[str, Any] | None, path: Path) -> None:
    """All cells by benign accuracy and defence, with the front, its tables in YCbCr, JPEG and no defence."""
    figure = Figure(figsize=(7, 5))
    ax = figure.subplots()
    ax.scatter(cells["accuracy"], cells["defence"], s=8, color="0.75", label="cells")
    ax.plot(best["accuracy"], best["defence"], "o-", color=_COLOURS[0], markersize=4, label="front, RGB")
    if len(twins):
        ax.scatter(
            twins["accuracy"], twins["defence"], marker="s", s=18, color=_COLOURS[1], label="the same tables, YCbCr"
        )
    for row in others.to_dict("records"):
        name = "no defence" if row["partition"] == "none" else f"JPEG {row['n']}"
        ax.scatter(row["accuracy"], row["defence"], marker="^", color=_COLOURS[3])
        ax.annotate(
            name, (row["accuracy"], row["defence"]), xytext=(4, 4), textcoords="offset points", fontsize="small"
        )
    if chosen is not None:
        ax.scatter(
            chosen["accuracy"], chosen["defence"], marker="*", s=140, color=_COLOURS[2], label="chosen", zorder=3
        )
    ax.set_xlabel("benign accuracy")
    ax.set_ylabel("adversarial images labelled right")
    ax.legend(fontsize="small")
    _save(figure, path)


def sweep(cells: Any, none: dict[str, Any], path: Path) -> None:
    """Figure 4: one step for all bands."""
    figure = Figure(figsize=(7, 4.5))
    ax = figure.subplots()
    for color, space in zip(_COLOURS, ("rgb", "ycbcr"), strict=False):
        part = cells[cells["colorspace"] == space].sort_values("qs_af")
        for style, value, label in (("-", "accuracy", "benign"), ("--", "defence", "adversarial")):
            ax.plot(part["qs_af"], part[value], style, color=color, label=f"{label}, {space}")
            ax.fill_between(part["qs_af"], part[f"{value}_low"], part[f"{value}_high"], color=color, alpha=0.1)
    ax.axhline(none["accuracy"], color="0.5", linewidth=0.8)
    ax.set_xlabel("QS, one step for all bands")
    ax.set_ylabel("labelled right")
    ax.legend(fontsize="small")
    _save(figure, path)


def matrices(cells: Any, path: Path) -> None:
    """Figure 6: a matrix of models and qualities for benign images, and for each attack."""
    kinds = dict(iter(cells.groupby(attack_labels(cells), sort=False)))
    figure = Figure(figsize=(4.6 * len(kinds), 4.4))
    for ax, (label, part) in zip(
        np.atleast_1d(figure.subplots(1, len(kinds), sharey=True)), kinds.items(), strict=True
    ):
        table = 100 * part.pivot_table(index="model", columns="quality", values="accuracy", sort=False)
        ax.imshow(table, cmap="viridis", vmin=0, vmax=100)
        for (y, x), value in np.ndenumerate(table.to_numpy()):
            color = "white" if value < 60 else "black"
            ax.text(x, y, f"{value:.0f}", ha="center", va="center", color=color, fontsize="small")
        ax.set_xticks(range(len(table.columns)), table.columns)
        ax.set_yticks(range(len(table.index)), table.index)
        ax.set_xlabel(f"quality; {label}, percent right")
    figure.tight_layout()
    _save(figure, path)


def bars(cells: Any, path: Path) -> None:
    """Table 1: percent right of each defence, benign and under each attack, with 95% intervals."""
    kinds = dict(iter(cells.groupby(attack_labels(cells), sort=False)))
    defences = list(dict.fromkeys(cells["defence"]))
    figure = Figure(figsize=(8, 4.5))
    ax = figure.subplots()
    ax.set_prop_cycle(color=_COLOURS)
    width = 0.8 / len(kinds)
    for number, (label, rows) in enumerate(kinds.items()):
        part = 100 * rows.set_index("defence").loc[defences, ["accuracy", "low", "high"]]
        errors = [part["accuracy"] - part["low"], part["high"] - part["accuracy"]]
        places = np.arange(len(defences)) + (number - (len(kinds) - 1) / 2) * width
        ax.bar(places, part["accuracy"], width, yerr=np.abs(errors), label=label, error_kw={"linewidth": 0.8})
    ax.set_xticks(range(len(defences)), map(defence_label, defences))
    ax.set_ylabel("percent right")
    ax.legend(fontsize="small", ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    _save(figure, path)


def curves(cells: Any, path: Path) -> None:
    """Accuracy against eps for one step and many; of several gradients the strongest."""
    figure = Figure(figsize=(7, 4.5))
    ax = figure.subplots()
    least = cells[cells["attack"] != BENIGN].groupby(["defence", "attack", "eps"])["accuracy"].min()
    for number, defence in enumerate(dict.fromkeys(cells["defence"])):
        for style, method in (("--", "fgsm"), ("-", "pgd")):
            line = least[defence, method]
            label = f"{defence_label(defence)}, {METHODS[method]}"
            places, colour = 255 * line.index.to_numpy(), _COLOURS[number % len(_COLOURS)]
            ax.plot(places, 100 * line, f"o{style}", color=colour, markersize=3, label=label)
    ax.set_xscale("log", base=2)
    ax.set_xlabel("eps, in units of 1/255")
    ax.set_ylabel("percent right, white-box")
    ax.set_ylim(-2, 102)
    ax.legend(fontsize="small")
    _save(figure, path)


def trade(cells: Any, defences: Any, path: Path) -> None:
    """Benign accuracy against gray-box accuracy: a line for each family of compressions, a cross for each defence."""
    figure = Figure(figsize=(7, 4.5))
    ax = figure.subplots()
    ax.set_prop_cycle(color=_COLOURS)
    gray, crosses = (frame[frame["scenario"] == "gray-box"] for frame in (cells, defences))
    places = []
    for family, part in gray.groupby("family", sort=False):
        benign = 100 * part[part["attack"] == BENIGN].set_index("quality")["accuracy"]
        attacked = 100 * part[part["attack"] == WORST].set_index("quality")["accuracy"]
        ax.plot(benign, attacked[benign.index], "o-", markersize=4, label=FAMILIES[str(family)])
        places += [(str(quality), benign[quality], attacked[quality]) for quality in benign.index]
    ax.plot(100 * crosses["benign"], 100 * crosses["accuracy"], "kx", markersize=5, label="defences")
    marked = [(defence_label(row.defence), 100 * row.benign, 100 * row.accuracy) for row in crosses.itertuples()]
    ax.set_xlabel("benign, percent right")
    ax.set_ylabel(f"gray-box {METHODS[crosses['attack'].iloc[0]]}, percent right")
    ax.legend(fontsize="small")
    _label(ax, marked + places)
    _save(figure, path)


def rates(rows: Any, path: Path) -> None:
    """Accuracy against bits a pixel: a panel for each network, a line for each family, with 95% intervals."""
    networks = list(dict.fromkeys(rows["network"]))
    figure = Figure(figsize=(6.5 * len(networks), 4.5))
    axes = np.atleast_1d(figure.subplots(1, len(networks)))
    for ax, network in zip(axes, networks, strict=True):
        own = rows[rows["network"] == network]
        for family, part in own.groupby("family", sort=False):
            part = part.sort_values("bits_a_pixel")
            if family == "none":
                ax.axhline(100 * part["accuracy"].iloc[0], color="0.5", linewidth=0.8)
                continue
            label, style = FAMILIES.get(str(family), str(family)), "o-" if family == "learned" else "s--"
            (line,) = ax.plot(part["bits_a_pixel"], 100 * part["accuracy"], style, markersize=4, label=label)
            if family == "learned":
                ax.fill_between(
                    part["bits_a_pixel"], 100 * part["low"], 100 * part["high"], color=line.get_color(), alpha=0.15
                )
        ax.set_xscale("log")
        ax.set_xlabel("bits a pixel, whole files")
        ax.set_ylabel(f"percent right, {'the network learned on' if network == 'M' else 'another network'}")
        ax.legend(fontsize="small")
    figure.tight_layout()
    _save(figure, path)


def defences(rows: Any, path: Path) -> None:
    """Adversarial against benign images labelled right: a panel for each attack, with intervals of learned tables."""
    attacks = [attack for attack in dict.fromkeys(rows["attack"]) if attack != BENIGN]
    figure = Figure(figsize=(6.5 * len(attacks), 4.5))
    axes = np.atleast_1d(figure.subplots(1, len(attacks)))
    rows = rows.assign(table=rows.index // rows["attack"].nunique())
    benign = 100 * rows[rows["attack"] == BENIGN].set_index("table")["accuracy"]
    styles = {"none": "kx", "two steps": ".", "jpeg 4:2:0": "s--", "learned": "o-"}
    for ax, attack in zip(axes, attacks, strict=True):
        ax.set_prop_cycle(color=_COLOURS)
        own = rows[rows["attack"] == attack].set_index("table")
        for family, style in styles.items():
            part = own[own["family"] == family].assign(benign=benign).sort_values("benign")
            label = "no table" if family == "none" else FAMILIES[family]
            y = 100 * part["accuracy"]
            (line,) = ax.plot(part["benign"], y, style, markersize=4, label=label)
            if family == "learned":
                ends = (y - 100 * part["low"], 100 * part["high"] - y)
                ax.errorbar(part["benign"], y, ends, fmt="none", color=line.get_color(), linewidth=0.8)
        ax.set_xlabel("benign, percent right")
        ax.set_ylabel(f"{METHODS[attack]}, percent right")
        ax.legend(fontsize="small")
    figure.tight_layout()
    _save(figure, path)


def _label(ax: Any, places: list[tuple[str, float, float]], height: float = 12, width: float = 6) -> None:
    """Write texts beside their points, unless they would cover an earlier one; sizes of a character in pixels."""
    ax.autoscale_view()
    taken: list[tuple[str, float, float]] = []
    for text, x, y in places:
        across, up = ax.transData.transform((x, y))
        if all(abs(up - v) > height or abs(across - u) > width * max(len(text), len(t)) for t, u, v in taken):
            taken.append((text, across, up))
            ax.annotate(text, (x, y), xytext=(3, 3), textcoords="offset points", fontsize="x-small")
