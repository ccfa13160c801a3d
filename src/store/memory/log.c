/* The log of one shard's entries, and its index. */
#include "store/memory/log.h"

#include <string.h>

#include "store/memory/record.h"

/* When a shard has more records than one put may look at, the rest is left alone for so long. */
#define EXPIRE_AGAIN_US UINT64_C(1000000)

uint64_t memory_log_size(size_t value_length) {
    return (sizeof(struct record) + value_length + RECORD_UNIT - 1) / RECORD_UNIT * RECORD_UNIT;
}

bool memory_log_fits(const struct memory_geometry *geometry, size_t value_length) {
    return value_length <= geometry->log_bytes - sizeof(struct record) && value_length <= UINT32_MAX;
}

static void count(const struct memory_shard *shard, enum statistic stat) {
    stats_count(shard->context->stats, stat);
}

/* ---- index ---- */

/* The record that a link names, where a chain may have `left` more; NULL: it cannot be, and the shard was
 * wiped. */
static struct record *next_of_chain(const struct memory_shard *shard, uint32_t link, uint32_t left) {
    struct record *record = record_sound(shard, (uint64_t)(link - 1) * RECORD_UNIT, memory_log_bytes(shard));
    if (record && record->state == RECORD_LIVE && left > 0)
        return record;
    memory_shard_wipe(shard);
    return NULL;
}

/* The link to a key's record; NULL: there is none, or the chain cannot be trusted and the shard was wiped. */
static uint32_t *find_link(const struct memory_shard *shard, const uint8_t *key) {
    uint32_t *link = memory_log_chain(shard, key);
    for (uint32_t left = shard->state->live; *link != 0; left--) {
        struct record *record = next_of_chain(shard, *link, left);
        if (!record)
            return NULL;
        if (memcmp(record->key, key, STORE_KEY_LENGTH) == 0)
            return link;
        link = &record->next;
    }
    return NULL;
}

static struct record *linked(const struct memory_shard *shard, const uint32_t *link) {
    return record_at(shard, (uint64_t)(*link - 1) * RECORD_UNIT);
}

static void link_record(const struct memory_shard *shard, uint64_t offset) {
    struct record *record = record_at(shard, offset);
    uint32_t *chain = memory_log_chain(shard, record->key);
    record->next = *chain;
    *chain = (uint32_t)(offset / RECORD_UNIT) + 1;
}

/* ---- head ---- */

static void advance_head(struct memory_shard_state *state, uint64_t size, uint64_t capacity) {
    state->used -= size;
    state->head = state->used == 0 || state->head + size == capacity ? 0 : state->head + size;
}

static bool is_sound(const struct memory_shard *shard) {
    const struct memory_shard_state *state = shard->state;
    uint64_t capacity = memory_log_bytes(shard);
    return state->head < capacity && state->used <= capacity && state->head % RECORD_UNIT == 0 &&
           state->used % RECORD_UNIT == 0 && (state->used > 0 || state->live == 0);
}

/* Passes what is dead. Afterwards the log is empty or its head is live, and there is nothing outside of it.
 */
static void settle_head(const struct memory_shard *shard) {
    struct memory_shard_state *state = shard->state;
    while (state->used > 0) {
        const struct record *record = record_sound(shard, state->head, state->used);
        if (!record)
            break;
        if (record->state == RECORD_LIVE && is_sound(shard))
            return;
        if (record->state == RECORD_LIVE)
            break;
        advance_head(state, record_size(record), memory_log_bytes(shard));
    }
    if (state->used > 0 || !is_sound(shard))
        memory_shard_wipe(shard);
}

void memory_log_settle(const struct memory_shard *shard) {
    memory_shard_changing(shard);
    settle_head(shard);
}

/* Takes a record out of the index and leaves it dead. If a file is damaged so that it lives again, its check
 * fails. */
static void retire(const struct memory_shard *shard, uint32_t *link) {
    memory_shard_changing(shard);
    struct record *record = linked(shard, link);
    *link = record->next;
    record->state = RECORD_DEAD;
    record->expires_us = 0;
    shard->state->live--;
    shard->state->live_bytes -= record_size(record);
}

/* As retire, for a record that is known by its place alone. False: the index has another one, and the shard
 * was wiped. */
static bool retire_record(const struct memory_shard *shard, const struct record *record) {
    uint32_t *link = find_link(shard, record->key);
    if (!link || linked(shard, link) != record) {
        memory_shard_wipe(shard);
        return false;
    }
    retire(shard, link);
    return true;
}

uint64_t memory_log_oldest(const struct memory_shard *shard) {
    const struct record *record = record_sound(shard, shard->state->head, shard->state->used);
    return record ? record->sequence : 0;
}

/* ---- tail ---- */

static uint64_t tail_of(const struct memory_shard *shard) {
    uint64_t tail = shard->state->head + shard->state->used;
    return tail >= memory_log_bytes(shard) ? tail - memory_log_bytes(shard) : tail;
}

/* The bytes that a filler before a record of `size` takes up at the tail. */
static uint64_t filler_before(const struct memory_shard *shard, uint64_t size) {
    uint64_t to_end = memory_log_bytes(shard) - tail_of(shard);
    return size > to_end ? to_end : 0;
}

static bool has_room(const struct memory_shard *shard, uint64_t size) {
    return memory_log_bytes(shard) - shard->state->used >= filler_before(shard, size) + size;
}

/* The place of a new record, for which there is room. */
static uint64_t extend_tail(const struct memory_shard *shard, uint64_t size) {
    struct memory_shard_state *state = shard->state;
    uint64_t filler = filler_before(shard, size);
    if (filler > 0) {
        struct record *record = record_at(shard, tail_of(shard));
        record->units = (uint32_t)(filler / RECORD_UNIT);
        record->state = RECORD_FILLER;
        state->used += filler;
    }
    uint64_t offset = tail_of(shard);
    state->used += size;
    return offset;
}

static uint64_t next_sequence(const struct memory_shard *shard) {
    return atomic_fetch_add_explicit(&shard->part->sequence, 1, memory_order_relaxed) + 1;
}

void memory_log_revive(const struct memory_shard *shard, uint64_t offset) {
    struct record *record = record_at(shard, offset);
    record->state = RECORD_LIVE;
    record->check = record_check(record);
    link_record(shard, offset);
    shard->state->live++;
    shard->state->live_bytes += record_size(record);
}

/* The head becomes the tail. There is always room, since its own is given up first; the two may overlap. */
static void move_head(const struct memory_shard *shard) {
    struct record *record = record_at(shard, shard->state->head);
    uint64_t size = record_size(record);
    uint64_t expires_us = record->expires_us;
    if (!retire_record(shard, record))
        return;
    advance_head(shard->state, size, memory_log_bytes(shard));
    uint64_t offset = extend_tail(shard, size);
    struct record *moved = record_at(shard, offset);
    memmove(moved, record, size);
    if (moved->laps > 0)
        moved->laps--;
    moved->expires_us = expires_us;
    moved->sequence = next_sequence(shard);
    memory_log_revive(shard, offset);
    settle_head(shard);
}

static void drop_head(const struct memory_shard *shard, enum statistic why) {
    if (!retire_record(shard, record_at(shard, shard->state->head)))
        return;
    count(shard, why);
    settle_head(shard);
}

/* The oldest entry, checked; NULL: there is none. */
static const struct record *head_of(const struct memory_shard *shard) {
    settle_head(shard);
    return shard->state->used > 0 ? record_at(shard, shard->state->head) : NULL;
}

static void pass_head(const struct memory_shard *shard, bool keep, uint64_t now_us, int64_t *move_bytes) {
    memory_shard_changing(shard);
    const struct record *record = head_of(shard);
    if (!record)
        return;
    if (now_us >= record->expires_us) {
        drop_head(shard, STAT_expired);
    } else if ((keep || record->laps > 0) && *move_bytes > 0) {
        *move_bytes -= (int64_t)record_size(record);
        move_head(shard);
    } else {
        drop_head(shard, STAT_evictions);
    }
}

void memory_log_pass_head(const struct memory_shard *shard, uint64_t now_us, int64_t *move_bytes) {
    pass_head(shard, false, now_us, move_bytes);
}

/* While at least half of the log is dead it is not full but untidy: then nothing needs to be evicted. */
static void make_room(const struct memory_shard *shard, uint64_t size, uint64_t now_us) {
    int64_t move_bytes = MEMORY_MOVE_BYTES;
    while (!has_room(shard, size)) {
        bool untidy = shard->state->live_bytes + size <= memory_log_bytes(shard) / 2;
        pass_head(shard, untidy, now_us, &move_bytes);
    }
}

/* ---- operations ---- */

/* One byte, in a line of memory that was read anyway, and none when there is nothing to change. */
static void note_hit(const struct memory_shard *shard, struct record *record) {
    uint8_t laps = shard->context->by_cost ? memory_laps_of_hit(record->laps, record->worth) : 1;
    if (record->laps < laps)
        record->laps = laps;
}

enum store_status memory_log_find(const struct memory_shard *shard, const uint8_t *key, bool mark,
                                  uint64_t now_us, struct memory_found *found) {
    uint32_t *link = find_link(shard, key);
    if (!link)
        return STORE_MISSING;
    struct record *record = linked(shard, link);
    if (now_us >= record->expires_us) {
        retire(shard, link);
        count(shard, STAT_expired);
        settle_head(shard);
        return STORE_EXPIRED;
    }
    if (mark)
        note_hit(shard, record);
    *found = (struct memory_found){{record_value(record), record->value_length}, record->epoch};
    return STORE_OK;
}

bool memory_log_remove(const struct memory_shard *shard, const uint8_t *key, uint64_t now_us) {
    struct memory_found found;
    if (memory_log_find(shard, key, false, now_us, &found) != STORE_OK)
        return false;
    retire(shard, find_link(shard, key));
    settle_head(shard);
    return true;
}

static void fill(const struct memory_shard *shard, struct record *record, const struct store_item *item,
                 uint64_t expires_us) {
    memcpy(record->key, item->key, STORE_KEY_LENGTH);
    unsigned worth = 0;
    if (shard->context->by_cost)
        worth = memory_worth(&shard->part->usual, item->cost_us, memory_log_size(item->value.length));
    record->worth = worth & MEMORY_WORTH_MAX;
    record->value_length = (uint32_t)item->value.length;
    record->epoch = item->epoch;
    record->group = item->group;
    record->expires_us = expires_us;
    if (item->value.length > 0)
        memcpy(record_value(record), item->value.data, item->value.length);
}

/* A refresh is usually as long as what it replaces. Writing it in place leaves nothing dead; a lap more makes
 * up for the place at the tail. */
static bool write_in_place(const struct memory_shard *shard, const struct store_item *item,
                           uint64_t expires_us) {
    uint64_t size = memory_log_size(item->value.length);
    uint32_t *link = find_link(shard, item->key);
    if (!link)
        return false;
    struct record *record = linked(shard, link);
    if (record_size(record) < size || record_size(record) / 2 > size)
        return false;
    fill(shard, record, item, expires_us);
    if (record->laps <= record->worth)
        record->laps = (uint8_t)(record->worth + 1);
    record->check = record_check(record);
    return true;
}

void memory_log_expires_at(const struct memory_shard *shard, uint64_t expires_us) {
    _Atomic uint64_t *soonest = &shard->part->soonest_us[shard->number];
    uint64_t known = atomic_load_explicit(soonest, memory_order_relaxed);
    if (known == 0 || expires_us < known)
        atomic_store_explicit(soonest, expires_us, memory_order_relaxed);
}

enum store_status memory_log_write(const struct memory_shard *shard, const struct store_item *item,
                                   uint64_t expires_us, uint64_t now_us) {
    memory_shard_changing(shard);
    if (!memory_log_fits(&shard->context->geometry, item->value.length)) {
        memory_log_remove(shard, item->key, now_us);
        return STORE_TOO_LARGE;
    }
    settle_head(shard);
    memory_log_expires_at(shard, expires_us);
    if (write_in_place(shard, item, expires_us))
        return STORE_OK;
    memory_log_remove(shard, item->key, now_us);
    uint64_t size = memory_log_size(item->value.length);
    make_room(shard, size, now_us);
    uint64_t offset = extend_tail(shard, size);
    struct record *record = record_at(shard, offset);
    *record = (struct record){.units = (uint32_t)(size / RECORD_UNIT), .sequence = next_sequence(shard)};
    fill(shard, record, item, expires_us);
    record->laps = record->worth;
    memory_log_revive(shard, offset);
    return STORE_OK;
}

void memory_log_expire(const struct memory_shard *shard, uint64_t now_us, unsigned *scans) {
    struct memory_shard_state *state = shard->state;
    uint64_t offset = state->head;
    uint64_t left = state->used;
    uint64_t soonest_us = UINT64_MAX;
    bool removed = false;
    memory_shard_changing(shard);
    for (; left > 0 && *scans > 0; --*scans) {
        const struct record *record = record_sound(shard, offset, left);
        if (!record) {
            memory_shard_wipe(shard);
            return;
        }
        uint64_t size = record_size(record);
        if (record->state == RECORD_LIVE && now_us >= record->expires_us) {
            if (!retire_record(shard, record))
                return;
            count(shard, STAT_expired);
            removed = true;
        } else if (record->state == RECORD_LIVE && record->expires_us < soonest_us) {
            soonest_us = record->expires_us;
        }
        left -= size;
        offset = record_end(shard, offset, size);
    }
    settle_head(shard);
    if (left > 0)
        soonest_us = removed ? now_us : now_us + EXPIRE_AGAIN_US;
    atomic_store_explicit(&shard->part->soonest_us[shard->number], soonest_us, memory_order_relaxed);
}

static uint64_t sweep_chain(const struct memory_shard *shard, uint32_t *link, uint64_t group, uint64_t epoch,
                            unsigned *records) {
    uint64_t removed = 0;
    for (uint32_t left = shard->state->live; *link != 0; left--) {
        struct record *record = next_of_chain(shard, *link, left);
        if (!record)
            break;
        *records -= *records > 0;
        if (record->group == group && record->epoch < epoch) {
            retire(shard, link);
            removed++;
        } else {
            link = &record->next;
        }
    }
    return removed;
}

uint64_t memory_log_sweep(const struct memory_shard *shard, uint32_t *bucket, uint32_t end, unsigned records,
                          uint64_t group, uint64_t epoch) {
    uint64_t removed = 0;
    memory_shard_changing(shard);
    for (; *bucket < end && records > 0; ++*bucket)
        removed += sweep_chain(shard, &shard->index[*bucket], group, epoch, &records);
    settle_head(shard);
    return removed;
}
