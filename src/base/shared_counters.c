/* Counters of the shared mapping: sums over its slots, and what the master counts. */
#include "base/shared_layout.h"

/* ---- of the master ---- */

void shared_count_reload(struct shared *shared, bool done) {
    struct shared_header *header = &shared->mapping->header;
    atomic_fetch_add(done ? &header->reloads : &header->reloads_refused, 1);
}

void shared_count_restart(struct shared *shared) {
    atomic_fetch_add(&shared->mapping->header.restarts, 1);
}

uint64_t shared_restarts(const struct shared *shared) {
    return atomic_load(&shared->mapping->header.restarts);
}

void shared_reloads(const struct shared *shared, uint64_t *done, uint64_t *refused) {
    *done = atomic_load(&shared->mapping->header.reloads);
    *refused = atomic_load(&shared->mapping->header.reloads_refused);
}

/* ---- of workers ---- */

uint64_t shared_stat(const struct shared *shared, enum statistic stat) {
    return stats_sum(shared->stats, SLOTS_MAX, stat);
}

void shared_histogram(const struct shared *shared, enum histogram_name name, struct histogram *sum) {
    *sum = (struct histogram){.sum_us = 0};
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++)
        histogram_merge(sum, &shared->stats[slot].histograms[name]);
}

uint64_t shared_responses(const struct shared *shared, enum counted_path path, unsigned status_class) {
    uint64_t sum = 0;
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++)
        sum += atomic_load_explicit(&shared->stats[slot].responses[path][status_class], memory_order_relaxed);
    return sum;
}

/* ---- from one mapping to another ---- */

void shared_take_counters(struct shared *shared, const struct shared *from) {
    struct stats *into = &shared->stats[shared->claimed[0]];
    struct shared_header *header = &shared->mapping->header;
    const struct shared_header *old = &from->mapping->header;
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++)
        if (shared_slot_is_ours(from, slot) || (shared->first && !shared_slot_lives(from, slot)))
            stats_merge(into, &from->stats[slot]);
    if (!shared->first)
        return;
    atomic_fetch_add(&header->reloads, atomic_load(&old->reloads));
    atomic_fetch_add(&header->reloads_refused, atomic_load(&old->reloads_refused));
    atomic_fetch_add(&header->restarts, atomic_load(&old->restarts));
}
