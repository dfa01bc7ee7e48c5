/* Images of floats: from any size and strides to spans of whole runs, and back; threads. As image.c does for bytes: what
 * lies inside the image with neighbours in a row one float apart is passed as it is, all else by way of a buffer. */
#include "image.h"
#include "isa.h"
#include "samples.h"
#include "strips.h"
#include "table_sums.h"
#include "threads.h"

typedef struct job {
    void (*function)(const nj_span *span, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace);
    nnjpeg_shape shape;
    nj_samples src, grad, dst; /* grad.data, dst.data: NULL where the job takes none */
    nj_table_sums *sums;       /* NULL: the job gives no gradient of tables */
    nnjpeg_quantizers quantizers;
    nnjpeg_colorspace colorspace;
    ptrdiff_t components, units, block_rows; /* components of a unit: one, or the three of YCbCr */
    int stream;
} job;

/* A result of this many bytes is written past the caches, where it is laid out for that: most of it would leave them
 * before anyone reads it. Measured with AVX-512 on a batch of 64 images of 224x224x3, 38 MB: 0.6 of the time in memory
 * that was used before, the same time in fresh memory. */
enum { STREAM_FROM = 16 << 20 };

enum { COMPONENT = NNJPEG_BLOCK * NJ_F32_RUN_WIDTH };
typedef float staged_run[3 * COMPONENT];

static const nj_samples no_samples = { NULL, { 0, 0, 0, 0 }, sizeof(float) };

/* A part of a row of blocks: where it starts in each array, and how much of it there is. */
typedef struct area {
    nj_samples src, grad, dst;
    ptrdiff_t height, width;
} area;

static nj_samples staged(staged_run run)
{
    return nj_buffer(run, sizeof *run, 1, NJ_F32_RUN_WIDTH * (ptrdiff_t)sizeof *run, COMPONENT * (ptrdiff_t)sizeof *run);
}

/* nj_from of what there may not be. */
static nj_samples area_of(nj_samples s, ptrdiff_t image, ptrdiff_t component, ptrdiff_t row, ptrdiff_t column)
{
    return s.data ? nj_from(s, image, component, row, column) : s;
}

static nj_span span_of(nj_samples src, nj_samples grad, nj_samples dst, double *sums, ptrdiff_t count, int stream)
{
    const ptrdiff_t size = sizeof(float);
    nj_span span = { (const float *)(const void *)src.data,
                     (const float *)(const void *)grad.data,
                     (float *)(void *)dst.data,
                     sums,
                     src.strides.row / size,
                     src.strides.component / size,
                     grad.strides.row / size,
                     grad.strides.component / size,
                     dst.strides.row / size,
                     dst.strides.component / size,
                     count,
                     stream };
    return span;
}

static void run_staged(const job *j, const area *a, const nnjpeg_quantizer *const *quantizers, double *sums)
{
    staged_run src, grad, dst;
    const nj_span span = span_of(staged(src), staged(grad), staged(dst), sums, 1, 0);
    nj_copy(a->src, staged(src), j->components, a->height, a->width);
    nj_extend(staged(src), j->components, a->height, a->width, NNJPEG_BLOCK, NJ_F32_RUN_WIDTH);
    if (a->grad.data) {
        nj_copy(a->grad, staged(grad), j->components, a->height, a->width);
        nj_extend_by_zeros(staged(grad), j->components, a->height, a->width, NNJPEG_BLOCK, NJ_F32_RUN_WIDTH);
    }
    j->function(&span, quantizers, j->colorspace);
    if (!a->dst.data)
        return;
    if (a->grad.data)
        nj_fold(staged(dst), j->components, a->height, a->width, NNJPEG_BLOCK, NJ_F32_RUN_WIDTH);
    nj_copy(staged(dst), a->dst, j->components, a->height, a->width);
}

static int is_aligned(const job *j, const nj_samples *dst)
{
    return (uintptr_t)dst->data % NJ_F32_ALIGNMENT == 0 && dst->strides.row % NJ_F32_ALIGNMENT == 0 &&
           (j->components == 1 || dst->strides.component % NJ_F32_ALIGNMENT == 0);
}

/* Rows of blocks, counted down the units, then images. */
static void process(const void *context, int part, int parts)
{
    const job *j = context;
    const nj_range range = nj_range_of(j->shape.images * j->units * j->block_rows, part, parts);
    const int direct = nj_are_planes(&j->src) && (!j->dst.data || nj_are_planes(&j->dst)) &&
                       (!j->grad.data || nj_are_planes(&j->grad));
    ptrdiff_t item;
    for (item = range.begin; item < range.end; item++) {
        const ptrdiff_t image = item / j->block_rows / j->units, unit = item / j->block_rows % j->units;
        const ptrdiff_t y = item % j->block_rows * NNJPEG_BLOCK, component = unit * j->components;
        const nnjpeg_quantizer *quantizers[3];
        double *sums = j->sums ? nj_sums_of(j->sums, part, image, component) : NULL;
        area row = { nj_from(j->src, image, component, y, 0), area_of(j->grad, image, component, y, 0),
                     area_of(j->dst, image, component, y, 0), 0, 0 };
        ptrdiff_t c, x = 0;
        row.height = j->shape.height - y < NNJPEG_BLOCK ? j->shape.height - y : NNJPEG_BLOCK;
        for (c = 0; c < j->components; c++)
            quantizers[c] = nj_quantizer_of(j->quantizers, image, component + c);
        if (direct && row.height == NNJPEG_BLOCK) {
            const nj_span span = span_of(row.src, row.grad, row.dst, sums, j->shape.width / NJ_F32_RUN_WIDTH,
                                         j->stream && is_aligned(j, &row.dst));
            j->function(&span, quantizers, j->colorspace);
            x = span.count * NJ_F32_RUN_WIDTH;
        }
        for (; x < j->shape.width; x += NJ_F32_RUN_WIDTH) {
            area a = { nj_from(row.src, 0, 0, 0, x), area_of(row.grad, 0, 0, 0, x), area_of(row.dst, 0, 0, 0, x), row.height,
                       j->shape.width - x };
            if (a.width > NJ_F32_RUN_WIDTH)
                a.width = NJ_F32_RUN_WIDTH;
            run_staged(j, &a, quantizers, sums);
        }
    }
}

/* tables: where the gradient of tables goes, of a job that gives it; else NULL. */
static nnjpeg_status run_job(job *j, nj_f32_job kind, float *tables, int num_threads)
{
    const nj_isa *isa = nj_isa_for_cpu();
    nj_table_sums sums;
    ptrdiff_t items;
    int parts;
    if (j->shape.images == 0)
        return NNJPEG_OK;
    if (!j->quantizers.data)
        return NNJPEG_BAD_POINTER;
    if (!isa)
        return NNJPEG_BAD_ISA;
    j->function = isa->spans[kind];
    j->components = j->colorspace == NNJPEG_YCBCR ? 3 : 1;
    j->units = j->shape.components / j->components;
    j->block_rows = nj_blocks(j->shape.height);
    j->stream = (double)j->shape.images * (double)j->shape.components * (double)j->shape.height *
                    (double)j->shape.width * sizeof(float) >= STREAM_FROM;
    items = j->units * j->block_rows;
    parts = nj_parts_for(j->shape.images * items, j->components * nj_blocks(j->shape.width), num_threads);
    if (tables) {
        if (!nj_begin_sums(&sums, &j->shape, &j->quantizers, items, parts))
            return NNJPEG_NO_MEMORY;
        j->sums = &sums;
    }
    nj_parallel(process, j, parts);
    if (tables)
        nj_end_sums(&sums, tables);
    return NNJPEG_OK;
}

nnjpeg_status nnjpeg_roundtrip_f32(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides,
                                   float *dst, const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers,
                                   nnjpeg_colorspace colorspace, nnjpeg_subsampling subsampling,
                                   nnjpeg_precision precision, int num_threads)
{
    nnjpeg_status status = nj_check(shape, src, src_strides, dst, dst_strides, colorspace, NNJPEG_YCBCR, subsampling);
    if (status != NNJPEG_OK)
        return status;
    if (precision == NNJPEG_UINT8)
        return nj_roundtrip_f32_as_uint8(shape, src, src_strides, dst, dst_strides, quantizers, colorspace, subsampling,
                                         num_threads);
    if (precision != NNJPEG_FLOAT && precision != NNJPEG_FLOAT_CUBIC)
        return NNJPEG_BAD_PRECISION;
    if (subsampling != NNJPEG_444) {
        const nj_strips_job j = { *shape, nj_samples_of(src, src_strides, sizeof *src),
                                  nj_samples_of(dst, dst_strides, sizeof *dst), NULL, NULL, quantizers, colorspace, subsampling,
                                  num_threads, precision };
        return shape->images == 0 ? NNJPEG_OK : quantizers.data ? nj_run_strips(&j) : NNJPEG_BAD_POINTER;
    }
    {
        job j = { NULL, *shape, nj_samples_of(src, src_strides, sizeof *src), no_samples,
                  nj_samples_of(dst, dst_strides, sizeof *dst), NULL, quantizers, colorspace, 0, 0, 0, 0 };
        return run_job(&j, precision == NNJPEG_FLOAT ? NJ_F32_NEAREST : NJ_F32_CUBIC, NULL, num_threads);
    }
}

nnjpeg_status nnjpeg_cubic_backward_f32(const nnjpeg_shape *shape, const float *grad, const nnjpeg_strides *grad_strides,
                                        const float *src, const nnjpeg_strides *src_strides, float *dst,
                                        const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers,
                                        nnjpeg_colorspace colorspace, nnjpeg_subsampling subsampling, int num_threads)
{
    nnjpeg_status status = nj_check(shape, src, src_strides, dst, dst_strides, colorspace, NNJPEG_YCBCR, subsampling);
    if (status != NNJPEG_OK)
        return status;
    if (!grad_strides || (shape->images > 0 && !grad))
        return NNJPEG_BAD_POINTER;
    if (subsampling != NNJPEG_444) {
        const nj_samples of = nj_samples_of(grad, grad_strides, sizeof *grad);
        const nj_strips_job j = { *shape, nj_samples_of(src, src_strides, sizeof *src),
                                  nj_samples_of(dst, dst_strides, sizeof *dst), NULL, NULL, quantizers, colorspace, subsampling,
                                  num_threads, NNJPEG_FLOAT_CUBIC };
        return shape->images == 0 ? NNJPEG_OK : quantizers.data ? nj_run_gradient(&j, &of, NULL) : NNJPEG_BAD_POINTER;
    }
    {
        job j = { NULL, *shape, nj_samples_of(src, src_strides, sizeof *src), nj_samples_of(grad, grad_strides, sizeof *grad),
                  nj_samples_of(dst, dst_strides, sizeof *dst), NULL, quantizers, colorspace, 0, 0, 0, 0 };
        return run_job(&j, NJ_F32_CUBIC_BACKWARD, NULL, num_threads);
    }
}

nnjpeg_status nnjpeg_table_backward_f32(const nnjpeg_shape *shape, const float *grad, const nnjpeg_strides *grad_strides,
                                        const float *src, const nnjpeg_strides *src_strides, float *dst,
                                        nnjpeg_quantizers quantizers, nnjpeg_colorspace colorspace,
                                        nnjpeg_subsampling subsampling, nnjpeg_precision precision, int num_threads)
{
    nnjpeg_status status = nj_check(shape, src, src_strides, dst, grad_strides, colorspace, NNJPEG_YCBCR, subsampling);
    if (status != NNJPEG_OK)
        return status;
    if (precision != NNJPEG_FLOAT && precision != NNJPEG_FLOAT_CUBIC)
        return NNJPEG_BAD_PRECISION;
    if (shape->images > 0 && !grad)
        return NNJPEG_BAD_POINTER;
    if (subsampling != NNJPEG_444) {
        const nj_samples of = nj_samples_of(grad, grad_strides, sizeof *grad);
        const nj_strips_job j = { *shape, nj_samples_of(src, src_strides, sizeof *src), no_samples, NULL, NULL, quantizers,
                                  colorspace, subsampling, num_threads, precision };
        return shape->images == 0 ? NNJPEG_OK : quantizers.data ? nj_run_gradient(&j, &of, dst) : NNJPEG_BAD_POINTER;
    }
    {
        job j = { NULL, *shape, nj_samples_of(src, src_strides, sizeof *src), nj_samples_of(grad, grad_strides, sizeof *grad),
                  no_samples, NULL, quantizers, colorspace, 0, 0, 0, 0 };
        return run_job(&j, precision == NNJPEG_FLOAT ? NJ_F32_NEAREST_BY_STEPS : NJ_F32_CUBIC_BY_STEPS, dst, num_threads);
    }
}
