"""The paper's method as a library, for any model and any images. It needs ``pip install 'nnjpeg[robust]'``.

What most users need can be imported from here. Read in the order of the paper: `frequency` (section 3.1), `design`
(3.2), `train` (3.4), `defend`, `attack` and `judge` (4). `data` and `models` have what all of them work on, `record`
what a run writes to disk. The experiments that use all this are in `nnjpeg.paper`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnjpeg.robust.data import photos as photos
    from nnjpeg.robust.defend.ensemble import Ensemble as Ensemble
    from nnjpeg.robust.defend.transforms import Defended as Defended
    from nnjpeg.robust.judge.assess import evaluate as evaluate
    from nnjpeg.robust.train.engine import Optimization as Optimization
    from nnjpeg.robust.train.engine import fit as fit
    from nnjpeg.robust.train.objectives import Noisy as Noisy
    from nnjpeg.robust.train.photos import photos_model as photos_model

# By name, so that one part does not import all others.
_HOMES = {
    "Defended": "defend.transforms",
    "Ensemble": "defend.ensemble",
    "Noisy": "train.objectives",
    "Optimization": "train.engine",
    "evaluate": "judge.assess",
    "fit": "train.engine",
    "photos": "data",
    "photos_model": "train.photos",
}

__all__ = ["Defended", "Ensemble", "Noisy", "Optimization", "evaluate", "fit", "photos", "photos_model"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
