#include "inferonce/base/stats.h"

#include <string.h>

#include "unit.h"

static void test_descriptions_follow_the_list(void) {
    CU_ASSERT_STRING_EQUAL(STAT_DESCRIPTIONS[STAT_hits].name, "hits");
    CU_ASSERT_EQUAL(STAT_DESCRIPTIONS[STAT_hits].kind, COUNTER);
    CU_ASSERT_STRING_EQUAL(STAT_DESCRIPTIONS[STAT_queue].name, "queue");
    CU_ASSERT_EQUAL(STAT_DESCRIPTIONS[STAT_queue].kind, GAUGE);
    for (size_t i = 0; i < STATS_COUNT; i++) {
        CU_ASSERT_PTR_NOT_NULL_FATAL(STAT_DESCRIPTIONS[i].name);
        CU_ASSERT(strlen(STAT_DESCRIPTIONS[i].help) > 0);
        for (size_t j = 0; j < i; j++)
            CU_ASSERT_STRING_NOT_EQUAL(STAT_DESCRIPTIONS[i].name, STAT_DESCRIPTIONS[j].name);
    }
}

static void test_sum_over_slots(void) {
    static struct stats slots[3];
    stats_count(&slots[0], STAT_hits);
    stats_add(&slots[1], STAT_hits, 40);
    stats_count(&slots[2], STAT_hits);
    stats_count(&slots[2], STAT_misses);
    CU_ASSERT_EQUAL(stats_sum(slots, 3, STAT_hits), 42);
    CU_ASSERT_EQUAL(stats_sum(slots, 2, STAT_hits), 41);
    CU_ASSERT_EQUAL(stats_sum(slots, 3, STAT_misses), 1);
    CU_ASSERT_EQUAL(stats_sum(slots, 3, STAT_stores), 0);
}

static void test_gauge_goes_both_ways(void) {
    static struct stats stats;
    stats_add(&stats, STAT_parked, 5);
    stats_subtract(&stats, STAT_parked, 2);
    CU_ASSERT_EQUAL(stats_sum(&stats, 1, STAT_parked), 3);
    stats_subtract(&stats, STAT_parked, 3);
    CU_ASSERT_EQUAL(stats_sum(&stats, 1, STAT_parked), 0);
}

static void test_clearing_leaves_counters(void) {
    static struct stats stats;
    for (size_t i = 0; i < STATS_COUNT; i++)
        stats_add(&stats, (enum statistic)i, 9);
    stats_clear_gauges(&stats);
    for (size_t i = 0; i < STATS_COUNT; i++)
        CU_ASSERT_EQUAL(stats_sum(&stats, 1, (enum statistic)i), STAT_DESCRIPTIONS[i].kind == GAUGE ? 0 : 9);
}

static void test_slots_share_no_cache_line(void) {
    CU_ASSERT_EQUAL(sizeof(struct stats) % 64, 0);
    CU_ASSERT_EQUAL(_Alignof(struct stats), 64);
}

static const struct unit_case CASES[] = {
    {"every statistic has one name, a kind and a help", test_descriptions_follow_the_list},
    {"a sum is over all slots", test_sum_over_slots},
    {"a gauge goes both ways", test_gauge_goes_both_ways},
    {"clearing the gauges leaves the counters", test_clearing_leaves_counters},
    {"slots share no cache line", test_slots_share_no_cache_line},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "stats", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
