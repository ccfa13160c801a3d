#include "service.h"

#include <stdlib.h>

#include "inferonce/api/routes.h"
struct service service;

static const struct host HOST = {
    .settings = &service.settings, .clock = &service.clock, .loop = &service.loop, .shared = &service.shared};

/* ---- the model ---- */

void service_model_answer(const struct engine_answer *answer) {
    host_model_answer(&service.worker, answer);
    service_turn();
}

void service_model_answers(const char *body) {
    host_model_answers(&service.worker, body);
    service_turn();
}

void service_model_fails(enum engine_status status, int http_status, unsigned retry_after_s) {
    const struct engine_answer answer = {.status = status,
                                         .detail = "told to fail",
                                         .http_status = http_status,
                                         .retry_after_s = retry_after_s};
    service_model_answer(&answer);
}

void service_model_echoes(void) {
    while (service.worker.n_running > 0) {
        char body[256];
        struct bytes text = service.worker.running[0]->text;
        snprintf(body, sizeof(body), "{\"echo\":\"%.*s\"}", (int)text.length, text.data);
        service_model_answers(body);
    }
}

/* ---- the transport ---- */

static void take_back(struct sent *sent) {
    free(sent->lent);
    sent->lent = NULL;
    memset(sent->params, 0, sizeof(sent->params));
    sent->transport = (struct fastcgi_request){0};
}

/* Checks that each answer is complete and sent once. */
static void check_answer(const struct sent *sent, bool bodiless) {
    CU_ASSERT_EQUAL(sent->answers, 1);
    CU_ASSERT_FALSE(sent->left);
    CU_ASSERT(sent->status >= 200);
    const char *length = service_header(sent, "Content-Length");
    bool without_length = sent->status == 204 || sent->status == 304 || sent->streamed;
    CU_ASSERT_EQUAL(length[0] == '\0', without_length);
    if (sent->streamed)
        return;
    size_t expected = bodiless || without_length ? 0 : strtoull(length, NULL, 10);
    CU_ASSERT_EQUAL(sent->body_length, expected);
}

void fastcgi_respond(struct fastcgi_request *request, const struct piece *pieces, size_t n) {
    unit_allocations_heal(); /* what fails shall be what is tested */
    struct sent *sent = (struct sent *)(void *)request;
    char *all = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&all, &length);
    CU_ASSERT_FALSE(sent->sends_part);
    if (sent->stream.length > 0)
        fwrite(sent->stream.data, 1, sent->stream.length, stream);
    for (size_t i = 0; i < n; i++)
        fwrite(pieces[i].bytes.data, 1, pieces[i].bytes.length, stream);
    fclose(stream);
    const char *blank = strstr(all, "\r\n\r\n");
    CU_ASSERT_PTR_NOT_NULL_FATAL(blank);
    size_t head_length = (size_t)(blank - all) + 4;
    sent->answers++;
    sent->head = strndup(all, head_length);
    sent->body_length = length - head_length;
    sent->body = strndup(all + head_length, sent->body_length);
    free(all);
    (void)sscanf(sent->head, "Status: %d ", &sent->status);
    check_answer(sent, strcmp(sent->params[0], "REQUEST_METHOD=HEAD") == 0);
    take_back(sent);
}

bool fastcgi_send_part(struct fastcgi_request *request, struct bytes part) {
    struct sent *sent = (struct sent *)(void *)request;
    CU_ASSERT_FALSE(sent->sends_part);
    buffer_append_bytes(&sent->stream, part);
    sent->sends_part = sent->streamed = true;
    return true;
}

void fastcgi_read_on(struct fastcgi_request *request) {
    struct sent *sent = (struct sent *)(void *)request;
    CU_ASSERT_FALSE(sent->reads_on);
    sent->reads_on = true;
}

static void hand_part(struct sent *sent) {
    struct bytes part = {sent->rest.data, sent->rest.length < sent->part ? sent->rest.length : sent->part};
    char *copy = malloc(part.length + 1); /* gone after the call, so that a sanitizer sees who keeps it */
    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    memcpy(copy, part.data, part.length);
    sent->rest.data += part.length;
    sent->rest.length -= part.length;
    sent->reads_on = false;
    exchange_part(sent->transport.user, (struct bytes){copy, part.length}, part.length == 0);
    free(copy);
}

/* One turn's events of answers and bodies in parts. */
static void move_parts(void) {
    for (size_t i = 0; i < service.n_sent; i++) {
        struct sent *sent = service.sent[i];
        if (sent->answers > 0 || sent->left)
            continue;
        if (sent->reads_on) {
            hand_part(sent);
        } else if (sent->sends_part) {
            sent->sends_part = false;
            exchange_written(sent->transport.user);
        }
    }
}

bool fastcgi_has_room(struct fastcgi_request *request, uint64_t length) {
    (void)request;
    return length <= FASTCGI_ALWAYS_TAKEN || blobs_have_room(service.blobs, length);
}

/* Overwrites memory that is given back, so that a later use shows. */
void fastcgi_forget_body(struct fastcgi_request *request) {
    if (request->body.length > 0)
        memset((char *)(uintptr_t)request->body.data, '#', request->body.length);
    request->body = (struct bytes){NULL, 0};
}

/* ---- sending ---- */

static void add_param(struct sent *sent, char *param) {
    size_t n = 0;
    while (sent->params[n])
        n++;
    CU_ASSERT_FATAL(n + 1 < sizeof(sent->params) / sizeof(sent->params[0]));
    sent->params[n] = param;
}

/* All that is lent in one block: the parameters, each terminated, and the body. */
static void lend(struct sent *sent, const char *method, const char *path, const char *fields,
                 const char *body) {
    int length =
        asprintf(&sent->lent,
                 "REQUEST_METHOD=%s\nDOCUMENT_URI=%s\n%s\nREMOTE_ADDR=127.0.0.1\nHTTP_HOST=localhost\n"
                 "CONTENT_TYPE=%s\nCONTENT_LENGTH=%zu\n%s",
                 method, path, fields ? fields : "-", body ? "application/json" : "", body ? strlen(body) : 0,
                 body ? body : "");
    CU_ASSERT_FATAL(length > 0);
    char *lent_body = sent->lent + (size_t)length - (body ? strlen(body) : 0);
    for (char *line = sent->lent; line < lent_body;) {
        char *end = strchr(line, '\n');
        *end = '\0';
        add_param(sent, line);
        line = end + 1;
    }
    sent->transport = (struct fastcgi_request){.params = sent->params, .body = bytes_of(lent_body)};
}

static struct sent *lend_request(const char *method, const char *path, const char *fields, const char *body) {
    CU_ASSERT_FATAL(service.n_sent < SERVICE_SENT_MAX);
    struct sent *sent = calloc(1, sizeof(*sent));
    CU_ASSERT_PTR_NOT_NULL_FATAL(sent);
    service.sent[service.n_sent++] = sent;
    buffer_init(&sent->stream, SIZE_MAX);
    lend(sent, method, path, fields, body);
    return sent;
}

static struct sent *dispatch(struct sent *sent) {
    unit_allocations_fail(service.fail_at, service.fail_once);
    struct exchange *exchange = exchange_begin(service.exchanges, &sent->transport);
    if (exchange)
        router_dispatch(&service.router, exchange);
    return sent;
}

struct sent *service_send(const char *method, const char *path, const char *fields, const char *body) {
    struct sent *sent = lend_request(method, path, fields, body);
    sent->transport.body_too_large =
        body && sent->transport.body.length > service.settings.max_body_kb * 1024;
    return dispatch(sent);
}

struct sent *service_send_in_parts(const char *method, const char *path, const char *fields, const char *body,
                                   size_t first, size_t part) {
    struct sent *sent = lend_request(method, path, fields, body);
    struct bytes all = sent->transport.body;
    sent->rest = (struct bytes){all.data + first, all.length - first};
    sent->part = part;
    sent->transport.body.length = first;
    sent->transport.body_goes_on = true;
    return dispatch(sent);
}

struct sent *service_ask(const char *method, const char *path, const char *fields, const char *body) {
    struct sent *sent = service_send(method, path, fields, body);
    service_turn();
    return sent;
}

struct sent *service_predict(const char *fields, const char *body) {
    struct sent *sent = service_ask("POST", "/predict", fields, body);
    service_model_echoes();
    CU_ASSERT_EQUAL_FATAL(sent->answers, 1);
    return sent;
}

struct sent *service_administer(const char *method, const char *path, const char *fields, const char *body) {
    struct sent *sent = service_send(method, path, fields, body);
    for (unsigned turns = 0; sent->answers == 0 && turns < 10000; turns++)
        service_turn();
    CU_ASSERT_EQUAL_FATAL(sent->answers, 1);
    return sent;
}

void service_leave(struct sent *sent) {
    CU_ASSERT_EQUAL_FATAL(sent->answers, 0);
    exchange_abandon(sent->transport.user);
    sent->left = true;
    take_back(sent);
}

/* ---- looking at answers ---- */

const char *service_header(const struct sent *sent, const char *name) {
    static char values[4][512];
    static unsigned next;
    char line[64];
    char *value = values[next++ % 4];
    snprintf(line, sizeof(line), "\n%s: ", name);
    const char *at = sent->head ? strstr(sent->head, line) : NULL;
    value[0] = '\0';
    if (at) {
        at += strlen(line);
        snprintf(value, sizeof(values[0]), "%.*s", (int)strcspn(at, "\r\n"), at);
    }
    return value;
}

json_t *service_json(const struct sent *sent) {
    json_error_t error;
    json_t *json = json_loads(sent->body ? sent->body : "", JSON_REJECT_DUPLICATES, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(json);
    return json;
}

void service_check_problem(const struct sent *sent, int status, const char *type, const char *pointer) {
    char urn[64];
    CU_ASSERT_EQUAL(sent->status, status);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Content-Type"), "application/problem+json");
    json_t *json = service_json(sent);
    snprintf(urn, sizeof(urn), "urn:inferonce:problem:%s", type);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "type")), urn);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(json, "status")), status);
    CU_ASSERT(json_string_length(json_object_get(json, "title")) > 0);
    const json_t *first = json_array_get(json_object_get(json, "errors"), 0);
    const char *given = json_string_value(json_object_get(first, "pointer"));
    CU_ASSERT_STRING_EQUAL(given ? given : "none", pointer ? pointer : "none");
    json_decref(json);
}

uint64_t service_counted(enum statistic statistic) {
    return shared_stat(&service.shared, statistic);
}

/* ---- time ---- */

void service_turn(void) {
    turn_end(service.worker.turn);
    uv_run(&service.loop, UV_RUN_NOWAIT);
    move_parts();
}

void service_wait_ms(uint64_t ms) {
    host_wait_ms(&HOST, ms);
    service_turn();
}

/* ---- set-up ---- */

void service_setup(void (*change)(struct settings *settings)) {
    struct error error = {""};
    memset(&service, 0, sizeof(service));
    settings_defaults(&service.settings);
    service.settings.cache_ttl_ms = 60000;
    if (change)
        change(&service.settings);
    host_setup(&HOST, &service.worker, 1);
    service.blobs = blobs_create(service.worker.stats);
    CU_ASSERT_PTR_NOT_NULL_FATAL(service.blobs);
    service.api = (struct api){.context = &service.worker.context,
                               .cache = service.worker.cache,
                               .store = service.worker.store,
                               .blobs = service.blobs};
    CU_ASSERT_FATAL(api_setup(&service.api, &error));
    service.router = (struct router){.routes = API_ROUTES,
                                     .n = API_ROUTES_COUNT,
                                     .context = &service.api,
                                     .admin_token = bytes_of(service.settings.admin_token)};
    service.exchanges = exchange_pool_create(service.worker.stats);
    CU_ASSERT_PTR_NOT_NULL_FATAL(service.exchanges);
}

static void forget_sent(void) {
    for (size_t i = 0; i < service.n_sent; i++) {
        struct sent *sent = service.sent[i];
        CU_ASSERT_EQUAL(sent->answers, sent->left ? 0 : 1);
        free(sent->lent);
        free(sent->head);
        free(sent->body);
        buffer_fini(&sent->stream);
        free(sent);
    }
}

void service_teardown(void) {
    forget_sent();
    api_teardown(&service.api);
    exchange_pool_destroy(&service.exchanges);
    blobs_destroy(&service.blobs);
    host_teardown(&HOST, &service.worker, 1);
}
