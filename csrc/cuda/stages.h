/* The stages that a block passes in a thread's registers, by the arithmetic of block.h over scalar lanes. */
#ifndef NNJPEG_CUDA_STAGES_H
#define NNJPEG_CUDA_STAGES_H

#define NJ_SUM int32_t
#include "lanes_scalar.h"

#include "block_f32.h"
#include "kernels.h"

namespace nnjpeg_cuda {

/* A quantization step made ready, for every step there is; in constant memory, since the threads of a warp mostly ask for
 * the same. */
struct alignas(16) Step {
    float exact_reciprocal; /* for nj_requantize_by_f32 */
    int scaled_step;
    float reciprocal, step; /* for nj_requantize_f32 */
};

struct Steps {
    Step at[256];
    constexpr Steps() : at()
    {
        for (int i = 0; i < 256; i++) {
            const int q = i < 1 ? 1 : i;
            at[i] = Step{ NJ_ABOVE_ONE / (float)(8 * q), q << NJ_STEP_BITS, NJ_TIE / (float)q, (float)q };
        }
    }
};

static __constant__ Steps steps_table = Steps();

/* The steps of a component, read as four words of 16 bytes. */
struct alignas(16) Table {
    uint8_t at[NNJPEG_BLOCK_SIZE];
};

__device__ inline Table table_of(const Job &job, const Place &p)
{
    const nnjpeg_cuda_tables &t = job.tables;
    return *(const Table *)((const uint8_t *)t.steps + p.image * t.image_stride +
                            p.component * t.component_stride);
}

/* Passes over the rows and the columns of a block. */
template <typename Number, typename Pass> __device__ inline void rows(Number x[NNJPEG_BLOCK_SIZE], Pass pass)
{
#pragma unroll
    for (int i = 0; i < NNJPEG_BLOCK; i++)
        pass(&x[8 * i]);
}

template <typename Number, typename Pass> __device__ inline void columns(Number x[NNJPEG_BLOCK_SIZE], Pass pass)
{
#pragma unroll
    for (int j = 0; j < NNJPEG_BLOCK; j++) {
        Number column[NNJPEG_BLOCK];
#pragma unroll
        for (int i = 0; i < NNJPEG_BLOCK; i++)
            column[i] = x[8 * i + j];
        pass(column, j);
#pragma unroll
        for (int i = 0; i < NNJPEG_BLOCK; i++)
            x[8 * i + j] = column[i];
    }
}

__device__ inline void neighbours(const int x[NNJPEG_BLOCK], cells16 p[4])
{
#pragma unroll
    for (int k = 0; k < 4; k++)
        p[k] = pair16(x[2 * k], x[2 * k + 1]);
}

/* Samples to samples, in integers. */
__device__ inline void transform(int x[NNJPEG_BLOCK_SIZE], const Table &table)
{
    rows(x, [](int *row) {
        cells16 p[4], s[2], d[2];
#pragma unroll
        for (int k = 0; k < 4; k++)
            p[k] = pair16(row[nj_mirrored(k, 0)], row[nj_mirrored(k, 1)]);
        nj_mirror(p, s, d);
        nj_fdct_row(s, d, row);
    });
    /* Columns, and then the rows of one, stand in the order of nj_frequency. */
    columns(x, [&](int *column, int j) {
        cells16 p[4];
#pragma unroll
        for (int k = 0; k < 4; k++)
            p[k] = pair16(column[nj_mirrored(k, 0)], column[nj_mirrored(k, 1)]);
        nj_fdct_column(p, column);
#pragma unroll
        for (int k = 0; k < NNJPEG_BLOCK; k++) {
            const Step &step = steps_table.at[table.at[8 * nj_frequency(k) + nj_frequency(j)]];
            column[k] = nj_requantize_by_f32(column[k], step.scaled_step, step.exact_reciprocal);
        }
        neighbours(column, p);
        nj_idct_column(p, column);
    });
    rows(x, [](int *row) {
        cells16 p[4];
        neighbours(row, p);
        nj_idct_row(p, row);
#pragma unroll
        for (int k = 0; k < NNJPEG_BLOCK; k++)
            row[k] = sra16(row[k], NJ_SAMPLE_BITS);
    });
}

__device__ inline void forward(float x[NNJPEG_BLOCK_SIZE])
{
    rows(x, [](float *row) { nj_dct_f32(row); });
    columns(x, [](float *column, int) { nj_dct_f32(column); });
}

__device__ inline void inverse(float x[NNJPEG_BLOCK_SIZE])
{
    columns(x, [](float *column, int) { nj_idct_f32(column); });
    rows(x, [](float *row) { nj_idct_f32(row); });
}

__device__ inline void requantize(float x[NNJPEG_BLOCK_SIZE], const Table &table, nj_rounding rounding)
{
#pragma unroll
    for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++) {
        const Step &step = steps_table.at[table.at[k]];
        x[k] = nj_requantize_f32(x[k], step.step, step.reciprocal, rounding);
    }
}

template <typename Number, typename Function> __device__ inline void each(Number x[NNJPEG_BLOCK_SIZE], Function function)
{
#pragma unroll
    for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++)
        x[k] = function(x[k]);
}

__device__ inline nj_rounding rounding_of(const Job &job)
{
    return job.call.precision == NNJPEG_FLOAT_CUBIC ? NJ_CUBIC : NJ_NEAREST;
}

__device__ inline float limit(float x)
{
    return clamp_f32(x, -128.0f, 127.0f);
}

/* Of gradients. */

/* g where y lies in low..high, else 0. */
__device__ inline void keep(float g[NNJPEG_BLOCK_SIZE], const float y[NNJPEG_BLOCK_SIZE], float low, float high)
{
#pragma unroll
    for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++)
        g[k] = keep_f32(g[k], y[k], low, high);
}

/* From samples: the slope of the rounding at each coefficient, and what is decoded. */
__device__ inline void cubic_slopes(float x[NNJPEG_BLOCK_SIZE], float slope[NNJPEG_BLOCK_SIZE], const Table &table)
{
    forward(x);
#pragma unroll
    for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++)
        slope[k] = nj_cubic_slope(x[k], steps_table.at[table.at[k]].reciprocal);
    requantize(x, table, NJ_CUBIC);
    inverse(x);
}

/* The same of the derivative by the step, for either rounding. */
__device__ inline void step_slopes(float x[NNJPEG_BLOCK_SIZE], float slope[NNJPEG_BLOCK_SIZE], const Table &table,
                                   nj_rounding rounding)
{
    forward(x);
#pragma unroll
    for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++)
        slope[k] = nj_step_slope(x[k], steps_table.at[table.at[k]].reciprocal, rounding);
    requantize(x, table, rounding);
    inverse(x);
}

__device__ inline void through_slopes(float g[NNJPEG_BLOCK_SIZE], const float slope[NNJPEG_BLOCK_SIZE])
{
    forward(g);
#pragma unroll
    for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++)
        g[k] *= slope[k];
    inverse(g);
}

/* The gradient of padding belongs to the sample that it repeats: columns and rows after the last ones are added to these. */
__device__ inline void fold(float g[NNJPEG_BLOCK_SIZE], int last_column, int last_row)
{
#pragma unroll
    for (int k = NNJPEG_BLOCK_SIZE - 1; k > 0; k--) {
        if (k % 8 > last_column) {
            g[k - 1] += g[k];
            g[k] = 0.0f;
        }
    }
#pragma unroll
    for (int k = NNJPEG_BLOCK_SIZE - 1; k >= NNJPEG_BLOCK; k--) {
        if (k / 8 > last_row) {
            g[k - 8] += g[k];
            g[k] = 0.0f;
        }
    }
}

} /* namespace nnjpeg_cuda */

#endif
