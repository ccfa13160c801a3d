/* The layout of the memory store's region. Private to the memory store; memory.h draws the picture.
 *
 * All zeros is the empty state of everything but the locks, so that a fresh region is not touched beyond
 * them: pages that no entry needs cost nothing. */
#ifndef INFERONCE_STORE_MEMORY_REGION_H
#define INFERONCE_STORE_MEMORY_REGION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inferonce/store/memory.h"
#include "store/memory/generation.h"
#include "store/memory/small.h"
#include "store/memory/tombstone.h"
#include "store/memory/worth.h"
#include "store/remote/pending.h"

/* The start of a shard in the mapping; index, small items and log follow. Everything but `lock` is behind the
 * lock. */
struct memory_shard_state {
    _Alignas(64) pthread_mutex_t lock;
    _Atomic uint32_t changing; /* 1 between two valid states: the next holder wipes the shard */
    uint32_t live;             /* entries */
    uint64_t live_bytes;       /* their records */
    uint64_t head;             /* log: offset of the oldest record, which is live; 0 when `used` is */
    uint64_t used;             /* log: bytes from there to the tail, around the end */
    struct memory_smalls smalls;
    struct memory_tombstones tombstones;
};

/* The start of a part. Its figures of shards are copies, for choosing a shard and for sums: written under the
 * shard's lock, read without it.
 *
 * oldest      the sequence of the head record; 0: no entries
 * soonest_us  no entry expires before it; 0: there was none since the shard was empty */
struct memory_part_state {
    _Alignas(64) pthread_mutex_t writer;
    struct memory_usual usual;
    _Atomic uint64_t sequence; /* the last that a record got; written by the holder of `writer` */
    _Alignas(64) _Atomic uint32_t live[MEMORY_SHARDS];
    _Alignas(64) _Atomic uint64_t live_bytes[MEMORY_SHARDS];
    _Alignas(64) _Atomic uint64_t oldest[MEMORY_SHARDS];
    _Alignas(64) _Atomic uint64_t soonest_us[MEMORY_SHARDS];
};

/* The start of the region; the parts follow. */
struct memory_region {
    uint64_t magic;
    struct memory_layout layout; /* in force: a worker started after a reload goes by it */
    struct memory_generations generations;
    struct pendings pendings; /* of the cache servers that the memory store stands in for */
};

/* Sizes and places, worked out from a layout. Each process has its own copy, which no other can
 * scribble on. */
struct memory_geometry {
    unsigned parts;
    unsigned shards;  /* a part, a power of two */
    uint32_t buckets; /* of a shard's index, a power of two */
    uint32_t small_buckets;
    uint32_t smalls;
    uint64_t log_bytes; /* of a shard */
    uint64_t max_size;  /* entries, all parts together */
    size_t index_at;    /* from the start of a shard, like the next three */
    size_t small_index_at;
    size_t smalls_at;
    size_t log_at;
    size_t shards_at; /* from the start of a part */
    size_t shard_bytes;
    size_t parts_at; /* from the start of the region */
    size_t part_bytes;
    size_t region_bytes;
};

void memory_geometry_of(const struct memory_layout *layout, struct memory_geometry *geometry);

/* One process' handle to the memory store. */
struct memory_context {
    struct memory_geometry geometry;
    struct memory_region *region;
    bool by_cost; /* CACHE_EVICTION=cost */
    const struct clock *clock;
    struct stats *stats; /* NULL while the region is set up */
};

static inline struct memory_part_state *memory_part_at(const struct memory_context *context, unsigned part) {
    uint8_t *base = (uint8_t *)context->region + context->geometry.parts_at;
    return (struct memory_part_state *)(void *)(base + part * context->geometry.part_bytes);
}

/* Takes over a region that memory_region_setup has made. False when it is none or does not fit into `bytes`.
 */
bool memory_region_attach(struct memory_context *context, void *region, size_t bytes) MUST_CHECK;

#endif
