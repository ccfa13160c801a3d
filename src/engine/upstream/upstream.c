/* The engine's backend for an HTTP inference server: jobs that may travel together become calls, a call is
 * one POST, and its answer is taken apart by the dialect.
 *
 * Equal parameters and credentials travel together, whoever asked; of their traces the first job's names the
 * call. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/upstream/parts.h"

/* ---- jobs that cannot be sent ---- */

static void finish_unstarted(struct upstream *upstream, struct engine_job *job) {
    const char *reserved = dialect_reserved_parameter(
        upstream->dialect, upstream->settings->upstream_input_name, job->parameters);
    struct engine_answer answer = UPSTREAM_NO_MEMORY;
    char detail[200];
    if (reserved) {
        snprintf(detail, sizeof(detail), "the member \"%s\" cannot be given: the model gets it from here",
                 reserved);
        answer = (struct engine_answer){.status = ENGINE_REJECTED, .detail = detail, .http_status = 422};
    }
    engine_finish(upstream->engine, job, answer);
}

static void on_next_turn(void *user) {
    struct upstream *upstream = user;
    for (size_t n = upstream->unstarted.n; n > 0 && upstream->unstarted.n > 0; n--) {
        struct engine_job *job = engine_jobs_first(&upstream->unstarted);
        engine_jobs_remove(&upstream->unstarted, job);
        finish_unstarted(upstream, job);
    }
    if (upstream->unstarted.n > 0)
        turn_in_next(upstream->turn, &upstream->next_turn);
}

/* ---- the backend ---- */

/* Failures without a connection; a server that answers, whatever it answers, was reached: that may be for the
 * one text's sake. */
static const struct breaker_limits BREAKER = {.failures = 5, .first_us = 1000000, .most_us = 30000000};

static bool travel_together(const struct engine_job *a, const struct engine_job *b) {
    return bytes_equal(a->parameters, b->parameters) && bytes_equal(a->authorization, b->authorization);
}

/* Takes the first of the jobs, and those behind it that can travel with it. */
static size_t take_company(struct engine_jobs *jobs, size_t most,
                           struct engine_job *company[UPSTREAM_BATCH_MOST]) {
    size_t n = 0;
    struct engine_job *next;
    for (struct engine_job *job = engine_jobs_first(jobs); job && n < most; job = next) {
        next = TAILQ_NEXT(job, links);
        if (n > 0 && !travel_together(company[0], job))
            continue;
        engine_jobs_remove(jobs, job);
        company[n++] = job;
    }
    return n;
}

static void start(void *state, struct engine_job *const *jobs, size_t n) {
    struct upstream *upstream = state;
    const struct settings *settings = upstream->settings;
    const struct dialect *dialect = upstream->dialect;
    size_t most = dialect->takes_batches ? (size_t)settings->upstream_batch : 1;
    struct engine_jobs rest;
    engine_jobs_init(&rest);
    for (size_t i = 0; i < n; i++) {
        if (dialect_reserved_parameter(dialect, settings->upstream_input_name, jobs[i]->parameters))
            upstream_leave_unstarted(upstream, jobs[i]);
        else
            engine_jobs_append(&rest, jobs[i]);
    }
    while (rest.n > 0) {
        struct engine_job *company[UPSTREAM_BATCH_MOST];
        size_t together =
            take_company(&rest, most < UPSTREAM_BATCH_MOST ? most : UPSTREAM_BATCH_MOST, company);
        upstream_begin(upstream, company, together, 0);
    }
}

static void cancel(void *state, struct engine_job *job) {
    struct upstream *upstream = state;
    struct call *call = job->call;
    if (!call) {
        engine_jobs_remove(&upstream->unstarted, job);
        return;
    }
    call->jobs[job->place] = NULL;
    if (--call->wanted == 0 && call->running)
        upstream_abandon(call);
}

static size_t room(void *state, unsigned *retry_after_s) {
    const struct upstream *upstream = state;
    uint64_t wait_us = 0;
    size_t room = breaker_room(&upstream->breaker, clock_monotonic_us(upstream->clock), &wait_us);
    if (room == 0)
        *retry_after_s = (unsigned)((wait_us + 999999) / 1000000);
    return room;
}

static void on_closed(void *context) {
    struct upstream *upstream = context;
    trust_free(&upstream->trust);
    free(upstream);
    curl_global_cleanup();
}

static void close_upstream(void *state) {
    struct upstream *upstream = state;
    if (upstream->breaker.open)
        stats_subtract(upstream->stats, STAT_model_unreachable, 1);
    engine_jobs_init(&upstream->unstarted);
    upstream_destroy_calls(upstream);
    turn_forget(&upstream->next_turn);
    transfers_close(&upstream->transfers, on_closed);
    upstream_sockets_destroy(&upstream->sockets);
}

/* False: the setting names a file that cannot be used. */
static bool load_trust(const struct settings *settings, struct trust **trust, struct error *error) {
    *trust = NULL;
    return settings->upstream_ca_file[0] == '\0' ||
           (*trust = trust_load(settings->upstream_ca_file, error)) != NULL;
}

static bool check(const struct settings *settings, struct error *error) {
    struct trust *trust;
    bool good = load_trust(settings, &trust, error);
    trust_free(&trust);
    return good;
}

static void *open_upstream(struct engine *engine, const struct context *context, struct error *error) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        error_set(error, "libcurl cannot be used");
        return NULL;
    }
    struct upstream *upstream = calloc(1, sizeof(*upstream));
    if (!upstream) {
        error_set(error, "out of memory");
        curl_global_cleanup();
        return NULL;
    }
    upstream->engine = engine;
    upstream->settings = context->settings;
    upstream->dialect = dialect_of((enum settings_dialect)context->settings->upstream_dialect);
    upstream->clock = context->clock;
    upstream->stats = context->stats;
    upstream->breaker.limits = &BREAKER;
    engine_jobs_init(&upstream->unstarted);
    if (load_trust(context->settings, &upstream->trust, error))
        upstream->sockets =
            upstream_sockets_create(context->settings->upstream_reuse == UPSTREAM_REUSE_ALL, error);
    if (upstream->sockets)
        upstream->transfers =
            transfers_create(context->loop, upstream->sockets, upstream_on_ended, upstream, error);
    if (!upstream->transfers) {
        upstream_sockets_destroy(&upstream->sockets);
        trust_free(&upstream->trust);
        free(upstream);
        curl_global_cleanup();
        return NULL;
    }
    upstream->turn = context->turn;
    upstream->next_turn = (struct turn_task){.run = on_next_turn, .user = upstream};
    return upstream;
}

static uint64_t limit_ms(const struct settings *settings) {
    return settings->upstream_timeout_ms;
}

/* libcurl's timeouts are exact to the millisecond, and the loop's turns come between. */
static uint64_t longest_us(const struct settings *settings) {
    return (settings->upstream_timeout_ms + 100) * 1000;
}

const struct engine_backend engine_upstream = {
    .open = open_upstream,
    .start = start,
    .cancel = cancel,
    .close = close_upstream,
    .room = room,
    .limit_ms = limit_ms,
    .longest_us = longest_us,
    .check = check,
};
