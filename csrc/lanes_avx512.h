/* Lanes for AVX-512 (F, BW, and VNNI where the file is compiled for it): 32 blocks, one 512-bit register a lanes16.
 * Register k of a row is run k below run k + 4: the lanes are blocks 0 and 1 of runs 0..3, blocks 2 and 3 of runs 0..3,
 * and so on for runs 4..7. */
#ifndef NNJPEG_LANES_AVX512_H
#define NNJPEG_LANES_AVX512_H

#include <immintrin.h>
#include <string.h>

#include "inline.h"
#include "isa.h"

enum { NJ_RUNS = 8 };

#define NJ_F32_BLOCKS 2
#define NJ_F32_VECTORS 1

typedef __m512i reg;
typedef __m512 lanes_f32;
#define MM(name) _mm512_##name
#define BITS(name) _mm512_##name##_si512
NJ_INLINE reg broadcast128(__m128i x) { return _mm512_broadcast_i32x4(x); }
NJ_INLINE reg load_apart(const void *p, int apart)
{
    const char *word = p;
    __m512i x = _mm512_castsi128_si512(_mm_loadu_si128((const void *)word));
    x = _mm512_inserti32x4(x, _mm_loadu_si128((const void *)(word + apart)), 1);
    x = _mm512_inserti32x4(x, _mm_loadu_si128((const void *)(word + 2 * apart)), 2);
    return _mm512_inserti32x4(x, _mm_loadu_si128((const void *)(word + 3 * apart)), 3);
}
NJ_INLINE void store_apart(void *p, int apart, reg x)
{
    char *word = p;
    _mm_storeu_si128((void *)word, _mm512_castsi512_si128(x));
    _mm_storeu_si128((void *)(word + apart), _mm512_extracti32x4_epi32(x, 1));
    _mm_storeu_si128((void *)(word + 2 * apart), _mm512_extracti32x4_epi32(x, 2));
    _mm_storeu_si128((void *)(word + 3 * apart), _mm512_extracti32x4_epi32(x, 3));
}
/* Bytes r, r + 3, ... of each 16. */
NJ_INLINE __mmask64 every_third(int r) { return (__mmask64)(r == 0 ? 0x9249u : r == 1 ? 0x2492u : 0x4924u) * 0x0001000100010001u; }
NJ_INLINE reg by_thirds(reg a, reg b, reg c, int q)
{
    return _mm512_mask_blend_epi8(every_third((q + 1) % 3), _mm512_mask_blend_epi8(every_third((q + 2) % 3), a, b), c);
}

#include "lanes_x86.h"
#include "lanes_x86_rows.h"

NJ_INLINE lanes16 load_consecutive(const uint8_t *p) { return _mm512_cvtepu8_epi16(_mm256_loadu_si256((const void *)p)); }
NJ_INLINE void store_consecutive(uint8_t *p, lanes16 x) { _mm256_storeu_si256((void *)p, _mm512_cvtepi16_epi8(x)); }
NJ_INLINE lanes16x2 even_odd(lanes16 a, lanes16 b)
{
    return even_odd_bytes(_mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), _mm512_packus_epi16(a, b)));
}

/* Row i of each block, from and to vectors of one coefficient. */
NJ_INLINE void load_coefficients(const int16_t *const *blocks, int i, lanes16 x[8])
{
    int m;
    for (m = 0; m < 8; m++) {
        const int16_t *const *b = blocks + m / 2 * 4 + m % 2;
        x[m] = _mm512_castsi128_si512(_mm_loadu_si128((const void *)(b[0] + 8 * i)));
        x[m] = _mm512_inserti32x4(x[m], _mm_loadu_si128((const void *)(b[2] + 8 * i)), 1);
        x[m] = _mm512_inserti32x4(x[m], _mm_loadu_si128((const void *)(b[16] + 8 * i)), 2);
        x[m] = _mm512_inserti32x4(x[m], _mm_loadu_si128((const void *)(b[18] + 8 * i)), 3);
    }
    transpose16(x);
}
NJ_INLINE void store_coefficients(int16_t *const *blocks, int i, const lanes16 *row)
{
    lanes16 x[8];
    int m;
    for (m = 0; m < 8; m++)
        x[m] = row[m];
    transpose16(x);
    for (m = 0; m < 8; m++) {
        int16_t *const *b = blocks + m / 2 * 4 + m % 2;
        _mm_storeu_si128((void *)(b[0] + 8 * i), _mm512_castsi512_si128(x[m]));
        _mm_storeu_si128((void *)(b[2] + 8 * i), _mm512_extracti32x4_epi32(x[m], 1));
        _mm_storeu_si128((void *)(b[16] + 8 * i), _mm512_extracti32x4_epi32(x[m], 2));
        _mm_storeu_si128((void *)(b[18] + 8 * i), _mm512_extracti32x4_epi32(x[m], 3));
    }
}
NJ_INLINE int any_negative16(lanes16 x) { return _mm512_movepi16_mask(x) != 0; }

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
/* The upper halves in one instruction. */
NJ_INLINE lanes16 narrow(lanes32 x, int n)
{
    const __m512i odd = _mm512_add_epi32(
        _mm512_broadcast_i32x4(_mm_setr_epi16(1, 3, 5, 7, 33, 35, 37, 39)),
        _mm512_setr_epi32(0, 0, 0, 0, 0x80008, 0x80008, 0x80008, 0x80008, 0x100010, 0x100010, 0x100010, 0x100010, 0x180018,
                          0x180018, 0x180018, 0x180018));
    __m512i high = _mm512_permutex2var_epi16(x.lo, odd, x.hi);
    return n > 16 ? _mm512_srai_epi16(high, (unsigned)(n - 16)) : high;
}

/* Single precision: a register is one row of two blocks. */
NJ_INLINE lanes_f32 round_f32(lanes_f32 x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT); }
NJ_INLINE lanes_f32 keep_f32(lanes_f32 x, lanes_f32 y, float low, float high)
{
    __mmask16 inside = _mm512_cmp_ps_mask(y, set_f32(low), _CMP_GE_OQ);
    return _mm512_maskz_mov_ps(_mm512_mask_cmp_ps_mask(inside, y, set_f32(high), _CMP_LE_OQ), x);
}
NJ_INLINE lanes_f32 load_two_f32(const float *low, const float *high)
{
    const __m256d a = _mm256_castps_pd(_mm256_loadu_ps(low)), b = _mm256_castps_pd(_mm256_loadu_ps(high));
    return _mm512_castpd_ps(_mm512_insertf64x4(_mm512_castpd256_pd512(a), b, 1));
}
NJ_INLINE void store_two_f32(float *low, float *high, lanes_f32 x)
{
    _mm256_storeu_ps(low, _mm512_castps512_ps256(x));
    _mm256_storeu_ps(high, _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1)));
}
NJ_INLINE lanes_f32 load_table_f32(const float *p)
{
    return _mm512_castpd_ps(_mm512_broadcast_f64x4(_mm256_castps_pd(_mm256_loadu_ps(p))));
}
NJ_INLINE void stream_f32(float *p, lanes_f32 x) { _mm512_stream_ps(p, x); }
NJ_INLINE void end_stream(void) { _mm_sfence(); }
/* Each of the two blocks. */
NJ_INLINE void transpose_f32(lanes_f32 x[8][NJ_F32_VECTORS])
{
    const __m512i even = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), odd = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    lanes_f32 quarters[8];
    int k;
    transpose_quarters(x, quarters);
    for (k = 0; k < 4; k++) {
        __m512d low = _mm512_castps_pd(quarters[k]), high = _mm512_castps_pd(quarters[k + 4]);
        x[k][0] = _mm512_castpd_ps(_mm512_permutex2var_pd(low, even, high));
        x[k + 4][0] = _mm512_castpd_ps(_mm512_permutex2var_pd(low, odd, high));
    }
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
