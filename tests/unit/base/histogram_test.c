#include "inferonce/base/histogram.h"

#include "unit.h"

static uint64_t in(const struct histogram *histogram, unsigned bucket) {
    return atomic_load(&histogram->buckets[bucket]);
}

static void test_bounds(void) {
    struct histogram histogram = {.sum_us = 0};
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        CU_ASSERT(i == 0 || HISTOGRAM_BOUND_US[i] > HISTOGRAM_BOUND_US[i - 1]);
        histogram_add(&histogram, HISTOGRAM_BOUND_US[i]); /* no longer than the bound */
        CU_ASSERT_EQUAL(in(&histogram, i), i == 0 ? 1 : 2);
        histogram_add(&histogram, HISTOGRAM_BOUND_US[i] + 1);
        CU_ASSERT_EQUAL(in(&histogram, i + 1), 1);
    }
    histogram_add(&histogram, UINT64_C(1) << 40);
    CU_ASSERT_EQUAL(in(&histogram, HISTOGRAM_BUCKETS - 1), 2);
}

static void test_sums(void) {
    struct histogram one = {.sum_us = 0}, other = {.sum_us = 0};
    histogram_add(&one, 90);
    histogram_add(&other, 95);
    histogram_add(&other, 3000);
    histogram_merge(&one, &other);
    CU_ASSERT_EQUAL(in(&one, 0), 2);
    CU_ASSERT_EQUAL(in(&one, 5), 1);
    CU_ASSERT_EQUAL(atomic_load(&one.sum_us), 3185);
}

/* 10 of up to 100 us, 80 of 100 to 250, 10 of 1 to 2.5 ms. */
static void test_quantiles(void) {
    struct histogram histogram = {.buckets = {10, 80, 0, 0, 10}};
    CU_ASSERT_EQUAL(histogram_count(&histogram), 100);
    CU_ASSERT_DOUBLE_EQUAL(histogram_quantile_us(&histogram, 0.05), 50, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(histogram_quantile_us(&histogram, 0.5), 175, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(histogram_quantile_us(&histogram, 0.9), 250, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(histogram_quantile_us(&histogram, 0.95), 1750, 1e-9);
}

static void test_quantiles_at_the_ends(void) {
    struct histogram histogram = {.sum_us = 0};
    CU_ASSERT_EQUAL(histogram_quantile_us(&histogram, 0.5), HISTOGRAM_NOTHING);
    histogram_add(&histogram, UINT64_C(1) << 40);
    CU_ASSERT_EQUAL(histogram_quantile_us(&histogram, 0.5), 60000000);
}

static const struct unit_case CASES[] = {
    {"bounds", test_bounds},
    {"sums", test_sums},
    {"quantiles", test_quantiles},
    {"quantiles of nothing and of more than the last bound", test_quantiles_at_the_ends},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "histogram", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
