/* What a call to a GPU is, which kernels there are, and the launches that a call takes. This is C without CUDA, for all who
 * launch kernels (launcher.cu, and nnjpeg/_launch.py through nnjpeg/_core.pyx), and the kernels read it too. */
#ifndef NNJPEG_CUDA_JOB_H
#define NNJPEG_CUDA_JOB_H

#include "nnjpeg.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The types of samples by torch's names, which are also those of the types in kernels.h: T(name, bytes). */
#define NNJPEG_CUDA_TYPES(T) \
    T(uint8, 1)              \
    T(float32, 4)            \
    T(float16, 2)            \
    T(bfloat16, 2)

/* The kernels of each file, K(file, name, the types that the kernel is compiled for): ALL, FLOATS, or SINGLE, which is float32
 * alone, for kernels that read neither image nor gradient. */
#define NNJPEG_CUDA_PLANE_KERNELS(K)  \
    K(plane, round_tables, SINGLE)    \
    K(plane, exact_plane, ALL)        \
    K(plane, float_plane, FLOATS)     \
    K(plane, backward_plane, FLOATS)  \
    K(plane, by_steps_plane, FLOATS)

#define NNJPEG_CUDA_YCBCR_KERNELS(K)  \
    K(ycbcr, exact_chroma, ALL)       \
    K(ycbcr, exact_luma, ALL)         \
    K(ycbcr, float_chroma, FLOATS)    \
    K(ycbcr, float_luma, FLOATS)

#define NNJPEG_CUDA_YCBCR_BACKWARD_KERNELS(K)         \
    K(ycbcr_backward, decode_chroma, FLOATS)          \
    K(ycbcr_backward, luma_gradient, FLOATS)          \
    K(ycbcr_backward, chroma_gradient, SINGLE)        \
    K(ycbcr_backward, pixel_gradient, FLOATS)         \
    K(ycbcr_backward, decode_chroma_by_steps, FLOATS) \
    K(ycbcr_backward, luma_by_steps, FLOATS)          \
    K(ycbcr_backward, chroma_by_steps, SINGLE)

#define NNJPEG_CUDA_TABLE_SUMS_KERNELS(K) \
    K(table_sums, sum_blocks, SINGLE)     \
    K(table_sums, sum_chunks, SINGLE)

#define NNJPEG_CUDA_KERNELS(K)            \
    NNJPEG_CUDA_PLANE_KERNELS(K)          \
    NNJPEG_CUDA_YCBCR_KERNELS(K)          \
    NNJPEG_CUDA_YCBCR_BACKWARD_KERNELS(K) \
    NNJPEG_CUDA_TABLE_SUMS_KERNELS(K)

#define NNJPEG_CUDA_ENUMERATOR(name, size) NNJPEG_CUDA_##name,
typedef enum nnjpeg_cuda_type { NNJPEG_CUDA_TYPES(NNJPEG_CUDA_ENUMERATOR) NNJPEG_CUDA_TYPE_COUNT } nnjpeg_cuda_type;
#undef NNJPEG_CUDA_ENUMERATOR
#define NNJPEG_CUDA_ENUMERATOR(file, name, types) NNJPEG_CUDA_##name,
typedef enum nnjpeg_cuda_kernel { NNJPEG_CUDA_KERNELS(NNJPEG_CUDA_ENUMERATOR) NNJPEG_CUDA_KERNEL_COUNT } nnjpeg_cuda_kernel;
#undef NNJPEG_CUDA_ENUMERATOR

/* The types that a kernel is compiled for: a bit for each. */
enum {
    NNJPEG_CUDA_SINGLE = 1 << NNJPEG_CUDA_float32,
    NNJPEG_CUDA_FLOATS = NNJPEG_CUDA_SINGLE | 1 << NNJPEG_CUDA_float16 | 1 << NNJPEG_CUDA_bfloat16,
    NNJPEG_CUDA_ALL = NNJPEG_CUDA_FLOATS | 1 << NNJPEG_CUDA_uint8
};

/* How many threads a thread block has. */
enum { NNJPEG_CUDA_THREADS = 128 };

/* A batch in the device's memory; strides in samples, 0 allowed in inputs. */
typedef struct nnjpeg_cuda_view {
    void *data;
    nnjpeg_strides strides;
} nnjpeg_cuda_view;

/* The 64 steps of component c of image i, in natural order, start at steps + i * image_stride + c * component_stride (in
 * steps). They are bytes, of which 0 counts as 1, at multiples of 16; or floats, which count as the nearest integers in
 * 1..255, ties to even, NaN as 1. */
typedef struct nnjpeg_cuda_tables {
    void *steps;
    ptrdiff_t image_stride, component_stride; /* 0 where images, or components, share them */
    nnjpeg_cuda_type type;                    /* NNJPEG_CUDA_uint8 or NNJPEG_CUDA_float32 */
} nnjpeg_cuda_tables;

/* A round trip; with grad, its gradient by src, into dst; with grad and steps_gradient, that by the steps, and there is no dst.
 * Arguments are as nnjpeg_roundtrip and nnjpeg_cubic_backward_f32 or nnjpeg_table_backward_f32 want them, and there are fewer
 * than 2^31 blocks. */
typedef struct nnjpeg_cuda_call {
    nnjpeg_shape shape;
    nnjpeg_cuda_view src, grad, dst; /* grad: of the result, or data NULL */
    float *steps_gradient;           /* 64 numbers in natural order for each table that there is, or NULL */
    nnjpeg_cuda_tables tables;
    void *workspace; /* plan.workspace bytes, aligned to 32, whose contents are the call's until it is done */
    nnjpeg_cuda_type type;        /* of src, grad and dst */
    nnjpeg_colorspace colorspace; /* NNJPEG_RGB or NNJPEG_YCBCR */
    nnjpeg_subsampling subsampling;
    nnjpeg_precision precision; /* of floats; of gradients, what they are of: not NNJPEG_UINT8 */
} nnjpeg_cuda_call;

/* What of every image and gradient of a call can be read or written as one vector: nothing; eight samples of a row of one
 * component; or eight pixels of a row, in three vectors. */
typedef enum nnjpeg_cuda_layout {
    NNJPEG_CUDA_STRIDED = 0,
    NNJPEG_CUDA_PLANAR = 1,
    NNJPEG_CUDA_INTERLEAVED = 2
} nnjpeg_cuda_layout;

/* A component, and the blocks in a column and a row of it. */
typedef struct nnjpeg_cuda_plane {
    ptrdiff_t height, width;
    unsigned rows, columns;
} nnjpeg_cuda_plane;

/* The parameter of every kernel: a call made ready. */
typedef struct nnjpeg_cuda_job {
    nnjpeg_cuda_call call;
    nnjpeg_cuda_tables tables;      /* of bytes: the call's, or what round_tables leaves of them */
    nnjpeg_cuda_plane full, chroma; /* full: luma, or any component that is coded alone */
    /* What the launches of a call leave for each other in the workspace: planes of whole blocks, image by image. */
    void *decoded_chroma;        /* Cb, Cr: bytes, or floats that are limited where they are read */
    float *chroma_slopes;        /* for gradients: those at each coefficient of Cb and Cr, of the rounding or by the step */
    float *gradients;            /* with respect to luma before it is coded, and to upsampled Cb and Cr */
    float *products;             /* for the gradient by steps: what each coefficient adds to it, a block after the other */
    float *partials;             /* sums of these: `chunks` for each step of each table */
    unsigned chunks;
    nnjpeg_cuda_layout layout;
    unsigned units;              /* components of an image that threads take one by one, or 1 */
    int units_first;             /* whether neighbouring threads have neighbouring components */
    int h, v;                    /* how many times as fine luma is as chroma, along columns and along rows */
} nnjpeg_cuda_job;

/* A kernel for a type, and how many thread blocks of it are started. */
typedef struct nnjpeg_cuda_launch {
    nnjpeg_cuda_kernel kernel;
    nnjpeg_cuda_type type;
    unsigned blocks;
} nnjpeg_cuda_launch;

/* What a call takes: launches in this order, each with the job. */
typedef struct nnjpeg_cuda_plan {
    size_t workspace; /* bytes */
    nnjpeg_cuda_job job;
    int count;
    nnjpeg_cuda_launch launches[6];
} nnjpeg_cuda_plan;

/* What a kernel is: its file without the ending, its name, and the types that it is compiled for. */
typedef struct nnjpeg_cuda_description {
    const char *file, *name;
    int types;
} nnjpeg_cuda_description;

const nnjpeg_cuda_description *nnjpeg_cuda_describe(nnjpeg_cuda_kernel kernel);
const char *nnjpeg_cuda_name_of_type(nnjpeg_cuda_type type);

/* Makes the plan of a call. Its field `workspace` does not depend on the one of the call, which may be NULL to ask for it. */
void nnjpeg_cuda_plan_init(nnjpeg_cuda_plan *plan, const nnjpeg_cuda_call *call);

#ifdef __cplusplus
}
#endif
#endif
