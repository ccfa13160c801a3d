/* Notices that a cache server has forgotten purges, and has it forget what they were to remove. */
#include "store/remote/history.h"

#include "inferonce/base/log.h"

/* How often in a row a server in use must be behind: a purge may be on its way to it. */
#define BEHIND_MAX 2

uint64_t history_next(struct pendings *pendings, uint64_t now_us) {
    uint64_t known = pending_last_purge(pendings);
    uint64_t number = now_us > known ? now_us : known + 1;
    pending_learn_purge(pendings, number);
    return number;
}

/* Adds what the server is to be told first. False: there is no place for it. */
static bool raise_on(struct remote_server *server, const uint8_t *key, uint64_t number) {
    struct pending pending = {.server = server->id, .kind = STORE_GENERATION, .epoch = number};
    memcpy(pending.key, key, STORE_KEY_LENGTH);
    return pending_add(server->remote.pendings, &pending);
}

static bool make_up(struct remote_server *server, uint64_t known, uint64_t now_us) {
    LOG(LOG_WARN, "cache_server_forgot_purges", LOG_TEXT("server", server->name));
    server->n_behind = 0;
    /* In this order: with the second the server is known to have been told the first. */
    return raise_on(server, STORE_ALL_NAMESPACES, now_us) && raise_on(server, STORE_LAST_PURGE, known);
}

/* The entries that a purge was to remove are gone by themselves once the longest entry's time is over. */
static bool is_moot(const struct remote_server *server, uint64_t known, uint64_t now_us) {
    return known == 0 || (now_us > known && now_us - known > server->longest_entry_us);
}

bool history_read(struct remote_server *server, uint64_t number, bool probing) {
    struct pendings *pendings = server->remote.pendings;
    uint64_t now_us = clock_wall_us(server->context->clock);
    /* Purges that a server which comes back was not told yet are pending, and are no loss. Nor are those that
     * another worker has told it since it was asked. */
    uint64_t known = probing ? server->had_purge : pending_last_purge(pendings);
    /* A server that keeps nothing through a restart and has no time has no entries from before it either. */
    bool tells = number > 0 || server->operations->restores;
    if (number >= known || !tells || is_moot(server, known, now_us)) {
        pending_server_has_purge(pendings, server->id, number);
        server->n_behind = 0;
    } else if (probing || ++server->n_behind >= BEHIND_MAX) {
        return make_up(server, known, now_us);
    }
    return true;
}

void history_written(struct remote_server *server, const uint8_t *key, uint64_t number) {
    if (memcmp(key, STORE_LAST_PURGE, STORE_KEY_LENGTH) == 0)
        pending_server_has_purge(server->remote.pendings, server->id, number);
}
