#include "inferonce/base/clock.h"

#include <time.h>

#include "unit.h"

static void test_fake(void) {
    struct clock clock = {.fake = true, .monotonic_us = 5, .wall_us = 7};
    CU_ASSERT_EQUAL(clock_monotonic_us(&clock), 5);
    CU_ASSERT_EQUAL(clock_wall_us(&clock), 7);
    clock.monotonic_us += 1000000;
    CU_ASSERT_EQUAL(clock_monotonic_us(&clock), 1000005);
    CU_ASSERT_EQUAL(clock_wall_us(&clock), 7);
}

static void test_wall_is_the_systems(void) {
    struct clock clock = {0};
    uint64_t before = (uint64_t)time(NULL);
    uint64_t wall = clock_wall_us(&clock);
    uint64_t after = (uint64_t)time(NULL);
    /* time() may be read from a coarser clock, one tick behind. */
    CU_ASSERT(wall / 1000000 >= before && wall / 1000000 <= after + 1);
}

static void test_monotonic_advances_in_microseconds(void) {
    struct clock clock = {0};
    struct timespec start;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    uint64_t us = clock_monotonic_us(&clock);
    clock_gettime(CLOCK_MONOTONIC, &end);
    CU_ASSERT(us >= (uint64_t)start.tv_sec * 1000000 + (uint64_t)start.tv_nsec / 1000);
    CU_ASSERT(us <= (uint64_t)end.tv_sec * 1000000 + (uint64_t)end.tv_nsec / 1000);
    uint64_t last = us;
    for (int i = 0; i < 1000; i++) {
        uint64_t next = clock_monotonic_us(&clock);
        CU_ASSERT_FATAL(next >= last);
        last = next;
    }
}

static void test_skew(void) {
    const struct clock behind = {.fake = true, .wall_us = 7000, .skew_us = 3000};
    const struct clock ahead = {.fake = true, .wall_us = 7000, .skew_us = -3000};
    CU_ASSERT_EQUAL(clock_wall_us(&behind), 10000);
    CU_ASSERT_EQUAL(clock_wall_us(&ahead), 4000);
    CU_ASSERT_EQUAL(clock_host_us(&behind), 7000);
    CU_ASSERT_EQUAL(clock_host_us(&ahead), 7000);
}

static void test_after(void) {
    CU_ASSERT_EQUAL(clock_after_ms(1000, 2), 3000);
    CU_ASSERT_EQUAL(clock_after_ms(1000, 0), UINT64_MAX);
    CU_ASSERT_EQUAL(clock_after_ms(1000, UINT64_MAX), UINT64_MAX);
    CU_ASSERT_EQUAL(clock_after_ms(1000, UINT64_MAX / 1000), UINT64_MAX);
    CU_ASSERT_EQUAL(clock_after_ms(0, UINT64_MAX / 1000), UINT64_MAX / 1000 * 1000);
}

static const struct unit_case CASES[] = {
    {"a fake clock stands where the test puts it", test_fake},
    {"the wall clock is the system's", test_wall_is_the_systems},
    {"the monotonic clock is the system's and never goes back", test_monotonic_advances_in_microseconds},
    {"the host's clock and the corrected one", test_skew},
    {"so many milliseconds later", test_after},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "clock", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
