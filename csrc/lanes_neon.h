/* Lanes for NEON on 64-bit Arm: the 8 blocks of two runs, one 128-bit register a lanes16. A cell is two of these, since Arm
 * multiplies without adding neighbours. */
#ifndef NNJPEG_LANES_NEON_H
#define NNJPEG_LANES_NEON_H

#include <arm_neon.h>
#include <string.h>

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
NJ_INLINE lanes16 add16(lanes16 a, lanes16 b) { return vaddq_s16(a, b); }
NJ_INLINE lanes16 sub16(lanes16 a, lanes16 b) { return vsubq_s16(a, b); }
NJ_INLINE lanes16 shl16(lanes16 x, int n) { return vshlq_s16(x, vdupq_n_s16((int16_t)n)); }
NJ_INLINE lanes16 sra16(lanes16 x, int n) { return vshlq_s16(x, vdupq_n_s16((int16_t)-n)); }
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
NJ_INLINE lanes16 narrow(lanes32 x)
{
    return vuzp2q_s16(vreinterpretq_s16_s32(x.lo), vreinterpretq_s16_s32(x.hi));
}

#include "lanes_cells.h"

/* Two numbers, as a multiplication by one of them takes them. */
NJ_INLINE int16x4_t two_numbers(const uint16_t p[2])
{
    uint32_t both;
    memcpy(&both, p, sizeof both);
    return vreinterpret_s16_u32(vdup_n_u32(both));
}
NJ_INLINE cells16 mul_cells(cells16 x, const uint16_t p[2])
{
    return pair16(vmulq_lane_s16(x.a, two_numbers(p), 0), vmulq_lane_s16(x.b, two_numbers(p), 1));
}
/* Through (2xp) >> 16, which is one instruction. */
NJ_INLINE cells16 mulhi_cells(cells16 x, const uint16_t p[2])
{
    return pair16(vshrq_n_s16(vqdmulhq_lane_s16(x.a, two_numbers(p), 0), 1),
                  vshrq_n_s16(vqdmulhq_lane_s16(x.b, two_numbers(p), 1), 1));
}
NJ_INLINE cells16 mulhrs_cells(cells16 x, const uint16_t p[2])
{
    return pair16(vqrdmulhq_lane_s16(x.a, two_numbers(p), 0), vqrdmulhq_lane_s16(x.b, two_numbers(p), 1));
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

/* A row of one component of all blocks: register k has blocks 2k % 4 and 2k % 4 + 1 of run k / 2. */
typedef struct row_bytes {
    uint8x16_t run[4];
} row_bytes;

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
NJ_INLINE void sort_bytes(row_bytes row, uint8x16_t words[4])
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

/* What nj_mirror makes of samples, from two bytes of each block: 32 times their sum and their difference. */
NJ_INLINE lanes16 sum_of_bytes(uint8x8_t a, uint8x8_t b) { return vreinterpretq_s16_u16(vshlq_n_u16(vaddl_u8(a, b), 5)); }
NJ_INLINE lanes16 difference_of_bytes(uint8x8_t a, uint8x8_t b)
{
    return vreinterpretq_s16_u16(vshlq_n_u16(vsubl_u8(a, b), 5));
}
NJ_INLINE void mirror_bytes(row_bytes row, cells16 s[2], cells16 d[2])
{
    uint8x16_t words[4];
    uint8x8_t x[8];
    int k;
    sort_bytes(row, words);
    for (k = 0; k < 8; k++)
        x[k] = bytes(words, k);
    s[0] = pair16(sum_of_bytes(x[0], x[7]), sum_of_bytes(x[1], x[6]));
    s[1] = pair16(sum_of_bytes(x[3], x[4]), sum_of_bytes(x[2], x[5]));
    d[0] = pair16(difference_of_bytes(x[0], x[7]), difference_of_bytes(x[1], x[6]));
    d[1] = pair16(difference_of_bytes(x[3], x[4]), difference_of_bytes(x[2], x[5]));
}
NJ_INLINE void split_bytes(row_bytes row, cells16 x[4])
{
    static const int order[8] = { 0, 1, 7, 6, 3, 2, 4, 5 };
    uint8x16_t words[4];
    int k;
    sort_bytes(row, words);
    for (k = 0; k < 4; k++)
        x[k] = pair16(vreinterpretq_s16_u16(vmovl_u8(bytes(words, order[2 * k]))),
                      vreinterpretq_s16_u16(vmovl_u8(bytes(words, order[2 * k + 1]))));
}

NJ_INLINE cells16 clamp_cells(cells16 x) { return pair16(clamp16(x.a), clamp16(x.b)); }
NJ_INLINE cells16 firsts(cells16 x, cells16 y) { return pair16(x.a, y.a); }
NJ_INLINE cells16 seconds(cells16 x, cells16 y) { return pair16(x.b, y.b); }
NJ_INLINE void convert_cells(cells16 x[3], void (*transform)(lanes16 x[3]))
{
    lanes16 a[3] = { x[0].a, x[1].a, x[2].a }, b[3] = { x[0].b, x[1].b, x[2].b };
    int c;
    transform(a);
    transform(b);
    for (c = 0; c < 3; c++)
        x[c] = pair16(a[c], b[c]);
}

/* The way back from cells of neighbours to bytes, clamping to 0..255. */
NJ_INLINE row_bytes join(const cells16 x[4])
{
    row_bytes row;
    uint8x16_t columns[4], a0, a1, b0, b1;
    int k;
    for (k = 0; k < 2; k++) { /* columns 2k and 2k + 4, then 2k + 1 and 2k + 5 */
        columns[2 * k] = vcombine_u8(vqmovun_s16(x[k].a), vqmovun_s16(x[k + 2].a));
        columns[2 * k + 1] = vcombine_u8(vqmovun_s16(x[k].b), vqmovun_s16(x[k + 2].b));
    }
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

NJ_INLINE row_bytes load_plane(const nj_run *runs, int i, int component)
{
    row_bytes row;
    int k;
    for (k = 0; k < 4; k++) {
        const nj_run *run = &runs[k / 2];
        row.run[k] = vld1q_u8(run->src + i * run->src_row + component * run->src_component + k % 2 * 16);
    }
    return row;
}

NJ_INLINE void store_plane(const nj_run *runs, int i, int component, const cells16 x[4])
{
    const row_bytes row = join(x);
    int k;
    for (k = 0; k < 4; k++) {
        const nj_run *run = &runs[k / 2];
        vst1q_u8(run->dst + i * run->dst_row + component * run->dst_component + k % 2 * 16, row.run[k]);
    }
}

NJ_INLINE void load_pixel_rows(const nj_run *runs, int i, int size, row_bytes rows[3])
{
    int k, c;
    for (k = 0; k < 4; k++) {
        const uint8_t *src = runs[k / 2].src + i * runs[k / 2].src_row + k % 2 * 16 * size;
        if (size == 3) {
            const uint8x16x3_t pixels = vld3q_u8(src);
            for (c = 0; c < 3; c++)
                rows[c].run[k] = pixels.val[c];
        } else {
            const uint8x16x4_t pixels = vld4q_u8(src);
            for (c = 0; c < 3; c++)
                rows[c].run[k] = pixels.val[c];
        }
    }
}

NJ_INLINE void store_pixels_of_runs(const nj_run *runs, int i, int size, cells16 samples[3][4])
{
    row_bytes rows[3];
    int k, c;
    for (c = 0; c < 3; c++)
        rows[c] = join(samples[c]);
    for (k = 0; k < 4; k++) {
        const uint8_t *src = runs[k / 2].src + i * runs[k / 2].src_row + k % 2 * 16 * size;
        uint8_t *dst = runs[k / 2].dst + i * runs[k / 2].dst_row + k % 2 * 16 * size;
        if (size == 3) {
            const uint8x16x3_t pixels = { { rows[0].run[k], rows[1].run[k], rows[2].run[k] } };
            vst3q_u8(dst, pixels);
        } else {
            const uint8x16x4_t pixels = { { rows[0].run[k], rows[1].run[k], rows[2].run[k], vld4q_u8(src).val[3] } };
            vst4q_u8(dst, pixels);
        }
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

/* Row i of each block, from and to cells of neighbours. */
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
NJ_INLINE void load_coefficients(const int16_t *const *blocks, int i, cells16 row[4])
{
    lanes16 x[8];
    int m;
    for (m = 0; m < 8; m++)
        x[m] = vld1q_s16(blocks[m] + 8 * i);
    transpose16(x);
    for (m = 0; m < 4; m++)
        row[m] = pair16(x[2 * m], x[2 * m + 1]);
}
NJ_INLINE void store_coefficients(int16_t *const *blocks, int i, const cells16 row[4])
{
    lanes16 x[8];
    int m;
    for (m = 0; m < 8; m++)
        x[m] = m % 2 ? row[m / 2].b : row[m / 2].a;
    transpose16(x);
    for (m = 0; m < 8; m++)
        vst1q_s16(blocks[m] + 8 * i, x[m]);
}
/* Whether a number lies beyond its limit. */
NJ_INLINE int any_beyond(const cells16 x[4], const uint16_t limits[8])
{
    int16x8_t room = vdupq_n_s16(0);
    int m;
    for (m = 0; m < 4; m++) {
        room = vorrq_s16(room, vsubq_s16(vdupq_n_s16((int16_t)limits[2 * m]), vabsq_s16(x[m].a)));
        room = vorrq_s16(room, vsubq_s16(vdupq_n_s16((int16_t)limits[2 * m + 1]), vabsq_s16(x[m].b)));
    }
    return vminvq_s16(room) < 0;
}

#endif
