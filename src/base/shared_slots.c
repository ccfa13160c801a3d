/* The scoreboard: which worker has which slot of the shared mapping. */
#include "base/shared_layout.h"

void shared_slot_clear(struct shared *shared, unsigned slot) {
    struct shared_slot *line = &shared->slots[slot];
    atomic_store(&line->pid, 0);
    atomic_store(&line->connections, 0);
    atomic_store(&line->heartbeat_us, 0);
    atomic_store(&line->ready, 0);
    atomic_store(&line->leaving, 0);
    atomic_store(&line->relieved, 0);
    atomic_store(&line->draining, 0);
    atomic_store(&line->unfinished, 0);
    atomic_store(&line->clock_skew_us, 0);
    stats_clear_gauges(&shared->stats[slot]);
    /* 0 is the incarnation of a slot that never had a worker. */
    if (atomic_fetch_add(&line->incarnation, 1) == UINT64_MAX)
        atomic_store(&line->incarnation, 1);
}

void shared_slot_assign(struct shared *shared, unsigned slot, pid_t pid) {
    INVARIANT(slot < SLOTS_MAX);
    /* A slot that is empty was cleared when it became so; its worker may be at work already. */
    if (pid == 0 || atomic_load(&shared->slots[slot].pid) != 0)
        shared_slot_clear(shared, slot);
    atomic_store(&shared->slots[slot].pid, (int32_t)pid);
}

bool shared_owner_is_dead(const struct shared *shared, uint64_t instance, uint32_t slot,
                          uint64_t incarnation) {
    return instance == shared->instance && slot < SLOTS_MAX &&
           atomic_load(&shared->slots[slot].incarnation) > incarnation;
}
