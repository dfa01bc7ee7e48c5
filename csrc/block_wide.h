/* The inverse of one block, for coefficients of any size. */
#ifndef NNJPEG_BLOCK_WIDE_H
#define NNJPEG_BLOCK_WIDE_H

#include "nnjpeg.h"

void nj_inverse_wide(const int16_t *coefficients, const nnjpeg_quantizer *quantizer, uint8_t *dst, ptrdiff_t row);

#endif
