/* Locks a shard, and empties one whose holder was killed. */
#include "inferonce/store/memory_shard.h"

#include <string.h>

#include "inferonce/store/memory_lock.h"
#include "inferonce/store/memory_log.h"

/* A flight lives at most as long as its upstream may take, which is far less. */
#define WIPE_FLOOR_US (UINT64_C(3600) * 1000000)

/* An epoch further in the future than clocks may be set back is not one that somebody wrote. */
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

/* A holder that only read leaves a whole shard behind. */
bool memory_shard_lock(const struct memory_shard *shard) {
    enum memory_lock_outcome outcome = memory_lock_take(&shard->state->lock);
    if (outcome == MEMORY_LOCK_BROKEN)
        return false;
    if (outcome == MEMORY_LOCKED_AFTER_DEATH) {
        if (atomic_load_explicit(&shard->state->changing, memory_order_relaxed))
            memory_shard_wipe(shard);
        memory_lock_recovered(&shard->state->lock);
    }
    return true;
}

void memory_shard_unlock(const struct memory_shard *shard) {
    struct memory_shard_state *state = shard->state;
    if (atomic_load_explicit(&state->changing, memory_order_relaxed)) {
        atomic_store_explicit(&shard->part->live[shard->number], state->live, memory_order_relaxed);
        atomic_store_explicit(&shard->part->live_bytes[shard->number], state->live_bytes,
                              memory_order_relaxed);
        atomic_store_explicit(&shard->part->oldest[shard->number], memory_log_oldest(shard),
                              memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst);
        atomic_store_explicit(&state->changing, 0, memory_order_relaxed);
    }
    memory_lock_give(&state->lock);
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
