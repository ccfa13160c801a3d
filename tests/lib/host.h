/* A host in one process, for the tests of what stands on stores and engines: workers with one memory store, a
 * model that answers when it is told to, a clock that the test moves. */
#ifndef INFERONCE_TESTS_HOST_H
#define INFERONCE_TESTS_HOST_H

#include "inferonce/cache/cache.h"

#define HOST_JOBS_MAX 2048

/* The parts that all its workers share; borrowed, and set up by host_setup but for the settings. */
struct host {
    const struct settings *settings;
    struct clock *clock;
    uv_loop_t *loop;
    struct shared *shared;
};

/* The objects of one worker's process. */
struct host_worker {
    struct turn *turn;
    struct context context;
    struct store *store;
    struct engine *engine;
    struct cache *cache;
    struct stats *stats;
    struct engine_job *running[HOST_JOBS_MAX]; /* by the model, oldest first */
    size_t n_running;
};

/* Makes `n` workers, which are zero-initialised. */
void host_setup(const struct host *host, struct host_worker *workers, size_t n);

/* Nothing may wait any more. What a worker has not got is left out. */
void host_teardown(const struct host *host, struct host_worker *workers, size_t n);

/* Moves both clocks. */
void host_wait_ms(const struct host *host, uint64_t ms);

/* The model answers the worker's oldest inference. */
void host_model_answer(struct host_worker *worker, const struct engine_answer *answer);
void host_model_answers(struct host_worker *worker, const char *body);

/* A piece of its answer comes; the answer at the end then has no body. */
void host_model_appends(struct host_worker *worker, const char *piece);

#endif
