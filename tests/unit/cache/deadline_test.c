#include "cache/deadlines.h"

#include "late.h"
#include "world.h"

/* Requests with a time of their own that wait for one inference, and what the end of the one that leads means
 * to the others. A request has 1,000 ms, and the cache gives it up 100 ms later. */

#define MARGIN_MS (DEADLINE_MARGIN_US / 1000)

static void one_second(struct settings *settings) {
    settings->engine = SETTINGS_ENGINE_HTTP;
    settings->upstream_timeout_ms = 1000;
    settings->inference_concurrency = 1;
    settings->inference_queue = 2;
}

static void one_second_and_stale(struct settings *settings) {
    one_second(settings);
    settings->cache_ttl_ms = 2000;
    settings->cache_stale_if_error_ms = 100000;
}

static size_t running(unsigned w) {
    return world.workers[w].n_running;
}

/* Moves the clocks, and lets the timer see it. */
static void pass_ms(uint64_t ms) {
    world_wait_ms(ms);
    for (unsigned looks = 0; looks < 2 && uv_loop_alive(&world.loop); looks++) {
        (void)uv_run(&world.loop, UV_RUN_ONCE);
        world_turn();
    }
}

static void check_times_out(const struct asked *asked) {
    CU_ASSERT_EQUAL(asked->answers, 1);
    CU_ASSERT_EQUAL(asked->result, CACHE_FAILED);
    CU_ASSERT_EQUAL(asked->failure, ENGINE_TIMEOUT);
}

static void check_answer(const struct asked *asked, enum cache_result result, const char *body) {
    CU_ASSERT_EQUAL(asked->answers, 1);
    CU_ASSERT_EQUAL(asked->result, result);
    CU_ASSERT_STRING_EQUAL(asked->body, body);
}

/* As the backend says it when the time of the request that leads is over. */
static void leader_is_late(unsigned w) {
    const struct engine_answer answer = {
        .status = ENGINE_TIMEOUT, .detail = "too late", .asker_only = true, .duration_us = 1000000};
    world_model_answer(w, &answer);
    world_turn();
}

/* ---- each has its own time ---- */

static void test_own_time(void) {
    world_setup(one_second);
    struct asked *first = world_ask_from(0, 1, "a", NULL);
    pass_ms(600);
    struct asked *second = world_ask_from(0, 2, "a", NULL);
    struct asked *elsewhere = world_ask_from(1, 3, "a", NULL);
    pass_ms(400 + MARGIN_MS - 1);
    CU_ASSERT_EQUAL(first->answers, 0);
    pass_ms(1);
    check_times_out(first);
    CU_ASSERT_EQUAL(second->answers + elsewhere->answers, 0);
    CU_ASSERT_EQUAL(running(0), 1); /* the inference goes on */
    pass_ms(598);
    CU_ASSERT_EQUAL(second->answers + elsewhere->answers, 0);
    pass_ms(2);
    check_times_out(second);
    check_times_out(elsewhere);
    CU_ASSERT(second->status.collapsed);
    CU_ASSERT_EQUAL(world_counted(STAT_parked), 0);
    CU_ASSERT_EQUAL(world_counted(STAT_misses), 3);
    /* Nobody waits for it any more. It is kept. */
    world_model_answers(0, "A");
    check_answer(world_ask_from(0, 1, "a", NULL), CACHE_HIT, "A");
    CU_ASSERT_EQUAL(world_counted(STAT_inferences), 1);
    CU_ASSERT_EQUAL(cache_busy(world.workers[0].cache), 0);
    world_teardown();
}

/* One that came later but was asked of the cache first, as a large batch feeds its texts in. */
static void test_order_of_arrival(void) {
    world_setup(one_second);
    struct asked *earlier = world_ask_from(0, 1, "a", NULL);
    pass_ms(100);
    struct asked *later = world_ask_from(0, 1, "b", NULL);
    pass_ms(100);
    struct asked *old = world_ask_from(0, 1, "c", NULL);
    cache_forget(world.workers[0].cache, &old->request);
    old->request.arrived_us -= 150000;
    cache_ask(world.workers[0].cache, &old->request);
    pass_ms(800 + MARGIN_MS);
    check_times_out(earlier);
    CU_ASSERT_EQUAL(old->answers + later->answers, 0);
    pass_ms(50);
    check_times_out(old);
    CU_ASSERT_EQUAL(later->answers, 0);
    pass_ms(50);
    check_times_out(later);
    world_teardown();
}

/* An inference that has not begun has nobody to wait for it. */
static void test_late_in_the_queue(void) {
    world_setup(one_second);
    world_ask_from(0, 1, "busy", NULL);
    struct asked *asked = world_ask_from(0, 2, "a", NULL);
    CU_ASSERT_EQUAL(world_counted(STAT_queue), 1);
    pass_ms(1000 + MARGIN_MS);
    check_times_out(asked);
    CU_ASSERT_EQUAL(world_counted(STAT_queue), 0);
    world_teardown();
}

static void test_solo(void) {
    world_setup(one_second);
    struct asked *asked = world_ask_from(0, 1, "a", "no-store");
    struct asked *answered = world_ask_from(0, 1, "b", "no-store");
    cache_forget(world.workers[0].cache, &answered->request);
    pass_ms(1000 + MARGIN_MS - 1);
    CU_ASSERT_EQUAL(asked->answers, 0);
    pass_ms(1);
    check_times_out(asked);
    CU_ASSERT_EQUAL(running(0), 0);
    CU_ASSERT_EQUAL(world_counted(STAT_parked), 0);
    world_teardown();
}

static void test_stale_instead(void) {
    world_setup(one_second_and_stale);
    world_ask_from(0, 1, "a", NULL);
    world_model_answers(0, "old");
    pass_ms(3000);
    struct asked *asked = world_ask_from(0, 1, "a", NULL);
    struct asked *strict = world_ask_from(0, 1, "a", "stale-if-error=0");
    pass_ms(1000 + MARGIN_MS);
    check_answer(asked, CACHE_STALE, "old");
    check_times_out(strict);
    world_teardown();
}

/* The result is there, and the store is about to have it: it is not thrown away. */
static void test_result_on_its_way(void) {
    world_setup(one_second);
    late_begin(&world.workers[0]);
    struct asked *asked = world_ask_from(0, 1, "a", NULL);
    while (running(0) == 0) {
        late_answer();
        world_turn();
    }
    world_model_answers(0, "A");
    CU_ASSERT_EQUAL(late_verb(), LATE_PUT);
    pass_ms(1000 + MARGIN_MS);
    CU_ASSERT_EQUAL(asked->answers, 0);
    late_answer_all();
    check_answer(asked, CACHE_MISS, "A");
    late_end();
    world_teardown();
}

/* ---- the end of the one that leads ---- */

static void test_leader_is_late(void) {
    world_setup(one_second);
    struct asked *first = world_ask_from(0, 1, "a", NULL);
    pass_ms(600);
    struct asked *second = world_ask_from(0, 2, "a", NULL);
    struct asked *third = world_ask_from(0, 1, "a", NULL);
    pass_ms(400);
    leader_is_late(0);
    check_times_out(first);
    CU_ASSERT_EQUAL(second->answers + third->answers, 0);
    CU_ASSERT_EQUAL_FATAL(running(0), 1);
    CU_ASSERT(bytes_equal(world.workers[0].running[0]->text, bytes_of("a")));
    CU_ASSERT_EQUAL(world.workers[0].running[0]->arrived_us, second->request.arrived_us);
    world_model_answers(0, "A");
    check_answer(second, CACHE_MISS, "A");
    check_answer(third, CACHE_MISS, "A");
    CU_ASSERT(second->status.stored && third->status.collapsed);
    CU_ASSERT_EQUAL(world_counted(STAT_inferences), 2);
    world_teardown();
}

/* The other worker's requests hear of it, and one of them leads. */
static void test_leader_elsewhere_is_late(void) {
    world_setup(one_second);
    struct asked *first = world_ask_from(0, 1, "a", NULL);
    pass_ms(600);
    struct asked *second = world_ask_from(1, 2, "a", NULL);
    pass_ms(400);
    leader_is_late(0);
    check_times_out(first);
    CU_ASSERT_EQUAL(second->answers, 0);
    CU_ASSERT_EQUAL_FATAL(running(1), 1);
    world_model_answers(1, "A");
    check_answer(second, CACHE_MISS, "A");
    world_teardown();
}

/* A model that always takes too long is asked a bounded number of times for one request. */
static void test_bounded(void) {
    world_setup(one_second);
    struct asked *first = world_ask_from(0, 1, "a", NULL);
    struct asked *second = world_ask_from(0, 2, "a", NULL);
    for (unsigned i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(second->answers, 0);
        leader_is_late(0);
    }
    check_times_out(first);
    check_times_out(second);
    CU_ASSERT_EQUAL(world_counted(STAT_inferences), 4);
    CU_ASSERT_EQUAL(running(0), 0);
    world_teardown();
}

/* A failure of the model is told to all, however much time they have left. */
static void test_model_fails(void) {
    world_setup(one_second);
    struct asked *first = world_ask_from(0, 1, "a", NULL);
    pass_ms(600);
    struct asked *second = world_ask_from(0, 2, "a", NULL);
    world_model_fails(0, ENGINE_TIMEOUT);
    check_times_out(first);
    check_times_out(second);
    CU_ASSERT_EQUAL(running(0), 0);
    world_teardown();
}

/* An inference that waits for a place has the time of the request that came last. */
static void test_time_of_the_last(void) {
    world_setup(one_second);
    late_begin(&world.workers[0]);
    struct asked *first = world_ask_from(0, 1, "a", NULL);
    pass_ms(100);
    struct asked *second = world_ask_from(0, 2, "a", NULL);
    while (running(0) == 0) {
        late_answer();
        world_turn();
    }
    CU_ASSERT_EQUAL_FATAL(running(0), 1);
    CU_ASSERT_EQUAL(first->answers, 0);
    CU_ASSERT_EQUAL(world.workers[0].running[0]->arrived_us, second->request.arrived_us);
    world_model_answers(0, "A");
    late_answer_all();
    check_answer(first, CACHE_MISS, "A");
    check_answer(second, CACHE_MISS, "A");
    late_end();
    world_teardown();
}

/* ---- a place in the queue ---- */

static void one_second_and_four_places(struct settings *settings) {
    one_second(settings);
    settings->inference_queue = 4;
}

/* Client 1 has the running inference and all places of the queue; others want the text of the last one, too.
 * Client 3 comes, whose share pushes that one out. */
static void test_displaced_leader(void) {
    static const char *const TEXTS[] = {"running", "b", "c", "d"};
    world_setup(one_second_and_four_places);
    struct asked *waits[4];
    for (size_t i = 0; i < 4; i++)
        waits[i] = world_ask_from(0, 1, TEXTS[i], NULL);
    struct asked *displaced = world_ask_from(0, 1, "a", NULL);
    struct asked *same_client = world_ask_from(0, 1, "a", NULL);
    struct asked *follower = world_ask_from(0, 2, "a", NULL);
    struct asked *elsewhere = world_ask_from(1, 4, "a", NULL);
    CU_ASSERT_EQUAL(world_counted(STAT_queue), 4);
    struct asked *third = world_ask_from(0, 3, "e", NULL);
    world_turn();
    CU_ASSERT_EQUAL(displaced->answers, 1);
    CU_ASSERT_EQUAL(displaced->failure, ENGINE_OVERLOAD);
    CU_ASSERT_EQUAL(same_client->answers, 1);
    CU_ASSERT_EQUAL(same_client->failure, ENGINE_OVERLOAD);
    CU_ASSERT_EQUAL(follower->answers + elsewhere->answers + third->answers, 0);
    CU_ASSERT_EQUAL(waits[2]->answers, 0);
    CU_ASSERT_EQUAL(waits[3]->answers, 1); /* pushed out by client 2's share */
    while (running(0) + running(1) > 0) {
        world_model_answers(running(0) > 0 ? 0 : 1, "A");
        world_turn();
    }
    check_answer(follower, CACHE_MISS, "A");
    check_answer(elsewhere, CACHE_MISS, "A");
    check_answer(third, CACHE_MISS, "A");
    world_teardown();
}

static const struct unit_case CASES[] = {
    {"each has its own time", test_own_time},
    {"in the order of their arrival", test_order_of_arrival},
    {"late in the queue", test_late_in_the_queue},
    {"alone", test_solo},
    {"a stale entry instead", test_stale_instead},
    {"a result on its way", test_result_on_its_way},
    {"the leader is late", test_leader_is_late},
    {"the leader elsewhere is late", test_leader_elsewhere_is_late},
    {"a bounded number of times", test_bounded},
    {"the model fails", test_model_fails},
    {"the time of the last", test_time_of_the_last},
    {"a displaced leader", test_displaced_leader},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "deadline", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
