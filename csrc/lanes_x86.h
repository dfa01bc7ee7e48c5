/* What AVX2 and AVX-512 share of lanes and of the way from bytes to lanes: the same instructions on registers of 256 and
 * of 512 bits. Included by lanes_avx2.h and lanes_avx512.h, which define the registers `reg` and `lanes_f32`, MM(name) for the intrinsic
 * of a name and BITS(name) for one that ends in the width.
 *
 * `row4` is one row of a group, in four registers of whole runs. Every step works within 128 bits, so that the lanes
 * are, in each 128 bits: the two blocks that register 0 has there, then those of registers 1, 2 and 3. */
#ifndef NNJPEG_LANES_X86_H
#define NNJPEG_LANES_X86_H

typedef reg lanes16;
typedef struct lanes32 {
    reg lo, hi;
} lanes32;
typedef struct pairs16 {
    reg lo, hi;
} pairs16;
typedef struct row4 {
    reg run[4];
} row4;

NJ_INLINE lanes16 set16(int c) { return MM(set1_epi16)((short)c); }
NJ_INLINE lanes16 spread16(const uint16_t p[2])
{
    int both;
    memcpy(&both, p, sizeof both);
    return MM(set1_epi32)(both);
}
NJ_INLINE lanes16 add16(lanes16 a, lanes16 b) { return MM(add_epi16)(a, b); }
NJ_INLINE lanes16 sub16(lanes16 a, lanes16 b) { return MM(sub_epi16)(a, b); }
NJ_INLINE lanes16 mul16(lanes16 a, lanes16 b) { return MM(mullo_epi16)(a, b); }
NJ_INLINE lanes16 shl16(lanes16 x, int n) { return MM(slli_epi16)(x, n); }
NJ_INLINE lanes16 sra16(lanes16 x, int n) { return MM(srai_epi16)(x, n); }
NJ_INLINE lanes16 or16(lanes16 a, lanes16 b) { return BITS(or)(a, b); }
NJ_INLINE lanes16 abs16(lanes16 x) { return MM(abs_epi16)(x); }
NJ_INLINE lanes16 mulhi16(lanes16 a, lanes16 b) { return MM(mulhi_epi16)(a, b); }
NJ_INLINE lanes16 mulhrs16(lanes16 a, lanes16 b) { return MM(mulhrs_epi16)(a, b); }
NJ_INLINE lanes16 clamp16(lanes16 x)
{
    return MM(min_epi16)(MM(max_epi16)(x, BITS(setzero)()), MM(set1_epi16)(255));
}
NJ_INLINE pairs16 pair16(lanes16 a, lanes16 b)
{
    pairs16 p = { MM(unpacklo_epi16)(a, b), MM(unpackhi_epi16)(a, b) };
    return p;
}
NJ_INLINE lanes32 set32(int c)
{
    lanes32 x = { MM(set1_epi32)(c), MM(set1_epi32)(c) };
    return x;
}
NJ_INLINE lanes32 add32(lanes32 a, lanes32 b)
{
    lanes32 x = { MM(add_epi32)(a.lo, b.lo), MM(add_epi32)(a.hi, b.hi) };
    return x;
}
NJ_INLINE lanes32 sub32(lanes32 a, lanes32 b)
{
    lanes32 x = { MM(sub_epi32)(a.lo, b.lo), MM(sub_epi32)(a.hi, b.hi) };
    return x;
}
NJ_INLINE reg constants(int ca, int cb) { return MM(set1_epi32)((int)((uint32_t)cb << 16 | (uint16_t)ca)); }
NJ_INLINE lanes32 dot2(pairs16 p, int ca, int cb)
{
    lanes32 x = { MM(madd_epi16)(p.lo, constants(ca, cb)), MM(madd_epi16)(p.hi, constants(ca, cb)) };
    return x;
}

/* Sorts the bytes of a row by their place p in the 8-byte words: words[p / 2] holds, in each 128 bits, bytes p of all
 * blocks below bytes p + 1. order: which byte of a word comes to which place. */
NJ_INLINE void sort_bytes(row4 row, const int order[8], reg words[4])
{
    reg r[4], a0, a1, b0, b1;
    int8_t both[16];
    reg shuffle;
    int k;
    for (k = 0; k < 8; k++) {
        both[2 * k] = (int8_t)order[k];
        both[2 * k + 1] = (int8_t)(order[k] + 8);
    }
    shuffle = broadcast128(_mm_loadu_si128((const __m128i *)both));
    for (k = 0; k < 4; k++)
        r[k] = MM(shuffle_epi8)(row.run[k], shuffle);
    a0 = MM(unpacklo_epi16)(r[0], r[1]);
    a1 = MM(unpackhi_epi16)(r[0], r[1]);
    b0 = MM(unpacklo_epi16)(r[2], r[3]);
    b1 = MM(unpackhi_epi16)(r[2], r[3]);
    words[0] = MM(unpacklo_epi32)(a0, b0);
    words[1] = MM(unpackhi_epi32)(a0, b0);
    words[2] = MM(unpacklo_epi32)(a1, b1);
    words[3] = MM(unpackhi_epi32)(a1, b1);
}

/* Bytes j of all blocks, as x[j]. */
NJ_INLINE void split(row4 row, lanes16 x[8])
{
    static const int order[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    const reg zero = BITS(setzero)();
    reg words[4];
    int k;
    sort_bytes(row, order, words);
    for (k = 0; k < 4; k++) {
        x[2 * k] = MM(unpacklo_epi8)(words[k], zero);
        x[2 * k + 1] = MM(unpackhi_epi8)(words[k], zero);
    }
}

/* What nj_mirror makes of samples, from pairs of bytes: 32 times their sum and their difference. */
NJ_INLINE void mirror(reg pairs, lanes16 *s, lanes16 *d)
{
    *s = MM(maddubs_epi16)(pairs, MM(set1_epi16)(0x2020));
    *d = MM(maddubs_epi16)(pairs, MM(set1_epi16)((short)0xe020));
}

/* split and nj_mirror in one. */
NJ_INLINE void split_mirrored(row4 row, lanes16 s[4], lanes16 d[4])
{
    static const int order[8] = { 0, 1, 2, 3, 7, 6, 5, 4 };
    reg words[4];
    sort_bytes(row, order, words);
    mirror(MM(unpacklo_epi8)(words[0], words[2]), &s[0], &d[0]);
    mirror(MM(unpackhi_epi8)(words[0], words[2]), &s[1], &d[1]);
    mirror(MM(unpacklo_epi8)(words[1], words[3]), &s[2], &d[2]);
    mirror(MM(unpackhi_epi8)(words[1], words[3]), &s[3], &d[3]);
}

/* The same for interleaved pixels. Byte n of a block's 24 is component n % 3 of column n / 3; its mirror image is byte
 * 21 - n + 2 (n % 3). The orders bring each byte to the same half as its image. */
NJ_INLINE void split_interleaved_mirrored(const row4 rows[3], lanes16 s[3][4], lanes16 d[3][4])
{
    static const int orders[3][8] = { { 0, 1, 2, 3, 4, 5, 7, 6 },   /* bytes 0 to 7 */
                                      { 1, 2, 4, 5, 3, 0, 6, 7 },   /* 9 10 12 13 11 8 14 15 */
                                      { 5, 6, 7, 2, 3, 4, 0, 1 } }; /* 21 22 23 18 19 20 16 17 */
    reg u[4], v[4], w[4];
    sort_bytes(rows[0], orders[0], u);
    sort_bytes(rows[1], orders[1], v);
    sort_bytes(rows[2], orders[2], w);
    mirror(MM(unpacklo_epi8)(u[0], w[0]), &s[0][0], &d[0][0]); /* 0 21 */
    mirror(MM(unpackhi_epi8)(u[0], w[0]), &s[1][0], &d[1][0]); /* 1 22 */
    mirror(MM(unpacklo_epi8)(u[1], w[1]), &s[2][0], &d[2][0]); /* 2 23 */
    mirror(MM(unpackhi_epi8)(u[1], w[1]), &s[0][1], &d[0][1]); /* 3 18 */
    mirror(MM(unpacklo_epi8)(u[2], w[2]), &s[1][1], &d[1][1]); /* 4 19 */
    mirror(MM(unpackhi_epi8)(u[2], w[2]), &s[2][1], &d[2][1]); /* 5 20 */
    mirror(MM(unpackhi_epi8)(u[3], v[3]), &s[0][2], &d[0][2]); /* 6 15 */
    mirror(MM(unpacklo_epi8)(u[3], w[3]), &s[1][2], &d[1][2]); /* 7 16 */
    mirror(MM(unpackhi_epi8)(v[2], w[3]), &s[2][2], &d[2][2]); /* 8 17 */
    mirror(MM(unpacklo_epi8)(v[0], v[1]), &s[0][3], &d[0][3]); /* 9 12 */
    mirror(MM(unpackhi_epi8)(v[0], v[1]), &s[1][3], &d[1][3]); /* 10 13 */
    mirror(MM(unpacklo_epi8)(v[2], v[3]), &s[2][3], &d[2][3]); /* 11 14 */
}

/* The way back from x[j] to bytes j of all blocks, clamping to 0..255. */
NJ_INLINE row4 join(const lanes16 x[8])
{
    row4 row;
    reg c04 = MM(packus_epi16)(x[0], x[4]), c15 = MM(packus_epi16)(x[1], x[5]);
    reg c26 = MM(packus_epi16)(x[2], x[6]), c37 = MM(packus_epi16)(x[3], x[7]);
    reg c01 = MM(unpacklo_epi8)(c04, c15), c45 = MM(unpackhi_epi8)(c04, c15);
    reg c23 = MM(unpacklo_epi8)(c26, c37), c67 = MM(unpackhi_epi8)(c26, c37);
    reg a0 = MM(unpacklo_epi16)(c01, c23), a1 = MM(unpackhi_epi16)(c01, c23);
    reg b0 = MM(unpacklo_epi16)(c45, c67), b1 = MM(unpackhi_epi16)(c45, c67);
    row.run[0] = MM(unpacklo_epi32)(a0, b0);
    row.run[1] = MM(unpackhi_epi32)(a0, b0);
    row.run[2] = MM(unpacklo_epi32)(a1, b1);
    row.run[3] = MM(unpackhi_epi32)(a1, b1);
    return row;
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
