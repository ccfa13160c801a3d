#include "cache/solo.h"

#include "world.h"

/* Inferences for one request alone, on the engine and the model of worker 0. */

#define N 3

static struct solos solos;
static struct cache_request requests[N];
static struct {
    unsigned answers;
    enum cache_result result;
    enum engine_status failure;
    struct cache_status status;
    uint64_t inference_us;
    bool inferred;
    char body[16];
} told[N];

static struct texts_limit limit;
static struct deadlines deadlines;

static void done(struct cache_request *request, const struct cache_answer *answer) {
    size_t i = (size_t)(request - requests);
    CU_ASSERT_EQUAL(request->phase, CACHE_IDLE); /* it may be used again from here on */
    told[i].answers++;
    told[i].result = answer->result;
    told[i].failure = answer->result == CACHE_FAILED ? answer->failure->status : ENGINE_OK;
    told[i].status = answer->status;
    told[i].inference_us = answer->inference_us;
    told[i].inferred = answer->inferred;
    snprintf(told[i].body, sizeof(told[i].body), "%.*s", (int)answer->body.length, answer->body.data);
}

static void begin(void) {
    world_setup(NULL);
    memset(told, 0, sizeof(told));
    limit = (struct texts_limit){.stats = world.workers[0].stats};
    deadlines_init(&deadlines);
    solos_init(&solos, world.workers[0].engine, &limit, world.workers[0].stats, &deadlines);
    for (size_t i = 0; i < N; i++) {
        requests[i] = (struct cache_request){.text = bytes_of("a"),
                                             .parameters = bytes_of("{\"k\":1}"),
                                             .authorization = bytes_of("Bearer x"),
                                             .traceparent = bytes_of("parent"),
                                             .tracestate = bytes_of("state"),
                                             .forward = FORWARD_REQUEST,
                                             .done = done};
        deadlines_add(&deadlines, &requests[i], 0, 1000000);
    }
}

static size_t running(void) {
    return world.workers[0].n_running;
}

static void test_answer(void) {
    begin();
    solos_infer(&solos, &requests[0]);
    CU_ASSERT_EQUAL_FATAL(running(), 1);
    const struct engine_job *job = world.workers[0].running[0];
    CU_ASSERT(bytes_equal(job->text, bytes_of("a")));
    CU_ASSERT(bytes_equal(job->parameters, bytes_of("{\"k\":1}")));
    CU_ASSERT(bytes_equal(job->authorization, bytes_of("Bearer x")));
    CU_ASSERT(bytes_equal(job->traceparent, bytes_of("parent")));
    CU_ASSERT(bytes_equal(job->tracestate, bytes_of("state")));
    CU_ASSERT_EQUAL(requests[0].text.length, 0); /* it has a copy */
    CU_ASSERT_EQUAL(solos.count, 1);
    CU_ASSERT_EQUAL(world_counted(STAT_parked), 1);
    CU_ASSERT_NOT_EQUAL(world_counted(STAT_parked_bytes), 0);
    world_wait_ms(5);
    world_model_answers(0, "A");
    CU_ASSERT_EQUAL(told[0].answers, 1);
    CU_ASSERT_EQUAL(told[0].result, CACHE_BYPASS);
    CU_ASSERT_STRING_EQUAL(told[0].body, "A");
    CU_ASSERT(told[0].inferred);
    CU_ASSERT_EQUAL(told[0].inference_us, 5000);
    CU_ASSERT_EQUAL(told[0].status.forward, FORWARD_REQUEST);
    CU_ASSERT(!told[0].status.stored && !told[0].status.collapsed && !told[0].status.hit);
    CU_ASSERT_EQUAL(solos.count, 0);
    CU_ASSERT_EQUAL(world_counted(STAT_bypasses), 1);
    CU_ASSERT_EQUAL(world_counted(STAT_parked), 0);
    CU_ASSERT_EQUAL(world_counted(STAT_parked_bytes), 0);
    solos_fini(&solos);
    world_teardown();
}

static void test_failure(void) {
    begin();
    solos_infer(&solos, &requests[0]);
    world_model_fails(0, ENGINE_TIMEOUT);
    CU_ASSERT_EQUAL(told[0].answers, 1);
    CU_ASSERT_EQUAL(told[0].result, CACHE_FAILED);
    CU_ASSERT_EQUAL(told[0].failure, ENGINE_TIMEOUT);
    CU_ASSERT_EQUAL(world_counted(STAT_bypasses), 1);
    solos_fini(&solos);
    world_teardown();
}

/* Equal texts are not one: that is what no-store asked for. In whichever order they end or leave, the others
 * stay. */
static void test_order_of_ends(void) {
    static const size_t ORDERS[][N] = {{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}};
    for (size_t order = 0; order < sizeof(ORDERS) / sizeof(ORDERS[0]); order++) {
        begin();
        for (size_t i = 0; i < N; i++)
            solos_infer(&solos, &requests[i]);
        CU_ASSERT_EQUAL(running(), N);
        solos_cancel(&solos, &requests[ORDERS[order][0]]);
        CU_ASSERT_EQUAL(running(), N - 1);
        solos_cancel(&solos, &requests[ORDERS[order][1]]);
        world_model_answers(0, "A");
        for (size_t i = 0; i < N; i++)
            CU_ASSERT_EQUAL(told[ORDERS[order][i]].answers, i == 2 ? 1 : 0);
        CU_ASSERT_EQUAL(world_counted(STAT_parked), 0);
        CU_ASSERT_EQUAL(world_counted(STAT_bypasses), N);
        solos_fini(&solos);
        world_teardown();
    }
}

static void test_end_of_all(void) {
    begin();
    for (size_t i = 0; i < N; i++)
        solos_infer(&solos, &requests[i]);
    solos_fini(&solos);
    CU_ASSERT_EQUAL(running(), 0);
    CU_ASSERT_EQUAL(told[0].answers + told[1].answers + told[2].answers, 0);
    CU_ASSERT_EQUAL(world_counted(STAT_parked), 0);
    world_teardown();
}

static void test_no_memory(void) {
    begin();
    unit_allocations_count_start();
    unit_allocations_fail(1, false);
    solos_infer(&solos, &requests[0]);
    unit_allocations_heal();
    if (unit_allocations_count() > 0) { /* no sanitizer has the allocator */
        CU_ASSERT_EQUAL(told[0].answers, 1);
        CU_ASSERT_EQUAL(told[0].failure, ENGINE_SHORT);
        CU_ASSERT_EQUAL(world_counted(STAT_bypasses), 1);
        CU_ASSERT_EQUAL(world_counted(STAT_parked), 0);
    }
    solos_fini(&solos);
    world_teardown();
}

static const struct unit_case CASES[] = {
    {"an answer", test_answer},
    {"a failure", test_failure},
    {"they end and leave in any order", test_order_of_ends},
    {"the end of all", test_end_of_all},
    {"no memory", test_no_memory},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "solo", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
