/* The inverse of one block whose coefficients are too large for 16 bits: the same arithmetic in lanes of 64 bits. */
#include "lanes_scalar.h"

#include "block.h"
#include "block_inverse.h"
#include "block_wide.h"

void nj_inverse_wide(const int16_t *coefficients, const nnjpeg_quantizer *quantizer, uint8_t *dst, ptrdiff_t row)
{
    nj_inverse_block(coefficients, quantizer, dst, row);
}
