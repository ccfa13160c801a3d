#include "inferonce/http/router.h"

#include "captured_log.h"
#include "transport.h"
#include "unit.h"

/* Each handler answers with the name of its route and the parameter. */
static void answer(struct exchange *exchange, const char *name, struct bytes parameter) {
    response_start(&exchange->response, 200, "text/plain");
    buffer_append_text(&exchange->response.body, name);
    buffer_append_bytes(&exchange->response.body, parameter);
    exchange_send(exchange);
}

#define HANDLER(handler, name)                                                              \
    static void handler(struct exchange *exchange, struct bytes parameter, void *context) { \
        ++*(unsigned *)context;                                                             \
        answer(exchange, (name), parameter);                                                \
    }
HANDLER(handle_post, "post")
HANDLER(handle_query, "query")
HANDLER(handle_stats, "stats")
HANDLER(handle_entry, "entry ")
HANDLER(handle_delete_entry, "delete ")
HANDLER(handle_purge, "purge")
HANDLER(handle_health, "health")

/* Answers who is refused with the status that it is told. */
static void handle_page(struct exchange *exchange, struct bytes parameter, void *context) {
    (void)parameter;
    ++*(unsigned *)context;
    response_start(&exchange->response, exchange->refused ? exchange->refused : 200, "text/html");
    buffer_append_text(&exchange->response.body, "page");
    exchange_send(exchange);
}

static const struct route ROUTES[] = {
    {METHOD_GET, "/cache/{key}", ROUTE_ADMIN, handle_entry, PATH_cache_entry},
    {METHOD_DELETE, "/cache/{key}", ROUTE_ADMIN, handle_delete_entry, PATH_cache_entry},
    {METHOD_POST, "/predict", ROUTE_JSON, handle_post, PATH_predict},
    {METHOD_QUERY, "/predict", ROUTE_JSON, handle_query, PATH_predict},
    {METHOD_GET, "/cache/stats", ROUTE_ADMIN, handle_stats, PATH_cache_stats},
    {METHOD_POST, "/cache/purge", ROUTE_ADMIN | ROUTE_JSON, handle_purge, PATH_cache_purge},
    {METHOD_GET, "/healthz", ROUTE_OPEN, handle_health, PATH_healthz},
    {METHOD_GET, "/page", ROUTE_ADMIN | ROUTE_PAGE, handle_page, PATH_dashboard},
};

/* The parts of a request that tests vary. */
struct sent {
    const char *method;
    const char *path;
    const char *type;
    const char *encoding;
    const char *authorization;
    const char *accept;
    const char *address; /* NULL: 127.0.0.1 */
    const char *host;    /* NULL: localhost */
    const char *via;
    const char *length;
    bool too_large, fields_too_large;
    const char *token; /* the router's */
};

static unsigned handled;
static struct stats stats;

static int send_request(struct sent sent) {
    char text[10][128];
    char *params[11] = {NULL};
    size_t n = 0;
    const struct {
        const char *name;
        const char *value;
    } GIVEN[] = {
        {"REQUEST_METHOD", sent.method},
        {"DOCUMENT_URI", sent.path},
        {"CONTENT_TYPE", sent.type},
        {"HTTP_CONTENT_ENCODING", sent.encoding},
        {"HTTP_AUTHORIZATION", sent.authorization},
        {"HTTP_ACCEPT", sent.accept},
        {"REMOTE_ADDR", sent.address != NULL ? sent.address : "127.0.0.1"},
        {"CONTENT_LENGTH", sent.length},
        {"HTTP_HOST", sent.host != NULL ? sent.host : "localhost"},
        {"HTTP_VIA", sent.via},
    };
    for (size_t i = 0; i < sizeof(GIVEN) / sizeof(GIVEN[0]); i++) {
        if (GIVEN[i].value == NULL)
            continue;
        snprintf(text[n], sizeof(text[n]), "%s=%s", GIVEN[i].name, GIVEN[i].value);
        params[n] = text[n];
        n++;
    }
    struct fastcgi_request transport = {.params = params,
                                        .body = bytes_of("{}"),
                                        .body_too_large = sent.too_large,
                                        .params_too_large = sent.fields_too_large};
    struct router router = {ROUTES, sizeof(ROUTES) / sizeof(ROUTES[0]), &handled, bytes_of(sent.token)};
    struct exchange_pool *pool = exchange_pool_create(&stats);

    handled = 0;
    transport_forget();
    router_dispatch(&router, exchange_begin(pool, &transport));
    exchange_pool_destroy(&pool);
    CU_ASSERT_EQUAL(answered.answers, 1);
    bool is_page = strcmp(transport_header("Content-Type"), "text/html") == 0;
    CU_ASSERT_EQUAL(handled, transport_status() == 200 || is_page ? 1 : 0);
    return transport_status();
}

#define SEND(method_, path_, ...) \
    send_request((struct sent){.method = (method_), .path = (path_), __VA_ARGS__})
#define JSON .type = "application/json"

static void test_routes(void) {
    CU_ASSERT_EQUAL(SEND("POST", "/predict", JSON), 200);
    CU_ASSERT_STRING_EQUAL(answered.body, "post");
    CU_ASSERT_EQUAL(SEND("QUERY", "/predict", JSON), 200);
    CU_ASSERT_STRING_EQUAL(answered.body, "query");
    CU_ASSERT_EQUAL(SEND("GET", "/healthz"), 200);
    CU_ASSERT_STRING_EQUAL(answered.body, "health");
}

static void test_parameter(void) {
    CU_ASSERT_EQUAL(SEND("GET", "/cache/ab12"), 200);
    CU_ASSERT_STRING_EQUAL(answered.body, "entry ab12");
    CU_ASSERT_EQUAL(SEND("DELETE", "/cache/ab12"), 200);
    CU_ASSERT_STRING_EQUAL(answered.body, "delete ab12");
    CU_ASSERT_EQUAL(SEND("GET", "/cache/stats"), 200);
    CU_ASSERT_STRING_EQUAL(answered.body, "stats");
    CU_ASSERT_EQUAL(SEND("GET", "/cache/stats2"), 200);
    CU_ASSERT_STRING_EQUAL(answered.body, "entry stats2");
    /* The exact path wins, also with a method that only the other one has. */
    CU_ASSERT_EQUAL(SEND("DELETE", "/cache/stats"), 405);
    CU_ASSERT_STRING_EQUAL(transport_header("Allow"), "GET, HEAD, OPTIONS");
}

static void test_unknown_paths(void) {
    static const char *const PATHS[] = {
        "",           "/",        "*",        "/predict/",     "/predictx",    "/predic",
        "predict",    "/cache",   "/cache/",  "/cache/a/b",    "/cache/ab12/", "//predict",
        "/healthz?x", "/PREDICT", "/cache//", "/cache/{key}/",
    };

    for (size_t i = 0; i < sizeof(PATHS) / sizeof(PATHS[0]); i++) {
        CU_ASSERT_EQUAL(SEND("GET", PATHS[i]), 404);
        CU_ASSERT_EQUAL(SEND("OPTIONS", PATHS[i]), 404);
        CU_ASSERT_EQUAL(SEND("BREW", PATHS[i]), 404);
    }
    CU_ASSERT_EQUAL(SEND("GET", NULL), 404);
    CU_ASSERT_STRING_EQUAL(transport_header("Content-Type"), "application/problem+json");
}

static void test_methods(void) {
    CU_ASSERT_EQUAL(SEND("GET", "/predict"), 405);
    CU_ASSERT_STRING_EQUAL(transport_header("Allow"), "POST, QUERY, OPTIONS");
    CU_ASSERT_EQUAL(SEND("HEAD", "/predict"), 405);
    CU_ASSERT_EQUAL(SEND("CONNECT", "/healthz"), 405);
    CU_ASSERT_EQUAL(SEND("PUT", "/cache/ab12"), 405);
    CU_ASSERT_STRING_EQUAL(transport_header("Allow"), "GET, HEAD, DELETE, OPTIONS");
    CU_ASSERT_EQUAL(SEND("BREW", "/predict"), 501);
    CU_ASSERT_EQUAL(SEND("post", "/predict"), 501);
    CU_ASSERT_STRING_EQUAL(transport_header("Allow"), "");
}

static void test_options(void) {
    CU_ASSERT_EQUAL(SEND("OPTIONS", "/predict"), 204);
    CU_ASSERT_STRING_EQUAL(transport_header("Allow"), "POST, QUERY, OPTIONS");
    CU_ASSERT_STRING_EQUAL(transport_header("Content-Type"), "");
    CU_ASSERT_EQUAL(answered.body_length, 0);
    CU_ASSERT_EQUAL(SEND("OPTIONS", "/cache/ab12"), 204);
    CU_ASSERT_STRING_EQUAL(transport_header("Allow"), "GET, HEAD, DELETE, OPTIONS");
}

static void test_head(void) {
    CU_ASSERT_EQUAL(SEND("HEAD", "/healthz"), 200);
    CU_ASSERT_STRING_EQUAL(transport_header("Content-Length"), "6");
    CU_ASSERT_EQUAL(answered.body_length, 0);
    CU_ASSERT_EQUAL(SEND("HEAD", "/nowhere"), 404);
    CU_ASSERT_EQUAL(answered.body_length, 0);
}

static void test_loopback_only(void) {
    CU_ASSERT_EQUAL(SEND("GET", "/cache/stats", .address = "::1"), 200);
    CU_ASSERT_EQUAL(SEND("GET", "/cache/stats", .address = "192.0.2.1"), 403);
    CU_ASSERT_EQUAL(SEND("GET", "/cache/stats", .address = ""), 403);
    CU_ASSERT_EQUAL(SEND("GET", "/cache/stats", .address = "192.0.2.1", .authorization = "Bearer "), 403);
    CU_ASSERT_EQUAL(SEND("GET", "/healthz", .address = "192.0.2.1"), 200);
    CU_ASSERT_EQUAL(SEND("POST", "/predict", JSON, .address = "192.0.2.1"), 200);
}

static void expect_detail(const char *word) {
    CU_ASSERT_PTR_NOT_NULL(strstr(answered.body, word));
    CU_ASSERT_PTR_NOT_NULL(strstr(answered.body, "ADMIN_TOKEN"));
}

/* Behind a proxy on this machine everybody has a loopback address; a page elsewhere can make a browser here
 * ask us under its own name. */
static void test_loopback_is_not_enough(void) {
    CU_ASSERT_EQUAL(SEND("GET", "/cache/stats", .via = "1.1 proxy"), 403);
    expect_detail("proxy");
    CU_ASSERT_EQUAL(SEND("GET", "/cache/stats", .host = "evil.example:8000"), 403);
    expect_detail("Host");
    CU_ASSERT_EQUAL(SEND("GET", "/cache/stats", .host = ""), 403);
    CU_ASSERT_EQUAL(SEND("GET", "/cache/stats", .address = "192.0.2.1"), 403);
    expect_detail("another machine");
    CU_ASSERT_EQUAL(SEND("GET", "/cache/stats", .host = "[::1]:8000"), 200);
    /* With a token nothing of that matters, nor does it elsewhere. */
    CU_ASSERT_EQUAL(SEND("GET", "/cache/stats", .via = "1.1 proxy", .host = "evil.example", .token = "s3cret",
                         .authorization = "Bearer s3cret"),
                    200);
    CU_ASSERT_EQUAL(SEND("POST", "/predict", JSON, .via = "1.1 proxy", .host = "an.example"), 200);
}

/* A refusal is logged with client and reason, and without the token, right or wrong. */
static void test_refusals_are_logged(void) {
    captured_log_begin();
    CU_ASSERT_EQUAL(SEND("GET", "/cache/stats", .authorization = "Bearer wr0ng", .token = "s3cret",
                         .address = "192.0.2.1"),
                    401);
    CU_ASSERT_EQUAL(SEND("POST", "/cache/purge", .via = "1.1 proxy"), 403);
    CU_ASSERT_EQUAL(SEND("GET", "/cache/stats", .token = "s3cret", .authorization = "Bearer s3cret"), 200);
    const char *log = captured_log_end();
    const char *second = strchr(log, '\n');
    CU_ASSERT_PTR_NOT_NULL_FATAL(second);
    CU_ASSERT_PTR_NOT_NULL(strstr(log, "level=warn event=admin_refused"));
    CU_ASSERT_PTR_NOT_NULL(strstr(log, "remote=192.0.2.1 method=GET path=/cache/stats reason="));
    CU_ASSERT_PTR_NOT_NULL(strstr(second, "path=/cache/purge"));
    CU_ASSERT_PTR_NULL(strstr(log, "s3cret"));
    CU_ASSERT_PTR_NULL(strstr(log, "wr0ng"));
}

/* Errors and all that administrators ask are nothing to keep. */
static void test_no_store(void) {
    CU_ASSERT_EQUAL(SEND("GET", "/cache/ab12"), 200);
    CU_ASSERT_STRING_EQUAL(transport_header("Cache-Control"), "no-store");
    CU_ASSERT_EQUAL(SEND("DELETE", "/cache/ab12"), 200);
    CU_ASSERT_STRING_EQUAL(transport_header("Cache-Control"), "no-store");
    CU_ASSERT_EQUAL(SEND("GET", "/nowhere"), 404);
    CU_ASSERT_STRING_EQUAL(transport_header("Cache-Control"), "no-store");
    CU_ASSERT_EQUAL(SEND("POST", "/predict", .type = "text/plain"), 415);
    CU_ASSERT_STRING_EQUAL(transport_header("Cache-Control"), "no-store");
    CU_ASSERT_EQUAL(SEND("POST", "/predict", JSON), 200);
    CU_ASSERT_STRING_EQUAL(transport_header("Cache-Control"), "");
}

/* Nothing is known of a request whose fields were dropped, not even its path. */
static void test_fields_too_large(void) {
    CU_ASSERT_EQUAL(SEND(NULL, NULL, .fields_too_large = true), 431);
    CU_ASSERT_STRING_EQUAL(transport_header("Content-Type"), "application/problem+json");
}

static int with_token(const char *authorization) {
    return SEND("GET", "/cache/stats", .authorization = authorization, .token = "s3cret",
                .address = "192.0.2.1");
}

static void test_token(void) {
    static const char *const REFUSED[] = {
        NULL,
        "",
        "Bearer",
        "Bearer ",
        "Bearer s3cre",
        "Bearer s3crets",
        "Bearer S3CRET",
        "s3cret",
        "Basic s3cret",
        "Bearers3cret",
        "Bearer\ts3cret",
        "BearerX s3cret",
        "Bearer s3cret x",
    };

    CU_ASSERT_EQUAL(with_token("Bearer s3cret"), 200);
    CU_ASSERT_EQUAL(with_token("bearer s3cret"), 200);
    CU_ASSERT_EQUAL(with_token("BEARER   s3cret"), 200);
    for (size_t i = 0; i < sizeof(REFUSED) / sizeof(REFUSED[0]); i++) {
        CU_ASSERT_EQUAL(with_token(REFUSED[i]), 401);
        CU_ASSERT_STRING_EQUAL(transport_header("WWW-Authenticate"), "Bearer realm=\"inferonce\"");
    }
    /* With a token set, being local is not enough. */
    CU_ASSERT_EQUAL(SEND("GET", "/cache/stats", .token = "s3cret"), 401);
    CU_ASSERT_EQUAL(SEND("GET", "/healthz", .token = "s3cret", .address = "192.0.2.1"), 200);
}

/* The handler of a page answers a refusal when the client would rather have HTML than a problem. */
static void test_pages(void) {
    CU_ASSERT_EQUAL(SEND("GET", "/page", .accept = "text/html"), 200);
    CU_ASSERT_EQUAL(SEND("GET", "/page", .accept = "text/html", .address = "192.0.2.1"), 403);
    CU_ASSERT_STRING_EQUAL(transport_header("Content-Type"), "text/html");
    CU_ASSERT_EQUAL(SEND("HEAD", "/page", .accept = "text/html, */*;q=0.8", .token = "s3cret"), 401);
    CU_ASSERT_STRING_EQUAL(transport_header("Content-Type"), "text/html");
    CU_ASSERT_EQUAL(SEND("GET", "/page", .accept = "*/*", .token = "s3cret"), 401);
    CU_ASSERT_STRING_EQUAL(transport_header("Content-Type"), "application/problem+json");
    CU_ASSERT_EQUAL(SEND("GET", "/page", .address = "192.0.2.1"), 403);
    CU_ASSERT_STRING_EQUAL(transport_header("Content-Type"), "application/problem+json");
    CU_ASSERT_EQUAL(SEND("GET", "/cache/stats", .accept = "text/html", .token = "s3cret"), 401);
    CU_ASSERT_STRING_EQUAL(transport_header("Content-Type"), "application/problem+json");
}

static void test_bodies(void) {
    CU_ASSERT_EQUAL(SEND("POST", "/predict"), 415);
    CU_ASSERT_STRING_EQUAL(transport_header("Accept"), "application/json");
    CU_ASSERT_STRING_EQUAL(transport_header("Accept-Query"), "application/json");
    CU_ASSERT_EQUAL(SEND("POST", "/predict", .type = "text/plain"), 415);
    CU_ASSERT_EQUAL(SEND("POST", "/predict", JSON, .encoding = "gzip"), 415);
    CU_ASSERT_STRING_EQUAL(transport_header("Accept"), "application/json");
    CU_ASSERT_STRING_EQUAL(transport_header("Accept-Encoding"), "identity");
    CU_ASSERT_EQUAL(SEND("POST", "/predict", JSON, .encoding = ""), 200);
    CU_ASSERT_EQUAL(SEND("POST", "/predict", JSON, .encoding = "identity"), 200);
    CU_ASSERT_EQUAL(SEND("POST", "/predict", .type = "text/json; charset=utf8"), 200);
    CU_ASSERT_EQUAL(SEND("POST", "/predict", JSON, .length = "3"), 400);
    CU_ASSERT_EQUAL(SEND("POST", "/predict", JSON, .length = "2"), 200);
    CU_ASSERT_EQUAL(SEND("POST", "/predict", JSON, .too_large = true), 413);
    /* A route without a body does not care. */
    CU_ASSERT_EQUAL(SEND("GET", "/healthz", .type = "text/plain", .encoding = "gzip", .length = "9"), 200);
}

static void test_order(void) {
    CU_ASSERT_EQUAL(SEND("POST", "/predict", .too_large = true, .encoding = "gzip"), 413);
    CU_ASSERT_EQUAL(SEND("POST", "/predict", .length = "9"), 415);
    CU_ASSERT_EQUAL(SEND("POST", "/cache/purge", .address = "192.0.2.1", .too_large = true), 403);
    CU_ASSERT_EQUAL(SEND("PUT", "/cache/purge", .address = "192.0.2.1"), 405);
    CU_ASSERT_EQUAL(SEND("BREW", "/cache/purge", .address = "192.0.2.1"), 501);
}

static const struct unit_case CASES[] = {
    {"method and path", test_routes},
    {"a path with a parameter", test_parameter},
    {"unknown paths", test_unknown_paths},
    {"405 and 501", test_methods},
    {"OPTIONS", test_options},
    {"HEAD where GET is", test_head},
    {"admin without a token", test_loopback_only},
    {"a loopback address is not enough", test_loopback_is_not_enough},
    {"refusals are logged", test_refusals_are_logged},
    {"what no cache may keep", test_no_store},
    {"431", test_fields_too_large},
    {"admin with a token", test_token},
    {"admin pages", test_pages},
    {"bodies", test_bodies},
    {"what is said first", test_order},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "router", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
