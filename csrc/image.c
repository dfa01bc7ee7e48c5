/* From an image of any size and strides to groups of runs, and back; threads.
 *
 * A run that lies inside the image, in the layout that the strip reads, is passed as it is: no copy. A run over an
 * edge is staged: copied to a small buffer, extended by repeating the last column and row (as libjpeg pads), and its
 * valid part copied out. The same staging serves layouts that no strip reads, such as reversed columns, and samples
 * that are floats, which it rounds to bytes and turns back. */
#include "image.h"
#include "strip.h"
#include "threads.h"

#include <string.h>

/* One call, as all its threads see it. A unit is what one run takes of the components: one of them, or all. */
typedef struct job {
    const nj_strip *strip;
    nnjpeg_shape shape;
    const uint8_t *src;
    uint8_t *dst;
    nnjpeg_strides ss, ds; /* in bytes */
    int floats;            /* src and dst hold floats in 0..1 */
    nnjpeg_quantizers quantizers;
    nnjpeg_colorspace colorspace;
    nj_layout layout;
    int unit_components; /* and how many of them are coded: */
    int coded;
    int src_direct, dst_direct; /* the strip can read src, write dst, where a run is whole */
    ptrdiff_t units, block_rows, runs_a_row;
} job;

/* Where a staged run's result goes. */
typedef struct landing {
    uint8_t *dst; /* NULL: the strip wrote it */
    ptrdiff_t height, width;
} landing;

typedef struct group {
    nj_run runs[NJ_MAX_RUNS];
    landing landings[NJ_MAX_RUNS];
    const nnjpeg_quantizer *quantizers[NJ_MAX_COMPONENTS];
    int count;
    uint8_t staged[NJ_MAX_RUNS][NJ_MAX_COMPONENTS * NNJPEG_BLOCK * NJ_RUN_WIDTH];
} group;

static int bytes_a_pixel(nj_layout layout)
{
    return layout == NJ_INTERLEAVED ? 3 : layout == NJ_PADDED ? 4 : 1;
}

static int matches_layout(const job *j, const nnjpeg_strides *s)
{
    const int pixel = bytes_a_pixel(j->layout);
    return s->column == pixel && (pixel == 1 || s->component == 1);
}

/* The strides of a staged run. */
static nnjpeg_strides staged_strides(const job *j)
{
    const int pixel = bytes_a_pixel(j->layout);
    nnjpeg_strides s = { 0, pixel > 1 ? 1 : NNJPEG_BLOCK * NJ_RUN_WIDTH, pixel * NJ_RUN_WIDTH, pixel };
    return s;
}

static void copy_samples(const job *j, const uint8_t *src, const nnjpeg_strides *ss, uint8_t *dst,
                         const nnjpeg_strides *ds, ptrdiff_t height, ptrdiff_t width)
{
    ptrdiff_t c, y, x;
    if (matches_layout(j, ss) && matches_layout(j, ds)) {
        const int pixel = bytes_a_pixel(j->layout);
        for (c = 0; c < j->unit_components / pixel; c++)
            for (y = 0; y < height; y++)
                memcpy(dst + c * ds->component + y * ds->row, src + c * ss->component + y * ss->row,
                       (size_t)(pixel * width));
        return;
    }
    for (c = 0; c < j->unit_components; c++)
        for (y = 0; y < height; y++) {
            const uint8_t *s = src + c * ss->component + y * ss->row;
            uint8_t *d = dst + c * ds->component + y * ds->row;
            for (x = 0; x < width; x++)
                d[x * ds->column] = s[x * ss->column];
        }
}

/* Repeats the last column, then the last row, of a staged run. */
static void extend(const job *j, uint8_t *staged, const nnjpeg_strides *s, ptrdiff_t height, ptrdiff_t width)
{
    ptrdiff_t c, y, x;
    for (c = 0; c < j->unit_components; c++) {
        uint8_t *plane = staged + c * s->component;
        for (y = 0; y < height; y++)
            for (x = width; x < NJ_RUN_WIDTH; x++)
                plane[y * s->row + x * s->column] = plane[y * s->row + (width - 1) * s->column];
        for (y = height; y < NNJPEG_BLOCK; y++)
            for (x = 0; x < NJ_RUN_WIDTH; x++)
                plane[y * s->row + x * s->column] = plane[(height - 1) * s->row + x * s->column];
    }
}

static void fetch_floats(const job *j, const uint8_t *src, uint8_t *staged, const nnjpeg_strides *s, ptrdiff_t height,
                         ptrdiff_t width)
{
    ptrdiff_t c, y, x;
    for (c = 0; c < j->unit_components; c++)
        for (y = 0; y < height; y++) {
            const uint8_t *from = src + c * j->ss.component + y * j->ss.row;
            uint8_t *to = staged + c * s->component + y * s->row;
            if (j->ss.column == sizeof(float) && s->column == 1)
                j->strip->to_bytes((const float *)(const void *)from, to, width);
            else
                for (x = 0; x < width; x++)
                    j->strip->to_bytes((const float *)(const void *)(from + x * j->ss.column), to + x * s->column, 1);
        }
}

static void land_floats(const job *j, const uint8_t *staged, const nnjpeg_strides *s, uint8_t *dst, ptrdiff_t height,
                        ptrdiff_t width)
{
    ptrdiff_t c, y, x;
    for (c = 0; c < j->unit_components; c++)
        for (y = 0; y < height; y++) {
            const uint8_t *from = staged + c * s->component + y * s->row;
            uint8_t *to = dst + c * j->ds.component + y * j->ds.row;
            if (j->ds.column == sizeof(float) && s->column == 1)
                j->strip->to_floats(from, (float *)(void *)to, width);
            else
                for (x = 0; x < width; x++)
                    j->strip->to_floats(from + x * s->column, (float *)(void *)(to + x * j->ds.column), 1);
        }
}

static void fetch(const job *j, const uint8_t *src, uint8_t *staged, ptrdiff_t height, ptrdiff_t width)
{
    nnjpeg_strides s = staged_strides(j);
    if (j->floats)
        fetch_floats(j, src, staged, &s, height, width);
    else
        copy_samples(j, src, &j->ss, staged, &s, height, width);
    if (height < NNJPEG_BLOCK || width < NJ_RUN_WIDTH)
        extend(j, staged, &s, height, width);
}

static void land(const job *j, const uint8_t *staged, const landing *at)
{
    nnjpeg_strides s = staged_strides(j);
    if (j->floats)
        land_floats(j, staged, &s, at->dst, at->height, at->width);
    else
        copy_samples(j, staged, &s, at->dst, &j->ds, at->height, at->width);
}

static void flush(const job *j, group *g)
{
    const nj_strip *strip = j->strip;
    int i;
    if (g->count == 0)
        return;
    while (strip->narrower && strip->narrower->runs >= g->count)
        strip = strip->narrower;
    /* A strip takes whole groups: idle runs repeat the first, into buffers that nobody reads. */
    for (i = g->count; i < strip->runs; i++) {
        nnjpeg_strides s = staged_strides(j);
        g->runs[i] = g->runs[0];
        g->runs[i].dst = g->staged[i];
        g->runs[i].dst_row = s.row;
        g->runs[i].dst_component = s.component;
        g->runs[i].dst_ahead = 0;
    }
    strip->roundtrip[j->layout](g->runs, g->quantizers, j->colorspace);
    for (i = 0; i < g->count; i++)
        if (g->landings[i].dst)
            land(j, g->staged[i], &g->landings[i]);
    g->count = 0;
}

/* rows_ahead and columns_ahead: the way to the run one group later, in samples. */
static void add_run(const job *j, group *g, const uint8_t *src, uint8_t *dst, ptrdiff_t height, ptrdiff_t width,
                    ptrdiff_t rows_ahead, ptrdiff_t columns_ahead)
{
    int i = g->count;
    int whole = height == NNJPEG_BLOCK && width == NJ_RUN_WIDTH;
    nj_run *run = &g->runs[i];
    nnjpeg_strides s = staged_strides(j);

    g->landings[i].dst = NULL;
    if (whole && j->src_direct) {
        run->src = src;
        run->src_row = j->ss.row;
        run->src_component = j->ss.component;
        run->src_ahead = rows_ahead * j->ss.row + columns_ahead * j->ss.column;
    } else {
        fetch(j, src, g->staged[i], height, width);
        run->src = g->staged[i];
        run->src_row = s.row;
        run->src_component = s.component;
        run->src_ahead = 0;
    }
    if (whole && j->dst_direct) {
        run->dst = dst;
        run->dst_row = j->ds.row;
        run->dst_component = j->ds.component;
        run->dst_ahead = rows_ahead * j->ds.row + columns_ahead * j->ds.column;
    } else {
        g->landings[i].dst = dst;
        g->landings[i].height = height;
        g->landings[i].width = width;
        run->dst = g->staged[i];
        run->dst_row = s.row;
        run->dst_component = s.component;
        run->dst_ahead = 0;
    }
    if (++g->count == j->strip->runs)
        flush(j, g);
}

static void use_quantizers(const job *j, group *g, ptrdiff_t image, ptrdiff_t component)
{
    int c, same = 1;
    for (c = 0; c < j->coded; c++)
        same &= g->quantizers[c] == nj_quantizer_of(j->quantizers, image, component + c);
    if (same)
        return;
    flush(j, g);
    for (c = 0; c < j->coded; c++)
        g->quantizers[c] = nj_quantizer_of(j->quantizers, image, component + c);
}

/* Runs begin..end-1 of the call, counted along rows of blocks, then units, then images. */
static void process(const void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    ptrdiff_t run = begin % j->runs_a_row, rest = begin / j->runs_a_row;
    ptrdiff_t row = rest % j->block_rows, unit = rest / j->block_rows % j->units;
    ptrdiff_t image = rest / j->block_rows / j->units, left = end - begin;
    group g;
    int c;
    g.count = 0;
    for (c = 0; c < NJ_MAX_COMPONENTS; c++)
        g.quantizers[c] = NULL;

    while (left > 0) {
        ptrdiff_t y = row * NNJPEG_BLOCK, component = unit * j->unit_components;
        ptrdiff_t height = j->shape.height - y < NNJPEG_BLOCK ? j->shape.height - y : NNJPEG_BLOCK;
        const uint8_t *src = j->src + image * j->ss.image + component * j->ss.component + y * j->ss.row;
        uint8_t *dst = j->dst + image * j->ds.image + component * j->ds.component + y * j->ds.row;

        use_quantizers(j, &g, image, component);
        for (; run < j->runs_a_row && left > 0; run++, left--) {
            ptrdiff_t x = run * NJ_RUN_WIDTH, width = j->shape.width - x;
            ptrdiff_t ahead = run + j->strip->runs, rows_ahead = 0;
            for (; ahead >= j->runs_a_row && rows_ahead < NJ_MAX_RUNS; ahead -= j->runs_a_row)
                rows_ahead++;
            add_run(j, &g, src + x * j->ss.column, dst + x * j->ds.column, height,
                    width < NJ_RUN_WIDTH ? width : NJ_RUN_WIDTH, rows_ahead * NNJPEG_BLOCK,
                    (ahead - run) * NJ_RUN_WIDTH);
        }
        run = 0;
        if (++row == j->block_rows) {
            row = 0;
            if (++unit == j->units) {
                unit = 0;
                image++;
            }
        }
    }
    flush(j, &g);
}

static nnjpeg_strides in_bytes(const nnjpeg_strides *s, ptrdiff_t size)
{
    nnjpeg_strides bytes = { s->image * size, s->component * size, s->row * size, s->column * size };
    return bytes;
}

static nnjpeg_status roundtrip(const nnjpeg_shape *shape, const uint8_t *src, const nnjpeg_strides *src_strides,
                               uint8_t *dst, const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers,
                               nnjpeg_colorspace colorspace, int floats, int num_threads)
{
    job j;
    if (shape->images == 0)
        return NNJPEG_OK;
    if (!quantizers.data)
        return NNJPEG_BAD_POINTER;

    j.strip = nj_strip_for_cpu();
    if (!j.strip)
        return NNJPEG_BAD_ISA;
    j.shape = *shape;
    j.src = src;
    j.dst = dst;
    j.ss = in_bytes(src_strides, floats ? sizeof(float) : 1);
    j.ds = in_bytes(dst_strides, floats ? sizeof(float) : 1);
    j.floats = floats;
    j.quantizers = quantizers;
    j.colorspace = colorspace;
    if (colorspace >= NNJPEG_RGBX)
        j.layout = NJ_PADDED;
    else if (shape->components == 3 && src_strides->component == 1 && src_strides->column == 3)
        j.layout = NJ_INTERLEAVED;
    else
        j.layout = colorspace == NNJPEG_YCBCR ? NJ_PLANES : NJ_PLANE;
    j.unit_components = j.layout == NJ_PLANE ? 1 : j.layout == NJ_PADDED ? 4 : 3;
    j.coded = j.layout == NJ_PLANE ? 1 : 3;
    j.src_direct = !floats && matches_layout(&j, &j.ss);
    j.dst_direct = !floats && matches_layout(&j, &j.ds);
    j.units = shape->components / j.unit_components;
    j.block_rows = nj_blocks(shape->height);
    j.runs_a_row = (shape->width - 1) / NJ_RUN_WIDTH + 1;

    nj_parallel(process, &j, shape->images * j.units * j.block_rows * j.runs_a_row,
                (ptrdiff_t)j.coded * NJ_RUN_BLOCKS, num_threads);
    return NNJPEG_OK;
}

nnjpeg_status nnjpeg_roundtrip(const nnjpeg_shape *shape, const uint8_t *src, const nnjpeg_strides *src_strides,
                               uint8_t *dst, const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers,
                               nnjpeg_colorspace colorspace, int num_threads)
{
    nnjpeg_status status = nj_check(shape, src, src_strides, dst, dst_strides, colorspace, NNJPEG_YCBCRX);
    if (status != NNJPEG_OK)
        return status;
    return roundtrip(shape, src, src_strides, dst, dst_strides, quantizers, colorspace, 0, num_threads);
}

nnjpeg_status nj_roundtrip_f32_as_uint8(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides,
                                        float *dst, const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers,
                                        nnjpeg_colorspace colorspace, int num_threads)
{
    return roundtrip(shape, (const uint8_t *)src, src_strides, (uint8_t *)dst, dst_strides, quantizers, colorspace, 1,
                     num_threads);
}
