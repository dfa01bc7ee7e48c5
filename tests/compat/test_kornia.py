import pytest
import torch

kornia = pytest.importorskip("kornia.augmentation")

from nnjpeg.compat.kornia import RandomJPEG  # noqa: E402
from nnjpeg.transforms import jpeg  # noqa: E402

X = torch.rand(4, 3, 33, 41, generator=torch.Generator().manual_seed(0))


def drawn(kind, seed=0, **options):
    torch.manual_seed(seed)
    augmentation = kind(**options)
    return augmentation, augmentation(X)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"jpeg_quality": 20.0},
        {"jpeg_quality": (30.0, 90.0)},
        {"same_on_batch": True},
        {"p": 0.5},
        {"jpeg_quality": (5, 10)},
    ],
)
def test_the_draws_are_kornias_and_the_bits_are_jpegs(options):
    ours, result = drawn(RandomJPEG, **options)
    theirs, soft = drawn(kornia.RandomJPEG, **options)
    assert ours._params.keys() == theirs._params.keys()
    assert all(torch.equal(ours._params[name], theirs._params[name]) for name in ours._params)
    qualities, among = ours._params["jpeg_quality"].clamp(1, 100), ours._params["batch_prob"] > 0.5
    expected = X.clone()
    if among.any():
        expected[among] = jpeg(X[among], qualities if len(qualities) == among.sum() else qualities[among])
    assert torch.equal(result, expected)
    assert (result - soft).abs().mean() < 0.1
    assert torch.equal(ours(X, params=ours._params), result)


def test_a_number_is_a_range_around_50():
    augmentation, _ = drawn(RandomJPEG, jpeg_quality=20.0)
    qualities = torch.cat([augmentation.generate_parameters(X.shape)["jpeg_quality"] for _ in range(100)])
    assert 30 <= qualities.min() < 32
    assert 68 < qualities.max() <= 70


@pytest.mark.parametrize("gradient", ["straight-through", "cubic", "none"])
def test_gradients(gradient):
    x = X.clone().requires_grad_()
    result = RandomJPEG(jpeg_quality=(60.0, 60.0), gradient=gradient)(x)
    assert result.requires_grad == (gradient != "none")
    if result.requires_grad:
        (found,) = torch.autograd.grad(result.square().sum(), x)
        (expected,) = torch.autograd.grad(jpeg(x, 60, gradient=gradient).square().sum(), x)
        torch.testing.assert_close(found, expected)


def test_in_kornias_pipeline():
    pipeline = kornia.AugmentationSequential(
        kornia.RandomHorizontalFlip(p=1.0), RandomJPEG((75.0, 75.0)), data_keys=["input"]
    )
    assert torch.equal(pipeline(X), jpeg(X.flip(-1), 75))
    assert RandomJPEG()(X[0]).shape == (1, 3, 33, 41)
    assert RandomJPEG(keepdim=True)(X[0]).shape == (3, 33, 41)
    assert RandomJPEG()(X[:0]).shape == (0, 3, 33, 41)
    assert RandomJPEG()(X.half()).dtype == torch.float16


def test_what_is_refused():
    with pytest.raises(ValueError, match="gradient must be one of"):
        RandomJPEG(gradient="soft")
    with pytest.raises(ValueError, match=r"input must have shape \(B, 3, H, W\), got \(4, 1, 33, 41\)"):
        RandomJPEG()(X[:, :1])


def test_a_quality_that_learns():
    between = torch.nn.Parameter(torch.tensor([30.0, 70.0]))
    augmentation = RandomJPEG(between)
    augmentation(X).square().sum().backward()
    assert (between.grad != 0).all()
    with torch.no_grad():
        assert augmentation(X).shape == X.shape


def test_what_it_shows_of_itself():
    assert repr(RandomJPEG((20.0, 50.0), gradient="cubic")).endswith("same_on_batch=False, gradient='cubic')")
