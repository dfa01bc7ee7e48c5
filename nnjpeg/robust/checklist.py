"""What a robustness figure must meet before it is believed, and how far an evaluation meets it.

After Carlini et al. (2019), Tramer et al. (2020) and the documentation of RobustBench and AutoAttack.
"""

from __future__ import annotations

from typing import Any

from nnjpeg.robust.evaluation import RANDOM_BOX

__all__ = ["checklist"]


def checklist(cells: Any, curve: Any, settled: Any, parameters: dict[str, Any]) -> list[dict[str, str]]:
    """Each point with its state, from what was measured.

    Parameters
    ----------
    cells : DataFrame
        Of `evaluation.assess`, all scenarios, worst cases included.
    curve : DataFrame
        Accuracy by ``defence``, ``method`` ("FGSM", "PGD") and ``eps``.
    settled : DataFrame
        Of `evaluation.assess`, with the attacks of `evaluation.convergence`.
    parameters : dict
        Of the run.

    Returns
    -------
    list of dict
        ``point``, ``state`` ("met", "part", "missed") and ``why``.
    """
    white = cells[cells["scenario"] == "white-box"]
    share = white.pivot_table(index="defence", columns="attack", values="accuracy", sort=False)

    def point(name: str, met: bool | None, why: str) -> dict[str, str]:
        return {"point": name, "state": {True: "met", None: "part", False: "missed"}[met], "why": why}

    gradients = [name for name in share.columns if name.startswith(("PGD, whole", "PGD, members"))]
    masked = [
        defence
        for defence, row in share.iterrows()
        if row["Square"] < row[gradients].min() - 0.05 or _transfer(cells, str(defence)) < row[gradients].min() - 0.05
    ]
    last = curve[curve["eps"].astype(float) == curve["eps"].astype(float).max()]
    strongest = last[last["method"] == "PGD"].set_index("defence")["accuracy"]
    iterative = curve.pivot_table(index=["defence", "eps"], columns="method", values="accuracy")
    weaker = int((iterative["PGD"] > iterative["FGSM"] + 0.05).sum())
    gains = _by_variant(settled)
    further = max(gains.values(), default=0.0)
    return [
        point("threat model beside the figure", True, f"L-infinity, eps {parameters['eps']:g}/255, named by scenario"),
        point("the white-box attack is on the whole defence", True, "columns 'whole': every member and transform"),
        point("clean accuracy in every row, with its interval", True, f"{int(cells['images'].max())} images"),
        point("gradients by the identity and by a smooth rounding", True, "columns 'whole' and 'whole, cubic'"),
        point("expectation over what is random, and the draws held fixed", True, _random(cells)),
        point("convergence: more steps, restarts, a sweep of the step size", further <= 0.05, _gains(gains)),
        point(
            "accuracy falls to about 0 for a large eps, and iterations beat a single step",
            bool((strongest <= 0.05).all()) and weaker == 0,
            f"at eps {float(last['eps'].iloc[0]):g}/255: "
            + ", ".join(f"{name} {value:.0%}" for name, value in strongest.items())
            + (f"; PGD is behind FGSM in {weaker} cells" if weaker else ""),
        ),
        point(
            "gradients are not masked: no transfer and no query attack beats the white-box one",
            not masked,
            "none does by 5 points" if not masked else f"beaten for: {', '.join(map(str, masked))}",
        ),
        point("worst case over all attacks, image by image", True, "last column"),
        point(
            "each part alone",
            "ensemble" in set(cells["defence"]) or None,
            "NN-JPEG, noisy training, the ensemble, the ensemble without compression"
            if "ensemble" in set(cells["defence"])
            else "no noisy training in this run: NN-JPEG and tables over one network",
        ),
        point("parameters, seed and versions beside the tables", True, "config.json"),
    ]


def _random(cells: Any) -> str:
    part = cells[(cells["scenario"] == RANDOM_BOX) & cells["attack"].str.startswith("PGD")]
    return "; ".join(f"{row.defence}, {row.attack}: {row.accuracy:.0%}" for row in part.itertuples())


def _by_variant(settled: Any) -> dict[str, float]:
    """How much lower each variant of PGD brings any defence than PGD as it is."""
    share = settled[settled["attack"] != "benign"].pivot_table(
        index="defence", columns="attack", values="accuracy", sort=False
    )
    return {name: float((share["PGD"] - share[name]).max()) for name in share.columns if name != "PGD"}


def _gains(gains: dict[str, float]) -> str:
    return "at most, in points: " + ", ".join(f"{name} {100 * gain:+.0f}" for name, gain in gains.items())


def _transfer(cells: Any, defence: str) -> float:
    """The lowest share that an attack by transfer, within the same bound, leaves."""
    names = ["FGSM", "I-FGSM", "PGD", "TI-FGSM", "DI-FGSM"]
    part = cells[
        cells["scenario"].isin(["gray-box", "black-box"]) & cells["attack"].isin(names) & (cells["defence"] == defence)
    ]
    return float(part["accuracy"].min()) if len(part) else 1.0
