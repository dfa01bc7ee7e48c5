/* Lanes for AVX-512 (F, BW, and VNNI where the file is compiled for it): 32 blocks, one 512-bit register a lanes16.
 *
 * As lanes_avx2.h with registers twice as wide: register k of a `row4` holds run k below run k + 4, and no step crosses
 * from one to the other but the sorting of interleaved pixels. */
#ifndef NNJPEG_LANES_AVX512_H
#define NNJPEG_LANES_AVX512_H

#include <immintrin.h>
#include <string.h>

#include "inline.h"
#include "strip.h"

enum { NJ_RUNS = 8 };

typedef __m512i lanes16;
typedef struct lanes32 {
    __m512i lo, hi;
} lanes32;
typedef struct pairs16 {
    __m512i lo, hi;
} pairs16;

NJ_INLINE lanes16 set16(int c) { return _mm512_set1_epi16((short)c); }
NJ_INLINE lanes16 spread16(const uint16_t p[2])
{
    int both;
    memcpy(&both, p, sizeof both);
    return _mm512_set1_epi32(both);
}
NJ_INLINE lanes16 add16(lanes16 a, lanes16 b) { return _mm512_add_epi16(a, b); }
NJ_INLINE lanes16 sub16(lanes16 a, lanes16 b) { return _mm512_sub_epi16(a, b); }
NJ_INLINE lanes16 mul16(lanes16 a, lanes16 b) { return _mm512_mullo_epi16(a, b); }
NJ_INLINE lanes16 shl16(lanes16 x, int n) { return _mm512_slli_epi16(x, (unsigned)n); }
NJ_INLINE lanes16 sra16(lanes16 x, int n) { return _mm512_srai_epi16(x, (unsigned)n); }
NJ_INLINE lanes16 abs16(lanes16 x) { return _mm512_abs_epi16(x); }
NJ_INLINE lanes16 negate16_where_negative(lanes16 x, lanes16 sign)
{
    return _mm512_mask_sub_epi16(x, _mm512_movepi16_mask(sign), _mm512_setzero_si512(), x);
}
NJ_INLINE lanes16 mulhi_u16(lanes16 a, lanes16 b) { return _mm512_mulhi_epu16(a, b); }
NJ_INLINE lanes16 mulhi_s16(lanes16 a, lanes16 b) { return _mm512_mulhi_epi16(a, b); }
NJ_INLINE lanes16 clamp16(lanes16 x)
{
    return _mm512_min_epi16(_mm512_max_epi16(x, _mm512_setzero_si512()), _mm512_set1_epi16(255));
}
NJ_INLINE pairs16 pair16(lanes16 a, lanes16 b)
{
    pairs16 p = { _mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b) };
    return p;
}
NJ_INLINE lanes32 set32(int c)
{
    lanes32 x = { _mm512_set1_epi32(c), _mm512_set1_epi32(c) };
    return x;
}
NJ_INLINE lanes32 add32(lanes32 a, lanes32 b)
{
    lanes32 x = { _mm512_add_epi32(a.lo, b.lo), _mm512_add_epi32(a.hi, b.hi) };
    return x;
}
NJ_INLINE lanes32 sub32(lanes32 a, lanes32 b)
{
    lanes32 x = { _mm512_sub_epi32(a.lo, b.lo), _mm512_sub_epi32(a.hi, b.hi) };
    return x;
}
NJ_INLINE __m512i constants(int ca, int cb) { return _mm512_set1_epi32((int)((uint32_t)cb << 16 | (uint16_t)ca)); }
NJ_INLINE lanes32 dot2(pairs16 p, int ca, int cb)
{
    lanes32 x = { _mm512_madd_epi16(p.lo, constants(ca, cb)), _mm512_madd_epi16(p.hi, constants(ca, cb)) };
    return x;
}
NJ_INLINE lanes32 dot2_add(lanes32 sum, pairs16 p, int ca, int cb)
{
#if defined(__AVX512VNNI__)
    lanes32 x = { _mm512_dpwssd_epi32(sum.lo, p.lo, constants(ca, cb)),
                  _mm512_dpwssd_epi32(sum.hi, p.hi, constants(ca, cb)) };
    return x;
#else
    return add32(sum, dot2(p, ca, cb));
#endif
}
NJ_INLINE lanes16 narrow(lanes32 x, int n)
{
    return _mm512_packs_epi32(_mm512_srai_epi32(x.lo, (unsigned)n), _mm512_srai_epi32(x.hi, (unsigned)n));
}

typedef struct row4 {
    __m512i run[4];
} row4;

/* Bytes j of all blocks, as x[j]. */
NJ_INLINE void split(row4 row, lanes16 x[8])
{
    const __m512i both = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15));
    const __m512i zero = _mm512_setzero_si512();
    __m512i r0 = _mm512_shuffle_epi8(row.run[0], both), r1 = _mm512_shuffle_epi8(row.run[1], both);
    __m512i r2 = _mm512_shuffle_epi8(row.run[2], both), r3 = _mm512_shuffle_epi8(row.run[3], both);
    __m512i a0 = _mm512_unpacklo_epi16(r0, r1), a1 = _mm512_unpackhi_epi16(r0, r1);
    __m512i b0 = _mm512_unpacklo_epi16(r2, r3), b1 = _mm512_unpackhi_epi16(r2, r3);
    __m512i c01 = _mm512_unpacklo_epi32(a0, b0), c23 = _mm512_unpackhi_epi32(a0, b0);
    __m512i c45 = _mm512_unpacklo_epi32(a1, b1), c67 = _mm512_unpackhi_epi32(a1, b1);
    x[0] = _mm512_unpacklo_epi8(c01, zero);
    x[1] = _mm512_unpackhi_epi8(c01, zero);
    x[2] = _mm512_unpacklo_epi8(c23, zero);
    x[3] = _mm512_unpackhi_epi8(c23, zero);
    x[4] = _mm512_unpacklo_epi8(c45, zero);
    x[5] = _mm512_unpackhi_epi8(c45, zero);
    x[6] = _mm512_unpacklo_epi8(c67, zero);
    x[7] = _mm512_unpackhi_epi8(c67, zero);
}

/* The way back, clamping to 0..255. */
NJ_INLINE row4 join(const lanes16 x[8])
{
    row4 row;
    __m512i c04 = _mm512_packus_epi16(x[0], x[4]), c15 = _mm512_packus_epi16(x[1], x[5]);
    __m512i c26 = _mm512_packus_epi16(x[2], x[6]), c37 = _mm512_packus_epi16(x[3], x[7]);
    __m512i c01 = _mm512_unpacklo_epi8(c04, c15), c45 = _mm512_unpackhi_epi8(c04, c15);
    __m512i c23 = _mm512_unpacklo_epi8(c26, c37), c67 = _mm512_unpackhi_epi8(c26, c37);
    __m512i a0 = _mm512_unpacklo_epi16(c01, c23), a1 = _mm512_unpackhi_epi16(c01, c23);
    __m512i b0 = _mm512_unpacklo_epi16(c45, c67), b1 = _mm512_unpackhi_epi16(c45, c67);
    row.run[0] = _mm512_unpacklo_epi32(a0, b0);
    row.run[1] = _mm512_unpackhi_epi32(a0, b0);
    row.run[2] = _mm512_unpacklo_epi32(a1, b1);
    row.run[3] = _mm512_unpackhi_epi32(a1, b1);
    return row;
}

NJ_INLINE __m512i load_halves(const uint8_t *low, const uint8_t *high)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)low)),
                              _mm256_loadu_si256((const __m256i *)high), 1);
}

NJ_INLINE void store_halves(uint8_t *low, uint8_t *high, __m512i x)
{
    _mm256_storeu_si256((__m256i *)low, _mm512_castsi512_si256(x));
    _mm256_storeu_si256((__m256i *)high, _mm512_extracti64x4_epi64(x, 1));
}

NJ_INLINE row4 load_plane(const nj_run *runs, int i, int component)
{
    row4 row;
    int k;
    for (k = 0; k < 4; k++)
        row.run[k] = load_halves(runs[k].src + i * runs[k].src_row + component * runs[k].src_component,
                                 runs[k + 4].src + i * runs[k + 4].src_row + component * runs[k + 4].src_component);
    return row;
}

NJ_INLINE void store_plane(const nj_run *runs, int i, int component, row4 row)
{
    int k;
    for (k = 0; k < 4; k++)
        store_halves(runs[k].dst + i * runs[k].dst_row + component * runs[k].dst_component,
                     runs[k + 4].dst + i * runs[k + 4].dst_row + component * runs[k + 4].dst_component, row.run[k]);
}

/* Interleaved pixels, as in lanes_avx2.h: rows[k] gets words k of all blocks. A run's 12 words stand in the halves of
 * three registers, 4 in each; word n is n % 4 of register n / 4, and 8 + n % 4 is out of the third. */
NJ_INLINE void load_interleaved(const nj_run *runs, int i, row4 rows[3])
{
    /* From registers 0 and 1: indices 0..3 and 4..7 are the halves of 0, 8..11 and 12..15 those of 1. */
    const __m512i first0 = _mm512_setr_epi64(0, 3, 10, 0, 4, 7, 14, 0);
    const __m512i first1 = _mm512_setr_epi64(1, 8, 11, 0, 5, 12, 15, 0);
    const __m512i first2 = _mm512_setr_epi64(2, 9, 0, 0, 6, 13, 0, 0);
    /* Then from that and register 2. */
    const __m512i last0 = _mm512_setr_epi64(0, 1, 2, 9, 4, 5, 6, 13);
    const __m512i last1 = _mm512_setr_epi64(0, 1, 2, 10, 4, 5, 6, 14);
    const __m512i last2 = _mm512_setr_epi64(0, 1, 8, 11, 4, 5, 12, 15);
    int r;
    for (r = 0; r < 4; r++) {
        const uint8_t *low = runs[r].src + i * runs[r].src_row, *high = runs[r + 4].src + i * runs[r + 4].src_row;
        __m512i w0 = load_halves(low, high), w1 = load_halves(low + 32, high + 32),
                w2 = load_halves(low + 64, high + 64);
        rows[0].run[r] = _mm512_permutex2var_epi64(_mm512_permutex2var_epi64(w0, first0, w1), last0, w2);
        rows[1].run[r] = _mm512_permutex2var_epi64(_mm512_permutex2var_epi64(w0, first1, w1), last1, w2);
        rows[2].run[r] = _mm512_permutex2var_epi64(_mm512_permutex2var_epi64(w0, first2, w1), last2, w2);
    }
}

NJ_INLINE void store_interleaved(const nj_run *runs, int i, const row4 rows[3])
{
    /* Memory holds words 0 of the three rows, then words 1, and so on. */
    const __m512i first0 = _mm512_setr_epi64(0, 8, 0, 1, 4, 12, 0, 5), last0 = _mm512_setr_epi64(0, 1, 8, 3, 4, 5, 12, 7);
    const __m512i first1 = _mm512_setr_epi64(9, 0, 2, 10, 13, 0, 6, 14), last1 = _mm512_setr_epi64(0, 9, 2, 3, 4, 13, 6, 7);
    const __m512i first2 = _mm512_setr_epi64(0, 3, 11, 0, 0, 7, 15, 0), last2 = _mm512_setr_epi64(10, 1, 2, 11, 14, 5, 6, 15);
    int r;
    for (r = 0; r < 4; r++) {
        uint8_t *low = runs[r].dst + i * runs[r].dst_row, *high = runs[r + 4].dst + i * runs[r + 4].dst_row;
        __m512i w0 = rows[0].run[r], w1 = rows[1].run[r], w2 = rows[2].run[r];
        store_halves(low, high, _mm512_permutex2var_epi64(_mm512_permutex2var_epi64(w0, first0, w1), last0, w2));
        store_halves(low + 32, high + 32,
                     _mm512_permutex2var_epi64(_mm512_permutex2var_epi64(w0, first1, w1), last1, w2));
        store_halves(low + 64, high + 64,
                     _mm512_permutex2var_epi64(_mm512_permutex2var_epi64(w0, first2, w1), last2, w2));
    }
}

/* Pixels of four bytes, as in lanes_avx2.h, within the halves. */
NJ_INLINE void transpose_words(const __m512i from[4], __m512i to[4])
{
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const __m512i high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    __m512i a = _mm512_unpacklo_epi64(from[0], from[1]), b = _mm512_unpackhi_epi64(from[0], from[1]);
    __m512i c = _mm512_unpacklo_epi64(from[2], from[3]), d = _mm512_unpackhi_epi64(from[2], from[3]);
    to[0] = _mm512_permutex2var_epi64(a, low, c);
    to[1] = _mm512_permutex2var_epi64(b, low, d);
    to[2] = _mm512_permutex2var_epi64(a, high, c);
    to[3] = _mm512_permutex2var_epi64(b, high, d);
}

NJ_INLINE void load_padded(const nj_run *runs, int i, row4 rows[4])
{
    int k, r;
    for (r = 0; r < 4; r++) {
        const uint8_t *low = runs[r].src + i * runs[r].src_row, *high = runs[r + 4].src + i * runs[r + 4].src_row;
        __m512i blocks[4], words[4];
        for (k = 0; k < 4; k++)
            blocks[k] = load_halves(low + 32 * k, high + 32 * k);
        transpose_words(blocks, words);
        for (k = 0; k < 4; k++)
            rows[k].run[r] = words[k];
    }
}

NJ_INLINE void store_padded(const nj_run *runs, int i, const row4 rows[4])
{
    int k, r;
    for (r = 0; r < 4; r++) {
        uint8_t *low = runs[r].dst + i * runs[r].dst_row, *high = runs[r + 4].dst + i * runs[r + 4].dst_row;
        __m512i blocks[4], words[4];
        for (k = 0; k < 4; k++)
            words[k] = rows[k].run[r];
        transpose_words(words, blocks);
        for (k = 0; k < 4; k++)
            store_halves(low + 32 * k, high + 32 * k, blocks[k]);
    }
}

#endif
