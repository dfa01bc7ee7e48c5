/* A group of two runs in portable C: eight blocks, one a lane, in loops that a compiler turns into vectors. */
#include "lanes_generic.h"

#include "block.h"
#include "block_inverse.h"
#include "isa.h"
#include "rows.h"
#include "runs_f32.h"

enum { RUNS = 2, LANES = RUNS * NJ_RUN_BLOCKS };

/* 8 vectors of lanes a row: [row][column][lane]. Between the passes columns, in the order of nj_frequency, stand for columns. */
typedef int16_t workspace[NNJPEG_BLOCK_SIZE][LANES];

/* The cells that the forward DCT takes of every stride-th vector, and those that the inverse takes. */
NJ_INLINE void load_mirrored(const workspace w, int first, int stride, int lane, cells16 p[4])
{
    int k;
    for (k = 0; k < 4; k++)
        p[k] = pair16(w[first + nj_mirrored(k, 0) * stride][lane], w[first + nj_mirrored(k, 1) * stride][lane]);
}

NJ_INLINE void load_neighbours(const workspace w, int first, int lane, cells16 p[4])
{
    int k;
    for (k = 0; k < 4; k++)
        p[k] = pair16(w[first + 2 * k][lane], w[first + 2 * k + 1][lane]);
}

NJ_INLINE void store(workspace w, int first, int stride, int lane, const uppers16 x[8])
{
    int k;
    for (k = 0; k < 8; k++)
        w[first + k * stride][lane] = x[k];
}

/* One component of the group, in place: samples to samples. */
static void transform(workspace w, const nnjpeg_quantizer *q)
{
    int i, k, lane;
    for (i = 0; i < 8; i++)
        for (lane = 0; lane < LANES; lane++) {
            cells16 p[4], s[2], d[2];
            uppers16 x[8];
            load_mirrored(w, 8 * i, 1, lane, p);
            nj_mirror(p, s, d);
            nj_fdct_row(s, d, x);
            store(w, 8 * i, 1, lane, x);
        }
    for (k = 0; k < 8; k++)
        for (lane = 0; lane < LANES; lane++) {
            cells16 p[4];
            uppers16 x[8];
            load_mirrored(w, k, 8, lane, p);
            nj_requantize_column(p, q->steps[k], x);
            store(w, k, 8, lane, x);
        }
    for (i = 0; i < 8; i++)
        for (lane = 0; lane < LANES; lane++) {
            cells16 p[4];
            uppers16 x[8];
            load_neighbours(w, 8 * i, lane, p);
            nj_idct_row(p, x);
            for (k = 0; k < 8; k++)
                w[8 * i + k][lane] = clamp16(sra16(x[k], NJ_SAMPLE_BITS));
        }
}

static void encode_colour(workspace w[3])
{
    int k, lane;
    for (k = 0; k < NNJPEG_BLOCK_SIZE; k++)
        for (lane = 0; lane < LANES; lane++) {
            lanes16 x[3] = { w[0][k][lane], w[1][k][lane], w[2][k][lane] };
            nj_rgb_to_ycbcr(x);
            w[0][k][lane] = x[0];
            w[1][k][lane] = x[1];
            w[2][k][lane] = x[2];
        }
}

static void decode_colour(workspace w[3])
{
    int k, lane;
    for (k = 0; k < NNJPEG_BLOCK_SIZE; k++)
        for (lane = 0; lane < LANES; lane++) {
            lanes16 x[3] = { w[0][k][lane], w[1][k][lane], w[2][k][lane] };
            nj_ycbcr_to_rgb(x);
            w[0][k][lane] = clamp16(x[0]);
            w[1][k][lane] = clamp16(x[1]);
            w[2][k][lane] = clamp16(x[2]);
        }
}

static void forward_blocks(const nj_run *runs, const nnjpeg_quantizer *quantizer, int16_t *const *blocks)
{
    int i, k, lane;
    for (lane = 0; lane < LANES; lane++) {
        const nj_run *run = &runs[lane / NJ_RUN_BLOCKS];
        const uint8_t *samples = run->src + lane % NJ_RUN_BLOCKS * 8;
        lanes16 w[NNJPEG_BLOCK_SIZE];
        cells16 p[4], s[2], d[2];
        uppers16 x[8];
        for (i = 0; i < 8; i++) {
            const uint8_t *row = samples + i * run->src_row;
            for (k = 0; k < 4; k++)
                p[k] = pair16(row[nj_mirrored(k, 0)], row[nj_mirrored(k, 1)]);
            nj_mirror(p, s, d);
            nj_fdct_row(s, d, x);
            for (k = 0; k < 8; k++)
                w[8 * i + k] = x[k];
        }
        for (i = 0; i < 8; i++) {
            for (k = 0; k < 4; k++)
                p[k] = pair16(w[8 * nj_mirrored(k, 0) + i], w[8 * nj_mirrored(k, 1) + i]);
            nj_fdct_column(p, x);
            for (k = 0; k < 4; k++) {
                const cells16 n = nj_quantize(cells_of(x[2 * k], x[2 * k + 1]), &quantizer->steps[i][k]);
                blocks[lane][8 * nj_frequency(2 * k) + nj_frequency(i)] = n.a;
                blocks[lane][8 * nj_frequency(2 * k + 1) + nj_frequency(i)] = n.b;
            }
        }
    }
}

static int inverse_blocks(const int16_t *const *blocks, const nnjpeg_quantizer *quantizer, const nj_run *runs)
{
    int k, lane;
    for (lane = 0; lane < LANES; lane++)
        for (k = 0; k < NNJPEG_BLOCK_SIZE; k++)
            if (blocks[lane][k] > quantizer->limits[k] || -blocks[lane][k] > quantizer->limits[k])
                return 0;
    for (lane = 0; lane < LANES; lane++) {
        const nj_run *run = &runs[lane / NJ_RUN_BLOCKS];
        nj_inverse_block(blocks[lane], quantizer, run->dst + lane % NJ_RUN_BLOCKS * 8, run->dst_row);
    }
    return 1;
}

/* components: those that are coded, the first of the layout; column: bytes between neighbours in a row; component: bytes
 * between components, or -1 for the run's own. */
NJ_INLINE void roundtrip(const nj_run *runs, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace,
                         int components, int column, int component)
{
    workspace w[NJ_MAX_COMPONENTS];
    int c, i, j, lane;

    for (c = 0; c < components; c++)
        for (lane = 0; lane < LANES; lane++) {
            const nj_run *run = &runs[lane / NJ_RUN_BLOCKS];
            const uint8_t *block = run->src + c * (component < 0 ? run->src_component : component) +
                                   lane % NJ_RUN_BLOCKS * 8 * column;
            for (i = 0; i < 8; i++)
                for (j = 0; j < 8; j++)
                    w[c][8 * i + j][lane] = block[i * run->src_row + j * column];
        }
    if (colorspace == NNJPEG_YCBCR)
        encode_colour(w);
    for (c = 0; c < components; c++)
        transform(w[c], quantizers[c]);
    if (colorspace == NNJPEG_YCBCR)
        decode_colour(w);
    for (c = 0; c < components; c++)
        for (lane = 0; lane < LANES; lane++) {
            const nj_run *run = &runs[lane / NJ_RUN_BLOCKS];
            uint8_t *block = run->dst + c * (component < 0 ? run->dst_component : component) +
                             lane % NJ_RUN_BLOCKS * 8 * column;
            for (i = 0; i < 8; i++)
                for (j = 0; j < 8; j++)
                    block[i * run->dst_row + j * column] = (uint8_t)w[c][8 * i + j][lane];
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

static void roundtrip_padded(const nj_run *runs, const nnjpeg_quantizer *const *quantizers,
                             nnjpeg_colorspace colorspace)
{
    int r, i, j;
    roundtrip(runs, quantizers, colorspace == NNJPEG_YCBCRX ? NNJPEG_YCBCR : NNJPEG_RGB, 3, 4, 1);
    for (r = 0; r < RUNS; r++)
        for (i = 0; i < 8; i++)
            for (j = 0; j < NJ_RUN_WIDTH; j++)
                runs[r].dst[i * runs[r].dst_row + 4 * j + 3] = runs[r].src[i * runs[r].src_row + 4 * j + 3];
}

const nj_isa nj_isa_generic = {
    "generic", RUNS, NULL, { roundtrip_plane, roundtrip_planes, roundtrip_interleaved, roundtrip_padded },
    forward_blocks, inverse_blocks, NJ_ISA_ROWS, NJ_ISA_F32
};
