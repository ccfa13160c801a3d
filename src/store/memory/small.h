/* Leases and outcomes: items of at most STORE_SMALL_MAX bytes in a shard's table, found by kind and key.
 * Private to the memory store.
 *
 * A place whose item is over is freed by the next walk along its chain, or when there is no other. All
 * functions want the shard's lock. A table in which a place outside of it or a circle is found is given up
 * with its shard. */
#ifndef INFERONCE_STORE_MEMORY_SMALL_H
#define INFERONCE_STORE_MEMORY_SMALL_H

#include <stdbool.h>
#include <stdint.h>

#include "inferonce/store/store.h"

struct memory_shard;

struct memory_small {
    uint8_t key[STORE_KEY_LENGTH];
    uint64_t expires_us; /* monotonic */
    uint32_t next;       /* in its chain or among the free: number of the place + 1; 0: the last */
    uint8_t kind;
    uint8_t length;
    uint8_t zero[2];
    char value[STORE_SMALL_MAX];
};

/* In the mapping; all zeros: empty. */
struct memory_smalls {
    uint32_t free;       /* first of the places that were used and are free again, + 1 */
    uint32_t touched;    /* places that were ever used; those behind have never been written to */
    uint64_t soonest_us; /* no item is over before it */
};

/* NULL: there is none. Borrowed while the lock is held. */
const struct memory_small *memory_small_find(const struct memory_shard *shard, enum store_kind kind,
                                             const uint8_t *key, uint64_t now_us);

/* With `only_if_missing` STORE_EXISTS when there is one. STORE_OK; STORE_ERROR when all places are taken. */
enum store_status memory_small_write(const struct memory_shard *shard, const struct store_item *item,
                                     bool only_if_missing, uint64_t expires_us, uint64_t now_us);

/* STORE_OK or STORE_MISSING. */
enum store_status memory_small_remove(const struct memory_shard *shard, enum store_kind kind,
                                      const uint8_t *key, uint64_t now_us);

#endif
