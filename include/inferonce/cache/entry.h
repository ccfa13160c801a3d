/* The stored form of a result: a fixed little-endian header, then the namespace, the model's name and
 * version, and the body (the result's JSON).
 *
 *   offset  0  magic "IOE1"
 *           4  header version, u16
 *           6  length of the namespace, u8
 *           7  length of the model's name, u8
 *           8  length of the model's version, u8
 *           9  zero, 3 bytes
 *          12  checksum, u32: CRC-32C over everything before it and everything behind it
 *          16  key, 32 bytes
 *          48  created_us, u64, as all below
 *          56  fresh_until_us
 *          64  stale_while_revalidate_until_us
 *          72  stale_if_error_until_us
 *          80  generation
 *          88  inference_us
 *          96  length of the body
 *         104  namespace, model's name, model's version, body
 *
 * Whatever comes back from a store is checked before it is served: a store can return another key's value,
 * half of one, or last year's. */
#ifndef INFERONCE_CACHE_ENTRY_H
#define INFERONCE_CACHE_ENTRY_H

#include "inferonce/cache/key.h"

#define ENTRY_HEADER_LENGTH 104
#define ENTRY_NAME_MAX      255

/* How far into the future an entry's creation may lie before it is distrusted: clocks of hosts differ, and
 * clocks jump. */
#define ENTRY_CLOCK_SKEW_US UINT64_C(60000000)

struct entry {
    struct key key;
    uint64_t created_us; /* wall clock, as all times here */
    uint64_t fresh_until_us;
    uint64_t stale_while_revalidate_until_us;
    uint64_t stale_if_error_until_us;
    uint64_t generation;
    uint64_t inference_us; /* of a call for several texts this one's share: what a hit saves */
    /* Borrowed. What is longer than ENTRY_NAME_MAX is cut when it is written. */
    struct bytes cache_namespace, model_name, model_version;
    struct bytes body; /* borrowed */
};

/* The bytes entry_append adds. */
size_t entry_length(const struct entry *entry);

/* A buffer without room says so itself (buffer.failed). */
void entry_append(const struct entry *entry, struct buffer *buffer);

/* The same for a body that comes bit by bit. entry_begin takes room for all of entry->body, which may be
 * empty still, appends what stands before it (the names are final) and returns how many bytes that were; then
 * the body is appended; entry_end, of the entry that began at `start`, fills in the rest. */
size_t entry_begin(const struct entry *entry, struct buffer *buffer);
void entry_end(const struct entry *entry, size_t start, size_t body_at, struct buffer *buffer);

enum entry_check {
    ENTRY_GOOD,
    ENTRY_CORRUPT, /* magic, version, lengths or checksum */
    ENTRY_OTHER_KEY,
    ENTRY_FROM_FUTURE /* created more than ENTRY_CLOCK_SKEW_US after now */
};

/* Reads and checks. `entry` borrows from `value`; untouched unless ENTRY_GOOD. Generation and lifetime are
 * the caller's to judge. */
enum entry_check entry_read(struct bytes value, const struct key *key, uint64_t now_us,
                            struct entry *entry) MUST_CHECK;

/* When its time is over, whatever it may be served for. */
static inline uint64_t entry_until_us(const struct entry *entry) {
    uint64_t until = entry->fresh_until_us;
    if (entry->stale_while_revalidate_until_us > until)
        until = entry->stale_while_revalidate_until_us;
    return entry->stale_if_error_until_us > until ? entry->stale_if_error_until_us : until;
}

/* Its age in whole microseconds; 0 for one from (a tolerated) future. */
static inline uint64_t entry_age_us(const struct entry *entry, uint64_t now_us) {
    return now_us > entry->created_us ? now_us - entry->created_us : 0;
}

#endif
