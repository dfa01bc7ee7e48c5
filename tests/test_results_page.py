"""The page of results has what the scripts print from the committed rows."""

from pathlib import Path

import pytest

from nnjpeg.robust.judge.statistics import read_table

ROOT = Path(__file__).parent.parent
ROWS = ROOT / "docs" / "results"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "bench")
    import beside_paper
    import headline

    return headline, beside_paper


@pytest.mark.parametrize("number", [0, 1])
def test_tables_of_cifar10_are_of_the_committed_rows(scripts, number, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["script", str(ROWS / "cifar10")])
    scripts[number].main()
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(printed) > 10
    page = (ROOT / "docs" / "results.md").read_text().splitlines()
    assert [line for line in printed if line not in page] == []


def test_two_defences_of_one_name_are_refused(scripts):
    headline, _ = scripts
    cells, standard = (read_table(ROWS / f"cifar10-{name}.csv") for name in ("cells", "autoattack"))
    benign = (standard["defence"] == "nn-jpeg") & (standard["attack"] == "benign")
    assert benign.sum() == 1
    standard.loc[benign, "hits"] = standard.loc[benign, "hits"].str.replace("1", "0", n=1)
    with pytest.raises(ValueError, match="nn-jpeg is not the same defence under AutoAttack"):
        headline.defences(standard, cells)
