/* Starts and ends flights: for the cache, and by what leader and follower report. */
#include "cache/flights.h"

#include <stdlib.h>
#include <sys/random.h>

#include "cache/flight.h"
#include "inferonce/cache/policy.h"

/* How often a request begins anew because only the request that led its flight failed, and with how much time
 * left at least: a shorter time is none for an inference. */
#define START_OVER_MOST     3
#define START_OVER_LEAST_US UINT64_C(10000)

/* The time that a flight may take beyond the inference itself: round trips to a store, a busy loop. */
#define FLIGHT_MARGIN_US UINT64_C(5000000)

uint64_t flights_tombstone_ms(const struct settings *settings) {
    return (engine_longest_us(settings) + 2 * FLIGHT_MARGIN_US) / 1000;
}

/* ---- joining ---- */

/* `after`: as in join. */
static struct flight *create(struct flights *flights, struct cache_request *request, uint64_t epoch,
                             uint64_t generation, const struct flight *after) {
    struct flight *flight = flight_create(flights, request, epoch, generation);
    if (!flight)
        return NULL;
    if (!texts_keep(&flights->texts_limit, &flight->texts, &flight->job, request,
                    after ? &after->job : NULL)) {
        flight_destroy(flight);
        return NULL;
    }
    if (after) {
        flight->attempt = after->attempt;
        flight->lease_key = after->lease_key;
        flight->refuser = after->refuser;
        flight->passed = after->passed;
    }
    return flight;
}

static void answer_overload(struct flights *flights, struct cache_request *request) {
    const struct engine_answer failure = {
        .status = ENGINE_OVERLOAD, .detail = "too much is waiting for an inference", .retry_after_s = 1};
    request->phase = CACHE_IDLE;
    flight_answer_failure(flights, request, &failure);
}

/* `after`: the flight whose failure was not the request's, and whose leases this one goes on with; NULL:
 * none. */
static void join(struct flights *flights, struct cache_request *request, uint64_t epoch, uint64_t generation,
                 const struct flight *after) {
    struct flight *flight = flight_find(flights, &request->key, epoch, generation);
    request->collapsed = flight != NULL;
    if (flight) {
        flight_park(flight, request);
        return;
    }
    flight = create(flights, request, epoch, generation, after);
    if (!flight) {
        answer_overload(flights, request);
        return;
    }
    flight_park(flight, request);
    leader_begin(flight);
}

static void begin_to_wait(struct flights *flights, struct cache_request *request) {
    const struct context *context = flights->context;
    deadlines_add(&flights->deadlines, request, clock_monotonic_us(context->clock),
                  engine_limit_us(context->settings));
    if (request->due_us < UINT64_MAX)
        flights_start_timer(flights);
}

void flights_join(struct flights *flights, struct cache_request *request, uint64_t epoch,
                  uint64_t generation) {
    request->starts_over = 0;
    begin_to_wait(flights, request);
    join(flights, request, epoch, generation, NULL);
}

void flights_refresh(struct flights *flights, struct cache_request *request, uint64_t epoch,
                     uint64_t generation) {
    if (flight_find(flights, &request->key, epoch, generation))
        return;
    /* Without memory the stale answer still stands; the next request tries again. */
    struct flight *flight = create(flights, request, epoch, generation, NULL);
    if (!flight)
        return;
    flight->background = true;
    flight->replaces = true;
    leader_begin(flight);
}

void flights_solo(struct flights *flights, struct cache_request *request) {
    begin_to_wait(flights, request);
    solos_infer(&flights->solos, request);
}

/* ---- leaving ---- */

/* A waiter left it before its end, which may have been the last one. */
static void lost_waiter(struct flight *flight) {
    if (!TAILQ_EMPTY(&flight->waiters) || flight->background)
        return;
    if (flight->state == FLIGHT_FOLLOWING)
        flight_destroy(flight);
    else if (flight->state == FLIGHT_READY || flight->state == FLIGHT_INFERRING)
        leader_abandoned(flight);
}

void flights_leave(struct flights *flights, struct cache_request *request) {
    if (request->phase == CACHE_SOLO) {
        solos_cancel(&flights->solos, request);
        return;
    }
    struct flight *flight = request->flight;
    flight_unpark(request);
    deadlines_remove(&flights->deadlines, request);
    flight_count_forwarded(flights, request);
    lost_waiter(flight);
}

/* ---- failures ---- */

/* The answer that a failure does not prevent: an entry past its lifetime, for those that accept it. */
static void answer_stale(struct flights *flights, struct cache_request *request, const struct entry *entry,
                         uint64_t now_us) {
    deadlines_remove(&flights->deadlines, request);
    cache_answer_entry(flights->context->stats, request, entry, true, now_us);
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
 * of its queue a client of another worker has is not known here, and nothing to this worker's. What it was
 * given of an answer cannot be taken back. */
static bool may_start_over(const struct flight *flight, const struct cache_request *request) {
    uint64_t now_us = clock_monotonic_us(flight->flights->context->clock);
    if (!flight->failure.asker_only || request->starts_over == START_OVER_MOST || request->read > 0 ||
        deadlines_left_us(request, now_us) < START_OVER_LEAST_US)
        return false;
    return flight->failure.status == ENGINE_TIMEOUT || flight->followed ||
           request->client != flight->job.client;
}

/* Answers every waiter with the flight's failure, or with `stale` (may be NULL) who accepts that. Waiters
 * whom the failure does not concern start over, in a new flight which the first of them leads: those that
 * gave another credential than the one that was refused, and, where only the request that led had no more
 * time or no place in the queue, those that have time and, for the queue, another client. */
static void fail_all(struct flight *flight, const struct entry *stale) {
    struct flights *flights = flight->flights;
    uint64_t now_us = clock_wall_us(flights->context->clock);
    struct cache_request *request;
    flight_move(flight, FLIGHT_ANSWERING);
    while ((request = flight_next_waiter(flight)) != NULL) {
        if (!concerns(flight, request)) {
            join(flights, request, flight->epoch, flight->generation, flight);
        } else if (stale && policy_usable_on_error(&request->control, stale, now_us)) {
            answer_stale(flights, request, stale, now_us);
        } else if (may_start_over(flight, request)) {
            request->starts_over++;
            join(flights, request, flight->epoch, flight->generation, flight);
        } else {
            flight_answer_failure(flights, request, &flight->failure);
        }
    }
    flight_destroy(flight);
}

static void on_looked_for_stale(struct store_look *look) {
    struct flight *flight = look->user;
    const struct store_get *get = &look->gets[0];
    uint64_t now_us = clock_wall_us(flight->flights->context->clock);
    struct entry entry;
    bool found = get->status == STORE_OK &&
                 entry_read(get->value, &flight->key, now_us, &entry) == ENTRY_GOOD &&
                 entry.generation == flight->generation;
    fail_all(flight, found ? &entry : NULL);
}

/* A model that refused the request has not failed (RFC 5861 section 4): whose credential is not good any
 * more is not served what it once was. */
static bool wants_stale(const struct flight *flight) {
    const struct settings *settings = flight->flights->context->settings;
    const struct cache_request *request;
    if (flight->failure.status == ENGINE_REJECTED || flight->generation == 0)
        return false;
    TAILQ_FOREACH(request, &flight->waiters, links)
    if (policy_wants_stale_on_error(&request->control, settings->cache_stale_if_error_ms))
        return true;
    return false;
}

static void fail(struct flight *flight) {
    flight_move(flight, FLIGHT_FAILING);
    if (wants_stale(flight))
        flight_look_for_entry(flight, false, on_looked_for_stale);
    else
        fail_all(flight, NULL);
}

/* Moves a waiter into a flight of its own, which has failed. It may be answered before this returns; the
 * flight that it was in may be gone. */
static void fail_one(struct cache_request *request, const struct engine_answer *failure) {
    struct flight *from = request->flight;
    struct flights *flights = from->flights;
    struct flight *flight = flight_create(flights, request, from->epoch, from->generation);
    flight_unpark(request);
    lost_waiter(from);
    if (!flight) {
        flight_answer_failure(flights, request, failure);
        return;
    }
    flight_park(flight, request);
    flight_set_failure(flight, failure);
    fail(flight);
}

/* ---- reports ---- */

static void on_report(struct flight *flight, enum flight_report what, const struct flight_result *result) {
    switch (what) {
    case FLIGHT_TAKEN:
        if (flight->background || TAILQ_EMPTY(&flight->waiters))
            flight_destroy(flight);
        else
            follower_begin(flight);
        return;
    case FLIGHT_ORPHANED:
        leader_begin(flight);
        return;
    case FLIGHT_ALONE:
        leader_begin_alone(flight);
        return;
    case FLIGHT_ANSWERED:
        flight_answer_all(flight, result);
        return;
    case FLIGHT_FAILED:
        fail(flight);
        return;
    case FLIGHT_DESERTED:
        flight_destroy(flight);
        return;
    }
}

/* ---- whose time is over ---- */

/* A flight that has its result, or has failed, answers as soon as the store has: that is the better answer.
 */
static bool is_answered_anyway(const struct cache_request *request) {
    return request->phase == CACHE_WAITING &&
           (request->flight->state == FLIGHT_CHECKING || request->flight->state == FLIGHT_STORING ||
            request->flight->state == FLIGHT_FAILING);
}

static struct cache_request *next_overdue(const struct flights *flights, uint64_t now_us) {
    struct cache_request *request;
    TAILQ_FOREACH(request, &flights->deadlines.requests, due_links) {
        if (request->due_us > now_us)
            return NULL;
        if (!is_answered_anyway(request))
            return request;
    }
    return NULL;
}

static void fail_solo(struct flights *flights, struct cache_request *request,
                      const struct engine_answer *failure) {
    struct cache_answer answer = {
        .result = CACHE_FAILED, .status = {.forward = request->forward}, .failure = failure};
    solos_cancel(&flights->solos, request);
    request->done(request, &answer);
}

/* Answers the requests whose time is over. Their inferences go on, for those that have time and for who asks
 * next, unless they have not begun and nobody else waits for them. Answering one can make others leave, so
 * the first one is looked for each time. */
static void end_overdue(struct flights *flights, uint64_t now_us) {
    static const struct engine_answer FAILURE = {.status = ENGINE_TIMEOUT,
                                                 .detail = "no answer came in this request's time"};
    struct cache_request *request;
    while ((request = next_overdue(flights, now_us)) != NULL) {
        if (request->phase == CACHE_SOLO)
            fail_solo(flights, request, &FAILURE);
        else
            fail_one(request, &FAILURE);
    }
}

static void on_tick(uv_timer_t *timer) {
    struct flights *flights = timer->data;
    uint64_t now_us = clock_monotonic_us(flights->context->clock);
    end_overdue(flights, now_us);
    followers_tick(flights, now_us);
    if (TAILQ_EMPTY(&flights->in[FLIGHT_FOLLOWING]) && TAILQ_EMPTY(&flights->deadlines.requests))
        uv_timer_stop(timer);
}

/* ---- all of them ---- */

void flights_woken(struct flights *flights, const uint64_t words[INTEREST_WORDS / 64]) {
    followers_woken(flights, words);
}

void flights_give_up(struct flights *flights) {
    struct flight *flight;
    for (unsigned state = 0; state < FLIGHT_STATES; state++)
        TAILQ_FOREACH(flight, &flights->in[state], links)
    if (flight->lease == LEASE_HELD)
        leader_give_back(flight);
}

size_t flights_count(const struct flights *flights) {
    return flights->count + flights->solos.count;
}

/* False: no memory. */
static bool make_handles(struct flights *flights, struct store *store) {
    flights->timer = malloc(sizeof(*flights->timer));
    if (!flights->timer)
        return false;
    if (!liveness_init(&flights->liveness, flights->context, store)) {
        free(flights->timer);
        return false;
    }
    INVARIANT(uv_timer_init(flights->context->loop, flights->timer) == 0);
    flights->timer->data = flights;
    return true;
}

struct flights *flights_create(const struct context *context, struct store *store, struct engine *engine,
                               struct blobs *blobs, struct error *error) {
    struct flights *flights = calloc(1, sizeof(*flights));
    if (!flights) {
        error_set(error, "out of memory");
        return NULL;
    }
    flights->context = context;
    flights->store = store;
    flights->engine = engine;
    flights->blobs = blobs;
    flights->on_tick = on_tick;
    flights->report = on_report;
    flights->longest_us = engine_longest_us(context->settings) + FLIGHT_MARGIN_US;
    flights->hand_over = (struct turn_task){.run = leader_hand_over, .user = flights};
    flights->texts_limit.stats = context->stats;
    generation_renewals_init(&flights->renewals, context->settings);
    for (unsigned state = 0; state < FLIGHT_STATES; state++)
        TAILQ_INIT(&flights->in[state]);
    for (size_t word = 0; word < INTEREST_WORDS; word++)
        flights->releases[word].flights = flights;
    deadlines_init(&flights->deadlines);
    solos_init(&flights->solos, engine, &flights->texts_limit, context->stats, &flights->deadlines);
    /* Nonces only have to differ from those of other workers: they start somewhere and count. */
    bool random = getrandom(&flights->nonces, sizeof(flights->nonces), 0) == sizeof(flights->nonces);
    if (random && make_handles(flights, store))
        return flights;
    error_set(error, random ? "out of memory" : "no random numbers from the kernel");
    free(flights);
    return NULL;
}

void flights_destroy(struct flights **flights) {
    struct flights *old = *flights;
    if (!old)
        return;
    solos_fini(&old->solos);
    for (unsigned state = 0; state < FLIGHT_STATES; state++)
        while (!TAILQ_EMPTY(&old->in[state]))
            flight_drop(TAILQ_FIRST(&old->in[state]));
    uv_close((uv_handle_t *)old->timer, turn_free_handle);
    liveness_fini(&old->liveness);
    turn_forget(&old->hand_over);
    free(old);
    *flights = NULL;
}
