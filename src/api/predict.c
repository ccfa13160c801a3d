#include "inferonce/api/predict.h"

#include "inferonce/api/answer.h"
#include "inferonce/api/predict_batch.h"
#include "inferonce/api/prediction.h"
#include "inferonce/api/prediction_pool.h"
#include "inferonce/api/text_key.h"

/* ---- its end ---- */

void prediction_send(struct prediction *prediction, const struct bytes *parts, size_t n) {
    exchange_send_parts(prediction->exchange, parts, n);
    prediction_release(prediction);
}

void prediction_problem(struct prediction *prediction, enum problem problem, const char *detail) {
    exchange_problem(prediction->exchange, problem, detail, NULL);
    prediction_release(prediction);
}

/* ---- what a request may say of its answer ---- */

/* The lifetime it asks for, capped; the configured one when it asks for none. */
static bool read_ttl(struct prediction *prediction) {
    const struct settings *settings = prediction->api->settings;
    struct bytes field = prediction->exchange->request.cache_ttl;
    uint64_t seconds;
    prediction->ttl_ms = settings->cache_ttl_ms;
    if (!field.data)
        return true;
    if (!bytes_to_number(bytes_trim(field), &seconds))
        return false;
    prediction->ttl_ms =
        seconds < settings->cache_ttl_max_ms / 1000 ? seconds * 1000 : settings->cache_ttl_max_ms;
    return true;
}

void prediction_fill(const struct prediction *prediction, struct bytes text, struct cache_request *request) {
    const struct request *http = &prediction->exchange->request;
    const struct settings *settings = prediction->api->settings;
    /* The built-in model has no credentials to look at. */
    struct bytes authorization =
        settings->engine == SETTINGS_ENGINE_HTTP ? bytes_trim(http->authorization) : (struct bytes){NULL, 0};
    bool shares = settings->cache_share_authorized != 0;
    const struct text_key_context context = {.cache_namespace = prediction->cache_namespace,
                                             .parameters = prediction->body.parameters,
                                             .credential = shares ? (struct bytes){NULL, 0} : authorization};
    text_key(prediction->api, &context, text, &request->key);
    text_generation_key(prediction->api, prediction->cache_namespace, &request->generation_key);
    request->cache_namespace = prediction->cache_namespace;
    request->control = http->cache_control;
    request->ttl_ms = prediction->ttl_ms;
    request->text = text;
    request->parameters = prediction->body.parameters;
    request->authorization = authorization;
    request->traceparent = http->traceparent;
    request->tracestate = http->tracestate;
    request->phase = CACHE_IDLE;
}

/* ---- QUERY: conditional (RFC 9110 section 13) ---- */

bool prediction_not_modified(struct prediction *prediction, const struct bytes *parts, size_t n) {
    struct exchange *exchange = prediction->exchange;
    if (exchange->request.method != METHOD_QUERY)
        return false;
    char etag[ANSWER_ETAG_LENGTH + 1];
    answer_etag(parts, n, etag);
    bool same = exchange->request.if_none_match.data &&
                request_none_match(exchange->request.if_none_match, bytes_of(etag));
    response_start(&exchange->response, same ? 304 : 200, same ? NULL : "application/json");
    response_header_text(&exchange->response, "ETag", etag);
    return same;
}

/* ---- one text ---- */

static void send_failure(struct prediction *prediction, const struct cache_answer *answer, uint64_t took_us) {
    struct response *response = &prediction->exchange->response;
    struct answer_problem told = answer_problem(answer);
    problem_respond(response, told.problem, told.status, told.detail, NULL);
    answer_headers(response, answer, answer_x_cache(answer), &prediction->only.key, took_us);
    if (told.retry_after_s > 0)
        response_header_number(response, "Retry-After", told.retry_after_s);
    struct bytes body = buffer_bytes(&response->body);
    prediction_send(prediction, &body, 1);
}

static void answered(struct cache_request *request, const struct cache_answer *answer) {
    struct prediction *prediction = request->user;
    struct response *response = &prediction->exchange->response;
    uint64_t took_us = clock_monotonic_us(prediction->api->clock) - prediction->began_us;
    if (answer->result == CACHE_FAILED || answer->result == CACHE_UNSATISFIABLE) {
        send_failure(prediction, answer, took_us);
        return;
    }
    bool unmodified = false;
    if (prediction->exchange->request.method == METHOD_QUERY)
        unmodified = prediction_not_modified(prediction, &answer->body, 1);
    else
        response_start(response, 200, "application/json");
    answer_headers(response, answer, answer_x_cache(answer), &request->key, took_us);

    char tail[64];
    struct buffer number = {.data = tail, .capacity = sizeof(tail), .cap = sizeof(tail)};
    buffer_append_text(&number, answer->stored_answer ? ",\"cached\":true" : ",\"cached\":false");
    if (answer->inferred) {
        buffer_append_text(&number, ",\"inference_time_ms\":");
        buffer_append_number(&number, answer->inference_us / 1000);
    }
    buffer_append_text(&number, "}");
    const struct bytes parts[] = {LITERAL("{\"result\":"), answer->body, buffer_bytes(&number)};
    prediction_send(prediction, parts, unmodified ? 0 : 3);
}

static void left(struct exchange *exchange) {
    struct prediction *prediction = exchange->state;
    if (prediction->batch)
        predict_batch_left(prediction);
    else
        cache_forget(prediction->api->cache, &prediction->only);
    prediction_release(prediction);
}

static void ask_one(struct prediction *prediction) {
    struct api *api = prediction->api;
    struct bytes text = prediction->body.text;
    if (!text_normalize(api, &text, 1, &prediction->exchange->scratch)) {
        prediction_problem(prediction, PROBLEM_INTERNAL, "no memory for the text");
        return;
    }
    if (text.length == 0) {
        exchange_problem(prediction->exchange, PROBLEM_BAD_SHAPE, "the text is nothing but white space",
                         "#/text");
        prediction_release(prediction);
        return;
    }
    prediction_fill(prediction, text, &prediction->only);
    prediction->only.done = answered;
    prediction->only.user = prediction;
    cache_ask(api->cache, &prediction->only);
}

void predict_handle(struct exchange *exchange, struct bytes parameter, void *context) {
    struct api *api = context;
    struct bytes cache_namespace;
    (void)parameter;
    if (!api_namespace(api, exchange, &cache_namespace))
        return;
    struct prediction *prediction = prediction_take(api, exchange);
    if (!prediction) {
        exchange_problem(exchange, PROBLEM_INTERNAL, "no memory for the request", NULL);
        return;
    }
    prediction->cache_namespace = cache_namespace;
    if (!read_ttl(prediction)) {
        prediction_problem(prediction, PROBLEM_BAD_REQUEST, "X-Cache-TTL must be a number of seconds");
        return;
    }
    enum body_status status =
        body_read_predict(&prediction->body, exchange->request.body, api->settings->max_batch);
    if (status != BODY_OK) {
        api_body_problem(exchange, (int)status, &prediction->body);
        prediction_release(prediction);
        return;
    }
    exchange->abandoned = left;
    if (prediction->body.texts)
        predict_batch_ask(prediction);
    else
        ask_one(prediction);
}
