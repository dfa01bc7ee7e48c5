/* Lanes for AVX-512 (F, BW, and VNNI where the file is compiled for it): a cell for each of the 16 blocks of four runs, in one
 * 512-bit register. Cells of planes, by 128 bits: blocks 0 and 1 of runs 0 and 2, blocks 2 and 3 of these, and the same of runs 1
 * and 3. Of pixels: blocks 0 of runs 0..3, blocks 1, and so on. */
#ifndef NNJPEG_LANES_AVX512_H
#define NNJPEG_LANES_AVX512_H

#include <immintrin.h>
#include <string.h>

#include "inline.h"
#include "isa.h"

enum { NJ_RUNS = 4 };

#define NJ_F32_BLOCKS 2
#define NJ_F32_VECTORS 1

typedef __m512i reg;
typedef __m512 lanes_f32;
#define MM(name) _mm512_##name
#define BITS(name) _mm512_##name##_si512
#define AS_F32 _mm512_castsi512_ps
#define AS_INT _mm512_castps_si512
#if defined(__AVX512VNNI__)
#define NJ_DOT_ADD _mm512_dpwssd_epi32
#endif
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

NJ_INLINE reg blend_seconds(reg x, reg y) { return _mm512_mask_blend_epi16(0xaaaaaaaa, x, y); }

#include "lanes_x86.h"

#include "lanes_x86_wide.h"
#include "lanes_x86_rows.h"

NJ_INLINE lanes16 load_consecutive(const uint8_t *p) { return _mm512_cvtepu8_epi16(_mm256_loadu_si256((const void *)p)); }
NJ_INLINE void store_consecutive(uint8_t *p, lanes16 x) { _mm256_storeu_si256((void *)p, _mm512_cvtepi16_epi8(x)); }
NJ_INLINE lanes16x2 even_odd(lanes16 a, lanes16 b)
{
    return even_odd_bytes(_mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), _mm512_packus_epi16(a, b)));
}

/* Row i of each block, from and to cells of neighbours in the order of planes. */
NJ_INLINE void load_coefficients(const int16_t *const *blocks, int i, cells16 row[4])
{
    reg x[4];
    int m;
    for (m = 0; m < 4; m++) {
        const int16_t *const *b = blocks + m / 2 * 8 + m % 2;
        x[m] = _mm512_castsi128_si512(_mm_loadu_si128((const void *)(b[0] + 8 * i)));
        x[m] = _mm512_inserti32x4(x[m], _mm_loadu_si128((const void *)(b[2] + 8 * i)), 1);
        x[m] = _mm512_inserti32x4(x[m], _mm_loadu_si128((const void *)(b[4] + 8 * i)), 2);
        x[m] = _mm512_inserti32x4(x[m], _mm_loadu_si128((const void *)(b[6] + 8 * i)), 3);
    }
    transpose_cells(x, row);
}
NJ_INLINE void store_coefficients(int16_t *const *blocks, int i, const cells16 row[4])
{
    reg x[4];
    int m;
    transpose_cells(row, x);
    for (m = 0; m < 4; m++) {
        int16_t *const *b = blocks + m / 2 * 8 + m % 2;
        _mm_storeu_si128((void *)(b[0] + 8 * i), _mm512_castsi512_si128(x[m]));
        _mm_storeu_si128((void *)(b[2] + 8 * i), _mm512_extracti32x4_epi32(x[m], 1));
        _mm_storeu_si128((void *)(b[4] + 8 * i), _mm512_extracti32x4_epi32(x[m], 2));
        _mm_storeu_si128((void *)(b[6] + 8 * i), _mm512_extracti32x4_epi32(x[m], 3));
    }
}
/* Whether a number lies beyond its limit. */
NJ_INLINE int any_beyond(const cells16 x[4], const uint16_t limits[8])
{
    reg room = _mm512_setzero_si512();
    int m;
    for (m = 0; m < 4; m++)
        room = _mm512_or_si512(room, sub_cells(spread_cells(&limits[2 * m]), _mm512_abs_epi16(x[m])));
    return _mm512_movepi16_mask(room) != 0;
}

/* The upper halves in one instruction. */
NJ_INLINE lanes16 narrow(lanes32 x)
{
    const __m512i odd = _mm512_add_epi32(
        _mm512_broadcast_i32x4(_mm_setr_epi16(1, 3, 5, 7, 33, 35, 37, 39)),
        _mm512_setr_epi32(0, 0, 0, 0, 0x80008, 0x80008, 0x80008, 0x80008, 0x100010, 0x100010, 0x100010, 0x100010, 0x180018,
                          0x180018, 0x180018, 0x180018));
    return _mm512_permutex2var_epi16(x.lo, odd, x.hi);
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

NJ_INLINE row_bytes load_plane(const nj_run *runs, int i, int component)
{
    reg x[2];
    int r;
    for (r = 0; r < 4; r += 2)
        x[r / 2] = load_halves(runs[r].src + i * runs[r].src_row + component * runs[r].src_component,
                               runs[r + 1].src + i * runs[r + 1].src_row + component * runs[r + 1].src_component);
    return sort_plane(x);
}

NJ_INLINE void store_plane(const nj_run *runs, int i, int component, const cells16 x[4])
{
    reg y[2];
    int r;
    join(x, y);
    for (r = 0; r < 4; r += 2)
        store_halves(runs[r].dst + i * runs[r].dst_row + component * runs[r].dst_component,
                     runs[r + 1].dst + i * runs[r + 1].dst_row + component * runs[r + 1].dst_component, y[r / 2]);
}

/* Pixels of `size` bytes: a block has `size` words of 8 bytes in a row, a run 4 `size`; the second register that is loaded of a
 * run begins with word 4 (size - 2). */
NJ_INLINE void load_pixel_rows(const nj_run *runs, int i, int size, row_bytes columns[3])
{
    const int second = 4 * (size - 2);
    int32_t from_outer[16], from_inner[16]; /* words of 32 bits */
    reg outer[4], inner[4];
    int k;
    for (k = 0; k < 16; k++) {
        const int first = 2 * size * (k / 4), o = first + (k % 4 < 2 ? k % 4 : 2 * size - 4 + k % 4), m = first + size - 2 + k % 4;
        from_outer[k] = o < 16 ? o : 16 + o - 2 * second;
        from_inner[k] = m < 16 ? m : 16 + m - 2 * second;
    }
    for (k = 0; k < 4; k++) {
        const uint8_t *src = runs[k].src + i * runs[k].src_row;
        const reg x = load_bytes(src), y = load_bytes(src + 8 * second);
        outer[k] = _mm512_permutex2var_epi32(x, load_bytes((const void *)from_outer), y);
        inner[k] = _mm512_permutex2var_epi32(x, load_bytes((const void *)from_inner), y);
    }
    sort_pixels(outer, inner, size, columns);
}

/* Words 0, 1 and 2 of blocks, as join leaves them of two runs, to where they stand in memory: the first 8 of one run, or the rest,
 * 4 words, of both. */
NJ_INLINE reg gather_words(reg w0, reg w1, reg w2, int run, int rest)
{
    int64_t first[8], last[8];
    int k;
    for (k = 0; k < 8; k++) {
        const int n = rest ? 8 + k % 4 : k, from = n / 3 * 2 + (rest ? k / 4 : run);
        first[k] = n % 3 == 1 ? 8 + from : from;
        last[k] = n % 3 == 2 ? 8 + from : k;
    }
    return _mm512_permutex2var_epi64(_mm512_permutex2var_epi64(w0, load_bytes((const void *)first), w1),
                                     load_bytes((const void *)last), w2);
}

NJ_INLINE void store_pixels_of_runs(const nj_run *runs, int i, int size, cells16 samples[3][4])
{
    cells16 bytes[16];
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    const __mmask64 fourth = 0x8888888888888888u;
    reg words[4][2];
    int k, r;
    interleave(samples, size, bytes);
    for (k = 0; k < size; k++)
        join(&bytes[4 * k], words[k]);
    for (r = 0; r < 4; r++) {
        uint8_t *dst = runs[r].dst + i * runs[r].dst_row;
        const uint8_t *src = runs[r].src + i * runs[r].src_row;
        const reg w0 = words[0][r / 2], w1 = words[1][r / 2], w2 = words[2][r / 2], w3 = words[size - 1][r / 2];
        if (size == 3) {
            _mm512_storeu_si512((void *)dst, gather_words(w0, w1, w2, r % 2, 0));
            if (r % 2)
                store_halves(runs[r - 1].dst + i * runs[r - 1].dst_row + 64, dst + 64, gather_words(w0, w1, w2, 0, 1));
        } else {
            const reg a = r % 2 ? _mm512_unpackhi_epi64(w0, w1) : _mm512_unpacklo_epi64(w0, w1);
            const reg b = r % 2 ? _mm512_unpackhi_epi64(w2, w3) : _mm512_unpacklo_epi64(w2, w3);
            const reg y[2] = { _mm512_permutex2var_epi64(a, low, b), _mm512_permutex2var_epi64(a, high, b) };
            for (k = 0; k < 2; k++)
                _mm512_storeu_si512((void *)(dst + 64 * k), _mm512_mask_blend_epi8(fourth, y[k], load_bytes(src + 64 * k)));
        }
    }
}

#endif
