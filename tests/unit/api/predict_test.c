#include "api/predict.h"

#include "api/known_bodies.h"
#include "service.h"

/* The answers of /predict, by the rows of HTTP.md's tables. Lifetimes are 60 s. */

#define TEXT   "{\"text\":\"good day\"}"
#define RESULT "{\"echo\":\"good day\"}"

/* ---- hit and miss ---- */

static void test_miss_then_hit(void) {
    service_setup(NULL);
    struct sent *miss = service_ask("POST", "/predict", NULL, "{\"text\": \"Good  day \"}");
    CU_ASSERT_EQUAL(miss->answers, 0);
    CU_ASSERT_EQUAL_FATAL(service.worker.n_running, 1);
    CU_ASSERT(
        bytes_equal(service.worker.running[0]->text, bytes_of("good day"))); /* what is hashed is inferred */
    service_wait_ms(1500);
    service_model_echoes();
    CU_ASSERT_EQUAL(miss->status, 200);
    CU_ASSERT_STRING_EQUAL(service_header(miss, "Content-Type"), "application/json");
    CU_ASSERT_STRING_EQUAL(service_header(miss, "X-Cache"), "MISS");
    CU_ASSERT_STRING_EQUAL(service_header(miss, "Cache-Status"), "inferonce; fwd=miss; stored");
    CU_ASSERT_STRING_EQUAL(service_header(miss, "Age"), "");
    CU_ASSERT_STRING_EQUAL(service_header(miss, "Server-Timing"), "cache;dur=0.000, inference;dur=1500.000");
    CU_ASSERT_STRING_EQUAL(miss->body, "{\"result\":" RESULT ",\"cached\":false,\"inference_time_ms\":1500}");

    service_wait_ms(7300);
    struct sent *hit = service_predict(NULL, TEXT);
    CU_ASSERT_EQUAL(hit->status, 200);
    CU_ASSERT_STRING_EQUAL(service_header(hit, "X-Cache"), "HIT");
    CU_ASSERT_STRING_EQUAL(service_header(hit, "Cache-Status"), "inferonce; hit; ttl=53");
    CU_ASSERT_STRING_EQUAL(service_header(hit, "Age"), "7");
    CU_ASSERT_STRING_EQUAL(service_header(hit, "Server-Timing"), "cache;dur=0.000");
    CU_ASSERT_STRING_EQUAL(hit->body, "{\"result\":" RESULT ",\"cached\":true}");
    CU_ASSERT_STRING_EQUAL(service_header(hit, "X-Cache-Key"), service_header(miss, "X-Cache-Key"));
    CU_ASSERT_EQUAL(strspn(service_header(hit, "X-Cache-Key"), "0123456789abcdef"), 64);
    service_teardown();
}

/* One row: a request, and the answer of a prepared cache. */
static uint64_t stale_s; /* how long after their lifetime entries are kept, for errors */
static uint64_t revalidate_s;

static void with_windows(struct settings *settings) {
    settings->cache_stale_if_error_ms = stale_s * 1000;
    settings->cache_stale_while_revalidate_ms = revalidate_s * 1000;
}

#define NOTHING UINT64_MAX

struct row {
    uint64_t age_ms; /* of what is stored; NOTHING */
    const char *fields;
    int status;
    const char *x_cache, *cache_status, *age;
};

static void check_row(const struct row *row) {
    service_setup(with_windows);
    if (row->age_ms != NOTHING) {
        service_predict(NULL, TEXT);
        service_wait_ms(row->age_ms);
    }
    struct sent *sent = service_predict(row->fields, TEXT);
    CU_ASSERT_EQUAL(sent->status, row->status);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "X-Cache"), row->x_cache);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Cache-Status"), row->cache_status);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Age"), row->age);
    if (strcmp(service_header(sent, "Cache-Status"), row->cache_status) != 0)
        printf("    %s at %llu ms: %s\n", row->fields ? row->fields : "-", (unsigned long long)row->age_ms,
               sent->head);
    if (row->status == 504)
        service_check_problem(sent, 504, "only-if-cached", NULL);
    service_teardown();
}

#define CHECK(rows)                                               \
    for (size_t i = 0; i < sizeof(rows) / sizeof((rows)[0]); i++) \
    check_row(&(rows)[i])

#define MISS        200, "MISS", "inferonce; fwd=miss; stored", ""
#define BYPASS      200, "BYPASS", "inferonce; fwd=request; stored", ""
#define HIT_AT(ttl) 200, "HIT", "inferonce; hit; ttl=" #ttl

static void test_cases(void) {
    static const struct row ROWS[] = {
        {NOTHING, NULL, MISS},
        {0, NULL, 200, "HIT", "inferonce; hit; ttl=60", "0"},
        {18000, NULL, 200, "HIT", "inferonce; hit; ttl=42", "18"},
        {59999, NULL, 200, "HIT", "inferonce; hit; ttl=1", "59"},
        {60000, NULL, 200, "MISS", "inferonce; fwd=stale; stored", ""},
        {1000, "HTTP_CACHE_CONTROL=no-cache", BYPASS},
        {NOTHING, "HTTP_CACHE_CONTROL=no-cache", BYPASS},
        {1000, "HTTP_CACHE_CONTROL=no-store", 200, "BYPASS", "inferonce; fwd=request", ""},
        {5000, "HTTP_CACHE_CONTROL=max-age=5", 200, "HIT", "inferonce; hit; ttl=55", "5"},
        {6000, "HTTP_CACHE_CONTROL=max-age=5", BYPASS},
        {0, "HTTP_CACHE_CONTROL=max-age=0", BYPASS},
        {50000, "HTTP_CACHE_CONTROL=min-fresh=10", 200, "HIT", "inferonce; hit; ttl=10", "50"},
        {51000, "HTTP_CACHE_CONTROL=min-fresh=10", BYPASS},
        {NOTHING, "HTTP_CACHE_CONTROL=only-if-cached", 504, "MISS", "inferonce; fwd=miss", ""},
        {60000, "HTTP_CACHE_CONTROL=only-if-cached", 504, "MISS", "inferonce; fwd=stale", ""},
        {1000, "HTTP_CACHE_CONTROL=only-if-cached", 200, "HIT", "inferonce; hit; ttl=59", "1"},
        {1000, "HTTP_CACHE_CONTROL=only-if-cached, no-cache", 504, "BYPASS", "inferonce; fwd=request", ""},
        {1000, "HTTP_CACHE_CONTROL=only-if-cached, no-store", 200, "HIT", "inferonce; hit; ttl=59", "1"},
    };
    stale_s = revalidate_s = 0;
    CHECK(ROWS);
}

static void test_spellings(void) {
    static const struct row ROWS[] = {
        {1000, "HTTP_CACHE_CONTROL=NO-CACHE", BYPASS},
        {1000, "HTTP_CACHE_CONTROL=Max-Age=0", BYPASS},
        {1000, "HTTP_CACHE_CONTROL=max-age=\"0\"", BYPASS},
        {1000, "HTTP_CACHE_CONTROL=,, no-cache ,", BYPASS},
        {1000, "HTTP_CACHE_CONTROL=max-age=abc", BYPASS},
        {1000, "HTTP_CACHE_CONTROL=max-age=-1", BYPASS},
        {1000, "HTTP_CACHE_CONTROL=max-age=50, max-age=0", BYPASS},
        {1000, "HTTP_CACHE_CONTROL=max-age=99999999999999999999", HIT_AT(59), "1"},
        {1000, "HTTP_CACHE_CONTROL=foo, bar=\"a, no-store\"", HIT_AT(59), "1"},
        {1000, "HTTP_CACHE_CONTROL=xno-cache, no-cache-foo", HIT_AT(59), "1"},
        {1000, "HTTP_CACHE_CONTROL=private, s-maxage=0, must-revalidate", HIT_AT(59), "1"},
        {1000, "HTTP_CACHE_CONTROL=max-age=100\nHTTP_CACHE_CONTROL=no-cache", BYPASS},
        {1000, "HTTP_PRAGMA=no-cache", BYPASS},
        {1000, "HTTP_PRAGMA=no-cache\nHTTP_CACHE_CONTROL=max-age=100", HIT_AT(59), "1"},
    };
    stale_s = revalidate_s = 0;
    CHECK(ROWS);
}

static void test_stale_cases(void) {
    static const struct row ROWS[] = {
        {65500, NULL, 200, "MISS", "inferonce; fwd=stale; stored", ""},
        {65500, "HTTP_CACHE_CONTROL=max-stale", 200, "STALE", "inferonce; hit; ttl=-6", "65"},
        {69500, "HTTP_CACHE_CONTROL=max-stale=10", 200, "STALE", "inferonce; hit; ttl=-10", "69"},
        {70500, "HTTP_CACHE_CONTROL=max-stale=10", 200, "MISS", "inferonce; fwd=stale; stored", ""},
        {65500, "HTTP_CACHE_CONTROL=max-stale=x", 200, "MISS", "inferonce; fwd=stale; stored", ""},
        {65500, "HTTP_CACHE_CONTROL=max-stale, only-if-cached", 200, "STALE", "inferonce; hit; ttl=-6", "65"},
        {65500, "HTTP_CACHE_CONTROL=only-if-cached", 504, "MISS", "inferonce; fwd=stale", ""},
    };
    static const struct row REVALIDATED[] = {
        {65500, NULL, 200, "STALE", "inferonce; hit; ttl=-6", "65"},
        {70500, NULL, 200, "MISS", "inferonce; fwd=stale; stored", ""},
        {65500, "HTTP_CACHE_CONTROL=max-age=30", 200, "MISS", "inferonce; fwd=stale; stored", ""},
    };
    stale_s = 1000;
    revalidate_s = 0;
    CHECK(ROWS);
    revalidate_s = 10;
    CHECK(REVALIDATED);
}

static void test_stale_answer_is_refreshed(void) {
    stale_s = 0;
    revalidate_s = 100;
    service_setup(with_windows);
    service_predict(NULL, TEXT);
    service_wait_ms(70000);
    for (unsigned i = 0; i < 3; i++) {
        struct sent *stale = service_ask("POST", "/predict", NULL, TEXT);
        CU_ASSERT_STRING_EQUAL(stale->body, "{\"result\":" RESULT ",\"cached\":true}");
        CU_ASSERT_STRING_EQUAL(service_header(stale, "X-Cache"), "STALE");
    }
    CU_ASSERT_EQUAL(service.worker.n_running, 1);
    service_model_answers("2");
    CU_ASSERT_STRING_EQUAL(service_predict(NULL, TEXT)->body, "{\"result\":2,\"cached\":true}");
    service_teardown();
}

static void test_identical_at_once(void) {
    struct sent *sent[20];
    service_setup(NULL);
    for (size_t i = 0; i < 20; i++)
        sent[i] = i < 10 ? service_send("POST", "/predict", NULL, TEXT)
                         : service_ask("POST", "/predict", NULL, TEXT);
    CU_ASSERT_EQUAL(service.worker.n_running, 1);
    service_model_echoes();
    for (size_t i = 0; i < 20; i++) {
        CU_ASSERT_STRING_EQUAL(service_header(sent[i], "X-Cache"), "MISS");
        CU_ASSERT_STRING_EQUAL(service_header(sent[i], "Cache-Status"),
                               i == 0 ? "inferonce; fwd=miss; stored"
                                      : "inferonce; fwd=miss; stored; collapsed");
    }
    CU_ASSERT_EQUAL(service_counted(STAT_inferences), 1);
    service_teardown();
}

static void test_no_store_keeps_what_is_stored(void) {
    service_setup(NULL);
    service_predict(NULL, TEXT);
    struct sent *alone = service_ask("POST", "/predict", "HTTP_CACHE_CONTROL=no-store", TEXT);
    service_model_answers("2");
    CU_ASSERT_STRING_EQUAL(alone->body, "{\"result\":2,\"cached\":false,\"inference_time_ms\":0}");
    CU_ASSERT_STRING_EQUAL(service_predict(NULL, TEXT)->body, "{\"result\":" RESULT ",\"cached\":true}");
    service_teardown();
}

static void small_entries(struct settings *settings) {
    settings->cache_max_entry_kb = 1;
}

static void test_what_is_too_large_is_answered(void) {
    static char large[1027];
    service_setup(small_entries);
    memset(large, '1', sizeof(large) - 1);
    struct sent *sent = service_ask("POST", "/predict", NULL, TEXT);
    service_model_answers(large);
    CU_ASSERT_EQUAL(sent->status, 200);
    CU_ASSERT_PTR_NOT_NULL(strstr(sent->body, large));
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Cache-Status"), "inferonce; fwd=miss");
    CU_ASSERT_STRING_EQUAL(service_header(service_predict(NULL, TEXT), "X-Cache"), "MISS");
    service_teardown();
}

/* ---- the key ---- */

static void test_same_and_other_keys(void) {
    static const struct {
        const char *fields, *body;
        bool same; /* as BASE */
    } ROWS[] = {
        {NULL, "{\"text\":\"good day\",\"b\":[1, {\"y\":1,\"x\":2}],\"a\":true}", true},
        {NULL, " { \"b\" : [1,{\"x\":2,\"y\":1}] , \"a\":true, \"text\":\"g\\u006fod  DAY\" }\n", true},
        {"HTTP_TRACEPARENT=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
         "{\"text\":\"good day\",\"b\":[1, {\"y\":1,\"x\":2}],\"a\":true}", true},
        {NULL, "{\"text\":\"good day\",\"b\":[1, {\"y\":1,\"x\":2}]}", false},
        {NULL, "{\"text\":\"good day\",\"b\":[{\"y\":1,\"x\":2},1],\"a\":true}", false},
        {NULL, "{\"text\":\"good day\",\"b\":[1.0, {\"y\":1,\"x\":2}],\"a\":true}", false},
        {NULL, "{\"text\":\"good days\",\"b\":[1, {\"y\":1,\"x\":2}],\"a\":true}", false},
        {"HTTP_X_CACHE_NAMESPACE=other", "{\"text\":\"good day\",\"b\":[1, {\"y\":1,\"x\":2}],\"a\":true}",
         false},
    };
    service_setup(NULL);
    struct sent *base = service_ask("POST", "/predict", NULL,
                                    "{\"a\":true,\"b\":[1,{\"x\":2,\"y\":1}],\"text\":\"good day\"}");
    CU_ASSERT(bytes_equal(service.worker.running[0]->parameters,
                          bytes_of("{\"a\":true,\"b\":[1,{\"x\":2,\"y\":1}]}")));
    service_model_echoes();
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct sent *sent = service_predict(ROWS[i].fields, ROWS[i].body);
        bool same = strcmp(service_header(sent, "X-Cache-Key"), service_header(base, "X-Cache-Key")) == 0;
        CU_ASSERT_EQUAL(same, ROWS[i].same);
        CU_ASSERT_STRING_EQUAL(service_header(sent, "X-Cache"), ROWS[i].same ? "HIT" : "MISS");
    }
    service_teardown();
}

static void test_trace_goes_to_the_model(void) {
    static const char PARENT[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    service_setup(NULL);
    service_ask("POST", "/predict",
                "HTTP_TRACESTATE=vendor=1\nHTTP_AUTHORIZATION=Bearer x\nHTTP_TRACEPARENT="
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                TEXT);
    CU_ASSERT_EQUAL_FATAL(service.worker.n_running, 1);
    CU_ASSERT(bytes_equal(service.worker.running[0]->traceparent, bytes_of(PARENT)));
    CU_ASSERT(bytes_equal(service.worker.running[0]->tracestate, bytes_of("vendor=1")));
    CU_ASSERT_EQUAL(service.worker.running[0]->authorization.length, 0); /* the built-in model has none */
    service_model_echoes();
    service_teardown();
}

/* ---- X-Cache-TTL, X-Cache-Namespace ---- */

static void test_ttl(void) {
    static const struct {
        const char *field;
        uint64_t ttl_s;
    } ROWS[] = {
        {"HTTP_X_CACHE_TTL=5", 5},
        {"HTTP_X_CACHE_TTL= 5 ", 5},
        {"HTTP_X_CACHE_TTL=86399", 86399},
        {"HTTP_X_CACHE_TTL=86400", 86400},
        {"HTTP_X_CACHE_TTL=86401", 86400}, /* CACHE_TTL_MAX */
        {"HTTP_X_CACHE_TTL=99999999999999999999", 86400},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        service_setup(NULL);
        service_predict(ROWS[i].field, TEXT);
        service_wait_ms(ROWS[i].ttl_s * 1000 - 1);
        CU_ASSERT_STRING_EQUAL(service_header(service_predict(NULL, TEXT), "X-Cache"), "HIT");
        service_wait_ms(1);
        CU_ASSERT_STRING_EQUAL(service_header(service_predict(NULL, TEXT), "X-Cache"), "MISS");
        service_teardown();
    }
}

static void test_ttl_of_nothing(void) {
    service_setup(NULL);
    struct sent *sent = service_predict("HTTP_X_CACHE_TTL=0", TEXT);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Cache-Status"), "inferonce; fwd=miss");
    CU_ASSERT_STRING_EQUAL(service_header(service_predict(NULL, TEXT), "X-Cache"), "MISS");
    service_teardown();
}

static void test_namespaces_are_apart(void) {
    service_setup(NULL);
    service_predict("HTTP_X_CACHE_NAMESPACE=one", TEXT);
    CU_ASSERT_STRING_EQUAL(service_header(service_predict("HTTP_X_CACHE_NAMESPACE=two", TEXT), "X-Cache"),
                           "MISS");
    CU_ASSERT_STRING_EQUAL(service_header(service_predict(NULL, TEXT), "X-Cache"), "MISS");
    CU_ASSERT_STRING_EQUAL(service_header(service_predict("HTTP_X_CACHE_NAMESPACE=one", TEXT), "X-Cache"),
                           "HIT");
    /* The configured one by its name is the configured one. */
    CU_ASSERT_STRING_EQUAL(service_header(service_predict("HTTP_X_CACHE_NAMESPACE=default", TEXT), "X-Cache"),
                           "HIT");
    service_teardown();
}

/* ---- bodies that are known ---- */

static struct known_body known_body(const char *body) {
    return (struct known_body){.body = bytes_of(body), .cache_namespace = bytes_of("default")};
}

static void test_a_hit_makes_its_body_known(void) {
    const struct known_body body = known_body(TEXT);
    struct key key;
    char hex[KEY_HEX_LENGTH + 1];
    service_setup(NULL);
    service_predict(NULL, TEXT);
    CU_ASSERT_FALSE(known_bodies_find(service.api.known_bodies, &body, &key));
    struct sent *hit = service_predict(NULL, TEXT);
    CU_ASSERT_TRUE_FATAL(known_bodies_find(service.api.known_bodies, &body, &key));
    key_to_hex(&key, hex);
    CU_ASSERT_STRING_EQUAL(hex, service_header(hit, "X-Cache-Key"));
    struct sent *known = service_predict(NULL, TEXT);
    CU_ASSERT_STRING_EQUAL(known->body, hit->body);
    CU_ASSERT_STRING_EQUAL(service_header(known, "X-Cache"), "HIT");
    CU_ASSERT_STRING_EQUAL(service_header(known, "X-Cache-Key"), hex);
    service_teardown();
}

/* Told a wrong key for it, the answer is the other text's: it was not read. */
static void test_a_known_body_is_not_read(void) {
    const struct known_body body = known_body(TEXT);
    struct key key;
    service_setup(NULL);
    struct sent *other = service_predict(NULL, "{\"text\":\"night\"}");
    CU_ASSERT_TRUE_FATAL(key_from_hex(bytes_of(service_header(other, "X-Cache-Key")), &key));
    known_bodies_remember(service.api.known_bodies, &body, &key);
    CU_ASSERT_STRING_EQUAL(service_predict(NULL, TEXT)->body,
                           "{\"result\":{\"echo\":\"night\"},\"cached\":true}");
    /* Not in another namespace, and not where nothing that is stored will do. */
    CU_ASSERT_STRING_EQUAL(service_header(service_predict("HTTP_X_CACHE_NAMESPACE=one", TEXT), "X-Cache"),
                           "MISS");
    struct sent *alone = service_predict("HTTP_CACHE_CONTROL=no-store", TEXT);
    CU_ASSERT_STRING_EQUAL(service_header(alone, "X-Cache"), "BYPASS");
    CU_ASSERT(strstr(alone->body, RESULT) != NULL);
    service_teardown();
}

/* A known body whose entry is gone is inferred as if its text had been read at once. */
static void test_a_known_body_is_inferred(void) {
    static const char BODY[] = "{\"k\": 1, \"text\": \"Good\\u0020DAY\"}";
    static const char *const FIELDS[] = {NULL, "HTTP_CACHE_CONTROL=no-cache", "HTTP_CACHE_CONTROL=max-age=0"};
    service_setup(NULL);
    service_predict(NULL, BODY);
    struct sent *hit = service_predict(NULL, BODY);
    CU_ASSERT_STRING_EQUAL(service_header(hit, "X-Cache"), "HIT");
    for (size_t i = 0; i < sizeof(FIELDS) / sizeof(FIELDS[0]); i++) {
        service_wait_ms(i == 0 ? 61000 : 0);
        struct sent *sent = service_ask("POST", "/predict", FIELDS[i], BODY);
        CU_ASSERT_EQUAL_FATAL(service.worker.n_running, 1);
        CU_ASSERT(bytes_equal(service.worker.running[0]->text, bytes_of("good day")));
        CU_ASSERT(bytes_equal(service.worker.running[0]->parameters, bytes_of("{\"k\":1}")));
        service_model_echoes();
        CU_ASSERT_STRING_EQUAL(service_header(sent, "X-Cache"), i == 0 ? "MISS" : "BYPASS");
        if (i == 0)
            CU_ASSERT(strstr(service_header(sent, "Cache-Status"), "fwd=stale") != NULL);
        CU_ASSERT_STRING_EQUAL(service_header(sent, "X-Cache-Key"), service_header(hit, "X-Cache-Key"));
    }
    service_teardown();
}

/* Past its lifetime it is served, and refreshed with the text, which is read for that. */
static void test_a_known_body_is_refreshed(void) {
    static const char BODY[] = "{\"k\": 1, \"text\": \"Good\\u0020DAY\"}";
    stale_s = 0;
    revalidate_s = 100;
    service_setup(with_windows);
    service_predict(NULL, BODY);
    CU_ASSERT_STRING_EQUAL(service_header(service_predict(NULL, BODY), "X-Cache"), "HIT");
    service_wait_ms(61000);
    struct sent *stale = service_ask("POST", "/predict", NULL, BODY);
    CU_ASSERT_STRING_EQUAL(service_header(stale, "X-Cache"), "STALE");
    CU_ASSERT_EQUAL_FATAL(service.worker.n_running, 1);
    CU_ASSERT(bytes_equal(service.worker.running[0]->text, bytes_of("good day")));
    CU_ASSERT(bytes_equal(service.worker.running[0]->parameters, bytes_of("{\"k\":1}")));
    service_model_echoes();
    CU_ASSERT_STRING_EQUAL(service_header(service_predict(NULL, BODY), "X-Cache"), "HIT");
    service_teardown();
}

/* ---- answers made without asking the cache ---- */

#define NAMESPACE_65 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void small_bodies(struct settings *settings) {
    settings->max_body_kb = 1;
    settings->max_batch = 2;
}

static void check_no_cache_fields(const struct sent *sent) {
    static const char *const NAMES[] = {"X-Cache", "X-Cache-Key",   "Cache-Status",
                                        "Age",     "Server-Timing", "ETag"};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++)
        CU_ASSERT_STRING_EQUAL(service_header(sent, NAMES[i]), "");
}

static void test_refused(void) {
    static char large[1100];
    static const struct {
        const char *method, *fields, *body;
        int status;
        const char *type, *pointer;
    } ROWS[] = {
        {"POST", NULL, "{\"text\":", 400, "bad-json", NULL},
        {"POST", NULL, "", 400, "bad-json", NULL},
        {"POST", NULL, "{\"text\":\"a\",\"text\":\"b\"}", 400, "bad-json", NULL},
        {"POST", NULL, "{\"text\":\"\\ud800\"}", 400, "bad-json", NULL},
        {"POST", NULL, "{\"text\":\"\xff\"}", 400, "bad-json", NULL},
        {"POST", NULL, "[\"text\"]", 422, "bad-shape", NULL},
        {"POST", NULL, "{}", 422, "bad-shape", NULL},
        {"POST", NULL, "{\"text\":1}", 422, "bad-shape", "#/text"},
        {"POST", NULL, "{\"text\":\"\"}", 422, "bad-shape", "#/text"},
        {"POST", NULL, "{\"text\":\" \\t\\n \"}", 422, "bad-shape", "#/text"},
        {"POST", NULL, "{\"text\":\"a\",\"texts\":[\"b\"]}", 422, "bad-shape", NULL},
        {"POST", NULL, "{\"texts\":[]}", 422, "bad-shape", "#/texts"},
        {"POST", NULL, "{\"texts\":[\"a\",1]}", 422, "bad-shape", "#/texts/1"},
        {"POST", NULL, "{\"texts\":[\"a\",\"b\",\"c\"]}", 422, "bad-shape", "#/texts"},
        {"POST", NULL, "{\"texts\":[\"a\",\" \"]}", 422, "bad-shape", "#/texts/1"},
        {"POST", "CONTENT_LENGTH=5", TEXT, 400, "bad-request", NULL},
        {"POST", NULL, large, 413, "too-large", NULL},
        {"POST", "CONTENT_TYPE=text/plain", TEXT, 415, "unsupported-type", NULL},
        {"POST", "CONTENT_TYPE=", TEXT, 415, "unsupported-type", NULL},
        {"POST", "HTTP_CONTENT_ENCODING=gzip", TEXT, 415, "unsupported-encoding", NULL},
        {"POST", "HTTP_X_CACHE_TTL=abc", TEXT, 400, "bad-request", NULL},
        {"POST", "HTTP_X_CACHE_TTL=-1", TEXT, 400, "bad-request", NULL},
        {"POST", "HTTP_X_CACHE_TTL=1 2", TEXT, 400, "bad-request", NULL},
        {"POST", "HTTP_X_CACHE_TTL=", TEXT, 400, "bad-request", NULL},
        {"POST", "HTTP_X_CACHE_NAMESPACE=", TEXT, 400, "bad-request", NULL},
        {"POST", "HTTP_X_CACHE_NAMESPACE=a b", TEXT, 400, "bad-request", NULL},
        {"POST", "HTTP_X_CACHE_NAMESPACE=" NAMESPACE_65, TEXT, 400, "bad-request", NULL},
        {"QUERY", NULL, "{}", 422, "bad-shape", NULL},
        {"GET", NULL, NULL, 405, "method-not-allowed", NULL},
        {"DELETE", NULL, TEXT, 405, "method-not-allowed", NULL},
        {"BREW", NULL, TEXT, 501, "method-unknown", NULL},
    };
    memset(large, ' ', sizeof(large) - 1);
    service_setup(small_bodies);
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct sent *sent = service_ask(ROWS[i].method, "/predict", ROWS[i].fields, ROWS[i].body);
        CU_ASSERT_EQUAL_FATAL(sent->answers, 1);
        service_check_problem(sent, ROWS[i].status, ROWS[i].type, ROWS[i].pointer);
        check_no_cache_fields(sent);
        CU_ASSERT_STRING_EQUAL(service_header(sent, "Allow"),
                               ROWS[i].status == 405 ? "POST, QUERY, OPTIONS" : "");
        CU_ASSERT_STRING_EQUAL(service_header(sent, "Accept"),
                               ROWS[i].status == 415 ? "application/json" : "");
    }
    CU_ASSERT_EQUAL(service.worker.n_running, 0);
    CU_ASSERT_EQUAL(service_counted(STAT_rejected_requests), sizeof(ROWS) / sizeof(ROWS[0]));
    CU_ASSERT_EQUAL(service_counted(STAT_misses), 0);
    service_teardown();
}

static void only_nfc(struct settings *settings) {
    settings->cache_normalize = CACHE_NORMALIZE_NFC;
}

static void test_white_space_is_a_text_where_it_counts(void) {
    service_setup(only_nfc);
    CU_ASSERT_EQUAL(service_predict(NULL, "{\"text\":\" \"}")->status, 200);
    service_teardown();
}

/* ---- the model fails ---- */

static void test_failures(void) {
    static const struct {
        enum engine_status status;
        int http_status;
        unsigned retry_after_s;
        int expected;
        const char *type, *retry_after;
    } ROWS[] = {
        {ENGINE_REFUSED, 0, 0, 502, "upstream-failed", ""},
        {ENGINE_BAD_ANSWER, 0, 0, 502, "upstream-failed", ""},
        {ENGINE_TIMEOUT, 0, 0, 504, "timeout", ""},
        {ENGINE_OVERLOAD, 0, 7, 503, "overloaded", "7"},
        {ENGINE_OVERLOAD, 0, 0, 503, "overloaded", "1"}, /* always with Retry-After */
        {ENGINE_DOWN, 0, 30, 503, "model-down", "30"},
        {ENGINE_SHORT, 0, 1, 503, "short-of-resources", "1"},
        {ENGINE_REJECTED, 400, 0, 400, "rejected", ""},
        {ENGINE_REJECTED, 401, 0, 401, "rejected", ""},
        {ENGINE_OVERLOAD, 429, 7, 429, "rate-limited", "7"},
        {ENGINE_OVERLOAD, 429, 0, 429, "rate-limited", "1"},
        {ENGINE_REJECTED, 402, 0, 402, "rejected", ""},
        {ENGINE_REJECTED, 403, 0, 403, "rejected", ""},
        {ENGINE_REJECTED, 413, 0, 413, "rejected", ""},
        {ENGINE_REJECTED, 415, 0, 415, "rejected", ""},
        {ENGINE_REJECTED, 422, 0, 422, "rejected", ""},
    };
    service_setup(NULL);
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct sent *sent = service_ask("POST", "/predict", NULL, TEXT);
        service_model_fails(ROWS[i].status, ROWS[i].http_status, ROWS[i].retry_after_s);
        service_check_problem(sent, ROWS[i].expected, ROWS[i].type, NULL);
        CU_ASSERT_PTR_NOT_NULL(strstr(sent->body, "\"detail\":\"told to fail\""));
        CU_ASSERT_STRING_EQUAL(service_header(sent, "Retry-After"), ROWS[i].retry_after);
        CU_ASSERT_STRING_EQUAL(service_header(sent, "X-Cache"), "MISS");
        CU_ASSERT_STRING_EQUAL(service_header(sent, "Cache-Status"), "inferonce; fwd=miss");
        CU_ASSERT_EQUAL(strlen(service_header(sent, "X-Cache-Key")), 64);
    }
    CU_ASSERT_EQUAL(service_counted(STAT_stores), 0);
    struct sent *alone = service_ask("POST", "/predict", "HTTP_CACHE_CONTROL=no-store", TEXT);
    service_model_fails(ENGINE_TIMEOUT, 0, 0);
    service_check_problem(alone, 504, "timeout", NULL);
    CU_ASSERT_STRING_EQUAL(service_header(alone, "X-Cache"), "BYPASS");
    service_teardown();
}

static void test_stale_if_error(void) {
    stale_s = 1000;
    revalidate_s = 0;
    service_setup(with_windows);
    service_predict(NULL, TEXT);
    service_wait_ms(70500);
    struct sent *stale = service_ask("POST", "/predict", NULL, TEXT);
    service_model_fails(ENGINE_TIMEOUT, 0, 0);
    CU_ASSERT_EQUAL(stale->status, 200);
    CU_ASSERT_STRING_EQUAL(service_header(stale, "X-Cache"), "STALE");
    CU_ASSERT_STRING_EQUAL(service_header(stale, "Age"), "70");
    CU_ASSERT_STRING_EQUAL(stale->body, "{\"result\":" RESULT ",\"cached\":true}");
    struct sent *strict = service_ask("POST", "/predict", "HTTP_CACHE_CONTROL=stale-if-error=5", TEXT);
    service_model_fails(ENGINE_TIMEOUT, 0, 0);
    service_check_problem(strict, 504, "timeout", NULL);
    service_teardown();
}

static void one_at_a_time(struct settings *settings) {
    settings->inference_concurrency = 1;
    settings->inference_queue = 0;
}

static void test_overload(void) {
    service_setup(one_at_a_time);
    struct sent *first = service_ask("POST", "/predict", NULL, TEXT);
    struct sent *refused = service_ask("POST", "/predict", NULL, "{\"text\":\"another\"}");
    service_check_problem(refused, 503, "overloaded", NULL);
    CU_ASSERT_STRING_EQUAL(service_header(refused, "Retry-After"), "1");
    service_model_echoes();
    CU_ASSERT_EQUAL(first->status, 200);
    service_teardown();
}

/* ---- QUERY ---- */

static void test_query_is_conditional(void) {
    char match[128];
    service_setup(NULL);
    struct sent *miss = service_ask("QUERY", "/predict", NULL, TEXT);
    service_wait_ms(20);
    service_model_echoes();
    CU_ASSERT_EQUAL(miss->status, 200);
    const char *etag = service_header(miss, "ETag");
    CU_ASSERT_FATAL(strlen(etag) > 2);
    snprintf(match, sizeof(match), "HTTP_IF_NONE_MATCH=\"other\", %s", etag);

    struct sent *hit = service_ask("QUERY", "/predict", NULL, TEXT);
    CU_ASSERT_EQUAL(hit->status, 200);
    CU_ASSERT_STRING_EQUAL(service_header(hit, "ETag"), service_header(miss, "ETag"));

    struct sent *same = service_ask("QUERY", "/predict", match, TEXT);
    CU_ASSERT_EQUAL(same->status, 304);
    CU_ASSERT_STRING_EQUAL(service_header(same, "ETag"), service_header(miss, "ETag"));
    CU_ASSERT_STRING_EQUAL(service_header(same, "X-Cache"), "HIT");
    CU_ASSERT_STRING_EQUAL(service_header(same, "Content-Type"), "");
    snprintf(match, sizeof(match), "HTTP_IF_NONE_MATCH=\"other\"\nHTTP_IF_NONE_MATCH=%s",
             service_header(miss, "ETag"));
    CU_ASSERT_EQUAL(service_ask("QUERY", "/predict", match, TEXT)->status, 304);
    CU_ASSERT_EQUAL(service_ask("QUERY", "/predict", "HTTP_IF_NONE_MATCH=*", TEXT)->status, 304);
    CU_ASSERT_EQUAL(service_ask("QUERY", "/predict", "HTTP_IF_NONE_MATCH=\"other\"", TEXT)->status, 200);

    struct sent *post = service_ask("POST", "/predict", match, TEXT); /* on POST it means nothing */
    CU_ASSERT_EQUAL(post->status, 200);
    CU_ASSERT_STRING_EQUAL(service_header(post, "ETag"), "");
    CU_ASSERT_STRING_EQUAL(service_header(post, "X-Cache"), "HIT"); /* the two methods share their entries */
    service_teardown();
}

static void test_another_result_has_another_etag(void) {
    service_setup(NULL);
    struct sent *one = service_ask("QUERY", "/predict", NULL, TEXT);
    service_model_answers("1");
    struct sent *two = service_ask("QUERY", "/predict", "HTTP_CACHE_CONTROL=no-cache", TEXT);
    service_model_answers("2");
    CU_ASSERT_STRING_NOT_EQUAL(service_header(one, "ETag"), service_header(two, "ETag"));
    service_teardown();
}

/* A cache between may keep it, but has to ask whether it holds; and knows which fields choose. */
static void test_query_and_caches_between(void) {
    static const char SEVERAL[] = "{\"texts\":[\"good\"]}";
    service_setup(NULL);
    struct sent *miss = service_ask("QUERY", "/predict", NULL, TEXT);
    service_model_echoes();
    struct sent *hit = service_ask("QUERY", "/predict", NULL, TEXT);
    struct sent *same = service_ask("QUERY", "/predict", "HTTP_IF_NONE_MATCH=*", TEXT);
    struct sent *several = service_ask("QUERY", "/predict", NULL, SEVERAL);
    service_model_echoes();
    struct sent *const all[] = {miss, hit, same, several};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        CU_ASSERT_STRING_EQUAL(service_header(all[i], "Cache-Control"), "no-cache");
        CU_ASSERT_STRING_EQUAL(service_header(all[i], "Vary"), "X-Cache-Namespace");
    }
    struct sent *post = service_ask("POST", "/predict", NULL, TEXT);
    CU_ASSERT_STRING_EQUAL(service_header(post, "Vary"), "");
    CU_ASSERT_STRING_EQUAL(service_header(post, "Cache-Control"), "");
    struct sent *bad = service_ask("QUERY", "/predict", NULL, "{");
    CU_ASSERT_STRING_EQUAL(service_header(bad, "Cache-Control"), "no-store");
    service_teardown();
}

static void with_an_upstream(struct settings *settings) {
    settings->engine = SETTINGS_ENGINE_HTTP;
    strcpy(settings->admin_token, "s3cret");
}

static void with_a_shared_upstream(struct settings *settings) {
    with_an_upstream(settings);
    settings->cache_share_authorized = 1;
}

static void test_credentials_choose_where_they_do(void) {
    service_setup(with_an_upstream);
    struct sent *apart = service_ask("QUERY", "/predict", NULL, TEXT);
    service_model_echoes();
    CU_ASSERT_STRING_EQUAL(service_header(apart, "Vary"), "Authorization, X-Cache-Namespace");
    service_teardown();
    service_setup(with_a_shared_upstream);
    struct sent *shared = service_ask("QUERY", "/predict", NULL, TEXT);
    service_model_echoes();
    CU_ASSERT_STRING_EQUAL(service_header(shared, "Vary"), "X-Cache-Namespace");
    service_teardown();
}

/* It is for us alone: the model never sees it, and no entry is made for it. */
static void test_the_admin_token_is_no_credential(void) {
    static const char *const OURS[] = {"HTTP_AUTHORIZATION=Bearer s3cret",
                                       "HTTP_AUTHORIZATION=bearer  s3cret ", "HTTP_AUTHORIZATION=s3cret"};
    for (size_t i = 0; i < sizeof(OURS) / sizeof(OURS[0]); i++) {
        service_setup(with_an_upstream);
        struct sent *miss = service_ask("POST", "/predict", OURS[i], TEXT);
        CU_ASSERT_EQUAL_FATAL(service.worker.n_running, 1);
        CU_ASSERT_EQUAL(service.worker.running[0]->authorization.length, 0);
        service_model_echoes();
        struct sent *without = service_ask("POST", "/predict", NULL, TEXT);
        CU_ASSERT_STRING_EQUAL(service_header(without, "X-Cache"), "HIT");
        CU_ASSERT_STRING_EQUAL(service_header(without, "X-Cache-Key"), service_header(miss, "X-Cache-Key"));
        service_teardown();
    }
    service_setup(with_an_upstream);
    service_ask("POST", "/predict", "HTTP_AUTHORIZATION=Bearer s3cret2", TEXT);
    CU_ASSERT_EQUAL_FATAL(service.worker.n_running, 1);
    CU_ASSERT(bytes_equal(service.worker.running[0]->authorization, bytes_of("Bearer s3cret2")));
    service_model_echoes();
    service_teardown();
}

/* ---- clients that leave ---- */

static void test_client_leaves(void) {
    service_setup(NULL);
    struct sent *collected = service_send("POST", "/predict", NULL, TEXT);
    service_leave(collected);
    service_turn();
    CU_ASSERT_EQUAL(service.worker.n_running, 0); /* nobody has asked the store even */

    struct sent *waiting = service_ask("POST", "/predict", NULL, TEXT);
    service_leave(waiting);
    CU_ASSERT_EQUAL(service.worker.n_running, 1); /* the inference goes on and is stored */
    service_model_echoes();
    CU_ASSERT_STRING_EQUAL(service_header(service_predict(NULL, TEXT), "X-Cache"), "HIT");

    struct sent *alone = service_ask("POST", "/predict", "HTTP_CACHE_CONTROL=no-store", TEXT);
    service_leave(alone);
    CU_ASSERT_EQUAL(service.worker.n_running, 0); /* its answer is of use to nobody */

    struct sent *first = service_ask("POST", "/predict", "HTTP_CACHE_CONTROL=no-cache", TEXT);
    struct sent *second = service_ask("POST", "/predict", "HTTP_CACHE_CONTROL=no-cache", TEXT);
    service_leave(first);
    service_model_answers("2");
    CU_ASSERT_STRING_EQUAL(second->body, "{\"result\":2,\"cached\":false,\"inference_time_ms\":0}");
    service_teardown();
}

/* More at once than are pooled, twice, so that the pool's own end is met in both directions. */
static void test_many_at_once(void) {
    service_setup(NULL);
    for (unsigned round = 0; round < 2; round++) {
        struct sent *sent[400];
        for (size_t i = 0; i < 400; i++) {
            char body[32];
            snprintf(body, sizeof(body), "{\"text\":\"r%u t%zu\"}", round, i);
            sent[i] = service_send("POST", "/predict", NULL, body);
        }
        service_turn();
        service_model_echoes();
        for (size_t i = 0; i < 400; i++) {
            char body[32];
            snprintf(body, sizeof(body), "{\"echo\":\"r%u t%zu\"}", round, i);
            CU_ASSERT_PTR_NOT_NULL(strstr(sent[i]->body, body));
        }
    }
    service_teardown();
}

static const struct unit_case CASES[] = {
    {"a miss, then a hit", test_miss_then_hit},
    {"what is stored and what is asked", test_cases},
    {"spellings of Cache-Control", test_spellings},
    {"past the lifetime", test_stale_cases},
    {"a stale answer is refreshed once", test_stale_answer_is_refreshed},
    {"identical at once", test_identical_at_once},
    {"no-store keeps what is stored", test_no_store_keeps_what_is_stored},
    {"what is too large is answered, not stored", test_what_is_too_large_is_answered},
    {"same and other keys", test_same_and_other_keys},
    {"the trace goes to the model", test_trace_goes_to_the_model},
    {"X-Cache-TTL", test_ttl},
    {"X-Cache-TTL: 0", test_ttl_of_nothing},
    {"namespaces are apart", test_namespaces_are_apart},
    {"a hit makes its body known", test_a_hit_makes_its_body_known},
    {"a known body is not read", test_a_known_body_is_not_read},
    {"a known body is inferred", test_a_known_body_is_inferred},
    {"a known body is refreshed", test_a_known_body_is_refreshed},
    {"refused without asking the cache", test_refused},
    {"white space is a text where it counts", test_white_space_is_a_text_where_it_counts},
    {"failures of the model", test_failures},
    {"stale-if-error", test_stale_if_error},
    {"overload", test_overload},
    {"QUERY is conditional", test_query_is_conditional},
    {"QUERY and caches between", test_query_and_caches_between},
    {"credentials and caches between", test_credentials_choose_where_they_do},
    {"the administrators' token", test_the_admin_token_is_no_credential},
    {"another result has another entity tag", test_another_result_has_another_etag},
    {"a client leaves", test_client_leaves},
    {"many at once", test_many_at_once},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "predict", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
