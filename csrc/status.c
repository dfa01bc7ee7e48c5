/* What a status means, in words. */
#include "nnjpeg.h"

const char *nnjpeg_status_message(nnjpeg_status status)
{
    switch (status) {
    case NNJPEG_OK:
        return "ok";
    case NNJPEG_BAD_POINTER:
        return "a required pointer is NULL";
    case NNJPEG_BAD_SHAPE:
        return "height, width and components must be at least 1, and images at least 0";
    case NNJPEG_BAD_COLORSPACE:
        return "the colour space must be known and go with the number of components";
    case NNJPEG_BAD_STEP:
        return "a quantization step must be within 1..255";
    case NNJPEG_BAD_PRECISION:
        return "the precision must be known";
    case NNJPEG_BAD_SUBSAMPLING:
        return "the subsampling must be known, and 4:4:4 unless YCbCr is coded";
    case NNJPEG_BAD_HUFFMAN:
        return "the kind of Huffman tables must be known";
    case NNJPEG_NO_CODE:
        return "libjpeg could not code an image with Huffman tables of its own: some of its symbols are too rare";
    case NNJPEG_NO_MEMORY:
        return "out of memory";
    case NNJPEG_BAD_ISA:
        return "the instruction set (the environment variable NNJPEG_FORCE_ISA?) must be one that this build and this CPU "
               "have; nnjpeg.show_config() lists them";
    }
    return "unknown status";
}
