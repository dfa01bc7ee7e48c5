/* AVX-512 F, BW and VNNI. Compiled with the flags that setup.py gives for it. */
#include "lanes_avx512.h"

#include "block.h"
#include "runs.h"

extern const nj_isa nj_isa_avx2;

const nj_isa nj_isa_avx512vnni = NJ_ISA("avx512vnni", &nj_isa_avx2);
