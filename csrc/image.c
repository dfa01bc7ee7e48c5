/* The round trip of bytes. Images whose samples lie as the fused runs want them, planes or pixels, go from memory through
 * registers and back to memory, in one pass; all else goes by strips (strips.c).
 *
 * A run inside the image is passed as it is: no copy. A run over an edge is staged: copied to a small buffer, extended by its
 * last column and row, and its valid part copied out. */
#include "image.h"
#include "isa.h"
#include "samples.h"
#include "strips.h"
#include "threads.h"

/* One call, as all its threads see it. A unit is what one run takes of the components: one of them, or all. */
typedef struct job {
    const nj_isa *isa;
    nnjpeg_shape shape;
    nj_samples src, dst;
    nnjpeg_quantizers quantizers;
    nnjpeg_colorspace colorspace;
    nj_layout layout;
    int pixel;           /* samples of a pixel that are neighbours in memory */
    int unit_components; /* and how many of them are coded: */
    int coded;
    ptrdiff_t units, block_rows, runs_a_row;
} job;

/* Where a staged run's result goes. */
typedef struct landing {
    nj_samples dst; /* data: NULL where the run wrote it */
    ptrdiff_t height, width;
} landing;

typedef struct group {
    nj_run runs[NJ_MAX_RUNS];
    landing landings[NJ_MAX_RUNS];
    const nnjpeg_quantizer *quantizers[NJ_MAX_COMPONENTS];
    int count;
    uint8_t staged[NJ_MAX_RUNS][NJ_MAX_COMPONENTS * NNJPEG_BLOCK * NJ_RUN_WIDTH];
} group;

static nj_samples staged_run(const job *j, group *g, int run)
{
    return nj_buffer(g->staged[run], 1, j->pixel, (ptrdiff_t)j->pixel * NJ_RUN_WIDTH, NNJPEG_BLOCK * NJ_RUN_WIDTH);
}

static void read_from(nj_run *run, nj_samples s, ptrdiff_t ahead)
{
    run->src = s.data;
    run->src_row = s.strides.row;
    run->src_component = s.strides.component;
    run->src_ahead = ahead;
}

static void write_to(nj_run *run, nj_samples s, ptrdiff_t ahead)
{
    run->dst = s.data;
    run->dst_row = s.strides.row;
    run->dst_component = s.strides.component;
    run->dst_ahead = ahead;
}

static void flush(const job *j, group *g)
{
    const nj_isa *isa = j->isa;
    int i;
    if (g->count == 0)
        return;
    while (isa->narrower && isa->narrower->runs >= g->count)
        isa = isa->narrower;
    /* A call takes whole groups: idle runs repeat the first, into buffers that nobody reads. */
    for (i = g->count; i < isa->runs; i++) {
        g->runs[i] = g->runs[0];
        write_to(&g->runs[i], staged_run(j, g, i), 0);
    }
    isa->roundtrip[j->layout](g->runs, g->quantizers, j->colorspace);
    for (i = 0; i < g->count; i++)
        if (g->landings[i].dst.data)
            nj_copy(staged_run(j, g, i), g->landings[i].dst, j->unit_components, g->landings[i].height, g->landings[i].width);
    g->count = 0;
}

/* rows_ahead and columns_ahead: the way to the run one group later, in samples. */
static void add_run(const job *j, group *g, nj_samples src, nj_samples dst, ptrdiff_t height, ptrdiff_t width,
                    ptrdiff_t rows_ahead, ptrdiff_t columns_ahead)
{
    nj_run *run = &g->runs[g->count];
    landing *at = &g->landings[g->count];
    at->dst.data = NULL;
    if (height == NNJPEG_BLOCK && width == NJ_RUN_WIDTH) {
        read_from(run, src, rows_ahead * src.strides.row + columns_ahead * src.strides.column);
        write_to(run, dst, rows_ahead * dst.strides.row + columns_ahead * dst.strides.column);
    } else {
        const nj_samples staged = staged_run(j, g, g->count);
        nj_copy(src, staged, j->unit_components, height, width);
        nj_extend(staged, j->unit_components, height, width, NNJPEG_BLOCK, NJ_RUN_WIDTH);
        read_from(run, staged, 0);
        write_to(run, staged, 0);
        at->dst = dst;
        at->height = height;
        at->width = width;
    }
    if (++g->count == j->isa->runs)
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

/* Runs of the call, counted along rows of blocks, then units, then images. */
static void process(const void *context, int part, int parts)
{
    const job *j = context;
    const nj_range range = nj_range_of(j->shape.images * j->units * j->block_rows * j->runs_a_row, part, parts);
    ptrdiff_t run = range.begin % j->runs_a_row, rest = range.begin / j->runs_a_row;
    ptrdiff_t row = rest % j->block_rows, unit = rest / j->block_rows % j->units;
    ptrdiff_t image = rest / j->block_rows / j->units, left = range.end - range.begin;
    group g;
    int c;
    g.count = 0;
    for (c = 0; c < NJ_MAX_COMPONENTS; c++)
        g.quantizers[c] = NULL;

    while (left > 0) {
        ptrdiff_t y = row * NNJPEG_BLOCK, component = unit * j->unit_components;
        ptrdiff_t height = j->shape.height - y < NNJPEG_BLOCK ? j->shape.height - y : NNJPEG_BLOCK;
        const nj_samples src = nj_from(j->src, image, component, y, 0), dst = nj_from(j->dst, image, component, y, 0);

        use_quantizers(j, &g, image, component);
        for (; run < j->runs_a_row && left > 0; run++, left--) {
            ptrdiff_t x = run * NJ_RUN_WIDTH, width = j->shape.width - x;
            ptrdiff_t ahead = run + j->isa->runs, rows_ahead = 0;
            for (; ahead >= j->runs_a_row && rows_ahead < NJ_MAX_RUNS; ahead -= j->runs_a_row)
                rows_ahead++;
            add_run(j, &g, nj_from(src, 0, 0, 0, x), nj_from(dst, 0, 0, 0, x), height,
                    width < NJ_RUN_WIDTH ? width : NJ_RUN_WIDTH, rows_ahead * NNJPEG_BLOCK, (ahead - run) * NJ_RUN_WIDTH);
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

/* The layout of fused runs that both images have; whether there is one. */
static int find_layout(job *j)
{
    const int pixel = j->colorspace >= NNJPEG_RGBX ? 4 : j->shape.components == 3 ? 3 : 0;
    if (pixel && nj_are_pixels(&j->src, pixel) && nj_are_pixels(&j->dst, pixel)) {
        j->layout = pixel == 4 ? NJ_PADDED : NJ_INTERLEAVED;
        j->pixel = j->unit_components = pixel;
        j->coded = 3;
        return 1;
    }
    j->layout = j->colorspace == NNJPEG_YCBCR ? NJ_PLANES : NJ_PLANE;
    j->pixel = 1;
    j->unit_components = j->coded = j->layout == NJ_PLANES ? 3 : 1;
    return j->colorspace < NNJPEG_RGBX && nj_are_planes(&j->src) && nj_are_planes(&j->dst);
}

static nnjpeg_status roundtrip(const nj_strips_job *call)
{
    job j;
    if (call->shape.images == 0)
        return NNJPEG_OK;
    if (!call->quantizers.data)
        return NNJPEG_BAD_POINTER;
    j.isa = nj_isa_for_cpu();
    if (!j.isa)
        return NNJPEG_BAD_ISA;
    j.shape = call->shape;
    j.src = call->src;
    j.dst = call->dst;
    j.quantizers = call->quantizers;
    j.colorspace = call->colorspace;
    if (call->subsampling != NNJPEG_444 || j.src.size != 1 || !find_layout(&j))
        return nj_run_strips(call);
    j.units = j.shape.components / j.unit_components;
    j.block_rows = nj_blocks(j.shape.height);
    j.runs_a_row = (j.shape.width - 1) / NJ_RUN_WIDTH + 1;
    nj_parallel(process, &j, nj_parts_for(j.shape.images * j.units * j.block_rows * j.runs_a_row,
                                          (ptrdiff_t)j.coded * NJ_RUN_BLOCKS, call->num_threads));
    return NNJPEG_OK;
}

nnjpeg_status nnjpeg_roundtrip(const nnjpeg_shape *shape, const uint8_t *src, const nnjpeg_strides *src_strides,
                               uint8_t *dst, const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers,
                               nnjpeg_colorspace colorspace, nnjpeg_subsampling subsampling, int num_threads)
{
    nnjpeg_status status = nj_check(shape, src, src_strides, dst, dst_strides, colorspace, NNJPEG_YCBCRX, subsampling);
    if (status != NNJPEG_OK)
        return status;
    {
        const nj_strips_job call = { *shape, nj_samples_of(src, src_strides, 1), nj_samples_of(dst, dst_strides, 1), NULL, NULL,
                                     quantizers, colorspace, subsampling, num_threads, NNJPEG_UINT8 };
        return roundtrip(&call);
    }
}

nnjpeg_status nj_roundtrip_f32_as_uint8(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides,
                                        float *dst, const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers,
                                        nnjpeg_colorspace colorspace, nnjpeg_subsampling subsampling, int num_threads)
{
    const nj_strips_job call = { *shape, nj_samples_of(src, src_strides, sizeof *src), nj_samples_of(dst, dst_strides, sizeof *dst),
                                 NULL, NULL, quantizers, colorspace, subsampling, num_threads, NNJPEG_UINT8 };
    return roundtrip(&call);
}
