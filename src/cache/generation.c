#include "inferonce/cache/generation.h"

#include "inferonce/base/little_endian.h"

void generation_encode(uint64_t generation, char value[GENERATION_LENGTH]) {
    store_u64(value, generation);
}

uint64_t generation_decode(struct bytes value) {
    return value.length == GENERATION_LENGTH ? load_u64(value.data) : 0;
}
