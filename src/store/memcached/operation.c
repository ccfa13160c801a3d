/* Shared by the operations on memcached: names, places, ends. */
#include "inferonce/base/little_endian.h"
#include "inferonce/base/log.h"
#include "store/memcached/parts.h"

void memcached_name(const struct memcached *memcached, enum store_kind kind, const uint8_t *key, char *name) {
    item_name(&memcached->names, kind, key, name);
}

unsigned memcached_place(const struct memcached *memcached, const char *name) {
    if (memcached->n == 1)
        return 0;
    return memcached_generate_hash(&memcached->ring, name, memcached->names.length) % memcached->n;
}

uint64_t memcached_number_of(const struct memcached_found *found, const struct buffer *values) {
    return found->found && found->length == STORE_GENERATION_LENGTH ? load_u64(values->data + found->at) : 0;
}

bool memcached_may_send(struct memcached_server *server, bool tells) {
    if (server->memcached->closing)
        return false;
    return server->remote.state == REMOTE_USED || (tells && server->remote.state == REMOTE_TELLING);
}

void memcached_conclude(struct memcached *memcached, enum store_status status, store_done done, void *user) {
    if (memcached->closing)
        return;
    if (status == STORE_ERROR || status == STORE_PENDING)
        stats_count(memcached->stats, STAT_store_errors);
    done(user, status);
}

void memcached_note_full(struct memcached_server *server, enum memcached_outcome outcome) {
    if (outcome == MEMCACHED_FULL && !server->full)
        LOG(LOG_WARN, "cache_server_full", LOG_TEXT("server", server->remote.name));
    else if (outcome == MEMCACHED_DONE && server->full)
        LOG(LOG_INFO, "cache_server_stores_again", LOG_TEXT("server", server->remote.name));
    if (outcome == MEMCACHED_FULL || outcome == MEMCACHED_DONE)
        server->full = outcome == MEMCACHED_FULL;
}
