/* Adds up what blocks add to the gradient of tables. Of each table and step, a thread adds up one of `chunks` parts, and another
 * one these: about as many blocks in a part as there are parts. */
#include "table_products.h"

namespace nnjpeg_cuda {

template <typename T> __global__ void __launch_bounds__(NNJPEG_CUDA_THREADS) sum_blocks(Job job)
{
    const nnjpeg_cuda_tables &tables = job.call.tables;
    const nnjpeg_shape &shape = job.call.shape;
    const size_t thread = (size_t)blockIdx.x * blockDim.x + threadIdx.x, rest = thread / NNJPEG_BLOCK_SIZE;
    const unsigned k = (unsigned)(thread % NNJPEG_BLOCK_SIZE), chunk = (unsigned)(rest % job.chunks);
    const ptrdiff_t table = (ptrdiff_t)(rest / job.chunks), components = tables.component_stride ? shape.components : 1;
    const ptrdiff_t image = table / components, component = table % components;
    if (image >= (tables.image_stride ? shape.images : 1))
        return;
    const unsigned all = blocks_before(job, shape.components);
    const unsigned before = tables.component_stride ? blocks_before(job, component) : 0;
    const unsigned own = tables.component_stride ? blocks_before(job, component + 1) - before : all;
    const unsigned count = own * (tables.image_stride ? 1 : (unsigned)shape.images);
    T sum = 0;
    for (unsigned i = chunk; i < count; i += job.chunks)
        sum += job.products[((size_t)(image + i / own) * all + before + i % own) * NNJPEG_BLOCK_SIZE + k];
    job.partials[thread] = sum;
}

template <typename T> __global__ void __launch_bounds__(NNJPEG_CUDA_THREADS) sum_chunks(Job job)
{
    const nnjpeg_cuda_tables &tables = job.call.tables;
    const nnjpeg_shape &shape = job.call.shape;
    const size_t thread = (size_t)blockIdx.x * blockDim.x + threadIdx.x, table = thread / NNJPEG_BLOCK_SIZE;
    const size_t images = tables.image_stride ? (size_t)shape.images : 1;
    const size_t components = tables.component_stride ? (size_t)shape.components : 1;
    const T *partials = job.partials + table * job.chunks * NNJPEG_BLOCK_SIZE + thread % NNJPEG_BLOCK_SIZE;
    if (table >= images * components)
        return;
    T sum = 0;
    for (unsigned chunk = 0; chunk < job.chunks; chunk++)
        sum += partials[(size_t)chunk * NNJPEG_BLOCK_SIZE];
    job.call.steps_gradient[thread] = sum * (1.0f / 255.0f);
}

NJ_FIND_KERNEL(find_table_sums_kernel, NNJPEG_CUDA_TABLE_SUMS_KERNELS)

} /* namespace nnjpeg_cuda */
