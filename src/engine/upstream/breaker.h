/* Circuit breaker: a server that cannot be reached is left alone for a while, so that who asks for it hears
 * so at once, and the server is not met by all of them when it comes back.
 *
 *   CLOSED   asked as usual               -> OPEN     UPSTREAM_BREAKER_FAILURES in a row
 *   OPEN     not asked, for 1 s at first  -> PROBING  the time is over, and somebody asks
 *   PROBING  one asks, the others do not  -> CLOSED   it was reached
 *                                         -> OPEN     it was not: twice the time, at most 30 s
 *
 * Only reaching counts. A server that answers, if only with errors, or that does not answer in time, was
 * reached: that may be for the one text's sake. */
#ifndef INFERONCE_ENGINE_UPSTREAM_BREAKER_H
#define INFERONCE_ENGINE_UPSTREAM_BREAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UPSTREAM_BREAKER_FAILURES 5
#define UPSTREAM_BREAKER_FIRST_US UINT64_C(1000000)
#define UPSTREAM_BREAKER_MOST_US  UINT64_C(30000000)

/* Zero-initialised: CLOSED. Times are monotonic microseconds. */
struct upstream_breaker {
    unsigned failures;      /* in a row */
    uint64_t pause_us;      /* 0: CLOSED */
    uint64_t open_until_us; /* OPEN: when the next may ask */
    bool probing;
};

/* How many may ask now: SIZE_MAX, 1 or 0; with 0, `*wait_us` is for how long, at least 1. */
size_t upstream_breaker_room(const struct upstream_breaker *breaker, uint64_t now_us, uint64_t *wait_us);

/* Somebody asks. True: it is the probe. */
bool upstream_breaker_asked(struct upstream_breaker *breaker, uint64_t now_us);

/* What became of it; gave_up: nobody waited for it any more. True: the state is another now. */
bool upstream_breaker_reached(struct upstream_breaker *breaker);
bool upstream_breaker_not_reached(struct upstream_breaker *breaker, bool probe, uint64_t now_us);
void upstream_breaker_gave_up(struct upstream_breaker *breaker, bool probe);

#endif
