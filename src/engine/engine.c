/* Admits jobs, queues them, and hands them to the backend. */
#include "inferonce/engine/engine.h"

#include <stdlib.h>

#include "engine/backend.h"
#include "engine/queue.h"

/* The most that are handed to a backend in one call; only bounds the array on the stack. */
#define START_MOST 256

/* Places become free all the time while the queue is full, so it pays to come back soon. */
#define RETRY_AFTER_S 1

/* How often waiting jobs are looked through for those that are late. */
#define LATE_CHECK_MS 20

/* Why a job is turned away, in engine_job.reason. */
enum reason {
    QUEUE_IS_FULL = 1, /* of its client's texts too many wait */
    BACKEND_IS_DOWN,   /* the backend takes none */
    TOO_LATE           /* it waited for as long as it may take */
};

/* The phases of a job, in engine_job.phase.
 *
 *   WAITING      in the queue                                  -> RUNNING, TURNED_AWAY, OVER (cancelled)
 *   RUNNING      the backend has it                            -> OVER (ended, cancelled)
 *   TURNED_AWAY  for one of the reasons; is told so next turn
 *                                                              -> OVER (told, cancelled) */
enum phase { WAITING = 1, RUNNING, TURNED_AWAY, OVER };

struct engine {
    const struct context *context;
    const struct engine_backend *backend;
    void *state; /* the backend's */
    size_t running;
    struct queue waiting;
    struct engine_jobs turned_away;

    /* Runs in the loop's next turn when somebody is to be turned away or a place became free; not at once,
     * because a job whose `done` brings the next one would keep the loop from its descriptors. The places
     * that became free in one turn are thereby filled together. */
    struct turn_task next_turn;
    uv_timer_t late; /* runs while jobs wait that can be late */
};

static bool has_place(const struct engine *engine) {
    return engine->running < engine->context->settings->inference_concurrency;
}

/* It is not in the queue, or not any more. */
static void turn_away(struct engine *engine, struct engine_job *job, enum reason reason,
                      unsigned retry_after_s) {
    job->phase = TURNED_AWAY;
    job->reason = (int)reason;
    job->retry_after_s = retry_after_s;
    engine_jobs_append(&engine->turned_away, job);
    turn_in_next(engine->context->turn, &engine->next_turn);
}

static void turn_away_waiting(struct engine *engine, unsigned retry_after_s) {
    struct engine_job *job;
    while ((job = queue_pop(&engine->waiting)) != NULL) {
        stats_subtract(engine->context->stats, STAT_queue, 1);
        turn_away(engine, job, BACKEND_IS_DOWN, retry_after_s);
    }
}

static uint64_t now_ms(const struct engine *engine) {
    return clock_monotonic_us(engine->context->clock) / 1000;
}

static void turn_away_overdue(struct engine *engine) {
    struct engine_job *job;
    while ((job = queue_pop_overdue(&engine->waiting, now_ms(engine))) != NULL) {
        stats_subtract(engine->context->stats, STAT_queue, 1);
        turn_away(engine, job, TOO_LATE, 0);
    }
}

static void on_late_check(uv_timer_t *timer) {
    struct engine *engine = timer->data;
    turn_away_overdue(engine);
    if (engine->waiting.n == 0)
        uv_timer_stop(timer);
}

/* Hands waiting jobs to the backend while there are places. The model is not asked what nobody waits for any
 * more. */
static void start_waiting(struct engine *engine) {
    if (engine->waiting.n > 0 && has_place(engine))
        turn_away_overdue(engine);
    while (engine->waiting.n > 0 && has_place(engine)) {
        struct engine_job *batch[START_MOST];
        size_t n = 0;
        unsigned retry_after_s = RETRY_AFTER_S;
        size_t room = engine->backend->room(engine->state, &retry_after_s);
        if (room == 0) {
            turn_away_waiting(engine, retry_after_s);
            return;
        }
        uint64_t now_us = clock_monotonic_us(engine->context->clock);
        while (n < START_MOST && n < room && engine->waiting.n > 0 && has_place(engine)) {
            struct engine_job *job = queue_pop(&engine->waiting);
            job->phase = RUNNING;
            job->started_us = now_us;
            engine->running++;
            batch[n++] = job;
        }
        stats_subtract(engine->context->stats, STAT_queue, n);
        stats_add(engine->context->stats, STAT_in_flight, n);
        stats_add(engine->context->stats, STAT_inferences, n);
        engine->backend->start(engine->state, batch, n);
    }
}

static void answer_turned_away(struct engine *engine) {
    /* Those that `done` adds have to wait for their turn, or the loop would never get out of here. */
    for (size_t n = engine->turned_away.n; n > 0 && engine->turned_away.n > 0; n--) {
        struct engine_job *job = engine_jobs_first(&engine->turned_away);
        const struct engine_answer ANSWERS[] = {
            [QUEUE_IS_FULL] = {.status = ENGINE_OVERLOAD,
                               .detail = "too many inferences are waiting",
                               .asker_only = true,
                               .retry_after_s = RETRY_AFTER_S},
            [BACKEND_IS_DOWN] = {.status = ENGINE_DOWN,
                                 .detail = "the model's server could not be reached lately",
                                 .retry_after_s = job->retry_after_s},
            [TOO_LATE] = {.status = ENGINE_TIMEOUT,
                          .detail = "no place at the model became free in time",
                          .asker_only = true},
        };
        struct engine_answer answer = ANSWERS[job->reason];
        engine_jobs_remove(&engine->turned_away, job);
        job->phase = OVER;
        job->done(job, &answer);
    }
}

static void on_next_turn(void *user) {
    struct engine *engine = user;
    answer_turned_away(engine);
    start_waiting(engine);
    if (engine->turned_away.n > 0)
        turn_in_next(engine->context->turn, &engine->next_turn);
}

struct engine *engine_create_with(const struct engine_backend *backend, const struct context *context,
                                  struct error *error) {
    struct engine *engine = calloc(1, sizeof(*engine));
    if (!engine) {
        error_set(error, "out of memory");
        return NULL;
    }
    engine->context = context;
    engine->backend = backend;
    engine->state = backend->open(engine, context, error);
    if (!engine->state) {
        free(engine);
        return NULL;
    }
    (void)uv_timer_init(context->loop, &engine->late);
    engine->late.data = engine;
    engine->next_turn = (struct turn_task){.run = on_next_turn, .user = engine};
    queue_init(&engine->waiting);
    engine_jobs_init(&engine->turned_away);
    return engine;
}

static void wait_for_place(struct engine *engine, struct engine_job *job) {
    job->phase = WAITING;
    queue_push(&engine->waiting, job);
    stats_count(engine->context->stats, STAT_queue);
    if (job->due_ms < UINT64_MAX && !uv_is_active((uv_handle_t *)&engine->late))
        (void)uv_timer_start(&engine->late, on_late_check, LATE_CHECK_MS, LATE_CHECK_MS);
}

/* A full queue has room for a client that has less than its share of it: the newest job of the client that
 * has most makes way. */
static void take(struct engine *engine, struct engine_job *job) {
    if (job->due_ms <= now_ms(engine)) { /* of a batch that fed itself in for all its time */
        turn_away(engine, job, TOO_LATE, 0);
        return;
    }
    const struct settings *settings = engine->context->settings;
    size_t most = settings->inference_concurrency + settings->inference_queue;
    if (engine->running + engine->waiting.n >= most) {
        struct engine_job *displaced = queue_displace(&engine->waiting, job, settings->inference_queue);
        turn_away(engine, displaced ? displaced : job, QUEUE_IS_FULL, RETRY_AFTER_S);
        if (!displaced)
            return;
        stats_subtract(engine->context->stats, STAT_queue, 1);
    }
    wait_for_place(engine, job);
}

void engine_infer(struct engine *engine, struct engine_job *const *jobs, size_t n) {
    const struct engine_backend *backend = engine->backend;
    uint64_t limit_ms = backend->limit_ms ? backend->limit_ms(engine->context->settings) : UINT64_MAX;
    uint64_t now = now_ms(engine);
    for (size_t i = 0; i < n; i++) {
        struct engine_job *job = jobs[i];
        INVARIANT(job->done != NULL);
        uint64_t arrived_ms = job->arrived_us > 0 ? job->arrived_us / 1000 : now;
        job->due_ms = limit_ms < UINT64_MAX - arrived_ms ? arrived_ms + limit_ms : UINT64_MAX;
        take(engine, job);
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
    stats_subtract(engine->context->stats, STAT_in_flight, 1);
    if (engine->waiting.n > 0)
        turn_in_next(engine->context->turn, &engine->next_turn);
}

void engine_finish(struct engine *engine, struct engine_job *job, struct engine_answer answer) {
    INVARIANT(job->phase == RUNNING);
    answer.duration_us = clock_monotonic_us(engine->context->clock) - job->started_us;
    leave(engine, job);
    if (answer.status == ENGINE_OK)
        stats_time(engine->context->stats, HISTOGRAM_inference, answer.duration_us);
    else
        stats_count(engine->context->stats, STAT_inference_errors);
    job->done(job, &answer);
}

void engine_cancel(struct engine *engine, struct engine_job *job) {
    if (job->phase == RUNNING) {
        engine->backend->cancel(engine->state, job);
        leave(engine, job);
    } else if (job->phase == WAITING) {
        queue_remove(&engine->waiting, job);
        stats_subtract(engine->context->stats, STAT_queue, 1);
    } else {
        INVARIANT(job->phase == TURNED_AWAY);
        engine_jobs_remove(&engine->turned_away, job);
    }
    job->phase = OVER;
}

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

void engine_destroy(struct engine **engine) {
    struct engine *old = *engine;
    if (!old)
        return;
    *engine = NULL;
    old->backend->close(old->state);
    stats_subtract(old->context->stats, STAT_queue, old->waiting.n);
    stats_subtract(old->context->stats, STAT_in_flight, old->running);
    queue_init(&old->waiting);
    engine_jobs_init(&old->turned_away);
    old->running = 0;
    turn_forget(&old->next_turn);
    uv_close((uv_handle_t *)&old->late, on_closed);
}
