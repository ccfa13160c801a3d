#include "api/cache_admin.h"

#include <math.h>

#include "../cache/late.h"
#include "captured_log.h"
#include "service.h"

static char key_of_text[KEY_HEX_LENGTH + 1];

/* Has a text inferred, for so long, and remembers its key. */
static void store_text(const char *fields, const char *body, uint64_t took_ms) {
    struct sent *sent = service_ask("POST", "/predict", fields, body);
    service_wait_ms(took_ms);
    service_model_echoes();
    CU_ASSERT_EQUAL_FATAL(sent->status, 200);
    snprintf(key_of_text, sizeof(key_of_text), "%s", service_header(sent, "X-Cache-Key"));
}

/* The path of that key. */
static struct sent *administer_key(const char *method, const char *fields) {
    char path[KEY_HEX_LENGTH + 16];
    snprintf(path, sizeof(path), "/cache/%s", key_of_text);
    return service_administer(method, path, fields, NULL);
}

static bool is_hit(const char *fields, const char *body) {
    return strcmp(service_header(service_predict(fields, body), "X-Cache"), "HIT") == 0;
}

static void check_json(const struct sent *sent, const char *body) {
    CU_ASSERT_EQUAL(sent->status, 200);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Content-Type"), "application/json");
    CU_ASSERT_STRING_EQUAL(sent->body, body);
}

/* ---- GET /cache/stats ---- */

static json_t *stats(void) {
    struct sent *sent = service_administer("GET", "/cache/stats", NULL, NULL);
    CU_ASSERT_EQUAL(sent->status, 200);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Content-Type"), "application/json");
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Cache-Control"), "no-store");
    return service_json(sent);
}

static double number(const json_t *json, const char *name) {
    const json_t *member = json_object_get(json, name);
    CU_ASSERT(json_is_number(member));
    if (!json_is_number(member))
        printf("    no number: %s\n", name);
    return json_number_value(member);
}

struct expected {
    const char *name;
    double value;
};

static void check_stats(const struct expected *expected, size_t n) {
    json_t *json = stats();
    for (size_t i = 0; i < n; i++) {
        double value = number(json, expected[i].name);
        CU_ASSERT_DOUBLE_EQUAL(value, expected[i].value, 1e-9);
        if (fabs(value - expected[i].value) > 1e-9)
            printf("    %s: %f\n", expected[i].name, value);
    }
    json_decref(json);
}

#define CHECK_STATS(rows) check_stats(rows, sizeof(rows) / sizeof((rows)[0]))

static void test_stats_at_first(void) {
    static const struct expected ROWS[] = {
        {"hits", 0},
        {"misses", 0},
        {"hit_ratio", 0},
        {"size", 0},
        {"max_size", 223696},
        {"evictions", 0},
        {"ttl_seconds", 60},
        {"memory_mb", 0},
        {"bypasses", 0},
        {"stale_hits", 0},
        {"coalesced", 0},
        {"answered_without_inference", 0},
        {"shared_answers", 0},
        {"expired", 0},
        {"stores", 0},
        {"store_errors", 0},
        {"rejected_entries", 0},
        {"purges", 0},
        {"inferences", 0},
        {"inference_errors", 0},
        {"in_flight", 0},
        {"parked", 0},
        {"queue", 0},
        {"inference_seconds_saved", 0},
        {"uptime_seconds", 0},
        {"workers", 1},
    };
    service_setup(NULL);
    CHECK_STATS(ROWS);
    json_t *json = stats();
    const json_t *backend = json_object_get(json, "backend");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(backend, "type")), "memory");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(backend, "state")), "ok");
    CU_ASSERT(json_is_array(json_object_get(backend, "servers")));
    json_decref(json);
    service_teardown();
}

static void check_duration(const json_t *durations, const char *name, const struct expected expected[4]) {
    const json_t *duration = json_object_get(durations, name);
    for (unsigned i = 0; i < 4; i++)
        CU_ASSERT_DOUBLE_EQUAL(number(duration, expected[i].name), expected[i].value, 1e-9);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(duration, "buckets")), HISTOGRAM_BUCKETS);
}

static void test_stats_durations(void) {
    service_setup(NULL);
    for (unsigned i = 0; i < 100; i++)
        stats_time(service.worker.stats, HISTOGRAM_hit, i < 90 ? 50 : 200);
    stats_time(service.worker.stats, HISTOGRAM_inference, 2000000);
    json_t *json = stats();
    const json_t *durations = json_object_get(json, "durations");
    CU_ASSERT_EQUAL(json_object_size(durations), HISTOGRAMS_COUNT);
    check_duration(
        durations, "hit",
        (struct expected[]){{"count", 100}, {"p50_ms", 0.056}, {"p95_ms", 0.175}, {"p99_ms", 0.235}});
    check_duration(durations, "inference",
                   (struct expected[]){{"count", 1}, {"p50_ms", 1750}, {"p95_ms", 2425}, {"p99_ms", 2485}});
    CU_ASSERT(json_is_null(json_object_get(json_object_get(durations, "miss"), "p50_ms")));
    const json_t *bounds = json_object_get(json, "duration_bounds_ms");
    CU_ASSERT_EQUAL(json_array_size(bounds), HISTOGRAM_BUCKETS - 1);
    CU_ASSERT_DOUBLE_EQUAL(json_number_value(json_array_get(bounds, 1)), 0.25, 1e-9);
    json_decref(json);
    service_teardown();
}

static void test_stats_processes(void) {
    static const struct expected ROWS[] = {{"worker_restarts", 1}, {"reloads", 2}, {"reloads_refused", 1}};
    service_setup(NULL);
    shared_count_restart(&service.shared);
    shared_count_reload(&service.shared, true);
    shared_count_reload(&service.shared, true);
    shared_count_reload(&service.shared, false);
    CHECK_STATS(ROWS);
    service_teardown();
}

static void short_lived(struct settings *settings) {
    settings->cache_ttl_ms = 2500;
    settings->cache_stale_while_revalidate_ms = 60000;
    settings->inference_concurrency = 1;
}

static void test_stats_count(void) {
    static const struct expected WAITING[] = {
        {"in_flight", 1}, {"queue", 1}, {"parked", 3}, {"inferences", 3}, {"misses", 1}, {"bypasses", 1},
    };
    static const struct expected AFTER[] = {
        {"hits", 2},
        {"misses", 4},
        {"hit_ratio", 0.3333},
        {"bypasses", 1},
        {"stale_hits", 1},
        {"coalesced", 1},
        {"shared_answers", 1},
        {"answered_without_inference", 0.4286},
        {"stores", 4},
        {"size", 4},
        {"inferences", 5},
        {"inference_errors", 1},
        {"parked", 0},
        {"ttl_seconds", 2.5},
        {"inference_seconds_saved", 2.5},
        {"uptime_seconds", 4},
    };
    service_setup(short_lived);
    store_text(NULL, "{\"text\":\"a\"}", 1250);
    service_predict("HTTP_CACHE_CONTROL=no-cache", "{\"text\":\"other\"}");
    struct sent *waiting[] = {service_ask("POST", "/predict", NULL, "{\"text\":\"b\"}"),
                              service_ask("POST", "/predict", NULL, "{\"text\":\"b\"}"),
                              service_ask("POST", "/predict", NULL, "{\"text\":\"c\"}")};
    CHECK_STATS(WAITING);
    service_model_echoes();
    CU_ASSERT_EQUAL(waiting[2]->answers, 1);
    CU_ASSERT(is_hit(NULL, "{\"text\":\"a\"}"));
    service_wait_ms(3000);
    CU_ASSERT_STRING_EQUAL(
        service_header(service_ask("POST", "/predict", NULL, "{\"text\":\"a\"}"), "X-Cache"), "STALE");
    service_model_fails(ENGINE_TIMEOUT, 0, 0); /* the refresh */
    json_t *json = stats();
    CU_ASSERT(number(json, "memory_mb") > 0);
    CU_ASSERT(number(json, "memory_mb") < 0.1);
    json_decref(json);
    CHECK_STATS(AFTER);
    service_teardown();
}

/* All workers' together, dead ones included; workers are those that live. */
static void test_stats_of_all_workers(void) {
    static const struct expected ROWS[] = {{"hits", 12}, {"misses", 4}, {"hit_ratio", 0.75}, {"workers", 2}};
    service_setup(NULL);
    stats_add(service.worker.stats, STAT_hits, 2);
    stats_add(service.worker.stats, STAT_misses, 4);
    stats_add(&service.shared.stats[5], STAT_hits, 3);
    stats_add(&service.shared.stats[WORKERS_MAX - 1], STAT_hits, 7);
    atomic_store(&service.shared.slots[WORKERS_MAX - 1].pid, 4711);
    CHECK_STATS(ROWS);
    service_teardown();
}

/* ---- GET /cache/{key} ---- */

static void test_get(void) {
    char match[128], expected[600];
    service_setup(NULL);
    store_text("HTTP_X_CACHE_NAMESPACE=ns", "{\"text\":\"a\"}", 1500);
    service_wait_ms(18300);
    struct sent *sent = administer_key("GET", "HTTP_X_CACHE_NAMESPACE=ns");
    snprintf(expected, sizeof(expected),
             "{\"key\":\"%s\",\"result\":{\"echo\":\"a\"},\"age\":18,\"ttl\":42,\"namespace\":\"ns\","
             "\"model\":{\"name\":\"vader\",\"version\":\"1\"},\"size\":12,\"inference_time_ms\":1500}",
             key_of_text);
    check_json(sent, expected);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Age"), "18");
    CU_ASSERT_EQUAL(service_counted(STAT_hits), 0); /* looking is not asking */

    snprintf(match, sizeof(match), "HTTP_X_CACHE_NAMESPACE=ns\nHTTP_IF_NONE_MATCH=%s",
             service_header(sent, "ETag"));
    struct sent *same = administer_key("GET", match);
    CU_ASSERT_EQUAL(same->status, 304);
    CU_ASSERT_STRING_EQUAL(service_header(same, "ETag"), service_header(sent, "ETag"));
    struct sent *head = administer_key("HEAD", "HTTP_X_CACHE_NAMESPACE=ns");
    CU_ASSERT_EQUAL(head->status, 200);
    CU_ASSERT_STRING_EQUAL(service_header(head, "Content-Length"), service_header(sent, "Content-Length"));

    service_check_problem(administer_key("GET", NULL), 404, "no-entry", NULL);
    service_wait_ms(42000);
    service_check_problem(administer_key("GET", "HTTP_X_CACHE_NAMESPACE=ns"), 404, "no-entry", NULL);
    service_teardown();
}

static void named_by_url(struct settings *settings) {
    snprintf(settings->upstream_url, sizeof(settings->upstream_url), "http://h/v1/predict?key=secret");
    snprintf(settings->model_name, sizeof(settings->model_name), "%s", settings->upstream_url);
}

/* The query of a URL that stands for the name is not shown. */
static void test_get_without_a_name(void) {
    service_setup(named_by_url);
    store_text(NULL, "{\"text\":\"a\"}", 10);
    struct sent *sent = administer_key("GET", NULL);
    CU_ASSERT_PTR_NOT_NULL(strstr(sent->body, "\"model\":{\"name\":\"http://h/v1/predict\","));
    CU_ASSERT_PTR_NULL(strstr(sent->body, "secret"));
    service_teardown();
}

#define ZEROS_63 "000000000000000000000000000000000000000000000000000000000000000"

static void test_malformed(void) {
    static const struct {
        const char *method, *path, *fields;
        int status;
    } ROWS[] = {
        {"GET", "/cache/" ZEROS_63 "0", NULL, 404},
        {"DELETE", "/cache/" ZEROS_63 "f", NULL, 404},
        {"GET", "/cache/" ZEROS_63, NULL, 400},
        {"GET", "/cache/" ZEROS_63 "00", NULL, 400},
        {"GET", "/cache/" ZEROS_63 "g", NULL, 400},
        {"DELETE", "/cache/" ZEROS_63, NULL, 400},
        {"DELETE", "/cache/xyz", NULL, 400},
        {"GET", "/cache/" ZEROS_63 "0", "HTTP_X_CACHE_NAMESPACE=a b", 400},
        {"DELETE", "/cache/" ZEROS_63 "0", "HTTP_X_CACHE_NAMESPACE=a b", 400},
        {"DELETE", "/cache", "HTTP_X_CACHE_NAMESPACE=a b", 400},
        {"POST", "/cache/purge", "HTTP_X_CACHE_NAMESPACE=a b", 400},
    };
    service_setup(NULL);
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
        service_check_problem(
            service_administer(ROWS[i].method, ROWS[i].path, ROWS[i].fields, "{\"text\":\"a\"}"),
            ROWS[i].status, ROWS[i].status == 404 ? "no-entry" : "bad-request", NULL);
    service_teardown();
}

/* ---- DELETE ---- */

static void test_delete(void) {
    service_setup(NULL);
    store_text(NULL, "{\"text\":\"b\"}", 0);
    store_text(NULL, "{\"text\":\"a\"}", 0);
    service_check_problem(administer_key("DELETE", "HTTP_X_CACHE_NAMESPACE=ns"), 404, "no-entry", NULL);
    CU_ASSERT(is_hit(NULL, "{\"text\":\"a\"}"));
    check_json(administer_key("DELETE", NULL), "{\"deleted\":true}");
    service_check_problem(administer_key("DELETE", NULL), 404, "no-entry", NULL);
    CU_ASSERT_FALSE(is_hit(NULL, "{\"text\":\"a\"}"));
    CU_ASSERT(is_hit(NULL, "{\"text\":\"b\"}"));
    service_teardown();
}

static void test_clear(void) {
    service_setup(NULL);
    store_text(NULL, "{\"text\":\"a\"}", 0);
    store_text(NULL, "{\"text\":\"b\"}", 0);
    store_text("HTTP_X_CACHE_NAMESPACE=ns", "{\"text\":\"a\"}", 0);
    service_wait_ms(1);
    check_json(service_administer("DELETE", "/cache", NULL, NULL),
               "{\"message\":\"Cache cleared\",\"entries\":2}");
    check_json(service_administer("DELETE", "/cache", NULL, NULL),
               "{\"message\":\"Cache cleared\",\"entries\":0}");
    CU_ASSERT_FALSE(is_hit(NULL, "{\"text\":\"a\"}"));
    CU_ASSERT(is_hit("HTTP_X_CACHE_NAMESPACE=ns", "{\"text\":\"a\"}"));
    service_wait_ms(1);
    check_json(service_administer("DELETE", "/cache", "HTTP_X_CACHE_NAMESPACE=ns", NULL),
               "{\"message\":\"Cache cleared\",\"entries\":1}");
    CU_ASSERT_FALSE(is_hit("HTTP_X_CACHE_NAMESPACE=ns", "{\"text\":\"a\"}"));
    service_teardown();
}

/* Some backends cannot count. */
static bool sweep_nothing(struct store *store, uint64_t group, uint64_t epoch, uint64_t *cursor,
                          uint64_t *removed) {
    (void)store;
    (void)group;
    (void)epoch;
    (void)cursor;
    *removed = UINT64_MAX;
    return false;
}

static void test_clear_without_a_count(void) {
    service_setup(NULL);
    late_begin(&service.worker);
    struct store_operations uncounted = LATE_OPERATIONS;
    uncounted.sweep = sweep_nothing;
    struct sent *sent = service_send("DELETE", "/cache", NULL, NULL);
    late_answer();
    service.worker.store->operations = &uncounted;
    service_turn();
    check_json(sent, "{\"message\":\"Cache cleared\",\"entries\":null}");
    late_end();
    service_teardown();
}

/* ---- POST /cache/purge ---- */

static struct sent *purge(const char *fields, const char *body) {
    return service_administer("POST", "/cache/purge", fields, body);
}

static void store_four(void) {
    store_text(NULL, "{\"text\":\"a\"}", 0);
    store_text(NULL, "{\"text\":\"b\"}", 0);
    store_text(NULL, "{\"text\":\"a\",\"k\":1}", 0);
    store_text("HTTP_X_CACHE_NAMESPACE=ns", "{\"text\":\"a\"}", 0);
    service_wait_ms(1);
}

static void test_purge_by_text(void) {
    service_setup(NULL);
    store_four();
    check_json(purge(NULL, "{\"text\":\" A \"}"), "{\"deleted\":1}"); /* as a prediction would read it */
    check_json(purge(NULL, "{\"text\":\"a\"}"), "{\"deleted\":0}");
    CU_ASSERT(is_hit(NULL, "{\"text\":\"b\"}"));
    CU_ASSERT(is_hit(NULL, "{\"text\":\"a\",\"k\":1}"));
    check_json(purge(NULL, "{\"k\": 1, \"text\":\"a\"}"), "{\"deleted\":1}");
    CU_ASSERT(is_hit("HTTP_X_CACHE_NAMESPACE=ns", "{\"text\":\"a\"}"));
    check_json(purge("HTTP_X_CACHE_NAMESPACE=ns", "{\"text\":\"a\"}"), "{\"deleted\":1}");
    CU_ASSERT_FALSE(is_hit("HTTP_X_CACHE_NAMESPACE=ns", "{\"text\":\"a\"}"));
    check_json(purge(NULL, "{\"text\":\"\"}"), "{\"deleted\":0}"); /* there can be none */
    service_teardown();
}

static void test_purge_by_texts(void) {
    service_setup(NULL);
    store_four();
    check_json(purge(NULL, "{\"texts\":[\"a\",\"no\",\"B\",\"A\"]}"), "{\"deleted\":2}");
    CU_ASSERT_FALSE(is_hit(NULL, "{\"text\":\"a\"}"));
    CU_ASSERT_FALSE(is_hit(NULL, "{\"text\":\"b\"}"));
    CU_ASSERT(is_hit(NULL, "{\"text\":\"a\",\"k\":1}"));
    service_teardown();
}

static void test_purge_by_key(void) {
    char body[400], a[KEY_HEX_LENGTH + 1];
    service_setup(NULL);
    store_text(NULL, "{\"text\":\"a\"}", 0);
    strcpy(a, key_of_text);
    store_text(NULL, "{\"text\":\"b\"}", 0);
    snprintf(body, sizeof(body), "{\"keys\":[\"%s\",\"" ZEROS_63 "0\",\"%s\",\"%s\"]}", a, key_of_text, a);
    check_json(purge("HTTP_X_CACHE_NAMESPACE=ns", body), "{\"deleted\":0}"); /* not its to purge */
    check_json(purge(NULL, body), "{\"deleted\":2}");
    CU_ASSERT_FALSE(is_hit(NULL, "{\"text\":\"a\"}"));
    service_teardown();
}

static void test_purge_by_namespace(void) {
    service_setup(NULL);
    store_four();
    check_json(purge(NULL, "{\"namespace\":\"ns\"}"), "{\"deleted\":1}");
    CU_ASSERT_FALSE(is_hit("HTTP_X_CACHE_NAMESPACE=ns", "{\"text\":\"a\"}"));
    CU_ASSERT(is_hit(NULL, "{\"text\":\"a\"}"));
    check_json(purge("HTTP_X_CACHE_NAMESPACE=ns", "{\"namespace\":\"default\"}"), "{\"deleted\":3}");
    service_teardown();
}

/* Parameters may be called as what else a purge can name. */
static void test_purge_by_request(void) {
    static const char BODY[] = "{\"text\":\"a\",\"keys\":[1],\"namespace\":\"blue\"}";
    char body[128];
    service_setup(NULL);
    store_text(NULL, BODY, 0);
    service_check_problem(purge(NULL, BODY), 422, "bad-shape", NULL);
    CU_ASSERT(is_hit(NULL, BODY));
    snprintf(body, sizeof(body), "{\"request\":%s}", BODY);
    check_json(purge(NULL, body), "{\"deleted\":1}");
    CU_ASSERT_FALSE(is_hit(NULL, BODY));
    service_teardown();
}

/* Each purge leaves a line: from where, of what, how many; and no text. */
static void test_purges_are_logged(void) {
    char path[KEY_HEX_LENGTH + 16];
    service_setup(NULL);
    store_text(NULL, "{\"text\":\"wonderful\"}", 0);
    captured_log_begin();
    check_json(purge(NULL, "{\"texts\":[\"wonderful\",\"b\"]}"), "{\"deleted\":1}");
    snprintf(path, sizeof(path), "/cache/%s", key_of_text);
    service_administer("DELETE", path, NULL, NULL);
    service_administer("DELETE", "/cache", "HTTP_X_CACHE_NAMESPACE=blue", NULL);
    service_administer("GET", path, NULL, NULL);
    const char *log = captured_log_end();
    CU_ASSERT_PTR_NOT_NULL(strstr(log, "remote=127.0.0.1 what=texts namespace=default entries=1"));
    CU_ASSERT_PTR_NOT_NULL(strstr(log, "what=key namespace=default entries=0"));
    CU_ASSERT_PTR_NOT_NULL(strstr(log, "what=namespace namespace=blue"));
    CU_ASSERT_PTR_NULL(strstr(log, "wonderful"));
    size_t lines = 0;
    for (const char *at = log; (at = strstr(at, "event=purged")) != NULL; at++)
        lines++;
    CU_ASSERT_EQUAL(lines, 3);
    service_teardown();
}

static void few(struct settings *settings) {
    settings->max_batch = 2;
}

static void test_purge_refuses(void) {
    static const struct {
        const char *body;
        int status;
        const char *type, *pointer;
    } ROWS[] = {
        {"{", 400, "bad-json", NULL},
        {"{}", 422, "bad-shape", NULL},
        {"{\"text\":\"a\",\"keys\":[]}", 422, "bad-shape", NULL},
        {"{\"text\":1}", 422, "bad-shape", "#/text"},
        {"{\"texts\":[\"a\",\"b\",\"c\"]}", 422, "bad-shape", "#/texts"},
        {"{\"keys\":[]}", 422, "bad-shape", "#/keys"},
        {"{\"keys\":[\"" ZEROS_63 "0\",\"a\"]}", 422, "bad-shape", "#/keys/1"},
        {"{\"namespace\":\"\"}", 422, "bad-shape", "#/namespace"},
        {"{\"namespace\":\"a b\"}", 422, "bad-shape", "#/namespace"},
        {"{\"namespace\":\"a\",\"k\":1}", 422, "bad-shape", NULL},
    };
    service_setup(few);
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
        service_check_problem(purge(NULL, ROWS[i].body), ROWS[i].status, ROWS[i].type, ROWS[i].pointer);
    CU_ASSERT_EQUAL(service_counted(STAT_purges), 0);
    service_teardown();
}

/* A list with a bad key in it deletes nothing. */
static void test_purge_all_or_nothing(void) {
    char body[300];
    service_setup(NULL);
    store_text(NULL, "{\"text\":\"a\"}", 0);
    snprintf(body, sizeof(body), "{\"keys\":[\"%s\",\"bad\"]}", key_of_text);
    service_check_problem(purge(NULL, body), 422, "bad-shape", "#/keys/1");
    CU_ASSERT(is_hit(NULL, "{\"text\":\"a\"}"));
    service_teardown();
}

/* ---- a slow store, and one that fails ---- */

static const struct {
    const char *method, *path, *body;
} ERRANDS[] = {
    {"GET", "/cache/" ZEROS_63 "0", NULL},
    {"DELETE", "/cache/" ZEROS_63 "0", NULL},
    {"DELETE", "/cache", NULL},
    {"POST", "/cache/purge", "{\"texts\":[\"a\",\"b\",\"c\"]}"},
    {"POST", "/cache/purge", "{\"keys\":[\"" ZEROS_63 "0\",\"" ZEROS_63 "1\"]}"},
    {"POST", "/cache/purge", "{\"namespace\":\"default\"}"},
};

#define N_ERRANDS (sizeof(ERRANDS) / sizeof(ERRANDS[0]))

/* At each step of each errand the store fails: the client hears of it, once. */
static void test_store_fails(void) {
    for (size_t i = 0; i < N_ERRANDS; i++) {
        for (size_t step = 0, steps = 1; step < steps; step++) {
            service_setup(NULL);
            late_begin(&service.worker);
            struct sent *sent = service_ask(ERRANDS[i].method, ERRANDS[i].path, NULL, ERRANDS[i].body);
            size_t done = 0;
            for (; late.n > 0; done++) {
                if (done == step)
                    late_refuse(STORE_ERROR);
                else
                    late_answer();
                service_turn();
            }
            if (done > steps)
                steps = done;
            service_check_problem(sent, 500, "internal", NULL);
            late_end();
            service_teardown();
        }
    }
}

/* At each step of each errand the client leaves: what was begun is done all the same, and nobody is told. */
static void test_client_leaves(void) {
    for (size_t i = 0; i < N_ERRANDS; i++) {
        bool over = false;
        for (size_t step = 0; !over; step++) {
            service_setup(NULL);
            late_begin(&service.worker);
            struct sent *sent = service_send(ERRANDS[i].method, ERRANDS[i].path, NULL, ERRANDS[i].body);
            for (size_t done = 0; done < step && late.n > 0; done++)
                late_answer();
            over = sent->answers > 0 || late.n == 0;
            if (sent->answers == 0)
                service_leave(sent);
            late_answer_all();
            service_turn();
            late_end();
            CU_ASSERT_EQUAL(service_predict(NULL, "{\"text\":\"a\"}")->status, 200);
            service_teardown();
        }
    }
}

static void test_client_leaves_a_purge(void) {
    service_setup(NULL);
    store_text(NULL, "{\"text\":\"a\"}", 0);
    store_text(NULL, "{\"text\":\"b\"}", 0);
    late_begin(&service.worker);
    struct sent *sent = service_send("POST", "/cache/purge", NULL, "{\"texts\":[\"a\",\"b\"]}");
    turn_end(service.worker.turn);
    late_answer();
    service_leave(sent);
    late_answer_all();
    late_end();
    CU_ASSERT_FALSE(is_hit(NULL, "{\"text\":\"a\"}"));
    CU_ASSERT_FALSE(is_hit(NULL, "{\"text\":\"b\"}"));
    service_teardown();
}

static const struct unit_case CASES[] = {
    {"statistics at first", test_stats_at_first},
    {"statistics: durations", test_stats_durations},
    {"statistics: processes", test_stats_processes},
    {"statistics count", test_stats_count},
    {"statistics are those of all workers", test_stats_of_all_workers},
    {"looking at an entry", test_get},
    {"looking at an entry of a model without a name", test_get_without_a_name},
    {"malformed requests", test_malformed},
    {"deleting an entry", test_delete},
    {"clearing a namespace", test_clear},
    {"clearing without a count", test_clear_without_a_count},
    {"a purge by text", test_purge_by_text},
    {"a purge by texts", test_purge_by_texts},
    {"a purge by key", test_purge_by_key},
    {"a purge by namespace", test_purge_by_namespace},
    {"a purge by request", test_purge_by_request},
    {"purges are logged", test_purges_are_logged},
    {"a purge refuses", test_purge_refuses},
    {"a purge does all or nothing", test_purge_all_or_nothing},
    {"the store fails", test_store_fails},
    {"a client leaves", test_client_leaves},
    {"a client leaves a purge half done", test_client_leaves_a_purge},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "cache_admin", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
