/* Samples as they lie in a caller's memory, and the ways between there and buffers: the one home of placing, padding and
 * staging. A buffer is samples too, usually planes.
 *
 * What the transform wants beyond an image is its last column and row again, as libjpeg pads. */
#ifndef NNJPEG_SAMPLES_H
#define NNJPEG_SAMPLES_H

#include "isa.h"

/* Strides are in bytes; size is that of a sample: 1, or sizeof(float). */
typedef struct nj_samples {
    uint8_t *data;
    nnjpeg_strides strides;
    int size;
} nj_samples;

/* Strides in samples, as a caller gives them. The memory is written only if it is a destination. */
nj_samples nj_samples_of(const void *data, const nnjpeg_strides *strides, int size);

/* A buffer of planes, or of interleaved pixels (`pixel` samples each; 1: planes, `plane` bytes each), `row` bytes a row. */
nj_samples nj_buffer(void *data, int size, int pixel, ptrdiff_t row, ptrdiff_t plane);

/* The same samples from another one on. */
static inline nj_samples nj_from(nj_samples s, ptrdiff_t image, ptrdiff_t component, ptrdiff_t row, ptrdiff_t column)
{
    s.data += image * s.strides.image + component * s.strides.component + row * s.strides.row + column * s.strides.column;
    return s;
}

static inline int nj_are_planes(const nj_samples *s) { return s->strides.column == s->size; }

static inline int nj_are_pixels(const nj_samples *s, int components)
{
    return s->size == 1 && s->strides.component == 1 && s->strides.column == components;
}

/* Copies height x width samples of each component. Both of one size, or bytes to floats of the same value. */
void nj_copy(nj_samples from, nj_samples to, ptrdiff_t components, ptrdiff_t height, ptrdiff_t width);

/* Repeats the last column, then the last row, up to the full size. */
void nj_extend(nj_samples to, ptrdiff_t components, ptrdiff_t height, ptrdiff_t width, ptrdiff_t full_height,
               ptrdiff_t full_width);

/* For gradients, in floats: zeros in place of the repetition; and its transpose, which adds up what was repeated. */
void nj_extend_by_zeros(nj_samples to, ptrdiff_t components, ptrdiff_t height, ptrdiff_t width, ptrdiff_t full_height,
                        ptrdiff_t full_width);
void nj_fold(nj_samples to, ptrdiff_t components, ptrdiff_t height, ptrdiff_t width, ptrdiff_t full_height,
             ptrdiff_t full_width);

/* One row of an image to and from planes of bytes, a fast way for each order that images come in: planes, pixels of three or four
 * bytes in any order of their components, both also mirrored, floats in 0..1. At most NJ_MAX_COMPONENTS components; spare: four
 * rows more. */
void nj_fetch_row(const nj_isa *isa, nj_samples from, int components, uint8_t *const *planes, ptrdiff_t width,
                  uint8_t *spare);
void nj_land_row(const nj_isa *isa, const uint8_t *const *planes, nj_samples to, int components, ptrdiff_t width,
                 uint8_t *spare);

#endif
