/* Which instruction set this process uses: chosen once, at first use. */
#include <stdlib.h>
#include <string.h>

#include "atomics.h"
#include "cpu.h"
#include "isa.h"

/* setup.py defines NJ_WITH_<ISA> for each instruction set that it could compile for. */
extern const nj_isa nj_isa_avx2, nj_isa_avx512, nj_isa_avx512vnni, nj_isa_neon;

/* What an instruction set itself needs, as bits of CPUID leaves 1 and 7, and of the registers that the system saves; 0: nothing. */
typedef struct needs {
    int leaf1_ecx, leaf7_ebx, leaf7_ecx;
    unsigned registers;
} needs;

enum { FMA = 1 << 12, AVX2 = 1 << 5, AVX512F = 1 << 16, AVX512BW = 1 << 30, VNNI = 1 << 11, YMM = 0x06, ZMM = 0xe6 };

/* Best first. */
static const struct candidate {
    const nj_isa *isa;
    needs needs;
} candidates[] = {
#if defined(NJ_WITH_AVX512VNNI)
    { &nj_isa_avx512vnni, { 0, AVX512F | AVX512BW, VNNI, ZMM } },
#endif
#if defined(NJ_WITH_AVX512)
    { &nj_isa_avx512, { 0, AVX512F | AVX512BW, 0, ZMM } },
#endif
#if defined(NJ_WITH_AVX2)
    { &nj_isa_avx2, { FMA, AVX2, 0, YMM } },
#endif
#if defined(NJ_WITH_NEON)
    { &nj_isa_neon, { 0, 0, 0, 0 } },
#endif
    { &nj_isa_generic, { 0, 0, 0, 0 } },
};
enum { CANDIDATES = sizeof candidates / sizeof candidates[0] };

/* Intel SDM, volume 1, 14.3 and 15.2: the CPU must have the instructions, and the system must save the registers. */
static int cpu_has(const needs *n)
{
    enum { OSXSAVE = 1 << 27 };
    int leaf[4];
    if (!n->registers)
        return 1;
    cpuid(0, leaf);
    if (leaf[0] < 7)
        return 0;
    cpuid(1, leaf);
    if ((leaf[2] & (OSXSAVE | n->leaf1_ecx)) != (OSXSAVE | n->leaf1_ecx) ||
        (saved_registers() & n->registers) != n->registers)
        return 0;
    cpuid(7, leaf);
    return (leaf[1] & n->leaf7_ebx) == n->leaf7_ebx && (leaf[2] & n->leaf7_ecx) == n->leaf7_ecx;
}

/* An instruction set and the narrower ones, which it leaves small groups to. */
static int is_supported(const nj_isa *isa)
{
    int i;
    if (!isa)
        return 1;
    for (i = 0; i < CANDIDATES; i++)
        if (candidates[i].isa == isa)
            return cpu_has(&candidates[i].needs) && is_supported(isa->narrower);
    return 0;
}

/* Set once; threads that meet here first at the same time store the same value. */
static const nj_isa *volatile chosen;

static const nj_isa *choose(const char *name)
{
    int i;
    for (i = 0; i < CANDIDATES; i++)
        if ((!name || strcmp(name, candidates[i].isa->name) == 0) && is_supported(candidates[i].isa))
            return candidates[i].isa;
    return NULL;
}

const nj_isa *nj_isa_for_cpu(void)
{
    const nj_isa *isa = NJ_LOAD(chosen);
    if (!isa) {
        const char *forced = getenv("NNJPEG_FORCE_ISA");
        isa = choose(forced && *forced ? forced : NULL);
        NJ_STORE(chosen, isa);
    }
    return isa;
}

nnjpeg_status nnjpeg_use_isa(const char *name)
{
    const nj_isa *isa = name ? choose(name) : NULL;
    if (!isa)
        return NNJPEG_BAD_ISA;
    NJ_STORE(chosen, isa);
    return NNJPEG_OK;
}

const char *nnjpeg_isa(void)
{
    const nj_isa *isa = nj_isa_for_cpu();
    return isa ? isa->name : NULL;
}

const char *nnjpeg_compiled_isa(int index, int *supported)
{
    if (index < 0 || index >= CANDIDATES)
        return NULL;
    if (supported)
        *supported = is_supported(candidates[index].isa);
    return candidates[index].isa->name;
}
