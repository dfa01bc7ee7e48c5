/* Spans of blocks in single precision: what isa_<isa>.c makes of lanes_<isa>.h and block_f32.h.
 *
 * A lane is a column of a block, and a tile is one row of blocks in registers: eight rows of NJ_F32_BLOCKS blocks in
 * NJ_F32_VECTORS vectors each. A pass goes down the columns; the tile is transposed between the two passes, so that
 * coefficients stand with the horizontal frequency first, as the quantizer has its steps. */
#ifndef NNJPEG_RUNS_F32_H
#define NNJPEG_RUNS_F32_H

#include "block_f32.h"
#include "isa.h"
#include "rows_f32.h"

typedef lanes_f32 nj_tile[8][NJ_F32_VECTORS];

NJ_INLINE void pass_f32(nj_tile x, void (*pass)(lanes_f32 x[8]))
{
    int k, v;
    for (v = 0; v < NJ_F32_VECTORS; v++) {
        lanes_f32 column[8];
        for (k = 0; k < 8; k++)
            column[k] = x[k][v];
        pass(column);
        for (k = 0; k < 8; k++)
            x[k][v] = column[k];
    }
}

/* Samples to coefficients, transposed; and back. */
NJ_INLINE void forward_f32(nj_tile x)
{
    pass_f32(x, nj_dct_f32);
    transpose_f32(x);
    pass_f32(x, nj_dct_f32);
}

NJ_INLINE void inverse_f32(nj_tile x)
{
    pass_f32(x, nj_idct_f32);
    transpose_f32(x);
    pass_f32(x, nj_idct_f32);
}

#define NJ_EACH(k, v)           \
    for (k = 0; k < 8; k++)     \
        for (v = 0; v < NJ_F32_VECTORS; v++)

NJ_INLINE lanes_f32 table_f32(const float table[NNJPEG_BLOCK_SIZE], int k, int v)
{
    return load_table_f32(&table[8 * k + v * NJ_F32_VECTOR_WIDTH]);
}

NJ_INLINE void requantize_f32(nj_tile x, const nnjpeg_quantizer *q, nj_rounding rounding)
{
    int k, v;
    NJ_EACH(k, v)
        x[k][v] = nj_requantize_f32(x[k][v], table_f32(q->steps_f32, k, v), table_f32(q->reciprocals_f32, k, v), rounding);
}

NJ_INLINE void load_tile(const float *p, ptrdiff_t row, nj_tile x)
{
    int k, v;
    NJ_EACH(k, v)
        x[k][v] = load_f32(p + k * row + v * NJ_F32_VECTOR_WIDTH);
}

/* Rows far apart are too many streams for the caches; past them, the memory need not be read before it is written. */
NJ_INLINE void store_tile(const nj_span *s, int component, ptrdiff_t at, nj_tile x)
{
    float *p = s->dst + at + component * s->dst_component;
    int k, v;
    if (s->stream)
        NJ_EACH(k, v)
            stream_f32(p + k * s->dst_row + v * NJ_F32_VECTOR_WIDTH, x[k][v]);
    else
        NJ_EACH(k, v)
            store_f32(p + k * s->dst_row + v * NJ_F32_VECTOR_WIDTH, x[k][v]);
}

/* A colour transform, sample by sample. */
NJ_INLINE void colour_f32(nj_tile x[3], void (*transform)(lanes_f32 x[3]))
{
    int k, v, c;
    NJ_EACH(k, v) {
        lanes_f32 pixel[3];
        for (c = 0; c < 3; c++)
            pixel[c] = x[c][k][v];
        transform(pixel);
        for (c = 0; c < 3; c++)
            x[c][k][v] = pixel[c];
    }
}

/* The next row of blocks is asked for in time: each of its eight rows is too short a stream for the machine to foresee.
 * By address, since it may lie behind the image. */
NJ_INLINE void prefetch_rows(const float *p, ptrdiff_t row)
{
    int k;
    for (k = 0; k < 8; k++)
        NJ_PREFETCH((const void *)((uintptr_t)p + (uintptr_t)((k + NNJPEG_BLOCK) * row * (ptrdiff_t)sizeof *p)), 0);
}

NJ_INLINE void load_unit(const float *p, ptrdiff_t row, nj_tile x)
{
    int k, v;
    prefetch_rows(p, row);
    load_tile(p, row, x);
    NJ_EACH(k, v)
        x[k][v] = nj_from_unit(x[k][v]);
}

/* Samples as they are coded: of three components, YCbCr. */
NJ_INLINE void load_coded(const nj_span *s, ptrdiff_t at, nj_tile x[3], int components)
{
    int c;
    for (c = 0; c < components; c++)
        load_unit(s->src + at + c * s->src_component, s->src_row, x[c]);
    if (components == 3)
        colour_f32(x, nj_rgb_to_ycbcr_f32);
}

/* From coefficients on. Decoded components of YCbCr are limited to their range before they become RGB, as the integers
 * are. */
NJ_INLINE void limit_f32(nj_tile x)
{
    int k, v;
    NJ_EACH(k, v)
        x[k][v] = clamp_f32(x[k][v], -128.0f, 127.0f);
}

NJ_INLINE void roundtrip_f32(const nj_span *s, const nnjpeg_quantizer *const *quantizers, int components,
                             nj_rounding rounding)
{
    ptrdiff_t at;
    for (at = 0; at < s->count * NJ_F32_RUN_WIDTH; at += NJ_F32_BLOCKS * NNJPEG_BLOCK) {
        nj_tile x[3];
        int c, k, v;
        load_coded(s, at, x, components);
        for (c = 0; c < components; c++) {
            forward_f32(x[c]);
            requantize_f32(x[c], quantizers[c], rounding);
            inverse_f32(x[c]);
            if (components == 3)
                limit_f32(x[c]);
        }
        if (components == 3)
            colour_f32(x, nj_ycbcr_to_rgb_f32);
        for (c = 0; c < components; c++) {
            NJ_EACH(k, v)
                x[c][k][v] = nj_to_unit(x[c][k][v]);
            store_tile(s, c, at, x[c]);
        }
    }
}

/* From the gradient of pixels to g, that of decoded components, which are x, not yet limited. */
NJ_INLINE void decode_tile_backward(const nj_span *s, ptrdiff_t at, nj_tile x[3], nj_tile g[3], int components)
{
    nj_tile y[3];
    int c, k, v;
    for (c = 0; c < components; c++) {
        NJ_EACH(k, v)
            y[c][k][v] = x[c][k][v];
        prefetch_rows(s->grad + at + c * s->grad_component, s->grad_row);
        load_tile(s->grad + at + c * s->grad_component, s->grad_row, g[c]);
        if (components == 3)
            limit_f32(x[c]);
    }
    if (components == 3)
        colour_f32(x, nj_ycbcr_to_rgb_f32);
    for (c = 0; c < components; c++)
        NJ_EACH(k, v)
            g[c][k][v] = keep_f32(g[c][k][v], x[c][k][v], -128.0f, 127.0f);
    if (components == 3) {
        colour_f32(g, nj_ycbcr_to_rgb_transposed);
        for (c = 0; c < components; c++)
            NJ_EACH(k, v)
                g[c][k][v] = keep_f32(g[c][k][v], y[c][k][v], -128.0f, 127.0f);
    }
}

/* The chain rule through roundtrip_f32 with NJ_CUBIC. The scales by 255 and 1 / 255 cancel. */
NJ_INLINE void cubic_backward_f32(const nj_span *s, const nnjpeg_quantizer *const *quantizers, int components)
{
    ptrdiff_t at;
    for (at = 0; at < s->count * NJ_F32_RUN_WIDTH; at += NJ_F32_BLOCKS * NNJPEG_BLOCK) {
        nj_tile x[3], g[3], slope[3];
        int c, k, v;
        load_coded(s, at, x, components);
        for (c = 0; c < components; c++) {
            forward_f32(x[c]);
            NJ_EACH(k, v)
                slope[c][k][v] = nj_cubic_slope(x[c][k][v], table_f32(quantizers[c]->reciprocals_f32, k, v));
            requantize_f32(x[c], quantizers[c], NJ_CUBIC);
            inverse_f32(x[c]);
        }
        decode_tile_backward(s, at, x, g, components);
        for (c = 0; c < components; c++) {
            forward_f32(g[c]);
            NJ_EACH(k, v)
                g[c][k][v] = mul_f32(g[c][k][v], slope[c][k][v]);
            inverse_f32(g[c]);
        }
        if (components == 3)
            colour_f32(g, nj_rgb_to_ycbcr_transposed);
        for (c = 0; c < components; c++) {
            load_tile(s->src + at + c * s->src_component, s->src_row, x[c]);
            NJ_EACH(k, v)
                g[c][k][v] = keep_f32(g[c][k][v], x[c][k][v], 0.0f, 1.0f);
            store_tile(s, c, at, g[c]);
        }
    }
}

NJ_INLINE void clear_tile(nj_tile x)
{
    int k, v;
    NJ_EACH(k, v)
        x[k][v] = set_f32(0.0f);
}

/* The gradient of dequantized coefficients times the derivative of these by their steps. */
NJ_INLINE void add_by_steps(nj_tile sum, nj_tile gradient, nj_tile slope)
{
    int k, v;
    NJ_EACH(k, v)
        sum[k][v] = madd_f32(gradient[k][v], slope[k][v], sum[k][v]);
}

NJ_INLINE void step_slopes(nj_tile x, const nnjpeg_quantizer *q, nj_rounding rounding, nj_tile slope)
{
    int k, v;
    NJ_EACH(k, v)
        slope[k][v] = nj_step_slope(x[k][v], table_f32(q->reciprocals_f32, k, v), rounding);
}

/* The sum over a span, which single precision has room for, to that over many. */
NJ_INLINE void add_to_sums(double sums[NNJPEG_BLOCK_SIZE], nj_tile x)
{
    float row[NJ_F32_BLOCKS * NNJPEG_BLOCK];
    int k, v, b, i;
    for (k = 0; k < NNJPEG_BLOCK; k++) {
        for (v = 0; v < NJ_F32_VECTORS; v++)
            store_f32(&row[v * NJ_F32_VECTOR_WIDTH], x[k][v]);
        for (b = 0; b < NJ_F32_BLOCKS; b++)
            for (i = 0; i < NNJPEG_BLOCK; i++)
                sums[8 * k + i] += row[8 * b + i];
    }
}

/* The gradient by the steps, on the same way, but for the scale by 1 / 255. */
NJ_INLINE void by_steps_f32(const nj_span *s, const nnjpeg_quantizer *const *quantizers, int components, nj_rounding rounding)
{
    nj_tile sums[3];
    ptrdiff_t at;
    int c;
    for (c = 0; c < components; c++)
        clear_tile(sums[c]);
    for (at = 0; at < s->count * NJ_F32_RUN_WIDTH; at += NJ_F32_BLOCKS * NNJPEG_BLOCK) {
        nj_tile x[3], g[3], slope[3];
        load_coded(s, at, x, components);
        for (c = 0; c < components; c++) {
            forward_f32(x[c]);
            step_slopes(x[c], quantizers[c], rounding, slope[c]);
            requantize_f32(x[c], quantizers[c], rounding);
            inverse_f32(x[c]);
        }
        decode_tile_backward(s, at, x, g, components);
        for (c = 0; c < components; c++) {
            forward_f32(g[c]);
            add_by_steps(sums[c], g[c], slope[c]);
        }
    }
    for (c = 0; c < components; c++)
        add_to_sums(s->sums + c * NNJPEG_BLOCK_SIZE, sums[c]);
}

static void nearest_f32(const nj_span *span, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace)
{
    if (colorspace == NNJPEG_YCBCR)
        roundtrip_f32(span, quantizers, 3, NJ_NEAREST);
    else
        roundtrip_f32(span, quantizers, 1, NJ_NEAREST);
    end_stream();
}

static void cubic_f32(const nj_span *span, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace)
{
    if (colorspace == NNJPEG_YCBCR)
        roundtrip_f32(span, quantizers, 3, NJ_CUBIC);
    else
        roundtrip_f32(span, quantizers, 1, NJ_CUBIC);
    end_stream();
}

static void backward_f32(const nj_span *span, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace)
{
    if (colorspace == NNJPEG_YCBCR)
        cubic_backward_f32(span, quantizers, 3);
    else
        cubic_backward_f32(span, quantizers, 1);
    end_stream();
}

static void nearest_by_steps_f32(const nj_span *span, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace)
{
    if (colorspace == NNJPEG_YCBCR)
        by_steps_f32(span, quantizers, 3, NJ_NEAREST);
    else
        by_steps_f32(span, quantizers, 1, NJ_NEAREST);
}

static void cubic_by_steps_f32(const nj_span *span, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace)
{
    if (colorspace == NNJPEG_YCBCR)
        by_steps_f32(span, quantizers, 3, NJ_CUBIC);
    else
        by_steps_f32(span, quantizers, 1, NJ_CUBIC);
}

/* One component in -128..127, whole blocks of it; the result is not limited. */
NJ_INLINE void plane_f32(const nj_span *s, const nnjpeg_quantizer *q, nj_rounding rounding)
{
    ptrdiff_t at;
    for (at = 0; at < s->count * NJ_F32_RUN_WIDTH; at += NJ_F32_BLOCKS * NNJPEG_BLOCK) {
        nj_tile x;
        load_tile(s->src + at, s->src_row, x);
        forward_f32(x);
        requantize_f32(x, q, rounding);
        inverse_f32(x);
        store_tile(s, 0, at, x);
    }
}

static void plane_nearest_f32(const nj_span *span, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace)
{
    (void)colorspace;
    plane_f32(span, quantizers[0], NJ_NEAREST);
}

static void plane_cubic_f32(const nj_span *span, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace)
{
    (void)colorspace;
    plane_f32(span, quantizers[0], NJ_CUBIC);
}

static void plane_backward_f32(const nj_span *s, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace)
{
    ptrdiff_t at;
    (void)colorspace;
    for (at = 0; at < s->count * NJ_F32_RUN_WIDTH; at += NJ_F32_BLOCKS * NNJPEG_BLOCK) {
        nj_tile x, g;
        int k, v;
        load_tile(s->src + at, s->src_row, x);
        load_tile(s->grad + at, s->grad_row, g);
        forward_f32(x);
        forward_f32(g);
        NJ_EACH(k, v)
            g[k][v] = mul_f32(g[k][v], nj_cubic_slope(x[k][v], table_f32(quantizers[0]->reciprocals_f32, k, v)));
        inverse_f32(g);
        store_tile(s, 0, at, g);
    }
}

NJ_INLINE void plane_by_steps_f32(const nj_span *s, const nnjpeg_quantizer *q, nj_rounding rounding)
{
    nj_tile sum;
    ptrdiff_t at;
    clear_tile(sum);
    for (at = 0; at < s->count * NJ_F32_RUN_WIDTH; at += NJ_F32_BLOCKS * NNJPEG_BLOCK) {
        nj_tile x, g, slope;
        load_tile(s->src + at, s->src_row, x);
        load_tile(s->grad + at, s->grad_row, g);
        forward_f32(x);
        step_slopes(x, q, rounding, slope);
        forward_f32(g);
        add_by_steps(sum, g, slope);
    }
    add_to_sums(s->sums, sum);
}

static void plane_nearest_by_steps_f32(const nj_span *span, const nnjpeg_quantizer *const *quantizers,
                                       nnjpeg_colorspace colorspace)
{
    (void)colorspace;
    plane_by_steps_f32(span, quantizers[0], NJ_NEAREST);
}

static void plane_cubic_by_steps_f32(const nj_span *span, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace)
{
    (void)colorspace;
    plane_by_steps_f32(span, quantizers[0], NJ_CUBIC);
}

/* Row k of a tile whose blocks lie apart, 64 numbers each. */
NJ_INLINE void load_row_apart(const float *const *blocks, int k, lanes_f32 row[NJ_F32_VECTORS])
{
#if NJ_F32_BLOCKS == 2
    row[0] = load_two_f32(blocks[0] + 8 * k, blocks[1] + 8 * k);
#else
    int v;
    for (v = 0; v < NJ_F32_VECTORS; v++)
        row[v] = load_f32(blocks[0] + 8 * k + v * NJ_F32_VECTOR_WIDTH);
#endif
}

NJ_INLINE void store_row_apart(float *const *blocks, int k, const lanes_f32 row[NJ_F32_VECTORS])
{
#if NJ_F32_BLOCKS == 2
    store_two_f32(blocks[0] + 8 * k, blocks[1] + 8 * k, row[0]);
#else
    int v;
    for (v = 0; v < NJ_F32_VECTORS; v++)
        store_f32(blocks[0] + 8 * k + v * NJ_F32_VECTOR_WIDTH, row[v]);
#endif
}

static void dct_run(const float *src, ptrdiff_t row, float *const blocks[NJ_F32_RUN_BLOCKS])
{
    int b, k;
    for (b = 0; b < NJ_F32_RUN_BLOCKS; b += NJ_F32_BLOCKS) {
        nj_tile x;
        prefetch_rows(src + b * NNJPEG_BLOCK, row);
        load_tile(src + b * NNJPEG_BLOCK, row, x);
        forward_f32(x);
        transpose_f32(x);
        for (k = 0; k < 8; k++)
            store_row_apart(&blocks[b], k, x[k]);
    }
}

static void idct_run(const float *const blocks[NJ_F32_RUN_BLOCKS], float *dst, ptrdiff_t row)
{
    int b, k, v;
    for (b = 0; b < NJ_F32_RUN_BLOCKS; b += NJ_F32_BLOCKS) {
        nj_tile x;
        for (k = 0; k < 8; k++)
            load_row_apart(&blocks[b], k, x[k]);
        transpose_f32(x);
        inverse_f32(x);
        NJ_EACH(k, v)
            store_f32(dst + b * NNJPEG_BLOCK + k * row + v * NJ_F32_VECTOR_WIDTH, x[k][v]);
    }
}

/* Of a number that is no multiple of CONVERTED, the last ones go again over some before, by vectors too. */
enum { CONVERTED = 16 };

NJ_INLINE void convert_to_bytes(const float *restrict src, uint8_t *restrict dst, ptrdiff_t count)
{
    ptrdiff_t x;
    for (x = 0; x < count; x++)
        dst[x] = nj_to_byte(src[x]);
}

NJ_INLINE void convert_to_floats(const uint8_t *restrict src, float *restrict dst, ptrdiff_t count)
{
    ptrdiff_t x;
    for (x = 0; x < count; x++)
        dst[x] = (float)src[x] / 255.0f;
}

static void to_bytes(const float *src, uint8_t *dst, ptrdiff_t count)
{
    const ptrdiff_t rest = count < CONVERTED ? count : count % CONVERTED ? CONVERTED : 0;
    convert_to_bytes(src, dst, count / CONVERTED * CONVERTED);
    if (rest == CONVERTED)
        convert_to_bytes(src + count - CONVERTED, dst + count - CONVERTED, CONVERTED);
    else
        convert_to_bytes(src, dst, rest);
}

static void to_floats(const uint8_t *src, float *dst, ptrdiff_t count)
{
    const ptrdiff_t rest = count < CONVERTED ? count : count % CONVERTED ? CONVERTED : 0;
    convert_to_floats(src, dst, count / CONVERTED * CONVERTED);
    if (rest == CONVERTED)
        convert_to_floats(src + count - CONVERTED, dst + count - CONVERTED, CONVERTED);
    else
        convert_to_floats(src, dst, rest);
}

#define NJ_ISA_F32                                                                             \
    NJ_ISA_ROWS_F32,                                                                           \
        { nearest_f32, cubic_f32, backward_f32, nearest_by_steps_f32, cubic_by_steps_f32,      \
          plane_nearest_f32, plane_cubic_f32, plane_backward_f32, plane_nearest_by_steps_f32,  \
          plane_cubic_by_steps_f32 },                                                          \
        dct_run, idct_run, to_bytes, to_floats

#endif
