/* Lanes for NEON on 64-bit Arm: 8 blocks, one 128-bit register a lanes16.
 *
 * As one half of lanes_avx2.h: register k of a `row4` holds blocks 2k % 4 and 2k % 4 + 1 of run k / 2. */
#ifndef NNJPEG_LANES_NEON_H
#define NNJPEG_LANES_NEON_H

#include <arm_neon.h>

#include "inline.h"
#include "isa.h"

enum { NJ_RUNS = 2 };

typedef int16x8_t lanes16;
typedef struct lanes32 {
    int32x4_t lo, hi;
} lanes32;
typedef struct pairs16 {
    int16x8_t a, b;
} pairs16;

NJ_INLINE lanes16 set16(int c) { return vdupq_n_s16((int16_t)c); }
NJ_INLINE lanes16 spread16(const uint16_t p[2]) { return vdupq_n_s16((int16_t)p[0]); }
NJ_INLINE lanes16 add16(lanes16 a, lanes16 b) { return vaddq_s16(a, b); }
NJ_INLINE lanes16 sub16(lanes16 a, lanes16 b) { return vsubq_s16(a, b); }
NJ_INLINE lanes16 mul16(lanes16 a, lanes16 b) { return vmulq_s16(a, b); }
NJ_INLINE lanes16 shl16(lanes16 x, int n) { return vshlq_s16(x, vdupq_n_s16((int16_t)n)); }
NJ_INLINE lanes16 sra16(lanes16 x, int n) { return vshlq_s16(x, vdupq_n_s16((int16_t)-n)); }
NJ_INLINE lanes16 or16(lanes16 a, lanes16 b) { return vorrq_s16(a, b); }
NJ_INLINE lanes16 abs16(lanes16 x) { return vabsq_s16(x); }
/* Through (2ab) >> 16, which is one instruction. */
NJ_INLINE lanes16 mulhi16(lanes16 a, lanes16 b) { return vshrq_n_s16(vqdmulhq_s16(a, b), 1); }
NJ_INLINE lanes16 mulhrs16(lanes16 a, lanes16 b) { return vqrdmulhq_s16(a, b); }
NJ_INLINE lanes16 clamp16(lanes16 x) { return vminq_s16(vmaxq_s16(x, vdupq_n_s16(0)), vdupq_n_s16(255)); }
NJ_INLINE pairs16 pair16(lanes16 a, lanes16 b)
{
    pairs16 p = { a, b };
    return p;
}
NJ_INLINE lanes32 set32(int c)
{
    lanes32 x = { vdupq_n_s32(c), vdupq_n_s32(c) };
    return x;
}
NJ_INLINE lanes32 add32(lanes32 a, lanes32 b)
{
    lanes32 x = { vaddq_s32(a.lo, b.lo), vaddq_s32(a.hi, b.hi) };
    return x;
}
NJ_INLINE lanes32 sub32(lanes32 a, lanes32 b)
{
    lanes32 x = { vsubq_s32(a.lo, b.lo), vsubq_s32(a.hi, b.hi) };
    return x;
}
NJ_INLINE lanes32 dot2_add(lanes32 sum, pairs16 p, int ca, int cb)
{
    lanes32 x = { vmlal_n_s16(sum.lo, vget_low_s16(p.a), (int16_t)ca), vmlal_high_n_s16(sum.hi, p.a, (int16_t)ca) };
    x.lo = vmlal_n_s16(x.lo, vget_low_s16(p.b), (int16_t)cb);
    x.hi = vmlal_high_n_s16(x.hi, p.b, (int16_t)cb);
    return x;
}
NJ_INLINE lanes32 dot2(pairs16 p, int ca, int cb)
{
    lanes32 x = { vmull_n_s16(vget_low_s16(p.a), (int16_t)ca), vmull_high_n_s16(p.a, (int16_t)ca) };
    x.lo = vmlal_n_s16(x.lo, vget_low_s16(p.b), (int16_t)cb);
    x.hi = vmlal_high_n_s16(x.hi, p.b, (int16_t)cb);
    return x;
}
/* The upper halves in one instruction. */
NJ_INLINE lanes16 narrow(lanes32 x, int n)
{
    int16x8_t high = vuzp2q_s16(vreinterpretq_s16_s32(x.lo), vreinterpretq_s16_s32(x.hi));
    return n > 16 ? vshlq_s16(high, vdupq_n_s16((int16_t)(16 - n))) : high;
}

/* Single precision: a row of a block is two registers. */
#define NJ_F32_BLOCKS 1
#define NJ_F32_VECTORS 2
typedef float32x4_t lanes_f32;

NJ_INLINE lanes_f32 set_f32(float c) { return vdupq_n_f32(c); }
NJ_INLINE lanes_f32 add_f32(lanes_f32 a, lanes_f32 b) { return vaddq_f32(a, b); }
NJ_INLINE lanes_f32 sub_f32(lanes_f32 a, lanes_f32 b) { return vsubq_f32(a, b); }
NJ_INLINE lanes_f32 mul_f32(lanes_f32 a, lanes_f32 b) { return vmulq_f32(a, b); }
NJ_INLINE lanes_f32 madd_f32(lanes_f32 a, lanes_f32 b, lanes_f32 c) { return vfmaq_f32(c, a, b); }
NJ_INLINE lanes_f32 round_f32(lanes_f32 x) { return vrndnq_f32(x); }
/* These instructions keep NaN. */
NJ_INLINE lanes_f32 clamp_f32(lanes_f32 x, float low, float high)
{
    return vminq_f32(vmaxq_f32(x, set_f32(low)), set_f32(high));
}
NJ_INLINE lanes_f32 keep_f32(lanes_f32 x, lanes_f32 y, float low, float high)
{
    uint32x4_t inside = vandq_u32(vcgeq_f32(y, set_f32(low)), vcleq_f32(y, set_f32(high)));
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(x), inside));
}
NJ_INLINE lanes_f32 load_f32(const float *p) { return vld1q_f32(p); }
NJ_INLINE lanes_f32 load_table_f32(const float *p) { return vld1q_f32(p); }
NJ_INLINE void store_f32(float *p, lanes_f32 x) { vst1q_f32(p, x); }
NJ_INLINE void stream_f32(float *p, lanes_f32 x) { store_f32(p, x); }
NJ_INLINE void end_stream(void) {}
NJ_INLINE void transpose4(const lanes_f32 from[4], lanes_f32 to[4])
{
    float32x4_t a = vzip1q_f32(from[0], from[2]), b = vzip2q_f32(from[0], from[2]);
    float32x4_t c = vzip1q_f32(from[1], from[3]), d = vzip2q_f32(from[1], from[3]);
    to[0] = vzip1q_f32(a, c);
    to[1] = vzip2q_f32(a, c);
    to[2] = vzip1q_f32(b, d);
    to[3] = vzip2q_f32(b, d);
}
NJ_INLINE void transpose_f32(lanes_f32 x[8][NJ_F32_VECTORS])
{
    lanes_f32 from[2][2][4], to[2][2][4]; /* [half of the rows][half of the columns][row] */
    int i, v;
    for (i = 0; i < 8; i++)
        for (v = 0; v < 2; v++)
            from[i / 4][v][i % 4] = x[i][v];
    for (i = 0; i < 2; i++)
        for (v = 0; v < 2; v++)
            transpose4(from[i][v], to[v][i]);
    for (i = 0; i < 8; i++)
        for (v = 0; v < 2; v++)
            x[i][v] = to[i / 4][v][i % 4];
}

typedef struct row4 {
    uint8x16_t run[4];
} row4;

NJ_INLINE uint8x16_t zip16(uint8x16_t a, uint8x16_t b, int high)
{
    uint16x8_t x = vreinterpretq_u16_u8(a), y = vreinterpretq_u16_u8(b);
    return vreinterpretq_u8_u16(high ? vzip2q_u16(x, y) : vzip1q_u16(x, y));
}
NJ_INLINE uint8x16_t zip32(uint8x16_t a, uint8x16_t b, int high)
{
    uint32x4_t x = vreinterpretq_u32_u8(a), y = vreinterpretq_u32_u8(b);
    return vreinterpretq_u8_u32(high ? vzip2q_u32(x, y) : vzip1q_u32(x, y));
}

/* Bytes 2k of all blocks below bytes 2k + 1, as words[k]. */
NJ_INLINE void sort_bytes(row4 row, uint8x16_t words[4])
{
    static const uint8_t order[16] = { 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15 };
    const uint8x16_t both = vld1q_u8(order);
    uint8x16_t r0 = vqtbl1q_u8(row.run[0], both), r1 = vqtbl1q_u8(row.run[1], both);
    uint8x16_t r2 = vqtbl1q_u8(row.run[2], both), r3 = vqtbl1q_u8(row.run[3], both);
    uint8x16_t a0 = zip16(r0, r1, 0), a1 = zip16(r0, r1, 1), b0 = zip16(r2, r3, 0), b1 = zip16(r2, r3, 1);
    words[0] = zip32(a0, b0, 0);
    words[1] = zip32(a0, b0, 1);
    words[2] = zip32(a1, b1, 0);
    words[3] = zip32(a1, b1, 1);
}

/* Bytes n of all blocks, of words that sort_bytes left. */
NJ_INLINE uint8x8_t bytes(const uint8x16_t *words, int n)
{
    return n % 2 ? vget_high_u8(words[n / 2]) : vget_low_u8(words[n / 2]);
}

/* Bytes j of all blocks, as x[j]. */
NJ_INLINE void split(row4 row, lanes16 x[8])
{
    uint8x16_t words[4];
    int j;
    sort_bytes(row, words);
    for (j = 0; j < 8; j++)
        x[j] = vreinterpretq_s16_u16(vmovl_u8(bytes(words, j)));
}

/* What nj_mirror makes of samples, from two bytes: 32 times their sum and their difference. */
NJ_INLINE void mirror(uint8x8_t a, uint8x8_t b, lanes16 *s, lanes16 *d)
{
    *s = vreinterpretq_s16_u16(vshlq_n_u16(vaddl_u8(a, b), 5));
    *d = vreinterpretq_s16_u16(vshlq_n_u16(vsubl_u8(a, b), 5));
}

/* split and nj_mirror in one. */
NJ_INLINE void split_mirrored(row4 row, lanes16 s[4], lanes16 d[4])
{
    uint8x16_t words[4];
    int j;
    sort_bytes(row, words);
    for (j = 0; j < 4; j++)
        mirror(bytes(words, j), bytes(words, 7 - j), &s[j], &d[j]);
}

/* The same for interleaved pixels: byte n of a block's 24 is component n % 3 of column n / 3. */
NJ_INLINE void split_interleaved_mirrored(const row4 rows[3], lanes16 s[3][4], lanes16 d[3][4])
{
    uint8x16_t words[12];
    int c, j;
    for (c = 0; c < 3; c++)
        sort_bytes(rows[c], &words[4 * c]);
    for (c = 0; c < 3; c++)
        for (j = 0; j < 4; j++)
            mirror(bytes(words, 3 * j + c), bytes(words, 21 - 3 * j + c), &s[c][j], &d[c][j]);
}

/* The way back, clamping to 0..255. */
NJ_INLINE row4 join(const lanes16 x[8])
{
    row4 row;
    uint8x16_t columns[4], a0, a1, b0, b1;
    int k;
    for (k = 0; k < 4; k++) /* columns k and k + 4 */
        columns[k] = vcombine_u8(vqmovun_s16(x[k]), vqmovun_s16(x[k + 4]));
    a0 = zip16(vzip1q_u8(columns[0], columns[1]), vzip1q_u8(columns[2], columns[3]), 0);
    a1 = zip16(vzip1q_u8(columns[0], columns[1]), vzip1q_u8(columns[2], columns[3]), 1);
    b0 = zip16(vzip2q_u8(columns[0], columns[1]), vzip2q_u8(columns[2], columns[3]), 0);
    b1 = zip16(vzip2q_u8(columns[0], columns[1]), vzip2q_u8(columns[2], columns[3]), 1);
    row.run[0] = zip32(a0, b0, 0);
    row.run[1] = zip32(a0, b0, 1);
    row.run[2] = zip32(a1, b1, 0);
    row.run[3] = zip32(a1, b1, 1);
    return row;
}

NJ_INLINE row4 load_plane(const nj_run *runs, int i, int component)
{
    row4 row;
    int k;
    for (k = 0; k < 4; k++) {
        const nj_run *run = &runs[k / 2];
        row.run[k] = vld1q_u8(run->src + i * run->src_row + component * run->src_component + k % 2 * 16);
    }
    return row;
}

NJ_INLINE void store_plane(const nj_run *runs, int i, int component, row4 row)
{
    int k;
    for (k = 0; k < 4; k++) {
        const nj_run *run = &runs[k / 2];
        vst1q_u8(run->dst + i * run->dst_row + component * run->dst_component + k % 2 * 16, row.run[k]);
    }
}

/* Rows of pixels: see rows.h. */
enum { NJ_STEP = 16 };

typedef struct lanes16x2 {
    lanes16 even, odd;
} lanes16x2;

NJ_INLINE lanes16x2 even_odd_bytes(uint8x16_t bytes)
{
    const uint16x8_t pairs = vreinterpretq_u16_u8(bytes);
    lanes16x2 x = { vreinterpretq_s16_u16(vandq_u16(pairs, vdupq_n_u16(0xff))), vreinterpretq_s16_u16(vshrq_n_u16(pairs, 8)) };
    return x;
}
/* Clamped, in order. */
NJ_INLINE uint8x16_t consecutive_bytes(lanes16x2 x)
{
    const uint8x8_t even = vqmovun_s16(x.even), odd = vqmovun_s16(x.odd);
    return vcombine_u8(vzip1_u8(even, odd), vzip2_u8(even, odd));
}
NJ_INLINE lanes16x2 load_samples(const uint8_t *p) { return even_odd_bytes(vld1q_u8(p)); }
NJ_INLINE void store_samples(uint8_t *p, lanes16x2 x) { vst1q_u8(p, consecutive_bytes(x)); }
NJ_INLINE lanes16 load16(const int16_t *p) { return vld1q_s16(p); }
NJ_INLINE void store16(int16_t *p, lanes16 x) { vst1q_s16(p, x); }
NJ_INLINE lanes16 alternate16(int even, int odd, ptrdiff_t first)
{
    (void)first;
    return vzip1q_s16(set16(even), set16(odd));
}
NJ_INLINE void load_pixels3(const uint8_t *p, lanes16x2 x[3])
{
    const uint8x16x3_t bytes = vld3q_u8(p);
    int c;
    for (c = 0; c < 3; c++)
        x[c] = even_odd_bytes(bytes.val[c]);
}
NJ_INLINE void store_pixels3(uint8_t *p, const lanes16x2 x[3])
{
    uint8x16x3_t bytes;
    int c;
    for (c = 0; c < 3; c++)
        bytes.val[c] = consecutive_bytes(x[c]);
    vst3q_u8(p, bytes);
}
NJ_INLINE void load_pixels4(const uint8_t *p, lanes16x2 x[4])
{
    const uint8x16x4_t bytes = vld4q_u8(p);
    int c;
    for (c = 0; c < 4; c++)
        x[c] = even_odd_bytes(bytes.val[c]);
}
NJ_INLINE void store_pixels4(uint8_t *p, const lanes16x2 x[4])
{
    uint8x16x4_t bytes;
    int c;
    for (c = 0; c < 4; c++)
        bytes.val[c] = consecutive_bytes(x[c]);
    vst4q_u8(p, bytes);
}
NJ_INLINE lanes16 load_consecutive(const uint8_t *p) { return vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p))); }
NJ_INLINE void store_consecutive(uint8_t *p, lanes16 x) { vst1_u8(p, vqmovun_s16(x)); }
NJ_INLINE lanes16x2 even_odd(lanes16 a, lanes16 b)
{
    lanes16x2 x = { vuzp1q_s16(a, b), vuzp2q_s16(a, b) };
    return x;
}

/* Row i of each block, from and to vectors of one coefficient. */
NJ_INLINE void transpose16(lanes16 x[8])
{
    int16x8_t a[8];
    int k, n;
    for (n = 0; n < 3; n++) { /* each time, vector k gets what is wanted of vectors k and k + 4 */
        for (k = 0; k < 4; k++) {
            a[2 * k] = vzip1q_s16(x[k], x[k + 4]);
            a[2 * k + 1] = vzip2q_s16(x[k], x[k + 4]);
        }
        for (k = 0; k < 8; k++)
            x[k] = a[k];
    }
}
NJ_INLINE void load_coefficients(const int16_t *const *blocks, int i, lanes16 x[8])
{
    int m;
    for (m = 0; m < 8; m++)
        x[m] = vld1q_s16(blocks[m] + 8 * i);
    transpose16(x);
}
NJ_INLINE void store_coefficients(int16_t *const *blocks, int i, const lanes16 *row)
{
    lanes16 x[8];
    int m;
    for (m = 0; m < 8; m++)
        x[m] = row[m];
    transpose16(x);
    for (m = 0; m < 8; m++)
        vst1q_s16(blocks[m] + 8 * i, x[m]);
}
NJ_INLINE int any_negative16(lanes16 x) { return vminvq_s16(x) < 0; }

/* Interleaved pixels, as in lanes_avx2.h: rows[k] gets words k of all blocks. */
NJ_INLINE void load_interleaved(const nj_run *runs, int i, row4 rows[3])
{
    int k, r;
    for (r = 0; r < 4; r++) {
        const uint8_t *src = runs[r / 2].src + i * runs[r / 2].src_row + r % 2 * 48;
        for (k = 0; k < 3; k++)
            rows[k].run[r] = vcombine_u8(vld1_u8(src + 8 * k), vld1_u8(src + 8 * k + 24));
    }
}

NJ_INLINE void store_interleaved(const nj_run *runs, int i, const row4 rows[3])
{
    int k, r;
    for (r = 0; r < 4; r++) {
        uint8_t *dst = runs[r / 2].dst + i * runs[r / 2].dst_row + r % 2 * 48;
        for (k = 0; k < 3; k++) {
            vst1_u8(dst + 8 * k, vget_low_u8(rows[k].run[r]));
            vst1_u8(dst + 8 * k + 24, vget_high_u8(rows[k].run[r]));
        }
    }
}

/* Pixels of four bytes: a block has four words in a row, and rows[k] gets words k of all blocks. */
NJ_INLINE void load_padded(const nj_run *runs, int i, row4 rows[4])
{
    int k, r;
    for (r = 0; r < 4; r++) {
        const uint8_t *src = runs[r / 2].src + i * runs[r / 2].src_row + r % 2 * 64;
        for (k = 0; k < 4; k++)
            rows[k].run[r] = vcombine_u8(vld1_u8(src + 8 * k), vld1_u8(src + 8 * k + 32));
    }
}

NJ_INLINE void store_padded(const nj_run *runs, int i, const row4 rows[4])
{
    int k, r;
    for (r = 0; r < 4; r++) {
        uint8_t *dst = runs[r / 2].dst + i * runs[r / 2].dst_row + r % 2 * 64;
        for (k = 0; k < 4; k++) {
            vst1_u8(dst + 8 * k, vget_low_u8(rows[k].run[r]));
            vst1_u8(dst + 8 * k + 32, vget_high_u8(rows[k].run[r]));
        }
    }
}

#endif
