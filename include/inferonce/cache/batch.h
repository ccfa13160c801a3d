/* One lookup of many requests: which keys to ask for, each once, and who asked. */
#ifndef INFERONCE_CACHE_BATCH_H
#define INFERONCE_CACHE_BATCH_H

#include "inferonce/cache/request.h"
#include "inferonce/store/store.h"

#define BATCH_REQUESTS 128
#define BATCH_GETS     (2 * BATCH_REQUESTS) /* an entry and, if no two share a namespace, a generation each */
#define BATCH_TABLE    (4 * BATCH_REQUESTS) /* at most half full */

/* Fixed in size: a turn allocates nothing. Its keys are copies, because a request may leave while the store
 * is being asked. */
struct cache_batch {
    void *owner;
    size_t n_requests;
    size_t n_gets;
    struct cache_request *requests[BATCH_REQUESTS]; /* NULL: has left */
    uint16_t generation_at[BATCH_REQUESTS];         /* index into gets */
    uint16_t entry_at[BATCH_REQUESTS];
    struct store_get gets[BATCH_GETS];
    struct key keys[BATCH_GETS];
    uint16_t table[BATCH_TABLE]; /* 1 + index into gets, by key; a small batch does without */
    bool table_in_use;
    struct cache_batch *next_free;
    struct cache_batch *next_made;
};

/* Batches to be used again. With a store that answers at once there is only one. Zero-initialised: empty. */
struct batch_pool {
    struct cache_batch *free;
    struct cache_batch *made; /* all, also those that are in use */
};

/* An empty batch; NULL: no memory. */
struct cache_batch *batch_take(struct batch_pool *pool);
void batch_release(struct batch_pool *pool, struct cache_batch *batch);

/* Frees all of them: those in use, too, whose store is about to be closed and will not answer any more. */
void batch_pool_fini(struct batch_pool *pool);

/* Adds a request; at most BATCH_REQUESTS. */
void batch_add(struct cache_batch *batch, struct cache_request *request);

/* The request leaves the batch it is in. */
void batch_forget(struct cache_request *request);

#endif
