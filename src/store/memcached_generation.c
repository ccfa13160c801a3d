#include "inferonce/base/little_endian.h"
#include "inferonce/store/memcached_parts.h"

/* One server's copy. False: the server failed. `*number` 0: it has none. */
static bool read_copy(struct memcached_server *server, const char *name, uint64_t *number, uint64_t *cas,
                      bool *exists) {
    struct bytes value;
    enum memcached_outcome outcome = memcached_server_get(server, name, &value, cas);
    *exists = outcome == MEMCACHED_DONE;
    *number = *exists && value.length == STORE_GENERATION_LENGTH ? load_u64(value.data) : 0;
    return outcome != MEMCACHED_BROKEN;
}

bool memcached_generation_raise(struct memcached_server *server, const char name[ITEM_NAME_LENGTH],
                                uint64_t target, bool beyond) {
    for (unsigned tries = 0; tries < MEMCACHED_TRIES; tries++) {
        uint64_t number;
        uint64_t cas;
        bool exists;
        char value[STORE_GENERATION_LENGTH];
        if (!read_copy(server, name, &number, &cas, &exists))
            return false;
        if (number >= target) {
            if (!beyond)
                return true;
            target = number + 1;
        }
        store_u64(value, target);
        enum memcached_outcome outcome =
            memcached_server_write(server, exists ? MEMCACHED_CAS : MEMCACHED_ADD, name,
                                   (struct bytes){value, sizeof(value)}, cas, 0);
        if (outcome == MEMCACHED_DONE)
            return true;
        if (outcome != MEMCACHED_CONFLICT && outcome != MEMCACHED_NOTHING)
            return false;
    }
    return false;
}

/* The greatest of all copies; STORE_MISSING: every server that answered has none. */
static enum store_status read_copies(struct memcached *memcached, const char *name, uint64_t *greatest) {
    enum store_status status = STORE_ERROR;
    *greatest = 0;
    for (unsigned i = 0; i < memcached->n; i++) {
        struct memcached_server *server = &memcached->servers[i];
        uint64_t number;
        uint64_t cas;
        bool exists;
        if (!memcached_is_used(memcached, server) || !read_copy(server, name, &number, &cas, &exists))
            continue;
        if (status == STORE_ERROR)
            status = STORE_MISSING;
        if (number > *greatest)
            *greatest = number;
    }
    return *greatest > 0 ? STORE_OK : status;
}

enum store_status memcached_generation_settle(struct memcached *memcached, const char name[ITEM_NAME_LENGTH],
                                              uint64_t *number) {
    enum store_status status = read_copies(memcached, name, number);
    for (unsigned i = 0; i < memcached->n && status == STORE_OK; i++) {
        struct memcached_server *server = &memcached->servers[i];
        /* One that fails here is not used any more, and looked at when it is again. */
        if (memcached_is_used(memcached, server) && !memcached_generation_raise(server, name, *number, false))
            continue;
    }
    return status;
}

/* Whoever cannot be told now is told before it is used again. */
enum store_status memcached_generation_put(struct memcached *memcached, const uint8_t *key, uint64_t number) {
    char name[ITEM_NAME_LENGTH];
    uint64_t greatest;
    enum store_status status = STORE_OK;
    item_name(STORE_GENERATION, key, name);
    read_copies(memcached, name, &greatest);
    uint64_t target = number > greatest ? number : greatest + 1;
    for (unsigned i = 0; i < memcached->n; i++) {
        struct memcached_server *server = &memcached->servers[i];
        if (memcached_is_used(memcached, server) && memcached_generation_raise(server, name, target, false))
            continue;
        struct pending pending = {.server = server->id, .kind = STORE_GENERATION, .epoch = target};
        memcpy(pending.key, key, STORE_KEY_LENGTH);
        if (!pending_add(memcached->remote.pendings, &pending))
            return STORE_ERROR;
        status = STORE_PENDING;
    }
    return status;
}

/* Several may do this at the same time. Who is first at the first server decides: the others take that number
 * for the copies that are still missing, so that none of them invalidates what another has begun. */
enum store_status memcached_generation_add(struct memcached *memcached, const uint8_t *key, uint64_t number) {
    char name[ITEM_NAME_LENGTH];
    char value[STORE_GENERATION_LENGTH];
    uint64_t there;
    item_name(STORE_GENERATION, key, name);
    enum store_status status = memcached_generation_settle(memcached, name, &there);
    if (status != STORE_MISSING)
        return status == STORE_OK ? STORE_EXISTS : status;
    status = STORE_ERROR;
    for (unsigned i = 0; i < memcached->n; i++) {
        struct memcached_server *server = &memcached->servers[i];
        uint64_t cas;
        bool exists;
        if (!memcached_is_used(memcached, server))
            continue;
        store_u64(value, number);
        enum memcached_outcome outcome =
            memcached_server_write(server, MEMCACHED_ADD, name, (struct bytes){value, sizeof(value)}, 0, 0);
        if (status == STORE_ERROR && outcome == MEMCACHED_DONE) {
            status = STORE_OK;
        } else if (status == STORE_ERROR && outcome == MEMCACHED_CONFLICT) {
            status = STORE_EXISTS;
            if (read_copy(server, name, &there, &cas, &exists) && there > 0)
                number = there;
        }
    }
    return status;
}

enum store_status memcached_generation_remove(struct memcached *memcached, const uint8_t *key) {
    char name[ITEM_NAME_LENGTH];
    enum store_status status = STORE_MISSING;
    item_name(STORE_GENERATION, key, name);
    for (unsigned i = 0; i < memcached->n; i++) {
        struct memcached_server *server = &memcached->servers[i];
        enum memcached_outcome outcome =
            memcached_is_used(memcached, server) ? memcached_server_delete(server, name) : MEMCACHED_BROKEN;
        if (outcome == MEMCACHED_DONE && status == STORE_MISSING)
            status = STORE_OK;
        else if (outcome != MEMCACHED_DONE && outcome != MEMCACHED_NOTHING)
            status = STORE_ERROR;
    }
    return status;
}
