/* A strip's first stage: pixels to components, downsampled and padded as libjpeg pads; or samples as they are. */
#include "walk.h"

/* v rows of so many pixels, a multiple of the narrowest step. */
static void encode_steps(const nj_walk *w, const uint8_t *const rows[2], ptrdiff_t component, nj_layout layout,
                         uint8_t *const luma[2], uint8_t *cb, uint8_t *cr, ptrdiff_t width)
{
    const nj_isa *isa;
    ptrdiff_t x = 0;
    for (isa = w->isa; x < width; isa = isa->narrower) {
        const nj_rows *f = nj_rows_for(w, isa);
        const ptrdiff_t whole = nj_whole_steps(f, width - x), luma_at = x * w->size;
        const ptrdiff_t chroma_at = nj_chroma_columns(w, x) * w->size;
        const void *pixels[2];
        void *to[2];
        int r;
        for (r = 0; r < w->v; r++) {
            pixels[r] = rows[r] + luma_at * nj_pixel_samples(layout);
            to[r] = luma[r] + luma_at;
        }
        if (whole)
            f->encode[w->job->subsampling](pixels, component, layout, to, cb + chroma_at, cr + chroma_at, whole);
        x += whole;
    }
}

/* What lies from column x of the image on, of v rows of pixels, by way of a buffer: up to `encoded` columns. */
static void encode_rest(const nj_walk *w, uint8_t *slot, const nj_samples *image, const ptrdiff_t y[2], ptrdiff_t x,
                        uint8_t *const luma[2], uint8_t *cb, uint8_t *cr)
{
    const ptrdiff_t plane = w->staged / 2 / NJ_MAX_COMPONENTS, width = w->job->shape.width - x;
    const ptrdiff_t chroma_at = nj_chroma_columns(w, x) * w->size;
    const uint8_t *staged[2];
    uint8_t *rest[2];
    int c, r;
    for (r = 0; r < w->v; r++) {
        const nj_samples from = nj_from(*image, 0, 0, y[r], x);
        uint8_t *planes[NJ_MAX_COMPONENTS];
        uint8_t *at = slot + w->spare - w->staged + r * w->staged / 2;
        const nj_samples to = nj_buffer(at, w->size, 1, plane, plane);
        staged[r] = at;
        rest[r] = luma[r] + x * w->size;
        for (c = 0; c < w->components; c++)
            planes[c] = at + c * plane;
        if (w->size == 1)
            nj_fetch_row(w->narrow, from, &w->src_order, w->components, planes, width, slot + w->spare);
        else
            nj_copy(from, to, w->components, 1, width);
        nj_extend(to, w->coded, 1, width, 1, w->encoded - x);
    }
    encode_steps(w, staged, plane, NJ_PLANES, rest, cb + chroma_at, cr + chroma_at, w->encoded - x);
}

void nj_encode_strip(const nj_walk *w, uint8_t *slot, nj_samples image, ptrdiff_t mcu, ptrdiff_t mcu_end)
{
    const ptrdiff_t whole = w->src_layout == NJ_PLANE ? 0 : w->whole;
    const nj_range rows = nj_strip_rows(w, NJ_CB, mcu, mcu_end);
    ptrdiff_t row;
    int c, r;
    for (row = rows.begin; row < rows.end; row++) {
        uint8_t *cb = nj_row_of(w, slot, NJ_CB, row, rows.begin), *cr = nj_row_of(w, slot, NJ_CR, row, rows.begin);
        uint8_t *luma[2];
        const uint8_t *pixels[2];
        ptrdiff_t y[2];
        for (r = 0; r < w->v; r++) {
            y[r] = nj_at_most(w->v * row + r, w->job->shape.height - 1);
            pixels[r] = image.data + y[r] * image.strides.row;
            luma[r] = nj_row_of(w, slot, NJ_LUMA, w->v * row + r, w->v * rows.begin);
        }
        encode_steps(w, pixels, image.strides.component, w->src_layout, luma, cb, cr, whole);
        if (whole < w->encoded)
            encode_rest(w, slot, &image, y, whole, luma, cb, cr);
    }
    for (c = NJ_LUMA; c <= NJ_CR; c++) {
        const nj_plane *p = &w->planes[c];
        const ptrdiff_t height = (rows.end - rows.begin) * (w->v / p->v), width = p->row / w->size;
        nj_extend(nj_buffer(nj_row_of(w, slot, c, 0, 0), w->size, 1, p->row, 0), 1, height, width,
                  nj_round_up(height, NNJPEG_BLOCK), width);
    }
}

void nj_fetch_strip(const nj_walk *w, uint8_t *slot, nj_samples image, ptrdiff_t mcu, ptrdiff_t mcu_end)
{
    const nj_range rows = nj_strip_rows(w, 0, mcu, mcu_end);
    const ptrdiff_t height = rows.end - rows.begin, width = w->job->shape.width;
    const ptrdiff_t at_once = w->planes[0].row == width && nj_follow(&image, &w->src_order, width) ? height : 1;
    ptrdiff_t row;
    int c;
    for (row = rows.begin; row < rows.end; row += at_once) {
        uint8_t *planes[NJ_MAX_COMPONENTS];
        for (c = 0; c < w->components; c++)
            planes[c] = nj_row_of(w, slot, c, row, rows.begin);
        nj_fetch_row(w->narrow, nj_from(image, 0, 0, row, 0), &w->src_order, w->components, planes, at_once * width,
                     slot + w->spare);
    }
    for (c = 0; c < w->coded; c++)
        nj_extend(nj_buffer(nj_row_of(w, slot, c, 0, 0), 1, 1, w->planes[c].row, 0), 1, height, width,
                  nj_round_up(height, NNJPEG_BLOCK), w->encoded);
}
