/* Handles /predict: one text, several, or a body that is known. */
#include "api/predict.h"

#include <stdlib.h>

#include "api/answer.h"
#include "api/known_bodies.h"
#include "api/predict_batch.h"
#include "api/prediction.h"
#include "api/prediction_pool.h"
#include "api/preparation.h"
#include "inferonce/cache/text_key.h"

/* The credential is for the model, whose own challenge is not kept: a failure is passed on to other workers
 * as its class and status. A 401 has to have one (RFC 9110 section 15.5.2), and a token is what models take.
 */
#define MODEL_CHALLENGE "Bearer realm=\"model\""

/* ---- what a request may say of its answer ---- */

/* The lifetime it asks for, capped; the configured one when it asks for none. */
static bool read_ttl(struct prediction *prediction) {
    const struct settings *settings = prediction->api->context->settings;
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

/* ---- a body that is known ---- */

static struct known_body known_body_of(const struct prediction *prediction) {
    return (struct known_body){.body = prediction->exchange->request.body,
                               .cache_namespace = prediction->cache_namespace,
                               .credential = prediction_credential(prediction)};
}

/* A body that has been a hit is likely to be one again. What only ever misses pushes nothing out. */
static void remember(const struct prediction *prediction) {
    const struct known_body body = known_body_of(prediction);
    known_bodies_remember(prediction->api->known_bodies, &body, &prediction->only.key);
}

_Static_assert(KNOWN_BODY_MAX <= SLICES_STRAIGHT_MAX, "what is known can be read at once");

static void read_and_ask(struct prediction *prediction);

/* cache_hold: the cache has no answer, so the body has to be read after all. Nothing can be wrong with it. */
static bool read_after_all(struct cache_request *request) {
    request->hold = NULL;
    read_and_ask(request->user);
    return true;
}

/* ---- one text ---- */

static void send_failure(struct prediction *prediction, const struct cache_answer *answer, uint64_t took_us) {
    struct response *response = &prediction->exchange->response;
    struct answer_problem told = answer_problem(answer);
    problem_respond(response, told.problem, told.status, told.detail, NULL);
    enum x_cache x_cache = answer_x_cache(answer);
    answer_headers(response, answer, x_cache, &prediction->only.key, took_us);
    prediction_took(prediction, x_cache, true, &prediction->only.key, took_us);
    if (told.retry_after_s > 0)
        response_header_number(response, "Retry-After", told.retry_after_s);
    if (told.status == 401)
        response_header_text(response, "WWW-Authenticate", MODEL_CHALLENGE);
    const struct piece body = {.bytes = buffer_bytes(&response->body)};
    prediction_send(prediction, &body, 1);
}

/* It waits: for an inference, which may take long, and which has its own copy of the text. */
static void copied(struct cache_request *request) {
    prediction_forget_body(request->user);
}

static void answered(struct cache_request *request, const struct cache_answer *answer) {
    struct prediction *prediction = request->user;
    struct response *response = &prediction->exchange->response;
    uint64_t took_us = clock_monotonic_us(prediction->api->context->clock) - prediction->began_us;
    if (answer->result == CACHE_FAILED || answer->result == CACHE_UNSATISFIABLE) {
        send_failure(prediction, answer, took_us);
        return;
    }
    if (answer->result == CACHE_HIT && !request->hold)
        remember(prediction);
    bool unmodified = false;
    if (prediction->exchange->request.method == METHOD_QUERY)
        unmodified = prediction_not_modified(prediction, &answer->body, 1);
    else
        response_start(response, 200, "application/json");
    enum x_cache x_cache = answer_x_cache(answer);
    answer_headers(response, answer, x_cache, &request->key, took_us);
    prediction_took(prediction, x_cache, false, &request->key, took_us);

    char tail[64];
    struct buffer number = {.data = tail, .capacity = sizeof(tail), .cap = sizeof(tail)};
    buffer_append_text(&number, answer->stored_answer ? ",\"cached\":true" : ",\"cached\":false");
    if (answer->inferred) {
        buffer_append_text(&number, ",\"inference_time_ms\":");
        buffer_append_number(&number, answer->inference_us / 1000);
    }
    buffer_append_text(&number, "}");
    const struct piece pieces[] = {
        {LITERAL("{\"result\":"), NULL}, {answer->body, answer->blob}, {buffer_bytes(&number), NULL}};
    prediction_send(prediction, pieces, unmodified ? 0 : 3);
}

static void on_abandoned(struct exchange *exchange) {
    struct prediction *prediction = exchange->state;
    preparation_forget(&prediction->preparation);
    if (prediction->batch)
        predict_batch_abandoned(prediction);
    else
        cache_forget(prediction->api->cache, &prediction->only);
    prediction_release(prediction);
}

/* With a text in its normal form. */
static void ask_one(struct prediction *prediction, struct bytes text, const struct key *key) {
    if (text.length == 0) {
        exchange_problem(prediction->exchange, PROBLEM_BAD_SHAPE, "the text is nothing but white space",
                         "#/text");
        prediction_release(prediction);
        return;
    }
    prediction_fill_text(prediction, text, key, &prediction->only);
    prediction->only.storage = &prediction->exchange->scratch;
    cache_ask(prediction->api->cache, &prediction->only);
}

/* False: it is to be read. */
static bool ask_known(struct prediction *prediction) {
    struct cache_request *request = &prediction->only;
    const struct known_body body = known_body_of(prediction);
    if (request->control.no_store || !known_bodies_find(prediction->api->known_bodies, &body, &request->key))
        return false;
    request->hold = read_after_all;
    cache_ask(prediction->api->cache, request);
    return true;
}

/* ---- a body that is not known ---- */

static void refuse_body(struct prediction *prediction, enum body_status status) {
    body_problem(prediction->exchange, status, &prediction->body);
    prediction_release(prediction);
}

static void work_on_one(struct prediction *prediction) {
    const struct text_key_context context = prediction_key_context(prediction);
    struct bytes text = prediction->body.text;
    struct key key;
    if (!text_normalize(prediction->api->context->settings, &text, 1, &prediction->exchange->scratch)) {
        refuse_body(prediction, BODY_NO_MEMORY);
        return;
    }
    text_key(prediction->api->context->settings, &context, text, &key);
    ask_one(prediction, text, &key);
}

static void work_on_several(struct prediction *prediction) {
    const struct text_key_context context = prediction_key_context(prediction);
    struct bytes *texts = prediction->body.texts;
    size_t n = prediction->body.n_texts;
    struct key *keys = calloc(n, sizeof(*keys));
    if (keys &&
        text_normalize(prediction->api->context->settings, texts, n, &prediction->exchange->scratch)) {
        struct key_writer common;
        text_key_common(prediction->api->context->settings, &context, &common);
        for (size_t i = 0; i < n; i++)
            text_key_of(&common, texts[i], &keys[i]);
        predict_batch_ask(prediction, texts, keys, n);
    } else {
        refuse_body(prediction, BODY_NO_MEMORY);
    }
    free(keys);
}

static void read_and_ask(struct prediction *prediction) {
    enum body_status status = body_read(&prediction->body, BODY_PREDICT, prediction->exchange->request.body,
                                        prediction->api->context->settings->max_batch);
    if (status != BODY_OK)
        refuse_body(prediction, status);
    else if (prediction->body.texts)
        work_on_several(prediction);
    else
        work_on_one(prediction);
}

static void prepared(void *user, const struct prepared *prepared) {
    struct prediction *prediction = user;
    prediction->preparation = NULL;
    if (prepared->status != BODY_OK)
        refuse_body(prediction, prepared->status);
    else if (prediction->body.texts)
        predict_batch_ask(prediction, prepared->texts, prepared->keys, prepared->n);
    else
        ask_one(prediction, prepared->texts[0], &prepared->keys[0]);
}

static void prepare(struct prediction *prediction) {
    const struct preparation_request request = {.api = prediction->api,
                                                .exchange = prediction->exchange,
                                                .body = &prediction->body,
                                                .kind = BODY_PREDICT,
                                                .context = prediction_key_context(prediction),
                                                .done = prepared,
                                                .user = prediction};
    prediction->preparation = preparation_begin(&request);
    if (!prediction->preparation)
        refuse_body(prediction, BODY_NO_MEMORY);
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
    prediction_fill(prediction, &prediction->only);
    prediction->only.copied = copied;
    prediction->only.done = answered;
    prediction->only.user = prediction;
    exchange->abandoned = on_abandoned;
    if (ask_known(prediction))
        return;
    if (preparation_is_needed(exchange))
        prepare(prediction);
    else
        read_and_ask(prediction);
}
