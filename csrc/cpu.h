/* What the CPU says of itself, and which registers the system saves. On CPUs other than x86-64, where no instruction set asks for
 * what a CPU may lack: nothing. */
#ifndef NNJPEG_CPU_H
#define NNJPEG_CPU_H

#if defined(__x86_64__) || defined(_M_X64)
#if defined(_MSC_VER)
#include <intrin.h>
static void cpuid(int leaf, int out[4]) { __cpuidex(out, leaf, 0); }
static unsigned saved_registers(void) { return (unsigned)_xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(int leaf, int out[4])
{
    __cpuid_count(leaf, 0, out[0], out[1], out[2], out[3]);
}
static unsigned saved_registers(void)
{
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}
#endif
#else
#include <string.h>
static void cpuid(int leaf, int out[4])
{
    (void)leaf;
    memset(out, 0, 4 * sizeof *out);
}
static unsigned saved_registers(void) { return 0; }
#endif

#endif
