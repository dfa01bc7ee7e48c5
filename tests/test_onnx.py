"""What torch.onnx.export makes of the layers, run by onnxruntime: sample by sample what nnjpeg gives."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tensors import CODINGS, noise, some_tables, uniform
from torch.export import Dim

from nnjpeg import ops
from nnjpeg.transforms import JPEG, NNJpeg, jpeg, nn_jpeg

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

BATCH = {0: Dim.DYNAMIC}
ANY_SIZE = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
NAMES = [coding.get("subsampling", coding["colorspace"]) for coding in CODINGS]


def exported(model, *inputs, **options):
    return torch.onnx.export(model.eval(), inputs, dynamo=True, verbose=False, **options).model_proto


def session(proto):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(model, *inputs):
    names = [one.name for one in model.get_inputs()]
    return model.run(None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})[0]


def assert_same(model, expected, *inputs):
    np.testing.assert_array_equal(run(model, *inputs), expected.numpy(), strict=True)


class WithTables(torch.nn.Module):
    """The codec with tables that are an input, so that one export is run with many."""

    def __init__(self, **coding):
        super().__init__()
        self.coding = coding

    def forward(self, image, tables):
        return ops.roundtrip(image, tables, **self.coding)


class WithQuality(torch.nn.Module):
    def forward(self, image, quality):
        return jpeg(image, quality)


def range_limit_blocks():
    """Blocks that decode to far outside 0..255, and the step that does it."""
    cases = json.loads(Path(__file__).with_name("range_limit_blocks.json").read_text())
    return [(np.array(case["samples"], np.uint8), case["step"]) for case in cases]


def extreme(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).choice(np.array([0, 255], np.uint8), shape))


@pytest.mark.slow
@pytest.mark.parametrize("coding", CODINGS, ids=NAMES)
def test_every_size_and_table(coding):
    codec = WithTables(**coding)
    proto = exported(codec, noise(2, 3, 21, 37), some_tables(1, 3), dynamic_shapes=(ANY_SIZE, None))
    assert {node.domain for node in proto.graph.node} == {""}
    assert [entry.domain for entry in proto.opset_import] == [""]
    assert not proto.functions
    onnx.checker.check_model(proto, full_check=True)
    model = session(proto)
    rng = np.random.default_rng(0)
    sizes = [(h, w) for h in range(1, 6) for w in range(1, 20)] + rng.integers(1, 70, (60, 2)).tolist()
    for seed, (height, width) in enumerate(sizes):
        images = int(rng.integers(1, 4))
        image = noise(images, 3, height, width, seed=seed) if seed % 3 else extreme(images, 3, height, width, seed=seed)
        tables = some_tables(1, 3, seed=seed) if seed % 5 else torch.full((1, 3, 8, 8), 255 if seed % 2 else 1).byte()
        assert_same(model, codec(image, tables), image, tables)


@pytest.mark.filterwarnings("ignore:nnjpeg expects float images")
@pytest.mark.parametrize("coding", CODINGS, ids=NAMES)
@pytest.mark.parametrize("precision", ["uint8", "float"])
def test_floats(coding, precision):
    codec = WithTables(precision=precision, **coding)
    image, tables = uniform(2, 3, 21, 37, low=-0.2, high=1.2), some_tables(3)
    model = session(exported(codec, image, tables))
    for seed in range(10):
        image, tables = uniform(2, 3, 21, 37, seed=seed, low=-0.2, high=1.2), some_tables(3, seed=seed)
        image[0, 0, 0, :3] = torch.tensor([float("inf"), -float("inf"), 0.5])
        if precision == "uint8":
            image[1, 0, 0, 0] = float("nan")
            assert_same(model, codec(image, tables), image, tables)
        else:
            np.testing.assert_allclose(run(model, image, tables), codec(image, tables).numpy(), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_floats(dtype):
    image = uniform(2, 3, 21, 37).to(dtype)
    assert_same(session(exported(JPEG(75), image)), JPEG(75)(image), image)


@pytest.mark.parametrize(
    "layer",
    [NNJpeg(), NNJpeg(quality=30), JPEG(1), JPEG(99.5), JPEG(75, gradient="cubic")],
    ids=lambda layer: f"{type(layer).__name__}-{layer.quality}-{layer.gradient}",
)
def test_layers(layer):
    model = session(exported(layer, noise(2, 3, 40, 56), dynamic_shapes=(BATCH,)))
    for images in (1, 2, 5):
        image = noise(images, 3, 40, 56, seed=images)
        assert_same(model, layer(image), image)


@pytest.mark.parametrize(
    ("layer", "shape"), [(NNJpeg(), (3, 21, 37)), (JPEG(75), (2, 2, 3, 9, 17)), (JPEG(75), (2, 1, 16, 24))]
)
def test_other_shapes(layer, shape):
    image = noise(*shape)
    assert_same(session(exported(layer, image)), layer(image), image)


@pytest.mark.parametrize("coding", CODINGS, ids=NAMES)
def test_blocks_beyond_the_range_limit(coding):
    codec = WithTables(**coding)
    model = session(exported(codec, noise(1, 3, 16, 16), some_tables()))
    for block, step in range_limit_blocks():
        image = torch.from_numpy(np.tile(block, (1, 3, 2, 2)))
        tables = torch.full((8, 8), step, dtype=torch.uint8)
        assert_same(model, codec(image, tables), image, tables)


def test_a_model_behind_a_layer():
    torch.manual_seed(0)
    network = torch.nn.Sequential(JPEG(75), torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.LazyLinear(5))
    image = uniform(2, 3, 32, 32)
    expected = network(image).detach()
    model = session(exported(network, image, dynamic_shapes=(BATCH,)))
    np.testing.assert_allclose(run(model, image), expected, atol=1e-5)


@pytest.mark.parametrize("qualities", [[1, 30, 75, 100], [1.0, 30.5, 75.25, 99.9]])
def test_qualities_that_are_an_input(qualities):
    image, quality = noise(4, 3, 24, 40), torch.tensor(qualities)
    model = session(exported(WithQuality(), image, quality))
    for given in (quality, quality.flip(0)):
        assert_same(model, jpeg(image, given), image, given)


@pytest.mark.parametrize(
    ("layer", "function"), [(NNJpeg(quality=(20, 23)), nn_jpeg), (JPEG((20, 23), per_image=True), jpeg)]
)
def test_draws_of_each_image(layer, function):
    image = noise(1, 3, 16, 16).repeat(4, 1, 1, 1)
    model = session(exported(layer, image))
    expected = [function(image[0], quality=q).numpy() for q in range(20, 24)]
    drawn = [[np.array_equal(one, e) for e in expected].index(True) for _ in range(20) for one in run(model, image)]
    assert set(drawn) == {0, 1, 2, 3}


def test_draws_of_a_batch():
    image = noise(1, 3, 16, 16).repeat(4, 1, 1, 1)
    model = session(exported(JPEG((20, 23)), image))
    expected = [jpeg(image, quality=q).numpy() for q in range(20, 24)]
    drawn = [[np.array_equal(run_, e) for e in expected].index(True) for run_ in (run(model, image) for _ in range(40))]
    assert set(drawn) == {0, 1, 2, 3}


def test_draws_of_real_qualities():
    image = noise(1, 3, 16, 16).repeat(4, 1, 1, 1)
    model = session(exported(NNJpeg(quality=(20.0, 90.0)), image))
    errors = [np.abs(one.astype(int) - image[0].numpy()).mean() for _ in range(10) for one in run(model, image)]
    coarse, fine = ((nn_jpeg(image, quality=q).int() - image.int()).abs().float().mean().item() for q in (20, 90))
    assert len(set(errors)) > 20
    assert fine - 0.5 < min(errors) < max(errors) < coarse + 0.5


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("layer", [NNJpeg(), JPEG(75)], ids=["NNJpeg", "JPEG"])
def test_the_exporter_of_torchscript(layer):
    file = io.BytesIO()
    dynamic_axes = {"image": {0: "images", 2: "height", 3: "width"}}
    image = noise(2, 3, 21, 37)
    torch.onnx.export(layer.eval(), (image,), file, dynamo=False, input_names=["image"], dynamic_axes=dynamic_axes)
    model = session(onnx.load_from_string(file.getvalue()))
    for shape in ((2, 3, 21, 37), (1, 3, 3, 4), (3, 3, 40, 2), (2, 3, 33, 70)):
        image = noise(*shape)
        assert_same(model, layer(image), image)


def test_few_nodes():
    image = noise(1, 3, 224, 224)
    counts = [len(exported(layer, image).graph.node) for layer in (NNJpeg(), JPEG(75))]
    assert counts[0] <= 60, counts
    assert counts[1] <= 250, counts


def test_torch_export_keeps_the_operator():
    image = noise(1, 3, 16, 16)
    exported(JPEG(75), image)
    graph = torch.export.export(JPEG(75), (image,)).graph
    assert torch.ops.nnjpeg.roundtrip.default in [node.target for node in graph.nodes]


def test_the_documented_example(tmp_path, monkeypatch):
    page = Path(__file__).parent.parent / "docs/how-to/onnx.md"
    if not page.exists():
        pytest.skip("the documentation is not here")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.S | re.M):
        exec(block, names)
    model = session(onnx.load("defended.onnx"))
    image = uniform(3, 3, 224, 224, seed=1)
    np.testing.assert_allclose(run(model, image), names["defended"](image).detach(), atol=1e-4)


class Unexported(torch.nn.Module):
    """What torch.onnx.export can follow only in its second try, which is strict."""

    def forward(self, image):
        if not torch.compiler.is_dynamo_compiling():
            raise RuntimeError("not by the first way")
        return JPEG_75(image)


JPEG_75 = JPEG(75)


def test_strict_export():
    image = noise(2, 3, 21, 37)
    proto = exported(Unexported(), image)
    assert len(proto.graph.node) <= 250
    assert_same(session(proto), JPEG_75(image), image)
