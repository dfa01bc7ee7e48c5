/* YCbCr to RGB and back, of every pixel that there is, by every instruction set, against the definition (jdcolor.c and
 * jccolor.c). Prints one line for each: its name and how many pixels. Exit status 1 if one differs. */
#include <stdio.h>

#include "isa.h"

enum { VALUES = 256 };

static int clamp(int x) { return x < 0 ? 0 : x > 255 ? 255 : x; }

static int decoded(int y, int cb, int cr, int c)
{
    cb -= 128;
    cr -= 128;
    return clamp(y + (c == 0 ? (91881 * cr + 32768) >> 16 : c == 1 ? (-22554 * cb - 46802 * cr + 32768) >> 16
                                                                  : (116130 * cb + 32768) >> 16));
}

static int encoded(int r, int g, int b, int c)
{
    return c == 0   ? (19595 * r + 38470 * g + 7471 * b + 32768) >> 16
           : c == 1 ? (-11059 * r - 21709 * g + 32768 * b + (128 << 16) + 32767) >> 16
                    : (32768 * r - 27439 * g - 5329 * b + (128 << 16) + 32767) >> 16;
}

/* The pixels with x in the first component, and all values of the third in one row; 0 if one differs. */
static int is_right(const nj_isa *isa, int x, int y)
{
    uint8_t in[3][VALUES], out[3][VALUES];
    const void *const src[2] = { in[0], in[0] };
    void *const luma[2] = { out[0], out[0] };
    int z, c;
    for (z = 0; z < VALUES; z++) {
        in[0][z] = (uint8_t)x;
        in[1][z] = (uint8_t)y;
        in[2][z] = (uint8_t)z;
    }
    isa->u8.decode[NNJPEG_444](in[0], in[1], in[2], 0, 0, NULL, out[0], VALUES, NJ_PLANES, VALUES);
    for (z = 0; z < VALUES; z++)
        for (c = 0; c < 3; c++)
            if (out[c][z] != decoded(x, y, z, c))
                return 0;
    isa->u8.encode[NNJPEG_444](src, VALUES, NJ_PLANES, luma, out[1], out[2], VALUES);
    for (z = 0; z < VALUES; z++)
        for (c = 0; c < 3; c++)
            if (out[c][z] != encoded(x, y, z, c))
                return 0;
    return 1;
}

int main(void)
{
    const char *name;
    int i, x, y, supported;
    for (i = 0; (name = nnjpeg_compiled_isa(i, &supported)); i++) {
        if (!supported || nnjpeg_use_isa(name) != NNJPEG_OK)
            continue;
        for (x = 0; x < VALUES; x++)
            for (y = 0; y < VALUES; y++)
                if (!is_right(nj_isa_for_cpu(), x, y)) {
                    fprintf(stderr, "%s differs at %d %d\n", name, x, y);
                    return 1;
                }
        printf("%s %d\n", name, x * y * VALUES);
    }
    return 0;
}
