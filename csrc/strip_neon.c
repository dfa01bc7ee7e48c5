/* The strip on NEON, which every 64-bit Arm has. */
#include "lanes_neon.h"

#include "block.h"
#include "strip_vector.h"

const nj_strip nj_strip_neon = NJ_STRIP("neon", NULL);
