/* The plan of a call: what its components are, and where a slot has them. */
#include "walk.h"

#include <stdlib.h>

static nj_layout layout_of(const nj_walk *w, const nj_samples *s)
{
    if (!s->data || s->size != w->size)
        return NJ_PLANE;
    if (nj_are_pixels(s, w->components))
        return w->components == 3 ? NJ_INTERLEAVED : NJ_PADDED;
    return w->components == 3 && nj_are_planes(s) ? NJ_PLANES : NJ_PLANE;
}

int nj_begin_walk(nj_walk *w, const nj_strips_job *job)
{
    static const int h[NJ_SUBSAMPLINGS] = { 1, 2, 2, 1 }, v[NJ_SUBSAMPLINGS] = { 1, 1, 2, 2 };
    const ptrdiff_t width = job->shape.width, height = job->shape.height;
    ptrdiff_t step, block, unit;
    int c;
    memset(w, 0, sizeof *w);
    w->job = job;
    w->isa = nj_isa_for_cpu();
    if (!w->isa)
        return 0;
    for (w->narrow = w->isa; w->narrow->narrower; w->narrow = w->narrow->narrower)
        ;
    w->size = job->precision == NNJPEG_UINT8 ? 1 : (int)sizeof(float);
    w->sum_size = w->size == 1 ? (int)sizeof(int16_t) : (int)sizeof(float);
    w->ycbcr = job->colorspace == NNJPEG_YCBCR || job->colorspace == NNJPEG_YCBCRX;
    w->h = h[job->subsampling];
    w->v = v[job->subsampling];
    w->components = job->shape.components <= NJ_MAX_COMPONENTS ? (int)job->shape.components : 1;
    w->coded = job->colorspace >= NNJPEG_RGBX ? w->components - 1 : w->components;
    w->units = job->shape.components / w->components;
    w->src_order = nj_order_of(&job->src, w->components);
    w->dst_order = nj_order_of(&job->dst, w->components);
    w->src_layout = layout_of(w, &job->src);
    w->dst_layout = layout_of(w, &job->dst);
    if (w->dst_layout == NJ_PADDED && w->src_layout != NJ_PADDED)
        w->dst_layout = NJ_PLANE;

    step = nj_rows_for(w, w->narrow)->step;
    block = NNJPEG_BLOCK * w->h;
    unit = 2 * w->h;
    w->mcu_rows = (height - 1) / (NNJPEG_BLOCK * w->v) + 1;
    w->encoded = nj_round_up(width, step > block ? step : block);
    /* Padding repeats a pixel that is staged; and what is staged begins at an even column of chroma. */
    w->whole = (w->encoded > width ? width - 1 : width) / (step > unit ? step : unit) * (step > unit ? step : unit);
    w->full = nj_round_up(width, step > NJ_RUN_WIDTH * w->h ? step : NJ_RUN_WIDTH * w->h);
    for (c = 0; c < w->components; c++) {
        nj_plane *p = &w->planes[c];
        p->h = c == NJ_LUMA || !w->ycbcr ? 1 : w->h;
        p->v = c == NJ_LUMA || !w->ycbcr ? 1 : w->v;
        p->columns = (width - 1) / p->h + 1;
        p->rows = (height - 1) / p->v + 1;
        p->block_columns = nj_blocks(p->columns);
        p->block_rows = nj_blocks(p->rows);
        p->row = w->full / p->h * w->size;
    }
    return 1;
}

/* The next bytes of a slot: where they start. */
static ptrdiff_t take(ptrdiff_t *slot, ptrdiff_t bytes)
{
    const ptrdiff_t offset = *slot;
    *slot += nj_round_up(bytes, NJ_WORKSPACE_ALIGNMENT);
    return offset;
}

void nj_plan_slot(nj_walk *w, ptrdiff_t mcus)
{
    int c;
    w->slot = 0;
    for (c = 0; c < w->components; c++) {
        nj_plane *p = &w->planes[c];
        p->offset = take(&w->slot, (w->waiting + NNJPEG_BLOCK * mcus * (w->v / p->v) + 1) * p->row);
    }
    w->sum_row = w->full / w->h * w->sum_size + 2 * NJ_MARGIN;
    w->sums = take(&w->slot, 2 * w->sum_row);
    w->staged = 2 * NJ_MAX_COMPONENTS * w->full * w->size;
    take(&w->slot, w->staged);
    w->spare = take(&w->slot, NJ_SPARE_ROWS * w->full * w->size);
}

uint8_t *nj_workspace(ptrdiff_t bytes, void **memory)
{
    *memory = calloc(1, (size_t)(bytes + NJ_WORKSPACE_ALIGNMENT));
    if (!*memory)
        return NULL;
    return (uint8_t *)*memory + (NJ_WORKSPACE_ALIGNMENT - (uintptr_t)*memory % NJ_WORKSPACE_ALIGNMENT);
}
