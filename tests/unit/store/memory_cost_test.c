/* Eviction by what an entry saves. */
#include "store/memory/worth.h"

#include <math.h>

#include "memory_rig.h"

#define SECOND_US UINT64_C(1000000)

/* ---- worth ---- */

static void test_worth(void) {
    struct memory_usual usual = {0};
    CU_ASSERT_EQUAL(memory_worth(&usual, 0, 100), 0);
    usual = (struct memory_usual){0};
    CU_ASSERT_EQUAL(memory_worth(&usual, SECOND_US, 1000), 1); /* the first is what is usual */
    for (unsigned i = 0; i < 5000; i++)
        memory_worth(&usual, SECOND_US, 1000);
    CU_ASSERT_EQUAL(memory_worth(&usual, SECOND_US / 2, 1000), 0);
    CU_ASSERT_EQUAL(memory_worth(&usual, 5 * SECOND_US, 1000),
                    4); /* it is counted in: a little less than 5 */
    CU_ASSERT_EQUAL(memory_worth(&usual, 5 * SECOND_US, 500), 9);
    CU_ASSERT_EQUAL(memory_worth(&usual, SECOND_US, 4000), 0);
    CU_ASSERT_EQUAL(memory_worth(&usual, 1000 * SECOND_US, 1000), MEMORY_WORTH_MAX);
}

/* Nothing is left of times long gone; no number brings the sums out of bounds. */
static void test_usual_changes(void) {
    struct memory_usual usual = {0};
    for (unsigned i = 0; i < 5000; i++)
        memory_worth(&usual, 60 * SECOND_US, 1000);
    CU_ASSERT_EQUAL(memory_worth(&usual, SECOND_US, 1000), 0);
    for (unsigned i = 0; i < 20000; i++)
        memory_worth(&usual, SECOND_US, 1000);
    CU_ASSERT_EQUAL(memory_worth(&usual, 4 * SECOND_US, 1000), 3);
    for (unsigned i = 0; i < 5000; i++)
        memory_worth(&usual, UINT64_MAX, UINT64_MAX);
    CU_ASSERT(usual.cost_us < UINT64_MAX / 2 && usual.bytes < UINT64_MAX / 2);
    CU_ASSERT_EQUAL(memory_worth(&usual, UINT64_MAX, 0), MEMORY_WORTH_MAX);
}

static void test_cost_of_worth(void) {
    struct memory_usual usual = {0};
    for (unsigned i = 0; i < 5000; i++)
        memory_worth(&usual, SECOND_US, 1000);
    uint64_t cost_us = memory_worth_cost_us(&usual, 10, 500);
    CU_ASSERT(cost_us > 49 * SECOND_US / 10 && cost_us < 51 * SECOND_US / 10);
    usual = (struct memory_usual){0};
    CU_ASSERT_EQUAL(memory_worth_cost_us(&usual, 10, 500), 0);
}

/* ---- entries ---- */

static char value[400 * 1024];

static void put(struct store *store, uint64_t number, size_t length, uint64_t cost_us) {
    struct test_key key = test_key(number);
    const struct store_item item = {.kind = STORE_ENTRY,
                                    .key = key.bytes,
                                    .value = {value, length},
                                    .cost_us = cost_us,
                                    .ttl_ms = 3600000};
    store_put(store, &item, NULL, NULL);
}

static void open_rig(struct memory_rig *rig, uint64_t max_size, enum cache_eviction eviction) {
    memory_rig_init(rig);
    rig->settings.cache_max_size = max_size;
    rig->settings.cache_eviction = eviction;
    memory_rig_open(rig, 1);
}

/* 100 entries, every fourth of them dear, and as many cheap ones behind them. */
static uint64_t dear_ones_left(enum cache_eviction eviction) {
    struct memory_rig rig;
    uint64_t left = 0;
    open_rig(&rig, 100, eviction);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t number = 0; number < 200; number++)
        put(store, number, 300, number < 100 && number % 4 == 3 ? 60 * SECOND_US : SECOND_US / 10);
    for (uint64_t number = 3; number < 100; number += 4)
        left += test_get_entry(store, number) == STORE_OK;
    CU_ASSERT_EQUAL(test_size(store), 100);
    memory_rig_close(&rig);
    return left;
}

static void test_dear_ones_stay(void) {
    CU_ASSERT_EQUAL(dear_ones_left(CACHE_EVICTION_COST), 25);
    CU_ASSERT_EQUAL(dear_ones_left(CACHE_EVICTION_RECENCY), 0);
}

/* Two entries cost the same, and one of them takes the room of many. */
static void test_large_ones_go(void) {
    struct memory_rig rig;
    uint64_t small = 0, large = 0;
    open_rig(&rig, 1000000, CACHE_EVICTION_COST);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t number = 0; number < 1000; number++)
        put(store, number, number % 2 ? 300 : 150000, SECOND_US);
    for (uint64_t number = 0; number < 1000; number++) {
        bool there = test_get_entry(store, number) == STORE_OK;
        small += there && number % 2;
        large += there && !(number % 2);
    }
    CU_ASSERT_EQUAL(small, 500);
    CU_ASSERT(large > 300 && large < 480); /* 64 MB of 75 */
    memory_rig_close(&rig);
}

/* However dear it was. */
static void test_nobody_asks_any_more(void) {
    struct memory_rig rig;
    open_rig(&rig, 100, CACHE_EVICTION_COST);
    struct store *store = memory_rig_store(&rig, 0);
    put(store, 0, 300, 3600 * SECOND_US);
    for (unsigned i = 0; i < 1000; i++)
        test_get_entry(store, 0);
    uint64_t number = 1;
    for (; number < 100000 && memory_rig_stat(&rig, STAT_evictions) < 100 * (MEMORY_LAPS_MAX + 2); number++)
        put(store, number, 300, SECOND_US);
    CU_ASSERT_EQUAL(test_get_entry(store, 0), STORE_MISSING);
    memory_rig_close(&rig);
}

/* Texts that nobody asks for again pass through; those that are asked for stay. */
static void test_scan(void) {
    struct memory_rig rig;
    uint64_t left = 0;
    open_rig(&rig, 200, CACHE_EVICTION_COST);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t number = 0; number < 100; number++)
        put(store, number, 300, SECOND_US);
    for (unsigned round = 0; round < 3; round++)
        for (uint64_t number = 0; number < 100; number++)
            test_get_entry(store, number);
    for (uint64_t number = 1000; number < 1300; number++)
        put(store, number, 300, SECOND_US);
    for (uint64_t number = 0; number < 100; number++)
        left += test_get_entry(store, number) == STORE_OK;
    CU_ASSERT_EQUAL(left, 100);
    memory_rig_close(&rig);
}

/* ---- a trace ---- */

static double uniform(uint64_t n) {
    return ((double)(test_mix(n) >> 11) + 0.5) / 9007199254740992.0;
}

/* The share of inference seconds that hits save: 2,000 texts asked for by Zipf's law, sizes and costs over
 * three decades each, room for a tenth of the bytes. */
static double saved(enum cache_eviction eviction) {
    enum { TEXTS = 2000, REQUESTS = 40000 };
    static double share[TEXTS];
    struct memory_rig rig;
    double all = 0, saved_us = 0, sum = 0;
    memory_rig_init(&rig);
    rig.settings.cache_max_entry_kb = 100;
    rig.settings.cache_memory_mb = 3;
    rig.settings.cache_eviction = eviction;
    memory_rig_open(&rig, 1);
    struct store *store = memory_rig_store(&rig, 0);
    for (unsigned i = 0; i < TEXTS; i++)
        share[i] = sum += pow(i + 1, -0.9);
    for (uint64_t n = 0; n < REQUESTS; n++) {
        double at = uniform(n) * sum;
        uint64_t text = 0;
        while (share[text] < at)
            text++;
        uint64_t cost_us = (uint64_t)(50000 * pow(1000, uniform(text + 1000000)));
        bool hit = test_get_entry(store, text) == STORE_OK;
        all += (double)cost_us;
        saved_us += hit ? (double)cost_us : 0;
        if (!hit)
            put(store, text, (size_t)(100 * pow(1000, uniform(text + 2000000))), cost_us);
    }
    memory_rig_close(&rig);
    return saved_us / all;
}

static void test_trace(void) {
    double by_cost = saved(CACHE_EVICTION_COST), by_recency = saved(CACHE_EVICTION_RECENCY);
    CU_ASSERT(by_cost > by_recency + 0.1);
}

/* ---- room ---- */

static void test_results_of_400_kb(void) {
    struct memory_rig rig;
    struct store_figures figures;
    memory_rig_init(&rig);
    memory_rig_open(&rig, 1);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t number = 0; number < 1000; number++)
        put(store, number, sizeof(value), SECOND_US);
    store_figures(store, &figures);
    CU_ASSERT(figures.memory_bytes > (UINT64_C(64) << 20) / 10 * 9);
    memory_rig_close(&rig);
}

static const struct unit_case CASES[] = {
    {"worth", test_worth},
    {"what is usual changes", test_usual_changes},
    {"the cost of a worth", test_cost_of_worth},
    {"dear entries stay", test_dear_ones_stay},
    {"large entries go", test_large_ones_go},
    {"an entry that nobody asks for any more goes", test_nobody_asks_any_more},
    {"a scan leaves what is asked for", test_scan},
    {"a trace: more seconds saved than by recency", test_trace},
    {"results of 400 KB fill nine tenths of the memory", test_results_of_400_kb},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "memory_cost", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
