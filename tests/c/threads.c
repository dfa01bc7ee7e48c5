/* Many threads at once, from the first call on, each with images, tables and results of its own: for ThreadSanitizer.
 * Every subsampling of chroma, in place and not, whole and in halves.
 *
 * usage: threads THREADS CALLS [fork]
 * fork: in the child of a fork, where nnjpeg does without OpenMP.
 * Prints a hash of the results of each thread; exit status 1 if one thread's differ from those of a thread alone. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nnjpeg.h"

enum { COMPONENTS = 3, MOST_THREADS = 64 };

/* side: large enough for nnjpeg to use several threads in each call, where it is built with OpenMP. */
static int calls, side = 296;

static uint64_t work(uint32_t seed)
{
    const nnjpeg_shape shape = { 1, COMPONENTS, side, side };
    const nnjpeg_strides strides = { 0, 1, side * COMPONENTS, COMPONENTS };
    const int samples = side * side * COMPONENTS, blocks = (side + 7) / 8;
    const nnjpeg_strides grid = { 0, (ptrdiff_t)blocks * blocks * NNJPEG_BLOCK_SIZE, blocks * NNJPEG_BLOCK_SIZE, NNJPEG_BLOCK_SIZE };
    uint8_t *src = malloc((size_t)samples), *dst = malloc((size_t)samples);
    int16_t *coefficients = malloc((size_t)grid.component * COMPONENTS * sizeof *coefficients);
    const nnjpeg_coefficients planes[COMPONENTS] = { { coefficients, grid },
                                                     { coefficients + grid.component, grid },
                                                     { coefficients + 2 * grid.component, grid } };
    uint64_t hash = 0xcbf29ce484222325u;
    int call, i;
    if (!src || !dst || !coefficients)
        abort();
    for (call = 0; call < calls; call++) {
        nnjpeg_quantizer quantizer;
        const nnjpeg_quantizers quantizers = { &quantizer, 0, 0 };
        const nnjpeg_colorspace colorspace = call % 5 ? NNJPEG_YCBCR : NNJPEG_RGB;
        const nnjpeg_subsampling subsampling = (nnjpeg_subsampling)(call % 5 % 4);
        const int threads = 1 + (call + 1) % 4;
        int64_t size;
        uint16_t steps[NNJPEG_BLOCK_SIZE];
        for (i = 0; i < NNJPEG_BLOCK_SIZE; i++)
            steps[i] = (uint16_t)(1 + (seed = seed * 1664525u + 1013904223u) / 65536 % 255);
        for (i = 0; i < samples; i++)
            src[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
        if (nnjpeg_quantizer_init(&quantizer, steps) != NNJPEG_OK || !nnjpeg_isa() ||
            nnjpeg_roundtrip(&shape, src, &strides, dst, &strides, quantizers, colorspace, subsampling, threads) != NNJPEG_OK ||
            nnjpeg_forward(&shape, src, &strides, planes, quantizers, colorspace, subsampling, threads) != NNJPEG_OK ||
            nnjpeg_coded_size(&shape, src, &strides, &size, NULL, quantizers, colorspace, subsampling, (nnjpeg_huffman)(call % 2),
                              threads) != NNJPEG_OK ||
            nnjpeg_roundtrip(&shape, src, &strides, src, &strides, quantizers, colorspace, subsampling, threads) != NNJPEG_OK ||
            memcmp(src, dst, (size_t)samples) != 0 ||
            nnjpeg_inverse(&shape, planes, dst, &strides, quantizers, colorspace, subsampling, threads) != NNJPEG_OK ||
            memcmp(src, dst, (size_t)samples) != 0)
            abort();
        hash = (hash ^ (uint64_t)size) * 0x100000001b3u;
        for (i = 0; i < samples; i++)
            hash = (hash ^ dst[i]) * 0x100000001b3u;
    }
    free(src);
    free(dst);
    free(coefficients);
    return hash;
}

static uint64_t results[MOST_THREADS];

static void *run(void *argument)
{
    uint64_t *result = argument;
    *result = work((uint32_t)(result - results));
    return NULL;
}

static int check(int threads)
{
    pthread_t handles[MOST_THREADS];
    int i, differ = 0;
    for (i = 0; i < threads; i++)
        if (pthread_create(&handles[i], NULL, run, &results[i]) != 0)
            return 2;
    for (i = 0; i < threads; i++)
        pthread_join(handles[i], NULL);
    for (i = 0; i < threads; i++) {
        differ |= results[i] != work((uint32_t)i);
        printf("%d %016llx\n", i, (unsigned long long)results[i]);
    }
    return differ;
}

int main(int argc, char **argv)
{
    const int threads = argc > 1 ? atoi(argv[1]) : 8;
    calls = argc > 2 ? atoi(argv[2]) : 4;
    if (threads < 1 || threads > MOST_THREADS)
        return 2;
    if (argc > 3 && strcmp(argv[3], "fork") == 0) {
        int status;
        pid_t child = fork();
        if (child != 0)
            return child < 0 || waitpid(child, &status, 0) != child || status != 0;
        side = 424; /* more must be at stake for a thread that is started for one call */
    }
    return check(threads);
}
