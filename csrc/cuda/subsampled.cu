/* The round trip with chroma subsampling: a launch for chroma, which leaves it decoded in the workspace, and one for luma,
 * which also upsamples chroma and turns both into RGB. */
#include "subsampled.h"

namespace nnjpeg_cuda {
namespace {

__global__ void __launch_bounds__(THREADS) exact_chroma(Job job)
{
    NJ_THIS_CHROMA;
    int x[NNJPEG_BLOCK_SIZE];
    load_chroma(job, place, x);
    transform(x, table_of(job, place, 0));
    store_decoded<uint8_t>(job, place, x);
}

__global__ void __launch_bounds__(THREADS) float_chroma(Job job)
{
    NJ_THIS_CHROMA;
    float x[NNJPEG_BLOCK_SIZE];
    load_chroma(job, place, x);
    forward(x);
    requantize(x, table_of(job, place, 0), rounding_of(job));
    inverse(x);
    store_decoded<float>(job, place, x);
}

__device__ void to_rgb(int pixel[3]) { nj_ycbcr_to_rgb(pixel); }
__device__ void to_rgb(float pixel[3])
{
    nj_ycbcr_to_rgb_f32(pixel);
    for (int c = 0; c < 3; c++)
        pixel[c] = nj_to_unit(pixel[c]);
}

/* Decoded luma, limited, and the chroma in the workspace to pixels. */
template <typename Number>
__device__ void store_pixels(const Job &job, const Place &place, const Number luma[NNJPEG_BLOCK_SIZE])
{
    with_factors(job, [&](auto factors) {
        with_pixels<Number>(job, place.width == NNJPEG_BLOCK, [&](auto pixels) {
            upsample<Number>(job, place, factors, [&](int i, const Number (*chroma)[2]) {
                Number row[NNJPEG_BLOCK][3];
                if (i >= place.height)
                    return;
#pragma unroll
                for (int j = 0; j < NNJPEG_BLOCK; j++) {
                    row[j][0] = luma[8 * i + j];
                    row[j][1] = chroma[j][0];
                    row[j][2] = chroma[j][1];
                    to_rgb(row[j]);
                }
                pixels.store(job, place, i, row);
            });
        });
    });
}

__global__ void __launch_bounds__(THREADS) exact_luma(Job job)
{
    NJ_THIS_LUMA;
    int x[NNJPEG_BLOCK_SIZE];
    load_luma(job, place, x);
    transform(x, table_of(job, place, 0));
    each(x, [](int n) { return clamp16(n); });
    store_pixels(job, place, x);
}

__global__ void __launch_bounds__(THREADS) float_luma(Job job)
{
    NJ_THIS_LUMA;
    float x[NNJPEG_BLOCK_SIZE];
    load_luma(job, place, x);
    forward(x);
    requantize(x, table_of(job, place, 0), rounding_of(job));
    inverse(x);
    each(x, limit);
    store_pixels(job, place, x);
}

} /* namespace */

void run_subsampled(const Job &job, bool exact, cudaStream_t stream)
{
    if (exact) {
        NJ_LAUNCH(exact_chroma, chroma_groups(job), THREADS, stream, job);
        NJ_LAUNCH(exact_luma, luma_groups(job), THREADS, stream, job);
    } else {
        NJ_LAUNCH(float_chroma, chroma_groups(job), THREADS, stream, job);
        NJ_LAUNCH(float_luma, luma_groups(job), THREADS, stream, job);
    }
}

} /* namespace nnjpeg_cuda */
