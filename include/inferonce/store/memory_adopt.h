/* Takes over what another region held: one of the same layout version and other sizes (CACHE_MEMORY_MB,
 * CACHE_MAX_SIZE, CACHE_MAX_ENTRY_KB, CACHE_SCOPE, the number of parts). */
#ifndef INFERONCE_STORE_MEMORY_ADOPT_H
#define INFERONCE_STORE_MEMORY_ADOPT_H

#include <stddef.h>
#include <stdint.h>

#include "inferonce/base/clock.h"

/* The first master, after memory_region_setup of a fresh region, before shared_ready. Generations and what
 * cache servers have still to be told are taken over whole, and the newest entries as far as there is room.
 * `former` is a copy, whose lock words and offsets are not trusted; it is spoilt. Returns how many
 * entries there are now; 0 when `former` is no such region, or there is no memory to sort them with. */
uint64_t memory_adopt(void *region, size_t bytes, void *former, size_t former_bytes,
                      const struct clock *clock);

#endif
