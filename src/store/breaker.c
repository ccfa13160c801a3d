#include "inferonce/store/breaker.h"

bool breaker_trip(struct breaker *breaker, uint64_t now_ms) {
    bool was_used = !breaker->open;
    breaker->open = true;
    breaker->pause_ms = breaker->pause_ms == 0 ? BREAKER_FIRST_MS : 2 * breaker->pause_ms;
    if (breaker->pause_ms > BREAKER_MOST_MS)
        breaker->pause_ms = BREAKER_MOST_MS;
    breaker->probe_at_ms = now_ms + breaker->pause_ms;
    return was_used;
}

void breaker_close(struct breaker *breaker) {
    *breaker = (struct breaker){.open = false};
}

void breaker_hold(struct breaker *breaker, uint64_t now_ms) {
    breaker->open = true;
    breaker->pause_ms = 0;
    breaker->probe_at_ms = now_ms;
}
