/* The C interface: a call is made ready for the kernels, and the ones that it takes are launched.
 *
 * A thread takes one block (of each component, where these are coded together at one resolution) through all stages.
 * Neighbouring threads have neighbouring blocks, so that a warp reads and writes whole rows of memory. Where chroma is
 * subsampled, a first launch leaves it decoded in the workspace, and a second one takes luma and, on its way out, chroma. */
#include "job.h"
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

Job job_of(const nnjpeg_cuda_call &call)
{
    const nnjpeg_shape &shape = call.shape;
    Job job;
    job.call = call;
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
    if (call->subsampling == NNJPEG_444 || call->shape.images == 0)
        return 0;
    const Job job = job_of(*call);
    if (is_exact(*call))
        return decoded_chroma<uint8_t>(job).samples() * sizeof(uint8_t);
    const size_t decoded = decoded_chroma<float>(job).samples();
    return (call->grad.data ? decoded + chroma_slopes(job).samples() + gradients(job).samples() : decoded) * sizeof(float);
}

int nnjpeg_cuda_run(const nnjpeg_cuda_call *call, void *stream)
{
    using namespace nnjpeg_cuda;
    if (call->shape.images == 0)
        return 0;
    const Job job = job_of(*call);
    const cudaStream_t on = (cudaStream_t)stream;
    if (call->subsampling == NNJPEG_444)
        run_full(job, is_exact(*call), on);
    else if (call->grad.data)
        run_subsampled_backward(job, on);
    else
        run_subsampled(job, is_exact(*call), on);
    return (int)cudaGetLastError();
}

const char *nnjpeg_cuda_error(int error)
{
    return cudaGetErrorString((cudaError_t)error);
}
