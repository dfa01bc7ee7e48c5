/* What AVX2 and AVX-512 share of the way from bytes to cells, and of single precision. Included by lanes_avx2.h and
 * lanes_avx512.h, which define, beside what lanes_x86.h wants, the register `lanes_f32`, AS_F32 and AS_INT, which take a register
 * for the other kind, and broadcast128(x).
 *
 * Cells of 32 bits: 8 blocks in a register of AVX2, 16 in one of AVX-512. */
#ifndef NNJPEG_LANES_X86_WIDE_H
#define NNJPEG_LANES_X86_WIDE_H

#include "lanes_interleaved.h"

NJ_INLINE reg bytes128(const int8_t bytes[16]) { return broadcast128(_mm_loadu_si128((const __m128i *)bytes)); }

/* Four bytes of a row of each block: those of columns 0 7 1 6, and of 3 4 2 5. */
typedef struct row_bytes {
    reg a, b;
} row_bytes;

/* What nj_mirror makes of samples: 32 times their sums and their differences. */
NJ_INLINE void mirror_bytes(row_bytes row, cells16 s[2], cells16 d[2])
{
    const reg sum = MM(set1_epi16)(0x2020), difference = MM(set1_epi16)((short)0xe020);
    s[0] = MM(maddubs_epi16)(row.a, sum);
    s[1] = MM(maddubs_epi16)(row.b, sum);
    d[0] = MM(maddubs_epi16)(row.a, difference);
    d[1] = MM(maddubs_epi16)(row.b, difference);
}
NJ_INLINE void split_bytes(row_bytes row, cells16 x[4])
{
    x[0] = BITS(and)(row.a, MM(set1_epi16)(0xff));
    x[1] = MM(srli_epi16)(row.a, 8);
    x[2] = BITS(and)(row.b, MM(set1_epi16)(0xff));
    x[3] = MM(srli_epi16)(row.b, 8);
}

/* Of a plane: x[r] has, in each 128 bits, words of 8 bytes of two blocks. */
NJ_INLINE row_bytes sort_plane(const reg x[2])
{
    static const int8_t order[16] = { 0, 7, 1, 6, 3, 4, 2, 5, 8, 15, 9, 14, 11, 12, 10, 13 };
    const lanes_f32 r0 = AS_F32(MM(shuffle_epi8)(x[0], bytes128(order))), r1 = AS_F32(MM(shuffle_epi8)(x[1], bytes128(order)));
    const row_bytes row = { AS_INT(MM(shuffle_ps)(r0, r1, 0x88)), AS_INT(MM(shuffle_ps)(r0, r1, 0xdd)) };
    return row;
}

/* Words of 32 bits, four by four, within each 128 bits. */
NJ_INLINE void transpose_cells(const reg x[4], reg y[4])
{
    const reg a = MM(unpacklo_epi32)(x[0], x[1]), b = MM(unpackhi_epi32)(x[0], x[1]);
    const reg c = MM(unpacklo_epi32)(x[2], x[3]), d = MM(unpackhi_epi32)(x[2], x[3]);
    y[0] = MM(unpacklo_epi64)(a, c);
    y[1] = MM(unpackhi_epi64)(a, c);
    y[2] = MM(unpacklo_epi64)(b, d);
    y[3] = MM(unpackhi_epi64)(b, d);
}

/* Of pixels of `size` bytes: outer[r] has, in each 128 bits, the first and the last word of a block's row, inner[r] the 16 bytes
 * in the middle. Together they have all bytes that columns 0 7 1 6, and 3 4 2 5, take. */
NJ_INLINE void sort_pixels(const reg outer[4], const reg inner[4], int size, row_bytes columns[3])
{
    static const int8_t order[8] = { 0, 7, 1, 6, 3, 4, 2, 5 };
    int8_t from_outer[16], from_inner[16];
    reg x[4], a[4], b[4];
    int c, k;
    for (c = 0; c < 4; c++)
        for (k = 0; k < 4; k++) {
            const int n = size * order[k] + c, m = size * order[4 + k] + c;
            from_outer[4 * c + k] = (int8_t)(c == 3 ? -1 : n < 8 ? n : n - (8 * size - 16));
            from_inner[4 * c + k] = (int8_t)(c == 3 ? -1 : m - (4 * size - 8));
        }
    for (k = 0; k < 4; k++)
        x[k] = MM(shuffle_epi8)(outer[k], bytes128(from_outer));
    transpose_cells(x, a);
    for (k = 0; k < 4; k++)
        x[k] = MM(shuffle_epi8)(inner[k], bytes128(from_inner));
    transpose_cells(x, b);
    for (c = 0; c < 3; c++) {
        columns[c].a = a[c];
        columns[c].b = b[c];
    }
}

/* The way back from cells of neighbours to words of 8 bytes, clamping to 0..255: y[r] has, in each 128 bits, blocks 2r and
 * 2r + 1 of the four there. */
NJ_INLINE void join(const cells16 x[4], reg y[2])
{
    const reg p = MM(packus_epi16)(x[0], x[2]), q = MM(packus_epi16)(x[1], x[3]);
    const reg lo = MM(unpacklo_epi16)(p, q), hi = MM(unpackhi_epi16)(p, q);
    y[0] = MM(unpacklo_epi32)(lo, hi);
    y[1] = MM(unpackhi_epi32)(lo, hi);
}

/* What they share of single precision, and of its transposition: `quarters` has, in each 128 bits, columns of four rows. */
NJ_INLINE lanes_f32 set_f32(float c) { return MM(set1_ps)(c); }
NJ_INLINE lanes_f32 add_f32(lanes_f32 a, lanes_f32 b) { return MM(add_ps)(a, b); }
NJ_INLINE lanes_f32 sub_f32(lanes_f32 a, lanes_f32 b) { return MM(sub_ps)(a, b); }
NJ_INLINE lanes_f32 mul_f32(lanes_f32 a, lanes_f32 b) { return MM(mul_ps)(a, b); }
NJ_INLINE lanes_f32 madd_f32(lanes_f32 a, lanes_f32 b, lanes_f32 c) { return MM(fmadd_ps)(a, b, c); }
/* Of a NaN and a number, these instructions return their second operand. */
NJ_INLINE lanes_f32 clamp_f32(lanes_f32 x, float low, float high)
{
    return MM(min_ps)(set_f32(high), MM(max_ps)(set_f32(low), x));
}
NJ_INLINE lanes_f32 load_f32(const float *p) { return MM(loadu_ps)(p); }
NJ_INLINE void store_f32(float *p, lanes_f32 x) { MM(storeu_ps)(p, x); }
NJ_INLINE void transpose_quarters(lanes_f32 x[8][NJ_F32_VECTORS], lanes_f32 quarters[8])
{
    lanes_f32 pairs[8];
    int k;
    for (k = 0; k < 4; k++) {
        pairs[2 * k] = MM(unpacklo_ps)(x[2 * k][0], x[2 * k + 1][0]);
        pairs[2 * k + 1] = MM(unpackhi_ps)(x[2 * k][0], x[2 * k + 1][0]);
    }
    for (k = 0; k < 8; k += 4) {
        quarters[k] = MM(shuffle_ps)(pairs[k], pairs[k + 2], 0x44);
        quarters[k + 1] = MM(shuffle_ps)(pairs[k], pairs[k + 2], 0xee);
        quarters[k + 2] = MM(shuffle_ps)(pairs[k + 1], pairs[k + 3], 0x44);
        quarters[k + 3] = MM(shuffle_ps)(pairs[k + 1], pairs[k + 3], 0xee);
    }
}

#endif
