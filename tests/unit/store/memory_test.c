/* The memory store: tombstones, leases, sweeping, generations, batches. */
#include "memory_rig.h"

#define SECOND_US UINT64_C(1000000)

/* ---- tombstones ---- */

/* Far more removals than a shard remembers one by one: none of them is forgotten before its time. */
static void test_many_removals(void) {
    struct memory_rig rig;
    memory_rig_open_for_one(&rig, 10000);
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
    memory_rig_open_for_one(&rig, 100);
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
    memory_rig_open_for_one(&rig, 10000);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t number = 0; number < 9000; number++) {
        struct test_key key = test_key(number);
        struct store_item item = {.kind = STORE_ENTRY,
                                  .key = key.bytes,
                                  .value = bytes_of("value"),
                                  .epoch = number % 2 ? 10 : 20,
                                  .group = number % 3,
                                  .ttl_ms = 3600000};
        store_put(store, &item, NULL, NULL);
    }
    uint64_t cursor = 0;
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
    memory_rig_open_for_one(&rig, 10);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t name = 0; name < 20; name++)
        CU_ASSERT_EQUAL(test_put_generation(store, name, 7 + name), STORE_OK);
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
    memory_rig_open_for_one(&rig, 10);
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
    memory_rig_open_for_one(&rig, 1000);
    struct store *store = memory_rig_store(&rig, 0);
    struct test_key keys[8];
    struct store_get gets[8];
    for (uint64_t i = 0; i < 8; i++) {
        test_put_entry(store, i);
        keys[i] = test_key(i);
        gets[i] = (struct store_get){.kind = STORE_ENTRY, .key = keys[i].bytes};
    }
    test_put(store, STORE_ENTRY, test_key(100), test_big_value(1, 4096), 0, 1000);
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
    test_put(store, STORE_ENTRY, test_key(3), test_big_value(3, 4096), 0, 60000);
    test_get_entry(store, 3); /* now there is memory for small values */
    test_put(store, STORE_ENTRY, test_key(1), test_big_value(1, 1 << 19), 0, 60000);
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
    memory_rig_open_for_one(&rig, 100);
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
    {"no removal is forgotten before its time", test_many_removals},
    {"leases are limited and their places come back", test_full_of_leases},
    {"a sweep removes the entries of its group, below its epoch", test_sweep},
    {"generations of namespaces in use stay", test_many_namespaces},
    {"namespaces of one place", test_namespaces_of_one_place},
    {"a batch may be begun in the callback of another", test_batch_in_batch},
    {"a value without memory to copy it fails alone", test_no_memory_for_one},
    {"a get allocates nothing", test_no_allocation_per_get},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "memory", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
