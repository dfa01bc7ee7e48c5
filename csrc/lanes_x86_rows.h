/* What AVX2 and AVX-512 share of rows of pixels (see rows.h). Included by lanes_avx2.h and
 * lanes_avx512.h, which define, beside what lanes_x86.h wants,
 *
 *     load_apart(p, n), store_apart(p, n, x)  words of 128 bits, n bytes apart in memory
 *     by_thirds(a, b, c, q)                   byte i of a 128-bit word from a, b or c: where i, i + 1 or i + 2 is q modulo 3
 */
#ifndef NNJPEG_LANES_X86_ROWS_H
#define NNJPEG_LANES_X86_ROWS_H

enum { NJ_STEP = sizeof(reg) };

typedef struct lanes16x2 {
    lanes16 even, odd;
} lanes16x2;

NJ_INLINE lanes16x2 even_odd_bytes(reg bytes)
{
    lanes16x2 x = { BITS(and)(bytes, MM(set1_epi16)(0xff)), MM(srli_epi16)(bytes, 8) };
    return x;
}
/* Clamped, in order. */
NJ_INLINE reg consecutive_bytes(lanes16x2 x)
{
    static const int8_t order[16] = { 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15 };
    return MM(shuffle_epi8)(MM(packus_epi16)(x.even, x.odd), bytes128(order));
}
NJ_INLINE reg load_bytes(const uint8_t *p) { return BITS(loadu)((const void *)p); }
NJ_INLINE lanes16x2 load_samples(const uint8_t *p) { return even_odd_bytes(load_bytes(p)); }
NJ_INLINE void store_samples(uint8_t *p, lanes16x2 x) { BITS(storeu)((void *)p, consecutive_bytes(x)); }
NJ_INLINE lanes16 load16(const int16_t *p) { return BITS(loadu)((const void *)p); }
NJ_INLINE void store16(int16_t *p, lanes16 x) { BITS(storeu)((void *)p, x); }
NJ_INLINE lanes16 alternate16(int even, int odd, ptrdiff_t first)
{
    (void)first;
    return constants(even, odd);
}

/* Sixteen pixels of three bytes are three words of 128 bits. Byte i of word w belongs to component (16w + i) % 3, and the
 * places that one component has in the three words are all different: two blends gather it, a shuffle puts it in order. */
NJ_INLINE void load_pixels3(const uint8_t *p, lanes16x2 x[3])
{
    const reg a = load_apart(p, 48), b = load_apart(p + 16, 48), c = load_apart(p + 32, 48);
    int q, k;
    for (q = 0; q < 3; q++) {
        const reg mixed = by_thirds(a, b, c, q);
        int8_t even[16], odd[16];
        for (k = 0; k < 8; k++) {
            even[2 * k] = (int8_t)((6 * k + q) % 16);
            odd[2 * k] = (int8_t)((6 * k + 3 + q) % 16);
            even[2 * k + 1] = odd[2 * k + 1] = -1;
        }
        x[q].even = MM(shuffle_epi8)(mixed, bytes128(even));
        x[q].odd = MM(shuffle_epi8)(mixed, bytes128(odd));
    }
}
NJ_INLINE void store_pixels3(uint8_t *p, const lanes16x2 x[3])
{
    reg component[3];
    int q, m;
    for (q = 0; q < 3; q++) {
        int8_t order[16];
        for (m = 0; m < 16; m++) /* pixel m, which packing leaves at m / 2, or 8 + m / 2 if it is odd */
            order[(3 * m + q) % 16] = (int8_t)(m / 2 + m % 2 * 8);
        component[q] = MM(shuffle_epi8)(MM(packus_epi16)(x[q].even, x[q].odd), bytes128(order));
    }
    store_apart(p, 48, by_thirds(component[0], component[2], component[1], 0));
    store_apart(p + 16, 48, by_thirds(component[1], component[0], component[2], 0));
    store_apart(p + 32, 48, by_thirds(component[2], component[1], component[0], 0));
}
NJ_INLINE void load_pixels4(const uint8_t *p, lanes16x2 x[4])
{
    static const int8_t order[16] = { 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15 };
    reg r[4], rg[2], bx[2];
    int k;
    for (k = 0; k < 4; k++)
        r[k] = MM(shuffle_epi8)(load_apart(p + 16 * k, 64), bytes128(order));
    for (k = 0; k < 2; k++) {
        rg[k] = MM(unpacklo_epi32)(r[2 * k], r[2 * k + 1]);
        bx[k] = MM(unpackhi_epi32)(r[2 * k], r[2 * k + 1]);
    }
    x[0] = even_odd_bytes(MM(unpacklo_epi64)(rg[0], rg[1]));
    x[1] = even_odd_bytes(MM(unpackhi_epi64)(rg[0], rg[1]));
    x[2] = even_odd_bytes(MM(unpacklo_epi64)(bx[0], bx[1]));
    x[3] = even_odd_bytes(MM(unpackhi_epi64)(bx[0], bx[1]));
}
NJ_INLINE void store_pixels4(uint8_t *p, const lanes16x2 x[4])
{
    reg c[4], rg, bx;
    int k;
    for (k = 0; k < 4; k++)
        c[k] = consecutive_bytes(x[k]);
    rg = MM(unpacklo_epi8)(c[0], c[1]);
    bx = MM(unpacklo_epi8)(c[2], c[3]);
    store_apart(p, 64, MM(unpacklo_epi16)(rg, bx));
    store_apart(p + 16, 64, MM(unpackhi_epi16)(rg, bx));
    rg = MM(unpackhi_epi8)(c[0], c[1]);
    bx = MM(unpackhi_epi8)(c[2], c[3]);
    store_apart(p + 32, 64, MM(unpacklo_epi16)(rg, bx));
    store_apart(p + 48, 64, MM(unpackhi_epi16)(rg, bx));
}

#endif
