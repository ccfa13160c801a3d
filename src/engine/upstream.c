/* The engine's backend for an HTTP inference server: jobs that may travel together become calls, a call is
 * one POST, and its answer is taken apart by the dialect.
 *
 * Equal parameters and credentials travel together, whoever asked; of their traces the first job's names the
 * call. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "inferonce/base/log.h"
#include "inferonce/engine/backend.h"
#include "inferonce/engine/dialect.h"
#include "inferonce/engine/http_post.h"
#include "inferonce/engine/jobs.h"
#include "inferonce/engine/trace_context.h"
#include "inferonce/engine/transfers.h"
#include "inferonce/engine/upstream_breaker.h"

#define BATCH_MOST 256 /* UPSTREAM_BATCH's highest */

/* How large an answer may be beyond CACHE_MAX_ENTRY_KB for each of its texts: a result that is too large to
 * be stored is still answered. The limit keeps a server that never ends from taking all memory. */
#define ANSWER_BYTES_BEYOND (16u * 1024 * 1024)

/* Calls that are kept, with their libcurl handles, for the next ones. */
#define POOLED_MOST 64

#define RETRY_AFTER_MOST_S 3600
#define ID_MAX             17

/* One POST. */
struct call {
    struct upstream *upstream;
    struct call *next, *previous;
    struct http_post post;
    const struct dialect *dialect;
    struct engine_job **jobs; /* owned; in the order of their texts; NULL: cancelled */
    size_t n, capacity;
    size_t wanted; /* jobs that are not cancelled */
    bool running;
    bool probe; /* it is the breaker's */
    char id[ID_MAX];
};

struct upstream {
    struct engine *engine;
    const struct settings *settings;
    const struct clock *clock;
    struct stats *stats;
    struct upstream_sockets *sockets;
    struct transfers *transfers; /* NULL: closed */
    struct trust *trust;
    struct upstream_breaker breaker;
    struct call *first; /* running */
    struct call *free;  /* linked by `next` */
    size_t n_free;
    struct engine_jobs unstarted; /* that cannot be sent; are told so next turn */
    uv_idle_t turn;
};

/* ---- calls ---- */

static void destroy_call(struct call *call) {
    http_post_fini(&call->post);
    free(call->jobs);
    free(call);
}

static struct call *take_call(struct upstream *upstream) {
    struct call *call = upstream->free;
    if (call) {
        upstream->free = call->next;
        upstream->n_free--;
        return call;
    }
    call = calloc(1, sizeof(*call));
    if (!call)
        return NULL;
    call->upstream = upstream;
    if (!http_post_init(&call->post)) {
        free(call);
        return NULL;
    }
    return call;
}

static void release_call(struct upstream *upstream, struct call *call) {
    if (!upstream->transfers || upstream->n_free == POOLED_MOST) {
        destroy_call(call);
        return;
    }
    http_post_reset(&call->post);
    call->next = upstream->free;
    upstream->free = call;
    upstream->n_free++;
}

static void list_call(struct call *call) {
    struct upstream *upstream = call->upstream;
    call->running = true;
    call->previous = NULL;
    call->next = upstream->first;
    if (call->next)
        call->next->previous = call;
    upstream->first = call;
}

static void unlist_call(struct call *call) {
    call->running = false;
    *(call->previous ? &call->previous->next : &call->upstream->first) = call->next;
    if (call->next)
        call->next->previous = call->previous;
}

/* Nobody waits for it any more. */
static void abandon_call(struct call *call) {
    struct upstream *upstream = call->upstream;
    unlist_call(call);
    transfers_abandon(upstream->transfers, call->post.easy);
    upstream_breaker_gave_up(&upstream->breaker, call->probe);
    release_call(upstream, call);
}

/* ---- what is sent ---- */

/* 0 when the kernel has none to give. */
static uint64_t random_number(void) {
    uint64_t number = 0;
    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != (ssize_t)sizeof(number))
        return 0;
    return number;
}

static struct dialect_question question_of(const struct call *call, const struct bytes *texts) {
    return (struct dialect_question){
        .texts = texts,
        .n = call->n,
        .parameters = call->jobs[0] ? call->jobs[0]->parameters : (struct bytes){NULL, 0},
        .model_name = bytes_of(call->upstream->settings->model_name),
        .id = bytes_of(call->id),
        .input_name = bytes_of(call->upstream->settings->upstream_input_name),
        .column = call->upstream->settings->upstream_kserve_shape == UPSTREAM_KSERVE_SHAPE_N1};
}

static void encode(struct call *call) {
    struct bytes texts[BATCH_MOST];
    for (size_t i = 0; i < call->n; i++)
        texts[i] = call->jobs[i]->text;
    struct dialect_question question = question_of(call, texts);
    call->dialect->encode(&question, &call->post.body);
}

static uint64_t now_ms(const struct upstream *upstream) {
    return clock_monotonic_us(upstream->clock) / 1000;
}

static bool prepare(struct call *call) {
    const struct upstream *upstream = call->upstream;
    const struct settings *settings = upstream->settings;
    const struct engine_job *job = call->jobs[0];
    uint64_t now = now_ms(upstream), parent = random_number();
    char traceparent[TRACE_PARENT_LENGTH + 1];
    struct http_post_target target = {.url = settings->upstream_url,
                                      .connect_timeout_ms = settings->upstream_connect_timeout_ms,
                                      .timeout_ms = job->due_ms > now ? job->due_ms - now : 1,
                                      .sockets = upstream->sockets,
                                      .keeps_http_1 = settings->upstream_reuse == UPSTREAM_REUSE_ALL,
                                      .trust = upstream->trust};
    struct http_post_fields fields = {.host = bytes_of(settings->upstream_host),
                                      .authorization = job->authorization};
    if (parent != 0 && trace_context_continue(job->traceparent, parent, traceparent)) {
        fields.traceparent = bytes_of(traceparent);
        fields.tracestate = job->tracestate;
    }
    call->post.answer.cap = ANSWER_BYTES_BEYOND + settings->cache_max_entry_kb * 1024 * call->n;
    snprintf(call->id, sizeof(call->id), "%016llx", (unsigned long long)random_number());
    encode(call);
    return http_post_prepare(&call->post, &target, &fields);
}

static bool hold(struct call *call, struct engine_job *const *jobs, size_t n) {
    if (n > call->capacity) {
        struct engine_job **more = reallocarray(call->jobs, n, sizeof(struct engine_job *));
        if (!more)
            return false;
        call->jobs = more;
        call->capacity = n;
    }
    for (size_t i = 0; i < n; i++) {
        call->jobs[i] = jobs[i];
        jobs[i]->call = call;
        jobs[i]->place = i;
    }
    call->n = call->wanted = n;
    return true;
}

static void on_turn(uv_idle_t *turn);

static void leave_unstarted(struct upstream *upstream, struct engine_job *job) {
    job->call = NULL;
    engine_jobs_append(&upstream->unstarted, job);
    (void)uv_idle_start(&upstream->turn, on_turn);
}

static void begin_call(struct upstream *upstream, struct engine_job *const *jobs, size_t n) {
    struct call *call = take_call(upstream);
    if (call) {
        call->dialect = dialect_of((enum settings_dialect)upstream->settings->upstream_dialect);
        if (hold(call, jobs, n) && prepare(call) && transfers_begin(upstream->transfers, call->post.easy)) {
            call->probe = upstream_breaker_asked(&upstream->breaker, clock_monotonic_us(upstream->clock));
            list_call(call);
            return;
        }
        release_call(upstream, call);
    }
    for (size_t i = 0; i < n; i++)
        leave_unstarted(upstream, jobs[i]);
}

/* ---- what came back ---- */

static struct call *call_of(CURL *easy) {
    char *post = NULL;
    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &post);
    return (struct call *)(void *)(post - offsetof(struct call, post));
}

static unsigned retry_after(uint64_t seconds) {
    if (seconds == 0)
        return 1;
    return seconds < RETRY_AFTER_MOST_S ? (unsigned)seconds : RETRY_AFTER_MOST_S;
}

static struct engine_answer failure(enum engine_status status, const char *detail) {
    return (struct engine_answer){.status = status, .detail = detail};
}

static const struct engine_answer NO_MEMORY = {
    .status = ENGINE_SHORT, .detail = "no memory for the inference", .retry_after_s = 1};

static const struct engine_answer NO_CONNECTION = {
    .status = ENGINE_SHORT,
    .detail = "no descriptor or memory for a connection to the model",
    .retry_after_s = 1};

/* An answer that is no success. */
static struct engine_answer answer_of_status(const struct http_post_outcome *outcome) {
    struct engine_answer answer = {.status = ENGINE_REFUSED,
                                   .detail = "the model's server answered with an error"};
    switch (outcome->status) {
    case 400:
    case 401:
    case 403:
    case 413:
    case 415:
    case 422:
        answer.status = ENGINE_REJECTED;
        answer.http_status = outcome->status;
        answer.detail = "the model's server did not accept the request";
        break;
    case 429:
    case 503:
        answer.status = ENGINE_OVERLOAD;
        answer.retry_after_s = retry_after(outcome->retry_after_s);
        answer.detail = "the model's server is overloaded";
        break;
    default:
        break;
    }
    return answer;
}

static struct engine_answer answer_of_failure(const struct http_post_outcome *outcome) {
    switch (outcome->end) {
    case HTTP_POST_ANSWERED:
        return answer_of_status(outcome);
    case HTTP_POST_TIMED_OUT:
        return failure(ENGINE_TIMEOUT, outcome->reached ? "the model did not answer in time"
                                                        : "the model's server could not be reached in time");
    case HTTP_POST_TOO_LARGE:
        return failure(ENGINE_BAD_ANSWER, "the model's answer is too large");
    case HTTP_POST_LOST:
        return failure(ENGINE_REFUSED,
                       "the model's server ended the connection before its answer was complete");
    case HTTP_POST_SHORT:
        return NO_CONNECTION;
    case HTTP_POST_NOT_REACHED:
        break;
    }
    if (outcome->untrusted)
        return failure(ENGINE_REFUSED,
                       "no TLS connection to the model's server: is its certificate trusted?");
    return failure(ENGINE_REFUSED, outcome->refused ? "the model's server refuses connections"
                                                    : "the model's server could not be reached");
}

/* Each job that is still wanted ends; what it did is `user`'s to know. */
static void finish(struct call *call, size_t i, const struct engine_answer *answer) {
    struct engine_job *job = call->jobs[i];
    if (!job)
        return;
    call->jobs[i] = NULL;
    struct engine_answer its = *answer;
    its.texts = call->n;
    engine_finish(call->upstream->engine, job, its);
}

static void finish_all(struct call *call, const struct engine_answer *answer) {
    for (size_t i = 0; i < call->n; i++)
        finish(call, i, answer);
}

static void finish_success(struct call *call, const struct http_post_outcome *outcome) {
    struct dialect_result results[BATCH_MOST];
    struct bytes answer = buffer_bytes(&call->post.answer);
    struct dialect_question question = question_of(call, NULL);
    struct buffer made;
    buffer_init(&made, 2 * call->post.answer.cap);
    bool decoded = dialect_decode(call->dialect, &question, answer, &made, results);
    for (size_t i = 0; i < call->n; i++) {
        struct engine_answer found = {.status = ENGINE_OK,
                                      .storable = !outcome->freshness.forbidden,
                                      .lifetime_ms = freshness_lifetime_ms(&outcome->freshness)};
        if (results[i].good)
            found.body = dialect_result_bytes(&results[i], answer, &made);
        else
            found = decoded ? failure(ENGINE_BAD_ANSWER, "the model's answer is not what was expected")
                            : NO_MEMORY;
        finish(call, i, &found);
    }
    buffer_fini(&made);
}

/* A server that refuses several texts because of one does not say which: each is asked for alone, in what is
 * left of its time. */
static bool may_be_for_one_text(const struct call *call, const struct http_post_outcome *outcome) {
    return call->wanted > 1 && outcome->end == HTTP_POST_ANSWERED &&
           (outcome->status == 400 || outcome->status == 413 || outcome->status == 422);
}

static void begin_each_alone(struct call *call) {
    for (size_t i = 0; i < call->n; i++)
        if (call->jobs[i])
            begin_call(call->upstream, &call->jobs[i], 1);
}

static void tell_breaker(struct call *call, const struct http_post_outcome *outcome) {
    struct upstream *upstream = call->upstream;
    char place[HTTP_POST_PLACE_MAX];
    http_post_place(upstream->settings->upstream_url, place);
    if (outcome->end == HTTP_POST_SHORT) {
        upstream_breaker_gave_up(&upstream->breaker, call->probe);
    } else if (outcome->reached) {
        if (upstream_breaker_reached(&upstream->breaker))
            LOG(LOG_INFO, "upstream_back", LOG_TEXT("server", place));
    } else if (upstream_breaker_not_reached(&upstream->breaker, call->probe,
                                            clock_monotonic_us(upstream->clock))) {
        LOG(LOG_WARN, "upstream_down", LOG_TEXT("server", place), LOG_TEXT("error", outcome->error),
            LOG_NUMBER("pause_ms", upstream->breaker.pause_us / 1000));
    }
}

static void log_failure(const struct upstream *upstream, const struct http_post_outcome *outcome) {
    char place[HTTP_POST_PLACE_MAX];
    http_post_place(upstream->settings->upstream_url, place);
    if (outcome->end == HTTP_POST_ANSWERED)
        LOG(LOG_WARN, "upstream_error", LOG_TEXT("server", place), LOG_NUMBER("status", outcome->status));
    else if (outcome->end == HTTP_POST_SHORT)
        LOG(LOG_ERROR, "upstream_no_connection", LOG_TEXT("server", place),
            LOG_TEXT("error", outcome->error));
    else
        LOG(LOG_WARN, "upstream_failed", LOG_TEXT("server", place), LOG_TEXT("error", outcome->error));
}

/* The jobs' ends may begin new calls, cancel jobs of this one, and close everything. */
static void on_ended(void *context, CURL *easy, CURLcode result) {
    struct upstream *upstream = context;
    struct call *call = call_of(easy);
    struct http_post_outcome outcome;
    if (http_post_begins_again(&call->post) && transfers_begin(upstream->transfers, easy))
        return;
    http_post_ended(&call->post, result, &outcome);
    unlist_call(call);
    tell_breaker(call, &outcome);
    if (outcome.end == HTTP_POST_ANSWERED && outcome.status >= 200 && outcome.status < 300) {
        finish_success(call, &outcome);
    } else if (may_be_for_one_text(call, &outcome)) {
        begin_each_alone(call);
    } else {
        struct engine_answer answer = answer_of_failure(&outcome);
        if (answer.status != ENGINE_REJECTED)
            log_failure(upstream, &outcome);
        if (outcome.end == HTTP_POST_SHORT)
            stats_add(upstream->stats, STAT_inferences_without_connection, call->wanted);
        finish_all(call, &answer);
    }
    release_call(upstream, call);
}

/* ---- jobs that cannot be sent ---- */

static void finish_unstarted(struct upstream *upstream, struct engine_job *job) {
    const struct dialect *dialect = dialect_of((enum settings_dialect)upstream->settings->upstream_dialect);
    const char *reserved =
        dialect_reserved_parameter(dialect, upstream->settings->upstream_input_name, job->parameters);
    struct engine_answer answer = NO_MEMORY;
    char detail[80];
    if (reserved) {
        snprintf(detail, sizeof(detail), "the member \"%s\" cannot be given: the model gets it from here",
                 reserved);
        answer = (struct engine_answer){.status = ENGINE_REJECTED, .detail = detail, .http_status = 422};
    }
    engine_finish(upstream->engine, job, answer);
}

static void on_turn(uv_idle_t *turn) {
    struct upstream *upstream = turn->data;
    for (size_t n = upstream->unstarted.n; n > 0 && upstream->unstarted.n > 0; n--) {
        struct engine_job *job = upstream->unstarted.first;
        engine_jobs_remove(&upstream->unstarted, job);
        finish_unstarted(upstream, job);
    }
    if (upstream->unstarted.n == 0)
        (void)uv_idle_stop(turn);
}

/* ---- the backend ---- */

static bool travel_together(const struct engine_job *a, const struct engine_job *b) {
    return bytes_equal(a->parameters, b->parameters) && bytes_equal(a->authorization, b->authorization);
}

/* Takes the first of the jobs, and those behind it that can travel with it. */
static size_t take_company(struct engine_jobs *jobs, size_t most, struct engine_job *company[BATCH_MOST]) {
    size_t n = 0;
    for (struct engine_job *job = jobs->first, *next; job && n < most; job = next) {
        next = job->next;
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
    const struct dialect *dialect = dialect_of((enum settings_dialect)settings->upstream_dialect);
    size_t most = dialect->takes_batches ? (size_t)settings->upstream_batch : 1;
    uint64_t due_ms = now_ms(upstream) + settings->upstream_timeout_ms;
    struct engine_jobs rest = {0};
    for (size_t i = 0; i < n; i++) {
        jobs[i]->due_ms = due_ms;
        if (dialect_reserved_parameter(dialect, settings->upstream_input_name, jobs[i]->parameters))
            leave_unstarted(upstream, jobs[i]);
        else
            engine_jobs_append(&rest, jobs[i]);
    }
    while (rest.n > 0) {
        struct engine_job *company[BATCH_MOST];
        size_t together = take_company(&rest, most < BATCH_MOST ? most : BATCH_MOST, company);
        begin_call(upstream, company, together);
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
        abandon_call(call);
}

static size_t room(void *state, unsigned *retry_after_s) {
    const struct upstream *upstream = state;
    uint64_t wait_us = 0;
    size_t room = upstream_breaker_room(&upstream->breaker, clock_monotonic_us(upstream->clock), &wait_us);
    if (room == 0)
        *retry_after_s = (unsigned)((wait_us + 999999) / 1000000);
    return room;
}

static void on_closed(uv_handle_t *turn) {
    struct upstream *upstream = turn->data;
    trust_free(&upstream->trust);
    free(upstream);
    curl_global_cleanup();
}

static void close_upstream(void *state) {
    struct upstream *upstream = state;
    struct call *call;
    upstream->unstarted = (struct engine_jobs){0};
    while ((call = upstream->first) != NULL) {
        unlist_call(call);
        transfers_abandon(upstream->transfers, call->post.easy);
        destroy_call(call);
    }
    while ((call = upstream->free) != NULL) {
        upstream->free = call->next;
        destroy_call(call);
    }
    transfers_close(&upstream->transfers);
    upstream_sockets_destroy(&upstream->sockets);
    uv_close((uv_handle_t *)&upstream->turn, on_closed);
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

static void *open_upstream(struct engine *engine, const struct engine_options *options, struct error *error) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        error_set(error, "libcurl cannot be used");
        return NULL;
    }
    struct upstream *upstream = calloc(1, sizeof(*upstream));
    if (!upstream) {
        error_set(error, "no memory for the connection to the model");
        curl_global_cleanup();
        return NULL;
    }
    upstream->engine = engine;
    upstream->settings = options->settings;
    upstream->clock = options->clock;
    upstream->stats = options->stats;
    if (load_trust(options->settings, &upstream->trust, error))
        upstream->sockets =
            upstream_sockets_create(options->settings->upstream_reuse == UPSTREAM_REUSE_ALL, error);
    if (upstream->sockets)
        upstream->transfers = transfers_create(options->loop, upstream->sockets, on_ended, upstream, error);
    if (!upstream->transfers) {
        upstream_sockets_destroy(&upstream->sockets);
        trust_free(&upstream->trust);
        free(upstream);
        curl_global_cleanup();
        return NULL;
    }
    (void)uv_idle_init(options->loop, &upstream->turn);
    upstream->turn.data = upstream;
    return upstream;
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
    .longest_us = longest_us,
    .check = check,
};
