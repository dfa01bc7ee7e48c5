/* A group of runs on a vector unit: what isa_<isa>.c makes of lanes_<isa>.h and block.h.
 *
 * Included after them. Rows are transformed on their way in and out, so the workspace, which fits the first-level
 * cache, is written and read twice; columns are found in it by address, and no block is ever transposed. Two rows go in
 * together, and two columns are transformed together, so that a cell has what the next step takes of one column, or row.
 *
 * lanes_<isa>.h provides, beside what block.h and rows.h want,
 *
 *     NJ_RUNS
 *     row_bytes                                    a row of one component of all blocks, as bytes
 *     load_plane(runs, i, component)               row i of them
 *     load_pixel_rows(runs, i, size, rows)         row i of three components, of pixels of `size` bytes
 *     split_bytes(row, x), mirror_bytes(row, s, d) to cells as nj_mirror takes them, or as it leaves them
 *     store_plane(runs, i, component, x)           row i from cells of neighbouring samples, clamped
 *     store_pixels_of_runs(runs, i, size, x)       row i of pixels from such x[c] of three components; fourth bytes from the source
 *     load_coefficients(blocks, i, x), store_coefficients(blocks, i, x)
 *                                                  row i of coefficients, from and to cells of neighbours
 *     any_beyond(x, limits)                        whether one of such a row is
 *     firsts(x, y), seconds(x, y)                  cells of both one's numbers
 *     clamp_cells(x), convert_cells(x, transform)  to 0..255; a colour transform
 */
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

/* One component of a group: by column, in the order of nj_frequency, the four cells of its rows; after `requantize` cells of
 * columns, by these and by row. */
typedef cells16 workspace[NNJPEG_BLOCK_SIZE / 2];

/* Cells of rows nj_mirrored(p, 0) and nj_mirrored(p, 1) of one component, from bytes of both. */
NJ_INLINE void two_rows_in(const row_bytes rows[2], workspace w, int p)
{
    uppers16 x[2][8];
    int k, m;
    for (m = 0; m < 2; m++) {
        cells16 s[2], d[2];
        mirror_bytes(rows[m], s, d);
        nj_fdct_row(s, d, x[m]);
    }
    for (k = 0; k < 8; k++)
        w[4 * k + p] = cells_of(x[0][k], x[1][k]);
}

/* Row i. */
NJ_INLINE void row_cells(const workspace w, int i, cells16 p[4])
{
    int k;
    for (k = 0; k < 4; k++)
        p[k] = w[8 * k + i];
}

/* From columns k and k + 1: a cell of each row. */
NJ_INLINE void two_columns_out(uppers16 x[2][8], workspace w, int k)
{
    int i;
    for (i = 0; i < 8; i++)
        w[4 * k + i] = cells_of(x[0][i], x[1][i]);
}

NJ_INLINE void requantize(workspace w, const nnjpeg_quantizer *quantizer)
{
    int k, m;
    NJ_ROLLED
    for (k = 0; k < 8; k += 2) {
        uppers16 x[2][8];
        for (m = 0; m < 2; m++)
            nj_requantize_column(&w[4 * (k + m)], quantizer->steps[k + m], x[m]);
        two_columns_out(x, w, k);
    }
}

NJ_INLINE void plane_in(const nj_run *runs, workspace w)
{
    int p, m;
    NJ_ROLLED
    for (p = 0; p < 4; p++) {
        row_bytes rows[2];
        for (m = 0; m < 2; m++) {
            prefetch_src(runs, nj_mirrored(p, m), 0, NJ_RUN_WIDTH);
            rows[m] = load_plane(runs, nj_mirrored(p, m), 0);
        }
        two_rows_in(rows, w, p);
    }
}

/* Row i as cells of neighbouring samples. */
NJ_INLINE void row_out(const workspace w, int i, cells16 samples[4])
{
    cells16 p[4];
    uppers16 x[8];
    int k;
    row_cells(w, i, p);
    nj_idct_row(p, x);
    for (k = 0; k < 4; k++)
        samples[k] = nj_sample_cells(x[2 * k], x[2 * k + 1]);
}

NJ_INLINE void plane_out(const nj_run *runs, const workspace w)
{
    int i;
    NJ_ROLLED
    for (i = 0; i < 8; i++) {
        cells16 samples[4];
        row_out(w, i, samples);
        prefetch_dst(runs, i, 0, NJ_RUN_WIDTH);
        store_plane(runs, i, 0, samples);
    }
}

static void roundtrip_plane(const nj_run *runs, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace)
{
    workspace w;
    (void)colorspace;
    plane_in(runs, w);
    requantize(w, quantizers[0]);
    plane_out(runs, w);
}

/* One component: rows and columns to quantized coefficients; and back. */
static void forward_blocks(const nj_run *runs, const nnjpeg_quantizer *quantizer, int16_t *const *blocks)
{
    workspace w;
    cells16 row[4];
    int k, p, m;
    plane_in(runs, w);
    for (k = 0; k < 8; k++) {
        uppers16 x[8];
        nj_fdct_column(&w[4 * k], x);
        for (p = 0; p < 4; p++)
            w[4 * k + p] = nj_quantize(cells_of(x[2 * p], x[2 * p + 1]), &quantizer->steps[k][p]);
    }
    for (p = 0; p < 4; p++) {
        cells16 column[8];
        for (k = 0; k < 8; k++)
            column[nj_frequency(k)] = w[4 * k + p];
        for (m = 0; m < 2; m++) {
            for (k = 0; k < 4; k++)
                row[k] = m ? seconds(column[2 * k], column[2 * k + 1]) : firsts(column[2 * k], column[2 * k + 1]);
            store_coefficients(blocks, nj_frequency(2 * p + m), row);
        }
    }
}

static int inverse_blocks(const int16_t *const *blocks, const nnjpeg_quantizer *quantizer, const nj_run *runs)
{
    workspace w;
    int k, p, m;
    for (p = 0; p < 4; p++) {
        cells16 row[2][4];
        for (m = 0; m < 2; m++) {
            const int i = nj_frequency(2 * p + m);
            load_coefficients(blocks, i, row[m]);
            if (any_beyond(row[m], &quantizer->limits[8 * i]))
                return 0;
        }
        for (k = 0; k < 8; k++) {
            const int j = nj_frequency(k);
            w[4 * k + p] = j % 2 ? seconds(row[0][j / 2], row[1][j / 2]) : firsts(row[0][j / 2], row[1][j / 2]);
        }
    }
    for (k = 0; k < 8; k += 2) {
        uppers16 x[2][8];
        for (m = 0; m < 2; m++) {
            for (p = 0; p < 4; p++)
                w[4 * (k + m) + p] = nj_dequantize(w[4 * (k + m) + p], &quantizer->steps[k + m][p]);
            nj_idct_column(&w[4 * (k + m)], x[m]);
        }
        two_columns_out(x, w, k);
    }
    plane_out(runs, w);
    return 1;
}

/* Two rows of three components, as two_rows_in has them of one; in YCbCr or not. */
NJ_INLINE void three_in(row_bytes rows[3][2], workspace w[3], int p, nnjpeg_colorspace colorspace)
{
    int c, k, m;
    if (colorspace == NNJPEG_YCBCR) {
        cells16 samples[3][2][4];
        for (m = 0; m < 2; m++) {
            for (c = 0; c < 3; c++)
                split_bytes(rows[c][m], samples[c][m]);
            for (k = 0; k < 4; k++) {
                cells16 pixels[3] = { samples[0][m][k], samples[1][m][k], samples[2][m][k] };
                convert_cells(pixels, nj_rgb_to_ycbcr);
                for (c = 0; c < 3; c++)
                    samples[c][m][k] = pixels[c];
            }
        }
        NJ_ROLLED
        for (c = 0; c < 3; c++) {
            uppers16 x[2][8];
            for (m = 0; m < 2; m++) {
                cells16 s[2], d[2];
                nj_mirror(samples[c][m], s, d);
                nj_fdct_row(s, d, x[m]);
            }
            for (k = 0; k < 8; k++)
                w[c][4 * k + p] = cells_of(x[0][k], x[1][k]);
        }
    } else {
        for (c = 0; c < 3; c++)
            two_rows_in(rows[c], w[c], p);
    }
}

/* Row i of three components in YCbCr, as cells of neighbouring pixels in RGB. */
NJ_INLINE void three_out(workspace w[3], int i, cells16 samples[3][4])
{
    int c, k;
    NJ_ROLLED
    for (c = 0; c < 3; c++)
        row_out(w[c], i, samples[c]);
    for (k = 0; k < 4; k++) {
        cells16 pixels[3];
        for (c = 0; c < 3; c++)
            pixels[c] = clamp_cells(samples[c][k]);
        convert_cells(pixels, nj_ycbcr_to_rgb);
        for (c = 0; c < 3; c++)
            samples[c][k] = pixels[c];
    }
}

/* Three planes, which are coded in YCbCr: else they go one by one. */
static void roundtrip_planes(const nj_run *runs, const nnjpeg_quantizer *const *quantizers,
                             nnjpeg_colorspace colorspace)
{
    workspace w[3];
    int p, m, i, c;
    (void)colorspace;
    NJ_ROLLED
    for (p = 0; p < 4; p++) {
        row_bytes rows[3][2];
        for (m = 0; m < 2; m++)
            for (c = 0; c < 3; c++) {
                prefetch_src(runs, nj_mirrored(p, m), c, NJ_RUN_WIDTH);
                rows[c][m] = load_plane(runs, nj_mirrored(p, m), c);
            }
        three_in(rows, w, p, NNJPEG_YCBCR);
    }
    NJ_ROLLED
    for (c = 0; c < 3; c++)
        requantize(w[c], quantizers[c]);
    NJ_ROLLED
    for (i = 0; i < 8; i++) {
        cells16 samples[3][4];
        three_out(w, i, samples);
        for (c = 0; c < 3; c++) {
            prefetch_dst(runs, i, c, NJ_RUN_WIDTH);
            store_plane(runs, i, c, samples[c]);
        }
    }
}

/* Pixels of three bytes, or of four with the last one copied. */
NJ_INLINE void pixels(const nj_run *runs, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace,
                      int size)
{
    workspace w[3];
    int p, m, i, c;
    NJ_ROLLED
    for (p = 0; p < 4; p++) {
        row_bytes rows[3][2];
        NJ_ROLLED
        for (m = 0; m < 2; m++) {
            row_bytes row[3];
            prefetch_src(runs, nj_mirrored(p, m), 0, size * NJ_RUN_WIDTH);
            load_pixel_rows(runs, nj_mirrored(p, m), size, row);
            for (c = 0; c < 3; c++)
                rows[c][m] = row[c];
        }
        three_in(rows, w, p, colorspace);
    }
    NJ_ROLLED
    for (c = 0; c < 3; c++)
        requantize(w[c], quantizers[c]);
    NJ_ROLLED
    for (i = 0; i < 8; i++) {
        cells16 samples[3][4];
        if (colorspace == NNJPEG_YCBCR)
            three_out(w, i, samples);
        else
            for (c = 0; c < 3; c++)
                row_out(w[c], i, samples[c]);
        prefetch_dst(runs, i, 0, size * NJ_RUN_WIDTH);
        store_pixels_of_runs(runs, i, size, samples);
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
