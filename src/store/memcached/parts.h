/* Private to the files of the memcached store, the lowest first: operation.c (names, places, ends), raise.c
 * (one copy of a generation), generation.c (copies on every server), lookup.c (get), change.c (put, add,
 * remove of one item), memcached.c (set-up, servers, figures). */
#ifndef INFERONCE_STORE_MEMCACHED_PARTS_H
#define INFERONCE_STORE_MEMCACHED_PARTS_H

#include <libmemcached/memcached.h>

#include "store/backend.h"
#include "store/memcached/connection.h"
#include "store/remote/item.h"
#include "store/remote/server.h"

/* CAS attempts on a contended item. */
#define MEMCACHED_TRIES 8

struct memcached;

/* One read of STORE_LAST_PURGE. */
struct purge_read {
    struct memcached_command command; /* first */
    struct memcached_found found;
    struct buffer value;
};

struct memcached_server {
    struct remote_server remote; /* first: its callbacks get back to the server */
    struct memcached *memcached;
    struct memcached_connection *connection; /* owned */
    bool full; /* it refused an item for want of memory, and none since was taken */

    /* Its own figures; asked for once a second. */
    struct memcached_command figures_command;
    struct purge_read figures_purge;
    bool asking;
    bool known;
    uint64_t items, bytes, evictions;
    uint64_t items_read, bytes_read, evictions_read, time_read; /* of the answer under way */

    /* The probe: a read of STORE_LAST_PURGE and a write of an item that is the probe's own. */
    struct purge_read probe_purge;
    struct memcached_command probe_set;
    char probe_name[ITEM_NAME_MAX];
    char purge_name[ITEM_NAME_MAX]; /* of STORE_LAST_PURGE */
};

struct memcached_lookup;
TAILQ_HEAD(memcached_lookups, memcached_lookup);

struct memcached {
    struct store store; /* first */
    const struct clock *clock;
    struct stats *stats;
    struct remote_options remote;
    unsigned n;
    struct memcached_server servers[SERVERS_MAX];
    memcached_st ring; /* chooses servers; never connects. Only with several servers */
    bool has_ring;
    struct item_names names;
    uint64_t generation_ms; /* how long a generation stays */
    uv_timer_t *asker;      /* for figures; freed by its close callback */
    bool closing;           /* operations that end now call nothing back */
    struct memcached_lookups free_lookups;
    unsigned n_free_lookups;
};

static inline struct memcached *memcached_of(struct store *store) {
    return (struct memcached *)store;
}

/* ---- operation.c ---- */

/* The name of an item: names.length bytes. */
void memcached_name(const struct memcached *memcached, enum store_kind kind, const uint8_t *key, char *name);

/* The index of the server that has the item of this name: where every client of the same servers looks. */
unsigned memcached_place(const struct memcached *memcached, const char *name);

/* Whether a step of an operation may be sent: to a server that is used, or that is just being told. */
bool memcached_may_send(struct memcached_server *server, bool tells);

/* Counts a failure and calls `done`, unless everything ends. */
void memcached_conclude(struct memcached *memcached, enum store_status status, store_done done, void *user);

/* Notes whether the server takes items, and says so when that changes. */
void memcached_note_full(struct memcached_server *server, enum memcached_outcome outcome);

/* The generation that was read; 0: none. */
uint64_t memcached_number_of(const struct memcached_found *found, const struct buffer *values);

/* ---- raise.c ---- */

/* `done`: the server has the number, or a greater one. */
typedef void (*memcached_raised)(void *user, bool done);

/* Raises the server's copy to `target`, unless it is there already; with `tells`, which is for a server that
 * is just being told, above what is there in every case. False: no memory, `raised` is not called. */
bool memcached_raise(struct memcached_server *server, const char *name, uint64_t target, bool tells,
                     memcached_raised raised, void *user) MUST_CHECK;

/* Does the pending purge of a namespace and calls remote_server_told. */
void memcached_tell_purge(struct memcached_server *server, const struct pending *pending);

/* ---- lookup.c ---- */

void memcached_get_many(struct store *store, struct store_get *gets, size_t n, store_got got, void *user);
void memcached_free_lookups(struct memcached *memcached);

/* ---- change.c ---- */

void memcached_put(struct store *store, const struct store_item *item, store_done done, void *user);
void memcached_add_item(struct store *store, const struct store_item *item, store_done done, void *user);
void memcached_remove(struct store *store, enum store_kind kind, const uint8_t *key, uint64_t epoch,
                      uint64_t tombstone_ms, store_done done, void *user);

/* Does the pending removal of an entry and calls remote_server_told. */
void memcached_tell_removal(struct memcached_server *server, const struct pending *pending);

/* ---- generation.c ---- */

void memcached_generation_put(struct memcached *memcached, const uint8_t *key, uint64_t number,
                              store_done done, void *user);
void memcached_generation_add(struct memcached *memcached, const uint8_t *key, uint64_t number,
                              store_done done, void *user);
void memcached_generation_remove(struct memcached *memcached, const uint8_t *key, store_done done,
                                 void *user);

/* `status` STORE_OK: the greatest number of all copies; STORE_MISSING: no server that answered has one;
 * STORE_ERROR: no server could say. `failed`: a server failed. */
typedef void (*memcached_settled)(void *user, enum store_status status, uint64_t number, bool failed);

/* Reads the copies of all servers that are used, and brings those that are missing or behind up to the
 * greatest. */
void memcached_generation_settle(struct memcached *memcached, const char *name, memcached_settled settled,
                                 void *user);

#endif
