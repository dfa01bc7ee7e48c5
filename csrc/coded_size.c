/* The number of bytes of the JPEG file that libjpeg-turbo makes of an image, headers included, without the file.
 *
 * Threads share the images of a batch. An image goes by strips, as in strips.c, but to coefficients that stay in the workspace,
 * where they are coded: to counts of symbols, from which its Huffman tables are made if it is to have its own, and then to codes.
 * Their lengths add up. A file has a zero byte after each byte of ones, so the last bits are put together as well. */
#include "scan.h"
#include "walk.h"

#include <stdlib.h>

enum { NO_SIZE = -1 };

/* A strip is rows of about so many blocks, for the first cache; or all of an image that is coded twice, if it fits the second. */
enum { BLOCKS_A_STRIP = 256, MOST_BLOCKS_A_STRIP = 4096 };

/* Tables of luma (or of all that is no chroma) and of chroma. */
typedef struct tables {
    nj_huffman dc[2], ac[2];
} tables;

/* Rows of MCUs as if they were an image, and where their coefficients go; for each block, which of them are not 0. */
typedef struct strip {
    nj_strips_job job;
    nj_walk walk;
    nnjpeg_coefficients blocks[NJ_CODED_COMPONENTS];
    uint64_t *nonzero[NJ_CODED_COMPONENTS];
} strip;

typedef struct call {
    nj_strips_job job; /* of all images */
    nnjpeg_huffman huffman;
    int64_t *sizes;
    uint8_t *lengths; /* of codes; NULL: not wanted */
    int kinds;         /* of Huffman tables: luma's, and chroma's beside */
    strip whole, rest; /* of the rows that a strip takes, and of those that are left for the last one; without coefficients */
    tables standard;
    ptrdiff_t blocks;                   /* of a strip, all components */
    ptrdiff_t slot, coefficients, part; /* bytes: of what a thread has of the workspace; where coefficients and a part begin */
    uint8_t *workspace;
} call;

/* What one thread works with, too large for its stack. */
typedef struct part {
    uint8_t *slot;
    strip whole, rest;
    tables own;
    int64_t counts[2][2][NJ_SYMBOLS]; /* [DC, AC] x [luma, chroma] */
    nj_scan scan;
} part;

static void find_nonzero_of_strip(const strip *t)
{
    int c;
    for (c = 0; c < t->walk.components; c++) {
        const ptrdiff_t blocks = t->walk.planes[c].block_rows * t->walk.planes[c].block_columns;
        ptrdiff_t i;
        for (i = 0; i < blocks; i++)
            t->nonzero[c][i] = nj_find_nonzero(t->blocks[c].data + i * NNJPEG_BLOCK_SIZE);
    }
}

/* The blocks of component c in one MCU. */
NJ_INLINE void code_mcu(nj_scan *s, const strip *t, int c, ptrdiff_t mcu_row, ptrdiff_t mcu, int counts)
{
    const nj_plane *p = &t->walk.planes[c];
    const ptrdiff_t v = t->walk.v / p->v, h = t->walk.h / p->h;
    ptrdiff_t row, column;
    for (row = mcu_row * v; row < (mcu_row + 1) * v; row++)
        for (column = mcu * h; column < (mcu + 1) * h; column++) {
            const ptrdiff_t block = row * p->block_columns + column;
            if (row < p->block_rows && column < p->block_columns)
                nj_code_block(s, c, t->blocks[c].data + block * NNJPEG_BLOCK_SIZE, t->nonzero[c][block], counts);
            else
                nj_code_dummy(s, c, counts);
        }
}

NJ_INLINE void code_strip(nj_scan *s, const strip *t, int counts)
{
    const nj_walk *w = &t->walk;
    const ptrdiff_t columns = (w->planes[0].block_columns - 1) / w->h + 1, components = w->components;
    const int whole = w->h == 1 && w->v == 1;
    ptrdiff_t mcu_row, mcu, block = 0;
    int c;
    for (mcu_row = 0; mcu_row < w->mcu_rows; mcu_row++)
        for (mcu = 0; mcu < columns; mcu++, block++) {
            if (!counts && s->waiting > NJ_WAITING - NJ_CODES_AN_MCU)
                nj_put(s);
            for (c = 0; c < components; c++)
                if (whole)
                    nj_code_block(s, c, t->blocks[c].data + block * NNJPEG_BLOCK_SIZE, t->nonzero[c][block], counts);
                else
                    code_mcu(s, t, c, mcu_row, mcu, counts);
        }
}

static void count_strip(nj_scan *s, const strip *t) { code_strip(s, t, 1); }

static void put_strip(nj_scan *s, const strip *t) { code_strip(s, t, 0); }

/* The coefficients of a strip that begins at a row of an image. */
static void transform_strip(const call *j, const part *p, const strip *t, ptrdiff_t image, ptrdiff_t row)
{
    const nj_walk *w = &t->walk;
    const nj_samples src = nj_from(j->job.src, image, 0, row, 0);
    if (w->ycbcr)
        nj_encode_strip(w, p->slot, src, 0, w->mcu_rows);
    else
        nj_fetch_strip(w, p->slot, src, 0, w->mcu_rows);
    nj_transform_strip(w, p->slot, image, 0, 0, w->mcu_rows, 0);
    find_nonzero_of_strip(t);
}

/* All blocks of an image, to counts or to codes; again: the strip before was of this image. */
static void code_image(const call *j, part *p, ptrdiff_t image, int again, void (*code)(nj_scan *s, const strip *t))
{
    const ptrdiff_t rows = p->whole.job.shape.height, height = j->job.shape.height;
    ptrdiff_t row;
    memset(p->scan.last_dc, 0, sizeof p->scan.last_dc);
    for (row = 0; row < height; row += rows) {
        const strip *t = height - row > rows ? &p->whole : &p->rest;
        if (!again || rows < height)
            transform_strip(j, p, t, image, row);
        code(&p->scan, t);
    }
}

/* Quantization tables that the file of an image has: components at the end that have equal ones share it. */
static int64_t step_tables(const call *j, ptrdiff_t image)
{
    const nnjpeg_quantizers q = j->job.quantizers;
    ptrdiff_t count = q.component_stride ? j->job.shape.components : 1;
    while (count > 1 && memcmp(nj_quantizer_of(q, image, count - 1)->steps_f32, nj_quantizer_of(q, image, count - 2)->steps_f32,
                               sizeof q.data->steps_f32) == 0)
        count--;
    return count;
}

/* Bytes of all segments of the file of an image but the coded blocks. */
static int64_t header_size(const call *j, const tables *t, ptrdiff_t image)
{
    enum { MARKER = 2, LENGTH = 2, JFIF = 14, ADOBE = 12, STEPS = 1 + NNJPEG_BLOCK_SIZE, FRAME = 6, SCAN = 4, HUFFMAN = 1 + 16 };
    const int64_t components = j->job.shape.components;
    const int is_rgb = components == 3 && j->job.colorspace == NNJPEG_RGB;
    int64_t size = MARKER + MARKER; /* SOI, EOI */
    int i;
    size += MARKER + LENGTH + (is_rgb ? ADOBE : JFIF);
    size += step_tables(j, image) * (MARKER + LENGTH + STEPS);
    size += MARKER + LENGTH + FRAME + 3 * components;
    for (i = 0; i < j->kinds; i++)
        size += 2 * (MARKER + LENGTH + HUFFMAN) + t->dc[i].symbols + t->ac[i].symbols;
    return size + MARKER + LENGTH + SCAN + 2 * components;
}

static void write_lengths(const call *j, const tables *t, uint8_t (*lengths)[2][NJ_SYMBOLS])
{
    int kind, i;
    for (kind = 0; kind < 2; kind++)
        for (i = 0; i < NJ_SYMBOLS; i++) {
            lengths[kind][0][i] = kind < j->kinds ? (uint8_t)nj_length_of(t->dc[kind].codes[i]) : 0;
            lengths[kind][1][i] = kind < j->kinds ? (uint8_t)nj_length_of(t->ac[kind].codes[i]) : 0;
        }
}

static int64_t image_size(const call *j, part *p, ptrdiff_t image)
{
    const tables *used = j->huffman == NNJPEG_HUFFMAN_OPTIMAL ? &p->own : &j->standard;
    nj_scan *s = &p->scan;
    int c, kind;
    memset(s, 0, sizeof *s);
    for (c = 0; c < NJ_CODED_COMPONENTS; c++) {
        kind = c && j->kinds == 2;
        s->dc[c] = &used->dc[kind];
        s->ac[c] = &used->ac[kind];
        s->dc_counts[c] = p->counts[0][kind];
        s->ac_counts[c] = p->counts[1][kind];
    }
    if (used == &p->own) {
        memset(p->counts, 0, sizeof p->counts);
        code_image(j, p, image, 0, count_strip);
        for (kind = 0; kind < j->kinds; kind++) {
            if (!nj_optimal_huffman(&p->own.dc[kind], p->counts[0][kind]) ||
                !nj_optimal_huffman(&p->own.ac[kind], p->counts[1][kind]))
                return NO_SIZE;
            nj_code_small(&p->own.ac[kind]);
        }
    }
    code_image(j, p, image, used == &p->own, put_strip);
    if (j->lengths)
        write_lengths(j, used, (uint8_t(*)[2][NJ_SYMBOLS])(j->lengths + image * NNJPEG_CODE_LENGTHS));
    return header_size(j, used, image) + nj_put_bytes(s);
}

/* A strip of so many rows of pixels; 0: there is no instruction set. */
static int begin_strip(strip *t, const nj_strips_job *job, ptrdiff_t height)
{
    t->job = *job;
    t->job.shape.height = height;
    if (!nj_begin_walk(&t->walk, &t->job))
        return 0;
    nj_plan_slot(&t->walk, t->walk.mcu_rows);
    return 1;
}

/* The same strip, of a thread. blocks: of all components. */
static void place_strip(strip *t, const strip *of_call, int16_t *coefficients, ptrdiff_t blocks)
{
    uint64_t *nonzero = (uint64_t *)(void *)(coefficients + blocks * NNJPEG_BLOCK_SIZE);
    int c;
    *t = *of_call;
    t->walk.job = &t->job;
    t->job.dst_coefficients = t->blocks;
    for (c = 0; c < t->walk.components; c++) {
        const nj_plane *p = &t->walk.planes[c];
        const ptrdiff_t row = p->block_columns * NNJPEG_BLOCK_SIZE, plane = p->block_rows * row;
        const nnjpeg_strides strides = { 0, plane, row, NNJPEG_BLOCK_SIZE };
        t->blocks[c].data = coefficients;
        t->blocks[c].strides = strides;
        t->nonzero[c] = nonzero;
        coefficients += plane;
        nonzero += plane / NNJPEG_BLOCK_SIZE;
    }
}

static void process(const void *context, int number, int parts)
{
    const call *j = context;
    const nj_range range = nj_range_of(j->job.shape.images, number, parts);
    uint8_t *slot = j->workspace + number * j->slot;
    int16_t *coefficients = (int16_t *)(void *)(slot + j->coefficients);
    part *p = (part *)(void *)(slot + j->part);
    ptrdiff_t image;
    p->slot = slot;
    place_strip(&p->whole, &j->whole, coefficients, j->blocks);
    place_strip(&p->rest, &j->rest, coefficients, j->blocks);
    for (image = range.begin; image < range.end; image++)
        j->sizes[image] = image_size(j, p, image);
}

/* How many rows of pixels a strip has, of an image of so many rows of MCUs with so many blocks each. */
static ptrdiff_t rows_of_strip(const call *j, ptrdiff_t mcu_rows, ptrdiff_t blocks)
{
    const int twice = j->huffman == NNJPEG_HUFFMAN_OPTIMAL;
    ptrdiff_t rows = (BLOCKS_A_STRIP - 1) / blocks + 1;
    if (twice && mcu_rows <= MOST_BLOCKS_A_STRIP / blocks)
        rows = mcu_rows;
    return nj_at_most(rows * NNJPEG_BLOCK * j->whole.walk.v, j->job.shape.height);
}

/* Plans the strips and the workspace; returns how many blocks an image has, 0: there is no instruction set. */
static ptrdiff_t plan(call *j)
{
    const ptrdiff_t height = j->job.shape.height;
    const nj_walk *w = &j->whole.walk;
    ptrdiff_t blocks, mcu_rows, rows;
    int c;
    if (!begin_strip(&j->whole, &j->job, height))
        return 0;
    mcu_rows = w->mcu_rows;
    blocks = w->coded * w->planes[0].block_columns * w->v; /* of a row of MCUs, at most */
    rows = rows_of_strip(j, mcu_rows, blocks);
    if (!begin_strip(&j->whole, &j->job, rows) || !begin_strip(&j->rest, &j->job, height - (height - 1) / rows * rows))
        return 0;
    j->coefficients = w->slot > j->rest.walk.slot ? w->slot : j->rest.walk.slot;
    for (c = 0, j->blocks = 0; c < w->coded; c++)
        j->blocks += w->planes[c].block_columns * w->planes[c].block_rows;
    j->part = j->coefficients + j->blocks * (ptrdiff_t)(NNJPEG_BLOCK_SIZE * sizeof(int16_t) + sizeof(uint64_t));
    j->slot = nj_round_up(j->part + (ptrdiff_t)sizeof(part), NJ_WORKSPACE_ALIGNMENT);
    return blocks * mcu_rows;
}

static nnjpeg_status run(call *j)
{
    const ptrdiff_t images = j->job.shape.images, blocks = plan(j);
    ptrdiff_t image;
    void *memory;
    int parts, kind;
    if (!blocks)
        return NNJPEG_BAD_ISA;
    parts = nj_parts_for(images, blocks, j->job.num_threads);
    j->workspace = nj_workspace(parts * j->slot, &memory);
    if (!j->workspace)
        return NNJPEG_NO_MEMORY;
    for (kind = 0; kind < j->kinds && j->huffman == NNJPEG_HUFFMAN_STANDARD; kind++)
        nj_standard_huffman(&j->standard.dc[kind], &j->standard.ac[kind], kind);
    nj_parallel(process, j, parts);
    free(memory);
    for (image = 0; image < images; image++)
        if (j->sizes[image] == NO_SIZE)
            return NNJPEG_NO_CODE;
    return NNJPEG_OK;
}

static nnjpeg_status coded_size(const nnjpeg_shape *shape, const void *src, const nnjpeg_strides *src_strides, int size,
                                int64_t *sizes, uint8_t *lengths, nnjpeg_quantizers quantizers, nnjpeg_colorspace colorspace,
                                nnjpeg_subsampling subsampling, nnjpeg_huffman huffman, int num_threads)
{
    nnjpeg_status status = nj_check(shape, src, src_strides, sizes, sizes, colorspace, NNJPEG_YCBCR, subsampling);
    const nj_samples none = { NULL, { 0, 0, 0, 0 }, 1 };
    call j;
    if (status != NNJPEG_OK)
        return status;
    if (shape->components != 1 && shape->components != NJ_CODED_COMPONENTS)
        return NNJPEG_BAD_COLORSPACE;
    if (huffman != NNJPEG_HUFFMAN_STANDARD && huffman != NNJPEG_HUFFMAN_OPTIMAL)
        return NNJPEG_BAD_HUFFMAN;
    if (shape->images == 0)
        return NNJPEG_OK;
    if (!quantizers.data)
        return NNJPEG_BAD_POINTER;
    {
        const nj_strips_job job = { *shape, nj_samples_of(src, src_strides, size), none, NULL, NULL, quantizers, colorspace,
                                    subsampling, num_threads, NNJPEG_UINT8 };
        j.job = job;
    }
    j.kinds = colorspace == NNJPEG_YCBCR ? 2 : 1;
    j.huffman = huffman;
    j.sizes = sizes;
    j.lengths = lengths;
    return run(&j);
}

nnjpeg_status nnjpeg_coded_size(const nnjpeg_shape *shape, const uint8_t *src, const nnjpeg_strides *src_strides, int64_t *sizes,
                                uint8_t *lengths, nnjpeg_quantizers quantizers, nnjpeg_colorspace colorspace,
                                nnjpeg_subsampling subsampling, nnjpeg_huffman huffman, int num_threads)
{
    return coded_size(shape, src, src_strides, sizeof *src, sizes, lengths, quantizers, colorspace, subsampling, huffman,
                      num_threads);
}

nnjpeg_status nnjpeg_coded_size_f32(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides,
                                    int64_t *sizes, uint8_t *lengths, nnjpeg_quantizers quantizers,
                                    nnjpeg_colorspace colorspace, nnjpeg_subsampling subsampling, nnjpeg_huffman huffman,
                                    int num_threads)
{
    return coded_size(shape, src, src_strides, sizeof *src, sizes, lengths, quantizers, colorspace, subsampling, huffman,
                      num_threads);
}
