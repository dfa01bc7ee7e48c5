/* The kernels: a thread takes one block (of each component, where they are coded together) through all stages, in
 * registers. Neighbouring threads have neighbouring blocks, so that a warp reads and writes whole rows of memory.
 *
 * The arithmetic is block.h's, over scalar lanes. */
#include <cuda_runtime.h>

#include <cuda_fp16.h>

#define NJ_SUM int32_t
#include "lanes_scalar.h"

#include "block_f32.h"
#include "kernel.h"

/* A test that runs the kernels on the host defines its own. */
#ifndef NJ_LAUNCH
#define NJ_LAUNCH(kernel, blocks, threads, stream, argument) kernel<<<blocks, threads, 0, stream>>>(argument)
#endif

namespace {

enum { THREADS = 128 };

/* A quantization step made ready, for every step there is; in constant memory, since the threads of a warp mostly ask for
 * the same. */
struct alignas(16) Step {
    float exact_reciprocal; /* for nj_requantize_by_f32 */
    int scaled_step;
    float reciprocal, step; /* for nj_requantize_f32 */
};

struct Steps {
    Step at[256];
    constexpr Steps() : at()
    {
        for (int i = 0; i < 256; i++) {
            const int q = i < 1 ? 1 : i;
            at[i] = Step{ NJ_ABOVE_ONE / (float)(8 * q), q << NJ_STEP_BITS, NJ_TIE / (float)q, (float)q };
        }
    }
};

__constant__ Steps steps_table = Steps();

/* The call as the kernels see it. */
struct Job {
    nnjpeg_cuda_call call;
    unsigned threads, columns, rows, units; /* blocks in a row and a column; units: components, or 1 if coded together */
    bool units_first;                       /* neighbouring threads have neighbouring components */
    bool vectors;                           /* the rows of blocks are aligned, with neighbours in a row side by side */
};

/* Where a thread's block is. */
struct Place {
    ptrdiff_t image, component, y, x;
    int height, width; /* how much of the block lies inside */
};

__device__ Place place_of(const Job &job, unsigned thread)
{
    unsigned unit = 0, column, row;
    if (job.units_first) {
        unit = thread % job.units;
        thread /= job.units;
    }
    column = thread % job.columns;
    thread /= job.columns;
    row = thread % job.rows;
    thread /= job.rows;
    if (!job.units_first) {
        unit = thread % job.units;
        thread /= job.units;
    }
    Place p;
    p.image = thread;
    p.component = unit;
    p.y = (ptrdiff_t)row * NNJPEG_BLOCK;
    p.x = (ptrdiff_t)column * NNJPEG_BLOCK;
    p.height = (int)min(job.call.shape.height - p.y, (ptrdiff_t)NNJPEG_BLOCK);
    p.width = (int)min(job.call.shape.width - p.x, (ptrdiff_t)NNJPEG_BLOCK);
    return p;
}

/* Types in memory, and the numbers that the stages work on: int for the integers, float for single precision. */
struct Half {
    unsigned short bits;
};
struct Bfloat16 {
    unsigned short bits;
};

__device__ float to_float(float x) { return x; }
__device__ float to_float(Half x) { return __half2float(__ushort_as_half(x.bits)); }
__device__ float to_float(Bfloat16 x) { return __uint_as_float((unsigned)x.bits << 16); }

__device__ void from_float(float x, float *to) { *to = x; }
__device__ void from_float(float x, Half *to) { to->bits = __half_as_ushort(__float2half_rn(x)); }
/* To the nearest, ties to even; NaN stays NaN. */
__device__ void from_float(float x, Bfloat16 *to)
{
    const unsigned bits = __float_as_uint(x);
    to->bits = (unsigned short)(x != x ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* n / 255, rounded once: a product, and one step of Newton's that makes it so. */
__device__ float from_byte(int n)
{
    const float inverse = 1.0f / 255.0f, x = (float)n, q = x * inverse;
    return fmaf(fmaf(-q, 255.0f, x), inverse, q);
}

__device__ void read(uint8_t x, int *to) { *to = x; }
template <typename T> __device__ void read(T x, int *to) { *to = nj_to_byte(to_float(x)); }
template <typename T> __device__ void read(T x, float *to) { *to = to_float(x); }
__device__ void read(uint8_t x, float *to) { *to = x; }

__device__ void write(int x, uint8_t *to) { *to = (uint8_t)clamp16(x); }
template <typename T> __device__ void write(int x, T *to) { from_float(from_byte(clamp16(x)), to); }
template <typename T> __device__ void write(float x, T *to) { from_float(x, to); }
__device__ void write(float x, uint8_t *to) { *to = (uint8_t)x; }

/* A row of a block as one access, or two. */
template <typename T> struct alignas(sizeof(T) > 2 ? 16 : 8 * sizeof(T)) Row {
    T at[NNJPEG_BLOCK];
};

template <typename T> __device__ T *address(const nnjpeg_cuda_view &view, const Place &p, int component)
{
    const nnjpeg_strides &s = view.strides;
    return (T *)view.data + p.image * s.image + (p.component + component) * s.component + p.y * s.row + p.x * s.column;
}

/* What lies outside repeats the last column and row, or is 0 for a gradient. */
template <typename T, typename Number>
__device__ void load_as(const Job &job, const nnjpeg_cuda_view &view, const Place &p, int component, bool zeros,
                        Number x[NNJPEG_BLOCK_SIZE])
{
    const T *from = address<T>(view, p, component);
    if (job.vectors && p.width == NNJPEG_BLOCK && p.height == NNJPEG_BLOCK) {
        Row<T> rows[NNJPEG_BLOCK];
#pragma unroll
        for (int i = 0; i < NNJPEG_BLOCK; i++)
            rows[i] = *(const Row<T> *)(from + i * view.strides.row);
#pragma unroll
        for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++)
            read(rows[k / 8].at[k % 8], &x[k]);
        return;
    }
#pragma unroll
    for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++) {
        const int i = min(k / 8, p.height - 1), j = min(k % 8, p.width - 1);
        if (zeros && (k / 8 != i || k % 8 != j))
            x[k] = 0;
        else
            read(from[i * view.strides.row + j * view.strides.column], &x[k]);
    }
}

template <typename Number>
__device__ void load(const Job &job, const nnjpeg_cuda_view &view, const Place &p, int component, bool zeros,
                     Number x[NNJPEG_BLOCK_SIZE])
{
    switch (job.call.type) {
    case NNJPEG_CUDA_UINT8:
        load_as<uint8_t>(job, view, p, component, zeros, x);
        break;
    case NNJPEG_CUDA_FLOAT32:
        load_as<float>(job, view, p, component, zeros, x);
        break;
    case NNJPEG_CUDA_FLOAT16:
        load_as<Half>(job, view, p, component, zeros, x);
        break;
    case NNJPEG_CUDA_BFLOAT16:
        load_as<Bfloat16>(job, view, p, component, zeros, x);
        break;
    }
}

template <typename T, typename Number>
__device__ void store_as(const Job &job, const Place &p, int component, const Number x[NNJPEG_BLOCK_SIZE])
{
    const nnjpeg_strides &s = job.call.dst.strides;
    T *to = address<T>(job.call.dst, p, component);
    if (job.vectors && p.width == NNJPEG_BLOCK && p.height == NNJPEG_BLOCK) {
#pragma unroll
        for (int i = 0; i < NNJPEG_BLOCK; i++) {
            Row<T> row;
#pragma unroll
            for (int j = 0; j < NNJPEG_BLOCK; j++)
                write(x[8 * i + j], &row.at[j]);
            *(Row<T> *)(to + i * s.row) = row;
        }
        return;
    }
#pragma unroll
    for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++)
        if (k / 8 < p.height && k % 8 < p.width)
            write(x[k], &to[k / 8 * s.row + k % 8 * s.column]);
}

template <typename Number>
__device__ void store(const Job &job, const Place &p, int component, const Number x[NNJPEG_BLOCK_SIZE])
{
    switch (job.call.type) {
    case NNJPEG_CUDA_UINT8:
        store_as<uint8_t>(job, p, component, x);
        break;
    case NNJPEG_CUDA_FLOAT32:
        store_as<float>(job, p, component, x);
        break;
    case NNJPEG_CUDA_FLOAT16:
        store_as<Half>(job, p, component, x);
        break;
    case NNJPEG_CUDA_BFLOAT16:
        store_as<Bfloat16>(job, p, component, x);
        break;
    }
}

/* The steps of a component, read as four words of 16 bytes. */
struct alignas(16) Table {
    uint8_t at[NNJPEG_BLOCK_SIZE];
};

__device__ Table table_of(const Job &job, const Place &p, int component)
{
    const nnjpeg_cuda_tables &t = job.call.tables;
    return *(const Table *)(t.steps + p.image * t.image_stride + (p.component + component) * t.component_stride);
}

/* Passes over the rows and the columns of a block. */
template <typename Number, typename Pass> __device__ void rows(Number x[NNJPEG_BLOCK_SIZE], Pass pass)
{
#pragma unroll
    for (int i = 0; i < NNJPEG_BLOCK; i++)
        pass(&x[8 * i]);
}

template <typename Number, typename Pass> __device__ void columns(Number x[NNJPEG_BLOCK_SIZE], Pass pass)
{
#pragma unroll
    for (int j = 0; j < NNJPEG_BLOCK; j++) {
        Number column[NNJPEG_BLOCK];
#pragma unroll
        for (int i = 0; i < NNJPEG_BLOCK; i++)
            column[i] = x[8 * i + j];
        pass(column, j);
#pragma unroll
        for (int i = 0; i < NNJPEG_BLOCK; i++)
            x[8 * i + j] = column[i];
    }
}

/* Samples to samples, in integers. */
__device__ void transform(int x[NNJPEG_BLOCK_SIZE], const Table &table)
{
    rows(x, [](int *row) {
        int s[4], d[4];
        nj_mirror(row, s, d);
        nj_fdct_row(s, d, row);
    });
    columns(x, [&](int *column, int j) {
        nj_fdct_column(column);
#pragma unroll
        for (int i = 0; i < NNJPEG_BLOCK; i++) {
            const Step &step = steps_table.at[table.at[8 * i + j]];
            column[i] = nj_requantize_by_f32(column[i], step.scaled_step, step.exact_reciprocal);
        }
        nj_idct_column(column);
    });
    rows(x, [](int *row) { nj_idct_row(row); });
}

__device__ void forward(float x[NNJPEG_BLOCK_SIZE])
{
    rows(x, [](float *row) { nj_dct_f32(row); });
    columns(x, [](float *column, int) { nj_dct_f32(column); });
}

__device__ void inverse(float x[NNJPEG_BLOCK_SIZE])
{
    columns(x, [](float *column, int) { nj_idct_f32(column); });
    rows(x, [](float *row) { nj_idct_f32(row); });
}

__device__ void requantize(float x[NNJPEG_BLOCK_SIZE], const Table &table, nj_rounding rounding)
{
#pragma unroll
    for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++) {
        const Step &step = steps_table.at[table.at[k]];
        x[k] = nj_requantize_f32(x[k], step.step, step.reciprocal, rounding);
    }
}

template <typename Number, typename Function> __device__ void each(Number x[NNJPEG_BLOCK_SIZE], Function function)
{
#pragma unroll
    for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++)
        x[k] = function(x[k]);
}

/* A colour transform, sample by sample. The three components are in local memory: not even the loop is unrolled. */
template <typename Number, typename Transform>
__device__ void colour(Number (*x)[NNJPEG_BLOCK_SIZE], Transform transform_pixel)
{
#pragma unroll 1
    for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++) {
        Number pixel[3] = { x[0][k], x[1][k], x[2][k] };
        transform_pixel(pixel);
        x[0][k] = pixel[0];
        x[1][k] = pixel[1];
        x[2][k] = pixel[2];
    }
}

#define NJ_THIS_THREAD                                          \
    const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x; \
    if (thread >= job.threads)                                  \
        return;                                                 \
    const Place place = place_of(job, thread)

__global__ void __launch_bounds__(THREADS, 4) exact_plane(Job job)
{
    NJ_THIS_THREAD;
    int x[NNJPEG_BLOCK_SIZE];
    load(job, job.call.src, place, 0, false, x);
    transform(x, table_of(job, place, 0));
    store(job, place, 0, x);
}

__global__ void __launch_bounds__(THREADS) exact_colour(Job job)
{
    NJ_THIS_THREAD;
    int x[3][NNJPEG_BLOCK_SIZE];
#pragma unroll 1
    for (int c = 0; c < 3; c++)
        load(job, job.call.src, place, c, false, x[c]);
    colour(x, [](int *pixel) { nj_rgb_to_ycbcr(pixel); });
#pragma unroll 1
    for (int c = 0; c < 3; c++) {
        transform(x[c], table_of(job, place, c));
        each(x[c], [](int n) { return clamp16(n); });
    }
    colour(x, [](int *pixel) { nj_ycbcr_to_rgb(pixel); });
#pragma unroll 1
    for (int c = 0; c < 3; c++)
        store(job, place, c, x[c]);
}

__device__ nj_rounding rounding_of(const Job &job)
{
    return job.call.precision == NNJPEG_FLOAT_CUBIC ? NJ_CUBIC : NJ_NEAREST;
}

__global__ void __launch_bounds__(THREADS, 3) float_plane(Job job)
{
    NJ_THIS_THREAD;
    float x[NNJPEG_BLOCK_SIZE];
    load(job, job.call.src, place, 0, false, x);
    each(x, nj_from_unit);
    forward(x);
    requantize(x, table_of(job, place, 0), rounding_of(job));
    inverse(x);
    each(x, nj_to_unit);
    store(job, place, 0, x);
}

__device__ float limit(float x)
{
    return clamp_f32(x, -128.0f, 127.0f);
}

__global__ void __launch_bounds__(THREADS) float_colour(Job job)
{
    NJ_THIS_THREAD;
    float x[3][NNJPEG_BLOCK_SIZE];
#pragma unroll 1
    for (int c = 0; c < 3; c++) {
        load(job, job.call.src, place, c, false, x[c]);
        each(x[c], nj_from_unit);
    }
    colour(x, nj_rgb_to_ycbcr_f32);
#pragma unroll 1
    for (int c = 0; c < 3; c++) {
        forward(x[c]);
        requantize(x[c], table_of(job, place, c), rounding_of(job));
        inverse(x[c]);
        each(x[c], limit);
    }
    colour(x, nj_ycbcr_to_rgb_f32);
#pragma unroll 1
    for (int c = 0; c < 3; c++) {
        each(x[c], nj_to_unit);
        store(job, place, c, x[c]);
    }
}

/* g where y lies in low..high, else 0. */
__device__ void keep(float g[NNJPEG_BLOCK_SIZE], const float y[NNJPEG_BLOCK_SIZE], float low, float high)
{
#pragma unroll
    for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++)
        g[k] = keep_f32(g[k], y[k], low, high);
}

/* From samples: the slope of the rounding at each coefficient, and what is decoded. */
__device__ void cubic_slopes(float x[NNJPEG_BLOCK_SIZE], float slope[NNJPEG_BLOCK_SIZE], const Table &table)
{
    forward(x);
#pragma unroll
    for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++)
        slope[k] = nj_cubic_slope(x[k], steps_table.at[table.at[k]].reciprocal);
    requantize(x, table, NJ_CUBIC);
    inverse(x);
}

__device__ void through_slopes(float g[NNJPEG_BLOCK_SIZE], const float slope[NNJPEG_BLOCK_SIZE])
{
    forward(g);
#pragma unroll
    for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++)
        g[k] *= slope[k];
    inverse(g);
}

/* The gradient of padding belongs to the sample that it repeats; that of what nj_from_unit clamps is 0. */
__device__ void store_gradient(const Job &job, const Place &place, int component, float g[NNJPEG_BLOCK_SIZE])
{
    float x[NNJPEG_BLOCK_SIZE];
    if (place.width < NNJPEG_BLOCK || place.height < NNJPEG_BLOCK) {
#pragma unroll
        for (int k = NNJPEG_BLOCK_SIZE - 1; k > 0; k--) {
            if (k % 8 >= place.width) {
                g[k - 1] += g[k];
                g[k] = 0.0f;
            }
        }
#pragma unroll
        for (int k = NNJPEG_BLOCK_SIZE - 1; k >= NNJPEG_BLOCK; k--) {
            if (k / 8 >= place.height) {
                g[k - 8] += g[k];
                g[k] = 0.0f;
            }
        }
    }
    load(job, job.call.src, place, component, false, x);
    keep(g, x, 0.0f, 1.0f);
    store(job, place, component, g);
}

__global__ void __launch_bounds__(THREADS) backward_plane(Job job)
{
    NJ_THIS_THREAD;
    const Table table = table_of(job, place, 0);
    float x[NNJPEG_BLOCK_SIZE], slope[NNJPEG_BLOCK_SIZE], g[NNJPEG_BLOCK_SIZE];
    load(job, job.call.src, place, 0, false, x);
    each(x, nj_from_unit);
    cubic_slopes(x, slope, table);
    load(job, job.call.grad, place, 0, true, g);
    keep(g, x, -128.0f, 127.0f);
    through_slopes(g, slope);
    store_gradient(job, place, 0, g);
}

__global__ void __launch_bounds__(THREADS) backward_colour(Job job)
{
    NJ_THIS_THREAD;
    float x[3][NNJPEG_BLOCK_SIZE], y[3][NNJPEG_BLOCK_SIZE], slope[3][NNJPEG_BLOCK_SIZE], g[3][NNJPEG_BLOCK_SIZE];
#pragma unroll 1
    for (int c = 0; c < 3; c++) {
        load(job, job.call.src, place, c, false, x[c]);
        each(x[c], nj_from_unit);
    }
    colour(x, nj_rgb_to_ycbcr_f32);
#pragma unroll 1
    for (int c = 0; c < 3; c++) {
        cubic_slopes(x[c], slope[c], table_of(job, place, c));
#pragma unroll
        for (int k = 0; k < NNJPEG_BLOCK_SIZE; k++)
            y[c][k] = x[c][k];
        each(x[c], limit);
    }
    colour(x, nj_ycbcr_to_rgb_f32);
#pragma unroll 1
    for (int c = 0; c < 3; c++) {
        load(job, job.call.grad, place, c, true, g[c]);
        keep(g[c], x[c], -128.0f, 127.0f);
    }
    colour(g, nj_ycbcr_to_rgb_transposed);
#pragma unroll 1
    for (int c = 0; c < 3; c++) {
        keep(g[c], y[c], -128.0f, 127.0f);
        through_slopes(g[c], slope[c]);
    }
    colour(g, nj_rgb_to_ycbcr_transposed);
#pragma unroll 1
    for (int c = 0; c < 3; c++)
        store_gradient(job, place, c, g[c]);
}

ptrdiff_t size_of(nnjpeg_cuda_type type)
{
    return type == NNJPEG_CUDA_UINT8 ? 1 : type == NNJPEG_CUDA_FLOAT32 ? 4 : 2;
}

/* Whether whole rows of blocks can be read, or written, as Row. */
bool takes_vectors(const nnjpeg_cuda_call &call, const nnjpeg_cuda_view &view)
{
    const nnjpeg_strides &s = view.strides;
    const ptrdiff_t size = size_of(call.type), alignment = size > 2 ? 16 : 8 * size;
    const auto aligned = [&](ptrdiff_t count, ptrdiff_t stride) { return count < 2 || stride * size % alignment == 0; };
    return s.column == 1 && (uintptr_t)view.data % alignment == 0 && aligned(call.shape.height, s.row) &&
           aligned(call.shape.components, s.component) && aligned(call.shape.images, s.image);
}

} /* namespace */

int nnjpeg_cuda_run(const nnjpeg_cuda_call *call, void *stream)
{
    const nnjpeg_shape &shape = call->shape;
    const bool together = call->colorspace == NNJPEG_YCBCR;
    const bool exact = call->type == NNJPEG_CUDA_UINT8 || call->precision == NNJPEG_UINT8;
    Job job;
    job.call = *call;
    job.columns = (unsigned)((shape.width - 1) / NNJPEG_BLOCK + 1);
    job.rows = (unsigned)((shape.height - 1) / NNJPEG_BLOCK + 1);
    job.units = together ? 1 : (unsigned)shape.components;
    job.threads = (unsigned)shape.images * job.units * job.rows * job.columns;
    job.units_first = shape.components > 1 && call->src.strides.component == 1;
    job.vectors = takes_vectors(*call, call->src) && takes_vectors(*call, call->dst) &&
                  (!call->grad.data || takes_vectors(*call, call->grad));
    if (job.threads == 0)
        return 0;
    const unsigned blocks = (job.threads - 1) / THREADS + 1;
    const cudaStream_t on = (cudaStream_t)stream;
    if (call->grad.data && together)
        NJ_LAUNCH(backward_colour, blocks, THREADS, on, job);
    else if (call->grad.data)
        NJ_LAUNCH(backward_plane, blocks, THREADS, on, job);
    else if (exact && together)
        NJ_LAUNCH(exact_colour, blocks, THREADS, on, job);
    else if (exact)
        NJ_LAUNCH(exact_plane, blocks, THREADS, on, job);
    else if (together)
        NJ_LAUNCH(float_colour, blocks, THREADS, on, job);
    else
        NJ_LAUNCH(float_plane, blocks, THREADS, on, job);
    return (int)cudaGetLastError();
}

const char *nnjpeg_cuda_error(int error)
{
    return cudaGetErrorString((cudaError_t)error);
}
