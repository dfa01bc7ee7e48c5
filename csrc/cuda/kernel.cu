/* The C interface: a call is made ready for the kernels, and the ones that it takes are launched.
 *
 * A thread takes one block through all stages. Neighbouring threads have neighbouring blocks, so that a warp reads and writes
 * whole rows of memory. Of YCbCr, a first launch leaves chroma decoded in the workspace, and a second one takes luma and, on
 * its way out, chroma: registers hold one block, not three. Tables of floats take a launch of their own before. */
#include "lanes_f32.h"
#include "workspace.h"

namespace nnjpeg_cuda {
namespace {

bool is_exact(const nnjpeg_cuda_call &call)
{
    return call.type == NNJPEG_CUDA_UINT8 || call.precision == NNJPEG_UINT8;
}

ptrdiff_t size_of(nnjpeg_cuda_type type)
{
    return type == NNJPEG_CUDA_UINT8 ? 1 : type == NNJPEG_CUDA_FLOAT32 ? 4 : 2;
}

Plane plane_of(ptrdiff_t height, ptrdiff_t width)
{
    return { height, width, (unsigned)((height - 1) / NNJPEG_BLOCK + 1), (unsigned)((width - 1) / NNJPEG_BLOCK + 1) };
}

Layout layout_of(const nnjpeg_cuda_call &call, const nnjpeg_cuda_view &view)
{
    const nnjpeg_shape &shape = call.shape;
    const nnjpeg_strides &s = view.strides;
    const ptrdiff_t size = size_of(call.type), alignment = size > 2 ? 16 : 8 * size;
    const auto aligned = [&](ptrdiff_t count, ptrdiff_t stride) { return count < 2 || stride * size % alignment == 0; };
    if ((uintptr_t)view.data % alignment || !aligned(shape.height, s.row) || !aligned(shape.images, s.image))
        return STRIDED;
    if (s.column == 1 && aligned(shape.components, s.component))
        return PLANAR;
    return shape.components == 3 && s.component == 1 && s.column == 3 ? INTERLEAVED : STRIDED;
}

Layout layout_of(const nnjpeg_cuda_call &call)
{
    const Layout layout = layout_of(call, call.src);
    const bool common = layout == layout_of(call, call.dst) && (!call.grad.data || layout == layout_of(call, call.grad));
    return common ? layout : STRIDED;
}

/* Tables of floats, which are rounded to bytes in the workspace. */
struct Rounding {
    nnjpeg_cuda_tables from, to;
    unsigned images, components;
};

Rounding rounding_of(const nnjpeg_cuda_call &call)
{
    const nnjpeg_cuda_tables &from = call.tables;
    Rounding r = { from, from, 0, 0 };
    if (from.type == NNJPEG_CUDA_UINT8)
        return r;
    r.images = from.image_stride ? (unsigned)call.shape.images : 1;
    r.components = from.component_stride ? (unsigned)call.shape.components : 1;
    r.to = { call.workspace, NNJPEG_CUDA_UINT8, from.image_stride ? NNJPEG_BLOCK_SIZE * (ptrdiff_t)r.components : 0,
             from.component_stride ? NNJPEG_BLOCK_SIZE : 0 };
    return r;
}

unsigned steps_of(const Rounding &r)
{
    return r.images * r.components * NNJPEG_BLOCK_SIZE;
}

/* A thread takes one step. */
__global__ void __launch_bounds__(THREADS) round_tables(Rounding r)
{
    const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
    const unsigned k = thread % NNJPEG_BLOCK_SIZE, table = thread / NNJPEG_BLOCK_SIZE;
    const ptrdiff_t image = table / r.components, component = table % r.components;
    if (image >= r.images)
        return;
    const float x = ((const float *)r.from.steps)[image * r.from.image_stride + component * r.from.component_stride + k];
    ((uint8_t *)r.to.steps)[image * r.to.image_stride + component * r.to.component_stride + k] =
        (uint8_t)(int)round_f32(x > 1.0f ? x < 255.0f ? x : 255.0f : 1.0f);
}

Job job_of(const nnjpeg_cuda_call &call)
{
    const nnjpeg_shape &shape = call.shape;
    const Rounding rounding = rounding_of(call);
    Job job;
    job.call = call;
    job.call.tables = rounding.to;
    job.workspace = call.workspace ? (uint8_t *)call.workspace + steps_of(rounding) : nullptr;
    job.layout = layout_of(call);
    job.units = call.colorspace == NNJPEG_YCBCR ? 1 : (unsigned)shape.components;
    job.units_first = job.units > 1 && call.src.strides.component == 1;
    job.h = call.subsampling == NNJPEG_422 || call.subsampling == NNJPEG_420 ? 2 : 1;
    job.v = call.subsampling == NNJPEG_440 || call.subsampling == NNJPEG_420 ? 2 : 1;
    job.full = plane_of(shape.height, shape.width);
    job.chroma = plane_of((shape.height - 1) / job.v + 1, (shape.width - 1) / job.h + 1);
    return job;
}

} /* namespace */
} /* namespace nnjpeg_cuda */

size_t nnjpeg_cuda_workspace(const nnjpeg_cuda_call *call)
{
    using namespace nnjpeg_cuda;
    if (call->shape.images == 0)
        return 0;
    const Job job = job_of(*call);
    const size_t tables = steps_of(rounding_of(*call));
    if (call->colorspace != NNJPEG_YCBCR)
        return tables;
    if (is_exact(*call))
        return tables + decoded_chroma<uint8_t>(job).end() * sizeof(uint8_t);
    return tables + (call->grad.data ? gradients(job) : decoded_chroma<float>(job)).end() * sizeof(float);
}

int nnjpeg_cuda_run(const nnjpeg_cuda_call *call, void *stream)
{
    using namespace nnjpeg_cuda;
    if (call->shape.images == 0)
        return 0;
    const Job job = job_of(*call);
    const cudaStream_t on = (cudaStream_t)stream;
    const Rounding rounding = rounding_of(*call);
    if (steps_of(rounding) > 0)
        NJ_LAUNCH(round_tables, grid_of(steps_of(rounding)), THREADS, on, rounding);
    if (call->colorspace != NNJPEG_YCBCR)
        run_planes(job, is_exact(*call), on);
    else if (call->grad.data)
        run_ycbcr_backward(job, on);
    else
        run_ycbcr(job, is_exact(*call), on);
    return (int)cudaGetLastError();
}

const char *nnjpeg_cuda_error(int error)
{
    return cudaGetErrorString((cudaError_t)error);
}
