/* Handles the endpoints by which administrators look at the cache and purge it. */
#include "api/cache_admin.h"

#include <stdlib.h>

#include "api/answer.h"
#include "api/body.h"
#include "api/preparation.h"
#include "inferonce/base/log.h"
#include "inferonce/cache/policy.h"

/* One administrative request that waits for the store. The cache knows it by its address. */
struct errand {
    struct api *api;
    struct exchange *exchange;
    struct body body;                /* of a purge */
    struct preparation *preparation; /* while that is read and worked on in slices; NULL otherwise */
    struct bytes cache_namespace;    /* the request's */
    size_t outstanding;              /* keys that are being removed */
    uint64_t removed;
    bool failed;
    bool pending;                  /* a cache server has still to be told of something */
    struct key key;                /* of the entry that is looked at */
    const char *purges;            /* what, a literal; NULL: nothing */
    struct bytes purged_namespace; /* where */
};

static void errand_end(struct errand *errand) {
    body_fini(&errand->body);
    free(errand);
}

/* ---- the log ---- */

/* UINT64_MAX: not known. */
static void log_purge(const struct errand *errand, uint64_t count) {
    char remote[REQUEST_REMOTE_MAX], name[API_NAMESPACE_MAX + 1];
    struct bytes where = errand->purged_namespace;
    if (!errand->purges)
        return;
    request_remote(&errand->exchange->request, remote);
    snprintf(name, sizeof(name), "%.*s", (int)where.length, where.data);
    LOG(errand->failed ? LOG_WARN : LOG_INFO, errand->failed ? "purge_failed" : "purged",
        LOG_TEXT("remote", remote), LOG_TEXT("what", errand->purges), LOG_TEXT("namespace", name),
        count == UINT64_MAX ? LOG_TEXT("entries", "unknown") : LOG_NUMBER("entries", count),
        LOG_TEXT("pending", errand->pending ? "yes" : "no"));
}

/* ---- errands ---- */

/* The operation goes on to its end without a client. */
static void on_abandoned(struct exchange *exchange) {
    struct errand *errand = exchange->state;
    log_purge(errand, UINT64_MAX);
    preparation_forget(&errand->preparation);
    cache_admin_forget(errand->api->cache, errand);
    errand_end(errand);
}

/* NULL: no memory, and the exchange was answered. */
static struct errand *errand_begin(struct api *api, struct exchange *exchange) {
    struct errand *errand = calloc(1, sizeof(*errand));
    if (!errand) {
        exchange_problem(exchange, PROBLEM_INTERNAL, "no memory for the request", NULL);
        return NULL;
    }
    body_init(&errand->body);
    errand->api = api;
    errand->exchange = exchange;
    exchange->state = errand;
    exchange->abandoned = on_abandoned;
    return errand;
}

static void send_problem(struct errand *errand, enum problem problem, const char *detail,
                         const char *pointer) {
    exchange_problem(errand->exchange, problem, detail, pointer);
    errand_end(errand);
}

/* An invalidation that was not done, not even remembered for servers that are away. */
static void send_failure(struct errand *errand, const char *detail) {
    struct store_figures figures;
    errand->failed = true;
    log_purge(errand, errand->removed);
    store_figures(errand->api->store, &figures);
    if (!figures.degraded) {
        send_problem(errand, PROBLEM_INTERNAL, detail, NULL);
        return;
    }
    problem_respond(&errand->exchange->response, PROBLEM_CACHE_AWAY, 0, NULL, NULL);
    response_header_number(&errand->exchange->response, "Retry-After", 1);
    exchange_send(errand->exchange);
    errand_end(errand);
}

/* 202 while a cache server has still to be told (RFC 9110 section 15.3.3), which the body then ends with. */
static void start_done(struct errand *errand) {
    response_start(&errand->exchange->response, errand->pending ? 202 : 200, "application/json");
}

static void end_done(struct errand *errand) {
    buffer_append_text(&errand->exchange->response.body, errand->pending ? ",\"pending\":true}" : "}");
}

static void send_body(struct errand *errand) {
    exchange_send(errand->exchange);
    errand_end(errand);
}

static bool read_key(struct exchange *exchange, struct bytes hex, struct key *key) {
    if (key_from_hex(hex, key))
        return true;
    exchange_problem(exchange, PROBLEM_BAD_REQUEST, "a key is 64 hex digits, as X-Cache-Key gives them",
                     NULL);
    return false;
}

/* ---- DELETE /cache and purge by namespace ---- */

static void append_count(struct buffer *body, uint64_t count) {
    if (count == UINT64_MAX)
        buffer_append_text(body, "null");
    else
        buffer_append_number(body, count);
}

static void cleared(void *user, enum cache_admin_status status, const struct entry *entry, uint64_t count) {
    struct errand *errand = user;
    struct response *response = &errand->exchange->response;
    (void)entry;
    if (status != CACHE_ADMIN_OK && status != CACHE_ADMIN_PENDING) {
        send_failure(errand, "the cache could not be cleared");
        return;
    }
    bool by_purge = errand->body.cache_namespace.data != NULL;
    errand->pending = status == CACHE_ADMIN_PENDING;
    log_purge(errand, count);
    start_done(errand);
    buffer_append_text(&response->body,
                       by_purge ? "{\"deleted\":" : "{\"message\":\"Cache cleared\",\"entries\":");
    append_count(&response->body, count);
    end_done(errand);
    send_body(errand);
}

static void purge_namespace(struct errand *errand, struct bytes cache_namespace) {
    errand->purges = "namespace";
    errand->purged_namespace = cache_namespace;
    cache_purge(errand->api->cache, cache_namespace, cleared, errand);
}

void cache_admin_clear(struct exchange *exchange, struct bytes parameter, void *context) {
    struct api *api = context;
    struct bytes cache_namespace;
    (void)parameter;
    if (!api_namespace(api, exchange, &cache_namespace))
        return;
    struct errand *errand = errand_begin(api, exchange);
    if (errand)
        purge_namespace(errand, cache_namespace);
}

/* ---- one key ---- */

static void deleted(void *user, enum cache_admin_status status, const struct entry *entry, uint64_t count) {
    struct errand *errand = user;
    struct buffer *body = &errand->exchange->response.body;
    (void)entry;
    if (status == CACHE_ADMIN_MISSING) {
        log_purge(errand, 0);
        send_problem(errand, PROBLEM_NO_ENTRY, NULL, NULL);
        return;
    }
    if (status == CACHE_ADMIN_ERROR) {
        send_failure(errand, "the entry could not be deleted");
        return;
    }
    errand->pending = status == CACHE_ADMIN_PENDING;
    log_purge(errand, count);
    start_done(errand);
    buffer_append_text(body, count > 0 ? "{\"deleted\":true" : "{\"deleted\":false");
    end_done(errand);
    send_body(errand);
}

void cache_admin_delete(struct exchange *exchange, struct bytes parameter, void *context) {
    struct api *api = context;
    struct bytes cache_namespace;
    struct key key;
    if (!read_key(exchange, parameter, &key) || !api_namespace(api, exchange, &cache_namespace))
        return;
    struct errand *errand = errand_begin(api, exchange);
    if (!errand)
        return;
    errand->purges = "key";
    errand->purged_namespace = cache_namespace;
    cache_remove(api->cache, &key, cache_namespace, deleted, errand);
}

static void append_entry(const struct errand *errand, const struct entry *entry, struct buffer *body) {
    uint64_t now_us = clock_wall_us(errand->api->context->clock);
    char hex[KEY_HEX_LENGTH + 1];
    key_to_hex(&errand->key, hex);
    buffer_append_format(body, "{\"key\":\"%s\",\"result\":", hex);
    buffer_append_bytes(body, entry->body);
    buffer_append_text(body, ",\"age\":");
    buffer_append_number(body, entry_age_us(entry, now_us) / 1000000);
    buffer_append_format(body, ",\"ttl\":%lld,\"namespace\":", (long long)policy_ttl_s(entry, now_us));
    buffer_append_json(body, entry->cache_namespace);
    buffer_append_text(body, ",\"model\":{\"name\":");
    buffer_append_json(body, entry->model_name);
    buffer_append_text(body, ",\"version\":");
    buffer_append_json(body, entry->model_version);
    buffer_append_text(body, "},\"size\":");
    buffer_append_number(body, entry->body.length);
    buffer_append_text(body, ",\"inference_time_ms\":");
    buffer_append_number(body, entry->inference_us / 1000);
    buffer_append_char(body, '}');
}

static void found(void *user, enum cache_admin_status status, const struct entry *entry, uint64_t count) {
    struct errand *errand = user;
    struct exchange *exchange = errand->exchange;
    (void)count;
    if (status != CACHE_ADMIN_OK) {
        send_problem(errand, status == CACHE_ADMIN_MISSING ? PROBLEM_NO_ENTRY : PROBLEM_INTERNAL, NULL, NULL);
        return;
    }
    char etag[ANSWER_ETAG_LENGTH + 1];
    answer_etag(&entry->body, 1, etag);
    bool same = request_none_match(&exchange->request.if_none_match, bytes_of(etag));
    response_start(&exchange->response, same ? 304 : 200, same ? NULL : "application/json");
    response_header_text(&exchange->response, "ETag", etag);
    response_header_number(&exchange->response, "Age",
                           entry_age_us(entry, clock_wall_us(errand->api->context->clock)) / 1000000);
    if (!same)
        append_entry(errand, entry, &exchange->response.body);
    send_body(errand);
}

void cache_admin_get(struct exchange *exchange, struct bytes parameter, void *context) {
    struct api *api = context;
    struct bytes cache_namespace;
    struct key key;
    if (!read_key(exchange, parameter, &key) || !api_namespace(api, exchange, &cache_namespace))
        return;
    struct errand *errand = errand_begin(api, exchange);
    if (!errand)
        return;
    errand->key = key;
    cache_inspect(api->cache, &key, cache_namespace, found, errand);
}

/* ---- POST /cache/purge ---- */

static void send_deleted(struct errand *errand) {
    if (errand->failed) {
        send_failure(errand, "not everything could be deleted");
        return;
    }
    log_purge(errand, errand->removed);
    start_done(errand);
    buffer_append_text(&errand->exchange->response.body, "{\"deleted\":");
    buffer_append_number(&errand->exchange->response.body, errand->removed);
    end_done(errand);
    send_body(errand);
}

static void one_deleted(void *user, enum cache_admin_status status, const struct entry *entry,
                        uint64_t count) {
    struct errand *errand = user;
    (void)entry;
    errand->removed += status == CACHE_ADMIN_OK || status == CACHE_ADMIN_PENDING ? count : 0;
    errand->pending = errand->pending || status == CACHE_ADMIN_PENDING;
    errand->failed = errand->failed || status == CACHE_ADMIN_ERROR;
    if (--errand->outstanding == 0)
        send_deleted(errand);
}

static void remove_key(struct errand *errand, const struct key *key) {
    cache_remove(errand->api->cache, key, errand->cache_namespace, one_deleted, errand);
}

/* One more than there are: what is answered at once must not end it. */
static void begin_removing(struct errand *errand, const char *what, size_t n) {
    errand->purges = what;
    errand->purged_namespace = errand->cache_namespace;
    errand->outstanding = n + 1;
}

static void end_removing(struct errand *errand) {
    if (--errand->outstanding == 0)
        send_deleted(errand);
}

static void purge_keys(struct errand *errand) {
    struct body *body = &errand->body;
    /* All are checked before any is deleted: a request does what it says or nothing. */
    for (size_t i = 0; i < body->n_keys; i++) {
        struct key key;
        if (key_from_hex(body->keys[i], &key))
            continue;
        char pointer[32];
        snprintf(pointer, sizeof(pointer), "#/keys/%zu", i);
        send_problem(errand, PROBLEM_BAD_SHAPE, "a key is 64 hex digits", pointer);
        return;
    }
    begin_removing(errand, "keys", body->n_keys);
    for (size_t i = 0; i < body->n_keys; i++) {
        struct key key;
        INVARIANT(key_from_hex(body->keys[i], &key));
        remove_key(errand, &key);
    }
    end_removing(errand);
}

static struct text_key_context context_of(const struct errand *errand) {
    return (struct text_key_context){.cache_namespace = errand->cache_namespace,
                                     .route = LITERAL(API_KEY_ROUTE),
                                     .parameters = errand->body.parameters};
}

static void purge_texts(struct errand *errand, struct bytes *texts, size_t n) {
    const struct text_key_context context = context_of(errand);
    struct key_writer common;
    if (!text_normalize(errand->api->context->settings, texts, n, &errand->exchange->scratch)) {
        send_problem(errand, PROBLEM_INTERNAL, "no memory for the texts", NULL);
        return;
    }
    text_key_common(errand->api->context->settings, &context, &common);
    begin_removing(errand, "texts", n);
    for (size_t i = 0; i < n; i++) {
        struct key key;
        text_key_of(&common, texts[i], &key);
        remove_key(errand, &key);
    }
    end_removing(errand);
}

/* The body was read, and names no texts. */
static void purge_others(struct errand *errand) {
    struct bytes name = errand->body.cache_namespace;
    if (!name.data)
        purge_keys(errand);
    else if (api_namespace_is_valid(name))
        purge_namespace(errand, name);
    else
        send_problem(errand, PROBLEM_BAD_SHAPE, "a namespace is 1 to 64 characters of A-Z a-z 0-9 . _ -",
                     "#/namespace");
}

static void refuse_body(struct errand *errand, enum body_status status) {
    body_problem(errand->exchange, status, &errand->body);
    errand_end(errand);
}

static void purge_at_once(struct errand *errand) {
    struct body *body = &errand->body;
    enum body_status status = body_read(body, BODY_PURGE, errand->exchange->request.body,
                                        errand->api->context->settings->max_batch);
    if (status != BODY_OK)
        refuse_body(errand, status);
    else if (body->texts)
        purge_texts(errand, body->texts, body->n_texts);
    else if (body->text.data)
        purge_texts(errand, &body->text, 1);
    else
        purge_others(errand);
}

static void prepared(void *user, const struct prepared *prepared) {
    struct errand *errand = user;
    errand->preparation = NULL;
    if (prepared->status != BODY_OK) {
        refuse_body(errand, prepared->status);
    } else if (prepared->n == 0) {
        purge_others(errand);
    } else {
        begin_removing(errand, "texts", prepared->n);
        for (size_t i = 0; i < prepared->n; i++)
            remove_key(errand, &prepared->keys[i]);
        end_removing(errand);
    }
}

static void prepare(struct errand *errand) {
    const struct preparation_request request = {.api = errand->api,
                                                .exchange = errand->exchange,
                                                .body = &errand->body,
                                                .kind = BODY_PURGE,
                                                .context = context_of(errand),
                                                .done = prepared,
                                                .user = errand};
    errand->preparation = preparation_begin(&request);
    if (!errand->preparation)
        refuse_body(errand, BODY_NO_MEMORY);
}

void cache_admin_purge(struct exchange *exchange, struct bytes parameter, void *context) {
    struct api *api = context;
    struct bytes cache_namespace;
    (void)parameter;
    if (!api_namespace(api, exchange, &cache_namespace))
        return;
    struct errand *errand = errand_begin(api, exchange);
    if (!errand)
        return;
    errand->cache_namespace = cache_namespace;
    if (preparation_is_needed(exchange))
        prepare(errand);
    else
        purge_at_once(errand);
}
