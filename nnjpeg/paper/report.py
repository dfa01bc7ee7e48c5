"""One self-contained page of all that a run has found: tables with intervals, figures, the checklist, parameters."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable
from typing import Any

import pandas

from nnjpeg import atomic
from nnjpeg.paper.labels import METHODS, SCENARIOS, attack_labels
from nnjpeg.robust.judge.statistics import read_table
from nnjpeg.robust.record.run import Run

__all__ = ["write"]

_STYLE = """
:root { color-scheme: light; --line: #d5d9de; --soft: #f4f6f8; --text: #1c2126; --dim: #5b6570; --accent: #0b5cad; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 68rem; color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; padding-top: .8rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
p { max-width: 46rem; margin: .5rem 0; }
.dim { color: var(--dim); font-size: .9rem; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1rem; margin: 1rem 0; font-size: .95rem; }
a { color: var(--accent); }
.wide { overflow-x: auto; margin: .6rem 0; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
thead th { background: var(--soft); vertical-align: bottom; white-space: normal; min-width: 4.6rem; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; font-weight: 500; }
thead th:first-child { background: var(--soft); }
tbody tr:last-child td { border-bottom: 0; }
td small { color: var(--dim); display: block; }
td.text { text-align: left; white-space: normal; min-width: 14rem; }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; border: 1px solid var(--line); border-radius: 6px; }
figcaption { color: var(--dim); font-size: .9rem; }
.met { color: #1a6b33; } .not-met { color: #b3261e; font-weight: 600; } .not-measured { color: #8a5a00; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; border-radius: 6px; font-size: .8rem; }
@media (max-width: 40rem) { th:first-child, td:first-child { white-space: normal; max-width: 8.5rem; } }
@media print { body { max-width: none; font-size: 10pt; padding: 0; } nav { display: none; }
  .wide { overflow: visible; border: 0; } th, td { padding: .15rem .3rem; white-space: normal; }
  table { font-size: 7.5pt; } thead th { min-width: 0; }
  figure, tr { break-inside: avoid; } h2, h3, thead { break-after: avoid; }
  th:first-child, td:first-child { position: static; } }
"""

_TEXTS = {
    "gray-box": "The attacker knows M and nothing of any defence. DeepFool and C&W look for the least perturbation, in "
    "L2, and keep to no bound; rounding to 8 bits alone undoes some of it (compare “float” with “8-bit”); “scaled” is "
    "made larger until it fools M in 8 bits.",
    "black-box": "Adversarial images come from another architecture.",
    "white-box": "The attacker knows every member and every transform. It goes through roundings of coefficients by "
    "the identity, and by a smooth rounding; of an ensemble it follows the mean softmax, the mean of the logits, or "
    "the mean of the members' losses. The last column is the figure of a defence: right under every attack, image by "
    "image.",
    "random": "The gradient is a mean over draws of the defence; “held”: the defence draws the same each time, and the "
    "attacker knows what.",
    "optimiser": "The paper's attack is BPDA as published: raw gradients in L2, through one NN-JPEG before M. What "
    "explains the difference between it and PGD: the optimiser, or how much of the defence it sees? Each is run "
    "through one transform, and through all.",
    "colors": "Gray-box.",
    "convergence": "White-box. An attack that has converged does no better with more of anything.",
}
"""What stands above the table of a scenario."""


def write(run: Run) -> None:
    """Write ``report.html`` into the folder of `nnjpeg reproduce`, from what its stages left there."""
    parts = [
        _checklist(run), *_attacks(run), _comparison(run), _frequencies(run), _table_design(run), _training(run),
        _facts(run),
    ]  # fmt: skip
    sections = [part for part in parts if part is not None]
    links = "".join(f'<a href="#s{number}">{_escape(title)}</a>' for number, (title, _) in enumerate(sections))
    body = "".join(
        f'<section id="s{number}"><h2>{_escape(title)}</h2>{text}</section>'
        for number, (title, text) in enumerate(sections)
    )
    config = json.loads((run / "config.json").read_text())
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>nnjpeg: report</title>'
        f"<style>{_STYLE}</style></head><body><h1>Input transformation and noisy training, measured</h1>"
        f'<p class="dim">nnjpeg {_escape(config["versions"]["nnjpeg"])}, {_escape(config["date"])}, '
        f"{_escape(' '.join(config['command']))}</p>"
        f"{_smoke_test(config)}"
        "<p>Every figure is percent of images labelled right, with its 95% interval below (by photograph where images "
        "share one). Adversarial images are those of images that M labels right, in 8 bits where nothing else is "
        "said.</p>"
        f"<nav>{links}</nav>{body}</body></html>"
    )
    atomic.write(run / "report.html", page.encode())


def _smoke_test(config: dict[str, Any]) -> str:
    if config["parameters"]["preset"] == "imagenet":
        return ""
    return (
        '<p class="not-met">This is a smoke test: patches of seven photographs, whose class is the photograph, and a '
        "network of a minute. It shows that all of the method runs, and how it is judged; it is no ground for a claim "
        "about robustness.</p>"
    )


def _escape(text: Any) -> str:
    return html.escape(str(text))


def _picture(run: Run, name: str, caption: str) -> str:
    path = run / name
    if not path.exists():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    alt = _escape(caption)
    return f'<figure><img src="data:image/png;base64,{data}" alt="{alt}"><figcaption>{alt}</figcaption></figure>'


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = "".join(f"<th>{_escape(name)}</th>" for name in head)
    lines = "".join("<tr>" + "".join(row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{header}</tr></thead><tbody>{lines}</tbody></table></div>'


def _share(row: Any) -> str:
    return f"<td>{100 * row.accuracy:.1f}<small>{100 * row.low:.0f} to {100 * row.high:.0f}</small></td>"


def _percent(value: float) -> str:
    return f"<td>{100 * value:.1f}</td>"


def _name(text: Any) -> str:
    return f"<td>{_escape(text)}</td>"


def _matrix(frame: pandas.DataFrame, extra: tuple[str, ...] = ()) -> str:
    """Defences by attacks; `extra` are columns that each defence has one value of."""
    labelled = frame.assign(label=attack_labels(frame))
    columns = list(dict.fromkeys(labelled["label"]))
    rows = []
    for defence, part in labelled.groupby("defence", sort=False):
        cells = {row.label: _share(row) for row in part.itertuples()}
        more = [part[name].iloc[0] for name in extra]
        tail = ["<td>-</td>" if value != value else f"<td>{value:g}</td>" for value in more]
        rows.append([_name(defence), *(cells.get(column, "<td>-</td>") for column in columns), *tail])
    counts = {name: int(part["images"].iloc[0]) for name, part in labelled.groupby("label", sort=False)}
    head = ["", *(f"{column} ({counts[column]})" for column in columns), *extra]
    return _table(head, rows)


def _frame(run: Run, name: str) -> pandas.DataFrame | None:
    path = run / name
    return read_table(path) if path.exists() else None


def _frequencies(run: Run) -> tuple[str, str] | None:
    picture = _picture(run, "analyze/ratio.png", "delta': deviations of perturbations over those of images, by band")
    bands = _picture(run, "analyze/bands.png", "Deviations along the zigzag (Figure 3)")
    return ("Frequencies (section 3.1)", picture + bands) if picture else None


def _table_design(run: Run) -> tuple[str, str] | None:
    path = run / "design" / "verdict.json"
    if not path.exists():
        return None
    verdict = json.loads(path.read_text())
    text = f"<p>{_escape(verdict['text'])}</p><p class='dim'>The attacker here knows of no transform.</p>"
    for name, caption in (
        ("front", "Every table, the front, its twins in YCbCr, JPEG and no defence"),
        ("heat_map", "Algorithm 1's grid"),
        ("figure4", "One step for all bands (Figure 4)"),
    ):
        text += _picture(run, f"design/{name}.png", caption)
    return "The table (section 3.2)", text


def _training(run: Run) -> tuple[str, str] | None:
    frame = _frame(run, "train/results.csv")
    if frame is None:
        return None
    rows = [
        [_name(row.model), _name(row.image), _share(row), "<td>-</td>" if row.seconds != row.seconds
         else f"<td>{row.seconds:.0f}</td>"]
        for row in frame.itertuples()
    ]  # fmt: skip
    text = "<p>Benign accuracy of every model of the chain, on images as they are and behind its own compression.</p>"
    text += _table(["model", "image", "right", "seconds of training"], rows)
    caption = (
        "Every model on every quality (Figure 6): benign; attacked knowing M alone; attacked knowing all of the pair"
    )
    return "Noisy training (section 3.4)", text + _picture(run, "figure6/figure6.png", caption)


def _comparison(run: Run) -> tuple[str, str] | None:
    frame = _frame(run, "table1/table1.csv")
    if frame is None:
        return None
    text = (
        "<p>PGD sees the whole defence; “on M” sees M alone. Seconds are those of training, M's own left out.</p>"
        + _matrix(frame, ("epochs", "seconds"))
        + _picture(run, "table1/table1.png", "The same, with intervals")
    )
    return "Beside adversarial training (Table 1)", text


def _attacks(run: Run) -> list[tuple[str, str] | None]:
    cells = _frame(run, "evaluate/cells.csv")
    if cells is None:
        return []
    bound = f"L-infinity, eps {255 * cells['eps'].max():g}/255; the worst case is over attacks that keep within it."
    found: list[tuple[str, str] | None] = []
    for scenario, part in cells.groupby("scenario", sort=False):
        found.append((SCENARIOS[str(scenario)], f"<p>{_TEXTS[str(scenario)]} {bound}</p>" + _matrix(part)))
    for name in ("optimiser", "colors", "convergence"):
        frame = _frame(run, f"evaluate/{name}.csv")
        if frame is not None:
            found.append((SCENARIOS[name], f"<p>{_TEXTS[name]}</p>" + _matrix(frame)))
    equal, curve = _frame(run, "evaluate/beside.csv"), run / "evaluate" / "curve.png"
    if equal is not None:
        text = (
            "<p>Compressions of many strengths: where lines meet, they defend alike at equal benign accuracy. Below, "
            "each defence beside plain JPEG at its own benign accuracy, interpolated between JPEG's qualities; “none” "
            "where JPEG does not reach that accuracy.</p>"
        )
        picture = _picture(run, "evaluate/equal.png", "Benign against gray-box")
        found.append(("At equal benign accuracy", text + picture + _beside(equal)))
    if curve.exists():
        caption = "White-box; one step (FGSM) and many (PGD), by the gradient that leaves least"
        found.append(("Accuracy against eps", _picture(run, "evaluate/curve.png", caption)))
    return found


def _checklist(run: Run) -> tuple[str, str] | None:
    """What keeps the figures from being believed, first."""
    path = run / "evaluate" / "checklist.json"
    if not path.exists():
        return None
    points = json.loads(path.read_text())
    points.sort(key=lambda one: one["state"] == "met")
    rows = [
        [
            f'<td class="text">{_escape(one["point"])}</td>',
            f'<td class="{one["state"].replace(" ", "-")}">{one["state"]}</td>',
            f'<td class="text">{_escape(one["why"])}</td>',
        ]
        for one in points
    ]
    met = sum(one["state"] == "met" for one in points)
    text = f"<p>{met} of {len(points)} points are met. A figure is as good as the points that are not.</p>"
    return "Can these figures be believed?", text + _table(["point", "state", "why"], rows)


def _beside(frame: pandas.DataFrame) -> str:
    """Each scenario's defences beside plain JPEG."""
    text = ""
    for (scenario, attack), part in frame.groupby(["scenario", "attack"], sort=False):
        rows = [
            [_name(row.defence), _percent(row.benign), _share(row),
             _percent(row.beside) if row.beside == row.beside else "<td>none</td>"]
            for row in part.itertuples()
        ]  # fmt: skip
        head = ["", "benign", METHODS[str(attack)], "JPEG, 4:2:0, at this benign accuracy"]
        text += f"<h3>{_escape(SCENARIOS[str(scenario)])}</h3>{_table(head, rows)}"
    return text


def _facts(run: Run) -> tuple[str, str]:
    configs = {path.parent.name: json.loads(path.read_text()) for path in sorted(run.folder.glob("*/config.json"))}
    text = "".join(
        f"<h3>{_escape(name)}</h3><pre>{_escape(json.dumps(one, indent=1))}</pre>" for name, one in configs.items()
    )
    return "Parameters and versions", f"<details><summary>of every stage</summary>{text}</details>"
