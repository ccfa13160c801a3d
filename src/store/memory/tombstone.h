/* A shard's memory of removals: for each key the epoch below which nothing may be written. Private to
 * the memory store.
 *
 * MEMORY_TOMBSTONES removals have a place each; then the one that is over first gives its up. If that is
 * before its time, it raises the floor, which holds for every key of the shard: answers that could have been
 * stored are lost, none that was removed comes back. */
#ifndef INFERONCE_STORE_MEMORY_TOMBSTONE_H
#define INFERONCE_STORE_MEMORY_TOMBSTONE_H

#include <stdint.h>

#include "inferonce/store/store.h"

#define MEMORY_TOMBSTONES 16

struct memory_tombstone {
    uint8_t key[STORE_KEY_LENGTH];
    uint64_t epoch;
    uint64_t expires_us; /* monotonic, as all times here */
};

/* In the mapping, behind the shard's lock; all zeros: nothing removed. */
struct memory_tombstones {
    struct memory_tombstone places[MEMORY_TOMBSTONES];
    uint64_t floor_epoch;
    uint64_t floor_expires_us;
    uint64_t last_expires_us; /* from then on there is nothing in here */
};

/* The epoch below which `key` may not be written now; 0: any may. */
uint64_t memory_tombstones_epoch(const struct memory_tombstones *tombstones, const uint8_t *key,
                                 uint64_t now_us);

void memory_tombstones_add(struct memory_tombstones *tombstones, const uint8_t *key, uint64_t epoch,
                           uint64_t expires_us, uint64_t now_us);

void memory_tombstones_raise_floor(struct memory_tombstones *tombstones, uint64_t epoch, uint64_t expires_us);

/* The greatest epoch in it that is not above `limit`, whether it is over or not. */
uint64_t memory_tombstones_greatest(const struct memory_tombstones *tombstones, uint64_t limit);

#endif
