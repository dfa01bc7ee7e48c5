"""Tables that are judged by what files weigh: accuracy against bytes, beside JPEG's tables and others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas
import torch
from torch import nn

import nnjpeg
from nnjpeg.paper import figures
from nnjpeg.paper.specs import Learn
from nnjpeg.qtable import NN_TABLE, QTable
from nnjpeg.robust.data import Images
from nnjpeg.robust.defend.transforms import deepn_table
from nnjpeg.robust.frequency import FrequencyStatistics
from nnjpeg.robust.judge.statistics import at_equal_accuracy, fraction, hits_of, labels_by, mcnemar, share_of
from nnjpeg.robust.record import distributed
from nnjpeg.robust.record.run import Run
from nnjpeg.robust.record.store import Journal, shared
from nnjpeg.robust.train.tables import standard_tables
from nnjpeg.transforms import nn_jpeg

__all__ = ["LOST", "REFERENCE", "judge"]

REFERENCE = ("jpeg 4:2:0", 75.0)
"""The family and the setting that bytes are compared with."""

LOST = (0, 1, 2)
"""Points of accuracy below the reference, at which bytes are compared."""


def judge(
    run: Run,
    spec: Learn,
    networks: dict[str, nn.Module],
    tables: dict[float, tuple[QTable, ...]],
    learned_from: Images,
    images: Images,
    batch: int,
) -> dict[str, pandas.DataFrame]:
    """Judge learned tables, by their lambdas, and others on `images`; write learned.csv, saved.csv and accuracy.png.

    Returns
    -------
    dict of str to DataFrame
        "learned": a row for each network and way to code; "saved": bytes saved where as much accuracy is lost.
    """
    cells = [*_references(spec, learned_from), *(_cell(spec, "learned", weight, tables[weight]) for weight in tables)]
    results = _judge(run, spec, networks, images, cells, batch)
    frames = {"learned": _frame(results, images), "saved": _saved(results)}
    if distributed.is_main():
        _write(run, frames)
    return frames


# Ways to code


def _cell(
    spec: Learn, family: str, setting: float, tables: Sequence[QTable], colorspace: str = "", subsampling: str = ""
) -> dict[str, Any]:
    """A way to code images, as JSON can hold it; by default as the learned tables do. No tables: the originals."""
    return {
        "family": family,
        "setting": float(setting),
        "tables": [table.to_list() for table in tables],
        "colorspace": colorspace or spec.colorspace,
        "subsampling": subsampling or spec.subsampling,
    }


def _references(spec: Learn, images: Images) -> list[dict[str, Any]]:
    """No compression; JPEG in 4:2:0 and in the learned tables' coding; the paper's table; DeepN-JPEG's, of `images`."""
    deepn = deepn_table(FrequencyStatistics.of([images.pixels]))
    cells = [_cell(spec, "none", 0, [])]
    for quality in spec.qualities:
        jpeg = standard_tables("ycbcr", quality)
        cells.append(_cell(spec, REFERENCE[0], quality, jpeg, "ycbcr", "4:2:0"))
        if (spec.colorspace, spec.subsampling) != ("ycbcr", "4:2:0"):
            name = "jpeg rgb" if spec.colorspace == "rgb" else f"jpeg {spec.subsampling}"
            cells.append(_cell(spec, name, quality, standard_tables(spec.colorspace, quality)))
        cells.append(_cell(spec, "nn-jpeg", quality, [NN_TABLE.at_quality(quality)], "rgb", "4:4:4"))
        cells.append(_cell(spec, "deepn", quality, [deepn.at_quality(quality)], "ycbcr", "4:4:4"))
    return cells


def _judge(
    run: Run,
    spec: Learn,
    networks: dict[str, nn.Module],
    images: Images,
    cells: Sequence[dict[str, Any]],
    batch: int,
) -> list[dict[str, Any]]:
    """For each network and cell: which images are right, which labels are those of the originals, and all bytes."""
    originals: dict[str, npt.NDArray[np.int64]] = {}

    def work(keys: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cell = keys[0]["cell"]
        coded, size = _coded(images, cell, spec.optimize)
        for key in keys:
            network = networks[key["network"]]
            if key["network"] not in originals:
                originals[key["network"]] = _labels(network, images.pixels, batch)
            labels = _labels(network, coded, batch)
            right, same = labels == images.labels.numpy(), labels == originals[key["network"]]
            found.append({"hits": hits_of(right), "same": hits_of(same), "bytes": size})
        return found

    keys = [{"network": name, "cell": cell} for cell in cells for name in networks]
    return shared(
        keys, work, Journal(run, "judged"), group=lambda key: str(key["cell"]), description="tables on other images",
        unit="table",
    )  # fmt: skip


def _coded(images: Images, cell: dict[str, Any], optimize: bool) -> tuple[torch.Tensor, int | None]:
    """The images that files hold, and how many bytes all files have."""
    if not cell["tables"]:
        return images.pixels, None
    tables = [QTable(table) for table in cell["tables"]]
    coding = {"colorspace": cell["colorspace"], "subsampling": cell["subsampling"]}
    sizes = nnjpeg.coded_size(
        images.pixels.numpy(), tables if len(tables) > 1 else tables[0], layout="NCHW", optimize=optimize, **coding
    )
    coded = nn_jpeg(images.pixels, tables if len(tables) > 1 else tables[0], **coding)
    return coded, int(np.sum(sizes))


def _labels(network: nn.Module, pixels: torch.Tensor, batch: int) -> npt.NDArray[np.int64]:
    return torch.cat([labels_by(network, x / 255).cpu() for x in pixels.split(batch)]).numpy()


# Tables of results


def _frame(results: Sequence[dict[str, Any]], images: Images) -> pandas.DataFrame:
    """A row for each network and cell: shares in 0..1 with 95% intervals, whole files' bytes and bits a pixel."""
    sources = None if images.sources is None else images.sources.numpy()
    pixels = len(images) * images.pixels.shape[2] * images.pixels.shape[3]
    rows = []
    for result in results:
        cell, right = result["cell"], share_of(result["hits"], sources)
        size = result["bytes"]
        rows.append({
            "network": result["network"], "family": cell["family"],
            "setting": None if cell["family"] == "none" else cell["setting"],
            "colorspace": cell["colorspace"], "subsampling": cell["subsampling"],
            "bits_a_pixel": None if size is None else 8 * size / pixels, "bytes": size,
            "accuracy": right["accuracy"], "low": right["low"], "high": right["high"],
            "agreement": share_of(result["same"], sources)["accuracy"], "images": len(images), "hits": result["hits"],
        })  # fmt: skip
    return pandas.DataFrame(rows)


def _saved(results: Sequence[dict[str, Any]]) -> pandas.DataFrame:
    """What the files of each family weigh where a network has lost 0, 1 and 2 points of accuracy against the reference.

    Between settings of a family bytes are interpolated (`statistics.at_equal_accuracy`); where all settings have a
    higher accuracy, the fewest bytes of any count. The paired test is of the setting with the fewest bytes that has the
    accuracy, against the reference.
    """
    rows = []
    for network in dict.fromkeys(result["network"] for result in results):
        own = [one for one in results if one["network"] == network and one["bytes"] is not None]
        (reference,) = (one for one in own if (one["cell"]["family"], one["cell"]["setting"]) == REFERENCE)
        accuracy = fraction(reference["hits"])
        for family in dict.fromkeys(one["cell"]["family"] for one in own):
            members = [one for one in own if one["cell"]["family"] == family]
            for lost in LOST:
                wanted = accuracy - lost / 100
                curve = [(fraction(one["hits"]), -float(one["bytes"])) for one in members]
                least = at_equal_accuracy(curve, max(wanted, min(curve)[0]))
                fit = [one for one in members if fraction(one["hits"]) >= wanted - 1e-9]
                nearest = min(fit, key=lambda one: one["bytes"], default=None)
                row = {
                    "network": network, "family": family, "points_lost": lost,
                    "bytes": None if least is None else -least,
                    "saved": None if least is None else 1 + least / reference["bytes"],
                }  # fmt: skip
                if nearest is not None:
                    only_reference, only_this, p = mcnemar(reference["hits"], nearest["hits"])
                    row |= {
                        "setting": nearest["cell"]["setting"],
                        "saved_by_setting": 1 - nearest["bytes"] / reference["bytes"],
                        "accuracy": fraction(nearest["hits"]), "only_reference_right": only_reference,
                        "only_this_right": only_this, "p": p,
                    }  # fmt: skip
                rows.append(row)
    return pandas.DataFrame(rows)


def _write(run: Run, frames: dict[str, pandas.DataFrame]) -> None:
    run.write_csv("learned.csv", frames["learned"])
    run.write_csv("saved.csv", frames["saved"])
    figures.rates(frames["learned"], run / "accuracy.png")
    found = frames["saved"]
    for row in found[found["family"] == "learned"].to_dict("records"):
        saved = "no learned table has this accuracy" if pandas.isna(row["saved"]) else f"{row['saved']:.1%} fewer bytes"
        print(f"  {row['network']}, {row['points_lost']} points below JPEG {REFERENCE[1]:g} in 4:2:0: {saved}")
    print(f"in {run.folder}: table-LAMBDA.json and .txt, learned.csv, saved.csv and accuracy.png")
