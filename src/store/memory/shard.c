/* Finds a shard in the mapping, and empties it. */
#include "store/memory/shard.h"

#include <string.h>

/* A flight lives at most as long as its upstream may take, which is far less. */
#define WIPE_FLOOR_US (UINT64_C(3600) * 1000000)

/* A greater epoch than this after now was not written by a worker: clocks may be set back, but not so far. */
#define EPOCH_SKEW_US (UINT64_C(86400) * 1000000)

struct memory_shard memory_shard_at(const struct memory_context *context, unsigned part, unsigned number) {
    const struct memory_geometry *geometry = &context->geometry;
    struct memory_part_state *part_state = memory_part_at(context, part);
    uint8_t *base = (uint8_t *)part_state + geometry->shards_at + number * geometry->shard_bytes;
    return (struct memory_shard){
        .context = context,
        .part = part_state,
        .number = number,
        .state = (struct memory_shard_state *)(void *)base,
        .index = (uint32_t *)(void *)(base + geometry->index_at),
        .small_index = (uint32_t *)(void *)(base + geometry->small_index_at),
        .smalls = (struct memory_small *)(void *)(base + geometry->smalls_at),
        .log = base + geometry->log_at,
    };
}

void memory_shard_clear(const struct memory_shard *shard) {
    struct memory_shard_state *state = shard->state;
    const struct memory_geometry *geometry = &shard->context->geometry;
    memory_shard_changing(shard);
    state->live = 0;
    state->live_bytes = 0;
    state->head = 0;
    state->used = 0;
    state->smalls = (struct memory_smalls){0};
    memset(shard->index, 0, geometry->buckets * sizeof(*shard->index));
    memset(shard->small_index, 0, geometry->small_buckets * sizeof(*shard->small_index));
    atomic_store_explicit(&shard->part->soonest_us[shard->number], 0, memory_order_relaxed);
}

void memory_shard_wipe(const struct memory_shard *shard) {
    struct memory_tombstones *tombstones = &shard->state->tombstones;
    uint64_t wall_us = clock_wall_us(shard->context->clock);
    uint64_t epoch = memory_tombstones_greatest(tombstones, wall_us + EPOCH_SKEW_US);
    memory_shard_clear(shard);
    memset(tombstones, 0, sizeof(*tombstones));
    memory_tombstones_raise_floor(tombstones, epoch > wall_us ? epoch : wall_us,
                                  clock_monotonic_us(shard->context->clock) + WIPE_FLOOR_US);
}

bool memory_shard_at_bucket(const struct memory_context *context, uint64_t cursor, uint32_t most,
                            struct memory_shard *shard, uint32_t *bucket, uint32_t *end) {
    const struct memory_geometry *geometry = &context->geometry;
    if (cursor >= memory_buckets(context))
        return false;
    uint64_t number = cursor / geometry->buckets;
    *shard = memory_shard_at(context, (unsigned)(number / geometry->shards),
                             (unsigned)(number % geometry->shards));
    *bucket = (uint32_t)(cursor % geometry->buckets);
    *end = geometry->buckets - *bucket < most ? geometry->buckets : *bucket + most;
    return true;
}
