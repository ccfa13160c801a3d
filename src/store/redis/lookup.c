/* Look-ups on a Redis server: one batch is one MGET. */
#include <stdlib.h>

#include "store/redis/parts.h"

struct lookup {
    struct redis_command command; /* first */
    struct redis *redis;
    struct store_get *gets;
    size_t n;
    store_got got;
    void *user;
};

static void drop_lookup(struct redis_command *command) {
    free(command);
}

static void fail_all(struct redis *redis, struct store_get *gets, size_t n, store_got got, void *user) {
    for (size_t i = 0; i < n; i++)
        gets[i] = (struct store_get){.kind = gets[i].kind, .key = gets[i].key, .status = STORE_ERROR};
    stats_count(redis->stats, STAT_store_errors);
    got(user, gets, n);
}

static void fill_get(struct redis *redis, struct store_get *get, const struct redisReply *reply,
                     uint64_t now_us) {
    get->epoch = 0;
    get->value = (struct bytes){NULL, 0};
    get->status = STORE_MISSING;
    if (reply->type != REDIS_REPLY_STRING)
        return;
    item_tell(get, (struct bytes){reply->str, (size_t)reply->len}, now_us);
    if (get->status == STORE_MISSING)
        stats_count(redis->stats, STAT_rejected_entries);
}

/* An MGET is answered by a string or nil for each name. */
static bool answers_all(const struct lookup *lookup, const struct redisReply *reply) {
    bool well = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == lookup->n;
    for (size_t i = 0; well && i < lookup->n; i++)
        well = reply->element[i]->type == REDIS_REPLY_STRING || reply->element[i]->type == REDIS_REPLY_NIL;
    return well;
}

static void looked_up(struct redis_command *command, const struct redisReply *reply) {
    struct lookup lookup = *(struct lookup *)command;
    struct redis *redis = lookup.redis;
    free(command);
    if (!answers_all(&lookup, reply)) {
        redis_connection_distrust(redis->connection, reply);
        fail_all(redis, lookup.gets, lookup.n, lookup.got, lookup.user);
        return;
    }
    uint64_t now_us = clock_wall_us(redis->clock);
    for (size_t i = 0; i < lookup.n; i++)
        fill_get(redis, &lookup.gets[i], reply->element[i], now_us);
    lookup.got(lookup.user, lookup.gets, lookup.n);
}

static bool send_lookup(struct redis *redis, struct lookup *lookup) {
    size_t n = lookup->n + 1;
    char *names = malloc(lookup->n * redis->names.length);
    const char **words = malloc(n * sizeof(*words));
    size_t *lengths = malloc(n * sizeof(*lengths));
    bool sent = false;
    if (names && words && lengths) {
        words[0] = "MGET";
        lengths[0] = strlen("MGET");
        for (size_t i = 0; i < lookup->n; i++) {
            char *name = names + i * redis->names.length;
            item_name(&redis->names, lookup->gets[i].kind, lookup->gets[i].key, name);
            words[i + 1] = name;
            lengths[i + 1] = redis->names.length;
        }
        sent = redis_connection_send(redis->connection, &lookup->command, (int)n, words, lengths);
    }
    free(names);
    free(words);
    free(lengths);
    return sent;
}

bool redis_look_up(struct redis *redis, struct store_get *gets, size_t n, store_got got, void *user) {
    struct lookup *lookup = malloc(sizeof(*lookup));
    if (!lookup)
        return false;
    *lookup = (struct lookup){.command = {.answered = looked_up, .dropped = drop_lookup},
                              .redis = redis,
                              .gets = gets,
                              .n = n,
                              .got = got,
                              .user = user};
    if (send_lookup(redis, lookup))
        return true;
    free(lookup);
    return false;
}

void redis_get_many(struct store *store, struct store_get *gets, size_t n, store_got got, void *user) {
    struct redis *redis = redis_of(store);
    if (!remote_server_is_used(redis_server(redis)) || !redis_look_up(redis, gets, n, got, user))
        fail_all(redis, gets, n, got, user);
}
