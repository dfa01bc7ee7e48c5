#include "table_sums.h"

#include <stdlib.h>

#include "threads.h"

static ptrdiff_t tables(const nj_table_sums *s)
{
    return (s->image_tables ? s->images : 1) * (s->component_tables ? s->components : 1);
}

int nj_begin_sums(nj_table_sums *s, const nnjpeg_shape *shape, const nnjpeg_quantizers *quantizers, ptrdiff_t items, int parts)
{
    ptrdiff_t slots;
    s->items = items;
    s->images = shape->images;
    s->components = shape->components;
    s->image_tables = quantizers->image_stride != 0;
    s->component_tables = quantizers->component_stride != 0;
    s->parts = parts;
    /* Parts follow each other: two share one image at most, which each has a slot of its own for. */
    slots = parts + (s->image_tables ? s->images - 1 : 0);
    s->totals = calloc((size_t)(tables(s) + slots * s->components), NNJPEG_BLOCK_SIZE * sizeof *s->totals);
    s->parts_own = s->totals ? s->totals + tables(s) * NNJPEG_BLOCK_SIZE : NULL;
    return s->totals != NULL;
}

static double *total_of(const nj_table_sums *s, ptrdiff_t image, ptrdiff_t component)
{
    const ptrdiff_t table = s->image_tables ? image * (s->component_tables ? s->components : 1) : 0;
    return s->totals + (table + (s->component_tables ? component : 0)) * NNJPEG_BLOCK_SIZE;
}

void nj_end_sums(nj_table_sums *s, float *dst)
{
    ptrdiff_t image, c, t;
    int part, i;
    for (part = 0; part < s->parts; part++) {
        const nj_range range = nj_range_of(s->images * s->items, part, s->parts);
        const ptrdiff_t first = s->image_tables ? range.begin / s->items : 0;
        const ptrdiff_t last = s->image_tables ? (range.end - 1) / s->items : 0;
        for (image = first; image <= last; image++)
            for (c = 0; c < s->components; c++) {
                const double *own = nj_sums_of(s, part, image, c);
                double *total = total_of(s, image, c);
                for (i = 0; i < NNJPEG_BLOCK_SIZE; i++)
                    total[i] += own[i];
            }
    }
    for (t = 0; t < tables(s); t++)
        for (i = 0; i < NNJPEG_BLOCK_SIZE; i++) {
            const int transposed = i % NNJPEG_BLOCK * NNJPEG_BLOCK + i / NNJPEG_BLOCK;
            dst[t * NNJPEG_BLOCK_SIZE + i] = (float)(s->totals[t * NNJPEG_BLOCK_SIZE + transposed] / 255.0);
        }
    free(s->totals);
}
