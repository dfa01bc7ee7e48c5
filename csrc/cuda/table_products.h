/* The gradient of tables: each thread leaves what its block adds to it in the workspace, and two more launches add that up, in an
 * order that is always the same. */
#ifndef NNJPEG_CUDA_TABLE_PRODUCTS_H
#define NNJPEG_CUDA_TABLE_PRODUCTS_H

#include "access.h"

namespace nnjpeg_cuda {

/* How many blocks of an image come before those of a component. */
__device__ inline unsigned blocks_before(const Job &job, ptrdiff_t component)
{
    const unsigned first = job.full.rows * job.full.columns, other = job.chroma.rows * job.chroma.columns;
    return component > 0 ? first + (unsigned)(component - 1) * other : 0;
}

/* g: the gradient of decoded samples of a component; slope: the derivative of its coefficients by their steps. */
__device__ inline void store_products(const Job &job, const Place &p, float g[NNJPEG_BLOCK_SIZE],
                                      const float slope[NNJPEG_BLOCK_SIZE])
{
    const Plane &plane = p.component > 0 ? job.chroma : job.full;
    const size_t block = (size_t)p.image * blocks_before(job, job.call.shape.components) + blocks_before(job, p.component) +
                         (size_t)(p.y / NNJPEG_BLOCK * plane.columns + p.x / NNJPEG_BLOCK);
    float *to = job.products + block * NNJPEG_BLOCK_SIZE;
    forward(g);
#pragma unroll
    for (int i = 0; i < NNJPEG_BLOCK; i++) {
        Row<float> row;
#pragma unroll
        for (int j = 0; j < NNJPEG_BLOCK; j++)
            row.at[j] = g[8 * i + j] * slope[8 * i + j];
        *(Row<float> *)(to + 8 * i) = row;
    }
}

} /* namespace nnjpeg_cuda */

#endif
