/* Enough of CUDA to run csrc/cuda on the host: a launch is a loop over its threads, which share nothing. */
#ifndef EMULATED_CUDA_RUNTIME_H
#define EMULATED_CUDA_RUNTIME_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#define __global__ static
#define __device__
#define __host__
#define __constant__ const
#define __launch_bounds__(...)

using std::fmaf;
using std::max;
using std::min;

typedef int cudaError_t;
typedef void *cudaStream_t;

struct dim {
    unsigned x;
};
inline thread_local dim blockIdx, blockDim, threadIdx;

#define NJ_LAUNCH(kernel, blocks, threads, stream, argument)                            \
    do {                                                                                \
        (void)(stream);                                                                 \
        blockDim.x = (threads);                                                         \
        for (blockIdx.x = 0; blockIdx.x < (blocks); blockIdx.x++)                       \
            for (threadIdx.x = 0; threadIdx.x < blockDim.x; threadIdx.x++)              \
                kernel(argument);                                                       \
    } while (0)

static inline cudaError_t cudaGetLastError() { return 0; }
static inline const char *cudaGetErrorString(cudaError_t) { return "no error"; }

static inline unsigned __float_as_uint(float x)
{
    unsigned bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline float __uint_as_float(unsigned bits)
{
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
