/* The arithmetic of one 8x8 block: colour, forward DCT, quantizer, inverse DCT. The only place where it stands.
 *
 * Everything is written over lanes: `lanes16` holds one 16-bit number for each of several blocks, `lanes32` a 32-bit
 * intermediate for each, `pairs16` two lanes16 side by side, ready for a multiply-add. How many blocks that is, and in
 * which registers, the file lanes_<kind>.h says that is included before this one. It provides
 *
 *     NJ_INLINE                          how to declare a function here
 *     set16(c) spread16(p)               a constant; the number that p[0] and p[1] both hold
 *     add16 sub16 mul16                  16-bit, wrapping
 *     shl16(x, n) sra16(x, n)            shifts by a constant
 *     mulhi16(a, b)                      (a * b) >> 16
 *     mulhrs16(a, b)                     (a * b + 2^14) >> 15; where that is slow, also NJ_SLOW_MULHRS and
 *     abs16(x) negate16_where_negative(x, sign)
 *     clamp16(x)                         to 0..255
 *     pair16(a, b)                       pairs16
 *     set32(c) add32 sub32
 *     dot2(p, ca, cb)                    a * ca + b * cb, in 32 bits, constants within int16
 *     dot2_add(sum, p, ca, cb)           sum + a * ca + b * cb
 *     narrow(x, n)                       x >> n (arithmetic, n >= 16), as lanes16; the value fits int16
 *
 * The DCT is the one of Loeffler, Ligtenberg and Moschytz (ICASSP 1989) as libjpeg's jfdctint.c and jidctint.c use it:
 * constants scaled by 2^13, two extra bits between the passes, DESCALE(x, n) = (x + 2^(n-1)) >> n. Every output is
 * written as a sum of products of 16-bit numbers, which multiply-adds of pairs compute; libjpeg groups the terms another
 * way. Both are the same integer before the shift.
 *
 * Bounds. Sums of four samples times 32 are at most 32640. After the row pass |x| <= 4096 (DC: 8 * 128 * 4). In the
 * column pass, sums of eight such values reach -32768..32512, within int16, also after adding the rounding 2.
 * Coefficients: |c| <= 8192. A dequantized coefficient is at most 1024 + 255 / 2, times 16 within int16. A dequantized
 * column has norm <= 1024 + sqrt(8) * 255 / 2 (the rounding error of eight coefficients), so the inverse's column pass,
 * which scales by 4 sqrt(8), leaves |x| < 15700, and the row pass sums below 2^31. This holds for coefficients that
 * nj_quantize produced.
 *
 * For others: an output of the 1-D inverse is a sum of the eight inputs with weights of magnitude at most 1 for the first
 * and sqrt(2) cos(k pi / 16) for input k in some order, which add up to at most 7.47. With dequantized coefficients within
 * NJ_MOST (in the first row NJ_MOST_IN_FIRST_ROW) a column leaves at most (16 NJ_MOST_IN_FIRST_ROW + 6.47 * 16 NJ_MOST) / 4
 * < 2^15, in sums below 2^31, and from any int16 the row pass sums below 7.47 * 2^13 * 2^15 + 2^26 < 2^31. What is beyond
 * goes to block_wide.c.
 */
#ifndef NNJPEG_BLOCK_H
#define NNJPEG_BLOCK_H

#include "nnjpeg.h"

enum { NJ_CONST_BITS = 13, NJ_PASS1_BITS = 2 };

/* Of a dequantized coefficient whose inverse may be computed in 16 bits; see above. */
enum { NJ_MOST = 1087, NJ_MOST_IN_FIRST_ROW = 1151 };

#define NJ_HALF(n) (1 << ((n) - 1))

/* round(x * 2^13) */
enum {
    NJ_0_298631336 = 2446,
    NJ_0_390180644 = 3196,
    NJ_0_541196100 = 4433,
    NJ_0_765366865 = 6270,
    NJ_0_899976223 = 7373,
    NJ_1_175875602 = 9633,
    NJ_1_501321110 = 12299,
    NJ_1_847759065 = 15137,
    NJ_1_961570560 = 16069,
    NJ_2_053119869 = 16819,
    NJ_2_562915447 = 20995,
    NJ_3_072711026 = 25172
};

/* The rotation of the even part, as a 2x2 matrix. */
enum {
    NJ_EVEN_A = NJ_0_541196100 + NJ_0_765366865,
    NJ_EVEN_B = NJ_0_541196100,
    NJ_EVEN_C = NJ_0_541196100 - NJ_1_847759065
};

/* The odd part, as a symmetric 4x4 matrix. */
enum {
    NJ_ODD_00 = NJ_0_298631336 - NJ_0_899976223 - NJ_1_961570560 + NJ_1_175875602,
    NJ_ODD_01 = NJ_1_175875602,
    NJ_ODD_02 = NJ_1_175875602 - NJ_1_961570560,
    NJ_ODD_03 = NJ_1_175875602 - NJ_0_899976223,
    NJ_ODD_11 = NJ_2_053119869 - NJ_2_562915447 - NJ_0_390180644 + NJ_1_175875602,
    NJ_ODD_12 = NJ_1_175875602 - NJ_2_562915447,
    NJ_ODD_13 = NJ_1_175875602 - NJ_0_390180644,
    NJ_ODD_22 = NJ_3_072711026 - NJ_2_562915447 - NJ_1_961570560 + NJ_1_175875602,
    NJ_ODD_23 = NJ_1_175875602,
    NJ_ODD_33 = NJ_1_501321110 - NJ_0_899976223 - NJ_0_390180644 + NJ_1_175875602
};

/* A shift by 16 takes whole halves of 32-bit words, which is cheaper than any other. So where the numbers leave room,
 * data and constants are scaled until the shift that libjpeg wants is one by 16; that changes nothing of the result. */
enum {
    NJ_ROW_SCALE_BITS = 16 - (NJ_CONST_BITS - NJ_PASS1_BITS),                 /* 5: samples times 32 */
    NJ_COLUMN_CONST_BITS = 16 - (NJ_CONST_BITS + NJ_PASS1_BITS),              /* 1: constants times 2 */
    NJ_STEP_BITS = 16 - (NJ_CONST_BITS - NJ_PASS1_BITS) - NJ_COLUMN_CONST_BITS /* 4: dequantized coefficients times 16 */
};

/* out = start + scale * odd matrix * (a, b, c, d). The forward and the inverse DCT share it. */
NJ_INLINE void nj_odd_part(lanes32 start, int scale, lanes16 a, lanes16 b, lanes16 c, lanes16 d, lanes32 out[4])
{
    pairs16 ab = pair16(a, b), cd = pair16(c, d);
    out[0] = dot2_add(start, ab, scale * NJ_ODD_00, scale * NJ_ODD_01);
    out[0] = dot2_add(out[0], cd, scale * NJ_ODD_02, scale * NJ_ODD_03);
    out[1] = dot2_add(start, ab, scale * NJ_ODD_01, scale * NJ_ODD_11);
    out[1] = dot2_add(out[1], cd, scale * NJ_ODD_12, scale * NJ_ODD_13);
    out[2] = dot2_add(start, ab, scale * NJ_ODD_02, scale * NJ_ODD_12);
    out[2] = dot2_add(out[2], cd, scale * NJ_ODD_22, scale * NJ_ODD_23);
    out[3] = dot2_add(start, ab, scale * NJ_ODD_03, scale * NJ_ODD_13);
    out[3] = dot2_add(out[3], cd, scale * NJ_ODD_23, scale * NJ_ODD_33);
}

/* What rows and columns share of the forward DCT: outputs 1, 2, 3, 5, 6, 7 from the differences d[i] of mirrored inputs
 * i and 7 - i, and from the differences of their sums, t2 = s[1] - s[2] and t3 = s[0] - s[3]. */
NJ_INLINE void nj_fdct_1d(const lanes16 d[4], lanes16 t2, lanes16 t3, int scale, lanes16 x[8])
{
    lanes32 round = set32(NJ_HALF(16)), odd[4];
    pairs16 even = pair16(t3, t2);
    x[2] = narrow(dot2_add(round, even, scale * NJ_EVEN_A, scale * NJ_EVEN_B), 16);
    x[6] = narrow(dot2_add(round, even, scale * NJ_EVEN_B, scale * NJ_EVEN_C), 16);
    nj_odd_part(round, scale, d[3], d[2], d[1], d[0], odd);
    x[7] = narrow(odd[0], 16);
    x[5] = narrow(odd[1], 16);
    x[3] = narrow(odd[2], 16);
    x[1] = narrow(odd[3], 16);
}

/* Sums and differences of mirrored samples, 0..255 each, at the scale that nj_fdct_row wants. */
NJ_INLINE void nj_mirror(const lanes16 x[8], lanes16 s[4], lanes16 d[4])
{
    int i;
    for (i = 0; i < 4; i++) {
        s[i] = shl16(add16(x[i], x[7 - i]), NJ_ROW_SCALE_BITS);
        d[i] = shl16(sub16(x[i], x[7 - i]), NJ_ROW_SCALE_BITS);
    }
}

/* s, d: of one row, from nj_mirror. x[j], result: 4 sqrt(8) times orthonormal. The level shift by 128 is here: in all
 * outputs but the sum it cancels. */
NJ_INLINE void nj_fdct_row(const lanes16 s[4], const lanes16 d[4], lanes16 x[8])
{
    enum { SHIFT = (int)NJ_ROW_SCALE_BITS - NJ_PASS1_BITS, LEVEL = 8 * 128 << NJ_ROW_SCALE_BITS };
    lanes16 t0 = add16(s[0], s[3]), t1 = add16(s[1], s[2]);
    nj_fdct_1d(d, sub16(s[1], s[2]), sub16(s[0], s[3]), 1, x);
    x[0] = sra16(add16(t0, sub16(t1, set16(LEVEL))), SHIFT); /* in this order, within int16 */
    x[4] = sra16(sub16(t0, t1), SHIFT);
}

/* x[i]: row i of one column, from nj_fdct_row. Result: the coefficients, 8 times orthonormal. */
NJ_INLINE void nj_fdct_column(lanes16 x[8])
{
    lanes16 half = set16(NJ_HALF(NJ_PASS1_BITS));
    lanes16 s0 = add16(x[0], x[7]), s1 = add16(x[1], x[6]), s2 = add16(x[2], x[5]), s3 = add16(x[3], x[4]);
    lanes16 d[4] = { sub16(x[0], x[7]), sub16(x[1], x[6]), sub16(x[2], x[5]), sub16(x[3], x[4]) };
    lanes16 t0 = add16(s0, s3), t1 = add16(s1, s2);
    nj_fdct_1d(d, sub16(s1, s2), sub16(s0, s3), 1 << NJ_COLUMN_CONST_BITS, x);
    x[0] = sra16(add16(add16(t0, t1), half), NJ_PASS1_BITS);
    x[4] = sra16(add16(sub16(t0, t1), half), NJ_PASS1_BITS);
}

/* c / 8q, rounded half away from zero: sign(c) * ((|c| + 4q) / 8q). Exact for |c| < 2^14; see quantizer.c. */
NJ_INLINE lanes16 nj_quantize(lanes16 c, const nnjpeg_step *s)
{
#if defined(NJ_SLOW_MULHRS)
    lanes16 t = mulhi16(add16(abs16(c), spread16(s->bias)), spread16(s->reciprocal));
    return negate16_where_negative(mulhi16(add16(t, t), spread16(s->scale)), c);
#else
    return mulhrs16(mulhi16(c, spread16(s->reciprocal)), spread16(s->scale));
#endif
}

/* The inverse DCT of one row or column; adds offset after the shift. */
NJ_INLINE void nj_idct_1d(lanes16 x[8], int scale, int shift, int offset)
{
    const int one = scale << NJ_CONST_BITS;
    lanes32 round = set32(NJ_HALF(shift) + offset * (1 << shift)), zero = set32(0), odd[4];
    pairs16 p04 = pair16(x[0], x[4]), p26 = pair16(x[2], x[6]);
    lanes32 sum = dot2_add(round, p04, one, one), difference = dot2_add(round, p04, one, -one);
    lanes32 r0 = dot2(p26, scale * NJ_EVEN_A, scale * NJ_EVEN_B), r1 = dot2(p26, scale * NJ_EVEN_B, scale * NJ_EVEN_C);
    lanes32 e0 = add32(sum, r0), e3 = sub32(sum, r0), e1 = add32(difference, r1), e2 = sub32(difference, r1);

    nj_odd_part(zero, scale, x[7], x[5], x[3], x[1], odd);
    x[0] = narrow(add32(e0, odd[3]), shift);
    x[7] = narrow(sub32(e0, odd[3]), shift);
    x[1] = narrow(add32(e1, odd[2]), shift);
    x[6] = narrow(sub32(e1, odd[2]), shift);
    x[2] = narrow(add32(e2, odd[1]), shift);
    x[5] = narrow(sub32(e2, odd[1]), shift);
    x[3] = narrow(add32(e3, odd[0]), shift);
    x[4] = narrow(sub32(e3, odd[0]), shift);
}

/* Quantized coefficients to what nj_idct_column takes. */
NJ_INLINE lanes16 nj_dequantize(lanes16 quantized, const nnjpeg_step *s)
{
    return mul16(quantized, spread16(s->scaled_step));
}

/* x[i]: row i of one column of coefficients, from nj_dequantize. Result: 4 sqrt(8) times orthonormal. */
NJ_INLINE void nj_idct_column(lanes16 x[8])
{
    nj_idct_1d(x, 1 << NJ_COLUMN_CONST_BITS, 16, 0);
}

/* x[j]: column j of one row, from nj_idct_column. Result: samples, not yet clamped to 0..255. */
NJ_INLINE void nj_idct_row(lanes16 x[8])
{
    nj_idct_1d(x, 1, NJ_CONST_BITS + NJ_PASS1_BITS + 3, 128);
}

/* One column, from what nj_fdct_row left to what nj_idct_row takes. steps: the quantizer's from the column's first on. */
NJ_INLINE void nj_requantize_column(lanes16 x[8], const nnjpeg_step *steps)
{
    int i;
    nj_fdct_column(x);
    for (i = 0; i < 8; i++)
        x[i] = nj_dequantize(nj_quantize(x[i], &steps[8 * i]), &steps[8 * i]);
    nj_idct_column(x);
}

/* JFIF colour in 16-bit fixed point, as jccolor.c: the products are summed, then shifted once. A factor beyond int16
 * is split in two. R, G, B 0..255 in; Y, Cb, Cr 0..255 out. */
NJ_INLINE void nj_rgb_to_ycbcr(lanes16 x[3])
{
    enum { CENTER = (128 << 16) + NJ_HALF(16) - 1 };
    pairs16 rg = pair16(x[0], x[1]), gb = pair16(x[1], x[2]), bb = pair16(x[2], x[2]), rr = pair16(x[0], x[0]);
    lanes32 y = dot2_add(set32(NJ_HALF(16)), rg, 19595, 38470 - 16384);
    lanes32 cb = dot2_add(set32(CENTER), rg, -11059, -21709);
    lanes32 cr = dot2_add(set32(CENTER), gb, -27439, -5329);
    x[0] = narrow(dot2_add(y, gb, 16384, 7471), 16);
    x[1] = narrow(dot2_add(cb, bb, 16384, 16384), 16);
    x[2] = narrow(dot2_add(cr, rr, 16384, 16384), 16);
}

/* As jdcolor.c. Y, Cb, Cr 0..255 in; R, G, B out, not yet clamped. -46802 = -65536 + 18734, and the whole multiple leaves the
 * shift. 91881 / 65536 is 1 + 13172.5 / 2^15, and 116130 / 65536 is 1 + 25297 / 2^15: the half that is left out of the first
 * changes none of the 256 products that there are. */
NJ_INLINE void nj_ycbcr_to_rgb(lanes16 x[3])
{
    lanes16 y = x[0], cb = sub16(x[1], set16(128)), cr = sub16(x[2], set16(128));
    lanes32 half = set32(NJ_HALF(16));
    pairs16 c = pair16(cb, cr);
    x[0] = add16(add16(y, cr), mulhrs16(cr, set16(13172)));
    x[1] = add16(sub16(y, cr), narrow(dot2_add(half, c, -22554, 18734), 16));
    x[2] = add16(add16(y, cb), mulhrs16(cb, set16(25297)));
}

/* Chroma subsampling: luma has h times as many columns and v times as many rows as chroma; h and v are 1 or 2, not both 1.
 *
 * Downsampling, as jcsample.c: the sum of the h * v samples that become sample k of a row. The rounding alternates, so that
 * columns have no bias; odd: k % 2. */
NJ_INLINE int nj_downsampling_bias(int h, int v, int odd) { return h == 1 ? 1 : v - 1 + odd; }

NJ_INLINE lanes16 nj_downsample(lanes16 sum, lanes16 bias, int h, int v)
{
    return sra16(add16(sum, bias), h / 2 + v / 2);
}

/* Upsampling, as jdsample.c's triangle filter ("fancy upsampling"): between two neighbours, three parts of the nearer one,
 * along the columns where v is 2 and then, without rounding in between, along the rows where h is 2. A sum of weights 4 or 16
 * is left for nj_upsampled to divide. The rounding alternates here too; odd: column % 2 of the result where h is 2, else
 * row % 2. At the borders a sample is its own neighbour. */
NJ_INLINE lanes16 nj_triangle(lanes16 near, lanes16 far) { return add16(add16(near, near), add16(near, far)); }

NJ_INLINE int nj_upsampling_bias(int h, int v, int odd) { return h == 2 && v == 2 ? 8 - odd : 1 + odd; }

NJ_INLINE lanes16 nj_upsampled(lanes16 sum, lanes16 bias, int h, int v)
{
    return sra16(add16(sum, bias), 2 * (h / 2 + v / 2));
}

/* A row of chroma this short, of an image with h = 2, is repeated instead: each sample h times, each row v times. */
enum { NJ_REPEATED_COLUMNS = 2 };

#endif
