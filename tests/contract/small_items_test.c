/* Leases, outcomes and generations. */
#include "contract_rig.h"

static void test_add(void) {
    static const enum store_kind KINDS[] = {STORE_LEASE, STORE_OUTCOME};
    struct rig rig;
    rig_open(&rig);
    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(add(&rig, KINDS[i], 1, bytes_of("mine"), MINUTE_MS), STORE_OK);
        CU_ASSERT_EQUAL(add(&rig, KINDS[i], 1, bytes_of("yours"), MINUTE_MS), STORE_EXISTS);
        CU_ASSERT_EQUAL(get(&rig, KINDS[i], 1), STORE_OK);
        CU_ASSERT_TRUE(got_is("mine"));
        CU_ASSERT_EQUAL(got.epoch, 0);
        CU_ASSERT_EQUAL(put_by(&rig, 0, KINDS[i], 1, bytes_of("replaced"), 0, MINUTE_MS), STORE_OK);
        get(&rig, KINDS[i], 1);
        CU_ASSERT_TRUE(got_is("replaced"));
        CU_ASSERT_EQUAL(remove_by(&rig, 0, KINDS[i], 1, 0, 0), STORE_OK);
        CU_ASSERT_EQUAL(remove_by(&rig, 0, KINDS[i], 1, 0, 0), STORE_MISSING);
        CU_ASSERT_EQUAL(add(&rig, KINDS[i], 1, bytes_of("yours"), MINUTE_MS), STORE_OK);
        get(&rig, KINDS[i], 1);
        CU_ASSERT_TRUE(got_is("yours"));
    }
    rig_close(&rig);
}

static void test_lease_expires(void) {
    struct rig rig;
    rig_open(&rig);
    CU_ASSERT_EQUAL(add(&rig, STORE_LEASE, 1, bytes_of("mine"), 1000), STORE_OK);
    CU_ASSERT_EQUAL(put_by(&rig, 0, STORE_OUTCOME, 2, bytes_of("failed"), 0, 1000), STORE_OK);
    backend->advance(&rig, backend->remote ? 3200 : 2000); /* memcached counts in seconds */
    CU_ASSERT_EQUAL(get(&rig, STORE_LEASE, 1), STORE_MISSING);
    CU_ASSERT_EQUAL(get(&rig, STORE_OUTCOME, 2), STORE_MISSING);
    CU_ASSERT_EQUAL(add(&rig, STORE_LEASE, 1, bytes_of("yours"), 1000), STORE_OK);
    rig_close(&rig);
}

static void test_longest_small_value(void) {
    struct rig rig;
    char value[STORE_SMALL_MAX + 1] = "";
    memset(value, 'x', STORE_SMALL_MAX);
    rig_open(&rig);
    CU_ASSERT_EQUAL(add(&rig, STORE_LEASE, 1, bytes_of(value), MINUTE_MS), STORE_OK);
    get(&rig, STORE_LEASE, 1);
    CU_ASSERT_TRUE(got_is(value));
    rig_close(&rig);
}

static void test_generation(void) {
    struct rig rig;
    rig_open(&rig);
    CU_ASSERT_EQUAL(add(&rig, STORE_GENERATION, 1, number(1000), 0), STORE_OK);
    CU_ASSERT_EQUAL(add(&rig, STORE_GENERATION, 1, number(2000), 0), STORE_EXISTS);
    get(&rig, STORE_GENERATION, 1);
    CU_ASSERT_TRUE(got_number(1000));
    /* 256 is less than 1000, though its second byte alone, and its bytes as text, are not. */
    CU_ASSERT_EQUAL(put_by(&rig, 0, STORE_GENERATION, 1, number(256), 0, 0), STORE_OK);
    get(&rig, STORE_GENERATION, 1);
    CU_ASSERT_TRUE(got_number(1001));
    CU_ASSERT_EQUAL(put_by(&rig, 0, STORE_GENERATION, 1, number(1001), 0, 0), STORE_OK);
    get(&rig, STORE_GENERATION, 1);
    CU_ASSERT_TRUE(got_number(1002));
    CU_ASSERT_EQUAL(put_by(&rig, 0, STORE_GENERATION, 1, number(UINT64_C(1) << 40), 0, 0), STORE_OK);
    get(&rig, STORE_GENERATION, 1);
    CU_ASSERT_TRUE(got_number(UINT64_C(1) << 40));
    CU_ASSERT_EQUAL(put_by(&rig, 0, STORE_GENERATION, 2, number(5), 0, 0), STORE_OK);
    get(&rig, STORE_GENERATION, 2);
    CU_ASSERT_TRUE(got_number(5));
    backend->advance(&rig, 2000);
    CU_ASSERT_EQUAL(get(&rig, STORE_GENERATION, 1), STORE_OK);
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_GENERATION, 1, 0, 0), STORE_OK);
    CU_ASSERT_EQUAL(get(&rig, STORE_GENERATION, 1), STORE_MISSING);
    rig_close(&rig);
}

static void test_generation_of_all_workers(void) {
    struct rig rig;
    rig_open(&rig);
    CU_ASSERT_EQUAL(put_by(&rig, 0, STORE_GENERATION, 1, number(1000), 0, 0), STORE_OK);
    CU_ASSERT_EQUAL(get_by(&rig, 1, STORE_GENERATION, 1), STORE_OK);
    CU_ASSERT_TRUE(got_number(1000));
    rig_close(&rig);
}

static const struct unit_case CASES[] = {
    {"one of two adds succeeds", test_add},
    {"leases and outcomes expire", test_lease_expires},
    {"the longest small value", test_longest_small_value},
    {"every put raises a generation", test_generation},
    {"a generation is every worker's", test_generation_of_all_workers},
};

int main(int argc, char *argv[]) {
    return contract_main(argc, argv, "small items", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
