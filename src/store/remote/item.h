/* How items look on a cache server, memcached or Redis: their names, and what stands before an entry's bytes.
 *
 *   name    CACHE_KEY_PREFIX, one letter for the kind, 64 hex digits of the key
 *   entry   epoch u64 | expires u64, wall-clock microseconds | 'E' or, for a tombstone, 'T' | the entry
 *
 * Numbers are little-endian. The servers keep an entry ITEM_GRACE_MS longer than it may be used, so that one
 * whose time is over can be told from one that never was. */
#ifndef INFERONCE_STORE_REMOTE_ITEM_H
#define INFERONCE_STORE_REMOTE_ITEM_H

#include "inferonce/store/store.h"

/* memcached's limit (protocol.txt): a longer name would have the server execute what stands behind it. */
#define ITEM_NAME_MAX   250
#define ITEM_PREFIX_MAX (ITEM_NAME_MAX - 1 - 2 * STORE_KEY_LENGTH)

#define ITEM_HEADER_LENGTH 17
#define ITEM_GRACE_MS      UINT64_C(60000)

/* How a store names its items: all names have one length. */
struct item_names {
    char prefix[ITEM_PREFIX_MAX];
    size_t prefix_length;
    size_t length;
};

/* `prefix` has at most ITEM_PREFIX_MAX bytes, none of which is a space or a control character: the settings
 * see to it. */
void item_names_init(struct item_names *names, const char *prefix);

/* Writes names->length bytes, not terminated. */
void item_name(const struct item_names *names, enum store_kind kind, const uint8_t *key, char *name);

struct item {
    bool exists; /* an entry whose time is not over */
    bool expired;
    bool tombstone; /* and its time is not over */
    uint64_t epoch; /* of an entry or a tombstone whose time is not over; 0 otherwise */
    struct bytes payload;
};

/* False: it is none of ours. `payload` borrows from `value`. */
bool item_read(struct bytes value, uint64_t now_us, struct item *item) MUST_CHECK;

/* Writes the header; `expires_us` UINT64_MAX: never. */
void item_header(uint64_t epoch, uint64_t expires_us, bool tombstone, char header[ITEM_HEADER_LENGTH]);

/* When a tombstone ends by what stands in it: the server ends it sooner, whatever clocks say. */
uint64_t item_tombstone_expiry(uint64_t now_us, uint64_t tombstone_ms);

/* The epoch of a new tombstone, given the epoch that was asked for and that of what is there: at least the
 * first and above the second, so that an inference that has seen only an earlier removal is refused whatever
 * the clocks say. */
uint64_t item_tombstone_epoch(uint64_t epoch, const struct item *there);

/* Judges a value that a server returned to a `get`; `get->value` borrows from `value`. */
void item_tell(struct store_get *get, struct bytes value, uint64_t now_us);

#endif
