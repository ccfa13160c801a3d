/* Reads a shard's log entry by entry: to show it, or as it was found in a file or a region of other sizes. */
#include "store/memory/log.h"
#include "store/memory/record.h"

/* ---- one entry after the other ---- */

bool memory_log_at(const struct memory_shard *shard, uint64_t offset, struct memory_record *found) {
    struct record *record = record_sound(shard, offset, memory_log_bytes(shard));
    if (!record || record->state != RECORD_LIVE)
        return false;
    *found = (struct memory_record){.key = record->key,
                                    .value = {record_value(record), record->value_length},
                                    .epoch = record->epoch,
                                    .group = record->group,
                                    .expires_us = record->expires_us,
                                    .sequence = record->sequence,
                                    .worth = record->worth,
                                    .offset = offset};
    return true;
}

bool memory_log_next(const struct memory_shard *shard, uint64_t *offset, uint64_t *left,
                     struct memory_record *found) {
    while (*left > 0) {
        uint64_t here = *offset;
        const struct record *record = record_sound(shard, here, *left);
        if (!record)
            return false;
        uint64_t size = record_size(record);
        *left -= size;
        *offset = record_end(shard, here, size);
        if (memory_log_at(shard, here, found))
            return true;
    }
    return false;
}

struct memory_chain memory_log_bucket(const struct memory_shard *shard, uint32_t bucket) {
    return (struct memory_chain){shard->index[bucket], shard->state->live};
}

bool memory_log_in_chain(const struct memory_shard *shard, struct memory_chain *chain,
                         struct memory_record *found) {
    uint64_t offset = (uint64_t)(chain->link - 1) * RECORD_UNIT;
    if (chain->link == 0)
        return false;
    if (chain->left == 0 || !memory_log_at(shard, offset, found)) {
        memory_shard_wipe(shard);
        return false;
    }
    chain->link = record_at(shard, offset)->next;
    chain->left--;
    return true;
}

/* ---- rebuilding ---- */

/* Takes a live record into the index if it can be what this store wrote last there. */
static bool take_in(const struct memory_shard *shard, uint64_t offset, uint64_t live_max,
                    uint64_t *last_sequence) {
    struct record *record = record_at(shard, offset);
    bool ours = record->check == record_check(record) && record->sequence > *last_sequence &&
                memory_shard_number(shard->context, record->key) == shard->number;
    if (!ours || shard->state->live >= live_max)
        return false;
    *last_sequence = record->sequence;
    memory_log_expires_at(shard, record->expires_us);
    memory_log_revive(shard, offset);
    return true;
}

bool memory_log_rebuild(const struct memory_shard *shard, const struct memory_extent *found,
                        uint64_t live_max, uint64_t *last_sequence) {
    struct memory_shard_state *state = shard->state;
    uint64_t offset = found->head;
    uint64_t left = found->used;
    if (left > memory_log_bytes(shard))
        return false;
    while (left > 0) {
        const struct record *record = record_sound(shard, offset, left);
        if (!record || (record->state == RECORD_LIVE && !take_in(shard, offset, live_max, last_sequence)))
            return false;
        uint64_t size = record_size(record);
        left -= size;
        offset = record_end(shard, offset, size);
    }
    state->head = found->head;
    state->used = found->used;
    memory_log_settle(shard);
    return state->live == found->live;
}
