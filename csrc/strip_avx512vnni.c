/* The strip on AVX-512 F, BW and VNNI. Compiled with the flags that setup.py gives for it. */
#include "lanes_avx512.h"

#include "block.h"
#include "strip_vector.h"

extern const nj_strip nj_strip_avx2;

const nj_strip nj_strip_avx512vnni = NJ_STRIP("avx512vnni", &nj_strip_avx2);
