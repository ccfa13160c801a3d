/* The memory store: entries in the shared mapping, for all workers of one machine.
 *
 *   region   header | generations | part 0 | part 1 | ...
 *            one part with CACHE_SCOPE=shared, one per worker with `worker`
 *   part     writer mutex | what choosing a victim needs to know of each shard | shards
 *   shard    robust mutex | counters | tombstones | index (buckets: log offsets)
 *            | small items (leases, outcomes) | log
 *   log      ring of records: header {size, next in chain, key, epoch, expiry, sequence, worth, laps}
 *            + value, 8-byte aligned
 *
 * Offsets, no pointers: every process maps it elsewhere. A record is appended at the tail; room is made at
 * the head. An entry that has laps left is moved to the tail, one lap poorer, instead of evicted (CLOCK,
 * Corbato 1968, as a log); it gets laps by what it saves (worth.h), and a read writes one byte. When
 * CACHE_MAX_SIZE is reached, entries whose time is over go first; then the victim comes from the shard whose
 * head is oldest, so the order of eviction is that of one log, however the keys fall on the shards.
 *
 * An entry lies within one shard's log. A part has MEMORY_SHARDS shards, or, when CACHE_MEMORY_MB divided by
 * that does not hold a few entries of CACHE_MAX_ENTRY_KB, half as many as often as it takes.
 *
 * Locks: `writer` (one for a part, taken by put alone) before a shard's; never two shards' at once. So the
 * number of entries, which only puts raise, never passes the limit, not for an instant. Reads take the
 * shard's only, copy out under it and do nothing else; generations are read without one. A holder that was
 * killed while it changed a shard: the next one gets EOWNERDEAD, wipes that shard (and refuses puts of
 * flights that began before), makes the mutex consistent and goes on. Offsets and lengths read from the
 * mapping are checked before use: a scribbled shard is wiped, never followed.
 *
 * With CACHE_SCOPE=worker a worker reads and writes its own part; only an entry's removal reaches all.
 * Generations are shared always. */
#ifndef INFERONCE_STORE_MEMORY_H
#define INFERONCE_STORE_MEMORY_H

#include "inferonce/store/store.h"

#define MEMORY_SHARDS 64

/* The settings that the layout depends on. */
struct memory_layout {
    uint64_t max_size;        /* entries, all parts together */
    uint64_t memory_bytes;    /* of the logs, all parts together */
    uint64_t entry_max_bytes; /* of an entry as the cache writes it; a log holds one if the memory does */
    uint64_t leases_max;      /* leases and outcomes that may be held at once; many more are STORE_ERROR */
    unsigned parts;           /* a worker of place p uses part p % parts */
};

/* The layout for these settings and this many workers. */
struct memory_layout memory_layout_of(const struct settings *settings, unsigned workers);

/* Bytes the region needs, and a tag that changes with everything the layout depends on (shared_create). */
size_t memory_region_bytes(const struct memory_layout *layout);
uint64_t memory_region_tag(const struct memory_layout *layout);

/* The first master, before it forks and before shared_ready: makes an empty region of one that is all zeros,
 * or, when it is not `fresh`, re-initialises every lock, drops leases, outcomes and tombstones, whose flights
 * are gone, and rebuilds each shard's index from the records in its log, checking each; a shard with anything
 * wrong in it is wiped. Returns the number of shards wiped. */
size_t memory_region_setup(void *region, const struct memory_layout *layout, bool fresh,
                           const struct clock *clock);

/* Removes the entries of a region that is used again, when the memory only stands in for cache servers: what
 * was invalidated there meanwhile is not known. */
void memory_region_empty(void *region, size_t bytes, const struct clock *clock);

/* Over a region that memory_region_setup has made; its layout holds, whatever the settings say by now.
 * Returns owned; NULL: error tells why. */
struct store *memory_open(const struct context *context, struct error *error);

/* Removes every entry, lease and outcome, of all parts; generations and tombstones stay. */
void memory_empty(struct store *store);

/* The region's pending invalidations, for where there is no file for them (state_pendings). NULL: it is no
 * region that memory_region_setup has made. */
struct pendings *memory_pendings(void *region, size_t bytes);

#endif
