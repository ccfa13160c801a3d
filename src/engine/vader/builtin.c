/* The built-in model as a backend: due when its declared delay is over, scored in slices. */
#include <stdlib.h>

#include "engine/backend.h"
#include "engine/jobs.h"
#include "engine/vader/vader.h"

/* Bytes that are read in one turn of the loop before its descriptors are served again, so that hits do not
 * wait for a long text or for many that became due together: about a millisecond. A job costs what is read
 * for it, which is its text twice, and a fixed sum for answering it. */
#define TURN_BYTES 65536
#define JOB_BYTES  2048

#define BODY_CAP 128 /* more than vader_append_result writes */

/* The delay is the same for all jobs, so they become due in the order in which they came: one list and one
 * timer, for the first in it, do for any number. (If a reload shortens the delay, the later ones still do not
 * overtake.) */
struct builtin {
    struct engine *engine;
    const struct settings *settings;
    struct engine_jobs running;
    struct vader_scoring *scoring;
    bool scores; /* the first job's text, in as many turns as it takes */
    struct buffer body;
    uv_timer_t timer; /* while the first job is not due yet */
    struct turn *turn;
    struct turn_task work; /* while it is; gives way to the loop's other work between turns */
};

static void answer(struct builtin *builtin, struct engine_job *job, const struct vader_scores *scores) {
    buffer_reset(&builtin->body, BODY_CAP);
    vader_append_result(scores, &builtin->body);
    INVARIANT(!builtin->body.failed); /* its memory was taken when the backend was opened */
    engine_finish(builtin->engine, job,
                  (struct engine_answer){
                      .status = ENGINE_OK,
                      .body = buffer_bytes(&builtin->body),
                      .storable = true,
                      .lifetime_ms = UINT64_MAX,
                  });
}

static bool is_due(const struct builtin *builtin, const struct engine_job *job) {
    return job->due_ms <= uv_now(builtin->timer.loop);
}

static void on_timer(uv_timer_t *timer);

/* Sees to it that the first job is worked on when it is due. */
static void schedule(struct builtin *builtin) {
    const struct engine_job *first = engine_jobs_first(&builtin->running);
    bool due = first && is_due(builtin, first);
    if (due)
        turn_in_next(builtin->turn, &builtin->work);
    else
        turn_forget(&builtin->work);
    if (first && !due)
        (void)uv_timer_start(&builtin->timer, on_timer, first->due_ms - uv_now(builtin->timer.loop), 0);
    else
        (void)uv_timer_stop(&builtin->timer);
}

static void on_timer(uv_timer_t *timer) {
    schedule(timer->data);
}

/* Goes on with the first job, and lowers `*bytes` by what that cost. */
static void work_on_first(struct builtin *builtin, size_t *bytes) {
    struct engine_job *job = engine_jobs_first(&builtin->running);
    struct vader_scores scores;
    if (!builtin->scores)
        vader_scoring_begin(builtin->scoring, job->text);
    builtin->scores = !vader_scoring_go_on(builtin->scoring, bytes, &scores);
    if (builtin->scores)
        return;
    *bytes -= *bytes < JOB_BYTES ? *bytes : JOB_BYTES;
    engine_jobs_remove(&builtin->running, job);
    answer(builtin, job, &scores);
}

static void on_work(void *user) {
    struct builtin *builtin = user;
    size_t bytes = TURN_BYTES;
    while (bytes > 0 && builtin->running.n > 0 && is_due(builtin, engine_jobs_first(&builtin->running)))
        work_on_first(builtin, &bytes);
    schedule(builtin);
}

/* All that it will ever need: an inference allocates nothing. */
static bool take_memory(struct builtin *builtin) {
    buffer_init(&builtin->body, BODY_CAP);
    builtin->scoring = vader_scoring_create();
    if (builtin->scoring && buffer_reserve(&builtin->body, BODY_CAP))
        return true;
    vader_scoring_destroy(&builtin->scoring);
    return false;
}

static void *open_builtin(struct engine *engine, const struct context *context, struct error *error) {
    struct builtin *builtin = calloc(1, sizeof(*builtin));
    if (!builtin || !take_memory(builtin)) {
        error_set(error, "out of memory");
        free(builtin);
        return NULL;
    }
    builtin->engine = engine;
    builtin->settings = context->settings;
    engine_jobs_init(&builtin->running);
    builtin->turn = context->turn;
    builtin->work = (struct turn_task){.run = on_work, .user = builtin};
    (void)uv_timer_init(context->loop, &builtin->timer);
    builtin->timer.data = builtin;
    return builtin;
}

static void start(void *state, struct engine_job *const *jobs, size_t n) {
    struct builtin *builtin = state;
    uint64_t delay_ms = builtin->settings->inference_delay_ms;
    if (delay_ms > 0) {
        /* The loop's time is that of the turn's beginning, in whole milliseconds; the delay shall not be
         * shorter than set. */
        uv_update_time(builtin->timer.loop);
        delay_ms++;
    }
    for (size_t i = 0; i < n; i++) {
        jobs[i]->due_ms = uv_now(builtin->timer.loop) + delay_ms;
        engine_jobs_append(&builtin->running, jobs[i]);
    }
    schedule(builtin);
}

static void cancel(void *state, struct engine_job *job) {
    struct builtin *builtin = state;
    if (job == engine_jobs_first(&builtin->running))
        builtin->scores = false;
    engine_jobs_remove(&builtin->running, job);
    schedule(builtin);
}

static void on_closed(uv_handle_t *handle) {
    struct builtin *builtin = handle->data;
    vader_scoring_destroy(&builtin->scoring);
    buffer_fini(&builtin->body);
    free(builtin);
}

static void close_builtin(void *state) {
    struct builtin *builtin = state;
    engine_jobs_init(&builtin->running);
    uv_close((uv_handle_t *)&builtin->timer, on_closed);
    turn_forget(&builtin->work);
}

static size_t room(void *state, unsigned *retry_after_s) {
    (void)state;
    (void)retry_after_s;
    return SIZE_MAX;
}

static uint64_t longest_us(const struct settings *settings) {
    return (settings->inference_delay_ms + 1) * 1000;
}

const struct engine_backend engine_builtin = {
    .open = open_builtin,
    .start = start,
    .cancel = cancel,
    .close = close_builtin,
    .room = room,
    .longest_us = longest_us,
};
