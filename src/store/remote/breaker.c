/* Decides when a cache server that failed is tried again. */
#include "store/remote/breaker.h"

/* A server has come back when it has worked for as long as it was left alone. */
static bool fails_as_it_comes_back(const struct breaker *breaker, enum breaker_failure failure,
                                   uint64_t now_ms) {
    return failure == BREAKER_WRONG && !breaker->open && breaker->pause_ms > 0 &&
           now_ms - breaker->closed_at_ms < breaker->pause_ms;
}

bool breaker_trip(struct breaker *breaker, enum breaker_failure failure, uint64_t now_ms) {
    bool was_used = !breaker->open;
    if (fails_as_it_comes_back(breaker, failure, now_ms))
        breaker->pause_ms = BREAKER_MOST_MS;
    else if (was_used || breaker->pause_ms == 0)
        breaker->pause_ms = BREAKER_FIRST_MS;
    else
        breaker->pause_ms *= 2;
    if (breaker->pause_ms > BREAKER_MOST_MS)
        breaker->pause_ms = BREAKER_MOST_MS;
    breaker->open = true;
    breaker->probe_at_ms = now_ms + breaker->pause_ms;
    return was_used;
}

void breaker_close(struct breaker *breaker, uint64_t now_ms) {
    breaker->open = false;
    breaker->closed_at_ms = now_ms;
}

void breaker_hold(struct breaker *breaker, uint64_t now_ms) {
    breaker->open = true;
    breaker->pause_ms = 0;
    breaker->probe_at_ms = now_ms;
}
