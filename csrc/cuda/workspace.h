/* The planes that the launches of a call of YCbCr leave for each other in the workspace. */
#ifndef NNJPEG_CUDA_WORKSPACE_H
#define NNJPEG_CUDA_WORKSPACE_H

#include "kernels.h"

namespace nnjpeg_cuda {

/* Several planes of whole blocks, of one size, for each image. */
template <typename Sample> struct Planes {
    Sample *data;
    ptrdiff_t planes, height, width;

    __device__ Sample *at(ptrdiff_t image, ptrdiff_t plane) const
    {
        return data + (image * planes + plane) * height * width;
    }
};

template <typename Sample> __device__ Planes<Sample> planes_of(void *data, int planes, const Plane &plane)
{
    return { (Sample *)data, planes, (ptrdiff_t)plane.rows * NNJPEG_BLOCK, (ptrdiff_t)plane.columns * NNJPEG_BLOCK };
}

/* Beyond the last column and row that there are, these are repeated. */
template <typename Sample> __device__ Planes<Sample> decoded_chroma(const Job &job)
{
    return planes_of<Sample>(job.decoded_chroma, 2, job.chroma);
}

/* A block of slopes lies where its samples are. */
__device__ inline Planes<float> chroma_slopes(const Job &job)
{
    return planes_of<float>(job.chroma_slopes, 2, job.chroma);
}

/* Outside the image 0. */
__device__ inline Planes<float> gradients(const Job &job)
{
    return planes_of<float>(job.gradients, 3, job.full);
}

} /* namespace nnjpeg_cuda */

#endif
