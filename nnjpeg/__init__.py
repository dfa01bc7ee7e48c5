"""JPEG compression and decompression with libjpeg-turbo's bits, without a file, with any quantization table.

This package and all it imports here need NumPy and Pillow alone; `nnjpeg.transforms` and `nnjpeg.ops` need torch.
Read `codec` first (arrays), then `qtable` and `files`; `transforms` and `ops` are the same for torch. The folders:
`compat` (the JPEG of other libraries), `robust` (the paper's method), `paper` (its experiments), `cli` (the commands).
"""

from importlib.metadata import version as _version

try:
    from nnjpeg import _core as _core
except ImportError as error:
    raise ImportError(
        "nnjpeg's compiled core is missing. In a source tree, install the package (pip install .) and leave the "
        "folder, or build in place (python setup.py build_ext --inplace)."
    ) from error

from nnjpeg._config import show_config
from nnjpeg.codec import dct, forward, idct, inverse, roundtrip
from nnjpeg.files import coded_size, decode, encode
from nnjpeg.qtable import NN_TABLE, QTable
from nnjpeg.settings import settings_of

__all__ = [
    "NN_TABLE", "QTable", "coded_size", "dct", "decode", "encode", "forward", "idct", "inverse", "roundtrip",
    "settings_of", "show_config",
]  # fmt: skip

__version__ = _version("nnjpeg")
