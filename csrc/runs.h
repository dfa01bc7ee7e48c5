/* A group of runs on a vector unit: what isa_<isa>.c makes of lanes_<isa>.h and block.h.
 *
 * Included after them. Rows are transformed on their way in and out, so the workspace, which fits the first-level
 * cache, is written and read twice; columns are found in it by address, and no block is ever transposed. */
#ifndef NNJPEG_RUNS_H
#define NNJPEG_RUNS_H

#include "isa.h"
#include "rows.h"
#include "runs_f32.h"

/* Asks for row i of the next group: in images that no cache holds, the memory then works while this one is transformed.
 * bytes: of a run's row. By address, since what lies ahead may lie behind the image. */
NJ_INLINE void prefetch_src(const nj_run *runs, int i, int component, int bytes)
{
    int r, k;
    for (r = 0; r < NJ_RUNS; r++)
        for (k = 0; k < bytes; k += 64)
            NJ_PREFETCH((const void *)((uintptr_t)runs[r].src + (uintptr_t)(i * runs[r].src_row + runs[r].src_ahead +
                                                                            component * runs[r].src_component + k)),
                        0);
}

NJ_INLINE void prefetch_dst(const nj_run *runs, int i, int component, int bytes)
{
    int r, k;
    for (r = 0; r < NJ_RUNS; r++)
        for (k = 0; k < bytes; k += 64)
            NJ_PREFETCH((const void *)((uintptr_t)runs[r].dst + (uintptr_t)(i * runs[r].dst_row + runs[r].dst_ahead +
                                                                            component * runs[r].dst_component + k)),
                        1);
}

NJ_INLINE void requantize(lanes16 w[NNJPEG_BLOCK_SIZE], const nnjpeg_quantizer *quantizer)
{
    int i, j;
    for (j = 0; j < 8; j++) {
        lanes16 x[8];
        for (i = 0; i < 8; i++)
            x[i] = w[8 * i + j];
        nj_requantize_column(x, &quantizer->steps[j]);
        for (i = 0; i < 8; i++)
            w[8 * i + j] = x[i];
    }
}

static void roundtrip_plane(const nj_run *runs, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace)
{
    lanes16 w[NNJPEG_BLOCK_SIZE], s[4], d[4];
    int i;
    (void)colorspace;
    for (i = 0; i < 8; i++) {
        prefetch_src(runs, i, 0, NJ_RUN_WIDTH);
        split_mirrored(load_plane(runs, i, 0), s, d);
        nj_fdct_row(s, d, &w[8 * i]);
    }
    requantize(w, quantizers[0]);
    for (i = 0; i < 8; i++) {
        nj_idct_row(&w[8 * i]);
        prefetch_dst(runs, i, 0, NJ_RUN_WIDTH);
        store_plane(runs, i, 0, join(&w[8 * i]));
    }
}

/* One component: rows and columns to quantized coefficients; and back. */
static void forward_blocks(const nj_run *runs, const nnjpeg_quantizer *quantizer, int16_t *const *blocks)
{
    lanes16 w[NNJPEG_BLOCK_SIZE], s[4], d[4];
    int i, j;
    for (i = 0; i < 8; i++) {
        split_mirrored(load_plane(runs, i, 0), s, d);
        nj_fdct_row(s, d, &w[8 * i]);
    }
    for (j = 0; j < 8; j++) {
        lanes16 x[8];
        for (i = 0; i < 8; i++)
            x[i] = w[8 * i + j];
        nj_fdct_column(x);
        for (i = 0; i < 8; i++)
            w[8 * i + j] = nj_quantize(x[i], &quantizer->steps[8 * i + j]);
    }
    for (i = 0; i < 8; i++)
        store_coefficients(blocks, i, &w[8 * i]);
}

static int inverse_blocks(const int16_t *const *blocks, const nnjpeg_quantizer *quantizer, const nj_run *runs)
{
    lanes16 w[NNJPEG_BLOCK_SIZE], room = set16(0);
    int i, j;
    for (i = 0; i < 8; i++) {
        load_coefficients(blocks, i, &w[8 * i]);
        for (j = 0; j < 8; j++)
            room = or16(room, sub16(spread16(quantizer->limits[8 * i + j]), abs16(w[8 * i + j])));
    }
    if (any_negative16(room))
        return 0;
    for (j = 0; j < 8; j++) {
        lanes16 x[8];
        for (i = 0; i < 8; i++)
            x[i] = nj_dequantize(w[8 * i + j], &quantizer->steps[8 * i + j]);
        nj_idct_column(x);
        for (i = 0; i < 8; i++)
            w[8 * i + j] = x[i];
    }
    for (i = 0; i < 8; i++) {
        nj_idct_row(&w[8 * i]);
        store_plane(runs, i, 0, join(&w[8 * i]));
    }
    return 1;
}

/* Three components of one row, x[c][column]: colour on the way in. */
NJ_INLINE void rows_in(lanes16 x[3][8], lanes16 w[3][NNJPEG_BLOCK_SIZE], int i, nnjpeg_colorspace colorspace)
{
    int c, j;
    if (colorspace == NNJPEG_YCBCR)
        for (j = 0; j < 8; j++) {
            lanes16 pixel[3] = { x[0][j], x[1][j], x[2][j] };
            nj_rgb_to_ycbcr(pixel);
            for (c = 0; c < 3; c++)
                x[c][j] = pixel[c];
        }
    for (c = 0; c < 3; c++) {
        lanes16 s[4], d[4];
        nj_mirror(x[c], s, d);
        nj_fdct_row(s, d, &w[c][8 * i]);
    }
}

/* And on the way out. */
NJ_INLINE void rows_out(lanes16 x[3][8], lanes16 w[3][NNJPEG_BLOCK_SIZE], int i, nnjpeg_colorspace colorspace)
{
    int c, j;
    for (c = 0; c < 3; c++) {
        for (j = 0; j < 8; j++)
            x[c][j] = w[c][8 * i + j];
        nj_idct_row(x[c]);
    }
    if (colorspace == NNJPEG_YCBCR)
        for (j = 0; j < 8; j++) {
            lanes16 pixel[3];
            for (c = 0; c < 3; c++)
                pixel[c] = clamp16(x[c][j]);
            nj_ycbcr_to_rgb(pixel);
            for (c = 0; c < 3; c++)
                x[c][j] = pixel[c];
        }
}

static void roundtrip_planes(const nj_run *runs, const nnjpeg_quantizer *const *quantizers,
                             nnjpeg_colorspace colorspace)
{
    lanes16 w[3][NNJPEG_BLOCK_SIZE], x[3][8];
    int i, c;
    for (i = 0; i < 8; i++) {
        for (c = 0; c < 3; c++) {
            prefetch_src(runs, i, c, NJ_RUN_WIDTH);
            split(load_plane(runs, i, c), x[c]);
        }
        rows_in(x, w, i, colorspace);
    }
    for (c = 0; c < 3; c++)
        requantize(w[c], quantizers[c]);
    for (i = 0; i < 8; i++) {
        rows_out(x, w, i, colorspace);
        for (c = 0; c < 3; c++) {
            prefetch_dst(runs, i, c, NJ_RUN_WIDTH);
            store_plane(runs, i, c, join(x[c]));
        }
    }
}

/* Pixels of three bytes, or of four with the last one copied. */
NJ_INLINE void pixels(const nj_run *runs, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace,
                      int pixel)
{
    lanes16 w[3][NNJPEG_BLOCK_SIZE], padding[NNJPEG_BLOCK_SIZE], x[3][8], bytes[32];
    row4 rows[4];
    int i, c, j, k;
    for (i = 0; i < 8; i++) {
        prefetch_src(runs, i, 0, pixel * NJ_RUN_WIDTH);
        if (pixel == 3)
            load_interleaved(runs, i, rows);
        else
            load_padded(runs, i, rows);
        if (pixel == 3 && colorspace == NNJPEG_RGB) {
            lanes16 s[3][4], d[3][4];
            split_interleaved_mirrored(rows, s, d);
            for (c = 0; c < 3; c++)
                nj_fdct_row(s[c], d[c], &w[c][8 * i]);
            continue;
        }
        for (k = 0; k < pixel; k++)
            split(rows[k], &bytes[8 * k]);
        for (j = 0; j < 8; j++) {
            for (c = 0; c < 3; c++)
                x[c][j] = bytes[pixel * j + c];
            if (pixel == 4)
                padding[8 * i + j] = bytes[4 * j + 3];
        }
        rows_in(x, w, i, colorspace);
    }
    for (c = 0; c < 3; c++)
        requantize(w[c], quantizers[c]);
    for (i = 0; i < 8; i++) {
        rows_out(x, w, i, colorspace);
        for (j = 0; j < 8; j++) {
            for (c = 0; c < 3; c++)
                bytes[pixel * j + c] = x[c][j];
            if (pixel == 4)
                bytes[4 * j + 3] = padding[8 * i + j];
        }
        for (k = 0; k < pixel; k++)
            rows[k] = join(&bytes[8 * k]);
        prefetch_dst(runs, i, 0, pixel * NJ_RUN_WIDTH);
        if (pixel == 3)
            store_interleaved(runs, i, rows);
        else
            store_padded(runs, i, rows);
    }
}

static void roundtrip_interleaved(const nj_run *runs, const nnjpeg_quantizer *const *quantizers,
                                  nnjpeg_colorspace colorspace)
{
    if (colorspace == NNJPEG_YCBCR)
        pixels(runs, quantizers, NNJPEG_YCBCR, 3);
    else
        pixels(runs, quantizers, NNJPEG_RGB, 3);
}

static void roundtrip_padded(const nj_run *runs, const nnjpeg_quantizer *const *quantizers,
                             nnjpeg_colorspace colorspace)
{
    if (colorspace == NNJPEG_YCBCRX)
        pixels(runs, quantizers, NNJPEG_YCBCR, 4);
    else
        pixels(runs, quantizers, NNJPEG_RGB, 4);
}

#define NJ_ISA(isa, narrower)                                                                                    \
    {                                                                                                            \
        isa, NJ_RUNS, narrower, { roundtrip_plane, roundtrip_planes, roundtrip_interleaved, roundtrip_padded },  \
            forward_blocks, inverse_blocks, NJ_ISA_ROWS, NJ_ISA_F32                                              \
    }

#endif
