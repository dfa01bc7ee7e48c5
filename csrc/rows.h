/* Pixels to components and back, with chroma subsampling, over lanes: what isa_<isa>.c makes of lanes_<kind>.h and block.h.
 *
 * A lane is a pixel here. A step is NJ_STEP pixels of a row: those of even columns in one vector, those of odd columns in
 * another, so that what subsampling does along a row is done between the two. lanes_<kind>.h provides
 *
 *     NJ_STEP                                   pixels; twice the lanes
 *     lanes16x2                                 { even, odd }
 *     load_samples(p), store_samples(p, x)      NJ_STEP bytes; storing clamps to 0..255
 *     load_pixels3(p, x), store_pixels3(p, x)   NJ_STEP pixels of three bytes as x[3]; storing clamps
 *     load_pixels4(p, x), store_pixels4(p, x)   of four
 *     load_consecutive(p), store_consecutive(p, x)  NJ_STEP / 2 bytes, a lane each; stored values are 0..255
 *     even_odd(a, b)                            two vectors of consecutive values in 0..255 as lanes16x2
 *     load16(p), store16(p, x)                  NJ_STEP / 2 numbers
 *     alternate16(even, odd, first)             a constant for each lane by its number, that of the first being `first`
 */
#ifndef NNJPEG_ROWS_H
#define NNJPEG_ROWS_H

#include <string.h>

#include "isa.h"

NJ_INLINE void load_pixels(const uint8_t *p, ptrdiff_t component, nj_layout layout, lanes16x2 x[4])
{
    int c;
    if (layout == NJ_INTERLEAVED)
        load_pixels3(p, x);
    else if (layout == NJ_PADDED)
        load_pixels4(p, x);
    else
        for (c = 0; c < 3; c++)
            x[c] = load_samples(p + c * component);
}

NJ_INLINE void store_pixels(uint8_t *p, ptrdiff_t component, nj_layout layout, const lanes16x2 x[4])
{
    int c;
    if (layout == NJ_INTERLEAVED)
        store_pixels3(p, x);
    else if (layout == NJ_PADDED)
        store_pixels4(p, x);
    else
        for (c = 0; c < 3; c++)
            store_samples(p + c * component, x[c]);
}

/* A colour transform of the first three. */
NJ_INLINE void convert(lanes16x2 x[4], void (*transform)(lanes16 x[3]))
{
    lanes16 even[3] = { x[0].even, x[1].even, x[2].even }, odd[3] = { x[0].odd, x[1].odd, x[2].odd };
    int c;
    transform(even);
    transform(odd);
    for (c = 0; c < 3; c++) {
        x[c].even = even[c];
        x[c].odd = odd[c];
    }
}

/* `sum`: of v rows of one component of chroma. */
NJ_INLINE void store_downsampled(uint8_t *p, ptrdiff_t x, lanes16x2 sum, int h, int v)
{
    if (h == 2) {
        lanes16 bias = alternate16(nj_downsampling_bias(h, v, 0), nj_downsampling_bias(h, v, 1), x / 2);
        store_consecutive(p + x / 2, nj_downsample(add16(sum.even, sum.odd), bias, h, v));
        return;
    }
    if (v == 2) {
        lanes16 bias = set16(nj_downsampling_bias(h, v, 0));
        sum.even = nj_downsample(sum.even, bias, h, v);
        sum.odd = nj_downsample(sum.odd, bias, h, v);
    }
    store_samples(p + x, sum);
}

NJ_INLINE void encode_rows(const void *const pixels[2], ptrdiff_t component, nj_layout layout, void *const luma[2],
                           uint8_t *cb, uint8_t *cr, ptrdiff_t width, int h, int v)
{
    const int size = nj_pixel_samples(layout);
    ptrdiff_t x;
    for (x = 0; x < width; x += NJ_STEP) {
        lanes16x2 sums[2];
        int r, c;
        for (r = 0; r < v; r++) {
            lanes16x2 p[4];
            load_pixels((const uint8_t *)pixels[r] + size * x, component, layout, p);
            convert(p, nj_rgb_to_ycbcr);
            store_samples((uint8_t *)luma[r] + x, p[0]);
            for (c = 0; c < 2; c++) {
                sums[c].even = r ? add16(sums[c].even, p[1 + c].even) : p[1 + c].even;
                sums[c].odd = r ? add16(sums[c].odd, p[1 + c].odd) : p[1 + c].odd;
            }
        }
        store_downsampled(cb, x, sums[0], h, v);
        store_downsampled(cr, x, sums[1], h, v);
    }
}

static void repeat_ends(int16_t *sums, ptrdiff_t count)
{
    sums[-1] = sums[0];
    sums[count] = sums[count - 1];
}

static void mix(const void *near, const void *far, void *sum, ptrdiff_t count)
{
    const uint8_t *n = near, *f = far;
    int16_t *s = sum;
    ptrdiff_t x;
    for (x = 0; x < count; x += NJ_STEP / 2)
        store16(s + x, nj_triangle(load_consecutive(n + x), load_consecutive(f + x)));
    repeat_ends(s, count);
}

static void widen(const void *near, void *sum, ptrdiff_t count)
{
    const uint8_t *n = near;
    int16_t *s = sum;
    ptrdiff_t x;
    for (x = 0; x < count; x += NJ_STEP / 2)
        store16(s + x, load_consecutive(n + x));
    repeat_ends(s, count);
}

/* A step of one component of chroma; see nj_rows. */
NJ_INLINE lanes16x2 load_upsampled(const void *chroma, ptrdiff_t x, int odd_row, int reach, int h, int v)
{
    const int16_t *sums = chroma;
    if (h == 2) {
        const lanes16 near = load16(sums + x / 2);
        lanes16x2 c;
        c.even = nj_triangle(near, load16(sums + x / 2 - reach));
        c.odd = nj_triangle(near, load16(sums + x / 2 + reach));
        c.even = nj_upsampled(c.even, set16(nj_upsampling_bias(h, v, 0)), h, v);
        c.odd = nj_upsampled(c.odd, set16(nj_upsampling_bias(h, v, 1)), h, v);
        return c;
    }
    if (v == 2) {
        const lanes16 bias = set16(nj_upsampling_bias(h, v, odd_row));
        return even_odd(nj_upsampled(load16(sums + x), bias, h, v),
                        nj_upsampled(load16(sums + x + NJ_STEP / 2), bias, h, v));
    }
    return load_samples((const uint8_t *)chroma + x);
}

NJ_INLINE void decode_row(const uint8_t *luma, const void *cb, const void *cr, int odd_row, int reach, const uint8_t *padding,
                          uint8_t *pixels, ptrdiff_t component, nj_layout layout, ptrdiff_t width, int h, int v)
{
    const int size = nj_pixel_samples(layout);
    ptrdiff_t x;
    for (x = 0; x < width; x += NJ_STEP) {
        lanes16x2 p[4];
        if (layout == NJ_PADDED)
            load_pixels4(padding + size * x, p);
        p[0] = load_samples(luma + x);
        p[1] = load_upsampled(cb, x, odd_row, reach, h, v);
        p[2] = load_upsampled(cr, x, odd_row, reach, h, v);
        convert(p, nj_ycbcr_to_rgb);
        store_pixels(pixels + size * x, component, layout, p);
    }
}

#define NJ_ROWS(name, h, v)                                                                                              \
    static void encode_##name(const void *const pixels[2], ptrdiff_t component, nj_layout layout, void *const luma[2],   \
                              void *cb, void *cr, ptrdiff_t width)                                                       \
    {                                                                                                                    \
        encode_rows(pixels, component, layout, luma, cb, cr, width, h, v);                                               \
    }                                                                                                                    \
    static void decode_##name(const void *luma, const void *cb, const void *cr, int odd_row, int reach,                  \
                              const uint8_t *padding, void *pixels, ptrdiff_t component, nj_layout layout,               \
                              ptrdiff_t width)                                                                           \
    {                                                                                                                    \
        decode_row(luma, cb, cr, odd_row, reach, padding, pixels, component, layout, width, h, v);                       \
    }

NJ_ROWS(444, 1, 1)
NJ_ROWS(422, 2, 1)
NJ_ROWS(420, 2, 2)
NJ_ROWS(440, 1, 2)

/* Of a row that is no whole number of steps, the last step goes again over pixels of the one before. */
static void split_pixels(const uint8_t *pixels, int size, uint8_t *const *planes, ptrdiff_t count)
{
    ptrdiff_t x = 0;
    int c;
    while (x < count && count >= NJ_STEP) {
        lanes16x2 p[4];
        x = x + NJ_STEP <= count ? x : count - NJ_STEP;
        load_pixels(pixels + size * x, 0, size == 3 ? NJ_INTERLEAVED : NJ_PADDED, p);
        for (c = 0; c < size; c++)
            store_samples(planes[c] + x, p[c]);
        x += NJ_STEP;
    }
    for (; x < count; x++)
        for (c = 0; c < size; c++)
            planes[c][x] = pixels[size * x + c];
}

static void join_planes(const uint8_t *const *planes, int size, uint8_t *pixels, ptrdiff_t count)
{
    ptrdiff_t x = 0;
    int c;
    while (x < count && count >= NJ_STEP) {
        lanes16x2 p[4];
        x = x + NJ_STEP <= count ? x : count - NJ_STEP;
        for (c = 0; c < size; c++)
            p[c] = load_samples(planes[c] + x);
        store_pixels(pixels + size * x, 0, size == 3 ? NJ_INTERLEAVED : NJ_PADDED, p);
        x += NJ_STEP;
    }
    for (; x < count; x++)
        for (c = 0; c < size; c++)
            pixels[size * x + c] = planes[c][x];
}

static void reverse_samples(const uint8_t *src, uint8_t *dst, ptrdiff_t count)
{
    ptrdiff_t x;
    for (x = 0; x < count; x++)
        dst[x] = src[count - 1 - x];
}

static void quantize(int16_t *coefficients, const nnjpeg_step *step)
{
    size_t k;
    for (k = 0; k < NJ_MAX_NUMBERS; k += sizeof(cells16) / sizeof *coefficients) {
        cells16 x;
        memcpy(&x, coefficients + k, sizeof x);
        x = nj_quantize(x, step);
        memcpy(coefficients + k, &x, sizeof x);
    }
}

/* In the order of enum nnjpeg_subsampling. */
#define NJ_ISA_ROWS                                                                  \
    { NJ_STEP,                                                                       \
      { encode_444, encode_422, encode_420, encode_440 },                            \
      mix,                                                                           \
      widen,                                                                         \
      { decode_444, decode_422, decode_420, decode_440 } },                          \
        split_pixels, join_planes, reverse_samples, quantize

#endif
