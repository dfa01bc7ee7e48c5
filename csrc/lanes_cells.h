/* Cells as pairs of lanes16, for lanes without a multiply-add of neighbours: a dot product is a product for each number of a cell.
 * Included by lanes_<kind>.h after lanes16, lanes32 and pairs16 with their functions as block.h names them, and shl16(x, n), add32,
 * sub32 and dot2(p, ca, cb). */
#ifndef NNJPEG_LANES_CELLS_H
#define NNJPEG_LANES_CELLS_H

typedef pairs16 cells16;
typedef lanes32 sums32;
typedef lanes16 uppers16;

NJ_INLINE cells16 add_cells(cells16 x, cells16 y) { return pair16(add16(x.a, y.a), add16(x.b, y.b)); }
NJ_INLINE cells16 sub_cells(cells16 x, cells16 y) { return pair16(sub16(x.a, y.a), sub16(x.b, y.b)); }
NJ_INLINE cells16 shl_cells(cells16 x, int n) { return pair16(shl16(x.a, n), shl16(x.b, n)); }
NJ_INLINE cells16 sra_cells(cells16 x, int n) { return pair16(sra16(x.a, n), sra16(x.b, n)); }
NJ_INLINE sums32 set_sums(int32_t c) { return set32(c); }
NJ_INLINE sums32 add_sums(sums32 x, sums32 y) { return add32(x, y); }
NJ_INLINE sums32 sub_sums(sums32 x, sums32 y) { return sub32(x, y); }
NJ_INLINE sums32 dot_cells(cells16 p, int ca, int cb) { return dot2(p, ca, cb); }
NJ_INLINE sums32 dot_cells_add(sums32 sum, cells16 p, int ca, int cb) { return dot2_add(sum, p, ca, cb); }
NJ_INLINE uppers16 upper(sums32 x) { return narrow(x); }
NJ_INLINE uppers16 upper_of_sum(cells16 p, int start, int n) { return sra16(add16(p.a, add16(p.b, set16(start))), n); }
NJ_INLINE uppers16 upper_of_difference(cells16 p, int start, int n) { return sra16(add16(sub16(p.a, p.b), set16(start)), n); }
NJ_INLINE cells16 cells_of(uppers16 x, uppers16 y) { return pair16(x, y); }

#endif
