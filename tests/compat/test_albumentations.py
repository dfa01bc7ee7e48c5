import numpy as np
import pytest

A = pytest.importorskip("albumentations")

from nnjpeg.compat.albumentations import ImageCompression  # noqa: E402


def both(image, **options):
    """The results of a transform and of albumentations' own, from the same draws."""
    results = []
    for kind in (ImageCompression, A.ImageCompression):
        pipeline = A.Compose([kind(p=1, **options)], seed=5)
        results.append([pipeline(image=image)["image"] for _ in range(3)])
    return zip(*results, strict=True)


@pytest.mark.parametrize("quality", [1, 10, 37, 50, 75, 90, 99, 100])
def test_bits_of_rgb_and_grey(quality):
    rng = np.random.default_rng(quality)
    for height, width in [(1, 1), (2, 3), (8, 8), (17, 16), (33, 70), (64, 64), *rng.integers(1, 90, (12, 2))]:
        for channels in (1, 3):
            noise = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
            for image in (noise, noise // 128 * 255):
                for ours, theirs in both(image, quality_range=(quality, quality)):
                    assert ours.dtype == np.uint8
                    assert ours.flags.c_contiguous
                    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "view", [lambda x: x[..., ::-1], lambda x: x[:, ::-1], lambda x: x[::2, 1::3], np.asfortranarray]
)
def test_views(view):
    image = view(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    for ours, theirs in both(image, quality_range=(20, 80)):
        np.testing.assert_array_equal(ours, theirs)


def test_draws_are_albumentations_own():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    results = list(both(image, quality_range=(10, 90)))
    assert len({ours.tobytes() for ours, _ in results}) == 3
    assert all(np.array_equal(ours, theirs) for ours, theirs in results)


def test_batches():
    images = np.random.default_rng(0).integers(0, 256, (4, 33, 41, 3), dtype=np.uint8)
    ours, theirs = (
        A.Compose([kind(quality_range=(10, 90), p=1)], seed=5)(images=images)["images"]
        for kind in (ImageCompression, A.ImageCompression)
    )
    np.testing.assert_array_equal(ours, theirs)


def test_it_is_serialized_by_its_own_name():
    pipeline = A.from_dict(A.to_dict(A.Compose([ImageCompression(quality_range=(30, 40))])))
    assert type(pipeline.transforms[0]) is ImageCompression
    assert tuple(pipeline.transforms[0].quality_range) == (30, 40)


@pytest.mark.parametrize("options", [{"compression_type": "webp"}, {}])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_all_else_goes_their_way(options, channels, dtype):
    image = np.random.default_rng(0).integers(0, 256, (30, 41, channels)).astype(dtype)
    image = image / np.float32(255) if dtype == np.float32 else image
    for ours, theirs in both(image, quality_range=(30, 30), **options):
        np.testing.assert_array_equal(ours, theirs)


def test_its_arguments_are_albumentations_own():
    assert ImageCompression(quality_range=(30, 40), p=0.2).quality_range == (30, 40)
    for kind in (ImageCompression, A.ImageCompression):
        with pytest.raises(ValueError, match="quality_range"):
            kind(quality_range=(0, 40))
