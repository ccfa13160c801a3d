/* Tells the time, or what a test says that it is. */
#include "inferonce/base/clock.h"

#include <time.h>

static uint64_t read_us(clockid_t id) {
    struct timespec now = {0};
    clock_gettime(id, &now); /* cannot fail for these two clocks */
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t clock_monotonic_us(const struct clock *clock) {
    return clock->fake ? clock->monotonic_us : read_us(CLOCK_MONOTONIC);
}

uint64_t clock_wall_us(const struct clock *clock) {
    return clock_host_us(clock) + (uint64_t)clock->skew_us;
}

uint64_t clock_host_us(const struct clock *clock) {
    return clock->fake ? clock->wall_us : read_us(CLOCK_REALTIME);
}

uint64_t clock_after_ms(uint64_t now_us, uint64_t ms) {
    return ms == 0 || ms > (UINT64_MAX - now_us) / 1000 ? UINT64_MAX : now_us + ms * 1000;
}
