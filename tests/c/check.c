/* Every instruction set against the generic one, at every size up to 40 x 40, in every kind of layout, with pages that
 * must not be touched right before the first and right after the last byte of source and destination.
 *
 * Prints one line for each instruction set: its name and a hash of all results that must be the same. Floats may differ
 * in their last bits, and where those decide a rounding; not by more. Exit status 1 if one differs.
 * usage: check [STEP]    sizes 1, 1 + STEP, 1 + 2 STEP, ... (default 1) */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nnjpeg.h"

enum { LARGEST = 40, IMAGES = 2, MOST_SAMPLES = IMAGES * LARGEST * LARGEST * 4 * 2, MOST = MOST_SAMPLES * sizeof(float) };

/* Memory of MOST bytes between two guard pages. */
typedef struct guarded {
    uint8_t *first, *end;
} guarded;

static guarded allocate(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (MOST + page - 1) / page * page;
    uint8_t *base = mmap(NULL, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    guarded g = { base + page, base + page + size };
    if (base == MAP_FAILED || mprotect(g.first, size, PROT_READ | PROT_WRITE) != 0) {
        perror("mmap");
        exit(2);
    }
    return g;
}

typedef enum order { HWC, CHW, REVERSED, SPARSE } order;

/* Strides of an order, and the offset of the first sample from the lowest byte. */
static nnjpeg_strides strides_of(order o, const nnjpeg_shape *s, ptrdiff_t *origin, ptrdiff_t *extent)
{
    nnjpeg_strides t = { 0, 1, 0, 0 };
    *origin = 0;
    *extent = s->images * s->components * s->height * s->width;
    switch (o) {
    case HWC:
        t.column = s->components;
        t.row = t.column * s->width;
        t.image = t.row * s->height;
        break;
    case CHW:
        t.column = 1;
        t.row = s->width;
        t.component = t.row * s->height;
        t.image = t.component * s->components;
        break;
    case REVERSED: /* HWC with every axis turned round: starts at the last byte */
        t = strides_of(HWC, s, origin, extent);
        t.image = -t.image;
        t.component = -t.component;
        t.row = -t.row;
        t.column = -t.column;
        *origin = *extent - 1;
        break;
    case SPARSE: /* CHW with every second sample of a row */
        t.column = 2;
        t.row = 2 * s->width - 1;
        t.component = t.row * s->height;
        t.image = t.component * s->components;
        *extent = t.image * s->images;
        break;
    }
    return t;
}

/* At the end of the memory, or at its beginning. */
static uint8_t *place(guarded g, ptrdiff_t extent, ptrdiff_t origin, int at_end)
{
    return (at_end ? g.end - extent : g.first) + origin;
}

static uint64_t hash(uint64_t h, const uint8_t *data, const nnjpeg_shape *s, const nnjpeg_strides *t)
{
    ptrdiff_t n, c, y, x;
    for (n = 0; n < s->images; n++)
        for (c = 0; c < s->components; c++)
            for (y = 0; y < s->height; y++)
                for (x = 0; x < s->width; x++)
                    h = (h ^ data[n * t->image + c * t->component + y * t->row + x * t->column]) * 0x100000001b3u;
    return h;
}

static uint32_t state;
static uint32_t next_random(void)
{
    state = state * 1664525u + 1013904223u;
    return state >> 16;
}

static const struct layout_case {
    order src, dst;
    int components, images, in_place;
    nnjpeg_colorspace colorspace;
} cases[] = {
    { HWC, HWC, 3, 1, 0, NNJPEG_RGB },         { HWC, HWC, 3, 2, 1, NNJPEG_RGB },
    { HWC, HWC, 3, 1, 0, NNJPEG_YCBCR },       { CHW, CHW, 3, 2, 0, NNJPEG_RGB },
    { CHW, CHW, 3, 1, 1, NNJPEG_YCBCR },       { CHW, CHW, 1, 1, 0, NNJPEG_RGB },
    { HWC, HWC, 4, 1, 0, NNJPEG_RGB },         { HWC, CHW, 3, 1, 0, NNJPEG_RGB },
    { CHW, HWC, 3, 1, 0, NNJPEG_YCBCR },       { REVERSED, HWC, 3, 1, 0, NNJPEG_RGB },
    { HWC, REVERSED, 3, 1, 0, NNJPEG_YCBCR },  { REVERSED, REVERSED, 3, 2, 1, NNJPEG_RGB },
    { SPARSE, CHW, 2, 1, 0, NNJPEG_RGB },      { CHW, SPARSE, 3, 1, 0, NNJPEG_YCBCR },
    { HWC, HWC, 4, 2, 1, NNJPEG_RGBX },        { HWC, HWC, 4, 1, 0, NNJPEG_YCBCRX },
    { REVERSED, CHW, 4, 1, 0, NNJPEG_YCBCRX }, { HWC, REVERSED, 4, 1, 0, NNJPEG_RGBX },
};

static uint64_t run_all(int step, guarded source, guarded target)
{
    uint64_t h = 0xcbf29ce484222325u;
    size_t k;
    nnjpeg_shape s;
    state = 1;
    for (s.height = 1; s.height <= LARGEST; s.height += step)
        for (s.width = 1; s.width <= LARGEST; s.width += step)
            for (k = 0; k < sizeof cases / sizeof cases[0]; k++) {
                const struct layout_case *l = &cases[k];
                nnjpeg_quantizer quantizers[IMAGES * 4];
                nnjpeg_quantizers q = { quantizers, next_random() % 2 ? l->components : 0, (ptrdiff_t)(next_random() % 2) };
                ptrdiff_t src_origin, src_extent, dst_origin, dst_extent, i;
                nnjpeg_strides src_strides, dst_strides;
                int at_end = next_random() % 2;
                uint8_t *src, *dst;
                s.components = l->components;
                s.images = l->images;
                for (i = 0; i < l->images * l->components; i++) {
                    uint16_t steps[NNJPEG_BLOCK_SIZE];
                    int j, fine = next_random() % 2;
                    for (j = 0; j < NNJPEG_BLOCK_SIZE; j++)
                        steps[j] = (uint16_t)(1 + next_random() % (fine ? 10 : 255));
                    if (nnjpeg_quantizer_init(&quantizers[i], steps) != NNJPEG_OK)
                        exit(2);
                }
                src_strides = strides_of(l->src, &s, &src_origin, &src_extent);
                dst_strides = strides_of(l->dst, &s, &dst_origin, &dst_extent);
                src = place(source, src_extent, src_origin, at_end);
                dst = l->in_place ? src : place(target, dst_extent, dst_origin, at_end);
                for (i = 0; i < src_extent; i++)
                    src[i - src_origin] = (uint8_t)(k % 2 ? next_random() : 255 * (next_random() & 1));
                if (nnjpeg_roundtrip(&s, src, &src_strides, dst, &dst_strides, q, l->colorspace, 1) != NNJPEG_OK)
                    exit(2);
                h = hash(h, dst, &s, &dst_strides);
            }
    return h;
}

/* A float job of any kind on memory at its guard pages. */
static void run_floats(const nnjpeg_shape *s, const float *grad, const nnjpeg_strides *grad_strides, const float *src,
                       const nnjpeg_strides *src_strides, float *dst, const nnjpeg_strides *dst_strides,
                       nnjpeg_quantizers q, nnjpeg_colorspace colorspace, int kind)
{
    nnjpeg_status status =
        kind == 3 ? nnjpeg_cubic_backward_f32(s, grad, grad_strides, src, src_strides, dst, dst_strides, q, colorspace, 1)
                  : nnjpeg_roundtrip_f32(s, src, src_strides, dst, dst_strides, q, colorspace, (nnjpeg_precision)kind, 1);
    if (status != NNJPEG_OK)
        exit(2);
}

/* How many of a hundred samples may differ from the generic ones by more than rounding errors. */
static int floats_differ(const char *isa, int step, guarded source, guarded target)
{
    static const order orders[] = { CHW, HWC, REVERSED, SPARSE };
    static float grads[MOST_SAMPLES], expected[MOST_SAMPLES];
    nnjpeg_quantizer quantizer;
    const nnjpeg_quantizers q = { &quantizer, 0, 0 };
    uint16_t steps[NNJPEG_BLOCK_SIZE];
    size_t compared = 0, differ = 0;
    int i, k = 0;
    nnjpeg_shape s = { IMAGES, 3, 0, 0 };
    state = 7;
    for (i = 0; i < NNJPEG_BLOCK_SIZE; i++)
        steps[i] = (uint16_t)(1 + next_random() % 255);
    nnjpeg_quantizer_init(&quantizer, steps);
    for (i = 0; i < MOST_SAMPLES; i++)
        grads[i] = (float)(next_random() % 1000) / 1000.0f;
    for (s.height = 1; s.height <= LARGEST; s.height += step)
        for (s.width = 1; s.width <= LARGEST; s.width += step, k++) {
            const order from = orders[k % 4], to = orders[k / 4 % 4];
            const nnjpeg_colorspace colorspace = k / 16 % 2 ? NNJPEG_YCBCR : NNJPEG_RGB;
            const int kind = k % 5 % 4, at_end = k / 3 % 2;
            ptrdiff_t origin, extent, src_origin, src_extent, dst_origin, dst_extent, n;
            const nnjpeg_strides src_strides = strides_of(from, &s, &src_origin, &src_extent);
            const nnjpeg_strides dst_strides = strides_of(to, &s, &dst_origin, &dst_extent);
            const nnjpeg_strides grad_strides = strides_of(orders[k / 2 % 4], &s, &origin, &extent);
            float *src = (float *)place(source, src_extent * 4, src_origin * 4, at_end);
            float *dst = (float *)place(target, dst_extent * 4, dst_origin * 4, at_end);
            for (n = 0; n < src_extent; n++)
                src[n - src_origin] = (float)(next_random() % 1200) / 1000.0f - 0.1f;
            for (n = 0; n < dst_extent; n++)
                dst[n - dst_origin] = 0.0f;
            nnjpeg_use_isa("generic");
            run_floats(&s, grads + origin, &grad_strides, src, &src_strides, dst, &dst_strides, q, colorspace, kind);
            memcpy(expected, dst - dst_origin, (size_t)dst_extent * sizeof(float));
            nnjpeg_use_isa(isa);
            run_floats(&s, grads + origin, &grad_strides, src, &src_strides, dst, &dst_strides, q, colorspace, kind);
            for (n = 0; n < dst_extent; n++) {
                const float difference = dst[n - dst_origin] - expected[n];
                differ += !(difference > -1e-3f && difference < 1e-3f);
                differ += kind == 0 && difference != 0.0f ? compared : 0; /* by way of bytes: none at all */
            }
            compared += (size_t)dst_extent;
        }
    return differ * 100 > compared;
}

/* Coefficients of the most extreme values, in the wide lanes: nothing may overflow. */
static void extreme_coefficients(void)
{
    static const int16_t extremes[] = { INT16_MIN, INT16_MAX, -1, 0, 1, 1024, -1024 };
    const nnjpeg_shape s = { 1, 3, 8, 8 };
    const nnjpeg_strides blocks = { 0, 64, 0, 0 }, samples = { 0, 1, 24, 3 };
    uint16_t steps[NNJPEG_BLOCK_SIZE];
    int16_t coefficients[3 * NNJPEG_BLOCK_SIZE];
    uint8_t pixels[3 * NNJPEG_BLOCK_SIZE];
    float spectrum[3 * NNJPEG_BLOCK_SIZE], image[3 * NNJPEG_BLOCK_SIZE];
    nnjpeg_quantizer quantizer;
    int i, k;
    for (i = 0; i < NNJPEG_BLOCK_SIZE; i++)
        steps[i] = 255;
    nnjpeg_quantizer_init(&quantizer, steps);
    for (k = 0; k < 1000; k++) {
        nnjpeg_quantizers q = { &quantizer, 0, 0 };
        for (i = 0; i < 3 * NNJPEG_BLOCK_SIZE; i++)
            coefficients[i] = k < 7 ? extremes[k] : extremes[next_random() % 7];
        if (nnjpeg_inverse(&s, coefficients, &blocks, pixels, &samples, q, k % 2 ? NNJPEG_YCBCR : NNJPEG_RGB) ||
            nnjpeg_forward(&s, pixels, &samples, coefficients, &blocks, q, k % 2 ? NNJPEG_YCBCR : NNJPEG_RGB) ||
            nnjpeg_dct_u8(&s, pixels, &samples, spectrum, &blocks) ||
            nnjpeg_idct_f32(&s, spectrum, &blocks, image, &samples))
            exit(2);
    }
}

int main(int argc, char **argv)
{
    const int step = argc > 1 ? atoi(argv[1]) : 1;
    const guarded source = allocate(), target = allocate();
    const char *name;
    uint64_t expected;
    int index, supported, differ = 0;

    nnjpeg_use_isa("generic");
    expected = run_all(step, source, target);
    for (index = 0; (name = nnjpeg_compiled_isa(index, &supported)); index++) {
        uint64_t h;
        if (!supported) {
            printf("%s skipped: this CPU does not have it\n", name);
            continue;
        }
        nnjpeg_use_isa(name);
        h = run_all(step, source, target);
        printf("%s %016llx\n", name, (unsigned long long)h);
        differ |= h != expected || floats_differ(name, step, source, target);
    }
    extreme_coefficients();
    return differ;
}
