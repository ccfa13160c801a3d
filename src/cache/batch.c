#include "inferonce/cache/batch.h"

#include <stdlib.h>

/* Below this many gets they are compared one by one: cheaper than clearing a table. */
#define LINEAR_MAX 8

struct cache_batch *batch_take(struct batch_pool *pool) {
    struct cache_batch *batch = pool->free;
    if (batch) {
        pool->free = batch->next_free;
    } else {
        batch = malloc(sizeof(*batch));
        if (!batch)
            return NULL;
        batch->next_made = pool->made;
        pool->made = batch;
    }
    batch->n_requests = 0;
    batch->n_gets = 0;
    batch->table_in_use = false;
    return batch;
}

void batch_release(struct batch_pool *pool, struct cache_batch *batch) {
    batch->next_free = pool->free;
    pool->free = batch;
}

void batch_pool_fini(struct batch_pool *pool) {
    pool->free = NULL;
    while (pool->made) {
        struct cache_batch *batch = pool->made;
        pool->made = batch->next_made;
        free(batch);
    }
}

static bool is_get(const struct cache_batch *batch, size_t at, enum store_kind kind, const struct key *key) {
    return batch->gets[at].kind == kind && key_equal(&batch->keys[at], key);
}

static size_t append_get(struct cache_batch *batch, enum store_kind kind, const struct key *key) {
    size_t at = batch->n_gets++;
    batch->keys[at] = *key;
    batch->gets[at] = (struct store_get){.kind = kind, .key = batch->keys[at].bytes};
    return at;
}

/* The place in the table where `key` is or would go. */
static uint16_t *table_place(struct cache_batch *batch, enum store_kind kind, const struct key *key) {
    size_t place = key_hash(key) % BATCH_TABLE;
    while (batch->table[place] != 0 && !is_get(batch, batch->table[place] - 1u, kind, key))
        place = (place + 1) % BATCH_TABLE;
    return &batch->table[place];
}

static void table_build(struct cache_batch *batch) {
    memset(batch->table, 0, sizeof(batch->table));
    batch->table_in_use = true;
    for (size_t at = 0; at < batch->n_gets; at++)
        *table_place(batch, batch->gets[at].kind, &batch->keys[at]) = (uint16_t)(at + 1);
}

/* The index of the get for `key`, made if there is none yet. */
static uint16_t get_for(struct cache_batch *batch, enum store_kind kind, const struct key *key) {
    if (batch->n_gets < LINEAR_MAX) {
        for (size_t at = 0; at < batch->n_gets; at++)
            if (is_get(batch, at, kind, key))
                return (uint16_t)at;
        return (uint16_t)append_get(batch, kind, key);
    }
    if (!batch->table_in_use)
        table_build(batch);
    uint16_t *place = table_place(batch, kind, key);
    if (*place == 0)
        *place = (uint16_t)(append_get(batch, kind, key) + 1);
    return (uint16_t)(*place - 1);
}

void batch_add(struct cache_batch *batch, struct cache_request *request) {
    size_t i = batch->n_requests++;
    batch->requests[i] = request;
    batch->generation_at[i] = get_for(batch, STORE_GENERATION, &request->generation_key);
    batch->entry_at[i] = get_for(batch, STORE_ENTRY, &request->key);
    request->batch = batch;
    request->batch_at = i;
}

void batch_forget(struct cache_request *request) {
    if (request->batch)
        request->batch->requests[request->batch_at] = NULL;
    request->batch = NULL;
}
