/* The stages one at a time, for those who want to see or store coefficients; and the plain DCT for analysis.
 *
 * Block by block over scalar lanes: these calls are not the hot path, and the inverse takes coefficients of any size. */
#include "lanes_scalar.h"

#include "block.h"
#include "image.h"

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

/* Eight blocks at a time, one a lane, so that the compiler can vectorize: [sample][lane]. */
enum { LANES = 8 };
typedef float float_group[NNJPEG_BLOCK_SIZE][LANES];

static void float_passes(float_group g, void (*pass)(float x[8][LANES]))
{
    int n, k, lane;
    for (n = 0; n < 8; n++)
        pass(&g[8 * n]);
    for (n = 0; n < 8; n++) {
        float x[8][LANES];
        for (k = 0; k < 8; k++)
            for (lane = 0; lane < LANES; lane++)
                x[k][lane] = g[8 * k + n][lane];
        pass(x);
        for (k = 0; k < 8; k++)
            for (lane = 0; lane < LANES; lane++)
                g[8 * k + n][lane] = x[k][lane];
    }
}

static void dct_pass(float x[8][LANES])
{
    int lane, k;
    for (lane = 0; lane < LANES; lane++) {
        float v[8];
        for (k = 0; k < 8; k++)
            v[k] = x[k][lane];
        nj_dct_f32(v);
        for (k = 0; k < 8; k++)
            x[k][lane] = v[k];
    }
}

static void idct_pass(float x[8][LANES])
{
    int lane, k;
    for (lane = 0; lane < LANES; lane++) {
        float v[8];
        for (k = 0; k < 8; k++)
            v[k] = x[k][lane];
        nj_idct_f32(v);
        for (k = 0; k < 8; k++)
            x[k][lane] = v[k];
    }
}

typedef enum sample_type { SAMPLES_U8, SAMPLES_F32 } sample_type;

NJ_INLINE nnjpeg_status dct(const nnjpeg_shape *shape, const void *src, sample_type type,
                            const nnjpeg_strides *src_strides, float *dst, const nnjpeg_strides *dst_strides)
{
    block_position p = { 0, 0, 0, 0 };
    nnjpeg_status status = nj_check(shape, src, src_strides, dst, dst_strides, NNJPEG_RGB, NNJPEG_RGB);
    int more = 1;
    float_group g = { { 0 } };
    if (status != NNJPEG_OK || shape->images == 0)
        return status;
    while (more) {
        float *to[LANES];
        int lane, i, j, k, filled = 0;
        for (; filled < LANES && more; filled++, more = next_block(shape, &p, 1)) {
            const ptrdiff_t from = offset(src_strides, &p, NNJPEG_BLOCK);
            const ptrdiff_t last_row = inside(p.row, shape->height) - 1,
                            last_column = inside(p.column, shape->width) - 1;
            to[filled] = dst + offset(dst_strides, &p, 1);
            for (i = 0; i < 8; i++)
                for (j = 0; j < 8; j++) {
                    ptrdiff_t at = from + at_most(i, last_row) * src_strides->row +
                                   at_most(j, last_column) * src_strides->column;
                    g[8 * i + j][filled] = type == SAMPLES_U8 ? ((const uint8_t *)src)[at] : ((const float *)src)[at];
                }
        }
        float_passes(g, dct_pass);
        for (lane = 0; lane < filled; lane++)
            for (k = 0; k < NNJPEG_BLOCK_SIZE; k++)
                to[lane][k] = g[k][lane];
    }
    return NNJPEG_OK;
}

nnjpeg_status nnjpeg_dct_u8(const nnjpeg_shape *shape, const uint8_t *src, const nnjpeg_strides *src_strides,
                            float *dst, const nnjpeg_strides *dst_strides)
{
    return dct(shape, src, SAMPLES_U8, src_strides, dst, dst_strides);
}

nnjpeg_status nnjpeg_dct_f32(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides, float *dst,
                             const nnjpeg_strides *dst_strides)
{
    return dct(shape, src, SAMPLES_F32, src_strides, dst, dst_strides);
}

nnjpeg_status nnjpeg_idct_f32(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides,
                              float *dst, const nnjpeg_strides *dst_strides)
{
    block_position p = { 0, 0, 0, 0 };
    nnjpeg_status status = nj_check(shape, src, src_strides, dst, dst_strides, NNJPEG_RGB, NNJPEG_RGB);
    int more = 1;
    float_group g = { { 0 } };
    if (status != NNJPEG_OK || shape->images == 0)
        return status;
    while (more) {
        block_position at[LANES];
        int lane, i, j, k, filled = 0;
        for (; filled < LANES && more; filled++, more = next_block(shape, &p, 1)) {
            const float *from = src + offset(src_strides, &p, 1);
            at[filled] = p;
            for (k = 0; k < NNJPEG_BLOCK_SIZE; k++)
                g[k][filled] = from[k];
        }
        float_passes(g, idct_pass);
        for (lane = 0; lane < filled; lane++) {
            float *to = dst + offset(dst_strides, &at[lane], NNJPEG_BLOCK);
            const ptrdiff_t rows = inside(at[lane].row, shape->height), columns = inside(at[lane].column, shape->width);
            for (i = 0; i < rows; i++)
                for (j = 0; j < columns; j++)
                    to[i * dst_strides->row + j * dst_strides->column] = g[8 * i + j][lane];
        }
    }
    return NNJPEG_OK;
}
