/* Lanes for any C compiler: a cell for each of the four blocks of a run, in one register of 128 bits. */
#ifndef NNJPEG_LANES_GENERIC_H
#define NNJPEG_LANES_GENERIC_H

#include <stddef.h>
#include <stdint.h>

#include "inline.h"
#include "isa.h"

/* The registers. lanes_sse2.h and lanes_vectors.h have, beside what block.h wants,
 *
 *     load_bytes(p) store_bytes(p, x)      16 bytes
 *     zip8lo(x, y) zip8hi(x, y)            bytes of both in turn, from their lower, or upper, halves; also zip16, zip32, zip64
 *     even_bytes(x) odd_bytes(x)           as 16-bit numbers
 *     widen_lo(x) widen_hi(x)              the lower, or upper, eight
 *     clamped_bytes(x, y)                  numbers of x and then of y
 *     swap_cells(x)                        each cell's numbers in the other order
 *     blend_seconds(x, y)                  cells of x's first numbers and y's second ones
 *     with_fourths(x, y)                   the bytes of x, but every fourth of y
 */
#if defined(__SSE2__) || defined(_M_X64)
#include "lanes_sse2.h"
#else
#include "lanes_vectors.h"
#endif

#include "lanes_interleaved.h"

enum { NJ_RUNS = 1 };

/* A row of one component: the bytes of blocks 0 and 1, and of blocks 2 and 3. */
typedef struct row_bytes {
    reg x[2];
} row_bytes;

NJ_INLINE void split_bytes(row_bytes row, cells16 x[4])
{
    /* Of all blocks in turn: bytes 0 1 2 3 of blocks 0 and 2, and of 1 and 3, two at a time, and so on. */
    const reg a = zip16lo(row.x[0], row.x[1]), b = zip16hi(row.x[0], row.x[1]);
    const reg lo = zip16lo(a, b), hi = zip16hi(a, b);
    x[0] = widen_lo(lo);
    x[1] = swap_cells(widen_hi(hi));
    x[2] = swap_cells(widen_hi(lo));
    x[3] = widen_lo(hi);
}
NJ_INLINE void mirror_bytes(row_bytes row, cells16 s[2], cells16 d[2])
{
    cells16 x[4];
    int k;
    split_bytes(row, x);
    for (k = 0; k < 2; k++) {
        s[k] = shl16(add16(x[2 * k], x[2 * k + 1]), 5);
        d[k] = shl16(sub16(x[2 * k], x[2 * k + 1]), 5);
    }
}
/* The way back from cells of neighbours, clamping to 0..255. */
NJ_INLINE row_bytes join(const cells16 x[4])
{
    const reg p = clamped_bytes(x[0], x[2]), q = clamped_bytes(x[1], x[3]);
    const reg lo = zip16lo(p, q), hi = zip16hi(p, q);
    const row_bytes row = { { zip32lo(lo, hi), zip32hi(lo, hi) } };
    return row;
}

NJ_INLINE row_bytes load_plane(const nj_run *runs, int i, int component)
{
    const uint8_t *src = runs->src + i * runs->src_row + component * runs->src_component;
    const row_bytes row = { { load_bytes(src), load_bytes(src + 16) } };
    return row;
}
NJ_INLINE void store_plane(const nj_run *runs, int i, int component, const cells16 x[4])
{
    uint8_t *dst = runs->dst + i * runs->dst_row + component * runs->dst_component;
    const row_bytes row = join(x);
    store_bytes(dst, row.x[0]);
    store_bytes(dst + 16, row.x[1]);
}

/* Sixteen pixels of `size` bytes to a register for each component. A step takes bytes in turn from the two halves of all
 * registers together, so that byte n moves to 2n modulo 16 size - 1. After four of them byte size * j + c is byte j of register c. */
NJ_INLINE void load_components(const uint8_t *p, int size, reg x[4])
{
    int k, c;
    for (c = 0; c < 4; c++)
        x[c] = c < size ? load_bytes(p + 16 * c) : set16(0);
    for (k = 0; k < 4; k++) {
        const reg a = x[0], b = x[1], c = x[2], d = x[3];
        x[0] = zip8lo(a, size == 3 ? zip64hi(b, b) : c);
        x[1] = zip8hi(a, size == 3 ? zip64lo(c, c) : c);
        x[2] = zip8lo(b, size == 3 ? zip64hi(c, c) : d);
        x[3] = zip8hi(b, d);
    }
}

NJ_INLINE void load_pixel_rows(const nj_run *runs, int i, int size, row_bytes rows[3])
{
    int k, c;
    for (k = 0; k < 2; k++) {
        reg x[4];
        load_components(runs->src + i * runs->src_row + 16 * size * k, size, x);
        for (c = 0; c < 3; c++)
            rows[c].x[k] = x[c];
    }
}

NJ_INLINE void store_pixels_of_runs(const nj_run *runs, int i, int size, cells16 samples[3][4])
{
    const uint8_t *src = runs->src + i * runs->src_row;
    uint8_t *dst = runs->dst + i * runs->dst_row;
    cells16 bytes[16];
    row_bytes words[4]; /* of 8 bytes: word k of each block */
    int k, n;
    interleave(samples, size, bytes);
    for (k = 0; k < 4; k++)
        words[k] = join(&bytes[k < size ? 4 * k : 0]);
    for (n = 0; n < 2; n++) {
        const reg w0 = words[0].x[n], w1 = words[1].x[n], w2 = words[2].x[n], w3 = words[3].x[n];
        if (size == 3) {
            store_bytes(dst + 48 * n, zip64lo(w0, w1));
            store_bytes(dst + 48 * n + 16, zip64lo(w2, zip64hi(w0, w0)));
            store_bytes(dst + 48 * n + 32, zip64hi(w1, w2));
        } else {
            const reg pixels[4] = { zip64lo(w0, w1), zip64lo(w2, w3), zip64hi(w0, w1), zip64hi(w2, w3) };
            for (k = 0; k < 4; k++)
                store_bytes(dst + 64 * n + 16 * k, with_fourths(pixels[k], load_bytes(src + 64 * n + 16 * k)));
        }
    }
}

/* Rows of pixels: see rows.h. */
enum { NJ_STEP = 16 };

typedef struct lanes16x2 {
    lanes16 even, odd;
} lanes16x2;

NJ_INLINE lanes16x2 even_odd_bytes(reg bytes)
{
    lanes16x2 x = { even_bytes(bytes), odd_bytes(bytes) };
    return x;
}
/* Clamped, in order. */
NJ_INLINE reg consecutive_bytes(lanes16x2 x)
{
    const reg bytes = clamped_bytes(x.even, x.odd);
    return zip8lo(bytes, zip64hi(bytes, bytes));
}
NJ_INLINE lanes16x2 load_samples(const uint8_t *p) { return even_odd_bytes(load_bytes(p)); }
NJ_INLINE void store_samples(uint8_t *p, lanes16x2 x) { store_bytes(p, consecutive_bytes(x)); }
NJ_INLINE lanes16 load16(const int16_t *p) { return load_bytes(p); }
NJ_INLINE void store16(int16_t *p, lanes16 x) { store_bytes(p, x); }
NJ_INLINE lanes16 alternate16(int even, int odd, ptrdiff_t first)
{
    (void)first;
    return zip16lo(set16(even), set16(odd));
}
NJ_INLINE void load_pixels_of(const uint8_t *p, lanes16x2 *x, int size)
{
    reg components[4];
    int c;
    load_components(p, size, components);
    for (c = 0; c < size; c++)
        x[c] = even_odd_bytes(components[c]);
}
NJ_INLINE void load_pixels3(const uint8_t *p, lanes16x2 *x) { load_pixels_of(p, x, 3); }
NJ_INLINE void load_pixels4(const uint8_t *p, lanes16x2 *x) { load_pixels_of(p, x, 4); }
/* The steps of load_components backwards. */
NJ_INLINE void store_pixels3(uint8_t *p, const lanes16x2 *x)
{
    reg a = consecutive_bytes(x[0]), b = consecutive_bytes(x[1]), c = consecutive_bytes(x[2]);
    int k;
    for (k = 0; k < 4; k++) {
        const reg ab = clamped_bytes(even_bytes(a), even_bytes(b)), ca = clamped_bytes(even_bytes(c), odd_bytes(a));
        c = clamped_bytes(odd_bytes(b), odd_bytes(c));
        a = ab;
        b = ca;
    }
    store_bytes(p, a);
    store_bytes(p + 16, b);
    store_bytes(p + 32, c);
}
NJ_INLINE void store_pixels4(uint8_t *p, const lanes16x2 *x)
{
    reg bytes[4];
    int c, half;
    for (c = 0; c < 4; c++)
        bytes[c] = consecutive_bytes(x[c]);
    for (half = 0; half < 2; half++) {
        const reg rg = half ? zip8hi(bytes[0], bytes[1]) : zip8lo(bytes[0], bytes[1]);
        const reg bx = half ? zip8hi(bytes[2], bytes[3]) : zip8lo(bytes[2], bytes[3]);
        store_bytes(p + 32 * half, zip16lo(rg, bx));
        store_bytes(p + 32 * half + 16, zip16hi(rg, bx));
    }
}
NJ_INLINE lanes16 load_consecutive(const uint8_t *p)
{
    reg x = set16(0);
    memcpy(&x, p, 8);
    return widen_lo(x);
}
NJ_INLINE void store_consecutive(uint8_t *p, lanes16 x)
{
    const reg bytes = clamped_bytes(x, x);
    memcpy(p, &bytes, 8);
}
NJ_INLINE lanes16x2 even_odd(lanes16 a, lanes16 b) { return even_odd_bytes(clamped_bytes(a, b)); }

/* Row i of each block, from and to cells of neighbours. */
NJ_INLINE void transpose_cells(const reg x[4], reg y[4])
{
    const reg a = zip32lo(x[0], x[1]), b = zip32hi(x[0], x[1]), c = zip32lo(x[2], x[3]), d = zip32hi(x[2], x[3]);
    y[0] = zip64lo(a, c);
    y[1] = zip64hi(a, c);
    y[2] = zip64lo(b, d);
    y[3] = zip64hi(b, d);
}
NJ_INLINE void load_coefficients(const int16_t *const *blocks, int i, cells16 row[4])
{
    reg x[4];
    int m;
    for (m = 0; m < 4; m++)
        x[m] = load_bytes(blocks[m] + 8 * i);
    transpose_cells(x, row);
}
NJ_INLINE void store_coefficients(int16_t *const *blocks, int i, const cells16 row[4])
{
    reg x[4];
    int m;
    transpose_cells(row, x);
    for (m = 0; m < 4; m++)
        store_bytes(blocks[m] + 8 * i, x[m]);
}
/* Whether a number lies beyond its limit. */
NJ_INLINE int any_beyond(const cells16 x[4], const uint16_t limits[8])
{
    uint64_t room[2] = { 0, 0 };
    int m;
    for (m = 0; m < 4; m++) {
        const reg limit = spread_cells(&limits[2 * m]), above = sub16(limit, x[m]), below = add16(limit, x[m]);
        uint64_t r[4];
        memcpy(r, &above, sizeof above);
        memcpy(r + 2, &below, sizeof below);
        room[0] |= r[0] | r[2];
        room[1] |= r[1] | r[3];
    }
    return ((room[0] | room[1]) & UINT64_C(0x8000800080008000)) != 0;
}

#include "lanes_f32.h"

#endif
