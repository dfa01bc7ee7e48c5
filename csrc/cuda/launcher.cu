/* Launches kernels that nvcc has compiled. */
#include <cuda_runtime.h>

#include "kernels.h"
#include "launcher.h"

/* A test that runs the kernels on the host defines its own. */
#ifndef NJ_LAUNCH
#define NJ_LAUNCH(kernel, blocks, threads, stream, argument) kernel<<<blocks, threads, 0, stream>>>(argument)
#endif

int nnjpeg_cuda_launch_kernel(const nnjpeg_cuda_launch *launch, const nnjpeg_cuda_job *job, void *stream)
{
    using namespace nnjpeg_cuda;
    for (const auto find : { find_plane_kernel, find_ycbcr_kernel, find_ycbcr_backward_kernel, find_table_sums_kernel })
        if (const Kernel kernel = find(launch->kernel, launch->type))
            NJ_LAUNCH(kernel, launch->blocks, NNJPEG_CUDA_THREADS, (cudaStream_t)stream, *job);
    return (int)cudaGetLastError();
}

const char *nnjpeg_cuda_error(int error)
{
    return cudaGetErrorString((cudaError_t)error);
}
