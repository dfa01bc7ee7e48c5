/* Registers of 128 bits in C, for lanes_generic.h: by the vectors of GCC and clang, which become whatever the CPU has; in loops for
 * other compilers, and where a number's upper half comes first in memory. */
#ifndef NNJPEG_LANES_VECTORS_H
#define NNJPEG_LANES_VECTORS_H

#include <string.h>

#define NJ_SLOW_MULHRS

#if defined(__GNUC__) && defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

typedef int16_t reg __attribute__((vector_size(16)));
typedef uint8_t bytes8 __attribute__((vector_size(16)));
typedef uint16_t unsigned16 __attribute__((vector_size(16)));
typedef int32_t signed32 __attribute__((vector_size(16)));
typedef uint32_t unsigned32 __attribute__((vector_size(16)));
typedef uint64_t unsigned64 __attribute__((vector_size(16)));

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(type, a, b, ...) ((reg)__builtin_shufflevector((type)(a), (type)(b), __VA_ARGS__))
#else
#define SHUFFLE(type, a, b, ...) ((reg)__builtin_shuffle((type)(a), (type)(b), (type){ __VA_ARGS__ }))
#endif

NJ_INLINE reg set16(int c) { return (reg){ 0 } + (int16_t)c; }
NJ_INLINE reg add16(reg a, reg b) { return (reg)((unsigned16)a + (unsigned16)b); }
NJ_INLINE reg sub16(reg a, reg b) { return (reg)((unsigned16)a - (unsigned16)b); }
NJ_INLINE reg mul16(reg a, reg b) { return (reg)((unsigned16)a * (unsigned16)b); }
NJ_INLINE reg shl16(reg x, int n) { return (reg)((unsigned16)x << n); }
NJ_INLINE reg sra16(reg x, int n) { return x >> n; }
NJ_INLINE reg clamp16(reg x)
{
    const reg most = (reg){ 0 } + 255, above = x > most;
    return (x & ~(x >> 15) & ~above) | (most & above);
}
NJ_INLINE reg spread_cells(const uint16_t p[2])
{
    uint32_t both;
    memcpy(&both, p, sizeof both);
    return (reg)((unsigned32){ 0 } + both);
}
NJ_INLINE reg set_sums(int32_t c) { return (reg)((signed32){ 0 } + c); }
NJ_INLINE reg add_sums(reg x, reg y) { return (reg)((unsigned32)x + (unsigned32)y); }
NJ_INLINE reg sub_sums(reg x, reg y) { return (reg)((unsigned32)x - (unsigned32)y); }
/* The numbers of each cell, in 32 bits. */
NJ_INLINE signed32 first(reg x) { return (signed32)((unsigned32)x << 16) >> 16; }
NJ_INLINE signed32 second(reg x) { return (signed32)x >> 16; }
NJ_INLINE reg dot_cells(reg p, int ca, int cb) { return (reg)(first(p) * ca + second(p) * cb); }
NJ_INLINE reg blend_seconds(reg x, reg y)
{
    return (reg)(((unsigned32)x & 0xffffu) | ((unsigned32)y & 0xffff0000u));
}
NJ_INLINE reg firsts(reg x, reg y) { return (reg)(((unsigned32)x & 0xffffu) | ((unsigned32)y << 16)); }
NJ_INLINE reg seconds(reg x, reg y) { return (reg)(((unsigned32)x >> 16) | ((unsigned32)y & 0xffff0000u)); }
NJ_INLINE reg cells_of(reg x, reg y) { return seconds(x, y); }
/* The upper halves of all, as numbers side by side. */
NJ_INLINE reg pack_uppers(reg x, reg y) { return SHUFFLE(unsigned16, x, y, 1, 3, 5, 7, 9, 11, 13, 15); }
NJ_INLINE reg mulhi16(reg a, reg b) { return seconds((reg)(first(a) * first(b)), (reg)(second(a) * second(b))); }
NJ_INLINE reg swap_cells(reg x) { return (reg)((unsigned32)x << 16 | (unsigned32)x >> 16); }
NJ_INLINE reg with_fourths(reg x, reg y) { return (reg)(((unsigned32)x & 0xffffffu) | ((unsigned32)y & 0xff000000u)); }
NJ_INLINE reg even_bytes(reg x) { return x & 0xff; }
NJ_INLINE reg odd_bytes(reg x) { return (reg)((unsigned16)x >> 8); }
NJ_INLINE reg zip8lo(reg a, reg b) { return SHUFFLE(bytes8, a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23); }
NJ_INLINE reg zip8hi(reg a, reg b)
{
    return SHUFFLE(bytes8, a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
NJ_INLINE reg zip16lo(reg a, reg b) { return SHUFFLE(unsigned16, a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
NJ_INLINE reg zip16hi(reg a, reg b) { return SHUFFLE(unsigned16, a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
NJ_INLINE reg zip32lo(reg a, reg b) { return SHUFFLE(unsigned32, a, b, 0, 4, 1, 5); }
NJ_INLINE reg zip32hi(reg a, reg b) { return SHUFFLE(unsigned32, a, b, 2, 6, 3, 7); }
NJ_INLINE reg zip64lo(reg a, reg b) { return SHUFFLE(unsigned64, a, b, 0, 2); }
NJ_INLINE reg zip64hi(reg a, reg b) { return SHUFFLE(unsigned64, a, b, 1, 3); }
NJ_INLINE reg widen_lo(reg x) { return zip8lo(x, set16(0)); }
NJ_INLINE reg widen_hi(reg x) { return zip8hi(x, set16(0)); }
NJ_INLINE reg clamped_bytes(reg a, reg b)
{
    return SHUFFLE(bytes8, clamp16(a), clamp16(b), 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}

#else

typedef union reg {
    uint8_t bytes[16];
    int16_t numbers[8];
    int32_t words[4];
    uint64_t halves[2];
} reg;

/* z, each of whose so many parts is an expression of k. */
#define EACH(part, count, expression)   \
    reg z;                              \
    int k;                              \
    for (k = 0; k < (count); k++)       \
        z.part[k] = (expression);       \
    return z

NJ_INLINE reg set16(int c) { EACH(numbers, 8, (int16_t)c); }
NJ_INLINE reg add16(reg a, reg b) { EACH(numbers, 8, (int16_t)(a.numbers[k] + b.numbers[k])); }
NJ_INLINE reg sub16(reg a, reg b) { EACH(numbers, 8, (int16_t)(a.numbers[k] - b.numbers[k])); }
NJ_INLINE reg mul16(reg a, reg b) { EACH(numbers, 8, (int16_t)(a.numbers[k] * b.numbers[k])); }
NJ_INLINE reg mulhi16(reg a, reg b) { EACH(numbers, 8, (int16_t)((a.numbers[k] * b.numbers[k]) >> 16)); }
NJ_INLINE reg shl16(reg x, int n) { EACH(numbers, 8, (int16_t)(x.numbers[k] * (1 << n))); }
NJ_INLINE reg sra16(reg x, int n) { EACH(numbers, 8, (int16_t)(x.numbers[k] >> n)); }
NJ_INLINE reg clamp16(reg x) { EACH(numbers, 8, (int16_t)(x.numbers[k] < 0 ? 0 : x.numbers[k] > 255 ? 255 : x.numbers[k])); }
NJ_INLINE reg spread_cells(const uint16_t p[2]) { EACH(numbers, 8, (int16_t)p[k % 2]); }
NJ_INLINE reg set_sums(int32_t c) { EACH(words, 4, c); }
NJ_INLINE reg add_sums(reg x, reg y) { EACH(words, 4, x.words[k] + y.words[k]); }
NJ_INLINE reg sub_sums(reg x, reg y) { EACH(words, 4, x.words[k] - y.words[k]); }
NJ_INLINE reg dot_cells(reg p, int ca, int cb) { EACH(words, 4, p.numbers[2 * k] * ca + p.numbers[2 * k + 1] * cb); }
NJ_INLINE reg blend_seconds(reg x, reg y) { EACH(numbers, 8, k % 2 ? y.numbers[k] : x.numbers[k]); }
NJ_INLINE reg firsts(reg x, reg y) { EACH(numbers, 8, k % 2 ? y.numbers[k - 1] : x.numbers[k]); }
NJ_INLINE reg seconds(reg x, reg y) { EACH(numbers, 8, k % 2 ? y.numbers[k] : x.numbers[k + 1]); }
NJ_INLINE reg cells_of(reg x, reg y) { EACH(numbers, 8, (int16_t)((k % 2 ? y : x).words[k / 2] >> 16)); }
NJ_INLINE reg pack_uppers(reg x, reg y) { EACH(numbers, 8, (int16_t)((k < 4 ? x : y).words[k % 4] >> 16)); }
NJ_INLINE reg swap_cells(reg x) { EACH(numbers, 8, x.numbers[k ^ 1]); }
NJ_INLINE reg with_fourths(reg x, reg y) { EACH(bytes, 16, (k % 4 == 3 ? y : x).bytes[k]); }
NJ_INLINE reg even_bytes(reg x) { EACH(numbers, 8, x.bytes[2 * k]); }
NJ_INLINE reg odd_bytes(reg x) { EACH(numbers, 8, x.bytes[2 * k + 1]); }
NJ_INLINE reg zip8lo(reg a, reg b) { EACH(bytes, 16, (k % 2 ? b : a).bytes[k / 2]); }
NJ_INLINE reg zip8hi(reg a, reg b) { EACH(bytes, 16, (k % 2 ? b : a).bytes[8 + k / 2]); }
NJ_INLINE reg zip16lo(reg a, reg b) { EACH(numbers, 8, (k % 2 ? b : a).numbers[k / 2]); }
NJ_INLINE reg zip16hi(reg a, reg b) { EACH(numbers, 8, (k % 2 ? b : a).numbers[4 + k / 2]); }
NJ_INLINE reg zip32lo(reg a, reg b) { EACH(words, 4, (k % 2 ? b : a).words[k / 2]); }
NJ_INLINE reg zip32hi(reg a, reg b) { EACH(words, 4, (k % 2 ? b : a).words[2 + k / 2]); }
NJ_INLINE reg zip64lo(reg a, reg b) { EACH(halves, 2, (k ? b : a).halves[0]); }
NJ_INLINE reg zip64hi(reg a, reg b) { EACH(halves, 2, (k ? b : a).halves[1]); }
NJ_INLINE reg widen_lo(reg x) { EACH(numbers, 8, x.bytes[k]); }
NJ_INLINE reg widen_hi(reg x) { EACH(numbers, 8, x.bytes[8 + k]); }
NJ_INLINE reg clamped_bytes(reg a, reg b)
{
    const reg x = clamp16(a), y = clamp16(b);
    EACH(bytes, 16, (uint8_t)(k < 8 ? x : y).numbers[k % 8]);
}
#undef EACH

#endif

NJ_INLINE reg load_bytes(const void *p)
{
    reg x;
    memcpy(&x, p, sizeof x);
    return x;
}
NJ_INLINE void store_bytes(void *p, reg x) { memcpy(p, &x, sizeof x); }

#include "lanes_registers.h"

NJ_INLINE lanes16 narrow(lanes32 x) { return pack_uppers(x.lo, x.hi); }

#endif
