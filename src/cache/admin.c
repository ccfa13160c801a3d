/* Purges a namespace, removes a key, inspects an entry. */
#include "cache/admin.h"

#include <stdlib.h>

#include "cache/flights.h"
#include "cache/generation.h"

struct admin {
    const struct settings *settings;
    struct store *store;
    const struct clock *clock;
    struct stats *stats;
    LIST_HEAD(errand_list, errand) list;
    struct turn *turn;
    struct turn_task sweep; /* scheduled while some purge sweeps */
};

/* One operation.
 *
 *   namespace:  RAISING (the generation is being written)  -> SWEEPING (room is given back) -> done
 *   key:        LOOKING (is it of this namespace?)         -> REMOVING                      -> done
 *   inspect:    LOOKING                                    -> done */
enum errand_phase { ERRAND_RAISING, ERRAND_SWEEPING, ERRAND_LOOKING, ERRAND_REMOVING };

struct errand {
    struct admin *admin;
    LIST_ENTRY(errand) links;
    enum errand_phase phase;
    bool removes;          /* LOOKING: to remove, not only to inspect */
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
    uint64_t cursor;
    struct store_look look; /* generation_look */
};

static void on_sweep(void *user);

struct admin *admin_create(const struct context *context, struct store *store, struct error *error) {
    struct admin *admin = calloc(1, sizeof(*admin));
    if (!admin) {
        error_set(error, "out of memory");
        return NULL;
    }
    admin->settings = context->settings;
    admin->store = store;
    admin->clock = context->clock;
    admin->stats = context->stats;
    admin->turn = context->turn;
    admin->sweep = (struct turn_task){.run = on_sweep, .user = admin};
    return admin;
}

static void end(struct errand *errand) {
    LIST_REMOVE(errand, links);
    store_look_forget(errand->admin->store, &errand->look);
    free(errand);
}

static void finish(struct errand *errand, enum cache_admin_status status, const struct entry *entry) {
    cache_admin_done done = errand->done;
    void *user = errand->user;
    uint64_t removed = errand->removed;
    end(errand);
    if (done)
        done(user, status, entry, removed);
}

void admin_destroy(struct admin **admin) {
    if (!*admin)
        return;
    while (!LIST_EMPTY(&(*admin)->list))
        end(LIST_FIRST(&(*admin)->list));
    turn_forget(&(*admin)->sweep);
    free(*admin);
    *admin = NULL;
}

static struct errand *begin(struct admin *admin, struct bytes cache_namespace, cache_admin_done done,
                            void *user) {
    struct errand *errand = calloc(1, sizeof(*errand));
    if (!errand)
        return NULL;
    errand->admin = admin;
    errand->done = done;
    errand->user = user;
    key_of_generation(cache_namespace, &errand->generation_key);
    LIST_INSERT_HEAD(&admin->list, errand, links);
    return errand;
}

void admin_forget(struct admin *admin, void *user) {
    struct errand *errand;
    LIST_FOREACH(errand, &admin->list, links)
    if (errand->user == user)
        errand->done = NULL;
}

static void raise_number(struct errand *errand, const struct key *key, uint64_t number, store_done done) {
    char value[GENERATION_LENGTH];
    generation_encode(number, value);
    struct store_item item = {.kind = STORE_GENERATION, .key = key->bytes, .value = {value, sizeof(value)}};
    store_put(errand->admin->store, &item, done, done ? errand : NULL);
}

/* ---- a namespace ---- */

static struct errand *next_sweeping(struct admin *admin) {
    struct errand *errand = LIST_FIRST(&admin->list);
    while (errand && errand->phase != ERRAND_SWEEPING)
        errand = LIST_NEXT(errand, links);
    return errand;
}

/* One small part of one sweep a turn of the loop, so that requests are served in between. */
static void on_sweep(void *user) {
    struct admin *admin = user;
    struct errand *errand = next_sweeping(admin);
    if (!errand)
        return;
    turn_in_next(admin->turn, &admin->sweep);
    if (!store_sweep(admin->store, key_hash(&errand->generation_key), errand->epoch, &errand->cursor,
                     &errand->removed))
        finish(errand, errand->pending ? CACHE_ADMIN_PENDING : CACHE_ADMIN_OK, NULL);
}

static void raised(void *user, enum store_status status) {
    struct errand *errand = user;
    if (status != STORE_OK && status != STORE_PENDING) {
        finish(errand, CACHE_ADMIN_ERROR, NULL);
        return;
    }
    errand->pending = status == STORE_PENDING;
    errand->phase = ERRAND_SWEEPING;
    turn_in_next(errand->admin->turn, &errand->admin->sweep);
}

void admin_purge(struct admin *admin, struct bytes cache_namespace, cache_admin_done done, void *user) {
    struct errand *errand = begin(admin, cache_namespace, done, user);
    if (!errand) {
        done(user, CACHE_ADMIN_ERROR, NULL, 0);
        return;
    }
    stats_count(admin->stats, STAT_purges);
    errand->phase = ERRAND_RAISING;
    errand->epoch = clock_wall_us(admin->clock);
    if (store_can_walk(admin->store)) { /* imports, which are judged by it, are for such stores alone */
        struct key key;
        key_of_purge(&errand->generation_key, &key);
        raise_number(errand, &key, errand->epoch, NULL);
    }
    raise_number(errand, &errand->generation_key, errand->epoch, raised);
}

/* ---- a key ---- */

/* The number for those that store what they inferred meanwhile, and the entry: both are done. */
static void on_removed(struct errand *errand) {
    enum store_status status = errand->status;
    errand->removed = errand->found_again && errand->found && status != STORE_ERROR;
    finish(errand,
           status == STORE_ERROR     ? CACHE_ADMIN_ERROR
           : status == STORE_PENDING ? CACHE_ADMIN_PENDING
           : errand->found           ? CACHE_ADMIN_OK
                                     : CACHE_ADMIN_MISSING,
           NULL);
}

static void on_step_done(struct errand *errand, enum store_status status) {
    if (status == STORE_ERROR || errand->status == STORE_ERROR)
        errand->status = STORE_ERROR;
    else if (status == STORE_PENDING || errand->status == STORE_PENDING)
        errand->status = STORE_PENDING;
    if (--errand->steps == 0)
        on_removed(errand);
}

static void on_number_raised(void *user, enum store_status status) {
    on_step_done(user, status);
}

static void on_entry_removed(void *user, enum store_status status) {
    struct errand *errand = user;
    errand->found_again = status == STORE_OK || status == STORE_PENDING;
    on_step_done(errand, status);
}

/* Removes what is there, or forbids what is being inferred: the tombstone stands for as long as a flight that
 * began before it can last. `seen`: the last invalidation before this one. */
static void remove_key(struct errand *errand, uint64_t seen) {
    struct admin *admin = errand->admin;
    uint64_t now_us = clock_wall_us(admin->clock);
    errand->phase = ERRAND_REMOVING;
    errand->status = STORE_OK;
    errand->steps = 2;
    stats_count(admin->stats, STAT_purges);
    /* Raised first: who stores then has either not looked yet, or is refused by the tombstone. */
    struct key key;
    key_of_removals(&errand->generation_key, &errand->key, &key);
    raise_number(errand, &key, now_us, on_number_raised);
    store_remove(admin->store, STORE_ENTRY, errand->key.bytes, now_us > seen ? now_us : seen + 1,
                 flights_tombstone_ms(admin->settings), on_entry_removed, errand);
}

static void on_looked(struct store_look *look) {
    struct errand *errand = look->user;
    struct admin *admin = errand->admin;
    const struct store_get *get = &look->gets[GENERATION_ENTRY];
    uint64_t now_us = clock_wall_us(admin->clock);
    uint64_t generation, epoch;
    if (generation_read(look, &generation, &epoch) == STORE_ERROR || get->status == STORE_ERROR) {
        finish(errand, CACHE_ADMIN_ERROR, NULL);
        return;
    }
    struct entry entry;
    bool readable =
        get->status == STORE_OK && entry_read(get->value, &errand->key, now_us, &entry) == ENTRY_GOOD;
    struct key owner;
    bool ours = false;
    if (readable) {
        key_of_generation(entry.cache_namespace, &owner);
        ours = key_equal(&owner, &errand->generation_key);
    }
    errand->found = readable && ours && entry.generation == generation;
    if (!errand->removes)
        finish(errand, errand->found ? CACHE_ADMIN_OK : CACHE_ADMIN_MISSING, errand->found ? &entry : NULL);
    else if (readable && !ours)
        finish(errand, CACHE_ADMIN_MISSING, NULL); /* another namespace's: neither seen nor touched */
    else
        remove_key(errand, epoch);
}

static void look(struct admin *admin, const struct key *key, struct bytes cache_namespace, bool removes,
                 cache_admin_done done, void *user) {
    struct errand *errand = begin(admin, cache_namespace, done, user);
    if (!errand) {
        done(user, CACHE_ADMIN_ERROR, NULL, 0);
        return;
    }
    errand->phase = ERRAND_LOOKING;
    errand->removes = removes;
    errand->key = *key;
    generation_look(&errand->look, &errand->generation_key, &errand->key);
    errand->look.done = on_looked;
    errand->look.user = errand;
    store_look(admin->store, &errand->look);
}

void admin_remove(struct admin *admin, const struct key *key, struct bytes cache_namespace,
                  cache_admin_done done, void *user) {
    look(admin, key, cache_namespace, true, done, user);
}

void admin_inspect(struct admin *admin, const struct key *key, struct bytes cache_namespace,
                   cache_admin_done done, void *user) {
    look(admin, key, cache_namespace, false, done, user);
}
