/* The store's operations, handed to the backend. */
#include "inferonce/store/store.h"

#include "store/backend.h"
#include "store/batch.h"

/* The time that an entry may last longer than its settings say: a server's seconds, clocks, an inference
 * under way. */
#define GENERATION_MARGIN_MS UINT64_C(3600000)

const uint8_t STORE_ALL_NAMESPACES[STORE_KEY_LENGTH] = {'a', 'l', 'l'};
const uint8_t STORE_LAST_PURGE[STORE_KEY_LENGTH] = {'l', 'a', 's', 't'};

static uint64_t greater(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

uint64_t store_generation_ms(const struct settings *settings) {
    uint64_t fresh_ms = greater(settings->cache_ttl_ms, settings->cache_ttl_max_ms);
    uint64_t stale_ms = greater(settings->cache_stale_while_revalidate_ms, settings->cache_stale_if_error_ms);
    return 2 * (fresh_ms + stale_ms + GENERATION_MARGIN_MS);
}

static void ignore(void *user, enum store_status status) {
    (void)user;
    (void)status;
}

static bool is_well_formed(const struct store_item *item) {
    if (item->kind == STORE_GENERATION)
        return item->value.length == STORE_GENERATION_LENGTH;
    return item->kind == STORE_ENTRY || item->value.length <= STORE_SMALL_MAX;
}

void store_put(struct store *store, const struct store_item *item, store_done done, void *user) {
    INVARIANT(is_well_formed(item));
    store->operations->put(store, item, done ? done : ignore, user);
}

void store_add(struct store *store, const struct store_item *item, store_done done, void *user) {
    INVARIANT(is_well_formed(item) && item->kind != STORE_ENTRY);
    store->operations->add(store, item, done ? done : ignore, user);
}

void store_remove(struct store *store, enum store_kind kind, const uint8_t *key, uint64_t epoch,
                  uint64_t tombstone_ms, store_done done, void *user) {
    store->operations->remove(store, kind, key, epoch, tombstone_ms, done ? done : ignore, user);
}

bool store_sweep(struct store *store, uint64_t group, uint64_t epoch, uint64_t *cursor, uint64_t *removed) {
    if (store->operations->sweep)
        return store->operations->sweep(store, group, epoch, cursor, removed);
    *removed = UINT64_MAX;
    return false;
}

bool store_can_walk(const struct store *store) {
    return store->operations->walk != NULL;
}

bool store_walk(struct store *store, uint64_t *cursor, struct buffer *scratch, store_walked walked,
                void *user) {
    INVARIANT(store_can_walk(store));
    return store->operations->walk(store, cursor, scratch, walked, user);
}

const char *store_name(const struct store *store) {
    return store->operations->name;
}

void store_figures(struct store *store, struct store_figures *figures) {
    store->operations->figures(store, figures);
}

void store_close(struct store **store) {
    if (!*store)
        return;
    struct store_batches *batches = (*store)->batches;
    (*store)->operations->close(*store);
    store_batches_destroy(&batches);
    *store = NULL;
}
