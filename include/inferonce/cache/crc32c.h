/* CRC-32C (Castagnoli; RFC 3720 appendix B.4): the checksum of a stored entry. */
#ifndef INFERONCE_CACHE_CRC32C_H
#define INFERONCE_CACHE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of what gave `crc` (0: of nothing) with `length` more bytes behind it. Uses the processor's
 * instruction if there is one. */
uint32_t crc32c(uint32_t crc, const void *data, size_t length);

/* The same, by table; what crc32c falls back to. Public so that a test can hold one against the other. */
uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t length);

#endif
