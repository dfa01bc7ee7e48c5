/* Lanes for AVX2: a cell for each of the 8 blocks of two runs, in one 256-bit register. Cells of planes: blocks 0 and 1 of run 0,
 * then of run 1; blocks 2 and 3 in the upper half. Of pixels: blocks 0 and 2, and 1 and 3. */
#ifndef NNJPEG_LANES_AVX2_H
#define NNJPEG_LANES_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "inline.h"
#include "isa.h"

enum { NJ_RUNS = 2 };

#define NJ_F32_BLOCKS 1
#define NJ_F32_VECTORS 1

typedef __m256i reg;
typedef __m256 lanes_f32;
#define MM(name) _mm256_##name
#define BITS(name) _mm256_##name##_si256
#define AS_F32 _mm256_castsi256_ps
#define AS_INT _mm256_castps_si256
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

NJ_INLINE reg blend_seconds(reg x, reg y) { return _mm256_blend_epi16(x, y, 0xaa); }

#include "lanes_x86.h"

#include "lanes_x86_wide.h"
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

/* Row i of each block, from and to cells of neighbours in the order of planes. */
NJ_INLINE void load_coefficients(const int16_t *const *blocks, int i, cells16 row[4])
{
    reg x[4];
    int m;
    for (m = 0; m < 4; m++) {
        const int16_t *const *b = blocks + m / 2 * 4 + m % 2;
        x[m] = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const void *)(b[0] + 8 * i))),
                                       _mm_loadu_si128((const void *)(b[2] + 8 * i)), 1);
    }
    transpose_cells(x, row);
}
NJ_INLINE void store_coefficients(int16_t *const *blocks, int i, const cells16 row[4])
{
    reg x[4];
    int m;
    transpose_cells(row, x);
    for (m = 0; m < 4; m++) {
        int16_t *const *b = blocks + m / 2 * 4 + m % 2;
        _mm_storeu_si128((void *)(b[0] + 8 * i), _mm256_castsi256_si128(x[m]));
        _mm_storeu_si128((void *)(b[2] + 8 * i), _mm256_extracti128_si256(x[m], 1));
    }
}
/* Whether a number lies beyond its limit. */
NJ_INLINE int any_beyond(const cells16 x[4], const uint16_t limits[8])
{
    reg room = _mm256_setzero_si256();
    int m;
    for (m = 0; m < 4; m++)
        room = _mm256_or_si256(room, sub_cells(spread_cells(&limits[2 * m]), _mm256_abs_epi16(x[m])));
    return (_mm256_movemask_epi8(room) & (int)0xaaaaaaaa) != 0;
}

NJ_INLINE lanes16 narrow(lanes32 x)
{
    return _mm256_packs_epi32(_mm256_srai_epi32(x.lo, 16), _mm256_srai_epi32(x.hi, 16));
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

NJ_INLINE row_bytes load_plane(const nj_run *runs, int i, int component)
{
    reg x[2];
    int r;
    for (r = 0; r < 2; r++)
        x[r] = load_bytes(runs[r].src + i * runs[r].src_row + component * runs[r].src_component);
    return sort_plane(x);
}

NJ_INLINE void store_plane(const nj_run *runs, int i, int component, const cells16 x[4])
{
    reg y[2];
    int r;
    join(x, y);
    for (r = 0; r < 2; r++)
        _mm256_storeu_si256((void *)(runs[r].dst + i * runs[r].dst_row + component * runs[r].dst_component), y[r]);
}

/* Pixels of `size` bytes: a block has `size` words of 8 bytes in a row. Two blocks are loaded so that each word already stands
 * in its place. */
NJ_INLINE void load_pixel_rows(const nj_run *runs, int i, int size, row_bytes columns[3])
{
    reg outer[4], inner[4];
    int k;
    for (k = 0; k < 4; k++) {
        const uint8_t *src = runs[k / 2].src + i * runs[k / 2].src_row + k % 2 * 16 * size, *middle = src + 4 * size - 8;
        outer[k] = _mm256_blend_epi32(load_bytes(src), load_bytes(src + 8 * size - 16), 0x3c);
        outer[k] = _mm256_blend_epi32(outer[k], load_bytes(src + 16 * size - 32), 0xc0);
        inner[k] = _mm256_blend_epi32(load_bytes(middle), load_bytes(middle + 8 * size - 16), 0xf0);
    }
    sort_pixels(outer, inner, size, columns);
}

NJ_INLINE void store_pixels_of_runs(const nj_run *runs, int i, int size, cells16 samples[3][4])
{
    cells16 bytes[16];
    reg words[4][2];
    int k, r;
    interleave(samples, size, bytes);
    for (k = 0; k < size; k++)
        join(&bytes[4 * k], words[k]);
    for (r = 0; r < 2; r++) {
        const __m256i *src = (const void *)(runs[r].src + i * runs[r].src_row);
        __m256i *dst = (void *)(runs[r].dst + i * runs[r].dst_row);
        if (size == 3) {
            /* Turned so that each word stands where it does in memory: of blocks 0 3 2 1, 1 0 3 2 and 2 1 0 3. */
            const reg w0 = _mm256_permute4x64_epi64(words[0][r], 0x9c), w1 = _mm256_permute4x64_epi64(words[1][r], 0x72);
            const reg w2 = _mm256_permute4x64_epi64(words[2][r], 0xc9);
            _mm256_storeu_si256(dst, _mm256_blend_epi32(_mm256_blend_epi32(w0, w1, 0x0c), w2, 0x30));
            _mm256_storeu_si256(dst + 1, _mm256_blend_epi32(_mm256_blend_epi32(w1, w2, 0x0c), w0, 0x30));
            _mm256_storeu_si256(dst + 2, _mm256_blend_epi32(_mm256_blend_epi32(w2, w0, 0x0c), w1, 0x30));
        } else {
            const reg fourth = _mm256_set1_epi32((int)0xff000000);
            reg blocks[4];
            for (k = 0; k < 2; k++) { /* blocks 0 and 1, then 2 and 3 */
                const reg a = k ? _mm256_unpackhi_epi64(words[0][r], words[1][r]) : _mm256_unpacklo_epi64(words[0][r], words[1][r]);
                const reg b = k ? _mm256_unpackhi_epi64(words[2][r], words[3][r]) : _mm256_unpacklo_epi64(words[2][r], words[3][r]);
                blocks[2 * k] = _mm256_permute2x128_si256(a, b, 0x20);
                blocks[2 * k + 1] = _mm256_permute2x128_si256(a, b, 0x31);
            }
            for (k = 0; k < 4; k++)
                _mm256_storeu_si256(dst + k, _mm256_blendv_epi8(blocks[k], _mm256_loadu_si256(src + k), fourth));
        }
    }
}

#endif
