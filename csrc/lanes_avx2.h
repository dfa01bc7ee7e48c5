/* Lanes for AVX2: 16 blocks, one 256-bit register a lanes16.
 *
 * Also the way from bytes in memory to lanes and back. `row4` is one row of a group's four runs, a register a run. Every
 * step works within 128-bit halves, so the lanes of a group are, in order: blocks 0 and 1 of runs 0..3, then blocks 2
 * and 3 of runs 0..3. */
#ifndef NNJPEG_LANES_AVX2_H
#define NNJPEG_LANES_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "inline.h"
#include "strip.h"

enum { NJ_RUNS = 4 };

typedef __m256i lanes16;
typedef struct lanes32 {
    __m256i lo, hi;
} lanes32;
typedef struct pairs16 {
    __m256i lo, hi;
} pairs16;

NJ_INLINE lanes16 set16(int c) { return _mm256_set1_epi16((short)c); }
NJ_INLINE lanes16 spread16(const uint16_t p[2])
{
    int both;
    memcpy(&both, p, sizeof both);
    return _mm256_set1_epi32(both);
}
NJ_INLINE lanes16 add16(lanes16 a, lanes16 b) { return _mm256_add_epi16(a, b); }
NJ_INLINE lanes16 sub16(lanes16 a, lanes16 b) { return _mm256_sub_epi16(a, b); }
NJ_INLINE lanes16 mul16(lanes16 a, lanes16 b) { return _mm256_mullo_epi16(a, b); }
NJ_INLINE lanes16 shl16(lanes16 x, int n) { return _mm256_slli_epi16(x, n); }
NJ_INLINE lanes16 sra16(lanes16 x, int n) { return _mm256_srai_epi16(x, n); }
NJ_INLINE lanes16 abs16(lanes16 x) { return _mm256_abs_epi16(x); }
NJ_INLINE lanes16 negate16_where_negative(lanes16 x, lanes16 sign) { return _mm256_sign_epi16(x, sign); }
NJ_INLINE lanes16 mulhi_u16(lanes16 a, lanes16 b) { return _mm256_mulhi_epu16(a, b); }
NJ_INLINE lanes16 mulhi_s16(lanes16 a, lanes16 b) { return _mm256_mulhi_epi16(a, b); }
NJ_INLINE lanes16 clamp16(lanes16 x)
{
    return _mm256_min_epi16(_mm256_max_epi16(x, _mm256_setzero_si256()), _mm256_set1_epi16(255));
}
NJ_INLINE pairs16 pair16(lanes16 a, lanes16 b)
{
    pairs16 p = { _mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b) };
    return p;
}
NJ_INLINE lanes32 set32(int c)
{
    lanes32 x = { _mm256_set1_epi32(c), _mm256_set1_epi32(c) };
    return x;
}
NJ_INLINE lanes32 add32(lanes32 a, lanes32 b)
{
    lanes32 x = { _mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi) };
    return x;
}
NJ_INLINE lanes32 sub32(lanes32 a, lanes32 b)
{
    lanes32 x = { _mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi) };
    return x;
}
NJ_INLINE lanes32 dot2(pairs16 p, int ca, int cb)
{
    __m256i c = _mm256_set1_epi32((int)((uint32_t)cb << 16 | (uint16_t)ca));
    lanes32 x = { _mm256_madd_epi16(p.lo, c), _mm256_madd_epi16(p.hi, c) };
    return x;
}
NJ_INLINE lanes32 dot2_add(lanes32 sum, pairs16 p, int ca, int cb) { return add32(sum, dot2(p, ca, cb)); }
NJ_INLINE lanes16 narrow(lanes32 x, int n)
{
    return _mm256_packs_epi32(_mm256_srai_epi32(x.lo, n), _mm256_srai_epi32(x.hi, n));
}

typedef struct row4 {
    __m256i run[4];
} row4;

/* Bytes j of all blocks, as x[j]. */
NJ_INLINE void split(row4 row, lanes16 x[8])
{
    /* Within each half: the two blocks' bytes 0, then their bytes 1, and so on. */
    const __m256i both = _mm256_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15, 0, 8, 1, 9, 2, 10, 3,
                                          11, 4, 12, 5, 13, 6, 14, 7, 15);
    const __m256i zero = _mm256_setzero_si256();
    __m256i r0 = _mm256_shuffle_epi8(row.run[0], both), r1 = _mm256_shuffle_epi8(row.run[1], both);
    __m256i r2 = _mm256_shuffle_epi8(row.run[2], both), r3 = _mm256_shuffle_epi8(row.run[3], both);
    __m256i a0 = _mm256_unpacklo_epi16(r0, r1), a1 = _mm256_unpackhi_epi16(r0, r1);
    __m256i b0 = _mm256_unpacklo_epi16(r2, r3), b1 = _mm256_unpackhi_epi16(r2, r3);
    __m256i c01 = _mm256_unpacklo_epi32(a0, b0), c23 = _mm256_unpackhi_epi32(a0, b0);
    __m256i c45 = _mm256_unpacklo_epi32(a1, b1), c67 = _mm256_unpackhi_epi32(a1, b1);
    x[0] = _mm256_unpacklo_epi8(c01, zero);
    x[1] = _mm256_unpackhi_epi8(c01, zero);
    x[2] = _mm256_unpacklo_epi8(c23, zero);
    x[3] = _mm256_unpackhi_epi8(c23, zero);
    x[4] = _mm256_unpacklo_epi8(c45, zero);
    x[5] = _mm256_unpackhi_epi8(c45, zero);
    x[6] = _mm256_unpacklo_epi8(c67, zero);
    x[7] = _mm256_unpackhi_epi8(c67, zero);
}

/* The way back, clamping to 0..255. */
NJ_INLINE row4 join(const lanes16 x[8])
{
    row4 row;
    __m256i c04 = _mm256_packus_epi16(x[0], x[4]), c15 = _mm256_packus_epi16(x[1], x[5]);
    __m256i c26 = _mm256_packus_epi16(x[2], x[6]), c37 = _mm256_packus_epi16(x[3], x[7]);
    __m256i c01 = _mm256_unpacklo_epi8(c04, c15), c45 = _mm256_unpackhi_epi8(c04, c15);
    __m256i c23 = _mm256_unpacklo_epi8(c26, c37), c67 = _mm256_unpackhi_epi8(c26, c37);
    __m256i a0 = _mm256_unpacklo_epi16(c01, c23), a1 = _mm256_unpackhi_epi16(c01, c23);
    __m256i b0 = _mm256_unpacklo_epi16(c45, c67), b1 = _mm256_unpackhi_epi16(c45, c67);
    row.run[0] = _mm256_unpacklo_epi32(a0, b0);
    row.run[1] = _mm256_unpackhi_epi32(a0, b0);
    row.run[2] = _mm256_unpacklo_epi32(a1, b1);
    row.run[3] = _mm256_unpackhi_epi32(a1, b1);
    return row;
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
