/* Purges a namespace, removes a key, inspects an entry. */
#include "cache/purge.h"

#include <stdlib.h>

#include "cache/flights.h"
#include "cache/generation.h"

struct purges {
    const struct settings *settings;
    struct store *store;
    const struct clock *clock;
    struct stats *stats;
    LIST_HEAD(purge_list, purge) list;
    struct turn *turn;
    struct turn_task sweep; /* scheduled while some purge sweeps */
};

/* One operation.
 *
 *   namespace:  RAISING (the generation is being written)  -> SWEEPING (room is given back) -> done
 *   key:        LOOKING (is it of this namespace?)         -> REMOVING                      -> done
 *   look:       LOOKING                                    -> done */
enum purge_phase { PURGE_RAISING, PURGE_SWEEPING, PURGE_LOOKING, PURGE_REMOVING };

struct purge {
    struct purges *purges;
    LIST_ENTRY(purge) links;
    enum purge_phase phase;
    bool removes;          /* LOOKING: to remove, not only to look */
    bool found;            /* by the look */
    bool found_again;      /* by the removal */
    bool pending;          /* a cache server has still to be told */
    cache_admin_done done; /* NULL: the client has left */
    void *user;
    struct key key;
    struct key generation_key;
    uint64_t epoch;
    uint64_t removed;
    enum store_status status; /* of a removal: the worst of its steps */
    unsigned steps;           /* that are not done */
    unsigned cursor;
    struct store_look look; /* generation_look */
};

static void on_sweep(void *user);

struct purges *purges_create(const struct context *context, struct store *store, struct error *error) {
    struct purges *purges = calloc(1, sizeof(*purges));
    if (!purges) {
        error_set(error, "out of memory");
        return NULL;
    }
    purges->settings = context->settings;
    purges->store = store;
    purges->clock = context->clock;
    purges->stats = context->stats;
    purges->turn = context->turn;
    purges->sweep = (struct turn_task){.run = on_sweep, .user = purges};
    return purges;
}

static void end(struct purge *purge) {
    LIST_REMOVE(purge, links);
    store_look_forget(purge->purges->store, &purge->look);
    free(purge);
}

static void finish(struct purge *purge, enum cache_admin_status status, const struct entry *entry) {
    cache_admin_done done = purge->done;
    void *user = purge->user;
    uint64_t removed = purge->removed;
    end(purge);
    if (done)
        done(user, status, entry, removed);
}

void purges_destroy(struct purges **purges) {
    if (!*purges)
        return;
    while (!LIST_EMPTY(&(*purges)->list))
        end(LIST_FIRST(&(*purges)->list));
    turn_forget(&(*purges)->sweep);
    free(*purges);
    *purges = NULL;
}

static struct purge *begin(struct purges *purges, struct bytes cache_namespace, cache_admin_done done,
                           void *user) {
    struct purge *purge = calloc(1, sizeof(*purge));
    if (!purge)
        return NULL;
    purge->purges = purges;
    purge->done = done;
    purge->user = user;
    key_of_generation(cache_namespace, &purge->generation_key);
    LIST_INSERT_HEAD(&purges->list, purge, links);
    return purge;
}

void purges_forget(struct purges *purges, void *user) {
    struct purge *purge;
    LIST_FOREACH(purge, &purges->list, links)
    if (purge->user == user)
        purge->done = NULL;
}

/* ---- a namespace ---- */

static struct purge *next_sweeping(struct purges *purges) {
    struct purge *purge = LIST_FIRST(&purges->list);
    while (purge && purge->phase != PURGE_SWEEPING)
        purge = LIST_NEXT(purge, links);
    return purge;
}

/* One small part of one sweep a turn of the loop, so that requests are served in between. */
static void on_sweep(void *user) {
    struct purges *purges = user;
    struct purge *purge = next_sweeping(purges);
    if (!purge)
        return;
    turn_in_next(purges->turn, &purges->sweep);
    if (!store_sweep(purges->store, key_hash(&purge->generation_key), purge->epoch, &purge->cursor,
                     &purge->removed))
        finish(purge, purge->pending ? CACHE_ADMIN_PENDING : CACHE_ADMIN_OK, NULL);
}

static void raised(void *user, enum store_status status) {
    struct purge *purge = user;
    if (status != STORE_OK && status != STORE_PENDING) {
        finish(purge, CACHE_ADMIN_ERROR, NULL);
        return;
    }
    purge->pending = status == STORE_PENDING;
    purge->phase = PURGE_SWEEPING;
    turn_in_next(purge->purges->turn, &purge->purges->sweep);
}

void purges_namespace(struct purges *purges, struct bytes cache_namespace, cache_admin_done done,
                      void *user) {
    struct purge *purge = begin(purges, cache_namespace, done, user);
    if (!purge) {
        done(user, CACHE_ADMIN_ERROR, NULL, 0);
        return;
    }
    stats_count(purges->stats, STAT_purges);
    char value[GENERATION_LENGTH];
    purge->phase = PURGE_RAISING;
    purge->epoch = clock_wall_us(purges->clock);
    generation_encode(purge->epoch, value);
    struct store_item item = {
        .kind = STORE_GENERATION, .key = purge->generation_key.bytes, .value = {value, sizeof(value)}};
    store_put(purges->store, &item, raised, purge);
}

/* ---- a key ---- */

/* The number for those that store what they inferred meanwhile, and the entry: both are done. */
static void on_removed(struct purge *purge) {
    enum store_status status = purge->status;
    purge->removed = purge->found_again && purge->found && status != STORE_ERROR;
    finish(purge,
           status == STORE_ERROR     ? CACHE_ADMIN_ERROR
           : status == STORE_PENDING ? CACHE_ADMIN_PENDING
           : purge->found            ? CACHE_ADMIN_OK
                                     : CACHE_ADMIN_MISSING,
           NULL);
}

static void on_step_done(struct purge *purge, enum store_status status) {
    if (status == STORE_ERROR || purge->status == STORE_ERROR)
        purge->status = STORE_ERROR;
    else if (status == STORE_PENDING || purge->status == STORE_PENDING)
        purge->status = STORE_PENDING;
    if (--purge->steps == 0)
        on_removed(purge);
}

static void on_number_raised(void *user, enum store_status status) {
    on_step_done(user, status);
}

static void on_entry_removed(void *user, enum store_status status) {
    struct purge *purge = user;
    purge->found_again = status == STORE_OK || status == STORE_PENDING;
    on_step_done(purge, status);
}

/* Raised first: who stores then has either not looked yet, or is refused by the tombstone. */
static void raise_number(struct purge *purge, uint64_t now_us) {
    char value[GENERATION_LENGTH];
    struct key key;
    key_of_removals(&purge->generation_key, &purge->key, &key);
    generation_encode(now_us, value);
    struct store_item item = {.kind = STORE_GENERATION, .key = key.bytes, .value = {value, sizeof(value)}};
    store_put(purge->purges->store, &item, on_number_raised, purge);
}

/* Removes what is there, or forbids what is being inferred: the tombstone stands for as long as a flight that
 * began before it can last. `seen`: the last invalidation before this one. */
static void remove_key(struct purge *purge, uint64_t seen) {
    struct purges *purges = purge->purges;
    uint64_t now_us = clock_wall_us(purges->clock);
    purge->phase = PURGE_REMOVING;
    purge->status = STORE_OK;
    purge->steps = 2;
    stats_count(purges->stats, STAT_purges);
    if (purges->settings->cache_backend != CACHE_BACKEND_MEMORY)
        raise_number(purge, now_us);
    else
        purge->steps = 1;
    store_remove(purges->store, STORE_ENTRY, purge->key.bytes, now_us > seen ? now_us : seen + 1,
                 flights_tombstone_ms(purges->settings), on_entry_removed, purge);
}

static void on_looked(struct store_look *look) {
    struct purge *purge = look->user;
    struct purges *purges = purge->purges;
    const struct store_get *get = &look->gets[GENERATION_ENTRY];
    uint64_t now_us = clock_wall_us(purges->clock);
    uint64_t generation, epoch;
    if (generation_read(look, &generation, &epoch) == STORE_ERROR || get->status == STORE_ERROR) {
        finish(purge, CACHE_ADMIN_ERROR, NULL);
        return;
    }
    struct entry entry;
    bool readable =
        get->status == STORE_OK && entry_read(get->value, &purge->key, now_us, &entry) == ENTRY_GOOD;
    struct key owner;
    bool ours = false;
    if (readable) {
        key_of_generation(entry.cache_namespace, &owner);
        ours = key_equal(&owner, &purge->generation_key);
    }
    purge->found = readable && ours && entry.generation == generation;
    if (!purge->removes)
        finish(purge, purge->found ? CACHE_ADMIN_OK : CACHE_ADMIN_MISSING, purge->found ? &entry : NULL);
    else if (readable && !ours)
        finish(purge, CACHE_ADMIN_MISSING, NULL); /* another namespace's: neither seen nor touched */
    else
        remove_key(purge, epoch);
}

static void look(struct purges *purges, const struct key *key, struct bytes cache_namespace, bool removes,
                 cache_admin_done done, void *user) {
    struct purge *purge = begin(purges, cache_namespace, done, user);
    if (!purge) {
        done(user, CACHE_ADMIN_ERROR, NULL, 0);
        return;
    }
    purge->phase = PURGE_LOOKING;
    purge->removes = removes;
    purge->key = *key;
    generation_look(&purge->look, &purge->generation_key, &purge->key);
    purge->look.done = on_looked;
    purge->look.user = purge;
    store_look(purges->store, &purge->look);
}

void purges_key(struct purges *purges, const struct key *key, struct bytes cache_namespace,
                cache_admin_done done, void *user) {
    look(purges, key, cache_namespace, true, done, user);
}

void purges_look(struct purges *purges, const struct key *key, struct bytes cache_namespace,
                 cache_admin_done done, void *user) {
    look(purges, key, cache_namespace, false, done, user);
}
