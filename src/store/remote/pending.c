/* Remembers the invalidations that cache servers have still to be told. */
#include "store/remote/pending.h"

#include <string.h>

#include "store/memory/lock.h"

static uint64_t bit_of(uint64_t server) {
    return UINT64_C(1) << server % 64;
}

static bool may_wait(const struct pendings *pendings, uint64_t server) {
    return atomic_load_explicit(&pendings->waiting, memory_order_acquire) & bit_of(server);
}

static void note_waiting(struct pendings *pendings) {
    uint64_t waiting = 0;
    for (unsigned i = 0; i < PENDING_MAX; i++)
        if (pendings->places[i].number != 0)
            waiting |= bit_of(pendings->places[i].server);
    atomic_store_explicit(&pendings->waiting, waiting, memory_order_release);
}

static bool lock(struct pendings *pendings) {
    enum memory_lock_outcome outcome = memory_lock_take(&pendings->lock);
    if (outcome == MEMORY_LOCK_BROKEN)
        return false;
    if (outcome == MEMORY_LOCKED_AFTER_DEATH) {
        note_waiting(pendings);
        memory_lock_recovered(&pendings->lock);
    }
    return true;
}

void pendings_setup(struct pendings *pendings, bool fresh) {
    memory_lock_init(&pendings->lock);
    if (fresh)
        return;
    for (unsigned i = 0; i < PENDING_MAX; i++) {
        struct pending *place = &pendings->places[i];
        if (place->kind != STORE_ENTRY && place->kind != STORE_GENERATION)
            place->number = 0;
        if (place->number > pendings->numbers)
            pendings->numbers = place->number;
    }
    note_waiting(pendings);
}

uint64_t pending_server(const char *name) {
    return bytes_hash(bytes_of(name));
}

/* The place of an earlier one for the same item, else an empty one. */
static struct pending *place_for(struct pendings *pendings, const struct pending *pending) {
    struct pending *empty = NULL;
    for (unsigned i = 0; i < PENDING_MAX; i++) {
        struct pending *place = &pendings->places[i];
        if (place->number == 0)
            empty = empty ? empty : place;
        else if (place->server == pending->server && place->kind == pending->kind &&
                 memcmp(place->key, pending->key, STORE_KEY_LENGTH) == 0)
            return place;
    }
    return empty;
}

/* A process that is killed here leaves its writes in order: a place counts once it has its number. */
static void write_place(struct pendings *pendings, struct pending *place, const struct pending *pending) {
    if (place->number == 0) {
        *place = *pending;
    } else {
        if (pending->epoch > place->epoch)
            place->epoch = pending->epoch;
        if (pending->tombstone_ms > place->tombstone_ms)
            place->tombstone_ms = pending->tombstone_ms;
    }
    atomic_signal_fence(memory_order_seq_cst);
    place->number = ++pendings->numbers;
}

bool pending_add(struct pendings *pendings, const struct pending *pending) {
    INVARIANT(pending->number == 0);
    if (!lock(pendings))
        return false;
    struct pending *place = place_for(pendings, pending);
    if (place) {
        write_place(pendings, place, pending);
        note_waiting(pendings);
    }
    memory_lock_give(&pendings->lock);
    return place != NULL;
}

uint64_t pending_count(struct pendings *pendings, uint64_t server) {
    uint64_t count = 0;
    if (!may_wait(pendings, server) || !lock(pendings))
        return 0;
    for (unsigned i = 0; i < PENDING_MAX; i++) {
        const struct pending *place = &pendings->places[i];
        count += place->number != 0 && place->server == server &&
                 memcmp(place->key, STORE_LAST_PURGE, STORE_KEY_LENGTH) != 0;
    }
    memory_lock_give(&pendings->lock);
    return count;
}

bool pending_has(struct pendings *pendings, uint64_t server) {
    struct pending pending;
    return may_wait(pendings, server) && pending_next(pendings, server, 0, &pending);
}

bool pending_next(struct pendings *pendings, uint64_t server, uint64_t after, struct pending *pending) {
    const struct pending *next = NULL;
    if (!lock(pendings))
        return false;
    for (unsigned i = 0; i < PENDING_MAX; i++) {
        const struct pending *place = &pendings->places[i];
        if (place->number > after && place->server == server && (!next || place->number < next->number))
            next = place;
    }
    if (next)
        *pending = *next;
    memory_lock_give(&pendings->lock);
    return next != NULL;
}

void pending_done(struct pendings *pendings, uint64_t number) {
    if (!lock(pendings))
        return;
    for (unsigned i = 0; i < PENDING_MAX; i++)
        if (pendings->places[i].number == number)
            pendings->places[i].number = 0;
    note_waiting(pendings);
    memory_lock_give(&pendings->lock);
}

uint64_t pending_last_purge(const struct pendings *pendings) {
    return atomic_load_explicit(&pendings->last_purge, memory_order_acquire);
}

void pending_learn_purge(struct pendings *pendings, uint64_t number) {
    uint64_t known = pending_last_purge(pendings);
    while (known < number && !atomic_compare_exchange_weak(&pendings->last_purge, &known, number))
        continue;
}

/* The place of a server, under the lock; NULL: it has none. */
static uint64_t *purge_of(struct pendings *pendings, uint64_t server) {
    for (unsigned i = 0; i < SERVERS_MAX; i++)
        if (pendings->had[i].server == server)
            return &pendings->had[i].last_purge;
    return NULL;
}

/* With other settings there may have been other servers: replaces the one whose last purge is oldest. */
static uint64_t *make_purge_of(struct pendings *pendings, uint64_t server) {
    unsigned oldest = 0;
    for (unsigned i = 1; i < SERVERS_MAX; i++)
        if (pendings->had[i].last_purge < pendings->had[oldest].last_purge)
            oldest = i;
    pendings->had[oldest].server = server;
    pendings->had[oldest].last_purge = 0;
    return &pendings->had[oldest].last_purge;
}

uint64_t pending_server_purge(struct pendings *pendings, uint64_t server) {
    if (!lock(pendings))
        return 0;
    const uint64_t *had = purge_of(pendings, server);
    uint64_t number = had ? *had : 0;
    memory_lock_give(&pendings->lock);
    return number;
}

void pending_server_has_purge(struct pendings *pendings, uint64_t server, uint64_t number) {
    pending_learn_purge(pendings, number);
    if (number == 0 || !lock(pendings))
        return;
    uint64_t *had = purge_of(pendings, server);
    if (!had)
        had = make_purge_of(pendings, server);
    if (*had < number)
        *had = number;
    memory_lock_give(&pendings->lock);
}

bool pending_assume_all(struct pendings *pendings, const uint64_t *servers, unsigned n, uint64_t now_us) {
    if (atomic_load(&pendings->unknown) == 0)
        return true;
    for (unsigned i = 0; i < n; i++) {
        struct pending all = {.server = servers[i], .kind = STORE_GENERATION, .epoch = now_us};
        memcpy(all.key, STORE_ALL_NAMESPACES, STORE_KEY_LENGTH);
        if (!pending_add(pendings, &all))
            return false;
    }
    atomic_store(&pendings->unknown, 0);
    return true;
}
