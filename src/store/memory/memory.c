/* The memory store's operations. */
#include "inferonce/store/memory.h"

#include <endian.h>
#include <stdlib.h>

#include "store/backend.h"
#include "store/memory/lock.h"
#include "store/memory/log.h"
#include "store/memory/part.h"
#include "store/memory/walk.h"

/* Value buffers, reused across batches. */
#define SCRATCH_KEEP (UINT64_C(1) << 20)

static const struct store_operations OPERATIONS;

struct memory {
    struct store store;
    struct memory_context context;
    unsigned part;         /* the worker's own */
    struct buffer scratch; /* values of a batch, one behind the other */
};

static struct memory *memory_of(struct store *store) {
    INVARIANT(store->operations == &OPERATIONS);
    return (struct memory *)store; /* `store` is its first member */
}

static uint64_t now_of(const struct memory *memory) {
    return clock_monotonic_us(memory->context.clock);
}

static enum store_status counted(struct memory *memory, enum store_status status) {
    if (status == STORE_ERROR)
        stats_count(memory->context.stats, STAT_store_errors);
    return status;
}

/* ---- get ---- */

/* Whether `length` more bytes are there without asking for memory, which is not done under a lock. */
static bool fits(const struct buffer *scratch, size_t length) {
    return scratch->capacity - scratch->length >= length;
}

/* Looks an item up in its shard, whose lock is held. */
static enum store_status look_up(const struct memory_shard *shard, struct store_get *get, bool mark,
                                 uint64_t now_us) {
    struct memory_found found = {.epoch = 0};
    if (get->kind == STORE_ENTRY) {
        enum store_status status = memory_log_find(shard, get->key, mark, now_us, &found);
        if (status != STORE_OK) {
            get->epoch = memory_tombstones_epoch(&shard->state->tombstones, get->key, now_us);
            return get->epoch ? STORE_TOMBSTONE : status;
        }
    } else {
        const struct memory_small *small = memory_small_find(shard, get->kind, get->key, now_us);
        if (!small || small->length > STORE_SMALL_MAX)
            return STORE_MISSING;
        found.value = (struct bytes){small->value, small->length};
    }
    get->epoch = found.epoch;
    get->value = found.value;
    return STORE_OK;
}

/* Copies a value out. Its memory may move as the scratch grows, so where it is, is said when the batch is
 * done. */
static void get_one(struct memory *memory, struct store_get *get, struct buffer *scratch, uint64_t now_us) {
    struct memory_shard shard = memory_shard_of(&memory->context, memory->part, get->key);
    __builtin_prefetch(
        memory_log_chain(&shard, get->key)); /* it comes while the lock is taken: 10 ns and more */
    for (bool first = true;; first = false) {
        get->value = (struct bytes){NULL, 0};
        get->epoch = 0;
        if (!memory_shard_lock(&shard))
            break;
        get->status = look_up(&shard, get, first, now_us);
        size_t length = get->value.length;
        bool copied = fits(scratch, length);
        if (copied && length > 0) {
            memcpy(scratch->data + scratch->length, get->value.data, length);
            scratch->length += length;
        }
        memory_shard_unlock(&shard);
        if (copied)
            return;
        if (!buffer_reserve(scratch, length))
            break;
    }
    *get = (struct store_get){.kind = get->kind, .key = get->key, .status = counted(memory, STORE_ERROR)};
}

static void get_generation(struct memory *memory, struct store_get *get, struct buffer *scratch) {
    uint64_t generation = 0;
    get->epoch = 0;
    get->value = (struct bytes){NULL, 0};
    get->status = memory_generation_get(&memory->context.region->generations, get->key, &generation);
    if (get->status == STORE_OK && !fits(scratch, STORE_GENERATION_LENGTH) &&
        !buffer_reserve(scratch, STORE_GENERATION_LENGTH))
        get->status = STORE_ERROR;
    if (counted(memory, get->status) != STORE_OK)
        return;
    generation = htole64(generation);
    get->value.length = STORE_GENERATION_LENGTH;
    memcpy(scratch->data + scratch->length, &generation, STORE_GENERATION_LENGTH);
    scratch->length += STORE_GENERATION_LENGTH;
}

static void get_many(struct store *store, struct store_get *gets, size_t n, store_got got, void *user) {
    struct memory *memory = memory_of(store);
    uint64_t now_us = now_of(memory);
    /* Taken out while `got` runs, which may well begin the next batch. */
    struct buffer scratch = memory->scratch;
    buffer_init(&memory->scratch, scratch.cap);
    for (size_t i = 0; i < n; i++) {
        if (gets[i].kind == STORE_GENERATION)
            get_generation(memory, &gets[i], &scratch);
        else
            get_one(memory, &gets[i], &scratch, now_us);
    }
    size_t offset = 0;
    for (size_t i = 0; i < n; i++) {
        if (gets[i].value.length > 0)
            gets[i].value.data = scratch.data + offset;
        offset += gets[i].value.length;
    }
    got(user, gets, n);
    buffer_fini(&memory->scratch);
    buffer_reset(&scratch, SCRATCH_KEEP);
    memory->scratch = scratch;
}

/* ---- put, add ---- */

/* By the rule of epochs. An entry whose time was over is gone afterwards. */
static bool is_refused(const struct memory_shard *shard, const struct store_item *item, uint64_t now_us,
                       bool *exists) {
    struct memory_found found;
    *exists = memory_log_find(shard, item->key, false, now_us, &found) == STORE_OK;
    if (*exists && found.epoch > item->epoch)
        return true;
    return memory_tombstones_epoch(&shard->state->tombstones, item->key, now_us) > item->epoch;
}

/* Makes room for the entry unless it replaces one. `writer` is held. */
static enum store_status prepare(struct memory *memory, const struct memory_shard *shard,
                                 const struct store_item *item, uint64_t now_us) {
    bool exists;
    if (!memory_shard_lock(shard))
        return STORE_ERROR;
    bool refused = is_refused(shard, item, now_us, &exists);
    memory_shard_unlock(shard);
    if (refused)
        return STORE_REFUSED;
    return exists || memory_part_make_room(&memory->context, memory->part, now_us) ? STORE_OK : STORE_ERROR;
}

/* Nobody else puts meanwhile; but a removal may come between prepare and here, so the epochs are looked at
 * again. */
static enum store_status put_entry(struct memory *memory, const struct store_item *item, uint64_t now_us) {
    struct memory_shard shard = memory_shard_of(&memory->context, memory->part, item->key);
    bool exists;
    if (!memory_part_has_room(&memory->context, memory->part) &&
        memory_log_fits(&memory->context.geometry, item->value.length)) {
        enum store_status status = prepare(memory, &shard, item, now_us);
        if (status != STORE_OK)
            return status;
    }
    if (!memory_shard_lock(&shard))
        return STORE_ERROR;
    enum store_status status = STORE_REFUSED;
    if (!is_refused(&shard, item, now_us, &exists))
        status = memory_log_write(&shard, item, clock_after_ms(now_us, item->ttl_ms), now_us);
    memory_shard_unlock(&shard);
    return status;
}

static enum store_status put_entry_alone(struct memory *memory, const struct store_item *item,
                                         uint64_t now_us) {
    pthread_mutex_t *writer = &memory_part_at(&memory->context, memory->part)->writer;
    enum memory_lock_outcome outcome = memory_lock_take(writer);
    if (outcome == MEMORY_LOCK_BROKEN)
        return STORE_ERROR;
    if (outcome == MEMORY_LOCKED_AFTER_DEATH)
        memory_lock_recovered(writer); /* it protects nothing that can be half done */
    enum store_status status = put_entry(memory, item, now_us);
    memory_lock_give(writer);
    return status;
}

static enum store_status write_small(struct memory *memory, const struct store_item *item,
                                     bool only_if_missing, uint64_t now_us) {
    struct memory_shard shard = memory_shard_of(&memory->context, memory->part, item->key);
    if (!memory_shard_lock(&shard))
        return STORE_ERROR;
    enum store_status status =
        memory_small_write(&shard, item, only_if_missing, clock_after_ms(now_us, item->ttl_ms), now_us);
    memory_shard_unlock(&shard);
    return status;
}

static uint64_t generation_of(const struct store_item *item) {
    uint64_t generation;
    memcpy(&generation, item->value.data, sizeof(generation));
    return le64toh(generation);
}

static void put(struct store *store, const struct store_item *item, store_done done, void *user) {
    struct memory *memory = memory_of(store);
    enum store_status status;
    if (item->kind == STORE_GENERATION)
        status = memory_generation_put(&memory->context.region->generations, item->key, generation_of(item));
    else if (item->kind == STORE_ENTRY)
        status = put_entry_alone(memory, item, now_of(memory));
    else
        status = write_small(memory, item, false, now_of(memory));
    done(user, counted(memory, status));
}

static void add(struct store *store, const struct store_item *item, store_done done, void *user) {
    struct memory *memory = memory_of(store);
    enum store_status status;
    if (item->kind == STORE_GENERATION)
        status = memory_generation_add(&memory->context.region->generations, item->key, generation_of(item));
    else
        status = write_small(memory, item, true, now_of(memory));
    done(user, counted(memory, status));
}

/* ---- remove ---- */

static uint64_t above(uint64_t epoch, uint64_t other) {
    if (epoch > other)
        return epoch;
    return other < UINT64_MAX ? other + 1 : other;
}

/* The tombstone's epoch is above all that is known of the key, so that a flight which has seen an earlier
 * removal, and only that, is refused whatever the clocks say. */
static bool bury(const struct memory_shard *shard, const uint8_t *key, uint64_t epoch, uint64_t tombstone_ms,
                 uint64_t now_us) {
    struct memory_tombstones *tombstones = &shard->state->tombstones;
    struct memory_found found;
    memory_shard_changing(shard);
    bool exists = memory_log_find(shard, key, false, now_us, &found) == STORE_OK;
    if (exists) {
        epoch = above(epoch, found.epoch);
        memory_log_remove(shard, key, now_us);
    }
    uint64_t known = memory_tombstones_epoch(tombstones, key, now_us);
    if (known > 0)
        epoch = above(epoch, known);
    if (tombstone_ms > 0)
        memory_tombstones_add(tombstones, key, epoch, clock_after_ms(now_us, tombstone_ms), now_us);
    return exists;
}

/* Removes it from all parts. A part whose lock is broken has nothing that can be read. */
static enum store_status remove_entry(struct memory *memory, const uint8_t *key, uint64_t epoch,
                                      uint64_t tombstone_ms) {
    uint64_t now_us = now_of(memory);
    enum store_status status = STORE_MISSING;
    for (unsigned part = 0; part < memory->context.geometry.parts; part++) {
        struct memory_shard shard = memory_shard_of(&memory->context, part, key);
        if (!memory_shard_lock(&shard)) {
            status = STORE_ERROR;
            continue;
        }
        if (bury(&shard, key, epoch, tombstone_ms, now_us) && status == STORE_MISSING)
            status = STORE_OK;
        memory_shard_unlock(&shard);
    }
    return status;
}

/* A lease of another part is another worker's. */
static enum store_status remove_small(struct memory *memory, enum store_kind kind, const uint8_t *key) {
    struct memory_shard shard = memory_shard_of(&memory->context, memory->part, key);
    if (!memory_shard_lock(&shard))
        return STORE_ERROR;
    enum store_status status = memory_small_remove(&shard, kind, key, now_of(memory));
    memory_shard_unlock(&shard);
    return status;
}

static void remove_item(struct store *store, enum store_kind kind, const uint8_t *key, uint64_t epoch,
                        uint64_t tombstone_ms, store_done done, void *user) {
    struct memory *memory = memory_of(store);
    enum store_status status;
    if (kind == STORE_GENERATION)
        status = memory_generation_remove(&memory->context.region->generations, key);
    else if (kind == STORE_ENTRY)
        status = remove_entry(memory, key, epoch, tombstone_ms);
    else
        status = remove_small(memory, kind, key);
    done(user, counted(memory, status));
}

/* ---- sweep ---- */

/* One call looks at so many entries under one lock, or at so many buckets, most of which are empty where
 * there are few entries: some ten microseconds. An entry stays in its bucket while it is moved through the
 * log, so that none escapes. */
#define SWEEP_RECORDS 256
#define SWEEP_BUCKETS 16384

static bool sweep(struct store *store, uint64_t group, uint64_t epoch, uint64_t *cursor, uint64_t *removed) {
    struct memory *memory = memory_of(store);
    uint32_t bucket, end;
    struct memory_shard shard;
    if (!memory_shard_at_bucket(&memory->context, *cursor, SWEEP_BUCKETS, &shard, &bucket, &end))
        return false;
    uint32_t first = bucket;
    if (memory_shard_lock(&shard)) {
        *removed += memory_log_sweep(&shard, &bucket, end, SWEEP_RECORDS, group, epoch);
        memory_shard_unlock(&shard);
    } else {
        bucket = end;
    }
    *cursor += bucket - first;
    return *cursor < memory_buckets(&memory->context);
}

/* ---- the rest ---- */

static bool walk(struct store *store, uint64_t *cursor, struct buffer *scratch, store_walked walked,
                 void *user) {
    return memory_walk(&memory_of(store)->context, cursor, scratch, walked, user);
}

static void empty(const struct memory_context *context) {
    const struct memory_geometry *geometry = &context->geometry;
    for (unsigned part = 0; part < geometry->parts; part++) {
        for (unsigned number = 0; number < geometry->shards; number++) {
            struct memory_shard shard = memory_shard_at(context, part, number);
            if (!memory_shard_lock(&shard))
                continue; /* it cannot be read either */
            memory_shard_clear(&shard);
            memory_shard_unlock(&shard);
        }
    }
}

void memory_empty(struct store *store) {
    empty(&memory_of(store)->context);
}

void memory_region_empty(void *region, size_t bytes, const struct clock *clock) {
    struct memory_context context = {.clock = clock};
    INVARIANT(memory_region_attach(&context, region, bytes)); /* it was set up just now */
    empty(&context);
}

struct pendings *memory_pendings(void *region, size_t bytes) {
    struct memory_context context;
    return memory_region_attach(&context, region, bytes) ? &context.region->pendings : NULL;
}

static void figures(struct store *store, struct store_figures *figures_) {
    const struct memory *memory = memory_of(store);
    *figures_ =
        (struct store_figures){.max_size = memory->context.geometry.max_size, .evictions = UINT64_MAX};
    for (unsigned part = 0; part < memory->context.geometry.parts; part++) {
        figures_->size += memory_part_size(&memory->context, part);
        figures_->memory_bytes += memory_part_bytes(&memory->context, part);
    }
}

static void close_memory(struct store *store) {
    struct memory *memory = memory_of(store);
    buffer_fini(&memory->scratch);
    free(memory);
}

struct store *memory_open(const struct context *context, struct error *error) {
    struct memory *memory = calloc(1, sizeof(*memory));
    if (!memory) {
        error_set(error, "out of memory");
        return NULL;
    }
    memory->store.operations = &OPERATIONS;
    memory->context.by_cost = context->settings->cache_eviction == CACHE_EVICTION_COST;
    memory->context.clock = context->clock;
    memory->context.stats = context->stats;
    if (!memory_region_attach(&memory->context, context->shared->region, context->shared->region_bytes)) {
        error_set(error, "the shared mapping holds no memory store, or one of another size");
        free(memory);
        return NULL;
    }
    memory->part = shared_place(context->slot) % memory->context.geometry.parts;
    buffer_init(&memory->scratch, memory->context.geometry.region_bytes);
    return &memory->store;
}

static const struct store_operations OPERATIONS = {
    .name = "memory",
    .get_many = get_many,
    .put = put,
    .add = add,
    .remove = remove_item,
    .sweep = sweep,
    .walk = walk,
    .figures = figures,
    .close = close_memory,
};
