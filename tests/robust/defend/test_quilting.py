"""Image quilting that is what it says."""

import itertools

import pytest
import torch

from nnjpeg.robust import data
from nnjpeg.robust.defend import quilting as module
from nnjpeg.robust.defend.quilting import Quilting


def test_quilting_takes_near_patches_of_others(originals, generator):
    photos = data.photos("train", 70).pixels
    quilting = Quilting(photos, 5017, nearest=3, generator=generator)
    wanted = torch.rand(90, 75, generator=generator) * 255
    distance = ((wanted[:, None] - quilting.patches.float()) ** 2).sum(2)
    taken = distance.gather(1, quilting._near(wanted)[:, None])
    ranks = (distance < taken * (1 - 1e-4)).sum(1)
    assert ranks.bincount().min() > 10
    assert len(ranks.bincount()) == 3
    pixels = originals.pixels[:2, :, :61, :50]
    result = quilting(pixels)
    assert result.shape == pixels.shape
    assert 2 < (result.float() - pixels.float()).abs().mean() < 30
    # From its own patches an image is put together again; and every pixel is one of some patch's.
    own = Quilting(pixels, 100_000, nearest=1)(pixels)
    assert (own.float() - pixels.float()).abs().mean() < 2
    flat = torch.full((1, 3, 9, 9), 7, dtype=torch.uint8)
    assert torch.equal(Quilting(flat, 20)(originals.pixels[:1]).unique(), torch.tensor([7], dtype=torch.uint8))
    assert Quilting(photos, 50)(pixels[..., :4, :3]).shape == (2, 3, 4, 3)
    with pytest.raises(ValueError, match="at least 5x5 pixels"):
        Quilting(photos[..., :4])


def test_the_seam_is_the_cheapest(generator):
    error = torch.rand(20, 5, 3, generator=generator)
    taken = module._seam(error)
    starts = 3 - taken.sum(2)
    assert (starts.diff(dim=1).abs() <= 1).all()
    cost = error.gather(2, starts[..., None]).sum((1, 2))
    paths = [p for p in itertools.product(range(3), repeat=5) if all(abs(a - b) <= 1 for a, b in itertools.pairwise(p))]
    every = torch.stack([error[:, range(5), list(path)].sum(1) for path in paths])
    torch.testing.assert_close(cost, every.amin(0))
