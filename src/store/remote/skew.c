/* Corrects the clock by the cache servers'. */
#include "store/remote/skew.h"

#include <stdlib.h>

#include "inferonce/base/log.h"

static void tell(const char *server, int64_t before_us, int64_t skew_us) {
    bool was_far = llabs(before_us) > SKEW_FAR_US, far = llabs(skew_us) > SKEW_FAR_US;
    if (was_far != far)
        LOG(far ? LOG_WARN : LOG_INFO, "clock_skew", LOG_TEXT("server", server),
            LOG_NUMBER("seconds_behind", skew_us / 1000000));
}

void skew_learn(const struct context *context, const char *server, uint64_t server_us) {
    struct clock *clock = context->clock;
    int64_t skew_us = (int64_t)(server_us - clock_host_us(clock));
    if (skew_us > SKEW_MOST_US || skew_us < -SKEW_MOST_US)
        return;
    /* Before what is left is rounded to 0: a clock that is off by just SKEW_LEAST_US would go to and fro. */
    if (llabs(skew_us - clock->skew_us) < SKEW_LEAST_US)
        return;
    if (llabs(skew_us) < SKEW_LEAST_US)
        skew_us = 0;
    tell(server, clock->skew_us, skew_us);
    clock->skew_us = skew_us;
    atomic_store_explicit(&context->shared->slots[context->slot].clock_skew_us, skew_us,
                          memory_order_relaxed);
}
