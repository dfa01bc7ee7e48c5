"""What the README says is so."""

import json
import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"

pytestmark = pytest.mark.skipif(not README.exists(), reason="the README is not here")


def test_the_python_examples_run():
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.S | re.M)
    assert len(blocks) >= 2
    for block in blocks:
        if "from nnjpeg.robust import" in block:
            continue  # trains a model first; test_evaluation runs it with one
        exec(block, {})


def test_the_speed_table_is_the_committed_result(monkeypatch):
    monkeypatch.syspath_prepend(README.parent / "bench")
    import report

    before, rest = README.read_text().split(report.BEGIN)
    table = rest.split(report.END)[0]
    results = [json.loads(path.read_text()) for path in sorted((README.parent / "bench/results").glob("speed-*.json"))]
    assert table.strip() in [report.tables(result) for result in results]
    assert "](docs/speed.png)" in before
