/* Writes and removals on a Redis server: commands, and scripts where the rule of epochs holds. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "inferonce/base/little_endian.h"
#include "store/redis/parts.h"
#include "store/remote/history.h"

#define WORDS_MAX 8

#define PROBE_TTL_MS 1000

/* A put, add or remove, or an invalidation that was pending. */
struct change {
    struct redis_command command; /* first */
    struct redis *redis;
    enum store_status (*status_of)(const struct redisReply *reply);
    struct pending invalidation; /* with `invalidates`: to be remembered when the change fails */
    bool invalidates;
    store_done done;
    void *user;
};

/* ---- the scripts, and what replies mean ---- */

/* A put of an entry, by the rule of epochs. KEYS: its name. ARGV: header, payload, now, PX. 1: written. */
static const char PUT_ENTRY[] =
    "local old = redis.call('GET', KEYS[1]) "
    "if old and #old >= 17 then "
    "  local epoch, expires = struct.unpack('<I8I8', old) "
    "  local new = struct.unpack('<I8', ARGV[1]) "
    "  if expires > tonumber(ARGV[3]) and epoch > new then return 0 end "
    "end "
    "if ARGV[4] == '0' then redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2]) "
    "else redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[4]) end "
    "return 1";

/* Leaves a tombstone. ARGV: header of one, now, PX; PX 0: leaves nothing. 1: there was an entry. */
static const char REMOVE_ENTRY[] =
    "local old = redis.call('GET', KEYS[1]) "
    "local epoch = struct.unpack('<I8', ARGV[1]) "
    "local exists = 0 "
    "if old and #old >= 17 then "
    "  local there, expires = struct.unpack('<I8I8', old) "
    "  if expires > tonumber(ARGV[2]) then "
    "    if string.sub(old, 17, 17) == 'E' then exists = 1 end "
    "    if there >= epoch then epoch = there + 1 end "
    "  end "
    "end "
    "if ARGV[3] == '0' then redis.call('DEL', KEYS[1]) "
    "else redis.call('SET', KEYS[1], struct.pack('<I8', epoch) .. string.sub(ARGV[1], 9), 'PX', ARGV[3]) end "
    "return exists";

/* Makes a generation, or has the one that is there last as long as a new one. ARGV: the number, PX. 1: made.
 */
static const char ADD_GENERATION[] =
    "if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end "
    "redis.call('PEXPIRE', KEYS[1], ARGV[2]) "
    "return 0";

/* Raises a generation. ARGV: the number, PX. 1. */
static const char RAISE_GENERATION[] =
    "local old = redis.call('GET', KEYS[1]) "
    "local number = struct.unpack('<I8', ARGV[1]) "
    "if old and #old == 8 then "
    "  local there = struct.unpack('<I8', old) "
    "  if there >= number then number = there + 1 end "
    "end "
    "redis.call('SET', KEYS[1], struct.pack('<I8', number), 'PX', ARGV[2]) "
    "return 1";

static enum store_status status_of_set(const struct redisReply *reply) {
    if (reply->type == REDIS_REPLY_STATUS)
        return STORE_OK;
    return reply->type == REDIS_REPLY_NIL ? STORE_EXISTS : STORE_ERROR;
}

static enum store_status status_of_put(const struct redisReply *reply) {
    if (reply->type != REDIS_REPLY_INTEGER)
        return STORE_ERROR;
    return reply->integer == 1 ? STORE_OK : STORE_REFUSED;
}

static enum store_status status_of_add_generation(const struct redisReply *reply) {
    if (reply->type != REDIS_REPLY_INTEGER)
        return STORE_ERROR;
    return reply->integer == 1 ? STORE_OK : STORE_EXISTS;
}

static enum store_status status_of_remove(const struct redisReply *reply) {
    if (reply->type != REDIS_REPLY_INTEGER)
        return STORE_ERROR;
    return reply->integer > 0 ? STORE_OK : STORE_MISSING;
}

/* ---- begin and end ---- */

static void drop_change(struct redis_command *command) {
    free(command);
}

/* A failed invalidation is remembered. */
static void conclude(struct change *change, enum store_status status) {
    struct redis *redis = change->redis;
    store_done done = change->done;
    void *user = change->user;
    if (status == STORE_ERROR) {
        stats_count(redis->stats, STAT_store_errors);
        if (change->invalidates && pending_add(redis->remote.pendings, &change->invalidation))
            status = STORE_PENDING;
    }
    free(change);
    done(user, status);
}

static void changed(struct redis_command *command, const struct redisReply *reply) {
    struct change *change = (struct change *)command;
    enum store_status status = reply ? change->status_of(reply) : STORE_ERROR;
    if (status == STORE_ERROR)
        redis_connection_distrust(change->redis->connection, reply);
    else if (change->invalidation.kind == STORE_GENERATION)
        history_written(redis_server(change->redis), change->invalidation.key, change->invalidation.epoch);
    conclude(change, status);
}

static struct change *begin(struct redis *redis, store_done done, void *user) {
    struct change *change = calloc(1, sizeof(*change));
    if (!change) {
        stats_count(redis->stats, STAT_store_errors);
        return NULL;
    }
    change->command.answered = changed;
    change->command.dropped = drop_change;
    change->redis = redis;
    change->done = done;
    change->user = user;
    return change;
}

static void invalidates(struct change *change, enum store_kind kind, const uint8_t *key, uint64_t epoch,
                        uint64_t tombstone_ms) {
    change->invalidates = true;
    change->invalidation = (struct pending){.server = redis_server(change->redis)->id,
                                            .kind = kind,
                                            .epoch = epoch,
                                            .tombstone_ms = tombstone_ms};
    memcpy(change->invalidation.key, key, STORE_KEY_LENGTH);
}

/* ---- commands ---- */

/* Words of a command as they are put together. */
struct words {
    int n;
    const char *word[WORDS_MAX];
    size_t length[WORDS_MAX];
    char name[ITEM_NAME_MAX];
};

static void add_bytes(struct words *words, const char *data, size_t length) {
    INVARIANT(words->n < WORDS_MAX);
    words->word[words->n] = data;
    words->length[words->n++] = length;
}

static void add_text(struct words *words, const char *text) {
    add_bytes(words, text, strlen(text));
}

static void begin_script(const struct redis *redis, struct words *words, const char *script,
                         enum store_kind kind, const uint8_t *key) {
    words->n = 0;
    item_name(&redis->names, kind, key, words->name);
    add_text(words, "EVAL");
    add_text(words, script);
    add_text(words, "1");
    add_bytes(words, words->name, redis->names.length);
}

static bool send_words(struct change *change, const struct words *words) {
    return redis_connection_send(change->redis->connection, &change->command, words->n, words->word,
                                 words->length);
}

/* Sends, unless the server is not used; what cannot be sent has failed. */
static void send_or_fail(struct change *change, const struct words *words) {
    if (!remote_server_is_used(redis_server(change->redis)) || !send_words(change, words))
        conclude(change, STORE_ERROR);
}

static bool send_raise(struct change *change, const uint8_t *key, uint64_t number, bool even_if_not_used) {
    struct words words;
    char value[STORE_GENERATION_LENGTH];
    store_u64(value, number);
    begin_script(change->redis, &words, RAISE_GENERATION, STORE_GENERATION, key);
    add_bytes(&words, value, sizeof(value));
    add_text(&words, change->redis->generation_px);
    change->status_of = status_of_put;
    return (even_if_not_used || remote_server_is_used(redis_server(change->redis))) &&
           send_words(change, &words);
}

static bool send_bury(struct change *change, const uint8_t *key, uint64_t epoch, uint64_t tombstone_ms,
                      bool even_if_not_used) {
    struct words words;
    char header[ITEM_HEADER_LENGTH];
    char now[24];
    char px[24];
    uint64_t now_us = clock_wall_us(change->redis->clock);
    item_header(epoch, item_tombstone_expiry(now_us, tombstone_ms), true, header);
    snprintf(now, sizeof(now), "%" PRIu64, now_us);
    snprintf(px, sizeof(px), "%" PRIu64, tombstone_ms);
    begin_script(change->redis, &words, REMOVE_ENTRY, STORE_ENTRY, key);
    add_bytes(&words, header, sizeof(header));
    add_text(&words, now);
    add_text(&words, px);
    change->status_of = status_of_remove;
    return (even_if_not_used || remote_server_is_used(redis_server(change->redis))) &&
           send_words(change, &words);
}

static bool send_put(struct change *change, const struct store_item *item) {
    struct words words;
    char header[ITEM_HEADER_LENGTH];
    char now[24];
    char px[24];
    uint64_t now_us = clock_wall_us(change->redis->clock);
    bool for_ever = item->ttl_ms == 0 || item->ttl_ms > UINT64_MAX / 2000;
    item_header(item->epoch, clock_after_ms(now_us, item->ttl_ms), false, header);
    snprintf(now, sizeof(now), "%" PRIu64, now_us);
    snprintf(px, sizeof(px), "%" PRIu64, for_ever ? 0 : item->ttl_ms + ITEM_GRACE_MS);
    begin_script(change->redis, &words, PUT_ENTRY, STORE_ENTRY, item->key);
    add_bytes(&words, header, sizeof(header));
    add_bytes(&words, item->value.length > 0 ? item->value.data : "", item->value.length);
    add_text(&words, now);
    add_text(&words, px);
    change->status_of = status_of_put;
    return send_words(change, &words);
}

static void put_entry(struct change *change, const struct store_item *item) {
    if (!remote_server_is_used(redis_server(change->redis)) || !send_put(change, item))
        conclude(change, STORE_ERROR);
}

static void set(struct change *change, const struct store_item *item, bool only_if_missing) {
    struct words words = {.n = 0};
    char px[24];
    item_name(&change->redis->names, item->kind, item->key, words.name);
    snprintf(px, sizeof(px), "%" PRIu64, item->ttl_ms);
    add_text(&words, "SET");
    add_bytes(&words, words.name, change->redis->names.length);
    add_bytes(&words, item->value.length > 0 ? item->value.data : "", item->value.length);
    if (only_if_missing)
        add_text(&words, "NX");
    if (item->ttl_ms > 0) {
        add_text(&words, "PX");
        add_text(&words, px);
    }
    change->status_of = status_of_set;
    send_or_fail(change, &words);
}

static void add_generation(struct change *change, const struct store_item *item) {
    struct words words;
    begin_script(change->redis, &words, ADD_GENERATION, STORE_GENERATION, item->key);
    add_bytes(&words, item->value.data, item->value.length);
    add_text(&words, change->redis->generation_px);
    change->status_of = status_of_add_generation;
    send_or_fail(change, &words);
}

/* ---- the operations ---- */

void redis_put(struct store *store, const struct store_item *item, store_done done, void *user) {
    struct redis *redis = redis_of(store);
    struct change *change = begin(redis, done, user);
    if (!change) {
        done(user, STORE_ERROR);
    } else if (item->kind == STORE_GENERATION) {
        uint64_t number = load_u64(item->value.data);
        invalidates(change, STORE_GENERATION, item->key, number, 0);
        if (!send_raise(change, item->key, number, false))
            conclude(change, STORE_ERROR);
    } else if (item->kind == STORE_ENTRY) {
        put_entry(change, item);
    } else {
        set(change, item, false);
    }
}

void redis_add_item(struct store *store, const struct store_item *item, store_done done, void *user) {
    struct change *change = begin(redis_of(store), done, user);
    if (!change)
        done(user, STORE_ERROR);
    else if (item->kind == STORE_GENERATION)
        add_generation(change, item);
    else
        set(change, item, true);
}

void redis_remove(struct store *store, enum store_kind kind, const uint8_t *key, uint64_t epoch,
                  uint64_t tombstone_ms, store_done done, void *user) {
    struct change *change = begin(redis_of(store), done, user);
    if (!change) {
        done(user, STORE_ERROR);
        return;
    }
    if (kind == STORE_ENTRY) {
        invalidates(change, STORE_ENTRY, key, epoch, tombstone_ms);
        if (!send_bury(change, key, epoch, tombstone_ms, false))
            conclude(change, STORE_ERROR);
        return;
    }
    struct words words = {.n = 0};
    item_name(&change->redis->names, kind, key, words.name);
    add_text(&words, "DEL");
    add_bytes(&words, words.name, change->redis->names.length);
    change->status_of = status_of_remove;
    send_or_fail(change, &words);
}

/* ---- coming back ---- */

/* The state tells whether the server has failed meanwhile. */
static void on_told(struct redis_command *command, const struct redisReply *reply) {
    struct change *change = (struct change *)command;
    struct redis_connection *connection = change->redis->connection;
    bool done = reply && change->status_of(reply) != STORE_ERROR;
    free(change);
    if (!done)
        redis_connection_distrust(connection, reply);
    if (redis_connection_server(connection)->state == REMOTE_TELLING)
        remote_server_told(redis_connection_server(connection), done);
}

void redis_tell(struct remote_server *server, const struct pending *pending) {
    struct redis *redis = redis_connection_user(server);
    struct change *change = begin(redis, NULL, NULL);
    bool sent = false;
    if (change) {
        change->command.answered = on_told;
        sent = pending->kind == STORE_GENERATION
                   ? send_raise(change, pending->key, pending->epoch, true)
                   : send_bury(change, pending->key, pending->epoch, pending->tombstone_ms, true);
    }
    if (sent)
        return;
    free(change);
    if (server->state == REMOTE_TELLING)
        remote_server_told(server, false);
}

static void on_probe_written(struct redis_command *command, const struct redisReply *reply) {
    struct change *change = (struct change *)command;
    struct redis_connection *connection = change->redis->connection;
    uint64_t last_purge = change->redis->probed_purge;
    bool done = reply && change->status_of(reply) != STORE_ERROR;
    free(change);
    if (!done)
        redis_connection_distrust(connection, reply);
    else if (redis_connection_server(connection)->state == REMOTE_PROBING)
        remote_server_probed(redis_connection_server(connection), last_purge);
}

bool redis_probe_write(struct redis *redis) {
    static const uint8_t OWN_KEY[STORE_KEY_LENGTH] = {0};
    const struct store_item item = {
        .kind = STORE_ENTRY, .key = OWN_KEY, .value = LITERAL("probe"), .ttl_ms = PROBE_TTL_MS};
    struct change *change = begin(redis, NULL, NULL);
    if (!change)
        return false;
    change->command.answered = on_probe_written;
    if (send_put(change, &item))
        return true;
    free(change);
    return false;
}
