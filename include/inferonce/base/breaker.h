/* Whether something that fails is used: the circuit breaker of a cache server, of the model's server and of a
 * worker that dies as it starts.
 *
 *   CLOSED  it is used                                         -> OPEN    it failed, so often in a row
 *   OPEN    nobody asks it; after a pause one asks: the probe  -> CLOSED  it answers
 *                                                              -> OPEN    it does not: the pause doubled, up to
 *                                                                         a limit
 *
 * What stands still costs one wait, not one per request. What answers probes, and answers wrong or late as
 * soon as it is used again, gets the longest pause: otherwise it would come and go every second. What was
 * restarted twice does not. */
#ifndef INFERONCE_BASE_BREAKER_H
#define INFERONCE_BASE_BREAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct breaker_limits {
    unsigned failures; /* in a row that open it */
    uint64_t first_us; /* the first pause */
    uint64_t most_us;  /* the longest */
};

/* Zero-initialised but for its limits, which are borrowed: closed. Times are monotonic microseconds. */
struct breaker {
    const struct breaker_limits *limits;
    bool open;
    bool probing;           /* the probe is under way */
    unsigned failures;      /* in a row, while it is closed */
    uint64_t pause_us;      /* the last one; 0: there was none */
    uint64_t open_until_us; /* when the next may ask */
    uint64_t closed_at_us;  /* when it came back */
};

enum breaker_failure {
    BREAKER_GONE, /* nobody is there: refused, closed, not found, dead */
    BREAKER_WRONG /* it answers late, or not what was asked for */
};

/* How many may ask now: SIZE_MAX, 1 or 0; with 0, `*wait_us` is for how long, at least 1. */
size_t breaker_room(const struct breaker *breaker, uint64_t now_us, uint64_t *wait_us);

/* Somebody asks. True: it is the probe. */
bool breaker_asked(struct breaker *breaker, uint64_t now_us);

/* Tells the breaker how it ended; `probe`: it was the probe; gave_up: nobody waited for it any more. True:
 * the breaker has opened, or closed, or is open for longer. */
bool breaker_failed(struct breaker *breaker, enum breaker_failure failure, bool probe, uint64_t now_us);
bool breaker_succeeded(struct breaker *breaker, uint64_t now_us);
void breaker_gave_up(struct breaker *breaker, bool probe);

/* Opens it without a failure, for a probe at once: something has to be done before it is used. */
void breaker_hold(struct breaker *breaker, uint64_t now_us);

#endif
