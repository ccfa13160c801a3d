/* Counts the entries of a part, and chooses which one goes. */
#include "store/memory/part.h"

#include "store/memory/log.h"

/* Records that one put scans for some whose time is over. */
#define EXPIRE_SCANS_MAX 4096

static uint64_t load(const _Atomic uint64_t *word) {
    return atomic_load_explicit(word, memory_order_relaxed);
}

static uint64_t sum_of_live(const struct memory_context *context, unsigned part) {
    const struct memory_part_state *state = memory_part_at(context, part);
    uint64_t sum = 0;
    for (unsigned i = 0; i < context->geometry.shards; i++)
        sum += atomic_load_explicit(&state->live[i], memory_order_relaxed);
    return sum;
}

uint64_t memory_part_max(const struct memory_context *context, unsigned part) {
    const struct memory_geometry *geometry = &context->geometry;
    return geometry->max_size / geometry->parts + (part < geometry->max_size % geometry->parts);
}

uint64_t memory_part_size(const struct memory_context *context, unsigned part) {
    uint64_t sum = sum_of_live(context, part);
    uint64_t max = memory_part_max(context, part);
    return sum < max ? sum : max;
}

uint64_t memory_part_bytes(const struct memory_context *context, unsigned part) {
    const struct memory_part_state *state = memory_part_at(context, part);
    uint64_t sum = 0;
    for (unsigned i = 0; i < context->geometry.shards; i++)
        sum += load(&state->live_bytes[i]);
    return sum;
}

bool memory_part_has_room(const struct memory_context *context, unsigned part) {
    return sum_of_live(context, part) < memory_part_max(context, part);
}

static void expire(const struct memory_context *context, unsigned part, uint64_t now_us) {
    const struct memory_part_state *state = memory_part_at(context, part);
    unsigned scans = EXPIRE_SCANS_MAX;
    for (unsigned i = 0; i < context->geometry.shards && scans > 0; i++) {
        uint64_t soonest_us = load(&state->soonest_us[i]);
        if (soonest_us == 0 || now_us < soonest_us)
            continue;
        struct memory_shard shard = memory_shard_at(context, part, i);
        if (!memory_shard_lock(&shard))
            continue;
        memory_log_expire(&shard, now_us, &scans);
        memory_shard_unlock(&shard);
        if (memory_part_has_room(context, part))
            return;
    }
}

/* The shard whose oldest entry is the part's oldest; `shards` when none has any. */
static unsigned oldest_shard(const struct memory_context *context, unsigned part) {
    const struct memory_part_state *state = memory_part_at(context, part);
    unsigned oldest = context->geometry.shards;
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < context->geometry.shards; i++) {
        uint64_t sequence = load(&state->oldest[i]);
        if (sequence != 0 && sequence < least) {
            least = sequence;
            oldest = i;
        }
    }
    return oldest;
}

/* A worker that was killed between two of the words about its shard leaves them at odds. Whoever takes the
 * lock sets them right. */
static bool settle(const struct memory_context *context, unsigned part) {
    for (unsigned i = 0; i < context->geometry.shards; i++) {
        struct memory_shard shard = memory_shard_at(context, part, i);
        if (!memory_shard_lock(&shard))
            return false;
        memory_log_settle(&shard);
        memory_shard_unlock(&shard);
    }
    return true;
}

bool memory_part_make_room(const struct memory_context *context, unsigned part, uint64_t now_us) {
    expire(context, part, now_us);
    int64_t move_bytes = MEMORY_MOVE_BYTES;
    bool settled = false;
    while (!memory_part_has_room(context, part)) {
        unsigned number = oldest_shard(context, part);
        if (number == context->geometry.shards) {
            if (settled || !settle(context, part))
                return false;
            settled = true;
            continue;
        }
        struct memory_shard shard = memory_shard_at(context, part, number);
        if (!memory_shard_lock(&shard))
            return false;
        memory_log_pass_head(&shard, now_us, &move_bytes);
        memory_shard_unlock(&shard);
    }
    return true;
}
