/* NEON, which every 64-bit Arm has. */
#include "lanes_neon.h"

#include "block.h"
#include "runs.h"

const nj_isa nj_isa_neon = NJ_ISA("neon", NULL);
