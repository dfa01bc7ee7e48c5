/* The gradient of the round trip with chroma subsampling, by pixels or by tables: the stages of strips.c from the last to the
 * first, each by its transpose, down to pixels, or to coefficients.
 *
 * A strip is some rows of MCUs, with one more on either side where upsampling looks across (v = 2): that is computed again,
 * so that strips do not depend on one another. A thread has three slots: the components as they are encoded, the same decoded
 * and not yet limited, and their gradients. */
#include "table_sums.h"
#include "walk.h"

#include <stdlib.h>

enum { ENCODED, DECODED, GRADIENT, SLOTS };

/* Strips as high as leaves their slots in a cache of this size, but not so low that most of the work is done twice. */
enum { CACHE = 1 << 20, LEAST_MCUS = 4 };

typedef struct job {
    nj_walk walk;
    nj_samples grad;
    nj_table_sums *sums; /* NULL: the gradient is that of pixels */
    nj_f32_job decode, backward;
} job;

/* Rows of MCUs: mcu..mcu_end-1 of an image; first..end-1 with those on either side, which the slots hold. The strip's rows
 * of pixels and of chroma. */
typedef struct strip {
    ptrdiff_t image, mcu, mcu_end, first, end;
    nj_range pixels, chroma;
} strip;

static float *row_at(const nj_walk *w, uint8_t *slot, const strip *s, int c, ptrdiff_t row)
{
    return (float *)(void *)nj_row_of(w, slot, c, row, s->first * NNJPEG_BLOCK * (w->v / w->planes[c].v));
}

/* Three rows of floats that a slot keeps for pixels. */
static nj_samples stage(const nj_walk *w, uint8_t *slot, float *rows[3])
{
    const ptrdiff_t plane = w->staged / 2 / NJ_MAX_COMPONENTS;
    uint8_t *staged = slot + w->spare - w->staged;
    int c;
    for (c = 0; c < 3; c++)
        rows[c] = (float *)(void *)(staged + c * plane);
    return nj_buffer(staged, w->size, 1, plane, plane);
}

static void fetch_row(const nj_walk *w, nj_samples image, const strip *s, ptrdiff_t y, nj_samples staged)
{
    nj_copy(nj_from(image, s->image, 0, y, 0), staged, 3, 1, w->job->shape.width);
    nj_extend_by_zeros(staged, 3, 1, w->job->shape.width, 1, w->full);
}

/* The gradient of a row of chroma; NULL: the row is another strip's. */
static float *chroma_at(const nj_walk *w, uint8_t *const slots[SLOTS], const strip *s, int c, ptrdiff_t row)
{
    return row >= s->chroma.begin && row < s->chroma.end ? row_at(w, slots[GRADIENT], s, c, row) : NULL;
}

/* Through colour and upsampling: from the gradient of pixels to that of decoded components. */
static void decode_backward(const job *j, uint8_t *const slots[SLOTS], const strip *s)
{
    const nj_walk *w = &j->walk;
    const nj_rows_backward *f = &w->isa->backward;
    const ptrdiff_t width = w->job->shape.width, last = w->planes[NJ_CB].rows - 1;
    const ptrdiff_t end = nj_at_most(s->pixels.end + w->v - 1, w->job->shape.height);
    ptrdiff_t y = s->pixels.begin - (w->v - 1);
    float *grad[3], *scratch[3];
    nj_samples staged = stage(w, slots[DECODED], grad);
    int c;
    stage(w, slots[ENCODED], scratch);
    for (c = NJ_CB; c <= NJ_CR; c++)
        memset(row_at(w, slots[GRADIENT], s, c, s->chroma.begin), 0,
               (size_t)(nj_round_up(s->chroma.end - s->chroma.begin, NNJPEG_BLOCK) * w->planes[c].row));
    for (y = y < 0 ? 0 : y; y < end; y++) {
        const ptrdiff_t row = y / w->v, above = row > 0 ? row - 1 : 0, below = nj_at_most(row + 1, last);
        const ptrdiff_t other = w->v == 1 ? row : y % w->v ? below : above;
        const int within = y >= s->pixels.begin && y < s->pixels.end;
        float *components[3] = { within ? row_at(w, slots[GRADIENT], s, NJ_LUMA, y) : scratch[0], scratch[1], scratch[2] };
        nj_chroma chroma;
        nj_chroma_sums sums;
        for (c = 0; c < 2; c++) {
            chroma.above[c] = (const uint8_t *)row_at(w, slots[DECODED], s, NJ_CB + c, above);
            chroma.at[c] = (const uint8_t *)row_at(w, slots[DECODED], s, NJ_CB + c, row);
            chroma.below[c] = (const uint8_t *)row_at(w, slots[DECODED], s, NJ_CB + c, below);
        }
        nj_mix_chroma(w, slots[DECODED], &chroma, y, &sums);
        fetch_row(w, j->grad, s, y, staged);
        f->decode(row_at(w, slots[DECODED], s, NJ_LUMA, y), (const float *)(const void *)sums.of[0],
                  (const float *)(const void *)sums.of[1], sums.reach, w->h, (const float *const *)grad, components, w->full);
        for (c = NJ_CB; c <= NJ_CR; c++) {
            const int alone = other == row || !sums.reach;
            f->gather(components[c], width, w->planes[c].columns, sums.reach, w->h, alone ? 1.0f : 0.75f,
                      chroma_at(w, slots, s, c, row), alone ? NULL : chroma_at(w, slots, s, c, other));
        }
    }
}

/* The gradient of a component, from the strip's first row on. */
static nj_samples plane_of(const nj_walk *w, uint8_t *const slots[SLOTS], const strip *s, int c, nj_range rows)
{
    return nj_buffer(row_at(w, slots[GRADIENT], s, c, rows.begin), w->size, 1, w->planes[c].row, 0);
}

/* Through the limits of decoded components, and the transform, or its second half. */
static void transform_backward(const job *j, uint8_t *const slots[SLOTS], const strip *s, int part)
{
    const nj_walk *w = &j->walk;
    int c;
    for (c = NJ_LUMA; c <= NJ_CR; c++) {
        const nj_plane *p = &w->planes[c];
        const nj_range rows = c == NJ_LUMA ? s->pixels : s->chroma;
        const ptrdiff_t height = rows.end - rows.begin, row = p->row / w->size;
        ptrdiff_t y;
        for (y = rows.begin; y < rows.end; y++)
            w->isa->backward.limit(row_at(w, slots[GRADIENT], s, c, y), row_at(w, slots[DECODED], s, c, y), row);
        nj_extend_by_zeros(plane_of(w, slots, s, c, rows), 1, height, p->columns, nj_round_up(height, NNJPEG_BLOCK), row);
        nj_transform_f32(w, j->backward, slots[ENCODED], slots[GRADIENT], slots[GRADIENT],
                         j->sums ? nj_sums_of(j->sums, part, s->image, c) : NULL, s->image, c, s->mcu, s->mcu_end, s->first);
    }
}

static void process(const void *context, int part, int parts)
{
    const job *j = context;
    const nj_walk *w = &j->walk;
    const nj_range range = nj_range_of(w->job->shape.images * w->strips, part, parts);
    uint8_t *slots[SLOTS];
    ptrdiff_t item;
    int i, c;
    for (i = 0; i < SLOTS; i++)
        slots[i] = w->workspace + (part * SLOTS + i) * w->slot;
    for (item = range.begin; item < range.end; item++) {
        const ptrdiff_t mcu = item % w->strips * w->mcus, mcu_end = nj_at_most(mcu + w->mcus, w->mcu_rows);
        const strip s = { item / w->strips,
                          mcu,
                          mcu_end,
                          mcu > 0 ? mcu - (w->v - 1) : 0,
                          nj_at_most(mcu_end + w->v - 1, w->mcu_rows),
                          nj_strip_rows(w, NJ_LUMA, mcu, mcu_end),
                          nj_strip_rows(w, NJ_CB, mcu, mcu_end) };
        nj_encode_strip(w, slots[ENCODED], nj_from(w->job->src, s.image, 0, 0, 0), s.first, s.end);
        for (c = NJ_LUMA; c <= NJ_CR; c++)
            nj_transform_f32(w, j->decode, slots[ENCODED], NULL, slots[DECODED], NULL, s.image, c, s.first, s.end, s.first);
        decode_backward(j, slots, &s);
        transform_backward(j, slots, &s, part);
        if (!j->sums)
            nj_encode_strip_backward(w, slots[GRADIENT], s.image, s.mcu, s.mcu_end, s.first);
    }
}

nnjpeg_status nj_run_gradient(const nj_strips_job *call, const nj_samples *grad, float *tables)
{
    const int cubic = call->precision == NNJPEG_FLOAT_CUBIC;
    nj_table_sums sums;
    ptrdiff_t mcu_bytes = 0, most;
    void *memory;
    int parts, c;
    job j;
    nj_walk *w = &j.walk;
    if (!nj_begin_walk(w, call))
        return NNJPEG_BAD_ISA;
    j.grad = *grad;
    j.sums = tables ? &sums : NULL;
    j.decode = cubic ? NJ_F32_PLANE_CUBIC : NJ_F32_PLANE_NEAREST;
    j.backward = !tables ? NJ_F32_PLANE_BACKWARD : cubic ? NJ_F32_PLANE_CUBIC_BY_STEPS : NJ_F32_PLANE_NEAREST_BY_STEPS;
    for (c = NJ_LUMA; c <= NJ_CR; c++)
        mcu_bytes += SLOTS * NNJPEG_BLOCK * (w->v / w->planes[c].v) * w->planes[c].row;
    most = CACHE / mcu_bytes > LEAST_MCUS ? CACHE / mcu_bytes : LEAST_MCUS;
    w->strips = (w->mcu_rows - 1) / most + 1;
    w->mcus = (w->mcu_rows - 1) / w->strips + 1;
    w->strips = (w->mcu_rows - 1) / w->mcus + 1;
    nj_plan_slot(w, w->mcus + 2 * (w->v - 1));
    parts = nj_parts_for(call->shape.images * w->strips, 3 * w->planes[NJ_LUMA].block_columns * w->mcus * w->v,
                         call->num_threads);
    w->workspace = nj_workspace(parts * SLOTS * w->slot, &memory);
    if (!w->workspace)
        return NNJPEG_NO_MEMORY;
    if (tables && !nj_begin_sums(&sums, &call->shape, &call->quantizers, w->strips, parts)) {
        free(memory);
        return NNJPEG_NO_MEMORY;
    }
    nj_parallel(process, &j, parts);
    if (tables)
        nj_end_sums(&sums, tables);
    free(memory);
    return NNJPEG_OK;
}
