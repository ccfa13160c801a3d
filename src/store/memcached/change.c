/* Writes and removals of one item on memcached servers, as steps that each wait for the server's answer. */
#include <stdlib.h>

#include "inferonce/base/little_endian.h"
#include "store/memcached/parts.h"

/* A put, add or removal.
 *
 *   entry's put      ADDING -> done                          nothing was there, which is the usual case
 *                    ADDING -> READING -> WRITING -> done    by the rule of epochs, with cas
 *   entry's removal  READING -> WRITING (a tombstone) or DELETING -> done
 *   other items      WRITING or DELETING -> done
 *
 * When another client was faster, WRITING goes back to READING, MEMCACHED_TRIES times. After an entry that is
 * too large for the server comes DELETING, since the server kept what it had. */
enum step { ADDING, READING, WRITING, DELETING };

struct change {
    struct memcached_command command; /* first */
    struct memcached *memcached;
    struct memcached_server *server;
    enum step step;
    enum store_kind kind;
    uint8_t key[STORE_KEY_LENGTH];
    bool buries; /* a removal of an entry: leaves a tombstone for tombstone_ms, if that is not 0 */
    bool tells;  /* it does a pending removal */
    bool too_large;
    unsigned tries;
    uint64_t epoch;
    uint64_t ttl_ms;
    uint64_t tombstone_ms;
    enum store_status found_status; /* of a removal: whether there was an entry */
    struct memcached_found found;   /* by READING; `header` has the item's first bytes */
    struct buffer header;
    struct buffer value; /* owned copy: a put may be tried again */
    store_done done;
    void *user;
    char name[ITEM_NAME_MAX];
};

static void on_step_ended(struct memcached_command *command, enum memcached_outcome outcome);

/* ---- begin and end ---- */

static struct change *begin(struct memcached *memcached, enum store_kind kind, const uint8_t *key) {
    struct change *change = calloc(1, sizeof(*change));
    if (!change)
        return NULL;
    change->memcached = memcached;
    change->kind = kind;
    change->command.ended = on_step_ended;
    memcpy(change->key, key, STORE_KEY_LENGTH);
    memcached_name(memcached, kind, key, change->name);
    change->server = &memcached->servers[memcached_place(memcached, change->name)];
    buffer_init(&change->header, 2 * ITEM_HEADER_LENGTH);
    buffer_init(&change->value, SIZE_MAX / 2);
    return change;
}

/* A removal that the server could not be told is remembered. */
static enum store_status remember(const struct change *change) {
    struct pending pending = {.server = change->server->remote.id,
                              .kind = STORE_ENTRY,
                              .epoch = change->epoch,
                              .tombstone_ms = change->tombstone_ms};
    memcpy(pending.key, change->key, STORE_KEY_LENGTH);
    return pending_add(change->memcached->remote.pendings, &pending) ? STORE_PENDING : STORE_ERROR;
}

static void end(struct change *change, enum store_status status) {
    struct memcached *memcached = change->memcached;
    struct memcached_server *server = change->server;
    store_done done = change->done;
    void *user = change->user;
    bool tells = change->tells;
    if (status == STORE_ERROR && change->buries && !tells && !memcached->closing)
        status = remember(change);
    buffer_fini(&change->header);
    buffer_fini(&change->value);
    free(change);
    if (!tells)
        memcached_conclude(memcached, status, done, user);
    else if (server->remote.state == REMOTE_TELLING && !memcached->closing)
        remote_server_told(&server->remote, status != STORE_ERROR);
}

/* Between two steps the server may have failed. False: that was the end. */
static bool may_go_on(struct change *change) {
    if (memcached_may_send(change->server, change->tells))
        return true;
    end(change, STORE_ERROR);
    return false;
}

/* ---- steps ---- */

static void read_header(struct change *change) {
    change->step = READING;
    change->found = (struct memcached_found){.found = false};
    buffer_reset(&change->header, 2 * ITEM_HEADER_LENGTH);
    change->command.verb = MEMCACHED_GETS;
    change->command.names = change->name;
    change->command.n = 1;
    change->command.found = &change->found;
    change->command.values = &change->header;
    change->command.max_bytes = ITEM_HEADER_LENGTH;
    memcached_send_get(change->server->connection, &change->command);
}

static void write_value(struct change *change, enum memcached_verb verb, struct bytes value,
                        uint64_t ttl_ms) {
    change->command.verb = verb;
    memcached_send_write(change->server->connection, &change->command, change->name, (struct bytes){NULL, 0},
                         value, ttl_ms, change->found.cas);
}

static void delete_item(struct change *change) {
    change->step = DELETING;
    memcached_send_delete(change->server->connection, &change->command, change->name);
}

/* The servers keep an entry somewhat longer than it may be used; 0 is for good. */
static uint64_t kept_ms(uint64_t ttl_ms) {
    return ttl_ms == 0 || ttl_ms > UINT64_MAX - ITEM_GRACE_MS ? 0 : ttl_ms + ITEM_GRACE_MS;
}

/* Reads the head of the item that the server has. A foreign item counts as none. */
static struct item what_is_there(const struct change *change) {
    struct item item = {.epoch = 0};
    if (change->found.found &&
        !item_read(buffer_bytes(&change->header), clock_wall_us(change->memcached->clock), &item))
        item = (struct item){.epoch = 0};
    return item;
}

static enum memcached_verb over_what_was_read(const struct change *change) {
    return change->found.found ? MEMCACHED_CAS : MEMCACHED_ADD;
}

static void write_tombstone(struct change *change, const struct item *there) {
    char tombstone[ITEM_HEADER_LENGTH];
    uint64_t now_us = clock_wall_us(change->memcached->clock);
    item_header(item_tombstone_epoch(change->epoch, there),
                item_tombstone_expiry(now_us, change->tombstone_ms), true, tombstone);
    write_value(change, over_what_was_read(change), (struct bytes){tombstone, sizeof(tombstone)},
                change->tombstone_ms);
}

static void on_header_read(struct change *change) {
    struct item there = what_is_there(change);
    if (!may_go_on(change))
        return;
    change->step = WRITING;
    if (!change->buries) {
        if (there.epoch > change->epoch)
            end(change, STORE_REFUSED);
        else
            write_value(change, over_what_was_read(change), buffer_bytes(&change->value),
                        kept_ms(change->ttl_ms));
        return;
    }
    change->found_status = there.exists ? STORE_OK : STORE_MISSING;
    if (change->tombstone_ms > 0)
        write_tombstone(change, &there);
    else if (change->found.found)
        delete_item(change);
    else
        end(change, STORE_MISSING);
}

static void on_written(struct change *change, enum memcached_outcome outcome) {
    bool by_epochs = change->kind == STORE_ENTRY;
    memcached_note_full(change->server, outcome);
    switch (outcome) {
    case MEMCACHED_DONE:
        end(change, change->buries ? change->found_status : STORE_OK);
        break;
    case MEMCACHED_CONFLICT:
    case MEMCACHED_NOTHING:
        if (!by_epochs || ++change->tries == MEMCACHED_TRIES)
            end(change, by_epochs ? STORE_ERROR : STORE_EXISTS);
        else if (may_go_on(change))
            read_header(change);
        break;
    case MEMCACHED_TOO_BIG:
        change->too_large = true;
        if (may_go_on(change))
            delete_item(change);
        break;
    default:
        end(change, STORE_ERROR);
    }
}

static void on_deleted(struct change *change, enum memcached_outcome outcome) {
    if (outcome != MEMCACHED_DONE && outcome != MEMCACHED_NOTHING)
        end(change, STORE_ERROR);
    else if (change->too_large)
        end(change, STORE_TOO_LARGE);
    else if (change->buries)
        end(change, change->found_status);
    else
        end(change, outcome == MEMCACHED_DONE ? STORE_OK : STORE_MISSING);
}

static void on_step_ended(struct memcached_command *command, enum memcached_outcome outcome) {
    struct change *change = (struct change *)command;
    if (outcome == MEMCACHED_BROKEN) {
        end(change, STORE_ERROR);
        return;
    }
    switch (change->step) {
    case READING:
        on_header_read(change);
        break;
    case ADDING:
    case WRITING:
        on_written(change, outcome);
        break;
    case DELETING:
        on_deleted(change, outcome);
        break;
    }
}

/* ---- the operations ---- */

static void put_entry(struct change *change, const struct store_item *item) {
    char header[ITEM_HEADER_LENGTH];
    uint64_t now_us = clock_wall_us(change->memcached->clock);
    change->epoch = item->epoch;
    change->ttl_ms = item->ttl_ms;
    item_header(item->epoch, clock_after_ms(now_us, item->ttl_ms), false, header);
    buffer_append(&change->value, header, sizeof(header));
    buffer_append_bytes(&change->value, item->value);
    if (change->value.failed) {
        end(change, STORE_ERROR);
        return;
    }
    change->step = ADDING;
    write_value(change, MEMCACHED_ADD, buffer_bytes(&change->value), kept_ms(item->ttl_ms));
}

static void write_item(struct store *store, const struct store_item *item, enum memcached_verb verb,
                       store_done done, void *user) {
    struct memcached *memcached = memcached_of(store);
    struct change *change = begin(memcached, item->kind, item->key);
    if (!change) {
        memcached_conclude(memcached, STORE_ERROR, done, user);
        return;
    }
    change->done = done;
    change->user = user;
    if (!remote_server_is_used(&change->server->remote)) {
        end(change, STORE_ERROR);
    } else if (item->kind == STORE_ENTRY) {
        put_entry(change, item);
    } else {
        change->step = WRITING;
        write_value(change, verb, item->value, item->ttl_ms);
    }
}

void memcached_put(struct store *store, const struct store_item *item, store_done done, void *user) {
    if (item->kind == STORE_GENERATION)
        memcached_generation_put(memcached_of(store), item->key, load_u64(item->value.data), done, user);
    else
        write_item(store, item, MEMCACHED_SET, done, user);
}

void memcached_add_item(struct store *store, const struct store_item *item, store_done done, void *user) {
    if (item->kind == STORE_GENERATION)
        memcached_generation_add(memcached_of(store), item->key, load_u64(item->value.data), done, user);
    else
        write_item(store, item, MEMCACHED_ADD, done, user);
}

void memcached_remove(struct store *store, enum store_kind kind, const uint8_t *key, uint64_t epoch,
                      uint64_t tombstone_ms, store_done done, void *user) {
    struct memcached *memcached = memcached_of(store);
    if (kind == STORE_GENERATION) {
        memcached_generation_remove(memcached, key, done, user);
        return;
    }
    struct change *change = begin(memcached, kind, key);
    if (!change) {
        memcached_conclude(memcached, STORE_ERROR, done, user);
        return;
    }
    change->done = done;
    change->user = user;
    change->buries = kind == STORE_ENTRY;
    change->epoch = epoch;
    change->tombstone_ms = tombstone_ms;
    if (!remote_server_is_used(&change->server->remote))
        end(change, STORE_ERROR);
    else if (change->buries)
        read_header(change);
    else
        delete_item(change);
}

void memcached_tell_removal(struct memcached_server *server, const struct pending *pending) {
    struct change *change = begin(server->memcached, STORE_ENTRY, pending->key);
    if (!change) {
        remote_server_told(&server->remote, false);
        return;
    }
    change->server = server;
    change->buries = change->tells = true;
    change->epoch = pending->epoch;
    change->tombstone_ms = pending->tombstone_ms;
    read_header(change);
}
