/* Time, so that tests can move it.
 *
 * Durations and deadlines inside a process are taken from the monotonic clock. What is written into an entry
 * must mean the same on another host and after a restart, so it is wall-clock time; who reads it treats a
 * time in the future as untrustworthy (cache/entry.h). */
#ifndef INFERONCE_BASE_CLOCK_H
#define INFERONCE_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Zero-initialised: the system's clocks. With `fake` set: the two values, which a test moves itself. */
struct clock {
    bool fake;
    uint64_t monotonic_us;
    uint64_t wall_us;
    int64_t skew_us; /* added to the wall clock, so that it is the cache servers' */
};

/* Microseconds since an arbitrary point; never goes back. */
uint64_t clock_monotonic_us(const struct clock *clock);

/* Microseconds since 1970-01-01 UTC; may jump either way. */
uint64_t clock_wall_us(const struct clock *clock);

/* As clock_wall_us, as the host has it: without `skew_us`. */
uint64_t clock_host_us(const struct clock *clock);

/* `ms` milliseconds after `now_us`. 0, and what would overflow: UINT64_MAX, never. */
uint64_t clock_after_ms(uint64_t now_us, uint64_t ms);

#endif
