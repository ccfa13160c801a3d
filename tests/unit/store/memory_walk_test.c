/* A walk over the memory store's entries. */
#include "memory_rig.h"

#define NUMBERS 9000

struct seen {
    unsigned times[2 * NUMBERS];
    uint64_t total;
    bool wrong; /* a value that is not its key's */
};

static void note(void *user, const uint8_t *key, struct bytes value) {
    struct seen *seen = user;
    uint64_t number;
    seen->total++;
    memcpy(&number, value.data, sizeof(number));
    if (number >= 2 * NUMBERS || memcmp(test_key(number).bytes, key, STORE_KEY_LENGTH) != 0)
        seen->wrong = true;
    else
        seen->times[number]++;
}

static struct seen *walk_all(struct store *store, struct seen *seen) {
    struct buffer scratch;
    uint64_t cursor = 0;
    bool more = true;
    memset(seen, 0, sizeof(*seen));
    buffer_init(&scratch, SIZE_MAX);
    while (more)
        more = store_walk(store, &cursor, &scratch, note, seen);
    CU_ASSERT_FALSE(store_walk(store, &cursor, &scratch, note, seen));
    buffer_fini(&scratch);
    return seen;
}

static struct seen seen;

/* Others are written, moved and evicted meanwhile. */
static void test_each_once(void) {
    struct memory_rig rig;
    struct buffer scratch;
    uint64_t cursor = 0, written = NUMBERS;
    unsigned missed = 0;
    memory_rig_init(&rig);
    rig.settings.cache_max_size = 2 * NUMBERS;
    memory_rig_open(&rig, 1);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t number = 0; number < NUMBERS; number++)
        test_put_entry(store, number);
    memset(&seen, 0, sizeof(seen));
    buffer_init(&scratch, SIZE_MAX);
    while (store_walk(store, &cursor, &scratch, note, &seen))
        test_put_entry(store, written++ % (2 * NUMBERS));
    for (unsigned number = 0; number < NUMBERS; number++)
        missed += seen.times[number] != 1;
    CU_ASSERT_EQUAL(missed, 0);
    CU_ASSERT_FALSE(seen.wrong);
    CU_ASSERT(written > NUMBERS + 10);
    buffer_fini(&scratch);
    memory_rig_close(&rig);
}

static void test_nothing(void) {
    struct memory_rig rig;
    memory_rig_init(&rig);
    memory_rig_open(&rig, 1);
    struct store *store = memory_rig_store(&rig, 0);
    CU_ASSERT(store_can_walk(store));
    CU_ASSERT_EQUAL(walk_all(store, &seen)->total, 0);
    memory_rig_close(&rig);
}

static void test_expired_are_left_out(void) {
    struct memory_rig rig;
    memory_rig_init(&rig);
    memory_rig_open(&rig, 1);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t number = 0; number < 20; number++) {
        uint64_t value = number;
        test_put(store, STORE_ENTRY, test_key(number), (struct bytes){(const char *)&value, sizeof(value)}, 0,
                 number < 7 ? 1000 : 5000);
    }
    rig.clock.monotonic_us += 2000000;
    CU_ASSERT_EQUAL(walk_all(store, &seen)->total, 13);
    CU_ASSERT_EQUAL(seen.times[6], 0);
    CU_ASSERT_EQUAL(seen.times[7], 1);
    memory_rig_close(&rig);
}

/* An entry that nobody asked for goes first, although a walk has shown it. */
static void test_no_mark(void) {
    struct memory_rig rig;
    memory_rig_init(&rig);
    rig.settings.cache_max_size = 4;
    memory_rig_open(&rig, 1);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t number = 0; number < 4; number++)
        test_put_entry(store, number);
    CU_ASSERT_EQUAL(walk_all(store, &seen)->total, 4);
    test_put_entry(store, 4);
    CU_ASSERT_EQUAL(test_get_entry(store, 0), STORE_MISSING);
    memory_rig_close(&rig);
}

/* Far larger than what one call shows otherwise. */
static void test_large_entries(void) {
    struct memory_rig rig;
    size_t length = 900 * 1024;
    memory_rig_init(&rig);
    memory_rig_open(&rig, 1);
    struct store *store = memory_rig_store(&rig, 0);
    char *value = calloc(1, length);
    memory_rig_need(value != NULL, "memory");
    for (uint64_t number = 0; number < 20; number++) {
        memcpy(value, &number, sizeof(number));
        test_put(store, STORE_ENTRY, test_key(number), (struct bytes){value, length}, 0, 5000);
    }
    CU_ASSERT_EQUAL(walk_all(store, &seen)->total, test_size(store));
    CU_ASSERT(seen.total > 10); /* of one shard only the last is there */
    CU_ASSERT_FALSE(seen.wrong);
    free(value);
    memory_rig_close(&rig);
}

/* Those that fit are shown, the others are counted; the walk comes to its end. */
static void test_no_room_for_one(void) {
    static char large[100 * 1024];
    struct memory_rig rig;
    struct buffer scratch;
    uint64_t cursor = 0, number = 1;
    bool more = true;
    memory_rig_init(&rig);
    memory_rig_open(&rig, 1);
    struct store *store = memory_rig_store(&rig, 0);
    memcpy(large, &number, sizeof(number));
    test_put_entry(store, 0);
    test_put(store, STORE_ENTRY, test_key(1), (struct bytes){large, sizeof(large)}, 0, 5000);
    test_put_entry(store, 2);
    memset(&seen, 0, sizeof(seen));
    buffer_init(&scratch, 64 * 1024);
    while (more)
        more = store_walk(store, &cursor, &scratch, note, &seen);
    CU_ASSERT_EQUAL(seen.total, 2);
    CU_ASSERT_EQUAL(seen.times[1], 0);
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_store_errors), 1);
    buffer_fini(&scratch);
    memory_rig_close(&rig);
}

static void test_all_parts(void) {
    struct memory_rig rig;
    memory_rig_init(&rig);
    rig.settings.cache_scope = CACHE_SCOPE_WORKER;
    memory_rig_open(&rig, 3);
    for (unsigned slot = 0; slot < 3; slot++)
        for (uint64_t number = 0; number < 10; number++)
            test_put_entry(memory_rig_store(&rig, slot), 10 * slot + number);
    walk_all(memory_rig_store(&rig, 1), &seen);
    CU_ASSERT_EQUAL(seen.total, 30);
    CU_ASSERT_EQUAL(seen.times[0], 1);
    CU_ASSERT_EQUAL(seen.times[29], 1);
    memory_rig_close(&rig);
}

/* A number that only rare events raise purges no namespace, whatever keys those have. */
static void test_rare_numbers(void) {
    char value[STORE_GENERATION_LENGTH] = {9};
    const struct bytes number = {value, sizeof(value)};
    struct memory_rig rig;
    struct test_key of_all, last_purge, removals = test_key(1);
    memory_rig_init(&rig);
    memory_rig_open(&rig, 1);
    struct store *store = memory_rig_store(&rig, 0);
    memcpy(of_all.bytes, STORE_ALL_NAMESPACES, STORE_KEY_LENGTH);
    memcpy(last_purge.bytes, STORE_LAST_PURGE, STORE_KEY_LENGTH);
    unsigned met = 0;
    for (uint64_t n = 0; n < 5000; n++) {
        removals = test_key(n);
        memset(removals.bytes + 24, 0, 8);
        test_put(store, STORE_GENERATION, removals, number, 0, 0);
    }
    CU_ASSERT_EQUAL(test_get(store, STORE_GENERATION, removals), STORE_OK);
    CU_ASSERT_EQUAL(test_get(store, STORE_GENERATION, of_all), STORE_MISSING);
    CU_ASSERT_EQUAL(test_get(store, STORE_GENERATION, last_purge), STORE_MISSING);
    for (uint64_t n = 0; n < 65536; n++)
        met += test_get(store, STORE_GENERATION, test_key(n)) != STORE_MISSING;
    CU_ASSERT_EQUAL(met, 0);
    test_put(store, STORE_GENERATION, last_purge, number, 0, 0);
    CU_ASSERT_EQUAL(test_get(store, STORE_GENERATION, of_all), STORE_MISSING);
    memory_rig_close(&rig);
}

static const struct unit_case CASES[] = {
    {"each entry is shown once, whatever comes and goes", test_each_once},
    {"a store without entries", test_nothing},
    {"entries whose time is over are left out", test_expired_are_left_out},
    {"an entry that was shown is not marked as hit", test_no_mark},
    {"large entries", test_large_entries},
    {"an entry for which there is no room is left out", test_no_room_for_one},
    {"all parts are shown", test_all_parts},
    {"rare numbers share no place with namespaces", test_rare_numbers},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "memory_walk", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
