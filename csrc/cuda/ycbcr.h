/* What the kernels of YCbCr share: pixels in and out, luma and downsampled chroma of them, upsampling.
 *
 * Kernels for luma take the blocks of job.full, those for chroma the blocks of job.chroma, each of Cb and Cr: a thread
 * block has one component, and its neighbour, which reads the same pixels, the other. */
#ifndef NNJPEG_CUDA_YCBCR_H
#define NNJPEG_CUDA_YCBCR_H

#include "access.h"
#include "workspace.h"

namespace nnjpeg_cuda {

#define NJ_THIS_CHROMA                                                                  \
    Place place = place_of(job, job.chroma, blockIdx.x / 2 * blockDim.x + threadIdx.x); \
    if (place.image >= job.call.shape.images)                                           \
        return;                                                                         \
    place.component = 1 + blockIdx.x % 2

/* Access to a span, eight pixels of a row, by type and layout. */
template <typename T, nnjpeg_cuda_layout layout> struct Pixels {
    /* From row y and column x on; beyond the last column it is repeated. */
    template <typename Number>
    __device__ static void load(const Job &job, const nnjpeg_cuda_view &view, ptrdiff_t image, ptrdiff_t y, ptrdiff_t x,
                                Number pixels[NNJPEG_BLOCK][3])
    {
        const nnjpeg_strides &s = view.strides;
        const T *from = (const T *)view.data + image * s.image + y * s.row;
        Row<T> vectors[3];
        if (layout != NNJPEG_CUDA_STRIDED)
            for (int n = 0; n < 3; n++)
                vectors[n] = *(const Row<T> *)(from + offset(s, x, n));
#pragma unroll
        for (int j = 0; j < NNJPEG_BLOCK; j++)
#pragma unroll
            for (int c = 0; c < 3; c++)
                if (layout == NNJPEG_CUDA_STRIDED)
                    read(from[min(x + j, job.call.shape.width - 1) * s.column + c * s.component], &pixels[j][c]);
                else
                    read(sample(vectors, j, c), &pixels[j][c]);
    }

    /* As row i of a block of the result, as far as they lie inside. */
    template <typename Number>
    __device__ static void store(const Job &job, const Place &p, int i, const Number pixels[NNJPEG_BLOCK][3])
    {
        const nnjpeg_strides &s = job.call.dst.strides;
        T *to = (T *)job.call.dst.data + p.image * s.image + (p.y + i) * s.row;
        Row<T> vectors[3];
#pragma unroll
        for (int j = 0; j < NNJPEG_BLOCK; j++)
#pragma unroll
            for (int c = 0; c < 3; c++)
                if (layout != NNJPEG_CUDA_STRIDED)
                    write(pixels[j][c], &sample(vectors, j, c));
                else if (j < p.width)
                    write(pixels[j][c], &to[(p.x + j) * s.column + c * s.component]);
        if (layout != NNJPEG_CUDA_STRIDED)
            for (int n = 0; n < 3; n++)
                *(Row<T> *)(to + offset(s, p.x, n)) = vectors[n];
    }

private:
    /* Where the n-th of the three vectors of a span is in a row, and which part of the vectors a sample is. */
    __device__ static ptrdiff_t offset(const nnjpeg_strides &s, ptrdiff_t x, int n)
    {
        return layout == NNJPEG_CUDA_PLANAR ? n * s.component + x : 3 * x + NNJPEG_BLOCK * n;
    }
    template <typename Vectors> __device__ static auto &sample(Vectors *vectors, int j, int c)
    {
        const int k = 3 * j + c;
        return layout == NNJPEG_CUDA_PLANAR ? vectors[c].at[j] : vectors[k / NNJPEG_BLOCK].at[k % NNJPEG_BLOCK];
    }
};

/* Calls use with the Pixels for the job; whole: whether all columns that the thread takes lie inside. */
template <typename T, typename Use> __device__ void with_pixels(const Job &job, bool whole, Use use)
{
    if (whole && job.layout == NNJPEG_CUDA_PLANAR)
        use(Pixels<T, NNJPEG_CUDA_PLANAR>());
    else if (whole && job.layout == NNJPEG_CUDA_INTERLEAVED)
        use(Pixels<T, NNJPEG_CUDA_INTERLEAVED>());
    else
        use(Pixels<T, NNJPEG_CUDA_STRIDED>());
}

/* Several spans, `across` of them side by side, from row y and column x on; beyond the last column and row these are
 * repeated. whole: as for with_pixels. */
template <typename T, int spans, typename Number>
__device__ void load_spans(const Job &job, const nnjpeg_cuda_view &view, bool whole, ptrdiff_t image, ptrdiff_t y,
                          ptrdiff_t x, int across, Number pixels[spans][NNJPEG_BLOCK][3])
{
    with_pixels<T>(job, whole, [&](auto access) {
#pragma unroll
        for (int n = 0; n < spans; n++)
            access.load(job, view, image, min(y + n / across, job.call.shape.height - 1),
                        x + NNJPEG_BLOCK * (n % across), pixels[n]);
    });
}

/* How many times as fine luma is as chroma, known when this is compiled. */
template <int columns, int rows> struct Factors {
    static constexpr int h = columns, v = rows;
};

template <typename Use> __device__ void with_factors(const Job &job, Use use)
{
    if (job.h == 2 && job.v == 2)
        use(Factors<2, 2>());
    else if (job.h == 2)
        use(Factors<2, 1>());
    else if (job.v == 2)
        use(Factors<1, 2>());
    else
        use(Factors<1, 1>());
}

/* The arithmetic of both kinds of numbers by one name. */
__device__ inline void to_ycbcr(int pixel[3]) { nj_rgb_to_ycbcr(pixel); }
__device__ inline void to_ycbcr(float pixel[3])
{
    for (int c = 0; c < 3; c++)
        pixel[c] = nj_from_unit(pixel[c]);
    nj_rgb_to_ycbcr_f32(pixel);
}

__device__ inline int downsampled(int sum, int k, int h, int v)
{
    return h * v == 1 ? sum : nj_downsample(sum, nj_downsampling_bias(h, v, k % 2), h, v);
}
__device__ inline float downsampled(float sum, int, int h, int v) { return sum * (1.0f / (float)(h * v)); }

__device__ inline int triangle(int near, int far) { return nj_triangle(near, far); }
__device__ inline float triangle(float near, float far) { return nj_triangle_f32(near, far); }

__device__ inline int upsampled(int sum, int odd, int h, int v)
{
    return h * v == 1 ? sum : nj_upsampled(sum, nj_upsampling_bias(h, v, odd), h, v);
}
__device__ inline float upsampled(float sum, int, int, int) { return sum; }

/* A block of luma. */
template <typename T, typename Number>
__device__ void load_luma(const Job &job, const Place &place, Number x[NNJPEG_BLOCK_SIZE])
{
    enum { SPANS = 4 };
    const bool whole = place.width == NNJPEG_BLOCK;
#pragma unroll 1
    for (int i = 0; i < NNJPEG_BLOCK; i += SPANS) {
        Number pixels[SPANS][NNJPEG_BLOCK][3];
        load_spans<T, SPANS>(job, job.call.src, whole, place.image, place.y + i, place.x, 1, pixels);
#pragma unroll
        for (int k = 0; k < SPANS * NNJPEG_BLOCK; k++) {
            Number *pixel = pixels[k / NNJPEG_BLOCK][k % NNJPEG_BLOCK];
            to_ycbcr(pixel);
            x[NNJPEG_BLOCK * i + k] = pixel[0];
        }
    }
}

/* Eight samples of component c of chroma from spans, h of them side by side. */
template <int c, typename Factors, typename Number>
__device__ void downsample(Factors, Number pixels[][NNJPEG_BLOCK][3], Number x[NNJPEG_BLOCK])
{
    constexpr int h = Factors::h, v = Factors::v;
#pragma unroll
    for (int j = 0; j < NNJPEG_BLOCK; j++) {
        Number sum = 0;
#pragma unroll
        for (int n = 0; n < h * v; n++) {
            const int column = h * j + n % h;
            Number *pixel = pixels[n / h * h + column / NNJPEG_BLOCK][column % NNJPEG_BLOCK];
            to_ycbcr(pixel);
            sum += pixel[c];
        }
        x[j] = downsampled(sum, j, h, v);
    }
}

/* A block of downsampled chroma. The last full-size column is repeated, and the last downsampled row. */
template <typename T, typename Number>
__device__ void load_chroma(const Job &job, const Place &place, Number x[NNJPEG_BLOCK_SIZE])
{
    const bool whole = job.h * (place.x + NNJPEG_BLOCK) <= job.call.shape.width;
#pragma unroll 1
    for (int i = 0; i < NNJPEG_BLOCK; i++) {
        const ptrdiff_t from_y = job.v * (place.y + min(i, place.height - 1)), from_x = job.h * place.x;
        Number pixels[4][NNJPEG_BLOCK][3];
        if (job.h * job.v == 4)
            load_spans<T, 4>(job, job.call.src, whole, place.image, from_y, from_x, 2, pixels);
        else if (job.h * job.v == 1)
            load_spans<T, 1>(job, job.call.src, whole, place.image, from_y, from_x, 1, pixels);
        else
            load_spans<T, 2>(job, job.call.src, whole, place.image, from_y, from_x, job.h, pixels);
        with_factors(job, [&](auto factors) {
            if (place.component == 1)
                downsample<1>(factors, pixels, &x[NNJPEG_BLOCK * i]);
            else
                downsample<2>(factors, pixels, &x[NNJPEG_BLOCK * i]);
        });
    }
}

/* A block to a plane of the workspace. */
template <typename Sample, typename Number>
__device__ void store_block(const Planes<Sample> &planes, const Place &p, int plane, const Number x[NNJPEG_BLOCK_SIZE])
{
    Sample *to = planes.at(p.image, plane) + p.y * planes.width + p.x;
#pragma unroll
    for (int i = 0; i < NNJPEG_BLOCK; i++) {
        Row<Sample> row;
#pragma unroll
        for (int j = 0; j < NNJPEG_BLOCK; j++)
            write(x[8 * i + j], &row.at[j]);
        *(Row<Sample> *)(to + i * planes.width) = row;
    }
}

template <typename Sample>
__device__ void load_block(const Planes<Sample> &planes, const Place &p, int plane, Sample x[NNJPEG_BLOCK_SIZE])
{
    const Sample *from = planes.at(p.image, plane) + p.y * planes.width + p.x;
#pragma unroll
    for (int i = 0; i < NNJPEG_BLOCK; i++) {
        const Row<Sample> row = *(const Row<Sample> *)(from + i * planes.width);
#pragma unroll
        for (int j = 0; j < NNJPEG_BLOCK; j++)
            x[8 * i + j] = row.at[j];
    }
}

/* A block of decoded chroma to the workspace, with the last column and row that there are repeated. */
template <typename Sample, typename Number>
__device__ void store_decoded(const Job &job, const Place &place, Number x[NNJPEG_BLOCK_SIZE])
{
    if (place.width < NNJPEG_BLOCK || place.height < NNJPEG_BLOCK) {
#pragma unroll
        for (int k = 1; k < NNJPEG_BLOCK_SIZE; k++)
            if (k % 8 >= place.width)
                x[k] = x[k - 1];
#pragma unroll
        for (int k = NNJPEG_BLOCK; k < NNJPEG_BLOCK_SIZE; k++)
            if (k / 8 >= place.height)
                x[k] = x[k - 8];
    }
    store_block(decoded_chroma<Sample>(job), place, (int)place.component - 1, x);
}

/* What decoded chroma is kept as. */
template <typename Number> struct Kept;
template <> struct Kept<int> {
    using Sample = uint8_t;
    __device__ static int limited(uint8_t x) { return x; }
};
template <> struct Kept<float> {
    using Sample = float;
    __device__ static float limited(float x) { return limit(x); }
};

template <typename T, int n> struct alignas(n * sizeof(T) > 16 ? 16 : n * sizeof(T)) Vector {
    T at[n];
};

/* Row y of a plane of chroma, beside a block of luma: for h = 2 four samples from column x on between their neighbours, else
 * eight. Outside the plane its border is repeated. */
template <int h, typename Number> struct ChromaRow {
    static constexpr int neighbours = h - 1, inside = NNJPEG_BLOCK / h, samples = inside + 2 * neighbours;
    Number at[samples];

    template <typename Sample>
    __device__ void load(const Planes<Sample> &planes, const Sample *plane, ptrdiff_t y, ptrdiff_t x)
    {
        const Sample *row = plane + max(min(y, planes.height - 1), (ptrdiff_t)0) * planes.width;
        const Vector<Sample, inside> vector = *(const Vector<Sample, inside> *)(row + x);
#pragma unroll
        for (int j = 0; j < inside; j++)
            at[j + neighbours] = Kept<Number>::limited(vector.at[j]);
        if (neighbours) {
            at[0] = Kept<Number>::limited(row[max(x - 1, (ptrdiff_t)0)]);
            at[samples - 1] = Kept<Number>::limited(row[min(x + inside, planes.width - 1)]);
        }
    }
};

/* Whether chroma is repeated instead of interpolated. Then a sample is its own neighbour, in both directions. */
__device__ inline bool is_repeated(const Job &job)
{
    return job.h == 2 && job.chroma.width <= NJ_REPEATED_COLUMNS;
}

/* Upsampled chroma beside a block of luma: Cb and Cr. */
template <typename Number, typename Factors>
__device__ void upsample(const Job &job, const Place &place, Factors, Number chroma[2][NNJPEG_BLOCK_SIZE])
{
    using Sample = typename Kept<Number>::Sample;
    constexpr int h = Factors::h, v = Factors::v;
    using Chroma = ChromaRow<h, Number>;
    const Planes<Sample> planes = decoded_chroma<Sample>(job);
    const bool repeated = is_repeated(job);
    const ptrdiff_t y = place.y / v, x = place.x / h;
#pragma unroll 1
    for (int c = 0; c < 2; c++) {
        const Sample *plane = planes.at(place.image, c);
        Chroma rows[NNJPEG_BLOCK / v + 2]; /* the first and the last one only where v is 2 */
#pragma unroll
        for (int r = 2 - v; r < NNJPEG_BLOCK / v + v; r++)
            rows[r].load(planes, plane, y + r - 1, x);
#pragma unroll
        for (int i = 0; i < NNJPEG_BLOCK; i++) {
            const Chroma &near = rows[i / v + 1], &far = rows[v == 1 ? i + 1 : i / v + i % v * 2];
            Number sums[Chroma::samples];
#pragma unroll
            for (int k = 0; k < Chroma::samples; k++)
                sums[k] = v == 1 ? near.at[k] : triangle(near.at[k], repeated ? near.at[k] : far.at[k]);
#pragma unroll
            for (int j = 0; j < NNJPEG_BLOCK; j++) {
                const int k = j / h + Chroma::neighbours, other = h == 1 ? k : j % 2 ? k + 1 : k - 1;
                const Number sum = h == 1 ? sums[k] : triangle(sums[k], repeated ? sums[k] : sums[other]);
                chroma[c][NNJPEG_BLOCK * i + j] = upsampled(sum, h == 2 ? j % 2 : i % v, h, v);
            }
        }
    }
}

template <typename Number>
__device__ void load_upsampled(const Job &job, const Place &place, Number chroma[2][NNJPEG_BLOCK_SIZE])
{
    with_factors(job, [&](auto factors) { upsample(job, place, factors, chroma); });
}

} /* namespace nnjpeg_cuda */

#endif
