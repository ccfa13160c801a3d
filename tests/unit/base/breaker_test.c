#include "inferonce/base/breaker.h"

#include "unit.h"

#define SECOND UINT64_C(1000000)

/* A cache server's: the first failure opens it. A model's: so many in a row. */
static const struct breaker_limits ONE = {1, SECOND, 30 * SECOND};
static const struct breaker_limits FIVE = {5, SECOND, 30 * SECOND};

/* 1, 2, 4, 8, 16, 30, 30 s */
static const uint64_t PAUSES_S[] = {1, 2, 4, 8, 16, 30, 30};

#define PAUSES (sizeof(PAUSES_S) / sizeof(PAUSES_S[0]))

static size_t room(const struct breaker *breaker, uint64_t now_us) {
    uint64_t wait_us;
    return breaker_room(breaker, now_us, &wait_us);
}

static uint64_t wait_us(const struct breaker *breaker, uint64_t now_us) {
    uint64_t wait_us = 0;
    (void)breaker_room(breaker, now_us, &wait_us);
    return wait_us;
}

static void fail(struct breaker *breaker, unsigned n, uint64_t now_us) {
    while (n-- > 0)
        (void)breaker_failed(breaker, BREAKER_GONE, false, now_us);
}

static void test_closed(void) {
    struct breaker breaker = {.limits = &ONE};
    CU_ASSERT_EQUAL(room(&breaker, SECOND), SIZE_MAX);
    CU_ASSERT_FALSE(breaker_asked(&breaker, SECOND));
    CU_ASSERT_FALSE(breaker_succeeded(&breaker, SECOND));
}

static void test_first_failure(void) {
    struct breaker breaker = {.limits = &ONE};
    CU_ASSERT(breaker_failed(&breaker, BREAKER_GONE, false, 5 * SECOND));
    CU_ASSERT(breaker.open);
    CU_ASSERT_EQUAL(room(&breaker, 6 * SECOND - 1), 0);
    CU_ASSERT_EQUAL(wait_us(&breaker, 6 * SECOND - SECOND / 4), SECOND / 4);
    CU_ASSERT_EQUAL(room(&breaker, 6 * SECOND), 1);
}

static void test_failures_in_a_row(void) {
    struct breaker breaker = {.limits = &FIVE};
    fail(&breaker, 4, 10);
    CU_ASSERT_EQUAL(room(&breaker, 10), SIZE_MAX);
    CU_ASSERT_FALSE(breaker_succeeded(&breaker, 10));
    fail(&breaker, 4, 10);
    CU_ASSERT_EQUAL(room(&breaker, 10), SIZE_MAX);
    CU_ASSERT(breaker_failed(&breaker, BREAKER_GONE, false, 10));
    CU_ASSERT_EQUAL(room(&breaker, 10 + SECOND / 4), 0);
    CU_ASSERT_EQUAL(wait_us(&breaker, 10 + SECOND / 4), SECOND * 3 / 4);
}

static void test_one_probe(void) {
    struct breaker breaker = {.limits = &FIVE};
    fail(&breaker, 5, 0);
    CU_ASSERT_FALSE(breaker_asked(&breaker, SECOND - 1));
    CU_ASSERT_EQUAL(room(&breaker, SECOND), 1);
    CU_ASSERT(breaker_asked(&breaker, SECOND));
    CU_ASSERT_EQUAL(room(&breaker, SECOND), 0);
    CU_ASSERT(wait_us(&breaker, SECOND) > 0);
    CU_ASSERT_FALSE(breaker_asked(&breaker, SECOND));
    CU_ASSERT(breaker_succeeded(&breaker, SECOND));
    CU_ASSERT_EQUAL(room(&breaker, SECOND), SIZE_MAX);
    /* It counts from the beginning again. */
    fail(&breaker, 4, SECOND);
    CU_ASSERT_EQUAL(room(&breaker, SECOND), SIZE_MAX);
}

static void test_pauses_double(void) {
    struct breaker breaker = {.limits = &ONE};
    uint64_t now_us = 77;
    for (size_t i = 0; i < PAUSES; i++) {
        CU_ASSERT(breaker_failed(&breaker, BREAKER_GONE, i > 0, now_us));
        CU_ASSERT_EQUAL(wait_us(&breaker, now_us), PAUSES_S[i] * SECOND);
        now_us += PAUSES_S[i] * SECOND;
        CU_ASSERT(breaker_asked(&breaker, now_us));
    }
    CU_ASSERT(breaker_succeeded(&breaker, now_us));
    now_us += 30 * SECOND;
    CU_ASSERT(breaker_failed(&breaker, BREAKER_GONE, false, now_us));
    CU_ASSERT_EQUAL(wait_us(&breaker, now_us), SECOND); /* they begin anew */
}

/* It answers probes and fails at work: three changes of state in 30 s, not one each second. */
static void test_failing_as_it_comes_back(void) {
    struct breaker breaker = {.limits = &ONE};
    CU_ASSERT(breaker_failed(&breaker, BREAKER_WRONG, false, 5 * SECOND));
    CU_ASSERT(breaker_succeeded(&breaker, 6 * SECOND));
    CU_ASSERT(breaker_failed(&breaker, BREAKER_WRONG, false, 6 * SECOND + 10));
    CU_ASSERT_EQUAL(wait_us(&breaker, 6 * SECOND + 10), 30 * SECOND);
    CU_ASSERT(breaker_succeeded(&breaker, 40 * SECOND));
    CU_ASSERT(breaker_failed(&breaker, BREAKER_WRONG, false, 70 * SECOND)); /* worked for as long */
    CU_ASSERT_EQUAL(wait_us(&breaker, 70 * SECOND), SECOND);
    CU_ASSERT(breaker_succeeded(&breaker, 71 * SECOND));
    CU_ASSERT(breaker_failed(&breaker, BREAKER_GONE, false, 71 * SECOND + 10)); /* restarted twice */
    CU_ASSERT_EQUAL(wait_us(&breaker, 71 * SECOND + 10), SECOND);
}

static void test_those_under_way_tell_nothing_new(void) {
    struct breaker breaker = {.limits = &FIVE};
    fail(&breaker, 60, 0);
    CU_ASSERT_EQUAL(wait_us(&breaker, 0), SECOND);
    CU_ASSERT(breaker_asked(&breaker, SECOND));
    CU_ASSERT_FALSE(breaker_failed(&breaker, BREAKER_GONE, false, SECOND));
    CU_ASSERT_EQUAL(breaker.pause_us, SECOND);
}

static void test_a_probe_nobody_waits_for(void) {
    struct breaker breaker = {.limits = &FIVE};
    fail(&breaker, 5, 0);
    CU_ASSERT(breaker_asked(&breaker, SECOND));
    breaker_gave_up(&breaker, false);
    CU_ASSERT_EQUAL(room(&breaker, SECOND), 0);
    breaker_gave_up(&breaker, true);
    CU_ASSERT_EQUAL(room(&breaker, SECOND), 1);
}

static void test_held(void) {
    struct breaker breaker = {.limits = &ONE};
    breaker_hold(&breaker, SECOND);
    CU_ASSERT(breaker.open);
    CU_ASSERT_EQUAL(room(&breaker, SECOND), 1);
    CU_ASSERT(breaker_failed(&breaker, BREAKER_GONE, true, SECOND));
    CU_ASSERT_EQUAL(wait_us(&breaker, SECOND), SECOND);
}

static const struct unit_case CASES[] = {
    {"a closed one is not probed", test_closed},
    {"one second after the first failure", test_first_failure},
    {"opens after failures in a row", test_failures_in_a_row},
    {"one probe, which closes it", test_one_probe},
    {"pauses double, up to a limit, and begin anew", test_pauses_double},
    {"the longest pause for what fails as it comes back", test_failing_as_it_comes_back},
    {"those that were under way tell nothing new", test_those_under_way_tell_nothing_new},
    {"a probe that nobody waits for leaves its place", test_a_probe_nobody_waits_for},
    {"a held one is probed at once", test_held},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "breaker", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
