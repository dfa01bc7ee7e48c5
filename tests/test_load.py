"""Many threads and processes at once, workers that are killed, memory over many calls; longer by hand: soak.py."""

import os
import re
import signal
import sys
import time

import numpy as np
import pytest
import soak
import torch
from torch.utils.data import DataLoader, Dataset

import nnjpeg
from nnjpeg import NN_TABLE
from nnjpeg.transforms import NNJpeg

SPAWN = pytest.param("spawn", marks=pytest.mark.slow(15))  # each process imports torch anew


@pytest.mark.slow(25)
def test_processes_of_threads_of_threads():
    assert soak.load(4, processes=4, threads=8) > 500


def test_a_wrong_sample_would_be_seen(monkeypatch):
    monkeypatch.setattr(soak, "WAYS", [lambda image, *_: np.where(image == image.max(), 0, image)])
    with pytest.raises(AssertionError, match="samples differ"):
        soak.work(soak.cases(4), 1, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_flat():
    assert soak.memory(20_000) <= soak.MOST_GROWTH


class Images(Dataset):
    """Noise behind NNJpeg; the worker that comes to `deadly` kills itself, once, in mid-batch."""

    def __init__(self, deadly=None, marker=None):
        self.deadly, self.marker = deadly, marker
        self.transform = NNJpeg()

    def __len__(self):
        return 24

    def original(self, index):
        return torch.from_numpy(np.random.default_rng(index).integers(0, 256, (3, 330, 330), dtype=np.uint8))

    def __getitem__(self, index):
        if index == self.deadly and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.transform(self.original(index)), index


def check(loader):
    """All batches of an epoch, compared."""
    seen = []
    for images, indices in loader:
        for image, index in zip(images, indices.tolist(), strict=True):
            expected = nnjpeg.roundtrip(loader.dataset.original(index).numpy(), NN_TABLE, layout="CHW")
            np.testing.assert_array_equal(image.numpy(), expected)
            seen.append(index)
    assert seen == list(range(24))


@pytest.mark.parametrize("method", ["fork", SPAWN, pytest.param("forkserver", marks=pytest.mark.slow(5))])
def test_persistent_workers(method):
    nnjpeg.roundtrip(np.zeros((1024, 1024, 3), np.uint8), NN_TABLE, num_threads=2)  # threads before the fork
    loader = DataLoader(
        Images(), 4, num_workers=2, multiprocessing_context=method, persistent_workers=True, timeout=120
    )
    for _ in range(3):
        check(loader)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="memory is pinned for an accelerator")
def test_pinned_memory():
    loader = DataLoader(Images(), 4, num_workers=2, pin_memory=True, timeout=120)
    assert next(iter(loader))[0].is_pinned()
    check(loader)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("method", ["fork", SPAWN])
def test_a_worker_killed_in_mid_batch_is_an_error_and_no_more(method, tmp_path):
    dataset = Images(deadly=9, marker=tmp_path / "killed")
    loader = DataLoader(dataset, 4, num_workers=2, multiprocessing_context=method, timeout=120)
    began = time.monotonic()
    # torch's own words; or the end of a connection, where the parent fetches a batch from the worker that has died.
    with pytest.raises((RuntimeError, EOFError, ConnectionError)) as caught:
        check(loader)
    if isinstance(caught.value, RuntimeError):
        assert re.search("killed by signal|exited unexpectedly", str(caught.value))
    assert time.monotonic() - began < 100, "the loader must notice, not time out"
    check(loader)  # the same loader and process go on
    image = dataset.original(0).numpy()
    np.testing.assert_array_equal(
        nnjpeg.roundtrip(image, NN_TABLE, layout="CHW"), nnjpeg.roundtrip(image, NN_TABLE, layout="CHW", num_threads=1)
    )
