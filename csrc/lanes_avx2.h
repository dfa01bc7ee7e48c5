/* Lanes for AVX2: 16 blocks, one 256-bit register a lanes16. Register k of a row is run k: the lanes are blocks 0 and 1 of
 * runs 0..3, then blocks 2 and 3 of runs 0..3. */
#ifndef NNJPEG_LANES_AVX2_H
#define NNJPEG_LANES_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "inline.h"
#include "isa.h"

enum { NJ_RUNS = 4 };

#define NJ_F32_BLOCKS 1
#define NJ_F32_VECTORS 1

typedef __m256i reg;
typedef __m256 lanes_f32;
#define MM(name) _mm256_##name
#define BITS(name) _mm256_##name##_si256
NJ_INLINE reg broadcast128(__m128i x) { return _mm256_broadcastsi128_si256(x); }
NJ_INLINE reg load_apart(const void *p, int apart)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(p)),
                                   _mm_loadu_si128((const __m128i *)(const void *)((const char *)p + apart)), 1);
}
NJ_INLINE void store_apart(void *p, int apart, reg x)
{
    _mm_storeu_si128(p, _mm256_castsi256_si128(x));
    _mm_storeu_si128((__m128i *)(void *)((char *)p + apart), _mm256_extracti128_si256(x, 1));
}
NJ_INLINE reg by_thirds(reg a, reg b, reg c, int q)
{
    int8_t from_b[16], from_c[16];
    int i;
    for (i = 0; i < 16; i++) {
        from_b[i] = (i + 1) % 3 == q ? -1 : 0;
        from_c[i] = (i + 2) % 3 == q ? -1 : 0;
    }
    a = _mm256_blendv_epi8(a, b, broadcast128(_mm_loadu_si128((const __m128i *)(const void *)from_b)));
    return _mm256_blendv_epi8(a, c, broadcast128(_mm_loadu_si128((const __m128i *)(const void *)from_c)));
}

#include "lanes_x86.h"
#include "lanes_x86_rows.h"

NJ_INLINE lanes16 load_consecutive(const uint8_t *p) { return _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)p)); }
NJ_INLINE void store_consecutive(uint8_t *p, lanes16 x)
{
    _mm_storeu_si128((void *)p, _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi16(x, x), 0x08)));
}
NJ_INLINE lanes16x2 even_odd(lanes16 a, lanes16 b)
{
    return even_odd_bytes(_mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xd8));
}

/* Row i of each block, from and to vectors of one coefficient. */
NJ_INLINE void load_coefficients(const int16_t *const *blocks, int i, lanes16 x[8])
{
    int m;
    for (m = 0; m < 8; m++) {
        const int16_t *const *b = blocks + m / 2 * 4 + m % 2;
        x[m] = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const void *)(b[0] + 8 * i))),
                                       _mm_loadu_si128((const void *)(b[2] + 8 * i)), 1);
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
        _mm_storeu_si128((void *)(b[0] + 8 * i), _mm256_castsi256_si128(x[m]));
        _mm_storeu_si128((void *)(b[2] + 8 * i), _mm256_extracti128_si256(x[m], 1));
    }
}
NJ_INLINE int any_negative16(lanes16 x) { return (_mm256_movemask_epi8(x) & (int)0xaaaaaaaa) != 0; }

NJ_INLINE lanes32 dot2_add(lanes32 sum, pairs16 p, int ca, int cb) { return add32(sum, dot2(p, ca, cb)); }
NJ_INLINE lanes16 narrow(lanes32 x, int n)
{
    return _mm256_packs_epi32(_mm256_srai_epi32(x.lo, n), _mm256_srai_epi32(x.hi, n));
}

/* Single precision: a register is one row of a block. */
NJ_INLINE lanes_f32 round_f32(lanes_f32 x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
NJ_INLINE lanes_f32 keep_f32(lanes_f32 x, lanes_f32 y, float low, float high)
{
    return _mm256_and_ps(x, _mm256_and_ps(_mm256_cmp_ps(y, set_f32(low), _CMP_GE_OQ),
                                          _mm256_cmp_ps(y, set_f32(high), _CMP_LE_OQ)));
}
NJ_INLINE lanes_f32 load_table_f32(const float *p) { return load_f32(p); }
/* Half lines past the cache cost more than they save. */
NJ_INLINE void stream_f32(float *p, lanes_f32 x) { store_f32(p, x); }
NJ_INLINE void end_stream(void) {}
NJ_INLINE void transpose_f32(lanes_f32 x[8][NJ_F32_VECTORS])
{
    lanes_f32 quarters[8];
    int k;
    transpose_quarters(x, quarters);
    for (k = 0; k < 4; k++) {
        x[k][0] = _mm256_permute2f128_ps(quarters[k], quarters[k + 4], 0x20);
        x[k + 4][0] = _mm256_permute2f128_ps(quarters[k], quarters[k + 4], 0x31);
    }
}

NJ_INLINE row4 load_plane(const nj_run *runs, int i, int component)
{
    row4 row;
    int k;
    for (k = 0; k < 4; k++)
        row.run[k] = _mm256_loadu_si256(
            (const __m256i *)(runs[k].src + i * runs[k].src_row + component * runs[k].src_component));
    return row;
}

NJ_INLINE void store_plane(const nj_run *runs, int i, int component, row4 row)
{
    int k;
    for (k = 0; k < 4; k++)
        _mm256_storeu_si256((__m256i *)(runs[k].dst + i * runs[k].dst_row + component * runs[k].dst_component),
                            row.run[k]);
}

/* Interleaved pixels: the 24 bytes that a block has in a row are three words of 8 bytes. rows[k] gets words k of all
 * blocks; with "byte j of word k" for "column j of component k" the rest is as for planes. */
NJ_INLINE void load_interleaved(const nj_run *runs, int i, row4 rows[3])
{
    int k, r;
    for (r = 0; r < 4; r++) {
        const uint8_t *src = runs[r].src + i * runs[r].src_row;
        for (k = 0; k < 3; k++) {
            /* Words k, k + 3, k + 6, k + 9, each loaded so that it already stands in its place. */
            __m256i w0 = _mm256_loadu_si256((const __m256i *)(src + 8 * k));
            __m256i w1 = _mm256_loadu_si256((const __m256i *)(src + 8 * k + 16));
            __m256i w2 = _mm256_loadu_si256((const __m256i *)(src + 8 * k + 32));
            __m256i w3 = _mm256_loadu_si256((const __m256i *)(src + 8 * k + 48));
            rows[k].run[r] = _mm256_blend_epi32(_mm256_blend_epi32(w0, w1, 0x0c), _mm256_blend_epi32(w2, w3, 0xc0),
                                                0xf0);
        }
    }
}

NJ_INLINE void store_interleaved(const nj_run *runs, int i, const row4 rows[3])
{
    int r;
    for (r = 0; r < 4; r++) {
        __m256i *dst = (__m256i *)(runs[r].dst + i * runs[r].dst_row);
        /* Turned so that each word stands where it does in memory. */
        __m256i w0 = _mm256_permute4x64_epi64(rows[0].run[r], 0x6c); /* 0 3 2 1 */
        __m256i w1 = _mm256_shuffle_epi32(rows[1].run[r], 0x4e);     /* 1 0 3 2 */
        __m256i w2 = _mm256_permute4x64_epi64(rows[2].run[r], 0xc6); /* 2 1 0 3 */
        _mm256_storeu_si256(dst, _mm256_blend_epi32(_mm256_blend_epi32(w0, w1, 0x0c), w2, 0x30));
        _mm256_storeu_si256(dst + 1, _mm256_blend_epi32(_mm256_blend_epi32(w1, w2, 0x0c), w0, 0x30));
        _mm256_storeu_si256(dst + 2, _mm256_blend_epi32(_mm256_blend_epi32(w2, w0, 0x0c), w1, 0x30));
    }
}

/* Pixels of four bytes: a block has four words in a row, and rows[k] gets words k of all blocks. Four by four words are
 * transposed, the same way in and out. */
NJ_INLINE void transpose_words(const __m256i from[4], __m256i to[4])
{
    __m256i a = _mm256_unpacklo_epi64(from[0], from[1]), b = _mm256_unpackhi_epi64(from[0], from[1]);
    __m256i c = _mm256_unpacklo_epi64(from[2], from[3]), d = _mm256_unpackhi_epi64(from[2], from[3]);
    to[0] = _mm256_permute2x128_si256(a, c, 0x20);
    to[1] = _mm256_permute2x128_si256(b, d, 0x20);
    to[2] = _mm256_permute2x128_si256(a, c, 0x31);
    to[3] = _mm256_permute2x128_si256(b, d, 0x31);
}

NJ_INLINE void load_padded(const nj_run *runs, int i, row4 rows[4])
{
    int k, r;
    for (r = 0; r < 4; r++) {
        const __m256i *src = (const __m256i *)(runs[r].src + i * runs[r].src_row);
        __m256i blocks[4], words[4];
        for (k = 0; k < 4; k++)
            blocks[k] = _mm256_loadu_si256(src + k);
        transpose_words(blocks, words);
        for (k = 0; k < 4; k++)
            rows[k].run[r] = words[k];
    }
}

NJ_INLINE void store_padded(const nj_run *runs, int i, const row4 rows[4])
{
    int k, r;
    for (r = 0; r < 4; r++) {
        __m256i *dst = (__m256i *)(runs[r].dst + i * runs[r].dst_row);
        __m256i blocks[4], words[4];
        for (k = 0; k < 4; k++)
            words[k] = rows[k].run[r];
        transpose_words(words, blocks);
        for (k = 0; k < 4; k++)
            _mm256_storeu_si256(dst + k, blocks[k]);
    }
}

#endif
