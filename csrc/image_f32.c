/* Images of floats: from any size and strides to spans of whole runs, and back; threads. As image.c does for bytes: what
 * lies inside the image with neighbours in a row one float apart is passed as it is, all else by way of a buffer. */
#include "image.h"
#include "strip.h"
#include "threads.h"

#include <string.h>

typedef struct job {
    void (*function)(const nj_span *span, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace);
    nnjpeg_shape shape;
    const float *src, *grad; /* grad: NULL where the job takes none */
    float *dst;
    nnjpeg_strides ss, gs, ds;
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

/* A part of the image: where it starts in each array, and how much of it there is. */
typedef struct part {
    const float *src, *grad;
    float *dst;
    ptrdiff_t height, width;
} part;

static part part_at(const job *j, const part *row, ptrdiff_t x, ptrdiff_t width)
{
    part p = *row;
    p.src += x * j->ss.column;
    p.dst += x * j->ds.column;
    if (p.grad)
        p.grad += x * j->gs.column;
    p.width = width;
    return p;
}

/* Outside the part: the samples' last column and row again, or zeros for a gradient, which nothing there has. */
static void stage(const job *j, const part *p, const float *src, const nnjpeg_strides *s, int zeros, staged_run to)
{
    ptrdiff_t c, y, x;
    for (c = 0; c < j->components; c++)
        for (y = 0; y < NNJPEG_BLOCK; y++) {
            const float *from = src + c * s->component + (y < p->height ? y : p->height - 1) * s->row;
            float *row = to + c * COMPONENT + y * NJ_F32_RUN_WIDTH;
            for (x = 0; x < p->width; x++)
                row[x] = from[x * s->column];
            for (; x < NJ_F32_RUN_WIDTH; x++)
                row[x] = zeros ? 0.0f : row[p->width - 1];
            if (zeros && y >= p->height)
                memset(row, 0, NJ_F32_RUN_WIDTH * sizeof *row);
        }
}

static void unstage(const job *j, const part *p, const staged_run from)
{
    ptrdiff_t c, y, x;
    for (c = 0; c < j->components; c++)
        for (y = 0; y < p->height; y++)
            for (x = 0; x < p->width; x++)
                p->dst[c * j->ds.component + y * j->ds.row + x * j->ds.column] =
                    from[c * COMPONENT + y * NJ_F32_RUN_WIDTH + x];
}

/* The gradient of padding belongs to the sample that it repeats. */
static void fold(const job *j, const part *p, staged_run run)
{
    ptrdiff_t c, y, x;
    for (c = 0; c < j->components; c++)
        for (y = 0; y < NNJPEG_BLOCK; y++) {
            float *row = run + c * COMPONENT + y * NJ_F32_RUN_WIDTH;
            float *last = run + c * COMPONENT + (p->height - 1) * NJ_F32_RUN_WIDTH;
            for (x = p->width; x < NJ_F32_RUN_WIDTH; x++)
                row[p->width - 1] += row[x];
            for (x = 0; x < p->width && y >= p->height; x++)
                last[x] += row[x];
        }
}

static void run_staged(const job *j, const part *p, const nnjpeg_quantizer *const *quantizers)
{
    staged_run src, grad, dst;
    nj_span span = { src, grad, dst, NJ_F32_RUN_WIDTH, COMPONENT, NJ_F32_RUN_WIDTH, COMPONENT,
                     NJ_F32_RUN_WIDTH, COMPONENT, 1, 0 };
    stage(j, p, p->src, &j->ss, 0, src);
    if (p->grad)
        stage(j, p, p->grad, &j->gs, 1, grad);
    j->function(&span, quantizers, j->colorspace);
    if (p->grad)
        fold(j, p, dst);
    unstage(j, p, dst);
}

static int is_aligned(const job *j, const float *dst)
{
    const ptrdiff_t samples = NJ_F32_ALIGNMENT / sizeof *dst;
    return (uintptr_t)dst % NJ_F32_ALIGNMENT == 0 && j->ds.row % samples == 0 &&
           (j->components == 1 || j->ds.component % samples == 0);
}

/* Rows of blocks begin..end-1 of the call, counted down the units, then images. */
static void process(const void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const job *j = context;
    const int direct = j->ss.column == 1 && j->ds.column == 1 && (!j->grad || j->gs.column == 1);
    ptrdiff_t item;
    for (item = begin; item < end; item++) {
        const ptrdiff_t image = item / j->block_rows / j->units, unit = item / j->block_rows % j->units;
        const ptrdiff_t y = item % j->block_rows * NNJPEG_BLOCK, component = unit * j->components;
        const ptrdiff_t height = j->shape.height - y < NNJPEG_BLOCK ? j->shape.height - y : NNJPEG_BLOCK;
        const nnjpeg_quantizer *quantizers[3];
        part row = { j->src + image * j->ss.image + component * j->ss.component + y * j->ss.row, j->grad,
                     j->dst + image * j->ds.image + component * j->ds.component + y * j->ds.row, height, 0 };
        ptrdiff_t c, x = 0;
        if (j->grad)
            row.grad += image * j->gs.image + component * j->gs.component + y * j->gs.row;
        for (c = 0; c < j->components; c++)
            quantizers[c] = nj_quantizer_of(j->quantizers, image, component + c);
        if (direct && height == NNJPEG_BLOCK) {
            nj_span span = { row.src, row.grad, row.dst, j->ss.row, j->ss.component, j->gs.row, j->gs.component,
                             j->ds.row, j->ds.component, j->shape.width / NJ_F32_RUN_WIDTH,
                             j->stream && is_aligned(j, row.dst) };
            j->function(&span, quantizers, j->colorspace);
            x = span.count * NJ_F32_RUN_WIDTH;
        }
        for (; x < j->shape.width; x += NJ_F32_RUN_WIDTH) {
            const ptrdiff_t width = j->shape.width - x;
            part p = part_at(j, &row, x, width < NJ_F32_RUN_WIDTH ? width : NJ_F32_RUN_WIDTH);
            run_staged(j, &p, quantizers);
        }
    }
}

static nnjpeg_status run_job(job *j, nj_f32_job kind, int num_threads)
{
    const nj_strip *strip = nj_strip_for_cpu();
    if (j->shape.images == 0)
        return NNJPEG_OK;
    if (!j->quantizers.data)
        return NNJPEG_BAD_POINTER;
    if (!strip)
        return NNJPEG_BAD_ISA;
    j->function = strip->f32[kind];
    j->components = j->colorspace == NNJPEG_YCBCR ? 3 : 1;
    j->units = j->shape.components / j->components;
    j->block_rows = nj_blocks(j->shape.height);
    j->stream = (double)j->shape.images * (double)j->shape.components * (double)j->shape.height *
                    (double)j->shape.width * sizeof(float) >= STREAM_FROM;
    nj_parallel(process, j, j->shape.images * j->units * j->block_rows, j->components * nj_blocks(j->shape.width),
                num_threads);
    return NNJPEG_OK;
}

nnjpeg_status nnjpeg_roundtrip_f32(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides,
                                   float *dst, const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers,
                                   nnjpeg_colorspace colorspace, nnjpeg_precision precision, int num_threads)
{
    nnjpeg_status status = nj_check(shape, src, src_strides, dst, dst_strides, colorspace, NNJPEG_YCBCR);
    if (status != NNJPEG_OK)
        return status;
    if (precision == NNJPEG_UINT8)
        return nj_roundtrip_f32_as_uint8(shape, src, src_strides, dst, dst_strides, quantizers, colorspace, num_threads);
    if (precision != NNJPEG_FLOAT && precision != NNJPEG_FLOAT_CUBIC)
        return NNJPEG_BAD_PRECISION;
    {
        job j = { NULL, *shape, src, NULL, dst, *src_strides, { 0, 0, 0, 0 }, *dst_strides, quantizers, colorspace,
                  0, 0, 0, 0 };
        return run_job(&j, precision == NNJPEG_FLOAT ? NJ_F32_NEAREST : NJ_F32_CUBIC, num_threads);
    }
}

nnjpeg_status nnjpeg_cubic_backward_f32(const nnjpeg_shape *shape, const float *grad, const nnjpeg_strides *grad_strides,
                                        const float *src, const nnjpeg_strides *src_strides, float *dst,
                                        const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers,
                                        nnjpeg_colorspace colorspace, int num_threads)
{
    nnjpeg_status status = nj_check(shape, src, src_strides, dst, dst_strides, colorspace, NNJPEG_YCBCR);
    if (status != NNJPEG_OK)
        return status;
    if (!grad_strides || (shape->images > 0 && !grad))
        return NNJPEG_BAD_POINTER;
    {
        job j = { NULL,         *shape,     src,        grad, dst, *src_strides, *grad_strides,
                  *dst_strides, quantizers, colorspace, 0,    0,   0,            0 };
        return run_job(&j, NJ_F32_CUBIC_BACKWARD, num_threads);
    }
}
