/* Components that are all coded at full resolution: one alone, or RGB as YCbCr 4:4:4. */
#include "access.h"

namespace nnjpeg_cuda {
namespace {

/* A colour transform, sample by sample. The three components are in local memory: not even the loop is unrolled. */
template <typename Number, typename Transform>
__device__ void colour(Number (*x)[NNJPEG_BLOCK_SIZE], Transform transform_pixel)
{
#pragma unroll 1
    for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++) {
        Number pixel[3] = { x[0][k], x[1][k], x[2][k] };
        transform_pixel(pixel);
        x[0][k] = pixel[0];
        x[1][k] = pixel[1];
        x[2][k] = pixel[2];
    }
}

#define NJ_THIS_THREAD                                                                   \
    const Place place = place_of(job, job.full, blockIdx.x * blockDim.x + threadIdx.x); \
    if (place.image >= job.call.shape.images)                                            \
        return

__global__ void __launch_bounds__(THREADS, 4) exact_plane(Job job)
{
    NJ_THIS_THREAD;
    int x[NNJPEG_BLOCK_SIZE];
    load(job, job.call.src, place, 0, false, x);
    transform(x, table_of(job, place, 0));
    store(job, place, 0, x);
}

__global__ void __launch_bounds__(THREADS) exact_colour(Job job)
{
    NJ_THIS_THREAD;
    int x[3][NNJPEG_BLOCK_SIZE];
#pragma unroll 1
    for (int c = 0; c < 3; c++)
        load(job, job.call.src, place, c, false, x[c]);
    colour(x, [](int *pixel) { nj_rgb_to_ycbcr(pixel); });
#pragma unroll 1
    for (int c = 0; c < 3; c++) {
        transform(x[c], table_of(job, place, c));
        each(x[c], [](int n) { return clamp16(n); });
    }
    colour(x, [](int *pixel) { nj_ycbcr_to_rgb(pixel); });
#pragma unroll 1
    for (int c = 0; c < 3; c++)
        store(job, place, c, x[c]);
}

__global__ void __launch_bounds__(THREADS, 3) float_plane(Job job)
{
    NJ_THIS_THREAD;
    float x[NNJPEG_BLOCK_SIZE];
    load(job, job.call.src, place, 0, false, x);
    each(x, [](float n) { return nj_from_unit(n); });
    forward(x);
    requantize(x, table_of(job, place, 0), rounding_of(job));
    inverse(x);
    each(x, [](float n) { return nj_to_unit(n); });
    store(job, place, 0, x);
}

__global__ void __launch_bounds__(THREADS) float_colour(Job job)
{
    NJ_THIS_THREAD;
    float x[3][NNJPEG_BLOCK_SIZE];
#pragma unroll 1
    for (int c = 0; c < 3; c++) {
        load(job, job.call.src, place, c, false, x[c]);
        each(x[c], [](float n) { return nj_from_unit(n); });
    }
    colour(x, nj_rgb_to_ycbcr_f32);
#pragma unroll 1
    for (int c = 0; c < 3; c++) {
        forward(x[c]);
        requantize(x[c], table_of(job, place, c), rounding_of(job));
        inverse(x[c]);
        each(x[c], limit);
    }
    colour(x, nj_ycbcr_to_rgb_f32);
#pragma unroll 1
    for (int c = 0; c < 3; c++) {
        each(x[c], [](float n) { return nj_to_unit(n); });
        store(job, place, c, x[c]);
    }
}

/* The gradient of what nj_from_unit clamps is 0. */
__device__ void store_gradient(const Job &job, const Place &place, int component, float g[NNJPEG_BLOCK_SIZE])
{
    float x[NNJPEG_BLOCK_SIZE];
    if (place.width < NNJPEG_BLOCK || place.height < NNJPEG_BLOCK)
        fold(g, place.width - 1, place.height - 1);
    load(job, job.call.src, place, component, false, x);
    keep(g, x, 0.0f, 1.0f);
    store(job, place, component, g);
}

__global__ void __launch_bounds__(THREADS) backward_plane(Job job)
{
    NJ_THIS_THREAD;
    const Table table = table_of(job, place, 0);
    float x[NNJPEG_BLOCK_SIZE], slope[NNJPEG_BLOCK_SIZE], g[NNJPEG_BLOCK_SIZE];
    load(job, job.call.src, place, 0, false, x);
    each(x, [](float n) { return nj_from_unit(n); });
    cubic_slopes(x, slope, table);
    load(job, job.call.grad, place, 0, true, g);
    keep(g, x, -128.0f, 127.0f);
    through_slopes(g, slope);
    store_gradient(job, place, 0, g);
}

__global__ void __launch_bounds__(THREADS) backward_colour(Job job)
{
    NJ_THIS_THREAD;
    float x[3][NNJPEG_BLOCK_SIZE], y[3][NNJPEG_BLOCK_SIZE], slope[3][NNJPEG_BLOCK_SIZE], g[3][NNJPEG_BLOCK_SIZE];
#pragma unroll 1
    for (int c = 0; c < 3; c++) {
        load(job, job.call.src, place, c, false, x[c]);
        each(x[c], [](float n) { return nj_from_unit(n); });
    }
    colour(x, nj_rgb_to_ycbcr_f32);
#pragma unroll 1
    for (int c = 0; c < 3; c++) {
        cubic_slopes(x[c], slope[c], table_of(job, place, c));
#pragma unroll
        for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++)
            y[c][k] = x[c][k];
        each(x[c], limit);
    }
    colour(x, nj_ycbcr_to_rgb_f32);
#pragma unroll 1
    for (int c = 0; c < 3; c++) {
        load(job, job.call.grad, place, c, true, g[c]);
        keep(g[c], x[c], -128.0f, 127.0f);
    }
    colour(g, nj_ycbcr_to_rgb_transposed);
#pragma unroll 1
    for (int c = 0; c < 3; c++) {
        keep(g[c], y[c], -128.0f, 127.0f);
        through_slopes(g[c], slope[c]);
    }
    colour(g, nj_rgb_to_ycbcr_transposed);
#pragma unroll 1
    for (int c = 0; c < 3; c++)
        store_gradient(job, place, c, g[c]);
}

} /* namespace */

void run_full(const Job &job, bool exact, cudaStream_t stream)
{
    const bool backward = job.call.grad.data, together = job.call.colorspace == NNJPEG_YCBCR;
    const unsigned grid = grid_of(job.units * blocks_of(job, job.full));
    if (backward && together)
        NJ_LAUNCH(backward_colour, grid, THREADS, stream, job);
    else if (backward)
        NJ_LAUNCH(backward_plane, grid, THREADS, stream, job);
    else if (exact && together)
        NJ_LAUNCH(exact_colour, grid, THREADS, stream, job);
    else if (exact)
        NJ_LAUNCH(exact_plane, grid, THREADS, stream, job);
    else if (together)
        NJ_LAUNCH(float_colour, grid, THREADS, stream, job);
    else
        NJ_LAUNCH(float_plane, grid, THREADS, stream, job);
}

} /* namespace nnjpeg_cuda */
