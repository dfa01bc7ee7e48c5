/* Lanes in ordinary integers: one block, 32 bits also where the vectors have 16.
 *
 * `NJ_SUM` is the type of sums: int32_t where nj_quantize made the coefficients (the bounds in block.h), which is how a GPU
 * thread works; int64_t, the default, for coefficients of any size: a dequantized one (int16 times 16 times a step of at
 * most 255) is below 2^27, what the inverse's column pass leaves below 2^28, and its sums below 2^46, so that nothing
 * overflows, whatever the block. */
#ifndef NNJPEG_LANES_SCALAR_H
#define NNJPEG_LANES_SCALAR_H

#include <stdint.h>

#include "inline.h"

#ifndef NJ_SUM
#define NJ_SUM int64_t
#endif

typedef int32_t lanes16;
typedef NJ_SUM lanes32;
typedef struct pairs16 {
    lanes16 a, b;
} pairs16;

NJ_INLINE lanes16 set16(int c) { return c; }
NJ_INLINE lanes16 add16(lanes16 a, lanes16 b) { return a + b; }
NJ_INLINE lanes16 sub16(lanes16 a, lanes16 b) { return a - b; }
NJ_INLINE lanes16 mul16(lanes16 a, lanes16 b) { return a * b; }
NJ_INLINE lanes16 shl16(lanes16 x, int n) { return x * (1 << n); }
NJ_INLINE lanes16 sra16(lanes16 x, int n) { return x >> n; }
NJ_INLINE lanes16 clamp16(lanes16 x) { return x < 0 ? 0 : x > 255 ? 255 : x; }
NJ_INLINE lanes16 mulhi16(lanes16 a, lanes16 b) { return (int32_t)(((lanes32)a * b) >> 16); }
NJ_INLINE lanes16 mulhrs16(lanes16 a, lanes16 b) { return (int32_t)(((lanes32)a * b + 16384) >> 15); }
NJ_INLINE pairs16 pair16(lanes16 a, lanes16 b)
{
    pairs16 p = { a, b };
    return p;
}
NJ_INLINE lanes32 set32(int32_t c) { return c; }
NJ_INLINE lanes32 add32(lanes32 a, lanes32 b) { return a + b; }
NJ_INLINE lanes32 sub32(lanes32 a, lanes32 b) { return a - b; }
NJ_INLINE lanes32 dot2(pairs16 p, int ca, int cb) { return (lanes32)p.a * ca + (lanes32)p.b * cb; }
NJ_INLINE lanes32 dot2_add(lanes32 sum, pairs16 p, int ca, int cb) { return sum + dot2(p, ca, cb); }
NJ_INLINE lanes16 narrow(lanes32 x) { return (int32_t)(x >> 16); }

#include "lanes_cells.h"

NJ_INLINE cells16 mul_cells(cells16 x, const uint16_t p[2]) { return pair16(mul16(x.a, set16(p[0])), mul16(x.b, set16(p[1]))); }
NJ_INLINE cells16 mulhi_cells(cells16 x, const uint16_t p[2])
{
    return pair16(mulhi16(x.a, set16(p[0])), mulhi16(x.b, set16(p[1])));
}
NJ_INLINE cells16 mulhrs_cells(cells16 x, const uint16_t p[2])
{
    return pair16(mulhrs16(x.a, set16(p[0])), mulhrs16(x.b, set16(p[1])));
}

#include "lanes_f32.h"

/* For nj_requantize_by_f32: |x| < 2^24, and |x| < 2^22. */
#define NJ_CONVERTS_F32
NJ_INLINE lanes_f32 f32_from_int(int x) { return (float)x; }
#if defined(__CUDA_ARCH__)
NJ_INLINE int int_from_f32(lanes_f32 x) { return __float2int_rn(x); }
#else
NJ_INLINE int int_from_f32(lanes_f32 x) { return (int)round_f32(x); }
#endif

#endif
