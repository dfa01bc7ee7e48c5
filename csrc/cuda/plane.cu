/* Components that are coded one by one; and tables of floats. */
#include "table_products.h"

namespace nnjpeg_cuda {

/* Tables of floats to bytes in the workspace; a thread takes one step. */
template <typename T> __global__ void __launch_bounds__(NNJPEG_CUDA_THREADS) round_tables(Job job)
{
    const nnjpeg_cuda_tables &from = job.call.tables, &to = job.tables;
    const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
    const unsigned k = thread % NNJPEG_BLOCK_SIZE, table = thread / NNJPEG_BLOCK_SIZE;
    const ptrdiff_t components = from.component_stride ? job.call.shape.components : 1;
    const ptrdiff_t image = table / components, component = table % components;
    if (image >= (from.image_stride ? job.call.shape.images : 1))
        return;
    const T x = ((const T *)from.steps)[image * from.image_stride + component * from.component_stride + k];
    ((uint8_t *)to.steps)[image * to.image_stride + component * to.component_stride + k] =
        (uint8_t)(int)round_f32(x > 1.0f ? x < 255.0f ? x : 255.0f : 1.0f);
}

template <typename T> __global__ void __launch_bounds__(NNJPEG_CUDA_THREADS, 4) exact_plane(Job job)
{
    NJ_THIS_THREAD;
    int x[NNJPEG_BLOCK_SIZE];
    load<T>(job, job.call.src, place, false, x);
    transform(x, table_of(job, place));
    store<T>(job, place, x);
}

template <typename T> __global__ void __launch_bounds__(NNJPEG_CUDA_THREADS, 3) float_plane(Job job)
{
    NJ_THIS_THREAD;
    float x[NNJPEG_BLOCK_SIZE];
    load<T>(job, job.call.src, place, false, x);
    each(x, [](float n) { return nj_from_unit(n); });
    forward(x);
    requantize(x, table_of(job, place), rounding_of(job));
    inverse(x);
    each(x, [](float n) { return nj_to_unit(n); });
    store<T>(job, place, x);
}

template <typename T> __global__ void __launch_bounds__(NNJPEG_CUDA_THREADS) backward_plane(Job job)
{
    NJ_THIS_THREAD;
    const Table table = table_of(job, place);
    float x[NNJPEG_BLOCK_SIZE], slope[NNJPEG_BLOCK_SIZE], g[NNJPEG_BLOCK_SIZE];
    load<T>(job, job.call.src, place, false, x);
    each(x, [](float n) { return nj_from_unit(n); });
    cubic_slopes(x, slope, table);
    load<T>(job, job.call.grad, place, true, g);
    keep(g, x, -128.0f, 127.0f);
    through_slopes(g, slope);
    if (place.width < NNJPEG_BLOCK || place.height < NNJPEG_BLOCK)
        fold(g, place.width - 1, place.height - 1);
    /* The gradient of what nj_from_unit clamps is 0. */
    load<T>(job, job.call.src, place, false, x);
    keep(g, x, 0.0f, 1.0f);
    store<T>(job, place, g);
}

/* The gradient by the steps: up to what the block adds to it. */
template <typename T> __global__ void __launch_bounds__(NNJPEG_CUDA_THREADS) by_steps_plane(Job job)
{
    NJ_THIS_THREAD;
    float x[NNJPEG_BLOCK_SIZE], slope[NNJPEG_BLOCK_SIZE], g[NNJPEG_BLOCK_SIZE];
    load<T>(job, job.call.src, place, false, x);
    each(x, [](float n) { return nj_from_unit(n); });
    step_slopes(x, slope, table_of(job, place), rounding_of(job));
    load<T>(job, job.call.grad, place, true, g);
    keep(g, x, -128.0f, 127.0f);
    store_products(job, place, g, slope);
}

NJ_FIND_KERNEL(find_plane_kernel, NNJPEG_CUDA_PLANE_KERNELS)

} /* namespace nnjpeg_cuda */
