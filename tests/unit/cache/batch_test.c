#include "inferonce/cache/batch.h"

#include "unit.h"

static struct batch_pool pool;
static struct cache_request requests[BATCH_REQUESTS];

static struct key key_from(uint64_t hash, uint8_t rest) {
    struct key key = {{0}};
    memcpy(key.bytes, &hash, sizeof(hash));
    key.bytes[KEY_LENGTH - 1] = rest;
    return key;
}

static struct cache_batch *taken(void) {
    struct cache_batch *batch = batch_take(&pool);
    CU_ASSERT_PTR_NOT_NULL_FATAL(batch);
    CU_ASSERT_EQUAL(batch->n_requests, 0);
    CU_ASSERT_EQUAL(batch->n_gets, 0);
    memset(requests, 0, sizeof(requests));
    return batch;
}

static void check_get(const struct cache_batch *batch, size_t at, enum store_kind kind,
                      const struct key *key) {
    CU_ASSERT_FATAL(at < batch->n_gets);
    CU_ASSERT_EQUAL(batch->gets[at].kind, kind);
    CU_ASSERT_EQUAL(memcmp(batch->gets[at].key, key->bytes, KEY_LENGTH), 0);
}

/* Each request finds its two gets, no key stands twice with one kind, and none is asked for in vain. */
static void check(const struct cache_batch *batch, size_t n, size_t n_gets) {
    CU_ASSERT_EQUAL(batch->n_requests, n);
    CU_ASSERT_EQUAL(batch->n_gets, n_gets);
    for (size_t i = 0; i < n; i++) {
        CU_ASSERT_PTR_EQUAL(batch->requests[i], &requests[i]);
        check_get(batch, batch->generation_at[i], STORE_GENERATION, &requests[i].generation_key);
        check_get(batch, batch->entry_at[i], STORE_ENTRY, &requests[i].key);
    }
    for (size_t i = 0; i < batch->n_gets; i++)
        for (size_t j = 0; j < i; j++)
            CU_ASSERT(batch->gets[i].kind != batch->gets[j].kind ||
                      memcmp(batch->gets[i].key, batch->gets[j].key, KEY_LENGTH) != 0);
}

/* `n` requests, `n_keys` keys and `n_namespaces` namespaces among them; keys are `step` apart. */
static void fill(struct cache_batch *batch, size_t n, size_t n_keys, size_t n_namespaces, uint64_t step) {
    for (size_t i = 0; i < n; i++) {
        requests[i].key = key_from(i % n_keys * step, (uint8_t)(i % n_keys));
        requests[i].generation_key = key_from(i % n_namespaces * step, (uint8_t)(i % n_namespaces));
        batch_add(batch, &requests[i]);
    }
}

static void test_each_key_once(void) {
    static const struct {
        size_t n, n_keys, n_namespaces;
    } ROWS[] = {
        {1, 1, 1},       {3, 3, 1},     {3, 1, 1},    {7, 7, 1},     {8, 8, 1},
        {9, 9, 1},       {9, 2, 2},     {20, 20, 20}, {64, 5, 3},    {128, 128, 1},
        {128, 128, 128}, {128, 1, 128}, {128, 3, 1},  {128, 127, 2}, {100, 50, 10},
    };
    /* Far apart; and all in one place of the table, for which its size is a divisor of the step. */
    static const uint64_t STEPS[] = {UINT64_C(0x9e3779b97f4a7c15), BATCH_TABLE, 1, 0};
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        for (size_t j = 0; j < sizeof(STEPS) / sizeof(STEPS[0]); j++) {
            struct cache_batch *batch = taken();
            fill(batch, ROWS[i].n, ROWS[i].n_keys, ROWS[i].n_namespaces, STEPS[j]);
            check(batch, ROWS[i].n, ROWS[i].n_keys + ROWS[i].n_namespaces);
            batch_release(&pool, batch);
        }
    }
    batch_pool_fini(&pool);
}

/* The keys are copies: a request may be gone before the store answers. */
static void test_keys_are_copies(void) {
    struct cache_batch *batch = taken();
    fill(batch, 2, 2, 1, 1);
    struct key second = requests[1].key;
    memset(requests, 0xff, sizeof(requests));
    check_get(batch, batch->entry_at[1], STORE_ENTRY, &second);
    batch_release(&pool, batch);
    batch_pool_fini(&pool);
}

static void test_forget(void) {
    struct cache_batch *batch = taken();
    fill(batch, 20, 20, 1, 1);
    batch_forget(&requests[5]);
    batch_forget(&requests[5]); /* it is out already */
    CU_ASSERT_PTR_NULL(requests[5].batch);
    for (size_t i = 0; i < 20; i++)
        CU_ASSERT_PTR_EQUAL(batch->requests[i], i == 5 ? NULL : &requests[i]);
    batch_release(&pool, batch);
    batch_pool_fini(&pool);
}

static void test_pool(void) {
    struct cache_batch *first = taken();
    struct cache_batch *second = taken();
    CU_ASSERT_PTR_NOT_EQUAL(first, second);
    batch_release(&pool, first);
    batch_release(&pool, second);
    unit_allocations_fail(1, false); /* what is there is used */
    struct cache_batch *third = batch_take(&pool), *fourth = batch_take(&pool);
    unit_allocations_heal();
    CU_ASSERT((third == first && fourth == second) || (third == second && fourth == first));
    batch_release(&pool, third);
    batch_release(&pool, fourth);
    batch_pool_fini(&pool);
    CU_ASSERT_PTR_NULL(pool.free);
}

/* A store that is closed does not answer: what it still has goes with the pool. A sanitizer sees whether. */
static void test_end_while_in_use(void) {
    taken();
    batch_release(&pool, taken());
    taken();
    batch_pool_fini(&pool);
    CU_ASSERT_PTR_NULL(pool.made);
}

static void test_no_memory(void) {
    unit_allocations_count_start();
    unit_allocations_fail(1, false);
    struct cache_batch *batch = batch_take(&pool);
    unit_allocations_heal();
    /* None is counted, and none fails, where a sanitizer has the allocator. */
    CU_ASSERT_EQUAL(batch == NULL, unit_allocations_count() > 0);
    if (batch)
        batch_release(&pool, batch);
    batch_pool_fini(&pool);
}

static const struct unit_case CASES[] = {
    {"each key once", test_each_key_once},
    {"keys are copies", test_keys_are_copies},
    {"a request leaves", test_forget},
    {"the pool", test_pool},
    {"the pool ends while it is in use", test_end_while_in_use},
    {"no memory", test_no_memory},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "batch", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
