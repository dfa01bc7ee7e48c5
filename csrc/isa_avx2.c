/* AVX2. Compiled with the flags that setup.py gives for it. */
#include "lanes_avx2.h"

#include "block.h"
#include "runs.h"

const nj_isa nj_isa_avx2 = NJ_ISA("avx2", NULL);
