/* nnjpeg: the JPEG round trip without the file.
 *
 * The C API. Every function is re-entrant, prints nothing and never aborts: it returns a status. Memory is allocated
 * only for some rows of an image, by thread, where components are not transformed where they lie.
 * Sample arithmetic is libjpeg-turbo's "islow" integer DCT, bit for bit; see block.h.
 *
 * One image's way through the files: image.c cuts it into runs of four blocks -> isa_<isa>.c takes a group of runs
 * through all stages (runs.h) -> block.h is the arithmetic of one block, written over lanes_<kind>.h. Where runs cannot lie
 * as they are in the image, as with chroma subsampling, strips.c takes some rows at a time by way of a buffer: rows_in.c ->
 * transform.c -> rows_out.c; single precision goes by image_f32.c, and its gradient with subsampling by gradient.c.
 */
#ifndef NNJPEG_H
#define NNJPEG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { NNJPEG_BLOCK = 8, NNJPEG_BLOCK_SIZE = 64 };

typedef enum nnjpeg_status {
    NNJPEG_OK = 0,
    NNJPEG_BAD_POINTER,    /* a required pointer is NULL */
    NNJPEG_BAD_SHAPE,      /* height, width or components below 1, or images below 0 */
    NNJPEG_BAD_COLORSPACE, /* unknown, or not for this number of components */
    NNJPEG_BAD_STEP,       /* a quantization step outside 1..255 */
    NNJPEG_BAD_PRECISION,  /* unknown */
    NNJPEG_BAD_ISA,        /* an instruction set that this build or this CPU does not have */
    NNJPEG_BAD_SUBSAMPLING, /* unknown, or not for this colour space */
    NNJPEG_BAD_HUFFMAN,    /* unknown */
    NNJPEG_NO_CODE,        /* libjpeg gives up an image's own Huffman tables */
    NNJPEG_NO_MEMORY       /* not even for some rows of the image; nothing was written */
} nnjpeg_status;

/* A static English sentence for a status. */
const char *nnjpeg_status_message(nnjpeg_status status);

typedef enum nnjpeg_colorspace {
    NNJPEG_RGB = 0,   /* components are coded as they are */
    NNJPEG_YCBCR = 1, /* RGB is coded as JFIF YCbCr; 3 components */
    /* 4 components of which the fourth is copied, as in images that pad a pixel to 32 bits; round trip only */
    NNJPEG_RGBX = 2,
    NNJPEG_YCBCRX = 3
} nnjpeg_colorspace;

/* How many times as fine luma is as chroma, along columns and along rows. Other than 4:4:4 only where YCbCr is coded. */
typedef enum nnjpeg_subsampling {
    NNJPEG_444 = 0, /* 1 x 1 */
    NNJPEG_422 = 1, /* 2 x 1 */
    NNJPEG_420 = 2, /* 2 x 2 */
    NNJPEG_440 = 3  /* 1 x 2 */
} nnjpeg_subsampling;

typedef struct nnjpeg_shape {
    ptrdiff_t images, components, height, width;
} nnjpeg_shape;

/* Distances between neighbours along each axis, in elements; any sign. For samples, row and column are those of the
 * image; for coefficients they are those of the grid of blocks, and a block is 64 consecutive elements in natural
 * (row-major) order. */
typedef struct nnjpeg_strides {
    ptrdiff_t image, component, row, column;
} nnjpeg_strides;

/* Two quantization steps q made ready, which a vector takes as one number of 32 bits: scaled_step 16q; reciprocal, bias and
 * scale divide by 8q. */
typedef struct nnjpeg_step {
    uint16_t scaled_step[2], bias[2], reciprocal[2], scale[2];
} nnjpeg_step;

/* A quantization table made ready: for the integers by column and pair of rows, both in the order of block.h; in natural order
 * the largest coefficients whose inverse stays within 16 bits; for single precision, the steps q and 1 / q, transposed
 * (horizontal frequency first). */
typedef struct nnjpeg_quantizer {
    nnjpeg_step steps[NNJPEG_BLOCK][NNJPEG_BLOCK / 2];
    uint16_t limits[NNJPEG_BLOCK_SIZE];
    float steps_f32[NNJPEG_BLOCK_SIZE], reciprocals_f32[NNJPEG_BLOCK_SIZE];
} nnjpeg_quantizer;

/* steps: 64 values in natural order, each 1..255. */
nnjpeg_status nnjpeg_quantizer_init(nnjpeg_quantizer *quantizer, const uint16_t *steps);

/* The quantizer of component c of image i is data[i * image_stride + c * component_stride]; a stride of 0 shares. */
typedef struct nnjpeg_quantizers {
    const nnjpeg_quantizer *data;
    ptrdiff_t image_stride, component_stride;
} nnjpeg_quantizers;

/* Compress and decompress. dst may be src itself (same pointer and strides), but must not overlap it in another way.
 * num_threads: at most this many threads. */
nnjpeg_status nnjpeg_roundtrip(const nnjpeg_shape *shape, const uint8_t *src, const nnjpeg_strides *src_strides,
                               uint8_t *dst, const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers,
                               nnjpeg_colorspace colorspace, nnjpeg_subsampling subsampling, int num_threads);

/* The same for samples in 0..1 in single precision. What lies outside counts as the nearer end. */
typedef enum nnjpeg_precision {
    NNJPEG_UINT8 = 0, /* samples are rounded to n / 255, ties up, and take the way of nnjpeg_roundtrip; NaN counts as 0 */
    NNJPEG_FLOAT = 1, /* no rounding but that of the coefficients; the result is clamped; a block with a NaN is all NaN */
    NNJPEG_FLOAT_CUBIC = 2 /* as FLOAT, with coefficients u (in steps) rounded to round(u) + (u - round(u))^3 */
} nnjpeg_precision;

nnjpeg_status nnjpeg_roundtrip_f32(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides,
                                   float *dst, const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers,
                                   nnjpeg_colorspace colorspace, nnjpeg_subsampling subsampling,
                                   nnjpeg_precision precision, int num_threads);

/* The gradient with respect to src of NNJPEG_FLOAT_CUBIC, from the one with respect to its result: the exact derivative,
 * clamps and the padding of incomplete blocks included. dst is like src in shape and overlaps neither input. */
nnjpeg_status nnjpeg_cubic_backward_f32(const nnjpeg_shape *shape, const float *grad, const nnjpeg_strides *grad_strides,
                                        const float *src, const nnjpeg_strides *src_strides, float *dst,
                                        const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers,
                                        nnjpeg_colorspace colorspace, nnjpeg_subsampling subsampling, int num_threads);

/* The gradient with respect to the quantization steps of NNJPEG_FLOAT or NNJPEG_FLOAT_CUBIC, from the one with respect to its
 * result: of a coefficient c with step q that comes out as q r(c / q), r - u r' at u = c / q, where r' is 1 for NNJPEG_FLOAT (as
 * if there were no rounding); added up over all blocks that share the step. dst: 64 numbers in natural order for each table: for
 * each image, or for one where quantizers.image_stride is 0, those of each component, or of one where component_stride is 0. Without images it is not written. */
nnjpeg_status nnjpeg_table_backward_f32(const nnjpeg_shape *shape, const float *grad, const nnjpeg_strides *grad_strides,
                                        const float *src, const nnjpeg_strides *src_strides, float *dst,
                                        nnjpeg_quantizers quantizers, nnjpeg_colorspace colorspace,
                                        nnjpeg_subsampling subsampling, nnjpeg_precision precision, int num_threads);

/* Quantized coefficients: of all components in 4:4:4, else of one, whose grid of blocks is its own (and strides.component is
 * not used). */
typedef struct nnjpeg_coefficients {
    int16_t *data;
    nnjpeg_strides strides;
} nnjpeg_coefficients;

/* Samples to quantized coefficients, -1024..1024 each. dst: one, or, where chroma is subsampled, one for each component. */
nnjpeg_status nnjpeg_forward(const nnjpeg_shape *shape, const uint8_t *src, const nnjpeg_strides *src_strides,
                             const nnjpeg_coefficients *dst, nnjpeg_quantizers quantizers, nnjpeg_colorspace colorspace,
                             nnjpeg_subsampling subsampling, int num_threads);

/* Quantized coefficients to samples. Every int16 value is allowed: intermediate results are wide enough for all. */
nnjpeg_status nnjpeg_inverse(const nnjpeg_shape *shape, const nnjpeg_coefficients *src, uint8_t *dst,
                             const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers, nnjpeg_colorspace colorspace,
                             nnjpeg_subsampling subsampling, int num_threads);

/* The Huffman tables of a file. */
typedef enum nnjpeg_huffman {
    NNJPEG_HUFFMAN_STANDARD = 0, /* of ITU-T T.81, annex K.3 */
    NNJPEG_HUFFMAN_OPTIMAL = 1   /* made for the image: annex K.2 */
} nnjpeg_huffman;

/* The size in bytes of the baseline file that libjpeg-turbo makes of each image with 1 or 3 components, without metadata:
 * sizes[image]. Its headers are those of JFIF, or for RGB Adobe's; its quantization tables one for each component, or one where
 * quantizers.component_stride is 0. NNJPEG_NO_CODE: it makes none of an image, whose size is -1.
 * lengths: NULL, or for each image the bits of the code of each symbol, [luma, chroma][DC, AC][256], 0 where there is none; all but
 * YCbCr's chroma is coded as luma. Samples in single precision are rounded to bytes as by NNJPEG_UINT8. */
enum { NNJPEG_CODE_LENGTHS = 2 * 2 * 256 };

nnjpeg_status nnjpeg_coded_size(const nnjpeg_shape *shape, const uint8_t *src, const nnjpeg_strides *src_strides, int64_t *sizes,
                                uint8_t *lengths, nnjpeg_quantizers quantizers, nnjpeg_colorspace colorspace,
                                nnjpeg_subsampling subsampling, nnjpeg_huffman huffman, int num_threads);
nnjpeg_status nnjpeg_coded_size_f32(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides,
                                    int64_t *sizes, uint8_t *lengths, nnjpeg_quantizers quantizers,
                                    nnjpeg_colorspace colorspace, nnjpeg_subsampling subsampling, nnjpeg_huffman huffman,
                                    int num_threads);

/* The gradient of such a file's bits, for Huffman codes of the given lengths: how many more it is expected to have where a step, or
 * a sample, grows a little (rate.c). By steps to tables: 64 in natural order for each component of each image. Of samples in single
 * precision to dst as well, unless that is NULL. What an image has is multiplied by its weight. */
nnjpeg_status nnjpeg_rate_backward(const nnjpeg_shape *shape, const uint8_t *src, const nnjpeg_strides *src_strides,
                                   const float *weights, const uint8_t *lengths, float *tables, nnjpeg_quantizers quantizers,
                                   nnjpeg_colorspace colorspace, nnjpeg_subsampling subsampling, int num_threads);
nnjpeg_status nnjpeg_rate_backward_f32(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides,
                                       const float *weights, const uint8_t *lengths, float *tables, float *dst,
                                       const nnjpeg_strides *dst_strides, nnjpeg_quantizers quantizers,
                                       nnjpeg_colorspace colorspace, nnjpeg_subsampling subsampling, int num_threads);

/* The orthonormal DCT-II of 8x8 blocks and its inverse in single precision: no level shift, no quantization. */
nnjpeg_status nnjpeg_dct_u8(const nnjpeg_shape *shape, const uint8_t *src, const nnjpeg_strides *src_strides,
                            float *dst, const nnjpeg_strides *dst_strides);
nnjpeg_status nnjpeg_dct_f32(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides,
                             float *dst, const nnjpeg_strides *dst_strides);
nnjpeg_status nnjpeg_idct_f32(const nnjpeg_shape *shape, const float *src, const nnjpeg_strides *src_strides,
                              float *dst, const nnjpeg_strides *dst_strides);

/* The quantizer alone, on count coefficients as the forward DCT leaves them (8 times orthonormal, |c| <= 16383). */
nnjpeg_status nnjpeg_quantize(const int16_t *coefficients, int16_t *quantized, ptrdiff_t count, uint16_t step);

/* Before a large result is written to memory that may never have been touched: asks the system, where it is Linux, for
 * huge pages, of which far fewer have to be fetched. A hint; contents stay. */
void nnjpeg_expect_writes(void *data, ptrdiff_t size);

/* How many threads OpenMP offers; 0 if the library was built without it. */
int nnjpeg_openmp_threads(void);

/* The instruction set in use, a static string. The best that this CPU has, or the one that the environment variable
 * NNJPEG_FORCE_ISA names; NULL if that one is unavailable (calls then return NNJPEG_BAD_ISA). */
const char *nnjpeg_isa(void);

/* The index-th instruction set of this build, best first, NULL after the last; whether this CPU has it. */
const char *nnjpeg_compiled_isa(int index, int *supported);

/* For tests and measurements: use another one from now on, in the whole process. */
nnjpeg_status nnjpeg_use_isa(const char *name);

#ifdef __cplusplus
}
#endif
#endif
