/* A call as the kernels see it: which blocks there are, which of them is a thread's, and who launches what. */
#ifndef NNJPEG_CUDA_JOB_H
#define NNJPEG_CUDA_JOB_H

#include <cuda_runtime.h>

#include "kernel.h"

/* A test that runs the kernels on the host defines its own. */
#ifndef NJ_LAUNCH
#define NJ_LAUNCH(kernel, blocks, threads, stream, argument) kernel<<<blocks, threads, 0, stream>>>(argument)
#endif

namespace nnjpeg_cuda {

enum { THREADS = 128 };

/* What of every image and gradient of a call can be read or written as one vector: nothing; eight samples of a row of one
 * component; or eight pixels of a row, in three vectors. */
enum Layout { STRIDED, PLANAR, INTERLEAVED };

/* A component, and the blocks in a column and a row of it. */
struct Plane {
    ptrdiff_t height, width;
    unsigned rows, columns;
};

struct Job {
    nnjpeg_cuda_call call; /* whose tables are of bytes */
    void *workspace;       /* behind what is there of tables */
    Layout layout;
    unsigned units;   /* components of an image that threads take one by one, or 1 */
    bool units_first; /* neighbouring threads have neighbouring components */
    int h, v;         /* how many times as fine luma is as chroma, along columns and along rows */
    Plane full, chroma; /* full: luma, or any component that is coded alone */
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

/* How many thread blocks so many threads fill. */
inline unsigned grid_of(unsigned threads)
{
    return (threads - 1) / THREADS + 1;
}

inline unsigned blocks_of(const Job &job, const Plane &plane)
{
    return (unsigned)job.call.shape.images * plane.rows * plane.columns;
}

/* plane.cu, ycbcr.cu, ycbcr_backward.cu */
void run_planes(const Job &job, bool exact, cudaStream_t stream);
void run_ycbcr(const Job &job, bool exact, cudaStream_t stream);
void run_ycbcr_backward(const Job &job, cudaStream_t stream);

} /* namespace nnjpeg_cuda */

#endif
