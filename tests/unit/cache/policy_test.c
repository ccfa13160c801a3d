#include "inferonce/cache/policy.h"

#include "unit.h"

#define S UINT64_C(1000000)

/* All cases look at an entry that was made at MADE and is fresh for 60 s; what they differ in is when, and
 * what the request says. */
#define MADE (UINT64_C(1700000000) * S)

static struct entry entry_with(uint64_t revalidate_s, uint64_t if_error_s) {
    return (struct entry){.created_us = MADE,
                          .fresh_until_us = MADE + 60 * S,
                          .stale_while_revalidate_until_us = MADE + (60 + revalidate_s) * S,
                          .stale_if_error_until_us = MADE + (60 + if_error_s) * S};
}

static struct cache_control control_of(const char *field) {
    struct cache_control control;
    cache_control_init(&control);
    if (field)
        cache_control_parse(&control, bytes_of(field));
    return control;
}

struct row {
    const char *request;
    uint64_t age_s;
    uint64_t revalidate_s;
    enum policy_verdict verdict;
    enum cache_forward forward;
};

static void check_rows(const struct row *rows, size_t n, bool with_entry) {
    for (size_t i = 0; i < n; i++) {
        struct entry entry = entry_with(rows[i].revalidate_s, 0);
        struct cache_control control = control_of(rows[i].request);
        enum cache_forward forward = FORWARD_NONE;
        enum policy_verdict verdict =
            policy_judge(&control, with_entry ? &entry : NULL, false, MADE + rows[i].age_s * S, &forward);
        if (verdict != rows[i].verdict || forward != rows[i].forward)
            printf("    row %zu (%s, age %llu): verdict %d, forward %d\n", i,
                   rows[i].request ? rows[i].request : "-", (unsigned long long)rows[i].age_s, (int)verdict,
                   (int)forward);
        CU_ASSERT_EQUAL(verdict, rows[i].verdict);
        CU_ASSERT_EQUAL(forward, rows[i].forward);
    }
}

#define CHECK(rows, with_entry) check_rows(rows, sizeof(rows) / sizeof((rows)[0]), with_entry)

static void test_without_entry(void) {
    static const struct row ROWS[] = {
        {NULL, 0, 0, POLICY_FORWARD, FORWARD_MISS},
        {"max-stale", 0, 0, POLICY_FORWARD, FORWARD_MISS},
        {"no-cache", 0, 0, POLICY_FORWARD, FORWARD_REQUEST},
        {"no-store", 0, 0, POLICY_FORWARD, FORWARD_REQUEST},
        {"only-if-cached", 0, 0, POLICY_UNSATISFIABLE, FORWARD_MISS},
        {"only-if-cached, no-store", 0, 0, POLICY_UNSATISFIABLE, FORWARD_MISS},
    };
    CHECK(ROWS, false);
}

static void test_fresh(void) {
    static const struct row ROWS[] = {
        {NULL, 0, 0, POLICY_HIT, FORWARD_NONE},
        {NULL, 59, 0, POLICY_HIT, FORWARD_NONE},
        {"no-cache", 1, 0, POLICY_FORWARD, FORWARD_REQUEST},
        {"no-store", 1, 0, POLICY_FORWARD, FORWARD_REQUEST},
        {"max-age=5", 5, 0, POLICY_HIT, FORWARD_NONE},
        {"max-age=5", 6, 0, POLICY_FORWARD, FORWARD_REQUEST},
        {"max-age=0", 0, 0, POLICY_FORWARD, FORWARD_REQUEST},
        {"max-age=abc", 1, 0, POLICY_FORWARD, FORWARD_REQUEST},
        {"max-age=5, max-age=50", 10, 0, POLICY_FORWARD, FORWARD_REQUEST},
        {"min-fresh=10", 50, 0, POLICY_HIT, FORWARD_NONE},
        {"min-fresh=10", 51, 0, POLICY_FORWARD, FORWARD_REQUEST},
        {"max-stale=100", 10, 0, POLICY_HIT, FORWARD_NONE},
        {"only-if-cached", 10, 0, POLICY_HIT, FORWARD_NONE},
        {"only-if-cached, no-store", 10, 0, POLICY_HIT, FORWARD_NONE},
        {"only-if-cached, no-cache", 10, 0, POLICY_UNSATISFIABLE, FORWARD_REQUEST},
        {"only-if-cached, max-age=5", 10, 0, POLICY_UNSATISFIABLE, FORWARD_REQUEST},
        {"xno-cache, no-cache-foo", 10, 0, POLICY_HIT, FORWARD_NONE},
    };
    CHECK(ROWS, true);
}

static void test_stale(void) {
    static const struct row ROWS[] = {
        {NULL, 60, 0, POLICY_FORWARD, FORWARD_STALE},
        {NULL, 65, 10, POLICY_STALE_REFRESH, FORWARD_NONE},
        {NULL, 70, 10, POLICY_FORWARD, FORWARD_STALE},
        {"max-stale", 1000, 0, POLICY_STALE, FORWARD_NONE},
        {"max-stale=10", 70, 0, POLICY_STALE, FORWARD_NONE},
        {"max-stale=10", 71, 0, POLICY_FORWARD, FORWARD_STALE},
        {"max-stale=10, max-stale", 71, 0, POLICY_FORWARD, FORWARD_STALE},
        {"max-stale=1", 65, 10, POLICY_FORWARD, FORWARD_STALE},
        {"max-stale=9", 65, 10, POLICY_STALE_REFRESH, FORWARD_NONE},
        {"max-stale, max-age=60", 65, 0, POLICY_FORWARD, FORWARD_STALE},
        {"max-stale, max-age=65", 65, 0, POLICY_STALE, FORWARD_NONE},
        {"max-stale, min-fresh=0", 65, 0, POLICY_FORWARD, FORWARD_STALE},
        {"max-age=5", 65, 10, POLICY_FORWARD, FORWARD_STALE},
        {"only-if-cached", 65, 10, POLICY_UNSATISFIABLE, FORWARD_STALE},
        {"only-if-cached, max-stale", 65, 10, POLICY_STALE, FORWARD_NONE},
        {"no-cache", 65, 10, POLICY_FORWARD, FORWARD_REQUEST},
    };
    CHECK(ROWS, true);
}

static void test_expired_is_stale(void) {
    struct cache_control control = control_of(NULL);
    enum cache_forward forward = FORWARD_NONE;
    CU_ASSERT_EQUAL(policy_judge(&control, NULL, true, MADE, &forward), POLICY_FORWARD);
    CU_ASSERT_EQUAL(forward, FORWARD_STALE);
}

static void test_on_error(void) {
    static const struct {
        const char *request;
        uint64_t age_s, if_error_s;
        bool usable;
    } ROWS[] = {
        {NULL, 65, 0, false},
        {NULL, 65, 10, true},
        {NULL, 70, 10, false},
        {"stale-if-error=10", 70, 0, true},
        {"stale-if-error=10", 71, 0, false},
        {"stale-if-error=10", 71, 100, false}, /* the request's own limit is the stricter */
        {"stale-if-error=10, no-cache", 65, 0, false},
        {"max-age=5", 65, 10, false},
        {"stale-if-error=10, max-age=5", 65, 0, true},
        {"stale-if-error=0", 30, 0, true}, /* fresh: stale by nothing */
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct entry entry = entry_with(0, ROWS[i].if_error_s);
        struct cache_control control = control_of(ROWS[i].request);
        CU_ASSERT_EQUAL(policy_usable_on_error(&control, &entry, MADE + ROWS[i].age_s * S), ROWS[i].usable);
        if (ROWS[i].usable)
            CU_ASSERT(policy_wants_stale_on_error(&control, ROWS[i].if_error_s * 1000));
    }
}

static void test_ttl(void) {
    struct entry entry = entry_with(0, 0);
    CU_ASSERT_EQUAL(policy_ttl_s(&entry, MADE), 60);
    CU_ASSERT_EQUAL(policy_ttl_s(&entry, MADE + 1), 60); /* with Age: 0 */
    CU_ASSERT_EQUAL(policy_ttl_s(&entry, MADE + 18 * S), 42);
    CU_ASSERT_EQUAL(policy_ttl_s(&entry, MADE + 60 * S - 1), 1);
    CU_ASSERT_EQUAL(policy_ttl_s(&entry, MADE + 60 * S), -1);
    CU_ASSERT_EQUAL(policy_ttl_s(&entry, MADE + 62 * S + 1), -3);
}

static void test_hostile_times(void) {
    struct entry entry = entry_with(0, 0);
    struct cache_control control = control_of("max-stale=99999999999999999999");
    enum cache_forward forward;
    entry.fresh_until_us = UINT64_MAX;
    CU_ASSERT_EQUAL(policy_judge(&control, &entry, false, MADE, &forward), POLICY_HIT);
    entry.fresh_until_us = 0;
    CU_ASSERT_EQUAL(policy_judge(&control, &entry, false, UINT64_MAX, &forward), POLICY_FORWARD);
}

static const struct unit_case CASES[] = {
    {"nothing stored", test_without_entry},
    {"a fresh entry", test_fresh},
    {"a stale entry", test_stale},
    {"what expired in the store counts as stale", test_expired_is_stale},
    {"when the model fails", test_on_error},
    {"ttl for Cache-Status", test_ttl},
    {"times that no honest entry has", test_hostile_times},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "policy", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
