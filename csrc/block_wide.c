/* The inverse of one block whose coefficients are too large for 16 bits: the same arithmetic in lanes of 64 bits. */
#include "lanes_scalar.h"

#include "block.h"
#include "block_wide.h"

void nj_inverse_wide(const int16_t *coefficients, const nnjpeg_quantizer *quantizer, uint8_t *dst, ptrdiff_t row)
{
    lanes16 w[NNJPEG_BLOCK_SIZE]; /* columns in the order of nj_frequency */
    cells16 p[4];
    uppers16 x[8];
    int i, k;
    for (i = 0; i < 8; i++) {
        for (k = 0; k < 4; k++) {
            const int16_t *column = coefficients + nj_frequency(i);
            const cells16 two = pair16(column[8 * nj_frequency(2 * k)], column[8 * nj_frequency(2 * k + 1)]);
            p[k] = nj_dequantize(two, &quantizer->steps[i][k]);
        }
        nj_idct_column(p, x);
        for (k = 0; k < 8; k++)
            w[8 * k + i] = x[k];
    }
    for (i = 0; i < 8; i++) {
        for (k = 0; k < 4; k++)
            p[k] = pair16(w[8 * i + 2 * k], w[8 * i + 2 * k + 1]);
        nj_idct_row(p, x);
        for (k = 0; k < 8; k++)
            dst[i * row + k] = (uint8_t)clamp16(sra16(x[k], NJ_SAMPLE_BITS));
    }
}
