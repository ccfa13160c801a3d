/* Waiting requests in the order in which their time is over. */
#include "cache/deadlines.h"

void deadlines_init(struct deadlines *deadlines) {
    TAILQ_INIT(&deadlines->requests);
}

/* Requests come nearly in the order of their arrival, so the place is near the end. */
void deadlines_add(struct deadlines *deadlines, struct cache_request *request, uint64_t now_us,
                   uint64_t limit_us) {
    uint64_t from_us = (request->arrived_us > 0 ? request->arrived_us : now_us) + DEADLINE_MARGIN_US;
    request->due_us = limit_us < UINT64_MAX - from_us ? from_us + limit_us : UINT64_MAX;
    if (request->due_us == UINT64_MAX)
        return;
    struct cache_request *before = TAILQ_LAST(&deadlines->requests, cache_requests);
    while (before && before->due_us > request->due_us)
        before = TAILQ_PREV(before, cache_requests, due_links);
    if (before)
        TAILQ_INSERT_AFTER(&deadlines->requests, before, request, due_links);
    else
        TAILQ_INSERT_HEAD(&deadlines->requests, request, due_links);
}

void deadlines_remove(struct deadlines *deadlines, struct cache_request *request) {
    if (request->due_us == UINT64_MAX)
        return;
    TAILQ_REMOVE(&deadlines->requests, request, due_links);
    request->due_us = UINT64_MAX;
}

uint64_t deadlines_left_us(const struct cache_request *request, uint64_t now_us) {
    if (request->due_us == UINT64_MAX)
        return UINT64_MAX;
    uint64_t end_us = request->due_us - DEADLINE_MARGIN_US;
    return end_us > now_us ? end_us - now_us : 0;
}
