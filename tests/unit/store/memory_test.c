#include <math.h>

#include "memory_rig.h"

#define SECOND_US UINT64_C(1000000)

static void open_rig(struct memory_rig *rig, uint64_t max_size) {
    memory_rig_init(rig);
    rig->settings.cache_max_size = max_size;
    memory_rig_open(rig, 1);
}

/* ---- layout ---- */

static void test_layout_tag(void) {
    struct memory_layout layout = {1000, 1 << 20, 4096, 100, 1};
    uint64_t tag = memory_region_tag(&layout);
    CU_ASSERT_EQUAL(memory_region_tag(&layout), tag);
    struct memory_layout others[5];
    for (unsigned i = 0; i < 5; i++)
        others[i] = layout;
    others[0].max_size++;
    others[1].memory_bytes++;
    others[2].entry_max_bytes++;
    others[3].leases_max++;
    others[4].parts++;
    for (unsigned i = 0; i < 5; i++)
        CU_ASSERT_NOT_EQUAL(memory_region_tag(&others[i]), tag);
}

static void test_region_of_defaults(void) {
    struct settings settings;
    settings_defaults(&settings);
    struct memory_layout layout = memory_layout_of(&settings, 4);
    size_t bytes = memory_region_bytes(&layout);
    CU_ASSERT_EQUAL(layout.max_size, 10000);
    CU_ASSERT_EQUAL(layout.parts, 1);
    CU_ASSERT(bytes > UINT64_C(64) << 20);
    CU_ASSERT(bytes < UINT64_C(72) << 20);
}

/* A restart with more workers or longer queues keeps what is in the file. */
static void test_layout_is_the_same_for_other_workers(void) {
    struct settings settings;
    settings_defaults(&settings);
    struct memory_layout layout = memory_layout_of(&settings, 4);
    uint64_t tag = memory_region_tag(&layout);
    settings.inference_concurrency = 1000;
    settings.inference_queue = 100000;
    layout = memory_layout_of(&settings, 16);
    CU_ASSERT_EQUAL(memory_region_tag(&layout), tag);
    settings.cache_max_size++;
    layout = memory_layout_of(&settings, 16);
    CU_ASSERT_NOT_EQUAL(memory_region_tag(&layout), tag);
}

static void test_foreign_region(void) {
    static _Alignas(4096) char region[4096];
    struct memory_rig rig;
    memory_rig_init(&rig);
    struct shared shared = {.region = region, .region_bytes = sizeof(region)};
    struct context context = {.settings = &rig.settings, .shared = &shared, .clock = &rig.clock};
    struct error error = {""};
    CU_ASSERT_PTR_NULL(store_open(&context, &error));
    CU_ASSERT_NOT_EQUAL(error.text[0], 0);
    memory_rig_open(&rig, 1);
    rig.shared.region_bytes--;
    context.shared = &rig.shared;
    CU_ASSERT_PTR_NULL(store_open(&context, &error));
    rig.shared.region_bytes++;
    memory_rig_close(&rig);
}

/* ---- size and eviction ---- */

static void test_size_limit(void) {
    struct memory_rig rig;
    open_rig(&rig, 100);
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
    open_rig(&rig, 10);
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
    open_rig(&rig, 4);
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
    open_rig(&rig, 4);
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
    open_rig(&rig, 10);
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
    open_rig(&rig, 30);
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
    open_rig(&rig, max_size);
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

static char big[2 << 20];

static struct bytes big_value(uint64_t number, size_t length) {
    for (size_t i = 0; i < length; i += 8) {
        uint64_t word = test_mix(number + i);
        memcpy(big + i, &word, 8);
    }
    return (struct bytes){big, length};
}

/* An entry of CACHE_MAX_ENTRY_KB fits whatever the memory, as long as that holds it. */
static void check_largest_entry(unsigned memory_mb) {
    struct memory_rig rig;
    memory_rig_init(&rig);
    rig.settings.cache_memory_mb = memory_mb;
    memory_rig_open(&rig, 2);
    struct store *store = memory_rig_store(&rig, 0);
    size_t length = (1024 << 10) + 104 + 3 * 255;
    for (uint64_t number = 0; number < 200; number++)
        CU_ASSERT_EQUAL(test_put(store, STORE_ENTRY, test_key(number), big_value(number, length), 0, 60000),
                        STORE_OK);
    uint64_t size = test_size(store);
    CU_ASSERT(size >= (memory_mb + 3) / 4 && size <= memory_mb);
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_evictions), 200 - size);
    struct test_got got;
    CU_ASSERT_EQUAL(test_get_into(store, STORE_ENTRY, test_key(199), &got), STORE_OK);
    CU_ASSERT_EQUAL(got.length, length);
    CU_ASSERT_EQUAL(memcmp(got.value, big_value(199, length).data, sizeof(got.value)), 0);
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
    CU_ASSERT_EQUAL(test_put(store, STORE_ENTRY, test_key(1), big_value(1, 1 << 20), 0, 60000),
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
        CU_ASSERT_EQUAL(test_put(store, STORE_ENTRY, test_key(number), big_value(number, length), 0, 60000),
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
        CU_ASSERT_EQUAL(memcmp(got.value, big_value(number, length).data, length), 0);
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
        CU_ASSERT_EQUAL(
            test_put(store, STORE_ENTRY, test_key(7), big_value(round, round % 2 ? 2048 : 512), 0, 60000),
            STORE_OK);
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_evictions), 0);
    CU_ASSERT_EQUAL(test_count_entries(store, 500), 500);
    CU_ASSERT_EQUAL(test_size(store), 500);
    memory_rig_close(&rig);
}

static void test_refresh_in_place(void) {
    struct memory_rig rig;
    open_rig(&rig, 2);
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

/* ---- tombstones ---- */

/* Far more removals than a shard remembers one by one: none of them is forgotten before its time. */
static void test_many_removals(void) {
    struct memory_rig rig;
    open_rig(&rig, 10000);
    struct store *store = memory_rig_store(&rig, 0);
    struct bytes value = bytes_of("late");
    for (uint64_t number = 0; number < 5000; number++)
        test_remove(store, STORE_ENTRY, test_key(number), 1000 + number, 60000);
    for (uint64_t number = 0; number < 5000; number++) {
        struct test_got got;
        CU_ASSERT_EQUAL(test_put(store, STORE_ENTRY, test_key(number), value, 999 + number, 60000),
                        STORE_REFUSED);
        CU_ASSERT_EQUAL(test_get_into(store, STORE_ENTRY, test_key(number), &got), STORE_TOMBSTONE);
        CU_ASSERT(got.epoch >= 1000 + number);
        CU_ASSERT_EQUAL(test_put(store, STORE_ENTRY, test_key(number), value, got.epoch, 60000), STORE_OK);
    }
    rig.clock.monotonic_us += 60 * SECOND_US;
    for (uint64_t number = 5000; number < 5100; number++)
        CU_ASSERT_EQUAL(test_put(store, STORE_ENTRY, test_key(number), value, 0, 60000), STORE_OK);
    memory_rig_close(&rig);
}

/* ---- leases ---- */

static void test_full_of_leases(void) {
    struct memory_rig rig;
    open_rig(&rig, 100);
    const uint64_t places = rig.layout.leases_max;
    const uint64_t asked = 4 * places;
    struct store *store = memory_rig_store(&rig, 0);
    struct bytes owner = bytes_of("owner");
    uint64_t taken = 0;
    for (uint64_t number = 0; number < asked; number++)
        taken += test_add(store, STORE_LEASE, test_key(number), owner, 1000) == STORE_OK;
    CU_ASSERT(taken >= places && taken < asked);
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_store_errors), asked - taken);
    rig.clock.monotonic_us += SECOND_US;
    uint64_t again = 0;
    for (uint64_t number = asked; number < 2 * asked; number++)
        again += test_add(store, STORE_LEASE, test_key(number), owner, 1000) == STORE_OK;
    CU_ASSERT_EQUAL(again, taken);
    for (uint64_t number = asked; number < 2 * asked; number++)
        test_remove(store, STORE_LEASE, test_key(number), 0, 0);
    again = 0;
    for (uint64_t number = 0; number < asked; number++)
        again += test_add(store, STORE_OUTCOME, test_key(number), owner, 1000) == STORE_OK;
    CU_ASSERT_EQUAL(again, taken);
    memory_rig_close(&rig);
}

/* ---- sweeping ---- */

/* While it goes on, other entries come and go through the log. */
static void test_sweep(void) {
    struct memory_rig rig;
    open_rig(&rig, 10000);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t number = 0; number < 9000; number++) {
        struct test_key key = test_key(number);
        struct store_item item = {STORE_ENTRY,          key.bytes,  bytes_of("value"),
                                  number % 2 ? 10 : 20, number % 3, 3600000};
        store_put(store, &item, NULL, NULL);
    }
    unsigned cursor = 0;
    uint64_t removed = 0;
    for (uint64_t number = 9000; store_sweep(store, 1, 20, &cursor, &removed); number++)
        test_put_entry(store, number);
    CU_ASSERT_EQUAL(removed, 1500);
    for (uint64_t number = 0; number < 9000; number++)
        CU_ASSERT_EQUAL(test_get_entry(store, number),
                        number % 2 == 1 && number % 3 == 1 ? STORE_MISSING : STORE_OK);
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_evictions), 0);
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_expired), 0);
    CU_ASSERT_FALSE(store_sweep(store, 1, 20, &cursor, &removed));
    CU_ASSERT_EQUAL(removed, 1500);
    memory_rig_close(&rig);
}

/* ---- generations ---- */

static enum store_status put_generation(struct store *store, uint64_t name, uint64_t generation) {
    char value[STORE_GENERATION_LENGTH];
    for (unsigned i = 0; i < sizeof(value); i++)
        value[i] = (char)(generation >> (8 * i));
    return test_put(store, STORE_GENERATION, test_key(name), (struct bytes){value, sizeof(value)}, 0, 0);
}

static uint64_t generation_at(struct store *store, struct test_key key) {
    struct test_got got;
    uint64_t number = 0;
    if (test_get_into(store, STORE_GENERATION, key, &got) == STORE_OK)
        for (unsigned i = 0; i < STORE_GENERATION_LENGTH; i++)
            number |= (uint64_t)(uint8_t)got.value[i] << (8 * i);
    return number;
}

/* Clients ask for 100,000 namespaces that nobody has heard of: those in use keep their numbers. */
static void test_many_namespaces(void) {
    struct memory_rig rig;
    char value[STORE_GENERATION_LENGTH] = {1};
    uint64_t made = 0;
    open_rig(&rig, 10);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t name = 0; name < 20; name++)
        CU_ASSERT_EQUAL(put_generation(store, name, 7 + name), STORE_OK);
    for (uint64_t name = 0; name < 100000; name++) {
        struct test_key key = test_key(1000 + name);
        struct bytes number = {value, sizeof(value)};
        enum store_status status = test_add(store, STORE_GENERATION, key, number, 0);
        CU_ASSERT(status == STORE_OK || status == STORE_EXISTS);
        made += status == STORE_OK;
        CU_ASSERT_EQUAL(test_get(store, STORE_GENERATION, key), STORE_OK);
    }
    for (uint64_t name = 0; name < 20; name++)
        CU_ASSERT_EQUAL(generation_at(store, test_key(name)), 7 + name);
    /* They fall on all places alike: of 65,536, a share of 1 - exp(-100000/65536) is expected. */
    CU_ASSERT(made > 50500 && made < 52000);
    memory_rig_close(&rig);
}

/* Two of one place: who purges one purges the other; neither ever goes back. */
static void test_namespaces_of_one_place(void) {
    struct memory_rig rig;
    struct test_key one = {{[0] = 1, [31] = 1}}, other = {{[0] = 2, [31] = 1}};
    char value[STORE_GENERATION_LENGTH] = {9};
    struct bytes nine = {value, sizeof(value)};
    open_rig(&rig, 10);
    struct store *store = memory_rig_store(&rig, 0);
    CU_ASSERT_EQUAL(test_add(store, STORE_GENERATION, one, nine, 0), STORE_OK);
    CU_ASSERT_EQUAL(test_add(store, STORE_GENERATION, other, nine, 0), STORE_EXISTS);
    CU_ASSERT_EQUAL(test_put(store, STORE_GENERATION, other, nine, 0, 0), STORE_OK);
    CU_ASSERT_EQUAL(generation_at(store, one), 10);
    memset(value, 0xff, sizeof(value)); /* no time that a clock can have */
    CU_ASSERT_EQUAL(test_put(store, STORE_GENERATION, one, nine, 0, 0), STORE_ERROR);
    CU_ASSERT_EQUAL(generation_at(store, one), 10);
    memory_rig_close(&rig);
}

/* ---- scope ---- */

static void test_parts(void) {
    struct memory_rig rig;
    memory_rig_init(&rig);
    rig.settings.cache_scope = CACHE_SCOPE_WORKER;
    rig.settings.cache_max_size = 10;
    memory_rig_open(&rig, 4);
    for (unsigned slot = 0; slot < 4; slot++)
        for (uint64_t number = 0; number < 20; number++)
            test_put_entry(memory_rig_store(&rig, slot), number);
    CU_ASSERT_EQUAL(test_size(memory_rig_store(&rig, 3)), 10); /* 3 + 3 + 2 + 2 */
    CU_ASSERT_EQUAL(test_count_entries(memory_rig_store(&rig, 0), 20), 3);
    CU_ASSERT_EQUAL(test_count_entries(memory_rig_store(&rig, 3), 20), 2);
    CU_ASSERT_EQUAL(test_remove(memory_rig_store(&rig, 1), STORE_ENTRY, test_key(19), 5, 1000), STORE_OK);
    for (unsigned slot = 0; slot < 4; slot++)
        CU_ASSERT_EQUAL(test_get_entry(memory_rig_store(&rig, slot), 19), STORE_TOMBSTONE);
    CU_ASSERT_EQUAL(test_size(memory_rig_store(&rig, 0)), 6);
    CU_ASSERT_EQUAL(test_add(memory_rig_store(&rig, 0), STORE_LEASE, test_key(1), bytes_of("a"), 1000),
                    STORE_OK);
    CU_ASSERT_EQUAL(test_add(memory_rig_store(&rig, 1), STORE_LEASE, test_key(1), bytes_of("b"), 1000),
                    STORE_OK);
    CU_ASSERT_EQUAL(put_generation(memory_rig_store(&rig, 0), 1, 1), STORE_OK);
    CU_ASSERT_EQUAL(test_get(memory_rig_store(&rig, 2), STORE_GENERATION, test_key(1)), STORE_OK);
    CU_ASSERT_EQUAL(test_size(memory_rig_store(&rig, 6)), 6); /* a slot of another pool */
    memory_rig_close(&rig);
}

static void test_fewer_entries_than_workers(void) {
    struct memory_rig rig;
    memory_rig_init(&rig);
    rig.settings.cache_scope = CACHE_SCOPE_WORKER;
    rig.settings.cache_max_size = 1;
    memory_rig_open(&rig, 4);
    for (unsigned slot = 0; slot < 4; slot++)
        CU_ASSERT_EQUAL(test_put_entry(memory_rig_store(&rig, slot), slot), STORE_OK);
    CU_ASSERT_EQUAL(test_size(memory_rig_store(&rig, 0)), 1);
    memory_rig_close(&rig);
}

/* ---- batches ---- */

struct nesting {
    struct store *store;
    enum store_status inner;
    bool whole;
};

static void got_outer(void *user, struct store_get *gets, size_t n) {
    struct nesting *nesting = user;
    static char copies[8][64];
    for (size_t i = 0; i < n; i++)
        memcpy(copies[i], gets[i].value.data, gets[i].value.length);
    struct test_got inner;
    nesting->inner = test_get_into(nesting->store, STORE_ENTRY, test_key(100), &inner);
    nesting->whole = true;
    for (size_t i = 0; i < n; i++)
        nesting->whole &= memcmp(copies[i], gets[i].value.data, gets[i].value.length) == 0;
}

static void test_batch_in_batch(void) {
    struct memory_rig rig;
    open_rig(&rig, 1000);
    struct store *store = memory_rig_store(&rig, 0);
    struct test_key keys[8];
    struct store_get gets[8];
    for (uint64_t i = 0; i < 8; i++) {
        test_put_entry(store, i);
        keys[i] = test_key(i);
        gets[i] = (struct store_get){.kind = STORE_ENTRY, .key = keys[i].bytes};
    }
    test_put(store, STORE_ENTRY, test_key(100), big_value(1, 4096), 0, 1000);
    struct nesting nesting = {.store = store};
    store_get_many(store, gets, 8, got_outer, &nesting);
    CU_ASSERT_EQUAL(nesting.inner, STORE_OK);
    CU_ASSERT_TRUE(nesting.whole);
    memory_rig_close(&rig);
}

static void got_batch(void *user, struct store_get *gets, size_t n) {
    CU_ASSERT_PTR_NULL(user);
    CU_ASSERT_EQUAL(n, 3);
    CU_ASSERT_EQUAL(gets[0].status, STORE_OK);
    CU_ASSERT_EQUAL(gets[2].status, STORE_OK);
    CU_ASSERT_EQUAL(gets[0].value.length, 64);
    CU_ASSERT_EQUAL(gets[2].value.length, 64);
    for (size_t i = 0; i < 3; i += 2) {
        uint64_t number;
        memcpy(&number, gets[i].value.data, sizeof(number));
        CU_ASSERT_EQUAL(number, i);
    }
}

/* The sanitizers' allocator cannot be made to fail; with it the value is found. */
static void test_no_memory_for_one(void) {
    struct memory_rig rig;
    memory_rig_init(&rig);
    memory_rig_open(&rig, 1);
    struct store *store = memory_rig_store(&rig, 0);
    test_put_entry(store, 0);
    test_put_entry(store, 2);
    test_put(store, STORE_ENTRY, test_key(3), big_value(3, 4096), 0, 60000);
    test_get_entry(store, 3); /* now there is memory for small values */
    test_put(store, STORE_ENTRY, test_key(1), big_value(1, 1 << 19), 0, 60000);
    struct test_key keys[3] = {test_key(0), test_key(1), test_key(2)};
    struct store_get gets[3];
    for (unsigned i = 0; i < 3; i++)
        gets[i] = (struct store_get){.kind = STORE_ENTRY, .key = keys[i].bytes};
    unit_allocations_count_start();
    unit_allocations_fail(1, false);
    store_get_many(store, gets, 3, got_batch, NULL);
    bool asked_ours = unit_allocations_count() > 0;
    unit_allocations_heal();
    CU_ASSERT_EQUAL(gets[1].status, asked_ours ? STORE_ERROR : STORE_OK);
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_store_errors), asked_ours ? 1 : 0);
    store_get_many(store, gets, 3, got_batch, NULL);
    CU_ASSERT_EQUAL(gets[1].status, STORE_OK);
    CU_ASSERT_EQUAL(gets[1].value.length, 1 << 19);
    memory_rig_close(&rig);
}

static void test_no_allocation_per_get(void) {
    struct memory_rig rig;
    open_rig(&rig, 100);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t number = 0; number < 10; number++)
        test_put_entry(store, number);
    test_get_entry(store, 0);
    unit_allocations_count_start();
    for (uint64_t number = 0; number < 10; number++)
        CU_ASSERT_EQUAL(test_get_entry(store, number), STORE_OK);
    CU_ASSERT_EQUAL(unit_allocations_count(), 0);
    memory_rig_close(&rig);
}

static const struct unit_case CASES[] = {
    {"the tag changes with all of the layout", test_layout_tag},
    {"the defaults take their memory and little more", test_region_of_defaults},
    {"other workers and queues: the same layout", test_layout_is_the_same_for_other_workers},
    {"a region that is none is an error", test_foreign_region},
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
    {"no removal is forgotten before its time", test_many_removals},
    {"leases are limited and their places come back", test_full_of_leases},
    {"a sweep removes the entries of its group, below its epoch", test_sweep},
    {"generations of namespaces in use stay", test_many_namespaces},
    {"namespaces of one place", test_namespaces_of_one_place},
    {"parts are the workers' own, removals and generations everyone's", test_parts},
    {"fewer entries than workers", test_fewer_entries_than_workers},
    {"a batch may be begun in the callback of another", test_batch_in_batch},
    {"a value without memory to copy it fails alone", test_no_memory_for_one},
    {"a get allocates nothing", test_no_allocation_per_get},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "memory", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
