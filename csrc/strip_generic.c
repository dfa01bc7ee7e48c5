/* A group of two runs in portable C: eight blocks, one a lane, in loops that a compiler turns into vectors. */
#include "lanes_generic.h"

#include "block.h"
#include "strip.h"

enum { RUNS = 2, LANES = RUNS * NJ_RUN_BLOCKS };

/* 8 vectors of lanes a row: [row][column][lane]. */
typedef int16_t workspace[NNJPEG_BLOCK_SIZE][LANES];

NJ_INLINE void load_row(const workspace w, int row, int stride, int lane, lanes16 x[8])
{
    int k;
    for (k = 0; k < 8; k++)
        x[k] = w[row + k * stride][lane];
}

NJ_INLINE void store_row(workspace w, int row, int stride, int lane, const lanes16 x[8])
{
    int k;
    for (k = 0; k < 8; k++)
        w[row + k * stride][lane] = x[k];
}

/* One component of the group, in place: samples less 128 to samples less 128, not clamped. */
static void transform(workspace w, const nnjpeg_quantizer *q)
{
    int i, j, lane;
    for (i = 0; i < 8; i++)
        for (lane = 0; lane < LANES; lane++) {
            lanes16 x[8];
            load_row(w, 8 * i, 1, lane, x);
            nj_fdct_row(x);
            store_row(w, 8 * i, 1, lane, x);
        }
    for (j = 0; j < 8; j++)
        for (lane = 0; lane < LANES; lane++) {
            lanes16 x[8];
            load_row(w, j, 8, lane, x);
            nj_requantize_column(x, q->step + j, q->bias + j, q->reciprocal + j, q->shift + j);
            store_row(w, j, 8, lane, x);
        }
    for (i = 0; i < 8; i++)
        for (lane = 0; lane < LANES; lane++) {
            lanes16 x[8];
            load_row(w, 8 * i, 1, lane, x);
            nj_idct_row(x);
            store_row(w, 8 * i, 1, lane, x);
        }
}

NJ_INLINE uint8_t clamp(int x)
{
    return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x);
}

/* column: bytes between neighbours in a row; component: bytes between components, or -1 for the run's own. */
NJ_INLINE void roundtrip(const nj_run *runs, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace,
                         int components, int column, int component)
{
    workspace w[NJ_MAX_COMPONENTS];
    int c, i, j, lane;

    for (lane = 0; lane < LANES; lane++) {
        const nj_run *run = &runs[lane / NJ_RUN_BLOCKS];
        ptrdiff_t step = component < 0 ? run->src_component : component;
        for (i = 0; i < 8; i++) {
            const uint8_t *row = run->src + i * run->src_row + lane % NJ_RUN_BLOCKS * 8 * column;
            for (j = 0; j < 8; j++) {
                int16_t x[NJ_MAX_COMPONENTS];
                for (c = 0; c < components; c++)
                    x[c] = row[j * column + c * step];
                if (colorspace == NNJPEG_YCBCR)
                    nj_rgb_to_ycbcr(x);
                for (c = 0; c < components; c++)
                    w[c][8 * i + j][lane] = (int16_t)(x[c] - 128);
            }
        }
    }

    for (c = 0; c < components; c++)
        transform(w[c], quantizers[c]);

    for (lane = 0; lane < LANES; lane++) {
        const nj_run *run = &runs[lane / NJ_RUN_BLOCKS];
        ptrdiff_t step = component < 0 ? run->dst_component : component;
        for (i = 0; i < 8; i++) {
            uint8_t *row = run->dst + i * run->dst_row + lane % NJ_RUN_BLOCKS * 8 * column;
            for (j = 0; j < 8; j++) {
                int16_t x[NJ_MAX_COMPONENTS];
                for (c = 0; c < components; c++)
                    x[c] = clamp(w[c][8 * i + j][lane] + 128);
                if (colorspace == NNJPEG_YCBCR) {
                    x[1] = (int16_t)(x[1] - 128);
                    x[2] = (int16_t)(x[2] - 128);
                    nj_ycbcr_to_rgb(x);
                }
                for (c = 0; c < components; c++)
                    row[j * column + c * step] = clamp(x[c]);
            }
        }
    }
}

static void roundtrip_plane(const nj_run *runs, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace)
{
    (void)colorspace;
    roundtrip(runs, quantizers, NNJPEG_RGB, 1, 1, 0);
}

static void roundtrip_planes(const nj_run *runs, const nnjpeg_quantizer *const *quantizers,
                             nnjpeg_colorspace colorspace)
{
    roundtrip(runs, quantizers, colorspace, 3, 1, -1);
}

static void roundtrip_interleaved(const nj_run *runs, const nnjpeg_quantizer *const *quantizers,
                                  nnjpeg_colorspace colorspace)
{
    roundtrip(runs, quantizers, colorspace, 3, 3, 1);
}

const nj_strip nj_strip_generic = {
    "generic", RUNS, { roundtrip_plane, roundtrip_planes, roundtrip_interleaved }
};
