/* The two halves of the round trip, which go by strips, and the quantizer alone. */
#include <string.h>

#include "image.h"
#include "strips.h"

static nnjpeg_status run(const nj_strips_job *job, const nnjpeg_coefficients *coefficients)
{
    int c;
    if (job->shape.images == 0)
        return NNJPEG_OK;
    for (c = 0; c < (job->subsampling == NNJPEG_444 ? 1 : 3); c++)
        if (!coefficients[c].data)
            return NNJPEG_BAD_POINTER;
    if (!job->quantizers.data)
        return NNJPEG_BAD_POINTER;
    return nj_run_strips(job);
}

nnjpeg_status nnjpeg_forward(const nnjpeg_shape *shape, const uint8_t *src, const nnjpeg_strides *src_strides,
                             const nnjpeg_coefficients *dst, nnjpeg_quantizers quantizers, nnjpeg_colorspace colorspace,
                             nnjpeg_subsampling subsampling, int num_threads)
{
    nnjpeg_status status = nj_check(shape, src, src_strides, dst, dst, colorspace, NNJPEG_YCBCR, subsampling);
    if (status != NNJPEG_OK)
        return status;
    {
        const nj_samples none = { NULL, { 0, 0, 0, 0 }, 1 };
        const nj_strips_job job = { *shape, nj_samples_of(src, src_strides, 1), none, NULL, dst, quantizers, colorspace,
                                    subsampling, num_threads, NNJPEG_UINT8 };
        return run(&job, dst);
    }
}

nnjpeg_status nnjpeg_inverse(const nnjpeg_shape *shape, const nnjpeg_coefficients *src, uint8_t *dst,
                             const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers, nnjpeg_colorspace colorspace,
                             nnjpeg_subsampling subsampling, int num_threads)
{
    nnjpeg_status status = nj_check(shape, src, src, dst, dst_strides, colorspace, NNJPEG_YCBCR, subsampling);
    if (status != NNJPEG_OK)
        return status;
    {
        const nj_samples none = { NULL, { 0, 0, 0, 0 }, 1 };
        const nj_strips_job job = { *shape, none, nj_samples_of(dst, dst_strides, 1), src, NULL, quantizers, colorspace,
                                    subsampling, num_threads, NNJPEG_UINT8 };
        return run(&job, src);
    }
}

nnjpeg_status nnjpeg_quantize(const int16_t *coefficients, int16_t *quantized, ptrdiff_t count, uint16_t step)
{
    const nj_isa *isa = nj_isa_for_cpu();
    nnjpeg_quantizer q;
    uint16_t steps[NNJPEG_BLOCK_SIZE];
    int16_t cells[NJ_MAX_NUMBERS];
    nnjpeg_status status;
    ptrdiff_t i, n;
    if (!coefficients || !quantized)
        return NNJPEG_BAD_POINTER;
    for (i = 0; i < NNJPEG_BLOCK_SIZE; i++)
        steps[i] = step;
    status = nnjpeg_quantizer_init(&q, steps);
    if (status != NNJPEG_OK)
        return status;
    if (!isa)
        return NNJPEG_BAD_ISA;
    memset(cells, 0, sizeof cells);
    for (i = 0; i < count; i += n) {
        n = count - i < NJ_MAX_NUMBERS ? count - i : NJ_MAX_NUMBERS;
        memcpy(cells, coefficients + i, (size_t)n * sizeof *cells);
        isa->quantize(cells, &q.steps[0][0]);
        memcpy(quantized + i, cells, (size_t)n * sizeof *cells);
    }
    return NNJPEG_OK;
}

