/* One worker's answers: hits, misses, stale entries, admission, trouble with the store. */
#include "inferonce/cache/cache.h"

#include "cache/flights.h"
#include "cache_rig.h"
#include "store/backend.h"

static void test_miss_then_hit(void) {
    world_setup(NULL);
    struct asked *first = world_ask(0, "a", NULL);
    CU_ASSERT_EQUAL(first->answers, 0);
    CU_ASSERT_EQUAL(running(0), 1);
    CU_ASSERT_EQUAL(world_counted(STAT_parked), 1);
    world_wait_ms(500);
    world_model_answers(0, "A");
    CHECK_ANSWER(first, CACHE_MISS, "A");
    CU_ASSERT_EQUAL(first->status.forward, FORWARD_MISS);
    CU_ASSERT(first->status.stored && first->inferred && !first->status.collapsed);

    world_wait_ms(7300);
    struct asked *second = world_ask(0, "a", NULL);
    CHECK_ANSWER(second, CACHE_HIT, "A");
    CU_ASSERT_EQUAL(second->age_s, 7);
    CU_ASSERT_EQUAL(second->status.ttl_s, 3593);
    CU_ASSERT(!second->inferred);
    CU_ASSERT_EQUAL(world_counted(STAT_hits), 1);
    CU_ASSERT_EQUAL(world_counted(STAT_misses), 1);
    CU_ASSERT_EQUAL(world_counted(STAT_stores), 1);
    CU_ASSERT_EQUAL(world_counted(STAT_inferences), 1);
    CU_ASSERT_EQUAL(world_counted(STAT_inference_us_saved), 500000);
    world_teardown();
}

/* The time of a call for several texts is saved once, not by each of them. */
static void test_a_call_for_several_texts_is_shared(void) {
    world_setup(NULL);
    struct asked *asked[4];
    for (size_t i = 0; i < 4; i++)
        asked[i] = world_ask(0, (const char *[]){"a", "b", "c", "d"}[i], NULL);
    world_wait_ms(500);
    for (size_t i = 0; i < 4; i++) {
        const struct engine_answer answer = {.status = ENGINE_OK,
                                             .body = bytes_of("1"),
                                             .storable = true,
                                             .lifetime_ms = UINT64_MAX,
                                             .texts = 4};
        world_model_answer(0, &answer);
        CU_ASSERT_EQUAL(asked[i]->inference_us, 500000);
    }
    for (size_t i = 0; i < 4; i++)
        CHECK_ANSWER(world_ask(0, (const char *[]){"a", "b", "c", "d"}[i], NULL), CACHE_HIT, "1");
    CU_ASSERT_EQUAL(world_counted(STAT_inference_us_saved), 500000);
    world_teardown();
}

static void test_many_identical(void) {
    struct asked *asked[1000];
    world_setup(NULL);
    for (size_t i = 0; i < 1000; i++) {
        asked[i] = world_ask_in(0, NULL, "same", NULL);
        if (i % 100 == 0)
            world_turn();
    }
    world_turn();
    CU_ASSERT_EQUAL(running(0), 1);
    CU_ASSERT_EQUAL(world_counted(STAT_parked), 1000);
    world_model_answers(0, "A");
    for (size_t i = 0; i < 1000; i++) {
        CHECK_ANSWER(asked[i], CACHE_MISS, "A");
        CU_ASSERT_EQUAL(asked[i]->status.collapsed, i > 0);
    }
    CU_ASSERT_EQUAL(world_counted(STAT_coalesced), 999);
    CU_ASSERT_EQUAL(world_counted(STAT_misses), 1000);
    CU_ASSERT_EQUAL(world_counted(STAT_inferences), 1);
    world_teardown();
}

static void test_different_texts_in_one_turn(void) {
    char texts[300][8];
    struct asked *asked[300];
    world_setup(NULL);
    world.settings.inference_concurrency = 300;
    for (size_t i = 0; i < 300; i++) {
        snprintf(texts[i], sizeof(texts[i]), "t%zu", i % 150);
        asked[i] = world_ask_in(0, NULL, texts[i], NULL);
    }
    world_turn();
    CU_ASSERT_EQUAL(running(0), 150);
    while (running(0) > 0) {
        char body[8];
        struct bytes text = world.workers[0].running[0]->text;
        snprintf(body, sizeof(body), "%.*s", (int)text.length, text.data);
        world_model_answers(0, body);
    }
    for (size_t i = 0; i < 300; i++)
        CHECK_ANSWER(asked[i], CACHE_MISS, texts[i]);
    world_teardown();
}

static void test_failure_is_told_and_not_stored(void) {
    world_setup(NULL);
    struct asked *first = world_ask(0, "a", NULL);
    struct asked *second = world_ask(0, "a", NULL);
    world_model_fails(0, ENGINE_REFUSED);
    CHECK_ANSWER(first, CACHE_FAILED, "");
    CHECK_ANSWER(second, CACHE_FAILED, "");
    CU_ASSERT_EQUAL(second->failure, ENGINE_REFUSED);
    CU_ASSERT_EQUAL(world_counted(STAT_stores), 0);
    struct asked *third = world_ask(0, "a", NULL);
    CU_ASSERT_EQUAL(third->answers, 0);
    CU_ASSERT_EQUAL(running(0), 1);
    world_model_answers(0, "A");
    CHECK_ANSWER(third, CACHE_MISS, "A");
    world_teardown();
}

static void test_no_cache_replaces(void) {
    world_setup(NULL);
    store_text(0, "a", "old");
    struct asked *bypass = world_ask(0, "a", "no-cache");
    CU_ASSERT_EQUAL(bypass->answers, 0);
    struct asked *meanwhile = world_ask(0, "a", NULL);
    CHECK_ANSWER(meanwhile, CACHE_HIT, "old");
    world_model_answers(0, "new");
    CHECK_ANSWER(bypass, CACHE_BYPASS, "new");
    CU_ASSERT_EQUAL(bypass->status.forward, FORWARD_REQUEST);
    CU_ASSERT(bypass->status.stored);
    CHECK_ANSWER(world_ask(0, "a", NULL), CACHE_HIT, "new");
    CU_ASSERT_EQUAL(world_counted(STAT_bypasses), 1);
    CU_ASSERT_EQUAL(world_counted(STAT_misses), 1);
    world_teardown();
}

static void test_no_store_stands_alone(void) {
    world_setup(NULL);
    struct asked *leader = world_ask(0, "a", NULL);
    struct asked *alone = world_ask(0, "a", "no-store");
    CU_ASSERT_EQUAL(running(0), 2);
    struct engine_job *first = world.workers[0].running[0];
    CU_ASSERT(bytes_equal(first->text, bytes_of("a")));
    world_model_answers(0, "shared");
    CHECK_ANSWER(leader, CACHE_MISS, "shared");
    CU_ASSERT_EQUAL(alone->answers, 0);
    world_model_answers(0, "alone");
    CHECK_ANSWER(alone, CACHE_BYPASS, "alone");
    CU_ASSERT(!alone->status.stored && !alone->status.collapsed);
    CHECK_ANSWER(world_ask(0, "a", NULL), CACHE_HIT, "shared");
    CHECK_ANSWER(world_ask(0, "a", "no-store, only-if-cached"), CACHE_HIT, "shared");
    world_teardown();
}

static void test_only_if_cached(void) {
    world_setup(NULL);
    struct asked *asked = world_ask(0, "a", "only-if-cached");
    CHECK_ANSWER(asked, CACHE_UNSATISFIABLE, "");
    CU_ASSERT_EQUAL(running(0), 0);
    CU_ASSERT_EQUAL(world_counted(STAT_misses), 1);
    world_teardown();
}

static void short_lived(struct settings *settings) {
    settings->cache_ttl_ms = 2000;
}

static void test_expiry(void) {
    world_setup(short_lived);
    store_text(0, "a", "A");
    world_wait_ms(1999);
    CHECK_ANSWER(world_ask(0, "a", NULL), CACHE_HIT, "A");
    world_wait_ms(1);
    struct asked *late = world_ask(0, "a", NULL);
    CU_ASSERT_EQUAL(late->answers, 0);
    world_model_answers(0, "B");
    CHECK_ANSWER(late, CACHE_MISS, "B");
    CU_ASSERT_EQUAL(late->status.forward, FORWARD_STALE);
    CU_ASSERT_EQUAL(world_counted(STAT_expired), 1);
    world_teardown();
}

static void test_model_shortens_the_lifetime(void) {
    world_setup(NULL);
    struct asked *asked = world_ask(0, "a", NULL);
    world_model_answer(
        0, &(struct engine_answer){
               .status = ENGINE_OK, .body = bytes_of("A"), .storable = true, .lifetime_ms = 1000});
    CHECK_ANSWER(asked, CACHE_MISS, "A");
    world_wait_ms(999);
    CHECK_ANSWER(world_ask(0, "a", NULL), CACHE_HIT, "A");
    world_wait_ms(1);
    CU_ASSERT_EQUAL(world_ask(0, "a", NULL)->answers, 0);
    world_model_answers(0, "B");
    world_teardown();
}

/* The older answer is not served again when the newer one cannot take its place; one that nobody refused
 * stays. */
static void test_what_cannot_be_replaced_goes(void) {
    const struct engine_answer private_answer = {
        .status = ENGINE_OK, .body = bytes_of("B"), .storable = false, .lifetime_ms = UINT64_MAX};
    world_setup(NULL);
    world_ask(0, "a", NULL);
    world_model_answers(0, "A");
    struct asked *bypass = world_ask(0, "a", "no-cache");
    world_model_answer(0, &private_answer);
    CHECK_ANSWER(bypass, CACHE_BYPASS, "B");
    struct asked *after = world_ask(0, "a", NULL);
    CU_ASSERT_EQUAL(after->answers, 0); /* A is gone */
    world_model_answers(0, "C");
    CHECK_ANSWER(after, CACHE_MISS, "C");
    struct asked *unstored = world_ask(0, "a", "no-store"); /* keeps what is there */
    world_model_answer(0, &private_answer);
    CHECK_ANSWER(unstored, CACHE_BYPASS, "B");
    CHECK_ANSWER(world_ask(0, "a", NULL), CACHE_HIT, "C");
    struct asked *failed = world_ask(0, "a", "no-cache"); /* a failure is no newer answer */
    world_model_fails(0, ENGINE_REFUSED);
    CHECK_ANSWER(failed, CACHE_FAILED, "");
    CHECK_ANSWER(world_ask(0, "a", NULL), CACHE_HIT, "C");
    world_teardown();
}

static void tiny_entries(struct settings *settings) {
    settings->cache_max_entry_kb = 1;
}

static void test_what_may_not_be_stored(void) {
    static char large[2000];
    world_setup(tiny_entries);
    struct asked *asked = world_ask(0, "a", NULL);
    world_model_answer(
        0, &(struct engine_answer){
               .status = ENGINE_OK, .body = bytes_of("A"), .storable = false, .lifetime_ms = UINT64_MAX});
    CHECK_ANSWER(asked, CACHE_MISS, "A");
    CU_ASSERT(!asked->status.stored);
    world_teardown();

    world_setup(tiny_entries);
    memset(large, 'x', sizeof(large) - 1);
    struct asked *big = world_ask(0, "a", NULL);
    cache_forget(world.workers[0].cache,
                 &big->request); /* its answer would not fit into this test's buffer */
    world_model_answers(0, large);
    CU_ASSERT_EQUAL(world_counted(STAT_rejected_entries), 1);
    CU_ASSERT_EQUAL(world_counted(STAT_stores), 0);
    world_teardown();
}

static void revalidating(struct settings *settings) {
    settings->cache_ttl_ms = 2000;
    settings->cache_stale_while_revalidate_ms = 10000;
}

static void test_stale_while_revalidate(void) {
    world_setup(revalidating);
    store_text(0, "a", "old");
    world_wait_ms(2500);
    for (unsigned i = 0; i < 3; i++) {
        struct asked *stale = world_ask(i % 2, "a", NULL);
        CHECK_ANSWER(stale, CACHE_STALE, "old");
        CU_ASSERT_EQUAL(stale->status.ttl_s, -1);
        CU_ASSERT(stale->status.hit);
    }
    CU_ASSERT_EQUAL(running(0), 1); /* one refresh for all workers */
    CU_ASSERT_EQUAL(running(1), 0);
    world_model_answers(0, "new");
    CHECK_ANSWER(world_ask(1, "a", NULL), CACHE_HIT, "new");
    CU_ASSERT_EQUAL(world_counted(STAT_hits), 4);
    CU_ASSERT_EQUAL(world_counted(STAT_stale_hits), 3);
    CU_ASSERT_EQUAL(world_counted(STAT_misses), 1);
    CU_ASSERT_EQUAL(world_counted(STAT_inferences), 2);
    world_teardown();
}

static void tolerating(struct settings *settings) {
    settings->cache_ttl_ms = 2000;
    settings->cache_stale_if_error_ms = 10000;
}

static void test_stale_if_error(void) {
    world_setup(tolerating);
    store_text(0, "a", "old");
    world_wait_ms(3000);
    struct asked *tolerant = world_ask(0, "a", NULL);
    struct asked *strict = world_ask(0, "a", "max-age=1");
    CU_ASSERT_EQUAL(tolerant->answers, 0);
    world_model_fails(0, ENGINE_TIMEOUT);
    CHECK_ANSWER(tolerant, CACHE_STALE, "old");
    CHECK_ANSWER(strict, CACHE_FAILED, "");
    CU_ASSERT_EQUAL(strict->failure, ENGINE_TIMEOUT);
    CU_ASSERT_EQUAL(world_counted(STAT_stale_hits), 1);

    world_wait_ms(9000); /* 12 s old: past both windows */
    struct asked *late = world_ask(0, "a", NULL);
    world_model_fails(0, ENGINE_TIMEOUT);
    CHECK_ANSWER(late, CACHE_FAILED, "");
    world_teardown();
}

static void test_client_leaves(void) {
    world_setup(NULL);
    struct asked *gone = world_ask(0, "a", NULL);
    cache_forget(world.workers[0].cache, &gone->request);
    CU_ASSERT_EQUAL(world_counted(STAT_parked), 0);
    CU_ASSERT_EQUAL(running(0), 1);
    world_model_answers(0, "A");
    CU_ASSERT_EQUAL(gone->answers, 0);
    CHECK_ANSWER(world_ask(0, "a", NULL), CACHE_HIT, "A");

    struct asked *alone = world_ask(0, "b", "no-store");
    cache_forget(world.workers[0].cache, &alone->request);
    CU_ASSERT_EQUAL(running(0), 0); /* nobody else could use it */

    struct asked *collected = world_ask_in(0, NULL, "c", NULL);
    cache_forget(world.workers[0].cache, &collected->request);
    world_turn();
    CU_ASSERT_EQUAL(running(0), 0);
    world_teardown();
}

static void one_at_a_time(struct settings *settings) {
    settings->inference_concurrency = 1;
    settings->inference_queue = 1;
}

static void test_admission(void) {
    world_setup(one_at_a_time);
    struct asked *first = world_ask(0, "a", NULL);
    struct asked *queued = world_ask(0, "b", NULL);
    struct asked *refused = world_ask(0, "c", NULL);
    CHECK_ANSWER(refused, CACHE_FAILED, "");
    CU_ASSERT_EQUAL(refused->failure, ENGINE_OVERLOAD);
    CU_ASSERT_EQUAL(world_counted(STAT_queue), 1);
    cache_forget(world.workers[0].cache, &queued->request); /* nobody waits for it: it leaves the queue */
    CU_ASSERT_EQUAL(world_counted(STAT_queue), 0);
    struct asked *next = world_ask(0, "d", NULL);
    world_model_answers(0, "A");
    world_turn();
    CHECK_ANSWER(first, CACHE_MISS, "A");
    world_model_answers(0, "D");
    CHECK_ANSWER(next, CACHE_MISS, "D");
    /* The request that left the queue gave its lease back: another worker leads. */
    struct asked *again = world_ask(1, "b", NULL);
    CU_ASSERT_EQUAL(running(1), 1);
    world_model_answers(1, "B");
    CHECK_ANSWER(again, CACHE_MISS, "B");
    world_teardown();
}

/* ---- trouble ---- */

static void failing_get_many(struct store *store, struct store_get *gets, size_t n, store_got got,
                             void *user) {
    (void)store;
    for (size_t i = 0; i < n; i++)
        gets[i].status = STORE_ERROR;
    got(user, gets, n);
}

static void failing_write(struct store *store, const struct store_item *item, store_done done, void *user) {
    (void)store;
    (void)item;
    done(user, STORE_ERROR);
}

static void test_store_fails(void) {
    world_setup(NULL);
    static const struct store_operations FAILING = {
        .name = "failing", .get_many = failing_get_many, .put = failing_write, .add = failing_write};
    struct store *store = world.workers[0].store;
    const struct store_operations *operations = store->operations;
    store->operations = &FAILING;
    struct asked *first = world_ask(0, "a", NULL);
    struct asked *second = world_ask(0, "a", NULL);
    CU_ASSERT_EQUAL(running(0), 1); /* still one inference within the worker */
    world_model_answers(0, "A");
    CHECK_ANSWER(first, CACHE_MISS, "A");
    CHECK_ANSWER(second, CACHE_MISS, "A");
    CU_ASSERT(!first->status.stored);
    store->operations = operations;
    world_teardown();
}

/* Everything but look-ups goes on to the real store, which looks at its own table of operations. */
static const struct store_operations *real_operations;

static void honest_put(struct store *store, const struct store_item *item, store_done done, void *user) {
    const struct store_operations *lying = store->operations;
    store->operations = real_operations;
    store_put(store, item, done, user);
    store->operations = lying;
}

static void honest_add(struct store *store, const struct store_item *item, store_done done, void *user) {
    const struct store_operations *lying = store->operations;
    store->operations = real_operations;
    store_add(store, item, done, user);
    store->operations = lying;
}

static void honest_remove(struct store *store, enum store_kind kind, const uint8_t *key, uint64_t epoch,
                          uint64_t tombstone_ms, store_done done, void *user) {
    const struct store_operations *lying = store->operations;
    store->operations = real_operations;
    store_remove(store, kind, key, epoch, tombstone_ms, done, user);
    store->operations = lying;
}

static void lying_get_many(struct store *store, struct store_get *gets, size_t n, store_got got, void *user) {
    static const char garbage[200];
    static const char generation[8] = {1};
    (void)store;
    for (size_t i = 0; i < n; i++) {
        gets[i].status = STORE_OK;
        gets[i].epoch = 1;
        gets[i].value = gets[i].kind == STORE_GENERATION ? (struct bytes){generation, sizeof(generation)}
                                                         : (struct bytes){garbage, sizeof(garbage)};
    }
    got(user, gets, n);
}

static void test_store_lies(void) {
    static const struct store_operations LYING = {.name = "lying",
                                                  .get_many = lying_get_many,
                                                  .put = honest_put,
                                                  .add = honest_add,
                                                  .remove = honest_remove};
    world_setup(NULL);
    struct store *store = world.workers[0].store;
    real_operations = store->operations;
    store->operations = &LYING;
    struct asked *asked = world_ask(0, "a", NULL);
    CU_ASSERT_EQUAL(asked->answers, 0);
    CU_ASSERT(world_counted(STAT_rejected_entries) >= 1);
    world_model_answers(0, "A");
    CHECK_ANSWER(asked, CACHE_MISS, "A");
    store->operations = real_operations;
    world_teardown();
}

static void test_no_memory(void) {
    for (unsigned n = 1; n < 12; n++) {
        world_setup(NULL);
        unit_allocations_fail(n, false);
        struct asked *asked = world_ask(0, "a", NULL);
        unit_allocations_heal();
        world_turn();
        if (asked->answers == 0) {
            world_model_answers(0, "A");
            CHECK_ANSWER(asked, CACHE_MISS, "A");
        } else {
            CHECK_ANSWER(asked, CACHE_FAILED, "");
            CU_ASSERT_EQUAL(asked->failure, ENGINE_OVERLOAD);
        }
        struct asked *next = world_ask(0, "b", NULL);
        world_model_answers(0, "B");
        CHECK_ANSWER(next, CACHE_MISS, "B");
        world_teardown();
    }
}

static void test_hit_allocates_nothing(void) {
    world_setup(NULL);
    store_text(0, "a", "A");
    world_ask(0, "a", NULL); /* buffers have grown to their sizes */
    unit_allocations_count_start();
    for (unsigned i = 0; i < 100; i++)
        world_ask(0, "a", NULL);
    CU_ASSERT_EQUAL(unit_allocations_count(), 0);
    CU_ASSERT_EQUAL(world_counted(STAT_hits), 101);
    world_teardown();
}

static const struct unit_case CASES[] = {
    {"a miss, then hits", test_miss_then_hit},
    {"a call for several texts", test_a_call_for_several_texts_is_shared},
    {"1,000 identical: one inference", test_many_identical},
    {"different texts in one turn, each looked up once", test_different_texts_in_one_turn},
    {"a failure is told to all and stored by none", test_failure_is_told_and_not_stored},
    {"no-cache replaces", test_no_cache_replaces},
    {"what cannot be replaced goes", test_what_cannot_be_replaced_goes},
    {"no-store stands alone", test_no_store_stands_alone},
    {"only-if-cached infers nothing", test_only_if_cached},
    {"an entry ends with its lifetime", test_expiry},
    {"the model shortens the lifetime", test_model_shortens_the_lifetime},
    {"what may not be stored is not", test_what_may_not_be_stored},
    {"stale-while-revalidate: one refresh for all", test_stale_while_revalidate},
    {"stale-if-error", test_stale_if_error},
    {"a client leaves", test_client_leaves},
    {"the queue is full; who left is out of it", test_admission},
    {"the store fails", test_store_fails},
    {"the store lies", test_store_lies},
    {"no memory", test_no_memory},
    {"a hit allocates nothing", test_hit_allocates_nothing},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "cache", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
