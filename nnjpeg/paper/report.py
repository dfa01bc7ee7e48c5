"""One self-contained page of a run's results: tables with intervals, figures, the checklist, parameters."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import pandas

from nnjpeg import atomic
from nnjpeg.paper.labels import METHODS, SCENARIOS, attack_labels, defence_label
from nnjpeg.robust.judge.assess import BENIGN, WORST
from nnjpeg.robust.judge.statistics import read_table
from nnjpeg.robust.record.run import Run

__all__ = ["write"]

_TEXTS = {
    "gray-box": "The attacker knows M and nothing of any defence. DeepFool and C&W look for the smallest perturbation "
    "in L2, without a bound; rounding to 8 bits alone undoes some of it (compare “float” with “8-bit”); “scaled” "
    "perturbations are scaled up until they fool M in 8 bits.",
    "black-box": "Adversarial images come from another architecture.",
    "white-box": "The attacker knows every member and every transform. Gradients pass the roundings of coefficients by "
    "the identity and by a smooth rounding. Attacks on an ensemble follow the mean softmax, the mean of the logits, or "
    "the mean of the members' losses. The last column is the figure of a defence: the images that are labelled right "
    "under every attack.",
    "random": "The gradient is the mean over draws of the defence. “held”: the draws of the defence are fixed, and the "
    "attacker knows them.",
    "optimiser": "The paper's attack is BPDA as published: raw gradients in L2, through one NN-JPEG before M. Is the "
    "difference between it and PGD due to the optimiser, or to how much of the defence it sees? Each is run through "
    "one transform, and through all.",
    "colors": "Gray-box.",
    "autoattack": "White-box. AutoAttack's standard version on all images: each attack gets the images that the "
    "previous ones left. Images count as floats, as on RobustBench's boards, or in 8 bits, whichever is worse.",
    "convergence": "White-box. If an attack has converged, more steps or restarts do not make it stronger.",
}
"""What stands above the table of a scenario."""


def write(run: Run) -> None:
    """Write ``report.html`` into the folder of `nnjpeg reproduce`, from the files of its stages and page.html."""
    judged = _stages(run, "evaluate")
    parts = [
        *(_checklist(run, name) for name in judged), *(_protection(run, name) for name in judged),
        *(_comparison(run, name) for name in _stages(run, "table1")),
        *(part for name in judged for part in _attacks(run, name)), _frequencies(run), _table_design(run),
        _training(run), _facts(run),
    ]  # fmt: skip
    sections = [part for part in parts if part is not None]
    links = "".join(f'<a href="#s{number}">{_escape(title)}</a>' for number, (title, _) in enumerate(sections))
    body = "".join(
        f'<section id="s{number}"><h2>{_escape(title)}</h2>{text}</section>'
        for number, (title, text) in enumerate(sections)
    )
    config = json.loads((run / "config.json").read_text())
    page = Template((Path(__file__).parent / "page.html").read_text()).substitute(
        version=_escape(config["versions"]["nnjpeg"]), date=_escape(config["date"]),
        command=_escape(" ".join(config["command"])), warning=_smoke_test(config), links=links, body=body,
    )  # fmt: skip
    atomic.write(run / "report.html", page.encode())


def _smoke_test(config: dict[str, Any]) -> str:
    preset = config["parameters"]["preset"]
    if preset == "cifar10-hour":
        return (
            '<p class="not-met">This is the short run: an epoch of training in all, few images and few steps of '
            "attack. It shows every table; the preset cifar10 has the sizes to judge by.</p>"
        )
    if not preset.startswith("photos"):
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
    """A table of defences by attacks; `extra` are columns with one value for each defence."""
    labelled = frame.assign(label=attack_labels(frame))
    columns = list(dict.fromkeys(labelled["label"]))
    rows = []
    for defence, part in labelled.groupby("defence", sort=False):
        cells = {row.label: _share(row) for row in part.itertuples()}
        more = [part[name].iloc[0] for name in extra]
        tail = ["<td>-</td>" if value != value else f"<td>{value:g}</td>" for value in more]
        rows.append([_name(defence_label(defence)), *(cells.get(column, "<td>-</td>") for column in columns), *tail])
    counts = {name: int(part["images"].iloc[0]) for name, part in labelled.groupby("label", sort=False)}
    head = ["", *(f"{column} ({counts[column]})" for column in columns), *extra]
    return _table(head, rows)


def _protection(run: Run, stage: str) -> tuple[str, str] | None:
    """Each defence's worst case in each scenario, beside its benign accuracy and beside no defence."""
    cells, versus = _frame(run, f"{stage}/cells.csv"), _frame(run, f"{stage}/versus.csv")
    if cells is None or versus is None:
        return None
    eps = json.loads((run / stage / "config.json").read_text())["parameters"]["eps"] / 255
    benign = cells[cells["attack"] == BENIGN].drop_duplicates("defence").set_index("defence")
    worst = cells[(cells["attack"] == WORST) & np.isclose(cells["eps"], eps)].set_index(["defence", "scenario"])
    scenarios = [name for name in ("gray-box", "black-box", "white-box", "random") if name in set(cells["scenario"])]
    tested = {(row.defence, row.scenario): row for row in versus[np.isclose(versus["eps"], eps)].itertuples()}
    head, rows = ["", "benign"], []
    for scenario in scenarios:
        head += [f"{SCENARIOS[scenario]}: worst case", "of all images", "against none, by image"]
    for defence, row in benign.iterrows():
        line = [_name(defence_label(defence)), _share(row)]
        for scenario in scenarios:
            if (defence, scenario) not in worst.index:
                line += ["<td>-</td>"] * 3
                continue
            found, test = worst.loc[(defence, scenario)], tested.get((str(defence), scenario))
            line += [_share(found), _percent(found["of_all"])]
            line.append(
                "<td>-</td>" if test is None
                else f"<td>+{test.only_this} -{test.only_none}<small>p = {test.p:.2g}</small></td>"
            )  # fmt: skip
        rows.append(line)
    text = (
        "<p>The worst case is over all attacks of a scenario that keep within eps, image by image. It is a share of "
        "the images that the model without a defence labels right; “of all images” counts those that it mislabels as "
        "lost. “Against none”: how many attacked images the defence alone saves, how many no defence alone saves, and "
        "McNemar's test of that.</p>"
    )
    return f"What protects, and what does not{_of(stage, 'evaluate')}", text + _table(head, rows)


def _stages(run: Run, command: str) -> list[str]:
    """The folders of a command's experiments, the one that has its name first."""
    found = [path.parent.name for path in run.folder.glob("*/config.json") if ".before" not in path.parent.name]
    own = [name for name in found if json.loads((run / name / "config.json").read_text())["run"] == command]
    return sorted(own, key=lambda name: (name != command, name))


def _of(name: str, command: str) -> str:
    """The addition to the title that distinguishes further experiments from the first."""
    return "" if name == command else f" ({name})"


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
    frames = {name: _frame(run, f"{name}/results.csv") for name in _stages(run, "train")}
    every = [(name, row) for name, frame in frames.items() if frame is not None for row in frame.itertuples()]
    if not every:
        return None
    rows = [
        [_name(name), _name(row.model), _name(row.image), _share(row), "<td>-</td>" if row.seconds != row.seconds
         else f"<td>{row.seconds:.0f}</td>"]
        for name, row in every
    ]  # fmt: skip
    text = (
        "<p>Benign accuracy of every model, on images as they are and behind its own compression. “plain” is the "
        "control: M trained further, as long as the chain in all, without noise or compression.</p>"
    )
    text += _table(["run", "model", "image", "right", "seconds of training"], rows)
    caption = (
        "Every model on every quality (Figure 6): benign; attacked knowing M alone; attacked knowing all of the pair"
    )
    return "Noisy training (section 3.4)", text + _picture(run, "figure6/figure6.png", caption)


def _comparison(run: Run, stage: str) -> tuple[str, str] | None:
    frame = _frame(run, f"{stage}/table1.csv")
    if frame is None:
        return None
    text = (
        "<p>PGD sees the whole defence, through compressions by the identity and by a smooth rounding; “on M” sees M "
        "alone. Seconds are those of training, M's own left out.</p>"
        + _matrix(frame, ("epochs", "seconds"))
        + _picture(run, f"{stage}/table1.png", "The same, with intervals")
    )
    return f"Beside adversarial training (Table 1){_of(stage, 'table1')}", text


def _attacks(run: Run, stage: str) -> list[tuple[str, str] | None]:
    cells, which = _frame(run, f"{stage}/cells.csv"), _of(stage, "evaluate")
    if cells is None:
        return []
    bounds = ", ".join(f"{255 * eps:g}/255" for eps in sorted(cells["eps"].dropna().unique()))
    bound = f"L-infinity, eps {bounds}; the worst case is over attacks that keep within it."
    found: list[tuple[str, str] | None] = []
    for scenario, part in cells.groupby("scenario", sort=False):
        found.append((SCENARIOS[str(scenario)] + which, f"<p>{_TEXTS[str(scenario)]} {bound}</p>" + _matrix(part)))
    for name in ("autoattack", "optimiser", "colors", "convergence"):
        frame = _frame(run, f"{stage}/{name}.csv")
        if frame is not None:
            found.append((SCENARIOS[name] + which, f"<p>{_TEXTS[name]}</p>" + _matrix(frame)))
    equal, curve = _frame(run, f"{stage}/beside.csv"), run / stage / "curve.png"
    if equal is not None:
        text = (
            "<p>Compressions of many strengths: where lines meet, they defend alike at equal benign accuracy. Below, "
            "each defence beside plain JPEG at its own benign accuracy, interpolated between JPEG's qualities; “none” "
            "where JPEG does not reach that accuracy.</p>"
        )
        picture = _picture(run, f"{stage}/equal.png", "Benign against gray-box")
        found.append((f"At equal benign accuracy{which}", text + picture + _beside(equal)))
    if curve.exists():
        caption = "White-box; one step (FGSM) and many (PGD), by the gradient that leaves least"
        found.append((f"Accuracy against eps{which}", _picture(run, f"{stage}/curve.png", caption)))
    return found


def _checklist(run: Run, stage: str) -> tuple[str, str] | None:
    """The checklist, with the points that are not met first."""
    path = run / stage / "checklist.json"
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
    return f"Can these figures be believed?{_of(stage, 'evaluate')}", text + _table(["point", "state", "why"], rows)


def _beside(frame: pandas.DataFrame) -> str:
    """Each scenario's defences beside plain JPEG."""
    text = ""
    for (scenario, attack), part in frame.groupby(["scenario", "attack"], sort=False):
        rows = [
            [_name(defence_label(row.defence)), _percent(row.benign), _share(row),
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
