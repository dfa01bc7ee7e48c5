/* Splitting a call over threads. */
#ifndef NNJPEG_THREADS_H
#define NNJPEG_THREADS_H

#include <stddef.h>

typedef void (*nj_range_function)(const void *context, ptrdiff_t begin, ptrdiff_t end);

/* Calls function on consecutive ranges that make up 0..count-1, on at most num_threads threads, fewer where the
 * work, blocks_each blocks an item, is too small to share, or where no more can be started. */
void nj_parallel(nj_range_function function, const void *context, ptrdiff_t count, ptrdiff_t blocks_each,
                 int num_threads);

#endif
