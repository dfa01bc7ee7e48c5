/* Registers of 128 bits by SSE2, which every CPU of x86-64 has, for lanes_generic.h. */
#ifndef NNJPEG_LANES_SSE2_H
#define NNJPEG_LANES_SSE2_H

#include <emmintrin.h>
#include <string.h>

typedef __m128i reg;
#define MM(name) _mm_##name
#define BITS(name) _mm_##name##_si128
#define NJ_SLOW_MULHRS

NJ_INLINE reg blend_seconds(reg x, reg y)
{
    const reg second = _mm_set1_epi32((int)0xffff0000);
    return _mm_or_si128(_mm_andnot_si128(second, x), _mm_and_si128(second, y));
}

#include "lanes_x86.h"

NJ_INLINE lanes16 narrow(lanes32 x) { return _mm_packs_epi32(_mm_srai_epi32(x.lo, 16), _mm_srai_epi32(x.hi, 16)); }
NJ_INLINE reg load_bytes(const void *p) { return _mm_loadu_si128(p); }
NJ_INLINE void store_bytes(void *p, reg x) { _mm_storeu_si128(p, x); }
NJ_INLINE reg zip8lo(reg a, reg b) { return _mm_unpacklo_epi8(a, b); }
NJ_INLINE reg zip8hi(reg a, reg b) { return _mm_unpackhi_epi8(a, b); }
NJ_INLINE reg zip32lo(reg a, reg b) { return _mm_unpacklo_epi32(a, b); }
NJ_INLINE reg zip32hi(reg a, reg b) { return _mm_unpackhi_epi32(a, b); }
NJ_INLINE reg zip64lo(reg a, reg b) { return _mm_unpacklo_epi64(a, b); }
NJ_INLINE reg zip64hi(reg a, reg b) { return _mm_unpackhi_epi64(a, b); }
NJ_INLINE reg even_bytes(reg x) { return _mm_and_si128(x, _mm_set1_epi16(0xff)); }
NJ_INLINE reg odd_bytes(reg x) { return _mm_srli_epi16(x, 8); }
NJ_INLINE reg widen_lo(reg x) { return _mm_unpacklo_epi8(x, _mm_setzero_si128()); }
NJ_INLINE reg widen_hi(reg x) { return _mm_unpackhi_epi8(x, _mm_setzero_si128()); }
NJ_INLINE reg clamped_bytes(reg a, reg b) { return _mm_packus_epi16(a, b); }
NJ_INLINE reg with_fourths(reg x, reg y)
{
    const reg fourth = _mm_set1_epi32((int)0xff000000);
    return _mm_or_si128(_mm_andnot_si128(fourth, x), _mm_and_si128(fourth, y));
}
NJ_INLINE reg swap_cells(reg x) { return _mm_shufflehi_epi16(_mm_shufflelo_epi16(x, 0xb1), 0xb1); }

#endif
