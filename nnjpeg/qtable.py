"""The quantization table as a value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from nnjpeg import _core, atomic
from nnjpeg._arguments import integer, number
from nnjpeg.headers import START, Source, opened, read_headers

__all__ = ["NN_TABLE", "ZIGZAG", "QTable", "QTableLike", "QTables", "as_tables", "steps_at"]

ZIGZAG = np.array(
    [
        [0, 1, 5, 6, 14, 15, 27, 28],
        [2, 4, 7, 13, 16, 26, 29, 42],
        [3, 8, 12, 17, 25, 30, 41, 43],
        [9, 11, 18, 24, 31, 40, 44, 53],
        [10, 19, 23, 32, 39, 45, 52, 54],
        [20, 22, 33, 38, 46, 51, 55, 60],
        [21, 34, 37, 47, 50, 56, 59, 61],
        [35, 36, 48, 49, 57, 58, 62, 63],
    ]
)
"""Place of each coefficient in zigzag order: int array (8, 8), rows are vertical frequency (ITU-T T.81, Figure A.6)."""
ZIGZAG.flags.writeable = False

# ITU-T T.81, Tables K.1 and K.2.
_LUMINANCE = [
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
]
_CHROMINANCE = [
    [17, 18, 24, 47, 99, 99, 99, 99],
    [18, 21, 26, 66, 99, 99, 99, 99],
    [24, 26, 56, 99, 99, 99, 99, 99],
    [47, 66, 99, 99, 99, 99, 99, 99],
    [99, 99, 99, 99, 99, 99, 99, 99],
    [99, 99, 99, 99, 99, 99, 99, 99],
    [99, 99, 99, 99, 99, 99, 99, 99],
    [99, 99, 99, 99, 99, 99, 99, 99],
]

_JSON_KEY = "nnjpeg_qtables"


def _check_steps(steps: Any) -> npt.NDArray[np.uint16]:
    """Steps as a new uint16 (8, 8) array; raises an error that says what is wrong with them."""
    if isinstance(steps, Mapping):
        raise TypeError(
            f"qtable must be a table, or a sequence of tables, one for each component, got a {type(steps).__name__}; "
            "the tables of a Pillow image are [numpy.reshape(q, (8, 8)) for q in image.quantization.values()]: the "
            "first is that of luma, the second, if any, that of both chroma components"
        )
    if steps is None or isinstance(steps, (str, bytes, PathLike)):
        hint = "" if steps is None else "; QTable.load reads one from a file"
        raise TypeError(f"qtable must hold integers in 1..255, got {steps!r:.60}{hint}")
    try:
        array = np.asarray(steps)
    except ValueError:
        raise ValueError("qtable must be an 8x8 array of integers in 1..255, got rows of unequal length") from None
    except (TypeError, RuntimeError) as error:  # a tensor on a GPU, of a dtype of its own, or that requires a gradient
        raise TypeError(
            f"qtable must hold integers in 1..255 that NumPy can read, got {type(steps).__name__} ({error})"
        ) from None
    if array.dtype.kind not in "iuf":
        raise TypeError(f"qtable must hold integers in 1..255, got dtype {array.dtype}")
    if array.size <= 2 and array.ndim <= 1:
        quality = tuple(array.tolist()) if array.ndim else array.item()
        raise ValueError(
            f"qtable must have shape (8, 8), got {quality}; if that is a quality, NNJpeg and nn_jpeg take it as "
            f"quality={quality}, and QTable.at_quality scales a table"
        )
    if array.ndim == 1 and array.size == 64:
        raise ValueError(
            "qtable must have shape (8, 8), got 64 numbers in one row: use numpy.reshape(numbers, (8, 8)) if they are "
            "in natural (row-major) order, as in a Pillow image's quantization, or QTable.from_zigzag(numbers) if they "
            "are in zigzag order, as in the bytes of a JPEG file"
        )
    if array.shape != (8, 8):
        raise ValueError(f"qtable must have shape (8, 8), got {array.shape}")
    wrong = ~((array >= 1) & (array <= 255) & (array == np.floor(array)))  # True for NaN
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(f"qtable entries must be integers in 1..255, got {array[row, column]} at [{row}, {column}]")
    return array.astype(np.uint16)


class QTable:
    """An 8x8 quantization table: immutable, hashable, picklable.

    Entry ``[i, j]`` is the step of the coefficient with vertical frequency i and horizontal frequency j ("natural
    order"). Two tables are equal if all their entries are.

    Parameters
    ----------
    steps : array_like or QTable
        Shape (8, 8), integers in 1..255 (the range of baseline JPEG, ITU-T T.81, B.2.4.1). Floats are accepted where
        they are whole numbers.

    Raises
    ------
    TypeError
        If `steps` does not hold numbers.
    ValueError
        If the shape is not (8, 8), or an entry is not an integer in 1..255.

    Examples
    --------
    >>> QTable.nn(4).at_quality(90)[0, 0]
    3
    """

    __slots__ = ("entries", "quantizers")

    # Bytes, since of an array torch.compile takes the write protection away when it meets one.
    entries: bytes
    """The entries, row by row."""
    quantizers: _core.Quantizers
    """The entries as the core wants them."""

    def __init__(self, steps: QTableLike) -> None:
        array = steps.steps if isinstance(steps, QTable) else _check_steps(steps)
        object.__setattr__(self, "entries", array.astype(np.uint8).tobytes())
        object.__setattr__(self, "quantizers", _core.Quantizers(array.reshape(1, 1, 64)))

    @property
    def steps(self) -> npt.NDArray[np.uint16]:
        """The entries, read-only: uint16 (8, 8)."""
        steps = np.frombuffer(self.entries, np.uint8).astype(np.uint16).reshape(8, 8)
        steps.flags.writeable = False
        return steps

    # Named tables

    @classmethod
    def nn(cls, n_diagonals: int, qs_of: int = 16, qs_af: int = 50) -> QTable:
        """The NN-JPEG table (section 3.2 of the paper): two steps, split along an anti-diagonal.

        Parameters
        ----------
        n_diagonals : int
            k in 0..15: the bands with i + j < k are original-favoured (OF), all others adversarial-favoured (AF).
        qs_of, qs_af : int
            Their steps, 1..255. The paper adopts 16 and 50.
        """
        k = integer("n_diagonals", n_diagonals, 0, 15)
        i, j = np.indices((8, 8))
        return cls(np.where(i + j < k, integer("qs_of", qs_of, 1, 255), integer("qs_af", qs_af, 1, 255)))

    @classmethod
    def standard_luminance(cls) -> QTable:
        """The luminance table of ITU-T T.81, Table K.1: libjpeg's at quality 50."""
        return cls(_LUMINANCE)

    @classmethod
    def standard_chrominance(cls) -> QTable:
        """The chrominance table of ITU-T T.81, Table K.2: libjpeg's at quality 50."""
        return cls(_CHROMINANCE)

    @classmethod
    def feature_distillation(cls) -> QTable:
        """The table of Feature Distillation (Liu et al., CVPR 2019, released code): 25 in the top left 4x4, else 30.

        Only the table: that defence rounds differently from JPEG (no level shift, no rounding of samples).
        """
        steps = np.full((8, 8), 30)
        steps[:4, :4] = 25
        return cls(steps)

    # Orders and scaling

    @classmethod
    def from_zigzag(cls, numbers: Iterable[int]) -> QTable:
        """The table whose 64 entries are given in zigzag order, as a JPEG file stores them."""
        flat = np.asarray(list(numbers))
        if flat.shape != (64,):
            raise ValueError(f"numbers must be 64 entries in zigzag order, got an array of shape {flat.shape}")
        return cls(flat[ZIGZAG])

    def to_zigzag(self) -> list[int]:
        """The 64 entries in zigzag order."""
        flat = np.empty(64, np.uint16)
        flat[ZIGZAG] = self.steps
        return flat.tolist()

    def to_list(self) -> list[list[int]]:
        """The entries as eight rows of eight ints."""
        return self.steps.tolist()

    def at_quality(self, quality: float) -> QTable:
        """The table scaled by the Independent JPEG Group's rule, with this table as quality 50.

        s = floor(5000 / q) below quality 50, else 200 - 2q; each entry t becomes floor((t s + 50) / 100), clipped to
        1..255. At whole q these are libjpeg's integers (jcparam.c). Quality 100 is a table of ones. That the quality of
        the NN-JPEG table means this is a choice of this package: the paper does not say.

        Parameters
        ----------
        quality : float
            1..100.
        """
        return _scaled(self, number("quality", quality, 1, 100))

    # Files

    def save(self, path: str | PathLike[str], *, provenance: dict[str, Any] | None = None) -> None:
        """Write the table, atomically, as JSON (name ends in .json) or as the text that cjpeg -qtables reads (.txt).

        Parameters
        ----------
        path : path
            The file to write.
        provenance : dict, optional
            A description of the table's origin for human readers, written into the JSON file. `load` ignores it.

        Raises
        ------
        ValueError
            For another ending.
        """
        self.save_all([self], path, provenance=provenance)

    @staticmethod
    def save_all(tables: QTables, path: str | PathLike[str], *, provenance: dict[str, Any] | None = None) -> None:
        """Write tables into one file, in their order, as `save` writes one; `load_all` reads them.

        Parameters
        ----------
        tables : QTable, array_like or sequence of these
            At least one.
        path, provenance
            As for `save`.

        Raises
        ------
        TypeError, ValueError
            If there are none, one is not a table, or the name has another ending.
        """
        if not isinstance(tables, QTable) and not len(tables):
            raise ValueError("tables must not be empty")
        several = as_tables(tables)
        path = Path(path)
        if path.suffix == ".json":
            also = {} if provenance is None else {"provenance": provenance}
            text = json.dumps({_JSON_KEY: [table.to_list() for table in several], **also}) + "\n"
        elif path.suffix == ".txt":
            grids = ["\n".join(" ".join(f"{step:3d}" for step in row) for row in table.to_list()) for table in several]
            what = "Quantization table" if len(several) == 1 else "Quantization tables"
            text = f"# {what}, natural order; for cjpeg -qtables\n" + "\n\n".join(grids) + "\n"
        else:
            raise ValueError(f"path must end in .json or .txt, got {str(path)!r}")
        atomic.write(path, text.encode())

    @classmethod
    def load(cls, file: Source) -> QTable:
        """Read a file that holds one table; see `load_all` for the formats.

        Raises
        ------
        ValueError
            If the file has another format, or holds several tables.
        """
        tables = cls.load_all(file)
        if len(tables) != 1:
            name = file if isinstance(file, (str, PathLike)) else "file"
            raise ValueError(f"{name}: holds {len(tables)} tables where one is wanted; QTable.load_all reads them all")
        return tables[0]

    @classmethod
    def load_all(cls, file: Source) -> tuple[QTable, ...]:
        """Read every table of a file: JSON as `save` writes it, cjpeg's text, or a JPEG file.

        cjpeg's text is 64 numbers a table, one to four tables, in natural order, with comments from ``#`` to the end
        of the line. A JPEG file gives a table for each component, and only its headers are read. The contents decide
        which of these a file is, not its name.

        Parameters
        ----------
        file : bytes, path or binary file object

        Raises
        ------
        TypeError
            If `file` is none of these.
        FileNotFoundError, OSError
            If it cannot be read.
        ValueError
            If the file has another format, is damaged, or has steps outside of 1..255.
        """
        with opened("file", file) as (name, source):
            try:
                return tuple(cls._read(source))
            except UnicodeDecodeError:
                raise ValueError(f"{name}: neither a JPEG file nor a text file") from None
            except RecursionError:
                raise ValueError(f"{name}: JSON nested too deeply to be a table") from None
            except (TypeError, ValueError) as error:
                raise ValueError(f"{name}: {error}") from None

    @classmethod
    def _read(cls, file: BinaryIO) -> Iterator[QTable]:
        start = file.read(len(START))
        if start == START:
            for component in read_headers(file).components:
                yield cls.from_zigzag(component.steps)
            return
        text = (start + file.read()).decode("utf-8-sig")
        for grid in _parse_json(text) if text.lstrip().startswith("{") else _parse_text(text):
            yield cls(grid)

    # A value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """A new int64 array (8, 8), or one of `dtype`; never a view, since the table does not change."""
        if copy is False:
            raise ValueError("a QTable as an array is always a copy")
        return self.steps.astype(np.int64 if dtype is None else dtype)

    def __getitem__(self, index: tuple[int, int]) -> int:
        return int(self.steps[index])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, QTable):
            return NotImplemented
        return self.entries == other.entries

    def __hash__(self) -> int:
        return hash(self.entries)

    def __repr__(self) -> str:
        rows = (", ".join(f"{step:3d}" for step in row) for row in self.to_list())
        return "QTable([[" + "],\n        [".join(rows) + "]])"

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a QTable is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a QTable is immutable: cannot delete {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.to_list(),))


def _parse_json(text: str) -> list[Any]:
    data = json.loads(text)
    if not isinstance(data.get(_JSON_KEY), list) or not data[_JSON_KEY]:
        raise ValueError(f"JSON without a list of tables under {_JSON_KEY!r}")
    return data[_JSON_KEY]


def _parse_text(text: str) -> list[Any]:
    words = [word for line in text.splitlines() for word in line.partition("#")[0].split()]
    try:
        numbers = [int(word) for word in words]
    except ValueError as error:
        raise ValueError(f"not a table of integers ({error})") from None
    if not 1 <= len(numbers) / 64 <= 4 or len(numbers) % 64:
        raise ValueError(f"holds {len(numbers)} numbers, but a file has 64 numbers a table and one to four tables")
    return list(np.reshape(numbers, (-1, 8, 8)))


@lru_cache(maxsize=1024)  # a transform that draws qualities comes back to the same few
def _scaled(table: QTable, quality: float) -> QTable:
    return QTable(steps_at(table.steps, quality))


def steps_at(steps: npt.NDArray[np.uint16], quality: Any) -> npt.NDArray[np.uint16]:
    """Steps scaled by a quality in 1..100, or by an array of them that broadcasts with `steps`."""
    scale = np.where(np.less(quality, 50), np.floor(np.divide(5000, quality)), 200 - 2 * np.float64(quality))
    return np.clip(np.floor((steps * scale + 50) / 100), 1, 255).astype(np.uint16)


QTableLike = QTable | Sequence[Sequence[int]] | npt.NDArray[Any]
"""What every function that takes one table accepts."""

QTables = QTableLike | Sequence[QTableLike]
"""One table for all components, or one for each: a sequence of tables or an array of shape (components, 8, 8)."""


def as_tables(qtable: QTables, components: int | None = None) -> list[QTable]:
    """One table for all components, or as many as there are components (any number if that is not yet known)."""
    if isinstance(qtable, QTable):
        return [qtable]
    several = np.ndim(qtable) == 3 if isinstance(qtable, np.ndarray) else _is_sequence_of_tables(qtable)
    if not several:
        return [QTable(qtable)]  # type: ignore[arg-type]
    if components is not None and len(qtable) not in (1, components):
        raise ValueError(f"qtable must be one table, or one for each of {components} components, got {len(qtable)}")
    return [table if isinstance(table, QTable) else QTable(table) for table in qtable]  # type: ignore[arg-type]


def tables_for(qtable: QTables, components: int, colorspace: str) -> list[QTable]:
    """`as_tables` for an image: a grey one takes the first of the tables for YCbCr, that of luma."""
    if components == 1 and colorspace == "ycbcr":
        return as_tables(qtable)[:1]
    return as_tables(qtable, components)


def _is_sequence_of_tables(qtable: Any) -> bool:
    return isinstance(qtable, (list, tuple, Sequence)) and any(  # the first two are faster to tell
        isinstance(t, QTable) or getattr(t, "ndim", 0) > 1 or _is_grid(t) for t in qtable
    )


def _is_grid(table: Any) -> bool:
    return isinstance(table, Sequence) and len(table) == 8 and all(isinstance(row, Sequence) for row in table)


NN_TABLE = QTable.nn(4)
"""The default table: the paper's steps 16 / 50, split after the fourth anti-diagonal.

The paper does not print its partition; four diagonals are our choice. These 10 of the 64 bands hold 77% of the AC
energy of the photographs that ``nnjpeg demo`` uses, and 16% (10 / 64) of that of white noise.
"""
