/* Taking entries over from a region of other sizes. */
#include "inferonce/store/memory_adopt.h"

#include "inferonce/store/state.h"
#include "memory_rig.h"
#include "store/remote/pending.h"

#define MINUTE_MS 60000

/* Two rigs: what was, and what is now. */
static struct memory_rig was, now;

static void open_rig(struct memory_rig *rig, uint64_t max_size, uint64_t memory_mb, unsigned workers,
                     enum cache_scope scope) {
    memory_rig_init(rig);
    rig->settings.cache_max_size = max_size;
    rig->settings.cache_memory_mb = memory_mb;
    rig->settings.cache_scope = scope;
    rig->settings.cache_max_entry_kb = 16;
    memory_rig_open(rig, workers);
}

static uint64_t adopt(void) {
    return memory_adopt(now.shared.region, now.shared.region_bytes, was.shared.region,
                        was.shared.region_bytes, &now.clock);
}

static void close_rigs(void) {
    memory_rig_close(&was);
    memory_rig_close(&now);
}

static bool is_right(struct store *store, uint64_t number) {
    struct test_got got;
    uint64_t value[2];
    if (test_get_into(store, STORE_ENTRY, test_key(number), &got) != STORE_OK)
        return false;
    memcpy(value, got.value, sizeof(value));
    return value[0] == number && value[1] == test_mix(number);
}

static void test_larger(void) {
    open_rig(&was, 1000, 2, 1, CACHE_SCOPE_SHARED);
    open_rig(&now, 5000, 16, 1, CACHE_SCOPE_SHARED);
    for (uint64_t number = 0; number < 900; number++)
        test_put_entry(memory_rig_store(&was, 0), number);
    CU_ASSERT_EQUAL(adopt(), 900);
    for (uint64_t number = 0; number < 900; number++)
        CU_ASSERT_TRUE(is_right(memory_rig_store(&now, 0), number));
    for (uint64_t number = 900; number < 5000; number++) /* and there is room for more */
        test_put_entry(memory_rig_store(&now, 0), number);
    CU_ASSERT_EQUAL(test_size(memory_rig_store(&now, 0)), 5000);
    close_rigs();
}

/* The newest, whatever shards they lie in. */
static void test_smaller(void) {
    open_rig(&was, 2000, 8, 1, CACHE_SCOPE_SHARED);
    open_rig(&now, 100, 8, 1, CACHE_SCOPE_SHARED);
    for (uint64_t number = 0; number < 2000; number++)
        test_put_entry(memory_rig_store(&was, 0), number);
    CU_ASSERT_EQUAL(adopt(), 100);
    for (uint64_t number = 1900; number < 2000; number++)
        CU_ASSERT_TRUE(is_right(memory_rig_store(&now, 0), number));
    close_rigs();
}

/* Less memory for as many entries: what does not fit goes, the oldest first. */
static void test_less_memory(void) {
    static char value[8192];
    open_rig(&was, 10000, 16, 1, CACHE_SCOPE_SHARED);
    open_rig(&now, 10000, 4, 1, CACHE_SCOPE_SHARED);
    for (uint64_t number = 0; number < 1000; number++)
        test_put(memory_rig_store(&was, 0), STORE_ENTRY, test_key(number),
                 (struct bytes){value, sizeof(value)}, 0, MINUTE_MS);
    uint64_t kept = adopt();
    CU_ASSERT(kept > 250 && kept <= 512);
    CU_ASSERT_EQUAL(test_count_entries(memory_rig_store(&now, 0), 1000), kept);
    uint64_t young = 0;
    for (uint64_t number = 800; number < 1000; number++)
        young += test_get_entry(memory_rig_store(&now, 0), number) == STORE_OK;
    CU_ASSERT(young > 180);
    close_rigs();
}

static void test_what_an_entry_carries(void) {
    open_rig(&was, 100, 2, 1, CACHE_SCOPE_SHARED);
    open_rig(&now, 200, 2, 1, CACHE_SCOPE_SHARED);
    struct store *before = memory_rig_store(&was, 0), *after = memory_rig_store(&now, 0);
    test_put(before, STORE_ENTRY, test_key(1), bytes_of("for ever"), 7, 0);
    test_put(before, STORE_ENTRY, test_key(2), bytes_of("for a minute"), 8, MINUTE_MS);
    test_put(before, STORE_ENTRY, test_key(3), bytes_of("over"), 9, 1);
    was.clock.monotonic_us += 2000;
    now.clock = was.clock;
    CU_ASSERT_EQUAL(adopt(), 2);
    struct test_got got;
    CU_ASSERT_EQUAL(test_get_into(after, STORE_ENTRY, test_key(2), &got), STORE_OK);
    CU_ASSERT_EQUAL(got.epoch, 8);
    CU_ASSERT_EQUAL(test_put(after, STORE_ENTRY, test_key(2), bytes_of("older"), 7, 0), STORE_REFUSED);
    CU_ASSERT_EQUAL(test_get(after, STORE_ENTRY, test_key(3)), STORE_MISSING);
    now.clock.monotonic_us += MINUTE_MS * UINT64_C(1000);
    CU_ASSERT_EQUAL(test_get(after, STORE_ENTRY, test_key(1)), STORE_OK);
    CU_ASSERT_EQUAL(test_get(after, STORE_ENTRY, test_key(2)), STORE_EXPIRED);
    close_rigs();
}

static void test_generations_and_pendings(void) {
    static const char NUMBER[STORE_GENERATION_LENGTH] = {9};
    open_rig(&was, 100, 2, 1, CACHE_SCOPE_SHARED);
    open_rig(&now, 200, 2, 1, CACHE_SCOPE_SHARED);
    test_add(memory_rig_store(&was, 0), STORE_GENERATION, test_key(1), (struct bytes){NUMBER, sizeof(NUMBER)},
             0);
    CU_ASSERT_TRUE(pending_add(state_pendings(&was.shared),
                               &(struct pending){.server = 7, .kind = STORE_ENTRY, .epoch = 3}));
    pthread_mutex_lock(&state_pendings(&was.shared)->lock); /* as if somebody had died there */
    adopt();
    struct test_got got;
    CU_ASSERT_EQUAL(test_get_into(memory_rig_store(&now, 0), STORE_GENERATION, test_key(1), &got), STORE_OK);
    CU_ASSERT_EQUAL(got.value[0], 9);
    CU_ASSERT_EQUAL(pending_count(state_pendings(&now.shared), 7), 1);
    close_rigs();
}

/* Parts become fewer, or one becomes several: a part's entries stay together. */
static void test_parts(void) {
    open_rig(&was, 400, 4, 4, CACHE_SCOPE_WORKER);
    open_rig(&now, 400, 4, 1, CACHE_SCOPE_SHARED);
    for (unsigned slot = 0; slot < 4; slot++)
        for (uint64_t number = 0; number < 50; number++)
            test_put_entry(memory_rig_store(&was, slot), 100 * slot + number);
    CU_ASSERT_EQUAL(adopt(), 200);
    CU_ASSERT_EQUAL(test_count_entries(memory_rig_store(&now, 0), 400), 200);
    close_rigs();
}

/* Anything may be there: it is a region that is sound, or it is none. */
static void test_no_region(void) {
    open_rig(&was, 100, 2, 1, CACHE_SCOPE_SHARED);
    open_rig(&now, 200, 2, 1, CACHE_SCOPE_SHARED);
    for (uint64_t number = 0; number < 100; number++)
        test_put_entry(memory_rig_store(&was, 0), number);
    uint8_t *bytes = was.shared.region;
    for (size_t at = 4096; at < was.shared.region_bytes; at += 997)
        bytes[at] ^= (uint8_t)test_mix(at);
    CU_ASSERT(adopt() <= 100);
    /* The cache checks values; the store is sound. */
    for (uint64_t number = 1000; number < 1100; number++) {
        test_put_entry(memory_rig_store(&now, 0), number);
        CU_ASSERT_TRUE(is_right(memory_rig_store(&now, 0), number));
    }
    CU_ASSERT(test_size(memory_rig_store(&now, 0)) <= 200);
    memset(was.shared.region, 0xff, was.shared.region_bytes);
    CU_ASSERT_EQUAL(adopt(), 0);
    close_rigs();
}

static const struct unit_case CASES[] = {
    {"a larger one", test_larger},
    {"a smaller one", test_smaller},
    {"less memory", test_less_memory},
    {"what an entry carries", test_what_an_entry_carries},
    {"generations and pending invalidations", test_generations_and_pendings},
    {"other parts", test_parts},
    {"what is no region, or a damaged one", test_no_region},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "memory_adopt", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
