#include "engine/upstream/breaker.h"

#include "unit.h"

#define SECOND UINT64_C(1000000)

static void fail(struct upstream_breaker *breaker, unsigned n, uint64_t now_us) {
    while (n-- > 0)
        (void)upstream_breaker_not_reached(breaker, false, now_us);
}

static void test_opens_after_failures_in_a_row(void) {
    struct upstream_breaker breaker = {0};
    uint64_t wait_us = 0;
    fail(&breaker, UPSTREAM_BREAKER_FAILURES - 1, 10);
    CU_ASSERT_EQUAL(upstream_breaker_room(&breaker, 10, &wait_us), SIZE_MAX);
    CU_ASSERT_FALSE(upstream_breaker_reached(&breaker));
    fail(&breaker, UPSTREAM_BREAKER_FAILURES - 1, 10);
    CU_ASSERT_EQUAL(upstream_breaker_room(&breaker, 10, &wait_us), SIZE_MAX);
    CU_ASSERT(upstream_breaker_not_reached(&breaker, false, 10));
    CU_ASSERT_EQUAL(upstream_breaker_room(&breaker, 10 + SECOND / 4, &wait_us), 0);
    CU_ASSERT_EQUAL(wait_us, SECOND * 3 / 4);
}

static void test_one_probe(void) {
    struct upstream_breaker breaker = {0};
    uint64_t wait_us = 0;
    CU_ASSERT_FALSE(upstream_breaker_asked(&breaker, 0));
    fail(&breaker, UPSTREAM_BREAKER_FAILURES, 0);
    CU_ASSERT_EQUAL(upstream_breaker_room(&breaker, SECOND, &wait_us), 1);
    CU_ASSERT(upstream_breaker_asked(&breaker, SECOND));
    CU_ASSERT_EQUAL(upstream_breaker_room(&breaker, SECOND, &wait_us), 0);
    CU_ASSERT(wait_us > 0);
    CU_ASSERT_FALSE(upstream_breaker_asked(&breaker, SECOND));
    CU_ASSERT(upstream_breaker_reached(&breaker));
    CU_ASSERT_EQUAL(upstream_breaker_room(&breaker, SECOND, &wait_us), SIZE_MAX);
    /* It counts from the beginning again. */
    fail(&breaker, UPSTREAM_BREAKER_FAILURES - 1, SECOND);
    CU_ASSERT_EQUAL(upstream_breaker_room(&breaker, SECOND, &wait_us), SIZE_MAX);
}

static void test_pause_doubles_up_to_a_limit(void) {
    struct upstream_breaker breaker = {0};
    uint64_t now_us = 0, wait_us = 0;
    fail(&breaker, UPSTREAM_BREAKER_FAILURES, now_us);
    static const uint64_t PAUSES_S[] = {1, 2, 4, 8, 16, 30, 30};
    for (size_t i = 0; i < sizeof(PAUSES_S) / sizeof(PAUSES_S[0]); i++) {
        CU_ASSERT_EQUAL(upstream_breaker_room(&breaker, now_us, &wait_us), 0);
        CU_ASSERT_EQUAL(wait_us, PAUSES_S[i] * SECOND);
        now_us += wait_us;
        CU_ASSERT(upstream_breaker_asked(&breaker, now_us));
        CU_ASSERT(upstream_breaker_not_reached(&breaker, true, now_us));
    }
}

static void test_those_under_way_tell_nothing_new(void) {
    struct upstream_breaker breaker = {0};
    uint64_t wait_us = 0;
    fail(&breaker, 60, 0);
    CU_ASSERT_EQUAL(upstream_breaker_room(&breaker, 0, &wait_us), 0);
    CU_ASSERT_EQUAL(wait_us, SECOND);
    CU_ASSERT(upstream_breaker_asked(&breaker, SECOND));
    CU_ASSERT_FALSE(upstream_breaker_not_reached(&breaker, false, SECOND));
    CU_ASSERT_EQUAL(breaker.pause_us, SECOND);
}

static void test_a_probe_nobody_waits_for(void) {
    struct upstream_breaker breaker = {0};
    uint64_t wait_us = 0;
    fail(&breaker, UPSTREAM_BREAKER_FAILURES, 0);
    CU_ASSERT(upstream_breaker_asked(&breaker, SECOND));
    upstream_breaker_gave_up(&breaker, false);
    CU_ASSERT_EQUAL(upstream_breaker_room(&breaker, SECOND, &wait_us), 0);
    upstream_breaker_gave_up(&breaker, true);
    CU_ASSERT_EQUAL(upstream_breaker_room(&breaker, SECOND, &wait_us), 1);
}

static const struct unit_case CASES[] = {
    {"opens after failures in a row", test_opens_after_failures_in_a_row},
    {"one probe, which closes it", test_one_probe},
    {"the pause doubles, up to a limit", test_pause_doubles_up_to_a_limit},
    {"those that were under way tell nothing new", test_those_under_way_tell_nothing_new},
    {"a probe that nobody waits for leaves its place", test_a_probe_nobody_waits_for},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "upstream_breaker", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
