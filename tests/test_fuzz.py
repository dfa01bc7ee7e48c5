"""Hostile input to the Python API: the right answer, or a TypeError or ValueError; nothing else, and nothing changed.

Longer by hand: ``pytest tests/test_fuzz.py -n0 --hypothesis-profile=long``.
"""

import contextlib
import io
import json
import string

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from PIL import Image

import nnjpeg
from nnjpeg import NN_TABLE, QTable, atomic, ops, reference
from nnjpeg._arguments import LAYOUTS
from nnjpeg.chunks import Chunks
from nnjpeg.transforms import NNJpeg, nn_jpeg

REFUSED = (TypeError, ValueError)


class Subclass(np.ndarray):
    """An array type of a user's own, which must not be broken by us."""


DTYPES = ["u1"] * 12 + ["i1", "?", "u2", ">u2", "f2", "f4", ">f4", "f8", "c8", "O", "V2", "M8[s]", "S3"]
lengths = st.sampled_from([0, 1, 1, 2, 3, 3, 3, 4, 7, 8, 9, 15, 16, 17, 24, 33])
layouts = st.sampled_from([None, *LAYOUTS, "WHC", "", 7])
colorspaces = st.sampled_from(["rgb", "rgb", "ycbcr", "lab", None])
seeds = st.integers(0, 2**32 - 1)
tables = st.one_of(
    st.just(NN_TABLE),
    st.builds(lambda seed: QTable(np.random.default_rng(seed).integers(1, 256, (8, 8))), seeds),
)


any_shape = st.one_of(st.lists(lengths, max_size=5), st.tuples(lengths, lengths, st.just(3)).map(list))


@st.composite
def arrays(draw, dtypes=DTYPES, shapes=any_shape):
    """Arrays of any dtype, shape, strides, alignment, byte order and type."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape = draw(shapes)
    steps = [draw(st.sampled_from([1, 1, 1, 2, -1, -3])) for _ in shape]
    outer = [length * abs(step) for length, step in zip(shape, steps, strict=True)]
    order = draw(st.permutations(range(len(shape))))
    count, offset = int(np.prod(outer)), draw(st.integers(0, 3))
    if dtype.kind == "O":
        array = np.empty([outer[axis] for axis in order], dtype)
    else:
        noise = np.random.default_rng(draw(seeds)).integers(0, 256, count * dtype.itemsize + offset, dtype=np.uint8)
        array = noise[offset:].view(dtype).reshape([outer[axis] for axis in order])
    array = array.transpose(np.argsort(order))[(..., *(slice(None, None, step) for step in steps))]
    kind = draw(st.sampled_from(["plain"] * 6 + ["read-only", "broadcast", "subclass", "masked", "swapped"]))
    if kind == "read-only":
        array.flags.writeable = False
    elif kind == "broadcast" and array.ndim:
        array = np.broadcast_to(array[:1], (5, *array.shape[1:])) if len(array) else array
    elif kind == "subclass":
        array = array.view(Subclass)
    elif kind == "masked" and dtype.kind != "O":
        array = np.ma.masked_array(array, mask=False)
    elif kind == "swapped":
        array = array.view(array.dtype.newbyteorder()) if dtype.kind in "iuf" else array
    return array


def expected_of(array, table, layout, colorspace):
    """The reference's round trip of an array that must be accepted; None for one that must be refused."""
    plain = np.array(array, copy=True, subok=False)
    if layout is None:
        layout = {2: "HW", 3: "HWC", 4: "NHWC"}.get(plain.ndim)
        if layout is not None and plain.ndim > 2 and plain.shape[-1] > 4:
            return None
    if layout not in LAYOUTS or plain.dtype != np.uint8 or plain.ndim != len(layout):
        return None
    n, c, h, w = LAYOUTS[layout]
    components = plain.shape[c] if c >= 0 else 1
    if 0 in [plain.shape[axis] for axis in (c, h, w) if axis >= 0]:
        return None
    if colorspace not in ("rgb", "ycbcr") or (colorspace == "ycbcr" and components != 3):
        return None
    order = [axis for axis in (n, h, w, c) if axis >= 0]
    images = plain.transpose(order).reshape(-1, plain.shape[h], plain.shape[w], components)
    results = [reference.roundtrip(image, table, colorspace=colorspace) for image in images]
    result = np.array(results, np.uint8).reshape([plain.shape[axis] for axis in order])
    return result.transpose(np.argsort(order))


def bits(array):
    return np.array(array, copy=True, subok=False).tobytes() if array.dtype.kind != "O" else b""


@given(arrays(), tables, layouts, colorspaces, st.sampled_from([None, 1, 2, 7, 0, -1, 1.5, "2"]))
def test_roundtrip_of_any_array(array, table, layout, colorspace, threads):
    before = bits(array)
    expected = expected_of(array, table, layout, colorspace)
    if threads in (0, -1, 1.5, "2"):
        expected = None
    try:
        result = nnjpeg.roundtrip(array, table, layout=layout, colorspace=colorspace, num_threads=threads)
    except REFUSED:
        assert expected is None, "what fits was refused"
    else:
        assert expected is not None, "what does not fit was accepted"
        assert type(result) is np.ndarray
        assert result.dtype == np.uint8
        assert not np.shares_memory(result, array)
        np.testing.assert_array_equal(result, expected)
    assert bits(array) == before


@st.composite
def images(draw):
    """Arrays that are images of some layout, and the layout."""
    layout = draw(st.sampled_from(list(LAYOUTS)))
    sides = {
        "H": st.integers(1, 30),
        "W": st.integers(1, 30),
        "C": st.sampled_from([1, 2, 3, 3, 5]),
        "N": st.integers(0, 3),
    }
    return draw(arrays(["u1"], st.tuples(*(sides[axis] for axis in layout)).map(list))), layout


@given(images(), tables, st.sampled_from(["rgb", "ycbcr"]))
def test_stages_of_any_array(image, table, colorspace):
    array, layout = image
    _, c, h, w = LAYOUTS[layout]
    colorspace = colorspace if c >= 0 and array.shape[c] == 3 else "rgb"
    expected = expected_of(array, table, layout, colorspace)
    coefficients = nnjpeg.forward(array, table, layout=layout, colorspace=colorspace)
    size = (array.shape[h], array.shape[w])
    result = nnjpeg.inverse(coefficients, table, size=size, layout=layout, colorspace=colorspace)
    np.testing.assert_array_equal(result, expected)
    spectrum = nnjpeg.dct(array, layout=layout)
    np.testing.assert_allclose(nnjpeg.idct(spectrum, size=size, layout=layout), array, atol=2e-3)


@given(arrays(), st.sampled_from([None, (8, 8), (16, 24), (0, 0), "8", (9, 3)]), layouts)
def test_halves_of_what_does_not_fit(array, size, layout):
    before = bits(array)
    for call in (
        lambda: nnjpeg.forward(array, NN_TABLE, layout=layout),
        lambda: nnjpeg.inverse(array, NN_TABLE, size=size, layout=layout),
        lambda: nnjpeg.dct(array, layout=layout),
        lambda: nnjpeg.idct(array, size=size, layout=layout),
        lambda: nnjpeg.encode(array, NN_TABLE, layout=layout),
        lambda: Chunks(layout=layout).encode(array),
    ):
        with contextlib.suppress(*REFUSED):
            call()
    assert bits(array) == before


@st.composite
def views(draw, memory):
    """A view of some of `memory` as an image of 9x11x3, of any strides that stay within it."""
    strides, extent = [], 0
    order = draw(st.permutations([(0, 9), (1, 11), (2, 3)]))
    for axis, length in order:
        step = max((extent + 1 if strides else 1), 1) + draw(st.sampled_from([0, 0, 0, 1, 2]))
        strides.append((axis, step))
        extent += (length - 1) * step
    assume(extent < len(memory))
    start = draw(st.integers(0, len(memory) - 1 - extent))
    by_axis = dict(strides)
    view = np.lib.stride_tricks.as_strided(memory[start:], (9, 11, 3), [by_axis[axis] for axis in range(3)])
    return view[tuple(slice(None, None, draw(st.sampled_from([1, 1, -1]))) for _ in range(3))]


@given(st.data(), seeds)
def test_out_anywhere_in_the_same_memory(data, seed):
    """In place, apart, or refused: a partial overlap is never computed, and nothing else is written."""
    memory = np.random.default_rng(seed).integers(0, 256, 1500, dtype=np.uint8)
    image = data.draw(views(memory))
    out = image if data.draw(st.booleans()) else data.draw(views(memory))
    expected, before = reference.roundtrip(np.array(image), NN_TABLE), memory.copy()
    try:
        result = nnjpeg.roundtrip(image, NN_TABLE, out=out)
    except ValueError:
        assert out is not image
        np.testing.assert_array_equal(memory, before)
        return
    assert result is out
    np.testing.assert_array_equal(out, expected)
    rest = np.ones(memory.shape, bool)
    rest[np.unique((addresses(out) - addresses(memory)[0]).ravel())] = False
    np.testing.assert_array_equal(memory[rest], before[rest])


def addresses(array):
    """Of each element, in bytes."""
    start = array.ctypes.data
    grids = np.indices(array.shape)
    return start + sum(grid * stride for grid, stride in zip(grids, array.strides, strict=True))


@given(st.data(), tables)
def test_strides_as_large_as_memory(data, table):
    """Forwards and backwards, by hundreds of thousands of bytes."""
    memory = np.random.default_rng(data.draw(seeds)).integers(0, 256, 3_000_000, dtype=np.uint8)
    shape = [data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12)), 3]
    far, near = 250_000 + data.draw(st.integers(-100, 100)), 20_000 + data.draw(st.integers(-100, 100))
    order = data.draw(st.permutations([0, 1]))
    strides = [0, 0, data.draw(st.integers(1, 1500))]
    strides[order[0]], strides[order[1]] = far, near
    image = np.lib.stride_tricks.as_strided(memory, shape, strides)
    image = image[tuple(slice(None, None, data.draw(st.sampled_from([1, -1]))) for _ in shape)]
    np.testing.assert_array_equal(nnjpeg.roundtrip(image, table), reference.roundtrip(np.array(image), table))
    expected = reference.roundtrip(np.array(image), table)
    assert nnjpeg.roundtrip(image, table, out=image) is image
    np.testing.assert_array_equal(image, expected)


@given(st.integers(20, 30), st.integers(20, 30), st.sampled_from([(), (3,)]), st.sampled_from([0, 1]))
def test_images_that_no_memory_holds(height, width, components, odd):
    """Terabytes, of one sample that is repeated: an error, at once."""
    assume(height + width > 45)
    image = np.broadcast_to(np.uint8(7), (2**height - odd, 2**width - odd, *components))
    for call in (nnjpeg.roundtrip, nnjpeg.forward, lambda image, _: nnjpeg.dct(image), nnjpeg.encode):
        with pytest.raises((MemoryError, ValueError)):
            call(image, NN_TABLE)


@pytest.mark.slow
def test_an_image_of_more_bytes_than_an_int_counts():
    """2.5 GB in place: the corners of it are those of the corners alone."""
    try:
        image = np.zeros((50_000, 50_000), np.uint8)
    except MemoryError:
        pytest.skip("this machine has no 2.5 GB")
    patches = [
        (slice(0, 64), slice(0, 72)),
        (slice(-64, None), slice(-72, None)),
        (slice(43_000, 43_064), slice(-72, None)),
    ]
    expected = []
    for seed, patch in enumerate(patches):
        image[patch] = np.random.default_rng(seed).integers(0, 256, (64, 72))
        expected.append(nnjpeg.roundtrip(image[patch], NN_TABLE))
    nnjpeg.roundtrip(image, NN_TABLE, out=image)
    for patch, result in zip(patches, expected, strict=True):
        np.testing.assert_array_equal(image[patch], result)


TORCH_DTYPES = [torch.uint8] * 4 + [torch.float32] * 3 + [torch.float16, torch.bfloat16, torch.float64]
TORCH_DTYPES += [torch.int8, torch.int64, torch.bool, torch.complex64]


@given(
    st.lists(lengths, max_size=5), st.sampled_from(TORCH_DTYPES), st.data(), seeds,
    st.sampled_from(["straight-through", "cubic", "none", "soft"]), st.sampled_from(["float", "uint8", "half"]),
    colorspaces,
)  # fmt: skip
def test_any_tensor(shape, dtype, data, seed, gradient, precision, colorspace):
    generator = torch.Generator().manual_seed(seed)
    tensor = (torch.rand(shape, generator=generator) * (255 if dtype == torch.uint8 else 1)).to(dtype)
    tensor = tensor.permute(data.draw(st.permutations(range(len(shape))))) if shape else tensor
    options = {"gradient": gradient, "precision": precision, "colorspace": colorspace}
    before = tensor.clone()
    results = []
    for call in (ops.roundtrip, nn_jpeg):
        try:
            results.append(call(tensor, NN_TABLE, **options))
        except REFUSED:
            results.append(None)
    assert torch.equal(tensor, before)
    first, second = results
    assert (first is None) == (second is None)
    if first is None:
        return
    assert first.shape == second.shape == tensor.shape
    assert first.dtype == second.dtype == dtype
    assert torch.equal(first, second)
    if dtype.is_floating_point and first.numel():
        assert first.min() >= 0
        assert first.max() <= 1
    if dtype == torch.uint8 and first.numel():
        planes = tensor.reshape(-1, *tensor.shape[-3:]).numpy()
        expected = nnjpeg.roundtrip(planes, NN_TABLE, layout="NCHW", colorspace=colorspace)
        assert torch.equal(first, torch.from_numpy(expected).reshape(tensor.shape))


@given(
    st.sampled_from(["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "I;16"]),
    st.integers(0, 20), st.integers(0, 20), seeds,
)  # fmt: skip
def test_any_picture(mode, width, height, seed):
    image = Image.new(mode, (width, height), seed % 2)
    try:
        result = NNJpeg()(image)
    except REFUSED:
        assert mode not in ("L", "RGB") or 0 in (width, height)
        return
    assert mode in ("L", "RGB")
    np.testing.assert_array_equal(np.asarray(result), nnjpeg.roundtrip(np.asarray(image), NN_TABLE))


def mutated(data, changes):
    """Bytes overwritten, cut out and put in."""
    data = bytearray(data)
    for place, kind, value in changes:
        at = place % max(len(data), 1)
        if kind == 0 and data:
            data[at] = value
        elif kind == 1:
            del data[at : at + value]
        elif kind == 2:
            data[at:at] = bytes([value] * (value % 9))
        else:
            del data[at:]
    return bytes(data)


changes = st.lists(
    st.tuples(st.integers(0, 10**6), st.sampled_from([0, 0, 0, 1, 2, 3]), st.integers(0, 255)), max_size=6
)
PROGRESSIVE = io.BytesIO()
Image.effect_noise((40, 30), 90).convert("RGB").save(
    PROGRESSIVE, "JPEG", progressive=True, exif=b"Exif\0\0" + bytes(40)
)
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
FILES = [nnjpeg.encode(PIXELS[0], NN_TABLE), nnjpeg.encode(PIXELS[0, ..., 0], NN_TABLE), PROGRESSIVE.getvalue()]


@given(st.one_of(st.binary(max_size=200), st.builds(mutated, st.sampled_from(FILES), changes)))
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decode_of_any_bytes(data):
    try:
        result = nnjpeg.decode(data)
    except ValueError:
        return
    assert result.dtype == np.uint8
    assert result.ndim in (2, 3)


@given(st.one_of(st.binary(max_size=200), st.builds(mutated, st.just(Chunks().encode(PIXELS)), changes)))
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_any_bytes_as_a_chunk(data):
    try:
        result = Chunks().decode(data)
    except ValueError:
        return
    assert result.dtype == np.uint8
    assert result.ndim == 4


TEXTS = [
    json.dumps({"nnjpeg_qtables": [NN_TABLE.to_list()]}).encode(),
    " ".join(str(step) for step in np.ravel(NN_TABLE)).encode(),
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"nnjpeg_qtables": ' + b"[" * 100_000,
    b"9" * 5000,
    b'{"nnjpeg_qtables": [[' + b"9" * 5000 + b"]]}",
]


@given(st.one_of(st.binary(max_size=300), st.tuples(st.sampled_from(range(len(TEXTS))), changes)))
def test_any_bytes_as_a_table_file(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "table"
    path.write_bytes(data if isinstance(data, bytes) else mutated(TEXTS[data[0]], data[1]))
    try:
        found = QTable.load_all(path)
    except ValueError as error:
        found = error
    if isinstance(found, ValueError):
        assert str(path) in str(found)
    else:
        assert found
        assert all(isinstance(table, QTable) for table in found)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(string.printable, max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=9), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=30,
)


@given(st.one_of(json_values, st.lists(st.lists(st.integers(-1, 300), min_size=7, max_size=9), min_size=8, max_size=8)))
def test_anything_as_a_table(value):
    try:
        table = QTable(value)
    except REFUSED:
        return
    assert 1 <= min(table.to_zigzag()) <= max(table.to_zigzag()) <= 255


class TableFiles(RuleBasedStateMachine):
    """Tables and files of them in any order: what was saved last is what is read, whatever failed in between."""

    made = Bundle("made")

    def __init__(self):
        super().__init__()
        import tempfile
        from pathlib import Path

        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.saved = {}

    def teardown(self):
        self.folder.cleanup()

    @rule(target=made, seed=seeds)
    def make(self, seed):
        return QTable(np.random.default_rng(seed).integers(1, 256, (8, 8)))

    @rule(target=made, table=made, quality=st.integers(1, 100))
    def scale(self, table, quality):
        before = table.to_list()
        scaled = table.at_quality(quality)
        assert table.to_list() == before
        assert (quality == 50) <= (scaled == table)
        return scaled

    @rule(target=made, table=consumes(made))
    def through_other_forms(self, table):
        assert QTable.from_zigzag(table.to_zigzag()) == QTable(np.asarray(table)) == QTable(table.to_list()) == table
        assert len({table, QTable(table)}) == 1
        return eval(repr(table))

    @rule(table=made, name=st.sampled_from(["a.json", "b.json", "c.txt"]))
    def save(self, table, name):
        table.save(self.path / name)
        self.saved[name] = table

    @rule(table=made, name=st.sampled_from(["a.json", "c.txt"]))
    def fail_to_save(self, table, name):
        def full_disk(_):
            raise OSError(28, "No space left on device")

        kept, atomic.os.fsync = atomic.os.fsync, full_disk
        try:
            with pytest.raises(OSError, match="No space left"):
                table.save(self.path / name)
        finally:
            atomic.os.fsync = kept

    @rule(name=st.sampled_from(["a.json", "b.json", "c.txt"]), changes=changes)
    def damage_a_copy(self, name, changes):
        if name in self.saved:
            copy = self.path / "copy"
            copy.write_bytes(mutated((self.path / name).read_bytes(), changes))
            with contextlib.suppress(ValueError):
                QTable.load(copy)
            copy.unlink()

    @rule(table=made, colorspace=st.sampled_from(["rgb", "ycbcr"]))
    def write_an_image(self, table, colorspace):
        image = PIXELS[0]
        try:
            data = nnjpeg.encode(image, table, colorspace=colorspace)
        except ValueError:  # no Huffman code for a coefficient
            return
        with Image.open(io.BytesIO(data)) as file:
            assert {QTable(np.reshape(one, (8, 8))) for one in file.quantization.values()} == {table}
        np.testing.assert_array_equal(nnjpeg.decode(data), nnjpeg.roundtrip(image, table, colorspace=colorspace))

    @invariant()
    def files_hold_what_was_saved(self):
        assert sorted(path.name for path in self.path.iterdir()) == sorted(self.saved)
        for name, table in self.saved.items():
            assert QTable.load(self.path / name) == table


TestTableFiles = pytest.mark.slow(3)(TableFiles.TestCase)
