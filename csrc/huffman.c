/* Which codes symbols get. */
#include "huffman.h"

#include <string.h>

/* Codes by length, as a DHT segment has them: how many there are of 1..16 bits, and their symbols in this order. */
typedef struct lengths {
    uint8_t counts[NJ_LONGEST_CODE], symbols[NJ_SYMBOLS];
} lengths;

static const lengths standard_dc[2] = {
    { { 0, 1, 5, 1, 1, 1, 1, 1, 1 }, { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 } },
    { { 0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1 }, { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 } }
};

static const lengths standard_ac[2] = {
    { { 0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125 },
      { 0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71,
        0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72,
        0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37,
        0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,
        0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
        0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3,
        0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
        0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
        0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa } },
    { { 0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119 },
      { 0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22,
        0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1,
        0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36,
        0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
        0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
        0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
        0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
        0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
        0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa } }
};

/* Codes of a length follow each other, and those of the next go on from twice the last (annex C). */
static void assign(nj_huffman *table, const lengths *l)
{
    uint32_t code = 0;
    int length, i;
    table->symbols = 0;
    memset(table->codes, 0, sizeof table->codes);
    for (length = 1; length <= NJ_LONGEST_CODE; length++, code <<= 1)
        for (i = 0; i < l->counts[length - 1]; i++)
            table->codes[l->symbols[table->symbols++]] = code++ << NJ_LENGTH_BITS | (uint32_t)length;
}

void nj_code_small(nj_huffman *ac)
{
    int run, size, value;
    for (run = 0; run < NJ_RUNS; run++)
        for (size = 1; size <= NJ_SMALL_SIZE; size++) {
            const nj_code code = ac->codes[run << 4 | size];
            for (value = 1 << (size - 1); value < 1 << size; value++) {
                ac->small[run][NJ_SMALL + value] = nj_with_value(code, value, size);
                ac->small[run][NJ_SMALL - value] = nj_with_value(code, -value, size);
            }
        }
}

void nj_standard_huffman(nj_huffman *dc, nj_huffman *ac, int chroma)
{
    assign(dc, &standard_dc[chroma]);
    assign(ac, &standard_ac[chroma]);
    nj_code_small(ac);
}

/* A symbol beyond all others keeps the code of ones from them: padding at the end of a file has only ones. */
enum { RESERVED = NJ_SYMBOLS, LEAVES = NJ_SYMBOLS + 1, DEEPEST = 32 };

/* A tree that waits to be joined to another. */
typedef struct tree {
    int64_t count;
    int symbol; /* of its leaf that was rarer; decides between equal counts, the larger first */
    int node;
} tree;

static int is_rarer(const tree *a, const tree *b)
{
    return a->count != b->count ? a->count < b->count : a->symbol > b->symbol;
}

/* Adds a tree to those that wait, the rarest last. */
static void add_tree(tree *waiting, int *count, tree t)
{
    int i = (*count)++;
    for (; i > 0 && is_rarer(&waiting[i - 1], &t); i--)
        waiting[i] = waiting[i - 1];
    waiting[i] = t;
}

/* Huffman's algorithm: joins the two rarest trees until there is one. The depth of each leaf, in the order of symbols, the
 * reserved one last; returns how many there are. */
static int find_depths(const int64_t counts[NJ_SYMBOLS], int symbols[LEAVES], int depths[2 * LEAVES])
{
    tree waiting[LEAVES];
    int parents[2 * LEAVES], trees = 0, leaves = 0, nodes, i;
    for (i = 0; i < LEAVES; i++) {
        const tree leaf = { i == RESERVED ? 1 : counts[i], i, leaves };
        if (leaf.count) {
            add_tree(waiting, &trees, leaf);
            symbols[leaves++] = i;
        }
    }
    for (nodes = leaves; trees > 1; nodes++) {
        tree joined = waiting[trees - 1];
        const tree other = waiting[trees - 2];
        parents[joined.node] = parents[other.node] = nodes;
        joined.count += other.count;
        joined.node = nodes;
        trees -= 2;
        add_tree(waiting, &trees, joined);
    }
    depths[nodes - 1] = 0;
    for (i = nodes - 2; i >= 0; i--)
        depths[i] = depths[parents[i]] + 1;
    return leaves;
}

/* Shortens codes to 16 bits (annex K.2, figure K.3): of two that are too long, one takes the place of their prefix, the other goes
 * below the longest code that is shorter than that, beside the symbol that had it. */
static void shorten(int counts[DEEPEST + 1])
{
    int length, shorter;
    for (length = DEEPEST; length > NJ_LONGEST_CODE; length--)
        while (counts[length]) {
            for (shorter = length - 2; counts[shorter] == 0; shorter--)
                ;
            counts[length] -= 2;
            counts[length - 1]++;
            counts[shorter]--;
            counts[shorter + 1] += 2;
        }
}

int nj_optimal_huffman(nj_huffman *table, const int64_t counts[NJ_SYMBOLS])
{
    int symbols[LEAVES], depths[2 * LEAVES], of_depth[DEEPEST + 1] = { 0 }, next[DEEPEST + 1] = { 0 };
    const int leaves = find_depths(counts, symbols, depths);
    int i, longest = NJ_LONGEST_CODE;
    lengths l;
    for (i = 0; i < leaves; i++) {
        if (depths[i] > DEEPEST)
            return 0;
        of_depth[depths[i]]++;
    }
    for (i = 1; i <= DEEPEST; i++)
        next[i] = next[i - 1] + of_depth[i - 1];
    for (i = 0; i < leaves - 1; i++)
        l.symbols[next[depths[i]]++] = (uint8_t)symbols[i];
    shorten(of_depth);
    while (of_depth[longest] == 0)
        longest--;
    of_depth[longest]--; /* the reserved symbol's */
    for (i = 1; i <= NJ_LONGEST_CODE; i++)
        l.counts[i - 1] = (uint8_t)of_depth[i];
    assign(table, &l);
    return 1;
}
