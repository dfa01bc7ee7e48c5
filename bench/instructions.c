/* Round trips of one 224x224x3 image, for counting instructions: instructions ISA TIMES planes|pixels|444|420. */
#include <stdlib.h>
#include <string.h>

#include "nnjpeg.h"

int main(int argc, char **argv)
{
    enum { SIDE = 224 };
    static uint8_t image[SIDE * SIDE * 3], result[SIDE * SIDE * 3];
    const nnjpeg_shape shape = { 1, 3, SIDE, SIDE };
    nnjpeg_strides strides = { 0, 1, 3 * SIDE, 3 };
    nnjpeg_quantizer quantizer;
    nnjpeg_quantizers quantizers = { &quantizer, 0, 0 };
    uint16_t steps[NNJPEG_BLOCK_SIZE];
    nnjpeg_colorspace colorspace = NNJPEG_RGB;
    nnjpeg_subsampling subsampling = NNJPEG_444;
    int i, times;
    if (argc != 4 || nnjpeg_use_isa(argv[1]) != NNJPEG_OK)
        return 2;
    times = atoi(argv[2]);
    if (strcmp(argv[3], "planes") == 0)
        strides = (nnjpeg_strides){ 0, SIDE * SIDE, SIDE, 1 };
    else if (strcmp(argv[3], "pixels") != 0)
        colorspace = NNJPEG_YCBCR;
    if (strcmp(argv[3], "420") == 0)
        subsampling = NNJPEG_420;
    for (i = 0; i < NNJPEG_BLOCK_SIZE; i++)
        steps[i] = i / 8 + i % 8 < 4 ? 16 : 50;
    nnjpeg_quantizer_init(&quantizer, steps);
    for (i = 0; i < SIDE * SIDE * 3; i++)
        image[i] = (uint8_t)(i * 7 % 251);
    for (i = 0; i < times; i++)
        if (nnjpeg_roundtrip(&shape, image, &strides, result, &strides, quantizers, colorspace, subsampling, 1) !=
            NNJPEG_OK)
            return 1;
    return 0;
}
