/* The requests that wait for an inference, in the order in which their time is over. Each has its own time,
 * counted from its arrival, whatever inference it waits for and whoever began that. */
#ifndef INFERONCE_CACHE_DEADLINES_H
#define INFERONCE_CACHE_DEADLINES_H

#include "inferonce/cache/request.h"

/* How much later than the engine a waiting request gives up: the engine's own answer says more, and comes
 * with the loop's next turns. */
#define DEADLINE_MARGIN_US UINT64_C(100000)

struct deadlines {
    struct cache_requests requests;
};

void deadlines_init(struct deadlines *deadlines);

/* Adds a request that begins to wait; `limit_us` as engine_limit_us has it, UINT64_MAX: it is not added. */
void deadlines_add(struct deadlines *deadlines, struct cache_request *request, uint64_t now_us,
                   uint64_t limit_us);

/* The request waits no longer. It may be one without an end. */
void deadlines_remove(struct deadlines *deadlines, struct cache_request *request);

/* How long the request has, in microseconds, the margin left out. */
uint64_t deadlines_left_us(const struct cache_request *request, uint64_t now_us);

#endif
