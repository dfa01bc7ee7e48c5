/* Quantization tables made ready for nj_quantize. */
#include "lanes_scalar.h"

#include "block_f32.h"

/* c / d, d = 8q, as t = (c * m) >> 16 and then (t + 2^(k-1)) >> k, which is the rounding product with 2^(15-k). k is such that
 * 2^14 <= 2^(16+k) / d < 2^15, and m = floor(2^(16+k) / d) + 1. The product thus exceeds 2^k c / d by at most |c| / 2^16 in
 * magnitude, less than 1/4 for |c| < 2^14. Where c / d is half way between two integers, 2^k c / d is a whole number: above
 * zero t is this number, and what follows rounds up; below zero it is one less, and what follows rounds down. Any other
 * quotient is at least 1 / d from half way, in t at least 2^k / d >= 1/4, which the excess does not reach.
 *
 * Where there is no rounding product, (2t + 2^k) 2^(15-k) >> 16 is the same: 1 <= k <= 9, and |t| < 2^13. */
static void prepare(nnjpeg_step *s, int half, uint16_t q)
{
    const uint32_t divisor = 8u * q;
    uint32_t k = 0;
    while ((4u << k) < divisor)
        k++;
    s->scaled_step[half] = (uint16_t)(16 * q);
    s->bias[half] = (uint16_t)(1u << k);
    s->reciprocal[half] = (uint16_t)((65536u << k) / divisor + 1);
    s->scale[half] = (uint16_t)(32768u >> k);
}

nnjpeg_status nnjpeg_quantizer_init(nnjpeg_quantizer *quantizer, const uint16_t *steps)
{
    int i, k, transposed;
    if (!quantizer || !steps)
        return NNJPEG_BAD_POINTER;
    for (i = 0; i < NNJPEG_BLOCK_SIZE; i++) {
        uint16_t q = steps[i];
        if (q < 1 || q > 255)
            return NNJPEG_BAD_STEP;
        quantizer->limits[i] = (uint16_t)((i < NNJPEG_BLOCK ? NJ_MOST_IN_FIRST_ROW : NJ_MOST) / q);
        transposed = i % NNJPEG_BLOCK * NNJPEG_BLOCK + i / NNJPEG_BLOCK;
        quantizer->steps_f32[transposed] = (float)q;
        quantizer->reciprocals_f32[transposed] = NJ_TIE / (float)q;
    }
    for (i = 0; i < NNJPEG_BLOCK; i++)
        for (k = 0; k < NNJPEG_BLOCK; k++)
            prepare(&quantizer->steps[i][k / 2], k % 2, steps[NNJPEG_BLOCK * nj_frequency(k) + nj_frequency(i)]);
    return NNJPEG_OK;
}
