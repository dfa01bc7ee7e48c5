/* An image by strips: some rows at a time go to planes of components in a buffer that stays in the cache, through the
 * transform there, and on. So go images whose chroma is subsampled, those that lie in an order that no fused run reads (see
 * image.c), floats that are rounded to bytes, and the two halves of the round trip.
 *
 * A strip is some rows of MCUs: with v rows of luma to one of chroma, 8 v rows of pixels each. Upsampling looks at the rows of
 * chroma above and below. So where v is 2, the last row of chroma and the v rows of luma that go with it wait in the buffer
 * for the next strip.
 *
 *     buffer of a component     waiting: 2 rows (v = 2) | the strip's rows | v = 2, chroma: the row below a part's last strip
 *
 * A part of the call, for one thread, is consecutive strips. Where it begins within an image, the two rows of chroma on either
 * side of the border are decoded before any thread writes a result, since the result may take the place of the image. */
#include "walk.h"

#include <stdlib.h>

static uint8_t *border(const nj_walk *w, int part, int below, int c)
{
    return w->workspace + w->borders + ((ptrdiff_t)(part * 2 + below) * 2 + c - NJ_CB) * w->border_row;
}

/* Rows of pixels that are complete once the strip is in the buffer. begins, ends: whether it is the part's first, or last. */
static void decode_strip(const nj_walk *w, uint8_t *slot, const nj_samples *src, const nj_samples *dst, ptrdiff_t mcu,
                         ptrdiff_t mcu_end, int part, int begins, int ends)
{
    const nj_range rows = nj_strip_rows(w, NJ_CB, mcu, mcu_end);
    const ptrdiff_t last = w->planes[NJ_CB].rows - 1;
    const size_t width = (size_t)(w->planes[NJ_CB].columns * w->size);
    const int waits = w->v == 2;
    const ptrdiff_t begin = rows.begin - (waits && !begins && mcu > 0), end = rows.end - (waits && !ends && rows.end <= last);
    ptrdiff_t row;
    int c;
    if (waits)
        for (c = NJ_CB; c <= NJ_CR; c++) {
            if (begins && mcu > 0)
                memcpy(nj_row_of(w, slot, c, rows.begin - 1, rows.begin), border(w, part, 0, c), width);
            if (ends && rows.end <= last)
                memcpy(nj_row_of(w, slot, c, rows.end, rows.begin), border(w, part + 1, 1, c), width);
        }
    for (row = begin; row < end; row++) {
        nj_chroma chroma;
        for (c = 0; c < 2; c++) {
            chroma.above[c] = nj_row_of(w, slot, NJ_CB + c, row > 0 ? row - 1 : 0, rows.begin);
            chroma.at[c] = nj_row_of(w, slot, NJ_CB + c, row, rows.begin);
            chroma.below[c] = nj_row_of(w, slot, NJ_CB + c, nj_at_most(row + 1, last), rows.begin);
        }
        nj_decode_rows(w, slot, &chroma, row, rows.begin, src, dst);
    }
    if (waits && rows.end <= last)
        for (c = NJ_LUMA; c <= NJ_CR; c++) {
            const ptrdiff_t rows_each = w->v / w->planes[c].v;
            memcpy(slot + w->planes[c].offset, nj_row_of(w, slot, c, rows.end * rows_each - 2, rows.begin * rows_each),
                   (size_t)(2 * w->planes[c].row));
        }
}

static nj_samples unit_of(const nj_walk *w, const nj_samples *s, ptrdiff_t image, ptrdiff_t unit)
{
    return s->data ? nj_from(*s, image, unit * w->components, 0, 0) : *s;
}

static void process(const void *context, int part, int parts)
{
    const nj_walk *w = context;
    const nj_strips_job *job = w->job;
    const nj_range range = nj_range_of(job->shape.images * w->units * w->strips, part, parts);
    uint8_t *slot = w->workspace + part * w->slot;
    ptrdiff_t item;
    for (item = range.begin; item < range.end; item++) {
        const ptrdiff_t strip = item % w->strips, unit = item / w->strips % w->units, image = item / w->strips / w->units;
        const ptrdiff_t mcu = strip * w->mcus, mcu_end = nj_at_most(mcu + w->mcus, w->mcu_rows);
        const nj_samples src = unit_of(w, &job->src, image, unit), dst = unit_of(w, &job->dst, image, unit);
        if (src.data && w->ycbcr)
            nj_encode_strip(w, slot, src, mcu, mcu_end);
        else if (src.data)
            nj_fetch_strip(w, slot, src, mcu, mcu_end);
        nj_transform_strip(w, slot, image, unit, mcu, mcu_end, 0);
        if (dst.data && w->ycbcr)
            decode_strip(w, slot, &src, &dst, mcu, mcu_end, part, item == range.begin, item == range.end - 1);
        else if (dst.data)
            nj_land_strip(w, slot, dst, mcu, mcu_end);
    }
}

/* The rows of chroma on either side of where a part begins. */
static void decode_border(const void *context, int part, int parts)
{
    const nj_walk *w = context;
    const nj_range range = nj_range_of(w->job->shape.images * w->strips, part, parts);
    const ptrdiff_t image = range.begin / w->strips, mcu = range.begin % w->strips * w->mcus;
    const nj_samples src = unit_of(w, &w->job->src, image, 0);
    uint8_t *slot = w->workspace + part * w->slot;
    int below, c;
    for (below = 0; below < 2 && mcu > 0; below++) {
        const ptrdiff_t at = mcu - 1 + below;
        if (src.data)
            nj_encode_strip(w, slot, src, at, at + 1);
        nj_transform_strip(w, slot, image, 0, at, at + 1, NJ_CB);
        for (c = NJ_CB; c <= NJ_CR; c++)
            memcpy(border(w, part, below, c), nj_row_of(w, slot, c, below ? 0 : NNJPEG_BLOCK - 1, 0),
                   (size_t)(w->planes[c].columns * w->size));
    }
}

/* So many runs are enough to fill groups, and few enough for the cache. */
enum { RUNS_A_STRIP = 16 };

nnjpeg_status nj_run_strips(const nj_strips_job *job)
{
    nj_walk w;
    ptrdiff_t count, blocks, runs;
    void *memory;
    int parts;
    if (!nj_begin_walk(&w, job))
        return NNJPEG_BAD_ISA;
    runs = ((job->shape.width - 1) / NJ_RUN_WIDTH + 1) * w.v;
    w.mcus = nj_at_most((RUNS_A_STRIP - 1) / runs + 1, w.mcu_rows);
    w.strips = (w.mcu_rows - 1) / w.mcus + 1;
    w.waiting = w.v == 2 && job->dst.data ? 2 : 0;
    nj_plan_slot(&w, w.mcus);

    count = job->shape.images * w.units * w.strips;
    blocks = w.coded * w.planes[0].block_columns * w.mcus * w.v;
    parts = nj_parts_for(count, blocks, job->num_threads);
    w.border_row = w.planes[w.coded - 1].row;
    w.borders = parts * w.slot;
    w.workspace = nj_workspace(w.borders + parts * 4 * w.border_row, &memory);
    if (!w.workspace)
        return NNJPEG_NO_MEMORY;
    if (w.waiting && parts > 1)
        nj_parallel(decode_border, &w, parts);
    nj_parallel(process, &w, parts);
    free(memory);
    return NNJPEG_OK;
}
