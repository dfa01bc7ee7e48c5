/* The gradient of the cubic rounding of YCbCr by pixels, exact, in four launches. Chroma is decoded anew; so is luma,
 * and the gradient goes back to luma's samples and to upsampled chroma; each sample of chroma gathers it from where it was
 * upsampled to, and goes back through the transform; each pixel gathers from luma and chroma. No thread adds to what another
 * one writes, so that the sums have one order.
 *
 * The gradient by the steps, for either rounding, takes three of the same kind: at the coefficients it has arrived. */
#include "table_products.h"
#include "ycbcr.h"

namespace nnjpeg_cuda {
template <typename T> __global__ void __launch_bounds__(NNJPEG_CUDA_THREADS) decode_chroma(Job job)
{
    NJ_THIS_CHROMA;
    float x[NNJPEG_BLOCK_SIZE], slope[NNJPEG_BLOCK_SIZE];
    load_chroma<T>(job, place, x);
    cubic_slopes(x, slope, table_of(job, place));
    store_block(chroma_slopes(job), place, (int)place.component - 1, slope);
    store_decoded<float>(job, place, x);
}

/* From the gradient with respect to the result to the ones with respect to decoded luma, not limited, and, in the workspace,
 * to upsampled chroma. */
template <typename T>
__device__ void colour_gradient(const Job &job, const Place &place, const float luma[NNJPEG_BLOCK_SIZE],
                                float g[NNJPEG_BLOCK_SIZE])
{
    float chroma[2][NNJPEG_BLOCK_SIZE];
    load_upsampled(job, place, chroma);
#pragma unroll 1
    for (int i = 0; i < NNJPEG_BLOCK; i++) {
        float row[1][NNJPEG_BLOCK][3];
        load_spans<T, 1>(job, job.call.grad, place.width == NNJPEG_BLOCK, place.image, place.y + i, place.x, 1, row);
#pragma unroll
        for (int j = 0; j < NNJPEG_BLOCK; j++) {
            const int k = NNJPEG_BLOCK * i + j;
            const bool inside = i < place.height && j < place.width;
            float pixel[3] = { limit(luma[k]), chroma[0][k], chroma[1][k] }, *gradient = row[0][j];
            nj_ycbcr_to_rgb_f32(pixel);
#pragma unroll
            for (int c = 0; c < 3; c++)
                gradient[c] = inside ? keep_f32(gradient[c], pixel[c], -128.0f, 127.0f) : 0.0f;
            nj_ycbcr_to_rgb_transposed(gradient);
            g[k] = gradient[0];
            chroma[0][k] = gradient[1];
            chroma[1][k] = gradient[2];
        }
    }
    store_block(gradients(job), place, 1, chroma[0]);
    store_block(gradients(job), place, 2, chroma[1]);
    keep(g, luma, -128.0f, 127.0f);
}

template <typename T> __global__ void __launch_bounds__(NNJPEG_CUDA_THREADS) luma_gradient(Job job)
{
    NJ_THIS_THREAD;
    float x[NNJPEG_BLOCK_SIZE], slope[NNJPEG_BLOCK_SIZE], g[NNJPEG_BLOCK_SIZE];
    load_luma<T>(job, place, x);
    cubic_slopes(x, slope, table_of(job, place));
    colour_gradient<T>(job, place, x, g);
    through_slopes(g, slope);
    fold(g, place.width - 1, place.height - 1);
    store_block(gradients(job), place, 0, g);
}

/* Row y of a plane of gradients, beside a block of chroma: for h = 2 sixteen samples from column x on between their
 * neighbours, else eight. Outside the plane 0. */
template <int h> struct GradientRow {
    static constexpr int neighbours = h - 1, inside = NNJPEG_BLOCK * h, samples = inside + 2 * neighbours;
    float at[samples];

    __device__ void load(const Planes<float> &planes, const float *plane, ptrdiff_t y, ptrdiff_t x)
    {
        const ptrdiff_t width = y >= 0 && y < planes.height ? planes.width : 0;
        const float *row = width > 0 ? plane + y * planes.width : plane;
#pragma unroll
        for (int part = 0; part < h; part++) {
            Row<float> eight = {};
            if (x + NNJPEG_BLOCK * part < width)
                eight = *(const Row<float> *)(row + x + NNJPEG_BLOCK * part);
#pragma unroll
            for (int k = 0; k < NNJPEG_BLOCK; k++)
                at[neighbours + NNJPEG_BLOCK * part + k] = eight.at[k];
        }
        if (neighbours) {
            at[0] = x > 0 && x <= width ? row[x - 1] : 0.0f;
            at[samples - 1] = x + inside < width ? row[x + inside] : 0.0f;
        }
    }
};

/* Of what four neighbours in a row or column gave their two samples in the middle, the share of chroma between these: it is
 * their near sample, and the far one of the others; at the border, and where chroma is repeated, also their own far one. */
__device__ inline float gathered(float before, float first, float second, float after, bool is_first, bool is_last)
{
    return nj_triangle_f32(first + second, (is_first ? first : before) + (is_last ? second : after));
}

/* The transpose of upsampling. */
template <typename Factors>
__device__ void gather_upsampled(const Job &job, const Place &place, Factors, float g[NNJPEG_BLOCK_SIZE])
{
    constexpr int h = Factors::h, v = Factors::v;
    const Planes<float> planes = gradients(job);
    const float *plane = planes.at(place.image, place.component);
    const bool repeated = is_repeated(job);
    const ptrdiff_t x = h * place.x;
    GradientRow<h> before, first, second, after; /* all but the first only where v is 2 */
    if (v == 2) {
        second.load(planes, plane, v * place.y - 1, x);
        after.load(planes, plane, v * place.y, x);
    }
#pragma unroll 1
    for (int i = 0; i < NNJPEG_BLOCK; i++) {
        const ptrdiff_t r = place.y + i;
        if (v == 1)
            first.load(planes, plane, r, x);
        else {
            before = second;
            first = after;
            second.load(planes, plane, v * r + 1, x);
            after.load(planes, plane, v * r + 2, x);
        }
        float sums[GradientRow<h>::samples];
#pragma unroll
        for (int k = 0; k < GradientRow<h>::samples; k++)
            sums[k] = v == 1 ? first.at[k]
                             : gathered(before.at[k], first.at[k], second.at[k], after.at[k], repeated || r == 0,
                                        repeated || r == job.chroma.height - 1);
#pragma unroll
        for (int j = 0; j < NNJPEG_BLOCK; j++) {
            const float *at = &sums[h * j];
            const float sum = h == 1 ? at[0]
                                     : gathered(at[0], at[1], at[h], at[h + 1], repeated || place.x + j == 0,
                                                repeated || place.x + j == job.chroma.width - 1);
            g[NNJPEG_BLOCK * i + j] = i < place.height && j < place.width ? sum : 0.0f;
        }
    }
}

/* The gradient with respect to a block of decoded chroma before its limits, and the block's slopes. */
__device__ inline void chroma_before_limits(const Job &job, const Place &place, int plane, float g[NNJPEG_BLOCK_SIZE],
                                            float slopes[NNJPEG_BLOCK_SIZE])
{
    with_factors(job, [&](auto factors) { gather_upsampled(job, place, factors, g); });
    load_block(decoded_chroma<float>(job), place, plane, slopes);
    keep(g, slopes, -128.0f, 127.0f);
    load_block(chroma_slopes(job), place, plane, slopes);
}

/* From upsampled chroma to downsampled: in the place of what was decoded, the gradient with respect to each of the samples
 * whose mean a sample is. What was repeated of the last downsampled row is added to it; what was repeated of the last
 * full-size column is added up in the first column after the last one, if that is still in the block. */
template <typename T> __global__ void __launch_bounds__(NNJPEG_CUDA_THREADS, 3) chroma_gradient(Job job)
{
    NJ_THIS_CHROMA;
    const int plane = (int)place.component - 1;
    float x[NNJPEG_BLOCK_SIZE], g[NNJPEG_BLOCK_SIZE];
    chroma_before_limits(job, place, plane, g, x);
    through_slopes(g, x);
    fold(g, place.width, place.height - 1);
    const float share = 1.0f / (float)(job.h * job.v);
    each(g, [&](float sum) { return sum * share; });
    store_block(decoded_chroma<float>(job), place, plane, g);
}

/* The gradient with respect to a sample of full-size chroma. What was repeated counts as often. */
__device__ inline float full_size_gradient(const Job &job, const Planes<float> &chroma, const float *plane, ptrdiff_t y,
                                           ptrdiff_t x)
{
    const float *row = plane + y / job.v * chroma.width;
    float g = row[x / job.h];
    if (x == job.call.shape.width - 1) {
        if (job.h == 2 && x % 2 == 0)
            g *= 2.0f;
        if (job.chroma.width < chroma.width)
            g += (float)job.h * row[job.chroma.width];
    }
    return y == job.call.shape.height - 1 && job.v == 2 && y % 2 == 0 ? 2.0f * g : g;
}

/* The transpose of downsampling and of colour; the gradient of what nj_from_unit clamps is 0. */
template <typename T> __global__ void __launch_bounds__(NNJPEG_CUDA_THREADS, 3) pixel_gradient(Job job)
{
    NJ_THIS_THREAD;
    const Planes<float> luma = gradients(job), chroma = decoded_chroma<float>(job);
    with_pixels<T>(job, place.width == NNJPEG_BLOCK, [&](auto access) {
#pragma unroll 1
        for (int i = 0; i < place.height; i++) {
            const ptrdiff_t y = place.y + i;
            const Row<float> of_luma = *(const Row<float> *)(luma.at(place.image, 0) + y * luma.width + place.x);
            float source[NNJPEG_BLOCK][3], gradient[NNJPEG_BLOCK][3];
            access.load(job, job.call.src, place.image, y, place.x, source);
#pragma unroll
            for (int j = 0; j < NNJPEG_BLOCK; j++) {
                const ptrdiff_t x = min(place.x + j, job.call.shape.width - 1);
                gradient[j][0] = of_luma.at[j];
                gradient[j][1] = full_size_gradient(job, chroma, chroma.at(place.image, 0), y, x);
                gradient[j][2] = full_size_gradient(job, chroma, chroma.at(place.image, 1), y, x);
                nj_rgb_to_ycbcr_transposed(gradient[j]);
#pragma unroll
                for (int c = 0; c < 3; c++)
                    gradient[j][c] = keep_f32(gradient[j][c], source[j][c], 0.0f, 1.0f);
            }
            access.store(job, place, i, gradient);
        }
    });
}

template <typename T> __global__ void __launch_bounds__(NNJPEG_CUDA_THREADS) decode_chroma_by_steps(Job job)
{
    NJ_THIS_CHROMA;
    float x[NNJPEG_BLOCK_SIZE], slope[NNJPEG_BLOCK_SIZE];
    load_chroma<T>(job, place, x);
    step_slopes(x, slope, table_of(job, place), rounding_of(job));
    store_block(chroma_slopes(job), place, (int)place.component - 1, slope);
    store_decoded<float>(job, place, x);
}

template <typename T> __global__ void __launch_bounds__(NNJPEG_CUDA_THREADS) luma_by_steps(Job job)
{
    NJ_THIS_THREAD;
    float x[NNJPEG_BLOCK_SIZE], slope[NNJPEG_BLOCK_SIZE], g[NNJPEG_BLOCK_SIZE];
    load_luma<T>(job, place, x);
    step_slopes(x, slope, table_of(job, place), rounding_of(job));
    colour_gradient<T>(job, place, x, g);
    store_products(job, place, g, slope);
}

template <typename T> __global__ void __launch_bounds__(NNJPEG_CUDA_THREADS, 3) chroma_by_steps(Job job)
{
    NJ_THIS_CHROMA;
    const int plane = (int)place.component - 1;
    float x[NNJPEG_BLOCK_SIZE], g[NNJPEG_BLOCK_SIZE];
    chroma_before_limits(job, place, plane, g, x);
    store_products(job, place, g, x);
}

NJ_FIND_KERNEL(find_ycbcr_backward_kernel, NNJPEG_CUDA_YCBCR_BACKWARD_KERNELS)

} /* namespace nnjpeg_cuda */
