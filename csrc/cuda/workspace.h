/* What the launches of a call of YCbCr leave for each other in the workspace: planes of whole blocks. */
#ifndef NNJPEG_CUDA_WORKSPACE_H
#define NNJPEG_CUDA_WORKSPACE_H

#include "job.h"

namespace nnjpeg_cuda {

/* Several planes of one size for each image, behind `before` samples of the workspace. */
template <typename Sample> struct Planes {
    Sample *workspace;
    size_t before;
    ptrdiff_t images, planes, height, width;

    __device__ Sample *at(ptrdiff_t image, ptrdiff_t plane) const
    {
        return workspace + before + (image * planes + plane) * height * width;
    }
    __host__ __device__ size_t end() const { return before + (size_t)(images * planes * height * width); }
};

template <typename Sample>
__host__ __device__ Planes<Sample> planes_of(const Job &job, size_t before, int planes, const Plane &plane)
{
    return { (Sample *)job.workspace, before, job.call.shape.images, planes, (ptrdiff_t)plane.rows * NNJPEG_BLOCK,
             (ptrdiff_t)plane.columns * NNJPEG_BLOCK };
}

/* Cb and Cr as decoded: bytes, or floats that are limited where they are read. Beyond the last column and row that there
 * are, these are repeated. */
template <typename Sample> __host__ __device__ Planes<Sample> decoded_chroma(const Job &job)
{
    return planes_of<Sample>(job, 0, 2, job.chroma);
}

/* For the gradient. The slopes of the rounding at the coefficients of Cb and Cr, a block where its samples are. */
__host__ __device__ inline Planes<float> chroma_slopes(const Job &job)
{
    return planes_of<float>(job, decoded_chroma<float>(job).end(), 2, job.chroma);
}

/* The gradient with respect to luma before it is coded, and to upsampled Cb and Cr; outside the image 0. */
__host__ __device__ inline Planes<float> gradients(const Job &job)
{
    return planes_of<float>(job, chroma_slopes(job).end(), 3, job.full);
}

} /* namespace nnjpeg_cuda */

#endif
