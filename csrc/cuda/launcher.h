/* nnjpeg on a GPU, free of torch, by kernels that nvcc has compiled. As nnjpeg.h, but the pointers are the device's, and calls
 * return at once: the work is put on a stream. The same call gives the same bits each time. */
#ifndef NNJPEG_CUDA_LAUNCHER_H
#define NNJPEG_CUDA_LAUNCHER_H

#include "job.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One launch of a plan. stream: a cudaStream_t of the current device. Returns a cudaError_t, 0 for success. */
int nnjpeg_cuda_launch_kernel(const nnjpeg_cuda_launch *launch, const nnjpeg_cuda_job *job, void *stream);

/* What an error is, a static string. */
const char *nnjpeg_cuda_error(int error);

#ifdef __cplusplus
}
#endif
#endif
