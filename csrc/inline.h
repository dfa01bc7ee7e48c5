/* How the arithmetic is declared: always inlined, and no warning where a file leaves some of it unused. */
#ifndef NNJPEG_INLINE_H
#define NNJPEG_INLINE_H

#if defined(__CUDACC__)
#define NJ_INLINE static __host__ __device__ __forceinline__
#elif defined(_MSC_VER) && !defined(__clang__)
#define NJ_INLINE static __forceinline
#else
#define NJ_INLINE static inline __attribute__((always_inline, unused))
#endif

/* The arithmetic stands in loops over a few rows, columns and components, which must be unrolled for their arrays to be registers.
 * GCC does so by itself at -O3 only. */
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#pragma GCC optimize("peel-loops")
#endif

/* Before a loop that is not to be unrolled: what several iterations hold at once has no place in registers. */
#if defined(__clang__)
#define NJ_ROLLED _Pragma("clang loop unroll(disable)")
#elif defined(__GNUC__) && __GNUC__ >= 8
#define NJ_ROLLED _Pragma("GCC unroll 1")
#else
#define NJ_ROLLED
#endif

/* A hint that a cache line will be read, or written. */
#if defined(__GNUC__)
#define NJ_PREFETCH(address, write) __builtin_prefetch(address, write)
#else
#define NJ_PREFETCH(address, write) ((void)0)
#endif

#endif
