/* Every instruction set against the generic one, at every size up to 40 x 40, in every kind of layout and every
 * subsampling of chroma, with pages that must not be touched right before the first and right after the last byte of
 * samples and coefficients; and larger images on several threads, where nnjpeg is built with OpenMP.
 *
 * Prints one line for each instruction set: its name and a hash of all results that must be the same. Floats may differ
 * in their last bits, and where those decide a rounding; not by more. Exit status 1 if one differs.
 * usage: check [STEP]    sizes 1, 1 + STEP, 1 + 2 STEP, ... (default 1) */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nnjpeg.h"

enum { LARGEST = 40, IMAGES = 2, MOST_COMPONENTS = 5 };
enum { MOST_SAMPLES = IMAGES * LARGEST * LARGEST * MOST_COMPONENTS * 2, MOST_BYTES = MOST_SAMPLES * sizeof(float) };
enum { SUBSAMPLINGS = NNJPEG_440 + 1 };

static void fail(const char *what)
{
    fprintf(stderr, "failed with %s: %s\n", nnjpeg_isa(), what);
    exit(2);
}

#define EXPECT(condition) ((condition) ? (void)0 : fail(#condition))

/* Memory of MOST_BYTES between two guard pages. */
typedef struct guarded {
    uint8_t *first, *end;
} guarded;

static guarded allocate(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (MOST_BYTES + page - 1) / page * page;
    uint8_t *base = mmap(NULL, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    guarded g = { base + page, base + page + size };
    if (base == MAP_FAILED || mprotect(g.first, size, PROT_READ | PROT_WRITE) != 0) {
        perror("mmap");
        exit(2);
    }
    return g;
}

typedef enum order {
    HWC,
    CHW,
    REVERSED, /* HWC with every axis turned round: starts at the last byte */
    SPARSE,   /* CHW with every second sample of a row */
    BGR,      /* HWC with components turned round */
    MIRRORED, /* HWC with rows turned round */
    OF_FOUR   /* HWC of a pixel whose last sample is not part of the image, nor, of the last pixel, of its memory */
} order;

/* Strides of an order, and the offset of the first sample from the lowest byte. */
static nnjpeg_strides strides_of(order o, const nnjpeg_shape *s, ptrdiff_t *origin, ptrdiff_t *extent)
{
    nnjpeg_strides t = { 0, 1, 0, 0 };
    *origin = 0;
    *extent = s->images * s->components * s->height * s->width;
    switch (o) {
    case HWC:
        t.column = s->components;
        t.row = t.column * s->width;
        t.image = t.row * s->height;
        break;
    case CHW:
        t.column = 1;
        t.row = s->width;
        t.component = t.row * s->height;
        t.image = t.component * s->components;
        break;
    case REVERSED:
        t = strides_of(HWC, s, origin, extent);
        t.image = -t.image;
        t.component = -t.component;
        t.row = -t.row;
        t.column = -t.column;
        *origin = *extent - 1;
        break;
    case SPARSE:
        t.column = 2;
        t.row = 2 * s->width - 1;
        t.component = t.row * s->height;
        t.image = t.component * s->components;
        *extent = t.image * s->images;
        break;
    case BGR:
        t = strides_of(HWC, s, origin, extent);
        t.component = -t.component;
        *origin = s->components - 1;
        break;
    case MIRRORED:
        t = strides_of(HWC, s, origin, extent);
        t.column = -t.column;
        *origin = -t.column * (s->width - 1);
        break;
    case OF_FOUR:
        t.column = s->components + 1;
        t.row = t.column * s->width;
        t.image = t.row * s->height;
        *extent = t.image * s->images - 1;
        break;
    }
    return t;
}

/* At the end of the memory, or at its beginning. */
static uint8_t *place(guarded g, ptrdiff_t extent, ptrdiff_t origin, int at_end)
{
    return (at_end ? g.end - extent : g.first) + origin;
}

#define FNV_BASIS 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

static uint64_t hash(uint64_t h, const uint8_t *data, const nnjpeg_shape *s, const nnjpeg_strides *t)
{
    ptrdiff_t n, c, y, x;
    for (n = 0; n < s->images; n++)
        for (c = 0; c < s->components; c++)
            for (y = 0; y < s->height; y++)
                for (x = 0; x < s->width; x++)
                    h = (h ^ data[n * t->image + c * t->component + y * t->row + x * t->column]) * FNV_PRIME;
    return h;
}

static uint32_t state;
static uint32_t next_random(void)
{
    state = state * 1664525u + 1013904223u;
    return state >> 16;
}

static const struct layout_case {
    order src, dst;
    int components, images, in_place;
    nnjpeg_colorspace colorspace;
} cases[] = {
    { HWC, HWC, 3, 1, 0, NNJPEG_RGB },         { HWC, HWC, 3, 2, 1, NNJPEG_RGB },
    { HWC, HWC, 3, 1, 0, NNJPEG_YCBCR },       { CHW, CHW, 3, 2, 0, NNJPEG_RGB },
    { CHW, CHW, 3, 1, 1, NNJPEG_YCBCR },       { CHW, CHW, 1, 1, 0, NNJPEG_RGB },
    { HWC, HWC, 4, 1, 0, NNJPEG_RGB },         { HWC, CHW, 3, 1, 0, NNJPEG_RGB },
    { CHW, HWC, 3, 1, 0, NNJPEG_YCBCR },       { REVERSED, HWC, 3, 1, 0, NNJPEG_RGB },
    { HWC, REVERSED, 3, 1, 0, NNJPEG_YCBCR },  { REVERSED, REVERSED, 3, 2, 1, NNJPEG_RGB },
    { SPARSE, CHW, 2, 1, 0, NNJPEG_RGB },      { CHW, SPARSE, 3, 1, 0, NNJPEG_YCBCR },
    { HWC, HWC, 4, 2, 1, NNJPEG_RGBX },        { HWC, HWC, 4, 1, 0, NNJPEG_YCBCRX },
    { REVERSED, CHW, 4, 1, 0, NNJPEG_YCBCRX }, { HWC, REVERSED, 4, 1, 0, NNJPEG_RGBX },
    { BGR, BGR, 3, 2, 1, NNJPEG_YCBCR },       { MIRRORED, HWC, 3, 1, 0, NNJPEG_YCBCR },
    { OF_FOUR, HWC, 3, 1, 0, NNJPEG_YCBCR },   { OF_FOUR, OF_FOUR, 3, 1, 1, NNJPEG_YCBCR },
    { HWC, HWC, 4, 2, 1, NNJPEG_YCBCRX },      { BGR, OF_FOUR, 3, 1, 0, NNJPEG_RGB },
    { HWC, HWC, 5, 1, 0, NNJPEG_RGB },         { OF_FOUR, MIRRORED, 3, 2, 0, NNJPEG_YCBCR },
};

/* Each in turn: at every size, each comes with several of the cases. */
static nnjpeg_subsampling subsampling_of(nnjpeg_colorspace colorspace, const nnjpeg_shape *s, size_t k)
{
    const int is_ycbcr = colorspace == NNJPEG_YCBCR || colorspace == NNJPEG_YCBCRX;
    return is_ycbcr ? (nnjpeg_subsampling)((k + (size_t)s->height + (size_t)s->width) % SUBSAMPLINGS) : NNJPEG_444;
}

/* Tables for images x components, or fewer that are shared. */
static nnjpeg_quantizers random_quantizers(int images, int components)
{
    static nnjpeg_quantizer quantizers[IMAGES * MOST_COMPONENTS];
    nnjpeg_quantizers q = { quantizers, next_random() % 2 ? components : 0, (ptrdiff_t)(next_random() % 2) };
    int i, j;
    for (i = 0; i < images * components; i++) {
        uint16_t steps[NNJPEG_BLOCK_SIZE];
        const int fine = next_random() % 2;
        for (j = 0; j < NNJPEG_BLOCK_SIZE; j++)
            steps[j] = (uint16_t)(1 + next_random() % (fine ? 10 : 255));
        EXPECT(nnjpeg_quantizer_init(&quantizers[i], steps) == NNJPEG_OK);
    }
    return q;
}

static void fill(uint8_t *samples, ptrdiff_t extent, int extreme)
{
    ptrdiff_t i;
    for (i = 0; i < extent; i++)
        samples[i] = (uint8_t)(extreme ? 255 * (next_random() & 1) : next_random());
}

static uint64_t run_all(int step, guarded source, guarded target)
{
    uint64_t h = FNV_BASIS;
    size_t k;
    nnjpeg_shape s;
    state = 1;
    for (s.height = 1; s.height <= LARGEST; s.height += step)
        for (s.width = 1; s.width <= LARGEST; s.width += step)
            for (k = 0; k < sizeof cases / sizeof cases[0]; k++) {
                const struct layout_case *l = &cases[k];
                const nnjpeg_subsampling subsampling = subsampling_of(l->colorspace, &s, k);
                const nnjpeg_quantizers q = random_quantizers(l->images, l->components);
                const int at_end = next_random() % 2;
                ptrdiff_t src_origin, src_extent, dst_origin, dst_extent;
                nnjpeg_strides src_strides, dst_strides;
                uint8_t *src, *dst;
                s.components = l->components;
                s.images = l->images;
                src_strides = strides_of(l->src, &s, &src_origin, &src_extent);
                dst_strides = strides_of(l->dst, &s, &dst_origin, &dst_extent);
                src = place(source, src_extent, src_origin, at_end);
                dst = l->in_place ? src : place(target, dst_extent, dst_origin, at_end);
                fill(src - src_origin, src_extent, k % 2 == 0);
                EXPECT(nnjpeg_roundtrip(&s, src, &src_strides, dst, &dst_strides, q, l->colorspace, subsampling, 1) ==
                       NNJPEG_OK);
                h = hash(h, dst, &s, &dst_strides);
            }
    return h;
}

/* Coefficients */

static const struct half_case {
    order samples, blocks;
    int components, images;
    nnjpeg_colorspace colorspace;
} half_cases[] = {
    { HWC, CHW, 3, 1, NNJPEG_YCBCR },         { CHW, HWC, 3, 2, NNJPEG_YCBCR },
    { SPARSE, REVERSED, 3, 1, NNJPEG_YCBCR }, { REVERSED, SPARSE, 3, 2, NNJPEG_YCBCR },
    { OF_FOUR, CHW, 3, 1, NNJPEG_YCBCR },     { HWC, HWC, 5, 1, NNJPEG_RGB },
    { CHW, REVERSED, 1, 2, NNJPEG_RGB },
};

/* The blocks of component c; in 4:4:4, of all components. */
static nnjpeg_shape grid_of(const nnjpeg_shape *s, nnjpeg_subsampling subsampling, int c)
{
    const ptrdiff_t h = c && (subsampling == NNJPEG_422 || subsampling == NNJPEG_420) ? 2 : 1;
    const ptrdiff_t v = c && (subsampling == NNJPEG_420 || subsampling == NNJPEG_440) ? 2 : 1;
    const nnjpeg_shape grid = { s->images, subsampling == NNJPEG_444 ? s->components : 1,
                                ((s->height + v - 1) / v + 7) / 8, ((s->width + h - 1) / h + 7) / 8 };
    return grid;
}

static nnjpeg_strides in_blocks(nnjpeg_strides t)
{
    t.image *= NNJPEG_BLOCK_SIZE;
    t.component *= NNJPEG_BLOCK_SIZE;
    t.row *= NNJPEG_BLOCK_SIZE;
    t.column *= NNJPEG_BLOCK_SIZE;
    return t;
}

static nnjpeg_coefficients place_blocks(guarded g, order o, const nnjpeg_shape *grid, int at_end, ptrdiff_t *count,
                                        int16_t **lowest)
{
    ptrdiff_t origin, extent;
    nnjpeg_coefficients q;
    q.strides = in_blocks(strides_of(o, grid, &origin, &extent));
    *count = extent * NNJPEG_BLOCK_SIZE;
    *lowest = (int16_t *)(void *)place(g, *count * (ptrdiff_t)sizeof(int16_t), 0, at_end);
    q.data = *lowest + origin * NNJPEG_BLOCK_SIZE;
    return q;
}

/* The sizes of the files of images, where there are such files. */
static uint64_t hash_sizes(uint64_t h, const nnjpeg_shape *s, const uint8_t *src, const nnjpeg_strides *strides,
                           nnjpeg_quantizers q, nnjpeg_colorspace colorspace, nnjpeg_subsampling subsampling, int threads)
{
    const int coded = s->components == 1 || s->components == 3;
    int64_t sizes[IMAGES + 1];
    ptrdiff_t i;
    int huffman;
    for (huffman = NNJPEG_HUFFMAN_STANDARD; huffman <= NNJPEG_HUFFMAN_OPTIMAL; huffman++) {
        EXPECT(nnjpeg_coded_size(s, src, strides, sizes, NULL, q, colorspace, subsampling, (nnjpeg_huffman)huffman, threads) ==
               (coded ? NNJPEG_OK : NNJPEG_BAD_COLORSPACE));
        for (i = 0; i < s->images && coded; i++)
            h = (h ^ (uint64_t)sizes[i]) * FNV_PRIME;
    }
    return h;
}

/* The halves of the round trip, which must add up to it; then the second on coefficients that no encoder makes. */
static uint64_t run_halves(int step, guarded source, guarded target, const guarded blocks[3])
{
    static const int16_t extremes[] = { INT16_MIN, INT16_MAX, -1, 0, 1, 1024, -1024 };
    uint64_t h = FNV_BASIS;
    size_t k;
    nnjpeg_shape s;
    state = 3;
    for (s.height = 1; s.height <= LARGEST; s.height += step)
        for (s.width = 1; s.width <= LARGEST; s.width += step)
            for (k = 0; k < sizeof half_cases / sizeof half_cases[0]; k++) {
                const struct half_case *l = &half_cases[k];
                const nnjpeg_subsampling subsampling = subsampling_of(l->colorspace, &s, k);
                const nnjpeg_quantizers q = random_quantizers(l->images, l->components);
                const int at_end = next_random() % 2, arrays = subsampling == NNJPEG_444 ? 1 : 3;
                ptrdiff_t origin, extent, counts[3], i;
                nnjpeg_strides strides;
                nnjpeg_coefficients coefficients[3];
                int16_t *lowest[3];
                uint64_t direct;
                uint8_t *src, *dst;
                int c;
                s.components = l->components;
                s.images = l->images;
                strides = strides_of(l->samples, &s, &origin, &extent);
                src = place(source, extent, origin, at_end);
                dst = place(target, extent, origin, at_end);
                fill(src - origin, extent, k % 2);
                for (c = 0; c < arrays; c++) {
                    const nnjpeg_shape grid = grid_of(&s, subsampling, c);
                    coefficients[c] = place_blocks(blocks[c], l->blocks, &grid, at_end, &counts[c], &lowest[c]);
                    memset(lowest[c], 0, (size_t)counts[c] * sizeof(int16_t));
                }
                EXPECT(nnjpeg_forward(&s, src, &strides, coefficients, q, l->colorspace, subsampling, 1) == NNJPEG_OK);
                for (c = 0; c < arrays; c++)
                    for (i = 0; i < counts[c]; i++)
                        h = (h ^ (uint16_t)lowest[c][i]) * FNV_PRIME;
                h = hash_sizes(h, &s, src, &strides, q, l->colorspace, subsampling, 1);
                EXPECT(nnjpeg_roundtrip(&s, src, &strides, dst, &strides, q, l->colorspace, subsampling, 1) == NNJPEG_OK);
                direct = hash(FNV_BASIS, dst, &s, &strides);
                EXPECT(nnjpeg_inverse(&s, coefficients, dst, &strides, q, l->colorspace, subsampling, 1) == NNJPEG_OK);
                EXPECT(hash(FNV_BASIS, dst, &s, &strides) == direct);
                for (c = 0; c < arrays; c++)
                    for (i = 0; i < counts[c]; i++)
                        if (next_random() % 16 == 0)
                            lowest[c][i] = extremes[next_random() % (sizeof extremes / sizeof extremes[0])];
                EXPECT(nnjpeg_inverse(&s, coefficients, dst, &strides, q, l->colorspace, subsampling, 1) == NNJPEG_OK);
                h = hash(h, dst, &s, &strides);
            }
    return h;
}

/* Threads */

/* Images that threads share, in and out of place, whole and in halves: all as one thread alone. Of the low and wide one
 * there are fewer strips than threads. */
static void run_threads(void)
{
    static const nnjpeg_shape shapes[] = { { 1, 3, 611, 601 }, { 3, 3, 217, 410 }, { 1, 3, 35, 6201 } };
    static const order orders[] = { HWC, CHW, BGR };
    enum { MOST_THREADS = 8, MOST_PIXELS = 611 * 601, MOST_BLOCKS = 77 * 76 };
    static uint8_t src[MOST_PIXELS * 3], dst[MOST_PIXELS * 3], expected[MOST_PIXELS * 3];
    static int16_t blocks[2][3][MOST_BLOCKS * NNJPEG_BLOCK_SIZE * 3];
    nnjpeg_subsampling subsampling;
    size_t k;
    state = 5;
    for (k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
        for (subsampling = NNJPEG_444; subsampling <= NNJPEG_440; subsampling++) {
            const nnjpeg_shape *s = &shapes[k];
            const nnjpeg_quantizers q = random_quantizers(1, 1);
            const nnjpeg_quantizers shared = { q.data, 0, 0 };
            ptrdiff_t origin, extent;
            const nnjpeg_strides strides = strides_of(orders[(k + subsampling) % 3], s, &origin, &extent);
            uint64_t sizes = 0;
            int threads, c;
            EXPECT(extent <= (ptrdiff_t)sizeof src);
            fill(src, extent, 0);
            for (threads = 1; threads <= MOST_THREADS; threads++) {
                nnjpeg_coefficients coefficients[3];
                int one = threads == 1;
                for (c = 0; c < 3; c++) {
                    const nnjpeg_shape grid = grid_of(s, subsampling, c);
                    ptrdiff_t grid_origin, grid_extent;
                    coefficients[c].data = blocks[one ? 0 : 1][c];
                    coefficients[c].strides = in_blocks(strides_of(CHW, &grid, &grid_origin, &grid_extent));
                    EXPECT(grid_extent * NNJPEG_BLOCK_SIZE <= (ptrdiff_t)(sizeof blocks[0][0] / sizeof(int16_t)));
                }
                memset(dst, 0, sizeof dst);
                EXPECT(nnjpeg_roundtrip(s, src + origin, &strides, dst + origin, &strides, shared, NNJPEG_YCBCR, subsampling,
                                        threads) == NNJPEG_OK);
                if (one)
                    memcpy(expected, dst, sizeof dst);
                EXPECT(memcmp(expected, dst, sizeof dst) == 0);
                memcpy(dst, src, sizeof dst);
                EXPECT(nnjpeg_roundtrip(s, dst + origin, &strides, dst + origin, &strides, shared, NNJPEG_YCBCR, subsampling,
                                        threads) == NNJPEG_OK);
                EXPECT(memcmp(expected, dst, (size_t)extent) == 0);
                if (one)
                    sizes = hash_sizes(0, s, src + origin, &strides, shared, NNJPEG_YCBCR, subsampling, 1);
                EXPECT(hash_sizes(0, s, src + origin, &strides, shared, NNJPEG_YCBCR, subsampling, threads) == sizes);
                memset(blocks[one ? 0 : 1], 0, sizeof blocks[0]);
                EXPECT(nnjpeg_forward(s, src + origin, &strides, coefficients, shared, NNJPEG_YCBCR, subsampling, threads) ==
                       NNJPEG_OK);
                EXPECT(one || memcmp(blocks[0], blocks[1], sizeof blocks[0]) == 0);
                memset(dst, 0, sizeof dst);
                EXPECT(nnjpeg_inverse(s, coefficients, dst + origin, &strides, shared, NNJPEG_YCBCR, subsampling, threads) ==
                       NNJPEG_OK);
                EXPECT(memcmp(expected, dst, sizeof dst) == 0);
            }
        }
}

/* Floats */

/* The kinds of float jobs: the precisions of the round trip, the gradient by pixels, the gradients by steps. */
enum { BACKWARD = NNJPEG_FLOAT_CUBIC + 1, RATE, NEAREST_BY_STEPS, CUBIC_BY_STEPS, KINDS };

/* A float job of any kind on memory at its guard pages. */
static void run_floats(const nnjpeg_shape *s, const float *grad, const nnjpeg_strides *grad_strides, const float *src,
                       const nnjpeg_strides *src_strides, float *dst, const nnjpeg_strides *dst_strides,
                       nnjpeg_quantizers q, nnjpeg_colorspace colorspace, nnjpeg_subsampling subsampling, int kind)
{
    static const float weights[IMAGES] = { 1e-3f, -1e-3f };
    static uint8_t lengths[IMAGES * NNJPEG_CODE_LENGTHS];
    float tables[IMAGES * 3 * NNJPEG_BLOCK_SIZE];
    int64_t sizes[IMAGES];
    nnjpeg_status status;
    if (kind == BACKWARD) {
        status = nnjpeg_cubic_backward_f32(s, grad, grad_strides, src, src_strides, dst, dst_strides, q, colorspace,
                                           subsampling, 1);
    } else if (kind == RATE) {
        EXPECT(nnjpeg_coded_size_f32(s, src, src_strides, sizes, lengths, q, colorspace, subsampling, NNJPEG_HUFFMAN_OPTIMAL,
                                     1) == NNJPEG_OK);
        status = nnjpeg_rate_backward_f32(s, src, src_strides, weights, lengths, tables, dst, dst_strides, q, colorspace,
                                          subsampling, 1);
    } else if (kind >= NEAREST_BY_STEPS) {
        status = nnjpeg_table_backward_f32(s, grad, grad_strides, src, src_strides, dst, q, colorspace, subsampling,
                                           kind == CUBIC_BY_STEPS ? NNJPEG_FLOAT_CUBIC : NNJPEG_FLOAT, 1);
    } else {
        status = nnjpeg_roundtrip_f32(s, src, src_strides, dst, dst_strides, q, colorspace, subsampling,
                                      (nnjpeg_precision)kind, 1);
    }
    EXPECT(status == NNJPEG_OK);
}

/* Whether more than one of a hundred samples differs from the generic one by more than rounding errors. */
static int floats_differ(const char *isa, int step, guarded source, guarded target, guarded gradient)
{
    static const order orders[] = { CHW, HWC, REVERSED, SPARSE, BGR, MIRRORED, OF_FOUR };
    enum { ORDERS = sizeof orders / sizeof orders[0] };
    static float expected[MOST_SAMPLES];
    nnjpeg_quantizer quantizer;
    const nnjpeg_quantizers q = { &quantizer, 0, 0 };
    uint16_t steps[NNJPEG_BLOCK_SIZE];
    size_t compared = 0, differ = 0;
    int i, k = 0;
    nnjpeg_shape s = { IMAGES, 3, 0, 0 };
    state = 7;
    for (i = 0; i < NNJPEG_BLOCK_SIZE; i++)
        steps[i] = (uint16_t)(1 + next_random() % 255);
    nnjpeg_quantizer_init(&quantizer, steps);
    for (s.height = 1; s.height <= LARGEST; s.height += step)
        for (s.width = 1; s.width <= LARGEST; s.width += step, k++) {
            const order from = orders[k % ORDERS], to = orders[k / ORDERS % ORDERS];
            const nnjpeg_subsampling subsampling = (nnjpeg_subsampling)(k / 3 % SUBSAMPLINGS);
            const nnjpeg_colorspace colorspace = subsampling != NNJPEG_444 || k / 16 % 2 ? NNJPEG_YCBCR : NNJPEG_RGB;
            const int kind = k % (KINDS + 1) % KINDS, at_end = k / 3 % 2;
            ptrdiff_t origin, extent, src_origin, src_extent, dst_origin, dst_extent, n;
            const nnjpeg_strides src_strides = strides_of(from, &s, &src_origin, &src_extent);
            const nnjpeg_strides dst_strides = strides_of(to, &s, &dst_origin, &dst_extent);
            const nnjpeg_strides grad_strides = strides_of(orders[k / 2 % ORDERS], &s, &origin, &extent);
            float *src = (float *)place(source, src_extent * 4, src_origin * 4, at_end), *dst, *grad;
            if (kind >= NEAREST_BY_STEPS) {
                dst_extent = NNJPEG_BLOCK_SIZE;
                dst_origin = 0;
            }
            dst = (float *)place(target, dst_extent * 4, dst_origin * 4, at_end);
            grad = (float *)place(gradient, extent * 4, origin * 4, at_end);
            for (n = 0; n < extent; n++)
                grad[n - origin] = (float)(next_random() % 1000) / 1000.0f;
            for (n = 0; n < src_extent; n++)
                src[n - src_origin] = (float)(next_random() % 1200) / 1000.0f - 0.1f;
            for (n = 0; n < dst_extent; n++)
                dst[n - dst_origin] = 0.0f;
            nnjpeg_use_isa("generic");
            run_floats(&s, grad, &grad_strides, src, &src_strides, dst, &dst_strides, q, colorspace, subsampling, kind);
            memcpy(expected, dst - dst_origin, (size_t)dst_extent * sizeof(float));
            nnjpeg_use_isa(isa);
            run_floats(&s, grad, &grad_strides, src, &src_strides, dst, &dst_strides, q, colorspace, subsampling, kind);
            for (n = 0; n < dst_extent; n++) {
                const float difference = dst[n - dst_origin] - expected[n];
                differ += !(difference > -1e-3f && difference < 1e-3f);
                differ += kind == 0 && difference != 0.0f ? compared : 0; /* by way of bytes: none at all */
            }
            compared += (size_t)dst_extent;
        }
    return differ * 100 > compared;
}

int main(int argc, char **argv)
{
    const int step = argc > 1 ? atoi(argv[1]) : 1;
    const guarded source = allocate(), target = allocate(), blocks[3] = { allocate(), allocate(), allocate() };
    const char *name;
    uint64_t expected[2];
    int index, supported, differ = 0;

    nnjpeg_use_isa("generic");
    expected[0] = run_all(step, source, target);
    expected[1] = run_halves(step, source, target, blocks);
    for (index = 0; (name = nnjpeg_compiled_isa(index, &supported)); index++) {
        uint64_t roundtrips, halves;
        if (!supported) {
            printf("%s skipped: this CPU does not have it\n", name);
            continue;
        }
        nnjpeg_use_isa(name);
        roundtrips = run_all(step, source, target);
        halves = run_halves(step, source, target, blocks);
        printf("%s %016llx %016llx\n", name, (unsigned long long)roundtrips, (unsigned long long)halves);
        differ |= roundtrips != expected[0] || halves != expected[1] || floats_differ(name, step, source, target, blocks[0]);
        if (nnjpeg_openmp_threads())
            run_threads();
    }
    return differ;
}
