"""What the README says is so."""

import json

import documents
import pytest

pytestmark = pytest.mark.skipif(not (documents.ROOT / "docs").exists(), reason="the documentation is not here")


def test_the_python_examples_run():
    blocks = documents.python_blocks("README.md")
    assert len(blocks) >= 2
    for block in blocks:
        exec(block, {})


@pytest.mark.parametrize(
    ("page", "made", "chart"), [("README.md", "summary", "docs/speed.png"), ("docs/speed.md", "tables", "speed.png")]
)
def test_the_speed_tables_are_a_committed_result(page, made, chart, monkeypatch):
    monkeypatch.syspath_prepend(documents.ROOT / "bench")
    import report

    text = (documents.ROOT / page).read_text()
    table = text.split(report.BEGIN)[1].split(report.END)[0]
    results = [json.loads(path.read_text()) for path in (documents.ROOT / "bench/results").glob("speed-*.json")]
    assert table.strip() in [getattr(report, made)(result) for result in results]
    assert f"]({chart})" in text
