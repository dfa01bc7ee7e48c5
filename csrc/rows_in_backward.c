/* The gradient of a strip's first stage (rows_in.c): from components to pixels. */
#include "walk.h"

/* Rows of floats that a slot keeps for pixels: three from the `first` on. */
static nj_samples stage(const nj_walk *w, uint8_t *slot, int first, float *rows[3])
{
    const ptrdiff_t plane = w->staged / 2 / NJ_MAX_COMPONENTS;
    uint8_t *staged = slot + w->spare - w->staged + first * plane;
    int c;
    for (c = 0; c < 3; c++)
        rows[c] = (float *)(void *)(staged + c * plane);
    return nj_buffer(staged, w->size, 1, plane, plane);
}

/* A row of chroma's gradient to the pixels that it is a mean of, each of which has `share` of it; the last one has what its
 * repetitions have. */
static void spread(const float *chroma, ptrdiff_t columns, int h, float share, float *pixels, ptrdiff_t width)
{
    float padding = 0.0f;
    ptrdiff_t x;
    if (h == 1)
        for (x = 0; x < width; x++)
            pixels[x] = share * chroma[x];
    else
        for (x = 0; x < width; x++)
            pixels[x] = share * chroma[x / 2];
    for (x = width; x < h * columns; x++)
        padding += chroma[x / h];
    pixels[width - 1] += share * padding;
}

/* What is repeated beyond the components' last rows, and beyond the last columns but those of YCbCr's chroma, is added up. */
static void fold(const nj_walk *w, uint8_t *slot, ptrdiff_t mcu, ptrdiff_t mcu_end, ptrdiff_t first_mcu)
{
    int c;
    for (c = 0; c < w->components; c++) {
        const nj_plane *p = &w->planes[c];
        const nj_range rows = nj_strip_rows(w, c, mcu, mcu_end);
        const ptrdiff_t columns = p->block_columns * NNJPEG_BLOCK, height = rows.end - rows.begin;
        uint8_t *first = nj_row_of(w, slot, c, rows.begin, first_mcu * NNJPEG_BLOCK * (w->v / p->v));
        nj_fold(nj_buffer(first, w->size, 1, p->row, 0), 1, height, c == NJ_LUMA || !w->ycbcr ? w->job->shape.width : columns,
                nj_round_up(height, NNJPEG_BLOCK), columns);
    }
}

void nj_encode_strip_backward(const nj_walk *w, uint8_t *slot, ptrdiff_t image, ptrdiff_t mcu, ptrdiff_t mcu_end,
                              ptrdiff_t first_mcu)
{
    const ptrdiff_t width = w->job->shape.width;
    const nj_range rows = nj_strip_rows(w, NJ_LUMA, mcu, mcu_end);
    float *pixels[3], *components[3];
    const nj_samples staged = stage(w, slot, 0, pixels);
    ptrdiff_t y, x;
    int c;
    stage(w, slot, 3, components);
    fold(w, slot, mcu, mcu_end, first_mcu);
    for (y = rows.begin; y < rows.end; y++) {
        const int repeated = y == w->job->shape.height - 1 && w->job->shape.height % w->v;
        nj_copy(nj_from(w->job->src, image, 0, y, 0), staged, w->components, 1, width);
        for (c = 0; c < w->components; c++) {
            const nj_plane *p = &w->planes[c];
            const ptrdiff_t first = first_mcu * NNJPEG_BLOCK * (w->v / p->v);
            float *row = (float *)(void *)nj_row_of(w, slot, c, y / p->v, first);
            if (!w->ycbcr)
                for (x = 0; x < width; x++)
                    pixels[c][x] = pixels[c][x] >= 0.0f && pixels[c][x] <= 1.0f ? row[x] : 0.0f;
            else if (c == NJ_LUMA)
                components[c] = row;
            else
                spread(row, p->block_columns * NNJPEG_BLOCK, w->h, (repeated ? 2.0f : 1.0f) / (float)(w->h * w->v), components[c],
                       width);
        }
        if (w->ycbcr) {
            nj_extend_by_zeros(staged, 3, 1, width, 1, w->full);
            w->isa->backward.encode((const float *const *)pixels, (const float *const *)components, pixels, w->full);
        }
        nj_copy(staged, nj_from(w->job->dst, image, 0, y, 0), w->components, 1, width);
    }
}
