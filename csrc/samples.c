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
        memcpy(to, from, (size_t)(width * from_size));
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
    ptrdiff_t c, y;
    if (nj_are_pixels(&from, (int)components) && nj_are_pixels(&to, (int)components)) {
        for (y = 0; y < height; y++)
            memcpy(to.data + y * to.strides.row, from.data + y * from.strides.row, (size_t)(components * width));
        return;
    }
    for (c = 0; c < components; c++)
        for (y = 0; y < height; y++)
            copy_row(nj_from(from, 0, c, y, 0).data, from.strides.column, from.size, nj_from(to, 0, c, y, 0).data,
                     to.strides.column, to.size, width);
}

static void fill(uint8_t *to, ptrdiff_t column, int size, const uint8_t *value, ptrdiff_t count)
{
    ptrdiff_t x;
    if (size == 1 && column == 1)
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
        if (width < full_width)
            for (y = 0; y < height; y++) {
                uint8_t *end = nj_from(to, 0, c, y, width).data;
                fill(end, to.strides.column, to.size, end - to.strides.column, full_width - width);
            }
        for (y = height; y < full_height; y++)
            copy_row(nj_from(to, 0, c, height - 1, 0).data, to.strides.column, to.size, nj_from(to, 0, c, y, 0).data,
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

/* Pixels of three or four bytes whose components lie anywhere in them: plane[i] is the component at byte i, -1 where there is
 * none. first: the pixel at the lowest address. size: 0 where a row is no such pixels. */
typedef struct pixels {
    int size, plane[NJ_MAX_COMPONENTS], complete;
    uint8_t *first;
} pixels;

static pixels pixels_of(const nj_samples *s, int components, ptrdiff_t width)
{
    const ptrdiff_t column = s->strides.column, size = column < 0 ? -column : column;
    pixels p = { 0, { -1, -1, -1, -1 }, 0, NULL };
    ptrdiff_t lowest = 0, c;
    if (s->size != 1 || components < 2 || (size != 3 && size != 4))
        return p;
    for (c = 0; c < components; c++)
        if (c * s->strides.component < lowest)
            lowest = c * s->strides.component;
    for (c = 0; c < components; c++) {
        const ptrdiff_t place = c * s->strides.component - lowest;
        if (place >= size || p.plane[place] >= 0)
            return p;
        p.plane[place] = (int)c;
    }
    p.size = (int)size;
    p.complete = components == p.size;
    p.first = s->data + lowest + (column < 0 ? (width - 1) * column : 0);
    return p;
}

/* A mirrored row is one whose samples, or pixels, go down in memory. */
void nj_fetch_row(const nj_isa *isa, nj_samples from, int components, uint8_t *const *planes, ptrdiff_t width,
                  uint8_t *spare)
{
    const pixels p = pixels_of(&from, components, width);
    const int mirrored = from.strides.column < 0;
    ptrdiff_t x;
    int c;
    if (p.size) {
        uint8_t *rows[NJ_MAX_COMPONENTS] = { NULL };
        const ptrdiff_t count = p.complete ? width : width - 1; /* the last pixel may not be all the caller's */
        for (c = 0; c < p.size; c++)
            rows[c] = p.plane[c] >= 0 ? planes[p.plane[c]] : spare + width;
        isa->split(p.first, p.size, rows, count);
        for (c = 0; c < p.size; c++)
            if (p.plane[c] >= 0)
                rows[c][width - 1] = p.first[(width - 1) * p.size + c];
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

void nj_land_row(const nj_isa *isa, const uint8_t *const *planes, nj_samples to, int components, ptrdiff_t width,
                 uint8_t *spare)
{
    const pixels p = pixels_of(&to, components, width);
    const int mirrored = to.strides.column < 0;
    ptrdiff_t x;
    int c;
    if (p.size && p.complete) {
        const uint8_t *rows[NJ_MAX_COMPONENTS] = { NULL };
        for (c = 0; c < p.size; c++)
            rows[c] = planes[p.plane[c]];
        if (mirrored) {
            for (c = 0; c < p.size; c++) {
                isa->reverse(rows[c], spare + c * width, width);
                rows[c] = spare + c * width;
            }
        }
        isa->join(rows, p.size, p.first, width);
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
