/* The stages one at a time, for those who want to see or store coefficients; and the plain DCT for analysis.
 *
 * The quantized halves go block by block over scalar lanes: they are not the hot path, and the inverse takes coefficients
 * of any size. The DCT goes by runs, on the strip's vectors. */
#include "lanes_scalar.h"

#include "block.h"
#include "image.h"
#include "strip.h"

typedef struct block_position {
    ptrdiff_t image, component, row, column;
} block_position;

static ptrdiff_t offset(const nnjpeg_strides *s, const block_position *p, ptrdiff_t scale)
{
    return p->image * s->image + p->component * s->component + p->row * scale * s->row + p->column * scale * s->column;
}

static int next_block(const nnjpeg_shape *shape, block_position *p, ptrdiff_t components)
{
    if (++p->column < nj_blocks(shape->width))
        return 1;
    p->column = 0;
    if (++p->row < nj_blocks(shape->height))
        return 1;
    p->row = 0;
    if ((p->component += components) < shape->components)
        return 1;
    p->component = 0;
    return ++p->image < shape->images;
}

static ptrdiff_t at_most(ptrdiff_t x, ptrdiff_t limit)
{
    return x < limit ? x : limit;
}

/* How much of the block's 8 rows or columns lies inside. */
static ptrdiff_t inside(ptrdiff_t block, ptrdiff_t samples)
{
    return at_most(samples - block * NNJPEG_BLOCK, NNJPEG_BLOCK);
}

/* A 1-D pass over all rows, or all columns, of a block. */
NJ_INLINE void block_pass(int32_t block[NNJPEG_BLOCK_SIZE], int rows, void (*pass)(lanes16 x[8]))
{
    int n, k, first = rows ? 8 : 1, step = rows ? 1 : 8;
    for (n = 0; n < 8; n++) {
        lanes16 x[8];
        for (k = 0; k < 8; k++)
            x[k] = block[n * first + k * step];
        pass(x);
        for (k = 0; k < 8; k++)
            block[n * first + k * step] = x[k];
    }
}

static void fdct_row(lanes16 x[8])
{
    lanes16 s[4], d[4];
    nj_mirror(x, s, d);
    nj_fdct_row(s, d, x);
}

nnjpeg_status nnjpeg_forward(const nnjpeg_shape *shape, const uint8_t *src, const nnjpeg_strides *src_strides,
                             int16_t *dst, const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers,
                             nnjpeg_colorspace colorspace)
{
    block_position p = { 0, 0, 0, 0 };
    nnjpeg_status status = nj_check(shape, src, src_strides, dst, dst_strides, colorspace, NNJPEG_YCBCR);
    const int components = colorspace == NNJPEG_YCBCR ? 3 : 1;
    if (status != NNJPEG_OK || shape->images == 0)
        return status;
    if (!quantizers.data)
        return NNJPEG_BAD_POINTER;
    do {
        const uint8_t *from = src + offset(src_strides, &p, NNJPEG_BLOCK);
        const ptrdiff_t last_row = inside(p.row, shape->height) - 1, last_column = inside(p.column, shape->width) - 1;
        int32_t blocks[3][NNJPEG_BLOCK_SIZE];
        int c, i, j, k;
        for (i = 0; i < 8; i++)
            for (j = 0; j < 8; j++) {
                const uint8_t *sample =
                    from + at_most(i, last_row) * src_strides->row + at_most(j, last_column) * src_strides->column;
                lanes16 x[3];
                for (c = 0; c < components; c++)
                    x[c] = sample[c * src_strides->component];
                if (colorspace == NNJPEG_YCBCR)
                    nj_rgb_to_ycbcr(x);
                for (c = 0; c < components; c++)
                    blocks[c][8 * i + j] = x[c];
            }
        for (c = 0; c < components; c++) {
            const nnjpeg_quantizer *q = nj_quantizer_of(quantizers, p.image, p.component + c);
            int16_t *to = dst + offset(dst_strides, &p, 1) + c * dst_strides->component;
            block_pass(blocks[c], 1, fdct_row);
            block_pass(blocks[c], 0, nj_fdct_column);
            for (k = 0; k < NNJPEG_BLOCK_SIZE; k++)
                to[k] = (int16_t)nj_quantize(blocks[c][k], &q->steps[k]);
        }
    } while (next_block(shape, &p, components));
    return NNJPEG_OK;
}

nnjpeg_status nnjpeg_inverse(const nnjpeg_shape *shape, const int16_t *src, const nnjpeg_strides *src_strides,
                             uint8_t *dst, const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers,
                             nnjpeg_colorspace colorspace)
{
    block_position p = { 0, 0, 0, 0 };
    nnjpeg_status status = nj_check(shape, src, src_strides, dst, dst_strides, colorspace, NNJPEG_YCBCR);
    const int components = colorspace == NNJPEG_YCBCR ? 3 : 1;
    if (status != NNJPEG_OK || shape->images == 0)
        return status;
    if (!quantizers.data)
        return NNJPEG_BAD_POINTER;
    do {
        uint8_t *to = dst + offset(dst_strides, &p, NNJPEG_BLOCK);
        const ptrdiff_t rows = inside(p.row, shape->height), columns = inside(p.column, shape->width);
        int32_t blocks[3][NNJPEG_BLOCK_SIZE];
        int c, i, j, k;
        for (c = 0; c < components; c++) {
            const nnjpeg_quantizer *q = nj_quantizer_of(quantizers, p.image, p.component + c);
            const int16_t *from = src + offset(src_strides, &p, 1) + c * src_strides->component;
            for (k = 0; k < NNJPEG_BLOCK_SIZE; k++)
                blocks[c][k] = nj_dequantize(from[k], &q->steps[k]);
            block_pass(blocks[c], 0, nj_idct_column);
            block_pass(blocks[c], 1, nj_idct_row);
        }
        for (i = 0; i < rows; i++)
            for (j = 0; j < columns; j++) {
                uint8_t *sample = to + i * dst_strides->row + j * dst_strides->column;
                lanes16 x[3];
                for (c = 0; c < components; c++)
                    x[c] = clamp16(blocks[c][8 * i + j]);
                if (colorspace == NNJPEG_YCBCR)
                    nj_ycbcr_to_rgb(x);
                for (c = 0; c < components; c++)
                    sample[c * dst_strides->component] = (uint8_t)clamp16(x[c]);
            }
    } while (next_block(shape, &p, components));
    return NNJPEG_OK;
}

nnjpeg_status nnjpeg_quantize(const int16_t *coefficients, int16_t *quantized, ptrdiff_t count, uint16_t step)
{
    nnjpeg_quantizer q;
    uint16_t steps[NNJPEG_BLOCK_SIZE];
    nnjpeg_status status;
    ptrdiff_t i;
    if (!coefficients || !quantized)
        return NNJPEG_BAD_POINTER;
    for (i = 0; i < NNJPEG_BLOCK_SIZE; i++)
        steps[i] = step;
    status = nnjpeg_quantizer_init(&q, steps);
    if (status != NNJPEG_OK)
        return status;
    for (i = 0; i < count; i++)
        quantized[i] = (int16_t)nj_quantize(coefficients[i], &q.steps[0]);
    return NNJPEG_OK;
}

/* The plain DCT goes by runs of two blocks side by side. */
typedef float run_samples[NNJPEG_BLOCK][NJ_F32_RUN_WIDTH];

static ptrdiff_t samples_at(const nnjpeg_strides *s, const block_position *p)
{
    return offset(s, p, NNJPEG_BLOCK);
}

/* One run's samples, its last column and row repeated where it ends. */
NJ_INLINE void stage_run(const void *src, int bytes, const nnjpeg_shape *shape, const nnjpeg_strides *s,
                         const block_position *p, run_samples to)
{
    const ptrdiff_t from = samples_at(s, p), height = inside(p->row, shape->height);
    const ptrdiff_t width = at_most(shape->width - p->column * NNJPEG_BLOCK, NJ_F32_RUN_WIDTH);
    ptrdiff_t y, x;
    for (y = 0; y < NNJPEG_BLOCK; y++) {
        const ptrdiff_t row = from + at_most(y, height - 1) * s->row;
        if (bytes) {
            const uint8_t *samples = (const uint8_t *)src + row;
            uint8_t gathered[NJ_F32_RUN_WIDTH] = { 0 };
            if (s->column != 1 || width < NJ_F32_RUN_WIDTH) {
                for (x = 0; x < width; x++)
                    gathered[x] = samples[x * s->column];
                samples = gathered;
            }
            for (x = 0; x < NJ_F32_RUN_WIDTH; x++) /* all of them: vectors want a fixed number */
                to[y][x] = samples[x];
        } else {
            for (x = 0; x < width; x++)
                to[y][x] = ((const float *)src)[row + x * s->column];
        }
        for (x = width; x < NJ_F32_RUN_WIDTH; x++)
            to[y][x] = to[y][width - 1];
    }
}

/* The coefficients of the run's blocks; `spare` where there is no second. */
static void blocks_of(const nnjpeg_shape *shape, const nnjpeg_strides *s, const block_position *p, float *data, float *spare,
                      float *blocks[NJ_F32_RUN_BLOCKS])
{
    int b;
    for (b = 0; b < NJ_F32_RUN_BLOCKS; b++)
        blocks[b] = p->column + b < nj_blocks(shape->width) ? data + offset(s, p, 1) + b * s->column : spare;
}

static int next_run(const nnjpeg_shape *shape, block_position *p)
{
    p->column += NJ_F32_RUN_BLOCKS - 1;
    return next_block(shape, p, 1);
}

NJ_INLINE nnjpeg_status dct(const nnjpeg_shape *shape, const void *src, int bytes, const nnjpeg_strides *src_strides,
                            float *dst, const nnjpeg_strides *dst_strides)
{
    block_position p = { 0, 0, 0, 0 };
    nnjpeg_status status = nj_check(shape, src, src_strides, dst, dst_strides, NNJPEG_RGB, NNJPEG_RGB);
    const nj_strip *strip = nj_strip_for_cpu();
    if (status != NNJPEG_OK || shape->images == 0)
        return status;
    if (!strip)
        return NNJPEG_BAD_ISA;
    do {
        float spare[NNJPEG_BLOCK_SIZE], *blocks[NJ_F32_RUN_BLOCKS];
        run_samples staged;
        blocks_of(shape, dst_strides, &p, dst, spare, blocks);
        if (!bytes && src_strides->column == 1 && inside(p.row, shape->height) == NNJPEG_BLOCK &&
            shape->width - p.column * NNJPEG_BLOCK >= NJ_F32_RUN_WIDTH) {
            /* All whole runs of the row. */
            const float *from = (const float *)src + samples_at(src_strides, &p);
            const ptrdiff_t runs = (shape->width - p.column * NNJPEG_BLOCK) / NJ_F32_RUN_WIDTH;
            ptrdiff_t run;
            int b;
            for (run = 0; run < runs; run++) {
                strip->dct(from + run * NJ_F32_RUN_WIDTH, src_strides->row, blocks);
                for (b = 0; b < NJ_F32_RUN_BLOCKS; b++)
                    blocks[b] += NJ_F32_RUN_BLOCKS * dst_strides->column;
            }
            p.column += (runs - 1) * NJ_F32_RUN_BLOCKS;
        } else {
            stage_run(src, bytes, shape, src_strides, &p, staged);
            strip->dct(staged[0], NJ_F32_RUN_WIDTH, blocks);
        }
    } while (next_run(shape, &p));
    return NNJPEG_OK;
}

nnjpeg_status nnjpeg_dct_u8(const nnjpeg_shape *shape, const uint8_t *src, const nnjpeg_strides *src_strides,
                            float *dst, const nnjpeg_strides *dst_strides)
{
    return dct(shape, src, 1, src_strides, dst, dst_strides);
}

nnjpeg_status nnjpeg_dct_f32(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides, float *dst,
                             const nnjpeg_strides *dst_strides)
{
    return dct(shape, src, 0, src_strides, dst, dst_strides);
}

nnjpeg_status nnjpeg_idct_f32(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides,
                              float *dst, const nnjpeg_strides *dst_strides)
{
    block_position p = { 0, 0, 0, 0 };
    nnjpeg_status status = nj_check(shape, src, src_strides, dst, dst_strides, NNJPEG_RGB, NNJPEG_RGB);
    const nj_strip *strip = nj_strip_for_cpu();
    if (status != NNJPEG_OK || shape->images == 0)
        return status;
    if (!strip)
        return NNJPEG_BAD_ISA;
    do {
        static const float zeros[NNJPEG_BLOCK_SIZE];
        const float *blocks[NJ_F32_RUN_BLOCKS];
        run_samples samples;
        const ptrdiff_t height = inside(p.row, shape->height), left = shape->width - p.column * NNJPEG_BLOCK;
        float *to = dst + samples_at(dst_strides, &p);
        ptrdiff_t b, y, x;
        for (b = 0; b < NJ_F32_RUN_BLOCKS; b++)
            blocks[b] = p.column + b < nj_blocks(shape->width) ? src + offset(src_strides, &p, 1) + b * src_strides->column
                                                               : zeros;
        strip->idct(blocks, samples[0], NJ_F32_RUN_WIDTH);
        for (y = 0; y < height; y++)
            for (x = 0; x < at_most(left, NJ_F32_RUN_WIDTH); x++)
                to[y * dst_strides->row + x * dst_strides->column] = samples[y][x];
    } while (next_run(shape, &p));
    return NNJPEG_OK;
}
