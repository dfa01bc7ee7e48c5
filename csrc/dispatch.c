/* Which strip this CPU gets. */
#include "strip.h"

const nj_strip *nj_strip_for_cpu(void)
{
    return &nj_strip_generic;
}

const char *nnjpeg_isa(void)
{
    return nj_strip_for_cpu()->name;
}
