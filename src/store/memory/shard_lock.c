/* Locks a shard, which is emptied when its last holder was killed while it changed something. */
#include "store/memory/lock.h"
#include "store/memory/log.h"
#include "store/memory/shard.h"

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
