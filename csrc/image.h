/* Shared by image.c, image_f32.c and coefficients.c: the checks of a call, blocks and quantizers. */
#ifndef NNJPEG_IMAGE_H
#define NNJPEG_IMAGE_H

#include "nnjpeg.h"

/* most: the last colour space that the call knows. */
static inline nnjpeg_status nj_check(const nnjpeg_shape *shape, const void *src, const nnjpeg_strides *src_strides,
                                     const void *dst, const nnjpeg_strides *dst_strides, nnjpeg_colorspace colorspace,
                                     nnjpeg_colorspace most)
{
    if (!shape || !src_strides || !dst_strides)
        return NNJPEG_BAD_POINTER;
    if (shape->images < 0 || shape->components < 1 || shape->height < 1 || shape->width < 1)
        return NNJPEG_BAD_SHAPE;
    if (colorspace < NNJPEG_RGB || colorspace > most || (colorspace == NNJPEG_YCBCR && shape->components != 3) ||
        (colorspace >= NNJPEG_RGBX && shape->components != 4))
        return NNJPEG_BAD_COLORSPACE;
    if (shape->images > 0 && (!src || !dst))
        return NNJPEG_BAD_POINTER;
    return NNJPEG_OK;
}

/* image.c's part of nnjpeg_roundtrip_f32; arguments are checked. */
nnjpeg_status nj_roundtrip_f32_as_uint8(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides,
                                        float *dst, const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers,
                                        nnjpeg_colorspace colorspace, int num_threads);

static inline const nnjpeg_quantizer *nj_quantizer_of(nnjpeg_quantizers q, ptrdiff_t image, ptrdiff_t component)
{
    return q.data + image * q.image_stride + component * q.component_stride;
}

static inline ptrdiff_t nj_blocks(ptrdiff_t samples)
{
    return (samples - 1) / NNJPEG_BLOCK + 1;
}

#endif
