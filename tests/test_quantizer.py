"""The quantizer, proven by trying everything."""

import numpy as np
import pytest

from nnjpeg import _core, reference

# |c| <= 8192 after the forward DCT: eight times 8 * 128, the DC coefficient of a block of 0s. Twice that, to be safe:
# all that nnjpeg_quantize promises.
COEFFICIENTS = np.arange(-16383, 16384, dtype=np.int16)


def test_every_step_with_every_coefficient(isa):
    quantized = np.empty_like(COEFFICIENTS)
    for step in range(1, 256):
        _core.quantize(COEFFICIENTS, quantized, step)
        np.testing.assert_array_equal(quantized, reference.quantize(COEFFICIENTS.astype(np.int64), np.int64(step)))


def test_no_block_exceeds_the_range_that_was_tried():
    """The largest |c| of each band is reached by the block of extremes with the signs of its basis function."""
    n, k = np.arange(8)[:, None], np.arange(8)
    basis = np.cos((2 * n + 1) * k * np.pi / 16)
    signs = np.sign(np.einsum("ni,mj->ijnm", basis, basis))
    for low, high in ((-128, 127), (127, -128)):
        blocks = np.where(signs < 0, low, high)
        largest = np.abs(reference.fdct(blocks))
        assert largest.max() <= 8192
    assert np.abs(reference.fdct(np.full((8, 8), -128))).max() == 8192


def test_ties_round_away_from_zero():
    coefficients = np.array([-12, -4, 4, 12, 11, -11], np.int16)
    quantized = np.empty_like(coefficients)
    _core.quantize(coefficients, quantized, 1)
    assert quantized.tolist() == [-2, -1, 1, 2, 1, -1]


@pytest.mark.parametrize("step", [0, 256])
def test_the_core_refuses_steps_out_of_range(step):
    with pytest.raises(ValueError, match=r"1\.\.255"):
        _core.quantize(COEFFICIENTS, np.empty_like(COEFFICIENTS), step)
    with pytest.raises(ValueError, match=r"1\.\.255"):
        _core.Quantizers(np.full((1, 1, 64), step, np.uint16))
