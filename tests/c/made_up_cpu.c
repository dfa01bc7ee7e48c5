/* The choice of the instruction set on a CPU that is made up.
 *
 * usage: made_up_cpu LEAVES LEAF1_ECX LEAF7_EBX LEAF7_ECX REGISTERS
 * What CPUID and XGETBV say: the highest leaf, features and saved registers, in hexadecimal. Prints the instruction sets
 * that such a CPU may run, best first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NNJPEG_CPU_H /* instead of csrc/cpu.h */

static int leaves, leaf1_ecx, leaf7_ebx, leaf7_ecx;
static unsigned registers;

static void cpuid(int leaf, int out[4])
{
    memset(out, 0, 4 * sizeof *out);
    if (leaf == 0)
        out[0] = leaves;
    if (leaf == 1)
        out[2] = leaf1_ecx;
    if (leaf == 7) {
        out[1] = leaf7_ebx;
        out[2] = leaf7_ecx;
    }
}

static unsigned saved_registers(void) { return registers; }

#include "dispatch.c"

int main(int argc, char **argv)
{
    int i, supported;
    const char *name;
    if (argc != 6)
        return 2;
    leaves = (int)strtoul(argv[1], NULL, 16);
    leaf1_ecx = (int)strtoul(argv[2], NULL, 16);
    leaf7_ebx = (int)strtoul(argv[3], NULL, 16);
    leaf7_ecx = (int)strtoul(argv[4], NULL, 16);
    registers = (unsigned)strtoul(argv[5], NULL, 16);
    for (i = 0; (name = nnjpeg_compiled_isa(i, &supported)) != NULL; i++)
        if (supported)
            printf("%s\n", name);
    return 0;
}
