/* Whether a cache server is used: the circuit breaker of one server in one worker.
 *
 *   CLOSED  it is used                                         -> OPEN    it failed
 *   OPEN    nobody asks it; after a pause of 1 s it is probed  -> CLOSED  it answers
 *                                                              -> OPEN    it does not: the pause doubled,
 *                                                                         at most 30 s
 *
 * A server that stands still costs one wait, not one per request. A server that answers probes and answers
 * wrong or late as soon as it is used again gets the longest pause: otherwise it would come and go every
 * second. One that was restarted twice does not. */
#ifndef INFERONCE_STORE_REMOTE_BREAKER_H
#define INFERONCE_STORE_REMOTE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_FIRST_MS UINT64_C(1000)
#define BREAKER_MOST_MS  UINT64_C(30000)

/* All zeros: closed. */
struct breaker {
    bool open;
    uint64_t pause_ms;     /* the last one */
    uint64_t closed_at_ms; /* when it came back; with pause_ms 0: never */
    uint64_t probe_at_ms;
};

enum breaker_failure {
    BREAKER_GONE, /* nobody is there: refused, closed, not found */
    BREAKER_WRONG /* it answers late, or not what was asked for */
};

/* It failed, as it was used or probed. True: it was used until now. */
bool breaker_trip(struct breaker *breaker, enum breaker_failure failure, uint64_t now_ms);

/* It answered a probe. */
void breaker_close(struct breaker *breaker, uint64_t now_ms);

/* Opens it without a failure, to be probed at once: something has to be done before it is used. */
void breaker_hold(struct breaker *breaker, uint64_t now_ms);

static inline bool breaker_wants_probe(const struct breaker *breaker, uint64_t now_ms) {
    return breaker->open && now_ms >= breaker->probe_at_ms;
}

#endif
