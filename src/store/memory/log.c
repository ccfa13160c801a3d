/* The log of one shard's entries, and its index. */
#include "store/memory/log.h"

#include <string.h>

#include "store/memory/mix.h"

#define UNIT 8

/* When a shard has more records than one put may look at, the rest is left alone for so long. */
#define EXPIRE_AGAIN_US UINT64_C(1000000)

enum record_state { RECORD_LIVE = 1, RECORD_DEAD, RECORD_FILLER };

/* A filler has only the first two members, so it fits wherever a record can end. */
struct record {
    uint32_t units; /* its size, this header included */
    uint8_t state;
    uint8_t hit;    /* since it was written or moved */
    uint16_t check; /* of what stays as it is while it lives in its place */
    uint32_t value_length;
    uint32_t next; /* in its chain: offset in units + 1; 0: the last */
    uint8_t key[STORE_KEY_LENGTH];
    uint64_t epoch;
    uint64_t group;
    uint64_t expires_us; /* monotonic */
    uint64_t sequence;
};

_Static_assert(sizeof(struct record) % UNIT == 0, "values begin and end on a unit");

uint64_t memory_log_size(size_t value_length) {
    return (sizeof(struct record) + value_length + UNIT - 1) / UNIT * UNIT;
}

bool memory_log_fits(const struct memory_geometry *geometry, size_t value_length) {
    return value_length <= geometry->log_bytes - sizeof(struct record) && value_length <= UINT32_MAX;
}

static uint64_t size_of(const struct record *record) {
    return (uint64_t)record->units * UNIT;
}

static struct record *at(const struct memory_shard *shard, uint64_t offset) {
    return (struct record *)(void *)(shard->log + offset);
}

static char *value_of(struct record *record) {
    return (char *)(record + 1);
}

static uint64_t log_bytes(const struct memory_shard *shard) {
    return shard->context->geometry.log_bytes;
}

static void count(const struct memory_shard *shard, enum statistic stat) {
    stats_count(shard->context->stats, stat);
}

static uint16_t check_of(const struct record *record) {
    uint64_t mixed = memory_mix(MEMORY_MIX_START, (uint64_t)record->units << 32 | record->value_length);
    mixed = memory_mix(mixed, record->epoch);
    mixed = memory_mix(mixed, record->group);
    mixed = memory_mix(mixed, record->expires_us);
    mixed = memory_mix(mixed, record->sequence);
    for (unsigned word = 0; word < STORE_KEY_LENGTH / sizeof(uint64_t); word++)
        mixed = memory_mix(mixed, memory_shard_word(record->key, word));
    return (uint16_t)(mixed >> 48);
}

/* The record at `offset`, of which the log holds `left` bytes from there; NULL: there cannot be one. */
static struct record *sound_record(const struct memory_shard *shard, uint64_t offset, uint64_t left) {
    if (offset % UNIT != 0 || offset >= log_bytes(shard) || left < UNIT)
        return NULL;
    struct record *record = at(shard, offset);
    uint64_t size = size_of(record);
    if (size == 0 || size > left || size > log_bytes(shard) - offset)
        return NULL;
    if (record->state == RECORD_FILLER)
        return record;
    bool whole = size >= sizeof(struct record) && record->value_length <= size - sizeof(struct record);
    return whole && (record->state == RECORD_LIVE || record->state == RECORD_DEAD) ? record : NULL;
}

/* ---- index ---- */

/* The record that a link names, where a chain may have `left` more; NULL: it cannot be, and the shard was
 * wiped. */
static struct record *next_of_chain(const struct memory_shard *shard, uint32_t link, uint32_t left) {
    struct record *record = sound_record(shard, (uint64_t)(link - 1) * UNIT, log_bytes(shard));
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
    return at(shard, (uint64_t)(*link - 1) * UNIT);
}

static void link_record(const struct memory_shard *shard, uint64_t offset) {
    struct record *record = at(shard, offset);
    uint32_t *chain = memory_log_chain(shard, record->key);
    record->next = *chain;
    *chain = (uint32_t)(offset / UNIT) + 1;
}

/* ---- head ---- */

static void advance_head(struct memory_shard_state *state, uint64_t size, uint64_t capacity) {
    state->used -= size;
    state->head = state->used == 0 || state->head + size == capacity ? 0 : state->head + size;
}

static bool is_sound(const struct memory_shard *shard) {
    const struct memory_shard_state *state = shard->state;
    uint64_t capacity = log_bytes(shard);
    return state->head < capacity && state->used <= capacity && state->head % UNIT == 0 &&
           state->used % UNIT == 0 && (state->used > 0 || state->live == 0);
}

/* Passes what is dead. Afterwards the log is empty or its head is live, and there is nothing outside of it.
 */
static void settle_head(const struct memory_shard *shard) {
    struct memory_shard_state *state = shard->state;
    while (state->used > 0) {
        const struct record *record = sound_record(shard, state->head, state->used);
        if (!record)
            break;
        if (record->state == RECORD_LIVE && is_sound(shard))
            return;
        if (record->state == RECORD_LIVE)
            break;
        advance_head(state, size_of(record), log_bytes(shard));
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
    shard->state->live_bytes -= size_of(record);
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
    const struct record *record = sound_record(shard, shard->state->head, shard->state->used);
    return record ? record->sequence : 0;
}

/* ---- tail ---- */

static uint64_t tail_of(const struct memory_shard *shard) {
    uint64_t tail = shard->state->head + shard->state->used;
    return tail >= log_bytes(shard) ? tail - log_bytes(shard) : tail;
}

/* The bytes that a filler before a record of `size` takes up at the tail. */
static uint64_t filler_before(const struct memory_shard *shard, uint64_t size) {
    uint64_t to_end = log_bytes(shard) - tail_of(shard);
    return size > to_end ? to_end : 0;
}

static bool has_room(const struct memory_shard *shard, uint64_t size) {
    return log_bytes(shard) - shard->state->used >= filler_before(shard, size) + size;
}

/* The place of a new record, for which there is room. */
static uint64_t extend_tail(const struct memory_shard *shard, uint64_t size) {
    struct memory_shard_state *state = shard->state;
    uint64_t filler = filler_before(shard, size);
    if (filler > 0) {
        struct record *record = at(shard, tail_of(shard));
        record->units = (uint32_t)(filler / UNIT);
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

static void revive(const struct memory_shard *shard, uint64_t offset) {
    struct record *record = at(shard, offset);
    record->state = RECORD_LIVE;
    record->check = check_of(record);
    link_record(shard, offset);
    shard->state->live++;
    shard->state->live_bytes += size_of(record);
}

/* The head becomes the tail. There is always room, since its own is given up first; the two may overlap. */
static void move_head(const struct memory_shard *shard) {
    struct record *record = at(shard, shard->state->head);
    uint64_t size = size_of(record);
    uint64_t expires_us = record->expires_us;
    if (!retire_record(shard, record))
        return;
    advance_head(shard->state, size, log_bytes(shard));
    uint64_t offset = extend_tail(shard, size);
    struct record *moved = at(shard, offset);
    memmove(moved, record, size);
    moved->hit = 0;
    moved->expires_us = expires_us;
    moved->sequence = next_sequence(shard);
    revive(shard, offset);
    settle_head(shard);
}

static void drop_head(const struct memory_shard *shard, enum statistic why) {
    if (!retire_record(shard, at(shard, shard->state->head)))
        return;
    count(shard, why);
    settle_head(shard);
}

/* The oldest entry, checked; NULL: there is none. */
static const struct record *head_of(const struct memory_shard *shard) {
    settle_head(shard);
    return shard->state->used > 0 ? at(shard, shard->state->head) : NULL;
}

static void pass_head(const struct memory_shard *shard, bool keep, uint64_t now_us, int64_t *move_bytes) {
    memory_shard_changing(shard);
    const struct record *record = head_of(shard);
    if (!record)
        return;
    if (now_us >= record->expires_us) {
        drop_head(shard, STAT_expired);
    } else if ((keep || record->hit) && *move_bytes > 0) {
        *move_bytes -= (int64_t)size_of(record);
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
        bool untidy = shard->state->live_bytes + size <= log_bytes(shard) / 2;
        pass_head(shard, untidy, now_us, &move_bytes);
    }
}

/* ---- operations ---- */

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
    if (mark && !record->hit)
        record->hit = 1;
    *found = (struct memory_found){{value_of(record), record->value_length}, record->epoch};
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

static void fill(struct record *record, const struct store_item *item, uint64_t expires_us) {
    memcpy(record->key, item->key, STORE_KEY_LENGTH);
    record->value_length = (uint32_t)item->value.length;
    record->epoch = item->epoch;
    record->group = item->group;
    record->expires_us = expires_us;
    if (item->value.length > 0)
        memcpy(value_of(record), item->value.data, item->value.length);
}

/* A refresh is usually as long as what it replaces. Writing it in place leaves nothing dead; the hit mark
 * gives it the second chance that a place at the tail would be. */
static bool write_in_place(const struct memory_shard *shard, const struct store_item *item,
                           uint64_t expires_us) {
    uint64_t size = memory_log_size(item->value.length);
    uint32_t *link = find_link(shard, item->key);
    if (!link)
        return false;
    struct record *record = linked(shard, link);
    if (size_of(record) < size || size_of(record) / 2 > size)
        return false;
    fill(record, item, expires_us);
    record->hit = 1;
    record->check = check_of(record);
    return true;
}

static void expires_at(const struct memory_shard *shard, uint64_t expires_us) {
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
    expires_at(shard, expires_us);
    if (write_in_place(shard, item, expires_us))
        return STORE_OK;
    memory_log_remove(shard, item->key, now_us);
    uint64_t size = memory_log_size(item->value.length);
    make_room(shard, size, now_us);
    uint64_t offset = extend_tail(shard, size);
    struct record *record = at(shard, offset);
    *record = (struct record){.units = (uint32_t)(size / UNIT), .sequence = next_sequence(shard)};
    fill(record, item, expires_us);
    revive(shard, offset);
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
        const struct record *record = sound_record(shard, offset, left);
        if (!record) {
            memory_shard_wipe(shard);
            return;
        }
        uint64_t size = size_of(record);
        if (record->state == RECORD_LIVE && now_us >= record->expires_us) {
            if (!retire_record(shard, record))
                return;
            count(shard, STAT_expired);
            removed = true;
        } else if (record->state == RECORD_LIVE && record->expires_us < soonest_us) {
            soonest_us = record->expires_us;
        }
        left -= size;
        offset = offset + size == log_bytes(shard) ? 0 : offset + size;
    }
    settle_head(shard);
    if (left > 0)
        soonest_us = removed ? now_us : now_us + EXPIRE_AGAIN_US;
    atomic_store_explicit(&shard->part->soonest_us[shard->number], soonest_us, memory_order_relaxed);
}

static uint64_t sweep_chain(const struct memory_shard *shard, uint32_t *link, uint64_t group,
                            uint64_t epoch) {
    uint64_t removed = 0;
    for (uint32_t left = shard->state->live; *link != 0; left--) {
        struct record *record = next_of_chain(shard, *link, left);
        if (!record)
            break;
        if (record->group == group && record->epoch < epoch) {
            retire(shard, link);
            removed++;
        } else {
            link = &record->next;
        }
    }
    return removed;
}

uint64_t memory_log_sweep(const struct memory_shard *shard, uint32_t first_bucket, uint32_t n, uint64_t group,
                          uint64_t epoch) {
    uint64_t removed = 0;
    memory_shard_changing(shard);
    for (uint32_t i = 0; i < n; i++)
        removed += sweep_chain(shard, &shard->index[first_bucket + i], group, epoch);
    settle_head(shard);
    return removed;
}

/* ---- one entry after the other ---- */

static struct memory_record record_at(const struct memory_shard *shard, struct record *record) {
    return (struct memory_record){.key = record->key,
                                  .value = {value_of(record), record->value_length},
                                  .epoch = record->epoch,
                                  .group = record->group,
                                  .expires_us = record->expires_us,
                                  .sequence = record->sequence,
                                  .offset = (uint64_t)((const uint8_t *)record - shard->log)};
}

bool memory_log_at(const struct memory_shard *shard, uint64_t offset, struct memory_record *found) {
    struct record *record = sound_record(shard, offset, log_bytes(shard));
    if (!record || record->state != RECORD_LIVE)
        return false;
    *found = record_at(shard, record);
    return true;
}

struct memory_chain memory_log_bucket(const struct memory_shard *shard, uint32_t bucket) {
    return (struct memory_chain){shard->index[bucket], shard->state->live};
}

bool memory_log_in_chain(const struct memory_shard *shard, struct memory_chain *chain,
                         struct memory_record *found) {
    struct record *record = chain->link != 0 ? next_of_chain(shard, chain->link, chain->left) : NULL;
    if (!record)
        return false;
    *found = record_at(shard, record);
    chain->link = record->next;
    chain->left--;
    return true;
}

bool memory_log_next(const struct memory_shard *shard, uint64_t *offset, uint64_t *left,
                     struct memory_record *found) {
    while (*left > 0) {
        uint64_t here = *offset;
        const struct record *record = sound_record(shard, here, *left);
        if (!record)
            return false;
        uint64_t size = size_of(record);
        *left -= size;
        *offset = here + size == log_bytes(shard) ? 0 : here + size;
        if (memory_log_at(shard, here, found))
            return true;
    }
    return false;
}

/* ---- a log found in a file ---- */

/* Takes a live record into the index if it can be what this store wrote last there. */
static bool take_in(const struct memory_shard *shard, uint64_t offset, uint64_t live_max,
                    uint64_t *last_sequence) {
    struct record *record = at(shard, offset);
    bool ours = record->check == check_of(record) && record->sequence > *last_sequence &&
                memory_shard_number(shard->context, record->key) == shard->number;
    if (!ours || shard->state->live >= live_max)
        return false;
    record->hit = record->hit != 0;
    *last_sequence = record->sequence;
    expires_at(shard, record->expires_us);
    revive(shard, offset);
    return true;
}

bool memory_log_rebuild(const struct memory_shard *shard, const struct memory_extent *found,
                        uint64_t live_max, uint64_t *last_sequence) {
    struct memory_shard_state *state = shard->state;
    uint64_t offset = found->head;
    uint64_t left = found->used;
    if (left > log_bytes(shard))
        return false;
    while (left > 0) {
        const struct record *record = sound_record(shard, offset, left);
        if (!record || (record->state == RECORD_LIVE && !take_in(shard, offset, live_max, last_sequence)))
            return false;
        uint64_t size = size_of(record);
        left -= size;
        offset = offset + size == log_bytes(shard) ? 0 : offset + size;
    }
    state->head = found->head;
    state->used = found->used;
    settle_head(shard);
    return state->live == found->live;
}
