/* The strip on AVX2. Compiled with the flags that setup.py gives for it. */
#include "lanes_avx2.h"

#include "block.h"
#include "strip_vector.h"

const nj_strip nj_strip_avx2 = NJ_STRIP("avx2", NULL);
