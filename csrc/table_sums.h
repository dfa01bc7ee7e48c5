/* The gradient of quantization tables: sums over the blocks that share them. Each part of a call adds up its own, so that threads
 * do not meet, and in an order that does not depend on when they run. */
#ifndef NNJPEG_TABLE_SUMS_H
#define NNJPEG_TABLE_SUMS_H

#include "nnjpeg.h"

typedef struct nj_table_sums {
    double *totals, *parts_own;
    ptrdiff_t items;             /* of an image: what parts are made of */
    ptrdiff_t images, components; /* of the call */
    int image_tables, component_tables, parts; /* whether each image, each component has a table of its own */
} nj_table_sums;

/* For a call of `images` x `items` items in so many parts. 0: there is no memory. */
int nj_begin_sums(nj_table_sums *s, const nnjpeg_shape *shape, const nnjpeg_quantizers *quantizers, ptrdiff_t items, int parts);

/* 64 sums for each component from `component` on, in the order of steps_f32, that are the part's own for an image of it. */
static inline double *nj_sums_of(const nj_table_sums *s, int part, ptrdiff_t image, ptrdiff_t component)
{
    const ptrdiff_t slot = part + (s->image_tables ? image : 0);
    return s->parts_own + (slot * s->components + component) * NNJPEG_BLOCK_SIZE;
}

/* dst: for each table 64 numbers in natural order, those of an image together. */
void nj_end_sums(nj_table_sums *s, float *dst);

#endif
