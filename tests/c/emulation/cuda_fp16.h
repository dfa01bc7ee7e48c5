/* IEEE half precision by its definition. */
#ifndef EMULATED_CUDA_FP16_H
#define EMULATED_CUDA_FP16_H

#include <cmath>

struct __half {
    unsigned short bits;
};

static inline __half __ushort_as_half(unsigned short bits) { return __half{ bits }; }
static inline unsigned short __half_as_ushort(__half x) { return x.bits; }

static inline float __half2float(__half x)
{
    const int exponent = x.bits >> 10 & 31, fraction = x.bits & 1023;
    const float sign = x.bits >> 15 ? -1.0f : 1.0f;
    if (exponent == 31)
        return fraction ? NAN : sign * INFINITY;
    return exponent ? sign * std::ldexp(1.0f + (float)fraction / 1024.0f, exponent - 15)
                    : sign * std::ldexp((float)fraction, -24);
}

/* To the nearest, ties to even. */
static inline __half __float2half_rn(float x)
{
    const unsigned short sign = std::signbit(x) ? 0x8000 : 0;
    const float magnitude = std::fabs(x);
    int exponent;
    if (std::isnan(x))
        return __half{ 0x7fff };
    if (magnitude >= 65520.0f)
        return __half{ (unsigned short)(sign | 0x7c00) };
    std::frexp(magnitude, &exponent);
    exponent = magnitude == 0.0f || exponent < -13 ? -13 : exponent; /* subnormal numbers share the least */
    const int steps = (int)std::nearbyint(std::ldexp(magnitude, 11 - exponent));
    return __half{ (unsigned short)(sign | (steps + ((exponent + 13) << 10))) };
}

#endif
