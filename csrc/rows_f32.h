/* Pixels to components and back with chroma subsampling in single precision, and the gradients of both: what isa_<isa>.c makes of
 * lanes_<isa>.h and block_f32.h. A step is so many pixels that halves of it are whole vectors of any instruction set; between
 * them and their vectors, compilers find the shuffles. */
#ifndef NNJPEG_ROWS_F32_H
#define NNJPEG_ROWS_F32_H

#include "block_f32.h"
#include "isa.h"

enum { NJ_F32_STEP = 32, NJ_F32_VECTOR_WIDTH = NJ_F32_BLOCKS * NNJPEG_BLOCK / NJ_F32_VECTORS };

NJ_INLINE lanes_f32 limited(lanes_f32 x) { return clamp_f32(x, -128.0f, 127.0f); }

NJ_INLINE void encode_rows_f32(const void *const pixels[2], ptrdiff_t component, void *const luma[2], float *cb, float *cr,
                               ptrdiff_t width, int h, int v)
{
    ptrdiff_t x;
    int r, c, i;
    for (x = 0; x < width; x += NJ_F32_STEP) {
        float sums[2][NJ_F32_STEP];
        for (r = 0; r < v; r++)
            for (i = 0; i < NJ_F32_STEP; i += NJ_F32_VECTOR_WIDTH) {
                const float *p = (const float *)pixels[r] + x + i;
                lanes_f32 of[3];
                for (c = 0; c < 3; c++)
                    of[c] = nj_from_unit(load_f32(p + c * component / (ptrdiff_t)sizeof *p));
                nj_rgb_to_ycbcr_f32(of);
                store_f32((float *)luma[r] + x + i, of[0]);
                for (c = 0; c < 2; c++)
                    store_f32(&sums[c][i], r ? add_f32(load_f32(&sums[c][i]), of[1 + c]) : of[1 + c]);
            }
        for (c = 0; c < 2; c++) {
            float *to = (c ? cr : cb) + x / h;
            for (i = 0; i < NJ_F32_STEP / h; i++)
                to[i] = (h == 2 ? sums[c][2 * i] + sums[c][2 * i + 1] : sums[c][i]) * (1.0f / (float)(h * v));
        }
    }
}

static void repeat_ends_f32(float *sums, ptrdiff_t count)
{
    sums[-1] = sums[0];
    sums[count] = sums[count - 1];
}

static void mix_f32(const void *near, const void *far, void *sum, ptrdiff_t count)
{
    const float *n = near, *f = far;
    float *s = sum;
    ptrdiff_t x;
    for (x = 0; x < count; x += NJ_F32_VECTOR_WIDTH)
        store_f32(s + x, nj_triangle_f32(limited(load_f32(n + x)), limited(load_f32(f + x))));
    repeat_ends_f32(s, count);
}

static void widen_f32(const void *near, void *sum, ptrdiff_t count)
{
    const float *n = near;
    float *s = sum;
    ptrdiff_t x;
    for (x = 0; x < count; x += NJ_F32_VECTOR_WIDTH)
        store_f32(s + x, limited(load_f32(n + x)));
    repeat_ends_f32(s, count);
}

/* A step of one component of chroma; see nj_rows. */
NJ_INLINE void upsample_f32(const float *chroma, int reach, float to[NJ_F32_STEP], int h)
{
    int i;
    for (i = 0; i < NJ_F32_STEP / h; i++)
        if (h == 2) {
            const float own = 0.75f * chroma[i];
            to[2 * i] = own + 0.25f * chroma[i - reach];
            to[2 * i + 1] = own + 0.25f * chroma[i + reach];
        } else {
            to[i] = chroma[i];
        }
}

NJ_INLINE void decode_row_f32(const float *luma, const float *cb, const float *cr, int reach, float *pixels, ptrdiff_t component,
                              ptrdiff_t width, int h, int v)
{
    ptrdiff_t x;
    int i, c;
    for (x = 0; x < width; x += NJ_F32_STEP) {
        float chroma[2][NJ_F32_STEP];
        upsample_f32(cb + x / h, reach, chroma[0], h);
        upsample_f32(cr + x / h, reach, chroma[1], h);
        for (i = 0; i < NJ_F32_STEP; i += NJ_F32_VECTOR_WIDTH) {
            lanes_f32 of[3] = { limited(load_f32(luma + x + i)), load_f32(&chroma[0][i]), load_f32(&chroma[1][i]) };
            for (c = 1; c < 3 && h == 1 && v == 1; c++)
                of[c] = limited(of[c]);
            nj_ycbcr_to_rgb_f32(of);
            for (c = 0; c < 3; c++)
                store_f32(pixels + x + i + c * component / (ptrdiff_t)sizeof *pixels, nj_to_unit(of[c]));
        }
    }
}

#define NJ_ROWS_F32(name, h, v)                                                                                          \
    static void encode_f32_##name(const void *const pixels[2], ptrdiff_t component, nj_layout layout,                    \
                                  void *const luma[2], void *cb, void *cr, ptrdiff_t width)                              \
    {                                                                                                                    \
        (void)layout;                                                                                                    \
        encode_rows_f32(pixels, component, luma, cb, cr, width, h, v);                                                   \
    }                                                                                                                    \
    static void decode_f32_##name(const void *luma, const void *cb, const void *cr, int odd_row, int reach,              \
                                  const uint8_t *padding, void *pixels, ptrdiff_t component, nj_layout layout,           \
                                  ptrdiff_t width)                                                                       \
    {                                                                                                                    \
        (void)odd_row, (void)padding, (void)layout;                                                                      \
        decode_row_f32(luma, cb, cr, reach, pixels, component, width, h, v);                                             \
    }

NJ_ROWS_F32(444, 1, 1)
NJ_ROWS_F32(422, 2, 1)
NJ_ROWS_F32(420, 2, 2)
NJ_ROWS_F32(440, 1, 2)

/* The scales by 255 and 1 / 255 of the two ends cancel. */
static void decode_backward_f32(const float *luma, const float *cb, const float *cr, int reach, int h,
                                const float *const grad[3], float *const components[3], ptrdiff_t width)
{
    ptrdiff_t x;
    int i, c;
    for (x = 0; x < width; x += NJ_F32_STEP) {
        float chroma[2][NJ_F32_STEP];
        if (h == 2) {
            upsample_f32(cb + x / 2, reach, chroma[0], 2);
            upsample_f32(cr + x / 2, reach, chroma[1], 2);
        } else {
            upsample_f32(cb + x, reach, chroma[0], 1);
            upsample_f32(cr + x, reach, chroma[1], 1);
        }
        for (i = 0; i < NJ_F32_STEP; i += NJ_F32_VECTOR_WIDTH) {
            lanes_f32 of[3] = { limited(load_f32(luma + x + i)), load_f32(&chroma[0][i]), load_f32(&chroma[1][i]) }, g[3];
            nj_ycbcr_to_rgb_f32(of);
            for (c = 0; c < 3; c++)
                g[c] = keep_f32(load_f32(grad[c] + x + i), of[c], -128.0f, 127.0f);
            nj_ycbcr_to_rgb_transposed(g);
            for (c = 0; c < 3; c++)
                store_f32(components[c] + x + i, g[c]);
        }
    }
}

static void limit_backward_f32(float *grad, const float *decoded, ptrdiff_t count)
{
    ptrdiff_t x;
    for (x = 0; x < count; x += NJ_F32_VECTOR_WIDTH)
        store_f32(grad + x, keep_f32(load_f32(grad + x), load_f32(decoded + x), -128.0f, 127.0f));
}

/* Samples beyond the ends of a row are the outermost ones again. */
NJ_INLINE float gathered(const float *g, ptrdiff_t width, ptrdiff_t k, int reach)
{
    const float even = g[2 * k], odd = 2 * k + 1 < width ? g[2 * k + 1] : 0.0f;
    const float before = k > 0 ? g[2 * k - 1] : even, after = 2 * k + 2 < width ? g[2 * k + 2] : 2 * k + 1 < width ? odd : 0.0f;
    return reach ? 0.75f * (even + odd) + 0.25f * (before + after) : even + odd;
}

static void gather_f32(const float *pixels, ptrdiff_t width, ptrdiff_t count, int reach, int h, float own, float *near, float *far)
{
    ptrdiff_t from, to, k;
    for (from = 0; from < count; from = to) {
        float sums[NJ_F32_STEP];
        to = from + NJ_F32_STEP < count ? from + NJ_F32_STEP : count;
        if (h == 1)
            for (k = from; k < to; k++)
                sums[k - from] = pixels[k];
        else if (reach && from > 0 && 2 * to < width)
            for (k = from; k < to; k++)
                sums[k - from] = 0.75f * (pixels[2 * k] + pixels[2 * k + 1]) + 0.25f * (pixels[2 * k - 1] + pixels[2 * k + 2]);
        else
            for (k = from; k < to; k++)
                sums[k - from] = gathered(pixels, width, k, reach);
        for (k = from; k < to && near; k++)
            near[k] += own * sums[k - from];
        for (k = from; k < to && far; k++)
            far[k] += (1.0f - own) * sums[k - from];
    }
}

static void encode_backward_f32(const float *const pixels[3], const float *const components[3], float *const grad[3],
                                ptrdiff_t width)
{
    ptrdiff_t x;
    int c;
    for (x = 0; x < width; x += NJ_F32_VECTOR_WIDTH) {
        lanes_f32 g[3] = { load_f32(components[0] + x), load_f32(components[1] + x), load_f32(components[2] + x) };
        nj_rgb_to_ycbcr_transposed(g);
        for (c = 0; c < 3; c++)
            store_f32(grad[c] + x, keep_f32(g[c], load_f32(pixels[c] + x), 0.0f, 1.0f));
    }
}

#define NJ_ISA_ROWS_F32                                                                      \
    { NJ_F32_STEP,                                                                           \
      { encode_f32_444, encode_f32_422, encode_f32_420, encode_f32_440 },                    \
      mix_f32,                                                                               \
      widen_f32,                                                                             \
      { decode_f32_444, decode_f32_422, decode_f32_420, decode_f32_440 } },                  \
    {                                                                                        \
        decode_backward_f32, limit_backward_f32, gather_f32, encode_backward_f32             \
    }

#endif
