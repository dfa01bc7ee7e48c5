/* What the stages of a strip share: the call, and the buffer that strips.c plans for them. In the order of an image's way:
 * rows_in.c, transform.c, rows_out.c. */
#ifndef NNJPEG_WALK_H
#define NNJPEG_WALK_H

#include "image.h"
#include "strips.h"
#include "threads.h"

#include <string.h>

enum { NJ_LUMA = 0, NJ_CB = 1, NJ_CR = 2, NJ_WORKSPACE_ALIGNMENT = 64, NJ_MARGIN = NJ_WORKSPACE_ALIGNMENT };

/* A component: how many of the pixels' columns and rows one of its own takes, its size in one image, and its buffer. */
typedef struct nj_plane {
    int h, v;
    ptrdiff_t columns, rows, block_columns, block_rows;
    ptrdiff_t row, offset; /* bytes: of a row of the buffer; from the start of a slot */
} nj_plane;

/* One call, as all its threads see it. A unit is what one pass takes of the components: all, or one where they are many. A slot is
 * what one thread has of the workspace; borders have, for each part, [above, below] x [Cb, Cr]. */
typedef struct nj_walk {
    const nj_strips_job *job;
    const nj_isa *isa, *narrow; /* and the narrowest that it leaves work to */
    int h, v, waiting, ycbcr;
    int size, sum_size;    /* bytes: of a sample in the buffer, of a sum of chroma */
    int components, coded; /* of a unit; those of them that are coded */
    nj_order src_order, dst_order;
    nj_layout src_layout, dst_layout; /* that the rows' functions can read and write, NJ_PLANE: none */
    nj_plane planes[NJ_MAX_COMPONENTS];
    ptrdiff_t units, mcu_rows, mcus, strips; /* of an image: rows of MCUs; of a strip; strips of an image */
    /* Columns: of pixels that are read where they lie, if they can be; that blocks have; of a row of luma in the buffer. */
    ptrdiff_t whole, encoded, full;
    ptrdiff_t sums, sum_row, staged, spare, slot, border_row, borders; /* bytes; sum_row: of sums of one row of chroma */
    uint8_t *workspace;
} nj_walk;

static inline ptrdiff_t nj_at_most(ptrdiff_t x, ptrdiff_t limit) { return x < limit ? x : limit; }

static inline ptrdiff_t nj_round_up(ptrdiff_t x, ptrdiff_t multiple) { return (x + multiple - 1) / multiple * multiple; }

static inline const nj_rows *nj_rows_for(const nj_walk *w, const nj_isa *isa) { return w->size == 1 ? &isa->u8 : &isa->f32; }

/* So many of the pixels of a row as whole steps have. */
static inline ptrdiff_t nj_whole_steps(const nj_rows *f, ptrdiff_t width) { return width & -(ptrdiff_t)f->step; }

/* Columns of chroma that go with x columns of pixels; h is 1 or 2. */
static inline ptrdiff_t nj_chroma_columns(const nj_walk *w, ptrdiff_t x) { return x >> (w->h - 1); }

/* Row `row` of a component in an image, while the strip that begins at row `first` is in the buffer. */
static inline uint8_t *nj_row_of(const nj_walk *w, uint8_t *slot, int c, ptrdiff_t row, ptrdiff_t first)
{
    return slot + w->planes[c].offset + (row - first + w->waiting) * w->planes[c].row;
}

/* Rows first..end-1 of a component that rows mcu..mcu_end-1 of MCUs hold. */
static inline nj_range nj_strip_rows(const nj_walk *w, int c, ptrdiff_t mcu, ptrdiff_t mcu_end)
{
    const nj_plane *p = &w->planes[c];
    const ptrdiff_t height = NNJPEG_BLOCK * (w->v / p->v);
    nj_range rows;
    rows.begin = mcu * height;
    rows.end = nj_at_most(mcu_end * height, p->rows);
    return rows;
}

/* All of a walk but its strips and its workspace; 0: there is no instruction set. Then, once `waiting` is set, what a slot
 * has for so many rows of MCUs. */
int nj_begin_walk(nj_walk *w, const nj_strips_job *job);
void nj_plan_slot(nj_walk *w, ptrdiff_t mcus);

/* A workspace of that many bytes, zeros, aligned to NJ_WORKSPACE_ALIGNMENT; *memory is what to free. NULL: there is none. */
uint8_t *nj_workspace(ptrdiff_t bytes, void **memory);

/* Pixels of a strip to components, padded; or samples as they are. */
void nj_encode_strip(const nj_walk *w, uint8_t *slot, nj_samples image, ptrdiff_t mcu, ptrdiff_t mcu_end);
void nj_fetch_strip(const nj_walk *w, uint8_t *slot, nj_samples image, ptrdiff_t mcu, ptrdiff_t mcu_end);

/* Their transpose, in floats: the gradients of components, padding included, which are in a slot that begins with row first_mcu of
 * MCUs, to those of the pixels in job->src, 0..1, which go to job->dst. What was in the slot is lost. */
void nj_encode_strip_backward(const nj_walk *w, uint8_t *slot, ptrdiff_t image, ptrdiff_t mcu, ptrdiff_t mcu_end,
                              ptrdiff_t first_mcu);

/* Components from_c.. of the strip: the round trip, or a half of it, in place. */
void nj_transform_strip(const nj_walk *w, uint8_t *slot, ptrdiff_t image, ptrdiff_t unit, ptrdiff_t mcu, ptrdiff_t mcu_end,
                        int from_c);
/* The same of one component in single precision, from one slot to another; grad, sums: NULL where the job takes none.
 * first_mcu: the row of MCUs that the slots begin with. */
void nj_transform_f32(const nj_walk *w, nj_f32_job kind, uint8_t *src, uint8_t *grad, uint8_t *dst, double *sums,
                      ptrdiff_t image, int c, ptrdiff_t mcu, ptrdiff_t mcu_end, ptrdiff_t first_mcu);

/* A row of chroma between its neighbours, Cb and Cr. */
typedef struct nj_chroma {
    const uint8_t *above[2], *at[2], *below[2];
} nj_chroma;

/* What a row of pixels takes of that: samples, or sums upsampled along columns. size: of one, in bytes. */
typedef struct nj_chroma_sums {
    const uint8_t *of[2];
    int size, odd_row, reach;
} nj_chroma_sums;

void nj_mix_chroma(const nj_walk *w, uint8_t *slot, const nj_chroma *chroma, ptrdiff_t y, nj_chroma_sums *sums);

/* Components to the v rows of pixels that go with row `row` of chroma; or samples of a strip as they are. src, dst: images. */
void nj_decode_rows(const nj_walk *w, uint8_t *slot, const nj_chroma *chroma, ptrdiff_t row, ptrdiff_t first,
                    const nj_samples *src, const nj_samples *dst);
void nj_land_strip(const nj_walk *w, uint8_t *slot, nj_samples image, ptrdiff_t mcu, ptrdiff_t mcu_end);

#endif
