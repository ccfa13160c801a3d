/* Eight bytes looked at together, as a word in which the first of them is lowest (load_u64 of
 * base/little_endian.h). What is searched for is marked by the highest bit of its byte; above the lowest mark
 * there may be wrong ones. */
#ifndef INFERONCE_BASE_EIGHT_BYTES_H
#define INFERONCE_BASE_EIGHT_BYTES_H

#include <stdint.h>

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))
#define HIGH_BITS        EACH_BYTE(0x80u)

/* Bytes below `limit`, which is at most 0x80. */
static inline uint64_t word_has_below(uint64_t word, uint8_t limit) {
    return (word - EACH_BYTE(limit)) & ~word & HIGH_BITS;
}

/* Bytes that are `c`. */
static inline uint64_t word_has(uint64_t word, char c) {
    return word_has_below(word ^ EACH_BYTE((uint8_t)c), 1);
}

/* The index of the first byte that is marked; there must be one. */
static inline unsigned word_first(uint64_t marks) {
    return (unsigned)__builtin_ctzll(marks) / 8;
}

#endif
