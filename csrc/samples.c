#include "samples.h"

#include <string.h>

nj_samples nj_samples_of(const void *data, const nnjpeg_strides *strides, int size)
{
    nj_samples s;
    s.data = (uint8_t *)(uintptr_t)data;
    s.strides.image = strides->image * size;
    s.strides.component = strides->component * size;
    s.strides.row = strides->row * size;
    s.strides.column = strides->column * size;
    s.size = size;
    return s;
}

nj_samples nj_buffer(void *data, int size, int pixel, ptrdiff_t row, ptrdiff_t plane)
{
    nj_samples s = { data, { 0, pixel > 1 ? size : plane, row, (ptrdiff_t)pixel * size }, size };
    return s;
}

/* Both halves of `count` bytes, size..2 size of them, which overlap. */
#define NJ_COPY_HALVES(to, from, count, size)                               \
    do {                                                                    \
        uint8_t first[size], last[size];                                    \
        memcpy(first, from, size);                                          \
        memcpy(last, (from) + (count) - (size), size);                      \
        memcpy(to, first, size);                                            \
        memcpy((to) + (count) - (size), last, size);                        \
    } while (0)

/* memcpy without the call where there are few: edges of small images are little else. */
static inline void copy_bytes(uint8_t *to, const uint8_t *from, ptrdiff_t count)
{
    ptrdiff_t i;
    if (count > 64)
        memcpy(to, from, (size_t)count);
    else if (count >= 32)
        NJ_COPY_HALVES(to, from, count, 32);
    else if (count >= 16)
        NJ_COPY_HALVES(to, from, count, 16);
    else if (count >= 8)
        NJ_COPY_HALVES(to, from, count, 8);
    else if (count >= 4)
        NJ_COPY_HALVES(to, from, count, 4);
    else
        for (i = 0; i < count; i++)
            to[i] = from[i];
}

/* One row of one component. */
static void copy_row(const uint8_t *from, ptrdiff_t from_column, int from_size, uint8_t *to, ptrdiff_t to_column,
                     int to_size, ptrdiff_t width)
{
    ptrdiff_t x;
    if (from_size != to_size) {
        float *f = (float *)(void *)to;
        const ptrdiff_t step = to_column / (ptrdiff_t)sizeof *f;
        if (from_column == 1 && step == 1)
            for (x = 0; x < width; x++)
                f[x] = from[x];
        else
            for (x = 0; x < width; x++)
                f[x * step] = from[x * from_column];
    } else if (from_column == from_size && to_column == to_size) {
        copy_bytes(to, from, width * from_size);
    } else if (from_size == 1) {
        for (x = 0; x < width; x++)
            to[x * to_column] = from[x * from_column];
    } else {
        for (x = 0; x < width; x++)
            memcpy(to + x * to_column, from + x * from_column, sizeof(float));
    }
}

void nj_copy(nj_samples from, nj_samples to, ptrdiff_t components, ptrdiff_t height, ptrdiff_t width)
{
    const int pixels = nj_are_pixels(&from, (int)components) && nj_are_pixels(&to, (int)components);
    const ptrdiff_t from_column = pixels ? 1 : from.strides.column, to_column = pixels ? 1 : to.strides.column;
    ptrdiff_t c, y;
    if (pixels) { /* rows of bytes */
        width *= components;
        components = 1;
    }
    for (c = 0; c < components; c++) {
        const uint8_t *f = from.data + c * from.strides.component;
        uint8_t *t = to.data + c * to.strides.component;
        for (y = 0; y < height; y++, f += from.strides.row, t += to.strides.row)
            copy_row(f, from_column, from.size, t, to_column, to.size, width);
    }
}

static void fill(uint8_t *to, ptrdiff_t column, int size, const uint8_t *value, ptrdiff_t count)
{
    ptrdiff_t x;
    if (size == 1 && column == 1 && count <= NJ_RUN_WIDTH) {
        uint8_t run[NJ_RUN_WIDTH];
        memset(run, *value, sizeof run);
        copy_bytes(to, run, count);
    } else if (size == 1 && column == 1)
        memset(to, *value, (size_t)count);
    else
        for (x = 0; x < count; x++)
            memcpy(to + x * column, value, (size_t)size);
}

void nj_extend(nj_samples to, ptrdiff_t components, ptrdiff_t height, ptrdiff_t width, ptrdiff_t full_height,
               ptrdiff_t full_width)
{
    ptrdiff_t c, y;
    for (c = 0; c < components; c++) {
        uint8_t *plane = to.data + c * to.strides.component, *end = plane + width * to.strides.column;
        for (y = 0; y < height && width < full_width; y++, end += to.strides.row)
            fill(end, to.strides.column, to.size, end - to.strides.column, full_width - width);
        for (y = height; y < full_height; y++)
            copy_row(plane + (height - 1) * to.strides.row, to.strides.column, to.size, plane + y * to.strides.row,
                     to.strides.column, to.size, full_width);
    }
}

static float *floats_at(nj_samples s, ptrdiff_t component, ptrdiff_t row)
{
    return (float *)(void *)nj_from(s, 0, component, row, 0).data;
}

void nj_extend_by_zeros(nj_samples to, ptrdiff_t components, ptrdiff_t height, ptrdiff_t width, ptrdiff_t full_height,
                        ptrdiff_t full_width)
{
    ptrdiff_t c, y;
    for (c = 0; c < components; c++)
        for (y = 0; y < full_height; y++) {
            const ptrdiff_t valid = y < height ? width : 0;
            memset(floats_at(to, c, y) + valid, 0, (size_t)(full_width - valid) * sizeof(float));
        }
}

void nj_fold(nj_samples to, ptrdiff_t components, ptrdiff_t height, ptrdiff_t width, ptrdiff_t full_height,
             ptrdiff_t full_width)
{
    ptrdiff_t c, y, x;
    for (c = 0; c < components; c++)
        for (y = 0; y < full_height; y++) {
            float *row = floats_at(to, c, y), *last = floats_at(to, c, height - 1);
            for (x = width; x < full_width; x++)
                row[width - 1] += row[x];
            for (x = 0; x < width && y >= height; x++)
                last[x] += row[x];
        }
}

nj_order nj_order_of(const nj_samples *s, int components)
{
    const ptrdiff_t column = s->strides.column / s->size, component = s->strides.component / s->size;
    const ptrdiff_t size = column < 0 ? -column : column, lowest = component < 0 ? (components - 1) * component : 0;
    nj_order order = { 0, { -1, -1, -1, -1 }, 0, 0 };
    ptrdiff_t c;
    if (components < 2 || (size != 3 && size != 4))
        return order;
    for (c = 0; c < components; c++) {
        const ptrdiff_t place = c * component - lowest;
        if (place >= size || order.plane[place] >= 0)
            return order;
        order.plane[place] = (int)c;
    }
    order.complete = components == size;
    order.size = order.complete || s->size == 1 ? (int)size : 0;
    order.lowest = lowest * s->size;
    return order;
}

/* The pixel at the lowest address. */
static uint8_t *first_pixel(const nj_samples *s, const nj_order *order, ptrdiff_t width)
{
    return s->data + order->lowest + (s->strides.column < 0 ? (width - 1) * s->strides.column : 0);
}

int nj_follow(const nj_samples *s, const nj_order *order, ptrdiff_t width)
{
    return s->strides.column > 0 && s->strides.row == width * s->strides.column &&
           (!order->size || (order->complete && s->size == 1));
}

/* A mirrored row is one whose samples, or pixels, go down in memory. */
void nj_fetch_row(const nj_isa *isa, nj_samples from, const nj_order *order, int components, uint8_t *const *planes,
                  ptrdiff_t width, uint8_t *spare)
{
    const int mirrored = from.strides.column < 0;
    ptrdiff_t x;
    int c;
    if (order->size) {
        const uint8_t *first = first_pixel(&from, order, width);
        uint8_t *rows[NJ_MAX_COMPONENTS] = { NULL };
        const ptrdiff_t count = order->complete ? width : width - 1; /* the last pixel may not be all the caller's */
        for (c = 0; c < order->size; c++)
            rows[c] = order->plane[c] >= 0 ? planes[order->plane[c]] : spare + width;
        if (from.size != 1) {
            isa->to_bytes((const float *)(const void *)first, spare + 4 * width, order->size * width);
            first = spare + 4 * width;
        }
        isa->split(first, order->size, rows, count);
        for (c = 0; c < order->size; c++)
            if (order->plane[c] >= 0)
                rows[c][width - 1] = first[(width - 1) * order->size + c];
        for (c = 0; c < components && mirrored; c++) {
            memcpy(spare, planes[c], (size_t)width);
            isa->reverse(spare, planes[c], width);
        }
        return;
    }
    for (c = 0; c < components; c++) {
        const uint8_t *row = nj_from(from, 0, c, 0, 0).data;
        if (from.size != 1 && nj_are_planes(&from))
            isa->to_bytes((const float *)(const void *)row, planes[c], width);
        else if (from.size != 1)
            for (x = 0; x < width; x++)
                isa->to_bytes((const float *)(const void *)(row + x * from.strides.column), planes[c] + x, 1);
        else if (from.strides.column == -1)
            isa->reverse(row - (width - 1), planes[c], width);
        else
            copy_row(row, from.strides.column, 1, planes[c], 1, 1, width);
    }
}

void nj_land_row(const nj_isa *isa, const uint8_t *const *planes, nj_samples to, const nj_order *order, int components,
                 ptrdiff_t width, uint8_t *spare)
{
    const int mirrored = to.strides.column < 0;
    ptrdiff_t x;
    int c;
    if (order->complete) {
        uint8_t *first = first_pixel(&to, order, width);
        const uint8_t *rows[NJ_MAX_COMPONENTS] = { NULL };
        for (c = 0; c < order->size; c++)
            rows[c] = planes[order->plane[c]];
        if (mirrored) {
            for (c = 0; c < order->size; c++) {
                isa->reverse(rows[c], spare + c * width, width);
                rows[c] = spare + c * width;
            }
        }
        if (to.size == 1) {
            isa->join(rows, order->size, first, width);
        } else {
            isa->join(rows, order->size, spare + 4 * width, width);
            isa->to_floats(spare + 4 * width, (float *)(void *)first, order->size * width);
        }
        return;
    }
    for (c = 0; c < components; c++) {
        uint8_t *row = nj_from(to, 0, c, 0, 0).data;
        if (to.size != 1 && nj_are_planes(&to))
            isa->to_floats(planes[c], (float *)(void *)row, width);
        else if (to.size != 1)
            for (x = 0; x < width; x++)
                isa->to_floats(planes[c] + x, (float *)(void *)(row + x * to.strides.column), 1);
        else if (to.strides.column == -1)
            isa->reverse(planes[c], row - (width - 1), width);
        else
            copy_row(planes[c], 1, 1, row, to.strides.column, 1, width);
    }
}
