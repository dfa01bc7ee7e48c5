"""Memory of results that comes again: only when nobody has it any more."""

import threading

import numpy as np
import pytest
import torch

from nnjpeg import _results
from nnjpeg.transforms import NNJpeg

SHAPE = (2, 3, 24, 40)
SIZE = 4 * 2 * 3 * 24 * 40


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """As if small results were large ones."""
    monkeypatch.setattr(_results, "_LEAST", 1)
    monkeypatch.setattr(_results, "_MOST_KEPT", 3 * SIZE)
    monkeypatch.setattr(_results, "_waiting", type(_results._waiting)())


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_memory_comes_again_when_the_tensor_is_gone(dtype):
    image = torch.zeros(SHAPE, dtype=dtype)
    first, second = _results.empty_like(image), _results.empty_like(image)
    addresses = {first.data_ptr(), second.data_ptr()}
    assert len(addresses) == 2
    assert all(address % 64 == 0 for address in addresses)
    del first, second
    again = [_results.empty_like(image) for _ in range(3)]
    assert {result.data_ptr() for result in again[:2]} == addresses
    assert again[2].data_ptr() not in addresses
    assert all(result.dtype == dtype and result.shape == image.shape for result in again)


@pytest.mark.parametrize(
    "part",
    [
        lambda result: result[0, 0],
        lambda result: result.numpy()[1:],
        lambda result: result.untyped_storage(),
        lambda result: torch.utils.dlpack.from_dlpack(result),
        lambda result: memoryview(result.numpy()),
        lambda result: (2 * result.requires_grad_()).exp().grad_fn,
    ],
    ids=["a view", "an array", "the storage", "by DLPack", "a buffer", "a graph"],
)
def test_memory_is_not_given_away_while_somebody_has_a_part_of_it(part):
    image = torch.zeros(SHAPE)
    result = _results.empty_like(image)
    address, kept = result.data_ptr(), part(result)
    del result
    assert _results.empty_like(image).data_ptr() != address
    del kept
    again = [_results.empty_like(image) for _ in range(2)]
    assert address in [result.data_ptr() for result in again]


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_results_lie_as_torchs_own(form):
    for image in (torch.zeros(SHAPE).contiguous(memory_format=form), torch.zeros(SHAPE)[:, :, ::2, 1:7]):
        assert _results.empty_like(image).stride() == torch.empty_like(image).stride()


@pytest.mark.parametrize(("images", "kept"), [(2, 3), (4, 1), (8, 0)])
def test_no_more_waits_than_is_meant_to(images, kept):
    results = [_results.empty_like(torch.zeros(images, *SHAPE[1:])) for _ in range(5)]
    results.clear()
    assert len(_results._waiting) == kept


def test_images_of_several_threads_do_not_meet():
    transform, wrong = NNJpeg(), []
    images = torch.rand(8, *SHAPE, generator=torch.Generator().manual_seed(0))
    expected = [transform(image).clone() for image in images]

    def work(k):
        for j in range(k, k + 40):
            result = transform(images[j % 8])
            if not torch.equal(result, expected[j % 8]):
                wrong.append(j)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_gradients_go_through_memory_that_has_been_used():
    transform = NNJpeg(gradient="cubic", precision="float")
    image = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))
    found = []
    for _ in range(3):
        x = image.clone().requires_grad_()
        transform(x).square().sum().backward()
        found.append(x.grad.numpy().copy())
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
