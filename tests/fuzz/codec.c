/* A fuzz target for the C API: any call, on images of any shape and strides, with memory that ends where they do.
 *
 * What must hold, whatever the input: no access outside the images (the sanitizers look), no write between samples, the
 * same bytes from every instruction set, from the stages one at a time and in place, floats within 0..1, and a status
 * for each bad argument, with nothing written. libFuzzer calls LLVMFuzzerTestOneInput; replay.c does where there is
 * none. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nnjpeg.h"

enum { AXES = 4, IMAGE = 0, COMPONENT = 1, ROW = 2, COLUMN = 3, LARGEST = 72, UNTOUCHED = 0xa5 };

static void fail(const char *what)
{
    fprintf(stderr, "failed: %s\n", what);
    abort();
}

#define EXPECT(condition) ((condition) ? (void)0 : fail(#condition))

/* Numbers from the input; once it is used up, from a generator seeded by it, so that short inputs make whole images. */
typedef struct source {
    const uint8_t *data;
    size_t left;
    uint32_t state;
} source;

static uint32_t byte(source *s)
{
    if (s->left) {
        s->left--;
        s->state = (s->state ^ *s->data) * 16777619u;
        return *s->data++;
    }
    s->state = s->state * 1664525u + 1013904223u;
    return s->state >> 24;
}

static ptrdiff_t below(source *s, uint32_t limit)
{
    uint32_t value = byte(s);
    if (limit > 256)
        value |= byte(s) << 8;
    return (ptrdiff_t)(value % limit);
}

/* Elements of `size` bytes in memory of exactly their extent; `first` is that of index 0 along all axes. */
typedef struct plane {
    nnjpeg_strides strides;
    uint8_t *memory, *first;
    size_t bytes;
} plane;

/* extents: of the axes; elements: that follow each other at each index (64 for blocks, else 1). Axes lie in any order,
 * in either direction, with gaps. */
static plane make_plane(source *s, const ptrdiff_t extents[AXES], ptrdiff_t elements, size_t size)
{
    ptrdiff_t strides[AXES], distance = elements, origin = 0, extent = 1;
    int order[AXES] = { COLUMN, ROW, COMPONENT, IMAGE }, i;
    plane p;
    for (i = AXES - 1; i > 0; i--) {
        const int j = (int)below(s, 4) % (i + 1), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
    for (i = 0; i < AXES; i++) {
        const ptrdiff_t length = extents[order[i]] > 0 ? extents[order[i]] : 1;
        const uint32_t kind = byte(s);
        distance += kind % 8 == 0 ? (ptrdiff_t)(kind / 8 % 4) : 0;
        strides[order[i]] = kind & 0x80 ? -distance : distance;
        if (strides[order[i]] < 0)
            origin += (length - 1) * distance;
        extent += (length - 1) * distance;
        distance *= length;
    }
    p.strides.image = strides[IMAGE];
    p.strides.component = strides[COMPONENT];
    p.strides.row = strides[ROW];
    p.strides.column = strides[COLUMN];
    p.bytes = (size_t)(extent + elements - 1) * size;
    p.memory = malloc(p.bytes);
    EXPECT(p.memory != NULL);
    p.first = p.memory + origin * (ptrdiff_t)size;
    memset(p.memory, UNTOUCHED, p.bytes);
    return p;
}

static uint8_t *at(const plane *p, ptrdiff_t n, ptrdiff_t c, ptrdiff_t y, ptrdiff_t x, size_t size)
{
    return p->first + (n * p->strides.image + c * p->strides.component + y * p->strides.row + x * p->strides.column) *
                          (ptrdiff_t)size;
}

/* Runs a statement for all elements of `shape`, as n, c, y, x. */
#define EACH(shape, ...)                                                                                               \
    do {                                                                                                               \
        ptrdiff_t n, c, y, x;                                                                                          \
        for (n = 0; n < (shape).images; n++)                                                                           \
            for (c = 0; c < (shape).components; c++)                                                                  \
                for (y = 0; y < (shape).height; y++)                                                                   \
                    for (x = 0; x < (shape).width; x++)                                                                \
                        __VA_ARGS__;                                                                                   \
    } while (0)

static void fill_bytes(source *s, plane *p, nnjpeg_shape shape)
{
    const ptrdiff_t kind = below(s, 4);
    const uint8_t flat = (uint8_t)byte(s);
    EACH(shape, {
        const uint32_t value = byte(s);
        *at(p, n, c, y, x, 1) = (uint8_t)(kind == 0 ? value : kind == 1 ? 255 * (value & 1) : kind == 2 ? flat : value & 3);
    });
}

/* Any bits: denormals, infinities and not-a-numbers too; returns whether there was one of the last. */
static int fill_floats(source *s, plane *p, nnjpeg_shape shape)
{
    const ptrdiff_t wild = below(s, 3);
    int nan = 0;
    EACH(shape, {
        float value = (float)byte(s) / 255;
        if (wild && byte(s) % (wild == 1 ? 2 : 16) == 0) {
            const uint32_t bits = byte(s) | byte(s) << 8 | byte(s) << 16 | byte(s) << 24;
            memcpy(&value, &bits, sizeof value);
        }
        nan |= isnan(value);
        memcpy(at(p, n, c, y, x, sizeof value), &value, sizeof value);
    });
    return nan;
}

/* Whether all bytes of memory that belong to no element are as they were; length: of elements that follow each other. */
static void expect_gaps_untouched(const plane *p, nnjpeg_shape shape, size_t size, size_t length)
{
    uint8_t *copy = malloc(p->bytes);
    size_t i;
    EXPECT(copy != NULL);
    memcpy(copy, p->memory, p->bytes);
    EACH(shape, memset(copy + (at(p, n, c, y, x, size) - p->memory), UNTOUCHED, size * length));
    for (i = 0; i < p->bytes; i++)
        EXPECT(copy[i] == UNTOUCHED);
    free(copy);
}

static void expect_same(const plane *a, const plane *b, nnjpeg_shape shape, size_t size)
{
    EACH(shape, EXPECT(memcmp(at(a, n, c, y, x, size), at(b, n, c, y, x, size), size) == 0));
}

static plane like(const plane *p)
{
    plane q = *p;
    q.memory = malloc(p->bytes);
    EXPECT(q.memory != NULL);
    memset(q.memory, UNTOUCHED, p->bytes);
    q.first = q.memory + (p->first - p->memory);
    return q;
}

typedef struct call {
    nnjpeg_shape shape;
    nnjpeg_colorspace colorspace;
    nnjpeg_subsampling subsampling;
    nnjpeg_quantizer prepared[16];
    nnjpeg_quantizers quantizers;
    int num_threads;
} call;

static const ptrdiff_t *extents_of(nnjpeg_shape shape, ptrdiff_t extents[AXES])
{
    extents[IMAGE] = shape.images;
    extents[COMPONENT] = shape.components;
    extents[ROW] = shape.height;
    extents[COLUMN] = shape.width;
    return extents;
}

static int is_ycbcr(const call *job)
{
    return job->colorspace == NNJPEG_YCBCR || job->colorspace == NNJPEG_YCBCRX;
}

static const call *make_call(source *s, call *job)
{
    int i, k, tables;
    ptrdiff_t kind;
    job->shape.images = below(s, 4);
    job->shape.components = 1 + below(s, 4);
    job->shape.height = 1 + below(s, LARGEST);
    job->shape.width = 1 + below(s, LARGEST);
    job->colorspace = (nnjpeg_colorspace)below(s, 4);
    kind = below(s, 32);
    if (job->colorspace != NNJPEG_RGB && kind < 24) /* else such as they are, which may not fit */
        job->shape.components = job->colorspace == NNJPEG_YCBCR ? 3 : 4;
    job->subsampling = (nnjpeg_subsampling)(kind == 31 ? 4 : is_ycbcr(job) || kind == 30 ? kind % 4 : NNJPEG_444);
    job->num_threads = 1 + (int)below(s, 4);
    tables = (int)below(s, 4);
    job->quantizers.data = job->prepared;
    job->quantizers.image_stride = tables & 1 ? job->shape.components : 0;
    job->quantizers.component_stride = tables & 2 ? 1 : 0;
    for (i = 0; i < 16; i++) {
        const ptrdiff_t kind = i < 4 ? below(s, 4) : 0;
        uint16_t steps[NNJPEG_BLOCK_SIZE];
        for (k = 0; k < NNJPEG_BLOCK_SIZE; k++)
            steps[k] = (uint16_t)(kind == 1 ? 1 : kind == 2 ? 255 : kind == 3 ? 1 + byte(s) % 10 : 1 + byte(s) % 255);
        EXPECT(nnjpeg_quantizer_init(&job->prepared[i], steps) == NNJPEG_OK);
    }
    return job;
}

/* Whether it must be accepted; most: the last colour space that it may have. */
static int is_good(const call *job, nnjpeg_colorspace most)
{
    if (job->colorspace > most || job->subsampling > NNJPEG_440 || (job->subsampling != NNJPEG_444 && !is_ycbcr(job)))
        return 0;
    return job->colorspace == NNJPEG_RGB || job->shape.components == (job->colorspace == NNJPEG_YCBCR ? 3 : 4);
}

/* Runs a statement with every instruction set of this CPU in use, the generic one first. */
#define WITH_EACH_ISA(...)                                                                                              \
    do {                                                                                                               \
        int isa_index, supported;                                                                                      \
        const char *isa_name;                                                                                          \
        nnjpeg_use_isa("generic");                                                                                     \
        __VA_ARGS__;                                                                                                   \
        for (isa_index = 0; (isa_name = nnjpeg_compiled_isa(isa_index, &supported)); isa_index++)                      \
            if (supported && nnjpeg_use_isa(isa_name) == NNJPEG_OK)                                                    \
                __VA_ARGS__;                                                                                           \
    } while (0)

static nnjpeg_shape grid_of(nnjpeg_shape shape)
{
    shape.height = (shape.height + 7) / 8;
    shape.width = (shape.width + 7) / 8;
    return shape;
}

/* The coefficients of a call: one array, or where chroma is subsampled one for each component. */
typedef struct coefficient_arrays {
    int count;
    nnjpeg_shape grids[3];
    plane planes[3];
    nnjpeg_coefficients arrays[3];
} coefficient_arrays;

static coefficient_arrays make_coefficients(source *s, const call *job)
{
    coefficient_arrays q;
    ptrdiff_t extents[AXES];
    int c;
    q.count = job->subsampling == NNJPEG_444 ? 1 : 3;
    for (c = 0; c < q.count; c++) {
        nnjpeg_shape shape = job->shape;
        if (q.count == 3)
            shape.components = 1;
        if (c > 0 && (job->subsampling == NNJPEG_422 || job->subsampling == NNJPEG_420))
            shape.width = (shape.width + 1) / 2;
        if (c > 0 && (job->subsampling == NNJPEG_420 || job->subsampling == NNJPEG_440))
            shape.height = (shape.height + 1) / 2;
        q.grids[c] = grid_of(shape);
        q.planes[c] = make_plane(s, extents_of(q.grids[c], extents), NNJPEG_BLOCK_SIZE, sizeof(int16_t));
        q.arrays[c].data = (int16_t *)(void *)q.planes[c].first;
        q.arrays[c].strides = q.planes[c].strides;
    }
    return q;
}

static void free_coefficients(coefficient_arrays *q)
{
    int c;
    for (c = 0; c < q->count; c++)
        free(q->planes[c].memory);
}

/* The sizes of files, the same with every instruction set. */
static void sizes(const call *job, const plane *src)
{
    const int good = is_good(job, NNJPEG_YCBCR) && (job->shape.components == 1 || job->shape.components == 3);
    int64_t first[2][4], result[2][4];
    int huffman, done = 0;
    memset(first, UNTOUCHED, sizeof first);
    WITH_EACH_ISA({
        memset(result, UNTOUCHED, sizeof result);
        for (huffman = NNJPEG_HUFFMAN_STANDARD; huffman <= NNJPEG_HUFFMAN_OPTIMAL; huffman++)
            EXPECT((nnjpeg_coded_size(&job->shape, src->first, &src->strides, result[huffman], NULL, job->quantizers, job->colorspace,
                                      job->subsampling, (nnjpeg_huffman)huffman, job->num_threads) == NNJPEG_OK) == good);
        EXPECT((good && !done) || memcmp(first, result, sizeof first) == 0);
        memcpy(first, result, sizeof first);
        done = 1;
    });
}

static void roundtrip(source *s)
{
    call memory;
    const call *const job = make_call(s, &memory);
    const int good = is_good(job, NNJPEG_YCBCRX);
    ptrdiff_t extents[AXES];
    plane src = make_plane(s, extents_of(job->shape, extents), 1, 1), before = like(&src);
    plane first = make_plane(s, extents, 1, 1), result = like(&first);
    int done = 0;
    fill_bytes(s, &src, job->shape);
    memcpy(before.memory, src.memory, src.bytes);
    WITH_EACH_ISA({
        const nnjpeg_status status = nnjpeg_roundtrip(&job->shape, src.first, &src.strides, done ? result.first : first.first,
                                                      &first.strides, job->quantizers, job->colorspace, job->subsampling, job->num_threads);
        EXPECT((status == NNJPEG_OK) == good);
        EXPECT(memcmp(before.memory, src.memory, src.bytes) == 0);
        if (!good)
            memset(result.memory, UNTOUCHED, result.bytes);
        EXPECT(!done || memcmp(first.memory, result.memory, first.bytes) == 0);
        done = 1;
    });
    sizes(job, &src);
    if (good) {
        expect_gaps_untouched(&first, job->shape, 1, 1);
        if (job->colorspace <= NNJPEG_YCBCR) { /* the stages one at a time */
            coefficient_arrays blocks = make_coefficients(s, job);
            int c;
            EXPECT(nnjpeg_forward(&job->shape, src.first, &src.strides, blocks.arrays, job->quantizers, job->colorspace,
                                  job->subsampling, job->num_threads) == NNJPEG_OK);
            for (c = 0; c < blocks.count; c++)
                expect_gaps_untouched(&blocks.planes[c], blocks.grids[c], sizeof(int16_t), NNJPEG_BLOCK_SIZE);
            memset(result.memory, UNTOUCHED, result.bytes);
            EXPECT(nnjpeg_inverse(&job->shape, blocks.arrays, result.first, &result.strides, job->quantizers, job->colorspace,
                                  job->subsampling, job->num_threads) == NNJPEG_OK);
            EXPECT(memcmp(first.memory, result.memory, first.bytes) == 0);
            free_coefficients(&blocks);
        }
        EXPECT(nnjpeg_roundtrip(&job->shape, src.first, &src.strides, src.first, &src.strides, job->quantizers, job->colorspace,
                                job->subsampling, job->num_threads) == NNJPEG_OK);
        expect_same(&src, &first, job->shape, 1); /* in place */
    } else {
        nnjpeg_shape nothing = job->shape;
        nothing.images = 0;
        expect_gaps_untouched(&first, nothing, 1, 1);
    }
    free(src.memory);
    free(before.memory);
    free(first.memory);
    free(result.memory);
}

static void floats(source *s)
{
    call memory;
    const call *const job = make_call(s, &memory);
    const nnjpeg_precision precision = (nnjpeg_precision)below(s, 3);
    const int good = is_good(job, NNJPEG_YCBCR);
    ptrdiff_t extents[AXES];
    plane src = make_plane(s, extents_of(job->shape, extents), 1, sizeof(float));
    plane grad = make_plane(s, extents, 1, sizeof(float));
    plane first = make_plane(s, extents, 1, sizeof(float)), result = like(&first);
    const int nan = fill_floats(s, &src, job->shape);
    const size_t count = (size_t)((job->quantizers.image_stride ? job->shape.images : 1) *
                                  (job->quantizers.component_stride ? job->shape.components : 1));
    float *tables = malloc(count * NNJPEG_BLOCK_SIZE * sizeof *tables); /* so that not one number more is written */
    int done = 0;
    fill_floats(s, &grad, job->shape);
    WITH_EACH_ISA({
        plane *out = done ? &result : &first;
        memset(out->memory, UNTOUCHED, out->bytes);
        EXPECT((nnjpeg_roundtrip_f32(&job->shape, (const float *)(void *)src.first, &src.strides, (float *)(void *)out->first,
                                     &out->strides, job->quantizers, job->colorspace, job->subsampling, precision,
                                     job->num_threads) == NNJPEG_OK) == good);
        if (good) {
            expect_gaps_untouched(out, job->shape, sizeof(float), 1);
            if (!nan || precision == NNJPEG_UINT8)
                EACH(job->shape, {
                    float value;
                    memcpy(&value, at(out, n, c, y, x, sizeof value), sizeof value);
                    EXPECT(value >= 0 && value <= 1);
                });
            if (precision == NNJPEG_UINT8 && done)
                EXPECT(memcmp(first.memory, result.memory, first.bytes) == 0);
        }
        memset(result.memory, UNTOUCHED, result.bytes);
        EXPECT((nnjpeg_cubic_backward_f32(&job->shape, (const float *)(void *)grad.first, &grad.strides,
                                          (const float *)(void *)src.first, &src.strides, (float *)(void *)result.first,
                                          &result.strides, job->quantizers, job->colorspace, job->subsampling,
                                          job->num_threads) == NNJPEG_OK) == good);
        if (good)
            expect_gaps_untouched(&result, job->shape, sizeof(float), 1);
        EXPECT((nnjpeg_table_backward_f32(&job->shape, (const float *)(void *)grad.first, &grad.strides,
                                          (const float *)(void *)src.first, &src.strides, tables, job->quantizers,
                                          job->colorspace, job->subsampling, precision, job->num_threads) == NNJPEG_OK) ==
               (good && precision != NNJPEG_UINT8 && (tables || job->shape.images == 0)));
        done = 1;
    });
    free(tables);
    free(src.memory);
    free(grad.memory);
    free(first.memory);
    free(result.memory);
}

/* Coefficients that no encoder makes: any int16 is allowed. */
static void coefficients(source *s)
{
    call memory;
    const call *const job = make_call(s, &memory);
    const int good = is_good(job, NNJPEG_YCBCR);
    const ptrdiff_t wild = below(s, 3); /* all, one of sixteen numbers, or none */
    ptrdiff_t extents[AXES];
    coefficient_arrays blocks = make_coefficients(s, job);
    plane first = make_plane(s, extents_of(job->shape, extents), 1, 1), result = like(&first);
    int c, done = 0;
    for (c = 0; c < blocks.count; c++) {
        int16_t *numbers = (int16_t *)(void *)blocks.planes[c].memory;
        size_t i;
        for (i = 0; i < blocks.planes[c].bytes / sizeof *numbers; i++) {
            const int small = wild == 2 || (wild == 1 && byte(s) % 16);
            numbers[i] = (int16_t)(small ? (int)byte(s) / 64 : (int)(byte(s) | byte(s) << 8));
        }
    }
    WITH_EACH_ISA({
        EXPECT((nnjpeg_inverse(&job->shape, blocks.arrays, done ? result.first : first.first, &first.strides, job->quantizers,
                               job->colorspace, job->subsampling, job->num_threads) == NNJPEG_OK) == good);
        EXPECT(!done || memcmp(first.memory, result.memory, first.bytes) == 0);
        done = 1;
    });
    if (good)
        expect_gaps_untouched(&first, job->shape, 1, 1);
    free_coefficients(&blocks);
    free(first.memory);
    free(result.memory);
}

static void spectrum(source *s)
{
    call memory;
    const call *const job = make_call(s, &memory);
    const nnjpeg_shape grid = grid_of(job->shape);
    ptrdiff_t extents[AXES];
    plane pixels = make_plane(s, extents_of(job->shape, extents), 1, 1);
    plane samples = make_plane(s, extents, 1, sizeof(float));
    plane blocks = make_plane(s, extents_of(grid, extents), NNJPEG_BLOCK_SIZE, sizeof(float));
    fill_bytes(s, &pixels, job->shape);
    WITH_EACH_ISA({
        EXPECT(nnjpeg_dct_u8(&job->shape, pixels.first, &pixels.strides, (float *)(void *)blocks.first, &blocks.strides) ==
               NNJPEG_OK);
        EXPECT(nnjpeg_idct_f32(&job->shape, (const float *)(void *)blocks.first, &blocks.strides,
                               (float *)(void *)samples.first, &samples.strides) == NNJPEG_OK);
        EACH(job->shape, {
            float value;
            memcpy(&value, at(&samples, n, c, y, x, sizeof value), sizeof value);
            EXPECT(fabsf(value - (float)*at(&pixels, n, c, y, x, 1)) < 0.01f);
        });
        expect_gaps_untouched(&samples, job->shape, sizeof(float), 1);
        EXPECT(nnjpeg_dct_f32(&job->shape, (const float *)(void *)samples.first, &samples.strides,
                              (float *)(void *)blocks.first, &blocks.strides) == NNJPEG_OK);
    });
    free(pixels.memory);
    free(samples.memory);
    free(blocks.memory);
}

/* Every argument wrong in turn. */
static void bad_arguments(source *s)
{
    uint16_t steps[NNJPEG_BLOCK_SIZE];
    nnjpeg_quantizer quantizer;
    nnjpeg_quantizers quantizers = { &quantizer, 0, 0 };
    uint8_t src[NNJPEG_BLOCK_SIZE], dst[NNJPEG_BLOCK_SIZE];
    nnjpeg_shape shape = { 1, 1, 8, 8 };
    nnjpeg_strides strides = { 0, 0, 8, 1 };
    nnjpeg_colorspace colorspace = NNJPEG_RGB;
    nnjpeg_subsampling subsampling = NNJPEG_444;
    int16_t block[NNJPEG_BLOCK_SIZE];
    nnjpeg_coefficients blocks = { NULL, strides };
    const ptrdiff_t wrong = -below(s, 256), which = below(s, 13);
    int k, valid = 1;
    for (k = 0; k < NNJPEG_BLOCK_SIZE; k++) {
        steps[k] = (uint16_t)(byte(s) | (byte(s) % 16 ? 0 : byte(s) << 8));
        valid &= steps[k] >= 1 && steps[k] <= 255;
        src[k] = (uint8_t)byte(s);
        dst[k] = UNTOUCHED;
    }
    EXPECT(nnjpeg_quantizer_init(&quantizer, steps) == (valid ? NNJPEG_OK : NNJPEG_BAD_STEP));
    for (k = 0; k < NNJPEG_BLOCK_SIZE; k++)
        steps[k] = 1;
    EXPECT(nnjpeg_quantizer_init(&quantizer, steps) == NNJPEG_OK);
    if (which == 5)
        quantizers.data = NULL;
    if (which == 6)
        shape.images = wrong - 1;
    if (which == 7)
        shape.height = wrong;
    if (which == 8)
        shape.components = wrong;
    if (which == 9)
        colorspace = (nnjpeg_colorspace)(1 + below(s, 200));
    if (which == 10)
        subsampling = (nnjpeg_subsampling)(1 + below(s, 200));
    blocks.data = which == 11 ? NULL : block;
    EXPECT(which > 10 || nnjpeg_roundtrip(which == 0 ? NULL : &shape, which == 1 ? NULL : src, which == 2 ? NULL : &strides,
                                          which == 3 ? NULL : dst, which == 4 ? NULL : &strides, quantizers, colorspace,
                                          subsampling, 1) != NNJPEG_OK);
    memset(block, UNTOUCHED, sizeof block);
    EXPECT(which == 3 || which == 4 || nnjpeg_forward(which == 0 ? NULL : &shape, which == 1 ? NULL : src,
                                                      which == 2 ? NULL : &strides, which == 12 ? NULL : &blocks, quantizers,
                                                      colorspace, subsampling, 1) != NNJPEG_OK);
    EXPECT(which == 1 || which == 2 || nnjpeg_inverse(which == 0 ? NULL : &shape, which == 12 ? NULL : &blocks,
                                                      which == 3 ? NULL : dst, which == 4 ? NULL : &strides, quantizers,
                                                      colorspace, subsampling, 1) != NNJPEG_OK);
    for (k = 0; k < NNJPEG_BLOCK_SIZE; k++)
        EXPECT(dst[k] == UNTOUCHED && (block[k] & 0xff) == UNTOUCHED);
    EXPECT(nnjpeg_use_isa("none") == NNJPEG_BAD_ISA && nnjpeg_use_isa(NULL) == NNJPEG_BAD_ISA);
    EXPECT(nnjpeg_status_message((nnjpeg_status)below(s, 256)) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(source *) = { roundtrip, roundtrip, roundtrip, floats, floats, coefficients, spectrum,
                                                 bad_arguments };
    source s = { data, size, 2166136261u };
    targets[below(&s, sizeof targets / sizeof targets[0])](&s);
    return 0;
}
