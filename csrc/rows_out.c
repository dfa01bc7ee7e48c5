/* A strip's last stage: upsampling and colour, of rows of components that have been decoded; or samples as they are. */
#include "lanes_scalar.h"

#include "block.h"
#include "walk.h"

void nj_mix_chroma(const nj_walk *w, uint8_t *slot, const nj_chroma *chroma, ptrdiff_t y, nj_chroma_sums *sums)
{
    const nj_rows *f = nj_rows_for(w, w->isa);
    const ptrdiff_t columns = w->planes[NJ_CB].columns;
    const int repeats = w->h == 2 && columns <= NJ_REPEATED_COLUMNS, odd = (int)y & (w->v - 1);
    int c;
    sums->odd_row = odd;
    sums->reach = !repeats;
    if (w->h == 1 && w->v == 1) {
        sums->of[0] = chroma->at[0];
        sums->of[1] = chroma->at[1];
        sums->size = w->size;
        return;
    }
    sums->size = w->sum_size;
    for (c = 0; c < 2; c++) {
        const uint8_t *near = chroma->at[c], *far = repeats ? near : odd ? chroma->below[c] : chroma->above[c];
        uint8_t *sum = slot + w->sums + NJ_MARGIN + c * w->sum_row;
        if (w->v == 1)
            f->widen(near, sum, columns);
        else
            f->mix(near, far, sum, columns);
        sums->of[c] = sum;
    }
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
        const ptrdiff_t whole = nj_whole_steps(f, width - x), at = nj_chroma_columns(w, begin + x) * sums->size;
        if (whole)
            f->decode[w->job->subsampling](luma + x * w->size, sums->of[0] + at, sums->of[1] + at, sums->odd_row, sums->reach,
                                           padding ? padding + x * bytes : NULL, pixels + x * bytes, component, layout, whole);
        x += whole;
    }
}

/* What of row y of the pixels is no whole number of steps: from a column on, by way of a buffer. */
static void decode_rest(const nj_walk *w, uint8_t *slot, const uint8_t *luma, const nj_chroma_sums *sums,
                        const nj_samples *src, const nj_samples *dst, ptrdiff_t y, ptrdiff_t begin)
{
    const ptrdiff_t rest = w->job->shape.width - begin, plane = w->staged / 2 / NJ_MAX_COMPONENTS;
    const nj_samples to = nj_from(*dst, 0, 0, y, begin);
    uint8_t *staged = slot + w->spare - w->staged;
    const uint8_t *planes[NJ_MAX_COMPONENTS];
    int c;
    decode_steps(w, luma + begin * w->size, sums, begin, NULL, staged, plane, NJ_PLANES,
                 nj_round_up(rest, nj_rows_for(w, w->narrow)->step));
    if (w->size != 1) {
        nj_copy(nj_buffer(staged, w->size, 1, plane, plane), to, w->components, 1, rest);
        return;
    }
    for (c = 0; c < w->components; c++)
        planes[c] = staged + c * plane;
    if (w->components > w->coded) {
        uint8_t *fourth = staged + w->coded * plane;
        nj_copy(nj_from(*src, 0, w->coded, y, begin), nj_buffer(fourth, 1, 1, 0, 0), 1, 1, rest);
    }
    nj_land_row(w->narrow, planes, to, &w->dst_order, w->components, rest, slot + w->spare);
}

void nj_decode_rows(const nj_walk *w, uint8_t *slot, const nj_chroma *chroma, ptrdiff_t row, ptrdiff_t first,
                    const nj_samples *src, const nj_samples *dst)
{
    const ptrdiff_t width = w->job->shape.width, end = nj_at_most((row + 1) * w->v, w->job->shape.height);
    const ptrdiff_t whole = w->dst_layout == NJ_PLANE ? 0 : nj_whole_steps(nj_rows_for(w, w->narrow), width);
    ptrdiff_t y;
    for (y = row * w->v; y < end; y++) {
        const uint8_t *luma = nj_row_of(w, slot, NJ_LUMA, y, first * w->v);
        const uint8_t *padding = src->data ? src->data + y * src->strides.row : NULL;
        nj_chroma_sums sums;
        nj_mix_chroma(w, slot, chroma, y, &sums);
        decode_steps(w, luma, &sums, 0, padding, dst->data + y * dst->strides.row, dst->strides.component, w->dst_layout,
                     whole);
        if (whole < width)
            decode_rest(w, slot, luma, &sums, src, dst, y, whole);
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
