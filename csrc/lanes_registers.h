/* Cells of 32 bits in one register `reg`: what lanes of this kind derive from their few instructions. A lanes16 is a register too.
 * Included by lanes_<kind>.h after
 *
 *     set16 add16 sub16 mul16 mulhi16 shl16 sra16 clamp16, set_sums add_sums sub_sums dot_cells firsts seconds cells_of
 *                                      as block.h and runs.h want them, of registers
 *     spread_cells(p)                  the cell p[0], p[1] for all
 *     zip16lo(x, y), zip16hi(x, y)     numbers of both in turn, from their lower, or upper, halves; of AVX of each 128 bits
 */
#ifndef NNJPEG_LANES_REGISTERS_H
#define NNJPEG_LANES_REGISTERS_H

typedef reg lanes16;
typedef reg cells16;
typedef reg sums32;
typedef reg uppers16;
typedef struct lanes32 {
    reg lo, hi;
} lanes32;
typedef struct pairs16 {
    reg lo, hi;
} pairs16;

NJ_INLINE cells16 add_cells(cells16 x, cells16 y) { return add16(x, y); }
NJ_INLINE cells16 sub_cells(cells16 x, cells16 y) { return sub16(x, y); }
NJ_INLINE cells16 shl_cells(cells16 x, int n) { return shl16(x, n); }
NJ_INLINE cells16 sra_cells(cells16 x, int n) { return sra16(x, n); }
NJ_INLINE cells16 mul_cells(cells16 x, const uint16_t p[2]) { return mul16(x, spread_cells(p)); }
NJ_INLINE cells16 mulhi_cells(cells16 x, const uint16_t p[2]) { return mulhi16(x, spread_cells(p)); }
#if defined(NJ_SLOW_MULHRS)
NJ_INLINE cells16 plus_cells(cells16 x, const uint16_t p[2]) { return add16(x, spread_cells(p)); }
/* (4a * b) >> 16 is (a * b) >> 14; a bit is left to round. */
NJ_INLINE lanes16 mulhrs16(lanes16 a, lanes16 b) { return sra16(add16(mulhi16(shl16(a, 2), b), set16(1)), 1); }
#else
NJ_INLINE cells16 mulhrs_cells(cells16 x, const uint16_t p[2]) { return mulhrs16(x, spread_cells(p)); }
#endif
NJ_INLINE sums32 dot_cells_add(sums32 sum, cells16 p, int ca, int cb)
{
#if defined(NJ_DOT_ADD)
    return NJ_DOT_ADD(sum, p, constants(ca, cb));
#else
    return add_sums(sum, dot_cells(p, ca, cb));
#endif
}
NJ_INLINE uppers16 upper(sums32 x) { return x; }
NJ_INLINE uppers16 upper_of_sum(cells16 p, int start, int n)
{
    return dot_cells_add(set_sums(start * (1 << (16 - n))), p, 1 << (16 - n), 1 << (16 - n));
}
NJ_INLINE uppers16 upper_of_difference(cells16 p, int start, int n)
{
    return dot_cells_add(set_sums(start * (1 << (16 - n))), p, 1 << (16 - n), -(1 << (16 - n)));
}
NJ_INLINE cells16 clamp_cells(cells16 x) { return clamp16(x); }
NJ_INLINE void convert_cells(cells16 x[3], void (*transform)(lanes16 x[3])) { transform(x); }

NJ_INLINE pairs16 pair16(lanes16 a, lanes16 b)
{
    pairs16 p = { zip16lo(a, b), zip16hi(a, b) };
    return p;
}
NJ_INLINE lanes32 set32(int c)
{
    lanes32 x = { set_sums(c), set_sums(c) };
    return x;
}
NJ_INLINE lanes32 dot2_add(lanes32 sum, pairs16 p, int ca, int cb)
{
    lanes32 x = { dot_cells_add(sum.lo, p.lo, ca, cb), dot_cells_add(sum.hi, p.hi, ca, cb) };
    return x;
}

#endif
