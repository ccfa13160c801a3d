#include "inferonce/engine/engine.h"

#include <stdlib.h>

#include "inferonce/engine/backend.h"
#include "inferonce/engine/jobs.h"

/* The most that are handed to a backend in one call; only bounds the array on the stack. */
#define START_MOST 256

/* Places become free all the time while the queue is full, so it pays to come back soon. */
#define RETRY_AFTER_S 1

/* In engine_job.retry_after_s: not the backend, but our own queue takes no more. */
#define QUEUE_IS_FULL 0

/* Where a job is, in engine_job.phase.
 *
 *   WAITING      in the queue                                  -> RUNNING, TURNED_AWAY, OVER (cancelled)
 *   RUNNING      the backend has it                            -> OVER (ended, cancelled)
 *   TURNED_AWAY  no room in the queue, or the backend takes none; is told so next turn
 *                                                              -> OVER (told, cancelled) */
enum phase { WAITING = 1, RUNNING, TURNED_AWAY, OVER };

struct engine {
    struct engine_options options;
    const struct engine_backend *backend;
    void *state; /* the backend's */
    size_t running;
    struct engine_jobs waiting;
    struct engine_jobs turned_away;

    /* Runs once in the loop's next turn when somebody is to be turned away or a place became free. An idle
     * handle and not a timer of 0 ms, because libuv runs timers until none is due: a job whose `done` brings
     * the next one would keep the loop from its descriptors. The places that became free in one turn are
     * thereby filled together. */
    uv_idle_t turn;
};

static bool has_place(const struct engine *engine) {
    return engine->running < engine->options.settings->inference_concurrency;
}

static void on_turn(uv_idle_t *turn);

/* Makes on_turn run. */
static void arm(struct engine *engine) {
    (void)uv_idle_start(&engine->turn, on_turn);
}

/* It is not in the queue, or not any more. */
static void turn_away(struct engine *engine, struct engine_job *job, unsigned retry_after_s) {
    job->phase = TURNED_AWAY;
    job->retry_after_s = retry_after_s;
    engine_jobs_append(&engine->turned_away, job);
    arm(engine);
}

static void turn_away_waiting(struct engine *engine, unsigned retry_after_s) {
    while (engine->waiting.n > 0) {
        struct engine_job *job = engine->waiting.first;
        engine_jobs_remove(&engine->waiting, job);
        stats_subtract(engine->options.stats, STAT_queue, 1);
        turn_away(engine, job, retry_after_s);
    }
}

/* Hands waiting jobs to the backend while there are places. */
static void start_waiting(struct engine *engine) {
    while (engine->waiting.n > 0 && has_place(engine)) {
        struct engine_job *batch[START_MOST];
        size_t n = 0;
        unsigned retry_after_s = RETRY_AFTER_S;
        size_t room = engine->backend->room(engine->state, &retry_after_s);
        if (room == 0) {
            turn_away_waiting(engine, retry_after_s);
            return;
        }
        uint64_t now_us = clock_monotonic_us(engine->options.clock);
        while (n < START_MOST && n < room && engine->waiting.n > 0 && has_place(engine)) {
            struct engine_job *job = engine->waiting.first;
            engine_jobs_remove(&engine->waiting, job);
            job->phase = RUNNING;
            job->started_us = now_us;
            engine->running++;
            batch[n++] = job;
        }
        stats_subtract(engine->options.stats, STAT_queue, n);
        stats_add(engine->options.stats, STAT_in_flight, n);
        stats_add(engine->options.stats, STAT_inferences, n);
        engine->backend->start(engine->state, batch, n);
    }
}

static void answer_turned_away(struct engine *engine) {
    /* Those that `done` adds have to wait for their turn, or the loop would never get out of here. */
    for (size_t n = engine->turned_away.n; n > 0 && engine->turned_away.n > 0; n--) {
        struct engine_job *job = engine->turned_away.first;
        struct engine_answer answer = {.status = ENGINE_DOWN,
                                       .detail = "the model's server could not be reached lately",
                                       .retry_after_s = job->retry_after_s};
        if (job->retry_after_s == QUEUE_IS_FULL)
            answer = (struct engine_answer){.status = ENGINE_OVERLOAD,
                                            .detail = "too many inferences are waiting",
                                            .retry_after_s = RETRY_AFTER_S};
        engine_jobs_remove(&engine->turned_away, job);
        job->phase = OVER;
        job->done(job, &answer);
    }
}

static void on_turn(uv_idle_t *turn) {
    struct engine *engine = turn->data;
    answer_turned_away(engine);
    start_waiting(engine);
    if (engine->turned_away.n == 0)
        (void)uv_idle_stop(turn);
}

static const struct engine_backend *backend_of(const struct settings *settings) {
    return settings->engine == SETTINGS_ENGINE_HTTP ? &engine_upstream : &engine_builtin;
}

bool engine_check(const struct settings *settings, struct error *error) {
    const struct engine_backend *backend = backend_of(settings);
    return !backend->check || backend->check(settings, error);
}

struct engine *engine_create(const struct engine_options *options, struct error *error) {
    return engine_create_with(backend_of(options->settings), options, error);
}

struct engine *engine_create_with(const struct engine_backend *backend, const struct engine_options *options,
                                  struct error *error) {
    struct engine *engine = calloc(1, sizeof(*engine));
    if (!engine) {
        error_set(error, "no memory for the engine");
        return NULL;
    }
    engine->options = *options;
    engine->backend = backend;
    engine->state = backend->open(engine, options, error);
    if (!engine->state) {
        free(engine);
        return NULL;
    }
    (void)uv_idle_init(options->loop, &engine->turn);
    engine->turn.data = engine;
    return engine;
}

void engine_infer(struct engine *engine, struct engine_job *const *jobs, size_t n) {
    const struct settings *settings = engine->options.settings;
    for (size_t i = 0; i < n; i++) {
        struct engine_job *job = jobs[i];
        INVARIANT(job->done != NULL);
        if (engine->running + engine->waiting.n >=
            settings->inference_concurrency + settings->inference_queue) {
            turn_away(engine, job, QUEUE_IS_FULL);
        } else {
            job->phase = WAITING;
            engine_jobs_append(&engine->waiting, job);
            stats_count(engine->options.stats, STAT_queue);
        }
    }
    start_waiting(engine);
}

bool engine_is_queued(const struct engine_job *job) {
    return job->phase == WAITING || job->phase == TURNED_AWAY;
}

/* A running job is over: its place is free. */
static void leave(struct engine *engine, struct engine_job *job) {
    job->phase = OVER;
    engine->running--;
    stats_subtract(engine->options.stats, STAT_in_flight, 1);
    if (engine->waiting.n > 0)
        arm(engine);
}

void engine_finish(struct engine *engine, struct engine_job *job, struct engine_answer answer) {
    INVARIANT(job->phase == RUNNING);
    answer.duration_us = clock_monotonic_us(engine->options.clock) - job->started_us;
    leave(engine, job);
    if (answer.status != ENGINE_OK)
        stats_count(engine->options.stats, STAT_inference_errors);
    job->done(job, &answer);
}

void engine_cancel(struct engine *engine, struct engine_job *job) {
    if (job->phase == RUNNING) {
        engine->backend->cancel(engine->state, job);
        leave(engine, job);
    } else if (job->phase == WAITING) {
        engine_jobs_remove(&engine->waiting, job);
        stats_subtract(engine->options.stats, STAT_queue, 1);
    } else {
        INVARIANT(job->phase == TURNED_AWAY);
        engine_jobs_remove(&engine->turned_away, job);
    }
    job->phase = OVER;
}

static void free_engine(uv_handle_t *turn) {
    free(turn->data);
}

void engine_destroy(struct engine **engine) {
    struct engine *old = *engine;
    if (!old)
        return;
    *engine = NULL;
    old->backend->close(old->state);
    stats_subtract(old->options.stats, STAT_queue, old->waiting.n);
    stats_subtract(old->options.stats, STAT_in_flight, old->running);
    old->waiting = old->turned_away = (struct engine_jobs){0};
    old->running = 0;
    uv_close((uv_handle_t *)&old->turn, free_engine);
}

uint64_t engine_longest_us(const struct settings *settings) {
    /* Who is last in a full queue waits while all before it have gone through the places. The limits of the
     * settings keep this far from an overflow. */
    uint64_t places = settings->inference_concurrency;
    uint64_t rounds = 1 + (settings->inference_queue + places - 1) / places;
    return rounds * backend_of(settings)->longest_us(settings);
}
