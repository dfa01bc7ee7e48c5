/* A strip's middle stage: the round trip of its components, or a half of it, in the buffer. */
#include "lanes_scalar.h"

#include "block.h"
#include "walk.h"

#include "block_wide.h"

typedef struct group {
    nj_run runs[NJ_MAX_RUNS];
    int16_t *blocks[NJ_MAX_BLOCKS];
    const nnjpeg_quantizer *quantizer;
    int count;
    int16_t idle[NNJPEG_BLOCK_SIZE]; /* for blocks that are not there */
    uint8_t idle_run[NNJPEG_BLOCK * NJ_RUN_WIDTH];
} group;

static void flush(const nj_walk *w, group *g)
{
    const nj_isa *isa = w->isa;
    const nnjpeg_quantizer *quantizers[NJ_MAX_COMPONENTS];
    int i, b;
    if (g->count == 0)
        return;
    while (isa->narrower && isa->narrower->runs >= g->count)
        isa = isa->narrower;
    for (i = g->count; i < isa->runs; i++) {
        g->runs[i] = g->runs[0];
        g->runs[i].dst = g->idle_run;
        g->runs[i].dst_row = NJ_RUN_WIDTH;
        for (b = 0; b < NJ_RUN_BLOCKS; b++)
            g->blocks[i * NJ_RUN_BLOCKS + b] = g->idle;
    }
    quantizers[0] = g->quantizer;
    if (w->job->dst_coefficients)
        isa->forward(g->runs, g->quantizer, g->blocks);
    else if (!w->job->src_coefficients)
        isa->roundtrip[NJ_PLANE](g->runs, quantizers, NNJPEG_RGB);
    else if (!isa->inverse((const int16_t *const *)g->blocks, g->quantizer, g->runs))
        for (i = 0; i < g->count; i++)
            for (b = 0; b < NJ_RUN_BLOCKS; b++)
                nj_inverse_wide(g->blocks[i * NJ_RUN_BLOCKS + b], g->quantizer, g->runs[i].dst + b * NNJPEG_BLOCK,
                                g->runs[i].dst_row);
    g->count = 0;
}

static void add_run(const nj_walk *w, group *g, uint8_t *at, ptrdiff_t row)
{
    nj_run *run = &g->runs[g->count];
    run->src = run->dst = at;
    run->src_row = run->dst_row = row;
    run->src_component = run->dst_component = run->src_ahead = run->dst_ahead = 0;
    if (++g->count == w->isa->runs)
        flush(w, g);
}

/* The blocks of the next run: coefficients of a component in a row of blocks, from a column on. */
static void add_blocks(const nj_walk *w, group *g, ptrdiff_t image, ptrdiff_t component, int c, ptrdiff_t row, ptrdiff_t column)
{
    const nnjpeg_coefficients *all = w->job->dst_coefficients ? w->job->dst_coefficients : w->job->src_coefficients;
    const int apart = w->job->subsampling != NNJPEG_444;
    const nnjpeg_coefficients *q = apart ? &all[c] : all;
    int16_t *first = q->data + image * q->strides.image + row * q->strides.row + (apart ? 0 : component * q->strides.component);
    int b;
    for (b = 0; b < NJ_RUN_BLOCKS; b++)
        g->blocks[g->count * NJ_RUN_BLOCKS + b] =
            column + b < w->planes[c].block_columns ? first + (column + b) * q->strides.column : g->idle;
}

static void transform_u8(const nj_walk *w, uint8_t *slot, ptrdiff_t image, ptrdiff_t unit, ptrdiff_t mcu, ptrdiff_t mcu_end,
                         int from_c)
{
    const int coefficients = w->job->dst_coefficients || w->job->src_coefficients;
    group g;
    int c;
    g.count = 0;
    g.quantizer = NULL;
    if (w->job->src_coefficients)
        memset(g.idle, 0, sizeof g.idle);
    for (c = from_c; c < w->coded; c++) {
        const nj_plane *p = &w->planes[c];
        const ptrdiff_t component = unit * w->components + c, blocks = w->v / p->v;
        const nnjpeg_quantizer *q = nj_quantizer_of(w->job->quantizers, image, component);
        const ptrdiff_t end = nj_at_most(mcu_end * blocks, p->block_rows);
        ptrdiff_t row, column;
        if (q != g.quantizer)
            flush(w, &g);
        g.quantizer = q;
        for (row = mcu * blocks; row < end; row++) {
            uint8_t *at = nj_row_of(w, slot, c, row * NNJPEG_BLOCK, mcu * blocks * NNJPEG_BLOCK);
            for (column = 0; column < p->block_columns; column += NJ_RUN_BLOCKS) {
                if (coefficients)
                    add_blocks(w, &g, image, component, c, row, column);
                add_run(w, &g, at + column * NNJPEG_BLOCK, p->row);
            }
        }
    }
    flush(w, &g);
}

void nj_transform_f32(const nj_walk *w, nj_f32_job kind, uint8_t *src, uint8_t *grad, uint8_t *dst, double *sums,
                      ptrdiff_t image, int c, ptrdiff_t mcu, ptrdiff_t mcu_end, ptrdiff_t first_mcu)
{
    const nj_plane *p = &w->planes[c];
    const nnjpeg_quantizer *q = nj_quantizer_of(w->job->quantizers, image, c);
    const ptrdiff_t blocks = w->v / p->v, end = nj_at_most(mcu_end * blocks, p->block_rows), row_of = p->row / w->size;
    nj_span span = { NULL, NULL, NULL, sums, row_of, 0, row_of, 0, row_of, 0, (p->columns - 1) / NJ_F32_RUN_WIDTH + 1, 0 };
    ptrdiff_t row;
    for (row = mcu * blocks; row < end; row++) {
        const ptrdiff_t y = (row - first_mcu * blocks) * NNJPEG_BLOCK;
        span.src = (const float *)(const void *)nj_row_of(w, src, c, y, 0);
        span.grad = grad ? (const float *)(const void *)nj_row_of(w, grad, c, y, 0) : NULL;
        span.dst = (float *)(void *)nj_row_of(w, dst, c, y, 0);
        w->isa->spans[kind](&span, &q, NNJPEG_YCBCR);
    }
}

void nj_transform_strip(const nj_walk *w, uint8_t *slot, ptrdiff_t image, ptrdiff_t unit, ptrdiff_t mcu, ptrdiff_t mcu_end,
                        int from_c)
{
    const nj_f32_job kind = w->job->precision == NNJPEG_FLOAT ? NJ_F32_PLANE_NEAREST : NJ_F32_PLANE_CUBIC;
    int c;
    if (w->job->precision == NNJPEG_UINT8)
        transform_u8(w, slot, image, unit, mcu, mcu_end, from_c);
    else
        for (c = from_c; c < w->coded; c++)
            nj_transform_f32(w, kind, slot, NULL, slot, NULL, image, c, mcu, mcu_end, mcu);
}
