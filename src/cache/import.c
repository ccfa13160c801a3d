/* Takes an entry of another cache. */
#include "cache/generation.h"
#include "inferonce/base/little_endian.h"
#include "inferonce/cache/transfer.h"

/* The look: generations and entry as usual, and when what this entry is of was invalidated last. */
enum { OF_REMOVALS = GENERATION_GETS, OF_PURGE, GETS };

_Static_assert(GETS <= STORE_LOOK_MAX, "one look");

/* Another worker may make the namespace's generation first; then the next look finds it. */
#define TRIES 3

static void end(struct import *import, enum import_result result) {
    buffer_fini(&import->value);
    import->done(import, result);
}

static uint64_t greater(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static uint64_t number_of(const struct store_get *get) {
    return get->status == STORE_OK ? generation_decode(get->value) : 0;
}

static uint64_t invalidated_us(const struct store_look *look) {
    const struct store_get *of_entry = &look->gets[GENERATION_ENTRY];
    uint64_t removed_us = of_entry->status == STORE_TOMBSTONE ? of_entry->epoch : 0;
    removed_us = greater(removed_us, number_of(&look->gets[OF_REMOVALS]));
    return greater(removed_us,
                   greater(number_of(&look->gets[OF_PURGE]), number_of(&look->gets[GENERATION_OF_ALL])));
}

static uint64_t begun_us(const struct entry *entry) {
    return entry->created_us > entry->inference_us ? entry->created_us - entry->inference_us : 0;
}

static bool is_as_new(const struct import *import, uint64_t generation, const struct entry *entry,
                      uint64_t now_us) {
    const struct store_get *get = &import->look.gets[GENERATION_ENTRY];
    struct entry there;
    return get->status == STORE_OK && entry_read(get->value, &import->key, now_us, &there) == ENTRY_GOOD &&
           there.generation == generation && there.created_us >= entry->created_us;
}

static void on_put(void *user, enum store_status status) {
    struct import *import = user;
    if (status == STORE_OK)
        stats_count(import->context->stats, STAT_stores);
    end(import, status == STORE_OK ? IMPORT_STORED : status == STORE_REFUSED ? IMPORT_PURGED : IMPORT_FAILED);
}

static void store_entry(struct import *import, struct entry *entry, uint64_t generation, uint64_t epoch,
                        uint64_t now_us) {
    struct buffer value;
    buffer_init(&value, import->value.cap);
    entry->generation = generation;
    entry_append(entry, &value);
    if (value.failed) {
        buffer_fini(&value);
        end(import, IMPORT_FAILED);
        return;
    }
    buffer_fini(&import->value);
    import->value = value;
    const struct store_item item = {.kind = STORE_ENTRY,
                                    .key = import->key.bytes,
                                    .value = buffer_bytes(&import->value),
                                    .epoch = epoch,
                                    .cost_us = entry->inference_us,
                                    .group = key_hash(&import->generation_key),
                                    .ttl_ms = (entry_until_us(entry) - now_us) / 1000 + 1};
    store_put(import->store, &item, on_put, import);
}

static void look_up(struct import *import);

static void on_looked(struct store_look *look) {
    struct import *import = look->user;
    uint64_t now_us = clock_wall_us(import->context->clock);
    uint64_t generation, epoch;
    enum store_status status = generation_read(look, &generation, &epoch);
    if (status == STORE_MISSING && import->tries++ < TRIES) {
        generation_make(import->store, &import->generation_key, now_us);
        look_up(import);
        return;
    }
    struct entry entry;
    bool readable = entry_read(buffer_bytes(&import->value), &import->key, now_us, &entry) == ENTRY_GOOD;
    if (status != STORE_OK || !readable)
        end(import, IMPORT_FAILED);
    else if (begun_us(&entry) <= invalidated_us(look))
        end(import, IMPORT_PURGED);
    else if (entry_until_us(&entry) <= now_us)
        end(import, IMPORT_EXPIRED);
    else if (is_as_new(import, generation, &entry, now_us))
        end(import, IMPORT_KEPT);
    else
        store_entry(import, &entry, generation, epoch, now_us);
}

static void look_up(struct import *import) {
    struct store_look *look = &import->look;
    generation_look(look, &import->generation_key, &import->key);
    look->gets[OF_REMOVALS] = (struct store_get){.kind = STORE_GENERATION, .key = import->removals_key.bytes};
    look->gets[OF_PURGE] = (struct store_get){.kind = STORE_GENERATION, .key = import->purge_key.bytes};
    look->n = GETS;
    look->done = on_looked;
    look->user = import;
    store_look(import->store, look);
}

void import_begin(struct import *import, const struct context *context, struct store *store,
                  const struct entry *entry, void (*done)(struct import *import, enum import_result result)) {
    import->context = context;
    import->store = store;
    import->done = done;
    import->tries = 0;
    import->key = entry->key;
    key_of_generation(entry->cache_namespace, &import->generation_key);
    key_of_removals(&import->generation_key, &import->key, &import->removals_key);
    key_of_purge(&import->generation_key, &import->purge_key);
    buffer_init(&import->value, entry_length(entry));
    entry_append(entry, &import->value);
    look_up(import);
}

void import_forget(struct import *import) {
    if (!import->store)
        return;
    store_look_forget(import->store, &import->look);
    buffer_fini(&import->value);
}
