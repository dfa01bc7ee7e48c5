/* The arithmetic of one 8x8 block: colour, forward DCT, quantizer, inverse DCT. The only place where it stands.
 *
 * Everything is written over lanes, one for each of several blocks (or, of colour, pixels). How many there are, and in which
 * registers, the file lanes_<kind>.h says that is included before this one. It provides
 *
 *     NJ_INLINE                          how to declare a function here
 *
 * of transforms, where a cell is two 16-bit numbers of one block, side by side as a multiply-add takes them,
 *
 *     cells16, sums32                    a cell, or a 32-bit number, for each block
 *     uppers16                           a 16-bit number for each block, in no cell yet: an upper half of 32 bits, or a lanes16
 *     add_cells sub_cells                16-bit, wrapping
 *     shl_cells(x, n) sra_cells(x, n)    shifts by a constant
 *     mul_cells(x, p)                    by the cell p[0], p[1], wrapping
 *     mulhi_cells(x, p)                  (x * p) >> 16
 *     mulhrs_cells(x, p)                 (x * p + 2^14) >> 15, or, where that is slow, NJ_SLOW_MULHRS and
 *     plus_cells(x, p)
 *     set_sums(c) add_sums sub_sums
 *     dot_cells(p, ca, cb)               a * ca + b * cb, in 32 bits, constants within int16
 *     dot_cells_add(sum, p, ca, cb)      sum + a * ca + b * cb
 *     upper(x)                           x >> 16, which fits int16, of sums, as uppers16
 *     upper_of_sum(p, start, n)          (a + b + start) >> n, of a cell a b, as uppers16; within int16 also before the shift
 *     upper_of_difference(p, start, n)   (a - b + start) >> n
 *     cells_of(x, y)                     cells of two uppers16
 *
 * and of colour and subsampling, where a lane is one number,
 *
 *     lanes16, lanes32, pairs16          a 16-bit number for each; a 32-bit one; two lanes16 side by side
 *     set16(c) add16 sub16 sra16
 *     mulhrs16(a, b)                     (a * b + 2^14) >> 15, |a| < 2^13
 *     clamp16(x)                         to 0..255
 *     pair16(a, b)                       pairs16
 *     set32(c) dot2_add(sum, p, ca, cb)
 *     narrow(x)                          x >> 16, as lanes16; the value fits int16
 *
 * Numbers pair up so that nothing is rearranged between two steps. Rows and columns enter the forward DCT as the cells 0 1,
 * 7 6, 3 2 and 4 5, whose sums and differences are cells again; they leave it, and enter the inverse, in the order of
 * nj_frequency, in which neighbours are a cell.
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

/* Which frequency stands at place k: 0 4 2 6 7 5 1 3. */
NJ_INLINE int nj_frequency(int k) { return 0x31576240 >> 4 * k & 7; }

/* Number `half` of cell k of what enters the forward DCT: 0 1, 7 6, 3 2, 4 5. */
NJ_INLINE int nj_mirrored(int k, int half) { return 0x54236710 >> 4 * (2 * k + half) & 7; }

/* out = start + scale * odd matrix * (a, b, c, d). The forward and the inverse DCT share it. */
NJ_INLINE void nj_odd_part(sums32 start, int scale, cells16 ab, cells16 dc, sums32 out[4])
{
    out[0] = dot_cells_add(start, ab, scale * NJ_ODD_00, scale * NJ_ODD_01);
    out[0] = dot_cells_add(out[0], dc, scale * NJ_ODD_03, scale * NJ_ODD_02);
    out[1] = dot_cells_add(start, ab, scale * NJ_ODD_01, scale * NJ_ODD_11);
    out[1] = dot_cells_add(out[1], dc, scale * NJ_ODD_13, scale * NJ_ODD_12);
    out[2] = dot_cells_add(start, ab, scale * NJ_ODD_02, scale * NJ_ODD_12);
    out[2] = dot_cells_add(out[2], dc, scale * NJ_ODD_23, scale * NJ_ODD_22);
    out[3] = dot_cells_add(start, ab, scale * NJ_ODD_03, scale * NJ_ODD_13);
    out[3] = dot_cells_add(out[3], dc, scale * NJ_ODD_33, scale * NJ_ODD_23);
}

/* The forward DCT of one row or column, of sums and differences of mirrored inputs i and 7 - i: s the cells s0 s1 and s3 s2,
 * d likewise. x: in the order of nj_frequency. Outputs 0 and 4 are sums without factors, to which start0 and start4 are added
 * before they are shifted by `shift`. */
NJ_INLINE void nj_fdct_1d(const cells16 s[2], const cells16 d[2], int scale, int start0, int start4, int shift, uppers16 x[8])
{
    const sums32 round = set_sums(NJ_HALF(16));
    sums32 odd[4];
    const cells16 t = add_cells(s[0], s[1]), even = sub_cells(s[0], s[1]);
    x[0] = upper_of_sum(t, start0, shift);
    x[1] = upper_of_difference(t, start4, shift);
    x[2] = upper(dot_cells_add(round, even, scale * NJ_EVEN_A, scale * NJ_EVEN_B));
    x[3] = upper(dot_cells_add(round, even, scale * NJ_EVEN_B, scale * NJ_EVEN_C));
    nj_odd_part(round, scale, d[1], d[0], odd);
    x[4] = upper(odd[0]);
    x[5] = upper(odd[1]);
    x[6] = upper(odd[3]);
    x[7] = upper(odd[2]);
}

/* Sums and differences of mirrored samples, 0..255 each, at the scale that nj_fdct_row wants. x: the cells of a row. */
NJ_INLINE void nj_mirror(const cells16 x[4], cells16 s[2], cells16 d[2])
{
    int k;
    for (k = 0; k < 2; k++) {
        s[k] = shl_cells(add_cells(x[2 * k], x[2 * k + 1]), NJ_ROW_SCALE_BITS);
        d[k] = shl_cells(sub_cells(x[2 * k], x[2 * k + 1]), NJ_ROW_SCALE_BITS);
    }
}

/* s, d: of one row, from nj_mirror. Result: 4 sqrt(8) times orthonormal. The level shift by 128 is here: in all outputs but the
 * sum it cancels. */
NJ_INLINE void nj_fdct_row(const cells16 s[2], const cells16 d[2], uppers16 x[8])
{
    enum { LEVEL = 8 * 128 << NJ_ROW_SCALE_BITS };
    nj_fdct_1d(s, d, 1, -LEVEL, 0, (int)NJ_ROW_SCALE_BITS - NJ_PASS1_BITS, x);
}

/* p: the cells of one column, from nj_fdct_row. Result: the coefficients, 8 times orthonormal. */
NJ_INLINE void nj_fdct_column(const cells16 p[4], uppers16 x[8])
{
    enum { HALF = NJ_HALF(NJ_PASS1_BITS) };
    const cells16 s[2] = { add_cells(p[0], p[1]), add_cells(p[2], p[3]) };
    const cells16 d[2] = { sub_cells(p[0], p[1]), sub_cells(p[2], p[3]) };
    nj_fdct_1d(s, d, 1 << NJ_COLUMN_CONST_BITS, HALF, HALF, NJ_PASS1_BITS, x);
}

/* c / 8q, rounded half away from zero: sign(c) * ((|c| + 4q) / 8q). Exact for |c| < 2^14; see quantizer.c. */
NJ_INLINE cells16 nj_quantize(cells16 c, const nnjpeg_step *s)
{
#if defined(NJ_SLOW_MULHRS)
    const cells16 t = mulhi_cells(c, s->reciprocal);
    return mulhi_cells(plus_cells(add_cells(t, t), s->bias), s->scale);
#else
    return mulhrs_cells(mulhi_cells(c, s->reciprocal), s->scale);
#endif
}

/* The inverse DCT of one row or column, whose frequencies p has in the order of nj_frequency. Output i, at x[i], still has
 * `bits` bits to lose, to nearest, and offset is then added. */
NJ_INLINE void nj_idct_1d(const cells16 p[4], int scale, int bits, int offset, uppers16 x[8])
{
    const int one = scale << NJ_CONST_BITS;
    const sums32 round = set_sums(NJ_HALF(16 + bits) + offset * (1 << (16 + bits)));
    sums32 odd[4];
    sums32 sum = dot_cells_add(round, p[0], one, one), difference = dot_cells_add(round, p[0], one, -one);
    sums32 r0 = dot_cells(p[1], scale * NJ_EVEN_A, scale * NJ_EVEN_B), r1 = dot_cells(p[1], scale * NJ_EVEN_B, scale * NJ_EVEN_C);
    sums32 e0 = add_sums(sum, r0), e3 = sub_sums(sum, r0), e1 = add_sums(difference, r1), e2 = sub_sums(difference, r1);

    nj_odd_part(set_sums(0), scale, p[2], p[3], odd);
    x[0] = upper(add_sums(e0, odd[3]));
    x[7] = upper(sub_sums(e0, odd[3]));
    x[1] = upper(add_sums(e1, odd[2]));
    x[6] = upper(sub_sums(e1, odd[2]));
    x[2] = upper(add_sums(e2, odd[1]));
    x[5] = upper(sub_sums(e2, odd[1]));
    x[3] = upper(add_sums(e3, odd[0]));
    x[4] = upper(sub_sums(e3, odd[0]));
}

/* Quantized coefficients to what nj_idct_column takes. */
NJ_INLINE cells16 nj_dequantize(cells16 quantized, const nnjpeg_step *s)
{
    return mul_cells(quantized, s->scaled_step);
}

/* p: one column of coefficients, from nj_dequantize. Result, by row: 4 sqrt(8) times orthonormal. */
NJ_INLINE void nj_idct_column(const cells16 p[4], uppers16 x[8])
{
    nj_idct_1d(p, 1 << NJ_COLUMN_CONST_BITS, 0, 0, x);
}

/* p: one row, from nj_idct_column. Result: samples times 2^NJ_SAMPLE_BITS, not yet clamped to 0..255. */
enum { NJ_SAMPLE_BITS = NJ_CONST_BITS + NJ_PASS1_BITS + 3 - 16 };

NJ_INLINE void nj_idct_row(const cells16 p[4], uppers16 x[8])
{
    nj_idct_1d(p, 1, NJ_SAMPLE_BITS, 128, x);
}

/* Two samples, not yet clamped to 0..255. */
NJ_INLINE cells16 nj_sample_cells(uppers16 x, uppers16 y) { return sra_cells(cells_of(x, y), NJ_SAMPLE_BITS); }

/* One column, from what nj_fdct_row left to what nj_idct_row takes, by row. steps: of that column. */
NJ_INLINE void nj_requantize_column(const cells16 p[4], const nnjpeg_step steps[4], uppers16 x[8])
{
    cells16 q[4];
    int k;
    nj_fdct_column(p, x);
    for (k = 0; k < 4; k++)
        q[k] = nj_dequantize(nj_quantize(cells_of(x[2 * k], x[2 * k + 1]), &steps[k]), &steps[k]);
    nj_idct_column(q, x);
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
    x[0] = narrow(dot2_add(y, gb, 16384, 7471));
    x[1] = narrow(dot2_add(cb, bb, 16384, 16384));
    x[2] = narrow(dot2_add(cr, rr, 16384, 16384));
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
    x[1] = add16(sub16(y, cr), narrow(dot2_add(half, c, -22554, 18734)));
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
