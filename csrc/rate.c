/* How the bits of an image's file change where its quantization steps or its samples change a little.
 *
 * A coefficient is u steps, and coded as round(u): its bits jump where |u| passes a half. The gradient is that of the mean over
 * where the jumps are: each is spread over the coefficients near it, all others coded as they are. For AC these jumps are
 *   - that of |u| = 1/2, between a zero and a one. It moves the runs of zeros: the one's own code is won or lost, and the next
 *     code, or the end of the block, is another. Spread over |u| = 1/2 -+ NARROW / 2: most coefficients of photographs are far
 *     below a half, and to count them as well would say of high frequencies that finer steps cost much, where they cost nothing;
 *   - those of |u| + 1/2 = 2, 4, 8, ..., where one more bit of the value is written, after another code: each over a factor of
 *     sqrt(1/2)..sqrt(2), evenly by the logarithm.
 * What is coded of DC is the difference of neighbours' rounded u. Where that is no whole number, it is rounded up as often as its
 * fraction says: the jump between 0 and 1 is spread evenly over 0..1, the others as above.
 *
 * The bits of symbols are those of the codes that the image has now. That is exact to first order for codes made for the image, too,
 * since they are as short as can be. Whole bytes and the zeros stuffed into them are left out. */
#include "huffman.h"
#include "walk.h"
#include "zigzag.h"

#include <math.h>
#include <stdlib.h>

static const float NARROW = 0.25f;

enum { MOST_BITS = 11, KINDS = 2 };

/* [luma, chroma][DC, AC] of an image */
typedef uint8_t code_lengths[KINDS][2][NJ_SYMBOLS];

typedef struct call {
    nj_strips_job job, gradients; /* the image as bytes; and the planes that its gradient is made in, of no image: not wanted */
    nj_walk walk, gradients_walk;
    const float *weights;
    const code_lengths *lengths;
    float *tables;
    ptrdiff_t slot, coefficients, planes; /* bytes: of what a thread has of the workspace; where its parts begin */
    uint8_t *workspace;
} call;

static int bits_of_code(const uint8_t *lengths, int symbol) { return lengths[symbol] ? lengths[symbol] : NJ_LONGEST_CODE; }

/* Of a value of so many bits, and of the zeros before it. */
static int bits_after_run(const uint8_t *ac, int run, int bits)
{
    return run / NJ_RUNS * bits_of_code(ac, NJ_SIXTEEN_ZEROS) + bits_of_code(ac, run % NJ_RUNS << 4 | bits) + bits;
}

/* By |u|, of the jumps at |u| + 1/2 = 2, 4, 8, ..., after a run of zeros below NJ_RUNS. */
static float slope_of_bits(const uint8_t *lengths, int run, float magnitude)
{
    const float t = magnitude + 0.5f;
    int bits;
    if (t < 1.41421356f)
        return 0.0f;
    frexpf(t * 1.41421356f, &bits);
    bits--;
    if (bits >= MOST_BITS)
        return 0.0f;
    run <<= 4;
    return (float)(bits_of_code(lengths, run | (bits + 1)) + 1 - bits_of_code(lengths, run | bits)) / (t * 0.69314718f);
}

static float slope_of_dc(const uint8_t *dc, float difference)
{
    const float magnitude = fabsf(difference);
    float slope = slope_of_bits(dc, 0, magnitude);
    if (magnitude < 1.0f)
        slope += (float)(bits_of_code(dc, 1) + 1 - bits_of_code(dc, 0));
    return difference < 0.0f ? -slope : difference > 0.0f ? slope : 0.0f;
}

/* A component's coefficients, in a buffer in the order of its blocks. */
typedef struct component {
    const nj_plane *plane;
    const uint8_t *dc, *ac;
    float reciprocals[NNJPEG_BLOCK_SIZE]; /* of steps */
    float *coefficients, weight;
    double by_step[NNJPEG_BLOCK_SIZE];    /* times the step */
    float dc_before, *slope_before;       /* of the block before in the order of the file; NULL: there is none */
} component;

/* The jump between a zero and a one at place i in zigzag order, in a block whose other values are as they are: in steps; `last` and
 * `next` are where the ones beside it are, if there are any. */
static int jump_from_zero(const uint8_t *ac, const float *u, int i, int last, int next)
{
    const int end = bits_of_code(ac, NJ_END_OF_BLOCK), one = bits_after_run(ac, i - last - 1, 1);
    int bits;
    if (next == NNJPEG_BLOCK_SIZE)
        return one + (i < NNJPEG_BLOCK_SIZE - 1 ? end : 0) - end;
    bits = nj_bits_of((int)(fabsf(u[nj_natural_of_zigzag[next]]) + 0.5f));
    return one + bits_after_run(ac, next - i - 1, bits) - bits_after_run(ac, next - last - 1, bits);
}

/* From the AC coefficients of a block, in steps, to the gradient by them. Those below all jumps, which are nearly all, are passed
 * over. */
static void backward_of_ac(component *p, const float *u, float *slopes)
{
    uint8_t near_jumps[NNJPEG_BLOCK_SIZE], not_zero[NNJPEG_BLOCK_SIZE];
    uint64_t found, values;
    int last = 0, i;
    for (i = 0; i < NNJPEG_BLOCK_SIZE; i++) {
        near_jumps[i] = fabsf(u[i]) > 0.5f - NARROW / 2;
        not_zero[i] = fabsf(u[i]) >= 0.5f;
    }
    values = nj_in_zigzag(not_zero);
    for (found = nj_in_zigzag(near_jumps) & ~UINT64_C(1); found; found &= found - 1) {
        const int place = nj_lowest_bit(found), at = nj_natural_of_zigzag[place];
        const uint64_t later = values & ~((UINT64_C(2) << place) - 1);
        const float magnitude = fabsf(u[at]);
        float slope = slope_of_bits(p->ac, (place - last - 1) % NJ_RUNS, magnitude);
        if (magnitude < 0.5f + NARROW / 2)
            slope += (float)jump_from_zero(p->ac, u, place, last, later ? nj_lowest_bit(later) : NNJPEG_BLOCK_SIZE) / NARROW;
        p->by_step[at] -= magnitude * slope;
        slopes[at] = u[at] < 0.0f ? -slope : slope;
        if (not_zero[at])
            last = place;
    }
}

/* From coefficients c to the gradient by them, and by the steps q: u = c / q, so du/dq = -u / q. */
static void backward_of_block(component *p, float *block)
{
    float u[NNJPEG_BLOCK_SIZE], slopes[NNJPEG_BLOCK_SIZE] = { 0.0f }, difference;
    int i;
    block[0] = rintf(8.0f * block[0]) / 8.0f; /* exactly, so that the difference of equal ones has no sign */
    for (i = 0; i < NNJPEG_BLOCK_SIZE; i++)
        u[i] = block[i] * p->reciprocals[i];
    difference = u[0] - p->dc_before;
    slopes[0] = slope_of_dc(p->dc, difference);
    p->by_step[0] -= difference * slopes[0];
    backward_of_ac(p, u, slopes);
    for (i = 0; i < NNJPEG_BLOCK_SIZE; i++)
        block[i] = p->weight * slopes[i] * p->reciprocals[i];
    if (p->slope_before)
        *p->slope_before -= block[0];
    p->slope_before = block;
    p->dc_before = u[0];
}

/* All blocks in the order of the file; those that fill MCUs beyond the image repeat the DC before, and change nothing. */
static void backward_of_component(const nj_walk *w, component *p)
{
    const nj_plane *plane = p->plane;
    const ptrdiff_t v = w->v / plane->v, h = w->h / plane->h, columns = (w->planes[0].block_columns - 1) / w->h + 1;
    ptrdiff_t mcu_row, mcu, row, column;
    for (mcu_row = 0; mcu_row < w->mcu_rows; mcu_row++)
        for (mcu = 0; mcu < columns; mcu++)
            for (row = mcu_row * v; row < nj_at_most((mcu_row + 1) * v, plane->block_rows); row++)
                for (column = mcu * h; column < nj_at_most((mcu + 1) * h, plane->block_columns); column++)
                    backward_of_block(p, p->coefficients + (row * plane->block_columns + column) * NNJPEG_BLOCK_SIZE);
}

static nnjpeg_strides strides_of_blocks(const nj_plane *p)
{
    const nnjpeg_strides strides = { 0, 0, p->block_columns * NNJPEG_BLOCK_SIZE, NNJPEG_BLOCK_SIZE };
    return strides;
}

static void backward_of_image(const call *j, uint8_t *slot, ptrdiff_t image)
{
    const nj_walk *w = &j->walk;
    const nj_samples src = nj_from(w->job->src, image, 0, 0, 0);
    float *coefficients = (float *)(void *)(slot + j->coefficients);
    int c, i;
    if (w->ycbcr)
        nj_encode_strip(w, slot, src, 0, w->mcu_rows);
    else
        nj_fetch_strip(w, slot, src, 0, w->mcu_rows);
    for (c = 0; c < w->components; c++) {
        const nj_plane *plane = &w->planes[c];
        const nnjpeg_shape shape = { 1, 1, plane->block_rows * NNJPEG_BLOCK, plane->block_columns * NNJPEG_BLOCK };
        const nnjpeg_strides samples = { 0, 0, plane->row, 1 }, blocks = strides_of_blocks(plane);
        const uint8_t *const lengths = j->lengths[image][c && w->ycbcr][0];
        const nnjpeg_quantizer *q = nj_quantizer_of(w->job->quantizers, image, c);
        component p = { plane, lengths, lengths + NJ_SYMBOLS, { 0.0f }, coefficients, j->weights[image], { 0.0 }, 0.0f, NULL };
        float *table = j->tables + (image * w->components + c) * NNJPEG_BLOCK_SIZE;
        for (i = 0; i < NNJPEG_BLOCK_SIZE; i++)
            p.reciprocals[i] = q->reciprocals_f32[i % NNJPEG_BLOCK * NNJPEG_BLOCK + i / NNJPEG_BLOCK];
        nnjpeg_dct_u8(&shape, nj_row_of(w, slot, c, 0, 0), &samples, coefficients, &blocks);
        p.dc_before = 128 * NNJPEG_BLOCK * p.reciprocals[0]; /* the level of 0, which is not shifted here */
        backward_of_component(w, &p);
        for (i = 0; i < NNJPEG_BLOCK_SIZE; i++)
            table[i] = (float)(p.weight * p.by_step[i] * p.reciprocals[i]);
        coefficients += shape.height * shape.width;
    }
}

/* From the gradient by coefficients to that by samples, of which 1 is 255 levels. */
static void write_gradient(const call *j, uint8_t *slot, ptrdiff_t image)
{
    const nj_walk *w = &j->gradients_walk;
    float *coefficients = (float *)(void *)(slot + j->coefficients);
    uint8_t *planes = slot + j->planes;
    int c;
    for (c = 0; c < w->components; c++) {
        const nj_plane *plane = &w->planes[c];
        const nnjpeg_shape shape = { 1, 1, plane->block_rows * NNJPEG_BLOCK, plane->block_columns * NNJPEG_BLOCK };
        const nnjpeg_strides samples = { 0, 0, plane->row / (ptrdiff_t)sizeof(float), 1 }, blocks = strides_of_blocks(plane);
        const ptrdiff_t count = shape.height * shape.width;
        ptrdiff_t i;
        for (i = 0; i < count; i++)
            coefficients[i] *= 255.0f;
        nnjpeg_idct_f32(&shape, coefficients, &blocks, (float *)(void *)nj_row_of(w, planes, c, 0, 0), &samples);
        coefficients += count;
    }
    nj_encode_strip_backward(w, planes, image, 0, w->mcu_rows, 0);
}

static void process(const void *context, int part, int parts)
{
    const call *j = context;
    const nj_range range = nj_range_of(j->job.shape.images, part, parts);
    uint8_t *slot = j->workspace + part * j->slot;
    ptrdiff_t image;
    for (image = range.begin; image < range.end; image++) {
        backward_of_image(j, slot, image);
        if (j->gradients.dst.data)
            write_gradient(j, slot, image);
    }
}

static nnjpeg_status run(call *j)
{
    nj_walk *w = &j->walk;
    ptrdiff_t blocks = 0;
    void *memory;
    int parts, c;
    if (!nj_begin_walk(w, &j->job) || !nj_begin_walk(&j->gradients_walk, &j->gradients))
        return NNJPEG_BAD_ISA;
    nj_plan_slot(w, w->mcu_rows);
    nj_plan_slot(&j->gradients_walk, w->mcu_rows);
    for (c = 0; c < w->components; c++)
        blocks += w->planes[c].block_columns * w->planes[c].block_rows;
    j->coefficients = w->slot;
    j->planes = nj_round_up(w->slot + blocks * NNJPEG_BLOCK_SIZE * (ptrdiff_t)sizeof(float), NJ_WORKSPACE_ALIGNMENT);
    j->slot = j->planes + (j->gradients.dst.data ? j->gradients_walk.slot : 0);
    j->slot = nj_round_up(j->slot, NJ_WORKSPACE_ALIGNMENT);
    parts = nj_parts_for(j->job.shape.images, blocks, j->job.num_threads);
    j->workspace = nj_workspace(parts * j->slot, &memory);
    if (!j->workspace)
        return NNJPEG_NO_MEMORY;
    nj_parallel(process, j, parts);
    free(memory);
    return NNJPEG_OK;
}

static nnjpeg_status rate_backward(const nnjpeg_shape *shape, nj_samples src, nj_samples dst, const float *weights,
                                   const uint8_t *lengths, float *tables, nnjpeg_quantizers quantizers,
                                   nnjpeg_colorspace colorspace, nnjpeg_subsampling subsampling, int num_threads)
{
    const nj_samples none = { NULL, { 0, 0, 0, 0 }, 1 };
    const nj_strips_job bytes = { *shape, src, none, NULL, NULL, quantizers, colorspace, subsampling, num_threads, NNJPEG_UINT8 };
    const nj_strips_job floats = { *shape, src, dst, NULL, NULL, quantizers, colorspace, subsampling, num_threads, NNJPEG_FLOAT };
    call j;
    if (shape->components != 1 && shape->components != 3)
        return NNJPEG_BAD_COLORSPACE;
    if (shape->images == 0)
        return NNJPEG_OK;
    if (!quantizers.data || !weights || !lengths)
        return NNJPEG_BAD_POINTER;
    j.job = bytes;
    j.gradients = floats;
    j.weights = weights;
    j.lengths = (const code_lengths *)(const void *)lengths;
    j.tables = tables;
    return run(&j);
}

nnjpeg_status nnjpeg_rate_backward(const nnjpeg_shape *shape, const uint8_t *src, const nnjpeg_strides *src_strides,
                                   const float *weights, const uint8_t *lengths, float *tables, nnjpeg_quantizers quantizers,
                                   nnjpeg_colorspace colorspace, nnjpeg_subsampling subsampling, int num_threads)
{
    const nj_samples none = { NULL, { 0, 0, 0, 0 }, sizeof(float) };
    nnjpeg_status status = nj_check(shape, src, src_strides, tables, tables, colorspace, NNJPEG_YCBCR, subsampling);
    if (status != NNJPEG_OK)
        return status;
    return rate_backward(shape, nj_samples_of(src, src_strides, sizeof *src), none, weights, lengths, tables, quantizers,
                         colorspace, subsampling, num_threads);
}

nnjpeg_status nnjpeg_rate_backward_f32(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides,
                                       const float *weights, const uint8_t *lengths, float *tables, float *dst,
                                       const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers,
                                       nnjpeg_colorspace colorspace, nnjpeg_subsampling subsampling, int num_threads)
{
    nnjpeg_status status = nj_check(shape, src, src_strides, tables, dst_strides, colorspace, NNJPEG_YCBCR, subsampling);
    if (status != NNJPEG_OK)
        return status;
    return rate_backward(shape, nj_samples_of(src, src_strides, sizeof *src), nj_samples_of(dst, dst_strides, sizeof *dst),
                         weights, lengths, tables, quantizers, colorspace, subsampling, num_threads);
}
