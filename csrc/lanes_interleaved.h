/* Three components as cells of neighbouring bytes of pixels, of `size` bytes each; a fourth byte of a pixel is anything. Included
 * by lanes whose cells are registers, with blend_seconds(x, y), cells of x's first numbers and y's second ones. */
#ifndef NNJPEG_LANES_INTERLEAVED_H
#define NNJPEG_LANES_INTERLEAVED_H

NJ_INLINE void interleave(cells16 samples[3][4], int size, cells16 bytes[16])
{
    int k;
    for (k = 0; k < 4; k++) {
        const cells16 r = samples[0][k], g = samples[1][k], b = samples[2][k];
        cells16 *two = &bytes[size * k];
        two[0] = firsts(r, g);
        two[1] = size == 3 ? blend_seconds(b, r) : b;
        two[2] = size == 3 ? seconds(g, b) : seconds(r, g);
        if (size == 4)
            two[3] = seconds(b, b);
    }
}

#endif
