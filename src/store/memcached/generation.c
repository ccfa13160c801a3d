/* Generations on memcached: every server has a copy, so that a look asks only the servers that it asks
 * anyway. Copies that are missing or behind are raised as soon as that is seen; a purge raises all of them.
 * An add of one that exists has all copies last as long as a new one.
 */
#include <stdlib.h>

#include "inferonce/base/little_endian.h"
#include "store/memcached/parts.h"
#include "store/remote/history.h"

struct copies;

struct copy {
    struct memcached_command command; /* first */
    struct copies *copies;
    struct memcached_server *server; /* NULL: it is not used */
    struct memcached_found found;
    struct buffer value;
    bool answered;
    uint64_t number;
};

/* An operation on all servers' copies of one generation.
 *
 *   reading   one `gets` to each server that is used               -> `read` says what comes next
 *   raising   the copies that are behind, each for itself
 *   adding    one server after the other: the first one decides the number */
struct copies {
    struct memcached *memcached;
    unsigned running; /* steps under way, and 1 while they are begun */
    bool failed;
    uint64_t greatest;
    enum store_status status;
    void (*read)(struct copies *copies);
    uint64_t number; /* of a put or an add: what was asked for */
    unsigned at;     /* adding: the server whose turn it is */
    uint8_t key[STORE_KEY_LENGTH];
    memcached_settled settled;
    store_done done;
    void *user;
    char name[ITEM_NAME_MAX];
    struct copy copy[SERVERS_MAX];
};

static struct copies *begin_copies(struct memcached *memcached) {
    struct copies *copies = calloc(1, sizeof(*copies));
    if (!copies)
        return NULL;
    copies->memcached = memcached;
    for (unsigned i = 0; i < memcached->n; i++) {
        copies->copy[i].copies = copies;
        buffer_init(&copies->copy[i].value, 4 * STORE_GENERATION_LENGTH);
    }
    return copies;
}

static void free_copies(struct copies *copies) {
    for (unsigned i = 0; i < copies->memcached->n; i++)
        buffer_fini(&copies->copy[i].value);
    free(copies);
}

static void end_with_done(struct copies *copies) {
    struct memcached *memcached = copies->memcached;
    enum store_status status = copies->status;
    store_done done = copies->done;
    void *user = copies->user;
    free_copies(copies);
    memcached_conclude(memcached, status, done, user);
}

static void end_with_settled(struct copies *copies) {
    struct copies ended = *copies;
    free_copies(copies);
    ended.settled(ended.user, ended.status, ended.greatest, ended.failed);
}

static void step_ended(struct copies *copies, void (*next)(struct copies *copies)) {
    if (--copies->running == 0)
        next(copies);
}

static void all_read(struct copies *copies) {
    copies->status = STORE_ERROR;
    copies->greatest = 0;
    for (unsigned i = 0; i < copies->memcached->n; i++) {
        struct copy *copy = &copies->copy[i];
        if (!copy->answered)
            continue;
        copies->status = STORE_MISSING;
        copy->number = memcached_number_of(&copy->found, &copy->value);
        if (copy->number > copies->greatest)
            copies->greatest = copy->number;
    }
    if (copies->greatest > 0)
        copies->status = STORE_OK;
    copies->read(copies);
}

static void on_copy_answered(struct memcached_command *command, enum memcached_outcome outcome) {
    struct copy *copy = (struct copy *)command;
    copy->answered = outcome == MEMCACHED_DONE;
    copy->copies->failed = copy->copies->failed || !copy->answered;
    step_ended(copy->copies, all_read);
}

static void read_all(struct copies *copies) {
    copies->running = 1;
    for (unsigned i = 0; i < copies->memcached->n; i++) {
        struct memcached_server *server = &copies->memcached->servers[i];
        struct copy *copy = &copies->copy[i];
        if (!remote_server_is_used(&server->remote)) {
            copies->failed = true;
            continue;
        }
        copy->server = server;
        copy->command = (struct memcached_command){.verb = MEMCACHED_GETS,
                                                   .ended = on_copy_answered,
                                                   .names = copies->name,
                                                   .n = 1,
                                                   .found = &copy->found,
                                                   .values = &copy->value,
                                                   .max_bytes = STORE_GENERATION_LENGTH + 1};
        copies->running++;
        memcached_send_get(server->connection, &copy->command);
    }
    step_ended(copies, all_read);
}

/* ---- settling ---- */

static void on_settled_copy(void *user, bool done) {
    struct copies *copies = user;
    copies->failed = copies->failed || !done; /* a server that failed is looked at when it is used again */
    step_ended(copies, end_with_settled);
}

static void raise_those_behind(struct copies *copies) {
    copies->running = 1;
    for (unsigned i = 0; i < copies->memcached->n && copies->status == STORE_OK; i++) {
        struct copy *copy = &copies->copy[i];
        if (!copy->answered || copy->number == copies->greatest || !memcached_may_send(copy->server, false))
            continue;
        if (memcached_raise(copy->server, copies->name, copies->greatest, false, on_settled_copy, copies))
            copies->running++;
    }
    step_ended(copies, end_with_settled);
}

void memcached_generation_settle(struct memcached *memcached, const char *name, memcached_settled settled,
                                 void *user) {
    struct copies *copies = begin_copies(memcached);
    if (!copies) {
        settled(user, STORE_ERROR, 0, true);
        return;
    }
    memcpy(copies->name, name, memcached->names.length);
    copies->settled = settled;
    copies->user = user;
    copies->read = raise_those_behind;
    read_all(copies);
}

/* ---- put ---- */

/* A server that cannot be told now is told before it is used again. */
static void remember(struct copies *copies, unsigned server) {
    struct pending pending = {.server = copies->memcached->servers[server].remote.id,
                              .kind = STORE_GENERATION,
                              .epoch = copies->number};
    memcpy(pending.key, copies->key, STORE_KEY_LENGTH);
    if (copies->memcached->closing || !pending_add(copies->memcached->remote.pendings, &pending))
        copies->status = STORE_ERROR;
    else if (copies->status == STORE_OK)
        copies->status = STORE_PENDING;
}

static void on_put_copy(void *user, bool done) {
    struct copy *copy = user;
    struct copies *copies = copy->copies;
    if (done)
        history_written(&copies->memcached->servers[copy - copies->copy].remote, copies->key, copies->number);
    else
        remember(copies, (unsigned)(copy - copies->copy));
    step_ended(copies, end_with_done);
}

static void put_everywhere(struct copies *copies) {
    if (copies->number <= copies->greatest)
        copies->number = copies->greatest + 1;
    copies->status = STORE_OK;
    copies->running = 1;
    for (unsigned i = 0; i < copies->memcached->n; i++) {
        struct memcached_server *server = &copies->memcached->servers[i];
        if (!copies->memcached->closing && remote_server_is_used(&server->remote) &&
            memcached_raise(server, copies->name, copies->number, false, on_put_copy, &copies->copy[i]))
            copies->running++;
        else
            remember(copies, i);
    }
    step_ended(copies, end_with_done);
}

static struct copies *begin_change(struct memcached *memcached, const uint8_t *key, uint64_t number,
                                   store_done done, void *user) {
    struct copies *copies = begin_copies(memcached);
    if (!copies) {
        memcached_conclude(memcached, STORE_ERROR, done, user);
        return NULL;
    }
    memcpy(copies->key, key, STORE_KEY_LENGTH);
    memcached_name(memcached, STORE_GENERATION, key, copies->name);
    copies->number = number;
    copies->done = done;
    copies->user = user;
    return copies;
}

void memcached_generation_put(struct memcached *memcached, const uint8_t *key, uint64_t number,
                              store_done done, void *user) {
    struct copies *copies = begin_change(memcached, key, number, done, user);
    if (!copies)
        return;
    copies->read = put_everywhere;
    read_all(copies);
}

/* ---- add ---- */

static void add_next(struct copies *copies);

static void on_number_read(struct memcached_command *command, enum memcached_outcome outcome) {
    struct copy *copy = (struct copy *)command;
    struct copies *copies = copy->copies;
    uint64_t number = outcome == MEMCACHED_DONE ? memcached_number_of(&copy->found, &copy->value) : 0;
    if (number > 0)
        copies->number = number;
    add_next(copies);
}

/* Several hosts may add at the same time. The first one at the first server decides: the others take its
 * number for the copies that are still missing, so that none of them invalidates what another has begun. */
static void on_added(struct memcached_command *command, enum memcached_outcome outcome) {
    struct copy *copy = (struct copy *)command;
    struct copies *copies = copy->copies;
    if (copies->status == STORE_ERROR && outcome == MEMCACHED_DONE)
        copies->status = STORE_OK;
    bool lost = copies->status == STORE_ERROR && outcome == MEMCACHED_CONFLICT;
    if (!lost || !memcached_may_send(copy->server, false)) {
        add_next(copies);
        return;
    }
    copies->status = STORE_EXISTS;
    copy->found = (struct memcached_found){.found = false};
    buffer_reset(&copy->value, STORE_GENERATION_LENGTH);
    copy->command = (struct memcached_command){.verb = MEMCACHED_GET,
                                               .ended = on_number_read,
                                               .names = copies->name,
                                               .n = 1,
                                               .found = &copy->found,
                                               .values = &copy->value,
                                               .max_bytes = STORE_GENERATION_LENGTH + 1};
    memcached_send_get(copy->server->connection, &copy->command);
}

static void add_next(struct copies *copies) {
    struct memcached *memcached = copies->memcached;
    char value[STORE_GENERATION_LENGTH];
    while (copies->at < memcached->n && !remote_server_is_used(&memcached->servers[copies->at].remote))
        copies->at++;
    if (copies->at == memcached->n || memcached->closing) {
        end_with_done(copies);
        return;
    }
    struct copy *copy = &copies->copy[copies->at];
    copy->server = &memcached->servers[copies->at++];
    copy->command = (struct memcached_command){.verb = MEMCACHED_ADD, .ended = on_added};
    store_u64(value, copies->number);
    memcached_send_write(copy->server->connection, &copy->command, copies->name, (struct bytes){NULL, 0},
                         (struct bytes){value, sizeof(value)}, memcached->generation_ms, 0);
}

/* The outcome does not matter: a missing copy is made anew when a look finds it missing. */
static void on_renewed(struct memcached_command *command, enum memcached_outcome outcome) {
    (void)outcome;
    step_ended(((struct copy *)command)->copies, end_with_done);
}

static void renew(struct copies *copies) {
    struct memcached *memcached = copies->memcached;
    copies->running = 1;
    for (unsigned i = 0; i < memcached->n; i++) {
        struct memcached_server *server = &memcached->servers[i];
        if (!memcached_may_send(server, false))
            continue;
        copies->copy[i].command = (struct memcached_command){.ended = on_renewed};
        copies->running++;
        memcached_send_touch(server->connection, &copies->copy[i].command, copies->name,
                             memcached->generation_ms);
    }
    step_ended(copies, end_with_done);
}

static void on_settled_before_add(void *user, enum store_status status, uint64_t number, bool failed) {
    struct copies *copies = user;
    (void)number;
    (void)failed;
    copies->status = STORE_ERROR;
    if (status == STORE_MISSING && !copies->memcached->closing) {
        add_next(copies);
        return;
    }
    copies->status = status == STORE_OK ? STORE_EXISTS : STORE_ERROR;
    if (status == STORE_OK)
        renew(copies);
    else
        end_with_done(copies);
}

void memcached_generation_add(struct memcached *memcached, const uint8_t *key, uint64_t number,
                              store_done done, void *user) {
    struct copies *copies = begin_change(memcached, key, number, done, user);
    if (copies)
        memcached_generation_settle(memcached, copies->name, on_settled_before_add, copies);
}

/* ---- remove ---- */

static void on_removed(struct memcached_command *command, enum memcached_outcome outcome) {
    struct copies *copies = ((struct copy *)command)->copies;
    if (outcome != MEMCACHED_DONE && outcome != MEMCACHED_NOTHING)
        copies->status = STORE_ERROR;
    else if (outcome == MEMCACHED_DONE && copies->status == STORE_MISSING)
        copies->status = STORE_OK;
    step_ended(copies, end_with_done);
}

void memcached_generation_remove(struct memcached *memcached, const uint8_t *key, store_done done,
                                 void *user) {
    struct copies *copies = begin_change(memcached, key, 0, done, user);
    if (!copies)
        return;
    copies->status = STORE_MISSING;
    copies->running = 1;
    for (unsigned i = 0; i < memcached->n; i++) {
        struct memcached_server *server = &memcached->servers[i];
        if (!remote_server_is_used(&server->remote)) {
            copies->status = STORE_ERROR;
            continue;
        }
        copies->copy[i].command.ended = on_removed;
        copies->running++;
        memcached_send_delete(server->connection, &copies->copy[i].command, copies->name);
    }
    step_ended(copies, end_with_done);
}
