/* Splitting a call over threads. */
#ifndef NNJPEG_THREADS_H
#define NNJPEG_THREADS_H

#include <stddef.h>

typedef struct nj_range {
    ptrdiff_t begin, end;
} nj_range;

/* The part-th of `parts` consecutive ranges that make up 0..count-1. */
nj_range nj_range_of(ptrdiff_t count, int part, int parts);

/* Into how many parts to split `count` items of blocks_each blocks, for at most num_threads threads; fewer where the work
 * is too small to share. At least 1. */
int nj_parts_for(ptrdiff_t count, ptrdiff_t blocks_each, int num_threads);

typedef void (*nj_part_function)(const void *context, int part, int parts);

/* Calls function once for each part, each on a thread of its own if so many can be started. */
void nj_parallel(nj_part_function function, const void *context, int parts);

#endif
