/* The inverse of one block whose coefficients are too large for 16 bits: the same arithmetic in lanes of 64 bits. */
#include "lanes_scalar.h"

#include "block.h"
#include "block_wide.h"

void nj_inverse_wide(const int16_t *coefficients, const nnjpeg_quantizer *quantizer, uint8_t *dst, ptrdiff_t row)
{
    lanes16 w[NNJPEG_BLOCK_SIZE];
    int i, j;
    for (j = 0; j < 8; j++) {
        lanes16 x[8];
        for (i = 0; i < 8; i++)
            x[i] = nj_dequantize(coefficients[8 * i + j], &quantizer->steps[8 * i + j]);
        nj_idct_column(x);
        for (i = 0; i < 8; i++)
            w[8 * i + j] = x[i];
    }
    for (i = 0; i < 8; i++) {
        nj_idct_row(&w[8 * i]);
        for (j = 0; j < 8; j++)
            dst[i * row + j] = (uint8_t)clamp16(w[8 * i + j]);
    }
}
