/* Numbers in bytes, little-endian: what is written into a store means the same on every host. */
#ifndef INFERONCE_BASE_LITTLE_ENDIAN_H
#define INFERONCE_BASE_LITTLE_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline void store_u16(void *at, uint16_t number) {
    number = htole16(number);
    memcpy(at, &number, sizeof(number));
}

static inline void store_u32(void *at, uint32_t number) {
    number = htole32(number);
    memcpy(at, &number, sizeof(number));
}

static inline void store_u64(void *at, uint64_t number) {
    number = htole64(number);
    memcpy(at, &number, sizeof(number));
}

static inline uint16_t load_u16(const void *at) {
    uint16_t number;
    memcpy(&number, at, sizeof(number));
    return le16toh(number);
}

static inline uint32_t load_u32(const void *at) {
    uint32_t number;
    memcpy(&number, at, sizeof(number));
    return le32toh(number);
}

static inline uint64_t load_u64(const void *at) {
    uint64_t number;
    memcpy(&number, at, sizeof(number));
    return le64toh(number);
}

#endif
