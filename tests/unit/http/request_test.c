#include "inferonce/http/request.h"

#include "unit.h"

/* The request borrows from a copy that the next call overwrites. */
static struct request read_all(const char *const *params, struct bytes body, bool body_too_large) {
    static char text[1024];
    char *copies[32] = {NULL};
    struct request request;
    size_t used = 0;

    for (size_t i = 0; params[i] != NULL; i++) {
        copies[i] = strcpy(text + used, params[i]);
        used += strlen(params[i]) + 1;
    }
    request_read(&request,
                 &(struct fastcgi_request){.params = copies, .body = body, .body_too_large = body_too_large});
    return request;
}

static struct request read_params(const char *const *params, const char *body) {
    return read_all(params, bytes_of(body), false);
}

#define PARAMS(...)         \
    (const char *const[]) { \
        __VA_ARGS__, NULL   \
    }

static bool is(struct bytes bytes, const char *text) {
    return bytes_equal(bytes, bytes_of(text));
}

static void test_every_field(void) {
    struct request request = read_params(
        PARAMS("REQUEST_METHOD=QUERY", "DOCUMENT_URI=/predict", "QUERY_STRING=a=b&c", "CONTENT_LENGTH=4",
               "CONTENT_TYPE=application/json", "HTTP_CONTENT_ENCODING=gzip", "HTTP_ACCEPT=*/*",
               "HTTP_AUTHORIZATION=Bearer x=", "HTTP_IF_NONE_MATCH=\"e\"", "REMOTE_ADDR=192.0.2.1",
               "HTTP_HOST=a.example:80", "HTTP_X_CACHE_NAMESPACE=tenant", "HTTP_X_CACHE_TTL=5",
               "HTTP_TRACEPARENT=00-ab", "HTTP_TRACESTATE=k=v", "HTTP_CACHE_CONTROL=max-age=3"),
        "body");

    CU_ASSERT_EQUAL(request.method, METHOD_QUERY);
    CU_ASSERT_TRUE(is(request.path, "/predict"));
    CU_ASSERT_TRUE(is(request.query, "a=b&c"));
    CU_ASSERT_TRUE(is(request.body, "body"));
    CU_ASSERT_FALSE(request.body_truncated || request.body_too_large);
    CU_ASSERT_TRUE(is(request.content_type, "application/json"));
    CU_ASSERT_TRUE(request.body_encoded);
    CU_ASSERT_EQUAL(request.accept.n, 1);
    CU_ASSERT_TRUE(is(request.accept.lines[0], "*/*"));
    CU_ASSERT_TRUE(is(request.authorization, "Bearer x="));
    CU_ASSERT_EQUAL(request.if_none_match.n, 1);
    CU_ASSERT_TRUE(is(request.if_none_match.lines[0], "\"e\""));
    CU_ASSERT_TRUE(is(request.remote_addr, "192.0.2.1"));
    CU_ASSERT_TRUE(is(request.host, "a.example:80"));
    CU_ASSERT_FALSE(request.forwarded || request.fields_too_large);
    CU_ASSERT_TRUE(is(request.cache_namespace, "tenant"));
    CU_ASSERT_TRUE(is(request.cache_ttl, "5"));
    CU_ASSERT_TRUE(is(request.traceparent, "00-ab"));
    CU_ASSERT_TRUE(is(request.tracestate, "k=v"));
    CU_ASSERT_TRUE(request.cache_control.present);
    CU_ASSERT_EQUAL(request.cache_control.max_age_s, 3);
}

static void test_absent_fields(void) {
    struct request request = read_params(PARAMS("REQUEST_METHOD=GET"), "");

    CU_ASSERT_PTR_NULL(request.cache_namespace.data);
    CU_ASSERT_PTR_NULL(request.cache_ttl.data);
    CU_ASSERT_PTR_NULL(request.authorization.data);
    CU_ASSERT_PTR_NULL(request.host.data);
    CU_ASSERT_EQUAL(request.accept.n, 0);
    CU_ASSERT_EQUAL(request.if_none_match.n, 0);
    CU_ASSERT_FALSE(request.body_encoded);
    CU_ASSERT_EQUAL(request.path.length, 0);
    CU_ASSERT_FALSE(request.cache_control.present);
    CU_ASSERT_EQUAL(request.cache_control.max_age_s, SECONDS_ABSENT);

    request = read_params(PARAMS("HTTP_X_CACHE_TTL="), "");
    CU_ASSERT_PTR_NOT_NULL(request.cache_ttl.data);
    CU_ASSERT_EQUAL(request.cache_ttl.length, 0);
    CU_ASSERT_EQUAL(request.method, METHOD_UNKNOWN);
}

/* Header fields of the names Proxy, Content-Length and Content-Type, and names that are nearly those of
 * interest. */
static void test_fields_not_looked_at(void) {
    struct request request = read_params(
        PARAMS("HTTP_PROXY=evil", "HTTP_CONTENT_LENGTH=9", "HTTP_CONTENT_TYPE=text/plain", "CONTENT_TYPE",
               "=x", "CONTENT_TYPE2=a", "XONTENT_TYPE=a", "HTTP_X_CACHE_TTM=1", "HTTP_DOCUMENT_URI=/x"),
        "body");

    CU_ASSERT_FALSE(request.body_truncated);
    CU_ASSERT_PTR_NULL(request.content_type.data);
    CU_ASSERT_PTR_NULL(request.cache_ttl.data);
    CU_ASSERT_EQUAL(request.path.length, 0);
}

static void test_several_lines(void) {
    struct request request =
        read_params(PARAMS("HTTP_CACHE_CONTROL=max-age=60", "HTTP_X_CACHE_TTL=1",
                           "HTTP_CACHE_CONTROL=no-store", "HTTP_X_CACHE_TTL=2", "HTTP_PRAGMA=no-cache",
                           "HTTP_ACCEPT=a/b", "HTTP_ACCEPT=", "HTTP_ACCEPT=c/d", "HTTP_IF_NONE_MATCH=\"a\"",
                           "HTTP_IF_NONE_MATCH=\"b\"", "HTTP_HOST=localhost", "HTTP_HOST=localhost",
                           "HTTP_AUTHORIZATION=first", "HTTP_AUTHORIZATION=second"),
                    "");

    CU_ASSERT_EQUAL(request.cache_control.max_age_s, 60);
    CU_ASSERT_TRUE(request.cache_control.no_store);
    CU_ASSERT_FALSE(request.cache_control.no_cache);
    CU_ASSERT_TRUE(is(request.cache_ttl, ","));
    CU_ASSERT_TRUE(is(request.host, ","));
    CU_ASSERT_TRUE(is(request.authorization, "first"));
    CU_ASSERT_EQUAL(request.accept.n, 3);
    CU_ASSERT_TRUE(is(request.accept.lines[2], "c/d"));
    CU_ASSERT_EQUAL(request.if_none_match.n, 2);
    CU_ASSERT_TRUE(is(request.if_none_match.lines[1], "\"b\""));
}

static void test_too_many_lines(void) {
    const char *params[FIELD_LINES_MAX + 3] = {NULL};

    for (size_t i = 0; i < FIELD_LINES_MAX + 2; i++)
        params[i] = i < FIELD_LINES_MAX ? "HTTP_ACCEPT=a/b" : "HTTP_ACCEPT=c/d";
    struct request request = read_params(params, "");
    CU_ASSERT_EQUAL(request.accept.n, FIELD_LINES_MAX);
    CU_ASSERT_TRUE(is(request.accept.lines[FIELD_LINES_MAX - 1], "a/b"));
}

/* A proxy adds one of these; their values are not looked at. */
static void test_forwarded(void) {
    static const char *const FIELDS[] = {"HTTP_FORWARDED=for=a", "HTTP_X_FORWARDED_FOR=127.0.0.1",
                                         "HTTP_X_REAL_IP=127.0.0.1", "HTTP_VIA=1.1 x", "HTTP_VIA="};
    static const char *const OTHERS[] = {"HTTP_FORWARDEX=a", "HTTP_X_REAL_IQ=a", "HTTP_VIB=a",
                                         "HTTP_X_FORWARDED_FOO=a", "FORWARDED=a"};

    for (size_t i = 0; i < sizeof(FIELDS) / sizeof(FIELDS[0]); i++)
        CU_ASSERT_TRUE(read_params(PARAMS(FIELDS[i]), "").forwarded);
    for (size_t i = 0; i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++)
        CU_ASSERT_FALSE(read_params(PARAMS(OTHERS[i]), "").forwarded);
}

static void test_content_encoding(void) {
    static const char *const NONE[] = {"", "identity", "Identity", " identity ", "identity, IDENTITY", ",,"};
    static const char *const ENCODED[] = {
        "gzip", "identity, gzip", "gzip, identity", "identityx", "identity x", "identity;q=1", "?"};
    char param[64];

    for (size_t i = 0; i < sizeof(NONE) / sizeof(NONE[0]); i++) {
        snprintf(param, sizeof(param), "HTTP_CONTENT_ENCODING=%s", NONE[i]);
        CU_ASSERT_FALSE(read_params(PARAMS(param), "").body_encoded);
    }
    for (size_t i = 0; i < sizeof(ENCODED) / sizeof(ENCODED[0]); i++) {
        snprintf(param, sizeof(param), "HTTP_CONTENT_ENCODING=%s", ENCODED[i]);
        CU_ASSERT_TRUE(read_params(PARAMS(param), "").body_encoded);
    }
    CU_ASSERT_TRUE(
        read_params(PARAMS("HTTP_CONTENT_ENCODING=identity", "HTTP_CONTENT_ENCODING=br"), "").body_encoded);
}

static void test_pragma(void) {
    CU_ASSERT_TRUE(read_params(PARAMS("HTTP_PRAGMA=no-cache"), "").cache_control.no_cache);
    CU_ASSERT_FALSE(
        read_params(PARAMS("HTTP_PRAGMA=no-cache", "HTTP_CACHE_CONTROL="), "").cache_control.no_cache);
    CU_ASSERT_TRUE(
        read_params(PARAMS("HTTP_PRAGMA=other", "HTTP_PRAGMA=no-cache"), "").cache_control.no_cache);
    CU_ASSERT_FALSE(read_params(PARAMS("HTTP_PRAGMA=no-store"), "").cache_control.no_store);
}

static void test_methods(void) {
    static const struct {
        const char *param;
        enum method method;
    } METHODS_SENT[] = {
        {"REQUEST_METHOD=GET", METHOD_GET},         {"REQUEST_METHOD=HEAD", METHOD_HEAD},
        {"REQUEST_METHOD=POST", METHOD_POST},       {"REQUEST_METHOD=QUERY", METHOD_QUERY},
        {"REQUEST_METHOD=DELETE", METHOD_DELETE},   {"REQUEST_METHOD=OPTIONS", METHOD_OPTIONS},
        {"REQUEST_METHOD=PUT", METHOD_PUT},         {"REQUEST_METHOD=PATCH", METHOD_PATCH},
        {"REQUEST_METHOD=TRACE", METHOD_TRACE},     {"REQUEST_METHOD=CONNECT", METHOD_CONNECT},
        {"REQUEST_METHOD=get", METHOD_UNKNOWN},     {"REQUEST_METHOD=", METHOD_UNKNOWN},
        {"REQUEST_METHOD=BREW", METHOD_UNKNOWN},    {"REQUEST_METHOD=POSTS", METHOD_UNKNOWN},
        {"REQUEST_METHOD=unknown", METHOD_UNKNOWN},
    };

    for (size_t i = 0; i < sizeof(METHODS_SENT) / sizeof(METHODS_SENT[0]); i++)
        CU_ASSERT_EQUAL(read_params(PARAMS(METHODS_SENT[i].param), "").method, METHODS_SENT[i].method);
    CU_ASSERT_STRING_EQUAL(method_name(METHOD_GET), "GET");
    CU_ASSERT_STRING_EQUAL(method_name(METHOD_CONNECT), "CONNECT");
    CU_ASSERT_STRING_EQUAL(method_name(METHOD_UNKNOWN), "unknown");
}

static void test_path(void) {
    CU_ASSERT_TRUE(is(read_params(PARAMS("REQUEST_URI=/raw?q", "SCRIPT_NAME=/script", "PATH_INFO=/info",
                                         "DOCUMENT_URI=/document"),
                                  "")
                          .path,
                      "/document"));
    CU_ASSERT_TRUE(
        is(read_params(PARAMS("REQUEST_URI=/raw?q", "SCRIPT_NAME=/predict"), "").path, "/predict"));
    CU_ASSERT_TRUE(
        is(read_params(PARAMS("REQUEST_URI=/raw?q", "SCRIPT_NAME=", "PATH_INFO=/predict"), "").path,
           "/predict"));
    /* lighttpd cut it in two. */
    CU_ASSERT_TRUE(is(
        read_params(PARAMS("REQUEST_URI=/cache/stats?pretty", "SCRIPT_NAME=/cache", "PATH_INFO=/stats"), "")
            .path,
        "/cache/stats"));
    CU_ASSERT_TRUE(is(read_params(PARAMS("REQUEST_URI=/raw"), "").path, "/raw"));
    CU_ASSERT_TRUE(is(read_params(PARAMS("REQUEST_URI=?"), "").path, ""));
}

static void test_body_length(void) {
    CU_ASSERT_FALSE(read_params(PARAMS("CONTENT_LENGTH="), "").body_truncated);
    CU_ASSERT_FALSE(read_params(PARAMS("CONTENT_LENGTH=0"), "").body_truncated);
    CU_ASSERT_FALSE(read_params(PARAMS("CONTENT_LENGTH="), "body").body_truncated);
    CU_ASSERT_FALSE(read_params(PARAMS("CONTENT_LENGTH=4"), "body").body_truncated);
    CU_ASSERT_TRUE(read_params(PARAMS("CONTENT_LENGTH=5"), "body").body_truncated);
    CU_ASSERT_TRUE(read_params(PARAMS("CONTENT_LENGTH=3"), "body").body_truncated);
    CU_ASSERT_TRUE(read_params(PARAMS("CONTENT_LENGTH=-4"), "body").body_truncated);
    CU_ASSERT_TRUE(read_params(PARAMS("CONTENT_LENGTH=4 "), "body").body_truncated);
    CU_ASSERT_TRUE(read_params(PARAMS("CONTENT_LENGTH=18446744073709551620"), "body").body_truncated);

    struct request request = read_all(PARAMS("CONTENT_LENGTH=99999999"), (struct bytes){NULL, 0}, true);
    CU_ASSERT_TRUE(request.body_too_large);
    CU_ASSERT_FALSE(request.body_truncated);
}

static void test_content_type(void) {
    static const char *const JSON[] = {
        "application/json",
        "Application/JSON",
        " application/json\t",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "application/json;charset=\"utf\\-8\"",
        "application/json; charset=utf8",
        "application/json; charset=\"UTF8\"",
        "text/json",
        "Text/Json; charset=utf8",
        "application/json ; foo=\"a;b\" ; charset=utf-8",
        "application/json;",
        "application/json; ; charset=utf-8",
        "application/ld+json",
        "application/vnd.api+JSON; profile=\"x\"",
        "model/gltf+json",
    };
    static const char *const OTHER[] = {
        "",
        "json",
        "/json",
        "application/",
        "text/jsonx",
        "image/json",
        "text/plain",
        "application/json5",
        "application/jsonx",
        "application/xjson",
        "application/+json",
        "application/x+jsonx",
        "application/json, text/plain",
        "application/json charset=utf-8",
        "application/json; charset=latin1",
        "application/json; charset=utf-16",
        "application/json; charset=utf-8x",
        "application/json; charset=utf88",
        "application/json; charset=utf-",
        "application/json; charset=",
        "application/json; charset",
        "application/json; charset=\"utf-8",
        "application/json; charset=utf-8; charset=utf-16",
        "application/json; foo=\"charset=utf-8\"; charset=utf-7",
        "multipart/form-data; boundary=application/json",
    };

    for (size_t i = 0; i < sizeof(JSON) / sizeof(JSON[0]); i++)
        CU_ASSERT_TRUE(request_content_type_is_json(bytes_of(JSON[i])));
    for (size_t i = 0; i < sizeof(OTHER) / sizeof(OTHER[0]); i++)
        CU_ASSERT_FALSE(request_content_type_is_json(bytes_of(OTHER[i])));
    CU_ASSERT_FALSE(request_content_type_is_json((struct bytes){NULL, 0}));
}

static bool none_match(struct bytes line, struct bytes etag) {
    const struct field_lines lines = {.lines = {line}, .n = 1};

    return request_none_match(&lines, etag);
}

static void test_none_match(void) {
    static const struct bytes ETAG = {"\"abc\"", 5};
    static const struct bytes WEAK = {"W/\"abc\"", 7};
    static const char *const MATCHING[] = {
        "\"abc\"",    "W/\"abc\"",       "*",
        " * ",        "\"x\", \"abc\"",  "\"x\",W/\"abc\" , \"y\"",
        ",, \"abc\"", "\"a,b\",\"abc\"", "\"x\\\", \"abc\"",
    };
    static const char *const OTHERS[] = {
        "",           "abc",           "\"ab\"", "\"abcd\"", "w/\"abc\"", "\"abc",        "**",
        "*, \"abc\"", "\"x\" \"abc\"", "W/",     "W/abc",    ",",         "\"x, \"abc\"", "\"ABC\"",
    };

    for (size_t i = 0; i < sizeof(MATCHING) / sizeof(MATCHING[0]); i++) {
        CU_ASSERT_TRUE(none_match(bytes_of(MATCHING[i]), ETAG));
        CU_ASSERT_TRUE(none_match(bytes_of(MATCHING[i]), WEAK));
    }
    for (size_t i = 0; i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++) {
        CU_ASSERT_FALSE(none_match(bytes_of(OTHERS[i]), ETAG));
        CU_ASSERT_FALSE(none_match(bytes_of(OTHERS[i]), WEAK));
    }
    const struct field_lines none = {.n = 0};
    const struct field_lines two = {.lines = {bytes_of("\"x\""), bytes_of("W/\"abc\"")}, .n = 2};
    CU_ASSERT_FALSE(request_none_match(&none, ETAG));
    CU_ASSERT_TRUE(request_none_match(&two, ETAG));
    CU_ASSERT_FALSE(request_none_match(&two, LITERAL("\"y\"")));
}

static void test_loopback(void) {
    static const char *const LOOPBACK[] = {
        "127.0.0.1", "127.255.255.255", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::FFFF:127.1.2.3",
    };
    static const char *const OTHERS[] = {
        "",
        "126.255.255.255",
        "128.0.0.1",
        "10.127.0.1",
        "127.0.0.1.example.org",
        "127.1",
        "0x7f.0.0.1",
        "::2",
        "::127.0.0.1",
        "::ffff:126.0.0.1",
        "fe80::1",
        "localhost",
        "unix:",
        "127.0.0.1 ",
        "[::1]",
        "::ffff:0:127.0.0.1",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001",
    };

    for (size_t i = 0; i < sizeof(LOOPBACK) / sizeof(LOOPBACK[0]); i++)
        CU_ASSERT_TRUE(request_is_loopback(bytes_of(LOOPBACK[i])));
    for (size_t i = 0; i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++)
        CU_ASSERT_FALSE(request_is_loopback(bytes_of(OTHERS[i])));
    CU_ASSERT_FALSE(request_is_loopback((struct bytes){NULL, 0}));
}

static void test_host(void) {
    static const char *const LOOPBACK[] = {
        "localhost",  "LOCALHOST:8000", "a.localhost",    "a.b.localhost:1",
        "127.0.0.1",  "127.0.0.1:8000", "127.255.0.9:80", "[::1]",
        "[::1]:8000", " localhost ",    "localhost:",     "[::ffff:127.0.0.1]:1",
    };
    static const char *const OTHERS[] = {
        "",
        ":80",
        ",",
        "example.org",
        "example.org:8000",
        "xlocalhost",
        "localhost.example.org",
        "localhost.",
        "127.0.0.1.example.org",
        "127.0.0.1.",
        "128.0.0.1",
        "192.0.2.1:8000",
        "::1",
        "[::2]",
        "[::1",
        "[localhost]",
        "[]",
        "localhost:80x",
        "localhost:80:80",
        "a@localhost:80,b",
        "localhost, localhost",
    };

    for (size_t i = 0; i < sizeof(LOOPBACK) / sizeof(LOOPBACK[0]); i++)
        CU_ASSERT_TRUE(request_host_is_loopback(bytes_of(LOOPBACK[i])));
    for (size_t i = 0; i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++)
        CU_ASSERT_FALSE(request_host_is_loopback(bytes_of(OTHERS[i])));
    CU_ASSERT_FALSE(request_host_is_loopback((struct bytes){NULL, 0}));
}

static void test_client(void) {
    static const struct {
        const char *one, *other;
        bool same;
    } ROWS[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
        {"2001:db8::1", "2001:db8:0:0:ffff:1:2:3", true},
        {"2001:db8::1", "2001:db8:0:1::1", false},
        {"2001:db8::1", "192.0.2.1", false},
        {"", "unknown", true},
        {"unknown", "unix:", true},
        {"unknown", "192.0.2.1", false},
        {"unknown", "1234567890123456789012345678901234567890123456789", true},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
        CU_ASSERT_EQUAL(request_client(bytes_of(ROWS[i].one)) == request_client(bytes_of(ROWS[i].other)),
                        ROWS[i].same);
    CU_ASSERT_EQUAL(request_client((struct bytes){NULL, 0}), request_client(bytes_of("unknown")));
}

static void test_remote(void) {
    char remote[REQUEST_REMOTE_MAX], address[2 * REQUEST_REMOTE_MAX];
    struct request request = {.remote_addr = bytes_of("192.0.2.1")};

    request_remote(&request, remote);
    CU_ASSERT_STRING_EQUAL(remote, "192.0.2.1");
    memset(address, 'a', sizeof(address));
    request.remote_addr = (struct bytes){address, sizeof(address)};
    request_remote(&request, remote);
    CU_ASSERT_EQUAL(strlen(remote), REQUEST_REMOTE_MAX - 1);
    request.remote_addr = (struct bytes){NULL, 0};
    request_remote(&request, remote);
    CU_ASSERT_STRING_EQUAL(remote, "");
}

static const struct unit_case CASES[] = {
    {"every field finds its place", test_every_field},
    {"absent is not empty", test_absent_fields},
    {"parameters that are not looked at", test_fields_not_looked_at},
    {"several lines of one field", test_several_lines},
    {"more lines than anybody needs", test_too_many_lines},
    {"forwarding fields", test_forwarded},
    {"content codings", test_content_encoding},
    {"Pragma only without Cache-Control", test_pragma},
    {"methods", test_methods},
    {"where the path comes from", test_path},
    {"a body and its announced length", test_body_length},
    {"which types are JSON", test_content_type},
    {"If-None-Match", test_none_match},
    {"loopback addresses", test_loopback},
    {"loopback names", test_host},
    {"an address for the log", test_remote},
    {"clients by address", test_client},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "request", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
