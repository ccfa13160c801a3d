/* Keeps the requests that wait for one inference, and answers them. */
#include "inferonce/cache/flight.h"

#include <stdlib.h>
#include <sys/random.h>

#include "inferonce/cache/flight_parts.h"
#include "inferonce/cache/policy.h"

/* How often a request begins anew because only the request that led its flight failed, and with how much time
 * left at least: a shorter time is none for an inference. */
#define START_OVER_MOST     3
#define START_OVER_LEAST_US UINT64_C(10000)

/* What a flight may take beyond the inference itself: round trips to a store, a busy loop. */
#define FLIGHT_MARGIN_US UINT64_C(5000000)

uint64_t flights_tombstone_ms(const struct settings *settings) {
    return (engine_longest_us(settings) + 2 * FLIGHT_MARGIN_US) / 1000;
}

struct flights *flights_create(const struct context *context, struct store *store, struct engine *engine,
                               struct blobs *blobs, struct error *error) {
    struct flights *flights = calloc(1, sizeof(*flights));
    if (!flights) {
        error_set(error, "no memory for the table of flights");
        return NULL;
    }
    flights->settings = context->settings;
    flights->store = store;
    flights->engine = engine;
    flights->shared = context->shared;
    flights->slot = context->slot;
    flights->clock = context->clock;
    flights->stats = context->stats;
    flights->longest_us = engine_longest_us(context->settings) + FLIGHT_MARGIN_US;
    generation_renewals_init(&flights->renewals, context->settings);
    TAILQ_INIT(&flights->following);
    TAILQ_INIT(&flights->leading);
    flights->turn = context->turn;
    flights->hand_over = (struct turn_task){.run = flights_on_hand_over, .user = flights};
    for (size_t word = 0; word < INTEREST_WORDS; word++)
        flights->releases[word].flights = flights;
    flights->blobs = blobs;
    flights->texts_limit.stats = context->stats;
    deadlines_init(&flights->deadlines);
    solos_init(&flights->solos, engine, &flights->texts_limit, context->stats, &flights->deadlines);
    /* Nonces only have to differ from those of other workers: they start somewhere and count. */
    if (getrandom(&flights->nonces, sizeof(flights->nonces), 0) != sizeof(flights->nonces)) {
        error_set(error, "no random numbers from the kernel");
        free(flights);
        return NULL;
    }
    bool made = liveness_init(&flights->liveness, context, store);
    if (!made || !flight_following_setup(flights, context->loop)) {
        error_set(error, "out of memory");
        liveness_fini(&flights->liveness);
        free(flights);
        return NULL;
    }
    return flights;
}

void flights_destroy(struct flights **flights) {
    if (!*flights)
        return;
    solos_fini(&(*flights)->solos);
    for (size_t i = 0; i < FLIGHT_BUCKETS; i++)
        while ((*flights)->buckets[i])
            flight_destroy((*flights)->buckets[i]);
    flight_following_teardown(*flights);
    liveness_fini(&(*flights)->liveness);
    turn_forget(&(*flights)->hand_over);
    free(*flights);
    *flights = NULL;
}

/* ---- the table ---- */

static struct flight **bucket_of(struct flights *flights, const struct key *key) {
    return &flights->buckets[key_hash(key) % FLIGHT_BUCKETS];
}

static struct flight *find(struct flights *flights, const struct key *key, uint64_t epoch,
                           uint64_t generation) {
    for (struct flight *flight = *bucket_of(flights, key); flight; flight = flight->next_in_bucket)
        if (flight->epoch == epoch && flight->generation == generation && flight->joinable &&
            key_equal(&flight->key, key))
            return flight;
    return NULL;
}

static void unlist(struct flight *flight) {
    struct flight **link = bucket_of(flight->flights, &flight->key);
    while (*link != flight)
        link = &(*link)->next_in_bucket;
    *link = flight->next_in_bucket;
}

/* ---- a flight ---- */

/* It has no texts. */
static struct flight *allocate(struct flights *flights, const struct cache_request *request, uint64_t epoch,
                               uint64_t generation) {
    struct flight *flight = calloc(1, sizeof(*flight));
    if (!flight)
        return NULL;
    flight->flights = flights;
    flight->key = request->key;
    flight->epoch = epoch;
    flight->generation = generation;
    flight->group = key_hash(&request->generation_key);
    flight->ttl_ms = request->ttl_ms;
    flight->began_us = clock_wall_us(flights->clock);
    TAILQ_INIT(&flight->waiters);
    return flight;
}

static void list(struct flight *flight) {
    struct flight **bucket = bucket_of(flight->flights, &flight->key);
    flight->next_in_bucket = *bucket;
    *bucket = flight;
    flight->flights->count++;
}

/* `after`: as in join. */
static struct flight *create(struct flights *flights, struct cache_request *request, uint64_t epoch,
                             uint64_t generation, const struct flight *after) {
    struct flight *flight = allocate(flights, request, epoch, generation);
    if (!flight)
        return NULL;
    flight->joinable = true;
    flight->job.client = request->client;
    flight->job.arrived_us = request->arrived_us;
    if ((request->complete && !request->complete(request)) ||
        !texts_keep(&flights->texts_limit, &flight->texts, &flight->job, request,
                    after ? &after->job : NULL)) {
        free(flight);
        return NULL;
    }
    list(flight);
    return flight;
}

void flight_destroy(struct flight *flight) {
    struct flights *flights = flight->flights;
    if (flight->phase == FLIGHT_FOLLOWING)
        flight_unfollow(flight);
    if (flight->phase == FLIGHT_LEADING && !flight_unlist_leading(flight))
        engine_cancel(flights->engine, &flight->job);
    store_look_forget(flights->store, &flight->look);
    flight_end_lease(flight);
    unlist(flight);
    flights->count--;
    texts_release(&flights->texts_limit, &flight->texts);
    buffer_fini(&flight->encoded);
    free(flight);
}

/* ---- who waits ---- */

static void park(struct flight *flight, struct cache_request *request) {
    request->phase = CACHE_WAITING;
    request->flight = flight;
    TAILQ_INSERT_TAIL(&flight->waiters, request, links);
    if (request->forward == FORWARD_REQUEST || request->forward == FORWARD_STALE)
        flight->replaces = true;
    /* An inference that has not begun has the time of the request that is due last. */
    if (request->arrived_us > flight->job.arrived_us)
        flight->job.arrived_us = request->arrived_us;
    /* A request that refused the stored entry accepts only one made after it asked. */
    if (request->forward == FORWARD_REQUEST && request->asked_us >= flight->not_before_us)
        flight->not_before_us = request->asked_us + 1;
    stats_count(flight->flights->stats, STAT_parked);
    texts_copied(request);
}

static void unpark(struct cache_request *request) {
    struct flight *flight = request->flight;
    TAILQ_REMOVE(&flight->waiters, request, links);
    request->flight = NULL;
    request->phase = CACHE_IDLE;
    stats_subtract(flight->flights->stats, STAT_parked, 1);
}

/* A request that went forward, however it ended. */
static void count_forwarded(struct flights *flights, const struct cache_request *request) {
    stats_count(flights->stats, request->forward == FORWARD_REQUEST ? STAT_bypasses : STAT_misses);
    if (request->collapsed)
        stats_count(flights->stats, STAT_coalesced);
}

/* A collapsed request that is answered saves an inference, as a hit does. */
static void count_shared(struct flights *flights, const struct cache_request *request,
                         uint64_t inference_us) {
    if (!request->collapsed)
        return;
    stats_count(flights->stats, STAT_shared_answers);
    stats_add(flights->stats, STAT_inference_us_saved, inference_us);
}

static void answer_overload(struct flights *flights, struct cache_request *request) {
    const struct engine_answer failure = {
        .status = ENGINE_OVERLOAD, .detail = "too much is waiting for an inference", .retry_after_s = 1};
    struct cache_answer answer = {
        .result = CACHE_FAILED, .status = {.forward = request->forward}, .failure = &failure};
    count_forwarded(flights, request);
    deadlines_remove(&flights->deadlines, request);
    request->phase = CACHE_IDLE;
    request->done(request, &answer);
}

/* `after`: the flight whose failure was not the request's, and whose leases this one goes on with; NULL:
 * none.
 */
static void join(struct flights *flights, struct cache_request *request, uint64_t epoch, uint64_t generation,
                 const struct flight *after) {
    struct flight *flight = find(flights, &request->key, epoch, generation);
    request->collapsed = flight != NULL;
    if (flight) {
        park(flight, request);
        return;
    }
    flight = create(flights, request, epoch, generation, after);
    if (!flight) {
        answer_overload(flights, request);
        return;
    }
    if (after) {
        flight->attempt = after->attempt;
        flight->lease_key = after->lease_key;
        flight->refuser = after->refuser;
        flight->passed = after->passed;
    }
    park(flight, request);
    flight_lease(flight);
}

void flights_join(struct flights *flights, struct cache_request *request, uint64_t epoch,
                  uint64_t generation) {
    request->starts_over = 0;
    flight_due_begin(flights, request);
    join(flights, request, epoch, generation, NULL);
}

void flights_refresh(struct flights *flights, struct cache_request *request, uint64_t epoch,
                     uint64_t generation) {
    if (find(flights, &request->key, epoch, generation))
        return;
    /* Without memory the stale answer still stands; the next request tries again. */
    struct flight *flight = create(flights, request, epoch, generation, NULL);
    if (!flight)
        return;
    flight->background = true;
    flight->replaces = true;
    flight_lease(flight);
}

void flights_solo(struct flights *flights, struct cache_request *request) {
    flight_due_begin(flights, request);
    solos_infer(&flights->solos, request);
}

/* A waiter left it before its end, which may have been the last one. */
static void lost_waiter(struct flight *flight) {
    if (!TAILQ_EMPTY(&flight->waiters) || flight->background)
        return;
    if (flight->phase == FLIGHT_FOLLOWING)
        flight_destroy(flight);
    else if (flight->phase == FLIGHT_LEADING)
        flight_abandoned(flight);
}

void flights_leave(struct flights *flights, struct cache_request *request) {
    if (request->phase == CACHE_SOLO) {
        solos_cancel(&flights->solos, request);
        return;
    }
    struct flight *flight = request->flight;
    unpark(request);
    deadlines_remove(&flights->deadlines, request);
    count_forwarded(flights, request);
    lost_waiter(flight);
}

/* ---- answers ---- */

static struct cache_request *next_waiter(struct flight *flight) {
    struct cache_request *request = TAILQ_FIRST(&flight->waiters);
    if (request) {
        unpark(request);
        request->collapsed = request->collapsed || flight->followed;
    }
    return request;
}

/* A large body that several wait for is copied once, not for each whose socket does not take it at once.
 * NULL: it need not or cannot be shared. */
static struct blob *share(const struct flight *flight, struct bytes body) {
    struct blobs *blobs = flight->flights->blobs;
    const struct cache_request *first = TAILQ_FIRST(&flight->waiters);
    bool several = first && TAILQ_NEXT(first, links);
    return blobs && several && body.length >= BLOB_LEAST ? blobs_hold(blobs, body) : NULL;
}

void flight_answer_all(struct flight *flight, bool stored, const struct entry *entry) {
    struct flights *flights = flight->flights;
    struct bytes body = entry ? entry->body : flight->body;
    struct blob *blob = share(flight, body);
    struct cache_request *request;
    flight->joinable = false;
    texts_release(&flights->texts_limit,
                  &flight->texts); /* as statistics have it when the first is answered */
    while ((request = next_waiter(flight)) != NULL) {
        uint64_t inference_us = entry ? entry->inference_us : flight->inference_us;
        deadlines_remove(&flights->deadlines, request);
        count_forwarded(flights, request);
        count_shared(flights, request, inference_us);
        struct cache_answer answer = {
            .result = request->forward == FORWARD_REQUEST ? CACHE_BYPASS : CACHE_MISS,
            .body = blob ? blob->bytes : body,
            .blob = blob,
            .status = {.forward = request->forward, .stored = stored, .collapsed = request->collapsed},
            .inferred = true,
            .inference_us = inference_us};
        request->done(request, &answer);
    }
    blob_unref(blob);
    flight_destroy(flight);
}

/* The answer that a failure does not prevent: an entry past its lifetime, for those that accept it. */
static void answer_stale(struct flights *flights, struct cache_request *request, const struct entry *entry,
                         uint64_t now_us) {
    stats_count(flights->stats, STAT_hits);
    stats_count(flights->stats, STAT_stale_hits);
    stats_add(flights->stats, STAT_inference_us_saved, entry->inference_us);
    struct cache_answer answer = {.result = CACHE_STALE};
    deadlines_remove(&flights->deadlines, request);
    cache_answer_from_entry(&answer, entry, now_us);
    request->done(request, &answer);
}

/* A credential that was refused says nothing of another one. Digests are compared, of something that nobody
 * outside can know beforehand: how long it takes tells nothing. */
static bool concerns(const struct flight *flight, const struct cache_request *request) {
    struct key refusal;
    if (!flight->refused)
        return true;
    key_of_refusal(&flight->lease_key, flight->refuser, request->authorization, &refusal);
    return key_equal(&refusal, &flight->refusal);
}

/* The request that led a flight had no more time, or its client no place in the queue: this one may. How much
 * of its queue a client of another worker has is not known here, and nothing to this worker's. */
static bool may_start_over(const struct flight *flight, const struct cache_request *request) {
    if (!flight->failure.asker_only || request->starts_over == START_OVER_MOST ||
        deadlines_left_us(request, clock_monotonic_us(flight->flights->clock)) < START_OVER_LEAST_US)
        return false;
    return flight->failure.status == ENGINE_TIMEOUT || flight->followed ||
           request->client != flight->job.client;
}

static void answer_failure(struct flights *flights, struct cache_request *request,
                           const struct engine_answer *failure) {
    struct cache_answer answer = {.result = CACHE_FAILED,
                                  .status = {.forward = request->forward, .collapsed = request->collapsed},
                                  .inferred = true,
                                  .inference_us = failure->duration_us,
                                  .failure = failure};
    deadlines_remove(&flights->deadlines, request);
    count_forwarded(flights, request);
    request->done(request, &answer);
}

void flight_fail_one(struct cache_request *request, const struct engine_answer *failure) {
    struct flight *from = request->flight;
    struct flights *flights = from->flights;
    struct flight *flight = allocate(flights, request, from->epoch, from->generation);
    unpark(request);
    lost_waiter(from);
    if (!flight) {
        answer_failure(flights, request, failure);
        return;
    }
    list(flight);
    park(flight, request);
    flight_set_failure(flight, failure);
    flight_fail(flight);
}

void flight_fail_all(struct flight *flight, const struct entry *stale) {
    struct flights *flights = flight->flights;
    uint64_t now_us = clock_wall_us(flights->clock);
    struct cache_request *request;
    while ((request = next_waiter(flight)) != NULL) {
        if (!concerns(flight, request)) {
            join(flights, request, flight->epoch, flight->generation, flight);
            continue;
        }
        if (stale && policy_usable_on_error(&request->control, stale, now_us)) {
            answer_stale(flights, request, stale, now_us);
            continue;
        }
        if (may_start_over(flight, request)) {
            request->starts_over++;
            join(flights, request, flight->epoch, flight->generation, flight);
            continue;
        }
        answer_failure(flights, request, &flight->failure);
    }
    flight_destroy(flight);
}

void flight_set_failure(struct flight *flight, const struct engine_answer *answer) {
    flight->failure = *answer;
    flight->failure.body = (struct bytes){NULL, 0};
    flight->failure_detail[0] = '\0';
    if (answer->detail)
        strncat(flight->failure_detail, answer->detail, sizeof(flight->failure_detail) - 1);
    flight->failure.detail = flight->failure_detail;
}

void flights_give_up(struct flights *flights) {
    for (size_t i = 0; i < FLIGHT_BUCKETS; i++)
        for (struct flight *flight = flights->buckets[i]; flight; flight = flight->next_in_bucket)
            if (flight->lease_held)
                flight_tell_followers(flight);
}

size_t flights_count(const struct flights *flights) {
    return flights->count + flights->solos.count;
}
