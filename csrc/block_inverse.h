/* The inverse of one block at a time, for lanes that are single numbers: those of isa_generic.c, and those of block_wide.c. */
#ifndef NNJPEG_BLOCK_INVERSE_H
#define NNJPEG_BLOCK_INVERSE_H

NJ_INLINE void nj_inverse_block(const int16_t *coefficients, const nnjpeg_quantizer *quantizer, uint8_t *dst, ptrdiff_t row)
{
    lanes16 w[NNJPEG_BLOCK_SIZE]; /* columns in the order of nj_frequency */
    cells16 p[4];
    uppers16 x[8];
    int i, k;
    for (i = 0; i < 8; i++) {
        for (k = 0; k < 4; k++) {
            const int16_t *column = coefficients + nj_frequency(i);
            p[k] = nj_dequantize(pair16(column[8 * nj_frequency(2 * k)], column[8 * nj_frequency(2 * k + 1)]), &quantizer->steps[i][k]);
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

#endif
