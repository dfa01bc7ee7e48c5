/* Lanes for any C compiler: one block a lane, in plain integers. Loops over blocks around these functions are what
 * the compiler's vectorizer knows best; the 16-bit types tell it how little each step needs. */
#ifndef NNJPEG_LANES_GENERIC_H
#define NNJPEG_LANES_GENERIC_H

#include <stdint.h>

#include "inline.h"

typedef int16_t lanes16;
typedef int32_t lanes32;
typedef struct pairs16 {
    int16_t a, b;
} pairs16;

NJ_INLINE lanes16 set16(int c) { return (int16_t)c; }
NJ_INLINE lanes16 spread16(const uint16_t p[2]) { return (int16_t)p[0]; }
NJ_INLINE lanes16 add16(lanes16 a, lanes16 b) { return (int16_t)(a + b); }
NJ_INLINE lanes16 sub16(lanes16 a, lanes16 b) { return (int16_t)(a - b); }
NJ_INLINE lanes16 mul16(lanes16 a, lanes16 b) { return (int16_t)(a * b); }
NJ_INLINE lanes16 shl16(lanes16 x, int n) { return (int16_t)(x * (1 << n)); }
NJ_INLINE lanes16 sra16(lanes16 x, int n) { return (int16_t)(x >> n); }
NJ_INLINE lanes16 negate16_where_negative(lanes16 x, lanes16 sign)
{
    int16_t mask = (int16_t)(sign >> 15);
    return (int16_t)((x ^ mask) - mask);
}
NJ_INLINE lanes16 abs16(lanes16 x) { return negate16_where_negative(x, x); }
NJ_INLINE lanes16 mulhi_u16(lanes16 a, lanes16 b)
{
    return (int16_t)(((uint32_t)(uint16_t)a * (uint32_t)(uint16_t)b) >> 16);
}
NJ_INLINE lanes16 clamp16(lanes16 x) { return (int16_t)(x < 0 ? 0 : x > 255 ? 255 : x); }
NJ_INLINE lanes16 mulhi_s16(lanes16 a, lanes16 b) { return (int16_t)((a * b) >> 16); }
NJ_INLINE pairs16 pair16(lanes16 a, lanes16 b)
{
    pairs16 p = { a, b };
    return p;
}
NJ_INLINE lanes32 set32(int32_t c) { return c; }
NJ_INLINE lanes32 add32(lanes32 a, lanes32 b) { return a + b; }
NJ_INLINE lanes32 sub32(lanes32 a, lanes32 b) { return a - b; }
NJ_INLINE lanes32 dot2(pairs16 p, int ca, int cb) { return p.a * ca + p.b * cb; }
NJ_INLINE lanes32 dot2_add(lanes32 sum, pairs16 p, int ca, int cb) { return sum + p.a * ca + p.b * cb; }
NJ_INLINE lanes16 narrow(lanes32 x, int n) { return (int16_t)(x >> n); }

#include "lanes_f32.h"

#endif
