/* What instruction sets of x86-64 share of lanes: the same instructions on registers of 128 (SSE2), 256 and 512 bits. Included by
 * files that define the register `reg`, MM(name) for the intrinsic of a name, BITS(name) for one that ends in the width, and
 * blend_seconds(x, y), cells of x's first numbers and y's second ones. */
#ifndef NNJPEG_LANES_X86_H
#define NNJPEG_LANES_X86_H

NJ_INLINE reg set16(int c) { return MM(set1_epi16)((short)c); }
NJ_INLINE reg add16(reg a, reg b) { return MM(add_epi16)(a, b); }
NJ_INLINE reg sub16(reg a, reg b) { return MM(sub_epi16)(a, b); }
NJ_INLINE reg mul16(reg a, reg b) { return MM(mullo_epi16)(a, b); }
NJ_INLINE reg mulhi16(reg a, reg b) { return MM(mulhi_epi16)(a, b); }
#if !defined(NJ_SLOW_MULHRS)
NJ_INLINE reg mulhrs16(reg a, reg b) { return MM(mulhrs_epi16)(a, b); }
#endif
NJ_INLINE reg shl16(reg x, int n) { return MM(slli_epi16)(x, n); }
NJ_INLINE reg sra16(reg x, int n) { return MM(srai_epi16)(x, n); }
NJ_INLINE reg clamp16(reg x) { return MM(min_epi16)(MM(max_epi16)(x, BITS(setzero)()), MM(set1_epi16)(255)); }
NJ_INLINE reg zip16lo(reg a, reg b) { return MM(unpacklo_epi16)(a, b); }
NJ_INLINE reg zip16hi(reg a, reg b) { return MM(unpackhi_epi16)(a, b); }
NJ_INLINE reg constants(int ca, int cb) { return MM(set1_epi32)((int)((uint32_t)cb << 16 | (uint16_t)ca)); }
NJ_INLINE reg spread_cells(const uint16_t p[2])
{
    int both;
    memcpy(&both, p, sizeof both);
    return MM(set1_epi32)(both);
}
NJ_INLINE reg set_sums(int c) { return MM(set1_epi32)(c); }
NJ_INLINE reg add_sums(reg x, reg y) { return MM(add_epi32)(x, y); }
NJ_INLINE reg sub_sums(reg x, reg y) { return MM(sub_epi32)(x, y); }
NJ_INLINE reg dot_cells(reg p, int ca, int cb) { return MM(madd_epi16)(p, constants(ca, cb)); }
NJ_INLINE reg firsts(reg x, reg y) { return blend_seconds(x, MM(slli_epi32)(y, 16)); }
NJ_INLINE reg seconds(reg x, reg y) { return blend_seconds(MM(srli_epi32)(x, 16), y); }
NJ_INLINE reg cells_of(reg x, reg y) { return seconds(x, y); }

#include "lanes_registers.h"

#endif
