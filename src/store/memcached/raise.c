/* Raises one memcached server's copy of a generation. */
#include <stdlib.h>

#include "inferonce/base/little_endian.h"
#include "store/memcached/parts.h"

/* READING -> WRITING -> done; READING again when another client was faster. */
struct raise {
    struct memcached_command command; /* first */
    struct memcached_server *server;
    bool writing;
    bool tells;
    uint64_t target;
    unsigned tries;
    struct memcached_found found;
    struct buffer value;
    memcached_raised done;
    void *user;
    char name[ITEM_NAME_MAX];
};

static void end_raise(struct raise *raise, bool done) {
    memcached_raised tell = raise->done;
    void *user = raise->user;
    buffer_fini(&raise->value);
    free(raise);
    tell(user, done);
}

static void read_copy(struct raise *raise) {
    raise->writing = false;
    raise->found = (struct memcached_found){.found = false};
    buffer_reset(&raise->value, STORE_GENERATION_LENGTH);
    raise->command.verb = MEMCACHED_GETS;
    raise->command.names = raise->name;
    raise->command.n = 1;
    raise->command.found = &raise->found;
    raise->command.values = &raise->value;
    raise->command.max_bytes = STORE_GENERATION_LENGTH + 1;
    memcached_send_get(raise->server->connection, &raise->command);
}

static void write_copy(struct raise *raise) {
    char value[STORE_GENERATION_LENGTH];
    store_u64(value, raise->target);
    raise->writing = true;
    raise->command.verb = raise->found.found ? MEMCACHED_CAS : MEMCACHED_ADD;
    memcached_send_write(raise->server->connection, &raise->command, raise->name, (struct bytes){NULL, 0},
                         (struct bytes){value, sizeof(value)}, raise->server->memcached->generation_ms,
                         raise->found.cas);
}

static void on_copy_read(struct raise *raise) {
    uint64_t number = memcached_number_of(&raise->found, &raise->value);
    if (number >= raise->target && !raise->tells) {
        end_raise(raise, true);
        return;
    }
    if (number >= raise->target)
        raise->target = number + 1;
    if (memcached_may_send(raise->server, raise->tells))
        write_copy(raise);
    else
        end_raise(raise, false);
}

static void on_raise_step(struct memcached_command *command, enum memcached_outcome outcome) {
    struct raise *raise = (struct raise *)command;
    bool conflict = outcome == MEMCACHED_CONFLICT || outcome == MEMCACHED_NOTHING;
    if (outcome == MEMCACHED_BROKEN)
        end_raise(raise, false);
    else if (!raise->writing)
        on_copy_read(raise);
    else if (conflict && ++raise->tries < MEMCACHED_TRIES && memcached_may_send(raise->server, raise->tells))
        read_copy(raise);
    else
        end_raise(raise, outcome == MEMCACHED_DONE);
}

bool memcached_raise(struct memcached_server *server, const char *name, uint64_t target, bool tells,
                     memcached_raised done, void *user) {
    struct raise *raise = calloc(1, sizeof(*raise));
    if (!raise)
        return false;
    raise->command.ended = on_raise_step;
    raise->server = server;
    raise->target = target;
    raise->tells = tells;
    raise->done = done;
    raise->user = user;
    memcpy(raise->name, name, server->memcached->names.length);
    buffer_init(&raise->value, 4 * STORE_GENERATION_LENGTH);
    read_copy(raise);
    return true;
}

static void on_told(void *user, bool done) {
    struct memcached_server *server = user;
    if (server->remote.state == REMOTE_TELLING && !server->memcached->closing)
        remote_server_told(&server->remote, done);
}

void memcached_tell_purge(struct memcached_server *server, const struct pending *pending) {
    char name[ITEM_NAME_MAX];
    memcached_name(server->memcached, STORE_GENERATION, pending->key, name);
    if (!memcached_raise(server, name, pending->epoch, true, on_told, server))
        remote_server_told(&server->remote, false);
}
