"""What a robustness figure must meet before it is believed, and how far an evaluation meets it.

After Carlini et al. (2019), Tramer et al. (2020) and the documentation of RobustBench and AutoAttack.
"""

from __future__ import annotations

from typing import Any

__all__ = ["checklist"]


def checklist(cells: Any, curve: Any, parameters: dict[str, Any]) -> list[dict[str, str]]:
    """Each point with its state, from what was measured.

    Parameters
    ----------
    cells : DataFrame
        Of `evaluation.assess`, all scenarios, worst cases included.
    curve : DataFrame
        Accuracy by ``defence``, ``method`` ("FGSM", "PGD") and ``eps``.
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

    gradients = [name for name in share.columns if name.startswith("PGD, whole")]
    masked = [
        defence
        for defence, row in share.iterrows()
        if row["Square"] < row[gradients].min() - 0.05 or _transfer(cells, str(defence)) < row[gradients].min() - 0.05
    ]
    last = curve[curve["eps"].astype(float) == curve["eps"].astype(float).max()]
    strongest = last[last["method"] == "PGD"].set_index("defence")["accuracy"]
    iterative = curve.pivot_table(index=["defence", "eps"], columns="method", values="accuracy")
    weaker = int((iterative["PGD"] > iterative["FGSM"] + 0.05).sum())
    return [
        point("threat model beside the figure", True, f"L-infinity, eps {parameters['eps']:g}/255, named by scenario"),
        point("the white-box attack is on the whole defence", True, "columns 'whole': every member and transform"),
        point("clean accuracy in every row, with its interval", True, f"{int(cells['images'].max())} images"),
        point("gradients by the identity and by a smooth rounding", True, "columns 'whole' and 'whole, cubic'"),
        point(
            "expectation over what is random",
            None,
            f"{parameters['samples']} draws for SHIELD SLQ; TVM and crop-rescale are attacked in gray-box alone",
        ),
        point(
            "convergence: more steps, restarts, a sweep of the step size",
            None,
            f"{parameters['steps']} steps and {parameters['restarts']} restarts; doubling was not measured in this run",
        ),
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


def _transfer(cells: Any, defence: str) -> float:
    """The lowest share that an attack by transfer, within the same bound, leaves."""
    names = ["FGSM", "I-FGSM", "PGD", "TI-FGSM", "DI-FGSM"]
    part = cells[
        cells["scenario"].isin(["gray-box", "black-box"]) & cells["attack"].isin(names) & (cells["defence"] == defence)
    ]
    return float(part["accuracy"].min()) if len(part) else 1.0
