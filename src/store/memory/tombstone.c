/* A shard's memory of removals. */
#include "store/memory/tombstone.h"

#include <string.h>

static uint64_t greater(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static bool holds(const struct memory_tombstone *tombstone, const uint8_t *key, uint64_t now_us) {
    return now_us < tombstone->expires_us && memcmp(tombstone->key, key, STORE_KEY_LENGTH) == 0;
}

uint64_t memory_tombstones_epoch(const struct memory_tombstones *tombstones, const uint8_t *key,
                                 uint64_t now_us) {
    if (now_us >= tombstones->last_expires_us)
        return 0;
    uint64_t epoch = now_us < tombstones->floor_expires_us ? tombstones->floor_epoch : 0;
    for (unsigned i = 0; i < MEMORY_TOMBSTONES; i++)
        if (holds(&tombstones->places[i], key, now_us))
            epoch = greater(epoch, tombstones->places[i].epoch);
    return epoch;
}

void memory_tombstones_add(struct memory_tombstones *tombstones, const uint8_t *key, uint64_t epoch,
                           uint64_t expires_us, uint64_t now_us) {
    struct memory_tombstone *place = &tombstones->places[0];
    for (unsigned i = 0; i < MEMORY_TOMBSTONES; i++) {
        struct memory_tombstone *other = &tombstones->places[i];
        if (holds(other, key, now_us)) {
            other->epoch = greater(other->epoch, epoch);
            other->expires_us = greater(other->expires_us, expires_us);
            tombstones->last_expires_us = greater(tombstones->last_expires_us, expires_us);
            return;
        }
        if (other->expires_us < place->expires_us)
            place = other;
    }
    if (now_us < place->expires_us)
        memory_tombstones_raise_floor(tombstones, place->epoch, place->expires_us);
    memcpy(place->key, key, STORE_KEY_LENGTH);
    place->epoch = epoch;
    place->expires_us = expires_us;
    tombstones->last_expires_us = greater(tombstones->last_expires_us, expires_us);
}

void memory_tombstones_raise_floor(struct memory_tombstones *tombstones, uint64_t epoch,
                                   uint64_t expires_us) {
    tombstones->floor_epoch = greater(tombstones->floor_epoch, epoch);
    tombstones->floor_expires_us = greater(tombstones->floor_expires_us, expires_us);
    tombstones->last_expires_us = greater(tombstones->last_expires_us, expires_us);
}

uint64_t memory_tombstones_greatest(const struct memory_tombstones *tombstones, uint64_t limit) {
    uint64_t greatest = tombstones->floor_epoch <= limit ? tombstones->floor_epoch : 0;
    for (unsigned i = 0; i < MEMORY_TOMBSTONES; i++)
        if (tombstones->places[i].epoch <= limit)
            greatest = greater(greatest, tombstones->places[i].epoch);
    return greatest;
}
