#include "inferonce/cache/cache.h"

#include <stdlib.h>

#include "inferonce/cache/batch.h"
#include "inferonce/cache/flight.h"
#include "inferonce/cache/generation.h"
#include "inferonce/cache/policy.h"
#include "inferonce/cache/purge.h"

/* A generation that cannot be made in so many turns is a store that forgets what it is told. */
#define GENERATION_TRIES 3

struct cache {
    struct store *store;
    const struct clock *clock;
    struct stats *stats;
    struct flights *flights;
    struct purges *purges;
    struct cache_request *collected_first, *collected_last;
    size_t n_collected;
    struct batch_pool batches;
    size_t looking_up; /* batches that are with the store */
};

struct cache *cache_create(const struct cache_options *options, struct error *error) {
    struct cache *cache = calloc(1, sizeof(*cache));
    if (!cache) {
        error_set(error, "no memory for the cache");
        return NULL;
    }
    cache->store = options->store;
    cache->clock = options->clock;
    cache->stats = options->stats;
    cache->flights = flights_create(&(struct flights_options){.settings = options->settings,
                                                              .store = options->store,
                                                              .engine = options->engine,
                                                              .shared = options->shared,
                                                              .slot = options->slot,
                                                              .loop = options->loop,
                                                              .clock = options->clock,
                                                              .stats = options->stats,
                                                              .blobs = options->blobs},
                                    error);
    cache->purges = purges_create(&(struct purges_options){.settings = options->settings,
                                                           .store = options->store,
                                                           .loop = options->loop,
                                                           .clock = options->clock,
                                                           .stats = options->stats},
                                  error);
    if (!cache->flights || !cache->purges)
        cache_destroy(&cache);
    return cache;
}

void cache_destroy(struct cache **cache) {
    if (!*cache)
        return;
    purges_destroy(&(*cache)->purges);
    flights_destroy(&(*cache)->flights);
    batch_pool_fini(&(*cache)->batches);
    free(*cache);
    *cache = NULL;
}

/* ---- answers ---- */

static void answer_hit(struct cache *cache, struct cache_request *request, const struct entry *entry,
                       bool stale, uint64_t now_us) {
    stats_count(cache->stats, STAT_hits);
    if (stale)
        stats_count(cache->stats, STAT_stale_hits);
    stats_add(cache->stats, STAT_inference_us_saved, entry->inference_us);
    struct cache_answer answer = {.result = stale ? CACHE_STALE : CACHE_HIT};
    cache_answer_from_entry(&answer, entry, now_us);
    request->phase = CACHE_IDLE;
    request->done(request, &answer);
}

static void answer_unsatisfiable(struct cache *cache, struct cache_request *request) {
    stats_count(cache->stats, request->forward == FORWARD_REQUEST ? STAT_bypasses : STAT_misses);
    struct cache_answer answer = {.result = CACHE_UNSATISFIABLE, .status = {.forward = request->forward}};
    request->phase = CACHE_IDLE;
    request->done(request, &answer);
}

/* ---- what was found ---- */

static void collect(struct cache *cache, struct cache_request *request) {
    request->phase = CACHE_COLLECTED;
    request->next = NULL;
    request->previous = cache->collected_last;
    if (cache->collected_last)
        cache->collected_last->next = request;
    else
        cache->collected_first = request;
    cache->collected_last = request;
    cache->n_collected++;
}

static void uncollect(struct cache *cache, struct cache_request *request) {
    if (request->previous)
        request->previous->next = request->next;
    else
        cache->collected_first = request->next;
    if (request->next)
        request->next->previous = request->previous;
    else
        cache->collected_last = request->previous;
    cache->n_collected--;
}

/* Makes the namespace's generation and looks the request up once more, next turn. Whoever else makes it at
 * the same time wins or loses the `add`; the next look tells which number holds. */
static void make_generation(struct cache *cache, struct cache_request *request, uint64_t now_us) {
    char value[GENERATION_LENGTH];
    generation_encode(now_us, value);
    struct store_item item = {
        .kind = STORE_GENERATION, .key = request->generation_key.bytes, .value = {value, sizeof(value)}};
    store_add(cache->store, &item, NULL, NULL);
    request->generation_tries++;
    collect(cache, request);
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

static void judge(struct cache *cache, struct cache_request *request, const struct store_get *generation_get,
                  const struct store_get *entry_get) {
    uint64_t now_us = clock_wall_us(cache->clock);
    if (generation_get->status == STORE_MISSING && request->generation_tries < GENERATION_TRIES) {
        make_generation(cache, request, now_us);
        return;
    }
    uint64_t generation = generation_get->status == STORE_OK ? generation_decode(generation_get->value) : 0;
    struct entry entry;
    bool found = generation != 0 && read_entry(cache, request, entry_get, generation, now_us, &entry);
    uint64_t epoch = entry_get->epoch > generation ? entry_get->epoch : generation;

    switch (policy_judge(&request->control, found ? &entry : NULL, entry_get->status == STORE_EXPIRED, now_us,
                         &request->forward)) {
    case POLICY_HIT:
        answer_hit(cache, request, &entry, false, now_us);
        return;
    case POLICY_STALE:
        answer_hit(cache, request, &entry, true, now_us);
        return;
    case POLICY_STALE_REFRESH:
        flights_refresh(cache->flights, request, epoch, generation);
        answer_hit(cache, request, &entry, true, now_us);
        return;
    case POLICY_UNSATISFIABLE:
        answer_unsatisfiable(cache, request);
        return;
    case POLICY_FORWARD:
        flights_join(cache->flights, request, generation == 0 ? 0 : epoch, generation);
        return;
    }
}

static void looked_up(void *user, struct store_get *gets, size_t n) {
    struct cache_batch *batch = user;
    struct cache *cache = batch->owner;
    (void)gets;
    (void)n;
    /* Answering one request can make another of this batch leave, which then finds its place here empty. */
    for (size_t i = 0; i < batch->n_requests; i++) {
        struct cache_request *request = batch->requests[i];
        if (!request)
            continue;
        request->batch = NULL;
        judge(cache, request, &batch->gets[batch->generation_at[i]], &batch->gets[batch->entry_at[i]]);
    }
    cache->looking_up--;
    batch_release(&cache->batches, batch);
    flights_flush(cache->flights);
}

/* ---- asking ---- */

void cache_ask(struct cache *cache, struct cache_request *request) {
    request->asked_us = clock_wall_us(cache->clock);
    request->generation_tries = 0;
    request->flight = NULL;
    request->batch = NULL;
    if (request->control.no_store && !request->control.only_if_cached) {
        request->forward = FORWARD_REQUEST;
        flights_solo(cache->flights, request);
        return;
    }
    collect(cache, request);
}

/* There is no memory to look anything up with. The inference needs none of it. */
static void infer_all_unseen(struct cache *cache) {
    while (cache->collected_first) {
        struct cache_request *request = cache->collected_first;
        uncollect(cache, request);
        stats_count(cache->stats, STAT_store_errors);
        if (policy_judge(&request->control, NULL, false, 0, &request->forward) == POLICY_UNSATISFIABLE)
            answer_unsatisfiable(cache, request);
        else
            flights_join(cache->flights, request, 0, 0);
    }
}

/* Moves up to `most` collected requests into a batch and asks the store. False: no memory for a batch. */
static bool look_up(struct cache *cache, size_t most) {
    struct cache_batch *batch = batch_take(&cache->batches);
    if (!batch)
        return false;
    batch->owner = cache;
    while (most-- > 0) {
        struct cache_request *request = cache->collected_first;
        uncollect(cache, request);
        request->phase = CACHE_LOOKED_UP;
        batch_add(batch, request);
    }
    cache->looking_up++;
    store_get_many(cache->store, batch->gets, batch->n_gets, looked_up, batch);
    return true;
}

void cache_turn(struct cache *cache) {
    /* What is collected while answers go out (the next request of a busy connection, a request whose
     * namespace just got its generation) is for the next turn: the loop has sockets to look after in between.
     */
    size_t todo = cache->n_collected;
    while (todo > 0 && cache->n_collected > 0) {
        size_t most = todo < BATCH_REQUESTS ? todo : BATCH_REQUESTS;
        if (most > cache->n_collected)
            most = cache->n_collected; /* an answer made others leave */
        if (!look_up(cache, most)) {
            infer_all_unseen(cache);
            break;
        }
        todo -= most;
    }
    flights_flush(cache->flights);
}

void cache_forget(struct cache *cache, struct cache_request *request) {
    switch (request->phase) {
    case CACHE_COLLECTED:
        uncollect(cache, request);
        break;
    case CACHE_LOOKED_UP:
        batch_forget(request);
        break;
    case CACHE_WAITING:
    case CACHE_SOLO:
        flights_leave(cache->flights, request);
        break;
    case CACHE_IDLE:
        break;
    }
    request->phase = CACHE_IDLE;
}

bool cache_has_collected(const struct cache *cache) {
    return cache->n_collected > 0;
}

size_t cache_busy(const struct cache *cache) {
    return cache->looking_up + flights_count(cache->flights) + cache->n_collected;
}

void cache_woken(struct cache *cache, const uint64_t words[INTEREST_WORDS / 64]) {
    flights_woken(cache->flights, words);
}

/* ---- administration ---- */

void cache_purge(struct cache *cache, struct bytes cache_namespace, cache_admin_done done, void *user) {
    purges_namespace(cache->purges, cache_namespace, done, user);
}

void cache_remove(struct cache *cache, const struct key *key, struct bytes cache_namespace,
                  cache_admin_done done, void *user) {
    purges_key(cache->purges, key, cache_namespace, done, user);
}

void cache_inspect(struct cache *cache, const struct key *key, struct bytes cache_namespace,
                   cache_admin_done done, void *user) {
    purges_look(cache->purges, key, cache_namespace, done, user);
}

void cache_admin_forget(struct cache *cache, void *user) {
    purges_forget(cache->purges, user);
}
