/* Entries that the memory store keeps and evicts: by number, by bytes, and how well. */
#include <math.h>

#include "memory_rig.h"

#define SECOND_US UINT64_C(1000000)

/* ---- size and eviction ---- */

static void test_size_limit(void) {
    struct memory_rig rig;
    memory_rig_open_for_one(&rig, 100);
    struct store *store = memory_rig_store(&rig, 0);
    bool exceeded = false;
    for (uint64_t number = 0; number < 300; number++) {
        CU_ASSERT_EQUAL(test_put_entry(store, number), STORE_OK);
        exceeded |= test_size(store) != (number < 100 ? number + 1 : 100);
    }
    CU_ASSERT_FALSE(exceeded);
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_evictions), 200);
    CU_ASSERT_EQUAL(test_count_entries(store, 300), 100);
    for (uint64_t number = 200; number < 300; number++)
        CU_ASSERT_EQUAL(test_get_entry(store, number), STORE_OK);
    memory_rig_close(&rig);
}

static void test_replacing_evicts_nothing(void) {
    struct memory_rig rig;
    memory_rig_open_for_one(&rig, 10);
    struct store *store = memory_rig_store(&rig, 0);
    for (unsigned round = 0; round < 5; round++)
        for (uint64_t number = 0; number < 10; number++)
            CU_ASSERT_EQUAL(test_put_entry(store, number), STORE_OK);
    CU_ASSERT_EQUAL(test_size(store), 10);
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_evictions), 0);
    memory_rig_close(&rig);
}

static void test_second_chance(void) {
    struct memory_rig rig;
    memory_rig_init(&rig);
    rig.settings.cache_max_size = 4;
    rig.settings.cache_eviction = CACHE_EVICTION_RECENCY;
    memory_rig_open(&rig, 1);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t number = 0; number < 4; number++)
        test_put_entry(store, number);
    CU_ASSERT_EQUAL(test_get_entry(store, 0), STORE_OK); /* log: 0* 1 2 3 */
    test_put_entry(store, 4);                            /* 0 is spared: 2 3 0 4 */
    test_put_entry(store, 5);                            /* 3 0 4 5 */
    test_put_entry(store, 6);                            /* 0 4 5 6 */
    test_put_entry(store, 7);                            /* the mark is used up: 4 5 6 7 */
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_evictions), 4);
    for (uint64_t number = 0; number < 4; number++)
        CU_ASSERT_EQUAL(test_get_entry(store, number), STORE_MISSING);
    for (uint64_t number = 4; number < 8; number++)
        CU_ASSERT_EQUAL(test_get_entry(store, number), STORE_OK);
    memory_rig_close(&rig);
}

static void test_spared_while_others_go(void) {
    struct memory_rig rig;
    memory_rig_open_for_one(&rig, 4);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t number = 0; number < 100; number++) {
        test_put_entry(store, number);
        CU_ASSERT_EQUAL(test_get_entry(store, 0), STORE_OK);
    }
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_evictions), 96);
    memory_rig_close(&rig);
}

static enum store_status put_for(struct store *store, uint64_t number, uint64_t ttl_ms) {
    return test_put(store, STORE_ENTRY, test_key(number), bytes_of("value"), 0, ttl_ms);
}

static void test_expired_goes_on_read(void) {
    struct memory_rig rig;
    memory_rig_open_for_one(&rig, 10);
    struct store *store = memory_rig_store(&rig, 0);
    put_for(store, 1, 100);
    put_for(store, 2, 200);
    rig.clock.monotonic_us += 99999;
    CU_ASSERT_EQUAL(test_get_entry(store, 1), STORE_OK);
    rig.clock.monotonic_us += 1;
    CU_ASSERT_EQUAL(test_get_entry(store, 1), STORE_EXPIRED);
    CU_ASSERT_EQUAL(test_get_entry(store, 1), STORE_MISSING);
    CU_ASSERT_EQUAL(test_size(store), 1);
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_expired), 1);
    CU_ASSERT_EQUAL(test_get_entry(store, 2), STORE_OK);
    memory_rig_close(&rig);
}

/* Every third of 30 entries is over: the next ten find room without an eviction, the eleventh does not. */
static void test_expired_goes_first(void) {
    struct memory_rig rig;
    memory_rig_open_for_one(&rig, 30);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t number = 0; number < 30; number++)
        put_for(store, number, number % 3 == 1 ? 1000 : 60000);
    rig.clock.monotonic_us += 2 * SECOND_US;
    for (uint64_t number = 30; number < 40; number++)
        CU_ASSERT_EQUAL(put_for(store, number, 60000), STORE_OK);
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_evictions), 0);
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_expired), 10);
    CU_ASSERT_EQUAL(put_for(store, 40, 60000), STORE_OK);
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_evictions), 1);
    CU_ASSERT_EQUAL(test_get_entry(store, 0), STORE_MISSING);
    CU_ASSERT_EQUAL(test_size(store), 30);
    memory_rig_close(&rig);
}

/* ---- quality ---- */

struct lru {
    uint64_t size, max;
    uint32_t *newer, *older; /* by text, a ring with `texts` as its head */
    bool *held;
    uint32_t head;
};

static void lru_take_out(struct lru *lru, uint32_t text) {
    lru->newer[lru->older[text]] = lru->newer[text];
    lru->older[lru->newer[text]] = lru->older[text];
}

static bool lru_ask(struct lru *lru, uint32_t text) {
    bool hit = lru->held[text];
    if (hit) {
        lru_take_out(lru, text);
    } else if (lru->size == lru->max) {
        uint32_t oldest = lru->newer[lru->head];
        lru->held[oldest] = false;
        lru_take_out(lru, oldest);
    } else {
        lru->size++;
    }
    uint32_t newest = lru->older[lru->head];
    lru->newer[newest] = text;
    lru->older[text] = newest;
    lru->newer[text] = lru->head;
    lru->older[lru->head] = text;
    lru->held[text] = true;
    return hit;
}

/* Text i is asked for with a probability proportional to 1 / (i + 1)^0.99: the inverse of the cumulative
 * sums. */
static uint32_t draw(const double *cumulative, uint32_t texts, uint64_t *seed) {
    double at = (double)(test_mix((*seed)++) >> 11) * 0x1p-53 * cumulative[texts - 1];
    uint32_t low = 0;
    uint32_t high = texts - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (cumulative[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void check_quality(uint32_t max_size) {
    uint32_t texts = 10 * max_size;
    uint32_t requests = 30 * texts < 100000 ? 100000 : 30 * texts < 1000000 ? 30 * texts : 1000000;
    double *cumulative = calloc(texts, sizeof(*cumulative));
    struct lru lru = {.max = max_size,
                      .newer = calloc(texts + 1, sizeof(uint32_t)),
                      .older = calloc(texts + 1, sizeof(uint32_t)),
                      .held = calloc(texts, sizeof(bool)),
                      .head = texts};
    memory_rig_need(cumulative && lru.newer && lru.older && lru.held, "memory");
    lru.newer[texts] = lru.older[texts] = texts;
    for (uint32_t i = 0; i < texts; i++)
        cumulative[i] = (i ? cumulative[i - 1] : 0) + pow(i + 1, -0.99);
    struct memory_rig rig;
    memory_rig_open_for_one(&rig, max_size);
    struct store *store = memory_rig_store(&rig, 0);
    uint64_t seed = 20261123;
    uint64_t hits = 0;
    uint64_t lru_hits = 0;
    for (uint32_t i = 0; i < requests; i++) {
        uint32_t text = draw(cumulative, texts, &seed);
        lru_hits += lru_ask(&lru, text);
        if (test_get_entry(store, text) == STORE_OK)
            hits++;
        else
            test_put_entry(store, text);
    }
    double ratio = (double)hits / requests;
    double lru_ratio = (double)lru_hits / requests;
    CU_ASSERT(ratio >= lru_ratio - 0.01);
    CU_ASSERT_EQUAL(test_size(store), max_size);
    memory_rig_close(&rig);
    free(cumulative);
    free(lru.newer);
    free(lru.older);
    free(lru.held);
}

static void test_quality(void) {
    check_quality(100);
    check_quality(1000);
    check_quality(10000);
}

/* ---- bytes ---- */

/* An entry of CACHE_MAX_ENTRY_KB fits whatever the memory, as long as that holds it. */
static void check_largest_entry(unsigned memory_mb) {
    struct memory_rig rig;
    memory_rig_init(&rig);
    rig.settings.cache_memory_mb = memory_mb;
    memory_rig_open(&rig, 2);
    struct store *store = memory_rig_store(&rig, 0);
    size_t length = (1024 << 10) + 104 + 3 * 255;
    for (uint64_t number = 0; number < 200; number++)
        CU_ASSERT_EQUAL(
            test_put(store, STORE_ENTRY, test_key(number), test_big_value(number, length), 0, 60000),
            STORE_OK);
    uint64_t size = test_size(store);
    CU_ASSERT(size >= (memory_mb + 3) / 4 && size <= memory_mb);
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_evictions), 200 - size);
    struct test_got got;
    CU_ASSERT_EQUAL(test_get_into(store, STORE_ENTRY, test_key(199), &got), STORE_OK);
    CU_ASSERT_EQUAL(got.length, length);
    CU_ASSERT_EQUAL(memcmp(got.value, test_big_value(199, length).data, sizeof(got.value)), 0);
    memory_rig_close(&rig);
}

static void test_largest_entry(void) {
    check_largest_entry(64);
    check_largest_entry(16);
    check_largest_entry(3);
    check_largest_entry(1);
}

static void test_too_large(void) {
    struct memory_rig rig;
    memory_rig_init(&rig);
    rig.settings.cache_memory_mb = 1;
    rig.settings.cache_max_entry_kb = 8;
    memory_rig_open(&rig, 1);
    struct store *store = memory_rig_store(&rig, 0);
    test_put_entry(store, 1);
    test_put_entry(store, 2);
    CU_ASSERT_EQUAL(test_put(store, STORE_ENTRY, test_key(1), test_big_value(1, 1 << 20), 0, 60000),
                    STORE_TOO_LARGE);
    CU_ASSERT_EQUAL(test_get_entry(store, 1), STORE_MISSING);
    CU_ASSERT_EQUAL(test_get_entry(store, 2), STORE_OK);
    CU_ASSERT_EQUAL(test_size(store), 1);
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_store_errors), 0);
    memory_rig_close(&rig);
}

/* 1 MB takes a thousand values of at most 2 KB in the mean; every one that is still there is whole. */
static void test_bytes_limit(void) {
    struct memory_rig rig;
    memory_rig_init(&rig);
    rig.settings.cache_memory_mb = 1;
    rig.settings.cache_max_entry_kb = 8;
    memory_rig_open(&rig, 1);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t number = 0; number < 5000; number++) {
        size_t length = 8 * (test_mix(number) % 256);
        CU_ASSERT_EQUAL(
            test_put(store, STORE_ENTRY, test_key(number), test_big_value(number, length), 0, 60000),
            STORE_OK);
        if (number % 3 == 0)
            test_get_entry(store, number / 2);
    }
    struct store_figures figures;
    store_figures(store, &figures);
    CU_ASSERT(figures.memory_bytes <= (1 << 20) + 64 * 4096);
    CU_ASSERT(figures.memory_bytes > 1 << 19);
    CU_ASSERT_EQUAL(figures.size + memory_rig_stat(&rig, STAT_evictions), 5000);
    uint64_t found = 0;
    for (uint64_t number = 0; number < 5000; number++) {
        struct test_got got;
        size_t length = 8 * (test_mix(number) % 256);
        if (test_get_into(store, STORE_ENTRY, test_key(number), &got) != STORE_OK)
            continue;
        found++;
        CU_ASSERT_EQUAL(got.length, length);
        CU_ASSERT_EQUAL(memcmp(got.value, test_big_value(number, length).data, length), 0);
    }
    CU_ASSERT_EQUAL(found, figures.size);
    CU_ASSERT_EQUAL(test_get_entry(store, 4999), STORE_OK);
    memory_rig_close(&rig);
}

/* One entry that is refreshed for ever, in lengths that never fit where the last one was, costs no other its
 * place. */
static void test_refreshing_evicts_nothing(void) {
    struct memory_rig rig;
    memory_rig_init(&rig);
    rig.settings.cache_memory_mb = 1;
    rig.settings.cache_max_entry_kb = 8;
    memory_rig_open(&rig, 1);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t number = 0; number < 500; number++)
        test_put_entry(store, number);
    for (unsigned round = 0; round < 3000; round++)
        CU_ASSERT_EQUAL(test_put(store, STORE_ENTRY, test_key(7),
                                 test_big_value(round, round % 2 ? 2048 : 512), 0, 60000),
                        STORE_OK);
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_evictions), 0);
    CU_ASSERT_EQUAL(test_count_entries(store, 500), 500);
    CU_ASSERT_EQUAL(test_size(store), 500);
    memory_rig_close(&rig);
}

static void test_refresh_in_place(void) {
    struct memory_rig rig;
    memory_rig_open_for_one(&rig, 2);
    struct store *store = memory_rig_store(&rig, 0);
    test_put_entry(store, 0);
    test_put_entry(store, 1);
    struct store_figures before, after;
    store_figures(store, &before);
    CU_ASSERT_EQUAL(test_put_entry(store, 0), STORE_OK);
    store_figures(store, &after);
    CU_ASSERT_EQUAL(before.memory_bytes, after.memory_bytes);
    test_put_entry(store, 2); /* 0 was written last but one: 1 goes */
    CU_ASSERT_EQUAL(test_get_entry(store, 1), STORE_MISSING);
    CU_ASSERT_EQUAL(test_get_entry(store, 0), STORE_OK);
    memory_rig_close(&rig);
}

static const struct unit_case CASES[] = {
    {"the size never passes its limit", test_size_limit},
    {"replacing entries evicts nothing", test_replacing_evicts_nothing},
    {"an entry that was hit gets a second chance, once", test_second_chance},
    {"an entry that is hit again and again stays", test_spared_while_others_go},
    {"a read removes what is over", test_expired_goes_on_read},
    {"what is over goes before anything is evicted", test_expired_goes_first},
    {"the hit ratio is LRU's", test_quality},
    {"an entry of the greatest size fits", test_largest_entry},
    {"too large a value is refused and the old one gone", test_too_large},
    {"the bytes never pass their limit and every value is whole", test_bytes_limit},
    {"refreshing one entry evicts no other", test_refreshing_evicts_nothing},
    {"a refresh of the same length takes no more memory and is young", test_refresh_in_place},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "memory_eviction", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
