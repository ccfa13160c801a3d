/* Entries: what was put is got, by the rule of epochs, until its time is over. */
#include "contract_rig.h"

static void test_nothing(void) {
    struct rig rig;
    rig_open(&rig);
    for (enum store_kind kind = STORE_ENTRY; kind <= STORE_GENERATION; kind++) {
        CU_ASSERT_EQUAL(get(&rig, kind, 1), STORE_MISSING);
        CU_ASSERT_EQUAL(got.epoch, 0);
        CU_ASSERT_EQUAL(got.length, 0);
        CU_ASSERT_EQUAL(remove_by(&rig, 0, kind, 1, 0, 0), STORE_MISSING);
        CU_ASSERT_EQUAL(get(&rig, kind, 1), STORE_MISSING);
    }
    rig_close(&rig);
}

static void test_put_and_get(void) {
    struct rig rig;
    rig_open(&rig);
    CU_ASSERT_EQUAL(put(&rig, 1, "first", 7), STORE_OK);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_OK);
    CU_ASSERT_TRUE(got_is("first"));
    CU_ASSERT_EQUAL(got.epoch, 7);
    CU_ASSERT_EQUAL(put(&rig, 1, "the second, which is longer", 7), STORE_OK);
    get(&rig, STORE_ENTRY, 1);
    CU_ASSERT_TRUE(got_is("the second, which is longer"));
    CU_ASSERT_EQUAL(put(&rig, 1, "3rd", 8), STORE_OK);
    get(&rig, STORE_ENTRY, 1);
    CU_ASSERT_TRUE(got_is("3rd"));
    CU_ASSERT_EQUAL(got.epoch, 8);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 2), STORE_MISSING);
    rig_close(&rig);
}

/* Every byte there is, and many of them. */
static void test_any_bytes(void) {
    static char value[GOT_MAX];
    static const size_t LENGTHS[] = {1, 7, 8, 9, 255, 256, 4096, 65536, GOT_MAX};
    struct rig rig;
    rig_open(&rig);
    for (size_t i = 0; i < sizeof(value); i++)
        value[i] = (char)(i * 7 + i / 256);
    for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
        struct bytes bytes = {value + sizeof(value) - LENGTHS[i], LENGTHS[i]};
        CU_ASSERT_EQUAL(put_by(&rig, 0, STORE_ENTRY, i, bytes, 0, MINUTE_MS), STORE_OK);
        CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, i), STORE_OK);
        CU_ASSERT_TRUE(bytes_equal((struct bytes){got.value, got.length}, bytes));
    }
    rig_close(&rig);
}

static void test_epochs(void) {
    struct rig rig;
    rig_open(&rig);
    CU_ASSERT_EQUAL(put(&rig, 1, "new", 100), STORE_OK);
    CU_ASSERT_EQUAL(put(&rig, 1, "old", 99), STORE_REFUSED);
    get(&rig, STORE_ENTRY, 1);
    CU_ASSERT_TRUE(got_is("new"));
    CU_ASSERT_EQUAL(got.epoch, 100);
    CU_ASSERT_EQUAL(put(&rig, 1, "same", 100), STORE_OK);
    CU_ASSERT_EQUAL(put(&rig, 1, "newer", 101), STORE_OK);
    get(&rig, STORE_ENTRY, 1);
    CU_ASSERT_TRUE(got_is("newer"));
    rig_close(&rig);
}

static void test_entry_expires(void) {
    struct rig rig;
    rig_open(&rig);
    CU_ASSERT_EQUAL(put_by(&rig, 0, STORE_ENTRY, 1, bytes_of("short"), 50, 2000), STORE_OK);
    CU_ASSERT_EQUAL(put_by(&rig, 0, STORE_ENTRY, 2, bytes_of("long"), 50, MINUTE_MS), STORE_OK);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_OK);
    backend->advance(&rig, 3200); /* memcached counts whole seconds */
    get(&rig, STORE_ENTRY, 1);
    CU_ASSERT(got.status == STORE_EXPIRED || got.status == STORE_MISSING);
    CU_ASSERT_EQUAL(got.length, 0);
    get(&rig, STORE_ENTRY, 1);
    CU_ASSERT(got.status == STORE_MISSING || backend->remote);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 2), STORE_OK);
    CU_ASSERT_EQUAL(put(&rig, 1, "older", 49), STORE_OK);
    get(&rig, STORE_ENTRY, 1);
    CU_ASSERT_TRUE(got_is("older"));
    rig_close(&rig);
}

/* One key, four kinds: four items. */
static void test_kinds_are_apart(void) {
    struct rig rig;
    rig_open(&rig);
    CU_ASSERT_EQUAL(put(&rig, 1, "entry", 3), STORE_OK);
    CU_ASSERT_EQUAL(add(&rig, STORE_LEASE, 1, bytes_of("lease"), MINUTE_MS), STORE_OK);
    CU_ASSERT_EQUAL(add(&rig, STORE_OUTCOME, 1, bytes_of("outcome"), MINUTE_MS), STORE_OK);
    CU_ASSERT_EQUAL(add(&rig, STORE_GENERATION, 1, number(UINT64_C(1) << 51), 0), STORE_OK);
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_ENTRY, 1, 4, 1000), STORE_OK);
    CU_ASSERT_EQUAL(get(&rig, STORE_LEASE, 1), STORE_OK);
    CU_ASSERT_TRUE(got_is("lease"));
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_LEASE, 1, 0, 0), STORE_OK);
    CU_ASSERT_EQUAL(get(&rig, STORE_OUTCOME, 1), STORE_OK);
    CU_ASSERT_TRUE(got_is("outcome"));
    CU_ASSERT_EQUAL(get(&rig, STORE_GENERATION, 1), STORE_OK);
    CU_ASSERT_TRUE(got_number(UINT64_C(1) << 51));
    rig_close(&rig);
}

static const struct unit_case CASES[] = {
    {"an empty store has nothing", test_nothing},
    {"what was put is got, the last one", test_put_and_get},
    {"any bytes, many bytes", test_any_bytes},
    {"a lower epoch is refused", test_epochs},
    {"an entry whose time is over is as if removed", test_entry_expires},
    {"kinds have their own items", test_kinds_are_apart},
};

int main(int argc, char *argv[]) {
    return contract_main(argc, argv, "entries", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
