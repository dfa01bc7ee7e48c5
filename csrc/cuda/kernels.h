/* What all kernels share: which block a thread takes, and how a kernel is found by its number. */
#ifndef NNJPEG_CUDA_KERNELS_H
#define NNJPEG_CUDA_KERNELS_H

#include "job.h"

namespace nnjpeg_cuda {

using Job = nnjpeg_cuda_job;
using Plane = nnjpeg_cuda_plane;

/* The types in memory. */
using uint8 = uint8_t;
using float32 = float;
struct float16 {
    unsigned short bits;
};
struct bfloat16 {
    unsigned short bits;
};

/* Where a thread's block is. */
struct Place {
    ptrdiff_t image, component, y, x;
    int height, width; /* how much of the block lies inside */
};

/* A thread whose image does not exist has nothing to do. */
__device__ inline Place place_of(const Job &job, const Plane &plane, unsigned thread)
{
    unsigned unit = 0, column, row;
    if (job.units_first) {
        unit = thread % job.units;
        thread /= job.units;
    }
    column = thread % plane.columns;
    thread /= plane.columns;
    row = thread % plane.rows;
    thread /= plane.rows;
    if (!job.units_first) {
        unit = thread % job.units;
        thread /= job.units;
    }
    Place p;
    p.image = thread;
    p.component = unit;
    p.y = (ptrdiff_t)row * NNJPEG_BLOCK;
    p.x = (ptrdiff_t)column * NNJPEG_BLOCK;
    p.height = (int)min(plane.height - p.y, (ptrdiff_t)NNJPEG_BLOCK);
    p.width = (int)min(plane.width - p.x, (ptrdiff_t)NNJPEG_BLOCK);
    return p;
}

/* The block of job.full that a thread takes. */
#define NJ_THIS_THREAD                                                                   \
    const Place place = place_of(job, job.full, blockIdx.x * blockDim.x + threadIdx.x); \
    if (place.image >= job.call.shape.images)                                            \
        return

/* NJ_FIND_KERNEL, at the end of a file, defines the function by which launcher.cu finds a kernel of the file: null if there is
 * none. NVRTC compiles one kernel, for one type, by its name. */
#if defined(__CUDACC_RTC__)
#define NJ_FIND_KERNEL(find, kernels)
#else
typedef void (*Kernel)(Job);
Kernel find_plane_kernel(nnjpeg_cuda_kernel kernel, nnjpeg_cuda_type type);
Kernel find_ycbcr_kernel(nnjpeg_cuda_kernel kernel, nnjpeg_cuda_type type);
Kernel find_ycbcr_backward_kernel(nnjpeg_cuda_kernel kernel, nnjpeg_cuda_type type);
Kernel find_table_sums_kernel(nnjpeg_cuda_kernel kernel, nnjpeg_cuda_type type);

#define NJ_KERNEL_FOR_ALL(name) { name<uint8>, name<float32>, name<float16>, name<bfloat16> }
#define NJ_KERNEL_FOR_FLOATS(name) { nullptr, name<float32>, name<float16>, name<bfloat16> }
#define NJ_KERNEL_FOR_SINGLE(name) { nullptr, name<float32>, nullptr, nullptr }
#define NJ_KERNEL_CASE(file, name, types)                                                         \
    case NNJPEG_CUDA_##name: {                                                                    \
        static const Kernel by_type[NNJPEG_CUDA_TYPE_COUNT] = NJ_KERNEL_FOR_##types(name);        \
        return by_type[type];                                                                     \
    }
#define NJ_FIND_KERNEL(find, kernels)                                                             \
    Kernel find(nnjpeg_cuda_kernel kernel, nnjpeg_cuda_type type)                                 \
    {                                                                                             \
        switch (kernel) {                                                                         \
            kernels(NJ_KERNEL_CASE)                                                               \
        default:                                                                                  \
            return nullptr;                                                                       \
        }                                                                                         \
    }
#endif

} /* namespace nnjpeg_cuda */

#endif
