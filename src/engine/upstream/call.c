/* Calls to the model's server: made, kept for the next, and sent. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "engine/upstream/parts.h"
#include "engine/upstream/trace.h"

/* How large an answer may be beyond CACHE_MAX_ENTRY_KB for each of its texts: a result that is too large to
 * be stored is still answered. The limit keeps a server that never ends from taking all memory. */
#define ANSWER_BYTES_BEYOND (16u * 1024 * 1024)

/* Calls that are kept, with their libcurl handles, for the next ones. */
#define POOLED_MOST 64

uint64_t upstream_now_ms(const struct upstream *upstream) {
    return clock_monotonic_us(upstream->clock) / 1000;
}

/* ---- calls ---- */

static void destroy_call(struct call *call) {
    http_post_fini(&call->post);
    free(call->jobs);
    free(call);
}

static struct call *take_call(struct upstream *upstream) {
    struct call *call = LIST_FIRST(&upstream->free);
    if (call) {
        LIST_REMOVE(call, links);
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

void upstream_release(struct upstream *upstream, struct call *call) {
    if (!upstream->transfers || !http_post_reset(&call->post) || upstream->n_free == POOLED_MOST) {
        destroy_call(call);
        return;
    }
    LIST_INSERT_HEAD(&upstream->free, call, links);
    upstream->n_free++;
}

static void list_call(struct call *call) {
    call->running = true;
    LIST_INSERT_HEAD(&call->upstream->running, call, links);
}

void upstream_unlist(struct call *call) {
    call->running = false;
    LIST_REMOVE(call, links);
}

void upstream_abandon(struct call *call) {
    struct upstream *upstream = call->upstream;
    upstream_unlist(call);
    transfers_abandon(upstream->transfers, call->post.easy);
    breaker_gave_up(&upstream->breaker, call->probe);
    upstream_trial_ended(upstream, call->trial, false);
    upstream_release(upstream, call);
}

void upstream_destroy_calls(struct upstream *upstream) {
    struct call *call;
    while ((call = LIST_FIRST(&upstream->running)) != NULL) {
        upstream_unlist(call);
        transfers_abandon(upstream->transfers, call->post.easy);
        destroy_call(call);
    }
    while ((call = LIST_FIRST(&upstream->free)) != NULL) {
        LIST_REMOVE(call, links);
        destroy_call(call);
    }
}

/* ---- what is sent ---- */

/* 0 when the kernel has none to give. */
static uint64_t random_number(void) {
    uint64_t number = 0;
    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != (ssize_t)sizeof(number))
        return 0;
    return number;
}

/* Without MODEL_NAME the URL stands for it in keys; a model's server is not told that. */
static struct bytes model_name(const struct settings *settings) {
    return settings_name_model(settings) ? bytes_of(settings->model_name) : (struct bytes){NULL, 0};
}

struct dialect_question upstream_question(const struct call *call, const struct bytes *texts) {
    const struct settings *settings = call->upstream->settings;
    return (struct dialect_question){.texts = texts,
                                     .n = call->n,
                                     .parameters =
                                         call->jobs[0] ? call->jobs[0]->parameters : (struct bytes){NULL, 0},
                                     .model_name = model_name(settings),
                                     .id = bytes_of(call->id),
                                     .input_name = bytes_of(settings->upstream_input_name),
                                     .column = settings->upstream_kserve_shape == UPSTREAM_KSERVE_SHAPE_N1};
}

static void encode(struct call *call) {
    struct bytes texts[UPSTREAM_BATCH_MOST];
    for (size_t i = 0; i < call->n; i++)
        texts[i] = call->jobs[i]->text;
    struct dialect_question question = upstream_question(call, texts);
    call->upstream->dialect->encode(&question, &call->post.body);
}

/* Until the last of its jobs is due. */
static void set_times(struct call *call, uint64_t now_ms) {
    call->due_ms = now_ms + 1;
    for (size_t i = 0; i < call->n; i++)
        if (call->jobs[i]->due_ms > call->due_ms)
            call->due_ms = call->jobs[i]->due_ms;
    call->reached_by_ms = now_ms + call->upstream->settings->upstream_connect_timeout_ms;
}

static bool prepare(struct call *call) {
    const struct upstream *upstream = call->upstream;
    const struct settings *settings = upstream->settings;
    const struct engine_job *job = call->jobs[0];
    uint64_t parent = random_number(), now_ms = upstream_now_ms(upstream);
    set_times(call, now_ms);
    char traceparent[TRACE_PARENT_LENGTH + 1];
    struct http_post_target target = {.url = settings->upstream_url,
                                      .connect_timeout_ms = settings->upstream_connect_timeout_ms,
                                      .timeout_ms = call->due_ms - now_ms,
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

void upstream_leave_unstarted(struct upstream *upstream, struct engine_job *job) {
    job->call = NULL;
    engine_jobs_append(&upstream->unstarted, job);
    turn_in_next(upstream->turn, &upstream->next_turn);
}

void upstream_begin(struct upstream *upstream, struct engine_job *const *jobs, size_t n, uint64_t trial) {
    struct call *call = take_call(upstream);
    if (call) {
        call->trial = trial;
        if (hold(call, jobs, n) && prepare(call) && transfers_begin(upstream->transfers, call->post.easy)) {
            call->probe = breaker_asked(&upstream->breaker, clock_monotonic_us(upstream->clock));
            list_call(call);
            return;
        }
        upstream_release(upstream, call);
    }
    upstream_trial_ended(upstream, trial, false);
    for (size_t i = 0; i < n; i++)
        upstream_leave_unstarted(upstream, jobs[i]);
}

/* ---- the ends of jobs ---- */

bool upstream_finish(struct call *call, size_t i, const struct engine_answer *answer) {
    struct upstream *upstream = call->upstream;
    struct engine_job *job = call->jobs[i];
    if (!job)
        return true;
    struct engine_answer its = *answer;
    its.texts = call->n;
    call->jobs[i] = NULL;
    call->wanted--;
    engine_finish(upstream->engine, job, its);
    return upstream->transfers != NULL;
}
