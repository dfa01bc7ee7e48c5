"""The wing's doors: few at its top, and the names that others use."""

import inspect
from pathlib import Path

import nnjpeg.robust
from nnjpeg import robust

PUBLIC = ("Defended", "Ensemble", "Noisy", "Optimization", "evaluate", "fit", "photos", "photos_model")


def test_at_most_ten_doors():
    top = [path.name for path in Path(robust.__file__).parent.iterdir() if not path.name.startswith("__pycache__")]
    assert len(top) <= 10, top


def test_public_names():
    assert tuple(sorted(robust.__all__)) == PUBLIC
    for name in PUBLIC:
        assert inspect.getdoc(getattr(nnjpeg.robust, name)), name
    assert "engine" not in [
        name for name, one in inspect.signature(robust.fit).parameters.items() if one.default is inspect.Parameter.empty
    ], "fit works with nothing but public names"
