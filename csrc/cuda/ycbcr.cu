/* The round trip of YCbCr, with or without chroma subsampling: a launch for chroma, which leaves it decoded in the workspace,
 * and one for luma, which also upsamples chroma and turns both into RGB. */
#include "ycbcr.h"

namespace nnjpeg_cuda {
template <typename T> __global__ void __launch_bounds__(NNJPEG_CUDA_THREADS, 3) exact_chroma(Job job)
{
    NJ_THIS_CHROMA;
    int x[NNJPEG_BLOCK_SIZE];
    load_chroma<T>(job, place, x);
    transform(x, table_of(job, place));
    store_decoded<uint8_t>(job, place, x);
}

template <typename T> __global__ void __launch_bounds__(NNJPEG_CUDA_THREADS, 3) float_chroma(Job job)
{
    NJ_THIS_CHROMA;
    float x[NNJPEG_BLOCK_SIZE];
    load_chroma<T>(job, place, x);
    forward(x);
    requantize(x, table_of(job, place), rounding_of(job));
    inverse(x);
    store_decoded<float>(job, place, x);
}

__device__ inline void to_rgb(int pixel[3]) { nj_ycbcr_to_rgb(pixel); }
__device__ inline void to_rgb(float pixel[3])
{
    nj_ycbcr_to_rgb_f32(pixel);
    for (int c = 0; c < 3; c++)
        pixel[c] = nj_to_unit(pixel[c]);
}

/* Decoded luma, limited, and the chroma in the workspace to pixels. */
template <typename T, typename Number>
__device__ void store_pixels(const Job &job, const Place &place, const Number luma[NNJPEG_BLOCK_SIZE])
{
    Number chroma[2][NNJPEG_BLOCK_SIZE];
    load_upsampled(job, place, chroma);
    with_pixels<T>(job, place.width == NNJPEG_BLOCK, [&](auto access) {
#pragma unroll 1
        for (int i = 0; i < place.height; i++) {
            Number pixels[NNJPEG_BLOCK][3];
#pragma unroll
            for (int j = 0; j < NNJPEG_BLOCK; j++) {
                const int k = NNJPEG_BLOCK * i + j;
                pixels[j][0] = luma[k];
                pixels[j][1] = chroma[0][k];
                pixels[j][2] = chroma[1][k];
                to_rgb(pixels[j]);
            }
            access.store(job, place, i, pixels);
        }
    });
}

template <typename T> __global__ void __launch_bounds__(NNJPEG_CUDA_THREADS, 3) exact_luma(Job job)
{
    NJ_THIS_THREAD;
    int x[NNJPEG_BLOCK_SIZE];
    load_luma<T>(job, place, x);
    transform(x, table_of(job, place));
    each(x, [](int n) { return clamp16(n); });
    store_pixels<T>(job, place, x);
}

template <typename T> __global__ void __launch_bounds__(NNJPEG_CUDA_THREADS, 3) float_luma(Job job)
{
    NJ_THIS_THREAD;
    float x[NNJPEG_BLOCK_SIZE];
    load_luma<T>(job, place, x);
    forward(x);
    requantize(x, table_of(job, place), rounding_of(job));
    inverse(x);
    each(x, limit);
    store_pixels<T>(job, place, x);
}

NJ_FIND_KERNEL(find_ycbcr_kernel, NNJPEG_CUDA_YCBCR_KERNELS)

} /* namespace nnjpeg_cuda */
