/* A strip's last stage: upsampling and colour, of rows of components that have been decoded; or samples as they are. */
#include "lanes_scalar.h"

#include "block.h"
#include "walk.h"

nj_chroma_sums nj_mix_chroma(const nj_walk *w, uint8_t *slot, const nj_chroma *chroma, ptrdiff_t y)
{
    const nj_rows *f = nj_rows_for(w, w->isa);
    const ptrdiff_t columns = w->planes[NJ_CB].columns, row = w->planes[NJ_CB].row / w->size * w->sum_size + 2 * NJ_MARGIN;
    const int repeats = w->h == 2 && columns <= NJ_REPEATED_COLUMNS, odd = (int)(y % w->v);
    nj_chroma_sums sums = { { chroma->at[0], chroma->at[1] }, w->size, odd, !repeats };
    int c;
    if (w->h == 1 && w->v == 1)
        return sums;
    for (c = 0; c < 2; c++) {
        const uint8_t *near = chroma->at[c], *far = repeats ? near : odd ? chroma->below[c] : chroma->above[c];
        uint8_t *sum = slot + w->sums + NJ_MARGIN + c * row, *end = sum + columns * w->sum_size;
        if (w->v == 1)
            f->widen(near, sum, columns);
        else
            f->mix(near, far, sum, columns);
        memcpy(sum - w->sum_size, sum, (size_t)w->sum_size);
        memcpy(end, end - w->sum_size, (size_t)w->sum_size);
        sums.of[c] = sum;
    }
    sums.size = w->sum_size;
    return sums;
}

/* So many pixels of a row, a multiple of the narrowest step; chroma from column `begin` of the pixels on. */
static void decode_steps(const nj_walk *w, const uint8_t *luma, const nj_chroma_sums *sums, ptrdiff_t begin,
                         const uint8_t *padding, uint8_t *pixels, ptrdiff_t component, nj_layout layout, ptrdiff_t width)
{
    const int bytes = w->size * nj_pixel_samples(layout);
    const nj_isa *isa;
    ptrdiff_t x = 0;
    for (isa = w->isa; x < width; isa = isa->narrower) {
        const nj_rows *f = nj_rows_for(w, isa);
        const ptrdiff_t whole = (width - x) / f->step * f->step, at = (begin + x) / w->h * sums->size;
        if (whole)
            f->decode[w->job->subsampling](luma + x * w->size, sums->of[0] + at, sums->of[1] + at, sums->odd_row, sums->reach,
                                           padding ? padding + x * bytes : NULL, pixels + x * bytes, component, layout, whole);
        x += whole;
    }
}

/* One row of pixels. */
static void decode_row(const nj_walk *w, uint8_t *slot, const uint8_t *luma, const nj_chroma_sums *sums, nj_samples src,
                       nj_samples dst)
{
    const ptrdiff_t width = w->job->shape.width, plane = w->staged / 2 / NJ_MAX_COMPONENTS;
    const ptrdiff_t step = nj_rows_for(w, w->narrow)->step;
    const ptrdiff_t whole = w->dst_layout == NJ_PLANE ? 0 : width / step * step, rest = width - whole;
    uint8_t *staged = slot + w->spare - w->staged;
    const uint8_t *planes[NJ_MAX_COMPONENTS];
    int c;
    decode_steps(w, luma, sums, 0, src.data, dst.data, dst.strides.component, w->dst_layout, whole);
    if (!rest)
        return;
    decode_steps(w, luma + whole * w->size, sums, whole, NULL, staged, plane, NJ_PLANES, nj_round_up(rest, step));
    if (w->size != 1) {
        nj_copy(nj_buffer(staged, w->size, 1, plane, plane), nj_from(dst, 0, 0, 0, whole), w->components, 1, rest);
        return;
    }
    for (c = 0; c < w->components; c++)
        planes[c] = staged + c * plane;
    if (w->components > w->coded) {
        uint8_t *fourth = staged + w->coded * plane;
        nj_copy(nj_from(src, 0, w->coded, 0, whole), nj_buffer(fourth, 1, 1, 0, 0), 1, 1, rest);
    }
    nj_land_row(w->narrow, planes, nj_from(dst, 0, 0, 0, whole), &w->dst_order, w->components, rest, slot + w->spare);
}

void nj_decode_rows(const nj_walk *w, uint8_t *slot, const nj_chroma *chroma, ptrdiff_t row, ptrdiff_t first, nj_samples src,
                    nj_samples dst)
{
    const ptrdiff_t end = nj_at_most((row + 1) * w->v, w->job->shape.height);
    ptrdiff_t y;
    for (y = row * w->v; y < end; y++) {
        const nj_chroma_sums sums = nj_mix_chroma(w, slot, chroma, y);
        decode_row(w, slot, nj_row_of(w, slot, NJ_LUMA, y, first * w->v), &sums, src.data ? nj_from(src, 0, 0, y, 0) : src,
                   nj_from(dst, 0, 0, y, 0));
    }
}

void nj_land_strip(const nj_walk *w, uint8_t *slot, nj_samples image, ptrdiff_t mcu, ptrdiff_t mcu_end)
{
    const nj_range rows = nj_strip_rows(w, 0, mcu, mcu_end);
    const ptrdiff_t width = w->job->shape.width;
    const ptrdiff_t at_once = w->planes[0].row == width && nj_follow(&image, &w->dst_order, width) ? rows.end - rows.begin : 1;
    ptrdiff_t row;
    int c;
    for (row = rows.begin; row < rows.end; row += at_once) {
        const uint8_t *planes[NJ_MAX_COMPONENTS];
        for (c = 0; c < w->components; c++)
            planes[c] = nj_row_of(w, slot, c, row, rows.begin);
        nj_land_row(w->narrow, planes, nj_from(image, 0, 0, row, 0), &w->dst_order, w->components, at_once * width,
                    slot + w->spare);
    }
}
