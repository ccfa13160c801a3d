/* Removals and the tombstones that they leave, sweeps. */
#include "contract_rig.h"

static void test_remove(void) {
    struct rig rig;
    rig_open(&rig);
    put(&rig, 1, "value", 100);
    put(&rig, 2, "other", 100);
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_ENTRY, 1, 200, 10000), STORE_OK);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_TOMBSTONE);
    CU_ASSERT_EQUAL(got.epoch, 200);
    CU_ASSERT_EQUAL(got.length, 0);
    CU_ASSERT_EQUAL(put(&rig, 1, "was in flight", 199), STORE_REFUSED);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_TOMBSTONE);
    CU_ASSERT_EQUAL(put(&rig, 1, "began afterwards", 200), STORE_OK);
    get(&rig, STORE_ENTRY, 1);
    CU_ASSERT_TRUE(got_is("began afterwards"));
    CU_ASSERT_EQUAL(put(&rig, 1, "was in flight", 199), STORE_REFUSED);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 2), STORE_OK);
    rig_close(&rig);
}

static void test_remove_nothing(void) {
    struct rig rig;
    rig_open(&rig);
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_ENTRY, 1, 200, 10000), STORE_MISSING);
    CU_ASSERT_EQUAL(put(&rig, 1, "was in flight", 199), STORE_REFUSED);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_TOMBSTONE);
    CU_ASSERT_EQUAL(got.epoch, 200);
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_ENTRY, 1, 300, 10000), STORE_MISSING);
    CU_ASSERT_EQUAL(put(&rig, 1, "was in flight", 200), STORE_REFUSED);
    rig_close(&rig);
}

/* Two removals, the second by a clock that is behind: what began between them is refused nevertheless. */
static void test_remove_with_clock_behind(void) {
    struct rig rig;
    rig_open(&rig);
    remove_by(&rig, 0, STORE_ENTRY, 1, 500, 10000);
    CU_ASSERT_EQUAL(put(&rig, 1, "between", 500), STORE_OK);
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_ENTRY, 1, 400, 10000), STORE_OK);
    CU_ASSERT_EQUAL(put(&rig, 1, "between", 500), STORE_REFUSED);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_TOMBSTONE);
    CU_ASSERT(got.epoch > 500);
    CU_ASSERT_EQUAL(put(&rig, 1, "afterwards", got.epoch), STORE_OK);
    put(&rig, 2, "of a clock ahead", 500);
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_ENTRY, 2, 400, 10000), STORE_OK);
    CU_ASSERT_EQUAL(put(&rig, 2, "of a clock ahead", 500), STORE_REFUSED);
    remove_by(&rig, 0, STORE_ENTRY, 3, 500, 10000);
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_ENTRY, 3, 400, 10000), STORE_MISSING);
    CU_ASSERT_EQUAL(put(&rig, 3, "between", 500), STORE_REFUSED);
    rig_close(&rig);
}

static void test_tombstone_expires(void) {
    struct rig rig;
    rig_open(&rig);
    remove_by(&rig, 0, STORE_ENTRY, 1, 200, 1000);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_TOMBSTONE);
    backend->advance(&rig, backend->remote ? 3200 : 2000); /* memcached counts in seconds */
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_MISSING);
    CU_ASSERT_EQUAL(put(&rig, 1, "value", 0), STORE_OK);
    rig_close(&rig);
}

static void test_remove_without_tombstone(void) {
    struct rig rig;
    rig_open(&rig);
    put(&rig, 1, "value", 100);
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_ENTRY, 1, 200, 0), STORE_OK);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_MISSING);
    CU_ASSERT_EQUAL(put(&rig, 1, "again", 100), STORE_OK);
    rig_close(&rig);
}

static void test_sweep(void) {
    struct rig rig;
    rig_open(&rig);
    for (uint64_t n = 0; n < 40; n++) {
        struct outcome outcome = {0};
        struct key key = key_of(n);
        struct store_item item = {.kind = STORE_ENTRY,
                                  .key = key.bytes,
                                  .value = bytes_of("value"),
                                  .epoch = n < 30 ? 10 : 20,
                                  .group = n % 2,
                                  .ttl_ms = MINUTE_MS};
        store_put(rig.store[n % 4 / 2], &item, completed, &outcome);
        await(&rig, &outcome.calls);
    }
    uint64_t cursor = 0;
    uint64_t removed = 0;
    while (store_sweep(rig.store[0], 1, 20, &cursor, &removed))
        CU_ASSERT(removed <= 15);
    CU_ASSERT(removed == 15 || removed == UINT64_MAX);
    for (uint64_t n = 0; n < 40; n++)
        if (n % 2 == 0 || n >= 30)
            CU_ASSERT_EQUAL(get_by(&rig, n % 4 / 2, STORE_ENTRY, n), STORE_OK);
    rig_close(&rig);
}

static void test_workers(void) {
    struct rig rig;
    rig_open(&rig);
    CU_ASSERT_EQUAL(put(&rig, 1, "value", 100), STORE_OK);
    CU_ASSERT_EQUAL(get_by(&rig, 1, STORE_ENTRY, 1), backend->one ? STORE_OK : STORE_MISSING);
    CU_ASSERT_EQUAL(remove_by(&rig, 1, STORE_ENTRY, 1, 200, 10000), STORE_OK);
    for (unsigned slot = 0; slot < WORKERS; slot++) {
        CU_ASSERT_EQUAL(get_by(&rig, slot, STORE_ENTRY, 1), STORE_TOMBSTONE);
        CU_ASSERT_EQUAL(put_by(&rig, slot, STORE_ENTRY, 1, bytes_of("late"), 199, MINUTE_MS), STORE_REFUSED);
    }
    rig_close(&rig);
}

static const struct unit_case CASES[] = {
    {"a removed entry stays removed", test_remove},
    {"removing what is not there refuses what was in flight", test_remove_nothing},
    {"a removal holds though a clock is behind", test_remove_with_clock_behind},
    {"a tombstone lasts as long as was asked", test_tombstone_expires},
    {"a removal without a tombstone", test_remove_without_tombstone},
    {"a sweep removes nothing that can be seen", test_sweep},
    {"a removal reaches every worker", test_workers},
};

int main(int argc, char *argv[]) {
    return contract_main(argc, argv, "removals", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
