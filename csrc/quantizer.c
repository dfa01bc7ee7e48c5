/* Quantization tables made ready for nj_quantize. */
#include "lanes_scalar.h"

#include "block_f32.h"

/* Division of n < 2^15 by d = 8q as (n * m) >> (16 + k), with m = ceil(2^(16+k) / d) and k chosen so that m has exactly
 * 16 bits. m exceeds 2^(16+k) / d by e / d with e < d <= 2^(k+1); the product is off by n e / d < 2^(16+k) / d, less
 * than what would reach the next multiple: the quotient is exact. (Granlund and Montgomery, PLDI 1994.) The shift by k,
 * which is at least 2, is done as the upper half of a product with 2^(16-k). */
static nnjpeg_step prepare(uint16_t q)
{
    const uint32_t divisor = 8u * q;
    uint16_t step = (uint16_t)(16 * q), bias = (uint16_t)(4 * q), reciprocal, scale;
    uint32_t k = 0;
    while ((2u << k) < divisor)
        k++;
    reciprocal = (uint16_t)(((65536u << k) + divisor - 1) / divisor);
    scale = (uint16_t)(65536u >> k);
    return (nnjpeg_step){ { step, step }, { bias, bias }, { reciprocal, reciprocal }, { scale, scale } };
}

nnjpeg_status nnjpeg_quantizer_init(nnjpeg_quantizer *quantizer, const uint16_t *steps)
{
    int i, transposed;
    if (!quantizer || !steps)
        return NNJPEG_BAD_POINTER;
    for (i = 0; i < NNJPEG_BLOCK_SIZE; i++) {
        uint16_t q = steps[i];
        if (q < 1 || q > 255)
            return NNJPEG_BAD_STEP;
        quantizer->steps[i] = prepare(q);
        quantizer->limits[i][0] = quantizer->limits[i][1] = (uint16_t)((i < NNJPEG_BLOCK ? NJ_MOST_IN_FIRST_ROW : NJ_MOST) / q);
        transposed = i % NNJPEG_BLOCK * NNJPEG_BLOCK + i / NNJPEG_BLOCK;
        quantizer->steps_f32[transposed] = (float)q;
        quantizer->reciprocals_f32[transposed] = NJ_TIE / (float)q;
    }
    return NNJPEG_OK;
}
