/* Portable C, which every build has. */
#include "lanes_generic.h"

#include "block.h"
#include "runs.h"

const nj_isa nj_isa_generic = NJ_ISA("generic", NULL);
