/* Blocks of quantized coefficients to counts of symbols, or to the bytes of their codes, none of which is kept. */
#ifndef NNJPEG_SCAN_H
#define NNJPEG_SCAN_H

#include "huffman.h"
#include "inline.h"
#include "nnjpeg.h"
#include "zigzag.h"

enum { NJ_CODED_COMPONENTS = 3 };

/* Codes wait here and are put together by the hundred: the CPU mispredicts where a block ends, and all that it has begun beyond is
 * lost. So the coefficients that are not 0 are found beforehand as well. */
enum { NJ_WAITING = 2048, NJ_CODES_AN_MCU = 6 * NNJPEG_BLOCK_SIZE + 1 };

/* One image as it is coded. */
typedef struct nj_scan {
    const nj_huffman *dc[NJ_CODED_COMPONENTS], *ac[NJ_CODED_COMPONENTS];
    int64_t *dc_counts[NJ_CODED_COMPONENTS], *ac_counts[NJ_CODED_COMPONENTS]; /* of symbols, where tables are still to be made */
    int last_dc[NJ_CODED_COMPONENTS];
    nj_code codes[NJ_WAITING + 1];
    int waiting;
    uint64_t word; /* the last bits, of which `used` have not filled a byte yet */
    int used;
    int64_t bits, stuffed; /* that were put; the zero bytes for them */
} nj_scan;

/* The highest bit of each byte of x that has only ones. */
static uint64_t full_bytes(uint64_t x)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7fu;
    return ((x & low) + low / 0x7f) & x & ~low;
}

/* Puts the codes that wait, two at a time: 54 bits at most, and 7 that no byte has had yet. */
static void nj_put(nj_scan *s)
{
    uint64_t word = s->word;
    int64_t bits = s->bits;
    int used = s->used, i;
    s->codes[s->waiting] = 0;
    for (i = 0; i < s->waiting; i += 2) {
        const nj_code first = s->codes[i], second = s->codes[i + 1];
        const int more = nj_length_of(second), length = nj_length_of(first) + more;
        uint64_t full;
        word = word << length | (uint64_t)(first >> NJ_LENGTH_BITS) << more | second >> NJ_LENGTH_BITS;
        used += length;
        bits += length;
        full = full_bytes(word << (64 - used));
        if (full)
            s->stuffed += (int64_t)((full >> 7) * 0x0101010101010101u >> 56);
        used %= 8;
    }
    s->word = word;
    s->used = used;
    s->bits = bits;
    s->waiting = 0;
}

/* The bytes of all bits; ones fill the last. */
static int64_t nj_put_bytes(nj_scan *s)
{
    nj_put(s);
    if (s->used == 0)
        return s->bits / 8 + s->stuffed;
    return s->bits / 8 + 1 + s->stuffed + (((s->word << (8 - s->used) | 0xffu >> s->used) & 0xff) == 0xff);
}

/* Which AC coefficients are not 0, as bits in zigzag order. */
NJ_INLINE uint64_t nj_find_nonzero(const int16_t *block)
{
    uint8_t flags[NNJPEG_BLOCK_SIZE];
    int i;
    for (i = 0; i < NNJPEG_BLOCK_SIZE; i++)
        flags[i] = block[i] != 0;
    return nj_in_zigzag(flags) & ~UINT64_C(1);
}

/* A block's symbols in the order of the file (annex F.1.2). counts: whether they are counted, or coded. */
NJ_INLINE void nj_code_block(nj_scan *s, int c, const int16_t *block, uint64_t nonzero, int counts)
{
    const nj_huffman *ac = s->ac[c];
    const int difference = block[0] - s->last_dc[c], category = nj_bits_of(difference);
    nj_code *code = s->codes + s->waiting;
    ptrdiff_t last = 0;
    s->last_dc[c] = block[0];
    if (counts)
        s->dc_counts[c][category]++;
    else
        *code++ = nj_with_value(s->dc[c]->codes[category], difference, category);
    for (; nonzero; nonzero &= nonzero - 1) {
        const ptrdiff_t at = nj_lowest_bit(nonzero);
        const int value = block[nj_natural_of_zigzag[at]];
        ptrdiff_t run = at - last - 1;
        last = at;
        for (; run >= NJ_RUNS; run -= NJ_RUNS) {
            if (counts)
                s->ac_counts[c][NJ_SIXTEEN_ZEROS]++;
            else
                *code++ = ac->codes[NJ_SIXTEEN_ZEROS];
        }
        if (counts)
            s->ac_counts[c][run << 4 | nj_bits_of(value)]++;
        else if (value > -NJ_SMALL && value < NJ_SMALL)
            *code++ = ac->small[run][value + NJ_SMALL];
        else
            *code++ = nj_with_value(ac->codes[run << 4 | nj_bits_of(value)], value, nj_bits_of(value));
    }
    if (counts) {
        s->ac_counts[c][NJ_END_OF_BLOCK] += last < NNJPEG_BLOCK_SIZE - 1;
    } else {
        *code = ac->codes[NJ_END_OF_BLOCK];
        s->waiting = (int)(code - s->codes) + (last < NNJPEG_BLOCK_SIZE - 1);
    }
}

/* A block that fills an MCU beyond the image: it repeats the DC coefficient before, and has no AC. */
NJ_INLINE void nj_code_dummy(nj_scan *s, int c, int counts)
{
    if (counts) {
        s->dc_counts[c][0]++;
        s->ac_counts[c][NJ_END_OF_BLOCK]++;
    } else {
        s->codes[s->waiting++] = s->dc[c]->codes[0];
        s->codes[s->waiting++] = s->ac[c]->codes[NJ_END_OF_BLOCK];
    }
}

#endif
