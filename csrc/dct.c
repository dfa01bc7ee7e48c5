/* The plain DCT and its inverse in single precision, for analysis: by runs of two blocks. */
#include "image.h"
#include "samples.h"

typedef float run_samples[NNJPEG_BLOCK * NJ_F32_RUN_WIDTH];

static ptrdiff_t at_most(ptrdiff_t x, ptrdiff_t limit) { return x < limit ? x : limit; }

static nj_samples staged(run_samples run)
{
    return nj_buffer(run, sizeof *run, 1, NJ_F32_RUN_WIDTH * (ptrdiff_t)sizeof *run, 0);
}

/* The way along the rows of blocks of all components and images. */
typedef struct place {
    ptrdiff_t image, component, row;
} place;

static place place_of(const nnjpeg_shape *shape, ptrdiff_t item)
{
    const ptrdiff_t rows = nj_blocks(shape->height);
    const place p = { item / rows / shape->components, item / rows % shape->components, item % rows };
    return p;
}

static ptrdiff_t items_of(const nnjpeg_shape *shape)
{
    return shape->images * shape->components * nj_blocks(shape->height);
}

/* A run's blocks; `other` where there is no second. */
static void blocks_of(const nnjpeg_shape *shape, const nnjpeg_strides *s, const place *p, ptrdiff_t column, const float *data,
                      const float *other, const float *blocks[NJ_F32_RUN_BLOCKS])
{
    int b;
    data += p->image * s->image + p->component * s->component + p->row * s->row + column * s->column;
    for (b = 0; b < NJ_F32_RUN_BLOCKS; b++)
        blocks[b] = column + b < nj_blocks(shape->width) ? data + b * s->column : other;
}

static nnjpeg_status dct(const nnjpeg_shape *shape, const void *src, const nnjpeg_strides *src_strides, int size, float *dst,
                         const nnjpeg_strides *dst_strides)
{
    nnjpeg_status status = nj_check(shape, src, src_strides, dst, dst_strides, NNJPEG_RGB, NNJPEG_RGB, NNJPEG_444);
    const nj_isa *isa = nj_isa_for_cpu();
    ptrdiff_t item;
    if (status != NNJPEG_OK || shape->images == 0)
        return status;
    if (!isa)
        return NNJPEG_BAD_ISA;
    for (item = 0; item < items_of(shape); item++) {
        const place p = place_of(shape, item);
        const nj_samples row = nj_from(nj_samples_of(src, src_strides, size), p.image, p.component, p.row * NNJPEG_BLOCK, 0);
        const ptrdiff_t height = at_most(shape->height - p.row * NNJPEG_BLOCK, NNJPEG_BLOCK);
        const int direct = size != 1 && nj_are_planes(&row) && height == NNJPEG_BLOCK;
        ptrdiff_t x;
        for (x = 0; x < shape->width; x += NJ_F32_RUN_WIDTH) {
            const ptrdiff_t width = at_most(shape->width - x, NJ_F32_RUN_WIDTH);
            float spare[NNJPEG_BLOCK_SIZE];
            const float *blocks[NJ_F32_RUN_BLOCKS];
            float *to[NJ_F32_RUN_BLOCKS];
            int b;
            blocks_of(shape, dst_strides, &p, x / NNJPEG_BLOCK, dst, spare, blocks);
            for (b = 0; b < NJ_F32_RUN_BLOCKS; b++)
                to[b] = (float *)(uintptr_t)blocks[b];
            if (direct && width == NJ_F32_RUN_WIDTH) {
                isa->dct((const float *)(const void *)nj_from(row, 0, 0, 0, x).data, src_strides->row, to);
            } else {
                run_samples run;
                nj_copy(nj_from(row, 0, 0, 0, x), staged(run), 1, height, width);
                nj_extend(staged(run), 1, height, width, NNJPEG_BLOCK, NJ_F32_RUN_WIDTH);
                isa->dct(run, NJ_F32_RUN_WIDTH, to);
            }
        }
    }
    return NNJPEG_OK;
}

nnjpeg_status nnjpeg_dct_u8(const nnjpeg_shape *shape, const uint8_t *src, const nnjpeg_strides *src_strides,
                            float *dst, const nnjpeg_strides *dst_strides)
{
    return dct(shape, src, src_strides, 1, dst, dst_strides);
}

nnjpeg_status nnjpeg_dct_f32(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides, float *dst,
                             const nnjpeg_strides *dst_strides)
{
    return dct(shape, src, src_strides, sizeof *src, dst, dst_strides);
}

nnjpeg_status nnjpeg_idct_f32(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides,
                              float *dst, const nnjpeg_strides *dst_strides)
{
    static const float zeros[NNJPEG_BLOCK_SIZE];
    nnjpeg_status status = nj_check(shape, src, src_strides, dst, dst_strides, NNJPEG_RGB, NNJPEG_RGB, NNJPEG_444);
    const nj_isa *isa = nj_isa_for_cpu();
    ptrdiff_t item;
    if (status != NNJPEG_OK || shape->images == 0)
        return status;
    if (!isa)
        return NNJPEG_BAD_ISA;
    for (item = 0; item < items_of(shape); item++) {
        const place p = place_of(shape, item);
        const nj_samples row = nj_from(nj_samples_of(dst, dst_strides, sizeof *dst), p.image, p.component, p.row * NNJPEG_BLOCK, 0);
        ptrdiff_t x;
        for (x = 0; x < shape->width; x += NJ_F32_RUN_WIDTH) {
            const float *blocks[NJ_F32_RUN_BLOCKS];
            run_samples run;
            blocks_of(shape, src_strides, &p, x / NNJPEG_BLOCK, src, zeros, blocks);
            isa->idct(blocks, run, NJ_F32_RUN_WIDTH);
            nj_copy(staged(run), nj_from(row, 0, 0, 0, x), 1, at_most(shape->height - p.row * NNJPEG_BLOCK, NNJPEG_BLOCK),
                    at_most(shape->width - x, NJ_F32_RUN_WIDTH));
        }
    }
    return NNJPEG_OK;
}
