import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # workers are the threads: torch's own would wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, settings
from PIL import features

from nnjpeg import _core

# The oracle of exactness: without it the suite would prove nothing.
assert features.check("libjpeg_turbo"), "Pillow must be built on libjpeg-turbo"

# Inputs by the hundred in every run; by the thousand with --hypothesis-profile=long.
_common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much]}
settings.register_profile("short", max_examples=200, stateful_step_count=20, **_common)
settings.register_profile("long", max_examples=5_000, stateful_step_count=20, **_common)
settings.load_profile("short")


def pytest_collection_modifyitems(items):
    """The slow tests first, and the longest of them before all: so none begins when everything else has ended."""
    items.sort(key=_seconds, reverse=True)


def pytest_collection_finish():
    """What was imported stays: collections of garbage, of which Accelerate asks for one a training, pass it over."""
    gc.freeze()


def _seconds(item):
    marker = item.get_closest_marker("slow")
    if marker is None:
        return 0
    return marker.args[0] if marker.args else 10


@pytest.fixture(autouse=True)
def _no_module_of_another_test():
    """Tests write modules of the name `mine` into folders of their own."""
    yield
    sys.modules.pop("mine", None)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """A function that has a folder of a name filled, by the first worker that asks for it; the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made_once(name, make):
        from filelock import FileLock

        folder = base / name
        with FileLock(base / f"{name}.lock"):
            if not folder.exists():
                draft = Path(tempfile.mkdtemp(dir=base))
                make(draft)
                draft.rename(folder)
        return folder

    return made_once


@pytest.fixture(scope="session")
def emulated(made_once):
    """The CUDA operators by their kernels on the host."""
    import emulation

    if not (emulation.ROOT / "csrc").is_dir():
        pytest.skip("the sources are not here")
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    return emulation.Emulated(emulation.load_kernel(made_once("emulated", emulation.compile_kernel)))


@pytest.fixture(params=_core.compiled_isas())
def isa(request):
    """Run the test with each instruction set of this build; those that this CPU lacks are skipped, visibly."""
    if not _core.compiled_isas()[request.param]:
        pytest.skip(f"this CPU does not have {request.param}")
    before = _core.isa()
    _core.use_isa(request.param)
    yield request.param
    _core.use_isa(before)


@pytest.fixture(scope="session")
def pillow_roundtrip():
    return oracle.pillow_roundtrip


@pytest.fixture(scope="session")
def huffman_refusal():
    return oracle.HuffmanRefusal


@pytest.fixture(scope="session")
def make_image():
    return oracle.make_image


@pytest.fixture(scope="session")
def make_table():
    return oracle.make_table


@pytest.fixture(scope="session")
def photos():
    data = pytest.importorskip("skimage.data")
    return {name: np.ascontiguousarray(getattr(data, name)()) for name in ("astronaut", "chelsea", "coffee", "rocket")}


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (21, 35, 3), dtype=np.uint8)


# Small models that were trained a little, and images to attack.


@pytest.fixture(scope="session")
def weights(made_once):
    """A checkpoint of a model that labels most patches right."""
    from nnjpeg.robust.train import photos as fitting

    def train(folder):
        fitting.photos_model(folder / "m.safetensors", patches=896, epochs=4)

    return made_once("weights", train) / "m.safetensors"


@pytest.fixture(scope="session")
def other_weights(made_once):
    """Another, of the plain architecture, trained less."""
    from nnjpeg.robust.train import photos as fitting

    def train(folder):
        fitting.photos_model(folder / "m.safetensors", arch="plain", patches=448, epochs=2)

    return made_once("other_weights", train) / "m.safetensors"


@pytest.fixture(scope="session")
def model(weights):
    from nnjpeg.robust.record import checkpoints

    return checkpoints.load(weights)[0]


@pytest.fixture(scope="session")
def benign():
    from nnjpeg.robust import data

    return data.photos("test", 280)


@pytest.fixture(scope="session")
def originals(model, benign):
    from nnjpeg.robust.judge.statistics import well_labelled

    return well_labelled(model, benign, 48)


@pytest.fixture
def generator():
    import torch

    return torch.Generator().manual_seed(0)
