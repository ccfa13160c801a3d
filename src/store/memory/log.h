/* The log of entries of one shard, and its index. Private to the memory store; all functions want the shard's
 * lock.
 *
 * The log is a ring of records, none of which lies across its end: a filler takes up what is left there.
 * Records are written at the tail with growing sequences; room is made at the head. A record that was
 * overwritten or removed is dead until the head passes it, and the head itself is never dead, so that its
 * sequence is that of the shard's oldest entry. */
#ifndef INFERONCE_STORE_MEMORY_LOG_H
#define INFERONCE_STORE_MEMORY_LOG_H

#include "store/memory/shard.h"

/* The bytes that one put may move to the tail instead of evicting them: a bound on how long it keeps others
 * from the locks. */
#define MEMORY_MOVE_BYTES INT64_C(524288)

/* The log bytes that an entry with such a value takes up. */
uint64_t memory_log_size(size_t value_length);

/* Whether a log can hold it at all. */
bool memory_log_fits(const struct memory_geometry *geometry, size_t value_length);

/* An entry, borrowed while the lock is held. */
struct memory_found {
    struct bytes value;
    uint64_t epoch;
};

/* The chain of a key in the index. */
static inline uint32_t *memory_log_chain(const struct memory_shard *shard, const uint8_t *key) {
    return &shard->index[memory_shard_hash(key) & (shard->context->geometry.buckets - 1)];
}

/* STORE_OK, STORE_MISSING, or STORE_EXPIRED: its time was over and it was removed (STAT_expired). A hit, when
 * `mark`, gives it laps. */
enum store_status memory_log_find(const struct memory_shard *shard, const uint8_t *key, bool mark,
                                  uint64_t now_us, struct memory_found *found);

/* False: there is none. */
bool memory_log_remove(const struct memory_shard *shard, const uint8_t *key, uint64_t now_us);

/* Writes an entry over what is there, making room as far as bytes are wanting. `writer` is held. STORE_OK;
 * STORE_TOO_LARGE: larger than the log, and what was there is gone. */
enum store_status memory_log_write(const struct memory_shard *shard, const struct store_item *item,
                                   uint64_t expires_us, uint64_t now_us);

/* Deals with the oldest entry: removes it if its time is over, moves it to the tail if it has laps and
 * `move_bytes` are left, else evicts it. `writer` is held. */
void memory_log_pass_head(const struct memory_shard *shard, uint64_t now_us, int64_t *move_bytes);

/* Removes entries whose time is over, looking at `*scans` records at most. */
void memory_log_expire(const struct memory_shard *shard, uint64_t now_us, unsigned *scans);

/* Removes entries of `group` with an epoch below `epoch` from the buckets `*bucket` to `end` of the index, or
 * as many of them as hold about `records` entries: `*bucket` says where to go on. Returns how many. */
uint64_t memory_log_sweep(const struct memory_shard *shard, uint32_t *bucket, uint32_t end, unsigned records,
                          uint64_t group, uint64_t epoch);

/* An entry where it lies, borrowed while the lock is held. */
struct memory_record {
    const uint8_t *key;
    struct bytes value;
    uint64_t epoch;
    uint64_t group;
    uint64_t expires_us;
    uint64_t sequence;
    uint8_t worth;
    uint64_t offset; /* names it, until the log changes */
};

/* The next entry of the log. `*offset` and `*left` start as the state's `head` and `used`. False: there is
 * none any more. */
bool memory_log_next(const struct memory_shard *shard, uint64_t *offset, uint64_t *left,
                     struct memory_record *record) MUST_CHECK;

/* The entry at an offset that memory_log_next has told. False: there is none. */
bool memory_log_at(const struct memory_shard *shard, uint64_t offset,
                   struct memory_record *record) MUST_CHECK;

/* A place in a bucket's chain. */
struct memory_chain {
    uint32_t link;
    uint32_t left; /* entries that it can have at most: one that runs in a circle ends */
};

struct memory_chain memory_log_bucket(const struct memory_shard *shard, uint32_t bucket);

/* The next entry of a chain. False: there is none any more. */
bool memory_log_in_chain(const struct memory_shard *shard, struct memory_chain *chain,
                         struct memory_record *record) MUST_CHECK;

/* The record at `offset`, which is filled in, becomes a live entry: it is checked, counted and in the index.
 */
void memory_log_revive(const struct memory_shard *shard, uint64_t offset);

/* An entry expires then: memory_log_expire need not look before. */
void memory_log_expires_at(const struct memory_shard *shard, uint64_t expires_us);

/* Sets right what can be seen to be wrong without looking at every record. */
void memory_log_settle(const struct memory_shard *shard);

/* The sequence of the oldest entry; 0: none. */
uint64_t memory_log_oldest(const struct memory_shard *shard);

/* The extent of a log, as the state of a shard in a file has it. */
struct memory_extent {
    uint64_t head;
    uint64_t used;
    uint32_t live;
};

/* Fills a cleared shard again from the log that it had. `last_sequence` starts at 0 and becomes that of the
 * youngest record. False: something is wrong with the log, or it has more than `live_max` entries; the shard
 * is then to be cleared again. */
bool memory_log_rebuild(const struct memory_shard *shard, const struct memory_extent *found,
                        uint64_t live_max, uint64_t *last_sequence) MUST_CHECK;

#endif
