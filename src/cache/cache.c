/* Answers requests from the store, and passes the others on to a flight. */
#include "inferonce/cache/cache.h"

#include <stddef.h>
#include <stdlib.h>

#include "cache/admin.h"
#include "cache/flights.h"
#include "cache/generation.h"
#include "inferonce/cache/policy.h"

/* A generation that cannot be made in so many turns is a store that forgets what it is told. */
#define GENERATION_TRIES 3

struct cache {
    struct store *store;
    const struct clock *clock;
    struct stats *stats;
    struct flights *flights;
    struct admin *admin;
    size_t n_looking;
};

struct cache *cache_create(const struct context *context, struct store *store, struct engine *engine,
                           struct blobs *blobs, struct error *error) {
    struct cache *cache = calloc(1, sizeof(*cache));
    if (!cache) {
        error_set(error, "out of memory");
        return NULL;
    }
    cache->store = store;
    cache->clock = context->clock;
    cache->stats = context->stats;
    cache->flights = flights_create(context, store, engine, blobs, error);
    cache->admin = admin_create(context, store, error);
    if (!cache->flights || !cache->admin)
        cache_destroy(&cache);
    return cache;
}

void cache_destroy(struct cache **cache) {
    if (!*cache)
        return;
    admin_destroy(&(*cache)->admin);
    flights_destroy(&(*cache)->flights);
    free(*cache);
    *cache = NULL;
}

/* ---- answers ---- */

static void answer_unsatisfiable(struct cache *cache, struct cache_request *request) {
    stats_count(cache->stats, request->forward == FORWARD_REQUEST ? STAT_bypasses : STAT_misses);
    struct cache_answer answer = {.result = CACHE_UNSATISFIABLE, .status = {.forward = request->forward}};
    request->phase = CACHE_IDLE;
    request->done(request, &answer);
}

/* Whether its caller takes a request that did not hit back for now; it may have asked again already. */
static bool is_held(struct cache_request *request) {
    request->phase = CACHE_HELD;
    return request->hold && request->hold(request);
}

/* ---- what was found ---- */

static void on_looked(struct store_look *look);

static void look_up(struct cache *cache, struct cache_request *request) {
    struct store_look *look = &request->look;
    request->phase = CACHE_LOOKING;
    generation_look(look, &request->generation_key, &request->key);
    look->done = on_looked;
    look->user = cache;
    cache->n_looking++;
    store_look(cache->store, look);
}

/* Another host may make it at the same time, and wins or loses the `add`: the next look tells which number
 * holds. */
static void look_up_with_generation(struct cache *cache, struct cache_request *request, uint64_t now_us) {
    generation_make(cache->store, &request->generation_key, now_us);
    request->generation_tries++;
    look_up(cache, request);
}

/* The usable entry in what the store returned: checked, and of the current generation. */
static bool read_entry(struct cache *cache, const struct cache_request *request, const struct store_get *get,
                       uint64_t generation, uint64_t now_us, struct entry *entry) {
    if (get->status != STORE_OK)
        return false;
    if (entry_read(get->value, &request->key, now_us, entry) != ENTRY_GOOD) {
        stats_count(cache->stats, STAT_rejected_entries);
        return false;
    }
    return entry->generation == generation;
}

static void judge(struct cache *cache, struct cache_request *request) {
    const struct store_get *entry_get = &request->look.gets[GENERATION_ENTRY];
    uint64_t now_us = clock_wall_us(cache->clock);
    uint64_t generation, epoch;
    enum store_status status = generation_read(&request->look, &generation, &epoch);
    /* A request that only asks writes nothing. */
    if (status == STORE_MISSING && !request->control.only_if_cached &&
        request->generation_tries < GENERATION_TRIES) {
        look_up_with_generation(cache, request, now_us);
        return;
    }
    struct entry entry;
    bool found = status == STORE_OK && read_entry(cache, request, entry_get, generation, now_us, &entry);

    request->had_expired = request->had_expired || entry_get->status == STORE_EXPIRED;
    switch (policy_judge(&request->control, found ? &entry : NULL, request->had_expired, now_us,
                         &request->forward)) {
    case POLICY_HIT:
        cache_answer_entry(cache->stats, request, &entry, false, now_us);
        return;
    case POLICY_STALE:
        cache_answer_entry(cache->stats, request, &entry, true, now_us);
        return;
    case POLICY_STALE_REFRESH:
        if (!request->text.data && is_held(request))
            return;
        flights_refresh(cache->flights, request, epoch, generation);
        cache_answer_entry(cache->stats, request, &entry, true, now_us);
        return;
    case POLICY_UNSATISFIABLE:
        answer_unsatisfiable(cache, request);
        return;
    case POLICY_FORWARD:
        if (!is_held(request))
            flights_join(cache->flights, request, epoch, generation);
        return;
    }
}

static void on_looked(struct store_look *look) {
    struct cache *cache = look->user;
    struct cache_request *request =
        (struct cache_request *)((char *)look - offsetof(struct cache_request, look));
    cache->n_looking--;
    judge(cache, request);
}

/* ---- asking ---- */

void cache_ask(struct cache *cache, struct cache_request *request) {
    request->asked_us = clock_wall_us(cache->clock);
    request->had_expired = request->had_expired && request->phase == CACHE_HELD;
    request->generation_tries = 0;
    request->flight = NULL;
    request->look.state = STORE_LOOK_IDLE;
    if (request->control.no_store && !request->control.only_if_cached) {
        request->forward = FORWARD_REQUEST;
        if (!is_held(request))
            flights_solo(cache->flights, request);
        return;
    }
    look_up(cache, request);
}

void cache_forget(struct cache *cache, struct cache_request *request) {
    switch (request->phase) {
    case CACHE_LOOKING:
        store_look_forget(cache->store, &request->look);
        cache->n_looking--;
        break;
    case CACHE_WAITING:
    case CACHE_SOLO:
        flights_leave(cache->flights, request);
        break;
    case CACHE_IDLE:
    case CACHE_HELD:
        break;
    }
    request->phase = CACHE_IDLE;
}

void cache_give_up(struct cache *cache) {
    flights_give_up(cache->flights);
}

size_t cache_busy(const struct cache *cache) {
    return cache->n_looking + flights_count(cache->flights);
}

void cache_woken(struct cache *cache, const uint64_t words[INTEREST_WORDS / 64]) {
    flights_woken(cache->flights, words);
}

/* ---- administration ---- */

void cache_purge(struct cache *cache, struct bytes cache_namespace, cache_admin_done done, void *user) {
    admin_purge(cache->admin, cache_namespace, done, user);
}

void cache_remove(struct cache *cache, const struct key *key, struct bytes cache_namespace,
                  cache_admin_done done, void *user) {
    admin_remove(cache->admin, key, cache_namespace, done, user);
}

void cache_inspect(struct cache *cache, const struct key *key, struct bytes cache_namespace,
                   cache_admin_done done, void *user) {
    admin_inspect(cache->admin, key, cache_namespace, done, user);
}

void cache_admin_forget(struct cache *cache, void *user) {
    admin_forget(cache->admin, user);
}
