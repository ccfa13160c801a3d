/* The Redis store: set-up, how the server comes back, what it says of itself. */
#include "store/redis/redis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "inferonce/base/little_endian.h"
#include "store/redis/parts.h"

/* ---- the time of the last purge ---- */

static uint64_t number_of(const struct store_get *get) {
    return get->status == STORE_OK && get->value.length == STORE_GENERATION_LENGTH ? load_u64(get->value.data)
                                                                                   : 0;
}

/* ---- the probe ---- */

/* The answer to the write, which comes next, ends the probe. */
static void on_probe_read(void *user, struct store_get *gets, size_t n) {
    struct redis *redis = user;
    (void)n;
    redis->probed_purge = number_of(gets);
}

/* Reads and writes as work does, on an item of its own: a server that reads and refuses writes (a replica
 * that nobody promoted, one that is full) is not used. */
static void probe(struct remote_server *server) {
    struct redis *redis = redis_connection_user(server);
    redis->probe_purge = (struct store_get){.kind = STORE_GENERATION, .key = STORE_LAST_PURGE};
    redis->probed_purge = 0;
    if (redis_look_up(redis, &redis->probe_purge, 1, on_probe_read, redis) && redis_probe_write(redis))
        return;
    if (server->state == REMOTE_PROBING)
        remote_server_failed(server, BREAKER_GONE, "no memory for the probe");
}

static const struct remote_server_operations SERVER = {.restores = true, .probe = probe, .tell = redis_tell};

/* ---- figures ---- */

static void on_purge_read(void *user, struct store_get *gets, size_t n) {
    struct redis *redis = user;
    struct remote_server *server = redis_server(redis);
    (void)n;
    redis->asking = false;
    if (gets->status != STORE_ERROR)
        remote_server_read(server, number_of(gets));
}

static void on_asks(void *user) {
    struct redis *redis = user;
    if (redis->asking || redis_server(redis)->state != REMOTE_USED)
        return;
    redis->figures_purge = (struct store_get){.kind = STORE_GENERATION, .key = STORE_LAST_PURGE};
    redis->asking = redis_look_up(redis, &redis->figures_purge, 1, on_purge_read, redis);
}

static void figures(struct store *store, struct store_figures *figures_) {
    redis_connection_figures(redis_of(store)->connection, figures_);
}

/* ---- set-up ---- */

static void close_redis(struct store *store) {
    struct redis *redis = redis_of(store);
    redis_connection_destroy(&redis->connection);
    free(redis);
}

static const struct store_operations OPERATIONS = {
    .name = "redis",
    .get_many = redis_get_many,
    .put = redis_put,
    .add = redis_add_item,
    .remove = redis_remove,
    .figures = figures,
    .close = close_redis,
};

struct store *redis_open(const struct context *context, const struct remote_options *remote,
                         struct error *error) {
    struct redis *redis = calloc(1, sizeof(*redis));
    if (!redis) {
        error_set(error, "out of memory");
        return NULL;
    }
    redis->store.operations = &OPERATIONS;
    redis->clock = context->clock;
    redis->stats = context->stats;
    redis->remote = *remote;
    item_names_init(&redis->names, context->settings->cache_key_prefix);
    snprintf(redis->generation_px, sizeof(redis->generation_px), "%" PRIu64,
             store_generation_ms(context->settings));
    redis->connection = redis_connection_create(
        &(struct redis_connection_options){
            .context = context, .remote = remote, .operations = &SERVER, .asks = on_asks, .user = redis},
        error);
    if (!redis->connection) {
        free(redis);
        return NULL;
    }
    return &redis->store;
}
