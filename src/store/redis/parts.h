/* Private to the files of the Redis store, the lowest first: lookup.c (get), change.c (put, add, remove,
 * pending invalidations), redis.c (set-up, the probe, figures). */
#ifndef INFERONCE_STORE_REDIS_PARTS_H
#define INFERONCE_STORE_REDIS_PARTS_H

#include "store/backend.h"
#include "store/redis/connection.h"
#include "store/remote/item.h"
#include "store/remote/remote.h"

struct redis {
    struct store store; /* first */
    const struct clock *clock;
    struct stats *stats;
    struct remote_options remote;
    struct item_names names;
    char generation_px[24]; /* how long a generation stays, in milliseconds */
    struct redis_connection *connection;

    /* Reads of STORE_LAST_PURGE: with the figures, while the server is used, and by the probe. */
    struct store_get figures_purge;
    bool asking;
    struct store_get probe_purge;
    uint64_t probed_purge; /* what the probe read */
};

static inline struct redis *redis_of(struct store *store) {
    return (struct redis *)store;
}

static inline struct remote_server *redis_server(const struct redis *redis) {
    return redis_connection_server(redis->connection);
}

/* ---- lookup.c ---- */

void redis_get_many(struct store *store, struct store_get *gets, size_t n, store_got got, void *user);

/* As redis_get_many, whether or not the server is used. False: it could not be asked, and `got` is not
 * called. */
bool redis_look_up(struct redis *redis, struct store_get *gets, size_t n, store_got got,
                   void *user) MUST_CHECK;

/* ---- change.c ---- */

void redis_put(struct store *store, const struct store_item *item, store_done done, void *user);
void redis_add_item(struct store *store, const struct store_item *item, store_done done, void *user);
void redis_remove(struct store *store, enum store_kind kind, const uint8_t *key, uint64_t epoch,
                  uint64_t tombstone_ms, store_done done, void *user);

/* Does the pending invalidation and calls remote_server_told. */
void redis_tell(struct remote_server *server, const struct pending *pending);

/* Writes an item of the probe's own, behind its read, and calls remote_server_probed with `probed_purge`.
 * False: it could not be sent. */
bool redis_probe_write(struct redis *redis) MUST_CHECK;

#endif
