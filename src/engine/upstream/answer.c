/* Takes the answer of the model's server apart, and ends each text's job with its part. */
#include "engine/upstream/model_error.h"
#include "engine/upstream/parts.h"
#include "inferonce/base/log.h"

/* The most of a model's message that is logged. */
#define LOGGED_MESSAGE_MAX 200

static struct call *call_of(CURL *easy) {
    char *post = NULL;
    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &post);
    return (struct call *)(void *)(post - offsetof(struct call, post));
}

/* ---- what is told of a failure ---- */

static struct engine_answer failure(enum engine_status status, const char *detail) {
    return (struct engine_answer){.status = status, .detail = detail};
}

const struct engine_answer UPSTREAM_NO_MEMORY = {
    .status = ENGINE_SHORT, .detail = "no memory for the inference", .retry_after_s = 1};

static const struct engine_answer NO_CONNECTION = {
    .status = ENGINE_SHORT,
    .detail = "no descriptor or memory for a connection to the model",
    .retry_after_s = 1};

static const struct engine_answer NOT_EXPECTED = {.status = ENGINE_BAD_ANSWER,
                                                  .detail = "the model's answer is not what was expected"};

/* By the server's clock, if it told the time. */
static unsigned retry_after_s(const struct upstream *upstream, const struct http_post_outcome *outcome) {
    int64_t now_s = outcome->freshness.has_date ? outcome->freshness.date_s
                                                : (int64_t)(clock_wall_us(upstream->clock) / 1000000);
    return retry_after_seconds(&outcome->retry_after, now_s);
}

/* Statuses that say something about the client's own input or credential, and are its answer. */
static bool is_relayed(int status) {
    switch (status) {
    case 400:
    case 401:
    case 402:
    case 403:
    case 413:
    case 415:
    case 422:
    case 429:
        return true;
    default:
        return false;
    }
}

/* An answer that is no success. */
static struct engine_answer answer_of_status(const struct upstream *upstream,
                                             const struct http_post_outcome *outcome) {
    struct engine_answer answer = {.status = ENGINE_REFUSED,
                                   .detail = "the model's server answered with an error"};
    if (outcome->status < 300)
        return NOT_EXPECTED;
    if (outcome->status == 429 || outcome->status == 503) {
        answer.status = ENGINE_OVERLOAD;
        answer.http_status = outcome->status == 429 ? 429 : 0;
        answer.retry_after_s = retry_after_s(upstream, outcome);
        answer.detail = outcome->status == 429 ? "the model's server does not take more requests now"
                                               : "the model's server is overloaded";
    } else if (is_relayed(outcome->status)) {
        answer.status = ENGINE_REJECTED;
        answer.http_status = outcome->status;
        answer.detail = "the model's server did not accept the request";
    }
    return answer;
}

/* A server that cannot be reached would keep nobody else waiting for less. */
static struct engine_answer timed_out(const struct http_post_outcome *outcome) {
    struct engine_answer answer =
        failure(ENGINE_TIMEOUT, outcome->reached ? "the model did not answer in time"
                                                 : "the model's server could not be reached in time");
    answer.asker_only = outcome->reached;
    return answer;
}

static struct engine_answer answer_of_failure(const struct upstream *upstream,
                                              const struct http_post_outcome *outcome) {
    switch (outcome->end) {
    case HTTP_POST_ANSWERED:
        return answer_of_status(upstream, outcome);
    case HTTP_POST_TIMED_OUT:
        return timed_out(outcome);
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

/* ---- the model's own words ---- */

/* The credential without its scheme, which a server may repeat alone. */
static struct bytes token_of(struct bytes authorization) {
    const char *space =
        authorization.length > 0 ? memchr(authorization.data, ' ', authorization.length) : NULL;
    if (!space)
        return authorization;
    return bytes_trim((struct bytes){space, (size_t)(authorization.data + authorization.length - space)});
}

/* A text whose job is gone cannot be looked for in them: then there are none. */
static void read_message(const struct call *call, struct model_error *error) {
    struct bytes sent[UPSTREAM_BATCH_MOST + 2];
    error->message[0] = '\0';
    if (call->wanted < call->n)
        return;
    for (size_t i = 0; i < call->n; i++)
        sent[i] = call->jobs[i]->text;
    sent[call->n] = call->jobs[0]->authorization;
    sent[call->n + 1] = token_of(call->jobs[0]->authorization);
    model_error_read(error, buffer_bytes(&call->post.answer), sent, call->n + 2);
}

/* Cut between characters. */
static void shorten(struct model_error *message, size_t most) {
    INVARIANT(most < sizeof(message->message));
    if (strlen(message->message) <= most)
        return;
    /* cppcheck-suppress arrayIndexOutOfBoundsCond ; the text is longer than `most` */
    while (most > 0 && ((unsigned char)message->message[most] & 0xc0) == 0x80)
        most--;
    message->message[most] = '\0';
}

static void log_answer(const char *event, const struct call *call, const struct http_post_outcome *outcome,
                       const struct model_error *error) {
    struct model_error shown = *error;
    char place[HTTP_POST_PLACE_MAX];
    http_post_place(call->upstream->settings->upstream_url, place);
    shorten(&shown, LOGGED_MESSAGE_MAX);
    const struct log_field fields[] = {LOG_TEXT("server", place),
                                       LOG_NUMBER("status", outcome->status),
                                       LOG_NUMBER("texts", call->n),
                                       {.name = shown.message[0] ? "error" : NULL, .text = shown.message}};
    log_write(LOG_WARN, event, fields, sizeof(fields) / sizeof(fields[0]));
}

/* It did not get as far as an answer. */
static void log_no_answer(const struct call *call, const struct http_post_outcome *outcome) {
    char place[HTTP_POST_PLACE_MAX];
    http_post_place(call->upstream->settings->upstream_url, place);
    if (outcome->end == HTTP_POST_SHORT)
        LOG(LOG_ERROR, "upstream_no_connection", LOG_TEXT("server", place),
            LOG_TEXT("error", outcome->error));
    else
        LOG(LOG_WARN, "upstream_failed", LOG_TEXT("server", place), LOG_TEXT("error", outcome->error));
}

static void log_failure(const struct call *call, const struct http_post_outcome *outcome,
                        const struct model_error *error) {
    if (outcome->end != HTTP_POST_ANSWERED)
        log_no_answer(call, outcome);
    else if (outcome->status < 300)
        log_answer("upstream_bad_answer", call, outcome, error);
    else
        log_answer(is_relayed(outcome->status) ? "upstream_rejected" : "upstream_error", call, outcome,
                   error);
}

/* ---- counting ---- */

static void count_answer(struct stats *stats, const struct http_post_outcome *outcome) {
    if (outcome->end != HTTP_POST_ANSWERED)
        return;
    stats_time(stats, HISTOGRAM_first_byte, outcome->first_byte_us);
    if (outcome->status >= 200 && outcome->status < 600)
        stats_count_class(stats, STAT_upstream_answers_2xx, outcome->status);
    if (is_relayed(outcome->status))
        stats_count(stats, STAT_upstream_rejections);
}

static void log_down(const struct upstream *upstream, const char *error) {
    char place[HTTP_POST_PLACE_MAX];
    http_post_place(upstream->settings->upstream_url, place);
    LOG(LOG_WARN, "upstream_down", LOG_TEXT("server", place), LOG_TEXT("error", error),
        LOG_NUMBER("pause_ms", upstream->breaker.pause_us / 1000));
}

static void log_back(const struct upstream *upstream) {
    char place[HTTP_POST_PLACE_MAX];
    http_post_place(upstream->settings->upstream_url, place);
    LOG(LOG_INFO, "upstream_back", LOG_TEXT("server", place));
}

static void tell_breaker(struct call *call, const struct http_post_outcome *outcome) {
    struct upstream *upstream = call->upstream;
    struct breaker *breaker = &upstream->breaker;
    uint64_t now_us = clock_monotonic_us(upstream->clock);
    bool was_open = breaker->open;
    if (outcome->end == HTTP_POST_SHORT) {
        breaker_gave_up(breaker, call->probe);
    } else if (outcome->reached) {
        if (breaker_succeeded(breaker, now_us))
            log_back(upstream);
    } else if (breaker_failed(breaker, BREAKER_GONE, call->probe, now_us)) {
        log_down(upstream, outcome->error);
    }
    stats_add(upstream->stats, STAT_model_unreachable, (uint64_t)breaker->open - was_open);
}

/* ---- the ends of jobs ---- */

static void finish_all(struct call *call, const struct engine_answer *answer) {
    for (size_t i = 0; i < call->n; i++)
        if (!upstream_finish(call, i, answer))
            return;
}

/* ---- a success ---- */

/* A success, with what the model's server says about keeping it, unless UPSTREAM_CACHE_CONTROL ignores that.
 */
static struct engine_answer success(struct upstream *upstream, const struct http_post_outcome *outcome) {
    struct engine_answer answer = {.status = ENGINE_OK, .storable = true, .lifetime_ms = UINT64_MAX};
    if (upstream->settings->upstream_cache_control == UPSTREAM_CACHE_CONTROL_IGNORE)
        return answer;
    answer.storable = !outcome->freshness.forbidden;
    answer.lifetime_ms =
        freshness_lifetime_ms(&outcome->freshness, (int64_t)(clock_wall_us(upstream->clock) / 1000000));
    return answer;
}

/* A server that says so with every answer makes a cache that never keeps anything. */
static void tell_not_storable(struct upstream *upstream, const struct engine_answer *answer, size_t n) {
    if (answer->storable && answer->lifetime_ms > 0)
        return;
    stats_add(upstream->stats, STAT_not_storable, n);
    if (upstream->told_not_storable)
        return;
    upstream->told_not_storable = true;
    LOG(LOG_WARN, "upstream_not_storable",
        LOG_TEXT("advice",
                 "the model's server forbids to keep this answer (Cache-Control, Expires, Vary): if "
                 "it does not mean that, set UPSTREAM_CACHE_CONTROL=ignore"));
}

static size_t count_good(const struct dialect_result *results, size_t n) {
    size_t good = 0;
    for (size_t i = 0; i < n; i++)
        good += results[i].good;
    return good;
}

/* Those that have a result end. False: everything was closed meanwhile. */
static bool finish_good(struct call *call, const struct engine_answer *success,
                        const struct dialect_result *results, const struct buffer *made) {
    struct bytes whole = buffer_bytes(&call->post.answer);
    for (size_t i = 0; i < call->n; i++) {
        struct engine_answer answer = *success;
        if (!results[i].good)
            continue;
        answer.body = dialect_result_bytes(&results[i], whole, made);
        if (!upstream_finish(call, i, &answer))
            return false;
    }
    return true;
}

/* A text without a result is asked for again, or has failed. */
static void end_rest(struct call *call, const struct http_post_outcome *outcome, bool memory,
                     const struct model_error *error) {
    struct engine_answer answer = memory ? NOT_EXPECTED : UPSTREAM_NO_MEMORY;
    if (memory && error->message[0])
        answer.detail = error->message;
    if (memory && upstream_may_ask_again(call, outcome))
        upstream_ask_again(call, outcome, &answer);
    else
        finish_all(call, &answer);
}

static void end_success(struct call *call, const struct http_post_outcome *outcome) {
    struct upstream *upstream = call->upstream;
    struct dialect_result results[UPSTREAM_BATCH_MOST];
    struct dialect_question question = upstream_question(call, NULL);
    struct engine_answer answer = success(upstream, outcome);
    struct model_error error = {""};
    struct buffer made;
    buffer_init(&made, 2 * call->post.answer.cap);
    bool memory =
        dialect_decode(call->upstream->dialect, &question, buffer_bytes(&call->post.answer), &made, results);
    size_t good = count_good(results, call->n);
    if (good > 0)
        tell_not_storable(upstream, &answer, good);
    if (good < call->n && memory) {
        stats_count(upstream->stats, STAT_upstream_bad_answers);
        read_message(call, &error);
        log_answer("upstream_bad_answer", call, outcome, &error);
    }
    upstream_trial_ended(upstream, call->trial, good == call->n);
    if (finish_good(call, &answer, results, &made) && good < call->n)
        end_rest(call, outcome, memory, &error);
    buffer_fini(&made);
}

/* ---- a failure ---- */

static void end_failure(struct call *call, const struct http_post_outcome *outcome) {
    struct upstream *upstream = call->upstream;
    struct engine_answer answer = answer_of_failure(upstream, outcome);
    struct model_error error = {""};
    if (outcome->end == HTTP_POST_ANSWERED)
        read_message(call, &error);
    if (error.message[0])
        answer.detail = error.message;
    if (answer.status == ENGINE_BAD_ANSWER)
        stats_count(upstream->stats, STAT_upstream_bad_answers);
    if (outcome->end == HTTP_POST_SHORT)
        stats_add(upstream->stats, STAT_inferences_without_connection, call->wanted);
    log_failure(call, outcome, &error);
    upstream_trial_ended(upstream, call->trial, false);
    if (upstream_may_ask_again(call, outcome))
        upstream_ask_again(call, outcome, &answer);
    else
        finish_all(call, &answer);
}

static bool begins_again(struct call *call, CURLcode result) {
    struct transfers *transfers = call->upstream->transfers;
    uint64_t now = upstream_now_ms(call->upstream);
    switch (http_post_begins_again(&call->post, result, call->due_ms > now ? call->due_ms - now : 1)) {
    case HTTP_POST_NOW:
        return transfers_begin(transfers, call->post.easy);
    case HTTP_POST_LATER:
        return now < call->reached_by_ms && transfers_begin_later(transfers, call->post.easy);
    case HTTP_POST_OVER:
        break;
    }
    return false;
}

/* The jobs' ends may begin new calls, cancel jobs of this one, and close everything. */
void upstream_on_ended(void *context, CURL *easy, CURLcode result) {
    struct upstream *upstream = context;
    struct call *call = call_of(easy);
    struct http_post_outcome outcome;
    if (begins_again(call, result))
        return;
    http_post_ended(&call->post, result, &outcome);
    upstream_unlist(call);
    tell_breaker(call, &outcome);
    count_answer(upstream->stats, &outcome);
    if (outcome.end == HTTP_POST_ANSWERED && http_post_is_success(outcome.status))
        end_success(call, &outcome);
    else
        end_failure(call, &outcome);
    upstream_release(upstream, call);
}
