/* Huffman tables of JPEG files: the standard ones (ITU-T T.81, annex K.3) and those made for an image (annex K.2). */
#ifndef NNJPEG_HUFFMAN_H
#define NNJPEG_HUFFMAN_H

#include <stdint.h>

enum {
    NJ_SYMBOLS = 256,
    NJ_LONGEST_CODE = 16,
    NJ_END_OF_BLOCK = 0x00,
    NJ_SIXTEEN_ZEROS = 0xf0,
    NJ_RUNS = 16,
    NJ_LENGTH_BITS = 5,
    NJ_SMALL_SIZE = 5, /* bits of a small coefficient, without its sign */
    NJ_SMALL = 1 << NJ_SMALL_SIZE
};

/* Bits to put, and below them how many they are, in NJ_LENGTH_BITS: 27 at most. 0: there is no such code. */
typedef uint32_t nj_code;

typedef struct nj_huffman {
    int symbols; /* that have a code, which are the bytes they take in a file */
    nj_code codes[NJ_SYMBOLS];
    /* In tables of AC, of small coefficients after a run of zeros: by value + NJ_SMALL, the code with the value's own bits. */
    nj_code small[NJ_RUNS][2 * NJ_SMALL];
} nj_huffman;

static inline int nj_length_of(nj_code code) { return (int)(code & ((1 << NJ_LENGTH_BITS) - 1)); }

/* How many bits a value takes, without its sign. */
static inline int nj_bits_of(int value)
{
    unsigned magnitude = (unsigned)(value < 0 ? -value : value);
#if defined(__GNUC__)
    return magnitude ? 32 - __builtin_clz(magnitude) : 0;
#else
    int bits = 0;
    for (; magnitude; magnitude >>= 1)
        bits++;
    return bits;
#endif
}

/* A code followed by the own bits of a value, `bits` of them: those of value - 1 where it is negative. */
static inline nj_code nj_with_value(nj_code code, int value, int bits)
{
    const uint32_t own = (uint32_t)(value + (value >> 31)) & ((1u << bits) - 1);
    return (((code >> NJ_LENGTH_BITS) << bits | own) << NJ_LENGTH_BITS) + (code & ((1 << NJ_LENGTH_BITS) - 1)) + (uint32_t)bits;
}

void nj_standard_huffman(nj_huffman *dc, nj_huffman *ac, int chroma);

/* Fills in the small coefficients of a table of AC. */
void nj_code_small(nj_huffman *ac);

/* The table that libjpeg makes of counts of symbols, at least one of which is not 0; 0: it gives up, since the tree of codes has
 * more than 32 levels. */
int nj_optimal_huffman(nj_huffman *table, const int64_t counts[NJ_SYMBOLS]);

#endif
