import copy
import json
import math
import pickle
import shutil
import subprocess
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, JpegImagePlugin

from nnjpeg import NN_TABLE, QTable
from nnjpeg.qtable import ZIGZAG, as_tables

tables = hnp.arrays(np.int64, (8, 8), elements=st.integers(1, 255)).map(QTable)


def test_nn_table():
    table = np.asarray(QTable.nn(4))
    i, j = np.indices((8, 8))
    assert (table[i + j < 4] == 16).all()
    assert (table[i + j >= 4] == 50).all()
    assert QTable.nn(0, 16, 50) == QTable(np.full((8, 8), 50))
    assert QTable.nn(15, 7) == QTable(np.full((8, 8), 7))
    assert QTable.nn(1, qs_of=1, qs_af=255)[0, 0] == 1
    assert QTable.nn(4) == NN_TABLE


def test_feature_distillation():
    table = np.asarray(QTable.feature_distillation())
    assert (table == 25).sum() == 16
    assert (table[:4, :4] == 25).all()
    assert (table == 30).sum() == 48


@pytest.mark.parametrize("quality", [1, 2, 10, 25, 49, 50, 51, 75, 90, 95, 99, 100])
def test_standard_tables_scale_as_libjpegs(quality, tmp_path):
    """Pillow writes libjpeg's own tables for a quality; ours are the same."""
    path = tmp_path / "image.jpg"
    Image.new("RGB", (8, 8)).save(path, quality=quality)
    with Image.open(path) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        luminance, chrominance = (np.reshape(image.quantization[k], (8, 8)) for k in (0, 1))
    assert QTable.standard_luminance().at_quality(quality) == QTable(luminance)
    assert QTable.standard_chrominance().at_quality(quality) == QTable(chrominance)


def test_real_qualities():
    """s = floor(5000 / q) below 50, else 200 - 2q; step = clip(floor((t s + 50) / 100), 1, 255), in exact fractions."""
    rng = np.random.default_rng(0)
    for quality in [*rng.uniform(1, 100, 50), 49.99999, 50.00001, 99.999, np.float32(33.3), 30.0, 75.0]:
        table = QTable(rng.integers(1, 256, (8, 8)))
        q = Fraction(float(quality))
        scale = math.floor(5000 / q) if q < 50 else 200 - 2 * q
        expected = [[min(max(math.floor((t * scale + 50) / 100), 1), 255) for t in row] for row in table.to_list()]
        assert table.at_quality(quality) == QTable(expected)
    for quality in range(1, 101):
        assert NN_TABLE.at_quality(float(quality)) == NN_TABLE.at_quality(quality)


def test_quality_50_is_the_table_and_100_is_ones():
    assert NN_TABLE.at_quality(50) == NN_TABLE
    assert NN_TABLE.at_quality(100) == QTable(np.ones((8, 8), int))


@given(tables)
def test_zigzag_both_ways(table):
    numbers = table.to_zigzag()
    assert QTable.from_zigzag(numbers) == table
    assert numbers[:4] == [table[0, 0], table[0, 1], table[1, 0], table[2, 0]]
    assert numbers[-2:] == [table[7, 6], table[7, 7]]


def test_zigzag_walks_the_diagonals():
    path = np.argsort(ZIGZAG.ravel())
    rows, columns = np.divmod(path, 8)
    assert (np.diff(rows + columns) >= 0).all()
    assert (np.abs(np.diff(rows)) <= 1).all()
    assert (np.abs(np.diff(columns)) <= 1).all()


@given(tables, tables)
def test_equality_and_hash(a, b):
    twin = QTable(np.asarray(a))
    assert a == twin
    assert hash(a) == hash(twin)
    assert (a == b) == (a.to_list() == b.to_list())
    assert a != a.to_list()


@given(tables)
def test_repr_is_the_grid_and_the_value(table):
    assert eval(repr(table)) == table
    assert len(repr(table).splitlines()) == 8


@given(tables)
def test_pickle_and_copy(table):
    assert pickle.loads(pickle.dumps(table)) == table
    assert copy.deepcopy(table) == table


def test_immutable():
    with pytest.raises(AttributeError, match="immutable"):
        NN_TABLE.steps = None
    with pytest.raises(AttributeError, match="immutable"):
        del NN_TABLE.steps
    with pytest.raises(ValueError, match="read-only"):
        NN_TABLE.steps[0, 0] = 1
    source = np.full((8, 8), 5)
    table = QTable(source)
    source[:] = 9
    np.asarray(table)[:] = 7
    assert table == QTable(np.full((8, 8), 5))
    with pytest.raises(ValueError, match="copy"):
        table.__array__(copy=False)


@pytest.mark.parametrize("name", ["table.json", "table.txt"])
def test_save_and_load(name, tmp_path):
    path = tmp_path / name
    QTable.standard_chrominance().save(path)
    NN_TABLE.save(path)
    assert QTable.load(path) == NN_TABLE
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_load_takes_cjpegs_text_with_comments_and_several_tables(tmp_path):
    path = tmp_path / "tables"
    two = [QTable.standard_luminance(), QTable.standard_chrominance()]
    text = "\n".join(f"# table {k}\n" + " ".join(map(str, np.ravel(t))) + " # end" for k, t in enumerate(two))
    path.write_text(text)
    assert list(QTable.load_all(path)) == two
    with pytest.raises(ValueError, match="holds 2 tables"):
        QTable.load(path)


@pytest.mark.skipif(shutil.which("cjpeg") is None, reason="cjpeg is not installed")
def test_cjpeg_reads_what_save_writes(tmp_path):
    table = QTable(np.arange(1, 65).reshape(8, 8))
    table.save(tmp_path / "table.txt")
    Image.new("L", (8, 8)).save(tmp_path / "image.ppm")
    subprocess.run(
        ["cjpeg", "-qtables", "table.txt", "-quality", "50", "-outfile", "image.jpg", "image.ppm"],
        cwd=tmp_path,
        check=True,
    )
    with Image.open(tmp_path / "image.jpg") as image:
        assert QTable(np.reshape(image.quantization[0], (8, 8))) == table


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3", "holds 3 numbers"),
        ("", "holds 0 numbers"),
        ("1 " * 320, "holds 320 numbers"),
        ("1.5 " * 64, "not a table of integers"),
        ("0 " * 64, r"integers in 1\.\.255, got 0 at \[0, 0\]"),
        ("{", "Expecting property name"),
        ("{}", "without a list of tables"),
        (json.dumps({"nnjpeg_qtables": [[1] * 64]}), "from_zigzag"),
        (json.dumps({"nnjpeg_qtables": [[["x"] * 8] * 8]}), "must hold integers"),
    ],
)
def test_bad_files(text, message, tmp_path):
    path = tmp_path / "table.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        QTable.load(path)
    assert str(path) in str(error.value)


def test_files_that_are_no_text_or_not_there(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff\xe0")
    with pytest.raises(ValueError, match="neither a JPEG file nor a text file"):
        QTable.load(tmp_path / "binary")
    with pytest.raises(FileNotFoundError):
        QTable.load(tmp_path / "none")
    with pytest.raises(ValueError, match=r"\.json or \.txt"):
        NN_TABLE.save(tmp_path / "table.yaml")


class Unreadable:
    """What NumPy cannot read, as a tensor that requires a gradient."""

    ndim = 2

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("it requires a gradient")


def test_a_table_that_numpy_cannot_read():
    for call in (QTable, lambda table: as_tables([table, NN_TABLE]), lambda table: QTable.save_all([table], "a.json")):
        with pytest.raises(TypeError, match=r"qtable must hold .* got Unreadable \(it requires a gradient\)"):
            call(Unreadable())


@pytest.mark.parametrize("name", ["tables.json", "tables.txt"])
def test_save_all_takes_tables_of_every_kind(name, tmp_path):
    chroma = QTable.standard_chrominance()
    for tables in ([NN_TABLE, chroma], [NN_TABLE.to_list(), chroma.steps], np.stack([NN_TABLE.steps, chroma.steps])):
        QTable.save_all(tables, tmp_path / name)
        assert QTable.load_all(tmp_path / name) == (NN_TABLE, chroma)
    QTable.save_all(chroma, tmp_path / name)
    assert QTable.load_all(tmp_path / name) == (chroma,)
    for none in ([], np.ones((0, 8, 8), int)):
        with pytest.raises(ValueError, match="tables must not be empty"):
            QTable.save_all(none, tmp_path / name)


def grid(entry, dtype=object):
    table = np.full((8, 8), 16, dtype)
    table[2, 3] = entry
    return table.tolist()


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (grid(0), ValueError, r"integers in 1\.\.255, got 0 at \[2, 3\]"),
        (grid(256), ValueError, r"got 256 at \[2, 3\]"),
        (grid(-1), ValueError, r"got -1 at \[2, 3\]"),
        (grid(3.5), ValueError, r"got 3\.5 at \[2, 3\]"),
        (grid(float("nan")), ValueError, r"got nan at \[2, 3\]"),
        (grid(float("inf")), ValueError, r"got inf at \[2, 3\]"),
        (grid(2**70), TypeError, "got dtype object"),
        (grid("a"), TypeError, "got dtype"),
        (grid(None), TypeError, "got dtype object"),
        (np.ones((8, 8), bool), TypeError, "got dtype bool"),
        (np.ones((8, 8), complex), TypeError, "got dtype complex128"),
        (list(range(1, 65)), ValueError, "64 numbers in one row: .*from_zigzag"),
        (np.arange(1, 65), ValueError, "64 numbers in one row: .*from_zigzag"),
        (np.ones((8, 7), int), ValueError, r"shape \(8, 8\), got \(8, 7\)"),
        (np.ones((1, 8, 8), int), ValueError, r"shape \(8, 8\), got \(1, 8, 8\)"),
        ([[1] * 8] * 7 + [[1] * 7], ValueError, "rows of unequal length"),
        (16, ValueError, r"shape \(8, 8\), got 16; if that is a quality"),
        ("photo.jpg", TypeError, "got 'photo.jpg'; QTable.load reads one from a file"),
        (None, TypeError, "integers in 1..255, got None"),
    ],
)
def test_bad_tables(table, error, message):
    with pytest.raises(error, match=message):
        QTable(table)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: QTable.nn(-1), ValueError, r"n_diagonals must be an integer in 0\.\.15, got -1"),
        (lambda: QTable.nn(16), ValueError, "n_diagonals .* got 16"),
        (lambda: QTable.nn(2.5), TypeError, "n_diagonals .* got 2.5"),
        (lambda: QTable.nn(4, 0), ValueError, r"qs_of must be an integer in 1\.\.255, got 0"),
        (lambda: QTable.nn(4, 16, 256), ValueError, "qs_af .* got 256"),
        (lambda: NN_TABLE.at_quality(0), ValueError, r"quality must be a number in 1\.\.100, got 0"),
        (lambda: NN_TABLE.at_quality(101), ValueError, "quality .* got 101"),
        (lambda: NN_TABLE.at_quality(100.01), ValueError, "quality .* got 100.01"),
        (lambda: NN_TABLE.at_quality(float("nan")), ValueError, "quality .* got nan"),
        (lambda: NN_TABLE.at_quality("75"), TypeError, "quality .* got '75'"),
        (lambda: NN_TABLE.at_quality(True), TypeError, "quality .* got True"),
        (lambda: QTable.from_zigzag([1] * 63), ValueError, r"64 entries in zigzag order, got .* \(63,\)"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
