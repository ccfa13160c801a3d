/* The stores that exist, and how one is opened. */
#include "inferonce/store/memory.h"
#include "store/backend.h"
#include "store/batch.h"
#include "store/fallback.h"
#include "store/memcached/memcached.h"
#include "store/redis/redis.h"

/* By enum cache_backend. A backend without a `remote` is the memory itself. */
static const struct {
    remote_open remote;
} STORES[] = {
    [CACHE_BACKEND_MEMORY] = {NULL},
    [CACHE_BACKEND_MEMCACHED] = {memcached_open},
    [CACHE_BACKEND_REDIS] = {redis_open},
};

struct store *store_open(const struct context *context, struct error *error) {
    remote_open remote = STORES[context->settings->cache_backend].remote;
    struct store *store = remote ? fallback_open(context, remote, error) : memory_open(context, error);
    if (!store)
        return NULL;
    store->batches = store_batches_create(store, context);
    if (!store->batches) {
        error_set(error, "out of memory");
        store_close(&store);
    }
    return store;
}
