/* What the launches of a call with subsampling leave for each other in the workspace: planes of whole blocks. */
#ifndef NNJPEG_CUDA_WORKSPACE_H
#define NNJPEG_CUDA_WORKSPACE_H

#include "job.h"

namespace nnjpeg_cuda {

/* Several planes of one size for each image. */
template <typename Sample> struct Planes {
    Sample *first;
    ptrdiff_t images, planes, height, width;

    __host__ __device__ Sample *at(ptrdiff_t image, ptrdiff_t plane) const
    {
        return first + (image * planes + plane) * height * width;
    }
    __host__ __device__ size_t samples() const { return (size_t)(images * planes * height * width); }
};

template <typename Sample>
__host__ __device__ Planes<Sample> planes_of(const Job &job, Sample *first, int planes, const Plane &plane)
{
    return { first, job.call.shape.images, planes, (ptrdiff_t)plane.rows * NNJPEG_BLOCK,
             (ptrdiff_t)plane.columns * NNJPEG_BLOCK };
}

/* Cb and Cr as decoded: bytes, or floats that are limited where they are read. Beyond the last column and row that there
 * are, these are repeated. */
template <typename Sample> __host__ __device__ Planes<Sample> decoded_chroma(const Job &job)
{
    return planes_of(job, (Sample *)job.call.workspace, 2, job.chroma);
}

/* For the gradient. The slopes of the rounding at the coefficients of Cb and Cr, a block where its samples are. */
__host__ __device__ inline Planes<float> chroma_slopes(const Job &job)
{
    const Planes<float> before = decoded_chroma<float>(job);
    return planes_of(job, before.first + before.samples(), 2, job.chroma);
}

/* The gradient with respect to luma before it is coded, and to upsampled Cb and Cr; outside the image 0. */
__host__ __device__ inline Planes<float> gradients(const Job &job)
{
    const Planes<float> before = chroma_slopes(job);
    return planes_of(job, before.first + before.samples(), 3, job.full);
}

} /* namespace nnjpeg_cuda */

#endif
