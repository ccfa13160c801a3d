/* A record of a shard's log, as log.c and log_found.c see it. Private to the memory store. */
#ifndef INFERONCE_STORE_MEMORY_RECORD_H
#define INFERONCE_STORE_MEMORY_RECORD_H

#include "store/memory/mix.h"
#include "store/memory/shard.h"

#define RECORD_UNIT 8

enum record_state { RECORD_LIVE = 1, RECORD_DEAD, RECORD_FILLER };

/* A filler has only the first two members, so it fits wherever a record can end. */
struct record {
    uint32_t units; /* its size, this header included */
    uint8_t state : 2;
    uint8_t worth : 6; /* worth.h */
    uint8_t laps;      /* that it is still spared */
    uint16_t check;    /* of what stays as it is while it lives in its place */
    uint32_t value_length;
    uint32_t next; /* in its chain: offset in units + 1; 0: the last */
    uint8_t key[STORE_KEY_LENGTH];
    uint64_t epoch;
    uint64_t group;
    uint64_t expires_us; /* monotonic */
    uint64_t sequence;
};

_Static_assert(sizeof(struct record) % RECORD_UNIT == 0, "values begin and end on a unit");

static inline uint64_t record_size(const struct record *record) {
    return (uint64_t)record->units * RECORD_UNIT;
}

static inline struct record *record_at(const struct memory_shard *shard, uint64_t offset) {
    return (struct record *)(void *)(shard->log + offset);
}

static inline char *record_value(struct record *record) {
    return (char *)(record + 1);
}

static inline uint64_t memory_log_bytes(const struct memory_shard *shard) {
    return shard->context->geometry.log_bytes;
}

/* The offset behind a record: the log is a ring. */
static inline uint64_t record_end(const struct memory_shard *shard, uint64_t offset, uint64_t size) {
    return offset + size == memory_log_bytes(shard) ? 0 : offset + size;
}

static inline uint16_t record_check(const struct record *record) {
    uint64_t mixed = memory_mix(MEMORY_MIX_START, (uint64_t)record->units << 32 | record->value_length);
    mixed = memory_mix(mixed, record->worth);
    mixed = memory_mix(mixed, record->epoch);
    mixed = memory_mix(mixed, record->group);
    mixed = memory_mix(mixed, record->expires_us);
    mixed = memory_mix(mixed, record->sequence);
    for (unsigned word = 0; word < STORE_KEY_LENGTH / sizeof(uint64_t); word++)
        mixed = memory_mix(mixed, memory_shard_word(record->key, word));
    return (uint16_t)(mixed >> 48);
}

/* The record at `offset`, of which the log holds `left` bytes from there; NULL: there cannot be one. */
static inline struct record *record_sound(const struct memory_shard *shard, uint64_t offset, uint64_t left) {
    if (offset % RECORD_UNIT != 0 || offset >= memory_log_bytes(shard) || left < RECORD_UNIT)
        return NULL;
    struct record *record = record_at(shard, offset);
    uint64_t size = record_size(record);
    if (size == 0 || size > left || size > memory_log_bytes(shard) - offset)
        return NULL;
    if (record->state == RECORD_FILLER)
        return record;
    bool whole = size >= sizeof(struct record) && record->value_length <= size - sizeof(struct record);
    return whole && (record->state == RECORD_LIVE || record->state == RECORD_DEAD) ? record : NULL;
}

#endif
