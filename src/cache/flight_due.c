/* Waiting requests whose time is over, whatever they wait for. */
#include "inferonce/cache/flight_parts.h"

void flight_due_begin(struct flights *flights, struct cache_request *request) {
    deadlines_add(&flights->deadlines, request, clock_monotonic_us(flights->clock),
                  engine_limit_us(flights->settings));
    if (request->due_us < UINT64_MAX)
        flight_start_timer(flights);
}

/* A flight that has its result, or has failed, answers as soon as the store has: that is the better answer.
 */
static bool is_answered_anyway(const struct cache_request *request) {
    return request->phase == CACHE_WAITING &&
           (request->flight->phase == FLIGHT_STORING || request->flight->phase == FLIGHT_FAILING);
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
    struct cache_answer answer = {.result = CACHE_FAILED,
                                  .status = {.forward = request->forward},
                                  .inferred = true,
                                  .failure = failure};
    solos_cancel(&flights->solos, request);
    request->done(request, &answer);
}

/* Answering one can make others leave, so the first one is looked for each time. */
void flight_due_end(struct flights *flights) {
    static const struct engine_answer FAILURE = {.status = ENGINE_TIMEOUT,
                                                 .detail = "no answer came in this request's time"};
    uint64_t now_us = clock_monotonic_us(flights->clock);
    struct cache_request *request;
    while ((request = next_overdue(flights, now_us)) != NULL) {
        if (request->phase == CACHE_SOLO)
            fail_solo(flights, request, &FAILURE);
        else
            flight_fail_one(request, &FAILURE);
    }
}
