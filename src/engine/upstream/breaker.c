/* Decides when a model's server that cannot be reached is tried again. */
#include "engine/upstream/breaker.h"

size_t upstream_breaker_room(const struct upstream_breaker *breaker, uint64_t now_us, uint64_t *wait_us) {
    if (breaker->pause_us == 0)
        return SIZE_MAX;
    if (now_us < breaker->open_until_us) {
        *wait_us = breaker->open_until_us - now_us;
        return 0;
    }
    if (breaker->probing) {
        *wait_us = UPSTREAM_BREAKER_FIRST_US;
        return 0;
    }
    return 1;
}

bool upstream_breaker_asked(struct upstream_breaker *breaker, uint64_t now_us) {
    if (breaker->pause_us == 0 || now_us < breaker->open_until_us || breaker->probing)
        return false;
    breaker->probing = true;
    return true;
}

bool upstream_breaker_reached(struct upstream_breaker *breaker) {
    bool was_open = breaker->pause_us > 0;
    *breaker = (struct upstream_breaker){.failures = 0};
    return was_open;
}

bool upstream_breaker_not_reached(struct upstream_breaker *breaker, bool probe, uint64_t now_us) {
    bool open = breaker->pause_us > 0;
    /* Those that were under way when it opened tell nothing new. */
    if (open && !probe)
        return false;
    if (!open && ++breaker->failures < UPSTREAM_BREAKER_FAILURES)
        return false;
    breaker->pause_us = open ? 2 * breaker->pause_us : UPSTREAM_BREAKER_FIRST_US;
    if (breaker->pause_us > UPSTREAM_BREAKER_MOST_US)
        breaker->pause_us = UPSTREAM_BREAKER_MOST_US;
    breaker->open_until_us = now_us + breaker->pause_us;
    breaker->probing = false;
    return true;
}

void upstream_breaker_gave_up(struct upstream_breaker *breaker, bool probe) {
    if (probe)
        breaker->probing = false;
}
