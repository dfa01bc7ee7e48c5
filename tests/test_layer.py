"""NNJpeg as a layer of a model."""

import copy
import pickle
import warnings

import numpy as np
import PIL.Image
import pytest
import torch
from tensors import compiles, noise, some_tables, uniform

from nnjpeg import NN_TABLE, QTable, ops
from nnjpeg.transforms import NNJpeg, nn_jpeg


def test_a_layer_that_was_empty_has_its_tables():
    """As large models are loaded: made without memory, which comes later."""
    image = uniform(2, 3, 16, 16)
    with torch.device("meta"):
        layer = torch.nn.Sequential(NNJpeg(quality=30))
    emptied = NNJpeg(quality=30).to("meta").to_empty(device="cpu")
    for made in (layer.to_empty(device="cpu"), torch.nn.Sequential(emptied)):
        assert torch.equal(made[0].steps, NNJpeg(quality=30).steps)
        assert torch.equal(made(image), NNJpeg(quality=30)(image))


def test_a_buffer_on_another_device_is_not_used():
    layer = NNJpeg(quality=30)
    layer.steps = layer.steps.to("meta")  # what loaders of large models do to buffers
    image = uniform(2, 3, 16, 16)
    assert torch.equal(layer(image), NNJpeg(quality=30)(image))


def test_a_default_device_is_not_that_of_the_image():
    image = uniform(2, 3, 16, 16)
    with torch.device("meta"):
        result = NNJpeg(quality=(30, 30))(image)
    assert torch.equal(result, NNJpeg(quality=30)(image))


def test_fx_does_not_leave_it_out():
    """It would pass a Proxy through as it does what is no image: the model would lose its defence in silence."""
    defended = torch.nn.Sequential(NNJpeg(), torch.nn.Identity())
    with pytest.raises(TypeError, match="can't trace through NNJpeg, and would leave it out"):
        torch.fx.symbolic_trace(defended)

    class Leaf(torch.fx.Tracer):
        def is_leaf_module(self, module, name):
            return isinstance(module, NNJpeg) or super().is_leaf_module(module, name)

    image = uniform(2, 3, 16, 16)
    traced = torch.fx.GraphModule(defended, Leaf().trace(defended))
    assert torch.equal(traced(image), NNJpeg()(image))


@pytest.mark.parametrize(("name", "value"), [("quality", 10), ("qtable", QTable.nn(2))])
def test_what_tables_are_made_of_is_fixed(name, value):
    layer = NNJpeg(quality=90)
    with pytest.raises(AttributeError, match=rf"NNJpeg\.{name} is fixed"):
        setattr(layer, name, value)
    assert repr(layer) == repr(NNJpeg(quality=90))
    layer.gradient = "cubic"
    assert copy.deepcopy(layer).gradient == "cubic"


def test_garbage_in_the_buffer_is_written_over():
    layer = NNJpeg(quality=30)
    layer.steps.fill_(1)
    layer.reset_parameters()
    assert torch.equal(layer.steps, NNJpeg(quality=30).steps)


@pytest.fixture
def fresh_range_check(monkeypatch):
    monkeypatch.setattr(ops, "_range", ops._RangeCheck())


@pytest.mark.usefixtures("fresh_range_check")
@pytest.mark.parametrize("image", [uniform(3, 16, 16, high=255), uniform(3, 16, 16, low=-2, high=2.5)])
def test_floats_far_outside_their_range_are_warned_of_once(image):
    NNJpeg()(uniform(3, 16, 16))
    with pytest.warns(UserWarning, match=r"images in \[0, 1\], got samples from .* put NNJpeg before Normalize"):
        NNJpeg()(image)
    NNJpeg()(image)


@pytest.mark.usefixtures("fresh_range_check")
def test_floats_beside_their_range_are_not_warned_of():
    for image in (uniform(3, 16, 16, low=-0.3, high=1.3), torch.full((3, 16, 16), torch.nan), noise(3, 16, 16)):
        for _ in range(4):
            ops.roundtrip(image)
    ops.roundtrip(torch.empty(0, 3, 8, 8))


@pytest.mark.parametrize("shape", [(64, 64, 3), (1, 64, 64, 3), (5, 8, 8), (2, 5, 8, 8)])
def test_more_than_four_components_need_a_word(shape):
    components = shape[-3]
    for image in (noise(*shape), uniform(*shape)):
        for call in (ops.roundtrip, nn_jpeg, lambda x, **options: NNJpeg(**options)(x)):
            with pytest.raises(ValueError, match=rf"channels-last order, permute it; .* components={components}"):
                call(image)
            result = call(image, components=components)
            assert torch.equal(result[..., :1, :, :], ops.roundtrip(image[..., :1, :, :]))
            with pytest.raises(ValueError, match="must have 7 components, as components says"):
                call(image, components=7)


def test_a_layer_whose_table_moves():
    layer = NNJpeg([NN_TABLE] * 3, quality=30)
    assert layer.to("meta").steps.device.type == "meta"
    assert NNJpeg().half().steps.dtype == torch.uint8
    assert NNJpeg().state_dict() == {}
    assert copy.deepcopy(NNJpeg(precision="uint8")).precision == "uint8"


def test_tables_given_as_tensors():
    table = some_tables(3)
    assert NNJpeg(table).qtable == tuple(QTable(t) for t in table.numpy())
    assert torch.equal(NNJpeg(table)(noise(3, 16, 16)), ops.roundtrip(noise(3, 16, 16), table))


def test_fixed_quality_of_floats():
    image = uniform(2, 3, 16, 16)
    assert torch.equal(NNJpeg(quality=30)(image), ops.roundtrip(image, NN_TABLE.at_quality(30)))


# Tables that learn

TABLES = [NN_TABLE, QTable.standard_luminance(), QTable.standard_chrominance()]
YCBCR = {"colorspace": "ycbcr", "subsampling": "4:2:0"}


def learnt(layer, steps):
    """The layer with other steps, as an optimizer writes them."""
    with torch.no_grad():
        layer.steps.copy_(steps)
    return layer


def test_a_table_that_learns_is_a_parameter():
    for qtable, shape in ((NN_TABLE, (1, 1, 8, 8)), (TABLES, (1, 3, 8, 8))):
        layer = NNJpeg(qtable, learn=True)
        assert list(layer.state_dict()) == ["steps"]
        assert [parameter.shape for parameter in layer.parameters()] == [shape]
        assert layer.steps.dtype == torch.float32
        assert layer.table() == NNJpeg(qtable).table() == layer.qtable
    assert not list(NNJpeg().parameters())
    assert NNJpeg(quality=30, learn=True).table() == NNJpeg(quality=30).table() == NN_TABLE.at_quality(30)


@pytest.mark.parametrize("options", [{}, YCBCR, {**YCBCR, "quality": 70}, {**YCBCR, "quality": (70, 70)}])
@pytest.mark.parametrize("qtable", [NN_TABLE, TABLES])
def test_all_kinds_of_images_have_the_bits_of_the_learnt_table(qtable, options):
    layer = NNJpeg(qtable, learn=True, **options)
    learnt(layer, uniform(*layer.steps.shape, low=-5, high=300))
    drawn = {"quality": options["quality"]} if isinstance(options.get("quality"), tuple) else {}
    same = NNJpeg(layer.table(), **{**options, "quality": None, **drawn})
    pixels = noise(2, 3, 21, 35)
    arrays = pixels.permute(0, 2, 3, 1).contiguous().numpy()
    for image in (pixels, pixels[0], pixels / 255, (pixels / 255).double(), pixels.unsqueeze(0)):
        assert torch.equal(layer(image), same(image))
    for image in (arrays, arrays[0], PIL.Image.fromarray(arrays[0])):
        assert np.array_equal(np.asarray(layer(image)), np.asarray(same(image)))
    assert not layer(pixels).requires_grad
    assert layer(pixels / 255).requires_grad
    if options:
        assert torch.equal(layer(pixels[:, :1]), same(pixels[:, :1]))
        assert torch.equal(layer(pixels[:, :1] / 255), same(pixels[:, :1] / 255))


def test_it_learns_in_a_model():
    torch.manual_seed(0)
    layer = NNJpeg(TABLES, learn=True, gradient="cubic", **YCBCR)
    model = torch.nn.Sequential(layer, torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.LazyLinear(5))
    image = uniform(2, 3, 16, 24)
    expected = ops.roundtrip(image, TABLES, gradient="cubic", **YCBCR)
    assert torch.equal(layer(image), expected)
    before, optimizer = layer.table(), torch.optim.SGD(model.parameters(), lr=1e4)
    model(image).square().sum().backward()
    optimizer.step()
    after = layer.table()
    assert all(a != b for a, b in zip(before, after, strict=True))
    assert torch.equal(layer(image), ops.roundtrip(image, after, gradient="cubic", **YCBCR))


def test_a_learnt_table_is_kept():
    layer = learnt(NNJpeg(TABLES, learn=True), uniform(1, 3, 8, 8, low=1, high=255))
    loaded = NNJpeg(TABLES, learn=True)
    loaded.load_state_dict(layer.state_dict())
    twice = layer.to(torch.float64).to(torch.float32)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), loaded, twice):
        assert torch.equal(other.steps, layer.steps)
        assert other.table() == layer.table()
        assert repr(other) == repr(layer)
    assert "learn=True" in repr(layer)
    assert "learn" not in repr(NNJpeg())
    assert layer.to("meta").steps.device.type == "meta"
    emptied = layer.to_empty(device="cpu")
    emptied.reset_parameters()
    assert emptied.table() == tuple(TABLES)
    assert emptied.steps.requires_grad


def test_a_table_that_learns_is_made_on_the_default_device():
    """As every parameter is, so that large models are made without memory."""
    image = uniform(2, 3, 16, 16)
    with torch.device("meta"):
        layer = NNJpeg(TABLES, learn=True)
    assert layer.steps.device.type == "meta"
    assert layer(image.to("meta")).shape == image.shape
    for call in (layer.table, lambda: layer(image), lambda: layer(noise(2, 3, 16, 16))):
        with pytest.raises(ValueError, match=r"steps of NNJpeg are on the meta device, .* to_empty"):
            call()
    layer.load_state_dict(NNJpeg(TABLES[::-1], learn=True).state_dict(), assign=True)
    assert layer.table() == tuple(TABLES[::-1])
    emptied = layer.to("meta").to_empty(device="cpu")
    emptied.reset_parameters()
    assert torch.equal(emptied(image), NNJpeg(TABLES)(image))


def test_a_layer_of_half_precision_learns():
    layer = NNJpeg(TABLES, learn=True).to(torch.bfloat16)
    image = uniform(2, 3, 16, 24).to(torch.bfloat16)
    result = layer(image)
    assert torch.equal(result, NNJpeg(TABLES)(image))
    result.sum().backward()
    assert layer.steps.grad.dtype == torch.bfloat16


@pytest.mark.slow
@compiles
def test_a_layer_that_learns_compiles_and_exports():
    layer, image = NNJpeg(TABLES, learn=True, **YCBCR), uniform(2, 3, 16, 24)
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True)
    gradients = []
    for function in (layer, compiled):
        result = function(image)
        assert torch.equal(result, NNJpeg(TABLES, **YCBCR)(image))
        gradients.append(torch.autograd.grad(result.square().sum(), layer.steps)[0])
    torch.testing.assert_close(*gradients)
    exported = torch.export.export(layer, (image,))
    assert list(exported.state_dict) == ["steps"]
    assert torch.equal(exported.module()(image), layer(image))
    moved = {"steps": layer.steps.detach() + 40}
    assert torch.equal(
        torch.func.functional_call(layer, moved, (image,)), ops.roundtrip(image, moved["steps"], **YCBCR)
    )


def test_what_would_not_learn_is_refused():
    with pytest.raises(ValueError, match=r"qtable requires a gradient, .* give learn=True"):
        NNJpeg(torch.full((8, 8), 16.0, requires_grad=True))
    assert NNJpeg(torch.full((8, 8), 16.0, requires_grad=True), learn=True).table() == QTable(np.full((8, 8), 16))
    with pytest.raises(TypeError, match="learn must be True or False, got 1"):
        NNJpeg(learn=1)
    with pytest.raises(AttributeError, match=r"NNJpeg\.learn is fixed"):
        NNJpeg().learn = True
    diverged = learnt(NNJpeg(learn=True), torch.full((1, 1, 8, 8), torch.nan))
    for call in (diverged.table, lambda: diverged(uniform(3, 8, 8)), lambda: diverged(noise(3, 8, 8))):
        with pytest.raises(ValueError, match="nan"):
            call()


def test_an_attack_of_foolbox_goes_through_it_unmodified():
    """White-box PGD on a torchvision model behind the layer: a gradient arrives, and the attack finds something."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        foolbox = pytest.importorskip("foolbox")
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    network = squeezenet1_1(num_classes=10).eval()
    defended = torch.nn.Sequential(NNJpeg(precision="uint8"), network).eval()
    images = uniform(4, 3, 64, 64)
    attacked = foolbox.PyTorchModel(defended, bounds=(0, 1), device="cpu")
    labels = defended(images).argmax(1)
    attack = foolbox.attacks.LinfPGD(steps=10)
    _, adversarial, success = attack(attacked, images, labels, epsilons=16 / 255)
    assert success.all()
    assert (adversarial - images).abs().max() <= 16 / 255 + 1e-6
    assert (defended(adversarial).argmax(1) != labels).all()
