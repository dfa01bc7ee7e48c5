/* Lanes for any C compiler: one block a lane, in plain integers. Loops over blocks around these functions are what
 * the compiler's vectorizer knows best; the 16-bit types tell it how little each step needs. */
#ifndef NNJPEG_LANES_GENERIC_H
#define NNJPEG_LANES_GENERIC_H

#include <stddef.h>
#include <stdint.h>

#include "inline.h"

typedef int16_t lanes16;
typedef int32_t lanes32;
typedef struct pairs16 {
    int16_t a, b;
} pairs16;

NJ_INLINE lanes16 set16(int c) { return (int16_t)c; }
NJ_INLINE lanes16 add16(lanes16 a, lanes16 b) { return (int16_t)(a + b); }
NJ_INLINE lanes16 sub16(lanes16 a, lanes16 b) { return (int16_t)(a - b); }
NJ_INLINE lanes16 mul16(lanes16 a, lanes16 b) { return (int16_t)(a * b); }
NJ_INLINE lanes16 shl16(lanes16 x, int n) { return (int16_t)(x * (1 << n)); }
NJ_INLINE lanes16 sra16(lanes16 x, int n) { return (int16_t)(x >> n); }
NJ_INLINE lanes16 clamp16(lanes16 x) { return (int16_t)(x < 0 ? 0 : x > 255 ? 255 : x); }
NJ_INLINE lanes16 mulhi16(lanes16 a, lanes16 b) { return (int16_t)((a * b) >> 16); }
NJ_INLINE lanes16 mulhrs16(lanes16 a, lanes16 b) { return (int16_t)((a * b + (1 << 14)) >> 15); }
/* What compilers assume of a CPU has no instruction for it. */
#define NJ_SLOW_MULHRS
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
NJ_INLINE lanes16 narrow(lanes32 x) { return (int16_t)(x >> 16); }

#include "lanes_cells.h"

NJ_INLINE cells16 mul_cells(cells16 x, const uint16_t p[2]) { return pair16(mul16(x.a, set16(p[0])), mul16(x.b, set16(p[1]))); }
NJ_INLINE cells16 mulhi_cells(cells16 x, const uint16_t p[2])
{
    return pair16(mulhi16(x.a, set16(p[0])), mulhi16(x.b, set16(p[1])));
}
NJ_INLINE cells16 plus_cells(cells16 x, const uint16_t p[2]) { return pair16(add16(x.a, set16(p[0])), add16(x.b, set16(p[1]))); }

/* Rows of pixels: see rows.h. */
enum { NJ_STEP = 2 };

typedef struct lanes16x2 {
    lanes16 even, odd;
} lanes16x2;

NJ_INLINE lanes16x2 load_samples(const uint8_t *p)
{
    lanes16x2 x = { p[0], p[1] };
    return x;
}
NJ_INLINE void store_samples(uint8_t *p, lanes16x2 x)
{
    p[0] = (uint8_t)clamp16(x.even);
    p[1] = (uint8_t)clamp16(x.odd);
}
NJ_INLINE void load_pixels_of(const uint8_t *p, lanes16x2 *x, int size)
{
    int c;
    for (c = 0; c < size; c++) {
        x[c].even = p[c];
        x[c].odd = p[size + c];
    }
}
NJ_INLINE void store_pixels_of(uint8_t *p, const lanes16x2 *x, int size)
{
    int c;
    for (c = 0; c < size; c++) {
        p[c] = (uint8_t)clamp16(x[c].even);
        p[size + c] = (uint8_t)clamp16(x[c].odd);
    }
}
NJ_INLINE void load_pixels3(const uint8_t *p, lanes16x2 *x) { load_pixels_of(p, x, 3); }
NJ_INLINE void load_pixels4(const uint8_t *p, lanes16x2 *x) { load_pixels_of(p, x, 4); }
NJ_INLINE void store_pixels3(uint8_t *p, const lanes16x2 *x) { store_pixels_of(p, x, 3); }
NJ_INLINE void store_pixels4(uint8_t *p, const lanes16x2 *x) { store_pixels_of(p, x, 4); }
NJ_INLINE lanes16 load_consecutive(const uint8_t *p) { return *p; }
NJ_INLINE void store_consecutive(uint8_t *p, lanes16 x) { *p = (uint8_t)x; }
NJ_INLINE lanes16x2 even_odd(lanes16 a, lanes16 b)
{
    lanes16x2 x = { a, b };
    return x;
}
NJ_INLINE lanes16 load16(const int16_t *p) { return *p; }
NJ_INLINE void store16(int16_t *p, lanes16 x) { *p = x; }
NJ_INLINE lanes16 alternate16(int even, int odd, ptrdiff_t first) { return (int16_t)(first % 2 ? odd : even); }

#include "lanes_f32.h"

#endif
