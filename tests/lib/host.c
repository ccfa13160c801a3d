#include "host.h"

#include "engine/backend.h"
#include "inferonce/store/memory.h"
#include "unit.h"

/* ---- the model ---- */

static struct host_worker *opening; /* whose engine is being made */

static void *model_open(struct engine *engine, const struct context *context, struct error *error) {
    (void)engine;
    (void)context;
    (void)error;
    return opening;
}

static void model_start(void *state, struct engine_job *const *jobs, size_t n) {
    struct host_worker *worker = state;
    for (size_t i = 0; i < n; i++)
        worker->running[worker->n_running++] = jobs[i];
}

static void model_cancel(void *state, struct engine_job *job) {
    struct host_worker *worker = state;
    size_t at = 0;
    while (at < worker->n_running && worker->running[at] != job)
        at++;
    CU_ASSERT_FATAL(at < worker->n_running);
    worker->n_running--;
    memmove(&worker->running[at], &worker->running[at + 1],
            (worker->n_running - at) * sizeof(worker->running[0]));
}

static void model_close(void *state) {
    (void)state;
}

static size_t model_room(void *state, unsigned *retry_after_s) {
    (void)state;
    (void)retry_after_s;
    return SIZE_MAX;
}

static uint64_t model_longest_us(const struct settings *settings) {
    return settings->inference_delay_ms * 1000;
}

static const struct engine_backend MODEL = {.open = model_open,
                                            .start = model_start,
                                            .cancel = model_cancel,
                                            .close = model_close,
                                            .room = model_room,
                                            .longest_us = model_longest_us};

void host_model_answer(struct host_worker *worker, const struct engine_answer *answer) {
    CU_ASSERT_FATAL(worker->n_running > 0);
    struct engine_job *job = worker->running[0];
    model_cancel(worker, job);
    engine_finish(worker->engine, job, *answer);
}

void host_model_answers(struct host_worker *worker, const char *body) {
    const struct engine_answer answer = {
        .status = ENGINE_OK, .body = bytes_of(body), .storable = true, .lifetime_ms = UINT64_MAX};
    host_model_answer(worker, &answer);
}

void host_model_appends(struct host_worker *worker, const char *piece) {
    CU_ASSERT_FATAL(worker->n_running > 0);
    struct engine_job *job = worker->running[0];
    job->more(job, bytes_of(piece));
}

/* ---- the host ---- */

static void setup_shared(const struct host *host, unsigned n) {
    struct error error = {""};
    struct memory_layout layout = memory_layout_of(host->settings, n);
    CU_ASSERT_FATAL(shared_create(host->shared, n, NULL, memory_region_bytes(&layout),
                                  memory_region_tag(&layout), &error));
    memory_region_setup(host->shared->region, &layout, host->shared->fresh, host->clock);
    shared_ready(host->shared);
    host->shared->started_us = host->clock->wall_us;
}

static void setup_worker(const struct host *host, struct host_worker *worker, unsigned slot) {
    struct error error = {""};
    worker->stats = &host->shared->stats[slot];
    worker->turn = turn_create(host->loop, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(worker->turn);
    worker->context = (struct context){.settings = host->settings,
                                       .shared = host->shared,
                                       .slot = slot,
                                       .loop = host->loop,
                                       .clock = host->clock,
                                       .stats = worker->stats,
                                       .turn = worker->turn};
    worker->store = store_open(&worker->context, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(worker->store);
    opening = worker;
    worker->engine = engine_create_with(&MODEL, &worker->context, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(worker->engine);
    worker->cache = cache_create(&worker->context, worker->store, worker->engine, NULL, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(worker->cache);
}

void host_setup(const struct host *host, struct host_worker *workers, size_t n) {
    *host->clock =
        (struct clock){.fake = true, .monotonic_us = 1000000000, .wall_us = UINT64_C(1700000000000000)};
    CU_ASSERT_FATAL(uv_loop_init(host->loop) == 0);
    setup_shared(host, (unsigned)n);
    for (size_t w = 0; w < n; w++) {
        unsigned slot = host->shared->claimed[w];
        shared_slot_assign(host->shared, slot, 1000 + (pid_t)w);
        setup_worker(host, &workers[w], slot);
    }
}

static void close_handle(uv_handle_t *handle, void *context) {
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void host_teardown(const struct host *host, struct host_worker *workers, size_t n) {
    for (size_t w = 0; w < n; w++) {
        cache_destroy(&workers[w].cache);
        engine_destroy(&workers[w].engine);
        store_close(&workers[w].store);
        turn_destroy(&workers[w].turn);
    }
    uv_walk(host->loop, close_handle, NULL);
    uv_run(host->loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(host->loop), 0);
    CU_ASSERT_EQUAL(shared_stat(host->shared, STAT_parked), 0);
    CU_ASSERT_EQUAL(shared_stat(host->shared, STAT_in_flight), 0);
    shared_destroy(host->shared);
}

void host_wait_ms(const struct host *host, uint64_t ms) {
    host->clock->monotonic_us += ms * 1000;
    host->clock->wall_us += ms * 1000;
}
