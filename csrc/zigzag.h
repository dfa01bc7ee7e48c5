/* The order of coefficients in a file (ITU-T T.81, figure A.6). */
#ifndef NNJPEG_ZIGZAG_H
#define NNJPEG_ZIGZAG_H

#include "inline.h"
#include "nnjpeg.h"

/* Where each lies in a block. */
static const uint8_t nj_natural_of_zigzag[NNJPEG_BLOCK_SIZE] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63
};

/* In zigzag order, bits of a row's columns that are not 0: 2^8 entries for each row. */
#define NJ_BIT(n) (UINT64_C(1) << (n))
#define NJ_ONE(x, a) (x), (x) | NJ_BIT(a)
#define NJ_TWO(x, a, b) NJ_ONE(x, a), NJ_ONE((x) | NJ_BIT(b), a)
#define NJ_THREE(x, a, b, c) NJ_TWO(x, a, b), NJ_TWO((x) | NJ_BIT(c), a, b)
#define NJ_FOUR(x, a, b, c, d) NJ_THREE(x, a, b, c), NJ_THREE((x) | NJ_BIT(d), a, b, c)
#define NJ_FIVE(x, a, b, c, d, e) NJ_FOUR(x, a, b, c, d), NJ_FOUR((x) | NJ_BIT(e), a, b, c, d)
#define NJ_SIX(x, a, b, c, d, e, f) NJ_FIVE(x, a, b, c, d, e), NJ_FIVE((x) | NJ_BIT(f), a, b, c, d, e)
#define NJ_SEVEN(x, a, b, c, d, e, f, g) NJ_SIX(x, a, b, c, d, e, f), NJ_SIX((x) | NJ_BIT(g), a, b, c, d, e, f)
#define NJ_ROW(a, b, c, d, e, f, g, h) { NJ_SEVEN(UINT64_C(0), a, b, c, d, e, f, g), NJ_SEVEN(NJ_BIT(h), a, b, c, d, e, f, g) }

static const uint64_t nj_zigzag_bits[NNJPEG_BLOCK][1 << NNJPEG_BLOCK] = {
    NJ_ROW(0, 1, 5, 6, 14, 15, 27, 28),     NJ_ROW(2, 4, 7, 13, 16, 26, 29, 42),    NJ_ROW(3, 8, 12, 17, 25, 30, 41, 43),
    NJ_ROW(9, 11, 18, 24, 31, 40, 44, 53),  NJ_ROW(10, 19, 23, 32, 39, 45, 52, 54), NJ_ROW(20, 22, 33, 38, 46, 51, 55, 60),
    NJ_ROW(21, 34, 37, 47, 50, 56, 59, 61), NJ_ROW(35, 36, 48, 49, 57, 58, 62, 63)
};

/* The flags of a block, 0 or 1 each, as bits in zigzag order. */
NJ_INLINE uint64_t nj_in_zigzag(const uint8_t flags[NNJPEG_BLOCK_SIZE])
{
    uint64_t found = 0;
    int i;
    for (i = 0; i < NNJPEG_BLOCK; i++) {
        const uint8_t *f = flags + i * NNJPEG_BLOCK;
        const uint64_t row = f[0] | (uint64_t)f[1] << 8 | (uint64_t)f[2] << 16 | (uint64_t)f[3] << 24 | (uint64_t)f[4] << 32 |
                             (uint64_t)f[5] << 40 | (uint64_t)f[6] << 48 | (uint64_t)f[7] << 56;
        found |= nj_zigzag_bits[i][row * 0x0102040810204080u >> 56];
    }
    return found;
}

NJ_INLINE int nj_lowest_bit(uint64_t x)
{
#if defined(__GNUC__)
    return __builtin_ctzll(x);
#else
    int bit = 0;
    for (; !(x & 1); x >>= 1)
        bit++;
    return bit;
#endif
}

#endif
