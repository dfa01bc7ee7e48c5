/* What access.h needs of cuda_fp16.h, as CUDA's own header has it: an instruction each. */
#ifndef NNJPEG_NVRTC_CUDA_FP16_H
#define NNJPEG_NVRTC_CUDA_FP16_H

struct __half {
    unsigned short bits;
};

__device__ inline __half __ushort_as_half(unsigned short bits) { return __half{ bits }; }
__device__ inline unsigned short __half_as_ushort(__half x) { return x.bits; }

__device__ inline float __half2float(__half x)
{
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}

__device__ inline __half __float2half_rn(float x)
{
    __half y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

#endif
