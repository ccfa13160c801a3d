/* Tells what an entry is worth. */
#include "store/memory/worth.h"

/* The weight of the entry before, out of 1024: about the last thousand count. */
#define FADED(sum) ((sum) - (sum) / 1024)

/* Cut off, so that no sum overflows and none drowns the others: an hour, and 1 GB. */
#define COST_MAX_US UINT64_C(3600000000)
#define BYTES_MAX   (UINT64_C(1) << 30)

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

uint8_t memory_worth(struct memory_usual *usual, uint64_t cost_us, uint64_t bytes) {
    cost_us = smaller(cost_us, COST_MAX_US);
    bytes = smaller(bytes > 0 ? bytes : 1, BYTES_MAX);
    usual->cost_us = FADED(usual->cost_us) + cost_us;
    usual->bytes = FADED(usual->bytes) + bytes;
    if (usual->cost_us == 0)
        return 0;
    double worth = (double)cost_us / (double)bytes * ((double)usual->bytes / (double)usual->cost_us);
    return worth < MEMORY_WORTH_MAX ? (uint8_t)worth : MEMORY_WORTH_MAX;
}

uint64_t memory_worth_cost_us(const struct memory_usual *usual, uint8_t worth, uint64_t bytes) {
    if (usual->bytes == 0)
        return 0;
    double cost_us = worth * (double)bytes * ((double)usual->cost_us / (double)usual->bytes);
    return cost_us < (double)COST_MAX_US ? (uint64_t)cost_us : COST_MAX_US;
}
