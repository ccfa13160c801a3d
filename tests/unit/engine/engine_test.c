/* The engine in front of a model whose jobs end when the test says so: admission, queue, turns, ends. */
#include "inferonce/engine/engine.h"

#include "engine/jobs.h"
#include "engine_rig.h"

/* A model whose jobs end when the test says so. */
struct manual {
    struct engine *engine;
    struct engine_jobs running;
    unsigned starts;
    size_t last_start; /* jobs that came together */
    unsigned cancelled;
    bool closed;
    unsigned retry_after_s; /* above 0: it takes no jobs */
    size_t room;            /* above 0: that many at most */
};

static struct manual manual;

static void *manual_open(struct engine *engine, const struct context *context, struct error *error) {
    (void)context, (void)error;
    manual = (struct manual){.engine = engine};
    engine_jobs_init(&manual.running);
    return &manual;
}

static void *manual_open_fails(struct engine *engine, const struct context *context, struct error *error) {
    (void)engine, (void)context;
    error_set(error, "the model is not there");
    return NULL;
}

static void manual_start(void *state, struct engine_job *const *jobs, size_t n) {
    (void)state;
    manual.starts++;
    manual.last_start = n;
    for (size_t i = 0; i < n; i++)
        engine_jobs_append(&manual.running, jobs[i]);
}

static void manual_cancel(void *state, struct engine_job *job) {
    (void)state;
    manual.cancelled++;
    engine_jobs_remove(&manual.running, job);
}

static void manual_close(void *state) {
    (void)state;
    manual.closed = true;
}

static size_t manual_room(void *state, unsigned *retry_after_s) {
    (void)state;
    *retry_after_s = manual.retry_after_s;
    if (manual.retry_after_s > 0)
        return 0;
    if (manual.room > 0 && manual.running.n == manual.room) {
        *retry_after_s = 1;
        return 0;
    }
    return manual.room > 0 ? manual.room - manual.running.n : SIZE_MAX;
}

static uint64_t manual_longest_us(const struct settings *settings) {
    (void)settings;
    return 1;
}

static const struct engine_backend MANUAL = {.open = manual_open,
                                             .start = manual_start,
                                             .cancel = manual_cancel,
                                             .close = manual_close,
                                             .room = manual_room,
                                             .longest_us = manual_longest_us};

/* The first of the running jobs ends. */
static void manual_end(enum engine_status status) {
    struct engine_job *job = engine_jobs_first(&manual.running);
    CU_ASSERT_PTR_NOT_NULL_FATAL(job);
    engine_jobs_remove(&manual.running, job);
    engine_finish(manual.engine, job,
                  (struct engine_answer){.status = status, .detail = "the model's words"});
}

static void test_admission(void) {
    set_up(2, 3, 0, &MANUAL);
    infer(0, 7);
    CU_ASSERT_EQUAL(manual.running.n, 2);
    CU_ASSERT_EQUAL(counted(STAT_in_flight), 2);
    CU_ASSERT_EQUAL(counted(STAT_queue), 3);
    CU_ASSERT_EQUAL(counted(STAT_inferences), 2);
    CU_ASSERT_EQUAL(bench.answered, 0);
    run();
    for (size_t i = 0; i < 5; i++)
        CU_ASSERT_EQUAL(bench.probes[i].answers, 0);
    for (size_t i = 5; i < 7; i++) {
        CU_ASSERT_EQUAL(bench.probes[i].answers, 1);
        CU_ASSERT_EQUAL(bench.probes[i].answer.status, ENGINE_OVERLOAD);
        CU_ASSERT(bench.probes[i].answer.retry_after_s >= 1);
        CU_ASSERT_PTR_NOT_NULL(bench.probes[i].answer.detail);
        CU_ASSERT_EQUAL(bench.probes[i].answer.duration_us, 0);
    }
    /* Turned away is not failed: no inference ran. */
    CU_ASSERT_EQUAL(counted(STAT_inferences), 2);
    CU_ASSERT_EQUAL(counted(STAT_inference_errors), 0);
    tear_down();
}

static void test_no_queue(void) {
    set_up(1, 0, 0, &MANUAL);
    infer(0, 2);
    CU_ASSERT_EQUAL(manual.running.n, 1);
    run();
    CU_ASSERT_EQUAL(bench.probes[1].answer.status, ENGINE_OVERLOAD);
    manual_end(ENGINE_OK);
    infer(2, 1); /* the place is free again */
    CU_ASSERT_EQUAL(manual.running.n, 1);
    CU_ASSERT_EQUAL(bench.probes[0].answers, 1);
    tear_down();
}

static void test_queue_is_first_in_first_out(void) {
    set_up(1, 10, 0, &MANUAL);
    infer(0, 3);
    manual_end(ENGINE_OK);
    infer(3, 1); /* comes when a place is free, but behind those that wait */
    for (size_t i = 1; i < 4; i++) {
        run();
        CU_ASSERT_PTR_EQUAL(engine_jobs_first(&manual.running), &bench.probes[i].job);
        CU_ASSERT_EQUAL(manual.running.n, 1);
        manual_end(ENGINE_OK);
    }
    run();
    CU_ASSERT_EQUAL(manual.running.n, 0);
    CU_ASSERT_EQUAL(counted(STAT_inferences), 4);
    CU_ASSERT_EQUAL(counted(STAT_queue), 0);
    tear_down();
}

static void test_batches(void) {
    set_up(1000, 1000, 0, &MANUAL);
    infer(0, 100);
    CU_ASSERT_EQUAL(manual.starts, 1);
    CU_ASSERT_EQUAL(manual.last_start, 100);
    tear_down();

    /* Places that became free in one turn are filled together. */
    set_up(32, 1000, 0, &MANUAL);
    infer(0, 64);
    for (unsigned i = 0; i < 32; i++)
        manual_end(ENGINE_OK);
    run();
    CU_ASSERT_EQUAL(manual.starts, 2);
    CU_ASSERT_EQUAL(manual.last_start, 32);
    tear_down();

    /* However many come at once, all are started. */
    set_up(JOBS_MOST, 0, 0, &MANUAL);
    infer(0, JOBS_MOST);
    CU_ASSERT_EQUAL(manual.running.n, JOBS_MOST);
    tear_down();
}

static void test_cancel(void) {
    set_up(1, 1, 0, &MANUAL);
    infer(0, 3); /* one runs, one waits, one is turned away */
    engine_cancel(bench.engine, &bench.probes[2].job);
    engine_cancel(bench.engine, &bench.probes[1].job);
    CU_ASSERT_EQUAL(counted(STAT_queue), 0);
    CU_ASSERT_EQUAL(manual.cancelled, 0);
    infer(3, 1); /* the place in the queue is free */
    engine_cancel(bench.engine, &bench.probes[0].job);
    CU_ASSERT_EQUAL(manual.cancelled, 1);
    CU_ASSERT_EQUAL(counted(STAT_in_flight), 0);
    run();
    CU_ASSERT_PTR_EQUAL(engine_jobs_first(&manual.running), &bench.probes[3].job); /* and so is the model */
    CU_ASSERT_EQUAL(counted(STAT_in_flight), 1);
    CU_ASSERT_EQUAL(bench.answered, 0);
    CU_ASSERT_EQUAL(counted(STAT_inference_errors), 0);
    tear_down();
}

static void test_duration(void) {
    set_up(1, 1, 0, &MANUAL);
    infer(0, 2);
    bench.clock.monotonic_us += 5000;
    manual_end(ENGINE_OK);
    CU_ASSERT_EQUAL(bench.probes[0].answer.duration_us, 5000);
    bench.clock.monotonic_us += 100;
    run(); /* only now the second one is started: what it waited is no inference */
    bench.clock.monotonic_us += 7;
    manual_end(ENGINE_OK);
    CU_ASSERT_EQUAL(bench.probes[1].answer.duration_us, 7);
    tear_down();
}

static void test_failures(void) {
    static const enum engine_status FAILURES[] = {ENGINE_REFUSED, ENGINE_TIMEOUT, ENGINE_OVERLOAD,
                                                  ENGINE_BAD_ANSWER, ENGINE_REJECTED};
    size_t n = sizeof(FAILURES) / sizeof(FAILURES[0]);
    set_up(n, 0, 0, &MANUAL);
    infer(0, n);
    for (size_t i = 0; i < n; i++) {
        manual_end(FAILURES[i]);
        CU_ASSERT_EQUAL(bench.probes[i].answer.status, FAILURES[i]);
        CU_ASSERT_STRING_EQUAL(bench.probes[i].answer.detail, "the model's words");
        CU_ASSERT_EQUAL(counted(STAT_inference_errors), i + 1);
    }
    CU_ASSERT_EQUAL(counted(STAT_inferences), n);
    CU_ASSERT_EQUAL(counted(STAT_in_flight), 0);
    tear_down();
}

static void test_destroy_with_jobs(void) {
    set_up(1, 1, 0, &MANUAL);
    infer(0, 3);
    tear_down(); /* asserts the gauges */
    CU_ASSERT_TRUE(manual.closed);
    CU_ASSERT_EQUAL(bench.answered, 0);

    set_up(1, 1, 3600000, NULL);
    infer(0, 3);
    tear_down();
    CU_ASSERT_EQUAL(bench.answered, 0);
}

static void destroy_in_done(struct engine_job *job, const struct engine_answer *answer) {
    on_done(job, answer);
    engine_destroy(&bench.engine);
}

static void test_destroy_in_done(void) {
    set_up(2, 2, 0, NULL);
    bench.probes[0].job.done = destroy_in_done;
    infer(0, 3);
    run();
    CU_ASSERT_EQUAL(bench.answered, 1);
    tear_down();

    set_up(1, 0, 0, &MANUAL);
    bench.probes[1].job.done = destroy_in_done; /* is turned away */
    infer(0, 3);
    run();
    CU_ASSERT_EQUAL(bench.answered, 1);
    tear_down();
}

static void test_reload(void) {
    set_up(3, 2, 0, &MANUAL);
    infer(0, 5);
    bench.settings.inference_concurrency = 1;
    manual_end(ENGINE_OK);
    manual_end(ENGINE_OK);
    run();
    CU_ASSERT_EQUAL(manual.running.n, 1); /* as many as are now allowed: nobody new */
    CU_ASSERT_EQUAL(counted(STAT_queue), 2);
    bench.settings.inference_concurrency = 2;
    manual_end(ENGINE_OK);
    run();
    CU_ASSERT_EQUAL(manual.running.n, 2);
    tear_down();
}

/* A backend that takes no more jobs: they are told when to come back, and were never inferences. */
static void test_backend_without_room(void) {
    set_up(1, 10, 0, &MANUAL);
    infer(0, 3);
    CU_ASSERT_EQUAL(counted(STAT_queue), 2);
    manual.retry_after_s = 7;
    infer(3, 1);
    CU_ASSERT_EQUAL(bench.answered, 0);
    manual_end(ENGINE_REFUSED);
    CU_ASSERT_EQUAL(bench.probes[0].answer.status, ENGINE_REFUSED);
    run();
    for (unsigned i = 1; i < 4; i++) {
        CU_ASSERT_EQUAL(bench.probes[i].answers, 1);
        CU_ASSERT_EQUAL(bench.probes[i].answer.status, ENGINE_DOWN);
        CU_ASSERT_EQUAL(bench.probes[i].answer.retry_after_s, 7);
        CU_ASSERT_EQUAL(bench.probes[i].answer.duration_us, 0);
    }
    CU_ASSERT_EQUAL(counted(STAT_inferences), 1);
    manual.retry_after_s = 0;
    infer(4, 1);
    CU_ASSERT_EQUAL(counted(STAT_inferences), 2);
    tear_down();
}

static void test_backend_with_little_room(void) {
    set_up(10, 10, 0, &MANUAL);
    manual.room = 1;
    infer(0, 3);
    CU_ASSERT_EQUAL(manual.starts, 1);
    CU_ASSERT_EQUAL(manual.last_start, 1);
    run();
    CU_ASSERT_EQUAL(bench.answered, 2);
    CU_ASSERT_EQUAL(bench.probes[0].answers, 0);
    manual_end(ENGINE_OK);
    CU_ASSERT_EQUAL(bench.probes[0].answer.status, ENGINE_OK);
    tear_down();
}

static void test_creation_fails(void) {
    static const struct engine_backend FAILING = {.open = manual_open_fails};
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&bench.loop), 0);
    struct error error = {.text = ""};
    make_context(&error);
    CU_ASSERT_PTR_NULL(engine_create_with(&FAILING, &bench.context, &error));
    CU_ASSERT_STRING_EQUAL(error.text, "the model is not there");
    for (unsigned n = 1;; n++) {
        error.text[0] = '\0';
        unit_allocations_count_start();
        unit_allocations_fail(n, false);
        struct engine *engine = engine_create(&bench.context, &error);
        bool failed_one = unit_allocations_count() >= n;
        unit_allocations_heal();
        CU_ASSERT_EQUAL(engine == NULL, failed_one);
        CU_ASSERT_EQUAL(error.text[0] != '\0', failed_one);
        engine_destroy(&engine);
        (void)uv_run(&bench.loop, UV_RUN_DEFAULT);
        if (!failed_one)
            break;
    }
    turn_destroy(&bench.turn);
    (void)uv_run(&bench.loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&bench.loop), 0); /* no handle was left behind */
}

static void test_no_memory_is_needed_to_infer(void) {
    set_up(1, 100, 0, NULL);
    infer(0, 1); /* the loop's own heap may grow with the first timer */
    run();
    unit_allocations_fail(1, false);
    infer(1, 100);
    run();
    unit_allocations_heal();
    CU_ASSERT_EQUAL(bench.answered, 101);
    CU_ASSERT_EQUAL(bench.probes[100].answer.status, ENGINE_OK);
    tear_down();
}

static void of_client(size_t first, size_t n, uint64_t client) {
    for (size_t i = first; i < first + n; i++)
        bench.probes[i].job.client = client;
}

/* One client's many texts delay another client's text by one of them. */
static void test_clients_take_turns(void) {
    set_up(1, 100, 0, &MANUAL);
    of_client(0, 20, 7);
    of_client(20, 2, 8);
    infer(0, 20);
    infer(20, 2);
    for (unsigned i = 0; i < 22; i++) {
        manual_end(ENGINE_OK);
        next_turn();
    }
    CU_ASSERT_EQUAL(bench.probes[0].place, 1); /* was running */
    CU_ASSERT_EQUAL(bench.probes[1].place, 2);
    CU_ASSERT_EQUAL(bench.probes[20].place, 3);
    CU_ASSERT_EQUAL(bench.probes[2].place, 4);
    CU_ASSERT_EQUAL(bench.probes[21].place, 5);
    CU_ASSERT_EQUAL(bench.probes[19].place, 22);
    tear_down();
}

/* A client that has filled the queue makes way for the others, and only it is refused. */
static void test_a_full_queue_is_shared(void) {
    set_up(1, 10, 0, &MANUAL);
    of_client(0, 12, 7);
    of_client(12, 6, 8);
    infer(0, 12); /* one runs, ten wait, one is too many */
    infer(12, 6); /* five of them push the other client's last five out; the sixth is beyond the fair half */
    run();
    unsigned refused[3] = {0};
    for (unsigned i = 0; i < 18; i++)
        if (bench.probes[i].answers == 1) {
            CU_ASSERT_EQUAL(bench.probes[i].answer.status, ENGINE_OVERLOAD);
            CU_ASSERT(bench.probes[i].answer.retry_after_s > 0);
            refused[bench.probes[i].job.client - 7]++;
        }
    CU_ASSERT_EQUAL(refused[0], 6);
    CU_ASSERT_EQUAL(refused[1], 1);
    CU_ASSERT_EQUAL(bench.probes[17].answers, 1); /* the newest of each */
    CU_ASSERT_EQUAL(bench.probes[11].answers, 1);
    CU_ASSERT_EQUAL(bench.probes[1].answers, 0);
    CU_ASSERT_EQUAL(counted(STAT_queue), 10);
    tear_down();
}

static uint64_t one_second(const struct settings *settings) {
    (void)settings;
    return 1000;
}

/* Counted from the request's arrival: what has waited for so long is answered, not begun. */
static void test_waiting_ends_in_time(void) {
    struct engine_backend limited = MANUAL;
    limited.limit_ms = one_second;
    set_up(1, 10, 0, &limited);
    bench.probes[1].job.arrived_us = 500000; /* half a second before the others */
    infer(0, 1);                             /* has the only place */
    infer(1, 2);
    bench.clock.monotonic_us += 499000;
    for (unsigned looks = 0; looks < 2; looks++)
        (void)uv_run(&bench.loop, UV_RUN_ONCE); /* each waits for the look at those that are late */
    CU_ASSERT_EQUAL(bench.answered, 0);
    bench.clock.monotonic_us += 1000;
    while (bench.probes[1].answers == 0)
        (void)uv_run(&bench.loop, UV_RUN_ONCE);
    CU_ASSERT_EQUAL(bench.probes[1].answer.status, ENGINE_TIMEOUT);
    CU_ASSERT_EQUAL(bench.probes[2].answers, 0);
    bench.clock.monotonic_us += 500000;
    while (bench.probes[2].answers == 0)
        (void)uv_run(&bench.loop, UV_RUN_ONCE);
    CU_ASSERT_EQUAL(bench.probes[2].answer.status, ENGINE_TIMEOUT);
    CU_ASSERT_EQUAL(bench.probes[0].answers, 0); /* the backend has it, and sees to its time */
    CU_ASSERT_EQUAL(counted(STAT_inferences), 1);
    tear_down();
}

/* A batch hands its later texts over when its time is nearly over, or when it is over: they are not behind
 * what came after it, and the model is not asked in vain. */
static void test_late_texts_of_an_early_request(void) {
    struct engine_backend limited = MANUAL;
    limited.limit_ms = one_second;
    set_up(1, 10, 0, &limited);
    infer(0, 3);
    bench.clock.monotonic_us += 600000;
    for (size_t i = 3; i < 5; i++)
        bench.probes[i].job.arrived_us = 900000;
    infer(3, 1); /* due before the two that wait */
    manual_end(ENGINE_OK);
    next_turn();
    manual_end(ENGINE_OK);
    CU_ASSERT_EQUAL(bench.probes[3].place, 2);
    CU_ASSERT_EQUAL(bench.probes[3].answer.status, ENGINE_OK);
    bench.clock.monotonic_us += 400000; /* all time is over, and a place is free */
    infer(4, 1);
    next_turn();
    for (size_t i = 1; i < 5; i++)
        if (i != 3)
            CU_ASSERT_EQUAL(bench.probes[i].answer.status, ENGINE_TIMEOUT);
    CU_ASSERT_EQUAL(counted(STAT_inferences), 2);
    tear_down();
}

static void test_longest(void) {
    struct settings settings = {
        .inference_concurrency = 64, .inference_queue = 1024, .inference_delay_ms = 5000};
    /* 16 rounds before the last of the queue, and its own; a delay may be a millisecond longer than set. */
    CU_ASSERT_EQUAL(engine_longest_us(&settings), 17ull * 5001 * 1000);
    settings.inference_queue = 1025;
    CU_ASSERT_EQUAL(engine_longest_us(&settings), 18ull * 5001 * 1000);
    settings.inference_queue = 0;
    CU_ASSERT_EQUAL(engine_longest_us(&settings), 5001ull * 1000);
}

static const struct unit_case CASES[] = {
    {"admits, queues, turns away", test_admission},
    {"turns away at once when there is no queue", test_no_queue},
    {"queues first in, first out", test_queue_is_first_in_first_out},
    {"hands over together what came together", test_batches},
    {"cancels in every phase", test_cancel},
    {"measures an inference from its start to its end", test_duration},
    {"passes failures on and counts them", test_failures},
    {"drops everything when it is destroyed", test_destroy_with_jobs},
    {"can be destroyed by a job's done", test_destroy_in_done},
    {"follows settings that a reload changed", test_reload},
    {"a backend that takes no jobs", test_backend_without_room},
    {"a backend that takes one job", test_backend_with_little_room},
    {"says why it cannot be created", test_creation_fails},
    {"infers without memory", test_no_memory_is_needed_to_infer},
    {"clients take turns", test_clients_take_turns},
    {"a full queue is shared", test_a_full_queue_is_shared},
    {"waiting ends in time", test_waiting_ends_in_time},
    {"late texts of an early request", test_late_texts_of_an_early_request},
    {"knows how long a job can take", test_longest},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "engine", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
