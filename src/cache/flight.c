/* Keeps a flight's state, the requests that wait in it, and what has come of its answer. */
#include "cache/flight.h"

#include <stdlib.h>

#define TICK_MS 10

/* ---- states ---- */

#define TO(state) (1u << (state))

/* NEW         nothing: it was just made
 * LEASING     the `add` of its lease
 * LOOKING     a last look at its entry: between the look that missed and the lease another may have ended
 * READY       the end of the turn, when it is handed to the engine
 * INFERRING   the engine
 * CHECKING    a look at whether something was removed meanwhile: on servers, which may evict tombstones
 * STORING     the `put` of its entry
 * FOLLOWING   another worker or host, which infers
 * FAILING     a look for a stale entry
 * ANSWERING   nothing: its waiters are answered one after the other, or start over in a new flight
 * ENDED       nothing: it is gone */
static const struct {
    bool joinable; /* who asks for the same joins it */
    unsigned may_go_to;
} STATES[FLIGHT_STATES] = {
    [FLIGHT_NEW] = {true, TO(FLIGHT_LEASING) | TO(FLIGHT_READY) | TO(FLIGHT_FAILING) | TO(FLIGHT_ENDED)},
    [FLIGHT_LEASING] = {true, TO(FLIGHT_LOOKING) | TO(FLIGHT_FOLLOWING) | TO(FLIGHT_ENDED)},
    [FLIGHT_LOOKING] = {true, TO(FLIGHT_READY) | TO(FLIGHT_ANSWERING) | TO(FLIGHT_ENDED)},
    [FLIGHT_READY] = {true, TO(FLIGHT_INFERRING) | TO(FLIGHT_ENDED)},
    [FLIGHT_INFERRING] = {true, TO(FLIGHT_CHECKING) | TO(FLIGHT_STORING) | TO(FLIGHT_ANSWERING) |
                                    TO(FLIGHT_FAILING) | TO(FLIGHT_ENDED)},
    [FLIGHT_CHECKING] = {true, TO(FLIGHT_STORING) | TO(FLIGHT_ANSWERING)},
    [FLIGHT_STORING] = {true, TO(FLIGHT_ANSWERING)},
    [FLIGHT_FOLLOWING] = {true, TO(FLIGHT_LEASING) | TO(FLIGHT_READY) | TO(FLIGHT_ANSWERING) |
                                    TO(FLIGHT_FAILING) | TO(FLIGHT_ENDED)},
    [FLIGHT_FAILING] = {false, TO(FLIGHT_ANSWERING)},
    [FLIGHT_ANSWERING] = {false, TO(FLIGHT_ENDED)},
};

static void enter(struct flight *flight, enum flight_state state) {
    flight->state = state;
    TAILQ_INSERT_TAIL(&flight->flights->in[state], flight, links);
}

static void leave(struct flight *flight) {
    store_look_forget(flight->flights->store, &flight->look);
    TAILQ_REMOVE(&flight->flights->in[flight->state], flight, links);
}

void flight_move(struct flight *flight, enum flight_state state) {
    INVARIANT(STATES[flight->state].may_go_to & TO(state));
    leave(flight);
    enter(flight, state);
}

/* ---- the table ---- */

static struct flight_bucket *bucket_of(struct flights *flights, const struct key *key) {
    return &flights->buckets[key_hash(key) % FLIGHT_BUCKETS];
}

/* A request cannot join when the beginning of the answer was dropped. */
static bool can_be_joined(const struct flight *flight) {
    return STATES[flight->state].joinable && !flight->log.dropped;
}

struct flight *flight_find(struct flights *flights, const struct key *key, uint64_t epoch,
                           uint64_t generation) {
    struct flight *flight;
    LIST_FOREACH(flight, bucket_of(flights, key), bucket_links)
    if (flight->epoch == epoch && flight->generation == generation && can_be_joined(flight) &&
        key_equal(&flight->key, key))
        break;
    return flight;
}

struct flight *flight_create(struct flights *flights, const struct cache_request *request, uint64_t epoch,
                             uint64_t generation) {
    struct flight *flight = calloc(1, sizeof(*flight));
    if (!flight)
        return NULL;
    flight->flights = flights;
    flight->key = request->key;
    flight->epoch = epoch;
    flight->generation = generation;
    flight->group = key_hash(&request->generation_key);
    flight->removals = UINT64_MAX;
    key_of_removals(&request->generation_key, &request->key, &flight->removals_key);
    flight->ttl_ms = request->ttl_ms;
    flight->began_us = clock_wall_us(flights->context->clock);
    flight->job.client = request->client;
    flight->job.arrived_us = request->arrived_us;
    TAILQ_INIT(&flight->waiters);
    LIST_INSERT_HEAD(bucket_of(flights, &flight->key), flight, bucket_links);
    flights->count++;
    enter(flight, FLIGHT_NEW);
    return flight;
}

void flight_end_lease(struct flight *flight) {
    if (flight->lease != LEASE_NONE)
        liveness_end(&flight->flights->liveness);
    flight->lease = LEASE_NONE;
}

void flight_destroy(struct flight *flight) {
    INVARIANT(STATES[flight->state].may_go_to & TO(FLIGHT_ENDED));
    flight_drop(flight);
}

void flight_drop(struct flight *flight) {
    struct flights *flights = flight->flights;
    if (flight->state == FLIGHT_INFERRING)
        engine_cancel(flights->engine, &flight->job);
    leave(flight);
    flight_end_lease(flight);
    LIST_REMOVE(flight, bucket_links);
    flights->count--;
    texts_release(&flights->texts_limit, &flight->texts);
    buffer_fini(&flight->log.entry);
    free(flight);
}

void flights_start_timer(struct flights *flights) {
    if (!uv_is_active((uv_handle_t *)flights->timer))
        (void)uv_timer_start(flights->timer, flights->on_tick, TICK_MS, TICK_MS);
}

/* ---- looks ---- */

void flight_look_for_entry(struct flight *flight, bool number, store_looked looked) {
    flight->look.gets[0] = (struct store_get){.kind = STORE_ENTRY, .key = flight->key.bytes};
    flight->look.n = 1;
    if (number)
        flight->look.gets[flight->look.n++] =
            (struct store_get){.kind = STORE_GENERATION, .key = flight->removals_key.bytes};
    flight->look.done = looked;
    flight->look.user = flight;
    store_look(flight->flights->store, &flight->look);
}

bool flight_accepts(const struct flight *flight, const struct entry *entry, uint64_t now_us) {
    if (entry->generation != flight->generation || entry->created_us < flight->not_before_us)
        return false;
    return entry->fresh_until_us > now_us || entry->created_us >= flight->began_us;
}

/* ---- the log ---- */

static struct bytes body_from(const struct flight_log *log, size_t offset) {
    return (struct bytes){log->entry.data + log->body_at + offset, log->length - offset};
}

static void give(struct cache_request *request, struct bytes piece) {
    request->read += piece.length;
    request->more(request, piece);
}

/* ---- who waits ---- */

void flight_park(struct flight *flight, struct cache_request *request) {
    request->phase = CACHE_WAITING;
    request->flight = flight;
    request->read = 0;
    TAILQ_INSERT_TAIL(&flight->waiters, request, links);
    if (request->forward == FORWARD_REQUEST || request->forward == FORWARD_STALE)
        flight->replaces = true;
    /* An inference that has not begun has the time of the request that is due last. */
    if (request->arrived_us > flight->job.arrived_us)
        flight->job.arrived_us = request->arrived_us;
    /* A request that refused the stored entry accepts only one made after it asked. */
    if (request->forward == FORWARD_REQUEST && request->asked_us >= flight->not_before_us)
        flight->not_before_us = request->asked_us + 1;
    stats_count(flight->flights->context->stats, STAT_parked);
    texts_copied(request);
    if (request->more && flight->log.length > 0)
        give(request, body_from(&flight->log, 0));
}

void flight_unpark(struct cache_request *request) {
    struct flight *flight = request->flight;
    TAILQ_REMOVE(&flight->waiters, request, links);
    request->flight = NULL;
    request->phase = CACHE_IDLE;
    stats_subtract(flight->flights->context->stats, STAT_parked, 1);
}

struct cache_request *flight_next_waiter(struct flight *flight) {
    struct cache_request *request = TAILQ_FIRST(&flight->waiters);
    if (request) {
        flight_unpark(request);
        request->collapsed = request->collapsed || flight->followed;
    }
    return request;
}

/* ---- answers ---- */

void flight_count_forwarded(struct flights *flights, const struct cache_request *request) {
    struct stats *stats = flights->context->stats;
    stats_count(stats, request->forward == FORWARD_REQUEST ? STAT_bypasses : STAT_misses);
    if (request->collapsed)
        stats_count(stats, STAT_coalesced);
}

/* A collapsed request that is answered saves an inference, as a hit does. */
static void count_shared(struct flights *flights, const struct cache_request *request,
                         uint64_t inference_us) {
    if (!request->collapsed)
        return;
    stats_count(flights->context->stats, STAT_shared_answers);
    stats_add(flights->context->stats, STAT_inference_us_saved, inference_us);
}

/* A large body that several wait for is copied once, not for each whose socket does not take it at once.
 * NULL: it need not or cannot be shared. */
static struct blob *share(const struct flight *flight, struct bytes body) {
    struct blobs *blobs = flight->flights->blobs;
    const struct cache_request *first = TAILQ_FIRST(&flight->waiters);
    bool several = first && TAILQ_NEXT(first, links);
    return blobs && several && body.length >= BLOB_LEAST ? blobs_hold(blobs, body) : NULL;
}

void flight_answer_all(struct flight *flight, const struct flight_result *result) {
    struct flights *flights = flight->flights;
    struct bytes body = result->entry ? result->entry->body : result->body;
    uint64_t inference_us = result->entry ? result->entry->inference_us : flight->inference_us;
    struct blob *blob = share(flight, body);
    struct cache_request *request;
    flight_move(flight, FLIGHT_ANSWERING);
    /* As statistics have it when the first is answered. */
    texts_release(&flights->texts_limit, &flight->texts);
    while ((request = flight_next_waiter(flight)) != NULL) {
        deadlines_remove(&flights->deadlines, request);
        flight_count_forwarded(flights, request);
        count_shared(flights, request, inference_us);
        struct cache_answer answer = {.result =
                                          request->forward == FORWARD_REQUEST ? CACHE_BYPASS : CACHE_MISS,
                                      .body = blob ? blob->bytes : body,
                                      .blob = blob,
                                      .status = {.forward = request->forward,
                                                 .stored = result->stored,
                                                 .collapsed = request->collapsed},
                                      .inferred = true,
                                      .inference_us = inference_us};
        request->done(request, &answer);
    }
    blob_unref(blob);
    flight_destroy(flight);
}

void flight_answer_failure(struct flights *flights, struct cache_request *request,
                           const struct engine_answer *failure) {
    struct cache_answer answer = {.result = CACHE_FAILED,
                                  .status = {.forward = request->forward, .collapsed = request->collapsed},
                                  .inferred = failure->duration_us > 0,
                                  .inference_us = failure->duration_us,
                                  .failure = failure};
    deadlines_remove(&flights->deadlines, request);
    flight_count_forwarded(flights, request);
    request->done(request, &answer);
}

void flight_set_failure(struct flight *flight, const struct engine_answer *answer) {
    flight->failure = *answer;
    flight->failure.body = (struct bytes){NULL, 0};
    flight->failure_detail[0] = '\0';
    if (answer->detail)
        strncat(flight->failure_detail, answer->detail, sizeof(flight->failure_detail) - 1);
    flight->failure.detail = flight->failure_detail;
}

/* ---- what comes bit by bit ---- */

static struct cache_request *waiter_for_the_whole(const struct flight *flight) {
    struct cache_request *request;
    TAILQ_FOREACH(request, &flight->waiters, links)
    if (!request->more)
        break;
    return request;
}

/* Those who want the whole at its end cannot have it any more. */
static void drop_log(struct flight *flight) {
    static const struct engine_answer TOO_LARGE = {.status = ENGINE_BAD_ANSWER,
                                                   .detail = "the model's answer is too large to be kept"};
    struct flights *flights = flight->flights;
    struct cache_request *request;
    flight->log.dropped = true;
    buffer_fini(&flight->log.entry);
    while ((request = waiter_for_the_whole(flight)) != NULL) {
        flight_unpark(request);
        flight_answer_failure(flights, request, &TOO_LARGE);
    }
}

void flight_append(struct flight *flight, struct bytes piece) {
    struct flight_log *log = &flight->log;
    struct cache_request *request;
    if (!log->dropped && !log->entry.failed)
        buffer_append_bytes(&log->entry, piece);
    log->length += piece.length;
    TAILQ_FOREACH(request, &flight->waiters, links)
    if (request->more)
        give(request, piece);
    if (!log->dropped && log->entry.failed)
        drop_log(flight);
}
