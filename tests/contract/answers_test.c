/* Answers to batches, to nobody, and the figures. */
#include "contract_rig.h"

#define BATCH 100

struct batch {
    unsigned calls;
    struct store_get *gets;
};

/* For each n: an entry if n % 3 == 0, a lease if it is 1, nothing if it is 2. */
static void got_batch(void *user, struct store_get *gets, size_t n) {
    struct batch *batch = user;
    batch->calls++;
    CU_ASSERT_PTR_EQUAL(gets, batch->gets);
    CU_ASSERT_EQUAL(n, BATCH);
    for (size_t i = 0; i < n; i++) {
        char value[32];
        snprintf(value, sizeof(value), "value %zu", i);
        CU_ASSERT_EQUAL(gets[i].status, i % 3 == 2 ? STORE_MISSING : STORE_OK);
        CU_ASSERT_EQUAL(gets[i].epoch, i % 3 == 0 ? i : 0);
        CU_ASSERT_TRUE(bytes_equal(gets[i].value, i % 3 == 2 ? bytes_of(NULL) : bytes_of(value)));
    }
}

static void test_batch(void) {
    struct rig rig;
    rig_open(&rig);
    struct key keys[BATCH];
    struct store_get gets[BATCH];
    for (size_t i = 0; i < BATCH; i++) {
        char value[32];
        snprintf(value, sizeof(value), "value %zu", i);
        keys[i] = key_of(i);
        gets[i] = (struct store_get){.kind = i % 3 == 1 ? STORE_LEASE : STORE_ENTRY, .key = keys[i].bytes};
        if (i % 3 == 0)
            CU_ASSERT_EQUAL(put(&rig, i, value, i), STORE_OK);
        if (i % 3 == 1)
            CU_ASSERT_EQUAL(add(&rig, STORE_LEASE, i, bytes_of(value), MINUTE_MS), STORE_OK);
    }
    struct batch batch = {.gets = gets};
    store_get_many(rig.store[0], gets, BATCH, got_batch, &batch);
    await(&rig, &batch.calls);
    rig_close(&rig);
}

static void looked_at(void *user, struct store_get *gets, size_t n) {
    struct outcome *outcome = user;
    (void)gets;
    (void)n;
    outcome->calls++;
}

/* The figures of servers, once they report at least `least` items. */
static void await_figures(struct rig *rig, uint64_t least, struct store_figures *figures) {
    uint64_t deadline_ms = uv_now(&rig->loop) + DEADLINE_MS;
    store_figures(rig->store[0], figures);
    while (backend->remote && uv_now(&rig->loop) < deadline_ms &&
           (figures->size == UINT64_MAX || figures->size < least)) {
        struct key key = key_of(0);
        struct store_get get_ = {.kind = STORE_OUTCOME, .key = key.bytes};
        struct outcome looked = {0};
        store_get_many(rig->store[0], &get_, 1, looked_at, &looked);
        await(rig, &looked.calls);
        uv_run(&rig->loop, UV_RUN_NOWAIT);
        store_figures(rig->store[0], figures);
    }
}

static void test_figures(void) {
    struct rig rig;
    struct store_figures figures;
    rig_open(&rig);
    for (uint64_t n = 0; n < 10; n++)
        put(&rig, n, "value", 0);
    put(&rig, 9, "again", 0);
    add(&rig, STORE_LEASE, 20, bytes_of("lease"), MINUTE_MS);
    add(&rig, STORE_GENERATION, 21, number(1), 0);
    remove_by(&rig, 0, STORE_ENTRY, 0, 1, 10000);
    uint64_t size = backend->remote ? 11 + 2 * (uint64_t)rig.n_servers : 9;
    await_figures(&rig, size, &figures);
    /* Servers count their items, whatever they are: entries, tombstone, lease; on each a
     * generation and the time of the last purge. */
    CU_ASSERT_EQUAL(figures.size, size);
    CU_ASSERT_EQUAL(figures.n_servers, rig.n_servers);
    CU_ASSERT(figures.max_size == (UINT64_C(64) << 20) / 300 || figures.max_size == UINT64_MAX);
    CU_ASSERT(figures.memory_bytes >= 9 * strlen("value"));
    CU_ASSERT_FALSE(figures.degraded);
    CU_ASSERT_EQUAL(shared_stat(&rig.shared, STAT_store_errors), 0);
    rig_close(&rig);
}

static void test_nobody_asks(void) {
    struct rig rig;
    rig_open(&rig);
    struct key key = key_of(1);
    struct store_item item = {
        .kind = STORE_ENTRY, .key = key.bytes, .value = bytes_of("value"), .ttl_ms = MINUTE_MS};
    store_put(rig.store[0], &item, NULL, NULL);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_OK);
    item.kind = STORE_LEASE;
    store_add(rig.store[0], &item, NULL, NULL);
    CU_ASSERT_EQUAL(get(&rig, STORE_LEASE, 1), STORE_OK);
    store_remove(rig.store[0], STORE_ENTRY, key.bytes, 5, 1000, NULL, NULL);
    /* A removal that nobody waits for may take several trips to a server; a look may overtake it. */
    for (unsigned looks = 0; get(&rig, STORE_ENTRY, 1) != STORE_TOMBSTONE && looks < 100; looks++)
        CU_ASSERT_EQUAL(got.status, STORE_OK);
    CU_ASSERT_EQUAL(got.status, STORE_TOMBSTONE);
    rig_close(&rig);
}

static const struct unit_case CASES[] = {
    {"a batch is answered in its order, once", test_batch},
    {"figures count entries", test_figures},
    {"operations whose outcome nobody asks for", test_nobody_asks},
};

int main(int argc, char *argv[]) {
    return contract_main(argc, argv, "answers", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
