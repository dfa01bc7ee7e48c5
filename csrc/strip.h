/* What an instruction set provides: functions that take a group of runs through all stages in one pass.
 *
 * A run is four horizontally adjacent blocks: 8 rows of 32 samples, of one component or of three. The runs of a group
 * need not be neighbours, so a group fills its lanes from small images as well as from large ones.
 */
#ifndef NNJPEG_STRIP_H
#define NNJPEG_STRIP_H

#include "nnjpeg.h"

enum {
    NJ_F32_ALIGNMENT = 64,
    NJ_F32_RUN_BLOCKS = 2,
    NJ_F32_RUN_WIDTH = NJ_F32_RUN_BLOCKS * NNJPEG_BLOCK,
    NJ_RUN_BLOCKS = 4,
    NJ_RUN_WIDTH = NJ_RUN_BLOCKS * NNJPEG_BLOCK,
    NJ_MAX_RUNS = 8,
    NJ_MAX_COMPONENTS = 4,
    NJ_LAYOUTS = 4
};

/* How the samples of a run lie in memory, in source and destination alike. */
typedef enum nj_layout {
    NJ_PLANE = 0,       /* one component, 32 bytes a row */
    NJ_PLANES = 1,      /* three components, 32 bytes a row each, component_stride apart */
    NJ_INTERLEAVED = 2, /* three components, 96 bytes a row */
    NJ_PADDED = 3       /* three components and one that is copied, 128 bytes a row */
} nj_layout;

typedef struct nj_run {
    const uint8_t *src;
    uint8_t *dst; /* may be src */
    ptrdiff_t src_row, src_component, dst_row, dst_component;
    ptrdiff_t src_ahead, dst_ahead; /* from here to the run one group later, in bytes: a hint for prefetching */
} nj_run;

/* Whole runs in single precision, side by side: 8 rows of 16 `count` samples, of one component or of three. */
typedef struct nj_span {
    const float *src, *grad; /* grad: of the result, where a job wants it */
    float *dst;              /* may be src */
    ptrdiff_t src_row, src_component, grad_row, grad_component, dst_row, dst_component; /* in samples */
    ptrdiff_t count;
    int stream; /* dst need not be kept in the caches; it and its rows are aligned to NJ_F32_ALIGNMENT bytes */
} nj_span;

typedef enum nj_f32_job { NJ_F32_NEAREST = 0, NJ_F32_CUBIC = 1, NJ_F32_CUBIC_BACKWARD = 2, NJ_F32_JOBS = 3 } nj_f32_job;

typedef struct nj_strip {
    const char *name;
    int runs; /* how many runs a call takes: always all of them */
    const struct nj_strip *narrower; /* for groups that it has room for; NULL: none */
    /* By layout. quantizers: one for each component that is coded. All of a group is read before any of it is written. */
    void (*roundtrip[NJ_LAYOUTS])(const nj_run *runs, const nnjpeg_quantizer *const *quantizers,
                                  nnjpeg_colorspace colorspace);
    void (*f32[NJ_F32_JOBS])(const nj_span *span, const nnjpeg_quantizer *const *quantizers, nnjpeg_colorspace colorspace);
    /* The plain DCT of one run, 8 rows of 16 samples `row` apart, to and from two blocks of coefficients. */
    void (*dct)(const float *src, ptrdiff_t row, float *const blocks[NJ_F32_RUN_BLOCKS]);
    void (*idct)(const float *const blocks[NJ_F32_RUN_BLOCKS], float *dst, ptrdiff_t row);
    /* Between floats in 0..1 and bytes, which stand for n / 255. */
    void (*to_bytes)(const float *src, uint8_t *dst, ptrdiff_t count);
    void (*to_floats)(const uint8_t *src, float *dst, ptrdiff_t count);
} nj_strip;

extern const nj_strip nj_strip_generic;

/* dispatch.c: the strip for this CPU; NULL if one is forced that cannot be had. */
const nj_strip *nj_strip_for_cpu(void);

#endif
