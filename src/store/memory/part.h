/* How many entries a part holds, and which goes when there are too many. Private to the memory store. */
#ifndef INFERONCE_STORE_MEMORY_PART_H
#define INFERONCE_STORE_MEMORY_PART_H

#include "store/memory/region.h"

/* The most entries of this part: max_size divided by the parts, the first ones taking what is left over. */
uint64_t memory_part_max(const struct memory_context *context, unsigned part);

/* Sums taken without a lock. The shards are read one after the other, so that entries coming and going
 * meanwhile may be counted twice or not at all; the size that is returned never exceeds memory_part_max
 * nevertheless. */
uint64_t memory_part_size(const struct memory_context *context, unsigned part);
uint64_t memory_part_bytes(const struct memory_context *context, unsigned part);

/* Whether one more entry may be written. Exact while `writer` is held. */
bool memory_part_has_room(const struct memory_context *context, unsigned part);

/* Makes room for one more entry: removes those whose time is over (STAT_expired), else evicts
 * (STAT_evictions). `writer` is held, no shard's lock. False: the locks are broken. */
bool memory_part_make_room(const struct memory_context *context, unsigned part, uint64_t now_us) MUST_CHECK;

#endif
