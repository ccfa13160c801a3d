/* One shard: its lock and what happens to its content when a holder was killed. Private to the memory store.
 */
#ifndef INFERONCE_STORE_MEMORY_SHARD_H
#define INFERONCE_STORE_MEMORY_SHARD_H

#include "store/memory/region.h"

/* A process's handle; made per operation, since it is nothing but addresses. */
struct memory_shard {
    const struct memory_context *context;
    struct memory_part_state *part;
    unsigned number;
    struct memory_shard_state *state;
    uint32_t *index;       /* buckets: chain of records */
    uint32_t *small_index; /* small_buckets: chain of small items */
    struct memory_small *smalls;
    uint8_t *log;
};

struct memory_shard memory_shard_at(const struct memory_context *context, unsigned part, unsigned number);

/* The buckets of all shards of all parts, one behind the other: a cursor counts them. */
static inline uint64_t memory_buckets(const struct memory_context *context) {
    const struct memory_geometry *geometry = &context->geometry;
    return (uint64_t)geometry->parts * geometry->shards * geometry->buckets;
}

/* The shard of a cursor's bucket, the bucket in it, and behind that the end of at most `most` of that
 * shard's. False: there is none any more. */
bool memory_shard_at_bucket(const struct memory_context *context, uint64_t cursor, uint32_t most,
                            struct memory_shard *shard, uint32_t *bucket, uint32_t *end) MUST_CHECK;

/* A key is a digest: words of it are as good as hashes. The shard, the bucket and the tables of other folders
 * use different ones. */
static inline uint64_t memory_shard_word(const uint8_t *key, unsigned word) {
    uint64_t value;
    memcpy(&value, key + sizeof(value) * word, sizeof(value));
    return value;
}

static inline uint64_t memory_shard_hash(const uint8_t *key) {
    return memory_shard_word(key, 1);
}

static inline unsigned memory_shard_number(const struct memory_context *context, const uint8_t *key) {
    return (unsigned)memory_shard_word(key, 2) & (context->geometry.shards - 1);
}

static inline struct memory_shard memory_shard_of(const struct memory_context *context, unsigned part,
                                                  const uint8_t *key) {
    return memory_shard_at(context, part, memory_shard_number(context, key));
}

/* False: the lock is broken. When its last holder was killed while it changed something, the shard was wiped.
 */
bool memory_shard_lock(const struct memory_shard *shard) MUST_CHECK;

/* Before the first change under the lock, and again as often as one likes. */
static inline void memory_shard_changing(const struct memory_shard *shard) {
    atomic_store_explicit(&shard->state->changing, 1, memory_order_relaxed);
    /* A process that finds the lock's holder dead sees its writes in order; the compiler must keep it, too.
     */
    atomic_signal_fence(memory_order_seq_cst);
}

/* Gives the lock back; what the part says of the shard is then true again. */
void memory_shard_unlock(const struct memory_shard *shard);

/* Empties it, tombstones excepted. */
void memory_shard_clear(const struct memory_shard *shard);

/* Under the lock, when the content cannot be trusted: empties it and refuses what flights that began before
 * want to put, since the removals they did not see are forgotten, too. */
void memory_shard_wipe(const struct memory_shard *shard);

#endif
