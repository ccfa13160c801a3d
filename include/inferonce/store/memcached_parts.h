/* What the files of the memcached store share, and nobody else: memcached.c (the operations), memcached_get.c
 * (batches), memcached_generation.c (copies), memcached_probe.c (servers that come back). */
#ifndef INFERONCE_STORE_MEMCACHED_PARTS_H
#define INFERONCE_STORE_MEMCACHED_PARTS_H

#include "inferonce/store/memcached.h"
#include "inferonce/store/memcached_server.h"
#include "inferonce/store/memcached_stats.h"

/* How often an item that others change at the same time is tried. */
#define MEMCACHED_TRIES 8

/* What one server is asked for within a batch: an item, or its copy of a generation. */
struct memcached_ask {
    size_t get; /* index into the batch's gets */
    enum store_status status;
    uint64_t number; /* of a generation, 0: none; of an item, where its value is in the scratch */
    size_t next;     /* of the same server, + 1; 0: the last */
};

struct memcached {
    struct store store;
    const struct clock *clock;
    struct stats *stats;
    uv_loop_t *loop;
    struct remote_options remote;
    unsigned chunk; /* the most items in one request */
    unsigned n;
    struct memcached_server servers[SERVERS_MAX];
    memcached_st ring; /* chooses servers; never connects. Only with several servers */
    struct memcached_budget budget;
    uv_timer_t *prober; /* runs while a server is not used; freed by its close callback */
    struct memcached_stats *server_stats;
    struct buffer scratch; /* values of a batch, or of one item */
    struct memcached_ask *asks;
    size_t asks_capacity;
};

static inline struct memcached *memcached_of(struct store *store) {
    return (struct memcached *)store; /* `store` is its first member */
}

/* ---- memcached.c ---- */

/* The server of an item. */
unsigned memcached_route(struct memcached *memcached, const char name[ITEM_NAME_LENGTH]);

/* Whether a server is used now. One that has to be told something first is not, and is seen to. */
bool memcached_is_used(struct memcached *memcached, struct memcached_server *server);

/* Writes a tombstone, or with `tombstone_ms` 0 deletes. STORE_OK, STORE_MISSING, STORE_ERROR. */
enum store_status memcached_bury(struct memcached *memcached, struct memcached_server *server,
                                 const char name[ITEM_NAME_LENGTH], uint64_t epoch, uint64_t tombstone_ms);

/* ---- memcached_get.c ---- */

void memcached_get_many(struct store *store, struct store_get *gets, size_t n, store_got got, void *user);

/* ---- memcached_generation.c: all within a budget ---- */

/* Raises one copy to `target` at least, or above what it is with `beyond`. False: the server failed. */
bool memcached_generation_raise(struct memcached_server *server, const char name[ITEM_NAME_LENGTH],
                                uint64_t target, bool beyond);

/* Reads the copies of all servers that are used, and brings those that are missing or behind up to the
 * greatest, which is in `*number`. STORE_OK, STORE_MISSING, STORE_ERROR (no server could say). */
enum store_status memcached_generation_settle(struct memcached *memcached, const char name[ITEM_NAME_LENGTH],
                                              uint64_t *number);

enum store_status memcached_generation_put(struct memcached *memcached, const uint8_t *key, uint64_t number);
enum store_status memcached_generation_add(struct memcached *memcached, const uint8_t *key, uint64_t number);
enum store_status memcached_generation_remove(struct memcached *memcached, const uint8_t *key);

/* ---- memcached_probe.c ---- */

bool memcached_probing_setup(struct memcached *memcached);
void memcached_probing_teardown(struct memcached *memcached);

/* Waits for the names of servers, RESOLVER_START_MS at most. One whose address is not known then is away. */
void memcached_find_servers(struct memcached *memcached);

/* resolver_found: a server can be probed. */
void memcached_found(void *user);

/* A breaker has opened: sees to it that it is probed. */
void memcached_probe_later(struct memcached *memcached);

#endif
