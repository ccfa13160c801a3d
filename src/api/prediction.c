/* Asks the cache for one request and sends what it answers. */
#include "api/prediction.h"

#include "api/prediction_pool.h"
#include "inferonce/base/log.h"
#include "inferonce/cache/text_key.h"

/* ---- what is asked of the cache ---- */

/* An administrator's token is no credential for a model: whoever runs that must not learn it. */
static bool is_for_us(const struct settings *settings, struct bytes authorization) {
    struct bytes token = bytes_of(settings->admin_token);
    return token.length > 0 &&
           (request_bears_token(authorization, token) || bytes_equal(authorization, token));
}

/* The built-in model has no credentials to look at. */
static struct bytes authorization_of(const struct prediction *prediction) {
    const struct settings *settings = prediction->api->context->settings;
    struct bytes field = bytes_trim(prediction->exchange->request.authorization);
    if (settings->engine != SETTINGS_ENGINE_HTTP || is_for_us(settings, field))
        return (struct bytes){NULL, 0};
    return field;
}

struct bytes prediction_credential(const struct prediction *prediction) {
    bool shares = prediction->api->context->settings->cache_share_authorized != 0;
    return shares ? (struct bytes){NULL, 0} : authorization_of(prediction);
}

void prediction_fill(const struct prediction *prediction, struct cache_request *request) {
    const struct request *http = &prediction->exchange->request;
    api_generation_key(prediction->api, prediction->cache_namespace, &request->generation_key);
    request->cache_namespace = prediction->cache_namespace;
    request->control = http->cache_control;
    request->ttl_ms = prediction->ttl_ms;
    request->text = request->parameters = (struct bytes){NULL, 0};
    request->hold = NULL;
    request->copied = NULL;
    request->storage = NULL;
    request->authorization = authorization_of(prediction);
    request->traceparent = http->traceparent;
    request->tracestate = http->tracestate;
    request->client = request_client(http->remote_addr);
    request->arrived_us = prediction->began_us;
    request->phase = CACHE_IDLE;
}

struct text_key_context prediction_key_context(const struct prediction *prediction) {
    return (struct text_key_context){.cache_namespace = prediction->cache_namespace,
                                     .route = LITERAL(API_KEY_ROUTE),
                                     .parameters = prediction->body.parameters,
                                     .credential = prediction_credential(prediction)};
}

void prediction_fill_text(const struct prediction *prediction, struct bytes text, const struct key *key,
                          struct cache_request *request) {
    request->key = *key;
    request->text = text;
    request->parameters = prediction->body.parameters;
}

/* ---- QUERY: conditional (RFC 9110 section 13), and for caches between (RFC 10008) ---- */

/* The fields that choose among answers to one body. A cache may keep such an answer, but has to ask here
 * whether it still holds: what a purge removes is not told to anybody. */
static const char *what_chooses(const struct prediction *prediction) {
    const struct settings *settings = prediction->api->context->settings;
    bool by_credential = settings->engine == SETTINGS_ENGINE_HTTP && !settings->cache_share_authorized;
    return by_credential ? "Authorization, X-Cache-Namespace" : "X-Cache-Namespace";
}

bool prediction_not_modified(struct prediction *prediction, const struct bytes *parts, size_t n) {
    struct exchange *exchange = prediction->exchange;
    if (exchange->request.method != METHOD_QUERY)
        return false;
    char etag[ANSWER_ETAG_LENGTH + 1];
    answer_etag(parts, n, etag);
    bool same = request_none_match(&exchange->request.if_none_match, bytes_of(etag));
    response_start(&exchange->response, same ? 304 : 200, same ? NULL : "application/json");
    response_header_text(&exchange->response, "ETag", etag);
    response_header_text(&exchange->response, "Cache-Control", "no-cache");
    response_header_text(&exchange->response, "Vary", what_chooses(prediction));
    return same;
}

/* ---- its end ---- */

void prediction_forget_body(struct prediction *prediction) {
    body_reset(&prediction->body);
    exchange_forget_body(prediction->exchange);
}

/* Texts and results are nobody's business; an administrator finds the entry by its key. */
static void log_slow(enum x_cache x_cache, const struct key *key, uint64_t took_us) {
    char hex[KEY_HEX_LENGTH + 1] = "";
    if (key)
        key_to_hex(key, hex);
    LOG(LOG_WARN, "slow_request", LOG_NUMBER("ms", took_us / 1000), LOG_TEXT("cache", x_cache_text(x_cache)),
        key ? LOG_TEXT("key", hex) : (struct log_field){.name = NULL});
}

void prediction_took(const struct prediction *prediction, enum x_cache x_cache, bool failed,
                     const struct key *key, uint64_t took_us) {
    const struct context *context = prediction->api->context;
    uint64_t slow_ms = (uint64_t)context->settings->log_slow_ms;
    stats_time(context->stats, failed ? HISTOGRAM_failed : x_cache_histogram(x_cache), took_us);
    if (slow_ms > 0 && took_us > slow_ms * 1000)
        log_slow(x_cache, key, took_us);
}

void prediction_send(struct prediction *prediction, const struct piece *pieces, size_t n) {
    exchange_send_pieces(prediction->exchange, pieces, n);
    prediction_release(prediction);
}

void prediction_problem(struct prediction *prediction, enum problem problem, const char *detail) {
    exchange_problem(prediction->exchange, problem, detail, NULL);
    prediction_release(prediction);
}
