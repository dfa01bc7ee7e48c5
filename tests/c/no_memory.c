/* Calls whose every allocation is refused in turn: NNJPEG_NO_MEMORY and nothing written, or the result.
 *
 * To be linked with --wrap=malloc, --wrap=calloc and --wrap=realloc. Prints for each instruction set its name and how
 * many allocations were refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nnjpeg.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

/* How many are granted before one is refused. */
static int granted, refused;

static int is_refused(void)
{
    if (granted-- != 0)
        return 0;
    refused++;
    return 1;
}

void *__wrap_malloc(size_t size) { return is_refused() ? NULL : __real_malloc(size); }

void *__wrap_calloc(size_t count, size_t size) { return is_refused() ? NULL : __real_calloc(count, size); }

void *__wrap_realloc(void *memory, size_t size) { return is_refused() ? NULL : __real_realloc(memory, size); }

static void fail(const char *what)
{
    fprintf(stderr, "failed with %s: %s\n", nnjpeg_isa(), what);
    exit(1);
}

#define EXPECT(condition) ((condition) ? (void)0 : fail(#condition))

enum { HEIGHT = 37, WIDTH = 45, SAMPLES = HEIGHT * WIDTH * 3, BLOCKS = 5 * 6, UNTOUCHED = 0x25 };

typedef struct results {
    uint8_t pixels[SAMPLES];
    float floats[SAMPLES];
    int16_t blocks[3][3 * BLOCKS * NNJPEG_BLOCK_SIZE];
    int64_t size;
    float tables[3 * NNJPEG_BLOCK_SIZE];
} results;

static uint8_t pixels[SAMPLES];
static float floats[SAMPLES], grads[SAMPLES];
static const uint8_t lengths[NNJPEG_CODE_LENGTHS];
static int16_t zeros[3][3 * BLOCKS * NNJPEG_BLOCK_SIZE];

enum {
    ROUNDTRIP, FORWARD, INVERSE, BYTES_OF_FLOATS, FLOATS, CUBIC, BACKWARD, BY_STEPS, STANDARD_SIZE, OPTIMAL_SIZE, RATE,
    RATE_OF_FLOATS, CALLS
};

static nnjpeg_status call(int which, nnjpeg_subsampling subsampling, const nnjpeg_strides *samples, results *r)
{
    static nnjpeg_quantizer quantizer;
    const nnjpeg_quantizers q = { &quantizer, 0, 0 };
    const nnjpeg_shape shape = { 1, 3, HEIGHT, WIDTH };
    const float weight = 1.0f;
    const nnjpeg_strides grid = { 0, BLOCKS * NNJPEG_BLOCK_SIZE, 6 * NNJPEG_BLOCK_SIZE, NNJPEG_BLOCK_SIZE };
    nnjpeg_coefficients to[3], from[3];
    uint16_t steps[NNJPEG_BLOCK_SIZE];
    int i;
    for (i = 0; i < NNJPEG_BLOCK_SIZE; i++)
        steps[i] = 7;
    EXPECT(nnjpeg_quantizer_init(&quantizer, steps) == NNJPEG_OK);
    for (i = 0; i < 3; i++) {
        to[i].data = r->blocks[i];
        from[i].data = zeros[i];
        to[i].strides = from[i].strides = grid;
    }
    switch (which) {
    case ROUNDTRIP:
        return nnjpeg_roundtrip(&shape, pixels, samples, r->pixels, samples, q, NNJPEG_YCBCR, subsampling, 2);
    case FORWARD:
        return nnjpeg_forward(&shape, pixels, samples, to, q, NNJPEG_YCBCR, subsampling, 2);
    case INVERSE:
        return nnjpeg_inverse(&shape, from, r->pixels, samples, q, NNJPEG_YCBCR, subsampling, 2);
    case STANDARD_SIZE:
    case OPTIMAL_SIZE:
        return nnjpeg_coded_size(&shape, pixels, samples, &r->size, NULL, q, NNJPEG_YCBCR, subsampling,
                                 (nnjpeg_huffman)(which - STANDARD_SIZE), 2);
    case RATE:
        return nnjpeg_rate_backward(&shape, pixels, samples, &weight, lengths, r->tables, q, NNJPEG_YCBCR, subsampling, 2);
    case RATE_OF_FLOATS:
        return nnjpeg_rate_backward_f32(&shape, floats, samples, &weight, lengths, r->tables, r->floats, samples, q,
                                        NNJPEG_YCBCR, subsampling, 2);
    case BACKWARD:
        return nnjpeg_cubic_backward_f32(&shape, grads, samples, floats, samples, r->floats, samples, q, NNJPEG_YCBCR,
                                         subsampling, 2);
    case BY_STEPS:
        return nnjpeg_table_backward_f32(&shape, grads, samples, floats, samples, r->floats, q, NNJPEG_YCBCR, subsampling,
                                         NNJPEG_FLOAT, 2);
    default:
        return nnjpeg_roundtrip_f32(&shape, floats, samples, r->floats, samples, q, NNJPEG_YCBCR, subsampling,
                                    (nnjpeg_precision)(which - BYTES_OF_FLOATS), 2);
    }
}

int main(void)
{
    static const nnjpeg_strides strides[] = { { 0, 1, 3 * WIDTH, 3 }, { 0, HEIGHT * WIDTH, WIDTH, 1 }, { 0, 1, 3, 3 * HEIGHT } };
    static results expected, result, untouched;
    const char *name;
    int index, supported, i;
    for (i = 0; i < SAMPLES; i++) {
        pixels[i] = (uint8_t)(i * 7 % 251);
        floats[i] = grads[i] = (float)pixels[i] / 255;
    }
    memset(&untouched, UNTOUCHED, sizeof untouched);
    for (index = 0; (name = nnjpeg_compiled_isa(index, &supported)); index++) {
        int which, subsampling, k;
        if (!supported || nnjpeg_use_isa(name) != NNJPEG_OK)
            continue;
        refused = 0;
        for (which = 0; which < CALLS; which++)
            for (subsampling = NNJPEG_444; subsampling <= NNJPEG_440; subsampling++)
                for (k = 0; k < 3; k++) {
                    nnjpeg_status status;
                    int allowed = 0;
                    memset(&expected, UNTOUCHED, sizeof expected);
                    granted = -1;
                    EXPECT(call(which, (nnjpeg_subsampling)subsampling, &strides[k], &expected) == NNJPEG_OK);
                    do {
                        const int before = refused;
                        memset(&result, UNTOUCHED, sizeof result);
                        granted = allowed++;
                        status = call(which, (nnjpeg_subsampling)subsampling, &strides[k], &result);
                        EXPECT(status == NNJPEG_OK || (status == NNJPEG_NO_MEMORY && refused > before));
                        EXPECT(memcmp(&result, status == NNJPEG_OK ? &expected : &untouched, sizeof result) == 0);
                    } while (status != NNJPEG_OK);
                }
        printf("%s %d\n", name, refused);
    }
    return 0;
}
