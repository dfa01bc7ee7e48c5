/* The way of an image by strips; see strips.c. */
#ifndef NNJPEG_STRIPS_H
#define NNJPEG_STRIPS_H

#include "image.h"
#include "samples.h"

/* src and dst: samples, or, where the data of samples is NULL, coefficients (as in nnjpeg.h); not both coefficients. Arguments
 * are checked. */
typedef struct nj_strips_job {
    nnjpeg_shape shape;
    nj_samples src, dst;
    const nnjpeg_coefficients *src_coefficients, *dst_coefficients;
    nnjpeg_quantizers quantizers;
    nnjpeg_colorspace colorspace;
    nnjpeg_subsampling subsampling;
    int num_threads;
    nnjpeg_precision precision; /* of the transform; samples of floats can go with either */
} nj_strips_job;

nnjpeg_status nj_run_strips(const nj_strips_job *job);

/* The gradient of the round trip of floats with chroma subsampling. tables NULL: that of job->src, into job->dst, where
 * coefficients are rounded by the cubic; else that of the tables, and there is no job->dst. */
nnjpeg_status nj_run_gradient(const nj_strips_job *job, const nj_samples *grad, float *tables);

/* image.c's part of nnjpeg_roundtrip_f32; arguments are checked. */
nnjpeg_status nj_roundtrip_f32_as_uint8(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides,
                                        float *dst, const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers,
                                        nnjpeg_colorspace colorspace, nnjpeg_subsampling subsampling, int num_threads);

#endif
