/* What an instruction set provides: the functions that isa_<isa>.c compiles for it, in one table.
 *
 * A block has 8x8 samples of one component. A run is four blocks side by side: 8 rows of 32 samples. A group is as many
 * runs as one call transforms; they need not be neighbours, so that small images fill a group as large ones do. A lane is
 * one number of a vector: of a block of the group in transforms, of a pixel of a row in conversions. */
#ifndef NNJPEG_ISA_H
#define NNJPEG_ISA_H

#include "nnjpeg.h"

enum {
    NJ_F32_ALIGNMENT = 64,
    NJ_F32_RUN_BLOCKS = 2,
    NJ_F32_RUN_WIDTH = NJ_F32_RUN_BLOCKS * NNJPEG_BLOCK,
    NJ_RUN_BLOCKS = 4,
    NJ_RUN_WIDTH = NJ_RUN_BLOCKS * NNJPEG_BLOCK,
    NJ_MAX_RUNS = 4,
    NJ_MAX_BLOCKS = NJ_MAX_RUNS * NJ_RUN_BLOCKS,
    NJ_MAX_COMPONENTS = 4,
    NJ_MAX_STEP = 64,
    NJ_MAX_NUMBERS = 32, /* in a register of cells; see block.h */
    NJ_LAYOUTS = 4,
    NJ_SUBSAMPLINGS = 4
};

/* How the samples of a row lie in memory. */
typedef enum nj_layout {
    NJ_PLANE = 0,       /* one component */
    NJ_PLANES = 1,      /* three components, component_stride apart */
    NJ_INTERLEAVED = 2, /* three components, pixel by pixel */
    NJ_PADDED = 3       /* three components and a fourth, pixel by pixel */
} nj_layout;

/* Samples of one component and the next pixel's are so far apart. */
static inline int nj_pixel_samples(nj_layout layout)
{
    return layout == NJ_INTERLEAVED ? 3 : layout == NJ_PADDED ? 4 : 1;
}

typedef struct nj_run {
    const uint8_t *src;
    uint8_t *dst; /* may be src */
    ptrdiff_t src_row, src_component, dst_row, dst_component;
    ptrdiff_t src_ahead, dst_ahead; /* from here to the run one group later, in bytes: a hint for prefetching */
} nj_run;

/* Whole runs in single precision, side by side: 8 rows of 16 `count` samples, of one component or of three. */
typedef struct nj_span {
    const float *src, *grad; /* grad: of the result, where a job wants it */
    float *dst;              /* may be src; not used by a job that gives the gradient of tables */
    double *sums;            /* what such a job adds to: for each component 64 numbers in the order of steps_f32 */
    ptrdiff_t src_row, src_component, grad_row, grad_component, dst_row, dst_component; /* in samples */
    ptrdiff_t count;
    int stream; /* dst need not be kept in the caches; it and its rows are aligned to NJ_F32_ALIGNMENT bytes */
} nj_span;

/* What is done with a span: the round trip of pixels in 0..1, or a gradient of it, by them or by the steps; the same of one
 * component in -128..127 that has been separated from its pixels, and that is not limited yet. */
typedef enum nj_f32_job {
    NJ_F32_NEAREST = 0,
    NJ_F32_CUBIC = 1,
    NJ_F32_CUBIC_BACKWARD = 2,
    NJ_F32_NEAREST_BY_STEPS = 3,
    NJ_F32_CUBIC_BY_STEPS = 4,
    NJ_F32_PLANE_NEAREST = 5,
    NJ_F32_PLANE_CUBIC = 6,
    NJ_F32_PLANE_BACKWARD = 7,
    NJ_F32_PLANE_NEAREST_BY_STEPS = 8,
    NJ_F32_PLANE_CUBIC_BY_STEPS = 9,
    NJ_F32_JOBS = 10
} nj_f32_job;

/* From pixels to components and back, row by row. A row of luma is `width` samples, a multiple of the step; one of chroma
 * width / h. Bytes in the functions of `u8`, floats in -128..127 (pixels: in 0..1) in those of `f32`. */
typedef struct nj_rows {
    int step; /* pixels; a power of two */
    /* By subsampling. Colour and downsampling of v rows of pixels. */
    void (*encode[NJ_SUBSAMPLINGS])(const void *const pixels[2], ptrdiff_t component, nj_layout layout,
                                    void *const luma[2], void *cb, void *cr, ptrdiff_t width);
    /* Where v is 2, upsampling along columns: sum = 3 near + far, 16-bit or float, of `count` samples, and the first and the last
     * of them once more on either side. */
    void (*mix)(const void *near, const void *far, void *sum, ptrdiff_t count);
    /* Where h is 2 and v is 1, what `mix` would be: sum = near. */
    void (*widen)(const void *near, void *sum, ptrdiff_t count);
    /* By subsampling. Upsampling along a row and colour, of one row of pixels. cb, cr: sums, as those make them, or
     * samples in 4:4:4. reach: 1, or 0 to repeat samples in place of the triangle filter. padding: pixels
     * whose fourth byte is copied where the layout is NJ_PADDED. */
    void (*decode[NJ_SUBSAMPLINGS])(const void *luma, const void *cb, const void *cr, int odd_row, int reach,
                                    const uint8_t *padding, void *pixels, ptrdiff_t component, nj_layout layout,
                                    ptrdiff_t width);
} nj_rows;

/* The transposes of what nj_rows does with floats, for gradients; of rows of `width` pixels, a multiple of the step. */
typedef struct nj_rows_backward {
    /* Of pixels in 0..1, to components. Chroma and `reach` as in nj_rows. h: that of the subsampling. */
    void (*decode)(const float *luma, const float *cb, const float *cr, int reach, int h, const float *const grad[3],
                   float *const components[3], ptrdiff_t width);
    /* Of the samples before they were limited: 0 where that changed them. */
    void (*limit)(float *grad, const float *decoded, ptrdiff_t count);
    /* Of `count` samples of a row of chroma, from those of `width` pixels: its own share is added to near, that of the other row
     * to far; either may be NULL. */
    void (*gather)(const float *pixels, ptrdiff_t width, ptrdiff_t count, int reach, int h, float own, float *near,
                   float *far);
    /* Of pixels at full resolution from components at full resolution. */
    void (*encode)(const float *const pixels[3], const float *const components[3], float *const grad[3], ptrdiff_t width);
} nj_rows_backward;

typedef struct nj_isa {
    const char *name;
    int runs; /* how many runs a group has: a call takes all of them */
    const struct nj_isa *narrower; /* for groups that it has room for; NULL: none */
    /* By layout. quantizers: one for each component that is coded. All of a group is read before any of it is written. */
    void (*roundtrip[NJ_LAYOUTS])(const nj_run *runs, const nnjpeg_quantizer *const *quantizers,
                                  nnjpeg_colorspace colorspace);
    /* One component of a group to quantized coefficients, by block, and back. The way back is refused, with 0, where a
     * coefficient is beyond the quantizer's limit. */
    void (*forward)(const nj_run *runs, const nnjpeg_quantizer *quantizer, int16_t *const *blocks);
    int (*inverse)(const int16_t *const *blocks, const nnjpeg_quantizer *quantizer, const nj_run *runs);
    nj_rows u8;
    /* Between pixels of three or four bytes and planes; `count` pixels, any number. */
    void (*split)(const uint8_t *pixels, int size, uint8_t *const *planes, ptrdiff_t count);
    void (*join)(const uint8_t *const *planes, int size, uint8_t *pixels, ptrdiff_t count);
    void (*reverse)(const uint8_t *src, uint8_t *dst, ptrdiff_t count);
    /* The quantizer alone, in place, of NJ_MAX_NUMBERS coefficients. */
    void (*quantize)(int16_t *coefficients, const nnjpeg_step *step);
    nj_rows f32;
    nj_rows_backward backward;
    void (*spans[NJ_F32_JOBS])(const nj_span *span, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace);
    /* The plain DCT of one run, 8 rows of 16 samples `row` apart, to and from two blocks of coefficients. */
    void (*dct)(const float *src, ptrdiff_t row, float *const blocks[NJ_F32_RUN_BLOCKS]);
    void (*idct)(const float *const blocks[NJ_F32_RUN_BLOCKS], float *dst, ptrdiff_t row);
    /* Between floats in 0..1 and bytes, which stand for n / 255. */
    void (*to_bytes)(const float *src, uint8_t *dst, ptrdiff_t count);
    void (*to_floats)(const uint8_t *src, float *dst, ptrdiff_t count);
} nj_isa;

extern const nj_isa nj_isa_generic;

/* dispatch.c: the table for this CPU; NULL if one is forced that cannot be had. */
const nj_isa *nj_isa_for_cpu(void);

#endif
