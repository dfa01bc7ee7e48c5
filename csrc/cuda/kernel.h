/* nnjpeg on a GPU, free of torch. As nnjpeg.h, but the pointers are the device's, and calls return at once: the work is
 * put on a stream. */
#ifndef NNJPEG_CUDA_KERNEL_H
#define NNJPEG_CUDA_KERNEL_H

#include "nnjpeg.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum nnjpeg_cuda_type {
    NNJPEG_CUDA_UINT8 = 0,
    NNJPEG_CUDA_FLOAT32 = 1,
    NNJPEG_CUDA_FLOAT16 = 2,
    NNJPEG_CUDA_BFLOAT16 = 3
} nnjpeg_cuda_type;

/* A batch in the device's memory; strides in samples, 0 allowed in inputs. */
typedef struct nnjpeg_cuda_view {
    void *data;
    nnjpeg_strides strides;
} nnjpeg_cuda_view;

/* The 64 steps of component c of image i, in natural order, start at steps + i * image_stride + c * component_stride (in
 * steps). They are bytes, of which 0 counts as 1, at multiples of 16; or floats, which count as the nearest integers in
 * 1..255, ties to even, NaN as 1. */
typedef struct nnjpeg_cuda_tables {
    const void *steps;
    nnjpeg_cuda_type type; /* NNJPEG_CUDA_UINT8 or NNJPEG_CUDA_FLOAT32 */
    ptrdiff_t image_stride, component_stride; /* 0 where images, or components, share them */
} nnjpeg_cuda_tables;

typedef struct nnjpeg_cuda_call {
    nnjpeg_shape shape;
    nnjpeg_cuda_type type; /* of src, grad and dst */
    nnjpeg_cuda_view src, grad, dst; /* grad: of the result, or data NULL; then the call is a round trip */
    nnjpeg_cuda_tables tables;
    nnjpeg_colorspace colorspace; /* NNJPEG_RGB or NNJPEG_YCBCR */
    nnjpeg_subsampling subsampling;
    nnjpeg_precision precision; /* of floats; with grad NNJPEG_FLOAT_CUBIC, whose gradient it is */
    void *workspace; /* of nnjpeg_cuda_workspace bytes, aligned to 32, whose contents are the call's until it is done */
} nnjpeg_cuda_call;

/* How much workspace a call, complete but for that, needs, in bytes: 0 for components that are coded one by one, with
 * tables of bytes. */
size_t nnjpeg_cuda_workspace(const nnjpeg_cuda_call *call);

/* stream: a cudaStream_t of the current device. Returns a cudaError_t, 0 for success. dst overlaps no input. Arguments are
 * as nnjpeg_roundtrip and nnjpeg_cubic_backward_f32 want them, and there are fewer than 2^31 blocks.
 * The same call gives the same bits each time. */
int nnjpeg_cuda_run(const nnjpeg_cuda_call *call, void *stream);

/* What an error is, a static string. */
const char *nnjpeg_cuda_error(int error);

#ifdef __cplusplus
}
#endif
#endif
