#include "store/remote/breaker.h"

#include "unit.h"

static void test_closed(void) {
    struct breaker breaker = {.open = false};
    CU_ASSERT_FALSE(breaker_wants_probe(&breaker, 1000000));
}

static void test_first_failure(void) {
    struct breaker breaker = {.open = false};
    CU_ASSERT_TRUE(breaker_trip(&breaker, BREAKER_GONE, 5000));
    CU_ASSERT_TRUE(breaker.open);
    CU_ASSERT_FALSE(breaker_wants_probe(&breaker, 5999));
    CU_ASSERT_TRUE(breaker_wants_probe(&breaker, 6000));
}

/* 1, 2, 4, 8, 16, 30, 30 s */
static void test_pauses_double(void) {
    static const uint64_t PAUSES_MS[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};
    struct breaker breaker = {.open = false};
    uint64_t now_ms = 77;
    for (unsigned i = 0; i < sizeof(PAUSES_MS) / sizeof(PAUSES_MS[0]); i++) {
        CU_ASSERT_EQUAL(breaker_trip(&breaker, BREAKER_GONE, now_ms), i == 0);
        CU_ASSERT_FALSE(breaker_wants_probe(&breaker, now_ms + PAUSES_MS[i] - 1));
        now_ms += PAUSES_MS[i];
        CU_ASSERT_TRUE(breaker_wants_probe(&breaker, now_ms));
    }
    breaker_close(&breaker, now_ms);
    CU_ASSERT_FALSE(breaker.open);
    now_ms += 30000;
    CU_ASSERT_TRUE(breaker_trip(&breaker, BREAKER_GONE, now_ms));
    CU_ASSERT_TRUE(breaker_wants_probe(&breaker, now_ms + 1000));
}

/* It answers probes and fails at work: three changes of state in 30 s, not one each second. */
static void test_failing_as_it_comes_back(void) {
    struct breaker breaker = {.open = false};
    CU_ASSERT_TRUE(breaker_trip(&breaker, BREAKER_WRONG, 5000));
    breaker_close(&breaker, 6000);
    CU_ASSERT_TRUE(breaker_trip(&breaker, BREAKER_WRONG, 6010));
    CU_ASSERT_FALSE(breaker_wants_probe(&breaker, 36009));
    CU_ASSERT_TRUE(breaker_wants_probe(&breaker, 36010));
    breaker_close(&breaker, 36010);
    CU_ASSERT_TRUE(breaker_trip(&breaker, BREAKER_WRONG, 66010)); /* worked for as long as it was away */
    CU_ASSERT_TRUE(breaker_wants_probe(&breaker, 67010));
    breaker_close(&breaker, 67010);
    CU_ASSERT_TRUE(breaker_trip(&breaker, BREAKER_GONE, 67020)); /* restarted twice */
    CU_ASSERT_TRUE(breaker_wants_probe(&breaker, 68020));
}

static void test_held(void) {
    struct breaker breaker = {.open = false};
    breaker_hold(&breaker, 500);
    CU_ASSERT_TRUE(breaker.open);
    CU_ASSERT_TRUE(breaker_wants_probe(&breaker, 500));
    breaker_trip(&breaker, BREAKER_GONE, 500);
    CU_ASSERT_FALSE(breaker_wants_probe(&breaker, 1499));
    CU_ASSERT_TRUE(breaker_wants_probe(&breaker, 1500));
}

static const struct unit_case CASES[] = {
    {"a closed one is not probed", test_closed},
    {"one second after the first failure", test_first_failure},
    {"pauses double, to 30 s, and begin anew", test_pauses_double},
    {"the longest pause for a server that fails as it comes back", test_failing_as_it_comes_back},
    {"a held one is probed at once", test_held},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "breaker", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
