/* Components that are coded one by one. */
#include "access.h"

namespace nnjpeg_cuda {
namespace {

__global__ void __launch_bounds__(THREADS, 4) exact_plane(Job job)
{
    NJ_THIS_THREAD;
    int x[NNJPEG_BLOCK_SIZE];
    load(job, job.call.src, place, false, x);
    transform(x, table_of(job, place));
    store(job, place, x);
}

__global__ void __launch_bounds__(THREADS, 3) float_plane(Job job)
{
    NJ_THIS_THREAD;
    float x[NNJPEG_BLOCK_SIZE];
    load(job, job.call.src, place, false, x);
    each(x, [](float n) { return nj_from_unit(n); });
    forward(x);
    requantize(x, table_of(job, place), rounding_of(job));
    inverse(x);
    each(x, [](float n) { return nj_to_unit(n); });
    store(job, place, x);
}

__global__ void __launch_bounds__(THREADS) backward_plane(Job job)
{
    NJ_THIS_THREAD;
    const Table table = table_of(job, place);
    float x[NNJPEG_BLOCK_SIZE], slope[NNJPEG_BLOCK_SIZE], g[NNJPEG_BLOCK_SIZE];
    load(job, job.call.src, place, false, x);
    each(x, [](float n) { return nj_from_unit(n); });
    cubic_slopes(x, slope, table);
    load(job, job.call.grad, place, true, g);
    keep(g, x, -128.0f, 127.0f);
    through_slopes(g, slope);
    if (place.width < NNJPEG_BLOCK || place.height < NNJPEG_BLOCK)
        fold(g, place.width - 1, place.height - 1);
    /* The gradient of what nj_from_unit clamps is 0. */
    load(job, job.call.src, place, false, x);
    keep(g, x, 0.0f, 1.0f);
    store(job, place, g);
}

} /* namespace */

void run_planes(const Job &job, bool exact, cudaStream_t stream)
{
    const unsigned grid = grid_of(job.units * blocks_of(job, job.full));
    if (job.call.grad.data)
        NJ_LAUNCH(backward_plane, grid, THREADS, stream, job);
    else if (exact)
        NJ_LAUNCH(exact_plane, grid, THREADS, stream, job);
    else
        NJ_LAUNCH(float_plane, grid, THREADS, stream, job);
}

} /* namespace nnjpeg_cuda */
