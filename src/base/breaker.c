/* Decides when something that failed is tried again. */
#include "inferonce/base/breaker.h"

size_t breaker_room(const struct breaker *breaker, uint64_t now_us, uint64_t *wait_us) {
    if (!breaker->open)
        return SIZE_MAX;
    if (now_us < breaker->open_until_us) {
        *wait_us = breaker->open_until_us - now_us;
        return 0;
    }
    if (breaker->probing) {
        *wait_us = breaker->limits->first_us;
        return 0;
    }
    return 1;
}

bool breaker_asked(struct breaker *breaker, uint64_t now_us) {
    if (!breaker->open || now_us < breaker->open_until_us || breaker->probing)
        return false;
    breaker->probing = true;
    return true;
}

/* It has come back when it has worked for as long as it was left alone. */
static bool fails_as_it_comes_back(const struct breaker *breaker, enum breaker_failure failure,
                                   uint64_t now_us) {
    return failure == BREAKER_WRONG && !breaker->open && breaker->pause_us > 0 &&
           now_us - breaker->closed_at_us < breaker->pause_us;
}

static uint64_t next_pause_us(const struct breaker *breaker, enum breaker_failure failure, uint64_t now_us) {
    const struct breaker_limits *limits = breaker->limits;
    if (fails_as_it_comes_back(breaker, failure, now_us))
        return limits->most_us;
    if (!breaker->open || breaker->pause_us == 0)
        return limits->first_us;
    return 2 * breaker->pause_us < limits->most_us ? 2 * breaker->pause_us : limits->most_us;
}

bool breaker_failed(struct breaker *breaker, enum breaker_failure failure, bool probe, uint64_t now_us) {
    /* Those that were under way when it opened tell nothing new. */
    if (breaker->open && !probe)
        return false;
    if (!breaker->open && ++breaker->failures < breaker->limits->failures)
        return false;
    breaker->pause_us = next_pause_us(breaker, failure, now_us);
    breaker->open = true;
    breaker->probing = false;
    breaker->failures = 0;
    breaker->open_until_us = now_us + breaker->pause_us;
    return true;
}

bool breaker_succeeded(struct breaker *breaker, uint64_t now_us) {
    bool was_open = breaker->open;
    breaker->failures = 0;
    if (!was_open)
        return false;
    breaker->open = breaker->probing = false;
    breaker->closed_at_us = now_us;
    return true;
}

void breaker_gave_up(struct breaker *breaker, bool probe) {
    if (probe)
        breaker->probing = false;
}

void breaker_hold(struct breaker *breaker, uint64_t now_us) {
    breaker->open = true;
    breaker->pause_us = 0;
    breaker->open_until_us = now_us;
}
