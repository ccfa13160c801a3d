/* Puts this host's memory behind cache servers. */
#include "store/fallback.h"

#include <stdlib.h>

#include "inferonce/base/little_endian.h"
#include "inferonce/store/memory.h"
#include "inferonce/store/state.h"
#include "store/backend.h"
#include "store/remote/history.h"

struct fallback {
    struct store store;
    struct store_operations operations; /* ours, under the servers' name */
    struct store *servers;
    struct store *memory;
    const struct clock *clock;
    struct pendings *pendings;
    bool noting;     /* the time of a purge is on its way to the servers */
    bool note_again; /* there was a purge since */
    LIST_HEAD(operations, operation) under_way;
};

/* One operation that the servers have been asked to do. */
struct operation {
    struct fallback *fallback;
    LIST_ENTRY(operation) links;
    bool adds; /* of a put or an add */
    struct store_item item;
    uint8_t key[STORE_KEY_LENGTH];
    char *value; /* owned copy, once the operation that brought it has returned */
    enum store_status memory_status;
    store_done done;
    void *user;
    bool returned; /* the servers have answered */
    bool begun;    /* the call that began it is still running */
};

static struct fallback *fallback_of(struct store *store) {
    return (struct fallback *)store; /* `store` is its first member */
}

static struct operation *begin(struct fallback *fallback, void *user) {
    struct operation *operation = calloc(1, sizeof(*operation));
    if (!operation)
        return NULL;
    operation->fallback = fallback;
    operation->user = user;
    operation->begun = true;
    LIST_INSERT_HEAD(&fallback->under_way, operation, links);
    return operation;
}

static void end(struct operation *operation) {
    LIST_REMOVE(operation, links);
    free(operation->value);
    free(operation);
}

/* The servers have answered. True: the call that began the operation has returned, and it can end now. */
static bool may_end(struct operation *operation) {
    operation->returned = true;
    return !operation->begun;
}

/* ---- get ---- */

static void get_many(struct store *store, struct store_get *gets, size_t n, store_got got, void *user) {
    store_get_many(fallback_of(store)->servers, gets, n, got, user);
}

/* The items of a look that are asked of the memory. */
struct rest {
    struct store_look *look;
    unsigned at[STORE_LOOK_MAX]; /* in the look */
};

static void on_got_rest(void *user, struct store_get *gets, size_t n) {
    struct rest *rest = user;
    for (size_t i = 0; i < n; i++)
        rest->look->gets[rest->at[i]] = gets[i];
    rest->look->done(rest->look);
}

static bool lacks_generation(const struct store_look *look) {
    for (unsigned i = 0; i < look->n; i++)
        if (look->gets[i].kind == STORE_GENERATION && look->gets[i].status == STORE_ERROR)
            return true;
    return false;
}

/* An entry is judged by the generation of the store that it comes from: without that, all of the look comes
 * from the memory. */
static void mend(struct store *store, struct store_look *look) {
    struct rest rest = {.look = look};
    struct store_get gets[STORE_LOOK_MAX];
    bool whole = lacks_generation(look);
    unsigned n = 0;
    for (unsigned i = 0; i < look->n; i++) {
        if (!whole && look->gets[i].status != STORE_ERROR)
            continue;
        rest.at[n] = i;
        gets[n++] = (struct store_get){.kind = look->gets[i].kind, .key = look->gets[i].key};
    }
    store_get_many(fallback_of(store)->memory, gets, n, on_got_rest, &rest);
}

/* ---- purges ---- */

static void note_purge(struct fallback *fallback);

static void on_noted(void *user, enum store_status status) {
    struct fallback *fallback = user;
    (void)status; /* a server that cannot be told now is told before it is used again, as with the purge
                     itself */
    fallback->noting = false;
    if (fallback->note_again)
        note_purge(fallback);
}

/* On every server, so that one which forgets this purge is found out. Of many purges at once the first and
 * the last are noted: writers of one item would only get into each other's way, and a server that forgets the
 * one between them forgets the last. */
static void note_purge(struct fallback *fallback) {
    char value[STORE_GENERATION_LENGTH];
    fallback->note_again = fallback->noting;
    if (fallback->noting)
        return;
    fallback->noting = true;
    store_u64(value, history_next(fallback->pendings, clock_wall_us(fallback->clock)));
    const struct store_item item = {
        .kind = STORE_GENERATION, .key = STORE_LAST_PURGE, .value = {value, sizeof(value)}};
    store_put(fallback->servers, &item, on_noted, fallback);
}

/* ---- put, add ---- */

static bool is_degraded(struct fallback *fallback) {
    struct store_figures figures;
    store_figures(fallback->servers, &figures);
    return figures.degraded;
}

static void written(void *user, enum store_status status) {
    struct operation *operation = user;
    struct fallback *fallback = operation->fallback;
    bool has_value = operation->begun || operation->value;
    bool purges =
        operation->item.kind == STORE_GENERATION && !operation->adds; /* which the memory has done */
    if (status == STORE_ERROR && has_value && !purges && is_degraded(fallback)) {
        if (operation->adds)
            store_add(fallback->memory, &operation->item, operation->done, operation->user);
        else
            store_put(fallback->memory, &operation->item, operation->done, operation->user);
    } else {
        operation->done(operation->user, status);
    }
    if (may_end(operation))
        end(operation);
}

/* Servers that answer later need the item for as long: a copy is made when they have not answered at once. */
static void keep_value(struct operation *operation) {
    size_t length = operation->item.value.length;
    memcpy(operation->key, operation->item.key, STORE_KEY_LENGTH);
    operation->item.key = operation->key;
    operation->value = malloc(length > 0 ? length : 1);
    if (operation->value && length > 0)
        memcpy(operation->value, operation->item.value.data, length);
    operation->item.value.data = operation->value;
}

static void write_item(struct store *store, const struct store_item *item, bool adds, store_done done,
                       void *user) {
    struct fallback *fallback = fallback_of(store);
    struct operation *operation = begin(fallback, user);
    if (!operation) {
        done(user, STORE_ERROR);
        return;
    }
    operation->adds = adds;
    operation->item = *item;
    operation->done = done;
    /* A purge reaches the memory whatever becomes of it elsewhere. */
    if (item->kind == STORE_GENERATION && !adds) {
        store_put(fallback->memory, item, NULL, NULL);
        note_purge(fallback);
    }
    if (adds)
        store_add(fallback->servers, item, written, operation);
    else
        store_put(fallback->servers, item, written, operation);
    operation->begun = false;
    if (operation->returned)
        end(operation);
    else
        keep_value(operation);
}

static void put(struct store *store, const struct store_item *item, store_done done, void *user) {
    write_item(store, item, false, done, user);
}

static void add(struct store *store, const struct store_item *item, store_done done, void *user) {
    write_item(store, item, true, done, user);
}

/* ---- remove ---- */

static void removed_from_memory(void *user, enum store_status status) {
    *(enum store_status *)user = status;
}

static void removed_from_servers(void *user, enum store_status status) {
    struct operation *operation = user;
    bool was_there = operation->memory_status == STORE_OK;
    bool only_memory = status == STORE_ERROR && operation->item.kind != STORE_ENTRY &&
                       operation->item.kind != STORE_GENERATION && operation->memory_status != STORE_ERROR;
    if ((status == STORE_MISSING && was_there) || only_memory)
        status = operation->memory_status;
    operation->done(operation->user, status);
    if (may_end(operation))
        end(operation);
}

static void remove_item(struct store *store, enum store_kind kind, const uint8_t *key, uint64_t epoch,
                        uint64_t tombstone_ms, store_done done, void *user) {
    struct fallback *fallback = fallback_of(store);
    struct operation *operation = begin(fallback, user);
    if (!operation) {
        done(user, STORE_ERROR);
        return;
    }
    operation->done = done;
    operation->item.kind = kind;
    if (kind == STORE_ENTRY && tombstone_ms > 0)
        note_purge(fallback);
    store_remove(fallback->memory, kind, key, epoch, tombstone_ms, removed_from_memory,
                 &operation->memory_status);
    store_remove(fallback->servers, kind, key, epoch, tombstone_ms, removed_from_servers, operation);
    operation->begun = false;
    if (operation->returned)
        end(operation);
}

/* ---- the rest ---- */

/* Sweeps the memory alone: servers evict what is not asked for, and do not say how many entries became
 * invisible. */
static bool sweep(struct store *store, uint64_t group, uint64_t epoch, uint64_t *cursor, uint64_t *removed) {
    uint64_t here = 0;
    bool more = store_sweep(fallback_of(store)->memory, group, epoch, cursor, &here);
    if (!more)
        *removed = UINT64_MAX;
    return more;
}

static void figures(struct store *store, struct store_figures *figures_) {
    store_figures(fallback_of(store)->servers, figures_);
}

static void close_fallback(struct store *store) {
    struct fallback *fallback = fallback_of(store);
    store_close(&fallback->servers);
    store_close(&fallback->memory);
    while (!LIST_EMPTY(&fallback->under_way))
        end(LIST_FIRST(&fallback->under_way));
    free(fallback);
}

static void empty_memory(void *user) {
    struct fallback *fallback = user;
    memory_empty(fallback->memory);
}

/* False: there is no place for it, so that the servers cannot be used. */
static bool assume_all(struct fallback *fallback) {
    struct store_figures figures_;
    uint64_t servers[SERVERS_MAX];
    store_figures(fallback->servers, &figures_);
    for (unsigned i = 0; i < figures_.n_servers; i++)
        servers[i] = pending_server(figures_.servers[i].name);
    return pending_assume_all(fallback->pendings, servers, figures_.n_servers,
                              clock_wall_us(fallback->clock));
}

/* Empties the memory: a worker that died or was replaced while a server was away will not do it when the
 * server returns. */
struct store *fallback_open(const struct context *context, remote_open open, struct error *error) {
    struct fallback *fallback = calloc(1, sizeof(*fallback));
    if (!fallback) {
        error_set(error, "out of memory");
        return NULL;
    }
    fallback->clock = context->clock;
    fallback->memory = memory_open(context, error);
    fallback->pendings = state_pendings(context->shared);
    if (fallback->memory && fallback->pendings)
        fallback->servers =
            open(context,
                 &(struct remote_options){
                     .pendings = fallback->pendings, .returns = empty_memory, .user = fallback},
                 error);
    if (fallback->servers && !assume_all(fallback)) {
        error_set(error, "too many invalidations are pending");
        store_close(&fallback->servers);
    }
    if (!fallback->servers) {
        store_close(&fallback->memory);
        free(fallback);
        return NULL;
    }
    memory_empty(fallback->memory);
    fallback->operations = (struct store_operations){
        .name = fallback->servers->operations->name,
        .get_many = get_many,
        .mend = mend,
        .put = put,
        .add = add,
        .remove = remove_item,
        .sweep = sweep,
        .figures = figures,
        .close = close_fallback,
    };
    fallback->store.operations = &fallback->operations;
    return &fallback->store;
}
