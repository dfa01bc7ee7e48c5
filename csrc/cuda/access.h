/* Samples in the device's memory: their types, and how a thread reads and writes a block. */
#ifndef NNJPEG_CUDA_ACCESS_H
#define NNJPEG_CUDA_ACCESS_H

#include <cuda_fp16.h>

#include "stages.h"

namespace nnjpeg_cuda {

/* Between the types in memory and the numbers that the stages work on: int for the integers, float for single precision. */
__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(float16 x) { return __half2float(__ushort_as_half(x.bits)); }
__device__ inline float to_float(bfloat16 x) { return __uint_as_float((unsigned)x.bits << 16); }

__device__ inline void from_float(float x, float *to) { *to = x; }
__device__ inline void from_float(float x, float16 *to) { to->bits = __half_as_ushort(__float2half_rn(x)); }
/* To the nearest, ties to even; NaN stays NaN. */
__device__ inline void from_float(float x, bfloat16 *to)
{
    const unsigned bits = __float_as_uint(x);
    to->bits = (unsigned short)(x != x ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* n / 255, rounded once: a product, and one step of Newton's that makes it so. */
__device__ inline float from_byte(int n)
{
    const float inverse = 1.0f / 255.0f, x = (float)n, q = x * inverse;
    return fmaf(fmaf(-q, 255.0f, x), inverse, q);
}

__device__ inline void read(uint8_t x, int *to) { *to = x; }
template <typename T> __device__ inline void read(T x, int *to) { *to = nj_to_byte(to_float(x)); }
template <typename T> __device__ inline void read(T x, float *to) { *to = to_float(x); }
__device__ inline void read(uint8_t x, float *to) { *to = x; }

__device__ inline void write(int x, uint8_t *to) { *to = (uint8_t)clamp16(x); }
template <typename T> __device__ inline void write(int x, T *to) { from_float(from_byte(clamp16(x)), to); }
template <typename T> __device__ inline void write(float x, T *to) { from_float(x, to); }
__device__ inline void write(float x, uint8_t *to) { *to = (uint8_t)x; }

/* A row of a block as one access, or two. */
template <typename T> struct alignas(sizeof(T) > 2 ? 16 : 8 * sizeof(T)) Row {
    T at[NNJPEG_BLOCK];
};

template <typename T> __device__ inline T *address(const nnjpeg_cuda_view &view, const Place &p)
{
    const nnjpeg_strides &s = view.strides;
    return (T *)view.data + p.image * s.image + p.component * s.component + p.y * s.row + p.x * s.column;
}

/* A block of samples of type T. What lies outside repeats the last column and row, or is 0 for a gradient. */
template <typename T, typename Number>
__device__ inline void load(const Job &job, const nnjpeg_cuda_view &view, const Place &p, bool zeros,
                            Number x[NNJPEG_BLOCK_SIZE])
{
    const T *from = address<T>(view, p);
    if (job.layout == NNJPEG_CUDA_PLANAR && p.width == NNJPEG_BLOCK && p.height == NNJPEG_BLOCK) {
        Row<T> rows[NNJPEG_BLOCK];
#pragma unroll
        for (int i = 0; i < NNJPEG_BLOCK; i++)
            rows[i] = *(const Row<T> *)(from + i * view.strides.row);
#pragma unroll
        for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++)
            read(rows[k / 8].at[k % 8], &x[k]);
        return;
    }
#pragma unroll
    for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++) {
        const int i = min(k / 8, p.height - 1), j = min(k % 8, p.width - 1);
        if (zeros && (k / 8 != i || k % 8 != j))
            x[k] = 0;
        else
            read(from[i * view.strides.row + j * view.strides.column], &x[k]);
    }
}

template <typename T, typename Number>
__device__ inline void store(const Job &job, const Place &p, const Number x[NNJPEG_BLOCK_SIZE])
{
    const nnjpeg_strides &s = job.call.dst.strides;
    T *to = address<T>(job.call.dst, p);
    if (job.layout == NNJPEG_CUDA_PLANAR && p.width == NNJPEG_BLOCK && p.height == NNJPEG_BLOCK) {
#pragma unroll
        for (int i = 0; i < NNJPEG_BLOCK; i++) {
            Row<T> row;
#pragma unroll
            for (int j = 0; j < NNJPEG_BLOCK; j++)
                write(x[8 * i + j], &row.at[j]);
            *(Row<T> *)(to + i * s.row) = row;
        }
        return;
    }
#pragma unroll
    for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++)
        if (k / 8 < p.height && k % 8 < p.width)
            write(x[k], &to[k / 8 * s.row + k % 8 * s.column]);
}

} /* namespace nnjpeg_cuda */

#endif
