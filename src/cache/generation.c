#include "inferonce/cache/generation.h"

void generation_encode(uint64_t generation, char value[GENERATION_LENGTH]) {
    for (unsigned i = 0; i < GENERATION_LENGTH; i++)
        value[i] = (char)(unsigned char)(generation >> (8 * i));
}

uint64_t generation_decode(struct bytes value) {
    if (value.length != GENERATION_LENGTH)
        return 0;
    uint64_t generation = 0;
    for (unsigned i = 0; i < GENERATION_LENGTH; i++)
        generation |= (uint64_t)(unsigned char)value.data[i] << (8 * i);
    return generation;
}
