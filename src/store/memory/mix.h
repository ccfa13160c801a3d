/* A mix of 64-bit words that changes with every bit of each, to tell a record from what was scribbled over
 * one. It is no defence against forgery: the cache compares the entry's checksum and key. Private to the
 * memory store. */
#ifndef INFERONCE_STORE_MEMORY_MIX_H
#define INFERONCE_STORE_MEMORY_MIX_H

#include <stdint.h>

#define MEMORY_MIX_START UINT64_C(0x9e3779b97f4a7c15)

static inline uint64_t memory_mix(uint64_t mixed, uint64_t word) {
    mixed = (mixed ^ word) * UINT64_C(0xff51afd7ed558ccd);
    return mixed ^ (mixed >> 32);
}

#endif
