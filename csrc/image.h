/* Shared by the entries of calls: their checks, blocks and quantizers. */
#ifndef NNJPEG_IMAGE_H
#define NNJPEG_IMAGE_H

#include "nnjpeg.h"

/* most: the last colour space that the call knows. */
static inline nnjpeg_status nj_check(const nnjpeg_shape *shape, const void *src, const void *src_strides, const void *dst,
                                     const void *dst_strides, nnjpeg_colorspace colorspace, nnjpeg_colorspace most,
                                     nnjpeg_subsampling subsampling)
{
    if (!shape || !src_strides || !dst_strides)
        return NNJPEG_BAD_POINTER;
    if (shape->images < 0 || shape->components < 1 || shape->height < 1 || shape->width < 1)
        return NNJPEG_BAD_SHAPE;
    if (colorspace < NNJPEG_RGB || colorspace > most || (colorspace == NNJPEG_YCBCR && shape->components != 3) ||
        (colorspace >= NNJPEG_RGBX && shape->components != 4))
        return NNJPEG_BAD_COLORSPACE;
    if (subsampling < NNJPEG_444 || subsampling > NNJPEG_440 ||
        (subsampling != NNJPEG_444 && colorspace != NNJPEG_YCBCR && colorspace != NNJPEG_YCBCRX))
        return NNJPEG_BAD_SUBSAMPLING;
    if (shape->images > 0 && (!src || !dst))
        return NNJPEG_BAD_POINTER;
    return NNJPEG_OK;
}

static inline const nnjpeg_quantizer *nj_quantizer_of(nnjpeg_quantizers q, ptrdiff_t image, ptrdiff_t component)
{
    return q.data + image * q.image_stride + component * q.component_stride;
}

static inline ptrdiff_t nj_blocks(ptrdiff_t samples)
{
    return (samples - 1) / NNJPEG_BLOCK + 1;
}

#endif
