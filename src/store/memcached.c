#include "inferonce/store/memcached.h"

#include <stdlib.h>

#include "inferonce/base/little_endian.h"
#include "inferonce/store/memcached_parts.h"

/* Memory for values that is kept from batch to batch. */
#define SCRATCH_KEEP (UINT64_C(1) << 20)

/* More than any answer may hold: what a server claims is not a reason to run out of memory. */
#define SCRATCH_MAX (UINT64_C(1) << 30)

static const struct store_operations OPERATIONS;

unsigned memcached_route(struct memcached *memcached, const char name[ITEM_NAME_LENGTH]) {
    if (memcached->n == 1)
        return 0;
    return memcached_generate_hash(&memcached->ring, name, ITEM_NAME_LENGTH) % memcached->n;
}

bool memcached_is_used(struct memcached *memcached, struct memcached_server *server) {
    if (server->breaker.open)
        return false;
    if (!pending_any(memcached->remote.pendings) ||
        pending_count(memcached->remote.pendings, server->id) == 0)
        return true;
    breaker_hold(&server->breaker, uv_now(memcached->loop));
    memcached_probe_later(memcached);
    return false;
}

static void begin(struct memcached *memcached) {
    memcached_budget_begin(&memcached->budget, uv_now(memcached->loop));
}

/* Ends what begin began. */
static void finish(struct memcached *memcached, enum store_status status, store_done done, void *user) {
    memcached_budget_end(&memcached->budget);
    memcached_probe_later(memcached);
    buffer_reset(&memcached->scratch, SCRATCH_KEEP);
    if (status == STORE_ERROR || status == STORE_PENDING)
        stats_count(memcached->stats, STAT_store_errors);
    done(user, status);
}

/* ---- entries ---- */

/* What is there, and its cas number; `*outcome` MEMCACHED_NOTHING: no item at all. */
static struct item look(struct memcached *memcached, struct memcached_server *server, const char *name,
                        uint64_t *cas, enum memcached_outcome *outcome) {
    struct bytes value;
    struct item item = {.epoch = 0};
    *outcome = memcached_server_get(server, name, &value, cas);
    if (*outcome == MEMCACHED_DONE && !item_read(value, clock_wall_us(memcached->clock), &item))
        item = (struct item){.epoch = 0};
    return item;
}

/* Writes over what was looked at, unless that has changed. */
static enum memcached_outcome replace(struct memcached_server *server, enum memcached_outcome looked,
                                      const char *name, struct bytes value, uint64_t cas, uint64_t ttl_ms) {
    enum memcached_write how = looked == MEMCACHED_DONE ? MEMCACHED_CAS : MEMCACHED_ADD;
    enum memcached_outcome outcome = memcached_server_write(server, how, name, value, cas, ttl_ms);
    return outcome == MEMCACHED_NOTHING ? MEMCACHED_CONFLICT : outcome; /* it went away meanwhile */
}

static uint64_t kept_ms(uint64_t ttl_ms) {
    return ttl_ms == 0 || ttl_ms > UINT64_MAX - ITEM_GRACE_MS ? 0 : ttl_ms + ITEM_GRACE_MS;
}

static enum store_status put_entry(struct memcached *memcached, struct memcached_server *server,
                                   const char *name, const struct store_item *item) {
    uint64_t now_us = clock_wall_us(memcached->clock);
    char *header = buffer_reserve(&memcached->scratch, ITEM_HEADER_LENGTH + item->value.length);
    if (!header)
        return STORE_ERROR;
    item_header(item->epoch, item_expiry(now_us, item->ttl_ms), false, header);
    memcached->scratch.length = ITEM_HEADER_LENGTH;
    buffer_append_bytes(&memcached->scratch, item->value);
    for (unsigned tries = 0; tries < MEMCACHED_TRIES; tries++) {
        uint64_t cas = 0;
        enum memcached_outcome looked;
        struct item there = look(memcached, server, name, &cas, &looked);
        if (looked == MEMCACHED_BROKEN)
            return STORE_ERROR;
        if (there.epoch > item->epoch)
            return STORE_REFUSED;
        switch (
            replace(server, looked, name, buffer_bytes(&memcached->scratch), cas, kept_ms(item->ttl_ms))) {
        case MEMCACHED_DONE:
            return STORE_OK;
        case MEMCACHED_TOO_BIG: /* the server keeps the old value of an item that it would not change */
            return memcached_server_delete(server, name) == MEMCACHED_BROKEN ? STORE_ERROR : STORE_TOO_LARGE;
        case MEMCACHED_FULL:
        case MEMCACHED_BROKEN:
            return STORE_ERROR;
        default:
            break; /* somebody else was at it */
        }
    }
    return STORE_ERROR;
}

enum store_status memcached_bury(struct memcached *memcached, struct memcached_server *server,
                                 const char name[ITEM_NAME_LENGTH], uint64_t epoch, uint64_t tombstone_ms) {
    for (unsigned tries = 0; tries < MEMCACHED_TRIES; tries++) {
        uint64_t cas = 0;
        enum memcached_outcome looked;
        struct item there = look(memcached, server, name, &cas, &looked);
        if (looked == MEMCACHED_BROKEN)
            return STORE_ERROR;
        enum store_status status = there.exists ? STORE_OK : STORE_MISSING;
        enum memcached_outcome outcome;
        if (tombstone_ms == 0) {
            outcome = looked == MEMCACHED_NOTHING ? looked : memcached_server_delete(server, name);
        } else {
            char tombstone[ITEM_HEADER_LENGTH];
            uint64_t now_us = clock_wall_us(memcached->clock);
            item_header(item_tombstone_epoch(epoch, &there), item_expiry(now_us, tombstone_ms), true,
                        tombstone);
            outcome = replace(server, looked, name, (struct bytes){tombstone, sizeof(tombstone)}, cas,
                              tombstone_ms);
        }
        if (outcome == MEMCACHED_DONE || outcome == MEMCACHED_NOTHING)
            return status;
        if (outcome != MEMCACHED_CONFLICT)
            return STORE_ERROR;
    }
    return STORE_ERROR;
}

/* A server that is not there is told when it is. */
static enum store_status remove_entry(struct memcached *memcached, const uint8_t *key, const char *name,
                                      uint64_t epoch, uint64_t tombstone_ms) {
    struct memcached_server *server = &memcached->servers[memcached_route(memcached, name)];
    if (memcached_is_used(memcached, server)) {
        enum store_status status = memcached_bury(memcached, server, name, epoch, tombstone_ms);
        if (status != STORE_ERROR)
            return status;
    }
    struct pending pending = {
        .server = server->id, .kind = STORE_ENTRY, .epoch = epoch, .tombstone_ms = tombstone_ms};
    memcpy(pending.key, key, STORE_KEY_LENGTH);
    return pending_add(memcached->remote.pendings, &pending) ? STORE_PENDING : STORE_ERROR;
}

/* ---- the operations ---- */

static enum store_status write_small(struct memcached_server *server, enum memcached_write how,
                                     const char *name, const struct store_item *item) {
    switch (memcached_server_write(server, how, name, item->value, 0, item->ttl_ms)) {
    case MEMCACHED_DONE:
        return STORE_OK;
    case MEMCACHED_CONFLICT:
        return STORE_EXISTS;
    default:
        return STORE_ERROR;
    }
}

static enum store_status put_item(struct memcached *memcached, const struct store_item *item) {
    char name[ITEM_NAME_LENGTH];
    if (item->kind == STORE_GENERATION)
        return memcached_generation_put(memcached, item->key, load_u64(item->value.data));
    item_name(item->kind, item->key, name);
    struct memcached_server *server = &memcached->servers[memcached_route(memcached, name)];
    if (!memcached_is_used(memcached, server))
        return STORE_ERROR;
    return item->kind == STORE_ENTRY ? put_entry(memcached, server, name, item)
                                     : write_small(server, MEMCACHED_SET, name, item);
}

static void put(struct store *store, const struct store_item *item, store_done done, void *user) {
    struct memcached *memcached = memcached_of(store);
    begin(memcached);
    finish(memcached, put_item(memcached, item), done, user);
}

static enum store_status add_item(struct memcached *memcached, const struct store_item *item) {
    char name[ITEM_NAME_LENGTH];
    if (item->kind == STORE_GENERATION)
        return memcached_generation_add(memcached, item->key, load_u64(item->value.data));
    item_name(item->kind, item->key, name);
    struct memcached_server *server = &memcached->servers[memcached_route(memcached, name)];
    return memcached_is_used(memcached, server) ? write_small(server, MEMCACHED_ADD, name, item)
                                                : STORE_ERROR;
}

static void add(struct store *store, const struct store_item *item, store_done done, void *user) {
    struct memcached *memcached = memcached_of(store);
    begin(memcached);
    finish(memcached, add_item(memcached, item), done, user);
}

static enum store_status remove_one(struct memcached *memcached, enum store_kind kind, const uint8_t *key,
                                    uint64_t epoch, uint64_t tombstone_ms) {
    char name[ITEM_NAME_LENGTH];
    if (kind == STORE_GENERATION)
        return memcached_generation_remove(memcached, key);
    item_name(kind, key, name);
    if (kind == STORE_ENTRY)
        return remove_entry(memcached, key, name, epoch, tombstone_ms);
    struct memcached_server *server = &memcached->servers[memcached_route(memcached, name)];
    if (!memcached_is_used(memcached, server))
        return STORE_ERROR;
    switch (memcached_server_delete(server, name)) {
    case MEMCACHED_DONE:
        return STORE_OK;
    case MEMCACHED_NOTHING:
        return STORE_MISSING;
    default:
        return STORE_ERROR;
    }
}

static void remove_item(struct store *store, enum store_kind kind, const uint8_t *key, uint64_t epoch,
                        uint64_t tombstone_ms, store_done done, void *user) {
    struct memcached *memcached = memcached_of(store);
    begin(memcached);
    finish(memcached, remove_one(memcached, kind, key, epoch, tombstone_ms), done, user);
}

/* ---- the rest ---- */

static void add_up(uint64_t *sum, uint64_t figure) {
    if (figure != UINT64_MAX)
        *sum = *sum == UINT64_MAX ? figure : *sum + figure;
}

static void figures(struct store *store, struct store_figures *figures_) {
    struct memcached *memcached = memcached_of(store);
    *figures_ = (struct store_figures){.size = UINT64_MAX,
                                       .max_size = UINT64_MAX,
                                       .memory_bytes = UINT64_MAX,
                                       .evictions = UINT64_MAX,
                                       .n_servers = memcached->n};
    for (unsigned i = 0; i < memcached->n; i++) {
        struct store_server *server = &figures_->servers[i];
        *server = (struct store_server){
            .up = !memcached->servers[i].breaker.open,
            .pending = pending_count(memcached->remote.pendings, memcached->servers[i].id)};
        memcpy(server->name, memcached->servers[i].name, sizeof(server->name));
        memcached_stats_tell(memcached->server_stats, i, server);
        server->up = server->up && server->pending == 0;
        figures_->degraded = figures_->degraded || !server->up;
        add_up(&figures_->size, server->items);
        add_up(&figures_->memory_bytes, server->memory_bytes);
        add_up(&figures_->evictions, server->evictions);
    }
}

static void close_memcached(struct store *store) {
    struct memcached *memcached = memcached_of(store);
    memcached_probing_teardown(memcached);
    memcached_stats_destroy(&memcached->server_stats);
    for (unsigned i = 0; i < memcached->n; i++)
        memcached_server_fini(&memcached->servers[i]);
    memcached_budget_fini(&memcached->budget);
    if (memcached->n > 1)
        memcached_free(&memcached->ring);
    buffer_fini(&memcached->scratch);
    free(memcached->asks);
    free(memcached);
}

/* The continuum of libketama, as other clients of the same servers have it: by the names that the settings
 * have, wherever they lead, so that all hosts agree. */
static bool make_ring(struct memcached *memcached) {
    if (memcached->n == 1)
        return true;
    if (!memcached_create(&memcached->ring))
        return false;
    bool made =
        memcached_success(memcached_behavior_set(&memcached->ring, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1));
    for (unsigned i = 0; i < memcached->n && made; i++) {
        const struct server_address *address = &memcached->servers[i].resolver.address;
        made = memcached_success(address->port == 0
                                     ? memcached_server_add_unix_socket(&memcached->ring, address->host)
                                     : memcached_server_add(&memcached->ring, address->host, address->port));
    }
    if (!made)
        memcached_free(&memcached->ring);
    return made;
}

static bool read_servers(struct memcached *memcached, const char *text) {
    struct bytes list = bytes_of(text);
    struct server_address address;
    while (list.length > 0) {
        if (memcached->n == SERVERS_MAX || !server_address_next(&list, &address))
            return false;
        memcached_server_init(&memcached->servers[memcached->n++], memcached->loop, &address, memcached_found,
                              memcached);
    }
    return memcached->n > 0;
}

struct store *memcached_open(const struct store_options *options, const struct remote_options *remote,
                             struct error *error) {
    struct memcached *memcached = calloc(1, sizeof(*memcached));
    if (!memcached) {
        error_set(error, "out of memory");
        return NULL;
    }
    memcached->store.operations = &OPERATIONS;
    memcached->clock = options->clock;
    memcached->stats = options->stats;
    memcached->loop = options->loop;
    memcached->remote = *remote;
    memcached->chunk = (unsigned)options->settings->store_batch;
    buffer_init(&memcached->scratch, SCRATCH_MAX);
    if (!read_servers(memcached, options->settings->memcached_servers)) {
        error_set(error, "MEMCACHED_SERVERS is no list of servers");
        free(memcached);
        return NULL;
    }
    if (!make_ring(memcached)) {
        error_set(error, "libmemcached does not take the list of servers");
        free(memcached);
        return NULL;
    }
    if (!memcached_budget_init(&memcached->budget, memcached->servers, memcached->n,
                               options->settings->store_timeout_ms, error)) {
        if (memcached->n > 1)
            memcached_free(&memcached->ring);
        free(memcached);
        return NULL;
    }
    memcached->server_stats = memcached_stats_create(options->loop, memcached->servers, memcached->n);
    if (!memcached->server_stats || !memcached_probing_setup(memcached)) {
        error_set(error, "out of memory");
        close_memcached(&memcached->store);
        return NULL;
    }
    memcached_find_servers(memcached);
    return &memcached->store;
}

static const struct store_operations OPERATIONS = {
    .name = "memcached",
    .get_many = memcached_get_many,
    .put = put,
    .add = add,
    .remove = remove_item,
    .figures = figures,
    .close = close_memcached,
};
