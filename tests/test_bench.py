"""The benchmark's check for regressions, on results that are made up."""

import json
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "bench"


@pytest.fixture
def regression(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    import regression

    return regression


def result(**rows):
    """Of each row its quartiles and median; the times say the contrary of the ratios, and are not to be looked at."""
    found = [
        {"job": f"nnjpeg, {job}", "ratio": ratio, "quartiles": [low, high], "microseconds": 1 / ratio}
        for job, (low, ratio, high) in rows.items()
    ]
    found.append({"job": "OpenCV", "ratio": 1.0, "quartiles": [1.0, 1.0], "microseconds": 1.0})
    return {"workloads": [{"workload": "224x224", "over": "Pillow", "rows": found}]}


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        ((0.099, 0.100, 0.101), "same"),
        ((0.1029, 0.104, 0.105), "same"),  # beyond the quartiles, but runs differ by as much
        ((0.1019, 0.110, 0.115), "same"),  # the quartiles overlap
        ((0.1029, 0.110, 0.115), "slower"),
        ((0.080, 0.090, 0.097), "faster"),
        ((0.080, 0.090, 0.0981), "same"),
    ],
)
def test_a_row_has_changed_where_it_is_beyond_noise(regression, now, verdict):
    before = result(avx2=(0.098, 0.100, 0.102), generic=(0.5, 0.5, 0.5))
    found = regression.changes(before, result(avx2=now, generic=(0.5, 0.5, 0.5), neon=(9, 9, 9)))
    assert [(change.row[2], change.verdict) for change in found] == [
        ("nnjpeg, avx2", verdict),
        ("nnjpeg, generic", "same"),
    ]


def test_committed_results_can_be_compared_with_themselves(regression):
    for path in (BENCH / "results").glob("speed-*.json"):
        before = json.loads(path.read_text())
        assert {change.verdict for change in regression.changes(before, before)} == {"same"}
        assert len(regression.changes(before, before)) > 10
        assert regression.differences(before, before) == []
        other = {**before, "cpu": "another", "versions": {**before["versions"], "pillow": "1"}}
        assert [difference.split()[0] for difference in regression.differences(before, other)] == ["cpu", "pillow"]
