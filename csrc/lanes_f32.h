/* Single precision for any C compiler, and for CUDA: one number a lane; the eight columns of a block are eight "vectors". */
#ifndef NNJPEG_LANES_F32_H
#define NNJPEG_LANES_F32_H

#include "inline.h"

#define NJ_F32_BLOCKS 1
#define NJ_F32_VECTORS 8
typedef float lanes_f32;

NJ_INLINE lanes_f32 set_f32(float c) { return c; }
NJ_INLINE lanes_f32 add_f32(lanes_f32 a, lanes_f32 b) { return a + b; }
NJ_INLINE lanes_f32 sub_f32(lanes_f32 a, lanes_f32 b) { return a - b; }
NJ_INLINE lanes_f32 mul_f32(lanes_f32 a, lanes_f32 b) { return a * b; }
#if defined(__CUDA_ARCH__)
NJ_INLINE lanes_f32 madd_f32(lanes_f32 a, lanes_f32 b, lanes_f32 c) { return __fmaf_rn(a, b, c); }
#else
NJ_INLINE lanes_f32 madd_f32(lanes_f32 a, lanes_f32 b, lanes_f32 c) { return a * b + c; }
#endif
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
/* min and max that keep NaN, an instruction each. */
NJ_INLINE lanes_f32 clamp_f32(lanes_f32 x, float low, float high)
{
    asm("max.NaN.f32 %0, %0, %1;" : "+f"(x) : "f"(low));
    asm("min.NaN.f32 %0, %0, %1;" : "+f"(x) : "f"(high));
    return x;
}
#else
NJ_INLINE lanes_f32 clamp_f32(lanes_f32 x, float low, float high) { return x < low ? low : x > high ? high : x; }
#endif
/* Adding a number so large that neighbouring floats are 1 apart rounds to whole numbers. For |x| < 2^22;
 * coefficients are far below. */
NJ_INLINE lanes_f32 round_f32(lanes_f32 x) { return (x + 12582912.0f) - 12582912.0f; }
NJ_INLINE lanes_f32 keep_f32(lanes_f32 x, lanes_f32 y, float low, float high) { return y >= low && y <= high ? x : 0.0f; }
NJ_INLINE lanes_f32 load_f32(const float *p) { return *p; }
NJ_INLINE lanes_f32 load_table_f32(const float *p) { return *p; }
NJ_INLINE void store_f32(float *p, lanes_f32 x) { *p = x; }
NJ_INLINE void stream_f32(float *p, lanes_f32 x) { store_f32(p, x); }
NJ_INLINE void end_stream(void) {}
NJ_INLINE void transpose_f32(lanes_f32 x[8][NJ_F32_VECTORS])
{
    int i, j;
    for (i = 0; i < 8; i++)
        for (j = 0; j < i; j++) {
            lanes_f32 t = x[i][j];
            x[i][j] = x[j][i];
            x[j][i] = t;
        }
}

#endif
