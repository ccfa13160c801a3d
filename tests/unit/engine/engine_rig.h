/* An engine in a loop of its own, for tests, with jobs that keep their answers. */
#ifndef INFERONCE_TESTS_ENGINE_RIG_H
#define INFERONCE_TESTS_ENGINE_RIG_H

#include <stdlib.h>

#include "engine/backend.h"
#include "unit.h"

#define JOBS_MOST 2000

/* A job and its outcome. */
struct probe {
    struct engine_job job;
    unsigned answers;
    unsigned place; /* the how many-th of all that were answered, from 1 */
    struct engine_answer answer;
    char body[128];
};

/* An engine in a loop of its own. */
struct bench {
    struct settings settings;
    struct clock clock;
    struct stats stats;
    uv_loop_t loop;
    struct turn *turn;
    struct context context;
    struct engine *engine;
    struct probe *probes; /* JOBS_MOST */
    unsigned answered;
};

static struct bench bench;

static inline uint64_t counted(enum statistic statistic) {
    return stats_sum(&bench.stats, 1, statistic);
}

static inline void on_done(struct engine_job *job, const struct engine_answer *answer) {
    struct probe *probe = job->user;
    probe->answers++;
    probe->place = ++bench.answered;
    probe->answer = *answer;
    CU_ASSERT_FATAL(answer->body.length < sizeof(probe->body));
    if (answer->body.length > 0)
        memcpy(probe->body, answer->body.data, answer->body.length);
}

static inline void make_context(struct error *error) {
    bench.turn = turn_create(&bench.loop, error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bench.turn);
    bench.context = (struct context){.settings = &bench.settings,
                                     .loop = &bench.loop,
                                     .clock = &bench.clock,
                                     .stats = &bench.stats,
                                     .turn = bench.turn};
}

/* The settings that the engine looks at; the rest is not its own. */
static inline void set_up(uint64_t concurrency, uint64_t queue, uint64_t delay_ms,
                          const struct engine_backend *backend) {
    memset(&bench, 0, sizeof(bench));
    bench.settings.inference_concurrency = concurrency;
    bench.settings.inference_queue = queue;
    bench.settings.inference_delay_ms = delay_ms;
    bench.clock = (struct clock){.fake = true, .monotonic_us = 1000000};
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&bench.loop), 0);
    bench.probes = calloc(JOBS_MOST, sizeof(*bench.probes));
    CU_ASSERT_PTR_NOT_NULL_FATAL(bench.probes);
    for (size_t i = 0; i < JOBS_MOST; i++) {
        bench.probes[i].job.text = bytes_of("good");
        bench.probes[i].job.done = on_done;
        bench.probes[i].job.user = &bench.probes[i];
    }
    struct error error = {.text = ""};
    make_context(&error);
    bench.engine =
        backend ? engine_create_with(backend, &bench.context, &error) : engine_create(&bench.context, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bench.engine);
}

/* Does the work that was left for the next turn. */
static inline void next_turn(void) {
    turn_end(bench.turn);
    (void)uv_run(&bench.loop, UV_RUN_NOWAIT);
}

static inline void run(void) {
    (void)uv_run(&bench.loop, UV_RUN_DEFAULT);
}

/* Ends with what holds for every test: nothing is left in the gauges, nor in the loop. */
static inline void tear_down(void) {
    engine_destroy(&bench.engine);
    CU_ASSERT_PTR_NULL(bench.engine);
    turn_destroy(&bench.turn);
    run();
    CU_ASSERT_EQUAL(uv_loop_close(&bench.loop), 0);
    CU_ASSERT_EQUAL(counted(STAT_in_flight), 0);
    CU_ASSERT_EQUAL(counted(STAT_queue), 0);
    free(bench.probes);
}

static inline void infer(size_t first, size_t n) {
    struct engine_job *jobs[JOBS_MOST];
    for (size_t i = 0; i < n; i++)
        jobs[i] = &bench.probes[first + i].job;
    engine_infer(bench.engine, jobs, n);
}

#endif
