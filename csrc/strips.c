/* An image by strips: some rows at a time go to planes of components in a buffer that stays in the cache, through the
 * transform there, and on. So go images whose chroma is subsampled, those that lie in an order that no fused run reads (see
 * image.c), floats that are rounded to bytes, and the two halves of the round trip.
 *
 * A strip is some rows of MCUs: with v rows of luma to one of chroma, 8 v rows of pixels each. Upsampling looks at the rows of
 * chroma above and below. So where v is 2, the last row of chroma and the v rows of luma that go with it wait in the buffer
 * for the next strip.
 *
 *     buffer of a component     waiting: 2 rows (v = 2) | the strip's rows | v = 2, chroma: the row below, if it is the end of a part
 *
 * A part of the call, for one thread, is consecutive strips. Where it begins within an image, the two rows of chroma on either
 * side of the border are decoded before any thread writes a result, since the result may take the place of the image. */
#include "lanes_scalar.h"

#include "block.h"
#include "strips.h"

#include "block_wide.h"
#include "threads.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, MARGIN = ALIGNMENT, LUMA = 0, CB = 1, CR = 2 };

/* A component: how many of the pixels' columns and rows one of its own takes, its size in one image, and its buffer. */
typedef struct plane {
    int h, v;
    ptrdiff_t columns, rows, block_columns, block_rows;
    ptrdiff_t row, offset; /* bytes: of a row of the buffer; from the start of a slot */
} plane;

/* One call, as all its threads see it. A unit is what one pass takes of the components: all, or one where they are many. A slot is
 * what one thread has of the workspace; borders have, for each part, [above, below] x [Cb, Cr]. */
typedef struct walk {
    const nj_strips_job *job;
    const nj_isa *isa, *narrow; /* and the narrowest that it leaves work to */
    int h, v, waiting, ycbcr;
    int components, coded; /* of a unit; those of them that are coded */
    nj_layout src_layout, dst_layout; /* that the rows' functions can read and write, NJ_PLANE: none */
    plane planes[NJ_MAX_COMPONENTS];
    ptrdiff_t units, mcu_rows, mcus, strips; /* of an image: rows of MCUs; of a strip; strips of an image */
    ptrdiff_t whole, encoded;         /* columns: of pixels that are read where they lie, if they can be; that blocks have */
    ptrdiff_t sums, staged, spare, slot, border_row, borders; /* bytes */
    uint8_t *workspace;
} walk;

typedef struct group {
    nj_run runs[NJ_MAX_RUNS];
    int16_t *blocks[NJ_MAX_BLOCKS];
    const nnjpeg_quantizer *quantizer;
    int count;
    int16_t idle[NNJPEG_BLOCK_SIZE]; /* for blocks that are not there */
    uint8_t idle_run[NNJPEG_BLOCK * NJ_RUN_WIDTH];
} group;

static ptrdiff_t at_most(ptrdiff_t x, ptrdiff_t limit) { return x < limit ? x : limit; }

static ptrdiff_t round_up(ptrdiff_t x, ptrdiff_t multiple) { return (x + multiple - 1) / multiple * multiple; }

/* Row `row` of a component in an image, while the strip that begins at row `first` is in the buffer. */
static uint8_t *row_of(const walk *w, uint8_t *slot, int c, ptrdiff_t row, ptrdiff_t first)
{
    return slot + w->planes[c].offset + (row - first + w->waiting) * w->planes[c].row;
}

/* Rows first..end-1 of a component that the strip holds. */
static nj_range rows_of(const walk *w, int c, ptrdiff_t mcu, ptrdiff_t mcu_end)
{
    const plane *p = &w->planes[c];
    const ptrdiff_t height = NNJPEG_BLOCK * (w->v / p->v);
    nj_range rows;
    rows.begin = mcu * height;
    rows.end = at_most(mcu_end * height, p->rows);
    return rows;
}

/* Samples in */

/* Pixels from x on, of up to two rows, as staged planes up to `encoded`. */
static void stage_rows(const walk *w, uint8_t *slot, const nj_samples rows[2], ptrdiff_t x, uint8_t *staged[2])
{
    const ptrdiff_t size = w->staged / 2 / NJ_MAX_COMPONENTS, width = w->job->shape.width - x;
    int r, c;
    for (r = 0; r < w->v; r++) {
        uint8_t *planes[NJ_MAX_COMPONENTS];
        staged[r] = slot + w->spare - w->staged + r * w->staged / 2;
        for (c = 0; c < w->components; c++)
            planes[c] = staged[r] + c * size;
        nj_fetch_row(w->narrow, nj_from(rows[r], 0, 0, 0, x), w->components, planes, width, slot + w->spare);
        nj_extend(nj_buffer(staged[r], 1, 1, size, size), w->coded, 1, width, 1, w->encoded - x);
    }
}

static int pixel_bytes(nj_layout layout) { return layout == NJ_INTERLEAVED ? 3 : layout == NJ_PADDED ? 4 : 1; }

/* v rows of so many pixels, a multiple of the narrowest step. */
static void encode_steps(const walk *w, const void *const rows[2], ptrdiff_t component, nj_layout layout, uint8_t *const luma[2],
                         uint8_t *cb, uint8_t *cr, ptrdiff_t width)
{
    const nj_isa *isa;
    ptrdiff_t x = 0;
    for (isa = w->isa; x < width; isa = isa->narrower) {
        const ptrdiff_t whole = (width - x) / isa->u8.step * isa->u8.step;
        const void *pixels[2];
        void *to[2];
        int r;
        for (r = 0; r < w->v; r++) {
            pixels[r] = (const uint8_t *)rows[r] + x * pixel_bytes(layout);
            to[r] = luma[r] + x;
        }
        if (whole)
            isa->u8.encode[w->job->subsampling](pixels, component, layout, to, cb + x / w->h, cr + x / w->h, whole);
        x += whole;
    }
}

static void encode(const walk *w, uint8_t *slot, nj_samples image, ptrdiff_t mcu, ptrdiff_t mcu_end)
{
    const ptrdiff_t staged_plane = w->staged / 2 / NJ_MAX_COMPONENTS;
    const ptrdiff_t whole = w->src_layout == NJ_PLANE ? 0 : w->whole;
    const nj_range rows = rows_of(w, CB, mcu, mcu_end);
    ptrdiff_t row;
    int c, r;
    for (row = rows.begin; row < rows.end; row++) {
        nj_samples from[2];
        const void *pixels[2];
        uint8_t *staged[2], *cb = row_of(w, slot, CB, row, rows.begin), *cr = row_of(w, slot, CR, row, rows.begin);
        uint8_t *luma[2], *rest[2];
        for (r = 0; r < w->v; r++) {
            from[r] = nj_from(image, 0, 0, at_most(w->v * row + r, w->job->shape.height - 1), 0);
            pixels[r] = from[r].data;
            luma[r] = row_of(w, slot, LUMA, w->v * row + r, w->v * rows.begin);
            rest[r] = luma[r] + whole;
        }
        encode_steps(w, pixels, image.strides.component, w->src_layout, luma, cb, cr, whole);
        if (whole < w->encoded) {
            stage_rows(w, slot, from, whole, staged);
            pixels[0] = staged[0];
            pixels[1] = staged[1];
            encode_steps(w, pixels, staged_plane, NJ_PLANES, rest, cb + whole / w->h, cr + whole / w->h, w->encoded - whole);
        }
    }
    for (c = LUMA; c <= CR; c++) {
        const plane *p = &w->planes[c];
        const ptrdiff_t height = (rows.end - rows.begin) * (w->v / p->v);
        nj_extend(nj_buffer(slot + p->offset + w->waiting * p->row, 1, 1, p->row, 0), 1, height, p->row,
                  round_up(height, NNJPEG_BLOCK), p->row);
    }
}

static void fetch(const walk *w, uint8_t *slot, nj_samples image, ptrdiff_t mcu, ptrdiff_t mcu_end)
{
    const nj_range rows = rows_of(w, 0, mcu, mcu_end);
    const ptrdiff_t height = rows.end - rows.begin, width = w->job->shape.width;
    ptrdiff_t row;
    int c;
    for (row = rows.begin; row < rows.end; row++) {
        uint8_t *planes[NJ_MAX_COMPONENTS];
        for (c = 0; c < w->components; c++)
            planes[c] = row_of(w, slot, c, row, rows.begin);
        nj_fetch_row(w->narrow, nj_from(image, 0, 0, row, 0), w->components, planes, width, slot + w->spare);
    }
    for (c = 0; c < w->coded; c++)
        nj_extend(nj_buffer(slot + w->planes[c].offset, 1, 1, w->planes[c].row, 0), 1, height, width,
                  round_up(height, NNJPEG_BLOCK), w->encoded);
}

/* The transform, in the buffer */

static void flush(const walk *w, group *g)
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

static void add_run(const walk *w, group *g, uint8_t *at, ptrdiff_t row)
{
    nj_run *run = &g->runs[g->count];
    run->src = run->dst = at;
    run->src_row = run->dst_row = row;
    run->src_component = run->dst_component = run->src_ahead = run->dst_ahead = 0;
    if (++g->count == w->isa->runs)
        flush(w, g);
}

/* The blocks of the next run: coefficients of a component in a row of blocks, from a column on. */
static void add_blocks(const walk *w, group *g, ptrdiff_t image, ptrdiff_t component, int c, ptrdiff_t row, ptrdiff_t column)
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

/* Components from_c.. of the strip that is in the buffer. */
static void transform(const walk *w, uint8_t *slot, ptrdiff_t image, ptrdiff_t unit, ptrdiff_t mcu, ptrdiff_t mcu_end, int from_c)
{
    const int coefficients = w->job->dst_coefficients || w->job->src_coefficients;
    group g;
    int c;
    g.count = 0;
    g.quantizer = NULL;
    if (w->job->src_coefficients)
        memset(g.idle, 0, sizeof g.idle);
    for (c = from_c; c < w->coded; c++) {
        const plane *p = &w->planes[c];
        const ptrdiff_t component = unit * w->components + c, blocks = w->v / p->v;
        const nnjpeg_quantizer *q = nj_quantizer_of(w->job->quantizers, image, component);
        const ptrdiff_t end = at_most(mcu_end * blocks, p->block_rows);
        ptrdiff_t row, column;
        if (q != g.quantizer)
            flush(w, &g);
        g.quantizer = q;
        for (row = mcu * blocks; row < end; row++)
            for (column = 0; column < p->block_columns; column += NJ_RUN_BLOCKS) {
                if (coefficients)
                    add_blocks(w, &g, image, component, c, row, column);
                add_run(w, &g, row_of(w, slot, c, row * NNJPEG_BLOCK, mcu * blocks * NNJPEG_BLOCK) + column * NNJPEG_BLOCK,
                        p->row);
            }
    }
    flush(w, &g);
}

/* Samples out */

/* What nj_rows' `decode` takes of chroma; size: of its samples. */
typedef struct chroma_rows {
    const uint8_t *cb, *cr;
    int size, odd_row, reach;
} chroma_rows;

/* So many pixels of a row, a multiple of the narrowest step; chroma from column `begin` of the pixels on. */
static void decode_steps(const walk *w, const uint8_t *luma, const chroma_rows *c, ptrdiff_t begin, const uint8_t *padding,
                         uint8_t *pixels, ptrdiff_t component, nj_layout layout, ptrdiff_t width)
{
    const int bytes = pixel_bytes(layout);
    const nj_isa *isa;
    ptrdiff_t x = 0;
    for (isa = w->isa; x < width; isa = isa->narrower) {
        const ptrdiff_t whole = (width - x) / isa->u8.step * isa->u8.step, at = (begin + x) / w->h * c->size;
        if (whole)
            isa->u8.decode[w->job->subsampling](luma + x, c->cb + at, c->cr + at, c->odd_row, c->reach,
                                                padding ? padding + x * bytes : NULL, pixels + x * bytes, component, layout,
                                                whole);
        x += whole;
    }
}

/* One row of pixels. */
static void decode_row(const walk *w, uint8_t *slot, const uint8_t *luma, const uint8_t *cb, const uint8_t *cr, int size, int odd_row,
                       int reach, nj_samples src, nj_samples dst)
{
    const ptrdiff_t width = w->job->shape.width, plane = w->staged / 2 / NJ_MAX_COMPONENTS, step = w->narrow->u8.step;
    const ptrdiff_t whole = w->dst_layout == NJ_PLANE ? 0 : width / step * step, rest = width - whole;
    uint8_t *staged = slot + w->spare - w->staged;
    const uint8_t *planes[NJ_MAX_COMPONENTS];
    int c;
    const chroma_rows chroma = { cb, cr, size, odd_row, reach };
    decode_steps(w, luma, &chroma, 0, src.data, dst.data, dst.strides.component, w->dst_layout, whole);
    if (!rest)
        return;
    decode_steps(w, luma + whole, &chroma, whole, NULL, staged, plane, NJ_PLANES, round_up(rest, step));
    for (c = 0; c < w->components; c++)
        planes[c] = staged + c * plane;
    if (w->components > w->coded) {
        uint8_t *fourth = staged + w->coded * plane;
        nj_copy(nj_from(src, 0, w->coded, 0, whole), nj_buffer(fourth, 1, 1, 0, 0), 1, 1, rest);
    }
    nj_land_row(w->narrow, planes, nj_from(dst, 0, 0, 0, whole), w->components, rest, slot + w->spare);
}

/* The v rows of pixels that go with one row of chroma; that row and its neighbours: [Cb, Cr][above, it, below]. */
static void decode(const walk *w, uint8_t *slot, uint8_t *chroma[2][3], ptrdiff_t row, ptrdiff_t first, nj_samples src,
                   nj_samples dst)
{
    const nj_rows *f = &w->isa->u8;
    const ptrdiff_t columns = w->planes[CB].columns, sum_row = w->planes[CB].row + 2 * MARGIN / (ptrdiff_t)sizeof(int16_t);
    const int repeats = w->h == 2 && columns <= NJ_REPEATED_COLUMNS;
    int16_t *sums = (int16_t *)(void *)(slot + w->sums) + MARGIN / sizeof(int16_t);
    int r, c;
    for (r = 0; r < w->v; r++) {
        const ptrdiff_t y = row * w->v + r;
        const uint8_t *of[2] = { chroma[0][1], chroma[1][1] };
        int size = 1;
        if (y >= w->job->shape.height)
            break;
        if (w->h == 2 || w->v == 2) {
            size = sizeof(int16_t);
            for (c = 0; c < 2; c++) {
                int16_t *sum = sums + c * sum_row;
                if (w->v == 1)
                    f->widen(chroma[c][1], sum, columns);
                else
                    f->mix(chroma[c][1], chroma[c][repeats ? 1 : 2 * r], sum, columns);
                sum[-1] = sum[0];
                sum[columns] = sum[columns - 1];
                of[c] = (const uint8_t *)(const void *)sum;
            }
        }
        decode_row(w, slot, row_of(w, slot, LUMA, y, first * w->v), of[0], of[1], size, (int)(y % 2), !repeats,
                   src.data ? nj_from(src, 0, 0, y, 0) : src, nj_from(dst, 0, 0, y, 0));
    }
}

static uint8_t *border(const walk *w, int part, int below, int c)
{
    return w->workspace + w->borders + ((ptrdiff_t)(part * 2 + below) * 2 + c - CB) * w->border_row;
}

/* Rows of pixels that are complete once the strip is in the buffer. begins, ends: whether the strip is the part's first, or last. */
static void decode_strip(const walk *w, uint8_t *slot, nj_samples src, nj_samples dst, ptrdiff_t mcu, ptrdiff_t mcu_end, int part,
                         int begins, int ends)
{
    const nj_range rows = rows_of(w, CB, mcu, mcu_end);
    const ptrdiff_t last = w->planes[CB].rows - 1;
    const int waits = w->v == 2;
    const ptrdiff_t begin = rows.begin - (waits && !begins && mcu > 0), end = rows.end - (waits && !ends && rows.end <= last);
    ptrdiff_t row;
    int c;
    if (w->waiting)
        for (c = CB; c <= CR; c++) {
            if (begins && mcu > 0)
                memcpy(row_of(w, slot, c, rows.begin - 1, rows.begin), border(w, part, 0, c), (size_t)w->planes[c].columns);
            if (ends && rows.end <= last)
                memcpy(row_of(w, slot, c, rows.end, rows.begin), border(w, part + 1, 1, c), (size_t)w->planes[c].columns);
        }
    for (row = begin; row < end; row++) {
        uint8_t *chroma[2][3];
        for (c = CB; c <= CR; c++) {
            chroma[c - CB][0] = row_of(w, slot, c, row > 0 ? row - 1 : 0, rows.begin);
            chroma[c - CB][1] = row_of(w, slot, c, row, rows.begin);
            chroma[c - CB][2] = row_of(w, slot, c, row < last ? row + 1 : last, rows.begin);
        }
        decode(w, slot, chroma, row, rows.begin, src, dst);
    }
    if (waits && rows.end <= last)
        for (c = LUMA; c <= CR; c++)
            memcpy(slot + w->planes[c].offset, row_of(w, slot, c, rows.end * (w->v / w->planes[c].v) - 2, rows.begin * (w->v / w->planes[c].v)),
                   (size_t)(2 * w->planes[c].row));
}

static void land(const walk *w, uint8_t *slot, nj_samples image, ptrdiff_t mcu, ptrdiff_t mcu_end)
{
    const nj_range rows = rows_of(w, 0, mcu, mcu_end);
    ptrdiff_t row;
    int c;
    for (row = rows.begin; row < rows.end; row++) {
        const uint8_t *planes[NJ_MAX_COMPONENTS];
        for (c = 0; c < w->components; c++)
            planes[c] = row_of(w, slot, c, row, rows.begin);
        nj_land_row(w->narrow, planes, nj_from(image, 0, 0, row, 0), w->components, w->job->shape.width, slot + w->spare);
    }
}

/* The walk */

static nj_samples unit_of(const walk *w, const nj_samples *s, ptrdiff_t image, ptrdiff_t unit)
{
    return s->data ? nj_from(*s, image, unit * w->components, 0, 0) : *s;
}

static void process(const void *context, int part, int parts)
{
    const walk *w = context;
    const nj_strips_job *job = w->job;
    const nj_range range = nj_range_of(job->shape.images * w->units * w->strips, part, parts);
    uint8_t *slot = w->workspace + part * w->slot;
    ptrdiff_t item;
    for (item = range.begin; item < range.end; item++) {
        const ptrdiff_t strip = item % w->strips, unit = item / w->strips % w->units, image = item / w->strips / w->units;
        const ptrdiff_t mcu = strip * w->mcus, mcu_end = at_most(mcu + w->mcus, w->mcu_rows);
        const nj_samples src = unit_of(w, &job->src, image, unit), dst = unit_of(w, &job->dst, image, unit);
        if (src.data && w->ycbcr)
            encode(w, slot, src, mcu, mcu_end);
        else if (src.data)
            fetch(w, slot, src, mcu, mcu_end);
        transform(w, slot, image, unit, mcu, mcu_end, 0);
        if (dst.data && w->ycbcr)
            decode_strip(w, slot, src, dst, mcu, mcu_end, part, item == range.begin, item == range.end - 1);
        else if (dst.data)
            land(w, slot, dst, mcu, mcu_end);
    }
}

/* The rows of chroma on either side of where a part begins. */
static void decode_border(const void *context, int part, int parts)
{
    const walk *w = context;
    const nj_range range = nj_range_of(w->job->shape.images * w->strips, part, parts);
    const ptrdiff_t image = range.begin / w->strips, mcu = range.begin % w->strips * w->mcus;
    const nj_samples src = unit_of(w, &w->job->src, image, 0);
    uint8_t *slot = w->workspace + part * w->slot;
    int below, c;
    for (below = 0; below < 2 && mcu > 0; below++) {
        const ptrdiff_t at = mcu - 1 + below;
        if (src.data)
            encode(w, slot, src, at, at + 1);
        transform(w, slot, image, 0, at, at + 1, CB);
        for (c = CB; c <= CR; c++)
            memcpy(border(w, part, below, c), row_of(w, slot, c, below ? 0 : NNJPEG_BLOCK - 1, 0), (size_t)w->planes[c].columns);
    }
}

static nj_layout layout_of(const nj_samples *s, int components)
{
    if (!s->data || s->size != 1)
        return NJ_PLANE;
    if (nj_are_pixels(s, components))
        return components == 3 ? NJ_INTERLEAVED : NJ_PADDED;
    return components == 3 && nj_are_planes(s) ? NJ_PLANES : NJ_PLANE;
}

/* So many runs are enough to fill groups, and few enough for the cache. */
enum { RUNS_A_STRIP = 16 };

static ptrdiff_t take(ptrdiff_t *size, ptrdiff_t bytes)
{
    const ptrdiff_t offset = *size;
    *size += round_up(bytes, ALIGNMENT);
    return offset;
}

static void plan(walk *w)
{
    const nj_strips_job *job = w->job;
    const ptrdiff_t width = job->shape.width, height = job->shape.height, step = w->narrow->u8.step;
    const ptrdiff_t full = round_up(width, step > NJ_RUN_WIDTH * w->h ? step : NJ_RUN_WIDTH * w->h);
    const ptrdiff_t unit = step > 2 * w->h ? step : 2 * w->h;
    ptrdiff_t runs;
    int c;
    w->mcu_rows = (height - 1) / (NNJPEG_BLOCK * w->v) + 1;
    runs = ((width - 1) / NJ_RUN_WIDTH + 1) * w->v;
    w->mcus = at_most((RUNS_A_STRIP - 1) / runs + 1, w->mcu_rows);
    w->strips = (w->mcu_rows - 1) / w->mcus + 1;
    w->waiting = w->v == 2 && w->ycbcr && job->dst.data ? 2 : 0;
    w->encoded = round_up(width, step > NNJPEG_BLOCK * w->h ? step : NNJPEG_BLOCK * w->h);
    /* Padding repeats a pixel that is staged; and what is staged begins at an even column of chroma. */
    w->whole = (w->encoded > width ? width - 1 : width) / unit * unit;
    w->slot = 0;
    for (c = 0; c < w->components; c++) {
        plane *p = &w->planes[c];
        p->h = c == LUMA || !w->ycbcr ? 1 : w->h;
        p->v = c == LUMA || !w->ycbcr ? 1 : w->v;
        p->columns = (width - 1) / p->h + 1;
        p->rows = (height - 1) / p->v + 1;
        p->block_columns = nj_blocks(p->columns);
        p->block_rows = nj_blocks(p->rows);
        p->row = full / p->h;
        p->offset = take(&w->slot, (w->waiting + 1 + NNJPEG_BLOCK * w->mcus * (w->v / p->v)) * p->row);
    }
    w->sums = take(&w->slot, 2 * (full / w->h * (ptrdiff_t)sizeof(int16_t) + 2 * MARGIN));
    w->staged = 2 * NJ_MAX_COMPONENTS * full;
    take(&w->slot, w->staged);
    w->spare = take(&w->slot, NJ_MAX_COMPONENTS * full);
    w->border_row = full / w->h;
}

nnjpeg_status nj_run_strips(const nj_strips_job *job)
{
    static const int h[NJ_SUBSAMPLINGS] = { 1, 2, 2, 1 }, v[NJ_SUBSAMPLINGS] = { 1, 1, 2, 2 };
    walk w;
    ptrdiff_t count, blocks;
    void *memory;
    int parts;
    memset(&w, 0, sizeof w);
    w.job = job;
    w.isa = nj_isa_for_cpu();
    if (!w.isa)
        return NNJPEG_BAD_ISA;
    for (w.narrow = w.isa; w.narrow->narrower; w.narrow = w.narrow->narrower)
        ;
    w.ycbcr = job->colorspace == NNJPEG_YCBCR || job->colorspace == NNJPEG_YCBCRX;
    w.h = h[job->subsampling];
    w.v = v[job->subsampling];
    w.components = job->shape.components <= NJ_MAX_COMPONENTS ? (int)job->shape.components : 1;
    w.coded = job->colorspace >= NNJPEG_RGBX ? w.components - 1 : w.components;
    w.units = job->shape.components / w.components;
    w.src_layout = layout_of(&job->src, w.components);
    w.dst_layout = layout_of(&job->dst, w.components);
    if (w.dst_layout == NJ_PADDED && w.src_layout != NJ_PADDED)
        w.dst_layout = NJ_PLANE;
    plan(&w);

    count = job->shape.images * w.units * w.strips;
    blocks = w.coded * w.planes[0].block_columns * w.mcus * w.v;
    parts = nj_parts_for(count, blocks, job->num_threads);
    w.borders = parts * w.slot;
    memory = calloc(1, (size_t)(w.borders + parts * 4 * w.border_row + ALIGNMENT));
    if (!memory)
        return NNJPEG_NO_MEMORY;
    w.workspace = (uint8_t *)memory + (ALIGNMENT - (uintptr_t)memory % ALIGNMENT);
    if (w.waiting && parts > 1)
        nj_parallel(decode_border, &w, parts);
    nj_parallel(process, &w, parts);
    free(memory);
    return NNJPEG_OK;
}
