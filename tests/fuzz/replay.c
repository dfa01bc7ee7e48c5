/* Runs a fuzz target without libFuzzer: on the files that are named, then on random inputs.
 * usage: replay RUNS FILE... */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LONGEST = 4096 };

int main(int argc, char **argv)
{
    static uint8_t input[LONGEST];
    const long runs = argc > 1 ? atol(argv[1]) : 0;
    uint64_t state = 88172645463325252u;
    long run;
    int i;
    for (i = 2; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (!file) {
            perror(argv[i]);
            return 2;
        }
        LLVMFuzzerTestOneInput(input, fread(input, 1, LONGEST, file));
        fclose(file);
    }
    for (run = 0; run < runs; run++) {
        size_t size, k;
        for (k = 0; k < 64; k++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            input[k] = (uint8_t)(state >> 32);
        }
        size = 1 + input[0] % 64;
        LLVMFuzzerTestOneInput(input, size);
    }
    printf("%d files and %ld random inputs\n", argc > 2 ? argc - 2 : 0, runs);
    return 0;
}
