/* Two workers over one store: invalidation by one holds for both, and one inference serves both. */
#include "inferonce/cache/cache.h"

#include "cache_rig.h"

/* ---- invalidation ---- */

struct admin {
    unsigned calls;
    enum cache_admin_status status;
    uint64_t count;
    char body[64];
};

static void admin_done(void *user, enum cache_admin_status status, const struct entry *entry,
                       uint64_t count) {
    struct admin *admin = user;
    admin->calls++;
    admin->status = status;
    admin->count = count;
    if (entry)
        snprintf(admin->body, sizeof(admin->body), "%.*s", (int)entry->body.length, entry->body.data);
}

static struct admin purge_in(unsigned w, const char *cache_namespace) {
    struct admin admin = {0};
    cache_purge(world.workers[w].cache, bytes_of(cache_namespace), admin_done, &admin);
    for (unsigned i = 0; i < 200 && admin.calls == 0; i++)
        world_turn();
    CU_ASSERT_EQUAL(admin.calls, 1);
    CU_ASSERT_EQUAL(admin.status, CACHE_ADMIN_OK);
    return admin;
}

static struct admin remove_text(unsigned w, const char *cache_namespace, const struct asked *asked) {
    struct admin admin = {0};
    cache_remove(world.workers[w].cache, &asked->request.key, bytes_of(cache_namespace), admin_done, &admin);
    world_turn();
    CU_ASSERT_EQUAL(admin.calls, 1);
    return admin;
}

static void test_purge(void) {
    struct store_figures figures;
    world_setup(NULL);
    store_text(0, "a", "A");
    store_text(0, "b", "B");
    struct asked *other = world_ask_in(0, "other", "a", NULL);
    world_turn();
    world_model_answers(0, "O");
    CHECK_ANSWER(other, CACHE_MISS, "O");

    world_wait_ms(1);
    struct admin admin = purge_in(1, "default");
    CU_ASSERT_EQUAL(admin.count, 2);
    store_figures(world.workers[0].store, &figures);
    CU_ASSERT_EQUAL(figures.size, 1);
    CU_ASSERT_EQUAL(world_ask(0, "a", NULL)->answers, 0);
    world_model_answers(0, "A2");
    other = world_ask_in(1, "other", "a", NULL);
    world_turn();
    CHECK_ANSWER(other, CACHE_HIT, "O");
    world_teardown();
}

static void test_purge_with_an_inference_in_flight(void) {
    world_setup(NULL);
    struct asked *before = world_ask(0, "a", NULL);
    purge_in(1, "default");
    struct asked *after = world_ask(0, "a", NULL);
    CU_ASSERT_EQUAL(running(0), 2); /* it does not join the flight from before */
    world_model_answers(0, "old");
    CHECK_ANSWER(before, CACHE_MISS, "old");
    CU_ASSERT_EQUAL(after->answers, 0);
    struct asked *third = world_ask(1, "a", NULL);
    CU_ASSERT_EQUAL(third->answers, 0); /* nor is the old answer visible */
    world_model_answers(0, "new");
    CHECK_ANSWER(after, CACHE_MISS, "new");
    world_turn();
    CHECK_ANSWER(third, CACHE_MISS, "new");
    CHECK_ANSWER(world_ask(1, "a", NULL), CACHE_HIT, "new");
    world_teardown();
}

static void test_removal_with_an_inference_in_flight(void) {
    world_setup(NULL);
    struct asked *before = world_ask(0, "a", NULL);
    struct admin admin = remove_text(1, "default", before);
    CU_ASSERT_EQUAL(admin.status, CACHE_ADMIN_MISSING);
    world_model_answers(0, "old");
    CHECK_ANSWER(before, CACHE_MISS, "old");
    CU_ASSERT(!before->status.stored);
    struct asked *after = world_ask(0, "a", NULL);
    CU_ASSERT_EQUAL(after->answers, 0);
    world_model_answers(0, "new");
    CHECK_ANSWER(after, CACHE_MISS, "new");
    CU_ASSERT(after->status.stored);
    CHECK_ANSWER(world_ask(1, "a", NULL), CACHE_HIT, "new");
    world_teardown();
}

static void test_removal(void) {
    world_setup(NULL);
    store_text(0, "a", "A");
    struct asked *asked = &world.asked[0];
    CU_ASSERT_EQUAL(remove_text(0, "other", asked).status, CACHE_ADMIN_MISSING); /* not its to remove */
    CHECK_ANSWER(world_ask(0, "a", NULL), CACHE_HIT, "A");
    CU_ASSERT_EQUAL(remove_text(1, "default", asked).status, CACHE_ADMIN_OK);
    CU_ASSERT_EQUAL(remove_text(1, "default", asked).status, CACHE_ADMIN_MISSING);
    CU_ASSERT_EQUAL(world_ask(0, "a", NULL)->answers, 0);
    world_model_answers(0, "B");
    world_teardown();
}

static void test_inspect(void) {
    struct admin admin = {0};
    world_setup(NULL);
    store_text(0, "a", "A");
    cache_inspect(world.workers[1].cache, &world.asked[0].request.key, bytes_of("default"), admin_done,
                  &admin);
    world_turn();
    CU_ASSERT_EQUAL(admin.status, CACHE_ADMIN_OK);
    CU_ASSERT_STRING_EQUAL(admin.body, "A");
    cache_inspect(world.workers[1].cache, &world.asked[0].request.key, bytes_of("other"), admin_done, &admin);
    world_turn();
    CU_ASSERT_EQUAL(admin.status, CACHE_ADMIN_MISSING);
    CU_ASSERT_EQUAL(world_counted(STAT_hits), 0);
    world_teardown();
}

/* ---- several workers ---- */

static void test_one_inference_across_workers(void) {
    world_setup(NULL);
    struct asked *leads = world_ask(0, "a", NULL);
    struct asked *follows = world_ask(1, "a", NULL);
    world_wait_ms(20);
    CU_ASSERT_EQUAL(running(0) + running(1), 1);
    world_model_answers(0, "A");
    CHECK_ANSWER(leads, CACHE_MISS, "A");
    world_turn(); /* the wake alone brings it: no clock has moved */
    CHECK_ANSWER(follows, CACHE_MISS, "A");
    CU_ASSERT(follows->status.collapsed && follows->status.stored && follows->inferred);
    CU_ASSERT_EQUAL(world_counted(STAT_inferences), 1);
    CU_ASSERT_EQUAL(world_counted(STAT_coalesced), 1);
    CU_ASSERT_EQUAL(world_counted(STAT_shared_answers), 1);
    CU_ASSERT_EQUAL(world_counted(STAT_inference_us_saved), follows->inference_us);
    CU_ASSERT(follows->inference_us > 0);
    world_teardown();
}

static void test_failure_across_workers(void) {
    world_setup(NULL);
    struct asked *leads = world_ask(0, "a", NULL);
    struct asked *follows = world_ask(1, "a", NULL);
    world_wait_ms(20);
    world_model_fails(0, ENGINE_REJECTED);
    CHECK_ANSWER(leads, CACHE_FAILED, "");
    world_turn();
    CHECK_ANSWER(follows, CACHE_FAILED, "");
    CU_ASSERT_EQUAL(follows->failure, ENGINE_REJECTED);
    CU_ASSERT_EQUAL(running(1), 0);
    CU_ASSERT_EQUAL(world_counted(STAT_coalesced), 1);
    CU_ASSERT_EQUAL(world_counted(STAT_shared_answers), 0);
    struct asked *next = world_ask(1, "a", NULL); /* the failure was passed on, not kept */
    CU_ASSERT_EQUAL(next->answers, 0);
    CU_ASSERT_EQUAL(running(1), 1);
    world_model_answers(1, "A");
    CHECK_ANSWER(next, CACHE_MISS, "A");
    world_teardown();
}

static void test_unshared_answer_across_workers(void) {
    world_setup(NULL);
    struct asked *leads = world_ask(0, "a", NULL);
    struct asked *follows = world_ask(1, "a", NULL);
    world_wait_ms(20);
    world_model_answer(
        0, &(struct engine_answer){
               .status = ENGINE_OK, .body = bytes_of("mine"), .storable = false, .lifetime_ms = UINT64_MAX});
    CHECK_ANSWER(leads, CACHE_MISS, "mine");
    world_turn();
    CU_ASSERT_EQUAL(running(1), 1);
    world_model_answers(1, "yours");
    CHECK_ANSWER(follows, CACHE_MISS, "yours");
    world_teardown();
}

static void test_leader_dies(void) {
    world_setup(NULL);
    struct asked *follows = NULL;
    world_ask(0, "a", NULL);
    follows = world_ask(1, "a", NULL);
    world_wait_ms(20);
    CU_ASSERT_EQUAL(running(1), 0);
    world_kill(0);
    world_turn();
    CU_ASSERT_EQUAL(running(1), 1);
    world_model_answers(1, "A");
    CHECK_ANSWER(follows, CACHE_MISS, "A");
    /* The dead one's lease is still there: a later request passes it over as well. */
    purge_in(1, "default");
    struct asked *later = world_ask(1, "a", NULL);
    world_wait_ms(20);
    CU_ASSERT_EQUAL(running(1), 1);
    world_model_answers(1, "B");
    CHECK_ANSWER(later, CACHE_MISS, "B");
    world_teardown();
}

static void test_follower_gives_up(void) {
    world_setup(NULL);
    struct asked *leads = world_ask(0, "a", NULL);
    struct asked *follows = world_ask(1, "a", NULL);
    world_wait_ms(engine_longest_us(&world.settings) / 1000 + 9000);
    /* The timer that looks at deadlines runs by the loop's own clock. */
    for (unsigned i = 0; i < 200 && follows->answers == 0; i++) {
        uv_run(&world.loop, UV_RUN_ONCE);
        world_turn();
    }
    CHECK_ANSWER(follows, CACHE_FAILED, "");
    CU_ASSERT_EQUAL(follows->failure, ENGINE_TIMEOUT);
    CU_ASSERT_EQUAL(leads->answers, 0);
    world_model_answers(0, "A");
    world_teardown();
}

static void test_follower_leaves(void) {
    world_setup(NULL);
    struct asked *leads = world_ask(0, "a", NULL);
    struct asked *follows = world_ask(1, "a", NULL);
    world_wait_ms(20);
    cache_forget(world.workers[1].cache, &follows->request);
    CU_ASSERT_EQUAL(cache_busy(world.workers[1].cache), 0);
    world_model_answers(0, "A");
    world_turn();
    CHECK_ANSWER(leads, CACHE_MISS, "A");
    CU_ASSERT_EQUAL(follows->answers, 0);
    world_teardown();
}

static void test_no_cache_across_workers(void) {
    world_setup(NULL);
    store_text(0, "a", "old");
    world_wait_ms(10);
    struct asked *leads = world_ask(0, "a", "no-cache");
    struct asked *follows = world_ask(1, "a", "no-cache");
    world_wait_ms(20);
    CU_ASSERT_EQUAL(follows->answers, 0); /* the stored one is what it refused */
    CU_ASSERT_EQUAL(running(0) + running(1), 1);
    world_model_answers(0, "new");
    world_turn();
    CHECK_ANSWER(leads, CACHE_BYPASS, "new");
    CHECK_ANSWER(follows, CACHE_BYPASS, "new");
    world_teardown();
}

static const struct unit_case CASES[] = {
    {"a purge ends all of its namespace and nothing else", test_purge},
    {"a purge while an inference is in flight", test_purge_with_an_inference_in_flight},
    {"a removal while an inference is in flight", test_removal_with_an_inference_in_flight},
    {"a removal", test_removal},
    {"looking at an entry", test_inspect},
    {"one inference across workers", test_one_inference_across_workers},
    {"a failure is passed across workers", test_failure_across_workers},
    {"an answer that may not be shared", test_unshared_answer_across_workers},
    {"the leader dies", test_leader_dies},
    {"a follower gives up at its deadline", test_follower_gives_up},
    {"a follower leaves", test_follower_leaves},
    {"no-cache across workers", test_no_cache_across_workers},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "cache_workers", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
