/* The arithmetic of one 8x8 block in single precision: the same transform without the roundings in between, for tensors of
 * floats. Included after block.h, whose stages it repeats.
 *
 * Written over `lanes_f32`, for which
 * lanes_<kind>.h provides set_f32, add_f32, sub_f32, mul_f32, madd_f32(a, b, c) = a * b + c (rounded once or twice),
 * round_f32 (to even), clamp_f32(x, low, high), which leaves NaN as it is, and keep_f32(x, y, low, high): x where
 * low <= y <= high, else 0. Unlike the integers, these numbers may differ in the last bits between instruction sets.
 *
 * The orthonormal DCT-II of eight samples, X[k] = a_k sum_n x[n] cos((2n + 1) k pi / 16) with a_0 = sqrt(1/8) and else
 * a_k = 1/2; NJ_COS_k = cos(k pi / 16) / 2. */
#ifndef NNJPEG_BLOCK_F32_H
#define NNJPEG_BLOCK_F32_H

#include "block.h"

#define NJ_COS_1 0.49039264020161522f
#define NJ_COS_2 0.46193976625564337f
#define NJ_COS_3 0.41573480615127262f
#define NJ_COS_4 0.35355339059327376f
#define NJ_COS_5 0.27778511650980111f
#define NJ_COS_6 0.19134171618254489f
#define NJ_COS_7 0.09754516100806413f

/* a * ca + b * cb */
NJ_INLINE lanes_f32 nj_dot2_f32(lanes_f32 a, float ca, lanes_f32 b, float cb)
{
    return madd_f32(a, set_f32(ca), mul_f32(b, set_f32(cb)));
}

NJ_INLINE lanes_f32 nj_dot4_f32(const lanes_f32 x[4], float c0, float c1, float c2, float c3)
{
    return madd_f32(x[0], set_f32(c0), madd_f32(x[1], set_f32(c1), nj_dot2_f32(x[2], c2, x[3], c3)));
}

NJ_INLINE void nj_dct_f32(lanes_f32 x[8])
{
    lanes_f32 s0 = add_f32(x[0], x[7]), s1 = add_f32(x[1], x[6]), s2 = add_f32(x[2], x[5]), s3 = add_f32(x[3], x[4]);
    lanes_f32 d[4] = { sub_f32(x[0], x[7]), sub_f32(x[1], x[6]), sub_f32(x[2], x[5]), sub_f32(x[3], x[4]) };
    lanes_f32 t0 = add_f32(s0, s3), t1 = add_f32(s1, s2), t2 = sub_f32(s1, s2), t3 = sub_f32(s0, s3);
    x[0] = mul_f32(add_f32(t0, t1), set_f32(NJ_COS_4));
    x[4] = mul_f32(sub_f32(t0, t1), set_f32(NJ_COS_4));
    x[2] = nj_dot2_f32(t3, NJ_COS_2, t2, NJ_COS_6);
    x[6] = nj_dot2_f32(t3, NJ_COS_6, t2, -NJ_COS_2);
    x[1] = nj_dot4_f32(d, NJ_COS_1, NJ_COS_3, NJ_COS_5, NJ_COS_7);
    x[3] = nj_dot4_f32(d, NJ_COS_3, -NJ_COS_7, -NJ_COS_1, -NJ_COS_5);
    x[5] = nj_dot4_f32(d, NJ_COS_5, -NJ_COS_1, NJ_COS_7, NJ_COS_3);
    x[7] = nj_dot4_f32(d, NJ_COS_7, -NJ_COS_5, NJ_COS_3, -NJ_COS_1);
}

/* Its inverse, which is its transpose. */
NJ_INLINE void nj_idct_f32(lanes_f32 x[8])
{
    lanes_f32 t0 = mul_f32(add_f32(x[0], x[4]), set_f32(NJ_COS_4)), t1 = mul_f32(sub_f32(x[0], x[4]), set_f32(NJ_COS_4));
    lanes_f32 t2 = nj_dot2_f32(x[2], NJ_COS_6, x[6], -NJ_COS_2), t3 = nj_dot2_f32(x[2], NJ_COS_2, x[6], NJ_COS_6);
    lanes_f32 e0 = add_f32(t0, t3), e1 = add_f32(t1, t2), e2 = sub_f32(t1, t2), e3 = sub_f32(t0, t3);
    lanes_f32 odd[4] = { x[1], x[3], x[5], x[7] };
    lanes_f32 o0 = nj_dot4_f32(odd, NJ_COS_1, NJ_COS_3, NJ_COS_5, NJ_COS_7);
    lanes_f32 o1 = nj_dot4_f32(odd, NJ_COS_3, -NJ_COS_7, -NJ_COS_1, -NJ_COS_5);
    lanes_f32 o2 = nj_dot4_f32(odd, NJ_COS_5, -NJ_COS_1, NJ_COS_7, NJ_COS_3);
    lanes_f32 o3 = nj_dot4_f32(odd, NJ_COS_7, -NJ_COS_5, NJ_COS_3, -NJ_COS_1);
    x[0] = add_f32(e0, o0);
    x[7] = sub_f32(e0, o0);
    x[1] = add_f32(e1, o1);
    x[6] = sub_f32(e1, o1);
    x[2] = add_f32(e2, o2);
    x[5] = sub_f32(e2, o2);
    x[3] = add_f32(e3, o3);
    x[4] = sub_f32(e3, o3);
}

/* A sample in 0..1 to its place in -128..127, and back, where it is clamped. What lies outside 0..1, infinities too,
 * counts as the nearer end; NaN stays NaN. */
NJ_INLINE lanes_f32 nj_from_unit(lanes_f32 x)
{
    return madd_f32(clamp_f32(x, 0.0f, 1.0f), set_f32(255.0f), set_f32(-128.0f));
}

NJ_INLINE lanes_f32 nj_to_unit(lanes_f32 x)
{
    return clamp_f32(madd_f32(x, set_f32(1.0f / 255.0f), set_f32(128.0f / 255.0f)), 0.0f, 1.0f);
}

/* A sample in 0..1 to the nearest byte n, where n / 255 stands; ties go up, NaN to 0. In two roundings on every machine
 * (nobody may fuse them), so that all devices agree. */
NJ_INLINE uint8_t nj_to_byte(float x)
{
    float scaled = (x > 0.0f ? x < 1.0f ? x : 1.0f : 0.0f) * 255.0f;
    return (uint8_t)(int)(scaled + 0.5f);
}

/* How a coefficient c is rounded to multiples of its step q: to the nearest; or u -> round(u) + (u - round(u))^3, which
 * has a derivative everywhere but half way between (Shin and Song, 2017). */
typedef enum nj_rounding { NJ_NEAREST, NJ_CUBIC } nj_rounding;

/* What 1 / q is multiplied with. The integers round half a step away from zero; here a coefficient half way between is off
 * by rounding errors, to either side, and goes away from zero too if it is enlarged by more than these. (Flat blocks are
 * such: their one coefficient is eight times an integer.) */
#define NJ_TIE (1.0f + 1.0f / 65536.0f)

/* reciprocal: NJ_TIE / q. */
NJ_INLINE lanes_f32 nj_requantize_f32(lanes_f32 c, lanes_f32 step, lanes_f32 reciprocal, nj_rounding rounding)
{
    lanes_f32 u = mul_f32(c, reciprocal), n = round_f32(u);
    if (rounding == NJ_CUBIC) {
        lanes_f32 r = sub_f32(u, n);
        n = madd_f32(mul_f32(r, r), r, n);
    }
    return mul_f32(n, step);
}

#if defined(NJ_CONVERTS_F32)
/* nj_quantize and nj_dequantize in one, for machines that convert between integers and floats as fast as they multiply.
 * scaled_step: 16 q; reciprocal: NJ_ABOVE_ONE / 8q, rounded to float. Exact for |c| <= 8192: the product of c and the
 * reciprocal exceeds c / 8q in magnitude, by at least 2^-21 and at most 2^-19.8 of it. The first is enough that a quotient
 * half way between, and only such a one, goes away from zero: another is at least 1 / 8q short of half way, which is more
 * than 8192 / 8q * 2^-19.8. */
#define NJ_ABOVE_ONE (1.0f + 1.0f / 1048576.0f)

NJ_INLINE lanes16 nj_requantize_by_f32(lanes16 c, int scaled_step, float reciprocal)
{
    return int_from_f32(f32_from_int(c) * reciprocal) * scaled_step;
}
#endif

/* The derivative of the cubic rounding: 3 (u - round(u))^2. */
NJ_INLINE lanes_f32 nj_cubic_slope(lanes_f32 c, lanes_f32 reciprocal)
{
    lanes_f32 u = mul_f32(c, reciprocal), r = sub_f32(u, round_f32(u));
    return mul_f32(mul_f32(r, r), set_f32(3.0f));
}

/* The derivative of q r(c / q) by the step q: r - u r' at u = c / q, where r is the rounding, and r' is its derivative, for NJ_NEAREST
 * 1, as if there were no rounding. */
NJ_INLINE lanes_f32 nj_step_slope(lanes_f32 c, lanes_f32 reciprocal, nj_rounding rounding)
{
    lanes_f32 u = mul_f32(c, reciprocal), n = round_f32(u), r = sub_f32(u, n);
    if (rounding == NJ_NEAREST)
        return sub_f32(n, u);
    return madd_f32(mul_f32(r, r), sub_f32(r, mul_f32(u, set_f32(3.0f))), n);
}

/* JFIF colour without roundings, on samples less 128: Y, Cb, Cr come out less 128 too. */
#define NJ_KR 0.299f
#define NJ_KG 0.587f
#define NJ_KB 0.114f
#define NJ_CR_TO_R 1.402f
#define NJ_CB_TO_B 1.772f
#define NJ_CR_TO_G (-0.714136286f)
#define NJ_CB_TO_G (-0.344136286f)

NJ_INLINE lanes_f32 nj_dot3_f32(const lanes_f32 x[3], float c0, float c1, float c2)
{
    return madd_f32(x[0], set_f32(c0), nj_dot2_f32(x[1], c1, x[2], c2));
}

NJ_INLINE void nj_rgb_to_ycbcr_f32(lanes_f32 x[3])
{
    lanes_f32 y = nj_dot3_f32(x, NJ_KR, NJ_KG, NJ_KB);
    x[1] = mul_f32(sub_f32(x[2], y), set_f32(1.0f / NJ_CB_TO_B));
    x[2] = mul_f32(sub_f32(x[0], y), set_f32(1.0f / NJ_CR_TO_R));
    x[0] = y;
}

NJ_INLINE void nj_ycbcr_to_rgb_f32(lanes_f32 x[3])
{
    lanes_f32 y = x[0], cb = x[1], cr = x[2];
    x[0] = madd_f32(cr, set_f32(NJ_CR_TO_R), y);
    x[1] = madd_f32(cb, set_f32(NJ_CB_TO_G), madd_f32(cr, set_f32(NJ_CR_TO_G), y));
    x[2] = madd_f32(cb, set_f32(NJ_CB_TO_B), y);
}

/* Their transposes, for gradients. */
NJ_INLINE void nj_rgb_to_ycbcr_transposed(lanes_f32 g[3])
{
    lanes_f32 blue = mul_f32(g[1], set_f32(1.0f / NJ_CB_TO_B)), red = mul_f32(g[2], set_f32(1.0f / NJ_CR_TO_R));
    lanes_f32 y = sub_f32(g[0], add_f32(blue, red));
    g[0] = madd_f32(y, set_f32(NJ_KR), red);
    g[1] = mul_f32(y, set_f32(NJ_KG));
    g[2] = madd_f32(y, set_f32(NJ_KB), blue);
}

NJ_INLINE void nj_ycbcr_to_rgb_transposed(lanes_f32 g[3])
{
    lanes_f32 r = g[0], gr = g[1], b = g[2];
    g[0] = add_f32(r, add_f32(gr, b));
    g[1] = nj_dot2_f32(gr, NJ_CB_TO_G, b, NJ_CB_TO_B);
    g[2] = nj_dot2_f32(gr, NJ_CR_TO_G, r, NJ_CR_TO_R);
}

/* Chroma subsampling, as block.h's: the mean of h * v samples, and the triangle filter. Their transposes spread a gradient by
 * the same weights. */
NJ_INLINE lanes_f32 nj_triangle_f32(lanes_f32 near, lanes_f32 far)
{
    return madd_f32(near, set_f32(0.75f), mul_f32(far, set_f32(0.25f)));
}

#endif
